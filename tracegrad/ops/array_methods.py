"""The methods of NumPy's arrays that tensors spell otherwise or do not have: of traced values alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from tracegrad.core.aval import shape_of
from tracegrad.ops import arranging, assembly, choosing, indexing, positions, scans, sorting
from tracegrad.ops.strided import row_major
from tracegrad.ops.views import reshape


class Flat:
    """``ndarray.flat``: the elements in row-major order, to be read and written."""

    __slots__ = ("whole",)

    def __init__(self, whole: Any) -> None:
        self.whole = whole

    def __len__(self) -> int:
        return math.prod(shape_of(self.whole))

    def __iter__(self) -> Iterator[Any]:
        return (self[k] for k in range(len(self)))

    def __getitem__(self, key: Any) -> Any:
        return reshape(self.whole.copy(), (-1,))[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        line = reshape(self.whole.copy(), (-1,)).copy()
        line[key] = value
        self.whole[...] = reshape(line, shape_of(self.whole))

    def copy(self) -> Any:
        """The elements as a vector."""
        return reshape(self.whole.copy(), (-1,)).copy()


class NumpyMethods:
    """Methods with NumPy's signatures, each of which is the function of its name."""

    __slots__ = ()

    @property
    def flat(self) -> Flat:
        """``ndarray.flat``."""
        return Flat(self)

    @property
    def itemsize(self) -> int:
        """Bytes of an element."""
        return int(self.dtype.itemsize)  # type: ignore[attr-defined]

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.itemsize * math.prod(shape_of(self))

    @property
    def strides(self) -> tuple[int, ...]:
        """Bytes from an element to the next along each axis: those of an array in row-major order, for ``as_strided``."""
        return row_major(shape_of(self), self.itemsize)

    # -- order --------------------------------------------------------------------------------------------------------

    def argsort(self, axis: int | None = -1, kind: str | None = None, order: None = None, *, stable: bool | None = None) -> Any:
        """``ndarray.argsort``."""
        return sorting.argsort(self, axis, kind, order, stable=stable)

    def argpartition(self, kth: Any, axis: int | None = -1, kind: str = "introselect", order: None = None) -> Any:
        """``ndarray.argpartition``."""
        return choosing.argpartition(self, kth, axis, kind, order)

    def sort(self, axis: int = -1, kind: str | None = None, order: None = None, *, stable: bool | None = None) -> None:
        """``ndarray.sort``: in place."""
        self[...] = sorting.sort(self, axis, kind, order, stable=stable)  # type: ignore[index]

    def partition(self, kth: Any, axis: int = -1, kind: str = "introselect", order: None = None) -> None:
        """``ndarray.partition``: in place."""
        self[...] = choosing.partition(self, kth, axis, kind, order)  # type: ignore[index]

    def searchsorted(self, v: Any, side: str = "left", sorter: Any = None) -> Any:
        """``ndarray.searchsorted``."""
        return sorting.searchsorted(self, v if hasattr(v, "dtype") else np.asarray(v), side, sorter)

    # -- running sums and diagonals -----------------------------------------------------------------------------------

    def cumsum(self, axis: int | None = None, dtype: Any = None, out: None = None) -> Any:
        """``ndarray.cumsum``."""
        return scans.cumsum(self, axis, dtype, out)

    def cumprod(self, axis: int | None = None, dtype: Any = None, out: None = None) -> Any:
        """``ndarray.cumprod``."""
        return scans.cumprod(self, axis, dtype, out)

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
        """``ndarray.diagonal``."""
        return assembly.diagonal(self, offset, axis1, axis2)

    def trace(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
        """``ndarray.trace``."""
        return assembly.trace(self, offset, axis1, axis2)

    # -- elements -----------------------------------------------------------------------------------------------------

    def take(self, indices: Any, axis: int | None = None, out: None = None, mode: str = "raise") -> Any:
        """``ndarray.take``."""
        return indexing.take(self, indices, axis, out, mode)

    def choose(self, choices: Any, out: None = None, mode: str = "raise") -> Any:
        """``ndarray.choose``."""
        return choosing.choose(self, choices, out, mode)

    def compress(self, condition: Any, axis: int | None = None, out: None = None) -> Any:
        """``ndarray.compress``."""
        return positions.compress(condition, self, axis, out)

    def nonzero(self) -> tuple[Any, ...]:
        """``ndarray.nonzero``."""
        return positions.nonzero(self)

    def put(self, indices: Any, values: Any, mode: str = "raise") -> None:
        """``ndarray.put``: in place."""
        arranging.put(self, indices, values, mode)

    def fill(self, value: Any) -> None:
        """``ndarray.fill``: in place."""
        self[...] = value  # type: ignore[index]

    def conjugate(self) -> Any:
        """``ndarray.conjugate``."""
        return self.conj()  # type: ignore[attr-defined]
