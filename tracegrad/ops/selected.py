"""More of NumPy's functions of what a traced mask selects: orders, ranks, running sums, counts.

Where an order is needed, the selected elements are sorted to the front, in which they are a selection again: of the first
places, as many as there are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tracegrad.core.aval import normalise_axes, shape_of
from tracegrad.errors import ShapeError, TraceError
from tracegrad.ops import reductions
from tracegrad.ops.binning import bincount as counted
from tracegrad.ops.binning import histogram as binned
from tracegrad.ops.choosing import digitize as numbered
from tracegrad.ops.comparisons import isnan, logical_not
from tracegrad.ops.indexing import gather, getitem
from tracegrad.ops.maps import cast, clip, floor, rint, select
from tracegrad.ops.reductions import as_operand
from tracegrad.ops.scans import cummax, cumprod, cumsum
from tracegrad.ops.selection import FUNCTIONS as OWN
from tracegrad.ops.selection import Selection
from tracegrad.ops.sorting import argsort
from tracegrad.ops.sources import known, running_index
from tracegrad.ops.views import concatenate, reshape

_INT = np.dtype(np.int64)


def _flat(a: Selection, what: str) -> tuple[Any, Any]:
    """The whole and the mask as vectors."""
    if a.rest:
        a.refuse(f"{what} of rows")
    size = math.prod(shape_of(a.mask))
    return reshape(a.whole, (size,)), reshape(a.mask, (size,))


def _vector(a: Selection, axis: Any, what: str) -> tuple[Any, Any]:
    if axis is not None:
        normalise_axes(axis, a.ndim)
    return _flat(a, what)


def sort(a: Selection, axis: Any = -1, kind: str | None = None, order: None = None, *, stable: bool | None = None) -> Selection:
    """``np.sort``: a selection of its own, of the first places."""
    whole, mask = _vector(a, axis, "the order")
    first = argsort(whole)
    chosen = argsort(logical_not(gather(mask, first, axis=0)))  # stable, so the selected stay in order
    size = shape_of(mask)[0]
    found = gather(gather(whole, first, axis=0), chosen, axis=0)
    return Selection(found, running_index(size, mask) < a.count)


def quantile(
    a: Selection,
    q: Any,
    axis: Any = None,
    out: Any = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
) -> Any:
    """``np.quantile`` of numbers; NaN of none."""
    if out is not None or keepdims or method not in ("linear", "lower", "higher", "nearest", "midpoint"):
        raise TraceError("quantiles of what a mask selects are traced without out= and keepdims=", fix="leave them out")
    ranks = as_operand(q)
    values = known(ranks)
    if values is not None and not np.all((values >= 0) & (values <= 1)):
        raise ShapeError("ranks outside of their range", fix="give ranks from 0 to 1, percentiles from 0 to 100")
    placed = sort(a, axis)
    values = placed.whole if placed.dtype.kind == "f" else cast(placed.whole, dtype=np.dtype(np.float64))
    size = shape_of(values)[0]
    if not size:
        raise ShapeError("a quantile of no elements", fix="select from an array that has elements")
    dtype = values.dtype
    last = clip(a.count - 1, 0, None)
    flat = reshape(ranks, (-1,))
    rank = cast(flat, dtype=dtype) * cast(last, dtype=dtype)

    def at(place: Any) -> Any:
        return gather(values, clip(cast(place, dtype=_INT), 0, size - 1), axis=0)

    below, above = floor(rank), -floor(-rank)
    if method in ("lower", "higher", "nearest"):
        found = at(below if method == "lower" else above if method == "higher" else rint(rank))
    else:
        low, high = at(below), at(above)
        share = np.full((), 0.5, dtype) if method == "midpoint" else rank - below
        # from the nearer end, so that the ends themselves are exact
        found = select(share < 0.5, low + share * (high - low), high - (high - low) * (1 - share))
    unknown = np.full((), np.nan, dtype)
    worst = getitem(at(reshape(last, (1,))), 0)  # NaN is last in order
    found = select((a.count == 0) | isnan(worst), unknown, found)
    return reshape(found, shape_of(ranks))


def percentile(a: Selection, q: Any, *args: Any, **kwargs: Any) -> Any:
    """``np.percentile``, likewise."""
    return quantile(a, q / 100 if isinstance(q, (int, float)) else as_operand(q) / 100, *args, **kwargs)


def median(a: Selection, axis: Any = None, out: None = None, overwrite_input: bool = False, keepdims: bool = False) -> Any:
    """``np.median``; NaN of none."""
    return quantile(a, 0.5, axis, out, overwrite_input, "midpoint", keepdims)


def _place(a: Selection, axis: Any, best: Any) -> Any:
    """The rank of the first selected element that is the best, or NaN."""
    whole, mask = _vector(a, axis, "the place")
    size = shape_of(mask)[0]
    hit = mask & ((whole == best) | (whole != whole))
    place = reductions.min(select(hit, running_index(size, mask), size), initial=size)
    return gather(cumsum(mask), reshape(place, (1,)), axis=0).reshape(()) - 1


def argmax(a: Selection, axis: Any = None) -> Any:
    """``np.argmax``; of no elements an IndexError when the program runs."""
    return _place(a, axis, a.max())


def argmin(a: Selection, axis: Any = None) -> Any:
    """``np.argmin``, likewise."""
    return _place(a, axis, a.min())


def _running(scan: Callable[..., Any], neutral: int) -> Callable[..., Selection]:
    def run(a: Selection, axis: Any = None, dtype: Any = None) -> Selection:
        whole, mask = _vector(a, axis, "a running sum or product")
        total = scan(select(mask, whole, np.array(neutral, whole.dtype)), 0, dtype)
        return Selection(reshape(total, shape_of(a.mask)), a.mask)

    return run


def diff(a: Selection, n: int = 1, axis: int = -1) -> Selection:
    """``np.diff``: each but the first less the one before it; ``n`` times."""
    for _ in range(n):
        whole, mask = _vector(a, axis, "differences")
        size = shape_of(mask)[0]
        if not size:
            return a
        here = select(mask, running_index(size, mask), -1)
        seen, _ = cummax(here, 0)
        before = concatenate([np.full(1, -1), getitem(seen, slice(0, size - 1))])
        step = whole - gather(whole, clip(before, 0, None), axis=0)
        a = Selection(step, mask & (before >= 0))
    return a


def average(a: Selection, axis: Any = None, weights: Any = None) -> Any:
    """``np.average`` with weights that the same mask selects."""
    if weights is None:
        return a.mean(axis)
    return (a * weights).sum(axis) / (weights.sum(axis) if isinstance(weights, Selection) else weights * a.count)


def histogram(
    a: Selection,
    bins: Any = 10,
    range: Any = None,  # noqa: A002
    density: bool | None = None,
    weights: Any = None,
) -> tuple[Any, Any]:
    """``np.histogram``; weights are numbers that the same mask selects."""
    whole, mask = _flat(a, "a histogram")
    if isinstance(weights, Selection) and weights.mask.id != a.mask.id:
        weights.refuse("whether as many are selected by another mask")
    if range is None and isinstance(bins, (int, np.integer)):
        range = (a.min(), a.max())  # noqa: A001
    wide = whole if whole.dtype.kind == "f" else cast(whole, dtype=np.dtype(np.float64))
    outside = select(mask, wide, np.full((), np.nan, wide.dtype))
    return binned(outside, bins, range, density, None if weights is None else _flat(weights, "weights")[0])


def bincount(x: Selection, weights: Any = None, minlength: int = 0) -> Any:
    """``np.bincount``; weights are numbers that the same mask selects."""
    whole, mask = _flat(x, "counts")
    if weights is None:
        return cast(bincount(x, Selection(np.ones(shape_of(x.mask)) + x.whole * 0, x.mask), minlength), dtype=_INT)
    if not isinstance(weights, Selection) or weights.mask.id != x.mask.id:
        x.refuse("whether there is a weight for each")
    share = select(mask, _flat(weights, "weights")[0], np.zeros((), weights.dtype))
    return counted(select(mask, whole, np.zeros((), whole.dtype)), share, minlength)


def digitize(x: Selection, bins: Any, right: bool = False) -> Selection:
    """``np.digitize``."""
    return Selection(numbered(x.whole, bins, right), x.mask)


def norm(x: Selection, ord: Any = None) -> Any:  # noqa: A002
    """``np.linalg.norm`` of a vector, the root of the sum of squares."""
    if ord not in (None, 2):
        x.refuse(f"a norm with ord={ord!r}")
    square = (x * x).sum()
    nothing = square == 0
    return select(nothing, np.zeros((), square.dtype), select(nothing, np.ones((), square.dtype), square) ** 0.5)


def _numbers(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of those that are not NaN."""

    def run(a: Selection, *args: Any, **kwargs: Any) -> Any:
        if a.dtype.kind != "f":
            return function(a, *args, **kwargs)
        if a.rest:
            a.refuse("which rows have no NaN")
        return function(Selection(a.whole, a.mask & ~isnan(a.whole)), *args, **kwargs)

    return run


