"""Ops in kernels against mpmath, by the benchmark's search for the worst arguments; and exhaustively in float32."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special

from benchmarks.maths import DTYPES, FUNCTIONS, evaluate, rough_ulps, worst

ULP_LIMIT = 2.0
BY_NAME = {f.name: f for f in FUNCTIONS}

# test_mathlib.py measures the others
QUICK = ("sigmoid", "tan", "arctan2", "arcsinh", "arccosh", "arctanh", "hypot", "erfc", "erfcx", "ndtr", "log_ndtr")

# where ln(e^x + e^y) is near 0 it is the difference of numbers that are not, and NumPy's has the same error
CANCELS = "logaddexp"


def check(name, dtype, points):
    error, at = worst(BY_NAME[name], dtype, points)
    assert error <= ULP_LIMIT, f"{name}{at} is off by {error} ulp"


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", QUICK)
def test_ops_are_within_two_ulp(name, dtype):
    check(name, dtype, 5_000)


@pytest.mark.nightly
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", [name for name in BY_NAME if name != CANCELS])
def test_ops_are_within_two_ulp_of_many_arguments(name, dtype):
    check(name, dtype, 1_000_000)


@pytest.mark.nightly
@pytest.mark.parametrize("name", [name for name, f in BY_NAME.items() if f.arity == 1])
def test_every_float32_is_within_two_ulp(name):
    function = BY_NAME[name]
    reference = function.wide or function.numpy
    step = 1 << 22
    for first in range(0, 1 << 32, step):
        x = (np.arange(step, dtype=np.uint32) + np.uint32(first)).view(np.float32)
        got = evaluate(function, (x,))
        with np.errstate(all="ignore"):
            errors = rough_ulps(got, reference(x.astype(np.float64)))
        k = int(np.argmax(errors))
        assert errors[k] <= ULP_LIMIT, f"{name}({x[k]!r}) = {got[k]!r} is off by {errors[k]} ulp"


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", ["erfc", "erfcx", "ndtr", "log_ndtr", "sigmoid"])
def test_special_values_are_scipys(name, dtype):
    edges = [0.0, 0.47, 1.0, 5.0, 26.0, 27.3, 30.0, 37.6, 40.0, 1e4, 1e22, 3e38, 1e-39, 1e-44, np.inf]
    x = np.array([*edges, *(-e for e in edges), np.nan], dtype)
    got = evaluate(BY_NAME[name], (x,))
    with np.errstate(all="ignore"):
        want = getattr(scipy.special, "expit" if name == "sigmoid" else name)(x)
    assert got.dtype == want.dtype == dtype
    same = (got == want) | (np.isnan(got) & np.isnan(want))
    with np.errstate(all="ignore"):
        # SciPy's own tails are off by some ulp of the exponent
        same |= abs(got - want) <= np.maximum(1e3 * np.finfo(dtype).eps * abs(want), 4 * np.finfo(dtype).smallest_subnormal)
    assert same.all(), (x[~same], got[~same], want[~same])
