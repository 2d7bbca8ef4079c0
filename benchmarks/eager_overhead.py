"""What an op costs on the dynamic graph beside its arithmetic: tensors of 10 elements, here and in PyTorch.

``python -m benchmarks.eager_overhead [--json FILE] [--only NAME] [--quick] [--size N]``

Each row applies one op, or a few that lead back to the shape they began with, LENGTH times in a chain, first alone and
then with a backward to the leaves; both run on one thread. A cell is microseconds per op: the forward, and what the
backward adds. No time is printed where a value or a gradient of the chain disagrees.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import tracegrad.eager
from benchmarks.timing import QUICK, Effort, interleave, machine

try:
    import torch
except ImportError:
    torch = None  # type: ignore[assignment,unused-ignore]

LENGTH = 20
TOLERANCE = 2e-4
GOAL = 1.5


@dataclass(frozen=True, slots=True)
class Program:
    """A step of a chain: ``step(library, y, leaves)`` applies ``ops`` ops and keeps the shape of ``y``.

    ``leaves`` are a vector w, a square matrix and a mask, beside the vector that the chain begins with.
    """

    name: str
    ops: int
    step: Callable[[Any, Any, Any], Any]


PROGRAMS = (
    Program("y + w", 1, lambda t, y, v: y + v["w"]),
    Program("y * w", 1, lambda t, y, v: y * v["w"]),
    Program("y / w", 1, lambda t, y, v: y / v["w"]),
    Program("y * 0.5", 1, lambda t, y, v: y * 0.5),
    Program("-y", 1, lambda t, y, v: -y),
    Program("y ** 2 (and * 0.5)", 2, lambda t, y, v: y**2 * 0.5),
    Program("exp(-y)", 2, lambda t, y, v: t.exp(-y)),
    Program("sin", 1, lambda t, y, v: t.sin(y)),
    Program("y.tanh()", 1, lambda t, y, v: y.tanh()),
    Program("sigmoid", 1, lambda t, y, v: t.sigmoid(y)),
    Program("relu", 1, lambda t, y, v: t.relu(y)),
    Program("where(mask, y, w)", 1, lambda t, y, v: t.where(v["mask"], y, v["w"])),
    Program("maximum", 1, lambda t, y, v: t.maximum(y, v["w"])),
    Program("y - y.sum()", 2, lambda t, y, v: y - y.sum()),
    Program("y - y.mean()", 2, lambda t, y, v: y - y.mean()),
    Program("y - y.max()", 2, lambda t, y, v: y - y.max()),
    Program("softmax", 1, lambda t, y, v: t.softmax(y, 0)),
    Program("matrix @ y", 1, lambda t, y, v: v["matrix"] @ y),
    Program("reshape, reshape", 2, lambda t, y, v: y.reshape(2, -1).reshape(-1)),
    Program("y[:5], y[5:], cat", 3, lambda t, y, v: t.cat([y[5:], y[:5]])),
    Program("unsqueeze, squeeze", 2, lambda t, y, v: y.unsqueeze(0).squeeze(0)),
    Program("linear", 1, lambda t, y, v: t.nn.functional.linear(y, v["matrix"], v["w"])),
    Program("layer_norm", 1, lambda t, y, v: t.nn.functional.layer_norm(y, y.shape)),
    Program("clone", 1, lambda t, y, v: y.clone()),
)


@dataclass(slots=True)
class Row:
    """One program's microseconds per op, forward and backward, of each library that agrees."""

    name: str
    error: float = math.inf
    forward: dict[str, float] = field(default_factory=dict)
    backward: dict[str, float] = field(default_factory=dict)

    def ratio(self, part: str) -> float | None:
        """Our time over PyTorch's, of "forward", "backward" or "both"."""
        if len(self.forward) < 2:
            return None
        parts = {"forward": (self.forward,), "backward": (self.backward,)}.get(part, (self.forward, self.backward))
        ours, theirs = (sum(times[name] for times in parts) for name in LIBRARIES)
        return ours / theirs


LIBRARIES = {"tracegrad": tracegrad.eager, "pytorch": torch}


class Chain:
    """A program's chain in one library."""

    def __init__(self, library: Any, program: Program, size: int) -> None:
        rng = np.random.default_rng(7)
        self.library = library
        self.step = program.step
        make = lambda a, **kw: library.tensor(a.astype(np.float32) if a.dtype.kind == "f" else a, **kw)  # noqa: E731
        self.start = make(rng.uniform(0.5, 1.5, size), requires_grad=True)
        self.leaves = {
            "w": make(rng.uniform(0.8, 1.2, size), requires_grad=True),
            "matrix": make(rng.normal(size=(size, size)) / math.sqrt(size), requires_grad=True),
            "mask": make(rng.random(size) < 0.5),
        }
        self.g = make(rng.normal(size=size))

    def forward(self) -> Any:
        """The chain with its record."""
        y, step, library, leaves = self.start, self.step, self.library, self.leaves
        for _ in range(LENGTH):
            y = step(library, y, leaves)
        return y

    def both(self) -> None:
        """The chain and its backward; gradients are set anew as by ``zero_grad``."""
        self.start.grad = self.leaves["w"].grad = self.leaves["matrix"].grad = None
        self.forward().backward(self.g)

    def results(self) -> list[np.ndarray[Any, Any]]:
        """Value and gradients, as float64."""
        value = self.forward()
        self.both()
        found = [value, *(x.grad for x in (self.start, self.leaves["w"], self.leaves["matrix"]) if x.grad is not None)]
        return [np.asarray(x.detach().numpy(), np.float64) for x in found]


