"""What a traced function sees in place of what tells of the process and its files: answers asked for again at each call.

The working directory, whether a file is there, what it holds: a trace is good as long as they are the same. What cannot be
asked for twice, a clock, the standard input, another program's output, refuses (``trace.outside``).
"""

from __future__ import annotations

import builtins
import datetime as dt
import io
import os
import sys
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from tracegrad.core.source import user_frame
from tracegrad.errors import TraceError
from tracegrad.symbolic import current_recorder
from tracegrad.trace.outside import Forbidden

Note = Callable[[str, Callable[[], Any]], None]
"""``note(name, ask)`` makes the answer of ``ask()`` part of what the trace is good for."""

ASKED = frozenset(
    (
        os.getcwd,
        os.getpid,
        os.listdir,
        os.stat,
        os.access,
        os.cpu_count,
        os.path.getsize,
        os.path.getmtime,
        sys.getrecursionlimit,
    )
    + (os.path.exists, os.path.lexists, os.path.isfile, os.path.isdir, os.path.islink, os.path.abspath, os.path.realpath)
    + (np.geterr, np.get_printoptions, np.getbufsize)
)
"""Functions whose answer is compared with what they answer at a call."""
READERS = frozenset((np.load, np.loadtxt, np.genfromtxt, np.fromfile, np.fromregex, np.memmap))
"""Functions that read the file that is their first argument."""
PROGRAMS = frozenset(f"subprocess.{name}" for name in ("run", "check_output", "check_call", "call", "getoutput", "Popen"))
SYSTEM = frozenset((os.popen, os.system))
"""What runs another program."""
CLOCKS = frozenset((os.times, os.getloadavg)) if hasattr(os, "getloadavg") else frozenset((os.times,))
HOMES = {"posix": "os", "nt": "os", "posixpath": "os.path", "ntpath": "os.path", "genericpath": "os.path", "numpy": "np"}
"""What people call the modules that functions say they are of."""
DATA = (bool, int, float, complex, str, bytes, type(None), np.generic, np.ndarray, dict, list, tuple)
MOST = 100
"""How many entries what a module holds may have to be compared at each call; ``sys.modules`` has thousands."""
SUDDEN = frozenset(("now", "today"))
READING = frozenset(("read", "readline", "readlines", "readinto", "read1", "readall", "__next__", "__iter__"))
"""Methods of files that go on from where the last call has stopped."""


class Watched:
    """A function whose answer may be another at the next call: it is asked again."""

    def __init__(self, function: Callable[..., Any], name: str, note: Note) -> None:
        self.__wrapped__ = function
        self._name = name
        self._note = note

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The answer, which the trace is good for."""
        shown = ", ".join(map(repr, (*args, *kwargs.items())))
        self._note(f"{self._name}({shown})", partial(self.__wrapped__, *args, **kwargs))
        return self.__wrapped__(*args, **kwargs)


class Reader:
    """A function that reads a file: the trace is good as long as nobody has written to it."""

    def __init__(self, function: Callable[..., Any], note: Note) -> None:
        self.__wrapped__ = function
        self._note = note

    def __call__(self, file: Any, *args: Any, **kwargs: Any) -> Any:
        """Call the function, noting the file."""
        watch(file, self._note)
        return self.__wrapped__(file, *args, **kwargs)


def watch(file: Any, note: Note) -> None:
    """Note what is in a file, given by its path."""
    if isinstance(file, (str, bytes, os.PathLike)):
        path = os.path.abspath(os.fspath(file))
        note(f"the file {path!r}", partial(_written, path))


def _written(path: Any) -> tuple[int, int, int]:
    """What is another after a file was written to."""
    found = os.stat(path)
    return found.st_mtime_ns, found.st_size, found.st_ino


def opened(note: Note) -> Callable[..., Any]:
    """``open`` inside a trace: a file that is read is noted."""

    def open(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:  # noqa: A001
        if "r" in mode:
            watch(file, note)
        return builtins.open(file, mode, *args, **kwargs)

    return open


class OutsideFile:
    """A file that was open before the trace: it may be written to, and not read, as it goes on at each call."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        if name in READING:
            return Forbidden(f"{type(self._file).__name__}.{name} of a file from outside the trace", "goes on", "contents")
        return getattr(self._file, name)

    def __iter__(self) -> Any:
        return self.__getattr__("__iter__")()


class _OfDates(type):
    """The class of a class of dates: it makes what the real one makes."""

    of: Any

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, cls.of)

    def __subclasscheck__(cls, kind: type) -> bool:
        return issubclass(getattr(kind, "of", kind), cls.of)

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls.of is np.datetime64 and args and args[0] in SUDDEN:
            return Forbidden(f"np.datetime64({args[0]!r})", "reads a clock", "time")()
        return cls.of(*args, **kwargs)

    def __getattr__(cls, name: str) -> Any:
        if name in ("now", "utcnow", "today"):
            return Forbidden(f"datetime.{cls.__name__}.{name}", "reads a clock", "time")
        return getattr(cls.of, name)


DATES: dict[Any, type] = {kind: _OfDates(kind.__name__, (), {"of": kind}) for kind in (dt.datetime, dt.date, np.datetime64)}


def errors_set(function: Callable[..., Any]) -> Callable[..., Any]:
    """``np.errstate`` or ``np.seterr`` inside a trace: kernels raise nothing, so what would have NumPy raise is refused."""

    def set_errors(*args: Any, **kwargs: Any) -> Any:
        if any(value in ("raise", "call") for value in (*args, *kwargs.values())):
            error = TraceError(
                f"np.{function.__name__} with 'raise' or 'call' has no effect on what is compiled",
                fix="call f inside of `with tg.debug.nans():`, which names the first operation that gives NaN or inf",
                where=user_frame(),
            )
            recorder = current_recorder.get()
            if recorder is not None:
                recorder.escape(error)
            raise error
        return function(*args, **kwargs)

    return set_errors


def stand_in(value: Any, note: Note) -> Any:
    """What stands for something that tells of the process or its files; None for anything else."""
    if isinstance(value, io.IOBase):
        return _of_file(value)
    if isinstance(value, type) and value in DATES:
        return DATES[value]
    try:
        if value in ASKED:
            return Watched(value, _name(value), note)
        if value in READERS:
            return Reader(value, note)
        if value in SYSTEM or (getattr(value, "__module__", "") == "subprocess" and _name(value) in PROGRAMS):
            return Forbidden(_name(value), "runs a program", "output")
        if value in CLOCKS:
            return Forbidden(_name(value), "reads a clock", "time")
    except (TypeError, ValueError):  # not hashable
        return None
    if value is builtins.open:
        return opened(note)
    return _of_errors(value)


def _of_errors(value: Any) -> Any:
    return errors_set(value) if value is np.errstate or value is np.seterr else None


def _of_file(value: io.IOBase) -> Any:
    try:
        return OutsideFile(value) if value.readable() else None
    except ValueError:  # closed
        return None


def _name(function: Any) -> str:
    module = function.__module__ or ""
    return f"{HOMES.get(module, module)}.{getattr(function, '__name__', '')}"


def is_setting(module: ModuleType, name: str, value: Any) -> bool:
    """Whether an attribute of a package's module is data that may be another at the next call."""
    if not isinstance(value, DATA) or (isinstance(value, (dict, list, tuple)) and len(value) > MOST):
        return False
    if module.__name__.partition(".")[0] in ("numpy", "scipy", "math") and name in getattr(module, "__all__", (name,)):
        return False  # pi, say
    return not (name.startswith("__") and name.endswith("__"))
