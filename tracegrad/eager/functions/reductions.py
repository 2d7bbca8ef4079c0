"""Sums, means, extremes and norms with PyTorch's signatures.

``dim`` and ``keepdim`` may be spelled ``axis`` and ``keepdims``. Several ops behind one name are one node on the tape.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tracegrad import functional
from tracegrad.core.aval import shape_of
from tracegrad.core.source import user_frame
from tracegrad.eager.composite import recorded_as
from tracegrad.eager.functions.arguments import (
    Dims,
    as_dtype,
    constant,
    floating,
    labelled,
    named_result,
    one_dim,
    require_floating,
    sorted_dims,
)
from tracegrad.errors import DtypeError, ShapeError
from tracegrad.ops import reductions
from tracegrad.ops.broadcasting import reduce_sum
from tracegrad.ops.comparisons import isnan, not_equal
from tracegrad.ops.complexes import is_complex, real
from tracegrad.ops.indexing import take_along_axis
from tracegrad.ops.maps import absolute, add, cast, divide, exp, log, maximum, minimum, multiply, power, select, sqrt, subtract
from tracegrad.ops.reductions import reduce_all, reduce_any, reduce_max, reduce_min, reduce_prod, squared_size
from tracegrad.ops.views import expand_dims, join, permute, reshape, squeeze, strided_slice

__all__ = [
    "all",
    "amax",
    "amin",
    "aminmax",
    "any",
    "argmax",
    "argmin",
    "count_nonzero",
    "dist",
    "log_softmax",
    "logsumexp",
    "max",
    "mean",
    "min",
    "nanmean",
    "nansum",
    "norm",
    "prod",
    "softmax",
    "std",
    "std_mean",
    "sum",
    "var",
    "var_mean",
]

MaxResult = named_result("max", "values", "indices")
MinResult = named_result("min", "values", "indices")
AminmaxResult = named_result("aminmax", "min", "max")


def _kept(x: Any, axes: tuple[int, ...], keep: bool) -> Any:
    """A reduction's result with the dropped axes of size 1, if they are to be kept."""
    return expand_dims(x, axes) if keep and axes else x


# -- sums, products and means -----------------------------------------------------------------------------------------


def _sum_of(x: Any, axes: tuple[int, ...], keep: bool, dtype: Any) -> Any:
    return _kept(reduce_sum(as_dtype(x, dtype), axes=axes), axes, keep)


_sum_all = recorded_as("SumBackward0")(_sum_of)
_sum_along = recorded_as("SumBackward1")(_sum_of)


def _wide(x: Any, dtype: Any) -> Any:
    """The dtype to sum in: that asked for, int64 for integers and bools; None for the tensor's own."""
    if dtype is not None:
        return np.dtype(dtype)
    return None if x.dtype.kind in "fc" else np.dtype(np.int64)


def sum(
    input: Any,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
    axis: Dims = None,
    keepdims: bool = False,
) -> Any:
    """The sum of all elements, or along dims; integers and bools are summed as int64.

    >>> from tracegrad.eager import tensor
    >>> sum(tensor([[1.0, 2.0], [3.0, 4.0]]), dim=0)
    tensor([4., 6.])
    """
    if dim is None:
        dim = axis
    axes = sorted_dims(dim, input.ndim)
    wide = _wide(input, dtype)
    keep = keepdim or keepdims
    if wide is not None or keep:
        return (_sum_all if dim is None else _sum_along)(input, axes, keep, wide)
    total = reduce_sum(input, axes=axes)
    # the node of a sum of everything is number 0 unless the dims were given
    return total if dim is None or len(axes) < input.ndim else labelled("SumBackward1", total)


@recorded_as("NansumBackward0")
def _nansum_of(x: Any, axes: tuple[int, ...], keep: bool, dtype: Any) -> Any:
    x = as_dtype(x, dtype)
    return _kept(reduce_sum(select(isnan(x), 0, x), axes=axes), axes, keep)


