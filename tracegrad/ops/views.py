"""VIEW ops: they move elements, and their lowering is an index map.

The raw ops take normalised parameters (non-negative axes, full shapes); the functions below have NumPy's signatures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracegrad.core.aval import Aval, Shape, normalise_axes, normalise_axis, shape_of, whole_size
from tracegrad.core.expr import Guard, Index, Read
from tracegrad.core.op import Kind, Linear, Op, Sample, Stacked, Values, Variadic, common, linear, next_axes, next_axis
from tracegrad.errors import ShapeError, TraceError
from tracegrad.ops.broadcasting import broadcast, reduce_sum, reshape_to

Vector = tuple[Index, ...]

LARGEST = np.iinfo(np.intp).max
"""The largest size of an axis."""


# -- transpose, flip --------------------------------------------------------------------------------------------------


def _inverse(axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(axes.index(k) for k in range(len(axes)))


permute: Op = linear(
    "transpose",
    Kind.VIEW,
    infer=lambda x, *, axes: Aval(tuple(x.shape[a] for a in axes), x.dtype),
    eager=lambda x, *, axes: x.transpose(axes),
    transpose=lambda g, out, x, *, axes: permute(g, axes=_inverse(axes)),
    batch=Stacked(lambda size, *, axes: {"axes": (0, *(k + 1 for k in axes))}),
    lower=lambda index, x, *, axes: (Read(0, tuple(index[k] for k in _inverse(axes))),),
    torch=("permute", "PermuteBackward0"),
    doc="Reorder the axes.",
    samples=(
        Sample((Values((2, 3)),), {"axes": (1, 0)}),
        Sample((Values((2, 3, 4)),), {"axes": (2, 0, 1)}),
    ),
)


def _reverse_lower(index: Vector, x: Aval, *, axes: tuple[int, ...]) -> tuple[Read, ...]:
    ends = enumerate(zip(index, x.shape, strict=True))
    return (Read(0, tuple(i * -1 + (n - 1) if k in axes else i for k, (i, n) in ends)),)


reverse: Op = linear(
    "flip",
    Kind.VIEW,
    infer=lambda x, *, axes: x,
    eager=lambda x, *, axes: np.flip(x, axes),
    transpose=lambda g, out, x, *, axes: reverse(g, axes=axes),
    batch=Stacked(next_axes),
    lower=_reverse_lower,
    torch=("flip", "FlipBackward0"),
    doc="Reverse the order of elements along axes.",
    samples=(Sample((Values((2, 3)),), {"axes": (0,)}), Sample((Values((2, 3)),), {"axes": (0, 1)})),
)


# -- slices and what undoes them --------------------------------------------------------------------------------------


def _slices(starts: Shape, sizes: Shape, steps: Shape) -> tuple[slice, ...]:
    return tuple(slice(a, a + n * s, s) for a, n, s in zip(starts, sizes, steps, strict=True))


strided_slice: Op = linear(
    "slice",
    Kind.VIEW,
    infer=lambda x, *, starts, sizes, steps: Aval(sizes, x.dtype),
    eager=lambda x, *, starts, sizes, steps: x[_slices(starts, sizes, steps)],
    transpose=lambda g, out, x, *, starts, sizes, steps: embed(g, shape=shape_of(x), starts=starts, steps=steps),
    batch=Stacked(
        lambda size, *, starts, sizes, steps: {"starts": (0, *starts), "sizes": (size, *sizes), "steps": (1, *steps)}
    ),
    lower=lambda index, x, *, starts, sizes, steps: (
        Read(0, tuple(i * s + a for i, a, s in zip(index, starts, steps, strict=True))),
    ),
    torch=("slice", "SliceBackward0"),
    doc="Every ``step``-th element from ``start`` on, ``size`` of them, along each axis.",
    samples=(
        Sample((Values((5, 4)),), {"starts": (1, 0), "sizes": (2, 4), "steps": (2, 1)}),
        Sample((Values((5,)),), {"starts": (2,), "sizes": (0,), "steps": (1,)}),
    ),
)


def _inside(index: Vector, starts: Shape, sizes: Shape, steps: Shape) -> tuple[Vector, tuple[Guard, ...]]:
    """Positions within a slice and the conditions under which an element belongs to it."""
    own: list[Index] = []
    guards: list[Guard] = []
    for i, a, n, s in zip(index, starts, sizes, steps, strict=True):
        moved = i - a
        if n == 1:
            own.append(Index())
            guards.append(Guard(moved, 0, 1))
            continue
        own.append(moved // s if s > 1 else moved)
        guards.append(Guard(moved, 0, n * s))
        if s > 1:
            guards.append(Guard(moved % s, 0, 1))
    return tuple(own), tuple(g for g in guards if not g.always)


def _embed_lower(index: Vector, x: Aval, *, shape: Shape, starts: Shape, steps: Shape) -> tuple[Read, ...]:
    own, guards = _inside(index, starts, x.shape, steps)
    return (Read(0, own, guards),)


def _embed_eager(x: Any, *, shape: Shape, starts: Shape, steps: Shape) -> Any:
    out = np.zeros(shape, x.dtype)
    out[_slices(starts, x.shape, steps)] = x
    return out


embed: Op = linear(
    "embed",
    Kind.VIEW,
    infer=lambda x, *, shape, starts, steps: Aval(shape, x.dtype),
    eager=_embed_eager,
    transpose=lambda g, out, x, *, shape, starts, steps: strided_slice(g, starts=starts, sizes=shape_of(x), steps=steps),
    batch=Stacked(
        lambda size, *, shape, starts, steps: {"shape": (size, *shape), "starts": (0, *starts), "steps": (1, *steps)}
    ),
    lower=_embed_lower,
    torch=("pad", "ConstantPadNdBackward0"),
    doc="Place an array into zeros of a larger shape: the transpose of a slice; with steps of 1, zero padding.",
    samples=(
        Sample((Values((2, 3)),), {"shape": (5, 4), "starts": (1, 0), "steps": (2, 1)}),
        Sample((Values((3,)),), {"shape": (7,), "starts": (2,), "steps": (1,)}),
    ),
)


def _update_lower(index: Vector, base: Aval, x: Aval, *, starts: Shape, steps: Shape) -> tuple[Read, ...]:
    own, guards = _inside(index, starts, x.shape, steps)
    return Read(1, own, guards), Read(0, index)


def _update_eager(base: Any, x: Any, *, starts: Shape, steps: Shape) -> Any:
    out = np.array(base)
    out[_slices(starts, shape_of(x), steps)] = x
    return out


update: Op = Op(
    name="update",
    kind=Kind.VIEW,
    infer=lambda base, x, *, starts, steps: base,
    promote=lambda base, x: (base, base),
    eager=_update_eager,
    partials=(
        Linear(
            lambda g, out, base, x, *, starts, steps: update(
                g, np.broadcast_to(np.zeros((), g.dtype), shape_of(x)), starts=starts, steps=steps
            ),
            together=True,
        ),
        Linear(
            lambda g, out, base, x, *, starts, steps: strided_slice(g, starts=starts, sizes=shape_of(x), steps=steps),
            together=True,
        ),
    ),
    batch=Stacked(lambda size, *, starts, steps: {"starts": (0, *starts), "steps": (1, *steps)}),
    lower=_update_lower,
    numpy=(),
    torch=("slice_scatter", "SliceScatterBackward0"),
    doc="A copy of ``base`` with a slice replaced by ``x``: what an assignment means in a static graph.",
    samples=(Sample((Values((4, 3)), Values((2, 3))), {"starts": (1, 0), "steps": (2, 1)}),),
)


# -- concatenate ------------------------------------------------------------------------------------------------------


def _concatenate_infer(*avals: Aval, axis: int) -> Aval:
    first = avals[0]
    for other in avals[1:]:
        same = len(first.shape) == len(other.shape) and all(
            n == m for k, (n, m) in enumerate(zip(first.shape, other.shape, strict=True)) if k != axis
        )
        if not same:
            raise ShapeError(
                f"arrays of shapes {first.shape} and {other.shape} do not concatenate along axis {axis}",
                fix="make every other axis equal",
            )
    shape = list(first.shape)
    shape[axis] = sum(a.shape[axis] for a in avals)
    return Aval(tuple(shape), first.dtype)


def _concatenate_lower(index: Vector, *avals: Aval, axis: int) -> tuple[Read, ...]:
    reads = []
    offset = 0
    for k, aval in enumerate(avals):
        own = index[axis] - offset
        guard = Guard(own, 0, aval.shape[axis])
        if not guard.never and aval.size:
            reads.append(Read(k, (*index[:axis], own, *index[axis + 1 :]), () if guard.always else (guard,)))
        offset += aval.shape[axis]
    return tuple(reads)


def _cut_part(k: int) -> Linear:
    def pull(g: Any, out: Any, *parts: Any, axis: int) -> Any:
        shape = shape_of(parts[k])
        before = sum(shape_of(p)[axis] for p in parts[:k])
        starts = tuple(before if d == axis else 0 for d in range(len(shape)))
        return strided_slice(g, starts=starts, sizes=shape, steps=(1,) * len(shape))

    return Linear(pull, together=True)


join: Op = Op(
    name="concatenate",
    kind=Kind.VIEW,
    infer=_concatenate_infer,
    promote=common,
    eager=lambda *parts, axis: np.concatenate(parts, axis),
    partials=Variadic(_cut_part),
    batch=Stacked(next_axis),
    lower=_concatenate_lower,
    numpy=(),
    torch=("cat", "CatBackward0"),
    doc="Arrays behind one another along an axis.",
    samples=(
        Sample((Values((2, 3)), Values((1, 3)), Values((3, 3))), {"axis": 0}),
        Sample((Values((2, 3)), Values((2, 1))), {"axis": 1}),
        Sample((Values((2, 3)), Values((3, 2))), {"axis": 0}, error=ShapeError, match="do not concatenate"),
    ),
)


# -- sliding windows --------------------------------------------------------------------------------------------------


def window_counts(sizes: Shape, window: Shape, strides: Shape, dilations: Shape) -> Shape:
    """How many windows fit along each axis."""
    counts = []
    for n, w, s, d in zip(sizes, window, strides, dilations, strict=True):
        reach = (w - 1) * d + 1
        if reach > n:
            raise ShapeError(
                f"a window of {w} (reaching over {reach} elements) does not fit into an axis of {n}",
                fix="use a smaller window or dilation, or more padding",
            )
        counts.append((n - reach) // s + 1)
    return tuple(counts)


def _windows_infer(x: Aval, *, window: Shape, strides: Shape, dilations: Shape) -> Aval:
    k = len(window)
    counts = window_counts(x.shape[x.ndim - k :], window, strides, dilations)
    return Aval((*x.shape[: x.ndim - k], *counts, *window), x.dtype)


def _windows_lower(index: Vector, x: Aval, *, window: Shape, strides: Shape, dilations: Shape) -> tuple[Read, ...]:
    k = len(window)
    lead = x.ndim - k
    spatial = tuple(index[lead + a] * strides[a] + index[lead + k + a] * dilations[a] for a in range(k))
    return (Read(0, (*index[:lead], *spatial)),)


def _windows_eager(x: Any, *, window: Shape, strides: Shape, dilations: Shape) -> Any:
    k = len(window)
    reach = tuple((w - 1) * d + 1 for w, d in zip(window, dilations, strict=True))
    axes = tuple(range(x.ndim - k, x.ndim))
    view = np.lib.stride_tricks.sliding_window_view(x, reach, axes)
    thin: tuple[Any, ...] = tuple(slice(None, None, step) for step in (*strides, *dilations))
    return view[(..., *thin)]


def _fold(g: Any, sizes: Shape, params: dict[str, Shape]) -> Any:
    k = len(params["window"])
    spread = spread_windows(g, sizes=sizes, **params)
    return reduce_sum(spread, axes=tuple(range(len(spread.shape) - k, len(spread.shape))))


windows: Op = linear(
    "windows",
    Kind.VIEW,
    infer=_windows_infer,
    eager=_windows_eager,
    transpose=lambda g, out, x, **params: _fold(g, shape_of(x)[-len(params["window"]) :], params),
    batch=Stacked(),
    lower=_windows_lower,
    torch=("unfold", "UnfoldBackward0"),
    doc="All windows of the last axes, as new axes at the end: ``out[..., o, w] = x[..., o*stride + w*dilation]``.",
    samples=(
        Sample((Values((2, 6)),), {"window": (3,), "strides": (1,), "dilations": (1,)}),
        Sample((Values((2, 6, 5)),), {"window": (2, 3), "strides": (2, 1), "dilations": (1, 1)}),
        Sample((Values((7,)),), {"window": (3,), "strides": (2,), "dilations": (2,)}),
        Sample(
            (Values((2,)),),
            {"window": (3,), "strides": (1,), "dilations": (1,)},
            error=ShapeError,
            match="does not fit",
        ),
    ),
)


def _spread_lower(index: Vector, g: Aval, *, sizes: Shape, window: Shape, strides: Shape, dilations: Shape) -> tuple[Read, ...]:
    k = len(window)
    lead = g.ndim - 2 * k
    counts: list[Index] = []
    guards: list[Guard] = []
    for a in range(k):
        origin = index[lead + a] - index[lead + k + a] * dilations[a]
        counts.append(origin // strides[a] if strides[a] > 1 else origin)
        guards.append(Guard(origin, 0, g.shape[lead + a] * strides[a]))
        if strides[a] > 1:
            guards.append(Guard(origin % strides[a], 0, 1))
    own = (*index[:lead], *counts, *index[lead + k :])
    return (Read(0, own, tuple(c for c in guards if not c.always)),)


def _window_positions(counts: Shape, sizes: Shape, window: Shape, strides: Shape, dilations: Shape) -> tuple[Any, ...]:
    """Index arrays (spatial…, tap…) that address ``[..., size, window]`` at each window's elements."""
    k = len(window)
    grids = np.meshgrid(*(np.arange(n) for n in (*counts, *window)), indexing="ij")
    spatial = tuple(grids[a] * strides[a] + grids[k + a] * dilations[a] for a in range(k))
    return spatial + tuple(grids[k:])


