"""Derivative rules keep their digits: each factor against mpmath at tiny, large and negative arguments, in float64.

A factor may be as wrong as its own condition number makes it, times a few roundings; a difference of nearly equal
numbers, or a square that overflows on the way, shows as more.
"""

import math

import mpmath as mp
import numpy as np
import pytest

from tracegrad.ops import maps, special

EPS = 2.0**-52
SMALL = [1e-300, 1e-150, 1e-20, 1e-8, 1e-3, 0.3]
LARGE = [1.5, 5.0, 12.0, 30.0, 300.0, 690.0, 1e5, 1e10, 1e100, 1e160, 1e300]
NEAR_ONE = [1 - 1e-12, 1 - 1e-5, 0.9]
POSITIVE = SMALL + LARGE
REAL = [*(-x for x in reversed(POSITIVE)), *POSITIVE]
UNIT = [*(-x for x in NEAR_ONE + SMALL), *SMALL, *NEAR_ONE]
MODERATE = [x for x in REAL if abs(x) < 1e4]


def root(x):
    return mp.sqrt(x)


def sech2(x):
    return 1 / mp.cosh(x) ** 2


def scaled_slope(n, x):
    with mp.workdps(80):
        slope = mp.besseli(1, x) if n == 0 else (mp.besseli(n - 1, x) + mp.besseli(n + 1, x)) / 2
        return mp.exp(-abs(x)) * (slope - mp.sign(x) * mp.besseli(n, x))


ONE = {
    "arccos": (maps.arccos, UNIT, lambda x: -1 / root((1 - x) * (1 + x))),
    "arccosh": (maps.arccosh, [1 + 1e-12, 1 + 1e-5, *LARGE], lambda x: 1 / root((x - 1) * (x + 1))),
    "arcsin": (maps.arcsin, UNIT, lambda x: 1 / root((1 - x) * (1 + x))),
    "arcsinh": (maps.arcsinh, REAL, lambda x: 1 / root(x * x + 1)),
    "arctan": (maps.arctan, REAL, lambda x: 1 / (x * x + 1)),
    "arctanh": (maps.arctanh, UNIT, lambda x: 1 / ((1 - x) * (1 + x))),
    "cos": (maps.cos, MODERATE, lambda x: -mp.sin(x)),
    "cosh": (maps.cosh, MODERATE, mp.sinh),
    "digamma": (special.digamma, POSITIVE, lambda x: mp.psi(1, x)),
    "entr": (special.entr, POSITIVE, lambda x: -1 - mp.log(x)),
    "erf": (maps.erf, MODERATE, lambda x: 2 / root(mp.pi) * mp.exp(-x * x)),
    "erfc": (special.erfc, MODERATE, lambda x: -2 / root(mp.pi) * mp.exp(-x * x)),
    "erfcx": (special.erfcx, [-3.0, *SMALL, 1.5, 5.0, 12.0, 30.0], lambda x: erfcx_slope(x)),
    "erfinv": (special.erfinv, UNIT[2:-2], lambda x: root(mp.pi) / 2 * mp.exp(mp.erfinv(x) ** 2)),
    "exp": (maps.exp, MODERATE, mp.exp),
    "exp2": (maps.exp2, MODERATE, lambda x: mp.log(2) * mp.mpf(2) ** x),
    "expm1": (maps.expm1, MODERATE, mp.exp),
    "i0": (special.i0, MODERATE, lambda x: mp.besseli(1, x)),
    "i0e": (special.i0e, MODERATE, lambda x: scaled_slope(0, x)),
    "i1e": (special.i1e, MODERATE, lambda x: scaled_slope(1, x)),
    "i1": (special.i1, MODERATE, lambda x: (mp.besseli(0, x) + mp.besseli(2, x)) / 2),
    "bessel_j0": (special.bessel_j0, MODERATE, lambda x: -mp.besselj(1, x)),
    "bessel_k0": (special.bessel_k0, [x for x in POSITIVE if x < 1e4], lambda x: -mp.besselk(1, x)),
    "bessel_k1": (
        special.bessel_k1,
        [x for x in POSITIVE if x < 1e4],
        lambda x: -(mp.besselk(0, x) + mp.besselk(2, x)) / 2,
    ),
    "lgamma": (special.lgamma, POSITIVE, lambda x: mp.psi(0, x)),
    "log": (maps.log, POSITIVE, lambda x: 1 / x),
    "log10": (maps.log10, POSITIVE, lambda x: 1 / (x * mp.log(10))),
    "log1p": (maps.log1p, [-1 + 1e-12, *UNIT, *LARGE], lambda x: 1 / (1 + x)),
    "log2": (maps.log2, POSITIVE, lambda x: 1 / (x * mp.log(2))),
    "log_ndtr": (special.log_ndtr, MODERATE, lambda x: mp.npdf(x) / mp.ncdf(x)),
    "logit": (special.logit, SMALL + NEAR_ONE, lambda x: 1 / (x * (1 - x))),
    "ndtr": (special.ndtr, MODERATE, mp.npdf),
    "rsqrt": (maps.rsqrt, POSITIVE, lambda x: -1 / (2 * x * root(x))),
    "sigmoid": (maps.sigmoid, MODERATE, lambda x: 1 / ((1 + mp.exp(-x)) * (1 + mp.exp(x)))),
    "sin": (maps.sin, MODERATE, mp.cos),
    "sinc": (special.sinc, [x for x in MODERATE if abs(x) < 100], lambda x: sinc_slope(x)),
    "sinh": (maps.sinh, MODERATE, mp.cosh),
    "sqrt": (maps.sqrt, POSITIVE, lambda x: 1 / (2 * root(x))),
    "tan": (maps.tan, MODERATE, lambda x: mp.sec(x) ** 2),
    "tanh": (maps.tanh, MODERATE, sech2),
}


