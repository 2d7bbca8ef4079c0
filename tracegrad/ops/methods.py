"""The operators and methods that Tensor and Sym share."""

from __future__ import annotations

from typing import Any

from tracegrad.ops import maps


class ArrayMethods:
    """Operators and methods of an array, spelled with the ops."""

    __slots__ = ()
    # NumPy's binary operators defer to ours instead of looping over objects
    __array_priority__ = 1000.0

    def __add__(self, other: Any) -> Any:
        return maps.add(self, other)

    def __radd__(self, other: Any) -> Any:
        return maps.add(other, self)

    def __sub__(self, other: Any) -> Any:
        return maps.subtract(self, other)

    def __rsub__(self, other: Any) -> Any:
        return maps.subtract(other, self)

    def __mul__(self, other: Any) -> Any:
        return maps.multiply(self, other)

    def __rmul__(self, other: Any) -> Any:
        return maps.multiply(other, self)

    def __truediv__(self, other: Any) -> Any:
        return maps.divide(self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return maps.divide(other, self)

    def __neg__(self) -> Any:
        return maps.negative(self)
