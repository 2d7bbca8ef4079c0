"""Complex numbers as two real arrays, their planes: what each op on complex numbers does to them.

Kernels hold real numbers only. The formulas here are ordinary expressions of real ops, so that they fuse, vectorise and are
rewritten as all others. They are written as C libraries write them: near overflow, near zero and along the axes they are as
good as NumPy's, in relation to the size of the result. A plane that is zero throughout is None: real numbers among complex
ones, and multiples of 1j, cost what they should. What such a plane would make of an infinity (NumPy's ``1j * inf`` has a NaN)
it does not make here.

An op without a formula is taken plane by plane where it is linear in its complex operands, and as a sum of such where it is
linear in each of several, as products of matrices are; its record says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from tracegrad.core.op import Kind, Linear, Op, Sample, Values, next_axis
from tracegrad.ops import comparisons, complexes, fourier, maps, marks, phases, reductions, scans
from tracegrad.ops.complexes import PARTS, WHOLES
from tracegrad.ops.fourier_planes import dft_pairs, dft_reals, dft_to_reals
from tracegrad.ops.indexing import getitem
from tracegrad.ops.maps import select
from tracegrad.ops.matrix_planes import MATRICES
from tracegrad.ops.pairs import (
    Pair,
    Pairs,
    Planes,
    less_planes,
    minus_plane,
    of_pairs,
    pairs,
    planes_of,
    product,
    reduced_product,
    sum_planes,
    times_planes,
)
from tracegrad.ops.special_complex import lambertw_planes, lambertw_raw, wofz_planes, wofz_raw
from tracegrad.ops.views import stack

# -- maps --------------------------------------------------------------------------------------------------------------


def _absorbed(g: Any, factor: Any) -> Any:
    return None if g is None or factor is None else maps.scale(g, factor)


def _quotient(x: Pair, y: Pair) -> Pair:
    """By Smith's method: no product of the parts of the divisor overflows or vanishes."""
    (a, b), (c, d) = x, y
    if d is None:
        return (None if a is None else a / c), (None if b is None else b / c)
    if c is None:  # (a + ib) / id = b/d - ia/d
        return (None if b is None else b / d), (None if a is None else -(a / d))
    flat = abs(c) >= abs(d)
    most, least = select(flat, c, d), select(flat, d, c)
    nothing = (c == 0) & (d == 0)
    ratio = select(nothing, 0.0, least / select(nothing, 1.0, most))
    factor = 1.0 / select(nothing, abs(most), most + least * ratio)
    zero = 0.0
    a, b = (zero if a is None else a), (zero if b is None else b)
    first, second = (select(flat, a, b), select(flat, b, a)) if not (a is zero and b is zero) else (zero, zero)
    # over nothing each part is divided by itself, also an infinite one, which times the ratio of 0 has no value
    cross, along = (select(nothing, 0.0, part) * ratio for part in (second, first))
    im = (second - along) * factor
    return (first + cross) * factor, select(flat, im, -im)


def _size(z: Pair) -> Any:
    a, b = z
    if a is None or b is None:
        return abs(b if a is None else a)
    return maps.hypot(a, b)


def _turn(z: Pair) -> Any:
    a, b = z
    return maps.arctan2(b, a)


def _log_size(a: Any, b: Any) -> Any:
    """ln |z|: near 1 by what |z|² is beyond it, elsewhere by the larger part, which does not overflow."""
    big, small = maps.maximum(abs(a), abs(b)), maps.minimum(abs(a), abs(b))
    near = (big > 0.5) & (big < 2.0)
    ratio = small / select((big == 0) | comparisons.isinf(big), 1.0, big)
    beyond = select(near, (big - 1.0) * (big + 1.0) + small * small, ratio * ratio)
    return select(near, 0.0, maps.log(big)) + 0.5 * maps.log1p(beyond)


def _exp(z: Pair, part: np.dtype[Any]) -> Pair:
    a, b = z
    if b is None:
        return maps.exp(a), None
    if a is None:
        return maps.cos(b), maps.sin(b)
    # beyond the largest exponent a factor of 2^k is left for later; k·ln 2 is nearly a number of the dtype
    limit, shift, half, rest = _LATER[part]
    far = a > limit
    grown = maps.exp(select(far, a - shift, a))
    re, im = grown * maps.cos(b), grown * maps.sin(b)
    first, second = select(far, half, 1.0), select(far, rest, 1.0)
    gone = grown == 0
    return select(gone, 0.0, re * first * second), select(gone | (b == 0), b * 0.0, im * first * second)


