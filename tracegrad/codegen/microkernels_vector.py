"""Products with a vector for kernels, where the summed axis is the one with the long stride.

``g @ x`` for row-major x adds multiples of rows. Read column by column it would touch a line of the cache for each
element; here rows are added to the result, several at a time from the cache. From memory short rows come one by one:
the processor then sees one stream and fetches ahead, 10⁵ rows of 50 in 1.0 ms, where four rows at a time took 1.7 and
eight 2.1.

Imported by generated programs only.
"""

from __future__ import annotations

from tracegrad.codegen.microkernels_ir import Code, Pointer, Vectors, Word, routine

__all__ = ["add_parts", "sum_of_rows"]

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
