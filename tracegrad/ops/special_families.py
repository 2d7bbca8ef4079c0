"""Special functions of several operands or results, each with native code by SciPy's C function.

Bessel functions of any order, hypergeometric and elliptic functions, incomplete integrals and their inverses, orthogonal
polynomials. Derivatives stay inside of a family where it is closed under differentiation, with the order as an operand. There
is none in the order of a Bessel function, in the parameters of a hypergeometric function, or in the parameters of a polynomial:
the error of a program that asks for one says so.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special

from tracegrad.core import capsules
from tracegrad.core.aval import shape_of
from tracegrad.core.op import FLAT, MISSING, Op, Sample, Values
from tracegrad.errors import DtypeError, ShapeError
from tracegrad.ops import maps
from tracegrad.ops import special_quadrature as quadrature
from tracegrad.ops.broadcasting import reduce_sum
from tracegrad.ops.comparisons import logical_and
from tracegrad.ops.declare import one
from tracegrad.ops.maps import exp, log, log1p, maximum, select, sign, sin, sqrt
from tracegrad.ops.reductions import as_operand
from tracegrad.ops.scipy_special import betaln, complete_slopes, ellipe, gamma, small_parameter
from tracegrad.ops.special import (
    digamma,
    lgamma,
    scipy_map,
    sinc,
    xlog1py,
    xlogy,
)
from tracegrad.ops.special_formulas import ROOT_HALF
from tracegrad.ops.views import expand_dims

DEGREE = math.pi / 180.0
ROOT_TAU = math.sqrt(2.0 * math.pi)


def _samples(*intervals: tuple[float, float] | int) -> tuple[Sample, ...]:
    """Operands of one shape: floats of intervals, or integers from 1 up to a number."""
    found = []
    for shape in ((3, 4), (), (0, 3)):
        values = [Values(shape, 1, k, kind="int") if isinstance(k, int) else Values(shape, *k) for k in intervals]
        found.append(Sample(tuple(values)))
    return tuple(found)


def _op(name: str, partials: tuple[Any, ...], doc: str, samples: tuple[Sample, ...], **more: Any) -> Op:
    """An op of the function of SciPy that has its name."""
    return scipy_map(name, getattr(scipy.special, name), partials, doc=doc, samples=samples, **more)


# -- Bessel functions ----------------------------------------------------------------------------------------------------


def _order(*intervals: tuple[float, float]) -> tuple[Sample, ...]:
    return _samples(4, *intervals)


jv: Op = _op(
    "jv",
    (MISSING, lambda out, v, x: (jv(v - 1.0, x) - jv(v + 1.0, x)) * 0.5),
    "The Bessel function J of real order.",
    _order((0.5, 3.0)),
)
yv: Op = _op(
    "yv",
    (MISSING, lambda out, v, x: (yv(v - 1.0, x) - yv(v + 1.0, x)) * 0.5),
    "The Bessel function Y of real order.",
    _order((1.0, 3.0)),
)
iv: Op = _op(
    "iv",
    (MISSING, lambda out, v, x: (iv(v - 1.0, x) + iv(v + 1.0, x)) * 0.5),
    "The modified Bessel function I of real order.",
    _order((0.5, 3.0)),
)
kv: Op = _op(
    "kv",
    (MISSING, lambda out, v, x: (kv(v - 1.0, x) + kv(v + 1.0, x)) * -0.5),
    "The modified Bessel function K of real order.",
    _order((1.0, 3.0)),
)
jve: Op = _op(
    "jve",
    (MISSING, lambda out, v, x: (jve(v - 1.0, x) - jve(v + 1.0, x)) * 0.5),
    "The scaled Bessel function J, which for real operands is J.",
    _order((0.5, 3.0)),
)
yve: Op = _op(
    "yve",
    (MISSING, lambda out, v, x: (yve(v - 1.0, x) - yve(v + 1.0, x)) * 0.5),
    "The scaled Bessel function Y, which for real operands is Y.",
    _order((1.0, 3.0)),
)
ive: Op = _op(
    "ive",
    (MISSING, lambda out, v, x: (ive(v - 1.0, x) + ive(v + 1.0, x)) * 0.5 - sign(x) * out),
    "exp(-|x|) times the modified Bessel function I.",
    _order((0.5, 3.0)),
)
kve: Op = _op(
    "kve",
    (MISSING, lambda out, v, x: out - (kve(v - 1.0, x) + kve(v + 1.0, x)) * 0.5),
    "exp(x) times the modified Bessel function K.",
    _order((1.0, 3.0)),
)
k0e: Op = _op("k0e", (lambda out, x: out - k1e(x),), "exp(x) times the Bessel function K of order 0.", one(0.5, 3))
k1e: Op = _op("k1e", (lambda out, x: out - k0e(x) - out / x,), "exp(x) times the Bessel function K of order 1.", one(0.5, 3))


def _spherical(letter: str, before: float, after: float) -> Op:
    """A spherical Bessel function of whole order; its derivative is that of both neighbours, exact at 0, too."""

    def slope(out: Any, n: Any, z: Any) -> Any:
        order = n.astype(z.dtype) if hasattr(n, "astype") else float(n)
        lower = op(maximum(n - 1, 0), z) * order
        return (lower * before + op(n + 1, z) * ((order + 1.0) * after)) / (2.0 * order + 1.0)

    ufunc = capsules.ufunc_of(f"_spherical_{letter}n")
    op: Op = scipy_map(
        f"spherical_{letter}n",
        ufunc,
        (FLAT, slope),
        numpy=(),
        doc=f"The spherical Bessel function {letter} of whole order.",
        samples=_samples(4, (1.0, 3.0)),
    )
    return op


spherical_j = _spherical("j", 1.0, -1.0)
spherical_y = _spherical("y", 1.0, -1.0)
spherical_i = _spherical("i", 1.0, 1.0)
spherical_k = _spherical("k", -1.0, -1.0)


def airy_member(place: int, slope: Callable[..., Any], doc: str) -> Op:
    """One of the four results of ``airy``."""
    return scipy_map(
        ("airy_ai", "airy_ai_prime", "airy_bi", "airy_bi_prime")[place],
        scipy.special.gammaln,  # for its promotion: airy has four results
        (slope,),
        eager=lambda x: scipy.special.airy(x)[place],
        numpy=(),
        word=f"airy_{place}",
        doc=doc,
        samples=one(-3, 2),
    )


airy_ai: Op = airy_member(0, lambda out, x: airy_ai_prime(x), "The Airy function Ai.")
airy_ai_prime: Op = airy_member(1, lambda out, x: x * airy_ai(x), "The derivative of the Airy function Ai.")
airy_bi: Op = airy_member(2, lambda out, x: airy_bi_prime(x), "The Airy function Bi.")
airy_bi_prime: Op = airy_member(3, lambda out, x: x * airy_bi(x), "The derivative of the Airy function Bi.")


def airy(z: Any) -> tuple[Any, Any, Any, Any]:
    """``scipy.special.airy`` of real numbers: Ai, Ai', Bi, Bi'.

    >>> airy(0.0)[0].round(4)
    np.float64(0.355)
    """
    return airy_ai(z), airy_ai_prime(z), airy_bi(z), airy_bi_prime(z)


# -- integrals with two results ------------------------------------------------------------------------------------------


def _result(name: str, function: np.ufunc, place: int, slope: Callable[..., Any], doc: str, low: float = 0.3) -> Op:
    return scipy_map(
        name,
        scipy.special.gammaln,
        (slope,),
        eager=lambda x: function(x)[place],
        numpy=(),
        word=f"{function.__name__}_{place}",
        doc=doc,
        samples=one(low, 3),
    )


def _sinhc(x: Any) -> Any:
    small = maps.absolute(x) < 1e-4
    safe = select(small, 1.0, x)
    return select(small, 1.0 + x * x / 6.0, maps.sinh(safe) / safe)


sine_integral = _result("sine_integral", scipy.special.sici, 0, lambda out, x: sinc(x / math.pi), "∫ sin t / t.", -3)
cosine_integral = _result(
    "cosine_integral", scipy.special.sici, 1, lambda out, x: maps.cos(x) / x, "γ + ln x + ∫ (cos t - 1)/t."
)
shi = _result("shi", scipy.special.shichi, 0, lambda out, x: _sinhc(x), "∫ sinh t / t.", -3)
chi = _result("chi", scipy.special.shichi, 1, lambda out, x: maps.cosh(x) / x, "γ + ln x + ∫ (cosh t - 1)/t.")
fresnel_s = _result(
    "fresnel_s", scipy.special.fresnel, 0, lambda out, x: sin(x * x * (math.pi / 2)), "∫ sin(π t²/2), Fresnel's S.", -2
)
fresnel_c = _result(
    "fresnel_c", scipy.special.fresnel, 1, lambda out, x: maps.cos(x * x * (math.pi / 2)), "∫ cos(π t²/2), Fresnel's C.", -2
)
expn: Op = _op(
    "expn",
    (
        FLAT,
        lambda out, n, x: select(n > 0, -expn(maximum(n - 1, 0), x), -out * (1.0 + 1.0 / x)),
    ),
    "The exponential integral ∫ exp(-x t) / tⁿ from 1 to ∞ of whole order.",
    _samples(4, (0.5, 3.0)),
)
owens_t: Op = _op(
    "owens_t",
    (
        lambda out, h, a: exp(h * h * -0.5) * maps.erf(a * h * ROOT_HALF) * (-0.5 / ROOT_TAU),
        lambda out, h, a: exp(h * h * (1.0 + a * a) * -0.5) / ((1.0 + a * a) * (2.0 * math.pi)),
    ),
    "Owen's T: the share of X > h and 0 < Y < a X of two standard normal variables.",
    _samples((-2.0, 2.0), (-2.0, 2.0)),
)

# -- hypergeometric functions --------------------------------------------------------------------------------------------

hyp0f1: Op = _op(
    "hyp0f1", (MISSING, lambda out, v, z: hyp0f1(v + 1.0, z) / v), "The limit function ₀F₁(v; z).", _samples(4, (-2.0, 2.0))
)
hyp1f1: Op = _op(
    "hyp1f1",
    (MISSING, MISSING, lambda out, a, b, z: hyp1f1(a + 1.0, b + 1.0, z) * (a / b)),
    "Kummer's function ₁F₁(a; b; z).",
    _samples(4, 4, (-2.0, 2.0)),
)
hyp2f1: Op = _op(
    "hyp2f1",
    (MISSING, MISSING, MISSING, lambda out, a, b, c, z: hyp2f1(a + 1.0, b + 1.0, c + 1.0, z) * (a * b / c)),
    "Gauss' function ₂F₁(a, b; c; z).",
    _samples(4, 4, 4, (-0.7, 0.7)),
)
hyperu: Op = _op(
    "hyperu",
    (MISSING, MISSING, lambda out, a, b, x: -a * hyperu(a + 1.0, b + 1.0, x)),
    "Tricomi's function U(a, b, x).",
    _samples(4, 3, (0.7, 3.0)),
)

# -- powers and factorials -----------------------------------------------------------------------------------------------

poch: Op = _op(
    "poch",
    (
        lambda out, z, m: out * (digamma(z + m) - digamma(z)),
        lambda out, z, m: out * digamma(z + m),
    ),
    "Γ(z + m) / Γ(z)",
    _samples((0.7, 3.0), (0.5, 2.0)),
)
binom: Op = _op(
    "binom",
    (
        lambda out, n, k: out * (digamma(n + 1.0) - digamma(n - k + 1.0)),
        lambda out, n, k: out * (digamma(n - k + 1.0) - digamma(k + 1.0)),
    ),
    "The binomial coefficient of real numbers.",
    _samples((3.0, 5.0), (0.5, 2.5)),
)
powm1: Op = _op(
    "powm1",
    (lambda out, x, y: y * maps.power(x, y - 1.0), lambda out, x, y: (out + 1.0) * log(x)),
    "x^y - 1, exact where it is small",
    _samples((0.5, 2.0), (-2.0, 2.0)),
)
loggamma: Op = _op(
    "loggamma", (lambda out, x: digamma(x),), "The principal branch of ln Γ(x); NaN for negative real x.", one(0.7, 4)
)
gammasgn: Op = _op("gammasgn", (FLAT,), "The sign of Γ(x).", one(0.7, 4, smooth=False))
wrightomega: Op = _op("wrightomega", (lambda out, x: out / (1.0 + out),), "The y of which y + ln y is x.", one(-2, 3))
ndtri_exp: Op = _op(
    "ndtri_exp",
    (lambda out, y: exp(y + out * out * 0.5) * ROOT_TAU,),
    "The x of which log_ndtr is the operand.",
    one(-3, -0.2),
)
sindg: Op = _op("sindg", (lambda out, x: cosdg(x) * DEGREE,), "The sine of degrees.", one(-200, 200))
cosdg: Op = _op("cosdg", (lambda out, x: sindg(x) * -DEGREE,), "The cosine of degrees.", one(-200, 200))
tandg: Op = _op("tandg", (lambda out, x: (1.0 + out * out) * DEGREE,), "The tangent of degrees.", one(-60, 60))
cotdg: Op = _op("cotdg", (lambda out, x: (1.0 + out * out) * -DEGREE,), "The cotangent of degrees.", one(30, 150))

# -- elliptic functions --------------------------------------------------------------------------------------------------


_NODES, _SHARES = (np.polynomial.legendre.leggauss(20)[k] for k in range(2))
_NODES, _SHARES = 0.5 * (_NODES + 1.0), 0.5 * _SHARES


def _first_kind_slope(phi: Any, m: Any, first: Any) -> Any:
    """The derivative in ``m`` of the incomplete integral of the first kind, whose value is ``first``."""
    small, near, m = small_parameter(m)
    sine = sin(phi)
    delta = sqrt(1.0 - m * sine * sine)
    closed = ellipeinc(phi, m) / (2.0 * m * (1.0 - m)) - first / (2.0 * m)
    return select(small, _near_circle(phi, near, 0), closed - sin(2.0 * phi) / (4.0 * (1.0 - m) * delta))


def _second_kind_slope(phi: Any, m: Any) -> Any:
    """The derivative in ``m`` of the incomplete integral of the second kind."""
    small, near, m = small_parameter(m)
    return select(small, _near_circle(phi, near, 1), (ellipeinc(phi, m) - ellipkinc(phi, m)) / (2.0 * m))


def _near_circle(phi: Any, m: Any, kind: int) -> Any:
    """Both derivatives for a small ``m``: an integral over what is left of the angle after whole half turns."""
    halves = maps.rint(phi / math.pi)
    rest = phi - halves * math.pi
    sine = sin(expand_dims(rest, -1) * _NODES.astype(rest.dtype))
    inside = 1.0 - expand_dims(m, -1) * (sine * sine)
    value = sine * sine / (inside * sqrt(inside)) if kind == 0 else -(sine * sine) / sqrt(inside)
    part = reduce_sum(value * _SHARES.astype(rest.dtype), axes=(len(shape_of(value)) - 1,))
    return 0.5 * rest * part + 2.0 * halves * complete_slopes(m)[kind]


ellipkinc: Op = _op(
    "ellipkinc",
    (
        lambda out, phi, m: 1.0 / sqrt(1.0 - m * sin(phi) * sin(phi)),
        lambda out, phi, m: _first_kind_slope(phi, m, out),
    ),
    "The incomplete elliptic integral of the first kind.",
    _samples((0.3, 1.2), (0.2, 0.8)),
)
ellipeinc: Op = _op(
    "ellipeinc",
    (
        lambda out, phi, m: sqrt(1.0 - m * sin(phi) * sin(phi)),
        lambda out, phi, m: _second_kind_slope(phi, m),
    ),
    "The incomplete elliptic integral of the second kind.",
    _samples((0.3, 1.2), (0.2, 0.8)),
)
ellipkm1: Op = _op(
    "ellipkm1",
    (lambda out, p: (p * out - ellipe(1.0 - p)) / (2.0 * p * (1.0 - p)),),
    "The complete elliptic integral of the first kind of 1 - p.",
    one(0.2, 0.8),
)


def _elliptic(name: str, place: int, by_u: Callable[..., Any], by_m: Callable[..., Any], doc: str) -> Op:
    return scipy_map(
        name,
        scipy.special.ellipkinc,
        (lambda out, u, m: by_u(*ellipj(u, m), m), lambda out, u, m: by_m(*ellipj(u, m), m, u)),
        eager=lambda u, m: scipy.special.ellipj(u, m)[place],
        numpy=(),
        word=f"ellipj_{place}",
        doc=doc,
        samples=_samples((0.3, 1.2), (0.2, 0.8)),
    )


def _amplitude_slope(sn: Any, cn: Any, dn: Any, phase: Any, m: Any, u: Any) -> Any:
    return -dn * _first_kind_slope(phase, m, u)


def _dn_by_m(sn: Any, cn: Any, dn: Any, phase: Any, m: Any, u: Any) -> Any:
    return -sn * (sn + 2.0 * m * cn * _amplitude_slope(sn, cn, dn, phase, m, u)) / (2.0 * dn)


elliptic_sn: Op = _elliptic(
    "elliptic_sn", 0, lambda s, c, d, ph, m: c * d, lambda *a: a[1] * _amplitude_slope(*a), "Jacobi's sn."
)
elliptic_cn: Op = _elliptic(
    "elliptic_cn", 1, lambda s, c, d, ph, m: -s * d, lambda *a: -a[0] * _amplitude_slope(*a), "Jacobi's cn."
)
elliptic_dn: Op = _elliptic("elliptic_dn", 2, lambda s, c, d, ph, m: -m * s * c, _dn_by_m, "Jacobi's dn.")
elliptic_phase: Op = _elliptic(
    "elliptic_phase", 3, lambda s, c, d, ph, m: d, _amplitude_slope, "The amplitude of Jacobi's functions."
)


def ellipj(u: Any, m: Any) -> tuple[Any, Any, Any, Any]:
    """``scipy.special.ellipj``: sn, cn, dn and the amplitude.

    >>> ellipj(0.5, 0.0)[0].round(4)
    np.float64(0.4794)
    """
    return elliptic_sn(u, m), elliptic_cn(u, m), elliptic_dn(u, m), elliptic_phase(u, m)


def _rd_slope(x: Any, y: Any, z: Any) -> Any:
    """The derivative of R_D in its first argument, by partial fractions."""
    return (elliprd(x, y, z) - elliprd(y, z, x)) / (z - x) * 0.5


def _rj_slope(out: Any, x: Any, y: Any, z: Any, p: Any) -> Any:
    """The derivative of R_J in its first argument, likewise; the one in the last follows as it is homogeneous."""
    return (elliprd(y, z, x) - out) / (p - x) * -0.5


_CARLSON = ((0.3, 0.9), (1.0, 1.8), (2.0, 3.0))
elliprd: Op = _op(
    "elliprd",
    (
        lambda out, x, y, z: _rd_slope(x, y, z),
        lambda out, x, y, z: _rd_slope(y, x, z),
        lambda out, x, y, z: (out * -1.5 - x * _rd_slope(x, y, z) - y * _rd_slope(y, x, z)) / z,
    ),
    "Carlson's symmetric integral of the second kind.",
    _samples(*_CARLSON),
)
elliprj: Op = _op(
    "elliprj",
    (
        _rj_slope,
        lambda out, x, y, z, p: _rj_slope(out, y, x, z, p),
        lambda out, x, y, z, p: _rj_slope(out, z, x, y, p),
        lambda out, x, y, z, p: (
            (out * -1.5 - x * _rj_slope(out, x, y, z, p) - y * _rj_slope(out, y, x, z, p) - z * _rj_slope(out, z, x, y, p)) / p
        ),
    ),
    "Carlson's symmetric integral of the third kind.",
    _samples(*_CARLSON, (3.2, 4.0)),
)
elliprf: Op = _op(
    "elliprf",
    (
        lambda out, x, y, z: elliprd(y, z, x) / -6.0,
        lambda out, x, y, z: elliprd(x, z, y) / -6.0,
        lambda out, x, y, z: elliprd(x, y, z) / -6.0,
    ),
    "Carlson's symmetric integral of the first kind.",
    _samples(*_CARLSON),
)
elliprg: Op = _op(
    "elliprg",
    (
        lambda out, x, y, z: (elliprf(x, y, z) - x * elliprd(y, z, x) / 3.0) * 0.25,
        lambda out, x, y, z: (elliprf(x, y, z) - y * elliprd(x, z, y) / 3.0) * 0.25,
        lambda out, x, y, z: (elliprf(x, y, z) - z * elliprd(x, y, z) / 3.0) * 0.25,
    ),
    "Carlson's completely symmetric integral of the second kind.",
    _samples(*_CARLSON),
)
elliprc: Op = _op(
    "elliprc",
    (
        lambda out, x, y: (out - 1.0 / sqrt(x)) / (y - x) * 0.5,
        lambda out, x, y: (sqrt(x) / y - out) / (y - x) * 0.5,
    ),
    "Carlson's degenerate integral.",
    _samples((0.3, 0.9), (1.2, 2.0)),
)

# -- incomplete beta and gamma functions ------------------------------------------------------------------------------


def beta_density(a: Any, b: Any, x: Any) -> Any:
    """``x^(a-1) (1-x)^(b-1) / B(a, b)``."""
    return quadrature.in_double(lambda a, b, x: exp(xlogy(a - 1.0, x) + xlog1py(b - 1.0, -x) - betaln(a, b)), a, b, x)


def _by_a(a: Any, b: Any, x: Any) -> Any:
    return quadrature.in_double(lambda a, b, x: quadrature.betainc_slope(a, b, x, digamma, betaln), a, b, x)


def _by_b(a: Any, b: Any, x: Any) -> Any:
    return quadrature.in_double(lambda a, b, x: -quadrature.betainc_slope(b, a, 1.0 - x, digamma, betaln), a, b, x)


_SHARE = ((0.6, 3.0), (0.6, 3.0), (0.2, 0.8))
betainc: Op = _op(
    "betainc",
    (
        lambda out, a, b, x: _by_a(a, b, x),
        lambda out, a, b, x: _by_b(a, b, x),
        lambda out, a, b, x: beta_density(a, b, x),
    ),
    "The regularised incomplete beta function; its derivatives in a and b are integrals by quadrature.",
    _samples(*_SHARE),
)
betaincc: Op = _op(
    "betaincc",
    (
        lambda out, a, b, x: -_by_a(a, b, x),
        lambda out, a, b, x: -_by_b(a, b, x),
        lambda out, a, b, x: -beta_density(a, b, x),
    ),
    "1 - betainc, exact where it is small.",
    _samples(*_SHARE),
)
betaincinv: Op = _op(
    "betaincinv",
    (
        lambda out, a, b, y: -_by_a(a, b, out) / beta_density(a, b, out),
        lambda out, a, b, y: -_by_b(a, b, out) / beta_density(a, b, out),
        lambda out, a, b, y: 1.0 / beta_density(a, b, out),
    ),
    "The x of which betainc(a, b, x) is y.",
    _samples(*_SHARE),
)


def _gamma_density(a: Any, x: Any) -> Any:
    """The derivative of gammainc in x where it has one everywhere: beyond 0."""
    return quadrature.in_double(lambda a, x: exp(xlogy(a - 1.0, x) - x - lgamma(a)), a, x)


def _gamma_by_a(a: Any, x: Any) -> Any:
    return quadrature.in_double(lambda a, x: quadrature.gammainc_slope(a, x, digamma, _gamma_density), a, x)


gammaincinv: Op = _op(
    "gammaincinv",
    (lambda out, a, y: -_gamma_by_a(a, out) / _gamma_density(a, out), lambda out, a, y: 1.0 / _gamma_density(a, out)),
    "The x of which gammainc(a, x) is y.",
    _samples((0.6, 4.0), (0.2, 0.8)),
)
gammainccinv: Op = _op(
    "gammainccinv",
    (lambda out, a, y: -_gamma_by_a(a, out) / _gamma_density(a, out), lambda out, a, y: -1.0 / _gamma_density(a, out)),
    "The x of which gammaincc(a, x) is y.",
    _samples((0.6, 4.0), (0.2, 0.8)),
)
btdtria: Op = _op(
    "btdtria",
    (
        lambda out, p, b, x: 1.0 / _by_a(out, b, x),
        lambda out, p, b, x: -_by_b(out, b, x) / _by_a(out, b, x),
        lambda out, p, b, x: -beta_density(out, b, x) / _by_a(out, b, x),
    ),
    "The a of which betainc(a, b, x) is p.",
    _samples((0.2, 0.8), (0.6, 3.0), (0.2, 0.8)),
)
btdtrib: Op = _op(
    "btdtrib",
    (
        lambda out, a, p, x: -_by_a(a, out, x) / _by_b(a, out, x),
        lambda out, a, p, x: 1.0 / _by_b(a, out, x),
        lambda out, a, p, x: -beta_density(a, out, x) / _by_b(a, out, x),
    ),
    "The b of which betainc(a, b, x) is p.",
    _samples((0.6, 3.0), (0.2, 0.8), (0.2, 0.8)),
)


def t_density(df: Any, t: Any) -> Any:
    """The density of Student's distribution."""
    constant = lgamma((df + 1.0) * 0.5) - lgamma(df * 0.5) - 0.5 * log(df * math.pi)
    return exp(constant - (df + 1.0) * 0.5 * log1p(t * t / df))


