"""The special functions of SciPy and ``torch.special``.

Native code of some is a formula in codegen's vocabulary, that of the others a call of SciPy's own C function. Functions
whose derivatives would lose digits where terms cancel are families closed under differentiation, with the order as a
parameter: ``sinc``, the Bessel functions, and ``polygamma``; so every derivative is as accurate as the function.

Conventions at the edges: the derivatives of ``xlogy`` and ``xlog1py`` are 0 where both of their factors leave them
undefined; those of ``entr`` at 0 and ``erfinv`` at ±1 are ∞; those of ``i0e`` and ``i1e`` at 0 leave out the kink.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special

from tracegrad.core import capsules
from tracegrad.core.aval import broadcast_shapes, shape_of, whole
from tracegrad.core.expr import call
from tracegrad.core.op import MISSING, Op, Partial, Sample, Values, by_ufunc, elementwise
from tracegrad.errors import DtypeError, ShapeError
from tracegrad.ops import special_formulas as formulas
from tracegrad.ops import special_quadrature as quadrature
from tracegrad.ops.comparisons import logical_and
from tracegrad.ops.declare import named, one, two
from tracegrad.ops.maps import exp, log, log1p, power, select, sigmoid, sign
from tracegrad.ops.reductions import as_operand
from tracegrad.ops.views import broadcast_to

expit = sigmoid


def _real(ufunc: np.ufunc) -> Callable[..., tuple[np.dtype[Any], ...]]:
    """The promotion of a ufunc for real operands: some of SciPy's take complex ones, but the derivatives here do not."""
    promote = by_ufunc(ufunc)

    def check(*dtypes: Any) -> tuple[np.dtype[Any], ...]:
        if any(np.dtype(d).kind == "c" for d in dtypes):
            raise DtypeError(f"{ufunc.__name__} is not defined for complex numbers", fix="take the real part: x.real")
        return promote(*dtypes)

    return check


def _map(name: str, ufunc: np.ufunc, *rest: Any, **more: Any) -> Op:
    """An elementwise op of real numbers."""
    return elementwise(name, ufunc, *rest, **{"promote": _real(ufunc), **more})


def scipy_map(
    name: str,
    ufunc: np.ufunc,
    partials: tuple[Partial | Callable[..., Any], ...],
    *,
    torch: tuple[str, str] = ("", ""),
    doc: str,
    samples: tuple[Sample, ...],
    word: str = "",
    lower: Callable[..., Any] | None = None,
    **more: Any,
) -> Op:
    """An elementwise op whose native code calls SciPy's C function; ``word`` is that one's name if not the ufunc's.

    It has no native code where this SciPy does not offer that function.
    """
    word = f"{capsules.WORD_PREFIX}{word or ufunc.__name__}"
    lower = (lower or named(word)) if capsules.found(word) is not None else None
    return _map(name, ufunc, partials, lower, torch=torch, doc=doc, samples=samples, **more)


def _by_integers(low: int, high: int, second: tuple[float, float]) -> tuple[Sample, ...]:
    """Samples of a function that is differentiable in its second operand only; both have one shape."""
    shapes = ((3, 4), (), (0, 3))
    return tuple(Sample((Values(shape, low, high, kind="int"), Values(shape, *second))) for shape in shapes)


# -- entropy and logarithms -------------------------------------------------------------------------------------------


