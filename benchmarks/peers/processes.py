"""Workers seen from outside: started, asked with a time limit, ended.

Every contender has a process of its own, and only one of them is asked at a time. So thread pools never fight: while a
contender has its turn the others block on their standard input, and the pause before a turn (``Effort.pause``) is
longer than their idle threads spin: OpenMP's, TBB's and Eigen's sleep within milliseconds, OpenBLAS's after 100.
``OMP_WAIT_POLICY`` therefore stays as it is: PASSIVE would make PyTorch pay for waking its threads at every op. A contender
that needs another Numba, or that must be stopped in the middle of a compilation, needs its own process anyway.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.peers.worker import FAILED, MISSING

ROOT = Path(__file__).resolve().parents[2]
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 25), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}
"""glibc gives the top of its heap back to the system where 16 MB of it are free, so whether the 40 MB that Black-Scholes
returns are new pages at every call is a matter of what lies above them: by hand 11.9 ms or 5.6, and so for everyone."""


class MissingError(Exception):
    """The contender's library is not installed."""


class FailedError(Exception):
    """The contender gave no result; the text says why."""


class OverdueError(FailedError):
    """It took longer than it may."""


@dataclass
class Process:
    """A running worker.

    Parameters
    ----------
    contender: its name.
    python: the interpreter.
    caches: a folder for what the libraries compile and keep, None for their own places.
    """

    contender: str
    python: str = sys.executable
    caches: Path | None = None
    _process: Any = field(init=False, repr=False)
    _log: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  closed with the process
        self._process = subprocess.Popen(
            [self.python, "-m", "benchmarks.peers.worker", self.contender],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            cwd=ROOT,
            env=_environment(self.caches),
        )
        kind, what = self._answer(120.0)
        if kind == MISSING:
            self.end()
            raise MissingError(what)

    def ask(self, limit: float, *request: Any) -> Any:
        """The answer to a request.

        Raises
        ------
        OverdueError
            It took more than ``limit`` seconds; the process has been ended.
        FailedError
            The contender raised, or its process died.
        """
        try:
            pickle.dump(request, self._process.stdin, protocol=5)
            self._process.stdin.flush()
        except BrokenPipeError:
            raise FailedError(f"its process ended: {self._last_words()}") from None
        kind, what = self._answer(limit)
        if kind == FAILED:
            raise FailedError(what)
        return what

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            with contextlib.suppress(BrokenPipeError):
                stream.close()

    def _answer(self, limit: float) -> tuple[str, Any]:
        """Read one pickle, whose end only the unpickler knows: wait for its first byte, then read it through."""
        ready, _, _ = select.select([self._process.stdout], [], [], limit)
        if not ready:
            self.end()
            raise OverdueError(f"no result in {limit:g} s")
        try:
            answer: tuple[str, Any] = pickle.load(self._process.stdout)
        except (EOFError, pickle.UnpicklingError):
            raise FailedError(f"its process ended: {self._last_words()}") from None
        return answer

    def _last_words(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5.0)
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return f"{lines[-1] if lines else 'no output'} (exit {self._process.returncode})"


def _environment(caches: Path | None) -> dict[str, str]:
    """The worker's environment: this folder importable, freed memory kept, compilers' caches in a folder where one is given."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    kept = {**os.environ, **KEEP_MEMORY, "PYTHONPATH": path}
    if caches is None:
        return kept
    flags = os.environ.get("PYTENSOR_FLAGS", "")
    return kept | {
        "TRACEGRAD_CACHE_DIR": str(caches / "tracegrad"),
        "NUMBA_CACHE_DIR": str(caches / "numba"),
        "TORCHINDUCTOR_CACHE_DIR": str(caches / "inductor"),
        "PYTENSOR_FLAGS": ",".join(filter(None, [flags, f"base_compiledir={caches / 'pytensor'}"])),
    }


@contextlib.contextmanager
def fresh_process(contender: str, python: str) -> Iterator[Process]:
    """A worker with empty caches, for one measurement."""
    with tempfile.TemporaryDirectory(prefix="peers-", ignore_cleanup_errors=True) as folder:
        process = Process(contender, python, Path(folder))
        try:
            yield process
        finally:
            process.end()


class Field:
    """The contenders that are installed, one process each, started anew where one has been ended."""

    def __init__(self, contenders: Mapping[str, str]) -> None:
        self._pythons = dict(contenders)
        self._processes: dict[str, Process] = {}

    def ask(self, contender: str, limit: float, *request: Any) -> Any:
        """Ask a contender's process."""
        process = self._processes.get(contender)
        if process is None or not process.alive:
            process = self._processes[contender] = Process(contender, self._pythons[contender])
        return process.ask(limit, *request)

    def close(self) -> None:
        """End all processes."""
        for process in self._processes.values():
            process.end()
        self._processes.clear()
