"""``torch.linalg``: inverses, solutions, decompositions and norms of matrices and stacks of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracegrad.core.aval import shape_of
from tracegrad.core.source import user_frame
from tracegrad.eager.composite import recorded_as
from tracegrad.eager.functions import contractions, cutting, matrices, pointwise, reductions
from tracegrad.eager.functions.arguments import Dims, as_dtype, constant, labelled, one_dim, require_floating, several_dims
from tracegrad.eager.functions.decompositions import (
    cholesky,
    det,
    eigh,
    eigvalsh,
    inv,
    lstsq,
    matrix_exp,
    pinv,
    qr,
    require_matrix,
    slogdet,
    solve,
    solve_triangular,
    svd,
    svdvals,
)
from tracegrad.eager.functions.matrices import matmul
from tracegrad.eager.misuse import explained
from tracegrad.errors import ShapeError
from tracegrad.ops import linalg
from tracegrad.ops import matrices as raw
from tracegrad.ops.complexes import conj, is_complex
from tracegrad.ops.maps import absolute, cast, copy, divide, multiply, power, select
from tracegrad.ops.sources import running_index
from tracegrad.ops.views import expand_dims, permute, reshape, squeeze

__all__ = [
    "cholesky",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eigh",
    "eigvalsh",
    "inv",
    "lstsq",
    "matmul",
    "matrix_exp",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "multi_dot",
    "norm",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "solve_triangular",
    "svd",
    "svdvals",
    "tensorinv",
    "tensorsolve",
    "vander",
    "vecdot",
    "vector_norm",
]

LinAlgError = raw.LinAlgError
multi_dot = contractions.multi_dot

# -- norms --------------------------------------------------------------------------------------------------------------


def vector_norm(x: Any, ord: float = 2, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """The norm of all elements, or of the vectors along dims; where it is 0, its gradient is 0.

    >>> from tracegrad.eager import tensor
    >>> vector_norm(tensor([3.0, 4.0]))
    tensor(5.)
    """
    return reductions.norm(x, ord, dim, keepdim, dtype)


def matrix_norm(A: Any, ord: Any = "fro", dim: Sequence[int] = (-2, -1), keepdim: bool = False, *, dtype: Any = None) -> Any:
    """The norm of matrices in two dims: ``"fro"``, ``"nuc"``, ±1, ±2 or ±∞.

    >>> from tracegrad.eager import tensor
    >>> matrix_norm(tensor([[3.0, 0.0], [0.0, -4.0]]), ord="nuc")
    tensor(7.)
    """
    require_matrix("linalg.matrix_norm", A)
    pair = several_dims(dim, len(shape_of(A)))
    if len(pair) != 2:
        raise ShapeError(f"linalg.matrix_norm: dim must be a 2-tuple. Got {dim}", fix="name two dims", where=user_frame())
    A = as_dtype(A, dtype)
    if ord == "fro":
        return vector_norm(A, 2, pair, keepdim)
    if ord in (1, -1, math.inf, -math.inf):
        summed, kept = pair if abs(ord) == 1 else pair[::-1]
        extreme = reductions.amax if ord > 0 else reductions.amin
        totals = reductions.sum(absolute(A), summed, keepdim)
        return extreme(totals, kept if keepdim or kept < summed else kept - 1, keepdim)
    if ord not in ("nuc", 2, -2):
        raise ShapeError(
            f"linalg.matrix_norm: Order {ord} not supported.", fix='use "fro", "nuc", ±1, ±2 or ±inf', where=user_frame()
        )
    others = tuple(k for k in range(len(shape_of(A))) if k not in pair)
    values = svdvals(A if (*others, *pair) == tuple(range(len(shape_of(A)))) else permute(A, axes=(*others, *pair)))
    found = {"nuc": reductions.sum, 2: reductions.amax, -2: reductions.amin}[ord](values, -1)
    if not keepdim:
        return found
    order = (*others, *pair)
    return permute(reshape(found, (*shape_of(found), 1, 1)), axes=tuple(order.index(k) for k in range(len(order))))


def norm(A: Any, ord: Any = None, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """The norm of all elements, of the vectors along a dim, or of the matrices in two.

    >>> from tracegrad.eager import tensor
    >>> norm(tensor([[3.0, 0.0], [0.0, 4.0]]))
    tensor(5.)
    """
    ndim = len(shape_of(A))
    if dim is None and ord is None:
        return vector_norm(A, 2, None, keepdim, dtype=dtype)
    if dim is None and ndim not in (1, 2):
        raise ShapeError(
            f"linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got {ndim}D.",
            fix="name one dim for vectors, two for matrices",
            where=user_frame(),
        )
    dims = several_dims(dim, ndim)
    if len(dims) == 1 and not isinstance(ord, str):
        return vector_norm(A, 2 if ord is None else ord, dims, keepdim, dtype=dtype)
    if ord is None:
        return vector_norm(A, 2, dims, keepdim, dtype=dtype)
    return matrix_norm(A, ord, dims, keepdim, dtype=dtype)


def cond(A: Any, p: Any = None) -> Any:
    """The norm of each matrix times that of its inverse; ∞ for a singular one.

    >>> from tracegrad.eager import tensor
    >>> cond(tensor([[4.0, 0.0], [0.0, 2.0]]))
    tensor(2.)
    """
    if p in (None, 2, -2):
        require_matrix("linalg.cond", A)
        values = svdvals(A)
        first, last = cutting.narrow(values, -1, 0, 1), cutting.narrow(values, -1, shape_of(values)[-1] - 1, 1)
        return labelled("SqueezeBackward1", squeeze(divide(last, first) if p == -2 else divide(first, last), -1))
    require_matrix(f"linalg.cond(ord={p})", A, square=True)
    if p == "nuc":
        return multiply(matrix_norm(A, p), matrix_norm(inv(A), p))
    product = multiply(matrix_norm(A, p), matrix_norm(raw.inv(A, strict=False), p))
    return pointwise.nan_to_num(product, nan=math.inf, posinf=math.inf, neginf=-math.inf)


def matrix_rank(A: Any, tol: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None) -> Any:
    """How many singular values are above ``max(atol, rtol · greatest)``.

    >>> from tracegrad.eager import tensor
    >>> matrix_rank(tensor([[1.0, 1.0], [1.0, 1.0]]))
    tensor(1)
    """
    require_matrix("linalg.matrix_rank", A, square=hermitian)
    atol = tol if atol is None else atol
    x = constant(A)
    if atol is None:
        return linalg.matrix_rank(x, hermitian=hermitian, rtol=rtol)
    values = linalg.svdvals(linalg.from_triangle(x, upper=False) if hermitian else x)
    limit = multiply(reductions.amax(values, -1, True), 0.0 if rtol is None else rtol)
    return reductions.sum(values > pointwise.clamp(limit, min=atol), -1)


# -- products -----------------------------------------------------------------------------------------------------------


def matrix_power(A: Any, n: int) -> Any:
    """The matrix multiplied by itself ``n`` times; negative powers are those of the inverse.

    >>> from tracegrad.eager import tensor
    >>> matrix_power(tensor([[2.0, 0.0], [0.0, 3.0]]), 3)
    tensor([[ 8.,  0.],
            [ 0., 27.]])
    """
    try:
        linalg.check_square("linalg.matrix_power", shape_of(A))
    except ShapeError as error:
        raise error.at(user_frame()) from None
    if n == 0:
        return labelled("torch::autograd::CopyBackwards", select(True, np.eye(shape_of(A)[-1], dtype=A.dtype), A))
    if n == 1:
        return copy(A)
    if n < 0:
        A, n = inv(A), -n
    result, square = None, A
    while n:
        if n & 1:
            result = square if result is None else matmul(result, square)
        n >>= 1
        square = matmul(square, square) if n else square
    return result


def cross(input: Any, other: Any, *, dim: int = -1) -> Any:
    """The cross product of vectors of three elements along a dim.

    >>> from tracegrad.eager import tensor
    >>> cross(tensor([1.0, 0.0, 0.0]), tensor([0.0, 1.0, 0.0]))
    tensor([0., 0., 1.])
    """
    return matrices.cross(input, other, dim)


def vecdot(x: Any, y: Any, *, dim: int = -1) -> Any:
    """The sum of products along a dim, the first factor conjugated if it is complex.

    >>> from tracegrad.eager import tensor
    >>> vecdot(tensor([[1.0, 2.0], [3.0, 4.0]]), tensor([1.0, 1.0]))
    tensor([3., 7.])
    """
    require_floating(x, "linalg.vecdot: Expected a floating point or complex tensor as input.")
    return reductions.sum(multiply(conj(x) if is_complex(x) else x, y), dim)


def diagonal(A: Any, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    """The diagonal of each matrix, as a view.

    >>> from tracegrad.eager import tensor
    >>> diagonal(tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([1., 4.])
    """
    return cutting.diagonal(A, offset, dim1, dim2)


@recorded_as("CatBackward0")
def _powers(x: Any, count: int) -> Any:
    return power(expand_dims(x, -1), cast(running_index(count, x), dtype=x.dtype))


def vander(x: Any, *, N: int | None = None) -> Any:
    """The powers 0, 1, … of each element along a new last dim, as many as ``N``.

    >>> from tracegrad.eager import tensor
    >>> vander(tensor([2.0, 3.0]))
    tensor([[1., 2.],
            [1., 3.]])
    """
    count = (shape_of(x) or (1,))[-1] if N is None else N
    if count <= 1:
        raise ShapeError("N must be greater than 1.", fix="ask for two powers or more", where=user_frame())
    return _powers(x, count)


def tensorinv(A: Any, ind: int = 2) -> Any:
    """The inverse of a tensor taken for a matrix, the first ``ind`` dims being its rows.

    >>> from tracegrad.eager import tensor
    >>> tensorinv(tensor([[2.0, 0.0], [0.0, 4.0]]), ind=1)
    tensor([[0.5000, 0.0000],
            [0.0000, 0.2500]])
    """
    shape = shape_of(A)
    rows, columns = math.prod(shape[:ind]), math.prod(shape[ind:])
    if ind <= 0 or rows != columns:
        raise ShapeError(
            "Expected self to satisfy the requirement prod(self.shape[ind:]) == prod(self.shape[:ind]), "
            f"got {columns} != {rows}",
            fix="choose ind so that both halves have equally many elements",
            where=user_frame(),
        )
    return reshape(inv(reshape(A, (rows, columns))), (*shape[ind:], *shape[:ind]))


def tensorsolve(A: Any, B: Any, dims: Sequence[int] | None = None) -> Any:
    """X whose sum of products with the last dims of A is B; ``dims`` of A are moved to its end first.

    >>> from tracegrad.eager import tensor
    >>> tensorsolve(tensor([[2.0, 0.0], [0.0, 4.0]]), tensor([1.0, 1.0]))
    tensor([0.5000, 0.2500])
    """
    if dims is not None:
        ndim = len(shape_of(A))
        last = [one_dim(d, ndim) for d in dims]
        A = permute(A, axes=(*(k for k in range(ndim) if k not in last), *last))
    shape = shape_of(A)[len(shape_of(B)) :]
    rows, columns = math.prod(shape_of(B)), math.prod(shape)
    if rows != columns:
        raise ShapeError(
            "Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == prod(self.shape[:other.ndim]), "
            f"got {columns} != {rows}",
            fix="the dims of A behind those of B must have as many elements as B",
            where=user_frame(),
        )
    return reshape(solve(reshape(A, (rows, columns)), reshape(B, (-1,))), shape)


globals().update({name: explained(globals()[name]) for name in __all__})
