"""Memory planning: when each stored value lives, and where in one arena.

No value takes the place of one that dies in the kernel that computes it. Fusion leaves few such pairs, and most bytes are
alive at contractions, which read other elements than they write: sharing places wherever sizes allow it lowered the arena of
one of the 18 programs of ``benchmarks.peers`` by 2 %, of the stencil by half (whose kernels read neighbours, so that they may
not share), and of no other one, nor of networks of six layers. In return a kernel's loads and stores need not fear overlap.
"""

from __future__ import annotations

import random
from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import accumulate

ALIGN = 64
"""Bytes of a cache line and of the widest vector."""

CLOSE = 1.02
"""An arena at most so many times the largest live set is not improved further."""
ROUNDS = 300
"""Attempts to improve a loose placement; most programs need none."""
LOOSE = 1.1
"""An arena of more times the largest live set is improved at any cost."""
WORK = 1_000_000
"""Pairs of blocks to look at in all attempts together, a tenth of a second."""


@dataclass(frozen=True, slots=True)
class Lifetime:
    """A block of memory needed from launch ``first`` to launch ``last``, both included."""

    key: object
    nbytes: int
    first: int
    last: int

    @property
    def taken(self) -> int:
        """The bytes it takes in the arena, where blocks begin at multiples of ``ALIGN``."""
        return -(-max(self.nbytes, 1) // ALIGN) * ALIGN

    def meets(self, other: Lifetime) -> bool:
        """Whether both are needed at some launch."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True, slots=True)
class Placement:
    """Byte offsets in the arena by key, the arena's size, and the largest sum of aligned blocks alive at once."""

    offsets: dict[object, int]
    nbytes: int
    live_bytes: int


def plan_memory(lifetimes: Sequence[Lifetime]) -> Placement:
    """Place blocks so that those alive at the same launch do not overlap.

    Greedy, each block at the lowest free offset: by time, which takes a time linear in the blocks and is close for most
    programs; else in several orders: largest first as in TensorFlow Lite ("Efficient Memory Management for Deep Neural Net
    Inference", Pisarchyk and Lee 2020), by the memory a block holds over time. A placement that is still looser than
    ``CLOSE`` is improved by placing blocks elsewhere in the order.
    """
    live = max(live_bytes(lifetimes), default=0)
    offsets, total = _placed_by_time(lifetimes)
    pairs = len(lifetimes) ** 2 // 2
    if total <= live * CLOSE or (pairs > WORK and total <= live * LOOSE):
        return Placement(offsets, total, live)
    orders = (
        lambda b: (-b.taken, b.first),
        lambda b: (b.first - b.last, -b.taken),
        lambda b: (b.taken * (b.first - b.last - 1), b.first),
        lambda b: (b.first, -b.taken),
        lambda b: (-b.last, -b.taken),
    )
    best: tuple[int, list[Lifetime], dict[object, int]] | None = None
    for order in orders:
        blocks = sorted(lifetimes, key=order)
        offsets, total = _placed(blocks)
        if best is None or total < best[0]:
            best = total, blocks, offsets
        if best[0] <= live * CLOSE:
            break
    assert best is not None
    total, offsets = (best[0], best[2]) if best[0] <= live * CLOSE else _improved(best[1], live)
    return Placement(offsets, total, live)


def live_bytes(lifetimes: Sequence[Lifetime]) -> list[int]:
    """For each launch the aligned bytes of the blocks alive at it."""
    changes = [0] * (2 + max((b.last for b in lifetimes), default=-2))
    for block in lifetimes:
        changes[block.first] += block.taken
        changes[block.last + 1] -= block.taken
    return list(accumulate(changes))[:-1]


def _placed_by_time(lifetimes: Sequence[Lifetime]) -> tuple[dict[object, int], int]:
    """Offsets of blocks placed in the order of their first launches, and the end of the highest.

    ``free`` are the gaps below the highest end, (start, end) from the lowest up; blocks that have died go back there.
    """
    ends: list[tuple[int, int, int]] = []
    free: list[tuple[int, int]] = []
    offsets: dict[object, int] = {}
    total = 0
    for block in sorted(lifetimes, key=lambda b: (b.first, -b.taken)):
        while ends and ends[0][0] < block.first:
            _, start, end = heappop(ends)
            _give_back(free, start, end)
        place = next((k for k, (start, end) in enumerate(free) if end - start >= block.taken), None)
        if place is not None:
            start, end = free[place]
            free[place : place + 1] = [(start + block.taken, end)] if end - start > block.taken else []
        else:
            # the last gap may reach the top
            start = free.pop()[0] if free and free[-1][1] == total else total
            total = start + block.taken
        offsets[block.key] = start
        heappush(ends, (block.last, start, start + block.taken))
    return offsets, total


def _give_back(free: list[tuple[int, int]], start: int, end: int) -> None:
    """Add a gap, joined with its neighbours."""
    k = bisect_left(free, (start, end))
    if k < len(free) and free[k][0] == end:
        end = free.pop(k)[1]
    if k and free[k - 1][1] == start:
        k -= 1
        start = free.pop(k)[0]
    free.insert(k, (start, end))


def _placed(blocks: Sequence[Lifetime]) -> tuple[dict[object, int], int]:
    """Offsets of blocks placed in this order, and the end of the highest."""
    placed: list[tuple[int, int, int, int]] = []
    offsets: dict[object, int] = {}
    total = 0
    for block in blocks:
        start = 0
        for low, high, first, last in placed:
            if first <= block.last and block.first <= last:
                if start + block.taken <= low:
                    break
                start = max(start, high)
        end = start + block.taken
        insort(placed, (start, end, block.first, block.last))
        offsets[block.key] = start
        total = max(total, end)
    return offsets, total


def _improved(blocks: list[Lifetime], live: int) -> tuple[int, dict[object, int]]:
    """A placement at least as good as that of this order: blocks that meet what reaches the top change their place in it.

    Where to is drawn, always the same for the same blocks; a move is kept where the arena does not grow.
    """
    offsets, total = _placed(blocks)
    draw = random.Random(len(blocks))
    for _ in range(min(ROUNDS, WORK // len(blocks) ** 2)):
        if total <= live * CLOSE:
            break
        top = draw.choice([b for b in blocks if offsets[b.key] + b.taken == total])
        place = draw.choice([k for k, b in enumerate(blocks) if b.meets(top)])
        moved = [*blocks[:place], *blocks[place + 1 :]]
        moved.insert(draw.randrange(len(blocks)), blocks[place])
        found, reached = _placed(moved)
        if reached <= total:
            blocks, offsets, total = moved, found, reached
    return total, offsets
