"""Layers that set parts of their input to zero while training."""

from __future__ import annotations

from typing import Any

from tracegrad.eager.nn import functional
from tracegrad.eager.nn.modules.making import named
from tracegrad.eager.nn.modules.module import Module

__all__ = ["AlphaDropout", "Dropout", "Dropout1d", "Dropout2d"]


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


class AlphaDropout(_Dropout):
    """Dropout that keeps mean and variance of inputs to SELU."""

    def forward(self, input: Any) -> Any:
        """The input, in training with elements set to SELU's negative limit and all of them rescaled."""
        return functional.alpha_dropout(input, self.p, self.training)
