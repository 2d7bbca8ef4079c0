"""Pytrees: nested Python containers seen as a flat list of leaves and a hashable structure.

``flatten`` stands on the path of every call, so a structure is plain nested tuples, hashed and compared in C, and
what to do with a container is one dictionary look-up on its exact type. The leaves of a dict come in sorted key
order, so two dicts with the same keys have equal structures; each structure still remembers the insertion order it
was made with, and ``unflatten`` restores it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import lru_cache
from itertools import count
from types import EllipsisType
from typing import Any, TypeAlias

from tracegrad.errors import TreeError

__all__ = ["Container", "TreeDef", "container", "flatten", "register_pytree", "tree_map", "tuple_of"]

Spec: TypeAlias = EllipsisType | tuple[type, Hashable, tuple["Spec", ...]]
"""A leaf is ``...``; a container is its type, what identifies it beside its children, and its children's specs."""


@dataclass(frozen=True, eq=False, slots=True)
class Container:
    """How one type is taken apart and put together.

    ``open(obj)`` gives its children and what identifies it beside them, ``close(aux, children)`` an object, and
    ``steps(aux)`` names its children as a person would write them.
    """

    open: Callable[[Any], tuple[Iterable[Any], Hashable]]
    close: Callable[[Any, tuple[Any, ...]], Any]
    steps: Callable[[Any], Iterable[str]]


# --- dicts -----------------------------------------------------------------------------------------------------------


class _Keys(tuple[Hashable, ...]):
    """Sorted keys, equal to any tuple of the same keys, that remember the order they were inserted in."""

    inserted: tuple[Hashable, ...]


@lru_cache(maxsize=1024)
def _order(keys: tuple[Any, ...]) -> tuple[int, ...] | None:
    """Return the permutation that sorts the keys, None when they are sorted already.

    A permutation and not the keys themselves: the cache takes 1 and True for the same key.
    """
    kinds = {type(key) for key in keys}
    places = range(len(keys))
    if kinds <= {str} or kinds <= {int}:
        order = sorted(places, key=keys.__getitem__)
    else:
        # Mixed keys have no order, and that of sets is partial.
        order = sorted(places, key=lambda i: (type(keys[i]).__qualname__, repr(keys[i])))
    return None if order == list(places) else tuple(order)


def _open_dict(obj: dict[Any, Any]) -> tuple[Iterable[Any], tuple[Hashable, ...]]:
    keys = tuple(obj)
    order = _order(keys)
    if order is None:
        return obj.values(), keys
    keyed = _Keys(keys[i] for i in order)
    keyed.inserted = keys
    return [obj[key] for key in keyed], keyed


def _items(keys: tuple[Hashable, ...], children: tuple[Any, ...]) -> Iterable[tuple[Hashable, Any]]:
    if type(keys) is not _Keys:
        return zip(keys, children, strict=True)
    found = dict(zip(keys, children, strict=True))
    return [(key, found[key]) for key in keys.inserted]


def _open_default_dict(obj: defaultdict[Any, Any]) -> tuple[Iterable[Any], Hashable]:
    children, keys = _open_dict(obj)
    return children, (obj.default_factory, keys)


def _key_steps(keys: Iterable[Hashable]) -> Iterable[str]:
    return [f"[{key!r}]" for key in keys]


def _index_steps(_aux: Hashable) -> Iterable[str]:
    return (f"[{i}]" for i in count())


# --- classes ---------------------------------------------------------------------------------------------------------


def _named_tuple(cls: Any) -> Container:
    make = cls._make
    steps = [f".{name}" for name in cls._fields]
    return Container(lambda obj: (obj, None), lambda _aux, children: make(children), lambda _aux: steps)


def _checked(cls: type, open_: Callable[[Any], tuple[Iterable[Any], Hashable]]) -> Callable[[Any], Any]:
    """Add the check that what identifies an object is hashable, where a user says what that is."""

    def checked(obj: Any) -> tuple[Iterable[Any], Hashable]:
        children, aux = open_(obj)
        try:
            hash(aux)
        except TypeError as error:
            raise TreeError(
                f"the static part of {cls.__qualname__} is not hashable ({error})",
                fix="make it a tuple or another immutable value, or a child",
            ) from None
        return children, aux

    return checked


