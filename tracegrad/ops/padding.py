"""``np.pad`` in all of NumPy's modes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tracegrad.core.aval import shape_of
from tracegrad.errors import ShapeError, TraceError
from tracegrad.ops import assembly, reductions
from tracegrad.ops.choosing import median
from tracegrad.ops.indexing import getitem
from tracegrad.ops.maps import cast, rint
from tracegrad.ops.reductions import as_operand
from tracegrad.ops.sequences import linspace
from tracegrad.ops.views import broadcast_to, concatenate

_STATISTICS: Mapping[str, Callable[..., Any]] = {
    "mean": reductions.mean,
    "maximum": reductions.max,
    "minimum": reductions.min,
    "median": median,
}


def pad(
    array: Any,
    pad_width: Any,
    mode: Any = "constant",
    *,
    constant_values: Any = 0,
    end_values: Any = 0,
    stat_length: Any = None,
    reflect_type: str = "even",
) -> Any:
    """``np.pad`` with each of its modes but ``empty`` and functions; the widths are known.

    >>> pad(np.array([1.0, 3.0]), 1, "mean")
    array([2., 1., 3., 2.])
    """
    x = as_operand(array)
    if isinstance(pad_width, dict):
        pad_width = [pad_width.get(k, pad_width.get(k - len(shape_of(x)), (0, 0))) for k in range(len(shape_of(x)))]
        pad_width = [(w, w) if isinstance(w, int) else w for w in pad_width]
    if reflect_type != "even":
        raise TraceError(f"pad with reflect_type={reflect_type!r} is not traced", fix="compose it: 2 * edge - reflected")
    if mode == "constant" and not getattr(constant_values, "bind_rank", 0) and np.ndim(constant_values):
        return _each_side(x, pad_width, lambda x, axis, side, width: _pairs(x, constant_values, float)[axis][side])
    if mode == "linear_ramp":
        return _each_side(x, pad_width, lambda x, axis, side, width: _ramp(x, _pairs(x, end_values, float), axis, side, width))
    if mode in _STATISTICS:
        lengths = None if stat_length is None else _pairs(x, stat_length, int)
        return _each_side(x, pad_width, lambda x, axis, side, width: _statistic(x, mode, lengths, axis, side))
    return assembly.pad(x, pad_width, mode, constant_values=constant_values)


def _pairs(x: Any, given: Any, kind: type) -> Any:
    """What is given for both sides of each axis."""
    return np.broadcast_to(np.asarray(given, kind), (len(shape_of(x)), 2)).tolist()


def _each_side(x: Any, pad_width: Any, value: Callable[..., Any]) -> Any:
    """An array lengthened one axis after the other by values that broadcast to the slab on a side."""
    for axis, widths in enumerate(_pairs(x, pad_width, int)):
        if min(widths) < 0:
            raise ShapeError(f"pad by {pad_width}: widths are not negative", fix="cut with a slice instead")
        slabs = []
        for side, width in enumerate(widths):
            shape = tuple(width if k == axis else n for k, n in enumerate(shape_of(x)))
            filled = as_operand(value(x, axis, side, width)) if width else np.zeros((), x.dtype)
            slabs.append(broadcast_to(_as(filled, x.dtype), shape))
        x = concatenate([slabs[0], x, slabs[1]], axis) if any(widths) else x
    return x


def _as(x: Any, dtype: Any) -> Any:
    if x.dtype == dtype:
        return x
    return cast(rint(x) if x.dtype.kind == "f" and dtype.kind in "iu" else x, dtype=dtype)


def _edge(x: Any, axis: int, side: int, length: int = 1) -> Any:
    return getitem(x, (*(slice(None),) * axis, slice(-length, None) if side else slice(0, length)))


def _ramp(x: Any, ends: Any, axis: int, side: int, width: int) -> Any:
    edge = getitem(x, (*(slice(None),) * axis, -1 if side else 0))
    found = linspace(np.full((), ends[axis][side]), edge, width, endpoint=False, axis=axis)
    found = found if found.dtype == x.dtype else cast(found, dtype=x.dtype)
    return getitem(found, (*(slice(None),) * axis, slice(None, None, -1))) if side else found


def _statistic(x: Any, mode: str, lengths: Any, axis: int, side: int) -> Any:
    size = shape_of(x)[axis]
    part = x if lengths is None else _edge(x, axis, side, min(lengths[axis][side], size))
    return _STATISTICS[mode](part, axis, keepdims=True)
