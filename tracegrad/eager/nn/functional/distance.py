"""Distances and angles between vectors, and the losses made of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tracegrad.core.aval import broadcast_shapes, shape_of
from tracegrad.eager.composite import recorded_as
from tracegrad.eager.functions.pointwise import clamp_min
from tracegrad.eager.functions.reductions import norm
from tracegrad.eager.functions.reductions import sum as sum_of
from tracegrad.eager.nn.functional.common import check_reduction, reduced, reduction_named, refused
from tracegrad.ops import reductions
from tracegrad.ops.indexing import getitem
from tracegrad.ops.maps import (
    absolute,
    add,
    divide,
    minimum,
    multiply,
    negative,
    power,
    select,
    sqrt,
    stop_gradient,
    subtract,
)
from tracegrad.ops.views import broadcast_to, expand_dims

__all__ = [
    "cdist",
    "cosine_embedding_loss",
    "cosine_similarity",
    "hinge_embedding_loss",
    "margin_ranking_loss",
    "pairwise_distance",
    "pdist",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
]


# -- between vectors --------------------------------------------------------------------------------------------------


@recorded_as("NormBackward1")
def _length(x: Any, p: float, keepdim: bool) -> Any:
    return norm(x, p, -1, keepdim=keepdim)


def pairwise_distance(x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Any:
    """The ``p``-norm of ``x1 - x2 + eps`` along the last dim.

    >>> from tracegrad.eager import tensor
    >>> pairwise_distance(tensor([[0.0, 0.0]]), tensor([[3.0, 4.0]]))
    tensor([5.0000])
    """
    return _length(add(subtract(x1, x2), eps), float(p), bool(keepdim))


def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    """The product along ``dim`` of ``x1`` and ``x2``, each over its length, which is taken for ``eps`` where it is smaller.

    >>> from tracegrad.eager import tensor
    >>> cosine_similarity(tensor([[1.0, 0.0]]), tensor([[1.0, 1.0]]))
    tensor([0.7071])
    """
    shape = broadcast_shapes(shape_of(x1), shape_of(x2))
    x1, x2 = broadcast_to(x1, shape), broadcast_to(x2, shape)
    return sum_of(multiply(_unit(x1, dim, eps), _unit(x2, dim, eps)), dim)


@recorded_as("DivBackward0")
def _unit(x: Any, dim: int, eps: float) -> Any:
    """The vectors over their lengths; a length below ``eps`` is a constant, but passes its gradient on, as in PyTorch."""
    length = norm(x, 2, dim, keepdim=True)
    return x / select(length < eps, eps + (length - stop_gradient(length)), length)


@recorded_as("CdistBackward0")
def _cdist(x1: Any, x2: Any, p: float) -> Any:
    return _between(expand_dims(x1, -2), expand_dims(x2, -3), p)


def _between(x1: Any, x2: Any, p: float) -> Any:
    """The ``p``-norm of differences along the last axis, with gradient 0 where they are all 0."""
    apart = absolute(subtract(x1, x2))
    if p == 0:
        return reductions.sum(select(apart == 0, apart, apart * 0 + 1), -1)
    if math.isinf(p):
        return reductions.max(apart, -1)
    if p == 1:
        return reductions.sum(apart, -1)
    same = apart == 0
    total = reductions.sum(power(select(same, 1, apart), p) * select(same, 0, apart * 0 + 1), -1)
    none = total == 0
    safe = select(none, 1, total)
    return select(none, 0, sqrt(safe) if p == 2 else power(safe, 1.0 / p))


def cdist(x1: Any, x2: Any, p: float = 2.0, compute_mode: str = "use_mm_for_euclid_dist_if_necessary") -> Any:
    """The ``p``-norm of the difference of every row of ``x1`` (…, n, d) and every row of ``x2`` (…, m, d): (…, n, m).

    ``compute_mode`` is accepted and changes nothing: differences are always taken. Raises ShapeError where rows differ
    in size.

    >>> from tracegrad.eager import tensor
    >>> cdist(tensor([[0.0, 0.0]]), tensor([[3.0, 4.0], [0.0, 1.0]]))
    tensor([[5., 1.]])
    """
    if len(shape_of(x1)) < 2 or len(shape_of(x2)) < 2:
        raise refused(
            f"cdist only supports at least 2D tensors, X1 got: {len(shape_of(x1))}D, X2 got: {len(shape_of(x2))}D",
            "give matrices of rows, or stacks of them",
        )
    if shape_of(x1)[-1] != shape_of(x2)[-1]:
        raise refused(
            f"X1 and X2 must have the same number of columns. X1: {shape_of(x1)[-1]} X2: {shape_of(x2)[-1]}",
            "give rows of equal size",
        )
    if p < 0:
        raise ValueError("cdist only supports non-negative p values")
    return _cdist(x1, x2, float(p))


@recorded_as("PdistBackward0")
def _pdist(x: Any, p: float) -> Any:
    first, second = np.triu_indices(shape_of(x)[0], 1)
    return _between(getitem(x, first), getitem(x, second), p)


def pdist(input: Any, p: float = 2) -> Any:
    """The ``p``-norm of the difference of every two rows of a matrix: 0 and 1, 0 and 2, and so on.

    >>> from tracegrad.eager import tensor
    >>> pdist(tensor([[0.0], [1.0], [3.0]]))
    tensor([1., 3., 2.])
    """
    if len(shape_of(input)) != 2:
        raise refused(f"pdist only supports 2D tensors, got: {len(shape_of(input))}D", "give a matrix of rows")
    if p < 0:
        raise ValueError("pdist only supports non-negative p values")
    return _pdist(input, float(p))


# -- losses -----------------------------------------------------------------------------------------------------------


def hinge_embedding_loss(
    input: Any,
    target: Any,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """``x`` for targets 1, ``max(0, margin - x)`` for targets -1.

    >>> from tracegrad.eager import tensor
    >>> hinge_embedding_loss(tensor([0.25, 0.25]), tensor([1.0, -1.0]), reduction="none")
    tensor([0.2500, 0.7500])
    """
    reduction = check_reduction(reduction_named(size_average, reduce, reduction))
    away = select(target == 1, 0, clamp_min(subtract(margin, input), 0.0))
    near = select(target == -1, 0, input)
    return reduced(add(away, near), reduction)


def margin_ranking_loss(
    input1: Any,
    input2: Any,
    target: Any,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """``max(0, margin - target · (x1 - x2))``, for targets 1 where the first is to be the greater, -1 for the second.

    >>> from tracegrad.eager import tensor
    >>> margin_ranking_loss(tensor([1.0]), tensor([3.0]), tensor([1.0]))
    tensor(2.)
    """
    reduction = check_reduction(reduction_named(size_average, reduce, reduction))
    if not len(shape_of(input1)) == len(shape_of(input2)) == len(shape_of(target)):
        raise refused(
            f"margin_ranking_loss : All input tensors should have same dimension but got sizes: "
            f"input1: {list(shape_of(input1))}, input2: {list(shape_of(input2))}, target: {list(shape_of(target))}",
            "give one target per pair",
        )
    apart = multiply(negative(target), subtract(input1, input2))
    return reduced(clamp_min(add(apart, margin), 0.0), reduction)


def cosine_embedding_loss(
    input1: Any,
    input2: Any,
    target: Any,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """``1 - cos`` of the angle between rows for targets 1, ``max(0, cos - margin)`` for targets -1.

    Raises ShapeError where rows and targets do not fit.

    >>> from tracegrad.eager import tensor
    >>> cosine_embedding_loss(tensor([[1.0, 0.0]]), tensor([[0.0, 1.0]]), tensor([1]))
    tensor(1.)
    """
    reduction = check_reduction(reduction_named(size_average, reduce, reduction))
    shape, labels = shape_of(input1), shape_of(target)
    if shape != shape_of(input2) or labels != shape[:-1] or len(shape) not in (1, 2):
        raise refused(
            f"cosine_embedding_loss: inputs of sizes {list(shape)} and {list(shape_of(input2))} and a target of size "
            f"{list(labels)}; 1D target tensor expects 2D input tensors, 0D target tensor expects 1D input tensors",
            "give rows (batch, size) and one target per row",
        )
    small = 1e-12
    product = sum_of(multiply(input1, input2), -1)
    squares = [add(sum_of(multiply(x, x), -1), small) for x in (input1, input2)]
    cosine = divide(product, sqrt(multiply(*squares)))
    near = select(target == 1, subtract(1, cosine), 0)
    away = select(target == -1, clamp_min(subtract(cosine, margin), 0.0), 0)
    return reduced(add(near, away), reduction)


def triplet_margin_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """``max(0, margin + d(anchor, positive) - d(anchor, negative))`` with distances of the ``p``-norm along the last dim.

    With ``swap`` the positive takes the anchor's place where it is nearer to the negative.

    >>> from tracegrad.eager import tensor
    >>> triplet_margin_loss(tensor([[0.0]]), tensor([[2.0]]), tensor([[1.0]]))
    tensor(2.)
    """
    reduction = check_reduction(reduction_named(size_average, reduce, reduction))

    def distance(x: Any, y: Any) -> Any:
        return pairwise_distance(x, y, p, eps)

    return triplet_margin_with_distance_loss(
        anchor, positive, negative, distance_function=distance, margin=margin, swap=swap, reduction=reduction
    )


def triplet_margin_with_distance_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    *,
    distance_function: Callable[[Any, Any], Any] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Any:
    """``triplet_margin_loss`` with a distance of one's own, ``pairwise_distance`` by default.

    Raises ShapeError for different numbers of dims, ValueError for a margin that is not positive.

    >>> from tracegrad.eager import tensor
    >>> triplet_margin_with_distance_loss(tensor([[0.0]]), tensor([[2.0]]), tensor([[1.0]]))
    tensor(2.)
    """
    check_reduction(reduction)
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    ranks = [len(shape_of(x)) for x in (anchor, positive, negative)]
    if len(set(ranks)) > 1:
        raise refused(
            f"The anchor, positive, and negative tensors are expected to have the same number of dimensions, but got: "
            f"anchor {ranks[0]}D, positive {ranks[1]}D, and negative {ranks[2]}D inputs",
            "give all three one shape",
        )
    distance = pairwise_distance if distance_function is None else distance_function
    near, away = distance(anchor, positive), distance(anchor, negative)
    if swap:
        away = minimum(away, distance(positive, negative))
    return reduced(clamp_min(subtract(add(near, margin), away), 0.0), reduction)
