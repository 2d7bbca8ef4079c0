"""The one door through which every op application passes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tracegrad.core.source import user_frame
from tracegrad.errors import TracegradError

if TYPE_CHECKING:
    from tracegrad.core.op import Op


def bind(op: Op, /, *operands: Any, **params: Any) -> Any:
    """Apply an op to operands: arrays are computed at once, a Tensor records on its tape, a Sym grows its graph.

    The operand whose class has the highest ``bind_rank`` decides, through its method ``bind_op(op, operands, params)``;
    so core knows neither class. An error of the op's own checks leaves here with the user's file and line.
    """
    if len(operands) == 1:
        chosen = operands[0] if hasattr(operands[0], "bind_rank") else None
    else:
        chosen, rank = None, 0
        for operand in operands:
            r = getattr(operand, "bind_rank", 0)
            if r > rank:
                chosen, rank = operand, r
    try:
        if chosen is not None:
            return chosen.bind_op(op, operands, params)
        return op.eager(*operands, **params)
    except TracegradError as error:
        if error.where is None:
            raise error.at(user_frame()) from None
        raise
