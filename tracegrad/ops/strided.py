"""What NumPy's views by strides and its positions of parts of an array show: elements at positions that shapes alone give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracegrad.core.aval import shape_of
from tracegrad.errors import ShapeError
from tracegrad.ops.indexing import take
from tracegrad.ops.reductions import as_operand
from tracegrad.ops.views import reshape


def as_strided(
    x: Any, shape: Any = None, strides: Any = None, subok: bool = False, writeable: bool = True, *, check_bounds: Any = None
) -> Any:
    """``np.lib.stride_tricks.as_strided`` of an array whose strides are those of its shape in row-major order: a copy.

    Raises ShapeError where the strides lead out of the array, or are not whole elements.

    >>> as_strided(np.arange(4.0), (3, 2), (8, 8))
    array([[0., 1.],
           [1., 2.],
           [2., 3.]])
    """
    x = as_operand(x)
    size, count = x.dtype.itemsize, int(np.prod(shape_of(x)))
    wanted = shape_of(x) if shape is None else tuple(int(n) for n in np.atleast_1d(shape))
    steps = row_major(shape_of(x), size) if strides is None else tuple(int(n) for n in np.atleast_1d(strides))
    if len(wanted) != len(steps) or any(step % size for step in steps):
        raise ShapeError(
            f"as_strided to shape {wanted} by strides {steps} of elements of {size} bytes",
            fix="give a stride in bytes for each axis, a multiple of x.itemsize",
        )
    places = np.zeros(wanted, np.int64)
    for axis, (n, step) in enumerate(zip(wanted, steps, strict=True)):
        places += (np.arange(n) * (step // size)).reshape(tuple(n if k == axis else 1 for k in range(len(wanted))))
    if places.size and not 0 <= places.min() <= places.max() < count:
        raise ShapeError(
            f"as_strided to shape {wanted} by strides {steps} leads out of an array of shape {shape_of(x)}",
            fix="give a shape whose last element lies within the array",
        )
    return take(reshape(x, (-1,)), places)


def row_major(shape: Sequence[int], size: int) -> tuple[int, ...]:
    """The strides of an array in row-major order whose elements have so many bytes.

    >>> row_major((2, 3), 8)
    (24, 8)
    """
    return tuple(size * int(np.prod(shape[k + 1 :])) for k in range(len(shape)))


def diag_indices_from(arr: Any) -> tuple[Any, ...]:
    """``np.diag_indices_from``.

    >>> diag_indices_from(np.ones((2, 2)))[0]
    array([0, 1])
    """
    return np.diag_indices_from(np.broadcast_to(0, shape_of(arr)))


def triu_indices_from(arr: Any, k: int = 0) -> tuple[Any, ...]:
    """``np.triu_indices_from``.

    >>> triu_indices_from(np.ones((2, 2)), 1)
    (array([0]), array([1]))
    """
    return np.triu_indices_from(np.broadcast_to(0, shape_of(arr)), k)


def tril_indices_from(arr: Any, k: int = 0) -> tuple[Any, ...]:
    """``np.tril_indices_from``.

    >>> tril_indices_from(np.ones((2, 2)), -1)
    (array([1]), array([0]))
    """
    return np.tril_indices_from(np.broadcast_to(0, shape_of(arr)), k)