def _middle(x: Any, k: int) -> Shape:
    """The sizes of the ``k`` axes before the last ``k``."""
    shape = shape_of(x)
    return shape[len(shape) - 2 * k : len(shape) - k]


def _spread_eager(g: Any, *, sizes: Shape, window: Shape, strides: Shape, dilations: Shape) -> Any:
    k = len(window)
    lead, counts = g.shape[: g.ndim - 2 * k], g.shape[g.ndim - 2 * k : g.ndim - k]
    out = np.zeros((*lead, *sizes, *window), g.dtype)
    out[(..., *_window_positions(counts, sizes, window, strides, dilations))] = g
    return out


spread_windows: Op = linear(
    "spread_windows",
    Kind.VIEW,
    infer=lambda g, *, sizes, window, strides, dilations: Aval(
        (*g.shape[: g.ndim - 2 * len(window)], *sizes, *window), g.dtype
    ),
    eager=_spread_eager,
    transpose=lambda c, out, g, *, sizes, **params: collect_windows(c, counts=_middle(g, len(params["window"])), **params),
    batch=Stacked(),
    lower=_spread_lower,
    torch=("", ""),
    doc="Each window's elements back at their places, one layer per tap; summed over the taps it folds the windows.",
    samples=(
        Sample((Values((2, 4, 3)),), {"sizes": (6,), "window": (3,), "strides": (1,), "dilations": (1,)}),
        Sample((Values((3, 3)),), {"sizes": (8,), "window": (3,), "strides": (2,), "dilations": (1,)}),
    ),
)


