"""Modules that hold modules: in a chain, a list or a dict."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from itertools import groupby
from typing import Any, Self

from tracegrad.eager.nn.modules.module import Module

__all__ = ["ModuleDict", "ModuleList", "Sequential", "pairs_of", "position"]


def position(index: Any, size: int) -> int:
    """An index into so many things, counted from the start; IndexError where there is none."""
    at = operator.index(index)
    if not -size <= at < size:
        raise IndexError(f"index {at} is out of range")
    return at % size


def pairs_of(given: Any, name: str) -> Iterator[tuple[Any, Any]]:
    """The pairs of a mapping, or of an iterable of pairs; TypeError and ValueError for anything else."""
    if not isinstance(given, Iterable):
        raise TypeError(f"{name}.update should be called with an iterable of key/value pairs, but got {type(given).__name__}")
    if hasattr(given, "items"):
        yield from given.items()
        return
    for k, pair in enumerate(given):
        if not isinstance(pair, Iterable):
            raise TypeError(f"{name} update sequence element #{k} should be Iterable; is {type(pair).__name__}")
        key_value = tuple(pair)
        if len(key_value) != 2:
            raise ValueError(f"{name} update sequence element #{k} has length {len(key_value)}; 2 is required")
        yield key_value


class _Ordered(Module):
    """Submodules that are counted."""

    def _key(self, index: Any) -> str:
        return list(self._modules)[position(index, len(self))]

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, self._key(index), module)

    def __delitem__(self, index: int | slice) -> None:
        keys = list(self._modules)
        for key in keys[index] if isinstance(index, slice) else [self._key(index)]:
            delattr(self, key)
        self._number(list(self._modules.values()))

    def _number(self, modules: list[Any]) -> None:
        self._modules.clear()
        self._modules.update((str(k), module) for k, module in enumerate(modules))

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules.values())

    def append(self, module: Module) -> Self:
        """Add a module at the end; returns the container."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Any) -> Self:
        """Add the modules of an iterable at the end; returns the container."""
        if not isinstance(modules, Iterable):
            name = type(self).__name__
            raise TypeError(f"{name}.extend should be called with an iterable, but got {type(modules).__name__}")
        for module in list(modules):
            self.append(module)
        return self

    def pop(self, key: int | slice) -> Any:
        """Take a module out, or those of a slice, and return it."""
        found = self[key]
        del self[key]
        return found

    def __getitem__(self, index: int | slice) -> Any:
        raise NotImplementedError

    def _insert(self, index: int, module: Module) -> None:
        modules = list(self._modules.values())
        self.append(module)  # which checks it
        modules.insert(index, module)
        self._number(modules)


class Sequential(_Ordered):
    """A chain: each module gets the result of the one before.

    Parameters
    ----------
    args: the modules, or one OrderedDict of them by name.

    >>> Sequential(Sequential(), Sequential())
    Sequential(
      (0): Sequential()
      (1): Sequential()
    )
    """

    def __init__(self, *args: Any) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], OrderedDict):
            for name, module in args[0].items():
                self.add_module(name, module)
        else:
            for k, module in enumerate(args):
                self.add_module(str(k), module)

    def forward(self, input: Any) -> Any:
        """The result of the last module; without modules the input itself."""
        for module in self:
            input = module(input)
        return input

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(OrderedDict(list(self._modules.items())[index]))
        return self._modules[self._key(index)]

    def insert(self, index: int, module: Module) -> Self:
        """Put a module before the one at an index; returns the container."""
        if not -len(self) <= index <= len(self):
            raise IndexError(f"Index out of range: {index}")
        self._insert(index, module)
        return self

    def __add__(self, other: Any) -> Sequential:
        return Sequential(*self, *_chain(other))

    def __iadd__(self, other: Any) -> Self:
        return self.extend(_chain(other))

    def __mul__(self, times: int) -> Sequential:
        return Sequential(*list(self) * _times(self, times))

    __rmul__ = __mul__

    def __imul__(self, times: int) -> Self:
        return self.extend(list(self) * (_times(self, times) - 1))


def _chain(other: Any) -> Sequential:
    if not isinstance(other, Sequential):
        text = f"add operator supports only objects of Sequential class, but {type(other)} is given."
        raise ValueError(text)  # noqa: TRY004 - PyTorch's kind of error
    return other


def _times(container: Module, times: Any) -> int:
    if not isinstance(times, int):
        raise TypeError(f"unsupported operand type(s) for *: {type(container)} and {type(times)}")
    if times <= 0:
        raise ValueError(f"Non-positive multiplication factor {times} for {type(container)}")
    return times


class ModuleList(_Ordered):
    """A list of modules, which are members of the module that holds it.

    Parameters
    ----------
    modules: an iterable of modules.

    >>> ModuleList([Sequential(), Sequential()])
    ModuleList(
      (0-1): 2 x Sequential()
    )
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.extend(modules)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(list(self._modules.values())[index])
        return self._modules[self._key(index)]

    def insert(self, index: int, module: Module) -> None:
        """Put a module before the one at an index."""
        self._insert(index, module)

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def __iadd__(self, modules: Iterable[Module]) -> Self:
        return self.extend(modules)

    def extra_repr(self) -> str:
        """Nothing: a list has no settings."""
        return ""

    def _child_texts(self) -> list[tuple[str, str]]:
        found = []
        for text, group in groupby(enumerate(map(repr, self)), lambda pair: pair[1]):
            places = [k for k, _ in group]
            if len(places) == 1:
                found.append((str(places[0]), text))
            else:
                found.append((f"{places[0]}-{places[-1]}", f"{len(places)} x {text}"))
        return found


class ModuleDict(Module):
    """Modules by name, which are members of the module that holds it.

    Parameters
    ----------
    modules: a mapping from names to modules, or pairs of both.

    >>> ModuleDict({"left": Sequential()})["left"]
    Sequential()
    """

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Any:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: object) -> bool:
        return key in self._modules

    def clear(self) -> None:
        """Remove all modules."""
        self._modules.clear()

    def pop(self, key: str) -> Any:
        """Take a module out and return it."""
        return self._modules.pop(key)

    def keys(self) -> KeysView[str]:
        """The names."""
        return self._modules.keys()

    def items(self) -> ItemsView[str, Any]:
        """The names with their modules."""
        return self._modules.items()

    def values(self) -> ValuesView[Any]:
        """The modules."""
        return self._modules.values()

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add modules by name, in the place of those that have the name."""
        for key, module in pairs_of(modules, "ModuleDict"):
            self[key] = module
