"""Sym: a traced array, a mutable handle on a value of the graph being built.

Graphs know no assignment, so a Sym stands for a place and not for a value: it names a ``Storage``, whose current
value is a node, and the chain of view ops through which it looks at it. Writing emits the functional update and moves
the storage on to the new node; everything that looks at the same storage sees it, as in NumPy. Scalars (0-d results)
are values: they never change.
"""

from __future__ import annotations

import contextlib
import contextvars
import difflib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

from tracegrad.core.aval import SUPPORTED, VALUES, Aval, Shape, broadcast_shapes, means_otherwise, supported
from tracegrad.core.graph import Graph
from tracegrad.core.interpret import evaluate
from tracegrad.core.op import Kind, Op
from tracegrad.core.source import called_as, user_frame
from tracegrad.errors import DtypeError, EscapeError, Frame, MissingAttributeError, ShapeError, TraceError
from tracegrad.exits import EAGER, Exits
from tracegrad.ops.aliasing import WRITES, Step, Storage, merges, strides_of
from tracegrad.ops.array_methods import NumpyMethods
from tracegrad.ops.broadcasting import broadcast, reshape_to
from tracegrad.ops.complex_domain import takes_complex
from tracegrad.ops.complexes import imag, real
from tracegrad.ops.indexing import gather, getitem, position_of, put, setitem
from tracegrad.ops.maps import cast, select
from tracegrad.ops.methods import ArrayMethods
from tracegrad.ops.selection import Selection, mask_of_key, select_at, select_by, selected_key
from tracegrad.ops.sources import TRACED, constant, literal
from tracegrad.ops.views import broadcast_to, concatenate, reshape

FIXED = frozenset(("shape", "dtype", "T", "mT", "flat", "strides", "data", "ndim", "size"))
"""Attributes of arrays, which a traced one's cannot be set."""


REFLECTED: Mapping[np.ufunc, str] = {
    np.add: "__radd__",
    np.subtract: "__rsub__",
    np.multiply: "__rmul__",
    np.divide: "__rtruediv__",
    np.power: "__rpow__",
    np.bitwise_and: "__rand__",
    np.bitwise_or: "__ror__",
}
"""The operators of a second operand, by what arrays call for theirs."""


class Restart(BaseException):
    """Tells the tracer that ints it traced are structure and have to be concrete; no ``except Exception`` stops it."""


