"""``torch.linalg``'s inverses, solutions and decompositions; those with several results are one node on the tape."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracegrad.core.aval import Shape, shape_of
from tracegrad.core.source import user_frame
from tracegrad.eager.composite import recorded_as
from tracegrad.eager.functions.arguments import constant, named_result, require_floating
from tracegrad.eager.functions.matrices import matmul
from tracegrad.errors import DtypeError, ShapeError
from tracegrad.ops import linalg
from tracegrad.ops.decompositions import cholesky_raw, eigh_packed, from_triangle, qr_complete, qr_packed
from tracegrad.ops.decompositions import matrix_exp as matrix_exp_raw
from tracegrad.ops.indexing import getitem
from tracegrad.ops.maps import multiply, subtract
from tracegrad.ops.matrices import (
    adjoint,
    check_matrix,
    check_square,
    columns,
    conjugated,
    pinv_raw,
    real_part,
    rows,
    transposed,
)
from tracegrad.ops.matrices import det as det_raw
from tracegrad.ops.matrices import inv as inv_raw
from tracegrad.ops.matrices import solve as solve_raw
from tracegrad.ops.matrices import solve_triangular as solve_triangular_raw
from tracegrad.ops.reductions import all as all_of
from tracegrad.ops.reductions import sum as sum_of
from tracegrad.ops.sources import TRACED
from tracegrad.ops.views import expand_dims, reshape, squeeze

__all__ = [
    "cholesky",
    "det",
    "eigh",
    "eigvalsh",
    "inv",
    "lstsq",
    "matrix_exp",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "solve_triangular",
    "svd",
    "svdvals",
]

EighResult = named_result("linalg_eigh", "eigenvalues", "eigenvectors")
SVDResult = named_result("linalg_svd", "U", "S", "Vh")
QRResult = named_result("linalg_qr", "Q", "R")
SlogdetResult = named_result("linalg_slogdet", "sign", "logabsdet")
LstsqResult = named_result("linalg_lstsq", "solution", "residuals", "rank", "singular_values")


def require_matrix(name: str, x: Any, *, square: bool = False) -> None:
    """ShapeError unless an argument is a matrix or a stack of them, DtypeError unless it is of floats or complex numbers."""
    try:
        (check_square if square else check_matrix)(name, shape_of(x))
    except ShapeError as error:
        raise error.at(user_frame()) from None
    require_floating(x, f"{name}: Expected a floating point or complex tensor as input.")


def _same_dtype(name: str, a: Any, b: Any) -> None:
    if a.dtype != b.dtype:
        raise DtypeError(
            f"{name}: Expected A and B to have the same dtype, but found A of type {a.dtype} and B of type {b.dtype} instead",
            fix="cast one of them: B.to(A.dtype)",
            where=user_frame(),
        )


def _fit(name: str, a: Shape, b: Shape, left: bool) -> None:
    if len(b) < 2:
        raise ShapeError(
            f"{name}: The input tensor B must have at least 2 dimensions.", fix="B.unsqueeze(-1)", where=user_frame()
        )
    if b[-2 if left else -1] != a[-1]:
        raise ShapeError(
            f"{name}: Incompatible shapes of A and B for the equation {'AX' if left else 'XA'} = B "
            f"({a[-2]}x{a[-1]} and {b[-2]}x{b[-1]})",
            fix=f"B needs as many {'rows' if left else 'columns'} as A",
            where=user_frame(),
        )


def _is_vector(a: Shape, b: Shape) -> bool:
    """PyTorch's rule: a right-hand side of one dim, or of the shape of A without its columns, holds vectors."""
    return len(b) == 1 or (len(a) - 1 == len(b) and b == a[:-1])


# -- solutions ----------------------------------------------------------------------------------------------------------


