"""Decompositions and the exponential of stacks of matrices: raw ops over any leading axes.

A decomposition has several results and an op has one, so it gives them packed: one array, from which the functions in
``linalg`` cut their results by slices. One rule then sees the cotangents of all results at once.

- ``eigh_packed``: eigenvalues as row 0, eigenvectors as the columns below: ``(…, n + 1, n)``;
- ``svd_packed``: U, the singular values as a row, V, below one another: ``(…, m + 1 + n, k)`` with ``k = min(m, n)``;
- ``qr_packed``: Qᵀ and R side by side: ``(…, k, m + n)``.

Symmetric matrices are read whole, as (x + xᵀ)/2, so gradients with respect to them are symmetric. Where a derivative
divides by the distance of two eigenvalues or singular values, a zero cotangent absorbs the infinity: the values alone
have their derivatives at degenerate matrices, too.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tracegrad.core.aval import Aval, shape_of
from tracegrad.core.op import MISSING, Linear, Op, Rule, Sample, Values
from tracegrad.ops.assembly import tril
from tracegrad.ops.complexes import imag, is_complex, join
from tracegrad.ops.contractions import matmul
from tracegrad.ops.indexing import getitem
from tracegrad.ops.maps import multiply, scale, select
from tracegrad.ops.matrices import (
    Array,
    LinAlgError,
    adjoint,
    batch_element,
    check_matrix,
    columns,
    inexact,
    inv,
    no_inverse,
    no_singular_values,
    no_solution,
    opaque,
    pinv_raw,
    raises,
    real_part,
    refused,
    rows,
    solve,
    solve_triangular,
    square,
    stacks,
    transposed,
    turned_by_parts,
)
from tracegrad.ops.views import concatenate, expand_dims


def diagonal_matrix(values: Any) -> Any:
    """Square matrices with these diagonals."""
    return multiply(expand_dims(values, -1), np.eye(shape_of(values)[-1], dtype=values.dtype))


def _symmetric(x: Any) -> Any:
    return (x + adjoint(x)) * 0.5


def _whole(x: Array) -> Array:
    """The symmetric part of an array, or of a complex one the Hermitian part."""
    result: Array = (x + np.swapaxes(x, -1, -2).conj()) * x.real.dtype.type(0.5)
    return result


def _skew(x: Any) -> Any:
    return x - adjoint(x)


def _turning_phases(inside: Any, values: Any) -> Any:
    """1j times the imaginary parts of a diagonal over these values, as the diagonal of matrices."""
    n = shape_of(inside)[-1]
    along = getitem(imag(inside), (Ellipsis, np.arange(n), np.arange(n)))
    over = scale(along, 1.0 / values)
    return diagonal_matrix(join(over * 0.0, over))


def inverse_gaps(gaps: Any) -> Any:
    """1 over each element off the diagonal, 0 on it; infinite where two values are equal."""
    diagonal = np.eye(shape_of(gaps)[-1], dtype=bool)
    return select(diagonal, 0.0, 1.0 / select(diagonal, 1.0, gaps))


def gaps(values: Any) -> Any:
    """``values[j] - values[i]`` at place (i, j)."""
    return expand_dims(values, -2) - expand_dims(values, -1)


def no_factor(where: str, info: int) -> LinAlgError:
    """What a matrix gives that is not positive-definite; ``info`` is the order of the first minor that is not."""
    return LinAlgError(
        f"linalg.cholesky: {where}The factorization could not be completed because the input is not positive-definite "
        f"(the leading minor of order {info} is not positive-definite).",
        fix="symmetrise the matrix, or add a small multiple of the identity",
    )


def no_eigenvalues(where: str = "", info: int = 0) -> LinAlgError:
    """What symmetric matrices with numbers that are not finite give."""
    return LinAlgError("linalg.eigh: The algorithm failed to converge.", fix="look for NaN or infinity in the matrix")


def _cholesky_eager(x: Array) -> Array:
    whole = _whole(x)
    try:
        result: Array = np.linalg.cholesky(whole)
        return result
    except np.linalg.LinAlgError:
        where = batch_element(whole, lambda m: raises(np.linalg.cholesky, m))
        first = next(m for m in whole.reshape(-1, *x.shape[-2:]) if raises(np.linalg.cholesky, m))
        order = next(k for k in range(1, len(first) + 1) if raises(np.linalg.cholesky, first[:k, :k]))
        raise no_factor(where, order) from None


@turned_by_parts
def _cholesky_rule(g: Any, out: Any, x: Any) -> Any:
    # L⁻ᵀ Φ(Lᵀ g) L⁻¹, where Φ takes the lower triangle with half of the diagonal
    inside = matmul(adjoint(out), g)
    n = shape_of(inside)[-1]
    taken = multiply(
        inside, np.tril(np.ones((n, n), inside.dtype), -1) + np.eye(n, dtype=inside.dtype) * inside.dtype.type(0.5)
    )
    turned = adjoint(out)
    left = solve_triangular(turned, taken, upper=True, unitriangular=False)
    return _symmetric(adjoint(solve_triangular(turned, adjoint(left), upper=True, unitriangular=False)))


cholesky_raw = opaque(
    "cholesky",
    square("linalg.cholesky"),
    _cholesky_eager,
    (Rule(_cholesky_rule),),
    ("", "LinalgCholeskyExBackward0"),
    "The lower triangular L with L Lᵀ = (x + xᵀ)/2; LinAlgError where there is none.",
    (*stacks((3, 3), (2, 3, 3), (1, 1)), refused((2, 3), "2 by 3")),
    inexact,
    "lapack_cholesky",
)


def _halves(x: Any, *, upper: bool) -> Any:
    kept = np.triu(x) if upper else np.tril(x)
    off = np.triu(x, 1) if upper else np.tril(x, -1)
    whole: Array = kept + np.swapaxes(off, -1, -2).conj()
    if np.iscomplexobj(whole):
        diagonal = np.arange(whole.shape[-1])
        whole.imag[..., diagonal, diagonal] = 0.0
    return whole


from_triangle = opaque(
    "from_triangle",
    lambda x, *, upper: x,
    _halves,
    (Rule(lambda g, out, x, *, upper: _symmetric(g)),),
    ("", ""),
    "The symmetric matrix of which one triangle is read; its gradient is that of a matrix known to be symmetric.",
    (
        Sample((Values((3, 3)),), {"upper": False}, smooth=False),
        Sample((Values((2, 3, 3)),), {"upper": True}, smooth=False),
        Sample((Values((2, 3, 3), kind="complex"),), {"upper": True}, smooth=False),
    ),
    inexact,
    "lapack_from_triangle",
)


def _eigh_eager(x: Array, *, upper: bool = False) -> Array:
    whole = _whole(x)
    try:
        values, vectors = np.linalg.eigh(whole, "U" if upper else "L")
    except np.linalg.LinAlgError:
        raise no_eigenvalues() from None
    return np.concatenate([values[..., None, :], vectors], axis=-2)


@turned_by_parts
def _eigh_rule(g: Any, out: Any, x: Any, **params: Any) -> Any:
    values, vectors = real_part(getitem(out, (Ellipsis, 0, slice(None)))), rows(out, 1, None)
    turned = adjoint(vectors)
    inside = matmul(turned, rows(g, 1, None))
    # of the cotangent of the vectors only the part that turns them counts
    turning = scale(_skew(inside) * 0.5, inverse_gaps(gaps(values)))
    middle = turning + diagonal_matrix(real_part(getitem(g, (Ellipsis, 0, slice(None)))))
    return matmul(matmul(vectors, middle), turned)


eigh_packed = opaque(
    "eigh",
    lambda x, **params: Aval((*square("linalg.eigh")(x).shape[:-2], x.shape[-1] + 1, x.shape[-1]), x.dtype),
    _eigh_eager,
    (Rule(_eigh_rule),),
    ("", "LinalgEighBackward0"),
    "Eigenvalues of (x + xᵀ)/2 in ascending order as row 0, eigenvectors as the columns below; ``upper`` is LAPACK's triangle.",
    (*stacks((3, 3), (2, 3, 3), (1, 1)), refused((2, 3), "2 by 3")),
    inexact,
    "lapack_eigh",
)


def _svd_eager(x: Array) -> Array:
    if not np.isfinite(x).all():
        raise no_singular_values()
    u, s, vh = np.linalg.svd(x, full_matrices=False)
    return np.concatenate([u, s[..., None, :], np.swapaxes(vh, -1, -2).conj()], axis=-2)


@turned_by_parts
def _svd_rule(g: Any, out: Any, x: Any) -> Any:
    m, n = shape_of(x)[-2:]
    k = min(m, n)
    u, s, v = rows(out, 0, m), real_part(getitem(out, (Ellipsis, m, slice(None)))), rows(out, m + 1, None)
    gu, gs, gv = rows(g, 0, m), real_part(getitem(g, (Ellipsis, m, slice(None)))), rows(g, m + 1, None)
    row, ut, vt = expand_dims(s, -2), adjoint(u), adjoint(v)
    inverse = inverse_gaps(gaps(s) * (row + expand_dims(s, -1)))
    ugu, vgv = matmul(ut, gu), matmul(vt, gv)
    middle = scale(_skew(ugu), inverse) * row + expand_dims(s, -1) * scale(_skew(vgv), inverse)
    middle = middle + diagonal_matrix(gs)
    if is_complex(x):  # the phases of U and V turn against each other, and U alone is taken to turn
        middle = middle + _turning_phases(ugu, s)
    result = matmul(matmul(u, middle), vt)
    if m > k:
        result = result + matmul(scale(gu - matmul(u, ugu), 1.0 / row), vt)
    if n > k:
        result = result + matmul(u, adjoint(scale(gv - matmul(v, vgv), 1.0 / row)))
    return result


def _svd_infer(x: Aval) -> Aval:
    check_matrix("linalg.svd", x.shape)
    m, n = x.shape[-2:]
    return Aval((*x.shape[:-2], m + 1 + n, min(m, n)), x.dtype)


svd_packed = opaque(
    "svd",
    _svd_infer,
    _svd_eager,
    (Rule(_svd_rule),),
    ("", "LinalgSvdBackward0"),
    "U, the singular values in descending order as a row, and V, below one another.",
    (*stacks((3, 3), (4, 2), (2, 2, 3)), refused((3,), "at least 2")),
    inexact,
    "lapack_svd",
)


def _completion_eager(x: Array, *, right: bool) -> Array:
    u, s, vh = np.linalg.svd(x)
    k = s.shape[-1]
    result: Array = np.swapaxes(vh, -1, -2).conj()[..., k:] if right else u[..., k:]
    return result


def _completion_infer(x: Aval, *, right: bool) -> Aval:
    check_matrix("linalg.svd", x.shape)
    size = x.shape[-1 if right else -2]
    return Aval((*x.shape[:-2], size, size - min(x.shape[-2:])), x.dtype)


@turned_by_parts
def _completion_rule(g: Any, out: Any, x: Any, *, right: bool) -> Any:
    # of the new columns N only the part in the space of the others counts: dN = -x⁺ dx N on the right, else -(dx x⁺)ᵀ N
    inverse = adjoint(pinv_raw(x, rtol=None))
    return -matmul(matmul(inverse, g), adjoint(out)) if right else -matmul(out, matmul(adjoint(g), inverse))


svd_completion = opaque(
    "svd_completion",
    _completion_infer,
    _completion_eager,
    (Rule(_completion_rule),),
    ("", ""),
    "The columns of the full U, or on the ``right`` V, behind the reduced ones: any basis would do. The derivative is that of "
    "the space they span, for a matrix of full rank: no turn within it.",
    (
        Sample((Values((4, 2)),), {"right": False}, smooth=False),
        Sample((Values((2, 2, 3)),), {"right": True}, smooth=False),
    ),
    inexact,
    "lapack_svd_completion",
)


def _qr_eager(x: Array) -> Array:
    q, r = np.linalg.qr(x)
    return np.concatenate([np.swapaxes(q, -1, -2), r], axis=-1)


@turned_by_parts
def _qr_rule(g: Any, out: Any, x: Any) -> Any:
    m, n = shape_of(x)[-2:]
    k = min(m, n)
    q, r = transposed(columns(out, 0, m)), columns(out, m, None)
    gq, gr = transposed(columns(g, 0, m)), columns(g, m, None)
    if n > m:
        # x = [a b], q r' = a, and the rest of r is qᵀ b
        rest = columns(gr, m, None)
        gq = gq + matmul(columns(x, m, None), adjoint(rest))
        gr, r = columns(gr, 0, m), columns(r, 0, m)
    middle = matmul(r, adjoint(gr)) - matmul(adjoint(gq), q)
    half = tril(middle) + adjoint(tril(middle, -1))
    if is_complex(x):  # the diagonal of r is real
        half = half - _turning_phases(half, np.ones(shape_of(half)[-1], half.real.dtype))
    whole = gq + matmul(q, half)
    first = adjoint(solve_triangular(r, adjoint(whole), upper=True, unitriangular=False))
    return first if n <= k else concatenate([first, matmul(q, rest)], -1)


def _qr_infer(x: Aval) -> Aval:
    check_matrix("linalg.qr", x.shape)
    m, n = x.shape[-2:]
    return Aval((*x.shape[:-2], min(m, n), m + n), x.dtype)


qr_packed = opaque(
    "qr",
    _qr_infer,
    _qr_eager,
    (Rule(_qr_rule),),
    ("", "LinalgQrBackward0"),
    "The reduced Q, transposed, and R side by side.",
    (*stacks((3, 3), (4, 2), (2, 2, 3)), refused((3,), "at least 2")),
    inexact,
    "lapack_qr",
)


def _qr_completion_eager(x: Array) -> Array:
    q, _ = np.linalg.qr(x, mode="complete")
    result: Array = q[..., min(x.shape[-2:]) :]
    return result


qr_completion = opaque(
    "qr_completion",
    lambda x: _completion_infer(x, right=False),
    _qr_completion_eager,
    (Rule(lambda g, out, x: _completion_rule(g, out, x, right=False)),),
    ("", ""),
    "The columns of the square Q behind the reduced ones, with the derivative of the space they span.",
    (Sample((Values((4, 2)),), smooth=False), Sample((Values((2, 3, 1)),), smooth=False)),
    inexact,
    "lapack_qr_completion",
)


def _complete_eager(x: Array) -> Array:
    q, r = np.linalg.qr(x, mode="complete")
    return np.concatenate([q, r], axis=-1)


def _complete_infer(x: Aval) -> Aval:
    check_matrix("linalg.qr", x.shape)
    return Aval((*x.shape[:-1], x.shape[-2] + x.shape[-1]), x.dtype)


qr_complete = opaque(
    "qr_complete",
    _complete_infer,
    _complete_eager,
    (MISSING,),
    ("", "LinalgQrBackward0"),
    "The square Q and R side by side; the columns of Q that are made up have no derivative.",
    (refused((3,), "at least 2"),),
    inexact,
)

# -- the exponential ----------------------------------------------------------------------------------------------------


def _blocks(corner: Any, diagonal: Any) -> Any:
    """The matrix [[diagonal, corner], [0, diagonal]]: a function of it has its derivative along the corner in its corner."""
    return concatenate([concatenate([diagonal, corner], -1), concatenate([diagonal * 0.0, diagonal], -1)], -2)


def _upper_right(x: Any) -> Any:
    n = shape_of(x)[-1] // 2
    return columns(rows(x, 0, n), n, None)


def turn_along(function: Callable[[Array], Array], g: Array, x: Array) -> Array:
    """The derivative of a function of matrices at x along g: the corner of the function of blocks of both."""
    # linear in g, which is brought to the size of x: its own would make exp of both scale too much, or too little
    size, along = (np.max(np.abs(m), axis=(-2, -1), keepdims=True, initial=0.0) for m in (x, g))
    factor = np.where(size > 0, size, 1.0) / np.where(along > 0, along, 1.0)
    turned: Array = _upper_right(function(_blocks((g * factor).astype(x.dtype), x))) / factor
    return turned.astype(x.dtype)


def turn_rule(turn: Callable[[Any, Any], Any], c: Any, g: Any, x: Any) -> Any:
    """The cotangent of x in ``turn(g, x)``, a function's derivative along g: the derivative at blocks is one again."""
    n = shape_of(x)[-1]
    whole = turn(_blocks(c, c * 0.0), transposed(_blocks(g, x)))
    return columns(rows(whole, 0, n), 0, n) + columns(rows(whole, n, None), n, None)


