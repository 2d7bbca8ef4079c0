"""Layers that compare two inputs."""

from __future__ import annotations

from typing import Any

from tracegrad.eager.nn import functional
from tracegrad.eager.nn.modules.module import Module

__all__ = ["CosineSimilarity", "PairwiseDistance"]


class CosineSimilarity(Module):
    """The cosine of the angle between vectors along an axis.

    Parameters
    ----------
    dim: the axis.
    eps: the least product of lengths to divide by.
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim = dim
        self.eps = eps

    def forward(self, x1: Any, x2: Any) -> Any:
        """The cosines, without the axis."""
        return functional.cosine_similarity(x1, x2, self.dim, self.eps)


class PairwiseDistance(Module):
    """The p-norm of the difference along the last axis.

    Parameters
    ----------
    p: of the norm.
    eps: added to the difference.
    keepdim: whether the axis stays with size 1.
    """

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.norm = p
        self.eps = eps
        self.keepdim = keepdim

    def forward(self, x1: Any, x2: Any) -> Any:
        """The distances, without the axis unless ``keepdim``."""
        return functional.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)
