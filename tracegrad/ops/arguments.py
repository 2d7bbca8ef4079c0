"""What kinds of values the arguments of NumPy's functions take, by their names: checked once, before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracegrad.core.aval import whole
from tracegrad.errors import DtypeError

INTEGERS = frozenset(["decimals", "offset", "axisa", "axisb", "axisc", "axis1", "axis2"])
"""Arguments that are integers, whatever the function."""
INTEGERS_OF: Mapping[str, str] = {
    **dict.fromkeys(("diag", "diagflat", "tril", "triu"), "k"),
    **dict.fromkeys(("differences", "matrix_power"), "n"),
    "vander": "N",
}
"""Further ones, by function."""
SIZES = frozenset(("newshape", "shape", "shift", "pad_width", "indices_or_sections", "sections"))
"""Arguments that are an integer or a nest of them."""
NUMBERS = frozenset(("ddof", "correction"))
_ARRAYS = """
x a b y v q p z m arr ary array arrays tup other values weights xp fp indices repeats loc scale bins
choices condlist choicelist funclist
"""
ARRAYS = frozenset(_ARRAYS.split())
"""Arguments that are arrays, numbers, or sequences of them."""
NAMED = frozenset((("cond", "p"), ("histogram", "bins"), ("histogram_bin_edges", "bins")))
"""Arguments of these names that may be words."""
NO_ARRAY = (str, bytes, dict, set, frozenset)


def check_arguments(arguments: Mapping[str, Any], function: str) -> None:
    """Raise DtypeError, which names the argument, for a value of a kind that the argument does not take.

    >>> check_arguments({"decimals": 1.5}, "around")
    Traceback (most recent call last):
    tracegrad.errors.DtypeError: decimals is 1.5, of type float, not an integer
      Instead: give an int for decimals
    """
    further = INTEGERS_OF.get(function)
    for name, value in arguments.items():
        if value is None:
            continue
        if name in INTEGERS or name == further:
            whole(value, name)
        elif name in SIZES:
            _integers(value, name)
        elif name in NUMBERS and isinstance(value, NO_ARRAY):
            raise DtypeError(f"{name} is {value!r}, not a number", fix=f"give a number for {name}")
        elif name in ARRAYS and (function, name) not in NAMED:
            _arrays(value, name)


def _integers(value: Any, name: str) -> None:
    if isinstance(value, (list, tuple)):
        for part in value:
            _integers(part, name)
    elif not getattr(value, "shape", ()):
        whole(value, name)


def _arrays(value: Any, name: str) -> None:
    if isinstance(value, (list, tuple)):
        for part in value:
            _arrays(part, name)
    elif isinstance(value, NO_ARRAY):
        raise DtypeError(
            f"{name} is {value!r}, of type {type(value).__name__}, not an array", fix=f"give an array or a number for {name}"
        )