def inv(A: Any) -> Any:
    """The inverse of each matrix; LinAlgError for a singular one.

    >>> from tracegrad.eager import tensor
    >>> inv(tensor([[2.0, 0.0], [0.0, 4.0]]))
    tensor([[0.5000, 0.0000],
            [0.0000, 0.2500]])
    """
    require_matrix("linalg.inv", A, square=True)
    return inv_raw(A)


@recorded_as("LinalgSolveExBackward0")
def _solved(a: Any, b: Any, vector: bool, left: bool) -> Any:
    right = expand_dims(b, -1) if vector else b
    if not left:
        return transposed(solve_raw(*linalg.stretched(transposed(a), transposed(right))))
    found = solve_raw(*linalg.stretched(a, right))
    return squeeze(found, -1) if vector else found


def solve(A: Any, B: Any, *, left: bool = True) -> Any:
    """X with A X = B, or without ``left`` X A = B; B holds vectors or matrices.

    Raises ShapeError where they do not fit, LinAlgError for a singular matrix.

    >>> from tracegrad.eager import tensor
    >>> solve(tensor([[2.0, 0.0], [0.0, 4.0]]), tensor([1.0, 1.0]))
    tensor([0.5000, 0.2500])
    """
    require_matrix("linalg.solve", A, square=True)
    _same_dtype("linalg.solve", A, B)
    a, b = shape_of(A), shape_of(B)
    vector = _is_vector(a, b)
    _fit("linalg.solve", a, (*b, 1) if vector else b, left)
    return _solved(A, B, vector, left)


@recorded_as("LinalgSolveTriangularBackward0")
def _solved_triangular(a: Any, b: Any, upper: bool, left: bool, unitriangular: bool) -> Any:
    if left:
        return solve_triangular_raw(*linalg.stretched(a, b), upper=upper, unitriangular=unitriangular)
    turned = linalg.stretched(transposed(a), transposed(b))
    return transposed(solve_triangular_raw(*turned, upper=not upper, unitriangular=unitriangular))


def solve_triangular(A: Any, B: Any, *, upper: bool, left: bool = True, unitriangular: bool = False) -> Any:
    """X with A X = B for a triangular A, of which the other triangle is not read; without ``left`` X A = B.

    >>> from tracegrad.eager import tensor
    >>> solve_triangular(tensor([[2.0, 1.0], [0.0, 4.0]]), tensor([[2.0], [4.0]]), upper=True)
    tensor([[0.5000],
            [1.0000]])
    """
    require_matrix("linalg.solve_triangular", A, square=True)
    _same_dtype("linalg.solve_triangular", A, B)
    _fit("linalg.solve_triangular", shape_of(A), shape_of(B), left)
    return _solved_triangular(A, B, upper, left, unitriangular)


def pinv(A: Any, rcond: float | None = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None) -> Any:
    """The pseudo-inverse; singular values up to ``max(atol, rtol · greatest)`` count as 0.

    >>> from tracegrad.eager import tensor
    >>> pinv(tensor([[2.0], [0.0]]))
    tensor([[0.5000, 0.0000]])
    """
    require_matrix("linalg.pinv", A, square=hermitian)
    relative = rcond if rtol is None else rtol
    if relative is None and atol:
        relative = 0.0
    tolerance = None if relative is None else float(relative)
    return pinv_raw(A, rtol=tolerance, atol=float(atol or 0.0), hermitian=hermitian)


@recorded_as("LinalgLstsqBackward0")
def _least_squares(a: Any, b: Any, rcond: float, vector: bool, residuals: bool) -> tuple[Any, Any]:
    right = expand_dims(b, -1) if vector else b
    found = matmul(pinv_raw(a, rtol=rcond), right)
    away = subtract(matmul(a, found), right)
    squares = real_part(sum_of(multiply(conjugated(away), away), -2))
    left = squares if residuals else getitem(reshape(squares, (-1,)), slice(0, 0))
    return (squeeze(found, -1) if vector else found), left


DRIVERS = ("gelsy", "gels", "gelsd", "gelss")


