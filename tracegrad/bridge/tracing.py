"""From a function of Tensors to a graph: the function runs once on tensors without values."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from tracegrad.bridge.surroundings import Surroundings
from tracegrad.core.aval import SUPPORTED, Aval, supported
from tracegrad.core.graph import Graph
from tracegrad.core.source import raised_at, user_frame
from tracegrad.core.tree import TreeDef, flatten
from tracegrad.eager import Tensor
from tracegrad.eager.generators import Generator, check_generator, default_generator, source
from tracegrad.eager.modes import enable_grad
from tracegrad.eager.traced import TracedTensor, operand, tracing
from tracegrad.errors import DtypeError, EscapeError, TraceError, TracegradError
from tracegrad.ops.maps import stop_gradient
from tracegrad.ops.sources import input as input_op
from tracegrad.symbolic import Recorder, Restart, Sym
from tracegrad.trace.inline import prune
from tracegrad.trace.reads import Capture, Guard, Read, held

Draw = Callable[[np.random.Generator], Any]
LEAF, SLOT, CAPTURE, DRAW = "leaf", "slot", "capture", "draw"


@dataclass(frozen=True, slots=True)
class Input:
    """Where an input of the program comes from at a call: which kind of thing, and its number there."""

    kind: str
    number: int


@dataclass(frozen=True, slots=True)
class TensorTrace:
    """A traced function of Tensors.

    ``graph`` has as its first outputs the tensors among the leaves of the result, whose positions ``tensors`` lists, the
    other leaves being ``values``; behind them what the function has written to: ``written`` says to what.
    """

    graph: Graph
    inputs: tuple[Input, ...]
    tree: TreeDef
    tensors: tuple[int, ...]
    values: tuple[Any, ...]
    written: tuple[Input, ...]
    captured: tuple[Callable[[], Any], ...]
    draws: tuple[tuple[Draw, Generator | None], ...]
    guard: Guard
    kept: tuple[Any, ...]

    def arguments(self, leaves: Sequence[Any], surroundings: Surroundings, drawing: bool = True) -> list[Any]:
        """What the program's inputs are at a call; random ones are drawn in the order of the function.

        Without ``drawing`` zeros stand in the places of random numbers, and no generator moves on.
        """
        drawn = [Tensor._wrap(draw(source(generator))) for draw, generator in self.draws] if drawing else []
        found: list[Any] = []
        for node, place in zip(self.graph.inputs, self.inputs, strict=True):
            if place.kind not in (LEAF, SLOT, CAPTURE) and not drawing:
                found.append(np.zeros(node.aval.shape, node.aval.dtype))
                continue
            if place.kind == LEAF:
                found.append(leaves[place.number])
            elif place.kind == SLOT:
                found.append(surroundings.slots[place.number].tensor)
            else:
                found.append(self.captured[place.number]() if place.kind == CAPTURE else drawn[place.number])
        return found

    def target(self, place: Input, leaves: Sequence[Any], surroundings: Surroundings) -> Any:
        """What the function writes to."""
        return leaves[place.number] if place.kind == LEAF else surroundings.slots[place.number].tensor

    def result(self, tensors: Sequence[Any]) -> Any:
        """The function's result around its tensors."""
        values = list(self.values)
        for k, x in zip(self.tensors, tensors, strict=False):
            values[k] = x
        return self.tree.unflatten(values)


def trace_tensors(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], surroundings: Surroundings, name: str
) -> TensorTrace:
    """Run a function once, tensors and arrays among its arguments and around it without values.

    Raises TraceError where the code cannot become a static graph, and what the code raises by itself.
    """
    return _Attempt(args, kwargs, surroundings, name).run(function)


def as_array(leaf: Any) -> Any:
    """The array of a tensor or the array itself; None for what is no input but part of the key."""
    return leaf._array if isinstance(leaf, Tensor) else leaf if isinstance(leaf, np.ndarray) else None


