"""Optimisers with a rate for each element."""

from __future__ import annotations

from typing import Any

from tracegrad.eager.optim.formula import FormulaOptimizer
from tracegrad.optim.formulas import ADADELTA, ADAGRAD, RMSPROP

__all__ = ["Adadelta", "Adagrad", "RMSprop"]


class RMSprop(FormulaOptimizer):
    """Gradients by their running root mean square, by the formula of :func:`tracegrad.optim.rmsprop`.

    Parameters
    ----------
    params: tensors, ``(name, tensor)`` pairs, or dicts with ``"params"`` and options of their own.
    lr: the step size.
    alpha: how much of the running mean of squares is kept.
    eps: keeps the divisor from 0.
    weight_decay: this multiple of each parameter is added to its gradient.
    momentum: how much of the last step's direction is kept.
    centered: whether the square of the running mean gradient is taken off the mean of squares.
    maximize: whether to climb instead.
    capturable, foreach: taken as in PyTorch and without effect.
    differentiable: only False.

    Raises ValueError for options out of range.

    >>> from tracegrad.eager.tensor import Tensor
    >>> w = Tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = RMSprop([w], lr=0.1, alpha=0.75)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([0.8000, 1.8000], requires_grad=True)
    """

    formula = RMSPROP
    keys = ("square_avg", "momentum_buffer", "grad_avg")

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)


class Adagrad(FormulaOptimizer):
    """Gradients by the root of their squares' sum, by the formula of :func:`tracegrad.optim.adagrad`.

    Parameters
    ----------
    params, lr, weight_decay, eps, maximize, foreach, differentiable, fused: as for :class:`RMSprop`.
    lr_decay: how the step size falls.
    initial_accumulator_value: what the sums start from.

    Raises ValueError for options out of range.

    >>> from tracegrad.eager.tensor import Tensor
    >>> w = Tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = Adagrad([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([0.9000, 1.9000], requires_grad=True)
    """

    formula = ADAGRAD
    keys = ("sum",)

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)
        # the sums are there before the first step, as in PyTorch
        for group in self.param_groups:
            for p in group["params"]:
                self._prepare(p, list(self.keys), self.defaults)


class Adadelta(FormulaOptimizer):
    """Steps in the parameters' own units, by the formula of :func:`tracegrad.optim.adadelta`.

    Parameters
    ----------
    params, lr, eps, weight_decay, foreach, capturable, maximize, differentiable: as for :class:`RMSprop`.
    rho: how much of the running means of squares is kept.

    Raises ValueError for options out of range.

    >>> from tracegrad.eager.tensor import Tensor
    >>> w = Tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = Adadelta([w], eps=0.01)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([0.6877, 1.6848], requires_grad=True)
    """

    formula = ADADELTA
    keys = ("square_avg", "acc_delta")

    def __init__(
        self,
        params: Any,
        lr: Any = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "capturable": capturable,
            "foreach": foreach,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)
