"""NumPy's elementwise functions that are composites of ops: their derivatives are those of their parts.

Conventions: where ``nan_to_num`` puts a number of its own the gradient is 0; ``fmax`` and ``fmin`` share it evenly among
ties; ``fmod`` has the slope of its branch, ``heaviside`` none but in its second operand, at 0.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tracegrad.core.aval import shape_of
from tracegrad.errors import DtypeError, TraceError
from tracegrad.ops import maps, phases
from tracegrad.ops.comparisons import isfinite, isinf, isnan, logical_and, logical_not, logical_or
from tracegrad.ops.complexes import imag, is_complex
from tracegrad.ops.maps import cast, select
from tracegrad.ops.reductions import all as all_of
from tracegrad.ops.reductions import as_operand

# -- dtypes -----------------------------------------------------------------------------------------------------------


def is_number(x: Any) -> bool:
    """Whether an operand is a Python number, which takes the dtype of its partner."""
    return type(x) in (bool, int, float, complex)


def as_float(x: Any) -> Any:
    """The operand, integers and bools as float64; Python numbers as they are."""
    if is_number(x):
        return x
    x = as_operand(x)
    return cast(x, dtype=np.dtype(np.float64)) if x.dtype.kind in "biu" else x


def _real(name: str, *operands: Any) -> None:
    if any(is_complex(as_operand(x)) for x in operands):
        raise DtypeError(f"np.{name} of complex numbers", fix="take the real part or the absolute value first")


# -- signs and angles -------------------------------------------------------------------------------------------------


def fabs(x: Any) -> Any:
    """``np.fabs``."""
    _real("fabs", x)
    return maps.absolute(as_float(x))


def signbit(x: Any) -> Any:
    """``np.signbit``; that of NaN is not told."""
    x = as_operand(x)
    return x < 0 if x.dtype.kind != "f" else maps.copysign(np.ones((), x.dtype), x) < 0


def deg2rad(x: Any) -> Any:
    """``np.deg2rad``."""
    return as_float(x) * (math.pi / 180)


def rad2deg(x: Any) -> Any:
    """``np.rad2deg``."""
    return as_float(x) * (180 / math.pi)


radians, degrees = deg2rad, rad2deg


def sign(x: Any) -> Any:
    """``np.sign``; of complex numbers z / |z|."""
    x = as_operand(x)
    return phases.direction(x) if is_complex(x) else maps.sign(x)


def iscomplex(x: Any) -> Any:
    """``np.iscomplex``: where the imaginary part is not 0."""
    return logical_not(isreal(x))


def isreal(x: Any) -> Any:
    """``np.isreal``: where the imaginary part is 0."""
    x = as_operand(x)
    return imag(x) == 0 if is_complex(x) else np.ones(shape_of(x), bool)


def real_if_close(a: Any, tol: float = 100) -> Any:
    """``np.real_if_close`` of real numbers; of complex ones the result's dtype depends on values, and they raise TraceError."""
    if is_complex(as_operand(a)):
        raise TraceError(
            "np.real_if_close of complex numbers has a dtype that depends on their values",
            fix="take z.real where the imaginary part is known to be rounding",
        )
    return a


def angle(z: Any, deg: bool = False) -> Any:
    """``np.angle``; of real numbers 0 or π."""
    z = as_float(as_operand(z))
    result = phases.angle(z) if is_complex(z) else maps.arctan2(np.zeros((), z.dtype), z)
    return result * (180 / math.pi) if deg else result


# -- division ---------------------------------------------------------------------------------------------------------


def fmod(x: Any, y: Any) -> Any:
    """``np.fmod``: the remainder with the sign of ``x``, exact as ``np.remainder`` is."""
    _real("fmod", x, y)
    if is_number(y):
        size = abs(y)
    else:
        y = as_operand(y)
        size = select(y < 0, -y, y) if y.dtype.kind in "if" else y
    return select(x < 0, -maps.remainder(-x, size), maps.remainder(x, size))


def divmod(x: Any, y: Any) -> tuple[Any, Any]:  # noqa: A001
    """``np.divmod``."""
    return maps.floor_divide(x, y), maps.remainder(x, y)


def modf(x: Any) -> tuple[Any, Any]:
    """``np.modf``: the fraction and the whole part, both with the sign of ``x``."""
    _real("modf", x)
    x = as_float(x)
    whole = maps.trunc(x)
    return select(isinf(x), np.zeros((), x.dtype), x - whole), whole


def float_power(x: Any, y: Any) -> Any:
    """``np.float_power``: the power in float64 at least."""
    x, y = (v if is_complex(v) else cast(v, dtype=np.dtype(np.float64)) for v in (as_operand(x), as_operand(y)))
    return maps.power(x, y)


