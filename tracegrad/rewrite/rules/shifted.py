"""Sums of shifted copies times one constant: the constant is applied to the sum.

The gradient of a stencil adds copies of a cotangent, each set into zeros at its own place. Where a multiple is set in,
the multiple would be an array of its own beside the cotangent, as it is read at other elements than it is computed at.
"""

from __future__ import annotations

import numpy as np

from tracegrad.core.graph import Graph, Node
from tracegrad.ops.broadcasting import broadcast
from tracegrad.ops.maps import add, multiply, scale
from tracegrad.ops.sources import constant
from tracegrad.ops.views import embed, strided_slice


def apply_last(graph: Graph) -> Graph | None:
    """The graph with such constants applied to sums, None where there is none."""
    factors = _factors(graph)
    return _Applied(graph, factors).run() if any(graph[i].op is embed for i in factors) else None


def _factors(graph: Graph) -> dict[int, int]:
    """The node of the constant factor of each multiple, of each copy of one, and of each sum of such copies."""
    needed = graph.ancestors(graph.outputs)
    factors: dict[int, int] = {}
    copies: set[int] = set()
    for node in graph:
        if node.id not in needed or node.aval.dtype.kind != "f":
            continue
        if node.op in (multiply, scale):
            factor = _uniform(graph, node.inputs[1])
            if factor is not None:
                factors[node.id] = factor
        elif node.op in (embed, strided_slice) and node.inputs[0] in factors:
            if node.op is embed or node.inputs[0] in copies:
                copies.add(node.id)
                factors[node.id] = factors[node.inputs[0]]
        elif node.op is add and copies.issuperset(node.inputs):
            first, second = (factors[i] for i in node.inputs)
            if first == second:
                copies.add(node.id)
                factors[node.id] = first
    return factors


def _uniform(graph: Graph, i: int) -> int | None:
    """The finite constant that was stretched to a value, None where it is something else.

    Infinity times the zeros around a copy would be NaN.
    """
    while graph[i].op is broadcast:
        i = graph[i].inputs[0]
    scalar = graph[i].op is constant and graph[i].aval.ndim == 0
    return i if scalar and np.isfinite(graph[i].params["value"].value) else None


class _Applied:
    """A graph emitted anew."""

    def __init__(self, source: Graph, factors: dict[int, int]) -> None:
        self.source = source
        self.factors = factors
        self.graph = Graph()
        self.new: dict[int, int] = {}
        self.bare: dict[int, int] = {}

    def run(self) -> Graph:
        """The whole graph; values that nothing reads any more are left to the rewriter."""
        source = self.source
        for node in source.live():
            if node.id not in self.factors:
                self.new[node.id] = self.emitted(node, self.new)
            elif node.op in (multiply, scale):
                self.bare[node.id] = self.new[node.inputs[0]]
                self.new[node.id] = self.emitted(node, self.new)
            else:
                self.bare[node.id] = self.emitted(node, self.bare)
                self.new[node.id] = self.multiple(node)
        return self.graph.freeze([self.new[i] for i in source.outputs], source.primal_outputs)

    def emitted(self, node: Node, operands: dict[int, int]) -> int:
        """The same op on these operands."""
        return self.graph.again(self.source, node, tuple([operands[i] for i in node.inputs]))

    def multiple(self, node: Node) -> int:
        """A copy, or a sum of copies, times its factor."""
        factor = self.new[self.factors[node.id]]
        stretched = self.graph.emit(broadcast, (factor,), {"shape": node.aval.shape}, node.where)
        return self.graph.emit(multiply, (self.bare[node.id], stretched), {}, node.where)