def _t_by_df(df: Any, t: Any) -> Any:
    """Half of the share of the beta distribution beyond the t, whose limit and parameter move with df."""
    half = select(t == 0, 1.0, t)
    total = df + half * half
    moving = beta_density(df * 0.5, 0.5 * (df / df), df / total) * (half * half) / (total * total)
    slope = (moving + 0.5 * _by_a(df * 0.5, 0.5 * (df / df), df / total)) * sign(t) * -0.5
    return select(t == 0, 0.0, slope)


stdtr: Op = _op(
    "stdtr",
    (lambda out, df, t: _t_by_df(df, t), lambda out, df, t: t_density(df, t)),
    "Student's distribution function.",
    _samples((0.7, 5.0), (-2.0, 2.0)),
)
stdtrit: Op = _op(
    "stdtrit",
    (lambda out, df, p: -_t_by_df(df, out) / t_density(df, out), lambda out, df, p: 1.0 / t_density(df, out)),
    "The t of which stdtr(df, t) is p.",
    _samples((0.7, 5.0), (0.1, 0.45)),
)

# -- orthogonal polynomials ----------------------------------------------------------------------------------------------


def _polynomial(name: str, slope: Callable[..., Any], parameters: int, interval: tuple[float, float], doc: str) -> Op:
    """A polynomial of whole degree, ``name(n, …parameters, x)``."""
    ufunc = getattr(scipy.special, name)
    kinds = (np.dtype(np.int64), *(np.dtype(np.float64),) * (parameters + 1))

    def promote(*dtypes: Any) -> tuple[np.dtype[Any], ...]:
        degree = dtypes[0]
        if degree is not int and np.dtype(degree).kind not in "iub":
            raise DtypeError(f"{name} has a native form for whole degrees alone; n is {degree}", fix="give integers for n")
        if any(np.dtype(d).kind == "c" for d in dtypes):
            raise DtypeError(f"{name} is not defined for complex numbers here", fix="take the real part: x.real")
        return kinds

    def partial(out: Any, n: Any, *rest: Any) -> Any:
        lower = maximum(n - 1, 0)
        value = slope(lower, n.astype(np.float64) if hasattr(n, "astype") else float(n), *rest)
        return select(n > 0, value, 0.0)

    return scipy_map(
        name,
        ufunc,
        (FLAT, *(MISSING,) * parameters, partial),
        doc=doc,
        samples=_samples(5, *(3,) * parameters, interval),
        promote=promote,
        result=lambda *dtypes: np.dtype(np.float64),
    )


