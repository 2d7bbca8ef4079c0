"""``numpy.random`` as it is: what is drawn is a constant, so its parameters must be no boxes."""

from typing import Any

import numpy as np

from tracegrad.compat.wrap import drawing

__all__ = [name for name in np.random.__all__ if not name.startswith("_")]


def __getattr__(name: str) -> Any:
    try:
        value = getattr(np.random, name)
    except AttributeError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    if name.startswith("_") or isinstance(value, type) or not callable(value):
        return value
    globals()[name] = result = drawing(name, value)
    return result


def __dir__() -> list[str]:
    return list(__all__)
