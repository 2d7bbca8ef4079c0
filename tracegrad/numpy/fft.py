"""The functions of ``numpy.fft`` that are traced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tracegrad.numpy.names import getter, traced_names

if TYPE_CHECKING:
    from numpy.fft import *  # noqa: F403 - their types are NumPy's

_NAMES = traced_names(np.fft)
__all__ = sorted(_NAMES)  # noqa: PLE0605 - made from the registry

globals().update(_NAMES)
__getattr__: Any = getter("np.fft", np.fft)


def __dir__() -> list[str]:
    return __all__
