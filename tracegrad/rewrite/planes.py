"""Graphs with complex numbers as graphs of reals: each complex value becomes two, its planes.

Everything behind this pass holds real numbers only. At the boundary complex arrays are pairs of reals along a last axis, on
the same memory; the nodes there say of which dtype they are outside (``Node.outside``).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tracegrad.core.aval import Aval
from tracegrad.core.graph import Constant, Graph, Node
from tracegrad.core.op import Kind
from tracegrad.errors import Frame
from tracegrad.ops.broadcasting import broadcast
from tracegrad.ops.complexes import PARTS
from tracegrad.ops.indexing import getitem
from tracegrad.ops.planes import Pairs, Planes, in_planes, pairs
from tracegrad.ops.sources import constant
from tracegrad.ops.sources import input as input_op
from tracegrad.symbolic import Recorder, Sym


def has_planes(graph: Graph) -> bool:
    """Whether a graph holds complex numbers."""
    return any(node.aval.dtype.kind == "c" for node in graph)


def into_planes(graph: Graph) -> Graph | Node:
    """A graph of real numbers with the same inputs and outputs, or the first node that cannot be taken apart.

    A complex input or output has a further last axis of size 2.
    """
    return _Split(graph).run()


class _Split(Recorder):
    """A walk over a graph that emits planes."""

    def __init__(self, source: Graph) -> None:
        super().__init__(Graph(), lambda: self._where)
        self._source = source
        self._where: Frame | None = None
        self._found: dict[int, Any] = {}

    def run(self) -> Graph | Node:
        """The new graph."""
        source = self._source
        for node in source.live():
            self._where = node.where
            with np.errstate(all="ignore"):
                made = self._of(node)
            if made is NotImplemented:
                return node
            self._found[node.id] = made
        self._where = None
        outputs = [self._output(i) for i in source.outputs]
        return self.graph.freeze(outputs, source.primal_outputs)

    def _output(self, i: int) -> int:
        made = self._found[i]
        if not isinstance(made, Planes):
            return int(made.id)
        if made.known is not None and made.known.id not in {node.id for node in self.graph.inputs}:
            return int(made.known.id)
        planes = [self.operand(plane).id for plane in made.both]
        return self.emit(pairs, tuple(planes), {"whole": made.aval.dtype})

    def _of(self, node: Node) -> Any:
        """The planes of a node, its value where it is real; NotImplemented where an op cannot be taken apart."""
        complex_ = node.aval.dtype.kind == "c"
        operands = [self._found[i] for i in node.inputs]
        if not complex_ and not any(isinstance(x, Planes) for x in operands):
            return Sym(self, self.emit(node.op, tuple(x.id for x in operands), node.params))
        if node.op.kind is Kind.INPUT:
            return self._input(node)
        if node.op.kind is Kind.CONSTANT:
            return self._constant(node)
        made = in_planes(node.op, operands, node.params, self._number)
        if made is NotImplemented:
            return NotImplemented
        if isinstance(made, Pairs):
            return self._apart(self.operand(made.value), node.aval)
        if complex_:
            return Planes(self._plane(made[0], node.aval), self._plane(made[1], node.aval), node.aval)
        return self._sym(made, node.aval)

    def _plane(self, value: Any, aval: Aval) -> Any:
        return None if value is None else self._sym(value, Aval(aval.shape, PARTS[aval.dtype]))

    def _sym(self, value: Any, aval: Aval) -> Sym:
        sym = self.operand(value)
        if sym.dtype != aval.dtype:
            sym = sym.astype(aval.dtype)
        return sym if sym.shape == aval.shape else Sym(self, self.emit(broadcast, (sym.id,), {"shape": aval.shape}))

    def _input(self, node: Node) -> Planes:
        aval = Aval((*node.aval.shape, 2), PARTS[node.aval.dtype])
        place = Sym(self, self.emit(input_op, (), {**node.params, "aval": aval, "whole": node.aval.dtype}))
        return self._apart(place, node.aval)

    def _apart(self, place: Sym, aval: Aval) -> Planes:
        return Planes(getitem(place, (Ellipsis, 0)), getitem(place, (Ellipsis, 1)), aval, place)

    def _constant(self, node: Node) -> Planes:
        given: Constant = node.params["value"]
        planes: list[Sym | None] = []
        for part in (np.real, np.imag):
            value = np.ascontiguousarray(part(given.value)).reshape(given.value.shape)
            seen = None if given.seen is None else np.asarray(part(given.seen))
            if not value.any() and (seen is None or not seen.any()):
                planes.append(None)
                continue
            held = Constant(value, seen)
            value.flags.writeable = False
            planes.append(Sym(self, self.emit(constant, (), {"value": held})))
        return Planes(planes[0], planes[1], node.aval)

    def _number(self, value: Any) -> Any:
        """The one number of a constant, stretched or not."""
        if not isinstance(value, Sym):
            return None
        node = self.graph[value.id]
        while node.op is broadcast:
            node = self.graph[node.inputs[0]]
        if node.op.kind is Kind.CONSTANT and node.aval.ndim == 0:
            return node.params["value"].value[()]
        return None


__all__ = ["has_planes", "into_planes"]
