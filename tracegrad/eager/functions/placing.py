"""Writing slices at a vector of indices and elements anywhere, with PyTorch's signatures; ``take`` reads them.

All of them give a new tensor. Gradients flow to the tensor and to the source; of several sources written to one position
the last one stays, and it alone gets the gradient.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracegrad.core.aval import Shape, shape_of
from tracegrad.core.source import user_frame
from tracegrad.eager.composite import recorded_as
from tracegrad.eager.functions.arguments import one_dim, tensor_like, values_of
from tracegrad.eager.functions.positions import PositionError, check_bounds, check_dtype, is_traced, refuse
from tracegrad.errors import DtypeError
from tracegrad.ops import indexing
from tracegrad.ops.indexing import getitem, setitem
from tracegrad.ops.maps import select
from tracegrad.ops.sources import running_index
from tracegrad.ops.views import broadcast_to, reshape

__all__ = ["index_add", "index_copy", "index_put", "put", "take"]

# -- along a dim, at a vector of indices ------------------------------------------------------------------------------


def _vector(name: str, x: Any, dim: int, index: Any, source: Any, prefix: str = "") -> tuple[int, Any]:
    """The dim and the index as a vector, checked against the source as PyTorch does."""
    place = one_dim(dim, len(shape_of(x)))
    check_dtype(name, index)
    if len(shape_of(index)) > 1:
        refuse(
            f"{name}(): Index is supposed to be a vector, but but got size: {list(shape_of(index))}",
            "index.flatten()",
        )
    if source.dtype != x.dtype:
        raise DtypeError(
            f"{name}(): self ({x.dtype}) and source ({source.dtype}) must have the same scalar type",
            fix="source.to(x.dtype)",
            where=user_frame(),
        )
    index = reshape(index, (-1,))
    own, shape = shape_of(source) or (1,), shape_of(x) or (1,)
    if len(own) != len(shape):
        refuse(
            f"{name}(): When source and destination are not scalars, their dimensionality must match. Source dimensionality "
            f"({len(own)}), destination dimensionality ({len(shape)})",
            "give the source the tensor's number of dimensions",
        )
    if own[place] != shape_of(index)[0]:
        refuse(
            f"{name}(): Number of indices ({shape_of(index)[0]}) should be equal to source.size(dim): ({own[place]}), for dim: "
            f"{place}",
            "give one index per slice of the source",
        )
    if any(n != m for k, (n, m) in enumerate(zip(own, shape, strict=True)) if k != place):
        refuse(
            "source tensor shape must match self tensor shape, excluding the specified dimension. Got self.shape = "
            f"{list(shape)} source.shape = {list(own)}",
            f"make the sizes equal but for dimension {place}",
        )
    check_bounds(index, shape[place], place, name=prefix)
    return place, index


@recorded_as("IndexAddBackward0")
def _index_added(x: Any, index: Any, source: Any, axis: int, alpha: Any) -> Any:
    shape = shape_of(x) or (1,)
    part = source if alpha == 1 else source * alpha
    part = reshape(part, (*shape[:axis], shape_of(index)[0], *shape[axis + 1 :]))
    return x + reshape(indexing.scatter_add(part, index, axis=axis, size=shape[axis]), shape_of(x))


def index_add(input: Any, dim: int, index: Any, source: Any, *, alpha: float = 1) -> Any:
    """The tensor with slices of a source, times ``alpha``, added at a vector of indices along a dim.

    >>> from tracegrad.eager import tensor
    >>> index_add(tensor([1.0, 1.0]), 0, tensor([1, 1]), tensor([5.0, 7.0]))
    tensor([ 1., 13.])
    """
    place, index = _vector("index_add_", input, dim, index, source)
    return _index_added(input, index, source, place, alpha if input.dtype.kind in "fc" else int(alpha))


@recorded_as("IndexCopyBackward0")
def _index_copied(x: Any, index: Any, source: Any, axis: int) -> Any:
    shape = shape_of(x) or (1,)
    part = reshape(source, (*shape[:axis], shape_of(index)[0], *shape[axis + 1 :]))
    return reshape(indexing.put(reshape(x, shape), index, part, axis=axis), shape_of(x))


def index_copy(input: Any, dim: int, index: Any, source: Any) -> Any:
    """The tensor with slices replaced by those of a source at a vector of indices along a dim.

    >>> from tracegrad.eager import tensor
    >>> index_copy(tensor([1.0, 2.0, 3.0]), 0, tensor([2, 0]), tensor([5.0, 7.0]))
    tensor([7., 2., 5.])
    """
    place, index = _vector("index_copy_", input, dim, index, source, "index_copy_(): ")
    return _index_copied(input, index, source, place)


# -- anywhere ---------------------------------------------------------------------------------------------------------


def _keys(x: Any, indices: Sequence[Any]) -> tuple[Any, ...]:
    """Index tensors one per dim, masks as the positions where they hold; None stands for a whole dim."""
    shape = shape_of(x)
    found: list[Any] = []
    for index in indices:
        if index is None:
            found.append(None)
            continue
        if index.dtype.kind == "b":
            mask = values_of(index, "index_put")
            if mask.shape != shape[len(found) : len(found) + mask.ndim]:
                refuse(
                    f"The shape of the mask {list(mask.shape)} at index {len(found)} does not match the shape of the indexed "
                    f"tensor {list(shape)}",
                    "give the mask the tensor's sizes",
                )
            found.extend(tensor_like(positions, index) for positions in np.nonzero(mask))
            continue
        check_dtype("index_put", index)
        found.append(index)
    if len(found) > len(shape):
        raise PositionError(
            f"too many indices for tensor of dimension {len(shape)} (got {len(found)})", fix="one per dim", where=user_frame()
        )
    for k, index in enumerate(found):
        if index is not None:
            check_bounds(index, shape[k], k, low=-shape[k])
    return tuple(found)


def _key(indices: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(slice(None) if index is None else index for index in indices)


def _flat_keys(x: Any, indices: tuple[Any, ...]) -> Any:
    """The flat positions that index tensors address."""
    shape = shape_of(x)
    order = running_index(math.prod(shape), x, *(index for index in indices if index is not None))
    return getitem(reshape(order, shape), _key(indices))


@recorded_as("IndexPutBackward0")
def _index_put(x: Any, indices: tuple[Any, ...], values: Any) -> Any:
    return setitem(x, _key(indices), values)


@recorded_as("IndexPutBackward0")
def _index_put_sum(x: Any, indices: tuple[Any, ...], values: Any) -> Any:
    places = _flat_keys(x, indices)
    part = reshape(broadcast_to(values, shape_of(places)), (-1,))
    total = indexing.scatter_add(part, reshape(places, (-1,)), axis=0, size=math.prod(shape_of(x)))
    return x + reshape(total, shape_of(x))


def _addressed(x: Any, indices: tuple[Any, ...]) -> Shape:
    """The shape of what index tensors select."""
    blank = np.broadcast_to(np.zeros((), bool), shape_of(x))
    zeros = tuple(None if index is None else np.zeros(shape_of(index), np.int64) for index in indices)
    return shape_of(getitem(blank, _key(zeros)))


def index_put(input: Any, indices: Sequence[Any], values: Any, accumulate: bool = False) -> Any:
    """The tensor with values written, or with ``accumulate`` added, where a tuple of index tensors or masks points.

    >>> from tracegrad.eager import tensor
    >>> index_put(tensor([1.0, 1.0]), (tensor([0, 0]),), tensor([5.0, 7.0]), accumulate=True)
    tensor([13.,  1.])
    """
    if values.dtype != input.dtype:
        raise DtypeError(
            f"Index put requires the source and destination dtypes match, got {input.dtype} for the destination and "
            f"{values.dtype} for the source.",
            fix="values.to(x.dtype)",
            where=user_frame(),
        )
    found = _keys(input, indices)
    own, wanted = shape_of(values), _addressed(input, found)
    if len(own) > len(wanted) or any(n not in (1, m) for n, m in zip(own[::-1], wanted[::-1], strict=False)):
        refuse(
            f"shape mismatch: value tensor of shape {list(own)} cannot be broadcast to indexing result of shape {list(wanted)}",
            "give values of that shape, or of sizes that broadcast to it",
        )
    return (_index_put_sum if accumulate else _index_put)(input, found, values)


def _check_flat(index: Any, x: Any) -> None:
    """Raise PositionError unless the indices count the tensor's elements, from the first or backwards from the end."""
    size = math.prod(shape_of(x))
    check_dtype("take", index)
    if is_traced(index):
        return
    values = values_of(index, "take")
    if values.size and (values.min() < -size or values.max() >= size):
        wrong = values[(values < -size) | (values >= size)].flat[0]
        raise PositionError(
            f"out of range: tried to access index {wrong} on a tensor of {size} elements.",
            fix="indices count the elements of the flattened tensor",
            where=user_frame(),
        )


