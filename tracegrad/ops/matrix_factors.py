"""LU and real Schur factors, balancing, Sylvester's equation, roots and logarithms of stacks of matrices: raw ops.

As in :mod:`tracegrad.ops.decompositions` several results are packed into one array:

- ``lu_packed``: L below the diagonal and U, with the rows that were exchanged as a last column: ``(…, m, n + 1)``;
- ``schur_packed``: T above Z: ``(…, 2n, n)``;
- ``balance_packed``: the transformation above its inverse: ``(…, 2n, n)``.

The derivative of a square root solves Sylvester's equation (Higham 2008, Functions of Matrices, eq. 6.1). That of the logarithm
is the corner of the logarithm of [[x, g], [0, x]] (Al-Mohy, Higham and Relton 2013, SIAM J. Sci. Comput. 35, C394). That of a
Schur form is a linear system for the turn of Z, which keeps T quasi-triangular and its 2 by 2 blocks in standard form.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tracegrad.core.aval import Aval, shape_of
from tracegrad.core.op import FLAT, Linear, Op, Rule, Sample, Values
from tracegrad.errors import ShapeError
from tracegrad.ops.assembly import tril, triu
from tracegrad.ops.complexes import is_complex
from tracegrad.ops.contractions import matmul
from tracegrad.ops.decompositions import turn_along, turn_rule
from tracegrad.ops.indexing import getitem
from tracegrad.ops.maps import select
from tracegrad.ops.matrices import (
    Array,
    LinAlgError,
    Matrices,
    adjoint,
    check_matrix,
    columns,
    conjugated,
    each_of,
    element_text,
    inexact,
    opaque,
    refused,
    rows,
    solve,
    solve_triangular,
    square,
    stacks,
    transposed,
    turned_by_parts,
)
from tracegrad.ops.reductions import sum as sum_of
from tracegrad.ops.views import concatenate, expand_dims


def _scipy() -> Any:
    return importlib.import_module("scipy.linalg")


# -- LU -----------------------------------------------------------------------------------------------------------------


def _lu_eager(x: Array) -> Array:
    m, n = x.shape[-2:]
    factor = _scipy().get_lapack_funcs("getrf", (x,))

    def one(matrix: Array) -> Array:
        packed = np.zeros((m, n + 1), x.dtype)
        if m and n:
            packed[:, :n], pivots, _ = factor(matrix)
            packed[: min(m, n), n] = pivots
        return packed

    return each_of(one, (m, n + 1), x)


def _lu_infer(x: Aval) -> Aval:
    check_matrix("linalg.lu", x.shape)
    return Aval((*x.shape[:-1], x.shape[-1] + 1), x.dtype)


def _lu_rule(g: Any, out: Any, x: Any) -> Any:
    m, n = shape_of(x)[-2:]
    k = min(m, n)
    packed, pivots, g = columns(out, 0, n), rows(columns(out, n, None), 0, k), columns(g, 0, n)
    corner = columns(rows(packed, 0, k), 0, k)
    lower, upper = tril(corner, -1) + np.eye(k, dtype=corner.dtype), triu(corner)
    of_corner = columns(rows(g, 0, k), 0, k)
    of_lower, of_upper = tril(of_corner, -1), triu(of_corner)
    more = None
    if m > n:  # x₂ = L₂ U
        more = _solved_right(rows(g, k, None), upper)
        of_upper = of_upper - matmul(transposed(rows(packed, k, None)), more)
    elif n > m:  # x₂ = L U₂
        more = solve_triangular(transposed(lower), columns(g, k, None), upper=True, unitriangular=True)
        of_lower = of_lower - matmul(more, transposed(columns(packed, k, None)))
    inside = tril(matmul(transposed(lower), of_lower), -1) + triu(matmul(of_upper, transposed(upper)))
    whole = solve_triangular(transposed(lower), _solved_right(inside, upper), upper=True, unitriangular=True)
    if more is not None:
        whole = concatenate([whole, more], -2 if m > n else -1)
    return swap_rows(whole, pivots, back=True)


def _solved_right(b: Any, upper: Any) -> Any:
    """b U⁻ᵀ."""
    return transposed(solve_triangular(upper, transposed(b), upper=True, unitriangular=False))


lu_packed: Op = opaque(
    "lu",
    _lu_infer,
    _lu_eager,
    (Rule(_lu_rule),),
    ("", ""),
    "The factors of x with its rows exchanged, and the rows that were, as numbers from 0 in a last column.",
    (*stacks((3, 3), (2, 4, 2), (2, 4)), refused((3,), "at least 2")),
    inexact,
    "lapack_lu",
)


def _swap_eager(x: Array, pivots: Array, *, back: bool) -> Array:
    def one(matrix: Array, places: Array) -> Array:
        found = matrix.copy()
        order = range(len(places))
        for k in reversed(order) if back else order:
            place = int(places[k, 0].real)
            found[[k, place]] = found[[place, k]]
        return found

    return each_of(one, x.shape[-2:], x, pivots)


swap_rows: Op = opaque(
    "swap_rows",
    lambda x, pivots, *, back: x,
    _swap_eager,
    (Linear(lambda g, out, x, pivots, *, back: swap_rows(g, pivots, back=not back)), FLAT),
    ("", ""),
    "Row k exchanged with row ``pivots[k]``, one k after the other, or ``back`` from the last one.",
    tuple(
        Sample((Values((*batch, 3, 2)), Values((*batch, 2, 1), 0, 3, kind="int")), {"back": back})
        for batch, back in (((), False), ((2,), True))
    ),
    lambda x, pivots: inexact(x) * 2,
    lower="lapack_swap_rows",
)

# -- Sylvester's equation -----------------------------------------------------------------------------------------------


def no_sylvester(where: str = "", info: int = 0) -> LinAlgError:
    """What matrices give of which one has an eigenvalue and the other its negative."""
    return LinAlgError(
        f"linalg.solve_sylvester: {where}a and -b have a common eigenvalue, so there is no one solution.",
        fix="shift one of them by a small multiple of the identity",
    )


def _sylvester_infer(a: Aval, b: Aval, q: Aval) -> Aval:
    for matrix in (a, b):
        square("linalg.solve_sylvester")(matrix)
    if q.shape[-2:] != (a.shape[-1], b.shape[-1]):
        raise ShapeError(
            f"solve_sylvester with q of shape {q.shape}", fix=f"give q the shape {(a.shape[-1], b.shape[-1])} of a and b"
        )
    return q


def _sylvester_eager(a: Array, b: Array, q: Array) -> Array:
    linalg = _scipy()
    solver = linalg.get_lapack_funcs("trsyl", (a, b, q))
    found = np.empty(q.shape, q.dtype)
    for number, k in enumerate(np.ndindex(q.shape[:-2])):
        if not found[k].size:
            continue
        form = "complex" if q.dtype.kind == "c" else "real"
        first, left = linalg.schur(a[k], output=form, check_finite=False)
        second, right = linalg.schur(b[k], output=form, check_finite=False)
        inside, scale, info = solver(first, second, left.conj().T @ q[k] @ right)
        if info:
            raise no_sylvester(element_text(number) if q.ndim > 2 else "")
        found[k] = left @ (inside / scale) @ right.conj().T
    return found


sylvester: Op = opaque(
    "sylvester",
    _sylvester_infer,
    _sylvester_eager,
    (
        Rule(lambda g, out, a, b, q: -matmul(sylvester(transposed(a), transposed(b), g), transposed(out))),
        Rule(lambda g, out, a, b, q: -matmul(transposed(out), sylvester(transposed(a), transposed(b), g))),
        Linear(lambda g, out, a, b, q: sylvester(transposed(a), transposed(b), g)),
    ),
    ("", ""),
    "The X with a X + X b = q, by Schur forms (Bartels and Stewart 1972).",
    (
        Sample((Matrices((3, 3), -1, 1), Matrices((2, 2), -1, 1), Values((3, 2)))),
        Sample((Matrices((2, 3, 3), -1, 1), Matrices((2, 3, 3), -1, 1), Values((2, 3, 3)))),
    ),
    inexact,
    "lapack_sylvester",
)

# -- roots and logarithms -----------------------------------------------------------------------------------------------


def no_root(where: str = "", info: int = 0) -> LinAlgError:
    """What matrices give whose square root is not real."""
    return LinAlgError(
        f"linalg.sqrtm: {where}the matrix has a negative eigenvalue, or numbers that are not finite: its root is not real.",
        fix="of a covariance matrix add a small multiple of the identity",
    )


def no_logarithm(where: str = "", info: int = 0) -> LinAlgError:
    """What matrices give whose logarithm is not real."""
    return LinAlgError(
        f"linalg.logm: {where}the matrix has an eigenvalue that is negative or 0, or numbers that are not finite: "
        "its logarithm is not real.",
        fix="of a covariance matrix add a small multiple of the identity",
    )


def _function(name: str, error: Any) -> Any:
    """SciPy's function of matrices; of real ones it has to be real."""

    def eager(x: Array) -> Array:
        found = np.empty(x.shape, x.dtype)
        for number, k in enumerate(np.ndindex(x.shape[:-2])):
            if not x[k].size:
                continue
            where = element_text(number) if x.ndim > 2 else ""
            if not np.isfinite(x[k]).all():
                raise error(where)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                value = getattr(_scipy(), name)(x[k].astype(np.result_type(x.dtype, np.float64)))
            size = np.abs(value).max()
            real = x.dtype.kind != "c"
            if not np.isfinite(size) or (real and np.iscomplexobj(value) and np.abs(value.imag).max() > 1e-7 * size):
                raise error(where)
            if name == "logm" and np.abs(np.linalg.eigvals(x[k])).min() == 0 and not np.linalg.det(x[k]):
                raise error(where)
            found[k] = value.real if real else value
        return found

    return eager