_LATER: Mapping[np.dtype[Any], tuple[float, float, float, float]] = MappingProxyType(
    {
        np.dtype(np.float64): (709.0, 1246.97177782734161156, 2.0**900, 2.0**899),
        np.dtype(np.float32): (88.0, 162.88958740234375, 2.0**118, 2.0**117),
    }
)
"""Beyond which exponent a factor is left for later, its logarithm, and the factor as a product."""


def _log(z: Pair) -> Pair:
    a, b = z
    return _log_size(a, b), _turn(z)


def _sqrt(z: Pair, part: np.dtype[Any]) -> Pair:
    a, b = z
    info = np.finfo(part)
    big = maps.maximum(abs(a), abs(b))
    large, little = big > float(info.max) / 8, big < float(info.tiny) * 4 / float(info.eps)
    up = 2.0 ** (2 * (info.nmant + 2))
    factor = select(large, 1 / 16, select(little, up, 1.0))
    x, y = a * factor, b * factor
    t = maps.sqrt(0.5 * abs(x) + 0.5 * maps.hypot(x, y)) * select(large, 4.0, select(little, math.sqrt(1 / up), 1.0))
    other = select(t == 0, abs(b), abs(b) / select(t == 0, 1.0, 2.0 * t))
    right, wide = a >= 0, comparisons.isinf(b)
    re = select(wide, abs(b), select(right, t, other))
    im = select(wide, b, maps.copysign(select(right, other, t), b))
    return re, im


def _sin_cos_of(a: Any, b: Any, first: Op, second: Op) -> Pair:
    """first(a)·cosh b and second(a)·sinh b; a factor of exactly 0 beats an infinite one."""
    x, y = first(a), second(a)
    return select(x == 0, x, x * maps.cosh(b)), select(y == 0, y, y * maps.sinh(b))


def _sin(z: Pair) -> Pair:
    return _sin_cos_of(*z, maps.sin, maps.cos)


def _cos(z: Pair) -> Pair:
    re, im = _sin_cos_of(*z, maps.cos, maps.sin)
    return re, -im


def _sinh(z: Pair) -> Pair:
    im, re = _sin_cos_of(z[1], z[0], maps.sin, maps.cos)
    return re, im


def _cosh(z: Pair) -> Pair:
    return _sin_cos_of(z[1], z[0], maps.cos, maps.sin)


def _tanh(z: Pair) -> Pair:
    a, b = z
    # Kahan's formula; beyond 22 the real part is 1 and the imaginary one falls with e^-2a
    near = maps.maximum(maps.minimum(a, 22.0), -22.0)
    t, s = maps.tan(b), maps.sinh(near)
    beta = 1.0 + t * t
    below = 1.0 + beta * s * s
    re = beta * maps.sqrt(1.0 + s * s) * s / below
    far = abs(a) > 22.0
    im = select(far, 4.0 * (t / beta) * maps.exp(-2.0 * abs(a)), t / below)
    return select(far, maps.copysign(np.ones((), a.dtype), a), re), im


def _tan(z: Pair) -> Pair:
    im, re = _tanh((z[1], z[0]))
    return re, im


def _arcsin(z: Pair, part: np.dtype[Any]) -> Pair:
    a, b = z
    p, q = _sqrt((1.0 - a, -b), part), _sqrt((1.0 + a, b), part)
    return maps.arctan2(a, p[0] * q[0] - p[1] * q[1]), maps.arcsinh(p[0] * q[1] - p[1] * q[0])


def _arccos(z: Pair, part: np.dtype[Any]) -> Pair:
    a, b = z
    p, q = _sqrt((1.0 - a, -b), part), _sqrt((1.0 + a, b), part)
    return 2.0 * maps.arctan2(p[0], q[0]), maps.arcsinh(q[0] * p[1] - q[1] * p[0])


def _arccosh(z: Pair, part: np.dtype[Any]) -> Pair:
    a, b = z
    p, q = _sqrt((a - 1.0, b), part), _sqrt((a + 1.0, b), part)
    return maps.arcsinh(p[0] * q[0] + p[1] * q[1]), 2.0 * maps.arctan2(p[1], q[0])


def _arcsinh(z: Pair, part: np.dtype[Any]) -> Pair:
    re, im = _arcsin((z[1], -z[0]), part)
    return -im, re


