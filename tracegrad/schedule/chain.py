"""Chains: neighbouring kernels that run block by block over one axis.

Kernels that go over the same rows, a product with a matrix, maps of it and the product that pulls the cotangent back, say, are
run one after the other on some rows, then on the next ones. What one makes and another reads then stays in the
second-level cache, is in memory for a few rows only, and data that several of them read come from memory once. Logistic
regression on 10⁵ rows of 50 reads 40 MB in place of 80.

A kernel may be in a chain if all it computes has the axis, each element from elements of the same place along it, or
reduces over the axis: the results of the blocks are then combined when all have run. Blocks depend on sizes alone, and so
do results.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from tracegrad.core.graph import Graph, Node
from tracegrad.core.op import Kind
from tracegrad.errors import ShapeError
from tracegrad.ops.followed import FollowedAxes
from tracegrad.schedule.cost import PARALLEL_NS, node_flops
from tracegrad.schedule.domain import squeeze
from tracegrad.schedule.program import Chain, Kernel, Level, Loop, Part, Program

BLOCK_BYTES = 1 << 18
"""What a block reads and writes by rows, at most: it stays in the second-level cache."""
SHARED_BYTES = 1 << 17
"""What all blocks read and what each of them adds up, at most: it is read, or written, again for each block."""
ROW_BYTES = 1 << 13
"""What a row may have: blocks of long rows would have few of them."""
LEAST_ROWS = 32
"""Rows of a block, at least; not so few that their number could stand in the text of a kernel."""
BLOCK_NS = 100_000
"""Work of a block, at most, so that there is some for each thread."""
CANDIDATES = 4
"""Axes that are tried."""
GFLOPS = 5.0
"""A cautious speed of one core."""


def chain_kernels(program: Program, assembling: frozenset[int] = frozenset()) -> Program:
    """The program with kernels put into chains where that spares traffic with the memory.

    ``assembling`` are the numbers of kernels that put arrays together and could do so in place, where no other is in the chain.
    """
    if len(program.kernels) < 2:
        return program
    graph = program.graph
    classes = FollowedAxes(graph, graph.ancestors(program.results)).classes()
    given = {(node.id, 0) for node in graph.inputs}
    home = {n: k for k, kernel in enumerate(program.kernels) for n in kernel.nodes}
    # Which axis it is must not depend on sizes: that along which most kernels can run. It is looked for among the few that
    # most kernels have, as a network has an axis for each of its layers.
    having = [(len({home[n] for n in along if n in home}), along) for along in classes if not given.isdisjoint(along.items())]
    likely = sorted(having, key=lambda each: -each[0])[:CANDIDATES]
    best = max((_Chaining(program, along, home, assembling) for _, along in likely), key=lambda each: each.most, default=None)
    return (best.run() if best is not None else None) or program


def rows_of(graph: Graph, along: Mapping[int, int]) -> int:
    """The extent of the axis."""
    node, axis = next(iter(along.items()))
    return graph[node].aval.shape[axis]


def with_rows(graph: Graph, along: Mapping[int, int], rows: int) -> Graph | None:
    """The graph with another extent for an axis, the same nodes under the same ids; None where a node cannot have it."""
    if rows == rows_of(graph, along):
        return graph
    nodes: list[Node] = []
    for node in graph:
        axis = along.get(node.id)
        if axis is not None:
            shape = node.aval.shape
            new = (*shape[:axis], rows, *shape[axis + 1 :])
            params = {k: new if isinstance(v, tuple) and v == shape else v for k, v in node.params.items()}
            node = replace(node, aval=replace(node.aval, shape=new), params=params)
            if node.op.kind is Kind.VIEW:
                try:
                    fits = node.op.infer(*(nodes[i].aval for i in node.inputs), **params) == node.aval
                except ShapeError:
                    fits = False
                if not fits:
                    return None
        nodes.append(node)
    return graph.with_nodes(nodes)


def block_kernels(chain: Chain, rows: int) -> tuple[Kernel, ...]:
    """The kernels of a chain for a block of so many rows."""
    kernels = []
    for kernel, place in zip(chain.kernels, chain.places, strict=True):
        if place is not None and kernel.part is not None and rows != chain.rows:
            shape = kernel.part.shape
            kernel = replace(kernel, part=replace(kernel.part, shape=(*shape[:place], rows, *shape[place + 1 :])))
        kernels.append(kernel)
    return tuple(kernels)


@dataclass(frozen=True, slots=True)
class _Role:
    """What a kernel is to a chain: itself without its maps of totals, those, and the nodes it reduces along the axis.

    ``place`` is which axis of its domain the chain's axis is, None for a template.
    """

    kernel: Kernel
    place: int | None
    finish: tuple[int, ...]
    totals: frozenset[int]


class _Chaining:
    """One attempt: chains along one axis."""

    def __init__(self, program: Program, along: dict[int, int], home: Mapping[int, int], assembling: frozenset[int]) -> None:
        self.program, self.graph, self.along = program, program.graph, along
        self.home, self.assembling = home, assembling
        self.readers: dict[int, set[int]] = {}
        for k, kernel in enumerate(program.kernels):
            for n in kernel.reads:
                self.readers.setdefault(n, set()).add(k)
        self.roles = [self._role(kernel) for kernel in program.kernels]
        self.most = len(self._split(list(range(len(program.kernels))))[1])
        """Kernels that the first chain could have."""

    def run(self) -> Program | None:
        """The program with its chains, None where there are none."""
        remaining = list(range(len(self.program.kernels)))
        kernels: list[Kernel] = []
        inside: set[int] = set()
        while remaining:
            before, members, remaining = self._split(remaining)
            launch = self._chain(members)
            kernels += [self.program.kernels[k] for k in before]
            if launch is None or (chain := launch.chain) is None:
                kernels += [self.program.kernels[k] for k in members]
                continue
            inside |= chain.stored - chain.outside - chain.totals
            kernels.append(launch)
            kernels += [self._scalars(role.finish) for role in self._roles(members) if role.finish]
        if not any(kernel.chain for kernel in kernels):
            return None
        return replace(self.program, kernels=tuple(kernels), stored=self.program.stored - inside)

    def _roles(self, members: Iterable[int]) -> Iterator[_Role]:
        for k in members:
            role = self.roles[k]
            assert role is not None
            yield role

    def _split(self, kernels: list[int]) -> tuple[list[int], list[int], list[int]]:
        """The kernels that need none of the first chain, those that it may have, and those that must run after it."""
        before: list[int] = []
        members: list[int] = []
        after: list[int] = []
        complete: set[int] = set()
        """Values that are there when the chain has run."""
        for k in kernels:
            role = self.roles[k]
            made_by = {self.home.get(n) for n in self.program.kernels[k].reads}  # also for its maps of totals
            reads = self.program.kernels[k].reads if role is None else role.kernel.reads
            if reads & complete or not made_by.isdisjoint(after) or (role is None and not made_by.isdisjoint(members)):
                after.append(k)
            elif role is None:
                before.append(k)
            else:
                members.append(k)
                complete |= {*role.totals, *role.finish}
        return before, members, after

    # -- members ---------------------------------------------------------------------------------------------------

    def _role(self, kernel: Kernel) -> _Role | None:
        """What a kernel may be to a chain, None if it cannot be in one."""
        if any(n in self.along and not self._leading(n) for n in kernel.reads if n not in self.home):
            return None
        if kernel.part is not None:
            return self._part(kernel, kernel.part)
        assert kernel.template is not None
        node = self.graph[kernel.template]
        if node.op.kind is not Kind.CONTRACT or self.along.keys().isdisjoint((node.id, *node.inputs)):
            return None
        return _Role(kernel, None, (), frozenset() if node.id in self.along else frozenset({node.id}))

    def _part(self, kernel: Kernel, part: Part) -> _Role | None:
        graph, along = self.graph, self.along
        places: set[int | None] = set()
        totals: set[int] = set()
        for n, level in part.levels.items():
            reduces = graph[n].op.kind is Kind.REDUCE
            source = graph[n].inputs[0] if reduces else n
            if level is Level.FINISH:
                continue
            if level is Level.FULL or (reduces and squeeze(graph[source].aval.shape) == part.shape):
                places.add(self._squeezed(source if reduces else n))
            if level is not Level.FULL and n not in along:
                if not reduces or source not in along:
                    return None  # a map of totals, or a total of what has been reduced along the axis already
                totals.add(n)
        if len(places) != 1 or None in places:
            return None
        finish = part.finish
        if finish:
            part = replace(part, finish=(), levels={n: lv for n, lv in part.levels.items() if lv is not Level.FINISH})
            kernel = replace(kernel, part=part, reads=self._reads(part.nodes))
        return _Role(kernel, places.pop(), finish, frozenset(totals))

    def _squeezed(self, node: int) -> int | None:
        """The place of the axis among a node's axes that have more than one element."""
        axis = self.along.get(node)
        if axis is None:
            return None
        shape = self.graph[node].aval.shape
        return len(squeeze(shape[:axis])) if shape[axis] != 1 else None

    def _leading(self, node: int) -> bool:
        """Whether the rows of a node follow one another in memory."""
        return math.prod(self.graph[node].aval.shape[: self.along[node]]) == 1

    def _reads(self, nodes: tuple[int, ...]) -> frozenset[int]:
        """What is read from buffers to compute some nodes of a kernel."""
        graph, found, seen = self.graph, set(), set(nodes)
        pending = [i for n in nodes for i in graph[n].inputs]
        while pending:
            i = pending.pop()
            node = graph[i]
            if i in seen:
                continue
            seen.add(i)
            if node.op.kind is Kind.INPUT or (node.op.kind is Kind.CONSTANT and node.aval.ndim) or i in self.home:
                found.add(i)
            else:
                pending += node.inputs
        return frozenset(found - set(nodes))

    def _scalars(self, nodes: tuple[int, ...]) -> Kernel:
        """A kernel of 0-d maps."""
        levels = dict.fromkeys(nodes, Level.FULL)
        part = Part((), (), levels, (Loop((), nodes, (), (), ()),), (), (), ())
        return Kernel(part, None, False, self._reads(nodes))

    # -- chains ----------------------------------------------------------------------------------------------------

    def _chain(self, members: list[int]) -> Kernel | None:
        """The chain of some kernels; None where it would spare nothing."""
        if len(members) < 2 or self.assembling.issuperset(members):
            return None
        graph, along, own = self.graph, self.along, set(members)
        roles = list(self._roles(members))
        made = {n for role in roles for n in role.kernel.nodes}
        totals = frozenset().union(*(role.totals for role in roles))
        reads = {n for role in roles for n in role.kernel.reads} - made
        stored = frozenset(made & self.program.stored)
        results = set(self.program.results)
        outside = frozenset(n for n in stored - totals if n in results or not self.readers.get(n, set()) <= own)
        if not all(self._leading(n) for n in outside):
            return None
        by_rows = {n for n in reads | (stored - totals) if n in along}
        shared = sum(graph[n].aval.nbytes for n in (reads - by_rows) | totals)
        rows = rows_of(graph, along)
        row = sum(_row_bytes(graph, along, n) for n in by_rows)
        again = [n for n in by_rows if len(self.readers.get(n, set()) & own) + (n in made) > 1]
        if not again or shared > SHARED_BYTES or row > ROW_BYTES or any(n not in along for n in stored - totals):
            return None
        work = sum(node_flops(graph, graph[n]) for n in made) / GFLOPS
        wanted = max(-(-rows * row // BLOCK_BYTES), int(work / BLOCK_NS))
        blocks = max(1, min(rows // LEAST_ROWS, wanted))
        kernels = tuple(replace(role.kernel, parallel=False) for role in roles)
        if with_rows(graph, along, rows + 1) is None:  # some other extent, so that the answer depends on no size
            return None
        places = tuple(role.place for role in roles)
        chain = Chain(kernels, places, along, rows, blocks, stored, outside, totals)
        return Kernel(None, None, work > PARALLEL_NS, frozenset(reads), chain)


def _row_bytes(graph: Graph, along: Mapping[int, int], node: int) -> int:
    aval, axis = graph[node].aval, along[node]
    return math.prod((*aval.shape[:axis], *aval.shape[axis + 1 :])) * aval.dtype.itemsize
