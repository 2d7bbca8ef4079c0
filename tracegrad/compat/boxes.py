"""ArrayBox: an array with NumPy's semantics whose operations are recorded on the eager tape.

Values are concrete, so a condition on one is an ordinary condition. What a derivative cannot flow through (comparisons,
positions, counts) is given as the plain NumPy value. Everything else goes through ``bind`` to the ops and their own rules;
promotion and warnings are NumPy's, as Tensor's are PyTorch's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NoReturn

import numpy as np

from tracegrad.compat.calls import apply_function, apply_method, apply_ufunc
from tracegrad.core.finite import check_computed, watching
from tracegrad.core.op import Kind, Op
from tracegrad.core.source import user_frame
from tracegrad.eager.nodes import Node, Version
from tracegrad.eager.record import explain, record, record_alone
from tracegrad.eager.residuals import find_map_plan, find_plan_of_one, plan
from tracegrad.errors import DtypeError, EscapeError, MissingAttributeError
from tracegrad.ops import maps
from tracegrad.ops.complex_domain import takes_complex
from tracegrad.ops.complexes import imag, is_complex, real
from tracegrad.ops.methods import ArrayMethods

Array = np.ndarray[Any, Any]

_NUMBERS = (bool, int, float, complex)


class ArrayBox(ArrayMethods):
    """A value of a function that is being differentiated; ``_value`` is what it is without its record."""

    __slots__ = ("_array", "_counter", "_slot", "_source", "_weak")

    bind_rank = 1
    boxes_value = True
    _array: Array
    _counter: Version | None
    _slot: int
    _source: Node | None
    _weak: bool

    @classmethod
    def _wrap(cls, array: Any, source: Node | None = None, counter: Version | None = None, slot: int = 0) -> ArrayBox:
        """A box around an array as it is."""
        self = _new(cls)
        self._array = array if type(array) is np.ndarray else np.asarray(array)
        self._source = source
        self._counter = counter
        self._slot = slot
        self._weak = False
        return self

    # -- computing ----------------------------------------------------------------------------------------------------

    def bind_op(self, op: Op, operands: Sequence[Any], params: dict[str, Any]) -> Any:
        """Compute an op by NumPy's rules, and record it where a derivative can flow through it."""
        if len(operands) == 1 and not self._weak:
            return self._bind_one(op, params)
        values: list[Any] = []
        sources: list[Node | None] = []
        slots: list[int] | None = None
        plain = True  # float64 throughout, which NumPy computes in as it is
        for x in operands:
            if type(x) is ArrayBox:
                array = x._array
                sources.append(x._source)
                plain = plain and array.dtype is _FLOAT64 and not x._weak
                if x._slot:
                    slots = [y._slot if type(y) is ArrayBox else 0 for y in operands]
            else:
                array = x
                sources.append(None)
                plain = plain and type(x) is np.ndarray and x.dtype is _FLOAT64
            values.append(array)
        kept = values if plain else _promoted(op, operands, values)
        try:
            out = op.eager(*kept, **params) if params else op.eager(*kept)
        except (ValueError, TypeError, IndexError):
            explain(op, kept, params)
            raise
        if watching.get():
            check_computed(lambda: op.name, out, kept)
        if out.dtype.kind not in "fc":
            return out
        if not plain and any(x.dtype.kind == "c" for x in kept) and not _takes_complex(op):
            raise _complex_refused(op)
        needs = tuple([s is not None for s in sources])
        found = find_map_plan(op, needs) if plain and not params and op.kind is _MAP else plan(op, needs, kept, params)
        if not found.active:
            return out
        result = ArrayBox._wrap(out)
        result._source = record(op, params, found, operands, kept, sources, slots, result)  # type: ignore[arg-type]
        return result

    def _bind_one(self, op: Op, params: dict[str, Any]) -> Any:
        """``bind_op`` of one operand, which needs no promotion: a box holds no integers."""
        array = self._array
        try:
            out = op.eager(array, **params)
        except (ValueError, TypeError, IndexError):
            explain(op, [array], params)
            raise
        if watching.get():
            check_computed(lambda: op.name, out, (array,))
        source = self._source
        if source is None or out.dtype.kind not in "fc":
            return out
        if array.dtype.kind == "c" and not _takes_complex(op):
            raise _complex_refused(op)
        found = find_plan_of_one(op, array.shape, array.dtype.char, *params, *params.values())
        if not found.active:
            return out
        result = ArrayBox._wrap(out)
        result._source = record_alone(op, params, found, self, source, result)  # type: ignore[arg-type]
        return result

    def _gradient_edge(self) -> Node | None:
        """The node that cotangents of this value go to."""
        return self._source

    def _own_counter(self) -> Version:
        """The count of writes to its storage."""
        if self._counter is None:
            self._counter = Version()
        return self._counter

    # -- what it is ---------------------------------------------------------------------------------------------------

    @property
    def _value(self) -> Any:
        """The value alone: an array, or a NumPy scalar where it has no axes."""
        return self._array if self._array.ndim else self._array[()]

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes."""
        shape: tuple[int, ...] = self._array.shape
        return shape

    plain_shape = shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The element type."""
        dtype: np.dtype[Any] = self._array.dtype
        return dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self._array.ndim

    @property
    def size(self) -> int:
        """Number of elements."""
        return self._array.size

    @property
    def real(self) -> Any:
        """The real part."""
        return real(self) if is_complex(self) else self

    @property
    def imag(self) -> Any:
        """The imaginary part; zeros of a real value."""
        return imag(self) if is_complex(self) else np.zeros_like(self._array)

    def conjugate(self) -> Any:
        """``ndarray.conjugate``."""
        return self.conj()

    def __repr__(self) -> str:
        return f"<ArrayBox of {self._value!r}>"

    def __str__(self) -> str:
        return f"ArrayBox with value {self._value}"

    def __format__(self, spec: str) -> str:
        return format(self._value, spec) if spec else str(self)

    def __bool__(self) -> bool:
        return bool(self._array)

    def __int__(self) -> int:
        return int(self._array)  # a step: its derivative is zero

    def __contains__(self, element: Any) -> bool:
        return getval(element) in self._array

    def __round__(self, digits: int | None = None) -> Any:
        return int(np.round(self._array)) if digits is None else self.round(digits)

    def __copy__(self) -> ArrayBox:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> ArrayBox:
        return self

    # -- NumPy's protocols --------------------------------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if any(type(x) not in _OPERANDS and hasattr(type(x), "__array_ufunc__") and not _is_numpy(x) for x in inputs):
            return NotImplemented  # another library's arrays, which know what to do with a box inside
        return apply_ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self, function: Any, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return apply_function(function, args, kwargs)

    # -- ways out of the record ---------------------------------------------------------------------------------------

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if dtype is not None and np.dtype(dtype).kind in "iub":
            return self._array.astype(dtype)  # steps, whose derivative is zero
        raise _leaving("np.array(box), an assignment into an array or code that knows no boxes")

    def __float__(self) -> NoReturn:
        raise _leaving("float(x)")

    def __complex__(self) -> NoReturn:
        raise _leaving("complex(x)")

    def item(self, *args: Any) -> NoReturn:
        """Refused: the number would lose its record."""
        raise _leaving("x.item()")

    def tolist(self) -> Any:
        """Nested lists of scalars that keep their record."""
        return [row.tolist() for row in self] if self.ndim else self

    def __setitem__(self, key: Any, value: Any) -> NoReturn:
        raise EscapeError(
            "an array that is being differentiated is not assigned to",
            fix="make a new one: np.where(mask, new, x), np.concatenate, np.array([...])",
            where=user_frame(),
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in ArrayBox.__slots__:
            raise AttributeError(name)
        if hasattr(np.ndarray, name):
            fix = f"np.{name}(x) of tracegrad.compat.numpy, or x._value.{name} for the value alone"
            raise MissingAttributeError(f"x.{name} of an array that is being differentiated", fix=fix, where=user_frame())
        raise MissingAttributeError(f"arrays have no attribute {name!r}", where=user_frame())


_new = ArrayBox.__new__
_FLOAT64 = np.dtype(np.float64)
_MAP = Kind.MAP
_ALSO_COMPLEX = frozenset({maps.erf})
"""Ops whose rules hold for complex numbers though PyTorch does not take these."""
_OPERANDS = frozenset({ArrayBox, np.ndarray, bool, int, float, complex, list, tuple})


def _is_numpy(x: Any) -> bool:
    return isinstance(x, (np.ndarray, np.generic))


def _takes_complex(op: Op) -> bool:
    return op in _ALSO_COMPLEX or takes_complex(op)


def _complex_refused(op: Op) -> DtypeError:
    return DtypeError(
        f"{op.name} of complex numbers has no derivative",
        fix="take np.abs(x), or np.real(x) and np.imag(x) apart",
        where=user_frame(),
    )


def _leaving(what: str) -> EscapeError:
    return EscapeError(
        f"{what} would take a value out of its derivative, which would then be zero without a word",
        fix="use tracegrad.compat.numpy's functions, np.array([...]) of it among them; getval(x) gives the value alone",
        where=user_frame(),
    )


def getval(x: Any) -> Any:
    """The value without its record; other things as they are.

    >>> getval(2.0)
    2.0
    """
    return x._value if type(x) is ArrayBox else x


def _promoted(op: Op, operands: Sequence[Any], values: Sequence[Any]) -> list[Any]:
    """The operands as arrays of the dtypes NumPy computes in; Python numbers take the dtype of their partners."""
    kinds: list[Any] = []
    arrays: list[Any] = []
    for x, value in zip(operands, values, strict=True):
        if type(x) is ArrayBox:
            kinds.append(float if x._weak and value.dtype.kind == "f" else complex if x._weak else value.dtype)
        elif type(value) in _NUMBERS:
            kinds.append(type(value))
        else:
            value = np.asarray(value)
            kinds.append(value.dtype)
        arrays.append(value)
    wanted = _wanted(op, tuple(kinds))
    return [
        x if type(x) is np.ndarray and x.dtype == dtype else np.asarray(x, dtype)
        for x, dtype in zip(arrays, wanted, strict=True)
    ]


@lru_cache(maxsize=4096)
def _wanted(op: Op, kinds: tuple[Any, ...]) -> tuple[np.dtype[Any], ...]:
    return tuple([np.dtype(d) for d in op.promote(*kinds)])


def _method(function: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: ArrayBox, *args: Any, **kwargs: Any) -> Any:
        return apply_method(function, self, args, kwargs)

    method.__name__ = function.__name__
    method.__doc__ = f"``ndarray.{function.__name__}``."
    return method


_METHODS = "argpartition argsort choose compress cumprod cumsum diagonal nonzero ptp searchsorted trace"
for _name in _METHODS.split():
    setattr(ArrayBox, _name, _method(getattr(np, _name)))
