"""Scans against NumPy's and against their definitions: values, dtypes, gradients with zeros, ties and extremes."""

import numpy as np
import pytest
from scipy import special

from tests.support import gradients, static
from tracegrad.core.interpret import interpret
from tracegrad.errors import DtypeError, ShapeError, TraceError
from tracegrad.ops import scans
from tracegrad.ops.reductions import sum as sum_of

X = np.random.default_rng(0).normal(size=(3, 4, 2))


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize("name", ["cumsum", "cumprod"])
def test_values_are_those_of_numpy(name, axis):
    ours, numpys = getattr(scans, name), getattr(np, name)
    for x in (X, X.astype(np.float32), np.arange(24).reshape(3, 4, 2).astype(np.int16), X > 0, X.astype(np.uint8)):
        expected = numpys(x, axis)
        for result in (ours(x, axis), interpret(static(lambda x: ours(x, axis), x), [x])[0]):
            assert result.dtype == expected.dtype
            np.testing.assert_array_equal(result, expected)
    assert ours(X, axis, np.float32).dtype == np.float32


@pytest.mark.parametrize("zeros", [(), (0,), (4,), (1, 3), (0, 1, 2, 3, 4)])
def test_the_gradient_of_a_running_product_is_right_at_zeros(zeros):
    x = np.array([0.5, -1.5, 2.0, 3.0, 0.25])
    x[list(zeros)] = 0.0
    weights = np.array([1.0, 0.5, -2.0, 0.25, 3.0])
    (found,) = gradients(lambda x: sum_of(scans.cumprod(x) * weights), x)
    expected = [sum(weights[k] * np.prod(np.delete(x[: k + 1], i)) for k in range(i, len(x))) for i in range(len(x))]
    np.testing.assert_allclose(found, expected, rtol=1e-14)


def test_recurrence_is_its_definition():
    a, b = np.random.default_rng(1).normal(size=(2, 6, 3))
    expected = b.copy()
    for k in range(1, 6):
        expected[k] += a[k] * expected[k - 1]
    np.testing.assert_allclose(scans.recurrence(a, b, axis=0), expected, rtol=1e-14)


def test_the_latest_of_equal_extremes_is_taken():
    x = np.array([1.0, 3.0, 3.0, 2.0, 3.0])
    assert scans.cummax(x, 0)[1].tolist() == [0, 1, 2, 2, 4]
    assert scans.cummin(-x, 0)[1].tolist() == [0, 1, 2, 2, 4]
    (found,) = gradients(lambda x: sum_of(scans.cummax(x, 0)[0]), x)
    assert found.tolist() == [1.0, 1.0, 2.0, 0.0, 1.0]


def test_nan_stays():
    values, positions = scans.cummin(np.array([1.0, np.nan, 0.0, np.nan]), 0)
    np.testing.assert_array_equal(values, [1.0, np.nan, np.nan, np.nan])
    assert positions.tolist() == [0, 1, 1, 3]


@pytest.mark.parametrize("shift", [0.0, 800.0, -800.0])
def test_logcumsumexp_is_stable(shift):
    x = X[:, :, 0] * 20 + shift
    expected = np.stack([special.logsumexp(x[:, : k + 1], axis=1) for k in range(4)], axis=1)
    np.testing.assert_allclose(scans.logcumsumexp(x, 1), expected, rtol=1e-14)
    (found,) = gradients(lambda x: sum_of(scans.logcumsumexp(x, 1)), x)
    np.testing.assert_allclose(
        found, sum(np.exp(x - expected[:, k : k + 1]) * (np.arange(4) <= k) for k in range(4)), rtol=1e-12
    )


def test_a_great_number_behind_small_ones_does_not_hide_them():
    np.testing.assert_allclose(scans.logcumsumexp(np.array([-900.0, -900.0, 900.0]), 0)[:2], [-900.0, -900.0 + np.log(2)])


def test_empty_axes():
    for function in (scans.cumsum, scans.cumprod, scans.logcumsumexp):
        assert function(np.zeros((2, 0)), 1).shape == (2, 0)


def test_bad_input():
    with pytest.raises(ShapeError, match="axis 5 is out of range"):
        scans.cumsum(X, 5)
    with pytest.raises(DtypeError, match="logcumsumexp of int64"):
        scans.logcumsumexp(np.arange(3), 0)
    with pytest.raises(TraceError, match=r"y = np\.cumsum\(x\)"):
        scans.cumsum(X, 0, out=X)