def ldexp(x: Any, exponent: Any) -> Any:
    """``np.ldexp``: ``x`` times a power of two, differentiable in ``x``."""
    x, exponent = as_float(x), as_operand(exponent)
    if exponent.dtype.kind not in "iu":
        raise DtypeError(f"np.ldexp with exponents of {exponent.dtype}", fix="give integers, or write x * 2.0**y")
    # in two halves, so that the power itself does not overflow where the product does not
    half = maps.floor_divide(exponent, 2)
    two = np.full((), 2.0, x.dtype)
    return x * maps.power(two, cast(half, dtype=x.dtype)) * maps.power(two, cast(exponent - half, dtype=x.dtype))


# -- choices ----------------------------------------------------------------------------------------------------------


def fmax(x: Any, y: Any) -> Any:
    """``np.fmax``: the greater of two, a number rather than NaN."""
    return _number_of(maps.maximum, x, y)


def fmin(x: Any, y: Any) -> Any:
    """``np.fmin``: the smaller of two, a number rather than NaN."""
    return _number_of(maps.minimum, x, y)


def _number_of(pick: Any, x: Any, y: Any) -> Any:
    return select(isnan(x), y, select(isnan(y), x, pick(x, y)))


def heaviside(x: Any, h0: Any) -> Any:
    """``np.heaviside``: 0 below 0, ``h0`` at 0, 1 above; NaN stays."""
    _real("heaviside", x, h0)
    x, h0 = as_float(x), as_float(h0)
    return select(x == 0, h0, select(x > 0, 1.0, select(x < 0, 0.0, x)))


def nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    """``np.nan_to_num``; the gradient is 0 where a number was put in."""
    if not copy:
        raise TraceError("nan_to_num with copy=False writes into its argument", fix="assign the result: x = np.nan_to_num(x)")
    x = as_operand(x)
    _real("nan_to_num", x)
    if x.dtype.kind != "f":
        return x
    limits = np.finfo(x.dtype)
    for where, value in (
        (isnan(x), nan),
        (x == np.inf, limits.max if posinf is None else posinf),
        (x == -np.inf, limits.min if neginf is None else neginf),
    ):
        x = select(where, np.asarray(value, x.dtype) if isinstance(value, (int, float)) else cast(value, dtype=x.dtype), x)
    return x


# -- questions --------------------------------------------------------------------------------------------------------


def isposinf(x: Any) -> Any:
    """``np.isposinf``."""
    return as_operand(x) == np.inf


def isneginf(x: Any) -> Any:
    """``np.isneginf``."""
    return as_operand(x) == -np.inf


def isclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> Any:
    """``np.isclose``."""
    a, b = (cast(v, dtype=np.dtype(np.float64)) if v.dtype.kind == "b" else v for v in (as_operand(a), as_operand(b)))
    near = logical_and(maps.absolute(a - b) <= atol + rtol * maps.absolute(b), isfinite(b))
    near = logical_or(near, a == b)
    return logical_or(near, logical_and(isnan(a), isnan(b))) if equal_nan else near


def allclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> Any:
    """``np.allclose``."""
    return all_of(isclose(a, b, rtol, atol, equal_nan))


def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> Any:
    """``np.array_equal``; arrays of different shapes are not equal."""
    a1, a2 = as_operand(a1), as_operand(a2)
    if shape_of(a1) != shape_of(a2):
        return False
    same = a1 == a2
    if equal_nan and a1.dtype.kind in "fc" and a2.dtype.kind in "fc":
        same = logical_or(same, logical_not(logical_or(a1 == a1, a2 == a2)))
    return all_of(same)


def array_equiv(a1: Any, a2: Any) -> Any:
    """``np.array_equiv``: whether two arrays are equal as far as they broadcast."""
    a1, a2 = as_operand(a1), as_operand(a2)
    try:
        np.broadcast_shapes(shape_of(a1), shape_of(a2))
    except ValueError:
        return False
    return all_of(a1 == a2)


def left_shift(x: Any, y: Any) -> Any:
    """``np.left_shift``: a product with a power of two."""
    return _shifted(np.left_shift, maps.multiply, x, y)


def right_shift(x: Any, y: Any) -> Any:
    """``np.right_shift``: a quotient by a power of two, rounded down."""
    return _shifted(np.right_shift, maps.floor_divide, x, y)


def _shifted(ufunc: np.ufunc, op: Any, x: Any, y: Any) -> Any:
    kinds = [type(v) if isinstance(v, (bool, int, float)) else v.dtype for v in (x, y)]
    try:
        dtype = ufunc.resolve_dtypes((*kinds, None))[-1]
    except TypeError:
        raise DtypeError(f"np.{ufunc.__name__} is for integers", fix="multiply by 2.0 ** y") from None
    wide = [v if isinstance(v, int) or v.dtype == dtype else v.astype(dtype) for v in (x, y)]
    return op(wide[0], maps.power(np.full((), 2, dtype), wide[1]))