def _root_rule(g: Any, out: Any, x: Any) -> Any:
    turned = transposed(out)
    return sylvester(turned, turned, g)


matrix_root: Op = opaque(
    "matrix_root",
    square("linalg.sqrtm"),
    _function("sqrtm", no_root),
    (Rule(_root_rule),),
    ("", ""),
    "The principal square root of each matrix, where it is real, by its Schur form (Higham 1987).",
    (*stacks((3, 3), (2, 2, 2), (1, 1)), refused((2, 3), "2 by 3")),
    inexact,
    "lapack_root",
)


matrix_log_turn: Op = opaque(
    "matrix_log_turn",
    lambda g, x: x,
    lambda g, x: turn_along(_function("logm", no_logarithm), g, x),
    (
        Linear(lambda c, out, g, x: matrix_log_turn(c, transposed(x))),
        Rule(lambda c, out, g, x: turn_rule(matrix_log_turn, c, g, x)),
    ),
    ("", ""),
    "The derivative of the logarithm of x along g.",
    (
        Sample((Values((3, 3)), Matrices((3, 3), -0.7, 0.7))),
        Sample((Values((2, 2, 2)), Matrices((2, 2, 2), -0.7, 0.7))),
    ),
    inexact,
    "lapack_log_turn",
)
matrix_log: Op = opaque(
    "matrix_log",
    square("linalg.logm"),
    _function("logm", no_logarithm),
    (Rule(lambda g, out, x: matrix_log_turn(g, transposed(x))),),
    ("", ""),
    "The principal logarithm of each matrix, where it is real, by scaling and squaring in reverse.",
    (*stacks((3, 3), (2, 2, 2)), refused((2, 3), "2 by 3")),
    inexact,
    "lapack_log",
)

