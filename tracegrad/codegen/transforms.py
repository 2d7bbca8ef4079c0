"""Kernels of Fourier transforms: NumPy's own loops, called on many lines of an array at once.

An array is lines of ``n`` elements, ``width`` apart. Where they lie together one call takes all lines of a chunk, else a call
takes the lines side by side that one index of the axes before has. Complex numbers are pairs of reals.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from tracegrad.codegen.text import ABI, KernelText, Slot, dtype_name
from tracegrad.core.graph import Node
from tracegrad.schedule.domain import in_order
from tracegrad.schedule.program import Program

__all__ = ["TRANSFORMS"]

POCKETFFT = "tracegrad.runtime.pocketfft"
CHUNK_WORK = 100_000
"""Operations of one chunk at least: some 30 µs."""
MOST = 64
PARALLEL_WORK = 400_000

_TEXT = """@kernel
def {{name}}(first, last, table):
    x = read(table, 2, {dtype})
    out = update(table, 3, {dtype})
    units = table[4]
    chunks = table[5]
    width = table[6]
    n = table[7]
    m = table[8]
    by = table[9]
    start = first * units // chunks
    stop = last * units // chunks
    if width == 1:
{together}
    else:
        for unit in range(start, stop):
{beside}
"""
_CALL = "{word}(buffer_offset(x, {at} * n * {e}), buffer_offset(out, {at} * m * {f}), {many}, {lines}, n, m, {steps}, by)"


def _call(name: str, dtype: np.dtype[np.generic], given: int, made: int, together: bool) -> str:
    """One call; ``given`` and ``made`` are the reals of an element."""
    e, f = given * dtype.itemsize, made * dtype.itemsize
    return _CALL.format(
        word=f"{name}_{dtype.name}",
        at="start" if together else "unit * width",
        e=given,
        f=made,
        many="stop - start" if together else "width",
        lines=f"n * {e}, m * {f}" if together else f"{e}, {f}",
        steps=f"{e}, {f}" if together else f"width * {e}, width * {f}",
    )


def _calls(names: tuple[str, ...], dtype: np.dtype[np.generic], given: int, made: int, together: bool, blanks: int) -> str:
    """The call; of two names the one for even and the one for odd sizes."""
    lines = [_call(name, dtype, given, made, together) for name in names]
    if len(lines) == 2:
        lines = ["if n % 2 == 0:", f"    {lines[0]}", "else:", f"    {lines[1]}"]
    return "\n".join(" " * blanks + line for line in lines)


def _lower(names: Callable[[Node], tuple[str, ...]], given: int, made: int) -> Callable[[Program, Node], KernelText]:
    """A transform by the ufuncs it uses, and the reals of an element of its operand and of its result."""

    def lower(program: Program, node: Node) -> KernelText:
        x, dtype, axis = program.graph[node.inputs[0]].aval, node.aval.dtype, node.params["axis"]
        n, m = x.shape[axis], node.aval.shape[axis]
        shape = node.aval.shape[: node.aval.ndim - (made - 1)]
        width, before = math.prod(shape[axis + 1 :]), math.prod(shape[:axis])
        units = before * (0 if not width else 1)
        longest = max(n, m)
        work = 8.0 * longest * math.log2(longest + 1) * width
        chunks = max(1, min(units, MOST, int(units * work / CHUNK_WORK)))
        chosen, element = names(node), dtype_name(dtype)
        source = _TEXT.format(
            dtype=element,
            together=_calls(chosen, dtype, given, made, True, 8),
            beside=_calls(chosen, dtype, given, made, False, 12),
        )
        sizes = (units, chunks, width, n, m, longest if node.params.get("inverse", made == 1) else 1)
        slots = (
            Slot("buffer", in_order(program.graph, node.inputs[0])),
            Slot("buffer", node.id),
            *(Slot("size", size) for size in sizes),
        )
        words = {(ABI, word) for word in ("kernel", "read", "update", "buffer_offset", element)}
        words |= {(POCKETFFT, f"{name}_{dtype.name}") for name in chosen}
        parallel = chunks > 1 and units * work > PARALLEL_WORK
        return KernelText(source, frozenset(words), slots, chunks, False, parallel, {1: node.id})

    return lower


TRANSFORMS: Mapping[str, Callable[[Program, Node], KernelText]] = {
    "transform_of_pairs": _lower(lambda node: ("ifft",) if node.params["inverse"] else ("fft",), 2, 2),
    "transform_of_reals": _lower(lambda node: ("rfft_n_even", "rfft_n_odd"), 1, 2),
    "transform_to_reals": _lower(lambda node: ("irfft",), 2, 1),
}
"""The text of each transform's kernel; it contains no size."""
