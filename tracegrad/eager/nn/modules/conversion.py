"""Where and in which dtype a module keeps its tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np

from tracegrad.eager.device import check_device
from tracegrad.eager.dtypes import as_dtype
from tracegrad.eager.modes import no_grad
from tracegrad.eager.nn.modules.registry import Registry
from tracegrad.eager.tensor import Tensor

__all__ = ["Convertible"]


class Convertible(Registry):
    """The part of Module that converts its parameters and buffers, which keep their identity."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Replace the values of all tensors, gradients included, by what a function makes of them."""
        for module in self.modules() if recurse else [self]:
            with no_grad():
                for p in module._parameters.values():
                    if p is not None:
                        p.data = fn(p.data)
                        grad = p.grad
                        if grad is not None:
                            p.grad = None
                            p.grad = fn(grad)
                for name, buffer in module._buffers.items():
                    if buffer is not None:
                        module._buffers[name] = fn(buffer)
        return self

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Convert the floating-point parameters and buffers to a dtype, in place.

        Parameters
        ----------
        args, kwargs: ``to(dtype)``, ``to(device)``, ``to(device, dtype)`` or ``to(tensor)``; the device is the CPU.

        Returns the module. Raises TypeError for a dtype that is not floating.
        """
        dtype = _wanted_dtype(args, kwargs)
        if dtype is None:
            return self
        if dtype.kind not in "fc":
            raise TypeError(
                f"nn.Module.to only accepts floating point or complex dtypes, but got desired dtype=torch.{dtype.name}"
            )
        return self._apply(lambda x: x.astype(dtype) if x.dtype.kind in "fc" and x.dtype != dtype else x)

    def type(self, dst_type: Any) -> Self:
        """Convert all parameters and buffers, integers too, to a dtype in place."""
        dtype = as_dtype(dst_type)
        return self._apply(lambda x: x.astype(dtype))

    def float(self) -> Self:
        """Convert the floating-point parameters and buffers to float32 in place."""
        return self.to(np.dtype(np.float32))

    def double(self) -> Self:
        """Convert the floating-point parameters and buffers to float64 in place."""
        return self.to(np.dtype(np.float64))

    def cpu(self) -> Self:
        """The module itself: its tensors are in the memory of the CPU already."""
        return self

    def cuda(self, device: Any = None) -> Self:
        """Refused: tensors live in the memory of the CPU."""
        return self.to("cuda" if device is None else f"cuda:{device}")


def _wanted_dtype(args: tuple[Any, ...], kwargs: dict[str, Any]) -> np.dtype[Any] | None:
    """The dtype among the arguments of ``to``, None if they name only a device."""
    unknown = set(kwargs) - {"device", "dtype", "tensor", "non_blocking", "memory_format"}
    if unknown:
        raise TypeError(f"to() received an invalid keyword argument: {sorted(unknown)[0]}")
    wanted = None
    for value in (*args, *(kwargs[name] for name in ("device", "dtype", "tensor") if name in kwargs)):
        if isinstance(value, Tensor):
            wanted = value.dtype
        elif isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, (np.generic, float, int))):
            wanted = as_dtype(value)
        elif value is not None and not isinstance(value, bool):
            check_device(value)
    return wanted