def nansum(
    input: Any,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
    axis: Dims = None,
    keepdims: bool = False,
) -> Any:
    """The sum with NaN taken for 0.

    >>> from tracegrad.eager import tensor
    >>> nansum(tensor([1.0, float("nan"), 2.0]))
    tensor(3.)
    """
    dim = axis if dim is None else dim
    if input.dtype.kind not in "fc":
        return sum(input, dim, keepdim or keepdims, dtype=dtype)
    return _nansum_of(input, sorted_dims(dim, len(shape_of(input))), keepdim or keepdims, dtype)


def _mean_of(x: Any, axes: tuple[int, ...], keep: bool, dtype: Any) -> Any:
    count = math.prod(shape_of(x)[k] for k in axes)
    # a mean of no elements is NaN, as 0 / 0 is
    total = _kept(reduce_sum(as_dtype(x, dtype), axes=axes), axes, keep)
    return divide(total, count) if count else divide(total, 0.0)


_mean_all = recorded_as("MeanBackward0")(_mean_of)
_mean_along = recorded_as("MeanBackward1")(_mean_of)


def mean(
    input: Any,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
    axis: Dims = None,
    keepdims: bool = False,
) -> Any:
    """The mean of all elements, or along dims; DtypeError for integers without ``dtype``.

    >>> from tracegrad.eager import tensor
    >>> mean(tensor([[1.0, 2.0], [3.0, 4.0]]), dim=1)
    tensor([1.5000, 3.5000])
    """
    dim = axis if dim is None else dim
    if dtype is None:
        require_floating(
            input,
            "mean(): could not infer output dtype. Input dtype must be either a floating point or complex dtype.",
        )
    function = _mean_all if dim is None else _mean_along
    return function(
        input, sorted_dims(dim, len(shape_of(input))), keepdim or keepdims, None if dtype is None else np.dtype(dtype)
    )


def nanmean(
    input: Any,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
    axis: Dims = None,
    keepdims: bool = False,
) -> Any:
    """The mean of the elements that are not NaN.

    >>> from tracegrad.eager import tensor
    >>> nanmean(tensor([1.0, float("nan"), 2.0]))
    tensor(1.5000)
    """
    dim = axis if dim is None else dim
    require_floating(input, "nanmean(): expected input to have floating point or complex dtype.")
    keep = keepdim or keepdims
    there = cast(not_equal(isnan(constant(input)), True), dtype=np.dtype(dtype) if dtype is not None else input.dtype)
    return divide(nansum(input, dim, keep, dtype=dtype), sum(there, dim, keep))


def _prod_of(x: Any, axes: tuple[int, ...], keep: bool, dtype: Any) -> Any:
    x = as_dtype(x, dtype)
    if x.dtype.kind in "fc" and axes:
        # by halves: products of pairs have every derivative, with any number of zeros among the factors
        rest = [k for k in range(len(shape_of(x))) if k not in axes]
        sizes = tuple(shape_of(x)[k] for k in rest)
        lines = reshape(permute(x, axes=(*rest, *axes)), (*sizes, math.prod(shape_of(x)[k] for k in axes)))
        return _kept(_product_of_lines(lines, sizes), axes, keep)
    return _kept(reduce_prod(x, axes=axes), axes, keep)


def _product_of_lines(x: Any, sizes: tuple[int, ...]) -> Any:
    """The products along the last axis; ``sizes`` are the others."""
    count = shape_of(x)[-1]
    if count == 0:
        return reduce_prod(x, axes=(len(sizes),))

    def part(start: int, length: int) -> Any:
        starts = (*(0,) * len(sizes), start)
        return strided_slice(x, starts=starts, sizes=(*sizes, length), steps=(1,) * len(starts))

    while count > 1:
        half = count // 2
        product = multiply(part(0, half), part(half, half))
        x = join(product, part(count - 1, 1), axis=len(sizes)) if count % 2 else product
        count = half + count % 2
    return reshape(x, sizes)


