"""exp and its relatives.

All rest on one reduction (Cody and Waite; Muller, *Elementary Functions*, ch. 11): x = n ln 2 + r with |r| <=
ln(2)/2, so exp(x) = 2**n exp(r). n is found by adding `Format.shifter`, which leaves it both as a float and in the
low bits: no conversion between float and integer, which AVX2 lacks for 64 bits, and nothing undefined when x is NaN.
With a fused multiply-add the first step of r = (x - n L1) - n L2 is exact. The polynomials interpolate (exp(r) - 1 -
r) / r**2 at Chebyshev nodes, computed with 60 digits; their own error is under 0.01 ulp of exp(r) in float64 and 0.04
in float32.
"""

from __future__ import annotations

from tracegrad.codegen.mathlib_lane import Lane, Operand, balanced, copy_sign, fast_two_sum, fma, polynomial, select

LOG2_E = 1.4426950408889634
# ln 2 in two parts of full precision each; together 107 (49) bits.
LN2_64 = (0.6931471805599453, 2.3190468138462996e-17)
LN2_32 = (0.6931471824645996, -1.9046542121259336e-09)
EXP64 = (
    0.5,
    0.1666666666666667,
    0.04166666666666667,
    0.008333333333326106,
    0.001388888888888081,
    0.0001984126987492355,
    2.4801587333382252e-05,
    2.7557255269785664e-06,
    2.755726525241958e-07,
    2.5105271231322874e-08,
    2.091779227978372e-09,
)
EXP32 = (
    0.500000000155742,
    0.16666576802502236,
    0.041666538843572284,
    0.008363210191789584,
    0.0013927945373046317,
)


# (2**r - 1) / r for |r| <= 1/2
EXP2_64 = (
    0.6931471805599453,
    0.2402265069591013,
    0.05550410866482009,
    0.009618129107594185,
    0.0013333558146772842,
    0.00015403530457041957,
    1.5252733494456675e-05,
    1.321543531349326e-06,
    1.0178199121400866e-07,
    7.073778385135082e-09,
    4.434828146836997e-10,
)
EXP2_32 = (
    0.6931471824645996,
    0.24022647738456726,
    0.055503323674201965,
    0.009618435986340046,
    0.0013398851653734677,
    0.00015353593335021287,
)
# (sinh(x)/x - 1) / x**2 in x**2 for |x| <= 1, (tanh(x)/x - 1) / x**2 for |x| <= 0.55
SINH64 = (
    0.16666666666666669,
    0.008333333333333148,
    0.00019841269841432553,
    2.755731915683938e-06,
    2.505212317608572e-08,
    1.6057256538347023e-10,
    7.7588513197445e-13,
)
SINH32 = (0.1666666716337204, 0.008333350531756878, 0.00019836150750052184, 2.817008862621151e-06)
TANH32 = (
    -0.33333316445350647,
    0.13332577049732208,
    -0.053851280361413956,
    0.021067051216959953,
    -0.00626719743013382,
)


def _shift(n: Lane, shifted: Lane) -> Lane:
    """2**n as a float, from n + shifter; n within the normal exponents."""
    bits = shifted.bits() - n.format.encode(n.format.shifter)
    return ((bits + n.format.bias) << n.format.mantissa).as_float()


def scale(x: Lane, shifted: Lane) -> Lane:
    """x * 2**n from n + shifter, for n to twice the exponent range and |x| near 1.

    Two factors, because 2**n itself over- or underflows where the product does not; the first product is exact and
    only the second one rounds, so a subnormal result is rounded once.
    """
    form = x.format
    n = shifted.bits() - form.encode(form.shifter)
    # n//2, made positive first: the logical shift is the one that every vector unit has.
    half = (n + 4 * form.bias + 4).logical_shift_right(1) - (2 * form.bias + 2)
    rest = n - half
    return x * ((half + form.bias) << form.mantissa).as_float() * ((rest + form.bias) << form.mantissa).as_float()


def clamp(x: Lane, low: float, high: float) -> Lane:
    """x kept within bounds, and NaN kept."""
    return at_most(select(x < low, x.constant(low), x), high)


