"""What a call costs beside its arithmetic, and what a busy neighbour adds.

``python -m benchmarks.call_overhead [--quick]``

The first table has the least microseconds of a call in many short turns: what the machine can do when nobody disturbs it.
The second runs a small and a large gradient alone and beside a process that keeps one core busy, in turns, and gives the
medians of all calls and their ratio. Its figures mean something on a machine that is otherwise idle only.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import tracegrad as tg

BUSY = "while True: pass"


def rosenbrock(x: Any) -> Any:
    """Rosenbrock's function."""
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def eight(p: Any) -> Any:
    """A loss of eight small arrays."""
    return sum(np.sum(np.tanh(value) ** 2) for value in p.values())


def chain(x: Any) -> Any:
    """A chain of maps and a sum."""
    return np.sum(np.tanh(1.5 * x + 0.3) ** 2 * np.exp(-x * x))


def calls() -> Iterator[tuple[str, Callable[[], Any]]]:
    """Name and call of each row of the first table."""
    small, arrays = tg.grad_compile(rosenbrock).value_and_grad, tg.grad_compile(eight).value_and_grad
    x, p = np.linspace(0.0, 1.0, 10), {f"w{k}": np.full(3, 0.1 * k) for k in range(8)}
    out = np.empty(()), np.empty(10)
    yield "Rosenbrock of 10, value and gradient", lambda: small(x)
    yield "the same, out=", lambda: small(x, out=out)
    yield "dict of 8 arrays, value and gradient", lambda: arrays(p)
    alternating = [np.linspace(0.0, 1.0, n) for n in (10, 11, 12, 13)]
    yield "Rosenbrock of 10, 11, 12, 13 in turn, each", lambda: [small(a) for a in alternating]


def least(call: Callable[[], Any], turns: int, length: int = 100) -> float:
    """Microseconds of a call: the least mean of a turn."""
    for _ in range(length):
        call()
    best = float("inf")
    for _ in range(turns):
        began = time.perf_counter()
        for _ in range(length):
            call()
        best = min(best, (time.perf_counter() - began) / length)
    return best * 1e6


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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run both tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.call_overhead", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few turns: shows that it runs, the figures mean little")
    quick = parser.parse_args(arguments).quick
    console = Console(soft_wrap=True, highlight=False)
    table = Table("call", "µs", title="A call from Python, NumPy in and out")
    for name, call in calls():
        parts = 4 if name.endswith("each") else 1
        table.add_row(name, f"{least(call, 3 if quick else 2000) / parts:.2f}")
    console.print(table)
    table = Table("elements", "alone, µs", "beside a neighbour, µs", "ratio", title="One core kept busy by another process")
    gradient = tg.grad_compile(chain).value_and_grad
    for n in (2048, 1_000_000):
        x = np.linspace(-2.0, 2.0, n)
        alone: list[float] = []
        beside: list[float] = []
        for _ in range(1 if quick else 5):
            for count, times in ((0, alone), (1, beside)):
                with neighbour(count):
                    times += call_times(lambda x=x: gradient(x), 0.05 if quick else 1.0)
        one, other = statistics.median(alone), statistics.median(beside)
        table.add_row(f"{n:,}", f"{one:.1f}", f"{other:.1f}", f"{other / one:.2f}")
    console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
