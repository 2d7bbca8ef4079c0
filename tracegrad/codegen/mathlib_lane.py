"""A value of LLVM IR that reads like a number: a formula is written once for float32, float64 and any vector width.

The formulas of `mathlib` are straight-line code: no branch, no call, no table. Each is a Python function from lanes
to a lane that *emits* its instructions into the kernel being built. That has three uses: LLVM's loop vectoriser sees
nothing but arithmetic it can widen; no types are inferred inside a formula, so a kernel with ten of them compiles no
slower than one with ten additions; and every rounding step is exactly the one written.

On the last point: kernels allow products to be fused into sums, by a flag that every instruction gets *that has no
flags of its own*. Error-free transformations would thereby be broken. Products and sums emitted here carry ``arcp``
instead, a flag that only means something on a division: it changes nothing and keeps others out.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple, Union

from llvmlite import ir

Operand = Union["Lane", float, int]

_SEALED = ("arcp",)


class Format(NamedTuple):
    """The numbers that describe a binary floating-point format."""

    width: int
    mantissa: int  # explicit bits of the significand
    bias: int

    @property
    def smallest_normal(self) -> float:
        """The least positive number of full precision."""
        return 2.0 ** (1 - self.bias)

    @property
    def epsilon(self) -> float:
        """The distance from 1 to the next number."""
        return 2.0**-self.mantissa

    @property
    def shifter(self) -> float:
        """1.5 * 2**mantissa: adding it rounds to an integer and leaves that integer in the low bits of the result."""
        return 1.5 * 2.0**self.mantissa

    def encode(self, number: float) -> int:
        """The bits of a number as an unsigned integer."""
        code, raw = ("<d", "<Q") if self.width == 64 else ("<f", "<I")
        bits: int = struct.unpack(raw, struct.pack(code, number))[0]
        return bits


FLOAT32 = Format(32, 23, 127)
FLOAT64 = Format(64, 52, 1023)


class Lane:
    """One scalar SSA value together with the builder that its consumers are emitted through."""

    __slots__ = ("builder", "value")

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder = builder
        self.value = value

    @property
    def format(self) -> Format:
        """The format of a float lane, or of the floats as wide as an integer lane."""
        return FLOAT64 if isinstance(self._element, ir.DoubleType) else FLOAT32

    @property
    def _element(self) -> Any:
        kind = self.value.type
        return kind.element if isinstance(kind, ir.VectorType) else kind

    @property
    def is_float(self) -> bool:
        """False for integers and truth values."""
        return isinstance(self._element, (ir.FloatType, ir.DoubleType))

    def constant(self, number: float | int) -> Lane:
        """A literal of this lane's type."""
        kind, value = self.value.type, number if not self.is_float else float(number)
        if isinstance(kind, ir.VectorType):
            return Lane(self.builder, ir.Constant(kind, [ir.Constant(kind.element, value)] * kind.count))
        return Lane(self.builder, ir.Constant(kind, value))

    def _value(self, other: Operand) -> Any:
        return other.value if isinstance(other, Lane) else self.constant(other).value

    def _arithmetic(self, float_name: str, int_name: str, left: Any, right: Any) -> Lane:
        if self.is_float:
            return Lane(self.builder, getattr(self.builder, float_name)(left, right, flags=_SEALED))
        return Lane(self.builder, getattr(self.builder, int_name)(left, right))

    def __add__(self, other: Operand) -> Lane:
        return self._arithmetic("fadd", "add", self.value, self._value(other))

    def __sub__(self, other: Operand) -> Lane:
        return self._arithmetic("fsub", "sub", self.value, self._value(other))

    def __mul__(self, other: Operand) -> Lane:
        return self._arithmetic("fmul", "mul", self.value, self._value(other))

    def __radd__(self, other: Operand) -> Lane:
        return self._arithmetic("fadd", "add", self._value(other), self.value)

    def __rsub__(self, other: Operand) -> Lane:
        return self._arithmetic("fsub", "sub", self._value(other), self.value)

    def __rmul__(self, other: Operand) -> Lane:
        return self._arithmetic("fmul", "mul", self._value(other), self.value)

    def __truediv__(self, other: Operand) -> Lane:
        return Lane(self.builder, self.builder.fdiv(self.value, self._value(other)))

    def __rtruediv__(self, other: Operand) -> Lane:
        return Lane(self.builder, self.builder.fdiv(self._value(other), self.value))

    def __neg__(self) -> Lane:
        return Lane(self.builder, self.builder.fneg(self.value) if self.is_float else self.builder.neg(self.value))

    # On integers and on truth values (1-bit integers).
    def __and__(self, other: Operand) -> Lane:
        return Lane(self.builder, self.builder.and_(self.value, self._value(other)))

    def __or__(self, other: Operand) -> Lane:
        return Lane(self.builder, self.builder.or_(self.value, self._value(other)))

    def __xor__(self, other: Operand) -> Lane:
        return Lane(self.builder, self.builder.xor(self.value, self._value(other)))

    def __invert__(self) -> Lane:
        return Lane(self.builder, self.builder.not_(self.value))

    def __lshift__(self, count: int) -> Lane:
        return Lane(self.builder, self.builder.shl(self.value, self._value(count)))

    def logical_shift_right(self, count: int) -> Lane:
        """Shift in zeros."""
        return Lane(self.builder, self.builder.lshr(self.value, self._value(count)))

    def arithmetic_shift_right(self, count: int) -> Lane:
        """Shift in the sign; for 32 bits only, as AVX2 has no such instruction for 64."""
        return Lane(self.builder, self.builder.ashr(self.value, self._value(count)))

    # Comparisons are ordered: false when an operand is NaN.
    def compare(self, relation: str, other: Operand, signed: bool = True) -> Lane:
        """One of == != < <= > >=, ordered: false when an operand is NaN."""
        right = self._value(other)
        if self.is_float:
            return Lane(self.builder, self.builder.fcmp_ordered(relation, self.value, right))
        emit = self.builder.icmp_signed if signed else self.builder.icmp_unsigned
        return Lane(self.builder, emit(relation, self.value, right))

    def __lt__(self, other: Operand) -> Lane:
        return self.compare("<", other)

    def __le__(self, other: Operand) -> Lane:
        return self.compare("<=", other)

    def __gt__(self, other: Operand) -> Lane:
        return self.compare(">", other)

    def __ge__(self, other: Operand) -> Lane:
        return self.compare(">=", other)

    def equals(self, other: Operand) -> Lane:
        """== by value; the operator would have to return a bool."""
        return self.compare("==", other)

    def is_nan(self) -> Lane:
        """x is unordered with itself."""
        return Lane(self.builder, self.builder.fcmp_unordered("uno", self.value, self.value))

    def call(self, name: str, *others: Operand) -> Lane:
        """An LLVM intrinsic on operands of this lane's type, such as ``llvm.fma``."""
        values = [self.value, *(self._value(other) for other in others)]
        kind = self.value.type
        suffix = f"f{self.format.width}" if self.is_float else f"i{self._element.width}"
        if isinstance(kind, ir.VectorType):
            suffix = f"v{kind.count}{suffix}"
        module = self.builder.module
        full_name = f"{name}.{suffix}"
        function = module.globals.get(full_name)
        if function is None:
            function = ir.Function(module, ir.FunctionType(kind, [kind] * len(values)), full_name)
        return Lane(self.builder, self.builder.call(function, values))

    def __abs__(self) -> Lane:
        return self.call("llvm.fabs")

    def lookup(self, name: str, table: Sequence[float]) -> Lane:
        """table[self] as float64, from a constant of the module: one load for each element."""
        builder = self.builder
        array = builder.module.globals.get(name)
        if array is None:
            kind = ir.ArrayType(ir.DoubleType(), len(table))
            array = ir.GlobalVariable(builder.module, kind, name)
            array.linkage = "internal"
            array.global_constant = True
            array.initializer = ir.Constant(kind, list(table))
        zero = ir.Constant(ir.IntType(64), 0)
        kind = self.value.type
        if not isinstance(kind, ir.VectorType):
            return Lane(builder, builder.load(builder.gep(array, [zero, self.value], inbounds=True)))
        result: Any = ir.Constant(ir.VectorType(ir.DoubleType(), kind.count), ir.Undefined)
        for lane in range(kind.count):
            place = ir.Constant(ir.IntType(32), lane)
            address = builder.gep(array, [zero, builder.extract_element(self.value, place)], inbounds=True)
            result = builder.insert_element(result, builder.load(address), place)
        return Lane(builder, result)

    def bits(self) -> Lane:
        """The same bits as an integer."""
        return Lane(self.builder, self.builder.bitcast(self.value, self._of(ir.IntType(self.format.width))))

    def _of(self, element: Any) -> Any:
        """The type of as many elements of another type."""
        kind = self.value.type
        return ir.VectorType(element, kind.count) if isinstance(kind, ir.VectorType) else element

    def as_float(self) -> Lane:
        """The same bits as a float of equal width."""
        kind = ir.DoubleType() if self._element.width == 64 else ir.FloatType()
        return Lane(self.builder, self.builder.bitcast(self.value, self._of(kind)))

    def widened(self) -> Lane:
        """float32 or int32 to float64, exactly."""
        convert = self.builder.fpext if self.is_float else self.builder.sitofp
        return Lane(self.builder, convert(self.value, self._of(ir.DoubleType())))

    def truncated(self, width: int) -> Lane:
        """The low bits of an integer."""
        return Lane(self.builder, self.builder.trunc(self.value, self._of(ir.IntType(width))))

    def narrowed(self) -> Lane:
        """float64 to float32, rounded."""
        return Lane(self.builder, self.builder.fptrunc(self.value, self._of(ir.FloatType())))


