"""Sym: a traced array, a handle on a node of the graph being built."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracegrad.core.aval import Aval, Shape, broadcast_shapes, supported
from tracegrad.core.graph import Graph
from tracegrad.core.op import Kind, Op
from tracegrad.errors import Frame
from tracegrad.ops.broadcasting import broadcast
from tracegrad.ops.maps import cast
from tracegrad.ops.methods import ArrayMethods
from tracegrad.ops.sources import constant, literal


class Recorder:
    """A graph under construction and the line to blame for its next node."""

    def __init__(self, graph: Graph, locate: Callable[[], Frame | None]) -> None:
        self.graph = graph
        self.locate = locate

    def emit(self, op: Op, ids: tuple[int, ...], params: dict[str, Any]) -> int:
        """The id of a node of the graph."""
        return self.graph.emit(op, ids, params, self.locate())

    def constant(self, value: Any, dtype: Any = None) -> int:
        """The id of a constant node."""
        return self.emit(constant, (), {"value": literal(value, dtype)})

    def operand(self, value: Any) -> Sym:
        """A traced value for an operand: itself, or a constant; Python numbers become weak ones."""
        if isinstance(value, Sym):
            return value
        weak = type(value) in (bool, int, float)
        array = np.asarray(value)
        supported(array.dtype)
        if array.ndim and array.size and all(s == 0 for s in array.strides):
            # a stretched scalar stays one: the constant holds one element
            scalar = self.constant(array.flat[0], array.dtype)
            return Sym(self, self.emit(broadcast, (scalar,), {"shape": array.shape}))
        return Sym(self, self.constant(array), weak=weak)


class Sym(ArrayMethods):
    """A traced array: every operation on it appends to its recorder's graph."""

    bind_rank = 2
    __slots__ = ("id", "recorder", "weak")

    def __init__(self, recorder: Recorder, id: int, weak: bool = False) -> None:
        self.recorder = recorder
        self.id = id
        self.weak = weak

    @property
    def aval(self) -> Aval:
        """Shape and dtype."""
        return self.recorder.graph[self.id].aval

    @property
    def shape(self) -> Shape:
        """The array's shape, concrete while tracing."""
        return self.aval.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The array's dtype."""
        return self.aval.dtype

    def bind_op(self, op: Op, operands: Sequence[Any], params: dict[str, Any]) -> Any:
        """Append ``op``: promote by NumPy's rules, spell out broadcasting, emit."""
        syms = [self.recorder.operand(x) for x in operands]
        wanted = op.promote(*(_weak_type(s) if s.weak else s.dtype for s in syms))
        ids = [self._as_dtype(s, supported(np.dtype(d))) for s, d in zip(syms, wanted, strict=True)]
        if op.kind is Kind.MAP and len(syms) > 1:
            graph = self.recorder.graph
            shape = broadcast_shapes(*(s.shape for s in syms))
            ids = [
                i if graph[i].aval.shape == shape else self.recorder.emit(broadcast, (i,), {"shape": shape}) for i in ids
            ]
        weak = all(s.weak for s in syms) and op.kind is Kind.MAP
        return Sym(self.recorder, self.recorder.emit(op, tuple(ids), params), weak=weak)

    def _as_dtype(self, value: Sym, dtype: np.dtype[Any]) -> int:
        if value.dtype == dtype:
            return value.id
        return self.recorder.emit(cast, (value.id,), {"dtype": dtype})


def _weak_type(value: Sym) -> type:
    return {"b": bool, "i": int, "f": float}[value.dtype.kind]
