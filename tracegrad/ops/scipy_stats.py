"""Densities and distribution functions of ``scipy.stats`` with location and scale, in float64 as SciPy's.

A scale that is not positive gives NaN, as in SciPy; outside of its support a logarithm is -∞ with the derivative 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tracegrad.ops import maps, special
from tracegrad.ops.maps import exp, log, log1p, select
from tracegrad.ops.reductions import as_operand

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


FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{f"{name}.logpdf": _located(formula, "logpdf") for name, formula in LOG_DENSITIES.items()},
    **{f"{name}.pdf": _located(_density(formula), "pdf") for name, formula in LOG_DENSITIES.items()},
    **{name: _located(formula, "cdf") for name, formula in DISTRIBUTIONS.items()},
}
"""By the names of ``scipy.stats``: ``norm.logpdf`` and so on."""