def _counted(index: Any, x: Any) -> Any:
    """Non-negative flat positions in a vector."""
    size = math.prod(shape_of(x))
    return reshape(select(index < 0, index + size, index), (-1,))


@recorded_as("TakeBackward0")
def _taken(x: Any, index: Any) -> Any:
    return reshape(indexing.gather(reshape(x, (-1,)), _counted(index, x), axis=0), shape_of(index))


def take(input: Any, index: Any) -> Any:
    """The elements of the flattened tensor at indices, in the shape of these.

    >>> from tracegrad.eager import tensor
    >>> take(tensor([[1.0, 2.0], [3.0, 4.0]]), tensor([3, 0]))
    tensor([4., 1.])
    """
    _check_flat(index, input)
    return _taken(input, index)


@recorded_as("PutBackward0")
def _put(x: Any, index: Any, source: Any, accumulate: bool) -> Any:
    line, places, part = reshape(x, (-1,)), _counted(index, x), reshape(source, (-1,))
    if accumulate:
        return x + reshape(indexing.scatter_add(part, places, axis=0, size=shape_of(line)[0]), shape_of(x))
    return reshape(indexing.put(line, places, part, axis=0), shape_of(x))


def put(input: Any, index: Any, source: Any, accumulate: bool = False) -> Any:
    """The tensor with a source written, or added, at indices into its flattened elements.

    >>> from tracegrad.eager import tensor
    >>> put(tensor([[1.0, 2.0], [3.0, 4.0]]), tensor([3, 0]), tensor([9.0, 8.0]))
    tensor([[8., 2.],
            [3., 9.]])
    """
    if math.prod(shape_of(source)) != math.prod(shape_of(index)):
        refuse(
            "put_(): Expected source and index to have the same number of elements, but got source.numel() = "
            f"{math.prod(shape_of(source))}, index.numel() = {math.prod(shape_of(index))}",
            "give one value per index",
        )
    if source.dtype != input.dtype:
        raise DtypeError(
            f"put_(): self and source expected to have the same dtype, but got self.dtype = {input.dtype} and source.dtype = "
            f"{source.dtype}",
            fix="source.to(x.dtype)",
            where=user_frame(),
        )
    _check_flat(index, input)
    return _put(input, index, source, bool(accumulate))
