"""sin, cos, tan and the inverses.

Reduction below 2**40 (float32: 2**17): x = n pi/2 + r + c by Cody and Waite with a fused multiply-add, which makes the
first step exact. Three parts of pi/2 are 161 bits (71), and float64s in that range come no nearer to a multiple of pi/2
than about 2**-60. sin and cos of float32 do without c, where r is rounded twice.

Beyond, where few arguments are, in a function of its own (`mathlib_rare`), after Payne and Hanek but by floats: x = X
2**(16 j) with X an integer below 2**69. Multiples of 4 in x * 2/pi are whole turns, so X may be multiplied with
2**(16 j) 2/pi *modulo 4*, which a table holds for each of 61 j in four parts. No float64 comes nearer to a multiple
of pi/2 than 2**-62, and the four parts reach 2**-140.

On |r| <= pi/4 the sums are fdlibm's ``k_sin.c`` and ``k_cos.c``; tan is r + r**3 P(r**2) or -1 over it. The inverses
reduce to |t| <= tan(pi/8) with one division (Cephes), or by asin(x) = pi/2 - 2
asin(sqrt((1-x)/2)) (fdlibm).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from fractions import Fraction

from tracegrad.codegen.mathlib_lane import Lane, copy_sign, fast_two_sum, fma, polynomial, select, two_product, two_sum
from tracegrad.codegen.mathlib_rare import replace_rarely

# 2/pi * 2**1216, rounded down: enough for the largest exponent, 971, and 240 bits after it.
TWO_OVER_PI_INTEGER = int(
    "a2f9836e4e441529fc2757d1f534ddc0db6295993c439041fe5163abdebbc561b7246e3a424dd2e006492eea09d1921cfe1d"
    "eb1cb129a73ee88235f52ebb4484e99c7026b45f7e413991d639835339f49c845f8bbdf9283b1ff897ffde05980fef2f118b"
    "5a0a6d1f6d367ecf27cb09b74f463f669e5fea2d7527bac7ebe5f17b3d0739f78a5292ea6bfb5fb11f8d5d0856033046fc7b"
    "6bab",
    16,
)
TWO_OVER_PI_BITS = 1216
TWO_OVER_PI = 0.6366197723675814
CHUNK = 4  # the table's step is 2**4 in the exponent
HALF_PI = (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33)
HALF_PI_32 = (1.570796251296997, 7.549789415861596e-08, 5.390302529957765e-15)
NEAR = {64: 2.0**40, 32: 2.0**17}

# (sin(r)/r - 1) / r**2 and (cos(r) - 1 + r**2/2) / r**4 in r**2
SIN64 = (
    -0.16666666666666666,
    0.008333333333330936,
    -0.00019841269836740532,
    2.7557316093198404e-06,
    -2.5051129896450185e-08,
    1.5917988979397435e-10,
)
COS64 = (
    0.041666666666666664,
    -0.0013888888888887389,
    2.48015872987544e-05,
    -2.755731726587808e-07,
    2.087614504941318e-09,
    -1.138254464534925e-11,
)
# float32's reach |r| <= 0.7894, as x * 2/pi is off by 2**-9 at 2**17.
SIN32 = (-0.16666653752326965, 0.008332107216119766, -0.00019508041441440582)
# (cos(r) - 1) / r**2
COS32 = (-0.5, 0.04166664555668831, -0.0013887312961742282, 2.4432794816675596e-05)
# (tan(r)/r - 1) / r**2
TAN64 = (
    0.3333333333333279,
    0.13333333333413705,
    0.053968253927031314,
    0.02186948960143983,
    0.008863219259393632,
    0.0035922882974360484,
    0.0014547623465215593,
    0.0005950475616743259,
    0.0002224275185173492,
    0.0001364321484450963,
    -2.6260133868246586e-05,
    8.934079395929049e-05,
    -4.4818302792689905e-05,
    2.0849652636945425e-05,
)
TAN32 = (
    0.3333335220813751,
    0.13332578539848328,
    0.05406966060400009,
    0.021231012418866158,
    0.01097081694751978,
    -8.459598029730842e-05,
    0.00446361256763339,
)

# (atan(t)/t - 1) / t**2 for |t| <= tan(pi/8) and (asin(t)/t - 1) / t**2 for |t| <= 1/2, in t**2
ATAN64 = (
    -0.3333333333333333,
    0.199999999999998,
    -0.14285714285659326,
    0.11111111105106705,
    -0.09090908751076636,
    0.0769229630497447,
    -0.06666423628069258,
    0.058789145444006215,
    -0.052303478730160745,
    0.04551108126325172,
    -0.034558092551413795,
    0.01627194475162406,
)
ATAN32 = (
    -0.3333333175381697,
    0.1999953879477192,
    -0.14263897112598675,
    0.1074309966767457,
    -0.06449835224591496,
)
# The same for |t| <= 1
ATAN32_WIDE = (
    -0.33333298563957214,
    0.19998550415039062,
    -0.14264267683029175,
    0.10952307283878326,
    -0.08403778076171875,
    0.057962849736213684,
    -0.031182799488306046,
    0.010917142033576965,
    -0.0017941658152267337,
)
ASIN64 = (
    0.16666666666666669,
    0.07499999999998425,
    0.04464285714637338,
    0.030381944137085216,
    0.022372173002005596,
    0.017352391265909227,
    0.013971235301124539,
    0.011478952690257387,
    0.010324318288744113,
    0.00545087818772055,
    0.017419357964884856,
    -0.014881409392818066,
    0.02877844261259304,
)
ASIN32 = (
    0.16666672427703408,
    0.07498852962262084,
    0.0450018940882998,
    0.026550662963657472,
    0.038093962148042254,
)

PI = {64: (3.141592653589793, 1.2246467991473532e-16), 32: (3.1415927410125732, -8.742277657347586e-08)}
TAN_PI_8 = 0.41421356237309503


def _reduce(x: Lane) -> tuple[Lane, Lane, Lane]:
    """(quadrant, r, c): x = quadrant pi/2 + r + c modulo 2 pi, for |x| < NEAR; the quadrant's low two bits count."""
    parts = HALF_PI if x.format.width == 64 else HALF_PI_32
    shifted = fma(x, TWO_OVER_PI, x.format.shifter)
    n = shifted - x.format.shifter
    first = fma(-n, parts[0], x)
    second = n * parts[1]
    second_low = fma(n, parts[1], -second)
    r, error = two_sum(first, -second)
    return shifted.bits(), r, fma(-n, parts[2], error - second_low)


