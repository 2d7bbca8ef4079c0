"""Two-dimensional convolution as one trilinear form.

``form(x, w, g) = Σ x[n, c, i·stride + p·dilation − before, …] · w[o, c, p, q] · g[n, o, i, j]``: leaving out an operand
gives the convolution, its input gradient and its weight gradient, and the transposes of each are the other two. So
three ops hold every derivative of every order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracegrad.core.aval import Aval, Shape, one_int, shape_of
from tracegrad.core.op import Mapped, Op, Sample, Values, bilinear
from tracegrad.errors import ShapeError
from tracegrad.ops.maps import add
from tracegrad.ops.views import reshape, transpose

Padding = tuple[tuple[int, int], tuple[int, int]]


# -- shapes -----------------------------------------------------------------------------------------------------------


def output_sizes(sizes: Shape, window: Shape, strides: Shape, padding: Padding, dilations: Shape) -> Shape:
    """The number of windows along each spatial axis; ShapeError where not one fits into the padded input."""
    counts = []
    for n, k, s, (before, after), d in zip(sizes, window, strides, padding, dilations, strict=True):
        reach, padded = (k - 1) * d + 1, n + before + after
        if reach > padded:
            raise ShapeError(
                f"conv2d: a kernel of {window} with dilation {dilations} reaches over {reach} elements, "
                f"but the padded input has {padded} of sizes {sizes} with padding {padding}",
                fix="use a smaller kernel or dilation, or more padding",
            )
        counts.append((padded - reach) // s + 1)
    return tuple(counts)


def _check_groups(outputs: int, groups: int, w: Shape) -> None:
    if groups < 1 or outputs % groups:
        raise ShapeError(
            f"conv2d: the weight of shape {w} makes {outputs} output channels, not a multiple of groups={groups}",
            fix="choose groups so that it divides the output channels",
        )


def _check_ranks(**shapes: Shape) -> None:
    for name, shape in shapes.items():
        if len(shape) != 4:
            raise ShapeError(
                f"conv2d: {name} has shape {shape}, with {len(shape)} axes instead of 4",
                fix="give x as (batch, channels, height, width) and w as (outputs, channels // groups, height, width)",
            )


def _check_channels(x: Shape, w: Shape, groups: int) -> None:
    if x[1] != w[1] * groups:
        raise ShapeError(
            f"conv2d: the input of shape {x} has {x[1]} channels, but the weight of shape {w} with groups={groups} "
            f"takes {w[1] * groups}",
            fix="make w.shape[1] * groups equal x.shape[1]",
        )


def _check_cotangent(got: Shape, expected: Shape) -> None:
    if got != expected:
        raise ShapeError(
            f"conv2d gradient: a cotangent of shape {got}, but the output has shape {expected}",
            fix="use the sizes, padding and strides of the forward convolution",
        )


def _conv_infer(x: Aval, w: Aval, *, strides: Shape, padding: Padding, dilations: Shape, groups: int) -> Aval:
    _check_ranks(x=x.shape, w=w.shape)
    _check_groups(w.shape[0], groups, w.shape)
    _check_channels(x.shape, w.shape, groups)
    spatial = output_sizes(x.shape[2:], w.shape[2:], strides, padding, dilations)
    return Aval((x.shape[0], w.shape[0], *spatial), x.dtype)


def _input_gradient_infer(g: Aval, w: Aval, *, sizes: Shape, groups: int, **params: Any) -> Aval:
    x = Aval((g.shape[0], w.shape[1] * groups, *sizes), g.dtype)
    _check_cotangent(g.shape, _conv_infer(x, w, groups=groups, **params).shape)
    return x


def _weight_gradient_infer(x: Aval, g: Aval, *, window: Shape, groups: int, **params: Any) -> Aval:
    w = Aval((g.shape[1], x.shape[1] // groups, *window), x.dtype)
    _check_cotangent(g.shape, _conv_infer(x, w, groups=groups, **params).shape)
    return w


# -- eager: columns of patches and one matrix product per group -------------------------------------------------------


def _columns(x: Any, window: Shape, counts: Shape, strides: Shape, padding: Padding, dilations: Shape, groups: int) -> Any:
    """Every patch as a column: (groups, channels // groups * taps, batch * positions)."""
    if any(side for sides in padding for side in sides):
        x = np.pad(x, ((0, 0), (0, 0), *padding))
    batch, channels = x.shape[:2]
    sn, sc, sh, sw = x.strides
    view = np.lib.stride_tricks.as_strided(
        x,
        (channels, *window, batch, *counts),
        (sc, sh * dilations[0], sw * dilations[1], sn, sh * strides[0], sw * strides[1]),
        writeable=False,
    )
    taps = window[0] * window[1]
    return view.reshape(groups, channels // groups * taps, batch * counts[0] * counts[1])


def _by_group(g: Any, groups: int) -> Any:
    """A cotangent of the output as (groups, outputs // groups, batch * positions)."""
    batch, outputs, height, width = g.shape
    return g.transpose(1, 0, 2, 3).reshape(groups, outputs // groups, batch * height * width)


def _conv_eager(x: Any, w: Any, *, strides: Shape, padding: Padding, dilations: Shape, groups: int) -> Any:
    x, w = np.asarray(x), np.asarray(w)
    (batch, outputs), counts = (len(x), len(w)), output_sizes(x.shape[2:], w.shape[2:], strides, padding, dilations)
    columns = _columns(x, w.shape[2:], counts, strides, padding, dilations, groups)
    flat = np.matmul(w.reshape(groups, outputs // groups, columns.shape[1]), columns)
    return np.ascontiguousarray(flat.reshape(outputs, batch, *counts).transpose(1, 0, 2, 3))


def _input_gradient_eager(
    g: Any, w: Any, *, sizes: Shape, strides: Shape, padding: Padding, dilations: Shape, groups: int
) -> Any:
    g, w = np.asarray(g), np.asarray(w)
    batch, outputs, height, width = g.shape
    kernel, (top, bottom), (left, right) = w.shape[2:], *padding
    channels = w.shape[1] * groups
    flat = w.reshape(groups, outputs // groups, channels // groups * kernel[0] * kernel[1])
    columns = np.matmul(flat.transpose(0, 2, 1), _by_group(g, groups))
    columns = columns.reshape(channels, *kernel, batch, height, width)
    padded = np.zeros((channels, batch, sizes[0] + top + bottom, sizes[1] + left + right), columns.dtype)
    for p in range(kernel[0]):
        rows = slice(p * dilations[0], p * dilations[0] + height * strides[0], strides[0])
        for q in range(kernel[1]):
            cols = slice(q * dilations[1], q * dilations[1] + width * strides[1], strides[1])
            # a slice that runs past the end is cut there, so its last element is asked for exactly
            padded[:, :, rows, cols][:, :, :height, :width] += columns[:, p, q]
    inside = padded[:, :, top : top + sizes[0], left : left + sizes[1]]
    return np.ascontiguousarray(inside.transpose(1, 0, 2, 3))


def _weight_gradient_eager(
    x: Any, g: Any, *, window: Shape, strides: Shape, padding: Padding, dilations: Shape, groups: int
) -> Any:
    x, g = np.asarray(x), np.asarray(g)
    columns = _columns(x, window, g.shape[2:], strides, padding, dilations, groups)
    flat = np.matmul(_by_group(g, groups), columns.transpose(0, 2, 1))
    return flat.reshape(g.shape[1], x.shape[1] // groups, *window)


# -- a leading axis ---------------------------------------------------------------------------------------------------
# A form of images, kernels and cotangents stays one of them: where two operands have the axis it is part of their channels,
# as groups; where one has it, of what only this one and the result have.


def _within(x: Any, axis: int, groups: int) -> Any:
    """The leading axis into the channels at ``axis`` (counted with it), within each group."""
    shape = shape_of(x)
    size, channels = shape[0], shape[axis]
    split = reshape(x, (size, *shape[1:axis], groups, channels // groups, *shape[axis + 1 :]))
    # (size, …, groups, channels, …) -> (…, groups, size, channels, …)
    turned = transpose(split, (*range(1, axis + 1), 0, *range(axis + 1, len(shape) + 1)))
    return reshape(turned, (*shape[1:axis], size * channels, *shape[axis + 1 :]))


def _out_of(x: Any, axis: int, groups: int, size: int) -> Any:
    """What ``_within`` undoes; ``axis`` is that of the channels here."""
    shape = shape_of(x)
    channels = shape[axis] // size
    split = reshape(x, (*shape[:axis], groups, size, channels // groups, *shape[axis + 1 :]))
    turned = transpose(split, (axis + 1, *range(axis + 1), *range(axis + 2, len(shape) + 2)))
    return reshape(turned, (size, *shape[:axis], channels, *shape[axis + 1 :]))


def _merged(x: Any) -> Any:
    shape = shape_of(x)
    return reshape(x, (shape[0] * shape[1], *shape[2:]))


def _split(x: Any, size: int) -> Any:
    shape = shape_of(x)
    return reshape(x, (size, shape[0] // size, *shape[1:]))


def _conv_each(size: int, mapped: tuple[bool, ...], x: Any, w: Any, *, groups: int, **params: Any) -> Any:
    if mapped == (True, True):
        return _out_of(convolve(_within(x, 2, 1), _merged(w), groups=size * groups, **params), 1, 1, size)
    if mapped[0]:
        return _split(convolve(_merged(x), w, groups=groups, **params), size)
    return _out_of(convolve(x, _within(w, 1, groups), groups=groups, **params), 1, groups, size)


def _input_gradient_each(size: int, mapped: tuple[bool, ...], g: Any, w: Any, *, groups: int, **params: Any) -> Any:
    if mapped == (True, True):
        found = convolve_input_gradient(_within(g, 2, 1), _merged(w), groups=size * groups, **params)
        return _out_of(found, 1, 1, size)
    if mapped[0]:
        return _split(convolve_input_gradient(_merged(g), w, groups=groups, **params), size)
    found = convolve_input_gradient(g, _within(w, 2, 1), groups=groups, **params)
    return _out_of(found, 1, groups, size)


def _weight_gradient_each(size: int, mapped: tuple[bool, ...], x: Any, g: Any, *, groups: int, **params: Any) -> Any:
    if mapped == (True, True):
        return _split(convolve_weight_gradient(_within(x, 2, 1), _within(g, 2, 1), groups=size * groups, **params), size)
    if mapped[0]:
        return _out_of(convolve_weight_gradient(_within(x, 2, groups), g, groups=groups, **params), 1, 1, size)
    return _out_of(convolve_weight_gradient(x, _within(g, 2, groups), groups=groups, **params), 0, groups, size)


# -- the three ops ----------------------------------------------------------------------------------------------------


def _spatial(x: Any) -> Shape:
    return tuple(shape_of(x)[2:])


def _params(
    strides: Shape = (1, 1),
    padding: Padding = ((0, 0), (0, 0)),
    dilations: Shape = (1, 1),
    groups: int = 1,
    **more: Any,
) -> dict[str, Any]:
    return {"strides": strides, "padding": padding, "dilations": dilations, "groups": groups, **more}


_UNEVEN = _params((2, 1), ((1, 0), (0, 2)), (1, 2))
_GROUPED = _params(padding=((1, 1), (1, 1)), groups=2)


convolve: Op = bilinear(
    "conv2d",
    infer=_conv_infer,
    eager=_conv_eager,
    transposes=(
        lambda g, out, x, w, **params: convolve_input_gradient(g, w, sizes=_spatial(x), **params),
        lambda g, out, x, w, **params: convolve_weight_gradient(x, g, window=_spatial(w), **params),
    ),
    batch=Mapped(_conv_each),
    lower="convolution",
    torch=("conv2d", "ConvolutionBackward0"),
    doc="Cross-correlation of images with kernels: ``out[n, o] = Σ_c x[n, c] ⋆ w[o, c]``.",
    samples=(
        Sample((Values((2, 2, 5, 4)), Values((3, 2, 3, 2))), _params()),
        Sample((Values((1, 2, 5, 6)), Values((2, 2, 2, 2))), _UNEVEN),
        Sample((Values((2, 4, 4, 3)), Values((2, 2, 3, 3))), _GROUPED),
        Sample((Values((0, 1, 3, 3)), Values((2, 1, 3, 3))), _params()),
        Sample((Values((1, 3, 5, 5)), Values((2, 2, 3, 3))), _params(), error=ShapeError, match="has 3 channels.*takes 2"),
        Sample((Values((1, 2, 2, 5)), Values((2, 2, 3, 3))), _params(), error=ShapeError, match="reaches over 3"),
        Sample((Values((1, 2, 5)), Values((2, 2, 3, 3))), _params(), error=ShapeError, match="instead of 4"),
        Sample((Values((1, 4, 5, 5)), Values((3, 2, 3, 3))), _GROUPED, error=ShapeError, match="not a multiple"),
    ),
)

convolve_input_gradient: Op = bilinear(
    "conv2d_input_gradient",
    infer=_input_gradient_infer,
    eager=_input_gradient_eager,
    transposes=(
        lambda c, out, g, w, *, sizes, **params: convolve(c, w, **params),
        lambda c, out, g, w, *, sizes, **params: convolve_weight_gradient(c, g, window=_spatial(w), **params),
    ),
    batch=Mapped(_input_gradient_each),
    lower="convolution_input_gradient",
    torch=("nn.grad.conv2d_input", "ConvolutionBackwardBackward0"),
    doc="The transpose of conv2d in its images: the cotangent of x, which has spatial ``sizes``.",
    samples=(
        Sample((Values((2, 3, 3, 3)), Values((3, 2, 3, 2))), _params(sizes=(5, 4))),
        Sample((Values((1, 2, 3, 6)), Values((2, 2, 2, 2))), {**_UNEVEN, "sizes": (5, 6)}),
        Sample((Values((2, 2, 4, 3)), Values((2, 2, 3, 3))), {**_GROUPED, "sizes": (4, 3)}),
        Sample(
            (Values((1, 2, 2, 2)), Values((2, 2, 3, 3))),
            _params(sizes=(5, 5)),
            error=ShapeError,
            match="cotangent of shape",
        ),
    ),
)

convolve_weight_gradient: Op = bilinear(
    "conv2d_weight_gradient",
    infer=_weight_gradient_infer,
    eager=_weight_gradient_eager,
    transposes=(
        lambda c, out, x, g, *, window, **params: convolve_input_gradient(g, c, sizes=_spatial(x), **params),
        lambda c, out, x, g, *, window, **params: convolve(x, c, **params),
    ),
    batch=Mapped(_weight_gradient_each),
    lower="convolution_weight_gradient",
    torch=("nn.grad.conv2d_weight", "ConvolutionBackwardBackward0"),
    doc="The transpose of conv2d in its kernels: the cotangent of w, which has spatial size ``window``.",
    samples=(
        Sample((Values((2, 2, 5, 4)), Values((2, 3, 3, 3))), _params(window=(3, 2))),
        Sample((Values((1, 2, 5, 6)), Values((1, 2, 3, 6))), {**_UNEVEN, "window": (2, 2)}),
        Sample((Values((2, 4, 4, 3)), Values((2, 2, 4, 3))), {**_GROUPED, "window": (3, 3)}),
    ),
)


# -- the function -----------------------------------------------------------------------------------------------------


def pair(name: str, value: int | Sequence[int], least: int) -> tuple[int, int]:
    """An int or a pair of ints as a pair; ShapeError names the argument otherwise."""
    number = one_int(value)
    given = (number, number) if number is not None else tuple(value) if isinstance(value, Sequence) else ()
    both = [n for n in map(one_int, given) if n is not None and n >= least]
    if len(both) != 2 or len(given) != 2:
        raise ShapeError(f"{name}={value!r}", fix=f"give an int or a pair of ints, none below {least}")
    return both[0], both[1]


def _padding(padding: Any, window: Shape, strides: Shape, dilations: Shape) -> Padding:
    if isinstance(padding, str):
        if padding == "valid":
            return (0, 0), (0, 0)
        if padding != "same":
            raise ShapeError(f"padding={padding!r}", fix='give an int, a pair of ints, "same" or "valid"')
        if strides != (1, 1):
            raise ShapeError(f'padding="same" with stride {strides}', fix="give the padding in numbers, or use stride 1")
        total = tuple(d * (k - 1) for d, k in zip(dilations, window, strict=True))
        return (total[0] // 2, total[0] - total[0] // 2), (total[1] // 2, total[1] - total[1] // 2)
    if one_int(padding) is None and len(padding) == 2 and one_int(padding[0]) is None:
        return pair("padding", padding[0], 0), pair("padding", padding[1], 0)
    high, wide = pair("padding", padding, 0)
    return (high, high), (wide, wide)


def conv2d(
    x: Any,
    w: Any,
    bias: Any = None,
    stride: int | Sequence[int] = 1,
    padding: Any = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Any:
    """Two-dimensional convolution with PyTorch's meaning (no kernel is flipped).

    Parameters
    ----------
    x: images (batch, channels, height, width), or one image without the batch axis.
    w: kernels (outputs, channels // groups, height, width).
    bias: one number per output channel, or None.
    stride, dilation: an int, or a pair for height and width.
    padding: zeros around the image: an int, a pair for height and width, a pair of (before, after) pairs, ``"valid"``
        for none, or ``"same"`` for as many as keep the size.
    groups: into how many groups the channels are split; each output channel sees one.

    Returns the images (batch, outputs, height', width'). Raises ShapeError where shapes or parameters do not fit.

    >>> conv2d(np.ones((1, 1, 3, 3)), np.ones((1, 1, 3, 3)), padding=1)[0, 0]
    array([[4., 6., 4.],
           [6., 9., 6.],
           [4., 6., 4.]])
    """
    if len(shape_of(x)) == 3:
        out = conv2d(reshape(x, (1, *shape_of(x))), w, bias, stride, padding, dilation, groups)
        return reshape(out, tuple(shape_of(out))[1:])
    x_shape, w_shape = shape_of(x), shape_of(w)
    _check_ranks(x=x_shape, w=w_shape)
    _check_groups(w_shape[0], int(groups), w_shape)
    _check_channels(x_shape, w_shape, int(groups))
    strides, dilations = pair("stride", stride, 1), pair("dilation", dilation, 1)
    pads = _padding(padding, w_shape[2:], strides, dilations)
    output_sizes(x_shape[2:], w_shape[2:], strides, pads, dilations)
    out = convolve(x, w, strides=strides, padding=pads, dilations=dilations, groups=int(groups))
    if bias is None:
        return out
    if shape_of(bias) != w_shape[:1]:
        raise ShapeError(
            f"conv2d: a bias of shape {shape_of(bias)} for {w_shape[0]} output channels",
            fix=f"give a bias of shape ({w_shape[0]},)",
        )
    return add(out, reshape(bias, (w_shape[0], 1, 1)))


def taps_read(x: Shape, window: Shape, strides: Shape, padding: Padding, dilations: Shape, groups: int) -> tuple[Any, Any]:
    """Which elements of images each window reads: pairs of a group's position and an element's, flat.

    The first counts ``(batch, groups, height, width)`` of the windows, the second the images.
    """
    counts = output_sizes(x[2:], window, strides, padding, dilations)
    numbers = np.arange(1, math.prod(x) + 1).reshape(x)
    columns = _columns(numbers, window, counts, strides, padding, dilations, groups)
    group, tap, place = np.nonzero(columns)
    image, position = np.divmod(place, math.prod(counts))
    return (image * groups + group) * math.prod(counts) + position, columns[group, tap, place] - 1


def slid(x: Any, kernel: Any, before: Sequence[int], after: Sequence[int]) -> Any:
    """Sums of products of a kernel with the windows of ``x``, which has zeros before and after it along each axis."""
    lift = (1,) * (4 - len(shape_of(x)))
    images, kernels = reshape(x, lift + shape_of(x)), reshape(kernel, lift + shape_of(kernel))
    none = (0,) * (len(lift) - 2)
    padding = tuple(zip((*none, *before), (*none, *after), strict=True))
    out = conv2d(images, kernels, padding=padding)
    return reshape(out, shape_of(out)[4 - len(shape_of(x)) :])
