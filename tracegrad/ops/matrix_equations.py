"""More of ``scipy.linalg``: matrix equations, banded and Toeplitz systems, functions of matrices, the polar decomposition.

All are composed of solutions, exponentials and singular values, which have the derivatives. The discrete Lyapunov equation is
solved as one system for its elements, n² of them, and banded matrices as dense ones: right for small ones, slow for large ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tracegrad.core.aval import shape_of
from tracegrad.errors import ShapeError, TraceError
from tracegrad.ops import linalg
from tracegrad.ops.complexes import is_complex
from tracegrad.ops.contractions import matmul
from tracegrad.ops.decompositions import matrix_exp, matrix_exp_turn
from tracegrad.ops.indexing import getitem
from tracegrad.ops.maps import select
from tracegrad.ops.matrices import adjoint, check_square, columns, conjugated, rows, transposed
from tracegrad.ops.matrix_factors import sylvester
from tracegrad.ops.pointwise import as_float
from tracegrad.ops.reductions import as_operand
from tracegrad.ops.scipy_linalg import toeplitz
from tracegrad.ops.views import concatenate, expand_dims, reshape


def _float(x: Any) -> Any:
    return as_float(as_operand(x))


def _double(x: Any) -> Any:
    """In double precision, which some of SciPy's functions have for single precision, too."""
    x = _float(x)
    return x.astype(np.result_type(x.dtype, np.float64))


# -- equations in a matrix ----------------------------------------------------------------------------------------------


def _eye(n: int, dtype: Any) -> Any:
    return np.eye(n, dtype=dtype)


def _outer(a: Any, b: Any) -> Any:
    """The Kronecker product of square matrices, whose rows are places (i, j) and columns places (k, l)."""
    size = shape_of(a)[0] * shape_of(b)[0]
    return reshape(expand_dims(a, (1, 3)) * expand_dims(b, (0, 2)), (size, size))


def _checked(name: str, *matrices: Any) -> None:
    for matrix in matrices:
        if len(shape_of(matrix)) != 2:
            raise ShapeError(f"{name} of an array of shape {shape_of(matrix)}", fix="give matrices")
        check_square(name, shape_of(matrix))


def solve_sylvester(a: Any, b: Any, q: Any) -> Any:
    """``scipy.linalg.solve_sylvester``: X with a X + X b = q.

    >>> solve_sylvester(np.eye(2), np.eye(2), np.full((2, 2), 4.0))
    array([[2., 2.],
           [2., 2.]])
    """
    a, b, q = _float(a), _float(b), _float(q)
    _checked("solve_sylvester", a, b)
    m, n = shape_of(a)[0], shape_of(b)[0]
    if shape_of(q) != (m, n):
        raise ShapeError(f"solve_sylvester with q of shape {shape_of(q)}", fix=f"give q the shape {(m, n)}")
    dtype = np.result_type(a.dtype, b.dtype, q.dtype)
    return sylvester(a.astype(dtype), b.astype(dtype), q.astype(dtype))


def solve_continuous_lyapunov(a: Any, q: Any) -> Any:
    """``scipy.linalg.solve_continuous_lyapunov``: X with a X + X aᴴ = q.

    >>> solve_continuous_lyapunov(np.eye(1), np.ones((1, 1)))
    array([[0.5]])
    """
    a = _float(a)
    check_square("linalg.solve_continuous_lyapunov", shape_of(a))
    return solve_sylvester(a, adjoint(a), q)


def solve_discrete_lyapunov(a: Any, q: Any, method: str | None = None) -> Any:
    """``scipy.linalg.solve_discrete_lyapunov``: X with a X aᴴ - X + q = 0.

    >>> solve_discrete_lyapunov(np.full((1, 1), 0.5), np.full((1, 1), 3.0))
    array([[4.]])
    """
    a, q = _double(a), _double(q)
    _checked("solve_discrete_lyapunov", a, q)
    n = shape_of(a)[0]
    return reshape(linalg.solve(_eye(n * n, a.dtype) - _outer(a, conjugated(a)), reshape(q, (n * n,))), (n, n))


# -- banded and Toeplitz systems ----------------------------------------------------------------------------------------


def _banded(ab: Any, below: int, above: int) -> Any:
    """The square matrix with these diagonals, the highest one first."""
    n = shape_of(ab)[1]
    away = np.arange(n)[:, None] - np.arange(n)
    inside = (away >= -above) & (away <= below)
    found = getitem(ab, (np.where(inside, above + away, 0), np.broadcast_to(np.arange(n), (n, n))))
    return select(inside, found, 0.0)


def solve_banded(
    l_and_u: tuple[int, int], ab: Any, b: Any, overwrite_ab: bool = False, overwrite_b: bool = False, check_finite: bool = True
) -> Any:
    """``scipy.linalg.solve_banded``, through the dense matrix.

    >>> solve_banded((0, 1), np.array([[0.0, 1.0], [2.0, 4.0]]), np.array([2.0, 4.0]))
    array([0.5, 1. ])
    """
    below, above = l_and_u
    ab = _float(ab)
    if shape_of(ab)[0] != below + above + 1:
        raise ShapeError(
            f"solve_banded with {shape_of(ab)[0]} diagonals for (l, u) = {(below, above)}", fix="give l + u + 1 rows of ab"
        )
    return linalg.solve(_banded(ab, below, above), _float(b))


