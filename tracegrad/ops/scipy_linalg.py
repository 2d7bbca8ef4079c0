"""``scipy.linalg`` in its own signatures, over the decompositions that NumPy's names use."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracegrad.core.aval import shape_of
from tracegrad.errors import ShapeError, TraceError
from tracegrad.ops import assembly, checks, linalg
from tracegrad.ops.indexing import getitem
from tracegrad.ops.matrices import conjugated
from tracegrad.ops.pointwise import as_float
from tracegrad.ops.reductions import as_operand
from tracegrad.ops.reductions import sum as sum_of
from tracegrad.ops.views import concatenate, expand_dims, reshape

# -- equations --------------------------------------------------------------------------------------------------------


def solve(
    a: Any,
    b: Any,
    lower: bool = False,
    overwrite_a: bool = False,
    overwrite_b: bool = False,
    check_finite: bool = True,
    assume_a: str | None = None,
    transposed: bool = False,
) -> Any:
    """``scipy.linalg.solve``; what is assumed of ``a`` is not made use of, so all of it is read."""
    if assume_a not in (None, "gen", "general"):
        raise TraceError(f"solve with assume_a={assume_a!r} is not traced", fix="leave it out, and give the whole matrix")
    return linalg.solve(linalg.matrix_transpose(a) if transposed else a, b)


def inv(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    """``scipy.linalg.inv``."""
    return linalg.inv(a)


def det(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    """``scipy.linalg.det``."""
    found = linalg.det(as_float(a))
    return found if found.dtype.kind == "c" else found.astype(np.float64)  # SciPy's is, of float32 too


def solve_triangular(
    a: Any,
    b: Any,
    trans: int | str = 0,
    lower: bool = False,
    unit_diagonal: bool = False,
    overwrite_b: bool = False,
    check_finite: bool = True,
) -> Any:
    """``scipy.linalg.solve_triangular``; LinAlgError where a number on the diagonal is 0."""
    a, b = as_float(as_operand(a)), as_float(as_operand(b))
    trans = 0 if trans in ("N", 0) else trans
    found = linalg.solve_triangular(a, b, lower=lower, unit_diagonal=unit_diagonal, trans=trans)
    if unit_diagonal or not shape_of(a)[-1]:
        return found
    # LAPACK divides by what is on the diagonal, which SciPy looks at first
    zeros = sum_of((assembly.diagonal(a, 0, -2, -1) == 0).astype(np.int64))
    return found + checks.checked(checks.diagonal_zeros, zeros, 1).astype(found.dtype)


def cholesky(a: Any, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    """``scipy.linalg.cholesky``: upper by default."""
    return linalg.cholesky(as_float(a), upper=not lower)


def cho_factor(a: Any, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True) -> tuple[Any, bool]:
    """``scipy.linalg.cho_factor``; the other triangle is 0."""
    return cholesky(a, lower), lower


def cho_solve(c_and_lower: tuple[Any, bool], b: Any, overwrite_b: bool = False, check_finite: bool = True) -> Any:
    """``scipy.linalg.cho_solve``."""
    factor, lower = c_and_lower
    halfway = linalg.solve_triangular(factor, as_float(b), lower=bool(lower), trans=0 if lower else 2)
    return linalg.solve_triangular(factor, halfway, lower=bool(lower), trans=2 if lower else 0)


# -- decompositions ---------------------------------------------------------------------------------------------------


def pinv(a: Any, *, atol: float | None = None, rtol: float | None = None, check_finite: bool = True) -> Any:
    """``scipy.linalg.pinv`` with SciPy's default tolerance."""
    if atol is not None:
        raise TraceError("pinv with atol= is not traced", fix="give rtol=, relative to the greatest singular value")
    a = as_float(as_operand(a))
    return linalg.pinv(a, rtol=max(shape_of(a)[-2:]) * float(np.finfo(a.dtype).eps) if rtol is None else rtol)


def eigh(
    a: Any,
    b: Any = None,
    *,
    lower: bool = True,
    eigvals_only: bool = False,
    overwrite_a: bool = False,
    overwrite_b: bool = False,
    check_finite: bool = True,
    driver: str | None = None,
) -> Any:
    """``scipy.linalg.eigh`` of one matrix."""
    if b is not None:
        raise TraceError("eigh of two matrices is not traced", fix="divide by the Cholesky factor of b: L⁻¹ a L⁻ᵀ")
    uplo = "L" if lower else "U"
    return linalg.eigvalsh(a, uplo) if eigvals_only else tuple(linalg.eigh(a, uplo))


def eigvalsh(a: Any, b: Any = None, *, lower: bool = True, overwrite_a: bool = False, overwrite_b: bool = False) -> Any:
    """``scipy.linalg.eigvalsh`` of one matrix."""
    return eigh(a, b, lower=lower, eigvals_only=True)


def svd(
    a: Any,
    full_matrices: bool = True,
    compute_uv: bool = True,
    overwrite_a: bool = False,
    check_finite: bool = True,
    lapack_driver: str = "gesdd",
) -> Any:
    """``scipy.linalg.svd``."""
    found = linalg.svd(a, full_matrices, compute_uv)
    return tuple(found) if compute_uv else found


