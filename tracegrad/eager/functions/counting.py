"""Searching sorted sequences, distinct elements and counts with PyTorch's signatures.

What depends on values by its shape cannot be traced; indices and counts carry no gradient.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tracegrad.core.aval import shape_of
from tracegrad.core.source import user_frame
from tracegrad.eager.composite import recorded_as
from tracegrad.eager.functions.arguments import one_dim, tensor_like, values_of
from tracegrad.errors import DtypeError, ShapeError
from tracegrad.ops import sorting
from tracegrad.ops.along import gather_along
from tracegrad.ops.indexing import gather
from tracegrad.ops.maps import cast
from tracegrad.ops.views import reshape

__all__ = ["bincount", "bucketize", "histc", "searchsorted", "unique", "unique_consecutive"]

# -- searching --------------------------------------------------------------------------------------------------------


def searchsorted(
    sorted_sequence: Any,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Any = None,
) -> Any:
    """Where values belong in a sorted sequence, or in the row of it with the same place.

    >>> from tracegrad.eager import tensor
    >>> searchsorted(tensor([1.0, 3.0, 5.0]), tensor([3.0, 6.0]))
    tensor([1, 3])
    """
    if side not in (None, "left", "right") or (side == "left" and right):
        problem = f"side can only be 'left' or 'right' but got {side}"
        if side == "left":
            problem = "side and right can't be set to opposites, got side of left while right was True"
        raise ShapeError(f"torch.searchsorted(): {problem}", fix='side="right" alone', where=user_frame())
    if not shape_of(sorted_sequence):
        raise ShapeError(
            "torch.searchsorted(): boundaries tensor should have positive dimension, but got 0 dimension",
            fix="give a vector of boundaries",
            where=user_frame(),
        )
    if sorter is not None:
        sorted_sequence = gather_along(sorted_sequence, sorter, len(shape_of(sorted_sequence)) - 1)
    found = sorting.search(sorted_sequence, input, right=bool(right) or side == "right")
    return cast(found, dtype=np.dtype(np.int32)) if out_int32 else found


def bucketize(input: Any, boundaries: Any, *, out_int32: bool = False, right: bool = False) -> Any:
    """The number of the bucket between boundaries that each element falls into.

    >>> from tracegrad.eager import tensor
    >>> bucketize(tensor([0.5, 2.0]), tensor([1.0, 2.0]))
    tensor([0, 1])
    """
    if len(shape_of(boundaries)) != 1:
        raise ShapeError(
            f"boundaries tensor must be 1 dimension, but got dim({len(shape_of(boundaries))})",
            fix="give a vector of boundaries, or use searchsorted for one row of them per row of values",
            where=user_frame(),
        )
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)


# -- what occurs, and how often ---------------------------------------------------------------------------------------


@recorded_as("Unique2Backward0")
def _picked(x: Any, positions: Any) -> Any:
    return gather(reshape(x, (-1,)), positions, axis=0)


@recorded_as("UniqueDimBackward0")
def _picked_along(x: Any, positions: Any, axis: int) -> Any:
    return gather(x, positions, axis=axis)


@recorded_as("UniqueConsecutiveBackward0")
def _picked_runs(x: Any, positions: Any) -> Any:
    return gather(reshape(x, (-1,)), positions, axis=0)


def _distinct(x: Any, adjacent: bool, axis: int | None) -> tuple[Any, Any, Any]:
    """Where the distinct elements, or slices along an axis, first occur; which of them each is; how often they occur."""
    line = x.reshape(-1) if axis is None else np.moveaxis(x, axis, 0)
    if adjacent:
        fresh = np.ones(len(line), bool)
        fresh[1:] = (line[1:] != line[:-1]).any(tuple(range(1, line.ndim)))
        first = np.flatnonzero(fresh)
        inverse, counts = np.cumsum(fresh) - 1, np.diff(np.append(first, len(line)))
    else:
        _, first, inverse, counts = np.unique(
            line, return_index=True, return_inverse=True, return_counts=True, axis=None if axis is None else 0, equal_nan=False
        )
    return first, inverse.reshape(x.shape if axis is None else -1), counts


def _unique(x: Any, adjacent: bool, return_inverse: bool, return_counts: bool, dim: int | None) -> Any:
    name = "unique_consecutive" if adjacent else "unique"
    place = None if dim is None else one_dim(dim, len(shape_of(x)))
    first, inverse, counts = _distinct(values_of(x, name), adjacent, place)
    positions = tensor_like(first, x)
    if place is not None:
        values = _picked_along(x, positions, place)
    else:
        values = _picked_runs(x, positions) if adjacent else _picked(x, positions)
    found = [values]
    if return_inverse:
        found.append(tensor_like(inverse, x))
    if return_counts:
        found.append(tensor_like(counts, x))
    return tuple(found) if len(found) > 1 else values


def unique(
    input: Any,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The distinct elements, or slices along a dim, in order; on request which of them each element is, and how often.

    Raises TraceError for a traced tensor, as the result's shape depends on values.

    >>> from tracegrad.eager import tensor
    >>> unique(tensor([3, 1, 3]), return_counts=True)
    (tensor([1, 3]), tensor([1, 2]))
    """
    return _unique(input, False, return_inverse, return_counts, dim)


