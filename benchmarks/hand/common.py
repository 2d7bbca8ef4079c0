"""The decorators of the hand-written kernels."""

from __future__ import annotations

import functools
from typing import Any

from numba import njit

import tracegrad.codegen.mathlib_numba  # noqa: F401 - tells Numba of the functions of mathlib
from tracegrad.runtime.threads import load_tbb

# Numba finds the pool that survives busy neighbours only once it is loaded; tracegrad's programs use the same one.
load_tbb()

# Not cached: Numba's cache looks at the kernels' files alone, and would keep an older mathematics library.
_flags = functools.partial(njit, fastmath={"contract"}, error_model="numpy", nogil=True)


def serial(function: Any) -> Any:
    """Compile for one core."""
    return _flags(function)


def parallel(function: Any) -> Any:
    """Compile with ``prange`` over all cores."""
    return _flags(function, parallel=True)
