"""Ops without operands: inputs, constants and running indices."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracegrad.core.aval import Aval, Shape
from tracegrad.core.counted import Counted
from tracegrad.core.extent import Extent
from tracegrad.core.graph import Constant
from tracegrad.core.op import Kind, Op, Stacked, keep

TRACED = 2
"""The ``bind_rank`` of traced values, which have a graph for nodes without operands."""


def _unbound(**params: Any) -> Any:
    raise AssertionError("an input node has no value of its own: the interpreter binds it to an argument")


input = Op(  # noqa: A001
    name="input",
    kind=Kind.INPUT,
    infer=lambda *, position, aval, name="", whole=None: aval,
    promote=keep,
    eager=_unbound,
    partials=(),
    batch=Stacked(),
    lower=None,
    numpy=(),
    torch=("", ""),
    doc="Argument number ``position`` of the program, ``name`` to the user; pairs of reals are of dtype ``whole`` outside.",
    samples=(),
)

lane = Op(
    name="lane",
    kind=Kind.INPUT,
    infer=lambda *, position, aval: aval,
    promote=keep,
    eager=_unbound,
    partials=(),
    batch=Stacked(),
    lower=None,
    numpy=(),
    torch=("", ""),
    doc="One element of an axis that a function is mapped over, while it is traced; no finished graph has one.",
    samples=(),
)

LANES = 1 << 40
"""The first ``position`` of lanes: no program has as many inputs, and nobody can read the value of one."""

DRAWS = 1 << 39
"""The first ``position`` of random numbers while a function is traced; they come behind its arguments in the finished graph."""

constant = Op(
    name="constant",
    kind=Kind.CONSTANT,
    infer=lambda *, value: Aval(value.value.shape, value.value.dtype),
    promote=keep,
    eager=lambda *, value: value.value[()],
    partials=(),
    batch=Stacked(),
    lower=None,
    numpy=(),
    torch=("", ""),
    doc="A value known when the graph was built.",
    samples=(),
)

iota = Op(
    name="iota",
    kind=Kind.IOTA,
    infer=lambda *, size: Aval((size,), np.dtype(np.int64)),
    promote=keep,
    eager=lambda *, size: np.arange(size, dtype=np.int64),
    partials=(),
    batch=Stacked(),
    lower=None,
    numpy=(),
    torch=("", ""),
    doc="The integers 0, 1, …, size - 1.",
    samples=(),
)


def literal(value: Any, dtype: Any = None) -> Constant:
    """A constant's parameter: a private read-only copy of the value."""
    array = np.array(value, dtype=dtype)
    array.flags.writeable = False
    if isinstance(value, (Counted, Extent)):
        seen = np.array(value.seen, dtype=array.dtype)
        seen.flags.writeable = False
        return Constant(array, seen)
    return Constant(array)


def zeros_shape(shape: Shape, dtype: Any) -> np.ndarray[Any, Any]:
    """Zeros that occupy one element of memory: constant operands of rules."""
    return np.broadcast_to(np.zeros((), dtype), shape)


def running_index(size: int, *like: Any) -> Any:
    """The integers 0 … size - 1 as a value that fits the others: a node of their graph if one of them is traced."""
    for value in like:
        if getattr(value, "bind_rank", 0) >= TRACED:
            return value.bind_op(iota, (), {"size": size})
    return iota(size=size)


def known(x: Any, given: bool = True) -> np.ndarray[Any, Any] | None:
    """The elements of a value as an array, None where they are not known while tracing.

    ``given`` says that something else will do in their place, so that no argument becomes structure for their sake.

    >>> known(np.array([1, 2]))
    array([1, 2])
    """
    rank = getattr(x, "bind_rank", 0)
    if rank < TRACED:
        return np.asarray(x.numpy() if rank else x)
    value = x.recorder.constant_value(x.id) if given else x.recorder.concrete(x.id)
    return None if value is None else np.asarray(value)