entr = _map(
    "entr",
    scipy.special.entr,
    (lambda out, x: -1.0 - log(x),),
    formulas.entr_lower,
    torch=("special.entr", "SpecialEntrBackward0"),
    doc="-x ln x, 0 at 0 and -∞ for negative x; its derivative -1 - ln x is ∞ at 0",
    samples=(*one(0.2, 3.0), Sample((Values((5,), -2.0, 3.0),), smooth=False)),
)
xlogy = _map(
    "xlogy",
    scipy.special.xlogy,
    (
        lambda out, x, y: select(logical_and(x == 0, y <= 0), 0.0, log(y)),
        lambda out, x, y: select(logical_and(x == 0, y == 0), 0.0, x / y),
    ),
    formulas.xlogy_lower,
    torch=("xlogy special.xlogy", "XlogyBackward0"),
    doc="x ln y, and 0 where x is 0",
    samples=two(-2.0, 2.0, (0.2, 3.0)),
)
xlog1py = _map(
    "xlog1py",
    scipy.special.xlog1py,
    (
        lambda out, x, y: select(logical_and(x == 0, y <= -1), 0.0, log1p(y)),
        lambda out, x, y: select(logical_and(x == 0, y == -1), 0.0, x / (y + 1.0)),
    ),
    formulas.xlog1py_lower,
    torch=("special.xlog1py", "SpecialXlog1PyBackward0"),
    doc="x ln(1 + y), exact near y = 0, and 0 where x is 0",
    samples=two(-2.0, 2.0, (-0.7, 3.0)),
)
logit = _map(
    "logit",
    scipy.special.logit,
    (lambda out, x: select(logical_and(x >= 0, x <= 1), 1.0 / (x * (1.0 - x)), math.nan),),
    formulas.logit_lower,
    torch=("logit special.logit", "LogitBackward0"),
    doc="ln(x / (1 - x)), the inverse of sigmoid",
    samples=one(0.1, 0.9),
)

# -- sinc -------------------------------------------------------------------------------------------------------------

sinc: Op = _map(
    "sinc",
    np.sin,
    (lambda out, x, *, order=0: sinc(x, order=order + 1),),
    formulas.sinc_lower,
    eager=formulas.sinc_eager,
    numpy=(),
    torch=("sinc special.sinc", "SincBackward0"),
    doc="sin(πx) / (πx), and 1 at 0; ``order`` is that of a derivative",
    samples=(*one(-4, 4), *(Sample((Values((9,), -3, 3),), {"order": n}) for n in (1, 2, 3))),
)

# -- the error function's kin -----------------------------------------------------------------------------------------

erfc = _map(
    "erfc",
    scipy.special.erfc,
    (lambda out, x: exp(-(x * x)) * -formulas.TWO_OVER_ROOT_PI,),
    named("erfc"),
    torch=("erfc special.erfc", "ErfcBackward0"),
    doc="1 - erf x, exact where it is small",
    samples=(*one(), Sample((Values((9,), 0, 20),), smooth=False)),
)
erfcx: Op = _map(
    "erfcx",
    scipy.special.erfcx,
    (lambda out, x: quadrature.in_double(lambda x: quadrature.erfcx_slope(x, erfcx(x)), x),),
    named("erfcx"),
    torch=("special.erfcx", "SpecialErfcxBackward0"),
    doc="exp(x²)·erfc x",
    samples=(*one(-1, 4), Sample((Values((9,), 0, 1e9),), smooth=False)),
)
ndtr = _map(
    "ndtr",
    scipy.special.ndtr,
    (lambda out, x: exp(x * x * -0.5) * math.sqrt(0.5 / math.pi),),
    named("ndtr"),
    torch=("special.ndtr", "MulBackward1"),
    doc="The standard normal distribution's share below x.",
    samples=one(-3, 3),
)
log_ndtr = _map(
    "log_ndtr",
    scipy.special.log_ndtr,
    (lambda out, x: math.sqrt(2.0 / math.pi) / erfcx(x * -formulas.ROOT_HALF),),
    formulas.log_ndtr_lower,
    torch=("special.log_ndtr", "SpecialLogNdtrBackward0"),
    doc="The logarithm of ndtr, without underflow.",
    samples=(*one(-4, 3), Sample((Values((9,), -100, 30),), smooth=False)),
)
erfinv = scipy_map(
    "erfinv",
    scipy.special.erfinv,
    (lambda out, x: exp(out * out) * (math.sqrt(math.pi) / 2),),
    torch=("erfinv special.erfinv", "ErfinvBackward0"),
    doc="The x of which erf is the operand; its derivative √π/2·exp(erfinv²) is ∞ at ±1",
    samples=one(-0.8, 0.8),
)
ndtri = scipy_map(
    "ndtri",
    scipy.special.ndtri,
    (lambda out, x: exp(out * out * 0.5) * math.sqrt(2.0 * math.pi),),
    torch=("special.ndtri", "SpecialNdtriBackward0"),
    doc="The x of which ndtr is the operand.",
    samples=one(0.15, 0.85),
)