class _Attempt:
    """One trace."""

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any], surroundings: Surroundings, name: str) -> None:
        self.name = name
        self.surroundings = surroundings
        self.graph = Graph()
        self.recorder = Recorder(
            self.graph, user_frame, protocols=_Refusals(self), adopt=self._adopt, inherit=self._inherit, dtypes=SUPPORTED
        )
        self.places: list[Input] = []
        self.captured: list[Callable[[], Any]] = []
        self.draws: list[tuple[Draw, Generator | None]] = []
        self.reads: list[Read] = []
        self._known: dict[int, Sym] = {}
        self._kept: list[Any] = []
        leaves, tree = flatten((args, kwargs), root="arguments")
        paths = tree.paths("arguments")
        self.leaves: list[Any] = []
        for k, leaf in enumerate(leaves):
            array = as_array(leaf)
            self.leaves.append(leaf if array is None else self._input(LEAF, k, leaf, paths[k]))
        self.args, self.kwargs = tree.unflatten(self.leaves)
        self.slots = [self._input(SLOT, k, slot.tensor, slot.path) for k, slot in enumerate(surroundings.slots)]
        # the same tensor may be given and stand outside: both see what is written
        self.starts = {id(x): x._array.id for x in [*self.leaves, *self.slots] if isinstance(x, TracedTensor)}

    def _input(self, kind: str, number: int, value: Any, path: str) -> TracedTensor:
        known = self._known.get(id(value))
        if known is None:
            array = held(value)
            known = self._known[id(value)] = self._known[id(array)] = self._new(kind, number, array, path)
        return TracedTensor(known)

    def _new(self, kind: str, number: int, array: Any, path: str) -> Sym:
        position = len(self.places)
        self.places.append(Input(kind, number))
        try:
            aval = Aval(array.shape, supported(array.dtype))
        except DtypeError as error:
            raise DtypeError(f"{path}: {error.message}", fix=error.fix, where=user_frame()) from None
        node = self.recorder.emit(input_op, (), {"position": position, "aval": aval, "name": path})
        return Sym(self.recorder, node, boxed=True)

    # -- what the function meets ---------------------------------------------------------------------------------------

    def _adopt(self, value: Any) -> Sym | None:
        """The input that stands for a tensor or an array from outside; None for one that the function has made."""
        known = self._known.get(id(value))
        if known is not None:
            return known
        if isinstance(value, Tensor):
            if value.grad_fn is not None:
                self.recorder.escape(
                    TraceError(
                        f"a tensor of shape {tuple(value.shape)} that was computed outside of {self.name}, or by it from "
                        "tensors outside alone, carries a gradient, which a compiled function would lose",
                        fix="pass the tensor as an argument, or compute from x.detach()",
                        where=user_frame(),
                    )
                )
            return self._capture(value, lambda: value) if value.requires_grad else None
        return self._capture(value, lambda: value) if id(value) in self.surroundings.arrays else None

    def _capture(self, value: Any, read: Callable[[], Any]) -> Sym:
        self._kept.append(value)
        array = held(value)
        found = self._new(CAPTURE, len(self.captured), array, "a value from outside")
        self.captured.append(read)
        self._known[id(value)] = self._known[id(array)] = found
        return found

    def _inherit(self, reads: Sequence[Read], captured: Sequence[Capture]) -> None:
        """Take over what a compiled function reads whose graph becomes part of this one."""
        self.reads.extend(reads)
        for capture in captured:
            value = capture.read()
            if id(value) not in self._known:
                self._capture(value, capture.read)

    # -- what comes into being while the function runs -----------------------------------------------------------------

    def made(self, array: np.ndarray[Any, Any]) -> Tensor:
        """A new tensor that traced values may be written into."""
        if array.size and not np.any(array != array.flat[0]):
            array = np.broadcast_to(array.flat[0], array.shape)  # the constant holds one element
        return TracedTensor(Sym(self.recorder, self.recorder.operand(array).id, boxed=True))

    def drawn(self, draw: Draw, generator: Generator | None) -> Tensor:
        """A random tensor that each call draws anew."""
        check_generator(generator)
        # an example shows shape and dtype, and whether the distribution's parameters are right
        example = np.asarray(draw(np.random.default_rng(0)))
        self.draws.append((draw, generator))
        return TracedTensor(self._new(DRAW, len(self.draws) - 1, example, "random numbers"))

    # -- running -------------------------------------------------------------------------------------------------------

    def run(self, function: Callable[..., Any]) -> TensorTrace:
        """The function's trace."""
        for path, module in self.surroundings.modules:
            if len(module._backward_hooks) or len(module._backward_pre_hooks):
                raise TraceError(
                    f"{path} has backward hooks, and inside a compiled program there are no gradients to give them",
                    fix="remove the hooks, or register them on the compiled module's result: y.register_hook(hook)",
                    where=user_frame(),
                )
        holders = [(path, h) for path, m in self.surroundings.modules for h in (vars(m), m._parameters, m._buffers)]
        before = [dict(holder) for _, holder in holders]
        default_generator()  # there from now on
        states = _states(self.surroundings)
        token = tracing.set(self)
        try:
            with enable_grad(), self.surroundings.replaced(self.slots) as changed:
                result = function(*self.args, **self.kwargs)
                moved = changed()
                self._check_attributes(holders, before)
        except TracegradError as error:
            first = self.recorder.escapes[0] if self.recorder.escapes else error
            raise first.at(raised_at(error)) from None
        except (Exception, Restart):
            if self.recorder.escapes:
                raise self.recorder.escapes[0] from None
            raise
        finally:
            tracing.reset(token)
        if self.recorder.escapes:
            raise self.recorder.escapes[0]
        for (what, before_it), (_, after_it) in zip(states, _states(self.surroundings), strict=True):
            if before_it != after_it:
                raise TraceError(
                    f"{self.name} draws random numbers from {what}, and they would be the same at each call",
                    fix="draw them with torch.rand, torch.randn or dropout, or pass them as an argument",
                    where=user_frame(),
                )
        return self._finish(result, moved)

    def _check_attributes(self, holders: Sequence[tuple[str, dict[str, Any]]], before: Sequence[dict[str, Any]]) -> None:
        """Raise EscapeError for a new attribute that keeps a traced tensor; put the old attributes back."""
        places = {(id(holder), name) for slot in self.surroundings.slots for holder, name in slot.places}
        for (path, holder), old in zip(holders, before, strict=True):
            left = [k for k, v in holder.items() if isinstance(v, TracedTensor) and (id(holder), k) not in places]
            for name in left:
                if name in old:
                    holder[name] = old[name]
                else:
                    del holder[name]
            if left:
                raise EscapeError(
                    f"{path}.{left[0]} was set to a tensor that is traced, which means nothing after the trace",
                    fix="return it, or keep it in a buffer: self.register_buffer(name, tensor)",
                    where=user_frame(),
                )

    def _finish(self, result: Any, moved: Mapping[int, Any]) -> TensorTrace:
        root = f"the result of {self.name}"
        values, tree = flatten(result, root=root)
        tensors = tuple([k for k, x in enumerate(values) if isinstance(x, Tensor)])
        outputs = [self._node(values[k]) for k in tensors]
        written: list[Input] = []
        for place, x in [(Input(LEAF, k), x) for k, x in enumerate(self.leaves)] + [
            (Input(SLOT, k), x) for k, x in enumerate(self.slots)
        ]:
            if not isinstance(x, TracedTensor):
                continue
            now = moved.get(place.number, x) if place.kind == SLOT else x
            node = self._node(now, self._path(place)) if isinstance(now, Tensor) else None
            if node is None:
                raise self._refused(place, now)
            if node != self.starts[id(x)]:
                if self.graph[node].aval != x._array.aval:
                    raise self._refused(place, now)
                outputs.append(self.recorder.operand(stop_gradient(Sym(self.recorder, node))).id)
                written.append(place)
        if self.recorder.prints:
            raise TraceError(
                f"{self.name} calls tg.debug.print, which programs of tensors do not run",
                fix="print tensors outside of what is compiled, or return them",
                where=user_frame(),
            )
        self.recorder.closed = True
        graph, used = prune(self.graph, outputs, 0)
        return TensorTrace(
            graph,
            tuple([self.places[k] for k in used]),
            tree,
            tensors,
            tuple([None if isinstance(x, Tensor) else x for x in values]),
            tuple(written),
            tuple(self.captured),
            tuple(self.draws),
            Guard(self.reads),
            (*self.surroundings.kept, *self._kept),
        )

    def _node(self, value: Any, path: str = "") -> int:
        node: int = operand(self.recorder, value).id
        return node

    def _path(self, place: Input) -> str:
        return self.surroundings.slots[place.number].path if place.kind == SLOT else f"argument {place.number}"

    def _refused(self, place: Input, now: Any) -> TraceError:
        return TraceError(
            f"{self.name} puts {type(now).__name__ if not isinstance(now, Tensor) else 'a tensor of another shape or dtype'} "
            f"in the place of {self._path(place)}",
            fix="write into it, x[...] = values, or keep it outside of what is compiled",
            where=user_frame(),
        )


