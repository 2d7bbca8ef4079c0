"""Functions that give a tensor another shape: PyTorch's signatures over views, each one node on the tape.

Results share storage with their input where NumPy's views do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracegrad.core.aval import one_int, shape_of
from tracegrad.core.source import user_frame
from tracegrad.eager.composite import recorded_as
from tracegrad.eager.functions.arguments import (
    Dims,
    filled_sizes,
    labelled,
    one_dim,
    several_dims,
    sizes_of,
    values_of,
)
from tracegrad.eager.size import Size
from tracegrad.errors import DtypeError, ShapeError
from tracegrad.ops import assembly
from tracegrad.ops.broadcasting import reshape_to
from tracegrad.ops.maps import cast, copy
from tracegrad.ops.sources import TRACED
from tracegrad.ops.views import permute as permuted
from tracegrad.ops.views import reverse

__all__ = [
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "clone",
    "contiguous",
    "dim",
    "flatten",
    "flip",
    "fliplr",
    "flipud",
    "moveaxis",
    "movedim",
    "ndimension",
    "nelement",
    "numel",
    "permute",
    "ravel",
    "reshape",
    "reshape_as",
    "roll",
    "rot90",
    "size",
    "squeeze",
    "swapaxes",
    "swapdims",
    "t",
    "transpose",
    "unflatten",
    "unsqueeze",
    "view",
    "view_as",
]

# -- what a tensor's shape is -----------------------------------------------------------------------------------------


def size(input: Any, dim: int | None = None) -> Any:
    """The shape, or the size of one dim.

    >>> from tracegrad.eager import tensor
    >>> size(tensor([[1.0, 2.0]])), size(tensor([[1.0, 2.0]]), -1)
    (torch.Size([1, 2]), 2)
    """
    shape = shape_of(input)
    if dim is None:
        return Size(shape)
    place = one_dim(dim, len(shape))
    if not shape:
        raise ShapeError("Dimension specified as 0 but tensor has no dimensions", fix="x.unsqueeze(0)", where=user_frame())
    return shape[place]


def dim(input: Any) -> int:
    """The number of dims.

    >>> from tracegrad.eager import tensor
    >>> dim(tensor([[1.0, 2.0]]))
    2
    """
    return len(shape_of(input))


def ndimension(input: Any) -> int:
    """The number of dims, as ``dim``.

    >>> from tracegrad.eager import tensor
    >>> ndimension(tensor(1.0))
    0
    """
    return len(shape_of(input))


def numel(input: Any) -> int:
    """The number of elements.

    >>> from tracegrad.eager import tensor
    >>> numel(tensor([[1.0, 2.0]]))
    2
    """
    return math.prod(shape_of(input))


def nelement(input: Any) -> int:
    """The number of elements, as ``numel``.

    >>> from tracegrad.eager import tensor
    >>> nelement(tensor([[1.0, 2.0]]))
    2
    """
    return math.prod(shape_of(input))


# -- the same elements under another shape ----------------------------------------------------------------------------


def reshape(input: Any, *shape: Any) -> Any:
    """The same elements under another shape; one size may be -1.

    >>> from tracegrad.eager import tensor
    >>> reshape(tensor([1.0, 2.0, 3.0, 4.0]), (2, -1))
    tensor([[1., 2.],
            [3., 4.]])
    """
    return reshape_to(input, shape=filled_sizes(input, sizes_of(shape)))


def view(input: Any, *shape: Any) -> Any:
    """``reshape`` without a copy; ShapeError where the strides do not allow it.

    >>> from tracegrad.eager import tensor
    >>> view(tensor([1.0, 2.0, 3.0, 4.0]), 2, 2)
    tensor([[1., 2.],
            [3., 4.]])
    """
    if len(shape) == 1 and isinstance(shape[0], (np.dtype, type)):
        raise DtypeError(
            f"view({shape[0]}) would reinterpret the bytes", fix="x.to(dtype) converts the numbers", where=user_frame()
        )
    sizes = filled_sizes(input, sizes_of(shape))
    if getattr(input, "bind_rank", 0) == 1:
        array = values_of(input, "view")
        if not array.flags.c_contiguous and not np.may_share_memory(array.reshape(sizes), array):
            raise ShapeError(
                f"view size is not compatible with input tensor's size and stride: {array.shape} is not stored row by row, "
                "and at least one dimension spans across two contiguous subspaces. Use .reshape(...) instead.",
                fix="x.reshape(...)",
                where=user_frame(),
            )
    return reshape_to(input, shape=sizes)


def view_as(input: Any, other: Any) -> Any:
    """``view`` with the shape of another tensor.

    >>> from tracegrad.eager import tensor
    >>> view_as(tensor([1.0, 2.0]), tensor([[0.0], [0.0]]))
    tensor([[1.],
            [2.]])
    """
    return view(input, shape_of(other))


def reshape_as(input: Any, other: Any) -> Any:
    """``reshape`` with the shape of another tensor.

    >>> from tracegrad.eager import tensor
    >>> reshape_as(tensor([1.0, 2.0]), tensor([[0.0], [0.0]]))
    tensor([[1.],
            [2.]])
    """
    return reshape(input, shape_of(other))


def ravel(input: Any) -> Any:
    """All elements as a vector.

    >>> from tracegrad.eager import tensor
    >>> ravel(tensor([[1.0], [2.0]]))
    tensor([1., 2.])
    """
    return flatten(input)


def flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    """The dims from ``start_dim`` to ``end_dim``, both included, as one.

    >>> from tracegrad.eager import tensor
    >>> flatten(tensor([[[1.0], [2.0]]]), 1).shape
    torch.Size([1, 2])
    """
    shape = shape_of(input)
    first, last = one_dim(start_dim, len(shape)), one_dim(end_dim, len(shape))
    if first > last:
        raise ShapeError(
            "flatten() has invalid args: start_dim cannot come after end_dim",
            fix="swap start_dim and end_dim",
            where=user_frame(),
        )
    if not shape:
        return reshape_to(input, shape=(1,))
    if first == last:
        return input
    return reshape_to(input, shape=(*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :]))


def unflatten(input: Any, dim: int, sizes: Sequence[int]) -> Any:
    """One dim as several of the given sizes; one may be -1.

    >>> from tracegrad.eager import tensor
    >>> unflatten(tensor([1.0, 2.0, 3.0, 4.0]), 0, (2, -1)).shape
    torch.Size([2, 2])
    """
    shape = shape_of(input)
    place = one_dim(dim, len(shape))
    parts = tuple(int(n) for n in sizes)
    if -1 in parts:
        known = math.prod(n for n in parts if n != -1)
        parts = tuple(shape[place] // max(known, 1) if n == -1 else n for n in parts)
    if math.prod(parts) != shape[place]:
        raise ShapeError(
            f"unflatten: Provided sizes {list(sizes)} don't multiply up to the size of dim {place} ({shape[place]}) "
            "in the input tensor",
            fix="give sizes whose product is the size of the dim",
            where=user_frame(),
        )
    return reshape_to(input, shape=(*shape[:place], *parts, *shape[place + 1 :]))


def squeeze(input: Any, dim: Dims = None, *, axis: Dims = None) -> Any:
    """Without the dims of size 1, or those of the named ones that have size 1.

    >>> from tracegrad.eager import tensor
    >>> squeeze(tensor([[[1.0], [2.0]]])).shape
    torch.Size([2])
    """
    dim = axis if dim is None else dim
    shape = shape_of(input)
    named = range(len(shape)) if dim is None else several_dims(dim, len(shape))
    kept = tuple(n for k, n in enumerate(shape) if n != 1 or k not in named)
    overload = 0 if dim is None else 1 if one_int(dim) is not None else 2
    return labelled(f"SqueezeBackward{overload}", reshape_to(input, shape=kept))


def unsqueeze(input: Any, dim: int, *, axis: int | None = None) -> Any:
    """With a dim of size 1 added at a place.

    >>> from tracegrad.eager import tensor
    >>> unsqueeze(tensor([1.0, 2.0]), -1).shape
    torch.Size([2, 1])
    """
    shape = shape_of(input)
    place = one_dim(dim if axis is None else axis, len(shape) + 1)
    return labelled("UnsqueezeBackward0", reshape_to(input, shape=(*shape[:place], 1, *shape[place:])))


@recorded_as("CloneBackward0")
def _in_row_order(x: Any) -> Any:
    # as a vector the elements are copied row by row
    return reshape_to(cast(reshape_to(x, shape=(math.prod(shape_of(x)),)), dtype=x.dtype), shape=shape_of(x))


def clone(input: Any, *, memory_format: Any = None) -> Any:
    """A copy with storage of its own, through which gradients flow.

    >>> from tracegrad.eager import tensor
    >>> clone(tensor([1.0, 2.0]))
    tensor([1., 2.])
    """
    return copy(input)


def contiguous(input: Any) -> Any:
    """The tensor itself if it is stored row by row, else a copy that is.

    >>> from tracegrad.eager import tensor
    >>> x = tensor([[1.0, 2.0]])
    >>> contiguous(x) is x
    True
    """
    if getattr(input, "bind_rank", 0) == TRACED or values_of(input, "contiguous").flags.c_contiguous:
        return input
    return _in_row_order(input)


def _listed(function: Any, tensors: tuple[Any, ...]) -> Any:
    """A function of one tensor on one or several."""
    if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)):
        tensors = tuple(tensors[0])
        return tuple(function(x) for x in tensors)
    return function(tensors[0]) if len(tensors) == 1 else tuple(function(x) for x in tensors)


def atleast_1d(*tensors: Any) -> Any:
    """Tensors with at least one dim.

    >>> from tracegrad.eager import tensor
    >>> atleast_1d(tensor(1.0))
    tensor([1.])
    """
    return _listed(lambda x: x if shape_of(x) else reshape_to(x, shape=(1,)), tensors)


def atleast_2d(*tensors: Any) -> Any:
    """Tensors with at least two dims, new ones in front.

    >>> from tracegrad.eager import tensor
    >>> atleast_2d(tensor([1.0, 2.0]))
    tensor([[1., 2.]])
    """

    def raised(x: Any) -> Any:
        if not shape_of(x):
            return reshape_to(x, shape=(1, 1))
        return unsqueeze(x, 0) if len(shape_of(x)) == 1 else x

    return _listed(raised, tensors)


def atleast_3d(*tensors: Any) -> Any:
    """Tensors with at least three dims.

    >>> from tracegrad.eager import tensor
    >>> atleast_3d(tensor([1.0, 2.0])).shape
    torch.Size([1, 2, 1])
    """

    def raised(x: Any) -> Any:
        if not shape_of(x):
            return reshape_to(x, shape=(1, 1, 1))
        if len(shape_of(x)) == 1:
            return unsqueeze(unsqueeze(x, 0), -1)
        return unsqueeze(x, -1) if len(shape_of(x)) == 2 else x

    return _listed(raised, tensors)


# -- the order of dims ------------------------------------------------------------------------------------------------


def permute(input: Any, *dims: Any) -> Any:
    """The dims in another order.

    >>> from tracegrad.eager import tensor
    >>> permute(tensor([[1.0, 2.0]]), (1, 0)).shape
    torch.Size([2, 1])
    """
    wanted = sizes_of(dims)
    ndim = len(shape_of(input))
    if len(wanted) != ndim:
        raise ShapeError(
            "permute: number of dimensions in the tensor input does not match the length of the desired "
            f"ordering of dimensions i.e. input.dim() = {ndim} is not equal to len(dims) = {len(wanted)}",
            fix="name every dim once",
            where=user_frame(),
        )
    return permuted(input, axes=several_dims(wanted, ndim))


def transpose(input: Any, dim0: int, dim1: int) -> Any:
    """Two dims swapped.

    >>> from tracegrad.eager import tensor
    >>> transpose(tensor([[1.0, 2.0]]), 0, 1).shape
    torch.Size([2, 1])
    """
    ndim = len(shape_of(input))
    order = list(range(ndim))
    a, b = one_dim(dim0, ndim), one_dim(dim1, ndim)
    if ndim:
        order[a], order[b] = b, a
    return labelled("TransposeBackward0", permuted(input, axes=tuple(order)))


def swapaxes(input: Any, axis0: int, axis1: int) -> Any:
    """Two dims swapped, as ``transpose``.

    >>> from tracegrad.eager import tensor
    >>> swapaxes(tensor([[1.0, 2.0]]), 0, 1).shape
    torch.Size([2, 1])
    """
    return transpose(input, axis0, axis1)


def swapdims(input: Any, dim0: int, dim1: int) -> Any:
    """Two dims swapped, as ``transpose``.

    >>> from tracegrad.eager import tensor
    >>> swapdims(tensor([[1.0, 2.0]]), 0, 1).shape
    torch.Size([2, 1])
    """
    return transpose(input, dim0, dim1)


def t(input: Any) -> Any:
    """A matrix transposed; a vector or a number as it is.

    >>> from tracegrad.eager import tensor
    >>> t(tensor([[1.0, 2.0]])).shape
    torch.Size([2, 1])
    """
    ndim = len(shape_of(input))
    if ndim > 2:
        raise ShapeError(
            f"t() expects a tensor with <= 2 dimensions, but self is {ndim}D",
            fix="x.mT transposes the matrices of a stack, x.permute(...) any dims",
            where=user_frame(),
        )
    return labelled("TBackward0", permuted(input, axes=tuple(reversed(range(ndim)))))


def movedim(input: Any, source: int | Sequence[int], destination: int | Sequence[int]) -> Any:
    """Dims moved to new places, the others in their order.

    >>> from tracegrad.eager import tensor
    >>> movedim(tensor([[[1.0], [2.0]]]), 0, 2).shape
    torch.Size([2, 1, 1])
    """
    ndim = len(shape_of(input))
    old, new = several_dims(source, ndim), several_dims(destination, ndim)
    if len(old) != len(new):
        raise ShapeError(
            f"movedim: Invalid source or destination dims: source ({source} dims) should contain the same number of dims as "
            f"destination ({destination} dims)",
            fix="name one destination per source",
            where=user_frame(),
        )
    order = [k for k in range(ndim) if k not in old]
    for place, axis in sorted(zip(new, old, strict=True)):
        order.insert(place, axis)
    return permuted(input, axes=tuple(order))


def moveaxis(input: Any, source: int | Sequence[int], destination: int | Sequence[int]) -> Any:
    """Dims moved to new places, as ``movedim``.

    >>> from tracegrad.eager import tensor
    >>> moveaxis(tensor([[[1.0], [2.0]]]), 0, 2).shape
    torch.Size([2, 1, 1])
    """
    return movedim(input, source, destination)


def flip(input: Any, *dims: Any) -> Any:
    """The elements in reverse order along dims.

    >>> from tracegrad.eager import tensor
    >>> flip(tensor([1.0, 2.0, 3.0]), (0,))
    tensor([3., 2., 1.])
    """
    wanted = sizes_of(dims)
    axes = tuple(sorted(several_dims(wanted, len(shape_of(input))))) if wanted else ()
    return reverse(input, axes=axes)


def fliplr(input: Any) -> Any:
    """The columns in reverse order.

    >>> from tracegrad.eager import tensor
    >>> fliplr(tensor([[1.0, 2.0]]))
    tensor([[2., 1.]])
    """
    if len(shape_of(input)) < 2:
        raise ShapeError("Input must be >= 2-d.", fix="flip(x, (0,)) for a vector", where=user_frame())
    return flip(input, (1,))


def flipud(input: Any) -> Any:
    """The rows in reverse order.

    >>> from tracegrad.eager import tensor
    >>> flipud(tensor([[1.0], [2.0]]))
    tensor([[2.],
            [1.]])
    """
    if not shape_of(input):
        raise ShapeError("Input must be >= 1-d.", fix="give a tensor with dims", where=user_frame())
    return flip(input, (0,))


@recorded_as("RollBackward0")
def _rolled(x: Any, shifts: tuple[int, ...], dims: tuple[int, ...] | None) -> Any:
    return assembly.roll(x, shifts[0] if dims is None else shifts, dims)


def roll(input: Any, shifts: int | Sequence[int], dims: Dims = None) -> Any:
    """The elements moved along dims, those that leave at the end coming back at the start.

    >>> from tracegrad.eager import tensor
    >>> roll(tensor([1.0, 2.0, 3.0]), 1)
    tensor([3., 1., 2.])
    """
    moves = sizes_of((shifts,))
    axes = None if dims is None else several_dims(dims, len(shape_of(input)))
    if len(moves) != (1 if axes is None else len(axes)):
        raise ShapeError(
            f"shifts and dimensions must align. shifts: {len(moves)}, dims:{0 if axes is None else len(axes)}",
            fix="give one shift per dim",
            where=user_frame(),
        )
    return _rolled(input, moves, axes)


@recorded_as("Rot90Backward0")
def _rotated(x: Any, k: int, a: int, b: int) -> Any:
    order = [b if d == a else a if d == b else d for d in range(len(shape_of(x)))]
    if k == 1:
        x = permuted(reverse(x, axes=(b,)), axes=tuple(order))
    elif k == 2:
        x = reverse(x, axes=(min(a, b), max(a, b)))
    elif k == 3:
        x = reverse(permuted(x, axes=tuple(order)), axes=(b,))
    return copy(x)


def rot90(input: Any, k: int = 1, dims: Sequence[int] = (0, 1)) -> Any:
    """Turned ``k`` times by a right angle in the plane of two dims, from the first towards the second.

    >>> from tracegrad.eager import tensor
    >>> rot90(tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([[2., 4.],
            [1., 3.]])
    """
    axes = several_dims(tuple(dims), len(shape_of(input)))
    if len(axes) != 2:
        raise ShapeError(
            f"expected total rotation dims == 2, but got dims = {len(axes)}", fix="name two dims", where=user_frame()
        )
    return _rotated(input, k % 4, *axes)
