"""What counts in a graph: sizes and numbers that come from the length of an axis.

A graph does not tell the number 1.0 that a mean of one element divides by from one that the user wrote. Beside the graph of
the same function with longer axes it does: where both have the same nodes, what differs between them counts, and where the
longer one repeats, cuts or turns round an axis that the other leaves as it is, its one element is the same value. The
graph made here has the structure of the longer one and the numbers of the shorter, and in it what counts is an ``Extent``
or ``Counted``: it computes what the function does at its own sizes, and becomes the program that serves all longer ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracegrad.core.aval import Aval
from tracegrad.core.extent import Extent
from tracegrad.core.graph import Constant, Graph
from tracegrad.errors import TracegradError
from tracegrad.ops.broadcasting import broadcast
from tracegrad.ops.views import reverse, strided_slice

SHORTENED = 2
"""The length at which an axis may lose all but one of its elements, and count from there on."""


class Different(Exception):  # noqa: N818 - an answer
    """Two graphs do not have the same structure."""


def marked(short: Graph, long: Graph, size: int) -> Graph | None:
    """A graph of the same values as ``short`` in which is marked what counts; None where nothing does.

    Parameters
    ----------
    short: the graph of a function.
    long: that of the same function for arguments of which some axes are longer.
    size: the length of those axes in ``short``; those of one element are marked, too, of others only what they are counted in.

    Raises Different where the graphs do not tell.
    """
    try:
        return _Marked(short, long, size).run()
    except TracegradError:
        raise Different from None


class _Marked:
    """The structure of one graph with the numbers of another.

    Parameters
    ----------
    short, long: the graphs.
    size: the length of the axes that are longer in the other.
    """

    def __init__(self, short: Graph, long: Graph, size: int) -> None:
        self.short = short
        self.long = long
        self.same: dict[int, int] = {}
        """For nodes of the long graph that of the short one with the same value."""
        self._pair()
        self.axes = size == 1 or (size == SHORTENED and self._shortened())
        """Whether axes count, too; otherwise only numbers do."""

    def run(self) -> Graph | None:
        """The marked graph, None where nothing counts."""
        result = Graph()
        new: dict[int, int] = {}
        counts = False
        for node in self.long:
            if node.id not in self.same:
                continue
            own = self.short[self.same[node.id]]
            if own.op is node.op:
                params = self._between(own.params, node.params)
            elif not self.axes:
                raise Different
            elif node.op is broadcast:
                params = {"shape": self._between(own.aval.shape, node.params["shape"])}
            elif node.op is reverse:
                params = node.params
            else:
                whole = {"starts": (0,) * own.aval.ndim, "sizes": own.aval.shape, "steps": (1,) * own.aval.ndim}
                params = self._between(whole, node.params)
            id_ = result.emit(node.op, tuple([new[i] for i in node.inputs]), params, own.where)
            new[node.id] = id_
            counts = counts or _counts(params)
            if result[id_].aval != self._between(own.aval, node.aval):
                raise Different
        if not counts:
            return None
        return result.freeze([new[i] for i in self.long.outputs], self.short.primal_outputs)

    def _pair(self) -> None:
        """Find for each node of the long graph the node of the short one, from the outputs and inputs up."""
        short, long = self.short, self.long
        if len(short.outputs) != len(long.outputs) or len(short.inputs) != len(long.inputs):
            raise Different
        stack = [*zip(short.outputs, long.outputs, strict=True)]
        stack += [(a.id, b.id) for a, b in zip(short.inputs, long.inputs, strict=True)]
        done: set[int] = set()
        while stack:
            a, b = stack.pop()
            if self.same.setdefault(b, a) != a:
                raise Different
            if b in done:
                continue
            done.add(b)
            own, node = short[a], long[b]
            if own.op is node.op and len(own.inputs) == len(node.inputs):
                stack.extend(zip(own.inputs, node.inputs, strict=True))
            elif node.op in (broadcast, strided_slice, reverse) and own.aval.ndim == node.aval.ndim:
                stack.append((a, node.inputs[0]))  # one element need not be repeated, cut or turned round
            else:
                raise Different

    def _shortened(self) -> bool:
        """Whether an axis has one element left: of two, one is cut off where neighbours meet."""
        pairs = [(self.short[a].aval.shape, self.long[b].aval.shape) for b, a in self.same.items()]
        return any(1 in own and any(n == 1 != m for n, m in zip(own, other, strict=False)) for own, other in pairs)

    def _between(self, own: Any, other: Any) -> Any:
        """A value of the short graph, marked where that of the long one differs."""
        if type(own) is int and type(other) is int:
            return Extent.of(own, other) if self.axes else own
        if isinstance(own, tuple) and isinstance(other, tuple):
            if len(own) != len(other):
                raise Different
            return tuple([self._between(a, b) for a, b in zip(own, other, strict=True)])
        if isinstance(own, Mapping) and isinstance(other, Mapping):
            if own.keys() != other.keys():
                raise Different
            return {name: self._between(value, other[name]) for name, value in own.items()}
        if isinstance(own, Aval) and isinstance(other, Aval):
            if own.dtype != other.dtype or 0 in own.shape:
                raise Different  # nothing is there that kernels could be made for
            return Aval(self._between(own.shape, other.shape), own.dtype)
        if isinstance(own, Constant) and isinstance(other, Constant):
            if own == other or own.value.dtype != other.value.dtype:
                return own
            return Constant(own.value, other.value) if own.value.ndim == other.value.ndim == 0 else own
        if own != other:
            raise Different
        return own


def _counts(value: Any) -> bool:
    """Whether something in a node's parameters is marked."""
    if isinstance(value, tuple):
        return any(_counts(v) for v in value)
    if isinstance(value, Mapping):
        return any(_counts(v) for v in value.values())
    if isinstance(value, Aval):
        return _counts(value.shape)
    return isinstance(value, Extent) or (isinstance(value, Constant) and value.seen is not None)
