"""Kernels of nodes that are not fused: contractions, whose texts come from ``templates``, and indexing."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from tracegrad.codegen.lines import lower_lines
from tracegrad.codegen.matrices import lower_matrices
from tracegrad.codegen.templates import MOST_CHUNKS, Layout, contraction
from tracegrad.codegen.text import ABI, KernelText, Slot, combine_text, dtype_name, identity_text
from tracegrad.codegen.transforms import TRANSFORMS
from tracegrad.core.aval import Aval
from tracegrad.core.graph import Node
from tracegrad.core.op import Kind, Reducer
from tracegrad.errors import CompileError
from tracegrad.schedule.cost import CHUNK, PARALLEL_NS, chunking
from tracegrad.schedule.domain import in_order, is_affine, offset_in, single_place
from tracegrad.schedule.program import Kernel, Program

TEMPLATE_GFLOPS = 10.0
"""A cautious speed of a contraction on one core, to decide about threads."""


CACHE_BYTES = 1 << 23
"""Arrays larger than this are not in a cache when a kernel begins to read them."""


def lower_template(program: Program, kernel: Kernel, most: int = MOST_CHUNKS, cold: frozenset[int] | None = None) -> KernelText:
    """The text of a contraction or indexing kernel.

    Parameters
    ----------
    program, kernel: the kernel, which has a template.
    most: chunks that a contraction may have.
    cold: what it reads from memory; by default its large operands.

    Raises CompileError for an op without native code, naming it.
    """
    assert kernel.template is not None
    node = program.graph[kernel.template]
    if node.op.kind is Kind.CONTRACT:
        cold = cold_reads(program, kernel) if cold is None else cold
        return _contraction(program, kernel, node, most, cold)
    if node.op.kind is Kind.INDEX:
        return _indexing(program, node)
    if node.op.kind is Kind.LINE and node.op.lower is not None:
        return lower_lines(program, node)
    if node.op.lower in TRANSFORMS:
        return TRANSFORMS[node.op.lower](program, node)
    if node.op.kind is Kind.MATRIX:
        return lower_matrices(program, node)
    raise CompileError(
        f"{node.op.name} has no native code",
        fix='run the function in the interpreter with compile="never"',
        where=node.where,
    )


def cold_reads(program: Program, kernel: Kernel) -> frozenset[int]:
    """The arrays that a kernel reads from memory, as they are too large for a cache."""
    return frozenset(n for n in kernel.reads if program.graph[n].aval.nbytes > CACHE_BYTES)


def _layout(program: Program, kernel: Kernel, operand: int) -> tuple[int, Layout]:
    """The buffer an operand lives in, and how the operand lies there.

    A view may be stored for another kernel's sake, behind this one: then this one does not read it.
    """
    graph = program.graph
    aval = graph[operand].aval
    if (operand in program.stored and operand in kernel.reads) or graph[operand].op.kind is not Kind.VIEW:
        return operand, _contiguous(aval)
    place = single_place(graph, operand)
    assert is_affine(place), "the schedule stores operands that no strided access reaches"
    offset = offset_in(graph, place)
    strides = tuple(offset.coefficient(k) for k in range(aval.ndim))
    return place.node, Layout(aval.dtype, aval.shape, strides, offset.constant)


def _contiguous(aval: Aval) -> Layout:
    strides = tuple(math.prod(aval.shape[k + 1 :]) for k in range(aval.ndim))
    return Layout(aval.dtype, aval.shape, strides, 0)


def _contraction(program: Program, kernel: Kernel, node: Node, most: int, cold: frozenset[int]) -> KernelText:
    found = [(base, replace(layout, cold=base in cold)) for base, layout in (_layout(program, kernel, i) for i in node.inputs)]
    template = contraction(node.op.lower, node.params, tuple(layout for _, layout in found), _contiguous(node.aval), most)
    slots = []
    for slot in template.slots:
        if slot[0] == "buffer":
            slots.append(Slot("buffer", found[slot[1]][0]))
        elif slot[0] == "output":
            slots.append(Slot("buffer", node.id))
        else:
            slots.append(Slot(slot[0], slot[1]))
    parallel = template.flops > PARALLEL_NS * TEMPLATE_GFLOPS
    imports = template.imports | {(ABI, "kernel")}
    return KernelText(
        template.source, imports, tuple(slots), template.chunks, template.finish, parallel, {1: node.id}, row=template.row
    )


# -- indexing ---------------------------------------------------------------------------------------------------------

_HEAD = """@kernel
def {{name}}(first, last, table):
    {x} = read(table, 2, {dtype})
    index = read(table, 3, int64)
    out = write(table, 4, {dtype})
    bad = write(table, 5, int64)
    code = table[6]
    n = table[7]
    step = table[8]
    size = table[9]
    count = table[10]
    width = table[11]
