"""Value and gradient on the static graph against the dynamic graph, NumPy by hand and PyTorch.

``python -m benchmarks.static_vs_eager [--json FILE] [--only NAME] [--quick] [--dtype float32] [--threads N]``

Every contender computes the value and the gradient of the same loss at the same point, and every one but PyTorch takes
NumPy arrays and gives NumPy arrays. PyTorch's tensors stay resident: its parameters and data are tensors before the
clock starts, and its gradients are left in ``.grad``. The dynamic graph is built anew at each call, tensors of the
parameters included. All use the same number of threads. A busy machine hurts contenders whose threads wait for each
other by spinning (PyTorch's) most, so measure on an idle one; ``--threads 1`` is the robust choice elsewhere.

No time is printed for a result that disagrees. The reference is the float64 result that most contenders agree with
among those that pass central differences along a random direction of each parameter. The value and every gradient leaf
of each contender are compared with it: the greatest absolute difference over the greatest absolute value must stay
within ``TOLERANCE`` of the dtype. The exit status is 1 if a contender disagrees or fails.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import tracegrad as tg
from benchmarks.agreement import TOLERANCE, Outcome, Result, disagreement, fits_differences, most_followed
from benchmarks.timing import QUICK, Effort, interleave, machine, usable_cores
from benchmarks.workloads import WORKLOADS, Workload
from tracegrad.core.tree import flatten, tree_map

try:
    import torch
except ImportError:
    torch = None  # type: ignore[assignment,unused-ignore]

try:
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped,unused-ignore]
except ImportError:
    threadpool_limits = None

SCHEMA = 1
EAGER, STATIC, NUMPY, PYTORCH = "eager", "static", "numpy", "pytorch"


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to compute value and gradient: ``run`` is timed, ``read`` turns what it gives into NumPy, untimed."""

    run: Callable[[], Any]
    read: Callable[[Any], Result]


@dataclass(slots=True)
class Row:
    """The outcomes of one workload."""

    name: str
    title: str
    kernels: int | None = None
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    @property
    def agrees(self) -> bool:
        """Whether every contender ran and agrees."""
        return all(o.agrees for o in self.outcomes.values())

    @property
    def ratio(self) -> float | None:
        """The time of the dynamic graph over that of the static one."""
        eager, static = self.outcomes[EAGER].microseconds, self.outcomes[STATIC].microseconds
        return None if eager is None or static is None else eager.median / static.median

    @property
    def error(self) -> float | None:
        """The greatest error of the contenders."""
        return max((o.error for o in self.outcomes.values() if o.error is not None), default=None)

    def record(self) -> dict[str, Any]:
        """The row as JSON has it."""
        contenders = {name: asdict(outcome) for name, outcome in self.outcomes.items()}
        facts = {"name": self.name, "title": self.title, "kernels": self.kernels, "agrees": self.agrees}
        return facts | {"error": self.error, "eager_over_static": self.ratio, "contenders": contenders}


# -- contenders -------------------------------------------------------------------------------------------------------


def eager_contender(workload: Workload, params: Any, data: tuple[Any, ...]) -> Contender:
    def run() -> Any:
        tracked = tree_map(lambda leaf: tg.tensor(leaf, requires_grad=True), params)
        value = workload.loss(tracked, *data)
        value.backward()
        return value.detach().numpy()[()], tree_map(lambda leaf: leaf.grad.numpy(), tracked)

    return Contender(run, _read)


def static_contender(compiled: tg.GradCompiled[..., Any], params: Any, data: tuple[Any, ...]) -> Contender:
    value_and_grad = compiled.value_and_grad
    return Contender(lambda: value_and_grad(params, *data), _read)


def numpy_contender(workload: Workload, params: Any, data: tuple[Any, ...]) -> Contender:
    return Contender(lambda: workload.by_hand(params, *data), _read)


def torch_contender(workload: Workload, params: Any, data: tuple[Any, ...]) -> Contender:
    resident = tree_map(lambda leaf: torch.tensor(leaf, requires_grad=True), params)
    fixed = [torch.tensor(x) for x in data]
    leaves = flatten(resident)[0]

    def run() -> Any:
        for leaf in leaves:
            leaf.grad = None  # PyTorch's own default for zero_grad, and its fastest
        value = workload.in_torch(torch, resident, *fixed)
        value.backward()
        return value

    return Contender(run, lambda value: (value.detach().numpy(), [np.array(leaf.grad.numpy()) for leaf in leaves]))