class Recorder:
    """A graph under construction and the line to blame for its next node.

    Parameters
    ----------
    graph: the graph that grows.
    locate: gives the user's line that runs now.
    protocols: what NumPy's protocols do with a Sym (``protocols.Protocols``); without it they refuse.
    adopt: says which traced value stands for an array from outside the trace, None if it is a constant.
    flexible: positions of inputs that may become concrete if code needs them so.
    inherit: takes over what a trace that is inlined has read (its ``reads`` and ``captured``).
    dtypes: those its values may have; a trace of tensors that is to be compiled has SUPPORTED.
    most: how many nodes the graph may have, None for any number.
    """

    def __init__(
        self,
        graph: Graph,
        locate: Callable[[], Frame | None],
        *,
        protocols: Any = None,
        adopt: Callable[[np.ndarray[Any, Any]], Sym | None] | None = None,
        flexible: Callable[[int], bool] = lambda position: False,
        inherit: Callable[[Any, Any], None] = lambda reads, captured: None,
        dtypes: frozenset[np.dtype[Any]] = VALUES,
        most: int | None = None,
    ) -> None:
        self.graph = graph
        self.locate = locate
        self.protocols = protocols
        self.seen_type: Callable[[Any], Any] = type
        """Gives the class that a traced value has to the traced function, whose globals are a twin's."""
        self.adopt = adopt
        self.flexible = flexible
        self.inherit = inherit
        self.dtypes = dtypes
        self.most = most
        self.wanted: set[int] = set()
        """Inputs that turned out to be structure."""
        self.escapes: list[TraceError] = []
        """What was raised because a traced value left the trace, even if nobody let it through."""
        self.closed = False
        self.levels: list[tuple[Callable[[], int], dict[int, int]]] = []
        """Of each ``vmap`` that is being traced, outermost first: its size, and its lanes with what they are of."""
        self.prints: list[Any] = []
        """What is printed when the program runs, in order (``trace.prints``)."""
        self.rule = ""
        """The function whose rule for its derivative is being traced, "" outside of rules."""
        self._dependent: list[bool] = []
        self._values: dict[int, Any] = {}

    def emit(self, op: Op, ids: tuple[int, ...], params: Mapping[str, Any]) -> int:
        """The id of a node of the graph; TraceError when the trace is over."""
        if self.closed:
            raise TraceError(
                "a traced value was used after its trace had ended",
                fix="return it from the function instead of keeping it in a global, an attribute or a closure",
                where=self.locate(),
            )
        if self.most is not None and len(self.graph) > self.most:
            raise TraceError(f"the graph has more than {self.most} nodes", fix="allow more")
        node = self.graph.emit(op, ids, params, self.locate())
        if self.dtypes is SUPPORTED:
            supported(self.graph[node].aval.dtype)
        return node

    def constant(self, value: Any, dtype: Any = None) -> int:
        """The id of a constant node."""
        return self.emit(constant, (), {"value": literal(value, dtype)})

    def operand(self, value: Any) -> Sym:
        """A traced value for an operand: itself, the input that stands for an outside array, or a constant.

        Python numbers become weak ones.
        """
        if isinstance(value, Sym):
            return value
        if isinstance(value, Selection):
            value.refuse("the array that is made of them here")
        if isinstance(value, (list, tuple)):
            return self._array_of(value)
        if means_otherwise(type(value)):
            self.escape(
                EscapeError(
                    f"a {type(value).__name__} as an operand: its operations are not those of an array",
                    fix="use np.asarray of it, and a mask as an array of its own",
                )
            )
        if self.adopt is not None and isinstance(value, np.ndarray):
            known = self.adopt(value)
            if known is not None:
                return known
        weak = type(value) in (bool, int, float, complex)
        array = np.asarray(value)
        supported(array.dtype, self.dtypes)
        if array.ndim and array.size and all(s == 0 for s in array.strides):
            # a stretched scalar stays one: the constant holds one element
            scalar = self.constant(array.flat[0], array.dtype)
            return Sym(self, self.emit(broadcast, (scalar,), {"shape": array.shape}))
        return Sym(self, self.constant(array if array.ndim else value), weak=weak)

    def _array_of(self, value: Any) -> Sym:
        """The array that NumPy makes of a list or tuple among its operands."""
        if self.protocols is None:
            raise TraceError(f"a {type(value).__name__} as an operand", fix="make it an array with np.array(...)")
        found = self.protocols.array(value)
        return found if isinstance(found, Sym) else self.operand(found)

    def constant_value(self, node: int) -> Any:
        """The value of a node that depends on no input, None for others."""
        graph, dependent = self.graph, self._dependent
        for k in range(len(dependent), len(graph)):
            dependent.append(graph[k].op.kind is Kind.INPUT or any(dependent[i] for i in graph[k].inputs))
        return None if dependent[node] else evaluate(graph, node, self._values)

    def concrete(self, node: int) -> Any:
        """The value of a node that depends on no input, None for others.

        Raises Restart where it depends on nothing but inputs that may become concrete.
        """
        value = self.constant_value(node)
        if value is None:
            roots = [self.graph[i] for i in self.graph.ancestors([node])]
            positions = {n.params["position"] for n in roots if n.op.kind is Kind.INPUT}
            if all(self.flexible(p) for p in positions):
                self.wanted |= positions
                raise Restart
        return value

    def escape(self, error: TraceError) -> NoReturn:
        """Note an escape, so that it is reported whatever happens to the exception, and raise it."""
        self.escapes.append(error.at(self.locate()))
        raise error

    @contextlib.contextmanager
    def noting(self) -> Iterator[None]:
        """Note a TraceError that is raised within, as ``escape`` does."""
        try:
            yield
        except TraceError as error:
            if not any(error is known for known in self.escapes):
                self.escapes.append(error.at(self.locate()))
            raise


current_recorder: contextvars.ContextVar[Recorder | None] = contextvars.ContextVar("current_recorder", default=None)
"""That of the trace that is running."""


