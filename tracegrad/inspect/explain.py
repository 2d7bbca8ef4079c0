"""A readable account of every stage of a compilation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from tracegrad.core.graph import Graph, Node
from tracegrad.inspect.memory import size_text
from tracegrad.inspect.profile import counted
from tracegrad.inspect.text import Text
from tracegrad.pipeline import STAGES, Compilation, interpreted
from tracegrad.rewrite.planes import has_planes
from tracegrad.schedule.cost import kernel_work
from tracegrad.schedule.program import Kernel, Level, Program

TRACE = "trace"
POWERS = ("", "k", "M", "G", "T")


def explain_compilation(
    compilation: Compilation, name: str, trace_seconds: float, launch_seconds: Sequence[float] = ()
) -> Text:
    """The stages of a compilation in order: what each made, how long it took, and why values did not share a kernel.

    ``launch_seconds`` are the measured times of its launches; they are shown with the stage that made them.
    """
    lines = [f"{name}: from Python to {_end(compilation)}", ""]
    lines += [_heading(TRACE, trace_seconds), *_indented(_counted(compilation.forward)), ""]
    sections = {
        "differentiate": _differentiate,
        "rewrite": _rewrite,
        "planes": _planes,
        "recompute": _recompute,
        "schedule": _schedule,
        "generate": _generate,
        "plan memory": _plan_memory,
        "compile": _compile,
    }
    for stage, _ in STAGES:
        if stage == "generate" and launch_seconds:
            sections[stage] = lambda c: _generate(c, launch_seconds)
        if stage in compilation.seconds and (stage != "planes" or has_planes(compilation.joint or compilation.forward)):
            lines += [
                _heading(stage, compilation.seconds[stage]),
                *_indented("\n".join(sections[stage](compilation))),
                "",
            ]
    return Text("\n".join(lines))


def _end(c: Compilation) -> str:
    return "one native call" if c.loaded is not None else "the interpreter"


def _heading(stage: str, seconds: float) -> str:
    return f"{stage} ({seconds * 1e3:.1f} ms)"


def _indented(text: str) -> list[str]:
    return [f"  {line}" for line in text.splitlines()]


def _counted(graph: Graph) -> str:
    needed = graph.ancestors(graph.outputs)
    kinds = Counter(n.op.name for n in graph if n.id in needed)
    listed = ", ".join(f"{count} {op}" for op, count in sorted(kinds.items(), key=lambda item: (-item[1], item[0])))
    return f"{len(needed)} nodes: {listed}"


def _differentiate(c: Compilation) -> Iterator[str]:
    if c.wrt is None:
        yield "no derivatives asked for"
        return
    assert c.joint is not None
    yield f"with respect to {', '.join(f'%{i}' for i in c.wrt)}"
    yield _counted(c.joint)


def _rewrite(c: Compilation) -> Iterator[str]:
    assert c.graph is not None
    fired = Counter((f.stage, f.rule) for f in c.fired)
    for (stage, rule), count in sorted(fired.items()):
        yield f"{stage}: {rule} ×{count}"
    yield _counted(c.graph)
    yield from str(c.graph).splitlines()
    # of complex numbers ops without native code of their own become planes
    found = () if has_planes(c.graph) else interpreted(c.graph)
    yield from (f"only on the interpreter: {_brief(node)} has no native code" for node in found)


def _planes(c: Compilation) -> Iterator[str]:
    assert c.joint is not None
    count = sum(n.aval.dtype.kind == "c" for n in c.joint)
    yield f"{count} complex values are two real ones each; what is shown above is rewritten from these"


def _recompute(c: Compilation) -> Iterator[str]:
    if c.memory_budget is None:
        yield "no memory budget: what a later kernel needs is kept"
        return
    asked = (
        f"{c.memory_budget} bytes" if isinstance(c.memory_budget, int) else f"{c.memory_budget:.0%} of what keeping it takes"
    )
    yield f"memory budget of {asked}: {c.recomputed} values are computed again, in {len(c.phases)} phases"


def _schedule(c: Compilation) -> Iterator[str]:
    assert c.program is not None
    homes = {n: label for label, kernel in _labelled(c.program) for n in kernel.nodes if kernel.chain is None}
    left_out = _left_out(c.program, homes)
    inside = c.program
    for label, kernel in _labelled(c.program):
        if kernel.chain is not None:
            inside = replace(c.program, stored=c.program.stored | kernel.chain.stored)
        member = "." in label
        for line in (*_kernel(inside if member else c.program, label, kernel), *left_out.get(label, ())):
            yield f"  {line}" if member else line


def _labelled(program: Program) -> Iterator[tuple[str, Kernel]]:
    """The kernels by number, those of chain 3 as 3.0, 3.1 and so on."""
    for number, kernel in enumerate(program.kernels):
        yield str(number), kernel
        if kernel.chain is not None:
            yield from ((f"{number}.{k}", member) for k, member in enumerate(kernel.chain.kernels))


def _left_out(program: Program, homes: Mapping[int, str]) -> dict[str, list[str]]:
    """For each kernel the values it reads from another one, and why that one did not become part of it."""
    graph = program.graph
    found: dict[str, list[str]] = {}
    seen = set()
    for u in program.unfused:
        maker, reader = homes.get(u.producer), homes.get(u.consumer)
        if maker is None or reader is None or maker == reader or (u.producer, reader) in seen:
            continue
        seen.add((u.producer, reader))
        producer = f"{_brief(graph[u.producer])} (kernel {maker})"
        found.setdefault(reader, []).append(f"  not fused: {producer} into {_brief(graph[u.consumer])}: {u.reason}")
    return found


def _brief(node: Node) -> str:
    place = f" at line {node.where.line}" if node.where is not None else ""
    return f"%{node.id} {node.op.name}{place}"


def _kernel(program: Program, label: str, kernel: Kernel) -> Iterator[str]:
    graph = program.graph
    work = kernel_work(program, kernel)
    estimate = f"reads {size_text(work.read)}, writes {size_text(work.written)}, {count_text(work.flops)}flops"
    threads = ", over threads" if kernel.parallel else ""
    if kernel.chain is not None:
        blocks = f"{kernel.chain.blocks} block{'s' if kernel.chain.blocks > 1 else ''}"
        yield f"kernel {label}: a chain over {kernel.chain.rows} rows, in {blocks}{threads}"
        yield f"  estimated: {estimate}"
        return
    if kernel.part is None:
        assert kernel.template is not None
        node = graph[kernel.template]
        yield f"kernel {label}: {node.op.name} {node.aval}, a template of its own"
        yield f"  estimated: {estimate}"
        return
    part = kernel.part
    reduced = f", reducing axes {part.axes}" if part.axes else ""
    passes = f", {len(part.loops)} passes" if len(part.loops) > 1 else ""
    yield f"kernel {label}: {len(part.nodes)} nodes over {part.shape}{reduced}{passes}{threads}"
    yield f"  estimated: {estimate}"
    for n in part.nodes:
        level = part.levels[n]
        kept = " (stored)" if n in program.stored else " (a row kept)" if n in part.spilled else ""
        note = "" if level is Level.FULL else f" [{level.value}]"
        yield f"  {graph[n]!r}{note}{kept}"


def _generate(c: Compilation, seconds: Sequence[float] = ()) -> Iterator[str]:
    assert c.generated is not None
    assert c.program is not None
    yield f"{c.generated.kernels} different kernels, {len(c.generated.steps)} launches, {c.generated.words} table words"
    times = iter(seconds)
    for step in c.generated.steps:
        first = step.launches[0]
        way = "over threads" if any(launch.text.parallel for launch in step.launches) else "serially"
        numbers = ", ".join(str(launch.kernel) for launch in step.launches)
        chunks = sum(launch.text.chunks for launch in step.launches)
        own = [next(times) for _ in counted(step)] if seconds else []
        kernels = [c.program.kernels[launch.kernel] for launch in step.launches]
        measured = _measured(c.program, kernels, sum(own), sum(seconds)) if seconds else ""
        yield f"{first.name} for kernel {numbers}: {chunks} chunks, run {way}{measured}"
        chain = kernels[0].chain
        if seconds and chain is not None:
            inside = replace(c.program, stored=c.program.stored | chain.stored)
            for k, member in enumerate(chain.kernels):
                yield f"  kernel {numbers}.{k}: {_measured(inside, [member], own[k], sum(seconds))[2:]}"


def _measured(program: Program, kernels: Sequence[Kernel], own: float, whole: float) -> str:
    """The time of a launch, its share of all, and what that makes of the estimates."""
    text = f"; measured {own * 1e6:.1f} µs, {own / whole if whole else 0:.0%} of the call"
    if not own:
        return text
    work = [kernel_work(program, kernel) for kernel in kernels]
    rate = sum(w.read + w.written for w in work) / own
    return f"{text}, {size_text(rate)}/s, {count_text(sum(w.flops for w in work) / own)}flops/s"


def count_text(count: float) -> str:
    """A number as a person reads it, to stand before a unit.

    >>> count_text(64), count_text(2_500_000)
    ('64 ', '2.5 M')
    """
    power = 0
    while count >= 999.5 and power < len(POWERS) - 1:
        count /= 1000
        power += 1
    return f"{count:.3g} {POWERS[power]}"


def _plan_memory(c: Compilation) -> Iterator[str]:
    assert c.plan is not None
    assert c.program is not None
    yield f"arena of {c.plan.placement.nbytes} bytes; {c.plan.placement.live_bytes} live at once"
    for key, offset in sorted(c.plan.placement.offsets.items(), key=lambda item: item[1]):
        if isinstance(key, tuple):
            yield f"byte {offset}: scratch of kernel {key[0]}"
        else:
            yield f"byte {offset}: {_brief(c.program.graph[key]) if isinstance(key, int) else key}"


def _compile(c: Compilation) -> Iterator[str]:
    assert c.loaded is not None
    yield ("loaded from the cache" if c.loaded.from_cache else "compiled") + f" in {c.loaded.seconds * 1e3:.0f} ms"
    yield f"file {c.loaded.path or 'in memory only'}"
