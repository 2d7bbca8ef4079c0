"""``scipy.linalg``'s factors, bases and functions of matrices in its own signatures, over the raw ops."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from tracegrad.core.aval import shape_of
from tracegrad.errors import TraceError
from tracegrad.ops import checks, linalg, matrix_equations
from tracegrad.ops.assembly import tril, triu
from tracegrad.ops.comparisons import greater
from tracegrad.ops.complexes import is_complex
from tracegrad.ops.contractions import matmul
from tracegrad.ops.decompositions import matrix_exp, svd_completion
from tracegrad.ops.indexing import getitem
from tracegrad.ops.matrices import check_square, columns, real_part, rows, transposed
from tracegrad.ops.matrix_factors import (
    balance_packed,
    lu_packed,
    matrix_log,
    matrix_root,
    schur_packed,
    swap_rows,
)
from tracegrad.ops.pointwise import as_float
from tracegrad.ops.reductions import as_operand
from tracegrad.ops.reductions import sum as sum_of
from tracegrad.ops.views import broadcast_to, expand_dims, reshape, squeeze


def _float(x: Any) -> Any:
    return as_float(as_operand(x))


def _double(x: Any) -> Any:
    """In double precision, which some of SciPy's functions have for single precision, too."""
    x = _float(x)
    return x.astype(np.result_type(x.dtype, np.float64))


# -- LU -----------------------------------------------------------------------------------------------------------------


def _factors(a: Any) -> tuple[Any, Any, Any]:
    """L and U side by side, how many columns and rows both have, and the rows that were exchanged, as numbers."""
    a = _float(a)
    packed = lu_packed(a)
    m, n = shape_of(a)[-2:]
    return columns(packed, 0, n), min(m, n), rows(columns(packed, n, None), 0, min(m, n))


def _unit_lower(packed: Any, k: int) -> Any:
    m = shape_of(packed)[-2]
    return tril(columns(packed, 0, k), -1) + np.eye(m, k, dtype=packed.dtype)


def lu(
    a: Any, permute_l: bool = False, overwrite_a: bool = False, check_finite: bool = True, p_indices: bool = False
) -> tuple[Any, ...]:
    """``scipy.linalg.lu``: P L U of each matrix of a stack; the permutation has no derivative.

    >>> lu(np.array([[0.0, 2.0], [4.0, 2.0]]))[2]
    array([[4., 2.],
           [0., 2.]])
    """
    packed, k, pivots = _factors(a)
    lower, upper = _unit_lower(packed, k), triu(rows(packed, 0, k))
    if permute_l:
        return swap_rows(lower, pivots, back=True), upper
    m = shape_of(packed)[-2]
    batch = shape_of(packed)[:-2]
    if p_indices:
        count = broadcast_to(np.arange(m, dtype=packed.dtype)[:, None], (*batch, m, 1))
        return real_part(squeeze(swap_rows(count, pivots, back=True), -1)).astype(np.int32), lower, upper
    whole = broadcast_to(np.eye(m, dtype=packed.dtype), (*batch, m, m))
    return real_part(swap_rows(whole, pivots, back=True)), lower, upper