def _collect_lower(
    index: Vector, c: Aval, *, counts: Shape, window: Shape, strides: Shape, dilations: Shape
) -> tuple[Read, ...]:
    k = len(window)
    lead = c.ndim - 2 * k
    spatial = tuple(index[lead + a] * strides[a] + index[lead + k + a] * dilations[a] for a in range(k))
    return (Read(0, (*index[:lead], *spatial, *index[lead + k :])),)


def _collect_eager(c: Any, *, counts: Shape, window: Shape, strides: Shape, dilations: Shape) -> Any:
    k = len(window)
    sizes = c.shape[c.ndim - 2 * k : c.ndim - k]
    return c[(..., *_window_positions(counts, sizes, window, strides, dilations))]


collect_windows: Op = linear(
    "collect_windows",
    Kind.VIEW,
    infer=lambda c, *, counts, window, strides, dilations: Aval(
        (*c.shape[: c.ndim - 2 * len(window)], *counts, *window), c.dtype
    ),
    eager=_collect_eager,
    transpose=lambda g, out, c, *, counts, **params: spread_windows(g, sizes=_middle(c, len(params["window"])), **params),
    batch=Stacked(),
    lower=_collect_lower,
    torch=("", ""),
    doc="The transpose of spread_windows: each window's elements out of the layer of their tap.",
    samples=(Sample((Values((2, 6, 3)),), {"counts": (4,), "window": (3,), "strides": (1,), "dilations": (1,)}),),
)


