"""What the processor offers, as LLVM sees it, or as Numba's settings override it."""

from __future__ import annotations

import os
from functools import cache

import llvmlite.binding as ll

__all__ = ["cpu_features", "cpu_name", "features"]


def cpu_name() -> str:
    """The processor that code is made for: this one, or that of ``NUMBA_CPU_NAME``."""
    return os.environ.get("NUMBA_CPU_NAME") or str(ll.get_host_cpu_name())


@cache
def _host_features() -> str:
    try:
        return str(ll.get_host_cpu_features().flatten())
    except RuntimeError:  # LLVM does not know this processor
        return ""


def cpu_features() -> str:
    """Its features as ``+one,-other``, or those of ``NUMBA_CPU_FEATURES``."""
    return os.environ.get("NUMBA_CPU_FEATURES") or _host_features()


def features() -> dict[str, bool]:
    """Its features by name.

    Examples
    --------
    >>> isinstance(features(), dict)
    True
    """
    return {name[1:]: name[0] == "+" for name in cpu_features().split(",") if name}