FUNCTIONS: Mapping[Any, Callable[..., Any]] = {
    **OWN,
    np.nansum: _numbers(Selection.sum),
    np.nanprod: _numbers(Selection.prod),
    np.nanmean: _numbers(Selection.mean),
    np.nanmax: _numbers(Selection.max),
    np.nanmin: _numbers(Selection.min),
    np.nanvar: _numbers(Selection.var),
    np.nanstd: _numbers(Selection.std),
    np.nanmedian: _numbers(median),
    np.sort: sort,
    np.quantile: quantile,
    np.percentile: percentile,
    np.median: median,
    np.argmax: argmax,
    np.argmin: argmin,
    np.cumsum: _running(cumsum, 0),
    np.cumprod: _running(cumprod, 1),
    np.diff: diff,
    np.ptp: lambda a, axis=None: a.max(axis) - a.min(axis),
    np.average: average,
    np.histogram: histogram,
    np.bincount: bincount,
    np.digitize: digitize,
    np.linalg.norm: norm,
    np.copy: lambda a: a,
    np.ravel: lambda a: a if not a.rest else a.refuse("its elements in one line"),
}
"""NumPy's functions that take selections, besides maps."""

FOLDS: Mapping[np.ufunc, Any] = {
    np.add: np.sum,
    np.multiply: np.prod,
    np.maximum: np.max,
    np.minimum: np.min,
    np.logical_and: np.all,
    np.logical_or: np.any,
}
"""The functions that ``ufunc.reduce`` of a selection is."""
