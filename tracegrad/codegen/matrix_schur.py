"""Kernels over LU and real Schur forms: Sylvester's equation, square roots, logarithms, balancing.

LAPACK sees each matrix transposed, which functions of matrices and Sylvester's equation allow for; LU, the Schur form and
balancing are of a copy that is turned round. The root of a quasi-triangular matrix is that of Higham (1987), by blocks; the
logarithm is by repeated roots and Gauss and Legendre's form of the Padé approximant (Higham 2008, section 11.4).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from tracegrad.codegen.matrix_text import BLOCK, Text

Shape = tuple[int, ...]

# -- LU -----------------------------------------------------------------------------------------------------------------

_LU = """
at = unit * m * n
into = unit * m * (n + 1)
for i in range(m):
    for j in range(n):
        space[j * m + i] = a[at + i * n + j]
if k > 0:
    lapack_getrf(int0, int1, space, int0, int3, int2)
for i in range(m):
    for j in range(n):
        out[into + i * (n + 1) + j] = space[j * m + i]
    out[into + i * (n + 1) + n] = 0.0
for i in range(k):
    out[into + i * (n + 1) + n] = whole[3 + i] - 1
"""


def _lu(x: Shape) -> Text:
    m, n = x[-2:]
    k = min(m, n)
    sizes = {"m": m, "n": n, "k": k}
    return Text("", "whole[0] = m\nwhole[1] = n", _LU, ("getrf",), sizes, 3 + k, m * n, 300 + 2 * m * n * k)


_SWAP = """
at = unit * m * n
for i in range(m * n):
    out[at + i] = a[at + i]
for step in range(k):
    row = ORDER
    whole[0] = b[unit * k + row]
    for j in range(n):
        kept = out[at + row * n + j]
        out[at + row * n + j] = out[at + whole[0] * n + j]
        out[at + whole[0] * n + j] = kept
"""


def _swap_rows(x: Shape, pivots: Shape, *, back: bool) -> Text:
    m, n = x[-2:]
    each = _SWAP.replace("ORDER", "k - 1 - step" if back else "step")
    return Text("", "", each, (), {"m": m, "n": n, "k": pivots[-2]}, 1, 0, 3 * m * n)


# -- the Schur form -----------------------------------------------------------------------------------------------------


def _schur_lines(n: str, matrix: str, vectors: str, first: int) -> str:
    """Lines that bring ``matrix`` to Schur form, with the rotation in ``vectors``; ``whole[first:]`` are n, 1, lwork, info."""
    size, begin, lwork, info = (f"int{first + k}" for k in range(4))
    tail = f"reals, imaginary, {vectors}, {size}, work, {lwork}, {info}"
    return f"""
lapack_gehrd({size}, {begin}, {size}, {matrix}, {size}, corner, work, {lwork}, {info})
for i in range({n} * {n}):
    {vectors}[i] = {matrix}[i]
lapack_orghr({size}, {begin}, {size}, {vectors}, {size}, corner, work, {lwork}, {info})
lapack_hseqr(letter0, letter1, {size}, {begin}, {size}, {matrix}, {size}, {tail})
""".strip()


def _arranged(n: int, names: tuple[str, ...], more: tuple[str, ...] = ()) -> tuple[str, int]:
    """Lines that name square matrices, and vectors, in working memory, and how many numbers they take."""
    lines, at = ["one = space", "zero = buffer_offset(space, 1)", "one[0] = 1.0", "zero[0] = 0.0"], 2
    for k, name in enumerate(names):
        lines.append(f"{name} = buffer_offset(space, 2 + {k} * n * n)")
        at += n * n
    for k, name in enumerate(("corner", "reals", "imaginary", *more)):
        lines.append(f"{name} = buffer_offset(space, 2 + {len(names)} * n * n + {k} * n)")
        at += n
    lines.append(f"work = buffer_offset(space, 2 + {len(names)} * n * n + {3 + len(more)} * n)")
    return "\n".join(lines), at + BLOCK * n


_SIDES = "whole[0] = n\nwhole[1] = 1\nwhole[2] = BLOCK * n".replace("BLOCK", str(BLOCK))

# Letters: S, V of hseqr, P of gebal, R and N of gebak and the others.
_SCHUR = """
at = unit * n * n
odd = 0.0
for i in range(n):
    for j in range(n):
        odd = odd + a[at + i * n + j] * 0.0
        matrix[j * n + i] = a[at + i * n + j]
