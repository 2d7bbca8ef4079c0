"""Convolution for kernels: the loops around the tiles of `microkernels`.

Images are copied with their padding so that the elements which the output positions ``j, j + 1, …`` multiply with one
tap are neighbours, at one offset for each tap, for every stride and dilation: one plane for each phase of the strides.
The tiles then read the copy directly, and no matrix of patches is made. Positions that straddle two rows or images are
computed and dropped.

Imported by generated programs only.
"""

from __future__ import annotations

from tracegrad.codegen.microkernels import (
    DOT_COLUMNS,
    DOT_ROWS,
    ROWS,
    dot_tile,
    helper,
    offset,
    offset_tile,
    stands_alone,
    vector_length,
)


@helper
def pad_images(  # type: ignore[no-untyped-def]
    image, axis_n, axis_c, axis_h, axis_w, have, channels, height, width, padded, count, sizes
):
    """Store padded images: ``padded[c, phase, n, i, j] = image[n, c, i * stride + phase - before, …]``, 0 outside.

    With a stuffing u the image's elements lie u apart, zeros between them. Images from ``have`` to ``count`` are 0.
    """
    stands_alone()
    stride_h, stride_w, before_h, before_w = sizes[0], sizes[1], sizes[2], sizes[3]
    stuffing_h, stuffing_w, rows, columns = sizes[4], sizes[5], sizes[6], sizes[7]
    into = 0
    for c in range(channels):
        for phase_h in range(stride_h):
            for phase_w in range(stride_w):
                # the first column whose element is not left of the image
                shift = phase_w - before_w
                start = 0 if shift >= 0 else (-shift + stride_w - 1) // stride_w
                for n in range(count):
                    for i in range(rows):
                        for j in range(columns):
                            padded[into + j] = 0
                        y = i * stride_h + phase_h - before_h
                        if n < have and y >= 0 and y < height * stuffing_h and y % stuffing_h == 0:
                            row = n * axis_n + c * axis_c + y // stuffing_h * axis_h
                            if stuffing_w == 1:
                                if shift + (columns - 1) * stride_w < width:
                                    end = columns
                                else:
                                    end = max(0, (width - shift + stride_w - 1) // stride_w)
                                for j in range(start, end):
                                    padded[into + j] = image[row + (j * stride_w + shift) * axis_w]
                            else:
                                for x in range(width):
                                    j = x * stuffing_w + before_w
                                    if j >= 0 and j < columns:
                                        padded[into + j] = image[row + x * axis_w]
                        into += columns


@helper
def tap_offsets(offsets, channels, count, kernel_h, kernel_w, dilation_h, dilation_w, sizes):  # type: ignore[no-untyped-def]
    """Store where in padded images the element stands that each channel's taps multiply at position 0."""
    stands_alone()
    stride_h, stride_w, rows, columns = sizes[0], sizes[1], sizes[6], sizes[7]
    plane = count * rows * columns
    k = 0
    for c in range(channels):
        for p in range(kernel_h):
            y = p * dilation_h
            for q in range(kernel_w):
                x = q * dilation_w
                phase = c * stride_h * stride_w + y % stride_h * stride_w + x % stride_w
                offsets[k] = phase * plane + y // stride_h * columns + x // stride_w
                k += 1


@helper
def pack_kernels(w, axis_o, axis_c, axis_h, axis_w, outputs, channels, kernel_h, kernel_w, packed):  # type: ignore[no-untyped-def]
    """Store kernels as panels of ``ROWS`` output channels for each tap, the last filled with 0."""
    stands_alone()
    into = 0
    for top in range(0, outputs, ROWS):
        for c in range(channels):
            for p in range(kernel_h):
                for q in range(kernel_w):
                    place = top * axis_o + c * axis_c + p * axis_h + q * axis_w
                    for i in range(ROWS):
                        packed[into + i] = w[place + i * axis_o] if top + i < outputs else 0
                    into += ROWS


@helper
def correlate(first, last, x, w, out, offsets, scratch, sizes):  # type: ignore[no-untyped-def]
    """Compute blocks ``first ≤ block < last`` of images of ``out[n, o] = Σ_c x[n, c] ⋆ w[o, c]``.

    ``sizes`` are words of the table that ``templates`` puts there. The sum runs over channels and taps at all positions
    of the padded rows; those that are none of the output's are dropped.
    """
    stands_alone()
    batch, count, groups, channels, outputs = sizes[8], sizes[9], sizes[10], sizes[11], sizes[12]
    height, width, out_h, out_w = sizes[13], sizes[14], sizes[15], sizes[16]
    kernel_h, kernel_w = sizes[17], sizes[18]
    rows, columns = sizes[6], sizes[7]
    depth = channels * kernel_h * kernel_w
    tile_width = 2 * vector_length(x)
    panels = (outputs + ROWS - 1) // ROWS
    row = (count * rows * columns + tile_width - 1) // tile_width * tile_width
    packed = scratch
    result = offset(packed, panels * ROWS * depth)
    padded = offset(result, panels * ROWS * row)
    tail = channels * sizes[0] * sizes[1] * count * rows * columns
    for k in range(rows * columns + 128):
        padded[tail + k] = 0
    tap_offsets(offsets, channels, count, kernel_h, kernel_w, sizes[19], sizes[20], sizes)
    for g in range(groups):
        pack_kernels(
            offset(w, g * sizes[25]),
            sizes[26],
            sizes[27],
            sizes[28],
            sizes[29],
            outputs,
            channels,
            kernel_h,
            kernel_w,
            packed,
        )
        for block in range(first, last):
            begin = block * count
            have = min(count, batch - begin)
            pad_images(
                offset(x, begin * sizes[21] + g * channels * sizes[22]),
                sizes[21], sizes[22], sizes[23], sizes[24], have, channels, height, width, padded, count, sizes,
            )  # fmt: skip
            positions = ((have - 1) * rows + out_h - 1) * columns + out_w
            for at in range(0, positions, tile_width):
                for panel in range(panels):
                    offset_tile(
                        offset(packed, panel * ROWS * depth),
                        offset(padded, at),
                        offsets,
                        depth,
                        offset(result, panel * ROWS * row + at),
                        row,
                    )
            crop(result, row, rows, columns, offset(out, (begin * groups + g) * outputs * out_h * out_w), have, sizes)


@helper
def crop(result, row, rows, columns, out, have, sizes):  # type: ignore[no-untyped-def]
    """Copy the positions that are the output's."""
    stands_alone()
    groups, outputs, out_h, out_w = sizes[10], sizes[12], sizes[15], sizes[16]
    for n in range(have):
        for o in range(outputs):
            for i in range(out_h):
                source = offset(result, o * row + (n * rows + i) * columns)
                into = offset(out, ((n * groups * outputs + o) * out_h + i) * out_w)
                for j in range(out_w):
                    into[j] = source[j]


@helper
def correlate_with_outputs(first, last, x, g, out, offsets, scratch, sizes):  # type: ignore[no-untyped-def]
    """Compute the output channels ``first ≤ o < last`` of the weight gradient.

    ``out[o, c, p, q] = Σ x[n, c, i·stride + p·dilation − before, …] · g[n, o, i, j]`` runs over the padded rows, where
    g is 0 at positions that are none of its own. Blocks of images are added in order.
    """
    stands_alone()
    batch, count, channels, outputs = sizes[8], sizes[9], sizes[11], sizes[12]
    height, width = sizes[13], sizes[14]
    rows, columns = sizes[6], sizes[7]
    depth = channels * sizes[17] * sizes[18]
    lanes = vector_length(x)
    row = (count * rows * columns + lanes - 1) // lanes * lanes
    sums = scratch
    cotangents = offset(sums, 64)
    padded = offset(cotangents, DOT_ROWS * row)
    tail = channels * sizes[0] * sizes[1] * count * rows * columns
    for k in range(rows * columns + 128):
        padded[tail + k] = 0
    tap_offsets(offsets, channels, count, sizes[17], sizes[18], sizes[19], sizes[20], sizes)
    for k in range(depth, depth + DOT_COLUMNS):
        offsets[k] = 0
    for k in range(first * depth, last * depth):
        out[k] = 0
    for group in range(first // outputs, (last - 1) // outputs + 1):
        for begin in range(0, batch, count):
            have = min(count, batch - begin)
            pad_images(
                offset(x, begin * sizes[21] + group * channels * sizes[22]),
                sizes[21], sizes[22], sizes[23], sizes[24], have, channels, height, width, padded, count, sizes,
            )  # fmt: skip
            for o in range(max(first, group * outputs), min(last, (group + 1) * outputs), DOT_ROWS):
                present = min(DOT_ROWS, min(last, (group + 1) * outputs) - o)
                place_outputs(offset(g, begin * sizes[25] + o * sizes[26]), row, present, have, cotangents, sizes)
                for k in range(0, depth, DOT_COLUMNS):
                    dot_tile(cotangents, row, padded, offset(offsets, k), row, sums)
                    for i in range(present):
                        for j in range(min(DOT_COLUMNS, depth - k)):
                            out[(o + i) * depth + k + j] += sums[i * DOT_COLUMNS + j]


@helper
def place_outputs(g, row, present, have, into, sizes):  # type: ignore[no-untyped-def]
    """Store output channels at their positions in the padded rows, 0 elsewhere."""
    stands_alone()
    out_h, out_w, rows, columns = sizes[15], sizes[16], sizes[6], sizes[7]
    for k in range(DOT_ROWS * row):
        into[k] = 0
    for o in range(present):
        for n in range(have):
            for i in range(out_h):
                source = offset(g, n * sizes[25] + o * sizes[26] + i * sizes[27])
                target = offset(into, o * row + (n * rows + i) * columns)
                for j in range(out_w):
                    target[j] = source[j * sizes[28]]