"""

_READ = """    for c in range(first, last):
        k = c * step % count
        base = c * step // count * size
        for r in range(c * step, min((c + 1) * step, n)):
            i = index[k]
            if i < 0 or i >= size:
                bad[0] = code
                i = 0
            start = (base + i) * width
            for e in range(width):
                out[r * width + e] = x[start + e]
            k = k + 1
            if k == count:
                k = 0
                base = base + size
"""

_REDUCE = """    for c in range(first, last):
        for o in range(c * step, min((c + 1) * step, n)):
            for k in range(size * width):
                out[o * size * width + k] = {start}
            for r in range(count):
                i = index[r]
                if i < 0 or i >= size:
                    bad[0] = code
                else:
                    start = (o * size + i) * width
                    for k in range(width):
                        into = start + k
                        out[into] = {both}
"""

_WRITE = """    x = read(table, 12, {dtype})
    for c in range(first, last):
        for o in range(c * step, min((c + 1) * step, n)):
            for k in range(size * width):
                out[o * size * width + k] = base[o * size * width + k]
            for r in range(count):
                i = index[r]
                if i < 0 or i >= size:
                    bad[0] = code
                else:
                    for k in range(width):
                        out[(o * size + i) * width + k] = x[(o * count + r) * width + k]
"""


def _indexing(program: Program, node: Node) -> KernelText:
    """Elements read, reduced or put at positions along an axis; those out of range set a status word, which the call checks."""
    graph = program.graph
    axis = node.params["axis"]
    operands = [in_order(graph, i) for i in node.inputs]
    data, index = graph[node.inputs[0]].aval, graph[node.inputs[1]].aval
    kind = node.op.lower
    size = node.aval.shape[axis] if isinstance(kind, Reducer) else data.shape[axis]
    outer, width = math.prod(node.aval.shape[:axis]), math.prod(data.shape[axis + 1 :])
    rows = outer * index.size if kind == "indexed_read" else outer
    step, chunks = chunking(rows, width if kind == "indexed_read" else max(size, index.size) * width)
    words = [rows, step, size, index.size, width]
    slots = [Slot("buffer", operands[0]), Slot("buffer", operands[1]), Slot("buffer", node.id), Slot("status", node.id)]
    slots += [Slot("size", node.id + 1), *(Slot("size", w) for w in words)]
    if kind == "indexed_write":
        slots.append(Slot("buffer", operands[2]))
    dtype = dtype_name(np.dtype(node.aval.dtype))
    text = _HEAD.format(x="base" if kind == "indexed_write" else "x", dtype=dtype)
    imports = {(ABI, w) for w in ("kernel", "int64", dtype, "read", "write")}
    if isinstance(kind, Reducer):
        imports.add((ABI, "update"))
        start = identity_text(kind.identity, node.aval.dtype, imports)
        both = combine_text(kind.combine, "out[into]", "x[(o * count + r) * width + k]", imports)
        text = text.replace("out = write", "out = update") + _REDUCE.format(start=start, both=both)
    else:
        text += {"indexed_read": _READ, "indexed_write": _WRITE}[kind].format(dtype=dtype)
    return KernelText(text, frozenset(imports), tuple(slots), chunks, False, rows * width > 16 * CHUNK, {1: node.id})
