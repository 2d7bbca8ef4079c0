"""Kernels from the text they are written in to LLVM IR.

A program file is valid Python, and Numba's language, too. But it uses little of either: numbers, loops, stores, and
calls of a closed vocabulary. This module writes IR for just that, in one walk over the syntax tree. Numba's front end, which
finds out types by fixed-point iteration, took two thirds of the time of a compilation: 0.30 of 0.44 s for a softmax.

What a text may hold: assignments to names, pairs of names and elements; ``for`` over ``range`` with a step above 0;
``while``, ``if``, ``continue``; arithmetic, comparisons, ``and``, ``or``, ``not``, conditional expressions; ``min`` and
``max`` of two; calls of types, as conversions, of other kernels, and of the vocabulary, which the caller gives. A variable has
one type, that of its latest assignment in the text. Numbers promote as in :mod:`tracegrad.codegen.kinds`; integer literals are
int64, others float64.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from llvmlite import ir

from tracegrad.codegen.kinds import INT64, TABLE, WORD, Buffer, Plain, Scalar, Table, arithmetic, common, convert
from tracegrad.codegen.shares import LOOP
from tracegrad.codegen.versions import confirms, exact_words, quick_words
from tracegrad.codegen.writer import KernelName, TranslationError, Typed, Writer

__all__ = ["ENTRY", "Translated", "contract", "entry_name", "translate"]

KERNEL = ir.FunctionType(ir.VoidType(), [WORD, WORD, WORD.as_pointer()])
ENTRY = ir.FunctionType(ir.VoidType(), [WORD.as_pointer()])


MANY_PRODUCTS, LONG_LOOP = 18, 450
"""More fused products than one exp has; instructions of loops that interleaving no longer helps."""

MANY_CONDITIONS = 3
"""Conditional loads of loops that are not unrolled: a derivative of neighbours has two, and gains by it."""

FINISH = "_finish"
"""In the names of kernels that combine what the chunks of another have made."""


def entry_name(program: str) -> str:
    """The entry's name in the module of a program: it is unique, as njit code may hold several programs."""
    return f"tracegrad_{program}"


Resolve = Callable[[str, str], Any]
"""``(module, name) -> Scalar, Meaning or float``: what an imported name means."""


class Translated(NamedTuple):
    """A program in IR: the module, the routines it is to be linked to, and its functions that run once a call or a block."""

    module: ir.Module
    routines: frozenset[str]
    seldom: frozenset[str]


def translate(text: str, name: str, arguments: tuple[Any, ...], resolve: Resolve, apart: bool) -> Translated:
    """Write a program as an IR module, whose entry is a function of the words of its arguments.

    Parameters
    ----------
    text: the program file.
    name: of the module.
    arguments: the entry's types: a Scalar, or an Address for an array.
    resolve: what imported names mean.
    apart: whether routines are left out of the module, to be linked to it.

    Raises
    ------
    TranslationError
        For a text that the language does not have, with the line.
    """
    translation = Translation(ast.parse(text), name, resolve, apart)
    translation.write_entry(arguments)
    contract(translation.module)
    return Translated(translation.module, frozenset(translation.routines), frozenset(translation.seldom))


def contract(module: ir.Module) -> None:
    """Allow products to be fused into sums, in all arithmetic that has no flags of its own."""
    for function in module.functions:
        for block in function.blocks:
            for instruction in block.instructions:
                if instruction.opname in ("fadd", "fsub", "fmul", "fdiv"):
                    if not instruction.flags:
                        instruction.flags.append("contract")
                elif instruction.opname == "call" and isinstance(instruction.type, (ir.FloatType, ir.DoubleType)):
                    instruction.fastmath.add("contract")


