"""MAP ops: one element out for one element of each operand.

The partial derivatives are plain factors; the driver multiplies the cotangent by them with ``scale``, whose zero cotangent
absorbs NaN and infinity, so that the branch not taken by a ``where`` cannot poison a gradient.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tracegrad.core.expr import Scalar, call
from tracegrad.core.op import FLAT, Op, Rule, Sample, Values, common, elementwise


def _named(function: str) -> Any:
    """The lowering that calls one function of codegen's vocabulary."""
    return lambda *operands: call(function, *operands)


def _one(low: float = -2.0, high: float = 2.0, **more: Any) -> tuple[Sample, ...]:
    """Samples of a function of one variable on an interval."""
    return (Sample((Values((3, 4), low, high, **more),)), Sample((Values((), low, high, **more),)), Sample((Values((0, 3)),)))


def _two(low: float = -2.0, high: float = 2.0, **more: Any) -> tuple[Sample, ...]:
    """Samples of a function of two variables, with and without broadcasting."""
    a = Values((3, 4), low, high, **more)
    return (Sample((a, a)), Sample((a, Values((4,), low, high, **more))), Sample((Values((3, 1), low, high, **more), a)))


def _scale_eager(g: Any, factor: Any) -> Any:
    with np.errstate(all="ignore"):
        return np.where(np.equal(g, 0), np.zeros((), np.result_type(g)), np.multiply(g, factor))[()]


scale: Op = elementwise(
    "scale",
    np.multiply,
    (Rule(lambda c, out, g, factor: scale(c, factor)), Rule(lambda c, out, g, factor: scale(c, g))),
    _named("absorbing_multiply"),
    eager=_scale_eager,
    numpy=(_scale_eager,),
    torch=("mul", "MulBackward0"),
    doc="Cotangent times partial derivative; a zero cotangent gives zero even where the partial is NaN or infinite.",
    samples=_two(),
)

add = elementwise(
    "add",
    np.add,
    (lambda out, x, y: 1, lambda out, x, y: 1),
    lambda x, y: x + y,
    torch=("add", "AddBackward0"),
    doc="x + y",
    samples=_two(),
)
subtract = elementwise(
    "subtract",
    np.subtract,
    (lambda out, x, y: 1, lambda out, x, y: -1),
    lambda x, y: x - y,
    torch=("sub", "SubBackward0"),
    doc="x - y",
    samples=_two(),
)
multiply = elementwise(
    "multiply",
    np.multiply,
    (lambda out, x, y: y, lambda out, x, y: x),
    lambda x, y: x * y,
    torch=("mul", "MulBackward0"),
    doc="x · y",
    samples=_two(),
)
divide = elementwise(
    "divide",
    np.true_divide,
    (lambda out, x, y: 1.0 / y, lambda out, x, y: -out / y),
    _named("divide"),
    torch=("div", "DivBackward0"),
    doc="x / y",
    samples=_two(0.5, 2.0),
)
negative = elementwise(
    "negative",
    np.negative,
    (lambda out, x: -1,),
    lambda x: -x,
    torch=("neg", "NegBackward0"),
    doc="-x",
    samples=_one(),
)
exp = elementwise(
    "exp",
    np.exp,
    (lambda out, x: out,),
    _named("exp"),
    torch=("exp", "ExpBackward0"),
    doc="eˣ",
    samples=_one(),
)
log = elementwise(
    "log",
    np.log,
    (lambda out, x: 1.0 / x,),
    _named("log"),
    torch=("log", "LogBackward0"),
    doc="ln x",
    samples=_one(0.2, 3.0),
)
tanh = elementwise(
    "tanh",
    np.tanh,
    (lambda out, x: 1.0 - out * out,),
    _named("tanh"),
    torch=("tanh", "TanhBackward0"),
    doc="tanh x; derivative 1 - tanh² x",
    samples=_one(),
)
sqrt = elementwise(
    "sqrt",
    np.sqrt,
    (lambda out, x: 0.5 / out,),
    _named("sqrt"),
    torch=("sqrt", "SqrtBackward0"),
    doc="√x",
    samples=_one(0.2, 3.0),
)
less = elementwise(
    "less",
    np.less,
    (FLAT, FLAT),
    _named("less"),
    torch=("lt", ""),
    doc="x < y",
    samples=tuple(Sample(s.operands, smooth=False) for s in _two()),
)


def _select_promote(condition: Any, x: Any, y: Any) -> tuple[np.dtype[Any], ...]:
    return (np.dtype(bool), *common(x, y))


def _no_gradient(operand: Any) -> Any:
    return np.zeros((), operand.dtype)


select = elementwise(
    "where",
    np.add,
    (
        FLAT,
        Rule(lambda g, out, c, x, y: select(c, g, _no_gradient(g))),
        Rule(lambda g, out, c, x, y: select(c, _no_gradient(g), g)),
    ),
    _named("where"),
    eager=np.where,
    promote=_select_promote,
    result=lambda c, x, y: x,
    numpy=(),
    torch=("where", "WhereBackward0"),
    doc="x where the condition holds, y elsewhere.",
    samples=(
        Sample((Values((3, 4), kind="bool"), Values((3, 4)), Values((3, 4)))),
        Sample((Values((4,), kind="bool"), Values((3, 4)), Values(()))),
    ),
)


def _cast_eager(x: Any, *, dtype: Any) -> Any:
    return np.asarray(x).astype(dtype)[()]


def _cast_lower(x: Scalar, *, dtype: Any) -> Scalar:
    return call("cast", x, static=(dtype,))


cast = elementwise(
    "cast",
    np.positive,
    (Rule(lambda g, out, x, *, dtype: cast(g, dtype=x.dtype)),),
    _cast_lower,
    eager=_cast_eager,
    promote=lambda x: (x if isinstance(x, np.dtype) else common(x)[0],),
    result=lambda x, *, dtype: np.dtype(dtype),
    numpy=(),
    torch=("to", "ToCopyBackward0"),
    doc="The same numbers in another dtype.",
    samples=(
        Sample((Values((3, 4)),), {"dtype": np.dtype(np.float64)}),
        Sample((Values((3,), -9, 9, kind="int"),), {"dtype": np.dtype(np.float32)}, smooth=False),
    ),
)