def unique_consecutive(
    input: Any,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The elements, or slices along a dim, without repetitions of the one before.

    >>> from tracegrad.eager import tensor
    >>> unique_consecutive(tensor([1, 1, 2, 1]))
    tensor([1, 2, 1])
    """
    return _unique(input, True, return_inverse, return_counts, dim)


def bincount(input: Any, weights: Any = None, minlength: int = 0) -> Any:
    """How often each of 0, 1, 2, … occurs, or the sum of the weights where it does; no gradient flows.

    >>> from tracegrad.eager import tensor
    >>> bincount(tensor([1, 2, 2]))
    tensor([0, 1, 2])
    """
    numbers = values_of(input, "bincount")
    shares = None if weights is None else values_of(weights, "bincount")
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu" or (numbers.size and numbers.min() < 0):
        raise ShapeError(
            f"bincount only supports 1-d non-negative integral inputs, this one is {numbers.dtype} of shape {numbers.shape}",
            fix="flatten it, cast it to int64, and shift it to start at 0",
            where=user_frame(),
        )
    if shares is not None and shares.shape != numbers.shape:
        raise ShapeError(
            f"weights should be 1-d and have the same length as input: {shares.shape} and {numbers.shape}",
            fix="give one weight per element",
            where=user_frame(),
        )
    if minlength < 0:
        raise ShapeError(f"minlength should be >= 0, it is {minlength}", fix="minlength=0", where=user_frame())
    total = np.bincount(numbers, shares, minlength)
    if shares is not None and shares.dtype == np.float32:
        total = total.astype(np.float32)
    return tensor_like(total, input)


def histc(input: Any, bins: int = 100, min: float = 0, max: float = 0) -> Any:
    """How many elements fall into each of equal bins; equal bounds stand for the extremes. No gradient flows.

    >>> from tracegrad.eager import tensor
    >>> histc(tensor([1.0, 2.0, 1.0]), bins=4, min=0, max=3)
    tensor([0., 2., 1., 0.])
    """
    if input.dtype.kind != "f":
        raise DtypeError(f"histc is not implemented for {input.dtype}", fix="x.to(torch.float32)", where=user_frame())
    if bins < 1:
        raise ShapeError(f"torch.histc(): bins must be > 0, but got {bins}", fix="bins=100", where=user_frame())
    if max < min:
        raise ShapeError("torch.histc: max must be larger than min", fix="exchange them", where=user_frame())
    return sorting.histogram(input, bins=int(bins), low=float(min), high=float(max))
