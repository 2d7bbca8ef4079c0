"""Linear maps: what ``vjp`` and ``linearize`` give, a graph and the values it takes, called as often as one likes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tracegrad.autodiff.argnums import checked_argnums
from tracegrad.autodiff.batch import batch
from tracegrad.autodiff.entries import entries_in_rows
from tracegrad.autodiff.inside import Leaves, Transform
from tracegrad.autodiff.linear import linear_map
from tracegrad.calls import Call, Family, Options, on_tape
from tracegrad.compiled import Compiled
from tracegrad.core.aval import Aval
from tracegrad.core.graph import Graph
from tracegrad.core.op import Kind
from tracegrad.core.source import user_frame
from tracegrad.core.tree import flatten
from tracegrad.errors import DifferentiationError, TraceError
from tracegrad.pipeline import compile_graph, kernels_made
from tracegrad.schedule.program import Program
from tracegrad.symbolic import Recorder, Sym, current_recorder
from tracegrad.trace.draws import drawn
from tracegrad.trace.inline import emit_again, inline, prune
from tracegrad.trace.prints import Prints
from tracegrad.trace.reads import held
from tracegrad.trace.tracer import Traced
from tracegrad.wants import VALUE, differentiable, wanted


@dataclass(frozen=True, slots=True)
class LinearMap:
    """A linear map from some leaves to others.

    ``graph`` takes ``residuals`` first and then the leaves of the argument; ``run`` is its program for arrays, and
    ``run_of_all(mapped, size)`` that for several arguments at once.
    """

    graph: Graph
    residuals: tuple[Any, ...]
    run: Callable[..., list[Any]]
    run_of_all: Callable[[tuple[int, ...], int], Callable[..., list[Any]]]

    def __call__(self, leaves: Sequence[Any]) -> list[Any]:
        """The leaves of the result, computed at once, or as part of the trace that is running."""
        recorder = current_recorder.get()
        if recorder is None:
            recorder = next((x.recorder for x in leaves if isinstance(x, Sym)), None)
        if recorder is None:
            return self.run([*self.residuals, *leaves])
        return list(inline(self.graph, recorder, [*self.residuals, *leaves]))

    def of_all(self, leaves: Sequence[Any], mapped: tuple[int, ...], size: int) -> list[Any]:
        """The leaves of the results for several arguments at once, with an axis of these in front.

        ``mapped`` are the positions of the leaves that have such an axis, of ``size`` elements; the others are shared.
        """
        recorder = current_recorder.get()
        if recorder is None:
            return self.run_of_all(mapped, size)([*self.residuals, *leaves])
        return list(inline(widened(self.graph, len(self.residuals), mapped, size), recorder, [*self.residuals, *leaves]))

    @property
    def largest(self) -> int:
        """How many elements the largest value has that depends on the argument, and so is another for each argument."""
        linear: dict[int, int] = {}
        for node in self.graph:
            given = node.op.kind is Kind.INPUT and node.params["position"] >= len(self.residuals)
            if given or any(i in linear for i in node.inputs):
                linear[node.id] = node.aval.size
        return max(linear.values(), default=0)


def _is_written(program: Program, node: int) -> bool:
    """Whether a result is stored by the kernels that compute it, or its parts."""
    return node in program.assembled or program.graph[node].op.kind is not Kind.VIEW


def widened(graph: Graph, residuals: int, mapped: Sequence[int], size: int) -> Graph:
    """A linear map's graph for several arguments at once; ``residuals`` is the number of values that all of them share."""
    return batch(graph, [residuals + k for k in mapped], size)


def options_of(function: Any) -> Options:
    """How a transform of a function runs: as the function does, on the interpreter where it is not compiled."""
    return function._family.options if isinstance(function, Compiled) else Options(0, (), "never")


def made_once(function: Any, key: Any, make: Callable[[], Any]) -> Any:
    """What a transform makes of a function, kept with it where that is compiled."""
    if not isinstance(function, Compiled):
        return make()
    if key not in function.derived:
        function.derived.setdefault(key, make())
    return function.derived[key]


def is_taped(tree: Any) -> bool:
    """Whether there are tensors, or boxes of ``compat``, in a pytree."""
    return any(on_tape(leaf) for leaf in flatten(tree)[0])


def as_one_node(function: Callable[..., Any], name: str, rule: functools.partial[Any]) -> Callable[..., Any]:
    """What a transform does in a trace, as one node of the tape: ``rule`` is run in the trace of a function of its own.

    Kept with ``function`` where that is compiled, under all that tells the rule from others: it is a function of a module,
    and what it depends on are the arguments of the ``partial``.
    """
    if rule.func.__closure__:
        raise ValueError(f"{rule.func.__qualname__} is a closure, and closures of one name are not told apart")
    made: Callable[..., Any] = made_once(
        function,
        ("tape", name, rule.func, rule.args, tuple(sorted(rule.keywords.items()))),
        lambda: Compiled(Family(Transform({"function": function}, rule, name), options_of(function)), VALUE),
    )
    return made