_prod_all = recorded_as("ProdBackward0")(_prod_of)
_prod_along = recorded_as("ProdBackward1")(_prod_of)


def prod(
    input: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
    axis: int | None = None,
    keepdims: bool = False,
) -> Any:
    """The product of all elements, or along one dim.

    >>> from tracegrad.eager import tensor
    >>> prod(tensor([2.0, 3.0, 4.0]))
    tensor(24.)
    """
    dim = axis if dim is None else dim
    axes = sorted_dims(dim, len(shape_of(input)))
    return (_prod_all if dim is None else _prod_along)(input, axes, keepdim or keepdims, _wide(input, dtype))


def count_nonzero(input: Any, dim: Dims = None, *, axis: Dims = None) -> Any:
    """How many elements are not 0, as int64.

    >>> from tracegrad.eager import tensor
    >>> count_nonzero(tensor([0.0, 3.0, -1.0]))
    tensor(2)
    """
    return sum(not_equal(constant(input), 0), axis if dim is None else dim)


# -- truth ------------------------------------------------------------------------------------------------------------


def all(
    input: Any,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    axis: Dims = None,
    keepdims: bool = False,
) -> Any:
    """Whether all elements are true.

    >>> from tracegrad.eager import tensor
    >>> all(tensor([[True, False], [True, True]]), dim=1)
    tensor([False,  True])
    """
    axes = sorted_dims(axis if dim is None else dim, len(shape_of(input)))
    return _kept(reduce_all(_truths(input), axes=axes), axes, keepdim or keepdims)


def any(
    input: Any,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    axis: Dims = None,
    keepdims: bool = False,
) -> Any:
    """Whether any element is true.

    >>> from tracegrad.eager import tensor
    >>> any(tensor([[True, False], [False, False]]), dim=1)
    tensor([ True, False])
    """
    axes = sorted_dims(axis if dim is None else dim, len(shape_of(input)))
    return _kept(reduce_any(_truths(input), axes=axes), axes, keepdim or keepdims)


def _truths(x: Any) -> Any:
    return x if x.dtype.kind == "b" else not_equal(constant(x), 0)


# -- extremes ---------------------------------------------------------------------------------------------------------


def _refuse_nothing(name: str, x: Any, axes: tuple[int, ...], given: bool) -> None:
    if 0 in (shape_of(x)[k] for k in axes):
        raise ShapeError(
            f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim with the "
            "'dim' argument."
            if not given
            else f"{name}(): Expected reduction dim to have non-zero size, the input has shape {shape_of(x)}",
            fix="ask x.numel() before",
            where=user_frame(),
        )


@recorded_as("AmaxBackward0")
def _amax_of(x: Any, axes: tuple[int, ...]) -> Any:
    return expand_dims(reduce_max(x, axes=axes), axes)


@recorded_as("AminBackward0")
def _amin_of(x: Any, axes: tuple[int, ...]) -> Any:
    return expand_dims(reduce_min(x, axes=axes), axes)


def amax(
    input: Any,
    dim: Dims = (),
    keepdim: bool = False,
    *,
    axis: Dims = None,
    keepdims: bool = False,
) -> Any:
    """The maximum along dims; equal maxima share the gradient evenly.

    >>> from tracegrad.eager import tensor
    >>> amax(tensor([[1.0, 5.0], [4.0, 2.0]]), dim=1)
    tensor([5., 4.])
    """
    axes = sorted_dims(dim if axis is None else axis, len(shape_of(input)))
    _refuse_nothing("amax", input, axes, True)
    return _amax_of(input, axes) if axes and (keepdim or keepdims) else reduce_max(input, axes=axes)


def amin(
    input: Any,
    dim: Dims = (),
    keepdim: bool = False,
    *,
    axis: Dims = None,
    keepdims: bool = False,
) -> Any:
    """The minimum along dims; equal minima share the gradient evenly.

    >>> from tracegrad.eager import tensor
    >>> amin(tensor([[1.0, 5.0], [4.0, 2.0]]), dim=1)
    tensor([1., 2.])
    """
    axes = sorted_dims(dim if axis is None else axis, len(shape_of(input)))
    _refuse_nothing("amin", input, axes, True)
    return _amin_of(input, axes) if axes and (keepdim or keepdims) else reduce_min(input, axes=axes)


