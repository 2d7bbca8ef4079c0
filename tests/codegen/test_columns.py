"""Sums down the columns of rows that are reduced in the same loops."""

import numpy as np
import pytest

import tracegrad as tg


def both_ways(x, scale):
    """Softmax's rows, and what their columns add up to."""
    last = x.ndim - 1
    share = np.exp(x - np.max(x, axis=last, keepdims=True))
    share = share / np.sum(share, axis=last, keepdims=True) * scale
    others = tuple(range(last))
    return share, np.sum(share, axis=others), np.max(share * x, axis=others), np.any(share > 0.5, axis=others)


@pytest.mark.parametrize("shape", [(37, 5), (300, 70), (3, 40, 9), (2, 3), (1, 4), (4, 1)])
def test_columns_are_numpys_on_any_number_of_threads(shape):
    x = np.random.default_rng(0).normal(size=shape)
    function = tg.jit(both_ways)
    results = []
    for threads in (1, 2):
        with tg.config.override(threads=threads):
            results.append(function(x, 1.5))
    for one, two, expected in zip(*results, both_ways(x, 1.5), strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_allclose(one, expected, rtol=1e-13)
        assert one.dtype == expected.dtype


def test_columns_of_many_rows_are_bitwise_the_same_in_parallel():
    x = np.random.default_rng(0).normal(size=(5000, 90)).astype(np.float32)
    results = []
    for threads in (1, 2):
        with tg.config.override(threads=threads):
            results.append(tg.jit(lambda a: [a.sum(axis=0), np.exp(a).sum(axis=1)])(x))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][1], results[1][1])
    np.testing.assert_allclose(results[0][0], x.astype(np.float64).sum(axis=0), rtol=1e-5, atol=1e-3)


def test_columns_of_no_rows_are_zero():
    columns, rows = tg.jit(lambda a: [a.sum(axis=0), a.sum(axis=1)])(np.ones((0, 4)))
    np.testing.assert_array_equal(columns, np.zeros(4))
    assert rows.shape == (0,)
    columns, rows = tg.jit(lambda a: [a.sum(axis=0), a.sum(axis=1)])(np.ones((4, 0)))
    assert columns.shape == (0,)
    np.testing.assert_array_equal(rows, np.zeros(4))


@pytest.mark.parametrize("axes", [(1,), (2,), (0, 2), (1, 2), (0, 1, 2)])
def test_values_kept_for_a_later_pass_are_one_row(axes):
    def shares(x):
        dear = np.exp(np.tanh(x))
        return dear / np.sum(dear, axis=axes, keepdims=True) - dear

    x = np.random.default_rng(0).normal(size=(6, 50, 9))
    np.testing.assert_allclose(tg.jit(shares)(x), shares(x), rtol=1e-13, atol=1e-15)


def test_reshaped_arrays_are_indexed_where_they_are():
    x = np.random.default_rng(0).normal(size=(6, 5))
    pick = tg.jit(lambda a, i: [np.take(a, i), np.take(a.T, i), a.reshape(3, 10)[i % 3], np.take(np.exp(a).reshape(-1), i)])
    i = np.array([0, 7, 29, 7])
    for got, expected in zip(pick(x, i), [x.flat[i], x.T.flat[i], x.reshape(3, 10)[i % 3], np.exp(x).flat[i]], strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-15)
