"""Summaries of samples from ``scipy.stats``: means, moments, standard scores, entropy and correlation.

Signatures are SciPy's; ``nan_policy`` is ``"propagate"``. Where all elements are equal, a moment ratio is NaN as in SciPy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tracegrad.core.aval import normalise_axes, shape_of
from tracegrad.errors import ShapeError, TraceError
from tracegrad.ops import reductions
from tracegrad.ops.comparisons import logical_and
from tracegrad.ops.maps import absolute, exp, log, maximum, minimum, multiply, power, select, sqrt
from tracegrad.ops.pointwise import as_float
from tracegrad.ops.reductions import as_operand
from tracegrad.ops.scipy_special import rel_entr
from tracegrad.ops.special import entr
from tracegrad.ops.special_families import betaincc
from tracegrad.ops.views import broadcast_to, reshape

Axis = int | tuple[int, ...] | None


def _sample(a: Any, axis: Axis, nan_policy: str = "propagate") -> tuple[Any, Axis]:
    """The elements as floating-point numbers, and the axes; None takes all of them."""
    if nan_policy != "propagate":
        raise TraceError(
            f"scipy.stats with nan_policy={nan_policy!r} is not traced", fix="use np.nanmean and its kin, or leave it out"
        )
    a = as_float(as_operand(a))
    if not len(shape_of(a)):
        a = reshape(a, (1,))
    return (reshape(a, (-1,)), 0) if axis is None else (a, axis)


def _mean(a: Any, axis: Axis, keepdims: bool = False) -> Any:
    return reductions.mean(a, axis, keepdims=keepdims)


def _count(a: Any, axis: Axis) -> int:
    axes = range(len(shape_of(a))) if axis is None else normalise_axes(axis, len(shape_of(a)))
    return int(np.prod([shape_of(a)[k] for k in axes]))


def _weighted_mean(a: Any, axis: Axis, weights: Any, keepdims: bool) -> Any:
    if weights is None:
        return _mean(a, axis, keepdims)
    weights = broadcast_to(as_operand(weights), shape_of(a)).astype(a.dtype)
    total = reductions.sum(weights, axis, keepdims=keepdims)
    return reductions.sum(multiply(weights, a), axis, keepdims=keepdims) / total


# -- means --------------------------------------------------------------------------------------------------------------


def gmean(
    a: Any, axis: Axis = 0, dtype: Any = None, weights: Any = None, *, nan_policy: str = "propagate", keepdims: bool = False
) -> Any:
    """``scipy.stats.gmean``, the geometric mean.

    >>> gmean(np.array([1.0, 4.0])).round(12)
    np.float64(2.0)
    """
    a, axis = _sample(a if dtype is None else as_operand(a).astype(dtype), axis, nan_policy)
    return exp(_weighted_mean(log(a), axis, weights, keepdims))


def hmean(
    a: Any, axis: Axis = 0, dtype: Any = None, *, weights: Any = None, nan_policy: str = "propagate", keepdims: bool = False
) -> Any:
    """``scipy.stats.hmean``, the harmonic mean; NaN where an element is negative.

    >>> hmean(np.array([1.0, 3.0]))
    np.float64(1.5)
    """
    a, axis = _sample(a if dtype is None else as_operand(a).astype(dtype), axis, nan_policy)
    return 1.0 / _weighted_mean(1.0 / select(a >= 0, a, np.nan), axis, weights, keepdims)


def pmean(
    a: Any,
    p: float,
    *,
    axis: Axis = 0,
    dtype: Any = None,
    weights: Any = None,
    nan_policy: str = "propagate",
    keepdims: bool = False,
) -> Any:
    """``scipy.stats.pmean``, the power mean of an exponent that is a number; NaN where an element is negative.

    >>> pmean(np.array([1.0, 7.0]), 2)
    np.float64(5.0)
    """
    p = _number("pmean", "p", p)
    if p == 0:
        return gmean(a, axis, dtype, weights, nan_policy=nan_policy, keepdims=keepdims)
    a, axis = _sample(a if dtype is None else as_operand(a).astype(dtype), axis, nan_policy)
    return power(_weighted_mean(power(select(a >= 0, a, np.nan), p), axis, weights, keepdims), 1.0 / p)


def _number(name: str, which: str, value: Any) -> float:
    if isinstance(value, (int, float, np.integer, np.floating)):
        return float(value)
    raise TraceError(f"{name} is traced with a number as {which}", fix=f"give {which} as a number, outside of the arguments")


def tmean(
    a: Any,
    limits: tuple[Any, Any] | None = None,
    inclusive: tuple[bool, bool] = (True, True),
    axis: Axis = None,
    *,
    nan_policy: str = "propagate",
    keepdims: bool = False,
) -> Any:
    """``scipy.stats.tmean``, the mean of the elements between two limits.

    >>> tmean(np.array([1.0, 2.0, 50.0]), (None, 10.0))
    np.float64(1.5)
    """
    a, axis = _sample(a, axis, nan_policy)
    low, high = (None, None) if limits is None else limits
    kept: Any = None
    if low is not None:
        kept = a >= low if inclusive[0] else a > low
    if high is not None:
        below = a <= high if inclusive[1] else a < high
        kept = below if kept is None else logical_and(kept, below)
    if kept is None:
        return _mean(a, axis, keepdims)
    count = reductions.sum(kept.astype(a.dtype), axis, keepdims=keepdims)
    return reductions.sum(select(kept, a, 0.0), axis, keepdims=keepdims) / count


def sem(a: Any, axis: Axis = 0, ddof: int = 1, nan_policy: str = "propagate", *, keepdims: bool = False) -> Any:
    """``scipy.stats.sem``, the standard error of the mean.

    >>> sem(np.array([1.0, 3.0]))
    np.float64(1.0)
    """
    a, axis = _sample(a, axis, nan_policy)
    return reductions.std(a, axis, ddof=ddof, keepdims=keepdims) / _count(a, axis) ** 0.5


def zscore(a: Any, axis: Axis = 0, ddof: int = 0, nan_policy: str = "propagate") -> Any:
    """``scipy.stats.zscore``: how many standard deviations each element is above the mean.

    >>> zscore(np.array([1.0, 3.0]))
    array([-1.,  1.])
    """
    shape = shape_of(as_operand(a))
    a, axis = _sample(a, axis, nan_policy)
    center, spread = _mean(a, axis, True), reductions.std(a, axis, ddof=ddof, keepdims=True)
    # equal elements have none
    safe = select(spread > absolute(center) * float(np.finfo(a.dtype).eps), spread, np.nan)
    return reshape((a - center) / safe, shape)


# -- moments ------------------------------------------------------------------------------------------------------------


def _whole_power(x: Any, order: int) -> Any:
    found = x
    for _ in range(order - 1):
        found = found * x
    return found


def _central(a: Any, axis: Axis, *orders: int) -> tuple[Any, ...]:
    """The mean and central moments."""
    center = _mean(a, axis, True)
    away = a - center
    return center, *(_mean(_whole_power(away, order), axis, True) for order in orders)


def _dropped(x: Any, axis: Axis, keepdims: bool) -> Any:
    return x if keepdims else reductions.sum(x, axis)


def moment(
    a: Any, order: int = 1, axis: Axis = 0, nan_policy: str = "propagate", *, center: Any = None, keepdims: bool = False
) -> Any:
    """``scipy.stats.moment`` of a whole order, about the mean or ``center``.

    >>> moment(np.array([1.0, 3.0]), 2)
    np.float64(1.0)
    """
    a, axis = _sample(a, axis, nan_policy)
    if np.ndim(order) or order < 0 or int(order) != order:
        raise TraceError("moment is traced with one whole order", fix="call it once for each order")
    if order == 0:
        return _mean(a * 0.0 + 1.0, axis, keepdims)
    if order == 1 and center is None:
        return _mean(a * 0.0, axis, keepdims)
    away = a - (_mean(a, axis, True) if center is None else center)
    return _mean(_whole_power(away, int(order)), axis, keepdims)


def _regular(m2: Any, center: Any) -> Any:
    """The variance, NaN where it is rounding: all elements are equal."""
    limit = center * float(np.finfo(m2.dtype).eps)
    return select(m2 > limit * limit, m2, np.nan)


def skew(a: Any, axis: Axis = 0, bias: bool = True, nan_policy: str = "propagate", *, keepdims: bool = False) -> Any:
    """``scipy.stats.skew``: the third moment over the standard deviation cubed.

    >>> skew(np.array([0.0, 0.0, 3.0])).round(4)
    np.float64(0.7071)
    """
    a, axis = _sample(a, axis, nan_policy)
    n = _count(a, axis)
    center, m2, m3 = _central(a, axis, 2, 3)
    m2 = _regular(m2, center)
    found = m3 / (m2 * sqrt(m2))
    if not bias and n > 2:
        found = found * (((n - 1.0) * n) ** 0.5 / (n - 2.0))
    return _dropped(found, axis, keepdims)


def kurtosis(
    a: Any,
    axis: Axis = 0,
    fisher: bool = True,
    bias: bool = True,
    nan_policy: str = "propagate",
    *,
    keepdims: bool = False,
) -> Any:
    """``scipy.stats.kurtosis``: the fourth moment over the squared variance, less 3 with ``fisher``.

    >>> kurtosis(np.array([-1.0, 1.0]))
    np.float64(-2.0)
    """
    a, axis = _sample(a, axis, nan_policy)
    n = _count(a, axis)
    center, m2, m4 = _central(a, axis, 2, 4)
    m2 = _regular(m2, center)
    found = m4 / (m2 * m2)
    if not bias and n > 3:
        found = ((n * n - 1.0) * found - 3.0 * (n - 1.0) ** 2) * (1.0 / (n - 2) / (n - 3)) + 3.0
    return _dropped(found - 3.0 if fisher else found, axis, keepdims)


# -- entropy and correlation --------------------------------------------------------------------------------------------


def entropy(
    pk: Any,
    qk: Any = None,
    base: float | None = None,
    axis: Axis = 0,
    *,
    nan_policy: str = "propagate",
    keepdims: bool = False,
) -> Any:
    """``scipy.stats.entropy`` of proportions, or their relative entropy to others.

    >>> entropy(np.array([1.0, 1.0]), base=2)
    np.float64(1.0)
    """
    pk, axis = _sample(pk, axis, nan_policy)
    pk = pk / reductions.sum(pk, axis, keepdims=True)
    if qk is None:
        terms = entr(pk)
    else:
        qk = broadcast_to(as_float(as_operand(qk)), shape_of(pk))
        terms = rel_entr(pk, qk / reductions.sum(qk, axis, keepdims=True))
    found = reductions.sum(terms, axis, keepdims=keepdims)
    return found if base is None else found / float(np.log(_number("entropy", "base", base)))


class PearsonRResult(NamedTuple):
    """What ``scipy.stats.pearsonr`` gives, without its confidence interval."""

    statistic: Any
    pvalue: Any


def pearsonr(x: Any, y: Any, *, alternative: str = "two-sided", method: Any = None, axis: Axis = 0) -> PearsonRResult:
    """``scipy.stats.pearsonr``: the correlation of two samples and the probability of one as large by chance.

    >>> pearsonr(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0])).statistic.round(12)
    np.float64(0.5)
    """
    if method is not None:
        raise TraceError("pearsonr with method= is not traced", fix="leave it out")
    x, _ = _sample(x, axis)
    y, axis = _sample(y, axis)
    n = _count(x, axis)
    if n < 2:
        raise ShapeError("pearsonr of fewer than two values", fix="`x` and `y` must have length at least 2.")
    away, other = x - _mean(x, axis, True), y - _mean(y, axis, True)
    squares = reductions.sum(away * away, axis) * reductions.sum(other * other, axis)
    r = reductions.sum(away * other, axis) / sqrt(squares)
    r = maximum(minimum(r, 1.0), -1.0)
    return PearsonRResult(r, _chance(r, n, alternative))


def _chance(r: Any, n: int, alternative: str) -> Any:
    """The p-value: (r + 1)/2 has a beta distribution of n/2 - 1 twice."""
    if n == 2:
        return r * 0.0 + 1.0
    half = broadcast_to(np.asarray(n / 2 - 1, r.dtype), shape_of(r))
    if alternative == "two-sided":
        return minimum(2.0 * betaincc(half, half, (absolute(r) + 1.0) * 0.5), 1.0)
    if alternative not in ("less", "greater"):
        raise ValueError('`alternative` must be one of {"two-sided", "less", "greater"}')
    return betaincc(half, half, ((r if alternative == "greater" else -r) + 1.0) * 0.5)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (gmean, hmean, pmean, tmean, sem, zscore, moment, skew, kurtosis, entropy, pearsonr)
}
"""By the names of ``scipy.stats``."""
