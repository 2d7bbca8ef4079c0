"""Composites that put arrays together, take them apart and move their axes: NumPy's signatures over the basis."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracegrad.core.aval import normalise_axis, one_int, shape_of, whole
from tracegrad.errors import ShapeError, TraceError
from tracegrad.ops import maps, reductions
from tracegrad.ops.indexing import getitem
from tracegrad.ops.maps import cast, rint, select
from tracegrad.ops.reductions import sum as sum_of
from tracegrad.ops.sources import running_index
from tracegrad.ops.views import broadcast_to, concatenate, embed, expand_dims, reshape, transpose, update

# -- axes -------------------------------------------------------------------------------------------------------------


def _ints(value: Any) -> tuple[int, ...]:
    """One int or several as a tuple."""
    number = one_int(value)
    if number is not None:
        return (number,)
    return tuple(whole(v, "an entry") for v in (value if np.iterable(value) and not isinstance(value, str) else [value]))


def moveaxis(x: Any, source: int | Sequence[int], destination: int | Sequence[int]) -> Any:
    """``np.moveaxis``."""
    ndim = len(shape_of(x))
    old = [normalise_axis(a, ndim) for a in _ints(source)]
    new = [normalise_axis(a, ndim) for a in _ints(destination)]
    if len(set(old)) != len(old) or len(old) != len(new) or len(set(new)) != len(new):
        raise ShapeError(f"moveaxis from {source} to {destination}", fix="name as many destinations as sources, each axis once")
    order = [k for k in range(ndim) if k not in old]
    for place, axis in sorted(zip(new, old, strict=True)):
        order.insert(place, axis)
    return transpose(x, order)


def swapaxes(x: Any, first: int, second: int) -> Any:
    """``np.swapaxes``."""
    ndim = len(shape_of(x))
    order = list(range(ndim))
    a, b = normalise_axis(first, ndim), normalise_axis(second, ndim)
    order[a], order[b] = b, a
    return transpose(x, order)


def ravel(x: Any, order: str = "C") -> Any:
    """``np.ravel``."""
    return reshape(x, -1, order=order)


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:  # noqa: A002
    """``np.linalg.norm`` of vectors, and of matrices as their elements; the gradient of the 2-norm at 0 is 0.

    ``ord`` may be None, 1, 2 or infinity; those of a matrix as a linear map raise ShapeError.
    """
    vectors = isinstance(axis, int) or (axis is None and len(shape_of(x)) == 1)
    if ord is None or (vectors and ord == 2) or (ord == "fro" and not vectors):
        squares = reductions.sum(reductions.squared_size(reductions.as_operand(x)), axis, keepdims=keepdims)
        empty = squares == 0
        return maps.select(empty, 0.0, maps.sqrt(maps.select(empty, 1.0, squares)))
    if vectors and ord == 1:
        return reductions.sum(maps.absolute(x), axis, keepdims=keepdims)
    if vectors and ord in (math.inf, -math.inf):
        pick = reductions.max if ord > 0 else reductions.min
        return pick(maps.absolute(x), axis, keepdims=keepdims)
    raise ShapeError(
        f"the norm with ord={ord!r} of {'vectors' if vectors else 'matrices'} is not traced",
        fix="use ord=None, 1, 2 or np.inf along one axis, or the norm of all elements",
    )


def atleast_1d(x: Any) -> Any:
    """``np.atleast_1d`` of one array."""
    return reshape(x, (1,)) if len(shape_of(x)) == 0 else x


def atleast_2d(x: Any) -> Any:
    """``np.atleast_2d`` of one array."""
    ndim = len(shape_of(x))
    return x if ndim >= 2 else reshape(x, (1, -1))


def atleast_3d(x: Any) -> Any:
    """``np.atleast_3d`` of one array."""
    ndim = len(shape_of(x))
    if ndim >= 3:
        return x
    return expand_dims(x, 2) if ndim == 2 else reshape(x, (1, -1, 1))


# -- joining and cutting ----------------------------------------------------------------------------------------------


def hstack(arrays: Sequence[Any]) -> Any:
    """``np.hstack``."""
    parts = [atleast_1d(a) for a in arrays]
    return concatenate(parts, 0 if parts and len(shape_of(parts[0])) == 1 else 1)


def vstack(arrays: Sequence[Any]) -> Any:
    """``np.vstack``."""
    return concatenate([atleast_2d(a) for a in arrays], 0)


def column_stack(arrays: Sequence[Any]) -> Any:
    """``np.column_stack``."""
    return concatenate([a if len(shape_of(a)) >= 2 else reshape(a, (-1, 1)) for a in arrays], 1)


def append(x: Any, values: Any, axis: int | None = None) -> Any:
    """``np.append``."""
    parts = [part if hasattr(part, "dtype") else np.asarray(part) for part in (x, values)]
    return concatenate(parts, axis)


def split(x: Any, sections: int | Sequence[int], axis: int = 0) -> list[Any]:
    """``np.split`` into equal parts, or at positions."""
    size = shape_of(x)[normalise_axis(axis, len(shape_of(x)))]
    parts = one_int(sections)
    if parts is not None and (parts < 1 or size % parts):
        raise ShapeError(
            f"an axis of {size} does not split into {parts} equal parts", fix="use np.array_split for uneven parts"
        )
    return array_split(x, sections, axis)


MOST_PARTS = 65536
"""How many parts ``np.array_split`` makes of fewer elements: the list of empty arrays is in memory."""


def array_split(x: Any, sections: int | Sequence[int], axis: int = 0) -> list[Any]:
    """``np.array_split``."""
    place = normalise_axis(axis, len(shape_of(x)))
    size = shape_of(x)[place]
    parts = one_int(sections)
    if parts is not None:
        if parts > max(size, MOST_PARTS):
            raise ShapeError(f"np.array_split of {size} elements into {parts} parts", fix="leave out those that are empty")
        each, extra = divmod(size, parts)
        ends = [k * each + min(k, extra) for k in range(parts + 1)]
    else:
        ends = [0, *_ints(sections), size]
    lead = (slice(None),) * place
    return [getitem(x, (*lead, slice(a, b))) for a, b in itertools.pairwise(ends)]


def tile(x: Any, repeats: int | Sequence[int]) -> Any:
    """``np.tile``."""
    counts = _ints(repeats)
    shape = shape_of(x)
    ndim = max(len(counts), len(shape))
    counts = (1,) * (ndim - len(counts)) + counts
    shape = (1,) * (ndim - len(shape)) + shape
    apart = tuple(n for size in shape for n in (1, size))
    wide = tuple(n for r, size in zip(counts, shape, strict=True) for n in (r, size))
    target = tuple(r * size for r, size in zip(counts, shape, strict=True))
    return reshape(broadcast_to(reshape(x, apart), wide), target)


def repeat(x: Any, repeats: Any, axis: int | None = None) -> Any:
    """``np.repeat``; counts per element must be concrete."""
    if axis is None:
        x, axis = reshape(x, -1), 0
    place = normalise_axis(axis, len(shape_of(x)))
    shape = shape_of(x)
    count = one_int(repeats)
    if count is not None:
        wide = broadcast_to(expand_dims(x, place + 1), (*shape[: place + 1], count, *shape[place + 1 :]))
        return reshape(wide, (*shape[:place], shape[place] * count, *shape[place + 1 :]))
    if getattr(repeats, "bind_rank", 0):
        raise TraceError("repeat by a traced count has no static shape", fix="give the counts as a NumPy array")
    positions = np.repeat(np.arange(shape[place]), repeats)
    return getitem(x, (*(slice(None),) * place, positions))


def roll(x: Any, shift: int | Sequence[int], axis: int | Sequence[int] | None = None) -> Any:
    """``np.roll`` by concrete shifts."""
    if axis is None:
        return reshape(roll(reshape(x, -1), shift, 0), shape_of(x))
    axes, shifts = _ints(axis), _ints(shift)
    shifts = shifts * len(axes) if len(shifts) == 1 else shifts
    axes = axes * len(shifts) if len(axes) == 1 else axes
    for amount, a in zip(shifts, axes, strict=True):
        place = normalise_axis(a, len(shape_of(x)))
        size = shape_of(x)[place]
        cut = size - amount % size if size else 0
        if size and cut != size:
            lead = (slice(None),) * place
            x = concatenate([getitem(x, (*lead, slice(cut, None))), getitem(x, (*lead, slice(None, cut)))], place)
    return x


def pad(x: Any, pad_width: Any, mode: str = "constant", *, constant_values: Any = 0) -> Any:
    """``np.pad`` with modes ``constant`` (one value), ``edge``, ``reflect``, ``symmetric`` and ``wrap``."""
    shape = shape_of(x)
    widths = [(int(a), int(b)) for a, b in np.broadcast_to(np.asarray(pad_width), (len(shape), 2))]
    if any(a < 0 or b < 0 for a, b in widths):
        raise ShapeError(f"pad by {pad_width}: widths are not negative", fix="cut with a slice instead")
    if all(w == (0, 0) for w in widths):
        return x
    if mode != "constant":
        return _pad_by_position(x, widths, mode)
    starts = tuple(a for a, _ in widths)
    target = tuple(a + n + b for n, (a, b) in zip(shape, widths, strict=True))
    steps = (1,) * len(shape)
    plain = isinstance(constant_values, (int, float)) and constant_values == 0
    if plain:
        return embed(x, shape=target, starts=starts, steps=steps)
    if len(shape_of(constant_values)):
        raise TraceError("pad with a constant per side", fix="pad each axis by its own call with one value")
    fill = constant_values if getattr(constant_values, "bind_rank", 0) else np.asarray(constant_values, x.dtype)
    return update(broadcast_to(fill, target), x, starts=starts, steps=steps)


def _pad_by_position(x: Any, widths: list[tuple[int, int]], mode: str) -> Any:
    """Modes that repeat the array's own elements: which one stands where is known beforehand."""
    if mode not in ("edge", "reflect", "symmetric", "wrap"):
        raise TraceError(f"pad has no mode {mode!r}", fix='use "constant", "edge", "reflect", "symmetric" or "wrap"')
    for axis, (before, after) in enumerate(widths):
        if before or after:
            positions = np.pad(np.arange(shape_of(x)[axis]), (before, after), mode=mode)  # type: ignore[call-overload]
            x = getitem(x, (*(slice(None),) * axis, positions))
    return x


