"""What is printed and what RESULTS.md holds: the same tables."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks.agreement import TOLERANCE
from benchmarks.peers.contenders import ENTRIES
from benchmarks.peers.limits import Limits
from benchmarks.peers.measure import Compilation, Outcome, Row, Settings
from benchmarks.peers.program import FUNCTION
from benchmarks.peers.worker import WARM_UP

Table = tuple[list[str], list[list[str]]]
"""Heads and rows of cells."""

HAND = "hand"


def times(rows: Sequence[Row], contenders: Sequence[str]) -> Table:
    """Medians in microseconds, and the least the machine could need."""
    body = [[row.program.title, *(_time(row.outcomes.get(name)) for name in contenders), number(row.least)] for row in rows]
    return ["program, µs", *(ENTRIES[name].title for name in contenders), "limit"], body


def ratios(rows: Sequence[Row], contenders: Sequence[str]) -> Table:
    """Each contender's time over tracegrad's, with the geometric mean and the worst; and the fraction of the limit."""
    others = [name for name in contenders if name != "tracegrad"]
    body = []
    for row in rows:
        share = [_percent(row.share(name)) for name in ("tracegrad", HAND) if name in contenders]
        body.append([row.program.title, *(_ratio(row.ratio(name)) for name in others), *share])
    found = {name: [r for row in rows if (r := row.ratio(name)) is not None] for name in others}
    for title, summary in (("geometric mean", statistics.geometric_mean), ("least", min)):
        cells = [_ratio(summary(found[name])) if found[name] else "" for name in others]
        body.append([title, *cells, *[""] * sum(name in contenders for name in ("tracegrad", HAND))])
    heads = ["time over tracegrad's", *(ENTRIES[name].title for name in others)]
    return heads + [f"{ENTRIES[n].title}, of limit" for n in ("tracegrad", HAND) if n in contenders], body


def compile_times(made: Sequence[Compilation], contenders: Sequence[str]) -> Table:
    """Seconds of cold compilations."""
    names = [name for name in contenders if ENTRIES[name].compiles]
    body = []
    for one in made:
        cells = [f"{one.seconds[n]:.2f}" if n in one.seconds else _short(one.failures.get(n)) for n in names]
        ours, theirs = one.seconds.get("tracegrad"), one.seconds.get("jax")
        body.append([one.program.title, *cells, f"{ours / theirs:.2f}" if ours is not None and theirs else ""])
    return ["cold compilation, s", *(ENTRIES[name].title for name in names), "tracegrad / JAX"], body


def notes(rows: Sequence[Row], made: Sequence[Compilation]) -> list[str]:
    """A line for each contender that has no time in some row."""
    found = []
    for row in rows:
        for name, outcome in row.outcomes.items():
            if outcome.failure is not None:
                found.append(f"{row.program.name}, {ENTRIES[name].title}: {outcome.failure}")
            elif not outcome.agrees:
                found.append(f"{row.program.name}, {ENTRIES[name].title}: disagrees, error {outcome.error:.1e}")
    found += [f"{c.program.name}, {ENTRIES[n].title}, compilation: {why}" for c in made for n, why in c.failures.items()]
    return found


def explanation(settings: Settings) -> list[str]:
    """How to read the tables."""
    tolerances = " and ".join(f"{t:g} ({name})" for name, t in TOLERANCE.items())
    turns = (
        f"Medians of {settings.effort.rounds} turns, the contenders taking turns (slow ones in fewer rounds); each has a "
        f"process of its own and all cores, makes calls for {WARM_UP * 1e3:g} ms before those that count, and keeps freed "
        f"memory (glibc's trim threshold is raised). Value and every gradient agree within {tolerances} of each leaf's "
        "greatest value, and with central differences; where not, there is no time."
    )
    arrays = (
        "tracegrad, Numba by hand and HIPS autograd take and give NumPy arrays; JAX's and PyTorch's inputs are resident. "
        f"A contender has {settings.limit:g} s for its first result."
    )
    limit = (
        "Limit: the greater of bytes (parameters and data read once, gradients written once) over the triad of that size "
        "and flops over the peak of fused multiply-adds; +, −, ×, ÷, √ count one, exp, log, tanh, sin, erf "
        f"{FUNCTION:g}. It knows no call overhead, so small programs stay far from it."
    )
    sizes = ["Tiny sizes instead of those named: a check, not a measurement."] if settings.small else []
    return [*sizes, turns, arrays, limit]


def machine_lines(facts: dict[str, Any], limits: Limits) -> list[str]:
    """The machine's facts and its measured limits."""
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    sizes = ", ".join(f"{_bytes(size)}: {rate / 1e9:.0f}" for size, rate in limits.triad.items())
    return [
        f"{facts['cpu']}, {facts['cores']} cores, {facts['architecture']}, {facts['system']}, {facts['date']}",
        f"Python {facts['python']}; {versions}",
        f"Triad in GB/s by the bytes of its three arrays: {sizes}",
        "Fused multiply-adds: " + ", ".join(f"{rate / 1e9:.0f} GFLOP/s {dtype}" for dtype, rate in limits.flops.items()),
    ]


def markdown(
    command: str, machine: Sequence[str], tables: Sequence[tuple[Table, int]], how: Sequence[str], missing: Sequence[str]
) -> str:
    """RESULTS.md; a table comes with how many of its last rows are set apart."""
    lines = ["# Results", "", f"Written by `{command}`; do not edit.", ""]
    lines += [f"- {line}" for line in machine]
    for (heads, body), _ in tables:
        lines += ["", _line(heads), _line(["---", *["---:"] * (len(heads) - 1)]), *(_line(row) for row in body)]
    lines += ["", *(line for paragraph in how for line in (paragraph, ""))]
    lines += ["Without a time:", "", *(f"- {line.replace('|', '/')}" for line in missing)] if missing else []
    return "\n".join(lines).rstrip() + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def number(value: float) -> str:
    """Three figures."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(value)))}f}" if value > 0.001 else "0.00"


def _time(outcome: Outcome | None) -> str:
    if outcome is None:
        return ""
    if outcome.failure is not None:
        return _short(outcome.failure)
    if not outcome.agrees or outcome.microseconds is None:
        return "disagrees"
    return number(outcome.microseconds.median)


def _short(failure: str | None) -> str:
    if failure is None:
        return ""
    return failure.replace("no result in ", "> ") if failure.startswith("no result in ") else "fails"


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}×" if value < 10 else f"{value:,.0f}×"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.0f} %"


def _bytes(size: int) -> str:
    return f"{size >> 20} MiB" if size >= 1 << 20 else f"{size >> 10} KiB"
