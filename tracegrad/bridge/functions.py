"""``compile``: a module or a function of Tensors as one program, and one node of the dynamic graph."""

from __future__ import annotations

import functools
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any, overload

import numpy as np

from tracegrad.bridge.surroundings import Surroundings
from tracegrad.bridge.tracing import LEAF, TensorTrace, as_array, trace_tensors
from tracegrad.calls import Stats, checked_budget
from tracegrad.core.graph import Graph
from tracegrad.core.source import user_frame
from tracegrad.core.tree import flatten
from tracegrad.eager import Tensor
from tracegrad.eager.dtypes import default_dtype
from tracegrad.eager.modes import recording
from tracegrad.eager.traced import tracing
from tracegrad.errors import TapeError, TraceError, TracegradError
from tracegrad.inspect.annotate import annotate_source
from tracegrad.inspect.explain import explain_compilation
from tracegrad.inspect.memory import MemoryPlan, memory_of
from tracegrad.inspect.profile import measure_launches
from tracegrad.inspect.text import Text
from tracegrad.taped import TapedProgram

CAPACITY = 256
"""How many programs a compiled module keeps; the least recently used goes first."""


@dataclass(frozen=True, slots=True)
class Program:
    """What a call runs."""

    trace: TensorTrace
    taped: TapedProgram


