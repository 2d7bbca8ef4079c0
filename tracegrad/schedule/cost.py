"""Estimates: what a node costs to compute, and how work is cut into chunks.

The figures are nanoseconds per element of vectorised float64 code on one core; they decide recomputation and threading,
never results.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from itertools import takewhile

from tracegrad.core.aval import Shape
from tracegrad.core.expr import Operand, operations
from tracegrad.core.graph import Graph, Node
from tracegrad.core.op import Kind, Op
from tracegrad.schedule.program import Kernel, Part, Program

CHUNK = 4096
"""Elements of one chunk: between 1k and 16k the speed does not change; sums are blocked by it."""

PARALLEL_NS = 60_000
"""Work below which threads do not pay: waking them costs up to 36 µs."""

SCALAR_LIMIT = 24
"""0-d maps that are recomputed in each kernel that reads them rather than stored."""

RECOMPUTE_LIMIT = 4
"""Cheap maps of inputs that each reader computes for itself, at most so many in a row."""

RECOMPUTE_NS = 1.0
"""A value cheaper than this is computed again in a later loop instead of being stored and read back."""

CHEAP_NS = 0.08
LOAD_NS = 0.15


@cache
def _op_ns(op: Op, operands: int, params: tuple[tuple[str, object], ...]) -> float:
    if op.kind is not Kind.MAP or op.lower is None:
        return CHEAP_NS
    return CHEAP_NS * operations(op.lower(*(Operand(k) for k in range(operands)), **dict(params)))


def node_ns(node: Node) -> float:
    """Nanoseconds per element of computing a node from its operands."""
    return _op_ns(node.op, len(node.inputs), tuple(sorted(node.params.items())) if node.op.kind is Kind.MAP else ())


def node_flops(graph: Graph, node: Node) -> float:
    """Floating point operations of computing a whole node from its operands; a function such as exp counts as fifteen."""
    if node.op.kind is Kind.MAP:
        return node.aval.size * node_ns(node) / CHEAP_NS
    if node.op.kind is Kind.REDUCE:
        return graph[node.inputs[0]].aval.size
    if node.op.kind is Kind.CONTRACT:
        # sizes m·k, k·n and m·n: their root is m·k·n; a stack of b such products has b³ under the root
        avals = [node.aval, *(graph[i].aval for i in node.inputs[:2])]
        return 2 * math.sqrt(math.prod(aval.size for aval in avals) / max(1, _stacked(node, [a.shape for a in avals])))
    return 0.0


def _stacked(node: Node, shapes: list[Shape]) -> int:
    """How many products a stack of plain ones has: the leading axes that all three arrays have in common."""
    if node.params:
        return 1
    common = takewhile(lambda sizes: len(set(sizes)) == 1, zip(*(shape[:-2] for shape in shapes), strict=False))
    return math.prod(sizes[0] for sizes in common)


@dataclass(frozen=True, slots=True)
class Work:
    """Estimated work of a kernel: bytes of the buffers it reads and of those it writes, floating point operations."""

    read: int
    written: int
    flops: float


def kernel_work(program: Program, kernel: Kernel) -> Work:
    """The work of a kernel; values that several of its passes compute or read count once."""
    graph = program.graph
    return Work(
        read=sum(graph[n].aval.nbytes for n in kernel.reads),
        written=sum(graph[n].aval.nbytes for n in kernel.nodes if n in program.stored),
        flops=sum(node_flops(graph, graph[n]) for n in kernel.nodes),
    )


def chunking(rows: int, row_elements: int) -> tuple[int, int]:
    """``(rows per chunk, number of chunks)``; they depend on the sizes alone, so results do not depend on threads."""
    chunk = max(1, CHUNK // max(row_elements, 1))
    return chunk, -(-rows // chunk)


def work_ns(graph: Graph, part: Part, buffers: int) -> float:
    """Estimated nanoseconds of a part on one core, which reads and writes so many buffers.

    Cheap operations overlap with each other and with loads: a step of a stencil, eleven maps over 65,536 elements, takes
    26 µs.
    """
    inner = sum(node_ns(graph[n]) for loop in part.loops for n in loop.nodes)
    return part.size * (inner + LOAD_NS * max(buffers, len(part.loops))) / 2
