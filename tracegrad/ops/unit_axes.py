"""Batches of one: which axes of one element a program treats as it treats axes of many.

An axis of one element may be an axis of data that happens to have one, or one that is there to be repeated along another
array. Where it comes from and where it goes tells: here each such axis of a traced graph is followed through its ops. The
first axis of an argument is taken for data, with all axes it meets, unless it is repeated somewhere, or reaches an op that
is not followed. Data axes get an ``Extent``, so that what follows makes of them what it makes of any size.

This is for graphs alone, of which nothing else is known. Where there is a function to trace once more with longer axes, that
tells better what counts, numbers included (``ops.counts``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from tracegrad.core.aval import Aval, Shape
from tracegrad.core.extent import SEEN, Extent
from tracegrad.core.graph import Constant, Graph, Node
from tracegrad.core.op import Kind
from tracegrad.ops.broadcasting import broadcast, reshape_to
from tracegrad.ops.contractions import matmul_batched
from tracegrad.ops.views import permute

Place = tuple[int, int]
"""A node and one of its axes."""
ONCE: Place = (-1, -1)
"""The class of axes that keep their one element."""


def many_of_one(graph: Graph) -> tuple[Graph, Mapping[int, int]]:
    """A graph in which the data axes of one element are axes of an ``Extent``, and the new ids of all nodes.

    It is the graph itself where it has no such axis.
    """
    if any(n.aval.ndim and n.aval.shape[0] == 1 for n in graph.inputs):
        classes = _Classes(graph)
        if classes.data:
            return _emitted(graph, classes)
    return graph, {n.id: n.id for n in graph}


def plain_sizes(graph: Graph) -> Graph:
    """The same nodes under the same ids with plain numbers for all that count: what runs on arrays and is shown."""
    if not any(isinstance(n, Extent) for node in graph for n in node.aval.shape) and not any(_is_counted(n) for n in graph):
        return graph
    return graph.with_nodes([dataclasses.replace(n, params=_plain(n.params), aval=_plain(n.aval)) for n in graph])


def _is_counted(node: Node) -> bool:
    return node.op.kind is Kind.CONSTANT and node.params["value"].seen is not None


def _plain(value: Any) -> Any:
    if isinstance(value, Extent):
        return int(value)
    if isinstance(value, tuple):
        return tuple([_plain(v) for v in value])
    if isinstance(value, Constant):
        return value if value.seen is None else Constant(value.value)
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    return Aval(_plain(value.shape), value.dtype) if isinstance(value, Aval) else value


class _Classes:
    """The axes of one element of a graph, in classes of those that have one size."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._above: dict[Place, Place] = {}
        self._given: set[int] = set()
        """Nodes made of arguments."""
        products = [n for n in graph if n.op is matmul_batched]
        self._rows = {n.inputs[0] for n in products} - {n.inputs[1] for n in products}
        """Vectors among them are rows; other ones are columns."""
        for node in graph:
            if node.op.kind is Kind.INPUT or not self._given.isdisjoint(node.inputs):
                self._given.add(node.id)
            self._follow(node)
        first = [(n.id, 0) for n in graph.inputs if n.aval.ndim and n.aval.shape[0] == 1]
        self.data = {self._class(p) for p in first} - {self._class(ONCE)}

    def shape(self, node: Node) -> Shape:
        """The shape of a node with an ``Extent`` for each data axis of one element."""
        own = enumerate(node.aval.shape)
        return tuple(Extent.of(1, SEEN) if n == 1 and self._class((node.id, k)) in self.data else n for k, n in own)

    def stretched(self, node: int) -> bool:
        """Whether a node repeats a scalar, which takes the shape of whatever it meets."""
        n = self.graph[node]
        return n.op is broadcast and self.graph[n.inputs[0]].aval.ndim == 0

    # -- following -----------------------------------------------------------------------------------------------------

    def _class(self, place: Place) -> Place:
        above = self._above
        while (higher := above.get(place, place)) != place:
            above[place] = above.get(higher, higher)
            place = higher
        return place

    def _same(self, first: Place, second: Place) -> None:
        self._above[self._class(first)] = self._class(second)

    def _ones(self, node: int) -> list[int]:
        return [k for k, n in enumerate(self.graph[node].aval.shape) if n == 1]

    def _keep(self, *nodes: int) -> None:
        for i in nodes:
            for k in self._ones(i):
                self._same((i, k), ONCE)

    def _follow(self, node: Node) -> None:
        mine, kind = node.id, node.op.kind
        if kind is Kind.INPUT or self.stretched(mine):
            return
        if mine not in self._given:
            self._keep(mine)
        elif kind is Kind.MAP:
            for i in node.inputs:
                if not self.stretched(i):
                    for k in self._ones(i):
                        self._same((i, k), (mine, k))
        elif kind is Kind.REDUCE:
            kept = [k for k in range(self.graph[node.inputs[0]].aval.ndim) if k not in node.params["axes"]]
            self._moved(node, kept)
        elif node.op is permute:
            self._moved(node, node.params["axes"])
        elif node.op is broadcast:
            self._broadcast(node.inputs[0], mine)
        elif node.op is reshape_to:
            self._reshape(node.inputs[0], mine)
        elif node.op is matmul_batched:
            self._product(node.inputs[0], node.inputs[1], mine)
        else:
            self._keep(mine, *node.inputs)

    def _moved(self, node: Node, sources: Sequence[int]) -> None:
        for k, source in enumerate(sources):
            if node.aval.shape[k] == 1:
                self._same((node.inputs[0], source), (node.id, k))

    def _broadcast(self, source: int, mine: int) -> None:
        shape = self.graph[mine].aval.shape
        lead = len(shape) - self.graph[source].aval.ndim
        for k in self._ones(source):
            self._same((source, k), (mine, lead + k) if shape[lead + k] == 1 else ONCE)

    def _reshape(self, source: int, mine: int) -> None:
        """Axes of one element between the same neighbours are the same, in their order; others stay as they are."""
        before, after = self.graph[source].aval.shape, self.graph[mine].aval.shape
        pairs: list[tuple[int, int]] = []
        if before == (1,) and after == (1, 1) and mine in self._rows:
            pairs = [(0, 1)]
        elif [n for n in before if n != 1] == [n for n in after if n != 1]:
            i = k = 0
            while i < len(before) and k < len(after):
                if before[i] == after[k] == 1:
                    pairs.append((i, k))
                i, k = i + (before[i] == 1 or after[k] != 1), k + (after[k] == 1 or before[i] != 1)
        elif before[:1] == after[:1] == (1,):
            pairs = [(0, 0)]
        for i, k in pairs:
            self._same((source, i), (mine, k))
        for i in set(self._ones(source)) - {i for i, _ in pairs}:
            self._same((source, i), ONCE)
        for k in set(self._ones(mine)) - {k for _, k in pairs}:
            self._same((mine, k), ONCE)

    def _product(self, x: int, y: int, mine: int) -> None:
        """Batch axes stay the same, and both axes of a matrix times a vector: a row times a matrix has a kernel of its own."""
        row, column = self.graph[mine].aval.ndim - 2, self.graph[mine].aval.ndim - 1
        pairs = [((i, k), (mine, k)) for i in (x, y) for k in range(row)]
        pairs += [((x, row), (mine, row)), ((x, column), (y, row)), ((y, column), (mine, column))]
        vector = self.graph[y].aval.shape[column] == 1
        alone = [(y, column)] if vector else [(x, row), (x, column)]
        pairs += [(place, ONCE) for place in alone]
        for (node, k), other in pairs:
            if self.graph[node].aval.shape[k] == 1:
                self._same((node, k), other)


def _emitted(graph: Graph, classes: _Classes) -> tuple[Graph, dict[int, int]]:
    result = Graph()
    new: dict[int, int] = {}
    for node in graph:
        shape = classes.shape(node)
        operands = [new[i] for i in node.inputs]
        params = node.params
        if node.op.kind is Kind.INPUT:
            params = {**params, "aval": Aval(shape, node.aval.dtype)}
        elif node.op in (broadcast, reshape_to):
            params = {"shape": shape}
        elif node.op.kind is Kind.MAP:
            for k, i in enumerate(node.inputs):
                if classes.stretched(i):
                    source = graph[i]
                    operands[k] = result.emit(broadcast, (new[source.inputs[0]],), {"shape": shape}, source.where)
        new[node.id] = result.emit(node.op, tuple(operands), params, node.where)
    return result.freeze([new[i] for i in graph.outputs], graph.primal_outputs), new
