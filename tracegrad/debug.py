"""Finding out what goes wrong at run time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tracegrad.config import config
from tracegrad.core.finite import watching

__all__ = ["nans"]


@contextmanager
def nans() -> Iterator[None]:
    """Raise at the first value that is not finite, in a function's value or in a cotangent.

    Inside, the graphs of compiled functions and of transforms run on the interpreter, node by node, as slowly as NumPy: the
    first op whose result has NaN or an infinity, while its operands are finite, raises ``NonFiniteError``, a
    ``FloatingPointError``, with the user's line, the op, the index and the operands there. A branch that ``np.where`` does
    not take counts as well. An argument with NaN is named; infinities among arguments and constants are no error. Functions
    that are given Tensors are not watched: ``autograd.detect_anomaly`` is for those.

    >>> import numpy as np
    >>> import tracegrad as tg
    >>> @tg.grad_compile
    ... def loss(x):
    ...     return np.sum(np.sqrt(x) * x)
    >>> with tg.debug.nans():
    ...     loss(np.array([4.0, -1.0]))
    Traceback (most recent call last):
    tracegrad.errors.NonFiniteError: sqrt is nan at index (1,), of -1.0
    ...
    """
    for compiled in list(config.ahead):
        compiled.step_aside()
    token = watching.set(True)
    try:
        with config.override(threads=config.threads):  # what runs without looking at the context steps aside for overrides
            yield
    finally:
        watching.reset(token)
