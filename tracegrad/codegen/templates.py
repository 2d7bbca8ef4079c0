"""Kernels of contractions, as text.

A template's text depends on dtype, rank and layout class alone. Sizes and strides are words of the kernel's table, so another
batch size is the same kernel. Every element of the output is written, and its sum runs in an order that depends on the sizes
alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from tracegrad.core.aval import Shape

Slot = tuple[Literal["buffer"], int] | tuple[Literal["output"]] | tuple[Literal["size"], int] | tuple[Literal["scratch"], int]

MICROKERNELS = "tracegrad.codegen.microkernels"
ABI = "tracegrad.runtime.abi"
FIRST_SLOT = 2

MOST_CHUNKS = 64
"""Chunks of a launch: enough for any machine's threads; each has scratch memory of its own."""

DEPTH, BLOCK_ROWS, BLOCK_COLUMNS = 256, 48, 512
"""The blocks of the matrix product in ``microkernels``, which cannot be imported here."""

IMAGE_BYTES = 1 << 17
"""Padded images and results of one block: they stay in the second-level cache."""


@dataclass(frozen=True, slots=True)
class Layout:
    """An operand as the kernel finds it: offset and strides in elements of a buffer; strides may be 0 or negative."""

    dtype: np.dtype[Any]
    shape: Shape
    strides: tuple[int, ...]
    offset: int = 0


def contiguous(shape: Shape, dtype: np.dtype[Any]) -> Layout:
    """The row-major layout of a shape."""
    return Layout(dtype, shape, tuple(math.prod(shape[k + 1 :]) for k in range(len(shape))))


@dataclass(frozen=True, slots=True)
class Template:
    """The kernel of one contraction.

    Parameters
    ----------
    source: the text of the kernel function, with ``{name}`` for its name.
    imports: the pairs (module, name) that the text uses.
    slots: what belongs into the words of its table from word 2 on.
    chunks: the number of chunks.
    flops, bytes: its work, for the decision to use threads.
    """

    source: str
    imports: frozenset[tuple[str, str]]
    slots: tuple[Slot, ...]
    chunks: int
    flops: int
    bytes: int