# -- the gamma function's kin -----------------------------------------------------------------------------------------

polygamma_order: Op = scipy_map(
    "polygamma",
    scipy.special.psi,
    (lambda out, x, *, n: polygamma_order(x, n=n + 1),),
    eager=lambda x, *, n: formulas.polygamma_eager(x, n),
    lower=formulas.polygamma_lower,
    word="_zeta",
    numpy=(),
    torch=("", "PolygammaBackward0"),
    doc="The ``n``-th derivative of digamma; its derivative is that of order n + 1",
    samples=tuple(Sample((Values(shape, 0.7, 4),), {"n": n}) for shape, n in (((3, 4), 0), ((3, 4), 1), ((4,), 3), ((), 2))),
)
digamma = scipy_map(
    "digamma",
    scipy.special.psi,
    (lambda out, x: polygamma_order(x, n=1),),
    torch=("digamma special.digamma special.psi", "DigammaBackward0"),
    doc="The derivative of lgamma.",
    samples=(*one(0.7, 4), *one(-0.8, -0.2)),
)
lgamma = scipy_map(
    "lgamma",
    scipy.special.gammaln,
    (lambda out, x: digamma(x),),
    torch=("lgamma special.gammaln", "LgammaBackward0"),
    doc="ln |Γ(x)|",
    samples=(*one(0.7, 4), *one(-0.8, -0.2)),
)


def _gamma_density(a: Any, x: Any) -> Any:
    """``x^(a-1) exp(-x) / Γ(a)``: by powers where x is small, so that its derivatives at 0 are right."""
    small = x < 1.0
    inside = select(small, x, 1.0)
    near = power(inside, a - 1.0) * exp(-inside - lgamma(a))
    outside = select(small, 1.0, x)
    far = exp((a - 1.0) * log(outside) - outside - lgamma(a))
    return select(small, near, far)


def _gamma_by_a(a: Any, x: Any) -> Any:
    return quadrature.in_double(lambda a, x: quadrature.gammainc_slope(a, x, digamma, _gamma_density), a, x)


gammainc_raw = scipy_map(
    "gammainc",
    scipy.special.gammainc,
    (lambda out, a, x: _gamma_by_a(a, x), lambda out, a, x: _gamma_density(a, x)),
    torch=("", "IgammaBackward0"),
    doc="The regularised lower incomplete gamma function; its derivative in a is an integral by quadrature.",
    samples=(*_by_integers(1, 5, (0.3, 3.0)), Sample((Values((3, 4), 0.4, 4.0), Values((3, 4), 0.3, 5.0)))),
)
gammaincc_raw = scipy_map(
    "gammaincc",
    scipy.special.gammaincc,
    (lambda out, a, x: -_gamma_by_a(a, x), lambda out, a, x: -_gamma_density(a, x)),
    torch=("", "IgammacBackward0"),
    doc="The regularised upper incomplete gamma function, likewise.",
    samples=(*_by_integers(1, 5, (0.3, 3.0)), Sample((Values((3, 4), 0.4, 4.0), Values((3, 4), 0.3, 5.0)))),
)
zeta_raw: Op = scipy_map(
    "zeta",
    scipy.special.gammainc,  # for its promotion: zeta is no ufunc
    (MISSING, lambda out, s, q: -s * zeta_raw(s + 1.0, q)),
    eager=scipy.special.zeta,
    numpy=(scipy.special.zeta,),
    word="_zeta",
    torch=("", "SpecialZetaBackward0"),
    doc="Hurwitz' zeta function Σ (k + q)^-s; differentiable in q.",
    samples=_by_integers(2, 5, (0.5, 3.0)),
)

# -- Bessel functions -------------------------------------------------------------------------------------------------


