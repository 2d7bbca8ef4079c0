"""Pooling over the last one, two or three axes: windows, then a reduction.

Where several elements of a window are the greatest, ``max_pool2d`` splits the cotangent evenly among them (as every
maximum here does); with ``ties="first"`` all of it goes to the first, as in PyTorch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

from tracegrad.core.aval import Shape, one_int, shape_of
from tracegrad.core.op import Op, Reducer, Sample, Values, reduction
from tracegrad.errors import ShapeError
from tracegrad.ops.broadcasting import broadcast_back, reduce_sum
from tracegrad.ops.maps import add, divide, floor_divide, multiply, remainder, select
from tracegrad.ops.reductions import reduce_max, reduce_min
from tracegrad.ops.sources import running_index
from tracegrad.ops.views import broadcast_to, embed, join, reshape, strided_slice, update, windows

# -- the maximum whose first place counts -----------------------------------------------------------------------------


def _first_place(x: Any, best: Any, axes: tuple[int, ...]) -> tuple[Any, Any]:
    """The number of each element in its window, and the window's first number where ``best`` holds."""
    shape = shape_of(x)
    size = math.prod(shape[k] for k in axes)
    order = reshape(running_index(size, x, best), tuple(n if k in axes else 1 for k, n in enumerate(shape)))
    return order, reduce_min(select(best, broadcast_to(order, shape), size), axes=axes)


def _pull_first(g: Any, out: Any, x: Any, *, axes: tuple[int, ...]) -> Any:
    shape = shape_of(x)
    best = (x == broadcast_back(out, shape, axes)) | (x != x)
    order, first = _first_place(x, best, axes)
    return select(order == broadcast_back(first, shape, axes), broadcast_back(g, shape, axes), np.zeros((), g.dtype))


_DISTINCT = Values((2, 3, 4), distinct=True)

reduce_first_max: Op = reduction(
    "first_max",
    np.maximum,
    _pull_first,
    Reducer("maximum", "lowest"),
    torch=("", "MaxBackward0"),
    doc="The greatest element over axes; at ties the first in row-major order gets the whole cotangent.",
    samples=(
        Sample((_DISTINCT,), {"axes": (1,)}),
        Sample((_DISTINCT,), {"axes": (0, 2)}),
        Sample((Values((3, 0)),), {"axes": (1,)}, error=ShapeError, match="no elements"),
    ),
    empty=False,
)

# -- windows ----------------------------------------------------------------------------------------------------------


def _lowest(dtype: Any) -> Any:
    if dtype.kind == "f":
        return dtype.type(-np.inf)
    return False if dtype.kind == "b" else np.iinfo(dtype).min


def _spread(value: Any, shape: Shape, dtype: Any) -> Any:
    """A constant array that occupies one element of memory."""
    return np.broadcast_to(np.asarray(value, dtype), shape)


