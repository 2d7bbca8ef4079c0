"""Convolutions over one and three axes, transposed ones, and patches as columns: all of the one trilinear form in two axes.

An axis of size 1 makes a signal an image; the taps of a third axis are so many channels more.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np  # noqa: F401 - the examples need it

from tracegrad.core.aval import Shape, shape_of
from tracegrad.ops.broadcasting import reduce_sum
from tracegrad.ops.conv import Padding, convolve, convolve_input_gradient
from tracegrad.ops.maps import add
from tracegrad.ops.views import embed, reshape, spread_windows, strided_slice, transpose, windows

Sides = tuple[tuple[int, int], ...]


def _padded(x: Any, pads: Sides) -> Any:
    """Zeros around the last axes."""
    if not any(n for side in pads for n in side):
        return x
    shape = shape_of(x)
    lead = len(shape) - len(pads)
    spatial = tuple(b + n + a for n, (b, a) in zip(shape[lead:], pads, strict=True))
    starts = (*(0,) * lead, *(b for b, _ in pads))
    return embed(x, shape=(*shape[:lead], *spatial), starts=starts, steps=(1,) * len(shape))


def _cropped(x: Any, starts: Shape, sizes: Shape) -> Any:
    """A part of the last axes."""
    shape = shape_of(x)
    lead = len(shape) - len(sizes)
    if shape[lead:] == sizes:
        return x
    return strided_slice(x, starts=(*(0,) * lead, *starts), sizes=(*shape[:lead], *sizes), steps=(1,) * len(shape))


def with_bias(x: Any, bias: Any) -> Any:
    """One number per channel (axis 1) added, None for none."""
    return x if bias is None else add(x, reshape(bias, (-1, *(1,) * (len(shape_of(x)) - 2))))


def convolution(x: Any, w: Any, bias: Any, strides: Shape, pads: Sides, dilations: Shape, groups: int) -> Any:
    """The convolution of (batch, channels, sizes…) with (outputs, channels // groups, window…) over one to three axes.

    >>> convolution(np.ones((1, 1, 4)), np.ones((1, 1, 2)), None, (1,), ((0, 0),), (1,), 1)
    array([[[2., 2., 2.]]])
    """
    k = len(strides)
    if k == 1:
        out = convolution(
            reshape(x, (*shape_of(x)[:2], 1, shape_of(x)[2])),
            reshape(w, (*shape_of(w)[:2], 1, shape_of(w)[2])),
            bias,
            (1, *strides),
            ((0, 0), *pads),
            (1, *dilations),
            groups,
        )
        return reshape(out, (*shape_of(out)[:2], shape_of(out)[3]))
    if k == 2:
        padding: Padding = (pads[0], pads[1])
        return with_bias(convolve(x, w, strides=strides, padding=padding, dilations=dilations, groups=groups), bias)
    outputs, channels, taps = shape_of(w)[:3]
    x = transpose(_padded(x, (pads[0], (0, 0), (0, 0))), (0, 1, 3, 4, 2))
    # the taps of the depth as channels: (batch · depth, channels · taps, height, width)
    cut = transpose(windows(x, window=(taps,), strides=strides[:1], dilations=dilations[:1]), (0, 4, 1, 5, 2, 3))
    batch, depth = shape_of(cut)[:2]
    images = reshape(cut, (batch * depth, shape_of(cut)[2] * taps, *shape_of(cut)[4:]))
    flat = reshape(w, (outputs, channels * taps, *shape_of(w)[3:]))
    out = convolution(images, flat, None, strides[1:], pads[1:], dilations[1:], groups)
    out = reshape(out, (batch, depth, outputs, *shape_of(out)[2:]))
    return with_bias(transpose(out, (0, 2, 1, 3, 4)), bias)


def transposed_sizes(sizes: Shape, window: Shape, strides: Shape, pads: Shape, extra: Shape, dilations: Shape) -> Shape:
    """The spatial sizes of a transposed convolution's output; ``extra`` is PyTorch's ``output_padding``."""
    return tuple(
        (n - 1) * s - 2 * p + d * (w - 1) + e + 1
        for n, w, s, p, e, d in zip(sizes, window, strides, pads, extra, dilations, strict=True)
    )


def transposed_convolution(
    x: Any, w: Any, bias: Any, strides: Shape, pads: Shape, extra: Shape, dilations: Shape, groups: int
) -> Any:
    """The transpose of ``convolution`` in its input, for (batch, channels, sizes…) and (channels, outputs // groups, window…).

    >>> transposed_convolution(np.ones((1, 1, 2)), np.ones((1, 1, 2)), None, (2,), (0,), (0,), (1,), 1)
    array([[[1., 1., 1., 1.]]])
    """
    k, shape, window = len(strides), shape_of(x), shape_of(w)[2:]
    sizes = transposed_sizes(shape[2:], window, strides, pads, extra, dilations)
    if k == 1:
        x, w = reshape(x, (*shape[:2], 1, shape[2])), reshape(w, (*shape_of(w)[:2], 1, window[0]))
        out = transposed_convolution(x, w, bias, (1, *strides), (0, *pads), (0, *extra), (1, *dilations), groups)
        return reshape(out, (*shape_of(out)[:2], shape_of(out)[3]))
    if k == 2:
        # what is added at the end comes from less padding there; beyond that there are only zeros
        after = tuple(max(p - e, 0) for p, e in zip(pads, extra, strict=True))
        beyond = tuple(max(e - p, 0) for p, e in zip(pads, extra, strict=True))
        inner = tuple(n - b for n, b in zip(sizes, beyond, strict=True))
        padding: Padding = ((pads[0], after[0]), (pads[1], after[1]))
        params: dict[str, Any] = {"strides": strides, "padding": padding, "dilations": dilations, "groups": groups}
        out = convolve_input_gradient(x, w, sizes=inner, **params)
        return with_bias(_padded(out, ((0, beyond[0]), (0, beyond[1]))), bias)
    inputs, outputs, taps = shape_of(w)[:3]
    batch, _, depth = shape[:3]
    images = reshape(transpose(x, (0, 2, 1, 3, 4)), (batch * depth, inputs, *shape[3:]))
    flat = reshape(w, (inputs, outputs * taps, *window[1:]))
    out = transposed_convolution(images, flat, None, strides[1:], pads[1:], extra[1:], dilations[1:], groups)
    out = reshape(out, (batch, depth, outputs * groups, taps, *shape_of(out)[2:]))
    whole = (depth - 1) * strides[0] + dilations[0] * (taps - 1) + 1
    spread = spread_windows(
        transpose(out, (0, 2, 4, 5, 1, 3)), sizes=(whole,), window=(taps,), strides=strides[:1], dilations=dilations[:1]
    )
    summed = transpose(reduce_sum(spread, axes=(5,)), (0, 1, 4, 2, 3))
    longer = _padded(summed, ((0, max(pads[0] + sizes[0] - whole, 0)), (0, 0), (0, 0)))
    return with_bias(_cropped(longer, (pads[0], 0, 0), sizes), bias)


def columns(x: Any, window: Shape, dilations: Shape, pads: Shape, strides: Shape) -> Any:
    """Every patch of (batch, channels, height, width) as a column: (batch, channels · taps, patches).

    >>> columns(np.arange(4.0).reshape(1, 1, 2, 2), (1, 2), (1, 1), (0, 0), (1, 1))
    array([[[0., 2.],
            [1., 3.]]])
    """
    batch, channels = shape_of(x)[:2]
    cut = windows(_padded(x, ((pads[0],) * 2, (pads[1],) * 2)), window=window, strides=strides, dilations=dilations)
    rows, wide = shape_of(cut)[2:4]
    return reshape(transpose(cut, (0, 1, 4, 5, 2, 3)), (batch, channels * math.prod(window), rows * wide))


def from_columns(x: Any, sizes: Shape, window: Shape, dilations: Shape, pads: Shape, strides: Shape, counts: Shape) -> Any:
    """The transpose of ``columns``: patches added up at their places in images of these sizes.

    >>> from_columns(np.ones((1, 2, 2)), (1, 3), (1, 2), (1, 1), (0, 0), (1, 1), (1, 2))
    array([[[[1., 2., 1.]]]])
    """
    batch = shape_of(x)[0]
    patches = transpose(reshape(x, (batch, -1, *window, *counts)), (0, 1, 4, 5, 2, 3))
    whole = tuple(n + 2 * p for n, p in zip(sizes, pads, strict=True))
    spread = spread_windows(patches, sizes=whole, window=window, strides=strides, dilations=dilations)
    return _cropped(reduce_sum(spread, axes=(4, 5)), pads, sizes)
