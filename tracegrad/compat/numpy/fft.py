"""``numpy.fft``, with boxes."""

from typing import Any

import numpy as np

from tracegrad.compat.wrap import getter

__all__ = list(np.fft.__all__)

__getattr__: Any = getter(__name__, np.fft, globals())


def __dir__() -> list[str]:
    return list(__all__)
