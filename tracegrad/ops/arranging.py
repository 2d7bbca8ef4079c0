"""More of NumPy's ways to arrange arrays: turned, stacked in depth, in blocks, with parts put in or left out."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracegrad.core.aval import broadcast_shapes, normalise_axis, one_int, shape_of
from tracegrad.errors import ShapeError, TraceError
from tracegrad.ops.assembly import atleast_3d, diag, moveaxis, split
from tracegrad.ops.indexing import getitem, setitem
from tracegrad.ops.maps import clip, multiply, select
from tracegrad.ops.reductions import as_operand
from tracegrad.ops.scans import cumsum
from tracegrad.ops.sources import known
from tracegrad.ops.views import broadcast_to, concatenate, expand_dims, flip, reshape, transpose

# -- axes -------------------------------------------------------------------------------------------------------------


def rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    """``np.rollaxis``."""
    ndim = len(shape_of(a))
    axis = normalise_axis(axis, ndim)
    start = start + ndim if start < 0 else start
    if not 0 <= start <= ndim:
        raise ShapeError(f"rollaxis to {start} of {ndim} axes", fix="use np.moveaxis, which is easier to read")
    return moveaxis(a, axis, start - 1 if axis < start else start)


def matrix_transpose(x: Any) -> Any:
    """``np.matrix_transpose``: the last two axes change places."""
    _need("matrix_transpose", x, 2)
    return moveaxis(x, -1, -2)


def _need(name: str, x: Any, axes: int) -> None:
    if len(shape_of(x)) < axes:
        raise ShapeError(f"np.{name} of an array of shape {shape_of(x)}", fix=f"give an array with {axes} axes or more")


def fliplr(m: Any) -> Any:
    """``np.fliplr``."""
    _need("fliplr", m, 2)
    return flip(m, 1)


def flipud(m: Any) -> Any:
    """``np.flipud``."""
    _need("flipud", m, 1)
    return flip(m, 0)


def rot90(m: Any, k: int = 1, axes: Sequence[int] = (0, 1)) -> Any:
    """``np.rot90``."""
    ndim = len(shape_of(m))
    first, second = (normalise_axis(a, ndim) for a in axes)
    if first == second:
        raise ShapeError(f"rot90 with axes={tuple(axes)}", fix="name two different axes")
    if k % 4 == 0:
        return getitem(m, Ellipsis)
    if k % 4 == 2:
        return flip(m, (first, second))
    order = list(range(ndim))
    order[first], order[second] = second, first
    return transpose(flip(m, second), order) if k % 4 == 1 else flip(transpose(m, order), second)


# -- joining and cutting ----------------------------------------------------------------------------------------------


def dstack(arrays: Sequence[Any]) -> Any:
    """``np.dstack``."""
    return concatenate([_deep(as_operand(a)) for a in arrays], 2)


def _deep(x: Any) -> Any:
    return reshape(x, (1, 1, 1)) if not shape_of(x) else atleast_3d(x)


def hsplit(ary: Any, sections: int | Sequence[int]) -> list[Any]:
    """``np.hsplit``."""
    _need("hsplit", ary, 1)
    return split(ary, sections, 1 if len(shape_of(ary)) > 1 else 0)


def vsplit(ary: Any, sections: int | Sequence[int]) -> list[Any]:
    """``np.vsplit``."""
    _need("vsplit", ary, 2)
    return split(ary, sections, 0)


def dsplit(ary: Any, sections: int | Sequence[int]) -> list[Any]:
    """``np.dsplit``."""
    _need("dsplit", ary, 3)
    return split(ary, sections, 2)


def unstack(x: Any, /, *, axis: int = 0) -> tuple[Any, ...]:
    """``np.unstack``: the slices along an axis."""
    _need("unstack", x, 1)
    lead = (slice(None),) * normalise_axis(axis, len(shape_of(x)))
    return tuple(getitem(x, (*lead, k)) for k in range(shape_of(x)[len(lead)]))


def block(arrays: Any) -> Any:
    """``np.block`` of nested lists."""
    depth, rank = _depth(arrays)
    return _blocks(arrays, depth, max(depth, rank), 0)


def _depth(arrays: Any) -> tuple[int, int]:
    """How deeply lists are nested, and the most axes of an array in them."""
    if not isinstance(arrays, list):
        return 0, len(shape_of(as_operand(arrays)))
    if not arrays:
        raise ShapeError("np.block of an empty list", fix="give at least one array in each list")
    found = [_depth(a) for a in arrays]
    if len({depth for depth, _ in found}) > 1:
        raise ShapeError("np.block of lists nested to different depths", fix="nest all lists equally deep")
    return found[0][0] + 1, max(rank for _, rank in found)


def _blocks(arrays: Any, depth: int, rank: int, level: int) -> Any:
    if level < depth:
        return concatenate([_blocks(a, depth, rank, level + 1) for a in arrays], rank - depth + level)
    x = as_operand(arrays)
    return reshape(x, (1,) * (rank - len(shape_of(x))) + shape_of(x))


def broadcast_arrays(*args: Any, subok: bool = False) -> tuple[Any, ...]:
    """``np.broadcast_arrays``."""
    arrays = [as_operand(a) for a in args]
    shape = broadcast_shapes(*(shape_of(a) for a in arrays))
    return tuple(broadcast_to(a, shape) for a in arrays)


def resize(a: Any, new_shape: int | Sequence[int]) -> Any:
    """``np.resize``: the elements, repeated as often as it takes."""
    shape = tuple(operator.index(n) for n in np.atleast_1d(new_shape))
    wanted, size = math.prod(shape), math.prod(shape_of(a))
    if not size:
        raise ShapeError("np.resize of an empty array", fix="make an array of zeros instead: np.zeros(shape)")
    return reshape(getitem(reshape(a, -1), np.arange(wanted) % size), shape)


# -- parts put in or left out -----------------------------------------------------------------------------------------


def _static(name: str, obj: Any) -> Any:
    if getattr(obj, "bind_rank", 0):
        raise TraceError(f"np.{name} at traced positions has no static shape", fix="give the positions as a NumPy array")
    return obj


def delete(arr: Any, obj: Any, axis: int | None = None) -> Any:
    """``np.delete`` of concrete positions, a slice or a mask."""
    if axis is None:
        arr, axis = reshape(arr, -1), 0
    place = normalise_axis(axis, len(shape_of(arr)))
    kept = np.delete(np.arange(shape_of(arr)[place]), _static("delete", obj))
    return getitem(arr, (*(slice(None),) * place, kept))


def insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Any:
    """``np.insert`` before concrete positions; the values take the array's dtype."""
    if axis is None:
        arr, axis = reshape(as_operand(arr), -1), 0
    arr, values = as_operand(arr), as_operand(values)
    place = normalise_axis(axis, len(shape_of(arr)))
    size = shape_of(arr)[place]
    obj = _static("insert", obj)
    # what NumPy does with the positions themselves: where each element comes from, those from outside beyond the end
    single = one_int(obj) is not None
    if single and shape_of(values):  # one position takes the whole block of values
        rank = len(shape_of(arr))
        values = reshape(values, (1,) * (rank - len(shape_of(values))) + shape_of(values))
        values = moveaxis(values, 0, place)
        count = shape_of(values)[place]
        order = np.insert(np.arange(size), int(obj), np.arange(size, size + count))
    else:
        order = np.insert(np.arange(size), obj, -1)
        count = int((order < 0).sum())
        order[order < 0] = np.arange(size, size + count)[_ranks(obj, size, count)]
    shape = tuple(count if k == place else n for k, n in enumerate(shape_of(arr)))
    filled = broadcast_to(values if values.dtype == arr.dtype else values.astype(arr.dtype), shape)
    return getitem(concatenate([arr, filled], place), (*(slice(None),) * place, order))


