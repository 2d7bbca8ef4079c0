"""Functions that put tensors together."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracegrad.core.aval import shape_of
from tracegrad.core.source import user_frame
from tracegrad.eager.composite import recorded_as
from tracegrad.eager.functions.arguments import one_dim, tensor_like
from tracegrad.eager.functions.repeating import meshgrid
from tracegrad.eager.functions.shapes import atleast_1d, atleast_2d, atleast_3d, flatten, reshape
from tracegrad.errors import ShapeError
from tracegrad.ops.indexing import take
from tracegrad.ops.views import embed, expand_dims, join

__all__ = [
    "block_diag",
    "cartesian_prod",
    "cat",
    "column_stack",
    "combinations",
    "concat",
    "concatenate",
    "dstack",
    "hstack",
    "row_stack",
    "stack",
    "vstack",
]


def _given(name: str, tensors: Sequence[Any]) -> tuple[Any, ...]:
    parts = tuple(tensors)
    if not parts:
        raise ShapeError(f"{name} expects a non-empty list of Tensors", fix="give one tensor or more", where=user_frame())
    return parts


def cat(tensors: Sequence[Any], dim: int = 0, *, axis: int | None = None) -> Any:
    """Tensors behind one another along a dim.

    >>> from tracegrad.eager import tensor
    >>> cat([tensor([1.0, 2.0]), tensor([3.0])])
    tensor([1., 2., 3.])
    """
    parts = _given("torch.cat():", tensors)
    if axis is not None:
        dim = axis
    shapes = {shape_of(x) for x in parts}
    if len(shapes) == 1 and (shape := shapes.pop()) and shape != (0,):
        return join(*parts, axis=one_dim(dim, len(shape)))
    for k, x in enumerate(parts):
        if not hasattr(x, "dtype"):
            raise TypeError(f"cat(): expected Tensor as element {k} in argument 0, but got {type(x).__name__}")
        if not shape_of(x):
            raise ShapeError(
                f"zero-dimensional tensor (at position {k}) cannot be concatenated",
                fix="torch.stack adds a dim",
                where=user_frame(),
            )
    # PyTorch passes over empty vectors whatever the shapes of the others
    kept = [x for x in parts if shape_of(x) != (0,)] or list(parts[:1])
    place = one_dim(dim, len(shape_of(kept[0])))
    first = shape_of(kept[0])
    for k, x in enumerate(parts):
        shape = shape_of(x)
        if shape == (0,):
            continue
        if len(shape) != len(first):
            raise ShapeError(
                f"Tensors must have same number of dimensions: got {len(first)} and {len(shape)} (tensor number {k} in "
                "the list, "
                f"of shape {shape})",
                fix="give all tensors one number of dims",
                where=user_frame(),
            )
        for d, (n, m) in enumerate(zip(first, shape, strict=True)):
            if n != m and d != place:
                raise ShapeError(
                    f"Sizes of tensors must match except in dimension {place}. Expected size {n} but got size {m} for "
                    "tensor number "
                    f"{k} in the list: shapes {first} and {shape}",
                    fix="make every other dim equal",
                    where=user_frame(),
                )
    return join(*kept, axis=place)


def concat(tensors: Sequence[Any], dim: int = 0, *, axis: int | None = None) -> Any:
    """Tensors behind one another along a dim, as ``cat``.

    >>> from tracegrad.eager import tensor
    >>> concat([tensor([1.0, 2.0]), tensor([3.0])])
    tensor([1., 2., 3.])
    """
    return cat(tensors, dim, axis=axis)


concatenate = concat


@recorded_as("StackBackward0")
def _stacked(place: int, *parts: Any) -> Any:
    return join(*(expand_dims(x, place) for x in parts), axis=place)


def stack(tensors: Sequence[Any], dim: int = 0, *, axis: int | None = None) -> Any:
    """Tensors of one shape behind one another along a new dim.

    >>> from tracegrad.eager import tensor
    >>> stack([tensor([1.0, 2.0]), tensor([3.0, 4.0])], dim=1)
    tensor([[1., 3.],
            [2., 4.]])
    """
    parts = _given("stack", tensors)
    first = shape_of(parts[0])
    for k, x in enumerate(parts):
        if shape_of(x) != first:
            raise ShapeError(
                f"stack expects each tensor to be equal size, but got {list(first)} at entry 0 and {list(shape_of(x))} "
                f"at entry {k}",
                fix="give all tensors one shape; torch.cat joins along a dim they have",
                where=user_frame(),
            )
    return _stacked(one_dim(dim if axis is None else axis, len(first) + 1), *parts)


def hstack(tensors: Sequence[Any]) -> Any:
    """Tensors side by side: vectors along their elements, others along their columns.

    >>> from tracegrad.eager import tensor
    >>> hstack([tensor([1.0]), tensor([2.0])])
    tensor([1., 2.])
    """
    parts = [atleast_1d(x) for x in _given("hstack", tensors)]
    return cat(parts, 0 if len(shape_of(parts[0])) == 1 else 1)


def vstack(tensors: Sequence[Any]) -> Any:
    """Tensors below one another, vectors as rows.

    >>> from tracegrad.eager import tensor
    >>> vstack([tensor([1.0]), tensor([2.0])])
    tensor([[1.],
            [2.]])
    """
    return cat([atleast_2d(x) for x in _given("vstack", tensors)], 0)


def row_stack(tensors: Sequence[Any]) -> Any:
    """Tensors below one another, as ``vstack``.

    >>> from tracegrad.eager import tensor
    >>> row_stack([tensor([1.0]), tensor([2.0])]).shape
    torch.Size([2, 1])
    """
    return vstack(tensors)


def dstack(tensors: Sequence[Any]) -> Any:
    """Tensors behind one another along the third dim.

    >>> from tracegrad.eager import tensor
    >>> dstack([tensor([1.0]), tensor([2.0])])
    tensor([[[1., 2.]]])
    """
    return cat([atleast_3d(x) for x in _given("dstack", tensors)], 2)


def column_stack(tensors: Sequence[Any]) -> Any:
    """Tensors side by side, vectors as columns.

    >>> from tracegrad.eager import tensor
    >>> column_stack([tensor([1.0, 2.0]), tensor([3.0, 4.0])])
    tensor([[1., 3.],
            [2., 4.]])
    """
    return cat([x if len(shape_of(x)) >= 2 else reshape(x, (-1, 1)) for x in _given("column_stack", tensors)], 1)


@recorded_as("BlockDiagBackward0")
def _in_blocks(*blocks: Any) -> Any:
    width = sum(shape_of(x)[1] for x in blocks)
    rows = []
    before = 0
    for x in blocks:
        height, own = shape_of(x)
        rows.append(embed(x, shape=(height, width), starts=(0, before), steps=(1, 1)))
        before += own
    return join(*rows, axis=0)


def block_diag(*tensors: Any) -> Any:
    """A matrix with matrices on its diagonal; vectors are rows.

    >>> from tracegrad.eager import tensor
    >>> block_diag(tensor([[1.0]]), tensor([[2.0, 3.0]]))
    tensor([[1., 0., 0.],
            [0., 2., 3.]])
    """
    for k, x in enumerate(tensors):
        if len(shape_of(x)) > 2:
            raise ShapeError(
                f"torch.block_diag: Input tensors must have 2 or fewer dimensions. Input {k} has {len(shape_of(x))} dimensions",
                fix="give matrices",
                where=user_frame(),
            )
    return _in_blocks(*(atleast_2d(x) for x in tensors))


def cartesian_prod(*tensors: Any) -> Any:
    """All combinations of the elements of vectors, one per row.

    >>> from tracegrad.eager import tensor
    >>> cartesian_prod(tensor([1, 2]), tensor([3, 4]))
    tensor([[1, 3],
            [1, 4],
            [2, 3],
            [2, 4]])
    """
    parts = _given("cartesian_prod", tensors)
    for x in parts:
        if len(shape_of(x)) != 1:
            raise ShapeError(f"Expect a 1D vector, but got shape {list(shape_of(x))}", fix="x.flatten()", where=user_frame())
    return parts[0] if len(parts) == 1 else stack([flatten(g) for g in meshgrid(*parts)], 1)


def combinations(input: Any, r: int = 2, with_replacement: bool = False) -> Any:
    """All choices of ``r`` elements of a vector, in order, one per row.

    >>> from tracegrad.eager import tensor
    >>> combinations(tensor([1, 2, 3]))
    tensor([[1, 2],
            [1, 3],
            [2, 3]])
    """
    if len(shape_of(input)) != 1:
        raise ShapeError(f"Expect a 1D vector, but got shape {list(shape_of(input))}", fix="x.flatten()", where=user_frame())
    if r < 0:
        raise ShapeError(f"Expect a non-negative number, but got {r}", fix="choose 0 elements or more", where=user_frame())
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    places = np.array(list(choose(range(shape_of(input)[0]), r)), np.int64).reshape(-1, r)
    if not math.prod(places.shape):
        return tensor_like(np.zeros(places.shape if r else (0,), input.dtype), input)
    return stack([take(input, places[:, k], 0) for k in range(r)], 1)