def _arctanh(z: Pair) -> Pair:
    a, b = abs(z[0]), z[1]
    high = abs(b)
    far, close = maps.maximum(a, high) > 1e9, (a == 1.0) & (high < 1e-9)
    # far out the squares overflow and 1/z is left; beside 1 the distance vanishes when it is squared
    size = select(far, maps.hypot(a, b), 1.0)
    x, y = select(far | close, 0.0, a), select(far | close, 0.0, b)
    re = 0.25 * maps.log1p(4.0 * x / ((1.0 - x) * (1.0 - x) + y * y))
    beside = 0.5 * (math.log(2.0) - maps.log(select(close, high, 1.0)))
    re = select(far, a / size / size, select(close, beside, re))
    im = 0.5 * maps.arctan2(2.0 * high, (1.0 - x) * (1.0 + x) - y * y)
    im = select(far, 0.5 * math.pi, select(close, 0.25 * math.pi, im))
    return maps.copysign(re, z[0]), maps.copysign(im, b)


def _arctan(z: Pair) -> Pair:
    re, im = _arctanh((-z[1], z[0]))
    return im, -re


def _log1p(z: Pair) -> Pair:
    a, b = z
    near = (abs(a) < 0.5) & (abs(b) < 0.5)
    beyond = select(near, a * (2.0 + a) + b * b, 0.0)
    return select(near, 0.5 * maps.log1p(beyond), _log_size(1.0 + a, b)), _turn((1.0 + a, b))


def _expm1(z: Pair) -> Pair:
    a, b = z
    half = maps.sin(0.5 * b)
    return maps.expm1(a) * maps.cos(b) - 2.0 * half * half, maps.exp(a) * maps.sin(b)


# -- powers -----------------------------------------------------------------------------------------------------------

MOST_FACTORS = 100
"""Whole exponents below which a power is a product of squares, as in NumPy."""


def _whole_power(x: Planes, n: int) -> Pair:
    result: Planes | None = None
    factor = x
    for bit in reversed(bin(abs(n))[2:]):
        if bit == "1":
            result = factor if result is None else planes_of(product(times_planes, result, factor), x.aval)
        factor = planes_of(product(times_planes, factor, factor), x.aval)
    assert result is not None
    one = (np.ones((), x.part), None)
    return _quotient(one, (result.re, result.im)) if n < 0 else (result.re, result.im)


def _power(x: Planes, y: Planes, exponent: Any) -> Pair:
    if exponent is not None and exponent == int(exponent.real) and abs(exponent) < MOST_FACTORS:
        return _whole_power(x, int(exponent.real)) if exponent else (np.ones(x.aval.shape, x.part), None)
    a, b = x.both
    nothing = (a == 0) & (b == 0)
    turn = _turn((a, b))
    if y.im is None:
        c = y.both[0]
        size, phase = maps.power(maps.hypot(a, b), c), c * turn
        undefined = nothing & (c < 0)
    else:
        c, d = y.both
        log = _log_size(select(nothing, 1.0, a), b)
        size, phase = maps.exp(c * log - d * turn), d * log + c * turn
        constant = (c == 0) & (d == 0)
        size = select(nothing, select(constant, 1.0, 0.0), size)
        undefined = nothing & (c <= 0) & ~constant
    size = select(undefined, math.nan, size)
    phase = select(nothing, 0.0, phase)
    return size * maps.cos(phase), size * maps.sin(phase)


# -- products over axes -----------------------------------------------------------------------------------------------


_AXES = ((5,), 0), ((3, 4), 0), ((2, 3, 4), 1), ((0, 3), 0)
product_of_pairs: Op = of_pairs(
    scans.running_product,
    tuple(Sample((Values((*shape, 2)),), {"axis": axis, "whole": None}, smooth=False) for shape, axis in _AXES),
    kind=Kind.LINE,
    lower="running_product_of_pairs",
    shift=next_axis,
)
recurrence_of_pairs: Op = of_pairs(
    scans.recurrence,
    tuple(Sample((Values((*shape, 2)),) * 2, {"axis": axis, "whole": None}, smooth=False) for shape, axis in _AXES),
    kind=Kind.LINE,
    lower="running_affine_of_pairs",
    shift=next_axis,
)


# -- the table --------------------------------------------------------------------------------------------------------

Formula = Callable[..., Any]


