"""Losses of classes and distances that are zero beyond a margin, as layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tracegrad.eager.nn import functional
from tracegrad.eager.nn.modules.distance import PairwiseDistance
from tracegrad.eager.nn.modules.loss import _Loss, _WeightedLoss
from tracegrad.eager.tensor import Tensor

__all__ = ["MultiLabelMarginLoss", "MultiLabelSoftMarginLoss", "MultiMarginLoss", "TripletMarginWithDistanceLoss"]


class MultiMarginLoss(_WeightedLoss):
    """By how much other classes come nearer to the sample's class than ``margin``.

    Parameters
    ----------
    p: the power of each difference, 1 or 2.
    margin: the wanted difference of scores.
    weight: one number per class.

    Raises ValueError for another ``p``.

    >>> MultiMarginLoss()(Tensor([[0.0, 1.0]]), Tensor([0]).long())
    tensor(1.)
    """

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        if p not in (1, 2):
            raise ValueError("only p == 1 and p == 2 supported")
        if weight is not None and len(weight.shape) != 1:
            raise ValueError(f"MultiMarginLoss: expected weight to be None or 1D tensor, got {len(weight.shape)}D instead")
        self.p = p
        self.margin = margin

    def forward(self, input: Any, target: Any) -> Any:
        """The loss of scores (batch, classes) and class numbers (batch,)."""
        return functional.multi_margin_loss(
            input, target, p=self.p, margin=self.margin, weight=self.weight, reduction=self.reduction
        )


class MultiLabelMarginLoss(_Loss):
    """By how much classes that are not the sample's come nearer than 1 to those that are; targets end with -1."""

    def forward(self, input: Any, target: Any) -> Any:
        """The loss of scores (batch, classes) and as many class numbers."""
        return functional.multilabel_margin_loss(input, target, reduction=self.reduction)


class MultiLabelSoftMarginLoss(_WeightedLoss):
    """The mean cross-entropy of yes-or-no targets, one for each class.

    >>> round(MultiLabelSoftMarginLoss()(Tensor([[0.0, 0.0]]), Tensor([[1.0, 0.0]])).item(), 4)
    0.6931
    """

    def forward(self, input: Any, target: Any) -> Any:
        """The loss of scores (batch, classes) and as many targets."""
        return functional.multilabel_soft_margin_loss(input, target, weight=self.weight, reduction=self.reduction)


class TripletMarginWithDistanceLoss(_Loss):
    """By how much an anchor is not nearer to its own kind than to another by ``margin``.

    Parameters
    ----------
    distance_function: of two tensors; their Euclidean distance if None.
    margin: the wanted difference of distances.
    swap: whether the distance of the two others counts if it is smaller.

    Raises ValueError for a margin that is not positive.

    >>> TripletMarginWithDistanceLoss()(Tensor([[0.0]]), Tensor([[2.0]]), Tensor([[1.0]]))
    tensor(2.)
    """

    def __init__(
        self,
        *,
        distance_function: Callable[[Any, Any], Any] | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        if margin <= 0:
            raise ValueError(f"TripletMarginWithDistanceLoss: expected margin to be greater than 0, got {margin} instead")
        self.distance_function = PairwiseDistance() if distance_function is None else distance_function
        self.margin = margin
        self.swap = swap

    def forward(self, anchor: Any, positive: Any, negative: Any) -> Any:
        """The loss of vectors (batch, features) or (features,)."""
        return functional.triplet_margin_with_distance_loss(
            anchor,
            positive,
            negative,
            distance_function=self.distance_function,
            margin=self.margin,
            swap=self.swap,
            reduction=self.reduction,
        )
