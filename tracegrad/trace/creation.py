"""Arrays made inside a trace, and the stand-ins for the modules that make them.

NumPy's creation functions take no traced operand, so no protocol reaches them, yet what they make may be written to
with traced values. A twin therefore sees these stand-ins in place of numpy, math, scipy.special and random.
"""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections.abc import Callable, Mapping
from types import MethodType, ModuleType
from typing import Any, NoReturn

import numpy as np
import scipy.special

from tracegrad.core.aval import VALUES, whole_size
from tracegrad.core.source import called_as, user_frame
from tracegrad.errors import DtypeError, EscapeError, ShapeError, TraceError
from tracegrad.namespaces import (
    MATH_FUNCTIONS,
    NUMPY_FUNCTIONS,
    SCIPY_FUNCTIONS,
    call_function,
    name_of,
    refuse,
)
from tracegrad.ops import maps
from tracegrad.ops.aliasing import by_rows, in_order
from tracegrad.ops.broadcasting import broadcast
from tracegrad.ops.random import Draws
from tracegrad.ops.series import CLASSES
from tracegrad.ops.sources import iota
from tracegrad.ops.views import broadcast_to, concatenate, expand_dims, reshape, stack, transpose
from tracegrad.protocols import is_traced, owned
from tracegrad.symbolic import Recorder, Sym, current_recorder
from tracegrad.trace.distributions import DRAWING, Distribution, is_distribution, is_family, shown
from tracegrad.trace.elementwise import Series, Vectorised, enumerated
from tracegrad.trace.outside import RANDOM, Forbidden, random_class, refusal
from tracegrad.trace.watched import Note, Reader, is_setting, stand_in

Function = Callable[..., Any]

UFUNC_METHODS = frozenset(("reduce", "accumulate", "reduceat", "outer"))
"""Methods of ufuncs whose results are arrays."""

CREATION: Mapping[Any, str] = {
    getattr(np, name): name
    for name in (
        *("array", "asarray", "ascontiguousarray", "asfortranarray", "asanyarray", "zeros", "ones", "full", "empty"),
        *("zeros_like", "ones_like", "full_like", "empty_like", "arange", "linspace", "copyto"),
        *("logspace", "geomspace", "indices", "fromfunction", "fromiter"),
    )
}
"""The functions that make arrays, and the methods of ``Creation`` that they mean."""


def _laid_out(made: Any, order: Any) -> Any:
    """An array as NumPy lays it out in an order: itself where it is so already, else a copy."""
    if not isinstance(made, Sym) or order not in ("C", "F") or sum(n != 1 for n in made.shape) < (1 if made.path else 2):
        return made
    if not made.storage.by_rows(made.recorder.graph):  # as reshapes are, which may be views or copies
        return reshape(reshape(made, -1), made.shape)
    if in_order(made.shape, made.path, order == "F"):
        return made
    return transpose(transpose(made).copy()) if order == "F" else made.copy()


