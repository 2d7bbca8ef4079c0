"""The memory of a call: arguments, results, and where in the arena every value between the kernels lies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tracegrad.codegen.chain import MEMORY
from tracegrad.core.graph import Graph, Node
from tracegrad.core.op import Kind
from tracegrad.errors import TracegradError
from tracegrad.pipeline import Compilation
from tracegrad.schedule.memory import Lifetime, live_bytes
from tracegrad.schedule.program import Program

UNITS = ("B", "kB", "MB", "GB", "TB")
BAR = 40
"""Characters of the widest bar."""
SHOWN = 60
"""Blocks that are listed, the largest first; their number and sum stand below."""


def size_text(nbytes: float) -> str:
    """A number of bytes as a person reads it, in powers of 1000.

    >>> size_text(64), size_text(80_000_000)
    ('64 B', '80 MB')
    """
    value = float(nbytes)
    unit = 0
    while value >= 999.5 and unit < len(UNITS) - 1:
        value /= 1000
        unit += 1
    return f"{value:.0f} {UNITS[unit]}" if unit == 0 or value >= 99.5 else f"{value:.3g} {UNITS[unit]}"


@dataclass(frozen=True, slots=True)
class MemoryBlock:
    """A block of the arena: what it holds, its place and size in bytes, and the launches between which it is needed."""

    what: str
    offset: int
    nbytes: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """What memory one call of a program takes; printing it shows a table.

    Parameters
    ----------
    name: the function.
    argument_bytes: of the call's arrays; one that is strided or of another dtype is copied, which is not counted.
    constant_bytes: of the arrays that belong to the program.
    result_bytes: of the fresh arrays that a call returns.
    arena_bytes: of the one block for everything between the kernels; it is kept for the next call.
    live: for each launch the bytes of the blocks alive at it.
    blocks: of the arena, by offset.
    recomputed: values that are computed again instead of being kept.
    """

    name: str
    argument_bytes: int
    constant_bytes: int
    result_bytes: int
    arena_bytes: int
    live: tuple[int, ...]
    blocks: tuple[MemoryBlock, ...]
    recomputed: int = 0

    @property
    def live_bytes(self) -> int:
        """The largest sum of blocks alive at once; no arena can be smaller."""
        return max(self.live, default=0)

    @property
    def peak_bytes(self) -> int:
        """The most that a call holds: arguments, constants, results and arena."""
        return self.argument_bytes + self.constant_bytes + self.result_bytes + self.arena_bytes

    def __str__(self) -> str:
        return "\n".join(text for text, _ in self._lines())

    __repr__ = __str__

    def __rich__(self) -> str:
        # rich shows marked-up text; importing its tables would make every import of tracegrad slower
        return "\n".join(f"[{style}]{_escaped(text)}[/{style}]" if style else _escaped(text) for text, style in self._lines())

    def _lines(self) -> Iterator[tuple[str, str]]:
        """The lines of the report, each with rich's name of its style."""
        yield f"memory of {self.name}: {size_text(self.peak_bytes)} at its peak", "bold"
        rows = [
            ("arguments", self.argument_bytes, ""),
            ("constants", self.constant_bytes, ""),
            ("results", self.result_bytes, ""),
            ("arena", self.arena_bytes, f"   {size_text(self.live_bytes)} are alive at launch {self._fullest()}"),
        ]
        for label, nbytes, note in rows:
            yield f"  {label:<10}{size_text(nbytes):>8}{note if nbytes else ''}", ""
        if self.recomputed:
            yield f"  {self.recomputed} values are computed again instead of being kept", ""
        if not self.blocks:
            return
        yield "", ""
        yield f"  {'launches':>9}  {'size':>8}  {'at byte':>12}  block", "bold"
        shown = sorted(sorted(self.blocks, key=lambda b: -b.nbytes)[:SHOWN], key=lambda b: (b.first, b.offset))
        for b in shown:
            span = f"{b.first}–{b.last}" if b.last > b.first else str(b.first)
            yield f"  {span:>9}  {size_text(b.nbytes):>8}  {b.offset:>12}  {b.what}", ""
        if len(shown) < len(self.blocks):
            rest = sum(b.nbytes for b in self.blocks) - sum(b.nbytes for b in shown)
            yield f"  and {len(self.blocks) - len(shown)} smaller ones, {size_text(rest)} together", ""
        if len(self.live) > 1:
            yield "", ""
            yield f"  {'launch':>9}  {'alive':>8}", "bold"
            for k, nbytes in enumerate(self.live):
                bar = "█" * round(BAR * nbytes / max(self.live_bytes, 1))
                yield f"  {k:>9}  {size_text(nbytes):>8}  {bar}".rstrip(), "cyan" if nbytes == self.live_bytes else ""

    def _fullest(self) -> int:
        return self.live.index(self.live_bytes) if self.live else 0


def _escaped(text: str) -> str:
    return text.replace("[", "\\[")


def memory_of(compilation: Compilation, name: str) -> MemoryPlan:
    """The memory plan of a compiled program.

    Raises TracegradError for a program that runs on the interpreter, which allocates as it goes.
    """
    c = compilation
    if c.plan is None or c.program is None or c.graph is None:
        raise TracegradError("this function runs on the interpreter, which plans no memory", fix='use compile="now"')
    graph = c.graph
    offsets = c.plan.placement.offsets
    blocks = [MemoryBlock(_what(c.program, graph, b), offsets[b.key], b.nbytes, b.first, b.last) for b in c.plan.blocks]
    return MemoryPlan(
        name=name,
        argument_bytes=sum(n.aval.nbytes for n in graph.inputs),
        constant_bytes=sum(n.aval.nbytes for n in graph if n.op.kind is Kind.CONSTANT and n.aval.ndim),
        result_bytes=sum(graph[i].aval.nbytes for i in graph.outputs),
        arena_bytes=c.plan.placement.nbytes,
        live=tuple(live_bytes(c.plan.blocks)),
        blocks=tuple(sorted(blocks, key=lambda b: (b.offset, b.first))),
        recomputed=c.recomputed,
    )


def _what(program: Program, graph: Graph, block: Lifetime) -> str:
    if isinstance(block.key, tuple):
        chain = program.kernels[block.key[0]].chain
        if chain is not None and block.key[1] == MEMORY:
            rows = ", ".join(_named(graph[n]) for n in sorted(chain.stored - chain.outside - chain.totals))
            return f"in kernel {block.key[0]}, {-(-chain.rows // chain.blocks)} rows at a time of {rows}"
        return f"scratch of kernel {block.key[0]}"
    if not isinstance(block.key, int):
        return str(block.key)
    return _named(graph[block.key])


def _named(node: Node) -> str:
    place = f"  line {node.where.line}: {node.where.text}" if node.where is not None else ""
    return f"%{node.id} {node.op.name} {node.aval}{place}"
