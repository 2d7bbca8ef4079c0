"""Distributions of ``scipy.stats`` by their standard formulas: a table, from which all functions of each are made.

A formula is of the standardised variable and the shape parameters, under SciPy's names, which may be keywords. Location
and scale, the support and what is not allowed are the same for all: outside of the support a density is 0 and its logarithm
-∞, a share 0 or 1; parameters that are not allowed give NaN. Where no formula is given for a logarithm it is that of the share,
or of what is left of 1. Far out in a tail the logarithms of ``gamma``, ``beta``, ``t`` and their kin stay finite.
The shares of ``skewnorm`` are differences, 1e-16 off in absolute terms, so that their far tails have fewer digits than SciPy's.
"""

from __future__ import annotations

import inspect
import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tracegrad.core.aval import shape_of
from tracegrad.errors import DtypeError, TraceError
from tracegrad.ops import maps, special
from tracegrad.ops import special_families as families
from tracegrad.ops.broadcasting import reduce_sum
from tracegrad.ops.comparisons import logical_and
from tracegrad.ops.maps import exp, expm1, log, log1p, select, sqrt, stop_gradient
from tracegrad.ops.reductions import as_operand, reduce_max
from tracegrad.ops.scipy_special import betaln
from tracegrad.ops.scipy_tails import (
    log_betainc,
    log_gammainc,
    log_gammaincc,
    log_skewed_share,
    log_t_share,
    log_von_mises_share,
    von_mises_share,
)
from tracegrad.ops.special_formulas import ROOT_HALF
from tracegrad.ops.views import expand_dims

Formula = Callable[..., Any]
HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)
LOG_PI = math.log(math.pi)


def _always(*shapes: Any) -> Any:
    return True


def _positive(*shapes: Any) -> Any:
    good: Any = True
    for shape in shapes:
        good = shape > 0 if good is True else logical_and(good, shape > 0)
    return good


@dataclass(frozen=True, slots=True)
class Continuous:
    """A distribution of real numbers: formulas of ``(z, *shapes)``, the ends of its support, which shapes are allowed."""

    logpdf: Formula
    cdf: Formula
    sf: Formula
    logcdf: Formula | None = None
    logsf: Formula | None = None
    low: Formula | float = -math.inf
    high: Formula | float = math.inf
    allowed: Formula = _positive
    is_open: bool = False
    """Whether the density is 0 at the ends, where its formula has no value."""


@dataclass(frozen=True, slots=True)
class Counts:
    """A distribution of whole numbers, from ``low`` to ``high``."""

    logpmf: Formula
    cdf: Formula | None = None
    """The share up to a whole number; None where it is the sum of the masses, which takes a number as ``high``."""
    logcdf: Formula | None = None
    """Its logarithm, also where it is too small for a number; None for the logarithm of ``cdf``."""
    low: Formula | float = 0.0
    high: Formula | float = math.inf
    allowed: Formula = _positive


def _double(x: Any) -> Any:
    x = as_operand(x)
    if x.dtype.kind not in "biuf":
        raise DtypeError(
            f"a distribution is given values of dtype {x.dtype}, which are no real numbers",
            fix="give its quantiles and parameters as numbers and arrays of real numbers",
        )
    return x if x.dtype == np.float64 else x.astype(np.float64)


def _end(end: Formula | float, shapes: list[Any]) -> Any:
    return end(*shapes) if callable(end) else end


def _read(formula: Formula, parameters: tuple[Any, ...], named: dict[str, Any], last: tuple[str, ...]) -> list[Any]:
    """The shape parameters of a call, then those of ``last``, location and scale, or their defaults."""
    names = [*list(inspect.signature(formula).parameters)[1:], *last]
    kind, listed = ("logpdf" if "scale" in last else "logpmf"), ", ".join(names)
    if len(parameters) > len(names):
        raise TypeError(f"{kind}() takes the parameters {listed}; {len(parameters)} were given")
    given = dict(zip(names, parameters, strict=False)) | named
    for name in named.keys() - set(names):
        raise TypeError(f"{kind}() got an unexpected keyword argument '{name}'; its parameters are {listed}")
    missing = [name for name in names if name not in given and name not in last]
    if missing:
        raise TypeError(f"{kind}() missing {len(missing)} of its parameters {listed}: {', '.join(missing)}")
    return [_double(given.get(name, {"loc": 0, "scale": 1}.get(name))) for name in names]


