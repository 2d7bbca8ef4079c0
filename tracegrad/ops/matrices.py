"""Inverses, solutions and determinants of stacks of matrices: raw ops over any leading axes.

The derivative of the determinant is the matrix of cofactors and needs no inverse, so it is right at singular matrices,
and so is the second one.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tracegrad.core.aval import Aval, Shape, shape_of
from tracegrad.core.op import Kind, Linear, Op, Partial, Rule, Sample, Stacked, Values, common
from tracegrad.errors import DtypeError, ShapeError, TracegradError
from tracegrad.ops.assembly import tril, triu
from tracegrad.ops.complexes import conj, imag, is_complex, join, real
from tracegrad.ops.contractions import matmul
from tracegrad.ops.indexing import getitem
from tracegrad.ops.maps import multiply, scale
from tracegrad.ops.reductions import sum as sum_of
from tracegrad.ops.views import expand_dims, permute

Array = np.ndarray[Any, Any]


class LinAlgError(TracegradError, np.linalg.LinAlgError, RuntimeError):
    """A matrix that the operation cannot work on: singular, or not positive-definite."""


# -- what rules are spelled with ----------------------------------------------------------------------------------------


def transposed(x: Any) -> Any:
    """Each matrix of a stack transposed."""
    n = len(shape_of(x))
    return permute(x, axes=(*range(n - 2), n - 1, n - 2))


def conjugated(x: Any) -> Any:
    """The conjugate of complex numbers; real ones as they are."""
    return conj(x) if is_complex(x) else x


def adjoint(x: Any) -> Any:
    """Each matrix of a stack transposed and conjugated."""
    return conjugated(transposed(x))


def real_part(x: Any) -> Any:
    """The real part of complex numbers; real ones as they are."""
    return real(x) if is_complex(x) else x


def turned_by_parts(rule: Callable[..., Any]) -> Callable[..., Any]:
    """A rule written for cotangents whose parts are the derivatives by the parts, for those here, which are conjugates."""

    def conjugate(g: Any, out: Any, *inputs: Any, **params: Any) -> Any:
        return conjugated(rule(conjugated(g), out, *inputs, **params))

    return conjugate


def rows(x: Any, start: int, stop: int | None) -> Any:
    """Rows of each matrix."""
    return getitem(x, (Ellipsis, slice(start, stop), slice(None)))


def columns(x: Any, start: int, stop: int | None) -> Any:
    """Columns of each matrix."""
    return getitem(x, (Ellipsis, slice(start, stop)))


# -- how the ops are declared -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Matrices(Values):
    """Matrices with a number added along their diagonal, which keeps them well away from singular ones."""

    diagonal: float = 3.0

    def draw(self, rng: np.random.Generator, dtype: Any) -> Array:
        """An array of these values."""
        drawn = Values.draw(self, rng, dtype)
        size, other = drawn.shape[-2:]
        result: Array = (drawn + self.diagonal * np.eye(size, other)).astype(drawn.dtype)
        return result


def stacks(*shapes: Shape, diagonal: float = 3.0, **params: Any) -> tuple[Sample, ...]:
    """Samples of one regular matrix or a stack of them."""
    return tuple(Sample((Matrices(shape, -1, 1, diagonal=diagonal),), params) for shape in shapes)


def refused(shape: Shape, match: str) -> Sample:
    """A sample whose shape is refused."""
    return Sample((Values(shape),), error=ShapeError, match=match)


def floating(*dtypes: Any) -> tuple[np.dtype[Any], ...]:
    """Promotion of linear algebra: one float dtype, float64 for integers and bools."""
    (dtype, *_) = common(*dtypes)
    if dtype.kind == "c":
        raise DtypeError("linear algebra of complex matrices is not supported", fix="work on real and imaginary parts")
    return (dtype if dtype.kind == "f" else np.dtype(np.float64),) * len(dtypes)


def inexact(*dtypes: Any) -> tuple[np.dtype[Any], ...]:
    """Promotion of what holds for complex matrices, too: one float or complex dtype."""
    (dtype, *_) = common(*dtypes)
    return (dtype,) * len(dtypes) if dtype.kind == "c" else floating(*dtypes)


def check_matrix(name: str, shape: Shape) -> None:
    """ShapeError unless there are two axes."""
    if len(shape) < 2:
        raise ShapeError(
            f"{name}: The input tensor A must have at least 2 dimensions; its shape is {shape}",
            fix="give a matrix or a stack of matrices",
        )


def check_square(name: str, shape: Shape) -> None:
    """ShapeError unless the last two axes have one size."""
    check_matrix(name, shape)
    if shape[-1] != shape[-2]:
        raise ShapeError(
            f"{name}: A must be batches of square matrices, but they are {shape[-2]} by {shape[-1]} matrices",
            fix="the last two axes must have equal sizes",
        )


def opaque(
    name: str,
    infer: Callable[..., Aval],
    eager: Callable[..., Any],
    partials: tuple[Partial, ...],
    torch: tuple[str, str],
    doc: str,
    samples: tuple[Sample, ...],
    promote: Callable[..., tuple[np.dtype[Any], ...]] = floating,
    lower: str | None = None,
) -> Op:
    """An op on matrices: its native code is the kernel named ``lower``, or it has none and runs in NumPy."""

    def quiet(*operands: Any, **params: Any) -> Any:
        with np.errstate(all="ignore"):
            return eager(*operands, **params)

    kind = Kind.MATRIX if lower else Kind.OPAQUE
    return Op(name, kind, infer, promote, quiet, partials, Stacked(), lower, (), torch, doc, samples)


def square(name: str) -> Callable[..., Aval]:
    """The shape rule of an op from square matrices to square matrices."""

    def infer(x: Aval, **params: Any) -> Aval:
        check_square(name, x.shape)
        return x

    return infer


def element_text(number: int) -> str:
    """Which matrix of a stack is bad, in PyTorch's words."""
    return f"(Batch element {number}): "


