"""Gradients that are too large, made smaller in place."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable

from tracegrad.eager.functions.joining import stack
from tracegrad.eager.functions.reductions import norm
from tracegrad.eager.modes import no_grad
from tracegrad.eager.tensor import Tensor, tensor
from tracegrad.ops.maps import minimum

__all__ = ["clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_", "get_total_norm"]


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    given: Iterable[Tensor] = [parameters] if isinstance(parameters, Tensor) else parameters
    return [p.grad for p in given if p.grad is not None]


def get_total_norm(
    tensors: Tensor | Iterable[Tensor],
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The norm of all elements of tensors as one vector.

    Parameters
    ----------
    tensors: one tensor or several.
    norm_type: the p of the norm; ``inf`` for the largest size.
    error_if_nonfinite: raise RuntimeError where the norm is no finite number.
    foreach: taken for PyTorch's sake; nothing here depends on it.

    >>> get_total_norm([Tensor([3.0]), Tensor([4.0])])
    tensor(5.)
    """
    given: list[Tensor] = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    if not given:
        return tensor(0.0)
    p = float(norm_type)
    with no_grad():
        total: Tensor = norm(stack([norm(g, p) for g in given]), p)
    if error_if_nonfinite and not math.isfinite(total.item()):
        raise RuntimeError(
            f"The total norm of order {p} for gradients from `parameters` is non-finite, so it cannot be clipped. To "
            "disable this error and scale the gradients by the non-finite norm anyway, set `error_if_nonfinite=False`"
        )
    return total


def clip_grads_with_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """Scale gradients in place by ``max_norm / total_norm`` where that is below 1; the norm may come from elsewhere."""
    with no_grad():
        # PyTorch's guard against a norm of zero
        factor = minimum(max_norm / (total_norm + 1e-6), 1.0)
        for g in _gradients(parameters):
            g *= factor


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale the gradients of parameters in place so that their norm as one vector is at most ``max_norm``.

    Parameters
    ----------
    parameters: one or several; those without gradient do not count.
    max_norm: the largest norm to allow.
    norm_type: the p of the norm; ``inf`` for the largest size.
    error_if_nonfinite: raise RuntimeError where the norm is no finite number.
    foreach: taken for PyTorch's sake; nothing here depends on it.

    Returns the norm there was before.

    >>> x = Tensor([3.0, 4.0], requires_grad=True)
    >>> (x * x / 2).sum().backward()
    >>> clip_grad_norm_(x, 1.0)
    tensor(5.)
    >>> x.grad
    tensor([0.6000, 0.8000])
    """
    if not isinstance(parameters, Tensor):
        parameters = list(parameters)
        if not parameters:
            warnings.warn("`parameters` is an empty generator, no gradient clipping will occur.", stacklevel=2)
    total = get_total_norm(_gradients(parameters), norm_type, error_if_nonfinite)
    clip_grads_with_norm_(parameters, max_norm, total)
    return total


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None) -> None:
    """Bring every element of the parameters' gradients into -clip_value … clip_value, in place.

    >>> x = Tensor([3.0, -4.0], requires_grad=True)
    >>> (x * x / 2).sum().backward()
    >>> clip_grad_value_(x, 3.5)
    >>> x.grad
    tensor([ 3.0000, -3.5000])
    """
    limit = float(clip_value)
    with no_grad():
        for g in _gradients(parameters):
            g[...] = g.clip(-limit, limit)
