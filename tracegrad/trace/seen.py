"""``isinstance``, ``type``, ``max`` and ``min`` as a traced function sees them: a traced value is what it stands for."""

from __future__ import annotations

from collections.abc import Iterator, ValuesView
from typing import Any

from tracegrad.ops.maps import select
from tracegrad.symbolic import Sym
from tracegrad.trace.creation import ArrayStandIn


def instance_of(value: Any, kinds: Any) -> bool:
    """``isinstance``, to which a traced number is what it stands for: a Python number, or a NumPy scalar."""
    if isinstance(value, kinds):
        return True
    if not isinstance(value, Sym) or value.shape != () or value.boxed:
        return False
    scalar = value.dtype.type(0)
    return isinstance(scalar.item() if value.weak else scalar, kinds)


def seen_type(value: Any) -> Any:
    """``type(value)``, which of a traced value is what it stands for."""
    if not isinstance(value, Sym):
        return type(value)
    if value.shape or value.boxed:
        return ArrayStandIn
    scalar = value.dtype.type(0)
    return type(scalar.item() if value.weak else scalar)


class _TypeOfTypes(type):
    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return seen_type(*args) if len(args) == 1 and cls is TypeStandIn else super().__call__(*args, **kwargs)

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, type)


class TypeStandIn(type, metaclass=_TypeOfTypes):
    """``type`` as a traced function sees it: that of a traced value is NumPy's."""


def largest(*args: Any, **kwargs: Any) -> Any:
    """``max``, of traced numbers too: Python's, which keeps the first of equal ones and what a NaN is not above.

    >>> largest(1.0, 3.0), largest([2, 1])
    (3.0, 2)
    """
    args = _listed(args)
    values = _compared(args, kwargs)
    if values is None:
        return max(*args, **kwargs)
    found = values[0]
    for value in values[1:]:
        found = select(value > found, value, found)
    return found


def smallest(*args: Any, **kwargs: Any) -> Any:
    """``min``, likewise.

    >>> smallest(1.0, 3.0), smallest([2, 1])
    (1.0, 1)
    """
    args = _listed(args)
    values = _compared(args, kwargs)
    if values is None:
        return min(*args, **kwargs)
    found = values[0]
    for value in values[1:]:
        found = select(value < found, value, found)
    return found


def _listed(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments, of which a single one can be gone through twice."""
    return ([*args[0]],) if len(args) == 1 and isinstance(args[0], Iterator) else args


def _compared(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any] | None:
    """The numbers that ``max`` compares, where a traced one is among them that is not structure; None for Python's own."""
    if kwargs.keys() - {"default"}:
        return None
    given = args[0] if len(args) == 1 else args
    if not isinstance(given, (list, tuple, Sym, ValuesView)) or (isinstance(given, Sym) and not given.shape):
        return None
    values = list(given)
    traced = [value for value in values if isinstance(value, Sym)]
    if len(values) < 2 or any(value.shape for value in traced):
        return None
    # whole numbers may be sizes, which are known by their values
    return values if any(value.dtype.kind == "f" for value in traced) else None
