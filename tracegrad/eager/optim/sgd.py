"""Gradient descent."""

from __future__ import annotations

from typing import Any

from tracegrad.eager.optim.formula import FormulaOptimizer
from tracegrad.optim.formulas import SGD as FORMULA

__all__ = ["SGD"]


class SGD(FormulaOptimizer):
    """Gradient descent with momentum, by the formula of :func:`tracegrad.optim.sgd`.

    Parameters
    ----------
    params: tensors, ``(name, tensor)`` pairs, or dicts with ``"params"`` and options of their own.
    lr: the step size.
    momentum: how much of the last step's direction is kept.
    dampening: how much of the gradient the direction leaves out, from the second step on.
    weight_decay: this multiple of each parameter is added to its gradient.
    nesterov: whether to look ahead by the momentum.
    maximize: whether to climb instead.
    foreach, fused: taken as in PyTorch and without effect.
    differentiable: only False.

    Raises ValueError for options out of range.

    >>> from tracegrad.eager.tensor import Tensor
    >>> w = Tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = SGD([w], lr=0.1, momentum=0.9)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([0.8000, 1.6000], requires_grad=True)
    """

    formula = FORMULA
    keys = ("momentum_buffer",)
    counted = False

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: Any = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)
