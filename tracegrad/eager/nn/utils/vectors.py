"""The parameters of a module as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

from tracegrad.eager.functions.joining import cat
from tracegrad.eager.functions.shapes import numel, reshape
from tracegrad.eager.nn.modules.registry import type_name
from tracegrad.eager.tensor import Tensor

__all__ = ["parameters_to_vector", "vector_to_parameters"]


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All elements of parameters in one vector, through which gradients flow.

    >>> parameters_to_vector([Tensor([[1.0, 2.0]]), Tensor([3.0])])
    tensor([1., 2., 3.])
    """
    joined: Tensor = cat([reshape(p, -1) for p in parameters])
    return joined


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Give parameters the elements of a vector, in order; they share its storage from then on.

    Raises TypeError for a vector that is no Tensor.

    >>> p = Tensor([0.0, 0.0])
    >>> vector_to_parameters(Tensor([1.0, 2.0]), [p])
    >>> p
    tensor([1., 2.])
    """
    if not isinstance(vec, Tensor):
        raise TypeError(f"expected torch.Tensor, but got: {type_name(vec)}")
    at = 0
    for p in parameters:
        size = numel(p)
        p.data = reshape(vec.data[at : at + size], tuple(p.shape))
        at += size
