"""Layers that shift and scale their input to mean 0 and variance 1, over a batch, a sample or a part of it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracegrad.eager.functions.shapes import squeeze, unsqueeze
from tracegrad.eager.nn import functional, init
from tracegrad.eager.nn.modules.making import named, new_parameter, new_tensor
from tracegrad.eager.nn.modules.module import Module

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "GroupNorm",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "LayerNorm",
    "LocalResponseNorm",
    "RMSNorm",
]


class _Normalisation(Module):
    """Weight, bias and running statistics, one number of each per channel."""

    _version = 2
    dimensions: tuple[int, ...]

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        shape = (num_features,)
        self.register_parameter("weight", new_parameter(shape, device, dtype) if affine else None)
        self.register_parameter("bias", new_parameter(shape, device, dtype) if affine and bias else None)
        self.register_buffer("running_mean", new_tensor(shape, device, dtype) if track_running_stats else None)
        self.register_buffer("running_var", new_tensor(shape, device, dtype, 1) if track_running_stats else None)
        self.register_buffer("num_batches_tracked", new_tensor((), device, np.int64) if track_running_stats else None)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forget the batches seen so far."""
        if self.track_running_stats:
            init.zeros_(self.running_mean)
            init.ones_(self.running_var)
            init.zeros_(self.num_batches_tracked)

    def reset_parameters(self) -> None:
        """Start over, with weight 1 and bias 0."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def _check_input_dim(self, x: Any) -> None:
        if len(x.shape) not in self.dimensions:
            wanted = " or ".join(f"{n}D" for n in self.dimensions)
            raise ValueError(f"expected {wanted} input (got {len(x.shape)}D input)")

    def extra_repr(self) -> str:
        """The size and the settings."""
        return (
            f"{self.num_features}, {named(self, 'eps', 'momentum', 'affine')}, bias={self.bias is not None}, "
            f"{named(self, 'track_running_stats')}"
        )

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any], *args: Any, **kwargs: Any
    ) -> None:
        # layouts before the second have no count of batches
        if (local_metadata.get("version") or 0) < 2 and self.track_running_stats:
            state_dict.setdefault(prefix + "num_batches_tracked", self.num_batches_tracked)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args, **kwargs)


class _BatchNorm(_Normalisation):
    """Statistics over the batch in training, running ones in evaluation."""

    def forward(self, input: Any) -> Any:
        """The input (batch, num_features, …) with mean 0 and variance 1 per feature, scaled and moved."""
        self._check_input_dim(input)
        factor: Any = 0.0 if self.momentum is None else self.momentum
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked[...] = self.num_batches_tracked + 1
            if self.momentum is None:  # the mean of all batches
                factor = 1.0 / self.num_batches_tracked.double()
        use = not self.training or self.track_running_stats
        running_mean, running_var = (self.running_mean, self.running_var) if use else (None, None)
        own = self.training or (self.running_mean is None and self.running_var is None)
        return functional.batch_norm(input, running_mean, running_var, self.weight, self.bias, own, factor, self.eps)


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of inputs (batch, features) or (batch, features, length); see BatchNorm2d.

    >>> BatchNorm1d(3)
    BatchNorm1d(3, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
    """

    dimensions = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch normalisation of inputs (batch, features, height, width).

    Parameters
    ----------
    num_features: size of the feature axis.
    eps: added to the variance.
    momentum: weight of a new batch in the running statistics; None gives all batches the same.
    affine: whether results are scaled by a weight and moved by a bias, which start at 1 and 0.
    track_running_stats: whether running statistics are kept for evaluation; without them it uses those of its batch.
    bias: whether there is a bias, if ``affine``.

    ``forward`` raises ValueError for inputs of other ranks.
    """

    dimensions = (4,)


class _InstanceNorm(_Normalisation):
    """Statistics of each sample and channel."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)

    def forward(self, input: Any) -> Any:
        """The input (batch, num_features, …), or without a batch, with mean 0 and variance 1 per sample and feature."""
        self._check_input_dim(input)
        without_batch = self.dimensions[0]
        axis = len(input.shape) - without_batch
        if input.shape[axis] != self.num_features:
            if self.affine:
                raise ValueError(
                    f"expected input's size at dim={axis} to match num_features ({self.num_features}), "
                    f"but got: {input.shape[axis]}."
                )
            warnings.warn(
                f"input's size at dim={axis} does not match num_features. You can silence this warning by not passing in "
                "num_features, which is not used because affine=False",
                stacklevel=2,
            )
        if axis == 0:
            return squeeze(self._normalised(unsqueeze(input, 0)), 0)
        return self._normalised(input)

    def _normalised(self, x: Any) -> Any:
        return functional.instance_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            0.0 if self.momentum is None else self.momentum,
            self.eps,
        )


