"""NumPy's differences and integrals of samples, polynomials, interpolation, convolution and covariance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracegrad.core.aval import VALUES, normalise_axis, shape_of, supported
from tracegrad.errors import ShapeError, TraceError
from tracegrad.ops import maps, reductions
from tracegrad.ops.assembly import diagonal as diagonal_of
from tracegrad.ops.assembly import diff
from tracegrad.ops.conv import slid
from tracegrad.ops.indexing import getitem, take
from tracegrad.ops.maps import cast, select
from tracegrad.ops.pointwise import as_float
from tracegrad.ops.reductions import as_operand
from tracegrad.ops.scans import cumsum
from tracegrad.ops.sorting import argsort, search
from tracegrad.ops.views import concatenate, expand_dims, flip, reshape

# -- differences and integrals ----------------------------------------------------------------------------------------


def _cut(x: Any, axis: int, start: int | None, stop: int | None) -> Any:
    return getitem(x, (*(slice(None),) * axis, slice(start, stop)))


def differences(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """``np.diff``; differences of bools tell where they change."""
    if n < 0:
        raise ShapeError(f"np.diff of order {n}", fix="give an order of 0 or more")
    a = as_operand(a)
    if not shape_of(a):
        raise ShapeError("np.diff of a scalar", fix="give an array with one axis or more")
    place = normalise_axis(axis, len(shape_of(a)))
    parts = [a]
    for k, more in ((0, prepend), (2, append)):
        if more is not None:
            more = as_operand(more)
            if not shape_of(more):
                more = reshape(more, (1,) * len(shape_of(a)))
                more = more + np.zeros(tuple(1 if d == place else m for d, m in enumerate(shape_of(a))), more.dtype)
            parts.insert(k, more)
    x = concatenate(parts, place) if len(parts) > 1 else a
    for _ in range(n):
        later, earlier = _cut(x, place, 1, None), _cut(x, place, None, -1)
        x = later != earlier if x.dtype.kind == "b" else later - earlier
    return x


def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    """``np.ediff1d``."""
    steps = diff(reshape(ary, -1))
    ends = [reshape(as_operand(x).astype(steps.dtype), -1) if x is not None else None for x in (to_begin, to_end)]
    parts = [part for part in (ends[0], steps, ends[1]) if part is not None]
    return concatenate(parts, 0) if len(parts) > 1 else steps


def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """``np.trapezoid``, also with traced places ``x`` or steps ``dx``."""
    y = as_operand(y)
    place = normalise_axis(axis, len(shape_of(y)))
    step = dx
    if x is not None:
        x = as_operand(x)
        step = diff(x) if len(shape_of(x)) == 1 else diff(x, axis=axis)
        if len(shape_of(x)) == 1:
            step = reshape(step, tuple(-1 if k == place else 1 for k in range(len(shape_of(y)))))
    return reductions.sum(step * (_cut(y, place, 1, None) + _cut(y, place, None, -1)) / 2.0, place)


def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """``np.gradient``: slopes by central differences, with equal steps or at given places."""
    f = as_operand(f)
    ndim = len(shape_of(f))
    axes = tuple(range(ndim)) if axis is None else tuple(normalise_axis(a, ndim) for a in np.atleast_1d(axis))
    if len(varargs) not in (0, 1, len(axes)) or (len(varargs) == 1 < len(axes) and shape_of(as_operand(varargs[0]))):
        raise ShapeError(f"np.gradient along {len(axes)} axes with {len(varargs)} spacings", fix="give one for each axis")
    if edge_order not in (1, 2):
        raise ShapeError(f"np.gradient with edge_order={edge_order}", fix="use 1 or 2")
    spacings = varargs * len(axes) if len(varargs) == 1 else varargs or (1.0,) * len(axes)
    f = as_float(f)
    slopes = tuple(_slopes(f, place, spacing, edge_order) for place, spacing in zip(axes, spacings, strict=True))
    return slopes[0] if len(axes) == 1 else slopes


def _slopes(f: Any, place: int, spacing: Any, edge_order: int) -> Any:
    size = shape_of(f)[place]
    if size < edge_order + 1:
        raise ShapeError(
            f"np.gradient along an axis of {size} needs {edge_order + 1} elements", fix="choose another axis, or edge_order=1"
        )

    def at(x: Any, k: int) -> Any:
        return _cut(x, place, k, k + 1 or None)

    if not shape_of(as_operand(spacing)):
        inside = (_cut(f, place, 2, None) - _cut(f, place, None, -2)) / (2.0 * spacing)
        first, last = (at(f, 1) - at(f, 0)) / spacing, (at(f, -1) - at(f, -2)) / spacing
        if edge_order == 2:
            first = (-1.5 / spacing) * at(f, 0) + (2.0 / spacing) * at(f, 1) + (-0.5 / spacing) * at(f, 2)
            last = (0.5 / spacing) * at(f, -3) + (-2.0 / spacing) * at(f, -2) + (1.5 / spacing) * at(f, -1)
        return concatenate([first, inside, last], place)
    if shape_of(as_operand(spacing)) != (size,):
        raise ShapeError(
            f"np.gradient along an axis of {size} with {shape_of(as_operand(spacing))} places", fix="give a place per element"
        )
    steps = reshape(diff(as_operand(spacing)), tuple(-1 if k == place else 1 for k in range(len(shape_of(f)))))
    before, after = _cut(steps, place, None, -1), _cut(steps, place, 1, None)
    inside = (
        -after / (before * (before + after)) * _cut(f, place, None, -2)
        + (after - before) / (before * after) * _cut(f, place, 1, -1)
        + before / (after * (before + after)) * _cut(f, place, 2, None)
    )
    first, last = (at(f, 1) - at(f, 0)) / at(steps, 0), (at(f, -1) - at(f, -2)) / at(steps, -1)
    if edge_order == 2:
        first, last = _edge(f, steps, at, (0, 1, 2), (0, 1)), _edge(f, steps, at, (-1, -2, -3), (-1, -2), -1.0)
    return concatenate([first, inside, last], place)


def _edge(f: Any, steps: Any, at: Any, points: Sequence[int], gaps: Sequence[int], sign: float = 1.0) -> Any:
    """The slope at an end of the parabola through the three points next to it."""
    near, far = (at(steps, k) for k in gaps)
    slope = (
        -(2.0 * near + far) / (near * (near + far)) * at(f, points[0])
        + (near + far) / (near * far) * at(f, points[1])
        - near / (far * (near + far)) * at(f, points[2])
    )
    return slope * sign


# -- polynomials and interpolation ------------------------------------------------------------------------------------


def polyval(p: Any, x: Any) -> Any:
    """``np.polyval`` by Horner's scheme: coefficients from the highest power down."""
    p = as_operand(p)
    if len(shape_of(p)) != 1:
        raise ShapeError(f"polyval of coefficients of shape {shape_of(p)}", fix="give a vector of coefficients")
    result = as_operand(x) * 0
    for k in range(shape_of(p)[0]):
        result = result * x + getitem(p, k)
    return result


