"""Losses of classes with PyTorch's signatures."""

from __future__ import annotations

import math
from typing import Any

from tracegrad import functional
from tracegrad.core.aval import shape_of
from tracegrad.core.source import user_frame
from tracegrad.eager.composite import recorded_as
from tracegrad.eager.functions.reductions import sum as sum_of
from tracegrad.eager.nn.functional.activations import log_softmax
from tracegrad.eager.nn.functional.common import check_reduction, concrete, reduced, reduction_named, refused
from tracegrad.errors import DtypeError
from tracegrad.functional.losses import class_axis, picked_of, weighted_by_class
from tracegrad.ops import reductions
from tracegrad.ops.comparisons import logical_and, logical_not
from tracegrad.ops.indexing import take_along_axis
from tracegrad.ops.maps import add, cast, clip, divide, multiply, negative, select
from tracegrad.ops.sources import running_index
from tracegrad.ops.views import expand_dims, reshape

__all__ = ["cross_entropy", "multi_margin_loss", "multilabel_margin_loss", "nll_loss"]


_over = recorded_as("DivBackward1")(divide)


def _nll_of(x: Any, target: Any, reduction: str, weight: Any, ignore_index: int | None, checked: bool) -> Any:
    return weighted_by_class(-picked_of(x, target, checked), x, target, reduction, weight, ignore_index)


_nll = recorded_as("NllLossBackward0")(_nll_of)
_nll2d = recorded_as("NllLoss2DBackward0")(_nll_of)


def _checked(name: str, input: Any, target: Any, weight: Any, ignore_index: int) -> tuple[int | None, bool]:
    """The class number to ignore, None where it does not occur, and whether all others are known to be classes.

    Raises PyTorch's errors for targets that are no class numbers of these scores.
    """
    shape, labels = shape_of(input), shape_of(target)
    axis = class_axis(name, input)
    classes = shape[axis]
    if target.dtype.kind not in "iu":
        raise DtypeError(
            f"{name}: expected scalar type Long but found {target.dtype} for a target of shape {list(labels)}",
            fix="give integer class numbers: target.long(); cross_entropy takes class probabilities in the input's shape",
            where=user_frame(),
        )
    if len(shape) > 1 and labels[:1] != shape[:1]:
        raise refused(
            f"Expected input batch_size ({shape[0]}) to match target batch_size ({labels[0] if labels else 1}).",
            "give one class number per sample",
        )
    expected = shape[:axis] + shape[axis + 1 :]
    if labels != expected:
        raise refused(
            f"Expected target size {list(expected)}, got {list(labels)}: {name} of an input of shape {list(shape)}",
            f"give one class number per sample, in shape {expected}",
        )
    if weight is not None and shape_of(weight) != (classes,):
        raise refused(
            f"weight tensor should be defined either for all {classes} classes or no classes but got weight tensor of "
            f"shape: {list(shape_of(weight))}",
            f"give a weight of shape ({classes},)",
        )
    values = concrete(target)
    if values is None:
        return ignore_index, False
    if not values.size or (values.min() >= 0 and values.max() < classes and not 0 <= ignore_index < classes):
        return None, True
    wrong = ((values < 0) | (values >= classes)) & (values != ignore_index)
    if wrong.any():
        raise IndexError(f"Target {values[wrong].flat[0]} is out of bounds: {name} with {classes} classes")
    return ignore_index, True


def _nll_node(x: Any, target: Any, reduction: str, weight: Any, ignored: tuple[int | None, bool]) -> Any:
    return (_nll if len(shape_of(x)) < 3 else _nll2d)(x, target, reduction, weight, *ignored)


