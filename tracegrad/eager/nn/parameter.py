"""Tensors that a module counts as its own: parameters, which are trained, and buffers, which are only kept."""

from __future__ import annotations

from functools import partial
from typing import Any, Self

from tracegrad.eager.tensor import Tensor

__all__ = ["Buffer", "Parameter"]


class Parameter(Tensor):
    """A tensor that becomes a parameter of the module it is assigned to.

    Parameters
    ----------
    data: the tensor whose storage it shares; an empty one if None.
    requires_grad: whether it is trained.

    Operations on it give plain tensors. Raises TypeError for data that is no Tensor.

    >>> Parameter(Tensor([1.0, 2.0]))
    Parameter containing:
    tensor([1., 2.], requires_grad=True)
    """

    # no __slots__: users hang notes of their own on parameters, as they do in PyTorch

    def __init__(self, data: Tensor | None = None, requires_grad: bool = True) -> None:
        if data is None:
            data = Tensor([])
        _take_storage(self, data, "Parameter")
        self.requires_grad_(requires_grad)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # as in PyTorch, the gradient stays behind
        copied = type(self)(self.data.clone(), self.requires_grad)
        memo[id(self)] = copied
        return copied

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()


class Buffer(Tensor):
    """A tensor that becomes a buffer of the module it is assigned to.

    Parameters
    ----------
    data: the tensor whose storage it shares; an empty one if None.
    persistent: whether it is part of the module's ``state_dict``.

    Raises TypeError for data that is no Tensor.

    >>> Buffer(Tensor([1.0]), persistent=False)
    tensor([1.])
    """

    def __init__(self, data: Tensor | None = None, *, persistent: bool = True) -> None:
        if data is None:
            data = Tensor([])
        _take_storage(self, data, "Buffer")
        if data.requires_grad:
            self.requires_grad_()
        self.persistent = persistent

    def __reduce_ex__(self, protocol: Any) -> Any:
        return partial(type(self), persistent=self.persistent), (self.detach(),)


def _take_storage(new: Tensor, data: Any, name: str) -> None:
    """Make a tensor out of another's storage, without its history."""
    if not isinstance(data, Tensor):
        raise TypeError(f"{name}(): argument 'data' must be Tensor, not {type(data).__name__}; write {name}(tensor(data))")
    # not detach(): inside a trace that gives a traced tensor
    new._array = data._array
    new._source = None
    new._counter = data._own_counter()
