"""Functions composed of several ops that stand on the tape as one node, under PyTorch's name for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def recorded_as(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Record all that a function does as one node of this name."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        return function

    return decorate
