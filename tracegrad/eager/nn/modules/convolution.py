"""Convolutions and their transposes, along one axis or two."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from tracegrad.eager.nn import functional, init
from tracegrad.eager.nn.modules.making import new_parameter, repeated
from tracegrad.eager.nn.modules.module import Module

__all__ = ["Conv1d", "Conv2d", "ConvTranspose1d", "ConvTranspose2d"]

Sizes = int | Sequence[int]

_MODES = ("zeros", "reflect", "replicate", "circular")


class _Convolution(Module):
    """The settings, weight and bias that all of them have."""

    axes: int
    transposed: bool = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes,
        padding: str | Sizes,
        dilation: Sizes,
        output_padding: Sizes,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any,
        dtype: Any,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = repeated(kernel_size, self.axes)
        self.stride = repeated(stride, self.axes)
        self.padding = padding if isinstance(padding, str) else repeated(padding, self.axes)
        self.dilation = repeated(dilation, self.axes)
        self.output_padding = repeated(output_padding, self.axes)
        self.groups = groups
        self.padding_mode = padding_mode
        self._check()
        first, second = (in_channels, out_channels) if self.transposed else (out_channels, in_channels)
        self.weight = new_parameter((first, second // groups, *self.kernel_size), device, dtype)
        self.register_parameter("bias", new_parameter((out_channels,), device, dtype) if bias else None)
        self.reset_parameters()

    def _check(self) -> None:
        if self.groups <= 0:
            raise ValueError("groups must be a positive integer")
        for name in ("in_channels", "out_channels"):
            if getattr(self, name) % self.groups:
                raise ValueError(f"{name} must be divisible by groups")
        if isinstance(self.padding, str) and self.padding not in ("same", "valid"):
            raise ValueError(f"Invalid padding string {self.padding!r}, should be one of 'same', 'valid'")
        if self.padding == "same" and any(s != 1 for s in self.stride):
            raise ValueError("padding='same' is not supported for strided convolutions")
        if self.padding_mode not in _MODES:
            raise ValueError(f"padding_mode must be one of {_MODES}, but got padding_mode='{self.padding_mode}'")

    def reset_parameters(self) -> None:
        """Draw weight and bias anew, evenly from ±1/√fan: the fan is the number of weights per output."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan = math.prod(self.weight.shape[1:])
            bound = 1 / math.sqrt(fan) if fan > 0 else 0
            init.uniform_(self.bias, -bound, bound)

    def extra_repr(self) -> str:
        """The sizes, and what is not as usual."""
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        for name, usual in (("padding", 0), ("dilation", 1), ("output_padding", 0)):
            if getattr(self, name) != (usual,) * self.axes:
                text += f", {name}={getattr(self, name)}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        return text if self.padding_mode == "zeros" else f"{text}, padding_mode={self.padding_mode}"