def nll_loss(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """The negative log-likelihood of class numbers.

    Parameters
    ----------
    input: log-probabilities (batch, classes, …), or (classes,).
    target: class numbers (batch, …).
    weight: one number per class, or None; the mean is weighted.
    ignore_index: samples with this target count for nothing.
    reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Raises ShapeError where shapes do not fit, DtypeError for targets of floats, IndexError for targets that are no class.

    >>> from tracegrad.eager import tensor
    >>> nll_loss(tensor([[-1.0, -2.0]]), tensor([1]))
    tensor(2.)
    """
    reduction = check_reduction(reduction_named(size_average, reduce, reduction))
    return _nll_node(input, target, reduction, weight, _checked("nll_loss", input, target, weight, ignore_index))


def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """The cross-entropy of targets under the softmax of scores.

    Parameters
    ----------
    input: scores (batch, classes, …), or (classes,).
    target: class numbers (batch, …), or class probabilities in the shape of the scores.
    weight: one number per class, or None; the mean over class numbers is weighted.
    ignore_index: samples with this class number count for nothing.
    reduction: ``"mean"``, ``"sum"`` or ``"none"``.
    label_smoothing: the part of each target's probability that is spread over all classes.

    Raises what ``nll_loss`` raises.

    >>> from tracegrad.eager import tensor
    >>> cross_entropy(tensor([[0.0, 0.0]]), tensor([1]))
    tensor(0.6931)
    """
    reduction = check_reduction(reduction_named(size_average, reduce, reduction))
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    axis = class_axis("cross_entropy", input)
    if shape_of(target) == shape_of(input):
        return _soft_cross_entropy(input, target, weight, reduction, label_smoothing)
    ignored = _checked("cross_entropy", input, target, weight, ignore_index)
    log_p = log_softmax(input, axis)
    hard = _nll_node(log_p, target, reduction, weight, ignored)
    if label_smoothing == 0:
        return hard
    even = _even(log_p, target, weight, ignore_index, reduction)
    return add(multiply(hard, 1 - label_smoothing), multiply(even, label_smoothing / shape_of(input)[axis]))


def _by_class(weight: Any, input: Any) -> Any:
    """One number per class in a shape that broadcasts to the scores."""
    axis = class_axis("cross_entropy", input)
    return reshape(weight, (-1, *(1,) * (len(shape_of(input)) - axis - 1)))


def _even(log_p: Any, target: Any, weight: Any, ignore_index: int, reduction: str) -> Any:
    """The cross-entropy with probability 1 for every class: what label smoothing adds."""
    axis = class_axis("cross_entropy", log_p)
    losses = negative(sum_of(log_p if weight is None else multiply(log_p, _by_class(weight, log_p)), axis))
    kept = target != ignore_index
    losses = select(kept, losses, 0)
    if reduction != "mean":
        return reduced(losses, reduction)
    if weight is None:
        return divide(sum_of(losses), reductions.sum(cast(kept, dtype=log_p.dtype)))
    classes = shape_of(log_p)[axis]
    places = reshape(running_index(classes, target), (classes, *(1,) * (len(shape_of(log_p)) - axis - 1)))
    each = reductions.sum(select(places == expand_dims(target, axis), _by_class(weight, log_p), 0), axis)
    return divide(sum_of(losses), reductions.sum(select(kept, each, 0)))


def _soft_cross_entropy(input: Any, target: Any, weight: Any, reduction: str, label_smoothing: float) -> Any:
    """The cross-entropy of class probabilities; its mean is that over samples."""
    if target.dtype.kind != "f":
        raise DtypeError(
            f"Expected floating point type for target with class probabilities, got {target.dtype}",
            fix="give probabilities as floats, or one class number per sample",
            where=user_frame(),
        )
    axis = class_axis("cross_entropy", input)
    classes = shape_of(input)[axis]
    if weight is not None and shape_of(weight) != (classes,):
        raise refused(
            f"cross_entropy: weight tensor should be defined either for all {classes} classes or no classes but got "
            f"weight tensor of shape: {list(shape_of(weight))}",
            f"give a weight of shape ({classes},)",
        )
    if label_smoothing:
        target = add(multiply(target, 1 - label_smoothing), label_smoothing / classes)
    terms = multiply(log_softmax(input, axis), target)
    terms = terms if weight is None else multiply(terms, _by_class(weight, input))
    if reduction == "none":
        return negative(sum_of(terms, axis))
    total = negative(sum_of(terms))
    return total if reduction == "sum" else _over(total, math.prod(shape_of(input)) // classes if classes else 0)


@recorded_as("MultiMarginLossBackward0")
def _multi_margin(x: Any, target: Any, p: int, margin: float, weight: Any, reduction: str) -> Any:
    single = len(shape_of(x)) < 2
    rows = reshape(x, (1, -1)) if single else x
    labels = reshape(target, (-1, 1))
    own = take_along_axis(rows, labels, 1)
    gaps = clip(margin - own + rows, 0.0)
    terms = gaps if p == 1 else gaps * gaps
    if weight is not None:
        terms = multiply(terms, reshape(take_along_axis(reshape(weight, (-1,)), reshape(labels, (-1,)), 0), (-1, 1)))
    classes = shape_of(rows)[1]
    others = reshape(running_index(classes, x, target), (1, classes)) != labels
    losses = reductions.sum(select(others, terms, 0), 1) / classes
    return functional.losses.reduced(reshape(losses, ()) if single else losses, reduction)


def multi_margin_loss(
    input: Any,
    target: Any,
    p: int = 1,
    margin: float = 1.0,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """The mean over the other classes of how far their scores come within ``margin`` of the target's, to the power ``p``.

    Raises ValueError for ``p`` other than 1 and 2, and what ``nll_loss`` raises.

    >>> from tracegrad.eager import tensor
    >>> multi_margin_loss(tensor([[0.0, 1.0]]), tensor([0]))
    tensor(1.)
    """
    reduction = check_reduction(reduction_named(size_average, reduce, reduction))
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    _checked("multi_margin_loss", input, target, weight, -1)
    return _multi_margin(input, target, p, float(margin), weight, reduction)


@recorded_as("MultilabelMarginLossBackward0")
def _multilabel_margin(x: Any, target: Any, reduction: str) -> Any:
    single = len(shape_of(x)) < 2
    rows, labels = (reshape(v, (1, -1)) if single else v for v in (x, target))
    classes = shape_of(rows)[1]
    order = reshape(running_index(classes, x, target), (1, classes))
    # labels count up to the first -1
    given = order < reductions.min(select(labels < 0, order, classes), 1, keepdims=True)
    places = reshape(order, (1, 1, classes)) == expand_dims(labels, 2)
    own = reductions.any(logical_and(places, expand_dims(given, 2)), 1, keepdims=True)
    scores = reductions.sum(select(places, expand_dims(rows, 1), 0), 2, keepdims=True)
    gaps = clip(1.0 - scores + expand_dims(rows, 1), 0.0)
    counted = logical_and(expand_dims(given, 2), logical_not(own))
    losses = reductions.sum(select(counted, gaps, 0), (1, 2)) / classes
    return functional.losses.reduced(reshape(losses, ()) if single else losses, reduction)


def multilabel_margin_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """The mean over the classes of how far scores of other classes come within 1 of those of a sample's own classes.

    The target has the input's shape and lists each sample's class numbers, ended by -1. Raises ShapeError for two
    shapes, IndexError for numbers that are no classes.

    >>> from tracegrad.eager import tensor
    >>> multilabel_margin_loss(tensor([[0.0, 1.0]]), tensor([[0, -1]]))
    tensor(1.)
    """
    reduction = check_reduction(reduction_named(size_average, reduce, reduction))
    if shape_of(input) != shape_of(target) or len(shape_of(input)) not in (1, 2):
        raise refused(
            f"inconsistent target size: {list(shape_of(target))} for multilabel_margin_loss with input of size: "
            f"{list(shape_of(input))}",
            "give one row of class numbers per sample, ended by -1",
        )
    values = concrete(target)
    classes = shape_of(input)[-1]
    if values is not None and values.size and (values.min() < -1 or values.max() >= classes):
        raise IndexError(f"a target of multilabel_margin_loss is out of range: {classes} classes, -1 ends the list")
    return _multilabel_margin(input, target, reduction)
