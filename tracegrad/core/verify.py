"""Checks that a graph keeps the contract between stages."""

from __future__ import annotations

from tracegrad.core.graph import Graph
from tracegrad.core.op import Kind


def verify(graph: Graph, stage: str) -> Graph:
    """Return the graph if it is well formed, else raise AssertionError naming the stage that made it.

    Checked: operands come before their users, shapes and dtypes re-infer to what is stored, the operands of a MAP have one
    shape (no unlowered broadcasting), outputs exist.
    """
    for node in graph:
        problem = None
        avals = tuple(graph[i].aval for i in node.inputs)
        if any(i >= node.id for i in node.inputs):
            problem = "an operand comes after its user"
        elif node.op.infer(*avals, **node.params) != node.aval:
            problem = f"its aval re-infers to {node.op.infer(*avals, **node.params)}"
        elif node.op.kind is Kind.MAP and len({a.shape for a in avals}) != 1:
            problem = "its operands differ in shape: a broadcast was not lowered"
        if problem:
            raise AssertionError(f"after {stage}: {node!r}: {problem}")
    if any(not 0 <= i < len(graph) for i in graph.outputs):
        raise AssertionError(f"after {stage}: an output is not in the graph")
    return graph
