"""Reading and writing along a dim at indices of the tensor's own rank, with PyTorch's signatures.

All of them give a new tensor. Gradients flow to the tensor and to the source; of several sources written to one position
the last one stays, and it alone gets the gradient.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tracegrad.core.aval import broadcast_shapes, shape_of
from tracegrad.core.source import user_frame
from tracegrad.eager.composite import recorded_as
from tracegrad.eager.functions.arguments import fitting, one_dim
from tracegrad.eager.functions.positions import check_bounds, check_dtype, is_traced, refuse
from tracegrad.errors import DtypeError
from tracegrad.ops.along import REDUCTIONS, gather_along, scatter_along, scatter_reduce_along
from tracegrad.ops.maps import select
from tracegrad.ops.views import broadcast_to, reshape

__all__ = ["gather", "scatter", "scatter_add", "scatter_reduce", "take_along_dim"]


def _along(name: str, x: Any, dim: int, index: Any, src: Any = None) -> int:
    """The dim of an index of the tensor's rank, checked as PyTorch does."""
    place = one_dim(dim, len(shape_of(x)))
    check_dtype(name, index)
    own, shape = shape_of(index) or (1,), shape_of(x) or (1,)
    if not math.prod(own):
        return place
    if len(own) != len(shape):
        what = "input" if name == "gather" else "self"
        refuse(
            f"Index tensor must have the same number of dimensions as {what} tensor: the shapes are {shape_of(index)} and "
            f"{shape_of(x)}",
            "index.unsqueeze(...) adds a dimension, expand repeats along it",
        )
    larger = any(n > m for k, (n, m) in enumerate(zip(own, shape, strict=True)) if k != place)
    if src is None and larger:
        k = next(k for k, (n, m) in enumerate(zip(own, shape, strict=True)) if k != place and n > m)
        refuse(
            f"Size does not match at dimension {k} expected index {list(own)} to be no larger than self {list(shape)} apart "
            f"from dimension {place}",
            "shorten the index",
        )
    if src is not None:
        if src.dtype != x.dtype:
            raise DtypeError(
                f"{name}(): Expected self.dtype to be equal to src.dtype, they are {x.dtype} and {src.dtype}",
                fix="src.to(x.dtype)",
                where=user_frame(),
            )
        available = shape_of(src) or (1,)
        if len(available) != len(own) or larger or any(n > m for n, m in zip(own, available, strict=True)):
            refuse(
                f"Expected index {list(own)} to be no larger than self {list(shape)} apart from dimension {place} and to be no "
                f"larger size than src {list(available)}",
                "shorten the index, or give a larger src",
            )
    check_bounds(index, shape[place], place)
    return place


@recorded_as("GatherBackward0")
def _gathered(x: Any, index: Any, axis: int, sure: bool) -> Any:
    return gather_along(x, index, axis, trusted=sure)


def gather(input: Any, dim: int, index: Any, *, sparse_grad: bool = False) -> Any:
    """The elements at indices along a dim: ``out[i, j] = input[index[i, j], j]`` for dim 0.

    Raises PositionError for indices out of range, ShapeError for an index of another rank or too long.

    >>> from tracegrad.eager import tensor
    >>> gather(tensor([[1.0, 2.0], [3.0, 4.0]]), 1, tensor([[0, 0], [1, 0]]))
    tensor([[1., 1.],
            [4., 3.]])
    """
    place = _along("gather", input, dim, index)
    return _gathered(input, index, place, not is_traced(index))


@recorded_as("ScatterBackward0")
def _scattered(x: Any, index: Any, src: Any, axis: int, sure: bool) -> Any:
    return scatter_along(x, index, src, axis, trusted=sure)


@recorded_as("ScatterBackward1")
def _scattered_number(x: Any, index: Any, value: Any, axis: int, sure: bool) -> Any:
    return scatter_along(x, index, _repeated(value, x, index), axis, trusted=sure)


@recorded_as("ScatterBackward0")
def _scattered_into(x: Any, index: Any, src: Any, axis: int, how: str, sure: bool) -> Any:
    return scatter_reduce_along(x, index, src, axis, how, trusted=sure)


@recorded_as("ScatterBackward1")
def _scattered_number_into(x: Any, index: Any, value: Any, axis: int, how: str, sure: bool) -> Any:
    return scatter_reduce_along(x, index, _repeated(value, x, index), axis, how, trusted=sure)


def _repeated(value: Any, x: Any, index: Any) -> Any:
    """A number in the tensor's dtype, as often as there are indices."""
    return np.broadcast_to(np.asarray(value).astype(x.dtype), shape_of(index))


