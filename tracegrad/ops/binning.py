"""NumPy's counts of what falls where: ``bincount``, ``histogram``.

A count has no slope; weights have one, and so have the edges of bins that reach from the least element to the greatest. The
number of bins is part of the graph, so it is known while tracing: from ``minlength=`` or ``bins=``, or from the data where
those are.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tracegrad.core.aval import shape_of
from tracegrad.errors import DtypeError, ShapeError, TraceError
from tracegrad.ops.checks import bin_number, checked
from tracegrad.ops.indexing import gather, getitem, scatter_add
from tracegrad.ops.maps import cast, clip, select
from tracegrad.ops.reductions import as_operand
from tracegrad.ops.reductions import max as greatest
from tracegrad.ops.reductions import min as least
from tracegrad.ops.reductions import sum as sum_of
from tracegrad.ops.sequences import linspace
from tracegrad.ops.sorting import search
from tracegrad.ops.sources import known
from tracegrad.ops.views import reshape

_INT = np.dtype(np.int64)


def _as(x: Any, dtype: Any) -> Any:
    return x if x.dtype == dtype else cast(x, dtype=np.dtype(dtype))


def bincount(x: Any, weights: Any = None, minlength: int = 0) -> Any:
    """``np.bincount`` of a length that is known: of concrete numbers, or of traced ones below ``minlength``.

    Raises PositionError, with traced numbers when the program runs, where one is negative or has no place; TraceError where
    the length is not known.

    >>> bincount(np.array([0, 2, 2]), weights=np.array([1.0, 0.5, 0.5]), minlength=4)
    array([1., 0., 1., 0.])
    """
    x = as_operand(x)
    if len(shape_of(x)) != 1:
        raise ShapeError(f"bincount of an array of shape {shape_of(x)}", fix="give a vector: x.ravel()")
    if x.dtype.kind not in "biu" and shape_of(x)[0]:
        raise DtypeError(f"bincount of {x.dtype}", fix="give integers: x.astype(np.int64)")
    if minlength < 0:
        raise ShapeError(f"bincount with minlength={minlength!r}", fix="give an integer of 0 and more")
    values = known(x, given=bool(minlength))
    if values is None:
        if not minlength:
            raise TraceError(
                "np.bincount of traced integers has a length that depends on them",
                fix="give the number of bins: np.bincount(x, minlength=n); a number of n or more is refused at run time",
            )
        places, size = checked(bin_number, x, int(minlength)), int(minlength)
    else:
        size = max(int(minlength), int(values.max()) + 1 if values.size else 0)
        places = checked(bin_number, values.astype(np.int64), size)
    if weights is None:
        counted: Any = np.broadcast_to(np.ones((), np.int64), shape_of(x))
    else:
        counted = _as(as_operand(weights), np.float64)
        if shape_of(counted) != shape_of(x):
            raise ShapeError(
                f"bincount of {shape_of(x)[0]} integers with weights of shape {shape_of(counted)}", fix="give a weight for each"
            )
    return scatter_add(counted, places, axis=0, size=size)


def _equal_edges(a: Any, bins: int, range: Any) -> tuple[Any, Any, Any]:  # noqa: A002
    """The edges of equal bins, and their ends: the range's, or the least and the greatest element."""
    if bins < 1:
        raise ShapeError(f"{bins} bins", fix="give a number of 1 and more")
    empty = math.prod(shape_of(a)) == 0
    first, last = range if range is not None else (0, 1) if empty else (least(a), greatest(a))
    if not getattr(first, "bind_rank", 0) and not getattr(last, "bind_rank", 0):
        if not (np.isfinite(first) and np.isfinite(last)) or first > last:
            raise ShapeError(f"a range from {first} to {last}", fix="give the least and the greatest number, both finite")
        if first == last:
            first, last = first - 0.5, last + 0.5
    else:
        dtype = np.result_type(a.dtype, *(() if a.dtype.kind == "f" else (np.float64,)))
        first, last = _as(as_operand(first), dtype), _as(as_operand(last), dtype)
        same = first == last
        first, last = select(same, first - 0.5, first), select(same, last + 0.5, last)
    wide = np.result_type(*(v if isinstance(v, (int, float)) else v.dtype for v in (first, last)), a.dtype)
    wide = wide if wide.kind == "f" else np.dtype(np.float64)
    return linspace(first, last, bins + 1, dtype=wide), first, last


