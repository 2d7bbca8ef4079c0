"""Layers that reduce windows of their input to one number each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracegrad.eager.nn import functional
from tracegrad.eager.nn.modules.making import named, repeated
from tracegrad.eager.nn.modules.module import Module

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AvgPool1d",
    "AvgPool2d",
    "LPPool1d",
    "LPPool2d",
    "MaxPool1d",
    "MaxPool2d",
]

Sizes = int | Sequence[int]


class _MaxPool(Module):
    """The settings of pooling by maximum."""

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def extra_repr(self) -> str:
        """The window."""
        return named(self, "kernel_size", "stride", "padding", "dilation", "ceil_mode")

    def _settings(self) -> dict[str, Any]:
        return {
            "stride": self.stride,
            "padding": self.padding,
            "dilation": self.dilation,
            "ceil_mode": self.ceil_mode,
            "return_indices": self.return_indices,
        }


class MaxPool1d(_MaxPool):
    """The maximum of each window along the last axis; the arguments are those of MaxPool2d."""

    def forward(self, input: Any) -> Any:
        """The input (batch, channels, length), or without a batch, with fewer elements along the last axis."""
        return functional.max_pool1d(input, self.kernel_size, **self._settings())


class MaxPool2d(_MaxPool):
    """The maximum of each window along the last two axes.

    Parameters
    ----------
    kernel_size, stride, padding, dilation: one number, or one for each axis; the stride is the window's size if None.
    return_indices: whether the places of the maxima are returned too.
    ceil_mode: whether a window may hang over the end.

    >>> MaxPool2d(2)
    MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
    """

    def forward(self, input: Any) -> Any:
        """The input (batch, channels, height, width), or without a batch, with fewer rows and columns."""
        return functional.max_pool2d(input, self.kernel_size, **self._settings())


class AvgPool1d(Module):
    """The mean of each window along the last axis.

    Parameters
    ----------
    kernel_size, stride, padding: of the windows; the stride is the window's size if None.
    ceil_mode: whether a window may hang over the end.
    count_include_pad: whether padded elements count in the mean.
    """

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size = repeated(kernel_size, 1)
        self.stride = self.kernel_size if stride is None else repeated(stride, 1)
        self.padding = repeated(padding, 1)
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, input: Any) -> Any:
        """The input (batch, channels, length), or without a batch, with fewer elements along the last axis."""
        return functional.avg_pool1d(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)

    def extra_repr(self) -> str:
        """The window."""
        return named(self, "kernel_size", "stride", "padding")


class AvgPool2d(Module):
    """The mean of each window along the last two axes.

    Parameters
    ----------
    kernel_size, stride, padding: one number, or one for each axis; the stride is the window's size if None.
    ceil_mode: whether a window may hang over the end.
    count_include_pad: whether padded elements count in the mean.
    divisor_override: the number to divide by instead of the window's size.

    >>> AvgPool2d(2)
    AvgPool2d(kernel_size=2, stride=2, padding=0)
    """

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Any) -> Any:
        """The input (batch, channels, height, width), or without a batch, with fewer rows and columns."""
        return functional.avg_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def extra_repr(self) -> str:
        """The window."""
        return named(self, "kernel_size", "stride", "padding")


class _LPPool(Module):
    """The settings of pooling by norm."""

    def __init__(self, norm_type: float, kernel_size: Sizes, stride: Sizes | None = None, ceil_mode: bool = False) -> None:
        super().__init__()
        self.norm_type = norm_type
        self.kernel_size: Any = kernel_size
        self.stride = stride
        self.ceil_mode = ceil_mode

    def extra_repr(self) -> str:
        """The norm and its window."""
        return named(self, "norm_type", "kernel_size", "stride", "ceil_mode")


class LPPool1d(_LPPool):
    """The norm of each window along the last axis."""

    def forward(self, input: Any) -> Any:
        """The input (batch, channels, length), or without a batch, with fewer elements along the last axis."""
        return functional.lp_pool1d(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)


class LPPool2d(_LPPool):
    """The norm of each window along the last two axes.

    >>> LPPool2d(2, 3)
    LPPool2d(norm_type=2, kernel_size=3, stride=None, ceil_mode=False)
    """

    def forward(self, input: Any) -> Any:
        """The input (batch, channels, height, width), or without a batch, with fewer rows and columns."""
        return functional.lp_pool2d(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)


class _Adaptive(Module):
    """The size of the result that all of them have; for the last two axes one number, or one each, None for the input's."""

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def extra_repr(self) -> str:
        """The size of the result."""
        return named(self, "output_size")


class AdaptiveAvgPool1d(_Adaptive):
    """The means of so many windows along the last axis."""

    def forward(self, input: Any) -> Any:
        """The input (…, length) as (…, output_size)."""
        return functional.adaptive_avg_pool1d(input, self.output_size)


class AdaptiveAvgPool2d(_Adaptive):
    """The means of so many windows along the last two axes.

    >>> AdaptiveAvgPool2d(1)
    AdaptiveAvgPool2d(output_size=1)
    """

    def forward(self, input: Any) -> Any:
        """The input (…, height, width) with the rows and columns of ``output_size``."""
        return functional.adaptive_avg_pool2d(input, self.output_size)


class _AdaptiveMax(_Adaptive):
    """The settings of adaptive pooling by maximum."""

    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices


class AdaptiveMaxPool1d(_AdaptiveMax):
    """The maxima of so many windows along the last axis."""

    def forward(self, input: Any) -> Any:
        """The input (…, length) as (…, output_size)."""
        return functional.adaptive_max_pool1d(input, self.output_size, self.return_indices)


class AdaptiveMaxPool2d(_AdaptiveMax):
    """The maxima of so many windows along the last two axes."""

    def forward(self, input: Any) -> Any:
        """The input (…, height, width) with the rows and columns of ``output_size``."""
        return functional.adaptive_max_pool2d(input, self.output_size, self.return_indices)