def _exp_eager(x: Array) -> Array:
    result: Array = importlib.import_module("scipy.linalg").expm(x) if x.size else x
    return result


matrix_exp_turn: Op = opaque(
    "matrix_exp_turn",
    lambda g, x: x,
    lambda g, x: turn_along(_exp_eager, g, x),
    (
        Linear(lambda c, out, g, x: matrix_exp_turn(c, transposed(x))),
        Rule(lambda c, out, g, x: turn_rule(matrix_exp_turn, c, g, x)),
    ),
    ("", ""),
    "The derivative of the exponential series of x along g.",
    (Sample((Values((3, 3)), Values((3, 3), -0.7, 0.7))), Sample((Values((2, 2, 2)), Values((2, 2, 2), -0.7, 0.7)))),
    inexact,
    "lapack_exp_turn",
)
matrix_exp: Op = opaque(
    "matrix_exp",
    square("linalg.matrix_exp"),
    _exp_eager,
    (Rule(lambda g, out, x: matrix_exp_turn(g, transposed(x))),),
    ("", "LinalgMatrixExpBackward0"),
    "The exponential series of each matrix.",
    (*stacks((3, 3), (2, 2, 2), diagonal=0.5), refused((2, 3), "2 by 3")),
    inexact,
    "lapack_exp",
)

REFUSALS: Mapping[str, Callable[[str, int], LinAlgError]] = {
    inv.name: no_inverse,
    solve.name: no_solution,
    cholesky_raw.name: no_factor,
    eigh_packed.name: no_eigenvalues,
    svd_packed.name: no_singular_values,
    pinv_raw.name: no_singular_values,
}
"""The errors of matrices that LAPACK refuses, for native code: which matrix of the stack, and LAPACK's number."""
