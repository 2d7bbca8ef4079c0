"""Sums of floats in kernels: as accurate as NumPy's pairwise ones, whatever the loops, and the same on any threads."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest

import tracegrad as tg

UNIT = 2.0**-24


def numbers(kind, n, seed=0):
    rng = np.random.default_rng(seed)
    if kind == "equal":  # every addition rounds in the same direction
        return np.full(n, 0.1, np.float32)
    return (rng.normal(size=n) * 10.0 ** rng.uniform(-6, 6, n)).astype(np.float32)


def error(result, terms):
    """In units of the terms' sizes, along the last axis."""
    terms = np.atleast_2d(terms)
    exact = np.array([math.fsum(row) for row in terms.astype(np.float64)])
    sizes = abs(terms.astype(np.float64)).sum(-1)
    return float(np.max(abs(np.atleast_1d(result).astype(np.float64) - exact) / sizes / UNIT))


whole = tg.jit(lambda x: np.sum(x))
rows = tg.jit(lambda x: np.sum(x, axis=1))
products = tg.jit(lambda x, y: np.sum(x * y))
few = tg.jit(lambda x: np.sum(np.sqrt(np.sum(x * x, axis=1))))
row_logs = tg.jit(lambda x: np.sum(np.log(np.sum(np.exp(x), axis=1))))


@pytest.mark.parametrize("n", [1, 511, 513, 100_003, 1_000_000])
@pytest.mark.parametrize("kind", ["equal", "mixed"])
def test_sums_are_as_accurate_as_numpys(kind, n):
    x, y = numbers(kind, n), numbers(kind, n, 1)
    for got, want, terms in (
        (whole(x), np.sum(x), x),
        (rows(np.stack([x, y])), np.sum(np.stack([x, y]), axis=1), np.stack([x, y])),
        # over a row that is read again: two loops
        (products(np.stack([x, y]), x), np.sum(np.stack([x, y]) * x), (np.stack([x, y]) * x).ravel()),
    ):
        # an ulp or two in any case; beyond, no more than NumPy
        assert error(got, terms) <= max(2.0, error(want, terms))


def test_sums_over_rows_are_accurate():
    x = np.full((50_000, 2), 0.1, np.float32)
    assert error(few(x), np.sqrt(np.sum(x * x, axis=1))) < 4
    assert error(row_logs(np.full((20_000, 40), 0.1, np.float32)), np.full(20_000, np.log(np.float32(40 * np.exp(0.1))))) < 4


@pytest.mark.parametrize("where", [0, 700, 99_999])
def test_sums_of_infinities_are_ieees(where):
    x = np.ones(100_000, np.float32)
    x[where] = np.inf
    assert whole(x) == np.inf
    assert rows(x[None])[0] == np.inf
    x[where // 2 + 1] = -np.inf
    assert np.isnan(whole(x))
    assert np.isnan(rows(x[None])[0])
    big = np.full(2_000, np.finfo(np.float32).max)
    assert whole(big) == np.inf


@pytest.mark.nightly
@pytest.mark.parametrize("kind", ["equal", "mixed"])
def test_a_hundred_million_terms(kind):
    x = numbers(kind, 100_000_000)
    assert error(whole(x), x) <= max(2.0, error(np.sum(x), x))
    assert error(rows(x.reshape(2, -1)), x.reshape(2, -1)) <= max(
        1.5, error(np.sum(x.reshape(2, -1), axis=1), x.reshape(2, -1))
    )


THREADS = """
import hashlib, json, numba, numpy as np, tracegrad as tg
rng = np.random.default_rng(0)
x = (rng.normal(size=600_011) * 10.0 ** rng.uniform(-6, 6, 600_011)).astype(np.float32)
a, b = x[:600_000].reshape(-1, 40), x[:600_000].reshape(3, -1)
loss = tg.grad_compile(lambda x: np.sum(np.tanh(x) * x))
columns = tg.jit(lambda a: np.sum(a * a, axis=0))
rows = tg.jit(lambda a: np.sum(np.exp(-a * a), axis=1))
found = []
for threads in (1, 2, 3, 4):
    numba.set_num_threads(threads)
    value, gradient = loss.value_and_grad(x)
    results = [value, gradient, columns(a), rows(a), rows(b), columns(b)]
    found.append([hashlib.sha256(np.asarray(r).tobytes()).hexdigest() for r in results])
print(json.dumps([f == found[0] for f in found]))
"""


def test_results_are_bitwise_the_same_on_any_number_of_threads():
    process = subprocess.run(
        [sys.executable, "-c", THREADS],
        env={**os.environ, "NUMBA_NUM_THREADS": "4"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert json.loads(process.stdout) == [True] * 4
