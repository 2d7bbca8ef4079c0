"""From a scheduled part to the text of its kernel.

A part's loops are generated from its access pattern: neighbouring axes that all accesses walk alike are merged, the kept
axes are cut into chunks, and each value is computed in the outermost loop that has the indices it needs. Three shapes come
out of the same code:

- nothing reduced: ``for j`` over a chunk, or rows ``o`` with ``j`` inside;
- rows, the last axis reduced: ``for o`` over kept rows, passes over the reduced axes inside, results in scalars;
- columns, the last axis kept: passes ``for r … for j``, results accumulated in buffers, so that ``j`` vectorises.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tracegrad.codegen.text import (
    ABI,
    KernelText,
    Scope,
    Slot,
    accumulate_text,
    combine_text,
    dtype_name,
    index_parts,
    is_simple,
    number_text,
    scalar_text,
    select_text,
)
from tracegrad.core.expr import Axis, Floor, Guard, Index, Operand, flatten_index
from tracegrad.core.graph import Node
from tracegrad.core.op import Kind
from tracegrad.schedule.cost import chunking
from tracegrad.schedule.domain import Axes, Place, Vector, merge_axes, offset_in, own_index, places, squeeze
from tracegrad.schedule.program import Kernel, Level, Loop, Part, Program

LETTERS = "ijklmnpqrs"
UNROLLED = 16
"""Extents of reduced axes up to this one stand in the text."""
GIVEN = (Kind.INPUT, Kind.CONSTANT)
"""Kinds whose arrays come from outside of the program."""


def lower_part(program: Program, kernel: Kernel) -> KernelText:
    """The text of a kernel that is a part; it contains no size and no address."""
    assert kernel.part is not None
    return _PartWriter(program, kernel, kernel.part).write()


class _PartWriter:
    def __init__(self, program: Program, kernel: Kernel, part: Part) -> None:
        self.program = program
        self.graph = program.graph
        self.kernel = kernel
        self.part = part
        self.imports: set[tuple[str, str]] = {(ABI, "kernel")}
        self.slots: list[Slot] = []
        self.declared: dict[Any, str] = {}
        self.head: list[str] = []
        self.counts: dict[str, int] = {}
        self.loaded_back = self._loaded_back()
        self.axes = self._merged_axes()
        self.row_axes, self.vector_axis = self._roles()
        self.scopes: list[Scope] = [Scope(frozenset())]
        self.homes: dict[str, Scope] = {}
        """The block that each name is bound in."""

    # -- the domain ------------------------------------------------------------------------------------------------

    def _loaded_back(self) -> frozenset[int]:
        """Nodes of the part that one of its own passes loads from their buffers."""
        part = self.part
        back: set[int] = set()
        if part.by_columns:
            back |= {n for n, level in part.levels.items() if level is Level.ROW}
        seen: set[int] = set()
        for loop in part.loops:
            for n in loop.nodes:
                back |= {p.node for p in self._reads(n) if p.node in seen and p.node not in loop.nodes}
            for n in (*loop.reductions, *loop.totals):
                back |= {p.node for p in self._reads(n) if p.node in seen and p.node not in loop.nodes}
            seen |= set(loop.nodes)
        return frozenset(back)

    def _own_index(self, node: int) -> Vector:
        dropped = self.part.axes if self.part.levels[node] is Level.ROW else ()
        return own_index(self.graph[node].aval.shape, self.part.shape, dropped)

    def _operand_index(self, node: int) -> Vector:
        """The index at which a node of the part reads its operands."""
        n = self.graph[node]
        if n.op.kind is Kind.REDUCE:
            shape = self.graph[n.inputs[0]].aval.shape
            return own_index(shape, self.part.shape, () if squeeze(shape) == self.part.shape else self.part.axes)
        return self._own_index(node)

    def _reads(self, node: int) -> Iterator[Place]:
        n = self.graph[node]
        index = self._operand_index(node)
        if n.op.kind in (Kind.MAP, Kind.REDUCE):
            for i in n.inputs:
                yield from self._expand(i, index)
        elif n.op.kind is Kind.VIEW:
            yield from self._expand(node, index)
        else:
            yield Place(node, index, ())

    def _expand(self, node: int, index: Vector) -> Iterator[Place]:
        for place in places(self.graph, node, index):
            yield place
            if self._recomputed(place.node):
                for i in self.graph[place.node].inputs:
                    yield from self._expand(i, place.index)

    def _merged_axes(self) -> Axes:
        part = self.part
        offsets: set[Index] = set()
        fixed: set[int] = set()
        for node in part.levels:
            if part.levels[node] is Level.FINISH:
                continue
            own = self._own_index(node)
            if node in self.program.stored and part.levels[node] is not Level.TOTAL:
                offsets.add(flatten_index(own, self.graph[node].aval.shape))
            for place in self._reads(node):
                for guard in place.guards:
                    fixed |= guard.index.axes()
                if self.graph[place.node].op.kind is Kind.IOTA:
                    fixed |= place.index[0].axes()
                offset = offset_in(self.graph, place)
                if offset.is_affine:
                    offsets.add(offset)
                else:
                    fixed |= offset.axes()
        return merge_axes(part.shape, part.axes, offsets, frozenset(fixed))

    def _roles(self) -> tuple[tuple[int, ...], int | None]:
        """Loop axes that are walked row by row, and the kept axis that runs innermost, if one does."""
        kept = tuple(range(self.axes.kept))
        if self.part.axes and not self.part.by_columns:
            return kept, None
        return (kept[:-1], kept[-1]) if kept else ((), None)

    # -- names and slots -------------------------------------------------------------------------------------------

    def name(self, role: str) -> str:
        """A fresh name for a role."""
        k = self.counts.get(role, 0)
        self.counts[role] = k + 1
        return f"{role}{k}"

    def _slot(self, slot: Slot, role: str, text: str) -> str:
        position = len(self.slots) + 2
        self.slots.append(slot)
        name = self.name(role)
        self.head.append(f"{name} = " + text.format(k=position))
        return name

    def buffer(self, node: int) -> str:
        """The name of a node's buffer."""
        key = ("buffer", node)
        if key not in self.declared:
            mine = node in self.part.levels and self.graph[node].op.kind not in GIVEN
            access = ("update" if node in self.loaded_back else "write") if mine else "read"
            role = {"update": "kept", "write": "out", "read": "x"}[access]
            dtype = self.dtype_word(self.graph[node].aval.dtype)
            self.imports.add((ABI, access))
            self.declared[key] = self._slot(Slot("buffer", node), role, f"{access}(table, {{k}}, {dtype})")
        return self.declared[key]

    def output_copy(self, node: int) -> str:
        """The buffer that an input or constant array is copied into when it is itself an output."""
        key = ("copy", node)
        if key not in self.declared:
            dtype = self.dtype_word(self.graph[node].aval.dtype)
            self.imports.add((ABI, "write"))
            self.declared[key] = self._slot(Slot("output", node), "out", f"write(table, {{k}}, {dtype})")
        return self.declared[key]

    def dtype_word(self, dtype: np.dtype[Any]) -> str:
        """The ABI's name of a dtype, imported."""
        word = dtype_name(dtype)
        self.imports.add((ABI, word))
        return word

    def size(self, value: int) -> str:
        """An integer: literal where it is 0, 1 or -1, else a word of the table."""
        if value in (0, 1, -1):
            return str(value)
        return self._slot(Slot("size", value), "n", "table[{k}]")

    def number(self, value: Any, dtype: np.dtype[Any]) -> str:
        """A constant: literal where it is simple, else a word of the table."""
        if is_simple(value):
            if dtype.kind in "iuf" and dtype not in (np.float64, np.int64):
                self.dtype_word(dtype)
            return number_text(value, dtype)
        key = ("number", value.dtype.str, value.tobytes())
        if key not in self.declared:
            word = self.dtype_word(dtype)
            self.imports.add((ABI, "scalar"))
            self.declared[key] = self._slot(Slot("number", value, dtype), "c", f"scalar(table, {{k}}, {word})")
        return self.declared[key]

    def argument(self, node: int) -> str:
        """A 0-d input."""
        key = ("argument", node)
        if key not in self.declared:
            dtype = self.graph[node].aval.dtype
            word = self.dtype_word(dtype)
            self.imports.add((ABI, "scalar"))
            self.declared[key] = self._slot(Slot("argument", node, dtype), "a", f"scalar(table, {{k}}, {word})")
        return self.declared[key]

    # -- scopes ----------------------------------------------------------------------------------------------------

    @contextmanager
    def block(self, header: str | None, axes: frozenset[int]) -> Iterator[Scope]:
        """A nested block; its lines go to the enclosing one when it closes."""
        scope = Scope(self.scopes[-1].axes | axes, header)
        self.scopes.append(scope)
        yield scope
        self.scopes.pop()
        self.scopes[-1].lines.extend(scope.nested())

    def scope_for(self, axes: frozenset[int]) -> Scope:
        """The outermost open block that has these loop axes."""
        return next(s for s in self.scopes if axes <= s.axes)

    def _behind(self, scope: Scope, names: tuple[str, ...]) -> Scope:
        """A block, or the first one inside it in which all these names are bound."""
        deepest = max([self.scopes.index(scope), *(self.scopes.index(self.homes[n]) for n in names if n in self.homes)])
        return self.scopes[deepest]

    def known(self, key: Any) -> str | None:
        """The name of a value that an open block has computed."""
        return next((s.memo[key] for s in reversed(self.scopes) if key in s.memo), None)

    def assign(self, scope: Scope, key: Any, role: str, text: str, node: int | None = None) -> str:
        """Bind an expression to a fresh name in a block."""
        name = self.name(role)
        scope.lines.append((f"{name} = {text}", node))
        scope.memo[key] = name
        self.homes[name] = scope
        return name

    # -- indices ---------------------------------------------------------------------------------------------------

    def index_text(self, index: Index) -> str:
        """The text of an index over loop axes; what does not change in the innermost loops is named outside of them."""
        known = self.known(index)
        if known is not None:
            return known
        scope = self.scope_for(index.axes())
        inner = scope.axes - (self.scopes[self.scopes.index(scope) - 1].axes if scope is not self.scopes[0] else scope.axes)
        moving = Index(tuple(t for t in index.terms if self._term_axes(t) & inner), 0)
        still = Index(tuple(t for t in index.terms if not self._term_axes(t) & inner), index.constant)
        if moving.terms and (still.terms or still.constant):
            return self.assign(scope, index, "at", f"{self.index_text(still)} + {self._sum_text(moving)}")
        text = self._sum_text(index)
        if text.isidentifier() or text.lstrip("-").isdigit():
            return text
        return self.assign(scope, index, "at", text)

    @staticmethod
    def _term_axes(term: tuple[Any, int]) -> frozenset[int]:
        atom = term[0]
        return frozenset({atom.position}) if isinstance(atom, Axis) else atom.index.axes()

    def _sum_text(self, index: Index) -> str:
        pieces: list[str] = []
        for atom, coefficient in index_parts(index):
            if isinstance(atom, Axis):
                text = self.axis_name(atom.position)
            else:
                function = "quotient" if isinstance(atom, Floor) else "remainder"
                self.imports.add((ABI, function))
                text = f"{function}({self._sum_text(atom.index)}, {self.size(atom.divisor)})"
            if coefficient == -1:
                pieces.append(f"- {text}")
            elif coefficient == 1:
                pieces.append(f"+ {text}")
            else:
                pieces.append(f"+ {text} * {self.size(coefficient)}")
        if index.constant or not pieces:
            pieces.append(f"+ {self.size(index.constant)}")
        joined = " ".join(pieces)
        return joined[2:] if joined.startswith("+ ") else joined.replace("- ", "-", 1)

    def axis_name(self, position: int) -> str:
        """The name of a loop axis."""
        if position in self.row_axes and len(self.row_axes) == 1:
            return "o"
        return LETTERS[position] if position < len(LETTERS) else f"i{position}"

    def guard_text(self, guard: Guard) -> str | None:
        """The text of a condition without the sides that always hold."""
        low, high = guard.index.bounds
        index = self.axes.convert(guard.index)
        text = self._sum_text(index)
        if guard.high == guard.low + 1:
            return f"({text} == {self.size(guard.low)})"
        sides = []
        if low < guard.low:
            sides.append(f"({text} >= {self.size(guard.low)})")
        if high >= guard.high:
            sides.append(f"({text} < {self.size(guard.high)})")
        return " & ".join(sides) if sides else None

    def condition(self, guards: tuple[Guard, ...]) -> str | None:
        """A name for the conjunction of guards, None where they always hold."""
        live = tuple(dict.fromkeys(g for g in guards if not g.always))
        if not live:
            return None
        key = ("guards", live)
        known = self.known(key)
        if known is not None:
            return known
        axes = frozenset().union(*(self.axes.convert(g.index).axes() for g in live))
        texts = [t for t in (self.guard_text(g) for g in live) if t]
        return self.assign(self.scope_for(axes), key, "inside", " & ".join(texts))

    # -- values ----------------------------------------------------------------------------------------------------

    def value(self, node: int, index: Vector, guards: tuple[Guard, ...] = ()) -> str:
        """The text of a node's element at an index over domain axes; elements outside the guards are never touched."""
        n = self.graph[node]
        if n.op.kind is Kind.CONSTANT and n.aval.ndim == 0:
            return self.number(n.params["value"].value[()], n.aval.dtype)
        if n.op.kind is Kind.INPUT and n.aval.ndim == 0:
            return self.argument(node)
        if guards and self._loaded(node) and self._safe(node, index):
            guards = ()
        key = (node, index, guards)
        known = self.known(key)
        if known is not None:
            return known
        if self._loaded(node):
            return self._load(n, index, guards, key)
        if n.op.kind is Kind.VIEW:
            return self._view(n, index, guards)
        if n.op.kind is Kind.IOTA:
            at = self.axes.convert(index[0])
            text = self.index_text(at)
            return self.assign(self.scope_for(at.axes()), key, "at", text, node)
        operands = tuple(self.value(i, index, guards) for i in n.inputs)
        axes = frozenset().union(*(self.axes.convert(i).axes() for i in index), *self._guard_axes(guards))
        scope = self._behind(self.scope_for(axes), operands)
        return self.assign(scope, key, "t", self.map_text(n, operands), node)

    def _loaded(self, node: int) -> bool:
        """Whether an element comes from a buffer; its load then gives 0 outside of the guards."""
        n = self.graph[node]
        if n.op.kind in GIVEN:
            return n.aval.ndim > 0
        if n.op.kind in (Kind.VIEW, Kind.IOTA):
            return self._held(node)
        return not self._recomputed(node)

    def _safe(self, node: int, index: Vector) -> bool:
        """Whether an index stays inside the array on the whole domain, so that a load needs no condition."""
        return all(i.bounds[0] >= 0 and i.bounds[1] < n for i, n in zip(index, self.graph[node].aval.shape, strict=True))

    def _recomputed(self, node: int) -> bool:
        """Whether a node is computed wherever it is read; one that this part computes after its loops is, within them."""
        return node in self.program.floating and self.part.levels.get(node, Level.FINISH) is Level.FINISH

    def _guard_axes(self, guards: tuple[Guard, ...]) -> list[frozenset[int]]:
        return [self.axes.convert(g.index).axes() for g in guards]

    def _held(self, node: int) -> bool:
        """Whether a view or running index has been computed into a buffer that this kernel reads."""
        return node in self.program.stored and node not in self.part.levels and node in self.kernel.reads

    def _load(self, n: Node, index: Vector, guards: tuple[Guard, ...], key: Any) -> str:
        at = self.axes.convert(flatten_index(index, n.aval.shape))
        condition = self.condition(guards)
        axes = at.axes().union(*self._guard_axes(guards))
        scope = self.scope_for(axes)
        text = f"{self.buffer(n.id)}[{self.index_text(at)}]"
        if condition:
            text = f"{text} if {condition} else {self.number(n.aval.dtype.type(0), n.aval.dtype)}"
        return self.assign(scope, key, "t", text, n.id)

    def _view(self, n: Node, index: Vector, guards: tuple[Guard, ...]) -> str:
        reads = n.op.lower(index, *(self.graph[i].aval for i in n.inputs), **n.params)
        reads = [r for r in reads if not any(g.never for g in r.guards)]
        zero = n.aval.dtype.type(0)
        result: str | None = None
        for read in reversed(reads):
            operand = self.value(n.inputs[read.operand], read.index, guards + read.guards)
            condition = self.condition(read.guards)
            if condition is None:
                result = operand
            elif result is None:
                outside = self.number(zero, n.aval.dtype)
                loaded = self._loaded(n.inputs[read.operand]) and not self._safe(n.inputs[read.operand], read.index)
                result = operand if loaded else self._select(condition, operand, outside, n)
            else:
                result = self._select(condition, operand, result, n)
        return result if result is not None else self.number(zero, n.aval.dtype)

    def _select(self, condition: str, yes: str, no: str, n: Node) -> str:
        text = select_text(condition, yes, no, self.imports)
        return self.assign(self.scopes[-1], object(), "t", text, n.id)

    def map_text(self, n: Node, operands: tuple[str, ...]) -> str:
        """The expression of a MAP node over named operands."""
        dtypes = tuple(self.graph[i].aval.dtype for i in n.inputs)
        for dtype in (*dtypes, n.aval.dtype):
            if dtype.kind in "iuf":
                self.dtype_word(dtype)
        expression = n.op.lower(*(Operand(k) for k in range(len(operands))), **n.params)
        return scalar_text(expression, operands, dtypes, n.aval.dtype, self.imports)

    def compute(self, node: int) -> str:
        """Compute a node of the part in the innermost open block."""
        n = self.graph[node]
        index = self._own_index(node)
        key = (node, index, ())
        if n.op.kind is Kind.MAP:
            operands = tuple(self.value(i, index) for i in n.inputs)
            name = self.assign(self.scopes[-1], key, "t", self.map_text(n, operands), node)
        elif n.op.kind is Kind.REDUCE:
            # a reduction over axes of size 1 is its operand
            name = self.scopes[-1].memo[key] = self.value(n.inputs[0], self._operand_index(node))
        else:
            name = self._copied(n, index)
        return name

    def _copied(self, n: Node, index: Vector) -> str:
        """A view, constant, running index or input computed for its own sake, as an output or a template's operand."""
        if n.op.kind is Kind.VIEW:
            return self._view(n, index, ())
        if n.op.kind in GIVEN and n.aval.ndim:
            return self._load(n, index, (), object())
        if n.op.kind is Kind.IOTA:
            at = self.axes.convert(index[0])
            return self.index_text(at)
        return self.value(n.id, index)

    def store(self, node: int, name: str) -> None:
        """Write a value to its buffer in the innermost open block."""
        n = self.graph[node]
        at = self.axes.convert(flatten_index(self._own_index(node), n.aval.shape))
        buffer = self.output_copy(node) if n.op.kind in GIVEN else self.buffer(node)
        self.scopes[-1].lines.append((f"{buffer}[{self.index_text(at)}] = {name}", node))

    # -- loops -----------------------------------------------------------------------------------------------------

    def write(self) -> KernelText:
        """The whole kernel."""
        rows = math.prod(self.axes.extents[a] for a in self.row_axes)
        rest = math.prod(self.part.shape) // max(rows, 1) if rows else 0
        over_rows = bool(self.row_axes) or self.vector_axis is None
        count, per_row = (rows, rest) if over_rows else (self.axes.extents[self.vector_axis or 0], 1)
        if not over_rows and self.part.axes:
            reduced = math.prod(self.part.shape[k] for k in self.part.axes)
            chunk, chunks = chunking(count, max(reduced, 1))
            chunk = max(chunk, 64)
            chunks = -(-count // chunk)
        else:
            chunk, chunks = chunking(count, per_row)
        if 0 in self.part.shape and not self.part.axes:
            chunks = 0
        single = count == 1 and not self.row_axes and self.vector_axis is None
        partials = {t: self._partial(t, chunks) for t in self.part.totals}
        if single:
            self._chunk(partials, None, None)
        else:
            n, step = (
                self._slot(Slot("size", count), "n", "table[{k}]"),
                self._slot(Slot("size", chunk), "n", "table[{k}]"),
            )
            with self.block("for c in range(first, last):", frozenset()) as scope:
                scope.lines.append((f"start = c * {step}", None))
                scope.lines.append((f"stop = min(start + {step}, {n})", None))
                self._chunk(partials, "start", "stop")
        body = self.scopes[0].lines
        head = [(text, None) for text in self.head]
        lines: list[tuple[str, int | None]] = [("@kernel", None), ("def {name}(first, last, table):", None)]
        lines += [(f"    {text}", node) for text, node in (*head, *body)]
        finish = bool(self.part.totals or self.part.finish)
        if finish:
            lines += [("", None), ("", None), *self._finish()]
        return KernelText(
            source="\n".join(text for text, _ in lines) + "\n",
            imports=frozenset(self.imports),
            slots=tuple(self.slots),
            chunks=1 if single else chunks,
            finish=finish,
            parallel=self.kernel.parallel,
            origins={k: node for k, (_, node) in enumerate(lines) if node is not None},
        )

    def _partial(self, total: int, chunks: int) -> str:
        dtype = self.graph[total].aval.dtype
        self.imports.add((ABI, "update"))
        slot = Slot("partial", max(chunks, 1), dtype)
        return self._slot(slot, "partial", f"update(table, {{k}}, {self.dtype_word(dtype)})")

    def _chunk(self, partials: dict[int, str], start: str | None, stop: str | None) -> None:
        """The work of one chunk."""
        accumulators = {}
        for total in partials:
            accumulators[total] = self.name("total")
            self.scopes[-1].lines.append((f"{accumulators[total]} = {self._identity(total)}", total))
        if self.row_axes:
            with self.block(f"for o in range({start}, {stop}):", frozenset(self.row_axes)) as scope:
                self._decode(scope)
                self._passes(accumulators, "0", None)
        else:
            self._passes(accumulators, start or "0", stop)
        place = "c" if start else "0"
        for total, partial in partials.items():
            self.scopes[-1].lines.append((f"{partial}[{place}] = {accumulators[total]}", total))

    def _decode(self, scope: Scope) -> None:
        """Row number to the indices of the row axes."""
        if len(self.row_axes) == 1:
            return
        rest = "o"
        self.imports |= {(ABI, "quotient"), (ABI, "remainder")}
        for a in reversed(self.row_axes[1:]):
            extent = self.size(self.axes.extents[a])
            scope.lines.append((f"{self.axis_name(a)} = remainder({rest}, {extent})", None))
            scope.lines.append((f"{self.name('rest')} = quotient({rest}, {extent})", None))
            rest = f"rest{self.counts['rest'] - 1}"
        scope.lines.append((f"{self.axis_name(self.row_axes[0])} = {rest}", None))

    def _passes(self, accumulators: dict[int, str], start: str, stop: str | None) -> None:
        for loop in self.part.loops:
            self._row_maps(loop.rows, start, stop)
            self._pass(loop, accumulators, start, stop)
        self._row_maps(self.part.last_rows, start, stop)
        if self.part.row_totals:
            with self._vector(start, stop) if self.part.by_columns else self.block(None, frozenset()):
                for total in self.part.row_totals:
                    self._accumulate(total, accumulators[total])

    @contextmanager
    def _vector(self, start: str, stop: str | None) -> Iterator[Scope]:
        """The loop over the innermost kept axis."""
        if self.vector_axis is None:
            with self.block(None, frozenset()) as scope:
                yield scope
            return
        end = stop if not self.row_axes and stop else self.size(self.axes.extents[self.vector_axis])
        name = self.axis_name(self.vector_axis)
        with self.block(f"for {name} in range({start}, {end}):", frozenset({self.vector_axis})) as scope:
            yield scope

    @contextmanager
    def _reduced(self) -> Iterator[None]:
        """The loops over the reduced axes."""
        opened = []
        for a in range(self.axes.kept, len(self.axes.extents)):
            extent = self.axes.extents[a]
            # a window of a few elements is unrolled; axis 0 is left alone, since it usually counts a batch
            count = str(extent) if extent <= UNROLLED and 0 not in self.part.axes else self.size(extent)
            header = f"for {self.axis_name(a)} in range({count}):"
            manager = self.block(header, frozenset({a}))
            manager.__enter__()
            opened.append(manager)
        yield
        for manager in reversed(opened):
            manager.__exit__(None, None, None)

    def _row_maps(self, nodes: tuple[int, ...], start: str, stop: str | None) -> None:
        if not nodes:
            return
        if not self.part.by_columns:
            for node in nodes:
                name = self.compute(node)
                if node in self.program.stored:
                    self.store(node, name)
            return
        with self._vector(start, stop):
            for node in nodes:
                self.store(node, self.compute(node))

    def _pass(self, loop: Loop, accumulators: dict[int, str], start: str, stop: str | None) -> None:
        rows: dict[int, str] = {}
        if not (loop.nodes or loop.reductions or loop.totals):
            return
        if self.part.by_columns:
            if loop.reductions:
                with self._vector(start, stop):
                    for n in loop.reductions:
                        self.store(n, self._identity(n))
        else:
            for n in loop.reductions:
                rows[n] = self.name("row")
                self.scopes[-1].lines.append((f"{rows[n]} = {self._identity(n)}", n))
                self.homes[rows[n]] = self.scopes[-1]
        with self._reduced(), self._vector(start, stop):
            stored = self.program.stored
            for node in loop.nodes:
                name = self.compute(node)
                if node in stored and self._stores_in(node, loop):
                    self.store(node, name)
            for n in loop.totals:
                self._accumulate(n, accumulators[n])
            for n in loop.reductions:
                if self.part.by_columns:
                    at = self.axes.convert(flatten_index(self._own_index(n), self.graph[n].aval.shape))
                    target = f"{self.buffer(n)}[{self.index_text(at)}]"
                    self._accumulate(n, target)
                else:
                    self._accumulate(n, rows[n])
        for n, name in rows.items():
            self.scopes[-1].memo[(n, self._own_index(n), ())] = name
            if n in self.program.stored:
                self.store(n, name)

    def _stores_in(self, node: int, loop: Loop) -> bool:
        return next(k for k in self.part.loops if node in k.nodes) is loop

    def _combine(self, node: int) -> str:
        return str(self.graph[node].op.lower.combine)

    def _accumulate(self, node: int, target: str) -> None:
        n = self.graph[node]
        operand = self.value(n.inputs[0], self._operand_index(node))
        combine = self._combine(node)
        text = accumulate_text(combine, target, operand, self.imports)
        if n.aval.dtype.kind in "iu" and n.aval.dtype != np.int64:
            text = f"{self.dtype_word(n.aval.dtype)}({text})"
        self.scopes[-1].lines.append((f"{target} = {text}", node))

    def _identity(self, node: int) -> str:
        n = self.graph[node]
        identity = n.op.lower.identity
        dtype = n.aval.dtype
        if dtype.kind in "iuf":
            self.dtype_word(dtype)
        if isinstance(identity, str):
            if dtype.kind == "f":
                self.imports.add(("math", "inf"))
                return number_text(-math.inf if identity == "lowest" else math.inf, dtype)
            info = np.iinfo(dtype)
            return number_text(info.min if identity == "lowest" else info.max, dtype)
        return number_text(bool(identity) if dtype.kind == "b" else identity, dtype)

    # -- after the loops -------------------------------------------------------------------------------------------

    def _finish(self) -> list[tuple[str, int | None]]:
        """The function that combines partial results pairwise, in an order that depends on their number alone."""
        scope = Scope(frozenset())
        self.scopes = [scope]
        self.declared = {}
        self.head = []
        loops = list(self.slots)
        partial_slots = {
            t: k for k, t in zip((k for k, s in enumerate(loops) if s.kind == "partial"), self.part.totals, strict=True)
        }
        for total in self.part.totals:
            n = self.graph[total]
            word = self.dtype_word(n.aval.dtype)
            partial = f"part{partial_slots[total]}"
            self.head.append(f"{partial} = update(table, {partial_slots[total] + 2}, {word})")
            combine = self._combine(total)
            both = combine_text(combine, f"{partial}[2 * i]", f"{partial}[2 * i + 1]", self.imports)
            result = self.name("whole")
            scope.lines += [
                ("count = table[0]", None),
                ("while count > 1:", None),
                ("    half = count // 2", None),
                ("    for i in range(half):", None),
                (f"        {partial}[i] = {both}", total),
                ("    if count % 2 != 0:", None),
                (f"        {partial}[half] = {partial}[count - 1]", None),
                ("    count = half + count % 2", None),
                (f"{result} = {partial}[0] if table[0] > 0 else {self._identity(total)}", total),
            ]
            scope.memo[(total, (Index(),) * n.aval.ndim, ())] = result
            self.homes[result] = scope
            if total in self.program.stored:
                scope.lines.append((f"{self.buffer(total)}[0] = {result}", total))
        for node in self.part.finish:
            name = self.compute(node)
            if node in self.program.stored:
                self.store(node, name)
        lines: list[tuple[str, int | None]] = [("@kernel", None), ("def {name}_finish(first, last, table):", None)]
        return lines + [(f"    {text}", node) for text, node in [(t, None) for t in self.head] + scope.lines]
