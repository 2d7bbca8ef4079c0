"""log and its relatives, and power.

x = 2**k m with m in [sqrt(1/2), sqrt(2)), found on the bits, and log(1 + f) for f = m - 1 by fdlibm's ``e_log.c``:
with s = f / (2 + f) and z = s*s, log(1 + f) = f - f*f/2 + s (f*f/2 + R(z)), where R(z) = 2 atanh(s)/s - 2. The
polynomials are interpolations at Chebyshev nodes computed with 60 digits; their own error is under 0.1 ulp.

power needs the logarithm to 65 bits, since y log(x) reaches 745 and its absolute error is the relative error of the
result. It is computed in pairs of floats (Dekker; the plan is SLEEF's ``logk``: a quotient s in two parts, two terms
of the series in two parts). In float32 power is the float64 exp and log, rounded.
"""

from __future__ import annotations

import math

from tracegrad.codegen import mathlib_exp
from tracegrad.codegen.mathlib_lane import Lane, fast_two_sum, fma, polynomial, select, two_product

# R(z) / z on 0 <= z <= 0.0297
LOG64 = (
    0.666666666666667,
    0.39999999999893915,
    0.28571428628500795,
    0.2222221072440129,
    0.18182918892943603,
    0.15330736526779512,
    0.14628571557283904,
)
LOG32 = (0.666666665503856, 0.40000125187478847, 0.28550442710140894, 0.23340710133696319)

# (atanh(s)/s - 1 - z/3) / z**2 on the same interval, relative error of the whole 6e-22.
ATANH_TAIL = (
    0.2,
    0.14285714285714282,
    0.11111111111114415,
    0.09090909089768741,
    0.07692307889247772,
    0.06666647589701673,
    0.05883435738729949,
    0.05227512694802674,
    0.05387085160766984,
)
THIRD = (1.0 / 3.0, 1.850371707708594e-17)

# 1/ln 2, 1/ln 10 and log10(2), each in two parts.
LOG2_E = {64: (1.4426950408889634, 2.0355273740931033e-17), 32: (1.4426950216293335, 1.925963033500011e-08)}
LOG10_E = {64: (0.4342944819032518, 1.098319650216765e-17), 32: (0.4342944920063019, -1.0103049952192578e-08)}
LOG10_2 = {64: (0.3010299956639812, -2.8037281277851704e-18), 32: (0.3010300099849701, -1.432098883924482e-08)}


def _ln2(x: Lane) -> tuple[float, float]:
    return mathlib_exp.LN2_64 if x.format.width == 64 else mathlib_exp.LN2_32


def _split(x: Lane) -> tuple[Lane, Lane, Lane]:
    """(k, m, k in bits) for positive finite x, subnormals included; anything for others."""
    form = x.format
    lift = form.mantissa + 2
    tiny = x < form.smallest_normal
    bits = select(tiny, x * 2.0**lift, x).bits()
    # Moving the threshold from 1 to sqrt(1/2) makes the exponent field count from there, without a comparison.
    biased = (bits + (form.encode(1.0) - form.encode(math.sqrt(0.5)))).logical_shift_right(form.mantissa)
    exponent = biased - form.bias
    m = (bits - (exponent << form.mantissa)).as_float()
    true_exponent = exponent - select(tiny, exponent.constant(lift), 0)
    k = (true_exponent + form.encode(form.shifter)).as_float() - form.shifter
    return k, m, true_exponent


def _with_edges(x: Lane, result: Lane) -> Lane:
    """-inf at 0, NaN below, inf and NaN themselves."""
    infinite = float("inf")
    edge = select(x < 0.0, x.constant(float("nan")), select(x.equals(0.0), x.constant(-infinite), x))
    return select((x > 0.0) & (x < infinite), result, edge)


def _rest(f: Lane) -> tuple[Lane, Lane]:
    """(f*f/2, s (f*f/2 + R)), so that log(1 + f) = f - first + second."""
    half_square = 0.5 * f * f
    s = f / (2.0 + f)
    z = s * s
    return half_square, s * fma(z, polynomial(z, LOG64 if f.format.width == 64 else LOG32), half_square)


def log(x: Lane) -> Lane:
    """k ln 2 + log(m), the parts of either summed from the small end."""
    k, m, _ = _split(x)
    f = m - 1.0
    half_square, rest = _rest(f)
    high, low = _ln2(x)
    return _with_edges(x, fma(k, high, f - (half_square - fma(k, low, rest))))


