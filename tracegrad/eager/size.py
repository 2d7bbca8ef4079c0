"""The shape of a tensor: a tuple that prints as PyTorch's and knows how many elements it stands for."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, SupportsIndex

from tracegrad.core.aval import one_int
from tracegrad.core.source import user_frame
from tracegrad.errors import DtypeError

__all__ = ["Size"]


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
