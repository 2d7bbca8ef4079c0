"""PyTorch's old constructors, one for each dtype: ``LongTensor([1, 2])``, ``FloatTensor(2, 3)``."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from tracegrad.core.aval import one_int
from tracegrad.eager import dtypes
from tracegrad.eager.size import size_of
from tracegrad.eager.tensor import Tensor

__all__ = [
    "BoolTensor",
    "ByteTensor",
    "CharTensor",
    "DoubleTensor",
    "FloatTensor",
    "IntTensor",
    "LongTensor",
    "ShortTensor",
]


class _OfDtype(type):
    """Types whose instances are the tensors of one dtype, whoever made them."""

    dtype: np.dtype[Any]

    def __call__(cls, *args: Any) -> Tensor:
        """A tensor with a copy of the data, or of whatever its memory holds if sizes are given."""
        if not args:
            return Tensor._wrap(np.empty((0,), cls.dtype))
        sizes = isinstance(args[0], tuple) and type(args[0]) is not tuple
        if sizes or all(one_int(n) is not None and not isinstance(n, Tensor) for n in args):
            return Tensor._wrap(np.empty(size_of(cls.__name__, args), cls.dtype))
        if len(args) > 1:
            raise TypeError(f"{cls.__name__}() takes sizes or one sequence of numbers, got {len(args)} arguments")
        return Tensor(args[0], dtype=cls.dtype)

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Tensor) and instance.dtype == cls.dtype


class FloatTensor(metaclass=_OfDtype):
    """A float32 tensor.

    >>> FloatTensor([1, 2]), isinstance(FloatTensor(2, 3), FloatTensor)
    (tensor([1., 2.]), True)
    """

    dtype: ClassVar[np.dtype[Any]] = dtypes.float32


class DoubleTensor(metaclass=_OfDtype):
    """A float64 tensor.

    >>> DoubleTensor([1, 2])
    tensor([1., 2.], dtype=torch.float64)
    """

    dtype: ClassVar[np.dtype[Any]] = dtypes.float64


class LongTensor(metaclass=_OfDtype):
    """An int64 tensor.

    >>> LongTensor([1, 2])
    tensor([1, 2])
    """

    dtype: ClassVar[np.dtype[Any]] = dtypes.int64


class IntTensor(metaclass=_OfDtype):
    """An int32 tensor.

    >>> IntTensor([1, 2])
    tensor([1, 2], dtype=torch.int32)
    """

    dtype: ClassVar[np.dtype[Any]] = dtypes.int32


class ShortTensor(metaclass=_OfDtype):
    """An int16 tensor.

    >>> ShortTensor([1, 2])
    tensor([1, 2], dtype=torch.int16)
    """

    dtype: ClassVar[np.dtype[Any]] = dtypes.int16


class CharTensor(metaclass=_OfDtype):
    """An int8 tensor.

    >>> CharTensor([1, 2])
    tensor([1, 2], dtype=torch.int8)
    """

    dtype: ClassVar[np.dtype[Any]] = dtypes.int8


class ByteTensor(metaclass=_OfDtype):
    """A uint8 tensor.

    >>> ByteTensor([1, 2])
    tensor([1, 2], dtype=torch.uint8)
    """

    dtype: ClassVar[np.dtype[Any]] = dtypes.uint8


class BoolTensor(metaclass=_OfDtype):
    """A tensor of truth values.

    >>> BoolTensor([True, False])
    tensor([ True, False])
    """

    dtype: ClassVar[np.dtype[Any]] = dtypes.bool