def _read(result: Any) -> Result:
    value, gradient = result
    return value, flatten(gradient)[0]


def contenders(
    workload: Workload, compiled: tg.GradCompiled[..., Any], params: Any, data: tuple[Any, ...]
) -> dict[str, Contender]:
    """The contenders of a workload by their names; PyTorch only where it is installed."""
    made = {
        EAGER: eager_contender(workload, params, data),
        STATIC: static_contender(compiled, params, data),
        NUMPY: numpy_contender(workload, params, data),
    }
    if torch is not None:
        made[PYTORCH] = torch_contender(workload, params, data)
    return made


# -- agreement --------------------------------------------------------------------------------------------------------


def passes_differences(workload: Workload, params: Any, data: tuple[Any, ...], result: Result, draw: Any) -> bool:
    """Whether a value and gradient fit the plain loss: central differences along a random direction of each leaf."""
    leaves, tree = flatten(params)
    return fits_differences(lambda moved: workload.loss(tree.unflatten(moved), *data), leaves, result, draw)


def _cast(tree: Any, dtype: Any) -> Any:
    """The floats of a pytree in another dtype; labels stay integers."""
    return tree_map(lambda leaf: leaf.astype(dtype) if leaf.dtype.kind == "f" else leaf, tree)


# -- running ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run measures: dtype, effort, threads, and whether at the size of tests."""

    dtype: str = "float64"
    effort: Effort = field(default_factory=Effort)
    tiny: bool = False
    threads: int = 1


def measure(workload: Workload, settings: Settings) -> Row:
    """Check and time the contenders of a workload; a contender that raises or disagrees gets no time."""
    params, *rest = (workload.tiny if settings.tiny else workload.arguments)(np.random.default_rng(20240229))
    data = tuple(rest)
    dtype = np.dtype(settings.dtype)
    compiled = tg.grad_compile(workload.loss)
    entered = contenders(workload, compiled, _cast(params, dtype), _cast(data, dtype))
    row = Row(workload.name, workload.title)
    results, failures = _ran(entered)
    row.kernels = compiled.stats.kernels or None
    exact = results if dtype == np.float64 else _ran(contenders(workload, compiled, params, data))[0]
    reference = _reference(workload, params, data, exact)
    for name in entered:
        outcome = row.outcomes[name] = Outcome(failure=failures.get(name))
        if name in results and reference is not None:
            outcome.error = disagreement(results[name], reference, dtype)
            outcome.agrees = outcome.error <= TOLERANCE[settings.dtype]
    agreeing = {name: entered[name].run for name, outcome in row.outcomes.items() if outcome.agrees}
    if agreeing:
        for name, timing in interleave(agreeing, settings.effort).items():
            row.outcomes[name].microseconds = timing
    return row


def _ran(entered: dict[str, Contender]) -> tuple[dict[str, Result], dict[str, str]]:
    """The results of the contenders that ran, and why the others did not."""
    results: dict[str, Result] = {}
    failures: dict[str, str] = {}
    for name, contender in entered.items():
        try:
            results[name] = contender.read(contender.run())
        except Exception as failure:  # noqa: BLE001 -- one contender's fault is shown in its cell; the others still run
            failures[name] = f"{type(failure).__name__}: {failure}"
    return results, failures


def _reference(workload: Workload, params: Any, data: tuple[Any, ...], results: dict[str, Result]) -> Result | None:
    """Of the float64 results that central differences confirm the one most others agree with; None without any.

    Central differences alone would let a small fault through, and then blame the right results for it.
    """
    draws = np.random.default_rng(1)
    confirmed = [r for r in results.values() if passes_differences(workload, params, data, r, draws)]
    return next(iter(most_followed(confirmed, np.float64)), None)


def run(workloads: Sequence[Workload], settings: Settings, done: Callable[[Row], None] = lambda row: None) -> list[Row]:
    """Measure workloads one after the other, all contenders on the same number of threads."""
    rows = []
    with ExitStack() as stack:
        stack.enter_context(tg.config.override(threads=settings.threads))
        if threadpool_limits is not None:
            stack.enter_context(threadpool_limits(settings.threads))
        if torch is not None:
            stack.callback(torch.set_num_threads, torch.get_num_threads())
            torch.set_num_threads(settings.threads)
        for workload in workloads:
            rows.append(measure(workload, settings))
            done(rows[-1])
    return rows


# -- showing ----------------------------------------------------------------------------------------------------------


