"""Recompute or store: which values a later kernel reads from memory, and which it computes again.

A program is cut where most bytes are alive between two kernels; in a program with a gradient that is where the forward half
ends. What kernels before the cut leave for those behind it is either kept in the arena or computed again behind the cut. The
choice is a minimum cut of the graph before it, as in PyTorch's ``min_cut_rematerialization_partition``: every value is split
in two, the edge between the halves costs its bytes (it is stored), an edge from the source costs the time to compute it
(it is computed again), and whatever a value is computed from must then be at hand too. The price of a nanosecond in bytes
sets how much is computed again.

Values inside of a checkpointed function are computed again whatever that costs: marks in the graph say where such a function
begins and ends.

Values that are all computed again at once would all be alive at once. So the part before the cut is divided into segments:
what one leaves for the next is not computed again, and each segment is computed again just before it is needed.
"""

from __future__ import annotations

import importlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tracegrad.core.graph import Graph, Node
from tracegrad.core.op import Kind
from tracegrad.ops import marks as marked
from tracegrad.ops.broadcasting import reshape_to
from tracegrad.schedule.cost import LOAD_NS, node_flops, node_ns
from tracegrad.schedule.program import Program

PRICES = (20.0, 3.0, 0.5, 0.05, 0.0)
"""Bytes that a nanosecond of computing again is worth: from maps of a few operations to everything."""
SEGMENTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
"""Numbers of segments to try; with n equal steps the square root of n takes least memory."""
CONTRACTION_NS = 0.05
"""Nanoseconds of a floating point operation in a contraction."""

SOURCE, SINK = "source", "sink"
LEAVES = (Kind.INPUT, Kind.CONSTANT, Kind.IOTA)


@dataclass(frozen=True, slots=True)
class Choice:
    """What to compute again.

    Parameters
    ----------
    again: nodes computed once more.
    ns: estimated time of that, and of writing and reading what is kept.
    segments: of each node before the cut, the segment it is in.
    """

    again: frozenset[int]
    ns: float
    segments: dict[int, int]


@dataclass(frozen=True, slots=True)
class Cut:
    """A program cut before the kernel of a number.

    ``before`` are the nodes that earlier kernels compute, ``wanted`` those that the later ones read and that no result's
    buffer holds anyway, ``reads`` the bases from which each node before the cut is computed, ``compared`` those that are
    compared with each other.
    """

    program: Program
    kernel: int
    before: frozenset[int]
    wanted: tuple[int, ...]
    reads: dict[int, tuple[int, ...]]
    compared: frozenset[int]


def cut_program(program: Program) -> Cut | None:
    """The program cut where most bytes are alive; None where nothing is kept between kernels."""
    kernels, graph = program.kernels, program.graph
    home, kept = _kept(program)
    if not kept:
        return None
    place = max(range(1, len(kernels)), key=lambda k: sum(graph[n].aval.nbytes for n in kept if home[n] < k <= kept[n]))
    return _cut_at(program, place)


def _kept(program: Program) -> tuple[dict[int, int], dict[int, int]]:
    """The kernel of each node, and the last one that reads each value that is kept between kernels."""
    home = {n: k for k, kernel in enumerate(program.kernels) for n in kernel.nodes}
    last: dict[int, int] = {}
    for k, kernel in enumerate(program.kernels):
        for n in kernel.reads:
            last[n] = k
    return home, {n: k for n, k in last.items() if home.get(n, k) < k and n not in program.results}


def _cut_at(program: Program, place: int) -> Cut:
    """The program cut before the kernel of a number."""
    graph = program.graph
    home, kept = _kept(program)
    before = frozenset(n for n, k in home.items() if k < place)
    reads = {n: tuple(_bases(graph, home, graph[n].inputs)) for n in sorted(before)}
    wanted = tuple(sorted(n for n in kept if n in before and kept[n] >= place))
    return Cut(program, place, before, wanted, reads, frozenset(_compared(graph, home)))


def _bases(graph: Graph, home: dict[int, int], nodes: Iterable[int]) -> Iterator[int]:
    """What kernels compute among the values that nodes are made of, through views and maps that every reader computes."""
    stack, seen = list(nodes), set()
    while stack:
        n = stack.pop()
        if n in seen or graph[n].op.kind in LEAVES:
            continue
        seen.add(n)
        if n in home:
            yield n
        else:
            stack.extend(graph[n].inputs)


def _compared(graph: Graph, home: dict[int, int]) -> Iterator[int]:
    """What is compared with another computed value, as an element with the largest one of its row.

    These are not computed again: another kernel may round them differently, where a multiplication and an addition become
    one instruction, and then no element would be the largest.
    """
    for node in graph:
        if node.op.kind is Kind.MAP and node.aval.dtype.kind == "b" and graph[node.inputs[0]].aval.dtype.kind != "b":
            sides = [set(_bases(graph, home, (i,))) for i in node.inputs]
            if all(sides):
                yield from set().union(*sides)


