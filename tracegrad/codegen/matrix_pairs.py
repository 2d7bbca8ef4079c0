"""Kernels of complex linear algebra: LAPACK's functions of complex numbers, which lie in memory as pairs of reals.

Every matrix is copied so that its columns stand together, as NumPy does before it calls the same functions: signs and phases
of vectors are then NumPy's. Indices count reals, so those of complex numbers are doubled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tracegrad.codegen.matrix_text import BLOCK, SIDE, Text

__all__ = ["TEXTS"]

Shape = tuple[int, ...]


def _text(
    letters: str,
    before: str,
    each: str,
    words: tuple[str, ...],
    sizes: Mapping[str, int],
    integers: int,
    numbers: int,
    work: float,
    *,
    strict: bool = False,
) -> Text:
    held = max(numbers, 1) if "space" in each else 0  # matrices without elements name it, too
    return Text(letters, before, each, words, sizes, integers, held, 4 * work, strict, axes=3, pairs=True)


# the Hermitian part of a matrix, or what is read of any one, with columns together in ``space``
_HERMITIAN = """
at = unit * n * n * 2
for i in range(n):
    for j in range(n):
        here = at + 2 * (i * n + j)
        there = at + 2 * (j * n + i)
        space[2 * (j * n + i)] = (a[here] + a[there]) * 0.5
        space[2 * (j * n + i) + 1] = (a[here + 1] - a[there + 1]) * 0.5
"""
_COPIED = """
at = unit * m * n * 2
odd = 0.0
for i in range(m):
    for j in range(n):
        here = at + 2 * (i * n + j)
        odd = odd + (a[here] + a[here + 1]) * 0.0
        space[2 * (j * m + i)] = a[here]
        space[2 * (j * m + i) + 1] = a[here + 1]
"""
_SQUARE = _COPIED.replace("m * n", "n * n").replace("range(m)", "range(n)").replace("j * m", "j * n")

# -- triangles ----------------------------------------------------------------------------------------------------------

_CHOLESKY = f"""
{_HERMITIAN.strip()}
lapack_potrf(letter0, int0, space, int1, int2)
if whole[2] != 0:
    refused(whole[2])
for i in range(n):
    for j in range(n):
        keep = 0.0 if j > i else 1.0
        keep = keep if whole[2] == 0 else nan
        out[at + 2 * (i * n + j)] = space[2 * (j * n + i)] if keep == 1.0 else keep
        out[at + 2 * (i * n + j) + 1] = space[2 * (j * n + i) + 1] if keep == 1.0 else keep
"""


def _cholesky(x: Shape, *, whole: object) -> Text:
    n = x[-2]
    return _text("L", SIDE, _CHOLESKY, ("potrf",), {"n": n}, 3, 2 * n * n, 200 + n**3 / 3, strict=True)


_TRIANGULAR = """
at = unit * n * m * 2
for i in range(n * m * 2):
    out[at + i] = b[at + i]
matrix = buffer_offset(a, unit * n * n * 2)
lapack_trsm(letter0, letter1, letter2, letter3, int0, int1, space, matrix, int2, buffer_offset(out, at), int3)
"""


def _solve_triangular(a: Shape, b: Shape, *, upper: bool, unitriangular: bool, whole: object) -> Text:
    n, m = b[-3:-1]
    before = "whole[0] = m\nwhole[1] = n\nwhole[2] = max(n, 1)\nwhole[3] = max(m, 1)\nspace[0] = 1.0\nspace[1] = 0.0"
    letters = f"R{'L' if upper else 'U'}N{'U' if unitriangular else 'N'}"
    return _text(letters, before, _TRIANGULAR, ("trsm",), {"n": n, "m": m}, 4, 2, 200 + n * n * m)


_LU = f"""
{_COPIED.strip()}
into = unit * m * (n + 1) * 2
if k > 0:
    lapack_getrf(int0, int1, space, int0, int3, int2)
