"""More of ``scipy.special``: ops that call SciPy's C functions, and functions composed of others.

Convention: where ``rel_entr`` and ``kl_div`` are infinite their derivatives are 0.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.special

from tracegrad.core.op import Op
from tracegrad.ops import maps
from tracegrad.ops.comparisons import isnan, logical_and, logical_or
from tracegrad.ops.declare import one, two
from tracegrad.ops.maps import exp, log, select
from tracegrad.ops.pointwise import as_float, is_number
from tracegrad.ops.special import digamma, gammainc, gammaincc, ndtri, paired, scipy_map

# -- ops --------------------------------------------------------------------------------------------------------------

_NO_TORCH = ("", "")
gamma: Op = scipy_map(
    "gamma",
    scipy.special.gamma,
    (lambda out, x: out * digamma(x),),
    torch=_NO_TORCH,
    doc="Γ(x)",
    samples=(*one(0.7, 4), *one(-0.8, -0.2)),
)
rgamma: Op = scipy_map(
    "rgamma",
    scipy.special.rgamma,
    (lambda out, x: -out * digamma(x),),
    torch=_NO_TORCH,
    doc="1 / Γ(x)",
    samples=one(0.7, 4),
)
beta_raw: Op = scipy_map(
    "beta",
    scipy.special.beta,
    (lambda out, a, b: out * (digamma(a) - digamma(a + b)), lambda out, a, b: out * (digamma(b) - digamma(a + b))),
    torch=_NO_TORCH,
    doc="Γ(a) Γ(b) / Γ(a + b)",
    samples=two(0.7, 3)[:1],
)
betaln_raw: Op = scipy_map(
    "betaln",
    scipy.special.betaln,
    (lambda out, a, b: digamma(a) - digamma(a + b), lambda out, a, b: digamma(b) - digamma(a + b)),
    torch=_NO_TORCH,
    doc="ln |beta(a, b)|",
    samples=two(0.7, 3)[:1],
)
exp1: Op = scipy_map(
    "exp1",
    scipy.special.exp1,
    (lambda out, x: -exp(-x) / x,),
    torch=_NO_TORCH,
    doc="The exponential integral E₁: ∫ exp(-t)/t from x to ∞.",
    samples=one(0.3, 3),
)
expi: Op = scipy_map(
    "expi",
    scipy.special.expi,
    (lambda out, x: exp(x) / x,),
    torch=_NO_TORCH,
    doc="The exponential integral Ei.",
    samples=one(0.3, 3),
)
dawsn: Op = scipy_map(
    "dawsn",
    scipy.special.dawsn,
    (lambda out, x: 1.0 - 2.0 * x * out,),
    torch=_NO_TORCH,
    doc="Dawson's integral exp(-x²) ∫ exp(t²) from 0 to x.",
    samples=one(-2, 2),
)
erfi: Op = scipy_map(
    "erfi",
    scipy.special.erfi,
    (lambda out, x: exp(x * x) * (2.0 / math.sqrt(math.pi)),),
    torch=_NO_TORCH,
    doc="-i erf(ix)",
    samples=one(-2, 2),
)
spence: Op = scipy_map(
    "spence",
    scipy.special.spence,
    (lambda out, x: select(x == 1.0, -1.0, log(x) / select(x == 1.0, 1.0, 1.0 - x)),),
    torch=_NO_TORCH,
    doc="The dilogarithm ∫ ln t / (1 - t) from 1 to x.",
    samples=one(0.2, 0.9),
)
_SQUARES = np.sin((np.arange(8) + 0.5) * (math.pi / 16)) ** 2
"""sin² at 8 points of a quarter turn, whose mean is the integral of an even periodic function: exact for ``|m| ≤ 1/4``."""


def small_parameter(m: Any) -> tuple[Any, Any, Any]:
    """Whether the closed forms of derivatives in ``m`` would cancel, ``m`` where they do, and where they do not."""
    small = maps.absolute(m) < 0.25
    return small, select(small, m, 0.0), select(small, 0.5, m)


def complete_slopes(m: Any) -> tuple[Any, Any]:
    """The derivatives in a small ``m`` of the complete integrals of the first and the second kind."""
    first, second = m * 0.0, m * 0.0
    for square in _SQUARES.tolist():
        inside = 1.0 - m * square
        root = maps.sqrt(inside)
        first, second = first + square / (inside * root), second - square / root
    return first * (math.pi / 32), second * (math.pi / 32)


def _complete_slope(out: Any, m: Any) -> Any:
    """The derivative of the complete integral of the first kind, whose value is ``out``."""
    small, near, far = small_parameter(m)
    return select(small, complete_slopes(near)[0], (ellipe(far) - (1.0 - far) * out) / (2.0 * far * (1.0 - far)))


def _second_slope(out: Any, m: Any) -> Any:
    """The derivative of the complete integral of the second kind."""
    small, near, far = small_parameter(m)
    return select(small, complete_slopes(near)[1], (out - ellipk(far)) / (2.0 * far))


ellipk: Op = scipy_map(
    "ellipk",
    scipy.special.ellipk,
    (_complete_slope,),
    torch=_NO_TORCH,
    doc="The complete elliptic integral of the first kind.",
    samples=one(0.2, 0.9),
)
ellipe: Op = scipy_map(
    "ellipe",
    scipy.special.ellipe,
    (_second_slope,),
    torch=_NO_TORCH,
    doc="The complete elliptic integral of the second kind.",
    samples=one(0.2, 0.9),
)
# -- two operands -----------------------------------------------------------------------------------------------------


def beta(a: Any, b: Any) -> Any:
    """``scipy.special.beta``.

    >>> beta(2.0, 3.0).round(4)
    np.float64(0.0833)
    """
    return paired(beta_raw, a, b)


def betaln(a: Any, b: Any) -> Any:
    """``scipy.special.betaln``."""
    return paired(betaln_raw, a, b)


def rel_entr(x: Any, y: Any) -> Any:
    """``scipy.special.rel_entr``: ``x log(x / y)``."""
    inside = logical_and(x > 0, y > 0)
    value = x * log(select(inside, x / y, 1.0))
    edge = logical_and(x == 0, y >= 0)
    nan = logical_or(isnan(x), isnan(y))
    # from the inside outwards, as a choice between two Python numbers would have their dtype
    return select(edge, 0.0, select(nan, np.nan, select(inside, value, np.inf)))


def kl_div(x: Any, y: Any) -> Any:
    """``scipy.special.kl_div``: ``x log(x / y) - x + y``."""
    return rel_entr(x, y) - x + y


def huber(delta: Any, r: Any) -> Any:
    """``scipy.special.huber``."""
    size = maps.absolute(r)
    value = select(size <= delta, 0.5 * (r * r), delta * (size - 0.5 * delta))
    return select(delta < 0, np.inf, value)


def pseudo_huber(delta: Any, r: Any) -> Any:
    """``scipy.special.pseudo_huber``."""
    return delta * delta * (maps.sqrt(1.0 + (r / delta) * (r / delta)) - 1.0)


def boxcox(x: Any, lmbda: Any) -> Any:
    """``scipy.special.boxcox``: ``(x^λ - 1) / λ``, log x for λ = 0."""
    return _box(log(x), lmbda)


def boxcox1p(x: Any, lmbda: Any) -> Any:
    """``scipy.special.boxcox1p``: ``boxcox(1 + x, λ)``."""
    return _box(maps.log1p(x), lmbda)


def _box(logarithm: Any, lmbda: Any) -> Any:
    if is_number(lmbda):
        return maps.expm1(lmbda * logarithm) / lmbda if abs(lmbda) >= 1e-19 else logarithm
    flat = maps.absolute(lmbda) < 1e-19
    safe = select(flat, 1.0, lmbda)
    return select(flat, logarithm, maps.expm1(safe * logarithm) / safe)


def inv_boxcox(y: Any, lmbda: Any) -> Any:
    """``scipy.special.inv_boxcox``."""
    return exp(_unbox(y, lmbda))


def inv_boxcox1p(y: Any, lmbda: Any) -> Any:
    """``scipy.special.inv_boxcox1p``."""
    return maps.expm1(_unbox(y, lmbda))


def _unbox(y: Any, lmbda: Any) -> Any:
    if is_number(lmbda):
        return maps.log1p(lmbda * y) / lmbda if lmbda else y
    flat = lmbda == 0
    safe = select(flat, 1.0, lmbda)
    return select(flat, y, maps.log1p(safe * y) / safe)


# -- one operand ------------------------------------------------------------------------------------------------------


def softplus(x: Any) -> Any:
    """``scipy.special.softplus``: ln(1 + exp x)."""
    return maps.logaddexp(as_float(x), 0.0)


def log_expit(x: Any) -> Any:
    """``scipy.special.log_expit``, without underflow."""
    return -maps.logaddexp(-as_float(x), 0.0)


def exp10(x: Any) -> Any:
    """``scipy.special.exp10``."""
    return maps.power(10.0, as_float(x))


def exprel(x: Any) -> Any:
    """``scipy.special.exprel``: (exp x - 1) / x, by its series near 0, so that derivatives are right there."""
    x = as_float(x)
    near = maps.absolute(x) < 1e-3
    small, large = select(near, x, 0.0), select(near, 1.0, x)
    series = 1.0 + small / 2.0 * (1.0 + small / 3.0 * (1.0 + small / 4.0 * (1.0 + small / 5.0 * (1.0 + small / 6.0))))
    return select(near, series, maps.expm1(large) / large)


def cosm1(x: Any) -> Any:
    """``scipy.special.cosm1``: cos x - 1."""
    half = maps.sin(as_float(x) * 0.5)
    return -2.0 * half * half


def erfcinv(y: Any) -> Any:
    """``scipy.special.erfcinv``: the x of which erfc is the operand."""
    return ndtri(as_float(y) * 0.5) * -math.sqrt(0.5)


# -- distributions ----------------------------------------------------------------------------------------------------


def chdtr(v: Any, x: Any) -> Any:
    """``scipy.special.chdtr``: the chi-square distribution, differentiable in ``x``."""
    return gammainc(v / 2.0, x / 2.0)


def chdtrc(v: Any, x: Any) -> Any:
    """``scipy.special.chdtrc``."""
    return gammaincc(v / 2.0, x / 2.0)


def gdtr(a: Any, b: Any, x: Any) -> Any:
    """``scipy.special.gdtr``: the gamma distribution of rate ``a`` and shape ``b``."""
    return gammainc(b, a * x)


def gdtrc(a: Any, b: Any, x: Any) -> Any:
    """``scipy.special.gdtrc``."""
    return gammaincc(b, a * x)


def pdtr(k: Any, m: Any) -> Any:
    """``scipy.special.pdtr``: the Poisson distribution, differentiable in the mean ``m``."""
    return gammaincc(maps.floor(k) + 1.0, m)


def pdtrc(k: Any, m: Any) -> Any:
    """``scipy.special.pdtrc``."""
    return gammainc(maps.floor(k) + 1.0, m)
