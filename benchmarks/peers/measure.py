"""The measuring: results first, compared; then turns; and cold compilations in processes of their own."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.agreement import TOLERANCE, Outcome, Result, disagreement, fits_differences, most_followed
from benchmarks.peers.contenders import ENTRIES
from benchmarks.peers.limits import Limits
from benchmarks.peers.processes import FailedError, Field, fresh_process
from benchmarks.peers.program import Program, leaves, like
from benchmarks.timing import Effort, take_turns

WARM_UP = ("student-t", "rosenbrock-10")  # what a process compiles before a cold compilation; the first that is another


@dataclass(frozen=True, slots=True)
class Settings:
    """What is measured.

    Parameters
    ----------
    effort: of the turns.
    small: sizes of tests.
    limit: seconds that a contender has for its first result.
    """

    effort: Effort
    small: bool = False
    limit: float = 120.0


@dataclass(slots=True)
class Row:
    """The outcomes of one program, and the least time the machine could need."""

    program: Program
    least: float
    moved: int
    flops: float
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    def median(self, contender: str) -> float | None:
        """Microseconds of a contender that agrees."""
        outcome = self.outcomes.get(contender)
        return None if outcome is None or outcome.microseconds is None else outcome.microseconds.median

    def ratio(self, contender: str) -> float | None:
        """A contender's time over tracegrad's."""
        ours, theirs = self.median("tracegrad"), self.median(contender)
        return None if ours is None or theirs is None else theirs / ours

    def share(self, contender: str) -> float | None:
        """The fraction of the machine's limit that a contender reaches."""
        median = self.median(contender)
        return None if median is None else self.least / median


def measure(program: Program, contenders: Sequence[str], field: Field, limits: Limits, settings: Settings) -> Row:
    """Compare and time the contenders of a program; one that fails or disagrees gets no time."""
    params, data = program.drawn(settings.small)
    moved, flops = program.traffic(params, data), program.flops(params, *data)
    row = Row(program, limits.seconds(moved, flops, program.dtype) * 1e6, moved, flops)
    results: dict[str, Result] = {}
    for name in contenders:
        row.outcomes[name] = outcome = Outcome()
        try:
            _, _, value, gradient = field.ask(name, settings.limit, "prepare", program.name, settings.small)
            results[name] = value, gradient
        except FailedError as failure:
            outcome.failure = str(failure)
    reference = confirmed(program, params, data, list(results.values()))
    for name, result in results.items():
        outcome = row.outcomes[name]
        outcome.error = float("inf") if reference is None else disagreement(result, reference, np.dtype(program.dtype))
        outcome.agrees = outcome.error <= TOLERANCE[program.dtype]
    _time(row, field, settings)
    for name in results:
        field.ask(name, settings.limit, "drop", program.name)
    return row


def _time(row: Row, field: Field, settings: Settings) -> None:
    """Give the contenders that agree their turns; one whose process dies meanwhile is left out and the rest begin anew."""
    program = row.program.name
    while agreeing := [name for name, outcome in row.outcomes.items() if outcome.agrees and outcome.failure is None]:
        turns = {name: functools.partial(_turn, field, name, program, settings.limit) for name in agreeing}
        try:
            times = take_turns(turns, settings.effort)
        except FailedTurnError as failed:
            row.outcomes[failed.contender].failure = str(failed)
            continue
        for name, timing in times.items():
            row.outcomes[name].microseconds = timing
        return


class FailedTurnError(Exception):
    """A contender gave a result once, and not again."""

    def __init__(self, contender: str, why: str) -> None:
        super().__init__(why)
        self.contender = contender


def _turn(field: Field, contender: str, program: str, limit: float, calls: int, warm: bool) -> float:
    try:
        seconds: float = field.ask(contender, limit, "turn", program, calls, warm)
    except FailedError as why:
        raise FailedTurnError(contender, str(why)) from None
    return seconds


def confirmed(program: Program, params: Any, data: Sequence[Any], results: Sequence[Result]) -> Result | None:
    """The result that most others agree with, if central differences of the plain NumPy loss confirm it, else the next."""

    def exact(a: Any) -> Any:
        return a.astype(np.float64) if a.dtype.kind == "f" else a

    fixed = [exact(a) for a in data]

    def loss(moved: list[Any]) -> Any:
        return program.plain(like(params, moved), *fixed)

    places = [exact(leaf) for leaf in leaves(params)]
    for value, gradient in most_followed(results, program.dtype):
        if fits_differences(loss, places, (exact(np.asarray(value)), [exact(g) for g in gradient]), np.random.default_rng(1)):
            return value, gradient
    return None


# -- compilation ------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Compilation:
    """The seconds of a cold compilation of a program by each contender, or why there are none."""

    program: Program
    seconds: dict[str, float] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


def compilation(program: Program, pythons: Mapping[str, str], settings: Settings) -> Compilation:
    """The first call less a later one, with empty caches in a process that has compiled one other program before."""
    made = Compilation(program)
    other = next(name for name in WARM_UP if name != program.name)
    for name, python in pythons.items():
        if not ENTRIES[name].compiles:
            continue
        try:
            with fresh_process(name, python) as process:
                process.ask(settings.limit, "prepare", other, settings.small)
                first, later, *_ = process.ask(settings.limit, "prepare", program.name, settings.small)
                made.seconds[name] = max(first - later, 0.0)
        except FailedError as failure:
            made.failures[name] = str(failure)
    return made
