"""Tensors that look at the storage of another: how their history follows writes to either.

A view knows its base and the ops that lead from it. A recorded write to the base gives the base a new history, and the
view replays its ops on it when it is next asked; a recorded write to the view becomes a functional update of the base,
as an assignment in a traced function does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tracegrad.core.op import Op
from tracegrad.eager.modes import enable_grad, recording
from tracegrad.eager.nodes import OpNode, Version
from tracegrad.ops.aliasing import WRITES, Step

if TYPE_CHECKING:
    from tracegrad.eager.tensor import Tensor


@dataclass(slots=True)
class View:
    """Where a view looks at: its base, the ops that lead there, and the history of the base that it has followed.

    ``recorded`` is False for a view made in ``no_grad``, whose writes cannot become part of a record.
    """

    base: Tensor
    path: tuple[Step, ...]
    rebased: int
    recorded: bool


def note_view(result: Tensor, op: Op, params: Mapping[str, Any], operands: Sequence[Any]) -> None:
    """Let a result that shares memory with an operand share its version, and know where it looks at."""
    x = operands[0]
    array, shown = getattr(x, "_array", None), result._array
    if array is None or shown.base is None:
        return
    if shown.base is not array and shown.base is not array.base and op in WRITES:
        return  # NumPy had to copy
    version = x._counter
    if version is None:
        version = x._counter = Version()
    result._counter = version
    result._inference = x._inference
    if op in WRITES:
        step = Step(op, params, array.shape)
        known = x._view
        base, path = (x, (step,)) if known is None else (known.base, (*known.path, step))
        result._view = View(base, path, version.rebased, recording.get() if known is None else known.recorded)


def follow(view: Tensor) -> None:
    """Give a view the history that its base has by now."""
    where = view._view
    assert where is not None
    assert view._counter is not None
    if where.rebased == view._counter.rebased:
        return
    base = where.base
    if not base.requires_grad:
        view._source, view._slot = None, 0
    else:
        with enable_grad():
            replayed: Any = base
            for step in where.path:
                replayed = step.op(replayed, **step.params)
        view._source, view._slot = replayed._source, replayed._slot
    where.rebased = view._counter.rebased


def rewrite_base(view: Tensor, result: Tensor) -> None:
    """Make the history of ``result``, just written into a view, part of the base's."""
    where = view._view
    assert where is not None
    assert view._counter is not None
    base = where.base
    with enable_grad():
        operands: list[Any] = [base.detached_handle()]
        for step in where.path[:-1]:
            operands.append(step.op(operands[-1], **step.params))
        value: Any = result
        for step, operand in zip(reversed(where.path), reversed(operands), strict=True):
            value = WRITES[step.op](_apply, step, operand, value)
    base._source, base._slot = value._source, value._slot
    if isinstance(base._source, OpNode):
        base._source.label = "CopySlices"
    view._counter.rebased += 1
    follow(view)


def _apply(op: Op, operands: tuple[Any, ...], params: Mapping[str, Any]) -> Any:
    return op(*operands, **params)
