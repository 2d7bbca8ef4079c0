"""Kernels of functions of matrices: pseudo-inverses, cofactors, completed bases, exponentials.

As in :mod:`tracegrad.codegen.matrices`, LAPACK and BLAS see each matrix transposed. Where the lines do not turn it round they
use that: xᵀ = V S Uᵀ, and a polynomial of xᵀ is the transposed one of x.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from tracegrad.codegen.matrix_text import BLOCK, Text

Shape = tuple[int, ...]


# -- singular values ----------------------------------------------------------------------------------------------------

# xᵀ = V S Uᵀ: ``left`` is V and ``right`` Uᵀ for LAPACK, whose columns stand together
_SINGULAR = """
at = unit * m * n
odd = 0.0
for i in range(m):
    for j in range(n):
        odd = odd + a[at + i * n + j] * 0.0
        space[i * n + j] = a[at + i * n + j]
whole[5] = 1 if k > 0 else 0
if odd == 0.0:
    if k > 0:
        lapack_gesdd(letter0, int0, int1, space, int0, values, left, int0, right, int2, work, int3, int6, int5)
"""
_PINV = f"""
{_SINGULAR.strip()}
if whole[5] == 0:
    if k > 0:
        limit = max(absolute_limit, relative_limit * values[0])
        for i in range(k):
            factor = divide(1.0, values[i]) if values[i] > limit else 0.0
            for j in range(n):
                left[i * n + j] = left[i * n + j] * factor
        lapack_gemm(letter1, letter1, int1, int0, int2, one, right, int2, left, int0, zero, buffer_offset(out, at), int4)
else:
    refused(whole[5])
    for i in range(m * n):
        out[at + i] = nan
"""
_SINGULAR_BEFORE = """
whole[0] = n
whole[1] = m
whole[2] = k
whole[3] = lwork
whole[4] = m
one = space
zero = buffer_offset(space, 1)
one[0] = 1.0
one[1] = 0.0
values = buffer_offset(space, 2)
left = buffer_offset(space, 2 + k)
right = buffer_offset(left, n * k)
work = buffer_offset(right, m * k)
"""


def _svd_memory(m: int, n: int) -> int:
    """Numbers of working memory that LAPACK's decomposition may want."""
    k = min(m, n)
    return k * (7 + 5 * k) + max(m, n) + BLOCK * (m + n) + 1


def _singular(m: int, n: int, letters: str, each: str, more: int, work: float, strict: bool) -> Text:
    """A text that begins with singular values; ``rest`` is memory for ``more`` numbers, and ``copy`` for the matrix."""
    k, lwork = min(m, n), _svd_memory(m, n)
    before = _SINGULAR_BEFORE.strip() + "\ncopy = buffer_offset(work, lwork)\nrest = buffer_offset(copy, m * n)"
    each = each.replace("space[i * n + j] =", "copy[i * n + j] =").replace("int1, space, int0", "int1, copy, int0")
    numbers = 2 + k + n * k + m * k + lwork + m * n + more
    sizes = {"m": m, "n": n, "k": k, "lwork": lwork}
    return Text(letters, before, each, ("gesdd", "gemm"), sizes, 7 + 8 * k, numbers, work, strict, maths="absolute divide")


def _pinv(x: Shape, *, rtol: float | None = None, atol: float = 0.0, hermitian: bool = False) -> Text:
    m, n = x[-2:]
    relative = f"({max(m, n)}.0 * epsilon)" if rtol is None else repr(float(rtol))
    each = _PINV.replace("absolute_limit", repr(float(atol))).replace("relative_limit", relative)
    if hermitian:
        each = each.replace("= a[at + i * n + j]", "= a[at + max(i, j) * n + min(i, j)]")
    return _singular(m, n, "ST", each, 0, 3000 + 24 * m * n * min(m, n), True)


# -- cofactors ----------------------------------------------------------------------------------------------------------