def _ranks(obj: Any, size: int, count: int) -> Any:
    """Which of the values stands at each new place, in order of place."""
    at = np.arange(size)[obj] if isinstance(obj, slice) else np.asarray(obj)
    at = np.flatnonzero(at) if at.dtype == bool else at.reshape(-1)
    return np.argsort(np.where(at < 0, at + size, at), kind="stable") if at.size == count else np.zeros(count, int)


# -- matrices ---------------------------------------------------------------------------------------------------------


def diagflat(v: Any, k: int = 0) -> Any:
    """``np.diagflat``."""
    return diag(reshape(v, -1), k)


def kron(a: Any, b: Any) -> Any:
    """``np.kron``."""
    a, b = as_operand(a), as_operand(b)
    rank = max(len(shape_of(a)), len(shape_of(b)))
    left = (1,) * (rank - len(shape_of(a))) + shape_of(a)
    right = (1,) * (rank - len(shape_of(b))) + shape_of(b)
    product = multiply(
        reshape(a, tuple(n for size in left for n in (size, 1))), reshape(b, tuple(n for size in right for n in (1, size)))
    )
    return reshape(product, tuple(m * n for m, n in zip(left, right, strict=True)))


def vecmat(x1: Any, x2: Any, /) -> Any:
    """``np.vecmat``: vectors times matrices."""
    _need("vecmat", x1, 1)
    return getitem(expand_dims(x1, -2) @ x2, (Ellipsis, 0, slice(None)))


