"""Checks of indices, in PyTorch's words."""

from __future__ import annotations

from typing import Any

from tracegrad.core.source import user_frame
from tracegrad.eager.functions.arguments import values_of
from tracegrad.errors import DtypeError, ShapeError, TracegradError
from tracegrad.ops.sources import TRACED


class PositionError(TracegradError, IndexError, RuntimeError):
    """An index that the tensor does not have: PyTorch's IndexError, of some functions its RuntimeError."""


def is_traced(x: Any) -> bool:
    """Whether the values are not known while the code runs."""
    return getattr(x, "bind_rank", 0) >= TRACED


def check_dtype(name: str, index: Any) -> None:
    """Raise DtypeError unless the index is of integers."""
    if index.dtype.kind not in "iu":
        raise DtypeError(
            f"{name}(): Expected dtype int32/int64 for index, it is {index.dtype}",
            fix="index.to(torch.int64)",
            where=user_frame(),
        )


def check_bounds(index: Any, size: int, dim: int, *, low: int = 0, name: str = "") -> None:
    """Raise PositionError unless all indices lie in ``[low, size)``; traced ones are checked when they are used."""
    if is_traced(index):
        return
    values = values_of(index, "index")
    if values.size and (values.min() < low or values.max() >= size):
        wrong = values[(values < low) | (values >= size)].flat[0]
        raise PositionError(
            f"{name}index {wrong} is out of bounds for dimension {dim} with size {size}",
            fix=f"indices along this dimension lie between {low} and {size - 1}",
            where=user_frame(),
        )


def refuse(message: str, fix: str) -> None:
    """Raise ShapeError with the user's line."""
    raise ShapeError(message, fix=fix, where=user_frame())