# -- Schur --------------------------------------------------------------------------------------------------------------


def no_schur(where: str = "", info: int = 0) -> LinAlgError:
    """What matrices with numbers that are not finite give."""
    return LinAlgError(f"linalg.schur: {where}the algorithm failed to converge.", fix="look for NaN or infinity in the matrix")


def _schur_eager(x: Array) -> Array:
    n = x.shape[-1]

    def one(matrix: Array) -> Array:
        try:
            form = "complex" if x.dtype.kind == "c" else "real"
            return np.concatenate(_scipy().schur(matrix, output=form), axis=0) if n else np.zeros((0, 0), x.dtype)
        except (np.linalg.LinAlgError, ValueError):
            raise no_schur() from None

    return each_of(one, (2 * n, n), x)


@turned_by_parts
def _triangular_schur_rule(g: Any, out: Any, x: Any) -> Any:
    # as below, but T is triangular, and the elements of W below its diagonal solve a system of their own
    n = shape_of(x)[-1]
    t, z = rows(out, 0, n), rows(out, n, None)
    gt, gz = rows(g, 0, n), rows(g, n, None)
    below, right = np.tril_indices(n, -1)
    count = len(below)
    inside = gt
    if count:
        turns = np.zeros((count, n, n), t.dtype)
        turns[np.arange(count), below, right] = 1.0
        first = expand_dims(t, -3)
        system = getitem(matmul(first, turns) - matmul(turns, first), (Ellipsis, below, right))  # row: a turn
        whole = matmul(adjoint(t), gt) - matmul(gt, adjoint(t)) + matmul(adjoint(z), gz)
        hold = getitem(whole - adjoint(whole), (Ellipsis, below, right))
        pull = -getitem(solve(conjugated(system), expand_dims(hold, -1)), (Ellipsis, 0))
        inside = gt + sum_of(expand_dims(pull, (-2, -1)) * turns, -3)
    return matmul(matmul(z, inside), adjoint(z))


