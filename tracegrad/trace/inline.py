"""A graph emitted again into another: how a function traced and differentiated on its own joins an outer trace."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tracegrad.core.graph import Graph
from tracegrad.core.op import Kind
from tracegrad.errors import ShapeError, TraceError
from tracegrad.ops.maps import variable
from tracegrad.ops.sources import DRAWS, LANES, lane
from tracegrad.symbolic import Recorder, Sym


def inline(graph: Graph, recorder: Recorder, arguments: Sequence[Any]) -> list[Sym]:
    """Emit the nodes of a frozen graph into a recorder's graph.

    Parameters
    ----------
    graph: what is emitted; equal nodes that the outer graph has already are shared.
    recorder: where it goes.
    arguments: for each input of the graph a traced value, or an array or number to hold as a constant.

    Returns one Sym per output. Raises ShapeError where an argument is not what the graph was traced for.
    """
    given = {node.id: recorder.operand(value) for node, value in zip(graph.inputs, arguments, strict=True)}
    for node in graph.inputs:
        if given[node.id].aval != node.aval:
            raise ShapeError(
                f"argument {node.params['position']} is {given[node.id].aval}, but {node.aval} was traced",
                fix="trace it again for these arguments",
                where=recorder.locate(),
            )
    ids = emit_again(graph, recorder.graph, {k: sym.id for k, sym in given.items()}, graph.outputs)
    return [Sym(recorder, ids[i]) for i in graph.outputs]


def emit_again(graph: Graph, target: Graph, known: dict[int, int], outputs: Iterable[int]) -> dict[int, int]:
    """The ids in ``target`` of what ``outputs`` need of a graph; ``known`` gives those of its inputs, or of others."""
    ids = dict(known)
    needed: set[int] = set()
    stack = [i for i in outputs if i not in ids]
    while stack:
        i = stack.pop()
        if i not in needed:
            needed.add(i)
            stack += [k for k in graph[i].inputs if k not in ids]
    for node in graph:
        if node.id not in needed:
            continue
        if node.op is variable:
            # the derivatives with respect to it have been taken
            ids[node.id] = ids[node.inputs[0]]
        else:
            ids[node.id] = target.again(graph, node, tuple([ids[i] for i in node.inputs]))
    return ids


def without_derivatives(graph: Graph) -> Graph:
    """A frozen graph whose values have no derivatives of their own; itself where none has."""
    if all(node.op.kind is not Kind.CUSTOM for node in graph):
        return graph
    result = Graph()
    ids: dict[int, int] = {}
    for node in graph:
        if node.op.kind is Kind.CUSTOM:
            ids[node.id] = ids[node.inputs[0]]
        else:
            ids[node.id] = result.again(graph, node, tuple([ids[i] for i in node.inputs]))
    return result.freeze([ids[i] for i in graph.outputs], graph.primal_outputs)


def prune(graph: Graph, outputs: Sequence[int], keep: int) -> tuple[Graph, list[int]]:
    """A frozen graph of what the outputs need.

    ``keep`` leading inputs stay whether they are needed or not, and random numbers follow them; of the others those that are
    needed move up. Returns the graph and the old positions of its inputs behind the first ``keep`` and the random numbers.
    """
    needed = graph.ancestors(outputs)
    result = Graph()
    known: dict[int, int] = {}
    later: list[int] = []
    numbers = [node for node in graph.inputs if DRAWS <= node.params["position"] < LANES]
    for node in numbers:
        position = keep + node.params["position"] - DRAWS
        known[node.id] = result.emit(node.op, (), {**node.params, "position": position}, node.where)
    for node in graph.inputs:
        position = node.params["position"]
        if node.id in known:
            continue
        if position >= keep:
            if node.id not in needed:
                continue
            if node.op is lane:
                raise TraceError(
                    "a value from inside of a function that tg.vmap maps is used outside of it",
                    fix="return it from the mapped function: the result of tg.vmap(f) has it for all elements",
                    where=next((n.where for n in graph if node.id in n.inputs and n.where is not None), None),
                )
            position = keep + len(numbers) + len(later)
            later.append(node.params["position"])
        known[node.id] = result.emit(node.op, (), {**node.params, "position": position}, node.where)
    ids = emit_again(graph, result, known, outputs)
    assert all(graph[i].op.kind is not Kind.INPUT for i in ids.keys() - known.keys())
    return result.freeze([ids[i] for i in outputs]), later