def polyder(p: Any, m: int = 1) -> Any:
    """``np.polyder``: the coefficients of the derivative."""
    p = as_operand(p)
    for _ in range(m):
        powers = np.arange(shape_of(p)[0] - 1, 0, -1)
        p = getitem(p, slice(None, -1)) * powers
    return p


def polyint(p: Any, m: int = 1, k: Any = None) -> Any:
    """``np.polyint``, with the constants of integration ``k``, the first one's first."""
    p = as_float(as_operand(p))
    several = isinstance(k, (list, tuple)) or (hasattr(k, "dtype") and shape_of(k))
    constants = list(k) if several else [0.0 if k is None else k] * m
    constants = constants * m if len(constants) == 1 else constants
    if len(constants) < m:
        raise ShapeError(f"polyint {m} times with {len(constants)} constants", fix="give one for each time, or one for all")
    for constant in constants[:m]:
        divided = p / np.arange(shape_of(p)[0], 0, -1)
        last = reshape(constant if hasattr(constant, "dtype") else np.asarray(constant, divided.dtype), (1,))
        p = concatenate([divided, last if last.dtype == divided.dtype else last.astype(divided.dtype)], 0)
    return p


def polyadd(a1: Any, a2: Any) -> Any:
    """``np.polyadd``: the coefficients of the sum."""
    return _summed(a1, a2, maps.add)


