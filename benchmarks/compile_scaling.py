"""How the cold compile of value and gradient grows with the graph, in time and in memory.

    python -m benchmarks.compile_scaling [--only maps] [--sizes 100 200 500 1000 2000 3000] [--passes]

Every program is compiled in a process of its own, which has compiled another one before, with an empty cache. Times are seconds
of processor time, which a busy machine changes less than the clock: of tracing and all passes, and with Numba's part. Memory is
the largest the process has held. Below each table are the slopes of time over nodes, both logarithmic: 1 is linear. The answer
is compared with the interpreter's; ``--passes`` leaves Numba out.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import tracegrad as tg
from tracegrad.pipeline import kernels_made

SIZES = (100, 200, 500, 1000, 2000, 3000)
Arguments = tuple[np.ndarray[Any, Any], ...]


def maps(depth: int) -> tuple[Callable[..., Any], Arguments]:
    """A chain of maps of one vector, which is one kernel."""
    kinds = (np.sin, np.tanh, lambda x: np.exp(-x * x), lambda x: np.sqrt(x * x + 1.0), lambda x: 0.5 * x - 0.25)

    def loss(x: Any) -> Any:
        for k in range(depth):
            x = kinds[k % len(kinds)](x)
        return np.sum(x)

    return loss, (np.linspace(-1.0, 1.0, 100),)


def layers(depth: int) -> tuple[Callable[..., Any], Arguments]:
    """Layers with a weight of their own: products and maps, several kernels each."""

    def loss(weights: Any, x: Any) -> Any:
        for k in range(depth):
            x = np.tanh(x @ weights[k]) * 0.5 + x
        return np.sum(x**2)

    draw = np.random.default_rng(0)
    return loss, (draw.normal(size=(depth, 5, 5)) * 0.3, draw.normal(size=(4, 5)))


def steps(depth: int) -> tuple[Callable[..., Any], Arguments]:
    """Steps of the trapezoidal rule for the Lotka–Volterra equations, element by element."""

    def slope(y: Any, p: Any) -> Any:
        return np.stack([p[0] * y[0] - p[1] * y[0] * y[1], p[2] * y[0] * y[1] - p[3] * y[1]])

    def loss(p: Any) -> Any:
        y = np.array([1.0, 0.5])
        for _ in range(depth):
            first = slope(y, p)
            y = y + 0.01 * (first + slope(y + 0.02 * first, p))
        return np.sum(y * y)

    return loss, (np.array([1.5, 1.0, 1.0, 3.0]),)


FAMILIES = {"maps": maps, "layers": layers, "steps": steps}


def measured(family: str, depth: int, passes: bool) -> dict[str, float]:
    """Compile one program in this process: nodes, seconds, bytes, and how far the gradient is from the interpreter's."""
    function, arguments = FAMILIES[family](depth)
    with tempfile.TemporaryDirectory() as folder, tg.config.override(cache_dir=Path(folder), keep_traces=False):
        other, given = FAMILIES["layers" if family == "maps" else "maps"](2)
        tg.grad_compile(other).value_and_grad(*given)
        began = time.process_time()
        interpreted = tg.grad_compile(function, compile="never").value_and_grad
        done = interpreted._looked_up(arguments, {})
        seconds = {}
        for after in kernels_made(done):
            if after.executable is None:
                seconds["passes"] = time.process_time() - began
                if passes and after.plan is not None:
                    break
            done = after
        seconds["all"] = time.process_time() - began
        assert done.graph is not None
        error = 0.0
        if done.run is not None and not passes:
            value, gradient = done.run(list(arguments))
            reference = interpreted(*arguments)
            error = float(np.max(np.abs(gradient - reference[1])) / np.max(np.abs(reference[1])))
            error = max(error, abs(value - reference[0]) / abs(reference[0]))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return {"nodes": len(done.graph), **seconds, "bytes": peak * (1 if sys.platform == "darwin" else 1024), "error": error}


def apart(family: str, depth: int, passes: bool) -> dict[str, float]:
    """The same in a new process."""
    command = [sys.executable, "-m", "benchmarks.compile_scaling", "--one", family, str(depth), *["--passes"] * passes]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(ran.stdout)
    return found


def depth_for(family: str, nodes: int) -> int:
    """How many steps make about so many nodes."""
    counts = []
    for depth in (5, 10):
        function, arguments = FAMILIES[family](depth)
        counts.append(len(tg.grad_compile(function, compile="never").value_and_grad.graph(*arguments)))
    each = (counts[1] - counts[0]) / 5
    return max(1, round((nodes - counts[0]) / each) + 5)


def slope_of(nodes: Sequence[float], seconds: Sequence[float]) -> float:
    """The slope of the line through the logarithms."""
    return float(np.polyfit(np.log(nodes), np.log(seconds), 1)[0]) if len(nodes) > 1 else math.nan


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 where a gradient is not the interpreter's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="nodes of the graphs, about")
    parser.add_argument("--only", choices=FAMILIES, action="append", help="a family of programs")
    parser.add_argument("--passes", action="store_true", help="everything but Numba")
    parser.add_argument("--one", nargs=2, metavar=("FAMILY", "DEPTH"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        print(json.dumps(measured(options.one[0], int(options.one[1]), options.passes)))
        return 0
    console = Console(soft_wrap=True, highlight=False)
    wrong = 0
    for family in options.only or FAMILIES:
        table = Table("nodes", "passes, s", "all, s", "MB", title=FAMILIES[family].__doc__)
        rows = [apart(family, depth_for(family, size), options.passes) for size in options.sizes]
        for row in rows:
            wrong += row["error"] > 1e-9
            note = "  gradient differs" if row["error"] > 1e-9 else ""
            table.add_row(f"{row['nodes']}", f"{row['passes']:.3f}", f"{row['all']:.2f}", f"{row['bytes'] / 1e6:.0f}{note}")
        console.print(table)
        nodes = [row["nodes"] for row in rows]
        slopes = {name: slope_of(nodes, [row[name] for row in rows]) for name in ("passes", "all")}
        console.print(f"slopes: passes {slopes['passes']:.2f}, all {slopes['all']:.2f}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
