"""Constant factors of a product meet: one product with a constant is left where derivatives of squares and means make three."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracegrad.core.counted import both
from tracegrad.ops.maps import divide, multiply, negative, scale, scale_both
from tracegrad.rewrite.pattern import Application, Rule, Scope, example, family, number, passing, rule
from tracegrad.symbolic import Sym

PRODUCTS = frozenset({multiply, scale, scale_both, negative, divide})
"""Maps that a constant factor of an operand may join."""


def _is_factor(c: Any) -> bool:
    return bool(c.dtype.kind == "f" and np.isfinite(c) and c != 0)


def _is_product(c: Any, d: Any) -> bool:
    with np.errstate(all="ignore"):
        return abs(c * d) >= np.finfo(c.dtype).tiny and bool(np.isfinite(c * d))


def _by_factor(scope: Scope, ids: tuple[int, ...]) -> bool:
    value = scope.uniform(ids[1])
    return value is not None and all(_is_factor(v) for v in both(value))


def _together(first: Application, second: Application) -> Sym:
    (x, c), (y, d) = first.operands, second.operands
    result: Sym = multiply(scale(x, y), multiply(c, d))
    return result


RULES: tuple[Rule, ...] = (
    rule(
        "times-constant-and-inverse",
        "rearrange",
        lambda x: x * number("c", 2.0, _is_factor) * number("d", 0.5, _is_factor),
        lambda x: x,
        when=lambda c, d: bool(c * d == 1),
    ),
    rule(
        "times-two-constants",
        "rearrange",
        # a product that a sum reads as well is there anyway: its operand then need not be kept beside it
        lambda x: passing(x * number("c", 2.0, _is_factor)) * number("d", -100.0, _is_factor),
        lambda x, c, d: x * (c * d),
        when=_is_product,
    ),
    rule(
        "scale-of-multiples",
        "rearrange",
        lambda: scale(
            family("first", multiply, once=True, test=_by_factor), family("second", multiply, once=True, test=_by_factor)
        ),
        _together,
        examples=[example(lambda x, y: scale(x * 2.0, y * 3.0), (5,), (5,))],
    ),
)