class _Direct(_Convolution):
    """A convolution, after padding in a mode other than zeros."""

    _function: Callable[..., Any]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: str | Sizes = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, 0, groups, bias, padding_mode, device, dtype
        )

    def forward(self, input: Any) -> Any:
        """The input (batch, in_channels, …), or without a batch, as (batch, out_channels, …)."""
        padding = self.padding
        if self.padding_mode != "zeros":
            input = functional.pad(input, self._borders(), mode=self.padding_mode)
            padding = (0,) * self.axes
        return self._function(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)

    def _borders(self) -> list[int]:
        """Elements before and after each axis, the last axis first, as ``pad`` takes them."""
        found: list[int] = []
        for k in reversed(range(self.axes)):
            if isinstance(self.padding, str):
                total = self.dilation[k] * (self.kernel_size[k] - 1) if self.padding == "same" else 0
                found += [total // 2, total - total // 2]
            else:
                found += [self.padding[k]] * 2
        return found


class Conv1d(_Direct):
    """A convolution along the last axis; the arguments are those of Conv2d with one number each.

    >>> Conv1d(3, 8, 5, padding=2)
    Conv1d(3, 8, kernel_size=(5,), stride=(1,), padding=(2,))
    """

    axes = 1
    _function = staticmethod(functional.conv1d)


class Conv2d(_Direct):
    """A convolution along the last two axes.

    Parameters
    ----------
    in_channels, out_channels: sizes of the channel axis of input and result.
    kernel_size, stride, dilation: one number, or one for each axis.
    padding: numbers as well, or ``"same"`` or ``"valid"``.
    groups: channels are dealt to so many convolutions side by side.
    bias: whether there is a bias.
    padding_mode: what is around the input: ``"zeros"``, ``"reflect"``, ``"replicate"`` or ``"circular"``.

    The weight has shape (out_channels, in_channels / groups, height, width). Raises ValueError for settings that do not
    fit each other.

    >>> Conv2d(1, 8, 3, stride=2, bias=False)
    Conv2d(1, 8, kernel_size=(3, 3), stride=(2, 2), bias=False)
    """

    axes = 2
    _function = staticmethod(functional.conv2d)


class _Transposed(_Convolution):
    """The transpose of a convolution: what it does to cotangents."""

    transposed = True
    _function: Callable[..., Any]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes = 0,
        output_padding: Sizes = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Sizes = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if padding_mode != "zeros":
            raise ValueError(f'Only "zeros" padding mode is supported for {type(self).__name__}')
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            output_padding,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def forward(self, input: Any, output_size: Sequence[int] | None = None) -> Any:
        """The input (batch, in_channels, …), or without a batch, as (batch, out_channels, …).

        Parameters
        ----------
        input: floats.
        output_size: the last sizes of the result where the stride leaves a choice; ValueError for impossible ones.
        """
        extra = self.output_padding if output_size is None else self._extra(input, list(output_size))
        return self._function(input, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation)

    def _extra(self, x: Any, wanted: list[int]) -> tuple[int, ...]:
        """The output padding that gives the wanted sizes."""
        others = len(x.shape) - self.axes
        if len(wanted) == others + self.axes:
            wanted = wanted[others:]
        if len(wanted) != self.axes:
            raise ValueError(
                f"ConvTranspose{self.axes}D: for {len(x.shape)}D input, output_size must have {self.axes} or "
                f"{others + self.axes} elements (got {len(wanted)})"
            )
        settings = zip(x.shape[others:], self.stride, self.padding, self.dilation, self.kernel_size, strict=True)
        least = [(n - 1) * s - 2 * p + d * (k - 1) + 1 for n, s, p, d, k in settings]
        most = [n + s - 1 for n, s in zip(least, self.stride, strict=True)]
        if any(not low <= n <= high for n, low, high in zip(wanted, least, most, strict=True)):
            raise ValueError(
                f"requested an output size of {wanted}, but valid sizes range from {least} to {most} "
                f"(for an input of {tuple(x.shape[others:])})"
            )
        return tuple(n - low for n, low in zip(wanted, least, strict=True))


class ConvTranspose1d(_Transposed):
    """The transpose of Conv1d; the arguments are those of ConvTranspose2d with one number each."""

    axes = 1
    _function = staticmethod(functional.conv_transpose1d)


class ConvTranspose2d(_Transposed):
    """The transpose of Conv2d: it spreads each element over a window.

    Parameters
    ----------
    in_channels, out_channels: sizes of the channel axis of input and result.
    kernel_size, stride, padding, dilation: those of the convolution it is the transpose of.
    output_padding: elements added to one side of the result, where the stride leaves its size open.
    groups: channels are dealt to so many convolutions side by side.
    bias: whether there is a bias.
    padding_mode: only ``"zeros"``.

    The weight has shape (in_channels, out_channels / groups, height, width).

    >>> ConvTranspose2d(8, 1, 2, stride=2)
    ConvTranspose2d(8, 1, kernel_size=(2, 2), stride=(2, 2))
    """

    axes = 2
    _function = staticmethod(functional.conv_transpose2d)