def _edges(a: Any, bins: Any, range: Any) -> tuple[Any, Any]:  # noqa: A002
    """The edges of bins, and the ends of equal ones or None."""
    if isinstance(bins, str):
        raise TraceError(f"bins={bins!r} chooses how many by the data", fix="give the number of bins, or their edges")
    if isinstance(bins, (int, np.integer)):
        edges, first, last = _equal_edges(a, int(bins), range)
        return edges, (first, last)
    edges = as_operand(bins)
    if len(shape_of(edges)) != 1:
        raise ShapeError(f"bins of shape {shape_of(edges)}", fix="give a number of bins, or a vector of their edges")
    if not getattr(edges, "bind_rank", 0) and np.any(edges[:-1] > edges[1:]):
        raise ShapeError("bins whose edges decrease", fix="sort them first: np.sort(bins)")
    return edges, None


def histogram_bin_edges(a: Any, bins: Any = 10, range: Any = None, weights: Any = None) -> Any:  # noqa: A002
    """``np.histogram_bin_edges`` of a number of bins, or of given edges.

    >>> histogram_bin_edges(np.array([0.0, 3.0]), 3)
    array([0., 1., 2., 3.])
    """
    return _edges(as_operand(a), bins, range)[0]


def histogram(
    a: Any,
    bins: Any = 10,
    range: Any = None,  # noqa: A002
    density: bool | None = None,
    weights: Any = None,
) -> tuple[Any, Any]:
    """``np.histogram`` of a number of bins, or of given edges, with weights or without.

    >>> histogram(np.array([0.5, 1.5, 1.7, 9.0]), 2, (0, 2))
    (array([1, 2]), array([0., 1., 2.]))
    """
    a = as_operand(a)
    weights = None if weights is None else as_operand(weights)
    if weights is not None and shape_of(weights) != shape_of(a):
        raise ShapeError(f"weights of shape {shape_of(weights)} for {shape_of(a)}", fix="give a weight for each element")
    flat = reshape(a, (-1,))
    edges, ends = _edges(flat, bins, range)
    size = shape_of(edges)[0] - 1
    if size < 1:
        return np.zeros(0, np.float64 if density else _INT if weights is None else weights.dtype), edges
    inside = (flat >= getitem(edges, 0)) & (flat <= getitem(edges, size))
    if ends is None:
        places = search(edges, flat, right=True) - 1
        places = select(flat == getitem(edges, size), size - 1, places)
    else:
        places = _equal_places(flat, edges, ends, size, inside)
    places = select(inside, places, 0)
    if weights is None:
        counts = scatter_add(_as(inside, _INT), places, axis=0, size=size)
    else:
        weights = reshape(weights, (-1,))
        taken = _as(select(inside, weights, np.zeros((), weights.dtype)), np.float64)
        counts = _as(scatter_add(taken, places, axis=0, size=size), weights.dtype)
    if density:
        widths = getitem(edges, slice(1, None)) - getitem(edges, slice(None, -1))
        counts = counts / widths / sum_of(counts)
    return counts, edges


def _equal_places(flat: Any, edges: Any, ends: Any, size: int, inside: Any) -> Any:
    """The number of each element's bin: by division, which is then corrected by the edges, as NumPy does."""
    first, last = ends
    wide = np.result_type(flat.dtype, *(() if flat.dtype.kind == "f" else (np.float64,)))
    offset = (flat - first) / (last - first) * size
    places = cast(select(inside, offset, np.zeros((), offset.dtype)), dtype=_INT)
    places = clip(places, 0, size - 1)
    number = _as(flat, wide)
    places = places - _as(number < gather(edges, clip(places, 0, size - 1), axis=0), _INT)
    places = clip(places, 0, size - 1)
    over = (number >= gather(edges, places + 1, axis=0)) & (places != size - 1)
    return places + _as(over, _INT)
