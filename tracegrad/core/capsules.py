"""SciPy's special functions as C functions: the one module that knows how SciPy offers them to native code.

Two ways, both looked up when a program is linked, so that no address is stored anywhere:

- ``scipy.special.cython_special`` has a capsule per C function that needs no GIL. The keys of its ``__pyx_capi__`` are
  Cython's and carry a number where a function exists for several types; so a function is found by its own name and the
  signature, which a capsule carries as its name. Functions of several results write through pointers.
- Where there is none, the loop of the ufunc itself, which NumPy's ABI describes (``PyUFuncObject``): it is called for one
  element. ``zeta`` and the spherical Bessel functions have only that, and functions of complex numbers are called so.

A function that this SciPy has in neither way is None here, and the op that wants it has no native code.
"""

from __future__ import annotations

import ctypes
import inspect
import re
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
import scipy.special
from scipy.special import cython_special

from tracegrad.errors import CompileError

__all__ = ["SIGNATURES", "WORD_PREFIX", "CFunction", "address", "found", "is_special", "loop_of", "ufunc_of"]

WORD_PREFIX: Final = "special_"
"""What the words of codegen's vocabulary that mean such a function begin with; then the function's own name follows, and
the number of the result where it has several: ``special_gammaln``, ``special_airy_2``."""
PREFIX: Final = "scipy.special."
"""What the symbols of object code begin with."""

SIGNATURES: Final = {
    "d": (
        "gammaln psi gamma rgamma erfinv ndtri i0 i1 i0e i1e j0 j1 y0 y1 k0 k1 k0e k1e exp1 expi dawsn erfi spence ellipk "
        "ellipe ellipkm1 wrightomega loggamma ndtri_exp sindg cosdg tandg cotdg gammasgn"
    ),
    "dd": (
        "jv yv iv kv jve yve ive kve beta betaln gammainc gammaincc gammaincinv gammainccinv hyp0f1 ellipkinc ellipeinc "
        "elliprc owens_t poch binom powm1 stdtr stdtrit chdtri _zeta"
    ),
    "ddd": "betainc betaincc betaincinv hyp1f1 hyperu elliprd elliprf elliprg btdtria btdtrib fdtri",
    "dddd": "hyp2f1 elliprj",
    "dld": "bdtri",
    "ld": "expn eval_hermite eval_hermitenorm eval_legendre eval_chebyt eval_chebyu eval_laguerre "
    "_spherical_jn _spherical_yn _spherical_in _spherical_kn",
    "ldd": "eval_gegenbauer eval_genlaguerre",
    "lddd": "eval_jacobi",
    "d:2": "sici shichi fresnel",
    "d:4": "airy",
    "dd:4": "ellipj",
    "D:2": "wofz",
    "Dld:2": "_lambertw",
}
"""The functions that ops use, by their operands (``d`` double, ``l`` a long integer, ``D`` a complex number, which is two
numbers to a word) and, if several, their results. Those with complex operands have one complex result: two numbers."""

REINSTALL: Final = "install a release of SciPy that tracegrad names in its requirements"
_CAPSULE_NAME: Any = ctypes.pythonapi.PyCapsule_GetName
_CAPSULE_NAME.restype, _CAPSULE_NAME.argtypes = ctypes.c_char_p, [ctypes.py_object]
_CAPSULE_POINTER: Any = ctypes.pythonapi.PyCapsule_GetPointer
_CAPSULE_POINTER.restype, _CAPSULE_POINTER.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]


@dataclass(frozen=True, slots=True)
class CFunction:
    """A function for native code.

    Attributes
    ----------
    name: SciPy's.
    operands: a letter each, ``d``, ``l`` or ``D``.
    results: how many it has; with several it returns nothing and writes through pointers behind its operands. With complex
        operands the two are the parts of one number.
    symbol: the name of its address; :func:`address` gives it.
    is_loop: whether it is the loop of a ufunc, with data at the symbol ``symbol + ".data"``.
    single: the symbol of the same function in single precision, "" where SciPy's float32 loop widens.
    """

    name: str
    operands: str
    results: int
    symbol: str
    is_loop: bool
    single: str = ""

    @property
    def is_complex(self) -> bool:
        """Whether it is a function of complex numbers."""
        return "D" in self.operands

    @property
    def letters(self) -> str:
        """What a word for it takes: two numbers for a complex one."""
        return self.operands.replace("D", "dd")


class _UFunc(ctypes.Structure):
    """The head of NumPy's ``PyUFuncObject``, part of its public ABI."""

    _fields_ = (
        *(("refcount", ctypes.c_ssize_t), ("type", ctypes.c_void_p)),
        *((name, ctypes.c_int) for name in ("nin", "nout", "nargs", "identity")),
        *(("functions", ctypes.POINTER(ctypes.c_void_p)), ("data", ctypes.POINTER(ctypes.c_void_p))),
    )


