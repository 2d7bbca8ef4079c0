"""The linear part of a graph of derivatives: a graph of its own, from tangents to tangents or cotangents to cotangents."""

from __future__ import annotations

from collections.abc import Sequence

from tracegrad.autodiff.forward import push_forward_nodes
from tracegrad.autodiff.reverse import pull_back_nodes
from tracegrad.core.graph import Graph
from tracegrad.core.op import Kind
from tracegrad.ops.sources import input as input_op
from tracegrad.trace.inline import emit_again


def linear_map(base: Graph, wrt: Sequence[int], outputs: Sequence[int], forward: bool) -> tuple[Graph, Graph, tuple[int, ...]]:
    """The derivative of nodes with respect to others as a graph, and what it takes of the values.

    Parameters
    ----------
    base: a graph; it stays as it is.
    wrt, outputs: ids of what is differentiated with respect to, and of what is differentiated.
    forward: whether tangents of ``wrt`` go to tangents of ``outputs``, or cotangents of ``outputs`` to those of ``wrt``.

    Returns a graph that starts with the nodes of ``base`` and has the factors of the derivatives, too; the frozen graph of
    the linear map, whose inputs are values of the former and then the map's arguments; and the ids of these values.
    """
    joint = Graph(base)
    ends = wrt if forward else outputs
    places = [{"position": len(base) + k, "aval": base[i].aval} for k, i in enumerate(ends)]
    arguments = [joint.emit(input_op, (), place) for place in places]
    if forward:
        results = push_forward_nodes(joint, dict(zip(wrt, arguments, strict=True)), outputs)
    else:
        results = pull_back_nodes(joint, wrt, zip(outputs, arguments, strict=True))
    part, residuals = cut_out(joint, arguments, results)
    return joint, part, residuals


def cut_out(joint: Graph, arguments: Sequence[int], results: Sequence[int]) -> tuple[Graph, tuple[int, ...]]:
    """What leads from some nodes of a graph to others, as a graph of its own.

    Returns the frozen graph, whose inputs are values that do not depend on ``arguments`` and then the arguments; and the ids
    of these values.
    """
    needed = joint.ancestors(results)
    linear, known = set(arguments), set()
    for node in joint:
        if node.id in linear or node.id not in needed:
            continue
        if any(i in linear for i in node.inputs):
            linear.add(node.id)
        elif node.op.kind is Kind.INPUT or any(i in known for i in node.inputs):
            known.add(node.id)  # what depends on no input is computed where it is needed
    residuals: dict[int, None] = {}
    wanted = [i for node in joint if node.id in linear & needed for i in node.inputs] + list(results)
    while wanted:
        i = wanted.pop()
        if i in known and i not in residuals:
            node = joint[i]
            if node.op.kind is Kind.VIEW and len(node.inputs) == 1:
                wanted.append(node.inputs[0])  # a view is taken anew: a stretched scalar stays one
            else:
                residuals[i] = None
    part = Graph()
    places = [*sorted(residuals), *arguments]
    ids = {i: part.emit(input_op, (), {"position": k, "aval": joint[i].aval}) for k, i in enumerate(places)}
    ids = emit_again(joint, part, ids, results)
    return part.freeze([ids[i] for i in results]), tuple(sorted(residuals))
