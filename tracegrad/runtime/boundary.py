"""Between Python and a program: a built-in function that looks at its arguments and calls the entry without the GIL.

It is a function of CPython's fast calling convention, written in IR into the program's own module. An array costs it a
handful of loads from the array's C structure, whose layout NumPy keeps as part of its ABI (``PyArrayObject_fields`` and the
head of ``PyArray_Descr`` in ``ndarraytypes.h``); Numba's dispatcher took 0.27 µs and 0.03 more for each array.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any, Final

import llvmlite.binding as ll
import numpy as np
from llvmlite import ir

from tracegrad.codegen.kinds import BYTE, SCALARS, WORD, Scalar
from tracegrad.codegen.translate import entry_name
from tracegrad.codegen.writer import Address

__all__ = [
    "Argument",
    "add_symbols",
    "built_in",
    "external",
    "field",
    "known_object",
    "parse_arguments",
    "write_boundary",
]

BOUNDARY_NAME: Final = "tracegrad_call"
OBJECT = BYTE.as_pointer()
INT = ir.IntType(32)
BIT = ir.IntType(1)
HEAD: Final = object.__basicsize__
"""Bytes of what all objects begin with, its last eight the address of their type; more in free-threaded Python."""
TYPE = HEAD - 8
DATA, DIMENSIONS, SIZES, DESCR, FLAGS = HEAD, HEAD + 8, HEAD + 16, HEAD + 40, HEAD + 48
"""Bytes from the start of an array: the address of its elements, number of axes (int), the address of their sizes, dtype,
flags (int)."""
BYTEORDER, TYPE_NUMBER = HEAD + 10, HEAD + 12
"""Bytes from the start of a dtype: its byte order (char), its number (int)."""
C_ORDER, F_ORDER, ALIGNED = 0x1, 0x2, 0x100
_ARGUMENT = re.compile(r"(?P<dtype>\w+?)(?P<dims>\[[:1, ]*\])?")
_PAIRS: Final = {f"complex{2 * bits}": SCALARS[f"float{bits}"] for bits in (32, 64)}
_FAST_CALL, _KEYWORDS = 0x0080, 0x0002


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of an entry: its element type, number of axes (None for a scalar), and the flags an array must have."""

    text: str
    scalar: Scalar
    axes: int | None
    flags: int
    pairs: bool = False
    """Whether the array is of complex numbers, each a pair of these scalars."""

    @property
    def kind(self) -> Scalar | Address:
        """What the entry finds in the argument's word: a number, or the address of an array."""
        return self.scalar if self.axes is None else Address(self.scalar)


def parse_arguments(arguments: tuple[str, ...]) -> tuple[Argument, ...]:
    """Return what the texts say that declare the arguments of an entry.

    Parameters
    ----------
    arguments
        ``"float64"`` for a scalar, ``"float64[:, ::1]"`` for a C-contiguous array of two dimensions, ``[::1, :]`` for
        Fortran order, ``[:, :]`` for any layout, ``[]`` for no dimension.

    Raises
    ------
    ValueError
        For a text that is none of these.

    Examples
    --------
    >>> parse_arguments(("float64[:, ::1]",))[0].axes
    2
    """
    return tuple(_argument(text) for text in arguments)


def _argument(text: str) -> Argument:
    match = _ARGUMENT.fullmatch(text)
    pairs = match is not None and match["dtype"] in _PAIRS and match["dims"] is not None
    if match is None or (match["dtype"] not in SCALARS and not pairs):
        raise ValueError(f"{text!r} is not the type of an entry argument")
    scalar = _PAIRS[match["dtype"]] if pairs else SCALARS[match["dtype"]]
    if match["dims"] is None:
        return Argument(text, scalar, None, 0)
    dims = [dim.strip() for dim in match["dims"][1:-1].split(",")]
    if dims == [""]:
        return Argument(text, scalar, 0, ALIGNED, pairs)
    if any(dim not in (":", "::1") for dim in dims) or dims[1:-1].count("::1") or dims.count("::1") > 1:
        raise ValueError(f"{text!r} is not the type of an entry argument")
    order = C_ORDER if dims[-1] == "::1" else F_ORDER if dims[0] == "::1" else 0
    return Argument(text, scalar, len(dims), order | ALIGNED, pairs)


