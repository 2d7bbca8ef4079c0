"""The time of each kernel, measured by running a program up to it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tracegrad.codegen.entry import Step
from tracegrad.errors import TracegradError
from tracegrad.pipeline import Compilation

ROUNDS = 25
"""Rounds over all kernels; the least time of each counts."""
SECONDS = 2.0
"""After so long no further round begins."""


def measure_launches(compilation: Compilation, arguments: Sequence[Any]) -> tuple[float, ...]:
    """Seconds that each launch of a compiled program, or each kernel of a chain, takes on these arguments.

    The program is run with its first, its first two, … launches at work, the others being given no chunks to compute; each
    launch is the difference of two such times, the least of ``ROUNDS`` rounds, and at least 0. What a call costs besides, as
    fresh arrays for the results, goes to the first.

    Raises TracegradError for a program that runs on the interpreter.
    """
    c = compilation
    if c.executable is None or c.generated is None:
        raise TracegradError("this function runs on the interpreter, so it has no kernels to measure", fix='use compile="now"')
    words = [word for step in c.generated.steps for word in counted(step)]
    runs = [replace(c.executable, plan=_without(c, words[count:])).bind() for count in range(1, len(words) + 1)]
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


def counted(step: Step) -> tuple[tuple[int, ...], ...]:
    """The words that hold the number of chunks: of a launch, or of each kernel of a chain."""
    first = step.launches[0]
    if first.text.members:
        return tuple(tuple(first.base + word for word in words) for words in first.text.members)
    return ((step.base if step.words else first.base,),)


def _without(c: Compilation, words: Sequence[tuple[int, ...]]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The table under which the kernels have no chunks whose numbers of chunks stand in some words."""
    assert c.plan is not None
    table = c.plan.words.copy()
    table[[word for each in words for word in each]] = 0
    table.flags.writeable = False
    return table
