"""Value and gradient in tracegrad, Numba by hand, JAX, PyTorch, torch.compile, HIPS autograd and PyTensor.

``python -m benchmarks.peers [--only NAME] [--contenders A,B] [--quick] [--compile] [--write] [--pytensor-python PATH]``
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.peers import report
from benchmarks.peers.contenders import ENTRIES
from benchmarks.peers.limits import measured
from benchmarks.peers.measure import Compilation, Row, Settings, compilation, measure
from benchmarks.peers.processes import FailedError, Field, MissingError
from benchmarks.peers.programs import BY_NAME
from benchmarks.timing import QUICK, Effort, machine, usable_cores

RESULTS = Path(__file__).resolve().parents[1] / "RESULTS.md"
EFFORT = Effort(rounds=15, turn=0.005, pause=0.15, share=3.0)  # threads of OpenBLAS spin for 100 ms after a product


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", action="append", choices=tuple(BY_NAME), metavar="NAME", help=", ".join(BY_NAME))
    parser.add_argument("--contenders", metavar="A,B", help="some of " + ", ".join(ENTRIES))
    parser.add_argument("--quick", action="store_true", help="tiny sizes and few turns: a check, not a measurement")
    parser.add_argument("--compile", action="store_true", help="also cold compilations, each in a process of its own")
    parser.add_argument("--compile-only", action="store_true", help="cold compilations and nothing else")
    parser.add_argument("--limit", type=float, default=120.0, help="seconds a contender has for its first result")
    parser.add_argument("--write", nargs="?", type=Path, const=RESULTS, metavar="FILE", help="write benchmarks/RESULTS.md")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument(
        "--pytensor-python",
        default=os.environ.get("PYTENSOR_PYTHON", sys.executable),
        metavar="PATH",
        help="the interpreter of the environment that has PyTensor, which pins Numba; also $PYTENSOR_PYTHON",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 0 if every contender that is installed agrees wherever it gives a result, else 1."""
    parser = _parser()
    options = parser.parse_args(arguments)
    chosen = list(ENTRIES) if options.contenders is None else options.contenders.split(",")
    if unknown := [name for name in chosen if name not in ENTRIES]:
        parser.error(f"no contender is called {', '.join(unknown)}; there are {', '.join(ENTRIES)}")
    programs = [BY_NAME[name] for name in options.only or BY_NAME]
    settings = Settings(QUICK if options.quick else EFFORT, options.quick, options.limit)
    console, progress = Console(width=None if sys.stdout.isatty() else 160), Console(stderr=True)
    pythons = {name: options.pytensor_python if name == "pytensor" else sys.executable for name in chosen}
    rows: list[Row] = []
    made: list[Compilation] = []
    versions: dict[str, str] = {}
    left_out: list[str] = []
    limits = measured(options.quick)
    with closing(Field(pythons)) as field:
        for name in chosen:
            try:
                versions |= field.ask(name, settings.limit, "versions")
            except (MissingError, FailedError) as why:
                left_out.append(f"{ENTRIES[name].title} is left out: {why}")
                del pythons[name]
        for program in () if options.compile_only else programs:
            rows.append(measure(program, list(pythons), field, limits, settings))
            progress.print(f"{program.name}: {_summary(rows[-1])}", markup=False, highlight=False)
    limits = limits.better(measured(options.quick))  # a core taken by something else at the beginning would halve them
    for row in rows:
        row.least = limits.seconds(row.moved, row.flops, row.program.dtype) * 1e6
    for program in programs if options.compile or options.compile_only else ():
        made.append(compilation(program, pythons, settings))
        progress.print(f"{program.name} compiled: {made[-1].seconds}", markup=False, highlight=False)

    facts = machine(usable_cores())
    facts["versions"] |= versions
    tables = [(report.times(rows, list(pythons)), 0), (report.ratios(rows, list(pythons)), 2)] if rows else []
    tables += [(report.compile_times(made, list(pythons)), 0)] if made else []
    about, how = report.machine_lines(facts, limits), report.explanation(settings)
    missing = left_out + report.notes(rows, made)
    for table, apart in tables:
        console.print(_shown(table, apart))
    for line in (*about, *how, *missing):
        console.print(line, markup=False, highlight=False)
    if options.write is not None:
        words = [word for word in sys.argv[1:] if arguments is None] or list(arguments or ())
        command = " ".join(["python -m benchmarks.peers", *_without_paths(words)])
        options.write.write_text(report.markdown(command, about, tables, how, missing), encoding="utf-8")
    if options.json is not None:
        options.json.write_text(json.dumps(_record(facts, limits, rows, made), indent=1) + "\n", encoding="utf-8")
    return 0 if all(outcome.agrees or outcome.failure for row in rows for outcome in row.outcomes.values()) else 1


def _without_paths(words: Sequence[str]) -> list[str]:
    """The command without places of this machine."""
    kept: list[str] = []
    for word in words:
        before = kept[-1] if kept else ""
        kept.append("PATH" if before in ("--pytensor-python", "--json", "--write") and word[:1] != "-" else word)
    return kept


def _summary(row: Row) -> str:
    shown = {name: row.median(name) for name in row.outcomes}
    return ", ".join(f"{name} {'–' if median is None else report.number(median)}" for name, median in shown.items())


def _shown(table: report.Table, apart: int) -> Table:
    heads, body = table
    shown = Table()
    for k, head in enumerate(heads):
        shown.add_column(head, justify="right" if k else "left", no_wrap=not k)
    for k, row in enumerate(body):
        if apart and k == len(body) - apart:
            shown.add_section()
        shown.add_row(*row)
    return shown


def _record(facts: dict[str, Any], limits: Any, rows: Sequence[Row], made: Sequence[Compilation]) -> dict[str, Any]:
    return {
        "machine": facts,
        "limits": asdict(limits),
        "programs": [
            {
                "name": row.program.name,
                "limit": row.least,
                "bytes": row.moved,
                "flops": row.flops,
                "contenders": {name: asdict(outcome) for name, outcome in row.outcomes.items()},
            }
            for row in rows
        ],
        "compilations": [{"name": c.program.name, "seconds": c.seconds, "failures": c.failures} for c in made],
    }


if __name__ == "__main__":
    raise SystemExit(main())
