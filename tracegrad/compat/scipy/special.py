"""``scipy.special``, with boxes."""

from __future__ import annotations

from typing import Any

import scipy.special as _special

from tracegrad.compat.calls import holds_box
from tracegrad.compat.wrap import getter, wrapped
from tracegrad.ops import maps
from tracegrad.ops.complexes import is_complex

__all__ = list(_special.__all__)

__getattr__: Any = getter(__name__, _special, globals())


def __dir__() -> list[str]:
    return list(__all__)


def erfc(x: Any) -> Any:
    """``scipy.special.erfc``, of complex boxes too."""
    return 1.0 - maps.erf(x) if holds_box(x) and is_complex(x) else _erfc(x)


_erfc = wrapped(_special.erfc)
