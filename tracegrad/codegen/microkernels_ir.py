"""A small language for loops in LLVM's IR, for what the language of kernels has no words for: vectors and their tiles.

A routine is written into the program's own module, once for each element type: it reads like the loops it stands for,
with words and pointers in place of numbers and arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from llvmlite import ir

from tracegrad.codegen.kinds import INT64, SCALARS, WORD, Buffer, Plain, Scalar, Table, convert
from tracegrad.codegen.processor import features
from tracegrad.codegen.writer import TranslationError, Typed, Writer

# ---------------------------------------------------------------- what the processor offers


def _shape() -> tuple[int, int, bool]:
    """Return (bytes of a vector, rows of a tile, whether products and sums fuse)."""
    offered = features()
    if offered.get("avx512f"):
        return 64, 12, True
    if offered.get("avx"):
        return 32, 6, bool(offered.get("fma"))
    return (16, 8, True) if offered.get("neon") else (16, 6, False)


VECTOR_BYTES, ROWS, FUSED = _shape()
DOT_ROWS, DOT_COLUMNS = (4, 4) if VECTOR_BYTES == 64 else (3, 3)


class _Offset(NamedTuple):
    """``offset(pointer, elements)`` is the pointer moved by a number of elements."""

    def emit(self, writer: Writer, arguments: list[Any]) -> Typed:
        """Write a call."""
        pointer, elements = arguments
        if not isinstance(pointer.kind, (Plain, Buffer, Table)):
            raise TranslationError("a pointer is moved")
        number = convert(writer.builder, elements.value, elements.kind, INT64)
        return Typed(pointer.kind, writer.builder.gep(pointer.value, [number], inbounds=True))


offset = _Offset()


# ---------------------------------------------------------------- words, pointers, loops


class Word:
    """A 64-bit number. Division and remainder are those of numbers that are not negative."""

    __slots__ = ("builder", "value")

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder = builder
        self.value = ir.Constant(WORD, value) if isinstance(value, int) else value

    def _with(self, operation: str, other: Word | int) -> Word:
        return Word(self.builder, getattr(self.builder, operation)(self.value, Word(self.builder, _raw(other)).value))

    def _compare(self, sign: str, other: Word | int) -> Any:
        return self.builder.icmp_signed(sign, self.value, Word(self.builder, _raw(other)).value)

    def __add__(self, other: Word | int) -> Word:
        return self._with("add", other)

    def __sub__(self, other: Word | int) -> Word:
        return self._with("sub", other)

    def __mul__(self, other: Word | int) -> Word:
        return self._with("mul", other)

    def __floordiv__(self, other: Word | int) -> Word:
        return self._with("sdiv", other)

    def __mod__(self, other: Word | int) -> Word:
        return self._with("srem", other)

    def __lt__(self, other: Word | int) -> Any:
        return self._compare("<", other)

    def __le__(self, other: Word | int) -> Any:
        return self._compare("<=", other)

    def __ge__(self, other: Word | int) -> Any:
        return self._compare(">=", other)

    def __gt__(self, other: Word | int) -> Any:
        return self._compare(">", other)

    def equals(self, other: Word | int) -> Any:
        """Whether both are one number; ``==`` stays Python's."""
        return self._compare("==", other)

    def rounded(self, unit: int) -> Word:
        """The next multiple of a unit."""
        return (self + (unit - 1)) // unit * unit


def _raw(value: Any) -> Any:
    return value.value if isinstance(value, Word) else value


class Pointer:
    """A C pointer: ``p[i]`` loads and stores an element, ``p + n`` is the pointer n elements on."""

    __slots__ = ("builder", "value")

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder = builder
        self.value = value

    def __add__(self, elements: Word | int) -> Pointer:
        return Pointer(self.builder, self._place(elements))

    def __getitem__(self, index: Word | int) -> Any:
        loaded = self.builder.load(self._place(index))
        return Word(self.builder, loaded) if loaded.type == WORD else loaded

    def single(self, index: Word | int, size: int) -> Any:
        """An element of ``size`` bytes by a load of its own, which LLVM makes no part of a gather."""
        return self.builder.load_atomic(self._place(index), "unordered", size)

    def __setitem__(self, index: Word | int, value: Any) -> None:
        self.builder.store(_raw(value), self._place(index))

    def _place(self, index: Word | int) -> Any:
        return self.builder.gep(self.value, [Word(self.builder, _raw(index)).value], inbounds=True)


