"""Elementwise functions whose PyTorch signature says more than their op's operands, and those made of several ops."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tracegrad.core.aval import shape_of
from tracegrad.core.source import user_frame
from tracegrad.eager.composite import recorded_as
from tracegrad.eager.functions.arguments import as_dtype, constant, floating, labelled
from tracegrad.eager.misuse import explains_itself, must_be_tensor, refusal
from tracegrad.eager.tensor import pair, single
from tracegrad.errors import DtypeError, ShapeError
from tracegrad.ops import complexes, maps, special
from tracegrad.ops.assembly import around
from tracegrad.ops.comparisons import equal as equal_elements
from tracegrad.ops.comparisons import (
    greater,
    greater_equal,
    isfinite,
    isinf,
    isnan,
    less,
    less_equal,
    logical_and,
    logical_not,
    logical_or,
)
from tracegrad.ops.maps import absolute, cast, copysign, floor_divide, multiply, power, select, trunc
from tracegrad.ops.maps import divide as _divide
from tracegrad.ops.maps import subtract as _subtract
from tracegrad.ops.reductions import reduce_all

__all__ = [
    "add",
    "addcdiv",
    "addcmul",
    "allclose",
    "clamp",
    "clamp_max",
    "clamp_min",
    "clip",
    "deg2rad",
    "div",
    "divide",
    "equal",
    "float_power",
    "fmax",
    "fmin",
    "fmod",
    "frac",
    "heaviside",
    "isclose",
    "isneginf",
    "isposinf",
    "ldexp",
    "lerp",
    "logit",
    "nan_to_num",
    "polygamma",
    "positive",
    "pow",
    "rad2deg",
    "reciprocal",
    "relu",
    "remainder",
    "round",
    "rsub",
    "signbit",
    "square",
    "sub",
    "subtract",
    "threshold",
    "true_divide",
]


_BOOL = np.dtype(bool)


_plus, _minus, _raised = pair(maps.add, refusal("add")), pair(_subtract, refusal("sub")), pair(power)
_rectified = single(maps.relu, refusal("relu"))


def _is_tensor(x: Any) -> bool:
    return bool(getattr(x, "bind_rank", 0))


def _one_is_tensor(name: str, x: Any, y: Any) -> None:
    """DtypeError if both operands are numbers."""
    if not (getattr(x, "bind_rank", 0) or getattr(y, "bind_rank", 0)):
        raise must_be_tensor(name, "input", 1, x)


# -- sums -------------------------------------------------------------------------------------------------------------


def _alpha(alpha: Any, *operands: Any) -> None:
    """DtypeError for a fraction of integers, and a complex multiple of real numbers."""
    if isinstance(alpha, (float, complex)) and all(_whole(x) for x in operands):
        raise DtypeError(
            "For integral input tensors, argument alpha must not be a floating point number.",
            fix="give an int",
            where=user_frame(),
        )
    if isinstance(alpha, complex) and not any(
        x.dtype.kind == "c" if hasattr(x, "dtype") else isinstance(x, complex) for x in operands
    ):
        raise DtypeError(
            "For non-complex input tensors, argument alpha must not be a complex number.",
            fix="multiply by it: x + alpha * y",
            where=user_frame(),
        )


@recorded_as("AddBackward0")
def _add_multiple(x: Any, y: Any, alpha: float) -> Any:
    return maps.add(x, multiply(y, alpha))


@recorded_as("SubBackward0")
def _subtract_multiple(x: Any, y: Any, alpha: float) -> Any:
    return _subtract(x, multiply(y, alpha))


@explains_itself
def add(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    """``input + alpha · other``.

    >>> from tracegrad.eager import tensor
    >>> add(tensor([1.0, 2.0]), tensor([10.0, 20.0]), alpha=2)
    tensor([21., 42.])
    """
    _one_is_tensor("add", input, other)
    if alpha == 1:
        return _plus(input, other)
    _alpha(alpha, input, other)
    return _add_multiple(input, other, alpha)


@explains_itself
def sub(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    """``input - alpha · other``.

    >>> from tracegrad.eager import tensor
    >>> sub(tensor([1.0, 2.0]), 1)
    tensor([0., 1.])
    """
    _one_is_tensor("sub", input, other)
    for x, y in ((input, other), (other, input)):
        if getattr(x, "dtype", None) is _BOOL and (_is_tensor(y) or isinstance(y, bool)):
            raise DtypeError(
                "Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to invert a "
                "mask, use the "
                "`~` or `logical_not()` operator instead.",
                fix="~mask",
                where=user_frame(),
            )
    if alpha == 1:
        return _minus(input, other)
    _alpha(alpha, input, other)
    return _subtract_multiple(input, other, alpha)


def subtract(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    """``input - alpha · other``, as ``sub``.

    >>> from tracegrad.eager import tensor
    >>> subtract(tensor([1.0, 2.0]), 1)
    tensor([0., 1.])
    """
    return sub(input, other, alpha=alpha)


def rsub(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    """``other - alpha · input``.

    >>> from tracegrad.eager import tensor
    >>> rsub(tensor([1.0, 2.0]), 10)
    tensor([9., 8.])
    """
    _one_is_tensor("rsub", input, other)
    if alpha != 1:
        return _subtract_multiple(other, input, alpha)
    return labelled("RsubBackward0" if _is_tensor(other) else "RsubBackward1", _subtract(other, input))


@recorded_as("AddcmulBackward0")
def _addcmul(x: Any, first: Any, second: Any, value: float) -> Any:
    product = multiply(first, second)
    return maps.add(x, product if value == 1 else multiply(product, value))


@recorded_as("AddcdivBackward0")
def _addcdiv(x: Any, first: Any, second: Any, value: float) -> Any:
    quotient = _divide(first, second)
    return maps.add(x, quotient if value == 1 else multiply(quotient, value))


def addcmul(input: Any, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Any:
    """``input + value · tensor1 · tensor2``.

    >>> from tracegrad.eager import tensor
    >>> addcmul(tensor([1.0]), tensor([2.0]), tensor([3.0]), value=10)
    tensor([61.])
    """
    return _addcmul(input, tensor1, tensor2, value)


def addcdiv(input: Any, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Any:
    """``input + value · tensor1 / tensor2``.

    >>> from tracegrad.eager import tensor
    >>> addcdiv(tensor([1.0]), tensor([6.0]), tensor([3.0]), value=10)
    tensor([21.])
    """
    if all(getattr(x, "dtype", np.dtype(float)).kind in "iub" for x in (tensor1, tensor2)):
        raise DtypeError(
            "Integer division with addcdiv is no longer supported", fix="cast the tensors to a float dtype", where=user_frame()
        )
    return _addcdiv(input, tensor1, tensor2, value)


@recorded_as("LerpBackward0")
def _lerp_number(x: Any, end: Any, weight: float) -> Any:
    # counted from the nearer end, as PyTorch does
    if abs(weight) < 0.5:
        return maps.add(x, multiply(_subtract(end, x), weight))
    return _subtract(end, multiply(_subtract(end, x), 1 - weight))


@recorded_as("LerpBackward1")
def _lerp_tensor(x: Any, end: Any, weight: Any) -> Any:
    away = _subtract(end, x)
    near = less(absolute(weight), 0.5)
    return select(near, maps.add(x, multiply(weight, away)), _subtract(end, multiply(away, _subtract(1, weight))))


def lerp(input: Any, end: Any, weight: Any) -> Any:
    """``input + weight · (end - input)``.

    >>> from tracegrad.eager import tensor
    >>> lerp(tensor([0.0, 10.0]), tensor([10.0, 20.0]), 0.5)
    tensor([ 5., 15.])
    """
    return _lerp_tensor(input, end, weight) if _is_tensor(weight) else _lerp_number(input, end, float(weight))


# -- quotients and powers ---------------------------------------------------------------------------------------------


def _whole(x: Any) -> bool:
    """Whether an operand is of integers or bools."""
    return (x.dtype.kind in "iub") if hasattr(x, "dtype") else isinstance(x, int)


def div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Any:
    """``input / other``, with ``rounding_mode`` ``"floor"`` or ``"trunc"`` as a whole number.

    >>> from tracegrad.eager import tensor
    >>> div(tensor([7.0, -7.0]), 2, rounding_mode="trunc")
    tensor([ 3., -3.])
    """
    _one_is_tensor("div", input, other)
    if rounding_mode is None:
        return _divide(input, other)
    if rounding_mode not in ("floor", "trunc"):
        raise ValueError(f"div expected rounding_mode to be one of None, 'trunc', or 'floor' but found '{rounding_mode}'")
    if rounding_mode == "floor":
        return labelled("DivBackward2", floor_divide(input, other))
    if not all(_whole(x) for x in (input, other)):
        return labelled("DivBackward2", trunc(_divide(input, other)))
    quotient = floor_divide(input, other)
    # rounded down, it is one too small where the signs differ and something is left over
    rest = _subtract(input, multiply(quotient, other))
    up = logical_and(logical_not(equal_elements(rest, 0)), logical_not(equal_elements(less(input, 0), less(other, 0))))
    return maps.add(quotient, cast(up, dtype=quotient.dtype))


def divide(input: Any, other: Any, *, rounding_mode: str | None = None) -> Any:
    """``input / other``, as ``div``.

    >>> from tracegrad.eager import tensor
    >>> divide(tensor([7.0, -7.0]), 2)
    tensor([ 3.5000, -3.5000])
    """
    return div(input, other, rounding_mode=rounding_mode)


def true_divide(input: Any, other: Any) -> Any:
    """``input / other``; integers give floats.

    >>> from tracegrad.eager import tensor
    >>> true_divide(tensor([7, -7]), 2)
    tensor([ 3.5000, -3.5000])
    """
    return div(input, other)


def pow(input: Any, exponent: Any) -> Any:
    """``input`` to a power.

    >>> from tracegrad.eager import tensor
    >>> pow(tensor([2.0, 3.0]), 2)
    tensor([4., 9.])
    """
    if not _is_tensor(exponent):
        _one_is_tensor("pow", input, exponent)
        if isinstance(exponent, int) and exponent < 0 and input.dtype.kind in "iu":
            raise DtypeError(
                "Integers to negative integer powers are not allowed.", fix="cast to a float dtype", where=user_frame()
            )
        return _raised(input, exponent)
    return labelled("PowBackward1" if _is_tensor(input) else "PowBackward2", _raised(input, exponent))


def float_power(input: Any, exponent: Any) -> Any:
    """``input`` to a power, in float64.

    >>> from tracegrad.eager import tensor
    >>> float_power(tensor([2, 3]), 2)
    tensor([4., 9.], dtype=torch.float64)
    """
    _one_is_tensor("float_power", input, exponent)
    given = [x.dtype.kind == "c" if hasattr(x, "dtype") else isinstance(x, complex) for x in (input, exponent)]
    double = np.dtype(np.complex128 if any(given) else np.float64)
    base = as_dtype(input, double) if _is_tensor(input) else double.type(input)
    return pow(base, as_dtype(exponent, double) if _is_tensor(exponent) else double.type(exponent).item())


def square(input: Any) -> Any:
    """``input`` times itself.

    >>> from tracegrad.eager import tensor
    >>> square(tensor([2.0, 3.0]))
    tensor([4., 9.])
    """
    return _raised(input, 2)


@recorded_as("ReciprocalBackward0")
def _one_over(x: Any) -> Any:
    return _divide(1.0, x)


def reciprocal(input: Any) -> Any:
    """``1 / input``; integers give floats.

    >>> from tracegrad.eager import tensor
    >>> reciprocal(tensor([2.0, 4.0]))
    tensor([0.5000, 0.2500])
    """
    return _one_over(input)


def _fmod_of(x: Any, y: Any) -> Any:
    # the remainder of the sizes is exact, where a rounded quotient would not be; |x| - k·|y| has x's sign put back
    size = maps.remainder(absolute(x), absolute(y))
    return select(less(x, 0), maps.negative(size), size)


_fmod_by_tensor = recorded_as("FmodBackward1")(_fmod_of)
_fmod_by_number = recorded_as("FmodBackward0")(_fmod_of)


def fmod(input: Any, other: Any) -> Any:
    """What is left over by a division rounded towards 0, with the sign of ``input``.

    >>> from tracegrad.eager import tensor
    >>> fmod(tensor([-3.0, 3.0]), 2)
    tensor([-1.,  1.])
    """
    _one_is_tensor("fmod", input, other)
    return _fmod_by_tensor(input, other) if _is_tensor(other) else _fmod_by_number(input, abs(other))


def remainder(input: Any, other: Any) -> Any:
    """What is left over by a division rounded down, with the sign of ``other``.

    >>> from tracegrad.eager import tensor
    >>> remainder(tensor([-3.0, 3.0]), 2)
    tensor([1., 1.])
    """
    _one_is_tensor("remainder", input, other)
    found = maps.remainder(input, other)
    return labelled("RemainderBackward1", found) if _is_tensor(other) else found


# -- bounds -----------------------------------------------------------------------------------------------------------


@recorded_as("ClampBackward1")
def _between(x: Any, low: Any, high: Any) -> Any:
    return maps.clip(x, low, high)


@recorded_as("ClampMinBackward0")
def _not_below(x: Any, low: Any) -> Any:
    return select(less(x, low), low, x)


@recorded_as("ClampMaxBackward0")
def _not_above(x: Any, high: Any) -> Any:
    return select(greater(x, high), high, x)


def _clamped(x: Any, low: Any, high: Any) -> Any:
    if low is not None:
        x = select(logical_or(less(x, low), isnan(low)), low, x)
    return x if high is None else select(logical_or(greater(x, high), isnan(high)), high, x)


_between_tensors = recorded_as("ClampBackward0")(_clamped)
_not_below_tensor = recorded_as("ClampMinBackward1")(_clamped)
_not_above_tensor = recorded_as("ClampMaxBackward1")(_clamped)


def clamp(input: Any, min: Any = None, max: Any = None) -> Any:
    """The elements moved between two bounds; the upper one wins where the lower is greater.

    >>> from tracegrad.eager import tensor
    >>> clamp(tensor([-1.0, 0.5, 9.0]), 0, 1)
    tensor([0.0000, 0.5000, 1.0000])
    """
    if min is None and max is None:
        raise ShapeError("torch.clamp: At least one of 'min' or 'max' must not be None", fix="give a bound", where=user_frame())
    if _is_tensor(min) or _is_tensor(max):
        if max is None:
            return clamp_min(input, min)
        if min is None:
            return clamp_max(input, max)
        return _between_tensors(input, min, max)
    return _between(input, min, max)


def clip(input: Any, min: Any = None, max: Any = None) -> Any:
    """The elements moved between two bounds, as ``clamp``.

    >>> from tracegrad.eager import tensor
    >>> clip(tensor([-1.0, 9.0]), max=1)
    tensor([-1.,  1.])
    """
    return clamp(input, min, max)


def clamp_min(input: Any, min: Any) -> Any:
    """The elements, or the lower bound where it is greater.

    >>> from tracegrad.eager import tensor
    >>> clamp_min(tensor([-1.0, 9.0]), 0)
    tensor([0., 9.])
    """
    return _not_below_tensor(input, min, None) if _is_tensor(min) else _not_below(input, min)


def clamp_max(input: Any, max: Any) -> Any:
    """The elements, or the upper bound where it is smaller.

    >>> from tracegrad.eager import tensor
    >>> clamp_max(tensor([-1.0, 9.0]), 0)
    tensor([-1.,  0.])
    """
    return _not_above_tensor(input, None, max) if _is_tensor(max) else _not_above(input, max)


@recorded_as("ThresholdBackward0")
def _above(x: Any, threshold: float, value: float) -> Any:
    return select(less_equal(x, threshold), value, x)


def threshold(input: Any, threshold: float, value: float, inplace: bool = False) -> Any:
    """The elements above a threshold, ``value`` for the others.

    >>> from tracegrad.eager import tensor
    >>> threshold(tensor([-1.0, 2.0]), 0.5, 7.0)
    tensor([7., 2.])
    """
    return _above(input, threshold, value)


@explains_itself
def relu(input: Any) -> Any:
    """The elements that are positive, 0 for the others; at 0 the gradient is 0.

    >>> from tracegrad.eager import tensor
    >>> relu(tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    try:
        return _rectified(input)
    except KeyError:  # of the smallest value of a dtype that has none
        raise DtypeError("Boolean inputs not supported for relu", fix="relu(x.float())", where=user_frame()) from None


@recorded_as("FmaxBackward0")
def _fmax_of(x: Any, y: Any) -> Any:
    return select(logical_or(greater_equal(x, y), isnan(y)), x, y)


@recorded_as("FminBackward0")
def _fmin_of(x: Any, y: Any) -> Any:
    return select(logical_or(less_equal(x, y), isnan(y)), x, y)


def fmax(input: Any, other: Any) -> Any:
    """The greater of two elements, of a NaN and a number the number; ties go to ``input``.

    >>> from tracegrad.eager import tensor
    >>> fmax(tensor([1.0, float("nan")]), tensor([3.0, 2.0]))
    tensor([3., 2.])
    """
    return _fmax_of(input, other)


def fmin(input: Any, other: Any) -> Any:
    """The smaller of two elements, of a NaN and a number the number; ties go to ``input``.

    >>> from tracegrad.eager import tensor
    >>> fmin(tensor([1.0, float("nan")]), tensor([3.0, 2.0]))
    tensor([1., 2.])
    """
    return _fmin_of(input, other)


@recorded_as("NanToNumBackward0")
def _numbers_of(x: Any, nan: float, top: float, bottom: float) -> Any:
    if complexes.is_complex(x):
        parts = (complexes.real(x), complexes.imag(x))
        return complexes.join(*(_number_of(part, nan, top, bottom) for part in parts))
    return _number_of(x, nan, top, bottom)


def _number_of(x: Any, nan: float, top: float, bottom: float) -> Any:
    x = select(isnan(x), nan, x)
    return select(logical_and(isinf(x), greater(x, 0)), top, select(logical_and(isinf(x), less(x, 0)), bottom, x))


def nan_to_num(input: Any, nan: float | None = None, posinf: float | None = None, neginf: float | None = None) -> Any:
    """Numbers in the place of NaN and infinities: 0 and the dtype's extremes unless they are given.

    >>> from tracegrad.eager import tensor
    >>> nan_to_num(tensor([float("nan"), float("inf")]), posinf=9.0)
    tensor([0., 9.])
    """
    if input.dtype.kind not in "fc":
        return maps.copy(input)
    most = float(np.finfo(input.dtype).max)
    top, bottom = (most if posinf is None else posinf), (-most if neginf is None else neginf)
    return _numbers_of(input, 0.0 if nan is None else float(nan), float(top), float(bottom))


# -- signs, fractions, rounding ---------------------------------------------------------------------------------------


def positive(input: Any) -> Any:
    """The tensor itself.

    >>> from tracegrad.eager import tensor
    >>> positive(tensor([1.0, -2.0]))
    tensor([ 1., -2.])
    """
    return input


@recorded_as("FracBackward0")
def _fraction(x: Any) -> Any:
    return _subtract(x, trunc(x))


@recorded_as("LogitBackward0")
def _logit_inside(x: Any, eps: float) -> Any:
    return special.logit(maps.clip(x, eps, 1 - eps))


def logit(input: Any, eps: float | None = None) -> Any:
    """``ln(input / (1 - input))``, of elements moved to ``eps`` … ``1 - eps`` if that is given.

    >>> from tracegrad.eager import tensor
    >>> logit(tensor([0.5, 2.0]), eps=0.5)
    tensor([0., 0.])
    """
    return special.logit(input) if eps is None else _logit_inside(input, float(eps))


def polygamma(n: int, input: Any) -> Any:
    """The ``n``-th derivative of digamma.

    >>> from tracegrad.eager import tensor
    >>> polygamma(1, tensor([1.0]))
    tensor([1.6449])
    """
    if n < 0:
        raise ShapeError("polygamma(n, x) does not support negative n.", fix="give an order of 0 or more", where=user_frame())
    return special.polygamma_order(floating(input), n=int(n))


def frac(input: Any) -> Any:
    """What is behind the point, with the sign of the element.

    >>> from tracegrad.eager import tensor
    >>> frac(tensor([1.5, -2.25]))
    tensor([ 0.5000, -0.2500])
    """
    return _fraction(input)


def round(input: Any, *, decimals: int = 0) -> Any:
    """The nearest whole number, or number with so many decimals; halves go to the even one.

    >>> from tracegrad.eager import tensor
    >>> round(tensor([0.5, 1.5, 2.4]))
    tensor([0., 2., 2.])
    """
    return labelled("RoundBackward1", around(input, decimals)) if decimals else around(input)


def signbit(input: Any) -> Any:
    """Whether the sign is negative, that of -0. included.

    >>> from tracegrad.eager import tensor
    >>> signbit(tensor([-1.0, 0.0]))
    tensor([ True, False])
    """
    x = constant(input)
    return less(x, 0) if x.dtype.kind != "f" else less(copysign(1.0, x), 0)


def isposinf(input: Any) -> Any:
    """Whether an element is +∞.

    >>> from tracegrad.eager import tensor
    >>> isposinf(tensor([float("inf"), 1.0]))
    tensor([ True, False])
    """
    return equal_elements(constant(input), math.inf)


def isneginf(input: Any) -> Any:
    """Whether an element is -∞.

    >>> from tracegrad.eager import tensor
    >>> isneginf(tensor([float("-inf"), 1.0]))
    tensor([ True, False])
    """
    return equal_elements(constant(input), -math.inf)


def deg2rad(input: Any) -> Any:
    """Degrees as radians.

    >>> from tracegrad.eager import tensor
    >>> deg2rad(tensor([180.0]))
    tensor([3.1416])
    """
    return labelled("Deg2RadBackward0", multiply(floating(input), math.pi / 180.0))


def rad2deg(input: Any) -> Any:
    """Radians as degrees.

    >>> from tracegrad.eager import tensor
    >>> rad2deg(tensor([0.0]))
    tensor([0.])
    """
    return labelled("Rad2DegBackward0", multiply(floating(input), 180.0 / math.pi))


@recorded_as("LdexpBackward0")
def _scaled(x: Any, other: Any) -> Any:
    return multiply(x, power(2.0, other))


def ldexp(input: Any, other: Any) -> Any:
    """``input · 2^other``.

    >>> from tracegrad.eager import tensor
    >>> ldexp(tensor([1.0, 3.0]), tensor([1, 2]))
    tensor([ 2., 12.])
    """
    return _scaled(input, floating(other))


def heaviside(input: Any, values: Any) -> Any:
    """0 for negative elements, 1 for positive ones, ``values`` where they are 0.

    >>> from tracegrad.eager import tensor
    >>> heaviside(tensor([-2.0, 0.0, 2.0]), tensor([0.5]))
    tensor([0.0000, 0.5000, 1.0000])
    """
    if input.dtype != values.dtype:
        raise DtypeError(
            f"heaviside is not yet implemented for tensors with different dtypes: {input.dtype} and {values.dtype}",
            fix=f"values.to(torch.{input.dtype})",
            where=user_frame(),
        )
    x = constant(input)
    return select(equal_elements(x, 0), constant(values), cast(greater(x, 0), dtype=x.dtype))


# -- comparison -------------------------------------------------------------------------------------------------------


def isclose(input: Any, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Any:
    """Whether elements differ by at most ``atol + rtol · |other|``.

    >>> from tracegrad.eager import tensor
    >>> isclose(tensor([1.0, 2.0]), tensor([1.0, 2.1]))
    tensor([ True, False])
    """
    if input.dtype != other.dtype:
        raise DtypeError(f"{input.dtype} did not match {other.dtype}", fix=f"other.to(torch.{input.dtype})", where=user_frame())
    x, y = constant(input), constant(other)
    close = equal_elements(x, y)
    if equal_nan:
        close = logical_or(close, logical_and(isnan(x), isnan(y)))
    if rtol == 0 and atol == 0:
        return close
    x, y = floating(x), floating(y)
    away = absolute(_subtract(x, y))
    allowed = maps.add(multiply(absolute(y), rtol), atol)
    return logical_or(close, logical_and(isfinite(away), logical_not(greater(away, allowed))))


def allclose(input: Any, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    """Whether all elements are close, as ``isclose`` says.

    >>> from tracegrad.eager import tensor
    >>> allclose(tensor([1.0, 2.0]), tensor([1.0, 2.1]))
    False
    """
    close = isclose(input, other, rtol, atol, equal_nan)
    return bool(reduce_all(close, axes=tuple(range(len(shape_of(close))))))


def equal(input: Any, other: Any) -> bool:
    """Whether two tensors have one shape and equal elements.

    >>> from tracegrad.eager import tensor
    >>> equal(tensor([1.0, 2.0]), tensor([1.0, 2.0]))
    True
    """
    if tuple(shape_of(input)) != tuple(shape_of(other)):
        return False
    return bool(reduce_all(equal_elements(constant(input), constant(other)), axes=tuple(range(len(shape_of(input))))))