# The turns of U and V, by LU: each pivot and each row that is exchanged turns once.
_TURN = """
turn = 1.0
for side in range(min(2, 2 * n)):
    for i in range(n * n):
        rest[i] = right[i] if side > 0 else left[i]
    lapack_getrf(int0, int0, rest, int0, int6, int5)
    for i in range(n):
        turn = -turn if rest[i * n + i] < 0.0 else turn
        if whole[6 + i] != i + 1:
            turn = -turn
"""
_COFACTOR = f"""
{_SINGULAR.strip()}
if whole[5] == 0:
    {"    ".join(_TURN.strip().splitlines(keepends=True))}
    for i in range(n):
        others = turn
        for j in range(n):
            others = others * values[j] if j != i else others
        for j in range(n):
            left[i * n + j] = left[i * n + j] * others
    if n > 0:
        lapack_gemm(letter1, letter1, int0, int0, int0, one, left, int0, right, int0, zero, buffer_offset(out, at), int0)
else:
    for i in range(n * n):
        out[at + i] = nan
"""
_COFACTOR_TURN = f"""
{_SINGULAR.strip().replace(" a[", " b[")}
if whole[5] == 0:
    {"    ".join(_TURN.strip().splitlines(keepends=True))}
    if n > 0:
        lapack_gemm(letter2, letter1, int0, int0, int0, one, left, int0, buffer_offset(a, at), int0, zero, rest, int0)
        lapack_gemm(letter1, letter2, int0, int0, int0, one, rest, int0, right, int0, zero, copy, int0)
    for i in range(n):
        along = 0.0
        for j in range(n):
            pair = turn
            for l in range(n):
                others = 1.0 if l == i else values[l]
                pair = pair * (1.0 if l == j else others)
            pair = 0.0 if i == j else pair
            along = along + pair * copy[j * n + j]
            rest[j * n + i] = -pair * copy[i * n + j]
        rest[i * n + i] = along
    if n > 0:
        lapack_gemm(letter1, letter1, int0, int0, int0, one, left, int0, rest, int0, zero, copy, int0)
        lapack_gemm(letter1, letter1, int0, int0, int0, one, copy, int0, right, int0, zero, buffer_offset(out, at), int0)
else:
    for i in range(n * n):
        out[at + i] = nan
"""


def _cofactor(x: Shape) -> Text:
    n = x[-1]
    return _with_turns(_singular(n, n, "SN", _COFACTOR, n * n, 3000 + 26 * n**3, False))


def _cofactor_turn(g: Shape, x: Shape) -> Text:
    n = x[-1]
    return _with_turns(_singular(n, n, "SNT", _COFACTOR_TURN, n * n, 3000 + 35 * n**3, False))


def _with_turns(text: Text) -> Text:
    return replace(text, words=(*text.words, "getrf"))


# -- completed bases ----------------------------------------------------------------------------------------------------

_COMPLETION = """
at = unit * m * n
odd = 0.0
for i in range(m):
    for j in range(n):
        odd = odd + a[at + i * n + j] * 0.0
        space[j * m + i] = a[at + i * n + j]
whole[4] = 1
if odd == 0.0:
    lapack_gesdd(letter0, int0, int1, space, int0, values, left, int0, right, int1, work, int3, int5, int4)
"""
_COMPLETED = """
into = unit * SIZE * (SIZE - k)
for i in range(SIZE):
    for j in range(SIZE - k):
        out[into + i * (SIZE - k) + j] = VALUE if whole[4] == 0 else nan
"""
_IDENTITY = """
for i in range(n):
    for j in range(n):
        out[unit * n * n + i * n + j] = 1.0 if i == j else 0.0
"""
_COMPLETION_BEFORE = """
whole[0] = m
whole[1] = n
whole[3] = lwork
values = buffer_offset(space, m * n)
left = buffer_offset(values, k)
right = buffer_offset(left, m * m)
work = buffer_offset(right, n * n)
"""


