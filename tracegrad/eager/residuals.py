"""What an op's derivative rules need of its operands and result, found by running each rule once on traced values.

Nobody writes these lists by hand: a value that occurs among the ancestors of a cotangent is needed, of another one at
most the shape and dtype, and most often nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from tracegrad.core.aval import Aval, Shape
from tracegrad.core.graph import Graph
from tracegrad.core.op import FLAT, MISSING, Kind, Op, Variadic, keep
from tracegrad.errors import DtypeError
from tracegrad.ops.pullback import carries_gradient, pull_back
from tracegrad.ops.sources import input as input_op
from tracegrad.symbolic import Recorder, Sym

OUT = -1
"""Stands for the op's result where positions of operands are listed."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a node keeps for its backward.

    ``active`` lists the operands that get a cotangent, ``values`` those kept whole, ``shapes`` those of which the aval
    is kept; ``out`` says whether the result is kept, ``out_shape`` whether its shape or dtype is looked at.
    """

    active: tuple[int, ...]
    values: tuple[int, ...]
    shapes: tuple[int, ...]
    out: bool
    out_shape: bool
    outlines: tuple[Outline, ...] | None = None
    """What ``shapes`` lists, where the plan is that of certain shapes; None for elementwise ops."""


class Outline:
    """Shape and dtype of an operand that is not kept; made in half the time of an Aval."""

    __slots__ = ("dtype", "shape")

    def __init__(self, shape: Shape, dtype: np.dtype[Any]) -> None:
        self.shape = shape
        self.dtype = dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


class _Glimpse:
    """Stands for an array in a rule and notes whether its shape or dtype is looked at."""

    def __init__(self, aval: Aval) -> None:
        self._aval = aval
        self.seen = False

    def __getattr__(self, name: str) -> Any:
        if name not in {"shape", "dtype", "ndim", "size"}:
            raise AttributeError(name)
        self.seen = True
        return getattr(self._aval, name)


def plan(op: Op, needs: tuple[bool, ...], operands: Sequence[np.ndarray[Any, Any]], params: dict[str, Any]) -> Plan:
    """The plan of one application of an op; ``needs`` says which operands require grad.

    It is found once per op, parameters and what else a rule can depend on: for elementwise ops whether the numbers are
    complex, else shapes and dtypes.
    """
    if op.kind is Kind.MAP:
        if operands[-1].dtype.kind == "c":
            # rules may need more of complex numbers, as that of their size does
            return _find(op, needs, tuple([((2,), x.dtype) for x in operands]), tuple(params.items()))
        return find_map_plan(op, needs, tuple(params.items())) if params else find_map_plan(op, needs)
    avals = tuple([(x.shape, x.dtype) for x in operands])
    return _find(op, needs, avals, tuple(params.items()))


@lru_cache(maxsize=4096)
def find_plan_of_one(op: Op, shape: Shape, char: str, *params: Any) -> Plan:
    """The plan of an op of one operand that requires grad; of the parameters first all names, then all values."""
    count = len(params) // 2
    aval = shape, np.dtype(char)  # the hash of a dtype takes longer than that of its letter
    named = tuple(zip(params[:count], params[count:], strict=True))
    if op.kind is Kind.MAP and aval[1].kind != "c":
        return find_map_plan(op, (True,), named)
    return _find(op, (True,), (aval,), named)


@lru_cache(maxsize=4096)
def find_map_plan(op: Op, needs: tuple[bool, ...], params: tuple[tuple[str, Any], ...] = ()) -> Plan:
    """The plan of an elementwise op, whatever its shapes."""
    dtypes = (np.dtype(np.float64),) * len(needs)
    if op.promote is not keep:
        try:
            dtypes = op.promote(*dtypes)
        except DtypeError:
            # whole numbers beside floats, as the degree of a polynomial
            dtypes = op.promote(*(np.dtype(np.float64 if need else np.int64) for need in needs))
    return _find(op, needs, tuple(((2,), d) for d in dtypes), params)


@lru_cache(maxsize=4096)
def _find(
    op: Op,
    needs: tuple[bool, ...],
    avals: tuple[tuple[Shape, np.dtype[Any]], ...],
    params: tuple[tuple[str, Any], ...],
) -> Plan:
    graph = Graph()
    recorder = Recorder(graph, lambda: None)
    named = dict(params)
    inputs = [_input(recorder, k, Aval(*a)) for k, a in enumerate(avals)]
    out_aval = op.infer(*(graph[s.id].aval for s in inputs), **named)
    out = _input(recorder, len(inputs), out_aval)
    g = _input(recorder, len(inputs) + 1, out_aval)
    active = tuple(k for k, need in enumerate(needs) if need and (carries_gradient(op, k) or _zero_recorded(op, k)))
    ruled = tuple(k for k in active if op.partial(k) is not MISSING and op.partial(k) is not FLAT)
    # values first: whatever a cotangent is computed from
    found = [pull_back(op, k, g, out, inputs, named) for k in ruled]
    ancestors = graph.ancestors(x.id for x in found if isinstance(x, Sym))
    values = {k for k, s in enumerate(inputs) if s.id in ancestors} | ({OUT} if out.id in ancestors else set())
    # then, with the other values out of reach, whether a rule still looks at a shape
    glimpses = {k: _Glimpse(Aval(*a)) for k, a in enumerate(avals) if k not in values}
    if OUT not in values:
        glimpses[OUT] = _Glimpse(out_aval)
    again = [glimpses.get(k, s) for k, s in enumerate(inputs)]
    for k in ruled:
        pull_back(op, k, g, glimpses.get(OUT, out), again, named)
    shapes = tuple(k for k, x in glimpses.items() if x.seen)
    listed = tuple(k for k in shapes if k != OUT)
    outlines = None if op.kind is Kind.MAP else tuple(Outline(*avals[k]) for k in listed)
    return Plan(active, tuple(sorted(values - {OUT})), listed, OUT in values, OUT in shapes, outlines)


def _zero_recorded(op: Op, position: int) -> bool:
    """Whether a derivative that is zero everywhere is recorded: that of steps, whose declaration names a node."""
    return not isinstance(op.partials, Variadic) and position < len(op.partials) and op.torch[1] != ""


def _input(recorder: Recorder, position: int, aval: Aval) -> Sym:
    return Sym(recorder, recorder.emit(input_op, (), {"position": position, "aval": aval}))
