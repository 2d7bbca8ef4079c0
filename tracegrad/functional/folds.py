"""What the methods of NumPy's ufuncs mean: ``reduce``, ``accumulate``, ``reduceat`` and ``at``.

Those with a closed form are sums, products, extremes and what is made of them; any other ufunc of two operands is applied to
one element after the other, which the graph then spells out, up to ``MOST`` elements.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from tracegrad.core.aval import normalise_axes, normalise_axis, shape_of
from tracegrad.errors import DtypeError, ShapeError, TraceError
from tracegrad.functional.activations import logsumexp
from tracegrad.ops import reductions, scans
from tracegrad.ops.along import REDUCTIONS as COMBINED
from tracegrad.ops.along import combine_at
from tracegrad.ops.comparisons import isinf, isnan, logical_not
from tracegrad.ops.indexing import gather, getitem, put
from tracegrad.ops.maps import absolute, cast, multiply, select, sqrt, stop_gradient
from tracegrad.ops.reductions import as_operand
from tracegrad.ops.sources import known
from tracegrad.ops.views import broadcast_to, concatenate, expand_dims, reshape, stack

Function = Callable[..., Any]

MOST = 256
"""Elements along an axis that a ufunc without a closed form is applied to one after the other."""

# -- closed forms -----------------------------------------------------------------------------------------------------


def _parity(x: Any, axis: Any) -> Any:
    return reductions.sum(x.astype(np.bool), axis) % 2 == 1


def _first_less_rest(x: Any, axis: tuple[int, ...]) -> Any:
    (place,) = axis
    front = (slice(None),) * place
    return getitem(x, (*front, 0)) - reductions.sum(getitem(x, (*front, slice(1, None))), place)


def _distance(x: Any, axis: Any) -> Any:
    """The root of the sum of squares without overflow; its slope at 0 is 0."""
    size = absolute(x)
    top = stop_gradient(reductions.max(size, axis, keepdims=True, initial=0))
    one, nothing = np.ones((), x.dtype), np.zeros((), x.dtype)
    top = select((top == 0) | isinf(top) | isnan(top), one, top)
    ratio = size / top
    square = reductions.sum(multiply(ratio, ratio), axis)
    root = select(square == 0, nothing, sqrt(select(square == 0, one, square)))
    return select(reductions.any(isinf(x), axis), np.full((), np.inf, x.dtype), root * reshape(top, shape_of(square)))


def _extreme_number(largest: bool) -> Function:
    """``fmax`` and ``fmin``: NaN counts where there is nothing else."""
    reduce = reductions.max if largest else reductions.min

    def run(x: Any, axis: Any) -> Any:
        if x.dtype.kind != "f":
            return reduce(x, axis)
        unknown = isnan(x)
        found = reduce(select(unknown, np.full((), -np.inf if largest else np.inf, x.dtype), x), axis)
        return select(reductions.all(unknown, axis), np.full((), np.nan, x.dtype), found)

    return run


def _logsumexp2(x: Any, axis: Any) -> Any:
    scale = np.array(math.log(2), x.dtype)
    return logsumexp(x * scale, axis) / scale


REDUCTIONS: Mapping[np.ufunc, Function] = {
    np.add: reductions.sum,
    np.multiply: reductions.prod,
    np.maximum: reductions.max,
    np.minimum: reductions.min,
    np.logical_and: reductions.all,
    np.logical_or: reductions.any,
    np.logical_xor: _parity,
    np.logaddexp: logsumexp,
    np.logaddexp2: _logsumexp2,
    np.hypot: _distance,
    np.subtract: _first_less_rest,
    np.fmax: _extreme_number(True),
    np.fmin: _extreme_number(False),
}
"""What ``ufunc.reduce`` means where it is more than one element after the other: of an array and axes."""

ACCUMULATIONS: Mapping[np.ufunc, Function] = {
    np.add: scans.cumsum,
    np.multiply: scans.cumprod,
    np.maximum: lambda x, axis: scans.cummax(x, axis)[0],
    np.minimum: lambda x, axis: scans.cummin(x, axis)[0],
    np.logaddexp: scans.logcumsumexp,
    np.logical_and: lambda x, axis: scans.cumsum(logical_not(x), axis) == 0,
    np.logical_or: lambda x, axis: scans.cumsum(_as_dtype(x, np.dtype(bool)), axis) > 0,
    np.logical_xor: lambda x, axis: scans.cumsum(_as_dtype(x, np.dtype(bool)), axis) % 2 == 1,
}
"""What ``ufunc.accumulate`` means, likewise: of an array and an axis."""

AT: Mapping[np.ufunc, str] = {
    np.add: "sum",
    np.subtract: "sum",
    np.multiply: "prod",
    np.maximum: "amax",
    np.minimum: "amin",
}
"""How ``ufunc.at`` combines what arrives at one position."""

_EXTREMES = frozenset((np.maximum, np.minimum, np.fmax, np.fmin))
"""Ufuncs that may take their elements in any order although there is no element to begin with."""
_TRUTHS = frozenset((np.logical_and, np.logical_or, np.logical_xor))
_LOGARITHMS = frozenset((np.logaddexp, np.logaddexp2))
_OWN_DTYPE = frozenset((np.add, np.multiply))
"""Sums and products choose their dtype themselves."""

_OF_BOOLS: Mapping[np.ufunc, np.ufunc] = {
    np.bitwise_and: np.logical_and,
    np.bitwise_or: np.logical_or,
    np.bitwise_xor: np.logical_xor,
}

# -- reduce and accumulate --------------------------------------------------------------------------------------------


def reduce(
    ufunc: np.ufunc,
    ours: Function,
    array: Any,
    axis: Any = 0,
    dtype: Any = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = True,
) -> Any:
    """``ufunc.reduce``, ``ours`` being what the ufunc means for two operands.

    Raises ShapeError where there is no element to begin with, or several axes and an order that matters; TraceError for a
    ufunc without a closed form along an axis of more than ``MOST`` elements.

    >>> reduce(np.hypot, np.hypot, np.array([[3.0, 4.0], [0.0, 0.0]]), axis=1)
    array([5., 0.])
    >>> reduce(np.divide, np.divide, np.array([8.0, 2.0, 2.0]))
    np.float64(2.0)
    """
    x = _operand(ufunc, array, dtype)
    axes = normalise_axes(axis, len(shape_of(x))) if shape_of(x) else ()
    if x.dtype.kind == "b":
        ufunc = _OF_BOOLS.get(ufunc, ufunc)
    if ufunc.identity is None and ufunc not in _EXTREMES and len(axes) > 1:
        raise ShapeError(
            f"np.{ufunc.__name__}.reduce along {len(axes)} axes: the order of its elements matters", fix="give one axis"
        )
    neutral = initial if ufunc.identity is None else ufunc.identity
    if where is not True and neutral is None:
        raise ShapeError(
            f"np.{ufunc.__name__}.reduce with where= has nothing to begin with", fix="give what it begins with as initial="
        )
    closed = REDUCTIONS.get(ufunc)
    empty = math.prod(shape_of(x)[k] for k in axes) == 0
    whole = bool(axes) or ufunc in _TRUTHS or ufunc in _OWN_DTYPE  # a scalar has another dtype than its truth or its sum
    if closed is not None and whole and not (ufunc is np.subtract and (initial is not None or empty or where is not True)):
        if where is not True:
            x = select(where, x, np.array(neutral, x.dtype))
        if empty and ufunc in _LOGARITHMS:
            result = _filled(x, axes, -np.inf if initial is None else initial)
        elif empty and ufunc in _EXTREMES and initial is not None:
            result = _filled(x, axes, initial)
        else:
            result = closed(x, axes)
            result = result if initial is None else ours(result, _as_dtype(initial, result.dtype))
    else:
        result = _folded(ufunc, ours, x, axes, initial if where is True else neutral if initial is None else initial, where)
    return expand_dims(result, axes) if keepdims and axes else result


def _as_dtype(x: Any, dtype: Any) -> Any:
    x = as_operand(x)
    return x if x.dtype == dtype else cast(x, dtype=dtype) if getattr(x, "bind_rank", 0) else x.astype(dtype)


def _operand(ufunc: np.ufunc, array: Any, dtype: Any) -> Any:
    """The array in the dtype that it is combined in."""
    x = as_operand(array)
    if dtype is not None:
        x = _as_dtype(x, np.dtype(dtype))
    if ufunc in _OWN_DTYPE or ufunc in _TRUTHS:
        return x
    fix = "cast first, as x.astype(float) does"
    try:
        needed, _, result = ufunc.resolve_dtypes((x.dtype, x.dtype, None))
    except TypeError:
        raise DtypeError(f"np.{ufunc.__name__} has no meaning for {x.dtype}", fix=fix) from None
    if result != needed and result.kind == "b":
        raise DtypeError(f"np.{ufunc.__name__} of {x.dtype} gives {result}, which it cannot go on with", fix=fix)
    return _as_dtype(x, needed)


def _filled(x: Any, axes: tuple[int, ...], value: Any) -> Any:
    """A value in the shape that a reduction leaves."""
    rest = tuple(n for k, n in enumerate(shape_of(x)) if k not in axes)
    return broadcast_to(_as_dtype(value, x.dtype), rest)


def _slices(x: Any, axis: int) -> Iterator[Any]:
    front = (slice(None),) * axis
    return (getitem(x, (*front, k)) for k in range(shape_of(x)[axis]))


def _in_turn(ufunc: np.ufunc, method: str, size: int) -> None:
    if size > MOST:
        raise TraceError(
            f"np.{ufunc.__name__}.{method} along an axis of {size}: such a graph would have a node for each element",
            fix=f"write it with sums, products and extremes, or along axes of up to {MOST} elements",
        )


def _folded(ufunc: np.ufunc, ours: Function, x: Any, axes: tuple[int, ...], start: Any, where: Any) -> Any:
    """One element after the other; of several axes the last ones first."""
    if not axes:
        return x
    mask = None if where is True else broadcast_to(as_operand(where), shape_of(x))
    for axis in sorted(axes, reverse=True):
        size = shape_of(x)[axis]
        _in_turn(ufunc, "reduce", size)
        parts = list(_slices(x, axis))
        if start is None and not parts and ufunc.identity is not None:
            start = ufunc.identity
        if start is None and not parts:
            raise ShapeError(f"np.{ufunc.__name__}.reduce of no elements", fix="give what it begins with as initial=")
        result = parts.pop(0) if start is None else _filled(x, (axis,), start)
        for k, part in enumerate(parts):
            both = ours(result, part)
            result = both if mask is None else select(_at(mask, axis, k), both, result)
        x, start = result, start if ufunc.identity is not None else None
        mask = None
    return x


def _at(x: Any, axis: int, k: int) -> Any:
    return getitem(x, (*(slice(None),) * axis, k))


def accumulate(ufunc: np.ufunc, ours: Function, array: Any, axis: int = 0, dtype: Any = None) -> Any:
    """``ufunc.accumulate``; raises TraceError for a ufunc without a closed form along an axis of more than ``MOST`` elements.

    >>> accumulate(np.subtract, np.subtract, np.array([9.0, 2.0, 3.0]))
    array([9., 7., 4.])
    """
    x = _operand(ufunc, array, dtype)
    place = normalise_axis(axis, len(shape_of(x)))
    closed = ACCUMULATIONS.get(ufunc)
    if closed is not None:
        return closed(x, place)
    size = shape_of(x)[place]
    if ufunc is np.subtract and size:
        first = getitem(x, (*(slice(None),) * place, slice(0, 1)))
        signs = concatenate([first, -getitem(x, (*(slice(None),) * place, slice(1, None)))], place)
        return scans.cumsum(signs, place)
    _in_turn(ufunc, "accumulate", size)
    found: list[Any] = []
    for part in _slices(x, place):
        found.append(ours(found[-1], part) if found else part)
    return stack(found, place) if found else x


# -- reduceat and at --------------------------------------------------------------------------------------------------


def reduceat(ufunc: np.ufunc, ours: Function, array: Any, indices: Any, axis: int = 0, dtype: Any = None) -> Any:
    """``ufunc.reduceat`` at concrete positions: reductions of stretches of an axis.

    >>> reduceat(np.add, np.add, np.array([1.0, 2.0, 3.0, 4.0]), [0, 3, 1])
    array([6., 4., 9.])
    """
    positions = known(indices, given=False) if hasattr(indices, "dtype") else np.asarray(indices)
    if positions is None:
        raise TraceError(
            f"np.{ufunc.__name__}.reduceat at traced positions is not traced",
            fix=f"give the positions as a NumPy array, or number the stretches: np.{ufunc.__name__}.at(out, numbers, x)",
        )
    x = _operand(ufunc, array, dtype)
    place = normalise_axis(axis, len(shape_of(x)))
    size = shape_of(x)[place]
    starts = [int(k) for k in positions]
    for k in starts:
        if not 0 <= k < size:
            raise IndexError(f"index {k} out-of-bounds in {ufunc.__name__}.reduceat [0, {size})")
    ends = [stop if stop > start else start + 1 for start, stop in zip(starts, [*starts[1:], size], strict=True)]
    stretches = [np.arange(start, stop) for start, stop in zip(starts, ends, strict=True)]
    way = COMBINED.get(AT.get(ufunc, "")) if ufunc is not np.subtract and x.dtype.kind in "fc" else None
    if way is None:
        front = (slice(None),) * place
        parts = [reduce(ufunc, ours, getitem(x, (*front, slice(i, j))), place) for i, j in zip(starts, ends, strict=True)]
        return stack(parts, place) if parts else getitem(x, (*front, slice(0, 0)))
    numbers = np.repeat(np.arange(len(starts)), [len(stretch) for stretch in stretches])
    places = np.concatenate(stretches) if stretches else np.arange(0)
    taken = x if np.array_equal(places, np.arange(size)) else gather(x, places, axis=place)
    return way(taken, numbers, axis=place, size=len(starts))


def rounds(target: np.dtype[Any], values: np.dtype[Any]) -> bool:
    """Whether ``ufunc.at`` computes in floats and rounds each result to the integers that it stores into."""
    return target.kind in "iub" and values.kind in "fc"


def at(ufunc: np.ufunc, ours: Function, flat: Any, positions: Any, values: Any = None) -> Any:
    """What ``ufunc.at`` makes of a vector: equal positions count as often as they occur.

    Parameters
    ----------
    ufunc, ours: the ufunc and what it means.
    flat: the vector.
    positions: a vector of integers; traced ones only for ufuncs that combine in any order (``AT``).
    values: a vector of as many values, None for a ufunc of one operand.

    >>> at(np.divide, np.divide, np.array([8.0, 1.0]), np.array([0, 0]), np.array([2.0, 2.0]))
    array([2., 1.])
    """
    if ufunc in AT and values is not None and not rounds(flat.dtype, values.dtype):
        return combine_at(flat, positions, -values if ufunc is np.subtract else values, 0, AT[ufunc])
    if getattr(positions, "bind_rank", 0):
        raise TraceError(
            f"np.{ufunc.__name__}.at at traced positions is not traced, as they may be equal",
            fix=f"write x[i] = np.{ufunc.__name__}(x[i], ...) where they differ, or give them as a NumPy array",
        )
    positions = np.asarray(positions)
    # the first of equal positions, then the second of them, and so on
    order = np.argsort(positions, kind="stable")
    ranked = positions[order]
    first = np.searchsorted(ranked, ranked)
    turn = np.empty(positions.size, np.int64)
    turn[order] = np.arange(positions.size) - first
    _in_turn(ufunc, "at", int(turn.max(initial=0)))
    for k in range(int(turn.max(initial=-1)) + 1):
        chosen = np.flatnonzero(turn == k)
        held = gather(flat, positions[chosen], axis=0)
        made = ours(held) if values is None else ours(held, gather(values, chosen, axis=0))
        flat = put(flat, positions[chosen], made if made.dtype == flat.dtype else cast(made, dtype=flat.dtype), axis=0)
    return flat


METHODS: Mapping[str, Function] = {"reduce": reduce, "accumulate": accumulate, "reduceat": reduceat}
"""The methods that combine the elements of one array."""


def folds(ufunc: np.ufunc, method: str) -> bool:
    """Whether a ufunc's method is one of ``METHODS``, of a ufunc of two operands and one result."""
    return method in METHODS and ufunc.nin == 2 and ufunc.nout == 1 and not ufunc.signature