def _svd_completion(x: Shape, *, right: bool) -> Text:
    m, n = x[-2:]
    k, lwork = min(m, n), _svd_memory(m, n)
    # the rows of Vᵀ, whose columns stand together, or the columns of U
    if k == 0:
        whole = n if right else m
        return Text("", "", _IDENTITY, (), {"n": whole}, 0, 0, whole * whole)
    size, value = ("n", "right[i * n + k + j]") if right else ("m", "left[(k + j) * m + i]")
    each = _COMPLETION + _COMPLETED.replace("SIZE", size).replace("VALUE", value).lstrip()
    numbers = m * n + k + m * m + n * n + lwork
    sizes = {"m": m, "n": n, "k": k, "lwork": lwork}
    return Text("A", _COMPLETION_BEFORE, each, ("gesdd",), sizes, 5 + 8 * k, numbers, 3000 + 20 * max(m, n) ** 2 * k)


_QR_COMPLETION = """
at = unit * m * n
for i in range(m):
    for j in range(n):
        space[j * m + i] = a[at + i * n + j]
lapack_geqrf(int0, int1, space, int5, corner, work, int3, int4)
lapack_orgqr(int0, int0, int2, space, int5, corner, work, int3, int4)
into = unit * m * (m - k)
for i in range(m):
    for j in range(m - k):
        out[into + i * (m - k) + j] = space[(k + j) * m + i]
"""


def _qr_completion(x: Shape) -> Text:
    m, n = x[-2:]
    k = min(m, n)
    lwork = BLOCK * max(m, n, 1)
    before = "whole[0] = m\nwhole[1] = n\nwhole[2] = k\nwhole[3] = lwork\nwhole[5] = max(m, 1)\n"
    before += "corner = buffer_offset(space, m * max(m, n))\nwork = buffer_offset(corner, k)"
    sizes = {"m": m, "n": n, "k": k, "lwork": lwork}
    work = 1000 + 4 * m * m * max(m, n)
    return Text("", before, _QR_COMPLETION, ("geqrf", "orgqr"), sizes, 6, m * max(m, n) + k + lwork, work)


# -- the exponential ----------------------------------------------------------------------------------------------------

_PADE = (
    64764752532480000.0,
    32382376266240000.0,
    7771770303897600.0,
    1187353796428800.0,
    129060195264000.0,
    10559470521600.0,
    670442572800.0,
    33522128640.0,
    1323241920.0,
    40840800.0,
    960960.0,
    16380.0,
    182.0,
    1.0,
)
"""The coefficients of the diagonal Padé approximant of order 13 (Higham 2005, SIAM J. Matrix Anal. Appl. 26, 1179)."""
_THETA = 5.371920351148152
"""Up to this norm it is exact in double precision; a matrix of a greater one is halved until it is not, and then squared."""

