"""Kernels of linear algebra: LAPACK and BLAS, as SciPy holds them, on one matrix of a stack after the other.

LAPACK wants columns together and arrays here have rows together, so that it sees every matrix transposed. A kernel takes that
into account where it can (the other triangle, the other side, the inverse of the transposed), else it copies. All that LAPACK
takes are pointers: letters, sizes and working memory stand in scratch memory of the chunk. A matrix that LAPACK refuses gives
NaN; where the op is strict, status words tell the call, which raises: the op, the matrix of the stack, LAPACK's number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from tracegrad.codegen.matrix_functions import TEXTS as FUNCTIONS
from tracegrad.codegen.matrix_pairs import TEXTS as PAIRS
from tracegrad.codegen.matrix_schur import TEXTS as FORMS
from tracegrad.codegen.matrix_text import BLOCK, SIDE, Text
from tracegrad.codegen.text import ABI, MATHLIB, KernelText, Slot, dtype_name
from tracegrad.core.graph import Node
from tracegrad.schedule.domain import in_order
from tracegrad.schedule.program import Program

__all__ = ["lower_matrices"]

LAPACK = "tracegrad.runtime.lapack"
CHUNK_WORK = 50_000
"""Operations of one chunk at least: some 20 µs."""
MOST = 16
"""Chunks of a launch: each has working memory of its own."""
PARALLEL_WORK = 500_000
_LETTERS = {("float32", False): "s", ("float64", False): "d", ("float32", True): "c", ("float64", True): "z"}
"""What LAPACK's names begin with, by the dtype of the parts and whether they are those of complex numbers."""


def lower_matrices(program: Program, node: Node) -> KernelText:
    """The text of such a node; it contains no size."""
    shapes = [program.graph[i].aval.shape for i in node.inputs]
    return _written(program, node, _TEXTS[node.op.lower](*shapes, **node.params))


def _written(program: Program, node: Node, text: Text) -> KernelText:
    dtype, itemsize = dtype_name(node.aval.dtype), node.aval.dtype.itemsize
    batch = program.graph[node.inputs[0]].aval.shape[: -text.axes]
    units = math.prod(batch)
    chunks = max(1, min(units, MOST, int(units * text.work / CHUNK_WORK)))
    integers, numbers = _aligned(4 * text.integers) // 4, _aligned(itemsize * text.numbers) // itemsize
    slots: list[Slot] = []
    lines = ["@kernel", "def {name}(first, last, table):"]

    def slot(name: str, taken: Slot, how: str) -> None:
        lines.append(f"    {name} = " + how.format(k=len(slots) + 2))
        slots.append(taken)

    for name, i in zip("abc", node.inputs, strict=False):
        slot(name, Slot("buffer", in_order(program.graph, i)), f"read(table, {{k}}, {dtype})")
    slot("out", Slot("buffer", node.id), f"update(table, {{k}}, {dtype})")
    sizes = {"units": units, "chunks": chunks, **text.sizes}
    imports = {(ABI, word) for word in ("kernel", "read", "update", dtype)} | {("math", "nan")} & _named(text, "nan")
    working = (
        ("letters", "uint8", 64 if text.letters else 0),
        ("whole", "int32", 4 * integers),
        ("space", dtype, itemsize * numbers),
    )
    for name, element, nbytes in working:
        if nbytes:
            step = nbytes // (itemsize if name == "space" else 4 if name == "whole" else 1)
            slot(f"{name}_step", Slot("size", step), "table[{k}]")
            how = f"buffer_offset(pointer(table, {{k}}, {element}), first * {name}_step)"
            slot(name, Slot("scratch", nbytes * chunks), how)
            imports |= {(ABI, word) for word in ("pointer", "buffer_offset", element)}
    if text.strict:
        slot("bad", Slot("status", node.id), "update(table, {k}, int64)")
        slot("code", Slot("size", node.id + 1), "table[{k}]")
        slot("stacked", Slot("size", int(bool(batch))), "table[{k}]")
        imports |= {(ABI, "int64")}
    for name, value in sizes.items():
        slot(name, Slot("size", value), "table[{k}]")
    for k, letter in enumerate(text.letters):
        lines += [f"    letters[{k}] = {ord(letter)}", f"    letter{k} = buffer_offset(letters, {k})"]
    for each in _names(text, "int"):
        lines.append(f"    int{each} = buffer_offset(whole, {each})")
    lines += _indented(text.before, 4)
    lines.append("    for unit in range(first * units // chunks, last * units // chunks):")
    lines += _indented(_refusing(text), 8)
    source = "\n".join(lines) + "\n"
    for word in text.words:
        name = _LETTERS[dtype, text.pairs] + word
        source = source.replace(f"lapack_{word}(", f"{name}(")
        imports.add((LAPACK, name))
    source = source.replace("epsilon", repr(float(np.finfo(node.aval.dtype).eps)))
    imports |= {(MATHLIB, word) for word in text.maths.split()} | {(ABI, "buffer_offset")}
    parallel = chunks > 1 and units * text.work > PARALLEL_WORK
    return KernelText(source, frozenset(imports), tuple(slots), chunks, False, parallel, {1: node.id})


