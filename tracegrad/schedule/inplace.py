"""Arrays behind one another, written in place: the kernels that compute the parts store them where they belong.

A kernel that assembles an array reads each part from a buffer of its own, under conditions. Where a part is computed for this
array alone, its kernel stores it into the array at once, and what remains to be copied is copied without conditions. A step
of diffusion over 10⁴ elements whose ends are kept as they are takes 2.2 µs in place of 4.2, its derivative along three
directions 11.2 in place of 18.8; three cheap columns side by side 4.0 in place of 7.6.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from itertools import pairwise

from tracegrad.core.aval import Shape
from tracegrad.core.expr import Index, axes_of, axis, flatten_index, unflatten_index
from tracegrad.core.graph import Graph
from tracegrad.core.op import Kind
from tracegrad.schedule.cost import PARALLEL_NS, work_ns
from tracegrad.schedule.domain import places, squeeze
from tracegrad.schedule.fuse import SHORT_STRIDE
from tracegrad.schedule.program import Kernel, Level, Loop, Part, Placed, Program

__all__ = ["assembling_kernels", "place_parts"]

LEAST_RUN = 17
"""Elements that follow one another in the array, at least, where a part's rows lie apart: shorter rows are unrolled, and what
is computed for them would no longer be one loop of vector instructions."""
MOST_COPIES = 2
"""Kernels that copy what is not computed, at most, for each assembled array: each takes 0.02 s to compile."""


@dataclass(frozen=True, slots=True)
class _Host:
    """An array to be assembled: where each of its parts lies, by the node that computes it or that is copied."""

    node: int
    kernel: int
    computed: Mapping[int, tuple[Placed, ...]]
    copied: Mapping[int, tuple[Placed, ...]]


def place_parts(program: Program) -> Program:
    """The program with arrays assembled by the kernels that compute their parts, where that can be.

    A part can be written in place if one kernel computes it, nothing but such arrays reads it, and its rows stay long.
    """
    assembled = _Assembled(program)
    found = assembled.hosts()
    if not found:
        return program
    at: dict[int, list[Placed]] = defaultdict(list)
    copies: dict[int, int] = {}
    joined: dict[int, list[int]] = defaultdict(list)
    for host in found:
        for node, where in (*host.computed.items(), *host.copied.items()):
            at[node] += where
        for node in host.copied:
            if node not in copies:  # what several arrays have in common is copied to all of them at once
                copies[node] = assembled.copier(host, node)
                joined[copies[node]].append(node)
    hosts = {host.node for host in found}
    kernels: list[Kernel] = []
    for number, kernel in enumerate(program.kernels):
        if number in {host.kernel for host in found}:
            kernels += _without(program, kernel, hosts)
            kernels += _copying(program, kernel, joined[number])
        else:
            kernels.append(_joined(program, kernel, joined[number], assembled.reads))
    placed = {node: tuple(where) for node, where in at.items()}
    return replace(program, kernels=tuple(kernels), stored=program.stored | placed.keys(), placed=placed)


def assembling_kernels(program: Program) -> frozenset[int]:
    """The numbers of the kernels that ``place_parts`` would change: those that compute parts, and those that copy them."""
    assembled = _Assembled(program)
    found = assembled.hosts()
    return frozenset([host.kernel for host in found] + [assembled.home[n] for host in found for n in host.computed])


class _Assembled:
    """The arrays of a program that can be assembled in place."""

    def __init__(self, program: Program) -> None:
        self.program, self.graph = program, program.graph
        self.home: dict[int, int] = {}
        self.readers: dict[int, set[int]] = defaultdict(set)
        self.reads: dict[int, frozenset[int]] = {}
        """What is read to copy a node in a kernel that computes other parts."""
        self.candidates: dict[int, int] = {}
        """Arrays that a kernel puts together, with its number."""
        for number, kernel in enumerate(program.kernels):
            self.home |= dict.fromkeys(kernel.nodes, number)
            for node in kernel.reads:
                self.readers[node].add(number)
            if kernel.part is not None and not kernel.part.axes and len(kernel.part.loops) == 1:
                self.candidates |= {n: number for n in kernel.part.nodes if self.graph[n].op.kind is Kind.VIEW}
        self.candidates = {n: k for n, k in self.candidates.items() if _parts(self.graph, self._whole(n)[0]) is not None}

    def hosts(self) -> list[_Host]:
        """Those of the candidates of which some part is computed, and the rest can be copied; fewer where they share parts."""
        found = {n: host for n in self.candidates if (host := self._host(n)) is not None}
        while True:
            kept = {n: host for n, host in found.items() if all(self._only_read_by(m, found) for m in host.computed)}
            if len(kept) == len(found):
                return list(kept.values())
            found = kept

    def copier(self, host: _Host, node: int) -> int:
        """The number of the kernel that copies a part: one over the same elements that computes another, or the array's own.

        Elements that lie beside one another are then stored by one loop, as whole vectors.
        """
        reads = _read(self.program, self.program.kernels[host.kernel], node)
        last = max((self.home[n] for n in reads if n in self.home), default=-1)
        for other in host.computed:
            number = self.home[other]
            part = self.program.kernels[number].part
            fits = part is not None and not part.axes and len(part.loops) == 1
            if fits and part is not None and part.shape == squeeze(self.graph[node].aval.shape) and last < number:
                self.reads[node] = reads
                return number
        return host.kernel

    def _host(self, node: int) -> _Host | None:
        computed: dict[int, list[Placed]] = defaultdict(list)
        copied: dict[int, list[Placed]] = defaultdict(list)
        for part, where in self._leaves(*self._whole(node)):
            source, there = self._source(part, where)
            if self._stores(source, there):
                computed[source].append(there)
            elif part in self.home or not self.graph[part].aval.ndim:
                return None
            else:
                copied[part].append(where)
        own = {made.shape for n in computed if (made := self.program.kernels[self.home[n]].part) is not None}
        pays = computed or self._divides(node)
        if not pays or len({squeeze(self.graph[n].aval.shape) for n in copied} - own) > MOST_COPIES:
            return None
        return _Host(node, self.candidates[node], _closed(computed), _closed(copied))

    def _whole(self, node: int) -> tuple[int, Placed]:
        """What a kernel's view shows with other axes, and where that lies in it."""
        return self._source(node, Placed(node, axes_of(self.graph[node].aval.shape)))

    def _divides(self, node: int) -> bool:
        """Whether the array, put together element by element, takes divisions to find them: 12 ns for each element."""
        stored = frozenset(n for n in self.home if self.graph[n].op.kind is Kind.VIEW) - {node}
        found = places(self.graph, node, axes_of(self.graph[node].aval.shape), held=stored)
        return any(not index.is_affine for place in found for index in place.index)

    def _leaves(self, node: int, where: Placed) -> Iterator[tuple[int, Placed]]:
        """The parts of an assembled array, and of those that are assembled in turn; ``where`` is where it lies itself."""
        for part, starts in _parts(self.graph, node) or ():
            shape = self.graph[part].aval.shape
            moved = tuple(i + s for i, s in zip(axes_of(shape), starts, strict=True))
            there = where.seen_by(moved)
            source, inside = self._source(part, there)
            if source not in self.home and _parts(self.graph, source) is not None:
                yield from self._leaves(source, inside)
            elif 0 not in shape:
                yield part, there

    def _source(self, part: int, where: Placed) -> tuple[int, Placed]:
        """What a part shows all elements of, in their order, and where that lies; the part itself where it is no such view."""
        graph, shape = self.graph, self.graph[part].aval.shape
        index = axes_of(shape)
        found = part
        for node, at in self._views_behind(part, index, where.host):
            own = graph[node].aval.shape
            if own and graph[node].aval.size == graph[part].aval.size and flatten_index(at, own) == flatten_index(index, shape):
                found = node
            if _parts(graph, node) is not None and found == node and node != part:
                break
        if found == part:
            return part, where
        own = graph[found].aval.shape
        return found, where.seen_by(unflatten_index(flatten_index(axes_of(own), own), shape))

    def _views_behind(self, part: int, index: tuple[Index, ...], host: int) -> Iterator[tuple[int, tuple[Index, ...]]]:
        """The nodes that a view shows at one place each, from the nearest, and the index there; none behind other kernels'."""
        while True:
            yield part, index
            n = self.graph[part]
            if n.op.kind is not Kind.VIEW or (part in self.home and part != host):
                return
            reads = n.op.reads(index, tuple(self.graph[i].aval for i in n.inputs), n.params)
            live = [read for read in reads if not any(guard.never for guard in read.guards)]
            if len(live) != 1 or not all(guard.always for guard in live[0].guards):
                return
            part, index = n.inputs[live[0].operand], live[0].index

    def _stores(self, node: int, where: Placed) -> bool:
        """Whether the kernel that computes a node can store it there."""
        n, program = self.graph[node], self.program
        if n.op.kind not in (Kind.MAP, Kind.REDUCE) or node not in program.stored or node in program.floating:
            return False
        if node in program.results or node not in self.home or not n.aval.ndim:
            return False
        part = program.kernels[self.home[node]].part
        if part is None or node in part.spilled:
            return False
        level = part.levels[node]
        offset = where.offset(self.graph)
        if level is Level.ROW:
            return not part.by_columns and offset.is_affine
        return level is Level.FULL and offset.is_affine and _in_long_rows(n.aval.shape, offset)

    def _only_read_by(self, node: int, found: Mapping[int, _Host]) -> bool:
        """Whether only kernels that assemble arrays from a node read it, and only to do so."""
        for number in self.readers[node]:
            kernel = self.program.kernels[number]
            mine = {n for n, host in found.items() if host.kernel == number and node in host.computed}
            if not mine or any(node in _read(self.program, kernel, n) for n in set(kernel.nodes) - mine):
                return False
        return True


