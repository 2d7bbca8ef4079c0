"""Axes followed through a graph: which axes of its nodes are walked by one and the same index.

``x @ w`` has the rows of x for its own, a map has the axes of its operands, a sum those it keeps. Where two nodes have axes of
one class, element i of the one needs only element i of the other, and so a program may take the axis piece by piece. An
axis of which more is needed at once, or whose places are counted, is held: it is in no class.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tracegrad.core.aval import Aval
from tracegrad.core.expr import Axis, Index, axes_of
from tracegrad.core.graph import Graph, Node
from tracegrad.core.op import Kind
from tracegrad.ops.contractions import matmul_batched

Place = tuple[int, int]
"""A node and one of its axes."""
HELD: Place = (-1, -1)


class FollowedAxes:
    """The classes of axes of the nodes of a graph.

    Parameters
    ----------
    graph: the graph.
    needed: the nodes that are looked at.
    """

    def __init__(self, graph: Graph, needed: Iterable[int]) -> None:
        self.graph = graph
        self._above: dict[Place, Place] = {}
        self._views: dict[Any, tuple[tuple[int | None, int | None, int], ...]] = {}
        """What is met by views that are equal but for their operands."""
        self._nodes = sorted(needed)
        for i in self._nodes:
            self._follow(graph[i])

    def classes(self) -> list[dict[int, int]]:
        """For each class, in the order of its first place, the nodes that have an axis of it, and which.

        Classes of which some node has two axes are left out.
        """
        found: dict[Place, dict[int, int]] = {}
        twice = {self._class(HELD)}
        for i in self._nodes:
            for k in range(self.graph[i].aval.ndim):
                mine = self._class((i, k))
                if mine in twice:
                    continue
                along = found.setdefault(mine, {})
                if along.setdefault(i, k) != k:
                    twice.add(mine)
        return [along for mine, along in found.items() if mine not in twice]

    def _class(self, place: Place) -> Place:
        above = self._above
        while (higher := above.get(place, place)) != place:
            above[place] = above.get(higher, higher)
            place = higher
        return place

    def _same(self, first: Place, second: Place) -> None:
        one, other = self._class(first), self._class(second)
        if one != other:  # the older one stays above, and what is held above all: the way up is short
            above, below = (other, one) if other == HELD else (one, other)
            self._above[below] = above

    def _hold(self, *nodes: int) -> None:
        for i in nodes:
            for k in range(self.graph[i].aval.ndim):
                self._same((i, k), HELD)

    def _follow(self, node: Node) -> None:
        kind, mine = node.op.kind, node.id
        if kind is Kind.MAP:
            first, *others = node.inputs or (mine,)
            for k in range(node.aval.ndim):
                self._above[mine, k] = self._class((first, k))  # nothing has met an axis of the node yet
                for i in others:
                    self._same((i, k), (mine, k))
        elif kind is Kind.REDUCE:
            kept = [k for k in range(self.graph[node.inputs[0]].aval.ndim) if k not in node.params["axes"]]
            for k, source in enumerate(kept):
                self._same((node.inputs[0], source), (mine, k))
        elif kind is Kind.VIEW:
            self._view(node)
        elif node.op is matmul_batched:
            (x, y), row, column = node.inputs, node.aval.ndim - 2, node.aval.ndim - 1
            for k in range(row):
                self._same((x, k), (mine, k))
                self._same((y, k), (mine, k))
            self._same((x, row), (mine, row))
            self._same((x, column), (y, row))
            self._same((y, column), (mine, column))
        elif kind not in (Kind.INPUT, Kind.CONSTANT):
            self._hold(mine, *node.inputs)

    def _view(self, node: Node) -> None:
        """An axis is the same where a view reads it, everywhere, by one of its own indices as it is."""
        avals = tuple([self.graph[i].aval for i in node.inputs])
        key = (node.op, avals, tuple(node.params.items()))
        met = self._views.get(key)
        if met is None:
            met = self._views[key] = _met(node, avals)
        for mine, operand, theirs in met:
            self._same(HELD if operand is None else (node.inputs[operand], theirs), HELD if mine is None else (node.id, mine))


def _met(node: Node, avals: tuple[Aval, ...]) -> tuple[tuple[int | None, int | None, int], ...]:
    """Which axes of a view are which axes of which operand, in the order they are met; None in the place of what holds them."""
    shape = node.aval.shape
    met: list[tuple[int | None, int | None, int]] = []
    for read in node.op.reads(axes_of(shape), avals, node.params):
        met += [(k, None, 0) for k in sorted({k for guard in read.guards for k in guard.index.axes()})]
        for j, index in enumerate(read.index):
            extent = avals[read.operand].shape[j]
            own = _own_axis(index)
            if own is not None and shape[own] == extent:
                met.append((own, read.operand, j))
            elif extent != 1:
                met.append((None, read.operand, j))
                met += [(k, None, 0) for k in sorted(index.axes())]
    return tuple(met)


def _own_axis(index: Index) -> int | None:
    """The axis that an index is, None if it is anything else."""
    if len(index.terms) != 1 or index.constant:
        return None
    (atom, coefficient), *_ = index.terms
    return atom.position if isinstance(atom, Axis) and coefficient == 1 else None
