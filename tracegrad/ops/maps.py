"""MAP ops: one element out for one element of each operand.

The partial derivatives are plain factors; the driver multiplies the cotangent by them with ``scale``, whose zero
cotangent absorbs NaN and infinity, so that the branch not taken by a ``where`` cannot poison a gradient.

Conventions at kinks: ``maximum`` and ``minimum`` split the cotangent in halves where the operands are equal;
``absolute`` has derivative 0 at 0; ``clip`` passes the cotangent to ``x`` inside its bounds and on them; steps
(``floor``, ``sign``, ``floor_divide``) have derivative 0.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.special

from tracegrad.core.expr import Scalar, call
from tracegrad.core.op import FLAT, Linear, Op, Rule, Sample, Values, by_ufunc, common, elementwise, keep
from tracegrad.errors import DtypeError
from tracegrad.ops.comparisons import isinf, logical_and
from tracegrad.ops.complexes import conj, is_complex, real
from tracegrad.ops.declare import named, one, two

# -- the driver's product ---------------------------------------------------------------------------------------------


def _scale_eager(g: Any, factor: Any) -> Any:
    with np.errstate(all="ignore"):
        product = np.multiply(g, factor)
        return np.where(np.equal(g, 0), g, product)[()]


scale: Op = elementwise(
    "scale",
    np.multiply,
    (Linear(lambda c, out, g, factor: scale(c, factor)), Linear(lambda c, out, g, factor: scale_both(c, g))),
    named("absorbing_multiply"),
    eager=_scale_eager,
    numpy=(),
    torch=("", "MulBackward0"),
    doc="Cotangent times partial derivative; a zero cotangent stays zero even where the partial is NaN or infinite.",
    samples=two(),
)


def _scale_both_eager(g: Any, h: Any) -> Any:
    with np.errstate(all="ignore"):
        return np.where(np.equal(g, 0), g, np.where(np.equal(h, 0), h, np.multiply(g, h)))[()]


scale_both: Op = elementwise(
    "scale_both",
    np.multiply,
    (Linear(lambda c, out, g, h: scale_both(c, h)), Linear(lambda c, out, g, h: scale_both(c, g))),
    lambda g, h: call("where", call("equal", h, 0.0), h, call("absorbing_multiply", g, h)),
    eager=_scale_both_eager,
    numpy=(),
    torch=("", "MulBackward0"),
    doc="Cotangent times cotangent, of ``scale`` in its second operand; a zero of either stays zero.",
    samples=two(),
)

# -- choice and dtype -------------------------------------------------------------------------------------------------


def _select_promote(condition: Any, x: Any, y: Any) -> tuple[np.dtype[Any], ...]:
    return (np.dtype(bool), *common(x, y))


def _select_eager(condition: Any, x: Any, y: Any) -> Any:
    chosen: Any = np.where(condition, x, y)
    return chosen[()]


def _nothing(like: Any) -> Any:
    """A zero of the dtype of ``like``, which broadcasts to any shape."""
    return np.zeros((), like.dtype)


select: Op = elementwise(
    "where",
    np.add,
    (
        FLAT,
        Linear(lambda g, out, c, x, y: select(c, g, _nothing(g)), together=True),
        Linear(lambda g, out, c, x, y: select(c, _nothing(g), g), together=True),
    ),
    named("where"),
    eager=_select_eager,
    promote=_select_promote,
    result=lambda c, x, y: x,
    numpy=(np.where,),
    torch=("where", "WhereBackward0"),
    doc="x where the condition holds, y elsewhere.",
    samples=(
        Sample((Values((3, 4), kind="bool"), Values((3, 4)), Values((3, 4)))),
        Sample((Values((4,), kind="bool"), Values((3, 4)), Values(()))),
        Sample((Values((0, 3), kind="bool"), Values((3,)), Values(()))),
    ),
)


def _cast_eager(x: Any, *, dtype: Any) -> Any:
    values: Any = np.asarray(x)
    if values.dtype.kind == "c" and np.dtype(dtype).kind in "iuf":
        values = values.real
    return values.astype(dtype)[()]


def _cast_lower(x: Scalar, *, dtype: Any) -> Scalar:
    return call("cast", x, static=(dtype,))


cast: Op = elementwise(
    "cast",
    np.positive,
    (Linear(lambda g, out, x, *, dtype: cast(g, dtype=x.dtype)),),
    _cast_lower,
    eager=_cast_eager,
    promote=lambda x: (x if isinstance(x, np.dtype) else common(x)[0],),
    result=lambda x, *, dtype: np.dtype(dtype),
    numpy=(),
    torch=("", "ToCopyBackward0"),
    doc="The same numbers in another dtype; the real parts of complex numbers in a real one.",
    samples=(
        Sample((Values((3, 4)),), {"dtype": np.dtype(np.float64)}),
        Sample((Values((3,), -9, 9, kind="int"),), {"dtype": np.dtype(np.float32)}, smooth=False),
        Sample((Values((3,), -9, 9),), {"dtype": np.dtype(np.int64)}, smooth=False),
    ),
)

copy: Op = elementwise(
    "clone",
    np.positive,
    (lambda out, x: 1,),
    lambda x: x,
    eager=np.array,
    promote=lambda x: (x if isinstance(x, np.dtype) else common(x)[0],),
    result=lambda x: x,
    numpy=(),
    torch=("", "CloneBackward0"),
    doc="The value itself, in storage of its own.",
    samples=(*one(), *one(-9, 9, kind="int", smooth=False)),
)

stop_gradient: Op = elementwise(
    "stop_gradient",
    np.positive,
    (FLAT,),
    lambda x: x,
    eager=lambda x: x,
    promote=lambda x: (x if isinstance(x, np.dtype) else common(x)[0],),
    result=lambda x: x,
    numpy=(),
    torch=("", ""),
    doc="The value itself, taken for a constant by derivatives.",
    samples=one(smooth=False),
)

variable: Op = elementwise(
    "variable_of_derivative",
    np.positive,
    (lambda out, x, *, number: 1,),
    lambda x, *, number: x,
    eager=lambda x, *, number: x,
    promote=lambda x: (x if isinstance(x, np.dtype) else common(x)[0],),
    result=lambda x, *, number: x,
    numpy=(),
    torch=("", ""),
    doc="The value itself, told apart from it while a trace takes a derivative with respect to it.",
    samples=tuple(Sample(sample.operands, {"number": 0}) for sample in one()),
)

# -- arithmetic -------------------------------------------------------------------------------------------------------

add = elementwise(
    "add",
    np.add,
    (lambda out, x, y: 1, lambda out, x, y: 1),
    lambda x, y: x + y,
    torch=("add", "AddBackward0"),
    doc="x + y",
    samples=two(),
)
subtract = elementwise(
    "subtract",
    np.subtract,
    (lambda out, x, y: 1, lambda out, x, y: -1),
    lambda x, y: x - y,
    torch=("sub", "SubBackward0"),
    doc="x - y",
    samples=two(),
)
multiply = elementwise(
    "multiply",
    np.multiply,
    (lambda out, x, y: y, lambda out, x, y: x),
    lambda x, y: x * y,
    torch=("mul multiply", "MulBackward0"),
    doc="x · y",
    samples=two(),
)
divide = elementwise(
    "divide",
    np.true_divide,
    # Slopes share one quotient: pairs of bodies wait for the divider, and take a quarter less time so.
    (lambda out, x, y: 1.0 / y, lambda out, x, y: -out * (1.0 / y)),
    named("divide"),
    torch=("div", "DivBackward0"),
    doc="x / y",
    samples=(*two(0.5, 2.0), Sample((Values((3,), -9, 9, kind="int"), Values((3,), 1, 9, kind="int")), smooth=False)),
)
floor_divide = elementwise(
    "floor_divide",
    np.floor_divide,
    (FLAT, FLAT),
    named("floor_divide"),
    torch=("floor_divide", "FloorDivideBackward0"),
    doc="⌊x / y⌋",
    samples=(*two(-9, 9, (0.5, 3), smooth=False), *two(-9, 9, (1, 4), kind="int", smooth=False)),
)
remainder = elementwise(
    "remainder",
    np.remainder,
    (lambda out, x, y: 1, lambda out, x, y: -floor_divide(x, y)),
    named("remainder"),
    torch=("remainder", "RemainderBackward0"),
    doc="x - y·⌊x / y⌋, with the sign of y",
    samples=(*two(1.1, 1.9, (2, 3)), *two(-0.9, -0.1, (1, 1.5)), *two(-9, 9, (1, 4), kind="int", smooth=False)),
)
negative = elementwise(
    "negative",
    np.negative,
    (lambda out, x: -1,),
    lambda x: -x,
    torch=("neg negative", "NegBackward0"),
    doc="-x",
    samples=one(),
)


def _power_base(out: Any, x: Any, y: Any) -> Any:
    # at exponent 0 the product 0·0⁻¹ would be NaN at x = 0
    return select(y == 0, _nothing(out), y * power(x, y - 1))


def _power_exponent(out: Any, x: Any, y: Any) -> Any:
    # 0^y is constant for y ≥ 0, where out·ln x would be 0·(-∞)
    grows = (real(y) if is_complex(y) else y) >= 0
    return select(logical_and(x == 0, grows), _nothing(out), out * log(x))


power: Op = elementwise(
    "power",
    np.power,
    (_power_base, _power_exponent),
    named("power"),
    torch=("pow", "PowBackward0"),
    doc="xʸ; its derivatives are y·xʸ⁻¹ and xʸ·ln x, at x = 0 those of 1, x, x², … and 0",
    samples=(
        *two(0.3, 2.0, (-2, 3)),
        Sample((Values((3,), -3, 3, kind="int"), Values((3,), 0, 4, kind="int")), smooth=False),
    ),
)


def _absolute_factor(out: Any, x: Any) -> Any:
    return _leg(conj(x), out) if is_complex(x) else sign(x)


absolute = elementwise(
    "absolute",
    np.absolute,
    (_absolute_factor,),
    named("absolute"),
    torch=("abs absolute", "AbsBackward0"),
    doc="|x|; derivative sign x, of a complex number its conjugate over |x|, and 0 at 0",
    samples=(*one(0.1, 2), *one(-2, -0.1), *one(-9, 9, kind="int", smooth=False)),
)
sign: Op = elementwise(
    "sign",
    np.sign,
    (FLAT,),
    named("sign"),
    torch=("sign", "SignBackward0"),
    doc="-1, 0 or 1 by the sign of x",
    samples=(*one(smooth=False), *one(-3, 3, kind="int", smooth=False)),
)
copysign: Op = elementwise(
    "copysign",
    np.copysign,
    (lambda out, x, y: sign(x) * sign(out), FLAT),
    named("copysign"),
    torch=("copysign", "CopysignBackward0"),
    doc="|x| with the sign of y",
    samples=(*two(0.1, 2.0, (-3, -1)), *two(-2, -0.1, (1, 2))),
)


def _chosen(first: bool, greater: bool) -> Rule:
    """The rule of ``maximum`` and ``minimum``: all to the chosen operand, halves at ties."""

    def pull(g: Any, out: Any, x: Any, y: Any) -> Any:
        wins = (x > y) if first == greater else (x < y)
        return select(x == y, g * 0.5, select(wins, g, _nothing(g)))

    return Rule(pull)


maximum = elementwise(
    "maximum",
    np.maximum,
    (_chosen(True, True), _chosen(False, True)),
    named("maximum"),
    torch=("maximum", "MaximumBackward0"),
    doc="The greater of x and y, NaN if one of them is; at ties each operand gets half of the cotangent",
    samples=(*two(-2, 2, (-1.5, 2.7), distinct=True), *two(-5, 5, kind="int", smooth=False)),
)
minimum = elementwise(
    "minimum",
    np.minimum,
    (_chosen(True, False), _chosen(False, False)),
    named("minimum"),
    torch=("minimum", "MinimumBackward0"),
    doc="The smaller of x and y, NaN if one of them is; at ties each operand gets half of the cotangent",
    samples=(*two(-2, 2, (-1.5, 2.7), distinct=True), *two(-5, 5, kind="int", smooth=False)),
)

_ZEROS = {dtype: np.zeros((), dtype) for dtype in map(np.dtype, "fdbhilBHIL")}

relu: Op = elementwise(
    "relu",
    np.maximum,
    # by the negative side, so that NaN, which is on no side, lets the cotangent through
    (Rule(lambda g, out, x: select(out <= 0, _nothing(g), g)),),
    lambda x: call("maximum", x, 0.0),
    eager=lambda x: np.maximum(x, _ZEROS[x.dtype]),
    promote=keep,
    result=lambda x: x,
    numpy=(),
    torch=("", "ReluBackward0"),
    doc="The greater of x and 0; the derivative at 0 is 0",
    samples=(*one(), *one(-5, 5, kind="int", smooth=False)),
)

# -- exponentials and logarithms --------------------------------------------------------------------------------------

exp = elementwise(
    "exp",
    np.exp,
    (lambda out, x: out,),
    named("exp"),
    torch=("exp", "ExpBackward0"),
    doc="eˣ",
    samples=one(),
)
expm1 = elementwise(
    "expm1",
    np.expm1,
    # the result plus 1 has no digits left where the result is near -1
    (lambda out, x: exp(x),),
    named("expm1"),
    torch=("expm1 special.expm1", "Expm1Backward0"),
    doc="eˣ - 1, exact near 0",
    samples=one(),
)
exp2 = elementwise(
    "exp2",
    np.exp2,
    (lambda out, x: out * math.log(2.0),),
    named("exp2"),
    torch=("exp2 special.exp2", "Exp2Backward0"),
    doc="2ˣ",
    samples=one(),
)
log: Op = elementwise(
    "log",
    np.log,
    (lambda out, x: 1.0 / x,),
    named("log"),
    torch=("log", "LogBackward0"),
    doc="ln x",
    samples=one(0.2, 3.0),
)
log1p = elementwise(
    "log1p",
    np.log1p,
    (lambda out, x: 1.0 / (x + 1.0),),
    named("log1p"),
    torch=("log1p special.log1p", "Log1PBackward0"),
    doc="ln(1 + x), exact near 0",
    samples=one(-0.7, 3.0),
)
log2 = elementwise(
    "log2",
    np.log2,
    (lambda out, x: (1.0 / math.log(2.0)) / x,),
    named("log2"),
    torch=("log2", "Log2Backward0"),
    doc="log₂ x",
    samples=one(0.2, 3.0),
)
log10 = elementwise(
    "log10",
    np.log10,
    (lambda out, x: (1.0 / math.log(10.0)) / x,),
    named("log10"),
    torch=("log10", "Log10Backward0"),
    doc="log₁₀ x",
    samples=one(0.2, 3.0),
)
sqrt = elementwise(
    "sqrt",
    np.sqrt,
    (lambda out, x: 0.5 * (1.0 / out),),
    named("sqrt"),
    torch=("sqrt", "SqrtBackward0"),
    doc="√x",
    samples=one(0.2, 3.0),
)
rsqrt = elementwise(
    "rsqrt",
    np.sqrt,
    (lambda out, x: out * out * out * -0.5,),
    lambda x: call("divide", 1.0, call("sqrt", x)),
    eager=lambda x: np.true_divide(1, np.sqrt(x)),
    numpy=(),
    torch=("rsqrt", "RsqrtBackward0"),
    doc="1 / √x",
    samples=one(0.3, 3.0),
)


def _gap(x: Any, y: Any) -> Any:
    """x - y, and 0 where both are the same infinity."""
    return select(logical_and(x == y, isinf(x)), _nothing(x), x - y)


def _scalar_gap(x: Scalar, y: Scalar) -> Scalar:
    return call("negative", call("absolute", call("where", call("equal", x, y), 0.0, x - y)))


logaddexp = elementwise(
    "logaddexp",
    np.logaddexp,
    (lambda out, x, y: sigmoid(_gap(x, y)), lambda out, x, y: sigmoid(_gap(y, x))),
    lambda x, y: call("maximum", x, y) + call("log1p", call("exp", _scalar_gap(x, y))),
    torch=("logaddexp", "LogaddexpBackward0"),
    doc="ln(eˣ + eʸ), without overflow",
    samples=two(-3, 3),
)
logaddexp2 = elementwise(
    "logaddexp2",
    np.logaddexp2,
    (
        lambda out, x, y: sigmoid(_gap(x, y) * math.log(2.0)),
        lambda out, x, y: sigmoid(_gap(y, x) * math.log(2.0)),
    ),
    lambda x, y: call("maximum", x, y) + call("log1p", call("exp2", _scalar_gap(x, y))) * (1.0 / math.log(2.0)),
    torch=("logaddexp2", "Logaddexp2Backward0"),
    doc="log₂(2ˣ + 2ʸ), without overflow",
    samples=two(-3, 3),
)
tanh = elementwise(
    "tanh",
    np.tanh,
    (lambda out, x: 1.0 - out * out,),
    named("tanh"),
    torch=("tanh", "TanhBackward0"),
    doc="tanh x; derivative 1 - tanh² x",
    samples=one(),
)


def _sigmoid_eager(x: Any) -> Any:
    if np.asarray(x).dtype.kind == "c":
        return np.reciprocal(1 + np.exp(-x))
    return scipy.special.expit(x)


def _sigmoid_promote(x: Any) -> tuple[np.dtype[Any], ...]:
    complex_ = isinstance(x, np.dtype) and x.kind == "c"
    return (x,) if complex_ else by_ufunc(scipy.special.expit)(x)


sigmoid: Op = elementwise(
    "sigmoid",
    scipy.special.expit,
    (lambda out, x: out * (1.0 - out),),
    named("sigmoid"),
    eager=_sigmoid_eager,
    promote=_sigmoid_promote,
    result=lambda x: x,
    torch=("sigmoid special.expit", "SigmoidBackward0"),
    doc="1 / (1 + e⁻ˣ), without overflow",
    samples=one(-4, 4),
)
erf = elementwise(
    "erf",
    scipy.special.erf,
    (lambda out, x: exp(-(x * x)) * (2.0 / math.sqrt(math.pi)),),
    named("erf"),
    torch=("erf special.erf", "ErfBackward0"),
    doc="2/√π ∫₀ˣ e^(-t²) dt",
    samples=one(),
)

# -- trigonometry -----------------------------------------------------------------------------------------------------

sin: Op = elementwise(
    "sin",
    np.sin,
    (lambda out, x: cos(x),),
    named("sin"),
    torch=("sin", "SinBackward0"),
    doc="sin x",
    samples=one(-4, 4),
)
cos: Op = elementwise(
    "cos",
    np.cos,
    (lambda out, x: -sin(x),),
    named("cos"),
    torch=("cos", "CosBackward0"),
    doc="cos x",
    samples=one(-4, 4),
)
tan = elementwise(
    "tan",
    np.tan,
    (lambda out, x: out * out + 1.0,),
    named("tan"),
    torch=("tan", "TanBackward0"),
    doc="tan x; derivative 1 + tan² x",
    samples=one(-1.2, 1.2),
)
arcsin = elementwise(
    "arcsin",
    np.arcsin,
    # (1 - x)(1 + x) keeps its digits near ±1, where 1 - x² loses them
    (lambda out, x: 1.0 / sqrt((1.0 - x) * (1.0 + x)),),
    named("arcsin"),
    torch=("asin arcsin", "AsinBackward0"),
    doc="arcsin x",
    samples=one(-0.9, 0.9),
)
arccos = elementwise(
    "arccos",
    np.arccos,
    (lambda out, x: -1.0 / sqrt((1.0 - x) * (1.0 + x)),),
    named("arccos"),
    torch=("acos arccos", "AcosBackward0"),
    doc="arccos x",
    samples=one(-0.9, 0.9),
)
arctan = elementwise(
    "arctan",
    np.arctan,
    (lambda out, x: 1.0 / (x * x + 1.0),),
    named("arctan"),
    torch=("atan arctan", "AtanBackward0"),
    doc="arctan x",
    samples=one(),
)


def _angle_factor(leg: Any, y: Any, x: Any) -> Any:
    """``leg`` / (x² + y²), whose squares may not overflow or vanish; 0 at the origin, where ``leg`` is."""
    distance = hypot(x, y)
    nonzero = select(distance == 0, np.ones((), distance.dtype), distance)
    return leg / nonzero / nonzero


arctan2 = elementwise(
    "arctan2",
    np.arctan2,
    (lambda out, y, x: _angle_factor(x, y, x), lambda out, y, x: _angle_factor(-y, y, x)),
    named("arctan2"),
    torch=("atan2 arctan2", "Atan2Backward0"),
    doc="The angle of the point (x, y), the first operand being y; its derivative at (0, 0) is 0",
    samples=(*two(0.3, 2.0, (-2.0, 2.0)), *two(-2.0, 2.0, (0.3, 2.0))),
)
sinh: Op = elementwise(
    "sinh",
    np.sinh,
    (lambda out, x: cosh(x),),
    named("sinh"),
    torch=("sinh", "SinhBackward0"),
    doc="sinh x",
    samples=one(),
)
cosh: Op = elementwise(
    "cosh",
    np.cosh,
    (lambda out, x: sinh(x),),
    named("cosh"),
    torch=("cosh", "CoshBackward0"),
    doc="cosh x",
    samples=one(),
)


BIG = 2.0**28
"""From here on x² + 1 is x² in float64, and x² would overflow in float32 far beyond."""


def _log1p_or_log_of_double(near: Scalar, over: Scalar, big: Scalar, correction: Scalar | float = 0.0) -> Scalar:
    """ln(1 + near) + correction, or ln(2 (1 + over)) where the condition ``big`` holds, by one logarithm."""
    argument = call("where", big, over, near)
    return call("log1p", argument) + call("where", big, math.log(2.0), correction)


def _arcsinh_lower(x: Scalar) -> Scalar:
    size = call("absolute", x)
    square = size * size
    near = size + call("divide", square, call("sqrt", square + 1.0) + 1.0)
    return call("copysign", _log1p_or_log_of_double(near, size - 1.0, call("greater", size, BIG)), x)


def _arccosh_lower(x: Scalar) -> Scalar:
    over = x - 1.0
    # below 1 the root of a negative number, NaN
    root = call("sqrt", call("where", call("less", over, 0.0), over, over * over + over * 2.0))
    near = over + root
    # what the sum lost, over 1 + near, nearly
    correction = (over - (near - root)) * call("maximum", 1.0 - near * 0.6, 0.0)
    return _log1p_or_log_of_double(near, over, call("greater", x, BIG), correction)


def _arctanh_lower(x: Scalar) -> Scalar:
    size = call("absolute", x)
    twice, share = size * 2.0, call("divide", size, 1.0 - size)
    # 2 |x| / (1 - |x|); the sum rounds less, and loses all above 1, where the result is NaN
    argument = call("where", call("less", size, 0.5), twice * share + twice, share * 2.0)
    return call("copysign", call("log1p", argument) * 0.5, x)


def _arcsinh_factor(out: Any, x: Any) -> Any:
    # hypot of real numbers squares without overflow
    return 1.0 / (sqrt(x * x + 1.0) if is_complex(x) else hypot(x, 1.0))


arcsinh = elementwise(
    "arcsinh",
    np.arcsinh,
    (_arcsinh_factor,),
    _arcsinh_lower,
    torch=("asinh arcsinh", "AsinhBackward0"),
    doc="The x of which sinh is the operand.",
    samples=(*one(-3, 3), Sample((Values((4,), -1e30, 1e30),), smooth=False)),
)


def _arccosh_factor(out: Any, x: Any) -> Any:
    # the root of the product has its branch cut elsewhere, and the product may overflow
    return 1.0 / (sqrt(x - 1.0) * sqrt(x + 1.0))


arccosh = elementwise(
    "arccosh",
    np.arccosh,
    (_arccosh_factor,),
    _arccosh_lower,
    torch=("acosh arccosh", "AcoshBackward0"),
    doc="The x ≥ 0 of which cosh is the operand.",
    samples=(*one(1.2, 4), Sample((Values((4,), 1, 1e30),), smooth=False)),
)
arctanh = elementwise(
    "arctanh",
    np.arctanh,
    (lambda out, x: 1.0 / ((1.0 - x) * (1.0 + x)),),
    _arctanh_lower,
    torch=("atanh arctanh", "AtanhBackward0"),
    doc="The x of which tanh is the operand.",
    samples=one(-0.9, 0.9),
)


def _hypot_lower(x: Scalar, y: Scalar) -> Scalar:
    a, b = call("absolute", x), call("absolute", y)
    most, least = call("maximum", a, b), call("minimum", a, b)
    ratio = call("divide", least, call("where", call("equal", most, 0.0), 1.0, most))
    finite = most * call("sqrt", ratio * ratio + 1.0)
    return call("where", call("isinf", a), a, call("where", call("isinf", b), b, finite))


def _leg(leg: Any, out: Any) -> Any:
    # at the corner, where the slope depends on the direction, it is 0
    return select(out == 0, _nothing(out), leg / select(out == 0, np.ones((), out.dtype), out))


hypot: Op = elementwise(
    "hypot",
    np.hypot,
    (lambda out, x, y: _leg(x, out), lambda out, x, y: _leg(y, out)),
    _hypot_lower,
    torch=("hypot", "HypotBackward0"),
    doc="√(x² + y²), without overflow; its derivative at (0, 0) is 0",
    samples=(*two(0.3, 2.0), *two(-2.0, -0.3, (0.3, 2.0))),
)


def _cbrt_lower(x: Scalar) -> Scalar:
    size = call("absolute", x)
    near = call("power", size, 1.0 / 3.0)
    # a step of Newton's takes away what the rounding of 1/3 and of the power left; 0, infinity and NaN stay
    better = near - (near - call("divide", size, near * near)) * (1.0 / 3.0)
    plain = call("logical_or", call("equal", size, 0.0), call("isinf", size))
    return call("copysign", call("where", plain, size, better), x)


cbrt: Op = elementwise(
    "cbrt",
    np.cbrt,
    (lambda out, x: 1.0 / (3.0 * out * out),),
    _cbrt_lower,
    torch=("", "PowBackward0"),
    doc="∛x",
    samples=(*one(0.3, 2.0), *one(-2.0, -0.3)),
)

# -- rounding ---------------------------------------------------------------------------------------------------------


def _rounding(name: str, ufunc: np.ufunc, torch: tuple[str, str], doc: str) -> Op:
    samples = (*one(-3, 3, smooth=False), *one(-3, 3, kind="int", smooth=False))
    return elementwise(name, ufunc, (FLAT,), named(name), torch=torch, doc=doc, samples=samples)


floor = _rounding("floor", np.floor, ("floor", "FloorBackward0"), "⌊x⌋")
ceil = _rounding("ceil", np.ceil, ("ceil", "CeilBackward0"), "⌈x⌉")
trunc = _rounding("trunc", np.trunc, ("trunc fix", "TruncBackward0"), "x without its fraction")
rint = _rounding("rint", np.rint, ("round", "RoundBackward0"), "x to the nearest integer, halves to the even one")

# -- composites -------------------------------------------------------------------------------------------------------


def positive(x: Any) -> Any:
    """``np.positive``: the value itself."""
    return x


def square(x: Any) -> Any:
    """``np.square``."""
    return multiply(x, x)


def reciprocal(x: Any) -> Any:
    """``np.reciprocal`` of floats; integers, whose reciprocal truncates, raise DtypeError."""
    dtype = x.dtype if hasattr(x, "dtype") else np.asarray(x).dtype
    if dtype.kind not in "fc":
        raise DtypeError(f"the reciprocal of {dtype} truncates to an integer", fix="write 1.0 / x")
    return divide(1.0, x)


def clip(x: Any, low: Any = None, high: Any = None) -> Any:
    """``np.clip``: the gradient passes to ``x`` inside the bounds and on them, outside to the bound."""
    if low is not None:
        x = select(_beyond(x < low, low), low, x)
    if high is not None:
        x = select(_beyond(x > high, high), high, x)
    return x


def _beyond(outside: Any, bound: Any) -> Any:
    """Whether the bound is taken; a bound of NaN always is, as in NumPy."""
    if isinstance(bound, (int, float)):
        return outside if bound == bound else True
    return outside | (bound != bound)


def softsign(x: Any) -> Any:
    """x / (1 + |x|)."""
    return divide(x, add(absolute(x), 1.0))
