"""Linear layers and normalisation."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracegrad.core.aval import shape_of
from tracegrad.errors import DtypeError, ShapeError
from tracegrad.functional.activations import Axes
from tracegrad.ops.contractions import matmul
from tracegrad.ops.maps import add, cast, multiply, sqrt
from tracegrad.ops.reductions import as_operand, mean
from tracegrad.ops.sources import running_index
from tracegrad.ops.views import expand_dims, reshape, transpose


def one_hot(labels: Any, classes: int, dtype: Any = np.float64) -> Any:
    """Integer labels as vectors along a new last axis, 1 at the label and 0 elsewhere.

    Parameters
    ----------
    labels: integers of any shape, DtypeError for others; a label that is no class gives zeros.
    classes: the size of the new axis.
    dtype: of the result.

    >>> one_hot(np.array([0, 2]), 3)
    array([[1., 0., 0.],
           [0., 0., 1.]])
    """
    labels = as_operand(labels)
    if labels.dtype.kind not in "iu":
        raise DtypeError(f"one_hot: labels of dtype {labels.dtype}", fix="give integers, for example labels.astype(int)")
    return cast(expand_dims(labels, -1) == running_index(classes, labels), dtype=np.dtype(dtype))


def linear(x: Any, weight: Any, bias: Any = None) -> Any:
    """``x @ weight.T + bias`` with a weight of shape (outputs, inputs), as in PyTorch.

    Parameters
    ----------
    x: floats (…, inputs).
    weight: floats (outputs, inputs).
    bias: one number per output, or None.

    Returns floats (…, outputs); ShapeError where the inputs do not fit.

    >>> linear(np.array([1.0, 2.0]), np.array([[1.0, 1.0], [0.0, 1.0]]), np.array([0.5, 0.0]))
    array([3.5, 2. ])
    """
    x, weight = as_operand(x), as_operand(weight)
    if len(shape_of(weight)) != 2 or not shape_of(x) or shape_of(x)[-1] != shape_of(weight)[1]:
        raise ShapeError(
            f"linear: an input of shape {shape_of(x)} and a weight of shape {shape_of(weight)}",
            fix="the weight has shape (outputs, inputs), and the input's last axis has the size of inputs",
        )
    out = matmul(x, transpose(weight))
    return out if bias is None else add(out, bias)


def layer_norm(x: Any, weight: Any = None, bias: Any = None, axis: Axes = -1, eps: float = 1e-5) -> Any:
    """``x`` less its mean over its standard deviation along ``axis``, then scaled by ``weight`` and moved by ``bias``.

    Parameters
    ----------
    x: an array of floats.
    weight, bias: arrays that broadcast to ``x``, or None.
    axis: an axis or several.
    eps: added to the variance, which keeps the divisor from 0.

    >>> layer_norm(np.array([1.0, 3.0]), eps=0.0)
    array([-1.,  1.])
    """
    x = as_operand(x)
    away = x - mean(x, axis, keepdims=True)
    variance = mean(away * away, axis, keepdims=True)
    out = away * (1.0 / sqrt(variance + eps))
    out = out if weight is None else multiply(out, weight)
    return out if bias is None else add(out, bias)


def group_norm(x: Any, groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """``layer_norm`` of each group of channels of each sample, then scaled and moved by channel.

    Parameters
    ----------
    x: floats (batch, channels, …).
    groups: into how many groups the channels are split; ShapeError where it does not divide them.
    weight, bias: one number per channel, or None.
    eps: added to the variance.

    >>> group_norm(np.array([[1.0, 3.0, 10.0, 30.0]]), 2, eps=0.0)
    array([[-1.,  1., -1.,  1.]])
    """
    x = as_operand(x)
    shape = shape_of(x)
    if len(shape) < 2 or groups < 1 or shape[1] % groups:
        raise ShapeError(
            f"Expected number of channels in input to be divisible by num_groups, but got input of shape {list(shape)} "
            f"and num_groups={groups}",
            fix="give x as (batch, channels, …) and a number of groups that divides the channels",
        )
    out = reshape(layer_norm(reshape(x, (shape[0], groups, -1)), eps=eps), shape)
    return scaled_by_channel(out, weight, bias)


def scaled_by_channel(x: Any, weight: Any, bias: Any) -> Any:
    """``x · weight + bias`` with one number per channel (axis 1), None for neither."""
    own = (-1, *(1,) * (len(shape_of(x)) - 2))
    out = x if weight is None else multiply(x, reshape(weight, own))
    return out if bias is None else add(out, reshape(bias, own))


def normalised_by(x: Any, mean_of: Any, variance: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """``x`` by given means and variances of its channels (axis 1), then scaled and moved: batch normalisation.

    >>> normalised_by(np.array([[3.0]]), np.array([1.0]), np.array([4.0]), eps=0.0)
    array([[1.]])
    """
    x = as_operand(x)
    own = (-1, *(1,) * (len(shape_of(x)) - 2))
    out = (x - reshape(mean_of, own)) * (1.0 / sqrt(reshape(variance, own) + eps))
    return scaled_by_channel(out, weight, bias)
