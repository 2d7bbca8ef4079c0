"""Normalisation with PyTorch's signatures; running statistics are written to in place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracegrad import functional
from tracegrad.core.aval import Shape, one_int, shape_of
from tracegrad.eager.composite import recorded_as
from tracegrad.eager.functions.pointwise import clamp_min
from tracegrad.eager.functions.reductions import mean, norm
from tracegrad.eager.modes import no_grad
from tracegrad.eager.nn.functional.common import refused
from tracegrad.eager.nn.functional.padding import pad
from tracegrad.eager.nn.functional.pooling import avg_pool2d, avg_pool3d
from tracegrad.functional import normalised_by
from tracegrad.ops import reductions
from tracegrad.ops.maps import add, divide, multiply, power, reciprocal, sqrt, stop_gradient
from tracegrad.ops.views import broadcast_to, expand_dims, reshape, squeeze

__all__ = [
    "batch_norm",
    "group_norm",
    "instance_norm",
    "layer_norm",
    "local_response_norm",
    "normalize",
    "rms_norm",
]


# -- by statistics of the batch ---------------------------------------------------------------------------------------


@recorded_as("NativeBatchNormBackward0")
def _by_batch(x: Any, weight: Any, bias: Any, eps: float) -> tuple[Any, Any, Any]:
    """The normalised input, and the mean and the variance of each channel."""
    axes = (0, *range(2, len(shape_of(x))))
    middle = reductions.mean(x, axes, keepdims=True)
    away = x - middle
    variance = reductions.mean(away * away, axes, keepdims=True)
    out = functional.layers.scaled_by_channel(away * (1.0 / sqrt(variance + eps)), weight, bias)
    channels = (shape_of(x)[1],)
    return out, reshape(stop_gradient(middle), channels), reshape(stop_gradient(variance), channels)


@recorded_as("NativeBatchNormBackward0")
def _by_running(x: Any, weight: Any, bias: Any, mean_of: Any, variance: Any, eps: float) -> Any:
    return normalised_by(x, mean_of, variance, weight, bias, eps)


def _check_channels(channels: int, **given: Any) -> None:
    for name, value in given.items():
        if value is not None and math.prod(shape_of(value)) != channels:
            raise refused(
                f"{name} should contain {channels} elements not {math.prod(shape_of(value))}",
                f"give {name} of shape ({channels},)",
            )


def _move(running: Any, value: Any, momentum: float, factor: float = 1.0) -> None:
    """Move a running statistic towards ``factor`` times a new value, in place."""
    if running is not None:
        with no_grad():
            running[...] = multiply(running, 1.0 - momentum) + multiply(value, momentum * factor)


def batch_norm(
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Each channel (dim 1) less its mean over its standard deviation, then scaled and moved.

    Parameters
    ----------
    input: floats (batch, channels, …).
    running_mean, running_var: statistics of each channel to normalise by; with ``training`` the batch's own are used,
        and these move towards them by ``momentum``, in place. They may be None in training.
    weight, bias: one number per channel, or None.
    eps: added to the variance.

    Raises ShapeError for statistics of another size, ValueError for a single value per channel in training.

    >>> from tracegrad.eager import tensor
    >>> batch_norm(tensor([[1.0], [3.0]]), None, None, training=True)
    tensor([[-1.0000],
            [ 1.0000]])
    """
    shape = shape_of(input)
    if len(shape) < 2:
        raise refused(f"batch_norm: expected 2 dims or more, got an input of size {list(shape)}", "give (batch, channels, …)")
    _check_channels(shape[1], running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    count = math.prod(shape) // shape[1] if shape[1] else 0
    if not training:
        if running_mean is None or running_var is None:
            missing = "running_mean" if running_mean is None else "running_var"
            raise refused(f"{missing} must be defined in evaluation mode", "pass both, or training=True")
        if eps < 0:
            raise ValueError(f"batch_norm eps must be non-negative, but got {eps}")
        return _by_running(input, weight, bias, running_mean, running_var, eps)
    if count == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size torch.Size({list(shape)})")
    if eps <= 0:
        raise ValueError(f"batch_norm eps must be positive during training, but got {eps}")
    out, middle, variance = _by_batch(input, weight, bias, eps)
    _move(running_mean, middle, momentum)
    _move(running_var, variance, momentum, count / max(count - 1, 1))
    return out


def instance_norm(
    input: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """``batch_norm`` of each sample by itself; ``use_input_stats`` says whether by its own statistics.

    Running statistics move towards the mean of those of the samples. Raises what ``batch_norm`` raises.

    >>> from tracegrad.eager import tensor
    >>> instance_norm(tensor([[[1.0, 3.0]]]))
    tensor([[[-1.0000,  1.0000]]])
    """
    shape = shape_of(input)
    if len(shape) < 3:
        raise refused(
            f"instance_norm: expected 3 dims or more, got an input of size {list(shape)}", "give (batch, channels, sizes…)"
        )
    batch, channels = shape[:2]
    count = math.prod(shape[2:])
    _check_channels(channels, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    if count == 1:
        raise ValueError(f"Expected more than 1 spatial element when training, got input size torch.Size({list(shape)})")
    flat = reshape(input, (1, batch * channels, *shape[2:]))
    weight, bias = (None if v is None else _repeated(v, batch) for v in (weight, bias))
    out, middle, variance = _by_batch(flat, weight, bias, eps)
    if running_mean is not None or running_var is not None:
        each = [reductions.mean(reshape(v, (batch, channels)), 0) for v in (middle, variance)]
        _move(running_mean, each[0], momentum)
        _move(running_var, each[1], momentum, count / (count - 1))
    return reshape(out, shape)


@recorded_as("RepeatBackward0")
def _repeated(x: Any, times: int) -> Any:
    return reshape(broadcast_to(x, (times, *shape_of(x))), (-1,))


# -- by statistics of each sample -------------------------------------------------------------------------------------


def _normalised_axes(input: Any, normalized_shape: int | Sequence[int], **given: Any) -> tuple[int, ...]:
    """The last axes, which have these sizes; ShapeError in PyTorch's words otherwise."""
    number = one_int(normalized_shape)
    wanted: Shape = (number,) if number is not None else tuple(int(n) for n in normalized_shape)  # type: ignore[union-attr]
    shape = shape_of(input)
    if not wanted or tuple(shape[-len(wanted) :]) != wanted:
        raise refused(
            f"Given normalized_shape={list(wanted)}, expected input with shape [*, {', '.join(map(str, wanted))}], "
            f"but got input of size{list(shape)}",
            "normalized_shape are the sizes of the input's last dims",
        )
    for name, value in given.items():
        if value is not None and tuple(shape_of(value)) != wanted:
            raise refused(
                f"Expected {name} to be of same shape as normalized_shape, but got {name} of shape "
                f"{list(shape_of(value))} and normalized_shape = {list(wanted)}",
                f"give {name} of shape {wanted}",
            )
    return tuple(range(len(shape) - len(wanted), len(shape)))


_layer_norm = recorded_as("NativeLayerNormBackward0")(functional.layer_norm)
_group_norm = recorded_as("NativeGroupNormBackward0")(functional.group_norm)


def layer_norm(
    input: Any,
    normalized_shape: int | Sequence[int],
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
) -> Any:
    """The input less its mean over its standard deviation along its last dims, then scaled and moved.

    ``weight`` and ``bias`` have the shape ``normalized_shape``, which is that of the last dims; ShapeError otherwise.

    >>> from tracegrad.eager import tensor
    >>> layer_norm(tensor([1.0, 3.0]), (2,))
    tensor([-1.0000,  1.0000])
    """
    axes = _normalised_axes(input, normalized_shape, weight=weight, bias=bias)
    return _layer_norm(input, weight, bias, axes, eps)


def group_norm(input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """Each group of channels (dim 1) less its mean over its standard deviation, then scaled and moved by channel.

    Raises ShapeError where the groups do not divide the channels, ValueError for a single value per group.

    >>> from tracegrad.eager import tensor
    >>> group_norm(tensor([[1.0, 3.0]]), 1)
    tensor([[-1.0000,  1.0000]])
    """
    shape = shape_of(input)
    if len(shape) < 2:
        raise refused(f"Expected at least 2 dimensions for input tensor but received {len(shape)}", "give (batch, channels, …)")
    if num_groups < 1 or shape[1] % num_groups:
        raise refused(
            f"Expected number of channels in input to be divisible by num_groups, but got input of shape {list(shape)} "
            f"and num_groups={num_groups}",
            "choose a number of groups that divides the channels",
        )
    if math.prod(shape) == num_groups:
        sizes = [shape[0] * shape[1] // num_groups, num_groups, *shape[2:]]
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {sizes}")
    for name, value in (("weight", weight), ("bias", bias)):
        if value is not None and tuple(shape_of(value)) != (shape[1],):
            raise refused(
                f"Expected {name} to be a vector of size equal to the number of channels in input, but got {name} of "
                f"shape {list(shape_of(value))} and input of shape {list(shape)}",
                f"give {name} of shape ({shape[1]},)",
            )
    return _group_norm(input, num_groups, weight, bias, eps)


@recorded_as("RsqrtBackward0")
def _inverse_root(x: Any) -> Any:
    return reciprocal(sqrt(x))


def rms_norm(
    input: Any,
    normalized_shape: int | Sequence[int],
    weight: Any = None,
    eps: float | None = None,
) -> Any:
    """The input over the root of the mean of its squares along its last dims, then scaled.

    ``eps`` is added to the mean; None stands for the dtype's machine epsilon. Raises what ``layer_norm`` raises.

    >>> from tracegrad.eager import tensor
    >>> rms_norm(tensor([3.0, 3.0]), (2,))
    tensor([1., 1.])
    """
    axes = _normalised_axes(input, normalized_shape, weight=weight)
    small = float(np.finfo(input.dtype).eps) if eps is None else eps
    out = multiply(input, _inverse_root(add(mean(power(input, 2), axes, keepdim=True), small)))
    return out if weight is None else multiply(out, weight)


# -- by norms and neighbours ------------------------------------------------------------------------------------------


def normalize(input: Any, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: Any = None) -> Any:
    """The input over its ``p``-norm along ``dim``, which is taken for ``eps`` where it is smaller.

    With ``out`` the result is written there.

    >>> from tracegrad.eager import tensor
    >>> normalize(tensor([[3.0, 4.0]]))
    tensor([[0.6000, 0.8000]])
    """
    length = clamp_min(norm(input, p, dim, keepdim=True), eps)
    result = divide(input, broadcast_to(length, shape_of(input)))
    if out is None:
        return result
    out[...] = result
    return out


def local_response_norm(input: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Any:
    """The input over ``(k + alpha · mean of the squares of size neighbouring channels) ** beta``.

    Raises ShapeError for fewer than three dims.

    >>> from tracegrad.eager import tensor
    >>> local_response_norm(tensor([[[2.0], [2.0]]]), 1, alpha=1.0, beta=0.5, k=0.0)
    tensor([[[1.],
             [1.]]])
    """
    shape = shape_of(input)
    if len(shape) < 3:
        raise refused(f"Expected 3D or higher dimensionality input (got {len(shape)} dimensions)", "give (batch, channels, …)")
    if not math.prod(shape):
        return input
    squares = multiply(input, input)
    around = (size // 2, (size - 1) // 2)
    if len(shape) == 3:
        near = squeeze(avg_pool2d(pad(expand_dims(squares, 1), (0, 0, *around)), (size, 1), stride=1), 1)
    else:
        block = reshape(squares, (shape[0], 1, shape[1], shape[2], -1))
        near = squeeze(avg_pool3d(pad(block, (0, 0, 0, 0, *around)), (size, 1, 1), stride=1), 1)
        near = reshape(near, shape)
    return divide(input, power(add(multiply(near, alpha), k), beta))
