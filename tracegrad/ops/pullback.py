"""The one driver of derivative rules: static graphs and the eager tape both come here."""

from __future__ import annotations

import cmath
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tracegrad.core.op import FLAT, Op, Pointwise, Rule
from tracegrad.errors import DifferentiationError
from tracegrad.ops.maps import negative, scale


def carries_gradient(op: Op, position: int) -> bool:
    """Whether a derivative can flow into operand ``position``."""
    return op.partial(position) is not FLAT


def pull_back(op: Op, position: int, g: Any, out: Any, inputs: Sequence[Any], params: Mapping[str, Any]) -> Any:
    """The cotangent of operand ``position`` for the cotangent ``g`` of the output.

    The values may be arrays, Tensors or traced values: a rule is an ordinary expression. With broadcasting operands
    (eager mode) the result has the output's shape and the caller sums it to the operand's.

    Raises DifferentiationError where the op has no rule for this operand.
    """
    partial = op.partial(position)
    if not isinstance(partial, (Pointwise, Rule)):
        raise DifferentiationError(
            f"{op.name} has no derivative rule for operand {position}",
            fix="write this step with functions that have one, or pass its value in as an argument",
        )
    if isinstance(partial, Pointwise):
        factor = partial.factor(out, *inputs, **params)
        # another int is an operand that was a Python number
        if type(factor) is int and factor in (1, -1):
            return g if factor == 1 else negative(g)
        return scale(g, factor)
    return partial.pull(g, out, *inputs, **params)


def absorbing_product(g: Any, factor: Any) -> Any:
    """``scale`` of arrays for the walk of the eager record: the zeros of ``g`` matter only where the product is not finite.

    A product with NaN or infinity in it has no finite sum of squares, which costs a third of looking at each element;
    one that overflows in that sum alone takes the slow way to the same result. A zero may differ from ``scale``'s in sign.
    """
    if type(factor) is int and factor in (1, -1):
        return g if factor == 1 else np.negative(g)
    product = np.multiply(g, factor)
    flat = product.ravel()
    return product if cmath.isfinite(flat.dot(flat)) else scale.eager(g, factor)
