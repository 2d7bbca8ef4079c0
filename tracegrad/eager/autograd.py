"""Gradients as values: ``grad``, and ``backward`` of several tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracegrad.eager.tape import run_backward
from tracegrad.eager.tensor import Tensor, backward, located, source_of, starts
from tracegrad.errors import TapeError

__all__ = ["backward", "grad"]


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of the sum of outputs with respect to inputs; ``.grad`` of no tensor changes.

    Parameters
    ----------
    outputs, inputs: tensors or sequences of them; inputs may be computed tensors.
    grad_outputs: cotangents of the outputs; needed for those with more than one element.
    retain_graph: keep what the graph has saved; by default what ``create_graph`` is.
    create_graph: record the computation of the gradients, so that they have derivatives themselves.
    allow_unused: give None for an input that the outputs do not depend on.

    Returns one gradient per input. Raises TapeError as ``Tensor.backward`` does, and for an input that was not used.

    >>> from tracegrad.eager.tensor import tensor
    >>> x = tensor(3.0, requires_grad=True)
    >>> (first,) = grad(x * x * x, x, create_graph=True)
    >>> grad(first, x)
    (tensor(18.),)
    """
    outs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    wrt = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    given = None
    if grad_outputs is not None:
        given = list(grad_outputs) if isinstance(grad_outputs, (list, tuple)) else [grad_outputs]

    def run() -> tuple[Tensor | None, ...]:
        cotangents = starts(outs, given)
        targets = [source_of(x) for x in wrt]
        if any(t is None for t in targets):
            raise TapeError("one of the differentiated Tensors does not require grad", fix="make it with requires_grad=True")
        found = run_backward(
            [source for source in map(source_of, outs) if source is not None],
            cotangents,
            keep=create_graph if retain_graph is None else retain_graph,
            create=create_graph,
            make=Tensor,
            targets=[t for t in targets if t is not None],
        )
        result = tuple(found.get(t) for t in targets if t is not None)
        if not allow_unused and any(g is None for g in result):
            at = next(k for k, g in enumerate(result) if g is None)
            raise TapeError(
                f"one of the differentiated Tensors appears to not have been used in the graph: inputs[{at}]",
                fix="set allow_unused=True if None is the desired gradient",
            )
        return result

    result: tuple[Tensor | None, ...] = located(run)
    return result
