"""From an op that was computed to its node on the tape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tracegrad.core.aval import Aval, broadcast_shapes
from tracegrad.core.op import Kind, Op
from tracegrad.core.source import user_frame
from tracegrad.eager.anomaly import detecting
from tracegrad.eager.inplace import InPlace
from tracegrad.eager.misuse import sizes_differ
from tracegrad.eager.nodes import FIRST, Node, OpNode, Version
from tracegrad.eager.residuals import Outline, Plan
from tracegrad.errors import ShapeError, TapeError

Array = np.ndarray[Any, Any]


def record(
    op: Op,
    params: dict[str, Any],
    found: Plan,
    operands: Sequence[Any],
    kept: Sequence[Any],
    sources: Sequence[Node | None],
    slots: Sequence[int] | None,
    result: InPlace,
) -> OpNode:
    """The node of an op that was computed.

    ``found`` is its plan, ``kept`` are the operands' arrays as they were computed with, ``sources`` and ``slots`` say where
    their cotangents go; ``slots`` is None if all are 0.
    """
    saved: list[Any] = []
    for k in found.values:
        x = operands[k]
        array = kept[k]
        if isinstance(x, InPlace) and x._array is array:
            if x._inference:
                raise _inference_saved()
            version = x._counter
            if version is None:
                version = x._counter = Version()
            saved.append((array, version, version.count))
        else:
            saved.append((array, None, 0))
    array = result._array
    if found.out:
        version = result._counter
        if version is None:
            version = result._counter = Version()
        saved.append((array, version, version.count))
    outlines = found.outlines
    if outlines is None:
        outlines = tuple([Outline(kept[k].shape, kept[k].dtype) for k in found.shapes]) if found.shapes else ()
    if outlines:
        saved += outlines
    count = len(sources)
    if len(found.active) < count:
        sources = [s if k in found.active else None for k, s in enumerate(sources)]
    where = FIRST[count] if slots is None and count < len(FIRST) else tuple(slots or [0] * count)
    node = OpNode(op, params, tuple(sources), where, found, saved, array.shape, array.dtype)
    if detecting():
        node.where = user_frame()
    return node


def record_alone(
    op: Op,
    params: dict[str, Any],
    found: Plan,
    x: InPlace,
    source: Node,
    result: InPlace,
) -> OpNode:
    """``record`` of an op of one tensor, short where none of its values is kept."""
    slots = (x._slot,) if x._slot else FIRST[1]
    outlines = found.outlines
    if outlines is None or found.out or found.values:
        return record(op, params, found, (x,), (x._array,), (source,), slots, result)
    array = result._array
    node = OpNode(op, params, (source,), slots, found, outlines, array.shape, array.dtype)
    if detecting():
        node.where = user_frame()
    return node


def _inference_saved() -> TapeError:
    return TapeError(
        "Inference tensors cannot be saved for backward. Please do not use Tensors created in inference mode in computation "
        "tracked by autograd.",
        fix="make a clone outside inference_mode(), x = x.clone(), and use it in its place",
    )


def explain(op: Op, arrays: Sequence[Array], params: Mapping[str, Any]) -> None:
    """Raise the op's own error for operands that NumPy refused, if its shape rule knows one."""
    avals = [Aval(x.shape, x.dtype) for x in arrays]
    if op.kind is Kind.MAP:
        try:
            shape = broadcast_shapes(*(a.shape for a in avals))
        except ShapeError:
            raise sizes_differ([a.shape for a in avals]) from None
        avals = [Aval(shape, a.dtype) for a in avals]
    op.infer(*avals, **params)
