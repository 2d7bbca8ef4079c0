"""Matrix product for kernels: register tiles in vector IR, and the loops around them.

A tile of the product is kept in registers while its sum runs: ``ROWS × 2`` vectors, each step loading two vectors of
one operand and broadcasting ``ROWS`` elements of the other, which is packed so that they are neighbours.

Sums run in an order that depends on the sizes alone. Imported by generated programs only.
"""

from __future__ import annotations

from collections.abc import Callable

from tracegrad.codegen.microkernels_ir import ROWS, Code, Pointer, Vectors, Word, offset, routine

__all__ = ["gemm", "offset", "product_tile"]


def product_tile(
    code: Code, a: Pointer, steps: Word, c: Pointer, row_stride: Word, row_of_b: Callable[[Word], Pointer], add: Word | None
) -> None:
    """Write ``c[i, j] (+)= Σ_k a[k * ROWS + i] * row_of_b(k)[j]``, the sum added to c where the word ``add`` is not 0."""
    vectors = Vectors(code)

    def step(k: Word, sums: list[object]) -> list[object]:
        row = row_of_b(k)
        columns = [vectors.load(row, v * code.lanes) for v in range(2)]
        packed = a + k * ROWS
        following = []
        # Each factor beside its products: with all factors in front the tile took twice as long in every other process.
        for i in range(ROWS):
            factor = vectors.splat(packed[i])
            following += [vectors.multiply_add(factor, columns[v], sums[2 * i + v]) for v in range(2)]
        return following

    sums = vectors.loop(steps, 1, 2 * ROWS, step)
    places = [row_stride * (n // 2) + n % 2 * code.lanes for n in range(2 * ROWS)]
    if add is None:
        for place, value in zip(places, sums, strict=True):
            vectors.store(value, c, place)
        return
    with code.either(add.equals(0)) as (overwrite, accumulate):
        with overwrite:
            for place, value in zip(places, sums, strict=True):
                vectors.store(value, c, place)
        with accumulate:
            for place, value in zip(places, sums, strict=True):
                vectors.store(code.builder.fadd(vectors.load(c, place), value), c, place)


def packed_tile(code: Code, a: Pointer, b: Pointer, steps: Word, c: Pointer, row_stride: Word, add: Word) -> None:
    """``c (+)= a @ b`` for one tile, both operands packed."""
    product_tile(code, a, steps, c, row_stride, lambda k: b + k * (2 * code.lanes), add)


def pack(
    code: Code, source: Pointer, stride: Word, along: Word, count: Word, steps: Word, width: Word, packed: Pointer
) -> None:
    """Store ``source[i * stride + k * along]`` as panels of ``width`` neighbours i for each k, filled up with 0.

    The panels of ``a`` are ``ROWS`` wide, those of ``b`` two vectors; whole ones are written out for either.
    """
    vectors = Vectors(code)
    with code.loop(0, count, width) as panel:
        into = packed + panel * steps
        have = code.least(width, count - panel)
        begin = source + panel * stride
        with code.either(width.equals(ROWS), have.equals(ROWS)) as (rows, other):
            with rows, code.loop(0, steps) as k:
                for row in range(ROWS):
                    into[k * ROWS + row] = begin.single(stride * row + k * along, vectors.bytes)
            with other, code.either(have.equals(2 * code.lanes), stride.equals(1)) as (columns, rest):
                with columns, code.loop(0, steps) as k:
                    for v in range(2):
                        vector = vectors.load(begin, k * along + v * code.lanes)
                        vectors.store(vector, into, k * width + v * code.lanes)
                with rest:
                    with code.when(have < width), code.loop(0, steps * width) as place:
                        into[place] = code.zero
                    with code.loop(0, have) as i, code.loop(0, steps) as k:
                        into[k * width + i] = begin[i * stride + k * along]


def copy_tile(code: Code, tile: Pointer, c: Pointer, c_row: Word, c_col: Word, rows: Word, columns: Word, add: Word) -> None:
    """Store the part of a tile that lies in the result."""
    with code.loop(0, rows) as i, code.loop(0, columns) as j:
        value = tile[i * (2 * code.lanes) + j]
        place = i * c_row + j * c_col
        with code.either(add.equals(0)) as (overwrite, accumulate):
            with overwrite:
                c[place] = value
            with accumulate:
                c[place] = code.builder.fadd(c[place], value)


def tiles(
    code: Code, a: Pointer, b: Pointer, c: Pointer, c_row: Word, c_col: Word, rows: Word, columns: Word, steps: Word,
    edge: Pointer, add: Word,
) -> None:  # fmt: skip
    """``c (+)= a @ b`` for packed operands, tile by tile."""
    width = 2 * code.lanes
    with code.loop(0, columns, width) as j, code.loop(0, rows, ROWS) as i:
        into = c + (i * c_row + j * c_col)
        left, right = a + i * steps, b + j * steps
        inside = (c_col.equals(1), i + ROWS <= rows, j + width <= columns)
        with code.either(*inside) as (whole, part):
            with whole:
                code.call(packed_tile, left, right, steps, into, c_row, add, attributes=())
            with part:
                code.call(packed_tile, left, right, steps, edge, width, 0, attributes=())
                have, wide = code.least(rows - i, ROWS), code.least(columns - j, width)
                code.call(copy_tile, edge, into, c_row, c_col, have, wide, add)


@routine
def gemm(
    code: Code, a: Pointer, a_row: Word, a_col: Word, b: Pointer, b_row: Word, b_col: Word, c: Pointer, c_row: Word,
    c_col: Word, m: Word, n: Word, depth: Word, first: Word, last: Word, scratch: Pointer, block_m: Word, block_n: Word,
    block_k: Word,
) -> None:  # fmt: skip
    """Compute the blocks ``first ≤ block < last`` of ``c = a @ b``; blocks of rows count fastest.

    The sizes of a block are those that ``templates`` has made the scratch memory for. Blocks of one column are computed
    two at a time, for which b is packed once.
    """
    row_blocks = (m + block_m - 1) // block_m
    most = code.least(block_k, depth)
    a_packed = scratch + code.least(block_n, n.rounded(64)) * most
    edge = a_packed + block_m * 2 * most
    with code.loop(first // row_blocks, (last + row_blocks - 1) // row_blocks) as column:
        row_begin = code.most(first - column * row_blocks, 0) * block_m
        row_end = code.least((last - column * row_blocks) * block_m, m)
        column_begin = column * block_n
        columns = code.least(block_n, n - column_begin)
        with code.when(depth.equals(0)), code.loop(row_begin, row_end) as i, code.loop(0, columns) as j:
            c[i * c_row + (j + column_begin) * c_col] = code.zero
        with code.loop(0, depth, block_k) as k:
            steps = code.least(block_k, depth - k)
            from_b = b + (k * b_row + column_begin * b_col)
            code.call(pack, from_b, b_col, b_row, columns, steps, 2 * code.lanes, scratch, attributes=())
            with code.loop(row_begin, row_end, block_m * 2) as top:
                rows = code.least(block_m * 2, row_end - top)
                from_a = a + (top * a_row + k * a_col)
                code.call(pack, from_a, a_row, a_col, rows, steps, ROWS, a_packed, attributes=())
                into = c + (top * c_row + column_begin * c_col)
                code.call(tiles, a_packed, scratch, into, c_row, c_col, rows, columns, steps, edge, k)
