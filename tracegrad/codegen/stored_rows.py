"""Kernels of products with matrices stored row by row: plain loops over the stored elements, as in SciPy's.

The width, how many columns the other matrix has, is a word of the table; for one column a row's sum stays in a register.
Positions are checked before, in loops that become vector instructions: a branch for each of them took half as long again as
the products. One out of range sets the status word, which the call checks, and its chunk is left.
"""

from __future__ import annotations

import numpy as np

from tracegrad.codegen.text import ABI, KernelText, Slot, dtype_name, number_text
from tracegrad.core.graph import Node
from tracegrad.schedule.cost import CHUNK
from tracegrad.schedule.domain import in_order
from tracegrad.schedule.program import Program

MOST_CHUNKS = 64

_HEAD = """@kernel
def {{name}}(first, last, table):
    {one} = read(table, 2, {dtype})
    {other} = read(table, 3, {dtype})
    places = read(table, 4, {places})
    ends = read(table, 5, {ends})
    out = update(table, 6, {dtype})
    bad = write(table, 7, int64)
    code = table[8]
    rows = table[9]
    chunks = table[10]
    size = table[11]
    width = table[12]
    count = table[13]
{before}    top = first * rows // chunks
    bottom = last * rows // chunks
    begin = count
    end = 0
    least = 0
    for r in range(top, bottom + 1):
        begin = min(begin, ends[r])
        end = max(end, ends[r])
    if begin < 0 or end > count:
        bad[0] = code
        bottom = top
        end = begin
    most = 0
    for k in range(begin, end):
        least = min(least, places[k])
        most = max(most, places[k])
    if least < 0 or most >= size:
        bad[0] = code
        bottom = top
    for r in range(top, bottom):
"""

_DOT = """        if width == 1:
            total = {zero}
            for k in range(ends[r], ends[r + 1]):
                total = total + data[k] * x[places[k]]
            out[r] = total
        else:
            for e in range(r * width, (r + 1) * width):
                out[e] = {zero}
            for k in range(ends[r], ends[r + 1]):
                factor = data[k]
                i = places[k] * width
                for e in range(width):
                    out[r * width + e] = out[r * width + e] + factor * x[i + e]
"""

_SPREAD = """        for k in range(ends[r], ends[r + 1]):
            factor = data[k]
            i = places[k] * width
            for e in range(width):
                out[i + e] = out[i + e] + factor * x[r * width + e]
"""

_SAMPLED = """        for k in range(ends[r], ends[r + 1]):
            total = out[k]
            i = places[k] * width
            for e in range(width):
                total = total + x[r * width + e] * y[i + e]
            out[k] = total
"""

_CLEARED = """    for k in range({many}):
        out[k] = {zero}
"""


def lower_stored_rows(program: Program, node: Node) -> KernelText:
    """The text of such a node; it contains no size.

    Rows of the first product are taken by several chunks; in the others rows add to what they share, in one.
    """
    graph = program.graph
    first, second, places, ends = (graph[i].aval for i in node.inputs)
    kind, dtype = node.op.lower, node.aval.dtype
    shared = kind != "stored_rows"
    size = {"stored_rows": first.shape[0], "stored_columns": node.aval.shape[0]}.get(kind, second.shape[0])
    rows, width = ends.shape[0] - 1, first.shape[1]
    work = places.shape[0] * width
    chunks = 1 if shared else max(1, min(rows, -(-work // CHUNK), MOST_CHUNKS))
    zero = number_text(np.zeros((), dtype)[()], dtype)
    names = ("x", "y") if kind == "stored_elements" else ("x", "data")
    many = {"stored_columns": "size * width", "stored_elements": "count"}.get(kind)
    kinds = {"dtype": dtype_name(dtype), "places": dtype_name(places.dtype), "ends": dtype_name(ends.dtype)}
    before = _CLEARED.format(many=many, zero=zero) if many else ""
    source = _HEAD.format(one=names[0], other=names[1], before=before, **kinds)
    source += {"stored_rows": _DOT.format(zero=zero), "stored_columns": _SPREAD, "stored_elements": _SAMPLED}[kind]
    slots = [*(Slot("buffer", in_order(graph, i)) for i in node.inputs), Slot("buffer", node.id), Slot("status", node.id)]
    slots += [Slot("size", node.id + 1), *(Slot("size", n) for n in (rows, chunks, size, width, places.shape[0]))]
    imports = frozenset((ABI, word) for word in ("kernel", "read", "write", "update", "int64", *kinds.values()))
    parallel = not shared and work > 16 * CHUNK
    return KernelText(source, imports, tuple(slots), chunks, False, parallel, {1: node.id})
