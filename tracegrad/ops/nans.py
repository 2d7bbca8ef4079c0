"""NumPy's reductions that leave NaN out: they and their gradients are those of the numbers that are left."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracegrad.core.op import Op
from tracegrad.ops import maps, reductions, scans
from tracegrad.ops.comparisons import isnan, logical_and, logical_not
from tracegrad.ops.maps import cast, select
from tracegrad.ops.reductions import Axes, as_operand, reduce_max, reduce_min


def _numbers(x: Any, instead: float) -> Any:
    """The operand with another value in place of NaN."""
    x = as_operand(x)
    return select(isnan(x), np.full((), instead, x.dtype), x) if x.dtype.kind in "fc" else x


def _counted(x: Any, where: Any) -> Any:
    """Whether an element takes part."""
    there = logical_not(isnan(x))
    return there if where is None else logical_and(there, where)


def nansum(
    a: Any,
    axis: Axes = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Any:
    """``np.nansum``.

    >>> nansum(np.array([1.0, np.nan, 3.0]))
    np.float64(4.0)
    """
    return reductions.sum(_numbers(a, 0.0), axis, dtype, out, keepdims, initial, where)


def nanprod(
    a: Any,
    axis: Axes = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Any:
    """``np.nanprod``."""
    return reductions.prod(_numbers(a, 1.0), axis, dtype, out, keepdims, initial, where)


def nancumsum(a: Any, axis: int | None = None, dtype: Any = None, out: None = None) -> Any:
    """``np.nancumsum``."""
    return scans.cumsum(_numbers(a, 0.0), axis, dtype, out)


def nancumprod(a: Any, axis: int | None = None, dtype: Any = None, out: None = None) -> Any:
    """``np.nancumprod``."""
    return scans.cumprod(_numbers(a, 1.0), axis, dtype, out)


def nanmean(
    a: Any, axis: Axes = None, dtype: Any = None, out: None = None, keepdims: bool = False, *, where: Any = None
) -> Any:
    """``np.nanmean``; NaN where there is no number."""
    a = as_operand(a)
    if a.dtype.kind not in "fc":
        return reductions.mean(a, axis, dtype, out, keepdims, where)
    a = a if dtype is None else cast(a, dtype=np.dtype(dtype))
    return reductions.mean(_numbers(a, 0.0), axis, None, out, keepdims, _counted(a, where))


def nanvar(
    a: Any,
    axis: Axes = None,
    dtype: Any = None,
    out: None = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    where: Any = None,
    correction: float | None = None,
) -> Any:
    """``np.nanvar``; NaN where the numbers are no more than ``ddof``."""
    a = as_operand(a)
    if a.dtype.kind not in "fc":
        a = cast(a, dtype=np.dtype(np.float64))
    a = a if dtype is None else cast(a, dtype=np.dtype(dtype))
    counted = _counted(a, where)
    away = a - nanmean(a, axis, keepdims=True, where=where)
    squares = reductions.squared_size(select(counted, away, np.zeros((), a.dtype)))
    total = reductions.sum(squares, axis, out=out, keepdims=keepdims)
    numbers = reductions.sum(cast(counted, dtype=total.dtype), axis, keepdims=keepdims)
    freedom = numbers - (ddof if correction is None else correction)
    enough = freedom > 0
    one, nan = np.ones((), total.dtype), np.full((), np.nan, total.dtype)
    return select(enough, total / select(enough, freedom, one), nan)


def nanstd(
    a: Any,
    axis: Axes = None,
    dtype: Any = None,
    out: None = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    where: Any = None,
    correction: float | None = None,
) -> Any:
    """``np.nanstd``; at variance 0, where the root has no slope, the gradient is 0."""
    variance = nanvar(a, axis, dtype, out, ddof, keepdims, where=where, correction=correction)
    flat = variance == 0
    one, nothing = np.ones((), variance.dtype), np.zeros((), variance.dtype)
    return select(flat, nothing, maps.sqrt(select(flat, one, variance)))


def nanmax(a: Any, axis: Axes = None, out: None = None, keepdims: bool = False, initial: Any = None, where: Any = None) -> Any:
    """``np.nanmax``; NaN where there is no number; ties share the gradient evenly."""
    return _extreme(reduce_max, a, axis, out, keepdims, initial, where)


def nanmin(a: Any, axis: Axes = None, out: None = None, keepdims: bool = False, initial: Any = None, where: Any = None) -> Any:
    """``np.nanmin``; NaN where there is no number; ties share the gradient evenly."""
    return _extreme(reduce_min, a, axis, out, keepdims, initial, where)


def _extreme(op: Op, a: Any, axis: Axes, out: None, keepdims: bool, initial: Any, where: Any) -> Any:
    reduce, last = (reductions.max, -np.inf) if op is reduce_max else (reductions.min, np.inf)
    a = as_operand(a)
    found = reduce(_numbers(a, last), axis, out, keepdims, initial, where)
    if a.dtype.kind != "f" or initial is not None:
        return found
    none = reductions.all(isnan(a), axis, keepdims=keepdims)
    return select(none, np.full((), np.nan, found.dtype), found)


def nanargmax(a: Any, axis: int | None = None, out: None = None, *, keepdims: bool = False) -> Any:
    """``np.nanargmax``; 0 where there is no number."""
    return reductions.argmax(_numbers(a, -np.inf), axis, out, keepdims=keepdims)


def nanargmin(a: Any, axis: int | None = None, out: None = None, *, keepdims: bool = False) -> Any:
    """``np.nanargmin``; 0 where there is no number."""
    return reductions.argmin(_numbers(a, np.inf), axis, out, keepdims=keepdims)
