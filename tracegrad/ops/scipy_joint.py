"""Distributions of ``scipy.stats`` of several variables and of matrices, in float64, by Cholesky factors.

What SciPy refuses where a parameter is a number gives NaN here, as parameters may be traced. Symmetric matrices have
symmetric gradients.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tracegrad.core.aval import shape_of
from tracegrad.errors import ShapeError
from tracegrad.ops import maps, special
from tracegrad.ops.assembly import diagonal
from tracegrad.ops.broadcasting import reduce_sum
from tracegrad.ops.comparisons import logical_and
from tracegrad.ops.indexing import getitem
from tracegrad.ops.linalg import cholesky
from tracegrad.ops.linalg import solve_triangular as solve_triangles
from tracegrad.ops.maps import exp, log, log1p, multiply, select
from tracegrad.ops.reductions import as_operand
from tracegrad.ops.views import broadcast_to, concatenate, expand_dims, reshape, squeeze, transpose

LOG_2 = math.log(2.0)


def _double(x: Any) -> Any:
    x = as_operand(x)
    return x if x.dtype == np.float64 else x.astype(np.float64)


def _total(x: Any, axis: int = -1) -> Any:
    return reduce_sum(x, axes=(axis % len(shape_of(x)),))


def squeezed(x: Any) -> Any:
    """Without axes of size 1, as SciPy's results are."""
    axes = tuple(k for k, n in enumerate(shape_of(x)) if n == 1)
    return squeeze(x, axes) if axes else x


def _matrix(given: Any, size: int | None = None) -> Any:
    """A square matrix; of a vector or number, the diagonal matrix."""
    given = _double(given)
    if len(shape_of(given)) < 2:
        n = size if size is not None else (shape_of(given) or (1,))[0]
        return multiply(broadcast_to(given, (n,)), np.eye(n))
    return given


# -- counts -------------------------------------------------------------------------------------------------------------


def multinomial_log_mass(x: Any, n: Any, p: Any) -> Any:
    """``scipy.stats.multinomial.logpmf``; where the shares do not sum to 1 the last one is what the others leave."""
    x, n, p = _double(x), _double(n), _double(p)
    if not len(shape_of(x)):
        raise ShapeError("multinomial of a number", fix="give the counts as an array: its last axis names the categories")
    if shape_of(x)[-1] != shape_of(p)[-1]:
        raise ShapeError(
            f"multinomial with counts of shape {shape_of(x)} and shares of shape {shape_of(p)}",
            fix="both have the categories along their last axis",
        )
    rest = 1.0 - _total(getitem(p, (Ellipsis, slice(None, -1))))
    whole = maps.absolute(1.0 - _total(p)) <= 10 * float(np.finfo(np.float64).eps)
    last = select(whole, getitem(p, (Ellipsis, -1)), rest)
    p = concatenate([getitem(p, (Ellipsis, slice(None, -1))), expand_dims(last, -1)], -1)
    counted = logical_and(_total(select(logical_and(x >= 0, maps.floor(x) == x), 0.0, 1.0)) == 0, _total(x) == n)
    allowed = logical_and(_total(select(logical_and(p >= 0, p <= 1), 0.0, 1.0)) == 0, n >= 0)
    value = special.lgamma(n + 1.0) + _total(special.xlogy(x, p) - special.lgamma(x + 1.0))
    return select(allowed, select(counted, value, -math.inf), math.nan)


# -- vectors ------------------------------------------------------------------------------------------------------------


def t_log_density(x: Any, loc: Any = None, shape: Any = 1, df: Any = 1) -> Any:
    """``scipy.stats.multivariate_t.logpdf``; numpy.linalg.LinAlgError where ``shape`` is not positive definite."""
    x, df = _double(x), _double(1 if df is None else df)
    shape = 1 if shape is None else shape
    given = shape_of(as_operand(shape))
    size = int(np.prod(shape_of(as_operand(loc)))) if loc is not None else given[0] if len(given) > 1 else 1
    matrix = _matrix(shape, size)
    if shape_of(matrix) != (size, size):
        raise ShapeError(f"multivariate_t with a shape matrix of {shape_of(matrix)}", fix=f"it is {size} by {size}")
    if len(shape_of(x)) < 2:
        x = reshape(x, (-1, 1) if size == 1 else (1, -1))
    away = x if loc is None else x - reshape(_double(loc), (size,))
    factor = cholesky(matrix)
    points = solve_triangles(factor, transpose(reshape(away, (-1, size))), lower=True)
    squares = reshape(reduce_sum(points * points, axes=(0,)), shape_of(away)[:-1])
    half = 0.5 * (df + size)
    volume = _total(log(diagonal(factor)))
    infinite = df == math.inf
    safe = select(infinite, 1.0, df)
    found = (
        special.lgamma(0.5 * (safe + size))
        - special.lgamma(0.5 * safe)
        - (0.5 * size) * log(safe * math.pi)
        - volume
        - select(infinite, 1.0, half) * log1p(squares / safe)
    )
    normal = -0.5 * squares - volume - (0.5 * size) * math.log(2.0 * math.pi)
    return squeezed(select(df > 0, select(infinite, normal, found), math.nan))