def polysub(a1: Any, a2: Any) -> Any:
    """``np.polysub``: the coefficients of the difference."""
    return _summed(a1, a2, maps.subtract)


def _summed(a1: Any, a2: Any, op: Any) -> Any:
    a1, a2 = (reshape(as_operand(a), -1) for a in (a1, a2))
    size = max(shape_of(a1)[0], shape_of(a2)[0])
    first, second = (
        concatenate([np.zeros(size - shape_of(a)[0], a.dtype), a], 0) if shape_of(a)[0] < size else a for a in (a1, a2)
    )
    return op(first, second)


def polymul(a1: Any, a2: Any) -> Any:
    """``np.polymul``: the coefficients of the product."""
    return convolve(reshape(as_operand(a1), -1), reshape(as_operand(a2), -1))


def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: float | None = None) -> Any:
    """``np.interp``: linear between the points, the ends' values beyond them; differentiable in all three."""
    x, xp, fp = (as_operand(v) for v in (x, xp, fp))
    x, xp, fp = (v if v.dtype == np.float64 else v.astype(np.float64) for v in (x, xp, fp))
    if len(shape_of(xp)) != 1 or shape_of(xp) != shape_of(fp) or not shape_of(xp)[0]:
        raise ShapeError(
            f"interp between points of shapes {shape_of(xp)} and {shape_of(fp)}", fix="give two vectors of the same length"
        )
    if period is not None:
        x, xp, fp = _in_one_period(x, xp, fp, abs(period))
        left = right = None
    size = shape_of(xp)[0]
    flat = reshape(x, -1)
    after = maps.clip(search(xp, flat, right=True), 1, max(size - 1, 1))
    low = maps.clip(after - 1, 0, size - 1)
    high = maps.clip(after, 0, size - 1)
    x0, x1, y0, y1 = take(xp, low), take(xp, high), take(fp, low), take(fp, high)
    width = select(x1 == x0, 1.0, x1 - x0)
    result = (y1 - y0) / width * (flat - x0) + y0
    first, last = getitem(xp, 0), getitem(xp, size - 1)
    result = select(flat == last, getitem(fp, size - 1), result)
    result = select(flat < first, getitem(fp, 0) if left is None else left, result)
    result = select(flat > last, getitem(fp, size - 1) if right is None else right, result)
    return reshape(result, shape_of(x))


def _in_one_period(x: Any, xp: Any, fp: Any, period: float) -> tuple[Any, Any, Any]:
    """The points in order within one period, and one more on either side."""
    if period == 0:
        raise ShapeError("interp with period=0", fix="give a period that is not 0")
    x, xp = maps.remainder(x, period), maps.remainder(xp, period)
    order = argsort(xp)
    xp, fp = take(xp, order), take(fp, order)
    ends = [getitem(xp, slice(-1, None)) - period, xp, getitem(xp, slice(0, 1)) + period]
    return x, concatenate(ends, 0), concatenate([getitem(fp, slice(-1, None)), fp, getitem(fp, slice(0, 1))], 0)


def unwrap(p: Any, discont: Any = None, axis: int = -1, *, period: float = 2 * math.pi) -> Any:
    """``np.unwrap``: jumps of half a period and more are made good by whole periods, which have no slope."""
    from_start = as_float(as_operand(p))
    place = normalise_axis(axis, len(shape_of(from_start)))
    step = diff(from_start, axis=place)
    half = period / 2
    wrapped = maps.remainder(step + half, period) - half
    wrapped = select((wrapped == -half) & (step > 0), half, wrapped)
    correction = select(maps.absolute(step) < (half if discont is None else max(discont, half)), 0.0, wrapped - step)
    turned = from_start
    size = shape_of(from_start)[place]
    total = cumsum(maps.stop_gradient(correction), place)
    return concatenate([_cut(turned, place, 0, 1), _cut(turned, place, 1, size) + total], place)


# -- convolution and covariance ---------------------------------------------------------------------------------------