def matvec(x1: Any, x2: Any, /) -> Any:
    """``np.matvec``: matrices times vectors."""
    _need("matvec", x2, 1)
    return getitem(x1 @ expand_dims(x2, -1), (Ellipsis, 0))


# -- writing ----------------------------------------------------------------------------------------------------------


def fill_diagonal(a: Any, val: Any, wrap: bool = False) -> None:
    """``np.fill_diagonal`` of an array made inside the trace."""
    shape = shape_of(a)
    if len(shape) < 2 or (len(shape) > 2 and len(set(shape)) > 1):
        raise ShapeError(f"fill_diagonal of an array of shape {shape}", fix="give a matrix, or an array with all axes equal")
    value = as_operand(val)
    if not shape_of(value) and not wrap:
        k = np.arange(min(shape))
        a[(k,) * len(shape)] = val
        return
    rows, columns = shape[0], shape[-1]
    step = columns + 1 if len(shape) == 2 else sum(rows**k for k in range(len(shape)))
    end = math.prod(shape) if wrap or len(shape) > 2 else min(columns * columns, math.prod(shape))
    places = np.arange(0, end, step)
    line = reshape(_own_dtype(value, a), -1)
    filled = setitem(reshape(a.copy(), -1), places, getitem(line, np.arange(places.size) % shape_of(line)[0]))
    a[...] = reshape(filled, shape)


def put_along_axis(arr: Any, indices: Any, values: Any, axis: int | None) -> None:
    """``np.put_along_axis`` into an array made inside the trace."""
    if axis is None:
        raise TraceError("put_along_axis with axis=None is not traced", fix="write through the flat view: x.ravel()[i] = v")
    place = normalise_axis(axis, len(shape_of(arr)))
    ndim = len(shape_of(arr))
    if len(shape_of(indices)) != ndim:
        raise ShapeError(
            f"put_along_axis into shape {shape_of(arr)} with indices of shape {shape_of(indices)}",
            fix="give indices with as many axes as the array has (np.expand_dims)",
        )
    key = [np.arange(n).reshape(tuple(-1 if d == k else 1 for d in range(ndim))) for k, n in enumerate(shape_of(arr))]
    arr[tuple(indices if k == place else positions for k, positions in enumerate(key))] = values


def put(a: Any, ind: Any, v: Any, mode: str = "raise") -> None:
    """``np.put`` into an array made inside the trace."""
    if mode != "raise":
        raise TraceError(f"put with mode={mode!r} is not traced", fix="bring the positions into range first: i % x.size")
    positions = as_operand(ind) if getattr(ind, "bind_rank", 0) else np.asarray(ind)
    values = reshape(as_operand(v), -1)
    count = math.prod(shape_of(positions))
    if shape_of(values) != (count,):
        values = getitem(values, np.arange(count) % shape_of(values)[0])
    flat = setitem(reshape(a, -1), reshape(positions, -1), values if values.dtype == a.dtype else values.astype(a.dtype))
    a[...] = reshape(flat, shape_of(a))


def putmask(a: Any, mask: Any, values: Any) -> None:
    """``np.putmask`` into an array made inside the trace: of fewer values, the one at an element's own place, over and over."""
    values = _own_dtype(values, a)
    size, count = math.prod(shape_of(a)), math.prod(shape_of(values))
    if not count:
        return
    if shape_of(values) not in ((), shape_of(a)):
        values = reshape(values, -1)
        values = reshape(getitem(values, np.arange(size) % count), shape_of(a)) if count > 1 else getitem(values, 0)
    a[...] = select(_mask_of(mask, a), values, a.copy())


