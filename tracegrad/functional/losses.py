"""Losses: each sample's or element's, then their mean or sum.

Classes lie along axis 1 (axis 0 of a vector), as in PyTorch; ``reduction`` is ``"mean"``, ``"sum"`` or ``"none"``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tracegrad.core.aval import shape_of
from tracegrad.errors import DtypeError, ShapeError
from tracegrad.functional.activations import log_softmax, peak_of, softplus
from tracegrad.ops.comparisons import logical_and, logical_not
from tracegrad.ops.maps import absolute, cast, clip, exp, log, log1p, multiply, select, stop_gradient, subtract
from tracegrad.ops.reductions import as_operand, mean
from tracegrad.ops.reductions import sum as sum_of
from tracegrad.ops.sources import running_index
from tracegrad.ops.views import broadcast_to, expand_dims, reshape

# -- what losses share ------------------------------------------------------------------------------------------------


def reduced(loss: Any, reduction: str) -> Any:
    """The mean or the sum of all losses, or the losses themselves; ValueError for another word."""
    if reduction == "mean":
        return mean(loss)
    if reduction == "sum":
        return sum_of(loss)
    if reduction != "none":
        raise ValueError(f'reduction is "mean", "sum" or "none", not {reduction!r}')
    return loss


def paired(name: str, prediction: Any, target: Any) -> tuple[Any, Any]:
    """Both operands; broadcasting is refused, since a loss over all pairs is hardly ever meant."""
    prediction, target = as_operand(prediction), as_operand(target)
    if shape_of(prediction) != shape_of(target):
        raise ShapeError(
            f"{name}: the prediction has shape {shape_of(prediction)}, the target {shape_of(target)}",
            fix="give both one shape, for example with target.reshape(prediction.shape)",
        )
    return prediction, target


# -- of classes -------------------------------------------------------------------------------------------------------


def class_axis(name: str, scores: Any) -> int:
    """The axis along which the classes lie; ShapeError for a single number."""
    shape = shape_of(scores)
    if not shape:
        raise ShapeError(f"{name}: the scores are a single number", fix="give one score per class")
    return 1 if len(shape) > 1 else 0


def _check_labels(name: str, scores: Any, labels: Any, ignore_index: int | None) -> None:
    axis = class_axis(name, scores)
    shape = shape_of(scores)
    classes = shape[axis]
    expected = shape[:axis] + shape[axis + 1 :]
    if labels.dtype.kind not in "iu":
        raise DtypeError(
            f"{name}: labels of dtype {labels.dtype} and shape {shape_of(labels)}",
            fix="give integer class numbers, or class probabilities as floats in the shape of the scores",
        )
    if shape_of(labels) != expected:
        raise ShapeError(
            f"{name}: labels of shape {shape_of(labels)} for scores of shape {shape}",
            fix=f"give one class number per sample, in shape {expected}",
        )
    if getattr(labels, "bind_rank", 0) or not labels.size:
        return
    wrong = (labels < 0) | (labels >= classes)
    if np.any(wrong if ignore_index is None else wrong & (labels != ignore_index)):
        raise IndexError(f"{name}: a label is outside 0 … {classes - 1}")


def _along_classes(weight: Any, scores: Any) -> Any:
    """One number per class in a shape that broadcasts to the scores; ShapeError where it is not one per class."""
    shape = shape_of(scores)
    axis = 1 if len(shape) > 1 else 0
    if shape_of(weight) != (shape[axis],):
        raise ShapeError(
            f"weight tensor should be defined either for all {shape[axis]} classes or no classes "
            f"but got weight tensor of shape: {list(shape_of(weight))}",
            fix=f"give a weight of shape ({shape[axis]},)",
        )
    return reshape(weight, (shape[axis], *(1,) * (len(shape) - axis - 1)))


def picked_of(scores: Any, labels: Any, checked: bool = False) -> Any:
    """The score of each label; NaN for a label that is no class, unless they are known to be classes."""
    shape = shape_of(scores)
    axis = 1 if len(shape) > 1 else 0
    classes = shape[axis]
    places = reshape(running_index(classes, scores, labels), (classes, *(1,) * (len(shape) - axis - 1)))
    hits = places == expand_dims(labels, axis)
    picked = sum_of(select(hits, scores, 0), axis)
    return picked if checked else select(logical_and(labels >= 0, labels < classes), picked, math.nan)


def weighted_by_class(losses: Any, scores: Any, labels: Any, reduction: str, weight: Any, ignore_index: int | None) -> Any:
    """Losses of samples by the weights of their classes, those to ignore left out; the mean is the weighted one."""
    if weight is None and ignore_index is None:
        return reduced(losses, reduction)
    share: Any = None
    if weight is not None:
        share = picked_of(broadcast_to(_along_classes(weight, scores), shape_of(scores)), labels)
        losses = multiply(losses, share)
    if ignore_index is not None:
        ignored = labels == ignore_index
        losses = select(ignored, 0, losses)
        share = cast(logical_not(ignored), dtype=losses.dtype) if share is None else select(ignored, 0, share)
    return sum_of(losses) / sum_of(share) if reduction == "mean" else reduced(losses, reduction)


def cross_entropy(
    logits: Any,
    labels: Any,
    reduction: str = "mean",
    weight: Any = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
) -> Any:
    """The softmax cross-entropy of unnormalised scores.

    Parameters
    ----------
    logits: scores (batch, classes, …), or (classes,) of one sample.
    labels: integer class numbers (batch, …), or class probabilities in the shape of the logits.
    reduction: ``"mean"``, ``"sum"`` or ``"none"``; the mean of labels is weighted where classes are.
    weight: one number per class, or None.
    ignore_index: a label whose samples count for nothing, or None.
    label_smoothing: the part of each label's probability that is spread over all classes.

    Raises ShapeError and DtypeError for labels of another shape or kind, IndexError for concrete class numbers out of
    range; traced ones out of range make the loss NaN.

    >>> cross_entropy(np.zeros((2, 4)), np.array([0, 3])).round(4)
    np.float64(1.3863)
    """
    logits, labels = as_operand(logits), as_operand(labels)
    axis = class_axis("cross_entropy", logits)
    if labels.dtype.kind == "f" and shape_of(labels) == shape_of(logits):
        return _soft_cross_entropy(logits, labels, reduction, weight, label_smoothing)
    _check_labels("cross_entropy", logits, labels, ignore_index)
    # shifted before the score is picked: the difference of two large numbers would lose its digits
    shifted = logits - peak_of(logits, axis)
    if label_smoothing == 0:
        picked = picked_of(shifted, labels)
        losses = log(sum_of(exp(shifted), axis)) - picked
        return weighted_by_class(losses, shifted, labels, reduction, weight, ignore_index)
    log_p = shifted - log(sum_of(exp(shifted), axis, keepdims=True))
    hard = weighted_by_class(-picked_of(log_p, labels), log_p, labels, reduction, weight, ignore_index)
    return hard * (1 - label_smoothing) + _spread(log_p, labels, reduction, weight, ignore_index) * label_smoothing


def _spread(log_p: Any, labels: Any, reduction: str, weight: Any, ignore_index: int | None) -> Any:
    """The cross-entropy with equal probabilities, summed by the weights of the classes."""
    axis = class_axis("cross_entropy", log_p)
    classes = shape_of(log_p)[axis]
    each = log_p if weight is None else multiply(log_p, _along_classes(weight, log_p))
    losses = sum_of(each, axis) * (-1.0 / classes)
    if ignore_index is not None:
        losses = select(labels == ignore_index, 0, losses)
    if reduction != "mean":
        return reduced(losses, reduction)
    ones = cast(labels == labels, dtype=losses.dtype)
    return sum_of(losses) / weighted_by_class(ones, log_p, labels, "sum", weight, ignore_index)


def _soft_cross_entropy(logits: Any, target: Any, reduction: str, weight: Any, label_smoothing: float) -> Any:
    """The cross-entropy with class probabilities; its mean is that of samples, whatever the weights."""
    axis = class_axis("cross_entropy", logits)
    if label_smoothing:
        target = target * (1 - label_smoothing) + label_smoothing / shape_of(logits)[axis]
    terms = multiply(target, log_softmax(logits, axis))
    if weight is not None:
        terms = multiply(terms, _along_classes(weight, logits))
    return reduced(-sum_of(terms, axis), reduction)


def nll_loss(
    log_probabilities: Any,
    labels: Any,
    reduction: str = "mean",
    weight: Any = None,
    ignore_index: int | None = None,
) -> Any:
    """The negative log-likelihood of integer labels.

    Parameters
    ----------
    log_probabilities: floats (batch, classes, …), or (classes,) of one sample.
    labels: integer class numbers (batch, …).
    reduction: ``"mean"``, ``"sum"`` or ``"none"``; the mean is weighted where classes are.
    weight: one number per class, or None.
    ignore_index: a label whose samples count for nothing, or None.

    Raises what ``cross_entropy`` raises.

    >>> nll_loss(np.log(np.array([[0.25, 0.75]])), np.array([1])).round(4)
    np.float64(0.2877)
    """
    scores, labels = as_operand(log_probabilities), as_operand(labels)
    _check_labels("nll_loss", scores, labels, ignore_index)
    return weighted_by_class(-picked_of(scores, labels), scores, labels, reduction, weight, ignore_index)


# -- of numbers -------------------------------------------------------------------------------------------------------


def mse_loss(prediction: Any, target: Any, reduction: str = "mean") -> Any:
    """The squared error.

    Parameters
    ----------
    prediction, target: floats of one shape; ShapeError for two.
    reduction: ``"mean"``, ``"sum"``, or ``"none"`` for the loss of each element.

    >>> mse_loss(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    np.float64(2.0)
    """
    prediction, target = paired("mse_loss", prediction, target)
    error = subtract(prediction, target)
    return reduced(error * error, reduction)


def l1_loss(prediction: Any, target: Any, reduction: str = "mean") -> Any:
    """The absolute error; its derivative at 0 is 0.

    Parameters
    ----------
    prediction, target: floats of one shape; ShapeError for two.
    reduction: ``"mean"``, ``"sum"``, or ``"none"`` for the loss of each element.

    >>> l1_loss(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    np.float64(1.0)
    """
    prediction, target = paired("l1_loss", prediction, target)
    return reduced(absolute(subtract(prediction, target)), reduction)


def huber_loss(prediction: Any, target: Any, reduction: str = "mean", delta: float = 1.0) -> Any:
    """Half the squared error up to ``delta``, from there on ``delta · (|error| - delta / 2)``.

    Parameters
    ----------
    prediction, target: floats of one shape; ShapeError for two.
    reduction: ``"mean"``, ``"sum"``, or ``"none"`` for the loss of each element.

    >>> huber_loss(np.array([0.5, 3.0]), np.zeros(2), reduction="none")
    array([0.125, 2.5  ])
    """
    prediction, target = paired("huber_loss", prediction, target)
    error = subtract(prediction, target)
    size = absolute(error)
    return reduced(select(size <= delta, error * error * 0.5, (size - 0.5 * delta) * delta), reduction)


def smooth_l1_loss(prediction: Any, target: Any, reduction: str = "mean", beta: float = 1.0) -> Any:
    """The Huber loss over ``beta``: the absolute error with a rounded tip.

    Parameters
    ----------
    prediction, target: floats of one shape; ShapeError for two.
    reduction: ``"mean"``, ``"sum"``, or ``"none"`` for the loss of each element.
    beta: where the tip ends; 0 gives the absolute error.

    >>> smooth_l1_loss(np.array([0.5, 3.0]), np.zeros(2), reduction="none")
    array([0.125, 2.5  ])
    """
    if beta == 0:
        return l1_loss(prediction, target, reduction)
    return huber_loss(prediction, target, reduction, beta) * (1.0 / beta)


# -- of yes and no, and of distributions ------------------------------------------------------------------------------


def _like(target: Any, prediction: Any) -> Any:
    """A target in the dtype of the prediction."""
    return target if target.dtype == prediction.dtype else cast(target, dtype=prediction.dtype)


def binary_cross_entropy(probabilities: Any, target: Any, reduction: str = "mean", weight: Any = None) -> Any:
    """The cross-entropy of yes-or-no targets (0 … 1) under probabilities; each logarithm is at least -100.

    Parameters
    ----------
    probabilities, target: numbers of one shape; ShapeError for two.
    reduction: ``"mean"``, ``"sum"``, or ``"none"`` for the loss of each element.
    weight: an array that broadcasts to the losses, or None.

    Within 10⁻¹² of 0 and 1 the slope is held at its value there, as in PyTorch.

    >>> binary_cross_entropy(np.array([0.5, 0.0]), np.array([1.0, 1.0]), reduction="none").round(4)
    array([  0.6931, 100.    ])
    """
    p, target = paired("binary_cross_entropy", probabilities, target)
    target = _like(target, p)
    inside = p * (1.0 - p) >= 1e-12
    safe = select(inside, p, 0.5)
    plain = multiply(target - 1.0, log1p(-safe)) - multiply(target, log(safe))
    edge = stop_gradient(p)
    # e⁻¹⁰⁰ is no float32, but its neighbour 10⁻⁴⁴ is one
    no, yes = clip(log(clip(1.0 - edge, 1e-44)), -100.0), clip(log(clip(edge, 1e-44)), -100.0)
    clipped = multiply(target - 1.0, no) - multiply(target, yes)
    slope = stop_gradient((p - target) * 1e12)
    loss = select(inside, plain, clipped + (p - edge) * slope)
    return reduced(loss if weight is None else multiply(loss, weight), reduction)


def binary_cross_entropy_with_logits(
    logits: Any, target: Any, reduction: str = "mean", weight: Any = None, pos_weight: Any = None
) -> Any:
    """The cross-entropy of yes-or-no targets (0 … 1) under ``sigmoid(logits)``.

    Parameters
    ----------
    logits, target: numbers of one shape; ShapeError for two.
    reduction: ``"mean"``, ``"sum"``, or ``"none"`` for the loss of each element.
    weight: an array that broadcasts to the losses, or None.
    pos_weight: by how much a yes counts more than a no; an array that broadcasts to the logits, or None.

    >>> binary_cross_entropy_with_logits(np.array([0.0, 1000.0]), np.array([1.0, 1.0]), reduction="none").round(4)
    array([0.6931, 0.    ])
    """
    logits, target = paired("binary_cross_entropy_with_logits", logits, target)
    target = _like(target, logits)
    missed = softplus(-logits)
    if pos_weight is not None:
        missed = multiply(missed, multiply(pos_weight - 1.0, target) + 1.0)
    loss = multiply(1.0 - target, logits) + missed
    return reduced(loss if weight is None else multiply(loss, weight), reduction)


def kl_div(log_prediction: Any, target: Any, reduction: str = "mean", log_target: bool = False) -> Any:
    """The Kullback-Leibler divergence of a distribution from the target: ``target · (ln target - log_prediction)``.

    Parameters
    ----------
    log_prediction: logarithms of probabilities.
    target: probabilities of the same shape, or with ``log_target`` their logarithms; ShapeError for two shapes.
    reduction: ``"mean"`` over all elements, ``"batchmean"`` for the sum over the size of axis 0, ``"sum"`` or ``"none"``.

    >>> kl_div(np.log(np.array([0.5, 0.5])), np.array([1.0, 0.0]), reduction="sum").round(4)
    np.float64(0.6931)
    """
    x, target = paired("kl_div", log_prediction, target)
    if log_target:
        terms = multiply(exp(target), subtract(target, x))
    else:
        positive = target > 0
        entropy = select(positive, multiply(target, log(select(positive, target, 1))), 0)
        terms = subtract(entropy, multiply(target, x))
    if reduction == "batchmean":
        return sum_of(terms) / shape_of(x)[0] if shape_of(x) else terms
    return reduced(terms, reduction)