class Code:
    """Writes one routine.

    Parameters
    ----------
    builder: the IR builder inside the routine.
    dtype: the type of the elements.
    apart: whether the parts of routines are compiled apart.
    """

    def __init__(self, builder: Any, dtype: Scalar, apart: bool = False) -> None:
        self.builder = builder
        self.apart = apart
        self.dtype = dtype
        self.element = dtype.memory
        self.lanes = VECTOR_BYTES // dtype.itemsize
        self.zero = ir.Constant(self.element, 0.0)

    def word(self, value: int) -> Word:
        """A constant."""
        return Word(self.builder, value)

    def wrapped(self, value: Any) -> Any:
        """An IR value as a word or a pointer."""
        return Word(self.builder, value) if value.type == WORD else Pointer(self.builder, value)

    def words(self, table: Pointer, *places: int) -> list[Any]:
        """The words of a table at these places."""
        return [table[place] for place in places]

    def least(self, a: Word, b: Word | int) -> Word:
        """The smaller of two words."""
        return Word(self.builder, self.builder.select(a < b, a.value, Word(self.builder, _raw(b)).value))

    def most(self, a: Word, b: Word | int) -> Word:
        """The larger of two words."""
        return Word(self.builder, self.builder.select(a > b, a.value, Word(self.builder, _raw(b)).value))

    def variable(self, value: Any) -> Pointer:
        """Memory for one value, which LLVM makes a register; ``v[0]`` reads and sets it."""
        with self.builder.goto_entry_block():  # once, also where this stands in a loop
            place = self.builder.alloca(_raw(value).type)
        self.builder.store(_raw(value), place)
        return Pointer(self.builder, place)

    def memory(self, values: list[Any]) -> Pointer:
        """Memory for values of one type, which is a loop's to walk over."""
        with self.builder.goto_entry_block():
            place = self.builder.alloca(values[0].type, len(values))
        memory = Pointer(self.builder, place)
        for k, value in enumerate(values):
            memory[k] = value
        return memory

    @contextmanager
    def loop(self, start: Word | int, stop: Word | int, step: Word | int = 1) -> Iterator[Word]:
        """Write the body of a loop over ``range(start, stop, step)``."""
        b = self.builder
        before = b.block
        head, body, after = (b.append_basic_block(f"loop.{name}") for name in ("head", "body", "after"))
        b.branch(head)
        b.position_at_end(head)
        index = b.phi(WORD)
        index.add_incoming(Word(b, _raw(start)).value, before)
        b.cbranch(Word(b, index) < stop, body, after)
        b.position_at_end(body)
        yield Word(b, index)
        index.add_incoming(b.add(index, Word(b, _raw(step)).value, flags=("nsw",)), b.block)
        b.branch(head)
        b.position_at_end(after)

    def when(self, *conditions: Any) -> Any:
        """Write what runs where all conditions hold."""
        return self.builder.if_then(self.all(*conditions))

    def either(self, *conditions: Any) -> Any:
        """Write (what runs where all conditions hold, what runs elsewhere)."""
        return self.builder.if_else(self.all(*conditions))

    def all(self, *conditions: Any) -> Any:
        """Whether all conditions hold."""
        result = conditions[0]
        for condition in conditions[1:]:
            result = self.builder.and_(result, condition)
        return result

    def prefetch(self, pointer: Pointer) -> None:
        """Ask for the line of memory at a place, which may lie outside of any array."""
        kinds = [pointer.value.type, *[ir.IntType(32)] * 3]
        function = declared(self.builder.module, ir.FunctionType(ir.VoidType(), kinds), "llvm.prefetch.p0")
        self.builder.call(function, [pointer.value, *(ir.IntType(32)(word) for word in (0, 3, 1))])

    def call(self, emit: Callable[..., None], *arguments: Word | Pointer | int, attributes: Any = ("optsize",)) -> None:
        """Call the module's function that ``emit(code, *arguments)`` writes once."""
        values = [Word(self.builder, a).value if isinstance(a, int) else a.value for a in arguments]
        name = f"{emit.__module__}.{emit.__qualname__}.{self.dtype.name}"
        module = self.builder.module
        function = module.globals.get(name)
        if function is None:
            function = ir.Function(module, ir.FunctionType(ir.VoidType(), [v.type for v in values]), name)
            function.linkage = "internal"  # and one copy, which is not optimised anew for each of its callers
            for attribute in ("noinline", "nounwind", *attributes):
                function.attributes.add(attribute)
            inside = Code(ir.IRBuilder(function.append_basic_block("entry")), self.dtype, self.apart)
            emit(inside, *(inside.wrapped(arg) for arg in function.args))
            inside.builder.ret_void()
        self.builder.call(function, values)