@dataclass(slots=True)
class _Text:
    """A kernel's text and table under construction."""

    dtype: np.dtype[Any]
    lines: list[str] = field(default_factory=list)
    slots: list[Slot] = field(default_factory=list)
    imports: set[tuple[str, str]] = field(default_factory=lambda: {(ABI, "kernel")})

    @property
    def element(self) -> str:
        """The ABI's name of the dtype."""
        name = "boolean" if self.dtype.kind == "b" else self.dtype.name
        self.imports.add((ABI, name))
        return name

    def line(self, text: str, depth: int = 1) -> None:
        """Append a line."""
        self.lines.append("    " * depth + text)

    def block(self, text: str, depth: int = 1) -> None:
        """Append lines that have indentation of their own."""
        self.lines += [("    " * depth + each).rstrip() for each in text.strip("\n").splitlines()]

    def use(self, *names: str) -> None:
        """Import helpers."""
        self.imports |= {(MICROKERNELS, name) for name in names}

    def pointer(self, name: str, slot: Slot, element: str | None = None) -> None:
        """Name a buffer."""
        self.imports.add((ABI, "pointer"))
        self.line(f"{name} = pointer(table, {FIRST_SLOT + len(self.slots)}, {element or self.element})")
        self.slots.append(slot)

    def operand(self, name: str, position: int, offset: int) -> None:
        """Name an operand's first element."""
        self.pointer(name, ("buffer", position))
        self.use("offset")
        self.line(f"{name} = offset({name}, table[{FIRST_SLOT + len(self.slots)}])")
        self.slots.append(("size", offset))

    def scratch(self, nbytes: int, chunks: int, *, words: int = 0) -> None:
        """Name the scratch memory of the first chunk of the range, which the whole range uses.

        ``words`` 64-bit numbers at its beginning are named ``offsets``.
        """
        size = self.dtype.itemsize
        each = -(-(nbytes + 8 * words) // 64) * 64
        slot: Slot = ("scratch", each * chunks)
        if words:
            self.imports.add((ABI, "int64"))
            self.use("offset")
            self.pointer("offsets", slot, "int64")
            self.line(f"offsets = offset(offsets, first * table[{FIRST_SLOT + len(self.slots)}])")
            self.slots.append(("size", each // 8))
            self.pointer("scratch", slot)
        else:
            self.pointer("scratch", slot)
        self.use("offset")
        here = FIRST_SLOT + len(self.slots)
        self.line(f"scratch = offset(scratch, first * table[{here}] + table[{here + 1}])")
        self.slots += [("size", each // size), ("size", 8 * words // size)]

    def sizes(self, **sizes: int) -> None:
        """Name sizes."""
        for name, value in sizes.items():
            self.line(f"{name} = table[{FIRST_SLOT + len(self.slots)}]")
            self.slots.append(("size", value))

    def finish(self, chunks: int, flops: int, layouts: Iterable[Layout]) -> Template:
        """The template."""
        source = "@kernel\ndef {name}(first, last, table):\n" + "\n".join(self.lines) + "\n"
        nbytes = sum(math.prod(a.shape) * a.dtype.itemsize for a in layouts)
        return Template(source, frozenset(self.imports), tuple(self.slots), chunks, flops, nbytes)


def contraction(
    name: str, params: Mapping[str, Any], operands: tuple[Layout, ...], output: Layout
) -> Template:
    """The kernel of a contraction.

    Parameters
    ----------
    name: the name of the template, as the op's record has it in ``lower``.
    params: the op's parameters.
    operands: where its operands are.
    output: its result, a C-contiguous buffer that overlaps no operand.
    """
    return TEMPLATES[name](params, operands, output)


# -- matrix product ---------------------------------------------------------------------------------------------------


def _merge_batch(x: Layout, y: Layout, out: Layout) -> list[tuple[int, int, int, int]]:
    """The batch axes as (size, stride of x, of y, of the output), outermost first; neighbours walked as one are merged."""
    merged: list[tuple[int, int, int, int]] = []
    for k, size in enumerate(out.shape[:-2]):
        axis = (size, x.strides[k], y.strides[k], out.strides[k])
        if size == 1:
            continue
        if merged and all(before == own * size for before, own in zip(merged[-1][1:], axis[1:], strict=True)):
            merged[-1] = (merged[-1][0] * size, *axis[1:])
        else:
            merged.append(axis)
    return merged


def _chunked(text: _Text, units: int) -> int:
    """Name the units of work of a range of chunks; returns the number of chunks."""
    chunks = max(1, min(MOST_CHUNKS, units))
    text.sizes(units=units, chunks=chunks)
    text.line("unit = first * units // chunks")
    text.line("stop = last * units // chunks")
    return chunks


def _batch_offsets(text: _Text, batch: list[tuple[int, int, int, int]], names: tuple[str, str, str]) -> None:
    """Move three pointers to a matrix of the batch."""
    for k, sizes in enumerate(batch):
        text.sizes(**{f"batch_{k}": sizes[0]}, **{f"{n}_batch_{k}": s for n, s in zip(names, sizes[1:], strict=True)})


def _seek(text: _Text, batch: int, names: tuple[str, str, str], depth: int) -> None:
    if not batch:
        for n in names:
            text.line(f"{n}_at = {n}", depth)
        return
    text.use("offset")
    text.line("rest = batch", depth)
    for k in reversed(range(batch)):
        text.line(f"i_{k} = rest % batch_{k}", depth)
        if k:
            text.line(f"rest = rest // batch_{k}", depth)
    for n in names:
        text.line(f"{n}_at = offset({n}, " + " + ".join(f"i_{k} * {n}_batch_{k}" for k in range(batch)) + ")", depth)


def _gemm(params: Mapping[str, Any], operands: tuple[Layout, ...], out: Layout) -> Template:
    x, y = operands
    m, depth, n = x.shape[-2], x.shape[-1], y.shape[-1]
    if out.dtype.kind == "f" and min(m, n) > 1:
        return _tiled_product(x, y, out, m, depth, n)
    return _looped_product(x, y, out, m, depth, n)


def _tiled_product(x: Layout, y: Layout, out: Layout, m: int, depth: int, n: int) -> Template:
    text = _Text(out.dtype)
    batch = _merge_batch(x, y, out)
    text.operand("a", 0, x.offset)
    text.operand("b", 1, y.offset)
    text.pointer("c", ("output",))
    a, b, c = x.strides[-2:], y.strides[-2:], out.strides[-2:]
    if n < 16 < m:
        # A narrow result is computed transposed, where its columns fill the rows of a tile.
        text.slots[0], text.slots[2] = ("buffer", 1), ("buffer", 0)
        text.slots[1], text.slots[3] = text.slots[3], text.slots[1]
        m, n, a, b, c = n, m, b[::-1], a[::-1], c[::-1]
        batch = [(size, second, first, third) for size, first, second, third in batch]
    blocks = -(-m // BLOCK_ROWS) * -(-n // BLOCK_COLUMNS)
    chunks = _chunked(text, blocks * math.prod(size for size, *_ in batch))
    steps = min(DEPTH, depth)
    floats = (min(BLOCK_COLUMNS, -(-n // 64) * 64) + 2 * BLOCK_ROWS) * steps + 16 * 64
    text.scratch(floats * out.dtype.itemsize, chunks)
    text.sizes(m=m, n=n, depth=depth, blocks=blocks)
    text.sizes(a_row=a[0], a_col=a[1], b_row=b[0], b_col=b[1], c_row=c[0], c_col=c[1])
    _batch_offsets(text, batch, ("a", "b", "c"))
    text.use("gemm")
    text.line("while unit < stop:")
    text.line("batch = unit // blocks", 2)
    text.line("end = min(stop, (batch + 1) * blocks)", 2)
    text.line("begin = unit - batch * blocks", 2)
    _seek(text, len(batch), ("a", "b", "c"), 2)
    strides = "a_at, a_row, a_col, b_at, b_row, b_col, c_at, c_row, c_col"
    text.line(f"gemm({strides}, m, n, depth, begin, end - batch * blocks, scratch)", 2)
    text.line("unit = end", 2)
    return text.finish(chunks, 2 * math.prod(out.shape) * depth, (x, y, out))


TEMPLATES: dict[str, Callable[[Mapping[str, Any], tuple[Layout, ...], Layout], Template]] = {
    "gemm": _gemm,
}
