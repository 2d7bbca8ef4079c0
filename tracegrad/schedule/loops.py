"""From a fusion group to a part: in which pass each node is computed, and what is kept between passes."""

from __future__ import annotations

from dataclasses import dataclass

from tracegrad.core.graph import Graph
from tracegrad.core.op import Kind
from tracegrad.schedule.cost import RECOMPUTE_NS, node_ns
from tracegrad.schedule.domain import squeeze
from tracegrad.schedule.fuse import Fusion, Group
from tracegrad.schedule.program import Level, Loop, Part


@dataclass(frozen=True, slots=True)
class Staged:
    """A part, and the full-level nodes that it stores for a later pass of its own."""

    part: Part
    spilled: frozenset[int]


def stage_loops(graph: Graph, fusion: Fusion, group: Group, stored: frozenset[int]) -> Staged:
    """Assign a group's nodes to passes.

    A row-level reduction is known one pass after its operand. A full-level node is computed in the passes that need it: for
    a reduction, or to be stored, which happens in the first pass that has its operands. A value that an earlier pass
    computed is computed again where that is cheap, else stored there and read back.
    """
    levels = group.levels
    operands = {n: _operands(graph, fusion, group, n) for n in levels}
    ready = _ready(graph, group, operands)
    full_totals = {n for n in levels if levels[n] is Level.TOTAL and _reads_full(graph, group, n)}
    reductions = {n for n in levels if levels[n] is Level.ROW and graph[n].op.kind is Kind.REDUCE}
    columns = {n for n in levels if levels[n] is Level.COLUMN}
    pass_of = {n: max((ready[i] for i in operands[n]), default=0) for n in full_totals | reductions | columns}
    kept = {n for n in levels if levels[n] is Level.FULL and n in stored}
    count = 1 + max([ready[n] for n in kept] + list(pass_of.values()), default=0)
    rows = [n for n in levels if levels[n] is Level.ROW and n not in reductions]

    loops: list[Loop] = []
    computed: set[int] = set()
    spilled: set[int] = set()
    for k in range(count):
        here = {n for n, j in pass_of.items() if j == k}
        roots = {i for n in here for i in operands[n]} | {n for n in kept if ready[n] == k}
        nodes: set[int] = set()
        stack = [n for n in roots if levels[n] is Level.FULL]
        while stack:
            n = stack.pop()
            if n in nodes or (n in computed and n in stored | spilled):
                continue
            if n in computed and _again_ns(graph, group, operands, n, stored | spilled) > RECOMPUTE_NS:
                spilled.add(n)
                continue
            nodes.add(n)
            stack.extend(i for i in operands[n] if levels[i] is Level.FULL)
        computed |= nodes
        loops.append(
            Loop(
                rows=tuple(sorted(n for n in rows if ready[n] == k)),
                nodes=tuple(sorted(nodes)),
                reductions=tuple(sorted(here & reductions)),
                columns=tuple(sorted(here & columns)),
                totals=tuple(sorted(here & full_totals)),
            )
        )
    part = Part(
        shape=group.shape,
        axes=group.axes,
        levels=dict(levels),
        loops=tuple(loops),
        last_rows=tuple(sorted(n for n in rows if ready[n] >= count)),
        row_totals=tuple(sorted(n for n in levels if levels[n] is Level.TOTAL and n not in full_totals)),
        finish=tuple(sorted(n for n in levels if levels[n] is Level.FINISH)),
    )
    return Staged(part, frozenset(spilled))


def _operands(graph: Graph, fusion: Fusion, group: Group, node: int) -> set[int]:
    """Nodes of the same group that a node reads inside the loops."""
    level = group.levels[node]
    if level is Level.FINISH:
        return set()
    return {p.node for p in fusion.reads_of(graph[node], level, group) if p.node in group.levels and p.node != node}


def _ready(graph: Graph, group: Group, operands: dict[int, set[int]]) -> dict[int, int]:
    """The first pass in which a full-level node can be computed, or before which a row-level one is known."""
    ready: dict[int, int] = {}
    for n in sorted(group.levels):
        first = max((ready[i] for i in operands[n]), default=0)
        is_reduction = graph[n].op.kind is Kind.REDUCE and group.levels[n] is Level.ROW
        ready[n] = first + is_reduction
    return ready


def _reads_full(graph: Graph, group: Group, total: int) -> bool:
    return squeeze(graph[graph[total].inputs[0]].aval.shape) == group.shape


def _again_ns(graph: Graph, group: Group, operands: dict[int, set[int]], node: int, kept: frozenset[int] | set[int]) -> float:
    """Cost per element of computing a value once more from what is kept."""
    total = 0.0
    seen: set[int] = set()
    stack = [node]
    while stack:
        n = stack.pop()
        if n in seen or group.levels[n] is not Level.FULL or (n in kept and n != node):
            continue
        seen.add(n)
        total += node_ns(graph[n])
        stack.extend(operands[n])
    return total