# -- functions with NumPy's signatures --------------------------------------------------------------------------------


def broadcast_to(x: Any, shape: int | Sequence[int]) -> Any:
    """``np.broadcast_to``."""
    target = (shape,) if isinstance(shape, int) else tuple(whole_size(n) for n in shape)
    if any(n < 0 for n in target):
        raise ShapeError(f"the shape {target} has a negative size", fix="give sizes of 0 and more")
    if any(n > LARGEST for n in target):
        raise ShapeError(f"a size of {max(target)}: no memory holds as many elements", fix="give smaller sizes")
    return x if shape_of(x) == target else broadcast(x, shape=target)


def reshape(x: Any, shape: int | Sequence[int], *rest: int, order: str = "C") -> Any:
    """``np.reshape``; one size may be -1, and ``order`` may be ``"C"`` (or ``"A"``, which is the same here) or ``"F"``."""
    if order == "F":
        # columns first: the same elements in row-major order with all axes reversed
        turned: Any = (shape, *rest) if rest or not isinstance(shape, Sequence) else tuple(shape)
        return transpose(reshape(transpose(x), tuple(reversed(turned))))
    if order not in ("C", "A"):
        raise ShapeError(f"order={order!r} is not an order of elements", fix='use order="C" or order="F"')
    wanted: Sequence[Any] = (shape, *rest) if rest or not isinstance(shape, Sequence) else shape
    sizes = tuple(whole_size(n) for n in wanted)
    if sizes.count(-1) == 1:
        known = math.prod(n for n in sizes if n != -1)
        total = math.prod(shape_of(x))
        if known == 0 or total % known:
            raise ShapeError(
                f"an array of shape {shape_of(x)} has {total} elements and does not reshape to {sizes}",
                fix="the sizes other than -1 must divide the number of elements",
            )
        sizes = tuple(total // known if n == -1 else n for n in sizes)
    return x if sizes == shape_of(x) else reshape_to(x, shape=sizes)


def transpose(x: Any, axes: Sequence[int] | None = None) -> Any:
    """``np.transpose``."""
    ndim = len(shape_of(x))
    order = tuple(reversed(range(ndim))) if axes is None else tuple(normalise_axis(a, ndim) for a in axes)
    if sorted(order) != list(range(ndim)):
        raise ShapeError(f"axes {tuple(axes or ())} do not permute {ndim} axes", fix="name every axis once")
    return x if order == tuple(range(ndim)) else permute(x, axes=order)


def expand_dims(x: Any, axis: int | tuple[int, ...]) -> Any:
    """``np.expand_dims``."""
    added = axis if isinstance(axis, tuple) else (axis,)
    ndim = len(shape_of(x)) + len(added)
    places = normalise_axes(added, ndim)
    sizes = iter(shape_of(x))
    return reshape(x, tuple(1 if k in places else next(sizes) for k in range(ndim)))


def squeeze(x: Any, axis: int | tuple[int, ...] | None = None) -> Any:
    """``np.squeeze``."""
    shape = shape_of(x)
    gone = tuple(k for k, n in enumerate(shape) if n == 1) if axis is None else normalise_axes(axis, len(shape))
    if any(shape[k] != 1 for k in gone):
        raise ShapeError(f"squeeze of shape {shape} along {axis}: the axis is not of size 1", fix="name axes of size 1")
    return reshape(x, tuple(n for k, n in enumerate(shape) if k not in gone))


def flip(x: Any, axis: int | tuple[int, ...] | None = None) -> Any:
    """``np.flip``."""
    axes = normalise_axes(axis, len(shape_of(x)))
    return reverse(x, axes=axes) if axes else x


def concatenate(arrays: Sequence[Any], axis: int | None = 0, out: None = None, *, dtype: Any = None) -> Any:
    """``np.concatenate``."""
    if out is not None:
        raise TraceError("out= writes into an array", fix="assign the result instead: y = np.concatenate(...)")
    if dtype is not None:
        return concatenate([_of_dtype(part, np.dtype(dtype)) for part in arrays], axis)
    parts = list(arrays)
    if not parts:
        raise ShapeError("concatenate of no arrays", fix="give at least one array")
    if axis is None:
        parts, axis = [reshape(p, -1) for p in parts], 0
    if any(len(shape_of(p)) == 0 for p in parts):
        raise ShapeError("concatenate of 0-d arrays", fix="use np.stack, or give each array an axis")
    return join(*parts, axis=normalise_axis(axis, len(shape_of(parts[0]))))


def _of_dtype(x: Any, dtype: np.dtype[Any]) -> Any:
    x = x if hasattr(x, "dtype") else np.asarray(x)
    return x if x.dtype == dtype else x.astype(dtype)


def stack(arrays: Sequence[Any], axis: int = 0) -> Any:
    """``np.stack``."""
    parts = list(arrays)
    if not parts:
        raise ShapeError("stack of no arrays", fix="give at least one array")
    if len({shape_of(p) for p in parts}) != 1:
        shapes = sorted({shape_of(p) for p in parts})
        raise ShapeError(f"stack of arrays of different shapes {shapes}", fix="give all arrays one shape")
    place = normalise_axis(axis, len(shape_of(parts[0])) + 1)
    return join(*(expand_dims(p, place) for p in parts), axis=place)
