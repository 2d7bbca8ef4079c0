"""REDUCE ops, which combine the elements of the axes they drop, and NumPy's reductions on top of them.

Conventions: ``max`` and ``min`` split the cotangent evenly among ties, and where the result is NaN among the NaNs;
``std`` has gradient 0 at variance 0; the gradient of ``prod`` is right with any number of zeros, and so are its second
and third derivative.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tracegrad.core.aval import VALUES, normalise_axes, shape_of, supported
from tracegrad.core.op import Op, Reducer, Sample, Values, reduction
from tracegrad.errors import DtypeError, ShapeError, TraceError
from tracegrad.ops.broadcasting import broadcast_back, reduce_sum
from tracegrad.ops.comparisons import logical_not
from tracegrad.ops.complexes import imag, is_complex, real
from tracegrad.ops.maps import cast, maximum, minimum, multiply, scale, select, sqrt
from tracegrad.ops.sources import running_index
from tracegrad.ops.views import broadcast_to, expand_dims, reshape

Axes = int | tuple[int, ...] | None

# -- raw ops ----------------------------------------------------------------------------------------------------------


def _pull_extreme(g: Any, out: Any, x: Any, *, axes: tuple[int, ...]) -> Any:
    shape = shape_of(x)
    best = (x == broadcast_back(out, shape, axes)) | (x != x)
    share = g / reduce_sum(cast(best, dtype=g.dtype), axes=axes)
    return select(best, broadcast_back(share, shape, axes), np.zeros((), g.dtype))


def _pull_product(g: Any, out: Any, x: Any, *, axes: tuple[int, ...]) -> Any:
    """Each element's factor is the product of the others: of no use is out / x where x is 0.

    Up to three zeros among the factors are written as what they are, their sum or the sum of their products in pairs. It is 0,
    but its derivatives are not.
    """
    shape = shape_of(x)
    zero = x == 0
    one, nothing = np.ones((), x.dtype), np.zeros((), x.dtype)
    safe = select(zero, one, x)
    product = broadcast_back(reduce_prod(safe, axes=axes), shape, axes)
    zeros = broadcast_back(reduce_sum(cast(zero, dtype=x.dtype), axes=axes), shape, axes)
    small = select(zero, x, nothing)
    single = broadcast_back(reduce_sum(small, axes=axes), shape, axes)
    squares = broadcast_back(reduce_sum(multiply(small, small), axes=axes), shape, axes)
    rest, rest_squares = single - small, squares - multiply(small, small)  # of the other zeros
    half = np.full((), 0.5, x.dtype)
    among = select(zeros == 3, (multiply(rest, rest) - rest_squares) * half, nothing)
    among = select(zeros == 1, one, select(zeros == 2, rest, among))
    beside = select(zeros == 2, (multiply(single, single) - squares) * half, nothing)
    beside = select(zeros == 0, one, select(zeros == 1, single, beside))
    others = scale(select(zero, among, beside), select(zero, product, product / safe))
    return scale(broadcast_back(g, shape, axes), others)


def _samples(*, smooth: bool = True, empty: bool = True, **more: Any) -> tuple[Sample, ...]:
    cases = (((3, 4), (0, 1)), ((3, 4), (0,)), ((2, 3, 4), (1,)), ((2, 3, 4), (0, 2)), ((), ()), ((0, 3), (1,)))
    samples = tuple(Sample((Values(shape, **more),), {"axes": axes}, smooth=smooth) for shape, axes in cases)
    if empty:
        return (*samples, Sample((Values((3, 0), **more),), {"axes": (1,)}, smooth=smooth))
    return (*samples, Sample((Values((3, 0), **more),), {"axes": (1,)}, error=ShapeError, match="no elements"))


reduce_max = reduction(
    "max",
    np.maximum,
    _pull_extreme,
    Reducer("maximum", "lowest"),
    torch=("amax", "AmaxBackward0"),
    doc="The greatest element over axes; NaN if there is one.",
    samples=_samples(distinct=True, empty=False),
    empty=False,
)
reduce_min = reduction(
    "min",
    np.minimum,
    _pull_extreme,
    Reducer("minimum", "highest"),
    torch=("amin", "AminBackward0"),
    doc="The smallest element over axes; NaN if there is one.",
    samples=_samples(distinct=True, empty=False),
    empty=False,
)
reduce_prod: Op = reduction(
    "prod",
    np.multiply,
    _pull_product,
    Reducer("multiply", 1),
    torch=("prod", "ProdBackward0"),
    doc="The product over axes.",
    samples=_samples(low=0.4, high=1.6),
)


def _truth(x: Any) -> tuple[np.dtype[Any], ...]:
    return (np.dtype(bool),)


reduce_any = reduction(
    "any",
    np.logical_or,
    None,
    Reducer("logical_or", 0),
    torch=("any", ""),
    doc="Whether any element over axes is true.",
    samples=_samples(kind="bool", smooth=False),
    promote=_truth,
)
reduce_all = reduction(
    "all",
    np.logical_and,
    None,
    Reducer("logical_and", 1),
    torch=("all", ""),
    doc="Whether all elements over axes are true.",
    samples=_samples(kind="bool", smooth=False),
    promote=_truth,
)

# -- what NumPy's signatures share ------------------------------------------------------------------------------------


def as_operand(x: Any) -> Any:
    """The value itself, or the array of a list or a Python number; DtypeError for what makes no array of numbers."""
    if hasattr(x, "dtype"):
        return x
    array = np.asarray(x)
    if array.dtype.hasobject:
        raise DtypeError(f"{x!r}, of type {type(x).__name__}, in place of an array", fix="give an array or a number")
    return array


def _reduce(op: Op, x: Any, axis: Axes, keepdims: bool) -> Any:
    axes = _axes(axis, len(shape_of(x)))
    result = op(x, axes=axes)
    return expand_dims(result, axes) if keepdims and axes else result


def _axes(axis: Axes, ndim: int) -> tuple[int, ...]:
    """Sorted axes; NumPy's reductions let a 0-d array pass for one with an axis."""
    return () if ndim == 0 and axis in (0, -1) else normalise_axes(axis, ndim)