def log1p(x: Lane) -> Lane:
    """log of u = fl(1 + x) = 2**k m, with the rounding error of u carried to where f is added."""
    u = 1.0 + x
    # Knuth's sum: exact for every x, where Dekker's would need |x| <= 1.
    part = u - 1.0
    error = (1.0 - (u - part)) + (x - part)
    k, m, exponent = _split(u)
    f = m - 1.0
    half_square, rest = _rest(f)
    high, low = _ln2(x)
    # error/u to first order: 2**-k from bits; k stays above -54 as u does above 2**-53, and below 1025, where the
    # error is 0.
    shrink = (((-exponent) + x.format.bias) << x.format.mantissa).as_float()
    correction = select(abs(x) < 1.0 / x.format.epsilon, error * shrink / m, 0.0)
    result = fma(k, high, f - (half_square - (fma(k, low, rest) + correction)))
    tiny = abs(x) < x.format.epsilon / 4
    return select(tiny, x, _with_edges(u, result))


def _log_to_base(x: Lane, scale: tuple[float, float], octave: tuple[float, float]) -> Lane:
    """k * octave + log(m) * scale, both factors in two parts."""
    k, m, _ = _split(x)
    f = m - 1.0
    half_square, rest = _rest(f)
    square_error = fma(0.5 * f, f, -half_square)
    high, error = fast_two_sum(f, -half_square)
    low = error + (rest - square_error)
    product, product_error = two_product(high, scale[0])
    product_low = product_error + fma(low, scale[0], high * scale[1])
    whole, whole_error = two_product(k, octave[0])
    total, total_error = fast_two_sum(whole, product)
    return _with_edges(x, total + (total_error + (product_low + fma(k, octave[1], whole_error))))


def log2(x: Lane) -> Lane:
    """log to base 2; exact on powers of two, whose m is 1."""
    return _log_to_base(x, LOG2_E[x.format.width], (1.0, 0.0))


def log10(x: Lane) -> Lane:
    """log to base 10."""
    return _log_to_base(x, LOG10_E[x.format.width], LOG10_2[x.format.width])


def _log_pair(x: Lane) -> tuple[Lane, Lane]:
    """log(x) as high + low to about 65 bits, float64, positive finite x."""
    k, m, _ = _split(x)
    f = m - 1.0
    divisor = 2.0 + f
    divisor_low = f - (divisor - 2.0)
    reciprocal = 1.0 / divisor
    s = f * reciprocal
    s_low = (fma(-s, divisor, f) - s * divisor_low) * reciprocal
    z, z_low = two_product(s, s)
    z_low = fma(2.0 * s, s_low, z_low)
    # atanh(s) = s + s z c with c = 1/3 + z P(z)
    c, c_low = fast_two_sum(z.constant(THIRD[0]), z * polynomial(z, ATANH_TAIL))
    c_low = fma(z_low, ATANH_TAIL[0], c_low + THIRD[1])
    cube, cube_low = two_product(s, z)
    cube_low = cube_low + fma(s, z_low, s_low * z)
    term, term_low = two_product(cube, c)
    term_low = term_low + fma(cube, c_low, cube_low * c)
    high, low = fast_two_sum(s, term)
    low = low + (s_low + term_low)
    ln2 = _ln2(x)
    whole, whole_low = two_product(k, ln2[0])
    total, error = fast_two_sum(whole, 2.0 * high)
    return fast_two_sum(total, error + (fma(k, ln2[1], whole_low) + 2.0 * low))


def power(x: Lane, y: Lane) -> Lane:
    """The C standard's pow: 1 where y is 0 or x is 1, even beside NaN; NaN for a negative x to a fractional y."""
    if x.format.width == 32:
        return power_of_sign(x, y, _power_by_log(abs(x).widened(), y.widened()).narrowed())
    return power_of_sign(x, y, _power_by_pair(abs(x), y))


def _power_by_log(x: Lane, y: Lane) -> Lane:
    return mathlib_exp.exp(y * log(x))


def _power_by_pair(x: Lane, y: Lane) -> Lane:
    """x**y for x >= 0."""
    infinite = float("inf")
    high, low = _log_pair(x)
    high = select((x > 0.0) & (x < infinite), high, select(x.equals(0.0), x.constant(-infinite), x))
    exponent = y * high
    exponent_low = fma(y, high, -exponent) + y * low
    # Where the result has over- or underflowed the low part may be inf - inf.
    exponent_low = select(abs(exponent) < 800.0, exponent_low, 0.0)
    return mathlib_exp.exp_sum(exponent, exponent_low)


def power_of_sign(x: Lane, y: Lane, magnitude: Lane) -> Lane:
    """|x|**y with the sign and the exceptions of x**y."""
    whole = y.call("llvm.trunc").equals(y)
    half = 0.5 * y
    odd = whole & half.call("llvm.trunc").compare("!=", half)
    negative = x.bits() < 0
    signed = select(odd & negative, -magnitude, magnitude)
    invalid = (x < 0.0) & (x > float("-inf")) & ~whole
    result = select(invalid, x.constant(float("nan")), signed)
    # |x| = 1 beside y = inf is 0 * inf above.
    one = y.equals(0.0) | x.equals(1.0) | (x.equals(-1.0) & abs(y).equals(float("inf")))
    return select(one, x.constant(1.0), result)
