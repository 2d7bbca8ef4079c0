"""Linear algebra with NumPy's names and signatures, on stacks of matrices: functions over the raw ops.

Results have the dtype of the matrices, float64 for integers. Symmetric matrices may be given by one triangle, as in NumPy;
their gradients are symmetric. Most of it has native code, which is SciPy's LAPACK; the signs of vectors are LAPACK's choice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tracegrad.core.aval import Shape, broadcast_shapes, normalise_axes, normalise_axis, shape_of
from tracegrad.errors import ShapeError, TraceError
from tracegrad.ops import assembly, reductions
from tracegrad.ops.comparisons import greater
from tracegrad.ops.contractions import matmul
from tracegrad.ops.decompositions import (
    cholesky_raw,
    eigh_packed,
    from_triangle,
    matrix_exp,
    qr_completion,
    qr_packed,
    svd_completion,
    svd_packed,
)
from tracegrad.ops.indexing import getitem
from tracegrad.ops.maps import absolute, cast, divide, multiply, power, select, subtract
from tracegrad.ops.matrices import (
    LinAlgError,
    adjoint,
    check_matrix,
    check_square,
    columns,
    conjugated,
    det,
    inv,
    pinv_raw,
    real_part,
    rows,
    slogdet_packed,
    transposed,
)
from tracegrad.ops.matrices import solve as solve_raw
from tracegrad.ops.matrices import solve_triangular as solve_triangular_raw
from tracegrad.ops.reductions import as_operand
from tracegrad.ops.sources import running_index
from tracegrad.ops.views import broadcast_to, concatenate, expand_dims, permute, reshape, squeeze

__all__ = [
    "EighResult",
    "LinAlgError",
    "LstsqResult",
    "QRResult",
    "SVDResult",
    "SlogdetResult",
    "check_square",
    "cholesky",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eigh",
    "eigvalsh",
    "from_triangle",
    "full_svd",
    "inv",
    "lstsq",
    "matrix_exp",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "matrix_transpose",
    "multi_dot",
    "norm",
    "pinv",
    "qr",
    "reduced_svd",
    "slogdet",
    "solve",
    "solve_triangular",
    "stretched",
    "svd",
    "svdvals",
    "trace",
    "vander",
    "vecdot",
    "vector_norm",
]

matrix_transpose = transposed


class EighResult(NamedTuple):
    """Eigenvalues in ascending order, and the eigenvectors as columns."""

    eigenvalues: Any
    eigenvectors: Any


class SVDResult(NamedTuple):
    """``U``, the singular values in descending order, and ``Vh``."""

    U: Any
    S: Any
    Vh: Any


class QRResult(NamedTuple):
    """Orthonormal columns and the upper triangle."""

    Q: Any
    R: Any


class SlogdetResult(NamedTuple):
    """The sign of the determinant, and the logarithm of its size."""

    sign: Any
    logabsdet: Any


class LstsqResult(NamedTuple):
    """What ``np.linalg.lstsq`` gives."""

    x: Any
    residuals: Any
    rank: Any
    singular_values: Any


# -- solutions ----------------------------------------------------------------------------------------------------------


def stretched(a: Any, b: Any) -> tuple[Any, Any]:
    """Two stacks of matrices with their batch shapes broadcast."""
    a_shape, b_shape = shape_of(a), shape_of(b)
    batch = broadcast_shapes(a_shape[:-2], b_shape[:-2])
    return broadcast_to(a, batch + a_shape[-2:]), broadcast_to(b, batch + b_shape[-2:])


def solve(a: Any, b: Any) -> Any:
    """``np.linalg.solve``: x with a x = b, for a vector b or stacks of matrices.

    Raises ShapeError where they do not fit, LinAlgError for a singular matrix.

    >>> solve(np.array([[2.0, 0.0], [0.0, 4.0]]), np.array([1.0, 1.0]))
    array([0.5 , 0.25])
    """
    a, b = as_operand(a), as_operand(b)
    check_square("linalg.solve", shape_of(a))
    if len(shape_of(b)) == 1:
        return squeeze(solve_raw(*stretched(a, expand_dims(b, -1))), -1)
    return solve_raw(*stretched(a, b))


def solve_triangular(a: Any, b: Any, *, lower: bool = False, unit_diagonal: bool = False, trans: int | str = 0) -> Any:
    """``scipy.linalg.solve_triangular``: x with a x = b, of which one triangle is read.

    >>> solve_triangular(np.array([[2.0, 1.0], [0.0, 4.0]]), np.array([2.0, 4.0]))
    array([0.5, 1. ])
    """
    a, b = as_operand(a), as_operand(b)
    check_square("linalg.solve_triangular", shape_of(a))
    if trans in (1, "T", 2, "C"):
        a, lower = (adjoint if trans in (2, "C") else transposed)(a), not lower
    if len(shape_of(b)) == 1:
        found = solve_triangular_raw(*stretched(a, expand_dims(b, -1)), upper=not lower, unitriangular=unit_diagonal)
        return squeeze(found, -1)
    return solve_triangular_raw(*stretched(a, b), upper=not lower, unitriangular=unit_diagonal)


def pinv(a: Any, rcond: float | None = None, hermitian: bool = False, *, rtol: float | None = None) -> Any:
    """``np.linalg.pinv`` with a tolerance that is a number.

    >>> pinv(np.array([[2.0], [0.0]]))
    array([[0.5, 0. ]])
    """
    a = as_operand(a)
    check_matrix("linalg.pinv", shape_of(a))
    tolerance = rcond if rtol is None else rtol
    default = 1e-15 if rtol is None else None
    return pinv_raw(a, rtol=default if tolerance is None else float(tolerance), hermitian=hermitian)


def lstsq(a: Any, b: Any, rcond: float | None = None) -> LstsqResult:
    """``np.linalg.lstsq``; the residuals are those of a matrix of full rank, and differentiable like the solution.

    >>> lstsq(np.array([[1.0], [1.0]]), np.array([1.0, 3.0])).x.round(4)
    array([2.])
    """
    a, b = as_operand(a), as_operand(b)
    m, n = shape_of(a)
    tolerance = float(np.finfo(np.float64).eps) * max(m, n) if rcond is None else float(rcond)
    x = matmul(pinv_raw(a, rtol=tolerance), b)
    away = subtract(matmul(a, x), b)
    squares = reductions.sum(real_part(multiply(conjugated(away), away)), 0)
    left = reshape(squares, (-1,)) if m > n else np.zeros(0, squares.dtype)
    values = svdvals(a)
    rank = cast(matrix_rank(a, rtol=tolerance), dtype=np.dtype(np.int32))
    return LstsqResult(x, left, rank, values)


# -- determinants -------------------------------------------------------------------------------------------------------


def slogdet(a: Any) -> SlogdetResult:
    """``np.linalg.slogdet``.

    >>> slogdet(np.array([[[2.0, 0.0], [0.0, -0.5]]]))
    SlogdetResult(sign=array([-1.]), logabsdet=array([0.]))
    """
    packed = slogdet_packed(a)
    return SlogdetResult(getitem(packed, (Ellipsis, 0)), real_part(getitem(packed, (Ellipsis, 1))))


def trace(x: Any, offset: int = 0) -> Any:
    """``np.linalg.trace`` of the last two axes.

    >>> trace(np.eye(3))
    np.float64(3.0)
    """
    return assembly.trace(x, offset, -2, -1)


def diagonal(x: Any, offset: int = 0) -> Any:
    """``np.linalg.diagonal`` of the last two axes.

    >>> diagonal(np.eye(2))
    array([1., 1.])
    """
    return assembly.diagonal(x, offset, -2, -1)


# -- decompositions -----------------------------------------------------------------------------------------------------


def cholesky(a: Any, *, upper: bool = False) -> Any:
    """``np.linalg.cholesky``: the lower triangle of ``a`` is read, with ``upper`` the upper one.

    >>> cholesky(np.array([[4.0, 0.0], [2.0, 2.0]]))
    array([[2., 0.],
           [1., 1.]])
    """
    check_square("linalg.cholesky", shape_of(a))
    factor = cholesky_raw(from_triangle(a, upper=upper))
    return adjoint(factor) if upper else factor


def eigh(a: Any, UPLO: str = "L") -> EighResult:
    """``np.linalg.eigh``; the signs of the eigenvectors are LAPACK's.

    >>> eigh(np.array([[1.0, 0.0], [0.0, 3.0]])).eigenvalues
    array([1., 3.])
    """
    check_square("linalg.eigh", shape_of(a))
    upper = _is_upper(UPLO)
    packed = eigh_packed(from_triangle(a, upper=upper), upper=upper)
    return EighResult(real_part(getitem(packed, (Ellipsis, 0, slice(None)))), rows(packed, 1, None))


def _is_upper(uplo: str) -> bool:
    if uplo.upper() not in ("L", "U"):
        raise ValueError(f"Expected UPLO argument to be 'L' or 'U', but got {uplo}")
    return uplo.upper() == "U"


def eigvalsh(a: Any, UPLO: str = "L") -> Any:
    """``np.linalg.eigvalsh``.

    >>> eigvalsh(np.array([[1.0, 0.0], [0.0, 3.0]]))
    array([1., 3.])
    """
    return eigh(a, UPLO).eigenvalues


def reduced_svd(a: Any) -> SVDResult:
    """The singular value decomposition with as many columns and rows as singular values."""
    packed = svd_packed(a)
    m = shape_of(a)[-2]
    values = real_part(getitem(packed, (Ellipsis, m, slice(None))))
    return SVDResult(rows(packed, 0, m), values, adjoint(rows(packed, m + 1, None)))


def full_svd(a: Any) -> SVDResult:
    """The decomposition with square U and Vh; the vectors behind the reduced ones are some basis of what is left."""
    found = reduced_svd(a)
    m, n = shape_of(a)[-2:]
    if m > n:
        return found._replace(U=concatenate([found.U, svd_completion(a, right=False)], -1))
    if n > m:
        return found._replace(Vh=concatenate([found.Vh, adjoint(svd_completion(a, right=True))], -2))
    return found


def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    """``np.linalg.svd``; of full matrices the vectors that any basis could replace move with the space they span.

    >>> svd(np.array([[2.0, 0.0], [0.0, 1.0]])).S
    array([2., 1.])
    """
    check_matrix("linalg.svd", shape_of(a))
    if hermitian:
        a = from_triangle(a, upper=False)
    if not compute_uv:
        return svdvals(a)
    return full_svd(a) if full_matrices else reduced_svd(a)


def svdvals(x: Any) -> Any:
    """``np.linalg.svdvals``.

    >>> svdvals(np.array([[3.0], [4.0]]))
    array([5.])
    """
    return reduced_svd(x).S


def qr(a: Any, mode: str = "reduced") -> Any:
    """``np.linalg.qr`` with mode ``"reduced"``, ``"complete"``, or ``"r"`` for R alone.

    >>> abs(qr(np.array([[3.0], [4.0]])).R)
    array([[5.]])
    """
    if mode not in ("reduced", "complete", "r"):
        raise TraceError(f'qr with mode "{mode}" has no derivative', fix='use mode="reduced", "complete" or "r"')
    packed = qr_packed(a)
    m, n = shape_of(a)[-2:]
    upper = columns(packed, m, None)
    if mode == "r":
        return upper
    left = transposed(columns(packed, 0, m))
    if mode == "complete" and m > n:
        left = concatenate([left, qr_completion(a)], -1)
        upper = concatenate([upper, np.zeros((*shape_of(a)[:-2], m - n, n), packed.dtype)], -2)
    return QRResult(left, upper)


# -- norms --------------------------------------------------------------------------------------------------------------


def _power_norm(x: Any, ord: float, axes: tuple[int, ...], keepdims: bool) -> Any:  # noqa: A002
    size = absolute(x)
    nothing = size == 0
    # neither the power nor the root has a slope at 0
    inside = power(select(nothing, 1.0, size), float(ord))
    total = reductions.sum(select(nothing, 0.0 if ord > 0 else math.inf, inside), axes, keepdims=keepdims)
    return select(total == 0, 0.0, power(select(total == 0, 1.0, total), 1.0 / ord))


def vector_norm(x: Any, *, axis: Any = None, keepdims: bool = False, ord: float = 2) -> Any:  # noqa: A002
    """``np.linalg.vector_norm``; where it is 0, its gradient is 0.

    >>> vector_norm(np.array([3.0, 4.0]))
    np.float64(5.0)
    """
    x = as_operand(x)
    axes = normalise_axes(axis, len(shape_of(x)))
    if ord == 2:
        return assembly.norm(x, None, axes, keepdims)
    if ord in (math.inf, -math.inf):
        return (reductions.max if ord > 0 else reductions.min)(absolute(x), axes, keepdims=keepdims)
    if ord == 0:
        return reductions.sum(cast(x != 0, dtype=real_part(x).dtype), axes, keepdims=keepdims)
    if ord == 1:
        return reductions.sum(absolute(x), axes, keepdims=keepdims)
    return _power_norm(x, ord, axes, keepdims)


def matrix_norm(x: Any, *, keepdims: bool = False, ord: Any = "fro", axis: tuple[int, int] = (-2, -1)) -> Any:  # noqa: A002
    """``np.linalg.matrix_norm`` of the last two axes: ``"fro"``, ``"nuc"``, ±1, ±2 or ±∞.

    >>> matrix_norm(np.array([[3.0, 0.0], [0.0, -4.0]]), ord=2)
    np.float64(4.0)
    """
    ndim = len(shape_of(x))
    check_matrix("linalg.matrix_norm", shape_of(x))
    first, second = (normalise_axis(a, ndim) for a in axis)
    pair = (first, second)
    if ord in ("fro", None):
        return vector_norm(x, axis=pair, keepdims=keepdims)
    if ord in (1, -1, math.inf, -math.inf):
        summed, kept = pair if abs(ord) == 1 else (second, first)
        totals = reductions.sum(absolute(x), summed, keepdims=True)
        found = (reductions.max if ord > 0 else reductions.min)(totals, kept, keepdims=True)
    elif ord in ("nuc", 2, -2):
        others = tuple(k for k in range(ndim) if k not in pair)
        values = svdvals(permute(x, axes=(*others, *pair)))
        pick = reductions.sum if ord == "nuc" else reductions.max if ord > 0 else reductions.min
        found = pick(values, -1)
        return expand_dims(found, tuple(sorted(pair))) if keepdims else found
    else:
        raise ShapeError(f"linalg.matrix_norm: Order {ord} not supported.", fix='use "fro", "nuc", ±1, ±2 or ±inf')
    return found if keepdims else squeeze(found, pair)


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:  # noqa: A002
    """``np.linalg.norm``: of all elements, of vectors along an axis, or of matrices along two.

    >>> norm(np.array([[3.0, 0.0], [0.0, 4.0]]), "nuc")
    np.float64(7.0)
    """
    x = as_operand(x)
    ndim = len(shape_of(x))
    axes = normalise_axes(axis, ndim)
    if axis is None and ord is None:
        return vector_norm(x, keepdims=keepdims)
    if len(axes) == 1:
        return vector_norm(x, axis=axes, keepdims=keepdims, ord=2 if ord is None else ord)
    if len(axes) != 2:
        raise ShapeError(
            f"linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got {ndim}D.",
            fix="name one axis for vectors, two for matrices",
        )
    return matrix_norm(x, keepdims=keepdims, ord=ord, axis=axes if axis is None else tuple(axis))


def cond(x: Any, p: Any = None) -> Any:
    """``np.linalg.cond``: the norm of a matrix times that of its inverse.

    >>> cond(np.array([[4.0, 0.0], [0.0, 2.0]]))
    np.float64(2.0)
    """
    if p in (None, 2, -2):
        values = svdvals(x)
        last, first = getitem(values, (Ellipsis, -1)), getitem(values, (Ellipsis, 0))
        return divide(last, first) if p == -2 else divide(first, last)
    check_square(f"linalg.cond(ord={p})", shape_of(x))
    return multiply(matrix_norm(x, ord=p), matrix_norm(inv(x), ord=p))


def matrix_rank(A: Any, tol: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Any:
    """``np.linalg.matrix_rank``: how many singular values are above the tolerance.

    >>> matrix_rank(np.ones((2, 2)))
    np.int64(1)
    """
    shape = shape_of(A)
    if len(shape) < 2:
        return cast(reductions.any(A != 0), dtype=np.dtype(np.int64))
    values = svdvals(from_triangle(A, upper=False) if hermitian else A)
    if tol is None:
        relative = max(shape[-2:]) * float(np.finfo(values.dtype).eps) if rtol is None else rtol
        tol = multiply(reductions.max(values, -1, keepdims=True), relative)
    return reductions.sum(greater(values, tol), -1)


# -- products -----------------------------------------------------------------------------------------------------------


def matrix_power(a: Any, n: int) -> Any:
    """``np.linalg.matrix_power`` by repeated squaring; negative powers are those of the inverse.

    >>> matrix_power(np.array([[2.0, 0.0], [0.0, 3.0]]), 3)
    array([[ 8.,  0.],
           [ 0., 27.]])
    """
    a = as_operand(a)
    check_square("linalg.matrix_power", shape_of(a))
    if n == 0:
        return select(True, np.eye(shape_of(a)[-1], dtype=a.dtype), a)
    if n < 0:
        a, n = inv(a), -n
    result = None
    while True:
        if n & 1:
            result = a if result is None else matmul(result, a)
        n >>= 1
        if not n:
            return result
        a = matmul(a, a)


def multi_dot(arrays: Sequence[Any]) -> Any:
    """``np.linalg.multi_dot``: the product in the order that costs least; the ends may be vectors.

    >>> float(multi_dot([np.ones(2), np.ones((2, 3)), np.ones(3)]))
    6.0
    """
    if len(arrays) < 2:
        raise ShapeError(f"multi_dot(): expected at least 2 tensors but got {len(arrays)}", fix="pass two or more arrays")
    first, last = shape_of(arrays[0]), shape_of(arrays[-1])
    items = list(arrays)
    if len(first) == 1:
        items[0] = expand_dims(items[0], 0)
    if len(last) == 1:
        items[-1] = expand_dims(items[-1], 1)
    sizes = tuple(shape_of(x)[0] for x in items) + (shape_of(items[-1])[1],)
    cuts = _cheapest_cuts(sizes)

    def product(i: int, j: int) -> Any:
        return items[i] if i == j else matmul(product(i, cuts[i, j]), product(cuts[i, j] + 1, j))

    result = product(0, len(items) - 1)
    kept = tuple(n for n, shape in zip(shape_of(result), (first, last), strict=True) if len(shape) > 1)
    return reshape(result, kept)


def _cheapest_cuts(sizes: Shape) -> dict[tuple[int, int], int]:
    """Where to cut each run of factors i … j, by dynamic programming over ever longer runs."""
    count = len(sizes) - 1
    cost = {(i, i): 0 for i in range(count)}
    cuts: dict[tuple[int, int], int] = {}
    for length in range(1, count):
        for i in range(count - length):
            j = i + length
            cost[i, j], cuts[i, j] = min(
                (cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k) for k in range(i, j)
            )
    return cuts


def vecdot(x1: Any, x2: Any, *, axis: int = -1) -> Any:
    """``np.linalg.vecdot``: the sum of products along an axis, complex elements of ``x1`` conjugated.

    >>> vecdot(np.ones((2, 3)), np.ones(3))
    array([3., 3.])
    """
    return reductions.sum(multiply(conjugated(x1), x2), axis)


def cross(x1: Any, x2: Any, *, axis: int = -1) -> Any:
    """``np.linalg.cross``: the vector product of vectors of three elements along an axis.

    >>> cross(np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0]))
    array([0., 0., 1.])
    """
    x1, x2 = as_operand(x1), as_operand(x2)
    shape = broadcast_shapes(shape_of(x1), shape_of(x2))
    place = normalise_axis(axis, len(shape))
    x1, x2 = broadcast_to(x1, shape), broadcast_to(x2, shape)
    if shape[place] != 3:
        raise ShapeError(
            f"linalg.cross: inputs dimension {axis} must have length 3. Got {shape[place]} and {shape[place]}",
            fix="give vectors of three elements along that axis",
        )
    second = multiply(assembly.roll(x1, -1, place), assembly.roll(x2, -2, place))
    return subtract(second, multiply(assembly.roll(x1, -2, place), assembly.roll(x2, -1, place)))


def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """``np.vander``: the powers of each element along a new last axis, from the highest down unless ``increasing``.

    >>> vander(np.array([2.0, 3.0]), 3)
    array([[4., 2., 1.],
           [9., 3., 1.]])
    """
    x = as_operand(x)
    if len(shape_of(x)) != 1:
        raise ShapeError(f"vander of an array with {len(shape_of(x))} axes", fix="give a vector: x.ravel()")
    count = shape_of(x)[-1] if N is None else N
    exponents = running_index(count, x)
    if not increasing:
        exponents = count - 1 - exponents
    # NumPy multiplies by integers, which makes float32 float64
    dtype = np.promote_types(x.dtype, np.int64)
    return power(expand_dims(cast(x, dtype=dtype), -1), cast(exponents, dtype=dtype))