def _where(good: Any, value: Any, otherwise: Any) -> Any:
    return value if good is True else select(good, value, otherwise)


def _density(of: Continuous, logarithm: bool) -> Formula:
    def function(x: Any, *parameters: Any, **named: Any) -> Any:
        *shapes, loc, scale = _read(of.logpdf, parameters, named, ("loc", "scale"))
        safe = select(scale > 0, scale, 1.0)
        z = (_double(x) - loc) / safe
        low, high = _end(of.low, shapes), _end(of.high, shapes)
        inside = logical_and(z > low, z < high) if of.is_open else logical_and(z >= low, z <= high)
        value = select(inside, of.logpdf(z, *shapes), -math.inf) - log(safe)
        value = select(z == z, value, z)
        allowed = of.allowed(*shapes)
        good = scale > 0 if allowed is True else logical_and(scale > 0, allowed)
        return select(good, value if logarithm else exp(value), math.nan)

    return function


def _share(of: Continuous, formula: Formula, below: float, above: float) -> Formula:
    def function(x: Any, *parameters: Any, **named: Any) -> Any:
        *shapes, loc, scale = _read(of.logpdf, parameters, named, ("loc", "scale"))
        safe = select(scale > 0, scale, 1.0)
        z = (_double(x) - loc) / safe
        value = select(z <= _end(of.low, shapes), below, select(z >= _end(of.high, shapes), above, formula(z, *shapes)))
        value = select(z == z, value, z)
        allowed = of.allowed(*shapes)
        good = scale > 0 if allowed is True else logical_and(scale > 0, allowed)
        return select(good, value, math.nan)

    return function


def _logarithm(formula: Formula, rest: Formula, small: Formula | None = None) -> Formula:
    """The logarithm of a share, by ``small`` if given; where it is near 1, by what is left of it."""

    def function(z: Any, *shapes: Any) -> Any:
        share = formula(z, *shapes)
        great = share > 0.5
        near = log(select(great, 1.0, share)) if small is None else small(z, *shapes)
        return select(great, log1p(-select(great, rest(z, *shapes), 0.0)), near)

    return function


def _mirrored(cdf: Formula, sf: Formula, low: Formula, high: Formula) -> tuple[Formula, Formula, Formula, Formula]:
    """The four formulas of shares: the shares, and their logarithms where they are small."""
    return cdf, sf, _logarithm(cdf, sf, low), _logarithm(sf, cdf, high)


def _functions_of(of: Continuous) -> dict[str, Formula]:
    made = {
        "logpdf": _density(of, True),
        "pdf": _density(of, False),
        "cdf": _share(of, of.cdf, 0.0, 1.0),
        "sf": _share(of, of.sf, 1.0, 0.0),
        "logcdf": _share(of, of.logcdf or _logarithm(of.cdf, of.sf), -math.inf, 0.0),
        "logsf": _share(of, of.logsf or _logarithm(of.sf, of.cdf), 0.0, -math.inf),
    }
    for name, function in made.items():
        function.__qualname__ = name
    return made


def _mass(of: Counts, logarithm: bool) -> Formula:
    def function(k: Any, *parameters: Any, **named: Any) -> Any:
        *shapes, loc = _read(of.logpmf, parameters, named, ("loc",))
        z = _double(k) - loc
        inside = logical_and(logical_and(z >= _end(of.low, shapes), z <= _end(of.high, shapes)), maps.floor(z) == z)
        value = select(inside, of.logpmf(z, *shapes), -math.inf)
        value = select(z == z, value if logarithm else exp(value), z)
        return _where(of.allowed(*shapes), value, math.nan)

    return function


def _counted(x: Any) -> Any:
    """A whole number among the arguments as structure, so that programs are made for each."""
    whole = getattr(getattr(x, "dtype", None), "kind", "") == "i" and not shape_of(x)
    return operator.index(x) if whole else x


def _most(high: Any) -> int:
    """The end of a support as a number."""
    if isinstance(high, np.ndarray | np.number):
        return int(np.max(high)) if np.size(high) else 0
    raise TraceError(
        "the distribution function is a sum of masses, as many as its support has, and that is an argument of the function",
        fix="give the counts of trials as numbers from outside, or name them in static_argnames",
    )


