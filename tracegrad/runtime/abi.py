"""The names that generated program files import, with their native meaning.

A program file holds kernels, each a serial function over a range of chunks, and one entry that links them::

    @kernel
    def k0(first, last, table):
        x = read(table, 2, float64)      # word 0 and 1 of its table: number of chunks, whether they run over threads
        out = write(table, 3, float64)
        ...

    @entry("float64[::1]", "float64[::1]", "int64[::1]")
    def run(x, out, plan):
        table = stack_table(plan, 8)
        place(table, 2, x)
        place(table, 3, out)
        launch(k0, table, 0)

Under ``NUMBA_DISABLE_JIT=1`` the same file runs as Python, on the functions of :mod:`tracegrad.runtime.twins`.
"""

from __future__ import annotations

import functools
import operator
import os
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit
from numba.core import cgutils
from numba.core import types as numba_types
from numba.core.imputils import lower_builtin
from numba.core.types import (
    boolean,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    uint8,
    uint16,
    uint32,
    uint64,
)
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import models, register_model

from tracegrad.runtime import native
from tracegrad.runtime.native import TABLE, WORD
from tracegrad.runtime.twins import (
    buffer_offset,
    launch,
    place,
    place_scalar,
    pointer,
    quotient,
    read,
    remainder,
    scalar,
    shift,
    stack_table,
    update,
    write,
)

__all__ = [
    "ABI_VERSION",
    "boolean",
    "buffer_offset",
    "entry",
    "entry_types",
    "float32",
    "float64",
    "int8",
    "int16",
    "int32",
    "int64",
    "kernel",
    "launch",
    "place",
    "place_scalar",
    "pointer",
    "quotient",
    "read",
    "remainder",
    "scalar",
    "shift",
    "stack_table",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "update",
    "write",
]

# Numba's stubs leave out names and options.
types: Any = numba_types
_njit: Any = njit

ABI_VERSION = 1
"""Part of every content hash: raise it when a name changes its meaning without its source changing."""

_ELEMENTS: dict[str, Any] = {
    str(dtype): dtype
    for dtype in (float32, float64, int8, int16, int32, int64, uint8, uint16, uint32, uint64)
} | {"boolean": boolean}  # fmt: skip
_ARGUMENT = re.compile(r"(?P<dtype>\w+?)(?P<dims>\[[:1, ]*\])?")


# ---------------------------------------------------------------- decorators


def kernel(function: Callable[..., None]) -> Any:
    """Make a kernel of a function ``(first, last, table)``.

    It is compiled when an entry that launches it is, and lives in the entry's object: it needs no wrappers and no
    cache file. Of fast-math only ``contract`` is on, as everything else would change results.
    """
    return _njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, nogil=True, error_model="numpy", fastmath={"contract"})(
        function
    )


def entry(*arguments: str) -> Callable[[Callable[..., None]], Any]:
    """Make the entry of a program of a function.

    Parameters
    ----------
    arguments
        The type of each argument, as in :func:`entry_types`.

    Returns
    -------
    decorator
        It releases the GIL in calls, and keeps the compiled program beside the file, if there is a file.
    """
    entry_types(arguments)

    def decorate(function: Callable[..., None]) -> Any:
        in_file = os.path.exists(function.__code__.co_filename)
        made = _njit(nogil=True, error_model="numpy", cache=in_file)(function)
        if made is function:  # Numba is switched off

            @functools.wraps(function)
            def made(*values: Any) -> None:
                function(*map(_as_declared, values, arguments))

        made.arguments = arguments
        return made

    return decorate


def _as_declared(value: Any, declared: str) -> Any:
    """Return an argument as a compiled entry takes it: Python numbers have the declared type, arrays are refused as there."""
    if "[" in declared:
        dtype = declared.partition("[")[0]
        wanted = np.dtype("bool" if dtype == "boolean" else dtype)
        if not isinstance(value, np.ndarray) or value.dtype != wanted or not value.flags.c_contiguous:
            raise TypeError(f"the entry takes a contiguous {declared}")
        return value
    return np.dtype("bool" if declared == "boolean" else declared).type(value)


def entry_types(arguments: tuple[str, ...]) -> tuple[Any, ...]:
    """Return the Numba types of entry arguments.

    Arrays are taken as read-only, a type that arrays of either kind convert to: the entry itself only takes their
    addresses.

    Parameters
    ----------
    arguments
        ``"float64"`` for a scalar, ``"float64[:, ::1]"`` for a C-contiguous array of two dimensions, ``[::1, :]`` for
        Fortran order, ``[:, :]`` for any layout, ``[]`` for no dimension.

    Raises
    ------
    ValueError
        For a text that is none of these.
    """
    return tuple(_entry_type(text) for text in arguments)


