"""Functions that read and write elements at positions or where a mask holds."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tracegrad.core.aval import broadcast_shapes, shape_of
from tracegrad.core.source import user_frame
from tracegrad.eager.composite import recorded_as
from tracegrad.eager.functions.arguments import as_dtype, fitting, labelled, one_dim, tensor_like, values_of
from tracegrad.eager.functions.cutting import select as select_slice
from tracegrad.errors import DtypeError, ShapeError
from tracegrad.ops.broadcasting import broadcast, reshape_to
from tracegrad.ops.indexing import getitem as by_key
from tracegrad.ops.indexing import put
from tracegrad.ops.indexing import take as taken
from tracegrad.ops.maps import select

__all__ = [
    "argwhere",
    "index_fill",
    "index_select",
    "masked_fill",
    "masked_scatter",
    "masked_select",
    "nonzero",
    "where",
]


def _integer_index(name: str, index: Any) -> None:
    if index.dtype.kind not in "iu":
        raise DtypeError(
            f"{name}(): Expected dtype int32 or int64 for index, got {index.dtype}",
            fix="index.to(torch.int64)",
            where=user_frame(),
        )


def _mask(name: str, mask: Any) -> None:
    if getattr(mask, "dtype", None) != np.dtype(bool):
        raise DtypeError(
            f"{name} only supports boolean masks, but got mask with dtype {getattr(mask, 'dtype', type(mask).__name__)}",
            fix="mask.to(torch.bool), or a comparison such as x > 0",
            where=user_frame(),
        )


# -- keys -------------------------------------------------------------------------------------------------------------


def _name_of(key: Any) -> str:
    """PyTorch's name for the last step of reading by a key: index arrays come last, then whatever stands last."""
    name = ""
    for part in reversed(key if isinstance(key, tuple) else (key,)):
        if isinstance(part, (list, tuple, range)) or (hasattr(part, "dtype") and (shape_of(part) or part.dtype.kind == "b")):
            return "IndexBackward0"
        if name or part is Ellipsis or part == slice(None):
            continue
        name = "SliceBackward0" if isinstance(part, slice) else "UnsqueezeBackward0" if part is None else "SelectBackward0"
    return name


def getitem(input: Any, key: Any) -> Any:
    """``input[key]`` with integers, slices, None, Ellipsis, integer tensors and masks.

    >>> from tracegrad.eager import tensor
    >>> getitem(tensor([1.0, 2.0, 3.0]), slice(1, None))
    tensor([2., 3.])
    """
    kind = type(key)
    if kind is int and shape_of(input):
        return select_slice(input, 0, key)
    if kind is slice and key.step is None:
        return by_key(input, key)  # whose name is that of its op
    found = by_key(input, key)
    if found is input or getattr(found, "grad_fn", None) is None:
        return found
    name = _name_of(key)
    return labelled(name, found) if name else found


# -- at positions -----------------------------------------------------------------------------------------------------


@recorded_as("IndexSelectBackward0")
def _index_selected(x: Any, index: Any, place: int) -> Any:
    return taken(x, index, place)


def index_select(input: Any, dim: int, index: Any) -> Any:
    """The slices along a dim at a vector of positions.

    >>> from tracegrad.eager import tensor
    >>> index_select(tensor([1.0, 2.0, 3.0]), 0, tensor([2, 0]))
    tensor([3., 1.])
    """
    _integer_index("index_select", index)
    if len(shape_of(index)) > 1:
        raise ShapeError(
            f"index_select(): Index is supposed to be a vector, got {len(shape_of(index))}D",
            fix="index.flatten()",
            where=user_frame(),
        )
    place = one_dim(dim, len(shape_of(input)))
    vector = reshape_to(index, shape=(1,)) if not shape_of(index) else index
    if not shape_of(input):
        return reshape_to(_index_selected(reshape_to(input, shape=(1,)), vector, 0), shape=())
    return _index_selected(input, vector, place)


def _index_filled(x: Any, index: Any, value: Any, place: int) -> Any:
    count = shape_of(index)[0]
    shape = tuple(count if k == place else n for k, n in enumerate(shape_of(x)))
    return put(x, index, broadcast(value, shape=shape), axis=place)


_filled_by_number = recorded_as("IndexFillBackward0")(_index_filled)
_filled_by_tensor = recorded_as("IndexFillBackward1")(_index_filled)


def index_fill(input: Any, dim: int, index: Any, value: Any) -> Any:
    """A copy with the slices at positions along a dim filled with one value.

    >>> from tracegrad.eager import tensor
    >>> index_fill(tensor([1.0, 2.0, 3.0]), 0, tensor([1]), -1.0)
    tensor([ 1., -1.,  3.])
    """
    _integer_index("index_fill", index)
    place = one_dim(dim, len(shape_of(input)))
    if shape_of(value):
        raise ShapeError(
            f"index_fill_ only supports a 0-dimensional value tensor, but got tensor with {len(shape_of(value))} dimension(s).",
            fix="index_copy takes a slice per position",
            where=user_frame(),
        )
    positions = reshape_to(index, shape=(1,)) if not shape_of(index) else index
    size = shape_of(input)[place]
    positions = select(positions < 0, positions + size, positions)
    if getattr(value, "bind_rank", 0):
        return _filled_by_tensor(input, positions, as_dtype(value, input.dtype), place)
    return _filled_by_number(input, positions, tensor_like(np.asarray(fitting(value, input.dtype), input.dtype), input), place)


# -- where a mask holds -----------------------------------------------------------------------------------------------


