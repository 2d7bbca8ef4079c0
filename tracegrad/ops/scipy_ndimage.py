"""Interpolation and smoothing of images in ``scipy.ndimage``'s signatures."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracegrad.core.aval import normalise_axis, shape_of
from tracegrad.errors import ShapeError, TraceError
from tracegrad.ops.indexing import getitem
from tracegrad.ops.maps import clip, floor, select
from tracegrad.ops.padding import pad
from tracegrad.ops.pointwise import as_float
from tracegrad.ops.reductions import as_operand
from tracegrad.ops.views import stack

__all__ = ["convolve1d", "correlate1d", "gaussian_filter", "gaussian_filter1d", "map_coordinates", "uniform_filter1d"]

PADDINGS = {"reflect": "symmetric", "nearest": "edge", "mirror": "reflect", "wrap": "wrap", "constant": "constant"}
"""SciPy's modes at the borders, and what ``np.pad`` calls them."""


def map_coordinates(
    input: Any,  # noqa: A002 - SciPy's name
    coordinates: Any,
    output: Any = None,
    order: int = 3,
    mode: str = "constant",
    cval: float = 0.0,
    prefilter: bool = True,
) -> Any:
    """``scipy.ndimage.map_coordinates`` of ``order=1`` or 0, with ``mode="constant"`` or ``"nearest"``.

    Its derivative with respect to the coordinates is that of the linear piece they lie in.

    >>> map_coordinates(np.array([0.0, 10.0, 30.0]), [[0.5, 1.5, 2.5]], order=1)
    array([ 5., 20.,  0.])
    """
    if order not in (0, 1) or mode not in ("constant", "nearest") or output is not None:
        raise TraceError(
            f"scipy.ndimage.map_coordinates with order={order}, mode={mode!r} is not traced",
            fix='give order=1 (linear) or order=0, mode="constant" or "nearest", and no output=',
        )
    image = as_operand(input)
    image = image if image.dtype.kind == "f" else as_float(image)
    shape = shape_of(image)
    places = _array(coordinates)
    if shape_of(places)[:1] != (len(shape),):
        raise ShapeError(
            f"map_coordinates of an array of shape {shape} at coordinates of shape {shape_of(places)}",
            fix="give one array of coordinates for each axis",
        )
    inside: Any = None
    corners: list[list[tuple[Any, Any]]] = []
    for axis, n in enumerate(shape):
        place = as_float(getitem(places, axis))
        if mode == "constant":
            within = (place >= 0.0) & (place <= n - 1.0)
            inside = within if inside is None else inside & within
        place = clip(place, 0.0, n - 1.0)
        if order == 0:
            corners.append([(floor(place + 0.5).astype(np.int64), 1.0)])
            continue
        low = clip(floor(place), 0.0, max(n - 2.0, 0.0))
        part, first = place - low, low.astype(np.int64)
        corners.append([(first, 1.0 - part), (first + 1, part)] if n > 1 else [(first, 1.0)])
    total: Any = 0.0
    for corner in itertools.product(*corners):
        share: Any = 1.0
        for _, weight in corner:
            share = weight * share
        total = total + getitem(image, tuple(at for at, _ in corner)) * share
    total = total if inside is None else select(inside, total, cval)
    return total if total.dtype == image.dtype else total.astype(image.dtype)


def _array(value: Any) -> Any:
    """The array of nested lists, with traced values in them or without."""
    return stack([_array(part) for part in value]) if isinstance(value, (list, tuple)) else as_operand(value)