def linearised(function: Callable[..., Any], argnums: Any, has_aux: bool) -> Linearised:
    """The derivatives of a function at arrays."""
    numbers = checked_argnums(argnums)
    made: Linearised = made_once(function, (numbers, has_aux), lambda: Linearised(function, numbers, has_aux))
    return made


def map_inside(recorder: Recorder, variables: Sequence[Leaves], outputs: Leaves, forward: bool) -> LinearMap:
    """The derivative of what the running trace has computed."""
    wrt = [i for leaves in variables for i in leaves.ids]
    joint, part, residuals = linear_map(recorder.graph, wrt, outputs.ids, forward)
    known = {node.id: node.id for node in recorder.graph}
    ids = emit_again(joint, recorder.graph, known, residuals)
    return LinearMap(part, tuple(Sym(recorder, ids[i]) for i in residuals), _called_too_late, _called_too_late)


def _called_too_late(*arguments: Any) -> Any:
    raise TraceError(
        "a derivative of a trace was called after the trace had ended",
        fix="call it inside of the traced function, or take tg.vjp or tg.linearize outside of it",
        where=user_frame(),
    )


@dataclass(frozen=True, slots=True)
class Point:
    """A function at given arguments: its result, and its derivative there in one direction.

    ``variables`` are the leaves of each argument, ``outputs`` those of the result; ids mean nothing.
    """

    result: Any
    variables: tuple[Leaves, ...]
    outputs: Leaves
    aux: Any
    derivative: LinearMap


@dataclass(frozen=True, slots=True)
class _Program:
    traced: Traced
    outputs: Leaves
    first: Callable[..., list[Any]]
    residuals: int
    part: Graph
    second: Callable[..., list[Any]]
    of_all: Callable[[tuple[int, ...], int], Callable[..., list[Any]]]
    at_once: Callable[[Sequence[Any], int], Callable[..., list[Any]]]
    entries: Callable[[Any], Callable[..., list[Any]] | None]


@dataclass(frozen=True, slots=True)
class AtOnce:
    """What a derivative makes of given arguments, as one program of the function's own: ``run(arrays)``."""

    traced: Traced
    run: Callable[..., list[Any]]

    def fresh(self) -> bool:
        """Whether the function would be traced as it was."""
        return self.traced.guard.fresh()

    def __call__(self, arrays: Sequence[Any]) -> list[Any]:
        """The leaves of the results, with an axis of the given arguments in front."""
        captured = self.traced.captured
        return self.run([*arrays, *(held(c.read()) for c in captured)] if captured else arrays)


