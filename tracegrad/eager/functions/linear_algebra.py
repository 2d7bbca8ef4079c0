"""The functions of linear algebra that stand in PyTorch's own namespace, some of them older than ``torch.linalg``."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tracegrad.core.aval import shape_of
from tracegrad.core.source import user_frame
from tracegrad.eager import linalg
from tracegrad.eager.composite import recorded_as
from tracegrad.eager.functions import shapes
from tracegrad.eager.functions.arguments import named_result
from tracegrad.eager.functions.decompositions import require_matrix, triangle_of
from tracegrad.errors import ShapeError
from tracegrad.ops.complexes import conj, is_complex
from tracegrad.ops.linalg import stretched
from tracegrad.ops.maps import add, log, select
from tracegrad.ops.matrices import adjoint
from tracegrad.ops.matrices import solve_triangular as solve_triangular_raw

__all__ = [
    "cholesky",
    "cholesky_inverse",
    "cholesky_solve",
    "det",
    "inverse",
    "logdet",
    "matrix_exp",
    "matrix_power",
    "pinverse",
    "qr",
    "slogdet",
    "svd",
]

SlogdetResult = named_result("slogdet", "sign", "logabsdet")
SvdResult = named_result("svd", "U", "S", "V")
QrResult = named_result("qr", "Q", "R")


def inverse(input: Any) -> Any:
    """The inverse of each matrix; LinAlgError for a singular one.

    >>> from tracegrad.eager import tensor
    >>> inverse(tensor([[2.0, 0.0], [0.0, 4.0]]))
    tensor([[0.5000, 0.0000],
            [0.0000, 0.2500]])
    """
    return linalg.inv(input)


def det(input: Any) -> Any:
    """The determinant of each matrix.

    >>> from tracegrad.eager import tensor
    >>> det(tensor([[2.0, 0.0], [0.0, 4.0]]))
    tensor(8.)
    """
    return linalg.det(input)


def slogdet(input: Any) -> Any:
    """The sign of the determinant and the logarithm of its size.

    >>> from tracegrad.eager import tensor
    >>> slogdet(tensor([[1.0, 0.0], [0.0, -1.0]])).sign
    tensor(-1.)
    """
    return SlogdetResult(*linalg.slogdet(input))


def logdet(input: Any) -> Any:
    """The logarithm of the determinant, NaN where that is negative.

    >>> from tracegrad.eager import tensor
    >>> logdet(tensor([[1.0, 0.0], [0.0, 1.0]]))
    tensor(0.)
    """
    require_matrix("logdet", input, square=True)
    sign, size = linalg.slogdet(input)
    if is_complex(sign):
        return add(log(sign), size)
    return select(sign == -1, math.nan, size)


def pinverse(input: Any, rcond: float = 1e-15) -> Any:
    """The pseudo-inverse; singular values up to ``rcond`` times the greatest count as 0.

    >>> from tracegrad.eager import tensor
    >>> pinverse(tensor([[2.0], [0.0]]))
    tensor([[0.5000, 0.0000]])
    """
    return linalg.pinv(input, rcond)


def matrix_power(input: Any, n: int) -> Any:
    """The matrix multiplied by itself ``n`` times; negative powers are those of the inverse.

    >>> from tracegrad.eager import tensor
    >>> matrix_power(tensor([[2.0, 0.0], [0.0, 3.0]]), 2)
    tensor([[4., 0.],
            [0., 9.]])
    """
    return linalg.matrix_power(input, n)


def matrix_exp(input: Any) -> Any:
    """The exponential series of each matrix.

    >>> from tracegrad.eager import tensor
    >>> matrix_exp(tensor([[0.0, 1.0], [0.0, 0.0]]))
    tensor([[1., 1.],
            [0., 1.]])
    """
    return linalg.matrix_exp(input)


# -- decompositions in their older spelling -----------------------------------------------------------------------------

_cholesky_of = recorded_as("CholeskyBackward0")(triangle_of)


def cholesky(input: Any, upper: bool = False) -> Any:
    """The triangular L with L Lᵀ = input, or with ``upper`` U with Uᵀ U; LinAlgError where there is none.

    >>> from tracegrad.eager import tensor
    >>> cholesky(tensor([[4.0, 2.0], [2.0, 2.0]]))
    tensor([[2., 0.],
            [1., 1.]])
    """
    require_matrix("cholesky", input, square=True)
    return _cholesky_of(input, upper)


def _both_sides(factor: Any, right: Any, upper: bool) -> Any:
    """L⁻ᵀ L⁻¹ b."""
    lower = adjoint(factor) if upper else factor
    half = solve_triangular_raw(*stretched(lower, right), upper=False, unitriangular=False)
    return solve_triangular_raw(*stretched(adjoint(lower), half), upper=True, unitriangular=False)


_cholesky_solved = recorded_as("CholeskySolveBackward0")(_both_sides)


def cholesky_solve(input: Any, L: Any, upper: bool = False) -> Any:
    """X with L Lᵀ X = input, for a Cholesky factor L.

    >>> from tracegrad.eager import tensor
    >>> cholesky_solve(tensor([[4.0], [8.0]]), tensor([[2.0, 0.0], [0.0, 2.0]]))
    tensor([[1.],
            [2.]])
    """
    require_matrix("cholesky_solve", L, square=True)
    if len(shape_of(input)) < 2 or shape_of(input)[-2] != shape_of(L)[-1]:
        raise ShapeError(
            f"cholesky_solve: Incompatible matrix sizes: each A matrix is {shape_of(L)[-1]} by {shape_of(L)[-1]} but the "
            f"right-hand side has shape {tuple(shape_of(input))}",
            fix="give as many rows as L has",
            where=user_frame(),
        )
    return _cholesky_solved(L, input, upper)


@recorded_as("CholeskyInverseBackward0")
def _cholesky_inverted(factor: Any, upper: bool) -> Any:
    identity = select(True, np.eye(shape_of(factor)[-1], dtype=factor.dtype), factor)
    return _both_sides(factor, identity, upper)


def cholesky_inverse(L: Any, upper: bool = False) -> Any:
    """The inverse of L Lᵀ, for a Cholesky factor L.

    >>> from tracegrad.eager import tensor
    >>> cholesky_inverse(tensor([[2.0, 0.0], [0.0, 1.0]]))
    tensor([[0.2500, 0.0000],
            [0.0000, 1.0000]])
    """
    require_matrix("cholesky_inverse", L, square=True)
    return _cholesky_inverted(L, upper)


def svd(input: Any, some: bool = True) -> Any:
    """U, the singular values and V (not its transpose); ``some`` asks for the reduced matrices.

    >>> from tracegrad.eager import tensor
    >>> svd(tensor([[2.0, 0.0], [0.0, 1.0]])).S
    tensor([2., 1.])
    """
    u, s, vh = linalg.svd(input, full_matrices=not some)
    v = shapes.transpose(vh, -2, -1)
    return SvdResult(u, s, conj(v) if is_complex(v) else v)


def qr(input: Any, some: bool = True) -> Any:
    """Q and R; ``some`` asks for the reduced Q.

    >>> from tracegrad.eager import tensor
    >>> qr(tensor([[3.0], [4.0]])).R.abs()
    tensor([[5.]])
    """
    return QrResult(*linalg.qr(input, "reduced" if some else "complete"))