whole[3] = 1 if n > 0 else 0
if odd == 0.0:
    if n > 0:
        lapack_gebal(letter2, int0, matrix, int0, int4, int5, scales, int3)
        lapack_gehrd(int0, int4, int5, matrix, int0, corner, work, int2, int3)
        for i in range(n * n):
            vectors[i] = matrix[i]
        lapack_orghr(int0, int4, int5, vectors, int0, corner, work, int2, int3)
        lapack_hseqr(letter0, letter1, int0, int4, int5, matrix, int0, reals, imaginary, vectors, int0, work, int2, int3)
        if whole[3] == 0:
            lapack_gebak(letter2, letter3, int0, int4, int5, scales, int0, vectors, int0, int3)
if whole[3] != 0:
    refused(whole[3])
for i in range(n):
    for j in range(n):
        out[2 * at + i * n + j] = matrix[j * n + i] if whole[3] == 0 else nan
        out[2 * at + (n + i) * n + j] = vectors[j * n + i] if whole[3] == 0 else nan
"""


def _schur(x: Shape) -> Text:
    n = x[-1]
    before, numbers = _arranged(n, ("matrix", "vectors"), ("scales",))
    words = ("gebal", "gehrd", "orghr", "hseqr", "gebak")
    return Text("SVPR", f"{_SIDES}\n{before}", _SCHUR, words, {"n": n}, 6, numbers, 2000 + 25 * n**3, strict=True)


# -- Sylvester's equation -----------------------------------------------------------------------------------------------

_FIRST_FORM, _SECOND_FORM = (
    "    ".join(_schur_lines(*names).replace("int5", "int1").replace("int6", "int2").splitlines(keepends=True))
    for names in (("n", "matrix", "vectors", 0), ("m", "other", "others", 4))
)
# Xᵀ aᵀ + bᵀ Xᵀ = qᵀ: the second matrix is the first of LAPACK
_SYLVESTER = f"""
odd = 0.0
for i in range(n * n):
    matrix[i] = b[unit * n * n + i]
    odd = odd + matrix[i] * 0.0
for i in range(m * m):
    other[i] = a[unit * m * m + i]
    odd = odd + other[i] * 0.0
for i in range(n * m):
    odd = odd + c[unit * n * m + i] * 0.0
whole[7] = 1
if odd == 0.0:
    {_FIRST_FORM}
    {_SECOND_FORM}
    right = buffer_offset(c, unit * n * m)
    lapack_gemm(letter3, letter2, int0, int4, int0, one, vectors, int0, right, int0, zero, inside, int0)
    lapack_gemm(letter2, letter2, int0, int4, int4, one, inside, int0, others, int4, zero, found, int0)
    lapack_trsyl(letter2, letter2, int1, int0, int4, matrix, int0, other, int4, found, int0, scales, int7)
    lapack_gemm(letter2, letter2, int0, int4, int0, one, vectors, int0, found, int0, zero, inside, int0)
    lapack_gemm(letter2, letter3, int0, int4, int4, one, inside, int0, others, int4, zero, found, int0)
    factor = divide(1.0, scales[0])
    for i in range(n * m):
        out[unit * n * m + i] = found[i] * factor
if whole[7] != 0:
    refused(whole[7])
    for i in range(n * m):
        out[unit * n * m + i] = nan
