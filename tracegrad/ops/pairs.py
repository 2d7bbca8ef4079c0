"""A complex array as two real ones, its planes, or as pairs of reals; and products of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tracegrad.core.aval import Aval, Shape
from tracegrad.core.expr import Guard, Index, Read
from tracegrad.core.op import Kind, Linear, Op, Rule, Sample, Stacked, Values, common
from tracegrad.errors import ShapeError
from tracegrad.ops.broadcasting import broadcast
from tracegrad.ops.complexes import PARTS, WHOLES, as_pairs, conj, from_pairs
from tracegrad.ops.indexing import getitem
from tracegrad.ops.sources import zeros_shape
from tracegrad.ops.views import concatenate

# -- pairs ------------------------------------------------------------------------------------------------------------


def _pairs_infer(x: Aval, y: Aval, *, whole: Any) -> Aval:
    if x.shape != y.shape:
        raise ShapeError(f"parts of shapes {x.shape} and {y.shape}", fix="broadcast them to one shape first")
    return Aval((*x.shape, 2), x.dtype)


def _pairs_lower(index: tuple[Index, ...], x: Aval, y: Aval, *, whole: Any) -> tuple[Read, ...]:
    first = Guard(index[-1], 0, 1)
    return (Read(0, index[:-1], () if first.always else (first,)), Read(1, index[:-1]))


pairs: Op = Op(
    name="pairs",
    kind=Kind.VIEW,
    infer=_pairs_infer,
    promote=common,
    eager=lambda x, y, *, whole: np.stack([x, y], axis=-1),
    partials=(
        Linear(lambda g, out, x, y, *, whole: getitem(g, (Ellipsis, 0)), together=True),
        Linear(lambda g, out, x, y, *, whole: getitem(g, (Ellipsis, 1)), together=True),
    ),
    batch=Stacked(),
    lower=_pairs_lower,
    numpy=(),
    torch=("", ""),
    doc="Two planes as complex numbers lie in memory; outside of a program they are of the dtype ``whole``.",
    samples=tuple(Sample((Values(shape), Values(shape)), {"whole": None}) for shape in ((3, 4), (5,), (), (0, 3))),
)

# -- planes -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Planes:
    """A complex array as its real and its imaginary plane; None for one that is zero throughout."""

    re: Any
    im: Any
    aval: Aval
    known: Any = None
    """The pairs that they are taken from."""

    @property
    def part(self) -> np.dtype[Any]:
        """The dtype of the planes."""
        return PARTS[self.aval.dtype]

    @property
    def paired(self) -> Any:
        """The planes as pairs along a last axis."""
        return pairs(*self.both, whole=self.aval.dtype) if self.known is None else self.known

    @property
    def both(self) -> tuple[Any, Any]:
        """The planes, zeros for a missing one."""
        if self.re is not None and self.im is not None:
            return self.re, self.im
        missing: Any = zeros_shape(self.aval.shape, self.part)
        other = self.im if self.re is None else self.re
        if self.aval.shape and hasattr(other, "bind_op"):  # where sizes that count an axis keep their mark
            missing = other.bind_op(broadcast, (np.zeros((), self.part),), {"shape": self.aval.shape})
        return (missing if self.re is None else self.re), (missing if self.im is None else self.im)


@dataclass(frozen=True, slots=True)
class Pairs:
    """A complex result as pairs along a last axis."""

    value: Any


Pair = tuple[Any, Any]
"""Planes without their aval: what the formulas work on."""


def planes_of(pair: Pair, aval: Aval) -> Planes:
    return Planes(pair[0], pair[1], aval)


def sum_planes(x: Any, y: Any) -> Any:
    return y if x is None else x if y is None else x + y


def less_planes(x: Any, y: Any) -> Any:
    return x if y is None else minus_plane(y) if x is None else x - y


def minus_plane(x: Any) -> Any:
    return None if x is None else -x


def times_planes(x: Any, y: Any) -> Any:
    return None if x is None or y is None else x * y


def product(times: Callable[[Any, Any], Any], x: Planes, y: Planes) -> Pair:
    return (
        less_planes(times(x.re, y.re), times(x.im, y.im)),
        sum_planes(times(x.re, y.im), times(x.im, y.re)),
    )


# -- ops on pairs -------------------------------------------------------------------------------------------------------


def _whole(x: Any) -> Any:
    return np.ascontiguousarray(x).view(WHOLES[x.dtype])[..., 0]


def _pairs_of(z: Any) -> Any:
    z = np.ascontiguousarray(z)
    return z[..., None].view(PARTS[z.dtype])


def _joined(x: Any) -> Any:
    """Complex numbers of pairs; of what a tape has kept the shape and dtype alone, those of the complex numbers."""
    if isinstance(x, np.ndarray) or hasattr(x, "bind_rank"):
        return from_pairs(x)
    return Aval(x.shape[:-1], WHOLES[x.dtype])


def of_pairs(
    base: Op,
    samples: tuple[Sample, ...],
    *,
    reals: bool = False,
    kind: Kind = Kind.MATRIX,
    lower: str | None = None,
    shift: Callable[..., Any] | None = None,
) -> Op:
    """An op of complex numbers, or of ``reals`` with a complex result, on pairs along a last axis, with native code.

    Its parameter ``whole`` is the dtype of the result outside of a program; ``lower`` and ``shift`` are as in :class:`Op`.
    """
    name = f"{base.name}_of_{'reals' if reals else 'pairs'}"

    def infer(*operands: Aval, whole: Any, **params: Any) -> Aval:
        found = base.infer(*(x if reals else Aval(x.shape[:-1], WHOLES[x.dtype]) for x in operands), **params)
        return Aval((*found.shape, 2), PARTS[found.dtype])

    def eager(*operands: Any, whole: Any, **params: Any) -> Any:
        return _pairs_of(base.eager(*(x if reals else _whole(x) for x in operands), **params))

    def rule(k: int) -> Rule:
        partial = base.partial(k)
        assert isinstance(partial, Rule)

        # a cotangent of pairs is that of the real and the imaginary part: the conjugate of a complex one
        def pull(g: Any, out: Any, *operands: Any, whole: Any, **params: Any) -> Any:
            inputs = [x if reals else _joined(x) for x in operands]
            found = partial.pull(conj(from_pairs(g)), _joined(out), *inputs, **params)
            return found if reals else as_pairs(conj(found))

        return Rule(pull)

    partials = tuple(rule(k) for k in range(len(samples[0].operands)))
    doc = f"{base.doc.split('.')[0].split(';')[0]}: of {'reals' if reals else 'complex numbers'}, as pairs along a last axis."
    return Op(name, kind, infer, common, eager, partials, Stacked(shift), lower or f"lapack_{name}", (), ("", ""), doc, samples)


# -- products over axes -----------------------------------------------------------------------------------------------


def _folded(x: Planes, axis: int) -> Planes:
    """The product along an axis, which keeps one element: halves are multiplied with each other."""
    while (n := int(x.aval.shape[axis])) > 1:
        half = n // 2
        first, second = cut(x, axis, 0, half), cut(x, axis, half, 2 * half)
        folded = planes_of(product(times_planes, first, second), first.aval)
        if n % 2:
            rest = cut(x, axis, n - 1, n)
            whole = [concatenate(planes, axis) for planes in zip(folded.both, rest.both, strict=True)]
            folded = Planes(whole[0], whole[1], with_size(x.aval, axis, half + 1))
        x = folded
    return x


def with_size(aval: Aval, axis: int, size: int) -> Aval:
    return Aval((*aval.shape[:axis], size, *aval.shape[axis + 1 :]), aval.dtype)


def cut(x: Planes, axis: int, start: int, stop: int) -> Planes:
    key = (*(slice(None),) * axis, slice(start, stop))
    planes = [None if plane is None else getitem(plane, key) for plane in (x.re, x.im)]
    return Planes(planes[0], planes[1], with_size(x.aval, axis, stop - start))


def reduced_product(x: Planes, *, axes: tuple[int, ...]) -> Pair:
    shape: Shape = tuple(n for k, n in enumerate(x.aval.shape) if k not in axes)
    if any(x.aval.shape[k] == 0 for k in axes):
        return np.broadcast_to(np.ones((), x.part), shape), None
    for axis in axes:
        x = _folded(x, axis)
    key = tuple(0 if k in axes else slice(None) for k in range(len(x.aval.shape)))
    return (None if x.re is None else getitem(x.re, key)), (None if x.im is None else getitem(x.im, key))
