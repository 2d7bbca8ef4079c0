"""Sorting, selection and writing along an axis against NumPy's, in eager and in graphs."""

import numpy as np
import pytest

from tests.support import gradients, static
from tracegrad.core.interpret import interpret
from tracegrad.errors import ShapeError
from tracegrad.ops import along, sorting
from tracegrad.ops.reductions import sum as sum_of

RNG = np.random.default_rng(0)
X = RNG.permutation(24).reshape(2, 3, 4) / 4.0
HOLES = np.array([[1.0, np.nan, 2.0, 0.5], [4.0, 3.0, 1.0, 2.0]])


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_sort_and_argsort_are_those_of_numpy(axis):
    for x in (X, RNG.integers(0, 3, (2, 3, 4)), HOLES):
        for ours, numpys in ((sorting.sort, np.sort), (sorting.argsort, np.argsort)):
            if axis == 1 and ours is sorting.argsort:
                assert ours(x, axis, "stable").dtype == np.int64
            expected = numpys(x, axis, kind="stable")
            np.testing.assert_array_equal(ours(x, axis), expected)
            np.testing.assert_array_equal(interpret(static(lambda x, f=ours: f(x, axis), x), [x])[0], expected)


def test_descending_order_is_stable_and_has_nan_in_front():
    x = np.array([1.0, np.nan, 3.0, 1.0, np.nan, 3.0])
    assert sorting.ordered(x, 0, descending=True)[1].tolist() == [1, 4, 2, 5, 0, 3]


def test_a_gradient_follows_its_element():
    weights = np.arange(24.0).reshape(2, 3, 4)
    (found,) = gradients(lambda x: sum_of(sorting.sort(x, 1) * weights), X)
    expected = np.empty_like(X)
    np.put_along_axis(expected, np.argsort(X, 1), weights, 1)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("side", ["left", "right"])
def test_searchsorted(side):
    line, values = np.array([1.0, 2.0, 2.0, 5.0]), RNG.uniform(0, 6, (3, 4)).round()
    np.testing.assert_array_equal(sorting.searchsorted(line, values, side), np.searchsorted(line, values, side))
    turned = np.array([3, 0, 1, 2])
    np.testing.assert_array_equal(
        sorting.searchsorted(line[np.argsort(turned)], values, side, turned), np.searchsorted(line, values, side)
    )


@pytest.mark.parametrize("how", ["linear", "lower", "higher", "midpoint", "nearest"])
@pytest.mark.parametrize("axis", [0, 1])
def test_quantiles(how, axis):
    q = np.array([0.0, 0.2, 0.5, 0.77, 1.0])
    x = RNG.normal(size=(4, 5))
    found = np.moveaxis(sorting.quantile_along(x, q, axis, how), axis, 0)
    np.testing.assert_allclose(found, np.quantile(x, q, axis, method=how), rtol=1e-14)


def test_quantiles_with_holes():
    q = np.array([0.25])
    np.testing.assert_array_equal(sorting.quantile_along(HOLES, q, 1)[:, 0], [np.nan, 1.75])
    np.testing.assert_array_equal(sorting.quantile_along(HOLES, q, 1, skip_nan=True)[:, 0], np.nanquantile(HOLES, 0.25, 1))


def test_the_median_of_all_shares_its_gradient_among_equal_elements():
    x = np.array([1.0, 2.0, 2.0, 2.0, 7.0])
    (found,) = gradients(sorting.median_of_all, x)
    np.testing.assert_allclose(found, [0, 1 / 3, 1 / 3, 1 / 3, 0])


def test_modes():
    x = np.array([[1, 2, 2, 1, 3], [4, 4, 5, 5, 5]])
    values, places = sorting.mode_along(x, 1)
    assert (values.tolist(), places.tolist()) == ([[1], [5]], [[3], [4]])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_gather_along_is_take_along_axis(axis):
    index = RNG.integers(0, X.shape[axis], tuple(5 if k == axis else n for k, n in enumerate(X.shape)))
    expected = np.take_along_axis(X, index, axis)
    np.testing.assert_array_equal(along.gather_along(X, index, axis), expected)
    graph = static(lambda x, i: along.gather_along(x, i, axis), X, index)
    np.testing.assert_array_equal(interpret(graph, [X, index])[0], expected)
    for wrong in (index + 5, index - 5):
        with pytest.raises(IndexError, match="out of bounds"):
            interpret(graph, [X, wrong])
        with pytest.raises(IndexError, match=f"out of bounds for axis {axis} with size {X.shape[axis]}"):
            along.gather_along(X, wrong, axis)


@pytest.mark.parametrize(
    ("reduce", "ufunc"), [("sum", np.add), ("prod", np.multiply), ("amax", np.maximum), ("amin", np.minimum)]
)
def test_scatter_reduce_along_is_the_ufunc_at_positions(reduce, ufunc):
    index, src = RNG.integers(0, 3, (2, 5, 4)), RNG.normal(size=(2, 5, 4))
    expected = X.copy()
    rows = np.arange(2)[:, None, None], np.arange(4)[None, None, :]
    ufunc.at(expected, (rows[0], index, rows[1]), src)
    np.testing.assert_allclose(along.scatter_reduce_along(X, index, src, 1, reduce), expected, rtol=1e-13)


@pytest.mark.parametrize("zeros", [(), (0,), (0, 1), (0, 3)])
def test_the_gradient_of_products_at_positions_is_right_at_zeros(zeros):
    index, x = np.array([0, 0, 0, 1, 1]), np.array([2.0, 3.0, 4.0, 5.0, 6.0])
    x[list(zeros)] = 0.0
    (found,) = gradients(lambda x: sum_of(along.scatter_prod(x, index, axis=0, size=2)), x)
    expected = [np.prod(np.delete(x, k)[np.delete(index, k) == index[k]]) for k in range(5)]
    np.testing.assert_allclose(found, expected)


def test_boundaries_that_do_not_fit():
    with pytest.raises(ShapeError, match=r"boundaries tensor \[2, 1\] and input value tensor \[3, 4\]"):
        sorting.searchsorted(np.zeros((2, 1)), np.zeros((3, 4)))
