"""Resampling of images, and channels that change places with pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracegrad.core.aval import Shape, shape_of
from tracegrad.core.source import user_frame
from tracegrad.eager.composite import recorded_as
from tracegrad.eager.nn.functional.common import refused, sizes_of
from tracegrad.eager.nn.functional.pooling import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d
from tracegrad.errors import ShapeError
from tracegrad.ops.indexing import getitem
from tracegrad.ops.maps import add, multiply
from tracegrad.ops.views import reshape, transpose

__all__ = ["channel_shuffle", "interpolate", "pixel_shuffle", "pixel_unshuffle", "upsample"]

# -- resampling -------------------------------------------------------------------------------------------------------

Scales = tuple[float | None, ...]
CUBIC = -0.75
"""The slope of PyTorch's cubic kernel."""


def _ratio(size: int, target: int, corners: bool, scale: float | None, dtype: Any) -> Any:
    """The distance of neighbouring targets in source elements, in the precision that PyTorch computes in."""
    if corners:
        return dtype(size - 1) / dtype(target - 1) if target > 1 else dtype(0)
    return dtype(1.0 / scale) if scale is not None and scale > 0 else dtype(size) / dtype(target)


def _nearest(size: int, target: int, scale: float | None, exact: bool) -> Any:
    places = np.arange(target, dtype=np.float32) + np.float32(0.5 if exact else 0.0)
    return np.minimum(np.floor(places * _ratio(size, target, False, scale, np.float32)).astype(np.int64), size - 1)


def _taps(size: int, target: int, corners: bool, scale: float | None, cubic: bool, dtype: Any) -> list[tuple[Any, Any]]:
    """Positions and weights of the source elements that each target is made of."""
    kind: Any = np.float64 if dtype == np.float64 else np.float32
    ratio = _ratio(size, target, corners, scale, kind)
    steps: Any = np.arange(target, dtype=kind)
    places = steps * ratio if corners else (steps + kind(0.5)) * ratio - kind(0.5)
    if not cubic:
        places = np.maximum(places, kind(0))
        low = np.minimum(np.floor(places).astype(np.int64), size - 1)
        part = np.clip(places - low, kind(0), kind(1))
        return [(low, kind(1) - part), (np.minimum(low + 1, size - 1), part)]
    low = np.floor(places).astype(np.int64)
    part = places - low
    return [(np.clip(low + k, 0, size - 1), _cubic_weight(np.abs(part - k))) for k in (-1, 0, 1, 2)]


def _cubic_weight(d: Any) -> Any:
    """Keys' kernel at distances below 2."""
    near = ((CUBIC + 2) * d - (CUBIC + 3)) * d * d + 1
    far = ((CUBIC * d - 5 * CUBIC) * d + 8 * CUBIC) * d - 4 * CUBIC
    return np.where(d <= 1, near, far).astype(d.dtype)


def _picked_nearest(x: Any, sizes: Shape, scales: Scales, exact: bool) -> Any:
    for k, (target, scale) in enumerate(zip(sizes, scales, strict=True)):
        size = shape_of(x)[k + 2]
        x = getitem(x, (*(slice(None),) * (k + 2), _nearest(size, target, scale, exact)))
    return x


def _blended(x: Any, sizes: Shape, scales: Scales, corners: bool, cubic: bool) -> Any:
    for k in reversed(range(len(sizes))):
        axis = k + 2
        shape = (sizes[k], *(1,) * (len(sizes) - k - 1))
        out: Any = None
        for positions, weights in _taps(shape_of(x)[axis], sizes[k], corners, scales[k], cubic, x.dtype):
            part = multiply(getitem(x, (*(slice(None),) * axis, positions)), weights.reshape(shape).astype(x.dtype))
            out = part if out is None else add(out, part)
        x = out
    return x


_NEAREST = {k: recorded_as(f"UpsampleNearest{k}DBackward0")(_picked_nearest) for k in (1, 2, 3)}
_EXACT = {k: recorded_as(f"UpsampleNearestExact{k}DBackward0")(_picked_nearest) for k in (1, 2, 3)}
_BLENDED = {
    ("linear", 1): recorded_as("UpsampleLinear1DBackward0")(_blended),
    ("bilinear", 2): recorded_as("UpsampleBilinear2DBackward0")(_blended),
    ("bicubic", 2): recorded_as("UpsampleBicubic2DBackward0")(_blended),
    ("trilinear", 3): recorded_as("UpsampleTrilinear3DBackward0")(_blended),
}
_AREA = {1: adaptive_avg_pool1d, 2: adaptive_avg_pool2d, 3: adaptive_avg_pool3d}