"""


def _sylvester(a: Shape, b: Shape, q: Shape) -> Text:
    m, n = q[-2:]
    if not m or not n:
        return Text("", "", "out[0] = 0.0", (), {}, 0, 0, 1)
    most = max(m, n)
    lines = ["one = space", "zero = buffer_offset(space, 1)", "one[0] = 1.0", "zero[0] = 0.0"]
    lines += [
        "matrix = buffer_offset(space, 2)",
        "vectors = buffer_offset(matrix, n * n)",
        "other = buffer_offset(vectors, n * n)",
    ]
    lines += [
        "others = buffer_offset(other, m * m)",
        "inside = buffer_offset(others, m * m)",
        "found = buffer_offset(inside, n * m)",
    ]
    lines += [
        "corner = buffer_offset(found, n * m)",
        "reals = buffer_offset(corner, most)",
        "imaginary = buffer_offset(reals, most)",
    ]
    lines += ["scales = buffer_offset(imaginary, most)", "work = buffer_offset(scales, most)"]
    sides = f"whole[0] = n\nwhole[1] = 1\nwhole[2] = {BLOCK} * most\nwhole[4] = m"
    numbers = 2 + 2 * n * n + 2 * m * m + 2 * n * m + (4 + BLOCK) * most
    sizes = {"m": m, "n": n, "most": most}
    words = ("gehrd", "orghr", "hseqr", "gemm", "trsyl")
    before = "\n".join([sides, *lines])
    return Text(
        "SVNT", before, _SYLVESTER, words, sizes, 8, numbers, 4000 + 30 * (m**3 + n**3), strict=True, maths="absolute divide"
    )


# -- roots and logarithms -----------------------------------------------------------------------------------------------

_ROOT_LINES = """
at_column = 0
while at_column < n:
    wide = 1
    if at_column + 1 < n:
        wide = 2 if matrix[at_column * n + at_column + 1] != 0.0 else 1
    value = matrix[at_column * n + at_column]
    if wide == 1:
        bad_root = 1 if value < LEAST else bad_root
        root[at_column * n + at_column] = sqrt(max(value, 0.0))
    else:
        above = matrix[(at_column + 1) * n + at_column]
        below = matrix[at_column * n + at_column + 1]
        turn = sqrt(absolute(above)) * sqrt(absolute(below))
        modulus = sqrt(value * value + turn * turn)
        half = sqrt(0.5 * (modulus + value)) if value > 0.0 else divide(turn, sqrt(2.0 * (modulus - value)))
        root[at_column * n + at_column] = half
        root[(at_column + 1) * n + at_column + 1] = half
        root[(at_column + 1) * n + at_column] = divide(above, 2.0 * half)
        root[at_column * n + at_column + 1] = divide(below, 2.0 * half)
    at_row = at_column
    while at_row > 0:
        high = 1
        if at_row > 1:
            high = 2 if matrix[(at_row - 2) * n + at_row - 1] != 0.0 else 1
        start = at_row - high
        for column in range(wide):
            for row in range(high):
                total = matrix[(at_column + column) * n + start + row]
                for l in range(at_row, at_column):
                    total = total - root[l * n + start + row] * root[(at_column + column) * n + l]
                corner[column * 2 + row] = total
        whole[4] = high
        whole[5] = wide
        whole[6] = 2
        one_block = buffer_offset(root, start * n + start)
        other_block = buffer_offset(root, at_column * n + at_column)
        lapack_trsyl(letter2, letter2, int1, int4, int5, one_block, int0, other_block, int0, corner, int6, reals, int3)
        shrunk = divide(1.0, reals[0])
        for column in range(wide):
            for row in range(high):
                root[(at_column + column) * n + start + row] = corner[column * 2 + row] * shrunk
        at_row = start
    at_column = at_column + wide
"""
_FORM = """
odd = 0.0
size = 0.0
for i in range(n * n):
    root[i] = 0.0
    odd = odd + matrix[i] * 0.0
    size = max(size, absolute(matrix[i]))
bad_root = 0 if odd == 0.0 else 1
if odd == 0.0:
    SCHUR
    bad_root = 1 if whole[3] != 0 else bad_root
""".replace("    SCHUR", "    " + "    ".join(_schur_lines("n", "matrix", "vectors", 0).splitlines(keepends=True)))
_BACK = """
    lapack_gemm(letter2, letter2, int0, int0, int0, one, vectors, int0, root, int0, zero, matrix, int0)
    lapack_gemm(letter2, letter3, int0, int0, int0, one, matrix, int0, vectors, int0, zero, root, int0)
"""
_ROOT = f"""
at = unit * n * n
for i in range(n * n):
    matrix[i] = a[at + i]
{_FORM.strip()}
if bad_root == 0:
    {"    ".join(_ROOT_LINES.strip().splitlines(keepends=True)).replace("LEAST", "-100.0 * epsilon * size")}
if bad_root == 0:
{_BACK.strip(chr(10))}
if bad_root != 0:
    refused(bad_root)
for i in range(n * n):
    out[at + i] = root[i] if bad_root == 0 else nan
"""
NODES, WEIGHTS = np.polynomial.legendre.leggauss(8)


def _listed(values: tuple[float, ...]) -> str:
    """An expression for the value of number ``term``."""
    *first, last = values
    return " else ".join([*(f"{value!r} if term == {k}" for k, value in enumerate(first)), repr(last)])


_LOG_TERMS = f"""
for term in range({len(NODES)}):
    node = {_listed(tuple(float(0.5 + 0.5 * x) for x in NODES))}
    weight = {_listed(tuple(float(0.5 * w) for w in WEIGHTS))}
    for i in range(n * n):
        left[i] = node * matrix[i]
        right[i] = weight * matrix[i]
    for i in range(n):
        left[i * n + i] = left[i * n + i] + 1.0
    lapack_getrf(int0, int0, left, int0, int8, int7)
    lapack_getrs(letter2, int0, int0, left, int0, int8, right, int0, int7)
    for i in range(n * n):
        root[i] = root[i] + right[i]
""".strip()
"""log(I + X) = ∫ X (I + tX)⁻¹ dt over [0, 1], by 8 points: the Padé approximant of order 8, exact up to a norm of 1/4."""
_LOG_LINES = f"""
{_FORM.strip()}
roots = 0
factor = 1.0
away = 1.0
if bad_root == 0:
    while away > 0.25:
        {"        ".join(_ROOT_LINES.strip().splitlines(keepends=True)).replace("value < LEAST", "value <= 0.0")}
        away = 0.0
        for j in range(n):
            column_sum = 0.0
            for i in range(n):
                matrix[j * n + i] = root[j * n + i]
                column_sum = column_sum + absolute(root[j * n + i] - (1.0 if i == j else 0.0))
            away = max(away, column_sum)
        roots = roots + 1
        factor = factor * 2.0
        away = 0.0 if roots > 64 else away
        away = 0.0 if bad_root != 0 else away
    bad_root = 1 if roots > 64 else bad_root
