"""The native meaning of the words of the kernel ABI, whose Python meaning is in :mod:`tracegrad.runtime.twins`.

A program is compiled without running its file: names it imports from ``tracegrad.runtime.abi`` are the words here, those
from the libraries of kernels are found there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from llvmlite import ir

from tracegrad.codegen import mathlib, mathlib_special, microkernels, microkernels_conv, microkernels_vector
from tracegrad.codegen.kinds import (
    BOOLEAN,
    FLOAT32,
    FLOAT64,
    INT64,
    SCALARS,
    TABLE,
    WORD,
    Buffer,
    Plain,
    Scalar,
    Table,
    convert,
)
from tracegrad.codegen.writer import READS, Address, KernelName, TranslationError, Typed, Writer
from tracegrad.runtime import lapack, pocketfft
from tracegrad.runtime.externals import parsed
from tracegrad.runtime.launching import launch_chunks

__all__ = ["LIBRARIES", "resolve"]

ABI: Final = "tracegrad.runtime.abi"
LIBRARIES: Final = {
    library.__name__: library
    for library in (math, mathlib, mathlib_special, microkernels, microkernels_conv, microkernels_vector)
}


class Word(NamedTuple):
    """A word of the vocabulary that emits its calls."""

    emit: Callable[[Writer, list[Any]], Typed | None]


def resolve(module: str, name: str) -> Any:
    """What a name means that a program imports.

    Parameters
    ----------
    module, name: as in the import statement.

    Raises
    ------
    TranslationError
        For a name that programs do not have.
    """
    if module == ABI:
        if name in SCALARS:
            return SCALARS[name]
        found: Any = WORDS.get(name, "a decorator" if name in ("kernel", "entry", "confirm") else None)
    elif module == lapack.__name__:
        found = _external(lapack.SYMBOLS[name]) if name in lapack.SYMBOLS else None
    elif module == pocketfft.__name__:
        found = _transform(pocketfft.SYMBOLS[name]) if name in pocketfft.SYMBOLS else None
    else:
        found = getattr(LIBRARIES.get(module), name, None)
        found = getattr(found, "helper", found)
    if found is None:
        raise TranslationError(f"{module} has no {name}")
    return found


# ---------------------------------------------------------------- reading a table


def _slot(value: Any) -> int:
    if not (isinstance(value, Typed) and isinstance(value.value, ir.Constant)):
        raise TranslationError("the word of a table is written as a number")
    return int(value.value.constant)


def _table_and_element(arguments: list[Any]) -> tuple[Typed, Any, Scalar]:
    table, slot, element = arguments
    if not isinstance(table.kind, Table) or not isinstance(element, Scalar):
        raise TranslationError("it takes the table, a word's number and a type")
    return table, slot, element


def _buffer(loadable: bool, storable: bool) -> Callable[[Writer, list[Any]], Typed]:
    def emit(writer: Writer, arguments: list[Any]) -> Typed:
        table, slot, element = _table_and_element(arguments)
        kind = Buffer(element, f"slot {_slot(slot)}" if storable else READS, loadable, storable)
        if storable:
            writer.declare_scope(kind.scope)
        word = writer.word(table, _slot(slot))
        return Typed(kind, writer.builder.inttoptr(word, element.memory.as_pointer()))

    return emit


def _position(writer: Writer, value: Typed) -> Any:
    if not isinstance(value.kind, Scalar) or value.kind.kind not in "iu":
        raise TranslationError("a position is an integer")
    return convert(writer.builder, value.value, value.kind, INT64)


def _pointer(writer: Writer, arguments: list[Any]) -> Typed:
    table, slot, element = _table_and_element(arguments)
    word = writer.word(table, _position(writer, slot))
    return Typed(Plain(element), writer.builder.inttoptr(word, element.memory.as_pointer()))


def _scalar(writer: Writer, arguments: list[Any]) -> Typed:
    table, slot, element = _table_and_element(arguments)
    return writer.from_word(writer.word(table, _position(writer, slot)), element)


def _buffer_offset(writer: Writer, arguments: list[Any]) -> Typed:
    pointer, elements = arguments
    if not isinstance(pointer.kind, (Buffer, Plain, Table)):
        raise TranslationError("it takes a buffer, a pointer or the table")
    return Typed(pointer.kind, writer.builder.gep(pointer.value, [_position(writer, elements)], inbounds=True))


def _table_at(writer: Writer, arguments: list[Any]) -> Typed:
    address, size = arguments
    _slot(size)
    return Typed(TABLE, writer.builder.inttoptr(_position(writer, address), WORD.as_pointer()))


# ---------------------------------------------------------------- external functions

_C_TYPES: Final = {
    "void": ir.VoidType(),
    "char": ir.IntType(8),
    "int": ir.IntType(32),
    "float": ir.FloatType(),
    "double": ir.DoubleType(),
}


def _external(symbol: str) -> Word:
    """A call of an external function all of whose parameters are pointers."""
    _, name, result, parameters = parsed(symbol)
    kinds = [_C_TYPES[kind.rstrip("*")].as_pointer() for kind in parameters]

    def emit(writer: Writer, arguments: list[Any]) -> None:
        if len(arguments) != len(kinds) or not all(isinstance(each.kind, (Buffer, Plain)) for each in arguments):
            raise TranslationError(f"{name} takes {len(kinds)} pointers")
        callee = writer.module.globals.get(symbol)
        if callee is None:
            callee = ir.Function(writer.module, ir.FunctionType(_C_TYPES[result], kinds), symbol)
            callee.attributes.add("nounwind")
        given = [writer.builder.bitcast(each.value, kind) for each, kind in zip(arguments, kinds, strict=True)]
        writer.builder.call(callee, given)

    return Word(emit)


def _transform(symbol: str) -> Word:
    """A call of the loop of a ufunc ``(n),()->(m)``.

    Its arguments are the addresses of both arrays, how many lines there are, the bytes between lines in either, the sizes of
    a line in either, the bytes between elements in either, and what the results are divided by.
    """
    real = FLOAT64 if symbol.endswith("d") else FLOAT32

    def emit(writer: Writer, arguments: list[Any]) -> None:
        x, out, *numbers = arguments
        if len(numbers) != 8 or not all(isinstance(each.kind, (Buffer, Plain)) for each in (x, out)):
            raise TranslationError("a transform takes two pointers and eight integers")
        b = writer.builder
        many, x_line, out_line, n, m, x_step, out_step, by = (_position(writer, number) for number in numbers)
        factor = writer.reserve(real.value)
        b.store(b.fdiv(ir.Constant(real.value, 1.0), b.sitofp(by, real.value)), factor)
        nothing = ir.Constant(WORD, 0)
        tables = []
        for words in (
            [b.ptrtoint(place, WORD) for place in (x.value, factor, out.value)],
            [many, n, m],
            [x_line, nothing, out_line, x_step, out_step],
        ):
            tables.append(writer.reserve(WORD, len(words)))
            for k, word in enumerate(words):
                b.store(word, b.gep(tables[-1], [ir.Constant(WORD, k)]))
        module, byte = writer.module, ir.IntType(8)
        data = module.globals.get(f"{symbol}.data") or ir.GlobalVariable(module, byte, f"{symbol}.data")
        loop = module.globals.get(symbol)
        if loop is None:
            kinds = [*(WORD.as_pointer() for _ in tables), byte.as_pointer()]
            loop = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), symbol)
            loop.attributes.add("nounwind")
        b.call(loop, [*tables, data])

    return Word(emit)


# ---------------------------------------------------------------- positions

# The // and % of Python branch on the signs and on 0. In a loop nest LLVM makes one copy of the nest for each outcome of such
# a branch on a size: three levels of them took 9 s to compile. These are the same numbers without a branch.


def _quotient(writer: Writer, arguments: list[Any]) -> Typed:
    b, (index, extent) = writer.builder, (_position(writer, value) for value in arguments)
    below = b.ashr(b.srem(index, extent), ir.Constant(WORD, 63))
    return Typed(INT64, b.add(b.sdiv(index, extent), below))


def _leftover(writer: Writer, arguments: list[Any]) -> Typed:
    b, (index, extent) = writer.builder, (_position(writer, value) for value in arguments)
    rest = b.srem(index, extent)
    return Typed(INT64, b.add(rest, b.and_(extent, b.ashr(rest, ir.Constant(WORD, 63)))))


# ---------------------------------------------------------------- masks


def _all_bits(writer: Writer, arguments: list[Any]) -> Typed:
    """No instruction, but LLVM does not see where the mask comes from: it would make conditions of it again."""
    (flag,) = arguments
    mask = writer.builder.sext(convert(writer.builder, flag.value, flag.kind, BOOLEAN), WORD)
    return Typed(INT64, writer.builder.asm(ir.FunctionType(WORD, [WORD]), "", "=r,0", [mask], False))


def _kept(writer: Writer, arguments: list[Any]) -> Typed:
    value, mask = arguments
    b, bits = writer.builder, ir.IntType(value.kind.bits)
    narrow = mask.value if value.kind.bits == 64 else b.trunc(mask.value, bits)
    return Typed(value.kind, b.bitcast(b.and_(b.bitcast(value.value, bits), narrow), value.kind.value))


# ---------------------------------------------------------------- the entry's table


def _stack_table(writer: Writer, arguments: list[Any]) -> Typed:
    plan, size = arguments
    if not isinstance(plan.kind, Address):
        raise TranslationError("it takes the plan, and how many words the table has")
    count = _slot(size)
    table = writer.reserve(WORD, count)
    kind = ir.FunctionType(ir.VoidType(), [WORD.as_pointer(), WORD.as_pointer(), WORD, ir.IntType(1)])
    name = "llvm.memcpy.p0.p0.i64"
    copy = writer.module.globals.get(name) or ir.Function(writer.module, kind, name)
    source = writer.builder.inttoptr(plan.value, WORD.as_pointer())
    writer.builder.call(copy, [table, source, ir.Constant(WORD, 8 * count), ir.Constant(ir.IntType(1), 0)])
    return Typed(TABLE, table)


def _set_word(writer: Writer, arguments: list[Any], value: Any) -> None:
    table, slot, _ = arguments
    if not isinstance(table.kind, Table):
        raise TranslationError("it takes the table, a word's number and an argument of the entry")
    writer.builder.store(value, writer.builder.gep(table.value, [_position(writer, slot)], inbounds=True))


def _address(value: Any) -> Any:
    if not isinstance(value, Typed) or not isinstance(value.kind, Address):
        raise TranslationError("this is not an array")
    return value.value


def _place(writer: Writer, arguments: list[Any]) -> None:
    _set_word(writer, arguments, _address(arguments[2]))


def _shift(writer: Writer, arguments: list[Any]) -> None:
    table, slot, arena = arguments
    _set_word(writer, arguments, writer.builder.add(writer.word(table, _position(writer, slot)), _address(arena)))


def _place_scalar(writer: Writer, arguments: list[Any]) -> None:
    value = arguments[2]
    if not isinstance(value, Typed) or not isinstance(value.kind, Scalar):
        raise TranslationError("this is not a number")
    bits = writer.builder.bitcast(value.value, ir.IntType(value.kind.bits))
    _set_word(writer, arguments, bits if value.kind.bits == 64 else writer.builder.zext(bits, WORD))


def _launch(writer: Writer, arguments: list[Any]) -> None:
    name, table, offset, *chunks = arguments
    if not isinstance(name, KernelName) or not isinstance(table.kind, Table):
        raise TranslationError("it takes a kernel, the table, where the kernel's words start, and a number of chunks")
    words = writer.builder.gep(table.value, [_position(writer, offset)], inbounds=True)
    count = _position(writer, chunks[0]) if chunks else None
    launch_chunks(writer.builder, writer.translation.kernel(name.name), words, count)


WORDS: Final = {
    "read": Word(_buffer(loadable=True, storable=False)),
    "write": Word(_buffer(loadable=False, storable=True)),
    "update": Word(_buffer(loadable=True, storable=True)),
    "pointer": Word(_pointer),
    "scalar": Word(_scalar),
    "buffer_offset": Word(_buffer_offset),
    "table_at": Word(_table_at),
    "quotient": Word(_quotient),
    "leftover": Word(_leftover),
    "all_bits": Word(_all_bits),
    "kept": Word(_kept),
    "stack_table": Word(_stack_table),
    "place": Word(_place),
    "place_scalar": Word(_place_scalar),
    "shift": Word(_shift),
    "launch": Word(_launch),
}