class Routine(NamedTuple):
    """A function that kernels call: ``body(code, *words and pointers)``; the first pointer has the elements.

    Where routines are compiled apart, so are its ``parts``, each needed only where results have rows of more than ``beyond``
    bytes.
    """

    body: Callable[..., None]
    beyond: int = 0
    parts: tuple[Routine, ...] = ()

    def call(self, code: Code, *arguments: Word | Pointer | int) -> None:
        """Write a call from another routine, which has it as a part."""
        if not code.apart:
            code.call(self.body, *arguments, attributes=())
            return
        values = [Word(code.builder, a).value if isinstance(a, int) else a.value for a in arguments]
        kind = ir.FunctionType(ir.VoidType(), [value.type for value in values])
        code.builder.call(declared(code.builder.module, kind, self.part_name(code.dtype.name)), values)

    def part_name(self, element: str) -> str:
        """The name of a part for elements of a type; see :meth:`module`."""
        kinds = [kind for name, kind in self.body.__annotations__.items() if name not in ("code", "return")]
        letters = "".join({"Pointer": "e", "Word": "n"}[kind] for kind in kinds)
        return f"{self.body.__module__}.{self.body.__qualname__}.{element}.{letters}"

    def emit(self, writer: Writer, arguments: list[Any]) -> None:
        """Write a call, and the function where the module has not got it."""
        element = next((a.kind.element for a in arguments if isinstance(a.kind, (Plain, Buffer))), None)
        if element is None:
            raise TranslationError("a routine takes a pointer")
        values = [convert(writer.builder, a.value, a.kind, INT64) if isinstance(a.kind, Scalar) else a.value for a in arguments]
        if not writer.translation.apart:
            code = Code(writer.builder, element)
            code.call(self.body, *(code.wrapped(value) for value in values))
            return
        kinds = "".join("n" if v.type == WORD else "w" if v.type.pointee == WORD else "e" for v in values)
        name = f"{self.body.__module__}.{self.body.__qualname__}.{element.name}.{kinds}"
        function = declared(writer.module, ir.FunctionType(ir.VoidType(), [v.type for v in values]), name)
        writer.translation.routines.add(name)
        writer.builder.call(function, values)

    def module(self, name: str) -> Any:
        """Return an IR module that defines the routine under a name that programs call it by.

        The name is that of the function, then that of the elements' type, then for each argument n for a number, w for a
        pointer to words, e for one to elements.
        """
        *_, element, letters = name.split(".")
        scalar = SCALARS[element]
        types = {"n": WORD, "w": WORD.as_pointer(), "e": scalar.memory.as_pointer()}
        module = ir.Module(name)
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), [types[letter] for letter in letters]), name)
        function.attributes.add("nounwind")
        code = Code(ir.IRBuilder(function.append_basic_block("entry")), scalar, apart=True)
        self.body(code, *(code.wrapped(argument) for argument in function.args))
        code.builder.ret_void()
        return module


def routine(body: Callable[..., None]) -> Routine:
    """Make a function of the code that writes it and of words and pointers one that kernels call."""
    return Routine(body)


def of_parts(*parts: Routine) -> Callable[[Callable[..., None]], Routine]:
    """Make one that calls others."""
    return lambda body: Routine(body, parts=parts)


def part(beyond: int) -> Callable[[Callable[..., None]], Routine]:
    """Make one that other routines call, for results of rows of more than so many bytes."""
    return lambda body: Routine(body, beyond)


def declared(module: Any, kind: Any, name: str) -> Any:
    """The declaration of a function of LLVM's in a module."""
    known = module.globals.get(name)
    return ir.Function(module, kind, name) if known is None else known


# ---------------------------------------------------------------- vectors


