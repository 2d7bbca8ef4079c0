"""What a mask that depends on arguments selects: values whose number is known at run time only.

A graph has static shapes, so a selection keeps the whole array beside its mask. Maps run over the whole, reductions leave out
what is not selected, and assignment through the same mask chooses between old and new. The whole array's extent is the bound
of the number of elements, and the mask's sum is that number. Values that are not selected are computed, too, and may be NaN
or infinite; nothing reads them, and their cotangent is a zero that absorbs (``ops.maps.scale``).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

from tracegrad.core.aval import Shape, normalise_axes, shape_of, whole
from tracegrad.core.op import Kind, Op
from tracegrad.core.source import user_frame
from tracegrad.errors import TraceError
from tracegrad.ops import reductions
from tracegrad.ops.comparisons import logical_and
from tracegrad.ops.indexing import gather, getitem
from tracegrad.ops.maps import cast, clip, maximum, select, sqrt
from tracegrad.ops.operators import Operators
from tracegrad.ops.reductions import as_operand
from tracegrad.ops.scans import cumsum
from tracegrad.ops.sorting import search
from tracegrad.ops.sources import TRACED
from tracegrad.ops.views import reshape

__all__ = ["FUNCTIONS", "Selection", "mask_of_key", "select_at", "select_by", "selected_key"]

_FIX = "keep the shape with np.where(mask, x, 0), or reduce what is selected, as np.sum(x[mask]) does"


def select_by(x: Any, mask: Any) -> Selection:
    """``x[mask]`` for a traced mask over the first axes of a traced array.

    Raises IndexError where their shapes differ.
    """
    for k, (n, found) in enumerate(zip(shape_of(mask), shape_of(x), strict=False)):
        if n != found:
            raise IndexError(
                f"boolean index did not match indexed array along axis {k}; size of axis is {found} "
                f"but size of corresponding boolean axis is {n}"
            )
    if len(shape_of(mask)) > len(shape_of(x)):
        raise IndexError(f"too many indices for array: it has {len(shape_of(x))} axes, the mask {len(shape_of(mask))}")
    return Selection(x, mask)


METHODS = frozenset(("argmax", "argmin", "cumsum", "cumprod", "ptp"))
"""Methods of arrays that are NumPy's functions of these names (``ops.selected``)."""