def at_most(x: Lane, high: float) -> Lane:
    """The lesser of x and a bound; NaN is kept."""
    return select(x > high, x.constant(high), x)


def reduce(x: Lane) -> tuple[Lane, Lane, Lane, Lane]:
    """(n + shifter, n, r, c): x = n ln 2 + r + c, |r| <= 0.35, c the rounding error of r."""
    ln2 = LN2_64 if x.format.width == 64 else LN2_32
    shifted = fma(x, LOG2_E, x.format.shifter)
    n = shifted - x.format.shifter
    first = fma(-n, ln2[0], x)
    r = fma(-n, ln2[1], first)
    return shifted, n, r, fma(-n, ln2[1], first - r)


def tail(r: Lane, c: Lane) -> Lane:
    """exp(r) - 1 - r + c for |r| <= 0.35."""
    return fma(r * r, polynomial(r, EXP64 if r.format.width == 64 else EXP32), c)


def _limits(x: Lane) -> tuple[float, float]:
    """Beyond these exp is 0 or inf; at them it still is, computed."""
    return (-746.0, 710.0) if x.format.width == 64 else (-105.0, 89.0)


def exp(x: Lane) -> Lane:
    """2**n (1 + r + tail), summed from the small end."""
    shifted, _, r, c = reduce(clamp(x, *_limits(x)))
    return scale(1.0 + (r + tail(r, c)), shifted)


def exp_sum(high: Lane, low: Lane) -> Lane:
    """exp(high + low), low below an ulp of high."""
    first, second, shifted = exp_pair(high, low)
    return scale(first + second, shifted)


def exp_pair(high: Lane, low: Operand = 0.0) -> tuple[Lane, Lane, Lane]:
    """(f, s, n + shifter): exp(high + low) = 2**n (f + s), s below an ulp of f.

    low is below an ulp of high: as that may be 2**-43, it joins r before the polynomial.
    """
    shifted, _, r, c = reduce(clamp(high, *_limits(high)))
    r, c = fast_two_sum(r, c + low)
    first, second = fast_two_sum(r.constant(1.0), r + tail(r, c))
    return first, second, shifted


def shifted_by(x: Lane, shifted: Lane) -> Lane:
    """x * 2**n from n + shifter, where that is a normal number, as is x."""
    return (x.bits() + (shifted.bits() << x.format.mantissa)).as_float()


def exp_of_normal(high: Lane, low: Lane) -> Lane:
    """exp(high + low) where that is a normal number; float64, |low| < 1/2."""
    shifted = fma(high + low, LOG2_E, high.format.shifter)
    n = shifted - high.format.shifter
    first, second = fma(-n, LN2_64[0], high), fma(-n, LN2_64[1], low)
    r = first + second
    return shifted_by(1.0 + (first + fma(r * r, balanced(r, EXP64), second)), shifted)


def exp2(x: Lane) -> Lane:
    """2**x = 2**n 2**r with r = x - n, exact."""
    wide = x.format.width == 64
    x = clamp(x, -1080.0, 1025.0) if wide else clamp(x, -155.0, 129.0)
    shifted = x + x.format.shifter
    r = x - (shifted - x.format.shifter)
    return scale(fma(r, polynomial(r, EXP2_64 if wide else EXP2_32), 1.0), shifted)


def _expm1_pair(x: Lane, rough: bool = False) -> tuple[Lane, Lane]:
    """(h, l) with h + l = (exp(x) - 1) / 2, from exp(x) - 1 = 2**n (exp(r) - 1) + (2**n - 1).

    Half of it, so that 2**(n-1) is finite for every finite result. x is clamped; subnormal x loses its last bit. If
    rough, r is rounded, which it is only where n is not 0.
    """
    shifted, n, r, c = reduce(x)
    c = x.constant(-0.0) if rough else c
    factor = _shift(n, shifted - 1.0)
    whole, part = factor - 0.5, factor * r
    # |whole| >= |part| but for n = 0, where whole is 0 and the sum is exact as well.
    high, error = fast_two_sum(whole, part)
    return high, fma(factor, tail(r, c), error)


