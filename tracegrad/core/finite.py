"""Where the first value that is not finite comes from: the check of each node while a graph is interpreted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

import numpy as np

from tracegrad.core.graph import Graph, Node
from tracegrad.core.source import user_frame
from tracegrad.errors import Frame, NonFiniteError

watching: ContextVar[bool] = ContextVar("watching", default=False)
"""Whether values are checked as they are computed."""
_FIX = "keep its operands where it is defined, np.where(ok, x, 1.0) before it and np.where(ok, y, 0.0) behind it"


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


def check_computed(name: Callable[[], str], value: Any, operands: Sequence[Any]) -> None:
    """Raise NonFiniteError where what an op has computed at once is not finite and all of its operands are.

    ``name()`` gives the op's name, which is asked for then only.
    """
    index = _first(value)
    given = [x for x in operands if isinstance(x, (np.ndarray, np.generic, int, float, complex))]
    if index is None or any(_first(x) is not None for x in given):
        return
    place = f" at index {index}" if index else ""
    of = f", of {' and '.join(_shown(x, index) for x in given)}" if given else ""
    raise NonFiniteError(f"{name()} is {np.asarray(value)[index]}{place}{of}", fix=_FIX, where=user_frame())


def check_cotangent(name: str, value: Any, where: Frame | None) -> None:
    """Raise NonFiniteError where a cotangent that a node of the tape has computed is not finite."""
    index = _first(value)
    if index is not None:
        place = f" at index {index}" if index else ""
        raise NonFiniteError(f"{name}, in a cotangent, is {np.asarray(value)[index]}{place}", fix=_FIX, where=where)


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
        fix=_FIX,
        where=node.where,
    )
