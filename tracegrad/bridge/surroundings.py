"""What code written for tensors reads from outside its arguments: parameters, buffers, other tensors, numbers.

The tensors become inputs of the program, found anew at each call; everything else is part of its key, so that a change
retraces. While the code is traced, traced values stand in the tensors' places.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from tracegrad.core.source import is_user_file
from tracegrad.eager import Tensor
from tracegrad.eager.hooks import Hooks
from tracegrad.eager.nn import Module
from tracegrad.trace.states import is_plain_object, is_users_module

LARGE = 1000
"""Containers with more entries are data: what they hold is not looked at."""

_MEMBERS = ("_parameters", "_buffers")


class _Cell(dict[str, Any]):
    """A closure's variable as a place like any other."""

    def __init__(self, cell: CellType) -> None:
        super().__init__()
        self.cell = cell

    def __getitem__(self, name: str) -> Any:
        return self.cell.cell_contents

    def __setitem__(self, name: str, value: Any) -> None:
        self.cell.cell_contents = value


Place = tuple[Any, Any]
"""A container, and under which key a tensor stands in it."""


@dataclass(slots=True)
class Slot:
    """A tensor from outside: what errors call it, where it stands, and whether it is a buffer or another attribute."""

    tensor: Tensor
    path: str
    places: list[Place] = field(default_factory=list)


