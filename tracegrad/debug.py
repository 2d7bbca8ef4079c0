"""Finding out what goes wrong at run time."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tracegrad.config import config
from tracegrad.core.finite import check_computed, watching
from tracegrad.core.op import Op
from tracegrad.core.source import user_frame
from tracegrad.core.tree import flatten, tree_map
from tracegrad.eager.anomaly import detect_anomaly
from tracegrad.eager.quiet import quiet
from tracegrad.eager.traced import TracedTensor
from tracegrad.errors import TraceError, TracegradError
from tracegrad.symbolic import current_recorder
from tracegrad.trace.prints import checked_text, note, write

__all__ = ["nans", "print"]


def print(fmt: str, /, *args: Any, **kwargs: Any) -> None:  # noqa: A001 - the word users know
    """Print values when the program runs: at every call, in the order of the function.

    Within a traced function ``print(x)`` prints once, while tracing, and knows no values. This prints the values that a call
    computes, and is no less native for it: they are further results of the program, and are printed after it. Derivatives
    print the function's values, once. Under ``vmap`` there is a line for each element, or one where all share the values.
    With arrays, Tensors and numbers outside of a trace it prints at once.

    Parameters
    ----------
    fmt: a format as of ``str.format``, with ``{}`` and ``{name}``.
    args, kwargs: what is put into it: pytrees of arrays and numbers, and whatever else is known while tracing. Every value is
        used in the format. TraceError is raised where they do not fit it.

    >>> import numpy as np
    >>> import tracegrad as tg
    >>> @tg.grad_compile
    ... def loss(w, x):
    ...     error = x @ w - 1.0
    ...     tg.debug.print("error {} at w = {w}", error, w=w)
    ...     return np.sum(error**2)
    >>> value, gradient = loss.value_and_grad(np.array([1.0, 0.5]), np.eye(2))
    error [ 0.  -0.5] at w = [1.  0.5]
    >>> tg.vmap(lambda x: tg.debug.print("{:.1f}", x))(np.array([1.0, 2.0]))
    1.0
    2.0
    """
    if not isinstance(fmt, str):
        raise TracegradError(
            f"tg.debug.print begins with {'an array' if hasattr(fmt, 'shape') else type(fmt).__name__}, not with a format",
            fix='write tg.debug.print("x = {}", x)',
            where=user_frame(),
        )
    recorder = current_recorder.get()
    if recorder is not None:
        note(recorder, fmt, args, kwargs)
        return
    if any(isinstance(leaf, TracedTensor) for leaf in flatten((args, kwargs))[0]):
        raise TraceError(
            "tg.debug.print of a tensor that is being traced, which programs of tensors do not run",
            fix="print tensors outside of what is compiled, or return them",
            where=user_frame(),
        )
    known_args, known_kwargs = tree_map(_unboxed, (args, kwargs))
    write(checked_text(fmt, known_args, known_kwargs))


def _unboxed(value: Any) -> Any:
    """The array in a box of ``tracegrad.compat``; anything else as it is."""
    while getattr(type(value), "boxes_value", False):
        value = value._value
    return value


@contextmanager
def nans() -> Iterator[None]:
    """Raise at the first value that is not finite, in a function's value or in a cotangent.

    Inside, the graphs of compiled functions and of transforms run on the interpreter, node by node, as slowly as NumPy: the
    first op whose result has NaN or an infinity, while its operands are finite, raises ``NonFiniteError``, a
    ``FloatingPointError``, with the user's line, the op, the index and the operands there. A branch that ``np.where`` does
    not take counts as well. An argument with NaN is named; infinities among arguments and constants are no error.

    On the tape, of tensors and of ``tracegrad.compat``, every op is checked as it computes, and in a backward the first node
    whose cotangents are not finite names the line of its op.

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
        # what runs without looking at the context steps aside for overrides
        with config.override(threads=config.threads), detect_anomaly(), quiet.checked(_check):
            yield
    finally:
        watching.reset(token)


def _check(function: Any, result: Any, arrays: Sequence[Any]) -> None:
    """The check of what an op has computed for tensors."""
    if watching.get():
        check_computed(lambda: _op_name(function), result, arrays)


def _op_name(function: Any) -> str:
    """The op that computes by a function."""
    for name, module in list(sys.modules.items()):
        if name.startswith("tracegrad.ops."):
            for value in vars(module).values():
                if isinstance(value, Op) and value.eager is function:
                    return value.name
    return str(getattr(function, "__name__", "an op"))
