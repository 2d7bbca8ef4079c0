"""Losses with PyTorch's signatures: of yes and no, of numbers, of distributions."""

from __future__ import annotations

import math
import warnings
from typing import Any

from tracegrad import functional
from tracegrad.core.aval import shape_of
from tracegrad.eager.composite import recorded_as
from tracegrad.eager.functions.reductions import sum as sum_of
from tracegrad.eager.nn.functional.activations import logsigmoid
from tracegrad.eager.nn.functional.common import check_reduction, concrete, reduced, reduction_named, refused
from tracegrad.ops.maps import absolute, add, copy, divide, exp, log, multiply, negative, power, select, subtract
from tracegrad.ops.views import expand_dims

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "gaussian_nll_loss",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "mse_loss",
    "multilabel_soft_margin_loss",
    "poisson_nll_loss",
    "smooth_l1_loss",
    "soft_margin_loss",
]


def same_size(name: str, input: Any, target: Any) -> None:
    """Raise ShapeError where the target would have to broadcast: a loss over all pairs is hardly ever meant."""
    if shape_of(input) != shape_of(target):
        raise refused(
            f"{name}: Using a target size ({list(shape_of(target))}) that is different to the input size "
            f"({list(shape_of(input))})",
            "give both one shape, for example with target.view_as(input)",
        )


# -- of yes and no ----------------------------------------------------------------------------------------------------

_bce = recorded_as("BinaryCrossEntropyBackward0")(functional.binary_cross_entropy)
_bce_logits = recorded_as("BinaryCrossEntropyWithLogitsBackward0")(functional.binary_cross_entropy_with_logits)


def binary_cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """The cross-entropy of yes-or-no targets under probabilities; each logarithm is at least -100.

    Raises ShapeError for two shapes, ValueError for numbers that are no probabilities.

    >>> from tracegrad.eager import tensor
    >>> binary_cross_entropy(tensor([0.5, 0.0]), tensor([1.0, 1.0]), reduction="none")
    tensor([  0.6931, 100.0000])
    """
    reduction = check_reduction(reduction_named(size_average, reduce, reduction))
    same_size("binary_cross_entropy", input, target)
    values = concrete(input)
    if values is not None and values.size and not (values.min() >= 0 and values.max() <= 1):
        raise ValueError(
            f"all elements of input should be between 0 and 1, but they are from {values.min()} to {values.max()}: "
            "use sigmoid before, or binary_cross_entropy_with_logits"
        )
    return _bce(input, target, reduction, weight)


def binary_cross_entropy_with_logits(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Any = None,
) -> Any:
    """The cross-entropy of yes-or-no targets under ``sigmoid(input)``; ``pos_weight`` says how much more a yes counts.

    Raises ShapeError for two shapes.

    >>> from tracegrad.eager import tensor
    >>> binary_cross_entropy_with_logits(tensor([0.0]), tensor([1.0]))
    tensor(0.6931)
    """
    reduction = check_reduction(reduction_named(size_average, reduce, reduction))
    if shape_of(input) != shape_of(target):
        raise refused(
            f"Target size ({list(shape_of(target))}) must be the same as input size ({list(shape_of(input))})",
            "give both one shape, for example with target.view_as(input)",
        )
    return _bce_logits(input, target, reduction, weight, pos_weight)


@recorded_as("SoftMarginLossBackward0")
def _soft_margin(x: Any, target: Any, reduction: str) -> Any:
    return functional.losses.reduced(functional.softplus(-multiply(target, x)), reduction)


def soft_margin_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """``ln(1 + e^(-target·x))`` for targets 1 and -1.

    >>> from tracegrad.eager import tensor
    >>> soft_margin_loss(tensor([0.0]), tensor([1.0]))
    tensor(0.6931)
    """
    reduction = check_reduction(reduction_named(size_average, reduce, reduction))
    same_size("soft_margin_loss", input, target)
    return _soft_margin(input, target, reduction)


