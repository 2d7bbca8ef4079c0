"""Functions that repeat elements, and what goes with repetition: windows and sums back to a size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracegrad.core.aval import broadcast_shapes as common_shape
from tracegrad.core.aval import one_int, shape_of
from tracegrad.core.source import user_frame
from tracegrad.eager.composite import recorded_as
from tracegrad.eager.functions.arguments import counts_of, one_dim, sizes_of, tensor_like, values_of
from tracegrad.eager.functions.shapes import flatten, numel, unsqueeze, view
from tracegrad.eager.size import Size
from tracegrad.errors import DtypeError, ShapeError
from tracegrad.ops import assembly
from tracegrad.ops.broadcasting import broadcast, sum_to
from tracegrad.ops.indexing import take
from tracegrad.ops.maps import copy
from tracegrad.ops.views import permute, windows

__all__ = [
    "broadcast_shapes",
    "broadcast_tensors",
    "broadcast_to",
    "expand",
    "expand_as",
    "meshgrid",
    "repeat",
    "repeat_interleave",
    "sum_to_size",
    "tile",
    "unfold",
]


def expand(input: Any, *sizes: Any) -> Any:
    """Dims of size 1, and new ones in front, repeated without a copy; -1 keeps a size.

    >>> from tracegrad.eager import tensor
    >>> expand(tensor([[1.0], [2.0]]), -1, 2)
    tensor([[1., 1.],
            [2., 2.]])
    """
    shape, wanted = shape_of(input), sizes_of(sizes)
    lead = len(wanted) - len(shape)
    if lead < 0:
        raise ShapeError(
            f"expand: the number of sizes provided ({len(wanted)}) must be greater or equal to the number of dimensions in the "
            f"tensor ({len(shape)})",
            fix="give a size for every dim; -1 keeps it",
            where=user_frame(),
        )
    full = tuple(shape[k - lead] if n == -1 and k >= lead else n for k, n in enumerate(wanted))
    for k, n in enumerate(shape):
        if n not in (1, full[lead + k]):
            raise ShapeError(
                f"The expanded size of the tensor ({full[lead + k]}) must match the existing size ({n}) at non-singleton "
                f"dimension {lead + k}.  Target sizes: {list(wanted)}.  Tensor sizes: {list(shape)}",
                fix="only dims of size 1 are repeated",
                where=user_frame(),
            )
    if -1 in full:
        raise ShapeError(
            f"The expanded size of the tensor (-1) isn't allowed in a leading, non-existing dimension {full.index(-1)}",
            fix="give the sizes of new dims",
            where=user_frame(),
        )
    return broadcast(input, shape=full)


def expand_as(input: Any, other: Any) -> Any:
    """``expand`` to the shape of another tensor.

    >>> from tracegrad.eager import tensor
    >>> expand_as(tensor([1.0]), tensor([1.0, 2.0]))
    tensor([1., 1.])
    """
    return expand(input, shape_of(other))


def broadcast_to(input: Any, size: Sequence[int]) -> Any:
    """``expand`` to a shape.

    >>> from tracegrad.eager import tensor
    >>> broadcast_to(tensor([1.0, 2.0]), (2, 2))
    tensor([[1., 2.],
            [1., 2.]])
    """
    return expand(input, size)


def broadcast_shapes(*shapes: Any) -> Size:
    """The shape that tensors of these shapes have together.

    >>> broadcast_shapes((2,), (3, 1))
    torch.Size([3, 2])
    """
    return Size(common_shape(*((n,) if isinstance(n, int) else tuple(n) for n in shapes)))


def broadcast_tensors(*tensors: Any) -> tuple[Any, ...]:
    """Tensors expanded to the shape they have together.

    >>> from tracegrad.eager import tensor
    >>> [x.shape for x in broadcast_tensors(tensor([1.0, 2.0]), tensor([[1.0]]))]
    [torch.Size([1, 2]), torch.Size([1, 2])]
    """
    given = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors
    shape = common_shape(*(shape_of(x) for x in given))
    return tuple(expand(x, shape) for x in given)


@recorded_as("RepeatBackward0")
def _tiled(x: Any, counts: tuple[int, ...]) -> Any:
    tiled = assembly.tile(x, counts)
    return copy(tiled) if 1 not in counts or all(n == 1 for n in counts) else tiled


def repeat(input: Any, *sizes: Any) -> Any:
    """The tensor side by side with itself, so often along each dim.

    >>> from tracegrad.eager import tensor
    >>> repeat(tensor([1.0, 2.0]), 2)
    tensor([1., 2., 1., 2.])
    """
    counts = counts_of(sizes)
    if len(counts) < len(shape_of(input)):
        raise ShapeError(
            "Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor: "
            f"{len(counts)} counts for shape {shape_of(input)}",
            fix="give one count per dim; torch.tile fills them up with 1",
            where=user_frame(),
        )
    return _tiled(input, counts)


def tile(input: Any, *dims: Any) -> Any:
    """The tensor side by side with itself; missing counts are 1.

    >>> from tracegrad.eager import tensor
    >>> tile(tensor([[1.0], [2.0]]), (2,))
    tensor([[1., 1.],
            [2., 2.]])
    """
    counts = counts_of(dims)
    missing = len(shape_of(input)) - len(counts)
    return _tiled(input, (1,) * max(missing, 0) + counts)


def repeat_interleave(input: Any, repeats: Any, dim: int | None = None, *, output_size: int | None = None) -> Any:
    """Each element repeated, all equally often or by a count per element.

    >>> from tracegrad.eager import tensor
    >>> repeat_interleave(tensor([1.0, 2.0]), 2)
    tensor([1., 1., 2., 2.])
    """
    x = flatten(input) if dim is None else input
    place = one_dim(0 if dim is None else dim, len(shape_of(x)))
    count = shape_of(x)[place]
    number = one_int(repeats) if not getattr(repeats, "bind_rank", 0) else None
    if number is not None:
        if number < 0:
            raise ShapeError(f"Repeats must be non-negative, got {number}", fix="repeats=0 is empty", where=user_frame())
        wide = expand(unsqueeze(x, place + 1), *shape_of(x)[: place + 1], number, *shape_of(x)[place + 1 :])
        return flatten(wide, place, place + 1)
    times = values_of(repeats, "repeat_interleave")
    if times.dtype.kind not in "iu":
        raise DtypeError(
            f"repeat_interleave(): repeats must be of int32 or int64, got {times.dtype}",
            fix="repeats.long()",
            where=user_frame(),
        )
    if times.ndim > 1:
        raise ShapeError(
            f"repeats must be 0-dim or 1-dim tensor, this one has shape {times.shape}",
            fix="repeats.flatten()",
            where=user_frame(),
        )
    if times.min(initial=0) < 0:
        raise ShapeError(f"repeats can not be negative, got {times.min()}", fix="repeats.clamp(min=0)", where=user_frame())
    if times.size not in (1, count):
        raise ShapeError(
            f"repeats must have the same size as input along dim, but got repeats.size(0) = {times.size} and "
            f"input.size({place}) = {count}",
            fix="give one count per element along the dim",
            where=user_frame(),
        )
    positions = np.repeat(np.arange(count), np.broadcast_to(times.reshape(-1), (count,)))
    return take(x, tensor_like(positions, x), place)


def sum_to_size(input: Any, *size: Any) -> Any:
    """Summed over the dims along which a tensor of that size would be expanded.

    >>> from tracegrad.eager import tensor
    >>> sum_to_size(tensor([[1.0, 2.0], [3.0, 4.0]]), (1, 2))
    tensor([[4., 6.]])
    """
    wanted, shape = sizes_of(size), shape_of(input)
    lead = len(shape) - len(wanted)
    if lead < 0 or any(n not in (1, shape[lead + k]) for k, n in enumerate(wanted)):
        raise ShapeError(
            f"size {list(wanted)} is not expandable to size {list(shape)}.", fix="give sizes that broadcast", where=user_frame()
        )
    return _summed_to(input, wanted)


@recorded_as("SumBackward1")
def _summed_to(x: Any, shape: tuple[int, ...]) -> Any:
    return sum_to(x, shape)


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Any, ...]:
    """Grids of coordinates from vectors, one dim per vector.

    >>> from tracegrad.eager import tensor
    >>> meshgrid(tensor([1.0, 2.0]), tensor([3.0]))[0]
    tensor([[1.],
            [2.]])
    """
    given = list(tensors[0]) if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else list(tensors)
    if indexing not in ("ij", "xy"):
        raise ValueError(f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}')
    if any(len(shape_of(x)) > 1 for x in given):
        raise ShapeError(
            "torch.meshgrid: Expected 0D or 1D tensors in the tensor list", fix="flatten them first", where=user_frame()
        )
    swap = indexing == "xy" and len(given) > 1
    if swap:
        given[:2] = given[1], given[0]
    sizes = tuple(numel(x) for x in given)
    grids = [expand(view(x, tuple(-1 if d == k else 1 for d in range(len(sizes)))), sizes) for k, x in enumerate(given)]
    if swap:
        grids[:2] = grids[1], grids[0]
    return tuple(grids)


@recorded_as("UnfoldBackward0")
def _unfolded(x: Any, place: int, width: int, step: int) -> Any:
    ndim = len(shape_of(x))
    last = (*(k for k in range(ndim) if k != place), place)
    cut = windows(permute(x, axes=last), window=(width,), strides=(step,), dilations=(1,))
    # the dim of window numbers goes back to where the windows were cut
    order = [*range(ndim - 1)]
    order.insert(place, ndim - 1)
    return permute(cut, axes=(*order, ndim))


def unfold(input: Any, dimension: int, size: int, step: int) -> Any:
    """All windows along a dim as a new dim at the end.

    >>> from tracegrad.eager import tensor
    >>> unfold(tensor([1.0, 2.0, 3.0]), 0, 2, 1)
    tensor([[1., 2.],
            [2., 3.]])
    """
    place = one_dim(dimension, len(shape_of(input)))
    if size > shape_of(input)[place]:
        raise ShapeError(
            f"maximum size for tensor at dimension {place} is {shape_of(input)[place]} but size is {size}",
            fix="use smaller windows",
            where=user_frame(),
        )
    return _unfolded(input, place, size, step)