def batch_element(x: Array, bad: Callable[[Array], bool]) -> str:
    """Which matrix of a stack is bad, in PyTorch's words; "" for a single one."""
    if x.ndim == 2:
        return ""
    for k, matrix in enumerate(x.reshape(-1, *x.shape[-2:])):
        if bad(matrix):
            return element_text(k)
    return ""


def raises(function: Callable[..., Any], *operands: Array) -> bool:
    """Whether LAPACK refuses these operands."""
    try:
        function(*operands)
    except np.linalg.LinAlgError:
        return True
    return False


def each_of(function: Callable[..., Array], shape: Shape, *stacks: Array) -> Array:
    """A function of matrices on each of a stack; ``shape`` is that of one result."""
    batch = stacks[0].shape[:-2]
    out = np.empty((*batch, *shape), stacks[0].dtype)
    for k in np.ndindex(batch):
        out[k] = function(*(np.ascontiguousarray(s[k]) for s in stacks))
    return out


# -- what is refused ----------------------------------------------------------------------------------------------------

# These take which matrix of the stack it is, as `batch_element` says it, and LAPACK's number.


def no_inverse(where: str, info: int = 0) -> LinAlgError:
    """What inverses of singular matrices give."""
    return LinAlgError(
        f"linalg.inv: {where}The inversion could not be completed because the input matrix is singular.",
        fix="linalg.pinv gives the pseudo-inverse; a small multiple of the identity added to A makes it regular",
    )


def no_solution(where: str, info: int = 0) -> LinAlgError:
    """What systems with a singular matrix give."""
    return LinAlgError(
        f"torch.linalg.solve: {where}The solver failed because the input matrix is singular.",
        fix="linalg.lstsq solves it in the sense of least squares",
    )


def no_singular_values(where: str = "", info: int = 0) -> LinAlgError:
    """What other matrices with numbers that are not finite give."""
    return LinAlgError(
        "linalg.svd: The algorithm failed to converge because the input matrix contained non-finite values.",
        fix="look for the NaN or infinity with x.isfinite().all()",
    )


# -- inverses and solutions ---------------------------------------------------------------------------------------------


def _inv_eager(x: Array, *, strict: bool = True) -> Array:
    try:
        result: Array = np.linalg.inv(x)
        return result
    except np.linalg.LinAlgError:
        if strict:
            raise no_inverse(batch_element(x, lambda m: raises(np.linalg.inv, m))) from None
        return each_of(lambda m: np.full_like(m, np.nan) if raises(np.linalg.inv, m) else np.linalg.inv(m), x.shape[-2:], x)


