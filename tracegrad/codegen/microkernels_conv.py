"""Convolution for kernels: the loops around the tiles of `microkernels`.

Images are copied with their padding so that the elements which the output positions ``j, j + 1, …`` multiply with one
tap are neighbours, at one offset for each tap, for every stride and dilation: one plane for each phase of the strides.
The tiles then read the copy directly, and no matrix of patches is made. Positions that straddle two rows or images are
computed and dropped.

Where that multiplies zeros which the convolution does not have, the other operand must be finite: where it is not, the
sum runs over the convolution's own products, one by one.

Imported by generated programs only.
"""

from __future__ import annotations

from tracegrad.codegen.kinds import WORD
from tracegrad.codegen.microkernels import product_tile
from tracegrad.codegen.microkernels_ir import (
    DOT_COLUMNS,
    DOT_ROWS,
    ROWS,
    Code,
    Pointer,
    Vectors,
    Word,
    routine,
)

# Where `templates` puts the sizes in the table.
STRIDE_H, STRIDE_W, BEFORE_H, BEFORE_W, STUFFING_H, STUFFING_W, PADDED_H, PADDED_W = range(8)
BATCH, BLOCK, GROUPS, CHANNELS, OUTPUTS, IMAGE_H, IMAGE_W, OUT_H, OUT_W = range(8, 17)
KERNEL_H, KERNEL_W, DILATION_H, DILATION_W, IMAGES, OTHER, TRANSPOSED = 17, 18, 19, 20, 21, 25, 30
"""``IMAGES`` and ``OTHER`` are the first of the strides of the two operands. ``TRANSPOSED`` is 1 where the padding and
stuffing of the images are no zeros of the op, which scatters them instead."""


# ---------------------------------------------------------------- tiles


def offset_tile(code: Code, a: Pointer, b: Pointer, offsets: Pointer, steps: Word, c: Pointer, row_stride: Word) -> None:
    """``c = a @ b`` for one tile; row k of ``b`` begins at ``offsets[k]``."""
    product_tile(code, a, steps, c, row_stride, lambda k: b + offsets[k], None)


def dot_tile(code: Code, a: Pointer, row_stride: Word, b: Pointer, offsets: Pointer, steps: Word, c: Pointer) -> None:
    """``c[i * DOT_COLUMNS + j] = Σ_s a[i * row_stride + s] * b[offsets[j] + s]``, vectors running along the sum."""
    vectors = Vectors(code)
    rows = [a + row_stride * i for i in range(DOT_ROWS)]
    begins = [b + offsets[j] for j in range(DOT_COLUMNS)]

    def step(s: Word, sums: list[object]) -> list[object]:
        left = [vectors.load(row, s) for row in rows]
        right = [vectors.load(begin, s) for begin in begins]
        pairs = [(x, y) for x in left for y in right]
        return [vectors.multiply_add(x, y, total) for (x, y), total in zip(pairs, sums, strict=True)]

    for place, total in enumerate(vectors.loop(steps, code.lanes, DOT_ROWS * DOT_COLUMNS, step)):
        c[place] = vectors.sum(total)


# ---------------------------------------------------------------- copies


def clear(code: Code, into: Pointer, count: Word) -> None:
    """Store zeros."""
    with code.loop(0, count) as k:
        into[k] = code.zero