# -- matrices ---------------------------------------------------------------------------------------------------------


def diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """``np.diagonal``."""
    ndim = len(shape_of(x))
    x = moveaxis(x, (normalise_axis(axis1, ndim), normalise_axis(axis2, ndim)), (-2, -1))
    rows, columns = shape_of(x)[-2:]
    count = max(0, min(rows + min(offset, 0), columns - max(offset, 0)))
    k = np.arange(count)
    return getitem(x, (Ellipsis, k - min(offset, 0), k + max(offset, 0)))


def diag(x: Any, k: int = 0) -> Any:
    """``np.diag``: the diagonal of a matrix, or the matrix of a diagonal."""
    shape = shape_of(x)
    if len(shape) == 2:
        return diagonal(x, k)
    if len(shape) != 1:
        raise ShapeError(f"diag of an array with {len(shape)} axes", fix="use np.diagonal for more than two axes")
    size = shape[0] + abs(k)
    # the diagonal of a row-major square is every (size + 1)-th element
    start = k if k > 0 else -k * size
    flat = embed(x, shape=((size + 1) * size,), starts=(start,), steps=(size + 1,))
    return reshape(getitem(flat, slice(0, size * size)), (size, size))


def trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """``np.trace``."""
    return sum_of(diagonal(x, offset, axis1, axis2), -1)