@called_as("np")
class Creation:
    """NumPy's creation functions for one trace: what they make is traced, so it can be assigned into."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.functions: Mapping[Any, Function] = {function: getattr(self, name) for function, name in CREATION.items()}

    def made(self, value: Any) -> Any:
        """What a real NumPy call gave, as an array of the trace; other things as they are."""
        if isinstance(value, np.ndarray) and value.dtype in VALUES:
            node = self.recorder.constant(value) if value.size <= 1 or value.any() else self._filled(value.flat[0], value)
            return Sym(self.recorder, node, boxed=True)
        if isinstance(value, (list, tuple)) and type(value) in (list, tuple):
            return type(value)(self.made(v) for v in value)
        return shown(value, lambda function: Recording(function, self)) if is_distribution(value) else value

    def _filled(self, element: Any, like: Any) -> int:
        scalar = self.recorder.constant(element, like.dtype)
        return self.recorder.emit(broadcast, (scalar,), {"shape": like.shape}) if like.shape else scalar

    def array(
        self, obj: Any, dtype: Any = None, *, copy: bool | None = True, order: Any = "K", ndmin: int = 0, **ignored: Any
    ) -> Any:
        """``np.array``, of nested lists with traced values too."""
        result = _laid_out(self._array(obj, dtype, bool(copy)), order)
        while isinstance(result, Sym) and len(result.shape) < ndmin:
            result = expand_dims(result, 0)
        return result

    def _array(self, obj: Any, dtype: Any, copy: bool) -> Any:
        if not is_traced(obj):
            known = self.recorder.operand(obj) if isinstance(obj, np.ndarray) and obj.dtype in VALUES else None
            if known is None:
                return self.made(np.array(obj, dtype=dtype))
            obj = known
        if not isinstance(obj, Sym):
            if not isinstance(obj, (list, tuple)):
                raise TraceError(f"np.array of a {type(obj).__name__}", fix="give a list", where=user_frame())
            obj, copy = stack([self._array(item, None, False) for item in obj]), False
        if dtype is not None and np.dtype(dtype) != obj.dtype:
            obj, copy = obj.astype(dtype), False
        if copy or obj.weak or not (obj.shape or obj.boxed):
            return Sym(self.recorder, obj.id, boxed=True)
        return obj

    def asarray(self, a: Any, dtype: Any = None, order: Any = None, *, copy: bool | None = None, **where: Any) -> Any:
        """``np.asarray``: the array itself where NumPy gives it."""
        _no_others("np.asarray", where)
        return _laid_out(self._array(a, dtype, bool(copy)), order)

    asanyarray = asarray

    def ascontiguousarray(self, a: Any, dtype: Any = None, *, like: Any = None) -> Any:
        """``np.ascontiguousarray``: the array itself where its elements are in order, and never without axes."""
        found = self._array(a, dtype, False)
        return _laid_out(found, "C") if np.ndim(found) else self._array([found], dtype, False)

    def asfortranarray(self, a: Any, dtype: Any = None, *, like: Any = None) -> Any:
        """``np.asfortranarray``: what it copies lies column by column, which views of it show."""
        found = self._array(a, dtype, False)
        return _laid_out(found, "F") if np.ndim(found) else self._array([found], dtype, False)

    def full(self, shape: Any, fill_value: Any, dtype: Any = None, order: str = "C", **where: Any) -> Any:
        """``np.full``, with a traced value too."""
        _no_others("np.full", where)
        for size in shape if isinstance(shape, (list, tuple)) else (shape,) if np.ndim(shape) == 0 else ():
            if whole_size(size) < 0:
                raise ShapeError(f"np.full of shape {shape}", fix="give sizes of 0 and more", where=user_frame())
        if not is_traced(fill_value):
            value = np.asarray(fill_value, dtype)
            target = _stretched(value, shape)
            if value.shape or value.dtype not in VALUES:
                return self.made(np.array(target))
            return _laid_out(Sym(self.recorder, self._filled(value, target), boxed=True), order)
        value = self.asarray(fill_value, dtype)
        sizes = np.broadcast_shapes((shape,) if np.ndim(shape) == 0 else tuple(shape))
        return _laid_out(Sym(self.recorder, broadcast_to(value, sizes).id, boxed=True), order)

    def zeros(self, shape: Any, dtype: Any = float, order: str = "C", *, device: Any = None, like: Any = None) -> Any:
        """``np.zeros``."""
        return self.full(shape, 0, np.dtype(dtype), order)

    def ones(self, shape: Any, dtype: Any = None, order: str = "C", *, device: Any = None, like: Any = None) -> Any:
        """``np.ones``."""
        return self.full(shape, 1, np.dtype(float if dtype is None else dtype), order)

    def empty(self, shape: Any, dtype: Any = float, order: str = "C", *, device: Any = None, like: Any = None) -> Any:
        """``np.empty``: zeros, so that a graph has one meaning."""
        return self.zeros(shape, dtype, order)

    def full_like(
        self, a: Any, fill_value: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None
    ) -> Any:
        """``np.full_like``."""
        like = a if isinstance(a, Sym) else np.asarray(a)
        made = self.full(like.shape if shape is None else shape, fill_value, like.dtype if dtype is None else dtype)
        if order in ("K", "A") and isinstance(like, Sym) and not by_rows(self.recorder.graph, like.id):
            made.storage.rows = False  # it is laid out as what it is like
        return _laid_out(made, order)

    def zeros_like(self, a: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None) -> Any:
        """``np.zeros_like``."""
        return self.full_like(a, 0, dtype, order, shape=shape)

    empty_like = zeros_like

    def ones_like(self, a: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None) -> Any:
        """``np.ones_like``."""
        return self.full_like(a, 1, dtype, order, shape=shape)

    def arange(self, *args: Any, dtype: Any = None, **kwargs: Any) -> Any:
        """``np.arange``; its length has to be known, so traced bounds become structure."""
        concrete = [a.__index__() if isinstance(a, Sym) and a.dtype.kind in "iu" else a for a in args]
        if any(isinstance(a, Sym) for a in concrete):
            concrete = [float(a) if isinstance(a, Sym) else a for a in concrete]
        value = np.arange(*concrete, dtype=dtype, **kwargs)
        if len(concrete) == 1 and value.dtype == np.int64:
            return Sym(self.recorder, self.recorder.emit(iota, (), {"size": value.size}))
        return self.made(value)

    def linspace(
        self,
        start: Any,
        stop: Any,
        num: Any = 50,
        endpoint: bool = True,
        retstep: bool = False,
        dtype: Any = None,
        axis: int = 0,
        *,
        device: Any = None,
    ) -> Any:
        """``np.linspace``, between traced ends too."""
        return self._between(np.linspace, start, stop, operator.index(num), endpoint, retstep=retstep, dtype=dtype, axis=axis)

    def logspace(
        self,
        start: Any,
        stop: Any,
        num: Any = 50,
        endpoint: bool = True,
        base: Any = 10.0,
        dtype: Any = None,
        axis: int = 0,
    ) -> Any:
        """``np.logspace``, likewise."""
        return self._between(np.logspace, start, stop, operator.index(num), endpoint, base=base, dtype=dtype, axis=axis)

    def geomspace(self, start: Any, stop: Any, num: Any = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0) -> Any:
        """``np.geomspace``, likewise."""
        return self._between(np.geomspace, start, stop, operator.index(num), endpoint, dtype=dtype, axis=axis)

    def _between(self, function: Any, start: Any, stop: Any, *args: Any, **kwargs: Any) -> Any:
        if not is_traced((start, stop, kwargs.get("base"))):
            return self.made(function(start, stop, *args, **kwargs))
        ends = [self.recorder.operand(self.array(end) if isinstance(end, (list, tuple)) else end) for end in (start, stop)]
        wide = np.result_type(1.0, *(end.dtype for end in ends if not end.weak))  # a Python number takes the other's
        found = NUMPY_FUNCTIONS[function](*(end.astype(wide).strong() for end in ends), *args, **kwargs)
        return owned(found)

    def indices(self, dimensions: Any, dtype: Any = int, sparse: bool = False) -> Any:
        """``np.indices``."""
        sizes = [whole_size(n) for n in dimensions]
        found = []
        for k, n in enumerate(sizes):
            line = Sym(self.recorder, self.recorder.emit(iota, (), {"size": n})).astype(np.dtype(dtype))
            line = reshape(line, tuple(n if d == k else 1 for d in range(len(sizes))))
            found.append(line.strong() if sparse else broadcast_to(line, sizes).strong())
        return tuple(found) if sparse else stack(found) if found else self.made(np.indices((), dtype))

    def fromfunction(self, function: Any, shape: Any, *, dtype: Any = float, like: Any = None, **kwargs: Any) -> Any:
        """``np.fromfunction``: a function of arrays of positions, which is called once."""
        places = self.indices((shape,) if np.ndim(shape) == 0 else shape, dtype, sparse=False)
        return function(*(places[k].strong() for k in range(len(places))), **kwargs)

    def fromiter(self, iter: Any, dtype: Any, count: int = -1, *, like: Any = None) -> Any:  # noqa: A002 - NumPy's name
        """``np.fromiter``, of traced values too."""
        found = list(iter) if count < 0 else list(itertools.islice(iter, count))
        if not is_traced(found):
            return self.made(np.fromiter(found, dtype, count))
        if len(found) < count:
            raise ShapeError(f"np.fromiter of {len(found)} elements with count={count}", fix="give as many", where=user_frame())
        if any(isinstance(each, Sym) and each.shape for each in found):
            fix = "give numbers, or np.array(list(rows))"
            raise ShapeError("np.fromiter of arrays", fix=fix, where=user_frame())
        return self.array(found, dtype)

    def copyto(self, dst: Any, src: Any, casting: str = "same_kind", where: Any = True) -> None:
        """``np.copyto``."""
        if not isinstance(dst, Sym):
            self.recorder.escape(
                EscapeError(
                    "a traced value is stored into an array from outside the trace",
                    fix="make the array inside the traced function (np.zeros), and return it",
                )
            )
        dst.assign(src if where is True else maps.select(where, src, dst.strong()))


def _no_others(function: str, keywords: Mapping[str, Any]) -> None:
    """Refuse keywords other than where NumPy would make the array."""
    wrong = [name for name in keywords if name not in ("device", "like")]
    if wrong:
        raise TypeError(f"{function}() got an unexpected keyword argument {wrong[0]!r}")


def _stretched(value: Any, shape: Any) -> np.ndarray[Any, Any]:
    """An array of a shape with this value, in NumPy's words where it does not fit."""
    try:
        return np.broadcast_to(value, shape)
    except ValueError:
        theirs = np.shape(value)
        raise ValueError(f"could not broadcast input array from shape {theirs} into shape {shape}".replace(", ", ",")) from None