_UNIT = (-0.9, 0.9)
eval_gegenbauer: Op = _polynomial(
    "eval_gegenbauer",
    lambda n, degree, a, x: eval_gegenbauer(n, a + 1.0, x) * (2.0 * a),
    1,
    _UNIT,
    "Gegenbauer's polynomial of whole degree.",
)
eval_legendre: Op = _polynomial(
    "eval_legendre", lambda n, degree, x: eval_gegenbauer(n, 1.5, x), 0, _UNIT, "Legendre's polynomial of whole degree."
)
eval_chebyu: Op = _polynomial(
    "eval_chebyu",
    lambda n, degree, x: eval_gegenbauer(n, 2.0, x) * 2.0,
    0,
    _UNIT,
    "Chebyshev's polynomial of the second kind.",
)
eval_chebyt: Op = _polynomial(
    "eval_chebyt",
    lambda n, degree, x: eval_chebyu(n, x) * degree,
    0,
    _UNIT,
    "Chebyshev's polynomial of the first kind.",
)
eval_hermite: Op = _polynomial(
    "eval_hermite", lambda n, degree, x: eval_hermite(n, x) * (2.0 * degree), 0, (-2.0, 2.0), "Hermite's polynomial H."
)
eval_hermitenorm: Op = _polynomial(
    "eval_hermitenorm", lambda n, degree, x: eval_hermitenorm(n, x) * degree, 0, (-2.0, 2.0), "Hermite's polynomial He."
)
eval_genlaguerre: Op = _polynomial(
    "eval_genlaguerre",
    lambda n, degree, a, x: -eval_genlaguerre(n, a + 1.0, x),
    1,
    (0.2, 3.0),
    "Laguerre's generalised polynomial.",
)
eval_laguerre: Op = _polynomial(
    "eval_laguerre", lambda n, degree, x: -eval_genlaguerre(n, 1.0, x), 0, (0.2, 3.0), "Laguerre's polynomial."
)
eval_jacobi: Op = _polynomial(
    "eval_jacobi",
    lambda n, degree, a, b, x: eval_jacobi(n, a + 1.0, b + 1.0, x) * ((degree + a + b + 1.0) * 0.5),
    2,
    _UNIT,
    "Jacobi's polynomial of whole degree.",
)

