"""Rules that are equal up to rounding where both sides are finite, and right where the left side is not."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracegrad.core.aval import Shape
from tracegrad.ops.broadcasting import broadcast, reduce_sum, reshape_to
from tracegrad.ops.maps import absolute, exp, expm1, hypot, log, log1p, minimum, power, scale, sigmoid, sqrt
from tracegrad.ops.views import permute, reverse
from tracegrad.rewrite.pattern import Rule, example, number, parameter, rule
from tracegrad.rewrite.rules.algebra import repeats, unrepeated
from tracegrad.rewrite.rules.facts import made_by
from tracegrad.symbolic import Sym


def _float(x: Sym) -> bool:
    return bool(x.dtype.kind == "f")


def _log_sigmoid(x: Sym) -> Sym:
    result: Sym = minimum(x, 0.0) - log1p(exp(-absolute(x)))
    return result


def _sum_of_exponentials(s: Sym) -> bool:
    """Whether a value is seen to be positive."""
    graph = s.recorder.graph
    node = graph[s.id]
    while node.op in (broadcast, reshape_to, reduce_sum, permute):
        node = graph[node.inputs[0]]
    return node.op is exp


LOGARITHMS: tuple[Rule, ...] = (
    rule("log-of-one-plus", "stabilise", lambda x: log(x + 1), lambda x: log1p(x)),
    rule("exp-minus-one", "stabilise", lambda x: exp(x) + -1, lambda x: expm1(x)),
    rule("log-of-exp", "stabilise", lambda x: log(exp(x)), lambda x: x),
    rule("log1p-of-expm1", "stabilise", lambda x: log1p(expm1(x)), lambda x: x),
    # log-softmax: eˣ may underflow where x - log s is an ordinary number
    rule(
        "log-of-exp-ratio",
        "stabilise",
        lambda x, s: log(exp(x) / s),
        lambda x, s: x - log(s),
        when=lambda x, s: _sum_of_exponentials(s),
        examples=[
            example(
                lambda x: log(exp(x) / broadcast(reshape_to(reduce_sum(exp(x), axes=(1,)), shape=(3, 1)), shape=(3, 4))),
                (3, 4),
            ),
        ],
    ),
    rule("log-of-sigmoid", "stabilise", lambda x: log(sigmoid(x)), _log_sigmoid),
    rule("log-of-one-minus-sigmoid", "stabilise", lambda x: log(1 - sigmoid(x)), lambda x: _log_sigmoid(-x)),
    # e⁻ˣ of an x that is seen not to be negative cannot overflow, and is often there anyway
    rule(
        "sigmoid-written-out",
        "stabilise",
        lambda x: 1 / (exp(-x) + 1),
        lambda x: sigmoid(x),
        when=lambda x: made_by(x).op is not absolute,
    ),
)

POWERS: tuple[Rule, ...] = (
    rule("power-two", "stabilise", lambda x: power(x, 2), lambda x: x * x),
    # |z|² without the root that is squared again, and without its care for what the square cannot hold
    rule("hypotenuse-squared", "stabilise", lambda x, y: hypot(x, y) * hypot(x, y), lambda x, y: x * x + y * y),
    rule("power-three", "stabilise", lambda x: power(x, 3), lambda x: x * x * x),
    rule("power-four", "stabilise", lambda x: power(x, 4), lambda x: (x * x) * (x * x)),
    rule("power-minus-one", "stabilise", lambda x: power(x, -1), lambda x: 1 / x, when=_float),
    # the reciprocal first: x² would leave the range of floats where x⁻² does not
    rule("power-minus-two", "stabilise", lambda x: power(x, -2), lambda x: (1 / x) * (1 / x), when=_float),
    # below 0 and at -∞ a root is complex, so NaN; x + 0.0 makes +0.0 of -0.0, whose reciprocal would be -∞
    rule("power-half", "stabilise", lambda x: power(x, 0.5), lambda x: sqrt(x)),
    rule("power-minus-half", "stabilise", lambda x: power(x, -0.5), lambda x: 1 / sqrt(x + 0.0)),
    rule("power-three-halves", "stabilise", lambda x: power(x, 1.5), lambda x: x * sqrt(x)),
)


def _negative(c: Any) -> bool:
    return bool(np.isfinite(c) and c < 0)


def _sum_small(x: Sym, shape: Shape, axes: Shape) -> Sym:
    small, rest, count = unrepeated(x, shape, axes)
    total = reduce_sum(small, axes=rest) if rest else small
    result: Sym = total * np.asarray(count).astype(x.dtype)[()]
    return result


SUMS: tuple[Rule, ...] = (
    rule(
        "scale-by-negative-constant",
        "stabilise",
        lambda g: scale(g, number("c", -2.5, _negative)),
        lambda g, c: g * c,
    ),
    rule("scale-by-negative", "stabilise", lambda g, p: scale(g, -p), lambda g, p: -scale(g, p)),
    rule("sum-of-no-axes", "stabilise", lambda x: reduce_sum(x, axes=()), lambda x: x),
    rule(
        "sum-of-stretched",
        "stabilise",
        lambda x: reduce_sum(broadcast(x, shape=parameter("shape")), axes=parameter("axes")),
        _sum_small,
        when=repeats,
        examples=[
            example(lambda x: reduce_sum(broadcast(x, shape=(3, 4)), axes=(0,)), (4,)),
            example(lambda x: reduce_sum(broadcast(x, shape=(2, 3, 4)), axes=(0, 1)), (3, 1)),
            example(lambda x: reduce_sum(broadcast(x, shape=(2, 3, 4)), axes=(1, 2)), (3, 1), dtypes=("int32",)),
        ],
    ),
)


VIEWS: tuple[Rule, ...] = (
    rule(
        "sum-of-transposed",
        "stabilise",
        lambda x: reduce_sum(permute(x, axes=parameter("order")), axes=parameter("axes")),
        lambda x: reduce_sum(x, axes=tuple(range(len(x.shape)))),
        when=lambda order, axes: len(order) == len(axes),
        examples=[example(lambda x: reduce_sum(permute(x, axes=(1, 0)), axes=(0, 1)), (3, 4))],
    ),
    rule(
        "sum-of-reshaped",
        "stabilise",
        lambda x: reduce_sum(reshape_to(x, shape=parameter("shape")), axes=parameter("axes")),
        lambda x: reduce_sum(x, axes=tuple(range(len(x.shape)))),
        when=lambda shape, axes: len(shape) == len(axes),
        examples=[example(lambda x: reduce_sum(reshape_to(x, shape=(12,)), axes=(0,)), (3, 4))],
    ),
    rule(
        "sum-of-flipped",
        "stabilise",
        lambda x: reduce_sum(reverse(x, axes=parameter("flipped")), axes=parameter("axes")),
        lambda x, axes: reduce_sum(x, axes=axes),
        when=lambda flipped, axes: set(flipped) <= set(axes),
        examples=[example(lambda x: reduce_sum(reverse(x, axes=(1,)), axes=(1,)), (3, 4))],
    ),
)

RULES = LOGARITHMS + POWERS + SUMS + VIEWS
