"""Convolutions with PyTorch's signatures, each one node on the tape; and patches as columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracegrad.core.aval import Shape, shape_of
from tracegrad.eager.composite import recorded_as
from tracegrad.eager.functions.shapes import squeeze, unsqueeze
from tracegrad.eager.nn.functional.common import refused, sizes_of
from tracegrad.eager.nn.functional.linear import same_dtype
from tracegrad.functional.convolutions import (
    columns,
    convolution,
    from_columns,
    transposed_convolution,
    transposed_sizes,
)
from tracegrad.ops.views import reshape

__all__ = [
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "fold",
    "unfold",
]

Ints = int | Sequence[int]

_convolution = recorded_as("ConvolutionBackward0")(convolution)
_transposed = recorded_as("ConvolutionBackward0")(transposed_convolution)


def _check(name: str, ndim: int, x: Shape, w: Shape, bias: Any, groups: int, transposed: bool) -> None:
    """Raise ShapeError in PyTorch's words where operands do not fit; ``x`` has its batch axis."""
    if len(w) != ndim + 2:
        raise refused(
            f"{name}: expected a {ndim + 2}-dimensional weight, but got one of size {list(w)}",
            f"give a weight with {ndim + 2} dims",
        )
    if groups < 1 or w[0] % groups:
        raise refused(
            f"Given groups={groups}, expected weight to be at least {groups} at dimension 0, and divisible by it, "
            f"but got weight of size {list(w)} instead",
            "choose groups so that it divides the channels",
        )
    wanted = w[0] if transposed else w[1] * groups
    if x[1] != wanted:
        kind = f"Given transposed={int(transposed)}, weight" if transposed else f"Given groups={groups}, weight"
        raise refused(
            f"{kind} of size {list(w)}, expected input{list(x)} to have {wanted} channels, but got {x[1]} channels instead",
            f"give an input of shape (batch, {wanted}, …), or another weight",
        )
    outputs = w[1] * groups if transposed else w[0]
    if bias is not None and shape_of(bias) != (outputs,):
        raise refused(
            f"Given weight of size {list(w)}, expected bias to be 1-dimensional with {outputs} elements, "
            f"but got bias of size {list(shape_of(bias))} instead",
            f"give a bias of shape ({outputs},)",
        )


def _batched(name: str, input: Any, ndim: int) -> Any:
    """The input with a batch axis; ShapeError for other ranks."""
    if len(shape_of(input)) not in (ndim + 1, ndim + 2):
        raise refused(
            f"Expected {ndim + 1}D (unbatched) or {ndim + 2}D (batched) input to {name}, "
            f"but got input of size: {list(shape_of(input))}",
            f"give (batch, channels, …) with {ndim + 2} dims, for example with x.unsqueeze(0)",
        )
    return input if len(shape_of(input)) == ndim + 2 else unsqueeze(input, 0)


