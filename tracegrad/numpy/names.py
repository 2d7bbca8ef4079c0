"""Which names of NumPy are traced, read from the table of traced functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, NoReturn

import numpy as np

from tracegrad.core.source import user_frame
from tracegrad.errors import MissingAttributeError
from tracegrad.namespaces import NUMPY_FUNCTIONS, SPELLINGS, UNKNOWN
from tracegrad.trace.creation import CREATION

OF_SIZES = frozenset(
    (np.eye, np.identity, np.tri, np.r_, np.c_, np.newaxis, np.finfo, np.iinfo, np.errstate, np.ndarray, np.dtype)
)
"""What is called as it is, or is no function."""


def is_traced_name(value: Any) -> bool:
    """Whether what NumPy has under a name belongs to the namespace: what is traced, and the types and numbers beside it."""
    if isinstance(value, type) and issubclass(value, np.generic):
        return True
    if isinstance(value, (bool, int, float)) or value is None:
        return True
    try:
        return value in NUMPY_FUNCTIONS or value in CREATION or value in OF_SIZES
    except TypeError:  # not hashable
        return False


def traced_names(module: ModuleType) -> Mapping[str, Any]:
    """The public names of one of NumPy's modules that are traced."""
    public = [name for name in getattr(module, "__all__", dir(module)) if not name.startswith("_")]
    return {name: getattr(module, name) for name in public if is_traced_name(getattr(module, name))}


def getter(prefix: str, module: ModuleType) -> Callable[[str], NoReturn]:
    """The ``__getattr__`` of a namespace: raises for the names it does not have."""

    def __getattr__(name: str) -> NoReturn:  # noqa: N807 - what it becomes
        if hasattr(module, name) and not name.startswith("_"):
            fix = SPELLINGS.get(name, UNKNOWN)
            raise MissingAttributeError(f"{prefix}.{name} is not traced", fix=fix, where=user_frame())
        raise AttributeError(f"NumPy has no {prefix}.{name}")

    return __getattr__
