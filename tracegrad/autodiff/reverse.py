"""Reverse mode: the backward graph, derived from the ops' own rules and appended to the forward one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tracegrad.core.graph import Graph
from tracegrad.errors import Frame, TracegradError
from tracegrad.ops.maps import add
from tracegrad.ops.pullback import carries_gradient, pull_back
from tracegrad.ops.sources import zeros_shape
from tracegrad.symbolic import Recorder, Sym


def active_nodes(graph: Graph, wrt: Sequence[int]) -> set[int]:
    """Ids of the nodes through which a derivative with respect to ``wrt`` can flow."""
    active = set(wrt)
    for node in graph:
        if node.aval.differentiable and any(i in active and carries_gradient(node.op, k) for k, i in enumerate(node.inputs)):
            active.add(node.id)
    return active


def differentiate(graph: Graph, wrt: Sequence[int], output: int = 0) -> Graph:
    """The joint graph of a frozen graph's outputs and the gradients of one of them.

    Parameters
    ----------
    graph: the forward graph; its node ids are kept.
    wrt: ids of the input nodes to differentiate with respect to.
    output: position of the scalar output.

    Returns a frozen graph whose outputs are the forward outputs, then one cotangent per id in ``wrt``. Nodes of the backward
    part carry the user's line of the forward node they come from. Raises DifferentiationError where an op on the path has no
    rule.
    """
    joint = Graph(graph)
    place: list[Frame | None] = [None]
    recorder = Recorder(joint, lambda: place[0])
    loss = graph[graph.outputs[output]]
    active = active_nodes(graph, wrt)
    cotangents: dict[int, Sym] = {loss.id: recorder.operand(np.ones(loss.aval.shape, loss.aval.dtype))}
    relevant = graph.ancestors([loss.id])
    for node in reversed(list(graph)):
        g = cotangents.get(node.id)
        if g is None or node.id not in active or node.id not in relevant or not node.inputs:
            continue
        place[0] = node.where
        operands = [Sym(recorder, i) for i in node.inputs]
        for k, i in enumerate(node.inputs):
            if i in active and carries_gradient(node.op, k):
                try:
                    part = pull_back(node.op, k, g, Sym(recorder, node.id), operands, node.params)
                except TracegradError as error:
                    raise error.at(node.where) from None
                known = cotangents.get(i)
                cotangents[i] = part if known is None else add(known, part)
    place[0] = None
    gradients = [cotangents[i].id if i in cotangents else _zeros(recorder, joint, i) for i in wrt]
    return joint.freeze((*graph.outputs, *gradients), primal_outputs=len(graph.outputs))


def _zeros(recorder: Recorder, graph: Graph, node: int) -> int:
    aval = graph[node].aval
    return recorder.operand(zeros_shape(aval.shape, aval.dtype)).id if aval.shape else recorder.constant(0, aval.dtype)
