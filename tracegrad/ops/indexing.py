"""INDEX ops, whose positions are known at run time only, and NumPy's indexing and assignment on top of them.

Kernels cannot raise, so positions out of range stay detectable in a graph: negative ones are wrapped once, and where
several index arrays address one element, a position out of range in any of them makes the flat position negative.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from tracegrad.core.aval import Aval, Shape, broadcast_shapes, normalise_axis, shape_of
from tracegrad.core.op import FLAT, Kind, Linear, Mapped, Op, Reducer, Sample, Values, linear
from tracegrad.errors import DtypeError, ShapeError, TraceError
from tracegrad.ops.broadcasting import reshape_to
from tracegrad.ops.comparisons import logical_and
from tracegrad.ops.maps import add, cast, multiply, select
from tracegrad.ops.sources import TRACED, running_index
from tracegrad.ops.views import broadcast_to, reshape, reverse, stack, strided_slice, transpose, update

# -- raw ops ----------------------------------------------------------------------------------------------------------


def _check_bounds(indices: Any, size: int, axis: int) -> None:
    if indices.size and (indices.min() < 0 or indices.max() >= size):
        wrong = indices[(indices < 0) | (indices >= size)][0]
        raise IndexError(f"index {wrong} is out of bounds for axis {axis} with size {size}")


def _at(axis: int, indices: Any) -> tuple[Any, ...]:
    return (*(slice(None),) * axis, indices)


def _places(indices: Any, count: int) -> Any:
    """Rows of positions among ``count``, each, as one vector of positions among those of all rows."""
    indices = indices if indices.dtype == np.int64 else cast(indices, dtype=np.dtype(np.int64))
    size = shape_of(indices)[0]
    first = reshape(running_index(size, indices), (size, 1)) * count
    inside = logical_and(indices >= 0, indices < count)
    return reshape(select(inside, indices + first, -1 - size * count), (-1,))


def _merged(x: Any, axis: int) -> Any:
    """The leading axis and the one that was ``axis`` before there was a leading one, as one leading axis."""
    shape = shape_of(x)
    rest = [k for k in range(1, len(shape)) if k != axis + 1]
    turned = transpose(x, (0, axis + 1, *rest))
    return reshape(turned, (shape[0] * shape[axis + 1], *(shape[k] for k in rest)))


def _apart(x: Any, axis: int, size: int, count: int) -> Any:
    """What ``_merged`` undoes: the leading axis as one of ``size`` and one of ``count``, which goes to ``axis``."""
    rest = shape_of(x)[1:]
    order = list(range(2, len(rest) + 2))
    return transpose(reshape(x, (size, count, *rest)), (0, *order[:axis], 1, *order[axis:]))


def _stretched(x: Any, mapped: bool, size: int) -> Any:
    return x if mapped else broadcast_to(x, (size, *shape_of(x)))


def gather_each(size: int, mapped: tuple[bool, ...], x: Any, indices: Any, *, axis: int) -> Any:
    if not mapped[1]:
        return gather(x, indices, axis=axis + 1)
    count = shape_of(indices)[1]
    if mapped[0]:
        places = _places(indices, shape_of(x)[axis + 1])
        return _apart(gather(_merged(x, axis), places, axis=0), axis, size, count)
    shape = shape_of(x)
    found = reshape(gather(x, reshape(indices, (-1,)), axis=axis), (*shape[:axis], size, count, *shape[axis + 1 :]))
    return transpose(found, (axis, *(k for k in range(len(shape) + 1) if k != axis)))


def reduced_each(op: Callable[[], Op]) -> Mapped:
    """How a reduction at positions, which ``op()`` gives, maps over a leading axis."""

    def rule(number: int, mapped: tuple[bool, ...], x: Any, indices: Any, *, axis: int, size: int) -> Any:
        if not mapped[1]:
            return op()(x, indices, axis=axis + 1, size=size)
        parts = _merged(_stretched(x, mapped[0], number), axis)
        return _apart(op()(parts, _places(indices, size), axis=0, size=number * size), axis, number, size)

    return Mapped(rule)


def _put_each(size: int, mapped: tuple[bool, ...], base: Any, indices: Any, x: Any, *, axis: int) -> Any:
    base, x = _stretched(base, mapped[0], size), _stretched(x, mapped[2], size)
    if not mapped[1]:
        return put(base, indices, x, axis=axis + 1)
    count = shape_of(base)[axis + 1]
    return _apart(put(_merged(base, axis), _places(indices, count), _merged(x, axis), axis=0), axis, size, count)


def _gather_infer(x: Aval, indices: Aval, *, axis: int) -> Aval:
    return Aval((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]), x.dtype)


def _gather_eager(x: Any, indices: Any, *, axis: int) -> Any:
    _check_bounds(indices, x.shape[axis], axis)
    return np.take(x, indices, axis)


gather: Op = linear(
    "take",
    Kind.INDEX,
    infer=_gather_infer,
    eager=_gather_eager,
    transpose=lambda g, out, x, indices, *, axis: scatter_add(g, indices, axis=axis, size=shape_of(x)[axis]),
    batch=Mapped(gather_each),
    lower="indexed_read",
    torch=("index_select", "IndexSelectBackward0"),
    doc="The elements at a vector of non-negative positions along an axis.",
    samples=(
        Sample((Values((5,)), Values((3,), 0, 5, kind="int")), {"axis": 0}),
        Sample((Values((2, 4, 3)), Values((6,), 0, 4, kind="int")), {"axis": 1}),
        Sample((Values((2, 4)), Values((0,), 0, 4, kind="int")), {"axis": 1}),
        Sample((Values((2,)), Values((3,), 2, 5, kind="int")), {"axis": 0}, error=IndexError, match="out of bounds"),
        Sample((Values((2,)), Values((3,), -2, 0, kind="int")), {"axis": 0}, error=IndexError, match="out of bounds"),
    ),
)


def _scatter_add_eager(x: Any, indices: Any, *, axis: int, size: int) -> Any:
    _check_bounds(indices, size, axis)
    out = np.zeros((*x.shape[:axis], size, *x.shape[axis + 1 :]), x.dtype)
    np.add.at(out, _at(axis, indices), x)
    return out


scatter_add: Op = linear(
    "scatter_add",
    Kind.INDEX,
    infer=lambda x, indices, *, axis, size: Aval((*x.shape[:axis], size, *x.shape[axis + 1 :]), x.dtype),
    eager=_scatter_add_eager,
    transpose=lambda g, out, x, indices, *, axis, size: gather(g, indices, axis=axis),
    batch=reduced_each(lambda: scatter_add),
    lower=Reducer("add", 0),
    torch=("index_add", "IndexAddBackward0"),
    doc="Elements added up at a vector of positions along an axis of zeros: the transpose of take.",
    samples=(
        Sample((Values((3,)), Values((3,), 0, 5, kind="int")), {"axis": 0, "size": 5}),
        Sample((Values((2, 6, 3)), Values((6,), 0, 4, kind="int")), {"axis": 1, "size": 4}),
        Sample(
            (Values((3,)), Values((3,), 2, 5, kind="int")),
            {"axis": 0, "size": 2},
            error=IndexError,
            match="out of bounds",
        ),
    ),
)


def _put_eager(base: Any, indices: Any, x: Any, *, axis: int) -> Any:
    _check_bounds(indices, base.shape[axis], axis)
    out = np.array(base)
    out[_at(axis, indices)] = x
    return out


def _pull_put(g: Any, out: Any, base: Any, indices: Any, x: Any, *, axis: int) -> Any:
    """The cotangent of the values: where a position occurs twice, only its last value arrived."""
    (count,) = shape_of(indices)
    order = running_index(count, g, indices)
    last = gather(put(np.zeros(shape_of(base)[axis], np.int64), indices, order, axis=0), indices, axis=0)
    kept = reshape(last == order, tuple(count if k == axis else 1 for k in range(len(shape_of(x)))))
    return select(kept, gather(g, indices, axis=axis), np.zeros((), g.dtype))


put: Op = Op(
    name="put",
    kind=Kind.INDEX,
    infer=lambda base, indices, x, *, axis: base,
    promote=lambda base, indices, x: (base, indices, base),
    eager=_put_eager,
    partials=(
        Linear(
            lambda g, out, base, indices, x, *, axis: put(
                g, indices, np.broadcast_to(np.zeros((), g.dtype), shape_of(x)), axis=axis
            ),
            together=True,
        ),
        FLAT,
        Linear(_pull_put, together=True),
    ),
    batch=Mapped(_put_each),
    lower="indexed_write",
    numpy=(),
    torch=("index_copy", "IndexCopyBackward0"),
    doc="A copy of ``base`` with elements replaced at a vector of positions along an axis; of equal ones the last.",
    samples=(
        Sample((Values((5,)), Values((3,), 0, 5, kind="int"), Values((3,))), {"axis": 0}),
        Sample((Values((2, 3, 2)), Values((6,), 0, 3, kind="int"), Values((2, 6, 2))), {"axis": 1}),
        Sample(
            (Values((2,)), Values((3,), 2, 5, kind="int"), Values((3,))),
            {"axis": 0},
            error=IndexError,
            match="out of bounds",
        ),
    ),
)

# -- keys -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Key:
    """An index key taken apart.

    ``starts``, ``sizes``, ``steps`` and ``flipped`` select a block along every axis; an integer selects a block of 1.
    ``arrays`` holds the index arrays by axis; the axes of the result are listed in ``layout``, in order: an axis of the
    block, ``None`` for an added axis, ``"arrays"`` for the axes that all index arrays make together.
    """

    starts: Shape
    sizes: Shape
    steps: Shape
    flipped: tuple[int, ...]
    arrays: dict[int, Any]
    layout: tuple[int | str | None, ...]

    @property
    def array_shape(self) -> Shape:
        """The shape that the index arrays have together."""
        return broadcast_shapes(*(shape_of(a) for a in self.arrays.values()))

    def block(self, x: Any) -> Any:
        """The selected block, reversed where a step is negative."""
        whole = self.starts == (0,) * len(self.starts) and self.sizes == shape_of(x)
        if not whole or any(s != 1 for s in self.steps):
            x = strided_slice(x, starts=self.starts, sizes=self.sizes, steps=self.steps)
        return reverse(x, axes=self.flipped) if self.flipped else x


def _parts(key: Any, shape: Shape) -> list[Any]:
    """The key as a list with one Ellipsis, index arrays as arrays, concrete masks as the positions where they hold."""
    parts: list[Any] = []
    axis = 0
    entries = key if isinstance(key, tuple) else (key,)
    used = sum(_consumed(p) for p in entries)
    if used > len(shape):
        raise IndexError(f"too many indices for array: array is {len(shape)}-dimensional, but {used} were indexed")
    if sum(p is Ellipsis for p in entries) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    if not any(p is Ellipsis for p in entries):
        entries = (*entries, Ellipsis)
    for part in entries:
        if part is Ellipsis:
            parts.append(part)
            axis = len(shape) - sum(_consumed(p) for p in entries[_ellipsis_place(entries) + 1 :])
        elif part is None or isinstance(part, slice):
            parts.append(part)
            axis += part is not None
        else:
            for position in _positions(part, shape, axis):
                parts.append(position)
                axis += 1
    return parts


def _ellipsis_place(entries: Sequence[Any]) -> int:
    """Where the Ellipsis stands; a comparison with == would ask arrays."""
    return next(k for k, part in enumerate(entries) if part is Ellipsis)


def _consumed(part: Any) -> int:
    """How many axes a part of a key uses up."""
    if part is None or part is Ellipsis:
        return 0
    if isinstance(part, (list, tuple, range, np.ndarray)) or hasattr(part, "dtype"):
        array = part if hasattr(part, "dtype") else _listed(part)
        return len(shape_of(array)) if array.dtype.kind == "b" else 1
    return 0 if isinstance(part, bool) else 1


def _listed(part: Any) -> Any:
    """A list, tuple or range in a key as one array; an empty one selects nothing."""
    if any(hasattr(p, "bind_rank") for p in part):
        return stack(part)
    array = np.asarray(part)
    return array.astype(np.int64) if array.size == 0 else array


def _positions(part: Any, shape: Shape, axis: int) -> list[Any]:
    """What a part that is no slice selects: integers or integer arrays, one per axis it uses up."""
    if isinstance(part, (bool, np.bool_)):
        raise TraceError("a single bool as an index", fix="write x[None] for True; for False take an empty slice")
    if isinstance(part, (list, tuple, range)):
        part = _listed(part)
    if not hasattr(part, "dtype"):
        try:
            return [operator.index(part)]
        except TypeError:
            raise IndexError(
                "only integers, slices (`:`), ellipsis (`...`), None and integer or boolean arrays are valid indices"
            ) from None
    rank = getattr(part, "bind_rank", 0)
    if part.dtype.kind == "b":
        if rank >= TRACED:
            raise TraceError(
                "indexing with a traced boolean mask gives a shape that is not known while tracing",
                fix="keep the shape: np.where(mask, x, 0), or np.sum(x, where=mask)",
            )
        return _mask_positions(np.asarray(part.numpy() if rank else part), shape, axis)
    if part.dtype.kind not in "iu":
        raise IndexError(f"arrays used as indices must be of integer or boolean type, not {part.dtype}")
    if rank >= TRACED:
        return [cast(part, dtype=np.dtype(np.int64)) if part.dtype != np.int64 else part]
    array = np.asarray(part.numpy() if rank else part)
    return [int(array)] if array.ndim == 0 else [array.astype(np.int64, copy=False)]


def _mask_positions(mask: np.ndarray[Any, Any], shape: Shape, axis: int) -> list[Any]:
    for k, n in enumerate(mask.shape):
        if shape[axis + k] != n:
            raise IndexError(
                f"boolean index did not match indexed array along axis {axis + k}; size of axis is {shape[axis + k]} "
                f"but size of corresponding boolean axis is {n}"
            )
    return list(np.nonzero(mask))


def _wrapped(index: Any, size: int, axis: int) -> Any:
    """Non-negative positions; concrete ones are checked here, traced ones out of range stay so."""
    if isinstance(index, (int, np.ndarray)):
        array = np.asarray(index)
        moved = np.where(array < 0, array + size, array)
        if moved.size and (moved.min() < 0 or moved.max() >= size):
            wrong = array[(moved < 0) | (moved >= size)].flat[0]
            raise IndexError(f"index {wrong} is out of bounds for axis {axis} with size {size}")
        return moved
    return select(index < 0, index + size, index)


def position_of(index: Any, size: int) -> Any:
    """A traced integer as a position that is not negative, where it is in range."""
    return _wrapped(cast(index, dtype=np.dtype(np.int64)) if index.dtype != np.int64 else index, size, 0)


def _understand(key: Any, shape: Shape) -> _Key:
    """Take a key apart by NumPy's rules."""
    parts = _parts(key, shape)
    advanced = any(hasattr(p, "dtype") for p in parts)
    starts, sizes, steps = [0] * len(shape), list(shape), [1] * len(shape)
    flipped: list[int] = []
    arrays: dict[int, Any] = {}
    layout: list[int | str | None] = []
    axis = 0
    for part in parts:
        if part is None:
            layout.append(None)
        elif part is Ellipsis:
            kept = len(shape) - sum(1 for p in parts if p is not None and p is not Ellipsis)
            layout.extend(range(axis, axis + kept))
            # an Ellipsis separates index arrays even if it stands for no axis
            layout.append("...")
            axis += kept
        elif isinstance(part, slice):
            count, starts[axis], steps[axis] = _slice_of(part, shape[axis])
            if steps[axis] < 0:
                starts[axis] += (count - 1) * steps[axis] if count else 0
                steps[axis] = -steps[axis]
                flipped += [axis] if count > 1 else []
            sizes[axis] = count
            layout.append(axis)
            axis += 1
        else:
            position = _wrapped(part, shape[axis], axis)
            if advanced:
                arrays[axis] = position
                layout.append("arrays")
            else:
                starts[axis], sizes[axis] = int(position), 1
            axis += 1
    return _Key(tuple(starts), tuple(sizes), tuple(steps), tuple(flipped), arrays, _placed(layout))


