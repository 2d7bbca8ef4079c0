"""How right and how fast the functions in kernels are: worst error against mpmath, and time beside NumPy's own loops.

``python -m benchmarks.maths [--only NAME] [--points N] [--quick] [--json FILE]``

Each row is one op in one precision, compiled from the text that generated kernels hold, in a loop over SIZE elements that
lie in the first-level cache. Errors are in units of the last place of the exact result, over arguments of all sizes
and next to where the formulas change; the x87's 64 bits look for the worst ones, mpmath measures those.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import mpmath
import numba
import numpy as np
import scipy.special
from rich.console import Console
from rich.table import Table

from benchmarks.timing import QUICK, Effort, interleave, machine
from tracegrad.codegen import mathlib, mathlib_numba  # noqa: F401 - the latter tells Numba of the former
from tracegrad.codegen.text import scalar_text
from tracegrad.core.expr import Operand
from tracegrad.core.op import Op
from tracegrad.ops import maps, special

Array = np.ndarray[Any, Any]
SIZE = 10_000
"""Elements of a timed loop."""

CONFIRMED = 12
"""So many of the worst arguments are measured with mpmath."""


@dataclass(frozen=True)
class Function:
    """An op with a reference.

    Parameters
    ----------
    op: the op; its lowering is what is measured.
    exact: the same function of mpmath's numbers.
    low, high: the arguments that are timed.
    numpy: the ufunc beside it.
    wide: a ufunc that is right in the x87's format, if there is one; else mpmath does the search as well.
    domain: whether an argument has a finite result, apart from overflow.
    """

    op: Op
    exact: Callable[..., Any]
    low: float
    high: float
    numpy: Any
    wide: Any = None
    domain: Callable[..., Any] = lambda *xs: xs[0] == xs[0]
    arity: int = 1

    @property
    def name(self) -> str:
        """The op's name."""
        return self.op.name


def _same(op: Op, exact: Callable[..., Any], low: float, high: float, name: str = "", **more: Any) -> Function:
    ufunc = getattr(np, name or op.name)
    return Function(op, exact, low, high, ufunc, ufunc, **more)


def _log_base(base: int) -> Callable[[Any], Any]:
    return lambda x: mpmath.log(x) / mpmath.log(base)


def _logaddexp(x: Any, y: Any) -> Any:
    return max(x, y) + mpmath.log1p(mpmath.exp(-abs(x - y)))


def _erfc(x: Any) -> Any:
    """erfc, but 0 where it is below every float, which takes mpmath long."""
    return mpmath.erfc(x) if abs(x) < 60 else mpmath.mpf(2 if x < 0 else 0)


def _erf(x: Any) -> Any:
    return mpmath.erf(x) if abs(x) < 60 else mpmath.sign(x)


def _erfcx(x: Any) -> Any:
    if abs(x) < 1000:
        return mpmath.erfc(x) * mpmath.exp(x * x)
    return mpmath.inf if x < 0 else _erfcx_far(x)


def _erfcx_far(x: Any) -> Any:
    """The asymptotic series, whose fifth term is below 2**-70."""
    square = 2 * x * x
    return (1 - (1 - (3 - 15 / square) / square) / square) / (x * mpmath.sqrt(mpmath.pi))


def _wide_sigmoid(x: Array) -> Array:
    wide: Array = 1 / (1 + np.exp(-x))
    return wide


def _ndtr(x: Any) -> Any:
    return _erfc(-x / mpmath.sqrt(2)) / 2


def _log_ndtr(x: Any) -> Any:
    if x < -1000:
        far = _erfcx_far(-x / mpmath.sqrt(2))
        return mpmath.log(far / 2) - x * x / 2
    return mpmath.log1p(-_ndtr(-x)) if x > 0 else mpmath.log(mpmath.erfc(-x / mpmath.sqrt(2)) / 2)