def _general(name: str, function: np.ufunc, slope: Callable[..., Any], low: float, what: str) -> Op:
    """The Bessel functions of one kind with an integer order ``n``."""
    return scipy_map(
        name,
        scipy.special.i0,
        (slope,),
        eager=lambda x, *, n: function(n, x),
        lower=lambda x, *, n: call(f"special_{function.__name__}", n, x),
        word=function.__name__,
        numpy=(),
        torch=("", ""),
        doc=f"The {what} of integer order ``n``.",
        samples=tuple(Sample((Values((6,), low, 3),), {"n": n}) for n in (2, 3)),
    )


def _named(name: str, ufunc: np.ufunc, slope: Callable[..., Any], torch: tuple[str, str], low: float, doc: str) -> Op:
    return scipy_map(name, ufunc, (slope,), torch=torch, doc=doc, samples=one(low, 3))


def _i(x: Any, n: int) -> Any:
    return i0(x) if n == 0 else i1(x) if n == 1 else bessel_i(x, n=n)


def _ie(x: Any, n: int) -> Any:
    return i0e(x) if n == 0 else i1e(x) if n == 1 else bessel_ie(x, n=n)


def _j(x: Any, n: int) -> Any:
    return bessel_j0(x) if n == 0 else bessel_j1(x) if n == 1 else bessel_j(x, n=n)


def _y(x: Any, n: int) -> Any:
    return bessel_y0(x) if n == 0 else bessel_y1(x) if n == 1 else bessel_y(x, n=n)


def _k(x: Any, n: int) -> Any:
    return bessel_k0(x) if n == 0 else bessel_k1(x) if n == 1 else bessel_k(x, n=n)


def _i_slope(out: Any, x: Any, *, n: int) -> Any:
    return (_i(x, n - 1) + _i(x, n + 1)) * 0.5


def _ie_slope(out: Any, x: Any, *, n: int) -> Any:
    return (_ie(x, n - 1) + _ie(x, n + 1)) * 0.5 - sign(x) * out


def _j_slope(out: Any, x: Any, *, n: int) -> Any:
    return (_j(x, n - 1) - _j(x, n + 1)) * 0.5


def _y_slope(out: Any, x: Any, *, n: int) -> Any:
    return (_y(x, n - 1) - _y(x, n + 1)) * 0.5


def _k_slope(out: Any, x: Any, *, n: int) -> Any:
    return (_k(x, n - 1) + _k(x, n + 1)) * -0.5


bessel_i: Op = _general("bessel_i", scipy.special.iv, _i_slope, -3, "modified Bessel function I")
bessel_ie: Op = _general("bessel_ie", scipy.special.ive, _ie_slope, 0.3, "scaled modified Bessel function exp(-|x|)·I")
bessel_j: Op = _general("bessel_j", scipy.special.jv, _j_slope, -3, "Bessel function J")
bessel_y: Op = _general("bessel_y", scipy.special.yv, _y_slope, 1, "Bessel function Y")
bessel_k: Op = _general("bessel_k", scipy.special.kv, _k_slope, 1, "modified Bessel function K")

