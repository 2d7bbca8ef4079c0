"""Reverse mode: the backward graph, derived from the ops' own rules and appended to the forward one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tracegrad.core.aval import Aval
from tracegrad.core.graph import Graph, Node
from tracegrad.core.op import Kind
from tracegrad.errors import DifferentiationError, Frame, TracegradError
from tracegrad.ops.custom import Derivative
from tracegrad.ops.maps import add
from tracegrad.ops.pullback import carries_gradient, pull_back
from tracegrad.ops.sources import input as input_op
from tracegrad.ops.sources import zeros_shape
from tracegrad.symbolic import Recorder, Sym
from tracegrad.trace.inline import emit_again


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
        whole = calls_of(graph)
        for node in reversed(list(graph)):
            if node.op.kind is Kind.CUSTOM:
                if node.id in relevant and any(i in active for i in node.inputs[1:]):
                    check_derivative(node)
                results = whole.pop(node.id, None)  # at the first of them, when all cotangents are there
                if results is not None and any(i in cotangents for i in results) and node.id in active:
                    self.place = node.where
                    try:
                        self._pull_call(results, wrt, cotangents)
                    except TracegradError as error:
                        raise error.at(node.where) from None
                continue
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
        return self._found(wrt, cotangents)

    def _pull_call(self, results: Sequence[int], wrt: Sequence[int], cotangents: dict[int, Sym]) -> None:
        """Apply the derivative that a function has of its own."""
        node = self.joint[results[0]]
        derivative: Derivative = node.params["derivative"]
        check_reached(self.joint, node, wrt)
        body = body_of(derivative, forward=False)
        starts = {self.joint[i].params["result"]: cotangents[i].id for i in results if i in cotangents}
        avals = [n.aval for n in body.inputs[derivative.residuals :]]
        given = [starts[k] if k in starts else zeros_of(self.recorder, aval) for k, aval in enumerate(avals)]
        pulled = applied(self.joint, node, body, given)
        for i, part in zip(node.inputs[1 : 1 + derivative.arguments], pulled, strict=True):
            known = cotangents.get(i)
            found = Sym(self.recorder, part)
            cotangents[i] = found if known is None else add(known, found)

    def _found(self, wrt: Sequence[int], cotangents: dict[int, Sym]) -> list[int]:
        recorder = self.recorder
        return [cotangents[i].id if i in cotangents else zeros_of(recorder, self.joint[i].aval) for i in wrt]


def zeros_of(recorder: Recorder, aval: Aval) -> int:
    """The id of zeros of a shape and dtype."""
    return recorder.operand(zeros_shape(aval.shape, aval.dtype)).id if aval.shape else recorder.constant(0, aval.dtype)


# -- functions with a derivative of their own -------------------------------------------------------------------------------


def calls_of(graph: Graph) -> dict[int, list[int]]:
    """Calls of functions with a derivative of their own: the nodes of each call's results by the first of them."""
    calls: dict[tuple[Any, ...], list[int]] = {}
    for node in graph:
        if node.op.kind is Kind.CUSTOM:
            calls.setdefault((node.params["derivative"], node.inputs[1:]), []).append(node.id)
    return {results[0]: results for results in calls.values()}


def applied(graph: Graph, node: Node, body: Graph, given: Sequence[int]) -> list[int]:
    """The results of a derivative's body, or of its transpose, for a call's values and tangents or cotangents."""
    derivative: Derivative = node.params["derivative"]
    values = node.inputs[1 + derivative.arguments :]
    known = {inner.id: i for inner, i in zip(body.inputs, [*values, *given], strict=True)}
    ids = emit_again(body, graph, known, body.outputs)
    return [ids[i] for i in body.outputs]


def body_of(derivative: Derivative, forward: bool) -> Graph:
    """The body of a derivative in one of the directions; DifferentiationError where there is none."""
    body, count = derivative.body, derivative.residuals
    if body is None:
        raise DifferentiationError(
            f"the rule given for {derivative.name} calls {derivative.name} itself, and derivatives of this high an order of it "
            "are not known",
            fix=f"write the rule without calling {derivative.name}",
        )
    if derivative.forward == forward:
        return body
    joint = Graph(body)
    arguments = [inner.id for inner in body.inputs[count:]]
    ends = [joint[i].aval for i in body.outputs]
    starts = [joint.emit(input_op, (), {"position": len(body) + k, "aval": aval}) for k, aval in enumerate(ends)]
    results = pull_back_nodes(joint, arguments, zip(body.outputs, starts, strict=True))
    if not joint.ancestors(results).isdisjoint(arguments):
        raise DifferentiationError(
            f"the derivative given for {derivative.name} is not linear, so that it has no transpose for the other mode",
            fix=f"take {'forward' if derivative.forward else 'reverse'} mode, for which it was written",
        )
    turned = Graph()
    places = [*(inner.id for inner in body.inputs[:count]), *starts]
    known = {i: turned.emit(input_op, (), {"position": k, "aval": joint[i].aval}) for k, i in enumerate(places)}
    ids = emit_again(joint, turned, known, results)
    return turned.freeze([ids[i] for i in results])


def check_derivative(node: Node) -> None:
    """Refuse a derivative of a draw in parameters that it has none in, although integers and choices hide it."""
    derivative: Derivative = node.params["derivative"]
    if derivative.refused:
        raise DifferentiationError(
            f"{derivative.name} has no derivative with respect to its parameters, and the result depends on them through it",
            fix="give it tg.stop_gradient of them if only the other ways count, or draw from a distribution of real numbers",
            where=node.where,
        )


def check_reached(graph: Graph, node: Node, wrt: Iterable[int]) -> None:
    """Refuse a derivative with respect to what a function with its own derivative reaches by other ways than arguments."""
    derivative: Derivative = node.params["derivative"]
    arguments = set(node.inputs[1 : 1 + derivative.arguments])
    wanted = set(wrt) - arguments
    stack = [i for i in (node.inputs[0], *node.inputs[1 + derivative.arguments :]) if i not in arguments]
    seen = set(stack)
    while stack:
        i = stack.pop()
        if i in wanted:
            raise DifferentiationError(
                f"{derivative.name} has a derivative of its own, and reads a value that is differentiated from outside",
                fix=f"pass the value to {derivative.name} as an argument",
                where=node.where,
            )
        for k in graph[i].inputs:
            if k not in seen and k not in arguments:
                seen.add(k)
                stack.append(k)