def _reduce_roughly(x: Lane) -> tuple[Lane, Lane, Lane]:
    """The same, but r is off by up to an ulp and c is 0."""
    parts = HALF_PI if x.format.width == 64 else HALF_PI_32
    shifted = fma(x, TWO_OVER_PI, x.format.shifter)
    n = shifted - x.format.shifter
    r = fma(-n, parts[2], fma(-n, parts[1], fma(-n, parts[0], x)))
    return shifted.bits(), r, r.constant(0.0)


@functools.cache
def _turns() -> tuple[tuple[float, ...], ...]:
    """For part p and chunk j, the p-th part of (2**(16 j) * 2/pi) modulo 4."""
    columns: list[tuple[float, ...]] = []
    for j in range(61):
        rest = Fraction((TWO_OVER_PI_INTEGER << (j << CHUNK)) % (4 << TWO_OVER_PI_BITS), 1 << TWO_OVER_PI_BITS)
        parts = []
        for _ in range(4):
            parts.append(float(rest))
            rest -= Fraction(parts[-1])
        columns.append(tuple(parts))
    return tuple(zip(*columns, strict=True))


def _chunk(x: Lane, significant: int) -> tuple[Lane, Lane]:
    """(X, j) for a float64 of so many significant bits; meaningless for inf and NaN."""
    form = x.format
    bits = x.bits()
    excess = (bits.logical_shift_right(form.mantissa) & (2 * form.bias + 1)) - (form.bias + significant - 1)
    j = select(excess > 0, excess, 0).logical_shift_right(CHUNK)
    return (bits - (j << (form.mantissa + CHUNK))).as_float(), j


def _turn(j: Lane, part: int) -> Lane:
    return j.lookup(f"tracegrad.turns.{part}", _turns()[part])


def _modulo_4(x: Lane) -> Lane:
    return fma((0.25 * x).call("llvm.rint"), -4.0, x)