def _closed(places: Mapping[int, list[Placed]]) -> dict[int, tuple[Placed, ...]]:
    return {node: tuple(where) for node, where in places.items()}


def _long(shape: Shape) -> list[int]:
    return [k for k, extent in enumerate(shape) if extent != 1]


def _parts(graph: Graph, node: int) -> tuple[tuple[int, Shape], ...] | None:
    """The operands of a view that shows them behind one another, with where each begins; None for other views."""
    n = graph[node]
    if n.op.kind is not Kind.VIEW or len(n.inputs) < 2:
        return None
    own = axes_of(n.aval.shape)
    avals = tuple(graph[i].aval for i in n.inputs)
    found: list[tuple[int, Shape]] = []
    for read in n.op.reads(own, avals, n.params):
        starts = tuple((i - there).constant for i, there in zip(own, read.index, strict=False))
        shape = avals[read.operand].shape
        plain = tuple(axis(k, extent) - s for k, (extent, s) in enumerate(zip(n.aval.shape, starts, strict=False)))
        if len(shape) != n.aval.ndim or plain != read.index:
            return None
        found.append((n.inputs[read.operand], starts))
    boxes = sorted((starts, graph[i].aval.shape) for i, starts in found)
    along = {k for starts, _ in boxes for k, s in enumerate(starts) if s}
    if len(along) != 1 or sum(graph[i].aval.size for i, _ in found) != n.aval.size:
        return None
    [k] = along
    if any(starts[k] + shape[k] != following[k] for (starts, shape), (following, _) in pairwise(boxes)):
        return None
    return tuple(found)


