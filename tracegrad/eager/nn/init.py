"""Values to start training from: each function fills a tensor in place, unrecorded, and returns it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri

from tracegrad.eager.distributions import normal_array, uniform_array
from tracegrad.eager.generators import source
from tracegrad.eager.modes import no_grad
from tracegrad.eager.tensor import Tensor

__all__ = [
    "calculate_gain",
    "constant_",
    "dirac_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "sparse_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]

_UNIT_GAIN = ("linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "sigmoid")

Array = np.ndarray[Any, Any]


def _filled(tensor: Tensor, values: Array | float) -> Tensor:
    with no_grad():
        tensor[...] = values
    return tensor


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which a layer's weights make up for what a nonlinearity does to the variance.

    Parameters
    ----------
    nonlinearity: its name in ``nn.functional``; ValueError for names without a known gain.
    param: the negative slope of ``leaky_relu``, 0.01 if None.

    >>> calculate_gain("tanh")
    1.6666666666666667
    """
    if nonlinearity in _UNIT_GAIN:
        return 1
    if nonlinearity == "tanh":
        return 5.0 / 3
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "selu":
        return 3.0 / 4
    if nonlinearity != "leaky_relu":
        raise ValueError(f"Unsupported nonlinearity {nonlinearity}")
    slope = 0.01 if param is None else param
    if isinstance(slope, bool) or not isinstance(slope, (int, float)):
        raise ValueError(f"negative_slope {param} not a valid number")  # noqa: TRY004 - PyTorch's kind of error
    return math.sqrt(2.0 / (1 + slope**2))


# -- without weights' shapes ------------------------------------------------------------------------------------------


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Tensor:
    """Fill with numbers drawn evenly from a … b."""
    return _filled(tensor, uniform_array(source(generator), tensor.shape, tensor.dtype, a, b))


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Tensor:
    """Fill with numbers drawn from the normal distribution."""
    return _filled(tensor, normal_array(source(generator), tensor.shape, tensor.dtype, mean, std))


def trunc_normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0, generator: Any = None
) -> Tensor:
    """Fill with numbers drawn from the part of the normal distribution that lies in a … b."""
    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(
            "mean is more than 2 std from [a, b] in nn.init.trunc_normal_. The distribution of values may be incorrect.",
            stacklevel=2,
        )
    low, high = (a - mean) / std, (b - mean) / std
    # the upper tail has no digits to spare in ndtr: it is drawn from as the lower one
    side = -1 if low > 0 else 1
    low, high = sorted((side * low, side * high))
    shares = source(generator).uniform(ndtr(low), ndtr(high), tensor.shape)
    values = (mean + std * side * ndtri(shares)).astype(tensor.dtype)
    return _filled(tensor, np.clip(values, a, b))


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill with one number."""
    return _filled(tensor, val)


def ones_(tensor: Tensor) -> Tensor:
    """Fill with ones."""
    return _filled(tensor, 1)


def zeros_(tensor: Tensor) -> Tensor:
    """Fill with zeros."""
    return _filled(tensor, 0)


def eye_(tensor: Tensor) -> Tensor:
    """Fill a tensor of two axes with the identity matrix; ValueError for other tensors.

    >>> eye_(Tensor([[0.0, 0.0], [0.0, 0.0]]))
    tensor([[1., 0.],
            [0., 1.]])
    """
    if tensor.ndim != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    return _filled(tensor, np.eye(*tensor.shape))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Fill a convolution's weight so that each channel, as far as there are as many, is passed on as it is.

    Parameters
    ----------
    tensor: a weight (outputs, inputs / groups, …) of three to five axes; ValueError for others.
    groups: of the convolution; ValueError where it does not divide the outputs.
    """
    shape = tuple(tensor.shape)
    if len(shape) not in (3, 4, 5):
        raise ValueError("Only tensors with 3, 4, or 5 dimensions are supported")
    if shape[0] % groups:
        raise ValueError("dim 0 must be divisible by groups")
    outputs = shape[0] // groups
    values = np.zeros(shape, tensor.dtype)
    centre = tuple(n // 2 for n in shape[2:])
    for group in range(groups):
        for k in range(min(outputs, shape[1])):
            values[(group * outputs + k, k, *centre)] = 1
    return _filled(tensor, values)


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Any = None) -> Tensor:
    """Fill a matrix from the normal distribution, then set the given share of each column to zero.

    Parameters
    ----------
    tensor: of two axes; ValueError for others.
    sparsity: the share of zeros, rounded up to whole elements.
    std: the standard deviation of the other elements.
    """
    if tensor.ndim != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    rows, columns = tensor.shape
    numbers = source(generator)
    values = numbers.normal(0, std, (rows, columns))
    # each column's order is that of numbers drawn for it
    places = numbers.random((rows, columns)).argsort(axis=0)[: math.ceil(sparsity * rows)]
    np.put_along_axis(values, places, 0, axis=0)
    return _filled(tensor, values)


