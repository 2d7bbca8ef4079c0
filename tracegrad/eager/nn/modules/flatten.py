"""Layers that join axes to one, or take one apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracegrad.eager.functions.shapes import flatten, unflatten
from tracegrad.eager.nn.modules.making import named
from tracegrad.eager.nn.modules.module import Module

__all__ = ["Flatten", "Unflatten"]


class Flatten(Module):
    """The axes from ``start_dim`` to ``end_dim`` as one.

    >>> Flatten()
    Flatten(start_dim=1, end_dim=-1)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Any) -> Any:
        """The input with these axes joined."""
        return flatten(input, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        """The axes."""
        return named(self, "start_dim", "end_dim")


class Unflatten(Module):
    """One axis as several.

    Parameters
    ----------
    dim: the axis.
    unflattened_size: the sizes in its place, of which one may be -1.

    >>> Unflatten(1, (2, 5))
    Unflatten(dim=1, unflattened_size=(2, 5))
    """

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        if not isinstance(unflattened_size, (tuple, list)):
            raise TypeError(f"unflattened_size must be a tuple of ints, but found type {type(unflattened_size).__name__}")
        for k, n in enumerate(unflattened_size):
            if not isinstance(n, int):
                raise TypeError(
                    f"unflattened_size must be tuple of ints, but found element of type {type(n).__name__} at pos {k}"
                )
        self.dim = dim
        self.unflattened_size = unflattened_size

    def forward(self, input: Any) -> Any:
        """The input with this axis taken apart."""
        return unflatten(input, self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        """The axis and its sizes."""
        return named(self, "dim", "unflattened_size")
