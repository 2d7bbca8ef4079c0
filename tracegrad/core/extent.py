"""An axis of one element that the compiler treats as an axis of many.

Kernels serve all sizes of an axis, but what they look like hangs on which axes have one element: those are repeated along
others, and need no loop. A batch of one is no such axis. Its extent is an ``Extent``: where the compiler compares it, it is
2; where a size is needed, for a table, a buffer or a loop of Python, it is 1. So a batch of one runs the program of all others.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

SEEN = 2
"""The size that an axis of one element is compared as: the smallest that kernels make no exception for."""


def size_of(number: Any) -> int:
    """A size as an int, an ``Extent`` as it is; raises what ``int`` raises.

    >>> size_of(3.0), size_of(Extent.of(1, 2)).seen
    (3, 2)
    """
    return number if isinstance(number, Extent) else int(number)


def _seen(value: Any) -> Any:
    return value.seen if isinstance(value, Extent) else value


def _computed(act: Callable[[Any, Any], Any], first: Any, second: Any) -> Any:
    if not (isinstance(first, int) and isinstance(second, int)):
        # nanoseconds per element, say, are multiplied by the number of elements there are
        return act(*(int(x) if isinstance(x, int) else x for x in (first, second)))
    try:
        value = act(int(first), int(second))
    except ZeroDivisionError:
        value = 0  # a place in an empty array, which only has elements where there are two
    return Extent.of(value, act(_seen(first), _seen(second)))


def _operators(act: Callable[[Any, Any], Any]) -> tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]:
    return lambda self, other: _computed(act, self, other), lambda self, other: _computed(act, other, self)


def _comparison(act: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda self, other: act(_seen(self), _seen(other))


class Extent(int):
    """An int that is compared by another, which ``seen`` holds, and that keeps both through arithmetic.

    It equals no plain int: what is remembered for one of them is never used for the other.

    >>> n = Extent.of(1, 2)
    >>> n, n * 20, (n * 20).seen, n == 1, n > 1, n - n
    (1, 20, 40, False, True, 0)
    """

    seen: int

    @staticmethod
    def of(value: int, seen: int) -> Any:
        """The int that is ``value`` and is compared as ``seen``; a plain one where they are the same."""
        if value == seen:
            return int(value)
        made = Extent(value)
        made.seen = seen
        return made

    __add__, __radd__ = _operators(operator.add)
    __sub__, __rsub__ = _operators(operator.sub)
    __mul__, __rmul__ = _operators(operator.mul)
    __floordiv__, __rfloordiv__ = _operators(operator.floordiv)
    __mod__, __rmod__ = _operators(operator.mod)
    __lt__, __le__ = _comparison(operator.lt), _comparison(operator.le)
    __gt__, __ge__ = _comparison(operator.gt), _comparison(operator.ge)

    def __neg__(self) -> Any:
        return Extent.of(-int(self), -self.seen)

    def __abs__(self) -> Any:
        return Extent.of(abs(int(self)), abs(self.seen))

    def __bool__(self) -> bool:
        return self.seen != 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Extent) and int(self) == int(other) and self.seen == other.seen

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((Extent, int(self), self.seen))

    def __reduce__(self) -> tuple[Any, ...]:
        return Extent.of, (int(self), self.seen)
