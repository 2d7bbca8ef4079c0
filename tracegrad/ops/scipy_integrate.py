"""Integrals of samples in ``scipy.integrate``'s signatures, along an axis, with equal steps or at given places."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracegrad.core.aval import shape_of
from tracegrad.errors import ShapeError
from tracegrad.ops import calculus
from tracegrad.ops.assembly import moveaxis
from tracegrad.ops.indexing import getitem
from tracegrad.ops.pointwise import as_float
from tracegrad.ops.reductions import as_operand
from tracegrad.ops.reductions import sum as sum_of
from tracegrad.ops.scans import cumsum
from tracegrad.ops.views import broadcast_to, concatenate

__all__ = ["cumulative_trapezoid", "simpson", "trapezoid"]

trapezoid = calculus.trapezoid


def _lines(y: Any, x: Any, dx: Any, axis: int) -> tuple[Any, Any]:
    """The values with the axis last, and the steps between them: an array along the last axis, or a number."""
    y = moveaxis(as_float(as_operand(y)), axis, -1)
    if x is None:
        return y, dx
    x = as_operand(x)
    if len(shape_of(x)) > 1:
        x = moveaxis(x, axis, -1)
    if shape_of(x)[-1:] != shape_of(y)[-1:]:
        raise ShapeError(
            f"an integral of values of shape {shape_of(y)} at places of shape {shape_of(x)}",
            fix="give as many places as there are values along the axis",
        )
    return y, getitem(x, (Ellipsis, slice(1, None))) - getitem(x, (Ellipsis, slice(None, -1)))


def _part(values: Any, start: int | None, stop: int | None, step: int | None = None) -> Any:
    return getitem(values, (Ellipsis, slice(start, stop, step))) if len(shape_of(values)) else values


def simpson(y: Any, x: Any = None, *, dx: Any = 1.0, axis: int = -1) -> Any:
    """``scipy.integrate.simpson``: parabolas through three values each; the last of an odd number of intervals by Cartwright's.

    >>> float(simpson(np.array([0.0, 1.0, 4.0, 9.0])).round(12))
    9.0
    """
    y, h = _lines(y, x, dx, axis)
    count = shape_of(y)[-1]
    if count == 2:
        return sum_of(h * (_part(y, 1, None) + _part(y, None, -1)) * 0.5, axis=-1)
    if x is not None:
        h = h.astype(np.float64)  # as SciPy
    pairs = (count - 1) // 2 * 2
    first, second = _part(h, 0, pairs, 2), _part(h, 1, pairs, 2)
    both, ratio = first + second, first / second
    low, middle, high = _part(y, 0, pairs, 2), _part(y, 1, pairs, 2), _part(y, 2, pairs + 1, 2)
    terms = (2.0 - 1.0 / ratio) * low + both * both / (first * second) * middle + (2.0 - ratio) * high
    total = sum_of(both / 6.0 * terms, axis=-1)
    if count % 2:
        return total
    if x is None:
        a = b = as_operand(h).astype(np.float64)
    else:
        a, b = getitem(h, (Ellipsis, -2)), getitem(h, (Ellipsis, -1))
    last, before, third = (getitem(y, (Ellipsis, -k)) for k in (1, 2, 3))
    rest = (2.0 * b * b + 3.0 * a * b) / (6.0 * (a + b)) * last
    rest = rest + (b * b + 3.0 * a * b) / (6.0 * a) * before - b * b * b / (6.0 * a * (a + b)) * third
    # an array is added to in place, so it keeps its dtype, and a number does not
    return total + (rest.astype(total.dtype) if len(shape_of(total)) else rest)


def cumulative_trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1, initial: Any = None) -> Any:
    """``scipy.integrate.cumulative_trapezoid``: the integral up to each value, with a first one of 0 where ``initial=0``.

    >>> cumulative_trapezoid(np.array([0.0, 2.0, 4.0]), initial=0)
    array([0., 1., 4.])
    """
    y, h = _lines(y, x, dx, axis)
    found = cumsum(h * (_part(y, 1, None) + _part(y, None, -1)) * 0.5, axis=-1)
    if initial is not None:
        if initial != 0:
            raise ShapeError(f"cumulative_trapezoid with initial={initial!r}", fix="give 0 or None, as SciPy takes")
        found = concatenate([broadcast_to(np.zeros((), found.dtype), (*shape_of(found)[:-1], 1)), found], axis=-1)
    return moveaxis(found, -1, axis)
