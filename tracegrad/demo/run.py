"""The demo itself: trains, reports and checks that both modes agree."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

import tracegrad as tg
from tracegrad.demo import digits
from tracegrad.demo.files import write_graphs, write_losses, write_source
from tracegrad.demo.model import BATCH, Static, eager_step, initial, static
from tracegrad.demo.train import Course, Training
from tracegrad.demo.warm import measure_in_new_process

STAGES = ("trace", "differentiate", "rewrite", "schedule", "generate", "plan memory")
"""The stages before ``compile``, in the order of the pipeline."""


@dataclass(frozen=True, slots=True)
class Options:
    """What ``tracegrad demo`` was asked for."""

    epochs: int
    dtype: str
    output: Path
    seed: int
    compile: str = "now"


@dataclass(frozen=True, slots=True)
class Check:
    """One measure of agreement: what was compared, the largest difference and the most it may be, None for any."""

    name: str
    found: float
    allowed: float | None

    @property
    def passed(self) -> bool:
        """Whether the difference is allowed; NaN never is."""
        return self.allowed is None or self.found <= self.allowed


def checks(training: Training, dtype: str) -> tuple[Check, ...]:
    """What must agree.

    In float64 the two trainings themselves stay together to rounding. In float32 rounding may grow from step to
    step, as in any training, so single steps from the same state are what can be compared.
    """
    found = training.differences
    double = dtype == "float64"
    step = 1e-9 if double else 1e-5
    return (
        Check("loss, each training by itself", found.trainings, 1e-9 if double else None),
        Check("loss, steps from the same state", found.step, step),
        Check("gradient, steps from the same state", found.gradient, step),
    )


def run(options: Options, console: Console) -> int:
    """Train, report, write the files.

    Returns the exit status: 0, or 1 when the modes do not agree. Raises OSError for an unusable output folder.
    """
    options.output.mkdir(parents=True, exist_ok=True)
    data = digits.load(options.dtype)
    params = initial(options.dtype, options.seed)
    training = Training.begin(data, params)
    mode = static(options.compile)
    weights = sum(value.size for value in params.values())
    console.print(
        f"A CNN of {weights:,} weights on {len(data.images):,} of scikit-learn's digits, tested on the other "
        f"{len(data.test_images)}; {options.dtype}, batches of {BATCH}, Adam. Trained twice from the same weights."
    )
    _compile(mode, training, options, console)
    _train(training, mode, options, console)
    console.print(_times(mode, training, options, console))
    agreed = _agreement(training, options.dtype, console)
    _write(mode, training, params, options, console)
    return 0 if agreed else 1


def _compile(mode: Static, training: Training, options: Options, console: Console) -> None:
    """Have the training step compiled before the clock of the steps runs, and say where the program came from."""
    images, labels = next(training.digits.batches(np.random.default_rng(0)))
    if options.compile == "never":
        console.print("Nothing is compiled: the static graph runs on the interpreter.")
        return
    with console.status("compiling the static training step (once; the next run loads it from the disk cache)"):
        mode.step(training.static.params, training.static.state, images, labels)
    stats = mode.step.stats
    if stats.compiles:
        console.print(
            f"Compiled the static training step, {stats.kernels} kernels, in {stats.seconds['compile']:.1f} s. "
            f"Cache folder: {tg.config.cache_dir}"
        )
    else:
        console.print(
            f"Nothing was compiled: the static training step, {stats.kernels} kernels, came from the disk cache "
            f"{tg.config.cache_dir}"
        )


def _train(training: Training, mode: Static, options: Options, console: Console) -> None:
    rng = np.random.default_rng(options.seed)
    per_epoch = training.digits.batches_per_epoch
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("training", total=options.epochs * per_epoch)
        for epoch in range(1, options.epochs + 1):
            for _ in training.epoch(eager_step, mode.step, rng):
                progress.advance(task)
            eager, compiled = (_epoch_text(course, per_epoch) for course in (training.eager, training.static))
            progress.console.print(f"epoch {epoch:2}   eager {eager}   static {compiled}")


def _epoch_text(course: Course, steps: int) -> str:
    return f"loss {course.mean_loss(steps):.6f} test {100.0 * course.accuracies[-1]:.2f} %"


def _times(mode: Static, training: Training, options: Options, console: Console) -> Table:
    """The table of times."""
    seconds = dict(mode.step.stats.seconds)
    # the loss is traced and differentiated while the step around it is being traced
    within = mode.loss.stats.seconds
    if "trace" in seconds:
        seconds["trace"] -= within["differentiate"] + within["rewrite"]
        seconds["differentiate"] += within["differentiate"]
        seconds["rewrite"] += within["rewrite"]
    table = Table(title="times")
    table.add_column("", justify="left")
    for heading in ("eager", "static"):
        table.add_column(heading, justify="right")
    for stage in STAGES:
        if stage in seconds:
            table.add_row(stage, "", f"{1e3 * seconds[stage]:.1f} ms")
    if options.compile != "never":
        made = "compile" if mode.step.stats.compiles else "load from the disk cache"
        table.add_row(made, "", _readable(seconds["compile"]))
        warm = measure_in_new_process(options.dtype)
        table.add_row("warm start, in a new process", "", _readable(warm.loading))
        table.add_row("  whole first step there", "", _readable(warm.seconds))
        if warm.compiles:
            console.print("[bold red]The new process compiled again: the cache folder did not keep the program.[/]")
    eager, compiled = training.eager.median_step(), training.static.median_step()
    table.add_row("median training step", f"{1e3 * eager:.2f} ms", f"{1e3 * compiled:.2f} ms", style="bold")
    table.add_row("ratio", "", f"{eager / compiled:.1f} ×")
    return table


def _readable(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1.0 else f"{1e3 * seconds:.1f} ms"


def _agreement(training: Training, dtype: str, console: Console) -> bool:
    """Print the largest differences; returns whether all are allowed."""
    steps = len(training.eager.losses)
    console.print(f"Largest difference between the modes over all {steps} steps:")
    results = checks(training, dtype)
    for check in results:
        limit = "not limited" if check.allowed is None else f"at most {check.allowed:.0e}"
        verdict = "" if check.passed else "   [bold red]TOO LARGE[/]"
        console.print(f"  {check.name:<36} {check.found:.1e}   ({limit}){verdict}", highlight=False)
    return all(check.passed for check in results)


def _write(mode: Static, training: Training, params: dict[str, Any], options: Options, console: Console) -> None:
    folder = options.output
    write_losses(training, folder / "loss.png")
    write_graphs(params, folder / "forward.svg", folder / "backward.svg")
    written = ["loss.png", "forward.svg", "backward.svg"]
    if options.compile != "never":
        write_source(mode.step, params, training.static.state, folder / "kernels.py")
        written.append("kernels.py")
    console.print(f"Wrote {', '.join(written)} to {folder.absolute()}")
