"""Abstract values: what a graph knows of an array before it exists, its shape and dtype."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tracegrad.core.extent import Extent
from tracegrad.errors import DtypeError, ShapeError, TracegradError

Shape = tuple[int, ...]

SUPPORTED: frozenset[np.dtype[Any]] = frozenset(
    np.dtype(name)
    for name in (
        "bool",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "float32",
        "float64",
    )
)
"""Dtypes that kernels hold, and programs of tensors; Numba has no float16 arithmetic on the CPU."""

VALUES: frozenset[np.dtype[Any]] = SUPPORTED | {np.dtype(np.complex64), np.dtype(np.complex128)}
"""Dtypes that tensors, arrays and their graphs hold."""


@dataclass(frozen=True, slots=True)
class Aval:
    """Shape and dtype of an array.

    >>> Aval((2, 3), np.dtype("float32"))
    float32[2,3]
    """

    shape: Shape
    dtype: np.dtype[Any]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the array stored contiguously."""
        return self.size * self.dtype.itemsize

    @property
    def differentiable(self) -> bool:
        """Whether a gradient with respect to this value exists: floating and complex dtypes only."""
        return self.dtype.kind in "fc"

    def __repr__(self) -> str:
        return f"{self.dtype.name}[{','.join(map(str, self.shape))}]"


def aval_of(value: Any) -> Aval:
    """The aval of an array, a NumPy scalar or a Python number.

    Raises DtypeError for dtypes that no graph holds (float16, object, strings).
    """
    array = value if isinstance(value, (np.ndarray, np.generic)) else np.asarray(value)
    return Aval(array.shape, supported(array.dtype, VALUES))


def shape_of(value: Any) -> Shape:
    """The shape of an array, a Tensor, a traced value, a number or a list.

    ``np.shape`` would go through NumPy's dispatch, which rules must not depend on.
    """
    shape: Shape | None = value.shape if type(value) is np.ndarray else getattr(value, "plain_shape", None)
    if shape is None:
        shape = value.shape if hasattr(value, "shape") else np.shape(value)
    return shape


def supported(dtype: np.dtype[Any], among: frozenset[np.dtype[Any]] = SUPPORTED) -> np.dtype[Any]:
    """The dtype itself, in native byte order, or DtypeError with the spelling that works.

    ``among`` is SUPPORTED for programs of tensors, VALUES for all others.
    """
    if dtype in among:
        return dtype
    native = dtype.newbyteorder("=")
    if native not in among:
        if native in VALUES:
            raise DtypeError(
                f"dtype {dtype} is not supported: compiled programs of tensors hold no complex numbers",
                fix="pass x.real and x.imag as tensors of their own, or run the code on the dynamic graph, which takes them",
            )
        raise DtypeError(
            f"dtype {dtype} is not supported",
            fix="cast it first, for example with x.astype(np.float32) or x.astype(np.float64)",
        )
    return native


def broadcast_shapes(*shapes: Shape) -> Shape:
    """The NumPy broadcast of shapes; ShapeError names them when there is none."""
    if shapes and all(shape == shapes[0] for shape in shapes):
        return shapes[0]
    try:
        result = np.broadcast_shapes(*shapes)
    except ValueError:
        listed = " and ".join(str(shape) for shape in shapes)
        raise ShapeError(
            f"shapes {listed} do not broadcast",
            fix="align them from the last axis: each pair of sizes must be equal or one of them 1 (x[:, None] adds an axis)",
        ) from None
    for shape in shapes:
        if any(isinstance(n, Extent) for n in shape):
            lead = len(result) - len(shape)
            own = (None,) * lead + tuple(shape)
            result = tuple(mine if isinstance(mine, Extent) else n for mine, n in zip(own, result, strict=True))
    return result


def one_int(value: Any) -> int | None:
    """An integer as an int; None for sequences and whatever else is no integer.

    Whatever has ``__index__`` counts, so that an int that is traced becomes structure.
    """
    try:
        return value if isinstance(value, Extent) else operator.index(value)
    except TypeError:
        return None


def whole(value: Any, what: str) -> int:
    """An integer; DtypeError, which calls it ``what``, for floats, strings and whatever else is none.

    An int that is traced becomes structure.
    """
    if type(value) is int:
        return value
    try:
        return operator.index(value)
    except TracegradError:
        raise
    except TypeError:
        raise DtypeError(
            f"{what} is {value!r}, of type {type(value).__name__}, not an integer", fix=f"give an int for {what}"
        ) from None


def whole_size(value: Any) -> int:
    """A size of a shape: a non-negative integer, or -1 where it is to be found; one that scales with a size stays so."""
    size = value if isinstance(value, Extent) else whole(value, "a size in the shape")
    if size < -1:
        raise ShapeError(f"a size of {size}: sizes are not negative", fix="give sizes of 0 and more")
    return size


def normalise_axis(axis: int, ndim: int) -> int:
    """A non-negative axis; ShapeError if it is out of range, DtypeError if it is no integer."""
    axis = whole(axis, "axis")
    result = axis + ndim if axis < 0 else axis
    if not 0 <= result < ndim:
        raise ShapeError(
            f"axis {axis} is out of range for an array with {ndim} axes", fix=f"use an axis in [-{ndim}, {ndim - 1}]"
        )
    return result


def normalise_axes(axis: int | tuple[int, ...] | None, ndim: int) -> tuple[int, ...]:
    """Sorted non-negative axes; ``None`` means all of them."""
    if axis is None:
        return tuple(range(ndim))
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    result = tuple(sorted(normalise_axis(a, ndim) for a in axes))
    if len(set(result)) != len(result):
        raise ShapeError(f"axis {axis} names an axis twice", fix="name each axis once")
    return result


_MEANINGS = [
    *("__array_ufunc__", "__array_function__", "__array_wrap__", "__getitem__"),
    *("__add__", "__mul__", "__truediv__", "__pow__", "__matmul__"),
]


def means_otherwise(cls: type) -> bool:
    """Whether a subclass of ``np.ndarray`` computes in other ways than arrays do: masked arrays, matrices, quantities.

    >>> means_otherwise(np.matrix), means_otherwise(np.memmap), means_otherwise(np.ndarray)
    (True, False, False)
    """
    if cls is np.ndarray or not issubclass(cls, np.ndarray):
        return False
    plain = (np.ndarray, np.memmap)
    return any(all(getattr(cls, name) is not getattr(kind, name) for kind in plain) for name in _MEANINGS)