def _states(surroundings: Surroundings) -> list[tuple[str, Any]]:
    """The sources of random numbers that are not drawn from anew, by name, and their states."""
    found: list[tuple[str, Any]] = [
        ("np.random", repr(np.random.get_state(legacy=False))),  # noqa: NPY002 - what the user may call
        ("Python's random", random.getstate()),
    ]
    for value in surroundings.kept:
        if isinstance(value, np.random.Generator):
            found.append(("a generator of NumPy", repr(value.bit_generator.state)))
        elif isinstance(value, np.random.RandomState):
            found.append(("a generator of NumPy", repr(value.get_state(legacy=False))))
        elif isinstance(value, random.Random):
            found.append(("a generator of Python's", value.getstate()))
    return found


class _Refusals:
    """What NumPy's functions do with a traced value that reaches them: refuse, and say what to write."""

    def __init__(self, attempt: _Attempt) -> None:
        self._attempt = attempt

    def function(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> NoReturn:
        """A NumPy function on traced values."""
        if function is np.copyto:
            what = "a traced value is written into a tensor or an array that is not traced"
            fix = "start from torch.zeros(...), x.new_zeros(...) or x.clone() inside of what is compiled"
        else:
            what = f"np.{getattr(function, '__name__', function)} needs values, and they are not known while tracing"
            fix = "use the tensor's methods, or leave this part to the eager mode"
        self._attempt.recorder.escape(TraceError(what, fix=fix, where=user_frame()))

    def ufunc(self, ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> NoReturn:
        """A ufunc on traced values."""
        self.function(ufunc, inputs, kwargs)

    def array(self, value: Any) -> NoReturn:
        """An array of traced values."""
        self.function(np.array, (value,), {})
