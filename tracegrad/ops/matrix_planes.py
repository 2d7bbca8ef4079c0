"""Linear algebra of complex matrices in programs of planes.

LAPACK's functions of complex numbers take pairs, which the ops here are for; they have native code. Functions of matrices,
inverses and solutions are those of real matrices of twice the size, [[A, -B], [B, A]] for A + iB.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from tracegrad.core.aval import Aval
from tracegrad.core.op import Op, Sample, Values
from tracegrad.ops import comparisons, decompositions, eigenvalues, maps, matrices, matrix_factors, reductions
from tracegrad.ops.assembly import tril
from tracegrad.ops.complexes import WHOLES
from tracegrad.ops.contractions import matmul
from tracegrad.ops.indexing import getitem
from tracegrad.ops.maps import select
from tracegrad.ops.matrices import transposed
from tracegrad.ops.pairs import Pair, Pairs, Planes, minus_plane, of_pairs, planes_of, product, reduced_product, times_planes
from tracegrad.ops.views import concatenate, expand_dims

# -- LAPACK on pairs ----------------------------------------------------------------------------------------------------


def _sampled(*shapes: tuple[int, ...], **params: Any) -> tuple[Sample, ...]:
    return tuple(Sample((Values((*shape, 2)),), {**params, "whole": None}, smooth=False) for shape in shapes)


@dataclass(frozen=True, slots=True)
class _Dominant(Values):
    """Pairs with a number added along the diagonal of their real parts, which makes Hermitian ones positive-definite."""

    def draw(self, rng: np.random.Generator, dtype: Any) -> Any:
        """An array of these values."""
        drawn = Values.draw(self, rng, dtype)
        drawn[..., 0] += 9 * np.eye(drawn.shape[-2], dtype=drawn.dtype)
        return drawn


_SQUARE = ((3, 3), (2, 3, 3))
_ANY = ((3, 3), (4, 2), (2, 2, 3))

lu_pairs = of_pairs(matrix_factors.lu_packed, _sampled(*_ANY))
eigh_pairs = of_pairs(decompositions.eigh_packed, _sampled(*_SQUARE, upper=False))
eig_pairs = of_pairs(eigenvalues.eig_packed, _sampled(*_SQUARE))
schur_pairs = of_pairs(matrix_factors.schur_packed, _sampled(*_SQUARE))
qr_pairs = of_pairs(decompositions.qr_packed, _sampled(*_ANY))
qr_completion_pairs = of_pairs(decompositions.qr_completion, _sampled((4, 2), (2, 3, 1)))
svd_pairs = of_pairs(decompositions.svd_packed, _sampled(*_ANY))
svd_completion_pairs = of_pairs(
    decompositions.svd_completion, (*_sampled((4, 2), right=False), *_sampled((2, 2, 3), right=True))
)
eig_reals = of_pairs(
    eigenvalues.eig_packed, tuple(Sample((Values(shape),), {"whole": None}, smooth=False) for shape in _SQUARE), reals=True
)
cholesky_pairs = of_pairs(decompositions.cholesky_raw, (Sample((_Dominant((3, 3, 2)),), {"whole": None}, smooth=False),))
triangular_pairs = of_pairs(
    matrices.solve_triangular,
    (Sample((_Dominant((3, 3, 2)), Values((3, 2, 2))), {"upper": True, "unitriangular": False, "whole": None}, smooth=False),),
)

# -- real matrices of twice the size ------------------------------------------------------------------------------------


def _embedded(x: Planes) -> Any:
    """Complex matrices A + iB as real ones of twice the size, [[A, -B], [B, A]]."""
    a, b = x.both
    return concatenate([concatenate([a, -b], -1), concatenate([b, a], -1)], -2)


def _halves(x: Any, axis: int) -> Pair:
    n = x.shape[axis] // 2
    rest = (slice(None),) * (-1 - axis)
    return getitem(x, (Ellipsis, slice(n), *rest)), getitem(x, (Ellipsis, slice(n, 2 * n), *rest))


def _first_columns(x: Any) -> Pair:
    """The planes of which a matrix of twice the size is made."""
    return _halves(getitem(x, (Ellipsis, slice(x.shape[-1] // 2))), -2)


def _solve(a: Planes, b: Planes, **params: Any) -> Pair:
    return _halves(matrices.solve(_embedded(a), concatenate(list(b.both), -2), **params), -2)


def _as_reals(op: Op) -> Callable[..., Pair]:
    """A function of matrices, of which the function of a real one that stands for a complex one does so, too."""
    return lambda *operands, **params: _first_columns(op(*(_embedded(x) for x in operands), **params))


def _pinv(x: Planes, *, rtol: float | None = None, atol: float = 0.0, hermitian: bool = False) -> Pair:
    if hermitian:
        re, im = _from_triangle(x, upper=False)
        x = planes_of((re, im), x.aval)
    relative = max(x.aval.shape[-2:]) * float(np.finfo(x.part).eps) if rtol is None else rtol
    return _first_columns(matrices.pinv_raw(_embedded(x), rtol=relative, atol=atol))


# -- determinants -------------------------------------------------------------------------------------------------------


def _pivots(x: Planes) -> tuple[Planes, Any]:
    """The diagonal of U, and 1 or -1 for the rows that were exchanged."""
    n = x.aval.shape[-1]
    packed = lu_pairs(x.paired, whole=x.aval.dtype)
    places = np.arange(n)
    diagonal = getitem(packed, (Ellipsis, places, places, slice(None)))
    rows = getitem(packed, (Ellipsis, n, 0))
    kept = comparisons.equal(rows, places.astype(x.part))
    turns = reductions.reduce_prod(select(kept, x.part.type(1), x.part.type(-1)), axes=(len(rows.shape) - 1,))
    aval = Aval(x.aval.shape[:-1], x.aval.dtype)
    return Planes(getitem(diagonal, (Ellipsis, 0)), getitem(diagonal, (Ellipsis, 1)), aval), turns


def _det(x: Planes) -> Pair:
    diagonal, turns = _pivots(x)
    re, im = reduced_product(diagonal, axes=(len(diagonal.aval.shape) - 1,))
    return times_planes(turns, re), times_planes(turns, im)


def _slogdet(x: Planes) -> Pair:
    diagonal, turns = _pivots(x)
    last = len(diagonal.aval.shape) - 1
    a, b = (0.5 * plane for plane in diagonal.both)  # the size of the whole may overflow
    size = maps.hypot(a, b)
    below = select(size == 0, 1.0, size)
    re, im = reduced_product(Planes(a / below, b / below, diagonal.aval), axes=(last,))
    total = reductions.sum(maps.log(size) + float(np.log(2.0)), last)
    ends = [expand_dims(turns * re, -1), expand_dims(total, -1)]
    other = expand_dims(turns * im if im is not None else turns * 0.0, -1)
    return concatenate(ends, -1), concatenate([other, other * 0.0], -1)


def _singular(x: Planes) -> tuple[Planes, Any, Planes, Planes]:
    """U, the singular values, V, and the product of the determinants of U and of V conjugated, as 1 by 1 matrices."""
    n = x.aval.shape[-1]
    packed = svd_pairs(x.paired, whole=x.aval.dtype)

    def cut(start: int, stop: int | None) -> Planes:
        rows = getitem(packed, (Ellipsis, slice(start, stop), slice(None), slice(None)))
        return Planes(getitem(rows, (Ellipsis, 0)), getitem(rows, (Ellipsis, 1)), x.aval)

    u, v = cut(0, n), cut(n + 1, None)
    one = Aval(x.aval.shape[:-2], x.aval.dtype)
    dets = [planes_of(_det(side), one) for side in (u, planes_of((v.re, minus_plane(v.im)), x.aval))]
    re, im = product(times_planes, *dets)
    turn = Planes(expand_dims(re, (-2, -1)), expand_dims(im, (-2, -1)), Aval((*one.shape, 1, 1), one.dtype))
    return u, getitem(packed, (Ellipsis, n, slice(None), 0)), v, turn


def _others(s: Any, count: int) -> Any:
    """Products of all values but one, or but two different ones; as in :mod:`tracegrad.ops.matrices`."""
    n = s.shape[-1]
    left_out = np.eye(n, dtype=bool)
    if count == 1:
        return reductions.reduce_prod(select(left_out, 1.0, expand_dims(s, -2)), axes=(len(s.shape),))
    both = left_out[:, None, :] | left_out[None, :, :]
    products = reductions.reduce_prod(select(both, 1.0, expand_dims(s, (-3, -2))), axes=(len(s.shape) + 1,))
    return select(left_out, 0.0, products)


def _matmul(x: Planes, y: Planes) -> Planes:
    return planes_of(product(matmul, x, y), x.aval)


def _turned(x: Planes, *, conjugate: bool) -> Planes:
    im = None if x.im is None else transposed(x.im)
    return Planes(None if x.re is None else transposed(x.re), minus_plane(im) if conjugate else im, x.aval)


def _conjugate(x: Planes) -> Planes:
    return Planes(x.re, minus_plane(x.im), x.aval)


def _cofactor(x: Planes) -> Pair:
    u, s, v, turn = _singular(x)
    factors = expand_dims(_others(s, 1), -2)
    left = Planes(u.both[0] * factors, -(u.both[1] * factors), x.aval)
    return product(times_planes, turn, _matmul(left, _turned(v, conjugate=False)))


def _cofactor_turn(g: Planes, x: Planes) -> Pair:
    u, s, v, turn = _singular(x)
    inside = _matmul(_matmul(_turned(u, conjugate=True), g), v)
    others = _others(s, 2)
    places = np.arange(x.aval.shape[-1])
    planes = []
    for plane in inside.both:
        diagonal = getitem(plane, (Ellipsis, places, places))
        along = matmul(others, expand_dims(diagonal, -1)) * np.eye(len(places), dtype=x.part)
        planes.append(along - others * transposed(plane))
    middle = Planes(planes[0], planes[1], x.aval)
    return product(times_planes, turn, _matmul(_matmul(_conjugate(u), middle), _turned(v, conjugate=False)))


# -- the table ----------------------------------------------------------------------------------------------------------


def _from_triangle(x: Planes, *, upper: bool) -> Pair:
    a, b = x.both
    half = transposed(b) if upper else b
    below = tril(half, -1)
    whole = below - transposed(below)
    return decompositions.from_triangle(a, upper=upper), -whole if upper else whole


def _swap_rows(x: Planes, places: Planes, *, back: bool) -> Pair:
    rows = places.both[0]
    return tuple(None if plane is None else matrix_factors.swap_rows(plane, rows, back=back) for plane in (x.re, x.im))  # type: ignore[return-value]


def _paired(op: Op) -> Callable[..., Pairs]:
    return lambda *operands, **params: Pairs(op(*(x.paired for x in operands), whole=operands[0].aval.dtype, **params))


def _eig(x: Any) -> Pairs:
    return _paired(eig_pairs)(x) if isinstance(x, Planes) else Pairs(eig_reals(x, whole=WHOLES[x.dtype]))


MATRICES: Mapping[Op, Callable[..., Any]] = MappingProxyType(
    {
        matrices.solve: _solve,
        matrices.inv: _as_reals(matrices.inv),
        matrices.pinv_raw: _pinv,
        matrices.solve_triangular: _paired(triangular_pairs),
        matrices.det: _det,
        matrices.slogdet_packed: _slogdet,
        matrices.cofactor: _cofactor,
        matrices.cofactor_turn: _cofactor_turn,
        decompositions.cholesky_raw: _paired(cholesky_pairs),
        decompositions.from_triangle: _from_triangle,
        decompositions.eigh_packed: _paired(eigh_pairs),
        decompositions.svd_packed: _paired(svd_pairs),
        decompositions.svd_completion: _paired(svd_completion_pairs),
        decompositions.qr_packed: _paired(qr_pairs),
        decompositions.qr_completion: _paired(qr_completion_pairs),
        decompositions.matrix_exp: _as_reals(decompositions.matrix_exp),
        decompositions.matrix_exp_turn: _as_reals(decompositions.matrix_exp_turn),
        eigenvalues.eig_packed: _eig,
        matrix_factors.lu_packed: _paired(lu_pairs),
        matrix_factors.swap_rows: _swap_rows,
        matrix_factors.sylvester: _as_reals(matrix_factors.sylvester),
        matrix_factors.matrix_root: _as_reals(matrix_factors.matrix_root),
        matrix_factors.matrix_log: _as_reals(matrix_factors.matrix_log),
        matrix_factors.matrix_log_turn: _as_reals(matrix_factors.matrix_log_turn),
        matrix_factors.schur_packed: _paired(schur_pairs),
    }
)
"""Of each op: the planes of its complex operands, and its real operands, to the planes of its result."""

REFUSALS: Mapping[str, Callable[[str, int], matrices.LinAlgError]] = MappingProxyType(
    {
        cholesky_pairs.name: decompositions.no_factor,
        eigh_pairs.name: decompositions.no_eigenvalues,
        svd_pairs.name: matrices.no_singular_values,
        schur_pairs.name: matrix_factors.no_schur,
        eig_pairs.name: eigenvalues.no_eigenvectors,
        eig_reals.name: eigenvalues.no_eigenvectors,
    }
)
"""The errors of matrices that LAPACK refuses, for native code."""
