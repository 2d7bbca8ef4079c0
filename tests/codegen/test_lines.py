"""Kernels that walk along an axis give what NumPy gives, bit for bit: scans, orders, searches, reductions at positions."""

import numpy as np
import pytest

import tracegrad as tg

RNG = np.random.default_rng(0)
LINES = (
    ((7,), 0),
    ((5, 9), 0),
    ((5, 9), 1),
    ((2, 3, 4), 1),
    ((0, 3), 0),
    ((3, 0), 1),
    ((1, 4), 0),
    ((1500, 7), 0),
    ((3, 700), 1),
)
DTYPES = (np.float64, np.float32, np.int64, np.int32, np.bool)


def compare(function, *arrays):
    """Assert that the compiled function gives what the plain one gives."""
    wanted, found = function(*arrays), tg.jit(function)(*arrays)
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(found, wanted)


def drawn(shape, dtype):
    return (RNG.standard_normal(shape) * 5).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "axis"), LINES)
def test_scans(shape, axis, dtype):
    x = drawn(shape, dtype)
    compare(lambda x: np.cumsum(x, axis), x)
    compare(lambda x: np.maximum.accumulate(x, axis), x)
    if x.dtype.kind == "f":
        compare(lambda x: np.cumprod(x, axis), x / 30 + 1)
        x.reshape(-1)[2::3] = np.nan
        compare(lambda x: np.minimum.accumulate(x, axis), x)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "axis"), LINES)
def test_orders_are_stable_and_nan_comes_last(shape, axis, dtype):
    x = drawn(shape, dtype)
    x = np.round(x) if x.dtype.kind == "f" else x
    compare(lambda x: np.argsort(x, axis, kind="stable"), x)
    compare(lambda x: np.sort(x[::-1], axis), x)
    if x.dtype.kind == "f":
        x.reshape(-1)[::3] = np.nan
        compare(lambda x: np.argsort(x, axis, kind="stable"), x)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("line", [np.sort(RNG.standard_normal(100)), np.array([1.0, 1.0, 2.0, np.nan, np.nan]), np.zeros(0)])
def test_searches(line, side):
    values = np.concatenate([RNG.standard_normal(40), [np.nan, 1.0, 2.0, np.inf, -np.inf]])
    compare(lambda a, v: np.searchsorted(a, v, side), line, values.reshape(9, 5))
    compare(lambda a, v: np.searchsorted(a, v, side), np.array([1, 1, 2, 5]), np.arange(7))


@pytest.mark.parametrize("ufunc", [np.add, np.multiply, np.maximum, np.minimum])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
def test_reductions_at_positions(ufunc, dtype):
    at = np.array([3, 0, 3, 3, 1])

    def reduced(x, y):
        z = x + 0
        ufunc.at(z, at, y)
        return z

    # whole numbers, so that the order of the sums does not matter
    compare(reduced, np.round(drawn((5, 4), dtype)), np.round(drawn((5, 4), dtype)))


def test_gradients_of_lines_are_native():
    def loss(x, w):
        return np.sum(w * np.sort(np.cumsum(x)) * np.cumprod(x)) + np.interp(0.3, np.cumsum(w), x)

    x, w = RNG.random(9) + 0.5, RNG.random(9)
    native, plain = (tg.grad_compile(loss, argnums=(0, 1), compile=mode).grad(x, w) for mode in ("now", "never"))
    for found, wanted in zip(native, plain, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-13)
