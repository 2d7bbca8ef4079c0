"""The native function behind direct callers: it does the steps of :mod:`tracegrad.runtime.steps`, one after the other.

A call through Python text took 0.6 to 0.9 µs besides the program; the same checks, allocations and tuples by the C functions
of Python and NumPy take 0.2. One function serves all signatures, so that none has to be compiled: what differs is data.

Objects that a step makes or keeps are held until the call ends, whichever way it ends.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, Final

import llvmlite.binding as ll
import numpy as np
from llvmlite import ir
from numpy._core import _multiarray_umath  # type: ignore[attr-defined]  # C code finds NumPy's functions there, too

from tracegrad.codegen.kinds import WORD
from tracegrad.codegen.translate import ENTRY
from tracegrad.runtime.boundary import (
    DATA,
    DESCR,
    DIMENSIONS,
    FLAGS,
    INT,
    OBJECT,
    SIZES,
    TYPE,
    external,
    field,
    known_object,
)
from tracegrad.runtime.steps import HEAD_WORDS, MOST_WORDS, Do

__all__ = ["CALLER_NAME", "add_caller_symbols", "caller_module"]

CALLER_NAME: Final = "tracegrad_direct"
VOID = ir.VoidType()
DOUBLE = ir.DoubleType()
_OBJECTS, _WORDS = OBJECT.as_pointer(), WORD.as_pointer()
_ARRAY_FUNCTIONS: Final = (("PyArray_Scalar", 60), ("PyArray_Empty", 184))
"""Functions of NumPy's C interface and their places in its table, which are part of its ABI (``__multiarray_api.h``)."""
_FUNCTIONS: Final = (
    "PyCell_Get",
    "PyDict_GetItemWithError",
    "PyDict_New",
    "PyDict_SetItem",
    "PyDict_Size",
    "PyErr_Clear",
    "PyFunction_GetCode",
    "PyList_Append",
    "PyList_GetItem",
    "PyList_New",
    "PyList_SetItem",
    "PyList_SetSlice",
    "PyList_Size",
    "PyObject_GetAttr",
    "PyObject_Vectorcall",
    "PyTuple_GetItem",
    "PyTuple_New",
    "PyTuple_SetItem",
    "PyTuple_Size",
)


def add_caller_symbols() -> None:
    """Tell LLVM the addresses of what the function calls and compares with.

    Raises
    ------
    RuntimeError
        NumPy's C interface is another one.
    """
    for name in _FUNCTIONS:
        ll.add_symbol(name, ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value)
    opened = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)(("PyCapsule_GetPointer", ctypes.pythonapi))
    start = opened(_multiarray_umath._ARRAY_API, None)
    if ctypes.c_void_p.from_address(start + 8 * 2).value != id(np.ndarray):
        raise RuntimeError(f"NumPy {np.__version__} has another table of functions than tracegrad knows")
    for name, place in _ARRAY_FUNCTIONS:
        ll.add_symbol(name, ctypes.c_void_p.from_address(start + 8 * place).value)
    for kind in (tuple, list, dict):
        ll.add_symbol(f"tracegrad_{kind.__name__}", id(kind))


