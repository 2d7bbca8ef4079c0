"""erf, and with it erfc and ndtr.

On |x| <= 1, x + x P(x**2): the first term is exact, and P = erf(x)/x - 1 is small. Beyond, 1 - exp(-Q(|x| - 1)) with
Q = -log(erfc) (the idea is N. Juffa's): of erfc only the digits above an ulp of 1 count, so that Q was fitted by
Remez's exchange with the weight erfc, to 2.2e-17 of the result (float32 1e-9). Its powers are those of |x| - 1,
where the weight is greatest, so that rounding errors are least there too. From 6 on (float32: 4) the result is 1.

erfc is 1 - erf, in two parts, up to 0.7. Above, exp(-z**2) erfcx(z), with z**2 in two parts and erfcx(z) (1 + 2z) a
polynomial in t = (z - 3) / (z + 3), which goes from -1 to 1 as z goes from 0 to infinity (M. Shepherd's and J.
Laframboise's idea), interpolated at Chebyshev points to 1.2e-17. In float32 it is the float64 result, rounded. ndtr(x)
is erfc(-x / sqrt(2)) / 2, the square of whose argument needs no root.
"""

from __future__ import annotations

from tracegrad.codegen import mathlib_exp
from tracegrad.codegen.mathlib_lane import Lane, Operand, copy_sign, fast_two_sum, fma, polynomial, select, two_product, two_sum

ERF_NEAR64 = (
    0.1283791670955126,
    -0.3761263890318375,
    0.11283791670954879,
    -0.026866170645076792,
    0.0052239776248180145,
    -0.000854832698083379,
    0.0001205533111164271,
    -1.4925595266831182e-05,
    1.6461000484121368e-06,
    -1.6350312701054695e-07,
    1.4659775274047436e-08,
    -1.1372848856791674e-09,
    5.957176147748911e-11,
)
ERF_FAR64 = (
    1.8496055099332482,
    2.6389675142347913,
    0.8431072563584872,
    0.041561098046363716,
    -0.010033825429252935,
    0.0019779029488279734,
    -0.00023732414941242885,
    -2.6272970957595438e-05,
    2.714895580006664e-05,
    -9.593516076780022e-06,
    2.0422177548504363e-06,
    -1.2746178278942045e-07,
    -1.0808459300490687e-07,
    5.764985155131323e-08,
    -1.7213708040358775e-08,
    3.5743734304481777e-09,
    -5.267622364859497e-10,
    5.2828151463535096e-11,
    -3.237484248069343e-12,
    9.143668549788823e-14,
)
ERF_NEAR32 = (
    0.12837916584835093,
    -0.37612626666720334,
    0.11283594715160218,
    -0.026854212010626412,
    0.005189087423433974,
    -0.000801686428716587,
    7.875875062685488e-05,
)
ERF_FAR32 = (
    1.8496055164799885,
    2.6389668159780224,
    0.843118335943726,
    0.041500689608486234,
    -0.009890892789222226,
    0.001826162767006727,
    -0.00018557359899752838,
)

ERFCX = (
    1.2530080582697296,
    -0.13562110612458117,
    -0.04756229435345087,
    0.1296451587027606,
    -0.11927366341530699,
    0.06830802734397848,
    -0.023770514918645888,
    0.002529391816066239,
    0.0018886903591561553,
    -0.0007798322721083991,
    -0.00010515979981501177,
    0.00012509935235563107,
    4.949484992570595e-06,
    -2.0100567931289227e-05,
    -7.315105164159059e-07,
    3.4724146028756853e-06,
    3.568383915399215e-07,
    -6.166496077604346e-07,
    -1.4160064940265918e-07,
    1.0187000600072834e-07,
    4.1807846988455305e-08,
    -1.3326364813003607e-08,
    -8.500397929772389e-09,
    9.885798831138935e-10,
    8.864219016426661e-10,
)
# Up to the first erfcx, up to the second erfc and ndtr are made of erf: log_ndtr is within 1.6 ulp so, 2.15 with 0.47.
CLOSE, NEAR = 0.47, 0.7
ROOT_HALF = (0.7071067811865476, -4.833646656726457e-17)


def erf(x: Lane) -> Lane:
    """Both sides are computed and one is selected."""
    wide = x.format.width == 64
    size = mathlib_exp.at_most(abs(x), 6.0 if wide else 4.0)
    near = _near(x)
    far = 1.0 - mathlib_exp.exp(-polynomial(size - 1.0, ERF_FAR64 if wide else ERF_FAR32))
    return copy_sign(select(size < 1.0, near, far), x)


