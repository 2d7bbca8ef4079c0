"""Compiled functions: traced once per signature, and then run as one native call."""

from __future__ import annotations

import functools
import types
import weakref
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, ParamSpec, Self, TypeVar

from tracegrad import records
from tracegrad.autodiff.inside import gradient_transform
from tracegrad.background import Pending
from tracegrad.bound import Bound, Whole
from tracegrad.callers import MISS, Caller, Signature, make_caller
from tracegrad.calls import Call, Family, Stats, on_tape
from tracegrad.config import Settings, config
from tracegrad.core.finite import watching
from tracegrad.core.graph import Graph
from tracegrad.core.source import user_frame
from tracegrad.core.tree import TreeDef
from tracegrad.direct import Called, Direct, make_direct
from tracegrad.eager.traced import TracedTensor
from tracegrad.errors import TracegradError
from tracegrad.inspect.annotate import annotate_source
from tracegrad.inspect.explain import explain_compilation
from tracegrad.inspect.memory import MemoryPlan, memory_of
from tracegrad.inspect.profile import measure_launches
from tracegrad.inspect.text import Text
from tracegrad.pipeline import Compilation, compile_graph
from tracegrad.symbolic import Recorder
from tracegrad.taped import TapedProgram
from tracegrad.trace.draws import drawn
from tracegrad.trace.inline import inline
from tracegrad.trace.prints import Print, Prints, note_again
from tracegrad.trace.reads import Guard, held
from tracegrad.trace.tracer import Traced
from tracegrad.wants import BOTH, GRADIENT, VALUE, differentiated, results_of

P = ParamSpec("P")
R = TypeVar("R")

MOST_CALLERS = 8
"""How many signatures are tried one after the other, 0.1 µs each, before a call's key is looked up."""
MOST_DIRECT = 4
"""How many of them are tried by native code before, 0.03 µs each."""