def multilabel_soft_margin_loss(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """The mean over the classes (the last dim) of the cross-entropies of yes-or-no targets under ``sigmoid(input)``.

    >>> from tracegrad.eager import tensor
    >>> multilabel_soft_margin_loss(tensor([[0.0, 0.0]]), tensor([[1.0, 0.0]]))
    tensor(0.6931)
    """
    reduction = check_reduction(reduction_named(size_average, reduce, reduction))
    same_size("multilabel_soft_margin_loss", input, target)
    hits, misses = multiply(target, logsigmoid(input)), multiply(subtract(1, target), logsigmoid(negative(input)))
    losses = negative(add(hits, misses))
    losses = losses if weight is None else multiply(losses, weight)
    return reduced(divide(sum_of(losses, -1), shape_of(input)[-1]), reduction)


# -- of numbers -------------------------------------------------------------------------------------------------------

_mse = recorded_as("MseLossBackward0")(functional.mse_loss)
_smooth_l1 = recorded_as("SmoothL1LossBackward0")(functional.smooth_l1_loss)
_huber = recorded_as("HuberLossBackward0")(functional.huber_loss)


def _weighted(losses: Any, weight: Any, reduction: str, input: Any, plain_mean: bool = False) -> Any:
    """Losses times weights, whose mean is over the sum of the weights; ValueError for weights of another shape."""
    if shape_of(weight) != shape_of(input):
        raise ValueError(f"Weights and input must have the same size: {list(shape_of(weight))} and {list(shape_of(input))}")
    terms = multiply(losses, weight)
    if reduction != "mean" or plain_mean:
        return reduced(terms, reduction)
    return divide(sum_of(terms), sum_of(weight))


def mse_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Any = None,
) -> Any:
    """The squared error; with a weight per element the mean is weighted. Raises ShapeError for two shapes.

    >>> from tracegrad.eager import tensor
    >>> mse_loss(tensor([1.0, 2.0]), tensor([1.0, 4.0]))
    tensor(2.)
    """
    reduction = check_reduction(reduction_named(size_average, reduce, reduction))
    same_size("mse_loss", input, target)
    if weight is not None:
        return _weighted(power(subtract(input, target), 2), weight, reduction, input)
    return _mse(input, target, reduction)


def l1_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Any = None,
) -> Any:
    """The absolute error; with a weight per element the mean is weighted. Raises ShapeError for two shapes.

    >>> from tracegrad.eager import tensor
    >>> l1_loss(tensor([1.0, 2.0]), tensor([1.0, 4.0]))
    tensor(1.)
    """
    reduction = check_reduction(reduction_named(size_average, reduce, reduction))
    same_size("l1_loss", input, target)
    errors = absolute(subtract(input, target))
    return reduced(errors, reduction) if weight is None else _weighted(errors, weight, reduction, input)


def smooth_l1_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Any:
    """``error² / (2·beta)`` up to ``beta``, from there on ``|error| - beta / 2``; ShapeError for two shapes.

    >>> from tracegrad.eager import tensor
    >>> smooth_l1_loss(tensor([0.5, 3.0]), tensor([0.0, 0.0]), reduction="none")
    tensor([0.1250, 2.5000])
    """
    reduction = check_reduction(reduction_named(size_average, reduce, reduction))
    same_size("smooth_l1_loss", input, target)
    if beta < 0:
        raise ValueError(f"smooth_l1_loss does not support negative values for beta, got {beta}")
    if beta == 0:
        return reduced(absolute(subtract(input, target)), reduction)
    return _smooth_l1(input, target, reduction, float(beta))


def huber_loss(input: Any, target: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None) -> Any:
    """``error² / 2`` up to ``delta``, from there on ``delta · (|error| - delta / 2)``; ShapeError for two shapes.

    >>> from tracegrad.eager import tensor
    >>> huber_loss(tensor([0.5, 3.0]), tensor([0.0, 0.0]), reduction="none")
    tensor([0.1250, 2.5000])
    """
    check_reduction(reduction)
    same_size("huber_loss", input, target)
    if delta <= 0:
        raise ValueError(f"huber_loss does not support non-positive values for delta, got {delta}")
    if weight is None:
        return _huber(input, target, reduction, float(delta))
    return _weighted(_huber(input, target, "none", float(delta)), weight, reduction, input, plain_mean=True)


# -- of distributions -------------------------------------------------------------------------------------------------


@recorded_as("XlogyBackward0")
def _entropy(target: Any) -> Any:
    """``t · ln t``, 0 where ``t`` is 0."""
    zero = target == 0
    return select(zero, 0, multiply(target, log(select(zero, 1, target))))