def scatter(
    input: Any,
    dim: int,
    index: Any,
    src: Any = None,
    *,
    value: float | None = None,
    reduce: str | None = None,
) -> Any:
    """The tensor with a source, or a number, written to indices along a dim; with ``reduce`` added or multiplied there.

    >>> from tracegrad.eager import tensor
    >>> scatter(tensor([0.0, 0.0, 0.0]), 0, tensor([2, 0]), tensor([5.0, 7.0]))
    tensor([7., 0., 5.])
    """
    src = value if src is None else src
    if src is None:
        raise TypeError('scatter() missing 1 required positional argument: "src"')
    if reduce not in (None, "add", "multiply"):
        refuse(f"reduce argument must be either add or multiply, not {reduce!r}", "use scatter_reduce for the others")
    array = hasattr(src, "dtype") and not isinstance(src, np.generic)
    if not array:
        src = fitting(src, input.dtype)
    place = _along("scatter", input, dim, index, src if array else None)
    sure = not is_traced(index)
    if reduce is None:
        return (_scattered if array else _scattered_number)(input, index, src, place, sure)
    how = "sum" if reduce == "add" else "prod"
    return (_scattered_into if array else _scattered_number_into)(input, index, src, place, how, sure)


@recorded_as("ScatterAddBackward0")
def _scattered_sum(x: Any, index: Any, src: Any, axis: int, sure: bool) -> Any:
    return scatter_reduce_along(x, index, src, axis, "sum", trusted=sure)


def scatter_add(input: Any, dim: int, index: Any, src: Any) -> Any:
    """The tensor with a source added at indices along a dim.

    >>> from tracegrad.eager import tensor
    >>> scatter_add(tensor([1.0, 1.0]), 0, tensor([0, 0]), tensor([5.0, 7.0]))
    tensor([13.,  1.])
    """
    place = _along("scatter", input, dim, index, src)
    return _scattered_sum(input, index, src, place, not is_traced(index))


@recorded_as("ScatterReduceBackward0")
def _scatter_reduced(x: Any, index: Any, src: Any, axis: int, reduce: str, include_self: bool, sure: bool) -> Any:
    return scatter_reduce_along(x, index, src, axis, reduce, include_self, trusted=sure)


def scatter_reduce(
    input: Any,
    dim: int,
    index: Any,
    src: Any,
    reduce: str,
    *,
    include_self: bool = True,
) -> Any:
    """The tensor with a source combined into it at indices along a dim.

    ``reduce`` is ``"sum"``, ``"prod"``, ``"mean"``, ``"amax"`` or ``"amin"``; equal extremes share the gradient evenly. Without
    ``include_self`` the tensor's own elements take no part where something arrives.

    >>> from tracegrad.eager import tensor
    >>> scatter_reduce(tensor([1.0, 1.0]), 0, tensor([0, 0]), tensor([5.0, 7.0]), "amax")
    tensor([7., 1.])
    """
    if reduce not in REDUCTIONS:
        refuse(f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}", 'reduce="sum"')
    place = _along("scatter", input, dim, index, src)
    return _scatter_reduced(input, index, src, place, reduce, bool(include_self), not is_traced(index))


@recorded_as("GatherBackward0")
def _taken_along(x: Any, indices: Any, axis: int, sure: bool) -> Any:
    shape, own = shape_of(x), shape_of(indices)
    rest = broadcast_shapes(
        tuple(1 if k == axis else n for k, n in enumerate(shape)), tuple(1 if k == axis else n for k, n in enumerate(own))
    )
    wanted, source = (tuple(own_shape[k] if k == axis else n for k, n in enumerate(rest)) for own_shape in (own, shape))
    indices = select(indices < 0, indices + shape[axis], indices)
    return gather_along(broadcast_to(x, source), broadcast_to(indices, wanted), axis, trusted=sure)


def take_along_dim(input: Any, indices: Any, dim: int | None = None, *, axis: int | None = None) -> Any:
    """The elements at indices along a dim, the other dims broadcast; without a dim the flat elements.

    >>> from tracegrad.eager import tensor
    >>> take_along_dim(tensor([[3.0, 1.0], [2.0, 4.0]]), tensor([[1], [0]]), dim=1)
    tensor([[1.],
            [2.]])
    """
    dim = axis if dim is None else dim
    if indices.dtype.kind not in "iu":
        raise DtypeError(
            f"torch.take_along_dim(): dtype of indices should be Long but got {indices.dtype}",
            fix="indices.to(torch.int64)",
            where=user_frame(),
        )
    if dim is None:
        size = math.prod(shape_of(input))
        check_bounds(indices, size, 0, low=-size)
        return _taken_flat_along(input, indices, not is_traced(indices))
    if len(shape_of(input)) != len(shape_of(indices)):
        refuse(
            "torch.take_along_dim(): input and indices should have the same number of dimensions, but got "
            f"{len(shape_of(input))} dimensions for input, and {len(shape_of(indices))} dimensions for indices",
            "indices.unsqueeze(...) adds a dimension",
        )
    place = one_dim(dim, len(shape_of(input)))
    check_bounds(indices, shape_of(input)[place], place, low=-shape_of(input)[place])
    return _taken_along(input, indices, place, not is_traced(indices))


@recorded_as("GatherBackward0")
def _taken_flat_along(x: Any, indices: Any, sure: bool) -> Any:
    flat = reshape(select(indices < 0, indices + math.prod(shape_of(x)), indices), (-1,))
    return gather_along(reshape(x, (-1,)), flat, 0, trusted=sure)
