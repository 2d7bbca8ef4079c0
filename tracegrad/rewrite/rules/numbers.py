"""Programs on a few numbers: vectors that are put together from numbers and cut up again become numbers.

The state of a small differential equation is such a vector. Each step reads it at other elements than the one that it
computes, so that each step would be a kernel of its own; as numbers all steps are one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from tracegrad.core.aval import Shape
from tracegrad.core.expr import Index
from tracegrad.core.graph import Graph, Node
from tracegrad.core.op import Kind
from tracegrad.ops.broadcasting import reduce_sum, reshape_to
from tracegrad.ops.maps import add
from tracegrad.ops.sources import constant, literal
from tracegrad.ops.views import join, strided_slice

LARGEST = 8
"""Elements of the values that are taken apart."""
FEWEST = 4
"""Vectors put together from numbers that a program must have: one that has fewer is not a chain of steps."""
MOST = 10_000
"""Numbers that a graph may have afterwards."""


def into_numbers(graph: Graph) -> Graph | None:
    """The graph on numbers, None where it has longer vectors, other ops, or no chain of steps."""
    nodes = [graph[i] for i in sorted(graph.ancestors(graph.outputs))]
    small = all(node.aval.size <= LARGEST or node.op.kind in (Kind.INPUT, Kind.CONSTANT) for node in nodes)
    plain = all(node.op.kind in _KINDS or node.op is reduce_sum for node in nodes)
    if not small or not plain or any(graph[i].op.kind is Kind.INPUT for i in graph.outputs):
        return None
    steps = sum(node.op is join and all(graph[i].aval.size == 1 for i in node.inputs) for node in nodes)
    if steps < FEWEST or sum(node.aval.size for node in nodes if node.op.kind is Kind.MAP) > MOST:
        return None
    return _Numbers(graph).run(nodes)


_KINDS = (Kind.INPUT, Kind.CONSTANT, Kind.MAP, Kind.VIEW)


def _places(shape: Shape) -> Iterator[tuple[int, ...]]:
    return itertools.product(*(range(n) for n in shape))


class _Numbers:
    """A graph emitted anew, element by element."""

    def __init__(self, source: Graph) -> None:
        self.source = source
        self.graph = Graph()
        self.inputs: dict[int, int] = {}
        self.known: dict[tuple[int, tuple[int, ...]], int] = {}

    def run(self, nodes: list[Node]) -> Graph:
        """The whole graph."""
        for node in self.source.inputs:
            self.inputs[node.id] = self.graph.emit(node.op, (), node.params, node.where)
        for node in nodes:
            if node.op.kind is Kind.MAP:
                for at in _places(node.aval.shape):
                    operands = tuple([self.element(i, at, node) for i in node.inputs])
                    self.known[node.id, at] = self.graph.emit(node.op, operands, node.params, node.where)
            elif node.op is reduce_sum:
                self.summed(node)
        outputs = [self.whole(self.source[i]) for i in self.source.outputs]
        return self.graph.freeze(outputs, self.source.primal_outputs)

    def element(self, i: int, at: tuple[int, ...], reader: Node) -> int:
        """One element of a value."""
        known = self.known.get((i, at))
        if known is None:
            known = self.known[i, at] = self.found(self.source[i], at, reader)
        return known

    def found(self, node: Node, at: tuple[int, ...], reader: Node) -> int:
        """One element of an input, a constant or a view."""
        if node.op.kind is Kind.INPUT:
            if not at:
                return self.inputs[node.id]
            ones = (1,) * len(at)
            cut = {"starts": at, "sizes": ones, "steps": ones}
            piece = self.graph.emit(strided_slice, (self.inputs[node.id],), cut, reader.where)
            return self.graph.emit(reshape_to, (piece,), {"shape": ()}, reader.where)
        if node.op is constant:
            return self.graph.emit(constant, (), {"value": literal(node.params["value"].value[at])}, node.where)
        index = tuple(Index((), k) for k in at)
        for read in node.op.lower(index, *(self.source[i].aval for i in node.inputs), **node.params):
            if not any(guard.never for guard in read.guards):
                return self.element(node.inputs[read.operand], tuple(k.constant for k in read.index), node)
        return self.graph.emit(constant, (), {"value": literal(0, node.aval.dtype)}, node.where)

    def summed(self, node: Node) -> None:
        """The elements of a sum, added in their order."""
        shape, axes = self.source[node.inputs[0]].aval.shape, node.params["axes"]
        for at in _places(shape):
            kept = tuple(k for a, k in enumerate(at) if a not in axes)
            term = self.element(node.inputs[0], at, node)
            before = self.known.get((node.id, kept))
            self.known[node.id, kept] = term if before is None else self.graph.emit(add, (before, term), {}, node.where)

    def whole(self, node: Node) -> int:
        """An output, put together."""
        if not node.aval.shape:
            return self.element(node.id, (), node)
        pieces = [
            self.graph.emit(reshape_to, (self.element(node.id, at, node),), {"shape": (1,)}, node.where)
            for at in _places(node.aval.shape)
        ]
        row = pieces[0] if len(pieces) == 1 else self.graph.emit(join, tuple(pieces), {"axis": 0}, node.where)
        return row if node.aval.ndim == 1 else self.graph.emit(reshape_to, (row,), {"shape": node.aval.shape}, node.where)
