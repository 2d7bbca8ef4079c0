"""From a scheduled part to the text of its kernel.

A part's loops are generated from its access pattern: neighbouring axes that all accesses walk alike are merged, the kept
axes are cut into chunks, and each value is computed in the outermost loop that has the indices it needs. Three shapes come
out of the same code:

- nothing reduced: ``for j`` over a chunk, or rows ``o`` with ``j`` inside;
- rows, the last axis reduced: ``for o`` over kept rows, passes over the reduced axes inside, results in scalars;
- columns, the last axis kept: passes ``for r … for j``, results accumulated in buffers, so that ``j`` vectorises.

Rows may also be summed down their columns: each chunk has a row of partial results for that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise

import numpy as np

from tracegrad.codegen.doubt import decided
from tracegrad.codegen.text import (
    ABI,
    ACCUMULATE,
    MATHLIB,
    KernelText,
    Scope,
    Slot,
    accumulate_text,
    combine_text,
    identity_text,
    number_text,
)
from tracegrad.codegen.values import ValueWriter
from tracegrad.core.expr import Index
from tracegrad.schedule.cost import chunking
from tracegrad.schedule.program import Kernel, Loop, Program

CHUNK_ROWS = 16
"""Least rows of a chunk that keeps a row of its own: what is kept is then 6 % of the values that pass through it."""
UNROLLED = 16
"""Extents of the innermost axes up to this one stand in the text."""
SETTLED = 65_536
"""Elements of a row after which its sum takes back what it has lost, lest that grows so large as to lose digits itself: a
row of 5·10⁷ equal float32 was off by 7 ulp without, and is by 1.4."""


def lower_part(program: Program, kernel: Kernel) -> KernelText:
    """The text of a kernel that is a part; it contains no size and no address."""
    assert kernel.part is not None
    return _PartWriter(program, kernel, kernel.part).write()


class _PartWriter(ValueWriter):
    lost: dict[str, str]
    """What a sum has lost to rounding, by the name of its accumulator."""
    row_extents: dict[int, str]
    """The names of the extents of the row axes."""

    # -- loops -----------------------------------------------------------------------------------------------------

    def write(self) -> KernelText:
        """The whole kernel."""
        self.lost = {}
        self.row_extents = {}
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
        if self.part.columns or self.part.spilled:
            chunk = max(chunk, min(CHUNK_ROWS, -(-count // 8)))
            chunks = -(-count // chunk)
        if 0 in self.part.shape and not self.part.axes:
            chunks = 0
        single = count == 1 and not self.row_axes and self.vector_axis is None
        partials = {t: self._partial(t, chunks) for t in self.part.totals}
        widths = {n: self.graph[n].aval.size for n in self.part.columns}
        columns = {n: (self._partial(n, chunks * width), self.size(width)) for n, width in widths.items()}
        row = math.prod(self.part.shape[k] for k in self.part.axes)
        spilled = {n: (self._partial(n, (1 if single else chunks) * row), self.size(row)) for n in sorted(self.part.spilled)}
        if single:
            self.declared |= {("buffer", n): name for n, (name, _) in spilled.items()}
            self._chunk(partials, {}, None, None)
        else:
            n, step = (
                self._slot(Slot("size", count), "n", "table[{k}]"),
                self._slot(Slot("size", chunk), "n", "table[{k}]"),
            )
            with self.block("for c in range(first, last):", frozenset()) as scope:
                scope.lines.append((f"start = c * {step}", None))
                scope.lines.append((f"stop = min(start + {step}, {n})", None))
                for k, (name, width) in spilled.items():
                    self.imports.add((ABI, "buffer_offset"))
                    self.declared["buffer", k] = self.name("kept")
                    scope.lines.append((f"{self.declared['buffer', k]} = buffer_offset({name}, c * {width})", k))
                self._chunk(partials, columns, "start", "stop")
        body = self.scopes[0].lines
        head = [(text, None) for text in self.head]
        lines: list[tuple[str, int | None]] = [("@kernel", None), ("def {name}(first, last, table):", None)]
        lines += [(f"    {text}", node) for text, node in decided([*head, *body])]
        if not any("confirm(" in text for text, _ in lines):
            self.imports -= {(MATHLIB, "watch"), (ABI, "confirm")}
        finish = bool(self.part.totals or self.part.columns or self.part.finish)
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

    def _chunk(
        self, partials: dict[int, str], columns: dict[int, tuple[str, str]], start: str | None, stop: str | None
    ) -> None:
        """The work of one chunk; ``columns`` are the partial results of sums down columns, with their widths."""
        begin = len(self.scopes[-1].lines)
        accumulators = {}
        for n, (partial, width) in columns.items():
            self.imports.add((ABI, "buffer_offset"))
            accumulators[n] = self.name("column")
            self.scopes[-1].lines += [
                (f"{accumulators[n]} = buffer_offset({partial}, c * {width})", n),
                (f"for e in range({width}):", n),
                (f"    {accumulators[n]}[e] = {self._identity(n)}", n),
            ]
        for total in partials:
            accumulators[total] = self._accumulator(total, "total")
        if self.row_axes:
            with self._rows(accumulators, start, stop) as inside:
                self._passes(inside, "0", None)
        else:
            self._passes(accumulators, start or "0", stop)
        place = "c" if start else "0"
        for total, partial in partials.items():
            self.watch(accumulators[total], self.graph[total].aval.dtype, total)
            self.scopes[-1].lines.append((f"{partial}[{place}] = {self._complete(accumulators[total])}", total))
        for n, (_, width) in columns.items():
            if accumulators[n] in self.doubt.names:
                with self.block(f"for e in range({width}):", frozenset()):
                    self.doubt.names.add(element := f"{accumulators[n]}[e]")
                    self.watch(element, self.graph[n].aval.dtype, n)
        self._confirm(begin, "c" if start else "first")

    def _confirm(self, begin: int, chunk: str) -> None:
        """After a chunk: look at what was watched since its first line."""
        watchers = self.doubt.watchers
        if watchers:
            lines = self.scopes[-1].lines
            lines[begin:begin] = [(f"{name} = {number_text(0.0, dtype)}", None) for dtype, name in watchers.items()]
            lines.append((f"confirm({chunk}, {' + '.join(watchers.values())})", None))
        self.doubt.over = True
        self.doubt.names.clear()

    @contextmanager
    def _rows(self, accumulators: dict[int, str], start: str | None, stop: str | None) -> Iterator[dict[int, str]]:
        """The loop over a chunk's rows; yields where totals go.

        Where all loops inside are unrolled this loop may become vector instructions, so that its sums are blocked.
        """
        totals = {t: a for t, a in accumulators.items() if t in self.part.totals and self._is_sum(t)}
        direct = totals if self._unrolled_inside() else {}
        self._first_row(start or "0")
        with self._blocks("o", start or "0", str(stop), frozenset(self.row_axes), direct) as inside:
            yield accumulators | inside
            self._next_row()

    def _unrolled_inside(self) -> bool:
        """Whether a row has no loop but such as are written with their extent."""
        reduced = range(self.axes.kept, len(self.axes.extents))
        short = self.vector_axis is None or self._is_short(self.vector_axis)
        return short and all(self._is_literal(self.axes.extents[a]) for a in reduced)

    def _is_literal(self, extent: int) -> bool:
        """A window of a few elements is unrolled; axis 0 is left alone, since it usually counts a batch."""
        return extent <= UNROLLED and 0 not in self.part.axes

    def _first_row(self, start: str) -> None:
        """The indices of the row axes at a chunk's first row.

        They are counted on from row to row: two divisions in each took longer than ten products.
        """
        if len(self.row_axes) == 1:
            return
        scope = self.scopes[-1]
        rest = start
        self.imports |= {(ABI, "quotient"), (ABI, "leftover")}
        for a in reversed(self.row_axes[1:]):
            self.row_extents[a] = self.size(self.axes.extents[a])
            scope.lines.append((f"{self.axis_name(a)} = leftover({rest}, {self.row_extents[a]})", None))
            scope.lines.append((f"{self.name('rest')} = quotient({rest}, {self.row_extents[a]})", None))
            rest = f"rest{self.counts['rest'] - 1}"
        scope.lines.append((f"{self.axis_name(self.row_axes[0])} = {rest}", None))

    def _next_row(self) -> None:
        """The indices of the next row."""
        depth = ""
        for before, a in reversed(list(pairwise(self.row_axes))):
            outer, name = self.axis_name(before), self.axis_name(a)
            self.scopes[-1].lines += [
                *([(f"{depth}{name} = {name} + 1", None)] if not depth else []),
                (f"{depth}if {name} == {self.row_extents[a]}:", None),
                (f"{depth}    {name} = 0", None),
                (f"{depth}    {outer} = {outer} + 1", None),
            ]
            depth += "    "

    def _passes(self, accumulators: dict[int, str], start: str, stop: str | None) -> None:
        for loop in self.part.loops:
            self._row_maps(loop.rows, start, stop)
            self._pass(loop, accumulators, start, stop)
        self._row_maps(self.part.last_rows, start, stop)
        if self.part.row_totals:
            self._row_totals({t: accumulators[t] for t in self.part.row_totals}, start, stop)

    def _row_totals(self, totals: dict[int, str], start: str, stop: str | None) -> None:
        if self.part.by_columns and self.vector_axis is not None:
            sums = {t: name for t, name in totals.items() if name in self.lost}
            axes = frozenset({self.vector_axis})
            with self._blocks(self.axis_name(self.vector_axis), start, self._vector_end(stop), axes, sums) as inside:
                for total, name in (totals | inside).items():
                    self._accumulate(total, name)
            return
        for total, name in totals.items():
            if name in self.lost:
                self._fold(total, name, self.value(self.graph[total].inputs[0], self._operand_index(total)))
            else:
                self._accumulate(total, name)

    @contextmanager
    def _vector(self, start: str, stop: str | None) -> Iterator[Scope]:
        """The loop over the innermost kept axis."""
        if self.vector_axis is None:
            with self.block(None, frozenset()) as scope:
                yield scope
            return
        name = self.axis_name(self.vector_axis)
        with self.block(f"for {name} in range({start}, {self._vector_end(stop)}):", frozenset({self.vector_axis})) as scope:
            yield scope

    def _vector_end(self, stop: str | None) -> str:
        assert self.vector_axis is not None
        if not self.row_axes and stop:
            return stop
        extent = self.axes.extents[self.vector_axis]
        return str(extent) if self._is_short(self.vector_axis) else self.size(extent)

    def _is_short(self, axis: int) -> bool:
        """Whether the innermost kept axis is unrolled, inside rows."""
        return bool(self.row_axes) and self.axes.extents[axis] <= UNROLLED

    @contextmanager
    def _elements(self, targets: dict[int, str], start: str, stop: str | None) -> Iterator[dict[int, str]]:
        """All loops of a pass; yields what its reductions accumulate in.

        Of the loops whose extent is not written, the innermost is the one whose sums are blocked.
        """
        loops = []
        for a in range(self.axes.kept, len(self.axes.extents)):
            extent = self.axes.extents[a]
            loops.append((a, "0", str(extent) if self._is_literal(extent) else self.size(extent)))
        if self.vector_axis is not None:
            loops.append((self.vector_axis, start, self._vector_end(stop)))
        blocked = next((k for k in reversed(range(len(loops))) if not loops[k][2].isdigit()), None)
        sums = {n: name for n, name in targets.items() if self._is_sum(n)} if blocked is not None else {}
        with ExitStack() as opened:
            inside: dict[int, str] = {}
            for k, (a, low, high) in enumerate(loops):
                axes = frozenset({a})
                inside |= opened.enter_context(self._blocks(self.axis_name(a), low, high, axes, sums if k == blocked else {}))
            if not loops:
                opened.enter_context(self.block(None, frozenset()))
            yield targets | inside

    @contextmanager
    def _blocks(self, name: str, low: str, high: str, axes: frozenset[int], sums: dict[int, str]) -> Iterator[dict[int, str]]:
        """One loop, cut into blocks where there are sums; yields the names of the sums of a block."""
        bounds = high if low == "0" else f"{low}, {high}"
        if not sums:
            with self.block(f"for {name} in range({bounds}):", axes):
                yield {}
            return
        self.imports.add((MATHLIB, "block_end"))
        block, end = self.name("block"), self.name("end")
        self.scopes[-1].lines.append((f"{block} = {low}", None))
        with self.block(f"while {block} < {high}:", frozenset()) as outer:
            outer.lines.append((f"{end} = block_end({block}, {high})", None))
            inside = {}
            for n in sums:
                inside[n] = self.name("some")
                outer.lines.append((f"{inside[n]} = {self._identity(n)}", n))
            with self.block(f"for {name} in range({block}, {end}):", axes):
                yield inside
            for n, total in sums.items():
                self._fold(n, total, inside[n])
            if low == "0":  # a whole row; the others end with their chunk
                with self.block(f"if {end} % {SETTLED} == 0:", frozenset()):
                    for n, total in sums.items():
                        self._settle(n, total, inside[n])
            outer.lines.append((f"{block} = {end}", None))

    # -- sums ------------------------------------------------------------------------------------------------------

    def _is_sum(self, node: int) -> bool:
        return ACCUMULATE.get(self._combine(node)) == "accumulate" and self.graph[node].aval.dtype.kind == "f"

    def _accumulator(self, node: int, role: str) -> str:
        """A fresh accumulator in the innermost open block, a sum's with the rounding errors that it has lost."""
        name = self.name(role)
        self.scopes[-1].lines.append((f"{name} = {self._identity(node)}", node))
        self.homes[name] = self.scopes[-1]
        if self._is_sum(node) and not (role == "row" and self._unrolled_inside()):
            self.lost[name] = self.name("lost")
            self.scopes[-1].lines.append((f"{self.lost[name]} = {self._identity(node)}", node))
        return name

    def _fold(self, node: int, total: str, some: str) -> None:
        """Add a part to a compensated sum."""
        self.imports.add((MATHLIB, "rounding_error"))
        self.doubt.passed((some,), total)
        lost = self.lost[total]
        self.scopes[-1].lines.append((f"{lost} = {lost} + rounding_error({total}, {some})", node))
        self.scopes[-1].lines.append((f"{total} = {total} + {some}", node))

    def _settle(self, node: int, total: str, whole: str) -> None:
        """Put what a compensated sum has lost back into it."""
        lost = self.lost[total]
        for text in (f"{whole} = {total} + {lost}", f"{lost} = rounding_error({total}, {lost})", f"{total} = {whole}"):
            self.scopes[-1].lines.append((text, node))

    def _complete(self, accumulator: str) -> str:
        lost = self.lost.get(accumulator)
        return f"{accumulator} + {lost}" if lost else accumulator

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
        if not (loop.nodes or loop.reductions or loop.columns or loop.totals):
            return
        if self.part.by_columns:
            if loop.reductions:
                with self._vector(start, stop):
                    for n in loop.reductions:
                        self.store(n, self._identity(n))
        else:
            for n in loop.reductions:
                rows[n] = self._accumulator(n, "row")
        targets = {t: accumulators[t] for t in loop.totals} | rows
        with self._elements(targets, start, stop) as inside:
            stored = self.program.stored | self.part.spilled
            for node in loop.nodes:
                name = self.compute(node)
                if node in stored and self._stores_in(node, loop):
                    self.store(node, name)
            for n in loop.totals:
                self._accumulate(n, inside[n])
            for n in loop.columns:
                self._accumulate(n, f"{accumulators[n]}[{self._own_text(n)}]")
            for n in loop.reductions:
                if self.part.by_columns:
                    self._accumulate(n, f"{self.buffer(n)}[{self._own_text(n)}]")
                else:
                    self._accumulate(n, inside[n])
        for n, name in rows.items():
            if name in self.lost:
                self.scopes[-1].lines.append((f"{name} = {self._complete(name)}", n))
            self.scopes[-1].memo[(n, self._own_index(n), ())] = name
            if n in self.program.stored:
                self.store(n, name)

    def _own_text(self, node: int) -> str:
        """The text of the index at which a node's own element lies in its buffer."""
        return self.index_text(self.axes.convert(self.own_offset(node)))

    def _stores_in(self, node: int, loop: Loop) -> bool:
        return next(k for k in self.part.loops if node in k.nodes) is loop

    def _combine(self, node: int) -> str:
        return str(self.graph[node].op.lower.combine)

    def _accumulate(self, node: int, target: str) -> None:
        n = self.graph[node]
        operand = self.value(n.inputs[0], self._operand_index(node))
        combine = self._combine(node)
        if n.aval.dtype.kind == "f" and combine in ACCUMULATE and target.isidentifier():
            self.doubt.passed((operand,), target)
        elif node in self.part.columns and n.aval.dtype.kind == "f" and combine in ACCUMULATE:
            self.doubt.passed((operand,), target.partition("[")[0])
        else:
            self.watch(operand, self.graph[n.inputs[0]].aval.dtype, node)
        text = accumulate_text(combine, target, operand, self.imports)
        if n.aval.dtype.kind in "iu" and n.aval.dtype != np.int64:
            text = f"{self.dtype_word(n.aval.dtype)}({text})"
        self.scopes[-1].lines.append((f"{target} = {text}", node))

    def _identity(self, node: int) -> str:
        n = self.graph[node]
        if n.aval.dtype.kind in "iuf":
            self.dtype_word(n.aval.dtype)
        return identity_text(n.op.lower.identity, n.aval.dtype, self.imports)

    # -- after the loops -------------------------------------------------------------------------------------------

    def _finish(self) -> list[tuple[str, int | None]]:
        """The function that combines partial results, in an order that depends on their number alone: totals pairwise."""
        scope = Scope(frozenset())
        self.scopes = [scope]
        self.declared = {}
        self.head = []
        loops = list(self.slots)
        made = (*self.part.totals, *self.part.columns)
        places = [k for k, s in enumerate(loops) if s.kind == "partial"]
        partial_slots = dict(zip(made, places[: len(made)], strict=True))
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
        for node in self.part.columns:
            scope.lines += self._finish_columns(node, partial_slots[node])
        for node in self.part.finish:
            name = self.compute(node)
            if node in self.program.stored:
                self.store(node, name)
        lines: list[tuple[str, int | None]] = [("@kernel", None), ("def {name}_finish(first, last, table):", None)]
        return lines + [(f"    {text}", node) for text, node in [(t, None) for t in self.head] + scope.lines]

    def _finish_columns(self, node: int, slot: int) -> list[tuple[str, int | None]]:
        """The lines that add the chunks' rows of partial results, chunk by chunk."""
        n = self.graph[node]
        self.head.append(f"part{slot} = update(table, {slot + 2}, {self.dtype_word(n.aval.dtype)})")
        width, out, column = self.size(n.aval.size), self.buffer(node), self.name("column")
        both = combine_text(self._combine(node), f"{out}[e]", f"{column}[e]", self.imports)
        return [
            (f"for e in range({width}):", None),
            (f"    {out}[e] = {self._identity(node)}", node),
            ("for c in range(table[0]):", None),
            (f"    {column} = buffer_offset(part{slot}, c * {width})", None),
            (f"    for e in range({width}):", None),
            (f"        {out}[e] = {both}", node),
        ]