def _target(x: Any, size: Any, scale_factor: Any, recompute: bool) -> tuple[Shape, Scales]:
    """The sizes of the result, and the factors to compute positions with, None where the sizes decide."""
    ndim = len(shape_of(x)) - 2
    if (size is None) == (scale_factor is None):
        given = (
            "either size or scale_factor should be defined"
            if size is None
            else "only one of size or scale_factor should be defined"
        )
        raise ValueError(given)
    for name, value in (("output size", size), ("scale_factor", scale_factor)):
        if isinstance(value, Sequence) and len(value) != ndim:
            raise ShapeError(
                f"Input and {name} must have the same number of spatial dimensions, but got input with spatial "
                f"dimensions of {list(shape_of(x)[2:])} and {name} of {list(value)}",
                fix="give one number per spatial dim, the input being (batch, channels, sizes…)",
                where=user_frame(),
            )
    if size is not None:
        if recompute:
            raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
        return sizes_of("size", size, ndim, 1), (None,) * ndim
    factors = tuple(map(float, scale_factor)) if isinstance(scale_factor, Sequence) else (float(scale_factor),) * ndim
    sizes = tuple(math.floor(n * f) for n, f in zip(shape_of(x)[2:], factors, strict=True))
    if any(n < 1 for n in sizes):
        raise ShapeError(
            f"Input and output sizes should be greater than 0, but got input sizes {list(shape_of(x)[2:])} and output "
            f"sizes {list(sizes)}",
            fix="use a greater scale_factor",
            where=user_frame(),
        )
    return sizes, (None,) * ndim if recompute else factors


