"""The scalar functions that generated kernels call: NumPy's results, in a form LLVM vectorises.

Kernels say ``exp(x)``; there, and inside njit once :mod:`tracegrad.codegen.mathlib_numba` is imported, the name takes
float32 or float64 operands and gives the same type. Each name is an ordinary Python function whose body is its *twin*: it
runs when jit is disabled, and says in NumPy what the native code computes.

Why not ``math.exp``: Numba lowers it to a call of the C library, which stops the loop vectoriser (19 ms against 0.95
for a chain of exp and tanh on 10**6 elements). The formulas are in
`mathlib_exp`, `mathlib_log`, `mathlib_trig` and `mathlib_erf`, written over `mathlib_lane`.

No function here raises or allocates, so a kernel that uses them needs no error path. What branches: special arguments
of a logarithm or a power and large ones of sin, cos and tan (`mathlib_rare`), and the power of integers. Only floor_divide
and remainder of floats call the C library, for fmod.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
import scipy.special

from tracegrad.codegen import mathlib_basic as basic
from tracegrad.codegen import mathlib_erf
from tracegrad.codegen import mathlib_exp as exponential
from tracegrad.codegen import mathlib_log as logarithm
from tracegrad.codegen import mathlib_trig as trigonometric
from tracegrad.codegen.kinds import BOOLEAN, FLOAT64, INT64, Scalar, common, convert
from tracegrad.codegen.mathlib_lane import Lane, copy_sign
from tracegrad.codegen.writer import TranslationError, Typed, Writer

Formula = Callable[..., Lane]
Marking = Callable[[Callable[..., Any]], Any]


@dataclass(frozen=True, slots=True)
class Helper:
    """The native form of a function.

    Parameters
    ----------
    formula: from lanes to a lane, for floats.
    arity: number of operands.
    integer: the formula for integers and truth values, which is also told whether they are signed; None where these
        become float64.
    boolean_result: whether the result is a truth value.
    """

    formula: Formula
    arity: int = 1
    integer: Formula | None = None
    boolean_result: bool = False

    def emit(self, writer: Writer, arguments: list[Any]) -> Typed:
        """Write a call in a kernel; float32 stays, other operands become float64 unless the function takes integers."""
        if len(arguments) != self.arity or not all(isinstance(value.kind, Scalar) for value in arguments):
            raise TranslationError(f"the function takes {self.arity} numbers")
        kind = reduce(common, [value.kind for value in arguments])
        kind = kind if kind.kind == "f" or self.integer is not None else FLOAT64
        lanes = [Lane(writer.builder, convert(writer.builder, value.value, value.kind, kind)) for value in arguments]
        if kind.kind == "f" or self.integer is None:
            result = self.formula(*lanes)
        else:
            result = self.integer(*lanes, signed=kind.signed)
        return Typed(BOOLEAN if self.boolean_result else kind, result.value)


def native(formula: Formula, arity: int = 1, integer: Formula | None = None, boolean_result: bool = False) -> Marking:
    """Give a twin its native form."""

    def register(function: Any) -> Any:
        twin = _quiet(function)
        twin.helper = Helper(formula, arity, integer, boolean_result)
        return twin

    return register


def _quiet(function: Any) -> Any:
    """A twin without NumPy's warnings: native code gives none."""

    @functools.wraps(function)
    def twin(*operands: Any) -> Any:
        with np.errstate(all="ignore"):
            return function(*operands)

    return twin


@native(exponential.exp)
def exp(x: Any) -> Any:
    """0.85 ulp (float32 0.96)."""
    return np.exp(x)


@native(exponential.expm1)
def expm1(x: Any) -> Any:
    """1.13 ulp (float32 1.27)."""
    return np.expm1(x)


@native(logarithm.log)
def log(x: Any) -> Any:
    """0.80 ulp (float32 0.85)."""
    return np.log(x)


@native(logarithm.log1p)
def log1p(x: Any) -> Any:
    """0.81 ulp (float32 0.93)."""
    return np.log1p(x)


@native(logarithm.log2)
def log2(x: Any) -> Any:
    """0.90 ulp (float32 0.98); exact on powers of two."""
    return np.log2(x)


@native(logarithm.log10)
def log10(x: Any) -> Any:
    """0.88 ulp (float32 1.28)."""
    return np.log10(x)


@native(exponential.exp2)
def exp2(x: Any) -> Any:
    """1.14 ulp (float32 1.13)."""
    return np.exp2(x)


@native(exponential.tanh)
def tanh(x: Any) -> Any:
    """1.42 ulp (float32 1.68)."""
    return np.tanh(x)


