"""Matrix product for kernels: register tiles in vector IR, and the loops around them.

A tile of the product is kept in registers while its sum runs: ``ROWS × 2`` vectors, each step loading two vectors of
one operand and broadcasting ``ROWS`` elements of the other, which is packed so that they are neighbours.

Sums run in an order that depends on the sizes alone. Imported by generated programs only.
"""

from __future__ import annotations

from collections.abc import Callable

from tracegrad.codegen.microkernels_ir import ROWS, VECTOR_BYTES, Code, Pointer, Vectors, Word, of_parts, offset, part

__all__ = ["gemm", "offset", "product_tile"]


def product_tile(
    code: Code, a: Pointer, steps: Word, c: Pointer, row_stride: Word, row_of_b: Callable[[Word], Pointer], add: Word | None,
    rows: int = ROWS,
) -> None:  # fmt: skip
    """Write ``c[i, j] (+)= Σ_k a[k * ROWS + i] * row_of_b(k)[j]``, the sum added to c where the word ``add`` is not 0.

    The first ``rows`` rows are computed: what is left over of a matrix is often 4 or 8 of a tile's 12.
    """
    vectors = Vectors(code)

    def step(k: Word, sums: list[object]) -> list[object]:
        row = row_of_b(k)
        columns = [vectors.load(row, v * code.lanes) for v in range(2)]
        packed = a + k * ROWS
        following = []
        # Each factor beside its products: with all factors in front the tile took twice as long in every other process.
        for i in range(rows):
            factor = vectors.splat(packed[i])
            following += [vectors.multiply_add(factor, columns[v], sums[2 * i + v]) for v in range(2)]
        return following

    sums = vectors.loop(steps, 1, 2 * rows, step)
    places = [row_stride * (n // 2) + n % 2 * code.lanes for n in range(2 * rows)]
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


def tile_of_four_rows(code: Code, a: Pointer, b: Pointer, steps: Word, c: Pointer, row_stride: Word) -> None:
    """The first four rows of a tile."""
    product_tile(code, a, steps, c, row_stride, lambda k: b + k * (2 * code.lanes), None, rows=4)


def tile_of_eight_rows(code: Code, a: Pointer, b: Pointer, steps: Word, c: Pointer, row_stride: Word) -> None:
    """The first eight rows of a tile."""
    product_tile(code, a, steps, c, row_stride, lambda k: b + k * (2 * code.lanes), None, rows=8)


@part(0)
def pack(code: Code, source: Pointer, stride: Word, along: Word, count: Word, steps: Word, packed: Pointer) -> None:
    """Store ``source[i * stride + k * along]`` as panels of two vectors of neighbours i for each k, filled up with 0."""
    vectors = Vectors(code)
    width = 2 * code.lanes
    with code.loop(0, count, width) as panel:
        into = packed + panel * steps
        have = code.least(count - panel, width)
        begin = source + panel * stride
        with code.either(stride.equals(1)) as (neighbours, apart):
            with neighbours:
                pack_neighbours(code, vectors, begin, along, have, steps, width, into)
            with apart, code.either(have.equals(width), along.equals(1)) as (turned, rest):
                with turned:
                    pack_turned(code, vectors, begin, stride, steps, into)
                with rest:
                    pack_singly(code, begin, stride, along, have, steps, width, into)


def pack_rows(code: Code, source: Pointer, stride: Word, along: Word, count: Word, steps: Word, packed: Pointer) -> None:
    """The same with panels of ``ROWS`` neighbours."""
    vectors = Vectors(code)
    with code.loop(0, count, ROWS) as panel:
        into = packed + panel * steps
        have = code.least(count - panel, ROWS)
        begin = source + panel * stride
        with code.either(stride.equals(1)) as (neighbours, apart):
            with neighbours:
                pack_neighbours(code, vectors, begin, along, have, steps, ROWS, into)
            with apart, code.either(have.equals(ROWS)) as (rows, rest):
                with rows, code.loop(0, steps) as k:
                    for row in range(ROWS):
                        into[k * ROWS + row] = begin.single(stride * row + k * along, vectors.bytes)
                with rest:
                    pack_singly(code, begin, stride, along, have, steps, ROWS, into)


def pack_singly(
    code: Code, begin: Pointer, stride: Word, along: Word, have: Word, steps: Word, width: int, into: Pointer
) -> None:  # fmt: skip
    """One panel, element by element."""
    with code.when(have < width), code.loop(0, steps * width) as place:
        into[place] = code.zero
    with code.loop(0, have) as i, code.loop(0, steps) as k:
        into[k * width + i] = begin[i * stride + k * along]


def pack_neighbours(
    code: Code, vectors: Vectors, begin: Pointer, along: Word, have: Word, steps: Word, width: int, into: Pointer
) -> None:  # fmt: skip
    """One panel of neighbours in memory. Vectors may reach beyond a row of it; the next row is stored after them."""
    count = -(-width // code.lanes)
    with code.either(have.equals(count * code.lanes)) as (whole, part):
        for all_there in (True, False):
            with whole if all_there else part, code.loop(0, steps) as k:
                row = begin + k * along
                for v in range(0, count * code.lanes, code.lanes):
                    vector = vectors.load(row, v) if all_there else vectors.load_some(row + v, have - v)
                    vectors.store(vector, into, k * width + v)


def pack_turned(code: Code, vectors: Vectors, begin: Pointer, stride: Word, steps: Word, into: Pointer) -> None:
    """One whole panel of two vectors, of which each row of the source is a column."""
    width = 2 * code.lanes
    whole = steps // code.lanes * code.lanes
    with code.loop(0, whole, code.lanes) as k, code.loop(0, width, code.lanes) as half:
        rows = [vectors.load(begin, (half + i) * stride + k) for i in range(code.lanes)]
        for place, column in enumerate(vectors.transposed(rows)):
            vectors.store(column, into, (k + place) * width + half)
    with code.loop(whole, steps) as k, code.loop(0, width) as i:
        into[k * width + i] = begin[i * stride + k]


def put(code: Code, vectors: Vectors, value: object, into: Pointer, have: Word, add: Word) -> None:
    """Store a vector's first elements, added to what is there where ``add`` is not 0."""
    total = code.variable(value)
    with code.when(add > 0):
        total[0] = code.builder.fadd(vectors.load_some(into, have), total[0])
    vectors.store_some(total[0], into, have)


def copy_tile(code: Code, tile: Pointer, c: Pointer, c_row: Word, c_col: Word, rows: Word, columns: Word, add: Word) -> None:
    """Store the part of a tile that lies in the result."""
    vectors = Vectors(code)
    width = 2 * code.lanes
    with code.either(c_col.equals(1)) as (by_rows, other):
        with by_rows, code.loop(0, rows) as i:
            for v in range(0, width, code.lanes):
                put(code, vectors, vectors.load(tile, i * width + v), c + (i * c_row + v), columns - v, add)
        with other, code.either(c_row.equals(1)) as (by_columns, one_by_one):
            with by_columns, code.loop(0, rows, code.lanes) as i, code.loop(0, columns, code.lanes) as j:
                block = [vectors.load(tile, (i + k) * width + j) for k in range(code.lanes)]
                turned = code.memory(vectors.transposed(block))
                with code.loop(0, code.least(columns - j, code.lanes)) as k:
                    put(code, vectors, turned[k], c + (i + (j + k) * c_col), rows - i, add)
            with one_by_one, code.loop(0, columns) as j, code.loop(0, rows) as i:
                value, place = tile[i * width + j], i * c_row + j * c_col
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
                have, wide = code.least(rows - i, ROWS), code.least(columns - j, width)
                with code.either(have <= 4) as (four, more):
                    with four:
                        code.call(tile_of_four_rows, left, right, steps, edge, width, attributes=())
                    with more, code.either(have <= 8) as (eight, twelve):
                        with eight:
                            code.call(tile_of_eight_rows, left, right, steps, edge, width, attributes=())
                        with twelve:
                            code.call(packed_tile, left, right, steps, edge, width, 0, attributes=())
                code.call(copy_tile, edge, into, c_row, c_col, have, wide, add)


AHEAD = 32
"""Rows that are asked for ahead: the processor does not see that rows far apart in memory follow one another."""


def narrow_tile(
    code: Code, a: Pointer, a_row: Word, a_col: Word, b: Pointer, b_row: Word, steps: Word, c: Pointer, c_row: Word,
    rows: Word, columns: Word, add: Word, count: int,
) -> None:  # fmt: skip
    """``c (+)= a @ b`` for at most ``ROWS`` rows of ``count`` vectors, nothing packed; missing rows repeat the last."""
    vectors = Vectors(code)
    starts = [a + code.least(code.word(i), rows - 1) * a_row for i in range(ROWS)]

    def step(k: Word, sums: list[object]) -> list[object]:
        at = b + k * b_row
        columns_of_b = [vectors.load_some(at + v * code.lanes, columns - v * code.lanes) for v in range(count)]
        for v in range(count):
            code.prefetch(at + (b_row * AHEAD + v * code.lanes))
        following = []
        for i, start in enumerate(starts):
            factor = vectors.splat(start[k * a_col])
            following += [vectors.multiply_add(factor, columns_of_b[v], sums[count * i + v]) for v in range(count)]
        return following

    sums = vectors.loop(steps, 1, count * ROWS, step)
    if count == 1:
        for i in range(ROWS):
            with code.when(rows > i):
                put(code, vectors, sums[i], c + c_row * i, columns, add)
        return
    # A loop over the rows: written out, the stores of two vectors were a fifth of the code of a product, and no faster.
    kept = code.memory(sums)
    with code.loop(0, rows) as row:
        for v in range(count):
            place = v * code.lanes
            put(code, vectors, kept[row * count + v], c + (c_row * row + place), columns - place, add)


def tile_of_one(
    code: Code, a: Pointer, a_row: Word, a_col: Word, b: Pointer, b_row: Word, steps: Word, c: Pointer, c_row: Word,
    rows: Word, columns: Word, add: Word,
) -> None:  # fmt: skip
    """A tile of one vector."""
    narrow_tile(code, a, a_row, a_col, b, b_row, steps, c, c_row, rows, columns, add, 1)


@part(VECTOR_BYTES)
def tile_of_two(
    code: Code, a: Pointer, a_row: Word, a_col: Word, b: Pointer, b_row: Word, steps: Word, c: Pointer, c_row: Word,
    rows: Word, columns: Word, add: Word,
) -> None:  # fmt: skip
    """A tile of two vectors."""
    narrow_tile(code, a, a_row, a_col, b, b_row, steps, c, c_row, rows, columns, add, 2)


def narrow(
    code: Code, a: Pointer, a_row: Word, a_col: Word, b: Pointer, b_row: Word, b_col: Word, c: Pointer, c_row: Word,
    rows: Word, columns: Word, depth: Word, scratch: Pointer, block_m: Word, block_k: Word,
) -> None:  # fmt: skip
    """``c = a @ b`` for a result of one tile's width: each row of a is used once, and is read where it stands."""
    with code.when(depth.equals(0)), code.loop(0, rows) as i, code.loop(0, columns) as j:
        c[i * c_row + j] = code.zero
    with code.loop(0, depth, block_k) as k:
        steps = code.least(block_k, depth - k)
        width = code.word(2 * code.lanes)
        from_b, b_at, step = b + k * b_row, code.variable(scratch.value), code.variable(width)
        with code.either(b_col.equals(1), rows <= ROWS) as (in_place, packed):
            with in_place:
                b_at[0], step[0] = from_b.value, b_row
            with packed:
                pack.call(code, from_b, b_col, b_row, columns, steps, scratch)
        with code.loop(0, rows, ROWS) as i:
            for row in range(ROWS):
                code.prefetch(a + ((i + block_m + row) * a_row + k * a_col))
            arguments = (
                a + (i * a_row + k * a_col), a_row, a_col, Pointer(code.builder, b_at[0]), step[0], steps,
                c + i * c_row, c_row, code.least(rows - i, ROWS), columns, k,
            )  # fmt: skip
            with code.either(columns <= code.lanes) as (one, two):
                with one:
                    code.call(tile_of_one, *arguments, attributes=())
                with two:
                    tile_of_two.call(code, *arguments)


SHORT = 64
"""Depth to which rows are read in place; `templates` knows it too."""


@part(2 * VECTOR_BYTES)
def wide(
    code: Code, a: Pointer, a_row: Word, a_col: Word, b: Pointer, b_row: Word, b_col: Word, c: Pointer, c_row: Word,
    c_col: Word, m: Word, n: Word, depth: Word, first: Word, last: Word, scratch: Pointer, block_m: Word, block_n: Word,
    block_k: Word,
) -> None:  # fmt: skip
    """The blocks of a product whose operands are packed."""
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
            pack.call(code, from_b, b_col, b_row, columns, steps, scratch)
            with code.loop(row_begin, row_end, block_m * 2) as top:
                rows = code.least(block_m * 2, row_end - top)
                from_a = a + (top * a_row + k * a_col)
                code.call(pack_rows, from_a, a_row, a_col, rows, steps, a_packed, attributes=())
                into = c + (top * c_row + column_begin * c_col)
                code.call(tiles, a_packed, scratch, into, c_row, c_col, rows, columns, steps, edge, k)


@of_parts(pack, tile_of_two, wide)
def gemm(
    code: Code, a: Pointer, a_row: Word, a_col: Word, b: Pointer, b_row: Word, b_col: Word, c: Pointer, c_row: Word,
    c_col: Word, m: Word, n: Word, depth: Word, first: Word, last: Word, scratch: Pointer, block_m: Word, block_n: Word,
    block_k: Word,
) -> None:  # fmt: skip
    """Compute the blocks ``first ≤ block < last`` of ``c = a @ b``; blocks of rows count fastest.

    The sizes of a block are those that ``templates`` has made the scratch memory for. Blocks of one column are computed
    two at a time, for which b is packed once.
    """
    # From columns of a, or short rows, a tile reads few lines at a time; many long rows would meet in the same places
    # of the cache.
    with code.either(n <= 2 * code.lanes, c_col.equals(1), code.builder.or_(a_row.equals(1), depth <= SHORT)) as (few, many):
        with few:
            top = first * block_m
            rows = code.least(last * block_m, m) - top
            strides = (b, b_row, b_col, c + top * c_row, c_row)
            code.call(narrow, a + top * a_row, a_row, a_col, *strides, rows, n, depth, scratch, block_m, block_k)
        with many:
            arguments = (a, a_row, a_col, b, b_row, b_col, c, c_row, c_col, m, n, depth)
            wide.call(code, *arguments, first, last, scratch, block_m, block_n, block_k)