class _Steps:
    """Writes the function ``(self, arguments, count, names) -> result``; ``self`` is the array of words."""

    def __init__(self, module: Any) -> None:
        self.module = module
        kind = ir.FunctionType(OBJECT, [OBJECT, _OBJECTS, WORD, OBJECT])
        self.function = ir.Function(module, kind, CALLER_NAME)
        self.function.attributes.add("nounwind")
        b = self.builder = ir.IRBuilder(self.function.append_basic_block("entry"))
        self.registers, self.held = b.alloca(OBJECT, MOST_WORDS), b.alloca(OBJECT, MOST_WORDS)
        self.words, self.cells = b.alloca(WORD, MOST_WORDS), b.alloca(WORD, MOST_WORDS)
        self.holding, self.at, self.block = b.alloca(WORD), b.alloca(_WORDS), b.alloca(OBJECT)
        self.null = ir.Constant(OBJECT, None)
        self.next = self.function.append_basic_block("next")
        self.other = self.function.append_basic_block("other")
        self.failed = self.function.append_basic_block("failed")

    # -- pieces ----------------------------------------------------------------------------------------------------

    def call(self, name: str, result: Any, *arguments: Any) -> Any:
        """A call of a C function."""
        kinds = [argument.type for argument in arguments]
        return self.builder.call(external(self.module, name, result, *kinds), arguments)

    def word(self, value: int) -> Any:
        return ir.Constant(WORD, value)

    def operand(self, place: int, kind: Any = WORD) -> Any:
        """An operand of the step: a number, or an address."""
        b = self.builder
        value = b.load(b.gep(b.load(self.at), [self.word(1 + place)], inbounds=True))
        return value if kind is WORD else b.inttoptr(value, kind)

    def get(self, array: Any, place: Any) -> Any:
        return self.builder.load(self.builder.gep(array, [place], inbounds=True))

    def put(self, array: Any, place: Any, value: Any) -> None:
        self.builder.store(value, self.builder.gep(array, [place], inbounds=True))

    def require(self, condition: Any, otherwise: Any = None) -> None:
        """Go on where the condition holds; elsewhere the call is another one."""
        following = self.function.append_basic_block()
        self.builder.cbranch(condition, following, self.other if otherwise is None else otherwise)
        self.builder.position_at_end(following)

    def same(self, one: Any, other: Any) -> Any:
        return self.builder.icmp_unsigned("==", one, other)

    def count(self, low: Any, high: Any, body: Callable[[Any], None]) -> None:
        """A loop."""
        b = self.builder
        before, head = b.block, self.function.append_basic_block()
        inside, after = self.function.append_basic_block(), self.function.append_basic_block()
        b.branch(head)
        b.position_at_end(head)
        k = b.phi(WORD)
        k.add_incoming(low, before)
        b.cbranch(b.icmp_signed("<", k, high), inside, after)
        b.position_at_end(inside)
        body(k)
        k.add_incoming(b.add(k, self.word(1)), b.block)
        b.branch(head)
        b.position_at_end(after)

    def hold(self, value: Any) -> None:
        """Let go of an object when the call ends; it is NULL where there was no memory."""
        b = self.builder
        self.require(b.icmp_unsigned("!=", value, self.null), self.failed)
        held = b.load(self.holding)
        self.put(self.held, held, value)
        b.store(b.add(held, self.word(1)), self.holding)

    def retain(self, value: Any) -> None:
        self.call("Py_IncRef", VOID, value)

    def release(self) -> None:
        """Let go of what is held."""
        self.count(
            self.word(0), self.builder.load(self.holding), lambda k: self.call("Py_DecRef", VOID, self.get(self.held, k))
        )

    # -- checks ----------------------------------------------------------------------------------------------------

    def items(self, kind: str) -> None:
        """A tuple or list: its items come to registers."""
        source, wanted, first = self.get(self.registers, self.operand(0)), self.operand(1), self.operand(2)
        name = f"Py{kind.capitalize()}"
        self.require(self.same(field(self.builder, source, TYPE, OBJECT), known_object(self.module, f"tracegrad_{kind}")))
        self.require(self.same(self.call(f"{name}_Size", WORD, source), wanted))

        def one(k: Any) -> None:
            self.put(self.registers, self.builder.add(first, k), self.call(f"{name}_GetItem", OBJECT, source, k))

        self.count(self.word(0), wanted, one)

    def do_tuple(self) -> None:
        self.items("tuple")

    def do_list(self) -> None:
        self.items("list")

    def do_dict(self) -> None:
        source = self.get(self.registers, self.operand(0))
        self.require(self.same(field(self.builder, source, TYPE, OBJECT), known_object(self.module, "tracegrad_dict")))
        self.require(self.same(self.call("PyDict_Size", WORD, source), self.operand(1)))

    def do_key(self) -> None:
        source = self.get(self.registers, self.operand(0))
        found = self.call("PyDict_GetItemWithError", OBJECT, source, self.operand(1, OBJECT))
        self.require(self.builder.icmp_unsigned("!=", found, self.null))
        self.put(self.registers, self.operand(2), found)

    def do_array(self) -> None:
        b = self.builder
        value, wanted = self.get(self.registers, self.operand(0)), self.operand(2, _WORDS)
        self.require(self.same(field(b, value, TYPE, OBJECT), known_object(self.module, "tracegrad_ndarray")))
        dtype, flags, axes = (self.get(wanted, self.word(k)) for k in range(3))
        self.require(self.same(field(b, value, DESCR, WORD), dtype))
        flags = b.trunc(flags, INT)
        self.require(self.same(b.and_(field(b, value, FLAGS, INT), flags), flags))
        self.require(self.same(field(b, value, DIMENSIONS, INT), b.trunc(axes, INT)))
        sizes = field(b, value, SIZES, _WORDS)
        self.count(
            self.word(0),
            axes,
            lambda k: self.require(self.same(self.get(sizes, k), self.get(wanted, b.add(k, self.word(3))))),
        )
        self.retain(value)  # another thread may take it out of a list meanwhile
        self.hold(value)
        self.put(self.words, self.operand(1), field(b, value, DATA, WORD))

    def do_float(self) -> None:
        b = self.builder
        value = self.get(self.registers, self.operand(0))
        self.require(self.same(field(b, value, TYPE, OBJECT), self.operand(2, OBJECT)))
        self.put(self.words, self.operand(1), b.bitcast(self.call("PyFloat_AsDouble", DOUBLE, value), WORD))

    def do_same(self) -> None:
        self.require(self.same(self.get(self.registers, self.operand(0)), self.operand(1, OBJECT)))

    def do_name(self) -> None:
        found = self.call("PyDict_GetItemWithError", OBJECT, self.operand(0, OBJECT), self.operand(1, OBJECT))
        self.require(self.same(found, self.operand(2, OBJECT)))

    def found(self, value: Any, wanted: Any) -> None:
        """A new reference, which must be to the wanted object."""
        b = self.builder
        self.require(b.icmp_unsigned("!=", value, self.null))
        self.call("Py_DecRef", VOID, value)  # whatever is wanted is held by others
        self.require(self.same(value, wanted))

    def do_cell(self) -> None:
        self.found(self.call("PyCell_Get", OBJECT, self.operand(0, OBJECT)), self.operand(1, OBJECT))

    def do_code(self) -> None:
        self.require(self.same(self.call("PyFunction_GetCode", OBJECT, self.operand(0, OBJECT)), self.operand(1, OBJECT)))

    def do_attribute(self) -> None:
        value = self.call("PyObject_GetAttr", OBJECT, self.operand(0, OBJECT), self.operand(1, OBJECT))
        self.found(value, self.operand(2, OBJECT))

    def do_call(self) -> None:
        nothing = ir.Constant(_OBJECTS, None)
        made = self.call("PyObject_Vectorcall", OBJECT, self.operand(1, OBJECT), nothing, self.word(0), self.null)
        self.require(self.builder.icmp_unsigned("!=", made, self.null))
        self.make(made)

    # -- the run ---------------------------------------------------------------------------------------------------

    def do_block(self) -> None:
        b = self.builder
        blocks = self.operand(1, OBJECT)
        end = self.call("PyList_Size", WORD, blocks)
        self.require(b.icmp_signed(">", end, self.word(0)))
        last = b.sub(end, self.word(1))
        block = self.call("PyList_GetItem", OBJECT, blocks, last)
        self.retain(block)
        self.hold(block)
        self.call("PyList_SetSlice", INT, blocks, last, end, self.null)
        b.store(block, self.block)
        self.put(self.words, self.operand(0), field(b, block, DATA, WORD))

    def do_new(self) -> None:
        b = self.builder
        wanted = self.operand(2, _WORDS)
        dtype = b.inttoptr(self.get(wanted, self.word(0)), OBJECT)
        self.retain(dtype)  # NumPy takes this reference for its own
        axes, sizes = b.trunc(self.get(wanted, self.word(2)), INT), b.gep(wanted, [self.word(3)], inbounds=True)
        made = self.call("PyArray_Empty", OBJECT, axes, sizes, dtype, ir.Constant(INT, 0))
        self.hold(made)
        self.put(self.registers, self.operand(0), made)
        self.put(self.words, self.operand(1), field(b, made, DATA, WORD))

    def cell(self, place: Any) -> Any:
        return self.builder.gep(self.cells, [place], inbounds=True)

    def do_place(self) -> None:
        self.put(self.words, self.operand(0), self.builder.ptrtoint(self.cell(self.operand(1)), WORD))

    def do_word(self) -> None:
        self.put(self.words, self.operand(0), self.operand(1))

    def do_run(self) -> None:
        run = self.operand(0, ENTRY.as_pointer())
        state = self.call("PyEval_SaveThread", OBJECT)
        self.builder.call(run, [self.words])
        self.call("PyEval_RestoreThread", VOID, state)

    def do_give(self) -> None:
        blocks = self.operand(0, OBJECT)
        room = self.builder.icmp_signed("<", self.call("PyList_Size", WORD, blocks), self.operand(1))
        with self.builder.if_then(room):
            self.call("PyList_Append", INT, blocks, self.builder.load(self.block))

    # -- the result ------------------------------------------------------------------------------------------------

    def make(self, made: Any) -> None:
        """A new object comes to a register."""
        self.hold(made)
        self.put(self.registers, self.operand(0), made)

    def do_scalar(self) -> None:
        source = self.builder.bitcast(self.cell(self.operand(1)), OBJECT)
        self.make(self.call("PyArray_Scalar", OBJECT, source, self.operand(2, OBJECT), self.null))

    def pack(self, kind: str) -> None:
        name = f"Py{kind.capitalize()}"
        made = self.call(f"{name}_New", OBJECT, self.operand(1))
        self.make(made)
        first = self.operand(2)

        def one(k: Any) -> None:
            value = self.get(self.registers, self.builder.add(first, k))
            self.retain(value)
            self.call(f"{name}_SetItem", INT, made, k, value)

        self.count(self.word(0), self.operand(1), one)

    def do_pack(self) -> None:
        self.pack("tuple")

    def do_pack_list(self) -> None:
        self.pack("list")

    def do_pack_dict(self) -> None:
        self.make(self.call("PyDict_New", OBJECT))

    def do_put(self) -> None:
        value = self.get(self.registers, self.operand(2))
        self.call("PyDict_SetItem", INT, self.get(self.registers, self.operand(0)), self.operand(1, OBJECT), value)

    def do_copy(self) -> None:
        self.put(self.registers, self.operand(0), self.get(self.registers, self.operand(1)))

    def do_constant(self) -> None:
        self.put(self.registers, self.operand(0), self.operand(1, OBJECT))

    def do_return(self) -> None:
        result = self.get(self.registers, self.operand(0))
        self.retain(result)
        self.release()
        self.builder.ret(result)

    # -- all of it -------------------------------------------------------------------------------------------------

    def write(self) -> None:
        """The whole function."""
        b = self.builder
        own, arguments, count, names = self.function.args
        b.store(self.word(0), self.holding)
        b.store(self.null, self.block)
        words = field(b, own, DATA, _WORDS)
        b.store(b.gep(words, [self.word(HEAD_WORDS)], inbounds=True), self.at)
        self.require(self.same(count, self.get(words, self.word(1))))
        self.require(self.same(names, self.null))
        self.count(self.word(0), count, lambda k: self.put(self.registers, k, self.get(arguments, k)))
        b.branch(self.next)
        b.position_at_end(self.next)
        impossible = self.function.append_basic_block("impossible")
        choice = b.switch(b.load(b.load(self.at)), impossible)
        for step in Do:
            block = self.function.append_basic_block(step.name.lower())
            choice.add_case(self.word(step), block)
            b.position_at_end(block)
            getattr(self, f"do_{step.name.lower()}")()
            if not b.block.is_terminated:
                b.store(b.gep(b.load(self.at), [self.word(4)], inbounds=True), self.at)
                b.branch(self.next)
        b.position_at_end(impossible)
        b.unreachable()
        b.position_at_end(self.other)
        self.call("PyErr_Clear", VOID)
        self.release()
        fallback = b.inttoptr(self.get(words, self.word(0)), OBJECT)
        b.ret(self.call("PyObject_Vectorcall", OBJECT, fallback, arguments, count, names))
        b.position_at_end(self.failed)
        self.release()
        b.ret(self.null)


def caller_module() -> Any:
    """The IR module with the function."""
    module = ir.Module(CALLER_NAME)
    _Steps(module).write()
    return module
