"""Numbers and counts given as arguments: which ones are accepted, and as which elements."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tracegrad.core.aval import one_int
from tracegrad.core.source import user_frame
from tracegrad.eager.dtypes import default_complex, default_dtype, int64
from tracegrad.eager.tensor import Tensor
from tracegrad.errors import DtypeError, ShapeError


def number(function: str, name: str, value: Any) -> Any:
    """A Python number from one, a NumPy scalar or a 0-d tensor; DtypeError for anything else."""
    if isinstance(value, (bool, int, float, complex)):
        # NumPy's float64 is a float, but keeps no dtype of its own here
        return value.item() if isinstance(value, np.generic) else value
    if isinstance(value, (np.number, np.bool_)) or (isinstance(value, (Tensor, np.ndarray)) and value.ndim == 0):
        return value.item()
    raise DtypeError(
        f"{function}(): argument '{name}' must be Number, not {type(value).__name__}",
        fix=f"give a Python number: {name}=…",
        where=user_frame(),
    )


def dtype_of(value: Any) -> np.dtype[Any]:
    """The dtype that a Python number gives a tensor."""
    if isinstance(value, (bool, int)):
        return np.dtype(bool) if isinstance(value, bool) else int64
    return default_complex() if isinstance(value, complex) else default_dtype.get()


def held(value: Any, dtype: np.dtype[Any]) -> Any:
    """A number as an element of a dtype; DtypeError where it cannot be one.

    Fractions are cut off for integers.
    """
    found, fits = value, True
    if isinstance(value, complex) and dtype.kind != "c" and not value.imag:
        found = value.real
    if dtype.kind in "iu":
        fits = not isinstance(found, complex) and math.isfinite(found)
        if fits:
            # as in PyTorch, negative integers wrap around in unsigned dtypes, and negative floats do not
            wraps = dtype.kind == "u" and not isinstance(found, float)
            limits = np.iinfo(dtype)
            most = int(limits.max)
            fits = (-most if wraps else int(limits.min)) <= found <= most
            found = int(found) % (most + 1) if wraps else int(found)
    elif dtype.kind == "f":
        fits = not isinstance(found, complex) and _finite_stays(found, dtype)
    elif dtype.kind == "c":
        parts = np.zeros((), dtype).real.dtype
        fits = _finite_stays(found.real, parts) and _finite_stays(found.imag, parts)
    if not fits:
        raise DtypeError(
            f"value cannot be converted to type {dtype} without overflow: {value}",
            fix="choose a dtype that holds it",
            where=user_frame(),
        )
    return bool(found) if dtype.kind == "b" else found


def _finite_stays(value: float, dtype: np.dtype[Any]) -> bool:
    """Whether a finite number is finite in a floating dtype, too."""
    return not math.isfinite(value) or abs(value) <= float(np.finfo(dtype).max)


def count_of(function: str, name: str, value: Any) -> int:
    """A number of something; DtypeError for what is no integer, ShapeError for a negative one."""
    found = one_int(value)
    if found is None:
        raise DtypeError(
            f"{function}(): argument '{name}' must be int, not {type(value).__name__}",
            fix=f"{name}=3",
            where=user_frame(),
        )
    if found < 0:
        raise ShapeError(f"{name} must be greater or equal to 0, got {found}", fix=f"{name}=3", where=user_frame())
    return found
