"""A readable account of every stage of a compilation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tracegrad.core.graph import Graph, Node
from tracegrad.inspect.text import Text
from tracegrad.pipeline import STAGES, Compilation, interpreted
from tracegrad.schedule.program import Kernel, Level, Program

TRACE = "trace"


def explain_compilation(compilation: Compilation, name: str, trace_seconds: float) -> Text:
    """The stages of a compilation in order: what each made, how long it took, and why values did not share a kernel."""
    lines = [f"{name}: from Python to {_end(compilation)}", ""]
    lines += [_heading(TRACE, trace_seconds), *_indented(_counted(compilation.forward)), ""]
    sections = {
        "differentiate": _differentiate,
        "rewrite": _rewrite,
        "schedule": _schedule,
        "generate": _generate,
        "plan memory": _plan_memory,
        "compile": _compile,
    }
    for stage, _ in STAGES:
        if stage in compilation.seconds:
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
    yield from (f"only on the interpreter: {_brief(node)} has no native code" for node in interpreted(c.graph))


def _schedule(c: Compilation) -> Iterator[str]:
    assert c.program is not None
    for number, kernel in enumerate(c.program.kernels):
        yield from _kernel(c.program, number, kernel)
    homes = {n: k for k, kernel in enumerate(c.program.kernels) for n in kernel.nodes}
    seen = set()
    for u in c.program.unfused:
        pair = (homes.get(u.producer), homes.get(u.consumer))
        if None in pair or pair[0] == pair[1] or (u.producer, pair[1]) in seen:
            continue
        seen.add((u.producer, pair[1]))
        graph = c.program.graph
        producer = f"{_brief(graph[u.producer])} (kernel {pair[0]})"
        yield f"not fused: {producer} into {_brief(graph[u.consumer])} (kernel {pair[1]}): {u.reason}"


def _brief(node: Node) -> str:
    place = f" at line {node.where.line}" if node.where is not None else ""
    return f"%{node.id} {node.op.name}{place}"


def _kernel(program: Program, number: int, kernel: Kernel) -> Iterator[str]:
    graph = program.graph
    if kernel.part is None:
        assert kernel.template is not None
        node = graph[kernel.template]
        yield f"kernel {number}: {node.op.name} {node.aval}, a template of its own"
        return
    part = kernel.part
    reduced = f", reducing axes {part.axes}" if part.axes else ""
    threads = ", over threads" if kernel.parallel else ""
    passes = f", {len(part.loops)} passes" if len(part.loops) > 1 else ""
    yield f"kernel {number}: {len(part.nodes)} nodes over {part.shape}{reduced}{passes}{threads}"
    for n in part.nodes:
        level = part.levels[n]
        kept = " (stored)" if n in program.stored else ""
        note = "" if level is Level.FULL else f" [{level.value}]"
        yield f"  {graph[n]!r}{note}{kept}"


def _generate(c: Compilation) -> Iterator[str]:
    assert c.generated is not None
    yield f"{c.generated.kernels} different kernels, {len(c.generated.steps)} launches, {c.generated.words} table words"
    for step in c.generated.steps:
        way = "over threads" if any(launch.text.parallel for launch in step.launches) else "serially"
        kernels = ", ".join(str(launch.kernel) for launch in step.launches)
        chunks = sum(launch.text.chunks for launch in step.launches)
        yield f"{step.launches[0].name} for kernel {kernels}: {chunks} chunks, run {way}"


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
    yield ("loaded from the cache" if c.loaded.from_cache else "compiled by Numba") + f" in {c.loaded.seconds * 1e3:.0f} ms"
    yield f"file {c.loaded.path or 'in memory only'}"