@recorded_as("MaskedFillBackward0")
def _filled_with_number(x: Any, mask: Any, value: float) -> Any:
    return select(mask, value, x)


@recorded_as("MaskedFillBackward1")
def _filled_with_tensor(x: Any, mask: Any, value: Any) -> Any:
    return select(mask, value, x)


def masked_fill(input: Any, mask: Any, value: Any) -> Any:
    """A copy with one value where the mask holds.

    >>> from tracegrad.eager import tensor
    >>> masked_fill(tensor([1.0, 2.0]), tensor([True, False]), 0.0)
    tensor([0., 2.])
    """
    _mask("masked_fill", mask)
    if not getattr(value, "bind_rank", 0):
        if shape_of(value):
            raise ShapeError("masked_fill: the value is one number", fix="torch.where(mask, value, x)", where=user_frame())
        number = fitting(np.asarray(value).item(), input.dtype)
        if input.dtype.kind in "iu" and isinstance(number, float):
            if not number.is_integer():
                raise DtypeError(
                    f"value cannot be converted to type {input.dtype} without overflow: {number}",
                    fix="cast x first",
                    where=user_frame(),
                )
            number = int(number)
        return as_dtype(_filled_with_number(input, mask, number), input.dtype)
    if shape_of(value):
        raise ShapeError(
            f"masked_fill only supports a 0-dimensional value tensor, but got tensor with {len(shape_of(value))} dimension(s).",
            fix="torch.where(mask, value, x)",
            where=user_frame(),
        )
    return _filled_with_tensor(input, mask, as_dtype(value, input.dtype))


@recorded_as("MaskedSelectBackward0")
def _at_flat(x: Any, places: Any, shape: tuple[int, ...]) -> Any:
    return taken(reshape_to(broadcast(x, shape=shape), shape=(math.prod(shape),)), places, 0)


def masked_select(input: Any, mask: Any) -> Any:
    """The elements where the mask holds, row by row, as a vector.

    >>> from tracegrad.eager import tensor
    >>> masked_select(tensor([1.0, 2.0, 3.0]), tensor([True, False, True]))
    tensor([1., 3.])
    """
    _mask("masked_select", mask)
    shape = tuple(broadcast_shapes(shape_of(input), shape_of(mask)))
    holds = np.broadcast_to(values_of(mask, "masked_select"), shape)
    return _at_flat(input, tensor_like(np.flatnonzero(holds), input), shape)


@recorded_as("MaskedScatterBackward0")
def _scattered(x: Any, source: Any, places: Any) -> Any:
    count = shape_of(places)[0]
    values = taken(reshape_to(source, shape=(math.prod(shape_of(source)),)), np.arange(count), 0)
    return reshape_to(put(reshape_to(x, shape=(math.prod(shape_of(x)),)), places, values, axis=0), shape=shape_of(x))


def masked_scatter(input: Any, mask: Any, source: Any) -> Any:
    """A copy with the elements where the mask holds replaced by those of ``source``, one after the other.

    >>> from tracegrad.eager import tensor
    >>> masked_scatter(tensor([0.0, 0.0, 0.0]), tensor([True, False, True]), tensor([5.0, 6.0]))
    tensor([5., 0., 6.])
    """
    _mask("masked_scatter", mask)
    if source.dtype != input.dtype:
        raise DtypeError(
            f"masked_scatter: expected self and source to have same dtypes but got {input.dtype} and {source.dtype}",
            fix=f"source.to(torch.{input.dtype})",
            where=user_frame(),
        )
    shape = tuple(broadcast_shapes(shape_of(input), shape_of(mask)))
    places = np.flatnonzero(np.broadcast_to(values_of(mask, "masked_scatter"), shape))
    if places.size > math.prod(shape_of(source)):
        raise ShapeError(
            f"masked_scatter: expected at least {places.size} elements in source, got {math.prod(shape_of(source))}",
            fix="give as many elements as the mask has true ones",
            where=user_frame(),
        )
    return _scattered(broadcast(input, shape=shape), source, tensor_like(places, input))


def nonzero(input: Any, *, as_tuple: bool = False) -> Any:
    """The positions of the elements that are not 0: one row each, or with ``as_tuple`` one vector per dim.

    >>> from tracegrad.eager import tensor
    >>> nonzero(tensor([[1.0, 0.0], [0.0, 4.0]]))
    tensor([[0, 0],
            [1, 1]])
    """
    values = values_of(input, "nonzero")
    if as_tuple:
        return tuple(tensor_like(places, input) for places in np.nonzero(np.atleast_1d(values)))
    return tensor_like(np.argwhere(values), input)


def argwhere(input: Any) -> Any:
    """The positions of the elements that are not 0, one row each.

    >>> from tracegrad.eager import tensor
    >>> argwhere(tensor([0.0, 2.0]))
    tensor([[1]])
    """
    return nonzero(input)


def where(condition: Any, input: Any = None, other: Any = None) -> Any:
    """``input`` where the condition holds, ``other`` elsewhere; the condition alone gives its positions.

    >>> from tracegrad.eager import tensor
    >>> where(tensor([True, False]), tensor([1.0, 2.0]), 0.0)
    tensor([1., 0.])
    """
    if input is None and other is None:
        return nonzero(condition, as_tuple=True)
    if getattr(condition, "dtype", None) != np.dtype(bool):
        raise DtypeError(
            "where expected condition to be a boolean tensor, but got a tensor with dtype "
            f"{getattr(condition, 'dtype', type(condition))}",
            fix="a comparison such as x > 0, or condition.to(torch.bool)",
            where=user_frame(),
        )
    return select(condition, input, other)
