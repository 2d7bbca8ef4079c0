"""Matrix products.

The raw op multiplies stacks of matrices of equal batch shape; NumPy's other pairings of ranks, and dot, inner, outer
and tensordot, are views around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracegrad.core.aval import Aval, Shape, broadcast_shapes, normalise_axis, one_int, shape_of
from tracegrad.core.op import Mapped, Op, Sample, Values, bilinear
from tracegrad.errors import ShapeError
from tracegrad.ops.complexes import conj, is_complex
from tracegrad.ops.maps import multiply
from tracegrad.ops.reductions import as_operand
from tracegrad.ops.views import broadcast_to, permute, reshape, transpose


def _check_inner(name: str, x: Shape, y: Shape, x_axis: int, y_axis: int) -> None:
    if x[x_axis] != y[y_axis]:
        raise ShapeError(
            f"{name} of shapes {x} and {y}: axis {x_axis % len(x)} of the first has {x[x_axis]} elements, "
            f"axis {y_axis % len(y)} of the second has {y[y_axis]}",
            fix="make the summed axes equal, for example by transposing an operand (x.T)",
        )


def _matmul_infer(x: Aval, y: Aval) -> Aval:
    if x.ndim < 2 or x.shape[:-2] != y.shape[:-2]:
        raise ShapeError(
            f"the raw product takes stacks of matrices with equal batch shapes, not {x.shape} and {y.shape}",
            fix="use the function matmul, which broadcasts",
        )
    _check_inner("matmul", x.shape, y.shape, -1, -2)
    return Aval((*x.shape[:-1], y.shape[-1]), x.dtype)


def _swap(x: Any) -> Any:
    """Transpose each matrix of a stack."""
    ndim = len(shape_of(x))
    return permute(x, axes=(*range(ndim - 2), ndim - 1, ndim - 2))


def _matmul_each(size: int, mapped: tuple[bool, ...], x: Any, y: Any) -> Any:
    x_shape, y_shape = shape_of(x), shape_of(y)
    if not mapped[1] and len(y_shape) == 2:
        # one product with a matrix that all share instead of many: its gradient then sums over no copies
        return reshape(matmul_batched(reshape(x, (size * x_shape[1], x_shape[2])), y), (size, x_shape[1], y_shape[1]))
    if not mapped[0] and len(x_shape) == 2:
        columns = reshape(_swap(y), (size * y_shape[2], y_shape[1]))
        return _swap(reshape(matmul_batched(columns, _swap(x)), (size, y_shape[2], x_shape[0])))
    left = x if mapped[0] else broadcast_to(x, (size, *x_shape))
    return matmul_batched(left, y if mapped[1] else broadcast_to(y, (size, *y_shape)))


matmul_batched: Op = bilinear(
    "matmul",
    infer=_matmul_infer,
    eager=np.matmul,
    transposes=(
        lambda g, out, x, y: matmul_batched(g, _swap(y)),
        lambda g, out, x, y: matmul_batched(_swap(x), g),
    ),
    batch=Mapped(_matmul_each),
    lower="gemm",
    torch=("bmm", "BmmBackward0"),
    doc="Products of stacked matrices: ``out[..., i, j] = Σ_k x[..., i, k] · y[..., k, j]``.",
    samples=(
        Sample((Values((3, 4)), Values((4, 2)))),
        Sample((Values((1, 4)), Values((4, 1)))),
        Sample((Values((2, 3, 4)), Values((2, 4, 2)))),
        Sample((Values((2, 1, 3, 2)), Values((2, 1, 2, 5)))),
        Sample((Values((3, 0)), Values((0, 2)))),
        Sample((Values((0, 3)), Values((3, 2)))),
        Sample((Values((2, 3), -9, 9, kind="int"), Values((3, 2), -9, 9, kind="int")), smooth=False),
        Sample((Values((3, 4)), Values((5, 2))), error=ShapeError, match="axis 1 of the first has 4"),
        Sample((Values((2, 3, 4)), Values((3, 4, 2))), error=ShapeError, match="equal batch shapes"),
    ),
)


# -- functions with NumPy's signatures --------------------------------------------------------------------------------


def matmul(x: Any, y: Any) -> Any:
    """``np.matmul``: vectors and matrices, and stacks of matrices that broadcast; ShapeError where they do not fit.

    >>> matmul(np.ones((2, 3)), np.ones(3))
    array([3., 3.])
    """
    x_shape, y_shape = shape_of(x), shape_of(y)
    if not x_shape or not y_shape:
        raise ShapeError(f"matmul of shapes {x_shape} and {y_shape}: a 0-d array has no axis to sum over", fix="use x * y")
    _check_inner("matmul", x_shape, y_shape, -1, 0 if len(y_shape) == 1 else -2)
    left = reshape(x, (1, *x_shape)) if len(x_shape) == 1 else x
    right = reshape(y, (*y_shape, 1)) if len(y_shape) == 1 else y
    out = _stacked(left, right)
    shape = shape_of(out)
    if len(x_shape) == 1:
        shape = (*shape[:-2], shape[-1])
    if len(y_shape) == 1:
        shape = shape[:-1]
    return reshape(out, shape)


def _stacked(x: Any, y: Any) -> Any:
    """The product of arrays with at least two axes; batch shapes broadcast."""
    x_shape, y_shape = shape_of(x), shape_of(y)
    if len(y_shape) == 2 and len(x_shape) > 2:
        # one big product instead of many small ones, and no sum over copies of y in the gradient
        flat = matmul_batched(_rows(x), y)
        return reshape(flat, (*x_shape[:-1], y_shape[-1]))
    try:
        batch = broadcast_shapes(x_shape[:-2], y_shape[:-2])
    except ShapeError as error:
        raise ShapeError(
            f"matmul of shapes {x_shape} and {y_shape}: the batch axes {x_shape[:-2]} and {y_shape[:-2]} do not broadcast",
            fix=error.fix,
        ) from None
    return matmul_batched(broadcast_to(x, batch + x_shape[-2:]), broadcast_to(y, batch + y_shape[-2:]))


def _product(sizes: Sequence[int]) -> int:
    result = 1
    for n in sizes:
        result *= n
    return result


def _rows(x: Any) -> Any:
    """An array as the matrix of the vectors along its last axis."""
    shape = shape_of(x)
    return reshape(x, (_product(shape[:-1]), shape[-1]))


def _flat(x: Any) -> Any:
    return reshape(x, (_product(shape_of(x)),))


def dot(x: Any, y: Any) -> Any:
    """``np.dot``: a product with a 0-d operand, else the sum over ``x``'s last and ``y``'s second-last axis."""
    x_ndim, y_ndim = len(shape_of(x)), len(shape_of(y))
    if x_ndim == 0 or y_ndim == 0:
        return multiply(x, y)
    if y_ndim <= 2:
        return matmul(x, y)
    _check_inner("dot", shape_of(x), shape_of(y), -1, -2)
    return tensordot(x, y, ((x_ndim - 1,), (y_ndim - 2,)))


def vdot(x: Any, y: Any) -> Any:
    """``np.vdot``: the product of two arrays as flat vectors, the first one conjugated."""
    flat_x, flat_y = _flat(as_operand(x)), _flat(as_operand(y))
    _check_inner("vdot", shape_of(flat_x), shape_of(flat_y), 0, 0)
    return matmul(conj(flat_x) if is_complex(flat_x) else flat_x, flat_y)


def inner(x: Any, y: Any) -> Any:
    """``np.inner``: the sum over the last axis of both."""
    x_ndim, y_ndim = len(shape_of(x)), len(shape_of(y))
    if x_ndim == 0 or y_ndim == 0:
        return multiply(x, y)
    _check_inner("inner", shape_of(x), shape_of(y), -1, -1)
    return tensordot(x, y, ((x_ndim - 1,), (y_ndim - 1,)))


def outer(x: Any, y: Any) -> Any:
    """``np.outer``: every element of ``x`` times every element of ``y``, both as flat vectors."""
    x, y = as_operand(x), as_operand(y)
    return multiply(reshape(x, (_product(shape_of(x)), 1)), reshape(y, (1, _product(shape_of(y)))))


def tensordot(x: Any, y: Any, axes: int | Sequence[Any] = 2) -> Any:
    """``np.tensordot``: the sum over pairs of axes, or over the last ``axes`` of ``x`` and the first of ``y``.

    >>> tensordot(np.ones((2, 3, 4)), np.ones((4, 3)), axes=((1, 2), (1, 0))).shape
    (2,)
    """
    x_shape, y_shape = shape_of(x), shape_of(y)
    x_axes, y_axes = _paired_axes(x_shape, y_shape, axes)
    for a, b in zip(x_axes, y_axes, strict=True):
        _check_inner("tensordot", x_shape, y_shape, a, b)
    x_free = tuple(k for k in range(len(x_shape)) if k not in x_axes)
    y_free = tuple(k for k in range(len(y_shape)) if k not in y_axes)
    summed = _product([x_shape[k] for k in x_axes])
    left = reshape(transpose(x, (*x_free, *x_axes)), (_product([x_shape[k] for k in x_free]), summed))
    right = reshape(transpose(y, (*y_axes, *y_free)), (summed, _product([y_shape[k] for k in y_free])))
    return reshape(matmul_batched(left, right), tuple(x_shape[k] for k in x_free) + tuple(y_shape[k] for k in y_free))


def _paired_axes(x: Shape, y: Shape, axes: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    count = one_int(axes)
    if count is not None:
        if not 0 <= count <= min(len(x), len(y)):
            raise ShapeError(
                f"tensordot over {count} axes of shapes {x} and {y}", fix="sum over no more axes than either array has"
            )
        return tuple(range(len(x) - count, len(x))), tuple(range(count))
    if isinstance(axes, str) or not isinstance(axes, Sequence) or len(axes) != 2:
        raise ShapeError(f"tensordot over axes {axes!r}", fix="give a number of axes, or a pair of lists of them")
    first, second = (
        tuple(normalise_axis(a, len(shape)) for a in (side if isinstance(side, Sequence) else (side,)))
        for side, shape in zip(axes, (x, y), strict=True)
    )
    if len(first) != len(second) or len(set(first)) != len(first) or len(set(second)) != len(second):
        raise ShapeError(f"tensordot over axes {axes}", fix="name equally many axes of each array, each once")
    return first, second
