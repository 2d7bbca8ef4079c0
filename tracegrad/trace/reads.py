"""What a trace has read from outside: arrays become inputs that are read again at each call, all else is checked.

A check costs nanoseconds per value, and containers are looked through, so that rebinding a number in a global dict is
seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import numpy as np

from tracegrad.core.aval import Aval, aval_of
from tracegrad.trace.places import Place

Same = Callable[[Any], bool]

NUMBERS = (bool, int, float, complex, str, bytes, type(None), np.generic, np.dtype, slice, range)
"""Types whose values are compared, not looked into."""
SETTLED = (*NUMBERS, FunctionType, BuiltinFunctionType, ModuleType, np.ufunc)
"""Types of which finding the very same object settles that nothing has changed."""


def held(value: Any) -> Any:
    """The array in a tensor; anything else as it is. Tensors are known by their rank, as they stand above traces."""
    return value._array if getattr(type(value), "bind_rank", None) == 1 else value


@dataclass(frozen=True, slots=True)
class Capture:
    """An array or a tensor from outside the trace: ``read()`` gives the one to pass at a call."""

    name: str
    aval: Aval
    read: Place


@dataclass(slots=True)
class Read:
    """A value from outside the trace: ``fresh()`` says whether the trace would see the same again.

    ``key`` and ``value`` are given where finding the very same object settles it, under a name in ``space`` or as an
    attribute of ``owner``.
    """

    name: str
    fetch: Place
    same: Same
    space: dict[str, Any] | None = None
    key: str = ""
    value: Any = None
    owner: Any = None
    constant: bool = False
    """Whether it is the traced function itself, which is always there."""

    def fresh(self) -> bool:
        """Whether what was read is still there, unchanged."""
        try:
            return self.same(self.fetch())
        except (LookupError, AttributeError, NameError, ValueError, TypeError):
            return False  # deleted, or another container now


class SameObject:
    """The check of a function, class or foreign object: the very same."""

    def __init__(self, old: Any) -> None:
        self.old = old

    def __call__(self, value: Any) -> bool:
        """Whether a value is the object."""
        return value is self.old


def _settles(value: Any, same: Same) -> bool:
    """Whether finding the very same object says that nothing has changed: tuples are as settled as what they hold."""
    if type(value) is tuple:
        return all(_settles(each, same) for each in value)
    return isinstance(value, SETTLED) or (isinstance(same, SameObject) and same.old is value)


def settled_read(name: str, place: Place, same: Same, value: Any) -> Read:
    """A read, with what settles it by finding the very same object where there is such a thing."""
    kind, key = place.step
    read = Read(name, place, same)
    if place.above is None:
        read.constant = kind == "function" and type(value) is FunctionType
        return read
    owner = place.above()
    if kind == "attribute" and key == "__code__" and isinstance(owner, FunctionType):
        read.owner, read.key, read.value = owner, key, value
    elif kind == "attribute" and place.above.step[0] in ("cell", "named") and isinstance(same, SameObject):
        # of an object that is read itself, as every variable is: a compiled function's Python function
        read.owner, read.key, read.value = owner, key, value
    elif kind == "attribute" and isinstance(owner, ModuleType) and _settles(value, same):
        read.owner, read.key, read.value = owner, key, value
    elif kind == "cell" and _settles(value, same):
        read.owner, read.key, read.value = owner.__closure__[key], "cell_contents", value
    elif kind == "named" and _settles(value, same):
        read.space = vars(owner) if isinstance(owner, ModuleType) else owner.__globals__
        read.key, read.value = key, value
    return read


class Reads:
    """The reads of one trace; ``frozen`` names captured arrays that have to be concrete."""

    def __init__(self, frozen: frozenset[str]) -> None:
        self.frozen = frozen
        self.captured: list[Capture] = []
        self.seen: dict[Hashable, Read] = {}
        self._numbers: dict[int, int] = {}
        self._kept: list[Any] = []

    def add(self, origin: Hashable, read: Read) -> None:
        """Note a read."""
        self.seen.setdefault(origin, read)

    def array(self, value: Any, name: str, fetch: Place) -> Same:
        """Register an array, or the one in a tensor; it becomes an input unless its contents are structure."""
        array = held(value)
        if array is not value:
            same = self.array(array, name, fetch)
            return lambda v: held(v) is not v and same(held(v))
        self._kept.append(array)  # an id is the array's as long as it lives
        if name in self.frozen:
            return same_content(array)
        if id(array) in self._numbers:
            return lambda v: v is array  # a second name for an array that is known by its first
        self._numbers[id(array)] = len(self.captured)
        self.captured.append(Capture(name, aval_of(array), fetch))
        return lambda v: _like(v, array)

    def inherit(self, reads: Iterable[Read], captured: Iterable[Capture], seen_from: Callable[[Place], Place]) -> None:
        """Take over what another trace has read, whose graph becomes part of this one.

        ``seen_from`` gives a place of that trace as one of this.
        """
        for read in reads:
            self._kept.append(read)
            place = seen_from(read.fetch)
            moved = settled_read(read.name, place, read.same, place()) if read.constant else replace(read, fetch=place)
            self.add(("inlined", id(read)), moved)
        for capture in captured:
            array = capture.read()
            place = seen_from(capture.read)
            same = self.array(array, capture.name, place)
            self.add(("inlined", capture.name, id(held(array))), Read(capture.name, place, same))

    def number(self, array: np.ndarray[Any, Any]) -> int | None:
        """Which capture an array is."""
        return self._numbers.get(id(array))


def _like(value: Any, array: np.ndarray[Any, Any]) -> bool:
    return isinstance(value, np.ndarray) and value.shape == array.shape and value.dtype == array.dtype


def same_content(array: np.ndarray[Any, Any]) -> Same:
    """The check of an array whose contents the trace depends on."""
    content = array.tobytes()
    return lambda v: _like(v, array) and v.tobytes() == content


def same_number(old: Any) -> Same:
    """The check of an immutable value: equal, of one type, with the sign of zero and NaN equal to itself."""
    cls = type(old)
    if cls is float:
        if math.isnan(old):
            return lambda v: type(v) is float and math.isnan(v)
        sign = math.copysign(1.0, old)
        return lambda v: type(v) is float and v == old and math.copysign(1.0, v) == sign
    if isinstance(old, np.generic):
        bits = old.tobytes()
        return lambda v: type(v) is cls and v.tobytes() == bits
    return lambda v: type(v) is cls and v == old


class Guard:
    """All reads of a trace as one check, quick where nothing was rebound.

    ``names`` and ``attributes`` are the reads that finding the very same object settles, ``slow`` all others.
    """

    def __init__(self, reads: Iterable[Read]) -> None:
        self.names: list[tuple[dict[str, Any], str, Any, Read]] = []
        self.attributes: list[tuple[Any, str, Any, Read]] = []
        self.slow: list[Read] = []
        for read in reads:
            if read.constant:
                continue
            if read.space is not None:
                self.names.append((read.space, read.key, read.value, read))
            elif read.owner is not None:
                self.attributes.append((read.owner, read.key, read.value, read))
            else:
                self.slow.append(read)

    def fresh(self) -> bool:
        """Whether the trace would see everything again as it was."""
        for space, key, value, read in self.names:
            if space.get(key, self) is not value and not read.fresh():
                return False
        try:
            for owner, key, value, read in self.attributes:
                if getattr(owner, key) is not value and not read.fresh():
                    return False
        except (AttributeError, ValueError):
            return False  # an attribute that was deleted, an emptied closure cell
        return all(read.fresh() for read in self.slow)


class SameContents:
    """The check of a container or of an object's attributes: the same keys in order, and each value the same."""

    def __init__(self, entries: Callable[[Any], Mapping[Any, Any]], checks: dict[Any, Same], same: Same) -> None:
        self.entries = entries
        self.checks = checks
        self.same = same

    def __call__(self, value: Any) -> bool:
        """Whether a value passes."""
        if not self.same(value):
            return False
        found = self.entries(value)
        return list(found) == list(self.checks) and all(check(found[key]) for key, check in self.checks.items())

    def update(self, key: Any, value: Any) -> None:
        """What the trace itself has put there is what it expects from now on."""
        self.checks[key] = same_value(value)


def same_value(value: Any) -> Same:
    """The check of a value as it is, not looked into."""
    return same_number(value) if isinstance(value, NUMBERS) else same_object(value)


def same_object(old: Any) -> Same:
    """The check of a function, class or foreign object: the very same."""
    return SameObject(old)
