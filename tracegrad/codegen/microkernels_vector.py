"""Products with a vector for kernels.

``x @ w`` for row-major x sums along rows: as many rows at a time as a vector has elements, whose sums are then one vector.
A row of 20 takes 6 cycles so, and 15 where its sum is taken alone. From memory rows come one by one, as below: 10⁵ rows of
50 in 0.5 ms, where eight at a time took 0.9.

``g @ x`` for row-major x adds multiples of rows. Read column by column it would touch a line of the cache for each
element; here rows are added to the result, several at a time from the cache. From memory short rows come one by one:
the processor then sees one stream and fetches ahead, 10⁵ rows of 50 in 1.0 ms, where four rows at a time took 1.7 and
eight 2.1.

Imported by generated programs only.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from tracegrad.codegen.microkernels_ir import Code, Pointer, Vectors, Word, routine

__all__ = ["add_parts", "rows_times_vector", "sum_of_rows"]

TOGETHER = 8
"""Rows that are added in one pass over the result."""


def add_rows(code: Code, a: Pointer, row: Word, b: Pointer, b_step: Word, c: Pointer, width: Word, count: int) -> None:
    """``c[i] += Σ_k b[k * b_step] * a[k * row + i]`` over ``count`` rows; c has whole vectors."""
    vectors = Vectors(code)
    factors = [vectors.splat(b[b_step * k]) for k in range(count)]
    rows = [a + row * k for k in range(count)]

    def total(sums: list[object], elements: list[object]) -> object:
        for k, (factor, element) in enumerate(zip(factors, elements, strict=True)):
            sums[k % 2] = vectors.multiply_add(factor, element, sums[k % 2])
        return code.builder.fadd(*sums)

    whole = width // code.lanes * code.lanes
    with code.loop(0, whole, code.lanes) as i:
        elements = [vectors.load(each, i) for each in rows]
        vectors.store(total([vectors.load(c, i), vectors.zero], elements), c, i)
    with code.when(whole < width):
        # Only what is read from a is masked: a masked store is slow to be read back.
        elements = [vectors.load_some(each + whole, width - whole) for each in rows]
        vectors.store(total([vectors.load(c, whole), vectors.zero], elements), c, whole)


def add_one(code: Code, a: Pointer, row: Word, b: Pointer, b_step: Word, c: Pointer, width: Word) -> None:
    """One row."""
    add_rows(code, a, row, b, b_step, c, width, 1)


@routine
def sum_of_rows(
    code: Code, a: Pointer, row: Word, b: Pointer, b_step: Word, c: Pointer, width: Word, steps: Word, singly: Word,
    sums: Pointer,
) -> None:  # fmt: skip
    """``c[i] = Σ_k b[k * b_step] * a[k * row + i]`` for ``i < width``, the rows in their order.

    They are added one by one where ``singly`` is 1. ``sums`` is memory for c, rounded up to 64 elements.
    """
    whole = steps // TOGETHER * TOGETHER * (code.word(1) - singly)
    with code.loop(0, width.rounded(code.lanes)) as i:
        sums[i] = code.zero
    with code.loop(0, whole, TOGETHER) as k:
        add_rows(code, a + k * row, row, b + k * b_step, b_step, sums, width, TOGETHER)
    with code.loop(whole, steps) as k:
        code.call(add_one, a + k * row, row, b + k * b_step, b_step, sums, width, attributes=())
    with code.loop(0, width) as i:
        c[i] = sums[i]


@routine
def add_parts(code: Code, c: Pointer, parts: Pointer, size: Word, count: Word) -> None:
    """``c[i] += parts[0][i] + …``, each part of that size added in its turn."""
    with code.loop(0, count) as part, code.loop(0, size) as i:
        c[i] = code.builder.fadd(c[i], parts[part * size + i])


def sums_of_each(code: Code, sums: list[Any]) -> Any:
    """The vector of the sums of as many vectors as each has elements."""
    half = code.lanes // 2
    while half:
        # each vector holds its rows' partial sums in groups of 2 * half; the halves of two vectors' groups are added
        count = code.lanes // (2 * half)
        picks = [
            [v * code.lanes + group * 2 * half + k + side for v in range(2) for group in range(count) for k in range(half)]
            for side in (0, half)
        ]
        masks = [ir.Constant(ir.VectorType(ir.IntType(32), code.lanes), pick) for pick in picks]
        sums = [
            code.builder.fadd(*(code.builder.shuffle_vector(sums[k], sums[k + 1], mask) for mask in masks))
            for k in range(0, len(sums), 2)
        ]
        half //= 2
    return sums[0]


def block_of_rows(code: Code, a: Pointer, row: Word, b: Pointer, c: Pointer, steps: Word) -> None:
    """``c[i] = Σ_k a[i * row + k] * b[k]`` for as many rows as a vector has elements."""
    vectors = Vectors(code)
    starts = [a + row * i for i in range(code.lanes)]

    def step(k: Word, sums: list[Any]) -> list[Any]:
        factor = vectors.load(b, k)
        return [vectors.multiply_add(vectors.load(start, k), factor, s) for start, s in zip(starts, sums, strict=True)]

    whole = steps // code.lanes * code.lanes
    sums = vectors.loop(whole, code.lanes, code.lanes, step)
    factor, have = vectors.load_some(b + whole, steps - whole), steps - whole
    sums = [
        vectors.multiply_add(vectors.load_some(start + whole, have), factor, s) for start, s in zip(starts, sums, strict=True)
    ]
    vectors.store(sums_of_each(code, sums), c, 0)


def one_row(code: Code, a: Pointer, b: Pointer, c: Pointer, steps: Word) -> None:
    """``c[0] = Σ_k a[k] * b[k]``, four sums at a time."""
    vectors = Vectors(code)

    def step(k: Word, sums: list[Any]) -> list[Any]:
        places = [k + v * code.lanes for v in range(len(sums))]
        return [vectors.multiply_add(vectors.load(a, p), vectors.load(b, p), s) for p, s in zip(places, sums, strict=True)]

    def single(k: Word, sums: list[Any]) -> list[Any]:
        return step(k + most, sums)

    most = steps // (4 * code.lanes) * (4 * code.lanes)
    whole = steps // code.lanes * code.lanes
    first, second, third, fourth = vectors.loop(most, 4 * code.lanes, 4, step)
    (rest,) = vectors.loop(whole - most, code.lanes, 1, single)
    have = steps - whole
    rest = vectors.multiply_add(vectors.load_some(a + whole, have), vectors.load_some(b + whole, have), rest)
    add = code.builder.fadd
    c[0] = vectors.sum(add(add(add(first, second), add(third, fourth)), rest))


@routine
def rows_times_vector(
    code: Code, a: Pointer, row: Word, b: Pointer, c: Pointer, rows: Word, steps: Word, singly: Word
) -> None:  # fmt: skip
    """``c[i] = Σ_k a[i * row + k] * b[k]`` for ``i < rows``, the rows one by one where ``singly`` is 1."""
    whole = rows // code.lanes * code.lanes * (code.word(1) - singly)
    with code.loop(0, whole, code.lanes) as i:
        code.call(block_of_rows, a + i * row, row, b, c + i, steps, attributes=())
    with code.loop(whole, rows) as i:
        code.call(one_row, a + i * row, b, c + i, steps, attributes=())
