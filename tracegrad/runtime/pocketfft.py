"""NumPy's Fourier transforms as words of the kernels' language: the one module that knows how NumPy holds them.

``numpy.fft._pocketfft_umath`` has ufuncs whose loops are C functions, as NumPy's public ABI describes them (``PyUFuncObject``):
a kernel calls the loop itself, without Python and without the GIL, and has NumPy's numbers at NumPy's speed. The addresses
are looked up when a program is linked, so that none is stored. In plain Python the words call the ufuncs.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from tracegrad.core.capsules import loop_of
from tracegrad.errors import CompileError

__all__ = ["PREFIX", "SYMBOLS", "address"]

PREFIX: Final = "numpy.fft."
"""What the symbols of object code begin with."""
_loops: Any = getattr(np.fft, "_pocketfft_umath", None)
_KINDS: Final = {"fft": "cc", "ifft": "cc", "rfft_n_even": "rc", "rfft_n_odd": "rc", "irfft": "cr"}
"""Each ufunc with what it takes and gives: complex numbers or reals."""
_LETTERS: Final = {"float64": {"c": "D", "r": "d"}, "float32": {"c": "F", "r": "f"}}
SYMBOLS: Final = MappingProxyType(
    {
        f"{name}_{dtype}": f"{PREFIX}{name}.{letters[kinds[0]]}{letters['r']}"
        for name, kinds in _KINDS.items()
        for dtype, letters in _LETTERS.items()
    }
)
"""The symbol of each word: the ufunc and the operands of its loop, the array and a factor."""


def address(symbol: str) -> int:
    """Where the loop of a symbol stands in this process, or with ``.data`` behind it what the loop is handed.

    Raises
    ------
    CompileError
        For one that this NumPy does not have.
    """
    name, operands, *data = symbol.removeprefix(PREFIX).split(".")
    found = loop_of(getattr(_loops, name, None), operands, bool(data))
    if found is None:
        raise CompileError(
            f"NumPy {np.__version__} has no loop {name} of {operands} in numpy.fft._pocketfft_umath",
            fix='run transforms with compile="never", or install a release of NumPy that tracegrad names in its requirements',
        )
    return found


def __getattr__(name: str) -> Callable[..., None]:
    """A word for texts that run as Python."""
    if name not in SYMBOLS:
        raise AttributeError(f"no transform {name}")
    ufunc_name, _, dtype = name.rpartition("_")
    kinds = [np.dtype(_LETTERS[dtype][kind]) for kind in _KINDS[ufunc_name]]

    def call(x: Any, out: Any, *numbers: int) -> None:
        many, x_line, out_line, n, m, x_step, out_step, by = numbers
        given = _strided(x.address, kinds[0], (many, n), (x_line, x_step))
        made = _strided(out.address, kinds[1], (many, m), (out_line, out_step))
        getattr(_loops, ufunc_name)(given, np.dtype(dtype).type(1.0) / np.dtype(dtype).type(by), out=made)

    return call


def _strided(place: int, dtype: Any, shape: tuple[int, int], strides: tuple[int, int]) -> Any:
    nbytes = sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) + dtype.itemsize if min(shape) else 0
    memory = (ctypes.c_char * nbytes).from_address(place)
    return np.ndarray(shape, dtype, memoryview(memory), 0, strides)
