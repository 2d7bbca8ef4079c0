"""What a call costs beside its arithmetic.

``python -m benchmarks.call_overhead [--quick]``

The least microseconds of a call in many short turns: what the machine can do when nobody disturbs it. What a busy neighbour
adds is in ``benchmarks.neighbours``.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import tracegrad as tg


def rosenbrock(x: Any) -> Any:
    """Rosenbrock's function."""
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def eight(p: Any) -> Any:
    """A loss of eight small arrays."""
    return sum(np.sum(np.tanh(value) ** 2) for value in p.values())


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


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.call_overhead", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few turns: shows that it runs, the figures mean little")
    quick = parser.parse_args(arguments).quick
    console = Console(soft_wrap=True, highlight=False)
    table = Table("call", "µs", title="A call from Python, NumPy in and out")
    for name, call in calls():
        parts = 4 if name.endswith("each") else 1
        table.add_row(name, f"{least(call, 3 if quick else 2000) / parts:.2f}")
    console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