class Compiled(Called[P, R]):
    """A function compiled per signature of its arguments; made by ``jit`` and ``grad_compile``.

    Calling it runs one native program. A new combination of dtypes, shapes and static values traces again; new sizes reuse
    the compiled kernels. Called with traced values, inside another compiled function, it becomes part of the outer graph.

    ``out=`` has arrays for the results, in the structure of the result, with None where a new one is wanted; what is given
    is returned, filled. Each has the result's shape and dtype (a 0-d array for a scalar), is contiguous, and shares no
    memory with what the function reads, or a TracegradError says what is wrong. A function with a parameter ``out`` of its
    own keeps it. Without ``out=`` results are always new memory.

    Called with Tensors, or where the function reads Tensors from outside, it gives Tensors: one node of the dynamic graph,
    ``CompiledFunctionBackward``, whose backward is compiled too. Inside, dtypes are NumPy's affair, not PyTorch's.

    >>> import numpy as np
    >>> import tracegrad as tg
    >>> double = tg.jit(lambda x: 2 * x, compile="never")
    >>> double(np.array([1.0, 2.0])), double(3.0)
    (array([2., 4.]), np.float64(6.0))
    >>> double.stats.traces
    2
    >>> mine = np.empty(2)
    >>> double(np.array([1.0, 2.0]), out=mine) is mine, mine
    (True, array([2., 4.]))
    >>> double(tg.tensor([1.0, 2.0], requires_grad=True))
    tensor([2., 4.], grad_fn=<CompiledFunctionBackward>)
    """

    __tracegrad_compiled__ = True
    __name__: str

    def __init__(self, family: Family, want: str, part_of: tuple[Compiled[Any, Any], str] | None = None) -> None:
        self._part_of = part_of
        self._family = family
        self._want = want
        self._programs: dict[Any, Bound] = {}
        self._callers: tuple[Caller, ...] = ()
        self._direct: dict[Any, Direct] = {}
        self._prepared: dict[Any, tuple[tuple[Bound, Settings, bool], Caller | None]] = {}
        self._static: dict[Any, tuple[int, ...]] = {}
        self.derived: dict[Any, Any] = {}
        """What transforms have made of this function, so that they trace it once."""
        self._methods: dict[int, tuple[weakref.ref[Any], Compiled[Any, Any]]] = {}
        # the attributes of a function are those a person has given it; what else can be called has its own state
        attributes = ("__dict__",) if isinstance(family.function, (types.FunctionType, types.MethodType)) else ()
        functools.update_wrapper(self, family.function, updated=attributes)
        self.__call__ = self._called  # type: ignore[method-assign]  # until there is a direct caller

    def _described(self) -> list[Any]:
        """What tells this from other compiled functions of the same Python function, for traces that are kept."""
        return [self._want, repr(self._family.options)]

    @property
    def py_func(self) -> Callable[P, R]:
        """The Python function as written, which runs on plain NumPy and on Tensors."""
        return self._family.function

    @property
    def stats(self) -> Stats:
        """Traces, compiles, cache hits, kernels and seconds of each stage so far; value and gradient share them."""
        return self._family.stats

    def seen_inside(self, twin: Callable[..., Any]) -> Callable[..., Any]:
        """What a trace runs in place of this function, given the twin of its Python function."""
        if self._want == VALUE:
            return twin
        return gradient_transform(twin, self._family.options.argnums, has_aux=False, keep_value=self._want == BOTH)

    def __repr__(self) -> str:
        return f"<compiled {self._want} of {self._family.name}>"

    def _called(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Run the program for these arguments, compiling it first where they are of a new kind."""
        for caller in () if watching.get() else self._callers:
            result = caller(args, kwargs)
            if result is not MISS:
                return result
        if "out" in kwargs and not self._family.own_out:
            return self._called_into(args, kwargs)
        call = self._family.call(args, kwargs)
        if call.recorder is not None:
            return self._inlined(call, call.recorder)
        bound = self._found(call)
        return bound(call.leaves, call.tensors)

    def _called_into(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A call with ``out=``."""
        call = self._family.call(args, {name: value for name, value in kwargs.items() if name != "out"})
        if call.recorder is not None or call.tensors:
            raise TracegradError(
                "out= takes the results of a call on arrays, and this one is given tensors or is traced",
                fix="leave out= out, or pass arrays",
                where=user_frame(),
            )
        bound, out = self._found(call), kwargs["out"]
        result = bound.into(call.leaves, out)
        self._prepare_caller(bound, call, bound, out)
        return result

    def _found(self, call: Call) -> Bound:
        """The program for a call, compiled where it is of a new kind."""
        key = call.key
        static = self._static.get(key)
        if static:
            key = (key, tuple([call.leaves[k] for k in static]))
        bound = self._programs.get(key)
        if bound is None or not bound.fresh() or (bound.whole is None and (call.tensors or watching.get())):
            bound = self._bind(call, whole=watching.get())
        elif not call.tensors:
            self._prepare_caller(key, call, bound)  # from a signature's second call on
        if bound.whole is not None and bound.whole.pending is not None:
            bound.whole.pending.report()
        return bound

    def _prepare_caller(self, key: Any, call: Call, bound: Bound, out: Any = None) -> None:
        """Put the caller of a signature in front, made anew where its program or the settings have changed."""
        executable = bound.executable
        if executable is None or bound.surrounded or config.scoped.get():
            return
        made = (bound, config.process, executable.irregular)
        with self._family.lock:
            known = self._prepared.get(key)
            if known is None or known[0] != made:
                signature = Signature(
                    call,
                    bound.inputs,
                    bound.static_ints,
                    bound.captured,
                    bound.guard,
                    executable,
                    bound.result,
                    bound.draws,
                    bound.prints,
                    out,
                )
                known = self._prepared[key] = (made, make_caller(signature))
                self._prepare_direct(key, signature)
            if known[1] is not None:
                others = [caller for caller in self._callers if caller is not known[1]]
                self._callers = (known[1], *others[: MOST_CALLERS - 1])

    def step_aside(self) -> None:
        """Forget the callers of repeated calls, which run without looking around; calls to come make them anew."""
        with self._family.lock:
            self._direct, self._prepared, self._callers = {}, {}, ()
            self.__call__ = self._called  # type: ignore[method-assign]

    def _prepare_direct(self, key: Any, signature: Signature) -> None:
        """Put the direct callers of this signature and of the latest others in front of everything."""
        self._direct.pop(key, None)
        config.ahead.add(self)
        made = make_direct(signature)
        if made is not None:
            self._direct[key] = made
        latest = list(self._direct.items())[-MOST_DIRECT:]
        self._direct = dict(latest)
        front: Callable[..., Any] = self._called
        for _, direct in latest:
            front = direct.before(front)
        self.__call__ = front  # type: ignore[method-assign]

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> str | tuple[Any, ...]:
        # like a function: by name; pickle itself says so where the name leads elsewhere, as for lambdas
        if self._part_of is not None:
            return getattr, self._part_of
        return str(getattr(self, "__qualname__", self._family.name))

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        known = self._methods.get(id(instance))
        if known is not None and known[0]() is instance:
            return known[1]
        family = Family(types.MethodType(self._family.function, instance), self._family.options)
        bound = type(self)(family, self._want)
        forget = self._methods.pop
        key = id(instance)
        self._methods[key] = (weakref.ref(instance, lambda _: forget(key, None)), bound)
        return bound

    # -- building --------------------------------------------------------------------------------------------------

    def _traced_key(self, call: Call) -> tuple[Traced, Any]:
        """The trace of a call and its full key, values of structural ints included."""
        key = call.key
        static = self._static.get(key, ())
        traced = self._family.trace(call, (key, tuple(call.leaves[k] for k in static)) if static else key)
        if traced.static_ints != static:
            self._static[key] = traced.static_ints
            static = traced.static_ints
            self._family.traces[(key, tuple(call.leaves[k] for k in static))] = traced
            self._family.traces.pop(key, None)
        return traced, (key, tuple(call.leaves[k] for k in static)) if static else key

    def _recalled(self, call: Call) -> Bound | None:
        """The program for a call whose trace an earlier process has kept; None where there is none that holds."""
        record = records.find(self._family, self._want, call)
        if record is None:
            return None
        stats = self._family.stats
        stats.kernels, stats.recalls = record.kernels, stats.recalls + 1
        stats.spent("compile", record.loaded.seconds)
        if record.loaded.from_cache:
            stats.cache_hits += 1
        else:
            stats.compiles += 1
        self._static[call.key] = record.static_ints
        key = (call.key, tuple(call.leaves[k] for k in record.static_ints)) if record.static_ints else call.key
        guard, captured = Guard(record.recalled.reads), record.recalled.captured
        plain = record.inputs == tuple(range(len(call.leaves))) and not captured
        result = record.output_tree if self._want == VALUE else differentiated(self._family, self._want, call)
        executable = record.executable
        run = executable.bind()
        prints = self._prints(record.output_tree, record.prints)
        bound = Bound(
            guard, record.inputs, captured, record.draws, prints, record.static_ints, result, executable, run, plain, None
        )
        self._programs[key] = bound
        return bound

    def _bind(self, call: Call, whole: bool = False) -> Bound:
        """The program for a call, compiled by one thread while others wait; ``whole`` with its trace."""
        with self._family.lock:
            if not whole:
                static = self._static.get(call.key, ())
                known = self._programs.get((call.key, tuple(call.leaves[k] for k in static)) if static else call.key)
                if known is None or not known.fresh():
                    known = self._recalled(call)
                if known is not None and (known.whole is not None or not call.tensors):
                    return known
            traced, key = self._traced_key(call)
            known = self._programs.get(key)
            if known is not None and known.whole is not None and known.whole.traced is traced:
                return known
            wrt, result = results_of(self._family, self._want, call, traced)
            options = self._family.options
            compilation = compile_graph(
                traced.graph,
                wrt,
                keep_value=self._want != GRADIENT,
                hidden=traced.hidden,
                native=options.native and not options.background,
                memory_budget=options.memory_budget,
                threads=options.threads,
                general=traced.general,
            )
            self._family.stats.count(compilation)
            assert compilation.run is not None
            assert compilation.joint is not None
            plain = traced.inputs == tuple(range(len(call.leaves))) and not traced.captured
            surrounded = any(on_tape(capture.read()) for capture in traced.captured)
            taped = TapedProgram(
                compilation.joint,
                native=options.native,
                threads=options.threads,
                count=self._family.stats.count,
                compilation=compilation,
                memory_budget=options.memory_budget,
                background=options.background,
            )
            made = Whole(traced, compilation, taped, surrounded)
            bound = Bound(
                traced.guard,
                traced.inputs,
                traced.captured,
                traced.draws,
                self._prints(traced.output_tree, traced.prints),
                traced.static_ints,
                result,
                compilation.executable,
                compilation.run,
                plain,
                made,
            )
            if options.background:
                interim = bound
                pending = Pending(compilation, self._family.name, lambda done: self._swap(key, call, interim, done))
                bound = replace(bound, whole=replace(made, pending=pending))
            self._programs[key] = bound
            if not surrounded:
                records.keep(self._family, self._want, call, traced, compilation)
            return bound

    def _prints(self, tree: TreeDef, prints: tuple[Print, ...]) -> Prints | None:
        """What calls print, and where in the results of the program it stands."""
        return Prints({VALUE: tree.size, BOTH: 1, GRADIENT: 0}[self._want], prints) if prints else None

    def _swap(self, key: Any, call: Call, interim: Bound, done: Compilation) -> None:
        """Put kernels in the place of the interpreter, unless what they were made for has been replaced meanwhile."""
        assert done.run is not None
        assert interim.whole is not None
        made = replace(interim.whole, compilation=done)
        with self._family.lock:
            self._family.stats.count(done, before=interim.whole.compilation.seconds)
            made.taped.use(done)
            current = self._programs.get(key)
            if current is not None and current.whole is not None and current.whole.traced is made.traced:
                self._programs[key] = replace(interim, executable=done.executable, run=done.run, whole=made)
        if not made.surrounded:
            records.keep(self._family, self._want, call, made.traced, done)

    def _inlined(self, call: Call, recorder: Recorder) -> Any:
        """The call as part of an outer trace: its graph is emitted into the outer one."""
        traced, _ = self._traced_key(call)
        wrt, result = results_of(self._family, self._want, call, traced)
        compilation = compile_graph(traced.graph, wrt, keep_value=self._want != GRADIENT, hidden=traced.hidden, native=False)
        self._family.stats.count(compilation)
        graph = compilation.joint
        assert graph is not None
        recorder.inherit(traced.reads, traced.captured)
        leaves = drawn(traced.draws, call.leaves)
        arguments = [leaves[k] for k in traced.inputs] + [held(c.read()) for c in traced.captured]
        values = inline(graph, recorder, arguments)
        prints = self._prints(traced.output_tree, traced.prints)
        if prints is not None:
            note_again(recorder, prints, [sym.id for sym in prints.among(values)])
            values = prints.without(values)
        # a trace of tensors goes on with tensors
        return result.unflatten([TracedTensor(x) for x in values] if call.tensors else list(values))

    # -- looking inside --------------------------------------------------------------------------------------------

    def _looked_up(self, args: Iterable[Any], kwargs: dict[str, Any]) -> Compilation:
        whole = self._bind(self._family.call(tuple(args), kwargs), whole=True).whole
        assert whole is not None
        return whole.finished()

    def graph(self, *args: P.args, **kwargs: P.kwargs) -> Graph:
        """The graph for these arguments after rewriting: forward, and backward where derivatives are computed.

        Takes the arguments of a call and raises what a call would raise; the function is compiled, but not run.

        >>> import numpy as np
        >>> import tracegrad as tg
        >>> double = tg.jit(lambda x: x + x, compile="never")
        >>> [node.op.name for node in double.graph(np.ones(3))]
        ['input', 'add']
        """
        result = self._looked_up(args, kwargs).graph
        assert result is not None
        return result

    def source(self, *args: P.args, **kwargs: P.kwargs) -> Text:
        """The generated source for these arguments, annotated with nodes and the lines of the function.

        Takes the arguments of a call and raises what a call would raise; TracegradError with ``compile="never"``, as then
        there is none. The result is a str that shows itself by its lines.

        >>> import numpy as np
        >>> import tracegrad as tg
        >>> source = tg.jit(lambda x: x * x).source(np.ones(3))
        >>> "t0 * t0" in source
        True
        """
        return annotate_source(self._looked_up(args, kwargs))

    def explain(self, *args: Any, profile: bool = False, **kwargs: Any) -> Text:
        """Every stage for these arguments: per kernel its nodes, its estimated work, and why others are not part of it.

        Takes the arguments of a call and raises what a call would raise. With ``profile=True`` the program is also run on
        them, for up to some seconds, and the measured time of each launch is shown; TracegradError with
        ``compile="never"``, as then there are no kernels. (An argument of the function that is itself called ``profile``
        is given by position.) The result is a str that shows itself by its lines.

        >>> import numpy as np
        >>> import tracegrad as tg
        >>> print(tg.jit(lambda x: 2 * x, compile="never").explain(np.ones(3)))
        <lambda>: from Python to the interpreter
        <BLANKLINE>
        trace (... ms)
        ...
        """
        call = self._family.call(args, kwargs)
        whole = self._bind(call, whole=True).whole
        assert whole is not None
        compilation = whole.finished()
        times: tuple[float, ...] = ()
        if profile:
            traced = whole.traced
            leaves = drawn(traced.draws, call.leaves, copies=True)
            arguments = [leaves[k] for k in traced.inputs] + [held(c.read()) for c in traced.captured]
            times = measure_launches(compilation, arguments)
        trace_seconds = self._family.stats.seconds.get("trace", 0.0)
        return explain_compilation(compilation, self._family.name, trace_seconds, times)

    def memory_plan(self, *args: P.args, **kwargs: P.kwargs) -> MemoryPlan:
        """What memory a call with these arguments takes, in bytes: arguments, results, and every block of the arena.

        Takes the arguments of a call and raises what a call would raise; TracegradError with ``compile="never"``, as then
        nothing is planned. The result prints as a table.

        >>> import numpy as np
        >>> import tracegrad as tg
        >>> plan = tg.jit(lambda x: np.tanh(x) * x).memory_plan(np.ones(1000))
        >>> print(plan)
        memory of <lambda>: 16 kB at its peak
          arguments     8 kB
          constants      0 B
          results       8 kB
          arena          0 B
        >>> plan.peak_bytes, plan.arena_bytes
        (16000, 0)
        """
        return memory_of(self._looked_up(args, kwargs), self._family.name)


class GradCompiled(Compiled[P, R]):
    """A compiled function with its derivatives; made by ``grad_compile``.

    ``graph``, ``source`` and ``explain`` show the joint program of value and gradient.

    >>> import numpy as np
    >>> import tracegrad as tg
    >>> square = tg.grad_compile(lambda x: np.sum(x * x), compile="never")
    >>> square(np.array([1.0, 2.0])), square.grad(np.array([1.0, 2.0]))
    (np.float64(5.0), array([2., 4.]))
    """

    @functools.cached_property
    def grad(self) -> Compiled[P, Any]:
        """The gradient alone, a compiled function of the same arguments.

        Its result has the structure, shapes and dtypes of the argument that is differentiated; of several positions it is a
        tuple, of several names a dict. A call raises DifferentiationError for a result that is no float scalar and for integer
        or boolean arguments.

        >>> import tracegrad as tg
        >>> tg.grad_compile(lambda p: p["a"] * p["b"], compile="never").grad({"a": 2.0, "b": 3.0})
        {'a': np.float64(3.0), 'b': np.float64(2.0)}
        """
        return Compiled(self._family, GRADIENT, (self, "grad"))

    @functools.cached_property
    def value_and_grad(self) -> Compiled[P, Any]:
        """Value and gradient from one joint program, a compiled function of the same arguments.

        Its result is ``(value, gradient)``, the gradient as ``grad`` gives it; it raises what ``grad`` raises.

        >>> import numpy as np
        >>> import tracegrad as tg
        >>> tg.grad_compile(lambda x: np.sum(x * x), compile="never").value_and_grad(np.array([1.0, 2.0]))
        (np.float64(5.0), array([2., 4.]))
        """
        return Compiled(self._family, BOTH, (self, "value_and_grad"))

    def graph(self, *args: P.args, **kwargs: P.kwargs) -> Graph:
        """The joint graph of value and gradient; ``.forward`` and ``.backward`` are its halves.

        >>> import tracegrad as tg
        >>> graph = tg.grad_compile(lambda x: x * x, compile="never").graph(3.0)
        >>> len(graph.forward), len(graph) > len(graph.forward)
        (2, True)
        """
        return Compiled.graph(self.value_and_grad, *args, **kwargs)

    def source(self, *args: P.args, **kwargs: P.kwargs) -> Text:
        """The generated source of the joint program, annotated as by ``Compiled.source``."""
        return Compiled.source(self.value_and_grad, *args, **kwargs)

    def explain(self, *args: Any, profile: bool = False, **kwargs: Any) -> Text:
        """Every stage of the joint program, as by ``Compiled.explain``."""
        return Compiled.explain(self.value_and_grad, *args, profile=profile, **kwargs)

    def memory_plan(self, *args: P.args, **kwargs: P.kwargs) -> MemoryPlan:
        """What memory a call of ``value_and_grad`` takes, as by ``Compiled.memory_plan``."""
        return Compiled.memory_plan(self.value_and_grad, *args, **kwargs)
