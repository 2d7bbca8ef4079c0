"""Kernels of contractions, as text.

A template's text depends on dtype, rank and layout class alone. Sizes and strides are words of the kernel's table, so
another batch size is the same kernel. Every element of the output is written, and its sum runs in an order that
depends on the sizes alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from tracegrad.core.aval import Shape

Slot = tuple[Literal["buffer"], int] | tuple[Literal["output"]] | tuple[Literal["size"], int] | tuple[Literal["scratch"], int]

MICROKERNELS = "tracegrad.codegen.microkernels"
VECTORS = "tracegrad.codegen.microkernels_vector"
CONVOLUTION = "tracegrad.codegen.microkernels_conv"
MATHLIB = "tracegrad.codegen.mathlib"
ABI = "tracegrad.runtime.abi"
FIRST_SLOT = 2

MOST_CHUNKS = 64
"""Chunks of a launch: enough for any machine's threads; each has scratch memory of its own."""

DEPTH, BLOCK_ROWS, BLOCK_COLUMNS = 256, 48, 512
"""Blocks of the matrix product: for ``DEPTH`` steps of the sum, packed rows stay in the second-level cache."""

SHORT = 64
"""Depth to which a narrow product reads the rows of its first operand in place; `microkernels` has the same number."""

WIDE = 1 << 62
"""Bytes of a row of a result: more than any tile is wide."""

PRODUCT_SCRATCH = 1 << 23
"""Bytes for the packed blocks of one product, over all of its chunks."""

IMAGE_BYTES = 1 << 17
"""Padded images and results of one block: they stay in the second-level cache."""


@dataclass(frozen=True, slots=True)
class Layout:
    """An operand as the kernel finds it: offset and strides in elements of a buffer; strides may be 0 or negative.

    ``cold`` says that it is too large to be in a cache when the kernel reads it.
    """

    dtype: np.dtype[Any]
    shape: Shape
    strides: tuple[int, ...]
    offset: int = 0
    cold: bool = False


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
    finish: whether ``{name}_finish`` adds up parts of sums afterwards.
    row: bytes of a row of a product's result that is computed without packing its operands, else ``WIDE``; 0 without a product.
    """

    source: str
    imports: frozenset[tuple[str, str]]
    slots: tuple[Slot, ...]
    chunks: int
    flops: int
    bytes: int
    finish: bool = False
    row: int = 0


@dataclass(slots=True)
class _Text:
    """A kernel's text and table under construction."""

    dtype: np.dtype[Any]
    lines: list[str] = field(default_factory=list)
    slots: list[Slot] = field(default_factory=list)
    imports: set[tuple[str, str]] = field(default_factory=lambda: {(ABI, "kernel")})

    @property
    def element(self) -> str:
        """The ABI's name of the dtype; truth values are the bytes 0 and 1."""
        name = "uint8" if self.dtype.kind == "b" else self.dtype.name
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
    name: str, params: Mapping[str, Any], operands: tuple[Layout, ...], output: Layout, most: int = MOST_CHUNKS
) -> Template:
    """The kernel of a contraction.

    Parameters
    ----------
    name: the name of the template, as the op's record has it in ``lower``.
    params: the op's parameters.
    operands: where its operands are.
    output: its result, a C-contiguous buffer that overlaps no operand.
    most: chunks that it may have; each has scratch memory of its own.
    """
    return TEMPLATES[name](params, operands, output, most)


# -- matrix product ---------------------------------------------------------------------------------------------------


def _merge_batch(x: Layout, y: Layout, out: Layout) -> list[tuple[int, int, int, int]]:
    """The batch axes as (size, strides of x, y and the output), outermost first; those walked as one are merged."""
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


def _chunked(text: _Text, units: int, most: int) -> int:
    """Name the units of work of a range of chunks; returns the number of chunks."""
    chunks = max(1, min(units, most))
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


def _gemm(params: Mapping[str, Any], operands: tuple[Layout, ...], out: Layout, most: int) -> Template:
    x, y = operands
    m, n = x.shape[-2], y.shape[-1]
    if out.dtype.kind == "f" and min(m, n) > 1:
        return _tiled_product(x, y, out, most)
    # the transposed product of a row: the result's long axis is the outer one
    turned = m == 1 and n > 1
    if turned:
        x, y = (replace(z, shape=_swapped(z.shape), strides=_swapped(z.strides)) for z in (y, x))
    if out.dtype.kind == "f" and n != m and x.strides[-2] == 1 != x.strides[-1]:
        return _sum_of_rows(x, y, out, turned, most)
    return _looped_product(x, y, out, turned, most)