def fma(a: Lane, b: Operand, c: Operand) -> Lane:
    """a*b + c rounded once: for steps whose exactness matters. A library call where the CPU has no such instruction."""
    return a.call("llvm.fma", b, c)


def multiply_add(a: Lane, b: Operand, c: Operand) -> Lane:
    """a*b + c rounded once where that is fast, twice elsewhere: for polynomials."""
    return a.call("llvm.fmuladd", b, c)


def select(condition: Lane, a: Lane, b: Operand) -> Lane:
    """a where the condition holds, else b; both are already computed."""
    return Lane(a.builder, a.builder.select(condition.value, a.value, a._value(b)))


def polynomial(x: Lane, coefficients: Sequence[float]) -> Lane:
    """Coefficients from the constant term up.

    Estrin's scheme on pairs, Horner over pairs (x*x as its variable): half the latency of Horner's, at nearly its
    error.
    """
    terms: list[Operand] = list(coefficients)
    if len(terms) <= 3:
        result = x.constant(coefficients[-1])
        for coefficient in reversed(coefficients[:-1]):
            result = multiply_add(result, x, coefficient)
        return result
    pairs = [
        multiply_add(x, coefficients[i + 1], coefficients[i]) if i + 1 < len(terms) else x.constant(coefficients[i])
        for i in range(0, len(terms), 2)
    ]
    square = x * x
    result = pairs[-1]
    for pair in reversed(pairs[:-1]):
        result = multiply_add(result, square, pair)
    return result


