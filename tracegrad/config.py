"""Settings that say where and how work is done, never what the result is.

No environment variable changes a result. ``TRACEGRAD_CACHE_DIR`` only says where compiled kernels are kept.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import platformdirs

__all__ = ["Config", "Settings", "config", "get_num_threads", "set_num_threads"]


def _default_cache_dir() -> Path:
    named = os.environ.get("TRACEGRAD_CACHE_DIR")
    return _path("cache_dir", named or platformdirs.user_cache_dir("tracegrad", appauthor=False))


def _path(name: str, value: object) -> Path:
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"config.{name} takes a path, not {value!r}")
    return Path(os.fspath(value)).expanduser().absolute()


def _count(name: str, value: object, least: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"config.{name} takes an int, not {value!r}")
    if value < least:
        raise ValueError(f"config.{name} must be at least {least}, not {value}")
    return value


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"config.{name} takes True or False, not {value!r}")
    return value


@dataclass(frozen=True, slots=True)
class Settings:
    """One consistent set of settings; hashable, so it can be part of a key."""

    cache_dir: Path
    cache_limit_bytes: int
    threads: int | None
    verify: bool
    keep_traces: bool

    def changed(self, changes: Mapping[str, Any]) -> Settings:
        """Return a copy with some settings replaced by checked values.

        Raises
        ------
        AttributeError
            A name that is no setting.
        TypeError, ValueError
            A value the setting cannot take.
        """
        checked: dict[str, Any] = {}
        for name, value in changes.items():
            match name:
                case "cache_dir":
                    checked[name] = _path(name, value)
                case "cache_limit_bytes":
                    checked[name] = _count(name, value, 0)
                case "threads":
                    checked[name] = None if value is None else _count(name, value, 1)
                case "verify" | "keep_traces":
                    checked[name] = _flag(name, value)
                case _:
                    known = ", ".join(Settings.__dataclass_fields__)
                    raise AttributeError(f"tracegrad has no setting {name!r}; the settings are {known}")
        return replace(self, **checked)


_NO_CHANGES: Mapping[str, Any] = MappingProxyType({})


class Config:
    """The settings of this process, changed by attribute or, for a while, with :meth:`override`.

    An assignment holds for the whole process. An override holds in the running thread or async task only and wins
    over assignments until it ends. Reads take no lock.

    Attributes
    ----------
    cache_dir : Path
        Where compiled kernels are kept; a folder of the user's own cache by default.
    cache_limit_bytes : int
        Above this size the kernels not used for longest are removed; 2 GiB by default.
    threads : int or None
        How many threads a kernel may use; None means all the processor's. Calls read it, so it holds for functions that
        are compiled already; :func:`set_num_threads` sets it for the process.
    keep_traces : bool
        Keep what tracing found beside the compiled kernels, so that a later process neither traces nor compiles a function
        that is unchanged; on by default.
    verify : bool
        Check the graph after every stage; off by default, as it only finds faults of tracegrad itself.

    Examples
    --------
    >>> settings = Config()
    >>> settings.threads = 2
    >>> with settings.override(threads=1, verify=True):
    ...     settings.threads, settings.verify
    (1, True)
    >>> settings.threads, settings.verify
    (2, False)
    >>> settings.threads = 0
    Traceback (most recent call last):
    ValueError: config.threads must be at least 1, not 0
    """

    __slots__ = ("_lock", "ahead", "process", "scoped")

    def __init__(self) -> None:
        put = object.__setattr__
        put(self, "_lock", threading.Lock())
        put(self, "process", Settings(_default_cache_dir(), 2 << 30, None, False, True))
        put(self, "scoped", ContextVar[Mapping[str, Any]]("tracegrad_config", default=_NO_CHANGES))
        put(self, "ahead", weakref.WeakSet())

    _lock: threading.Lock
    process: Settings
    scoped: ContextVar[Mapping[str, Any]]
    ahead: weakref.WeakSet[Any]
    """The compiled functions whose repeated calls look at no settings."""

    def snapshot(self) -> Settings:
        """Return all settings as they stand here and now.

        Examples
        --------
        >>> Config().snapshot() == Config().snapshot()
        True
        """
        scoped = self.scoped.get()
        return replace(self.process, **scoped) if scoped else self.process

    @property
    def cache_dir(self) -> Path:
        """Where compiled kernels are kept."""
        return self.snapshot().cache_dir

    @property
    def cache_limit_bytes(self) -> int:
        """Above this size the kernels not used for longest are removed."""
        return self.snapshot().cache_limit_bytes

    @property
    def threads(self) -> int | None:
        """How many threads a kernel may use; None means all the processor's."""
        return self.snapshot().threads

    @threads.setter
    def threads(self, value: int | None) -> None: ...  # for type checkers: __setattr__ does it

    @property
    def verify(self) -> bool:
        """Whether the graph is checked after every stage."""
        return self.snapshot().verify

    @property
    def keep_traces(self) -> bool:
        """Whether traces are kept for later processes."""
        return self.snapshot().keep_traces

    def __setattr__(self, name: str, value: object) -> None:
        with self._lock:
            # One reference is replaced, so a reader sees the settings before or after, never between.
            object.__setattr__(self, "process", self.process.changed({name: value}))

    @contextmanager
    def override(self, **changes: Any) -> Iterator[Config]:
        """Change settings in this thread or async task until the ``with`` block ends.

        Parameters
        ----------
        changes
            Settings by name.

        Raises
        ------
        AttributeError, TypeError, ValueError
            As for an assignment; nothing has changed then.

        Examples
        --------
        >>> from pathlib import Path
        >>> with config.override(cache_dir=Path("/somewhere")):
        ...     config.cache_dir.name
        'somewhere'
        """
        checked = self.process.changed(changes)
        scoped = {**self.scoped.get(), **{name: getattr(checked, name) for name in changes}}
        token = self.scoped.set(scoped)
        try:
            yield self
        finally:
            self.scoped.reset(token)

    def __repr__(self) -> str:
        now = self.snapshot()
        return f"Config({', '.join(f'{name}={getattr(now, name)!r}' for name in Settings.__dataclass_fields__)})"


config = Config()
"""The settings of this process."""


def set_num_threads(threads: int | None) -> None:
    """Bound the threads that compiled functions use, in the whole process and from the next call on.

    The same as ``tg.config.threads = threads``. ``with tg.config.override(threads=2):`` bounds them in the running thread
    or async task only, and ``threads=`` of ``jit`` and ``grad_compile`` those of one function; where several bounds hold,
    the lowest does. Results are bitwise the same for any number. Work of less than 60 µs is never given to threads, and
    no thread is started before the first call that is worth one.

    Parameters
    ----------
    threads: at least 1, which means the caller's thread alone; None for as many as the process may run on.

    Raises TypeError and ValueError for anything else.

    >>> import tracegrad as tg
    >>> tg.set_num_threads(1)
    >>> tg.get_num_threads()
    1
    >>> tg.set_num_threads(None)
    """
    config.threads = threads


def get_num_threads() -> int:
    """How many threads a compiled function may use here and now, unless ``threads=`` of its own says fewer.

    >>> import tracegrad as tg
    >>> with tg.config.override(threads=1):
    ...     tg.get_num_threads()
    1
    """
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(config.threads or here, here)
