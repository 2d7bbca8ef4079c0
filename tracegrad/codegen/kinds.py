"""The types of the language that kernels are written in, as LLVM has them.

There are scalars, buffers (typed raw pointers with declared accesses), plain C pointers, and tables of 64-bit words. Scalars
promote as Numba's do, in whose language kernels are valid too: integers become 64 bits wide, a signed one beside uint64
becomes float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llvmlite import ir

__all__ = ["BOOLEAN", "BYTE", "FLOAT32", "FLOAT64", "INT64", "SCALARS", "TABLE", "UINT64", "WORD", "Buffer", "Plain", "Scalar"]

WORD = ir.IntType(64)
BYTE = ir.IntType(8)
BIT = ir.IntType(1)


@dataclass(frozen=True, eq=False, slots=True)
class Scalar:
    """A number's type: its name, its kind as in NumPy (one of f, i, u, b), its bits, its types in registers and in memory."""

    name: str
    kind: str
    bits: int
    value: Any
    memory: Any

    @property
    def signed(self) -> bool:
        """Whether it is a signed integer."""
        return self.kind == "i"

    @property
    def itemsize(self) -> int:
        """Bytes of an element in memory."""
        return max(self.bits, 8) // 8


def _scalar(name: str, kind: str, bits: int) -> Scalar:
    register = {"f": ir.DoubleType() if bits == 64 else ir.FloatType()}.get(kind, ir.IntType(bits))
    return Scalar(name, kind, bits, register, BYTE if kind == "b" else register)


SCALARS = {
    scalar.name: scalar
    for scalar in (
        *(_scalar(f"float{bits}", "f", bits) for bits in (32, 64)),
        *(_scalar(f"int{bits}", "i", bits) for bits in (8, 16, 32, 64)),
        *(_scalar(f"uint{bits}", "u", bits) for bits in (8, 16, 32, 64)),
        _scalar("boolean", "b", 1),
    )
}
FLOAT32, FLOAT64, INT64, UINT64 = (SCALARS[name] for name in ("float32", "float64", "int64", "uint64"))
BOOLEAN = SCALARS["boolean"]


@dataclass(frozen=True, slots=True)
class Buffer:
    """A typed raw pointer with declared accesses.

    Parameters
    ----------
    element: type of an element.
    scope: name of its alias scope: one for all buffers that are only loaded from, one for each other.
    loadable, storable: what the kernel may do with it.
    """

    element: Scalar
    scope: str
    loadable: bool
    storable: bool


@dataclass(frozen=True, slots=True)
class Plain:
    """A C pointer, about which the compiler assumes nothing."""

    element: Scalar


@dataclass(frozen=True, slots=True)
class Table:
    """A pointer to 64-bit words."""


TABLE = Table()


def common(a: Scalar, b: Scalar) -> Scalar:
    """The type that operands of both types have together, as Numba unifies them.

    Examples
    --------
    >>> common(SCALARS["float32"], SCALARS["int8"]).name, common(INT64, UINT64).name, common(BOOLEAN, INT64).name
    ('float32', 'float64', 'int64')
    """
    if a is b:
        return a
    if "f" in (a.kind, b.kind):
        wide = [s for s in (a, b) if s.bits > (32 if s.kind == "f" else 16)]
        return FLOAT64 if wide else FLOAT32
    if a.kind == "b" or b.kind == "b":
        return b if a.kind == "b" else a
    if a.kind == b.kind:
        return a if a.bits >= b.bits else b
    signed, unsigned = (a, b) if a.kind == "i" else (b, a)
    if signed.bits > unsigned.bits:
        return signed
    return FLOAT64 if unsigned.bits == 64 else SCALARS[f"int{2 * unsigned.bits}"]


def arithmetic(a: Scalar, b: Scalar) -> Scalar:
    """The type of a sum, difference or product: that of its operands, integers with 64 bits.

    Examples
    --------
    >>> arithmetic(SCALARS["int8"], SCALARS["int8"]).name, arithmetic(BOOLEAN, BOOLEAN).name
    ('int64', 'int64')
    """
    kind = common(a, b)
    if kind.kind == "f":
        return kind
    return UINT64 if kind.kind == "u" else INT64


def convert(builder: Any, value: Any, source: Scalar, target: Scalar) -> Any:
    """A number as another type, as NumPy's ``astype`` does it; anything but 0 is true.

    Parameters
    ----------
    builder: the IR builder.
    value: the IR value, of the type ``source``.
    """
    if source is target:
        return value
    if target.kind == "b":
        zero = ir.Constant(source.value, 0)
        return builder.fcmp_unordered("!=", value, zero) if source.kind == "f" else builder.icmp_signed("!=", value, zero)
    if source.kind == "f" and target.kind == "f":
        return builder.fpext(value, target.value) if target.bits > source.bits else builder.fptrunc(value, target.value)
    if source.kind == "f":
        return builder.fptosi(value, target.value) if target.signed else builder.fptoui(value, target.value)
    if target.kind == "f":
        return builder.sitofp(value, target.value) if source.signed else builder.uitofp(value, target.value)
    if target.bits == source.bits:
        return value
    if target.bits < source.bits:
        return builder.trunc(value, target.value)
    return builder.sext(value, target.value) if source.signed else builder.zext(value, target.value)
