"""The shape of a tensor: a tuple that prints as PyTorch's and knows how many elements it stands for."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, SupportsIndex

from tracegrad.core.aval import one_int
from tracegrad.core.source import user_frame
from tracegrad.errors import DtypeError, ShapeError

__all__ = ["Size", "size_of"]


class Size(tuple[int, ...]):
    """Sizes of the axes; equal to the plain tuple, and with its hash.

    Slices, sums and multiples of sizes are sizes. Raises DtypeError for entries that are no integers.

    >>> s = Size([2, 3])
    >>> s, s.numel(), s[1:], s + (4,)
    (torch.Size([2, 3]), 6, torch.Size([3]), torch.Size([2, 3, 4]))
    """

    __slots__ = ()

    def __new__(cls, sizes: Iterable[Any] = ()) -> Size:
        """Sizes from integers, NumPy integers or integer tensors."""
        entries = []
        for k, size in enumerate(sizes):
            n = one_int(size)
            if n is None:
                raise DtypeError(
                    f"torch.Size() takes an iterable of 'int' (item {k} is '{type(size).__name__}')",
                    fix="give integers: torch.Size([2, 3])",
                    where=user_frame(),
                )
            entries.append(n)
        return tuple.__new__(cls, entries)

    def numel(self) -> int:
        """Number of elements: the product of the sizes.

        >>> Size(()).numel()
        1
        """
        return math.prod(self)

    def __repr__(self) -> str:
        return f"torch.Size({list(self)})"

    def __getitem__(self, key: Any) -> Any:
        found = tuple.__getitem__(self, key)
        return tuple.__new__(Size, found) if isinstance(key, slice) else found

    def __add__(self, other: Any) -> Any:
        return tuple.__new__(Size, (*self, *other)) if isinstance(other, tuple) else NotImplemented

    def __radd__(self, other: Any) -> Any:
        return tuple.__new__(Size, (*other, *self)) if isinstance(other, tuple) else NotImplemented

    def __mul__(self, count: SupportsIndex) -> Size:
        return tuple.__new__(Size, tuple.__mul__(self, count))

    __rmul__ = __mul__

    def __reduce__(self) -> tuple[type[Size], tuple[tuple[int, ...]]]:
        return Size, (tuple(self),)


def size_of(function: str, shape: tuple[Any, ...], size: Any = None) -> Size:
    """The size from a function's arguments: integers, one sequence of them, or the keyword ``size``.

    Raises DtypeError for what is no integer, ShapeError for negative sizes.

    >>> size_of("zeros", (2, 3)) == size_of("zeros", ((2, 3),)) == size_of("zeros", (), [2, 3])
    True
    """
    given: Any = shape
    if size is not None:
        given = size if isinstance(size, (tuple, list)) else (size,)
    elif not shape:
        text = f'{function}() missing 1 required positional arguments: "size"'
        raise DtypeError(text, fix=f"{function}(2, 3), or {function}(()) for a 0-d tensor", where=user_frame())
    elif isinstance(shape[0], (tuple, list)):
        if len(shape) > 1:
            text = f"{function}() takes one tuple of sizes, or integers, not both"
            raise DtypeError(text, fix=f"{function}((2, 3)) or {function}(2, 3)", where=user_frame())
        given = shape[0]
    found = []
    for k, entry in enumerate(given):
        n = None if isinstance(entry, bool) else one_int(entry)
        if n is None:
            text = f"{function}(): argument 'size' must be tuple of ints, but found element of type {type(entry).__name__}"
            raise DtypeError(f"{text} at pos {k}", fix=f"{function}(2, 3)", where=user_frame())
        if n < 0:
            raise ShapeError(
                f"Trying to create tensor with negative dimension {n}: {list(given)}",
                fix="give sizes of 0 and more",
                where=user_frame(),
            )
        found.append(n)
    return tuple.__new__(Size, found)
