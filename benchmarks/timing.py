"""Fair times: contenders take turns in one process, the median of many turns counts; and the facts of the machine."""

from __future__ import annotations

import datetime as dt
import functools
import gc
import importlib.metadata
import math
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PACKAGES = (
    "tracegrad",
    "numpy",
    "scipy",
    "numba",
    "llvmlite",
    "networkx",
    "tbb",
    "torch",
    "jax",
    "jaxlib",
    "autograd",
    "pytensor",
)


@dataclass(frozen=True, slots=True)
class Effort:
    """How much measuring is done.

    Parameters
    ----------
    rounds: how often each contender gets a turn.
    turn: the least seconds of a turn; fast contenders are called many times in one.
    pause: seconds of sleep before a turn, so that the previous contender's worker threads stop spinning for work.
    share: about how many seconds a contender may take in all; a slow one then sits out rounds, all but three at most.
    """

    rounds: int = 25
    turn: float = 0.005
    pause: float = 0.01
    share: float = float("inf")


QUICK = Effort(rounds=3, turn=0.0, pause=0.0)


@dataclass(frozen=True, slots=True)
class Timing:
    """Microseconds of one call: median, quartiles and least of the turns."""

    median: float
    lower: float
    upper: float
    least: float
    calls: int
    rounds: int


def interleave(contenders: Mapping[str, Callable[[], Any]], effort: Effort) -> dict[str, Timing]:
    """The time of one call of each contender, measured in turns whose order changes from round to round.

    Every contender must have been called before, so that nothing compiles here. A turn begins with one call that does
    not count: it brings the contender's data and code back into the caches.
    """
    with _no_collections():
        # between rounds, never inside a turn
        return take_turns({name: functools.partial(_turn, call) for name, call in contenders.items()}, effort, gc.collect)


Turn = Callable[[int, bool], float]
"""``turn(calls, warm)``: the seconds of so many calls, after one or a few that do not count if ``warm``."""


def take_turns(contenders: Mapping[str, Turn], effort: Effort, between: Callable[[], Any] = lambda: None) -> dict[str, Timing]:
    """The same for contenders that time their own calls, in other processes perhaps; ``between`` is called after a round."""
    calls = {name: _calls_per_turn(turn, effort.turn) for name, turn in contenders.items()}
    strides = {name: _stride(turn, calls[name], effort) for name, turn in contenders.items()}
    turns: dict[str, list[float]] = {name: [] for name in contenders}
    names = list(contenders)
    for k in range(effort.rounds):
        shift = k % len(names)
        for name in names[shift:] + names[:shift]:
            if k % strides[name] == 0:
                time.sleep(effort.pause)
                turns[name].append(contenders[name](calls[name], True) / calls[name] * 1e6)
        between()
    return {name: _summary(values, calls[name]) for name, values in turns.items()}


def _turn(call: Callable[[], Any], calls: int, warm: bool) -> float:
    if warm:
        call()
    return seconds_of(call, calls)


def _calls_per_turn(turn: Turn, least: float) -> int:
    """How many calls fill a turn, found by doubling; warm, as those that count, or a slow start would fill most of it."""
    calls = 1
    while (taken := turn(calls, True)) < least:
        calls = max(2 * calls, min(int(1.2 * calls * least / max(taken, 1e-9)), 100 * calls))
    return calls


def _stride(turn: Turn, calls: int, effort: Effort) -> int:
    """Every how many rounds a slow contender takes part, so that it needs no more than its share of time."""
    if effort.share == float("inf") or calls > 1:
        return 1
    return min(max(1, math.ceil(2 * turn(1, False) * effort.rounds / effort.share)), max(effort.rounds // 3, 1))


def seconds_of(call: Callable[[], Any], calls: int) -> float:
    """The seconds of so many calls."""
    repeat = range(calls)
    began = time.perf_counter()
    for _ in repeat:
        call()
    return time.perf_counter() - began


def _summary(values: list[float], calls: int) -> Timing:
    quarters = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return Timing(statistics.median(values), quarters[0], quarters[2], min(values), calls, len(values))


@contextmanager
def _no_collections() -> Iterator[None]:
    """No garbage collection inside: it would strike whichever contender happens to allocate at the wrong moment."""
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def usable_cores() -> int:
    """How many cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine(threads: int) -> dict[str, Any]:
    """The facts a reader needs to judge a time: processor, cores, threads, versions, date."""
    return {
        "cpu": _cpu_model(),
        "architecture": platform.machine(),
        "cores": usable_cores(),
        "threads": threads,
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": {name: version for name in PACKAGES if (version := version_of(name)) is not None},
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    }


def _cpu_model() -> str:
    facts = Path("/proc/cpuinfo")
    if facts.is_file():
        for line in facts.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def version_of(package: str) -> str | None:
    """An installed package's version."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
