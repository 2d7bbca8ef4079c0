"""What NumPy's two protocols do with traced values: the functions of the declared surface, and results written in place."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from tracegrad.core.op import Op
from tracegrad.core.source import user_frame
from tracegrad.core.tree import flatten
from tracegrad.errors import DtypeError, EscapeError, TracegradError
from tracegrad.functional import folds
from tracegrad.namespaces import (
    BOXED,
    JOINING,
    NUMPY_FUNCTIONS,
    OF_ARRAYS,
    VIEWS,
    WINDOWS,
    Function,
    call_function,
    meaning_of,
    name_of,
    refuse,
    takes_sequence,
)
from tracegrad.ops import maps, positions, views
from tracegrad.ops.aliasing import Copied
from tracegrad.ops.selected import FOLDS as SELECTED_FOLDS
from tracegrad.ops.selected import FUNCTIONS as SELECTED
from tracegrad.ops.selection import Selection
from tracegrad.symbolic import Recorder, Sym


def is_traced(value: Any) -> bool:
    """Whether a value is traced, or a list, tuple or dict that holds a traced one."""
    if isinstance(value, Sym):
        return True
    if isinstance(value, dict):
        return any(is_traced(v) for v in value.values())
    if isinstance(value, (list, tuple)):
        return any(is_traced(v) for v in value)
    return isinstance(value, slice) and (is_traced(value.start) or is_traced(value.stop) or is_traced(value.step))


class Protocols:
    """What NumPy's two protocols do with traced values, for one trace."""

    def __init__(self, recorder: Recorder, creation: Mapping[Any, Function] | None = None) -> None:
        self.recorder = recorder
        self.creation = creation or {}

    def array(self, value: Any) -> Any:
        """``np.array`` of nested lists with traced scalars and arrays in them."""
        return self.creation[np.array](value)

    def function(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """``__array_function__``; a refusal is noted, as code that catches it would go on as NumPy would not."""
        try:
            with self.recorder.noting():
                return self._function(function, args, kwargs)
        except TracegradError as error:
            error.about(name_of(function))
            raise

    def ufunc(self, ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """``__array_ufunc__``, likewise."""
        try:
            with self.recorder.noting():
                return self._ufunc(ufunc, method, inputs, kwargs)
        except TracegradError as error:
            error.about(name_of(ufunc))
            raise

    def _function(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if function in self.creation:
            return self.creation[function](*args, **kwargs)
        ours = meaning_of(function)
        if args and isinstance(args[0], Selection) and not isinstance(ours, Op):
            ours = SELECTED.get(function) or args[0].refuse(f"the result of {name_of(function)}")
        if ours is None:
            return self._of_known(function, args, kwargs)
        if function is np.take and len(args) > 1 and isinstance(args[1], Selection):
            return self._take_selected(*args, **kwargs)
        if function is np.where and len(args) + len(kwargs) == 1:
            return positions.nonzero(*args, **kwargs)
        if function is np.where and len(args) + len(kwargs) == 2:
            refuse(function, "np.where of a condition and one choice: it takes both or neither")
        kwargs = dict(kwargs)
        out = kwargs.pop("out", None)
        if args and not takes_sequence(function) and isinstance(args[0], (list, tuple)) and is_traced(args[0]):
            args = (self.array(args[0]), *args[1:])
        if function in OF_ARRAYS:
            count = len(args) if function is np.meshgrid else 2
            args = (*(self.array(a) if isinstance(a, LISTED) else a for a in args[:count]), *args[count:])
        if kwargs.get("where", True) is None:
            refuse(function, f"{name_of(function)} with where=None takes no element: NumPy takes it for False")
        if args and function in JOINING and isinstance(args[0], (list, tuple)):
            args = ([self._part(part) for part in args[0]], *args[1:])
        elif function is np.append:
            args = (*map(self._part, args[:2]), *args[2:])
            kwargs |= {name: self._part(kwargs[name]) for name in ("arr", "values") if name in kwargs}
        result = call_function(ours, function, args, kwargs)
        if out is not None:
            return self._store(out, result)
        if function in BOXED and isinstance(result, Sym):
            return Sym(result.recorder, result.id, boxed=True)  # an array, where others give a scalar
        if function in WINDOWS and isinstance(result, Sym):
            result = result.strong()
            result.storage.guard = f"what {name_of(function)} gives is a copy in a trace, and is not written to"
            source = args[0] if args else kwargs.get("x")
            if isinstance(source, Sym):
                result.storage.copied = Copied(name_of(function), source.storage, source.storage.version)
            return result
        return result if function in VIEWS else owned(result)

    def _of_known(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What a function without a traced meaning gives for values that are known while tracing; else it is refused."""
        wrap = self.creation.get(np.array)
        if wrap is None or not (hasattr(np, getattr(function, "__name__", "")) and name_of(function).startswith("np.")):
            refuse(function)
        given, structure = flatten((list(args), dict(kwargs)))
        plain = []
        for value in given:
            known = value.recorder.constant_value(value.id) if isinstance(value, Sym) else value
            if known is None or isinstance(value, Selection):
                refuse(function)
            plain.append(known)
        positional, named = structure.unflatten(plain)
        found = function(*positional, **named)
        return wrap(found) if isinstance(found, np.ndarray) else found

    @staticmethod
    def _take_selected(x: Sym, places: Selection, axis: int | None = None) -> Any:
        """``np.take`` at positions that a mask selects."""
        if axis not in (None, 0):
            places.refuse("the result along another axis than the first; np.moveaxis brings an axis to the front")
        return (x.reshape(-1) if axis is None else x)[places]

    def _part(self, part: Any) -> Any:
        """A list or a number among arrays that are joined: NumPy makes an array of it first."""
        return part if isinstance(part, (Sym, np.ndarray, Selection)) and not getattr(part, "weak", False) else self.array(part)

    def _ufunc(self, ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        whole = {"axis": None} if kwargs.get("axis", 0) is None else {}
        _check_operands(name_of(ufunc), inputs if method == "__call__" else inputs[:1])
        if kwargs.get("where", True) is None:
            refuse(ufunc, f"{name_of(ufunc)} with where=None computes nothing: NumPy takes it for False")
        kwargs = {k: v for k, v in kwargs.items() if v is not None} | whole
        outs = kwargs.pop("out", (None,))
        if len(outs) != 1:
            refuse(ufunc, f"{name_of(ufunc)} with {len(outs)} arguments beyond its {ufunc.nin} operands is not traced")
        (out,) = outs
        ours = NUMPY_FUNCTIONS.get(ufunc)
        if ours is None:
            refuse(ufunc)
        if method == "at":
            return self._at(ufunc, ours, *inputs)
        if method in folds.METHODS:
            result = self._fold(ufunc, ours, method, inputs, kwargs)
        elif method == "outer":
            first, second = (self.recorder.operand(x) for x in inputs)
            result = self._call(ufunc, ours, (first.reshape(first.shape + (1,) * second.ndim), second), kwargs, out)
        elif method == "__call__":
            result = self._call(ufunc, ours, inputs, kwargs, out)
        else:
            refuse(ufunc, f"{name_of(ufunc)}.{method} is not traced")
        return owned(result) if out is None else self._store(out, result, cast=False)

    def _fold(self, ufunc: np.ufunc, ours: Function, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """``reduce``, ``accumulate`` and ``reduceat``."""
        if isinstance(inputs[0], Selection):
            if method != "reduce" or ufunc not in SELECTED_FOLDS:
                inputs[0].refuse(f"the result of {name_of(ufunc)}.{method}; np.sum and its kin take them")
            return SELECTED[SELECTED_FOLDS[ufunc]](*inputs, **{"axis": 0, **kwargs})
        if not folds.folds(ufunc, method):
            refuse(ufunc, f"{name_of(ufunc)}.{method} is not traced")
        return call_function(functools.partial(folds.METHODS[method], ufunc, ours), ufunc, inputs, kwargs)

    def _call(self, ufunc: np.ufunc, ours: Function, inputs: Any, kwargs: dict[str, Any], out: Any) -> Any:
        dtype = kwargs.pop("dtype", None)
        where = kwargs.pop("where", True)
        kwargs.pop("order", None)
        if kwargs.get("casting") == "same_kind":  # as it is without it
            del kwargs["casting"]
        if dtype is not None:
            inputs = tuple(self.recorder.operand(x).astype(dtype) for x in inputs)
        result = call_function(ours, ufunc, inputs, kwargs)
        if where is True:
            return result
        if out is None:
            refuse(ufunc, f"{name_of(ufunc)} with where= and without out= leaves elements undefined")
        return maps.select(where, result, self._writable(out))

    def _at(self, ufunc: np.ufunc, ours: Function, target: Any, key: Any, value: Any = None) -> None:
        """``np.add.at``: unlike ``x[key] += v`` it counts equal positions as often as they occur."""
        x = self._writable(target)
        index = self.recorder.operand(np.arange(math.prod(x.shape)).reshape(x.shape))[key]
        if isinstance(index, Selection):
            self._at_selected(ufunc, ours, x, index, value)
            return
        known = self.recorder.constant_value(index.id)
        spread = None
        if ufunc.nin > 1:
            amounts = self.recorder.operand(value)
            if (amounts.weak or ufunc in folds.AT) and not folds.rounds(x.dtype, amounts.dtype):
                amounts = amounts.astype(x.dtype)
            spread = views.reshape(views.broadcast_to(amounts, index.shape), -1)
        positions = views.reshape(index, -1) if known is None else np.asarray(known).reshape(-1)
        flat = folds.at(ufunc, ours, views.reshape(x.strong(), -1), positions, spread)
        x.assign(views.reshape(flat, x.shape))

    def _at_selected(self, ufunc: np.ufunc, ours: Function, x: Sym, index: Selection, value: Any) -> None:
        """The same at positions that a mask selects: the others go to an element of their own behind the last."""
        size, shape = math.prod(x.shape), index.whole.shape
        places = maps.select(index._condition(), index.whole, size)
        if isinstance(value, Selection):
            if value.mask.id != index.mask.id:
                value.refuse("whether as many are selected by another mask")
            value = value.whole
        elif ufunc.nin > 1 and np.ndim(value):
            index.refuse("whether there is a value for each")
        spread = None
        if ufunc.nin > 1:
            amounts = self.recorder.operand(value).astype(x.dtype)
            spread = views.reshape(views.broadcast_to(amounts, shape), -1)
        longer = views.concatenate([views.reshape(x.strong(), -1), np.ones(1, x.dtype)])
        flat = folds.at(ufunc, ours, longer, views.reshape(places, -1), spread)
        x.assign(views.reshape(flat[:size], x.shape))

    def _writable(self, out: Any) -> Sym:
        if isinstance(out, tuple):
            (out,) = out
        if not isinstance(out, Sym):
            self.recorder.escape(
                EscapeError(
                    "a traced value is stored into an array from outside the trace (out=)",
                    fix="make the array inside the traced function, or use the result instead of out=",
                )
            )
        return out

    def _store(self, out: Any, result: Any, cast: bool = True) -> Sym:
        target = self._writable(out)
        target._check_writable()
        result = self.recorder.operand(result)
        return target.update_in_place(result.strong() if not cast else result.astype(target.dtype))  # type: ignore[no-any-return]


def owned(result: Any) -> Any:
    """The result of a NumPy function as memory of its own, no Python number any more."""
    if isinstance(result, Sym):
        return result.strong()
    if isinstance(result, (list, tuple)) and any(isinstance(r, Sym) for r in result):
        parts = [owned(r) for r in result]
        return type(result)(*parts) if hasattr(result, "_fields") else type(result)(parts)
    return result


LISTED = (list, tuple, range, int, float, complex)
"""What is made an array of where a function takes arrays."""
NO_ARRAYS = (dict, set, frozenset, slice, bytes, type(...), type, FunctionType, ModuleType)
"""What NumPy would make an array of one object of."""


def _check_operands(name: str, operands: Iterable[Any]) -> None:
    """Refuse what is neither a number nor an array nor a list of them."""
    wrong = next((x for x in operands if isinstance(x, NO_ARRAYS) or type(x) is object), None)
    if wrong is not None:
        raise DtypeError(
            f"{name} of a {type(wrong).__name__}, which is neither a number nor an array",
            fix="give numbers, arrays, or lists of numbers",
            where=user_frame(),
        )