class Vectors:
    """Writes what tiles share: vectors of the code's elements."""

    def __init__(self, code: Code) -> None:
        self.builder = code.builder
        self.element = code.element
        self.lanes = code.lanes
        self.vector = ir.VectorType(self.element, self.lanes)
        self.bytes = code.dtype.itemsize
        self.zero = ir.Constant(self.vector, [0.0] * self.lanes)

    def _place(self, pointer: Pointer, index: Word | int) -> Any:
        return self.builder.bitcast((pointer + index).value, self.vector.as_pointer())

    def load(self, pointer: Pointer, index: Word | int) -> Any:
        """A vector from unaligned memory."""
        return self.builder.load(self._place(pointer, index), align=self.bytes)

    def store(self, value: Any, pointer: Pointer, index: Word | int) -> None:
        """A vector to unaligned memory."""
        self.builder.store(value, self._place(pointer, index), align=self.bytes)

    def _mask(self, have: Word) -> Any:
        numbers = ir.Constant(ir.VectorType(WORD, self.lanes), list(range(self.lanes)))
        return self.builder.icmp_signed("<", numbers, self.splat(have.value))

    def load_some(self, pointer: Pointer, have: Word) -> Any:
        """The first ``have`` elements of a vector, the others 0; nothing behind them is read."""
        mask, place = self._mask(have), self._place(pointer, 0)
        function = self._function("llvm.masked.load", self.vector, [place.type, ir.IntType(32), mask.type, self.vector], ".p0")
        return self.builder.call(function, [place, ir.IntType(32)(self.bytes), mask, self.zero])

    def store_some(self, value: Any, pointer: Pointer, have: Word) -> None:
        """Store the first ``have`` elements of a vector."""
        mask, place = self._mask(have), self._place(pointer, 0)
        kinds = [self.vector, place.type, ir.IntType(32), mask.type]
        function = self._function("llvm.masked.store", ir.VoidType(), kinds, ".p0")
        self.builder.call(function, [value, place, ir.IntType(32)(self.bytes), mask])

    def transposed(self, rows: list[Any]) -> list[Any]:
        """The columns of as many vectors as each has elements."""
        lane, half = ir.IntType(32), 1
        while half < self.lanes:
            following = list(rows)
            for k in range(self.lanes):
                if not k & half:
                    below = [i + (i & half and self.lanes - half) for i in range(self.lanes)]
                    above = [i + (half if not i & half else self.lanes) for i in range(self.lanes)]
                    for place, picks in ((k, below), (k + half, above)):
                        mask = ir.Constant(ir.VectorType(lane, self.lanes), picks)
                        following[place] = self.builder.shuffle_vector(rows[k], rows[k + half], mask)
            rows, half = following, 2 * half
        return rows

    def splat(self, scalar: Any) -> Any:
        """A vector of one number."""
        empty = ir.Constant(ir.VectorType(scalar.type, self.lanes), ir.Undefined)
        one = self.builder.insert_element(empty, scalar, ir.Constant(ir.IntType(32), 0))
        mask = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(one, empty, mask)

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        """``a * b + c``."""
        if not FUSED:
            return self.builder.fadd(self.builder.fmul(a, b), c)
        return self.builder.call(self._function("llvm.fma", self.vector, [self.vector] * 3), [a, b, c])

    def sum(self, value: Any) -> Any:
        """The sum of a vector's elements."""
        function = self._function("llvm.vector.reduce.fadd", self.element, [self.element, self.vector])
        return self.builder.call(function, [ir.Constant(self.element, 0.0), value], fastmath=("reassoc",))

    def _function(self, name: str, result: Any, arguments: list[Any], suffix: str = "") -> Any:
        full = f"{name}.v{self.lanes}f{self.bytes * 8}{suffix}"
        return declared(self.builder.module, ir.FunctionType(result, arguments), full)

    def loop(self, steps: Word, stride: int, count: int, step: Callable[[Word, list[Any]], list[Any]]) -> list[Any]:
        """Run ``step(index, sums) -> sums`` for the indices below ``steps``; returns ``count`` sums that began as 0."""
        b = self.builder
        before = b.block
        head, body, after = (b.append_basic_block(f"tile.{name}") for name in ("head", "body", "after"))
        b.branch(head)
        b.position_at_end(head)
        index = b.phi(WORD)
        index.add_incoming(ir.Constant(WORD, 0), before)
        sums = [b.phi(self.vector) for _ in range(count)]
        for phi in sums:
            phi.add_incoming(ir.Constant(self.vector, [0.0] * self.lanes), before)
        b.cbranch(Word(b, index) < steps, body, after)
        b.position_at_end(body)
        following = step(Word(b, index), sums)
        index.add_incoming(b.add(index, ir.Constant(WORD, stride)), b.block)
        for phi, value in zip(sums, following, strict=True):
            phi.add_incoming(value, b.block)
        b.branch(head)
        b.position_at_end(after)
        return sums
