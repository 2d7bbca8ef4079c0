"""Where the first value that is not finite comes from: the check of each node while a graph is interpreted."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

import numpy as np

from tracegrad.core.graph import Graph, Node
from tracegrad.errors import NonFiniteError

watching: ContextVar[bool] = ContextVar("watching", default=False)
"""Whether values are checked as they are computed."""


def _first(value: Any) -> tuple[int, ...] | None:
    """The position of the first element that is not finite; None where there is none."""
    array = np.asarray(value)
    if array.dtype.kind not in "fc":
        return None
    bad = ~np.isfinite(array)
    return tuple(int(k) for k in np.unravel_index(int(np.argmax(bad)), bad.shape)) if bad.any() else None


def _shown(value: Any, index: tuple[int, ...]) -> str:
    """An operand: the element at the position of the result where shapes allow, else shape and range."""
    array = np.asarray(value)
    if array.ndim <= len(index) and all(k < n for k, n in zip(index[len(index) - array.ndim :], array.shape, strict=True)):
        return str(array[index[len(index) - array.ndim :]])
    return f"{array.dtype}{list(array.shape)} from {array.min()} to {array.max()}" if array.size else f"empty {array.dtype}"


def check_finite(graph: Graph, node: Node, value: Any, operands: Sequence[Any]) -> None:
    """Raise NonFiniteError where a node's value is not finite and all of its operands are.

    Raises it for an argument with NaN too; infinities that were given are no error.
    """
    index = _first(value)
    if index is None:
        return
    if not node.inputs:
        if "position" not in node.params or not np.isnan(value).any():
            return
        index = tuple(int(k) for k in np.argwhere(np.isnan(value))[0])
        what = f"the argument {node.params.get('name') or node.params['position']}"
    elif any(_first(operand) is not None for operand in operands):
        return
    else:
        values = graph.ancestors(graph.outputs[: graph.primal_outputs]) if graph.primal_outputs else None
        what = f"{node.op.name}, in a cotangent," if values is not None and node.id not in values else node.op.name
    place = f" at index {index}" if index else ""
    given = f", of {' and '.join(_shown(operand, index) for operand in operands)}" if operands else ""
    raise NonFiniteError(
        f"{what} is {np.asarray(value)[index]}{place}{given}",
        fix="keep its operands where it is defined, np.where(ok, x, 1.0) before it and np.where(ok, y, 0.0) behind it",
        where=node.where,
    )
