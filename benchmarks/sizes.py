"""What it costs that one kernel serves all sizes.

    python -m benchmarks.sizes [--quick]

Each program is compiled once and called at several sizes, beside the same generated source in which every size of the table
is a number written out, compiled anew for each size. Both run on the same arrays through the same executor, in turns, and
must agree. Printed are the medians in microseconds, their ratio, that of the least times, which a busy machine changes less,
and how many functions Numba compiled to serve the size.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numba.core import event
from rich.console import Console
from rich.table import Table

import tracegrad as tg
from benchmarks.timing import QUICK, Effort, interleave
from tracegrad.pipeline import Compilation, compile_graph
from tracegrad.runtime.load import load_program

SIZES = (1_000, 10_000, 100_000, 1_000_000)
EFFORT = Effort(rounds=41, turn=0.004, pause=0.002)
HEAD = re.compile(r"^def (k\d+\w*)_HASH_\(first, last, table\):$")
MEMBER = re.compile(r"(k\d+_\d+)_HASH_\(0, words\[")
SIZE = re.compile(r"^(    \w+ = )table\[(\d+)\]$")


def chain(x: Any) -> Any:
    """A chain of maps and its sum."""
    return np.sum(np.tanh(1.5 * x + 0.3) ** 2 * np.exp(-x * x))


def rosenbrock(x: Any) -> Any:
    """Neighbours read one another, so that the gradient has conditions at the ends."""
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def squares(x: Any) -> Any:
    """Little arithmetic: the memory's speed, or that of the loop itself."""
    return np.sum(x * x)


def softmax(x: Any) -> Any:
    """Rows of 50 with two passes each."""
    rows = x - np.max(x, axis=1, keepdims=True)
    return np.sum(np.log(np.sum(np.exp(rows), axis=1)) - rows[:, 0])


def logistic(w: Any, points: Any) -> Any:
    """A matrix times a vector, and the transposed matrix times another."""
    return np.sum(np.logaddexp(0.0, points @ w))


def rows(n: int, width: int) -> np.ndarray[Any, Any]:
    """A matrix of about n elements."""
    return np.sin(np.arange(n // width * width, dtype=float)).reshape(-1, width)


PROGRAMS: tuple[tuple[str, Callable[..., Any], Callable[[int], tuple[Any, ...]]], ...] = (
    ("chain, float64", chain, lambda n: (np.linspace(-2.0, 2.0, n),)),
    ("chain, float32", chain, lambda n: (np.linspace(-2.0, 2.0, n, dtype=np.float32),)),
    ("Rosenbrock", rosenbrock, lambda n: (np.linspace(-1.0, 2.0, n),)),
    ("sum of squares", squares, lambda n: (np.linspace(-1.0, 2.0, n),)),
    ("softmax, rows of 50", softmax, lambda n: (rows(n, 50),)),
    ("logistic, rows of 20", logistic, lambda n: (np.linspace(-1.0, 1.0, 20), rows(n, 20))),
)


def written_out(source: str, compilation: Compilation) -> str:
    """The source with a number for every size that its kernels take from the table."""
    assert compilation.generated is not None
    assert compilation.plan is not None
    words = compilation.plan.words
    places: dict[str, set[int]] = {}
    for step in compilation.generated.steps:
        for launch in step.launches:
            places.setdefault(launch.name, set()).add(launch.base)
            own = source[source.index(f"def {launch.name}_HASH_(") :].split("\n\n\n", maxsplit=1)[0]
            for name, starts in zip(MEMBER.findall(own), launch.text.members, strict=True):
                places.setdefault(name, set()).update(launch.base + start for start in starts)
    lines: list[str] = []
    starts: set[int] = set()
    for line in source.splitlines():
        if head := HEAD.match(line):
            starts = places.get(head[1], set())
        if size := SIZE.match(line):
            values = {words[start + int(size[2])] for start in starts}
            if len(values) == 1:  # rows of the blocks of a chain may differ by one
                line = f"{size[1]}{values.pop()}"
        lines.append(line)
    return "\n".join(lines) + "\n"


def contenders(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Iterator[Callable[[], Any]]:
    """Value and gradient by the program for all sizes, and by one made for these arguments."""
    graph = tg.jit(function, compile="never").graph(*arguments)
    compilation = compile_graph(graph, (graph.inputs[0].id,))
    assert compilation.executable is not None
    assert compilation.generated is not None
    run = compilation.executable.bind()
    yield lambda: run(arguments)
    source = written_out(compilation.generated.source, compilation)
    loaded = load_program(source, compilation.generated.entry_arguments, tg.config.cache_dir, tg.config.cache_limit_bytes)
    special = dataclasses.replace(compilation.executable, entry=loaded.entry).bind()
    yield lambda: special(arguments)


def agreeing(first: Sequence[Any], second: Sequence[Any]) -> bool:
    """Whether two results are equal to within a few units in the last place of their largest element."""
    pairs = zip(first, second, strict=True)
    return all(np.max(np.abs(a - b)) <= 16 * np.finfo(a.dtype).eps * np.max(np.abs(a)) for a, b in pairs)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 where results differ."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sizes", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, few turns: shows that it runs")
    quick = parser.parse_args(arguments).quick
    sizes = SIZES[:2] if quick else SIZES
    table = Table("program", "elements", "for all sizes, µs", "for this one, µs", "ratio", "of least", "compiles")
    failed, ratios = 0, []
    with tempfile.TemporaryDirectory() as name, tg.config.override(cache_dir=Path(name) / "cache"):
        for label, function, inputs in PROGRAMS:
            for n in sizes:
                given = inputs(n)
                made = contenders(function, given)
                with event.install_recorder("numba:compile") as recorder:
                    general = next(made)
                compiles = sum(e.is_start for _, e in recorder.buffer)
                special = next(made)
                if not agreeing(general(), special()):
                    failed += 1
                    table.add_row(label, f"{n:,}", "results differ", "", "", "", "")
                    continue
                times = interleave({"general": general, "special": special}, QUICK if quick else EFFORT)
                one, other = times["general"], times["special"]
                ratios.append(one.median / other.median)
                figures = f"{one.median:.2f}", f"{other.median:.2f}", f"{ratios[-1]:.3f}", f"{one.least / other.least:.3f}"
                table.add_row(label, f"{n:,}", *figures, str(compiles))
    console = Console(soft_wrap=True, highlight=False, width=110)
    console.print(table)
    console.print(f"largest ratio {max(ratios, default=np.nan):.3f}, median {np.median(ratios or [np.nan]):.3f}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
