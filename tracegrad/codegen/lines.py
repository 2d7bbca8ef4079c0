"""Kernels that walk along an axis: running sums and products, recurrences, orders, searches.

An array is lines of ``size`` elements, ``width`` apart, ``size * width`` for each index of the axes before. Scans take
neighbouring lines side by side, so that what lies together in memory is read together. Orders copy a line and merge runs of
it, twice as long each time; both elements are read before one is chosen, as a branch would be guessed wrongly half the time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from tracegrad.codegen.stored_rows import lower_stored_rows
from tracegrad.codegen.text import ABI, KernelText, Slot, dtype_name
from tracegrad.core.aval import Aval
from tracegrad.core.graph import Node
from tracegrad.schedule.cost import CHUNK
from tracegrad.schedule.domain import in_order
from tracegrad.schedule.program import Program

__all__ = ["lower_lines"]

FIRST = 2
TOGETHER = 512
"""Neighbouring lines that one chunk scans side by side."""
HELD = 8
"""The most coefficients of a recurrence that stand in its text one by one."""
MOST_SORTED = 16
"""Chunks of an order: each has memory of its own for a line."""

_SIZES = """    size = table[{at}]
    width = table[{at} + 1]
    blocks = table[{at} + 2]
    units = table[{at} + 3]
    chunks = table[{at} + 4]
    block = table[{at} + 5]
    for unit in range(first * units // chunks, last * units // chunks):
        line = unit // blocks
        beside = (unit - line * blocks) * block
        begin = line * size * width + beside
        many = min(block, width - beside)
"""

_SCAN = """        if width == 1:
            {total} = {start}
            out[begin] = {total}
            for i in range(begin + 1, begin + size):
                {total} = {step_one}
                out[i] = {total}
        else:
            for i in range(begin, begin + many):
                out[i] = {first}
            for k in range(1, size):
                for i in range(begin + k * width, begin + k * width + many):
                    out[i] = {step}
"""

_FEEDBACK = """        for k in range(size):
            lags = min(k, order)
            for i in range(begin + k * width, begin + k * width + many):
                out[i] = x[i]
            for q in range(lags):
                lag = lags - q
                factor = c[at + lag - 1]
                for i in range(begin + k * width, begin + k * width + many):
                    out[i] = out[i] - factor * out[i - lag * width]
"""

_FEEDBACK_ONE = """        for i in range(begin, begin + size):
            lags = min(i - begin, order)
            total = x[i]
            for q in range(lags):
                lag = lags - q
                total = total - c[at + lag - 1] * out[i - lag]
            out[i] = total
"""

_EXTREME = """        for i in range(begin, begin + many):
            out[i] = 0
        for k in range(1, size):
            for i in range(begin + k * width, begin + k * width + many):
                known = out[i - width]
                best = x[i - (k - known) * width]
                out[i] = k if x[i] {sign} best or x[i] != x[i] else known
"""

_ORDER = """        for beside in range(begin, begin + many):
            for k in range(size):
                keys[k] = x[beside + k * width]
                places[k] = k
            run = 1
            while run < size:
                for start in range(0, size, 2 * run):
                    i = start
                    middle = min(start + run, size)
                    j = middle
                    stop = min(start + 2 * run, size)
                    k = start
                    while i < middle and j < stop:
                        a = keys[i]
                        b = keys[j]
                        later = 1 if {before} else 0
                        other_keys[k] = b if later == 1 else a
                        other_places[k] = places[j if later == 1 else i]
                        i = i + 1 - later
                        j = j + later
                        k = k + 1
                    while i < middle:
                        other_keys[k] = keys[i]
                        other_places[k] = places[i]
                        i = i + 1
                        k = k + 1
                    while j < stop:
                        other_keys[k] = keys[j]
                        other_places[k] = places[j]
                        j = j + 1
                        k = k + 1
                keys, other_keys = other_keys, keys
                places, other_places = other_places, places
                run = 2 * run
            for k in range(size):
                out[beside + k * width] = places[k]
"""

_SEARCH = """@kernel
def {{name}}(first, last, table):
    line = read(table, 2, {dtype})
    x = read(table, 3, {dtype})
    out = write(table, 4, int64)
    size = table[5]
    n = table[6]
    group = table[7]
    chunks = table[8]
    for i in range(first * n // chunks, last * n // chunks):
        begin = i // group * size
        low = begin
        count = size
        while count > 0:
            half = count // 2
            v = line[low + half]
            further = {further}
            low = low + half + 1 if further else low
            count = count - half - 1 if further else half
        out[i] = low - begin
"""


def lower_lines(program: Program, node: Node) -> KernelText:
    """The text of such a node; it contains no size."""
    return _TEXTS[node.op.lower](program, node)


def _inputs(program: Program, node: Node) -> list[Slot]:
    return [Slot("buffer", in_order(program.graph, i)) for i in node.inputs]


def _imports(*words: str) -> frozenset[tuple[str, str]]:
    return frozenset((ABI, word) for word in ("kernel", *words))


def _units(aval: Aval, axis: int, together: int, most: int) -> tuple[list[int], int]:
    """The sizes that a text over lines begins with, and the number of chunks."""
    size, width = aval.shape[axis], math.prod(aval.shape[axis + 1 :])
    block = max(1, min(width, together))
    blocks = -(-width // block)
    units = math.prod(aval.shape[:axis]) * blocks if size else 0
    chunks = max(1, min(units, -(-aval.size // CHUNK), most))
    return [size, width, blocks, units, chunks, block], chunks


def _scan(names: tuple[str, ...], first: str, step: str) -> Callable[[Program, Node], KernelText]:
    """A scan: its first element and each further one, in terms of ``{x}``, ``{a}`` … at a place and ``{known}`` before it."""

    def lower(program: Program, node: Node) -> KernelText:
        dtype = dtype_name(node.aval.dtype)
        slots = [*_inputs(program, node), Slot("buffer", node.id)]
        sizes, chunks = _units(node.aval, node.params["axis"], TOGETHER, 64)

        def at(place: str) -> dict[str, str]:
            return {name: f"{name}[{place}]" for name in names}

        lines = ["@kernel", "def {name}(first, last, table):"]
        lines += [f"    {name} = read(table, {FIRST + k}, {dtype})" for k, name in enumerate(names)]
        lines += [f"    out = update(table, {FIRST + len(names)}, {dtype})", ""]
        source = "\n".join(lines) + _SIZES.format(at=FIRST + len(slots))
        source += _SCAN.format(
            total="total",
            start=first.format(**at("begin")),
            step_one=step.format(known="total", **at("i")),
            first=first.format(**at("i")),
            step=step.format(known="out[i - width]", **at("i")),
        )
        slots += [Slot("size", n) for n in sizes]
        parallel = node.aval.size > 16 * CHUNK
        return KernelText(source, _imports("read", "update", dtype), tuple(slots), chunks, False, parallel, {1: node.id})

    return lower


_SCAN_OF_PAIRS = """        for i in range(begin, begin + many):
            out[2 * i] = {last}[2 * i]
            out[2 * i + 1] = {last}[2 * i + 1]
        for k in range(1, size):
            for i in range(begin + k * width, begin + k * width + many):
                known = out[2 * (i - width)]
                other = out[2 * (i - width) + 1]
                re = {factor}[2 * i]
                im = {factor}[2 * i + 1]
                out[2 * i] = re * known - im * other{re}
                out[2 * i + 1] = re * other + im * known{im}
"""


def _scan_of_pairs(names: tuple[str, ...], more: str) -> Callable[[Program, Node], KernelText]:
    """A scan of complex numbers: the factor at a place times what is before it, and ``more`` to add."""

    def lower(program: Program, node: Node) -> KernelText:
        dtype = dtype_name(node.aval.dtype)
        whole = Aval(node.aval.shape[:-1], node.aval.dtype)
        slots = [*_inputs(program, node), Slot("buffer", node.id)]
        sizes, chunks = _units(whole, node.params["axis"], TOGETHER, 64)
        lines = ["@kernel", "def {name}(first, last, table):"]
        lines += [f"    {name} = read(table, {FIRST + k}, {dtype})" for k, name in enumerate(names)]
        lines += [f"    out = update(table, {FIRST + len(names)}, {dtype})", ""]
        source = "\n".join(lines) + _SIZES.format(at=FIRST + len(slots))
        added = {"re": f" + {more}[2 * i]", "im": f" + {more}[2 * i + 1]"} if more else {"re": "", "im": ""}
        source += _SCAN_OF_PAIRS.format(last=names[-1], factor=names[0], **added)
        slots += [Slot("size", n) for n in sizes]
        parallel = node.aval.size > 16 * CHUNK
        return KernelText(source, _imports("read", "update", dtype), tuple(slots), chunks, False, parallel, {1: node.id})

    return lower


def _feedback(program: Program, node: Node) -> KernelText:
    """A recurrence with constant coefficients; those of a short one, and what it remembers, are held in registers."""
    dtype = dtype_name(node.aval.dtype)
    coefficients, axis = program.graph[node.inputs[0]].aval.shape, node.params["axis"]
    order = coefficients[-1]
    slots = [*_inputs(program, node), Slot("buffer", node.id)]
    sizes, chunks = _units(node.aval, axis, TOGETHER, 64)
    source = "@kernel\ndef {name}(first, last, table):\n"
    source += f"    c = read(table, 2, {dtype})\n    x = read(table, 3, {dtype})\n    out = update(table, 4, {dtype})\n"
    source += f"    group = table[{FIRST + 3 + len(sizes)}]\n    order = table[{FIRST + 4 + len(sizes)}]\n"
    source += _SIZES.format(at=FIRST + 3) + "        at = line // group * order\n"
    if axis < node.aval.ndim - 1:
        source += _FEEDBACK
    elif order > HELD:
        source += _FEEDBACK_ONE
    else:
        lags = range(1, order + 1)
        source += "".join(f"        c{k} = c[at + {k - 1}]\n        y{k} = {dtype}(0.0)\n" for k in lags)
        # the newest comes last, so that the next element waits for one product only
        total = "x[i]" + "".join(f" - c{k} * y{k}" for k in reversed(lags))
        source += f"        for i in range(begin, begin + size):\n            y0 = {total}\n            out[i] = y0\n"
        source += "".join(f"            y{k} = y{k - 1}\n" for k in reversed(lags))
    group = max(1, math.prod(node.aval.shape[len(coefficients) - 1 : axis]))
    slots += [Slot("size", n) for n in (*sizes, group, order)]
    parallel = node.aval.size > 16 * CHUNK
    return KernelText(source, _imports("read", "update", dtype), tuple(slots), chunks, False, parallel, {2: node.id})


def _extreme(program: Program, node: Node) -> KernelText:
    aval = program.graph[node.inputs[0]].aval
    dtype = dtype_name(aval.dtype)
    sizes, chunks = _units(aval, node.params["axis"], TOGETHER, 64)
    source = "@kernel\ndef {name}(first, last, table):\n"
    source += f"    x = read(table, 2, {dtype})\n    out = update(table, 3, int64)\n" + _SIZES.format(at=4)
    source += _EXTREME.format(sign=">=" if node.params["largest"] else "<=")
    slots = (*_inputs(program, node), Slot("buffer", node.id), *(Slot("size", n) for n in sizes))
    parallel = aval.size > 16 * CHUNK
    return KernelText(source, _imports("read", "update", "int64", dtype), slots, chunks, False, parallel, {1: node.id})


def _order(program: Program, node: Node) -> KernelText:
    aval = program.graph[node.inputs[0]].aval
    dtype = dtype_name(aval.dtype)
    sizes, chunks = _units(aval, node.params["axis"], 1 if aval.size > CHUNK else TOGETHER, MOST_SORTED)
    # four arrays in one block of memory for each chunk: elements and places, and what they are merged into
    each = -(-8 * aval.shape[node.params["axis"]] // 64) * 64
    slots = [*_inputs(program, node), Slot("buffer", node.id)]
    slots += [Slot("scratch", 4 * each * chunks), Slot("size", 4 * each), Slot("size", each)]
    source = "@kernel\ndef {name}(first, last, table):\n"
    source += f"    x = read(table, 2, {dtype})\n    out = write(table, 3, int64)\n"
    names = (("keys", dtype), ("other_keys", dtype), ("places", "int64"), ("other_places", "int64"))
    for k, (name, element) in enumerate(names):
        at = f"first * (table[5] // {{size}}) + {k} * (table[6] // {{size}})"
        itemsize = 8 if element == "int64" else aval.dtype.itemsize
        source += f"    {name} = buffer_offset(pointer(table, 4, {element}), {at.format(size=itemsize)})\n"
    after, unordered = (">", ("b", "a")) if node.params["descending"] else ("<", ("a", "b"))
    before = f"b {after} a"
    if aval.dtype.kind == "f":
        nan, number = unordered
        before = f"({before}) | (({nan} != {nan}) & ({number} == {number}))"
    source += _SIZES.format(at=FIRST + len(slots)) + _ORDER.format(before=before)
    slots += [Slot("size", n) for n in sizes]
    words = ("read", "write", "pointer", "buffer_offset", "int64", dtype)
    parallel = aval.size > 2 * CHUNK
    return KernelText(source, _imports(*words), tuple(slots), chunks, False, parallel, {1: node.id})


def _search(program: Program, node: Node) -> KernelText:
    line, x = (program.graph[i].aval for i in node.inputs)
    dtype = dtype_name(x.dtype)
    further = "not (x[i] < v{of_v})" if node.params["right"] else "v < x[i]{of_x}"
    nan = x.dtype.kind == "f"
    further = further.format(
        of_v=" or (v != v and x[i] == x[i])" if nan else "", of_x=" or (x[i] != x[i] and v == v)" if nan else ""
    )
    group = max(x.size, 1) if line.ndim == 1 else max(x.shape[-1], 1)
    chunks = max(1, min(64, x.size // CHUNK))
    slots = (*_inputs(program, node), Slot("buffer", node.id))
    slots += tuple(Slot("size", n) for n in (line.shape[-1], x.size, group, chunks))
    source = _SEARCH.format(dtype=dtype, further=further)
    parallel = x.size * (1 + np.log2(line.size + 1)) > 16 * CHUNK
    return KernelText(source, _imports("read", "write", "int64", dtype), slots, chunks, False, bool(parallel), {1: node.id})


_TEXTS: Mapping[str, Callable[[Program, Node], KernelText]] = {
    "running_sum": _scan(("x",), "{x}", "{known} + {x}"),
    "running_product": _scan(("x",), "{x}", "{known} * {x}"),
    "running_affine": _scan(("a", "b"), "{b}", "{a} * {known} + {b}"),
    "running_product_of_pairs": _scan_of_pairs(("x",), ""),
    "running_affine_of_pairs": _scan_of_pairs(("a", "b"), "b"),
    "running_extreme": _extreme,
    "running_feedback": _feedback,
    "order": _order,
    "search": _search,
    "stored_rows": lower_stored_rows,
    "stored_columns": lower_stored_rows,
    "stored_elements": lower_stored_rows,
}