def _data_class(cls: type) -> Container:
    static = [f.name for f in fields(cls) if f.metadata.get("static", False)]
    names = [f.name for f in fields(cls) if f.name not in static]
    steps = [f".{name}" for name in names]

    def open_(obj: Any) -> tuple[Iterable[Any], Hashable]:
        return [getattr(obj, name) for name in names], tuple([getattr(obj, name) for name in static])

    def close(aux: Any, children: tuple[Any, ...]) -> Any:
        # Not through __init__: it may check or convert values that are traced now, and fields may be frozen.
        obj: Any = object.__new__(cls)
        for name, value in zip(names + static, (*children, *aux), strict=True):
            object.__setattr__(obj, name, value)
        return obj

    return Container(_checked(cls, open_) if static else open_, close, lambda _aux: steps)


# --- the registry ----------------------------------------------------------------------------------------------------


TWIN_OF = "__tracegrad_twin_of__"
"""The class that a traced function's copy of a class stands for."""


class _Registry:
    """What each type is: a container, or None for a leaf. Types are added, never forgotten.

    Reads take no lock: a dict look-up is atomic, and an entry is complete before it is written.
    """

    __slots__ = ("_declared", "_families", "_lock", "kinds")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._families: list[Callable[[type], Container | None]] = []
        self.kinds: dict[type, Container | None] = {
            dict: Container(_open_dict, lambda keys, children: dict(_items(keys, children)), _key_steps),
            OrderedDict: Container(_open_dict, lambda keys, children: OrderedDict(_items(keys, children)), _key_steps),
            defaultdict: Container(
                _open_default_dict,
                lambda aux, children: defaultdict(aux[0], _items(aux[1], children)),
                lambda aux: _key_steps(aux[1]),
            ),
            list: Container(lambda obj: (obj, None), lambda _aux, children: list(children), _index_steps),
            tuple: Container(lambda obj: (obj, None), lambda _aux, children: children, _index_steps),
            type(None): Container(lambda _obj: ((), None), lambda _aux, _children: None, _index_steps),
        }
        self._declared = set(self.kinds)

    def find(self, cls: type) -> Container | None:
        """Decide what a type not met before is.

        Raises
        ------
        TreeError
            For subclasses of containers that nobody has registered: taken as leaves they would hide their arrays.
        """
        if cls in self.kinds:
            return self.kinds[cls]
        original = vars(cls).get(TWIN_OF)
        if original is not None:
            return self._of_twin(cls, original)
        kind: Container | None = None
        if issubclass(cls, tuple) and hasattr(cls, "_fields"):
            kind = _named_tuple(cls)
        elif is_dataclass(cls):
            kind = _data_class(cls)
        elif found := [made for family in self._families if (made := family(cls)) is not None]:
            kind = found[0]
        elif issubclass(cls, dict | list | tuple):
            name = cls.__qualname__
            raise TreeError(
                f"{name} is a subclass of a container, and how to rebuild it is not known",
                fix=f"tracegrad.register_pytree({name}, flatten, unflatten)",
            )
        with self._lock:
            return self.kinds.setdefault(cls, kind)

    def _of_twin(self, cls: type, original: type) -> Container | None:
        """A twin is what its original is; it is not entered, as it lives no longer than its trace."""
        kind = self.find(original)
        if kind is None or original not in self._declared:
            return None if kind is None else _data_class(cls)

        def close(aux: Any, children: tuple[Any, ...]) -> Any:
            made = kind.close(aux, children)
            if type(made) is original:
                made.__class__ = cls
            return made

        return Container(kind.open, close, kind.steps)

    def add(self, cls: type, container: Container) -> None:
        """Enter the user's declaration; it wins over what `find` may have decided."""
        with self._lock:
            if cls in self._declared:
                raise TreeError(f"{cls.__qualname__} is a pytree already", fix="register each type once")
            self._declared.add(cls)
            self.kinds[cls] = container

    def add_family(self, family: Callable[[type], Container | None]) -> None:
        """Ask a function about types that are met, those of a package that need not be loaded."""
        self._families.append(family)

    def is_declared(self, cls: type) -> bool:
        """Say whether a person has declared a type: how it is taken apart is code of theirs."""
        return cls in self._declared and cls.__module__ not in ("builtins", "collections")


_REGISTRY = _Registry()
_KINDS = _REGISTRY.kinds
is_declared = _REGISTRY.is_declared
add_family = _REGISTRY.add_family


