"""Products with matrices of which only some elements are stored, row after row: SciPy's CSR, and its transpose CSC.

``data`` are the stored elements, ``places`` their columns, and row ``r`` has those from ``ends[r]`` to ``ends[r + 1]``. The
sum of ``g[r] * data[k] * x[places[k]]`` over all of them is linear in each of its three factors, and its three partial
derivatives are the three ops here: so they are each other's derivatives, of every order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tracegrad.core.aval import Aval, shape_of
from tracegrad.core.op import FLAT, Kind, Linear, Mapped, Op, Partial, Sample, Values, common
from tracegrad.errors import ShapeError
from tracegrad.ops.sources import running_index
from tracegrad.ops.views import broadcast_to, concatenate, reshape, strided_slice, transpose

INTEGER = np.dtype(np.int64)


def _promote(x: Any, y: Any, places: Any, ends: Any) -> tuple[Any, ...]:
    return (*common(x, y), *(d if isinstance(d, np.dtype) else INTEGER for d in (places, ends)))


def entries(places: Any, ends: Any, count: int) -> tuple[Any, Any]:
    """The row of each stored element in turn, and its number: of ``count`` elements, those that rows have.

    Raises IndexError where rows end outside.
    """
    if ends.min(initial=0) < 0 or ends.max(initial=0) > count:
        raise IndexError(f"rows of a sparse matrix end outside of its {count} elements")
    counts = np.maximum(np.diff(ends), 0)
    rows = np.repeat(np.arange(len(counts)), counts)
    before = np.cumsum(counts) - counts
    return rows, np.arange(len(rows)) + np.repeat(ends[:-1] - before, counts)


def _checked(places: Any, size: int) -> Any:
    if places.size and (places.min() < 0 or places.max() >= size):
        wrong = places[(places < 0) | (places >= size)][0]
        raise IndexError(f"index {wrong} of a sparse matrix is out of bounds for axis 0 with size {size}")
    return places


def _dot_eager(x: Any, data: Any, places: Any, ends: Any) -> Any:
    rows, numbers = entries(places, ends, len(data))
    terms = data[numbers, None] * x[_checked(places[numbers], len(x))]
    out = np.zeros((len(ends) - 1, x.shape[1]), terms.dtype)
    counts = np.bincount(rows, minlength=len(out))
    filled = np.flatnonzero(counts)
    if filled.size:
        out[filled] = np.add.reduceat(terms, (np.cumsum(counts) - counts)[filled], axis=0, dtype=terms.dtype)
    return out


def _spread_eager(g: Any, data: Any, places: Any, ends: Any, *, size: int) -> Any:
    rows, numbers = entries(places, ends, len(data))
    terms = data[numbers, None] * g[rows]
    out = np.zeros((size, g.shape[1]), terms.dtype)
    np.add.at(out, _checked(places[numbers], size), terms)
    return out


def _sampled_eager(g: Any, x: Any, places: Any, ends: Any) -> Any:
    rows, numbers = entries(places, ends, len(places))
    found = np.sum(g[rows] * x[_checked(places[numbers], len(x))], axis=1, dtype=g.dtype)
    out = np.zeros(len(places), g.dtype)
    np.add.at(out, numbers, found)
    return out


def _refuse(name: str, what: str) -> ShapeError:
    return ShapeError(f"{name}: {what}", fix="multiply matrices whose inner sizes are equal")


def _dot_infer(x: Aval, data: Aval, places: Aval, ends: Aval) -> Aval:
    if x.ndim != 2 or data.shape != places.shape or data.ndim != 1 or ends.ndim != 1:
        raise _refuse("csr_dot", f"the operands have shapes {x.shape}, {data.shape}, {places.shape} and {ends.shape}")
    return Aval((ends.shape[0] - 1, x.shape[1]), x.dtype)


def _spread_infer(g: Aval, data: Aval, places: Aval, ends: Aval, *, size: int) -> Aval:
    if g.ndim != 2 or g.shape[0] != ends.shape[0] - 1 or data.shape != places.shape:
        raise _refuse("csc_dot", f"{g.shape[0]} rows of a matrix with {ends.shape[0] - 1} columns")
    return Aval((size, g.shape[1]), g.dtype)


def _sampled_infer(g: Aval, x: Aval, places: Aval, ends: Aval) -> Aval:
    if g.ndim != 2 or x.ndim != 2 or g.shape[1] != x.shape[1] or g.shape[0] != ends.shape[0] - 1:
        raise _refuse("csr_sampled", f"the operands have shapes {g.shape}, {x.shape}, {places.shape} and {ends.shape}")
    return Aval(places.shape, g.dtype)


# -- over a further axis: matrices beside each other as columns of one, or as the blocks of one on a diagonal ------------------


def _stretched(x: Any, mapped: bool, size: int) -> Any:
    return x if mapped else broadcast_to(x, (size, *shape_of(x)))


def _as_columns(x: Any) -> Any:
    size, rows, width = shape_of(x)
    return reshape(transpose(x, (1, 0, 2)), (rows, size * width))


def _from_columns(x: Any, size: int) -> Any:
    rows, width = shape_of(x)
    return transpose(reshape(x, (rows, size, width // max(size, 1))), (1, 0, 2))


def _flat(x: Any) -> Any:
    shape = shape_of(x)
    return reshape(x, (math.prod(shape[:2]), *shape[2:]))


def _blocks(size: int, mapped: tuple[bool, ...], places: Any, ends: Any, columns: int, count: int) -> tuple[Any, Any]:
    """Positions and ends of a matrix with blocks on its diagonal; a row more for each stands between two of them."""
    places, ends = _stretched(places, mapped[2], size), _stretched(ends, mapped[3], size)
    number = reshape(running_index(size, ends), (size, 1))
    return _flat(places + number * columns), _flat(ends + number * count)


def _with_rows_between(x: Any, rows: int) -> Any:
    """A row of zeros behind those of each block, but for the last."""
    size, width = shape_of(x)[0], shape_of(x)[2]
    padded = _flat(concatenate([x, broadcast_to(np.zeros((), x.dtype), (size, 1, width))], axis=1))
    return strided_slice(padded, starts=(0, 0), sizes=(size * (rows + 1) - 1, width), steps=(1, 1))


def _dot_each(size: int, mapped: tuple[bool, ...], x: Any, data: Any, places: Any, ends: Any) -> Any:
    if not any(mapped[1:]):
        return _from_columns(dot(_as_columns(x), data, places, ends), size)
    x, data = _stretched(x, mapped[0], size), _stretched(data, mapped[1], size)
    rows, width = shape_of(ends)[-1] - 1, shape_of(x)[2]
    every = _blocks(size, mapped, places, ends, shape_of(x)[1], shape_of(data)[1])
    whole = dot(_flat(x), _flat(data), *every)
    padded = concatenate([whole, broadcast_to(np.zeros((), x.dtype), (1, width))], axis=0)
    apart = reshape(padded, (size, rows + 1, width))
    return strided_slice(apart, starts=(0, 0, 0), sizes=(size, rows, width), steps=(1, 1, 1))


def _spread_each(number: int, mapped: tuple[bool, ...], g: Any, data: Any, places: Any, ends: Any, *, size: int) -> Any:
    if not any(mapped[1:]):
        return _from_columns(spread(_as_columns(g), data, places, ends, size=size), number)
    g, data = _stretched(g, mapped[0], number), _stretched(data, mapped[1], number)
    rows, width = shape_of(g)[1:]
    every = _blocks(number, mapped, places, ends, size, shape_of(data)[1])
    whole = spread(_with_rows_between(g, rows), _flat(data), *every, size=number * size)
    return reshape(whole, (number, size, width))


def _sampled_each(size: int, mapped: tuple[bool, ...], g: Any, x: Any, places: Any, ends: Any) -> Any:
    g, x = _stretched(g, mapped[0], size), _stretched(x, mapped[1], size)
    count = shape_of(places)[-1]
    every = _blocks(size, mapped, places, ends, shape_of(x)[1], count)
    return reshape(sampled(_with_rows_between(g, shape_of(g)[1]), _flat(x), *every), (size, count))


# -- the ops ------------------------------------------------------------------------------------------------------------


def _samples(first: tuple[int, ...], second: tuple[int, ...], columns: int, rows: int, **params: Any) -> Sample:
    """``columns`` columns and ``rows`` rows of five stored elements."""
    stored = (Values((5,), 0, columns, kind="int"), Values((rows + 1,), 0, 6, kind="int"))
    return Sample((Values(first), Values(second), *stored), params)


def _op(
    name: str,
    infer: Callable[..., Aval],
    eager: Callable[..., Any],
    transposes: tuple[Callable[..., Any], Callable[..., Any]],
    each: Callable[..., Any],
    lower: str,
    doc: str,
    samples: tuple[Sample, ...],
) -> Op:
    partials: tuple[Partial, ...] = (*(Linear(t) for t in transposes), FLAT, FLAT)
    return Op(name, Kind.LINE, infer, _promote, eager, partials, Mapped(each), lower, (), ("", ""), doc, samples)


dot: Op = _op(
    "csr_dot",
    _dot_infer,
    _dot_eager,
    (
        lambda g, out, x, data, places, ends: spread(g, data, places, ends, size=shape_of(x)[0]),
        lambda g, out, x, data, places, ends: sampled(g, x, places, ends),
    ),
    _dot_each,
    "stored_rows",
    "A matrix stored row by row times a matrix: out[r] = sum of data[k] * x[places[k]] over the elements k of row r.",
    (
        _samples((4, 1), (5,), 4, 3),
        _samples((4, 3), (5,), 4, 6),
    ),
)

spread: Op = _op(
    "csc_dot",
    _spread_infer,
    _spread_eager,
    (
        lambda g, out, x, data, places, ends, *, size: dot(g, data, places, ends),
        lambda g, out, x, data, places, ends, *, size: sampled(x, g, places, ends),
    ),
    _spread_each,
    "stored_columns",
    "The transpose of a matrix stored row by row times a matrix: out[places[k]] += data[k] * x[r] for the elements k of row r.",
    (_samples((3, 1), (5,), 4, 3, size=4), _samples((6, 3), (5,), 4, 6, size=4)),
)

sampled: Op = _op(
    "csr_sampled",
    _sampled_infer,
    _sampled_eager,
    (
        lambda h, out, g, x, places, ends: dot(x, h, places, ends),
        lambda h, out, g, x, places, ends: spread(g, h, places, ends, size=shape_of(x)[0]),
    ),
    _sampled_each,
    "stored_elements",
    "The product of two matrices where a sparse one has elements: out[k] = sum of g[r] * x[places[k]].",
    (_samples((3, 1), (4, 1), 4, 3), _samples((6, 3), (4, 3), 4, 6)),
)

ROLES = {dot: ("row", "column", "stored"), spread: ("column", "row", "stored"), sampled: ("stored", "row", "column")}
"""Of each op what the elements of its result and of its two factors belong to."""


def reached_by(op: Op, position: int, places: Any, ends: Any, width: int) -> tuple[Any, Any]:
    """Which elements of the result come of which elements of a factor, as two vectors of flat positions."""
    rows, numbers = entries(places, ends, len(places))
    beside = np.arange(width)
    each = {
        "row": (rows[:, None] * width + beside).reshape(-1),
        "column": (places[numbers].astype(np.int64)[:, None] * width + beside).reshape(-1),
        "stored": np.repeat(numbers, width),
    }
    return each[ROLES[op][0]], each[ROLES[op][1 + position]]
