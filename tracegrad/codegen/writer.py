"""Expressions of the language of kernels, and what a function being written knows.

The language is that of :mod:`tracegrad.codegen.translate`. A variable has one type, that of its latest assignment in the text.
Numbers promote as in :mod:`tracegrad.codegen.kinds`; integer literals are int64, others float64.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from llvmlite import ir

from tracegrad.codegen import mathlib_basic as basic
from tracegrad.codegen.kinds import (
    BOOLEAN,
    FLOAT64,
    INT64,
    WORD,
    Buffer,
    Plain,
    Scalar,
    Table,
    arithmetic,
    common,
    convert,
)
from tracegrad.codegen.mathlib_lane import Lane

__all__ = ["READS", "Address", "KernelName", "Meaning", "Program", "TranslationError", "Typed", "Writer"]


class TranslationError(Exception):
    """A program text that the language does not have: a fault of whoever wrote the text."""


class Typed(NamedTuple):
    """A value: its type, and what stands for it in IR."""

    kind: Any
    value: Any


class KernelName(NamedTuple):
    """A kernel of the file."""

    name: str


class Address(NamedTuple):
    """The type of an entry's array: the address of its first element, as a word."""

    element: Scalar


class Meaning(Protocol):
    """What a word of the vocabulary means: it emits a call, and gives its value if there is one."""

    def emit(self, writer: Writer, arguments: list[Any]) -> Typed | None:
        """Write a call of these arguments: values, or types and kernels by name."""
        ...


class Program(Protocol):
    """The program that functions belong to: its module, what its names mean, its routines."""

    module: ir.Module
    names: dict[str, Any]
    apart: bool
    routines: set[str]

    def kernel(self, name: str) -> ir.Function:
        """The IR function of a kernel, written when it is first asked for."""
        ...


COMPARISONS = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}
ARITHMETIC = {ast.Add: ("fadd", "add"), ast.Sub: ("fsub", "sub"), ast.Mult: ("fmul", "mul")}
BITS = {ast.BitAnd: "and_", ast.BitOr: "or_", ast.BitXor: "xor"}


READS = "reads"
"""The scope of all buffers that a kernel only loads from."""