def convolve(a: Any, v: Any, mode: str = "full") -> Any:
    """``np.convolve`` of two vectors: a row of products summed along the shorter one."""
    a, v = _vector("convolve", a), _vector("convolve", v)
    if shape_of(v)[0] > shape_of(a)[0]:
        a, v = v, a
    return _slid(a, flip(v), mode)


def correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    """``np.correlate`` of two vectors."""
    a, v = _vector("correlate", a), _vector("correlate", v)
    swapped = shape_of(v)[0] > shape_of(a)[0]
    result = _slid(v, a, mode) if swapped else _slid(a, v, mode)
    return flip(result) if swapped else result


def _vector(name: str, x: Any) -> Any:
    x = as_operand(x)
    if len(shape_of(x)) > 1 or 0 in shape_of(x):
        raise ShapeError(f"np.{name} of an array of shape {shape_of(x)}", fix="give vectors with one element or more")
    if x.dtype.kind == "c":
        raise TraceError(f"np.{name} of complex numbers is not traced", fix="combine the real and imaginary parts")
    supported(x.dtype, VALUES)
    return reshape(x, (-1,))


def _slid(a: Any, v: Any, mode: str) -> Any:
    """Sums of products of a short vector with the stretches of a long one."""
    window = shape_of(v)[0]
    if mode == "full":
        before = after = window - 1
    elif mode == "same":
        before, after = window // 2, (window - 1) // 2
    elif mode == "valid":
        before = after = 0
    else:
        raise ShapeError(f"no mode {mode!r}", fix='use mode="full", "same" or "valid"')
    dtype = np.result_type(a.dtype, v.dtype)
    x, kernel = (part if part.dtype == dtype else cast(part, dtype=dtype) for part in (a, v))
    return slid(x, kernel, (before,), (after,))


def cov(
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    fweights: Any = None,
    aweights: Any = None,
    *,
    dtype: Any = None,
) -> Any:
    """``np.cov``."""
    x = _variables(m, rowvar)
    if y is not None:
        x = concatenate([x, _variables(y, rowvar)], 0)
    x = x if dtype is None else x.astype(dtype)
    # float64 at least, as in NumPy
    x = x if dtype is not None or x.dtype.itemsize >= 8 else x.astype(np.float64)
    taken = (0 if bias else 1) if ddof is None else ddof
    if fweights is not None or aweights is not None:
        result = _weighted_cov(x, fweights, aweights, taken)
    else:
        away = x - reductions.mean(x, 1, keepdims=True)
        freedom = shape_of(x)[1] - taken
        result = (away @ away.T) / (float(freedom) if freedom > 0 else 0.0)
    return reshape(result, ()) if shape_of(result) == (1, 1) else result


def _weighted_cov(x: Any, fweights: Any, aweights: Any, ddof: float) -> Any:
    given = [as_float(as_operand(w)) for w in (fweights, aweights) if w is not None]
    for w in given:
        if shape_of(w) != shape_of(x)[1:]:
            raise ShapeError(f"weights of shape {shape_of(w)} for {shape_of(x)[1]} observations", fix="give a weight for each")
    weights = given[0] if len(given) == 1 else given[0] * given[1]
    total = reductions.sum(weights)
    away = x - reductions.sum(x * weights, 1, keepdims=True) / total
    if ddof == 0:
        freedom = total
    elif aweights is None:
        freedom = total - float(ddof)
    else:
        freedom = total - float(ddof) * reductions.sum(weights * given[-1]) / total
    return (away @ (away * weights).T) / freedom


def _variables(x: Any, rowvar: bool) -> Any:
    x = as_float(as_operand(x))
    if len(shape_of(x)) > 2:
        raise ShapeError(f"cov of an array of shape {shape_of(x)}", fix="give a vector, or a matrix of one variable per row")
    if len(shape_of(x)) < 2:
        return reshape(x, (1, -1))
    return x if rowvar else x.T


def corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Any:
    """``np.corrcoef``."""
    c = cov(x, y, rowvar, dtype=dtype)
    if not shape_of(c):
        return c / c
    spread = maps.sqrt(diagonal_of(c))
    return maps.clip(c / expand_dims(spread, 1) / expand_dims(spread, 0), -1.0, 1.0)
