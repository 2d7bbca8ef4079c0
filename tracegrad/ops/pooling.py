"""Pooling: windows, then a reduction.

Where several elements of a window are the greatest, ``max_pool2d`` splits the cotangent evenly among them (as every
maximum here does); PyTorch gives all of it to the first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracegrad.core.aval import shape_of
from tracegrad.errors import ShapeError
from tracegrad.ops.broadcasting import reduce_sum
from tracegrad.ops.conv import pair
from tracegrad.ops.maps import divide
from tracegrad.ops.reductions import reduce_max
from tracegrad.ops.sources import zeros_shape
from tracegrad.ops.views import embed, reshape, strided_slice, update, window_counts, windows

Pair = tuple[int, int]


def _lowest(dtype: Any) -> Any:
    if dtype.kind == "f":
        return dtype.type(-np.inf)
    return False if dtype.kind == "b" else np.iinfo(dtype).min


def _spread(value: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """A constant array that occupies one element of memory."""
    return np.broadcast_to(np.asarray(value, dtype), shape)


def _taps(x: Any, window: Pair, strides: Pair, dilations: Pair) -> tuple[Any, tuple[int, int]]:
    """The elements of each window along two axes, and which axes these are.

    Windows that do not overlap are a cheaper view: the image cut into blocks.
    """
    *lead, height, width = shape_of(x)
    k = len(lead)
    if strides != window or dilations != (1, 1):
        return windows(x, window=window, strides=strides, dilations=dilations), (k + 2, k + 3)
    rows, cols = height // window[0], width // window[1]
    whole = (*lead, rows * window[0], cols * window[1])
    if whole != (*lead, height, width):
        x = strided_slice(x, starts=(0,) * (k + 2), sizes=whole, steps=(1,) * (k + 2))
    return reshape(x, (*lead, rows, window[0], cols, window[1])), (k + 1, k + 3)


def _arguments(name: str, x: Any, window: Any, stride: Any, padding: Any, dilation: Any) -> tuple[Pair, Pair, Pair, Pair]:
    """Window, strides, padding and dilations as pairs; ShapeError where they do not fit the array."""
    shape = shape_of(x)
    if len(shape) < 2:
        raise ShapeError(
            f"{name}: an array of shape {shape} has no height and width",
            fix="give x as (batch, channels, height, width)",
        )
    sizes = pair("window", window, 1)
    strides = sizes if stride is None else pair("stride", stride, 1)
    pads, dilations = pair("padding", padding, 0), pair("dilation", dilation, 1)
    if any(2 * p > (w - 1) * d + 1 for p, w, d in zip(pads, sizes, dilations, strict=True)):
        raise ShapeError(
            f"{name}: padding {pads} is more than half the window {sizes}, so a window could lie outside the image",
            fix="use padding of at most half the window",
        )
    padded = tuple(n + 2 * p for n, p in zip(shape[-2:], pads, strict=True))
    window_counts(padded, sizes, strides, dilations)
    return sizes, strides, pads, dilations


def _placed(shape: tuple[int, ...], padding: Pair) -> tuple[tuple[int, ...], dict[str, tuple[int, ...]]]:
    """The padded shape, and where the image stands in it."""
    lead = shape[:-2]
    outer = (*lead, shape[-2] + 2 * padding[0], shape[-1] + 2 * padding[1])
    return outer, {"starts": (*(0 for _ in lead), *padding), "steps": (1,) * len(shape)}


def max_pool2d(
    x: Any,
    window: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
) -> Any:
    """The greatest element of each window of the last two axes.

    Parameters
    ----------
    x: images (..., height, width).
    window: an int, or a pair for height and width.
    stride: the same; None means the window, so that windows do not overlap.
    padding: how many elements, smaller than all others, to add on each side; at most half the window.
    dilation: the distance of a window's elements.

    The cotangent of a window with several greatest elements is split evenly among them. Raises ShapeError where the
    window does not fit.

    >>> max_pool2d(np.arange(16.0).reshape(4, 4), 2)
    array([[ 5.,  7.],
           [13., 15.]])
    """
    sizes, strides, pads, dilations = _arguments("max_pool2d", x, window, stride, padding, dilation)
    if pads != (0, 0):
        shape, place = _placed(shape_of(x), pads)
        dtype = x.dtype
        x = update(_spread(_lowest(dtype), shape, dtype), x, **place)
    taps, axes = _taps(x, sizes, strides, dilations)
    return reduce_max(taps, axes=axes)


def avg_pool2d(
    x: Any,
    window: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    *,
    count_include_pad: bool = True,
) -> Any:
    """The mean of each window of the last two axes.

    Parameters
    ----------
    x: images (..., height, width).
    window: an int, or a pair for height and width.
    stride: the same; None means the window, so that windows do not overlap.
    padding: how many zeros to add on each side; at most half the window.
    count_include_pad: whether the mean counts these zeros; if not, a window is divided by its elements in the image.

    Raises ShapeError where the window does not fit.

    >>> avg_pool2d(np.arange(16.0).reshape(4, 4), 2)
    array([[ 2.5,  4.5],
           [10.5, 12.5]])
    """
    sizes, strides, pads, dilations = _arguments("avg_pool2d", x, window, stride, padding, 1)
    count: Any = float(math.prod(sizes))
    if pads != (0, 0):
        plain = shape_of(x)
        shape, place = _placed(plain, pads)
        if not count_include_pad:
            inside = embed(np.asarray(zeros_shape(plain[-2:], np.float64) + 1), **_flat_place(shape, place))
            taps, axes = _taps(inside, sizes, strides, dilations)
            count = reduce_sum(taps, axes=axes).astype(x.dtype if x.dtype.kind == "f" else np.float64)
        x = embed(x, shape=shape, **place)
    taps, axes = _taps(x, sizes, strides, dilations)
    return divide(reduce_sum(taps, axes=axes), count)


def _flat_place(shape: tuple[int, ...], place: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """The same place for one image without leading axes."""
    return {"shape": shape[-2:], "starts": place["starts"][-2:], "steps": place["steps"][-2:]}
