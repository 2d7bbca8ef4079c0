"""What a traced function has changed outside, how it is written there and how it is taken back."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from types import CellType
from typing import Any

from tracegrad.symbolic import Sym


@dataclass(frozen=True, slots=True)
class Change:
    """Something outside that the function has rebound: how to write the new value there, and as what it was read."""

    place: str
    write: Callable[[Any], None]
    value: Any
    origin: Hashable
    key: str
    revert: Callable[[], None]


def entry_back(space: dict[str, Any], name: str) -> Callable[[], None]:
    """What puts an entry back to what it is now."""
    if name in space:
        return functools.partial(space.__setitem__, name, space[name])
    return lambda: space.pop(name, None)


def attribute_back(owner: Any, name: str) -> Callable[[], None]:
    """What puts an attribute, or what a cell holds, back to what it is now."""
    try:
        held = getattr(owner, name)
    except (AttributeError, ValueError):
        return functools.partial(delattr, owner, name)
    return functools.partial(object.__setattr__ if not isinstance(owner, CellType) else setattr, owner, name, held)


def traced_in(value: Any) -> Sym | None:
    """A traced value, or the first one in nested containers."""
    if isinstance(value, Sym):
        return value
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple, set, deque)) else ()
    return next((found for found in map(traced_in, parts) if found is not None), None)


def dict_of(container: Any) -> dict[Any, Any]:
    """The entries of a dict, list or tuple by key."""
    return dict(container) if isinstance(container, dict) else dict(enumerate(container))
