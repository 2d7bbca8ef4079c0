"""Twins: copies of the user's functions that see a trace's stand-ins, through globals and closure cells of their own.

A twin has the code object of the original, so lines and names stay true, and nothing of the user's is patched. Its
globals are a dict subclass, which makes CPython ask ``__missing__`` for each name at its first use: that is where
reads are noted, helpers are twinned and modules replaced. Containers and objects that hold arrays are shown as copies
with traced arrays in them; what the function changes in globals, closure cells or attributes is written back when the
trace succeeded.
"""

from __future__ import annotations

import builtins
import copy
import enum
import functools
import os
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Hashable, Iterator
from types import BuiltinMethodType, CellType, FunctionType, MethodType, MethodWrapperType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from tracegrad.core.aval import VALUES, means_otherwise
from tracegrad.core.source import called, is_user_file
from tracegrad.core.tree import TWIN_OF
from tracegrad.errors import EscapeError, Frame
from tracegrad.ops.stored import is_sparse
from tracegrad.symbolic import Recorder, Sym
from tracegrad.trace.changes import Change, attribute_back, dict_of, entry_back, traced_in
from tracegrad.trace.creation import ArrayStandIn, Creation, Namespace, Recording, StandIns
from tracegrad.trace.elementwise import Series
from tracegrad.trace.outside import RANDOM, Environment, Forbidden, present
from tracegrad.trace.places import Place
from tracegrad.trace.reads import (
    NUMBERS,
    Read,
    Reads,
    Same,
    SameContents,
    held,
    same_number,
    same_object,
    same_value,
    settled_read,
)
from tracegrad.trace.seen import TypeStandIn, instance_of, largest, seen_type, smallest
from tracegrad.trace.states import has_methods, is_plain_class, is_plain_object, is_users_module, same_state
from tracegrad.trace.stored import show_stored

METHODS_OF_OBJECTS = (BuiltinMethodType, MethodWrapperType)
CACHES = frozenset(("functools", "numba"))
"""Packages whose objects that wrap a function mean the function."""
CONTAINERS = (dict, OrderedDict, defaultdict, list, tuple)
CONTENTS = (np.ndarray, np.generic, dict, list, tuple, bool, int, float, str)


class Globals(dict[str, Any]):
    """The globals of a twin: names are read from the original's at their first use."""

    def __init__(self, original: dict[str, Any], twins: Twins) -> None:
        module = original.get("__builtins__", builtins)
        names = dict(module if isinstance(module, dict) else vars(module))
        # the user's functions ask ours whether a traced value is a number, as the value itself would answer
        names["isinstance"], names["type"] = instance_of, TypeStandIn
        names[max.__name__], names[min.__name__] = largest, smallest
        names["__import__"] = twins.imported
        names["print"] = twins.echo.print
        names["open"] = twins.stand_ins.of(builtins.open)
        names["input"] = Forbidden("input()", "asks", "answer")
        super().__init__({"__builtins__": names, "__name__": original.get("__name__", "__main__")})
        self.original = original
        self.twins = twins
        self.shown: dict[str, Any] = {}

    def __missing__(self, name: str) -> Any:
        self[name] = self.shown[name] = self.twins.read_global(self.original, name)
        return self.shown[name]