class InstanceNorm1d(_InstanceNorm):
    """Instance normalisation of inputs (batch, features, length) or (features, length); see BatchNorm2d.

    >>> InstanceNorm1d(3)
    InstanceNorm1d(3, eps=1e-05, momentum=0.1, affine=False, bias=False, track_running_stats=False)
    """

    dimensions = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """Instance normalisation of inputs (batch, features, height, width) or without a batch; see BatchNorm2d."""

    dimensions = (3, 4)


class LayerNorm(Module):
    """Mean 0 and variance 1 over the last axes of each sample, scaled and moved.

    Parameters
    ----------
    normalized_shape: sizes of these axes, or that of the last.
    eps: added to the variance.
    elementwise_affine: whether results are scaled by a weight and moved by a bias of this shape, which start at 1 and 0.
    bias: whether there is a bias.

    >>> LayerNorm([2, 3])
    LayerNorm((2, 3), eps=1e-05, elementwise_affine=True, bias=True)
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.normalized_shape = shape
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self.register_parameter("weight", new_parameter(shape, device, dtype) if elementwise_affine else None)
        self.register_parameter("bias", new_parameter(shape, device, dtype) if elementwise_affine and bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set weight 1 and bias 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Any) -> Any:
        """The input (…, *normalized_shape) in its shape."""
        return functional.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The shape and the settings."""
        return f"{self.normalized_shape}, {named(self, 'eps', 'elementwise_affine')}, bias={self.bias is not None}"


class RMSNorm(Module):
    """Each sample over the root of its mean square along the last axes, scaled.

    Parameters
    ----------
    normalized_shape: sizes of these axes, or that of the last.
    eps: added to the mean square; the distance of 1 to the next number of the dtype if None.
    elementwise_affine: whether results are scaled by a weight of this shape, which starts at 1.

    >>> RMSNorm(4)
    RMSNorm((4,), eps=None, elementwise_affine=True)
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.normalized_shape = shape
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self.register_parameter("weight", new_parameter(shape, device, dtype) if elementwise_affine else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set weight 1."""
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, input: Any) -> Any:
        """The input (…, *normalized_shape) in its shape."""
        return functional.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        """The shape and the settings."""
        return f"{self.normalized_shape}, {named(self, 'eps', 'elementwise_affine')}"


class GroupNorm(Module):
    """Mean 0 and variance 1 over groups of channels of each sample, scaled and moved per channel.

    Parameters
    ----------
    num_groups, num_channels: the channels are dealt to so many groups; ValueError where they cannot be.
    eps: added to the variance.
    affine: whether results are scaled by a weight and moved by a bias, which start at 1 and 0.
    bias: whether there is a bias, if ``affine``.

    >>> GroupNorm(2, 6)
    GroupNorm(2, 6, eps=1e-05, affine=True, bias=True)
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if num_channels % num_groups:
            raise ValueError(f"num_channels ({num_channels}) must be divisible by num_groups ({num_groups})")
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        self.register_parameter("weight", new_parameter((num_channels,), device, dtype) if affine else None)
        self.register_parameter("bias", new_parameter((num_channels,), device, dtype) if affine and bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set weight 1 and bias 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Any) -> Any:
        """The input (batch, num_channels, …) in its shape."""
        return functional.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The sizes and the settings."""
        return f"{self.num_groups}, {self.num_channels}, {named(self, 'eps', 'affine')}, bias={self.bias is not None}"


class LocalResponseNorm(Module):
    """Each element over a power of the mean square of its neighbours along the channel axis.

    Parameters
    ----------
    size: how many neighbours.
    alpha, beta, k: the divisor is (k + alpha · mean square)^beta.

    >>> LocalResponseNorm(2)
    LocalResponseNorm(2, alpha=0.0001, beta=0.75, k=1.0)
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, input: Any) -> Any:
        """The input (batch, channels, …) in its shape."""
        return functional.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        """The settings."""
        return f"{self.size}, {named(self, 'alpha', 'beta', 'k')}"
