"""From an op that was computed to its node on the tape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tracegrad.core.aval import Aval, broadcast_shapes
from tracegrad.core.op import Kind, Op
from tracegrad.eager.inplace import InPlace
from tracegrad.eager.residuals import plan
from tracegrad.eager.tape import Node, TapeNode, Version

Array = np.ndarray[Any, Any]


def record(
    op: Op,
    params: dict[str, Any],
    operands: Sequence[Any],
    kept: list[Any],
    sources: list[Node | None],
    result: InPlace,
) -> TapeNode | None:
    """The node of an op that was computed, None where no gradient flows through it."""
    found = plan(op, tuple(s is not None for s in sources), kept, params)
    if not found.active:
        return None
    if len(found.active) < len(sources):
        sources = [s if k in found.active else None for k, s in enumerate(sources)]
    saved: list[Any] = []
    for k in found.values:
        x = operands[k]
        if isinstance(x, InPlace) and x._array is kept[k]:
            version = x._version
            if version is None:
                version = x._version = Version()
            saved.append((kept[k], version, version.count))
        else:
            saved.append((kept[k], None, 0))
    array = result._array
    if found.out:
        version = result._own_version()
        saved.append((array, version, version.count))
    saved.extend(Aval(kept[k].shape, kept[k].dtype) for k in found.shapes)
    return TapeNode(op, params, tuple(sources), found, tuple(saved), array.shape, array.dtype)


def share_version(result: InPlace, operands: Sequence[Any]) -> None:
    """Let a view count writes together with what it shows."""
    for x in operands:
        if isinstance(x, InPlace) and np.may_share_memory(result._array, x._array):
            result._version = x._own_version()
            result._version.viewed = True


def explain(op: Op, arrays: Sequence[Array], params: Mapping[str, Any]) -> None:
    """Raise the op's own error for operands that NumPy refused, if its shape rule knows one."""
    avals = [Aval(x.shape, x.dtype) for x in arrays]
    if op.kind is Kind.MAP:
        shape = broadcast_shapes(*(a.shape for a in avals))
        avals = [Aval(shape, a.dtype) for a in avals]
    op.infer(*avals, **params)