def _in_long_rows(shape: Shape, offset: Index) -> bool:
    """Whether elements lie behind one another, all of them or rows that are not short."""
    run = 1
    long = _long(shape)
    if len(long) == 1 and offset.coefficient(long[0]) <= SHORT_STRIDE:
        return True
    for k in reversed(long):
        if offset.coefficient(k) != run:
            return run >= LEAST_RUN
        run *= shape[k]
    return True


def _read(program: Program, kernel: Kernel, node: int) -> frozenset[int]:
    """What a kernel reads from buffers to compute a node, of what it reads at all, through what it computes on the way."""
    graph, found = program.graph, set()
    held = frozenset(n for n in kernel.reads if graph[n].op.kind is Kind.VIEW)
    pending, seen = [node], set()
    while pending:
        n = graph[pending.pop()]
        if n.id in seen:
            continue
        seen.add(n.id)
        if n.op.kind is Kind.VIEW and n.id not in held:
            pending += [place.node for place in places(graph, n.id, axes_of(n.aval.shape), held=held)]
        elif n.id in kernel.reads:
            found.add(n.id)
        else:
            pending += n.inputs
    return frozenset(found)


def _without(program: Program, kernel: Kernel, hosts: AbstractSet[int]) -> Iterator[Kernel]:
    """The kernel without the arrays that are assembled elsewhere."""
    assert kernel.part is not None
    part = kernel.part
    levels = {n: level for n, level in part.levels.items() if n not in hosts}
    if levels:
        [loop] = part.loops
        loop = replace(loop, nodes=tuple(n for n in loop.nodes if n not in hosts))
        reads = frozenset().union(*(_read(program, kernel, n) for n in levels)) - levels.keys()
        yield replace(kernel, part=replace(part, levels=levels, loops=(loop,)), reads=reads)


def _joined(program: Program, kernel: Kernel, nodes: list[int], reads: Mapping[int, frozenset[int]]) -> Kernel:
    """The kernel with nodes that it copies beside what it computes."""
    if not nodes:
        return kernel
    assert kernel.part is not None
    part = kernel.part
    [loop] = part.loops
    loop = replace(loop, nodes=tuple(sorted((*loop.nodes, *nodes))))
    part = replace(part, levels={**part.levels, **dict.fromkeys(nodes, Level.FULL)}, loops=(loop,))
    return replace(kernel, part=part, reads=kernel.reads.union(*(reads[n] for n in nodes)))


def _copying(program: Program, kernel: Kernel, nodes: list[int]) -> Iterator[Kernel]:
    """Kernels that copy nodes to where they belong, one for each domain."""
    graph = program.graph
    domains: dict[Shape, list[int]] = defaultdict(list)
    for node in sorted(nodes):
        domains[squeeze(graph[node].aval.shape)].append(node)
    for shape, own in domains.items():
        loop = Loop((), tuple(own), (), (), ())
        part = Part(shape, (), dict.fromkeys(own, Level.FULL), (loop,), (), (), ())
        reads = frozenset().union(*(_read(program, kernel, n) for n in own))
        yield Kernel(part, None, work_ns(graph, part, len(reads) + len(own)) > PARALLEL_NS, reads)