def pad_images(code: Code, image: Pointer, have: Word, padded: Pointer, sizes: Pointer) -> None:
    """Store padded images: ``padded[c, phase, n, i, j] = image[n, c, i * stride + phase - before, …]``, 0 outside.

    With a stuffing u the image's elements lie u apart, zeros between them. Images from ``have`` to the block's end are
    0, and so is what a tile reads beyond them.
    """
    stride_h, stride_w, before_h, before_w = code.words(sizes, STRIDE_H, STRIDE_W, BEFORE_H, BEFORE_W)
    stuffing_h, stuffing_w, rows, columns = code.words(sizes, STUFFING_H, STUFFING_W, PADDED_H, PADDED_W)
    count, channels, height, width = code.words(sizes, BLOCK, CHANNELS, IMAGE_H, IMAGE_W)
    axis_n, axis_c, axis_h, axis_w = code.words(sizes, *range(IMAGES, IMAGES + 4))
    plane = count * rows * columns
    phases = stride_h * stride_w
    code.call(clear, padded, channels * phases * plane + rows * columns + 128)
    with code.loop(0, channels) as c, code.loop(0, stride_h) as phase_h, code.loop(0, stride_w) as phase_w:
        # Column x of the image, x * stuffing + before, is column j of phase `phase_w` where j * stride is what is left.
        at_plane = (c * phases + phase_h * stride_w + phase_w) * plane
        shift = before_w - phase_w
        with code.loop(0, have) as n, code.loop(0, rows) as i:
            y = i * stride_h + phase_h - before_h
            inside = (y >= 0, y < height * stuffing_h, (y % stuffing_h).equals(0))
            with code.when(*inside):
                row = image + (n * axis_n + c * axis_c + y // stuffing_h * axis_h)
                into = padded + (at_plane + (n * rows + i) * columns)
                with code.either(stuffing_w.equals(1)) as (dense, stuffed):
                    with dense:
                        start = (code.most(shift, 0) + stride_w - 1) // stride_w
                        stop = code.least(columns, (code.most(width + shift, 0) + stride_w - 1) // stride_w)
                        with code.loop(start, stop) as j:
                            into[j] = row[(j * stride_w - shift) * axis_w]
                    with stuffed, code.loop(0, width) as x:
                        j = x * stuffing_w + before_w
                        with code.when(j >= 0, j < columns):
                            into[j] = row[x * axis_w]


def tap_offsets(code: Code, element: Pointer, offsets: Pointer, sizes: Pointer) -> None:
    """Store where in padded images the element stands that each channel's taps multiply at position 0."""
    stride_h, stride_w, rows, columns = code.words(sizes, STRIDE_H, STRIDE_W, PADDED_H, PADDED_W)
    count, channels, kernel_h, kernel_w = code.words(sizes, BLOCK, CHANNELS, KERNEL_H, KERNEL_W)
    dilation_h, dilation_w = code.words(sizes, DILATION_H, DILATION_W)
    plane = count * rows * columns
    with code.loop(0, channels) as c, code.loop(0, kernel_h) as p, code.loop(0, kernel_w) as q:
        y, x = p * dilation_h, q * dilation_w
        phase = (c * stride_h + y % stride_h) * stride_w + x % stride_w
        offsets[(c * kernel_h + p) * kernel_w + q] = phase * plane + y // stride_h * columns + x // stride_w


def pack_kernels(code: Code, w: Pointer, packed: Pointer, sizes: Pointer) -> None:
    """Store kernels as panels of ``ROWS`` output channels for each tap, the last filled with 0."""
    channels, outputs, kernel_h, kernel_w = code.words(sizes, CHANNELS, OUTPUTS, KERNEL_H, KERNEL_W)
    axis_o, axis_c, axis_h, axis_w = code.words(sizes, *range(OTHER + 1, OTHER + 5))
    taps = kernel_h * kernel_w
    with code.loop(0, outputs, ROWS) as top, code.loop(0, channels * taps) as k:
        place = top * axis_o + k // taps * axis_c + k % taps // kernel_w * axis_h + k % kernel_w * axis_w
        into = packed + (top * channels * taps + k * ROWS)
        have = code.least(outputs - top, ROWS)
        with code.loop(0, have) as i:
            into[i] = w[place + i * axis_o]
        with code.loop(have, ROWS) as i:
            into[i] = code.zero


def crop(code: Code, result: Pointer, row: Word, out: Pointer, have: Word, sizes: Pointer) -> None:
    """Copy the positions that are the output's."""
    rows, columns, groups, outputs, out_h, out_w = code.words(sizes, PADDED_H, PADDED_W, GROUPS, OUTPUTS, OUT_H, OUT_W)
    with code.loop(0, have) as n, code.loop(0, outputs) as o, code.loop(0, out_h) as i:
        source = result + (o * row + (n * rows + i) * columns)
        into = out + ((n * groups * outputs + o) * out_h + i) * out_w
        with code.loop(0, out_w) as j:
            into[j] = source[j]


def place_outputs(code: Code, g: Pointer, row: Word, present: Word, have: Word, into: Pointer, sizes: Pointer) -> None:
    """Store output channels at their positions in the padded rows, 0 elsewhere."""
    rows, columns, out_h, out_w = code.words(sizes, PADDED_H, PADDED_W, OUT_H, OUT_W)
    axis_n, axis_o, axis_h, axis_w = code.words(sizes, *range(OTHER, OTHER + 4))
    code.call(clear, into, row * DOT_ROWS)
    with code.loop(0, present) as o, code.loop(0, have) as n, code.loop(0, out_h) as i:
        source = g + (n * axis_n + o * axis_o + i * axis_h)
        target = into + (o * row + (n * rows + i) * columns)
        with code.loop(0, out_w) as j:
            target[j] = source[j * axis_w]


def count_special(code: Code, values: Pointer, count: Word, found: Pointer) -> None:
    """Store how many of the values are infinite or not a number."""
    total = code.variable(code.word(0))
    with code.loop(0, count) as k:
        value = values[k]
        special = code.builder.fcmp_unordered("uno", code.builder.fsub(value, value), code.zero)
        total[0] = total[0] + Word(code.builder, code.builder.zext(special, WORD))
    found[0] = total[0]


# ---------------------------------------------------------------- the convolution, and its gradient in the images


@routine
def correlate(
    code: Code, first: Word, last: Word, x: Pointer, w: Pointer, out: Pointer, offsets: Pointer, scratch: Pointer,
    sizes: Pointer,
) -> None:  # fmt: skip
    """Compute blocks ``first ≤ block < last`` of images of ``out[n, o] = Σ_c x[n, c] ⋆ w[o, c]``.

    ``sizes`` are words of the table that ``templates`` puts there. The sum runs over channels and taps at all positions
    of the padded rows; those that are none of the output's are dropped.
    """
    batch, count, groups, channels, outputs = code.words(sizes, BATCH, BLOCK, GROUPS, CHANNELS, OUTPUTS)
    rows, columns, out_h, out_w = code.words(sizes, PADDED_H, PADDED_W, OUT_H, OUT_W)
    depth = channels * sizes[KERNEL_H] * sizes[KERNEL_W]
    tile_width = 2 * code.lanes
    panels = (outputs + (ROWS - 1)) // ROWS
    row = (count * rows * columns).rounded(tile_width)
    result = scratch + panels * ROWS * depth
    padded = result + panels * ROWS * row
    special = code.variable(code.word(0))
    code.call(tap_offsets, x, offsets, sizes)
    with code.loop(0, groups) as g:
        own = w + g * sizes[OTHER]
        code.call(pack_kernels, own, scratch, sizes)
        with code.when(sizes[TRANSPOSED].equals(1)):
            code.call(count_special, scratch, panels * ROWS * depth, special)
        with code.loop(first, last) as block:
            begin = block * count
            have = code.least(count, batch - begin)
            images = x + (begin * sizes[IMAGES] + g * channels * sizes[IMAGES + 1])
            into = out + (begin * groups + g) * outputs * out_h * out_w
            with code.either(special[0].equals(0)) as (finite, other):
                with finite:
                    code.call(pad_images, images, have, padded, sizes)
                    width = ((have - 1) * rows + out_h - 1) * columns + out_w
                    with code.loop(0, width, tile_width) as at, code.loop(0, panels) as panel:
                        left, to = scratch + panel * ROWS * depth, result + (panel * ROWS * row + at)
                        code.call(offset_tile, left, padded + at, offsets, depth, to, row, attributes=())
                    code.call(crop, result, row, into, have, sizes)
                with other:
                    code.call(gather, images, own, into, have, sizes)


def gather(code: Code, x: Pointer, w: Pointer, out: Pointer, have: Word, sizes: Pointer) -> None:
    """The images' gradient over products of their own elements only, for kernels with infinite numbers or none."""
    groups, outputs, out_h, out_w = code.words(sizes, GROUPS, OUTPUTS, OUT_H, OUT_W)
    with code.loop(0, have) as n, code.loop(0, outputs) as o, code.loop(0, out_h) as i, code.loop(0, out_w) as j:
        place = ((n * groups * outputs + o) * out_h + i) * out_w + j
        image, kernel = x + n * sizes[IMAGES], w + o * sizes[OTHER + 1]
        total = code.variable(code.zero)
        with code.loop(0, sizes[KERNEL_H]) as p, code.loop(0, sizes[KERNEL_W]) as q:
            y = i + p * sizes[DILATION_H] - sizes[BEFORE_H]
            z = j + q * sizes[DILATION_W] - sizes[BEFORE_W]
            stuffing_h, stuffing_w = code.words(sizes, STUFFING_H, STUFFING_W)
            inside = (y >= 0, z >= 0, y < sizes[IMAGE_H] * stuffing_h, z < sizes[IMAGE_W] * stuffing_w)
            with code.when(*inside, (y % stuffing_h).equals(0), (z % stuffing_w).equals(0)):
                at = y // stuffing_h * sizes[IMAGES + 2] + z // stuffing_w * sizes[IMAGES + 3]
                tap = p * sizes[OTHER + 3] + q * sizes[OTHER + 4]
                with code.loop(0, sizes[CHANNELS]) as c:
                    product = code.builder.fmul(image[c * sizes[IMAGES + 1] + at], kernel[c * sizes[OTHER + 2] + tap])
                    total[0] = code.builder.fadd(total[0], product)
        out[place] = total[0]


# ---------------------------------------------------------------- the gradient in the kernels


@routine
def correlate_with_outputs(
    code: Code, first: Word, last: Word, x: Pointer, g: Pointer, out: Pointer, offsets: Pointer, scratch: Pointer,
    sizes: Pointer,
) -> None:  # fmt: skip
    """Compute the output channels ``first ≤ o < last`` of the weight gradient.

    ``out[o, c, p, q] = Σ x[n, c, i·stride + p·dilation − before, …] · g[n, o, i, j]`` runs over the padded rows, where
    g is 0 at positions that are none of its own. Blocks of images are added in order.
    """
    batch, count, channels, outputs = code.words(sizes, BATCH, BLOCK, CHANNELS, OUTPUTS)
    rows, columns = code.words(sizes, PADDED_H, PADDED_W)
    depth = channels * sizes[KERNEL_H] * sizes[KERNEL_W]
    row = (count * rows * columns).rounded(code.lanes)
    cotangents = scratch + 64
    padded = cotangents + row * DOT_ROWS
    special = code.variable(code.word(0))
    code.call(tap_offsets, x, offsets, sizes)
    with code.loop(0, DOT_COLUMNS) as k:
        offsets[depth + k] = code.word(0)
    code.call(clear, out + first * depth, (last - first) * depth)
    with code.loop(first // outputs, (last - 1) // outputs + 1) as group, code.loop(0, batch, count) as begin:
        have = code.least(count, batch - begin)
        images = x + (begin * sizes[IMAGES] + group * channels * sizes[IMAGES + 1])
        code.call(pad_images, images, have, padded, sizes)
        planes = channels * sizes[STRIDE_H] * sizes[STRIDE_W]
        code.call(count_special, padded, planes * count * rows * columns, special, attributes=())
        top, bottom = code.most(first, group * outputs), code.least(last, (group + 1) * outputs)
        with code.loop(top, bottom, DOT_ROWS) as o:
            present = code.least(bottom - o, DOT_ROWS)
            own = g + (begin * sizes[OTHER] + o * sizes[OTHER + 1])
            into = out + o * depth
            with code.either(special[0].equals(0)) as (finite, other):
                with finite:
                    code.call(place_outputs, own, row, present, have, cotangents, sizes)
                    with code.loop(0, depth, DOT_COLUMNS) as k:
                        code.call(dot_tile, cotangents, row, padded, offsets + k, row, scratch, attributes=())
                        with code.loop(0, present) as i, code.loop(0, code.least(depth - k, DOT_COLUMNS)) as j:
                            place = i * depth + k + j
                            into[place] = code.builder.fadd(into[place], scratch[i * DOT_COLUMNS + j])
                with other:
                    code.call(multiply_outputs, padded, own, into, offsets, depth, present, have, sizes)


def multiply_outputs(
    code: Code, padded: Pointer, g: Pointer, out: Pointer, offsets: Pointer, depth: Word, present: Word, have: Word,
    sizes: Pointer,
) -> None:  # fmt: skip
    """Add a block's products at the outputs' own positions, for images with infinite numbers or none."""
    rows, columns, out_h, out_w = code.words(sizes, PADDED_H, PADDED_W, OUT_H, OUT_W)
    axis_n, axis_o, axis_h, axis_w = code.words(sizes, *range(OTHER, OTHER + 4))
    with code.loop(0, present) as o, code.loop(0, depth) as k:
        total = code.variable(out[o * depth + k])
        with code.loop(0, have) as n, code.loop(0, out_h) as i:
            image = padded + (offsets[k] + (n * rows + i) * columns)
            cotangent = g + (n * axis_n + o * axis_o + i * axis_h)
            with code.loop(0, out_w) as j:
                product = code.builder.fmul(image[j], cotangent[j * axis_w])
                total[0] = code.builder.fadd(total[0], product)
        out[o * depth + k] = total[0]