def _summed(of: Counts, k: Any, shapes: list[Any], logarithm: bool) -> Any:
    """The masses up to k summed, along a new last axis."""
    count = np.arange(_most(_end(of.high, shapes)) + 1.0)
    spread = [expand_dims(as_operand(shape), -1) for shape in shapes]
    inside = logical_and(
        count <= expand_dims(k, -1), logical_and(count >= _end(of.low, spread), count <= _end(of.high, spread))
    )
    terms = select(inside, of.logpmf(count, *spread), -math.inf)
    last = (len(shape_of(terms)) - 1,)
    if not logarithm:
        return reduce_sum(exp(terms), axes=last)
    top = maps.maximum(stop_gradient(reduce_max(terms, axes=last)), -1e300)
    return top + log(reduce_sum(exp(terms - expand_dims(top, -1)), axes=last))


def _count_share(of: Counts, logarithm: bool) -> Formula:
    def function(k: Any, *parameters: Any, **named: Any) -> Any:
        if of.cdf is None:
            parameters, named = tuple(map(_counted, parameters)), {name: _counted(x) for name, x in named.items()}
        *shapes, loc = _read(of.logpmf, parameters, named, ("loc",))
        z = _double(k) - loc
        whole = maps.floor(z)
        if of.cdf is None:
            value = _summed(of, whole, shapes, logarithm)
        elif logarithm and of.logcdf is not None:
            value = of.logcdf(maps.maximum(whole, _end(of.low, shapes)), *shapes)
        else:
            value = log(of.cdf(whole, *shapes)) if logarithm else of.cdf(whole, *shapes)
        ends = (-math.inf, 0.0) if logarithm else (0.0, 1.0)
        value = select(whole < _end(of.low, shapes), ends[0], select(whole >= _end(of.high, shapes), ends[1], value))
        return _where(of.allowed(*shapes), select(z == z, value, z), math.nan)

    return function


# -- formulas ------------------------------------------------------------------------------------------------------------


def _norm_logpdf(z: Any) -> Any:
    return -0.5 * (z * z) - HALF_LOG_TAU


def _log1mexp(x: Any) -> Any:
    """``log(1 - exp(x))`` of a negative number."""
    return select(x > -0.6931471805599453, log(-expm1(x)), log1p(-exp(x)))


def _normal_interval(low: Any, high: Any) -> Any:
    """The logarithm of the normal share between two limits, in the tail where both have one sign."""
    flip = low > 0
    lower, upper = select(flip, -high, low), select(flip, -low, high)
    left = special.log_ndtr(upper)
    return left + _log1mexp(special.log_ndtr(lower) - left)


def _t_logpdf(z: Any, df: Any) -> Any:
    constant = special.lgamma(0.5 * (df + 1.0)) - special.lgamma(0.5 * df) - 0.5 * log(df * math.pi)
    return constant - 0.5 * (df + 1.0) * log1p(z * z / df)


def _f_logpdf(z: Any, dfn: Any, dfd: Any) -> Any:
    m, n = dfn, dfd
    head = 0.5 * m * log(m) + 0.5 * n * log(n) + special.xlogy(0.5 * m - 1.0, z)
    return head - 0.5 * (m + n) * log(n + m * z) - betaln(0.5 * m, 0.5 * n)


def _exponnorm_logpdf(z: Any, K: Any) -> Any:
    rate = 1.0 / K
    return rate * (0.5 * rate - z) + special.log_ndtr(z - rate) - log(K)


def _exponnorm_cdf(z: Any, K: Any) -> Any:
    rate = 1.0 / K
    return special.ndtr(z) - exp(rate * (0.5 * rate - z) + special.log_ndtr(z - rate))


def _exponnorm_sf(z: Any, K: Any) -> Any:
    rate = 1.0 / K
    return special.ndtr(-z) + exp(rate * (0.5 * rate - z) + special.log_ndtr(z - rate))


def _gennorm_height(beta: Any) -> Any:
    return exp(log(0.5 * beta) - special.lgamma(1.0 / beta))


def _gennorm_share(z: Any, beta: Any) -> Any:
    middle = z == 0  # where the slope is 0 times infinity by these formulas
    y = select(middle, 1.0, z)
    far = 0.5 * special.gammaincc(1.0 / beta, maps.absolute(y) ** beta)
    return select(middle, 0.5 + z * _gennorm_height(beta), select(y > 0, 1.0 - far, far))


