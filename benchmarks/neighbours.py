"""What a busy neighbour adds to a call: one core kept busy by another process.

    python -m benchmarks.neighbours [--quick]

Value and gradient of a small and a large chain of maps run alone and beside a process that computes without end, in turns.
Printed are the medians of all calls and their ratio, after the results have been compared with NumPy's. A last line says how
many threads the process started for the small calls, and how many for the large ones. The figures mean something on a machine
that is otherwise idle only.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import tracegrad as tg

BUSY = "while True: pass"
SIZES = (2048, 1_000_000)
AGREE = 1e-12


def chain(x: Any) -> Any:
    """A chain of maps and a sum."""
    return np.sum(np.tanh(1.5 * x + 0.3) ** 2 * np.exp(-x * x))


def by_hand(x: np.ndarray[Any, Any]) -> tuple[Any, np.ndarray[Any, Any]]:
    """Its value and gradient in NumPy."""
    t, e = np.tanh(1.5 * x + 0.3), np.exp(-x * x)
    return np.sum(t**2 * e), 3.0 * t * (1.0 - t * t) * e - 2.0 * x * t**2 * e


@contextmanager
def neighbour(count: int) -> Iterator[None]:
    """Processes that keep a core busy each."""
    processes = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    try:
        time.sleep(0.2 if count else 0.0)
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def call_times(call: Callable[[], Any], seconds: float) -> list[float]:
    """Microseconds of each call in a stretch of time."""
    call()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        began = time.perf_counter()
        call()
        times.append((time.perf_counter() - began) * 1e6)
    return times


def threads() -> int | None:
    """The threads of this process, those of libraries included; None where the system does not tell."""
    tasks = Path(f"/proc/{os.getpid()}/task")
    return len(list(tasks.iterdir())) if tasks.is_dir() else None


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 where results are wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few turns: shows that it runs, the figures mean little")
    quick = parser.parse_args(arguments).quick
    table = Table("elements", "alone, µs", "beside a neighbour, µs", "ratio")
    gradient = tg.grad_compile(chain).value_and_grad
    gradient(np.ones(3))
    counts, wrong = [threads()], 0
    for n in SIZES:
        x = np.linspace(-2.0, 2.0, n)
        value, slope = gradient(x)
        expected, right = by_hand(x)
        if abs(value - expected) > AGREE * abs(expected) or np.max(np.abs(slope - right)) > AGREE:
            wrong += 1
            table.add_row(f"{n:,}", "wrong result", "", "")
            continue
        alone: list[float] = []
        beside: list[float] = []
        for _ in range(1 if quick else 5):
            for count, times in ((0, alone), (1, beside)):
                with neighbour(count):
                    times += call_times(lambda x=x: gradient(x), 0.05 if quick else 1.0)
        counts.append(threads())
        one, other = statistics.median(alone), statistics.median(beside)
        table.add_row(f"{n:,}", f"{one:.1f}", f"{other:.1f}", f"{other / one:.2f}")
    console = Console(soft_wrap=True, highlight=False)
    console.print(table)
    known = [count for count in counts if count is not None]
    started = [str(after - before) for before, after in itertools.pairwise(known)]
    console.print(f"threads started: {', then '.join(started) or 'not known here'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