def _of_both(formula: Callable[[Pair], Pair]) -> Formula:
    return lambda x: formula(x.both)


def _of_part(formula: Callable[[Pair, Any], Pair]) -> Formula:
    return lambda x: formula(x.both, x.part)


def _scaled_log(factor: float) -> Formula:
    def formula(x: Planes) -> Pair:
        re, im = _log(x.both)
        return re * factor, im * factor

    return formula


def _cast(x: Any, *, dtype: Any) -> Any:
    if not isinstance(x, Planes):
        return maps.cast(x, dtype=PARTS[dtype]), None
    if dtype.kind == "b":
        return x.both[0] != 0 if x.im is None else (x.both[0] != 0) | (x.im != 0)
    if dtype.kind != "c":
        return maps.cast(x.both[0], dtype=dtype)
    return tuple(None if plane is None else maps.cast(plane, dtype=PARTS[dtype]) for plane in (x.re, x.im))


def _same(x: Planes, y: Planes) -> Any:
    # as ops, since an array of zeros to the left of a traced plane would ask NumPy
    first = comparisons.equal(x.both[0], y.both[0])
    if x.im is None and y.im is None:
        return first
    return comparisons.logical_and(first, comparisons.equal(x.both[1], y.both[1]))


def _of_each(op: Op, join: Callable[[Any, Any], Any]) -> Formula:
    """A question about numbers that is asked of both planes."""
    return lambda x: join(op(x.both[0]), op(x.both[1]))


def _of_planes(ops: tuple[Op, Op]) -> Formula:
    """An op whose planes are ops of both planes, behind its real operands."""
    return lambda x, *rest, **params: tuple(op(*rest, *x.both, **params) for op in ops)


def _plane_wise(op: Op) -> Formula:
    """An op of one operand that is linear with real factors, and its params."""
    return lambda x, **params: tuple(None if plane is None else op(plane, **params) for plane in (x.re, x.im))


def _sigmoid(x: Planes) -> Pair:
    a, b = x.both
    grown = _exp((-a, -b), x.part)
    return _quotient((np.ones((), x.part), None), (1.0 + grown[0], grown[1]))


def _direction(x: Planes) -> Pair:
    a, b = (0.5 * plane for plane in x.both)  # the size of the whole may overflow
    size = maps.hypot(a, b)
    below = select(size == 0, 1.0, size)
    return a / below, b / below