FUNCTIONS = (
    _same(maps.exp, mpmath.exp, -5, 5),
    _same(maps.expm1, mpmath.expm1, -5, 5),
    _same(maps.exp2, lambda x: mpmath.mpf(2) ** x, -5, 5),
    _same(maps.log, mpmath.log, 0.01, 100, domain=lambda x: x > 0),
    _same(maps.log1p, mpmath.log1p, -0.9, 10, domain=lambda x: x > -1),
    _same(maps.log2, _log_base(2), 0.01, 100, domain=lambda x: x > 0),
    _same(maps.log10, _log_base(10), 0.01, 100, domain=lambda x: x > 0),
    _same(maps.sqrt, mpmath.sqrt, 0.01, 100, domain=lambda x: x >= 0),
    _same(maps.tanh, mpmath.tanh, -3, 3),
    Function(maps.sigmoid, lambda x: 1 / (1 + mpmath.exp(-x)), -5, 5, scipy.special.expit, _wide_sigmoid),
    _same(maps.sin, mpmath.sin, -10, 10),
    _same(maps.cos, mpmath.cos, -10, 10),
    _same(maps.tan, mpmath.tan, -10, 10),
    _same(maps.arcsin, mpmath.asin, -1, 1, domain=lambda x: abs(x) <= 1),
    _same(maps.arccos, mpmath.acos, -1, 1, domain=lambda x: abs(x) <= 1),
    _same(maps.arctan, mpmath.atan, -5, 5),
    _same(maps.arctan2, mpmath.atan2, -5, 5, arity=2),
    _same(maps.sinh, mpmath.sinh, -5, 5),
    _same(maps.cosh, mpmath.cosh, -5, 5),
    _same(maps.arcsinh, mpmath.asinh, -10, 10),
    _same(maps.arccosh, mpmath.acosh, 1, 10, domain=lambda x: x >= 1),
    _same(maps.arctanh, mpmath.atanh, -0.99, 0.99, domain=lambda x: abs(x) < 1),
    _same(maps.power, mpmath.power, 0.1, 5, domain=lambda x, y: (x > 0) | (y == np.rint(y)), arity=2),
    _same(maps.hypot, mpmath.hypot, -5, 5, arity=2),
    _same(maps.logaddexp, _logaddexp, -5, 5, arity=2),
    Function(maps.erf, _erf, -3, 3, scipy.special.erf),
    Function(special.erfc, _erfc, -3, 3, scipy.special.erfc),
    Function(special.erfcx, _erfcx, -3, 3, scipy.special.erfcx),
    Function(special.ndtr, _ndtr, -3, 3, scipy.special.ndtr),
    Function(special.log_ndtr, _log_ndtr, -3, 3, scipy.special.log_ndtr),
)
ERF = ("erf", "erfc", "erfcx", "ndtr", "log_ndtr")
"""These are slow in mpmath, and need no more digits where their argument is large."""

DTYPES = (np.dtype(np.float64), np.dtype(np.float32))


@functools.cache
def loop(op: Op, dtype: np.dtype[Any], arity: int = 1) -> Any:
    """A compiled loop ``(operands…, out)`` over the text that a kernel has for an op."""
    names = ("x", "y")[:arity]
    expression = op.lower(*(Operand(k) for k in range(arity)))
    text = scalar_text(expression, tuple(f"{n}[i]" for n in names), (dtype,) * arity, dtype, set())
    source = f"def loop({', '.join(names)}, out):\n    for i in range(uint64(out.size)):\n        out[i] = {text}\n"
    scope: dict[str, Any] = {**vars(mathlib), "uint64": np.uint64, "float32": np.float32, "inf": math.inf}
    for word in ("equal", "less", "greater"):
        scope.pop(word, None)
    exec(source, scope)
    return numba.njit(error_model="numpy", fastmath={"contract"})(scope["loop"])


def evaluate(function: Function, operands: Sequence[Array]) -> Array:
    """The results of the compiled loop."""
    out = np.empty_like(operands[0])
    loop(function.op, out.dtype, function.arity)(*operands, out)
    return out