def _taps(x: Any, window: Shape, strides: Shape, dilations: Shape) -> tuple[Any, tuple[int, ...]]:
    """The elements of each window along the last axes, and which axes these are.

    Windows that do not overlap are a cheaper view: the image cut into blocks.
    """
    k = len(window)
    lead, sizes = shape_of(x)[:-k], shape_of(x)[-k:]
    n = len(lead)
    if strides != window or any(d != 1 for d in dilations):
        return windows(x, window=window, strides=strides, dilations=dilations), tuple(range(n + k, n + 2 * k))
    counts = tuple(size // w for size, w in zip(sizes, window, strict=True))
    whole = (*lead, *(c * w for c, w in zip(counts, window, strict=True)))
    if whole != (*lead, *sizes):
        x = strided_slice(x, starts=(0,) * len(whole), sizes=whole, steps=(1,) * len(whole))
    blocks = tuple(m for c, w in zip(counts, window, strict=True) for m in (c, w))
    return reshape(x, (*lead, *blocks)), tuple(range(n + 1, n + 2 * k, 2))


def numbers(name: str, value: int | Sequence[int], count: int, least: int) -> Shape:
    """An int or ``count`` ints (one stands for all) as a tuple; ShapeError names the argument otherwise."""
    number = one_int(value)
    given = (number,) if number is not None else tuple(value) if isinstance(value, Sequence) else ()
    found = tuple(n for n in map(one_int, given) if n is not None and n >= least)
    if len(found) != len(given) or len(found) not in (1, count):
        several = {1: "one int", 2: "a pair of ints"}.get(count, f"{count} ints")
        raise ShapeError(f"{name}={value!r}", fix=f"give an int or {several}, none below {least}")
    return found * (count // len(found))


class Pool:
    """Window, strides, padding and dilations of a pooling, checked against the array: how many windows there are.

    ``after`` is the padding at the end of each axis, which ``ceil_mode`` may make longer so that a last window that
    begins in the image is not lost.
    """

    def __init__(
        self,
        name: str,
        x: Any,
        window: Any,
        stride: Any,
        padding: Any,
        dilation: Any = 1,
        *,
        ceil_mode: bool = False,
        ndim: int = 2,
    ) -> None:
        shape = shape_of(x)
        if len(shape) < ndim:
            axes = ("length", "height and width", "depth, height and width")[ndim - 1]
            raise ShapeError(
                f"{name}: an array of shape {shape} has no {axes}",
                fix="give x as (batch, channels, height, width)" if ndim == 2 else "give x as (batch, channels, sizes…)",
            )
        self.shape, self.sizes = shape, shape[-ndim:]
        self.window = numbers("window", window, ndim, 1)
        self.strides = self.window if stride is None else numbers("stride", stride, ndim, 1)
        self.before, self.dilations = numbers("padding", padding, ndim, 0), numbers("dilation", dilation, ndim, 1)
        if any(2 * p > (w - 1) * d + 1 for p, w, d in zip(self.before, self.window, self.dilations, strict=True)):
            raise ShapeError(
                f"{name}: padding {self.before} is more than half the window {self.window}, "
                "so a window could lie outside the image",
                fix="use padding of at most half the window",
            )
        ends = [self._end(k, ceil_mode) for k in range(ndim)]
        self.counts, self.after = tuple(count for count, _ in ends), tuple(after for _, after in ends)

    def _end(self, k: int, ceil_mode: bool) -> tuple[int, int]:
        """How many windows there are along an axis, and the padding at its end."""
        n, w, s, p = self.sizes[k], self.window[k], self.strides[k], self.before[k]
        reach = (w - 1) * self.dilations[k] + 1
        span = n + 2 * p - reach
        if span < 0:
            raise ShapeError(
                f"a window of {w} (reaching over {reach} elements) does not fit into an axis of {n + 2 * p}",
                fix="use a smaller window or dilation, or more padding",
            )
        count = (-(-span // s) if ceil_mode else span // s) + 1
        if (count - 1) * s >= n + p:
            count -= 1
        return count, max(p, (count - 1) * s + reach - n - p)

    def placed(self) -> tuple[Shape, dict[str, Shape]] | None:
        """The padded shape and where the image stands in it, None where nothing is added."""
        lead = self.shape[: -len(self.sizes)]
        spatial = tuple(b + n + a for b, n, a in zip(self.before, self.sizes, self.after, strict=True))
        if spatial == self.sizes:
            return None
        return (*lead, *spatial), {"starts": (*(0 for _ in lead), *self.before), "steps": (1,) * len(self.shape)}

    def taps(self, x: Any) -> tuple[Any, tuple[int, ...]]:
        """The elements of each window, and along which axes they lie."""
        return _taps(x, self.window, self.strides, self.dilations)

    def elements(self, count_padding: bool) -> Any:
        """How many elements each window has, those that ``ceil_mode`` added left out; one number where all are equal."""
        along = []
        for n, w, s, p, count in zip(self.sizes, self.window, self.strides, self.before, self.counts, strict=True):
            starts = np.arange(count) * s - p
            ends = np.minimum(starts + w, n + p)
            along.append(ends - starts if count_padding else np.minimum(ends, n) - np.maximum(starts, 0))
        grid = reduce(np.multiply.outer, along)
        return float(grid.flat[0]) if grid.size and (grid == grid.flat[0]).all() else grid


# -- maxima -----------------------------------------------------------------------------------------------------------


def _lowest_around(pool: Pool, x: Any) -> Any:
    """The image with elements smaller than all others around it."""
    place = pool.placed()
    return x if place is None else update(_spread(_lowest(x.dtype), place[0], x.dtype), x, **place[1])


def max_windows(pool: Pool, x: Any, ties: str = "even") -> Any:
    """The greatest element of each window; ``ties`` is ``"even"`` or ``"first"``."""
    taps, axes = pool.taps(_lowest_around(pool, x))
    return (reduce_max if ties == "even" else reduce_first_max)(taps, axes=axes)


def max_places(pool: Pool, x: Any) -> Any:
    """Where each window has its first greatest element, counted in row-major order in the unpadded image."""
    taps, axes = pool.taps(_lowest_around(pool, x))
    best = (taps == broadcast_back(reduce_max(taps, axes=axes), shape_of(taps), axes)) | (taps != taps)
    _, first = _first_place(taps, best, axes)
    k = len(pool.sizes)
    places: Any = None
    for axis in range(k):
        inner = math.prod(pool.window[axis + 1 :])
        tap = remainder(floor_divide(first, inner), pool.window[axis])
        own = tuple(-1 if d == axis else 1 for d in range(k))
        origin = np.arange(pool.counts[axis]) * pool.strides[axis] - pool.before[axis]
        along = add(multiply(tap, pool.dilations[axis]), origin.reshape(own))
        places = along if places is None else add(multiply(places, pool.sizes[axis]), along)
    return places


def max_pool2d(
    x: Any,
    window: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    *,
    ceil_mode: bool = False,
    ties: str = "even",
) -> Any:
    """The greatest element of each window of the last two axes.

    Parameters
    ----------
    x: images (..., height, width).
    window: an int, or a pair for height and width.
    stride: the same; None means the window, so that windows do not overlap.
    padding: how many elements, smaller than all others, to add on each side; at most half the window.
    dilation: the distance of a window's elements.
    ceil_mode: whether a last window that reaches over the end counts.
    ties: where a window has several greatest elements, ``"even"`` splits its cotangent among them, ``"first"`` gives
        it to the first.

    Raises ShapeError where the window does not fit.

    >>> max_pool2d(np.arange(16.0).reshape(4, 4), 2)
    array([[ 5.,  7.],
           [13., 15.]])
    """
    return max_windows(Pool("max_pool2d", x, window, stride, padding, dilation, ceil_mode=ceil_mode), x, ties)


# -- means ------------------------------------------------------------------------------------------------------------


def mean_windows(pool: Pool, x: Any, count_padding: bool = True, divisor: float | None = None) -> Any:
    """The mean of each window, or its sum over ``divisor``."""
    count = pool.elements(count_padding) if divisor is None else float(divisor)
    place = pool.placed()
    if place is not None:
        x = embed(x, shape=place[0], **place[1])
    taps, axes = pool.taps(x)
    if not isinstance(count, float):
        count = count.astype(x.dtype if x.dtype.kind == "f" else np.float64)
    return divide(reduce_sum(taps, axes=axes), count)


def avg_pool2d(
    x: Any,
    window: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    *,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Any:
    """The mean of each window of the last two axes.

    Parameters
    ----------
    x: images (..., height, width).
    window: an int, or a pair for height and width.
    stride: the same; None means the window, so that windows do not overlap.
    padding: how many zeros to add on each side; at most half the window.
    ceil_mode: whether a last window that reaches over the end counts.
    count_include_pad: whether the mean counts these zeros; if not, a window is divided by its elements in the image.

    Raises ShapeError where the window does not fit.

    >>> avg_pool2d(np.arange(16.0).reshape(4, 4), 2)
    array([[ 2.5,  4.5],
           [10.5, 12.5]])
    """
    return mean_windows(Pool("avg_pool2d", x, window, stride, padding, ceil_mode=ceil_mode), x, count_include_pad)


# -- as many windows as asked for -------------------------------------------------------------------------------------


def binned(op: Op, x: Any, axis: int, bins: int) -> Any:
    """A reduction of each of ``bins`` equal parts of an axis; parts of uneven size overlap, as in PyTorch."""
    shape = shape_of(x)
    size = shape[axis]
    if size % bins == 0 and size:
        parts = reshape(x, (*shape[:axis], bins, size // bins, *shape[axis + 1 :]))
        return op(parts, axes=(axis + 1,))
    found = []
    for start, end in bin_ends(size, bins):
        starts = tuple(start if k == axis else 0 for k in range(len(shape)))
        sizes = tuple(end - start if k == axis else n for k, n in enumerate(shape))
        part = op(strided_slice(x, starts=starts, sizes=sizes, steps=(1,) * len(shape)), axes=(axis,))
        found.append(reshape(part, (*shape[:axis], 1, *shape[axis + 1 :])))
    return join(*found, axis=axis)


def bin_ends(size: int, bins: int) -> list[tuple[int, int]]:
    """Where each of ``bins`` parts of an axis begins and ends."""
    return [(k * size // bins, -(-(k + 1) * size // bins)) for k in range(bins)]
