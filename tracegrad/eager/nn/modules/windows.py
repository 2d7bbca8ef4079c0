"""Layers that cut images into windows and put windows together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracegrad.eager.nn import functional
from tracegrad.eager.nn.modules.making import named
from tracegrad.eager.nn.modules.module import Module

__all__ = ["Fold", "Unfold"]

Sizes = int | Sequence[int]


class Unfold(Module):
    """Images (batch, channels, height, width) as the columns (batch, channels · window, windows) of their windows.

    Parameters
    ----------
    kernel_size, dilation, padding, stride: one number, or one for each axis.

    >>> from tracegrad.eager.creation import ones
    >>> Unfold(2)(ones(1, 3, 4, 4)).shape
    torch.Size([1, 12, 9])
    """

    def __init__(self, kernel_size: Sizes, dilation: Sizes = 1, padding: Sizes = 0, stride: Sizes = 1) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def forward(self, input: Any) -> Any:
        """The columns."""
        return functional.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        """The windows."""
        return named(self, "kernel_size", "dilation", "padding", "stride")


class Fold(Module):
    """Columns (batch, channels · window, windows) added up to images (batch, channels, height, width).

    Parameters
    ----------
    output_size: height and width.
    kernel_size, dilation, padding, stride: one number, or one for each axis.

    >>> Fold((4, 5), 2)
    Fold(output_size=(4, 5), kernel_size=2, dilation=1, padding=0, stride=1)
    """

    def __init__(
        self, output_size: Sizes, kernel_size: Sizes, dilation: Sizes = 1, padding: Sizes = 0, stride: Sizes = 1
    ) -> None:
        super().__init__()
        self.output_size = output_size
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def forward(self, input: Any) -> Any:
        """The images."""
        return functional.fold(input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        """The images and windows."""
        return named(self, "output_size", "kernel_size", "dilation", "padding", "stride")