class Writer:
    """Writes expressions into one function.

    Parameters
    ----------
    translation: the program it belongs to.
    function: the IR function, still empty.
    """

    def __init__(self, translation: Program, function: ir.Function) -> None:
        self.translation = translation
        self.module = translation.module
        self.names = translation.names
        """What names mean that are not variables."""
        self.function = function
        self._top = ir.IRBuilder(function.append_basic_block("entry"))
        self.builder = ir.IRBuilder(function.append_basic_block("body"))
        self._start = self.builder.block
        self.variables: dict[str, Typed] = {}
        self._introduced: dict[str, int] = {}
        self._blocks = 0
        self.block = 0
        """The number of the block of statements that is being written."""
        self.outer = False
        """Whether it is in a loop that has another loop inside."""
        self.calls_kernels = False
        """Whether it drives other kernels."""
        self._continues: list[Any] = []
        self._scopes: list[str] = []

    def reserve(self, kind: Any, count: int | None = None) -> Any:
        """Memory on the stack of the call, taken once also where this stands in a loop."""
        return self._top.alloca(kind, count)

    def word(self, table: Typed, slot: int | Any) -> Any:
        """A word of a table."""
        return self.builder.load(self.builder.gep(table.value, [_as_word(slot)], inbounds=True))

    def from_word(self, word: Any, kind: Any) -> Typed:
        """The scalar in the low bits of a word; the word itself for an address."""
        if not isinstance(kind, Scalar) or kind.value == WORD:
            return Typed(kind, word)
        narrow = word if kind.bits == 64 else self.builder.trunc(word, ir.IntType(kind.bits))
        return Typed(kind, self.builder.bitcast(narrow, kind.value))

    def assign(self, name: str, value: Typed) -> None:
        """Give a variable a value; one of another type makes it another variable, if it is in the same block."""
        known = self.variables.get(name)
        if known is None or known.kind != value.kind:
            if known is not None and self._introduced[name] != self.block:
                raise TranslationError(f"{name} has values of two types: {known.kind} and {value.kind}")
            known = self.variables[name] = Typed(value.kind, self.reserve(value.value.type))
            self._introduced[name] = self.block
        self.builder.store(value.value, known.value)

    # -- expressions -----------------------------------------------------------------------------------------------

    def _valued(self, node: ast.expr) -> Typed:
        write = _EXPRESSIONS.get(type(node))
        if write is None:
            raise self._wrong(node, f"{type(node).__name__} is not in the language")
        value = write(self, node)
        if not isinstance(value, Typed):
            raise self._wrong(node, "this is not a value")
        return value

    def _scalar(self, node: ast.expr) -> Typed:
        value = self._valued(node)
        if not isinstance(value.kind, Scalar):
            raise self._wrong(node, "this is not a number")
        return value

    def _index(self, node: ast.expr) -> Any:
        """A position; integers are widened by their own sign, and no negative one counts from the end."""
        value = self._scalar(node)
        if value.kind.kind not in "iu":
            raise self._wrong(node, "a position is an integer")
        return convert(self.builder, value.value, value.kind, INT64)

    def _truth(self, node: ast.expr) -> Any:
        value = self._scalar(node)
        return convert(self.builder, value.value, value.kind, BOOLEAN)

    def _constant(self, node: ast.Constant) -> Typed:
        if isinstance(node.value, bool):
            return Typed(BOOLEAN, ir.Constant(BOOLEAN.value, int(node.value)))
        if isinstance(node.value, int):
            return Typed(INT64, ir.Constant(WORD, node.value))
        if isinstance(node.value, float):
            return Typed(FLOAT64, ir.Constant(FLOAT64.value, node.value))
        raise self._wrong(node, f"{node.value!r} is not a number")

    def _variable(self, node: ast.Name) -> Any:
        known = self.variables.get(node.id)
        if known is not None:
            return Typed(known.kind, self.builder.load(known.value))
        if node.id not in self.names:
            raise self._wrong(node, f"{node.id} has no value here")
        meaning = self.names[node.id]
        return Typed(FLOAT64, ir.Constant(FLOAT64.value, meaning)) if isinstance(meaning, float) else meaning

    def _subscript(self, node: ast.Subscript) -> Typed:
        source, index = self._valued(node.value), self._index(node.slice)
        if not isinstance(source.kind, (Table, Buffer, Plain)):
            raise self._wrong(node, "this has no elements")
        if isinstance(source.kind, Table):
            return Typed(INT64, self.word(source, index))
        if isinstance(source.kind, Buffer) and not source.kind.loadable:
            raise self._wrong(node, "this buffer was declared with write(); use update() to load from it as well")
        loaded = self.builder.load(self.builder.gep(source.value, [index], inbounds=True))
        self._mark(loaded, source.kind)
        element = source.kind.element
        return Typed(element, self.builder.trunc(loaded, element.value) if element.kind == "b" else loaded)

    def _binary(self, node: ast.BinOp) -> Typed:
        return self._combined(node, self._scalar(node.left), self._scalar(node.right))

    def _combined(self, node: ast.BinOp, a: Typed, b: Typed) -> Typed:
        operation = type(node.op)
        kind = arithmetic(a.kind, b.kind)
        if operation in BITS:
            if kind.kind == "f":
                raise self._wrong(node, "bits of floats are not combined")
            kind = BOOLEAN if a.kind is b.kind is BOOLEAN else kind
            return Typed(kind, getattr(self.builder, BITS[operation])(*self._as(kind, a, b)))
        x, y = self._as(kind, a, b)
        if operation in ARITHMETIC:
            floating, whole = ARITHMETIC[operation]
            result = getattr(self.builder, floating if kind.kind == "f" else whole)(x, y)
            return Typed(kind, self._settled(result) if self.outer and kind.kind != "f" and operation is ast.Mult else result)
        if operation in (ast.FloorDiv, ast.Mod) and kind.kind != "f":
            formula = basic.floor_divide_integer if operation is ast.FloorDiv else basic.remainder_integer
            return Typed(kind, formula(Lane(self.builder, x), Lane(self.builder, y), signed=kind.signed).value)
        raise self._wrong(node, f"{operation.__name__} of {kind.name} is not in the language")

    def _settled(self, product: Any) -> Any:
        """A product of two sizes or indices, such as where a row begins, as a number that LLVM does not look into.

        It would try all ways to spread the terms of a row's beginning over the addresses in the loop inside: two thirds of
        the time of code generation for a stencil of five points, and its loop was 3 % slower.
        """
        if any(isinstance(factor, ir.Constant) for factor in product.operands):
            return product
        block = self.builder.block
        settled = ir.instructions.Instruction(block, product.type, "freeze", [product])
        block.instructions.append(settled)
        self.builder.position_at_end(block)
        return settled

    def _as(self, kind: Scalar, *values: Typed) -> list[Any]:
        return [convert(self.builder, value.value, value.kind, kind) for value in values]

    def _unary(self, node: ast.UnaryOp) -> Typed:
        if isinstance(node.op, ast.Not):
            return Typed(BOOLEAN, self.builder.not_(self._truth(node.operand)))
        value = self._scalar(node.operand)
        if isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant) and value.kind is INT64:
            return Typed(INT64, ir.Constant(WORD, -value.value.constant))
        if isinstance(node.op, ast.USub) and value.kind.kind == "f":
            return Typed(value.kind, self.builder.fneg(value.value))
        kind = arithmetic(value.kind, value.kind)
        number = value.value if value.kind is not BOOLEAN else convert(self.builder, value.value, BOOLEAN, kind)
        source = kind if value.kind is BOOLEAN else value.kind
        if isinstance(node.op, ast.USub):
            return Typed(kind, convert(self.builder, self.builder.neg(number), source, kind))
        if isinstance(node.op, ast.Invert) and value.kind.kind != "f":
            return Typed(kind, convert(self.builder, self.builder.not_(number), source, kind))
        raise self._wrong(node, f"{type(node.op).__name__} of {value.kind.name} is not in the language")

    def _compare(self, node: ast.Compare) -> Typed:
        if len(node.ops) != 1:
            raise self._wrong(node, "comparisons are of two")
        a, b = self._scalar(node.left), self._scalar(node.comparators[0])
        return Typed(BOOLEAN, self._compared(COMPARISONS[type(node.ops[0])], common(a.kind, b.kind), a, b))

    def _compared(self, sign: str, kind: Scalar, a: Typed, b: Typed) -> Any:
        x, y = self._as(kind, a, b)
        if kind.kind == "f":  # NaN is unequal to everything
            return (self.builder.fcmp_unordered if sign == "!=" else self.builder.fcmp_ordered)(sign, x, y)
        return (self.builder.icmp_signed if kind.signed else self.builder.icmp_unsigned)(sign, x, y)

    def _logical(self, node: ast.BoolOp) -> Typed:
        """All operands are computed: none has an effect, or fails."""
        result, *others = [self._truth(each) for each in node.values]
        for other in others:
            result = (self.builder.or_ if isinstance(node.op, ast.Or) else self.builder.and_)(result, other)
        return Typed(BOOLEAN, result)

    def _conditional(self, node: ast.IfExp) -> Typed:
        """Only one side is computed, as the other may load from where nothing is."""
        yes, no, after = (self.function.append_basic_block(f"either.{name}") for name in ("this", "that", "end"))
        self.builder.cbranch(self._truth(node.test), yes, no)
        sides, ends = [], []
        for block, side in ((yes, node.body), (no, node.orelse)):
            self.builder.position_at_end(block)
            sides.append(self._valued(side))
            ends.append(self.builder.block)
        kind: Any = sides[0].kind
        if isinstance(kind, Scalar) and isinstance(sides[1].kind, Scalar):
            kind = common(kind, sides[1].kind)
        elif kind != sides[1].kind:
            raise self._wrong(node, "the sides are of different types")
        values = []
        for end, chosen in zip(ends, sides, strict=True):
            self.builder.position_at_end(end)
            same = chosen.kind == kind
            values.append(chosen.value if same else convert(self.builder, chosen.value, chosen.kind, kind))
            self.builder.branch(after)
        self.builder.position_at_end(after)
        result = self.builder.phi(values[0].type)
        for value, end in zip(values, ends, strict=True):
            result.add_incoming(value, end)
        return Typed(kind, result)

    # -- calls -----------------------------------------------------------------------------------------------------

    def _call(self, node: ast.Call) -> Typed | None:
        name = self._name(node.func)
        if node.keywords:
            raise self._wrong(node, "calls have no keywords")
        arguments = [self._argument(each) for each in node.args]
        if name in ("min", "max"):
            a, b = arguments
            kind = common(a.kind, b.kind)
            chosen = self._compared("<" if name == "min" else ">", kind, b, a)
            x, y = self._as(kind, a, b)
            return Typed(kind, self.builder.select(chosen, y, x))
        meaning: Any = self.names.get(name)
        if isinstance(meaning, Scalar):
            [value] = arguments
            return Typed(meaning, convert(self.builder, value.value, value.kind, meaning))
        if isinstance(meaning, KernelName):
            self.calls_kernels = True
            self.builder.call(self.translation.kernel(meaning.name), [value.value for value in arguments])
            return None
        if not hasattr(meaning, "emit"):
            raise self._wrong(node, f"{name} is not in the vocabulary")
        result: Typed | None = meaning.emit(self, arguments)
        return result

    def _argument(self, node: ast.expr) -> Any:
        """A value, or the name of a type or kernel."""
        meaning = self.names.get(node.id) if isinstance(node, ast.Name) else None
        return meaning if isinstance(meaning, (Scalar, KernelName)) else self._valued(node)

    def _name(self, node: ast.expr) -> str:
        if not isinstance(node, ast.Name):
            raise self._wrong(node, "this is not a name")
        return node.id

    def _wrong(self, node: Any, what: str) -> TranslationError:
        text = ast.unparse(node) if isinstance(node, ast.AST) else ""
        return TranslationError(f"line {getattr(node, 'lineno', '?')}, {text.partition(chr(10))[0]!r}: {what}")

    # -- alias scopes ----------------------------------------------------------------------------------------------

    # Beyond about 12 arrays LLVM gives up on checking at run time that they do not overlap, and a loop over 16 + 16
    # arrays stays scalar: 38.7 µs at n = 1000 without these scopes, 9.5 with them. Scopes are named by strings, since
    # llvmlite cannot make the self-referential nodes that are usual; the domain is the function, so nothing is claimed
    # between functions, and where LLVM inlines one it renames them.

    def declare_scope(self, name: str) -> None:
        """Declare a stored-to buffer, so that later stores through other buffers say they leave it alone."""
        if name not in self._scopes:
            self._scopes.append(name)

    def _mark(self, instruction: Any, kind: Buffer | Plain) -> None:
        """Say what a load or store goes through.

        It is enough that of two accesses one excludes the other's scope, so a load through a read-only buffer excludes
        nothing and a store excludes the reads and the buffers declared so far.
        """
        if isinstance(kind, Plain):
            return
        domain = self.module.add_metadata([f"tracegrad {self.function.name}"])
        scope = {name: self.module.add_metadata([name, domain]) for name in (kind.scope, READS, *self._scopes)}
        instruction.set_metadata("alias.scope", self.module.add_metadata([scope[kind.scope]]))
        if kind.scope != READS:
            others = [scope[name] for name in (READS, *self._scopes) if name != kind.scope]
            instruction.set_metadata("noalias", self.module.add_metadata(others))


def _as_word(slot: Any) -> Any:
    return ir.Constant(WORD, slot) if isinstance(slot, int) else slot


_EXPRESSIONS: dict[type, Callable[[Writer, Any], Any]] = {
    ast.Constant: Writer._constant,
    ast.Name: Writer._variable,
    ast.Subscript: Writer._subscript,
    ast.BinOp: Writer._binary,
    ast.UnaryOp: Writer._unary,
    ast.Compare: Writer._compare,
    ast.BoolOp: Writer._logical,
    ast.IfExp: Writer._conditional,
    ast.Call: Writer._call,
}