@recorded_as("AminmaxBackward0")
def _aminmax_of(x: Any, axes: tuple[int, ...], keep: bool) -> tuple[Any, Any]:
    return _kept(reduce_min(x, axes=axes), axes, keep), _kept(reduce_max(x, axes=axes), axes, keep)


def aminmax(
    input: Any,
    *,
    dim: int | None = None,
    keepdim: bool = False,
    axis: int | None = None,
    keepdims: bool = False,
) -> Any:
    """The minimum and the maximum, as ``(min, max)``.

    >>> from tracegrad.eager import tensor
    >>> aminmax(tensor([3.0, 1.0, 2.0])).max
    tensor(3.)
    """
    axes = sorted_dims(axis if dim is None else dim, len(shape_of(input)))
    _refuse_nothing("aminmax", input, axes, dim is not None)
    return AminmaxResult(*_aminmax_of(input, axes, keepdim or keepdims))


def _place_of(pick: Any, x: Any, axis: int, keep: bool) -> Any:
    found = pick(constant(x), axis, keepdims=True) if shape_of(x) else pick(constant(x), None)
    return found if keep or not shape_of(x) else squeeze(found, axis)


def argmax(
    input: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    axis: int | None = None,
    keepdims: bool = False,
) -> Any:
    """The first position of the maximum, of all elements in row-major order or along a dim.

    >>> from tracegrad.eager import tensor
    >>> argmax(tensor([[1.0, 5.0], [4.0, 2.0]]), dim=1)
    tensor([1, 0])
    """
    return _place("argmax", reductions.argmax, input, axis if dim is None else dim, keepdim or keepdims)


def argmin(
    input: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    axis: int | None = None,
    keepdims: bool = False,
) -> Any:
    """The first position of the minimum, of all elements in row-major order or along a dim.

    >>> from tracegrad.eager import tensor
    >>> argmin(tensor([[1.0, 5.0], [4.0, 2.0]]))
    tensor(0)
    """
    return _place("argmin", reductions.argmin, input, axis if dim is None else dim, keepdim or keepdims)


def _place(name: str, pick: Any, x: Any, dim: int | None, keep: bool) -> Any:
    ndim = len(shape_of(x))
    _refuse_nothing(name, x, sorted_dims(dim, ndim), dim is not None)
    if dim is None:
        return pick(constant(x), None, keepdims=keep)
    return _place_of(pick, x, one_dim(dim, ndim), keep)


def _picked(pick: Any, x: Any, axis: int, keep: bool) -> tuple[Any, Any]:
    """The extreme along a dim and its position; the gradient goes to that position alone."""
    places = _place_of(pick, x, axis, True)
    if not shape_of(x):
        return reshape(x, ()), places
    values = take_along_axis(x, places, axis)
    return (values, places) if keep else (squeeze(values, axis), squeeze(places, axis))


@recorded_as("MaxBackward0")
def _max_along(x: Any, axis: int, keep: bool) -> tuple[Any, Any]:
    return _picked(reductions.argmax, x, axis, keep)


@recorded_as("MinBackward0")
def _min_along(x: Any, axis: int, keep: bool) -> tuple[Any, Any]:
    return _picked(reductions.argmin, x, axis, keep)


@recorded_as("MaxBackward1")
def _max_all(x: Any, axes: tuple[int, ...]) -> Any:
    return reduce_max(x, axes=axes)


@recorded_as("MinBackward1")
def _min_all(x: Any, axes: tuple[int, ...]) -> Any:
    return reduce_min(x, axes=axes)