def arguments(function: Function, dtype: np.dtype[Any], count: int, seed: int = 0) -> tuple[Array, ...]:
    """About ``count`` arguments of all sizes, in the middle, near 1, at the edges of the range and next to turning points."""
    rng = np.random.default_rng(seed)
    info = np.finfo(dtype)
    part = count // 8
    sign = lambda n: rng.choice([-1.0, 1.0], n)  # noqa: E731
    smallest = info.minexp - info.nmant
    pieces = [
        rng.uniform(-4, 4, part),
        rng.uniform(-40, 40, part),
        sign(part) * 2.0 ** rng.uniform(smallest, info.maxexp, part),
        sign(part) * 2.0 ** rng.uniform(-info.nmant - 2, 1, part),
        1 + sign(part) * 2.0 ** rng.uniform(-info.nmant, -1, part),
        rng.uniform((smallest - 2) * math.log(2), info.maxexp * math.log(2), part),
        rng.uniform(smallest - 2, info.maxexp, part),
        _turning_points(info),
    ]
    with np.errstate(over="ignore", invalid="ignore"):
        x = np.concatenate(pieces).astype(dtype)
        x = np.concatenate([x, *_neighbours(pieces[-1].astype(dtype))])
    x = np.concatenate([x, -x])
    x = x[np.isfinite(x)]
    if function.arity == 1:
        return (x[function.domain(x)],)
    y = rng.permutation(x)
    # of like sizes, so that neither operand is lost
    with np.errstate(over="ignore"):
        near = (x.astype(np.longdouble) * np.exp2(rng.uniform(-12, 12, x.size)) * sign(x.size)).astype(dtype)
    y = np.where(rng.random(x.size) < 0.3, y, near)
    if function.name == "power":
        exponent = rng.uniform(smallest - 1, info.maxexp, x.size)
        with np.errstate(all="ignore"):
            y = (exponent / np.log2(abs(x).astype(np.longdouble))).astype(dtype)
        y[::7] = np.rint(y[::7])
        x = np.where(y == np.rint(y), x, abs(x))
    kept = np.isfinite(x) & np.isfinite(y)
    kept[kept] &= function.domain(x[kept], y[kept])
    return x[kept], y[kept]


def _turning_points(info: Any) -> Array:
    """Halves and quarters, powers of two, multiples of pi/2 and pi/4, odd multiples of ln 2 / 2, bounds of the formulas."""
    close = [
        *(np.arange(1, 200) / 8),
        *(2.0 ** np.arange(info.minexp - info.nmant, info.maxexp)),
        *(np.pi / 4 * np.arange(1, 200)),
        *(np.pi / 2 * 10.0 ** np.arange(3, 30)),
        *(np.log(2) / 2 * np.arange(1, 2100)),
        *(math.sqrt(0.5) * 2.0 ** np.arange(-40, 40)),
        *(math.tan(math.pi / 8), math.tan(3 * math.pi / 8), math.e, 22.0, 10.0, 6.0, 4.0, 5.9215871957945065),
        6381956970095103.0 * 2.0**797,  # float64's closest to a multiple of pi/2 (Muller, Elementary Functions, 11.3.2)
        16367173.0 * 2.0**72,  # float32's
        *(1e22, 2.0**40, 2.0**28, 2.0**30, float(info.max), float(info.tiny), float(info.smallest_subnormal)),
    ]
    return np.array(close)


def _neighbours(x: Array) -> list[Array]:
    up, down = x, x
    found = []
    with np.errstate(over="ignore"):
        for _ in range(2):
            up, down = np.nextafter(up, x.dtype.type(np.inf)), np.nextafter(down, x.dtype.type(-np.inf))
            found += [up, down]
    return found


def exact_value(function: Function, operands: Sequence[float]) -> Any:
    """The result to many more digits than either precision has."""
    # mpmath's precision is absolute about a zero: a result near one needs as many bits more as the argument is long
    extra = max((abs(int(mpmath.mag(mpmath.mpf(x)))) for x in operands if x), default=0)
    with mpmath.workprec(160 + (2 * extra if function.name not in ERF else min(extra, 400))):
        return +function.exact(*(mpmath.mpf(x) for x in operands))


def ulps(value: Any, exact: Any) -> float:
    """The error in units of the last place of the exact result; infinite for a wrong infinity or NaN."""
    info = np.finfo(value.dtype)
    if mpmath.isnan(exact) or np.isnan(value):
        return 0.0 if mpmath.isnan(exact) and np.isnan(value) else math.inf
    if np.isinf(value):
        overflows = abs(exact) >= mpmath.mpf(2) ** info.maxexp * (1 - mpmath.mpf(2) ** (-info.nmant - 2))
        return 0.0 if overflows and (value > 0) == (exact > 0) else math.inf
    if mpmath.isinf(exact):
        return math.inf
    exponent = int(mpmath.frexp(exact)[1]) - 1 if exact else info.minexp
    error = abs(mpmath.mpf(float(value)) - exact) / mpmath.mpf(2) ** (max(exponent, info.minexp) - info.nmant)
    return float(min(error, mpmath.mpf(10) ** 9))


