"""NumPy's sequences between two ends, which may be traced, and arrays of them: ``linspace``, ``logspace``, ``geomspace``."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracegrad.core.aval import broadcast_shapes, shape_of
from tracegrad.errors import ShapeError
from tracegrad.ops.assembly import moveaxis
from tracegrad.ops.maps import absolute, cast, floor, log10, power, select, sign
from tracegrad.ops.reductions import as_operand
from tracegrad.ops.sources import running_index
from tracegrad.ops.views import reshape


def _ends(start: Any, stop: Any) -> tuple[Any, Any]:
    """Both ends in the float dtype they share."""
    start, stop = as_operand(start), as_operand(stop)
    dtype = np.result_type(start.dtype, stop.dtype, *(() if "f" in start.dtype.kind + stop.dtype.kind else (np.float64,)))
    return start if start.dtype == dtype else cast(start, dtype=dtype), stop if stop.dtype == dtype else cast(stop, dtype=dtype)


def _wide(end: Any, dtype: Any) -> Any:
    """An end of ``geomspace``, which is float64 unless a dtype is asked for."""
    wide = np.result_type(end.dtype, np.float64 if dtype is None else dtype)
    return end if end.dtype == wide else cast(end, dtype=wide)


def _placed(result: Any, dtype: Any, axis: int) -> Any:
    if dtype is not None and np.dtype(dtype) != result.dtype:
        result = cast(floor(result) if np.dtype(dtype).kind in "iu" else result, dtype=np.dtype(dtype))
    return moveaxis(result, 0, axis) if axis else result


def linspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, retstep: bool = False, dtype: Any = None, axis: int = 0
) -> Any:
    """``np.linspace``, also between traced ends.

    >>> linspace(np.array([0.0, 1.0]), 2.0, 3, axis=1)
    array([[0. , 1. , 2. ],
           [1. , 1.5, 2. ]])
    """
    if num < 0:
        raise ShapeError(f"{num} elements", fix="give a number of 0 and more")
    first, last = _ends(start, stop)
    parts = num - 1 if endpoint else num
    step = (last - first) / float(parts) if parts > 0 else (last - first) * np.nan
    rank = len(broadcast_shapes(shape_of(first), shape_of(last)))
    places = reshape(running_index(num, first, last), (num,) + (1,) * rank)
    found = cast(places, dtype=first.dtype) * (step if parts > 0 else last - first) + first
    if endpoint and num > 1:
        found = select(places == num - 1, last, found)  # it is exactly the bound
    found = _placed(found, dtype, axis)
    return (found, step) if retstep else found


def logspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: Any = 10.0, dtype: Any = None, axis: int = 0
) -> Any:
    """``np.logspace``: powers of a base, of which each part may be traced.

    >>> logspace(0.0, 2.0, 3)
    array([  1.,  10., 100.])
    """
    base = base if isinstance(base, (int, float)) else as_operand(base)
    exponents = linspace(start, stop, num, endpoint)
    return _placed(power(base, exponents), None if dtype is None else dtype, axis)


def geomspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0) -> Any:
    """``np.geomspace`` between numbers of one sign, of which neither is 0.

    >>> geomspace(1.0, 8.0, 4).round(12)
    array([1., 2., 4., 8.])
    """
    first, last = (_wide(end, dtype) for end in _ends(start, stop))
    known = [end for end in (first, last) if not getattr(end, "bind_rank", 0)]
    if any(np.any(np.asarray(end) == 0) for end in known):
        raise ShapeError("geomspace from or to 0", fix="give ends that are not 0: no factor leads there")
    turned = sign(first)
    found = logspace(log10(absolute(first)), log10(last * turned), num, endpoint) * turned  # NaN where the signs differ
    rank = len(shape_of(found)) - 1
    places = reshape(running_index(num, first, last), (num,) + (1,) * rank)
    found = select(places == 0, first, found)
    if endpoint and num > 1:
        found = select(places == num - 1, last, found)
    return _placed(found, dtype, axis)
