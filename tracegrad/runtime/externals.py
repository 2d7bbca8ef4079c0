"""C functions that SciPy offers to compiled code: LAPACK's, BLAS's and those of its special functions.

Modules such as ``scipy.linalg.cython_lapack`` hold them as capsules, with the address and the C signature. A kernel names one
by its symbol, which says what it takes: ``scipy.linalg.cython_lapack.dpotrf:void(char*,int*,double*,int*,int*)``. Object code
refers to that symbol, so no address is ever stored; before it is linked, :func:`address` finds the function here and now, and
refuses one whose signature is another. Special functions have symbols of their own, see :mod:`tracegrad.core.capsules`.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.metadata
import re
from functools import cache
from typing import Any, Final

from tracegrad.core import capsules
from tracegrad.errors import CompileError
from tracegrad.runtime import pocketfft

__all__ = ["PREFIX", "address", "function", "is_external", "parsed", "signature"]

PREFIX: Final = "scipy."
"""What symbols of external functions begin with, and no other symbol of a program."""

_SYMBOL: Final = re.compile(r"([\w.]+)\.(\w+):([a-z*]+)\(([a-z*,]*)\)")
_CAPSULE: Final = re.compile(r"(.+?)\s*\((.*)\)")
_TYPEDEFS: Final = {"s": "float", "d": "double"}
"""The numbers of Cython's LAPACK and BLAS."""
_COMPLEX: Final = {"__pyx_t_float_complex": "float", "__pyx_t_double_complex": "double"}
"""Complex numbers by what their parts are; all of LAPACK's functions take pointers."""
_C_TYPES: Final[dict[str, Any]] = {
    "void": None,
    "char": ctypes.c_char,
    "int": ctypes.c_int,
    "long": ctypes.c_long,
    "float": ctypes.c_float,
    "double": ctypes.c_double,
}
_api: Any = ctypes.pythonapi
_capsule_name: Any = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(("PyCapsule_GetName", _api))
_capsule_pointer: Any = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_GetPointer", _api))


def is_external(symbol: str) -> bool:
    """Whether a symbol of object code names an external function."""
    return symbol.startswith((PREFIX, pocketfft.PREFIX))


def parsed(symbol: str) -> tuple[str, str, str, tuple[str, ...]]:
    """Return the parts of a symbol: module, capsule, result and parameters.

    Parameters
    ----------
    symbol: ``module.capsule:result(parameters)``, types as C has them, without blanks.

    Raises
    ------
    ValueError
        For a text of another form.

    Examples
    --------
    >>> parsed("scipy.linalg.cython_blas.dscal:void(int*,double*,double*,int*)")
    ('scipy.linalg.cython_blas', 'dscal', 'void', ('int*', 'double*', 'double*', 'int*'))
    """
    found = _SYMBOL.fullmatch(symbol)
    if not found or not is_external(symbol):
        raise ValueError(f"{symbol!r} is not the symbol of an external function: module.capsule:result(parameters)")
    module, capsule, result, parameters = found.groups()
    return module, capsule, result, tuple(filter(None, parameters.split(",")))


def _capsule(module: str, name: str) -> Any:
    try:
        return importlib.import_module(module).__pyx_capi__[name]
    except (ImportError, AttributeError, KeyError) as error:
        version = importlib.metadata.version("scipy")
        raise CompileError(
            f"SciPy {version} has no C function {module}.{name} ({type(error).__name__}: {error})",
            fix="install a release of SciPy that tracegrad names in its requirements",
        ) from error


def signature(module: str, name: str) -> str:
    """Return what a function takes, as the end of its symbol.

    Parameters
    ----------
    module, name: of the capsule.

    Raises
    ------
    CompileError
        Where this SciPy has no such function.

    Examples
    --------
    >>> signature("scipy.linalg.cython_blas", "dscal")
    'void(int*,double*,double*,int*)'
    """
    text = _capsule_name(_capsule(module, name)).decode()
    found = _CAPSULE.fullmatch(text)
    if not found:
        return str(text)
    result, parameters = found.groups()
    return f"{_c_type(result)}({','.join(_c_type(each) for each in parameters.split(',') if each.strip() not in ('', 'void'))})"


def _c_type(text: str) -> str:
    """One type of a capsule's signature, without the parameter's name and Cython's names of numbers."""
    words, stars = text.replace("*", " ").split(), text.count("*")
    words = [word for word in words if word != "const"]
    word = words[0] if words else text
    if word.startswith("__pyx_t_"):
        word = _COMPLEX.get(word) or _TYPEDEFS.get(word.rpartition("_")[2], word)
    return word + "*" * stars


@cache
def address(symbol: str) -> int:
    """Return where an external function stands in this process.

    Parameters
    ----------
    symbol: see :func:`parsed`.

    Raises
    ------
    CompileError
        Where this SciPy has no such function, or one that takes something else.
    """
    if symbol.startswith(pocketfft.PREFIX):
        return pocketfft.address(symbol)
    if capsules.is_special(symbol):
        return capsules.address(symbol)
    module, name, result, parameters = parsed(symbol)
    asked, found = f"{result}({','.join(parameters)})", signature(module, name)
    if asked != found:
        raise CompileError(
            f"the C function {module}.{name} is {found} in this SciPy, and tracegrad calls {asked}",
            fix="install a release of SciPy that tracegrad names in its requirements",
        )
    capsule = _capsule(module, name)
    return int(_capsule_pointer(capsule, _capsule_name(capsule)))


@cache
def function(symbol: str) -> Any:
    """Return an external function for Python, as ``NUMBA_DISABLE_JIT=1`` calls it: pointers are addresses.

    Parameters
    ----------
    symbol: see :func:`parsed`.
    """
    _, _, result, parameters = parsed(symbol)
    kinds = [ctypes.c_void_p if kind.endswith("*") else _C_TYPES[kind] for kind in parameters]
    return ctypes.CFUNCTYPE(_C_TYPES[result], *kinds)(address(symbol))
