"""Gradients as values."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracegrad.core.source import user_frame
from tracegrad.eager.engine import Walk
from tracegrad.eager.tensor import Tensor, edge, starts
from tracegrad.eager.traced import TracedTensor
from tracegrad.errors import DtypeError, ShapeError, TapeError

__all__ = ["grad"]


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of the sum of outputs with respect to inputs; ``.grad`` of no tensor changes.

    Parameters
    ----------
    outputs, inputs: tensors or sequences of them; inputs may be computed tensors.
    grad_outputs: cotangents of the outputs; needed for those with more than one element.
    retain_graph: keep what the graph has saved; by default what ``create_graph`` is.
    create_graph: record the computation of the gradients, so that they have derivatives themselves.
    only_inputs: only True, as in PyTorch.
    allow_unused: give None for an input that the outputs do not depend on.
    is_grads_batched: only False; for several cotangents of one output call it once for each, with ``retain_graph``.
    materialize_grads: give zeros for it.

    Returns one gradient per input. Raises TapeError as ``Tensor.backward`` does, and for an input that was not used.

    >>> from tracegrad.eager.tensor import tensor
    >>> x = tensor(3.0, requires_grad=True)
    >>> (first,) = grad(x * x * x, x, create_graph=True)
    >>> grad(first, x)
    (tensor(18.),)
    """
    if not only_inputs:
        warnings.warn(
            "only_inputs argument is deprecated and is ignored now (defaults to True). To accumulate gradient for other "
            "parts of the graph, please use torch.autograd.backward.",
            FutureWarning,
            stacklevel=2,
        )
    if is_grads_batched:
        raise NotImplementedError(
            "grad with is_grads_batched=True: call it once per cotangent, with retain_graph=True, and stack the results"
        )
    if materialize_grads and allow_unused is False:
        raise ValueError(
            "Expected allow_unused to be True or not passed when materialize_grads=True, but got: allow_unused=False."
        )
    outs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    wrt = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    for x in outs:
        if isinstance(x, TracedTensor):
            x.refuse_tape(
                "autograd.grad", "give it the result of tg.compile(f)(x), or call tg.compile on what is differentiated"
            )
    given = None
    if grad_outputs is not None:
        given = list(grad_outputs) if isinstance(grad_outputs, (list, tuple)) else [grad_outputs]
    try:
        cotangents = starts(outs, given)
        targets = [edge(x) for x in wrt]
        if any(t is None for t in targets):
            raise TapeError("One of the differentiated Tensors does not require grad", fix="make it with requires_grad=True")
        walk = Walk(Tensor, create=create_graph, keep=create_graph if retain_graph is None else retain_graph)
        walk.run([e for e in map(edge, outs) if e], cotangents, [t for t in targets if t])
        result = [walk.captured.get(t) for t in targets if t]
        for at, g in enumerate(result):
            if g is None and materialize_grads:
                result[at] = Tensor._wrap(np.zeros(wrt[at].shape, wrt[at].dtype))
            elif g is None and not allow_unused:
                raise TapeError(
                    f"The differentiated Tensor at index {at} appears to not have been used in the graph. Set "
                    "allow_unused=True if this is the desired behavior.",
                    fix=f"inputs[{at}], of shape {tuple(wrt[at].shape)}: grad(..., allow_unused=True) gives None for it",
                )
    except (TapeError, ShapeError, DtypeError) as error:
        raise error.at(user_frame()) from None
    return tuple(result)
