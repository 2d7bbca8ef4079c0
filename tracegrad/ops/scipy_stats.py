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
from tracegrad.ops import maps, scipy_distributions, scipy_joint, scipy_summaries, special
from tracegrad.ops.assembly import diagonal
from tracegrad.ops.broadcasting import reduce_sum
from tracegrad.ops.linalg import cholesky, solve_triangular
from tracegrad.ops.maps import exp, log, log1p, multiply, select
from tracegrad.ops.reductions import as_operand
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


LOG_DENSITIES: dict[str, Formula] = {
    "norm": _norm_logpdf,
    "logistic": _logistic_logpdf,
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
}


def _density(formula: Formula) -> Formula:
    return lambda z: exp(formula(z))


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
    return scipy_joint.squeezed(-0.5 * squares - (volume + 0.5 * size * math.log(2 * math.pi)))


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
    **{f"{name}.logpdf": formula for name, formula in JOINT.items()},
    **{f"{name}.pdf": _joint_pdf(formula) for name, formula in JOINT.items()},
    **scipy_distributions.FUNCTIONS,
    **scipy_joint.FUNCTIONS,
    **scipy_summaries.FUNCTIONS,
}
"""By the names of ``scipy.stats``: ``norm.logpdf`` and so on."""
