"""Mapping over a leading axis: nodes for one element become nodes for all of them, each by its op's own declaration.

A node that depends on no mapped one stays as it is and is shared by all elements. Gradients need nothing of their own:
what comes out is a graph of the same ops.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from tracegrad.core.aval import Aval
from tracegrad.core.graph import Graph, Node
from tracegrad.core.op import Kind, Stacked
from tracegrad.errors import Frame, TracegradError
from tracegrad.ops.broadcasting import reduce_sum
from tracegrad.ops.custom import Derivative
from tracegrad.ops.sources import input as input_op
from tracegrad.ops.sources import zeros_shape
from tracegrad.ops.views import broadcast_to
from tracegrad.symbolic import Recorder, Sym
from tracegrad.trace.inline import emit_again


def batch(graph: Graph, mapped: Sequence[int], size: int) -> Graph:
    """A frozen graph for all elements of an axis at once.

    Parameters
    ----------
    graph: a frozen graph for one element.
    mapped: positions of the inputs that have a leading axis in the result.
    size: the number of elements of the axis.

    Returns a graph with the same number of inputs. All of its outputs have the axis, also those that depend on none of these
    inputs. Raises what the ops' own checks raise.
    """
    joint = Graph(graph)
    count = len(graph.inputs)
    given = {}
    for node in graph.inputs:
        position = node.params["position"]
        if position in mapped:
            aval = Aval((size, *node.aval.shape), node.aval.dtype)
            given[node.id] = joint.emit(input_op, (), {**node.params, "position": count + position, "aval": aval}, node.where)
    found = batch_nodes(joint, given, size, graph.outputs)
    recorder = Recorder(joint, lambda: None)
    outputs = [
        found[i] if i in found else broadcast_to(Sym(recorder, i), (size, *graph[i].aval.shape)).id for i in graph.outputs
    ]
    result = Graph()
    known = {}
    for node in graph.inputs:
        place = given.get(node.id, node.id)
        params = {**joint[place].params, "position": node.params["position"]}
        known[place] = result.emit(input_op, (), params, node.where)
    ids = emit_again(joint, result, known, outputs)
    return result.freeze([ids[i] for i in outputs], graph.primal_outputs)


def batch_nodes(graph: Graph, mapped: Mapping[int, int], size: int, outputs: Sequence[int]) -> dict[int, int]:
    """Nodes of an open graph for all elements of an axis at once, appended to it.

    Parameters
    ----------
    graph: the graph that grows.
    mapped: by the ids of nodes for one element, those of nodes that have the axis in front.
    size: the number of elements of the axis.
    outputs: ids of the nodes that are wanted.

    Returns the ids of those outputs that depend on a mapped node, each with that of the node that has the axis in front.
    """
    return _Batch(graph, mapped, size).run(outputs)


class _Batch:
    """Nodes with a leading axis, emitted into the graph of those without."""

    def __init__(self, graph: Graph, mapped: Mapping[int, int], size: int) -> None:
        self.graph = graph
        self.size = size
        self.stacked = dict(mapped)
        self.place: Frame | None = None
        self._derivatives: dict[tuple[Derivative, tuple[bool, ...]], Derivative] = {}
        self.recorder = Recorder(graph, lambda: self.place)

    def run(self, outputs: Sequence[int]) -> dict[int, int]:
        """The outputs that have the axis."""
        needed = self.graph.ancestors(outputs)
        for node in [node for node in self.graph if node.id in needed]:
            if node.id not in self.stacked and any(i in self.stacked for i in node.inputs):
                self.place = node.where
                try:
                    self.stacked[node.id] = self._of(node)
                except TracegradError as error:
                    raise error.at(node.where) from None
        return {i: self.stacked[i] for i in outputs if i in self.stacked}

    def _of(self, node: Node) -> int:
        aval = Aval((self.size, *node.aval.shape), node.aval.dtype)
        if not self.size:
            # nothing of no elements: no op has to know what it means
            return self.recorder.operand(zeros_shape(aval.shape, aval.dtype) if node.aval.shape else np.zeros(0, aval.dtype)).id
        if node.op.kind is Kind.CUSTOM:
            return self._of_call(node)
        flags = tuple([i in self.stacked for i in node.inputs])
        operands = [Sym(self.recorder, self.stacked.get(i, i)) for i in node.inputs]
        rule = node.op.batch
        if isinstance(rule, Stacked):
            params = node.params if rule.shift is None else rule.shift(self.size, **node.params)
            stretched = [x if flag else broadcast_to(x, (self.size, *x.shape)) for x, flag in zip(operands, flags, strict=True)]
            made = self.recorder.emit(node.op, tuple([x.id for x in stretched]), params)
        else:
            made = self.recorder.operand(rule.rule(self.size, flags, *operands, **node.params)).id
        assert self.graph[made].aval == aval, (node, self.graph[made])
        return made

    def _of_call(self, node: Node) -> int:
        """A result of a function with a derivative of its own, which has one for all elements, too."""
        value, *rest = node.inputs
        whole = broadcast_to(Sym(self.recorder, self.stacked.get(value, value)), (self.size, *node.aval.shape))
        derivative: Derivative = node.params["derivative"]
        mapped = tuple([i in self.stacked for i in rest])
        if (derivative, mapped) not in self._derivatives:
            self._derivatives[derivative, mapped] = _for_all(derivative, mapped, self.size)
        params = {**node.params, "derivative": self._derivatives[derivative, mapped]}
        return self.recorder.emit(node.op, (whole.id, *(self.stacked.get(i, i) for i in rest)), params)


def _for_all(derivative: Derivative, mapped: Sequence[bool], size: int) -> Derivative:
    """The derivative of all elements' calls, ``mapped`` saying which arguments and then residuals have the axis."""
    if derivative.body is None:
        return replace(derivative)
    arguments, residuals = mapped[: derivative.arguments], mapped[derivative.arguments :]
    given = arguments if derivative.forward else (True,) * derivative.results
    body = batch(derivative.body, [k for k, flag in enumerate((*residuals, *given)) if flag], size)
    if not derivative.forward and not all(arguments):
        # what all elements share gets the sum of their cotangents
        summed = Graph(body)
        ends = zip(body.outputs, arguments, strict=True)
        body = summed.freeze([i if flag else summed.emit(reduce_sum, (i,), {"axes": (0,)}) for i, flag in ends])
    return replace(derivative, body=body)