def kl_div(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Any:
    """The divergence of distributions with logarithms ``input`` from ``target``: ``target · (ln target - input)``.

    ``log_target`` says that the target is given by its logarithms; ``reduction`` may be ``"batchmean"``, the sum over the
    size of the first dim. Raises ShapeError for two shapes.

    The mean over all elements is no divergence of distributions: it warns, as PyTorch does.

    >>> from tracegrad.eager import tensor
    >>> kl_div(tensor([[0.0, 0.0]]), tensor([[1.0, 1.0]]), reduction="batchmean")
    tensor(0.)
    """
    reduction = check_reduction(reduction_named(size_average, reduce, reduction), "batchmean")
    if reduction == "mean":
        warnings.warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support size. 'batchmean' divides "
            "only by the batch size, and aligns with the KL div math definition.",
            UserWarning,
            stacklevel=3,
        )
    same_size("kl_div", input, target)
    if log_target:
        terms = multiply(exp(target), subtract(target, input))
    else:
        terms = subtract(_entropy(target), multiply(target, input))
    if reduction != "batchmean":
        return reduced(terms, reduction)
    return divide(sum_of(terms), shape_of(input)[0]) if shape_of(input) else sum_of(terms)


def poisson_nll_loss(
    input: Any,
    target: Any,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """The negative log-likelihood of counts under rates, given by their logarithms if ``log_input``.

    ``full`` adds Stirling's approximation of the term that does not depend on the rates; ``eps`` keeps logarithms of
    rates finite.

    >>> from tracegrad.eager import tensor
    >>> poisson_nll_loss(tensor([0.0]), tensor([2.0]))
    tensor(1.)
    """
    reduction = check_reduction(reduction_named(size_average, reduce, reduction))
    if log_input:
        losses = subtract(exp(input), multiply(target, input))
    else:
        losses = subtract(input, multiply(target, log(add(input, eps))))
    if full:
        large = target > 1
        safe = select(large, target, 1)
        stirling = add(subtract(multiply(target, log(safe)), target), multiply(log(multiply(safe, 2 * math.pi)), 0.5))
        losses = add(losses, select(large, stirling, 0))
    return reduced(losses, reduction)


def gaussian_nll_loss(
    input: Any,
    target: Any,
    var: Any,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Any:
    """The negative log-likelihood of targets under normal distributions with means ``input`` and variances ``var``.

    Parameters
    ----------
    input, target: floats.
    var: a number, or variances in the shape of the input, which may lack the last dim or have size 1 in one.
    full: whether the constant term is added.
    eps: variances below are taken for it; their gradient is as if they were not.
    reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Raises ValueError for negative variances and those of another shape.

    >>> from tracegrad.eager import tensor
    >>> gaussian_nll_loss(tensor([1.0]), tensor([3.0]), tensor([1.0]))
    tensor(2.)
    """
    check_reduction(reduction)
    shape = shape_of(input)
    if isinstance(var, (int, float)):
        if var < 0:
            raise ValueError("var has negative entry/entries")
        # a number is a variance like others: of the input's shape, in its dtype
        var = add(multiply(input.detach(), 0), var)
    values = concrete(var)
    if values is not None and (values < 0).any():
        raise ValueError("var has negative entry/entries")
    if shape_of(var) == shape[:-1] and shape:
        var = expand_dims(var, -1)
    elif shape_of(var) != shape:
        apart = [m for n, m in zip(shape, shape_of(var), strict=False) if n != m]
        if len(shape_of(var)) != len(shape) or apart != [1]:
            raise ValueError(f"var is of incorrect size: {list(shape_of(var))} for an input of size {list(shape)}")
    variance = _at_least(var, float(eps))
    losses = multiply(add(log(variance), divide(power(subtract(input, target), 2), variance)), 0.5)
    losses = add(losses, 0.5 * math.log(2 * math.pi)) if full else losses
    return reduced(losses, reduction)


@recorded_as("CloneBackward0")
def _at_least(x: Any, low: float) -> Any:
    """The values held above a bound, with the gradient of the values themselves."""
    return select(x < low, low + (x - functional.stop_gradient(x)), copy(x))