# -- functions made of these ---------------------------------------------------------------------------------------------


def fdtr(dfn: Any, dfd: Any, x: Any) -> Any:
    """``scipy.special.fdtr``: Fisher's distribution function."""
    return betainc(dfn * 0.5, dfd * 0.5, dfn * x / (dfd + dfn * x))


# -- how a random number moves with a parameter, at the same quantile: minus dF/da over the density ----------------------


def _moving(x: Any, inside: Any, slope: Callable[[Any], Any]) -> Any:
    """A slope where a number lies inside of its range, 0 where it has been rounded to an end."""
    return select(inside, slope(select(inside, x, 0.5 + 0.0 * x)), 0.0 * x)


def gamma_motion(x: Any, a: Any) -> Any:
    """The derivative of a standard gamma variate ``x`` in its shape."""
    return _moving(x, x > 0, lambda x: -_gamma_by_a(a, x) / _gamma_density(a, x))


def beta_motion(x: Any, a: Any, b: Any) -> Any:
    """The derivative of a beta variate in ``a``."""
    return _moving(x, (x > 0) & (x < 1), lambda x: -_by_a(a, b, x) / beta_density(a, b, x))


def beta_motion_of_b(x: Any, a: Any, b: Any) -> Any:
    """The derivative of a beta variate in ``b``."""
    return _moving(x, (x > 0) & (x < 1), lambda x: -_by_b(a, b, x) / beta_density(a, b, x))