# -- stand-ins ---------------------------------------------------------------------------------------------------------


class _ArrayClass(type):
    """``np.ndarray`` as a traced function sees it: traced values are arrays."""

    def __instancecheck__(cls, instance: Any) -> bool:
        if isinstance(instance, Sym):
            return instance.boxed or instance.shape != ()
        return isinstance(instance, np.ndarray)

    def __subclasscheck__(cls, other: type) -> bool:
        return other is cls or issubclass(other, (np.ndarray, Sym))


class ArrayStandIn(metaclass=_ArrayClass):
    """Stands for ``np.ndarray`` in ``isinstance``; it makes no arrays."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Refuse as tracing does."""
        return refuse(np.ndarray, "np.ndarray(...) is not traced; np.zeros and np.empty make arrays")


ArrayStandIn.__name__, ArrayStandIn.__qualname__, ArrayStandIn.__module__ = "ndarray", "ndarray", "numpy"


class Stacked:
    """``np.r_`` and ``np.c_`` of scalars, arrays and slices."""

    def __init__(self, creation: Creation, columns: bool) -> None:
        self.creation = creation
        self.columns = columns

    def __getitem__(self, key: Any) -> Any:
        entries = key if isinstance(key, tuple) else (key,)
        real = np.c_ if self.columns else np.r_
        if not is_traced(list(entries)):
            return self.creation.made(real[key])
        if any(isinstance(e, str) for e in entries):
            raise TraceError("np.r_ with a string is not traced", fix="np.concatenate", where=user_frame())
        dtype = np.result_type(*(_weak_or_dtype(entry) for entry in entries))
        parts = [self._part(real, entry).astype(dtype) for entry in entries]
        if self.columns:
            parts = [reshape(p, (-1, 1)) if len(p.shape) < 2 else p for p in parts]
        return concatenate(parts, -1 if self.columns else 0)

    def _part(self, real: Any, entry: Any) -> Any:
        if isinstance(entry, slice):
            return self.creation.made(real[entry].ravel())
        part = self.creation.asarray(entry)
        return part if part.shape else reshape(part, (1,))


