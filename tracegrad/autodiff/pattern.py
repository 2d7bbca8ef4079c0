"""Which elements depend on which: the structure of a linear map's matrix, read from its graph and from positions.

It is exact for what moves, maps, sums and multiplies elements, and holds more than there is for other ops: an element
that is not in it is zero whatever the values are.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tracegrad.core.graph import Graph, Node
from tracegrad.core.interpret import evaluate
from tracegrad.core.op import Kind
from tracegrad.ops import sparse
from tracegrad.ops.contractions import matmul_batched
from tracegrad.ops.conv import convolve, convolve_input_gradient, taps_read
from tracegrad.ops.indexing import gather, put, scatter_add

Matrix = Any
"""A sparse matrix of ones: a row for each element of a value, a column for each element of the arguments."""


def structure_of(graph: Graph, arguments: Sequence[int], known: Mapping[int, Any]) -> Matrix:
    """Where the matrix of a linear map may have elements that are not zero.

    Parameters
    ----------
    graph: the frozen graph of the map; its other inputs are the values that the map is made of.
    arguments: ids of the input nodes that the map is linear in.
    known: values of other inputs by id: those of integers say where elements go.

    Returns a ``scipy.sparse.csr_array`` of ones: a row for each element of the outputs, a column for each element of the
    arguments, in order.
    """
    return _Structure(graph, arguments, known).run()


class _Structure:
    """The structure of each node in turn."""

    def __init__(self, graph: Graph, arguments: Sequence[int], known: Mapping[int, Any]) -> None:
        self.graph = graph
        self.sparse = importlib.import_module("scipy.sparse")
        self.columns = sum(graph[i].aval.size for i in arguments)
        self.known: dict[int, Matrix] = {}
        first = 0
        for i in arguments:
            size = graph[i].aval.size
            self.known[i] = self._ones(np.arange(size), np.arange(first, first + size), (size, self.columns))
            first += size
        self._fixed: dict[int, bool] = {}
        self._values: dict[int, Any] = dict(known)

    def run(self) -> Matrix:
        """The rows of all outputs."""
        for node in self.graph:
            given = node.op.kind is not Kind.INPUT or node.id in self._values
            self._fixed[node.id] = given and all(self._fixed[i] for i in node.inputs)
            if any(i in self.known for i in node.inputs):
                self.known[node.id] = self._of(node)
        rows = [self.known.get(i, self._empty(self.graph[i].aval.size)) for i in self.graph.outputs]
        result = self.sparse.vstack([self._empty(0), *rows], format="csr")
        result.sort_indices()
        return result

    def _ones(self, rows: Any, columns: Any, shape: tuple[int, int]) -> Matrix:
        found = self.sparse.coo_array((np.ones(len(rows), np.int32), (rows, columns)), shape).tocsr()
        found.data[:] = 1
        return found

    def _empty(self, rows: int) -> Matrix:
        return self.sparse.csr_array((rows, self.columns), dtype=np.int32)

    def _product(self, rows: Any, columns: Any, size: int, parts: Matrix) -> Matrix:
        """The union of those rows of a structure that ``columns`` names for each of ``size`` rows."""
        found = self._ones(rows, columns, (size, parts.shape[0])) @ parts
        found.data[:] = 1
        return found

    def _of(self, node: Node) -> Matrix:
        kind, size = node.op.kind, node.aval.size
        reached = [i for i in node.inputs if i in self.known]
        if kind is Kind.MAP:
            total = self.known[reached[0]]
            for i in reached[1:]:
                total = total + self.known[i]
            total.data[:] = 1
            return total
        moved = node.inputs[1:] if node.op in (gather, scatter_add) else node.inputs[1:2] if node.op is put else ()
        if kind is Kind.VIEW or (node.op in (gather, put) and all(self._fixed[i] for i in moved)):
            return self._moved(node, moved)
        (first, *_), (operand, *_) = reached, [self.graph[i] for i in reached]
        if kind is Kind.REDUCE:
            return self._product(_positions_without(operand, node), np.arange(operand.aval.size), size, self.known[first])
        if node.op is scatter_add and all(self._fixed[i] for i in moved):
            places = np.arange(size).reshape(node.aval.shape)
            rows = np.take(places, evaluate(self.graph, moved[0], self._values), node.params["axis"]).reshape(-1)
            return self._product(rows, np.arange(operand.aval.size), size, self.known[first])
        if node.op in sparse.ROLES:
            if all(self._fixed[i] for i in node.inputs[2:]):
                return self._stored(node)
        elif kind is Kind.LINE:
            return self._along(node, reached)
        if node.op is matmul_batched:
            parts = [self._multiplied(node, k) for k, i in enumerate(node.inputs) if i in self.known]
            total = parts[0] if len(parts) == 1 else parts[0] + parts[1]
            total.data[:] = 1
            return total
        if node.op in (convolve, convolve_input_gradient) and node.inputs[1] not in self.known:
            return self._slid(node)
        whole = self.sparse.vstack([self.known[i] for i in reached], format="csr")
        columns = np.unique(whole.indices)
        return self._ones(np.repeat(np.arange(size), len(columns)), np.tile(columns, size), (size, self.columns))

    def _moved(self, node: Node, fixed: Sequence[int]) -> Matrix:
        """An op that moves elements tells on numbered ones where each went; 0 is none of them."""
        operands, parts, first = [], [], 1
        for i in node.inputs:
            aval = self.graph[i].aval
            if i in self.known:
                operands.append(np.arange(first, first + aval.size).reshape(aval.shape))
                parts.append(self.known[i])
                first += aval.size
            else:
                operands.append(evaluate(self.graph, i, self._values) if i in fixed else np.zeros(aval.shape, np.int64))
        numbers = np.asarray(node.op.eager(*operands, **node.params)).reshape(-1)
        (rows,) = np.nonzero(numbers)
        return self._product(rows, numbers[rows] - 1, node.aval.size, self.sparse.vstack(parts, format="csr"))

    def _along(self, node: Node, reached: Sequence[int]) -> Matrix:
        """Of a line an element depends on itself and on what stands before it."""
        shape, axis = node.aval.shape, node.params["axis"]
        places = np.moveaxis(np.arange(node.aval.size).reshape(shape), axis, 0)
        places = places.reshape(shape[axis], math.prod(places.shape[1:]))
        later, earlier = np.tril_indices(shape[axis])
        rows, columns = places[later].reshape(-1), places[earlier].reshape(-1)
        parts = [self._product(rows, columns, node.aval.size, self.known[i]) for i in reached]
        total = parts[0] if len(parts) == 1 else parts[0] + parts[1]
        total.data[:] = 1
        return total

    def _stored(self, node: Node) -> Matrix:
        """Products with a matrix whose stored elements are known."""
        places, ends = (np.asarray(evaluate(self.graph, i, self._values)) for i in node.inputs[2:])
        width = self.graph[node.inputs[0]].aval.shape[1]
        parts = [
            self._product(*sparse.reached_by(node.op, k, places, ends, width), node.aval.size, self.known[i])
            for k, i in enumerate(node.inputs)
            if i in self.known
        ]
        total = parts[0] if len(parts) == 1 else parts[0] + parts[1]
        total.data[:] = 1
        return total

    def _slid(self, node: Node) -> Matrix:
        """Windows of images with known kernels, or the transpose: each group's outputs read the same elements."""
        forward = node.op is convolve
        operand, kernels = (self.graph[i].aval for i in node.inputs)
        images, windows = (operand, node.aval) if forward else (node.aval, operand)
        params = {k: v for k, v in node.params.items() if k != "sizes"}
        positions, elements = taps_read(images.shape, kernels.shape[2:], **params)
        batch, outputs, *counts = windows.shape
        groups = params["groups"]
        # each window of a group stands for one of every output channel of that group
        places = np.arange(windows.size).reshape(batch, groups, outputs // groups, *counts)
        each = np.moveaxis(places, 2, -1).reshape(-1, outputs // groups)[positions].reshape(-1)
        read = np.repeat(elements, outputs // groups)
        rows, columns = (each, read) if forward else (read, each)
        return self._product(rows, columns, node.aval.size, self.known[node.inputs[0]])

    def _multiplied(self, node: Node, position: int) -> Matrix:
        """A row of the first matrix goes into a row of the product, a column of the second into a column."""
        operand = self.graph[node.inputs[position]]
        summed = operand.aval.ndim - 1 if position == 0 else operand.aval.ndim - 2
        kept = tuple(1 if k == summed else n for k, n in enumerate(operand.aval.shape))
        places = np.arange(int(np.prod(kept))).reshape(kept)
        each = np.broadcast_to(places, operand.aval.shape).reshape(-1)
        lines = self._product(each, np.arange(operand.aval.size), places.size, self.known[operand.id])
        return self._product(
            np.arange(node.aval.size), np.broadcast_to(places, node.aval.shape).reshape(-1), node.aval.size, lines
        )


def _positions_without(operand: Node, node: Node) -> Any:
    """Where each element of an operand goes in a reduction of it."""
    axes = node.params["axes"]
    kept = tuple(1 if k in axes else n for k, n in enumerate(operand.aval.shape))
    return np.broadcast_to(np.arange(node.aval.size).reshape(kept), operand.aval.shape).reshape(-1)


def coloured(structure: Matrix) -> tuple[Any, int]:
    """Numbers for the columns of a structure so that no row has two columns of one number; and how many there are.

    Greedy in the order of columns: a band matrix gets as many as it has diagonals.
    """
    columns = structure.tocsc()
    taken = [0] * structure.shape[0]  # of each row the numbers that its columns have, as bits
    result = np.zeros(structure.shape[1], np.intp)
    ends = columns.indptr.tolist()
    rows = columns.indices.tolist()
    for k in range(structure.shape[1]):
        own = rows[ends[k] : ends[k + 1]]
        forbidden = 0
        for row in own:
            forbidden |= taken[row]
        bit = ~forbidden & (forbidden + 1)
        for row in own:
            taken[row] |= bit
        result[k] = bit.bit_length() - 1
    return result, int(result.max(initial=-1)) + 1