class Selection(Operators):
    """The elements of ``whole`` where ``mask`` holds, one behind the other along a first axis of unknown extent."""

    __slots__ = ("along", "mask", "whole")
    bind_rank = TRACED + 1

    def __init__(self, whole: Any, mask: Any, along: int | None = None) -> None:
        self.whole = whole
        self.mask = mask
        self.along = along
        """Of positions where the mask holds, the axis of the mask that they are along; None for other values."""

    def __repr__(self) -> str:
        return f"<the elements of {self.whole!r} where {self.mask!r}>"

    # -- what is known of it -------------------------------------------------------------------------------------------

    @property
    def dtype(self) -> np.dtype[Any]:
        """The element type."""
        return self.whole.dtype  # type: ignore[no-any-return]

    @property
    def ndim(self) -> int:
        """The number of axes: one for all those of the mask."""
        return 1 + len(self.rest)

    @property
    def rest(self) -> Shape:
        """Sizes of the axes behind the first."""
        return shape_of(self.whole)[len(shape_of(self.mask)) :]

    @property
    def size(self) -> Any:
        """The number of elements, a traced integer."""
        return self.count * math.prod(self.rest)

    @property
    def count(self) -> Any:
        """How many the mask selects, a traced integer."""
        return reductions.sum(self.mask)

    @property
    def shape(self) -> Shape:
        """Not known: raises TraceError."""
        self.refuse("its shape")

    plain_shape = shape

    def refuse(self, what: str) -> NoReturn:
        """Raise TraceError for what needs the number of elements, or their order."""
        recorder: Any = self.whole.recorder
        error = TraceError(f"how many elements a traced mask selects is not known while tracing, and so not {what}", fix=_FIX)
        recorder.escape(error.at(user_frame()))
        raise error

    def __len__(self) -> int:  # noqa: PLE0303 - it raises
        self.refuse("len() of them; x[mask].size is the number as a traced value")

    def __iter__(self) -> NoReturn:
        self.refuse("what a loop over them does")

    def __getitem__(self, key: Any) -> Any:
        """The elements of some ranks, a stretch of them, those that a condition on them selects, or parts of each."""
        if isinstance(key, tuple):
            first, *parts = key or (Ellipsis,)
            whole = isinstance(first, slice) and first == slice(None)
            if parts and whole and not any(p is None or p is Ellipsis for p in parts):
                front = (slice(None),) * len(shape_of(self.mask))
                return Selection(getitem(self.whole, (*front, *parts)), self.mask)
            if parts:
                self.refuse("which of them an index names")
            key = first
        if isinstance(key, Selection):
            if key.dtype.kind != "b" or key.mask.id != self.mask.id or key.rest:
                self.refuse("which of them others name")
            return Selection(self.whole, logical_and(self.mask, key.whole))
        if isinstance(key, slice):
            return self._stretch(key)
        ranks = key if hasattr(key, "dtype") else np.asarray(key) if isinstance(key, (int, list)) else None
        if ranks is None or ranks.dtype.kind not in "iu":
            self.refuse("which of them an index names")
        return self._ranked(ranks)

    def _counted(self) -> Any:
        """For each element of the flat mask how many are selected up to it."""
        return cumsum(reshape(self.mask, (-1,)))

    def _ranked(self, ranks: Any) -> Any:
        """The elements of given ranks, from 0 on or from the end; one that there is not is refused at run time."""
        size, shape = math.prod(shape_of(self.mask)), shape_of(ranks)
        wanted = reshape(as_operand(ranks), (-1,))
        wanted = select(wanted < 0, wanted + self.count, wanted)
        places = search(self._counted(), wanted + 1, right=False)
        places = select(wanted < 0, -1, places)
        found = gather(reshape(self.whole, (size, *self.rest)), places, axis=0)
        return reshape(found, (*shape, *self.rest))

    def _stretch(self, key: slice) -> Selection:
        step = 1 if key.step is None else key.step
        if not isinstance(step, int) or step < 1:
            self.refuse("what comes of them from behind")
        rank = self._counted() - 1
        ends = (None if end is None else whole(end, "the end of a slice") for end in (key.start, key.stop))
        start, stop = (end if end is None or end >= 0 else end + self.count for end in ends)
        start = None if start is None else maximum(start, 0)
        kept = reshape(self.mask, (-1,))
        kept = kept if start is None else kept & (rank >= start)
        kept = kept if stop is None else kept & (rank < stop)
        kept = kept if step == 1 else kept & ((rank - (0 if start is None else start)) % step == 0)
        return Selection(self.whole, reshape(kept, shape_of(self.mask)))

    # -- as positions of another array ---------------------------------------------------------------------------------

    def positions(self) -> Any:
        """The whole as positions that are in range where nothing is selected, too."""
        if self.dtype.kind not in "iu" or self.rest:
            self.refuse("which elements they name as an index")
        return select(self.mask, self.whole, np.zeros((), self.dtype))

    def __setitem__(self, key: Any, value: Any) -> None:
        self.refuse("which of them an index names")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return self.whole.recorder.protocols.ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self, function: Any, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self.whole.recorder.protocols.function(function, args, kwargs)

    def __float__(self) -> float:
        self.refuse("the one number that there may be")

    __int__ = __complex__ = __index__ = __bool__ = __float__

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        self.refuse("the array that code outside the trace would get")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)  # asked for by protocols
        if name in METHODS:
            return functools.partial(self._by_name, name)
        return self.refuse(f"its {name}")

    def _by_name(self, name: str, *args: Any, **kwargs: Any) -> Any:
        return self.whole.recorder.protocols.function(getattr(np, name), (self, *args), kwargs)

    # -- maps ----------------------------------------------------------------------------------------------------------

    def bind_op(self, op: Op, operands: Sequence[Any], params: dict[str, Any]) -> Any:
        """Apply a map to whole arrays: of selections by one mask, and of what broadcasts against each element."""
        if op.kind is not Kind.MAP:
            self.refuse(f"the result of {op.name}")
        wholes = []
        for operand in operands:
            if isinstance(operand, Selection):
                if operand.mask.id != self.mask.id or len(operand.rest) != len(self.rest):
                    self.refuse("whether as many are selected by another mask")
                wholes.append(operand.whole)
            else:
                if len(shape_of(operand)) > len(self.rest):
                    self.refuse(f"how they meet an array of shape {shape_of(operand)}")
                wholes.append(operand)
        return Selection(op(*wholes, **params), self.mask)

    def astype(self, dtype: Any, copy: bool = True) -> Selection:
        """``ndarray.astype``."""
        return self if np.dtype(dtype) == self.dtype else Selection(self.whole.astype(dtype), self.mask)

    def clip(self, low: Any = None, high: Any = None) -> Any:
        """``np.clip``."""
        return clip(self, low, high)

    def copy(self, order: str = "C") -> Selection:
        """``ndarray.copy``: a selection is no view."""
        return self

    # -- reductions ----------------------------------------------------------------------------------------------------

    def _condition(self) -> Any:
        return reshape(self.mask, shape_of(self.mask) + (1,) * len(self.rest))

    def _reduced(self, reduce: Callable[..., Any], axis: Any, where: bool = True, **more: Any) -> Any:
        """A reduction over the elements, or over later axes of each."""
        front = len(shape_of(self.mask))
        axes = normalise_axes(axis, self.ndim)
        whole = tuple(k for a in axes for k in (range(front) if a == 0 else (a + front - 1,)))
        if 0 not in axes:
            return Selection(reduce(self.whole, whole, **more), self.mask)
        return reduce(self.whole, whole, where=self._condition(), **more)

    def sum(self, axis: Any = None, dtype: Any = None) -> Any:
        """``np.sum``."""
        return self._reduced(reductions.sum, axis, dtype=dtype)

    def prod(self, axis: Any = None, dtype: Any = None) -> Any:
        """``np.prod``."""
        return self._reduced(reductions.prod, axis, dtype=dtype)

    def mean(self, axis: Any = None, dtype: Any = None) -> Any:
        """``np.mean``; NaN of no elements."""
        return self._reduced(reductions.mean, axis, dtype=dtype)

    def any(self, axis: Any = None) -> Any:
        """``np.any``."""
        return self._reduced(reductions.any, axis)

    def all(self, axis: Any = None) -> Any:
        """``np.all``."""
        return self._reduced(reductions.all, axis)

    def max(self, axis: Any = None) -> Any:
        """``np.max``; of no elements the lowest of its dtype, where NumPy raises."""
        return self._extreme(reductions.max, axis, lowest=True)

    def min(self, axis: Any = None) -> Any:
        """``np.min``; of no elements the highest of its dtype, where NumPy raises."""
        return self._extreme(reductions.min, axis, lowest=False)

    def _extreme(self, reduce: Callable[..., Any], axis: Any, lowest: bool) -> Any:
        if 0 not in normalise_axes(axis, self.ndim):
            return self._reduced(reduce, axis)
        if self.dtype.kind == "f":
            initial: Any = -np.inf if lowest else np.inf
        else:
            info = np.iinfo(self.dtype) if self.dtype.kind in "iu" else None
            initial = not lowest if info is None else info.min if lowest else info.max
        return self._reduced(reduce, axis, initial=np.array(initial, self.dtype))

    def var(self, axis: Any = None, dtype: Any = None, *, ddof: float = 0) -> Any:
        """``np.var``."""
        axes = normalise_axes(axis, self.ndim)
        if axes != tuple(range(self.ndim)):
            self.refuse("a variance along one axis of them")
        away = self - self.mean(dtype=dtype)
        freedom = cast(self.size, dtype=away.dtype) - ddof
        return (away * away).sum() / select(freedom > 0, freedom, np.zeros((), away.dtype))

    def std(self, axis: Any = None, dtype: Any = None, *, ddof: float = 0) -> Any:
        """``np.std``; at variance 0, where the root has no slope, the gradient is 0."""
        variance = self.var(axis, dtype, ddof=ddof)
        flat = variance == 0
        one, nothing = np.ones((), variance.dtype), np.zeros((), variance.dtype)
        return select(flat, nothing, sqrt(select(flat, one, variance)))

    def dot(self, other: Any) -> Any:
        """``np.dot`` of two selections of numbers by one mask."""
        product = self * other
        if product.ndim != 1:
            self.refuse("a product of matrices of them")
        return product.sum()

    def __matmul__(self, other: Any) -> Any:
        return self.dot(other)

    def into(self, target: Any) -> Any:
        """``target`` with these elements where the mask holds, for ``target[mask] = …``."""
        return select(self._condition(), self.whole, target)