def rough_ulps(value: Array, exact: Array) -> Array:
    """The same of many results at once, against a wider format: right to 2**-10 in float64."""
    info = np.finfo(value.dtype)
    with np.errstate(all="ignore"):
        _, exponent = np.frexp(exact)
        unit = np.ldexp(np.ones_like(exact), np.maximum(exponent - 1, info.minexp) - info.nmant)
        error = abs(value.astype(exact.dtype) - exact) / unit
        agree = (value == exact.astype(value.dtype)) | (np.isnan(value) & np.isnan(exact))
        error = np.where(np.isnan(error) | np.isinf(error), math.inf, error)
        return np.where(agree & ~(error < 1), 0.0, error)


def worst(function: Function, dtype: np.dtype[Any], count: int) -> tuple[float, tuple[float, ...]]:
    """The greatest error found, in ulp, and the argument that has it."""
    wide = np.longdouble if dtype == np.float64 else np.float64
    searched = function.wide is not None and np.finfo(wide).nmant > np.finfo(dtype).nmant + 9
    reference = function.wide if searched else None
    if dtype == np.float32 and reference is None:
        reference = function.numpy  # SciPy's float64 is wide enough
    operands = arguments(function, dtype, count)
    if reference is None:
        operands = tuple(x[:: max(1, 50 * len(x) // count)] for x in operands)
    got = evaluate(function, operands)
    where = range(len(got))
    if reference is not None:
        with np.errstate(all="ignore"):
            rough = rough_ulps(got, reference(*(x.astype(wide) for x in operands)))
        where = np.argsort(rough)[-CONFIRMED:]
    best = (0.0, ())
    for k in where:
        point = tuple(float(x[k]) for x in operands)
        error = ulps(got[k], exact_value(function, point))
        if error > best[0]:
            best = (error, point)
    return best


@dataclass(frozen=True)
class Row:
    """What one op does in one precision: its worst error, where, and nanoseconds per element, ours and NumPy's or SciPy's."""

    function: str
    dtype: str
    worst_ulp: float
    at: tuple[float, ...]
    ours_ns: float
    theirs_ns: float

    @property
    def ratio(self) -> float:
        """Our time over theirs."""
        return self.ours_ns / self.theirs_ns


def measure(function: Function, dtype: np.dtype[Any], points: int, effort: Effort) -> Row:
    """One row of the table; the times are the least of the contenders' turns."""
    rng = np.random.default_rng(0)
    operands = tuple(rng.uniform(function.low, function.high, SIZE).astype(dtype) for _ in range(function.arity))
    out, compiled = np.empty_like(operands[0]), loop(function.op, dtype, function.arity)
    compiled(*operands, out)
    contenders = {
        "ours": lambda: compiled(*operands, out),
        "theirs": lambda: function.numpy(*operands, out=out),
    }
    times = interleave(contenders, effort)
    error, at = worst(function, dtype, points)
    return Row(function.name, dtype.name, error, at, *(times[k].least * 1e3 / SIZE for k in contenders))


def table(rows: Sequence[Row]) -> Table:
    """The rows for people."""
    shown = Table(title=f"ns per element of {SIZE}, and the worst error in ulp")
    for title in ("op", "dtype", "worst", "at", "ours", "NumPy, SciPy", "ratio"):
        shown.add_column(title, justify="left" if title in ("op", "dtype", "at") else "right")
    for row in rows:
        at = ", ".join(f"{x:.9g}" for x in row.at)
        shown.add_row(
            row.function,
            row.dtype,
            f"{row.worst_ulp:.2f}",
            at,
            f"{row.ours_ns:.2f}",
            f"{row.theirs_ns:.2f}",
            f"{row.ratio:.2f}",
        )
    return shown


def main(arguments_given: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.maths", description=__doc__)
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="an op; may be given again")
    parser.add_argument("--points", type=int, default=200_000, help="arguments per row")
    parser.add_argument("--quick", action="store_true", help="short turns: the times mean little")
    parser.add_argument("--json", type=Path, help="write the rows and the machine's facts to this file")
    given = parser.parse_args(arguments_given)
    effort = QUICK if given.quick else Effort(rounds=40, turn=0.001, pause=0.0)
    chosen = [f for f in FUNCTIONS if not given.only or f.name in given.only]
    rows = [measure(f, dtype, given.points, effort) for f in chosen for dtype in DTYPES]
    Console(width=140).print(table(rows))
    if given.json:
        facts = {"machine": machine(1), "rows": [asdict(row) for row in rows]}
        given.json.write_text(json.dumps(facts, indent=1), "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
