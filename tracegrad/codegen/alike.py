"""Kernels that are equal up to the numbers of their nodes, told before they are written.

An unrolled loop is many equal kernels. One is lowered, and the others take its text, with their own nodes in the words of
its table: 200 steps of a stencil took 0.26 s to write, of which 3 are different.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tracegrad.codegen.lower import lower_part
from tracegrad.codegen.text import KernelText, Slot
from tracegrad.core.op import Kind
from tracegrad.schedule.program import Kernel, Part, Program

NODES = ("buffer", "output", "argument")
"""Kinds of slots whose value is a node."""


class PartTexts:
    """The texts of a program's parts.

    Parameters
    ----------
    program: what the kernels belong to.
    """

    def __init__(self, program: Program) -> None:
        self._program = program
        self._written: dict[Any, tuple[KernelText, list[int]]] = {}

    def of(self, kernel: Kernel) -> KernelText:
        """The text of a kernel that is a part, as ``lower_part`` writes it."""
        assert kernel.part is not None
        nodes = _seen(self._program, kernel, kernel.part)
        key = _likeness(self._program, kernel, kernel.part, nodes)
        known = self._written.get(key)
        if known is not None:
            return _renamed(known[0], dict(zip(known[1], nodes, strict=True)))
        text = lower_part(self._program, kernel)
        self._written[key] = (text, nodes)
        return text


def verify_texts(program: Program, texts: Mapping[int, KernelText]) -> None:
    """Raise AssertionError unless kernels that took the text of another are as they would be written.

    Parameters
    ----------
    program: what the kernels belong to.
    texts: the text of each kernel, by its number.
    """
    known: set[int] = set()
    for number, text in texts.items():
        kernel = program.kernels[number]
        if id(text.source) in known and kernel.part is not None and text != lower_part(program, kernel):
            raise AssertionError(f"after generate: kernel {number} took the text of another one that is not its own")
        known.add(id(text.source))


def _renamed(text: KernelText, new: dict[int, int]) -> KernelText:
    slots = tuple([Slot(s.kind, new[s.value], s.dtype) if s.kind in NODES else s for s in text.slots])
    return replace(text, slots=slots, origins={line: new[node] for line, node in text.origins.items()})


def _followed(program: Program, part: Part, node: int) -> bool:
    """Whether the text of a part may hang on how a node is computed, and not only on what it is."""
    return node in part.levels or node in program.floating or program.graph[node].op.kind is Kind.VIEW


def _seen(program: Program, kernel: Kernel, part: Part) -> list[int]:
    """All nodes that the text of a part may hang on, in id order."""
    graph = program.graph
    seen = {*part.levels, *kernel.reads}
    stack = list(seen)
    while stack:
        node = stack.pop()
        if _followed(program, part, node):
            for i in graph[node].inputs:
                if i not in seen:
                    seen.add(i)
                    stack.append(i)
    return sorted(seen.union(place.host for node in part.levels for place in program.placed.get(node, ())))


def _likeness(program: Program, kernel: Kernel, part: Part, nodes: list[int]) -> tuple[Any, ...]:
    """What equal kernels have in common: nodes by their place among those seen, so that their order is the same, too."""
    rank = {node: k for k, node in enumerate(nodes)}

    def ranks(some: tuple[int, ...]) -> tuple[int, ...]:
        return tuple([rank[n] for n in some])

    described: list[Any] = []
    for node in nodes:
        n = program.graph[node]
        held: tuple[Any, ...] = (part.levels.get(node), node in program.stored, node in program.floating, node in kernel.reads)
        if node in part.levels and node in program.placed:
            held = (*held, tuple([(rank[place.host], place.index) for place in program.placed[node]]))
        if not rank.keys() >= set(n.inputs):  # a buffer that the part stores into
            described.append((n.op.kind, n.aval, held))
        elif _followed(program, part, node) or not n.aval.ndim:
            params = tuple(sorted(n.params.items())) if n.params and n.op.kind is not Kind.INPUT else ()
            described.append((n.op, n.aval, held, params, ranks(n.inputs) if _followed(program, part, node) else ()))
        else:
            described.append((n.op.kind, n.aval, held))
    loops = [(ranks(p.rows), ranks(p.nodes), ranks(p.reductions), ranks(p.columns), ranks(p.totals)) for p in part.loops]
    after = (ranks(part.last_rows), ranks(part.row_totals), ranks(part.finish), ranks(tuple(sorted(part.spilled))))
    return (part.shape, part.axes, kernel.parallel, tuple(described), tuple(loops), after)