def interpolate(
    input: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Any:
    """The input (batch, channels, sizes…) resampled to other sizes.

    Parameters
    ----------
    input: floats with one to three spatial dims.
    size: the sizes to have, a number or one per dim.
    scale_factor: the factors instead.
    mode: ``"nearest"``, ``"nearest-exact"``, ``"area"``, or by the number of spatial dims ``"linear"``, ``"bilinear"``,
        ``"bicubic"`` or ``"trilinear"``.
    align_corners: whether the corner elements stay in place; not for the first three modes.
    recompute_scale_factor: whether positions are computed with the factors that the sizes have.
    antialias: must be False.

    Raises ShapeError where sizes do not fit, ValueError and NotImplementedError for arguments that do not.

    >>> from tracegrad.eager import tensor
    >>> interpolate(tensor([[[1.0, 2.0]]]), scale_factor=2)
    tensor([[[1., 1., 2., 2.]]])
    """
    shape = shape_of(input)
    ndim = len(shape) - 2
    plain = mode in ("nearest", "nearest-exact", "area")
    if plain and align_corners is not None:
        raise ValueError(
            "align_corners option can only be set with the interpolating modes: linear | bilinear | bicubic | trilinear"
        )
    if antialias:
        raise NotImplementedError("interpolate with antialias=True: blur the input before, or leave it out")
    if not 1 <= ndim <= 3 or (not plain and (mode, ndim) not in _BLENDED):
        wanted = next((k for name, k in _BLENDED if name == mode), None)
        needs = f"but {mode} mode needs {wanted + 2}D input" if wanted else f"and mode {mode!r}"
        raise NotImplementedError(f"Got {len(shape)}D input, {needs}")
    sizes, scales = _target(input, size, scale_factor, bool(recompute_scale_factor))
    if mode == "area":
        return _AREA[ndim](input, sizes)
    if plain:
        return (_EXACT if mode == "nearest-exact" else _NEAREST)[ndim](input, sizes, scales, mode == "nearest-exact")
    return _BLENDED[mode, ndim](input, sizes, scales, bool(align_corners), mode == "bicubic")


def upsample(
    input: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None
) -> Any:
    """``interpolate`` under its older name.

    >>> from tracegrad.eager import tensor
    >>> upsample(tensor([[[1.0, 2.0]]]), scale_factor=2)
    tensor([[[1., 1., 2., 2.]]])
    """
    return interpolate(input, size, scale_factor, mode, align_corners)


# -- channels and pixels ----------------------------------------------------------------------------------------------


@recorded_as("PixelShuffleBackward0")
def _shuffled(x: Any, factor: int) -> Any:
    *lead, channels, height, width = shape_of(x)
    n = len(lead)
    apart = reshape(x, (*lead, channels // factor**2, factor, factor, height, width))
    turned = transpose(apart, (*range(n + 1), n + 3, n + 1, n + 4, n + 2))
    return reshape(turned, (*lead, channels // factor**2, height * factor, width * factor))


@recorded_as("PixelUnshuffleBackward0")
def _unshuffled(x: Any, factor: int) -> Any:
    *lead, channels, height, width = shape_of(x)
    n = len(lead)
    apart = reshape(x, (*lead, channels, height // factor, factor, width // factor, factor))
    turned = transpose(apart, (*range(n + 1), n + 2, n + 4, n + 1, n + 3))
    return reshape(turned, (*lead, channels * factor**2, height // factor, width // factor))


@recorded_as("ChannelShuffleBackward0")
def _mixed(x: Any, groups: int) -> Any:
    shape = shape_of(x)
    apart = reshape(x, (shape[0], groups, shape[1] // groups, *shape[2:]))
    return reshape(transpose(apart, (0, 2, 1, *range(3, len(shape) + 1))), shape)


def pixel_shuffle(input: Any, upscale_factor: int) -> Any:
    """(…, channels · factor², height, width) as (…, channels, height · factor, width · factor).

    Raises ShapeError where the channels are no multiple of the factor squared.

    >>> from tracegrad.eager import tensor
    >>> pixel_shuffle(tensor([[[1.0]], [[2.0]], [[3.0]], [[4.0]]]), 2)
    tensor([[[1., 2.],
             [3., 4.]]])
    """
    shape = shape_of(input)
    if len(shape) < 3:
        raise refused(
            f"pixel_shuffle expects input to have at least 3 dimensions, but got input with {len(shape)} dimension(s)",
            "give (…, channels, height, width)",
        )
    if upscale_factor < 1 or shape[-3] % upscale_factor**2:
        raise refused(
            f"pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of upscale_factor, "
            f"but input.size(-3)={shape[-3]} is not divisible by {upscale_factor**2}",
            "choose another factor",
        )
    return _shuffled(input, int(upscale_factor))


def pixel_unshuffle(input: Any, downscale_factor: int) -> Any:
    """(…, channels, height, width) as (…, channels · factor², height // factor, width // factor).

    Raises ShapeError where the factor does not divide height and width.

    >>> from tracegrad.eager import tensor
    >>> pixel_unshuffle(tensor([[[1.0, 2.0], [3.0, 4.0]]]), 2).shape == (4, 1, 1)
    True
    """
    shape = shape_of(input)
    if len(shape) < 3:
        raise refused(
            f"pixel_unshuffle expects input to have at least 3 dimensions, but got input with {len(shape)} dimension(s)",
            "give (…, channels, height, width)",
        )
    if downscale_factor < 1 or shape[-2] % downscale_factor or shape[-1] % downscale_factor:
        raise refused(
            f"pixel_unshuffle expects height and width to be divisible by downscale_factor, but input.size(-2)={shape[-2]} "
            f"and input.size(-1)={shape[-1]} are not both divisible by {downscale_factor}",
            "choose another factor",
        )
    return _unshuffled(input, int(downscale_factor))


def channel_shuffle(input: Any, groups: int) -> Any:
    """The channels (dim 1) dealt out from groups one by one; ShapeError where the groups do not divide them.

    >>> from tracegrad.eager import tensor
    >>> channel_shuffle(tensor([[[1.0], [2.0], [3.0], [4.0]]]), 2).flatten()
    tensor([1., 3., 2., 4.])
    """
    shape = shape_of(input)
    if len(shape) < 3:
        raise refused(
            f"channel_shuffle expects input with > 2 dims, but got input with sizes {list(shape)}",
            "give (batch, channels, sizes…)",
        )
    if groups < 1 or shape[1] % groups:
        raise refused(
            f"Number of channels must be divisible by groups. Got {shape[1]} channels and {groups} groups.",
            "choose another number of groups",
        )
    return _mixed(input, int(groups))