def _dtype(scalar: Scalar, pairs: bool = False) -> np.dtype[Any]:
    if pairs:
        return np.dtype(f"complex{2 * scalar.bits}")
    return np.dtype("bool" if scalar.kind == "b" else scalar.name)


# ---------------------------------------------------------------- in IR


def external(module: Any, name: str, result: Any, *arguments: Any) -> Any:
    """A C function, declared once in a module."""
    known = module.globals.get(name)
    return ir.Function(module, ir.FunctionType(result, arguments), name) if known is None else known


def known_object(module: Any, name: str) -> Any:
    """An object whose address is a symbol."""
    known = module.globals.get(name)
    return ir.GlobalVariable(module, BYTE, name) if known is None else known


def field(builder: Any, source: Any, offset: int, kind: Any) -> Any:
    """What stands so many bytes behind an address."""
    place = builder.gep(source, [ir.Constant(WORD, offset)], inbounds=True)
    return builder.load(builder.bitcast(place, kind.as_pointer()))


def _array_check(module: Any) -> Any:
    """The module's function (object, axes, flags, dtype's number, other number of it) -> whether it is such an array."""
    known = module.globals.get("is_array")
    if known is not None:
        return known
    function = ir.Function(module, ir.FunctionType(BIT, [OBJECT, INT, INT, INT, INT]), "is_array")
    function.linkage = "internal"
    for attribute in ("noinline", "nounwind"):
        function.attributes.add(attribute)
    value, axes, flags, number, other = function.args
    b = ir.IRBuilder(function.append_basic_block("entry"))
    kind, ndarray = field(b, value, TYPE, OBJECT), known_object(module, "tracegrad_ndarray")
    with b.if_then(b.icmp_unsigned("!=", kind, ndarray), likely=False):
        derived = b.call(external(module, "PyType_IsSubtype", INT, OBJECT, OBJECT), [kind, ndarray])
        with b.if_then(b.icmp_signed("==", derived, ir.Constant(INT, 0))):
            b.ret(ir.Constant(BIT, 0))
    dtype = field(b, value, DESCR, OBJECT)
    found = field(b, dtype, TYPE_NUMBER, INT)
    foreign = ir.Constant(BYTE, ord(">" if np.little_endian else "<"))
    tests = [
        b.icmp_signed("==", b.and_(field(b, value, FLAGS, INT), flags), flags),
        b.icmp_signed("==", field(b, value, DIMENSIONS, INT), axes),
        b.or_(b.icmp_signed("==", found, number), b.icmp_signed("==", found, other)),
        b.icmp_signed("!=", field(b, dtype, BYTEORDER, BYTE), foreign),
    ]
    b.ret(reduce(b.and_, tests))
    return function


