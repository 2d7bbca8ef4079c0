"""Layers that draw while training: parts of their input set to zero, slopes."""

from __future__ import annotations

from typing import Any

from tracegrad.eager.nn import functional
from tracegrad.eager.nn.modules.making import named
from tracegrad.eager.nn.modules.module import Module

__all__ = ["AlphaDropout", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "FeatureAlphaDropout", "RReLU"]


class _Dropout(Module):
    """The settings that all of them have."""

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if p < 0 or p > 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p = p
        self.inplace = inplace

    def extra_repr(self) -> str:
        """The probability."""
        return named(self, "p", "inplace")


class Dropout(_Dropout):
    """Each element is zero with probability ``p`` while training, the others are divided by 1 - p.

    >>> Dropout(0.2)
    Dropout(p=0.2, inplace=False)
    """

    def forward(self, input: Any) -> Any:
        """The input, in training with elements set to zero."""
        return functional.dropout(input, self.p, self.training, self.inplace)


class Dropout1d(_Dropout):
    """Each channel (…, channels, length) is zero with probability ``p`` while training, the others are divided by 1 - p."""

    def forward(self, input: Any) -> Any:
        """The input, in training with channels set to zero."""
        return functional.dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_Dropout):
    """Each channel (batch, channels, height, width) is zero with probability ``p`` while training, as in Dropout1d."""

    def forward(self, input: Any) -> Any:
        """The input, in training with channels set to zero."""
        return functional.dropout2d(input, self.p, self.training, self.inplace)


class Dropout3d(_Dropout):
    """Each channel (batch, channels, depth, height, width) is zero with probability ``p`` while training, as in Dropout1d."""

    def forward(self, input: Any) -> Any:
        """The input, in training with channels set to zero."""
        return functional.dropout3d(input, self.p, self.training, self.inplace)


class AlphaDropout(_Dropout):
    """Dropout that keeps mean and variance of inputs to SELU."""

    def forward(self, input: Any) -> Any:
        """The input, in training with elements set to SELU's negative limit and all of them rescaled."""
        return functional.alpha_dropout(input, self.p, self.training)


class FeatureAlphaDropout(_Dropout):
    """AlphaDropout of whole channels."""

    def forward(self, input: Any) -> Any:
        """The input, in training with channels set to SELU's negative limit and all of them rescaled."""
        return functional.feature_alpha_dropout(input, self.p, self.training)


class RReLU(Module):
    """x where it is positive, elsewhere times a slope: drawn evenly between the bounds in training, else their mean.

    >>> RReLU(0.25, 0.75)
    RReLU(lower=0.25, upper=0.75)
    """

    def __init__(self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, inplace: bool = False) -> None:
        super().__init__()
        self.lower = lower
        self.upper = upper
        self.inplace = inplace

    def forward(self, input: Any) -> Any:
        """The function of each element."""
        return functional.rrelu(input, self.lower, self.upper, self.training, self.inplace)

    def extra_repr(self) -> str:
        """The bounds."""
        return named(self, "lower", "upper") + (", inplace=True" if self.inplace else "")
