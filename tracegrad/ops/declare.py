"""What declarations of elementwise ops share: how they lower and what they are tested on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tracegrad.core.expr import Scalar, call
from tracegrad.core.op import Sample, Values


def named(function: str) -> Callable[..., Scalar]:
    """The lowering that calls one function of codegen's vocabulary."""
    return lambda *operands: call(function, *operands)


def one(low: float = -2.0, high: float = 2.0, *, smooth: bool = True, **more: Any) -> tuple[Sample, ...]:
    """Samples of a function of one variable on an interval."""
    shapes = ((3, 4), (), (0, 3))
    return tuple(Sample((Values(shape, low, high, **more),), smooth=smooth) for shape in shapes)


def two(
    low: float = -2.0,
    high: float = 2.0,
    second: tuple[float, float] | None = None,
    *,
    smooth: bool = True,
    **more: Any,
) -> tuple[Sample, ...]:
    """Samples of a function of two variables, with and without broadcasting; ``second`` is the other one's interval."""
    other = second or (low, high)
    shapes = (((3, 4), (3, 4)), ((3, 4), (4,)), ((3, 1), (3, 4)), ((0, 3), (1, 3)))
    return tuple(Sample((Values(a, low, high, **more), Values(b, *other, **more)), smooth=smooth) for a, b in shapes)
