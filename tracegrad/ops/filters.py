"""Linear filters with feedback, in the signatures of ``scipy.signal``.

The part without feedback is a convolution; the part with it one op, a recurrence with constant coefficients, whose transpose
is the same recurrence run from the end. An initial state is added to the first elements between the two, as the transposed
direct form II holds it, so that states are SciPy's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tracegrad.core.aval import Aval, normalise_axis, shape_of
from tracegrad.core.op import Kind, Linear, Mapped, Op, Rule, Sample, Values, common
from tracegrad.errors import ShapeError, TraceError
from tracegrad.ops.assembly import moveaxis
from tracegrad.ops.broadcasting import reduce_sum
from tracegrad.ops.complexes import imag, is_complex, join, real
from tracegrad.ops.conv import conv2d
from tracegrad.ops.indexing import getitem
from tracegrad.ops.maps import scale
from tracegrad.ops.pointwise import as_float
from tracegrad.ops.reductions import as_operand
from tracegrad.ops.reductions import sum as sum_of
from tracegrad.ops.scans import cumsum
from tracegrad.ops.views import broadcast_to, concatenate, embed, flip, reshape, reverse, stack, strided_slice

__all__ = ["filtfilt", "lfilter", "lfilter_zi", "sosfilt", "sosfilt_zi", "sosfiltfilt"]

# -- the recurrence ---------------------------------------------------------------------------------------------------


def _infer(c: Aval, x: Aval, *, axis: int) -> Aval:
    if c.ndim < 1 or c.shape[:-1] != x.shape[: c.ndim - 1] or c.ndim - 1 > axis:
        raise ShapeError(
            f"feedback of coefficients of shape {c.shape} along axis {axis} of values of shape {x.shape}",
            fix="give one vector of coefficients, or one for each place along the first axes of the values",
        )
    return x


def _eager(c: Any, x: Any, *, axis: int) -> Any:
    order, lead = c.shape[-1], c.ndim - 1
    out = np.moveaxis(x, axis, 0).copy()
    # each lag's coefficients beside the values of one moment
    lags = np.moveaxis(c, -1, 0).reshape((order, *c.shape[:-1], *(1,) * (out.ndim - 1 - lead)))
    for k in range(1, len(out)):
        for lag in range(min(k, order), 0, -1):
            out[k : k + 1] -= lags[lag - 1] * out[k - lag : k - lag + 1]
    return np.moveaxis(out, 0, axis)


def _later(x: Any, axis: int, by: int) -> Any:
    """Each element some places further along an axis, zeros first, the last ones dropped."""
    shape = shape_of(x)
    sizes = tuple(max(n - by, 0) if k == axis else n for k, n in enumerate(shape))
    kept = strided_slice(x, starts=(0,) * len(shape), sizes=sizes, steps=(1,) * len(shape))
    starts = tuple(min(by, shape[axis]) if k == axis else 0 for k in range(len(shape)))
    return embed(kept, shape=shape, starts=starts, steps=(1,) * len(shape))


def _pull_values(g: Any, out: Any, c: Any, x: Any, *, axis: int) -> Any:
    return reverse(feedback(c, reverse(g, axes=(axis,)), axis=axis), axes=(axis,))


def _pull_coefficients(g: Any, out: Any, c: Any, x: Any, *, axis: int) -> Any:
    reached = _pull_values(g, out, c, x, axis=axis)
    rest = tuple(range(len(shape_of(c)) - 1, len(shape_of(x))))
    sums = [reduce_sum(scale(reached, _later(out, axis, lag + 1)), axes=rest) for lag in range(shape_of(c)[-1])]
    return -stack(sums, -1)


def _each(size: int, mapped: tuple[bool, ...], c: Any, x: Any, *, axis: int) -> Any:
    if mapped[0] or len(shape_of(c)) > 1:
        c = c if mapped[0] else broadcast_to(c, (size, *shape_of(c)))
    x = x if mapped[1] else broadcast_to(x, (size, *shape_of(x)))
    return feedback(c, x, axis=axis + 1)


feedback: Op = Op(
    name="feedback",
    kind=Kind.LINE,
    infer=_infer,
    promote=common,
    eager=_eager,
    partials=(Rule(_pull_coefficients), Linear(_pull_values)),
    batch=Mapped(_each),
    lower="running_feedback",
    numpy=(),
    torch=("", ""),
    doc="y[n] = x[n] - c[0]·y[n - 1] - c[1]·y[n - 2] - … along an axis, from rest.",
    samples=(
        Sample((Values((2,), -0.6, 0.6), Values((7,))), {"axis": 0}),
        Sample((Values((3,), -0.4, 0.4), Values((2, 5, 3))), {"axis": 1}),
        Sample((Values((1,), -0.9, 0.9), Values((3, 4))), {"axis": 0}),
        Sample((Values((2, 10), -0.1, 0.1), Values((2, 3, 12))), {"axis": 2}),
        Sample((Values((4,), -0.3, 0.3), Values((2, 2))), {"axis": 1}),
        Sample((Values((2,), -0.6, 0.6), Values((3, 0))), {"axis": 1}),
        Sample((Values((3, 2)), Values((2, 5))), {"axis": 1}, error=ShapeError, match="one vector of coefficients"),
    ),
)

# -- filters ----------------------------------------------------------------------------------------------------------


def _coefficients(name: str, b: Any, a: Any) -> tuple[Any, Any]:
    b, a = as_float(as_operand(b)), as_float(as_operand(a))
    for letter, each in (("b", b), ("a", a)):
        if len(shape_of(each)) > 1:
            raise ShapeError(f"{name} takes vectors of coefficients, {letter} has shape {shape_of(each)}", fix="give vectors")
        if 0 in shape_of(each):
            raise ShapeError(f"{name} with no coefficients in {letter}", fix=f"give one element of {letter} or more")
    return reshape(b, (-1,)), reshape(a, (-1,))


def _convolved(lines: Any, kernel: Any, before: int, after: int) -> Any:
    """Lines convolved with a vector, with so many zeros before and after."""
    rows, size = shape_of(lines)
    taps = shape_of(kernel)[0]
    images, window = reshape(lines, (rows, 1, 1, size)), reshape(flip(kernel, 0), (1, 1, 1, taps))
    return reshape(conv2d(images, window, padding=((0, 0), (before, after))), (rows, size + before + after - taps + 1))


def _state(b: Any, a: Any, x: Any, out: Any, zi: Any) -> Any:
    """What a filter holds after its last element: each state is what the next results owe to the past."""
    rows, size = shape_of(x)
    order = shape_of(zi)[1]
    last = min(size, order)

    def owed(values: Any, c: Any) -> Any:
        taps = shape_of(c)[0]
        if taps == 1:
            return np.zeros((rows, order), x.dtype)
        full = _convolved(getitem(values, (slice(None), slice(size - last, size))), c, taps - 1, order)
        return getitem(full, (slice(None), slice(last, last + order)))

    # a[0] meets no result of the past, and 0 in its place leaves what has not been computed out
    silent = concatenate([np.zeros(1, a.dtype), getitem(a, slice(1, None))])
    made = owed(x, b) - owed(out, silent)
    if order <= size:
        return made
    return made + concatenate([getitem(zi, (slice(None), slice(size, None))), np.zeros((rows, size), x.dtype)], 1)


def _filtered(b: Any, a: Any, x: Any, zi: Any) -> tuple[Any, Any]:
    """Lines filtered, and their states if they began with some."""
    rows, size = shape_of(x)
    lead = getitem(a, 0)
    b, a = b / lead, a / lead
    driven = _convolved(x, b, shape_of(b)[0] - 1, 0)
    if zi is not None:
        held = min(size, shape_of(zi)[1])
        first = getitem(zi, (slice(None), slice(0, held)))
        driven = driven + embed(first, shape=(rows, size), starts=(0, 0), steps=(1, 1))
    out = feedback(getitem(a, slice(1, None)), driven, axis=1) if shape_of(a)[0] > 1 else driven
    return out, None if zi is None else _state(b, a, x, out, zi)


def _held(zi: Any, order: int, moved: tuple[int, ...], axis: int, rank: int, name: str) -> Any:
    """The initial states as lines; SciPy repeats them along axes where they have size 1."""
    zi = as_float(as_operand(zi))
    wanted = (*moved[:-1], order)
    given = shape_of(zi)
    if len(given) == rank:
        last = moveaxis(zi, axis, -1)
        if shape_of(last)[-1] == order and all(n in (1, m) for n, m in zip(shape_of(last), wanted, strict=True)):
            return reshape(broadcast_to(last, wanted), (math.prod(wanted[:-1]), order))
    raise ShapeError(
        f"{name} with zi of shape {given}",
        fix=f"give it the shape of x with {order} along the axis that is filtered, the coefficients less one",
    )


def lfilter(b: Any, a: Any, x: Any, axis: int = -1, zi: Any = None) -> Any:
    """``scipy.signal.lfilter``: a rational transfer function, applied along an axis.

    Parameters
    ----------
    b, a: vectors of coefficients, of what goes in and of what came out.
    x: what is filtered.
    axis: of ``x``.
    zi: the state at the start: ``x``'s shape with ``max(len(a), len(b)) - 1`` along the axis.

    Returns the result, with ``zi`` a pair of it and the state at the end.

    >>> lfilter(np.array([1.0]), np.array([1.0, -0.5]), np.array([1.0, 0.0, 0.0]))
    array([1.  , 0.5 , 0.25])
    """
    b, a = _coefficients("lfilter", b, a)
    x = as_float(as_operand(x))
    if not shape_of(x):
        raise ShapeError("lfilter of a single number", fix="give x at least one axis")
    axis = normalise_axis(axis, len(shape_of(x)))
    if is_complex(x) and not is_complex(b) and not is_complex(a) and zi is None:
        return join(lfilter(b, a, real(x), axis), lfilter(b, a, imag(x), axis))
    moved = moveaxis(x, axis, -1)
    shape, order = shape_of(moved), max(shape_of(b)[0], shape_of(a)[0]) - 1
    state = None if zi is None else _held(zi, order, shape, axis, len(shape), "lfilter")
    if 0 in shape:
        return x if zi is None else (x, zi)
    out, after = _filtered(b, a, reshape(moved, (-1, shape[-1])), state)
    out = moveaxis(reshape(out, shape), -1, axis)
    return out if zi is None else (out, moveaxis(reshape(after, (*shape[:-1], order)), -1, axis))


def lfilter_zi(b: Any, a: Any) -> Any:
    """``scipy.signal.lfilter_zi``: the state of a filter whose response to a step is a step.

    >>> lfilter_zi(np.array([0.5, 0.5]), np.array([1.0, -0.5])).round(3)
    array([1.5])
    """
    b, a = _coefficients("lfilter_zi", b, a)
    count = max(shape_of(b)[0], shape_of(a)[0])
    lead = getitem(a, 0)
    b, a = (embed(each / lead, shape=(count,), starts=(0,), steps=(1,)) for each in (b, a))
    rest = getitem(b, slice(1, None)) - getitem(a, slice(1, None)) * getitem(b, 0)
    if count == 1:
        return rest
    owed = concatenate([np.zeros(1, rest.dtype), getitem(cumsum(rest), slice(0, -1))])
    return sum_of(rest) / sum_of(a) * getitem(cumsum(a), slice(0, -1)) - owed


def _sections(name: str, sos: Any) -> tuple[Any, int]:
    sos = as_float(as_operand(sos))
    if len(shape_of(sos)) != 2 or shape_of(sos)[1] != 6:
        raise ShapeError(f"{name} with sos of shape {shape_of(sos)}", fix="give an array of shape (sections, 6)")
    return sos, shape_of(sos)[0]


def sosfilt(sos: Any, x: Any, axis: int = -1, zi: Any = None) -> Any:
    """``scipy.signal.sosfilt``: filters of second order, one after the other.

    Parameters
    ----------
    sos: of shape (sections, 6), three coefficients of what goes in and three of what came out for each, the fourth of 1.
    x, axis: what is filtered, along which axis.
    zi: the states, ``x``'s shape with 2 along the axis, with a first axis of the sections; with them a pair is the result.

    >>> sosfilt(np.array([[1.0, 0.0, 0.0, 1.0, -0.5, 0.0]]), np.array([1.0, 0.0, 0.0]))
    array([1.  , 0.5 , 0.25])
    """
    sos, count = _sections("sosfilt", sos)
    states = []
    for k in range(count):
        b, a = getitem(sos, (k, slice(0, 3))), getitem(sos, (k, slice(3, 6)))
        if zi is None:
            x = lfilter(b, a, x, axis)
        else:
            x, after = lfilter(b, a, x, axis, getitem(as_operand(zi), k))
            states.append(after)
    return x if zi is None else (x, stack(states))


def sosfilt_zi(sos: Any) -> Any:
    """``scipy.signal.sosfilt_zi``: the states of sections whose response to a step is a step.

    >>> sosfilt_zi(np.array([[0.5, 0.5, 0.0, 1.0, -0.5, 0.0]])).round(3)
    array([[1.5, 0. ]])
    """
    sos, count = _sections("sosfilt_zi", sos)
    height: Any = 1.0
    states = []
    for k in range(count):
        b, a = getitem(sos, (k, slice(0, 3))), getitem(sos, (k, slice(3, 6)))
        states.append(lfilter_zi(b, a) * height)
        height = height * (sum_of(b) / sum_of(a))
    return stack(states)


# -- forwards and backwards -------------------------------------------------------------------------------------------


def _extended(x: Any, padtype: str | None, padlen: int) -> Any:
    """Lines with what stands for the signal before and after them."""
    if padtype is None or padlen == 0:
        return x
    size = shape_of(x)[1]
    if padtype not in ("odd", "even", "constant"):
        raise ShapeError(f"padtype={padtype!r} is no way to extend", fix='use "odd", "even", "constant" or None')
    if size <= padlen:
        raise ShapeError(
            f"{size} elements along the axis are not more than padlen={padlen}", fix="give a longer x, or a smaller padlen="
        )
    ends = (getitem(x, (slice(None), slice(0, 1))), getitem(x, (slice(None), slice(size - 1, size))))
    if padtype == "constant":
        sides = [broadcast_to(end, (shape_of(x)[0], padlen)) for end in ends]
    else:
        cuts = (slice(1, padlen + 1), slice(size - 1 - padlen, size - 1))
        sides = [flip(getitem(x, (slice(None), cut)), 1) for cut in cuts]
        if padtype == "odd":
            sides = [2.0 * end - side for end, side in zip(ends, sides, strict=True)]
    return concatenate([sides[0], x, sides[1]], 1)


def _twice(x: Any, axis: int, padtype: str | None, padlen: int, run: Callable[[Any, Any], Any]) -> Any:
    """A signal filtered forwards and backwards: ``run(lines, first)`` starts at the steady state of a step to ``first``."""
    x = as_float(as_operand(x))
    axis = normalise_axis(axis, len(shape_of(x)))
    moved = moveaxis(x, axis, -1)
    shape = shape_of(moved)
    lines = _extended(reshape(moved, (-1, shape[-1])), padtype, padlen)
    for _ in range(2):
        lines = flip(run(lines, getitem(lines, (slice(None), slice(0, 1)))), 1)
    skipped = 0 if padtype is None else padlen
    lines = getitem(lines, (slice(None), slice(skipped, skipped + shape[-1])))
    return moveaxis(reshape(lines, shape), -1, axis)


def filtfilt(
    b: Any,
    a: Any,
    x: Any,
    axis: int = -1,
    padtype: str | None = "odd",
    padlen: int | None = None,
    method: str = "pad",
    irlen: int | None = None,
) -> Any:
    """``scipy.signal.filtfilt`` with ``method="pad"``: a filter forwards and backwards, without a shift of phase.

    >>> filtfilt(np.array([0.5, 0.5]), np.array([1.0]), np.arange(9.0))[3:6].round(6)
    array([3., 4., 5.])
    """
    if method != "pad":
        raise TraceError(f"filtfilt with method={method!r} is not traced", fix='use method="pad"')
    b, a = _coefficients("filtfilt", b, a)
    padlen = 3 * max(shape_of(b)[0], shape_of(a)[0]) if padlen is None else padlen
    state = lfilter_zi(b, a)

    def run(lines: Any, first: Any) -> Any:
        return lfilter(b, a, lines, 1, state * first)[0] if shape_of(state)[0] else lfilter(b, a, lines, 1)

    return _twice(x, axis, padtype, padlen, run)


def sosfiltfilt(sos: Any, x: Any, axis: int = -1, padtype: str | None = "odd", padlen: int | None = None) -> Any:
    """``scipy.signal.sosfiltfilt``: filters of second order forwards and backwards.

    Raises TraceError where the coefficients are traced and ``padlen`` is left out, as it depends on which of them are 0.

    >>> sosfiltfilt(np.array([[0.5, 0.5, 0.0, 1.0, 0.0, 0.0]]), np.arange(9.0))[3:6].round(6)
    array([3., 4., 5.])
    """
    sos, count = _sections("sosfiltfilt", sos)
    if padlen is None:
        if not isinstance(sos, np.ndarray):
            raise TraceError(
                "sosfiltfilt of traced sections needs padlen", fix="give padlen=, for example 3 * (2 * sections + 1)"
            )
        padlen = 3 * (2 * count + 1 - int(min(np.sum(sos[:, 2] == 0), np.sum(sos[:, 5] == 0))))
    states = sosfilt_zi(sos)
    return _twice(
        x, axis, padtype, padlen, lambda lines, first: sosfilt(sos, lines, 1, reshape(states, (count, 1, 2)) * first)[0]
    )
