"""Sums over a part of an array whose gradient goes back into the whole: they run over the whole, too.

``np.sum((x[1:] - x[:-1]) ** 2)`` is a sum of n - 1 elements and its gradient has n, so that they would be two loops, with an
array between them. As the sum of the same elements and a zero, the first fits into the loop of the second.
"""

from __future__ import annotations

from collections import defaultdict

from tracegrad.core.aval import Shape
from tracegrad.core.expr import Operand, operations
from tracegrad.core.graph import Graph, Node
from tracegrad.core.op import Kind
from tracegrad.core.regions import computed_within, connected_maps
from tracegrad.ops.broadcasting import reduce_sum
from tracegrad.ops.views import embed

MARGIN = 4
"""Elements that the whole may have more along each axis: a bound that holds for all sizes, or for none."""
MOST_AGAIN = 12
"""Operations that may be computed for several elements each, where the array between the loops is saved."""


def embed_sums(graph: Graph) -> Graph | None:
    """The graph with such sums over the whole array, None where there is none."""
    homes = _homes(graph)
    if not homes:
        return None
    made = Graph()
    new: dict[int, int] = {}
    for node in graph.live():
        operands = tuple([new[i] for i in node.inputs])
        if node.id in homes:
            operands = (made.emit(embed, operands, homes[node.id].params, node.where),)
        new[node.id] = made.emit(node.op, operands, node.params, node.where)
    return made.freeze([new[i] for i in graph.outputs], graph.primal_outputs)


def _homes(graph: Graph) -> dict[int, Node]:
    """The sums to rewrite, with the node that places values beside theirs into the whole."""
    readers = graph.readers()
    found: dict[int, Node] = {}
    seen: set[int] = set()
    # from the few sums on, as the gradient of a stencil places values at each step
    for node in graph.live():
        if _is_total(graph, node) and node.inputs[0] not in seen:
            inner = connected_maps(graph, node.inputs[0], readers)
            seen |= inner
            outside = {r.id: r for i in inner for r in readers[i] if r.id not in inner}.values()
            margins = [r for r in outside if _is_margin(graph, r)]
            sums = [r for r in outside if _is_total(graph, r)]
            whole = {r.aval.shape for r in margins}
            only = len(margins) + len(sums) == len(outside) and len(whole) == 1 and inner.isdisjoint(graph.outputs)
            if only and _work_again(graph, inner, margins) <= MOST_AGAIN:
                found |= {r.id: _nearest(graph, r, inner, margins) for r in sums}
    return found


def _nearest(graph: Graph, node: Node, inner: set[int], margins: list[Node]) -> Node:
    """The place at which most of what a sum reads is computed anyway."""
    mine = computed_within(graph, node.inputs[0], inner)
    return max(margins, key=lambda m: sum(_work(graph[n]) for n in mine & computed_within(graph, m.inputs[0], inner)))


def _is_total(graph: Graph, node: Node) -> bool:
    """Whether a node sums over all axes of a map."""
    if node.op is not reduce_sum:
        return False
    source = graph[node.inputs[0]]
    return source.op.kind is Kind.MAP and len(node.params["axes"]) == source.aval.ndim


def _is_margin(graph: Graph, node: Node) -> bool:
    """Whether a node places a map into zeros that are a few elements longer."""
    if node.op is not embed or any(step != 1 for step in node.params["steps"]):
        return False
    source = graph[node.inputs[0]]
    sizes = zip(source.aval.shape, node.aval.shape, strict=True)
    return source.op.kind is Kind.MAP and all(n > 1 and whole - n <= MARGIN for n, whole in sizes)


def _work_again(graph: Graph, inner: set[int], margins: list[Node]) -> int:
    """Operations on each element to compute once for each distance what is placed at several."""
    at: dict[Shape, set[int]] = defaultdict(set)
    for node in margins:
        at[node.params["starts"]] |= computed_within(graph, node.inputs[0], inner)
    return sum(_work(graph[n]) for nodes in at.values() for n in nodes) - sum(
        _work(graph[n]) for n in set().union(*at.values())
    )


def _work(node: Node) -> int:
    return operations(node.op.lower(*(Operand(k) for k in range(len(node.inputs))), **node.params))