def _inv_rule(g: Any, out: Any, x: Any, *, strict: bool = True) -> Any:
    turned = transposed(out)
    return -matmul(matmul(turned, g), turned)


inv = opaque(
    "inv",
    square("linalg.inv"),
    _inv_eager,
    (Rule(_inv_rule),),
    ("", "LinalgInvExBackward0"),
    "The inverse of each matrix; singular ones raise LinAlgError, and without ``strict`` they give NaN.",
    (*stacks((3, 3), (2, 3, 3), (0, 2, 2), (1, 1)), refused((2, 3), "2 by 3"), refused((3,), "at least 2")),
    inexact,
    "lapack_inv",
)


def _solve_infer(a: Aval, b: Aval) -> Aval:
    check_square("linalg.solve", a.shape)
    if b.ndim != a.ndim or a.shape[:-1] != b.shape[:-1]:
        raise ShapeError(
            f"linalg.solve: Incompatible shapes of A and B for the equation AX = B ({a.shape} and {b.shape})",
            fix="B needs as many rows as A",
        )
    return b


def _solve_eager(a: Array, b: Array) -> Array:
    try:
        result: Array = np.linalg.solve(a, b)
        return result
    except np.linalg.LinAlgError:
        raise no_solution(batch_element(a, lambda m: raises(np.linalg.inv, m))) from None


solve: Op = opaque(
    "solve",
    _solve_infer,
    _solve_eager,
    (
        Rule(lambda g, out, a, b: -matmul(solve(transposed(a), g), transposed(out))),
        Linear(lambda g, out, a, b: solve(transposed(a), g)),
    ),
    ("", "LinalgSolveExBackward0"),
    "The solutions x of a x = b for stacks of equal batch shape; singular matrices raise LinAlgError.",
    (
        Sample((Matrices((3, 3), -1, 1), Values((3, 2)))),
        Sample((Matrices((2, 3, 3), -1, 1), Values((2, 3, 1)))),
        Sample((Values((3, 3)), Values((2, 2))), error=ShapeError, match="Incompatible shapes"),
    ),
    inexact,
    "lapack_solve",
)


def _triangular_infer(a: Aval, b: Aval, *, upper: bool, unitriangular: bool) -> Aval:
    check_square("linalg.solve_triangular", a.shape)
    if b.ndim != a.ndim or a.shape[:-1] != b.shape[:-1]:
        raise ShapeError(
            f"linalg.solve_triangular: Incompatible shapes of A and B for the equation AX = B ({a.shape} and {b.shape})",
            fix="B needs as many rows as A",
        )
    return b


def _triangular_eager(a: Array, b: Array, *, upper: bool, unitriangular: bool) -> Array:
    def one(m: Array, right: Array) -> Array:
        if not unitriangular and not np.diagonal(m).all():
            # LAPACK refuses a zero on the diagonal, division by it gives infinities
            return _substituted(m, right, upper)
        result: Array = importlib.import_module("scipy.linalg").solve_triangular(
            m, right, lower=not upper, unit_diagonal=unitriangular, check_finite=False
        )
        return result

    return each_of(one, b.shape[-2:], a, b)


def _substituted(m: Array, right: Array, upper: bool) -> Array:
    x = np.zeros_like(right)
    n = len(m)
    for k in reversed(range(n)) if upper else range(n):
        x[k] = (right[k] - m[k] @ x) / m[k, k] if not upper else (right[k] - m[k, k + 1 :] @ x[k + 1 :]) / m[k, k]
    return x


def _triangular_matrix_rule(g: Any, out: Any, a: Any, b: Any, *, upper: bool, unitriangular: bool) -> Any:
    back = solve_triangular(transposed(a), g, upper=not upper, unitriangular=unitriangular)
    whole = -matmul(back, transposed(out))
    edge = 1 if unitriangular else 0
    return triu(whole, edge) if upper else tril(whole, -edge)


