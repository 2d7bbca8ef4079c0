"""Derivatives by quadrature: of the incomplete gamma and beta functions in their shape parameters, and of erfcx.

Both are shares of a log-concave density on the logarithmic (or logistic) scale, so that a derivative in a parameter is the
integral of that density times the derivative of its logarithm, over the side of the share that has the smaller tail. From the
limit outwards the integrand falls without a turn; it is cut where it is e⁻⁴⁰ of its value there, and Gauss and Legendre's rule
of 48 points is taken on that interval: 1e-13 and better against mpmath for parameters from 1e-3 to 1e5. Where a parameter below
1 would stretch the interval to many times the scale of the integrand, the recurrence shifts it up by 1. The formula is made of
ordinary ops, points along a trailing axis, so higher derivatives follow from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tracegrad.ops.broadcasting import reduce_sum
from tracegrad.ops.maps import cast, exp, expm1, log, log1p, maximum, minimum, select, sqrt, stop_gradient
from tracegrad.ops.views import expand_dims

POINTS, WEIGHTS = np.polynomial.legendre.leggauss(48)
POINTS, WEIGHTS = 0.5 * (POINTS + 1.0), 0.5 * WEIGHTS
CUT = 40.0
ROOT_PI = math.sqrt(math.pi)


def _integral(values: Any) -> Any:
    """The integral over [0, 1] of values at the points, along the last axis."""
    return reduce_sum(values * WEIGHTS.astype(values.dtype), axes=(len(values.shape) - 1,))


def _spread(x: Any) -> Any:
    return expand_dims(x, -1)


def _at_points(extent: Any) -> Any:
    """The points of intervals from 0 on, along a new last axis."""
    return _spread(extent) * POINTS.astype(extent.dtype)


def gammainc_slope(a: Any, x: Any, digamma: Any, density: Any) -> Any:
    """The derivative of the lower incomplete gamma function in its parameter ``a``.

    Parameters
    ----------
    a, x: positive, of one shape and dtype.
    digamma: the function ψ.
    density: the derivative in ``x``, a function of ``a`` and ``x``.
    """
    below = x <= maximum(a, 1.0)
    shifted = select(a < 1.0, 1.0, 0.0 * a)
    up = a + shifted
    inside = select(below, x, up)
    edge = density(up, inside) * inside
    # from the limit down: t = x exp(-v), whose logarithm of the density falls by a v + x expm1(-v)
    steep = up - inside
    extent = stop_gradient(((CUT - 2 * steep) + sqrt((CUT - 2 * steep) * (CUT - 2 * steep) + 8 * CUT * up)) / (2 * up))
    v = _at_points(extent)
    fall = exp(-(_spread(up) * v + _spread(inside) * expm1(-v)))
    lower = edge * extent * _integral(fall * (_spread(log(inside) - digamma(up)) - v))
    # P(a) = P(a + 1) + x^a exp(-x) / Γ(a + 1)
    lower = lower + shifted * density(up, inside) * (log(inside) - digamma(up))
    # from the limit up: t = x (1 + z)
    outside = select(below, maximum(a, 1.0) + 1.0, x)
    gain = maximum(a - 1.0, 0.0)
    b = 2 * CUT - 2 * (outside - gain)
    reach = stop_gradient((b + sqrt(b * b + 8 * CUT * (2 * outside - gain))) / (2 * (2 * outside - gain)))
    z = _at_points(reach)
    rise = exp(_spread(a - 1.0) * log1p(z) - _spread(outside) * z)
    upper = density(a, outside) * outside * reach * _integral(rise * (_spread(log(outside) - digamma(a)) + log1p(z)))
    return select(below, lower, -upper)


def _beta_extent(a: Any, b: Any, x: Any) -> Any:
    """How far the logarithm of the density on the logistic scale takes to fall by the cut: Newton's steps from above."""
    total = a + b
    v = (CUT + total * -log1p(-x)) / a
    for _ in range(12):
        ratio = -expm1(-v) * x
        height = a * v + total * log1p(-ratio)
        slope = a - total * x * exp(-v) / (1.0 - ratio)
        v = select(slope > 0, maximum(v - (height - CUT) / select(slope > 0, slope, 1.0), 0.1 * v), v)
    return v


def _beta_lower(a: Any, b: Any, x: Any, edge: Any, constant: Any, of_lower: bool) -> Any:
    """The integral below ``x ≤ a/(a+b)`` of the density times ``ln t`` or ``ln(1 - t)``, plus a constant."""
    extent = stop_gradient(_beta_extent(stop_gradient(a), stop_gradient(b), stop_gradient(x)))
    v = _at_points(extent)
    drop = log1p(expm1(-v) * _spread(x))  # ln(1 - x + x exp(-v)), of which logistic steps divide
    fall = exp(-(_spread(a) * v + _spread(a + b) * drop))
    moved = _spread(log(x)) - v - drop if of_lower else _spread(log1p(-x)) - drop
    return edge * extent * _integral(fall * (moved + _spread(constant)))


def betainc_slope(a: Any, b: Any, x: Any, digamma: Any, betaln: Any) -> Any:
    """The derivative of the regularised incomplete beta function in its first parameter ``a``.

    Parameters
    ----------
    a, b: positive, of one shape and dtype with x.
    x: between 0 and 1.
    digamma, betaln: the functions.
    """
    below = x <= a / (a + b)
    # the side of the smaller tail, by symmetry as a lower one: parameters p, q and limit y
    y, other = select(below, x, 1.0 - x), select(below, 1.0 - x, x)
    p, q = select(below, a, b), select(below, b, a)
    small = select(p < 1.0, 1.0, 0.0 * p)
    up = p + small
    log_edge = up * log(y) + q * log(other) - betaln(up, q)
    edge = exp(log_edge)
    constant = digamma(up + q) - select(below, digamma(up), digamma(q))
    with_lower = _beta_lower(up, q, y, edge, constant, True)
    with_upper = _beta_lower(up, q, y, edge, constant, False)
    whole = select(below, with_lower, -with_upper)
    # I(p, q) = I(p + 1, q) + y^p (1 - y)^q / (p B(p, q))
    step = exp(p * log(y) + q * log(other) - betaln(p, q)) / p
    mine = step * (log(y) - 1.0 / p - digamma(p) + digamma(p + q))
    theirs = step * (log(other) - digamma(q) + digamma(p + q))
    return whole + small * select(below, mine, -theirs)


def erfcx_slope(x: Any, value: Any) -> Any:
    """The derivative ``2x erfcx(x) - 2/√π`` of erfcx; where that is a small difference, an integral of numbers of one sign.

    It is ``-4/√π ∫ t exp(-t (t + 2x))`` from 0 on.

    Parameters
    ----------
    x, value: of one shape and dtype, the second that of the function.
    """
    near = x < 1.0
    z = minimum(select(near, 1.0, x), 1e150)
    extent = stop_gradient(CUT / (sqrt(z * z + CUT) + z))
    t = _at_points(extent)
    far = extent * _integral(t * exp(-(t * (t + _spread(2.0 * z))))) * (-4.0 / ROOT_PI)
    return select(near, 2.0 * x * value - 2.0 / ROOT_PI, far)


def in_double(formula: Callable[..., Any], *operands: Any) -> Any:
    """A formula of operands in double precision, its result in the dtype of theirs."""
    dtype = operands[-1].dtype
    if dtype == np.float64:
        return formula(*operands)
    return cast(formula(*(cast(x, dtype=np.dtype(np.float64)) for x in operands)), dtype=dtype)
