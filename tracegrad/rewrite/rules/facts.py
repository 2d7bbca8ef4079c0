"""What rules ask about traced values."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracegrad.core.aval import Shape
from tracegrad.core.graph import Node
from tracegrad.core.op import Kind
from tracegrad.ops.broadcasting import broadcast
from tracegrad.ops.views import reshape
from tracegrad.symbolic import Sym


def made_by(x: Sym) -> Node:
    """The node behind a traced value."""
    return x.recorder.graph[x.id]


def unstretched(x: Sym) -> Sym:
    """The value that was stretched to this one, or the value itself."""
    node = made_by(x)
    while node.op is broadcast:
        x = Sym(x.recorder, node.inputs[0])
        node = made_by(x)
    return x


def is_constant(x: Sym) -> bool:
    """Whether a value is a constant, stretched or not."""
    return made_by(unstretched(x)).op.kind is Kind.CONSTANT


def value_of(x: Sym) -> Any:
    """The array of a constant, before it was stretched."""
    return made_by(unstretched(x)).params["value"].number


def with_leading_axes(x: Sym, ndim: int) -> Sym:
    """The value with as many leading axes of size 1 as make it ``ndim``-dimensional."""
    missing: Shape = (1,) * (ndim - len(x.shape))
    return x if not missing else reshape(x, missing + tuple(x.shape))


def constant_like(x: Sym, value: Any, shape: Shape) -> Sym:
    """A constant of one value with the dtype of ``x``."""
    return x.recorder.operand(np.broadcast_to(np.asarray(value, x.dtype), shape))
