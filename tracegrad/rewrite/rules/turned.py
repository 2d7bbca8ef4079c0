"""Values that are only read transposed are computed transposed.

The rules sink a transpose below a map that has one reader. Where all readers are transposes, as where a product and both
of its gradients read stacked matrices, one of them then reads the memory in its order, and no other reads it worse.
"""

from __future__ import annotations

from tracegrad.core.graph import Graph, Node
from tracegrad.core.op import Kind
from tracegrad.ops.views import permute


def turn(graph: Graph) -> Graph | None:
    """The graph with such values turned the way their first reader wants them, None where there is none."""
    orders = _orders(graph)
    if not orders:
        return None
    made = Graph()
    new: dict[int, int] = {}
    for node in graph.live():
        inputs = tuple([new[i] for i in node.inputs])
        if node.id in orders:
            order = orders[node.id]
            inputs = tuple([made.emit(permute, (i,), {"axes": order}, node.where) for i in inputs])
        if node.op is permute and node.inputs[0] in orders:
            new[node.id] = _seen_from(made, inputs[0], orders[node.inputs[0]], node)
        else:
            new[node.id] = made.emit(node.op, inputs, node.params, node.where)
    return made.freeze([new[i] for i in graph.outputs], graph.primal_outputs)


def _orders(graph: Graph) -> dict[int, tuple[int, ...]]:
    """The values to turn, and their axes in the order in which their first reader wants them."""
    if all(node.op is not permute for node in graph):
        return {}
    return {
        i: readers[0].params["axes"]
        for i, readers in graph.readers().items()
        if i not in graph.outputs and graph[i].op.kind is Kind.MAP and readers and all(r.op is permute for r in readers)
    }


def _seen_from(made: Graph, turned: int, order: tuple[int, ...], reader: Node) -> int:
    """What a transpose of the value is of the turned one."""
    axes = tuple(order.index(a) for a in reader.params["axes"])
    return turned if axes == tuple(range(len(axes))) else made.emit(permute, (turned,), {"axes": axes}, reader.where)
