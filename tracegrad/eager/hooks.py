"""Functions that users hang on tensors and nodes, and the handles that take them off again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

Hook = Callable[..., Any]


class Hooks:
    """Hooks in the order they were added."""

    __slots__ = ("_by_key", "_next")

    def __init__(self) -> None:
        self._by_key: dict[int, tuple[Hook, Any]] = {}
        self._next = 0

    def add(self, hook: Hook, tag: Any = None) -> RemovableHandle:
        """Add a hook, with something to tell it by when it is called."""
        key = self._next
        self._next += 1
        self._by_key[key] = (hook, tag)
        return RemovableHandle(self._by_key, key)

    def __iter__(self) -> Iterator[tuple[Hook, Any]]:
        # a hook may remove itself
        return iter(tuple(self._by_key.values()))

    def __bool__(self) -> bool:
        return bool(self._by_key)


class RemovableHandle:
    """What ``register_hook`` gives: ``remove()`` takes the hook off; as a context manager it does so at the end.

    >>> from tracegrad.eager.tensor import tensor
    >>> x = tensor(2.0, requires_grad=True)
    >>> with x.register_hook(lambda g: 10 * g):
    ...     (3 * x).backward()
    >>> x.grad
    tensor(30.)
    """

    __slots__ = ("_hooks", "_key")

    def __init__(self, hooks: dict[int, tuple[Hook, Any]], key: int) -> None:
        self._hooks = hooks
        self._key = key

    def remove(self) -> None:
        """Take the hook off; a second time does nothing."""
        self._hooks.pop(self._key, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()