class Call:
    """A call of a function of Tensors taken apart: its leaves, what is around it, and the key of its program."""

    __slots__ = ("args", "key", "kwargs", "leaves", "surroundings")

    def __init__(self, roots: tuple[Any, ...], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.args, self.kwargs = args, kwargs
        self.leaves, tree = flatten((args, kwargs), root="arguments")
        self.surroundings = Surroundings(*roots)
        # one tensor in two places is one input
        numbers: dict[int, int] = {}
        for slot in self.surroundings.slots:
            numbers.setdefault(id(slot.tensor), len(numbers))
        signature = tuple([self._signature(x, numbers) for x in self.leaves])
        self.key: Hashable = (tree, signature, self.surroundings.key, default_dtype.get())

    def _signature(self, leaf: Any, numbers: dict[int, int]) -> Hashable:
        array = as_array(leaf)
        if array is not None:
            return array.dtype, array.shape, numbers.setdefault(id(leaf), len(numbers))
        if type(leaf) is float:
            return float, leaf.hex()
        try:
            hash(leaf)
        except TypeError:
            raise TraceError(
                f"an argument of type {type(leaf).__name__} cannot be part of the key, as it is not hashable",
                fix="pass tensors and arrays, in any nesting of dicts, lists, tuples and dataclasses, and numbers and strings",
                where=user_frame(),
            ) from None
        return type(leaf), leaf


class CompiledTensors:
    """A module or a function of Tensors that runs as one program; made by ``tg.compile``.

    Everything but calls goes on to the module: ``parameters()``, ``train()``, ``state_dict()`` and its own attributes.
    ``stats`` counts traces and compiles.
    """

    stats: Stats

    def __init__(self, target: Callable[..., Any], native: bool, memory_budget: int | float | None = None) -> None:
        own = vars(self)
        own["target"], own["native"], own["memory_budget"], own["stats"] = target, native, memory_budget, Stats()
        own["__tracegrad_roots__"] = (target,)
        own["_programs"] = OrderedDict()
        own["_lock"] = threading.RLock()
        own["_name"] = getattr(target, "__name__", type(target).__name__)
        if not hasattr(target, "named_modules"):
            functools.update_wrapper(self, target, assigned=("__module__", "__name__", "__qualname__", "__doc__"), updated=())

    def __repr__(self) -> str:
        return f"<compiled {self._name}>" if not hasattr(self.target, "named_modules") else f"compiled {self.target!r}"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(vars(self)["target"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.target, name, value)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the program for these arguments, compiling it first where they, or the module's settings, are of a new kind."""
        if tracing.get() is not None:  # part of the program that is traced
            return self.target(*args, **kwargs)
        with self._lock:  # while another thread traces, traced values stand in the places of the tensors
            call = Call((self.target,), args, kwargs)
            program = self._program(call)
        trace, leaves = program.trace, call.leaves
        targets = [trace.target(place, leaves, call.surroundings) for place in trace.written]
        check_written(trace, targets, self._name)
        results = program.taped(trace.arguments(leaves, call.surroundings))
        count = len(trace.tensors)
        write_back(targets, results[count:], results[0].grad_fn if results else None, self._name)
        return trace.result(results[:count])

    # -- building -----------------------------------------------------------------------------------------------------

    def _program(self, call: Call) -> Program:
        programs: OrderedDict[Hashable, Program] = self._programs
        found = programs.get(call.key)
        if found is not None and found.trace.guard.fresh():
            return found
        began = time.perf_counter()
        trace = trace_tensors(self.target, call.args, call.kwargs, call.surroundings, self._name)
        self.stats.traces += 1
        self.stats.spent("trace", time.perf_counter() - began)
        taped = TapedProgram(trace.graph, native=self.native, count=self.stats.count, memory_budget=self.memory_budget)
        made = Program(trace, taped)
        # what the trace itself has changed, a counter say, each call has to change
        if Surroundings(self.target).key == call.surroundings.key:
            programs[call.key] = made
            if len(programs) > CAPACITY:
                programs.popitem(last=False)
        return made

    # -- looking inside -----------------------------------------------------------------------------------------------

    def _taken_apart(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[TapedProgram, list[Any]]:
        """The program for these arguments, and what it takes of them and of what is around them."""
        with self._lock:
            call = Call((self.target,), args, kwargs)
            program = self._program(call)
            return program.taped, program.trace.arguments(call.leaves, call.surroundings, drawing=False)

    def _looked_up(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> TapedProgram:
        return self._taken_apart(args, kwargs)[0]

    def graph(self, *args: Any, **kwargs: Any) -> Graph:
        """The graph of the forward program for these arguments, after rewriting."""
        found = self._looked_up(args, kwargs).compilation.graph
        assert found is not None
        return found

    def source(self, *args: Any, **kwargs: Any) -> Text:
        """The generated source of the forward program for these arguments."""
        return annotate_source(self._looked_up(args, kwargs).compilation)

    def explain(self, *args: Any, profile: bool = False, **kwargs: Any) -> Text:
        """Every stage of the forward program for these arguments; with ``profile=True`` it is run on them and timed.

        A keyword argument of the module that is itself called ``profile`` is given by position.
        """
        taped, arguments = self._taken_apart(args, kwargs)
        times = measure_launches(taped.compilation, plain_arrays(arguments)) if profile else ()
        return explain_compilation(taped.compilation, self._name, self.stats.seconds.get("trace", 0.0), times)

    def memory_plan(self, *args: Any, **kwargs: Any) -> MemoryPlan:
        """What memory the program takes that a call with these arguments runs; nothing is run.

        Where the result is one scalar that carries a gradient this is the program of value and gradient, else the forward
        one. TracegradError with ``compile="never"``.
        """
        taped, arguments = self._taken_apart(args, kwargs)
        return memory_of(taped.called(arguments), self._name)


def check_written(trace: TensorTrace, targets: list[Any], name: str) -> None:
    """Raise TapeError where a function writes into an argument that carries a gradient."""
    for place, x in zip(trace.written, targets, strict=True):
        if place.kind == LEAF and isinstance(x, Tensor) and recording.get() and x.requires_grad:
            raise TapeError(
                f"{name} writes into an argument of shape {tuple(x.shape)} that requires grad",
                fix="pass a copy, x.clone(), or x.detach()",
                where=user_frame(),
            )


def write_back(targets: list[Any], results: list[Any], node: Any, writer: str) -> None:
    """Write results into what the function has written to, in place; ``node`` keeps copies of what it still needs."""
    for x, new in zip(targets, results, strict=True):
        array = as_array(x)
        if node is not None:
            node.copy_kept(array)
        np.copyto(array, as_array(new))
        if isinstance(x, Tensor):
            x._written(writer)


def plain_arrays(arguments: Iterable[Any]) -> list[Any]:
    """The arrays of tensors, and everything else as it is."""
    return [x._array if isinstance(x, Tensor) else x for x in arguments]


def is_native(mode: str) -> bool:
    """Whether ``compile=`` asks for kernels; TracegradError for a word that is none."""
    if mode not in ("now", "never"):
        raise TracegradError(f"compile={mode!r} is not a mode", fix='use compile="now" or compile="never"')
    return mode == "now"


@overload
def compile(  # noqa: A001
    target: Callable[..., Any], /, *, compile: str = "now", memory_budget: int | float | None = None
) -> CompiledTensors: ...
@overload
def compile(  # noqa: A001
    *, compile: str = "now", memory_budget: int | float | None = None
) -> Callable[[Callable[..., Any]], CompiledTensors]: ...


def compile(  # noqa: A001 - PyTorch's name
    target: Callable[..., Any] | None = None,
    /,
    *,
    compile: str = "now",  # noqa: A002 - as jit has it
    memory_budget: int | float | None = None,
) -> CompiledTensors | Callable[[Callable[..., Any]], CompiledTensors]:
    """Run a module, or a function written for Tensors, as one compiled program and one node of the dynamic graph.

    Parameters
    ----------
    target: a module, or a function of Tensors in PyTorch's style; arguments and result may be any pytrees.
    compile: ``"now"``, or ``"never"`` to run the graph on the interpreter.
    memory_budget: for the values that each program keeps between its kernels, as ``grad_compile`` takes it.

    Parameters of the module get their gradients through ``backward``; buffers that it writes to, as running statistics, are
    written in place after each call; random numbers are drawn anew at each call, in the order in which the eager module
    draws them. Numbers, flags and strings that the code reads, ``training`` among them, are part of the key: a change traces
    again. New sizes trace again and reuse the kernels.

    Calls raise TraceError where the code cannot become a static graph, e.g. where a condition depends on values. Threads may
    share the compiled module; while it is traced, no other thread may use the module itself.

    >>> import tracegrad as tg
    >>> from tracegrad.eager import nn
    >>> layer = nn.Linear(3, 2)
    >>> x = tg.tensor([[1.0, 2.0, 3.0]])
    >>> y = tg.compile(layer, compile="never")(x)
    >>> y.grad_fn.name(), bool((y - layer(x)).abs().max() < 1e-6)
    ('CompiledFunctionBackward', True)
    """
    native, budget = is_native(compile), checked_budget(memory_budget)
    if target is None:
        return lambda f: CompiledTensors(f, native, budget)
    if not callable(target):
        raise TracegradError(f"an object of type {type(target).__name__} is no function", fix="pass a module or a function")
    if hasattr(target, "__tracegrad_compiled__"):
        raise TracegradError(f"{target!r} is compiled already", fix="call it with tensors as it is")
    return CompiledTensors(target, native, budget)
