"""What layers share: new parameters, sizes given once for all axes, the text of settings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tracegrad.eager.device import check_device
from tracegrad.eager.dtypes import as_dtype, default_dtype
from tracegrad.eager.nn.parameter import Parameter
from tracegrad.eager.tensor import Tensor

__all__ = ["named", "new_parameter", "new_tensor", "repeated", "settings"]


def new_tensor(shape: Sequence[int], device: Any = None, dtype: Any = None, value: float = 0) -> Tensor:
    """A tensor of one number, by default of the default dtype."""
    check_device(device)
    wanted = default_dtype.get() if dtype is None else as_dtype(dtype)
    return Tensor._wrap(np.full(tuple(shape), value, wanted))


def new_parameter(shape: Sequence[int], device: Any = None, dtype: Any = None) -> Parameter:
    """A parameter that is still to be filled."""
    return Parameter(new_tensor(shape, device, dtype))


def repeated(value: Any, times: int) -> tuple[Any, ...]:
    """A tuple as it is, or one value for each axis.

    >>> repeated(3, 2), repeated([1, 2], 2)
    ((3, 3), (1, 2))
    """
    return tuple(value) if isinstance(value, Iterable) else (value,) * times


def named(module: Any, *names: str) -> str:
    """Attributes as ``name=value``, separated by commas."""
    return ", ".join(f"{name}={getattr(module, name)}" for name in names)


def settings(module: Any, given: str, **usual: Any) -> str:
    """The text ``given``, then those attributes as ``name=value`` that are not as usual."""
    return ", ".join([given, *(f"{n}={getattr(module, n)}" for n, value in usual.items() if getattr(module, n) != value)])