i0: Op = _named(
    "i0",
    scipy.special.i0,
    lambda out, x: i1(x),
    ("i0 special.i0 special.modified_bessel_i0", "I0Backward0"),
    -3,
    "The modified Bessel function I of order 0.",
)
i1: Op = _named(
    "i1",
    scipy.special.i1,
    lambda out, x: _i_slope(out, x, n=1),
    ("special.i1 special.modified_bessel_i1", "SpecialI1Backward0"),
    -3,
    "The modified Bessel function I of order 1.",
)
i0e: Op = _named(
    "i0e",
    scipy.special.i0e,
    lambda out, x: i1e(x) - sign(x) * out,
    ("special.i0e", "SpecialI0EBackward0"),
    0.3,
    "exp(-|x|) times the modified Bessel function I of order 0.",
)
i1e: Op = _named(
    "i1e",
    scipy.special.i1e,
    lambda out, x: _ie_slope(out, x, n=1),
    ("special.i1e", "SpecialI1EBackward0"),
    0.3,
    "exp(-|x|) times the modified Bessel function I of order 1.",
)
bessel_j0: Op = _named(
    "bessel_j0",
    scipy.special.j0,
    lambda out, x: -bessel_j1(x),
    ("special.bessel_j0", "SpecialBesselJ0Backward0"),
    -3,
    "The Bessel function J of order 0.",
)
bessel_j1: Op = _named(
    "bessel_j1",
    scipy.special.j1,
    lambda out, x: _j_slope(out, x, n=1),
    ("special.bessel_j1", "SpecialBesselJ1Backward0"),
    -3,
    "The Bessel function J of order 1.",
)
bessel_y0: Op = _named(
    "bessel_y0",
    scipy.special.y0,
    lambda out, x: -bessel_y1(x),
    ("special.bessel_y0", "SpecialBesselY0Backward0"),
    1,
    "The Bessel function Y of order 0.",
)
bessel_y1: Op = _named(
    "bessel_y1",
    scipy.special.y1,
    lambda out, x: _y_slope(out, x, n=1),
    ("special.bessel_y1", "SpecialBesselY1Backward0"),
    1,
    "The Bessel function Y of order 1.",
)
bessel_k0: Op = _named(
    "bessel_k0",
    scipy.special.k0,
    lambda out, x: -bessel_k1(x),
    ("special.modified_bessel_k0", "SpecialModifiedBesselK0Backward0"),
    1,
    "The modified Bessel function K of order 0.",
)
bessel_k1: Op = _named(
    "bessel_k1",
    scipy.special.k1,
    lambda out, x: _k_slope(out, x, n=1),
    ("special.modified_bessel_k1", "SpecialModifiedBesselK1Backward0"),
    1,
    "The modified Bessel function K of order 1.",
)

# -- functions with SciPy's signatures --------------------------------------------------------------------------------


def paired(op: Op, x: Any, y: Any) -> Any:
    """An op whose operands have equal shapes, on operands that broadcast."""
    if not hasattr(x, "dtype"):
        x = np.asarray(x, getattr(y, "dtype", None) if getattr(y, "dtype", np.dtype(int)).kind == "f" else None)
    if not hasattr(y, "dtype"):
        y = np.asarray(y, x.dtype if x.dtype.kind == "f" else None)
    shape = broadcast_shapes(shape_of(x), shape_of(y))
    return op(broadcast_to(x, shape), broadcast_to(y, shape))


def gammainc(a: Any, x: Any) -> Any:
    """``scipy.special.gammainc``: the regularised lower incomplete gamma function.

    >>> gammainc(1.0, np.log(2.0)).round(4)
    np.float64(0.5)
    """
    return paired(gammainc_raw, a, x)


def gammaincc(a: Any, x: Any) -> Any:
    """``scipy.special.gammaincc``: the regularised upper incomplete gamma function.

    >>> gammaincc(1.0, np.log(4.0)).round(4)
    np.float64(0.25)
    """
    return paired(gammaincc_raw, a, x)


def zeta(x: Any, q: Any = 1.0) -> Any:
    """``scipy.special.zeta``: Σ (k + q)^-x over k = 0, 1, …, differentiable in ``q``.

    >>> zeta(2.0, 1.0).round(4)
    np.float64(1.6449)
    """
    return paired(zeta_raw, x, q)


def polygamma(n: int, x: Any) -> Any:
    """``scipy.special.polygamma`` of one order ``n`` ≥ 0; ShapeError for a negative one.

    >>> polygamma(1, 1.0).round(4)
    np.float64(1.6449)
    """
    if n < 0:
        raise ShapeError(f"polygamma(n, x) does not support negative n: n is {n}", fix="give an order of 0 or more")
    return polygamma_order(x, n=int(n))


def multigammaln(a: Any, d: int) -> Any:
    """``scipy.special.multigammaln``: the logarithm of the gamma function of ``d`` dimensions.

    >>> multigammaln(3.0, 1).round(4)
    np.float64(0.6931)
    """
    a, d = as_operand(a), whole(d, "d")
    if d < 1:
        raise ShapeError(f"multigammaln of {d} dimensions", fix="give a number of dimensions d of 1 or more")
    total = lgamma(a) + d * (d - 1) / 4 * math.log(math.pi)
    for k in range(1, d):
        total = total + lgamma(a - k / 2)
    return total
