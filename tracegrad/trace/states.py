"""The checks of values that a trace uses as they are: what they hold is compared, as it can change in place.

Sets, deques, subclasses of dict and list, arrays of dtypes that are not traced, objects with slots, classes: a trace sees
their contents as numbers, so it is good as long as these are the same. Of functions that do not run as twins it is what
they read: their globals, closure cells and defaults.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import dis
import enum
import functools
import inspect
import sys
import weakref
from collections import ChainMap, UserDict, UserList, deque
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from threading import local
from types import BuiltinFunctionType, CodeType, FunctionType, MappingProxyType, MethodType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from tracegrad.core.source import is_user_file
from tracegrad.trace.reads import NUMBERS, Same, SameContents, held, same_content, same_number, same_object

Entries = Callable[[Any], Mapping[Any, Any]]

_ORDERED = (list, tuple, deque, UserList, set, frozenset)
_KEYED = (dict, UserDict, ChainMap, MappingProxyType)
_RAW = (bytearray, memoryview, array.array, ctypes.Array, ctypes.Structure, ctypes._SimpleCData)
_FIXED = (BuiltinFunctionType, ModuleType, np.ufunc, BaseException, CodeType)
_WRAPPERS = (staticmethod, classmethod, functools.cached_property, functools.partialmethod, functools.singledispatchmethod)
SHORT = 100
"""Up to how many numbers in a collection that an object of a package holds are compared."""
_OF_EVERY_CLASS = frozenset(("__dict__", "__weakref__", "__doc__", "__module__", "__annotations__", "_abc_impl"))


def same_state(value: Any) -> Same:
    """The check that a value from outside is the one it was, and holds what it held.

    >>> from collections import deque
    >>> queue = deque([1.0, [2.0]])
    >>> same = same_state(queue)
    >>> same(queue), queue[1].append(3.0), same(queue)
    (True, None, False)
    """
    return _same(value, {}, True)


def _same(value: Any, met: dict[int, Any], users: bool) -> Same:
    """``users`` says whether the value was reached through the user's own objects only."""
    if isinstance(value, NUMBERS) and not isinstance(value, enum.Enum):
        return same_number(value)
    if isinstance(value, _FIXED) or id(value) in met:
        return same_object(value)
    met[id(value)] = value
    if isinstance(held(value), np.ndarray):
        return _same_array(value, met, users)
    if isinstance(value, _RAW):
        content = bytes(value)
        return lambda v: v is value and bytes(v) == content
    entries, near = _entries_of(value, users)
    if entries is None:
        return same_object(value)
    parts = entries(value)
    return SameContents(entries, {k: _same(part, met, near) for k, part in parts.items()}, _same_kind(value))


def _same_kind(value: Any) -> Same:
    """Methods are made anew at each look, so two of them are the same if their parts are."""
    if isinstance(value, (MethodType, tuple)):
        kind = type(value)
        return lambda v: type(v) is kind
    return same_object(value)


def _same_array(value: Any, met: dict[int, Any], users: bool) -> Same:
    """An array, a tensor, or a subclass with attributes: a mask, say."""
    array = held(value)
    if array is not value:
        same = same_content(array)
        return lambda v: v is value and same(held(v))
    if array.dtype.hasobject:
        checks = [_same(each, met, users) for each in array.ravel().tolist()]
        return lambda v: v is array and all(c(e) for c, e in zip(checks, v.ravel().tolist(), strict=True))
    if isinstance(array, np.ma.MaskedArray):
        content = (np.ma.getdata(array).tobytes(), np.ma.getmaskarray(array).tobytes())
        return lambda v: v is array and (np.ma.getdata(v).tobytes(), np.ma.getmaskarray(v).tobytes()) == content
    return same_content(array)


def _entries_of(value: Any, users: bool) -> tuple[Entries | None, bool]:
    """What gives the parts of an object by name, and whether these are the user's own; None where nothing is known of it."""
    if isinstance(value, _ORDERED):
        return lambda v: dict(enumerate(v)), users
    if isinstance(value, _KEYED):
        return lambda v: dict(v.items()), users
    if isinstance(value, (ContextVar, weakref.ref)):
        return _present, users
    if type(value) in (local, SimpleNamespace):
        return vars, users
    if isinstance(value, FunctionType) and not is_user_file(value.__code__.co_filename):
        return None, False
    if isinstance(value, (FunctionType, MethodType, functools.partial, property, *_WRAPPERS)):
        return _parts_of_function, users
    if isinstance(value, type):
        return (_members, True) if users and is_users_module(value.__module__) else (None, False)
    if users and is_users_module(type(value).__module__):
        return variables_of, True
    if type(value).__module__.partition(".")[0] in {"tracegrad", "builtins"}:
        return None, False
    # of an object of a package, a spline or a logger say, the arrays and numbers
    return (_arrays_of, False) if _arrays_of(value) else (None, False)