def disagreement(a: Sequence[np.ndarray[Any, Any]], b: Sequence[np.ndarray[Any, Any]]) -> float:
    """The greatest difference over the greatest value; infinite where one has other gradients than the other."""
    if [x.shape for x in a] != [x.shape for x in b]:
        return math.inf
    return max(float(np.max(np.abs(x - y))) / (float(np.max(np.abs(y))) or 1.0) for x, y in zip(a, b, strict=True))


def measure(program: Program, size: int, effort: Effort) -> Row:
    """Check and time one program; only ours where PyTorch is not installed, and no time where the results disagree."""
    row = Row(program.name)
    chains = {name: Chain(library, program, size) for name, library in LIBRARIES.items() if library is not None}
    results = {name: chain.results() for name, chain in chains.items()}
    row.error = disagreement(results["tracegrad"], results.get("pytorch", results["tracegrad"]))
    if not row.error <= TOLERANCE:
        return row
    contenders: dict[str, Callable[[], Any]] = {}
    for name, chain in chains.items():
        contenders[name + " forward"] = chain.forward
        contenders[name + " both"] = chain.both
    times = interleave(contenders, effort)
    for name in chains:
        forward = times[name + " forward"].median
        row.forward[name] = forward / (LENGTH * program.ops)
        row.backward[name] = (times[name + " both"].median - forward) / (LENGTH * program.ops)
    return row


def run(programs: Sequence[Program], size: int = 10, effort: Effort | None = None) -> list[Row]:
    """Measure programs one after the other, on one thread."""
    before = None if torch is None else torch.get_num_threads()
    if torch is not None:
        torch.set_num_threads(1)
    try:
        return [measure(program, size, effort or Effort(rounds=11, turn=0.003)) for program in programs]
    finally:
        if before is not None:
            torch.set_num_threads(before)


def table(rows: Sequence[Row], size: int) -> Table:
    """The rows side by side, with the geometric mean of the ratios."""
    shown = Table(
        title=f"Microseconds per op on float32 tensors of {size} elements, one thread",
        caption=f"chains of {LENGTH} steps; ratio: ours over PyTorch's, the goal is at most {GOAL}",
    )
    shown.add_column("op", no_wrap=True)
    for part in ("forward", "backward"):
        for column in ("tracegrad", "PyTorch", "ratio"):
            shown.add_column(f"{part}\n{column}", justify="right")
    shown.add_column("both\nratio", justify="right")
    for row in rows:
        cells = []
        for part, times in (("forward", row.forward), ("backward", row.backward)):
            cells += [f"{times[name]:.2f}" if name in times else "" for name in LIBRARIES]
            cells.append(_ratio(row.ratio(part)))
        shown.add_row(row.name, *(cells if row.forward else ["disagrees", *[""] * 5]), _ratio(row.ratio("both")))
    means = {part: mean_ratio(rows, part) for part in ("forward", "backward", "both")}
    shown.add_section()
    ends = [_ratio(means["forward"]), "", "", _ratio(means["backward"]), _ratio(means["both"])]
    shown.add_row("geometric mean", "", "", *ends)
    return shown


def mean_ratio(rows: Sequence[Row], part: str) -> float | None:
    """The geometric mean of the ratios, None without PyTorch."""
    ratios = [ratio for row in rows if (ratio := row.ratio(part)) is not None and ratio > 0]
    return statistics.geometric_mean(ratios) if ratios else None


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}×"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.eager_overhead", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--json", type=Path, help="also write the figures there")
    parser.add_argument("--only", action="append", help="a row by its name; may be repeated")
    parser.add_argument("--quick", action="store_true", help="few and short turns: whether it runs, not how fast")
    parser.add_argument("--size", type=int, default=10, help="elements of the vectors, an even number")
    given = parser.parse_args(arguments)
    programs = [p for p in PROGRAMS if given.only is None or p.name in given.only]
    if not programs:
        parser.error(f"no row is called so; there are {', '.join(p.name for p in PROGRAMS)}")
    rows = run(programs, given.size, QUICK if given.quick else None)
    console = Console()
    console.print(table(rows, given.size))
    if torch is None:
        console.print("PyTorch is not installed: pip install torch")
    if given.json is not None:
        records = [
            {"name": r.name, "error": r.error, "forward": r.forward, "backward": r.backward, "ratio": r.ratio("both")}
            for r in rows
        ]
        given.json.write_text(json.dumps({"machine": machine(1), "size": given.size, "rows": records}, indent=1))
    return 0 if all(row.error <= TOLERANCE for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