def _entry_type(text: str) -> Any:
    match = _ARGUMENT.fullmatch(text)
    if match is None or match["dtype"] not in _ELEMENTS:
        raise ValueError(f"{text!r} is not the type of an entry argument")
    dtype = _ELEMENTS[match["dtype"]]
    if match["dims"] is None:
        return dtype
    dims = [dim.strip() for dim in match["dims"][1:-1].split(",")]
    if dims == [""]:
        return types.Array(dtype, 0, "C", readonly=True)
    if any(dim not in (":", "::1") for dim in dims) or dims[1:-1].count("::1") or dims.count("::1") > 1:
        raise ValueError(f"{text!r} is not the type of an entry argument")
    layout = "C" if dims[-1] == "::1" else "F" if dims[0] == "::1" else "A"
    return types.Array(dtype, len(dims), layout, readonly=True)


# ---------------------------------------------------------------- buffers


class Buffer(types.Type):
    """A typed raw pointer with declared accesses.

    Parameters
    ----------
    dtype
        Type of an element.
    scope
        Name of its alias scope: one for all buffers that are only loaded from, one for each other.
    loadable, storable
        What the kernel may do with it.
    """

    def __init__(self, dtype: Any, scope: str, loadable: bool, storable: bool) -> None:
        self.dtype = dtype
        self.scope = scope
        self.loadable = loadable
        self.storable = storable
        access = "update" if loadable and storable else "read" if loadable else "write"
        super().__init__(name=f"Buffer({dtype}, {access}, {scope})")


@register_model(Buffer)
class BufferModel(models.PrimitiveModel):
    """A buffer is a bare pointer in registers."""

    def __init__(self, manager: Any, kind: Any) -> None:
        element = manager.lookup(kind.dtype).get_data_type()
        super().__init__(manager, kind, element.as_pointer())


def _literal_word(slot: Any) -> int | None:
    return slot.literal_value if isinstance(slot, types.IntegerLiteral) else None


def _element_type(dtype: Any) -> Any:
    return dtype.instance_type if isinstance(dtype, types.NumberClass) else None


def _register_buffer(function: Any, loadable: bool, storable: bool) -> None:
    """Give one of read, write and update its native meaning."""

    @infer_global(function)
    class BufferTemplate(AbstractTemplate):
        prefer_literal = True

        def generic(self, args: tuple[Any, ...], kws: dict[str, Any]) -> Any:
            if kws or len(args) != 3 or args[0] != TABLE:
                return None
            slot, dtype = _literal_word(args[1]), _element_type(args[2])
            if slot is None or dtype is None:
                return None
            scope = f"slot {slot}" if storable else native.READS
            return signature(Buffer(dtype, scope, loadable, storable), *args)

    @lower_builtin(function, TABLE, types.Any, types.Any)
    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = sig.return_type
        if kind.storable:
            native.declare_scope(builder, kind.scope)
        slot = ir.Constant(WORD, _literal_word(sig.args[1]))
        word = builder.load(builder.gep(args[0], [slot], inbounds=True))
        return builder.inttoptr(word, context.get_value_type(kind))


_register_buffer(read, loadable=True, storable=False)
_register_buffer(write, loadable=False, storable=True)
_register_buffer(update, loadable=True, storable=True)


def _index_type(index: Any) -> Any:
    """Return the word an index is widened to, by its own sign, so that none is taken for a negative one."""
    if not isinstance(index, types.Integer):
        return None
    return types.intp if index.signed else types.uintp


@infer_global(operator.getitem)
class BufferLoad(AbstractTemplate):
    """``buffer[i]`` for a buffer that may be loaded from."""

    def generic(self, args: tuple[Any, ...], kws: dict[str, Any]) -> Any:
        buffer, index = args
        if isinstance(buffer, Buffer) and buffer.loadable and _index_type(index) is not None:
            return signature(buffer.dtype, buffer, _index_type(index))
        return None


@infer_global(operator.setitem)
class BufferStore(AbstractTemplate):
    """``buffer[i] = value`` for a buffer that may be stored to; the value is cast to its dtype."""

    def generic(self, args: tuple[Any, ...], kws: dict[str, Any]) -> Any:
        buffer, index, value = args
        if not (isinstance(buffer, Buffer) and buffer.storable) or _index_type(index) is None:
            return None
        if not isinstance(value, types.Number | types.Boolean):
            return None
        return signature(types.none, buffer, _index_type(index), types.unliteral(value))