def _near(x: Lane) -> Lane:
    """erf(x) on |x| <= 1."""
    return fma(x, polynomial(x * x, ERF_NEAR64 if x.format.width == 64 else ERF_NEAR32), x)


def _one_less(z: Lane, z_low: Operand, half: float, sign: Lane) -> Lane:
    """half + sign * erf(z + z_low) for 0 <= z <= 1, z_low below an ulp of z, sign = ±half; erf in two parts."""
    first, second = fast_two_sum(z, fma(z, polynomial(z * z, ERF_NEAR64), z_low))
    total, lost = fast_two_sum(z.constant(half), sign * first)
    return total + fma(sign, second, lost)


def erfc(x: Lane) -> Lane:
    """1 - erf(x), exact where it is small."""
    if x.format.width == 32:
        return erfc(x.widened()).narrowed()
    size = mathlib_exp.at_most(abs(x), 30.0)
    square, square_low = two_product(size, size)
    tail = _tail(_scaled(size), square, square_low, 1.0)
    near = _one_less(size, 0.0, 1.0, copy_sign(x.constant(1.0), -x))
    return select(size < NEAR, near, select(x < 0.0, 2.0 - tail, tail))


def ndtr(x: Lane) -> Lane:
    """The normal distribution's share below x."""
    if x.format.width == 32:
        return ndtr(x.widened()).narrowed()
    size = mathlib_exp.at_most(abs(x), 40.0)
    square, square_low = two_product(size, size)
    z = size * ROOT_HALF[0]
    z_low = fma(size, ROOT_HALF[1], fma(size, ROOT_HALF[0], -z))
    tail = _tail(_scaled(z, z_low), 0.5 * square, 0.5 * square_low, 0.5)
    near = _one_less(z, z_low, 0.5, copy_sign(x.constant(0.5), x))
    return select(z < NEAR, near, select(x < 0.0, tail, 1.0 - tail))


def erfcx(x: Lane) -> Lane:
    """exp(x**2) erfc(x)."""
    if x.format.width == 32:
        return erfcx(x.widened()).narrowed()
    size = abs(x)
    quotient, rest = _scaled(size)
    rest = select(size < float("inf"), rest, 0.0)
    square, square_low = two_product(*[mathlib_exp.at_most(size, 30.0)] * 2)
    first, second, shifted = mathlib_exp.exp_pair(square, square_low)
    up = first + second
    # close to 0 the polynomial's variable is not exact enough for its slope
    near = fma(-up, _near(x), up)
    far = select(x < 0.0, mathlib_exp.scale(2.0 * up, shifted) - quotient, quotient + rest)
    return select(size < CLOSE, near, far)


def _scaled(z: Lane, z_low: Operand = 0.0) -> tuple[Lane, Lane]:
    """erfcx(z + z_low) for z >= 0 in two parts: half the polynomial over z + 1/2, which does not overflow."""
    # Rounded once: the polynomial's slope is steepest near 0, where t's own errors were 0.4 ulp of ndtr.
    shifted, shifted_low = two_sum(mathlib_exp.at_most(z, 2.0**70), 3.0)
    share = 6.0 / shifted
    missing = fma(-share, shifted, 6.0) - share * (shifted_low + z_low)
    t = fma(missing * share, -1.0 / 6.0, 1.0 - share)
    high, low = fast_two_sum(t.constant(0.5 * ERFCX[0]), 0.5 * t * polynomial(t, ERFCX[1:]))
    divisor, divisor_low = two_sum(z, 0.5)
    divisor_low = divisor_low + z_low
    reciprocal = 1.0 / divisor
    quotient = high * reciprocal
    return quotient, (fma(-quotient, divisor, high) + fma(-quotient, divisor_low, low)) * reciprocal


def _tail(scaled: tuple[Lane, Lane], square: Lane, square_low: Lane, factor: float) -> Lane:
    """factor exp(-z**2) erfcx(z) for z >= 0, all products in two parts."""
    quotient, rest = scaled
    first, second, shifted = mathlib_exp.exp_pair(-square, -square_low)
    product, error = two_product(first, quotient)
    return mathlib_exp.scale(factor * (product + (error + fma(first, rest, second * quotient))), shifted)