def max(
    input: Any,
    dim: Any = None,
    keepdim: bool = False,
    *,
    other: Any = None,
    axis: int | None = None,
    keepdims: bool = False,
) -> Any:
    """The maximum of all elements; with a dim ``(values, indices)``; with a second tensor that of each pair.

    >>> from tracegrad.eager import tensor
    >>> max(tensor([[1.0, 5.0], [4.0, 2.0]]), dim=1)
    torch.return_types.max(
    values=tensor([5., 4.]),
    indices=tensor([1, 0]))
    """
    other = dim if getattr(dim, "bind_rank", 0) else other
    if other is not None:
        return maximum(input, other)
    dim = axis if dim is None else dim
    axes = sorted_dims(dim, len(shape_of(input)))
    _refuse_nothing("max", input, axes, dim is not None)
    if dim is None:
        return _max_all(input, axes)
    return MaxResult(*_max_along(input, one_dim(dim, len(shape_of(input))), keepdim or keepdims))


def min(
    input: Any,
    dim: Any = None,
    keepdim: bool = False,
    *,
    other: Any = None,
    axis: int | None = None,
    keepdims: bool = False,
) -> Any:
    """The minimum of all elements; with a dim ``(values, indices)``; with a second tensor that of each pair.

    >>> from tracegrad.eager import tensor
    >>> values, indices = min(tensor([[1.0, 5.0], [4.0, 2.0]]), dim=0)
    >>> values
    tensor([1., 2.])
    """
    other = dim if getattr(dim, "bind_rank", 0) else other
    if other is not None:
        return minimum(input, other)
    dim = axis if dim is None else dim
    axes = sorted_dims(dim, len(shape_of(input)))
    _refuse_nothing("min", input, axes, dim is not None)
    if dim is None:
        return _min_all(input, axes)
    return MinResult(*_min_along(input, one_dim(dim, len(shape_of(input))), keepdim or keepdims))


# -- spread -----------------------------------------------------------------------------------------------------------


def _spread(x: Any, axes: tuple[int, ...], keep: bool, correction: float) -> tuple[Any, Any]:
    """The variance and the mean."""
    count = math.prod(shape_of(x)[k] for k in axes)
    middle = divide(_kept(reduce_sum(x, axes=axes), axes, True), float(count))
    away = subtract(x, middle)
    freedom = float(count - correction)
    variance = divide(_kept(reduce_sum(squared_size(away), axes=axes), axes, keep), freedom if freedom > 0 else 0.0)
    return variance, middle if keep or not axes else squeeze(middle, axes)


@recorded_as("VarBackward0")
def _var_of(x: Any, axes: tuple[int, ...], keep: bool, correction: float) -> Any:
    return _spread(x, axes, keep, correction)[0]


def _root(variance: Any) -> Any:
    """The square root, with gradient 0 at 0."""
    return select(variance == 0, 0.0, sqrt(select(variance == 0, 1.0, variance)))


@recorded_as("StdBackward0")
def _std_of(x: Any, axes: tuple[int, ...], keep: bool, correction: float) -> Any:
    return _root(_spread(x, axes, keep, correction)[0])


@recorded_as("VarMeanBackward0")
def _var_mean_of(x: Any, axes: tuple[int, ...], keep: bool, correction: float) -> tuple[Any, Any]:
    return _spread(x, axes, keep, correction)


@recorded_as("StdMeanBackward0")
def _std_mean_of(x: Any, axes: tuple[int, ...], keep: bool, correction: float) -> tuple[Any, Any]:
    variance, middle = _spread(x, axes, keep, correction)
    return _root(variance), middle