solve_triangular: Op = opaque(
    "solve_triangular",
    _triangular_infer,
    _triangular_eager,
    (
        Rule(_triangular_matrix_rule),
        Linear(
            lambda g, out, a, b, *, upper, unitriangular: solve_triangular(
                transposed(a), g, upper=not upper, unitriangular=unitriangular
            )
        ),
    ),
    ("", "LinalgSolveTriangularBackward0"),
    "The solutions of triangular systems; the other triangle (and a diagonal taken for ones) is not read.",
    tuple(
        Sample((Matrices(shape, -1, 1), Values((*shape[:-1], 2))), {"upper": upper, "unitriangular": unit})
        for shape, upper, unit in (((3, 3), True, False), ((2, 3, 3), False, False), ((3, 3), False, True))
    ),
    inexact,
    "lapack_solve_triangular",
)


@turned_by_parts
def _pinv_rule(g: Any, out: Any, x: Any, **params: Any) -> Any:
    # Golub and Pereyra: -P dA P + (terms of the two null spaces)
    p, pt, gt = out, adjoint(out), adjoint(g)
    first = -matmul(matmul(pt, g), pt)
    left = matmul(gt, matmul(p, pt))
    right = matmul(matmul(pt, p), gt)
    return first + (left - matmul(x, matmul(p, left))) + (right - matmul(matmul(right, p), x))


def _pinv_eager(x: Array, *, rtol: float | None = None, atol: float = 0.0, hermitian: bool = False) -> Array:
    if not np.isfinite(x).all():
        raise no_singular_values()
    if 0 in x.shape:
        return np.zeros((*x.shape[:-2], x.shape[-1], x.shape[-2]), x.dtype)
    largest = np.linalg.svd(x, compute_uv=False, hermitian=hermitian).max(axis=-1)
    tolerance = max(x.shape[-2:]) * float(np.finfo(x.dtype).eps) if rtol is None else rtol
    relative = np.maximum(tolerance, np.where(largest > 0, atol / largest, 0)) if atol else np.full_like(largest, tolerance)
    result: Array = np.linalg.pinv(x, rcond=relative.astype(largest.dtype), hermitian=hermitian)
    return result


def _pinv_infer(x: Aval, **params: Any) -> Aval:
    check_matrix("linalg.pinv", x.shape)
    return Aval((*x.shape[:-2], x.shape[-1], x.shape[-2]), x.dtype)


pinv_raw = opaque(
    "pinv",
    _pinv_infer,
    _pinv_eager,
    (Rule(_pinv_rule),),
    ("", "LinalgPinvBackward0"),
    "The pseudo-inverse; singular values up to ``max(atol, rtol · greatest)`` count as 0.",
    (*stacks((3, 3), (4, 2), (2, 2, 3)), refused((3,), "at least 2")),
    inexact,
    "lapack_pinv",
)

# -- determinants -------------------------------------------------------------------------------------------------------


def _others(s: Any, count: int) -> Array:
    """Products of all values but one (``count`` 1), or but two different ones, without division."""
    n = s.shape[-1]
    keep = 1 - np.eye(n)
    if count == 1:
        single: Array = np.prod(np.where(keep > 0, s[..., None, :], 1), axis=-1)
        return single
    both = keep[:, None, :] * keep[None, :, :]
    products = np.prod(np.where(both > 0, s[..., None, None, :], 1), axis=-1)
    result: Array = products * keep
    return result


def _cofactor_eager(x: Array) -> Array:
    u, s, vh = np.linalg.svd(x)
    result: Array = (_turn(u, vh) * ((u.conj() * _others(s, 1)[..., None, :]) @ vh.conj())).astype(x.dtype)
    return result


def _turn(u: Array, vh: Array) -> Array:
    """The product of two determinants: one of rotations is 1 or -1, of complex ones a number of size 1."""
    turn = np.linalg.det(u) * np.linalg.det(vh)
    result: Array = (turn / np.abs(turn) if turn.dtype.kind == "c" else np.rint(turn))[..., None, None]
    return result


