"""NumPy's choices between arrays, and what it says of their order: medians, quantiles, bins.

Conventions: elements that are equal in order keep their places, the first gets the gradient; ``partition`` gives the whole
order. What a traced mask selects has no static shape, so ``compress`` and ``extract`` take concrete ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracegrad.core.aval import broadcast_shapes, normalise_axes, normalise_axis, shape_of
from tracegrad.errors import DtypeError, ShapeError, TraceError
from tracegrad.ops.assembly import moveaxis
from tracegrad.ops.checks import checked, choice_number
from tracegrad.ops.comparisons import isnan
from tracegrad.ops.indexing import getitem
from tracegrad.ops.maps import cast, remainder
from tracegrad.ops.maps import select as chosen
from tracegrad.ops.pointwise import as_float
from tracegrad.ops.reductions import Axes, as_operand
from tracegrad.ops.sorting import CONTINUOUS, argsort, ordered, quantile_along, search, sort
from tracegrad.ops.views import broadcast_to, expand_dims, reshape

# -- choices ----------------------------------------------------------------------------------------------------------


def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Any:
    """``np.select``: the choice of the first condition that holds, elementwise."""
    if len(condlist) != len(choicelist) or not condlist:
        raise ShapeError(
            f"select of {len(condlist)} conditions and {len(choicelist)} choices", fix="give one choice per condition"
        )
    dtype = np.result_type(*(_weak_or_dtype(choice) for choice in (*choicelist, default)))
    result = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        result = chosen(condition, choice, result)
    return result if result.dtype == dtype else cast(result, dtype=dtype)


def _weak_or_dtype(choice: Any) -> Any:
    """What a choice brings to the dtype of all of them."""
    dtype = getattr(choice, "dtype", None)
    if dtype is None:
        return choice if type(choice) in (bool, int, float, complex) else np.asarray(choice).dtype
    return dtype.type(0).item() if getattr(choice, "weak", False) else dtype


def piecewise(x: Any, condlist: Any, funclist: Sequence[Any], *args: Any, **kw: Any) -> Any:
    """``np.piecewise``: numbers, or functions that are called with the whole of ``x``; the last condition holds first."""
    x = as_operand(x)
    conditions = list(condlist) if isinstance(condlist, (list, tuple)) else [condlist]
    functions = list(funclist)
    if len(functions) not in (len(conditions), len(conditions) + 1):
        raise ShapeError(
            f"piecewise with {len(conditions)} conditions and {len(functions)} functions",
            fix="give one function per condition, and one more for the rest",
        )
    rest: Any = functions.pop() if len(functions) > len(conditions) else 0
    result = _piece(rest, x, args, kw)
    for condition, function in zip(conditions, functions, strict=True):
        result = chosen(condition, _piece(function, x, args, kw), result)
    return result


def _piece(function: Any, x: Any, args: tuple[Any, ...], kw: dict[str, Any]) -> Any:
    value = as_operand(function(x, *args, **kw) if callable(function) else function)
    return value if value.dtype == x.dtype else cast(value, dtype=x.dtype)


def choose(a: Any, choices: Any, out: None = None, mode: str = "raise") -> Any:
    """``np.choose`` with modes ``raise``, ``wrap`` and ``clip``.

    Raises PositionError where a position has no choice, with traced positions when the program runs.

    >>> choose(np.array([1, 0]), [np.array([1.0, 2.0]), 5.0], mode="wrap")
    array([5., 2.])
    """
    _no_out(out, "choose")
    if mode not in ("raise", "wrap", "clip"):
        raise TraceError(f"choose has no mode {mode!r}", fix='use mode="raise", "wrap" or "clip"')
    a = as_operand(a)
    if a.dtype.kind not in "iub":
        raise DtypeError(f"choose at positions of dtype {a.dtype}", fix="give integers: a.astype(np.int64)")
    each = [as_operand(choices[k]) for k in range(len(choices))]
    if not each:
        raise ShapeError("choose from no choices", fix="give an array for each position there may be")
    if mode == "raise":
        a = checked(choice_number, a, len(each))
    elif mode == "wrap":
        a = remainder(a, len(each))
    dtype = np.result_type(*(c.dtype for c in each))
    each = [c if c.dtype == dtype else cast(c, dtype=dtype) for c in each]
    shape = broadcast_shapes(shape_of(a), *(shape_of(c) for c in each))
    if mode == "raise":  # so that the result needs the checked positions whatever the choices are
        each.append(np.zeros((), dtype))
    result = broadcast_to(each[-1], shape)
    for k in range(len(each) - 2, -1, -1):
        result = chosen(a <= k, each[k], result)
    return result


def _no_out(out: Any, name: str) -> None:
    if out is not None:
        raise TraceError("out= writes into an array", fix=f"assign the result instead: y = np.{name}(...)")


# -- order ------------------------------------------------------------------------------------------------------------


def partition(a: Any, kth: Any, axis: int | None = -1, kind: str = "introselect", order: None = None) -> Any:
    """``np.partition``: the whole order, which has every element at its place."""
    _check_places(a, kth, axis)
    return sort(a, axis)


def argpartition(a: Any, kth: Any, axis: int | None = -1, kind: str = "introselect", order: None = None) -> Any:
    """``np.argpartition``: the whole order."""
    _check_places(a, kth, axis)
    return argsort(a, axis)


def _check_places(a: Any, kth: Any, axis: int | None) -> None:
    shape = shape_of(a)
    size = math.prod(shape) if axis is None or not shape else shape[normalise_axis(axis, len(shape))]
    for place in np.ravel(kth) if isinstance(kth, (int, list, tuple, np.ndarray)) else ():
        if not -size <= place < size:
            raise ShapeError(f"kth={place} is out of range for an axis of {size}", fix="give a place that the axis has")


def digitize(x: Any, bins: Any, right: bool = False) -> Any:
    """``np.digitize`` with concrete bins in order, or traced ones that increase."""
    side = not right
    if len(shape_of(bins)) != 1:
        raise ShapeError(f"digitize with bins of shape {shape_of(bins)}", fix="give the edges of the bins as a vector")
    if getattr(bins, "bind_rank", 0):
        return search(bins, x, right=side)
    bins = np.asarray(bins)
    if np.all(bins[1:] >= bins[:-1]):
        return search(bins, x, right=side)
    if not np.all(bins[1:] <= bins[:-1]):
        raise ShapeError("digitize with bins out of order", fix="sort them first: np.sort(bins)")
    return len(bins) - search(np.ascontiguousarray(bins[::-1]), x, right=right)


# -- medians and quantiles --------------------------------------------------------------------------------------------


def _lines(a: Any, axis: Axes) -> tuple[Any, tuple[int, ...]]:
    """The reduced axes as one, behind the others, and which they are."""
    a = as_float(as_operand(a))
    shape = shape_of(a)
    axes = normalise_axes(axis, len(shape))
    others = [k for k in range(len(shape)) if k not in axes]
    moved = moveaxis(a, axes, range(len(others), len(shape))) if axes else a
    return reshape(moved, (*(shape[k] for k in others), -1)), axes


def median(a: Any, axis: Axes = None, out: None = None, overwrite_input: bool = False, keepdims: bool = False) -> Any:
    """``np.median``; NaN where there is one.

    >>> median(np.array([4.0, 1.0, 3.0, 2.0]))
    np.float64(2.5)
    """
    _no_out(out, "median")
    lines, axes = _lines(a, axis)
    size = shape_of(lines)[-1]
    if not size:
        raise ShapeError("the median of no elements", fix="reduce an axis that has elements")
    values, _ = ordered(lines, len(shape_of(lines)) - 1)
    high = getitem(values, (Ellipsis, size // 2))
    middle = high if size % 2 else (getitem(values, (Ellipsis, size // 2 - 1)) + high) / 2
    last = getitem(values, (Ellipsis, -1))  # NaN is last in order
    result = chosen(isnan(last), last, middle)
    return expand_dims(result, axes) if keepdims and axes else result


_METHODS = ("linear", "lower", "higher", "midpoint", "nearest", *CONTINUOUS)


def _quantile(name: str, a: Any, q: Any, axis: Axes, out: None, method: str, keepdims: bool, weights: None, skip: bool) -> Any:
    _no_out(out, name)
    if weights is not None:
        raise TraceError(f"{name} with weights= is not traced", fix="sort, and search in the running sum of weights")
    if method not in _METHODS:
        raise TraceError(f"{name} with method={method!r} is not traced", fix=f"use one of {', '.join(_METHODS)}")
    lines, axes = _lines(a, axis)
    if not shape_of(lines)[-1]:
        raise ShapeError(f"np.{name} of no elements", fix="reduce an axis that has elements")
    if isinstance(q, (int, float)):
        q = np.asarray(q, lines.dtype)
    q = as_float(as_operand(q))
    if not getattr(q, "bind_rank", 0) and not np.all((q >= 0) & (q <= 1)):
        raise ShapeError(f"{name} of ranks outside of their range", fix="give ranks from 0 to 1, percentiles from 0 to 100")
    dtype = np.result_type(lines.dtype, q.dtype)
    ranks = reshape(q, -1)
    wide = lines if lines.dtype == dtype else cast(lines, dtype=dtype)
    place = len(shape_of(wide)) - 1
    found = quantile_along(wide, ranks if ranks.dtype == dtype else cast(ranks, dtype=dtype), place, method, skip)
    result = moveaxis(found, place, 0)
    if keepdims and axes:
        result = expand_dims(result, tuple(k + 1 for k in axes))
    return reshape(result, (*shape_of(q), *shape_of(result)[1:]))


def quantile(
    a: Any,
    q: Any,
    axis: Axes = None,
    out: None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: None = None,
) -> Any:
    """``np.quantile`` with methods ``linear``, ``lower``, ``higher``, ``midpoint`` and ``nearest``.

    >>> quantile(np.array([1.0, 2.0, 4.0]), np.array([0.25, 1.0]))
    array([1.5, 4. ])
    """
    return _quantile("quantile", a, q, axis, out, method, keepdims, weights, False)


def percentile(
    a: Any,
    q: Any,
    axis: Axes = None,
    out: None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: None = None,
) -> Any:
    """``np.percentile``, likewise."""
    return _quantile("percentile", a, _hundredth(q), axis, out, method, keepdims, weights, False)


def nanquantile(
    a: Any,
    q: Any,
    axis: Axes = None,
    out: None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: None = None,
) -> Any:
    """``np.nanquantile``, likewise; NaN where there is no number."""
    return _quantile("nanquantile", a, q, axis, out, method, keepdims, weights, True)


def nanpercentile(
    a: Any,
    q: Any,
    axis: Axes = None,
    out: None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: None = None,
) -> Any:
    """``np.nanpercentile``, likewise."""
    return _quantile("nanpercentile", a, _hundredth(q), axis, out, method, keepdims, weights, True)


def nanmedian(a: Any, axis: Axes = None, out: None = None, overwrite_input: bool = False, keepdims: bool = False) -> Any:
    """``np.nanmedian``; NaN where there is no number."""
    return _quantile("nanmedian", a, 0.5, axis, out, "midpoint", keepdims, None, True)


def _hundredth(q: Any) -> Any:
    return q / 100 if isinstance(q, (int, float)) else as_operand(q) / 100
