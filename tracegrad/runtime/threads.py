"""Which threads kernels run on: policy and platform knowledge, no compiler.

Numba offers three thread pools. One of them, tbb, survives concurrent callers and fork, so it is a dependency where it
has wheels and is loaded by path before the pool starts. The others need care: after a parallel call on OpenMP a forked
child hangs or dies at its first parallel call, and concurrent calls on workqueue abort the process. Compiled programs
therefore look at the word of a :class:`Gate` before each parallel call and run serially where it is closed. Results do
not depend on it: chunks are derived from the data alone.
"""

from __future__ import annotations

import ctypes
import importlib.machinery
import importlib.metadata
import importlib.util
import os
import sys
import weakref
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path

__all__ = ["GATE", "Gate", "GateMode", "load_tbb", "mode_for_layer", "start_tbb", "tbb_candidates"]


class GateMode(IntEnum):
    """What a compiled program may do with the thread pool; the numbers are part of the compiled code."""

    SERIAL = 0  # never use the pool
    OPEN = 1  # any number of callers at once
    EXCLUSIVE = 2  # one caller at a time, the others run serially
    TAKEN = 3  # EXCLUSIVE, and a caller is inside


class Gate:
    """Three words of memory that say how this process may use the thread pool: a mode, and how to reach the pool.

    Their address is known to compiled programs as the symbol ``tracegrad_gate``. The pool is started by the first call
    that is worth threads, not by loading a program: until then the gate is closed and the other two words are 0. A forked
    child of a process whose pool does not survive fork finds it closed.

    Examples
    --------
    >>> gate = Gate()
    >>> gate.mode.name
    'SERIAL'
    >>> gate.open("omp", 0, 0)
    >>> gate.mode.name, gate.layer
    ('OPEN', 'omp')
    """

    def __init__(self) -> None:
        self._words = (ctypes.c_int64 * 3)(GateMode.SERIAL, 0, 0)
        self._layer: str | None = None
        self._closed_by_fork = False
        if hasattr(os, "register_at_fork"):
            this = weakref.ref(self)

            def close() -> None:
                gate = this()
                if gate is not None:
                    gate.close_after_fork()

            os.register_at_fork(after_in_child=close)

    @property
    def address(self) -> int:
        """Where the words stand in memory; stays valid as long as the gate lives."""
        return ctypes.addressof(self._words)

    @property
    def mode(self) -> GateMode:
        """What programs may do now."""
        return GateMode(self._words[0])

    @property
    def layer(self) -> str | None:
        """Name of the pool in use, None before the first call that is worth threads."""
        return self._layer

    def open(self, layer: str, parallel_for: int, get_num_threads: int) -> None:
        """Let programs use a pool that has been started; a second call for the same pool changes nothing.

        Parameters
        ----------
        layer
            Numba's name of the pool.
        parallel_for, get_num_threads
            The addresses of the pool's functions.
        """
        if layer == self._layer:
            return
        self._layer = layer
        self._words[1], self._words[2] = parallel_for, get_num_threads
        self._words[0] = GateMode.SERIAL if self._closed_by_fork else mode_for_layer(layer)

    def close_after_fork(self) -> None:
        """Close the gate for good in a forked child whose inherited pool is dead there."""
        if self._layer is not None and self._layer != "tbb":
            self._closed_by_fork = True
            self._words[0] = GateMode.SERIAL


def mode_for_layer(layer: str) -> GateMode:
    """Return how a pool may be used.

    Parameters
    ----------
    layer
        Numba's name of the pool.

    Examples
    --------
    >>> [mode_for_layer(layer).name for layer in ("tbb", "omp", "workqueue", "unheard of")]
    ['OPEN', 'OPEN', 'EXCLUSIVE', 'SERIAL']
    """
    return {"tbb": GateMode.OPEN, "omp": GateMode.OPEN, "workqueue": GateMode.EXCLUSIVE}.get(layer, GateMode.SERIAL)


def tbb_candidates() -> Iterator[Path]:
    """Yield where the tbb library may stand: beside the interpreter, then where its package says."""
    name = {"win32": "tbb12.dll", "darwin": "libtbb.12.dylib"}.get(sys.platform, "libtbb.so.12")
    folder = Path("Library", "bin") if sys.platform == "win32" else Path("lib")
    yield Path(sys.prefix) / folder / name
    try:
        files = importlib.metadata.files("tbb") or []
    except importlib.metadata.PackageNotFoundError:
        return
    for file in files:
        if file.name == name:
            yield Path(str(file.locate()))


def load_tbb() -> Path | None:
    """Load the tbb library where the dynamic linker will find it by name, and return its path.

    Numba looks for it by name only, and installers put it where the linker does not look.

    Returns
    -------
    Path or None
        None where there is no such library or it does not load; another pool is used then.
    """
    for path in tbb_candidates():
        if path.exists():
            try:
                ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
            except OSError:
                continue
            return path
    return None


def start_tbb() -> tuple[int, int] | None:
    """Start Numba's tbb pool without importing Numba, which takes 0.3 s; the addresses of its two functions.

    The pool is a C extension that needs nothing of Numba. Where Numba is imported later, it finds the pool started.

    Returns
    -------
    addresses of the functions that run a loop and count threads, or None
        None where Numba is imported already or its settings ask for anything else, and where tbb or the extension is
        missing or not what was expected: Numba then starts a pool of its choice.
    """
    settings = ("NUMBA_THREADING_LAYER", "NUMBA_THREADING_LAYER_PRIORITY", "NUMBA_NUM_THREADS")
    if "numba" in sys.modules or any(name in os.environ for name in settings) or Path(".numba_config.yaml").exists():
        return None
    library, extension = load_tbb(), _tbb_extension()
    if library is None or extension is None:
        return None
    try:
        if ctypes.CDLL(str(library)).TBB_runtime_interface_version() < OLDEST_TBB:
            return None
        spec = importlib.util.spec_from_file_location(TBB_EXTENSION, extension)
        assert spec is not None
        pool = importlib.util.module_from_spec(spec)
        sys.modules.pop(TBB_EXTENSION, None)  # Numba's own import is to find nothing half-made
        count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        for start in (pool.launch_threads, pool.set_num_threads):
            ctypes.CFUNCTYPE(None, ctypes.c_int)(start)(count)
        return int(pool.parallel_for), int(pool.get_num_threads)
    except (ImportError, OSError, AttributeError):
        return None


OLDEST_TBB = 12060
"""The interface version of tbb that Numba wants at least."""
TBB_EXTENSION = "numba.np.ufunc.tbbpool"


def _tbb_extension() -> Path | None:
    """The file of Numba's tbb pool, found without importing Numba."""
    found = importlib.util.find_spec("numba")
    if found is None or found.origin is None:
        return None
    stem = Path(found.origin).parent.joinpath(*TBB_EXTENSION.split(".")[1:])
    paths = (stem.with_name(stem.name + suffix) for suffix in importlib.machinery.EXTENSION_SUFFIXES)
    return next((path for path in paths if path.exists()), None)


GATE = Gate()
"""The gate of this process: compiled code holds its address, so there is exactly one."""
