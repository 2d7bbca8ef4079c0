"""Numbers in a row, and matrices and indices that are known from their sizes, as PyTorch makes them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tracegrad.core.aval import one_int
from tracegrad.core.source import user_frame
from tracegrad.eager.creation import chosen_dtype, made
from tracegrad.eager.device import check_device
from tracegrad.eager.dtypes import as_dtype, default_complex, default_dtype, float32, int64
from tracegrad.eager.scalars import count_of, held, number
from tracegrad.eager.tensor import Tensor
from tracegrad.errors import DtypeError, ShapeError

__all__ = ["arange", "eye", "linspace", "logspace", "tril_indices", "triu_indices"]

Array = np.ndarray[Any, Any]


def arange(
    start: Any = 0, end: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Numbers from ``start`` up to, but without, ``end``; int64 unless one of the arguments is a float.

    Raises ShapeError for a step of zero, or one that leads away from the end.

    >>> arange(3), arange(1, 2, 0.5)
    (tensor([0, 1, 2]), tensor([1.0000, 1.5000]))
    """
    check_device(device)
    if end is None:
        start, end = 0, start
    first, last, stride = (number("arange", n, x) for n, x in (("start", start), ("end", end), ("step", step)))
    if any(isinstance(x, complex) for x in (first, last, stride)):
        raise DtypeError("arange() has no complex numbers", fix="use real ones", where=user_frame())
    floating = any(isinstance(x, float) for x in (first, last, stride))
    d = as_dtype(dtype) if dtype is not None else default_dtype.get() if floating else int64
    if d.kind not in "iuf":
        raise DtypeError(f'"arange_cpu" not implemented for {d}', fix="give an integer or float dtype", where=user_frame())
    if not (math.isfinite(first) and math.isfinite(last)):
        raise ShapeError(f"unsupported range: {first} -> {last}", fix="give finite bounds", where=user_frame())
    if d == int64:
        first, last, stride = int(first), int(last), int(stride)
    if stride == 0:
        raise ShapeError("step must be nonzero", fix="arange(start, end, 1)", where=user_frame())
    if (last - first) * stride < 0:
        raise ShapeError(
            f"upper bound and lower bound inconsistent with step sign: arange({first}, {last}, {stride})",
            fix="count downwards with a negative step, upwards with a positive one",
            where=user_frame(),
        )
    if isinstance(first, int) and isinstance(last, int) and isinstance(stride, int):
        count = -((first - last) // stride)
    else:
        count = math.ceil((last - first) / stride)
    if d.kind == "f":
        return made(_steps(first, stride, count, d), requires_grad)
    # the ends are cut to integers first, also where that changes the numbers
    return made((int(first) + int(stride) * np.arange(count)).astype(d), requires_grad)


def _steps(first: float, stride: float, count: int, dtype: np.dtype[Any]) -> Array:
    """Floats at equal steps, rounded where PyTorch rounds them.

    PyTorch's vector loop rounds each multiple of eight (four in float64) and counts on from there; the remainder of
    the row is counted from the first number. Product and sum are one instruction.
    """
    index = np.arange(count)
    lanes = 32 // dtype.itemsize
    offset = index % lanes
    start, step = np.longdouble(first), np.longdouble(stride)

    def fused(base: Any, k: Array) -> Array:
        return np.asarray((base + step * k.astype(np.longdouble)).astype(np.float64).astype(dtype))

    direct = fused(start, index)
    within = fused(direct[index - offset].astype(np.longdouble), offset)
    return np.where(index < count - count % (2 * lanes), within, direct)


def linspace(start: Any, end: Any, steps: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """``steps`` numbers at equal distances from ``start`` to ``end``, both included.

    Raises ShapeError for a negative number of steps.

    >>> linspace(0, 1, 5)
    tensor([0.0000, 0.2500, 0.5000, 0.7500, 1.0000])
    """
    check_device(device)
    first, last = number("linspace", "start", start), number("linspace", "end", end)
    return made(_row("linspace", first, last, steps, dtype), requires_grad)


def logspace(
    start: Any,
    end: Any,
    steps: Any,
    base: float = 10.0,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """``steps`` powers of ``base``, their exponents at equal distances from ``start`` to ``end``.

    >>> logspace(0, 2, 3)
    tensor([  1.,  10., 100.])
    """
    check_device(device)
    first, last = number("logspace", "start", start), number("logspace", "end", end)
    d = chosen_dtype(dtype, default_complex() if complex in (type(first), type(last)) else None)
    exponents = _row("logspace", first, last, steps, d if d.kind in "fc" else np.dtype(np.float64))
    with np.errstate(all="ignore"):
        powers = np.power(d.type(base) if d.kind in "fc" else float(base), exponents)
    return made(powers.astype(d), requires_grad)


def _row(function: str, first: Any, last: Any, steps: Any, dtype: Any) -> Array:
    """The numbers of a ``linspace``."""
    count = one_int(steps)
    if count is None:
        raise DtypeError(
            f"{function}(): argument 'steps' must be int, not {type(steps).__name__}", fix="steps=100", where=user_frame()
        )
    if count < 0:
        raise ShapeError("number of steps must be non-negative", fix=f"{function}(start, end, 100)", where=user_frame())
    is_complex = isinstance(first, complex) or isinstance(last, complex)
    d = as_dtype(dtype) if dtype is not None else default_complex() if is_complex else default_dtype.get()
    if d.kind == "b":
        raise DtypeError(f'"{function}_cpu" not implemented for {d}', fix="give a number dtype", where=user_frame())
    index = np.arange(count)
    # PyTorch counts the second half from the end, so that both ends are exact
    near, far = index < count // 2, count - 1 - index
    if d.kind == "f":
        low, high = d.type(held(first, d)), d.type(held(last, d))
        # one rounding for product and sum, as in a fused instruction
        wide: Any = np.float64 if d == float32 else np.longdouble
    elif d.kind == "c":
        low, high, wide = d.type(first), d.type(last), np.clongdouble
    else:
        low, high, wide = np.float64(held(first, d)), np.float64(held(last, d)), np.float64
    if count == 1:
        return np.full(1, low, d)
    with np.errstate(all="ignore"):
        step = wide((high - low) / type(low)(max(count - 1, 1)))
        row: Array = np.where(near, wide(low) + step * index.astype(wide), wide(high) - step * far.astype(wide))
        return np.asarray(row.astype(d))


def eye(n: Any, m: Any = None, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones on the diagonal of an n × m matrix of zeros; square where ``m`` is left out.

    >>> eye(2)
    tensor([[1., 0.],
            [0., 1.]])
    """
    check_device(device)
    rows = count_of("eye", "n", n)
    columns = rows if m is None else count_of("eye", "m", m)
    return made(np.eye(rows, columns, dtype=chosen_dtype(dtype)), requires_grad)


def tril_indices(row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Rows and columns of the elements on and below a diagonal, in two rows.

    >>> tril_indices(2, 2)
    tensor([[0, 1, 1],
            [0, 0, 1]])
    """
    check_device(device)
    rows, columns = count_of("tril_indices", "row", row), count_of("tril_indices", "col", col)
    return made(np.stack(np.tril_indices(rows, offset, columns)).astype(chosen_dtype(dtype, int64)))


def triu_indices(row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Rows and columns of the elements on and above a diagonal, in two rows.

    >>> triu_indices(2, 2)
    tensor([[0, 0, 1],
            [0, 1, 1]])
    """
    check_device(device)
    rows, columns = count_of("triu_indices", "row", row), count_of("triu_indices", "col", col)
    return made(np.stack(np.triu_indices(rows, offset, columns)).astype(chosen_dtype(dtype, int64)))
