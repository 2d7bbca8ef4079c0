"""Hand-written: Rosenbrock, the elementwise chain, Black–Scholes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from benchmarks.hand.common import parallel, serial
from tracegrad.codegen.mathlib import accumulate, erf, exp, log, sqrt, tanh

BLOCK = 4096
SMALL = 8192  # elements below which a second core costs more than it saves


@serial
def rosenbrock(x: Any) -> Any:
    """Interior points read both neighbours, so that each gradient element is written once."""
    n = x.size
    gradient = np.empty_like(x)
    here, left, right, out = x[1:-1], x[:-2], x[2:], gradient[1:-1]
    total = 0.0
    for i in range(len(here)):
        valley = right[i] - here[i] * here[i]
        rest = 1.0 - here[i]
        out[i] = 200.0 * (here[i] - left[i] * left[i]) - 400.0 * here[i] * valley - 2.0 * rest
        total = accumulate(total, 100.0 * valley * valley + rest * rest)
    valley, rest = x[1] - x[0] * x[0], 1.0 - x[0]
    gradient[0] = -400.0 * x[0] * valley - 2.0 * rest
    gradient[n - 1] = 200.0 * (x[n - 1] - x[n - 2] * x[n - 2])
    return total + 100.0 * valley * valley + rest * rest, gradient


@serial
def _chain_block(x: Any, gradient: Any) -> Any:
    kind = x.dtype.type
    scale, shift, one, two = kind(1.5), kind(0.3), kind(1.0), kind(2.0)
    total = kind(0.0)
    for i in range(len(x)):
        t = tanh(scale * x[i] + shift)
        damped = exp(-x[i] * x[i]) * t
        total = accumulate(total, t * damped)
        gradient[i] = two * damped * (scale * (one - t * t) - x[i] * t)
    return total


@parallel
def _chain_parallel(x: Any) -> Any:
    n = x.size
    gradient = np.empty_like(x)
    blocks = (n + BLOCK - 1) // BLOCK
    partial = np.empty(blocks)
    for b in prange(blocks):
        rows = slice(b * BLOCK, min(b * BLOCK + BLOCK, n))
        partial[b] = _chain_block(x[rows], gradient[rows])
    return x.dtype.type(partial.sum()), gradient


@serial
def _chain_serial(x: Any) -> Any:
    gradient = np.empty_like(x)
    return _chain_block(x, gradient), gradient


def chain(x: Any) -> Any:
    """Value and gradient share the loop: the cotangent of a sum is known before it."""
    return _chain_serial(x) if x.size <= SMALL else _chain_parallel(x)


@serial
def _black_scholes_block(s: Any, k: Any, t: Any, r: Any, v: Any, ds: Any, dk: Any, dt: Any, dr: Any, dv: Any) -> Any:
    half, density = 0.7071067811865476, 0.3989422804014327
    total = 0.0
    for i in range(len(s)):
        root = sqrt(t[i])
        spread = v[i] * root
        d1 = (log(s[i] / k[i]) + (r[i] + 0.5 * v[i] * v[i]) * t[i]) / spread
        d2 = d1 - spread
        n1, n2 = 0.5 + 0.5 * erf(half * d1), 0.5 + 0.5 * erf(half * d2)
        discount = exp(-r[i] * t[i])
        kept = k[i] * discount * n2
        total = accumulate(total, s[i] * n1 - kept)
        vega = s[i] * density * exp(-0.5 * d1 * d1) * root
        ds[i] = n1
        dk[i] = -discount * n2
        dt[i] = vega * v[i] / (2.0 * t[i]) + r[i] * kept
        dr[i] = t[i] * kept
        dv[i] = vega
    return total


@parallel
def _black_scholes(s: Any, k: Any, t: Any, r: Any, v: Any) -> Any:
    n = s.size
    greeks = (np.empty(n), np.empty(n), np.empty(n), np.empty(n), np.empty(n))
    ds, dk, dt, dr, dv = greeks
    blocks = (n + BLOCK - 1) // BLOCK
    partial = np.empty(blocks)
    for b in prange(blocks):
        w = slice(b * BLOCK, min(b * BLOCK + BLOCK, n))
        partial[b] = _black_scholes_block(s[w], k[w], t[w], r[w], v[w], ds[w], dk[w], dt[w], dr[w], dv[w])
    return partial.sum(), greeks


def black_scholes(p: tuple[Any, ...]) -> Any:
    """One pass: the greeks in closed form from what the price needs anyway."""
    return _black_scholes(*p)
