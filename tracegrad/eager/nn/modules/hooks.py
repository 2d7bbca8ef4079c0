"""Functions that run around a module's forward, in an order that its user may choose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from tracegrad.eager.hooks import Hooks, RemovableHandle

__all__ = ["CallStyle", "ModuleHooks", "RemovableHandle"]


class CallStyle(NamedTuple):
    """How a hook of a module wants to be called."""

    with_kwargs: bool = False
    always_call: bool = False


_PLAIN = CallStyle()


class ModuleHooks(Hooks):
    """Hooks in the order they were added, some before all that were there."""

    __slots__ = ()

    def add(self, hook: Callable[..., Any], tag: Any = _PLAIN, prepend: bool = False) -> RemovableHandle:
        """Add a hook behind the others, or before them, and give the handle that removes it."""
        others = dict(self._by_key) if prepend else {}
        for key in others:
            del self._by_key[key]
        handle = super().add(hook, tag)
        # the same dict as before: handles of the other hooks remove from it
        self._by_key.update(others)
        return handle

    def __len__(self) -> int:
        return len(self._by_key)