def _gennorm_tail(z: Any, beta: Any) -> Any:
    """The logarithm of the share below a number that is not positive."""
    middle = z == 0
    y = select(middle, 1.0, z)
    far = log_gammaincc(1.0 / beta, maps.absolute(y) ** beta)
    return select(middle, 2.0 * z * _gennorm_height(beta), far) - math.log(2.0)


def _invgauss_logcdf(z: Any, mu: Any) -> Any:
    root = 1.0 / sqrt(z)
    return maps.logaddexp(special.log_ndtr(root * (z / mu - 1.0)), 2.0 / mu + special.log_ndtr(-root * (z / mu + 1.0)))


def _invgauss_logsf(z: Any, mu: Any) -> Any:
    """Two normal shares of one density at their limits, whose difference is the one of their quotients by it."""
    root = 1.0 / sqrt(z)
    near, far = root * (z / mu - 1.0), root * (z / mu + 1.0)
    # below the mean the second is small; far out both meet, and the difference is 2μ/z of the first
    outside, remote = near > 0, near > 1e4
    inner = select(outside, near, 1.0)
    quotient = special.erfcx(select(outside, far, 2.0) * ROOT_HALF) / special.erfcx(inner * ROOT_HALF)
    inside = 2.0 / mu + special.log_ndtr(-far) - special.log_ndtr(-select(outside, 1.0, near))
    smaller = select(remote, log(2.0 * mu / z), log1p(-select(remote, 0.5, select(outside, quotient, exp(inside)))))
    return special.log_ndtr(-near) + smaller


def _laplace_share(z: Any) -> Any:
    far = 0.5 * exp(-maps.absolute(z))
    return select(z > 0, 1.0 - far, far)


def _asymmetric_cdf(z: Any, kappa: Any) -> Any:
    whole = kappa + 1.0 / kappa
    return select(z >= 0, 1.0 - exp(-z * kappa) / (kappa * whole), exp(select(z >= 0, 0.0, z) / kappa) * (kappa / whole))


def _asymmetric_sf(z: Any, kappa: Any) -> Any:
    whole = kappa + 1.0 / kappa
    return select(z >= 0, exp(-z * kappa) / (kappa * whole), 1.0 - exp(select(z >= 0, 0.0, z) / kappa) * (kappa / whole))


def _log_asymmetric(z: Any, kappa: Any) -> Any:
    """The logarithm of the share below a negative number."""
    left = select(z < 0, z / kappa + 2.0 * log(kappa) - log1p(kappa * kappa), 0.0)
    return select(z < 0, left, log(_asymmetric_cdf(z, kappa)))


def _truncated_cdf(z: Any, a: Any, b: Any) -> Any:
    return exp(_normal_interval(a, z) - _normal_interval(a, b))


def _chi_logpdf(z: Any, df: Any) -> Any:
    half = 0.5 * df
    return math.log(2.0) - half * math.log(2.0) - special.lgamma(half) + special.xlogy(df - 1.0, z) - 0.5 * (z * z)


def _probability(p: Any) -> Any:
    return logical_and(p >= 0, p <= 1)


def _log_choose(n: Any, k: Any) -> Any:
    return -betaln(n - k + 1.0, k + 1.0) - log1p(n)


def _hypergeom_logpmf(k: Any, M: Any, n: Any, N: Any) -> Any:
    return _log_choose(n, k) + _log_choose(M - n, N - k) - _log_choose(M, N)


