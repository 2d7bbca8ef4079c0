"""The process of one contender: it builds programs and times its own calls when it is asked to.

Started as ``python -m benchmarks.peers.worker CONTENDER``. Requests and answers are pickled tuples over the standard
streams; what a library prints goes to standard error. It needs NumPy, SciPy and the contender's library only.
"""

from __future__ import annotations

import gc
import importlib
import os
import pickle
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, BinaryIO

from benchmarks.peers.contenders import ENTRIES
from benchmarks.peers.program import Contender
from benchmarks.peers.programs import BY_NAME
from benchmarks.timing import version_of

READY, FAILED, MISSING = "ready", "failed", "missing"
WARM_UP = 0.01
"""Seconds of calls that do not count before those that do. Worker threads that slept may share the caller's core until the
system's next look at the balance, 2 to 4 ms later; a pool that spins for 100 ms after its work would not show it."""


class Worker:
    """The programs that have been built, by name."""

    def __init__(self, build: Callable[..., Contender]) -> None:
        self._build = build
        self._held: dict[str, Contender] = {}

    def prepare(self, name: str, small: bool) -> tuple[float, float, Any, list[Any]]:
        """Build a program; seconds to the first result and of a later call, value and gradient leaves."""
        program = BY_NAME[name]
        params, data = program.drawn(small)
        began = time.perf_counter()
        contender = self._build(program, params, data)
        result = contender.run()
        first = time.perf_counter() - began
        contender.run()  # some libraries look at the result of the first call before they settle
        began = time.perf_counter()
        result = contender.run()
        later = time.perf_counter() - began
        value, leaves = contender.read(result)
        self._held[name] = contender
        return first, later, value, leaves

    def turn(self, name: str, calls: int, warm: bool) -> float:
        """The seconds of so many calls, after ``WARM_UP`` seconds of them if ``warm``; the garbage is collected outside."""
        run = self._held[name].run
        ready = time.perf_counter() + WARM_UP
        while warm:
            run()
            warm = time.perf_counter() < ready
        repeat = range(calls)
        began = time.perf_counter()
        for _ in repeat:
            run()
        taken = time.perf_counter() - began
        gc.collect(0)
        return taken

    def versions(self) -> dict[str, str]:
        """The versions of the libraries that only this process may have."""
        return {name: version for name in ("pytensor",) if (version := version_of(name)) is not None}

    def drop(self, name: str) -> None:
        """Let go of a program's arrays."""
        self._held.pop(name, None)
        gc.collect()


def serve(requests: BinaryIO, answers: BinaryIO, contender: str) -> None:
    """Answer until the requests end."""
    try:
        worker = Worker(importlib.import_module(ENTRIES[contender].module).build)
    except ImportError as error:
        _send(answers, (MISSING, str(error)))
        return
    gc.disable()
    _send(answers, (READY, os.getpid()))
    while True:
        try:
            request, *arguments = pickle.load(requests)
        except EOFError:
            return
        try:
            answer = (READY, getattr(worker, request)(*arguments))
        except Exception as error:  # noqa: BLE001  whatever a library raises is its result
            traceback.print_exc(file=sys.stderr)
            first = str(error).strip().splitlines()
            answer = (FAILED, f"{type(error).__name__}: {first[0] if first else ''}")
        _send(answers, answer)


def _send(stream: BinaryIO, answer: Any) -> None:
    pickle.dump(answer, stream, protocol=5)
    stream.flush()


if __name__ == "__main__":
    own = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, own, sys.argv[1])