# -- by the number of inputs and outputs ------------------------------------------------------------------------------


def _fans(tensor: Tensor) -> tuple[int, int]:
    """How many numbers go into each result of a layer with this weight, and how many results each number goes to."""
    if tensor.ndim < 2:
        raise ValueError("Fan in and fan out can not be computed for tensor with fewer than 2 dimensions")
    window = math.prod(tensor.shape[2:])
    return tensor.shape[1] * window, tensor.shape[0] * window


def _fan(tensor: Tensor, mode: str) -> int:
    modes = ["fan_in", "fan_out"]
    if mode.lower() not in modes:
        raise ValueError(f"Mode {mode.lower()} not supported, please use one of {modes}")
    return _fans(tensor)[modes.index(mode.lower())]


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Fill evenly from -s … s with s² = 6 gain² / (inputs + outputs); ValueError for fewer than two axes."""
    bound = gain * math.sqrt(6.0 / sum(_fans(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Fill from the normal distribution of variance 2 gain² / (inputs + outputs); ValueError for fewer than two axes."""
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(_fans(tensor))), generator)


def kaiming_uniform_(
    tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: Any = None
) -> Tensor:
    """Fill evenly from -s … s with s² = 3 gain² / fan.

    Parameters
    ----------
    tensor: of two axes or more; ValueError for others. One without elements stays as it is, with a warning.
    a: the negative slope of the ``leaky_relu`` that follows.
    mode: ``"fan_in"`` or ``"fan_out"``, whose number is the fan.
    nonlinearity: the function that follows, whose gain is ``calculate_gain``'s.
    """

    def fill(std: float) -> Tensor:
        return uniform_(tensor, -math.sqrt(3) * std, math.sqrt(3) * std, generator)

    return _kaiming(tensor, a, mode, nonlinearity, fill)


def kaiming_normal_(
    tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: Any = None
) -> Tensor:
    """Fill from the normal distribution of variance gain² / fan; the parameters are those of ``kaiming_uniform_``."""
    return _kaiming(tensor, a, mode, nonlinearity, lambda std: normal_(tensor, 0.0, std, generator))


def _kaiming(tensor: Tensor, a: float, mode: str, nonlinearity: str, fill: Callable[[float], Tensor]) -> Tensor:
    if 0 in tensor.shape:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=3)
        return tensor
    return fill(calculate_gain(nonlinearity, a) / math.sqrt(_fan(tensor, mode)))


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Any = None) -> Tensor:
    """Fill with a random matrix whose rows, or columns where there are fewer, are orthogonal and of length ``gain``.

    Parameters
    ----------
    tensor: of two axes or more, those after the first taken as one; ValueError for others.
    """
    if tensor.ndim < 2:
        raise ValueError("Only tensors with 2 or more dimensions are supported")
    shape = tuple(tensor.shape)
    if 0 in shape:
        return tensor
    rows, columns = shape[0], math.prod(shape[1:])
    drawn = source(generator).normal(size=(max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(drawn)
    # the signs of the factorisation are no accident: without them not every orthogonal matrix would be as likely
    q = q * np.sign(np.diag(r))
    return _filled(tensor, gain * (q if rows >= columns else q.T).reshape(shape))
