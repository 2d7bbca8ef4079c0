"""Sorting and selection with PyTorch's signatures.

Functions that give values and where they stood return them as named results; a gradient goes to the element that was
chosen. ``dim`` may be spelled ``axis``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tracegrad.core.aval import shape_of
from tracegrad.core.source import user_frame
from tracegrad.eager.composite import recorded_as
from tracegrad.eager.functions.arguments import named_result, one_dim, tensor_like, values_of
from tracegrad.eager.functions.lines import Pair, line_of, reduced_pair, refuse_empty, restored, restored_pair
from tracegrad.errors import DtypeError, ShapeError
from tracegrad.ops import sorting
from tracegrad.ops.assembly import moveaxis
from tracegrad.ops.sources import TRACED
from tracegrad.ops.views import reshape

__all__ = ["argsort", "kthvalue", "median", "mode", "msort", "nanmedian", "nanquantile", "quantile", "sort", "topk"]

KthvalueResult = named_result("kthvalue", "values", "indices")
MedianResult = named_result("median", "values", "indices")
ModeResult = named_result("mode", "values", "indices")
NanmedianResult = named_result("nanmedian", "values", "indices")
SortResult = named_result("sort", "values", "indices")
TopkResult = named_result("topk", "values", "indices")

# -- sorting ----------------------------------------------------------------------------------------------------------


def _sorted_of(x: Any, axis: int, descending: bool) -> Pair:
    return restored_pair(x, sorting.ordered(line_of(x), axis, descending))


_sorted = recorded_as("SortBackward0")(_sorted_of)
_sorted_stably = recorded_as("SortBackward1")(_sorted_of)


def sort(
    input: Any,
    dim: int = -1,
    descending: bool = False,
    stable: bool | None = None,
    *,
    axis: int | None = None,
) -> Any:
    """The elements in order along a dim and where they stood; equal elements keep their order, NaN is the greatest.

    >>> from tracegrad.eager import tensor
    >>> sort(tensor([3.0, 1.0, 2.0]))
    torch.return_types.sort(
    values=tensor([1., 2., 3.]),
    indices=tensor([1, 2, 0]))
    """
    place = one_dim(dim if axis is None else axis, len(shape_of(input)))
    # PyTorch has a function of its own for sorting with stable=, which here changes nothing
    return SortResult(*(_sorted if stable is None else _sorted_stably)(input, place, bool(descending)))


def msort(input: Any) -> Any:
    """The elements in order along the first dim.

    >>> from tracegrad.eager import tensor
    >>> msort(tensor([[3.0, 1.0], [2.0, 4.0]]))
    tensor([[2., 1.],
            [3., 4.]])
    """
    return _sorted(input, 0, False)[0]


def argsort(
    input: Any,
    dim: int = -1,
    descending: bool = False,
    stable: bool = False,
    *,
    axis: int | None = None,
) -> Any:
    """Where the elements stand along a dim, in their order.

    >>> from tracegrad.eager import tensor
    >>> argsort(tensor([3.0, 1.0, 2.0]), descending=True)
    tensor([0, 2, 1])
    """
    place = one_dim(dim if axis is None else axis, len(shape_of(input)))
    return restored(input, sorting.order(line_of(input), axis=place, descending=bool(descending)))


@recorded_as("TopkBackward0")
def _topk(x: Any, k: int, axis: int, largest: bool) -> Pair:
    return restored_pair(x, sorting.ranked(line_of(x), axis, 0, k, largest))


def topk(
    input: Any,
    k: int,
    dim: int = -1,
    largest: bool = True,
    sorted: bool = True,
    *,
    axis: int | None = None,
) -> Any:
    """The ``k`` greatest (or smallest) elements along a dim, in order, and where they stood.

    >>> from tracegrad.eager import tensor
    >>> topk(tensor([1.0, 3.0, 2.0]), 2).indices
    tensor([1, 2])
    """
    place = one_dim(dim if axis is None else axis, len(shape_of(input)))
    size = shape_of(line_of(input))[place]
    if not 0 <= k <= size:
        raise ShapeError(
            f"selected index k out of range: k is {k}, dimension {place} has size {size}",
            fix=f"use a k between 0 and {size}",
            where=user_frame(),
        )
    return TopkResult(*_topk(input, int(k), place, bool(largest)))


# -- selection --------------------------------------------------------------------------------------------------------


@recorded_as("KthvalueBackward0")
def _kthvalue(x: Any, k: int, axis: int, keep: bool) -> Pair:
    return reduced_pair(x, sorting.ranked(line_of(x), axis, k - 1, k), axis, keep)


def kthvalue(
    input: Any,
    k: int,
    dim: int = -1,
    keepdim: bool = False,
    *,
    axis: int | None = None,
    keepdims: bool = False,
) -> Any:
    """The ``k``-th smallest element along a dim, counted from 1, and where it stands.

    >>> from tracegrad.eager import tensor
    >>> kthvalue(tensor([3.0, 1.0, 2.0]), 2).values
    tensor(2.)
    """
    place = one_dim(dim if axis is None else axis, len(shape_of(input)))
    size = shape_of(line_of(input))[place]
    if not 1 <= k <= size:
        raise ShapeError(
            f"kthvalue(): selected number k out of range for dimension {place}: k is {k}, the size is {size}",
            fix=f"use a k between 1 and {size}",
            where=user_frame(),
        )
    return KthvalueResult(*_kthvalue(input, int(k), place, keepdim or keepdims))


def _median_all_of(x: Any, skip_nan: bool) -> Any:
    return sorting.median_of_all(x, skip_nan)


def _median_along_of(x: Any, axis: int, skip_nan: bool, keep: bool) -> Pair:
    return reduced_pair(x, sorting.median_along(line_of(x), axis, skip_nan), axis, keep)


_median_all = recorded_as("MedianBackward0")(_median_all_of)
_median_along = recorded_as("MedianBackward1")(_median_along_of)
_nanmedian_all = recorded_as("NanmedianBackward0")(_median_all_of)
_nanmedian_along = recorded_as("NanmedianBackward1")(_median_along_of)


def _refuse_bool(name: str, x: Any) -> None:
    if x.dtype.kind == "b":
        raise DtypeError(f"{name} is not there for bool tensors", fix=f"torch.{name}(x.int())", where=user_frame())


def median(
    input: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    axis: int | None = None,
    keepdims: bool = False,
) -> Any:
    """The lower median of all elements, or along a dim with where it stands; NaN if there is one.

    >>> from tracegrad.eager import tensor
    >>> median(tensor([4.0, 1.0, 3.0, 2.0]))
    tensor(2.)
    """
    dim = axis if dim is None else dim
    _refuse_bool("median", input)
    if dim is None:
        return _median_all(input, False) if math.prod(shape_of(input)) else _no_median(input)
    place = one_dim(dim, len(shape_of(input)))
    refuse_empty("median", input, place)
    return MedianResult(*_median_along(input, place, False, keepdim or keepdims))


def nanmedian(
    input: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    axis: int | None = None,
    keepdims: bool = False,
) -> Any:
    """The lower median of the elements that are not NaN, of all or along a dim with where it stands.

    >>> from tracegrad.eager import tensor
    >>> nanmedian(tensor([4.0, float("nan"), 3.0]))
    tensor(3.)
    """
    dim = axis if dim is None else dim
    _refuse_bool("nanmedian", input)
    if dim is None:
        return _nanmedian_all(input, True) if math.prod(shape_of(input)) else _no_median(input)
    place = one_dim(dim, len(shape_of(input)))
    refuse_empty("nanmedian", input, place)
    return NanmedianResult(*_nanmedian_along(input, place, True, keepdim or keepdims))


def _no_median(x: Any) -> Any:
    """The median of no elements, which has a value for floats only."""
    if x.dtype.kind != "f":
        raise ShapeError(f"median() of no elements of dtype {x.dtype}", fix="ask x.numel() before", where=user_frame())
    return tensor_like(np.full((), np.nan, x.dtype), x)


@recorded_as("ModeBackward0")
def _mode(x: Any, axis: int, keep: bool) -> Pair:
    return reduced_pair(x, sorting.mode_along(line_of(x), axis), axis, keep)


def mode(
    input: Any,
    dim: int = -1,
    keepdim: bool = False,
    *,
    axis: int | None = None,
    keepdims: bool = False,
) -> Any:
    """The most frequent element along a dim, of several the smallest, and the last place where it stands.

    >>> from tracegrad.eager import tensor
    >>> mode(tensor([1, 2, 2, 0])).values
    tensor(2)
    """
    place = one_dim(dim if axis is None else axis, len(shape_of(input)))
    refuse_empty("mode", input, place)
    return ModeResult(*_mode(input, place, keepdim or keepdims))


@recorded_as("SqueezeBackward4")
def _quantile_of(x: Any, q: Any, axis: int | None, keep: bool, how: str, skip_nan: bool) -> Any:
    shape = shape_of(x)
    # a number is rounded to the tensor's dtype before it is multiplied, as a tensor would be
    ranks = reshape(q, (-1,)) if hasattr(q, "dtype") else np.array([q], x.dtype)
    line, place = (reshape(x, (-1,)), 0) if axis is None or not shape else (x, axis)
    found = moveaxis(sorting.quantile_along(line, ranks, place, how, skip_nan), place, 0)
    rest = [1 if axis is None or k == axis else n for k, n in enumerate(shape)]
    if not keep:
        rest = [] if axis is None else [n for k, n in enumerate(shape) if k != axis]
    return reshape(found, (*shape_of(ranks)[: len(shape_of(q))], *rest))


def _quantile(name: str, x: Any, q: Any, dim: int | None, keep: bool, how: str) -> Any:
    """Check the arguments as PyTorch does."""
    problem = fix = ""
    if how not in ("linear", "lower", "higher", "midpoint", "nearest"):
        problem = f"interpolation must be one of linear, lower, higher, midpoint or nearest, but got {how}"
        fix = 'interpolation="linear"'
    elif not math.prod(shape_of(x)):
        problem, fix = "input tensor must be non-empty", "ask x.numel() before"
    elif len(shape_of(q)) > 1:
        problem, fix = f"q must be a scalar or 1D tensor, it has shape {shape_of(q)}", "q.flatten()"
    elif not hasattr(q, "dtype"):
        if not 0 <= q <= 1:
            problem, fix = f"q must be in the range [0, 1] but got {q}", "give a share between 0 and 1, not a percentage"
    elif getattr(q, "bind_rank", 0) < TRACED:
        shares = values_of(q, name)
        if shares.size and not (shares.min() >= 0 and shares.max() <= 1):
            problem, fix = "q values must be in the range [0, 1]", "give shares between 0 and 1, not percentages"
    if problem:
        raise ShapeError(f"{name}() {problem}", fix=fix, where=user_frame())
    if x.dtype.kind != "f":
        raise DtypeError(
            f"{name}() input tensor must be either float or double dtype, it is {x.dtype}",
            fix="x.to(torch.float32)",
            where=user_frame(),
        )
    if hasattr(q, "dtype") and q.dtype != x.dtype:
        raise DtypeError(
            f"{name}() q tensor must be same dtype as the input tensor: q is {q.dtype}, the input {x.dtype}",
            fix="q.to(x.dtype)",
            where=user_frame(),
        )
    place = None if dim is None else one_dim(dim, len(shape_of(x)))
    return _quantile_of(x, q if hasattr(q, "dtype") else float(q), place, keep, how, name == "nanquantile")


def quantile(
    input: Any,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
    axis: int | None = None,
    keepdims: bool = False,
) -> Any:
    """Quantiles of all elements or along a dim, for one share or a vector of them; NaN where there is a NaN.

    Raises ShapeError for shares outside [0, 1], DtypeError for integers or another dtype of ``q``.

    >>> from tracegrad.eager import tensor
    >>> quantile(tensor([1.0, 2.0, 4.0]), 0.75)
    tensor(3.)
    """
    return _quantile("quantile", input, q, axis if dim is None else dim, keepdim or keepdims, interpolation)


def nanquantile(
    input: Any,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
    axis: int | None = None,
    keepdims: bool = False,
) -> Any:
    """Quantiles of the elements that are not NaN.

    >>> from tracegrad.eager import tensor
    >>> nanquantile(tensor([1.0, float("nan"), 3.0]), 0.5)
    tensor(2.)
    """
    return _quantile("nanquantile", input, q, axis if dim is None else dim, keepdim or keepdims, interpolation)
