"""Scans: running sums, products and extremes along an axis, and NumPy's functions on top of them.

Conventions: the gradient of ``cumprod`` is right with any number of zeros, in every order, as it divides by nothing; of
equal extremes ``cummax`` and ``cummin`` take the latest, which alone gets the gradient; NaN stays from where it occurs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tracegrad.core.aval import Aval, normalise_axis, shape_of
from tracegrad.core.op import FLAT, Kind, Linear, Op, Rule, Sample, Stacked, Values, common, keep, linear, next_axis
from tracegrad.errors import DtypeError, ShapeError, TraceError
from tracegrad.ops.along import gather_along
from tracegrad.ops.comparisons import isfinite
from tracegrad.ops.maps import cast, exp, log, scale, select, stop_gradient
from tracegrad.ops.reductions import as_operand
from tracegrad.ops.views import concatenate, embed, reshape, reverse, strided_slice

# -- raw ops ----------------------------------------------------------------------------------------------------------


def _backward(x: Any, axis: int) -> Any:
    return reverse(x, axes=(axis,))


def _most(x: Any, axis: int) -> Any:
    """All but the last along an axis."""
    shape = shape_of(x)
    sizes = tuple(max(n - 1, 0) if k == axis else n for k, n in enumerate(shape))
    return strided_slice(x, starts=(0,) * len(shape), sizes=sizes, steps=(1,) * len(shape))


def _shifted(x: Any, axis: int) -> Any:
    """Each element one place further along an axis, a zero first, the last one dropped."""
    shape = shape_of(x)
    if shape[axis] == 0:
        return x
    starts = tuple(int(k == axis) for k in range(len(shape)))
    return embed(_most(x, axis), shape=shape, starts=starts, steps=(1,) * len(shape))


_SHAPES = (((5,), 0), ((3, 4), 0), ((2, 3, 4), 1), ((1, 3), 0), ((0, 3), 0))


def _samples(**more: Any) -> tuple[Sample, ...]:
    return tuple(Sample((Values(shape, **more),), {"axis": axis}) for shape, axis in _SHAPES)


running_sum: Op = linear(
    "cumsum",
    Kind.LINE,
    infer=lambda x, *, axis: x,
    eager=lambda x, *, axis: np.cumsum(x, axis, dtype=x.dtype),
    transpose=lambda g, out, x, *, axis: _backward(running_sum(_backward(g, axis), axis=axis), axis),
    batch=Stacked(next_axis),
    lower="running_sum",
    torch=("", "CumsumBackward0"),
    doc="The sums of the elements up to each one along an axis.",
    samples=_samples(),
)


def _recurrence_eager(a: Any, b: Any, *, axis: int) -> Any:
    factors, terms = np.moveaxis(a, axis, 0), np.moveaxis(b, axis, 0)
    out = np.array(terms)
    for k in range(1, len(out)):
        out[k : k + 1] += factors[k : k + 1] * out[k - 1 : k]
    return np.moveaxis(out, 0, axis)


def _pull_terms(g: Any, out: Any, a: Any, b: Any, *, axis: int) -> Any:
    """The same recurrence run from the end: each term is reached from behind through the factor of the next."""
    factors = _shifted(_backward(a, axis), axis)
    return _backward(recurrence(factors, _backward(g, axis), axis=axis), axis)


recurrence: Op = Op(
    name="recurrence",
    kind=Kind.LINE,
    infer=lambda a, b, *, axis: b,
    promote=common,
    eager=_recurrence_eager,
    partials=(
        Rule(lambda g, out, a, b, *, axis: scale(_pull_terms(g, out, a, b, axis=axis), _shifted(out, axis))),
        Linear(_pull_terms),
    ),
    batch=Stacked(next_axis),
    lower="running_affine",
    numpy=(),
    torch=("", ""),
    doc="The linear recurrence y[k] = a[k]·y[k - 1] + b[k] along an axis, from y[0] = b[0].",
    samples=tuple(Sample((Values(shape), Values(shape)), {"axis": axis}) for shape, axis in _SHAPES),
)


def _pull_running_product(g: Any, out: Any, x: Any, *, axis: int) -> Any:
    """The product before an element, times all that comes of it: h[k] = g[k] + x[k + 1]·h[k + 1]."""
    shape = shape_of(x)
    if shape[axis] == 0:
        return g
    first = np.broadcast_to(np.ones((), g.dtype), tuple(1 if k == axis else n for k, n in enumerate(shape)))
    before = concatenate([first, _most(out, axis)], axis)
    factors = _shifted(_backward(x, axis), axis)
    return scale(_backward(recurrence(factors, _backward(g, axis), axis=axis), axis), before)


running_product: Op = Op(
    name="cumprod",
    kind=Kind.LINE,
    infer=lambda x, *, axis: x,
    promote=keep,
    eager=lambda x, *, axis: np.cumprod(x, axis, dtype=x.dtype),
    partials=(Rule(_pull_running_product),),
    batch=Stacked(next_axis),
    lower="running_product",
    numpy=(),
    torch=("", "CumprodBackward0"),
    doc="The products of the elements up to each one along an axis.",
    samples=_samples(low=0.4, high=1.6),
)


def _extreme_position_eager(x: Any, *, axis: int, largest: bool) -> Any:
    best = (np.maximum if largest else np.minimum).accumulate(x, axis)
    count = x.shape[axis]
    order = np.arange(count).reshape(tuple(count if k == axis else 1 for k in range(x.ndim)))
    return np.maximum.accumulate(np.where((x == best) | (x != x), order, 0), axis)


extreme_position: Op = Op(
    name="cumargmax",
    kind=Kind.LINE,
    infer=lambda x, *, axis, largest: Aval(x.shape, np.dtype(np.int64)),
    promote=keep,
    eager=_extreme_position_eager,
    partials=(FLAT,),
    batch=Stacked(next_axis),
    lower="running_extreme",
    numpy=(),
    torch=("", ""),
    doc="Where along an axis the greatest (or smallest) element so far stands; of equal ones the latest, or a NaN.",
    samples=tuple(
        Sample((Values(shape, -3, 3, kind=kind),), {"axis": axis, "largest": largest}, smooth=False)
        for (shape, axis), largest, kind in zip(
            _SHAPES, (True, False, True, False, True), ("int", "float", "int", "int", "float"), strict=True
        )
    ),
)

# -- functions --------------------------------------------------------------------------------------------------------


def _line(x: Any, axis: int | None) -> tuple[Any, int]:
    """The operand and its axis; none means that it is scanned as a vector."""
    x = as_operand(x)
    if axis is None:
        return reshape(x, (-1,)), 0
    return x, normalise_axis(axis, len(shape_of(x)))


def _accumulate(op: Op, x: Any, axis: int | None, dtype: Any, out: None) -> Any:
    if out is not None:
        raise TraceError("out= writes into an array", fix=f"assign the result instead: y = np.{op.name}(x)")
    x, place = _line(x, axis)
    kind, size = x.dtype.kind, x.dtype.itemsize
    if dtype is None and (kind == "b" or (kind in "iu" and size < 8)):
        dtype = np.uint64 if kind == "u" else np.int64
    if dtype is not None and x.dtype != np.dtype(dtype):
        x = cast(x, dtype=np.dtype(dtype))
    return op(x, axis=place)


def cumsum(x: Any, axis: int | None = None, dtype: Any = None, out: None = None) -> Any:
    """``np.cumsum``; small integers and bools are summed in 64 bits.

    >>> cumsum(np.array([1.0, 2.0, 3.0]))
    array([1., 3., 6.])
    """
    return _accumulate(running_sum, x, axis, dtype, out)


def cumprod(x: Any, axis: int | None = None, dtype: Any = None, out: None = None) -> Any:
    """``np.cumprod``; small integers and bools are multiplied in 64 bits.

    >>> cumprod(np.array([1.0, 2.0, 3.0]))
    array([1., 2., 6.])
    """
    return _accumulate(running_product, x, axis, dtype, out)


def _cumulative(scan: Any, start: int, x: Any, axis: int | None, dtype: Any, out: None, include_initial: bool) -> Any:
    x = as_operand(x)
    if axis is None and len(shape_of(x)) != 1:
        raise ShapeError(f"a running sum or product of an array of shape {shape_of(x)} needs axis=", fix="give axis=")
    place = 0 if axis is None else normalise_axis(axis, len(shape_of(x)))
    found = scan(x, place, dtype, out)
    if not include_initial:
        return found
    first = np.full(_one(shape_of(x), place), start, found.dtype)
    return concatenate([first, found], place)


def cumulative_sum(
    x: Any, /, *, axis: int | None = None, dtype: Any = None, out: None = None, include_initial: bool = False
) -> Any:
    """``np.cumulative_sum``.

    >>> cumulative_sum(np.array([1.0, 2.0]), include_initial=True)
    array([0., 1., 3.])
    """
    return _cumulative(cumsum, 0, x, axis, dtype, out, include_initial)


def cumulative_prod(
    x: Any, /, *, axis: int | None = None, dtype: Any = None, out: None = None, include_initial: bool = False
) -> Any:
    """``np.cumulative_prod``.

    >>> cumulative_prod(np.array([2.0, 3.0]), include_initial=True)
    array([1., 2., 6.])
    """
    return _cumulative(cumprod, 1, x, axis, dtype, out, include_initial)


def cummax(x: Any, axis: int) -> tuple[Any, Any]:
    """The greatest elements so far along an axis, and where they stand.

    >>> cummax(np.array([1.0, 3.0, 2.0]), 0)
    (array([1., 3., 3.]), array([0, 1, 1]))
    """
    return _extreme(x, axis, True)


def cummin(x: Any, axis: int) -> tuple[Any, Any]:
    """The smallest elements so far along an axis, and where they stand.

    >>> cummin(np.array([1.0, 3.0, 0.0]), 0)
    (array([1., 1., 0.]), array([0, 0, 2]))
    """
    return _extreme(x, axis, False)


def _extreme(x: Any, axis: int, largest: bool) -> tuple[Any, Any]:
    x, place = _line(x, axis)
    positions = extreme_position(x, axis=place, largest=largest)
    return gather_along(x, positions, place, trusted=True), positions


def logcumsumexp(x: Any, axis: int) -> Any:
    """The logarithms of the running sums of exponentials along an axis, without overflow and without loss.

    Raises ShapeError for an axis that is out of range.

    >>> logcumsumexp(np.array([0.0, 1000.0, 1000.0]), 0).round(3)
    array([   0.   , 1000.   , 1000.693])
    """
    x, place = _line(x, axis)
    if x.dtype.kind != "f":
        raise DtypeError(f"logcumsumexp of {x.dtype}", fix="cast it first: x.astype(np.float64)")
    if not shape_of(x)[place]:
        return x
    # the result does not depend on what is taken out of the exponentials, so no derivative has to follow it
    top, _ = cummax(stop_gradient(x), place)
    nothing = np.zeros((), x.dtype)
    top = select(isfinite(top), top, nothing)
    terms = exp(x - top)
    first = strided_slice(top, starts=(0,) * len(shape_of(x)), sizes=_one(shape_of(x), place), steps=(1,) * len(shape_of(x)))
    fade = exp(concatenate([first, _most(top, place)], place) - top)
    total = recurrence(fade, terms, axis=place)
    empty = total == 0
    return select(empty, np.full((), -np.inf, x.dtype), log(select(empty, np.ones((), x.dtype), total)) + top)


def _one(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return tuple(1 if k == axis else n for k, n in enumerate(shape))
