"""NumPy's polynomials from roots and from data, and functions that it applies axis by axis or line by line."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tracegrad.core.aval import normalise_axis, shape_of
from tracegrad.errors import ShapeError, TraceError
from tracegrad.ops import linalg, reductions
from tracegrad.ops.assembly import moveaxis
from tracegrad.ops.indexing import getitem
from tracegrad.ops.maps import sqrt
from tracegrad.ops.pointwise import as_float
from tracegrad.ops.reductions import as_operand
from tracegrad.ops.views import concatenate, expand_dims, reshape, stack

MOST_LINES = 64
"""Lines that a function is traced for one by one."""


def poly(seq_of_zeros: Any) -> Any:
    """``np.poly``: the coefficients of the polynomial with these real roots.

    >>> poly(np.array([1.0, 2.0]))
    array([ 1., -3.,  2.])
    """
    roots = as_operand(seq_of_zeros)
    shape = shape_of(roots)
    if len(shape) > 1 or roots.dtype.kind == "c":
        raise TraceError(
            f"np.poly of {'complex roots' if len(shape) < 2 else f'an array of shape {shape}'} is not traced",
            fix="give a vector of real roots, of a symmetric matrix np.linalg.eigvalsh(a)",
        )
    result: Any = np.ones(1, roots.dtype)
    nothing = np.zeros(1, roots.dtype)
    roots = reshape(roots, (-1,))
    for k in range(shape_of(roots)[0]):
        result = concatenate([result, nothing]) - getitem(roots, k) * concatenate([nothing, result])
    return result


def polyfit(x: Any, y: Any, deg: int, rcond: Any = None, full: bool = False, w: Any = None, cov: bool | str = False) -> Any:
    """``np.polyfit``: the polynomial of least squares, by an orthogonal decomposition of the scaled powers.

    >>> polyfit(np.array([0.0, 1.0, 2.0]), np.array([1.0, 3.0, 7.0]), 2).round(12)
    array([1., 1., 1.])
    """
    if full:
        raise TraceError("np.polyfit with full=True is not traced", fix="leave it out; cov=True gives the covariance")
    if rcond is not None:
        raise TraceError("np.polyfit with rcond= is not traced", fix="leave it out: all powers are fitted")
    x, y = as_float(as_operand(x)), as_float(as_operand(y))
    size, count = (*shape_of(x), 0)[0], int(deg) + 1
    if len(shape_of(x)) != 1 or len(shape_of(y)) not in (1, 2) or shape_of(y)[0] != size:
        raise ShapeError(
            f"np.polyfit at places of shape {shape_of(x)} of values of shape {shape_of(y)}",
            fix="give a vector of places, a row of values for each",
        )
    if deg < 0 or size < count:
        raise ShapeError(
            f"np.polyfit of degree {deg} to {size} points", fix="give a degree from 0 to the number of points less one"
        )
    lhs, rhs = linalg.vander(x, count), y
    if w is not None:
        w = as_float(as_operand(w))
        if shape_of(w) != (size,):
            raise ShapeError(
                f"np.polyfit of {size} points with weights of shape {shape_of(w)}", fix="give a weight for each point"
            )
        lhs = lhs * expand_dims(w, 1)
        rhs = rhs * (expand_dims(w, 1) if len(shape_of(rhs)) == 2 else w)
    dtype = np.result_type(lhs.dtype, rhs.dtype)
    lhs, rhs = (v if v.dtype == dtype else v.astype(dtype) for v in (lhs, rhs))
    scale = sqrt(reductions.sum(lhs * lhs, 0))
    lhs = lhs / scale
    basis, upper = linalg.qr(lhs)
    found = linalg.solve_triangular(upper, basis.T @ rhs)
    across = expand_dims(scale, 1) if len(shape_of(found)) == 2 else scale
    fitted = found / across
    if not cov:
        return fitted
    inverse = linalg.solve_triangular(upper, np.eye(count, dtype=dtype))
    base = inverse @ inverse.T / (expand_dims(scale, 1) * expand_dims(scale, 0))
    if cov == "unscaled":
        return fitted, base if len(shape_of(y)) == 1 else expand_dims(base, 2)
    if size <= count:
        raise ShapeError(
            f"the covariance of {count} coefficients from {size} points", fix='give more points, or cov="unscaled"'
        )
    away = rhs - lhs @ found
    spread = reductions.sum(away * away, 0) / float(size - count)
    return fitted, (base * spread if len(shape_of(y)) == 1 else expand_dims(base, 2) * spread)


# -- functions of lines and axes --------------------------------------------------------------------------------------


def apply_along_axis(func1d: Callable[..., Any], axis: int, arr: Any, *args: Any, **kwargs: Any) -> Any:
    """``np.apply_along_axis`` of up to ``MOST_LINES`` lines, each of which is a part of the graph.

    >>> apply_along_axis(lambda line: line / line.sum(), 1, np.array([[1.0, 3.0], [2.0, 2.0]]))
    array([[0.25, 0.75],
           [0.5 , 0.5 ]])
    """
    arr = as_operand(arr)
    place = normalise_axis(axis, len(shape_of(arr)))
    rest = (*shape_of(arr)[:place], *shape_of(arr)[place + 1 :])
    count = math.prod(rest)
    if not count:
        raise ShapeError("np.apply_along_axis of no lines", fix="give an array with elements")
    if count > MOST_LINES:
        raise TraceError(
            f"np.apply_along_axis over {count} lines would trace its function for each",
            fix="write the function for whole arrays, with axis=; or map it: tg.vmap(f, in_axes=...)(x)",
        )
    lines = reshape(moveaxis(arr, place, -1), (count, shape_of(arr)[place]))
    found = [as_operand(func1d(getitem(lines, k), *args, **kwargs)) for k in range(count)]
    inner = shape_of(found[0])
    whole = reshape(stack([f if f.dtype == found[0].dtype else f.astype(found[0].dtype) for f in found]), (*rest, *inner))
    front = range(place, place + len(inner))
    return moveaxis(whole, range(len(rest), len(rest) + len(inner)), front) if inner else whole


def apply_over_axes(func: Callable[..., Any], a: Any, axes: Any) -> Any:
    """``np.apply_over_axes``: a reduction along one axis after the other, which stay as axes of one element.

    >>> apply_over_axes(np.sum, np.ones((2, 3)), [0, 1])
    array([[6.]])
    """
    value = as_operand(a)
    rank = len(shape_of(value))
    for axis in [int(k) for k in np.ravel(axes)]:
        place = axis + rank if axis < 0 else axis
        found = as_operand(func(value, place))
        if len(shape_of(found)) != rank:
            found = expand_dims(found, place)
        if len(shape_of(found)) != rank:
            raise ShapeError("function is not returning an array of the correct shape", fix="give a reduction along one axis")
        value = found
    return value