def erfcx_slope(x):
    with mp.workdps(600):
        return 2 * x * mp.exp(x * x) * mp.erfc(x) - 2 / root(mp.pi)


def sinc_slope(x):
    with mp.workdps(700):
        z = mp.pi * x
        return (z * mp.cos(z) - mp.sin(z)) / (z * x)


TWO = {
    "arctan2": (
        maps.arctan2,
        [(y, x) for y in (1e-200, -1e-20, 0.5, 3.0, 1e160) for x in (-1e-200, 1e-3, 2.0, 1e180)],
        (lambda y, x: x / (x * x + y * y), lambda y, x: -y / (x * x + y * y)),
    ),
    "divide": (
        maps.divide,
        [(x, y) for x in (1e-200, -2.0, 1e150) for y in (-1e-100, 3.0, 1e140)],
        (lambda x, y: 1 / y, lambda x, y: -x / (y * y)),
    ),
    "hypot": (
        maps.hypot,
        [(x, y) for x in (1e-200, -2.0, 1e200) for y in (-1e-180, 3.0, 1e180)],
        (lambda x, y: x / root(x * x + y * y), lambda x, y: y / root(x * x + y * y)),
    ),
    "logaddexp": (
        maps.logaddexp,
        [(x, y) for x in (-700.0, -2.0, 1e-9, 40.0, 600.0) for y in (-650.0, 0.3, 41.0, 601.0)],
        (lambda x, y: 1 / (1 + mp.exp(y - x)), lambda x, y: 1 / (1 + mp.exp(x - y))),
    ),
    "power": (
        maps.power,
        # the exponent y - 1 of the rule rounds if y is small, which counts for ln x times as much
        [
            *((x, y) for x in (0.3, 1 - 1e-9, 1 + 1e-9, 7.0) for y in (-3.0, -1e-9, 1e-20, 0.5, 5.5)),
            *((x, y) for x in (1e-30, 1e30) for y in (-3.0, 0.5, 5.5)),
        ],
        (lambda x, y: y * x ** (y - 1), lambda x, y: x**y * mp.log(x)),
    ),
    "xlog1py": (
        special.xlog1py,
        [(x, y) for x in (1e-200, -2.0, 1e100) for y in (-1 + 1e-12, 1e-30, 3.0, 1e100)],
        (lambda x, y: mp.log1p(y), lambda x, y: x / (1 + y)),
    ),
    "xlogy": (
        special.xlogy,
        [(x, y) for x in (1e-200, -2.0, 1e100) for y in (1e-150, 1 + 1e-9, 3.0, 1e100)],
        (lambda x, y: mp.log(y), lambda x, y: x / y),
    ),
}

ABSOLUTE = {"i0e", "i1e", "sigmoid", "tanh"}
"""Their rules take a difference with the result, 1 - out² say: right to roundings of the result where they are flat."""


def misses(op, position, points, slope, absolute=False):
    """The points where the factor is further from the derivative than its condition allows."""
    found = []
    for point in points:
        operands = [np.array(x) for x in point]
        with np.errstate(all="ignore"):
            factor = float(op.partials[position].factor(op.eager(*operands), *operands))
        with mp.workdps(60):
            exact = [mp.mpf(float(x)) for x in point]
            right = slope(*exact)
            if not 1e-290 < abs(right) < 1e290:
                if right != 0 and abs(right) < 1e-290 and not abs(factor) < 1e-289:
                    found.append((point, factor, float(right)))
                continue
            step = mp.mpf(10) ** -25
            condition = sum(
                abs(slope(*(x * (1 + step) if i == k else x for i, x in enumerate(exact))) / right - 1) / step
                for k in range(len(exact))
            )
            allowed = 4 * EPS if absolute else 8 * EPS * (1 + condition) * abs(right)
            if not (math.isfinite(factor) and abs(mp.mpf(factor) - right) <= allowed):
                found.append((point, factor, float(right)))
    return found


@pytest.mark.parametrize("name", ONE)
def test_factors_of_one_variable(name):
    op, points, slope = ONE[name]
    assert not misses(op, 0, [(x,) for x in points], slope, name in ABSOLUTE)


@pytest.mark.parametrize("name", TWO)
def test_factors_of_two_variables(name):
    op, points, slopes = TWO[name]
    for k, slope in enumerate(slopes):
        assert not misses(op, k, points, slope)


def test_the_angle_of_the_origin_has_no_slope():
    zero, one = np.zeros(2), np.array([0.0, 1.0])
    for k in (0, 1):
        factor = maps.arctan2.partials[k].factor(zero, zero, one)
        assert factor.tolist() == ([0.0, 1.0] if k == 0 else [0.0, 0.0])


@pytest.mark.nightly
@pytest.mark.parametrize("name", ONE)
def test_factors_at_many_points(name):
    op, points, slope = ONE[name]
    rng = np.random.default_rng(0)
    low, high = (math.log(min(abs(x) for x in points)), math.log(max(abs(x) for x in points)))
    sizes = np.exp(rng.uniform(low, high, 2000))
    signed = [float(x) for x in np.concatenate([sizes, -sizes]) if min(points) <= x <= max(points)]
    assert not misses(op, 0, [(x,) for x in signed], slope, name in ABSOLUTE)
