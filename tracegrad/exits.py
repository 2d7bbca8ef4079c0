"""Ways out of a trace: what Python asks of a traced value that only a known one could answer.

A value that depends on no argument answers; others are noted as escapes and raise, so that nothing is baked in silently.
"""

from __future__ import annotations

import dis
import re
import sys
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from tracegrad.core.source import is_user_file, user_frame
from tracegrad.errors import ConditionError, EscapeError
from tracegrad.ops.broadcasting import reshape_to

if TYPE_CHECKING:
    from tracegrad.symbolic import Recorder

COMPUTED = "np.where(condition, a, b) selects elementwise, np.maximum, np.minimum and np.clip compare, and"
EAGER = "tg.tensor runs such code eagerly"

CONDITIONS = (
    (r"^assert\b", "assert what the values must be before the call, or leave it to tg.debug.nans and tg.debug.print;"),
    (
        r"^while\b",
        "run a fixed number of steps (for _ in range(n)), in which np.where(going, new, x) keeps what has come to its end;",
    ),
    (r"(?<![\w.])sorted\(", "np.sort sorts arrays;"),
    (r"(?<![\w.])(max|min)\(", "np.maximum(a, b) and np.minimum(a, b) compare, np.max(x) and np.min(x) are of all elements;"),
    (r"\b(and|or|not)\b", "& stands for and, | for or, ~ for not between conditions: (x > 0) & (y > 0);"),
    (r"[<>]=?[^<>=,()]+[<>]=?", "write a < x < b as (a < x) & (x < b);"),
)
"""What to write instead, by what stands in the user's line (a pattern): the first that fits comes before the rest."""


LOOKS = frozenset(dis.opmap[name] for name in ("LOAD_ATTR", "LOAD_METHOD", "MATCH_CLASS") if name in dis.opmap)
"""The instructions by which a line looks at the class of a value itself."""

FOREIGN = (
    "its code is not traced: call it outside of the traced function, with what tg.grad and tg.jacobian give it, or write what "
    "it does with NumPy's functions; on the dynamic graph primitive and defvjp of tracegrad.compat.extend give it a derivative"
)
"""What to do where a function of SciPy asks for a value."""


def within(frame: FrameType | None) -> str:
    """The function of SciPy that a frame belongs to, by the name that a person calls it by; empty where it is no such."""
    name = ""
    while frame is not None and not is_user_file(frame.f_code.co_filename):
        module = frame.f_globals.get("__name__", "").split(".")
        function = frame.f_code.co_qualname.split(".")[0]
        if module[0] == "scipy" and not function.startswith("_"):
            name = ".".join([*(part for part in module if not part.startswith("_")), function])
        frame = frame.f_back
    return name