@dataclass(frozen=True, slots=True)
class Marks:
    """What lies inside of checkpointed functions: nodes by id with the number of the outermost one, and their results."""

    inside: dict[int, int]
    results: frozenset[int] = frozenset()


def without_marks(graph: Graph) -> tuple[Graph, Marks]:
    """A graph without its marks, and what they said.

    Inside is what depends on an argument of a checkpointed function and leads to a result of it; what its derivative reads
    depends on its arguments too, and leads there no more.
    """
    if not any(marked.is_mark(node.op) for node in graph):
        return graph, Marks({})
    numbers: dict[int, int] = {}
    for node in graph:
        if marked.is_mark(node.op):
            numbers.setdefault(node.params["region"], len(numbers))
    behind, leading, results = [0] * len(graph), [0] * len(graph), set()
    for node in graph:
        for i in node.inputs:
            behind[node.id] |= behind[i]
        if node.op is marked.begin:
            behind[node.id] |= 1 << numbers[node.params["region"]]
    for node in reversed(list(graph)):
        if node.op is marked.end:
            results.add(node.inputs[0])
        mine = leading[node.id] | (1 << numbers[node.params["region"]] if node.op is marked.end else 0)
        for i in node.inputs:
            leading[i] |= mine
    result = Graph()
    ids: dict[int, int] = {}
    inside: dict[int, int] = {}
    for node in graph:
        if marked.is_mark(node.op):
            ids[node.id] = ids[node.inputs[0]]
            continue
        ids[node.id] = result.emit(node.op, tuple(ids[i] for i in node.inputs), node.params, node.where)
        both = behind[node.id] & leading[node.id]
        if both and node.id not in results:
            inside[ids[node.id]] = (both & -both).bit_length()
    made = Marks(inside, frozenset(ids[i] for i in results))
    return result.freeze([ids[i] for i in graph.outputs], graph.primal_outputs), made


def marked_choice(program: Program, marks: Marks) -> tuple[Cut, Choice] | None:
    """The choice to compute again what is inside of checkpointed functions, where a derivative reads it.

    None where nothing outside of them reads it.
    """
    graph = program.graph
    home, _ = _kept(program)
    free = {n for n in marks.inside if n in home and n not in program.results} - set(_compared(graph, home))
    place = next(
        (
            k
            for k, kernel in enumerate(program.kernels)
            for n in kernel.nodes
            if n not in marks.inside
            and n not in marks.results
            and any(i in free and home[i] < k for i in _bases(graph, home, graph[n].inputs))
        ),
        None,
    )
    if place is None:
        return None
    cut = _cut_at(program, place)
    again: set[int] = set()
    stack = [n for n in cut.wanted if n in free]
    while stack:
        n = stack.pop()
        if n not in again:
            again.add(n)
            stack += [i for i in cut.reads[n] if i in free]
    ns = sum(_ns(graph, graph[n]) for n in again)
    return cut, Choice(frozenset(again), ns, {n: marks.inside.get(n, 0) for n in cut.before})


def choices(cut: Cut) -> list[Choice]:
    """Different choices, the cheapest in time first; an empty one is not among them."""
    found: dict[tuple[frozenset[int], int], Choice] = {}
    for count in SEGMENTS:
        segments = _segments(cut, count)
        if count > 1 + max(segments.values(), default=0):
            break
        for price in PRICES:
            again = _minimum_cut(cut, segments, price)
            if again:
                graph = cut.program.graph
                ns = sum(_ns(graph, graph[n]) for n in again)
                ns += sum(2 * LOAD_NS * graph[n].aval.size for n in cut.wanted if n not in again)
                found.setdefault((again, count), Choice(again, ns, segments))
    return sorted(found.values(), key=lambda c: (c.ns, max(c.segments.values())))


def _segments(cut: Cut, count: int) -> dict[int, int]:
    """Nodes before the cut in segments that leave about equally many bytes to the kernels behind it.

    Each border is moved to where the fewest bytes cross it, by up to a quarter of a segment.
    """
    graph = cut.program.graph
    nodes = sorted(cut.before)
    place = {n: k for k, n in enumerate(nodes)}
    change = [0] * (len(nodes) + 1)
    ends = dict(place)
    for n in nodes:
        for i in cut.reads[n]:
            ends[i] = max(ends[i], place[n])
    for n, end in ends.items():
        change[place[n]] += graph[n].aval.nbytes
        change[end] -= graph[n].aval.nbytes
    crossing, alive = [], 0
    for step in change:
        alive += step
        crossing.append(alive)
    wanted = set(cut.wanted)
    sums, total = [], 0
    for n in nodes:
        total += graph[n].aval.nbytes if n in wanted else 0
        sums.append(total)
    borders: list[int] = []
    for k in range(1, count):
        low, high = ((k + shift) * total / count for shift in (-0.25, 0.25))
        near = [j for j, s in enumerate(sums[:-1]) if low <= s <= high]
        if near:
            borders.append(min(near, key=lambda j: (crossing[j], j)))
    borders = sorted(set(borders))
    return {n: bisect_right(borders, k - 1) for k, n in enumerate(nodes)}