class Translation:
    """A program on its way into one IR module."""

    def __init__(self, tree: ast.Module, name: str, resolve: Resolve, apart: bool) -> None:
        self.module = ir.Module(name)
        self.apart = apart
        self.routines: set[str] = set()
        self.seldom: set[str] = set()
        self.names: dict[str, Any] = {}
        self.functions: dict[str, ast.FunctionDef] = {}
        self.entry: ast.FunctionDef | None = None
        for node in tree.body:
            if isinstance(node, ast.ImportFrom):
                self.names |= {alias.name: resolve(node.module or "", alias.name) for alias in node.names}
            elif isinstance(node, ast.FunctionDef) and any(isinstance(mark, ast.Call) for mark in node.decorator_list):
                self.entry = node
            elif isinstance(node, ast.FunctionDef):
                self.functions[node.name] = node
                self.names[node.name] = KernelName(node.name)
            elif not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
                raise TranslationError(f"line {node.lineno}: a program holds imports and functions")

    def kernel(self, name: str) -> ir.Function:
        """The IR function of a kernel, written when it is first asked for; optimised once, not in each launch."""
        known = self.module.globals.get(name)
        if known is not None:
            return known
        node = self.functions[name]
        if not confirms(node):
            return self._written(name, node, self.names)
        exact = self._written(f"{name}_exact", node, exact_words(self.names))
        return self._written(name, node, quick_words(self.names, exact))

    def _written(self, name: str, node: ast.FunctionDef, meanings: dict[str, Any]) -> ir.Function:
        function = self._function(name, KERNEL)
        function.linkage = "internal"
        function.attributes.add("noinline")
        names = [argument.arg for argument in node.args.args]
        given = [Typed(INT64, function.args[0]), Typed(INT64, function.args[1]), Typed(TABLE, function.args[2])]
        writer = FunctionWriter(self, function)
        writer.names = meanings
        writer.rare = name.endswith("_exact")
        writer.write(node, dict(zip(names, given, strict=True)))
        if writer.calls_kernels or FINISH in name:
            self.seldom.add(name)
        return function

    def write_entry(self, kinds: tuple[Any, ...]) -> None:
        """Write the entry, which finds the words of its arguments one behind the other."""
        if self.entry is None:
            raise TranslationError("the program has no entry")
        function = self._function(entry_name(self.module.name), ENTRY)
        writer = FunctionWriter(self, function)
        given = {}
        for place, (argument, kind) in enumerate(zip(self.entry.args.args, kinds, strict=True)):
            given[argument.arg] = writer.from_word(writer.word(Typed(TABLE, function.args[0]), place), kind)
        writer.write(self.entry, given)

    def _function(self, name: str, kind: ir.FunctionType) -> ir.Function:
        function = ir.Function(self.module, kind, name)
        function.attributes.add("nounwind")
        return function


