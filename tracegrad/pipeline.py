"""The compiler: named stages from a forward graph to an executable.

The text of the kernels comes before the memory plan: it depends on no size, while scratch sizes are known to the kernels
only.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tracegrad.autodiff.reverse import differentiate
from tracegrad.codegen.alike import verify_texts
from tracegrad.codegen.entry import Generated
from tracegrad.codegen.plan import Plan, plan_program
from tracegrad.codegen.render import generate
from tracegrad.config import config
from tracegrad.core.graph import Graph, Node
from tracegrad.core.interpret import interpret
from tracegrad.core.op import Kind
from tracegrad.core.verify import verify
from tracegrad.errors import CompileError, ShapeError
from tracegrad.ops.unit_axes import many_of_one, plain_sizes
from tracegrad.rewrite.engine import Fired, rewriting
from tracegrad.rewrite.planes import has_planes, into_planes
from tracegrad.runtime.executable import Executable
from tracegrad.runtime.load import LoadedProgram, load_program
from tracegrad.schedule.chain import chain_kernels
from tracegrad.schedule.inplace import assembling_kernels, place_parts
from tracegrad.schedule.plan import schedule, verify_program
from tracegrad.schedule.program import Program
from tracegrad.schedule.recompute import Choice, Cut, choices, computed_again, cut_program, marked_choice, without_marks
from tracegrad.trace.inline import without_derivatives

Run = Callable[..., list[Any]]


@dataclass(frozen=True, slots=True)
class Compilation:
    """What each stage made; a field is set by the stage of its name.

    ``wrt`` are the input nodes to differentiate with respect to, None for a forward program; ``keep_value`` says whether
    the value is a result of a differentiated program, ``hidden`` of them, the last ones, are so in any case;
    ``memory_budget`` is as in ``grad_compile``; ``threads`` bounds the threads of a kernel. ``graph`` is what runs on
    arrays and is shown; ``general``, of the same nodes, is what kernels are made of: there, batches of one are axes like
    any other. ``phases`` are the ids that divide a graph in which values are computed again, ``recomputed`` the number of
    those values. ``seconds`` is the time of each stage.
    """

    forward: Graph
    wrt: tuple[int, ...] | None = None
    keep_value: bool = True
    hidden: int = 0
    memory_budget: int | float | None = None
    threads: int | None = None
    joint: Graph | None = None
    graph: Graph | None = None
    general: Graph | None = None
    fired: tuple[Fired, ...] = ()
    phases: tuple[int, ...] = ()
    recomputed: int = 0
    program: Program | None = None
    generated: Generated | None = None
    plan: Plan | None = None
    loaded: LoadedProgram | None = None
    executable: Executable | None = None
    run: Run | None = None
    seconds: dict[str, float] = field(default_factory=dict)


def _differentiate(c: Compilation) -> Compilation:
    # what a person has written a derivative for is traced for these sizes
    general = c.forward if without_derivatives(c.forward) is not c.forward else c.general
    if general is None:
        forward, new = many_of_one(c.forward)
    else:
        forward = general
        new = {a.id: b.id for a, b in zip(c.forward.inputs, forward.inputs, strict=True)}
    if c.wrt is None:
        return replace(c, joint=plain_sizes(forward), general=without_derivatives(forward))
    joint = differentiate(forward, tuple(new[i] for i in c.wrt))
    if not c.keep_value:
        kept = Graph(joint)
        joint = kept.freeze(joint.outputs[joint.primal_outputs - c.hidden :], primal_outputs=c.hidden)
    return replace(c, joint=plain_sizes(joint), general=without_derivatives(joint))


def _rewrite(c: Compilation) -> Compilation:
    assert c.general is not None
    result = rewriting(c.general)
    return replace(c, graph=plain_sizes(result.graph), general=result.graph, fired=result.log)


def _planes(c: Compilation) -> Compilation:
    """A graph of reals in the place of one with complex numbers, which the interpreter goes on with."""
    assert c.general is not None
    if not has_planes(c.general):
        return c
    made = _taken_apart(c.general)
    result = rewriting(made)
    return replace(c, graph=plain_sizes(result.graph), general=result.graph, fired=result.log)


def _taken_apart(graph: Graph) -> Graph:
    made = into_planes(graph)
    if isinstance(made, Node):
        raise CompileError(
            f"{made.op.name} of complex numbers has no native code, so this function cannot be compiled",
            fix='run its graph on the interpreter with compile="never"',
            where=made.where,
        )
    return made


def _recompute(c: Compilation) -> Compilation:
    """Compute values again instead of keeping them, as much as the memory budget asks for."""
    assert c.general is not None
    bare, marks = without_marks(c.general)
    if bare is not c.general:
        c = replace(c, graph=plain_sizes(bare), general=bare)
    found = marked_choice(schedule(bare), marks) if marks.inside else None
    if c.memory_budget is None:
        return c if found is None else _computed_again(c, *found)
    first = _planned(c)
    budget = c.memory_budget if isinstance(c.memory_budget, int) else int(c.memory_budget * _arena(first))
    cut = cut_program(schedule(bare)) if _arena(first) > budget else None
    best = c if found is None else _computed_again(c, *found)
    least = _arena(_planned(best))
    for choice in choices(cut) if cut is not None else ():
        assert cut is not None
        tried = _computed_again(c, cut, choice)
        arena = _arena(_planned(tried))
        if arena < least:
            least, best = arena, tried
        if arena <= budget:
            break
    if least > budget and isinstance(c.memory_budget, int):
        raise CompileError(
            f"memory_budget={c.memory_budget} bytes cannot be met: values between the kernels take at least {least} bytes",
            fix=f"allow {least}, or give a fraction: memory_budget=0.0 takes as little as computing again can save",
        )
    return best


def _computed_again(c: Compilation, cut: Cut, choice: Choice) -> Compilation:
    graph, phases = computed_again(cut, choice)
    return replace(c, graph=plain_sizes(graph), general=graph, phases=phases, recomputed=len(choice.again))


def _planned(c: Compilation) -> Compilation:
    return _plan_memory(_generate(_schedule(c)))


def _arena(c: Compilation) -> int:
    assert c.plan is not None
    return c.plan.arena_bytes


def _schedule(c: Compilation) -> Compilation:
    assert c.graph is not None
    assert c.general is not None
    require_native(c.graph)
    program = schedule(c.general, c.phases)
    if not c.phases:
        program = chain_kernels(program, assembling_kernels(program))
    program = place_parts(program)
    return replace(c, program=verify_program(program) if config.verify else program)


def require_native(graph: Graph) -> None:
    """Refuse, by the user's line, a graph whose results need an op that has no native code."""
    without = interpreted(_taken_apart(graph) if has_planes(graph) else graph)
    if not without:
        return
    names = list(dict.fromkeys(node.op.name for node in without))
    others = f" (nor do {', '.join(names[1:])})" if len(names) > 1 else ""
    raise CompileError(
        f"{names[0]} has no native code{others}, so this function cannot be compiled",
        fix='run its graph on the interpreter with compile="never", or call the Python function with eager tensors (tg.tensor)',
        where=without[0].where,
    )