class Linearised:
    """The derivatives of a function at arrays, traced once for each kind of arguments.

    Parameters
    ----------
    function: a function of NumPy arrays, or a compiled one.
    argnums: the arguments that are differentiated.
    has_aux: whether the result is a pair of what is differentiated and what comes along.
    """

    def __init__(self, function: Callable[..., Any], argnums: Any, has_aux: bool) -> None:
        numbers = checked_argnums(argnums)
        self.options = replace(options_of(function), argnums=numbers)
        self.function = function
        self.has_aux = has_aux
        self.compiled: Compiled[..., Any] = Compiled(Family(function, self.options), VALUE)
        self._programs: dict[Any, _Program] = {}

    def avals(self, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[Sequence[Aval], Sequence[Aval]]:
        """What is differentiated with respect to, and what is differentiated."""
        call, traced, _ = self._traced(args, kwargs)
        inputs = [traced.graph[i].aval for leaves in self._variables(call, traced) for i in leaves.ids]
        return inputs, self._outputs(traced).avals

    def at(self, args: Sequence[Any], kwargs: dict[str, Any], forward: bool) -> Point:
        """Result and derivative for these arguments."""
        call, traced, key = self._traced(args, kwargs)
        variables = self._variables(call, traced)
        program = self._programs.get((key, forward))
        if program is None or program.traced is not traced:
            program = self._programs[key, forward] = self._built(traced, variables, forward)
        leaves = drawn(traced.draws, call.leaves)
        values = [leaves[k] for k in traced.inputs] + [held(c.read()) for c in traced.captured]
        found = program.first(values)
        count = len(found) - program.residuals
        shown = Prints(traced.output_tree.size, traced.prints)
        result, aux = traced.output_tree.unflatten(shown.take(found[:count])), None
        if self.has_aux:
            result, aux = result
        derivative = LinearMap(program.part, tuple(found[count:]), program.second, program.of_all)
        return Point(result, variables, program.outputs, aux, derivative)

    def at_once(self, arrays: Sequence[Any], forward: bool, given: Sequence[Any], size: int) -> AtOnce | None:
        """The program for arguments like these that applies the derivative to ``given``, stacks of ``size`` leaves.

        Values and derivative are one graph there, of which what the result needs is computed. None where a call does more
        than to pass its arrays on: where it draws or prints.
        """
        program = self._passing_on(arrays, forward)
        return None if program is None else AtOnce(program.traced, program.at_once(given, size))

    def entries(self, arrays: Sequence[Any], structure: Any) -> AtOnce | None:
        """The program for arguments like these that computes the elements of a Jacobian of this structure, row by row.

        None where ``at_once`` has none, nor where they are not elements of one array with respect to one, computed by native
        code, and all of its rows much alike.
        """
        program = self._passing_on(arrays, forward=True)
        run = None if program is None else program.entries(structure)
        return None if program is None or run is None else AtOnce(program.traced, run)

    def _passing_on(self, arrays: Sequence[Any], forward: bool) -> _Program | None:
        """The program for arrays, None where a call does more than to pass them on."""
        _, traced, key = self._traced(arrays, {})
        program = self._programs.get((key, forward))
        plain = traced.inputs == tuple(range(len(arrays))) and not traced.static_ints
        if program is None or program.traced is not traced or traced.draws or traced.prints or not plain:
            return None
        return program

    def _traced(self, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[Call, Traced, Any]:
        family = self.compiled._family
        call = family.call(tuple(args), kwargs)
        if call.tensors or call.recorder is not None:
            raise TraceError(
                f"a derivative of {family.name} at tensors was asked for, and what it gives is of SciPy, which takes arrays",
                fix="pass x.detach().numpy(), or take tg.jacobian, tg.jvp or tg.vjp",
                where=user_frame(),
            )
        with family.lock:
            return call, *self.compiled._traced_key(call)

    def _variables(self, call: Call, traced: Traced) -> tuple[Leaves, ...]:
        nodes = {leaf: node.id for leaf, node in zip(traced.inputs, traced.graph.inputs, strict=False)}
        made = []
        for start, leaves, structure, root in wanted(self.compiled._family, call):
            paths = structure.paths(root)
            ids = tuple(differentiable(traced, nodes, start + k, path, leaves[k]) for k, path in enumerate(paths))
            made.append(Leaves(structure, ids, tuple(traced.graph[i].aval for i in ids), paths))
        return tuple(made)

    def _outputs(self, traced: Traced) -> Leaves:
        root = f"the result of {self.compiled._family.name}"
        spec, ids = traced.output_tree.spec, traced.graph.outputs[: traced.output_tree.size]
        structure = traced.output_tree
        if self.has_aux:
            if spec is ... or spec[0] is not tuple or len(spec[2]) != 2:
                raise DifferentiationError(
                    f"has_aux=True, but {self.compiled._family.name} returns no pair",
                    fix="return (value, aux): first what is differentiated, then what comes along",
                    where=user_frame(),
                )
            structure = structure.part(0)
            ids = ids[: structure.size]
        return Leaves(structure, ids, tuple(traced.graph[i].aval for i in ids), structure.paths(root))

    def _built(self, traced: Traced, variables: tuple[Leaves, ...], forward: bool) -> _Program:
        graph, outputs = traced.graph, self._outputs(traced)
        wrt = [i for leaves in variables for i in leaves.ids]
        joint, part, residuals = linear_map(graph, wrt, outputs.ids, forward)
        whole, _ = prune(joint.freeze(()), (*graph.outputs, *residuals), len(graph.inputs))
        native = self.options.native and not self.options.background
        compiled = functools.partial(compile_graph, native=native, threads=self.options.threads)
        first = compiled(whole).run
        assert first is not None

        @functools.cache
        def second() -> Callable[..., list[Any]]:
            run = compiled(part).run
            assert run is not None
            return run

        def run_second(arguments: Sequence[Any]) -> list[Any]:
            return second()(arguments)  # compiled when it is first called

        @functools.lru_cache(maxsize=8)
        def of_all(mapped: tuple[int, ...], size: int) -> Callable[..., list[Any]]:
            run = compiled(widened(part, len(residuals), mapped, size)).run
            assert run is not None
            return run

        def at_once(given: Sequence[Any], size: int) -> Callable[..., list[Any]]:
            both = Graph(joint)
            recorder = Recorder(both, lambda: None)
            wide = widened(part, len(residuals), range(len(given)), size)
            found = inline(wide, recorder, [*(Sym(recorder, i) for i in residuals), *given])
            run = compiled(prune(both.freeze(()), [sym.id for sym in found], len(graph.inputs))[0]).run
            assert run is not None
            return run

        def entries(structure: Any) -> Callable[..., list[Any]] | None:
            if not native or not forward or len(part.inputs) != len(residuals) + 1:
                return None
            both = Graph(joint)
            recorder = Recorder(both, lambda: None)
            given = {node.id: Sym(recorder, i) for node, i in zip(part.inputs, residuals, strict=False)}
            found = entries_in_rows(part, given, recorder, structure)
            if found is None:
                return None
            whole = prune(both.freeze(()), [found.id], len(graph.inputs))[0]
            made = compile_graph(whole, native=False, threads=self.options.threads)
            for stage in kernels_made(made):
                made = stage
                # a view put together element by element takes eight times as long as to pick the elements
                if stage.program is not None and not all(_is_written(stage.program, i) for i in stage.program.results):
                    return None
            return made.run

        return _Program(traced, outputs, first, len(residuals), part, run_second, of_all, at_once, entries)
