"""The interpreter: a graph run node by node in NumPy. It is the oracle that every kernel is tested against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracegrad.core.finite import check_finite, watching
from tracegrad.core.graph import Graph
from tracegrad.core.op import Kind
from tracegrad.errors import TracegradError


def interpret(graph: Graph, arguments: Sequence[Any]) -> list[Any]:
    """The outputs of a graph for concrete arguments, one per input node in order of position.

    Results are arrays, 0-d ones NumPy scalars as NumPy gives them, with the dtype the graph inferred. Errors of ops carry
    the user's line of their node.
    """
    values: dict[int, Any] = {}
    last_use = {i: node.id for node in graph for i in node.inputs}
    kept = set(graph.outputs)
    watched = watching.get()
    for node in graph:
        if node.op.kind is Kind.INPUT:
            position = node.params["position"]
            values[node.id] = np.asarray(arguments[position], dtype=node.aval.dtype)
        else:
            try:
                with np.errstate(all="ignore"):
                    values[node.id] = node.op.eager(*(values[i] for i in node.inputs), **node.params)
            except TracegradError as error:
                raise error.at(node.where) from None
            except IndexError as error:  # NumPy's own kind, as compiled programs raise it
                raise IndexError(f"{error}\n  at {node.where}" if node.where else str(error)) from None
        if watched:
            check_finite(graph, node, values[node.id], [values[i] for i in node.inputs])
        for i in node.inputs:
            if last_use[i] == node.id and i not in kept:
                values.pop(i, None)
    return [np.array(values[i], dtype=graph[i].aval.dtype)[()] for i in graph.outputs]


def evaluate(graph: Graph, node: int, values: dict[int, Any]) -> Any:
    """The value of a node that depends on no input.

    ``values`` holds what is known already, by id, and takes what is computed on the way.
    """
    missing = [node]
    needed: set[int] = set()
    while missing:
        i = missing.pop()
        if i not in values and i not in needed:
            needed.add(i)
            missing.extend(graph[i].inputs)
    for i in sorted(needed):
        with np.errstate(all="ignore"):
            value = graph[i].op.eager(*(values[k] for k in graph[i].inputs), **graph[i].params)
        values[i] = np.array(value, dtype=graph[i].aval.dtype)[()]
    return values[node]