def _slice_of(part: slice, size: int) -> tuple[int, int, int]:
    """Count, start and step of a slice."""
    start, stop, step = part.indices(size)
    count = len(range(start, stop, step))
    return count, (start if count else 0), (step if count > 1 else 1)


def _placed(layout: list[int | str | None]) -> tuple[int | str | None, ...]:
    """The axes of the index arrays stand where the arrays stand side by side, else in front."""
    marks = [k for k, entry in enumerate(layout) if entry == "arrays"]
    rest = [entry for entry in layout if not isinstance(entry, str)]
    if not marks:
        return tuple(rest)
    if marks[-1] - marks[0] + 1 != len(marks):
        return ("arrays", *rest)
    before = [entry for entry in layout[: marks[0]] if not isinstance(entry, str)]
    return (*before, "arrays", *rest[len(before) :])


@dataclass(frozen=True, slots=True)
class _Gathered:
    """How the axes with index arrays become one axis: permuted side by side at ``place``, then merged."""

    order: Shape
    place: int
    merged: Shape
    flat: Any


def _merge(key: _Key) -> _Gathered:
    """The permutation, the shape and the flat positions that address all index arrays along one axis."""
    axes = tuple(sorted(key.arrays))
    rest = [k for k in range(len(key.sizes)) if k not in key.arrays]
    before = key.layout[: key.layout.index("arrays")]
    place = sum(isinstance(entry, int) for entry in before)
    order = (*rest[:place], *axes, *rest[place:])
    sizes = [key.sizes[k] for k in axes]
    shape = key.array_shape
    merged = (*(key.sizes[k] for k in rest[:place]), math.prod(sizes), *(key.sizes[k] for k in rest[place:]))
    flat: Any = None
    inside: Any = None
    for k, n in zip(axes, sizes, strict=True):
        index = key.arrays[k]
        flat = index if flat is None else add(multiply(flat, n), index)
        if len(axes) > 1 and not isinstance(index, np.ndarray):
            fits = logical_and(index >= 0, index < n)
            inside = fits if inside is None else logical_and(inside, fits)
    if inside is not None:
        flat = select(inside, flat, -1 - math.prod(sizes))
    return _Gathered(order, place, merged, reshape(broadcast_to(flat, shape), (math.prod(shape),)))