def table(rows: Sequence[Row], settings: Settings) -> Table:
    """The rows as a table; "disagrees" or "fails" stands where a time may not."""
    sizes = ", tiny sizes instead of those named" if settings.tiny else ""
    shown = Table(
        title=f"Value and gradient in µs, {settings.dtype}, {_threads(settings)}{sizes}",
        caption=f"median of {settings.effort.rounds} turns; results agree within {TOLERANCE[settings.dtype]:g} of each "
        "leaf's greatest value; PyTorch's tensors stay resident, the others take and give NumPy arrays",
    )
    shown.add_column("workload", no_wrap=True)
    for name in ("kernels", "eager µs", "static µs", "eager/static", "NumPy by hand µs", "PyTorch µs", "error"):
        shown.add_column(name, justify="right")
    for row in rows:
        cells = {name: _cell(row.outcomes.get(name)) for name in (EAGER, STATIC, NUMPY, PYTORCH)}
        ratio = "" if row.ratio is None else f"{row.ratio:.1f}×"
        error = "" if row.error is None else f"{row.error:.0e}"
        kernels = "" if row.kernels is None else str(row.kernels)
        shown.add_row(row.title, kernels, cells[EAGER], cells[STATIC], ratio, cells[NUMPY], cells[PYTORCH], error)
    return shown


def _threads(settings: Settings) -> str:
    return "1 thread" if settings.threads == 1 else f"{settings.threads} threads"


def _cell(outcome: Outcome | None) -> str:
    if outcome is None:
        return "–"
    if outcome.failure is not None:
        return "[red]fails[/red]"
    if not outcome.agrees or outcome.microseconds is None:
        return "[red]disagrees[/red]"
    median = outcome.microseconds.median
    return f"{median:,.2f}" if median < 100 else f"{median:,.0f}"


def report(rows: Sequence[Row], settings: Settings) -> dict[str, Any]:
    """What ``--json`` writes."""
    facts = {"dtype": settings.dtype, "tolerance": TOLERANCE[settings.dtype], "tiny": settings.tiny}
    return {
        "schema": SCHEMA,
        "machine": machine(settings.threads),
        "settings": facts | {"effort": asdict(settings.effort)},
        "workloads": [row.record() for row in rows],
    }


def _parser(names: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.static_vs_eager", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the table and the machine's facts there")
    parser.add_argument("--only", action="append", choices=names, metavar="NAME", help="one of " + ", ".join(names))
    parser.add_argument("--quick", action="store_true", help="tiny sizes and few turns: a check, not a measurement")
    parser.add_argument("--dtype", choices=tuple(TOLERANCE), default="float64")
    parser.add_argument("--threads", type=int, help="threads of every contender; all cores by default")
    return parser


def main(argv: Sequence[str] | None = None, workloads: Sequence[Workload] = WORKLOADS) -> int:
    """Run the benchmark and print the table; 0 if every contender ran and agrees, else 1."""
    parser = _parser([w.name for w in workloads])
    options = parser.parse_args(argv)
    if options.threads is not None and options.threads < 1:
        parser.error("--threads takes a positive number")
    if options.threads is not None and threadpool_limits is None:
        parser.error("--threads needs threadpoolctl to set NumPy's: pip install threadpoolctl")
    settings = Settings(
        options.dtype,
        QUICK if options.quick else Effort(),
        options.quick,
        options.threads or usable_cores(),
    )
    chosen = [w for w in workloads if options.only is None or w.name in options.only]
    console = Console(width=None if sys.stdout.isatty() else 132)
    progress = Console(stderr=True)
    rows = run(chosen, settings, lambda row: progress.print(f"{row.name}: {'done' if row.agrees else 'see below'}"))
    console.print(table(rows, settings))
    for row in rows:
        for name, outcome in row.outcomes.items():
            if outcome.failure is not None:
                console.print(f"{row.name}, {name} fails: {outcome.failure}", style="red", markup=False)
            elif not outcome.agrees:
                console.print(f"{row.name}, {name} disagrees: error {outcome.error}", style="red", markup=False)
    if options.json is not None:
        _write(options.json, report(rows, settings))
    return 0 if all(row.agrees for row in rows) else 1


def _write(path: Path, content: dict[str, Any]) -> None:
    """Write JSON so that a reader never sees half of it."""
    beside = path.with_name(path.name + ".partial")
    beside.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    os.replace(beside, path)


if __name__ == "__main__":
    raise SystemExit(main())
