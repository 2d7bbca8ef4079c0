"""One element added to each row: a comparison with the column's number, which fuses, in place of an array of zeros.

``scores[np.arange(n), labels]`` reads positions in the flat array, and its gradient adds to zeros there. Where each row
has one position of its own, an element of that gradient is the row's cotangent if its column is the row's, else 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tracegrad.core.graph import Graph, Node
from tracegrad.ops.broadcasting import broadcast, reshape_to
from tracegrad.ops.comparisons import equal, greater_equal, less, logical_and
from tracegrad.ops.indexing import gather, scatter_add
from tracegrad.ops.maps import add, select
from tracegrad.ops.sources import constant, iota, literal


def compare_columns(graph: Graph) -> Graph | None:
    """The graph with such sums as comparisons, None where there is none."""
    columns = _columns(graph)
    if not columns:
        return None
    made = Graph()
    new: dict[int, int] = {}
    for node in graph.live():
        if node.op is reshape_to and node.inputs[0] in columns:
            source = graph[node.inputs[0]]
            new[node.id] = _written_out(made, new[source.inputs[0]], new[columns[source.id]], node)
        elif node.id not in columns:
            new[node.id] = made.emit(node.op, tuple([new[i] for i in node.inputs]), node.params, node.where)
    return made.freeze([new[i] for i in graph.outputs], graph.primal_outputs)


def _columns(graph: Graph) -> dict[int, int]:
    """The sums to write out, with the node of the columns' numbers.

    A position out of range is found by the reading of the same positions, so one must be in the graph.
    """
    needed = graph.ancestors(graph.outputs)
    sums = [graph[i] for i in needed if graph[i].op is scatter_add and graph[i].aval.ndim == 1]
    if not sums:
        return {}
    read = {
        (n.inputs[1], graph[n.inputs[0]].aval.shape)
        for n in (graph[i] for i in needed)
        if n.op is gather and n.params["axis"] == 0
    }
    readers = graph.readers()
    found = {}
    for node in sums:
        shapes = {r.aval.shape if r.op is reshape_to else () for r in readers[node.id]}
        if node.id in graph.outputs or len(shapes) != 1 or (node.inputs[1], node.aval.shape) not in read:
            continue
        (shape,) = shapes
        column = _column(graph, node.inputs[1], shape) if len(shape) == 2 else None
        if column is not None:
            found[node.id] = column
    return found


def _column(graph: Graph, positions: int, shape: tuple[int, ...]) -> int | None:
    """The columns of flat positions, of which row i has the i-th and those out of range are negative."""
    node = graph[positions]
    rows, width = shape
    if node.op is not select or node.aval.shape != (rows,):
        return None
    inside, flat, outside = (graph[i] for i in node.inputs)
    beyond = _uniform(graph, outside.id)
    if flat.op is not add or beyond is None or beyond >= 0 or inside.op is not logical_and:
        return None
    column, start = flat.inputs
    starts = graph[start].params["value"].value if graph[start].op is constant else None
    if starts is None or not np.array_equal(starts, np.arange(rows) * width):
        return None
    limits = {(graph[i].op, graph[i].inputs[0], _uniform(graph, graph[i].inputs[-1])) for i in inside.inputs}
    return column if {(greater_equal, column, 0), (less, column, width)} == limits else None


def _uniform(graph: Graph, i: int) -> Any:
    """The one value of a constant, stretched or not; None for other nodes."""
    while graph[i].op is broadcast:
        i = graph[i].inputs[0]
    scalar = graph[i].op is constant and graph[i].aval.ndim == 0
    return graph[i].params["value"].value[()] if scalar else None


def _written_out(made: Graph, values: int, column: int, reader: Node) -> int:
    """The values where the column's number is the row's, else 0."""
    shape, where = reader.aval.shape, reader.where

    def stretched(i: int) -> int:
        upright = made.emit(reshape_to, (i,), {"shape": (shape[0], 1)}, where)
        return made.emit(broadcast, (upright,), {"shape": shape}, where)

    numbers = made.emit(iota, (), {"size": shape[1]}, where)
    chosen = made.emit(equal, (made.emit(broadcast, (numbers,), {"shape": shape}, where), stretched(column)), {}, where)
    zero = made.emit(constant, (), {"value": literal(0, reader.aval.dtype)}, where)
    zeros = made.emit(broadcast, (zero,), {"shape": shape}, where)
    return made.emit(select, (chosen, stretched(values), zeros), {}, where)