def _result_shape(key: _Key) -> Shape:
    shape: list[int] = []
    for entry in key.layout:
        if entry == "arrays":
            shape.extend(key.array_shape)
        else:
            shape.append(1 if entry is None else key.sizes[int(entry)])
    return tuple(shape)


_BASIC = frozenset((int, type(None), type(Ellipsis)))


def _coded(key: Any) -> tuple[Any, ...] | None:
    """A key of ints, slices, None and Ellipsis as something hashable; None for other keys."""
    code: list[Any] = []
    for part in key if type(key) is tuple else (key,):
        kind = type(part)
        if kind is slice:
            bounds = (part.start, part.stop, part.step)
            if any(type(b) is not int and b is not None for b in bounds):
                return None
            code.append(bounds)
        elif kind in _BASIC:
            code.append(part)
        else:
            return None
    return tuple(code)


@lru_cache(maxsize=4096)
def _basic_steps(shape: Shape, code: tuple[Any, ...]) -> tuple[tuple[Op, dict[str, Any]], ...]:
    """The view ops that read a basic key: a slice, a reversal and a reshape, as far as they are needed."""
    key = _understand(tuple(slice(*part) if type(part) is tuple else part for part in code), shape)
    steps: list[tuple[Op, dict[str, Any]]] = []
    if key.sizes != shape or any(s != 1 for s in key.steps):
        steps.append((strided_slice, {"starts": key.starts, "sizes": key.sizes, "steps": key.steps}))
    if key.flipped:
        steps.append((reverse, {"axes": key.flipped}))
    if (result := _result_shape(key)) != key.sizes:
        steps.append((reshape_to, {"shape": result}))
    return tuple(steps)