for i in range(m):
    for j in range(n):
        out[into + 2 * (i * (n + 1) + j)] = space[2 * (j * m + i)]
        out[into + 2 * (i * (n + 1) + j) + 1] = space[2 * (j * m + i) + 1]
    out[into + 2 * (i * (n + 1) + n)] = 0.0
    out[into + 2 * (i * (n + 1) + n) + 1] = 0.0
for i in range(k):
    out[into + 2 * (i * (n + 1) + n)] = whole[3 + i] - 1
"""


def _lu(x: Shape, *, whole: object) -> Text:
    m, n = x[-3:-1]
    k = min(m, n)
    sizes = {"m": m, "n": n, "k": k}
    return _text("", "whole[0] = m\nwhole[1] = n", _LU, ("getrf",), sizes, 3 + k, 2 * m * n, 300 + 2 * m * n * k)


# -- eigenvalues --------------------------------------------------------------------------------------------------------

_EIGH = f"""
{_HERMITIAN.strip()}
lapack_heevd(letter0, letter1, int0, space, int1, values, work, int3, reals, int4, int6, int5, int2)
if whole[2] != 0:
    refused(whole[2])
into = unit * (n + 1) * n * 2
for j in range(n):
    out[into + 2 * j] = values[j] if whole[2] == 0 else nan
    out[into + 2 * j + 1] = 0.0
    for i in range(n):
        out[into + 2 * ((i + 1) * n + j)] = space[2 * (j * n + i)] if whole[2] == 0 else nan
        out[into + 2 * ((i + 1) * n + j) + 1] = space[2 * (j * n + i) + 1] if whole[2] == 0 else nan
"""


def _eigh(x: Shape, *, upper: bool, whole: object) -> Text:
    n = x[-2]
    complexes, reals, integers = 1 + (2 + BLOCK) * n + n * n, 1 + 5 * n + 2 * n * n, 3 + 5 * n
    before = f"{SIDE}\nwhole[3] = 1 + {2 + BLOCK} * n + n * n\nwhole[4] = 1 + 5 * n + 2 * n * n\nwhole[5] = 3 + 5 * n\n"
    before += "values = buffer_offset(space, 2 * n * n)\nreals = buffer_offset(values, n)\n"
    before += "work = buffer_offset(reals, 1 + 5 * n + 2 * n * n)"
    numbers = 2 * n * n + n + reals + 2 * complexes
    letters = "VU" if upper else "VL"
    return _text(letters, before, _EIGH, ("heevd",), {"n": n}, 6 + integers, numbers, 1500 + 10 * n**3, strict=True)


# of a real matrix a pair of eigenvalues has the parts of the first one's vector in its two columns
_REAL_PARTS = """
        size = -1.0 if imaginary[j] < 0.0 else 1.0
        first = j - 1 if imaginary[j] < 0.0 else j
        re = right[first * n + i]
        im = size * right[(first + 1) * n + i] if imaginary[j] != 0.0 else 0.0
"""
_COMPLEX_PARTS = """
        re = right[2 * (j * n + i)]
        im = right[2 * (j * n + i) + 1]
"""


def _eig_text(copied: str, call: str, value: str, imaginary: str, parts: str) -> str:
    return f"""
{copied.strip()}
whole[3] = 1 if n > 0 else 0
if odd == 0.0:
    if n > 0:
        {call}
if whole[3] != 0:
    refused(whole[3])
into = unit * (n + 1) * n * 2
for j in range(n):
    out[into + 2 * j] = {value} if whole[3] == 0 else nan
    out[into + 2 * j + 1] = {imaginary} if whole[3] == 0 else nan
    for i in range(n):
        {parts.strip()}
        out[into + 2 * ((i + 1) * n + j)] = re if whole[3] == 0 else nan
        out[into + 2 * ((i + 1) * n + j) + 1] = im if whole[3] == 0 else nan
"""


_EIG = _eig_text(
    _SQUARE,
    "lapack_geev(letter0, letter1, int0, space, int0, values, one, int1, right, int0, work, int2, reals, int3)",
    "values[2 * j]",
    "values[2 * j + 1]",
    _COMPLEX_PARTS,
)
_EIG_OF_REALS = _eig_text(
    """
