"""Activation functions, and the softmax family with its sums of exponentials."""

from __future__ import annotations

import math
from typing import Any

import numpy as np  # noqa: F401 - the examples need it

from tracegrad.core.aval import normalise_axis, shape_of
from tracegrad.errors import ShapeError
from tracegrad.ops.assembly import split
from tracegrad.ops.comparisons import isfinite, logical_and
from tracegrad.ops.maps import (
    absolute,
    erf,
    exp,
    expm1,
    log,
    log1p,
    maximum,
    multiply,
    select,
    sigmoid,
    stop_gradient,
    tanh,
)
from tracegrad.ops.maps import relu as positive_part
from tracegrad.ops.reductions import as_operand
from tracegrad.ops.reductions import max as max_of
from tracegrad.ops.reductions import sum as sum_of
from tracegrad.ops.views import reshape

Axes = int | tuple[int, ...]

SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946

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
    return positive_part(as_operand(x))


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


def mish(x: Any) -> Any:
    """``x · tanh(softplus(x))``.

    >>> mish(np.array([0.0, 1.0])).round(4)
    array([0.    , 0.8651])
    """
    return x * tanh(softplus(as_operand(x)))


def selu(x: Any) -> Any:
    """``elu`` with the slope and scale under which means and variances keep to 0 and 1.

    >>> selu(np.array([-1.0, 1.0])).round(4)
    array([-1.1113,  1.0507])
    """
    x = as_operand(x)
    return select(x > 0, x * SELU_SCALE, expm1(select(x > 0, 0, x)) * (SELU_SCALE * SELU_ALPHA))


def celu(x: Any, alpha: float = 1.0) -> Any:
    """``x`` where it is positive, ``alpha · (e^(x/alpha) - 1)`` elsewhere.

    >>> celu(np.array([-1.0, 2.0]), 2.0).round(4)
    array([-0.7869,  2.    ])
    """
    x = as_operand(x)
    return select(x > 0, x, expm1(select(x > 0, 0, x) / alpha) * alpha)


def prelu(x: Any, weight: Any) -> Any:
    """``x`` where it is positive, ``weight · x`` elsewhere; the weight is an array that broadcasts to ``x``.

    >>> prelu(np.array([-1.0, 2.0]), np.array([0.1, 0.1]))
    array([-0.1,  2. ])
    """
    x = as_operand(x)
    return select(x > 0, x, multiply(x, weight))


def hardtanh(x: Any, low: float = -1.0, high: float = 1.0) -> Any:
    """``x`` held between two numbers; the derivative is 0 outside and on the bounds.

    >>> hardtanh(np.array([-3.0, 0.5, 3.0]))
    array([-1. ,  0.5,  1. ])
    """
    x = as_operand(x)
    return select(x <= low, low, select(x >= high, high, x))


def hardsigmoid(x: Any) -> Any:
    """``(x + 3) / 6`` held between 0 and 1.

    >>> hardsigmoid(np.array([-4.0, 0.0, 1.5]))
    array([0.  , 0.5 , 0.75])
    """
    return hardtanh(as_operand(x) + 3.0, 0.0, 6.0) / 6.0


def hardswish(x: Any) -> Any:
    """``x · hardsigmoid(x)``.

    >>> hardswish(np.array([-4.0, 1.5, 4.0]))
    array([-0.   ,  1.125,  4.   ])
    """
    return x * hardtanh(as_operand(x) + 3.0, 0.0, 6.0) / 6.0


def hardshrink(x: Any, threshold: float = 0.5) -> Any:
    """``x`` beyond the threshold on either side, 0 within.

    >>> hardshrink(np.array([-2.0, 0.1]))
    array([-2.,  0.])
    """
    x = as_operand(x)
    return select(logical_and(x >= -threshold, x <= threshold), 0, x)


def softshrink(x: Any, threshold: float = 0.5) -> Any:
    """``x`` moved towards 0 by the threshold, 0 within it.

    >>> softshrink(np.array([-2.0, 0.1]))
    array([-1.5,  0. ])
    """
    x = as_operand(x)
    # written so that NaN, which is on no side, is kept
    return select(x > threshold, x - threshold, select(x < -threshold, x + threshold, x * 0))


def softsign(x: Any) -> Any:
    """``x / (1 + |x|)``.

    >>> softsign(np.array([-1.0, 3.0]))
    array([-0.5 ,  0.75])
    """
    x = as_operand(x)
    return x / (absolute(x) + 1.0)


def tanhshrink(x: Any) -> Any:
    """``x - tanh(x)``.

    >>> tanhshrink(np.array([0.0, 1.0])).round(4)
    array([0.    , 0.2384])
    """
    return x - tanh(x)


def threshold(x: Any, limit: float, value: float) -> Any:
    """``x`` where it is above the limit, ``value`` elsewhere.

    >>> threshold(np.array([-1.0, 2.0]), 0.0, 9.0)
    array([9., 2.])
    """
    x = as_operand(x)
    return select(x <= limit, value, x)


def glu(x: Any, axis: int = -1) -> Any:
    """The first half of ``x`` along an axis times the sigmoid of the second half; ShapeError for an odd size.

    >>> glu(np.array([2.0, 0.0]))
    array([1.])
    """
    x = as_operand(x)
    shape = shape_of(x)
    place = normalise_axis(axis, len(shape))
    if shape[place] % 2:
        raise ShapeError(f"glu: axis {place} of shape {shape} has {shape[place]} elements", fix="halve an axis of even size")
    first, second = split(x, 2, place)
    return first * sigmoid(second)


def softplus(x: Any, beta: float = 1.0, threshold: float = math.inf) -> Any:
    """``ln(1 + e^(beta·x)) / beta`` without overflow; ``x`` itself where ``beta·x`` is above the threshold.

    >>> softplus(np.array([-99.0, 0.0, 99.0])).round(4)
    array([ 0.    ,  0.6931, 99.    ])
    """
    scaled = x if beta == 1 else x * beta
    out = maximum(scaled, 0.0) + log1p(exp(-absolute(scaled)))
    out = out if beta == 1 else out / beta
    return out if math.isinf(threshold) else select(scaled > threshold, x, out)


def log_sigmoid(x: Any) -> Any:
    """``ln sigmoid(x)`` without underflow.

    >>> log_sigmoid(np.array([-30.0, 0.0])).round(4)
    array([-30.    ,  -0.6931])
    """
    return -softplus(-as_operand(x))


# -- sums of exponentials ---------------------------------------------------------------------------------------------


def peak_of(x: Any, axis: Axes | None) -> Any:
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
    peak = peak_of(x, axis)
    total = sum_of(exp(x - peak), axis, keepdims=keepdims)
    return log(total) + reshape(peak, shape_of(total))


def softmax(x: Any, axis: Axes = -1) -> Any:
    """``eˣ / Σ eˣ`` along an axis, or over several, in the shape of ``x``.

    >>> softmax(np.array([0.0, np.log(3.0)]))
    array([0.25, 0.75])
    """
    x = as_operand(x)
    weights = exp(x - peak_of(x, axis))
    return weights / sum_of(weights, axis, keepdims=True)


def log_softmax(x: Any, axis: Axes = -1) -> Any:
    """``ln softmax(x)`` along an axis, without underflow, in the shape of ``x``.

    >>> log_softmax(np.array([0.0, 1000.0]))
    array([-1000.,     0.])
    """
    x = as_operand(x)
    shifted = x - peak_of(x, axis)
    return shifted - log(sum_of(exp(shifted), axis, keepdims=True))