class Echo:
    """What a function prints while it is traced: once, however often the trace has to start over.

    Parameters
    ----------
    silent: whether to print nothing at all, where what is traced has been traced before.
    """

    def __init__(self, *, silent: bool = False) -> None:
        self.silent = silent
        self._printed = 0
        self._number = 0

    def again(self) -> None:
        """The function starts over."""
        self._number = 0

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print, unless an earlier attempt has printed this."""
        self._number += 1
        if self.silent or self._number <= self._printed:
            return
        self._printed = self._number
        builtins.print(*args, **kwargs)


class Twins:
    """The twins, reads and changes of one trace."""

    def __init__(self, recorder: Recorder, reads: Reads, creation: Creation, echo: Echo) -> None:
        self.echo = echo
        self.recorder = recorder
        self.reads = reads
        self.stand_ins = StandIns(creation, self._note, self._setting)
        self._shown: dict[int, Any] = {}
        self._kept: list[Any] = []
        self._globals: dict[int, Globals] = {}
        self._homes: dict[int, Place] = {}
        self._places: dict[int, Place] = {}
        self._cells: dict[int, tuple[CellType, CellType, Any]] = {}
        self._names: dict[int, str] = {}
        self._objects: list[tuple[Any, Any, dict[str, Any], SameContents | None]] = []
        """Objects and functions, their copies, and the attributes these had; and the check of an object's."""
        self._containers: list[tuple[Any, Any, str, Any, SameContents]] = []
        self._originals: dict[int, Any] = {}
        self.changed: tuple[str, ...] = ()
        """What the function has changed outside, in words; known once the trace has finished."""
        self._reverts: list[Callable[[], None]] = []
        self.defined: Frame | None = None
        """Where the traced function begins, to blame for what has no line of its own."""

    # -- entry points --------------------------------------------------------------------------------------------------

    def call(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run the twin of a function."""
        name = getattr(function, "__qualname__", type(function).__name__)
        # noted as read, since an object that can be called has attributes that change
        shown = self.read(function, name, Place.root("function", lambda: function), ("function", id(function)))
        return called(shown, args, kwargs)

    def stand_in_for_argument(self, value: Any, position: int) -> Any:
        """A static argument as the twin sees it; the caller's key holds its value."""
        if not callable(value):
            return self.stand_ins.of(value) if isinstance(value, RANDOM) else value
        return self.read(value, "an argument", Place.root("argument", lambda: value, position), ("argument", id(value)))

    def class_of_argument(self, cls: type) -> type:
        """The class of an argument that is a pytree: one whose methods are twins, if a person has written any."""
        if not is_plain_class(cls) or not has_methods(cls):
            return cls
        return self._class(cls, Place.root("class", lambda: cls))

    def read(self, value: Any, name: str, place: Place, origin: Hashable) -> Any:
        """Note that a value was read, and give what the twin sees of it."""
        shown, same = self._show(value, name, place)
        self.reads.add(origin, settled_read(name, place, same, value))
        return shown

    def read_global(self, space: dict[str, Any], name: str) -> Any:
        """Note that a global was read, and give what the twin sees of it."""
        value = space[name]  # a KeyError sends Python on to the builtins
        full = f"{space.get('__name__', '')}.{name}"
        place = self._homes[id(space)].named(name)
        shown, same = self._show(value, full, place)
        self.reads.add((id(space), name), settled_read(full, place, same, value))
        return shown

    def imported(self, *args: Any, **kwargs: Any) -> Any:
        """What an import within a function gives: a module as those that are imported above it."""
        module = builtins.__import__(*args, **kwargs)
        return self._show_callable(module, module.__name__, Place.root("module", lambda: module))

    # -- what a value looks like inside --------------------------------------------------------------------------------

    def _show(self, value: Any, name: str, place: Place) -> tuple[Any, Same]:
        """The value as the twin sees it, and the check that it still is what was read."""
        if isinstance(value, NUMBERS) and not isinstance(value, enum.Enum):
            return value, same_number(value)
        if id(value) in self._shown:
            return self._shown[id(value)], same_object(value)
        self._kept.append(value)
        array = held(value)
        if isinstance(array, np.ndarray):
            return self._show_array(value, array, name, place)
        if type(value) in CONTAINERS or (isinstance(value, tuple) and hasattr(value, "_fields")):
            return self._show_container(value, name, place)
        if callable(value) or isinstance(value, ModuleType):
            shown = self._show_callable(value, name, place)
            if shown is not value:
                self._shown[id(value)] = shown
                self._originals[id(shown)] = value
                return shown, same_state(value) if isinstance(shown, (Recording, Series)) else same_object(value)
        if isinstance(value, type) and is_users_module(value.__module__):
            return value, same_state(value)
        if is_plain_object(value):
            return self._show_object(value, name, place)
        stored = show_stored(value, name, place, self._show) if is_sparse(value) else None
        if stored is not None:
            self._shown[id(value)] = stored[0]
            self._originals[id(stored[0])] = value
            return stored
        return self._of_os(value), same_object(value) if value is os.environ else same_state(value)

    def _show_array(self, value: Any, array: np.ndarray[Any, Any], name: str, place: Place) -> tuple[Any, Same]:
        """An array, or a tensor and the array it holds."""
        if array.dtype.newbyteorder("=") not in VALUES or means_otherwise(type(array)):
            return value, same_state(value)
        same = self.reads.array(value, name, place)
        shown = self.recorder.operand(array)
        shown.storage.guard = f"{name} is an array from outside the trace, and is not written to"
        shown.storage.outside = True
        shown.boxed = True
        self._shown[id(value)] = shown
        self._originals[id(shown)] = value
        return shown, same

    def _show_container(self, value: Any, name: str, place: Place) -> tuple[Any, Same]:
        """A dict, list or tuple: itself if nothing in it looks different inside, else a copy."""
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        inside: Any = value if isinstance(value, tuple) else copy.copy(value)
        self._shown[id(value)] = inside  # a container may hold itself
        pairs = [self._show(value[k], f"{name}[{k!r}]", place.item(k)) for k in keys]
        parts = [shown for shown, _ in pairs]
        cls = type(value)
        same = SameContents(dict_of, dict(zip(keys, (check for _, check in pairs), strict=True)), lambda v: type(v) is cls)
        if all(shown is value[k] for k, shown in zip(keys, parts, strict=True)):
            inside = value
        elif isinstance(value, tuple):
            inside = tuple(parts) if cls is tuple else cls._make(parts)
        else:
            for k, shown in zip(keys, parts, strict=True):
                inside[k] = shown
        self._shown[id(value)] = inside
        if inside is not value:
            self._originals[id(inside)] = value
        if not isinstance(value, tuple):
            self._containers.append((value, inside, name, copy.copy(inside), same))
        return inside, same

    def _show_object(self, value: Any, name: str, place: Place) -> tuple[Any, Same]:
        """An object of the user's own class: a copy whose methods are twins and whose arrays are traced."""
        cls = type(value)
        inside: Any
        if cls is SimpleNamespace:
            inside = SimpleNamespace()
        else:
            inside = object.__new__(self._class(cls, place.attribute("__class__")))
        self._shown[id(value)] = inside
        self._originals[id(inside)] = value
        checks: dict[Any, Same] = {}
        for key, part in list(vars(value).items()):
            shown, same = self._show(part, f"{name}.{key}", place.variable(key))
            vars(inside)[key] = shown
            checks[key] = same
        attributes = SameContents(vars, checks, same_object(value))
        self._objects.append((value, inside, dict(vars(inside)), attributes))
        return inside, attributes

    def _class(self, cls: type, place: Place) -> type:
        """A subclass with twins in place of the methods, and what the class itself holds as the trace sees it."""
        if id(cls) in self._shown:
            found: type = self._shown[id(cls)]
            return found
        body: dict[str, Any] = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
        body[TWIN_OF] = cls
        for number, base in reversed(list(enumerate(cls.__mro__))):
            for key, member in vars(base).items():
                there = place.base(number).variable(key)
                twin = self._member(member, there)
                if twin is None and not key.startswith("__") and isinstance(member, CONTENTS):
                    twin = self.read(member, f"{base.__qualname__}.{key}", there, (id(base), key))
                elif twin is None and not key.startswith("__") and is_users_module(base.__module__):
                    name = f"{base.__qualname__}.{key}"  # a descriptor, say
                    self.reads.add((id(base), key), settled_read(name, there, same_state(member), member))
                if twin is not None:
                    body[key] = twin
        twin_class = type.__new__(type(cls), cls.__name__, (cls,), body)
        self._shown[id(cls)] = twin_class
        self._kept.append(cls)
        return twin_class

    def _member(self, member: Any, place: Place) -> Any:
        """The twin of a class's member, None for what is inherited as it is."""
        twin = self._twin_of_member(member, place)
        if twin is not None:
            self.reads.add((id(member), "member"), Read(getattr(member, "__name__", "a member"), place, same_object(member)))
        return twin

    def _twin_of_member(self, member: Any, place: Place) -> Any:
        if isinstance(member, FunctionType) and _is_users(member):
            return self.function(member, place)
        if isinstance(member, staticmethod) and _is_users(member.__func__):
            return staticmethod(self.function(member.__func__, place.attribute("__func__")))
        if isinstance(member, property) and _is_users(member.fget):
            return property(self.function(member.fget, place.attribute("fget")), member.fset, member.fdel)
        if isinstance(member, classmethod) and _is_users(member.__func__):
            return classmethod(self.function(member.__func__, place.attribute("__func__")))
        if isinstance(member, functools.cached_property) and _is_users(member.func):
            made = functools.cached_property(self.function(member.func, place.attribute("func")))
            made.attrname = member.attrname
            return made
        if isinstance(member, functools.partialmethod) and _is_users(member.func):
            function = self.function(member.func, place.attribute("func"))
            return functools.partialmethod(function, *member.args, **member.keywords)
        if isinstance(member, functools.singledispatchmethod):
            return _DispatchingMethod(self._dispatching(member.dispatcher, "a method", place.attribute("dispatcher")))
        if type(member).__module__ == "functools" and _is_users(getattr(member, "__wrapped__", None)):
            return self.function(member.__wrapped__, place.attribute("__wrapped__"))
        return None

    def _show_callable(self, value: Any, name: str, place: Place) -> Any:
        """What stands for a module or a callable; the value itself if nothing has to."""
        self._places.setdefault(id(value), place)
        if isinstance(value, ModuleType):
            if is_users_module(value.__name__) and getattr(value, "__file__", None):
                return UserModule(value, self, place)
            return Namespace(value, self._of_os, self._setting) if value is os else self.stand_ins.of(value)
        if hasattr(value, "__tracegrad_compiled__"):
            twin = self._show(value.py_func, name, place.attribute("py_func"))[0]
            return CompiledTwin(value, value.seen_inside(twin))
        if hasattr(value, "__tracegrad_transform__") and not isinstance(value, MethodType):
            parts = value.__tracegrad_transform__()
            return value.around({k: self._show(f, f"{name}.{k}", place.attribute(k))[0] for k, f in parts.items()})
        if isinstance(value, FunctionType) and hasattr(value, "registry") and hasattr(value, "dispatch"):
            return self._dispatching(value, name, place)
        if isinstance(value, FunctionType):
            return self.function(value, place) if _is_users(value) else self._of_os(value)
        if isinstance(value, MethodType) and (hasattr(value.__func__, "__tracegrad_transform__") or _is_users(value.__func__)):
            owner = self.read(value.__self__, "self", place.attribute("__self__"), (id(value.__self__), "self"))
            return MethodType(self._show_callable(value.__func__, name, place.attribute("__func__")), owner)
        if isinstance(value, functools.partial):
            return self._partial(value, name, place)
        if isinstance(value, np.vectorize):
            function = self.read(value.pyfunc, name, place.attribute("pyfunc"), (id(value), "pyfunc"))
            made = self.stand_ins.of(np.vectorize)
            return made(function, value.otypes, excluded=value.excluded, signature=value.signature)
        if isinstance(value, METHODS_OF_OBJECTS) and not isinstance(value.__self__, (type, ModuleType, type(None), *RANDOM)):
            owner = self.read(value.__self__, name, place.attribute("__self__"), (id(value.__self__), "self"))
            return value if owner is value.__self__ else getattr(owner, value.__name__, value)
        inner = getattr(value, "__wrapped__", None)
        if type(value).__module__.partition(".")[0] in CACHES and isinstance(inner, FunctionType) and _is_users(inner):
            return self.function(inner, place.attribute("__wrapped__"))  # caches, which must not keep traced values
        return value if is_plain_object(value) else self.stand_ins.of(value)

    def _dispatching(self, value: Any, name: str, place: Place) -> Callable[..., Any]:
        """A function of ``functools.singledispatch``: a traced value is dispatched on as what it stands for."""
        registry = value.registry
        self.reads.add((id(value), "registry"), Read(name, place.attribute("registry"), same_state(registry)))

        def choose(first: Any) -> Any:
            cls = seen_type(first)
            chosen = value.dispatch(np.ndarray if cls is ArrayStandIn else cls)
            key = next(cls for cls, function in registry.items() if function is chosen)
            return self._show_callable(chosen, name, place.attribute("registry").item(key))

        def dispatched(*args: Any, **kwargs: Any) -> Any:
            return choose(args[0])(*args, **kwargs)

        dispatched.choose = choose  # type: ignore[attr-defined]
        return dispatched

    def _partial(self, value: functools.partial[Any], name: str, place: Place) -> Any:
        function = self.read(value.func, f"{name}.func", place.attribute("func"), (id(value), "func"))
        args = self.read(value.args, f"{name}.args", place.attribute("args"), (id(value), "args"))
        keywords = self.read(value.keywords, f"{name}.keywords", place.attribute("keywords"), (id(value), "keywords"))
        return functools.partial(function, *args, **keywords)

    def _of_os(self, value: Any) -> Any:
        """The stand-in of something foreign; what ``os`` knows of the environment is watched."""
        if value is os.environ or value is os.getenv:
            seen = Environment(self._watch)
            return seen if value is os.environ else seen.get
        return self.stand_ins.of(value)

    def _setting(self, module: ModuleType, name: str, value: Any) -> Any:
        """Note that data was read from a package's module, and give what the twin sees of it."""
        place = Place.root("module", lambda: module, module.__name__).attribute(name)
        return self.read(value, f"{module.__name__}.{name}", place, (id(module), name))

    def _note(self, name: str, ask: Callable[[], Any]) -> None:
        """Note what something answers that is asked again at each call."""

        def answer() -> Any:
            try:
                return ask()
            except OSError as error:
                return type(error)

        first = answer()
        self.reads.add(("asked", name), Read(name, Place.root("asked", answer), lambda now: bool(now == first)))

    def _watch(self, key: str | None) -> None:
        """Note that an environment variable was read, or all of them."""
        place = Place.root("environment", lambda: present(key))
        self.reads.add(("environment", key), Read(f"os.environ[{key!r}]", place, same_value(present(key))))

    # -- twins ---------------------------------------------------------------------------------------------------------

    def function(self, original: Any, place: Place) -> FunctionType:
        """The twin of a function: the same code, other globals, cells and defaults."""
        if id(original) in self._shown:
            known: FunctionType = self._shown[id(original)]
            return known
        self._kept.append(original)
        space = original.__globals__
        if id(space) not in self._globals:
            self._globals[id(space)] = Globals(space, self)
        self._homes.setdefault(id(space), place)
        names = original.__code__.co_freevars
        cells = tuple(self._twin_cell(cell) for cell in original.__closure__ or ())
        twin = FunctionType(original.__code__, self._globals[id(space)], original.__name__, None, cells)
        self._shown[id(original)] = twin
        for number, (name, cell) in enumerate(zip(names, original.__closure__ or (), strict=True)):
            self._names[id(cell)] = name
            self._fill(cell, f"{original.__qualname__}.{name}", place, number)
        twin.__qualname__, twin.__module__, twin.__doc__ = original.__qualname__, original.__module__, original.__doc__
        for key, part in vars(original).items():
            if key == "__wrapped__":
                twin.__dict__[key] = part
            else:
                twin.__dict__[key] = self.read(part, f"{original.__qualname__}.{key}", place.variable(key), (id(original), key))
        self._objects.append((original, twin, dict(vars(twin)), None))
        where = f"{original.__qualname__}.__defaults__"
        if original.__defaults__:
            found = place.attribute("__defaults__")
            twin.__defaults__ = self.read(original.__defaults__, where, found, (id(original), "defaults"))
        if original.__kwdefaults__:
            found = place.attribute("__kwdefaults__")
            twin.__kwdefaults__ = self.read(original.__kwdefaults__, where, found, (id(original), "kwdefaults"))
        code = original.__code__
        read = settled_read(original.__qualname__, place.attribute("__code__"), same_object(code), code)
        self.reads.add((id(original), "code"), read)
        return twin

    def _twin_cell(self, cell: CellType) -> CellType:
        """The twin of a closure cell, shared by all twins whose originals share the cell."""
        if id(cell) not in self._cells:
            self._cells[id(cell)] = (cell, CellType(), None)
        return self._cells[id(cell)][1]

    def _fill(self, cell: CellType, name: str, function: Place, number: int) -> None:
        original, twin, shown = self._cells[id(cell)]
        if shown is not None:
            return
        self._cells[id(cell)] = (original, twin, twin)  # a mark: it is being filled
        try:
            value = original.cell_contents
        except ValueError:
            return  # not assigned yet
        shown = self.read(value, name, function.cell(number), (id(cell), "cell"))
        twin.cell_contents = shown
        self._cells[id(cell)] = (original, twin, shown)

    def seen_from_here(self, place: Place) -> Place:
        """A place of a trace that is inlined, with steps from the function traced here; itself where they are not known."""
        steps = place.steps()
        home = self._places.get(id(place.origin()())) if steps[0] == ("function", None) else None
        if home is None:
            return place
        for step in steps[1:]:
            home = home.after(step)
        return home

    # -- changes -------------------------------------------------------------------------------------------------------

    def finish(self) -> tuple[Read, ...]:
        """Write back what the function changed in globals, cells and attributes; the reads of the trace.

        Raises EscapeError where it left a traced value there.
        """
        changes = [*self._changed_globals(), *self._changed_cells(), *self._changed_attributes()]
        contents = self._changed_contents()
        self.changed = (*(change.place for change in changes), *(name for name, _, _ in contents))
        if self.changed:
            # another process that did not trace would not see what the trace has changed, so it is told to trace too
            self.reads.add("changed", Read("what is changed", Place.root("changed", lambda: None), lambda _: True))
        for change in changes:
            traced = traced_in(change.value)
            if traced is not None:
                self._refuse(traced, change.place)
        if self.echo.silent:
            return tuple(self.reads.seen.values())
        for change in changes:
            value = self._originals.get(id(change.value), change.value)
            self._reverts.append(change.revert)
            change.write(value)
            # a counter, say: the trace would not see its first value again, and must not be stale for that
            if isinstance(change.origin, SameContents):
                change.origin.update(change.key, value)
            elif (change.origin, change.key) in self.reads.seen:
                read = self.reads.seen[change.origin, change.key]
                read.same, read.space, read.owner = same_value(value), None, None
        for _, act, revert in contents:
            self._reverts.append(revert)
            act()
        return tuple(self.reads.seen.values())

    def revert(self) -> None:
        """Take back what was written, where the trace turns out to be refused."""
        for act in self._reverts:
            act()

    def undo(self) -> None:
        """Bring the user's own dicts and lists back to what they were, where the function has changed them themselves."""
        for original, inside, _, before, same in self._containers:
            now, old = dict_of(inside), dict_of(before)
            if inside is original and (len(now) != len(old) or any(old.get(k, old) is not v for k, v in now.items())):
                self._restore(original, old, same, old)

    def _changed_globals(self) -> Iterator[Change]:
        for space in self._globals.values():
            for name, value in space.items():
                if name not in {"__builtins__", "__name__"} and space.shown.get(name, space) is not value:
                    write = functools.partial(space.original.__setitem__, name)
                    back = entry_back(space.original, name)
                    yield Change(f"the global {name}", write, value, id(space.original), name, back)

    def _changed_cells(self) -> Iterator[Change]:
        for original, twin, shown in self._cells.values():
            try:
                value = twin.cell_contents
            except ValueError:
                continue  # never assigned
            if value is not shown:
                write = functools.partial(setattr, original, "cell_contents")
                place = f"the variable {self._names.get(id(original), 'of a closure')}"
                yield Change(place, write, value, id(original), "cell", attribute_back(original, "cell_contents"))

    def _changed_attributes(self) -> Iterator[Change]:
        for source, inside, before, same in self._objects:
            owner, origin = (source.__qualname__, id(source)) if same is None else (type(source).__name__, same)
            for name, value in vars(inside).items():
                if before.get(name, before) is not value:
                    place = f"the attribute {owner}.{name}"
                    write = functools.partial(object.__setattr__, source, name)
                    yield Change(place, write, value, origin, name, attribute_back(source, name))

    def _changed_contents(self) -> list[tuple[str, Callable[[], None], Callable[[], None]]]:
        """By name, the writes that bring the user's dicts and lists to what the function made of their copies, and back."""
        acts: list[tuple[str, Callable[[], None], Callable[[], None]]] = []
        for original, inside, name, before, same in self._containers:
            now, old = dict_of(inside), dict_of(before)
            if len(now) == len(old) and all(old.get(k, old) is v for k, v in now.items()):
                continue
            for key, value in now.items():
                traced = traced_in(value) if old.get(key, old) is not value else None
                if traced is not None:
                    if inside is original:  # the user's own list keeps no traced value
                        self._restore(original, old, same, old)
                    self._refuse(traced, name)
            write = functools.partial(self._restore, original, now, same, old)
            acts.append((name, write, functools.partial(self._restore, original, old, same, old)))
        return acts

    def _restore(self, original: Any, entries: dict[Any, Any], same: SameContents, before: dict[Any, Any]) -> None:
        """Bring one of the user's dicts or lists to these entries, and its check along."""
        found = {key: self._originals.get(id(value), value) for key, value in entries.items()}
        original.clear()
        if isinstance(original, dict):
            original.update(found)
        else:
            original.extend(found.values())
        kept = {key for key, value in entries.items() if before.get(key, before) is value}
        known = same.checks
        same.checks = {k: known[k] if k in kept and k in known else same_value(value) for k, value in found.items()}

    def _refuse(self, value: Sym, place: str) -> None:
        self.recorder.escape(
            EscapeError(
                f"{value!r} was left in {place}, where it means nothing after the trace",
                fix="return it from the function; what only the function needs is a name of its own there",
                where=self.recorder.graph[value.id].where or self.defined,
            )
        )


class UserModule(Namespace):
    """One of the user's own modules inside a trace: its functions are twins, and what is read from it is noted."""

    def __init__(self, module: ModuleType, twins: Twins, place: Place) -> None:
        space = vars(module)
        twins._homes.setdefault(id(space), place)
        if id(space) not in twins._globals:
            twins._globals[id(space)] = Globals(space, twins)
        names = twins._globals[id(space)]

        def look_up(name: str) -> Any:
            return names[name] if name in space else getattr(module, name)

        self.__dict__["_module"] = module
        self.__dict__["_look_up"] = look_up
        self.__dict__["_names"] = names

    def __getattr__(self, name: str) -> Any:
        return self.__dict__["_look_up"](name)

    def __setattr__(self, name: str, value: Any) -> None:  # type: ignore[override]
        self.__dict__["_names"][name] = value  # a global of that module, which is written back as others are


class CompiledTwin:
    """A compiled function inside a trace: a call runs the twin of its Python function, or its gradient, and so inlines it."""

    def __init__(self, compiled: Any, twin: Callable[..., Any]) -> None:
        self._compiled = compiled
        self._twin = twin

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the twin."""
        return self._twin(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._compiled, name)


class _DispatchingMethod:
    """A method of ``functools.singledispatchmethod``: the first argument after ``self`` says which function it is."""

    def __init__(self, dispatched: Callable[..., Any]) -> None:
        self.dispatched = dispatched

    def __get__(self, owner: Any, kind: Any = None) -> Callable[..., Any]:
        return lambda *args, **kwargs: self.dispatched.choose(args[0]).__get__(owner, kind)(*args, **kwargs)  # type: ignore[attr-defined]


def _is_users(function: Any) -> bool:
    """Whether the code is the user's own, or wraps code that is."""
    while function is not None:
        code = getattr(function, "__code__", None)
        if code is not None and is_user_file(code.co_filename):
            return True
        function = getattr(function, "__wrapped__", None)
    return False