def _named(text: Text, word: str) -> set[tuple[str, str]]:
    return {("math", word)} if word in text.each else set()


def _names(text: Text, prefix: str) -> list[int]:
    """The places of the working memory of integers that the text names: int0, int1 and so on."""
    return [k for k in range(9) if any(f"{prefix}{k}{end}" in text.each + text.before for end in ",)")]


def _aligned(nbytes: int) -> int:
    return -(-nbytes // 64) * 64


def _indented(lines: str, by: int) -> list[str]:
    return [" " * by + line for line in lines.strip("\n").split("\n")] if lines.strip() else []


def _refusing(text: Text) -> str:
    """The lines for a matrix, in which ``refused(info)`` stores the status words, or nothing where the op is not strict."""
    found = []
    for line in text.each.strip("\n").split("\n"):
        if "refused(" not in line:
            found.append(line)
        elif text.strict:
            blank, info = line.partition("refused(")[0], line.partition("refused(")[2].rstrip(")")
            found += [f"{blank}bad[0] = code", f"{blank}bad[1] = (unit + 1) * stacked", f"{blank}bad[2] = {info}"]
    return "\n".join(found)


# -- triangles ----------------------------------------------------------------------------------------------------------

_FROM_LOWER = """
at = unit * n * n
for i in range(n):
    for j in range(n):
        out[at + i * n + j] = a[at + max(i, j) * n + min(i, j)]
"""


def _from_triangle(x: tuple[int, ...], *, upper: bool) -> Text:
    n = x[-1]
    each = _FROM_LOWER.replace("max(i, j) * n + min(i, j)", "min(i, j) * n + max(i, j)") if upper else _FROM_LOWER
    return Text("", "", each, (), {"n": n}, 0, 0, n * n)


_CHOLESKY = """
at = unit * n * n
for i in range(n):
    for j in range(i + 1):
        out[at + i * n + j] = (a[at + i * n + j] + a[at + j * n + i]) * 0.5
    for j in range(i + 1, n):
        out[at + i * n + j] = 0.0
lapack_potrf(letter0, int0, buffer_offset(out, at), int1, int2)
if whole[2] != 0:
    refused(whole[2])
    for i in range(n * n):
        out[at + i] = nan
"""


def _cholesky(x: tuple[int, ...]) -> Text:
    n = x[-1]
    return Text("U", SIDE, _CHOLESKY, ("potrf",), {"n": n}, 3, 0, 200 + n**3 / 3, strict=True)


_TRIANGULAR = """
at = unit * n * m
for i in range(n * m):
    out[at + i] = b[at + i]
matrix = buffer_offset(a, unit * n * n)
lapack_trsm(letter0, letter1, letter2, letter3, int0, int1, space, matrix, int2, buffer_offset(out, at), int3)
"""


def _solve_triangular(a: tuple[int, ...], b: tuple[int, ...], *, upper: bool, unitriangular: bool) -> Text:
    n, m = b[-2:]
    before = "whole[0] = m\nwhole[1] = n\nwhole[2] = max(n, 1)\nwhole[3] = max(m, 1)\nspace[0] = 1.0"
    letters = f"R{'L' if upper else 'U'}N{'U' if unitriangular else 'N'}"
    return Text(letters, before, _TRIANGULAR, ("trsm",), {"n": n, "m": m}, 4, 1, 200 + n * n * m)


# -- LU -----------------------------------------------------------------------------------------------------------------

_FACTOR = """
at = unit * n * n
for i in range(n * n):
    space[i] = a[at + i]
lapack_getrf(int0, int0, space, int1, int3, int2)
"""

_SOLVE = """
for i in range(n):
    for j in range(m):
        turned[j * n + i] = b[unit * n * m + i * m + j]
lapack_getrs(letter0, int0, int4, space, int1, int5, turned, int1, int2)
for i in range(n):
    for j in range(m):
        out[unit * n * m + i * m + j] = turned[j * n + i]
"""


def _solve(a: tuple[int, ...], b: tuple[int, ...]) -> Text:
    n, m = b[-2:]
    before = f"{SIDE}\nwhole[3] = m\nturned = buffer_offset(space, n * n)"
    factor = _FACTOR.replace("int3", "int4")
    refused = "\nif whole[2] != 0:\n    refused(whole[2])\n    for i in range(n * n):\n        space[i] = nan"
    each = factor.rstrip() + refused + _SOLVE.replace("int4", "int3").replace("int5", "int4")
    return Text(
        "T",
        before,
        each,
        ("getrf", "getrs"),
        {"n": n, "m": m},
        4 + n,
        1 + n * n + n * m,
        400 + n**3 * 2 / 3 + 2 * n * n * m,
        True,
    )


_INVERSE = """
at = unit * n * n
for i in range(n * n):
    out[at + i] = a[at + i]
lapack_getrf(int0, int0, buffer_offset(out, at), int1, int4, int2)
if whole[2] == 0:
    lapack_getri(int0, buffer_offset(out, at), int1, int4, space, int3, int2)
if whole[2] != 0:
    refused(whole[2])
    for i in range(n * n):
        out[at + i] = nan
"""


def _inv(x: tuple[int, ...], *, strict: bool = True) -> Text:
    n = x[-1]
    before = f"{SIDE}\nwhole[3] = 1 + n * {BLOCK}"
    return Text("", before, _INVERSE, ("getrf", "getri"), {"n": n}, 4 + n, 1 + BLOCK * n, 400 + 2 * n**3, strict)


_DET = """
found = 1.0
for i in range(n):
    found = found * space[i * n + i]
    if whole[3 + i] != i + 1:
        found = -found
out[unit] = found
"""
_SLOGDET = """
sign = 1.0
size = 0.0
for i in range(n):
    pivot = space[i * n + i]
    size = size + log(absolute(pivot))
    turned = -1.0 if whole[3 + i] != i + 1 else 1.0
    sign = sign * turned * (1.0 if pivot > 0.0 else -1.0 if pivot < 0.0 else pivot)
out[2 * unit] = sign
out[2 * unit + 1] = size
"""


def _det(x: tuple[int, ...]) -> Text:
    n = x[-1]
    return Text("", SIDE, _FACTOR.rstrip() + _DET, ("getrf",), {"n": n}, 3 + n, 1 + n * n, 300 + n**3 * 2 / 3)


def _slogdet(x: tuple[int, ...]) -> Text:
    n = x[-1]
    return Text(
        "",
        SIDE,
        _FACTOR.rstrip() + _SLOGDET,
        ("getrf",),
        {"n": n},
        3 + n,
        1 + n * n,
        300 + n**3 * 2 / 3 + 20 * n,
        maths="absolute log",
    )


# -- decompositions -----------------------------------------------------------------------------------------------------

_EIGH = """
at = unit * n * n
for i in range(n):
    for j in range(n):
        space[i * n + j] = (a[at + i * n + j] + a[at + j * n + i]) * 0.5
values = buffer_offset(out, unit * (n + 1) * n)
lapack_syevd(letter0, letter1, int0, space, int1, values, buffer_offset(space, n * n), int3, int5, int4, int2)
if whole[2] != 0:
    refused(whole[2])
    for i in range(n):
        values[i] = nan
    for i in range(n * n):
        space[i] = nan
for i in range(n):
    for j in range(n):
        values[(i + 1) * n + j] = space[j * n + i]
"""


def _eigh(x: tuple[int, ...], *, upper: bool = False) -> Text:
    n = x[-1]
    numbers, integers = 1 + (6 + BLOCK) * n + 2 * n * n, 3 + 5 * n
    before = f"{SIDE}\nwhole[3] = 1 + {6 + BLOCK} * n + 2 * n * n\nwhole[4] = 3 + 5 * n"
    # rows together: the upper triangle is the lower one of what LAPACK sees, but both are the same here
    letters = "VU" if upper else "VL"
    return Text(letters, before, _EIGH, ("syevd",), {"n": n}, 5 + integers, n * n + numbers, 1500 + 10 * n**3, strict=True)


_QR = """
at = unit * m * n
for i in range(m):
    for j in range(n):
        space[j * m + i] = a[at + i * n + j]
lapack_geqrf(int0, int1, space, int3, corner, buffer_offset(corner, k), int4, int5)
into = unit * k * (m + n)
for i in range(k):
    for j in range(n):
        out[into + i * (m + n) + m + j] = space[j * m + i] if j >= i else 0.0
lapack_orgqr(int0, int2, int2, space, int3, corner, buffer_offset(corner, k), int4, int5)
for i in range(k):
    for j in range(m):
        out[into + i * (m + n) + j] = space[i * m + j]
"""


def _qr(x: tuple[int, ...]) -> Text:
    m, n = x[-2:]
    k = min(m, n)
    before = f"whole[0] = m\nwhole[1] = n\nwhole[2] = k\nwhole[3] = max(m, 1)\nwhole[4] = {BLOCK} * max(n, 1)\n"
    before += "corner = buffer_offset(space, m * n)"
    sizes = {"m": m, "n": n, "k": k}
    return Text("", before, _QR, ("geqrf", "orgqr"), sizes, 6, m * n + k + BLOCK * max(n, 1), 1000 + 4 * m * n * k)


_SVD = """
at = unit * m * n
odd = 0.0
for i in range(m):
    for j in range(n):
        odd = odd + a[at + i * n + j] * 0.0
        space[j * m + i] = a[at + i * n + j]
into = buffer_offset(out, unit * (m + 1 + n) * k)
values = buffer_offset(into, m * k)
right = buffer_offset(into, (m + 1) * k)
whole[5] = 1
if odd == 0.0:
    lapack_gesdd(letter0, int0, int1, space, int3, values, left, int3, right, int2, work, int4, int6, int5)
if whole[5] == 0:
    for i in range(m):
        for j in range(k):
            into[i * k + j] = left[j * m + i]
else:
    refused(whole[5])
    for i in range((m + 1 + n) * k):
        into[i] = nan
"""


def _svd(x: tuple[int, ...]) -> Text:
    m, n = x[-2:]
    k = min(m, n)
    lwork = k * (7 + 5 * k) + max(m, n) + BLOCK * (m + n) + 1
    before = "whole[0] = m\nwhole[1] = n\nwhole[2] = max(k, 1)\nwhole[3] = max(m, 1)\nwhole[4] = lwork\n"
    before += "left = buffer_offset(space, m * n)\nwork = buffer_offset(space, m * n + m * k)"
    sizes = {"m": m, "n": n, "k": k, "lwork": lwork}
    return Text("S", before, _SVD, ("gesdd",), sizes, 6 + 8 * k + 1, m * n + m * k + lwork, 3000 + 20 * m * n * k, strict=True)


_TEXTS: Mapping[str, Callable[..., Text]] = {
    "lapack_from_triangle": _from_triangle,
    "lapack_cholesky": _cholesky,
    "lapack_solve_triangular": _solve_triangular,
    "lapack_solve": _solve,
    "lapack_inv": _inv,
    "lapack_det": _det,
    "lapack_slogdet": _slogdet,
    "lapack_eigh": _eigh,
    "lapack_qr": _qr,
    "lapack_svd": _svd,
    **FUNCTIONS,
    **FORMS,
    **PAIRS,
}
