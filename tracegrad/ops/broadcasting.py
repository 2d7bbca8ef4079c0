"""Broadcasting and its transpose, summation; and reshape, which both need."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tracegrad.core.aval import Aval, Shape, shape_of
from tracegrad.core.expr import Index, Read, flatten_index, unflatten_index
from tracegrad.core.op import Kind, Mapped, Op, Reducer, Sample, Stacked, Values, linear, reduction
from tracegrad.errors import ShapeError

Vector = tuple[Index, ...]


# -- broadcast --------------------------------------------------------------------------------------------------------


def _broadcast_infer(x: Aval, *, shape: Shape) -> Aval:
    lead = len(shape) - x.ndim
    if lead < 0 or any(n not in (1, m) for n, m in zip(x.shape, shape[lead:], strict=True)):
        raise ShapeError(
            f"an array of shape {x.shape} does not broadcast to {shape}",
            fix="each axis, counted from the last, must have the target's size or size 1",
        )
    return Aval(shape, x.dtype)


def _broadcast_lower(index: Vector, x: Aval, *, shape: Shape) -> tuple[Read, ...]:
    own = index[len(shape) - x.ndim :]
    return (Read(0, tuple(Index() if n == 1 else i for i, n in zip(own, x.shape, strict=True))),)


def _broadcast_eager(x: Any, *, shape: Shape) -> Any:
    if x.ndim:
        return np.broadcast_to(x, shape)
    # a fifth of the time of broadcast_to for the case that backwards of sums are full of
    view: np.ndarray[Any, Any] = np.ndarray(shape, x.dtype, np.asarray(x), 0, (0,) * len(shape))
    view.flags.writeable = False
    return view


def sum_to(x: Any, shape: Shape) -> Any:
    """Sum away the axes along which an array of ``shape`` was broadcast to ``x``: the transpose of broadcasting."""
    if tuple(x.shape) == tuple(shape):
        return x
    lead = len(x.shape) - len(shape)
    stretched = tuple(lead + k for k, n in enumerate(shape) if n == 1 and x.shape[lead + k] != 1)
    axes = tuple(range(lead)) + stretched
    return reshape_to(reduce_sum(x, axes=axes) if axes else x, shape=tuple(shape))


reduce_sum: Op = reduction(
    "sum",
    np.add,
    lambda g, out, x, *, axes: broadcast_back(g, shape_of(x), axes),
    Reducer("add", 0),
    torch=("sum", "SumBackward1"),
    additive=True,
    doc="The sum over axes.",
    samples=(
        Sample((Values((3, 4)),), {"axes": (0, 1)}),
        Sample((Values((3, 4)),), {"axes": (0,)}),
        Sample((Values((2, 3, 4)),), {"axes": (1,)}),
        Sample((Values((2, 3, 4)),), {"axes": (0, 2)}),
        Sample((Values((3, 0)),), {"axes": (1,)}),
    ),
)


def broadcast_back(g: Any, shape: Shape, axes: tuple[int, ...]) -> Any:
    """Repeat the result of a reduction over ``axes`` to the shape that was reduced."""
    kept = tuple(1 if k in axes else n for k, n in enumerate(shape))
    return broadcast(reshape_to(g, shape=kept), shape=tuple(shape))


def _broadcast_each(size: int, mapped: tuple[bool, ...], x: Any, *, shape: Shape) -> Any:
    own = shape_of(x)[1:]
    return broadcast(reshape_to(x, shape=(size, *(1,) * (len(shape) - len(own)), *own)), shape=(size, *shape))


broadcast: Op = linear(
    "broadcast_to",
    Kind.VIEW,
    infer=_broadcast_infer,
    eager=_broadcast_eager,
    transpose=lambda g, out, x, *, shape: sum_to(g, shape_of(x)),
    batch=Mapped(_broadcast_each),
    lower=_broadcast_lower,
    torch=("expand", "ExpandBackward0"),
    doc="Repeat an array along new axes and axes of size 1, without storing the copies.",
    samples=(
        Sample((Values((3,)),), {"shape": (2, 3)}),
        Sample((Values((2, 1)),), {"shape": (4, 2, 3)}),
        Sample((Values(()),), {"shape": (0, 2)}),
        Sample((Values((2,)),), {"shape": (3,)}, error=ShapeError, match="does not broadcast"),
    ),
)


# -- reshape ----------------------------------------------------------------------------------------------------------


def _reshape_infer(x: Aval, *, shape: Shape) -> Aval:
    if math.prod(shape) != x.size:
        raise ShapeError(
            f"an array of shape {x.shape} has {x.size} elements and does not reshape to {shape}",
            fix="keep the number of elements, or give one size as -1",
        )
    return Aval(shape, x.dtype)


def _reshape_lower(index: Vector, x: Aval, *, shape: Shape) -> tuple[Read, ...]:
    """Axes of size 1 come and go; the rest is re-counted only between the first and the last axis that differ."""
    source = [n for n in x.shape if n != 1]
    target = [(i, n) for i, n in zip(index, shape, strict=True) if n != 1]
    head = 0
    while head < min(len(source), len(target)) and source[head] == target[head][1]:
        head += 1
    tail = 0
    while tail < min(len(source), len(target)) - head and source[-1 - tail] == target[-1 - tail][1]:
        tail += 1
    middle = target[head : len(target) - tail]
    position = flatten_index(tuple(i for i, _ in middle), tuple(n for _, n in middle))
    inner = unflatten_index(position, tuple(source[head : len(source) - tail]))
    kept = [i for i, _ in target[:head]] + list(inner) + [i for i, _ in target[len(target) - tail :]]
    supply = iter(kept)
    return (Read(0, tuple(Index() if n == 1 else next(supply) for n in x.shape)),)


reshape_to: Op = linear(
    "reshape",
    Kind.VIEW,
    infer=_reshape_infer,
    eager=lambda x, *, shape: x.reshape(shape),
    transpose=lambda g, out, x, *, shape: reshape_to(g, shape=shape_of(x)),
    batch=Stacked(lambda size, *, shape: {"shape": (size, *shape)}),
    lower=_reshape_lower,
    torch=("reshape", "ViewBackward0"),
    doc="The same elements in row-major order under another shape.",
    samples=(
        Sample((Values((2, 6)),), {"shape": (3, 4)}),
        Sample((Values((2, 3, 4)),), {"shape": (2, 12)}),
        Sample((Values((3, 1, 2)),), {"shape": (3, 2, 1)}),
        Sample((Values((0, 3)),), {"shape": (3, 0, 2)}),
        Sample((Values((2, 3)),), {"shape": (4, 2)}, error=ShapeError, match="does not reshape"),
    ),
)
