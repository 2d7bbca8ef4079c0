"""The dynamic graph: tensors that compute at once and remember how, with PyTorch's names and semantics."""

from tracegrad.eager import autograd
from tracegrad.eager.modes import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from tracegrad.eager.tensor import Tensor, tensor

__all__ = [
    "Tensor",
    "autograd",
    "enable_grad",
    "is_grad_enabled",
    "no_grad",
    "set_grad_enabled",
    "tensor",
]
