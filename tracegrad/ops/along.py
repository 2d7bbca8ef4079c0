"""Reading and writing along one axis at positions that have a shape of their own.

An index array of the rank of the array it addresses says, element by element, where along the axis to go; along the
others an element stays where it is. All of it is NumPy's flat positions, so it becomes the INDEX ops' vectors.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tracegrad.core.aval import Aval, Shape, normalise_axis, shape_of
from tracegrad.core.op import FLAT, Kind, Op, Reducer, Rule, Sample, Values, keep
from tracegrad.ops.comparisons import logical_and
from tracegrad.ops.indexing import gather, put, reduced_each, scatter_add
from tracegrad.ops.maps import cast, scale, select
from tracegrad.ops.sources import TRACED, running_index
from tracegrad.ops.views import broadcast_to, concatenate, reshape, strided_slice

# -- raw ops ----------------------------------------------------------------------------------------------------------


def _at(axis: int, indices: Any) -> tuple[Any, ...]:
    return (*(slice(None),) * axis, indices)


def _check_bounds(indices: Any, size: int, axis: int) -> None:
    if indices.min() < 0 or indices.max() >= size:
        wrong = indices[(indices < 0) | (indices >= size)].flat[0]
        raise IndexError(f"index {wrong} is out of bounds for axis {axis} with size {size}")


def _reduced_at(ufunc: np.ufunc, start: Any) -> Any:
    """The implementation of a reduction at positions; ``start(dtype)`` is what stands where nothing arrives."""

    def eager(x: Any, indices: Any, *, axis: int, size: int) -> Any:
        if indices.size:
            _check_bounds(indices, size, axis)
        out = np.full((*x.shape[:axis], size, *x.shape[axis + 1 :]), start(x.dtype), x.dtype)
        ufunc.at(out, _at(axis, indices), x)
        return out

    return eager


def _lowest(dtype: np.dtype[Any]) -> Any:
    return -np.inf if dtype.kind == "f" else False if dtype.kind == "b" else np.iinfo(dtype).min


def _highest(dtype: np.dtype[Any]) -> Any:
    return np.inf if dtype.kind == "f" else True if dtype.kind == "b" else np.iinfo(dtype).max


def _pull_extreme(g: Any, out: Any, x: Any, indices: Any, *, axis: int, size: int) -> Any:
    """Ties at one place share its cotangent evenly."""
    best = (x == gather(out, indices, axis=axis)) | (x != x)
    count = scatter_add(cast(best, dtype=g.dtype), indices, axis=axis, size=size)
    share = gather(g, indices, axis=axis) / gather(count, indices, axis=axis)
    return select(best, share, np.zeros((), g.dtype))


def _pull_product(g: Any, out: Any, x: Any, indices: Any, *, axis: int, size: int) -> Any:
    """Each element's factor is the product of the others at its place: of no use is out / x where x is 0."""
    zero = x == 0
    safe = select(zero, np.ones((), x.dtype), x)
    product = gather(scatter_prod(safe, indices, axis=axis, size=size), indices, axis=axis)
    zeros = gather(scatter_add(cast(zero, dtype=x.dtype), indices, axis=axis, size=size), indices, axis=axis)
    nothing = np.zeros((), x.dtype)
    others = select(zero, select(zeros == 1, product, nothing), select(zeros == 0, product / safe, nothing))
    return scale(gather(g, indices, axis=axis), others)


def _reduction_at(name: str, ufunc: np.ufunc, start: Any, pull: Any, reducer: Reducer, doc: str, **more: Any) -> Op:
    made = Op(
        name=name,
        kind=Kind.INDEX,
        infer=lambda x, indices, *, axis, size: Aval((*x.shape[:axis], size, *x.shape[axis + 1 :]), x.dtype),
        promote=keep,
        eager=_reduced_at(ufunc, start),
        partials=(Rule(pull), FLAT),
        batch=reduced_each(lambda: made),
        lower=reducer,
        numpy=(),
        torch=("", "ScatterReduceBackward0"),
        doc=doc,
        samples=(
            Sample((Values((6,), **more), Values((6,), 0, 2, kind="int")), {"axis": 0, "size": 2}),
            Sample((Values((2, 7, 3), **more), Values((7,), 0, 2, kind="int")), {"axis": 1, "size": 2}),
            Sample(
                (Values((3,)), Values((3,), 2, 5, kind="int")),
                {"axis": 0, "size": 2},
                error=IndexError,
                match="out of bounds",
            ),
        ),
    )
    return made


scatter_prod: Op = _reduction_at(
    "scatter_prod",
    np.multiply,
    lambda dtype: 1,
    _pull_product,
    Reducer("multiply", 1),
    "Elements multiplied at a vector of positions along an axis of ones.",
    low=0.4,
    high=1.6,
)
scatter_max: Op = _reduction_at(
    "scatter_max",
    np.maximum,
    _lowest,
    _pull_extreme,
    Reducer("maximum", "lowest"),
    "The greatest of the elements at each of a vector of positions along an axis; the lowest value where there is none.",
    distinct=True,
)
scatter_min: Op = _reduction_at(
    "scatter_min",
    np.minimum,
    _highest,
    _pull_extreme,
    Reducer("minimum", "highest"),
    "The smallest of the elements at each of a vector of positions along an axis; the highest value where there is none.",
    distinct=True,
)

REDUCTIONS = {"sum": scatter_add, "mean": scatter_add, "prod": scatter_prod, "amax": scatter_max, "amin": scatter_min}
"""What each way of reducing does with elements that arrive at one position."""

# -- flat positions ---------------------------------------------------------------------------------------------------