def _cofactor_turn_eager(g: Array, x: Array) -> Array:
    u, s, vh = np.linalg.svd(x)
    inside = np.swapaxes(u.conj(), -1, -2) @ g @ np.swapaxes(vh.conj(), -1, -2)
    pairs = _others(s, 2)
    diagonal = np.diagonal(inside, axis1=-2, axis2=-1)
    middle = (pairs @ diagonal[..., None]) * np.eye(s.shape[-1]) - pairs * np.swapaxes(inside, -1, -2)
    result: Array = (_turn(u, vh) * (u.conj() @ middle @ vh.conj())).astype(x.dtype)
    return result


def _turn_rule(c: Any, out: Any, g: Any, x: Any) -> Any:
    # of det(x)·(⟨g, B⟩ B - B gᵀ B) with B = x⁻ᵀ: regular matrices only
    b = transposed(inv(x, strict=False))
    bg, bc = matmul(matmul(b, transposed(g)), b), matmul(matmul(b, transposed(c)), b)
    along_g, along_c = _inner(g, b), _inner(c, b)
    value = along_g * along_c - _inner(c, bg)
    mixed = matmul(matmul(bg, transposed(c)), b) + matmul(matmul(bc, transposed(g)), b)
    size = expand_dims(det(x), (-2, -1))
    return size * (b * value - bg * along_c - bc * along_g + mixed)


def _inner(x: Any, y: Any) -> Any:
    """The sum of products of elements, as a 1 by 1 matrix."""
    return sum_of(multiply(x, y), (-2, -1), keepdims=True)


cofactor_turn: Op = opaque(
    "cofactor_turn",
    lambda g, x: x,
    _cofactor_turn_eager,
    (Linear(lambda c, out, g, x: cofactor_turn(c, x)), Rule(_turn_rule)),
    ("", ""),
    "The derivative of the matrix of cofactors along g, which is its own adjoint; right at singular matrices, too.",
    (Sample((Values((3, 3)), Matrices((3, 3), -1, 1))), Sample((Values((2, 2, 2)), Matrices((2, 2, 2), -1, 1)))),
    inexact,
    "lapack_cofactor_turn",
)
cofactor: Op = opaque(
    "cofactor",
    square("linalg.det"),
    _cofactor_eager,
    (Rule(lambda g, out, x: cofactor_turn(g, x)),),
    ("", ""),
    "The matrix of cofactors det(x)·x⁻ᵀ, which singular matrices have, too.",
    stacks((3, 3), (2, 3, 3), (1, 1)),
    inexact,
    "lapack_cofactor",
)


def _det_rule(g: Any, out: Any, x: Any) -> Any:
    return scale(expand_dims(g, (-2, -1)), cofactor(x))


det: Op = opaque(
    "det",
    lambda x: Aval(square("linalg.det")(x).shape[:-2], x.dtype),
    np.linalg.det,
    (Rule(_det_rule),),
    ("", "LinalgDetBackward0"),
    "The determinant of each matrix; its derivative is the matrix of cofactors.",
    (*stacks((3, 3), (2, 3, 3), (0, 2, 2)), refused((2, 3), "2 by 3")),
    inexact,
    "lapack_det",
)


def _slogdet_eager(x: Array) -> Array:
    result: Array = np.stack(np.linalg.slogdet(x), axis=-1)
    return result


def _slogdet_rule(g: Any, out: Any, x: Any) -> Any:
    of_log = getitem(g, (Ellipsis, slice(1, 2)))
    if is_complex(x):
        # the logarithm has the real part of tr x⁻¹dx, the sign turns by its imaginary part
        turned = multiply(getitem(g, (Ellipsis, slice(0, 1))), getitem(out, (Ellipsis, slice(0, 1))))
        of_log = join(real(of_log), imag(turned))
    return scale(expand_dims(of_log, -1), transposed(inv(x, strict=False)))


slogdet_packed = opaque(
    "slogdet",
    lambda x: Aval((*square("linalg.slogdet")(x).shape[:-2], 2), x.dtype),
    _slogdet_eager,
    (Rule(_slogdet_rule),),
    ("", "LinalgSlogdetBackward0"),
    "Sign and logarithm of the size of the determinant, along a new last axis.",
    (*stacks((3, 3), (2, 3, 3)), refused((2, 3), "2 by 3")),
    inexact,
    "lapack_slogdet",
)