def interpreted(graph: Graph) -> tuple[Node, ...]:
    """The nodes that the results need and that only the interpreter can run."""
    needed = graph.ancestors(graph.outputs)
    return tuple(node for node in graph if node.id in needed and node.op.lower is None and node.inputs)


def _generate(c: Compilation) -> Compilation:
    assert c.program is not None
    generated = generate(c.program)
    if config.verify:
        verify_texts(c.program, {launch.kernel: launch.text for launch in generated.launches})
    return replace(c, generated=generated)


def _plan_memory(c: Compilation) -> Compilation:
    assert c.program is not None
    assert c.generated is not None
    return replace(c, plan=plan_program(c.program, c.generated))


def _compile(c: Compilation) -> Compilation:
    assert c.generated is not None
    source, arguments = c.generated.source, c.generated.entry_arguments
    loaded = load_program(source, arguments, config.cache_dir, config.cache_limit_bytes, c.generated.row)
    executable = _executable(c, loaded)
    return replace(c, loaded=loaded, executable=executable, run=executable.bind())


STAGES: tuple[tuple[str, Callable[[Compilation], Compilation]], ...] = (
    ("differentiate", _differentiate),
    ("rewrite", _rewrite),
    ("planes", _planes),
    ("recompute", _recompute),
    ("schedule", _schedule),
    ("generate", _generate),
    ("plan memory", _plan_memory),
    ("compile", _compile),
)
"""The stages behind ``trace`` and before ``call``. These names are used wherever a stage is mentioned."""

