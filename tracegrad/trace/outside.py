"""What a traced function sees in place of things that say something else at each look: chance, clocks, iterators.

Read while tracing, they would say the same at every call. So they refuse, but for environment variables, which are
compared like any other value that the trace has read.
"""

from __future__ import annotations

import os
import random
import secrets
import time
import uuid
from collections.abc import Callable, Iterator, MutableMapping
from types import ModuleType
from typing import Any

import numpy as np

from tracegrad.core.source import user_frame
from tracegrad.errors import TraceError
from tracegrad.symbolic import current_recorder

RANDOM = (np.random.Generator, np.random.RandomState, random.Random)
"""Classes whose objects draw."""

CLOCKS = frozenset(
    function
    for name, function in vars(time).items()
    if name.removesuffix("_ns") in {"time", "perf_counter", "monotonic", "process_time", "thread_time", "clock_gettime"}
    or name in {"localtime", "gmtime", "ctime", "strftime", "asctime"}
)
"""Functions that read a clock."""
CHANCE = frozenset(
    (os.urandom, uuid.uuid1, uuid.uuid4, *(f for n, f in vars(secrets).items() if n in secrets.__all__ and callable(f)))
    + tuple(f for n, f in vars(random).items() if n in random.__all__ and callable(f) and not isinstance(f, type))
) - {secrets.compare_digest}
"""Functions that draw."""


class Forbidden:
    """Random numbers: drawn while tracing they would be the same at every call."""

    def __init__(self, name: str, does: str = "draws", gives: str = "numbers") -> None:
        self._name = name
        self._does = does
        self._gives = gives

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        full = f"{self._name}.{name}"
        return _RANDOM_CLASSES.get(full) or Forbidden(full, self._does, self._gives)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse."""
        what = "read the clock" if self._does == "reads a clock" else "do so"
        fix = f"{what} outside the traced function and pass the numbers in as an argument"
        if self._does == "draws":
            fix = "pass rng as an argument, rng = np.random.default_rng(seed), and draw from it: rng.normal(size=n)"
        error = TraceError(
            f"{self._name} {self._does} while tracing, so its {self._gives} would be the same at every call",
            fix=fix,
            where=user_frame(),
        )
        recorder = current_recorder.get()
        if recorder is not None:
            recorder.escape(error)
        raise error

    def __iter__(self) -> Iterator[Any]:
        return self()  # type: ignore[no-any-return]

    def __next__(self) -> Any:
        return self()


class _RandomClass(type):
    """A class whose objects draw, as a traced function sees it: it serves ``isinstance``, and makes none."""

    of: type

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, cls.of)

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        """Refuse: it would draw while tracing."""
        return Forbidden(cls.__name__)()


def _full_name(kind: type) -> str:
    return f"{'random' if kind is random.Random else 'np.random'}.{kind.__name__}"


_RANDOM_CLASSES = {_full_name(kind): _RandomClass(_full_name(kind), (), {"of": kind}) for kind in RANDOM}


def random_class(value: Any) -> Any:
    """What stands for a class whose objects draw; None for anything else."""
    return _RANDOM_CLASSES[_full_name(value)] if isinstance(value, type) and value in RANDOM else None


def refusal(value: Any) -> Forbidden | None:
    """What stands for a function that draws or reads a clock, or for an iterator; None for anything else."""
    if isinstance(value, RANDOM):
        return Forbidden(f"the random generator {type(value).__name__}")
    if isinstance(value, ModuleType):
        return Forbidden(value.__name__.replace("numpy", "np")) if value.__name__ in {"numpy.random", "random"} else None
    try:
        if value in CLOCKS:
            return Forbidden(f"time.{value.__name__}", "reads a clock", "time")
        if value in CHANCE:
            owner = getattr(value, "__module__", None) or "random"
            return Forbidden(f"{'random' if isinstance(value, type) else owner.lstrip('_')}.{value.__name__}")
    except (TypeError, ValueError):  # not hashable
        return None
    kind = type(value)
    if hasattr(kind, "__next__") and hasattr(kind, "__iter__") and not hasattr(value, "read"):
        return Forbidden(f"an iterator from outside the trace ({kind.__name__})", "goes on", "values")
    return None


class Environment(MutableMapping[str, str]):
    """``os.environ`` inside a trace: ``watch(key)`` notes that a variable was read."""

    def __init__(self, watch: Callable[[str | None], None]) -> None:
        self._watch = watch

    def __getitem__(self, key: str) -> str:
        self._watch(key)
        return os.environ[key]

    def __iter__(self) -> Iterator[str]:
        self._watch(None)
        return iter(os.environ)

    def __len__(self) -> int:
        self._watch(None)
        return len(os.environ)

    def __setitem__(self, key: str, value: str) -> None:
        os.environ[key] = value

    def __delitem__(self, key: str) -> None:
        del os.environ[key]


def present(key: str | None) -> tuple[Any, ...] | str | None:
    """An environment variable now; all of them for None."""
    return tuple(sorted(os.environ.items())) if key is None else os.environ.get(key)
