"""What leaves have beyond other tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import weakref

    from tracegrad.eager.tape import AccumulateGrad
    from tracegrad.eager.tensor import Tensor


class LeafState:
    """What only leaves and retaining tensors have: the wish for a gradient, the gradient, the end of their paths."""

    __slots__ = ("accumulator", "grad", "requires_grad", "retains")

    def __init__(self) -> None:
        self.requires_grad = False
        self.grad: Tensor | None = None
        self.retains = False
        # weak, because the node holds the tensor and a graph holds the node
        self.accumulator: weakref.ref[AccumulateGrad] | None = None