def _sides(padding: Any, window: Shape, strides: Shape, dilations: Shape) -> tuple[tuple[int, int], ...]:
    if not isinstance(padding, str):
        return tuple((p, p) for p in sizes_of("padding", padding, len(window)))
    if padding == "valid":
        return ((0, 0),) * len(window)
    if padding != "same":
        raise ValueError(f"Invalid padding string {padding!r}, should be one of 'valid', 'same'")
    if any(s != 1 for s in strides):
        raise ValueError("padding='same' is not supported for strided convolutions")
    total = [d * (k - 1) for d, k in zip(dilations, window, strict=True)]
    return tuple((t // 2, t - t // 2) for t in total)


def _convolved(ndim: int, x: Any, weight: Any, bias: Any, stride: Ints, padding: Any, dilation: Ints, groups: int) -> Any:
    name = f"conv{ndim}d"
    same_dtype(name, input=x, weight=weight, bias=bias)
    batched = _batched(name, x, ndim)
    shape, own = shape_of(batched), shape_of(weight)
    _check(name, ndim, shape, own, bias, groups, False)
    strides, dilations = sizes_of("stride", stride, ndim, 1), sizes_of("dilation", dilation, ndim, 1)
    sides = _sides(padding, own[2:], strides, dilations)
    padded = [n + b + a for n, (b, a) in zip(shape[2:], sides, strict=True)]
    reach = [(k - 1) * d + 1 for k, d in zip(own[2:], dilations, strict=True)]
    if any(r > n for r, n in zip(reach, padded, strict=True)):
        raise refused(
            f"Calculated padded input size per channel: ({' x '.join(map(str, padded))}). "
            f"Kernel size: ({' x '.join(map(str, reach))}). Kernel size can't be greater than actual input size",
            "use a smaller kernel or dilation, or more padding",
        )
    out = _convolution(batched, weight, bias, strides, sides, dilations, int(groups))
    return out if batched is x else squeeze(out, 0)


def conv1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Ints = 1,
    padding: Ints | str = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Any:
    """One-dimensional convolution of (batch, channels, length) with a weight (outputs, channels // groups, window).

    ``padding`` is a number of zeros on each side, ``"valid"`` for none or ``"same"`` for as many as keep the length.
    Raises ShapeError where shapes do not fit, DtypeError for operands of different dtypes.

    >>> from tracegrad.eager import tensor
    >>> conv1d(tensor([[[1.0, 2.0, 3.0]]]), tensor([[[1.0, 1.0]]]))
    tensor([[[3., 5.]]])
    """
    return _convolved(1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Ints = 1,
    padding: Ints | str = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Any:
    """Two-dimensional convolution of (batch, channels, height, width) with a weight (outputs, channels // groups, h, w).

    ``padding`` is a number of zeros on each side, ``"valid"`` for none or ``"same"`` for as many as keep the size.
    Raises ShapeError where shapes do not fit, DtypeError for operands of different dtypes.

    >>> from tracegrad.eager import tensor
    >>> conv2d(tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), tensor([[[[1.0, 1.0]]]]))
    tensor([[[[3.],
              [7.]]]])
    """
    return _convolved(2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Ints = 1,
    padding: Ints | str = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Any:
    """Three-dimensional convolution of (batch, channels, depth, height, width); see ``conv2d``.

    >>> from tracegrad.eager import tensor
    >>> conv3d(tensor([[[[[1.0]], [[2.0]]]]]), tensor([[[[[1.0]], [[1.0]]]]]))
    tensor([[[[[3.]]]]])
    """
    return _convolved(3, input, weight, bias, stride, padding, dilation, groups)


# -- transposed -------------------------------------------------------------------------------------------------------


def _deconvolved(
    ndim: int,
    x: Any,
    weight: Any,
    bias: Any,
    stride: Ints,
    padding: Ints,
    output_padding: Ints,
    groups: int,
    dilation: Ints,
) -> Any:
    name = f"conv_transpose{ndim}d"
    same_dtype(name, input=x, weight=weight, bias=bias)
    batched = _batched(name, x, ndim)
    shape, own = shape_of(batched), shape_of(weight)
    _check(name, ndim, shape, own, bias, groups, True)
    strides, dilations = sizes_of("stride", stride, ndim, 1), sizes_of("dilation", dilation, ndim, 1)
    pads, extra = sizes_of("padding", padding, ndim), sizes_of("output_padding", output_padding, ndim)
    if any(e >= max(s, d) for e, s, d in zip(extra, strides, dilations, strict=True)):
        raise refused(
            f"output padding must be smaller than either stride or dilation, but got output_padding={extra}, "
            f"stride={strides}, dilation={dilations}",
            "give a smaller output_padding",
        )
    sizes = transposed_sizes(shape[2:], own[2:], strides, pads, extra, dilations)
    if any(n < 1 for n in sizes):
        raise refused(
            f"Given input size per channel: ({' x '.join(map(str, shape[2:]))}). Calculated output size per channel: "
            f"({' x '.join(map(str, sizes))}). Output size is too small",
            "use less padding",
        )
    out = _transposed(batched, weight, bias, strides, pads, extra, dilations, int(groups))
    return out if batched is x else squeeze(out, 0)


def conv_transpose1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Any:
    """The transpose of ``conv1d`` in its input, with a weight (channels, outputs // groups, window).

    ``output_padding`` elements are added at the end. Raises ShapeError where shapes do not fit.

    >>> from tracegrad.eager import tensor
    >>> conv_transpose1d(tensor([[[1.0, 2.0]]]), tensor([[[1.0, 1.0]]]), stride=2)
    tensor([[[1., 1., 2., 2.]]])
    """
    return _deconvolved(1, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Any:
    """The transpose of ``conv2d`` in its input, with a weight (channels, outputs // groups, height, width).

    ``output_padding`` rows and columns are added at the end. Raises ShapeError where shapes do not fit.

    >>> from tracegrad.eager import tensor
    >>> conv_transpose2d(tensor([[[[1.0]]]]), tensor([[[[1.0, 2.0]]]]))
    tensor([[[[1., 2.]]]])
    """
    return _deconvolved(2, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose3d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Any:
    """The transpose of ``conv3d`` in its input; see ``conv_transpose2d``.

    >>> from tracegrad.eager import tensor
    >>> conv_transpose3d(tensor([[[[[1.0]]]]]), tensor([[[[[1.0, 2.0]]]]]))
    tensor([[[[[1., 2.]]]]])
    """
    return _deconvolved(3, input, weight, bias, stride, padding, output_padding, groups, dilation)


# -- patches ----------------------------------------------------------------------------------------------------------


@recorded_as("Im2ColBackward0")
def _columns(x: Any, window: Shape, dilations: Shape, pads: Shape, strides: Shape) -> Any:
    shape = shape_of(x)
    out = columns(x if len(shape) == 4 else reshape(x, (1, *shape)), window, dilations, pads, strides)
    return out if len(shape) == 4 else reshape(out, shape_of(out)[1:])


@recorded_as("Col2ImBackward0")
def _images(x: Any, sizes: Shape, window: Shape, dilations: Shape, pads: Shape, strides: Shape, counts: Shape) -> Any:
    shape = shape_of(x)
    whole = x if len(shape) == 3 else reshape(x, (1, *shape))
    out = from_columns(whole, sizes, window, dilations, pads, strides, counts)
    return out if len(shape) == 3 else reshape(out, shape_of(out)[1:])


def _counts(sizes: Shape, window: Shape, dilations: Shape, pads: Shape, strides: Shape) -> Shape:
    """How many patches there are along each axis."""
    every = zip(sizes, window, dilations, pads, strides, strict=True)
    return tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, d, p, s in every)


def unfold(input: Any, kernel_size: Ints, dilation: Ints = 1, padding: Ints = 0, stride: Ints = 1) -> Any:
    """Every patch of (batch, channels, height, width) as a column: (batch, channels · taps, patches).

    Raises ShapeError for other ranks and windows that do not fit.

    >>> from tracegrad.eager import tensor
    >>> unfold(tensor([[[[1.0, 2.0, 3.0]]]]), (1, 2))
    tensor([[[1., 2.],
             [2., 3.]]])
    """
    shape = shape_of(input)
    if len(shape) not in (3, 4):
        raise refused(
            f"Expected 3D or 4D (batch mode) tensor for input with possibly 0 batch size, but got: {list(shape)}",
            "give (batch, channels, height, width)",
        )
    window, dilations = sizes_of("kernel_size", kernel_size, 2, 1), sizes_of("dilation", dilation, 2, 1)
    pads, strides = sizes_of("padding", padding, 2), sizes_of("stride", stride, 2, 1)
    counts = _counts(shape[-2:], window, dilations, pads, strides)
    if any(n < 1 for n in counts):
        raise refused(
            f"Given input with spatial size {shape[-2:]}, kernel_size={window}, dilation={dilations}, padding={pads}, "
            f"calculated shape of the array of sliding blocks as {counts}, but its components must be at least one",
            "use a smaller window or more padding",
        )
    return _columns(input, window, dilations, pads, strides)


def fold(
    input: Any,
    output_size: Ints,
    kernel_size: Ints,
    dilation: Ints = 1,
    padding: Ints = 0,
    stride: Ints = 1,
) -> Any:
    """The columns that ``unfold`` makes added up at their places: images (batch, channels, *output_size).

    Raises ShapeError where the columns do not come from images of this size.

    >>> from tracegrad.eager import tensor
    >>> fold(tensor([[[1.0, 2.0], [2.0, 3.0]]]), (1, 3), (1, 2))
    tensor([[[[1., 4., 3.]]]])
    """
    shape = shape_of(input)
    sizes, window = sizes_of("output_size", output_size, 2, 1), sizes_of("kernel_size", kernel_size, 2, 1)
    dilations, pads = sizes_of("dilation", dilation, 2, 1), sizes_of("padding", padding, 2)
    strides = sizes_of("stride", stride, 2, 1)
    counts = _counts(sizes, window, dilations, pads, strides)
    taps = window[0] * window[1]
    if len(shape) not in (2, 3) or shape[-2] % taps:
        raise refused(
            f"Expected size of input's dimension 1 to be divisible by the product of kernel_size, but got "
            f"input of size {list(shape)} and kernel_size={window}",
            f"give (batch, channels · {taps}, patches)",
        )
    if shape[-1] != counts[0] * counts[1]:
        raise refused(
            f"Given output_size={sizes}, kernel_size={window}, dilation={dilations}, padding={pads}, stride={strides}, "
            f"expected size of input's dimension 2 to match the calculated number of sliding blocks "
            f"{counts[0]} * {counts[1]} = {counts[0] * counts[1]}, but got input.size(2)={shape[-1]}.",
            "use the sizes and parameters of the unfold that made the columns",
        )
    return _images(input, sizes, window, dilations, pads, strides, counts)
