"""log and its relatives, and power.

x = 2**k m with m in [sqrt(1/2), sqrt(2)), found on the bits, and log(1 + f) for f = m - 1: in float64 by fdlibm's
``e_log.c``: with s = f / (2 + f) and z = s*s, log(1 + f) = f - f*f/2 + s (f*f/2 + R(z)), where R(z) = 2 atanh(s)/s - 2;
in float32 by a polynomial in f. The coefficients are interpolations at Chebyshev nodes or Remez's, computed with 60
digits; their own error is under 0.2 ulp. Zero, negative, infinite, NaN and subnormal arguments are rare (`mathlib_rare`).

power needs the logarithm to 64 bits, since y log(x) reaches 709 and its absolute error is the relative error of the
result. m is multiplied by one of five factors whose logarithms are nearly multiples of 2**-42 (after Gal's accurate
tables), so that |f| <= 0.07; then log(1 + f) = s + s**3 / 12 + ..., where only s = 2 f / (2 + f) needs two parts
(Dekker).

In float32 power needs log2(x) to 2**-31, since y log2(x) reaches 126: k + log2(m), where log2(m) is a pair of float32. With
s = f / (2 + f), log2(m) = s (C + c z + ...) for C = 2 / ln 2 and c = C / 3, of which only what begins at z**2 is rounded
to one float32. k stays by itself: y k - n is exact for the integer n nearest to the exponent; and 2**r is a pair until its
last sum, so that a result that float32 holds is given. Measured on 10**4 elements on Zen 4: 0.70 ns an element, where
float64's log2 and exp2, rounded, took 1.15 and NumPy's power takes 0.70. With k and the pair in one sum, and all of z c + ...
rounded, it took 0.74 and was off by 2.05 ulp; without the pair of 2**r 0.67, and 3**6 was not 729.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from tracegrad.codegen import mathlib_exp
from tracegrad.codegen.mathlib_lane import (
    Lane,
    Operand,
    balanced,
    copy_sign,
    fast_two_sum,
    fma,
    horner,
    polynomial,
    select,
    two_product,
)
from tracegrad.codegen.mathlib_rare import replace_rarely

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
# (log(1 + f) - f) / f**2 on sqrt(1/2) - 1 <= f <= sqrt(2) - 1
LOG32 = (
    -0.49999988079071045,
    0.33333325386047363,
    -0.25001582503318787,
    0.2000197321176529,
    -0.16609083116054535,
    0.14181824028491974,
    -0.1324297934770584,
    0.12904442846775055,
    -0.0762181282043457,
)
# (log(1 + f) / log(2) - f c) / f with the first part c of 1 / ln 2, and the same to base 10
LOG2_32 = (
    1.920072278949192e-08,
    -0.7213473320007324,
    0.4808982312679291,
    -0.3606966435909271,
    0.2885674238204956,
    -0.23961740732192993,
    0.20460057258605957,
    -0.19106264412403107,
    0.18617530167102814,
    -0.10995026677846909,
)
LOG10_32 = (
    -2.131141130234937e-08,
    -0.21714718639850616,
    0.14476853609085083,
    -0.10858262330293655,
    0.08667141199111938,
    -0.07192964851856232,
    0.06493709981441498,
    -0.06239395588636398,
    0.0378795862197876,
)

# With f = m r - 1, |f| <= 0.0702, for m in five intervals from LOWEST on; the bases are -log(r) to 2**-67.
LOWEST = 0.70546
STARTS = (0.81079, 0.93161, 1.0696, 1.22892)
FACTORS = (1.319904139954279, 1.14682933140717, 1.0, 0.8698593647899586, 0.7575825080119002)
BASES = (-0.27755911271447076, -0.137001031441514, 0.0, 0.13942373006693742, 0.2776228260622702)
# ln 2 in two parts; multiples of the first, like the bases, are whole multiples of 2**-42.
LN2_SHORT = (0.6931471805598903, 5.497923018708371e-14)
# (atanh(h) - h) / h**3 in h**2 for |h| <= 0.0384
ATANH = (0.33333333333333337, 0.19999999999987128, 0.1428571432580196, 0.11111056635675207, 0.09124498502812255)
# 2 / ln 2 in two parts, and (2 atanh(s) / ln 2 - s 2 / ln 2) / s**3 in s**2 for |s| <= 0.1716, to 2**-35 of the logarithm
ATANH2 = (2.885390043258667, 3.851926067000022e-08)
ATANH2_REST = (0.9617966923069008, 0.577079774710626, 0.41190121235959, 0.33658920415199856)

# 1/ln 2, 1/ln 10 and log10(2), each in two parts; the first of log10(2) so short that its product with k is exact.
LOG2_E = {64: (1.4426950408889634, 2.0355273740931033e-17), 32: (1.4426950216293335, 1.925963033500011e-08)}
LOG10_E = {64: (0.4342944819032518, 1.098319650216765e-17), 32: (0.4342944920063019, -1.0103049952192578e-08)}
LOG10_2 = {64: (0.30102999566383914, 1.42050232272661e-13), 32: (0.301025390625, 4.605038981195214e-06)}


def _ln2(x: Lane) -> tuple[float, float]:
    return mathlib_exp.LN2_64 if x.format.width == 64 else mathlib_exp.LN2_32


def _split(x: Lane, least: float = math.sqrt(0.5)) -> tuple[Lane, Lane, Lane]:
    """(k, m, 2**k's bits less those of 1), least <= m < 2 least, for positive normal x; anything for others."""
    form = x.format
    lowest = form.encode(least)
    # Moving the threshold from 1 to `least` makes the exponent field count from there, without a comparison.
    moved = x.bits() + (form.encode(1.0) - lowest)
    fraction = moved & ((1 << form.mantissa) - 1)
    # The field becomes the low bits of 2**mantissa.
    unit = 2.0**form.mantissa
    k = (moved.logical_shift_right(form.mantissa) | form.encode(unit)).as_float() - (unit + form.bias)
    return k, (fraction + lowest).as_float(), moved - fraction


def _split_any(x: Lane, least: float = math.sqrt(0.5)) -> tuple[Lane, Lane]:
    """(k, m) for subnormal x as well."""
    lift = x.format.mantissa + 2
    tiny = x < x.format.smallest_normal
    k, m, _ = _split(select(tiny, x * 2.0**lift, x), least)
    return select(tiny, k - float(lift), k), m


def _is_special(x: Lane) -> Lane:
    """Zero, subnormal, negative, infinite, NaN."""
    least, infinite = x.format.encode(x.format.smallest_normal), x.format.encode(float("inf"))
    return (x.bits() - least).compare(">=", infinite - least, signed=False)


def _with_edges(x: Lane, result: Lane) -> Lane:
    """-inf at 0, NaN below, inf and NaN themselves."""
    infinite = float("inf")
    edge = select(x < 0.0, x.constant(float("nan")), select(x.equals(0.0), x.constant(-infinite), x))
    return select((x > 0.0) & (x < infinite), result, edge)


def _by_parts(x: Lane, name: str, formula: Callable[[Lane, Lane], Lane]) -> Lane:
    """formula(k, m) of x = 2**k m, for every x."""
    k, m, _ = _split(x)
    of_any = lambda x: _with_edges(x, formula(*_split_any(x)))  # noqa: E731
    return replace_rarely(formula(k, m), [x], name, _is_special, of_any)


def _rest(f: Lane, error: Operand = -0.0) -> tuple[Lane, Lane]:
    """(f*f/2, s (f*f/2 + R) + error), so that log(1 + f + error) = f - first + second; float64."""
    half_square = 0.5 * f * f
    s = f / (2.0 + f)
    z = s * s
    return half_square, fma(s, fma(z, polynomial(z, LOG64), half_square), error)


def log_of_parts(k: Lane, f: Lane, error: Operand = -0.0) -> Lane:
    """k ln 2 + log(1 + f + error), error below an ulp of f; the parts summed from the small end."""
    high, low = _ln2(k)
    if f.format.width == 32:
        return fma(k, high, f + fma(f * f, polynomial(f, LOG32), fma(k, low, error)))
    half_square, rest = _rest(f, error)
    return fma(k, high, f - (half_square - fma(k, low, rest)))


def log(x: Lane) -> Lane:
    """k ln 2 + log(m)."""
    return _by_parts(x, "log", lambda k, m: log_of_parts(k, m - 1.0))


def log1p(x: Lane) -> Lane:
    """log of u = fl(1 + x) = 2**k m, with the rounding error of u, times 2**-k, added to m - 1."""
    u = 1.0 + x
    # Knuth's sum: exact for every x, where Dekker's would need |x| <= 1.
    part = u - 1.0
    error = (1.0 - (u - part)) + (x - part)
    k, m, bits = _split(u)
    # k stays above -54 as u does above 2**-53, and below 1025, where the error is 0. If k is 0, the sum is x itself.
    shrink = (2 * x.format.encode(1.0) - bits).as_float()
    f = m - 1.0
    corrected = fma(error, shrink, f)
    result = copy_sign(log_of_parts(k, corrected, fma(error, shrink, f - corrected)), x)
    # Where k might be 1024, 2**-k has no bits.
    huge = 2.0**x.format.bias
    return replace_rarely(result, [x], "log1p", lambda x: ~((x > -1.0) & (x < huge)), _log1p_of_huge)


def _log1p_of_huge(x: Lane) -> Lane:
    """log(1 + x) where the 1 is lost, or not in the domain."""
    k, m, _ = _split(x)
    return _with_edges(1.0 + x, log_of_parts(k, m - 1.0))


def _log_to_base(name: str, x: Lane, scale: tuple[float, float], octave: tuple[float, float]) -> Lane:
    """k * octave + log(m) * scale, both factors in two parts."""

    def of_parts(k: Lane, m: Lane) -> Lane:
        f = m - 1.0
        if f.format.width == 32:
            tail = polynomial(f, LOG2_32 if name == "log2" else LOG10_32)
            low = fma(f, tail, k * octave[1]) if octave[1] else f * tail
            return fma(k, octave[0], fma(f, scale[0], low))
        half_square, rest = _rest(f)
        product, error = two_product(f, scale[0])
        low = fma(rest - half_square, scale[0], fma(f, scale[1], error))
        low = fma(k, octave[1], low) if octave[1] else low
        return fma(k, octave[0], product + low)

    return _by_parts(x, name, of_parts)


def log2(x: Lane) -> Lane:
    """log to base 2; exact on powers of two, whose m is 1."""
    return _log_to_base("log2", x, LOG2_E[x.format.width], (1.0, 0.0))


def log10(x: Lane) -> Lane:
    """log to base 10."""
    return _log_to_base("log10", x, LOG10_E[x.format.width], LOG10_2[x.format.width])


def _by_interval(m: Lane, values: Sequence[float]) -> Lane:
    """The value for the interval that m is in."""
    first, second, third, fourth, fifth = (m.constant(value) for value in values)
    lower = select(m < STARTS[1], select(m < STARTS[0], first, second), third)
    return select(m < STARTS[2], lower, select(m < STARTS[3], fourth, fifth))


def _log_pair(k: Lane, m: Lane) -> tuple[Lane, Lane]:
    """k ln 2 + log(m) as high + low to about 64 bits, float64, LOWEST <= m < 2 LOWEST; low is to 2**-11 of high."""
    product, f_low = two_product(m, _by_interval(m, FACTORS))
    f = product - 1.0
    divisor = 2.0 + f
    divisor_low = (f - (divisor - 2.0)) + f_low
    # s + s_low = 2 f / (2 + f), and 2 / (2 + f) = 1 - s/2
    half = f / divisor
    s = half + half
    rest = fma(-half, divisor, f) + fma(-half, divisor_low, f_low)
    s_low = fma(-half, rest, rest)
    z = half * half
    # The derivative of 2 atanh(s/2) is 1 + z to the first order.
    low = fma(s * z, balanced(z, ATANH), fma(k, LN2_SHORT[1], fma(s_low, z, s_low)))
    high, error = fast_two_sum(fma(k, LN2_SHORT[0], _by_interval(m, BASES)), s)
    return high, error + low


def power(x: Lane, y: Lane) -> Lane:
    """The C standard's pow: 1 where y is 0 or x is 1, even beside NaN; NaN for a negative x to a fractional y."""
    if x.format.width == 32:
        usual, n = _power_32(x, y)
        rare = lambda x, y, n: _is_special(x) | ~(abs(n) < 126.0)  # noqa: E731
        return replace_rarely(usual, [x, y, n], "power", rare, lambda x, y, n: _power_32_any(x, y))
    high, low = _log_pair(*_split(x, LOWEST)[:2])
    exponent = y * high
    usual = mathlib_exp.exp_of_normal(exponent, fma(y, low, fma(y, high, -exponent)))
    rare = lambda x, y, e: _is_special(x) | ~(abs(e) < 706.0)  # noqa: E731
    return replace_rarely(usual, [x, y, exponent], "power", rare, lambda x, y, e: _power_64_any(x, y))


def _power_32(x: Lane, y: Lane) -> tuple[Lane, Lane]:
    """(2**(y log2(x)), the exponent's nearest integer), for positive normal x and |y log2(x)| < 126."""
    k, m, _ = _split(x)
    f = m - 1.0
    divisor = 2.0 + f
    # f / (2 + f) = s + rest / (2 + f)
    s = f / divisor
    rest = fma(-s, f - (divisor - 2.0), fma(-s, divisor, f))
    z = s * s
    # 2 atanh(s) / (s ln 2) in two parts
    factor = fma(z, ATANH2_REST[0], ATANH2[0])
    beyond = fma(z * z, horner(z, ATANH2_REST[1:]), ATANH2[1])
    factor_low = fma(z, ATANH2_REST[0], ATANH2[0] - factor) + beyond
    # the slope of atanh times 1 / (2 + f) is 1 / (2 + 2 s)
    slope = horner(s, (ATANH2[0] / 2, -ATANH2[0] / 2, ATANH2[0] / 2))
    high = s * factor
    low = fma(rest, slope, fma(s, factor_low, fma(s, factor, -high)))
    shifted = fma(y, k + high, y.format.shifter)
    n = shifted - y.format.shifter
    r = fma(y, low, fma(y, high, fma(y, k, -n)))
    # 2**r = whole + part: what a float32 holds is given, not its neighbour
    whole = fma(r, mathlib_exp.EXP2_32[0], 1.0)
    part = fma(r * r, horner(r, mathlib_exp.EXP2_32[1:]), fma(r, mathlib_exp.EXP2_32[0], 1.0 - whole))
    return mathlib_exp.shifted_by(whole + part, shifted), n


def _power_32_any(x: Lane, y: Lane) -> Lane:
    wide = abs(x).widened()
    k, m, _ = _split(wide)
    log_x = _with_edges(wide, log_of_parts(k, m - 1.0))
    return power_of_sign(x, y, mathlib_exp.exp(y.widened() * log_x).narrowed())


def _power_64_any(x: Lane, y: Lane) -> Lane:
    infinite = float("inf")
    size = abs(x)
    high, low = fast_two_sum(*_log_pair(*_split_any(size, LOWEST)))
    high = select((size > 0.0) & (size < infinite), high, select(size.equals(0.0), size.constant(-infinite), size))
    exponent = y * high
    # Where the result has over- or underflowed the low part may be inf - inf.
    exponent_low = select(abs(exponent) < 800.0, fma(y, low, fma(y, high, -exponent)), 0.0)
    return power_of_sign(x, y, mathlib_exp.exp_sum(exponent, exponent_low))


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