@cache
def _declared() -> dict[str, tuple[str, int]]:
    declared: dict[str, tuple[str, int]] = {}
    for signature, names in SIGNATURES.items():
        operands, _, results = signature.partition(":")
        declared |= dict.fromkeys(names.split(), (operands, int(results or 1)))
    return declared


@cache
def _capsules() -> dict[str, list[str]]:
    """The keys of the capsules of each function."""
    keys: dict[str, list[str]] = {}
    for key in getattr(cython_special, "__pyx_capi__", {}):
        keys.setdefault(re.sub(r"^__pyx_fuse_[\d_]*", "", key), []).append(key)
    return keys


@cache
def found(word: str) -> CFunction | None:
    """The function behind a word of the vocabulary, None where this SciPy does not offer it.

    Examples
    --------
    >>> found("special_gammaln").operands, found("special_airy_2").results, found("special_nothing")
    ('d', 4, None)
    """
    name = word.removeprefix(WORD_PREFIX)
    head, _, place = name.rpartition("_")
    if name not in _declared() and place.isdigit():
        name = head
    if name not in _declared():
        return None
    operands, results = _declared()[name]
    is_complex = "D" in operands
    keys = {_signature(key): f"{PREFIX}cython_special.{key}" for key in _capsules().get(name, ())}
    for written in _written(operands, results) if not is_complex else ():
        if written in keys:
            return CFunction(name, operands, results, keys[written], False, keys.get(written.replace("double", "float"), ""))
    ufunc, made = ufunc_of(name), "D" if is_complex else "d" * results
    if isinstance(ufunc, np.ufunc) and f"{operands}->{made}" in ufunc.types and _is_ufunc_as_known(ufunc):
        return CFunction(name, operands, results, f"{PREFIX}{name}.{operands}", True)
    return None


def _signature(key: str) -> str:
    name: bytes = _CAPSULE_NAME(dict[str, Any](cython_special.__pyx_capi__)[key])
    return name.decode()


def _written(operands: str, results: int) -> list[str]:
    """The signature as Cython writes it."""
    skip = ["int __pyx_skip_dispatch"] if results == 1 else []
    pointers = ["double *"] * results if results > 1 else []
    kinds = [[whole if o == "l" else "double" for o in operands] for whole in ("Py_ssize_t", "long")]
    returned = "double" if results == 1 else "void"
    return [f"{returned} ({', '.join([*kind, *pointers, *skip])})" for kind in kinds]


def ufunc_of(name: str) -> Any:
    """The ufunc of a name, also of one that is private."""
    public = getattr(scipy.special, name, None)
    return getattr(scipy.special._ufuncs, name, None) if public is None or inspect.ismodule(public) else public


def _head(ufunc: np.ufunc) -> _UFunc:
    return _UFunc.from_address(id(ufunc))


def _is_ufunc_as_known(ufunc: np.ufunc) -> bool:
    """Whether the numbers at the head of a ufunc are those that Python sees."""
    head = _head(ufunc)
    return (head.nin, head.nout, head.nargs) == (ufunc.nin, ufunc.nout, ufunc.nargs)


def loop_of(ufunc: Any, operands: str, data: bool) -> int | None:
    """The address of a ufunc's loop for operands of these types, or of what it is handed; None where there is none."""
    if not isinstance(ufunc, np.ufunc) or not _is_ufunc_as_known(ufunc):
        return None
    loops = [kinds.partition("->")[0] for kinds in ufunc.types]
    if operands not in loops:
        return None
    head = _head(ufunc)
    if data and not head.data:
        return id(ufunc)  # a loop that is handed nothing: any address does
    return int((head.data if data else head.functions)[loops.index(operands)] or id(ufunc))


def is_special(symbol: str) -> bool:
    """Whether a symbol is one of those here."""
    return symbol.startswith(PREFIX) and ":" not in symbol


def address(symbol: str) -> int:
    """Where a symbol of object code stands in this process.

    Raises
    ------
    CompileError
        For one that this SciPy does not have.
    """
    place = symbol.removeprefix(PREFIX)
    if place.startswith("cython_special."):
        key = place.removeprefix("cython_special.")
        capsule = getattr(cython_special, "__pyx_capi__", {}).get(key)
        if capsule is None:
            raise CompileError(f"scipy.special.cython_special has no {key}", fix=REINSTALL)
        pointer: int = _CAPSULE_POINTER(capsule, _CAPSULE_NAME(capsule))
        return pointer
    name, operands, *data = place.split(".")
    ufunc = ufunc_of(name)
    loops = [kinds.partition("->")[0] for kinds in ufunc.types] if isinstance(ufunc, np.ufunc) else []
    if operands not in loops:
        raise CompileError(f"scipy.special has no loop {name} of {operands}", fix=REINSTALL)
    head, at = _head(ufunc), loops.index(operands)
    return int((head.data if data else head.functions)[at] or 0)
