"""How near a program that only reads its data comes to the speed of the memory.

    python -m benchmarks.bandwidth [--quick]

Value and gradient of the logistic regression of 10⁵×50, tracegrad's and the hand-written ones, take turns with a triad
``a = b + s c`` whose three arrays have together as many bytes, and with a sum that only reads as many, all on all cores.
Before each call that is timed something else is read that is larger than the caches, so that data come from the memory:
STREAM's triad is defined so (https://www.cs.virginia.edu/stream/ref.html), and without it a part of 40 MB is found in a cache
of 32 MB. Printed are the medians of all calls, and the triad's over each; nothing is printed for results that disagree. A
machine's memory is shared with its other guests: ratios within one run mean something, its microseconds do not.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numba import njit, prange
from rich.console import Console
from rich.table import Table

from benchmarks.agreement import TOLERANCE, disagreement
from benchmarks.peers.contenders import by_hand, by_tracegrad
from benchmarks.peers.programs import BY_NAME

PROGRAM = "logistic-100000x50"
CALLS, FLUSH = 60, 1 << 28


@njit(fastmath={"contract"}, error_model="numpy", parallel=True)
def triad(a: Any, b: Any, c: Any, s: float) -> None:
    """STREAM's triad."""
    for i in prange(len(a)):
        a[i] = b[i] + s * c[i]


@njit(fastmath=True, error_model="numpy", parallel=True)
def read(a: Any) -> Any:
    """The sum of an array, its terms in any order."""
    total = 0.0
    for i in prange(len(a)):
        total += a[i]
    return total


def measured(calls: dict[str, Callable[[], Any]], rounds: int, flush: int) -> dict[str, float]:
    """The median microseconds of each call, the calls in another order in each round, their data in no cache."""
    other = np.ones(flush // 8)
    times: dict[str, list[float]] = {name: [] for name in calls}
    draw = random.Random(0)
    for _ in range(rounds):
        for name in draw.sample(list(calls), len(calls)):
            read(other)  # also wakes the threads
            began = time.perf_counter()
            calls[name]()
            times[name].append((time.perf_counter() - began) * 1e6)
    return {name: statistics.median(each) for name, each in times.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 where results differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few calls on few data: shows that it runs")
    quick = parser.parse_args(arguments).quick
    console = Console(soft_wrap=True, highlight=False)
    program = BY_NAME[PROGRAM]
    params, data = program.drawn(quick)
    ours, hand = by_tracegrad.build(program, params, data), by_hand.build(program, params, data)
    error = disagreement(ours.read(ours.run()), hand.read(hand.run()), np.dtype(program.dtype))
    if error > TOLERANCE[program.dtype]:
        console.print(f"results differ by {error:.1e}")
        return 1
    moved = sum(array.nbytes for array in data)
    a, b, c = (np.ones(moved // 24) for _ in range(3))
    flat = np.ones(moved // 8)
    calls: dict[str, Callable[[], Any]] = {
        "triad": lambda: triad(a, b, c, 3.0),
        "read": lambda: read(flat),
        "tracegrad": ours.run,
        "Numba by hand": hand.run,
    }
    for call in calls.values():
        call()
    times = measured(calls, 3 if quick else CALLS, 1 << 20 if quick else FLUSH)
    table = Table(program.title, "µs", "GB/s", "of the triad")
    for name, each in times.items():
        table.add_row(name, f"{each:,.0f}", f"{moved / each / 1e3:.1f}", f"{times['triad'] / each:.0%}")
    console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