def horner(x: Lane, coefficients: Sequence[float]) -> Lane:
    """The same polynomial by Horner's scheme: no multiplication more than needed, where others hide its latency."""
    result = x.constant(coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        result = multiply_add(result, x, coefficient)
    return result


def balanced(x: Lane, coefficients: Sequence[float]) -> Lane:
    """The same polynomial by Estrin's scheme to the end: where the latency counts, as in long formulas."""
    terms = [x.constant(coefficient) for coefficient in coefficients]
    while len(terms) > 1:
        last = terms[len(terms) & -2 :]
        terms = [multiply_add(x, high, low) for low, high in zip(terms[::2], terms[1::2], strict=False)] + last
        x = x * x
    return terms[0]


def two_sum(a: Lane, b: Operand) -> tuple[Lane, Lane]:
    """(s, e) with s = fl(a+b) and s + e = a + b exactly (Knuth)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def fast_two_sum(a: Lane, b: Operand) -> tuple[Lane, Lane]:
    """two_sum where |a| >= |b| or a == 0 (Dekker)."""
    total = a + b
    return total, b - (total - a)


def two_product(a: Lane, b: Operand) -> tuple[Lane, Lane]:
    """(p, e) with p = fl(a*b) and p + e = a*b exactly."""
    product = a * b
    return product, fma(a, b, -product)


def copy_sign(magnitude: Lane, sign: Operand) -> Lane:
    """The magnitude of one float with the sign of another."""
    return magnitude.call("llvm.copysign", sign)


def at_precision(number: float, mantissa_bits: int) -> float:
    """A number cut to so many significant bits, so that its product with a small integer is exact."""
    mantissa, exponent = math.frexp(number)
    return math.ldexp(math.floor(mantissa * 2**mantissa_bits) / 2**mantissa_bits, exponent)