at = unit * n * n
odd = 0.0
for i in range(n):
    for j in range(n):
        odd = odd + a[at + i * n + j] * 0.0
        space[j * n + i] = a[at + i * n + j]
""",
    "lapack_geev(letter0, letter1, int0, space, int0, values, imaginary, one, int1, right, int0, work, int2, int3)",
    "values[j]",
    "imaginary[j]",
    _REAL_PARTS,
)


def _eig(x: Shape, *, whole: object) -> Text:
    n = x[-2]
    before = f"whole[0] = n\nwhole[1] = 1\nwhole[2] = 1 + {2 + BLOCK} * n\n"
    before += "right = buffer_offset(space, 2 * n * n)\nvalues = buffer_offset(right, 2 * n * n)\n"
    before += "reals = buffer_offset(values, 2 * n)\none = buffer_offset(reals, 2 * n)\nwork = buffer_offset(one, 2)"
    numbers = 4 * n * n + 4 * n + 2 + 2 * (1 + (2 + BLOCK) * n)
    return _text("NV", before, _EIG, ("geev",), {"n": n}, 4, numbers, 2000 + 25 * n**3, strict=True)


def _eig_of_reals(x: Shape, *, whole: object) -> Text:
    n = x[-1]
    before = f"whole[0] = n\nwhole[1] = 1\nwhole[2] = 1 + {4 + BLOCK} * n\n"
    before += "right = buffer_offset(space, n * n)\nvalues = buffer_offset(right, n * n)\n"
    before += "imaginary = buffer_offset(values, n)\none = buffer_offset(imaginary, n)\nwork = buffer_offset(one, 2)"
    numbers = 2 * n * n + 2 * n + 2 + 1 + (4 + BLOCK) * n
    return Text("NV", before, _EIG_OF_REALS, ("geev",), {"n": n}, 4, numbers, 2000 + 25 * n**3, strict=True)


# as in the texts of reals: S, V of hseqr, P of gebal, R of gebak
_SCHUR = f"""
{_SQUARE.strip()}
whole[3] = 1 if n > 0 else 0
if odd == 0.0:
    if n > 0:
        lapack_gebal(letter2, int0, space, int0, int4, int5, scales, int3)
        lapack_gehrd(int0, int4, int5, space, int0, corner, work, int2, int3)
        for i in range(2 * n * n):
            vectors[i] = space[i]
        lapack_unghr(int0, int4, int5, vectors, int0, corner, work, int2, int3)
        lapack_hseqr(letter0, letter1, int0, int4, int5, space, int0, values, vectors, int0, work, int2, int3)
        if whole[3] == 0:
            lapack_gebak(letter2, letter3, int0, int4, int5, scales, int0, vectors, int0, int3)
if whole[3] != 0:
    refused(whole[3])
for i in range(n):
    for j in range(n):
        for part in range(2):
            out[2 * at + 2 * (i * n + j) + part] = space[2 * (j * n + i) + part] if whole[3] == 0 else nan
            out[2 * at + 2 * ((n + i) * n + j) + part] = vectors[2 * (j * n + i) + part] if whole[3] == 0 else nan
        if i > j:
            out[2 * at + 2 * (i * n + j)] = 0.0
            out[2 * at + 2 * (i * n + j) + 1] = 0.0