def solveh_banded(
    ab: Any, b: Any, overwrite_ab: bool = False, overwrite_b: bool = False, lower: bool = False, check_finite: bool = True
) -> Any:
    """``scipy.linalg.solveh_banded``, through the dense matrix.

    >>> solveh_banded(np.array([[0.0, 0.0], [2.0, 4.0]]), np.array([2.0, 4.0]))
    array([1., 1.])
    """
    ab = _float(ab)
    width = shape_of(ab)[0] - 1
    half = _banded(ab, width, 0) if lower else _banded(ab, 0, width)
    away = np.arange(shape_of(ab)[1])[:, None] - np.arange(shape_of(ab)[1])
    if is_complex(half):  # of the diagonal the real part is read
        return linalg.solve(select(away == 0, half.real, half + adjoint(half)), _float(b))
    return linalg.solve(half + select(away == 0, 0.0, transposed(half)), _float(b))


def solve_toeplitz(c_or_cr: Any, b: Any, check_finite: bool = True) -> Any:
    """``scipy.linalg.solve_toeplitz`` of a symmetric, or complex Hermitian matrix, through the dense one.

    >>> solve_toeplitz(np.array([2.0, 0.0]), np.array([2.0, 4.0]))
    array([1., 2.])
    """
    if isinstance(c_or_cr, tuple) or len(shape_of(as_operand(c_or_cr))) != 1:
        raise TraceError("solve_toeplitz with a first row is not traced", fix="solve(toeplitz(c, r), b) is")
    return linalg.solve(_float(toeplitz(c_or_cr)), _float(b))


# -- functions of matrices ----------------------------------------------------------------------------------------------


def sinhm(A: Any) -> Any:
    """``scipy.linalg.sinhm``.

    >>> sinhm(np.zeros((1, 1)))
    array([[0.]])
    """
    A = _float(A)
    return (matrix_exp(A) - matrix_exp(-A)) * 0.5


def coshm(A: Any) -> Any:
    """``scipy.linalg.coshm``.

    >>> coshm(np.zeros((1, 1)))
    array([[1.]])
    """
    A = _float(A)
    return (matrix_exp(A) + matrix_exp(-A)) * 0.5


def tanhm(A: Any) -> Any:
    """``scipy.linalg.tanhm``.

    >>> tanhm(np.zeros((1, 1)))
    array([[0.]])
    """
    return linalg.solve(coshm(A), sinhm(A))


def _turned(A: Any) -> tuple[Any, Any]:
    """Cosine and sine of a matrix: those of the exponential of the real form of iA."""
    A = _float(A)
    n = shape_of(A)[-1]
    nothing = A * 0.0
    whole = matrix_exp(concatenate([concatenate([nothing, -A], -1), concatenate([A, nothing], -1)], -2))
    left = columns(whole, 0, n)
    return rows(left, 0, n), rows(left, n, None)


def cosm(A: Any) -> Any:
    """``scipy.linalg.cosm``.

    >>> cosm(np.zeros((1, 1)))
    array([[1.]])
    """
    return _turned(A)[0]


def sinm(A: Any) -> Any:
    """``scipy.linalg.sinm``.

    >>> sinm(np.zeros((1, 1)))
    array([[0.]])
    """
    return _turned(A)[1]


def tanm(A: Any) -> Any:
    """``scipy.linalg.tanm``.

    >>> tanm(np.zeros((1, 1)))
    array([[0.]])
    """
    cosine, sine = _turned(A)
    return linalg.solve(cosine, sine)


def expm_frechet(A: Any, E: Any, method: str | None = None, compute_expm: bool = True, check_finite: bool = True) -> Any:
    """``scipy.linalg.expm_frechet``: the exponential and its derivative along E.

    >>> expm_frechet(np.zeros((1, 1)), np.full((1, 1), 2.0), compute_expm=False)
    array([[2.]])
    """
    A, E = _double(A), _double(E)
    along = matrix_exp_turn(E, A)
    return (matrix_exp(A), along) if compute_expm else along


def polar(a: Any, side: str = "right") -> Any:
    """``scipy.linalg.polar``: an orthogonal and a positive semidefinite factor; singular values are to differ.

    >>> polar(np.array([[-2.0]]))
    (array([[-1.]]), array([[2.]]))
    """
    if side not in ("right", "left"):
        raise ValueError("`side` must be either 'right' or 'left'")
    u, s, vh = linalg.reduced_svd(_float(a))
    factor = matmul(adjoint(vh) * expand_dims(s, -2), vh) if side == "right" else matmul(u * expand_dims(s, -2), adjoint(u))
    return matmul(u, vh), factor