def flat_positions(indices: Any, shape: Shape, axis: int, *, trusted: bool = False) -> Any:
    """Where, in the row-major order of ``shape``, the elements stand that an index array addresses along an axis.

    The result has as many elements as ``indices``, in a vector. Indices are not negative: concrete ones out of range raise
    IndexError, traced ones make a negative position, which kernels detect, unless they are ``trusted`` to be right.
    """
    strides = tuple(math.prod(shape[k + 1 :]) for k in range(len(shape)))
    own = shape_of(indices)
    rank = getattr(indices, "bind_rank", 0)
    if rank < TRACED:
        array = np.asarray(indices.numpy() if rank else indices)
        if not trusted and array.size:
            _check_bounds(array, shape[axis], axis)
        flat: Any = array.astype(np.int64, copy=False) * strides[axis]
        for k, n in enumerate(own):
            if k != axis and strides[k] and n > 1:
                flat = flat + (np.arange(n) * strides[k]).reshape(tuple(n if d == k else 1 for d in range(len(own))))
        return flat.reshape(-1)
    indices = indices if indices.dtype == np.int64 else cast(indices, dtype=np.dtype(np.int64))
    flat = indices * strides[axis] if strides[axis] != 1 else indices
    for k, n in enumerate(own):
        if k != axis and n > 1:
            flat = flat + reshape(running_index(n, indices), tuple(n if d == k else 1 for d in range(len(own)))) * strides[k]
    if not trusted:
        flat = select(logical_and(indices >= 0, indices < shape[axis]), flat, -1 - math.prod(shape))
    return reshape(flat, -1)


def _flat(x: Any) -> Any:
    return reshape(x, (math.prod(shape_of(x)),))


def _cut(x: Any, shape: Shape) -> Any:
    """The leading block of ``x`` of a shape: what an index array of this shape reads of its source."""
    if shape_of(x) == shape:
        return x
    return strided_slice(x, starts=(0,) * len(shape), sizes=shape, steps=(1,) * len(shape))


# -- functions --------------------------------------------------------------------------------------------------------


def gather_along(x: Any, indices: Any, axis: int, *, trusted: bool = False) -> Any:
    """``x[i, indices[i, j], k]`` and so on: one element per index, of the indices' shape.

    The indices have as many axes as ``x`` and, but for ``axis``, are no longer; they are not negative.

    >>> gather_along(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1, 0]]), 1)
    array([[2., 1.]])
    """
    shape = shape_of(x)
    if not shape:
        return broadcast_to(x, shape_of(indices))
    flat = flat_positions(indices, shape, normalise_axis(axis, len(shape)), trusted=trusted)
    return reshape(gather(_flat(x), flat, axis=0), shape_of(indices))


def scatter_along(x: Any, indices: Any, src: Any, axis: int, *, trusted: bool = False) -> Any:
    """A copy of ``x`` with ``src`` written to the positions along an axis; of equal positions the last one stays.

    >>> scatter_along(np.zeros(3), np.array([2, 0]), np.array([1.0, 5.0]), 0)
    array([5., 0., 1.])
    """
    shape = shape_of(x)
    src = _cut(src, shape_of(indices))
    if not shape:
        indices = reshape(indices, (-1,))
    flat = flat_positions(indices, shape or (1,), axis, trusted=trusted)
    return reshape(put(_flat(x), flat, _flat(src), axis=0), shape)


def scatter_reduce_along(
    x: Any, indices: Any, src: Any, axis: int, reduce: str, include_self: bool = True, *, trusted: bool = False
) -> Any:
    """``x`` with the elements of ``src`` combined into it at the positions along an axis.

    Parameters
    ----------
    x: the array that is combined into.
    indices: as many axes as ``x``; where the elements of ``src`` go along ``axis``.
    src: an array at least as long as the indices along each axis.
    reduce: ``"sum"``, ``"prod"``, ``"mean"``, ``"amax"`` or ``"amin"``.
    include_self: whether the element of ``x`` takes part where something arrives; where nothing does it always stays.
    trusted: whether traced indices are known to be in range.

    >>> scatter_reduce_along(np.ones(2), np.array([0, 0]), np.array([3.0, 5.0]), 0, "mean", include_self=False)
    array([4., 1.])
    """
    shape = shape_of(x)
    src = _cut(src, shape_of(indices))
    if not shape:
        indices = reshape(indices, (-1,))
    flat = flat_positions(indices, shape or (1,), axis, trusted=trusted)
    return reshape(combine_at(_flat(x), flat, _flat(src), 0, reduce, include_self), shape)


def combine_at(x: Any, indices: Any, src: Any, axis: int, reduce: str, include_self: bool = True) -> Any:
    """``x`` with slices of ``src`` combined into it at a vector of positions along an axis, as ``scatter_reduce_along``."""
    size = shape_of(x)[axis]
    shape = tuple(size if k == axis else 1 for k in range(len(shape_of(x))))
    if reduce == "sum" and include_self:
        return x + scatter_add(src, indices, axis=axis, size=size)
    own = running_index(size, x, indices)
    if include_self:
        src, indices = concatenate([x, src], axis), concatenate([own, _integers(indices)], 0)
    total = REDUCTIONS[reduce](src, indices, axis=axis, size=size)
    ones = np.broadcast_to(np.ones((), x.dtype), shape_of(indices))
    count = reshape(scatter_add(ones, indices, axis=0, size=size), shape) if reduce == "mean" or not include_self else None
    if reduce == "mean":
        total = divided(total, select(count == 0, np.ones((), x.dtype), count))
    return total if include_self else select(count == 0, x, total)


def divided(total: Any, count: Any) -> Any:
    """A quotient; of integers rounded down."""
    return total / count if total.dtype.kind in "fc" else total // count


def _integers(indices: Any) -> Any:
    return indices if indices.dtype == np.int64 else cast(indices, dtype=np.dtype(np.int64))
