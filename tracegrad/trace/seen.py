"""``isinstance`` and ``type`` as a traced function sees them: a traced value is what it stands for."""

from __future__ import annotations

from typing import Any

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
