"""Pooling with PyTorch's signatures: windows of fixed size, or as many as asked for.

A maximum's cotangent goes to the first greatest element of the window, as in PyTorch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracegrad.core.aval import Shape, one_int, shape_of
from tracegrad.core.source import user_frame
from tracegrad.eager.composite import recorded_as
from tracegrad.eager.functions.reductions import mean
from tracegrad.eager.functions.shapes import squeeze, unsqueeze
from tracegrad.eager.nn.functional.activations import relu
from tracegrad.eager.nn.functional.common import refused, sizes_of
from tracegrad.errors import ShapeError
from tracegrad.ops.broadcasting import reduce_sum
from tracegrad.ops.indexing import take_along_axis
from tracegrad.ops.maps import absolute, multiply, negative, power, sign, stop_gradient
from tracegrad.ops.pooling import Pool, bin_ends, binned, max_places, max_windows, mean_windows, reduce_first_max
from tracegrad.ops.reductions import argmax
from tracegrad.ops.views import concatenate, strided_slice

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "lp_pool1d",
    "lp_pool2d",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
]

Ints = int | Sequence[int]

# -- what windows of fixed size share ---------------------------------------------------------------------------------


def _max(x: Any, window: Shape, strides: Shape, pads: Shape, dilations: Shape, ceil_mode: bool) -> Any:
    pool = Pool("max_pool", x, window, strides, pads, dilations, ceil_mode=ceil_mode, ndim=len(window))
    return max_windows(pool, x, "first")


def _avg(x: Any, window: Shape, strides: Shape, pads: Shape, ceil_mode: bool, counted: bool, divisor: Any) -> Any:
    pool = Pool("avg_pool", x, window, strides, pads, ceil_mode=ceil_mode, ndim=len(window))
    return mean_windows(pool, x, counted, divisor)


_MAX = {2: recorded_as("MaxPool2DWithIndicesBackward0")(_max), 3: recorded_as("MaxPool3DWithIndicesBackward0")(_max)}
_AVG = {2: recorded_as("AvgPool2DBackward0")(_avg), 3: recorded_as("AvgPool3DBackward0")(_avg)}


def _check(name: str, ndim: int, x: Any, window: Shape, pads: Shape, sizes: Shape) -> None:
    shape = shape_of(x)
    if len(shape) not in (ndim + 1, ndim + 2):
        raise ShapeError(
            f"{name}: Expected {ndim + 1}D or {ndim + 2}D input, but got input of size {list(shape)}",
            fix="give (batch, channels, sizes…), or (channels, sizes…) for one sample",
            where=user_frame(),
        )
    if any(2 * p > k for p, k in zip(pads, window, strict=True)):
        raise ShapeError(
            f"{name}: pad should be at most half of effective kernel size, but got pad={pads}, kernel_size={window}",
            fix="use less padding, or F.pad before",
            where=user_frame(),
        )
    if any(n < 1 for n in sizes):
        raise ShapeError(
            f"Given input size: {tuple(shape[-ndim:])}. Calculated output size: {tuple(sizes)}. Output size is too small",
            fix="use a smaller window or more padding",
            where=user_frame(),
        )


def _settings(
    name: str, ndim: int, x: Any, kernel_size: Ints, stride: Any, padding: Ints, dilation: Ints
) -> tuple[Shape, Shape, Shape, Shape]:
    window = sizes_of("kernel_size", kernel_size, ndim, 1)
    # an empty stride is PyTorch's other way to say none
    given = stride if stride is not None and (one_int(stride) is not None or len(stride)) else window
    strides, pads = sizes_of("stride", given, ndim, 1), sizes_of("padding", padding, ndim)
    dilations = sizes_of("dilation", dilation, ndim, 1)
    reach = tuple((k - 1) * d + 1 for k, d in zip(window, dilations, strict=True))
    spans = [n + 2 * p - r for n, p, r in zip(shape_of(x)[-ndim:], pads, reach, strict=False)]
    _check(name, ndim, x, window, pads, tuple(s // d + 1 if s >= 0 else 0 for s, d in zip(spans, strides, strict=False)))
    return window, strides, pads, dilations


def _max_pooled(
    ndim: int,
    x: Any,
    kernel_size: Ints,
    stride: Any,
    padding: Ints,
    dilation: Ints,
    ceil_mode: bool,
    return_indices: bool,
) -> Any:
    window, strides, pads, dilations = _settings(f"max_pool{ndim}d", ndim, x, kernel_size, stride, padding, dilation)
    flat = ndim == 1
    if flat:
        # as PyTorch does: a signal is an image one element high
        x = unsqueeze(x, -2)
        window, strides, pads, dilations = (1, *window), (1, *strides), (0, *pads), (1, *dilations)
    out = _MAX[len(window)](x, window, strides, pads, dilations, bool(ceil_mode))
    out = squeeze(out, -2) if flat else out
    if not return_indices:
        return out
    pool = Pool("max_pool", x, window, strides, pads, dilations, ceil_mode=bool(ceil_mode), ndim=len(window))
    places = max_places(pool, stop_gradient(x))
    return out, squeeze(places, -2) if flat else places


def max_pool1d(
    input: Any,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The greatest element of each window of the last dim, and where it stands if ``return_indices``.

    >>> from tracegrad.eager import tensor
    >>> max_pool1d(tensor([[1.0, 3.0, 2.0, 0.0]]), 2)
    tensor([[3., 2.]])
    """
    return _max_pooled(1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool2d(
    input: Any,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The greatest element of each window of the last two dims, and where it stands if ``return_indices``.

    Raises ShapeError where the window does not fit or the padding is more than half of it.

    >>> from tracegrad.eager import tensor
    >>> max_pool2d(tensor([[[1.0, 3.0], [2.0, 0.0]]]), 2)
    tensor([[[3.]]])
    """
    return _max_pooled(2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool3d(
    input: Any,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The greatest element of each window of the last three dims, and where it stands if ``return_indices``.

    >>> from tracegrad.eager import tensor
    >>> max_pool3d(tensor([[[[1.0]], [[2.0]]]]), (2, 1, 1))
    tensor([[[[2.]]]])
    """
    return _max_pooled(3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def _avg_pooled(
    ndim: int, x: Any, kernel_size: Ints, stride: Any, padding: Ints, ceil_mode: bool, counted: bool, divisor: Any = None
) -> Any:
    window, strides, pads, _ = _settings(f"avg_pool{ndim}d", ndim, x, kernel_size, stride, padding, 1)
    if divisor == 0:
        raise ValueError("divisor must be not zero")
    if ndim > 1:
        return _AVG[ndim](x, window, strides, pads, bool(ceil_mode), bool(counted), divisor)
    image = unsqueeze(x, -2)
    return squeeze(_AVG[2](image, (1, *window), (1, *strides), (0, *pads), bool(ceil_mode), bool(counted), divisor), -2)


def avg_pool1d(
    input: Any,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Any:
    """The mean of each window of the last dim.

    >>> from tracegrad.eager import tensor
    >>> avg_pool1d(tensor([[1.0, 3.0, 2.0, 0.0]]), 2)
    tensor([[2., 1.]])
    """
    return _avg_pooled(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad)


def avg_pool2d(
    input: Any,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """The mean of each window of the last two dims, or its sum over ``divisor_override``.

    ``count_include_pad`` says whether the mean counts the zeros of the padding.

    >>> from tracegrad.eager import tensor
    >>> avg_pool2d(tensor([[[1.0, 3.0], [2.0, 0.0]]]), 2)
    tensor([[[1.5000]]])
    """
    return _avg_pooled(2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def avg_pool3d(
    input: Any,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """The mean of each window of the last three dims; see ``avg_pool2d``.

    >>> from tracegrad.eager import tensor
    >>> avg_pool3d(tensor([[[[1.0]], [[2.0]]]]), (2, 1, 1))
    tensor([[[[1.5000]]]])
    """
    return _avg_pooled(3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def _lp(out: Any, norm_type: float, count: int) -> Any:
    return power(multiply(multiply(sign(out), relu(absolute(out))), count), 1.0 / norm_type)


def lp_pool1d(input: Any, norm_type: float, kernel_size: int, stride: Ints | None = None, ceil_mode: bool = False) -> Any:
    """The sum of the powers ``norm_type`` of each window's elements, to the power ``1 / norm_type``.

    >>> from tracegrad.eager import tensor
    >>> lp_pool1d(tensor([[3.0, 4.0]]), 2, 2)
    tensor([[5.]])
    """
    if math.isinf(norm_type):
        out = max_pool1d(multiply(absolute(input), math.copysign(1, norm_type)), kernel_size, stride, 0, 1, ceil_mode)
        return out if norm_type > 0 else negative(out)
    window = sizes_of("kernel_size", kernel_size, 1, 1)
    return _lp(avg_pool1d(power(input, norm_type), window, stride, 0, ceil_mode), norm_type, window[0])


def lp_pool2d(input: Any, norm_type: float, kernel_size: Ints, stride: Ints | None = None, ceil_mode: bool = False) -> Any:
    """The sum of the powers ``norm_type`` of each window's elements, to the power ``1 / norm_type``.

    >>> from tracegrad.eager import tensor
    >>> lp_pool2d(tensor([[[3.0, 4.0]]]), 2, (1, 2))
    tensor([[[5.]]])
    """
    if math.isinf(norm_type):
        out = max_pool2d(multiply(absolute(input), math.copysign(1, norm_type)), kernel_size, stride, 0, 1, ceil_mode)
        return out if norm_type > 0 else negative(out)
    window = sizes_of("kernel_size", kernel_size, 2, 1)
    return _lp(avg_pool2d(power(input, norm_type), window, stride, 0, ceil_mode), norm_type, window[0] * window[1])


# -- as many windows as asked for -------------------------------------------------------------------------------------


def _adaptive_sizes(name: str, x: Any, output_size: Any, ndim: int) -> Shape:
    """How many windows along each of the last axes; None keeps an axis."""
    shape = shape_of(x)
    if len(shape) not in (ndim + 1, ndim + 2):
        raise ShapeError(
            f"{name}: Expected {ndim + 1}D or {ndim + 2}D tensor, but got {list(shape)}",
            fix="give (batch, channels, sizes…), or (channels, sizes…) for one sample",
            where=user_frame(),
        )
    if isinstance(output_size, Sequence) and len(output_size) not in (1, ndim):
        raise refused(f"{name}: output_size={output_size!r}", f"give one number, or one per spatial dim ({ndim})")
    given = output_size if isinstance(output_size, Sequence) else (output_size,) * ndim
    given = tuple(given) * (ndim if len(given) == 1 else 1)
    kept = shape[-ndim:]
    return sizes_of("output_size", [n if m is None else m for n, m in zip(kept, given, strict=True)], ndim, 1)


def _adaptive_avg(x: Any, sizes: Shape) -> Any:
    first = len(shape_of(x)) - len(sizes)
    for k in reversed(range(len(sizes))):
        size = shape_of(x)[first + k]
        x = binned(reduce_sum, x, first + k, sizes[k])
        widths = np.array([end - start for start, end in bin_ends(size, sizes[k])], x.dtype)
        x = x / widths.reshape((sizes[k], *(1,) * (len(sizes) - k - 1)))
    return x


def _adaptive_max(x: Any, sizes: Shape) -> Any:
    first = len(shape_of(x)) - len(sizes)
    for k in reversed(range(len(sizes))):
        x = binned(reduce_first_max, x, first + k, sizes[k])
    return x


_ADAPTIVE_AVG = {k: recorded_as(f"AdaptiveAvgPool{k}DBackward0")(_adaptive_avg) for k in (2, 3)}
_ADAPTIVE_MAX = {k: recorded_as(f"AdaptiveMaxPool{k}DBackward0")(_adaptive_max) for k in (2, 3)}


def _first_places(x: Any, sizes: Shape) -> Any:
    """Where the first greatest element of each part stands, counted in row-major order in the last axes."""
    first = len(shape_of(x)) - len(sizes)
    whole = shape_of(x)[first:]
    places: Any = None
    for k in reversed(range(len(sizes))):
        axis, shape = first + k, shape_of(x)
        values, found = [], []
        for start, end in bin_ends(whole[k], sizes[k]):
            starts = tuple(start if d == axis else 0 for d in range(len(shape)))
            lengths = tuple(end - start if d == axis else n for d, n in enumerate(shape))
            here = argmax(strided_slice(x, starts=starts, sizes=lengths, steps=(1,) * len(shape)), axis, keepdims=True)
            here = here + start
            along = multiply(here, math.prod(whole[k + 1 :]))
            values.append(take_along_axis(x, here, axis))
            found.append(along if places is None else along + take_along_axis(places, here, axis))
        x, places = concatenate(values, axis), concatenate(found, axis)
    return places


def _adaptive_avg_pooled(ndim: int, x: Any, output_size: Any) -> Any:
    sizes = _adaptive_sizes(f"adaptive_avg_pool{ndim}d", x, output_size, ndim)
    if ndim == 1:
        return squeeze(_adaptive_avg_pooled(2, unsqueeze(x, -2), (1, *sizes)), -2)
    if all(n == 1 for n in sizes):
        return mean(x, tuple(range(-ndim, 0)), keepdim=True)
    return _ADAPTIVE_AVG[ndim](x, sizes)


def _adaptive_max_pooled(ndim: int, x: Any, output_size: Any, return_indices: bool) -> Any:
    sizes = _adaptive_sizes(f"adaptive_max_pool{ndim}d", x, output_size, ndim)
    if ndim == 1:
        out = _adaptive_max_pooled(2, unsqueeze(x, -2), (1, *sizes), return_indices)
        return tuple(squeeze(part, -2) for part in out) if return_indices else squeeze(out, -2)
    out = _ADAPTIVE_MAX[ndim](x, sizes)
    return (out, _first_places(stop_gradient(x), sizes)) if return_indices else out


def adaptive_avg_pool1d(input: Any, output_size: Any) -> Any:
    """The means of ``output_size`` parts of the last dim, of equal size where that is possible.

    >>> from tracegrad.eager import tensor
    >>> adaptive_avg_pool1d(tensor([[1.0, 3.0, 2.0, 0.0]]), 2)
    tensor([[2., 1.]])
    """
    return _adaptive_avg_pooled(1, input, output_size)


def adaptive_avg_pool2d(input: Any, output_size: Any) -> Any:
    """The means of as many parts of the last two dims as ``output_size`` says; None keeps a dim.

    >>> from tracegrad.eager import tensor
    >>> adaptive_avg_pool2d(tensor([[[1.0, 3.0], [2.0, 0.0]]]), 1)
    tensor([[[1.5000]]])
    """
    return _adaptive_avg_pooled(2, input, output_size)


def adaptive_avg_pool3d(input: Any, output_size: Any) -> Any:
    """The means of as many parts of the last three dims as ``output_size`` says; None keeps a dim.

    >>> from tracegrad.eager import tensor
    >>> adaptive_avg_pool3d(tensor([[[[1.0, 3.0], [2.0, 0.0]]]]), 1)
    tensor([[[[1.5000]]]])
    """
    return _adaptive_avg_pooled(3, input, output_size)


def adaptive_max_pool1d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """The maxima of ``output_size`` parts of the last dim, and where they stand if ``return_indices``.

    >>> from tracegrad.eager import tensor
    >>> adaptive_max_pool1d(tensor([[1.0, 3.0, 2.0, 0.0]]), 2)
    tensor([[3., 2.]])
    """
    return _adaptive_max_pooled(1, input, output_size, return_indices)


def adaptive_max_pool2d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """The maxima of as many parts of the last two dims as ``output_size`` says; None keeps a dim.

    >>> from tracegrad.eager import tensor
    >>> adaptive_max_pool2d(tensor([[[1.0, 3.0], [2.0, 0.0]]]), 1)
    tensor([[[3.]]])
    """
    return _adaptive_max_pooled(2, input, output_size, return_indices)


def adaptive_max_pool3d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """The maxima of as many parts of the last three dims as ``output_size`` says; None keeps a dim.

    >>> from tracegrad.eager import tensor
    >>> adaptive_max_pool3d(tensor([[[[1.0, 3.0], [2.0, 0.0]]]]), 1)
    tensor([[[[3.]]]])
    """
    return _adaptive_max_pooled(3, input, output_size, return_indices)
