"""Where a trace found a value: how to find it again at the next call, and the steps to it for another process.

A place is called like a function and gives what is there now. Its steps are plain data, so a later process can walk them
from the same function and the same arguments, without running either.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

Step = tuple[str, Any]


class Place:
    """One place: a root, or a step away from another place.

    Parameters
    ----------
    above: the place that the step starts at; None for a root.
    step: kind and key of the step.
    fetch: gives what is there.

    >>> from types import SimpleNamespace
    >>> model = SimpleNamespace(layers=[1.0, 2.0])
    >>> place = Place.root("function", lambda: model).variable("layers").item(1)
    >>> place(), place.steps()
    (2.0, (('function', None), ('variable', 'layers'), ('item', 1)))
    """

    __slots__ = ("above", "fetch", "step")

    def __init__(self, above: Place | None, step: Step, fetch: Callable[[], Any]) -> None:
        self.above = above
        self.step = step
        self.fetch = fetch

    @classmethod
    def root(cls, kind: str, fetch: Callable[[], Any], key: Any = None) -> Place:
        """A place that no step leads to: the traced function, or an argument."""
        return cls(None, (kind, key), fetch)

    def __call__(self) -> Any:
        """What is there now."""
        return self.fetch()

    def steps(self) -> tuple[Step, ...]:
        """The steps from the root, which is the first."""
        found = [self.step]
        above = self.above
        while above is not None:
            found.append(above.step)
            above = above.above
        return tuple(reversed(found))

    def origin(self) -> Place:
        """The root."""
        place = self
        while place.above is not None:
            place = place.above
        return place

    def item(self, key: Any) -> Place:
        """An entry of the container here."""
        fetch = self.fetch
        return Place(self, ("item", key), lambda: fetch()[key])

    def variable(self, name: str) -> Place:
        """A variable of the object, class or module here."""
        fetch = self.fetch
        return Place(self, ("variable", name), lambda: vars(fetch())[name])

    def attribute(self, name: str) -> Place:
        """An attribute of the object here, a method's ``__func__``, say."""
        fetch = self.fetch
        return Place(self, ("attribute", name), lambda: getattr(fetch(), name))

    def base(self, number: int) -> Place:
        """A class in the order of resolution of the class here."""
        fetch = self.fetch
        return Place(self, ("base", number), lambda: fetch().__mro__[number])

    def named(self, name: str) -> Place:
        """A global of the function or module here, looked up where it was when this place was made."""
        owner = self.fetch()
        space = vars(owner) if isinstance(owner, ModuleType) else owner.__globals__
        return Place(self, ("named", name), lambda: space[name])

    def cell(self, number: int) -> Place:
        """What a closure cell of the function here holds."""
        cell = self.fetch().__closure__[number]
        return Place(self, ("cell", number), lambda: cell.cell_contents)

    def after(self, step: Step) -> Place:
        """The place a step away; LookupError for a kind of step that there is not."""
        kind, key = step
        if kind not in {"item", "variable", "attribute", "base", "named", "cell"}:
            raise LookupError(kind)
        place: Place = getattr(self, kind)(key)
        return place


def walk(steps: tuple[Step, ...], roots: Callable[[Step], Place], known: dict[tuple[Step, ...], Place]) -> Place:
    """The place that steps lead to; ``known`` remembers those on the way.

    Raises LookupError, AttributeError, TypeError or ValueError where something on the way is not there.
    """
    if steps not in known:
        known[steps] = roots(steps[0]) if len(steps) == 1 else walk(steps[:-1], roots, known).after(steps[-1])
    return known[steps]
