"""What functions along one dim share: the dim in either spelling, 0-d tensors as lines of one, results of a reduction."""

from __future__ import annotations

from typing import Any

from tracegrad.core.aval import shape_of
from tracegrad.core.source import user_frame
from tracegrad.eager.functions.arguments import DimensionError, one_dim
from tracegrad.ops.sorting import drop
from tracegrad.ops.views import reshape

Pair = tuple[Any, Any]


def place_of(name: str, x: Any, dim: int | None, axis: int | None) -> int:
    """The one dim of a function that needs one, in either spelling."""
    chosen = axis if dim is None else dim
    if chosen is None:
        raise TypeError(f'{name}() missing 1 required positional arguments: "dim"')
    return one_dim(chosen, len(shape_of(x)))


def line_of(x: Any) -> Any:
    """The tensor itself, or the one element of a 0-d tensor as a vector."""
    return x if shape_of(x) else reshape(x, (1,))


def restored(x: Any, made: Any) -> Any:
    """What was made of a 0-d tensor without the dim it got."""
    return made if shape_of(x) else reshape(made, ())


def restored_pair(x: Any, made: Pair) -> Pair:
    """Values and positions of a 0-d tensor without the dim it got."""
    return restored(x, made[0]), restored(x, made[1])


def reduced_pair(x: Any, made: Pair, axis: int, keep: bool) -> Pair:
    """Values and positions along one dim, which is kept or dropped."""
    return restored_pair(x, made if keep else drop(made, axis))


def refuse_empty(name: str, x: Any, axis: int) -> None:
    """Raise DimensionError for a dim without elements, of which there is no value to choose."""
    if shape_of(x) and not shape_of(x)[axis]:
        raise DimensionError(
            f"{name}(): Expected reduction dim {axis} to have non-zero size, the input has shape {shape_of(x)}",
            fix="ask x.numel() before",
            where=user_frame(),
        )