def place(arr: Any, mask: Any, vals: Any) -> None:
    """``np.place`` into an array made inside the trace: the values where the mask holds, one after the other, over and over."""
    values = reshape(_own_dtype(vals, arr), -1)
    count = shape_of(values)[0]
    if not count:
        raise ShapeError("np.place of no values", fix="give one value or more")
    mask = _mask_of(mask, arr)
    if count == 1:
        chosen = getitem(values, 0)
    else:
        rank = cumsum(reshape(mask, -1)) - 1
        chosen = reshape(getitem(values, clip(rank, 0, None) % count), shape_of(arr))
    arr[...] = select(mask, chosen, arr.copy())


def _own_dtype(values: Any, a: Any) -> Any:
    values = as_operand(values)
    return values if values.dtype == a.dtype else values.astype(a.dtype)


def _mask_of(mask: Any, a: Any) -> Any:
    mask = as_operand(mask)
    if math.prod(shape_of(mask)) != math.prod(shape_of(a)):
        raise ShapeError(
            f"a mask of shape {shape_of(mask)} for an array of shape {shape_of(a)}", fix="give a mask of its shape"
        )
    mask = mask if mask.dtype.kind == "b" else mask != 0
    return mask if shape_of(mask) == shape_of(a) else reshape(mask, shape_of(a))


def ix_(*args: Any) -> tuple[Any, ...]:
    """``np.ix_``: vectors of positions, or concrete masks, each along an axis of its own.

    >>> [x.shape for x in ix_(np.array([0, 2]), np.array([1, 1, 0]))]
    [(2, 1), (1, 3)]
    """
    found = []
    for k, arg in enumerate(args):
        vector = as_operand(arg)
        if len(shape_of(vector)) != 1:
            raise ShapeError(f"np.ix_ of an array of shape {shape_of(vector)}", fix="give vectors of positions")
        if vector.dtype.kind == "b":
            values = known(vector, False)
            if values is None:
                raise TraceError("np.ix_ of a traced mask has no static shape", fix="keep the shape: np.where(mask, x, 0)")
            vector = np.flatnonzero(values)
        elif not shape_of(vector)[0]:
            vector = np.zeros(0, np.int64)
        found.append(reshape(vector, tuple(-1 if d == k else 1 for d in range(len(args)))))
    return tuple(found)


def unravel_index(indices: Any, shape: Any, order: str = "C") -> tuple[Any, ...]:
    """``np.unravel_index``, of traced positions without a check of their range.

    >>> [int(k) for k in unravel_index(np.array(5), (2, 3))]
    [1, 2]
    """
    indices = as_operand(indices)
    sizes = (int(shape),) if np.ndim(shape) == 0 else tuple(int(n) for n in shape)
    found, left = [], indices
    for n in reversed(sizes) if order == "C" else sizes:
        found.append(left % n)
        left = left // n
    return tuple(reversed(found)) if order == "C" else tuple(found)


def sliding_window_view(x: Any, window_shape: Any, axis: Any = None, *, subok: bool = False, writeable: bool = False) -> Any:
    """``np.lib.stride_tricks.sliding_window_view``: a copy.

    >>> sliding_window_view(np.array([1, 2, 3]), 2)
    array([[1, 2],
           [2, 3]])
    """
    x = as_operand(x)
    windows = (int(window_shape),) if np.ndim(window_shape) == 0 else tuple(int(n) for n in window_shape)
    axes = range(len(shape_of(x))) if axis is None else (axis,) if np.ndim(axis) == 0 else axis
    if len(windows) != len(axes):
        raise ShapeError(f"{len(windows)} windows for {len(axes)} axes", fix="give one for each axis, or axis=")
    for window, at in zip(windows, axes, strict=True):
        place = normalise_axis(at, len(shape_of(x)))
        count = shape_of(x)[place] - window + 1
        if count < 1 or window < 0:
            raise ShapeError(f"a window of {window} in an axis of {shape_of(x)[place]}", fix="give a window that fits")
        first = np.arange(count).reshape(-1, 1)
        x = moveaxis(getitem(x, (*(slice(None),) * place, first + np.arange(window))), place + 1, -1)
    return x
