"""The time of each kernel, measured by running a program up to it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tracegrad.errors import TracegradError
from tracegrad.pipeline import Compilation

ROUNDS = 25
"""Rounds over all kernels; the least time of each counts."""
SECONDS = 2.0
"""After so long no further round begins."""


def measure_launches(compilation: Compilation, arguments: Sequence[Any]) -> tuple[float, ...]:
    """Seconds that each launch of a compiled program takes on these arguments.

    The program is run with its first, its first two, … launches at work, the others being given no chunks to compute; each
    launch is the difference of two such times, the least of ``ROUNDS`` rounds, and at least 0. What a call costs besides, as
    fresh arrays for the results, goes to the first.

    Raises TracegradError for a program that runs on the interpreter.
    """
    c = compilation
    if c.executable is None or c.generated is None:
        raise TracegradError("this function runs on the interpreter, so it has no kernels to measure", fix='use compile="now"')
    runs = [replace(c.executable, plan=_first(c, count)).bind() for count in range(1, len(c.generated.steps) + 1)]
    least = [float("inf")] * len(runs)
    began = time.perf_counter()
    for number in range(ROUNDS):
        if number > 1 and time.perf_counter() - began > SECONDS:
            break
        for k, run in enumerate(runs):
            start = time.perf_counter()
            run(arguments)
            least[k] = min(least[k], time.perf_counter() - start)
    return tuple(max(after - before, 0.0) for before, after in zip([0.0, *least], least, strict=False))


def _first(c: Compilation, count: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The table under which the launches behind the first ``count`` have no chunks."""
    assert c.plan is not None
    assert c.generated is not None
    words = c.plan.words.copy()
    for step in c.generated.steps[count:]:
        words[step.base if step.words else step.launches[0].base] = 0
    words.flags.writeable = False
    return words
