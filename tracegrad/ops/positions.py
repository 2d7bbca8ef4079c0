"""Where a condition holds, and which values there are: ``nonzero`` and its kin, ``unique``.

How many there are is known at run time only, so the results are selections (``ops.selection``): positions by the mask that
they came from, and the sorted elements of which the first of equal ones are selected. What is known while tracing gives arrays.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tracegrad.core.aval import normalise_axis, shape_of
from tracegrad.errors import ShapeError, TraceError
from tracegrad.ops.comparisons import isnan, logical_and
from tracegrad.ops.indexing import gather, getitem, put, scatter_add
from tracegrad.ops.maps import cast, clip
from tracegrad.ops.reductions import as_operand
from tracegrad.ops.scans import cumsum
from tracegrad.ops.selection import Selection, select_by
from tracegrad.ops.sorting import argsort, search
from tracegrad.ops.sources import TRACED, known, running_index
from tracegrad.ops.views import broadcast_to, concatenate, reshape, stack


def _condition(a: Any) -> Any:
    """Where an array is not 0: an array where that is known, else a traced mask."""
    a = as_operand(a)
    values = known(a, given=a.dtype.kind != "b")
    if values is not None:
        return values != 0
    mask = a if a.dtype.kind == "b" else a != 0
    return mask.copy() if getattr(mask, "bind_rank", 0) >= TRACED else mask


def _grids(mask: Any) -> list[Any]:
    """The positions along each axis, in the shape of a mask."""
    shape = shape_of(mask)
    if not shape:
        raise ShapeError("nonzero of a number", fix="np.atleast_1d(x) makes it an array")
    lines = [reshape(running_index(n, mask), tuple(n if d == k else 1 for d in range(len(shape)))) for k, n in enumerate(shape)]
    return [broadcast_to(line, shape) for line in lines]


def nonzero(a: Any) -> tuple[Any, ...]:
    """``np.nonzero``, and ``np.where`` of a condition alone.

    >>> nonzero(np.array([0.0, 2.0, 3.0]))
    (array([1, 2]),)
    """
    mask = _condition(a)
    if isinstance(mask, np.ndarray):
        return np.nonzero(mask)
    return tuple(Selection(grid, mask, k) for k, grid in enumerate(_grids(mask)))


def flatnonzero(a: Any) -> Any:
    """``np.flatnonzero``.

    >>> flatnonzero(np.array([[0, 2], [3, 0]]))
    array([1, 2])
    """
    return nonzero(reshape(as_operand(a), (-1,)))[0]


def argwhere(a: Any) -> Any:
    """``np.argwhere``.

    >>> argwhere(np.array([[0, 2], [3, 0]]))
    array([[0, 1],
           [1, 0]])
    """
    mask = _condition(a)
    if isinstance(mask, np.ndarray):
        return np.argwhere(mask)
    return Selection(stack(_grids(mask), -1), mask)


def extract(condition: Any, arr: Any) -> Any:
    """``np.extract``.

    >>> extract(np.array([True, False]), np.array([5.0, 6.0]))
    array([5.])
    """
    arr = reshape(as_operand(arr), (-1,))
    mask = _condition(reshape(as_operand(condition), (-1,)))
    return getitem(arr, np.flatnonzero(mask)) if isinstance(mask, np.ndarray) else select_by(arr, mask)


def compress(condition: Any, a: Any, axis: int | None = None, out: None = None) -> Any:
    """``np.compress``; by a traced condition along the first axis, or of a vector.

    >>> compress(np.array([False, True]), np.array([[1.0, 2.0], [3.0, 4.0]]), axis=0)
    array([[3., 4.]])
    """
    if out is not None:
        raise TraceError("out= writes into an array", fix="assign the result instead: y = np.compress(...)")
    a = as_operand(a)
    a, axis = (reshape(a, (-1,)), 0) if axis is None else (a, axis)
    place = normalise_axis(axis, len(shape_of(a)))
    mask = _condition(condition)
    if isinstance(mask, np.ndarray):
        return getitem(a, (*(slice(None),) * place, np.flatnonzero(mask)))
    if place:
        raise TraceError(
            f"np.compress by a traced condition along axis {axis}",
            fix="bring the axis to the front: np.moveaxis(x, axis, 0)",
        )
    return select_by(getitem(a, slice(0, shape_of(mask)[0])), mask)


def unique(
    ar: Any,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    *,
    equal_nan: bool = True,
    sorted: bool = True,  # noqa: A002
) -> Any:
    """``np.unique`` of all elements; the gradient of a value goes to the first element that has it.

    >>> unique(np.array([3.0, 1.0, 3.0]), return_counts=True)
    (array([1., 3.]), array([1, 2]))
    """
    if axis is not None:
        raise TraceError("np.unique along an axis is not traced", fix="leave axis= out, or number the rows: x @ weights")
    x = as_operand(ar)
    shape, size = shape_of(x), math.prod(shape_of(x))
    flat = reshape(x, (size,))
    order = argsort(flat)
    values = gather(flat, order, axis=0)
    before, after = getitem(values, slice(None, -1)), getitem(values, slice(1, None))
    fresh = before != after
    if equal_nan and x.dtype.kind == "f":
        fresh = logical_and(fresh, ~logical_and(isnan(before), isnan(after)))
    first = concatenate([np.ones(min(size, 1), bool), fresh])
    number = cumsum(first) - 1
    found = [values] + ([order] if return_index else [])
    if return_counts:
        ones = np.broadcast_to(np.ones((), np.int64), (size,))
        found.append(gather(scatter_add(ones, number, axis=0, size=size), number, axis=0))
    kept = known(first) if getattr(first, "bind_rank", 0) < TRACED else None
    results = [Selection(f, first) if kept is None else getitem(f, np.flatnonzero(kept)) for f in found]
    if return_inverse:
        nowhere = cast(running_index(size, number), dtype=np.dtype(np.int64))
        results.insert(1 + return_index, reshape(put(nowhere, order, number, axis=0), shape))
    return results[0] if len(results) == 1 else tuple(results)


def isin(element: Any, test_elements: Any, assume_unique: bool = False, invert: bool = False, *, kind: None = None) -> Any:
    """``np.isin``, by a search among the sorted test elements.

    >>> isin(np.array([1, 2]), [2, 5])
    array([False,  True])
    """
    x, line = as_operand(element), reshape(as_operand(test_elements), (-1,))
    size = shape_of(line)[0]
    if not size:
        return broadcast_to(np.full((), invert), shape_of(x))
    dtype = np.result_type(x.dtype, line.dtype)
    x, line = (v if v.dtype == dtype else cast(v, dtype=dtype) for v in (x, line))
    line = gather(line, argsort(line), axis=0)
    flat = reshape(x, (-1,))
    place = clip(search(line, flat, right=False), 0, size - 1)
    found = reshape(gather(line, place, axis=0) == flat, shape_of(x))
    return ~found if invert else found


def _those(found: Any, kept: Any) -> Any:
    """Of unique elements those that are kept."""
    if isinstance(found, Selection):
        return Selection(found.whole, logical_and(found.mask, kept(found.whole)))
    chosen = kept(found)
    return select_by(found, chosen) if getattr(chosen, "bind_rank", 0) >= TRACED else getitem(found, np.flatnonzero(chosen))


def intersect1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    """``np.intersect1d``.

    >>> intersect1d(np.array([3, 1, 2]), [2, 3])
    array([2, 3])
    """
    return _those(unique(ar1), lambda x: isin(x, ar2))


def setdiff1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    """``np.setdiff1d``.

    >>> setdiff1d(np.array([3, 1, 2]), [2, 3])
    array([1])
    """
    return _those(unique(ar1), lambda x: isin(x, ar2, invert=True))


def union1d(ar1: Any, ar2: Any) -> Any:
    """``np.union1d``.

    >>> union1d(np.array([3, 1]), [2, 3])
    array([1, 2, 3])
    """
    return unique(concatenate([reshape(as_operand(a), (-1,)) for a in (ar1, ar2)]))