def lstsq(A: Any, B: Any, rcond: float | None = None, *, driver: str | None = None) -> Any:
    """X for which A X comes nearest to B, as ``(solution, residuals, rank, singular_values)``.

    The solution is that of the pseudo-inverse whatever the ``driver``; as with PyTorch's, ``residuals`` is empty with the
    default ``"gelsy"``, ``singular_values`` with that and ``"gels"``, and ``rank`` with ``"gels"``.

    >>> from tracegrad.eager import tensor
    >>> lstsq(tensor([[1.0], [0.0]]), tensor([[1.0], [3.0]])).solution
    tensor([[1.]])
    """
    require_matrix("torch.linalg.lstsq", A)
    _same_dtype("torch.linalg.lstsq", A, B)
    driver = driver or "gelsy"
    if driver not in DRIVERS:
        raise ValueError(f"torch.linalg.lstsq: parameter `driver` should be one of {DRIVERS}, not {driver!r}")
    m, n = shape_of(A)[-2:]
    vector = _is_vector(shape_of(A), shape_of(B))
    if shape_of(B)[-1 if vector else -2] != m:
        raise ShapeError(
            f"torch.linalg.lstsq: input.size(-2) should match other.size(-2); the shapes are {shape_of(A)} and {shape_of(B)}",
            fix="B needs as many rows as A",
            where=user_frame(),
        )
    tolerance = max(m, n) * float(np.finfo(A.dtype).eps) if rcond is None else float(rcond)
    fixed = constant(A)
    rank = linalg.matrix_rank(fixed, rtol=tolerance)
    full = all_of(rank == n)
    whole = getattr(full, "bind_rank", 0) == TRACED or bool(full)
    solution, left = _least_squares(A, B, tolerance, vector, driver != "gelsy" and m > n and whole)
    values = linalg.svdvals(fixed) if driver in ("gelsd", "gelss") else getitem(reshape(fixed, (-1,)), slice(0, 0))
    return LstsqResult(solution, left, rank if driver != "gels" else getitem(reshape(rank, (-1,)), slice(0, 0)), values)


# -- determinants -------------------------------------------------------------------------------------------------------


def det(A: Any) -> Any:
    """The determinant of each matrix; its gradient is right at singular matrices, too.

    >>> from tracegrad.eager import tensor
    >>> det(tensor([[2.0, 0.0], [0.0, 4.0]]))
    tensor(8.)
    """
    require_matrix("linalg.det", A, square=True)
    return det_raw(A)


@recorded_as("LinalgSlogdetBackward0")
def _sign_and_log(a: Any) -> tuple[Any, Any]:
    return tuple(linalg.slogdet(a))


def slogdet(A: Any) -> Any:
    """The sign of the determinant and the logarithm of its size.

    >>> from tracegrad.eager import tensor
    >>> slogdet(tensor([[2.0, 0.0], [0.0, -0.5]]))
    torch.return_types.linalg_slogdet(
    sign=tensor(-1.),
    logabsdet=tensor(0.))
    """
    require_matrix("linalg.slogdet", A, square=True)
    return SlogdetResult(*_sign_and_log(A))


# -- decompositions -----------------------------------------------------------------------------------------------------


def triangle_of(a: Any, upper: bool) -> Any:
    """The Cholesky factor as a lower or an upper triangle."""
    factor = cholesky_raw(from_triangle(a, upper=upper))
    return adjoint(factor) if upper else factor


_cholesky_of = recorded_as("LinalgCholeskyExBackward0")(triangle_of)


def cholesky(A: Any, *, upper: bool = False) -> Any:
    """The triangular L with L Lᵀ = A, or with ``upper`` U with Uᵀ U = A; LinAlgError where there is none.

    >>> from tracegrad.eager import tensor
    >>> cholesky(tensor([[4.0, 2.0], [2.0, 2.0]]))
    tensor([[2., 0.],
            [1., 1.]])
    """
    require_matrix("linalg.cholesky", A, square=True)
    return _cholesky_of(A, upper)