@native(trigonometric.sin)
def sin(x: Any) -> Any:
    """0.82 ulp (float32 1.54), for every finite argument."""
    return np.sin(x)


@native(trigonometric.cos)
def cos(x: Any) -> Any:
    """0.86 ulp (float32 1.54), for every finite argument."""
    return np.cos(x)


@native(trigonometric.tan)
def tan(x: Any) -> Any:
    """1.63 ulp (float32 1.97), for every finite argument."""
    return np.tan(x)


@native(trigonometric.arctan)
def arctan(x: Any) -> Any:
    """1.73 ulp (float32 1.16)."""
    return np.arctan(x)


@native(trigonometric.arcsin)
def arcsin(x: Any) -> Any:
    """1.52 ulp (float32 1.70)."""
    return np.arcsin(x)


@native(trigonometric.arccos)
def arccos(x: Any) -> Any:
    """0.77 ulp (float32 0.82)."""
    return np.arccos(x)


@native(exponential.sinh)
def sinh(x: Any) -> Any:
    """1.57 ulp (float32 1.58)."""
    return np.sinh(x)


@native(exponential.cosh)
def cosh(x: Any) -> Any:
    """1.31 ulp (float32 1.31)."""
    return np.cosh(x)


@native(mathlib_erf.erf)
def erf(x: Any) -> Any:
    """0.92 ulp (float32 1.13)."""
    return type(x)(math.erf(x))


@native(mathlib_erf.erfc)
def erfc(x: Any) -> Any:
    """1.18 ulp (float32 0.50)."""
    return type(x)(math.erfc(x))


@native(mathlib_erf.erfcx)
def erfcx(x: Any) -> Any:
    """1.42 ulp (float32 0.50)."""
    return scipy.special.erfcx(x)


@native(mathlib_erf.ndtr)
def ndtr(x: Any) -> Any:
    """0.97 ulp (float32 0.50)."""
    return scipy.special.ndtr(x)


@native(trigonometric.arctan2, arity=2)
def arctan2(y: Any, x: Any) -> Any:
    """The angle of (x, y), the ordinate first; within 2 ulp."""
    return np.arctan2(y, x)


@native(exponential.sigmoid)
def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x)) without overflow: 1.24 ulp (float32 1.17)."""
    small = np.exp(-abs(x))
    return (small if x < 0 else type(small)(1)) / (1 + small)


@native(logarithm.power, arity=2, integer=basic.power_integer)
def power(x: Any, y: Any) -> Any:
    """1.49 ulp (float32 1.72). C's pow for floats; integers wrap around and take no negative exponent."""
    return np.power(x, y)


@native(basic.sqrt)
def sqrt(x: Any) -> Any:
    """Correctly rounded."""
    return np.sqrt(x)


@native(basic.floor, integer=basic.unchanged)
def floor(x: Any) -> Any:
    """Towards -inf; integers are their own."""
    return np.floor(x)


@native(basic.ceil, integer=basic.unchanged)
def ceil(x: Any) -> Any:
    """Towards +inf; integers are their own."""
    return np.ceil(x)


@native(basic.trunc, integer=basic.unchanged)
def trunc(x: Any) -> Any:
    """Towards 0; integers are their own."""
    return np.trunc(x)


@native(basic.rint)
def rint(x: Any) -> Any:
    """To the nearest, ties to even."""
    return np.rint(x)


@native(basic.absolute, integer=basic.absolute_integer)
def absolute(x: Any) -> Any:
    """The magnitude; the least integer is its own."""
    return np.absolute(x)


@native(basic.sign, integer=basic.sign_integer)
def sign(x: Any) -> Any:
    """-1, 0 or 1, and NaN for NaN."""
    return np.sign(x)


@native(copy_sign, arity=2)
def copysign(a: Any, b: Any) -> Any:
    """The magnitude of a with the sign of b."""
    return np.copysign(a, b)


@native(basic.maximum, arity=2, integer=basic.maximum_integer)
def maximum(a: Any, b: Any) -> Any:
    """The greater; NaN if either is."""
    return np.maximum(a, b)


@native(basic.minimum, arity=2, integer=basic.minimum_integer)
def minimum(a: Any, b: Any) -> Any:
    """The lesser; NaN if either is."""
    return np.minimum(a, b)


@native(basic.divide, arity=2)
def divide(a: Any, b: Any) -> Any:
    """a/b by IEEE 754: inf and NaN, never an exception."""
    return np.divide(a, b)


@native(basic.floor_divide, arity=2, integer=basic.floor_divide_integer)
def floor_divide(a: Any, b: Any) -> Any:
    """floor(a/b); integers by zero are 0."""
    return np.floor_divide(a, b)