def _arrays_of(value: Any) -> dict[str, Any]:
    if callable(getattr(type(value), "__array__", None)):  # a tensor of another package
        with contextlib.suppress(Exception):
            return {"": np.asarray(value)}
    return {name: part for name, part in variables_of(value).items() if _is_data(part)}


def _is_data(part: Any) -> bool:
    """Whether an attribute of a package's object is an array, a number or a short collection of numbers."""
    if isinstance(part, (list, deque)) and len(part) <= SHORT:
        return all(isinstance(each, NUMBERS) for each in part)
    return isinstance(part, (np.ndarray, *NUMBERS))


def _present(value: Any) -> dict[str, Any]:
    return {"": value.get(None) if isinstance(value, ContextVar) else value()}


def _parts_of_function(value: Any) -> dict[str, Any]:
    """What a function is made of and reads."""
    if isinstance(value, MethodType):
        return {"function": value.__func__, "self": value.__self__}
    if isinstance(value, (functools.partial, functools.partialmethod)):
        return {"function": value.func, "args": value.args, "keywords": value.keywords}
    if isinstance(value, property):
        return {"get": value.fget}
    if isinstance(value, functools.singledispatchmethod):
        return {"get": value.func, **{str(k): f for k, f in value.dispatcher.registry.items()}}
    if isinstance(value, functools.cached_property):
        return {"get": value.func}
    if isinstance(value, (staticmethod, classmethod)):
        return {"get": value.__func__}
    parts: dict[str, Any] = {"code": value.__code__, "attributes": vars(value)}
    parts |= {"defaults": value.__defaults__, "keywords": value.__kwdefaults__}
    for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
        try:
            parts[f"the cell {name}"] = cell.cell_contents
        except ValueError:
            parts[f"the cell {name}"] = None  # not assigned yet
    for name in _globals_read(value.__code__):
        if name in value.__globals__:
            parts[name] = value.__globals__[name]
    return parts


@functools.lru_cache(maxsize=4096)
def _globals_read(code: CodeType) -> tuple[str, ...]:
    """The globals that code names, and the functions defined inside it."""
    found = {str(step.argval) for step in dis.get_instructions(code) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found.update(_globals_read(constant))
    return tuple(sorted(found))


def _members(cls: type) -> dict[str, Any]:
    """What a class of the user's holds and inherits from others of theirs."""
    return {
        f"{number}.{name}": member
        for number, base in enumerate(cls.__mro__)
        if is_users_module(base.__module__)
        for name, member in vars(base).items()
        if name not in _OF_EVERY_CLASS and type(member).__name__ not in ("member_descriptor", "getset_descriptor")
    }


def is_users_module(name: str) -> bool:
    """Whether a module is the user's own; what is typed in has no file."""
    if name.partition(".")[0] in {"tracegrad", "builtins"} or name in sys.builtin_module_names:
        return False
    file = getattr(sys.modules.get(name), "__file__", None)
    return file is None or is_user_file(file)


def variables_of(value: Any) -> dict[str, Any]:
    """The attributes of an object, those in slots too."""
    found: dict[str, Any] = {}
    for base in reversed(type(value).__mro__):
        slots = vars(base).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            full = f"_{base.__name__.lstrip('_')}{name}" if name.startswith("__") and not name.endswith("__") else name
            if full not in ("__dict__", "__weakref__") and hasattr(value, full):
                found[full] = getattr(value, full)
    return found | vars(value) if hasattr(value, "__dict__") else found


def is_plain_object(value: Any) -> bool:
    """Whether a copy of an object's attributes is a copy of it: its class is the user's own and a plain one."""
    if type(value) is SimpleNamespace:
        return True
    return hasattr(value, "__dict__") and not isinstance(value, type) and is_plain_class(type(value))


def is_plain_class(cls: type) -> bool:
    """Whether a class is the user's own, without slots or a base in C."""
    if issubclass(cls, (enum.Enum, BaseException)) or type(cls).__module__ not in {"builtins", "abc"}:
        return False
    if cls.__basicsize__ != _Plain.__basicsize__ or not is_users_module(cls.__module__):
        return False
    return not any(set(vars(base).get("__slots__", ())) - {"__dict__", "__weakref__"} for base in cls.__mro__)


def has_methods(cls: type) -> bool:
    """Whether a person has written methods of a class, beside what dataclasses write."""
    members = [member for base in cls.__mro__ for member in vars(base).values()]
    functions = [getattr(m, "__func__", None) or getattr(m, "fget", None) or getattr(m, "func", None) or m for m in members]
    codes = [inspect.unwrap(f).__code__ for f in functions if isinstance(f, FunctionType)]
    return any(code.co_filename != "<string>" and is_user_file(code.co_filename) for code in codes)


class _Plain:
    """A class without slots or a base in C."""