"""


def _schur(x: Shape, *, whole: object) -> Text:
    n = x[-2]
    before = f"whole[0] = n\nwhole[1] = 1\nwhole[2] = 1 + {BLOCK} * n\n"
    before += "vectors = buffer_offset(space, 2 * n * n)\ncorner = buffer_offset(vectors, 2 * n * n)\n"
    before += "values = buffer_offset(corner, 2 * n)\nscales = buffer_offset(values, 2 * n)\nwork = buffer_offset(scales, n)"
    numbers = 4 * n * n + 5 * n + 2 * (1 + BLOCK * n)
    words = ("gebal", "gehrd", "unghr", "hseqr", "gebak")
    return _text("SVPR", before, _SCHUR, words, {"n": n}, 6, numbers, 2000 + 25 * n**3, strict=True)


# -- rotations and singular values --------------------------------------------------------------------------------------

_QR = f"""
{_COPIED.strip()}
lapack_geqrf(int0, int1, space, int3, corner, work, int4, int5)
into = unit * k * (m + n) * 2
for i in range(k):
    for j in range(n):
        for part in range(2):
            out[into + 2 * (i * (m + n) + m + j) + part] = space[2 * (j * m + i) + part] if j >= i else 0.0
lapack_ungqr(int0, int2, int2, space, int3, corner, work, int4, int5)
for i in range(k):
    for j in range(m):
        for part in range(2):
            out[into + 2 * (i * (m + n) + j) + part] = space[2 * (i * m + j) + part]
"""


def _qr(x: Shape, *, whole: object) -> Text:
    m, n = x[-3:-1]
    k = min(m, n)
    before = f"whole[0] = m\nwhole[1] = n\nwhole[2] = k\nwhole[3] = max(m, 1)\nwhole[4] = {BLOCK} * max(n, 1)\n"
    before += "corner = buffer_offset(space, 2 * m * n)\nwork = buffer_offset(corner, 2 * k)"
    numbers = 2 * (m * n + k + BLOCK * max(n, 1))
    return _text("", before, _QR, ("geqrf", "ungqr"), {"m": m, "n": n, "k": k}, 6, numbers, 1000 + 4 * m * n * k)


_QR_COMPLETION = f"""
{_COPIED.strip()}
lapack_geqrf(int0, int1, space, int5, corner, work, int3, int4)
lapack_ungqr(int0, int0, int2, space, int5, corner, work, int3, int4)
into = unit * m * (m - k) * 2
for i in range(m):
    for j in range(m - k):
        for part in range(2):
            out[into + 2 * (i * (m - k) + j) + part] = space[2 * ((k + j) * m + i) + part]
"""


def _qr_completion(x: Shape, *, whole: object) -> Text:
    m, n = x[-3:-1]
    k = min(m, n)
    lwork = BLOCK * max(m, n, 1)
    before = "whole[0] = m\nwhole[1] = n\nwhole[2] = k\nwhole[3] = lwork\nwhole[5] = max(m, 1)\n"
    before += "corner = buffer_offset(space, 2 * m * max(m, n))\nwork = buffer_offset(corner, 2 * k)"
    sizes = {"m": m, "n": n, "k": k, "lwork": lwork}
    numbers = 2 * (m * max(m, n) + k + lwork)
    return _text("", before, _QR_COMPLETION, ("geqrf", "ungqr"), sizes, 6, numbers, 1000 + 4 * m * m * max(m, n))


def _svd_memory(m: int, n: int) -> tuple[int, int]:
    """Complex and real numbers that the decomposition may want."""
    k, most = min(m, n), max(m, n)
    return 2 * k * k + 4 * k + most + BLOCK * (m + n) + 1, 7 * k * k + 8 * k + 2 * most * k + 1


_SVD_BEFORE = """
whole[0] = m
whole[1] = n
whole[2] = max(k, 1)
whole[3] = max(m, 1)
whole[4] = lwork
values = buffer_offset(space, 2 * m * n)
left = buffer_offset(values, k)
right = buffer_offset(left, 2 * m * LEFT)
reals = buffer_offset(right, 2 * n * RIGHT)
work = buffer_offset(reals, lrwork)
"""
_SVD_CALL = f"""
{_COPIED.strip()}
whole[5] = 1
if odd == 0.0:
    lapack_gesdd(letter0, int0, int1, space, int3, values, left, int3, right, RIGHT, work, int4, reals, int6, int5)
"""
_SVD = """
if whole[5] != 0:
    refused(whole[5])
