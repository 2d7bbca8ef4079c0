"""The words of a program's table: sizes, numbers and places, for one set of shapes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tracegrad.codegen.entry import Generated
from tracegrad.codegen.text import Slot
from tracegrad.schedule.memory import ALIGN, Lifetime, Placement, plan_memory
from tracegrad.schedule.program import Program

STATUS = "status"
STATUS_BYTES = 24
"""Which node refuses; of linear algebra also which matrix, and LAPACK's number."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything of a program that depends on sizes.

    Parameters
    ----------
    words: the table, complete but for the addresses of arrays.
    placement: where temporaries lie in the arena.
    blocks: the temporaries, by step of the program; keys are node ids, or (kernel, slot) for scratch memory of a kernel.
    checked: whether kernels report positions out of range, or matrices that have no result, in the arena's first words.
    threaded: the words that say how many threads a launch may use, of the launches that are worth more than one.
    """

    words: np.ndarray[Any, np.dtype[np.int64]]
    placement: Placement
    blocks: tuple[Lifetime, ...]
    checked: bool
    threaded: tuple[int, ...] = ()

    @property
    def arena_bytes(self) -> int:
        """Size of the arena."""
        return self.placement.nbytes


def plan_program(program: Program, generated: Generated) -> Plan:
    """Place every temporary and fill in the table.

    Outputs are never in the arena. What is worth threads may use all of them, which a call may bound.
    """
    graph = program.graph
    outside = {p.node for p in generated.parameters}
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    blocks: list[Lifetime] = []
    checked = False
    for number, step in enumerate(generated.steps):
        for launch in step.launches:
            kernel = program.kernels[launch.kernel]
            touched = {*kernel.nodes, *kernel.reads, *(s.value for s in launch.text.slots if s.kind == "buffer")}
            for node in touched & program.stored - outside - program.placed.keys():
                first.setdefault(node, number)
                last[node] = number
            for k, slot in enumerate(launch.text.slots):
                if slot.kind in ("partial", "scratch"):
                    nbytes = slot.value * slot.dtype.itemsize if slot.dtype is not None else slot.value
                    blocks.append(Lifetime((launch.kernel, k), int(nbytes), number, number))
                checked = checked or slot.kind == STATUS
    last |= {node: len(generated.steps) - 1 for node in program.results if node in first}
    # offsets are of the sizes that there are, not of those that an axis of one element is compared as
    blocks += [Lifetime(node, int(graph[node].aval.nbytes), first[node], last[node]) for node in first]
    placement = plan_memory(blocks)
    if checked:
        # the status word stands before everything else
        moved = {key: offset + ALIGN for key, offset in placement.offsets.items()}
        placement = Placement({**moved, STATUS: 0}, placement.nbytes + ALIGN, placement.live_bytes + ALIGN)
        blocks.append(Lifetime(STATUS, STATUS_BYTES, 0, len(generated.steps) - 1))
    words = np.zeros(max(generated.words, 1), np.int64)
    threaded: list[int] = []
    for step in generated.steps:
        start = 0
        for k, launch in enumerate(step.launches):
            words[launch.base] = launch.text.chunks
            if launch.text.parallel:
                threaded.append(launch.base + 1)
            for j, slot in enumerate(launch.text.slots):
                words[launch.base + 2 + j] = _word(slot, (launch.kernel, j), placement)
            if step.words:
                words[step.base + 3 + 2 * k : step.base + 5 + 2 * k] = start, launch.base - step.base
                start += launch.text.chunks
        if step.words:
            if any(launch.text.parallel for launch in step.launches):
                threaded.append(step.base + 1)
            words[step.base] = start
            words[step.base + 2] = len(step.launches)
            words[step.base + step.words - 1] = start
    words[generated.words - len(generated.tail) : generated.words] = generated.tail
    words[threaded] = 1
    words.flags.writeable = False
    return Plan(words, placement, tuple(blocks), checked, tuple(threaded))


def _word(slot: Slot, own: tuple[int, int], placement: Placement) -> int:
    if slot.kind == "size":
        return int(slot.value)
    if slot.kind == "number":
        return number_bits(slot.value, slot.dtype)
    if slot.kind in ("partial", "scratch"):
        return placement.offsets[own]
    if slot.kind == STATUS:
        return placement.offsets[STATUS]
    return placement.offsets.get(slot.value, 0)


def number_bits(value: Any, dtype: np.dtype[Any] | None) -> int:
    """A scalar's bits as a table word: those of its own dtype, the rest zero."""
    raw = np.asarray(value, dtype).tobytes()
    return int.from_bytes(raw.ljust(8, b"\0"), "little", signed=True)