def svdvals(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    """``scipy.linalg.svdvals``."""
    return linalg.svdvals(a)


def qr(
    a: Any,
    overwrite_a: bool = False,
    lwork: int | None = None,
    mode: str = "full",
    pivoting: bool = False,
    check_finite: bool = True,
) -> Any:
    """``scipy.linalg.qr``; of a tall matrix's square Q the columns that any basis could replace move with their space."""
    if pivoting or mode not in ("full", "economic", "r"):
        raise TraceError("qr with pivots or in raw form is not traced", fix='use mode="full", "economic" or "r"')
    found = linalg.qr(as_float(as_operand(a)), "reduced" if mode == "economic" else "complete")
    return (found.R,) if mode == "r" else tuple(found)


def norm(a: Any, ord: Any = None, axis: Any = None, keepdims: bool = False, check_finite: bool = True) -> Any:  # noqa: A002
    """``scipy.linalg.norm``."""
    return linalg.norm(a, ord, axis, keepdims)


def expm(A: Any) -> Any:
    """``scipy.linalg.expm``."""
    return linalg.matrix_exp(as_float(A))


# -- matrices of a pattern --------------------------------------------------------------------------------------------


def block_diag(*arrs: Any) -> Any:
    """``scipy.linalg.block_diag``."""
    blocks = [as_operand(a) for a in arrs]
    blocks = [b if len(shape_of(b)) == 2 else reshape(b, (1, -1)) for b in blocks]
    width = sum(shape_of(b)[1] for b in blocks)
    dtype = np.result_type(*(b.dtype for b in blocks))
    lines, start = [], 0
    for b in blocks:
        height, own = shape_of(b)
        parts = [np.zeros((height, start), dtype), b, np.zeros((height, width - start - own), dtype)]
        lines.append(concatenate([part for part in parts if shape_of(part)[1]] or [b], 1))
        start += own
    return concatenate(lines, 0)


def _check_lines(name: str, *lines: Any) -> None:
    """Refuse several columns or rows at once, which other versions of SciPy take for one long one."""
    if any(line is not None and len(shape_of(as_operand(line))) > 1 for line in lines):
        raise ShapeError(f"scipy.linalg.{name} takes one column and one row", fix=f"map it: tg.vmap(scipy.linalg.{name})(c)")


def toeplitz(c: Any, r: Any = None) -> Any:
    """``scipy.linalg.toeplitz``: constant along diagonals, from the first column and row, which is its conjugate by default."""
    _check_lines("toeplitz", c, r)
    c = reshape(as_operand(c), -1)
    r = conjugated(c) if r is None else reshape(as_operand(r), -1)
    rows, columns = shape_of(c)[0], shape_of(r)[0]
    line = concatenate([getitem(r, slice(None, 0, -1)), c], 0)
    return getitem(line, columns - 1 + np.arange(rows)[:, None] - np.arange(columns))


def hankel(c: Any, r: Any = None) -> Any:
    """``scipy.linalg.hankel``: constant along anti-diagonals, from the first column and last row."""
    _check_lines("hankel", c, r)
    c = reshape(as_operand(c), -1)
    r = np.zeros(shape_of(c), c.dtype) if r is None else reshape(as_operand(r), -1)
    line = concatenate([c, getitem(r, slice(1, None))], 0)
    return getitem(line, np.arange(shape_of(c)[0])[:, None] + np.arange(shape_of(r)[0]))


def circulant(c: Any) -> Any:
    """``scipy.linalg.circulant`` of a vector."""
    c = as_operand(c)
    if len(shape_of(c)) != 1:
        raise ShapeError(f"circulant of an array of shape {shape_of(c)}", fix="give a vector")
    k = np.arange(shape_of(c)[0])
    return getitem(c, (k[:, None] - k) % max(len(k), 1))


def khatri_rao(a: Any, b: Any) -> Any:
    """``scipy.linalg.khatri_rao``: the Kronecker product column by column."""
    a, b = as_operand(a), as_operand(b)
    if len(shape_of(a)) != 2 or len(shape_of(b)) != 2 or shape_of(a)[1] != shape_of(b)[1]:
        raise ShapeError(f"khatri_rao of shapes {shape_of(a)} and {shape_of(b)}", fix="give matrices of equally many columns")
    return reshape(expand_dims(a, 1) * expand_dims(b, 0), (-1, shape_of(a)[1]))


# -- NumPy's equations of tensors -------------------------------------------------------------------------------------


def tensorsolve(a: Any, b: Any) -> Any:
    """``np.linalg.tensorsolve`` of axes in order."""
    a, b = as_operand(a), as_operand(b)
    shape = shape_of(a)[len(shape_of(b)) :]
    size = int(np.prod(shape_of(b)))
    if int(np.prod(shape)) != size:
        raise ShapeError(f"tensorsolve of shapes {shape_of(a)} and {shape_of(b)}", fix="make the unknowns as many as equations")
    return reshape(linalg.solve(reshape(a, (size, size)), reshape(b, (size,))), shape)


def tensorinv(a: Any, ind: int = 2) -> Any:
    """``np.linalg.tensorinv``."""
    a = as_operand(a)
    if ind <= 0:
        raise ShapeError(f"tensorinv with ind={ind}", fix="give a positive number of axes")
    lead, rest = shape_of(a)[:ind], shape_of(a)[ind:]
    return reshape(linalg.inv(reshape(a, (int(np.prod(lead)), -1))), (*rest, *lead))
