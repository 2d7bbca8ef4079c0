"""What is known is computed now: ops on constants are constants; maps of stretched values run on the small value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracegrad.core.aval import Shape, broadcast_shapes
from tracegrad.core.counted import Counted, counted, seen_of
from tracegrad.core.op import Kind
from tracegrad.ops.broadcasting import broadcast
from tracegrad.ops.maps import exp, multiply
from tracegrad.ops.reductions import reduce_all, reduce_any, reduce_max, reduce_min
from tracegrad.ops.views import permute
from tracegrad.rewrite.pattern import Application, Rule, Scope, example, family, rule
from tracegrad.rewrite.rules.facts import made_by, value_of
from tracegrad.symbolic import Sym

LARGEST = 1024
"""Most elements of a constant that folding makes: larger ones are cheaper to compute than to carry."""


def _foldable(node: Application) -> bool:
    if "whole" in node.params:  # a node of the boundary says of which dtype its value is outside, which a constant cannot
        return False
    # a stretched scalar stays one
    return node.op is not broadcast and max(node.aval.size, *(x.aval.size for x in node.operands)) <= LARGEST


def _fold(node: Application) -> Sym:
    values = [value_of(x) for x in node.operands]
    result = _computed(node, values)
    recorder = node.operands[0].recorder
    if any(isinstance(v, Counted) for v in values):
        seen = _computed(node, [seen_of(v) for v in values])
        if all(x.size and np.all(x == x.flat[0]) for x in (result, seen)):
            scalar = Sym(recorder, recorder.constant(counted(result.flat[0], seen.flat[0])))
            stretched: Sym = broadcast(scalar, shape=node.aval.shape) if result.ndim else scalar
            return stretched
    return Sym(recorder, recorder.constant(result))


def _computed(node: Application, values: Sequence[Any]) -> np.ndarray[Any, Any]:
    with np.errstate(all="ignore"):
        return np.asarray(node.op.eager(*values, **node.params), dtype=node.aval.dtype)


def _small(node: Application) -> tuple[list[Sym], Shape]:
    """The values that were stretched, and the shape they have together."""
    sources = [Sym(x.recorder, made_by(x).inputs[0]) for x in node.operands]
    return sources, broadcast_shapes(*(x.shape for x in sources))


def _gains(node: Application) -> bool:
    _, shape = _small(node)
    return math.prod(shape) < node.aval.size


def _on_small(node: Application) -> Sym:
    sources, shape = _small(node)
    operands = [x if tuple(x.shape) == shape else broadcast(x, shape=shape) for x in sources]
    result: Sym = broadcast(node.on(operands), shape=node.aval.shape)
    return result


def _one_value(scope: Scope, ids: tuple[int, ...]) -> bool:
    return scope.uniform(ids[0]) is not None


def _fixed(*values: Any) -> Any:
    return np.array(values)


RULES: tuple[Rule, ...] = (
    rule(
        "constant-operands",
        "exact",
        lambda: family("node", Kind.MAP, Kind.VIEW, Kind.REDUCE, Kind.CONTRACT, on=Kind.CONSTANT),
        _fold,
        when=_foldable,
        examples=[
            example(lambda x: x + exp(x.recorder.operand(_fixed(0.5, -0.0, np.inf))), (3,), dtypes=("float64",)),
            example(lambda x: x * permute(x.recorder.operand(np.arange(6.0).reshape(2, 3)), axes=(1, 0)), (3, 2)),
        ],
    ),
    rule(
        "map-of-stretched",
        "exact",
        lambda: family("node", Kind.MAP, on=broadcast),
        _on_small,
        when=_gains,
        examples=[
            example(lambda x: exp(broadcast(x, shape=(3, 4))), (4,)),
            example(lambda x, y: multiply(broadcast(x, shape=(3, 4)), broadcast(y, shape=(3, 4))), (4,), (1,)),
            example(lambda x, y: broadcast(x, shape=(2, 3, 4)) - broadcast(y, shape=(2, 3, 4)), (3, 1), (4,)),
        ],
    ),
    rule(
        "reduction-of-one-value",
        "exact",
        lambda: family("node", reduce_max, reduce_min, reduce_any, reduce_all, test=_one_value),
        lambda node: value_of(node.operands[0]),
        when=lambda node: node.operands[0].aval.size > 0,
        examples=[example(lambda x: x + reduce_max(broadcast(x.recorder.operand(2.0), shape=(3, 4)), axes=(0,)), (4,))],
    ),
)
