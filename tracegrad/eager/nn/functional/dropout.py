"""Dropout with PyTorch's signatures. Every draw of this module and of those that need noise is made here."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

from tracegrad.core.aval import Shape, shape_of
from tracegrad.core.source import user_frame
from tracegrad.eager import random
from tracegrad.eager.functions.reductions import softmax
from tracegrad.eager.functions.shapes import squeeze, unsqueeze
from tracegrad.eager.nn.functional.activations import leaky_by
from tracegrad.eager.nn.functional.common import finished
from tracegrad.errors import ShapeError
from tracegrad.functional import one_hot
from tracegrad.functional.activations import SELU_ALPHA, SELU_SCALE
from tracegrad.ops.maps import add, cast, divide, log, multiply, negative, stop_gradient, subtract
from tracegrad.ops.reductions import argmax
from tracegrad.ops.views import transpose

__all__ = [
    "alpha_dropout",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "feature_alpha_dropout",
    "gumbel_softmax",
    "rrelu",
    "rrelu_",
]

# -- draws ------------------------------------------------------------------------------------------------------------


def uniform(shape: Sequence[int], dtype: Any) -> Any:
    """Numbers drawn evenly from 0 to 1: the one place where these functions draw."""
    return random.rand(tuple(shape), dtype=dtype)


def bernoulli_mask(shape: Sequence[int], p: float, dtype: Any) -> Any:
    """1 with probability ``p``, 0 otherwise."""
    return cast(uniform(shape, dtype) < p, dtype=dtype)


# -- dropout ----------------------------------------------------------------------------------------------------------


def _check_p(p: float) -> None:
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def _dropped(input: Any, p: float, training: bool, inplace: bool, shape: Shape) -> Any:
    """The input with elements set to 0 and the others scaled to keep the mean; one draw per element of ``shape``."""
    if not training or p == 0 or not math.prod(shape_of(input)):
        return input
    kept = bernoulli_mask(shape, 1 - p, input.dtype)
    noise = kept if p == 1 else divide(kept, 1 - p)
    return finished(lambda x: multiply(x, noise), input, inplace)


def _features(input: Any) -> Shape:
    """The shape of one number per channel of each sample."""
    shape = shape_of(input)
    return (*shape[:2], *(1,) * (len(shape) - 2))


def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """In training each element is 0 with probability ``p``, and otherwise over ``1 - p``.

    Raises ValueError for a ``p`` that is no probability.

    >>> from tracegrad.eager import tensor
    >>> dropout(tensor([1.0, 2.0]), 0.5, training=False)
    tensor([1., 2.])
    """
    _check_p(p)
    return _dropped(input, p, training, inplace, shape_of(input))


def dropout1d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """``dropout`` of whole channels of (batch, channels, length) or (channels, length).

    >>> from tracegrad.eager import tensor
    >>> dropout1d(tensor([[1.0, 2.0]]), 0.5, training=False)
    tensor([[1., 2.]])
    """
    _check_p(p)
    ndim = len(shape_of(input))
    if ndim not in (2, 3):
        raise ShapeError(
            f"dropout1d: Expected 2D or 3D input, but received a {ndim}D input",
            fix="give (batch, channels, length), or use dropout",
            where=user_frame(),
        )
    if ndim == 3:
        return _dropped(input, p, training, inplace, _features(input))
    if inplace:
        return _dropped(input, p, training, True, (*shape_of(input)[:1], 1))
    batch = unsqueeze(input, 0)
    return squeeze(_dropped(batch, p, training, False, _features(batch)), 0)


def dropout2d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """``dropout`` of whole channels of (batch, channels, height, width).

    Warns as PyTorch does for inputs of other ranks; of three dims the second is the channels.

    >>> from tracegrad.eager import tensor
    >>> dropout2d(tensor([[[[1.0, 2.0]]]]), 0.5, training=False)
    tensor([[[[1., 2.]]]])
    """
    _check_p(p)
    ndim = len(shape_of(input))
    if ndim not in (3, 4):
        warnings.warn(
            f"dropout2d: Received a {ndim}-D input to dropout2d, which is deprecated and will result in an error in a "
            "future release. To retain the behavior and silence this warning, please use dropout instead.",
            UserWarning,
            stacklevel=3,
        )
    if ndim == 3:
        warnings.warn(
            "dropout2d: Received a 3D input to dropout2d and assuming that channel-wise 1D dropout behavior is desired - "
            "input is interpreted as shape (N, C, L), where C is the channel dim. To maintain the 1D channel-wise "
            "dropout behavior, please switch to using dropout1d instead.",
            UserWarning,
            stacklevel=3,
        )
    return _dropped(input, p, training, inplace, _features(input))


def dropout3d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """``dropout`` of whole channels of (batch, channels, depth, height, width), or of it without the batch.

    >>> from tracegrad.eager import tensor
    >>> dropout3d(tensor([[[[[1.0, 2.0]]]]]), 0.5, training=False)
    tensor([[[[[1., 2.]]]]])
    """
    _check_p(p)
    if len(shape_of(input)) != 4:
        return _dropped(input, p, training, inplace, _features(input))
    if inplace:
        return _dropped(input, p, training, True, (*shape_of(input)[:1], 1, 1, 1))
    batch = unsqueeze(input, 0)
    return squeeze(_dropped(batch, p, training, False, _features(batch)), 0)


def _alpha_dropped(input: Any, p: float, training: bool, inplace: bool, shape: Shape) -> Any:
    """Dropout to the value that ``selu`` has far below, then scaled and moved so that mean and variance stay."""
    _check_p(p)
    if not training or p == 0 or not math.prod(shape_of(input)):
        return input
    if p == 1:
        return finished(lambda x: multiply(x, 0), input, inplace)
    alpha = SELU_ALPHA * SELU_SCALE
    scale = 1.0 / math.sqrt((alpha * alpha * p + 1) * (1 - p))
    kept = bernoulli_mask(shape, 1 - p, input.dtype)
    moved = add(multiply(subtract(kept, 1), alpha * scale), alpha * scale * p)
    noise = multiply(kept, scale)
    return finished(lambda x: add(multiply(x, noise), moved), input, inplace)


def alpha_dropout(input: Any, p: float = 0.5, training: bool = False, inplace: bool = False) -> Any:
    """Dropout that keeps mean 0 and variance 1 under ``selu``.

    >>> from tracegrad.eager import tensor
    >>> alpha_dropout(tensor([1.0, 2.0]))
    tensor([1., 2.])
    """
    return _alpha_dropped(input, p, training, inplace, shape_of(input))


def feature_alpha_dropout(input: Any, p: float = 0.5, training: bool = False, inplace: bool = False) -> Any:
    """``alpha_dropout`` of whole channels.

    >>> from tracegrad.eager import tensor
    >>> feature_alpha_dropout(tensor([[[1.0, 2.0]]]))
    tensor([[[1., 2.]]])
    """
    return _alpha_dropped(input, p, training, inplace, _features(input))


# -- activations with noise -------------------------------------------------------------------------------------------


def rrelu(
    input: Any,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Any:
    """``x`` where it is positive, elsewhere times a slope: drawn evenly between the bounds in training, else their mean.

    Raises ValueError for bounds in the wrong order.

    >>> from tracegrad.eager import tensor
    >>> rrelu(tensor([-1.0, 2.0]), 0.25, 0.75)
    tensor([-0.5000,  2.0000])
    """
    if lower > upper:
        raise ValueError(f"Lower bound should be less than or equal to the upper bound: {lower} and {upper}")
    if not training:
        return finished(leaky_by, input, inplace, (lower + upper) / 2)
    slope = add(multiply(uniform(shape_of(input), input.dtype), upper - lower), lower)
    return finished(leaky_by, input, inplace, slope)


def rrelu_(input: Any, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False) -> Any:
    """``rrelu`` in place.

    >>> from tracegrad.eager import tensor
    >>> rrelu_(tensor([-1.0, 2.0]), 0.25, 0.75)
    tensor([-0.5000,  2.0000])
    """
    return rrelu(input, lower, upper, training, True)


def gumbel_softmax(logits: Any, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Any:
    """A draw from the categorical distribution of ``logits``, relaxed by the temperature ``tau``.

    ``hard`` makes it one of 0 and 1, with the gradient of the relaxed one; ``eps`` has no effect.

    >>> from tracegrad.eager import tensor
    >>> gumbel_softmax(tensor([[0.0, 0.0]]), hard=True).sum()
    tensor(1.)
    """
    if eps != 1e-10:
        warnings.warn("`eps` parameter is deprecated and has no effect.", UserWarning, stacklevel=3)
    # 1 - u is never 0, and the logarithm of the other one is kept from 0 by the least positive float
    exponential = add(negative(log(subtract(1, uniform(shape_of(logits), logits.dtype)))), 1e-30)
    soft = softmax(divide(add(logits, negative(log(exponential))), tau), dim)
    if not hard:
        return soft
    ndim = len(shape_of(soft))
    place = dim % ndim
    last = one_hot(argmax(stop_gradient(soft), place), shape_of(soft)[place], soft.dtype)
    order = (*range(place), ndim - 1, *range(place, ndim - 1))
    # sum and difference of the same value: what is left is the chosen class
    return add(subtract(transpose(last, order), stop_gradient(soft)), soft)