@native(basic.remainder, arity=2, integer=basic.remainder_integer)
def remainder(a: Any, b: Any) -> Any:
    """a - b floor(a/b), with the sign of b; integers by zero are 0."""
    return np.remainder(a, b)


@native(basic.isnan, integer=basic.never, boolean_result=True)
def isnan(x: Any) -> Any:
    """True for NaN."""
    return np.isnan(x)


@native(basic.isinf, integer=basic.never, boolean_result=True)
def isinf(x: Any) -> Any:
    """True for +inf and -inf."""
    return np.isinf(x)


@native(basic.isfinite, integer=basic.always, boolean_result=True)
def isfinite(x: Any) -> Any:
    """True but for inf and NaN."""
    return np.isfinite(x)


@native(basic.absorbing_multiply, arity=2, integer=basic.multiply_integer)
def absorbing_multiply(g: Any, p: Any) -> Any:
    """g*p, but g itself where it is 0, even if p is inf or NaN: what a zero cotangent does to any partial derivative."""
    return g * p if g != 0 else g


@native(basic.accumulate, arity=2, integer=basic.accumulate_integer)
def accumulate(total: Any, term: Any) -> Any:
    """total + term as the step of a reduction: the order of the sum is free, so that the loop vectorises."""
    return total + term


@native(basic.watch, arity=2)
def watch(seen: Any, x: Any) -> Any:
    """seen, but NaN if x is infinite or NaN."""
    return seen + 0 * x


class Special(NamedTuple):
    """A function whose operands are not all of one type; it writes itself."""

    emit: Callable[[Any, list[Any]], Typed]


def declared(emit: Callable[[Writer, list[Any]], Typed]) -> Marking:
    """Give a twin a native form that writes itself."""

    def register(function: Any) -> Any:
        function.helper = Special(emit)
        return function

    return register


def _emit_block_end(writer: Writer, arguments: list[Any]) -> Typed:
    start, stop = (Lane(writer.builder, value.value) for value in arguments)
    return Typed(INT64, basic.block_end(start, stop, BLOCK, GROUP).value)


def _emit_where(writer: Writer, arguments: list[Any]) -> Typed:
    condition, a, b = arguments
    kind = common(a.kind, b.kind)
    chosen = convert(writer.builder, condition.value, condition.kind, BOOLEAN)
    sides = [convert(writer.builder, value.value, value.kind, kind) for value in (a, b)]
    return Typed(kind, writer.builder.select(chosen, *sides))


BLOCK = 512
"""Elements that a floating-point sum adds in vector registers before it is folded into the compensated total: 8 to 32 in
each of their 16 to 64 elements, where NumPy's pairwise sum has 16. Without it a float32 sum of 10⁸ equal terms is off by
10 ulp in chunks of 4,096, by 600 in rows of 10⁶; with it by 1."""

GROUP = 64
"""Elements that a vectorised loop takes at once, at most; what is left over is added one by one, as a block of its own."""


@declared(_emit_block_end)
def block_end(start: int, stop: int) -> int:
    """Where the block of a sum ends that begins at start: after BLOCK elements, or whole groups, or less than one."""
    left = stop - start
    return start + min(BLOCK, max(left & -GROUP, min(left, GROUP - 1)))


@native(basic.rounding_error, arity=2)
def rounding_error(a: Any, b: Any) -> Any:
    """What a + b loses to rounding, exactly; 0 where the sum is not finite."""
    total = a + b
    part = total - a
    error = (a - (total - part)) + (b - part)
    return error if np.isfinite(error) else type(error)(0)


@native(basic.accumulate_product, arity=2, integer=basic.multiply_integer)
def accumulate_product(total: Any, factor: Any) -> Any:
    """total * factor as the step of a reduction."""
    return total * factor


@native(basic.accumulate_maximum, arity=2, integer=basic.maximum_integer)
def accumulate_maximum(greatest: Any, term: Any) -> Any:
    """maximum as the step of a reduction. NaN-propagating; of two zeros +0 is the greater."""
    return np.maximum(greatest, term)


@native(basic.accumulate_minimum, arity=2, integer=basic.minimum_integer)
def accumulate_minimum(least: Any, term: Any) -> Any:
    """minimum as the step of a reduction. NaN-propagating; of two zeros -0 is the lesser."""
    return np.minimum(least, term)


@declared(_emit_where)
def where(condition: Any, a: Any, b: Any) -> Any:
    """a if condition else b, as a select: both are computed already, nothing branches."""
    return a if condition else b
