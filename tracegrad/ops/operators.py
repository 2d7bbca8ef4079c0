"""The operators of everything that stands for arrays in a program, spelled with the ops."""

from __future__ import annotations

from typing import Any

from tracegrad.ops import comparisons, contractions, maps


class Operators:
    """Python's operators. Comparison is by element, so the hash is by identity."""

    __slots__ = ()
    # NumPy's binary operators defer to ours instead of looping over objects
    __array_priority__ = 1000.0

    # -- arithmetic ---------------------------------------------------------------------------------------------------

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

    def __floordiv__(self, other: Any) -> Any:
        return maps.floor_divide(self, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return maps.floor_divide(other, self)

    def __mod__(self, other: Any) -> Any:
        return maps.remainder(self, other)

    def __rmod__(self, other: Any) -> Any:
        return maps.remainder(other, self)

    def __divmod__(self, other: Any) -> Any:
        return maps.floor_divide(self, other), maps.remainder(self, other)

    def __rdivmod__(self, other: Any) -> Any:
        return maps.floor_divide(other, self), maps.remainder(other, self)

    def __pow__(self, other: Any) -> Any:
        return maps.power(self, other)

    def __rpow__(self, other: Any) -> Any:
        return maps.power(other, self)

    def __matmul__(self, other: Any) -> Any:
        return contractions.matmul(self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return contractions.matmul(other, self)

    def __neg__(self) -> Any:
        return maps.negative(self)

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Any:
        return maps.absolute(self)

    # -- comparison and bits ------------------------------------------------------------------------------------------

    def __eq__(self, other: object) -> Any:
        return comparisons.equal(self, other)

    def __ne__(self, other: object) -> Any:
        return comparisons.not_equal(self, other)

    def __lt__(self, other: Any) -> Any:
        return comparisons.less(self, other)

    def __le__(self, other: Any) -> Any:
        return comparisons.less_equal(self, other)

    def __gt__(self, other: Any) -> Any:
        return comparisons.greater(self, other)

    def __ge__(self, other: Any) -> Any:
        return comparisons.greater_equal(self, other)

    def __hash__(self) -> int:
        return id(self)

    def __and__(self, other: Any) -> Any:
        return comparisons.bitwise_and(self, other)

    def __rand__(self, other: Any) -> Any:
        return comparisons.bitwise_and(other, self)

    def __or__(self, other: Any) -> Any:
        return comparisons.bitwise_or(self, other)

    def __ror__(self, other: Any) -> Any:
        return comparisons.bitwise_or(other, self)

    def __xor__(self, other: Any) -> Any:
        return comparisons.bitwise_xor(self, other)

    def __rxor__(self, other: Any) -> Any:
        return comparisons.bitwise_xor(other, self)

    def __invert__(self) -> Any:
        return comparisons.invert(self)
