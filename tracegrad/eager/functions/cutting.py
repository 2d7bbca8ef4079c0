"""Functions that take parts of a tensor: slices, pieces, diagonals and triangles, and tensors with parts replaced."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from tracegrad.core.aval import Shape, one_int, shape_of
from tracegrad.core.source import user_frame
from tracegrad.eager.composite import recorded_as
from tracegrad.eager.functions.arguments import DimensionError, labelled, one_dim, values_of
from tracegrad.eager.functions.shapes import flatten
from tracegrad.errors import ShapeError
from tracegrad.ops import assembly
from tracegrad.ops.broadcasting import reduce_sum, reshape_to
from tracegrad.ops.maps import cast, copy
from tracegrad.ops.views import embed, permute, strided_slice, update

__all__ = [
    "chunk",
    "diag",
    "diag_embed",
    "diagflat",
    "diagonal",
    "diagonal_scatter",
    "dsplit",
    "hsplit",
    "narrow",
    "select",
    "select_scatter",
    "slice_scatter",
    "split",
    "split_with_sizes",
    "tensor_split",
    "trace",
    "tril",
    "triu",
    "unbind",
    "vsplit",
]

# -- slices and pieces ------------------------------------------------------------------------------------------------


def _slice_of(x: Any, place: int, start: int, count: int, step: int = 1) -> Any:
    starts, sizes, steps = _box(shape_of(x), place, start, count, step)
    return strided_slice(x, starts=starts, sizes=sizes, steps=steps)


@lru_cache(maxsize=4096)
def _box(shape: Shape, place: int, start: int, count: int, step: int) -> tuple[Shape, Shape, Shape]:
    starts = tuple(start if k == place else 0 for k in range(len(shape)))
    sizes = tuple(count if k == place else n for k, n in enumerate(shape))
    steps = tuple(step if k == place and count > 1 else 1 for k in range(len(shape)))
    return starts, sizes, steps


def _without(shape: Shape, place: int) -> Shape:
    return (*shape[:place], *shape[place + 1 :])


def _selected(x: Any, place: int, index: int) -> Any:
    return labelled("SelectBackward0", reshape_to(_slice_of(x, place, index, 1), shape=_without(shape_of(x), place)))


def _placed(x: Any, dim: int, what: str) -> int:
    """The dim of a tensor that has one."""
    if not shape_of(x):
        raise DimensionError(f"{what} cannot be applied to a 0-dim tensor.", fix="x.item() is its value", where=user_frame())
    return one_dim(dim, len(shape_of(x)))


def _position(index: Any, size: int, place: int) -> int:
    number = int(index)
    if not -size <= number < size:
        raise DimensionError(
            f"index {number} is out of bounds for dimension {place} with size {size}",
            fix=f"positions go from {-size} to {size - 1}",
            where=user_frame(),
        )
    return number % size


def select(input: Any, dim: int, index: int) -> Any:
    """The slice at one position of a dim, which is dropped.

    >>> from tracegrad.eager import tensor
    >>> select(tensor([[1.0, 2.0], [3.0, 4.0]]), 0, -1)
    tensor([3., 4.])
    """
    place = _placed(input, dim, "select()")
    return _selected(input, place, _position(index, shape_of(input)[place], place))


def narrow(input: Any, dim: int, start: int, length: int) -> Any:
    """``length`` positions of a dim from ``start`` on.

    >>> from tracegrad.eager import tensor
    >>> narrow(tensor([1.0, 2.0, 3.0]), 0, 1, 2)
    tensor([2., 3.])
    """
    place = _placed(input, dim, "narrow()")
    size = shape_of(input)[place]
    first = int(start)
    if not -size <= first <= size:
        raise DimensionError(
            f"start out of range (expected to be in range of [{-size}, {size}], but got {first})",
            fix="start inside of the dim",
            where=user_frame(),
        )
    first = first + size if first < 0 else first
    if length < 0 or first + length > size:
        raise ShapeError(
            f"narrow(): start ({first}) + length ({length}) exceeds dimension size ({size}).",
            fix="take no more than is there",
            where=user_frame(),
        )
    return _slice_of(input, place, first, int(length))


@recorded_as("UnbindBackward0", views=True)
def _unbound(x: Any, place: int) -> tuple[Any, ...]:
    shape = _without(shape_of(x), place)
    return tuple(reshape_to(_slice_of(x, place, k, 1), shape=shape) for k in range(shape_of(x)[place]))


def unbind(input: Any, dim: int = 0) -> tuple[Any, ...]:
    """All slices along a dim, which is dropped.

    >>> from tracegrad.eager import tensor
    >>> unbind(tensor([[1.0, 2.0], [3.0, 4.0]]))
    (tensor([1., 2.]), tensor([3., 4.]))
    """
    place = _placed(input, dim, "unbind()")
    return tuple(_unbound(input, place)) if shape_of(input)[place] else ()


def _pieces(x: Any, place: int, ends: tuple[int, ...]) -> tuple[Any, ...]:
    return tuple(_slice_of(x, place, a, b - a) for a, b in itertools.pairwise(ends))


_split_evenly = recorded_as("SplitBackward0", views=True)(_pieces)
_split_as_said = recorded_as("SplitWithSizesBackward0", views=True)(_pieces)


def split(input: Any, split_size_or_sections: Any, dim: int = 0) -> tuple[Any, ...]:
    """Pieces of one size along a dim, the last one smaller if need be, or of the sizes listed.

    >>> from tracegrad.eager import tensor
    >>> split(tensor([1.0, 2.0, 3.0]), 2)
    (tensor([1., 2.]), tensor([3.]))
    """
    each = one_int(split_size_or_sections)
    if each is None:
        return split_with_sizes(input, split_size_or_sections, dim)
    place = _placed(input, dim, "split()")
    size = shape_of(input)[place]
    if each < 0 or (each == 0 and size):
        raise ShapeError(f"split expects split_size be non-negative, but got split_size={each}", fix="give a size of 1 or more")
    ends = (*range(0, size, each), size) if size else (0, 0)
    return tuple(_split_evenly(input, place, ends))


def split_with_sizes(input: Any, split_sizes: Sequence[int], dim: int = 0) -> tuple[Any, ...]:
    """Pieces of the sizes listed along a dim.

    >>> from tracegrad.eager import tensor
    >>> split_with_sizes(tensor([1.0, 2.0, 3.0]), [1, 2])
    (tensor([1.]), tensor([2., 3.]))
    """
    place = _placed(input, dim, "split()")
    sizes = [int(n) for n in split_sizes]
    if any(n < 0 for n in sizes) or sum(sizes) != shape_of(input)[place]:
        raise ShapeError(
            f"split_with_sizes expects split_sizes to sum exactly to {shape_of(input)[place]} (input tensor's size "
            "at dimension "
            f"{place}), but got split_sizes={sizes}",
            fix="give sizes that add up to the size of the dim",
            where=user_frame(),
        )
    return tuple(_split_as_said(input, place, (0, *itertools.accumulate(sizes))))


def chunk(input: Any, chunks: int, dim: int = 0) -> tuple[Any, ...]:
    """At most ``chunks`` pieces of one size along a dim, the last one smaller if need be.

    >>> from tracegrad.eager import tensor
    >>> chunk(tensor([1.0, 2.0, 3.0]), 2)
    (tensor([1., 2.]), tensor([3.]))
    """
    if chunks < 1:
        raise ShapeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}", fix="ask for one piece or more")
    place = _placed(input, dim, "chunk()")
    size = shape_of(input)[place]
    each = -(-size // chunks)
    return split(input, each, place) if size else split_with_sizes(input, [0] * chunks, place)


def tensor_split(input: Any, indices_or_sections: Any, dim: int = 0) -> tuple[Any, ...]:
    """Pieces along a dim: so many, or cut at the positions listed.

    >>> from tracegrad.eager import tensor
    >>> tensor_split(tensor([1.0, 2.0, 3.0]), 2)
    (tensor([1., 2.]), tensor([3.]))
    """
    place = _placed(input, dim, "tensor_split()")
    size = shape_of(input)[place]
    if getattr(indices_or_sections, "bind_rank", 0):
        indices_or_sections = values_of(indices_or_sections, "tensor_split").tolist()
    sections = one_int(indices_or_sections)
    if sections is not None:
        if sections < 1:
            raise ShapeError(f"number of sections must be larger than 0, got {sections}", fix="ask for one piece or more")
        each, extra = divmod(size, sections)
        ends = [k * each + min(k, extra) for k in range(sections + 1)]
    else:
        cuts = [slice(int(i), None).indices(size)[0] for i in indices_or_sections]
        ends = [0, *cuts, size]
    return tuple(_slice_of(input, place, a, max(b - a, 0)) for a, b in itertools.pairwise(ends))


def _split_named(name: str, x: Any, parts: Any, needed: int, place: int) -> tuple[Any, ...]:
    ndim = len(shape_of(x))
    if ndim < needed:
        raise ShapeError(
            f"torch.{name} requires a tensor with at least {needed} dimension{'s' if needed > 1 else ''}, but got "
            "a tensor with "
            f"{ndim} dimensions!",
            fix="use torch.tensor_split with the dim you mean",
            where=user_frame(),
        )
    sections = one_int(parts)
    if sections is not None and shape_of(x)[place] % max(sections, 1):
        raise ShapeError(
            f"torch.{name} attempted to split along dimension {place}, but the size of the dimension "
            f"{shape_of(x)[place]} is not "
            f"divisible by the split_size {sections}!",
            fix="use torch.tensor_split for uneven pieces",
            where=user_frame(),
        )
    return tensor_split(x, parts, place)


def hsplit(input: Any, indices_or_sections: Any) -> tuple[Any, ...]:
    """Pieces along the columns, of a vector along its elements.

    >>> from tracegrad.eager import tensor
    >>> hsplit(tensor([[1.0, 2.0]]), 2)
    (tensor([[1.]]), tensor([[2.]]))
    """
    return _split_named("hsplit", input, indices_or_sections, 1, 0 if len(shape_of(input)) == 1 else 1)


def vsplit(input: Any, indices_or_sections: Any) -> tuple[Any, ...]:
    """Pieces along the rows.

    >>> from tracegrad.eager import tensor
    >>> vsplit(tensor([[1.0], [2.0]]), 2)
    (tensor([[1.]]), tensor([[2.]]))
    """
    return _split_named("vsplit", input, indices_or_sections, 2, 0)


def dsplit(input: Any, indices_or_sections: Any) -> tuple[Any, ...]:
    """Pieces along the third dim.

    >>> from tracegrad.eager import tensor
    >>> [x.shape for x in dsplit(tensor([[[1.0, 2.0]]]), 2)]
    [torch.Size([1, 1, 1]), torch.Size([1, 1, 1])]
    """
    return _split_named("dsplit", input, indices_or_sections, 3, 2)


# -- diagonals and triangles ------------------------------------------------------------------------------------------


def _diagonal_of(x: Any, offset: int, a: int, b: int) -> Any:
    """The diagonals of the matrices in two dims: of a matrix row by row every (columns + 1)-th element."""
    rest = [k for k in range(len(shape_of(x))) if k not in (a, b)]
    x = permute(x, axes=(*rest, a, b))
    rows, columns = shape_of(x)[-2:]
    count = max(0, min(rows + min(offset, 0), columns - max(offset, 0)))
    flat = reshape_to(x, shape=(*shape_of(x)[:-2], rows * columns))
    start = (max(offset, 0) - min(offset, 0) * columns) if count else 0
    return _slice_of(flat, len(rest), start, count, columns + 1)


@recorded_as("DiagonalBackward0_copy")
def _copied_diagonal(x: Any, offset: int) -> Any:
    found = _diagonal_of(x, offset, 0, 1)
    return copy(found)


def _two_dims(x: Any, dim1: int, dim2: int, more: int = 0) -> tuple[int, int]:
    ndim = len(shape_of(x)) + more
    a, b = one_dim(dim1, ndim), one_dim(dim2, ndim)
    if a == b:
        raise ShapeError(
            f"diagonal dimensions cannot be identical {dim1}, {dim2}", fix="name two different dims", where=user_frame()
        )
    return a, b


def diagonal(input: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    """The diagonal of the matrices in two dims, as the last dim.

    >>> from tracegrad.eager import tensor
    >>> diagonal(tensor([[1.0, 2.0], [3.0, 4.0]]), 1)
    tensor([2.])
    """
    return labelled("DiagonalBackward0", _diagonal_of(input, offset, *_two_dims(input, dim1, dim2)))


@recorded_as("DiagEmbedBackward0")
def _embedded(x: Any, offset: int, a: int, b: int) -> Any:
    shape = shape_of(x)
    count, lead = shape[-1], shape[:-1]
    n = count + abs(offset)
    start = offset if offset > 0 else -offset * n
    room = max(n * n, start + count * (n + 1))
    ndim = len(shape)
    steps = (*(1,) * (ndim - 1), n + 1 if count > 1 else 1)
    flat = embed(x, shape=(*lead, room), starts=(*(0,) * (ndim - 1), start if count else 0), steps=steps)
    square = reshape_to(_slice_of(flat, ndim - 1, 0, n * n), shape=(*lead, n, n))
    order = list(range(ndim - 1))
    for place, axis in sorted(((a, ndim - 1), (b, ndim))):
        order.insert(place, axis)
    return permute(square, axes=tuple(order))


def diag_embed(input: Any, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    """Matrices, in two new dims, with the last dim of the input on their diagonal.

    >>> from tracegrad.eager import tensor
    >>> diag_embed(tensor([1.0, 2.0]))
    tensor([[1., 0.],
            [0., 2.]])
    """
    _placed(input, -1, "diag_embed()")
    return _embedded(input, offset, *_two_dims(input, dim1, dim2, 1))


def diag(input: Any, diagonal: int = 0) -> Any:
    """The matrix of a diagonal, or the diagonal of a matrix.

    >>> from tracegrad.eager import tensor
    >>> diag(tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([1., 4.])
    """
    ndim = len(shape_of(input))
    if ndim not in (1, 2):
        raise ShapeError(
            f"diag(): Supports 1D or 2D tensors. Got {ndim}D",
            fix="use diagonal or diag_embed, which name their dims",
            where=user_frame(),
        )
    return _copied_diagonal(input, diagonal) if ndim == 2 else diag_embed(input, diagonal)


def diagflat(input: Any, offset: int = 0) -> Any:
    """The matrix with all elements of a tensor on its diagonal.

    >>> from tracegrad.eager import tensor
    >>> diagflat(tensor([[1.0], [2.0]])).shape
    torch.Size([2, 2])
    """
    return diag_embed(flatten(input), offset)


@recorded_as("TraceBackward0")
def _trace_of(x: Any) -> Any:
    return reduce_sum(_diagonal_of(x, 0, 0, 1), axes=(0,))


def trace(input: Any) -> Any:
    """The sum of a matrix's diagonal.

    >>> from tracegrad.eager import tensor
    >>> trace(tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor(5.)
    """
    if len(shape_of(input)) != 2:
        raise ShapeError(
            f"trace: expected a matrix, but got tensor with dim {len(shape_of(input))}",
            fix="torch.diagonal(x, 0, -2, -1).sum(-1) for a stack of matrices",
            where=user_frame(),
        )
    return _trace_of(input if input.dtype.kind in "fc" else cast(input, dtype=np.dtype(np.int64)))


@recorded_as("TrilBackward0")
def _lower(x: Any, k: int) -> Any:
    return assembly.tril(x, k)


@recorded_as("TriuBackward0")
def _upper(x: Any, k: int) -> Any:
    return assembly.triu(x, k)


def _matrices(name: str, x: Any) -> None:
    if len(shape_of(x)) < 2:
        raise ShapeError(f"{name}: input tensor must have at least 2 dimensions", fix="give a matrix", where=user_frame())


def tril(input: Any, diagonal: int = 0) -> Any:
    """The elements on and below a diagonal, 0 above it.

    >>> from tracegrad.eager import tensor
    >>> tril(tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([[1., 0.],
            [3., 4.]])
    """
    _matrices("tril", input)
    return _lower(input, int(diagonal))


def triu(input: Any, diagonal: int = 0) -> Any:
    """The elements on and above a diagonal, 0 below it.

    >>> from tracegrad.eager import tensor
    >>> triu(tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([[1., 2.],
            [0., 4.]])
    """
    _matrices("triu", input)
    return _upper(input, int(diagonal))


# -- tensors with a part replaced -------------------------------------------------------------------------------------


def _updated(x: Any, src: Any, place: int, start: int, count: int, step: int) -> Any:
    shape = shape_of(x)
    starts = tuple(start if k == place else 0 for k in range(len(shape)))
    steps = tuple(step if k == place and count > 1 else 1 for k in range(len(shape)))
    wanted = tuple(count if k == place else n for k, n in enumerate(shape))
    return update(x, reshape_to(src, shape=wanted), starts=starts, steps=steps)


_slice_replaced = recorded_as("SliceScatterBackward0")(_updated)
_select_replaced = recorded_as("SelectScatterBackward0")(_updated)


def _refuse_shape(name: str, found: Shape, wanted: Shape) -> None:
    if found != wanted:
        raise ShapeError(
            f"{name}: expected src to have a size equal to the slice of self. src size = {list(found)}, slice size "
            f"= {list(wanted)}",
            fix="give src the shape of what it replaces",
            where=user_frame(),
        )


def slice_scatter(
    input: Any,
    src: Any,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Any:
    """A copy of ``input`` with the slice ``start:end:step`` of a dim replaced by ``src``.

    >>> from tracegrad.eager import tensor
    >>> slice_scatter(tensor([1.0, 2.0, 3.0]), tensor([9.0]), 0, 1, 2)
    tensor([1., 9., 3.])
    """
    place = _placed(input, dim, "slice_scatter()")
    positions = range(shape_of(input)[place])[slice(start, end, step)]
    wanted = tuple(len(positions) if k == place else n for k, n in enumerate(shape_of(input)))
    _refuse_shape("slice_scatter", shape_of(src), wanted)
    return _slice_replaced(input, src, place, positions.start if len(positions) else 0, len(positions), step)


def select_scatter(input: Any, src: Any, dim: int, index: int) -> Any:
    """A copy of ``input`` with the slice at one position of a dim replaced by ``src``.

    >>> from tracegrad.eager import tensor
    >>> select_scatter(tensor([[1.0], [2.0]]), tensor([9.0]), 0, 1)
    tensor([[1.],
            [9.]])
    """
    place = _placed(input, dim, "select_scatter()")
    _refuse_shape("select_scatter", shape_of(src), _without(shape_of(input), place))
    return _select_replaced(input, src, place, _position(index, shape_of(input)[place], place), 1, 1)


@recorded_as("DiagonalScatterBackward0")
def _diagonal_replaced(x: Any, src: Any, offset: int, a: int, b: int) -> Any:
    rest = [k for k in range(len(shape_of(x))) if k not in (a, b)]
    order = (*rest, a, b)
    moved = permute(x, axes=order)
    shape = shape_of(moved)
    rows, columns = shape[-2:]
    flat = reshape_to(moved, shape=(*shape[:-2], rows * columns))
    count = shape_of(src)[-1]
    start = (max(offset, 0) - min(offset, 0) * columns) if count else 0
    filled = reshape_to(_updated(flat, src, len(rest), start, count, columns + 1), shape=shape)
    return permute(filled, axes=tuple(order.index(k) for k in range(len(order))))


def diagonal_scatter(input: Any, src: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    """A copy of ``input`` with a diagonal of the matrices in two dims replaced by ``src``.

    >>> from tracegrad.eager import tensor
    >>> diagonal_scatter(tensor([[1.0, 2.0], [3.0, 4.0]]), tensor([8.0, 9.0]))
    tensor([[8., 2.],
            [3., 9.]])
    """
    a, b = _two_dims(input, dim1, dim2)
    shape = shape_of(input)
    count = max(0, min(shape[a] + min(offset, 0), shape[b] - max(offset, 0)))
    _refuse_shape("diagonal_scatter", shape_of(src), (*(n for k, n in enumerate(shape) if k not in (a, b)), count))
    return _diagonal_replaced(input, src, offset, a, b)