class Exits:
    """What ``float``, ``int``, ``bool``, ``len``, ``hash``, iteration, text and pickling do with a traced value."""

    __slots__ = ()
    recorder: Recorder
    id: Any
    shape: Any
    dtype: Any
    weak: bool
    boxed: bool
    _id: int

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        """To ``x.__class__`` and ``case`` in a traced function, whose globals are a twin's, NumPy's; to all else our own."""
        frame = sys._getframe(1)
        if type(frame.f_globals) is dict or frame.f_code.co_code[frame.f_lasti] not in LOOKS:
            return type(self)
        return self.recorder.seen_type(self)

    def _leave(self, what: str, fix: str) -> Any:
        """The concrete value, if there is one; else the escape is noted and raised."""
        if self.recorder.closed:
            self.recorder.emit(reshape_to, (self._id,), {})  # raises
        value = self.recorder.concrete(self.id)
        if value is None:
            caller = sys._getframe(2)
            if dis.opname[caller.f_code.co_code[caller.f_lasti]] == "STORE_SUBSCR":
                what = "storing into an array from outside the trace"
                fix = f"make the array inside the traced function (np.zeros, torch.zeros) and return it; {EAGER}"
            foreign = within(sys._getframe(2))
            if foreign:
                what, fix = foreign, FOREIGN
            message = f"{what} needs the value of {self!r}, which is not known while tracing"
            self.recorder.escape(EscapeError(message, fix=fix))
        return value

    def __float__(self) -> float:
        return float(self._leave("float(x)", f"leave float() out, or write x.astype(np.float64); {EAGER}"))

    def __int__(self) -> int:
        return int(self._leave("int(x)", f"leave int() out, or write x.astype(np.int64); {EAGER}"))

    def __complex__(self) -> complex:
        return complex(self._leave("complex(x)", f"leave complex() out, or write x.astype(np.complex128); {EAGER}"))

    def __index__(self) -> int:
        if self.dtype.kind not in "iu" or self.shape:
            raise TypeError("only integer scalar arrays can be converted to a scalar index")
        fix = "a shape, an axis, a slice bound or a range must be a Python int: pass it as one, or take it from x.shape"
        return int(self._leave("an integer used as structure", fix))

    def __bool__(self) -> bool:
        if self.recorder.closed:
            self.recorder.emit(reshape_to, (self._id,), {})  # raises
        value = self.recorder.concrete(self.id)
        if value is None:
            where = self.recorder.locate()
            text = "" if where is None else where.text
            hint = next((advice + " " for pattern, advice in CONDITIONS if re.search(pattern, text)), "")
            foreign = within(sys._getframe(1))
            message = f"a condition on {self!r}{' in ' if foreign else ''}{foreign}: its truth is not known while tracing"
            self.recorder.escape(ConditionError(message, fix=FOREIGN if foreign else f"{hint}{COMPUTED} {EAGER}"))
        return bool(value)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        value = self._leave("code outside the trace", f"use a NumPy function that tracegrad knows in its place; {EAGER}")
        return np.array(value, dtype=dtype)

    def item(self, *args: Any) -> Any:
        """``ndarray.item`` of a value that is known while tracing."""
        return np.asarray(self._leave("x.item()", f"leave .item() out: the traced scalar works in its place; {EAGER}")).item(
            *args
        )

    def tolist(self) -> Any:
        """``ndarray.tolist``: traced scalars in nested lists, numbers where they are known."""
        known = self.recorder.constant_value(self.id)
        if known is not None:
            return np.asarray(known).tolist()
        return [row.tolist() if row.shape else row for row in self] if self.shape else self

    def __iter__(self: Any) -> Iterator[Any]:
        if not self.shape:
            # NumPy raises TypeError here as well, so code that expects it may go on
            raise EscapeError("iteration over a 0-d array", fix="give it an axis first: x.reshape(1)", where=user_frame())
        return (self[i] for i in range(self.shape[0]))

    def __len__(self) -> int:
        if not self.shape:
            raise EscapeError("len() of a 0-d array", fix="use x.size, or x.shape for all sizes", where=user_frame())
        return int(self.shape[0])

    def __str__(self) -> str:
        if self.dtype.kind in "iub" and not self.shape and not self.recorder.closed:
            known = self.recorder.concrete(self.id)  # an int in a text, the key of a dict say, is structure
            if known is not None:
                return str(known.item() if self.weak else known)
        return f"{repr(self)[:-1]}; tg.debug.print shows its value at every call>"

    def __format__(self, spec: str) -> str:
        if not spec:
            return str(self)
        fix = f'tg.debug.print("{{:{spec}}}", x) prints it when the program runs'
        return format(self._leave(f"the format {spec!r}", fix), spec)

    def __round__(self, digits: int | None = None) -> Any:
        fix = "write np.round(x)"
        return round(self._leave("round(x)", fix), digits)

    def __hash__(self) -> int:
        if self.shape or self.boxed or self.recorder.closed:
            if type(sys._getframe(1).f_globals) is not dict:  # a line of a traced function
                raise TypeError("unhashable type: 'numpy.ndarray'")
            return object.__hash__(self)
        known = self.recorder.concrete(self.id)  # an int as a key of a dict is structure
        if known is None:
            fix = f"use Python values as keys, np.any(x == values) to look for one; {EAGER}"
            self.recorder.escape(EscapeError("a traced value as a key of a dict or an element of a set", fix=fix))
        return hash(known.item())

    def __bytes__(self) -> bytes:
        return bytes(self._leave("bytes(x)", "return x from the function and convert the result"))

    def __reduce__(self) -> NoReturn:
        self.recorder.escape(EscapeError("pickling a traced value", fix="return it from the function and pickle the result"))
