"""From a program to the text of its file: kernels that are equal up to names are one, and one entry launches them all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tracegrad.codegen.alike import PartTexts
from tracegrad.codegen.chain import lower_chain
from tracegrad.codegen.entry import Generated, Launch, Parameter, Step, entry_text
from tracegrad.codegen.template import lower_template
from tracegrad.codegen.text import ABI, KernelText, dtype_name, named
from tracegrad.core.op import Kind
from tracegrad.schedule.program import Kernel, Program

PARTS = """@kernel
def {name}_parts(first, last, table):
    for part in range(table[2]):
        start = table[3 + 2 * part]
        begin = max(first, start)
        end = min(last, table[5 + 2 * part])
        if begin < end:
            {name}(begin - start, end - start, buffer_offset(table, table[4 + 2 * part]))"""


NEAREST = 64
"""Earlier launches of the same kernel that another one may join: with all of them, 1,500 launches took 40 s to arrange."""


def generate(program: Program) -> Generated:
    """The text of a program's file.

    It depends on dtypes, ranks and access patterns, not on sizes: the same function at another batch size gives the same
    text. Memory is planned afterwards, because scratch sizes are known only to the kernels.
    """
    parts = PartTexts(program)
    texts = [lower_kernel(program, k, parts) for k in program.kernels]
    names: dict[str, str] = {}
    steps: list[Step] = []
    base = 0
    for members in side_by_side(program, texts):
        own = []
        for k in members:
            own.append(Launch(k, names.setdefault(texts[k].source, f"k{len(names)}"), base, texts[k]))
            base += 2 + len(texts[k].slots)
        steps.append(Step(tuple(own), base))
        base += steps[-1].words
    launches = [launch for step in steps for launch in step.launches]
    parameters = _parameters(program, launches)
    imports: set[tuple[str, str]] = {
        (ABI, word) for word in ("entry", "launch", "place", "place_scalar", "shift", "stack_table")
    }
    functions = []
    seen = set()
    joint = {step.launches[0].name for step in steps if step.words}
    for launch in launches:
        if launch.name not in seen:
            seen.add(launch.name)
            imports |= launch.text.imports
            functions.append(named(launch.text.source, launch.name).rstrip())
            if launch.name in joint:
                imports.add((ABI, "buffer_offset"))
                functions.append(named(PARTS, launch.name))
    entry, words, tail = entry_text(parameters, steps, base)
    used = {(module, word) for module, word in imports if module != ABI or any(word in t for t in (*functions, entry))}
    source = "\n\n\n".join(["\n".join(_import_lines(used)), *functions, entry]) + "\n"
    return Generated(
        source, tuple(parameters), tuple(steps), words, tail, len(names), max((text.row for text in texts), default=0)
    )


def lower_kernel(program: Program, kernel: Kernel, parts: PartTexts) -> KernelText:
    """The text of a kernel of any sort."""
    if kernel.chain is not None:
        return lower_chain(program, kernel)
    return parts.of(kernel) if kernel.part is not None else lower_template(program, kernel)


def side_by_side(program: Program, texts: list[KernelText]) -> list[tuple[int, ...]]:
    """The kernels in the order of their launches, equal ones together where nothing between them reads their results.

    One launch for many small arrays, as in an optimiser's step, is one hand-over to the threads.
    """
    launches: dict[int, list[int]] = {}  # by turn, later ones greater
    alike: dict[str, list[int]] = {}  # turns of the launches of a text
    last_read: dict[int, int] = {}  # the turn of the last reader of what a turn makes
    home: dict[int, int] = {}  # the turn that makes a node
    for k, text in enumerate(texts):
        kernel = program.kernels[k]
        turns = alike.setdefault(text.source, [])
        reads = program.needs(kernel)
        needed = {home[n] for n in reads if n in home}
        for turn in () if text.finish else turns[: -1 - NEAREST : -1]:
            if turn not in needed and last_read.get(turn, -1) <= turn:
                members = [*launches.pop(turn), k]
                turns.remove(turn)
                last_read[k] = last_read.pop(turn, -1)
                break
        else:
            members = [k]
        launches[k] = members
        turns.append(k)
        for m in members:
            home |= dict.fromkeys(program.kernels[m].nodes, k)
        last_read |= {home[n]: k for m in members for n in program.needs(program.kernels[m]) if n in home}
    return [tuple(launches[turn]) for turn in sorted(launches)]


def _import_lines(imports: Iterable[tuple[str, str]]) -> list[str]:
    modules: dict[str, list[str]] = {}
    for module, word in sorted(imports):
        modules.setdefault(module, []).append(word)
    return [f"from {module} import {', '.join(words)}" for module, words in sorted(modules.items())]


def _array_kind(aval_dtype: np.dtype[Any], ndim: int) -> str:
    return f"{dtype_name(aval_dtype)}[{', '.join([':'] * (ndim - 1) + ['::1'])}]"


def _parameters(program: Program, launches: list[Launch]) -> list[Parameter]:
    graph = program.graph
    used: set[int] = set()
    for launch in launches:
        used |= {s.value for s in launch.text.slots if s.kind in ("buffer", "argument")}
    parameters = []
    for node in graph.inputs:
        if node.id in used:
            seen = node.outside
            kind = _array_kind(seen.dtype, max(seen.ndim, 1)) if node.aval.ndim else dtype_name(node.aval.dtype)
            parameters.append(Parameter("input", node.id, f"a{node.params['position']}", kind))
    constants = [n for n in graph if n.op.kind is Kind.CONSTANT and n.aval.ndim and n.id in used]
    for k, node in enumerate(constants):
        parameters.append(Parameter("constant", node.id, f"constant{k}", _array_kind(node.aval.dtype, node.aval.ndim)))
    shapes = dict(zip(reversed(program.results), reversed(graph.outputs), strict=True))
    for k, i in enumerate(dict.fromkeys(program.results)):
        aval = graph[shapes[i]].outside
        parameters.append(Parameter("output", i, f"out{k}", _array_kind(aval.dtype, max(aval.ndim, 1))))
    return parameters