ON_GRAPHS = ("differentiate", "rewrite")
"""The stages after which the interpreter can run."""


def compile_graph(
    forward: Graph,
    wrt: tuple[int, ...] | None = None,
    *,
    keep_value: bool = True,
    hidden: int = 0,
    native: bool = True,
    memory_budget: int | float | None = None,
    threads: int | None = None,
    general: Graph | None = None,
) -> Compilation:
    """Run a traced graph through all stages.

    Parameters
    ----------
    forward: a frozen graph.
    wrt: input nodes to differentiate output 0 with respect to; None for the values alone.
    keep_value: whether the outputs of the forward graph are results beside the gradients.
    hidden: how many of those outputs, the last ones, are results in any case.
    native: False stops before kernels are made and runs the graph on the interpreter.
    memory_budget: bytes, or a fraction of what the program takes without a budget, for values between the kernels.
    threads: how many threads a kernel may use at most.
    general: the same values as those of ``forward``, with sizes and numbers marked that count the elements of an axis.

    Raises CompileError where the budget in bytes cannot be met.
    """
    begun = Compilation(forward, wrt, keep_value, hidden, memory_budget, threads, general=general)
    try:
        done = functools.reduce(_staged, ON_GRAPHS, begun)
    except (ShapeError, AssertionError):
        # a rule that takes sizes apart may lose what a batch of one is seen as; it then gets a program of its own
        if config.verify or (general is None and many_of_one(forward)[0] is forward):
            raise
        done = functools.reduce(_staged, ON_GRAPHS, replace(begun, general=forward))
    assert done.graph is not None
    done = replace(done, run=functools.partial(interpret, done.graph))
    if native:
        *_, done = kernels_made(done)
    return done


def kernels_made(done: Compilation) -> Iterator[Compilation]:
    """The stages that make kernels, for a compilation that stopped before them; what there is after each of them.

    Raises CompileError where an op has no native code.
    """
    for name, _ in STAGES:
        if name not in ON_GRAPHS:
            done = _staged(done, name)
            yield done


def _staged(done: Compilation, name: str) -> Compilation:
    """One stage, timed and verified."""
    began = time.perf_counter()
    done = dict(STAGES)[name](done)
    done = replace(done, seconds={**done.seconds, name: time.perf_counter() - began})
    if config.verify:
        for graph_made in (done.joint, done.general, done.graph):
            if graph_made is not None:
                verify(graph_made, name)
    return done


def _executable(c: Compilation, loaded: LoadedProgram) -> Executable:
    assert c.graph is not None
    assert c.program is not None
    assert c.generated is not None
    assert c.plan is not None
    graph, parameters = c.graph, c.generated.parameters
    inputs = [p for p in parameters if p.role == "input"]
    outputs = [p.node for p in parameters if p.role == "output"]
    results = c.program.results
    avals = [graph[graph.outputs[results.index(i)]].outside for i in outputs]
    checking = [n for n in graph if n.op.kind in (Kind.INDEX, Kind.LINE, Kind.MATRIX)] if c.plan.checked else []
    return Executable(
        entry=loaded.entry,
        picks=tuple(graph[p.node].params["position"] for p in inputs),
        constants=tuple(np.ascontiguousarray(graph[p.node].params["value"].value) for p in parameters if p.role == "constant"),
        outputs=tuple((aval.shape or (1,), aval.dtype) for aval in avals),
        results=tuple(
            (outputs.index(i), bool(avals[outputs.index(i)].shape), k != results.index(i)) for k, i in enumerate(results)
        ),
        avals=tuple(graph[p.node].outside for p in inputs),
        plan=c.plan.words,
        arena_bytes=c.plan.arena_bytes,
        threaded=c.plan.threaded,
        threads=c.threads,
        places={n.id: (n.op.name, n.where) for n in checking},
    )