@lower_builtin(operator.getitem, Buffer, types.Integer)
def lower_load(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """Emit a load: no bounds, no wraparound of negative indices, alias scope attached."""
    buffer, index = args
    loaded = builder.load(builder.gep(buffer, [index], inbounds=True))
    native.access(builder, loaded, sig.args[0].scope)
    return context.data_model_manager[sig.return_type].from_data(builder, loaded)


@lower_builtin(operator.setitem, Buffer, types.Integer, types.Any)
def lower_store(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """Emit a store of the value cast to the buffer's dtype, alias scope attached."""
    kind = sig.args[0]
    buffer, index, value = args
    cast = context.cast(builder, value, sig.args[2], kind.dtype)
    data = context.data_model_manager[kind.dtype].as_data(builder, cast)
    stored = builder.store(data, builder.gep(buffer, [index], inbounds=True))
    native.access(builder, stored, kind.scope)
    return context.get_dummy_value()


def _width(dtype: Any) -> int:
    """Return how many bits a scalar has in a register."""
    return 1 if isinstance(dtype, types.Boolean) else int(dtype.bitwidth)


@infer_global(buffer_offset)
class BufferOffsetTemplate(AbstractTemplate):
    """``buffer_offset(buffer, elements)`` is a buffer of the same kind."""

    def generic(self, args: tuple[Any, ...], kws: dict[str, Any]) -> Any:
        if kws or len(args) != 2 or not isinstance(args[0], Buffer | types.CPointer) or _index_type(args[1]) is None:
            return None
        return signature(args[0], args[0], _index_type(args[1]))


@lower_builtin(buffer_offset, types.Any, types.Integer)
def lower_buffer_offset(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """Emit the moved pointer."""
    return builder.gep(args[0], [args[1]], inbounds=True)


@infer_global(pointer)
class PointerTemplate(AbstractTemplate):
    """``pointer(table, slot, dtype)`` is a C pointer; the slot may be computed."""

    def generic(self, args: tuple[Any, ...], kws: dict[str, Any]) -> Any:
        if kws or len(args) != 3 or args[0] != TABLE or _index_type(args[1]) is None or not _element_type(args[2]):
            return None
        return signature(types.CPointer(_element_type(args[2])), TABLE, types.intp, args[2])


@infer_global(scalar)
class ScalarTemplate(AbstractTemplate):
    """``scalar(table, slot, dtype)`` is a scalar; the slot may be computed."""

    def generic(self, args: tuple[Any, ...], kws: dict[str, Any]) -> Any:
        if kws or len(args) != 3 or args[0] != TABLE or _index_type(args[1]) is None or not _element_type(args[2]):
            return None
        return signature(_element_type(args[2]), TABLE, types.intp, args[2])


@lower_builtin(pointer, TABLE, types.Integer, types.Any)
def lower_pointer(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """Emit the load of an address."""
    word = builder.load(builder.gep(args[0], [args[1]], inbounds=True))
    return builder.inttoptr(word, context.get_value_type(sig.return_type))


@lower_builtin(scalar, TABLE, types.Integer, types.Any)
def lower_scalar(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """Emit the load of a word and take its low bits for the scalar's."""
    word = builder.load(builder.gep(args[0], [args[1]], inbounds=True))
    dtype = sig.return_type
    width = _width(dtype)
    bits = word if width == 64 else builder.trunc(word, ir.IntType(width))
    return builder.bitcast(bits, context.get_value_type(dtype))


# ---------------------------------------------------------------- positions

# Numba's // and % branch on the signs and on 0. In a loop nest LLVM makes one copy of the nest for each outcome of such
# a branch on a size: three levels of them took 9 s to compile. These are the same numbers without a branch.


def _register_division(function: Any, emit: Callable[[Any, Any, Any], Any]) -> None:
    """Give quotient or remainder its native meaning."""

    @infer_global(function)
    class DivisionTemplate(AbstractTemplate):
        def generic(self, args: tuple[Any, ...], kws: dict[str, Any]) -> Any:
            if kws or len(args) != 2 or any(_index_type(arg) is None for arg in args):
                return None
            return signature(types.intp, types.intp, types.intp)

    @lower_builtin(function, types.Integer, types.Integer)
    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return emit(builder, *args)


def _emit_quotient(builder: Any, index: Any, extent: Any) -> Any:
    below = builder.ashr(builder.srem(index, extent), ir.Constant(WORD, 63))
    return builder.add(builder.sdiv(index, extent), below)


def _emit_remainder(builder: Any, index: Any, extent: Any) -> Any:
    rest = builder.srem(index, extent)
    return builder.add(rest, builder.and_(extent, builder.ashr(rest, ir.Constant(WORD, 63))))


_register_division(quotient, _emit_quotient)
_register_division(remainder, _emit_remainder)


# ---------------------------------------------------------------- the entry's table


def _register_word_setter(function: Any, accepts: Callable[[Any], bool], emit: Callable[..., Any]) -> None:
    """Give ``function(table, slot, value)`` its native meaning.

    Parameters
    ----------
    function
        One of place, place_scalar and shift.
    accepts
        Which types of value it takes.
    emit
        ``(context, builder, type, value, old word) -> new word``.
    """

    @infer_global(function)
    class WordTemplate(AbstractTemplate):
        def generic(self, args: tuple[Any, ...], kws: dict[str, Any]) -> Any:
            if kws or len(args) != 3 or args[0] != TABLE or _index_type(args[1]) is None or not accepts(args[2]):
                return None
            return signature(types.none, TABLE, types.intp, types.unliteral(args[2]))

    @lower_builtin(function, TABLE, types.Integer, types.Any)
    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        table, slot, value = args
        where = builder.gep(table, [slot], inbounds=True)
        builder.store(emit(context, builder, sig.args[2], value, where), where)
        return context.get_dummy_value()


def _address(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    return builder.ptrtoint(context.make_array(kind)(context, builder, value).data, WORD)


def _emit_address(context: Any, builder: Any, kind: Any, value: Any, where: Any) -> Any:
    return _address(context, builder, kind, value)


def _emit_shifted(context: Any, builder: Any, kind: Any, value: Any, where: Any) -> Any:
    return builder.add(builder.load(where), _address(context, builder, kind, value))


def _emit_bits(context: Any, builder: Any, kind: Any, value: Any, where: Any) -> Any:
    bits = builder.bitcast(value, ir.IntType(_width(kind)))
    return bits if _width(kind) == 64 else builder.zext(bits, WORD)


def _is_array(kind: Any) -> bool:
    return isinstance(kind, types.Array)


def _is_scalar(kind: Any) -> bool:
    return isinstance(kind, types.Integer | types.Float | types.Boolean)


_register_word_setter(place, _is_array, _emit_address)
_register_word_setter(shift, _is_array, _emit_shifted)
_register_word_setter(place_scalar, _is_scalar, _emit_bits)


@infer_global(stack_table)
class StackTableTemplate(AbstractTemplate):
    """``stack_table(plan, size)`` with a literal size."""

    prefer_literal = True

    def generic(self, args: tuple[Any, ...], kws: dict[str, Any]) -> Any:
        if kws or len(args) != 2 or not isinstance(args[0], types.Array) or _literal_word(args[1]) is None:
            return None
        if args[0].dtype != types.int64 or args[0].layout != "C":
            return None
        return signature(TABLE, *args)


@lower_builtin(stack_table, types.Array, types.Any)
def lower_stack_table(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """Emit the copy onto the stack; the space is taken once per call, also where this stands in a loop."""
    size = _literal_word(sig.args[1])
    table = cgutils.alloca_once(builder, WORD, size=ir.Constant(WORD, size))
    plan = context.make_array(sig.args[0])(context, builder, args[0])
    cgutils.raw_memcpy(builder, table, plan.data, ir.Constant(WORD, size), 8)
    return table


@infer_global(launch)
class LaunchTemplate(AbstractTemplate):
    """``launch(kernel, table, offset)`` and ``launch(kernel, table, offset, chunks)``.

    The kernel is compiled here, for its one signature: called as a Numba function it would be compiled again for each
    literal argument.
    """

    def generic(self, args: tuple[Any, ...], kws: dict[str, Any]) -> Any:
        if kws or len(args) not in (3, 4) or not isinstance(args[0], types.Dispatcher) or args[1] != TABLE:
            return None
        if any(_index_type(arg) is None for arg in args[2:]):
            return None
        compiled = native.kernel_code(args[0].dispatcher)
        if compiled.signature.return_type != types.none:
            raise TypeError(f"the kernel {args[0].dispatcher.py_func.__name__} returns a value")
        return signature(types.none, args[0], TABLE, *(types.intp for _ in args[2:]))


def _lower_launch(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """Emit the run of a kernel's chunks."""
    words = builder.gep(args[1], [args[2]], inbounds=True)
    native.call_chunks(context, builder, sig.args[0].dispatcher, words, args[3] if len(args) == 4 else None)
    return context.get_dummy_value()


lower_builtin(launch, types.Dispatcher, TABLE, types.Integer)(_lower_launch)
lower_builtin(launch, types.Dispatcher, TABLE, types.Integer, types.Integer)(_lower_launch)