def student_motion(x: Any, df: Any) -> Any:
    """The derivative of a variate of Student's distribution in its degrees of freedom."""
    return -_t_by_df(df, x) / t_density(df, x)


def fdtrc(dfn: Any, dfd: Any, x: Any) -> Any:
    """``scipy.special.fdtrc``."""
    return betainc(dfd * 0.5, dfn * 0.5, dfd / (dfd + dfn * x))


def fdtri(dfn: Any, dfd: Any, p: Any) -> Any:
    """``scipy.special.fdtri``: the x of which fdtr is p."""
    rest = betaincinv(dfd * 0.5, dfn * 0.5, 1.0 - p)
    return dfd * (1.0 - rest) / (dfn * rest)


def bdtr(k: Any, n: Any, p: Any) -> Any:
    """``scipy.special.bdtr``: the binomial distribution function, differentiable in ``p``."""
    below = maps.floor(k) + 1.0
    return betaincc(below, n - maps.floor(k), p)


def bdtrc(k: Any, n: Any, p: Any) -> Any:
    """``scipy.special.bdtrc``."""
    return betainc(maps.floor(k) + 1.0, n - maps.floor(k), p)


def bdtri(k: Any, n: Any, y: Any) -> Any:
    """``scipy.special.bdtri``: the p of which bdtr is y."""
    return betaincinv(maps.floor(k) + 1.0, n - maps.floor(k), 1.0 - y)