class FunctionWriter(Writer):
    """Writes one function: its statements."""

    rare = False
    """Whether it runs where a quick version left something open: its loops take one vector at once, and are not unrolled."""

    def write(self, node: ast.FunctionDef, given: Mapping[str, Typed]) -> None:
        """Write the whole function."""
        for name, value in given.items():
            self.assign(name, value)
        self._statements(node.body)
        self.builder.ret_void()
        self._top.branch(self._start)

    def _statements(self, nodes: list[ast.stmt]) -> None:
        outer = self.block
        self.block = self._blocks = self._blocks + 1
        for node in nodes:
            write = _STATEMENTS.get(type(node))
            if write is None:
                raise self._wrong(node, f"{type(node).__name__} is not in the language")
            try:
                write(self, node)
            except TranslationError as error:
                raise error if str(error).startswith("line ") else self._wrong(node, str(error)) from None
        self.block = outer

    def _assign(self, node: ast.Assign) -> None:
        [target] = node.targets
        if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            values = [self._valued(each) for each in node.value.elts]
            for name, value in zip(target.elts, values, strict=True):
                self.assign(self._name(name), value)
        elif isinstance(target, ast.Subscript):
            self._store(target, self._valued(node.value))
        else:
            self.assign(self._name(target), self._valued(node.value))

    def _augmented(self, node: ast.AugAssign) -> None:
        value = self._valued(ast.copy_location(ast.BinOp(node.target, node.op, node.value), node))
        if isinstance(node.target, ast.Subscript):
            self._store(node.target, value)
        else:
            self.assign(self._name(node.target), value)

    def _store(self, target: ast.Subscript, value: Typed) -> None:
        into, index = self._valued(target.value), self._index(target.slice)
        if not isinstance(value.kind, Scalar):
            raise self._wrong(target, "only numbers are stored")
        place = self.builder.gep(into.value, [index], inbounds=True)
        if isinstance(into.kind, Table):
            self.builder.store(convert(self.builder, value.value, value.kind, INT64), place)
            return
        if not (isinstance(into.kind, Plain) or (isinstance(into.kind, Buffer) and into.kind.storable)):
            raise self._wrong(target, "this buffer was declared with read(); use write() or update() to store to it")
        element = into.kind.element
        number = convert(self.builder, value.value, value.kind, element)
        if element.kind == "b":
            number = self.builder.zext(number, element.memory)
        self._mark(self.builder.store(number, place), into.kind)

    def _for(self, node: ast.For) -> None:
        call = node.iter
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "range"):
            raise self._wrong(node, "loops run over range")
        bounds = [self._scalar(each) for each in call.args]
        kind = bounds[0].kind
        for bound in bounds[1:]:
            kind = common(kind, bound.kind)
        kind = arithmetic(kind, kind)
        words = [convert(self.builder, bound.value, bound.kind, kind) for bound in bounds]
        start, stop = (ir.Constant(WORD, 0), words[0]) if len(words) == 1 else words[:2]
        step = words[2] if len(words) == 3 else ir.Constant(WORD, 1)
        less = self.builder.icmp_signed if kind.signed else self.builder.icmp_unsigned
        # Tested before the loop and at its end: the form that LLVM brings loops into.
        head, latch, after = (self.function.append_basic_block(f"for.{name}") for name in ("body", "next", "end"))
        before = self.builder.block
        self.builder.cbranch(less("<", start, stop), head, after)
        self.builder.position_at_end(head)
        index = self.builder.phi(WORD)
        index.add_incoming(start, before)
        self.assign(self._name(node.target), Typed(kind, index))
        outside, self.outer = self.outer, _holds_loop(node.body)
        with self._loop(latch):
            self._statements(node.body)
        self.outer = outside
        self.builder.branch(latch)
        self.builder.position_at_end(latch)
        following = self.builder.add(index, step, flags=("nsw",) if kind.signed else ("nuw",))
        index.add_incoming(following, latch)
        back = self.builder.cbranch(less("<", following, stop), head, after)
        advice = [] if _holds_loop(node.body) else self._interleaved(head)
        self._advise(back, head, [*advice, *self._unrolled(node)])
        self.builder.position_at_end(after)

    def _advise(self, back: Any, head: Any, advice: list[tuple[Any, ...]]) -> None:
        """Tell LLVM what to do with a loop."""
        if advice:
            name = f"{LOOP} {self.function.name} {head.name}"
            back.set_metadata("llvm.loop", self.module.add_metadata([name, *(self.module.add_metadata(a) for a in advice)]))

    def _interleaved(self, head: Any) -> list[tuple[Any, ...]]:
        """Tell LLVM how many vectors an innermost loop of polynomials takes at once; it would take one or two.

        Their constants are then loaded once for all, and their long chains of operations overlap: layer norm with GELU takes
        1.9 ms in place of 2.3 on one core. One polynomial, or more values than registers, gain nothing.
        """
        if self.rare:
            return [("llvm.loop.interleave.count", ir.Constant(ir.IntType(32), 1)), ("llvm.loop.unroll.disable",)]
        blocks = self.function.basic_blocks
        steps = [each for block in blocks[blocks.index(head) :] for each in block.instructions]
        products = sum(each.opname == "call" and str(getattr(each.callee, "name", "")).startswith("llvm.fm") for each in steps)
        if products < MANY_PRODUCTS or len(steps) > LONG_LOOP:
            return []
        return [("llvm.loop.interleave.count", ir.Constant(ir.IntType(32), 4 if len(steps) <= LONG_LOOP * 2 // 3 else 2))]

    def _unrolled(self, loop: ast.For) -> list[tuple[Any, ...]]:
        """How LLVM is to unroll a loop: not where many loads have conditions, nor where it moves words, or walks over them.

        It would write out the loop of vectors several times, with more masks than there are registers: a step of the heat
        equation took 1.3 times as long, and its code half as long again to be made. A chain's loops over its words were
        3,000 instructions.
        """
        if _holds_loop(loop.body):
            return [("llvm.loop.unroll.disable",)] if isinstance(loop.iter, ast.Call) and len(loop.iter.args) == 3 else []
        nodes = list(ast.walk(loop))
        conditions = sum(_is_partial(node) for node in nodes)
        stores = [node for node in nodes if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store)]
        into = [(self.variables[each.value.id].kind, each.slice) for each in stores if isinstance(each.value, ast.Name)]
        advice: list[tuple[Any, ...]] = []
        if conditions >= MANY_CONDITIONS or any(isinstance(kind, (Table, Plain)) for kind, _ in into):
            advice.append(("llvm.loop.unroll.disable",))
        if any(isinstance(kind, Plain) for kind, _ in into):
            advice.append(("llvm.loop.interleave.count", ir.Constant(ir.IntType(32), 1)))
        if _folds(loop) or any(isinstance(kind, Table) and isinstance(index, ast.Subscript) for kind, index in into):
            advice.append(("llvm.loop.vectorize.enable", ir.Constant(ir.IntType(1), 0)))
        if _folds(loop):
            advice.append(("llvm.loop.unroll.disable",))
        return advice

    def _while(self, node: ast.While) -> None:
        body, latch, after = (self.function.append_basic_block(f"while.{name}") for name in ("body", "next", "end"))
        self.builder.cbranch(self._truth(node.test), body, after)
        self.builder.position_at_end(body)
        with self._loop(latch):
            self._statements(node.body)
        self.builder.branch(latch)
        self.builder.position_at_end(latch)
        self.builder.cbranch(self._truth(node.test), body, after)
        self.builder.position_at_end(after)

    @contextmanager
    def _loop(self, latch: Any) -> Iterator[None]:
        self._continues.append(latch)
        yield
        self._continues.pop()

    def _continue(self, node: ast.Continue) -> None:
        self.builder.branch(self._continues[-1])
        self.builder.position_at_end(self.function.append_basic_block("unreachable"))

    def _if(self, node: ast.If) -> None:
        yes, after = (self.function.append_basic_block(f"if.{name}") for name in ("then", "end"))
        no = self.function.append_basic_block("if.else") if node.orelse else after
        self.builder.cbranch(self._truth(node.test), yes, no)
        for block, statements in ((yes, node.body), (no, node.orelse)):
            if block is not after:
                self.builder.position_at_end(block)
                self._statements(statements)
                self.builder.branch(after)
        self.builder.position_at_end(after)

    def _expression(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call):
            self._call(node.value)
        elif not isinstance(node.value, ast.Constant):
            raise self._wrong(node, "this does nothing")

    def _pass(self, node: ast.Pass) -> None:
        pass


def _is_partial(node: ast.AST) -> bool:
    """Whether an expression is a load that has a condition, or of which a mask is kept."""
    if isinstance(node, ast.IfExp):
        return isinstance(node.body, ast.Subscript)
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "kept"


def _folds(loop: ast.For) -> bool:
    """Whether a loop adds up parts two by two: there are as many as chunks, and it is no work to speak of."""
    places: dict[type, set[tuple[str, str]]] = {ast.Store: set(), ast.Load: set()}
    for node in ast.walk(loop):
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
            places[type(node.ctx)].add((node.value.id, ast.dump(node.slice)))
    within = {name for name, _ in places[ast.Load]}
    return any(name in within for name, _ in places[ast.Store] - places[ast.Load])


def _holds_loop(nodes: list[ast.stmt]) -> bool:
    return any(isinstance(node, (ast.For, ast.While)) or _holds_loop(getattr(node, "body", [])) for node in nodes)


_STATEMENTS: dict[type, Callable[[FunctionWriter, Any], None]] = {
    ast.Assign: FunctionWriter._assign,
    ast.AugAssign: FunctionWriter._augmented,
    ast.For: FunctionWriter._for,
    ast.While: FunctionWriter._while,
    ast.If: FunctionWriter._if,
    ast.Continue: FunctionWriter._continue,
    ast.Expr: FunctionWriter._expression,
    ast.Pass: FunctionWriter._pass,
}