@recorded_as("LinalgEighBackward0")
def _eigen(a: Any, upper: bool) -> tuple[Any, Any]:
    packed = eigh_packed(from_triangle(a, upper=upper), upper=upper)
    return real_part(getitem(packed, (Ellipsis, 0, slice(None)))), rows(packed, 1, None)


def eigh(A: Any, UPLO: str = "L") -> Any:
    """The eigenvalues of symmetric matrices in ascending order, and the eigenvectors as columns.

    >>> from tracegrad.eager import tensor
    >>> eigh(tensor([[1.0, 0.0], [0.0, 3.0]])).eigenvalues
    tensor([1., 3.])
    """
    require_matrix("linalg.eigh", A, square=True)
    if UPLO.upper() not in ("L", "U"):
        raise ValueError(f"Expected UPLO argument to be 'L' or 'U', but got {UPLO}")
    return EighResult(*_eigen(A, UPLO.upper() == "U"))


def eigvalsh(A: Any, UPLO: str = "L") -> Any:
    """The eigenvalues of symmetric matrices in ascending order.

    >>> from tracegrad.eager import tensor
    >>> eigvalsh(tensor([[1.0, 0.0], [0.0, 3.0]]))
    tensor([1., 3.])
    """
    return eigh(A, UPLO).eigenvalues


@recorded_as("LinalgSvdBackward0")
def _singular(a: Any, full: bool) -> tuple[Any, Any, Any]:
    return tuple((linalg.full_svd if full else linalg.reduced_svd)(a))


def svd(A: Any, full_matrices: bool = True) -> Any:
    """U, the singular values in descending order, and Vh; vectors that any basis could replace carry no gradient.

    >>> from tracegrad.eager import tensor
    >>> svd(tensor([[2.0, 0.0], [0.0, 1.0]])).S
    tensor([2., 1.])
    """
    require_matrix("linalg.svd", A)
    return SVDResult(*_singular(A, full_matrices))


def svdvals(A: Any) -> Any:
    """The singular values in descending order.

    >>> from tracegrad.eager import tensor
    >>> svdvals(tensor([[3.0], [4.0]]))
    tensor([5.])
    """
    return svd(A, full_matrices=False).S


@recorded_as("LinalgQrBackward0")
def _orthogonal(a: Any, mode: str) -> tuple[Any, Any]:
    m, n = shape_of(a)[-2:]
    if mode == "complete" and m > n:
        packed = qr_complete(a)
        return columns(packed, 0, m), columns(packed, m, None)
    packed = qr_packed(a)
    upper = columns(packed, m, None)
    return (getitem(reshape(upper, (-1,)), slice(0, 0)) if mode == "r" else transposed(columns(packed, 0, m))), upper


def qr(A: Any, mode: str = "reduced") -> Any:
    """Orthonormal columns Q and an upper triangle R with Q R = A.

    ``mode`` is ``"reduced"``, ``"complete"`` for a square Q (without gradient where A has more rows than columns), or
    ``"r"`` for R alone.

    >>> from tracegrad.eager import tensor
    >>> qr(tensor([[3.0], [4.0]])).R.abs()
    tensor([[5.]])
    """
    require_matrix("linalg.qr", A)
    if mode not in ("reduced", "complete", "r"):
        raise ValueError(f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', or 'complete'")
    return QRResult(*_orthogonal(A, mode))


def matrix_exp(A: Any) -> Any:
    """The exponential series of each matrix.

    >>> from tracegrad.eager import tensor
    >>> matrix_exp(tensor([[0.0, 1.0], [0.0, 0.0]]))
    tensor([[1., 1.],
            [0., 1.]])
    """
    require_matrix("linalg.matrix_exp", A, square=True)
    return matrix_exp_raw(A)
