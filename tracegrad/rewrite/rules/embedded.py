"""Sums over a part of an array whose gradient goes back into the whole: they run over the whole, too.

``np.sum((x[1:] - x[:-1]) ** 2)`` is a sum of n - 1 elements and its gradient has n, so that they would be two loops, with an
array between them. As the sum of the same elements and a zero, the first fits into the loop of the second.
"""

from __future__ import annotations

from collections import defaultdict

from tracegrad.core.aval import Shape
from tracegrad.core.expr import CHEAP_FUNCTIONS, Call, Operand, Scalar
from tracegrad.core.graph import Graph, Node
from tracegrad.core.op import Kind
from tracegrad.ops.broadcasting import reduce_sum
from tracegrad.ops.views import embed

MARGIN = 4
"""Elements that the whole may have more along each axis: a bound that holds for all sizes, or for none."""
MOST_AGAIN = 12
"""Operations that may be computed for several elements each, where the array between the loops is saved."""
DEAR = 15
"""Operations that a function such as exp counts for."""


def embed_sums(graph: Graph) -> Graph | None:
    """The graph with such sums over the whole array, None where there is none."""
    homes = _homes(graph)
    if not homes:
        return None
    made = Graph()
    new: dict[int, int] = {}
    needed = graph.ancestors(graph.outputs)
    for node in graph:
        if node.id not in needed and node.op.kind is not Kind.INPUT:
            continue
        operands = tuple([new[i] for i in node.inputs])
        if node.id in homes:
            operands = (made.emit(embed, operands, homes[node.id].params, node.where),)
        new[node.id] = made.emit(node.op, operands, node.params, node.where)
    return made.freeze([new[i] for i in graph.outputs], graph.primal_outputs)


def _homes(graph: Graph) -> dict[int, Node]:
    """The sums to rewrite, with the node that places values beside theirs into the whole."""
    needed = graph.ancestors(graph.outputs)
    readers: dict[int, list[Node]] = defaultdict(list)
    for node in graph:
        for i in node.inputs if node.id in needed else ():
            readers[i].append(node)
    found: dict[int, Node] = {}
    seen: set[int] = set()
    for node in graph:
        if node.id in needed and _is_margin(graph, node) and node.inputs[0] not in seen:
            inner = _connected(graph, node.inputs[0], readers)
            seen |= inner
            outside = {r.id: r for i in inner for r in readers[i] if r.id not in inner}.values()
            margins = [r for r in outside if _is_margin(graph, r)]
            sums = [r for r in outside if r.op is reduce_sum and len(r.params["axes"]) == graph[r.inputs[0]].aval.ndim]
            whole = {r.aval.shape for r in margins}
            only = len(margins) + len(sums) == len(outside) and len(whole) == 1 and inner.isdisjoint(graph.outputs)
            if only and _work_again(graph, inner, margins) <= MOST_AGAIN:
                found |= {r.id: _nearest(graph, r, inner, margins) for r in sums}
    return found


def _nearest(graph: Graph, node: Node, inner: set[int], margins: list[Node]) -> Node:
    """The place at which most of what a sum reads is computed anyway."""
    mine = _below(graph, node.inputs[0], inner)
    return max(margins, key=lambda m: sum(_work(graph[n]) for n in mine & _below(graph, m.inputs[0], inner)))


def _is_margin(graph: Graph, node: Node) -> bool:
    """Whether a node places a map into zeros that are a few elements longer."""
    if node.op is not embed or any(step != 1 for step in node.params["steps"]):
        return False
    source = graph[node.inputs[0]]
    sizes = zip(source.aval.shape, node.aval.shape, strict=True)
    return source.op.kind is Kind.MAP and all(n > 1 and whole - n <= MARGIN for n, whole in sizes)


def _connected(graph: Graph, node: int, readers: dict[int, list[Node]]) -> set[int]:
    """The maps of one shape that a map is connected with, as what they read or as what reads them."""
    shape = graph[node].aval.shape
    seen: set[int] = set()
    stack = [node]
    while stack:
        n = stack.pop()
        if n not in seen and graph[n].op.kind is Kind.MAP and graph[n].aval.shape == shape:
            seen.add(n)
            stack += [*graph[n].inputs, *(reader.id for reader in readers[n])]
    return seen


def _work_again(graph: Graph, inner: set[int], margins: list[Node]) -> int:
    """Operations on each element to compute once for each distance what is placed at several."""
    at: dict[Shape, set[int]] = defaultdict(set)
    for node in margins:
        at[node.params["starts"]] |= _below(graph, node.inputs[0], inner)
    return sum(_work(graph[n]) for nodes in at.values() for n in nodes) - sum(
        _work(graph[n]) for n in set().union(*at.values())
    )


def _below(graph: Graph, node: int, inner: set[int]) -> set[int]:
    seen: set[int] = set()
    stack = [node]
    while stack:
        n = stack.pop()
        if n in inner and n not in seen:
            seen.add(n)
            stack.extend(graph[n].inputs)
    return seen


def _work(node: Node) -> int:
    return _calls(node.op.lower(*(Operand(k) for k in range(len(node.inputs))), **node.params))


def _calls(expression: Scalar) -> int:
    if not isinstance(expression, Call):
        return 0
    return (1 if expression.function in CHEAP_FUNCTIONS else DEAR) + sum(_calls(a) for a in expression.arguments)