def _reduce_far(x: Lane) -> tuple[Lane, Lane, Lane]:
    """(quadrant, r, c): x = quadrant pi/2 + r + c modulo 2 pi; its low two bits count. inf and NaN make r or c NaN."""
    if x.format.width == 32:
        return _reduce_far_32(x)
    multiplier, j = _chunk(x, 53)
    p0, e0 = two_product(multiplier, _turn(j, 0))
    p1, e1 = two_product(multiplier, _turn(j, 1))
    p2, e2 = two_product(multiplier, _turn(j, 2))
    # p0 <= 2**71, e0 and p1 <= 2**18, e1 and p2 <= 2**-35, e2 and p3 <= 2**-88
    middle, middle_low = two_sum(e0, p1)
    turn, turn_low = two_sum(_modulo_4(p0), _modulo_4(middle))
    shifted = turn + x.format.shifter
    high, low_1 = two_sum(turn - (shifted - x.format.shifter), middle_low)
    small, low_2 = two_sum(e1, p2)
    high, low_3 = two_sum(high, small)
    low = fma(multiplier, _turn(j, 3), e2) + low_2 + low_3 + low_1 + turn_low
    high, low = fast_two_sum(high, low)
    r, error = two_product(high, HALF_PI[0])
    return shifted.bits(), r, fma(high, HALF_PI[1], fma(low, HALF_PI[0], error)) + (x - x)


def _reduce_far_32(x: Lane) -> tuple[Lane, Lane, Lane]:
    multiplier, j = _chunk(x.widened(), 24)
    product, error = two_product(multiplier, _turn(j, 0))
    shifted = product + product.format.shifter
    part = (product - (shifted - product.format.shifter)) + fma(multiplier, _turn(j, 1), error)
    r64 = part * HALF_PI[0]
    r = r64.narrowed() + (x - x)
    return shifted.bits().truncated(32), r, (r64 - r.widened()).narrowed()


def _sin(quadrant: Lane, r: Lane, c: Lane) -> Lane:
    """sin of quadrant pi/2 + r + c; both functions of r are computed, and one is selected."""
    even = (quadrant & 1).equals(0)
    if r.format.width == 32:
        return _with_sign(select(even, *_sin_and_cos_32(r)), quadrant)
    z = r * r
    half = 0.5 * z
    # sin(r + c) = sin r + c cos r, cos(r + c) = cos r - c sin r, to the first order in c, below an ulp of r
    sine = fma(r * z, polynomial(z, SIN64), fma(-half, c, c))
    whole = 1.0 - half
    cosine = ((1.0 - whole) - half) + fma(z * z, polynomial(z, COS64), -(r * c))
    return _with_sign(select(even, r, whole) + select(even, sine, cosine), quadrant)


def _sin_and_cos_32(r: Lane) -> tuple[Lane, Lane]:
    z = r * r
    return fma(r * z, polynomial(z, SIN32), r), fma(z, polynomial(z, COS32), 1.0)


def _with_sign(x: Lane, quadrant: Lane) -> Lane:
    """x, negated in the third and fourth quadrant."""
    return (x.bits() ^ ((quadrant & 2) << (x.format.width - 2))).as_float()


def _cos(quadrant: Lane, r: Lane, c: Lane) -> Lane:
    return _sin(quadrant + 1, r, c)


def _tan(quadrant: Lane, r: Lane, c: Lane) -> Lane:
    """t = tan(r + c), or -1/t in odd quadrants."""
    z = r * r
    # tan(r + c) = tan r + c (1 + tan(r)**2); the square is z at 0 and 1.6 z at pi/4, where it matters
    t = r + fma(r * z, polynomial(z, TAN64 if r.format.width == 64 else TAN32), fma(c, 1.6 * z, c))
    return select((quadrant & 1).equals(0), t, -1.0 / t)


def _is_far(x: Lane) -> Lane:
    return ~(abs(x) < NEAR[x.format.width])  # NaN is far, too


def _periodic(name: str, x: Lane, function: Callable[[Lane, Lane, Lane], Lane]) -> Lane:
    rough = x.format.width == 32 and name != "tan"
    usual = function(*(_reduce_roughly if rough else _reduce)(x))
    return replace_rarely(usual, [x], name, _is_far, lambda far: function(*_reduce_far(far)))


def _odd(x: Lane, function: Callable[[Lane], Lane]) -> Lane:
    """sign(x) function(|x|): the sums lose the sign of -0."""
    size = abs(x)
    return (function(size).bits() ^ (x.bits() ^ size.bits())).as_float()


def sin(x: Lane) -> Lane:
    """sin(x)."""
    return _odd(x, lambda size: _periodic("sin", size, _sin))


def cos(x: Lane) -> Lane:
    """cos(x): the sine one quadrant on."""
    return _periodic("cos", x, _cos)


def tan(x: Lane) -> Lane:
    """tan(x)."""
    return _odd(x, lambda size: _periodic("tan", size, _tan))


