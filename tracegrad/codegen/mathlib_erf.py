"""erf.

On |x| <= 1, x + x P(x**2): the first term is exact, and P = erf(x)/x - 1 is small. Beyond, 1 - exp(-Q(|x| - 1)) with
Q = -log(erfc) (the idea is N. Juffa's): of erfc only the digits above an ulp of 1 count, so that Q was fitted by
Remez's exchange with the weight erfc, to 2.2e-17 of the result (float32 1e-9). Its powers are those of |x| - 1,
where the weight is greatest, so that rounding errors are least there too. From 6 on (float32: 4) the result is 1.
"""

from __future__ import annotations

from tracegrad.codegen import mathlib_exp
from tracegrad.codegen.mathlib_lane import Lane, copy_sign, fma, polynomial, select

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


def erf(x: Lane) -> Lane:
    """Both sides are computed and one is selected."""
    wide = x.format.width == 64
    size = mathlib_exp.at_most(abs(x), 6.0 if wide else 4.0)
    near = fma(x, polynomial(x * x, ERF_NEAR64 if wide else ERF_NEAR32), x)
    far = 1.0 - mathlib_exp.exp(-polynomial(size - 1.0, ERF_FAR64 if wide else ERF_FAR32))
    return copy_sign(select(size < 1.0, near, far), x)
