"""Short last axes taken apart: an array of coordinates becomes one array per coordinate.

Differences of points, ``x[:, None, :] - x[None, :, :]``, have an axis of two or three inside two long ones. A loop over
it is too short for vectors, and what is summed over it cannot share loops with what is summed over the long axes. One
array per coordinate has the long axes only: the loops vectorise, and one kernel holds everything.
"""

from __future__ import annotations

from collections.abc import Iterator

from tracegrad.core.aval import Shape
from tracegrad.core.graph import Graph, Node
from tracegrad.core.op import Kind
from tracegrad.ops.broadcasting import reduce_sum, reshape_to
from tracegrad.ops.maps import add
from tracegrad.ops.views import join, strided_slice

LONGEST = 4
"""Extent of a last axis up to which its elements become arrays of their own."""
LARGEST = 200
"""Nodes that a family may have afterwards."""


def take_apart(graph: Graph) -> Graph | None:
    """The graph with families of short-axed values taken apart, None where there is none.

    A family is maps over two or more long axes and a last one of at most 4, connected by reading each other, of which one
    at least is summed over the last axis, and which nothing but maps of the family and sums read.
    """
    members = _members(graph)
    return _Parts(graph, members).run() if members else None


def _short(node: Node) -> bool:
    shape = node.aval.shape
    if len(shape) < 3 or not 2 <= shape[-1] <= LONGEST or node.aval.dtype.kind != "f":
        return False
    return sum(n != 1 for n in shape[:-1]) >= 2


def _members(graph: Graph) -> frozenset[int]:
    """The maps that are taken apart."""
    maps = {node.id for node in graph.live() if node.op.kind is Kind.MAP and _short(node)}
    if not maps:
        return frozenset()
    readers = graph.readers()
    found: set[int] = set()
    seen: set[int] = set()
    for start in sorted(maps):
        if start in seen:
            continue
        family = {start}
        stack = [start]
        while stack:
            node = graph[stack.pop()]
            for i in (*node.inputs, *(r.id for r in readers[node.id])):
                if i in maps and i not in family:
                    family.add(i)
                    stack.append(i)
        seen |= family
        if _pays(graph, family, readers):
            found |= family
    return frozenset(found)


def _pays(graph: Graph, family: set[int], readers: dict[int, list[Node]]) -> bool:
    outside = [(i, r) for i in family for r in readers[i] if r.id not in family]
    if family & set(graph.outputs) or any(r.op is not reduce_sum for _, r in outside):
        return False
    inner = any(graph[i].aval.ndim - 1 in r.params["axes"] for i, r in outside)
    return inner and len(family) * LONGEST <= LARGEST


class _Parts:
    """A graph emitted anew, with the members' elements along their last axes apart."""

    def __init__(self, graph: Graph, members: frozenset[int]) -> None:
        self.source = graph
        self.members = members
        self.graph = Graph()
        self.new: dict[int, int] = {}
        self.parts: dict[tuple[int, int], int] = {}

    def run(self) -> Graph:
        """The whole graph."""
        source = self.source
        for node in source.live():
            if node.id in self.members:
                for k in range(node.aval.shape[-1]):
                    parts = tuple([self.part(i, k, node) for i in node.inputs])
                    self.parts[node.id, k] = self.graph.emit(node.op, parts, node.params, node.where)
            elif node.op is reduce_sum and node.inputs[0] in self.members:
                self.new[node.id] = self.summed(node)
            else:
                self.new[node.id] = self.graph.emit(node.op, tuple([self.new[i] for i in node.inputs]), node.params, node.where)
        return self.graph.freeze([self.new[i] for i in source.outputs], source.primal_outputs)

    def part(self, i: int, k: int, reader: Node) -> int:
        """Element k along the last axis of a value that a member reads."""
        known = self.parts.get((i, k))
        if known is not None:
            return known
        shape = self.source[i].aval.shape
        at = {"starts": (0,) * (len(shape) - 1) + (k,), "sizes": (*shape[:-1], 1), "steps": (1,) * len(shape)}
        cut = self.graph.emit(strided_slice, (self.new[i],), at, reader.where)
        made = self.parts[i, k] = self.reshaped(cut, shape[:-1], reader)
        return made

    def reshaped(self, i: int, shape: Shape, reader: Node) -> int:
        """A value under another shape."""
        return self.graph.emit(reshape_to, (i,), {"shape": shape}, reader.where)

    def summed(self, node: Node) -> int:
        """A sum of a member."""
        operand = node.inputs[0]
        last = self.source[operand].aval.ndim - 1
        axes = node.params["axes"]
        over = {"axes": tuple(k for k in axes if k != last)}
        parts = list(self.all_parts(operand))
        if last in axes:
            whole = parts[0]
            for part in parts[1:]:
                whole = self.graph.emit(add, (whole, part), {}, node.where)
            return self.graph.emit(reduce_sum, (whole,), over, node.where) if over["axes"] else whole
        sums = [self.graph.emit(reduce_sum, (p,), over, node.where) for p in parts]
        columns = [self.reshaped(s, (*node.aval.shape[:-1], 1), node) for s in sums]
        return self.graph.emit(join, tuple(columns), {"axis": node.aval.ndim - 1}, node.where)

    def all_parts(self, i: int) -> Iterator[int]:
        """The elements of a member along its last axis."""
        return (self.parts[i, k] for k in range(self.source[i].aval.shape[-1]))
