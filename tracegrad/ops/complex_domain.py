"""Which ops complex numbers go through: those that need no order and whose derivative rules hold for them."""

from __future__ import annotations

from tracegrad.core.op import Kind, Op
from tracegrad.ops import (
    comparisons,
    complexes,
    decompositions,
    filters,
    fourier,
    maps,
    marks,
    matrices,
    phases,
    pooling,
    reductions,
    scans,
    special_complex,
)

_ELEMENTWISE = frozenset(
    (
        comparisons.equal,
        comparisons.not_equal,
        comparisons.logical_and,
        comparisons.logical_or,
        comparisons.logical_xor,
        comparisons.logical_not,
        comparisons.isnan,
        comparisons.isinf,
        comparisons.isfinite,
        maps.scale,
        maps.scale_both,
        maps.select,
        maps.cast,
        maps.copy,
        maps.stop_gradient,
        maps.variable,
        marks.begin,
        marks.end,
        maps.add,
        maps.subtract,
        maps.multiply,
        maps.divide,
        maps.negative,
        maps.power,
        maps.absolute,
        maps.exp,
        maps.expm1,
        maps.exp2,
        maps.log,
        maps.log1p,
        maps.log2,
        maps.log10,
        maps.sqrt,
        maps.rsqrt,
        maps.tanh,
        maps.sigmoid,
        maps.sin,
        maps.cos,
        maps.tan,
        maps.arcsin,
        maps.arccos,
        maps.arctan,
        maps.sinh,
        maps.cosh,
        maps.arcsinh,
        maps.arccosh,
        maps.arctanh,
    )
)
_OPAQUE = frozenset(
    (
        complexes.conj,
        complexes.real,
        complexes.imag,
        complexes.join,
        complexes.as_pairs,
        complexes.from_pairs,
        phases.angle,
        phases.direction,
        fourier.dft,
        fourier.from_half,
        scans.running_sum,
        scans.running_product,
        scans.recurrence,
        filters.feedback,
        special_complex.wofz_raw,
        special_complex.lambertw_raw,
        matrices.inv,
        matrices.solve,
        matrices.solve_triangular,
        matrices.det,
        matrices.slogdet_packed,
        decompositions.matrix_exp,
        decompositions.matrix_exp_turn,
    )
)
_EXTREMES = frozenset((reductions.reduce_max, reductions.reduce_min, pooling.reduce_first_max))


def takes_complex(op: Op) -> bool:
    """Whether an op is defined for complex numbers and has the right derivative there."""
    if op.kind is Kind.MAP:
        return op in _ELEMENTWISE
    return op in _OPAQUE if op.kind in (Kind.OPAQUE, Kind.LINE, Kind.MATRIX) else op not in _EXTREMES