def nbdtr(k: Any, n: Any, p: Any) -> Any:
    """``scipy.special.nbdtr``: the negative binomial distribution function, differentiable in ``p``."""
    return betainc(n * 1.0, maps.floor(k) + 1.0, p)


def chdtri(v: Any, y: Any) -> Any:
    """``scipy.special.chdtri``: the x of which chdtrc is y."""
    return gammainccinv(v * 0.5, y) * 2.0


def sici(x: Any) -> tuple[Any, Any]:
    """``scipy.special.sici`` of real numbers."""
    return sine_integral(x), cosine_integral(x)


def shichi(x: Any) -> tuple[Any, Any]:
    """``scipy.special.shichi`` of real numbers."""
    return shi(x), chi(x)


def fresnel(z: Any) -> tuple[Any, Any]:
    """``scipy.special.fresnel`` of real numbers: S and C."""
    return fresnel_s(z), fresnel_c(z)


def diric(x: Any, n: Any) -> Any:
    """``scipy.special.diric`` of a whole number ``n``: a polynomial of Chebyshev of cos(x/2), smooth at whole turns, too.

    >>> diric(0.0, 3)
    np.float64(1.0)
    """
    x = as_operand(x)
    x = x.astype(np.float64)
    if shape_of(n):
        raise ShapeError("diric is traced with one n, as its polynomial has", fix="call it once for each n")
    n = operator.index(n)
    if n <= 0:
        return x * math.nan
    return eval_chebyu(n - 1, maps.cos(x * 0.5)) / n