def _weak_or_dtype(entry: Any) -> Any:
    """What an entry of ``np.r_`` brings to the dtype: Python numbers take that of the arrays."""
    if isinstance(entry, Sym):
        return {"b": False, "i": 0, "u": 0, "f": 0.0, "c": 0j}[entry.dtype.kind] if entry.weak else entry.dtype
    if isinstance(entry, slice):
        return np.r_[entry].dtype
    if is_traced(entry):
        return np.result_type(*(_weak_or_dtype(e) for e in entry))
    return entry if type(entry) in (bool, int, float, complex) else np.asarray(entry).dtype


class Recording:
    """A function of NumPy or SciPy inside a trace: ours if an argument is traced, else the real one."""

    def __init__(self, function: Any, creation: Creation) -> None:
        self.__wrapped__ = function
        self._creation = creation

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call ours or the real one."""
        function = self.__wrapped__
        if getattr(function, "__name__", "") in DRAWING and not isinstance(kwargs.get("random_state"), Draws):
            Forbidden(f"{name_of(function)} without random_state=rng, a Generator among the arguments,")()
        if not is_traced(args) and not is_traced(kwargs):
            return self._creation.made(function(*args, **kwargs))
        if is_family(function):
            return Distribution(function, args, kwargs, lambda each: Recording(each, self._creation))
        protocols = self._creation.recorder.protocols
        if isinstance(function, np.ufunc):
            if any(isinstance(a, (list, tuple)) for a in args):
                args = tuple(self._creation.asarray(a) if isinstance(a, (list, tuple)) else a for a in args)
            if "out" in kwargs and not isinstance(kwargs["out"], tuple):
                kwargs["out"] = (kwargs["out"],)
            if len(args) > function.nin:
                args, kwargs = args[: function.nin], {**kwargs, "out": args[function.nin :]}
            return protocols.ufunc(function, "__call__", args, kwargs)
        return protocols.function(function, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.__wrapped__, name)
        if isinstance(self.__wrapped__, np.ufunc) and name in UFUNC_METHODS:
            return functools.partial(self._method, name)
        # of a distribution, say, every method: those that are not traced are refused by their names
        foreign = name_of(value) in SCIPY_FUNCTIONS or (isinstance(value, MethodType) and not name.startswith("_"))
        return Recording(value, self._creation) if foreign else value

    def _method(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """A method of a ufunc; lists of traced values are arrays to it."""
        if not is_traced(args) and not is_traced(kwargs):
            found = getattr(self.__wrapped__, name)(*args, **kwargs)
            return self._creation.made(found)
        args = tuple(self._creation.asarray(a) if isinstance(a, (list, tuple)) and is_traced(a) else a for a in args)
        if isinstance(kwargs.get("out"), Sym):
            kwargs["out"] = (kwargs["out"],)
        return getattr(self.__wrapped__, name)(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<{name_of(self.__wrapped__)} in a trace>"


class Scalar:
    """A function of ``math`` inside a trace: its results are Python numbers, so they stay weak."""

    def __init__(self, function: Any, recorder: Recorder) -> None:
        self.__wrapped__ = function
        self._recorder = recorder

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call ours or the real one."""
        function = self.__wrapped__
        if not is_traced(args) and not is_traced(kwargs):
            return function(*args, **kwargs)
        with self._recorder.noting():
            return self._traced(function, args, kwargs)

    def _traced(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Sym:
        ours = MATH_FUNCTIONS.get(function)
        if ours is None:
            refuse(function)
        if function in (math.fsum, math.prod):  # they iterate over their argument
            args = tuple(list(a) if isinstance(a, Sym) and a.shape else a for a in args)
        shaped = [a for a in args if isinstance(a, Sym) and a.size != 1]
        if shaped:
            name = function.__name__
            fix = f"np.{name}(x)" if hasattr(np, name) else "use NumPy's functions, or take one element: x[0]"
            raise DtypeError(f"{name_of(function)} of an array of shape {shaped[0].shape}", fix=fix, where=user_frame())
        wrong = [a for a in args if isinstance(a, (str, bytes, dict, set)) or a is None]
        if wrong:
            raise DtypeError(f"{name_of(function)} of {wrong[0]!r}", fix="give numbers", where=user_frame())
        plain = [reshape(a, ()).astype(np.float64) if isinstance(a, Sym) and not a.weak else a for a in args]
        result = call_function(
            ours, function, tuple(Sym(a.recorder, a.id, weak=True) if isinstance(a, Sym) else a for a in plain), kwargs
        )
        return Sym(self._recorder, self._recorder.operand(result).id, weak=True)


MODULES: Mapping[ModuleType, str] = {
    np: "np",
    np.linalg: "np.linalg",
    np.fft: "np.fft",
    math: "math",
    scipy.special: "scipy.special",
}


class Namespace:
    """A module inside a trace."""

    def __init__(
        self, module: ModuleType, stand_in: Callable[[Any], Any], read: Callable[[ModuleType, str, Any], Any] | None = None
    ) -> None:
        self.__dict__["_module"] = module
        self.__dict__["_stand_in"] = stand_in
        self.__dict__["_read"] = read

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._module, name)
        setting = self._read is not None and is_setting(self._module, name, value)
        result = self._read(self._module, name, value) if setting else self._stand_in(value)
        self.__dict__[name] = result
        return result

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        module = self._module.__name__
        error = TraceError(
            f"setting {module}.{name} while tracing would happen once, not at each call",
            fix="set it outside of the traced function, or keep the value in a variable",
            where=user_frame(),
        )
        recorder = current_recorder.get()
        if recorder is not None:
            recorder.escape(error)
        raise error

    def __repr__(self) -> str:
        return f"<{self._module.__name__} in a trace>"


