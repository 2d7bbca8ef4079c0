"""Functions composed of several ops that stand on the tape as one node, under PyTorch's name for it.

PyTorch's ``mean`` or ``layer_norm`` is one ``grad_fn``; here it is composed of ops and has no derivative rule of its own.
When such a function meets a tensor that requires grad it is traced, once per shapes, dtypes and other arguments, and cut
into two halves of straight code. The node keeps what the backward half reads of the forward one, and both run in NumPy
without a record in between.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

import numpy as np

from tracegrad.core.aval import Aval
from tracegrad.core.source import user_frame
from tracegrad.eager.anomaly import detecting
from tracegrad.eager.dtypes import default_dtype
from tracegrad.eager.halves import Halves, halve, trace
from tracegrad.eager.inplace import InPlace
from tracegrad.eager.modes import no_grad, recording
from tracegrad.eager.nodes import FIRST, Array, Node, Version, freed, unchanged
from tracegrad.eager.quiet import quiet
from tracegrad.eager.tensor import Tensor
from tracegrad.eager.traced import TracedTensor

P = ParamSpec("P")
R = TypeVar("R")

CAPACITY = 2048
"""How many traced composites are kept in a context; the least recently made goes first."""


@dataclass(frozen=True, slots=True)
class _Operand:
    """Stands for a tensor in the arguments of a composite."""

    position: int


# -- arguments taken apart ---------------------------------------------------------------------------------------------


class _Call:
    """The tensors of a call, where their cotangents go, and what the composite is traced for."""

    __slots__ = ("edges", "key", "slotted", "tensors", "wanted")

    def __init__(self, function: Callable[..., Any]) -> None:
        self.tensors: list[Tensor] = []
        self.edges: list[Node | None] = []
        self.key: list[Any] = [function, default_dtype.get().char]
        self.wanted = False
        self.slotted = False

    def take(self, values: Sequence[Any]) -> bool:
        """Take arguments apart; False where one is traced, TypeError where one has no hash."""
        key = self.key
        for value in values:
            kind = type(value)
            if isinstance(value, InPlace):
                array = value._array
                if value._view is None:
                    edge = value._source
                    if edge is None:
                        state = value._state
                        if state is not None and state.requires_grad:
                            edge = state
                        elif value.bind_rank != 1:
                            return False
                else:
                    edge = value._gradient_edge()
                self.tensors.append(value)  # type: ignore[arg-type]
                self.edges.append(edge)
                if edge is not None:
                    self.wanted = True
                    self.slotted |= value._slot != 0
                # the hash of a dtype takes longer than that of its letter
                key += (array.shape, array.dtype.char, edge is None)
            elif value is None or kind is str:
                key.append(value)
            elif kind is int or kind is bool:
                key += (kind, value)
            elif kind is tuple or kind is list or isinstance(value, (tuple, list)):
                key += (kind, len(value))
                if not self.take(value):
                    return False
            elif isinstance(value, float):
                key += (kind, value.hex())
            else:
                hash(value)
                key += (kind, value)
        return True


def _arguments(value: Any, taken: list[int]) -> Any:
    """An argument with markers in the places of its tensors, numbered as ``_Call.take`` numbers them."""
    if isinstance(value, InPlace):
        taken.append(1)
        return _Operand(len(taken) - 1)
    if isinstance(value, (tuple, list)):
        parts = [_arguments(v, taken) for v in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return value


def _filled(value: Any, tensors: Sequence[Any]) -> Any:
    """An argument with tensors in the places of their markers."""
    if isinstance(value, _Operand):
        return tensors[value.position]
    if isinstance(value, (tuple, list)):
        parts = [_filled(v, tensors) for v in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    if isinstance(value, dict):
        return {k: _filled(v, tensors) for k, v in value.items()}
    return value


_plans: ContextVar[OrderedDict[Hashable, Halves | None] | None] = ContextVar("composites", default=None)


def recorded_as(name: str, *, views: bool = False) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Record all that a function does as one node of this name.

    The function may do with its tensors what can be traced: apply ops, and ask for shapes and dtypes. It returns a tensor or
    a tuple of tensors. Tensors may also stand in lists and tuples among its arguments; other arguments are part of what it
    is traced for, and where they have no hash the function runs op by op. With ``views`` the results are views of the one
    tensor, and stay so.

    >>> from tracegrad.eager.tensor import tensor
    >>> @recorded_as("CubeBackward0")
    ... def cube(x):
    ...     return x * x * x
    >>> cube(tensor(2.0, requires_grad=True))
    tensor(8., grad_fn=<CubeBackward0>)
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            if not recording.get():
                return function(*args, **kwargs)
            call = _Call(function)
            try:
                if not call.take(args):
                    return function(*args, **kwargs)
                if kwargs:
                    call.key += (len(args), *kwargs)
                    if not call.take(tuple(kwargs.values())):
                        return function(*args, **kwargs)
            except TypeError:
                return function(*args, **kwargs)
            if not call.wanted:
                return function(*args, **kwargs)
            plans = _plans.get()
            if plans is None:
                plans = OrderedDict()
                _plans.set(plans)
            key = tuple(call.key)
            halves = plans.get(key, _UNKNOWN)
            if halves is _UNKNOWN:
                halves = plans[key] = _halves(function, args, kwargs, call)
                if len(plans) > CAPACITY:
                    plans.popitem(last=False)
            if halves is None:
                return function(*args, **kwargs)
            if views:
                with no_grad():
                    shown: Any = function(*args, **kwargs)
                _record_views(name, halves, call, shown)
                return shown  # type: ignore[no-any-return]
            return _apply(name, halves, call)  # type: ignore[no-any-return]

        return run

    return decorate


_UNKNOWN: Any = object()


def _halves(function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any], call: _Call) -> Halves | None:
    """Trace a composite; None if no gradient flows through it."""
    taken: list[int] = []
    positional, named = [_arguments(a, taken) for a in args], {k: _arguments(v, taken) for k, v in kwargs.items()}

    def traced(*values: Any) -> Any:
        tensors = [TracedTensor(value) for value in values]
        result = function(*_filled(positional, tensors), **_filled(named, tensors))
        return result._array if isinstance(result, InPlace) else tuple([x._array for x in result])

    graph, single = trace(traced, [Aval(x._array.shape, x._array.dtype) for x in call.tensors])
    return halve(graph, [edge is not None for edge in call.edges], single)


# -- running -----------------------------------------------------------------------------------------------------------


def _apply(name: str, halves: Halves, call: _Call) -> Any:
    """Compute a composite and record its node."""
    tensors = call.tensors
    found = quiet.run(halves.forward, *[x._array for x in tensors])
    node = CompositeNode(name, halves, call)
    saved: list[tuple[Array, Version | None, int]] = []
    for k in halves.kept_inputs:
        x = tensors[k]
        version = x._counter
        if version is None:
            version = x._counter = Version()
        saved.append((x._array, version, version.count))
    count = len(halves.avals)
    results = []
    for k in range(count):
        array = found[k]
        if type(array) is not np.ndarray:
            array = np.asarray(array)
        elif k in halves.borrowed:
            array = array.copy()  # else it would share storage unnoticed
        result = Tensor.__new__(Tensor)
        result._array = array
        result._source = node if k in halves.carriers else None
        if k:
            result._slot = k
        results.append(result)
    for k in halves.kept_outputs:
        version = results[k]._counter = Version()
        saved.append((results[k]._array, version, 0))
    if len(found) > count:
        saved += [(value, None, 0) for value in found[count:]]
    node.saved = saved
    return results[0] if halves.single else tuple(results)


def _record_views(name: str, halves: Halves, call: _Call, views: tuple[Tensor, ...]) -> None:
    """Give views that were made without a record the node of a composite, which keeps nothing."""
    node = CompositeNode(name, halves, call)
    node.saved = []
    for k, shown in enumerate(views):
        shown._source = node if k in halves.carriers else None
        if k:
            shown._slot = k
        if shown._view is not None:
            shown._view.recorded = True
            shown._view.piece = f"Output {k} of {name}"


class CompositeNode(Node):
    """One applied composite: a Tensor's ``grad_fn``."""

    def __init__(self, name: str, halves: Halves, call: _Call) -> None:
        self.label = name
        self.halves = halves
        edges = call.edges
        count = len(edges)
        if len(halves.active) < count:
            edges = [edge if k in halves.active else None for k, edge in enumerate(edges)]
        self.sources = tuple(edges)
        self.slots = FIRST[count] if not call.slotted and count < len(FIRST) else tuple([x._slot for x in call.tensors])
        if len(halves.avals) > 1:
            self.outputs = len(halves.avals)
        else:
            aval = halves.avals[0]
            self.shape, self.dtype = aval.shape, aval.dtype
        self.saved: Sequence[tuple[Array, Version | None, int]] | None = None
        if detecting():
            self.where = user_frame()

    def name(self) -> str:
        """PyTorch's name of this kind of node."""
        return self.label

    def takes(self) -> Sequence[int]:
        """Positions of the operands that get a cotangent."""
        return self.halves.active

    def shown(self) -> Sequence[int]:
        """Positions of the operands that can have a gradient."""
        return self.halves.floating

    def slot_aval(self, slot: int) -> Aval:
        """Shape and dtype of a result."""
        return self.halves.avals[slot]

    def copy_kept(self, array: Array) -> None:
        """Keep a copy where this array, which is about to be written to, was kept: the write is this op's own."""
        if self.saved:
            self.saved = [(array.copy(), None, 0) if entry[0] is array else entry for entry in self.saved]

    def forget(self) -> None:
        """Give up the kept values; a node that kept none can be walked again."""
        if self.saved:
            self.saved = None

    def pull(self, g: Any, wanted: Sequence[int], create: type[Tensor] | None, keep: bool) -> list[Any]:
        """Run the backward half."""
        halves, saved = self.halves, self.saved
        if saved is None:
            raise freed(self)
        kept: list[Any] = []
        for array, version, count in saved:
            if version is not None and version.count != count:
                unchanged(self, array, version, count, self._what(len(kept)))
            kept.append(array)
        row = [g] if self.outputs == 1 else self._cotangents(g, create)
        if create is None:
            found = halves.backward(*kept, *row)
        else:
            backward, again = halves.recorded(create._wrap)
            kept = self._as_tensors(saved, create)
            found = backward(*kept, *again(*kept), *row)
        if not keep:
            self.forget()
        if len(wanted) < len(found):
            found = tuple([found[halves.active.index(k)] for k in wanted])
        if create is None:
            return [part if type(part) is np.ndarray else np.asarray(part) for part in found]
        return list(found)

    def _what(self, entry: int) -> str:
        """What a kept value is."""
        inputs = self.halves.kept_inputs
        return f"operand {inputs[entry]}" if entry < len(inputs) else f"result {self.halves.kept_outputs[entry - len(inputs)]}"

    def _cotangents(self, row: Sequence[Any], create: type[Tensor] | None) -> list[Any]:
        """Those of the results that carry a gradient, zeros where none arrived."""
        found = []
        for k in self.halves.carriers:
            part = row[k]
            if part is None:
                part = np.zeros(self.halves.avals[k].shape, self.halves.avals[k].dtype)
                if create is not None:
                    part = create._wrap(part)
            found.append(part)
        return found

    def _as_tensors(self, saved: Sequence[tuple[Array, Version | None, int]], make: type[Tensor]) -> list[Any]:
        """The kept operands and results as tensors that continue the record of the forward pass."""
        inputs, outputs = self.halves.kept_inputs, self.halves.kept_outputs
        places = [(self.sources[k], self.slots[k]) for k in inputs] + [(self, k) for k in outputs]
        return [
            make._wrap(array, source, version, slot) for (array, version, _), (source, slot) in zip(saved, places, strict=False)
        ]
