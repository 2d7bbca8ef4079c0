"""What is in doubt while a kernel is written: values that may be NaN where a zero cotangent should have absorbed one.

The quick version of a kernel multiplies (:mod:`tracegrad.codegen.versions`). A product that is wrongly NaN makes NaN of all
that is computed from it by arithmetic, so it is enough to watch what is stored, the sums, and the operands of whatever else
would not give NaN: comparisons, conversions, powers. What a selection leaves out is of no account in either version.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tracegrad.core.expr import NAN_KEEPING_FUNCTIONS, Call, Scalar

__all__ = ["Doubt"]

ABSORBING = "absorbing_multiply"
LEAST = 3
"""Products that a second version of a kernel has to be worth."""


def functions(expression: Scalar) -> set[str]:
    """The functions in an expression."""
    if not isinstance(expression, Call):
        return set()
    return {expression.function}.union(*(functions(a) for a in expression.arguments))


class Doubt:
    """The names of a kernel that are in doubt.

    Parameters
    ----------
    name: makes a fresh name for a role.
    """

    def __init__(self, name: Callable[[str], str]) -> None:
        self.over = False
        """Whether nothing can be done again any more, so that all products are exact."""
        self.names: set[str] = set()
        self.watchers: dict[np.dtype[Any], str] = {}
        """What is NaN from the first value on that is not finite, by dtype."""
        self._name = name

    def seen(self, dtype: np.dtype[Any]) -> str:
        """The watcher of values of a dtype."""
        if dtype not in self.watchers:
            self.watchers[dtype] = self._name("seen")
        return self.watchers[dtype]

    def passed(self, operands: tuple[str, ...], name: str) -> None:
        """A value is NaN wherever an operand that counts is."""
        if not (self.over or self.names.isdisjoint(operands)):
            self.names.add(name)

    def computed(self, expression: Scalar, operands: tuple[str, ...], name: str, dtype: np.dtype[Any]) -> list[str]:
        """Note a value; returns the operands in doubt that it would hide."""
        if self.over:
            return []
        used = functions(expression)
        if ABSORBING in used and dtype.kind == "f":
            self.names.add(name)
        doubted = [operand for operand in operands if operand in self.names]
        if used <= NAN_KEEPING_FUNCTIONS and dtype.kind == "f":
            self.passed(operands, name)
            return []
        return doubted


def decided(lines: list[tuple[str, int | None]]) -> list[tuple[str, int | None]]:
    """The lines of a kernel, without those that watch if they are not worth it."""
    products = sum(f"{ABSORBING}(" in text for text, _ in lines)
    watched = sum("= watch(" in text for text, _ in lines)
    if products >= LEAST and products > watched:
        return lines
    kept: list[tuple[str, int | None]] = []
    for text, node in lines:
        if not text.lstrip().startswith(("seen", "confirm(")):
            kept.append((text, node))
        elif kept[-1][0].endswith(":") and kept[-1][0].lstrip().startswith("for e in"):
            kept.pop()  # a loop that does nothing but watch
    return kept
