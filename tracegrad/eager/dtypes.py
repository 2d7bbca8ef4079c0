"""Element types under PyTorch's names, which are NumPy's dtypes themselves, and the default one.

``float``, ``int`` and ``bool`` mean dtypes here, as they do in PyTorch's namespace; Python's own are ``builtins.float`` …
"""

from __future__ import annotations

import builtins
from contextvars import ContextVar
from typing import Any

import numpy as np

from tracegrad.core.source import user_frame
from tracegrad.errors import DtypeError

__all__ = [
    "as_dtype",
    "bool",
    "cdouble",
    "cfloat",
    "complex64",
    "complex128",
    "default_complex",
    "default_dtype",
    "double",
    "dtype",
    "finfo",
    "float",
    "float32",
    "float64",
    "get_default_dtype",
    "iinfo",
    "int",
    "int8",
    "int16",
    "int32",
    "int64",
    "long",
    "missing_dtype",
    "set_default_dtype",
    "short",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
]

dtype = np.dtype

float32 = np.dtype(np.float32)
float64 = np.dtype(np.float64)
int8 = np.dtype(np.int8)
int16 = np.dtype(np.int16)
int32 = np.dtype(np.int32)
int64 = np.dtype(np.int64)
uint8 = np.dtype(np.uint8)
uint16 = np.dtype(np.uint16)
uint32 = np.dtype(np.uint32)
uint64 = np.dtype(np.uint64)
complex64 = np.dtype(np.complex64)
complex128 = np.dtype(np.complex128)
double = float64
short = int16
long = int64
cfloat = complex64
cdouble = complex128
float = float32
int = int32
bool = np.dtype(np.bool_)

_KNOWN = frozenset(
    (bool, int8, int16, int32, int64, uint8, uint16, uint32, uint64, float32, float64, complex64, complex128),
)

default_dtype: ContextVar[np.dtype[Any]] = ContextVar("default_dtype", default=float32)
"""What Python floats become; a new thread starts with float32, an asynchronous task with the dtype of its creator."""


def get_default_dtype() -> np.dtype[Any]:
    """The dtype that Python floats and new tensors get.

    >>> get_default_dtype()
    dtype('float32')
    """
    return default_dtype.get()


def set_default_dtype(d: Any) -> None:
    """Let Python floats and new tensors have this dtype: float32 or float64, else DtypeError.

    >>> set_default_dtype(float64)
    >>> get_default_dtype()
    dtype('float64')
    >>> set_default_dtype(float32)
    """
    found = as_dtype(d)
    if found.kind != "f":
        raise DtypeError(
            f"only floating-point types are supported as the default type, this is {found}",
            fix="set_default_dtype(torch.float32) or set_default_dtype(torch.float64)",
            where=user_frame(),
        )
    default_dtype.set(found)


def default_complex() -> np.dtype[Any]:
    """The complex dtype whose parts have the default dtype.

    >>> default_complex()
    dtype('complex64')
    """
    return complex128 if default_dtype.get() == float64 else complex64


def as_dtype(d: Any) -> np.dtype[Any]:
    """A dtype given as one, as a NumPy or Python type, or by name; DtypeError for those that tensors do not have.

    >>> as_dtype(np.float32), as_dtype(builtins.float), as_dtype("int64")
    (dtype('float32'), dtype('float64'), dtype('int64'))
    """
    try:
        # None would mean float64 to NumPy
        found = None if d is None else np.dtype(d)
    except TypeError:
        found = None
    if found is None:
        text = f"{d!r} is not a dtype"
        raise DtypeError(text, fix="use one of PyTorch's names: torch.float32, torch.int64, …", where=user_frame())
    native: np.dtype[Any] = found.newbyteorder("=")
    if native not in _KNOWN:
        raise DtypeError(missing_dtype(found.name), fix="use torch.float32 or torch.float64", where=user_frame())
    return native


def missing_dtype(name: str) -> str:
    """Why a dtype that PyTorch has, or its short name, is absent here.

    >>> missing_dtype("half")
    'tensors have no dtype half: tracegrad computes on the CPU, which has no arithmetic of 16-bit floats'
    """
    reason = {
        "float16": _SHORT_FLOATS,
        "half": _SHORT_FLOATS,
        "bfloat16": _SHORT_FLOATS,
        "complex32": _SHORT_FLOATS,
        "chalf": _SHORT_FLOATS,
    }.get(name)
    if reason is None:
        reason = "quantised and 8-bit float types are left out" if name.startswith(("q", "float8")) else _LISTED
    return f"tensors have no dtype {name}: {reason}"


ABSENT = frozenset(("float16", "half", "bfloat16", "complex32", "chalf", "qint8", "quint8", "qint32"))
"""Dtypes that PyTorch has and tensors here have not."""

_SHORT_FLOATS = "tracegrad computes on the CPU, which has no arithmetic of 16-bit floats"
_LISTED = "there are bool, int8 to int64, uint8 to uint64, float32, float64, complex64 and complex128"


class finfo:  # noqa: N801 - PyTorch's name
    """The limits of a floating-point dtype, by default the default one; DtypeError for other dtypes.

    >>> finfo(float32).eps
    1.1920928955078125e-07
    >>> finfo(float64).bits
    64
    """

    __slots__ = ("bits", "dtype", "eps", "max", "min", "resolution", "smallest_normal", "tiny")

    def __init__(self, type: Any = None) -> None:
        d = default_dtype.get() if type is None else as_dtype(type)
        if d.kind not in "fc":
            raise DtypeError(
                f"torch.finfo() requires a floating point input type. Use torch.iinfo to handle {d}",
                fix=f"torch.iinfo(torch.{d.name})" if d.kind in "iu" else "give a floating dtype",
                where=user_frame(),
            )
        limits: Any = np.finfo(d)
        self.bits: builtins.int = limits.bits
        self.eps, self.max, self.min, self.resolution, self.smallest_normal = (
            builtins.float(x) for x in (limits.eps, limits.max, limits.min, limits.resolution, limits.smallest_normal)
        )
        # NumPy's resolution of float32 is the nearest float32, which is another double
        self.resolution = builtins.float(f"{self.resolution:.0e}")
        self.tiny = self.smallest_normal
        self.dtype: str = limits.dtype.name

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, eps={self.eps:g}, "
            f"smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g}, dtype={self.dtype})"
        )


class iinfo:  # noqa: N801 - PyTorch's name
    """The limits of an integer dtype; DtypeError for other dtypes.

    >>> iinfo(uint8)
    iinfo(min=0, max=255, dtype=uint8)
    """

    __slots__ = ("bits", "dtype", "max", "min")

    def __init__(self, type: Any) -> None:
        d = as_dtype(type)
        if d.kind not in "iu":
            floating = d.kind in "fc"
            raise DtypeError(
                f"torch.iinfo() requires an integer input type. Use torch.finfo to handle {d}"
                if floating
                else f"torch.{d} is not supported by torch.iinfo",
                fix=f"torch.finfo(torch.{d.name})" if floating else "give an integer dtype",
                where=user_frame(),
            )
        limits: Any = np.iinfo(d)
        self.bits: builtins.int = limits.bits
        self.max, self.min = builtins.int(limits.max), builtins.int(limits.min)
        self.dtype: str = d.name

    def __repr__(self) -> str:
        return f"iinfo(min={self.min:g}, max={self.max:g}, dtype={self.dtype})"
