"""Reverse mode: the backward graph, derived from the ops' own rules and appended to the forward one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from tracegrad.core.graph import Graph
from tracegrad.errors import Frame, TracegradError
from tracegrad.ops.maps import add
from tracegrad.ops.pullback import carries_gradient, pull_back
from tracegrad.ops.sources import input as input_op
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
    walk = _Backward(joint)
    loss = graph[graph.outputs[output]]
    start = walk.recorder.operand(np.ones(loss.aval.shape, loss.aval.dtype))
    gradients = walk.run(graph, wrt, {loss.id: start})
    return joint.freeze((*graph.outputs, *gradients), primal_outputs=len(graph.outputs))


def pull_back_graph(graph: Graph, wrt: Sequence[int], outputs: Sequence[int]) -> Graph:
    """The joint graph of a frozen graph's outputs and the cotangents of its inputs for given ones of its outputs.

    Parameters
    ----------
    graph: the forward graph; its node ids are kept.
    wrt: ids of the input nodes that get a cotangent.
    outputs: positions of the outputs that have one; it becomes a further input each, behind those of the graph.

    Returns a frozen graph whose outputs are the forward outputs, then one cotangent per id in ``wrt``.
    """
    joint = Graph(graph)
    walk = _Backward(joint)
    first = len(graph.inputs)
    starts: dict[int, Sym] = {}
    for k, output in enumerate(outputs):
        node = graph.outputs[output]
        g = Sym(walk.recorder, walk.recorder.emit(input_op, (), {"position": first + k, "aval": graph[node].aval}))
        starts[node] = add(starts[node], g) if node in starts else g
    gradients = walk.run(graph, wrt, starts)
    return joint.freeze((*graph.outputs, *gradients), primal_outputs=len(graph.outputs))


def pull_back_nodes(graph: Graph, wrt: Sequence[int], cotangents: Iterable[tuple[int, int]]) -> list[int]:
    """The cotangents of some nodes of an open graph, appended to it.

    Parameters
    ----------
    graph: the graph that grows.
    wrt: ids of the nodes that get a cotangent.
    cotangents: ids of nodes, each with that of a cotangent; those of one node are summed.

    Returns one id per node in ``wrt``, of zeros where nothing leads there.
    """
    walk = _Backward(graph)
    starts: dict[int, Sym] = {}
    for node, cotangent in cotangents:
        g = Sym(walk.recorder, cotangent)
        starts[node] = add(starts[node], g) if node in starts else g
    return walk.run(graph, wrt, starts)


class _Backward:
    """Cotangents on their way back through a graph, emitted into its joint graph."""

    def __init__(self, joint: Graph) -> None:
        self.joint = joint
        self.place: Frame | None = None
        self.recorder = Recorder(joint, lambda: self.place)

    def run(self, graph: Graph, wrt: Sequence[int], cotangents: dict[int, Sym]) -> list[int]:
        """The ids of the cotangents of ``wrt`` for those given by id."""
        recorder = self.recorder
        relevant = graph.ancestors(cotangents)
        active = active_nodes(graph, wrt)
        for node in reversed(list(graph)):
            g = cotangents.get(node.id)
            if g is None or node.id not in active or node.id not in relevant or not node.inputs:
                continue
            self.place = node.where
            operands = [Sym(recorder, i) for i in node.inputs]
            for k, i in enumerate(node.inputs):
                if i in active and carries_gradient(node.op, k):
                    try:
                        part = pull_back(node.op, k, g, Sym(recorder, node.id), operands, node.params)
                    except TracegradError as error:
                        raise error.at(node.where) from None
                    known = cotangents.get(i)
                    cotangents[i] = part if known is None else add(known, part)
        self.place = None
        return [cotangents[i].id if i in cotangents else _zeros(recorder, self.joint, i) for i in wrt]


def _zeros(recorder: Recorder, graph: Graph, node: int) -> int:
    aval = graph[node].aval
    return recorder.operand(zeros_shape(aval.shape, aval.dtype)).id if aval.shape else recorder.constant(0, aval.dtype)