FORMULAS: Mapping[Op, Formula] = MappingProxyType(
    {
        complexes.conj: lambda x: (x.re, minus_plane(x.im)),
        complexes.real: lambda x: x.both[0],
        complexes.imag: lambda x: x.both[1],
        complexes.join: lambda x, y: (x, y),
        complexes.as_pairs: lambda x: stack(x.both, -1),
        complexes.from_pairs: lambda x: (getitem(x, (Ellipsis, 0)), getitem(x, (Ellipsis, 1))),
        phases.angle: lambda x: _turn(x.both),
        phases.direction: _direction,
        comparisons.equal: _same,
        comparisons.not_equal: lambda x, y: comparisons.logical_not(_same(x, y)),
        comparisons.isnan: _of_each(comparisons.isnan, comparisons.logical_or),
        comparisons.isinf: _of_each(comparisons.isinf, comparisons.logical_or),
        comparisons.isfinite: _of_each(comparisons.isfinite, comparisons.logical_and),
        maps.cast: _cast,
        maps.copy: _plane_wise(maps.copy),
        maps.stop_gradient: _plane_wise(maps.stop_gradient),
        marks.begin: _plane_wise(marks.begin),
        marks.end: _plane_wise(marks.end),
        maps.negative: lambda x: (minus_plane(x.re), minus_plane(x.im)),
        maps.add: lambda x, y: (sum_planes(x.re, y.re), sum_planes(x.im, y.im)),
        maps.subtract: lambda x, y: (less_planes(x.re, y.re), less_planes(x.im, y.im)),
        maps.multiply: lambda x, y: product(times_planes, x, y),
        maps.scale: lambda x, y: product(_absorbed, x, y),
        maps.divide: lambda x, y: _quotient((x.re, x.im), (y.re, y.im) if y.re is not None or y.im is not None else y.both),
        maps.absolute: lambda x: _size((x.re, x.im) if x.re is not None or x.im is not None else x.both),
        maps.exp: lambda x: _exp((x.re, x.im) if x.re is not None or x.im is not None else x.both, x.part),
        maps.expm1: _of_both(_expm1),
        maps.exp2: lambda x: _exp((x.both[0] * math.log(2.0), x.both[1] * math.log(2.0)), x.part),
        maps.log: _of_both(_log),
        maps.log1p: _of_both(_log1p),
        maps.log2: _scaled_log(1.0 / math.log(2.0)),
        maps.log10: _scaled_log(1.0 / math.log(10.0)),
        maps.sqrt: _of_part(_sqrt),
        maps.rsqrt: lambda x: _quotient((np.ones((), x.part), None), _sqrt(x.both, x.part)),
        maps.sigmoid: _sigmoid,
        scans.running_product: lambda x, **params: Pairs(product_of_pairs(x.paired, whole=x.aval.dtype, **params)),
        scans.recurrence: lambda x, y, **params: Pairs(recurrence_of_pairs(x.paired, y.paired, whole=y.aval.dtype, **params)),
        wofz_raw: _of_planes(wofz_planes),
        lambertw_raw: _of_planes(lambertw_planes),
        maps.sin: _of_both(_sin),
        maps.cos: _of_both(_cos),
        maps.tan: _of_both(_tan),
        maps.sinh: _of_both(_sinh),
        maps.cosh: _of_both(_cosh),
        maps.tanh: _of_both(_tanh),
        maps.arcsin: _of_part(_arcsin),
        maps.arccos: _of_part(_arccos),
        maps.arctan: _of_both(_arctan),
        maps.arcsinh: _of_part(_arcsinh),
        maps.arccosh: _of_part(_arccosh),
        maps.arctanh: _of_both(_arctanh),
        reductions.reduce_prod: reduced_product,
        fourier.dft: lambda x, **params: Pairs(dft_pairs(x.paired, whole=x.aval.dtype, **params)),
        fourier.half_dft: lambda x, **params: Pairs(dft_reals(x, whole=WHOLES[x.dtype], **params)),
        fourier.from_half: lambda x, **params: dft_to_reals(x.paired, **params),
        **MATRICES,
    }
)
"""Of each op: the planes of its complex operands, and its real operands, to the planes of its result, or to a real result."""


def in_planes(op: Op, operands: Sequence[Any], params: Mapping[str, Any], number: Callable[[Any], Any]) -> Any:
    """An op on planes: two planes for a complex result, else a real value.

    Parameters
    ----------
    op: what is applied; it has complex operands, or a complex result.
    operands: ``Planes``, and values for real operands.
    params: its parameters.
    number: ``number(value)`` is the one number that a value is made of, None where it is not known.

    Pairs may stand for two planes. NotImplemented where the op has no formula and its record does not say that it is linear.
    """
    if op is maps.power:
        return _power(operands[0], operands[1], _exponent(operands[1], number))
    if op in FORMULAS:
        return FORMULAS[op](*operands, **params)
    if op.kind in (Kind.OPAQUE, Kind.MATRIX, Kind.CUSTOM):
        return NotImplemented
    places = [k for k, x in enumerate(operands) if isinstance(x, Planes)]
    partials = [op.partial(k) for k in places]
    if any(not isinstance(partial, Linear) for partial in partials):
        return NotImplemented
    if len(places) == 1 or all(isinstance(partial, Linear) and partial.together for partial in partials):
        return tuple(_one_plane(op, operands, params, k) for k in (0, 1))
    if len(places) != 2:
        return NotImplemented

    def times(x: Any, y: Any) -> Any:
        if x is None or y is None:
            return None
        return op(*(x if k == places[0] else y if k == places[1] else value for k, value in enumerate(operands)), **params)

    return product(times, operands[places[0]], operands[places[1]])


def _one_plane(op: Op, operands: Sequence[Any], params: Mapping[str, Any], plane: int) -> Any:
    if all((x.re, x.im)[plane] is None for x in operands if isinstance(x, Planes)):
        return None
    return op(*(x.both[plane] if isinstance(x, Planes) else x for x in operands), **params)


def _exponent(y: Planes, number: Callable[[Any], Any]) -> Any:
    """The exponent that all elements have, None where there is not one."""
    if y.im is not None or y.re is None:
        return None
    found = number(y.re)
    return None if found is None or not np.isfinite(found) else complex(found)


__all__ = ["FORMULAS", "Pairs", "Planes", "in_planes", "pairs"]