def _count_nonzero(a: Any, axis: Any = None) -> Any:
    return a.astype(np.bool).sum(axis)


def selected_key(key: Any) -> Selection | None:
    """The selection that an index holds, None where it holds none."""
    entries = key if isinstance(key, tuple) else (key,)
    return next((entry for entry in entries if isinstance(entry, Selection)), None)


def mask_of_key(x: Any, key: Any) -> Any:
    """The mask that selects of ``x`` what ``key`` names: positions where a mask of its shape holds; else None."""
    entries = key if isinstance(key, tuple) else (key,)
    first = entries[0]
    if not isinstance(first, Selection) or len(entries) != len(shape_of(first.mask)):
        return None
    for k, entry in enumerate(entries):
        if not isinstance(entry, Selection) or entry.along != k or entry.mask.id != first.mask.id:
            return None
    return first.mask if shape_of(x)[: len(entries)] == shape_of(first.mask) else None


def select_at(x: Any, key: Any) -> Selection:
    """``x[key]`` where the key holds selections by one mask: what stands at each of the positions.

    Raises TraceError for a key in which they are not the first.
    """
    mask = mask_of_key(x, key)
    if mask is not None:
        return select_by(x, mask)
    entries = key if isinstance(key, tuple) else (key,)
    first = next(entry for entry in entries if isinstance(entry, Selection))
    if isinstance(entries[0], slice) or any(entry is None or entry is Ellipsis for entry in entries):
        first.refuse("an index in which they are not the first; w.T[at] and np.moveaxis(w, k, 0)[at] bring it to the front")
    plain = []
    for entry in entries:
        if isinstance(entry, Selection) and entry.mask.id != first.mask.id:
            first.refuse("whether as many are selected by another mask")
        plain.append(entry.positions() if isinstance(entry, Selection) else entry)
    return Selection(getitem(x, tuple(plain)), first.mask)


FUNCTIONS: Mapping[Any, Callable[..., Any]] = {
    np.sum: Selection.sum,
    np.prod: Selection.prod,
    np.mean: Selection.mean,
    np.any: Selection.any,
    np.all: Selection.all,
    np.max: Selection.max,
    np.amax: Selection.max,
    np.min: Selection.min,
    np.amin: Selection.min,
    np.var: Selection.var,
    np.std: Selection.std,
    np.clip: Selection.clip,
    np.dot: Selection.dot,
    np.inner: Selection.dot,
    np.vdot: Selection.dot,
    np.size: lambda a: a.size,
    np.ndim: lambda a: a.ndim,
    np.count_nonzero: _count_nonzero,
}
"""NumPy's functions that take selections, besides maps."""
