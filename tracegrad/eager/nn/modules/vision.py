"""Layers that add borders to images, enlarge them or deal their pixels out anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracegrad.eager.nn import functional
from tracegrad.eager.nn.modules.making import named, repeated
from tracegrad.eager.nn.modules.module import Module

__all__ = [
    "ChannelShuffle",
    "CircularPad1d",
    "CircularPad2d",
    "ConstantPad1d",
    "ConstantPad2d",
    "PixelShuffle",
    "PixelUnshuffle",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "Upsample",
    "UpsamplingBilinear2d",
    "UpsamplingNearest2d",
    "ZeroPad1d",
    "ZeroPad2d",
]


class _Pad(Module):
    """A border of so many elements: one number, or one for each side, those of the last axis first."""

    axes: int
    mode: str = "constant"
    value: float | None = None

    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__()
        self.padding = repeated(padding, 2 * self.axes)

    def forward(self, input: Any) -> Any:
        """The input with its border."""
        return functional.pad(input, self.padding, self.mode, self.value)

    def extra_repr(self) -> str:
        """The border."""
        return str(self.padding)


class _ConstantPad(_Pad):
    """A border of one number."""

    def __init__(self, padding: int | Sequence[int], value: float) -> None:
        super().__init__(padding)
        self.value = value

    def extra_repr(self) -> str:
        """The border and its number."""
        return named(self, "padding", "value")


class ConstantPad1d(_ConstantPad):
    """A border of one number before and after the last axis."""

    axes = 1


class ConstantPad2d(_ConstantPad):
    """A border of one number around the last two axes.

    >>> ConstantPad2d(1, 3.5)
    ConstantPad2d(padding=(1, 1, 1, 1), value=3.5)
    """

    axes = 2


class ZeroPad1d(_Pad):
    """A border of zeros before and after the last axis."""

    axes = 1
    value = 0.0


class ZeroPad2d(_Pad):
    """A border of zeros around the last two axes.

    >>> ZeroPad2d((1, 2, 0, 0))
    ZeroPad2d((1, 2, 0, 0))
    """

    axes = 2
    value = 0.0


class ReflectionPad1d(_Pad):
    """A border that mirrors the elements next to the last axis' ends."""

    axes = 1
    mode = "reflect"


class ReflectionPad2d(_Pad):
    """A border that mirrors the elements next to the edges of the last two axes."""

    axes = 2
    mode = "reflect"


class ReplicationPad1d(_Pad):
    """A border that repeats the elements at the last axis' ends."""

    axes = 1
    mode = "replicate"


class ReplicationPad2d(_Pad):
    """A border that repeats the elements at the edges of the last two axes."""

    axes = 2
    mode = "replicate"


class CircularPad1d(_Pad):
    """A border that goes on with the other end of the last axis."""

    axes = 1
    mode = "circular"


class CircularPad2d(_Pad):
    """A border that goes on with the other edge of the last two axes."""

    axes = 2
    mode = "circular"


class Upsample(Module):
    """The input with more elements along the axes after the first two.

    Parameters
    ----------
    size, scale_factor: the new sizes, or the factors; one number, or one for each axis.
    mode: ``"nearest"``, ``"linear"``, ``"bilinear"`` and what else ``interpolate`` has.
    align_corners: whether corners lie on corners.
    recompute_scale_factor: whether the factors are taken from the sizes they lead to.

    >>> Upsample(scale_factor=2)
    Upsample(scale_factor=2.0, mode='nearest')
    """

    def __init__(
        self,
        size: Any = None,
        scale_factor: Any = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        super().__init__()
        self.size = size
        if isinstance(scale_factor, tuple):
            self.scale_factor: Any = tuple(float(factor) for factor in scale_factor)
        else:
            self.scale_factor = float(scale_factor) if scale_factor else None
        self.mode = mode
        self.align_corners = align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, input: Any) -> Any:
        """The input (batch, channels, …) in its new size."""
        return functional.interpolate(
            input,
            self.size,
            self.scale_factor,
            self.mode,
            self.align_corners,
            recompute_scale_factor=self.recompute_scale_factor,
        )

    def extra_repr(self) -> str:
        """The size or factor, and the mode."""
        name = "size" if self.scale_factor is None else "scale_factor"
        return f"{name}={getattr(self, name)!r}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """Images (batch, channels, height, width) enlarged by repeating pixels."""

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, "nearest")


class UpsamplingBilinear2d(Upsample):
    """Images (batch, channels, height, width) enlarged bilinearly, corners on corners."""

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, "bilinear", align_corners=True)


class PixelShuffle(Module):
    """Channels (…, channels · r², height, width) dealt out as pixels (…, channels, height · r, width · r)."""

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = upscale_factor

    def forward(self, input: Any) -> Any:
        """The input with more pixels and fewer channels."""
        return functional.pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        """The factor."""
        return named(self, "upscale_factor")


class PixelUnshuffle(Module):
    """The inverse of PixelShuffle."""

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        self.downscale_factor = downscale_factor

    def forward(self, input: Any) -> Any:
        """The input with fewer pixels and more channels."""
        return functional.pixel_unshuffle(input, self.downscale_factor)

    def extra_repr(self) -> str:
        """The factor."""
        return named(self, "downscale_factor")


class ChannelShuffle(Module):
    """Channels of so many groups dealt out in turn."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, input: Any) -> Any:
        """The input (batch, channels, …) with its channels in another order."""
        return functional.channel_shuffle(input, self.groups)

    def extra_repr(self) -> str:
        """The number of groups."""
        return named(self, "groups")