def _no_out(out: Any) -> None:
    if out is not None:
        raise TraceError("out= writes into an array", fix="assign the result instead: y = np.sum(x)")


def _to(x: Any, dtype: Any) -> Any:
    return x if dtype is None or x.dtype == np.dtype(dtype) else cast(x, dtype=supported(np.dtype(dtype), VALUES))


def _summing_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype in which NumPy sums and multiplies: small integers widen."""
    if dtype.kind in "bi" and dtype.itemsize < 8:
        return np.dtype(np.int64)
    return np.dtype(np.uint64) if dtype.kind == "u" and dtype.itemsize < 8 else dtype


def _count(x: Any, axis: Axes) -> int:
    shape = shape_of(x)
    return math.prod(shape[k] for k in normalise_axes(axis, len(shape)))


# -- NumPy's reductions -----------------------------------------------------------------------------------------------


def sum(  # noqa: A001
    x: Any,
    axis: Axes = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Any:
    """``np.sum``; small integers and bools are summed in 64 bits.

    >>> sum(np.array([[True, True], [False, True]]), axis=0)
    array([1, 2])
    """
    return _accumulate(reduce_sum, x, axis, dtype, out, keepdims, initial, where)


def prod(
    x: Any,
    axis: Axes = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Any:
    """``np.prod``; its gradient is right with zeros among the factors."""
    return _accumulate(reduce_prod, x, axis, dtype, out, keepdims, initial, where)


def _accumulate(op: Op, x: Any, axis: Axes, dtype: Any, out: None, keepdims: bool, initial: Any, where: Any) -> Any:
    _no_out(out)
    x = as_operand(x)
    x = _to(x, dtype or _summing_dtype(x.dtype))
    if where is not None:
        x = select(where, x, np.array(op.lower.identity, x.dtype))
    result = _reduce(op, x, axis, keepdims)
    if initial is None:
        return result
    return result + initial if op is reduce_sum else result * initial


def mean(x: Any, axis: Axes = None, dtype: Any = None, out: None = None, keepdims: bool = False, where: Any = None) -> Any:
    """``np.mean``; the mean of integers and bools is float64."""
    _no_out(out)
    x = as_operand(x)
    x = _to(x, dtype or (np.float64 if x.dtype.kind in "iub" else None))
    if where is None:
        return _reduce(reduce_sum, x, axis, keepdims) / _count(x, axis)
    counted = select(where, np.ones(shape_of(x), x.dtype), np.zeros((), x.dtype))
    kept = select(where, x, np.zeros((), x.dtype))
    return _reduce(reduce_sum, kept, axis, keepdims) / _reduce(reduce_sum, counted, axis, keepdims)


def max(  # noqa: A001
    x: Any, axis: Axes = None, out: None = None, keepdims: bool = False, initial: Any = None, where: Any = None
) -> Any:
    """``np.max``: NaN where there is one; ties share the gradient evenly."""
    return _extreme(reduce_max, x, axis, out, keepdims, initial, where)


def min(  # noqa: A001
    x: Any, axis: Axes = None, out: None = None, keepdims: bool = False, initial: Any = None, where: Any = None
) -> Any:
    """``np.min``: NaN where there is one; ties share the gradient evenly."""
    return _extreme(reduce_min, x, axis, out, keepdims, initial, where)


def _extreme(op: Op, x: Any, axis: Axes, out: None, keepdims: bool, initial: Any, where: Any) -> Any:
    _no_out(out)
    x = as_operand(x)
    if where is not None:
        if initial is None:
            raise ShapeError(f"{op.name} with where= may find no element", fix="give the value it starts from with initial=")
        x = select(where, x, initial)
    if initial is None:
        return _reduce(op, x, axis, keepdims)
    if x.dtype.kind in "iub":
        initial = _to(as_operand(initial), x.dtype)
    pick = maximum if op is reduce_max else minimum
    if _count(x, axis) == 0:
        # no element: only the start value is left, in the shape of the reduction of zeros
        return pick(_reduce(reduce_sum, x, axis, keepdims) * 0 + initial, initial)
    return pick(_reduce(op, x, axis, keepdims), initial)


def argmax(x: Any, axis: int | None = None, out: None = None, *, keepdims: bool = False) -> Any:
    """``np.argmax``: the first place of the maximum, or of a NaN."""
    return _place(reduce_max, x, axis, out, keepdims)


def argmin(x: Any, axis: int | None = None, out: None = None, *, keepdims: bool = False) -> Any:
    """``np.argmin``: the first place of the minimum, or of a NaN."""
    return _place(reduce_min, x, axis, out, keepdims)


def _place(op: Op, x: Any, axis: int | None, out: None, keepdims: bool) -> Any:
    _no_out(out)
    x = as_operand(x)
    ndim = len(shape_of(x))
    if axis is None or ndim == 0:
        _axes(axis, ndim)
        found = _place(op, reshape(x, -1), 0, None, False)
        return reshape(found, (1,) * ndim) if keepdims and ndim else found
    (place,) = normalise_axes(axis, ndim)
    size = shape_of(x)[place]
    best = x == _reduce(op, x, place, True)
    if x.dtype.kind == "f":
        best = best | (x != x)
    positions = reshape(running_index(size, x), tuple(size if k == place else 1 for k in range(ndim)))
    return _reduce(reduce_min, select(best, positions, size), place, keepdims)


def squared_size(x: Any) -> Any:
    """x·x, of complex numbers |x|²."""
    if is_complex(x):
        return squared_size(real(x)) + squared_size(imag(x))
    return multiply(x, x)


def var(
    x: Any,
    axis: Axes = None,
    dtype: Any = None,
    out: None = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    where: Any = None,
    mean: Any = None,
    correction: float | None = None,
) -> Any:
    """``np.var``, also of the elements where a condition holds, or about a mean that is known."""
    _no_out(out)
    x = as_operand(x)
    x = _to(x, dtype or (np.float64 if x.dtype.kind in "iub" else None))
    away = x - (_mean(x, axis, keepdims=True, where=where) if mean is None else mean)
    taken = ddof if correction is None else correction
    if where is None:
        freedom = _count(x, axis) - taken
        return _reduce(reduce_sum, squared_size(away), axis, keepdims) / (freedom if freedom > 0 else 0)
    squares = squared_size(away)
    counted = sum(select(where, np.ones(shape_of(x), squares.dtype), np.zeros((), squares.dtype)), axis, keepdims=keepdims)
    left = counted - taken
    return sum(squares, axis, keepdims=keepdims, where=where) / select(left > 0, left, np.zeros((), squares.dtype))


_mean = mean


def std(
    x: Any,
    axis: Axes = None,
    dtype: Any = None,
    out: None = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    where: Any = None,
    mean: Any = None,
    correction: float | None = None,
) -> Any:
    """``np.std``; at variance 0, where the root has no slope, the gradient is 0."""
    variance = var(x, axis, dtype, out, ddof, keepdims, where=where, mean=mean, correction=correction)
    flat = variance == 0
    one, nothing = np.ones((), variance.dtype), np.zeros((), variance.dtype)
    return select(flat, nothing, sqrt(select(flat, one, variance)))


def any(x: Any, axis: Axes = None, out: None = None, keepdims: bool = False, *, where: Any = None) -> Any:  # noqa: A001
    """``np.any``."""
    return _ask(reduce_any, x, axis, out, keepdims, where)


def all(x: Any, axis: Axes = None, out: None = None, keepdims: bool = False, *, where: Any = None) -> Any:  # noqa: A001
    """``np.all``."""
    return _ask(reduce_all, x, axis, out, keepdims, where)


def _ask(op: Op, x: Any, axis: Axes, out: None, keepdims: bool, where: Any) -> Any:
    _no_out(out)
    x = _to(as_operand(x), bool)
    if where is not None:
        x = (x | logical_not(where)) if op is reduce_all else (x & where)
    return _reduce(op, x, axis, keepdims)


def ptp(x: Any, axis: Axes = None, out: None = None, keepdims: bool = False) -> Any:
    """``np.ptp``: the maximum less the minimum."""
    return max(x, axis, out, keepdims) - min(x, axis, out, keepdims)


def count_nonzero(x: Any, axis: Axes = None, *, keepdims: bool = False) -> Any:
    """``np.count_nonzero``."""
    return sum(_to(as_operand(x), bool), axis, keepdims=keepdims)


def average(x: Any, axis: Axes = None, weights: Any = None, returned: bool = False, *, keepdims: bool = False) -> Any:
    """``np.average`` with weights of the shape of ``x``, or of its one axis; with the sum of weights if ``returned``."""
    if not returned:
        return _average(x, axis, weights, keepdims)
    found = _average(x, axis, weights, keepdims)
    ones = np.ones(shape_of(as_operand(x)), found.dtype)
    total = ones if weights is None else broadcast_to(_weights(as_operand(x), axis, as_operand(weights)), shape_of(ones))
    return found, _to(broadcast_to(sum(total, axis, keepdims=keepdims), shape_of(found)), found.dtype)


def _average(x: Any, axis: Axes, weights: Any, keepdims: bool) -> Any:
    x = as_operand(x)
    if weights is None:
        return mean(x, axis, keepdims=keepdims)
    weights = _weights(x, axis, as_operand(weights))
    return sum(multiply(x, weights), axis, keepdims=keepdims) / sum(weights, axis, keepdims=keepdims)


def _weights(x: Any, axis: Axes, weights: Any) -> Any:
    """Weights in the shape of what they weigh."""
    if shape_of(weights) != shape_of(x):
        if not isinstance(axis, int) or len(shape_of(weights)) != 1:
            raise ShapeError(
                f"weights of shape {shape_of(weights)} for an array of shape {shape_of(x)}",
                fix="give weights of the array's shape, or one per element of the one axis named",
            )
        (place,) = normalise_axes(axis, len(shape_of(x)))
        weights = reshape(weights, tuple(-1 if k == place else 1 for k in range(len(shape_of(x)))))
        weights = broadcast_to(weights, shape_of(x))
    return weights