def _minimum_cut(cut: Cut, segments: dict[int, int], price: float) -> frozenset[int]:
    """The nodes to compute again for the fewest bytes, those spent on time included."""
    graph = cut.program.graph
    needed: set[int] = set()
    stack = list(cut.wanted)
    while stack:
        n = stack.pop()
        if n not in needed:
            needed.add(n)
            stack.extend(cut.reads[n])
    fixed = cut.compared | {i for n in needed for i in cut.reads[n] if segments[i] != segments[n]}
    free = set(cut.program.results)
    networks = importlib.import_module("networkx")
    flow = networks.DiGraph()
    flow.add_nodes_from((SOURCE, SINK))
    for n in needed - free:
        if n in fixed:
            flow.add_edge(SOURCE, (n, "in"))  # without a capacity: never cut
        else:
            flow.add_edge(SOURCE, (n, "in"), capacity=round(price * _ns(graph, graph[n])))
        flow.add_edge((n, "in"), (n, "out"), capacity=graph[n].aval.nbytes)
        flow.add_edges_from(((i, "out"), (n, "in")) for i in cut.reads[n] if i not in free)
    flow.add_edges_from(((n, "out"), SINK) for n in cut.wanted)
    _, (_, behind) = networks.minimum_cut(flow, SOURCE, SINK, flow_func=networks.algorithms.flow.boykov_kolmogorov)
    return frozenset(n for n in needed - free if (n, "in") in behind)


def _ns(graph: Graph, node: Node) -> float:
    """Estimated nanoseconds of computing a node from its operands."""
    size = node.aval.size
    if node.op.kind is Kind.MAP:
        return size * node_ns(node)
    if node.op.kind is Kind.CONTRACT:
        return CONTRACTION_NS * node_flops(graph, node)
    return LOAD_NS * max(size, *(graph[i].aval.size for i in node.inputs))


def computed_again(cut: Cut, choice: Choice) -> tuple[Graph, tuple[int, ...]]:
    """The graph in which later kernels compute the chosen values again.

    Returns the graph and the ids at which a new phase begins: nodes of different phases do not share a kernel, or what is
    computed again would be computed where it was before.
    """
    return _Second(cut, choice).run()


class _Second:
    """A graph emitted again, some of its nodes twice: ``plain`` are ids before the cut, ``late`` those seen behind it."""

    def __init__(self, cut: Cut, choice: Choice) -> None:
        self.cut = cut
        self.choice = choice
        self.source = cut.program.graph
        self.home = {n: k for k, kernel in enumerate(cut.program.kernels) for n in kernel.nodes}
        self.result = Graph()
        self.plain: dict[int, int] = {}
        self.late: dict[int, int] = {}
        self.segment: int | None = None

    def run(self) -> tuple[Graph, tuple[int, ...]]:
        source, result = self.source, self.result
        early = source.ancestors(self.cut.before)
        for node in source:
            if node.op.kind in LEAVES or node.id in early:
                operands = tuple(self.plain[i] for i in node.inputs)
                self.plain[node.id] = result.emit(node.op, operands, node.params, node.where)
        self.phases = [len(result)]
        needed = source.ancestors(source.outputs)
        for node in source:
            if node.id in needed and self.home.get(node.id, -1) >= self.cut.kernel:
                self._at_hand(node.id)
        for i in source.outputs:
            self._at_hand(i)
        return result.freeze([self.late[i] for i in source.outputs], source.primal_outputs), tuple(self.phases)

    def _at_hand(self, node: int) -> None:
        """Emit a node behind the cut, and before it what it needs there."""
        found: set[int] = set()
        stack = [node]
        while stack:
            i = stack.pop()
            if i in self.late or i in found:
                continue
            kept = self.home.get(i, self.cut.kernel) < self.cut.kernel and i not in self.choice.again
            if kept or self.source[i].op.kind in LEAVES:
                self.late[i] = self.plain[i]
            else:
                found.add(i)
                stack.extend(self.source[i].inputs)
        for i in sorted(found):
            self._emit(self.source[i])

    def _emit(self, node: Node) -> None:
        operands = [self.late[i] for i in node.inputs]
        if node.id in self.choice.again:
            segment = self.choice.segments[node.id]
            if segment != self.segment:
                self.segment = segment
                self.phases.append(len(self.result))
            if operands == [self.plain[i] for i in node.inputs]:
                # equal nodes are one, and a reshape to the shape it has keeps this one apart
                k = next((k for k, i in enumerate(node.inputs) if self.source[i].op.kind is not Kind.CONSTANT), 0)
                shape = self.source[node.inputs[k]].aval.shape
                operands[k] = self.result.emit(reshape_to, (operands[k],), {"shape": shape}, node.where)
        self.late[node.id] = self.result.emit(node.op, tuple(operands), node.params, node.where)
