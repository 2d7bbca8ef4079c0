"""Order: sorting, selecting and searching.

Only positions are computed by ops of their own, which carry no derivative; values are read at them, so a gradient goes to
the element that was chosen. Conventions: sorting is stable in both directions, so of equal elements the first comes first;
NaN is greater than every number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from tracegrad.core.aval import Aval, normalise_axis, shape_of
from tracegrad.core.op import FLAT, Kind, Mapped, Op, Sample, Stacked, Values, common, keep, next_axis
from tracegrad.errors import ShapeError, TraceError
from tracegrad.ops.along import gather_along
from tracegrad.ops.comparisons import logical_and, logical_or
from tracegrad.ops.maps import cast, clip, floor, rint, select
from tracegrad.ops.reductions import any as any_of
from tracegrad.ops.reductions import as_operand, reduce_max
from tracegrad.ops.reductions import sum as sum_of
from tracegrad.ops.views import broadcast_to, concatenate, expand_dims, reshape, squeeze, strided_slice

_INT = np.dtype(np.int64)

# -- raw ops ----------------------------------------------------------------------------------------------------------


def _order_eager(x: Any, *, axis: int, descending: bool) -> Any:
    if not descending:
        return np.argsort(x, axis, kind="stable")
    # the order of the reversed array, read from behind: equal elements keep their places, and NaN comes first
    turned = np.flip(np.argsort(np.flip(x, axis), axis, kind="stable"), axis)
    return x.shape[axis] - 1 - turned


order: Op = Op(
    name="argsort",
    kind=Kind.LINE,
    infer=lambda x, *, axis, descending: Aval(x.shape, _INT),
    promote=keep,
    eager=_order_eager,
    partials=(FLAT,),
    batch=Stacked(next_axis),
    lower="order",
    numpy=(),
    torch=("", ""),
    doc="The positions along an axis in the order of the elements there; equal elements keep their order.",
    samples=tuple(
        Sample((Values(shape, -3, 3, kind=kind),), {"axis": axis, "descending": descending}, smooth=False)
        for shape, axis, descending, kind in (
            ((6,), 0, False, "int"),
            ((6,), 0, True, "int"),
            ((3, 4), 1, False, "float"),
            ((2, 3, 2), 1, True, "float"),
            ((0, 2), 0, True, "float"),
        )
    ),
)


def _most_frequent_eager(x: Any, *, axis: int) -> Any:
    lines = np.moveaxis(x, axis, -1)
    out = np.zeros(lines.shape[:-1], np.int64)
    for place in np.ndindex(out.shape):
        line = lines[place]
        _, inverse, counts = np.unique(line, return_inverse=True, return_counts=True, equal_nan=False)
        out[place] = np.flatnonzero(inverse == np.argmax(counts))[-1]
    return out


most_frequent: Op = Op(
    name="argmode",
    kind=Kind.OPAQUE,
    infer=lambda x, *, axis: Aval((*x.shape[:axis], *x.shape[axis + 1 :]), _INT),
    promote=keep,
    eager=_most_frequent_eager,
    partials=(FLAT,),
    batch=Stacked(next_axis),
    lower=None,
    numpy=(),
    torch=("", ""),
    doc="The last place along an axis of the element that is most frequent there, of several such the smallest.",
    samples=(
        Sample((Values((7,), 0, 3, kind="int"),), {"axis": 0}, smooth=False),
        Sample((Values((3, 6), 0, 3, kind="int"),), {"axis": 1}, smooth=False),
        Sample((Values((4, 2)),), {"axis": 0}, smooth=False),
    ),
)


def _search_infer(line: Aval, x: Aval, *, right: bool) -> Aval:
    if line.ndim != 1 and (line.ndim != x.ndim or line.shape[:-1] != x.shape[:-1]):
        raise ShapeError(
            "boundaries tensor should be 1 dimension or the first N-1 dimensions of boundaries tensor and input value tensor "
            f"must match, but we got boundaries tensor {list(line.shape)} and input value tensor {list(x.shape)}",
            fix="search in one vector, or give each row of values its own row of boundaries",
        )
    return Aval(x.shape, _INT)


def _search_eager(line: Any, x: Any, *, right: bool) -> Any:
    side: Any = "right" if right else "left"
    if line.ndim == 1:
        return np.searchsorted(line, x, side)
    _search_infer(Aval(line.shape, line.dtype), Aval(x.shape, x.dtype), right=right)
    out = np.empty(x.shape, np.int64)
    for place in np.ndindex(x.shape[:-1]):
        out[place] = np.searchsorted(line[place], x[place], side)
    return out


def _search_each(size: int, mapped: tuple[bool, ...], line: Any, x: Any, *, right: bool) -> Any:
    if not mapped[0] and len(shape_of(line)) == 1:
        return search(line, x, right=right)
    line = line if mapped[0] else broadcast_to(line, (size, *shape_of(line)))
    x = x if mapped[1] else broadcast_to(x, (size, *shape_of(x)))
    if len(shape_of(line)) > 2:
        return search(line, x, right=right)
    return reshape(search(line, reshape(x, (size, math.prod(shape_of(x)[1:]))), right=right), shape_of(x))


search: Op = Op(
    name="searchsorted",
    kind=Kind.LINE,
    infer=_search_infer,
    promote=common,
    eager=_search_eager,
    partials=(FLAT, FLAT),
    batch=Mapped(_search_each),
    lower="search",
    numpy=(),
    torch=("", ""),
    doc="How many elements of a sorted line are less than each value, or with ``right`` not greater.",
    samples=(
        Sample((Values((3,), 1, 2, kind="int"), Values((2, 4), 0, 3, kind="int")), {"right": False}, smooth=False),
        Sample((Values((3,), 1, 2, kind="int"), Values((2, 4), 0, 3, kind="int")), {"right": True}, smooth=False),
        Sample((Values((2, 1)), Values((2, 4))), {"right": False}, smooth=False),
        Sample((Values((2, 1)), Values((3, 4))), {"right": False}, error=ShapeError, match="must match"),
    ),
)


def _histogram_eager(x: Any, *, bins: int, low: float, high: float) -> Any:
    x = x.reshape(-1)
    if low == high and x.size:
        low, high = float(x.min()), float(x.max())
    if low == high:
        low, high = low - 1, high + 1
    if not np.isfinite([low, high]).all():
        raise ShapeError(
            f"histc: range of [{low}, {high}] is not finite", fix="leave out what is not finite, or give min and max"
        )
    inside = x[(x >= low) & (x <= high)]
    place = ((inside - x.dtype.type(low)) / x.dtype.type(high - low) * bins).astype(np.int64)
    return np.bincount(np.minimum(place, bins - 1), minlength=bins).astype(x.dtype)


def _histogram_each(size: int, mapped: tuple[bool, ...], x: Any, **params: Any) -> Any:
    flat = reshape(x, (size, math.prod(shape_of(x)[1:])))
    rows = [expand_dims(histogram(_part(flat, 0, k, k + 1), **params), 0) for k in range(size)]
    return concatenate(rows) if rows else np.zeros((0, params["bins"]), x.dtype)


histogram: Op = Op(
    name="histc",
    kind=Kind.OPAQUE,
    infer=lambda x, *, bins, low, high: Aval((bins,), x.dtype),
    promote=keep,
    eager=_histogram_eager,
    partials=(FLAT,),
    batch=Mapped(_histogram_each),
    lower=None,
    numpy=(),
    torch=("", ""),
    doc="How many elements fall into each of equal bins between two bounds; equal bounds stand for the extremes.",
    samples=(
        Sample((Values((3, 5)),), {"bins": 4, "low": -2.0, "high": 2.0}, smooth=False),
        Sample((Values((3, 5)),), {"bins": 3, "low": 0.0, "high": 0.0}, smooth=False),
    ),
)

# -- NumPy's functions ------------------------------------------------------------------------------------------------


def _line(x: Any, axis: int | None) -> tuple[Any, int]:
    """The operand and its axis; none means that it is taken as a vector."""
    x = as_operand(x)
    if axis is None or not shape_of(x):
        return reshape(x, (-1,)), 0
    return x, normalise_axis(axis, len(shape_of(x)))


def _positions(x: Any, axis: int) -> Any:
    return order(x, axis=axis, descending=False)


def argsort(x: Any, axis: int | None = -1, kind: str | None = None, order: None = None, *, stable: bool | None = None) -> Any:
    """``np.argsort``; always stable."""
    x, place = _line(x, axis)
    return _positions(x, place)


def sort(x: Any, axis: int | None = -1, kind: str | None = None, order: None = None, *, stable: bool | None = None) -> Any:
    """``np.sort``; always stable.

    >>> sort(np.array([3.0, 1.0, 2.0]))
    array([1., 2., 3.])
    """
    if order is not None:
        raise TraceError(f"sort with order={order!r}: arrays with fields are not traced", fix="leave order= out")
    x, place = _line(x, axis)
    return ordered(x, place)[0]


def lexsort(keys: Any, axis: int = -1) -> Any:
    """``np.lexsort``: the order by the last key, then by the one before it, and so on.

    >>> lexsort((np.array([2, 1, 0]), np.array([1, 0, 1])))
    array([1, 2, 0])
    """
    each = [as_operand(keys[k]) for k in range(len(keys))]
    if not each:
        raise ShapeError("lexsort by no keys", fix="give one array of keys or more")
    if not shape_of(each[0]):
        return np.zeros((), np.int64)
    place = normalise_axis(axis, len(shape_of(each[0])))
    if any(shape_of(key) != shape_of(each[0]) for key in each):
        raise ShapeError(f"lexsort by keys of shapes {', '.join(str(shape_of(k)) for k in each)}", fix="give keys of one shape")
    found = _positions(each[0], place)
    for key in each[1:]:
        further = _positions(gather_along(key, found, place, trusted=True), place)
        found = gather_along(found, further, place, trusted=True)
    return found


def searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Any:
    """``np.searchsorted``.

    >>> searchsorted(np.array([1.0, 2.0, 3.0]), np.array([2.0, 9.0]))
    array([1, 3])
    """
    a = as_operand(a)
    if sorter is not None:
        a = gather_along(a, sorter, len(shape_of(a)) - 1)
    return search(a, v, right=side == "right")


# -- values and positions ---------------------------------------------------------------------------------------------


def ordered(x: Any, axis: int, descending: bool = False) -> tuple[Any, Any]:
    """The elements in order along an axis, and where each one stood.

    >>> ordered(np.array([3.0, 1.0, 2.0]), 0, descending=True)
    (array([3., 2., 1.]), array([0, 2, 1]))
    """
    positions = order(x, axis=axis, descending=descending)
    return gather_along(x, positions, axis, trusted=True), positions


def ranked(x: Any, axis: int, start: int, stop: int, descending: bool = False) -> tuple[Any, Any]:
    """The elements of ranks ``start`` to ``stop`` along an axis in order, and where they stood.

    >>> ranked(np.array([3.0, 1.0, 2.0]), 0, 0, 2)
    (array([1., 2.]), array([1, 2]))
    """
    positions = _part(order(x, axis=axis, descending=descending), axis, start, stop)
    return gather_along(x, positions, axis, trusted=True), positions


def _part(x: Any, axis: int, start: int, stop: int) -> Any:
    shape = shape_of(x)
    starts = tuple(start if k == axis else 0 for k in range(len(shape)))
    sizes = tuple(stop - start if k == axis else n for k, n in enumerate(shape))
    return strided_slice(x, starts=starts, sizes=sizes, steps=(1,) * len(shape))


def median_along(x: Any, axis: int, skip_nan: bool = False) -> tuple[Any, Any]:
    """The lower median along an axis, which is kept with size 1, and where it stands.

    A NaN is the median unless NaNs are skipped; of NaNs alone the median is NaN.

    >>> median_along(np.array([4.0, 1.0, 3.0, 2.0]), 0)
    (array([2.]), array([3]))
    """
    size = shape_of(x)[axis]
    positions = order(x, axis=axis, descending=False)
    if x.dtype.kind != "f":
        place = _part(positions, axis, (size - 1) // 2, (size - 1) // 2 + 1)
    else:
        # NaNs come last in order: the first of them, or the middle of the others
        numbers = sum_of(cast(x == x, dtype=_INT), axis, keepdims=True)
        if skip_nan:
            rank = clip((numbers - 1) // 2, 0, None)
        else:
            rank = select(numbers < size, numbers, (size - 1) // 2)
        place = gather_along(positions, rank, axis, trusted=True)
    return gather_along(x, place, axis, trusted=True), place


def median_of_all(x: Any, skip_nan: bool = False) -> Any:
    """The lower median of all elements; those equal to it share the gradient evenly.

    >>> median_of_all(np.array([[4.0, 1.0], [3.0, 2.0]]))
    np.float64(2.0)
    """
    line = reshape(x, (-1,))
    value, _ = median_along(line, 0, skip_nan)
    same = logical_or(line == value, logical_and(line != line, value != value))
    lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    return reduce_max(select(same, line, np.array(lowest, x.dtype)), axes=(0,))


CONTINUOUS: Mapping[str, tuple[float, float]] = {
    "interpolated_inverted_cdf": (0.0, 1.0),
    "hazen": (0.5, 0.5),
    "weibull": (0.0, 0.0),
    "median_unbiased": (1 / 3, 1 / 3),
    "normal_unbiased": (3 / 8, 3 / 8),
}
"""Further ways of quantiles between elements, by the two numbers that Hyndman and Fan call alpha and beta."""


def _wanted_rank(q: Any, numbers: Any, how: str) -> Any:
    """Where a quantile stands among so many elements, from 0 on."""
    if how not in CONTINUOUS:
        return q * (numbers - 1)
    alpha, beta = CONTINUOUS[how]
    return clip(numbers * q + (alpha + q * (1 - alpha - beta)) - 1, 0, numbers - 1)


def quantile_along(x: Any, q: Any, axis: int, how: str = "linear", skip_nan: bool = False) -> Any:
    """Quantiles along an axis: its size becomes the number of quantiles.

    Parameters
    ----------
    x: an array of floats.
    q: a vector of ranks between 0 and 1, of the dtype of ``x``.
    axis: of ``x``, with at least one element.
    how: between two elements take the ``"lower"``, the ``"higher"``, the ``"nearest"``, the ``"midpoint"``, or what is
        ``"linear"`` between them, at the rank that this or a way of ``CONTINUOUS`` gives.
    skip_nan: whether NaNs are left out; else they are the result.

    >>> quantile_along(np.array([1.0, 2.0, 4.0]), np.array([0.25, 1.0]), 0)
    array([1.5, 4. ])
    """
    shape = shape_of(x)
    values, _ = ordered(x, axis)
    across = reshape(q, tuple(-1 if k == axis else 1 for k in range(len(shape))))
    if skip_nan:
        numbers = sum_of(cast(x == x, dtype=x.dtype), axis, keepdims=True)
        rank = _wanted_rank(across, clip(numbers, 1, None), how)
    else:
        last = np.array(shape[axis] - 1, x.dtype)
        rank = select(any_of(x != x, axis, keepdims=True), last, _wanted_rank(across, last + 1, how))
    wanted = tuple(shape_of(q)[0] if k == axis else n for k, n in enumerate(shape))
    rank = broadcast_to(rank, wanted)
    if how in ("nearest", "lower", "higher"):
        below = rint(rank) if how == "nearest" else floor(rank) if how == "lower" else -floor(-rank)
        return gather_along(values, cast(below, dtype=_INT), axis, trusted=True)
    below = floor(rank)
    share = np.full((), 0.5, x.dtype) if how == "midpoint" else rank - below
    low = gather_along(values, cast(below, dtype=_INT), axis, trusted=True)
    high = gather_along(values, cast(-floor(-rank), dtype=_INT), axis, trusted=True)
    # from the nearer end, so that the ends themselves are exact
    return select(share < 0.5, low + share * (high - low), high - (high - low) * (1 - share))


def mode_along(x: Any, axis: int) -> tuple[Any, Any]:
    """The most frequent element along an axis, which is kept with size 1, and the last place where it stands.

    >>> mode_along(np.array([1, 2, 2, 0]), 0)
    (array([2]), array([2]))
    """
    place = expand_dims(most_frequent(x, axis=axis), axis)
    return gather_along(x, place, axis, trusted=True), place


def drop(pair: tuple[Any, Any], axis: int) -> tuple[Any, Any]:
    """Values and positions without an axis of size 1."""
    values, positions = pair
    return squeeze(values, axis), squeeze(positions, axis)
