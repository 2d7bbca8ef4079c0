"""The schedule stage: graph in, program of kernels out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Set as AbstractSet
from dataclasses import replace

from tracegrad.core.expr import axes_of, flatten_index
from tracegrad.core.graph import Graph, Node
from tracegrad.core.op import Kind
from tracegrad.schedule.cost import PARALLEL_NS, work_ns
from tracegrad.schedule.fuse import COMPUTED, TEMPLATES, Fusion, Group
from tracegrad.schedule.loops import stage_loops
from tracegrad.schedule.program import Kernel, Level, Program


def schedule(graph: Graph, phases: tuple[int, ...] = ()) -> Program:
    """Cut a rewritten graph into kernels.

    ``phases`` are ids: nodes before one of them and nodes from it on do not share a kernel.

    Raises nothing of its own: every graph has a schedule, if need be one kernel per node.
    """
    results = _result_nodes(graph)
    fusion = Fusion(graph, results, phases)
    groups = fusion.run()
    stored = _stored(graph, fusion, groups, results)
    reads: dict[int, set[int]] = {g.number: set() for g in groups}
    for node, readers in fusion.readers.items():
        for _, reader, _ in readers:
            home = fusion.group_of[reader]
            if graph[node].op.kind in (Kind.INPUT, Kind.CONSTANT) or fusion.group_of.get(node) is not home:
                reads[home.number].add(node)
    kernels: list[Kernel] = []
    spilled: set[int] = set()
    for group in groups:
        read = frozenset(reads[group.number])
        if group.template is not None:
            kernels.append(Kernel(None, group.template, False, read))
        else:
            staged = stage_loops(graph, fusion, group, stored)
            part = staged.part
            if part.by_columns:
                spilled |= staged.spilled
            else:
                part = replace(part, spilled=staged.spilled)
            buffers = len(read) + sum(level is Level.FULL and n in stored for n, level in part.levels.items())
            kernels.append(Kernel(part, None, work_ns(graph, part, buffers) > PARALLEL_NS, read))
    needed = _needed(kernels, stored, results)
    dropped = {n for kernel in kernels for n in kernel.nodes} - {n for kernel in needed for n in kernel.nodes}
    return Program(graph, tuple(needed), (stored | spilled) - dropped, fusion.floating, results, tuple(fusion.unfused))


def _needed(kernels: list[Kernel], stored: frozenset[int], results: tuple[int, ...]) -> list[Kernel]:
    """The kernels that make what is read: of a slice beside what was placed into zeros nothing is."""
    read, kept = set(results), []
    for kernel in reversed(kernels):
        if any(n in read for n in kernel.nodes if n in stored):
            kept.append(kernel)
            read |= kernel.reads
    return kept[::-1]


def _result_nodes(graph: Graph) -> tuple[int, ...]:
    """The node to compute into each output's buffer: a reshaped result is computed in place, in the output's shape."""
    results: list[int] = []
    for output in graph.outputs:
        node = output
        while graph[node].op.kind is Kind.VIEW and _is_reshape(graph, graph[node]):
            node = graph[node].inputs[0]
        plain = graph[node].op.kind in (*COMPUTED, *TEMPLATES) and node not in graph.outputs and node not in results
        results.append(node if plain else output)
    return tuple(results)


def _is_reshape(graph: Graph, node: Node) -> bool:
    """Whether a view lists the elements of its one operand in the order they have."""
    if len(node.inputs) != 1:
        return False
    source = graph[node.inputs[0]].aval
    index = axes_of(node.aval.shape)
    reads = node.op.reads(index, (source,), node.params)
    if source.size != node.aval.size or len(reads) != 1 or reads[0].guards:
        return False
    return bool(flatten_index(reads[0].index, source.shape) == flatten_index(index, node.aval.shape))


def _stored(graph: Graph, fusion: Fusion, groups: list[Group], results: tuple[int, ...]) -> frozenset[int]:
    """Nodes that are outputs, that another kernel reads, or that only a buffer can carry."""
    stored = set(results) | {g.template for g in groups if g.template is not None}
    for node, readers in fusion.readers.items():
        home = fusion.group_of.get(node)
        if home is not None and any(fusion.group_of[reader] is not home for _, reader, _ in readers):
            stored.add(node)
    for group in groups:
        by_columns = bool(group.axes) and (len(group.shape) - 1) not in group.axes
        combined = (Level.TOTAL, Level.COLUMN)
        stored |= {n for n, lv in group.levels.items() if lv in combined or (lv is Level.ROW and by_columns)}
    return frozenset(stored)


def verify_program(program: Program) -> Program:
    """Return the program if its kernels can run in their order, else raise AssertionError.

    Checked: every node is computed in one kernel, what a kernel reads from a buffer is stored by an earlier one, and the
    results are stored.
    """
    made: set[int] = set()
    for number, kernel in enumerate(program.kernels):
        for node in kernel.reads:
            given = program.graph[node].op.kind in (Kind.INPUT, Kind.CONSTANT)
            if not given and (node not in made | _assembled(program, made) or node not in program.stored):
                raise AssertionError(f"after schedule: kernel {number} reads {program.graph[node]!r} before it is stored")
        if made & set(kernel.nodes):
            raise AssertionError(f"after schedule: kernel {number} computes what an earlier one has computed")
        made |= set(kernel.nodes)
    if not set(program.results) <= made | _assembled(program, made):
        raise AssertionError("after schedule: a result is not computed")
    return program


def _assembled(program: Program, made: AbstractSet[int]) -> set[int]:
    """The arrays whose parts are all stored inside of them."""
    parts: dict[int, set[int]] = defaultdict(set)
    for node, where in program.placed.items():
        for place in where:
            parts[place.host].add(node)
    return {host for host, nodes in parts.items() if nodes <= made}
