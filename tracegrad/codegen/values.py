"""The values of a part as text: names, table slots, blocks, indices and loads.

A value is computed in the outermost open block that has the indices it needs, and has one name there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tracegrad.codegen.doubt import Doubt
from tracegrad.codegen.text import (
    ABI,
    MATHLIB,
    Scope,
    Slot,
    dtype_name,
    index_parts,
    is_simple,
    number_text,
    scalar_text,
    select_text,
)
from tracegrad.core.counted import both
from tracegrad.core.expr import Axis, Floor, Guard, Index, Operand, flatten_index
from tracegrad.core.graph import Node
from tracegrad.core.op import Kind
from tracegrad.schedule.domain import Axes, Place, Vector, merge_axes, offset_in, own_index, places, squeeze
from tracegrad.schedule.fuse import SHORT_STRIDE
from tracegrad.schedule.program import Kernel, Level, Part, Program

LETTERS = "ijklmnpqrs"
GIVEN = (Kind.INPUT, Kind.CONSTANT)
_LONG_LOOP = re.compile(r"for \w+ in range\(.*[a-z]")
"""A loop of as many turns as the sizes say."""
"""Kinds whose arrays come from outside of the program."""


class ValueWriter:
    """What a part computes, as lines in nested blocks; the blocks themselves are opened by a subclass."""

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
        self._expanded: dict[tuple[int, Vector], tuple[Place, ...]] = {}
        self.held = frozenset(n for n in kernel.reads if self.graph[n].op.kind is Kind.VIEW and self._held(n))
        self.loaded_back = frozenset(part.levels)
        self.loaded_back = self._loaded_back()
        self._expanded.clear()
        self.axes = self._merged_axes()
        self.row_axes, self.vector_axis = self._roles()
        self.scopes: list[Scope] = [Scope(frozenset())]
        self.homes: dict[str, Scope] = {}
        """The block that each name is bound in."""
        self.doubt = Doubt(self.name)

    # -- the domain ------------------------------------------------------------------------------------------------

    def _loaded_back(self) -> frozenset[int]:
        """Nodes of the part that one of its own passes loads from their buffers."""
        part = self.part
        back: set[int] = set(part.columns)
        if part.by_columns:
            back |= {n for n, level in part.levels.items() if level is Level.ROW}
        seen: set[int] = set()
        for loop in part.loops:
            for n in loop.nodes:
                back |= {p.node for p in self._reads(n) if p.node in seen and p.node not in loop.nodes}
            for n in (*loop.reductions, *loop.columns, *loop.totals):
                back |= {p.node for p in self._reads(n) if p.node in seen and p.node not in loop.nodes}
            seen |= set(loop.nodes)
        return frozenset(back)

    def _own_index(self, node: int) -> Vector:
        level = self.part.levels[node]
        dropped = self.part.axes if level is Level.ROW else self.part.kept if level is Level.COLUMN else ()
        return own_index(self.graph[node].aval.shape, self.part.shape, dropped)

    def own_offset(self, node: int, place: int = 0) -> Index:
        """The offset of a node's own element in its buffer, or at one of its places; what is spilled has one row."""
        if node in self.program.placed:
            return self.program.placed[node][place].seen_by(self._own_index(node)).offset(self.graph)
        if node not in self.part.spilled:
            return flatten_index(self._own_index(node), self.graph[node].aval.shape)
        row = tuple(self.part.shape[k] for k in self.part.axes)
        return flatten_index(own_index(row, self.part.shape, self.part.kept), row)

    def _stores_of(self, node: int) -> int:
        return len(self.program.placed.get(node, (node,)))

    def _offset(self, place: Place) -> Index:
        """The offset at which a node is loaded."""
        if place.node in self.loaded_back and place.node in self.program.placed:
            return self.program.placed[place.node][0].seen_by(place.index).offset(self.graph)
        return offset_in(self.graph, place)

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

    def _expand(self, node: int, index: Vector) -> tuple[Place, ...]:
        known = self._expanded.get((node, index))
        if known is None:
            found: list[Place] = []
            for place in places(self.graph, node, index, held=self.held):
                found.append(place)
                if self._recomputed(place.node) or self._again(place.node, place.index):
                    for i in self.graph[place.node].inputs:
                        found.extend(self._expand(i, place.index))
            known = self._expanded[(node, index)] = tuple(dict.fromkeys(found))
        return known

    def _merged_axes(self) -> Axes:
        part = self.part
        offsets: set[Index] = set()
        fixed: set[int] = set()
        for node in part.levels:
            if part.levels[node] is Level.FINISH:
                continue
            if node in self.program.stored | part.spilled and part.levels[node] is not Level.TOTAL:
                offsets |= {self.own_offset(node, k) for k in range(self._stores_of(node))}
            for place in self._reads(node):
                for guard in place.guards:
                    fixed |= guard.index.axes()
                if self.graph[place.node].op.kind is Kind.IOTA:
                    fixed |= place.index[0].axes()
                offset = self._offset(place)
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

    def buffer(self, node: int, place: int = 0) -> str:
        """The name of a node's buffer, or of that in which it has one of its places."""
        mine = node in self.part.levels and self.graph[node].op.kind not in GIVEN
        if mine and node in self.program.placed and node not in self.loaded_back:
            return self._inside(self.program.placed[node][place].host)
        key = ("buffer", node, place) if place else ("buffer", node)
        if key not in self.declared:
            access = ("update" if node in self.loaded_back else "write") if mine else "read"
            role = {"update": "kept", "write": "out", "read": "x"}[access]
            dtype = self.dtype_word(self.graph[node].aval.dtype)
            self.imports.add((ABI, access))
            where = self.program.placed.get(node) if mine else None
            slot = Slot("buffer", where[place].host if where else node)
            self.declared[key] = self._slot(slot, role, f"{access}(table, {{k}}, {dtype})")
        return self.declared[key]

    def output_copy(self, node: int, place: int = 0) -> str:
        """The buffer that an input or constant array is copied into, when it is itself an output or a part of an array."""
        if node in self.program.placed:
            return self._inside(self.program.placed[node][place].host)
        key = ("copy", node)
        if key not in self.declared:
            dtype = self.dtype_word(self.graph[node].aval.dtype)
            self.imports.add((ABI, "write"))
            self.declared[key] = self._slot(Slot("output", node), "out", f"write(table, {{k}}, {dtype})")
        return self.declared[key]

    def _inside(self, host: int) -> str:
        """The buffer of an array that the part stores parts of."""
        key = ("inside", host)
        if key not in self.declared:
            dtype = self.dtype_word(self.graph[host].aval.dtype)
            self.imports.add((ABI, "write"))
            self.declared[key] = self._slot(Slot("buffer", host), "out", f"write(table, {{k}}, {dtype})")
        return self.declared[key]

    def _place_text(self, node: int, place: int, at: Index) -> str:
        """The text of the offset of a store; next to another one of the same array it is counted from there.

        LLVM sees that such stores fill whole vectors where it knows their distance.
        """
        where = self.program.placed.get(node)
        stride = min((coefficient for _, coefficient in at.terms), default=1)
        if where is None or not 2 <= stride <= SHORT_STRIDE:
            return self.index_text(at)
        others = [
            self.axes.convert(self.own_offset(n, k))
            for n in self.part.levels
            for k, other in enumerate(self.program.placed.get(n, ()))
            if other.host == where[place].host
        ]
        first = min(other.constant for other in others if other.terms == at.terms and at.constant - other.constant < stride)
        beside = at.constant - first
        if beside <= 0:
            return self.index_text(at)
        return f"{self.index_text(at - beside)} + {beside}"

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
        if all(is_simple(v) for v in both(value)):
            if dtype.kind in "iuf" and dtype not in (np.float64, np.int64):
                self.dtype_word(dtype)
            return number_text(value, dtype)
        key = ("number", value.dtype.str, *(v.tobytes() for v in both(value)))
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
                function = "quotient" if isinstance(atom, Floor) else "leftover"
                self.imports.add((ABI, function))
                text = f"{function}({self._sum_text(atom.index)}, {self.size(atom.divisor)})"
            if coefficient == -1:
                pieces.append(f"- {text}")
            elif coefficient == 1:
                pieces.append(f"+ {text}")
            else:
                # a known short stride is a few vector loads and shuffles, an unknown one a load for each element
                short = 2 <= coefficient <= SHORT_STRIDE
                pieces.append(f"+ {text} * {coefficient if short else self.size(coefficient)}")
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
            return self.number(n.params["value"].number, n.aval.dtype)
        if n.op.kind is Kind.INPUT and n.aval.ndim == 0:
            return self.argument(node)
        if guards and self._loaded(node) and self._safe(node, index):
            guards = ()
        key = (node, index, guards)
        known = self.known(key)
        if known is not None:
            return known
        if self._loaded(node) and not self._again(node, index):
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
        return self.doubted(n, operands, self.assign(scope, key, "t", self.map_text(n, operands), node))

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

    def _again(self, node: int, index: Vector) -> bool:
        """Whether a cheap node that the part stores is computed once more, as another element of it is read in its own loop."""
        known = self.part.levels.get(node, Level.FINISH) is not Level.FINISH and node in self.program.floating
        return known and node not in self.loaded_back and index != self._own_index(node)

    def _guard_axes(self, guards: tuple[Guard, ...]) -> list[frozenset[int]]:
        return [self.axes.convert(g.index).axes() for g in guards]

    def _held(self, node: int) -> bool:
        """Whether a view or running index has been computed into a buffer that this kernel reads."""
        return node in self.program.stored and node not in self.part.levels and node in self.kernel.reads

    def _load(self, n: Node, index: Vector, guards: tuple[Guard, ...], key: Any) -> str:
        at = self.axes.convert(self.own_offset(n.id) if n.id in self.part.spilled else self._offset(Place(n.id, index, guards)))
        condition = self.condition(guards)
        axes = at.axes().union(*self._guard_axes(guards))
        scope = self.scope_for(axes)
        masked = self._masked_row(n, at, guards) if condition else None
        if masked is not None:
            self.imports.add((ABI, "kept"))
            return self.assign(scope, key, "t", f"kept({self.buffer(n.id)}[{masked[0]}], {masked[1]})", n.id)
        text = f"{self.buffer(n.id)}[{self.index_text(at)}]"
        if condition:
            text = f"{text} if {condition} else {self.number(n.aval.dtype.type(0), n.aval.dtype)}"
        return self.assign(scope, key, "t", text, n.id)

    def _masked_row(self, n: Node, at: Index, guards: tuple[Guard, ...]) -> tuple[str, str] | None:
        """Where a load stands whose guards are known before the innermost loop, and the mask of its bits.

        None where it must have a condition. Outside of the guards the first row is read, and no bit of it is kept: LLVM makes a
        loop of its own for each outcome of a condition that is known before it, and a stencil's took a third of the time to
        compile; a mask costs nothing beside the load.
        """
        around = frozenset().union(*self._guard_axes(guards))
        outer, own = self.scope_for(around), self.scope_for(at.axes() | around)
        moving = Index(tuple(t for t in at.terms if not self._term_axes(t) <= outer.axes), 0)
        low, high = moving.bounds
        # a loop of a number of turns that stands in the text is unrolled, and the one around it becomes vectors
        if outer is own or not _LONG_LOOP.match(own.header or "") or n.aval.dtype.kind == "b" or low < 0 or high >= n.aval.size:
            return None
        condition = self.condition(guards)
        still = Index(tuple(t for t in at.terms if self._term_axes(t) <= outer.axes), at.constant)
        self.imports.add((ABI, "all_bits"))
        row = self._once(outer, "row", f"{self.index_text(still)} if {condition} else 0")
        mask = self._once(outer, "mask", f"all_bits({condition})")
        return self._once(own, "at", f"{row} + {self._sum_text(moving)}"), mask

    def _once(self, scope: Scope, role: str, text: str) -> str:
        """A name for an expression in a block: that which it has there, or a fresh one."""
        return scope.memo.get((role, text)) or self.assign(scope, (role, text), role, text)

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
        name = self.assign(self.scopes[-1], object(), "t", select_text(condition, yes, no, self.imports), n.id)
        self.doubt.passed((yes, no), name)
        return name

    def map_text(self, n: Node, operands: tuple[str, ...]) -> str:
        """The expression of a MAP node over named operands."""
        dtypes = tuple(self.graph[i].aval.dtype for i in n.inputs)
        for dtype in (*dtypes, n.aval.dtype):
            if dtype.kind in "iuf":
                self.dtype_word(dtype)
        expression = n.op.lower(*(Operand(k) for k in range(len(operands))), **n.params)
        return scalar_text(expression, operands, dtypes, n.aval.dtype, self.imports)

    def doubted(self, n: Node, operands: tuple[str, ...], name: str) -> str:
        """The name of a MAP's value, after it is noted what is in doubt, and watched what the value would hide."""
        expression = n.op.lower(*(Operand(k) for k in range(len(operands))), **n.params)
        hidden = self.doubt.computed(expression, operands, name, n.aval.dtype)
        for operand in hidden:
            dtype = next(self.graph[i].aval.dtype for i, text in zip(n.inputs, operands, strict=True) if text == operand)
            self.watch(operand, dtype, n.id)
        return name

    def watch(self, name: str, dtype: np.dtype[Any], node: int) -> None:
        """Look at a value that is in doubt, in the innermost open block."""
        scope = self.scopes[-1]
        if name in self.doubt.names and ("watched", name) not in scope.memo:
            seen = scope.memo["watched", name] = self.doubt.seen(dtype)
            self.imports |= {(MATHLIB, "watch"), (ABI, "confirm")}
            scope.lines.append((f"{seen} = watch({seen}, {name})", node))

    def compute(self, node: int) -> str:
        """Compute a node of the part in the innermost open block."""
        n = self.graph[node]
        index = self._own_index(node)
        key = (node, index, ())
        if n.op.kind is Kind.MAP:
            operands = tuple(self.value(i, index) for i in n.inputs)
            name = self.doubted(n, operands, self.assign(self.scopes[-1], key, "t", self.map_text(n, operands), node))
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
        self.watch(name, n.aval.dtype, node)
        for k in range(self._stores_of(node)):
            at = self.axes.convert(self.own_offset(node, k))
            buffer = self.output_copy(node, k) if n.op.kind in GIVEN else self.buffer(node, k)
            self.scopes[-1].lines.append((f"{buffer}[{self._place_text(node, k, at)}] = {name}", node))
