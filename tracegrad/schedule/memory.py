"""Memory planning: when each stored value lives, and where in one arena."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ALIGN = 64
"""Bytes of a cache line and of the widest vector."""


@dataclass(frozen=True, slots=True)
class Lifetime:
    """A block of memory needed from launch ``first`` to launch ``last``, both included."""

    key: object
    nbytes: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Placement:
    """Byte offsets in the arena by key, the arena's size, and the largest sum of blocks alive at once."""

    offsets: dict[object, int]
    nbytes: int
    live_bytes: int


def plan_memory(lifetimes: Sequence[Lifetime]) -> Placement:
    """Place blocks so that those alive at the same launch do not overlap.

    Greedy by size, largest first, each at the lowest free offset: the planner of TensorFlow Lite, "Efficient Memory
    Management for Deep Neural Net Inference" (Pisarchyk and Lee 2020).
    """
    placed: list[tuple[int, int, Lifetime]] = []
    offsets: dict[object, int] = {}
    total = 0
    for block in sorted(lifetimes, key=lambda b: (-b.nbytes, b.first)):
        size = -(-max(block.nbytes, 1) // ALIGN) * ALIGN
        start = 0
        for low, high, other in sorted(placed, key=lambda p: p[0]):
            if other.first <= block.last and block.first <= other.last:
                if start + size <= low:
                    break
                start = max(start, high)
        placed.append((start, start + size, block))
        offsets[block.key] = start
        total = max(total, start + size)
    steps = range(1 + max((b.last for b in lifetimes), default=0))
    live = max((sum(b.nbytes for b in lifetimes if b.first <= t <= b.last) for t in steps), default=0)
    return Placement(offsets, total, live)