def expm1(x: Lane) -> Lane:
    """Twice the pair's sum."""
    low, high = (-40.0, 710.0) if x.format.width == 64 else (-20.0, 89.0)
    first, second = _expm1_pair(clamp(x, low, high))
    # Small x is its own answer, and must be: the halving above would drop a subnormal's last bit and the sign of zero.
    return select(abs(x) < x.format.epsilon / 4, x, (first + second) * 2.0)


def tanh(x: Lane) -> Lane:
    """-t / (2 + t) with t = expm1(-2|x|), the quotient corrected by its remainder and the low parts."""
    if x.format.width == 32:
        return _tanh_32(x)
    high, low = fast_two_sum(*_expm1_pair(-2.0 * at_most(abs(x), 22.0), rough=True))
    divisor = 1.0 + high
    divisor_low = (high - (divisor - 1.0)) + low
    quotient = high / divisor
    rest = fma(-quotient, divisor, high) + fma(-quotient, divisor_low, low)
    # 1 / (1 + h) is 1 - h / (1 + h)
    return copy_sign(fma(rest, 1.0 - quotient, quotient), x)


def _tanh_32(x: Lane) -> Lane:
    """1 - 1 / (exp(2|x|) / 2 + 1/2) from 0.55 on, where that is above 1/2; below, a polynomial.

    exp(2|x|) = 2**v needs no more care than v = 2|x| / ln 2 rounded, as its error is divided by it.
    """
    form = x.format
    size = abs(x)
    z = size * size
    near = fma(size * z, polynomial(z, TANH32), size)
    v = at_most(size, 10.0) * (2.0 * LOG2_E)
    shifted = v + form.shifter
    r = v - (shifted - form.shifter)
    factor = ((shifted.bits() + (form.bias - 1)) << form.mantissa).as_float()
    far = 1.0 - 1.0 / fma(fma(r, polynomial(r, EXP2_32), 1.0), factor, 0.5)
    return copy_sign(select(size < 0.55, near, far), x)


def sigmoid(x: Lane) -> Lane:
    """s / (1 + s) or 1 / (1 + s) with s = exp(-|x|): no overflow, and subnormal results are right.

    The quotient q is corrected for what s and 1 + s have lost; 1 / (1 + s) is q, or 1 - q.
    """
    first, second, shifted = exp_pair(-abs(x))
    small = scale(first, shifted)
    # second / first, nearly: first is in [0.7, 1.42]
    relative = second * (2.0 - first)
    divisor, lost = fast_two_sum(x.constant(1.0), small)
    lost = fma(relative, small, lost)
    negative = x < 0.0
    quotient = select(negative, small, 1.0) / divisor
    reciprocal = select(negative, 1.0 - quotient, quotient)
    correction = select(negative, relative, 0.0) - lost * reciprocal
    return fma(quotient, correction, quotient)


def sinh(x: Lane) -> Lane:
    """h - 1 / (4 h) with h = exp(|x|) / 2 from 1 on; below, a polynomial."""
    size = abs(x)
    z = size * size
    near = fma(size * z, polynomial(z, SINH64 if x.format.width == 64 else SINH32), size)
    half = _half_exp(size)
    return copy_sign(select(size < 1.0, near, half - 0.25 / half), x)


def cosh(x: Lane) -> Lane:
    """h + 1 / (4 h) with h = exp(|x|) / 2."""
    half = _half_exp(abs(x))
    return half + 0.25 / half


def _half_exp(x: Lane) -> Lane:
    """exp(x) / 2 for x >= 0: twice 2**(n - 2) (1 + r + tail), as 2**n may be too large."""
    form = x.format
    shifted, _, r, c = reduce(at_most(x, 711.0 if form.width == 64 else 90.0))
    value = 1.0 + (r + tail(r, c))
    factor = ((shifted.bits() + (form.bias - 2)) << form.mantissa).as_float()
    return (value + value) * factor