CONTINUOUS: dict[str, Continuous] = {
    "beta": Continuous(
        lambda z, a, b: special.xlogy(a - 1.0, z) + special.xlog1py(b - 1.0, -z) - betaln(a, b),
        *_mirrored(
            lambda z, a, b: families.betainc(a, b, z),
            lambda z, a, b: families.betaincc(a, b, z),
            lambda z, a, b: log_betainc(a, b, z),
            lambda z, a, b: log_betainc(b, a, 1.0 - z, z),
        ),
        low=0.0,
        high=1.0,
    ),
    "cauchy": Continuous(
        lambda z: -log1p(z * z) - LOG_PI,
        lambda z: maps.arctan2(1.0 + 0.0 * z, -z) / math.pi,
        lambda z: maps.arctan2(1.0 + 0.0 * z, z) / math.pi,
    ),
    "chi": Continuous(
        _chi_logpdf,
        *_mirrored(
            lambda z, df: special.gammainc(0.5 * df, 0.5 * (z * z)),
            lambda z, df: special.gammaincc(0.5 * df, 0.5 * (z * z)),
            lambda z, df: log_gammainc(0.5 * df, 0.5 * (z * z)),
            lambda z, df: log_gammaincc(0.5 * df, 0.5 * (z * z)),
        ),
        low=0.0,
    ),
    "chi2": Continuous(
        lambda z, df: special.xlogy(0.5 * df - 1.0, z) - 0.5 * z - special.lgamma(0.5 * df) - 0.5 * df * math.log(2),
        *_mirrored(
            lambda z, df: special.gammainc(0.5 * df, 0.5 * z),
            lambda z, df: special.gammaincc(0.5 * df, 0.5 * z),
            lambda z, df: log_gammainc(0.5 * df, 0.5 * z),
            lambda z, df: log_gammaincc(0.5 * df, 0.5 * z),
        ),
        low=0.0,
    ),
    "expon": Continuous(
        lambda z: -z, lambda z: -expm1(-z), lambda z: exp(-z), logcdf=lambda z: _log1mexp(-z), logsf=lambda z: -z, low=0.0
    ),
    "exponnorm": Continuous(_exponnorm_logpdf, _exponnorm_cdf, _exponnorm_sf),
    "f": Continuous(
        _f_logpdf,
        *_mirrored(
            lambda z, dfn, dfd: families.fdtr(dfn, dfd, z),
            lambda z, dfn, dfd: families.fdtrc(dfn, dfd, z),
            lambda z, m, n: log_betainc(0.5 * m, 0.5 * n, m * z / (n + m * z), n / (n + m * z)),
            lambda z, m, n: log_betainc(0.5 * n, 0.5 * m, n / (n + m * z), m * z / (n + m * z)),
        ),
        low=0.0,
    ),
    "gamma": Continuous(
        lambda z, a: special.xlogy(a - 1.0, z) - z - special.lgamma(a),
        *_mirrored(
            lambda z, a: special.gammainc(a, z),
            lambda z, a: special.gammaincc(a, z),
            lambda z, a: log_gammainc(a, z),
            lambda z, a: log_gammaincc(a, z),
        ),
        low=0.0,
    ),
    "gennorm": Continuous(
        lambda z, beta: log(0.5 * beta) - special.lgamma(1.0 / beta) - maps.absolute(z) ** beta,
        *_mirrored(
            _gennorm_share,
            lambda z, beta: _gennorm_share(-z, beta),
            _gennorm_tail,
            lambda z, beta: _gennorm_tail(-z, beta),
        ),
    ),
    "gumbel_l": Continuous(
        lambda z: z - exp(z),
        lambda z: -expm1(-exp(z)),
        lambda z: exp(-exp(z)),
        logcdf=lambda z: _log1mexp(-exp(z)),
        logsf=lambda z: -exp(z),
    ),
    "gumbel_r": Continuous(
        lambda z: -z - exp(-z),
        lambda z: exp(-exp(-z)),
        lambda z: -expm1(-exp(-z)),
        logcdf=lambda z: -exp(-z),
        logsf=lambda z: _log1mexp(-exp(-z)),
    ),
    "halfcauchy": Continuous(
        lambda z: math.log(2.0 / math.pi) - log1p(z * z),
        lambda z: maps.arctan(z) * (2.0 / math.pi),
        lambda z: maps.arctan2(1.0 + 0.0 * z, z) * (2.0 / math.pi),
        low=0.0,
    ),
    "halfnorm": Continuous(
        lambda z: _norm_logpdf(z) + math.log(2.0),
        lambda z: maps.erf(z * math.sqrt(0.5)),
        lambda z: special.erfc(z * math.sqrt(0.5)),
        logsf=_logarithm(
            lambda z: special.erfc(z * math.sqrt(0.5)),
            lambda z: maps.erf(z * math.sqrt(0.5)),
            lambda z: special.log_ndtr(-z) + math.log(2.0),
        ),
        low=0.0,
    ),
    "invgamma": Continuous(
        lambda z, a: -(a + 1.0) * log(z) - special.lgamma(a) - 1.0 / z,
        *_mirrored(
            lambda z, a: special.gammaincc(a, 1.0 / z),
            lambda z, a: special.gammainc(a, 1.0 / z),
            lambda z, a: log_gammaincc(a, 1.0 / z),
            lambda z, a: log_gammainc(a, 1.0 / z),
        ),
        low=0.0,
        is_open=True,
    ),
    "invgauss": Continuous(
        lambda z, mu: -HALF_LOG_TAU - 1.5 * log(z) - ((z - mu) / mu) * ((z - mu) / mu) / (2.0 * z),
        *_mirrored(
            lambda z, mu: exp(_invgauss_logcdf(z, mu)),
            lambda z, mu: exp(_invgauss_logsf(z, mu)),
            _invgauss_logcdf,
            _invgauss_logsf,
        ),
        low=0.0,
        is_open=True,
    ),
    "laplace": Continuous(
        lambda z: -maps.absolute(z) - math.log(2),
        *_mirrored(_laplace_share, lambda z: _laplace_share(-z), lambda z: z - math.log(2.0), lambda z: -z - math.log(2.0)),
    ),
    "laplace_asymmetric": Continuous(
        lambda z, kappa: -maps.absolute(z) * select(z >= 0, kappa, 1.0 / kappa) - log(kappa + 1.0 / kappa),
        *_mirrored(_asymmetric_cdf, _asymmetric_sf, _log_asymmetric, lambda z, kappa: _log_asymmetric(-z, 1.0 / kappa)),
    ),
    "lognorm": Continuous(
        lambda z, s: _norm_logpdf(log(z) / s) - log(s * z),
        lambda z, s: special.ndtr(log(z) / s),
        lambda z, s: special.ndtr(-log(z) / s),
        logcdf=lambda z, s: special.log_ndtr(log(z) / s),
        logsf=lambda z, s: special.log_ndtr(-log(z) / s),
        low=0.0,
        is_open=True,
    ),
    "pareto": Continuous(
        lambda z, b: log(b) - (b + 1.0) * log(z),
        lambda z, b: -expm1(-b * log(z)),
        lambda z, b: exp(-b * log(z)),
        logsf=lambda z, b: -b * log(z),
        low=1.0,
    ),
    "rayleigh": Continuous(
        lambda z: log(z) - 0.5 * (z * z),
        lambda z: -expm1(-0.5 * (z * z)),
        lambda z: exp(-0.5 * (z * z)),
        logcdf=lambda z: _log1mexp(-0.5 * (z * z)),
        logsf=lambda z: -0.5 * (z * z),
        low=0.0,
        is_open=True,
    ),
    "skewnorm": Continuous(
        lambda z, a: math.log(2.0) + _norm_logpdf(z) + special.log_ndtr(a * z),
        lambda z, a: special.ndtr(z) - 2.0 * families.owens_t(z, a),
        lambda z, a: special.ndtr(-z) + 2.0 * families.owens_t(z, a),
        logcdf=log_skewed_share,
        logsf=lambda z, a: log_skewed_share(-z, -a),
        allowed=_always,
    ),
    "t": Continuous(
        _t_logpdf,
        lambda z, df: families.stdtr(df, z),
        lambda z, df: families.stdtr(df, -z),
        logcdf=log_t_share,
        logsf=lambda z, df: log_t_share(-z, df),
    ),
    "truncnorm": Continuous(
        lambda z, a, b: _norm_logpdf(z) - _normal_interval(a, b),
        _truncated_cdf,
        lambda z, a, b: _truncated_cdf(-z, -b, -a),
        logcdf=lambda z, a, b: _normal_interval(a, z) - _normal_interval(a, b),
        logsf=lambda z, a, b: _normal_interval(z, b) - _normal_interval(a, b),
        low=lambda a, b: a,
        high=lambda a, b: b,
        allowed=lambda a, b: a < b,
    ),
    "uniform": Continuous(lambda z: 0.0 * z, lambda z: z, lambda z: 1.0 - z, logsf=lambda z: log1p(-z), low=0.0, high=1.0),
    "vonmises": Continuous(
        lambda z, kappa: kappa * (maps.cos(z) - 1.0) - 2.0 * HALF_LOG_TAU - log(special.i0e(kappa)),
        von_mises_share,
        lambda z, kappa: von_mises_share(-z, kappa),
        logcdf=log_von_mises_share,
        logsf=lambda z, kappa: log_von_mises_share(-z, kappa),
        allowed=lambda kappa: kappa >= 0,
    ),
    "weibull_min": Continuous(
        lambda z, c: log(c) + special.xlogy(c - 1.0, z) - z**c,
        lambda z, c: -expm1(-(z**c)),
        lambda z, c: exp(-(z**c)),
        logcdf=lambda z, c: _log1mexp(-(z**c)),
        logsf=lambda z, c: -(z**c),
        low=0.0,
    ),
}
COUNTS: dict[str, Counts] = {
    "bernoulli": Counts(
        lambda k, p: special.xlogy(k, p) + special.xlog1py(1.0 - k, -p),
        lambda k, p: select(k >= 1, 1.0, 1.0 - p),
        high=1.0,
        allowed=_probability,
    ),
    "betabinom": Counts(
        lambda k, n, a, b: _log_choose(n, k) + betaln(k + a, n - k + b) - betaln(a, b),
        high=lambda n, a, b: n,
        allowed=lambda n, a, b: logical_and(n >= 0, logical_and(a > 0, b > 0)),
    ),
    "binom": Counts(
        lambda k, n, p: (
            special.lgamma(n + 1.0)
            - special.lgamma(k + 1.0)
            - special.lgamma(n - k + 1.0)
            + special.xlogy(k, p)
            + special.xlog1py(n - k, -p)
        ),
        lambda k, n, p: families.betaincc(k + 1.0, n - k, p),
        _logarithm(
            lambda k, n, p: families.betaincc(k + 1.0, n - k, p),
            lambda k, n, p: families.betainc(k + 1.0, n - k, p),
            lambda k, n, p: log_betainc(maps.maximum(n - k, 0.5), k + 1.0, 1.0 - p, p),  # of k = n nothing is read
        ),
        high=lambda n, p: n,
        allowed=lambda n, p: logical_and(n >= 0, _probability(p)),
    ),
    "geom": Counts(
        lambda k, p: special.xlog1py(k - 1.0, -p) + log(p),
        lambda k, p: -expm1(k * log1p(-p)),
        lambda k, p: _log1mexp(k * log1p(-p)),
        low=1.0,
        allowed=lambda p: logical_and(p > 0, p <= 1),
    ),
    "hypergeom": Counts(
        _hypergeom_logpmf,
        low=lambda M, n, N: maps.maximum(N - (M - n), 0.0),
        high=lambda M, n, N: maps.minimum(n, N),
        allowed=lambda M, n, N: logical_and(M > 0, logical_and(n >= 0, logical_and(N >= 0, logical_and(n <= M, N <= M)))),
    ),
    "nbinom": Counts(
        lambda k, n, p: (
            special.lgamma(n + k) - special.lgamma(k + 1.0) - special.lgamma(n) + n * log(p) + special.xlog1py(k, -p)
        ),
        lambda k, n, p: families.betainc(n, k + 1.0, p),
        _logarithm(
            lambda k, n, p: families.betainc(n, k + 1.0, p),
            lambda k, n, p: families.betaincc(n, k + 1.0, p),
            lambda k, n, p: log_betainc(n, k + 1.0, p),
        ),
        allowed=lambda n, p: logical_and(n > 0, logical_and(p > 0, p <= 1)),
    ),
    "poisson": Counts(
        lambda k, mu: special.xlogy(k, mu) - special.lgamma(k + 1.0) - mu,
        lambda k, mu: special.gammaincc(k + 1.0, mu),
        _logarithm(
            lambda k, mu: special.gammaincc(k + 1.0, mu),
            lambda k, mu: special.gammainc(k + 1.0, mu),
            lambda k, mu: log_gammaincc(k + 1.0, mu),
        ),
        allowed=lambda mu: mu >= 0,
    ),
}

FUNCTIONS: dict[str, Formula] = {
    **{f"{name}.{which}": made for name, of in CONTINUOUS.items() for which, made in _functions_of(of).items()},
    **{f"{name}.logpmf": _mass(of, True) for name, of in COUNTS.items()},
    **{f"{name}.pmf": _mass(of, False) for name, of in COUNTS.items()},
    **{f"{name}.cdf": _count_share(of, False) for name, of in COUNTS.items()},
    **{f"{name}.logcdf": _count_share(of, True) for name, of in COUNTS.items()},
}
"""By the names of ``scipy.stats``: ``gamma.logpdf`` and so on."""