_EXPONENTIAL = """
greatest = 0.0
for i in range(n):
    norm = 0.0
    for j in range(n):
        norm = norm + absolute(x[i * n + j])
    greatest = norm if norm > greatest else greatest
    greatest = greatest + norm * 0.0
squarings = 0
shrink = 1.0
finite = 1 if greatest - greatest == 0.0 else 0
if finite == 1:
    while greatest * shrink > THETA:
        shrink = shrink * 0.5
        squarings = squarings + 1
for i in range(n * n):
    x[i] = x[i] * shrink
lapack_gemm(letter0, letter0, int0, int0, int0, one, x, int0, x, int0, zero, second, int0)
lapack_gemm(letter0, letter0, int0, int0, int0, one, second, int0, second, int0, zero, fourth, int0)
lapack_gemm(letter0, letter0, int0, int0, int0, one, fourth, int0, second, int0, zero, sixth, int0)
for i in range(n * n):
    odd[i] = B13 * sixth[i] + B11 * fourth[i] + B9 * second[i]
    even[i] = B12 * sixth[i] + B10 * fourth[i] + B8 * second[i]
lapack_gemm(letter0, letter0, int0, int0, int0, one, sixth, int0, odd, int0, zero, left, int0)
lapack_gemm(letter0, letter0, int0, int0, int0, one, sixth, int0, even, int0, zero, right, int0)
for i in range(n * n):
    odd[i] = left[i] + B7 * sixth[i] + B5 * fourth[i] + B3 * second[i]
    even[i] = right[i] + B6 * sixth[i] + B4 * fourth[i] + B2 * second[i]
for i in range(n):
    odd[i * n + i] = odd[i * n + i] + B1
    even[i * n + i] = even[i * n + i] + B0
lapack_gemm(letter0, letter0, int0, int0, int0, one, x, int0, odd, int0, zero, left, int0)
for i in range(n * n):
    right[i] = even[i] + left[i]
    left[i] = even[i] - left[i]
lapack_getrf(int0, int0, left, int0, int2, int1)
lapack_getrs(letter0, int0, int0, left, int0, int2, right, int0, int1)
for step in range(squarings):
    lapack_gemm(letter0, letter0, int0, int0, int0, one, right, int0, right, int0, zero, left, int0)
    for i in range(n * n):
        right[i] = left[i]
"""
_EXP_MEMORY = ("x", "second", "fourth", "sixth", "odd", "even", "left", "right")
_EXP = """
at = unit * n * n
for i in range(n * n):
    x[i] = a[at + i]
EXPONENTIAL
for i in range(n * n):
    out[at + i] = right[i] if finite == 1 else nan
"""
# [[b, a], [0, b]], in which a is brought to the norm of b, as the result is linear in it
_EXP_TURN = """
at = unit * k * k
size = 0.0
along = 0.0
for i in range(k):
    for j in range(k):
        size = max(size, absolute(b[at + i * k + j]))
        along = max(along, absolute(a[at + i * k + j]))
size = size if size > 0.0 else 1.0
along = along if along > 0.0 else 1.0
factor = divide(size, along)
for i in range(k):
    for j in range(k):
        x[i * n + j] = b[at + i * k + j]
        x[(k + i) * n + k + j] = b[at + i * k + j]
        x[i * n + k + j] = a[at + i * k + j] * factor
        x[(k + i) * n + j] = 0.0
EXPONENTIAL
for i in range(k):
    for j in range(k):
        out[at + i * k + j] = divide(right[i * n + k + j], factor) if finite == 1 else nan
"""


def _exponential(n: int, each: str, sizes: Mapping[str, int]) -> Text:
    lines = _EXPONENTIAL.strip().replace("THETA", repr(_THETA))
    for k in reversed(range(len(_PADE))):
        lines = lines.replace(f"B{k} ", f"{_PADE[k]!r} ").replace(f"B{k}\n", f"{_PADE[k]!r}\n")
    lines = lines.replace("1.0 * ", "")
    memory = [f"{name} = buffer_offset(space, 2 + {k} * n * n)" for k, name in enumerate(_EXP_MEMORY)]
    before = "\n".join(
        ["whole[0] = max(n, 1)", "one = space", "zero = buffer_offset(space, 1)", "one[0] = 1.0", "one[1] = 0.0", *memory]
    )
    text = each.replace("EXPONENTIAL", lines)
    words, numbers = ("gemm", "getrf", "getrs"), 2 + len(_EXP_MEMORY) * max(n, 1) ** 2
    return Text("N", before, text, words, {"n": n, **sizes}, 3 + n, numbers, 2000 + 22 * n**3, maths="absolute divide")


def _exp(x: Shape) -> Text:
    return _exponential(x[-1], _EXP, {})


def _exp_turn(g: Shape, x: Shape) -> Text:
    return _exponential(2 * x[-1], _EXP_TURN, {"k": x[-1]})


TEXTS: Mapping[str, Callable[..., Text]] = {
    "lapack_pinv": _pinv,
    "lapack_cofactor": _cofactor,
    "lapack_cofactor_turn": _cofactor_turn,
    "lapack_svd_completion": _svd_completion,
    "lapack_qr_completion": _qr_completion,
    "lapack_exp": _exp,
    "lapack_exp_turn": _exp_turn,
}