@called_as("x")
class Sym(Exits, NumpyMethods, ArrayMethods):
    """A traced array: every operation on it appends to its recorder's graph.

    Parameters
    ----------
    recorder: where its graph grows.
    id: the node whose value it has.
    weak: whether it came from a Python number, which takes the dtype of its partner (NEP 50).
    storage, path: the memory it looks at, and through which views.
    boxed: whether it is an array although it has no axes; other 0-d values are scalars, which nobody can write to.
    """

    bind_rank = TRACED
    __slots__ = ("_id", "_version", "boxed", "path", "recorder", "storage", "weak")
    recorder: Recorder
    weak: bool
    storage: Storage
    path: tuple[Step, ...]
    boxed: bool
    _id: int
    _version: int

    def __init__(
        self,
        recorder: Recorder,
        id: int,  # noqa: A002
        weak: bool = False,
        storage: Storage | None = None,
        path: tuple[Step, ...] = (),
        boxed: bool = False,
    ) -> None:
        storage = Storage(id) if storage is None else storage
        fix = object.__setattr__  # its own asks whether users may set a name: half of the time of making one
        fix(self, "recorder", recorder)
        fix(self, "weak", weak)
        fix(self, "storage", storage)
        fix(self, "path", path)
        fix(self, "boxed", boxed)
        fix(self, "_id", id)
        fix(self, "_version", storage.version)

    @property
    def id(self) -> int:
        """The node that holds its present value."""
        copied = self.storage.copied
        if copied is not None and copied.stale:
            self.recorder.escape(
                EscapeError(
                    f"what {copied.function} gave is read after its array was written to: it is a copy of what was there",
                    fix=f"call {copied.function} again after the write, or copy its result where the old values are meant",
                )
            )
        if self._version != self.storage.version:
            self._check_layout()
            node = self.storage.id
            for step in self.path:
                node = step.read(self.recorder.emit, node)
            self._id, self._version = node, self.storage.version
        return self._id

    @property
    def aval(self) -> Aval:
        """Shape and dtype."""
        return self.recorder.graph[self._id].aval

    @property
    def shape(self) -> Shape:
        """The array's shape, concrete while tracing."""
        return self.aval.shape

    plain_shape = shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The array's dtype."""
        return self.aval.dtype

    def __setattr__(self, name: str, value: Any) -> None:
        if name in FIXED:
            fix = {"shape": "x = x.reshape(...)", "dtype": "x = x.astype(...)"}.get(name, "make a new array")
            raise MissingAttributeError(f"x.{name} of a traced array cannot be set", fix=fix, where=user_frame())
        object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        where = self.recorder.graph[self._id].where
        return f"<traced {self.aval}{f' from {where.file}:{where.line}' if where else ''}>"

    # -- ops ----------------------------------------------------------------------------------------------------------

    def bind_op(self, op: Op, operands: Sequence[Any], params: dict[str, Any]) -> Any:
        """Append ``op``: promote by NumPy's rules, spell out broadcasting; a view op shares its operand's storage."""
        # once for each op of each step of a loop, and again for its derivative: most operands have one dtype and one shape
        recorder = self.recorder
        syms = [x if type(x) is Sym else recorder.operand(x) for x in operands]
        for s in syms:
            if s.recorder is not recorder:
                raise TraceError(
                    "values of two traces meet in one operation",
                    fix="pass the outer value into the inner function as an argument",
                )
        avals = [s.aval for s in syms]
        wanted = op.promote(*[_weak_type(s) if s.weak else aval.dtype for s, aval in zip(syms, avals, strict=True)])
        known = recorder.dtypes is VALUES
        ids = [
            s.id if known and d is aval.dtype else self._as_dtype(s, supported(np.dtype(d), recorder.dtypes))
            for s, aval, d in zip(syms, avals, wanted, strict=True)
        ]
        graph = recorder.graph
        if "c" in {graph[i].aval.dtype.kind for i in ids} and not takes_complex(op):
            raise _refuse_complex(op)
        is_map = op.kind is Kind.MAP
        if is_map and avals.count(avals[0]) < len(avals):
            shape = broadcast_shapes(*[aval.shape for aval in avals])
            ids = [i if graph[i].aval.shape == shape else recorder.emit(broadcast, (i,), {"shape": shape}) for i in ids]
        node = recorder.emit(op, tuple(ids), params)
        if op in WRITES and ids[0] == syms[0].id:
            return syms[0]._view(Step(op, params, syms[0].shape), node)
        return Sym(recorder, node, weak=is_map and False not in [s.weak for s in syms])

    def _as_dtype(self, value: Sym, dtype: np.dtype[Any]) -> int:
        if value.dtype == dtype:
            return value.id
        node = self.recorder.graph[value.id]
        if node.op is constant and not value.shape:
            return self.recorder.constant(node.params["value"].number, dtype)
        return self.recorder.emit(cast, (value.id,), {"dtype": dtype})

    def _view(self, step: Step, node: int) -> Sym:
        path = (*self.path, step)
        if step.op is reshape_to and strides_of(path) is None and self.storage.by_rows(self.recorder.graph):
            return Sym(self.recorder, node)  # NumPy has to copy here
        if not self.shape and not self.boxed and step.op is not broadcast:
            return Sym(self.recorder, node, boxed=True)  # a scalar has no memory: NumPy makes an array of it first
        return Sym(self.recorder, node, storage=self.storage, path=path, boxed=True)

    def copy(self, order: str = "C") -> Sym:
        """An array of its own with the same elements, row by row."""
        made = Sym(self.recorder, self.id, boxed=self.boxed)
        made.storage.rows = {"C": True, "F": False}.get(order)
        return made

    def _check_layout(self) -> None:
        """Whether it is certain that NumPy's array is a view and no copy, or the other way round, as far as that matters."""
        if self.path and merges(self.path) and not self.storage.by_rows(self.recorder.graph):
            self.recorder.escape(
                TraceError(
                    "an array is written to after a reshape of it was made, which is a view of it or a copy by how NumPy laid"
                    " out its elements, and here that is not known while tracing",
                    fix="copy it before: x = x.copy(), or reshape it after it was written",
                )
            )

    def strong(self) -> Sym:
        """The same value as what a NumPy function returns: an array or scalar of its own that is no Python number."""
        return Sym(self.recorder, self.id)

    def astype(  # type: ignore[override]
        self, dtype: Any, order: str = "K", casting: str = "unsafe", subok: bool = True, copy: bool = True
    ) -> Sym:
        """``ndarray.astype``."""
        target = supported(np.dtype(dtype), self.recorder.dtypes)
        if not copy and target == self.dtype:
            return self
        return Sym(self.recorder, self._as_dtype(self, target), boxed=self.boxed)

    @property
    def real(self) -> Sym:
        """``ndarray.real``: a view; of real arrays themselves."""
        if self.dtype.kind != "c":
            return Sym(self.recorder, self.id, self.weak, self.storage, self.path, self.boxed)
        return self._part(real)

    @real.setter
    def real(self, value: Any) -> None:
        self.real.assign(value)

    @property
    def imag(self) -> Sym:
        """``ndarray.imag``: a view; of real arrays zeros."""
        if self.dtype.kind != "c":
            zero = self.recorder.constant(0, self.dtype)
            return Sym(self.recorder, self.recorder.emit(broadcast, (zero,), {"shape": self.shape}) if self.shape else zero)
        return self._part(imag)

    @imag.setter
    def imag(self, value: Any) -> None:
        if self.dtype.kind != "c":
            fix = "make the array complex first: x = x.astype(np.complex128)"
            raise MissingAttributeError("x.imag of a real array cannot be set", fix=fix, where=user_frame())
        self.imag.assign(value)

    def _part(self, part: Op) -> Sym:
        found: Sym = part(self)
        if self.weak:
            return Sym(self.recorder, found.id, weak=True)
        return found if self.shape or self.boxed else found.strong()

    def flatten(self, order: str = "C") -> Sym:
        """``ndarray.flatten``: always a copy."""
        if order not in ("C", "A", "K"):
            return reshape(self, (-1,), order=order).copy()  # type: ignore[no-any-return]
        return Sym(self.recorder, self.recorder.emit(reshape_to, (self.id,), {"shape": (math.prod(self.shape),)}))

    def __mul__(self, other: Any) -> Any:
        return other * self.__index__() if self._repeats(other) else super().__mul__(other)

    def __rmul__(self, other: Any) -> Any:
        return other * self.__index__() if self._repeats(other) else super().__rmul__(other)

    def _repeats(self, other: Any) -> bool:
        """Whether ``other`` is a sequence that Python repeats as often as this whole number says."""
        return isinstance(other, (list, tuple, str, bytes)) and self.shape == () and not self.boxed and self.dtype.kind in "iu"

    def __matmul__(self, other: Any) -> Any:
        return _own(super().__matmul__(self._listed(other)))

    def __rmatmul__(self, other: Any) -> Any:
        return _own(super().__rmatmul__(self._listed(other)))

    def _listed(self, other: Any) -> Any:
        """Another operand, that of a list or tuple the array that NumPy makes of it."""
        return self.recorder.operand(other) if isinstance(other, (list, tuple)) else other

    def dot(self, other: Any) -> Any:
        """``ndarray.dot``: what a view of the product shows is memory of its own."""
        return _own(super().dot(self._listed(other)))

    def take(self, indices: Any, axis: int | None = None, out: None = None, mode: str = "raise") -> Any:
        """``ndarray.take``: always a copy."""
        return _own(super().take(indices, axis, out, mode))

    def __pos__(self) -> Sym:
        return self.copy() if not self.weak else self

    # -- indexing and assignment ---------------------------------------------------------------------------------------

    def __getitem__(self, key: Any) -> Any:
        key = self._concrete_key(key)
        if isinstance(key, Sym) and key.dtype.kind == "b" and key.shape:
            return select_by(self.copy(), key.copy())
        if selected_key(key) is not None:
            return select_at(self.copy(), key)
        entries = key if isinstance(key, tuple) else (key,)
        if (looked_at := self._at_traced(entries)) is not None:
            return looked_at
        result = getitem(self, key)
        # x[i] of NumPy is a scalar, a copy; x[i, ...] is a view without axes; and no key at all gives the array again
        if result is self:
            return Sym(self.recorder, self.id, storage=self.storage, path=self.path, boxed=True)
        return result if result.shape or any(e is Ellipsis for e in entries) else result.strong()

    def _at_traced(self, entries: tuple[Any, ...]) -> Sym | None:
        """A view at positions that are traced integers, beside slices and the like; None for other keys, which copy."""
        found: dict[int, Sym] = {}
        axis, kept = 0, len(self.shape) - sum(e is not None and e is not Ellipsis for e in entries)
        for e in entries:
            if isinstance(e, Sym) and e.dtype.kind in "iu" and not (e.shape or e.boxed):
                found[axis] = e
            elif e is not None and e is not Ellipsis and type(e) is not int and not isinstance(e, slice):
                return None
            axis += kept if e is Ellipsis else type(e) is not int
        if not found or kept < 0:
            return None
        view = getitem(self, tuple(slice(None) if isinstance(e, Sym) else e for e in entries))
        rest = tuple(n for k, n in enumerate(view.shape) if k not in found)
        if view.storage is not self.storage or not (rest or any(e is Ellipsis for e in entries)):
            return None
        emit = self.recorder.emit
        for axis, e in found.items():
            at = reshape(position_of(e, view.shape[axis]), (1,)).id
            step = Step(gather, {"axis": axis}, view.shape, at)
            view = Sym(self.recorder, step.read(emit, view.id), storage=view.storage, path=(*view.path, step))
        params = {"shape": rest}
        made: Sym = view._view(Step(reshape_to, params, view.shape), emit(reshape_to, (view.id,), params))
        return made

    def __setitem__(self, key: Any, value: Any) -> None:
        self._check_writable()
        key = self._concrete_key(key)
        if isinstance(key, Sym) and key.dtype.kind == "b":
            self._store_where(key, value)
            return
        if selected_key(key) is not None:
            self._store_at(key, value)
            return
        stored = self._stored(value)
        entries = key if isinstance(key, tuple) else (key,)
        if any(isinstance(e, (Sym, list, np.ndarray)) for e in entries):
            self.assign(setitem(self, key, stored))
            return
        target = getitem(self, key)
        if target is self:
            target = Sym(self.recorder, self.id, storage=self.storage, path=self.path, boxed=True)
        if target.storage is not self.storage:
            self.assign(setitem(self, key, stored))
        elif stored.id != target.id:  # after x[a:b] += v the value is the view itself, written already
            target.assign(stored)

    def assign(self, value: Any) -> None:
        """Write a value over all of this array, cast and broadcast as NumPy's assignment does.

        Raises TraceError where the array must not be written, ShapeError where the value does not fit.
        """
        self._check_writable()
        self._check_layout()
        recorder = self.recorder
        node = self._fitted(self._stored(value))
        bases = [self.storage.id]
        for step in self.path:
            bases.append(step.read(recorder.emit, bases[-1]))
        for step, base in zip(reversed(self.path), reversed(bases[:-1]), strict=True):
            node = step.write(recorder.emit, base, node)
        self.storage.id = node
        self.storage.version += 1

    def _stored(self, value: Any) -> Sym:
        if isinstance(value, (list, tuple)):
            value = self.recorder.protocols.array(value)
        return self.recorder.operand(value)

    def _fitted(self, value: Sym) -> int:
        """The node of a value in this array's dtype and shape."""
        node = self._as_dtype(value, self.dtype)
        shape = value.shape
        while len(shape) > len(self.shape) and shape[0] == 1:
            shape = shape[1:]
        if shape != value.shape:
            node = self.recorder.emit(reshape_to, (node,), {"shape": shape})
        if shape == self.shape:
            return node
        try:
            return self.recorder.emit(broadcast, (node,), {"shape": self.shape})
        except ShapeError:
            raise ShapeError(
                f"a value of shape {value.shape} does not fit into an array of shape {self.shape}",
                fix="each axis, counted from the last, must have the target's size or size 1",
                where=self.recorder.locate(),
            ) from None

    def _store_where(self, mask: Sym, value: Any) -> None:
        """``x[mask] = value`` with a traced mask: a scalar, or what the same mask selects."""
        if isinstance(value, Selection):
            if value.mask.id != mask.id:
                value.refuse("whether as many are selected by another mask")
            self.assign(value.astype(self.dtype).into(self.strong()))
            return
        stored = self._stored(value)
        if mask.shape != self.shape[: len(mask.shape)] or stored.shape:
            raise TraceError(
                f"assignment of shape {stored.shape} through a traced mask of shape {mask.shape}: "
                "how many elements the mask selects is not known while tracing",
                fix="assign a scalar, or what the same mask selects: x[mask] = f(y[mask]); or write np.where(mask, values, x)",
                where=self.recorder.locate(),
            )
        wide = mask.shape + (1,) * (len(self.shape) - len(mask.shape))
        condition = Sym(self.recorder, self.recorder.emit(reshape_to, (mask.id,), {"shape": wide}))
        self.assign(select(condition, Sym(self.recorder, self._as_dtype(stored, self.dtype)), self.strong()))

    def _store_at(self, key: Any, value: Any) -> None:
        """``x[key] = value`` at positions that a mask selects: the others are written behind the last element."""
        mask = mask_of_key(self, key)
        if mask is not None:
            self._store_where(mask, value)
            return
        recorder, size = self.recorder, math.prod(self.shape)
        index = select_at(recorder.operand(np.arange(size).reshape(self.shape)), key)
        if isinstance(value, Selection):
            if value.mask.id != index.mask.id:
                value.refuse("whether as many are selected by another mask")
            stored = value.astype(self.dtype).whole
        else:
            stored = self._stored(value)
            if len(stored.shape) > len(index.rest):
                index.refuse(f"whether a value of shape {stored.shape} fits")
            stored = Sym(recorder, self._as_dtype(stored, self.dtype))
        places = select(index._condition(), index.whole, size)
        longer = concatenate([reshape(self.strong(), -1), np.zeros(1, self.dtype)])
        spread = reshape(broadcast_to(stored, index.whole.shape), -1)
        written = put(longer, reshape(places, -1), spread, axis=0)
        self.assign(reshape(getitem(written, slice(0, size)), self.shape))

    def _concrete_key(self, key: Any) -> Any:
        """The key with what can be known of it made concrete: masks and positions that depend on no argument."""
        if isinstance(key, tuple):
            return tuple(self._concrete_key(k) for k in key)
        if not isinstance(key, Sym):
            return key
        # a traced position is looked up at run time; a mask decides a shape and becomes structure where it can
        known = self.recorder.concrete(key.id) if key.dtype.kind == "b" else self.recorder.constant_value(key.id)
        if known is None:
            return key
        return np.asarray(known) if key.shape else known.item()

    def _check_writable(self) -> None:
        reason = self.storage.guard
        if any(step.op is broadcast for step in self.path):
            reason = "the result of np.broadcast_to is read-only"
        if not self.shape and not self.boxed:
            reason = "a scalar cannot be written to"
        if reason:
            error = EscapeError if self.storage.outside else TraceError
            self.recorder.escape(error(reason, fix="copy it first (x = x.copy()), or make a new one (x = x + 1)"))

    def update_in_place(self, result: Any) -> Any:
        """What ``x += y`` does with ``x + y``: written into an array, a new value for a scalar."""
        if not isinstance(result, Sym) or (not self.shape and not self.boxed):
            return result
        self._check_writable()
        if not np.can_cast(result.dtype, self.dtype, "same_kind"):
            raise DtypeError(
                f"an in-place operation would turn {result.dtype} into {self.dtype}",
                fix=f"make the array {result.dtype} first: x = x.astype(np.{result.dtype})",
                where=self.recorder.locate(),
            )
        if result.shape != self.shape:
            raise ShapeError(
                f"an in-place operation gives shape {result.shape}, but the array has shape {self.shape}",
                fix="write x = x + y instead of x += y",
                where=self.recorder.locate(),
            )
        self.assign(result)
        return self

    def __iadd__(self, other: Any) -> Any:
        return self.update_in_place(self + other)

    def __isub__(self, other: Any) -> Any:
        return self.update_in_place(self - other)

    def __imul__(self, other: Any) -> Any:
        return self.update_in_place(self * other)

    def __itruediv__(self, other: Any) -> Any:
        return self.update_in_place(self / other)

    def __ifloordiv__(self, other: Any) -> Any:
        return self.update_in_place(self // other)

    def __imod__(self, other: Any) -> Any:
        return self.update_in_place(self % other)

    def __ipow__(self, other: Any) -> Any:
        return self.update_in_place(self**other)

    def __imatmul__(self, other: Any) -> Any:
        return self.update_in_place(self @ other)

    def __iand__(self, other: Any) -> Any:
        return self.update_in_place(self & other)

    def __ior__(self, other: Any) -> Any:
        return self.update_in_place(self | other)

    def __ixor__(self, other: Any) -> Any:
        return self.update_in_place(self ^ other)

    # -- NumPy's protocols ---------------------------------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if self.recorder.protocols is None:
            operator = REFLECTED.get(ufunc)
            if operator is None or method != "__call__" or kwargs or not isinstance(inputs[1], Sym):
                return NotImplemented
            return getattr(inputs[1], operator)(inputs[0])  # an array before a traced value, in code of our own
        return self.recorder.protocols.ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self, function: Any, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self.recorder.protocols is None:
            return NotImplemented
        return self.recorder.protocols.function(function, args, kwargs)

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)  # asked for by protocols
        if hasattr(np.ndarray, name):
            fix = f"np.{name}(...), if that is traced, or what it is composed of"
            # noted, as code that asks hasattr(x, name) would go another way than with an array
            self.recorder.escape(MissingAttributeError(f"x.{name} of an array is not traced", fix=fix, where=user_frame()))
        if not self.shape and not self.boxed and hasattr(np.float64, name):
            fix = "compute with the traced scalar itself"
            self.recorder.escape(MissingAttributeError(f"x.{name} of a traced scalar needs its value", fix=fix))
        near = difflib.get_close_matches(name, [n for n in dir(np.ndarray) if not n.startswith("_")], 1)
        fix = f"x.{near[0]}" if near else f"see dir(np.ndarray) for what arrays have; {EAGER}"
        raise MissingAttributeError(f"arrays have no attribute {name!r}", fix=fix, where=user_frame())

    def __lshift__(self, other: Any) -> Any:
        return self.__array_ufunc__(np.left_shift, "__call__", self, other)

    def __rshift__(self, other: Any) -> Any:
        return self.__array_ufunc__(np.right_shift, "__call__", self, other)

    def __rlshift__(self, other: Any) -> Any:
        return self.__array_ufunc__(np.left_shift, "__call__", other, self)

    def __rrshift__(self, other: Any) -> Any:
        return self.__array_ufunc__(np.right_shift, "__call__", other, self)

    def __delitem__(self, key: Any) -> NoReturn:
        raise TraceError("elements of an array cannot be deleted", fix="y = np.delete(x, i)", where=user_frame())

    def __copy__(self) -> Sym:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> Sym:
        return self.copy()


def _refuse_complex(op: Op) -> DtypeError:
    """The error of an op that complex numbers do not go through."""
    fix = "take np.abs(z), or z.real and z.imag apart"
    return DtypeError(f"{op.name} of complex numbers is not traced: they have no order, or it has no derivative there", fix=fix)


def _own(result: Any) -> Any:
    """A result as memory of its own."""
    return result.strong() if isinstance(result, Sym) else result


def _weak_type(value: Sym) -> type:
    return {"b": bool, "i": int, "u": int, "f": float, "c": complex}[value.dtype.kind]
