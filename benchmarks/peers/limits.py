"""What the machine can do, measured: bytes per second of a triad, flops per second of fused multiply-adds."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir
from numba import get_num_threads, njit, prange, types
from numba.extending import intrinsic

from tracegrad.runtime.threads import load_tbb

load_tbb()  # the thread pool of tracegrad's programs and of the hand-written ones

CHAINS = 16  # independent sums, enough to hide the latency of one multiply-add
LANES = {"float64": 8, "float32": 16}
WIDEST = 1 << 27  # bytes of the largest triad, well beyond the caches


@dataclass(frozen=True, slots=True)
class Limits:
    """The machine's limits.

    Parameters
    ----------
    triad: bytes per second of ``a = b + s c`` by the bytes of its three arrays together.
    flops: multiplications and additions per second by dtype.
    """

    triad: dict[int, float]
    flops: dict[str, float]

    def better(self, other: Limits) -> Limits:
        """The greater of two measurements: whatever disturbs one of them makes it less."""
        return Limits(
            {size: max(rate, other.triad[size]) for size, rate in self.triad.items()},
            {dtype: max(rate, other.flops[dtype]) for dtype, rate in self.flops.items()},
        )

    def seconds(self, moved: float, flops: float, dtype: str) -> float:
        """The least time of so many bytes and flops: the slower of both, each at its limit."""
        size = min(self.triad, key=lambda size: abs(np.log(size / moved)))
        return max(moved / self.triad[size], flops / self.flops[dtype])


@njit(fastmath={"contract"}, error_model="numpy", nogil=True)
def _triad_part(a: Any, b: Any, c: Any, s: float) -> None:
    for i in range(len(a)):
        a[i] = b[i] + s * c[i]


@njit(parallel=True, error_model="numpy", nogil=True)
def _triad(a: Any, b: Any, c: Any, s: float, parts: int, repeat: int) -> None:
    for p in prange(parts):
        part = slice(p * len(a) // parts, (p + 1) * len(a) // parts)
        for _ in range(repeat):
            _triad_part(a[part], b[part], c[part], s)


@intrinsic
def _multiply_adds(context: Any, x: Any, steps: Any) -> Any:
    """CHAINS vectors multiplied by x and added to, ``steps`` times; the sum of all is given so that none is left out."""
    lanes = LANES[str(x)]

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        element = context.get_value_type(x)
        vector, word = ir.VectorType(element, lanes), ir.IntType(64)
        factor = ir.Constant(vector, ir.Undefined)
        for k in range(lanes):
            factor = builder.insert_element(factor, arguments[0], ir.Constant(ir.IntType(32), k))
        name = f"llvm.fma.v{lanes}f{32 if str(x) == 'float32' else 64}"
        fma = builder.module.globals.get(name) or ir.Function(builder.module, ir.FunctionType(vector, [vector] * 3), name)
        before = builder.block
        loop, after = builder.append_basic_block("loop"), builder.append_basic_block("after")
        builder.branch(loop)
        builder.position_at_end(loop)
        step, sums = builder.phi(word), [builder.phi(vector) for _ in range(CHAINS)]
        following = [builder.call(fma, [total, factor, factor]) for total in sums]
        count = builder.add(step, ir.Constant(word, 1))
        step.add_incoming(ir.Constant(word, 0), before)
        step.add_incoming(count, loop)
        for total, new in zip(sums, following, strict=True):
            total.add_incoming(factor, before)
            total.add_incoming(new, loop)
        builder.cbranch(builder.icmp_signed("<", count, arguments[1]), loop, after)
        builder.position_at_end(after)
        whole = functools.reduce(builder.fadd, following)
        terms = [builder.extract_element(whole, ir.Constant(ir.IntType(32), k)) for k in range(lanes)]
        return functools.reduce(builder.fadd, terms)

    return x(x, types.int64), generate


@njit(error_model="numpy", nogil=True)
def _busy(x: Any, steps: int) -> Any:
    return _multiply_adds(x, steps)


@njit(parallel=True, error_model="numpy", nogil=True)
def _all_busy(x: Any, steps: int, parts: int, out: Any) -> None:
    for p in prange(parts):
        out[p] = _busy(x, steps)


def measured(quick: bool = False) -> Limits:
    """Measure the machine with all its cores; the best of several tries, as a limit is one."""
    tries = 2 if quick else 12
    sizes = (1 << 12, 1 << 20) if quick else (1 << 12, 1 << 15, 1 << 18, 1 << 20, 1 << 22, 1 << 24, 1 << 26, WIDEST)
    return Limits(
        {size: _bandwidth(size, tries) for size in sizes},
        {dtype: _peak(np.dtype(dtype), tries, 1000 if quick else 1_000_000) for dtype in LANES},
    )


def _bandwidth(size: int, tries: int) -> float:
    """The triad's bytes per second where its three arrays have ``size`` bytes: parallel or not, whichever is faster."""
    n = max(size // 24, 1)
    a, b, c = (np.full(n, 1.0 + k) for k in range(3))
    repeat = max(1, (1 << 24) // size)
    return max(
        24 * n * repeat / _least(lambda parts=parts: _triad(a, b, c, 0.5, parts, repeat), tries)
        for parts in (1, get_num_threads())
    )


def _peak(dtype: Any, tries: int, steps: int) -> float:
    """Flops per second; a multiply-add is two."""
    threads = get_num_threads()
    out = np.empty(threads, dtype)
    taken = _least(lambda: _all_busy(dtype.type(0.5), steps, threads, out), tries)
    return 2.0 * LANES[str(dtype)] * CHAINS * steps * threads / taken


def _least(call: Callable[[], Any], tries: int) -> float:
    call()
    times = []
    for _ in range(tries):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return min(times)