if bad_root == 0:
    for i in range(n):
        matrix[i * n + i] = matrix[i * n + i] - 1.0
    for i in range(n * n):
        root[i] = 0.0
    {"    ".join(_LOG_TERMS.splitlines(keepends=True))}
{_BACK.strip(chr(10))}
if bad_root != 0:
    refused(bad_root)
"""
_LOG = f"""
at = unit * n * n
for i in range(n * n):
    matrix[i] = a[at + i]
{_LOG_LINES.strip()}
for i in range(n * n):
    out[at + i] = root[i] * factor if bad_root == 0 else nan
"""
_LOG_TURN = f"""
at = unit * k * k
largest = 0.0
along = 0.0
for i in range(k * k):
    largest = max(largest, absolute(b[at + i]))
    along = max(along, absolute(a[at + i]))
largest = largest if largest > 0.0 else 1.0
along = along if along > 0.0 else 1.0
bring = divide(largest, along)
for i in range(k):
    for j in range(k):
        matrix[i * n + j] = b[at + i * k + j]
        matrix[(k + i) * n + k + j] = b[at + i * k + j]
        matrix[i * n + k + j] = a[at + i * k + j] * bring
        matrix[(k + i) * n + j] = 0.0
{_LOG_LINES.strip()}
bring = divide(factor, bring)
for i in range(k):
    for j in range(k):
        out[at + i * k + j] = root[i * n + k + j] * bring if bad_root == 0 else nan
"""


def _of_form(n: int, each: str, names: tuple[str, ...], sizes: Mapping[str, int], work: float, words: tuple[str, ...]) -> Text:
    before, numbers = _arranged(n, names)
    words = ("gehrd", "orghr", "hseqr", "trsyl", "gemm", *words)
    maths = "absolute divide sqrt"
    return Text(
        "SVNT", f"{_SIDES}\n{before}", each, words, {"n": n, **sizes}, 8 + n, numbers + 8, work, strict=True, maths=maths
    )


def _root(x: Shape) -> Text:
    n = x[-1]
    return _of_form(n, _ROOT, ("matrix", "vectors", "root"), {}, 3000 + 35 * n**3, ())


def _log(x: Shape) -> Text:
    n = x[-1]
    names = ("matrix", "vectors", "root", "left", "right")
    return _of_form(n, _LOG, names, {}, 5000 + 60 * n**3, ("getrf", "getrs"))


def _log_turn(g: Shape, x: Shape) -> Text:
    n = 2 * x[-1]
    names = ("matrix", "vectors", "root", "left", "right")
    return _of_form(n, _LOG_TURN, names, {"k": x[-1]}, 5000 + 60 * n**3, ("getrf", "getrs"))


# -- balancing ----------------------------------------------------------------------------------------------------------

_BALANCE = """
at = unit * n * n
for i in range(n):
    for j in range(n):
        space[j * n + i] = a[at + i * n + j]
scales = buffer_offset(space, n * n)
turn = buffer_offset(scales, n)
for i in range(n * n):
    turn[i] = 0.0
for i in range(n):
    turn[i * n + i] = 1.0
if n > 0:
    lapack_gebal(letter0, int0, space, int0, int1, int2, scales, int3)
    lapack_gebak(letter0, letter1, int0, int1, int2, scales, int0, turn, int0, int3)
for j in range(n):
    size = 0.0
    for i in range(n):
        size = size + absolute(turn[j * n + i])
    for i in range(n):
        out[2 * at + i * n + j] = turn[j * n + i]
        out[2 * at + (n + j) * n + i] = divide(divide(turn[j * n + i], size), size)
"""


def _balance(x: Shape, *, permute: bool, scale: bool) -> Text:
    n = x[-1]
    letter = "B" if permute and scale else "P" if permute else "S" if scale else "N"
    numbers = n * n + n + n * n
    words = ("gebal", "gebak")
    return Text(letter + "R", "whole[0] = n", _BALANCE, words, {"n": n}, 4, numbers, 1000 + 20 * n * n, maths="absolute divide")


TEXTS: Mapping[str, Callable[..., Text]] = {
    "lapack_lu": _lu,
    "lapack_swap_rows": _swap_rows,
    "lapack_schur": _schur,
    "lapack_sylvester": _sylvester,
    "lapack_root": _root,
    "lapack_log": _log,
    "lapack_log_turn": _log_turn,
    "lapack_balance": _balance,
}