def getitem(x: Any, key: Any) -> Any:
    """``x[key]`` by NumPy's rules: integers, slices, Ellipsis, None, integer arrays and concrete boolean masks.

    Raises IndexError as NumPy does, TraceError for a traced mask, whose result has no static shape.

    >>> getitem(np.arange(6).reshape(2, 3), (slice(None), [2, 0]))
    array([[2, 0],
           [5, 3]])
    """
    code = _coded(key)
    if code is not None:
        for op, params in _basic_steps(shape_of(x), code):
            x = op(x, **params)
        return x
    split = _understand(key, shape_of(x))
    block = split.block(x)
    if split.arrays:
        how = _merge(split)
        block = gather(reshape(transpose(block, how.order), how.merged), how.flat, axis=how.place)
    return reshape(block, _result_shape(split))


def setitem(base: Any, key: Any, value: Any) -> Any:
    """The array that ``base[key] = value`` leaves behind; ``base`` itself is not written to.

    The value is broadcast and cast to ``base``'s dtype as NumPy does; of equal positions the last value wins.

    >>> setitem(np.zeros(4), slice(1, 3), 7.0)
    array([0., 7., 7., 0.])
    """
    value = value if hasattr(value, "dtype") else np.asarray(value)
    value = value if value.dtype == base.dtype else cast(value, dtype=base.dtype)
    split = _understand(key, shape_of(base))
    value = _fitted(value, _result_shape(split))
    if not split.arrays:
        return _store(base, split, reshape(value, split.sizes))
    how = _merge(split)
    block = split.block(base)
    count = math.prod(split.array_shape)
    values = reshape(value, (*how.merged[: how.place], count, *how.merged[how.place + 1 :]))
    moved = transpose(block, how.order)
    filled = reshape(put(reshape(moved, how.merged), how.flat, values, axis=how.place), shape_of(moved))
    return _store(base, split, transpose(filled, tuple(how.order.index(k) for k in range(len(how.order)))))