class _Boundary:
    """Writes the function ``(self, arguments, count) -> None or an error``."""

    def __init__(self, module: Any, count: int) -> None:
        self.module = module
        kind = ir.FunctionType(OBJECT, [OBJECT, OBJECT.as_pointer(), WORD])
        self.function = ir.Function(module, kind, BOUNDARY_NAME)
        self.function.attributes.add("nounwind")
        self.builder = ir.IRBuilder(self.function.append_basic_block("entry"))
        self.words = self.builder.alloca(WORD, max(count, 1))
        self.failed = self.function.append_basic_block("failed")
        self.raised = self.function.append_basic_block("raised")
        self.messages: list[tuple[Any, Any]] = []

    def require(self, condition: Any, message: str) -> None:
        """Raise TypeError unless the condition holds."""
        name = f"message.{message}"
        text = self.module.globals.get(name)
        if text is None:
            data = bytearray(message.encode() + b"\0")
            text = ir.GlobalVariable(self.module, ir.ArrayType(BYTE, len(data)), name)
            text.linkage, text.global_constant = "internal", True
            text.initializer = ir.Constant(text.value_type, data)
        self.messages.append((self.builder.block, self.builder.bitcast(text, OBJECT)))
        self.go_on(condition, self.failed)

    def go_on(self, condition: Any, otherwise: Any) -> None:
        following = self.function.append_basic_block()
        self.builder.cbranch(condition, following, otherwise)
        self.builder.position_at_end(following)

    def put(self, place: int, word: Any) -> None:
        self.builder.store(word, self.builder.gep(self.words, [ir.Constant(WORD, place)], inbounds=True))

    # -- arguments -------------------------------------------------------------------------------------------------

    def array(self, place: int, value: Any, argument: Argument) -> None:
        b = self.builder
        numbers = _numbers(argument.scalar, argument.pairs)
        wanted = (argument.axes, argument.flags, numbers[0], numbers[-1])
        right = b.call(_array_check(self.module), [value, *(ir.Constant(INT, number) for number in wanted)])
        self.require(right, f"argument {place} must be an aligned array {argument.text} of the machine's byte order")
        self.put(place, field(b, value, DATA, WORD))

    def number(self, place: int, value: Any, scalar: Scalar) -> None:
        b = self.builder
        errors = external(self.module, "PyErr_Occurred", OBJECT)
        if scalar.kind == "f":
            double = b.call(external(self.module, "PyFloat_AsDouble", ir.DoubleType(), OBJECT), [value])
            odd = b.fcmp_ordered("==", double, ir.Constant(double.type, -1.0))
            bits = b.bitcast(double, WORD)
            if scalar.bits == 32:
                bits = b.zext(b.bitcast(b.fptrunc(double, ir.FloatType()), INT), WORD)
        elif scalar.kind == "b":
            truth = b.call(external(self.module, "PyObject_IsTrue", INT, OBJECT), [value])
            odd, bits = b.icmp_signed("<", truth, ir.Constant(INT, 0)), b.zext(truth, WORD)
        else:
            null = ir.Constant(OBJECT, None)
            index = b.call(external(self.module, "PyNumber_Index", OBJECT, OBJECT), [value])
            self.go_on(b.icmp_unsigned("!=", index, null), self.raised)
            bits = b.call(external(self.module, "PyLong_AsUnsignedLongLongMask", WORD, OBJECT), [index])
            b.call(external(self.module, "Py_DecRef", ir.VoidType(), OBJECT), [index])
            odd = b.icmp_signed("==", bits, ir.Constant(WORD, -1))
        self.put(place, bits)
        failed = b.icmp_unsigned("!=", b.call(errors, []), ir.Constant(OBJECT, None))
        self.go_on(b.not_(b.and_(odd, failed)), self.raised)

    # -- the call --------------------------------------------------------------------------------------------------

    def run(self) -> None:
        b = self.builder
        state = b.call(external(self.module, "PyEval_SaveThread", OBJECT), [])
        # out of line: direct calls have the same copy
        b.call(self.module.globals[entry_name(self.module.name)], [self.words], attrs=("noinline",))
        b.call(external(self.module, "PyEval_RestoreThread", ir.VoidType(), OBJECT), [state])
        nothing = known_object(self.module, "tracegrad_none")
        b.call(external(self.module, "Py_IncRef", ir.VoidType(), OBJECT), [nothing])
        b.ret(nothing)
        b.position_at_end(self.failed)
        message = b.phi(OBJECT)
        for block, text in self.messages:
            message.add_incoming(text, block)
        b.call(
            external(self.module, "PyErr_SetString", ir.VoidType(), OBJECT, OBJECT),
            [known_object(self.module, "tracegrad_type_error"), message],
        )
        b.branch(self.raised)
        b.position_at_end(self.raised)
        b.ret(ir.Constant(OBJECT, None))


