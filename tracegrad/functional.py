"""Functions of neural networks and statistics for arrays, Tensors and traced values alike.

Each is a composite of ops and has no derivative rule of its own: its derivative is that of its parts, and in a static
graph fusion makes it one kernel. Conventions: ``relu`` and ``leaky_relu`` have at 0 the slope of the negative side;
losses take ``reduction`` as ``"mean"``, ``"sum"`` or ``"none"``; classes lie along axis 1 (axis 0 of a vector), as in
PyTorch. Results have the dtype of their floats, as under NumPy's promotion. ``sigmoid``, ``tanh`` and ``stop_gradient`` are
ops themselves: the logistic function, the hyperbolic tangent, and the value itself taken for a constant by derivatives.

>>> sigmoid(0.0), tanh(0.0), stop_gradient(np.ones(2))
(np.float64(0.5), np.float64(0.0), array([1., 1.]))
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tracegrad.core.aval import shape_of
from tracegrad.errors import DtypeError, ShapeError
from tracegrad.ops.comparisons import isfinite, logical_and
from tracegrad.ops.contractions import matmul
from tracegrad.ops.conv import conv2d
from tracegrad.ops.maps import (
    absolute,
    add,
    cast,
    erf,
    exp,
    expm1,
    log,
    log1p,
    maximum,
    multiply,
    select,
    sigmoid,
    sqrt,
    stop_gradient,
    subtract,
    tanh,
)
from tracegrad.ops.pooling import avg_pool2d, max_pool2d
from tracegrad.ops.reductions import as_operand, mean
from tracegrad.ops.reductions import max as max_of
from tracegrad.ops.reductions import sum as sum_of
from tracegrad.ops.sources import running_index
from tracegrad.ops.views import expand_dims, reshape, transpose

__all__ = [
    "avg_pool2d",
    "binary_cross_entropy_with_logits",
    "conv2d",
    "cross_entropy",
    "elu",
    "gelu",
    "huber_loss",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "logsumexp",
    "max_pool2d",
    "mse_loss",
    "nll_loss",
    "one_hot",
    "relu",
    "sigmoid",
    "silu",
    "smooth_l1_loss",
    "softmax",
    "softplus",
    "stop_gradient",
    "tanh",
    "where",
]

Axes = int | tuple[int, ...]

# -- activations ------------------------------------------------------------------------------------------------------


def where(condition: Any, x: Any, y: Any) -> Any:
    """``x`` where the condition holds, ``y`` elsewhere; the branch not taken cannot spoil a gradient with NaN.

    >>> where(np.array([True, False]), 1.0, 2.0)
    array([1., 2.])
    """
    return select(condition, x, y)


def relu(x: Any) -> Any:
    """``max(x, 0)``; NaN stays NaN, the derivative at 0 is 0.

    >>> relu(np.array([-1.0, 0.0, 2.0]))
    array([0., 0., 2.])
    """
    x = as_operand(x)
    # written by the negative side, so that NaN, which is on no side, is kept
    return select(x <= 0, 0, x)


def leaky_relu(x: Any, negative_slope: float = 0.01) -> Any:
    """``x`` where it is positive, ``negative_slope · x`` elsewhere.

    >>> leaky_relu(np.array([-1.0, 2.0]), 0.1)
    array([-0.1,  2. ])
    """
    x = as_operand(x)
    return select(x > 0, x, x * negative_slope)


def elu(x: Any, alpha: float = 1.0) -> Any:
    """``x`` where it is positive, ``alpha · (eˣ - 1)`` elsewhere.

    >>> elu(np.array([-1.0, 2.0])).round(4)
    array([-0.6321,  2.    ])
    """
    x = as_operand(x)
    return select(x > 0, x, expm1(select(x > 0, 0, x)) * alpha)


def gelu(x: Any, approximate: str = "none") -> Any:
    """``x`` times the normal distribution's share below ``x``: by erf, or with ``approximate="tanh"`` by tanh.

    >>> gelu(np.array([-1.0, 0.0, 1.0])).round(4)
    array([-0.1587,  0.    ,  0.8413])
    """
    x = as_operand(x)
    if approximate == "tanh":
        inner = (x + x * x * x * 0.044715) * math.sqrt(2.0 / math.pi)
        return x * 0.5 * (tanh(inner) + 1.0)
    if approximate != "none":
        raise ValueError(f'gelu: approximate is "none" or "tanh", not {approximate!r}')
    return x * 0.5 * (erf(x * math.sqrt(0.5)) + 1.0)


def silu(x: Any) -> Any:
    """``x · sigmoid(x)``, also called swish.

    >>> silu(np.array([0.0, 1.0])).round(4)
    array([0.    , 0.7311])
    """
    return x * sigmoid(x)


def softplus(x: Any) -> Any:
    """``ln(1 + eˣ)`` without overflow.

    >>> softplus(np.array([-99.0, 0.0, 99.0])).round(4)
    array([ 0.    ,  0.6931, 99.    ])
    """
    return maximum(x, 0.0) + log1p(exp(-absolute(x)))


def log_sigmoid(x: Any) -> Any:
    """``ln sigmoid(x)`` without underflow.

    >>> log_sigmoid(np.array([-30.0, 0.0])).round(4)
    array([-30.    ,  -0.6931])
    """
    return -softplus(-as_operand(x))


# -- sums of exponentials ---------------------------------------------------------------------------------------------


def _peak(x: Any, axis: Axes | None) -> Any:
    """The maximum to subtract before exponentials, 0 where infinite; results do not depend on it, so no gradient."""
    peak = stop_gradient(max_of(x, axis, keepdims=True))
    return select(isfinite(peak), peak, 0)


def logsumexp(x: Any, axis: Axes | None = None, keepdims: bool = False) -> Any:
    """``ln Σ eˣ`` without overflow; -∞ where all terms are 0.

    Parameters
    ----------
    x: an array of floats.
    axis: an axis or several to sum over, all by default.
    keepdims: whether they stay as axes of size 1.

    >>> logsumexp(np.array([1000.0, 1000.0])).round(4)
    np.float64(1000.6931)
    """
    x = as_operand(x)
    peak = _peak(x, axis)
    total = sum_of(exp(x - peak), axis, keepdims=keepdims)
    return log(total) + reshape(peak, shape_of(total))


def softmax(x: Any, axis: Axes = -1) -> Any:
    """``eˣ / Σ eˣ`` along an axis, or over several, in the shape of ``x``.

    >>> softmax(np.array([0.0, np.log(3.0)]))
    array([0.25, 0.75])
    """
    x = as_operand(x)
    weights = exp(x - _peak(x, axis))
    return weights / sum_of(weights, axis, keepdims=True)


def log_softmax(x: Any, axis: Axes = -1) -> Any:
    """``ln softmax(x)`` along an axis, without underflow, in the shape of ``x``.

    >>> log_softmax(np.array([0.0, 1000.0]))
    array([-1000.,     0.])
    """
    x = as_operand(x)
    shifted = x - _peak(x, axis)
    return shifted - log(sum_of(exp(shifted), axis, keepdims=True))


# -- losses -----------------------------------------------------------------------------------------------------------


def _reduced(loss: Any, reduction: str) -> Any:
    if reduction == "mean":
        return mean(loss)
    if reduction == "sum":
        return sum_of(loss)
    if reduction != "none":
        raise ValueError(f'reduction is "mean", "sum" or "none", not {reduction!r}')
    return loss


def _paired(name: str, prediction: Any, target: Any) -> tuple[Any, Any]:
    """Both operands; broadcasting is refused, since a loss over all pairs is hardly ever meant."""
    prediction, target = as_operand(prediction), as_operand(target)
    if shape_of(prediction) != shape_of(target):
        raise ShapeError(
            f"{name}: the prediction has shape {shape_of(prediction)}, the target {shape_of(target)}",
            fix="give both one shape, for example with target.reshape(prediction.shape)",
        )
    return prediction, target


def _picked(name: str, scores: Any, labels: Any) -> Any:
    """The score of each label, NaN for a label that is no class."""
    shape = shape_of(scores)
    if not shape:
        raise ShapeError(f"{name}: the scores are a single number", fix="give one score per class")
    axis = 1 if len(shape) > 1 else 0
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
    if not getattr(labels, "bind_rank", 0) and labels.size and (np.min(labels) < 0 or np.max(labels) >= classes):
        raise IndexError(f"{name}: a label is outside 0 … {classes - 1}")
    places = reshape(running_index(classes, scores, labels), (classes, *(1,) * (len(shape) - axis - 1)))
    hits = places == expand_dims(labels, axis)
    picked = sum_of(select(hits, scores, 0), axis)
    return select(logical_and(labels >= 0, labels < classes), picked, math.nan)


def cross_entropy(logits: Any, labels: Any, reduction: str = "mean") -> Any:
    """The softmax cross-entropy of unnormalised scores.

    Parameters
    ----------
    logits: scores (batch, classes, …), or (classes,) of one sample.
    labels: integer class numbers (batch, …), or class probabilities in the shape of the logits.
    reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Raises ShapeError and DtypeError for labels of another shape or kind, IndexError for concrete class numbers out of
    range; traced ones out of range make the loss NaN.

    >>> cross_entropy(np.zeros((2, 4)), np.array([0, 3])).round(4)
    np.float64(1.3863)
    """
    logits, labels = as_operand(logits), as_operand(labels)
    axis = 1 if len(shape_of(logits)) > 1 else 0
    if labels.dtype.kind == "f" and shape_of(labels) == shape_of(logits):
        return _reduced(-sum_of(multiply(labels, log_softmax(logits, axis)), axis), reduction)
    # shifted before the score is picked: the difference of two large numbers would lose its digits
    shifted = logits - _peak(logits, axis) if shape_of(logits) else logits
    picked = _picked("cross_entropy", shifted, labels)
    return _reduced(log(sum_of(exp(shifted), axis)) - picked, reduction)


def nll_loss(log_probabilities: Any, labels: Any, reduction: str = "mean") -> Any:
    """The negative log-likelihood of integer labels.

    Parameters
    ----------
    log_probabilities: floats (batch, classes, …), or (classes,) of one sample.
    labels: integer class numbers (batch, …).
    reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Raises what ``cross_entropy`` raises.

    >>> nll_loss(np.log(np.array([[0.25, 0.75]])), np.array([1])).round(4)
    np.float64(0.2877)
    """
    return _reduced(-_picked("nll_loss", as_operand(log_probabilities), as_operand(labels)), reduction)


def mse_loss(prediction: Any, target: Any, reduction: str = "mean") -> Any:
    """The squared error.

    Parameters
    ----------
    prediction, target: floats of one shape; ShapeError for two.
    reduction: ``"mean"``, ``"sum"``, or ``"none"`` for the loss of each element.

    >>> mse_loss(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    np.float64(2.0)
    """
    prediction, target = _paired("mse_loss", prediction, target)
    error = subtract(prediction, target)
    return _reduced(error * error, reduction)


def l1_loss(prediction: Any, target: Any, reduction: str = "mean") -> Any:
    """The absolute error; its derivative at 0 is 0.

    Parameters
    ----------
    prediction, target: floats of one shape; ShapeError for two.
    reduction: ``"mean"``, ``"sum"``, or ``"none"`` for the loss of each element.

    >>> l1_loss(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    np.float64(1.0)
    """
    prediction, target = _paired("l1_loss", prediction, target)
    return _reduced(absolute(subtract(prediction, target)), reduction)


def huber_loss(prediction: Any, target: Any, reduction: str = "mean", delta: float = 1.0) -> Any:
    """Half the squared error up to ``delta``, from there on ``delta · (|error| - delta / 2)``.

    Parameters
    ----------
    prediction, target: floats of one shape; ShapeError for two.
    reduction: ``"mean"``, ``"sum"``, or ``"none"`` for the loss of each element.

    >>> huber_loss(np.array([0.5, 3.0]), np.zeros(2), reduction="none")
    array([0.125, 2.5  ])
    """
    prediction, target = _paired("huber_loss", prediction, target)
    error = subtract(prediction, target)
    size = absolute(error)
    return _reduced(select(size <= delta, error * error * 0.5, (size - 0.5 * delta) * delta), reduction)


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


def binary_cross_entropy_with_logits(logits: Any, target: Any, reduction: str = "mean") -> Any:
    """The cross-entropy of yes-or-no targets (0 … 1) under ``sigmoid(logits)``.

    Parameters
    ----------
    logits, target: numbers of one shape; ShapeError for two.
    reduction: ``"mean"``, ``"sum"``, or ``"none"`` for the loss of each element.

    >>> binary_cross_entropy_with_logits(np.array([0.0, 1000.0]), np.array([1.0, 1.0]), reduction="none").round(4)
    array([0.6931, 0.    ])
    """
    logits, target = _paired("binary_cross_entropy_with_logits", logits, target)
    target = target if target.dtype == logits.dtype else cast(target, dtype=logits.dtype)
    return _reduced(subtract(softplus(logits), multiply(logits, target)), reduction)


# -- layers -----------------------------------------------------------------------------------------------------------


def one_hot(labels: Any, classes: int, dtype: Any = np.float64) -> Any:
    """Integer labels as vectors along a new last axis, 1 at the label and 0 elsewhere.

    Parameters
    ----------
    labels: integers of any shape, DtypeError for others; a label that is no class gives zeros.
    classes: the size of the new axis.
    dtype: of the result.

    >>> one_hot(np.array([0, 2]), 3)
    array([[1., 0., 0.],
           [0., 0., 1.]])
    """
    labels = as_operand(labels)
    if labels.dtype.kind not in "iu":
        raise DtypeError(f"one_hot: labels of dtype {labels.dtype}", fix="give integers, for example labels.astype(int)")
    return cast(expand_dims(labels, -1) == running_index(classes, labels), dtype=np.dtype(dtype))


def linear(x: Any, weight: Any, bias: Any = None) -> Any:
    """``x @ weight.T + bias`` with a weight of shape (outputs, inputs), as in PyTorch.

    Parameters
    ----------
    x: floats (…, inputs).
    weight: floats (outputs, inputs).
    bias: one number per output, or None.

    Returns floats (…, outputs); ShapeError where the inputs do not fit.

    >>> linear(np.array([1.0, 2.0]), np.array([[1.0, 1.0], [0.0, 1.0]]), np.array([0.5, 0.0]))
    array([3.5, 2. ])
    """
    x, weight = as_operand(x), as_operand(weight)
    if len(shape_of(weight)) != 2 or not shape_of(x) or shape_of(x)[-1] != shape_of(weight)[1]:
        raise ShapeError(
            f"linear: an input of shape {shape_of(x)} and a weight of shape {shape_of(weight)}",
            fix="the weight has shape (outputs, inputs), and the input's last axis has the size of inputs",
        )
    out = matmul(x, transpose(weight))
    return out if bias is None else add(out, bias)


def layer_norm(x: Any, weight: Any = None, bias: Any = None, axis: Axes = -1, eps: float = 1e-5) -> Any:
    """``x`` less its mean over its standard deviation along ``axis``, then scaled by ``weight`` and moved by ``bias``.

    Parameters
    ----------
    x: an array of floats.
    weight, bias: arrays that broadcast to ``x``, or None.
    axis: an axis or several.
    eps: added to the variance, which keeps the divisor from 0.

    >>> layer_norm(np.array([1.0, 3.0]), eps=0.0)
    array([-1.,  1.])
    """
    x = as_operand(x)
    away = x - mean(x, axis, keepdims=True)
    variance = mean(away * away, axis, keepdims=True)
    out = away * (1.0 / sqrt(variance + eps))
    out = out if weight is None else multiply(out, weight)
    return out if bias is None else add(out, bias)
