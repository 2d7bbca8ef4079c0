"""``scipy.linalg``, with boxes."""

from typing import Any

import scipy.linalg as _linalg

from tracegrad.compat.wrap import getter

__all__ = list(_linalg.__all__)

__getattr__: Any = getter(__name__, _linalg, globals())


def __dir__() -> list[str]:
    return list(__all__)