# -- matrices -----------------------------------------------------------------------------------------------------------


def _matrices(name: str, x: Any, size: int) -> Any:
    """The points of a distribution of matrices, which SciPy has along the last axis, as a stack."""
    x = _double(x)
    if len(shape_of(x)) == 1 and size == 1:
        return reshape(x, (-1, 1, 1))
    if len(shape_of(x)) < 2:
        x = _matrix(x, size)
    if shape_of(x)[:2] != (size, size) or len(shape_of(x)) > 3:
        raise ShapeError(f"{name} at points of shape {shape_of(x)}", fix=f"give {size} by {size} matrices, along a last axis")
    return expand_dims(x, 0) if len(shape_of(x)) == 2 else transpose(x, (2, 0, 1))


def _log_volume(factor: Any) -> Any:
    return 2.0 * _total(log(diagonal(factor, 0, -2, -1)))


def _scale_and_points(name: str, x: Any, df: Any, scale: Any) -> tuple[Any, Any, Any, int]:
    """Factors of the scale matrix and of the points, the degrees of freedom and the size."""
    matrix = _matrix(1.0 if scale is None else scale)
    size = shape_of(matrix)[-1]
    if shape_of(matrix) != (size, size):
        raise ShapeError(f"{name} with a scale matrix of shape {shape_of(matrix)}", fix="give a square one")
    points = cholesky(_matrices(name, x, size))
    return broadcast_to(cholesky(matrix), shape_of(points)), points, _double(size if df is None else df), size


def _share_of_trace(outer: Any, inner: Any) -> Any:
    """The trace of B⁻¹ A, from the Cholesky factors of B and A."""
    turned = solve_triangles(outer, inner, lower=True)
    return _total(_total(turned * turned))


def wishart_log_density(x: Any, df: Any, scale: Any) -> Any:
    """``scipy.stats.wishart.logpdf`` of matrices along the last axis of x."""
    spread, points, df, size = _scale_and_points("wishart", x, df, scale)
    head = 0.5 * (df - size - 1.0) * _log_volume(points) - 0.5 * _share_of_trace(spread, points)
    found = head - (0.5 * df * (size * LOG_2) + 0.5 * df * _log_volume(spread) + special.multigammaln(0.5 * df, size))
    return squeezed(select(df > size - 1, found, math.nan))


def inverse_wishart_log_density(x: Any, df: Any, scale: Any) -> Any:
    """``scipy.stats.invwishart.logpdf`` of matrices along the last axis of x."""
    spread, points, df, size = _scale_and_points("invwishart", x, df, scale)
    head = 0.5 * df * _log_volume(spread) - 0.5 * _share_of_trace(points, spread)
    found = head - (
        0.5 * df * (size * LOG_2) + 0.5 * (df + size + 1.0) * _log_volume(points) + special.multigammaln(0.5 * df, size)
    )
    return squeezed(select(df > size - 1, found, math.nan))


def _without_logarithm(formula: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args, **kwargs: exp(formula(*args, **kwargs))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "multinomial.logpmf": multinomial_log_mass,
    "multinomial.pmf": _without_logarithm(multinomial_log_mass),
    "multivariate_t.logpdf": t_log_density,
    "multivariate_t.pdf": _without_logarithm(t_log_density),
    "wishart.logpdf": wishart_log_density,
    "wishart.pdf": _without_logarithm(wishart_log_density),
    "invwishart.logpdf": inverse_wishart_log_density,
    "invwishart.pdf": _without_logarithm(inverse_wishart_log_density),
}
"""By the names of ``scipy.stats``."""