def radian(d: Any, m: Any, s: Any) -> Any:
    """``scipy.special.radian``: degrees, minutes and seconds as an angle."""
    return (d + m / 60.0 + s / 3600.0) * DEGREE


def comb(N: Any, k: Any, *, exact: bool = False, repetition: bool = False) -> Any:
    """``scipy.special.comb`` of floating-point numbers; with ``exact`` TypeError, as there is no derivative."""
    if exact:
        raise TypeError("comb with exact=True has no derivative; leave exact away")
    if repetition:
        return comb(N + k - 1, k)
    inside = logical_and(logical_and(k <= N, N >= 0), k >= 0)
    return select(inside, binom(N, k), 0.0)


def perm(N: Any, k: Any, exact: bool = False) -> Any:
    """``scipy.special.perm`` of floating-point numbers, likewise."""
    if exact:
        raise TypeError("perm with exact=True has no derivative; leave exact away")
    inside = logical_and(logical_and(k <= N, N >= 0), k >= 0)
    return select(inside, poch(N - k + 1.0, k), 0.0)


def factorial(n: Any, exact: bool = False, extend: str = "zero") -> Any:
    """``scipy.special.factorial`` of floating-point numbers: Γ(n + 1), 0 for negative ones."""
    if exact or extend != "zero":
        raise TypeError("factorial is traced with exact=False and extend='zero'")
    n = _double(n)
    return select(n < 0, 0.0, gamma(n + 1.0))


