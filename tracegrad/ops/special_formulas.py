"""The formulas behind the special functions: scalar expressions for native code, and NumPy code for derivatives."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.special

from tracegrad.core.expr import Scalar, call

Array = np.ndarray[Any, Any]

ROOT_HALF = math.sqrt(0.5)
TWO_OVER_ROOT_PI = 2.0 / math.sqrt(math.pi)


def _polynomial(x: Any, coefficients: tuple[float, ...]) -> Any:
    """Horner's scheme; the coefficients from the constant one up."""
    result: Any = coefficients[-1]
    for c in reversed(coefficients[:-1]):
        result = result * x + c
    return result


# -- the complementary error function -----------------------------------------------------------------------------------


def log_ndtr_lower(x: Scalar) -> Scalar:
    """``log_ndtr``: by erfcx in the lower tail, by log1p in the upper half."""
    low = call("less", x, -1.0)
    share = call("ndtr", -call("absolute", x))
    scaled = call("erfcx", x * -ROOT_HALF) * 0.5
    below = call("log", call("where", low, scaled, share)) - call("where", low, x * (x * 0.5), 0.0)
    return call("where", call("greater", x, 0.0), call("log1p", -share), below)


# -- logarithms of shares -----------------------------------------------------------------------------------------------


def logit_lower(x: Scalar) -> Scalar:
    """``logit``; near 1/2, where the quotient is nearly 1, by log1p of the distance."""
    away = (x - 0.5) * 2.0
    middle = call("log1p", away) - call("log1p", -away)
    near = call("logical_and", call("greater", x, 0.3), call("less", x, 0.65))
    return call("where", near, middle, call("log", call("divide", x, 1.0 - x)))


def entr_lower(x: Scalar) -> Scalar:
    """``entr``: -x ln x, 0 at 0 and -∞ below."""
    inside = -(x * call("log", x))
    # the logarithm of 0 is the -∞ that the language has no literal for
    outside = call("where", call("equal", x, 0.0), 0.0, call("log", call("multiply", 0.0, x)))
    return call("where", call("greater", x, 0.0), inside, outside)


def xlogy_lower(x: Scalar, y: Scalar) -> Scalar:
    """``xlogy``: x ln y, 0 where x is 0 and y a number."""
    nothing = call("logical_and", call("equal", x, 0.0), call("equal", y, y))
    return call("where", nothing, 0.0, x * call("log", y))


def xlog1py_lower(x: Scalar, y: Scalar) -> Scalar:
    """``xlog1py``: x ln(1 + y), likewise."""
    nothing = call("logical_and", call("equal", x, 0.0), call("equal", y, y))
    return call("where", nothing, 0.0, x * call("log1p", y))


# -- sinc ---------------------------------------------------------------------------------------------------------------


def _sinc_series(order: int) -> tuple[float, ...]:
    """The power series of a derivative of sin(t)/t in t², behind t if the order is odd; enough terms for t ≤ order + 1."""
    coefficients: list[float] = []
    k = (order + 1) // 2
    while True:
        c = (-1) ** k * math.factorial(2 * k) / math.factorial(2 * k - order) / math.factorial(2 * k + 1)
        coefficients.append(c)
        if abs(c) * (order + 1.0) ** (2 * k - order) < 1e-18:
            return tuple(coefficients)
        k += 1


def sinc_lower(x: Scalar, order: int = 0) -> Scalar:
    """A derivative of ``sinc``: the series where the recurrence ``t f⁽ⁿ⁾ = sin⁽ⁿ⁾ t - n f⁽ⁿ⁻¹⁾`` would cancel."""
    t = x * math.pi
    sine, cosine = call("sin", t), call("cos", t)
    if order == 0:
        return call("where", call("equal", x, 0.0), 1.0, call("divide", sine, t))
    turns = (sine, cosine, -sine, -cosine)
    far = call("divide", sine, t)
    for n in range(1, order + 1):
        far = call("divide", turns[n % 4] - far * float(n), t)
    near = _polynomial(t * t, _sinc_series(order))
    near = near * t if order % 2 else near
    chosen = call("where", call("less", call("absolute", t), order + 1.0), near, far)
    return chosen * math.pi**order


def sinc_eager(x: Any, order: int = 0) -> Any:
    """The same in NumPy."""
    if order == 0:
        return np.sinc(x)
    result_type = np.asarray(x).dtype
    t = np.asarray(x, np.float64) * math.pi
    close = np.abs(t) < order + 1.0
    wide = np.where(close, 1.0, t)
    turns = (np.sin(wide), np.cos(wide), -np.sin(wide), -np.cos(wide))
    far = turns[0] / wide
    for n in range(1, order + 1):
        far = (turns[n % 4] - n * far) / wide
    small = np.where(close, t, 0.0)
    near = _polynomial(small * small, _sinc_series(order))
    near = near * small if order % 2 else near
    result: Any = np.where(close, near, far) * math.pi**order
    return result.astype(result_type)[()]


# -- the gamma function's kin -------------------------------------------------------------------------------------------


def polygamma_eager(x: Any, n: int) -> Any:
    """The n-th derivative of digamma, by the zeta function."""
    if n == 0:
        return scipy.special.psi(x)
    kind = np.asarray(x).dtype.type
    values: Any = scipy.special.zeta(kind(n + 1), x) * kind((-1) ** (n + 1) * math.factorial(n))
    return values


def polygamma_lower(x: Scalar, n: int) -> Scalar:
    """The same in native code."""
    if n == 0:
        return call("special_psi", x)
    return call("special__zeta", float(n + 1), x) * ((-1.0) ** (n + 1) * math.factorial(n))