class StandIns:
    """What a traced function sees in place of foreign modules and functions.

    Parameters
    ----------
    creation: makes arrays in the trace.
    note: notes what is asked for again at each call.
    read: notes a value that was read from a module, and gives what the trace sees of it.
    """

    def __init__(self, creation: Creation, note: Note, read: Callable[[ModuleType, str, Any], Any]) -> None:
        self.creation = creation
        self._note = note
        self._read = read
        self._math = {f for f in vars(math).values() if callable(f)}

    def of(self, value: Any) -> Any:
        """The stand-in of a module or callable, or the value itself."""
        refused = refusal(value)
        if refused is not None:
            return refused
        if isinstance(value, ModuleType):
            package = value.__name__.partition(".")[0]
            known = package != "tracegrad" or value.__name__.startswith("tracegrad.numpy")
            return Namespace(value, self.of, self._read) if known else value
        watched = stand_in(value, self._note)
        if watched is not None:
            if isinstance(watched, Reader):
                watched.__wrapped__ = self._callable(value)
            return watched
        if value is np.ndarray:
            return ArrayStandIn
        drawing = random_class(value)
        if drawing is not None:
            return drawing
        if value is np.vectorize:
            return functools.partial(Vectorised, self.creation)
        if value is np.ndenumerate:
            return enumerated
        if isinstance(value, type) and value in CLASSES:
            return Series(self.creation, value)
        if type(value) in CLASSES:
            return Series(self.creation, type(value), value)
        if value is np.r_ or value is np.c_:
            return Stacked(self.creation, value is np.c_)
        if is_distribution(value):
            return shown(value, lambda function: Recording(function, self.creation))
        if isinstance(value, type):
            return value
        return self._callable(value) if callable(value) else value

    def _callable(self, value: Any) -> Any:
        try:
            if value in self.creation.functions:
                return self.creation.functions[value]
            if value in self._math:
                return Scalar(value, self.creation.recorder)
            known = value in NUMPY_FUNCTIONS
        except TypeError:  # not hashable, so no function of a module
            return value
        module = (getattr(value, "__module__", None) or "").split(".")
        if module[:2] == ["numpy", "random"] or isinstance(getattr(value, "__self__", None), RANDOM):
            return Forbidden(name_of(value))
        foreign = module[0] in {"numpy", "scipy"} or isinstance(value, np.ufunc)
        return Recording(value, self.creation) if known or foreign else value
