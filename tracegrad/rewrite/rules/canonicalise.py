"""One spelling for what can be written in several ways: constants to the right, composed views as one view."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracegrad.core.aval import Shape
from tracegrad.core.graph import Constant
from tracegrad.ops.broadcasting import broadcast, reshape_to
from tracegrad.ops.comparisons import bitwise_and, bitwise_or, bitwise_xor, equal, logical_and, logical_or, not_equal
from tracegrad.ops.maps import add, cast, multiply, negative
from tracegrad.ops.sources import constant
from tracegrad.ops.views import (
    collect_windows,
    flip,
    join,
    permute,
    reshape,
    reverse,
    strided_slice,
    transpose,
    windows,
)
from tracegrad.rewrite.pattern import Application, Rule, Scope, applied, example, family, number, parameter, rule
from tracegrad.rewrite.rules.facts import constant_like, is_constant, value_of
from tracegrad.symbolic import Sym

F32, F64 = np.dtype(np.float32), np.dtype(np.float64)
MOVING = (permute, reverse, strided_slice, reshape_to, windows, collect_windows)
"""Views of one operand that put nothing of their own into the result."""
COMMUTATIVE = (add, multiply, equal, not_equal, logical_and, logical_or, bitwise_and, bitwise_or, bitwise_xor)
"""Not maximum and minimum: which zero they answer depends on the order."""


def _constant_first(scope: Scope, ids: tuple[int, ...]) -> bool:
    return scope.known(ids[0]) and not scope.known(ids[1])


def _out_of_order(scope: Scope, ids: tuple[int, ...]) -> bool:
    return ids[0] > ids[1] and not scope.known(ids[1])


def _swapped(pair: Application) -> Sym:
    return pair.on(pair.operands[::-1])


ARITHMETIC: tuple[Rule, ...] = (
    rule(
        "constant-to-the-right",
        "exact",
        lambda: family("pair", *COMMUTATIVE, test=_constant_first),
        _swapped,
        examples=[
            example(lambda x: 2.0 + x, (200,), dtypes=("float64",)),
            example(lambda x: multiply(np.arange(3.0), x), (3,), dtypes=("float64",)),
        ],
    ),
    rule(
        "operands-in-order",
        "exact",
        lambda: family("pair", *COMMUTATIVE, test=_out_of_order),
        _swapped,
        examples=[example(lambda x, y: y * x, (200,), (200,)), example(lambda x, y: y + x, (200,), (200,))],
    ),
    rule(
        "subtract-constant",
        "exact",
        lambda x: x - number("c", 1.5, lambda c: c.dtype.kind in "fi"),
        lambda x, c: x + np.negative(c),
    ),
    rule("negative-of-negative", "exact", lambda x: negative(negative(x)), lambda x: x),
    rule("add-negative", "exact", lambda x, y: x + (-y), lambda x, y: x - y),
    rule("negative-add", "exact", lambda x, y: (-x) + y, lambda x, y: y - x, when=lambda x, y: not is_constant(y)),
    rule("subtract-negative", "exact", lambda x, y: x - (-y), lambda x, y: x + y),
    rule("times-minus-one", "exact", lambda x: x * -1, lambda x: -x),
    rule(
        "negative-times-constant",
        "exact",
        lambda x: (-x) * number("c", 1.5, lambda c: c.dtype.kind in "fi"),
        lambda x, c: x * np.negative(c),
    ),
    rule(
        "negative-of-times-constant",
        "exact",
        lambda x: -(x * number("c", 1.5, lambda c: c.dtype.kind in "fi")),
        lambda x, c: x * np.negative(c),
    ),
    rule("negative-divide", "exact", lambda x, y: (-x) / y, lambda x, y: -(x / y)),
    rule("divide-negative", "exact", lambda x, y: x / (-y), lambda x, y: -(x / y)),
    rule("negative-times", "exact", lambda x, y: (-x) * y, lambda x, y: -(x * y)),
    rule("times-negative", "exact", lambda x, y: x * (-y), lambda x, y: -(x * y)),
)


# -- constants and casts ----------------------------------------------------------------------------------------------


def _one_value(value: Constant) -> bool:
    array = value.value
    if array.ndim == 0 or array.size == 0:
        return False
    first = array.flat[0].tobytes()
    return bool(array.flat[-1].tobytes() == first and array.tobytes() == first * array.size)


def _lossless(source: np.dtype[Any], middle: np.dtype[Any]) -> bool:
    """Whether every value of one dtype exists in another."""
    if source.kind == "b" or source == middle:
        return True
    if middle.kind == "f":
        bits = np.finfo(middle).nmant + 1
        return source.itemsize <= (middle.itemsize if source.kind == "f" else bits // 8)
    return source.kind in "iu" and middle.kind in "iu" and np.can_cast(source, middle, "safe")


def _through(x: Sym, middle: np.dtype[Any], dtype: np.dtype[Any]) -> bool:
    # a float that does not fit an integer has no agreed value
    return _lossless(x.dtype, middle) and (dtype.kind in "fb" or x.dtype.kind != "f")


CONSTANTS: tuple[Rule, ...] = (
    rule(
        "constant-of-one-value",
        "exact",
        lambda: applied(constant, value=parameter("value")),
        lambda value: value.value.flat[0],
        when=_one_value,
        examples=[example(lambda x: x + np.full(3, -0.0), (3,), dtypes=("float64",))],
    ),
    rule(
        "view-of-one-value",
        "exact",
        lambda: family("view", *MOVING, test=lambda scope, ids: scope.uniform(ids[0]) is not None),
        lambda view: value_of(view.operands[0]),
        examples=[example(lambda x: multiply(x, permute(constant_like(x, 2.5, (3, 4)), axes=(1, 0))), (4, 3))],
    ),
    rule(
        "cast-to-same",
        "exact",
        lambda x: cast(x, dtype=parameter("dtype")),
        lambda x: x,
        when=lambda x, dtype: x.dtype == dtype,
        examples=[example(lambda x: cast(x, dtype=x.dtype), (200,))],
    ),
    rule(
        "cast-through-wider",
        "exact",
        lambda x: cast(cast(x, dtype=parameter("middle")), dtype=parameter("dtype")),
        lambda x, dtype: cast(x, dtype=dtype),
        when=_through,
        examples=[
            example(lambda x: cast(cast(x, dtype=F64), dtype=F32), (200,), dtypes=("float32",)),
            example(lambda x: cast(cast(x, dtype=F64), dtype=np.dtype(np.int64)), (9,), dtypes=("int32",)),
            example(lambda x: cast(cast(x, dtype=np.dtype(np.int8)), dtype=F32), (9,), dtypes=("bool",)),
        ],
    ),
)

# -- views of views ---------------------------------------------------------------------------------------------------


def _only_ones_move(x: Sym, axes: Shape) -> bool:
    moving = [a for a in axes if x.shape[a] != 1]
    return moving == sorted(moving)


def _whole(x: Sym, starts: Shape, sizes: Shape, steps: Shape) -> bool:
    return tuple(x.shape) == sizes


def _slice_of_slice(x: Sym, starts: Shape, steps: Shape, starts2: Shape, sizes: Shape, steps2: Shape) -> Sym:
    begin = tuple(a + b * s for a, b, s in zip(starts, starts2, steps, strict=True))
    stride = tuple(s * t for s, t in zip(steps, steps2, strict=True))
    result: Sym = strided_slice(x, starts=begin, sizes=sizes, steps=stride)
    return result


def _flip_of_flip(x: Sym, inner: Shape, outer: Shape) -> Sym:
    result: Sym = flip(x, tuple(sorted(set(inner) ^ set(outer))))
    return result


VIEWS: tuple[Rule, ...] = (
    rule(
        "reshape-to-same",
        "exact",
        lambda x: reshape_to(x, shape=parameter("shape")),
        lambda x: x,
        when=lambda x, shape: tuple(x.shape) == shape,
        examples=[example(lambda x: reshape_to(x, shape=(3, 4)), (3, 4))],
    ),
    rule(
        "reshape-of-reshape",
        "exact",
        lambda x: reshape_to(reshape_to(x, shape=parameter("inner")), shape=parameter("shape")),
        lambda x, shape: reshape_to(x, shape=shape),
        examples=[example(lambda x: reshape_to(reshape_to(x, shape=(4, 3)), shape=(2, 6)), (3, 4))],
    ),
    rule(
        "broadcast-to-same",
        "exact",
        lambda x: broadcast(x, shape=parameter("shape")),
        lambda x: x,
        when=lambda x, shape: tuple(x.shape) == shape,
        examples=[example(lambda x: broadcast(x, shape=(3, 4)), (3, 4))],
    ),
    rule(
        "broadcast-of-broadcast",
        "exact",
        lambda x: broadcast(broadcast(x, shape=parameter("inner")), shape=parameter("shape")),
        lambda x, shape: broadcast(x, shape=shape),
        examples=[example(lambda x: broadcast(broadcast(x, shape=(3, 1, 4)), shape=(3, 2, 4)), (4,))],
    ),
    rule(
        "broadcast-adds-axes",
        "exact",
        lambda x: broadcast(reshape_to(x, shape=parameter("inner")), shape=parameter("shape")),
        lambda x, shape: broadcast(x, shape=shape),
        when=lambda x, inner: inner == (1,) * (len(inner) - len(x.shape)) + tuple(x.shape),
        examples=[example(lambda x: broadcast(reshape_to(x, shape=(1, 4)), shape=(3, 4)), (4,))],
    ),
    rule(
        "transpose-of-transpose",
        "exact",
        lambda x: permute(permute(x, axes=parameter("inner")), axes=parameter("outer")),
        lambda x, inner, outer: transpose(x, tuple(inner[a] for a in outer)),
        examples=[example(lambda x: permute(permute(x, axes=(1, 2, 0)), axes=(0, 2, 1)), (2, 3, 4))],
    ),
    rule(
        "transpose-of-ones",
        "exact",
        lambda x: permute(x, axes=parameter("axes")),
        lambda x, axes: reshape(x, tuple(x.shape[a] for a in axes)),
        when=_only_ones_move,
        examples=[
            example(lambda x: permute(x, axes=(1, 0, 2)), (1, 3, 4)),
            example(lambda x: permute(x, axes=(0, 1)), (3, 4)),
        ],
    ),
    rule(
        "flip-of-flip",
        "exact",
        lambda x: reverse(reverse(x, axes=parameter("inner")), axes=parameter("outer")),
        _flip_of_flip,
        examples=[example(lambda x: reverse(reverse(x, axes=(0, 1)), axes=(1, 2)), (2, 3, 4))],
    ),
    rule(
        "slice-of-all",
        "exact",
        lambda x: strided_slice(x, starts=parameter("starts"), sizes=parameter("sizes"), steps=parameter("steps")),
        lambda x: x,
        when=_whole,
        examples=[example(lambda x: strided_slice(x, starts=(0, 0), sizes=(3, 4), steps=(1, 1)), (3, 4))],
    ),
    rule(
        "slice-of-slice",
        "exact",
        lambda x: strided_slice(
            strided_slice(x, starts=parameter("starts"), sizes=parameter("inner"), steps=parameter("steps")),
            starts=parameter("starts2"),
            sizes=parameter("sizes"),
            steps=parameter("steps2"),
        ),
        _slice_of_slice,
        examples=[
            example(
                lambda x: strided_slice(
                    strided_slice(x, starts=(1,), sizes=(6,), steps=(3,)), starts=(1,), sizes=(2,), steps=(2,)
                ),
                (20,),
            )
        ],
    ),
    rule(
        "concatenate-of-one",
        "exact",
        lambda x: join(x, axis=parameter("axis")),
        lambda x: x,
        examples=[example(lambda x: join(x, axis=0), (3, 4))],
    ),
)

RULES = ARITHMETIC + CONSTANTS + VIEWS