def _double(x: Any) -> Any:
    x = as_operand(x)
    return x if x.dtype == np.float64 else x.astype(np.float64)


def _of_whole_order(op: Op) -> Callable[..., Any]:
    """A Bessel function for ``kn`` or ``yn``: a whole order makes the result float64, as in SciPy."""

    def function(n: Any, x: Any) -> Any:
        whole = isinstance(n, int) or (hasattr(n, "dtype") and n.dtype.kind in "iu")
        return op(n, _double(x) if whole else x)

    return function


def spherical(op: Op) -> Callable[..., Any]:
    """A spherical Bessel function with SciPy's signature."""

    def function(n: Any, z: Any, derivative: bool = False) -> Any:
        n = np.asarray(n, np.int64) if op is spherical_k and isinstance(n, int) else n
        return op.partial(1).factor(None, n, z) if derivative else op(n, z)  # type: ignore[union-attr]

    return function


FUNCTIONS: dict[Any, Callable[..., Any]] = {
    scipy.special.airy: airy,
    scipy.special.ellipj: ellipj,
    scipy.special.sici: sici,
    scipy.special.shichi: shichi,
    scipy.special.fresnel: fresnel,
    scipy.special.radian: radian,
    scipy.special.diric: diric,
    scipy.special.comb: comb,
    scipy.special.perm: perm,
    scipy.special.factorial: factorial,
    scipy.special.fdtr: fdtr,
    scipy.special.fdtrc: fdtrc,
    scipy.special.fdtri: fdtri,
    scipy.special.bdtr: bdtr,
    scipy.special.bdtrc: bdtrc,
    scipy.special.bdtri: bdtri,
    scipy.special.nbdtr: nbdtr,
    scipy.special.chdtri: chdtri,
    scipy.special.kn: _of_whole_order(kv),
    scipy.special.yn: _of_whole_order(yv),
    scipy.special.spherical_jn: spherical(spherical_j),
    scipy.special.spherical_yn: spherical(spherical_y),
    scipy.special.spherical_in: spherical(spherical_i),
    scipy.special.spherical_kn: spherical(spherical_k),
}
"""Functions of ``scipy.special`` that are more than their op."""