def correlate1d(
    input: Any,  # noqa: A002 - SciPy's name
    weights: Any,
    axis: int = -1,
    output: Any = None,
    mode: str = "reflect",
    cval: float = 0.0,
    origin: int = 0,
) -> Any:
    """``scipy.ndimage.correlate1d``: a sliding sum of products along one axis.

    >>> correlate1d(np.array([1.0, 2.0, 4.0]), [1.0, 0.0, -1.0])
    array([-1., -3., -2.])
    """
    x, w = as_operand(input), as_operand(weights)
    x = x if x.dtype.kind == "f" else as_float(x)
    count = shape_of(w)[0] if len(shape_of(w)) == 1 else 0
    if output is not None or mode not in PADDINGS or not count:
        raise TraceError(
            "scipy.ndimage.correlate1d with output=, another mode or weights that are no vector is not traced",
            fix=f"the modes are {', '.join(PADDINGS)}",
        )
    place = normalise_axis(axis, len(shape_of(x)))
    before = count // 2 + origin
    widths = [(before, count - 1 - before) if k == place else (0, 0) for k in range(len(shape_of(x)))]
    long = pad(x, widths, "constant", constant_values=cval) if mode == "constant" else pad(x, widths, PADDINGS[mode])
    size, ahead = shape_of(x)[place], (slice(None),) * place
    total: Any = None
    for k in range(count):
        term = getitem(long, (*ahead, slice(k, k + size))) * getitem(w, k)
        total = term if total is None else total + term
    return total if total.dtype == x.dtype else total.astype(x.dtype)


def convolve1d(
    input: Any,  # noqa: A002 - SciPy's name
    weights: Any,
    axis: int = -1,
    output: Any = None,
    mode: str = "reflect",
    cval: float = 0.0,
    origin: int = 0,
) -> Any:
    """``scipy.ndimage.convolve1d``: likewise, with the weights from the last to the first.

    >>> convolve1d(np.array([1.0, 2.0, 4.0]), [1.0, 0.0, -1.0])
    array([1., 3., 2.])
    """
    w = as_operand(weights)
    origin = -origin - (1 if shape_of(w)[0] % 2 == 0 else 0)
    return correlate1d(input, getitem(w, slice(None, None, -1)), axis, output, mode, cval, origin)


def uniform_filter1d(
    input: Any,  # noqa: A002 - SciPy's name
    size: int,
    axis: int = -1,
    output: Any = None,
    mode: str = "reflect",
    cval: float = 0.0,
    origin: int = 0,
) -> Any:
    """``scipy.ndimage.uniform_filter1d``: the mean of ``size`` neighbours.

    >>> uniform_filter1d(np.array([1.0, 2.0, 6.0]), 3).round(12)
    array([1.33333333, 3.        , 4.66666667])
    """
    return correlate1d(input, np.full(size, 1.0 / size), axis, output, mode, cval, origin)


def gaussian_filter1d(
    input: Any,  # noqa: A002 - SciPy's name
    sigma: Any,
    axis: int = -1,
    order: int = 0,
    output: Any = None,
    mode: str = "reflect",
    cval: float = 0.0,
    truncate: float = 4.0,
    *,
    radius: int | None = None,
) -> Any:
    """``scipy.ndimage.gaussian_filter1d`` of order 0, of a width that is no traced value.

    >>> gaussian_filter1d(np.array([0.0, 1.0, 0.0]), 1.0).round(3)
    array([0.296, 0.408, 0.296])
    """
    if order != 0:
        raise TraceError(f"gaussian_filter1d of order {order} is not traced", fix="give order=0, and np.gradient of it")
    width = float(sigma)
    reach = int(truncate * width + 0.5) if radius is None else int(radius)
    weights = np.exp(-0.5 / (width * width) * np.arange(-reach, reach + 1) ** 2)
    return correlate1d(input, weights / weights.sum(), axis, output, mode, cval)


def gaussian_filter(
    input: Any,  # noqa: A002 - SciPy's name
    sigma: Any,
    order: int = 0,
    output: Any = None,
    mode: str = "reflect",
    cval: float = 0.0,
    truncate: float = 4.0,
) -> Any:
    """``scipy.ndimage.gaussian_filter``, likewise, along every axis; ``sigma`` is a number or one for each.

    >>> float(gaussian_filter(np.eye(3), 1.0).sum().round(12))
    3.0
    """
    x = as_operand(input)
    rank = len(shape_of(x))
    widths = list(sigma) if isinstance(sigma, Sequence) else [sigma] * rank
    if len(widths) != rank:
        raise ShapeError(f"gaussian_filter of {rank} axes with {len(widths)} widths", fix="give a number, or one for each axis")
    for axis, width in enumerate(widths):
        if width > 1e-15:
            x = gaussian_filter1d(x, width, axis, order, output, mode, cval, truncate)
    return x