def register_pytree(
    cls: type,
    flatten: Callable[[Any], tuple[Iterable[Any], Hashable]],
    unflatten: Callable[[Any, tuple[Any, ...]], Any],
) -> None:
    """Declare, once for the process, how objects of exactly this class are taken apart and rebuilt.

    Named tuples and dataclasses need no declaration; a dataclass field with ``metadata={"static": True}`` is
    part of the structure instead of a child.

    Parameters
    ----------
    cls
        The class. Its subclasses are declared on their own.
    flatten
        ``flatten(obj) -> (children, aux)``; ``aux`` is hashable, and is part of the structure.
    unflatten
        ``unflatten(aux, children) -> obj``; children may be anything, so it should not check or convert them.

    Raises
    ------
    TreeError
        When `cls` is no class, or is declared already.

    Examples
    --------
    >>> class Line:
    ...     def __init__(self, slope, offset):
    ...         self.slope, self.offset = slope, offset
    >>> register_pytree(Line, lambda line: ((line.slope, line.offset), None), lambda aux, children: Line(*children))
    >>> tree_map(lambda leaf: 2 * leaf, Line(1.0, 3.0)).offset
    6.0
    """
    if not isinstance(cls, type):
        raise TreeError(f"register_pytree takes a class, not {cls!r}")
    if not all(callable(function) for function in (flatten, unflatten)):
        raise TreeError(f"register_pytree({cls.__name__}) takes two functions, one that flattens and one that unflattens")
    _REGISTRY.add(cls, Container(_checked(cls, flatten), unflatten, _index_steps))


# --- structures ------------------------------------------------------------------------------------------------------


class TreeDef:
    """The structure of a pytree without its leaves; equal and hashable by content.

    Examples
    --------
    >>> leaves, structure = flatten({"w": 1.0, "b": [2.0, None]})
    >>> leaves, structure
    ([2.0, 1.0], TreeDef({'w': *, 'b': [*, None]}))
    >>> structure.unflatten(["B", "W"])
    {'w': 'W', 'b': ['B', None]}
    >>> structure.paths("params")
    ("params['b'][0]", "params['w']")
    """

    __slots__ = ("size", "spec")

    spec: Spec
    size: int
    """How many leaves it has."""

    def __init__(self, spec: Spec, size: int) -> None:
        self.spec = spec
        self.size = size

    @staticmethod
    def keys(keys: tuple[Hashable, ...], inserted: tuple[Hashable, ...]) -> tuple[Hashable, ...]:
        """What identifies a dict in a structure: its keys sorted, and in the order they were inserted."""
        made = _Keys(keys)
        made.inserted = inserted
        return made

    def __hash__(self) -> int:
        return hash(self.spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TreeDef) and self.spec == other.spec

    def __reduce__(self) -> tuple[Any, ...]:
        return TreeDef, (self.spec, self.size)

    def __repr__(self) -> str:
        return f"TreeDef({self.unflatten([_STAR] * self.size)!r})"

    def unflatten(self, leaves: Sequence[Any]) -> Any:
        """Put leaves back into this structure.

        Raises
        ------
        TreeError
            When their number is not the number of this structure's leaves.
        """
        if len(leaves) != self.size:
            raise TreeError(f"{len(leaves)} leaves for a structure of {self.size}: {self!r}")
        return leaves[0] if self.spec is ... else _build(self.spec, iter(leaves))

    def of_classes(self, choose: Callable[[type], type]) -> TreeDef:
        """The same structure of other classes."""
        return TreeDef(_of_classes(self.spec, choose), self.size)

    def part(self, position: int) -> TreeDef:
        """The structure of a child, counted from 0.

        >>> flatten(({"w": 1.0}, [2.0, 3.0]))[1].part(1)
        TreeDef([*, *])
        """
        assert self.spec is not ...
        spec = self.spec[2][position]
        return TreeDef(spec, _count(spec))

    def paths(self, root: str = "tree") -> tuple[str, ...]:
        """Name every leaf as a person would write it.

        Parameters
        ----------
        root
            What the whole tree is called.
        """
        return tuple(_name(self.spec, root))


def _of_classes(spec: Any, choose: Callable[[type], type]) -> Any:
    if spec is ...:
        return spec
    cls, aux, children = spec
    return choose(cls), aux, tuple([_of_classes(child, choose) for child in children])


def _count(spec: Any) -> int:
    return 1 if spec is ... else sum(_count(child) for child in spec[2])


def tuple_of(structures: Sequence[TreeDef]) -> TreeDef:
    """The structure of a tuple whose parts have these structures.

    >>> tuple_of([flatten(1)[1], flatten({"a": 2})[1]])
    TreeDef((*, {'a': *}))
    """
    return TreeDef((tuple, None, tuple([s.spec for s in structures])), sum(s.size for s in structures))


