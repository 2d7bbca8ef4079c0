"""The functions of LAPACK and BLAS that kernels call, as words of their language: ``dpotrf`` is SciPy's, by its symbol.

Every argument is a pointer, as in Fortran; a text puts letters, sizes and results into memory of its own. In plain Python
the words call the same functions through ctypes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tracegrad.runtime.externals import function

__all__ = ["SYMBOLS"]

_REALS: Final = {"s": "float*", "d": "double*", "c": "float*", "z": "double*"}
_TAKEN: Final = {
    # c: letters, i: integers, x: numbers
    "potrf": "cixii",
    "getrf": "iixiii",
    "getrs": "ciixiixii",
    "getri": "ixiixii",
    "syevd": "ccixixxiiii",
    "geqrf": "iixixxii",
    "orgqr": "iiixixxii",
    "trsm": "cccciixxixi",
    "gemm": "cciiixxixixxi",
    "gesdd": "ciixixxixixiii",
    "gebal": "cixiiixi",
    "gebak": "cciiixixii",
    "gehrd": "iiixixxii",
    "orghr": "iiixixxii",
    "hseqr": "cciiixixxxixii",
    "trsyl": "cciiixixixixi",
    "geev": "ccixixxxixixii",
}
_TAKEN_OF_COMPLEX: Final = {
    "potrf": "cixii",
    "getrf": "iixiii",
    "trsm": "cccciixxixi",
    "heevd": "ccixixxixiiii",
    "geev": "ccixixxixixixi",
    "geqrf": "iixixxii",
    "ungqr": "iiixixxii",
    "gesdd": "ciixixxixixixii",
    "gebal": "cixiiixi",
    "gebak": "cciiixixii",
    "gehrd": "iiixixxii",
    "unghr": "iiixixxii",
    "hseqr": "cciiixixxixii",
}
"""What each function takes, one letter for a parameter; a pointer to complex numbers is one to their parts."""
_OF_BLAS: Final = ("trsm", "gemm")


def _symbol(letter: str, name: str) -> str:
    kinds = {"c": "char*", "i": "int*", "x": _REALS[letter]}
    home = "blas" if name in _OF_BLAS else "lapack"
    return f"scipy.linalg.cython_{home}.{letter}{name}:void({','.join(kinds[kind] for kind in _LISTS[letter][name])})"


_LISTS: Final = {"s": _TAKEN, "d": _TAKEN, "c": _TAKEN_OF_COMPLEX, "z": _TAKEN_OF_COMPLEX}
SYMBOLS: Final = {f"{letter}{name}": _symbol(letter, name) for letter, names in _LISTS.items() for name in names}
"""The symbol of each word."""


def __getattr__(name: str) -> Callable[..., None]:
    """A function that takes pointers, for texts that run as Python."""
    if name not in SYMBOLS:
        raise AttributeError(f"no function {name}")

    def call(*pointers: Any) -> None:
        function(SYMBOLS[name])(*(pointer.address for pointer in pointers))

    return call