def lu_factor(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> tuple[Any, Any]:
    """``scipy.linalg.lu_factor``: L and U in one matrix, and the rows that were exchanged.

    >>> lu_factor(np.array([[0.0, 2.0], [4.0, 2.0]]))[1]
    array([1, 1], dtype=int32)
    """
    packed, _, pivots = _factors(a)
    return packed, real_part(squeeze(pivots, -1)).astype(np.int32)


def lu_solve(lu_and_piv: tuple[Any, Any], b: Any, trans: int = 0, overwrite_b: bool = False, check_finite: bool = True) -> Any:
    """``scipy.linalg.lu_solve``; with ``trans`` 1 for the transposed matrix, 2 for its conjugate.

    >>> lu_solve(lu_factor(np.array([[0.0, 2.0], [4.0, 2.0]])), np.array([2.0, 6.0]))
    array([1., 1.])
    """
    if trans not in (0, 1, 2):
        raise ValueError("trans must be 0, 1, or 2")
    packed, pivots, b = _float(lu_and_piv[0]), as_operand(lu_and_piv[1]), _float(b)
    check_square("lu_solve", shape_of(packed))
    dtype = np.result_type(packed.dtype, b.dtype)
    packed, b, places = packed.astype(dtype), b.astype(dtype), expand_dims(pivots, -1).astype(dtype)
    vector = len(shape_of(b)) == 1
    right = expand_dims(b, -1) if vector else b
    packed, right = linalg.stretched(packed, right)
    places = broadcast_to(places, (*shape_of(right)[:-2], *shape_of(places)[-2:]))
    if trans:
        found = linalg.solve_triangular(packed, right, trans=trans)
        found = linalg.solve_triangular(packed, found, lower=True, unit_diagonal=True, trans=trans)
        found = swap_rows(found, places, back=True)
    else:
        found = linalg.solve_triangular(packed, swap_rows(right, places, back=False), lower=True, unit_diagonal=True)
        found = linalg.solve_triangular(packed, found)
    return squeeze(found, -1) if vector else found


# -- least squares ------------------------------------------------------------------------------------------------------


def lstsq(
    a: Any,
    b: Any,
    cond: float | None = None,
    overwrite_a: bool = False,
    overwrite_b: bool = False,
    check_finite: bool = True,
    lapack_driver: str | None = None,
) -> tuple[Any, Any, Any, Any]:
    """``scipy.linalg.lstsq``: solution, residuals of a matrix of full rank, rank and singular values.

    >>> lstsq(np.array([[1.0], [1.0]]), np.array([1.0, 3.0]))[0].round(4)
    array([2.])
    """
    if lapack_driver == "gelsy":
        raise TraceError('lstsq with lapack_driver="gelsy" is not traced', fix="leave it out: singular values are found, too")
    a, b = _float(a), _float(b)
    found = linalg.lstsq(a, b, float(np.finfo(a.dtype).eps) if cond is None else cond)
    left = found.residuals
    if len(shape_of(b)) == 1 and shape_of(left)[0]:
        left = reshape(left, ())
    return found.x, left, found.rank.astype(np.int64), found.singular_values


# -- bases --------------------------------------------------------------------------------------------------------------


def _checked_rank(values: Any, shape: tuple[int, ...], rcond: float | None) -> Any:
    """0, or the error of a matrix that has not full rank."""
    relative = float(np.finfo(values.dtype).eps) * max(shape) if rcond is None else float(rcond)
    limit = getitem(values, (Ellipsis, slice(0, 1))) * relative
    missing = sum_of(greater(values, limit) == False, -1)  # noqa: E712 - of arrays
    return expand_dims(checks.checked(checks.rank_number, missing, 1), (-2, -1))


def orth(A: Any, rcond: float | None = None) -> Any:
    """``scipy.linalg.orth`` of a matrix of full rank: orthonormal columns that span what its columns do.

    Raises PositionError where the rank is less: how many columns there are would depend on values.

    >>> abs(orth(np.array([[0.0], [2.0]])))
    array([[0.],
           [1.]])
    """
    A = _float(A)
    found = linalg.reduced_svd(A)
    if 0 in shape_of(A)[-2:]:
        return found.U
    return found.U + _checked_rank(found.S, shape_of(A)[-2:], rcond).astype(A.dtype)


def null_space(
    A: Any,
    rcond: float | None = None,
    *,
    overwrite_a: bool = False,
    check_finite: bool = True,
    lapack_driver: str = "gesdd",
) -> Any:
    """``scipy.linalg.null_space`` of a matrix of full rank; the derivative is that of the space.

    Raises PositionError where the rank is less.

    >>> abs(null_space(np.array([[0.0, 2.0]])))
    array([[1.],
           [0.]])
    """
    A = _float(A)
    m, n = shape_of(A)[-2:]
    found = svd_completion(A, right=True) if n > m else columns(transposed(A), 0, 0)
    if 0 in (m, n):
        return found
    return found + _checked_rank(linalg.svdvals(A), (m, n), rcond).astype(A.dtype)


def schur(
    a: Any,
    output: str = "real",
    lwork: int | None = None,
    overwrite_a: bool = False,
    sort: Any = None,
    check_finite: bool = True,
) -> tuple[Any, Any]:
    """``scipy.linalg.schur``, of real matrices in real form; where eigenvalues coincide it has no derivative.

    Of a complex form the phases of Z's columns, which are LAPACK's choice, are taken not to turn.

    >>> schur(np.array([[1.0, 2.0], [0.0, 3.0]]))[0]
    array([[1., 2.],
           [0., 3.]])
    """
    if sort is not None:
        raise TraceError("schur is traced without sort=", fix="leave sort= out, or use np.linalg.eigh")
    if output not in ("real", "r", "complex", "c"):
        raise ValueError("argument must be 'real', or 'complex'")
    a = _float(a)
    if output in ("complex", "c") and not is_complex(a):
        raise TraceError(
            "schur of a real matrix is traced in its real form", fix='make the matrix complex, or leave output="complex" out'
        )
    packed = schur_packed(a)
    n = shape_of(packed)[-1]
    return rows(packed, 0, n), rows(packed, n, None)


def matrix_balance(
    A: Any, permute: bool = True, scale: bool = True, separate: bool = False, overwrite_a: bool = False
) -> tuple[Any, Any]:
    """``scipy.linalg.matrix_balance``; the transformation jumps, so it has no derivative.

    >>> matrix_balance(np.array([[1.0, 256.0], [1.0, 1.0]]))[0]
    array([[ 1., 16.],
           [16.,  1.]])
    """
    if separate:
        raise TraceError("matrix_balance with separate=True is not traced", fix="leave it out, and take the matrix apart")
    A = _float(A)
    packed = balance_packed(A, permute=bool(permute), scale=bool(scale))
    n = shape_of(packed)[-1]
    turn = rows(packed, 0, n)
    return matmul(matmul(rows(packed, n, None), A), turn), real_part(turn).astype(np.float64)


def bandwidth(a: Any) -> tuple[int, int]:
    """``scipy.linalg.bandwidth`` of a matrix that is known while tracing."""
    known = a if isinstance(a, np.ndarray) else a.recorder.concrete(a.id)
    if known is not None:
        below, above = importlib.import_module("scipy.linalg").bandwidth(known)
        return int(below), int(above)
    raise TraceError(
        "bandwidth of a traced matrix: two Python numbers that depend on its values",
        fix="find it outside and close over it, or give its widths as arguments named in static_argnames",
    )


# -- functions of matrices ----------------------------------------------------------------------------------------------


def sqrtm(A: Any, disp: Any = None, blocksize: Any = None) -> Any:
    """``scipy.linalg.sqrtm``, of a real matrix where it is real; LinAlgError where it is not: make the matrix complex.

    >>> sqrtm(np.diag([4.0, 9.0]))
    array([[2., 0.],
           [0., 3.]])
    """
    return matrix_root(_float(A))


def logm(A: Any, disp: Any = None) -> Any:
    """``scipy.linalg.logm``, of a real matrix where it is real, in double precision; LinAlgError where it is not.

    >>> logm(np.eye(1))
    array([[0.]])
    """
    return matrix_log(_double(A))


def fractional_matrix_power(A: Any, t: Any) -> Any:
    """``scipy.linalg.fractional_matrix_power``: exp(t log A) where it is real; ``t`` may be traced.

    >>> fractional_matrix_power(np.diag([4.0, 9.0]), 0.5).round(12)
    array([[2., 0.],
           [0., 3.]])
    """
    if isinstance(t, (int, float)) and int(t) == t:
        return linalg.matrix_power(_float(A), int(t))
    return matrix_exp(matrix_log(_double(A)) * t)


_OF_NUMBERS: dict[Any, Callable[..., Any]] = {
    np.exp: lambda A: linalg.matrix_exp(_float(A)),
    np.log: logm,
    np.sqrt: sqrtm,
    np.sin: matrix_equations.sinm,
    np.cos: matrix_equations.cosm,
    np.tan: matrix_equations.tanm,
    np.sinh: matrix_equations.sinhm,
    np.cosh: matrix_equations.coshm,
    np.tanh: matrix_equations.tanhm,
}


def funm(A: Any, func: Any, disp: bool = True) -> Any:
    """``scipy.linalg.funm`` of the ufuncs that have a function of matrices of their own, such as ``np.sin``.

    >>> funm(np.zeros((1, 1)), np.cos)
    array([[1.]])
    """
    found = _OF_NUMBERS.get(getattr(func, "__wrapped__", func))
    if found is None:
        raise TraceError(
            f"funm of {getattr(func, '__name__', func)!r} is not traced",
            fix="give np.exp, log, sqrt, sin, cos, tan, sinh, cosh or tanh; of a symmetric matrix: w, v = np.linalg.eigh(A), "
            "then (v * func(w)) @ v.T",
        )
    A = _float(A)
    return found(A).astype(A.dtype)