def tril(x: Any, k: int = 0) -> Any:
    """``np.tril``."""
    return select(_below(x, k), x, np.zeros((), x.dtype))


def triu(x: Any, k: int = 0) -> Any:
    """``np.triu``."""
    return select(_below(x, k - 1), np.zeros((), x.dtype), x)


def _below(x: Any, k: int) -> Any:
    """Whether an element of the last two axes stands on or below the ``k``-th diagonal."""
    if len(shape_of(x)) < 2:
        raise ShapeError(f"a triangle of an array of shape {shape_of(x)}", fix="give an array with two axes or more")
    rows, columns = shape_of(x)[-2:]
    below = reshape(running_index(rows, x), (rows, 1)) + k >= reshape(running_index(columns, x), (1, columns))
    return broadcast_to(below, shape_of(x))


# -- rounding and differences -----------------------------------------------------------------------------------------


def around(x: Any, decimals: int = 0) -> Any:
    """``np.round``."""
    if x.dtype.kind in "iu" and decimals >= 0:
        return x
    if decimals == 0:
        return rint(x)
    factor = 10.0 ** abs(decimals)
    rounded = rint(x * factor) / factor if decimals > 0 else rint(x / factor) * factor
    return rounded if rounded.dtype == x.dtype else cast(rounded, dtype=x.dtype)


def diff(x: Any, n: int = 1, axis: int = -1) -> Any:
    """``np.diff``."""
    lead = (slice(None),) * normalise_axis(axis, len(shape_of(x)))
    for _ in range(n):
        x = getitem(x, (*lead, slice(1, None))) - getitem(x, (*lead, slice(None, -1)))
    return x


def meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> tuple[Any, ...]:
    """``np.meshgrid``: one array per vector, all of them of the grid's shape unless ``sparse``."""
    if indexing not in ("xy", "ij"):
        raise ShapeError(f"meshgrid with indexing={indexing!r}", fix='use indexing="xy" or "ij"')
    xi = tuple(reductions.as_operand(a) for a in xi)
    sizes = [math.prod(shape_of(a)) for a in xi]
    order = [1, 0, *range(2, len(xi))] if indexing == "xy" and len(xi) > 1 else list(range(len(xi)))
    shape = tuple(sizes[k] for k in order)
    grids = []
    for k, a in enumerate(xi):
        grid = reshape(a, tuple(sizes[k] if d == k else 1 for d in order))
        grids.append(grid if sparse else broadcast_to(grid, shape))
    return tuple(grids)