def _schur_rule(g: Any, out: Any, x: Any) -> Any:
    if is_complex(x):
        return _triangular_schur_rule(g, out, x)
    # with M = Zᵀ dx Z and the turn W = Zᵀ dZ, which is skew, dT = M + T W - W T; the lower triangle of dT stays 0
    n = shape_of(x)[-1]
    t, z = rows(out, 0, n), rows(out, n, None)
    gt, gz = rows(g, 0, n), rows(g, n, None)
    below, right = np.tril_indices(n, -1)
    count = len(below)
    inside = gt
    if count:
        turns = np.zeros((count, n, n), t.dtype)
        turns[np.arange(count), below, right] = 1.0
        turns[np.arange(count), right, below] = -1.0
        first = expand_dims(t, -3)
        moved = matmul(first, turns) - matmul(turns, first)  # what each turn does to T
        # where T has a block, both of its diagonal elements stay equal in place of the element below them
        beside = np.array(below) == np.array(right) + 1
        blocks = (getitem(t, (Ellipsis, below, right)) != 0.0) & beside if count else None
        plain = getitem(moved, (Ellipsis, below, right))
        equal = getitem(moved, (Ellipsis, right, right)) - getitem(moved, (Ellipsis, below, below))
        system = select(expand_dims(blocks, -2), equal, plain)  # row: a turn, column: what has to be 0
        hold = sum_of(expand_dims(gt, -3) * moved, (-2, -1)) + sum_of(
            expand_dims(matmul(transposed(z), gz), -3) * turns, (-2, -1)
        )
        pull = -getitem(solve(system, expand_dims(hold, -1)), (Ellipsis, 0))
        places = np.zeros((count, n, n), t.dtype)
        places[np.arange(count), below, right] = 1.0
        balanced = np.zeros((count, n, n), t.dtype)
        balanced[np.arange(count), right, right] = 1.0
        balanced[np.arange(count), below, below] -= 1.0
        chosen = select(expand_dims(blocks, (-2, -1)), balanced, places)
        inside = gt + sum_of(expand_dims(pull, (-2, -1)) * chosen, -3)
    return matmul(matmul(z, inside), transposed(z))


schur_packed: Op = opaque(
    "schur",
    lambda x: Aval((*square("linalg.schur")(x).shape[:-2], 2 * x.shape[-1], x.shape[-1]), x.dtype),
    _schur_eager,
    (Rule(_schur_rule),),
    ("", ""),
    "The real Schur form T and the rotation Z below it, x = Z T Zᵀ; that of complex matrices is triangular. Eigenvalues are to "
    "differ; the phases of the columns of Z do not turn.",
    (*stacks((3, 3), (2, 2, 2), (1, 1)), refused((2, 3), "2 by 3")),
    inexact,
    "lapack_schur",
)

# -- balancing ----------------------------------------------------------------------------------------------------------


def _balance_eager(x: Array, *, permute: bool, scale: bool) -> Array:
    n = x.shape[-1]

    def one(matrix: Array) -> Array:
        if not n:
            return np.zeros((0, 0), x.dtype)
        _, turn = _scipy().matrix_balance(matrix, permute=permute, scale=scale)
        size = turn.sum(axis=0)
        return np.concatenate([turn, (turn / size / size).T]).astype(x.dtype)

    return each_of(one, (2 * n, n), x)


balance_packed: Op = opaque(
    "balance",
    lambda x, **params: Aval((*square("linalg.matrix_balance")(x).shape[:-2], 2 * x.shape[-1], x.shape[-1]), x.dtype),
    _balance_eager,
    (FLAT,),
    ("", ""),
    "The transformation that balances x, of powers of 2 and permutations, and its inverse below it.",
    (Sample((Values((3, 3)),), {"permute": True, "scale": True}, smooth=False),),
    inexact,
    "lapack_balance",
)

REFUSALS: Mapping[str, Callable[[str, int], LinAlgError]] = {
    sylvester.name: no_sylvester,
    matrix_root.name: no_root,
    matrix_log.name: no_logarithm,
    matrix_log_turn.name: no_logarithm,
    schur_packed.name: no_schur,
}
"""The errors of matrices that have no real result, for native code."""
