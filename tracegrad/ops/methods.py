"""The operators and methods that Tensor and Sym share."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from tracegrad.core.aval import normalise_axis
from tracegrad.core.source import called_as
from tracegrad.ops import assembly, complexes, contractions, indexing, maps, reductions, views
from tracegrad.ops.operators import Operators

Axes = int | tuple[int, ...] | None


@called_as("x")
class ArrayMethods(Operators):
    """Operators and methods of an array, spelled with the ops.

    Reductions take NumPy's ``axis`` and ``keepdims`` and PyTorch's ``dim`` and ``keepdim``.
    """

    __slots__ = ()

    if TYPE_CHECKING:

        @property
        def shape(self) -> tuple[int, ...]:
            """Sizes of the axes."""

        @property
        def dtype(self) -> np.dtype[Any]:
            """The element type."""

    # -- as a sequence ------------------------------------------------------------------------------------------------

    def __getitem__(self, key: Any) -> Any:
        return indexing.getitem(self, key)

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of a 0-d array")
        return int(self.shape[0])

    def __iter__(self) -> Iterator[Any]:
        if not self.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[k] for k in range(len(self)))

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    # -- reductions ---------------------------------------------------------------------------------------------------

    def sum(
        self,
        axis: Axes = None,
        dtype: Any = None,
        out: None = None,
        keepdims: bool = False,
        *,
        dim: Axes = None,
        keepdim: bool = False,
        **more: Any,
    ) -> Any:
        """``ndarray.sum``."""
        return reductions.sum(self, _either(axis, dim), dtype, out, keepdims or keepdim, **more)

    def prod(
        self,
        axis: Axes = None,
        dtype: Any = None,
        out: None = None,
        keepdims: bool = False,
        *,
        dim: Axes = None,
        keepdim: bool = False,
        **more: Any,
    ) -> Any:
        """``ndarray.prod``."""
        return reductions.prod(self, _either(axis, dim), dtype, out, keepdims or keepdim, **more)

    def mean(
        self,
        axis: Axes = None,
        dtype: Any = None,
        out: None = None,
        keepdims: bool = False,
        *,
        dim: Axes = None,
        keepdim: bool = False,
        **more: Any,
    ) -> Any:
        """``ndarray.mean``."""
        return reductions.mean(self, _either(axis, dim), dtype, out, keepdims or keepdim, **more)

    def max(
        self,
        axis: Axes = None,
        out: None = None,
        keepdims: bool = False,
        *,
        dim: Axes = None,
        keepdim: bool = False,
        **more: Any,
    ) -> Any:
        """``ndarray.max``."""
        return reductions.max(self, _either(axis, dim), out, keepdims or keepdim, **more)

    def min(
        self,
        axis: Axes = None,
        out: None = None,
        keepdims: bool = False,
        *,
        dim: Axes = None,
        keepdim: bool = False,
        **more: Any,
    ) -> Any:
        """``ndarray.min``."""
        return reductions.min(self, _either(axis, dim), out, keepdims or keepdim, **more)

    def argmax(
        self,
        axis: int | None = None,
        out: None = None,
        *,
        keepdims: bool = False,
        dim: int | None = None,
        keepdim: bool = False,
    ) -> Any:
        """``ndarray.argmax``."""
        return reductions.argmax(self, dim if axis is None else axis, out, keepdims=keepdims or keepdim)

    def argmin(
        self,
        axis: int | None = None,
        out: None = None,
        *,
        keepdims: bool = False,
        dim: int | None = None,
        keepdim: bool = False,
    ) -> Any:
        """``ndarray.argmin``."""
        return reductions.argmin(self, dim if axis is None else axis, out, keepdims=keepdims or keepdim)

    def var(
        self,
        axis: Axes = None,
        dtype: Any = None,
        out: None = None,
        ddof: float = 0,
        keepdims: bool = False,
        *,
        dim: Axes = None,
        keepdim: bool = False,
        correction: float | None = None,
        **more: Any,
    ) -> Any:
        """``ndarray.var``."""
        return reductions.var(self, _either(axis, dim), dtype, out, ddof, keepdims or keepdim, correction=correction, **more)

    def std(
        self,
        axis: Axes = None,
        dtype: Any = None,
        out: None = None,
        ddof: float = 0,
        keepdims: bool = False,
        *,
        dim: Axes = None,
        keepdim: bool = False,
        correction: float | None = None,
        **more: Any,
    ) -> Any:
        """``ndarray.std``."""
        return reductions.std(self, _either(axis, dim), dtype, out, ddof, keepdims or keepdim, correction=correction, **more)

    def any(
        self,
        axis: Axes = None,
        out: None = None,
        keepdims: bool = False,
        *,
        dim: Axes = None,
        keepdim: bool = False,
        **more: Any,
    ) -> Any:
        """``ndarray.any``."""
        return reductions.any(self, _either(axis, dim), out, keepdims or keepdim, **more)

    def all(
        self,
        axis: Axes = None,
        out: None = None,
        keepdims: bool = False,
        *,
        dim: Axes = None,
        keepdim: bool = False,
        **more: Any,
    ) -> Any:
        """``ndarray.all``."""
        return reductions.all(self, _either(axis, dim), out, keepdims or keepdim, **more)

    # -- shape --------------------------------------------------------------------------------------------------------

    @property
    def T(self) -> Any:  # noqa: N802
        """The axes in reverse order."""
        return views.transpose(self)

    @property
    def mT(self) -> Any:  # noqa: N802
        """The last two axes exchanged."""
        return self.swapaxes(-1, -2)

    def reshape(self, *shape: Any, order: str = "C") -> Any:
        """``ndarray.reshape``; the sizes stand alone or in a tuple."""
        return views.reshape(self, _spread(shape), order=order)

    def transpose(self, *axes: Any) -> Any:
        """``ndarray.transpose``; the axes stand alone or in a tuple."""
        order = _spread(axes)
        return views.transpose(self, order or None)

    def swapaxes(self, first: int, second: int) -> Any:
        """``ndarray.swapaxes``."""
        ndim = self.ndim
        order = list(range(ndim))
        a, b = normalise_axis(first, ndim), normalise_axis(second, ndim)
        order[a], order[b] = b, a
        return views.transpose(self, order)

    def ravel(self, order: str = "C") -> Any:
        """``ndarray.ravel``."""
        return views.reshape(self, -1, order=order)

    def flatten(self, order: str = "C") -> Any:
        """``ndarray.flatten``."""
        return views.reshape(self, -1, order=order)

    def squeeze(self, axis: Axes = None) -> Any:
        """``ndarray.squeeze``."""
        return views.squeeze(self, axis)

    def repeat(self, repeats: int, axis: int | None = None) -> Any:
        """``ndarray.repeat`` with one number of repeats."""
        return assembly.repeat(self, repeats, axis)

    # -- elements -----------------------------------------------------------------------------------------------------

    def astype(self, dtype: Any, copy: bool = True) -> Any:
        """``ndarray.astype``."""
        return maps.cast(self, dtype=np.dtype(dtype)) if np.dtype(dtype) != self.dtype else self

    def copy(self) -> Any:
        """The value itself: values never change."""
        return self

    def clip(self, min: Any = None, max: Any = None) -> Any:  # noqa: A002
        """``ndarray.clip``."""
        return maps.clip(self, min, max)

    def round(self, decimals: int = 0) -> Any:
        """``ndarray.round``."""
        return assembly.around(self, decimals)

    def dot(self, other: Any) -> Any:
        """``ndarray.dot``."""
        return contractions.dot(self, other)

    def take(self, indices: Any, axis: int | None = None) -> Any:
        """``ndarray.take``."""
        return indexing.take(self, indices, axis)

    def conj(self) -> Any:
        """The complex conjugate; a real value itself."""
        return complexes.conj(self) if complexes.is_complex(self) else self


def _either(axis: Axes, dim: Axes) -> Axes:
    """NumPy's spelling of the axes, or PyTorch's where that was used."""
    return dim if axis is None else axis


def _spread(values: tuple[Any, ...]) -> tuple[int, ...]:
    """Sizes or axes given alone or as one tuple; None stands for none given."""
    if len(values) == 1 and not isinstance(values[0], int):
        return () if values[0] is None else tuple(values[0])
    return values
