"""Layers whose result is a sum of products with their weights."""

from __future__ import annotations

import math
from typing import Any

from tracegrad.eager.nn import functional, init
from tracegrad.eager.nn.modules.making import named, new_parameter
from tracegrad.eager.nn.modules.module import Module

__all__ = ["Bilinear", "Identity", "Linear"]


class Identity(Module):
    """Its result is its input; arguments of the constructor are ignored.

    >>> Identity(54)
    Identity()
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Any) -> Any:
        """The input."""
        return input


class Linear(Module):
    """``x @ weight.T + bias``.

    Parameters
    ----------
    in_features, out_features: sizes of the last axis of input and result.
    bias: whether there is a bias.

    The weight has shape (out_features, in_features); it and the bias start evenly from ±1/√in_features.

    >>> Linear(3, 2)
    Linear(in_features=3, out_features=2, bias=True)
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.weight = new_parameter((out_features, in_features), device, dtype)
        self.register_parameter("bias", new_parameter((out_features,), device, dtype) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features) if self.in_features > 0 else 0
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Any) -> Any:
        """The input (…, in_features) as (…, out_features)."""
        return functional.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        """The sizes."""
        return f"{named(self, 'in_features', 'out_features')}, bias={self.bias is not None}"


class Bilinear(Module):
    """``x @ weight[k] @ y + bias[k]`` for each output k.

    Parameters
    ----------
    in1_features, in2_features, out_features: sizes of the last axes of both inputs and the result.
    bias: whether there is a bias.

    >>> Bilinear(3, 4, 2)
    Bilinear(in1_features=3, in2_features=4, out_features=2, bias=True)
    """

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if in1_features <= 0:
            raise ValueError(f"in1_features must be > 0, but got {in1_features}")
        self.in1_features = in1_features
        self.in2_features = in2_features
        self.out_features = out_features
        self.weight = new_parameter((out_features, in1_features, in2_features), device, dtype)
        self.register_parameter("bias", new_parameter((out_features,), device, dtype) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew."""
        bound = 1 / math.sqrt(self.in1_features)
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input1: Any, input2: Any) -> Any:
        """The inputs (…, in1_features) and (…, in2_features) as (…, out_features)."""
        return functional.bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        """The sizes."""
        return f"{named(self, 'in1_features', 'in2_features', 'out_features')}, bias={self.bias is not None}"