def _numbers(scalar: Scalar, pairs: bool = False) -> list[int]:
    """NumPy's numbers of a dtype: long and long long are one type here."""
    wanted = _dtype(scalar, pairs)
    return sorted({np.dtype(code).num for code in "?bBhHiIlLqQfdFD" if np.dtype(code) == wanted})


def write_boundary(module: Any, arguments: tuple[Argument, ...]) -> None:
    """Add the function that Python calls to a program's module.

    Parameters
    ----------
    module: the IR module, which has the entry.
    arguments: what the entry takes.
    """
    boundary = _Boundary(module, len(arguments))
    _, values, count = boundary.function.args
    b = boundary.builder
    right = b.icmp_signed("==", count, ir.Constant(WORD, len(arguments)))
    boundary.require(right, f"the program takes {len(arguments)} arguments")
    for place, argument in enumerate(arguments):
        value = b.load(b.gep(values, [ir.Constant(WORD, place)], inbounds=True))
        if argument.axes is None:
            boundary.number(place, value, argument.scalar)
        else:
            boundary.array(place, value, argument)
    boundary.run()


# ---------------------------------------------------------------- in Python

_FUNCTIONS: Final = (
    "PyErr_Occurred",
    "PyErr_SetString",
    "PyEval_RestoreThread",
    "PyEval_SaveThread",
    "PyFloat_AsDouble",
    "PyLong_AsUnsignedLongLongMask",
    "PyNumber_Index",
    "PyObject_IsTrue",
    "PyType_IsSubtype",
    "Py_DecRef",
    "Py_IncRef",
)


def add_symbols() -> None:
    """Tell LLVM the addresses of what boundaries call and compare with.

    Raises
    ------
    RuntimeError
        Arrays are laid out in another way than compiled programs read them.
    """
    probe = np.zeros((2, 3))
    word, integer = ctypes.c_void_p.from_address, ctypes.c_int.from_address
    found = (
        word(id(probe) + TYPE).value,
        word(id(probe) + DATA).value,
        integer(id(probe) + DIMENSIONS).value,
        (ctypes.c_int64 * 2).from_address(word(id(probe) + SIZES).value or 0)[:],
        word(id(probe) + DESCR).value,
        integer(id(probe) + FLAGS).value,
        integer(id(probe.dtype) + TYPE_NUMBER).value,
    )
    if found != (id(np.ndarray), probe.ctypes.data, 2, [2, 3], id(probe.dtype), probe.flags.num, probe.dtype.num):
        raise RuntimeError(f"NumPy {np.__version__} lays out arrays in another way than tracegrad knows: {found}")
    for name in _FUNCTIONS:
        ll.add_symbol(name, ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value)
    for name, value in (("ndarray", np.ndarray), ("none", None), ("type_error", TypeError)):
        ll.add_symbol(f"tracegrad_{name}", id(value))


class _MethodDef(ctypes.Structure):
    """``PyMethodDef`` of the C API."""

    _fields_ = (("name", ctypes.c_char_p), ("function", ctypes.c_void_p), ("flags", ctypes.c_int), ("doc", ctypes.c_char_p))


def built_in(address: int, code: Any, owner: Any) -> Callable[..., Any]:
    """Return the function at an address as a Python object.

    Parameters
    ----------
    address: of a boundary, or of a direct caller.
    code: an object with attributes, which lives as long as the function does and keeps the code alive.
    owner: what the function is given besides its arguments; ``code`` itself, or what is called with that.
    """
    if code.definition is None:
        flags = _FAST_CALL if owner is code else _FAST_CALL | _KEYWORDS
        code.definition = _MethodDef(b"run", address, flags, None)
    make = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)(
        ("PyCFunction_NewEx", ctypes.pythonapi)
    )
    made: Callable[..., Any] = make(ctypes.addressof(code.definition), owner, None)
    return made