into = unit * (m + 1 + n) * k * 2
for j in range(k):
    out[into + 2 * (m * k + j)] = values[j] if whole[5] == 0 else nan
    out[into + 2 * (m * k + j) + 1] = 0.0
    for i in range(m):
        for part in range(2):
            out[into + 2 * (i * k + j) + part] = left[2 * (j * m + i) + part] if whole[5] == 0 else nan
    for i in range(n):
        re = right[2 * (i * k + j)]
        im = -right[2 * (i * k + j) + 1]
        out[into + 2 * ((m + 1 + i) * k + j)] = re if whole[5] == 0 else nan
        out[into + 2 * ((m + 1 + i) * k + j) + 1] = im if whole[5] == 0 else nan
"""


def _svd(x: Shape, *, whole: object) -> Text:
    m, n = x[-3:-1]
    k = min(m, n)
    lwork, lrwork = _svd_memory(m, n)
    before = _SVD_BEFORE.replace("LEFT", "k").replace("RIGHT", "k")
    each = _SVD_CALL.replace("RIGHT", "int2").rstrip() + _SVD
    sizes = {"m": m, "n": n, "k": k, "lwork": lwork, "lrwork": lrwork}
    numbers = 2 * m * n + k + 2 * (m + n) * k + lrwork + 2 * lwork
    return _text("S", before, each, ("gesdd",), sizes, 6 + 8 * k + 1, numbers, 3000 + 20 * m * n * k, strict=True)


_COMPLETED = """
into = unit * SIZE * (SIZE - k) * 2
for i in range(SIZE):
    for j in range(SIZE - k):
        re = VALUE
        im = SIGN IMAGINARY
        out[into + 2 * (i * (SIZE - k) + j)] = re if whole[5] == 0 else nan
        out[into + 2 * (i * (SIZE - k) + j) + 1] = im if whole[5] == 0 else nan
"""
_IDENTITY = """
for i in range(n):
    for j in range(n):
        out[2 * (unit * n * n + i * n + j)] = 1.0 if i == j else 0.0
        out[2 * (unit * n * n + i * n + j) + 1] = 0.0
"""


def _svd_completion(x: Shape, *, right: bool, whole: object) -> Text:
    m, n = x[-3:-1]
    k = min(m, n)
    if k == 0:
        size = n if right else m
        return _text("", "", _IDENTITY, (), {"n": size}, 0, 0, size * size)
    lwork, lrwork = _svd_memory(m, n)
    before = _SVD_BEFORE.replace("LEFT", "m").replace("RIGHT", "n")
    # the rows of Vᴴ, whose columns stand together, or the columns of U
    name, place = ("n", "right[2 * (i * n + k + j)]") if right else ("m", "left[2 * ((k + j) * m + i)]")
    completed = _COMPLETED.replace("SIZE", name).replace("VALUE", place).replace("IMAGINARY", place.replace(")]", ") + 1]"))
    each = _SVD_CALL.replace("RIGHT", "int1").rstrip() + completed.replace("SIGN ", "-" if right else "")
    sizes = {"m": m, "n": n, "k": k, "lwork": lwork, "lrwork": lrwork}
    numbers = 2 * m * n + k + 2 * (m * m + n * n) + lrwork + 2 * lwork
    return _text("A", before, each, ("gesdd",), sizes, 6 + 8 * k + 1, numbers, 3000 + 20 * max(m, n) ** 2 * k)


TEXTS: Mapping[str, Callable[..., Text]] = {
    "lapack_cholesky_of_pairs": _cholesky,
    "lapack_solve_triangular_of_pairs": _solve_triangular,
    "lapack_lu_of_pairs": _lu,
    "lapack_eigh_of_pairs": _eigh,
    "lapack_eig_of_pairs": _eig,
    "lapack_eig_of_reals": _eig_of_reals,
    "lapack_schur_of_pairs": _schur,
    "lapack_qr_of_pairs": _qr,
    "lapack_qr_completion_of_pairs": _qr_completion,
    "lapack_svd_of_pairs": _svd,
    "lapack_svd_completion_of_pairs": _svd_completion,
}
