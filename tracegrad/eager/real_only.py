"""Which ops complex numbers go through: those that need no order and whose derivative rules hold for them."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracegrad.core.op import Kind, Op
from tracegrad.errors import DtypeError
from tracegrad.ops import comparisons, complexes, maps, phases, pooling, reductions, scans

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
        maps.select,
        maps.cast,
        maps.copy,
        maps.stop_gradient,
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
        scans.running_sum,
        scans.running_product,
        scans.recurrence,
    )
)
_EXTREMES = frozenset((reductions.reduce_max, reductions.reduce_min, pooling.reduce_first_max))


def takes_complex(op: Op) -> bool:
    """Whether an op is defined for complex numbers and has the right derivative there."""
    if op.kind is Kind.MAP:
        return op in _ELEMENTWISE
    return op in _OPAQUE if op.kind is Kind.OPAQUE else op not in _EXTREMES


def refuse_complex(op: Op, dtype: np.dtype[Any]) -> DtypeError:
    """The error of an op that complex numbers do not go through."""
    kind = "ComplexDouble" if dtype.itemsize == 16 else "ComplexFloat"
    fix = "torch.sgn(x), of which the size is 1" if op is maps.sign else "take x.abs(), or x.real and x.imag apart"
    return DtypeError(f"\"{op.torch[0].split(' ')[0] or op.name}\" not implemented for '{kind}'", fix=fix)