class Surroundings:
    """One look at what functions and modules read from outside.

    ``slots`` are the tensors, each once, in an order that only the code determines; ``key`` is the rest, hashable;
    ``kept`` the objects whose identities are part of it; ``modules`` the modules with their paths; ``arrays`` NumPy's by id.
    """

    def __init__(self, *roots: Any) -> None:
        self.slots: list[Slot] = []
        self.kept: list[Any] = []
        self.modules: list[tuple[str, Module]] = []
        self.arrays: dict[int, np.ndarray[Any, Any]] = {}
        self._numbers: dict[int, int] = {}
        self._seen: set[int] = set()
        parts: list[Hashable] = []
        for root in roots:
            self._look(root, getattr(root, "__name__", type(root).__name__), {}, None, parts)
        self.key = tuple(parts)

    # -- looking ------------------------------------------------------------------------------------------------------

    def _look(self, value: Any, path: str, holder: Any, name: Any, parts: list[Hashable]) -> None:
        """Take in a value that stands in ``holder[name]``."""
        kind = type(value)
        if kind in _NUMBERS:
            parts.append((kind, value or repr(value)))  # -0.0 is not 0.0
            return
        if kind is slice:
            parts.append((kind, repr(value)))  # has no hash
            return
        if isinstance(value, Tensor):
            parts.append(self._slot(value, path, holder, name))
            return
        if isinstance(value, np.generic):
            parts.append((kind, value.tobytes()))
            return
        if id(value) in self._seen:
            parts.append(id(value))
            return
        if isinstance(value, (dict, list, tuple)) and len(value) <= LARGE:
            self._look_inside(value, path, parts)
            return
        parts.append(id(value))
        self._seen.add(id(value))
        self.kept.append(value)
        if isinstance(value, Module):
            self._look_at_module(value, path, parts)
        elif isinstance(value, np.ndarray):
            self.arrays[id(value)] = value
        elif hasattr(value, "__tracegrad_compiled__"):
            return  # it says itself what it reads, when it is traced
        elif isinstance(value, (MethodType, FunctionType, functools.partial)) or hasattr(value, "__wrapped__"):
            self._look_at_callable(value, path, parts)
        elif hasattr(value, "__tracegrad_roots__"):
            for root in value.__tracegrad_roots__:
                self._look(root, path, {}, None, parts)
        elif not callable(value) and not isinstance(value, ModuleType) and is_plain_object(value):
            self._look_at_attributes(vars(value), path, parts)

    def _slot(self, tensor: Tensor, path: str, holder: Any, name: Any) -> Hashable:
        number = self._numbers.get(id(tensor))
        if number is None:
            number = self._numbers[id(tensor)] = len(self.slots)
            self.slots.append(Slot(tensor, path))
        if not isinstance(holder, tuple):
            self.slots[number].places.append((holder, name))
        return number, tensor._array.shape, tensor._array.dtype

    def _look_inside(self, value: Any, path: str, parts: list[Hashable]) -> None:
        if isinstance(value, dict):
            self._seen.add(id(value))
            self.kept.append(value)
            parts.append((dict, len(value)))
            for k in list(value):
                parts.append(k if type(k) in _NUMBERS else id(k))
                self._look(value[k], f"{path}[{k!r}]", value, k, parts)
            return
        parts.append((type(value), len(value)))
        if isinstance(value, list):
            self._seen.add(id(value))
            self.kept.append(value)
        for k, part in enumerate(value):
            self._look(part, f"{path}[{k}]", value, k, parts)

    def _look_at_attributes(self, attributes: dict[str, Any], path: str, parts: list[Hashable]) -> None:
        for name, part in list(attributes.items()):
            parts.append(name)
            self._look(part, f"{path}.{name}", attributes, name, parts)

    def _look_at_module(self, module: Module, path: str, parts: list[Hashable]) -> None:
        self.modules.append((path, module))
        own = vars(module)
        for name, part in list(own.items()):
            kind = type(part)
            if kind in _NUMBERS:
                parts.append((name, kind, part or repr(part)))
            elif name in _MEMBERS:
                if part:
                    self._look_at_attributes(part, path, parts)
            elif name == "_modules":
                for child, inner in part.items():
                    parts.append(child)
                    self._look(inner, f"{path}.{child}", part, child, parts)
            elif isinstance(part, Hooks):
                for hook, _ in part if part else ():
                    self._look(hook, f"{path}.{name}", {}, None, parts)
            elif name != "_non_persistent_buffers_set":
                parts.append(name)
                self._look(part, f"{path}.{name}", own, name, parts)
        made: Any = type(module)
        for cls in _users_classes(made):
            if id(cls) not in self._seen:
                self._look_at_class(cls, parts)

    def _look_at_class(self, cls: type, parts: list[Hashable]) -> None:
        self._seen.add(id(cls))
        self.kept.append(cls)
        for name, member in list(vars(cls).items()):
            if name == "__init__" or (name.startswith("__") and not isinstance(member, FunctionType)):
                continue
            parts.append(name)
            self._look(getattr(member, "__func__", member), f"{cls.__name__}.{name}", (), None, parts)

    def _look_at_callable(self, value: Any, path: str, parts: list[Hashable]) -> None:
        if isinstance(value, MethodType):
            self._look(value.__self__, path, {}, None, parts)
            value = value.__func__
        elif isinstance(value, functools.partial):
            self._look([value.func, value.args, value.keywords], path, {}, None, parts)
            return
        while not isinstance(value, FunctionType) and hasattr(value, "__wrapped__"):
            value = value.__wrapped__
        if not isinstance(value, FunctionType) or not is_user_file(value.__code__.co_filename):
            return
        for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
            try:
                self._look(cell.cell_contents, name, _Cell(cell), name, parts)
            except ValueError:
                parts.append(None)  # not assigned yet
        space = value.__globals__
        for name in _names(value.__code__):
            if name in space:
                parts.append(name)
                self._look(space[name], name, space, name, parts)
        self._look([value.__defaults__, value.__kwdefaults__], path, {}, None, parts)

    # -- standing in --------------------------------------------------------------------------------------------------

    @contextmanager
    def replaced(self, stand_ins: Sequence[Any]) -> Iterator[Callable[[], Mapping[int, Any]]]:
        """Put values in the places of the tensors for the length of a ``with`` block.

        Gives a function that says what stands in the places now, by slot, where that is neither.
        """
        places = [(k, holder, name) for k, slot in enumerate(self.slots) for holder, name in slot.places]

        def changed() -> dict[int, Any]:
            found = {}
            for k, holder, name in places:
                try:
                    value = holder[name]
                except (LookupError, ValueError):  # deleted
                    value = None
                if value is not stand_ins[k]:
                    found[k] = value
            return found

        for k, holder, name in places:
            holder[name] = stand_ins[k]
        try:
            yield changed
        finally:
            for k, holder, name in places:
                holder[name] = self.slots[k].tensor


_NUMBERS = frozenset((bool, int, float, complex, str, bytes, type(None), type(Ellipsis), np.dtype, range))


@functools.lru_cache(maxsize=1024)
def _users_classes(kind: type) -> tuple[type, ...]:
    """The classes that a class is made of and that are the user's own."""
    return tuple([cls for cls in kind.__mro__ if is_users_module(cls.__module__)])


@functools.lru_cache(maxsize=1024)
def _names(code: CodeType) -> tuple[str, ...]:
    """The names that a function may look up among its globals, inner functions included."""
    found = dict.fromkeys(code.co_names)
    for part in code.co_consts:
        if isinstance(part, CodeType):
            found.update(dict.fromkeys(_names(part)))
    return tuple(found)
