"""Forward mode: tangents pushed through a graph by the rules that reverse mode has, without a second table of derivatives.

A factor multiplies the tangent as it multiplies a cotangent. Where an op is linear in an operand, the tangent goes through
the op itself. Any other rule is a map from cotangent to cotangent that is linear, and its transpose is what tangents need:
the rule is traced with a cotangent of its own, and the tangent pulled back through that trace. The transpose does not depend
on the cotangent, which is thus gone again. Complex numbers need nothing more: rules multiply without conjugation, so that
cotangents and tangents pair by the real part of their product, in which the transpose of the transpose is the map itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tracegrad.autodiff.reverse import applied, body_of, check_derivative, check_reached, pull_back_nodes, zeros_of
from tracegrad.core.aval import Aval
from tracegrad.core.graph import Graph, Node
from tracegrad.core.op import Kind, Linear, Op, Pointwise, Rule
from tracegrad.errors import DifferentiationError, Frame, TracegradError
from tracegrad.ops.complexes import is_complex, real
from tracegrad.ops.custom import Derivative
from tracegrad.ops.maps import add, negative, scale
from tracegrad.ops.pullback import carries_gradient
from tracegrad.ops.sources import input as input_op
from tracegrad.symbolic import Recorder, Sym
from tracegrad.trace.inline import emit_again


def push_forward(graph: Graph, wrt: Sequence[int]) -> Graph:
    """The joint graph of a frozen graph's outputs and their tangents.

    Parameters
    ----------
    graph: the forward graph; its node ids are kept.
    wrt: ids of the input nodes that have a tangent, which becomes a further input each, behind those of the graph.

    Returns a frozen graph whose outputs are the forward outputs, then the tangent of each, zeros where none gets there.
    Raises DifferentiationError where an op on the path has no rule.
    """
    joint = Graph(graph)
    first = len(graph.inputs)
    tangents: dict[int, int] = {}
    for k, i in enumerate(wrt):
        tangents[i] = joint.emit(input_op, (), {"position": first + k, "aval": graph[i].aval})
    pushed = push_forward_nodes(joint, tangents, graph.outputs)
    return joint.freeze((*graph.outputs, *pushed), primal_outputs=len(graph.outputs))


def push_forward_nodes(graph: Graph, tangents: Mapping[int, int], outputs: Sequence[int]) -> list[int]:
    """The tangents of some nodes of an open graph, appended to it.

    Parameters
    ----------
    graph: the graph that grows.
    tangents: ids of the tangents that are given, by the ids of the nodes they belong to.
    outputs: ids of the nodes whose tangents are wanted.

    Returns one id per output, of zeros where no tangent gets there. Raises DifferentiationError where an op on the path has
    no rule.
    """
    return _Forward(graph).run(tangents, outputs)


class _Forward:
    """Tangents on their way through a graph, emitted into it."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.place: Frame | None = None
        self.recorder = Recorder(graph, lambda: self.place)
        self.tangents: dict[int, Sym] = {}
        self._wrt: tuple[int, ...] = ()
        self._transposed: dict[Any, Graph] = {}

    def run(self, tangents: Mapping[int, int], outputs: Sequence[int]) -> list[int]:
        """The ids of the tangents of ``outputs`` for those given by id."""
        self.tangents = {node: Sym(self.recorder, t) for node, t in tangents.items()}
        needed = self.graph.ancestors(outputs)
        self._wrt = tuple(tangents)
        for node in [node for node in self.graph if node.id in needed]:
            if node.op.kind is Kind.CUSTOM and any(i in self.tangents for i in node.inputs[1:]):
                check_derivative(node)
            if node.id in self.tangents or not node.aval.differentiable:
                continue
            self.place = node.where
            try:
                tangent = self._of(node)
            except TracegradError as error:
                raise error.at(node.where) from None
            if tangent is not None:
                self.tangents[node.id] = tangent
        self.place = None
        return [self.tangents[i].id if i in self.tangents else self._zeros(self.graph[i].aval) for i in outputs]

    def _zeros(self, aval: Aval) -> int:
        return zeros_of(self.recorder, aval)

    def _of_call(self, node: Node) -> Sym | None:
        """The tangent of a result of a function with a derivative of its own."""
        derivative: Derivative = node.params["derivative"]
        check_reached(self.graph, node, self._wrt)
        arguments = node.inputs[1 : 1 + derivative.arguments]
        if not any(i in self.tangents for i in arguments):
            return None
        if derivative not in self._transposed:
            self._transposed[derivative] = body_of(derivative, forward=True)
        body = self._transposed[derivative]
        given = [self.tangents[i].id if i in self.tangents else self._zeros(self.graph[i].aval) for i in arguments]
        return Sym(self.recorder, applied(self.graph, node, body, given)[node.params["result"]])

    def _of(self, node: Node) -> Sym | None:
        """The tangent of a node; None where none of its operands has one."""
        if node.op.kind is Kind.CUSTOM:
            return self._of_call(node)
        reached = [k for k, i in enumerate(node.inputs) if i in self.tangents and carries_gradient(node.op, k)]
        together = [k for k in range(len(node.inputs)) if _is_together(node.op, k)]
        total: Sym | None = None
        if any(k in together for k in reached):
            total = self._through(node, together)
        for k in reached:
            if k not in together:
                part = self._part(node, k)
                total = part if total is None else add(total, part)
        return total

    def _through(self, node: Node, positions: Sequence[int]) -> Sym:
        """The op applied to tangents in the places of some operands."""
        ids = list(node.inputs)
        for k in positions:
            i = node.inputs[k]
            ids[k] = self.tangents[i].id if i in self.tangents else self._zeros(self.graph[i].aval)
        return Sym(self.recorder, self.recorder.emit(node.op, tuple(ids), node.params))

    def _part(self, node: Node, position: int) -> Sym:
        """What the tangent of one operand adds to that of a node."""
        partial = node.op.partial(position)
        tangent = self.tangents[node.inputs[position]]
        if isinstance(partial, Linear):
            return self._through(node, [position])
        if isinstance(partial, Pointwise):
            operands = [Sym(self.recorder, i) for i in node.inputs]
            factor = partial.factor(Sym(self.recorder, node.id), *operands, **node.params)
            # another int is an operand that was a Python number
            if type(factor) is int and factor in (1, -1):
                return tangent if factor == 1 else negative(tangent)
            product: Sym = scale(tangent, factor)
            return real(product) if is_complex(product) and node.aval.dtype.kind == "f" else product
        if isinstance(partial, Rule):
            return self._by_transpose(node, position, partial)
        raise DifferentiationError(
            f"{node.op.name} has no derivative rule for operand {position}",
            fix="write this step with functions that have one, or pass its value in as an argument",
        )

    def _by_transpose(self, node: Node, position: int, rule: Rule) -> Sym:
        """The tangent pulled back through the trace of a rule with respect to the cotangent."""
        avals = tuple([self.graph[i].aval for i in node.inputs])
        key = (node.op, position, node.aval, avals, tuple(sorted(node.params.items())))
        made = self._transposed.get(key)
        if made is None:
            made = self._transposed[key] = _transposed(node, position, rule, avals)
        given = (self.tangents[node.inputs[position]].id, node.id, *node.inputs)
        known = {inner.id: given[inner.params["position"]] for inner in made.inputs if inner.params["position"] < len(given)}
        (output,) = made.outputs
        return Sym(self.recorder, emit_again(made, self.graph, known, [output])[output])


def _is_together(op: Op, position: int) -> bool:
    partial = op.partial(position)
    return isinstance(partial, Linear) and partial.together


def _transposed(node: Node, position: int, rule: Rule, avals: tuple[Aval, ...]) -> Graph:
    """The graph of an output's tangent from the operand's, the output and the operands, which are its inputs in this order."""
    graph = Graph()
    recorder = Recorder(graph, lambda: node.where)
    places = (avals[position], node.aval, *avals, node.aval)
    tangent, out, *operands, cotangent = [
        Sym(recorder, recorder.emit(input_op, (), {"position": k, "aval": aval})) for k, aval in enumerate(places)
    ]
    pulled = recorder.operand(rule.pull(cotangent, out, *operands, **node.params))
    (output,) = pull_back_nodes(graph, [cotangent.id], [(pulled.id, tangent.id)])
    if cotangent.id in graph.ancestors([output]):
        raise DifferentiationError(
            f"the derivative rule of {node.op.name} for operand {position} is not linear in the cotangent",
            fix="differentiate this function in reverse mode, with tg.grad or tg.vjp",
        )
    return graph.freeze([output])
