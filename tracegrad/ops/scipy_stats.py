"""Densities and distribution functions of ``scipy.stats`` with location and scale, in float64 as SciPy's.

A scale that is not positive gives NaN, as in SciPy; outside of its support a logarithm is -∞ with the derivative 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tracegrad.core.aval import shape_of
from tracegrad.errors import ShapeError, TraceError
from tracegrad.ops import maps, special
from tracegrad.ops.assembly import diagonal
from tracegrad.ops.broadcasting import reduce_sum
from tracegrad.ops.comparisons import logical_and
from tracegrad.ops.linalg import cholesky
from tracegrad.ops.maps import exp, log, log1p, multiply, select
from tracegrad.ops.reductions import as_operand
from tracegrad.ops.scipy_linalg import solve_triangular
from tracegrad.ops.scipy_special import betaln
from tracegrad.ops.special_families import betainc, stdtr
from tracegrad.ops.views import broadcast_to, concatenate, expand_dims, reshape, transpose

Formula = Callable[[Any], Any]


def _double(x: Any) -> Any:
    x = as_operand(x)
    return x if x.dtype == np.float64 else x.astype(np.float64)


def _located(formula: Formula, kind: str) -> Callable[..., Any]:
    """A function of location and scale from that of the standard distribution."""

    def function(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
        x, loc, scale = _double(x), _double(loc), _double(scale)
        positive = scale > 0
        scale = select(positive, scale, 1.0)
        value = formula((x - loc) / scale)
        value = value - log(scale) if kind == "logpdf" else value / scale if kind == "pdf" else value
        return select(positive, value, np.nan)

    function.__qualname__ = kind
    return function


def _norm_logpdf(z: Any) -> Any:
    return -0.5 * (z * z) - 0.5 * math.log(2 * math.pi)


def _logistic_logpdf(z: Any) -> Any:
    size = maps.absolute(z)
    return -size - 2.0 * log1p(exp(-size))


def _inside(z: Any, value: Any, outside: float) -> Any:
    """A value on the half-line from 0 on."""
    return select(z >= 0, value, select(z < 0, outside, z))


LOG_DENSITIES: dict[str, Formula] = {
    "norm": _norm_logpdf,
    "laplace": lambda z: -maps.absolute(z) - math.log(2),
    "cauchy": lambda z: -log1p(z * z) - math.log(math.pi),
    "logistic": _logistic_logpdf,
    "gumbel_r": lambda z: -z - exp(-z),
    "gumbel_l": lambda z: z - exp(z),
    "expon": lambda z: _inside(z, -z, -np.inf),
    "halfnorm": lambda z: _inside(z, _norm_logpdf(z) + math.log(2), -np.inf),
}
DISTRIBUTIONS: dict[str, Formula] = {
    "norm.cdf": special.ndtr,
    "norm.sf": lambda z: special.ndtr(-z),
    "norm.logcdf": special.log_ndtr,
    "norm.logsf": lambda z: special.log_ndtr(-z),
    "logistic.cdf": maps.sigmoid,
    "logistic.sf": lambda z: maps.sigmoid(-z),
    "logistic.logcdf": lambda z: -maps.logaddexp(-z, 0.0),
    "logistic.logsf": lambda z: -maps.logaddexp(z, 0.0),
    "expon.cdf": lambda z: _inside(z, -maps.expm1(-z), 0.0),
    "expon.sf": lambda z: _inside(z, exp(-z), 1.0),
    "expon.logsf": lambda z: _inside(z, -z, 0.0),
    "cauchy.cdf": lambda z: 0.5 + maps.arctan(z) / math.pi,
    "gumbel_r.cdf": lambda z: exp(-exp(-z)),
    "gumbel_r.logcdf": lambda z: -exp(-z),
}


def _density(formula: Formula) -> Formula:
    return lambda z: exp(formula(z))


# -- distributions with parameters of shape ----------------------------------------------------------------------------


def _shaped(formula: Callable[..., Any], kind: str, allowed: Callable[..., Any]) -> Callable[..., Any]:
    """A function of a distribution's shape parameters, location and scale from that of the standard distribution.

    NaN where ``allowed`` of the shape parameters does not hold, as in SciPy.
    """
    count = formula.__code__.co_argcount - 1

    def function(x: Any, *parameters: Any, loc: Any = 0, scale: Any = 1) -> Any:
        shapes = [_double(p) for p in parameters[:count]]
        if len(shapes) < count or len(parameters) > count + 2:
            raise TypeError(f"{count} shape parameters, then loc and scale; got {len(parameters)} parameters")
        loc, scale = [*parameters[count:], *(loc, scale)[len(parameters) - count :]]
        x, loc, scale = _double(x), _double(loc), _double(scale)
        good = logical_and(scale > 0, allowed(*shapes))
        scale = select(scale > 0, scale, 1.0)
        value = formula((x - loc) / scale, *shapes)
        value = value - log(scale) if kind == "logpdf" else value
        return select(good, value, np.nan)

    function.__qualname__ = kind
    return function


def _counted(formula: Callable[..., Any], allowed: Callable[..., Any]) -> Callable[..., Any]:
    """A function of counts from that of a standard distribution, which has a location and no scale."""
    located = _shaped(formula, "pmf", allowed)
    return lambda k, *parameters, loc=0: located(k, *parameters, loc=loc)


def _supported(z: Any, inside: Any, value: Any, outside: float = -np.inf) -> Any:
    return select(inside, value, select(z == z, outside, z))


def _gamma_logpdf(z: Any, a: Any) -> Any:
    return _supported(z, z >= 0, special.xlogy(a - 1.0, z) - z - special.lgamma(a))


def _chi2_logpdf(z: Any, df: Any) -> Any:
    half = 0.5 * df
    return _supported(z, z >= 0, special.xlogy(half - 1.0, z) - 0.5 * z - special.lgamma(half) - half * math.log(2))


def _beta_logpdf(z: Any, a: Any, b: Any) -> Any:
    value = special.xlogy(a - 1.0, z) + special.xlog1py(b - 1.0, -z) - betaln(a, b)
    return _supported(z, logical_and(z >= 0, z <= 1), value)


def _t_logpdf(z: Any, df: Any) -> Any:
    constant = special.lgamma(0.5 * (df + 1.0)) - special.lgamma(0.5 * df) - 0.5 * log(df * math.pi)
    return constant - 0.5 * (df + 1.0) * log1p(z * z / df)


def _poisson_logpmf(k: Any, mu: Any) -> Any:
    whole = logical_and(k >= 0, maps.floor(k) == k)
    return _supported(k, whole, special.xlogy(k, mu) - special.lgamma(k + 1.0) - mu)


def _binom_logpmf(k: Any, n: Any, p: Any) -> Any:
    whole = logical_and(logical_and(k >= 0, k <= n), maps.floor(k) == k)
    ways = special.lgamma(n + 1.0) - special.lgamma(k + 1.0) - special.lgamma(n - k + 1.0)
    return _supported(k, whole, ways + special.xlogy(k, p) + special.xlog1py(n - k, -p))


def _positive(*shapes: Any) -> Any:
    good = shapes[0] > 0
    for shape in shapes[1:]:
        good = logical_and(good, shape > 0)
    return good


def _probability(n: Any, p: Any) -> Any:
    return logical_and(n >= 0, logical_and(p >= 0, p <= 1))


def _exponential(formula: Callable[..., Any]) -> Callable[..., Any]:
    """The density of a log-density, with as many parameters."""
    densities: dict[int, Callable[..., Any]] = {
        2: lambda z, a: exp(formula(z, a)),
        3: lambda z, a, b: exp(formula(z, a, b)),
    }
    return densities[formula.__code__.co_argcount]


def _from_zero(z: Any) -> Any:
    return select(z > 0, z, select(z == z, 0.0, z))


def _unit(z: Any) -> Any:
    return select(z < 1, _from_zero(z), select(z == z, 1.0, z))


def _poisson_cdf(k: Any, mu: Any) -> Any:
    count = maps.floor(k)
    return _supported(k, k >= 0, special.gammaincc(select(k >= 0, count, 0.0) + 1.0, mu), 0.0)


SHAPED: dict[str, Callable[..., Any]] = {
    "gamma": _gamma_logpdf,
    "chi2": _chi2_logpdf,
    "beta": _beta_logpdf,
    "t": _t_logpdf,
}
COUNTED: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "poisson": (_poisson_logpmf, lambda mu: mu >= 0),
    "binom": (_binom_logpmf, _probability),
}


def _pdf(formula: Callable[..., Any]) -> Callable[..., Any]:
    logarithm = _shaped(formula, "logpdf", _positive)
    return lambda x, *parameters, **named: exp(logarithm(x, *parameters, **named))


# -- several variables ----------------------------------------------------------------------------------------------------


def normal_log_density(x: Any, mean: Any = None, cov: Any = 1, allow_singular: bool = False) -> Any:
    """``scipy.stats.multivariate_normal.logpdf``, by the Cholesky factor of the covariance.

    ``cov`` is a matrix, the variances alone, or one of all; numpy.linalg.LinAlgError where it is not positive definite.
    """
    if allow_singular:
        raise TraceError("multivariate_normal with allow_singular=True has no derivative", fix="give a regular covariance")
    x, cov = _double(x), _double(cov)
    given = () if mean is None else shape_of(mean)
    size = (shape_of(cov) or given or (1,))[-1]
    if len(shape_of(cov)) < 2:
        cov = multiply(cov if len(shape_of(cov)) else broadcast_to(cov, (size,)), np.eye(size))
    deviation = x if mean is None else x - _double(mean)
    if size == 1 and len(shape_of(deviation)) < 2:
        deviation = reshape(deviation, (*shape_of(deviation), 1))
    if shape_of(deviation)[-1] != size:
        raise ShapeError(
            f"points of shape {shape_of(x)} for a covariance of shape {shape_of(cov)}", fix=f"the last axis has size {size}"
        )
    factor = cholesky(cov)
    points = reshape(deviation, (-1, size))
    whitened = solve_triangular(factor, transpose(points), lower=True)
    squares = reshape(reduce_sum(whitened * whitened, axes=(0,)), shape_of(deviation)[:-1])
    volume = reduce_sum(log(diagonal(factor)), axes=(0,))
    return -0.5 * squares - (volume + 0.5 * size * math.log(2 * math.pi))


def dirichlet_log_density(x: Any, alpha: Any) -> Any:
    """``scipy.stats.dirichlet.logpdf``; the last of the proportions along the first axis may be left out."""
    x, alpha = _double(x), _double(alpha)
    (count,) = shape_of(alpha)
    if shape_of(x)[0] == count - 1:
        x = concatenate([x, expand_dims(1.0 - reduce_sum(x, axes=(0,)), 0)])
    weights = reshape(alpha - 1.0, (-1,) + (1,) * (len(shape_of(x)) - 1))
    constant = special.lgamma(reduce_sum(alpha, axes=(0,))) - reduce_sum(special.lgamma(alpha), axes=(0,))
    return constant + reduce_sum(special.xlogy(weights, x), axes=(0,))


JOINT: dict[str, Callable[..., Any]] = {
    "multivariate_normal": normal_log_density,
    "dirichlet": dirichlet_log_density,
}


def _joint_pdf(formula: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args, **kwargs: exp(formula(*args, **kwargs))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{f"{name}.logpdf": _located(formula, "logpdf") for name, formula in LOG_DENSITIES.items()},
    **{f"{name}.pdf": _located(_density(formula), "pdf") for name, formula in LOG_DENSITIES.items()},
    **{name: _located(formula, "cdf") for name, formula in DISTRIBUTIONS.items()},
    **{f"{name}.logpdf": _shaped(formula, "logpdf", _positive) for name, formula in SHAPED.items()},
    **{f"{name}.pdf": _pdf(formula) for name, formula in SHAPED.items()},
    **{f"{name}.logpmf": _counted(*parts) for name, parts in COUNTED.items()},
    **{f"{name}.pmf": _counted(_exponential(parts[0]), parts[1]) for name, parts in COUNTED.items()},
    **{f"{name}.logpdf": formula for name, formula in JOINT.items()},
    **{f"{name}.pdf": _joint_pdf(formula) for name, formula in JOINT.items()},
    "beta.cdf": _shaped(lambda z, a, b: betainc(a, b, _unit(z)), "cdf", _positive),
    "t.cdf": _shaped(lambda z, df: stdtr(df, z), "cdf", _positive),
    "t.sf": _shaped(lambda z, df: stdtr(df, -z), "sf", _positive),
    "t.logcdf": _shaped(lambda z, df: log(stdtr(df, z)), "logcdf", _positive),
    "t.logsf": _shaped(lambda z, df: log(stdtr(df, -z)), "logsf", _positive),
    "poisson.cdf": _counted(_poisson_cdf, lambda mu: mu >= 0),
    "gamma.cdf": _shaped(lambda z, a: special.gammainc(a, _from_zero(z)), "cdf", _positive),
    "gamma.sf": _shaped(lambda z, a: special.gammaincc(a, _from_zero(z)), "sf", _positive),
    "chi2.cdf": _shaped(lambda z, df: special.gammainc(0.5 * df, 0.5 * _from_zero(z)), "cdf", _positive),
    "chi2.sf": _shaped(lambda z, df: special.gammaincc(0.5 * df, 0.5 * _from_zero(z)), "sf", _positive),
}
"""By the names of ``scipy.stats``: ``norm.logpdf`` and so on."""