class _Star:
    """The place of a leaf in a printed structure."""

    def __repr__(self) -> str:
        return "*"


_STAR = _Star()


def container(cls: type) -> Container:
    """How a type of container is taken apart and put together."""
    kind = _REGISTRY.find(cls)
    assert kind is not None, cls  # a spec is made of containers only
    return kind


def _build(spec: Any, leaves: Iterator[Any]) -> Any:
    cls, aux, children = spec
    return container(cls).close(aux, tuple([next(leaves) if child is ... else _build(child, leaves) for child in children]))


def _name(spec: Any, path: str) -> Iterator[str]:
    if spec is ...:
        yield path
        return
    cls, aux, children = spec
    # The steps of a sequence are endless, so the children go first: zip then stops without taking one too many.
    for child, step in zip(children, container(cls).steps(aux), strict=False):
        yield from _name(child, path + step)


def flatten(tree: Any, *, root: str = "tree") -> tuple[list[Any], TreeDef]:
    """Take a pytree apart into its leaves and its structure.

    Dicts (sorted by key), lists, tuples, named tuples, dataclasses, None (no leaf) and registered classes are
    containers; everything else is a leaf.

    Parameters
    ----------
    tree
        Any nesting of containers.
    root
        What error texts call the whole tree.

    Raises
    ------
    TreeError
        For an unregistered subclass of a container, an unhashable ``aux``, or a tree that contains itself.

    Examples
    --------
    >>> flatten((1, {"a": 2}, None))
    ([1, 2], TreeDef((*, {'a': *}, None)))
    """
    leaves: list[Any] = []
    try:
        kind = _REGISTRY.find(type(tree))
        if kind is None:
            return [tree], _LEAF
        spec = _walk(tree, kind, leaves)
    except RecursionError:
        raise TreeError(f"{root} contains itself, or is nested too deeply") from None
    except TreeError:
        _locate(tree, root)
        raise
    return leaves, TreeDef(spec, len(leaves))


_LEAF = TreeDef(..., 1)


def _walk(tree: Any, kind: Container, leaves: list[Any]) -> Spec:
    children, aux = kind.open(tree)
    specs: list[Spec] = []
    for child in children:
        cls = type(child)
        try:
            found = _KINDS[cls]
        except KeyError:
            found = _REGISTRY.find(cls)
        if found is None:
            leaves.append(child)
            specs.append(...)
        else:
            specs.append(_walk(child, found, leaves))
    return type(tree), aux, tuple(specs)


def _locate(tree: Any, path: str) -> None:
    """Raise the error that the walk met again, with the path to it; only errors pay for paths."""
    try:
        kind = _REGISTRY.find(type(tree))
        children, aux = kind.open(tree) if kind else ((), None)
    except TreeError as error:
        raise TreeError(f"{path}: {error.message}", fix=error.fix) from None
    if kind:
        for child, step in zip(children, kind.steps(aux), strict=False):
            _locate(child, path + step)


def tree_map(f: Callable[..., Any], tree: Any, *rest: Any) -> Any:
    """Apply a function to every leaf and keep the structure.

    Parameters
    ----------
    f
        Called with one leaf of each tree.
    tree, rest
        Trees of one structure.

    Raises
    ------
    TreeError
        When a structure differs, naming the first leaf that only one of them has.

    Examples
    --------
    >>> tree_map(lambda p, g: p - g, {"w": 3, "b": 1}, {"b": 1, "w": 1})
    {'w': 2, 'b': 0}
    """
    leaves, structure = flatten(tree)
    columns = [leaves]
    for number, other in enumerate(rest, 2):
        others, other_structure = flatten(other)
        if other_structure != structure:
            raise TreeError(_difference(number, structure, other_structure))
        columns.append(others)
    return structure.unflatten([f(*row) for row in zip(*columns, strict=True)])


def _difference(number: int, first: TreeDef, other: TreeDef) -> str:
    ours, theirs = first.paths(), other.paths()
    for here, there, text in ((ours, theirs, "has no"), (theirs, ours, "has a leaf more,")):
        missing = [path for path in here if path not in set(there)]
        if missing:
            return f"tree {number} of tree_map {text} {missing[0]}"
    return f"tree {number} of tree_map is {other!r}, but the first is {first!r}"
