"""Running sums, products and extremes with PyTorch's signatures; ``dim`` may be spelled ``axis``."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracegrad.core.aval import shape_of
from tracegrad.eager.composite import recorded_as
from tracegrad.eager.functions.arguments import as_dtype, named_result
from tracegrad.eager.functions.lines import Pair, line_of, place_of, restored, restored_pair
from tracegrad.ops import scans

__all__ = ["cummax", "cummin", "cumprod", "cumsum", "logcumsumexp"]

CummaxResult = named_result("cummax", "values", "indices")
CumminResult = named_result("cummin", "values", "indices")


def _wide(x: Any, dtype: Any) -> Any:
    """The dtype to accumulate in: that asked for, int64 for integers and bools; None for the tensor's own."""
    if dtype is not None:
        return np.dtype(dtype)
    return None if x.dtype.kind in "fc" else np.dtype(np.int64)


@recorded_as("CumsumBackward0")
def _cumsum(x: Any, axis: int, dtype: Any) -> Any:
    return restored(x, scans.running_sum(line_of(as_dtype(x, dtype)), axis=axis))


@recorded_as("CumprodBackward0")
def _cumprod(x: Any, axis: int, dtype: Any) -> Any:
    return restored(x, scans.running_product(line_of(as_dtype(x, dtype)), axis=axis))


def cumsum(input: Any, dim: int | None = None, *, dtype: Any = None, axis: int | None = None) -> Any:
    """The sums up to each element along a dim; integers and bools are summed as int64.

    >>> from tracegrad.eager import tensor
    >>> cumsum(tensor([1.0, 2.0, 3.0]), dim=0)
    tensor([1., 3., 6.])
    """
    place = place_of("cumsum", input, dim, axis)
    wide = _wide(input, dtype)
    # without a composite's detour where the op alone is enough
    return scans.running_sum(input, axis=place) if wide is None and shape_of(input) else _cumsum(input, place, wide)


def cumprod(input: Any, dim: int | None = None, *, dtype: Any = None, axis: int | None = None) -> Any:
    """The products up to each element along a dim; the gradient is right with zeros among the factors.

    >>> from tracegrad.eager import tensor
    >>> cumprod(tensor([1.0, 2.0, 3.0]), dim=0)
    tensor([1., 2., 6.])
    """
    place = place_of("cumprod", input, dim, axis)
    wide = _wide(input, dtype)
    return scans.running_product(input, axis=place) if wide is None and shape_of(input) else _cumprod(input, place, wide)


@recorded_as("CummaxBackward0")
def _cummax(x: Any, axis: int) -> Pair:
    return restored_pair(x, scans.cummax(line_of(x), axis))


@recorded_as("CumminBackward0")
def _cummin(x: Any, axis: int) -> Pair:
    return restored_pair(x, scans.cummin(line_of(x), axis))


def cummax(input: Any, dim: int | None = None, *, axis: int | None = None) -> Any:
    """The greatest element so far along a dim, and where it stands: of equal ones the latest.

    >>> from tracegrad.eager import tensor
    >>> cummax(tensor([1.0, 3.0, 2.0]), dim=0).values
    tensor([1., 3., 3.])
    """
    return CummaxResult(*_cummax(input, place_of("cummax", input, dim, axis)))


def cummin(input: Any, dim: int | None = None, *, axis: int | None = None) -> Any:
    """The smallest element so far along a dim, and where it stands: of equal ones the latest.

    >>> from tracegrad.eager import tensor
    >>> cummin(tensor([2.0, 3.0, 1.0]), dim=0).indices
    tensor([0, 0, 2])
    """
    return CumminResult(*_cummin(input, place_of("cummin", input, dim, axis)))


@recorded_as("LogcumsumexpBackward0")
def _logcumsumexp(x: Any, axis: int) -> Any:
    return restored(x, scans.logcumsumexp(line_of(x), axis))


def logcumsumexp(input: Any, dim: int | None = None, *, axis: int | None = None) -> Any:
    """The logarithms of the running sums of exponentials along a dim, without overflow; DtypeError for integers.

    >>> from tracegrad.eager import tensor
    >>> logcumsumexp(tensor([0.0, 0.0]), dim=0)
    tensor([0.0000, 0.6931])
    """
    return _logcumsumexp(input, place_of("logcumsumexp", input, dim, axis))
