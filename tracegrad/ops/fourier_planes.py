"""Fourier transforms of pairs of reals: what stands in programs of planes for the transforms of complex numbers.

They have native code, which is NumPy's. ``axis`` counts the axes of the complex array.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tracegrad.core.aval import Aval
from tracegrad.core.op import Kind, Linear, Op, Sample, Stacked, Values, keep, next_axis
from tracegrad.ops import fourier
from tracegrad.ops.complexes import WHOLES, as_pairs, conj, from_pairs


def _whole(x: Any) -> Any:
    return np.ascontiguousarray(x).view(WHOLES[x.dtype])[..., 0]


def _pairs(z: Any) -> Any:
    z = np.ascontiguousarray(z)
    return z[..., None].view(z.real.dtype)


def _op(
    name: str,
    infer: Callable[..., Aval],
    eager: Callable[..., Any],
    pull: Callable[..., Any],
    lower: str,
    doc: str,
    samples: tuple[Sample, ...],
) -> Op:
    partials = (Linear(pull),)
    return Op(name, Kind.MATRIX, infer, keep, eager, partials, Stacked(next_axis), lower, (), ("", ""), doc, samples)


def _half(n: int) -> int:
    return n // 2 + 1


def _with(shape: tuple[int, ...], axis: int, size: int) -> tuple[int, ...]:
    return (*shape[:axis], size, *shape[axis + 1 :])


# a cotangent of pairs is that of the real and the imaginary part: the conjugate of a complex one
dft_pairs: Op = _op(
    "dft_of_pairs",
    lambda x, *, axis, inverse, whole: x,
    lambda x, *, axis, inverse, whole: _pairs(fourier.dft.eager(_whole(x), axis=axis, inverse=inverse)),
    lambda g, out, x, *, axis, inverse, whole: as_pairs(conj(fourier.dft(conj(from_pairs(g)), axis=axis, inverse=inverse))),
    "transform_of_pairs",
    "The transform along an axis, or its inverse, of complex numbers as pairs along a last axis.",
    tuple(
        Sample((Values((*shape, 2)),), {"axis": axis, "inverse": inverse, "whole": None})
        for shape, axis, inverse in (((5,), 0, False), ((3, 4), 1, True), ((2, 3, 4), 1, False))
    ),
)
dft_reals: Op = _op(
    "half_dft_as_pairs",
    lambda x, *, axis, whole: Aval((*_with(x.shape, axis, _half(x.shape[axis])), 2), x.dtype),
    lambda x, *, axis, whole: _pairs(fourier.half_dft.eager(x, axis=axis)),
    lambda g, out, x, *, axis, whole: fourier.half_pull(conj(from_pairs(g)), out, x, axis=axis),
    "transform_of_reals",
    "Half of the transform of reals, as pairs along a last axis.",
    tuple(Sample((Values(shape),), {"axis": axis, "whole": None}) for shape, axis in (((5,), 0), ((3, 4), 1), ((2, 3, 4), 1))),
)
dft_to_reals: Op = _op(
    "dft_of_half_pairs",
    lambda x, *, axis, size: Aval(_with(x.shape[:-1], axis, size), x.dtype),
    lambda x, *, axis, size: fourier.from_half.eager(_whole(x), axis=axis, size=size),
    lambda g, out, x, *, axis, size: as_pairs(conj(fourier.from_half_pull(g, out, x, axis=axis, size=size))),
    "transform_to_reals",
    "The reals of which these pairs are half of the transform.",
    tuple(
        Sample((Values((*shape, 2)),), {"axis": axis, "size": size})
        for shape, axis, size in (((3,), 0, 5), ((3, 3), 1, 4), ((2, 3, 4), 1, 5))
    ),
)