def _along_rows(x: Layout, y: Layout, n: int, out: Layout) -> bool:
    """Whether rows in memory are multiplied by a vector in memory."""
    return out.dtype.kind == "f" and n == 1 and x.strides[-1] == 1 == y.strides[-2]


def _swapped(axes: tuple[int, ...]) -> tuple[int, ...]:
    return (*axes[:-2], axes[-1], axes[-2])


def _turn(text: _Text, turned: bool) -> None:
    """Exchange the operands at run time: which way is faster depends on sizes, and the text must not."""
    text.sizes(turned=int(turned))
    text.line("if turned != 0:")
    text.line("a, b = b, a", 2)


def _tiled_product(x: Layout, y: Layout, out: Layout, most: int) -> Template:
    text = _Text(out.dtype)
    m, depth, n = x.shape[-2], x.shape[-1], y.shape[-1]
    batch = _merge_batch(x, y, out)
    text.operand("a", 0, x.offset)
    text.operand("b", 1, y.offset)
    text.pointer("c", ("output",))
    a, b, c = x.strides[-2:], y.strides[-2:], out.strides[-2:]
    # A narrow result is computed transposed, where its columns fill the rows of a tile, unless a is read in place.
    turned = n < 16 < m and a[0] != 1 and depth > SHORT
    _turn(text, turned)
    if turned:
        m, n, a, b, c = n, m, b[::-1], a[::-1], c[::-1]
        batch = [(size, second, first, third) for size, first, second, third in batch]
    # Blocks of rows are about equal, in whole tiles: 64 rows are 36 and 28, not 48 and 16.
    row_blocks = -(-m // BLOCK_ROWS)
    block = max(1, -(-m // (12 * max(row_blocks, 1)))) * 12
    batches = math.prod(size for size, *_ in batch)
    # Few rows are packed again for each block of columns, and not the many columns for each block of rows.
    few = m <= 2 * BLOCK_ROWS and n >= 256 and batches == 1
    block_n = min(BLOCK_COLUMNS, 128 if n <= BLOCK_COLUMNS else 256 if n <= 2 * BLOCK_COLUMNS else n) if few else BLOCK_COLUMNS
    column_blocks = -(-n // block_n)
    blocks = row_blocks * column_blocks
    steps = min(DEPTH, depth)
    nbytes = ((min(block_n, -(-n // 64) * 64) + 2 * BLOCK_ROWS) * steps + 16 * 64) * out.dtype.itemsize
    # Rows that lie between one another in memory are read in its order: a block of each matrix, then the next block.
    mixed = n < 16 and depth <= SHORT and any(0 < abs(stride) < abs(a[0]) for _, stride, *_ in batch)
    chunks = _chunked(text, blocks * batches, min(most, PRODUCT_SCRATCH // nbytes))
    text.scratch(nbytes, chunks)
    text.sizes(batches=batches, mixed=int(mixed))
    text.sizes(m=m, n=n, depth=depth, blocks=blocks, block_m=block, block_n=block_n, block_k=DEPTH)
    text.sizes(a_row=a[0], a_col=a[1], b_row=b[0], b_col=b[1], c_row=c[0], c_col=c[1])
    _batch_offsets(text, batch, ("a", "b", "c"))
    text.use("gemm")
    text.line("while unit < stop:")
    text.line("batch = unit % batches if mixed != 0 else unit // blocks", 2)
    text.line("begin = unit // batches if mixed != 0 else unit % blocks", 2)
    text.line("end = begin + 1 if mixed != 0 else min(blocks, begin + stop - unit)", 2)
    _seek(text, len(batch), ("a", "b", "c"), 2)
    strides = "a_at, a_row, a_col, b_at, b_row, b_col, c_at, c_row, c_col"
    text.line(f"gemm({strides}, m, n, depth, begin, end, scratch, block_m, block_n, block_k)", 2)
    text.line("unit += end - begin", 2)
    narrow = c[1] == 1 and (a[0] == 1 or depth <= SHORT)
    done = text.finish(chunks, 2 * math.prod(out.shape) * depth, (x, y, out))
    return replace(done, row=n * out.dtype.itemsize if narrow else WIDE)


def _vector_operands(text: _Text, x: Layout, y: Layout, turned: bool) -> None:
    """Name the matrix a, the vector b and the result c; ``turned`` says that the second operand is the matrix."""
    first, second = (y, x) if turned else (x, y)
    text.operand("a", 0, first.offset)
    text.operand("b", 1, second.offset)
    text.pointer("c", ("output",))
    _turn(text, turned)


def _sum_of_rows(x: Layout, y: Layout, out: Layout, turned: bool, most: int) -> Template:
    """A matrix, whose sums run along its long stride, times a vector: multiples of rows, which may be few and long.

    Long sums are cut into parts so that there is work for all threads; the parts are added in their order.
    """
    text = _Text(out.dtype)
    m, depth = x.shape[-2:]
    batch = _merge_batch(x, y, contiguous((*x.shape[:-1], 1), out.dtype))
    _vector_operands(text, x, y, turned)
    block = min(m, ROW_BLOCK)
    outer = -(-m // max(block, 1)) * math.prod(size for size, *_ in batch)
    parts = max(1, min(most // max(outer, 1), m * depth // (max(outer, 1) * LOOP_WORK)))
    chunks = _chunked(text, outer * parts, most)
    size = math.prod(out.shape)
    sums = FIRST_SLOT + len(text.slots)
    text.pointer("parts_after", ("scratch", max(1, (parts - 1) * size * out.dtype.itemsize)))
    singly = m < SHORT_ROW and x.cold
    text.sizes(size=size, parts=parts, depth=depth, m=m, block=block, blocks=-(-m // max(block, 1)), singly=int(singly))
    text.sizes(a_col=x.strides[-1], b_row=y.strides[-2])
    text.scratch(-(-block // 64) * 64 * out.dtype.itemsize, chunks)
    _batch_offsets(text, batch, ("a", "b", "c"))
    text.imports.add((VECTORS, "sum_of_rows"))
    text.line("while unit < stop:")
    text.line("part = unit % parts", 2)
    text.line("top = unit // parts % blocks * block", 2)
    text.line("batch = unit // parts // blocks", 2)
    _seek(text, len(batch), ("a", "b", "c"), 2)
    text.block(PART_OF_SUM, 2)
    text.line("unit += 1", 2)
    text.imports |= {(VECTORS, "add_parts"), (ABI, "pointer")}
    text.lines += ["", "", "@kernel", "def {name}_finish(first, last, table):"]
    out_at = next(k for k, slot in enumerate(text.slots) if slot[0] == "output") + FIRST_SLOT
    pointers = ", ".join(f"pointer(table, {word}, {text.element})" for word in (out_at, sums))
    text.line(f"add_parts({pointers}, table[{sums + 1}], table[{sums + 2}] - 1)")
    return replace(text.finish(chunks, 2 * size * depth, (x, y, out)), finish=True)


ROW_BLOCK = 1024
"""Elements of the result that a chunk sums up, at most."""

SHORT_ROW = 512
"""Rows shorter than this are read one by one where they come from memory."""

PART_OF_SUM = """
begin = part * depth // parts
steps = (part + 1) * depth // parts - begin
left, right = offset(a_at, begin * a_col + top), offset(b_at, begin * b_row)
into = offset(c_at if part == 0 else offset(parts_after, (part - 1) * size + batch * m), top)
sum_of_rows(left, a_col, right, b_row, into, min(block, m - top), steps, singly, scratch)
"""


def _looped_product(x: Layout, y: Layout, out: Layout, turned: bool, most: int) -> Template:
    """Vectors, and dtypes that no tile is made for: plain loops, of which the innermost walks memory."""
    text = _Text(out.dtype)
    m, depth, n = x.shape[-2], x.shape[-1], y.shape[-1]
    result = contiguous((*x.shape[:-1], n), out.dtype)
    batch = _merge_batch(x, y, result)
    a, b, c = x.strides[-2:], y.strides[-2:], result.strides[-2:]
    _vector_operands(text, x, y, turned)
    block = max(1, LOOP_WORK // max(depth * n, 1))
    blocks = max(1, -(-m // block))
    chunks = _chunked(text, blocks * math.prod(size for size, *_ in batch), most)
    text.sizes(m=m, n=n, depth=depth, blocks=blocks, block=block)
    text.sizes(a_row=a[0], b_col=b[1], c_row=c[0], c_col=c[1])
    along_rows = _along_rows(x, y, n, out)
    if along_rows:
        text.sizes(singly=int(x.cold))
    # a unit stride is written out, so that the loop over it becomes vector instructions
    inner = [] if along_rows else [("a_col", a[1]), ("b_row", b[0])]
    for name, stride in inner:
        if stride == 1:
            text.line(f"{name} = 1")
        else:
            text.sizes(**{name: stride})
    _batch_offsets(text, batch, ("a", "b", "c"))
    text.line("while unit < stop:")
    text.line("batch = unit // blocks", 2)
    text.line("top = (unit - batch * blocks) * block", 2)
    text.line("bottom = min(m, top + block)", 2)
    _seek(text, len(batch), ("a", "b", "c"), 2)
    if along_rows:
        text.use("offset")
        text.imports.add((VECTORS, "rows_times_vector"))
        text.line("left, into = offset(a_at, top * a_row), offset(c_at, top * c_row)", 2)
        text.line("rows_times_vector(left, a_row, b_at, into, bottom - top, depth, singly)", 2)
    else:
        text.block(_sum_loop(text), 2)
    text.line("unit += 1", 2)
    return text.finish(chunks, 2 * math.prod(out.shape) * depth, (x, y, out))


LOOP_WORK = 1 << 16
"""Products in a chunk of a looped kernel."""


def _sum_loop(text: _Text) -> str:
    """Sums of products, one per element of the result."""
    kind = text.dtype.kind
    if kind == "f":
        text.imports.add((MATHLIB, "accumulate"))
        zero, step = f"{text.element}(0)", "total = accumulate(total, left[k * a_col] * right[k * b_row])"
    else:
        zero, step = _integer_sum(text, "left[k * a_col]", "right[k * b_row]")
    return f"""
for i in range(top, bottom):
    left = offset(a_at, i * a_row)
    for j in range(n):
        right = offset(b_at, j * b_col)
        total = {zero}
        for k in range(depth):
            {step}
        c_at[i * c_row + j * c_col] = total
"""


# -- convolution ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Images:
    """How a convolution reads its images: padded rows over which all strides and dilations are fixed offsets."""

    batch: int
    groups: int
    channels: int  # of one group
    outputs: int  # of one group
    sizes: Shape  # height and width of the images
    counts: Shape  # height and width of the result
    window: Shape
    strides: Shape
    before: Shape
    stuffing: Shape
    dilations: Shape

    @property
    def rows(self) -> Shape:
        """Height and width of a padded image's phase."""
        high, wide = (self._extent(axis) for axis in (0, 1))
        return high, wide

    def _extent(self, axis: int) -> int:
        """The length of an axis of a phase.

        Without strides the zeros behind a row are those before the next one, and so for images.
        """
        reach = (self.window[axis] - 1) * self.dilations[axis]
        full = self.counts[axis] + reach // self.strides[axis]
        if self.strides != (1, 1):
            return full
        behind = full - self.before[axis] - (self.sizes[axis] - 1) * self.stuffing[axis] - 1
        return full - max(0, min(self.before[axis], behind, reach))

    @property
    def depth(self) -> int:
        """Products in one element of the result."""
        return self.channels * math.prod(self.window)

    @property
    def padded(self) -> int:
        """Elements of one padded image."""
        return self.channels * math.prod(self.strides) * math.prod(self.rows)

    def block(self, itemsize: int, extra: int) -> int:
        """Images of one block; ``extra`` is how many elements each takes beside the padded ones."""
        fitting = IMAGE_BYTES // max(1, (self.padded + extra) * itemsize)
        return max(1, min(fitting, -(-self.batch // 8)))

    def words(self, block: int) -> list[Slot]:
        """The table's words, as ``microkernels`` reads them."""
        named = (
            *self.strides, *self.before, *self.stuffing, *self.rows,
            self.batch, block, self.groups, self.channels, self.outputs,
            *self.sizes, *self.counts, *self.window, *self.dilations,
        )  # fmt: skip
        return [("size", int(n)) for n in named]


def _forward(params: Mapping[str, Any], operands: tuple[Layout, ...], out: Layout, most: int) -> Template:
    x, w = operands
    (top, _), (left, _) = params["padding"]
    images = _Images(
        x.shape[0], params["groups"], w.shape[1], w.shape[0] // params["groups"], x.shape[2:], out.shape[2:],
        w.shape[2:], params["strides"], (top, left), (1, 1), params["dilations"],
    )  # fmt: skip
    kernels = (w.offset, images.outputs * w.strides[0], *w.strides)
    return _correlation(images, x, w, kernels, out, most, transposed=False)


def _input_gradient(params: Mapping[str, Any], operands: tuple[Layout, ...], out: Layout, most: int) -> Template:
    """The cotangent with zeros between its elements, convolved with the kernels turned round."""
    g, w = operands
    groups, dilations = params["groups"], params["dilations"]
    before = tuple((k - 1) * d - b for k, d, (b, _) in zip(w.shape[2:], dilations, params["padding"], strict=True))
    images = _Images(
        g.shape[0], groups, w.shape[0] // groups, w.shape[1], g.shape[2:], out.shape[2:],
        w.shape[2:], (1, 1), before, params["strides"], dilations,
    )  # fmt: skip
    o, c, p, q = w.strides
    turned = w.offset + (w.shape[2] - 1) * p + (w.shape[3] - 1) * q
    return _correlation(images, g, w, (turned, images.channels * o, c, o, -p, -q), out, most, transposed=True)


def _correlation(
    images: _Images, x: Layout, w: Layout, kernels: tuple[int, ...], out: Layout, most: int, *, transposed: bool
) -> Template:
    """Both convolutions of images with kernels.

    ``kernels`` are offset and strides of the kernels: by group, output channel, channel, height, width. ``transposed``
    says that the zeros around and between the images' elements are multiplied by no kernel in the op.
    """
    text = _Text(out.dtype)
    size = out.dtype.itemsize
    panel = -(-images.outputs // 24) * 24
    block = images.block(size, panel * math.prod(images.rows))
    chunks = max(1, min(most, -(-images.batch // block)))
    text.operand("x", 0, x.offset)
    text.operand("w", 1, kernels[0])
    text.pointer("out", ("output",))
    if out.dtype.kind != "f":
        return _looped_correlation(text, images, x, kernels, out, most)
    row = -(-block * math.prod(images.rows) // 64) * 64
    floats = panel * (images.depth + row) + images.padded * block + math.prod(images.rows) + 128
    text.scratch(floats * size, chunks, words=images.depth)
    text.sizes(blocks=-(-images.batch // block), chunks=chunks)
    text.use("offset")
    text.imports.add((CONVOLUTION, "correlate"))
    text.line(f"sizes = offset(table, {FIRST_SLOT + len(text.slots)})")
    text.slots += [*images.words(block), *(("size", n) for n in (*x.strides, *kernels[1:], int(transposed)))]
    text.line("begin, end = first * blocks // chunks, last * blocks // chunks")
    text.line("correlate(begin, end, x, w, out, offsets, scratch, sizes)")
    return text.finish(chunks, 2 * math.prod(out.shape) * images.depth, (x, w, out))


def _weight_gradient(params: Mapping[str, Any], operands: tuple[Layout, ...], out: Layout, most: int) -> Template:
    x, g = operands
    (top, _), (left, _) = params["padding"]
    groups = params["groups"]
    images = _Images(
        x.shape[0], groups, out.shape[1], out.shape[0] // groups, x.shape[2:], g.shape[2:],
        out.shape[2:], params["strides"], (top, left), (1, 1), params["dilations"],
    )  # fmt: skip
    text = _Text(out.dtype)
    size = out.dtype.itemsize
    text.operand("x", 0, x.offset)
    text.operand("g", 1, g.offset)
    text.pointer("out", ("output",))
    flops = 2 * math.prod(g.shape) * images.depth
    if out.dtype.kind != "f":
        return _looped_weight_gradient(text, images, x, g, out, most)
    block = images.block(size, 4 * math.prod(images.rows))
    chunks = max(1, min(most, -(-out.shape[0] // 8)))
    row = -(-block * math.prod(images.rows) // 64) * 64
    floats = 64 + 4 * row + images.padded * block + math.prod(images.rows) + 128
    text.scratch(floats * size, chunks, words=images.depth + 8)
    text.sizes(outputs=out.shape[0], chunks=chunks)
    text.use("offset")
    text.imports.add((CONVOLUTION, "correlate_with_outputs"))
    text.line(f"sizes = offset(table, {FIRST_SLOT + len(text.slots)})")
    text.slots += [*images.words(block), *(("size", n) for n in (*x.strides, *g.strides))]
    text.line("begin, end = first * outputs // chunks, last * outputs // chunks")
    text.line("if begin < end:")
    text.line("correlate_with_outputs(begin, end, x, g, out, offsets, scratch, sizes)", 2)
    return text.finish(chunks, flops, (x, g, out))


def _looped_correlation(text: _Text, images: _Images, x: Layout, kernels: tuple[int, ...], out: Layout, most: int) -> Template:
    chunks = max(1, min(most, images.batch))
    text.sizes(chunks=chunks)
    _named_sizes(text, images)
    text.sizes(**dict(zip(("x_n", "x_c", "x_h", "x_w"), x.strides, strict=True)))
    text.sizes(**dict(zip(("w_g", "w_o", "w_c", "w_p", "w_q"), kernels[1:], strict=True)))
    image = "x[n * x_n + (g * channels + c) * x_c + y // stuffing_h * x_h + z // stuffing_w * x_w]"
    zero, add = _integer_sum(text, image, "w[g * w_g + o * w_o + c * w_c + p * w_p + q * w_q]")
    text.block(LOOPED_CORRELATION.replace("ZERO", zero).replace("ADD", add))
    return text.finish(chunks, 2 * math.prod(out.shape) * images.depth, (x, out))


def _looped_weight_gradient(text: _Text, images: _Images, x: Layout, g: Layout, out: Layout, most: int) -> Template:
    chunks = max(1, min(most, out.shape[0]))
    text.sizes(chunks=chunks)
    _named_sizes(text, images)
    text.sizes(**dict(zip(("x_n", "x_c", "x_h", "x_w"), x.strides, strict=True)))
    text.sizes(**dict(zip(("g_n", "g_o", "g_h", "g_w"), g.strides, strict=True)))
    image = "x[n * x_n + (o // outputs * channels + c) * x_c + y * x_h + z * x_w]"
    zero, add = _integer_sum(text, image, "g[n * g_n + o * g_o + i * g_h + j * g_w]")
    text.block(LOOPED_WEIGHT_GRADIENT.replace("ZERO", zero).replace("ADD", add))
    return text.finish(chunks, 2 * math.prod(g.shape) * images.depth, (x, g, out))


def _named_sizes(text: _Text, images: _Images) -> None:
    text.sizes(batch=images.batch, groups=images.groups, channels=images.channels, outputs=images.outputs)
    for name, (high, wide) in {
        "image": images.sizes, "out": images.counts, "kernel": images.window, "stride": images.strides,
        "before": images.before, "stuffing": images.stuffing, "dilation": images.dilations,
    }.items():  # fmt: skip
        text.sizes(**{f"{name}_h": high, f"{name}_w": wide})


def _integer_sum(text: _Text, left: str, right: str) -> tuple[str, str]:
    both = f"total | {left} & {right}" if text.dtype.kind == "b" else f"total + {left} * {right}"
    return f"{text.element}(0)", f"total = {text.element}({both})"


LOOPED_CORRELATION = """
for n in range(first * batch // chunks, last * batch // chunks):
    for g in range(groups):
        for o in range(outputs):
            for i in range(out_h):
                for j in range(out_w):
                    total = ZERO
                    for c in range(channels):
                        for p in range(kernel_h):
                            y = i * stride_h + p * dilation_h - before_h
                            if y < 0 or y >= image_h * stuffing_h or y % stuffing_h:
                                continue
                            for q in range(kernel_w):
                                z = j * stride_w + q * dilation_w - before_w
                                if z < 0 or z >= image_w * stuffing_w or z % stuffing_w:
                                    continue
                                ADD
                    out[(((n * groups + g) * outputs + o) * out_h + i) * out_w + j] = total
"""

LOOPED_WEIGHT_GRADIENT = """
for o in range(first * groups * outputs // chunks, last * groups * outputs // chunks):
    for c in range(channels):
        for p in range(kernel_h):
            for q in range(kernel_w):
                total = ZERO
                for n in range(batch):
                    for i in range(out_h):
                        y = i * stride_h + p * dilation_h - before_h
                        if y < 0 or y >= image_h:
                            continue
                        for j in range(out_w):
                            z = j * stride_w + q * dilation_w - before_w
                            if z < 0 or z >= image_w:
                                continue
                            ADD
                out[((o * channels + c) * kernel_h + p) * kernel_w + q] = total
"""


TEMPLATES: dict[str, Callable[[Mapping[str, Any], tuple[Layout, ...], Layout, int], Template]] = {
    "gemm": _gemm,
    "convolution": _forward,
    "convolution_input_gradient": _input_gradient,
    "convolution_weight_gradient": _weight_gradient,
}
