"""Questions about tensors and dtypes under PyTorch's names."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracegrad.core.source import user_frame
from tracegrad.eager import promote
from tracegrad.eager.dtypes import as_dtype
from tracegrad.eager.tensor import Tensor
from tracegrad.errors import DtypeError

__all__ = [
    "can_cast",
    "detach",
    "detach_",
    "is_complex",
    "is_floating_point",
    "is_inference",
    "is_nonzero",
    "is_signed",
    "is_tensor",
    "promote_types",
    "result_type",
]


def is_tensor(obj: Any) -> bool:
    """Whether an object is a Tensor.

    >>> is_tensor(Tensor([1.0])), is_tensor([1.0])
    (True, False)
    """
    return isinstance(obj, Tensor)


def is_floating_point(input: Tensor) -> bool:
    """Whether a tensor holds real floats.

    >>> is_floating_point(Tensor([1.0])), is_floating_point(Tensor([1]).long())
    (True, False)
    """
    return _tensor("is_floating_point", input).dtype.kind == "f"


def is_complex(input: Tensor) -> bool:
    """Whether a tensor holds complex numbers.

    >>> is_complex(Tensor([1.0]))
    False
    """
    return _tensor("is_complex", input).dtype.kind == "c"


def is_nonzero(input: Tensor) -> bool:
    """Whether the one element of a tensor is not zero; an error for other numbers of elements.

    >>> is_nonzero(Tensor([2.0]))
    True
    """
    return bool(_tensor("is_nonzero", input))


def is_inference(input: Tensor) -> bool:
    """Whether a tensor was made in ``inference_mode``.

    >>> is_inference(Tensor([1.0]))
    False
    """
    return _tensor("is_inference", input).is_inference()


def is_signed(input: Tensor) -> bool:
    """Whether a tensor's dtype has negative numbers.

    >>> is_signed(Tensor([1]).long()), is_signed(Tensor([True]).bool())
    (True, False)
    """
    return _tensor("is_signed", input).dtype.kind in "ifc"


def detach(input: Tensor) -> Tensor:
    """The same storage without history.

    >>> detach(Tensor([1.0], requires_grad=True)).requires_grad
    False
    """
    return _tensor("detach", input).detach()


def detach_(input: Tensor) -> Tensor:
    """The tensor itself, its history taken away.

    >>> detach_(Tensor([1.0], requires_grad=True) * 2).requires_grad
    False
    """
    return _tensor("detach_", input).detach_()


def promote_types(type1: Any, type2: Any) -> np.dtype[Any]:
    """The smallest dtype that tensors of both dtypes can be cast to.

    >>> promote_types(np.int32, np.float32), promote_types(np.uint8, np.int8)
    (dtype('float32'), dtype('int16'))
    """
    return promote.promote_types(as_dtype(type1), as_dtype(type2))


def result_type(tensor1: Any, tensor2: Any) -> np.dtype[Any]:
    """The dtype of a computation with two tensors or numbers.

    >>> result_type(Tensor([1]).long(), 1.0)
    dtype('float32')
    """
    return promote.result_type(*(x.detach().numpy() if isinstance(x, Tensor) else x for x in (tensor1, tensor2)))


def can_cast(from_: Any, to: Any) -> bool:
    """Whether a result of one dtype may be written into a tensor of another.

    >>> can_cast(np.float64, np.float32), can_cast(np.float32, np.int64)
    (True, False)
    """
    order = {"b": 0, "i": 1, "u": 1, "f": 2, "c": 3}
    return order[as_dtype(from_).kind] <= order[as_dtype(to).kind]


def _tensor(function: str, x: Any) -> Tensor:
    if isinstance(x, Tensor):
        return x
    raise DtypeError(
        f"{function}(): argument 'input' (position 1) must be Tensor, not {type(x).__name__}",
        fix=f"{function}(tensor(x))",
        where=user_frame(),
    )
