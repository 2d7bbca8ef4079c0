"""Modules whose functions take boxes: NumPy's and SciPy's own, called as they are where no box is among the arguments."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from types import ModuleType
from typing import Any

import numpy as np

from tracegrad.compat.absent import refusing
from tracegrad.compat.boxes import ArrayBox
from tracegrad.compat.calls import apply_function, apply_ufunc, holds_box
from tracegrad.core.op import Op
from tracegrad.core.source import user_frame
from tracegrad.errors import DifferentiationError
from tracegrad.namespaces import NUMPY_FUNCTIONS

Function = Callable[..., Any]


def of_ufunc(ufunc: np.ufunc) -> Function:
    """A ufunc that takes boxes, and lists of them."""
    ours = NUMPY_FUNCTIONS.get(ufunc)
    short = ours if isinstance(ours, Op) else None

    @wraps(ufunc, assigned=("__name__", "__doc__"), updated=())
    def function(*args: Any, **kwargs: Any) -> Any:
        boxed = False
        for arg in args:
            kind = type(arg)
            if kind is ArrayBox:
                boxed = True
            elif (kind is list or kind is tuple) and holds_box(arg):
                return apply_ufunc(ufunc, "__call__", args, kwargs)
        if not boxed:
            return ufunc(*args, **kwargs)
        if short is None or kwargs:
            return apply_ufunc(ufunc, "__call__", args, kwargs)
        return short(*args)

    for name in ("reduce", "accumulate", "outer", "at", "reduceat", "nin", "nout", "nargs", "types", "identity"):
        setattr(function, name, getattr(ufunc, name))
    return function


def of_function(function: Function) -> Function:
    """A function that takes boxes, and lists, tuples and dicts of them."""

    @wraps(function, updated=())
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        for arg in args:
            kind = type(arg)
            if kind is ArrayBox or ((kind is list or kind is tuple) and holds_box(arg)):
                return apply_function(function, args, kwargs)
        if kwargs and holds_box(kwargs):
            return apply_function(function, args, kwargs)
        return function(*args, **kwargs)

    return wrapped


def wrapped(value: Any) -> Any:
    """What a module gives in place of one of its names: functions take boxes, other things are as they are."""
    if isinstance(value, np.ufunc):
        return of_ufunc(value)
    if isinstance(value, (type, ModuleType)) or not callable(value):
        return value
    return of_function(value)


class Methods:
    """An object whose methods take boxes: a distribution of ``scipy.stats``."""

    def __init__(self, value: Any) -> None:
        self._value_of = value

    def __getattr__(self, name: str) -> Any:
        return wrapped(getattr(self._value_of, name))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The distribution with these parameters, which must be no boxes."""
        if holds_box(args) or holds_box(kwargs):
            raise DifferentiationError(
                f"a frozen {getattr(self._value_of, 'name', 'distribution')} has no derivative with respect to its parameters",
                fix="give them to its methods: norm.logpdf(x, loc, scale)",
                where=user_frame(),
            )
        return self._value_of(*args, **kwargs)


def drawing(name: str, function: Function) -> Function:
    """A function that draws random numbers, whose parameters must be no boxes."""

    def draw(*args: Any, **kwargs: Any) -> Any:
        if holds_box(args) or holds_box(kwargs):
            raise DifferentiationError(
                f"np.random.{name} has no derivative with respect to its parameters",
                fix="draw standard numbers and transform them: loc + scale * np.random.randn(n)",
                where=user_frame(),
            )
        return function(*args, **kwargs)

    draw.__name__ = name
    draw.__doc__ = function.__doc__
    return draw


def getter(name: str, module: Any, own: dict[str, Any]) -> Callable[[str], Any]:
    """The ``__getattr__`` of a module that stands for another one.

    Parameters
    ----------
    name: that of the module.
    module: the one whose names it has.
    own: its ``globals()``, which take what is found.
    """
    refuse = refusing(name)

    def __getattr__(attribute: str) -> Any:  # noqa: N807 - what it becomes
        if not hasattr(module, attribute):
            refuse(attribute)
        value = getattr(module, attribute)
        if attribute.startswith("__"):
            return value
        own[attribute] = result = wrapped(value)
        return result

    return __getattr__
