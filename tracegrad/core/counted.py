"""Numbers that count the elements of an axis, where that axis happens to be short.

A mean of one element divides by 1, and one of two, whose slope is twice each, multiplies by 2/2. Were these numbers like any
other, such means would be rewritten into programs of their own. A ``Counted`` number is a NumPy scalar that also knows what
would stand in its place if the axis were longer: arithmetic keeps both, a pattern fits it only where it fits both, and
kernels take it from their table. What loses the second number is still right, as it has the first.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from tracegrad.core.extent import Extent


class Counted:
    """What all counted numbers are: ``plain`` is the number itself, ``seen`` what it would be along a longer axis."""

    plain: Any
    seen: Any

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__" or not all(isinstance(x, (int, float, np.generic, np.ndarray)) for x in inputs):
            return NotImplemented
        plain = ufunc(*[x.plain if isinstance(x, Counted) else x for x in inputs], **kwargs)
        if kwargs or not isinstance(plain, np.generic):
            return plain
        with np.errstate(all="ignore"):
            return counted(plain, ufunc(*[x.seen if isinstance(x, Counted) else x for x in inputs]))


_BINARY = (
    *("__add__", "__radd__", "__sub__", "__rsub__", "__mul__", "__rmul__", "__truediv__", "__rtruediv__"),
    *("__floordiv__", "__rfloordiv__", "__mod__", "__rmod__", "__pow__", "__rpow__"),
)


def _scalar(kind: type[Any]) -> type[Any]:
    def defer(name: str) -> Any:
        act = getattr(NDArrayOperatorsMixin, name)

        def operator(self: Any, other: Any) -> Any:
            # traced values and patterns take numbers in their own way
            return act(self, other) if isinstance(other, (int, float, np.generic)) else NotImplemented

        return operator

    signs = {name: getattr(NDArrayOperatorsMixin, name) for name in ("__neg__", "__abs__", "__pos__")}
    # NumPy takes the dtype of such a class from the one behind it in its order of bases
    return type(f"Counted{kind.__name__}", (kind, Counted), {**{name: defer(name) for name in _BINARY}, **signs})


_CLASSES = {np.dtype(kind): _scalar(kind) for kind in (np.float64, np.float32, np.int64, np.int32)}


def counted(plain: Any, seen: Any) -> Any:
    """The NumPy scalar ``plain``, which would be ``seen`` along a longer axis; as it is where that is no other number.

    >>> n = counted(np.float64(1.0), np.float64(7.0))
    >>> 2.0 / n, (2.0 / n).seen == 2 / 7, n == 1
    (np.float64(2.0), np.True_, np.True_)
    """
    kind = _CLASSES.get(plain.dtype)
    if kind is None or plain.tobytes() == seen.tobytes():
        return plain
    made = kind(plain)
    made.plain, made.seen = plain, seen
    return made


def both(value: Any) -> tuple[Any, ...]:
    """A number alone, or the two of a counted one."""
    return (value.plain, value.seen) if isinstance(value, Counted) else (value,)


def seen_of(value: Any) -> Any:
    """What a number would be along a longer axis: itself where it counts nothing."""
    return value.seen if isinstance(value, (Counted, Extent)) else value
