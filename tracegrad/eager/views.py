"""Tensors that look at the storage of another: how their history follows writes to either.

A view knows its base and the ops that lead from it. A recorded write to the base gives the base a new history, and the
view replays its ops on it when it is next asked; a recorded write to the view becomes a functional update of the base,
as an assignment in a traced function does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tracegrad.core.aval import Shape
from tracegrad.core.op import Op
from tracegrad.core.source import user_frame
from tracegrad.eager.modes import enable_grad, recording
from tracegrad.eager.nodes import OpNode, Version
from tracegrad.errors import TapeError
from tracegrad.ops.aliasing import WRITES, Step
from tracegrad.ops.views import reverse

if TYPE_CHECKING:
    from tracegrad.eager.tensor import Tensor


class View:
    """Where a view looks at.

    Parameters
    ----------
    base: the tensor whose storage it shares.
    path: the ops that lead there, each with its parameters and the shape of its operand.
    origin: the base's array when the path began there.
    rebased: the history of the base that it has followed.
    piece: of one of several views that one node made, which one it is: these are not written to.
    recorded: False for a view made in ``no_grad``, whose writes cannot become part of a record.
    """

    __slots__ = ("base", "origin", "path", "piece", "rebased", "recorded")

    def __init__(
        self, base: Tensor, path: tuple[tuple[Op, Mapping[str, Any], Shape], ...], rebased: int, recorded: bool
    ) -> None:
        self.base = base
        self.origin = base._array
        self.path = path
        self.rebased = rebased
        self.recorded = recorded
        self.piece = ""


def note_view(result: Tensor, op: Op, params: Mapping[str, Any], x: Any) -> None:
    """Let a result that shares memory with the first operand share its version, and know where it looks at."""
    shown = result._array
    if op is reverse:
        result._array = shown.copy()  # PyTorch's flip is one
        return
    array, held = getattr(x, "_array", None), shown.base
    if array is None or held is None:
        return
    writes = op in WRITES
    if writes and held is not array and held is not array.base:
        return  # NumPy had to copy
    version = x._counter
    if version is None:
        version = x._counter = Version()
    result._counter = version
    if x._inference:
        result._inference = True
    if writes:
        known = x._view
        if known is None:
            result._view = View(x, ((op, params, array.shape),), version.rebased, recording.get())
        else:
            result._view = View(known.base, (*known.path, (op, params, array.shape)), version.rebased, known.recorded)
            result._view.piece, result._view.origin = known.piece, known.origin


def follow(view: Tensor) -> None:
    """Give a view the history that its base has by now."""
    where = view._view
    assert where is not None
    assert view._counter is not None
    if where.rebased == view._counter.rebased:
        return
    base = where.base
    _check_shown(where)
    if not base.requires_grad:
        view._source, view._slot = None, 0
    else:
        with enable_grad():
            replayed: Any = base
            for op, params, _ in where.path:
                replayed = op(replayed, **params)
        view._continue_from(replayed)
    where.rebased = view._counter.rebased


def _check_shown(where: View) -> None:
    """Raise TapeError if the base was turned or given another shape since, so that the path leads elsewhere."""
    if where.base._array is not where.origin:
        raise TapeError(
            "the history of this view cannot be followed: the tensor it is a view of was given another shape in place, or "
            "other data",
            fix="take the view after x.t_(), x.unsqueeze_() or x.data = ..., or write x = x.t()",
            where=user_frame(),
        )


def rewrite_base(view: Tensor, result: Tensor) -> None:
    """Make the history of ``result``, just written into a view, part of the base's."""
    where = view._view
    assert where is not None
    assert view._counter is not None
    base = where.base
    _check_shown(where)
    with enable_grad():
        operands: list[Any] = [base.detached_handle()]
        for op, params, _ in where.path[:-1]:
            operands.append(op(operands[-1], **params))
        value: Any = result
        for (op, params, shape), operand in zip(reversed(where.path), reversed(operands), strict=True):
            value = WRITES[op](_apply, Step(op, params, shape), operand, value)
    base._continue_from(value)
    if isinstance(base._source, OpNode):
        base._source.label = "CopySlices"
    view._counter.rebased += 1
    follow(view)


def _apply(op: Op, operands: tuple[Any, ...], params: Mapping[str, Any]) -> Any:
    return op(*operands, **params)