def _fitted(value: Any, shape: Shape) -> Any:
    """The value broadcast to what is assigned; NumPy forgives extra axes of size 1 in front."""
    own = shape_of(value)
    while len(own) > len(shape) and own[0] == 1:
        own = own[1:]
    if len(own) > len(shape) or any(n not in (1, m) for n, m in zip(own, shape[len(shape) - len(own) :], strict=True)):
        raise ShapeError(
            f"an array of shape {shape_of(value)} cannot be assigned to a selection of shape {shape}",
            fix="give a value that broadcasts to the selection",
        )
    return broadcast_to(reshape(value, own), shape)


def _store(base: Any, key: _Key, block: Any) -> Any:
    block = reverse(block, axes=key.flipped) if key.flipped else block
    if key.sizes == shape_of(base):
        return block
    return update(base, block, starts=key.starts, steps=key.steps)


# -- functions with NumPy's signatures --------------------------------------------------------------------------------


def take(x: Any, indices: Any, axis: int | None = None, out: None = None, mode: str = "raise") -> Any:
    """``np.take`` with modes ``raise``, ``wrap`` and ``clip``."""
    if out is not None:
        raise TraceError("out= writes into an array", fix="assign the result instead: y = np.take(x, i)")
    if axis is None:
        x, axis = reshape(x, -1), 0
    place = normalise_axis(axis, len(shape_of(x)))
    size = shape_of(x)[place]
    indices = _listed(indices) if isinstance(indices, (list, tuple)) else indices
    indices = indices if hasattr(indices, "dtype") else np.asarray(indices)
    if indices.dtype.kind not in "iu":
        raise DtypeError(f"take at positions of dtype {indices.dtype}", fix="give integers, or use np.where for a mask")
    if mode == "wrap":
        indices = indices % size
    elif mode == "clip":
        indices = select(indices < 0, 0, select(indices >= size, size - 1, indices))
    elif mode != "raise":
        raise TraceError(f"take has no mode {mode!r}", fix='use mode="raise", "wrap" or "clip"')
    return getitem(x, (*(slice(None),) * place, indices))


def take_along_axis(x: Any, indices: Any, axis: int) -> Any:
    """``np.take_along_axis``."""
    ndim = len(shape_of(x))
    place = normalise_axis(axis, ndim)
    if len(shape_of(indices)) != ndim:
        raise ShapeError(
            f"take_along_axis of shape {shape_of(x)} with indices of shape {shape_of(indices)}",
            fix="give indices with as many axes as the array has (np.expand_dims)",
        )
    key: list[Any] = []
    for k, n in enumerate(shape_of(x)):
        shape = tuple(-1 if d == k else 1 for d in range(ndim))
        key.append(indices if k == place else reshape(running_index(n, x, indices), shape))
    return getitem(x, tuple(key))