def arctan(x: Lane) -> Lane:
    """base + atan(t): t is |x|, (|x| - 1)/(|x| + 1) or -1/|x|, and the base 0, pi/4 or pi/2."""
    if x.format.width == 32:
        return _arctan_32(x)
    pi, pi_low = PI[64]
    size = abs(x)
    middle, far = size > TAN_PI_8, size > 1.0 / TAN_PI_8
    numerator = select(far, x.constant(-1.0), select(middle, size - 1.0, size))
    t = numerator / select(far, size, select(middle, size + 1.0, 1.0))
    base = select(far, x.constant(pi / 2), select(middle, x.constant(pi / 4), 0.0))
    z = t * t
    # The low part of j pi/4 is to base as pi_low is to pi.
    low = fma(base, pi_low / pi, t * z * polynomial(z, ATAN64))
    return copy_sign(base + (t + low), x)


def _arctan_32(x: Lane) -> Lane:
    """atan(|x|), or pi/2 - atan(1/|x|) beyond 1."""
    pi, pi_low = PI[32]
    size = abs(x)
    far = size > 1.0
    t = select(far, -1.0 / size, size)
    z = t * t
    low = fma(t * z, polynomial(z, ATAN32_WIDE), select(far, x.constant(pi_low / 2), 0.0))
    return copy_sign(select(far, x.constant(pi / 2), 0.0) + (t + low), x)


def arctan2(y: Lane, x: Lane) -> Lane:
    """base + atan(t) with t = (p - q)/(p + q) or p/q, p <= q being |x| and |y|: one division, all eight octants."""
    form = x.format
    pi, pi_low = PI[form.width]
    infinite = float("inf")
    size_x, size_y = abs(x), abs(y)
    steep = size_y > size_x
    p = select(steep, size_x, size_y)
    q = select(steep, size_y, size_x)
    # Two infinities are the diagonal, and 0/0 is 0.
    diagonal = p.equals(infinite)
    p, q = select(diagonal, p.constant(1.0), p), select(diagonal, q.constant(1.0), q)
    # Neither p + q nor the comparison may round away what decides: to the middle of the range.
    tiny = q < form.smallest_normal / form.epsilon
    factor = select(q > 2.0 ** (form.bias - 2), q.constant(0.25), select(tiny, q.constant(2.0**form.mantissa), 1.0))
    p, q = p * factor, q * factor
    beyond = p > TAN_PI_8 * q
    numerator = select(beyond, p - q, p)
    denominator = select(beyond, p + q, q)
    t = select(p.equals(0.0), p.constant(0.0), numerator / denominator)
    z = t * t
    tail = t * z * polynomial(z, ATAN64 if form.width == 64 else ATAN32)
    # base = j pi/4, in two parts. The octants fold about pi/4, pi/2 and pi.
    eighth = select(beyond, t.constant(pi / 4), 0.0)
    quarter = select(steep, pi / 2 - eighth, eighth)
    sign = select(steep, t.constant(-1.0), 1.0)
    left = x.bits() < 0
    base, base_error = fast_two_sum(select(left, t.constant(pi), 0.0), select(left, -quarter, quarter))
    sign = select(left, -sign, sign)
    # The low part of j pi/4 is to base as pi_low is to pi.
    low = fma(base, pi_low / pi, base_error)
    result = copy_sign(base + (sign * t + fma(sign, tail, low)), y)
    return select(x.is_nan() | y.is_nan(), x + y, result)


def arcsin(x: Lane) -> Lane:
    """On |x| > 1/2 by way of the half angle."""
    form = x.format
    pi, pi_low = PI[form.width]
    size = abs(x)
    outer = size > 0.5
    z = select(outer, 0.5 - 0.5 * size, size * size)
    t = select(outer, z.call("llvm.sqrt"), size)
    tail = t * z * polynomial(z, ASIN64 if form.width == 64 else ASIN32)
    return copy_sign(select(outer, pi / 2 - (2.0 * t - (pi_low / 2 - 2.0 * tail)), t + tail), x)


def arccos(x: Lane) -> Lane:
    """On |x| > 1/2 by way of the half angle, with the error of the root."""
    form = x.format
    pi, pi_low = PI[form.width]
    size = abs(x)
    outer = size > 0.5
    z = select(outer, 0.5 - 0.5 * size, size * size)
    t = select(outer, z.call("llvm.sqrt"), x)
    # The rounding error of the root, which doubles into the result near 1.
    error = select(outer & (z > 0.0), fma(-t, t, z) / (t + t), 0.0)
    tail = t * z * polynomial(z, ASIN64 if form.width == 64 else ASIN32) + error
    near = 2.0 * (t + tail)
    far = pi - (2.0 * t - (pi_low - 2.0 * tail))
    middle = pi / 2 - (t - (pi_low / 2 - tail))
    return select(outer, select(x < 0.0, far, near), middle)
