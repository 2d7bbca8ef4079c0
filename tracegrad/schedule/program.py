"""What the schedule makes of a graph: kernels over iteration domains, and the buffers between them."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from tracegrad.core.aval import Shape
from tracegrad.core.expr import Index, flatten_index
from tracegrad.core.graph import Graph


class Level(enum.Enum):
    """Where in a part's loops a value lives."""

    FULL = "full"
    """One value per point of the domain."""
    ROW = "row"
    """One value per point of the kept axes: results of the part's reductions, and maps of them."""
    COLUMN = "column"
    """A reduction over the kept axes, beside reductions over the others: partial results per chunk, combined afterwards."""
    TOTAL = "total"
    """A reduction over everything: partial results per chunk, combined after the loops."""
    FINISH = "finish"
    """A 0-d map of totals, computed once after they are combined."""


@dataclass(frozen=True, slots=True)
class Loop:
    """One pass over the reduced axes (or over all axes where nothing is reduced).

    ``rows`` are the row-level maps computed before it, ``nodes`` the full-level nodes computed in it, in id order;
    ``reductions`` the row-level reductions, ``columns`` those over the kept axes and ``totals`` the totals it accumulates.
    """

    rows: tuple[int, ...]
    nodes: tuple[int, ...]
    reductions: tuple[int, ...]
    columns: tuple[int, ...]
    totals: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """Nodes computed over one iteration domain.

    Parameters
    ----------
    shape: extents of the domain.
    axes: the axes that its row-level reductions drop; () where it has none.
    levels: where each computed node lives.
    loops: the passes, in order.
    last_rows: row-level maps after the last pass.
    row_totals: totals over row-level values.
    finish: 0-d maps of totals, in id order.
    spilled: full-level nodes that a pass keeps for a later one, a row at a time; nothing else reads them.
    """

    shape: Shape
    axes: tuple[int, ...]
    levels: Mapping[int, Level]
    loops: tuple[Loop, ...]
    last_rows: tuple[int, ...]
    row_totals: tuple[int, ...]
    finish: tuple[int, ...]
    spilled: frozenset[int] = frozenset()

    @property
    def nodes(self) -> tuple[int, ...]:
        """All computed nodes in id order."""
        return tuple(sorted(self.levels))

    @property
    def kept(self) -> tuple[int, ...]:
        """The axes over which chunks run."""
        return tuple(k for k in range(len(self.shape)) if k not in self.axes)

    @property
    def totals(self) -> tuple[int, ...]:
        """All totals in id order."""
        return tuple(n for n in self.nodes if self.levels[n] is Level.TOTAL)

    @property
    def columns(self) -> tuple[int, ...]:
        """All reductions over the kept axes, in id order."""
        return tuple(n for n in self.nodes if self.levels[n] is Level.COLUMN)

    @property
    def by_columns(self) -> bool:
        """Whether the last axis is kept while others are reduced: then the kept axes run innermost."""
        return bool(self.axes) and bool(self.shape) and (len(self.shape) - 1) not in self.axes

    @property
    def size(self) -> int:
        """Points of the domain."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Chain:
    """Kernels that run block by block over one axis.

    Parameters
    ----------
    kernels: in their order.
    places: for each of them which axis of its domain the axis is, None for a template.
    along: for each node that has the axis, which of its axes it is.
    rows: the extent of the axis.
    blocks: into how many about equal pieces it is cut.
    stored: the nodes that the kernels keep in buffers.
    outside: those of them of which other kernels, or the caller, get all rows; of the others a block has its own rows only.
    totals: those that are reduced along the axis: each block has its part of them, and these are combined at the end.
    """

    kernels: tuple[Kernel, ...]
    places: tuple[int | None, ...]
    along: Mapping[int, int]
    rows: int
    blocks: int
    stored: frozenset[int]
    outside: frozenset[int]
    totals: frozenset[int]


@dataclass(frozen=True, slots=True)
class Kernel:
    """One launch: a part, the template of one contraction or indexing node, or a chain of such kernels."""

    part: Part | None
    template: int | None
    parallel: bool
    reads: frozenset[int]
    """Nodes whose buffers it reads, inputs included."""
    chain: Chain | None = None

    @property
    def nodes(self) -> tuple[int, ...]:
        """The nodes it computes, in id order."""
        if self.part is not None:
            return self.part.nodes
        if self.chain is not None:
            return tuple(sorted(n for kernel in self.chain.kernels for n in kernel.nodes))
        return () if self.template is None else (self.template,)


@dataclass(frozen=True, slots=True)
class Unfused:
    """Two nodes that might have shared a kernel, and why they do not."""

    producer: int
    consumer: int
    reason: str


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a value lies inside another node's buffer: the host's index at the running index of the value's own axes."""

    host: int
    index: tuple[Index, ...]

    def offset(self, graph: Graph) -> Index:
        """The flat offset in the host's buffer."""
        return flatten_index(self.index, graph[self.host].aval.shape)

    def seen_by(self, index: tuple[Index, ...]) -> Placed:
        """Where another value lies whose elements are found at an index of this one."""
        return Placed(self.host, tuple(i.substitute(index) for i in self.index))


@dataclass(frozen=True, slots=True)
class Program:
    """Kernels in launch order over a rewritten graph.

    Parameters
    ----------
    graph: the graph.
    kernels: in launch order.
    stored: nodes that are kept in buffers of their own (inputs aside).
    floating: 0-d maps that each kernel computes for itself.
    results: for each output of the graph the node whose buffer holds it: itself, or what it is a plain reshape of.
    unfused: the fusions that were not made.
    placed: values that have no buffer of their own, with the places where they are stored; a copy of an input, too.
    """

    graph: Graph
    kernels: tuple[Kernel, ...]
    stored: frozenset[int]
    floating: frozenset[int]
    results: tuple[int, ...]
    unfused: tuple[Unfused, ...]
    placed: Mapping[int, tuple[Placed, ...]] = field(default_factory=dict)

    @property
    def assembled(self) -> frozenset[int]:
        """The arrays that no kernel computes, since other values are stored inside of them."""
        return frozenset(place.host for where in self.placed.values() for place in where)

    def needs(self, kernel: Kernel) -> frozenset[int]:
        """What a kernel reads, and the values that lie inside of what it reads."""
        if not self.placed:
            return kernel.reads
        inside = (n for n, where in self.placed.items() if any(place.host in kernel.reads for place in where))
        return kernel.reads.union(inside)
