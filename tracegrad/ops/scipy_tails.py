"""Logarithms of shares far out in a tail, where the share itself is 0 in double precision, and the shares of ``vonmises``.

The incomplete gamma and beta functions are ``edge · ∫ fall``: what the density times the limit is there, and an integral from
the limit outwards that falls without a turn, by the rule of :mod:`tracegrad.ops.special_quadrature`. The edge has a logarithm
in closed form, so the product's is right down to any size. Nearer, the logarithm is that of SciPy's function.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tracegrad.ops import maps, special
from tracegrad.ops import special_families as families
from tracegrad.ops.comparisons import logical_and
from tracegrad.ops.maps import exp, expm1, log, log1p, maximum, minimum, select, sin, sqrt, stop_gradient
from tracegrad.ops.scipy_special import betaln
from tracegrad.ops.special_formulas import ROOT_HALF
from tracegrad.ops.special_quadrature import CUT, _at_points, _beta_extent, _integral, _spread

SMALL = 1e-200
"""Shares below this have their logarithms from the integral."""


def _chosen(share: Any, far: Callable[[Any], Any]) -> Any:
    """The logarithm of a share: of ``far``, which takes a condition, where it is too small."""
    small = share < SMALL
    return select(small, far(small), log(select(small, 1.0, share)))


def log_gammainc(a: Any, x: Any) -> Any:
    """``log(gammainc(a, x))`` of positive operands."""

    def far(small: Any) -> Any:
        b, y = select(small, a, 2.0), select(small, x, 1.0)
        # t = y exp(-v): the logarithm of the density falls by b v + y expm1(-v)
        steep = b - y
        slack = CUT - 2 * steep
        extent = stop_gradient((slack + sqrt(slack * slack + 8 * CUT * b)) / (2 * b))
        v = _at_points(extent)
        fall = exp(-(_spread(b) * v + _spread(y) * expm1(-v)))
        return b * log(y) - y - special.lgamma(b) + log(extent * _integral(fall))

    return _chosen(special.gammainc(a, x), far)


def log_gammaincc(a: Any, x: Any) -> Any:
    """``log(gammaincc(a, x))`` of positive operands."""

    def far(small: Any) -> Any:
        b, y = select(small, a, 1.0), select(small, x, 2.0)
        # t = y (1 + z)
        gain = maximum(b - 1.0, 0.0)
        room = 2 * CUT - 2 * (y - gain)
        reach = stop_gradient((room + sqrt(room * room + 8 * CUT * (2 * y - gain))) / (2 * (2 * y - gain)))
        z = _at_points(reach)
        rise = exp(_spread(b - 1.0) * log1p(z) - _spread(y) * z)
        return b * log(y) - y - special.lgamma(b) + log(reach * _integral(rise))

    return _chosen(special.gammaincc(a, x), far)


def log_betainc(a: Any, b: Any, x: Any, rest: Any = None) -> Any:
    """``log(betainc(a, b, x))`` of ``x`` between 0 and 1; ``rest`` is 1 - x where that is known better."""
    rest = 1.0 - x if rest is None else rest

    def far(small: Any) -> Any:
        p, q = select(small, a, 2.0), select(small, b, 2.0)
        y, other = select(small, x, 0.25), select(small, rest, 0.75)
        extent = stop_gradient(_beta_extent(stop_gradient(p), stop_gradient(q), stop_gradient(y)))
        v = _at_points(extent)
        fall = exp(-(_spread(p) * v + _spread(p + q) * log1p(expm1(-v) * _spread(y))))
        return p * log(y) + q * log(other) - betaln(p, q) + log(extent * _integral(fall))

    return _chosen(families.betainc(a, b, x), far)


def log_t_share(t: Any, df: Any) -> Any:
    """The logarithm of Student's distribution function: half of a share of the beta distribution below 0."""
    below = t < 0
    square = t * t
    whole = df + square
    half = log_betainc(0.5 * df, 0.5 + 0.0 * df, df / whole, square / whole) - math.log(2.0)
    near = families.stdtr(df, t)
    tiny = logical_and(below, near < SMALL)
    upper = families.stdtr(df, -t)
    return select(tiny, half, select(below, log(select(tiny, 1.0, near)), log1p(-upper)))


def log_skewed_share(z: Any, a: Any) -> Any:
    """The logarithm of the skew-normal distribution function, by its smaller side: shares in a difference would cancel."""
    below = z < 0
    y, b = select(below, z, -z), select(below, a, -a)
    edge = special.log_ndtr(b * y)
    # at t = y - v the logarithm of the density falls by -y v + v²/2 and by more or less of what ln ndtr(b t) does
    bend = maximum(b, 0.0)
    steep = bend * math.sqrt(2.0 / math.pi) / special.erfcx(b * y * -ROOT_HALF) - y
    extent = stop_gradient(2.0 * CUT / (steep + sqrt(steep * steep + 2.0 * CUT * (1.0 + bend * bend))))
    v = _at_points(extent)
    fall = exp(_spread(y) * v - 0.5 * v * v + special.log_ndtr(_spread(b) * (_spread(y) - v)) - _spread(edge))
    tail = math.log(2.0) - 0.5 * y * y - 0.5 * math.log(2.0 * math.pi) + edge + log(extent * _integral(fall))
    rest = select(below, -1.0, minimum(tail, -1e-16))
    great = rest < -math.log(2.0)
    return select(below, tail, select(great, log1p(-exp(rest)), log(-expm1(select(great, -1.0, rest)))))


# -- the von Mises distribution -----------------------------------------------------------------------------------------


def _beyond(z: Any, kappa: Any) -> tuple[Any, Any]:
    """The logarithm of the share beyond |z| ≤ π, on one side, and the number of whole turns in z."""
    turns = maps.rint(stop_gradient(z) / (2.0 * math.pi))
    angle = z - turns * (2.0 * math.pi)
    size = select(angle < 0, -angle, angle)  # whose slope at 0 is 1
    sharp = maximum(kappa, 1e-300)
    lowest = maps.cos(size) - CUT / sharp
    is_cut = lowest > -1.0
    end = stop_gradient(maps.arccos(select(is_cut, minimum(lowest, 1.0), 0.0)))
    reach = select(is_cut, stop_gradient(end - size), math.pi - size)
    v = _at_points(reach)
    fall = exp(_spread(kappa) * -2.0 * sin(_spread(size) + 0.5 * v) * sin(0.5 * v))
    head = kappa * (maps.cos(size) - 1.0) - log(special.i0e(kappa)) - math.log(2.0 * math.pi)
    return head + log(reach * _integral(fall)), turns


def von_mises_share(z: Any, kappa: Any) -> Any:
    """The share below z, which grows by 1 with each turn."""
    beyond, turns = _beyond(z, kappa)
    below = z < turns * (2.0 * math.pi)
    return turns + select(below, exp(beyond), -expm1(beyond))


def log_von_mises_share(z: Any, kappa: Any) -> Any:
    """Its logarithm; of angles between -π and π it is right in the tail, too."""
    beyond, turns = _beyond(z, kappa)
    near = select(z < 0, beyond, log1p(-exp(beyond)))
    share = turns + select(z < turns * (2.0 * math.pi), exp(beyond), -expm1(beyond))
    return select(turns == 0, near, log(select(turns == 0, 1.0, share)))