def _spread_arguments(
    name: str, x: Any, dim: Any, unbiased: bool | None, correction: float, axis: Dims
) -> tuple[tuple[int, ...], float]:
    """The axes and the correction; a bool in the place of the dim is PyTorch's ``unbiased``."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if x.dtype.kind not in "fc":
        raise DtypeError(
            f"{name}: std and var only support floating point and complex dtypes, not {x.dtype}",
            fix="x.to(torch.float32)",
            where=user_frame(),
        )
    axes = sorted_dims(axis if dim is None else dim, len(shape_of(x)))
    return axes, float(correction if unbiased is None else unbiased)


def var(
    input: Any,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float = 1,
    axis: Dims = None,
    keepdims: bool = False,
) -> Any:
    """The variance: squared distances from the mean, summed and divided by their number less ``correction``.

    >>> from tracegrad.eager import tensor
    >>> var(tensor([1.0, 2.0, 3.0]))
    tensor(1.)
    """
    axes, less = _spread_arguments("var", input, dim, unbiased, correction, axis)
    return _var_of(input, axes, keepdim or keepdims, less)


def std(
    input: Any,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float = 1,
    axis: Dims = None,
    keepdims: bool = False,
) -> Any:
    """The standard deviation, the root of ``var``; where it is 0, its gradient is 0.

    >>> from tracegrad.eager import tensor
    >>> std(tensor([[1.0, 3.0], [2.0, 2.0]]), dim=1)
    tensor([1.4142, 0.0000])
    """
    axes, less = _spread_arguments("std", input, dim, unbiased, correction, axis)
    return _std_of(input, axes, keepdim or keepdims, less)


def var_mean(
    input: Any,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float = 1,
    axis: Dims = None,
    keepdims: bool = False,
) -> tuple[Any, Any]:
    """The variance and the mean.

    >>> from tracegrad.eager import tensor
    >>> var_mean(tensor([1.0, 2.0, 3.0]))
    (tensor(1.), tensor(2.))
    """
    axes, less = _spread_arguments("var_mean", input, dim, unbiased, correction, axis)
    found: tuple[Any, Any] = _var_mean_of(input, axes, keepdim or keepdims, less)
    return found


def std_mean(
    input: Any,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float = 1,
    axis: Dims = None,
    keepdims: bool = False,
) -> tuple[Any, Any]:
    """The standard deviation and the mean.

    >>> from tracegrad.eager import tensor
    >>> std_mean(tensor([1.0, 2.0, 3.0]))
    (tensor(1.), tensor(2.))
    """
    axes, less = _spread_arguments("std_mean", input, dim, unbiased, correction, axis)
    found: tuple[Any, Any] = _std_mean_of(input, axes, keepdim or keepdims, less)
    return found


# -- norms and sums of exponentials -----------------------------------------------------------------------------------


def vector_norm_of(x: Any, p: float, axes: tuple[int, ...], keep: bool) -> Any:
    if p == 2:
        return _kept(_two_norm(x, axes), axes, keep)
    size = absolute(x)
    if p == math.inf:
        found = reduce_max(size, axes=axes)
    elif p == -math.inf:
        found = reduce_min(size, axes=axes)
    elif p == 0:
        # a count, whose gradient is 0
        counted = select(np.ones(shape_of(x), bool), cast(not_equal(x, 0), dtype=size.dtype), size)
        found = reduce_sum(counted, axes=axes)
    elif p == 1:
        found = reduce_sum(size, axes=axes)
    else:
        # at 0 neither the power nor the root has a slope, and PyTorch's gradient there is 0
        inside = select(size == 0, 1.0, size)
        total = reduce_sum(select(size == 0, 0.0 if p > 0 else math.inf, power(inside, p)), axes=axes)
        found = select(total == 0, 0.0, power(select(total == 0, 1.0, total), 1.0 / p))
    return _kept(found, axes, keep)


def _two_norm(x: Any, axes: tuple[int, ...]) -> Any:
    return _root(reduce_sum(squared_size(x), axes=axes))


_vector_norm = recorded_as("LinalgVectorNormBackward0")(vector_norm_of)


def norm(
    input: Any,
    p: Any = "fro",
    dim: Dims = None,
    keepdim: bool = False,
    dtype: Any = None,
    *,
    axis: Dims = None,
    keepdims: bool = False,
) -> Any:
    """The p-norm of all elements, or of the vectors along dims; where it is 0, its gradient is 0.

    >>> from tracegrad.eager import tensor
    >>> norm(tensor([3.0, 4.0]))
    tensor(5.)
    """
    if dtype is None:
        require_floating(input, "linalg.vector_norm: Expected a floating point or complex tensor as input.")
    if p == "nuc":
        raise ShapeError("norm: p='nuc' is the norm of a matrix", fix="torch.linalg.matrix_norm(x, 'nuc')", where=user_frame())
    order = 2.0 if p is None or p == "fro" else float(p)
    axes = sorted_dims(axis if dim is None else dim, len(shape_of(input)))
    return _vector_norm(as_dtype(input, dtype), order, axes, keepdim or keepdims)


@recorded_as("DistBackward0")
def _dist_of(x: Any, y: Any, p: float) -> Any:
    away = subtract(x, y)
    return vector_norm_of(away, p, tuple(range(len(shape_of(away)))), False)


def dist(input: Any, other: Any, p: float = 2) -> Any:
    """The p-norm of the difference of two tensors.

    >>> from tracegrad.eager import tensor
    >>> dist(tensor([1.0, 2.0]), tensor([4.0, 6.0]))
    tensor(5.)
    """
    return _dist_of(input, other, float(p))


@recorded_as("LogsumexpBackward0")
def _logsumexp_of(x: Any, axes: tuple[int, ...], keep: bool) -> Any:
    if is_complex(x) and axes:
        top = _kept(reduce_max(constant(real(x)), axes=axes), axes, True)
        found = add(log(reduce_sum(exp(subtract(x, top)), axes=axes)), squeeze(top, axes))
        return _kept(found, axes, keep)
    return functional.logsumexp(x, axes, keep)


def logsumexp(
    input: Any,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    axis: Dims = None,
    keepdims: bool = False,
) -> Any:
    """The logarithm of the sum of exponentials along dims, without overflow.

    >>> from tracegrad.eager import tensor
    >>> logsumexp(tensor([1000.0, 0.0]), dim=0)
    tensor(1000.)
    """
    dim = axis if dim is None else dim
    if dim is None:
        raise TypeError('logsumexp() missing 1 required positional argument: "dim"')
    return _logsumexp_of(floating(input), sorted_dims(dim, len(shape_of(input))), keepdim or keepdims)


@recorded_as("SoftmaxBackward0")
def _softmax_of(x: Any, axis: int) -> Any:
    # the one element of a 0-d tensor is a vector of one
    return functional.softmax(x, axis) if shape_of(x) else reshape(functional.softmax(reshape(x, (1,)), 0), ())


@recorded_as("LogSoftmaxBackward0")
def _log_softmax_of(x: Any, axis: int) -> Any:
    return functional.log_softmax(x, axis) if shape_of(x) else reshape(functional.log_softmax(reshape(x, (1,)), 0), ())


def _along(name: str, function: Any, x: Any, dim: int | None, dtype: Any) -> Any:
    if dim is None:
        raise TypeError(f'{name}() missing 1 required positional argument: "dim"')
    if dtype is None:
        require_floating(x, f"{name}: the exponentials of integers are no integers.")
    x = as_dtype(x, dtype)
    return function(x, one_dim(dim, len(shape_of(x))))


def softmax(input: Any, dim: int | None = None, dtype: Any = None, *, axis: int | None = None) -> Any:
    """Exponentials over their sum along a dim.

    >>> from tracegrad.eager import tensor
    >>> softmax(tensor([1.0, 1.0]), dim=0)
    tensor([0.5000, 0.5000])
    """
    return _along("softmax", _softmax_of, input, axis if dim is None else dim, dtype)


def log_softmax(input: Any, dim: int | None = None, dtype: Any = None, *, axis: int | None = None) -> Any:
    """The logarithm of ``softmax``, without underflow.

    >>> from tracegrad.eager import tensor
    >>> log_softmax(tensor([0.0, 1000.0]), dim=0)
    tensor([-1000.,     0.])
    """
    return _along("log_softmax", _log_softmax_of, input, axis if dim is None else dim, dtype)
