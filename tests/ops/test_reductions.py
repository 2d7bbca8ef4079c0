"""NumPy's reductions: values and dtypes, in all spellings; gradients at ties, zeros and NaN."""

import functools
import itertools

import numpy as np
import pytest

from tests.support import central_difference, gradients, static
from tracegrad.core.interpret import interpret
from tracegrad.errors import ShapeError, TraceError
from tracegrad.ops import reductions

RNG = np.random.default_rng(5)
ARRAYS = {
    "floats": RNG.normal(size=(3, 4, 2)),
    "singles": RNG.normal(size=(3, 4)).astype(np.float32),
    "ints": RNG.integers(-5, 5, (3, 4)).astype(np.int32),
    "bytes": RNG.integers(0, 5, (3, 4)).astype(np.uint8),
    "bools": RNG.integers(0, 2, (3, 4)).astype(bool),
    "with nan": np.array([[1.0, np.nan, 3.0], [4.0, 1.0, 4.0], [np.nan, 5.0, np.nan]]),
    "0-d": np.array(2.0),
}
NAMES = ["sum", "prod", "mean", "max", "min", "var", "std", "any", "all", "argmax", "argmin", "ptp", "count_nonzero"]


@pytest.fixture(autouse=True)
def _quiet():
    with np.errstate(all="ignore"):
        yield


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", [None, 0, -1, (0, 1)])
@pytest.mark.parametrize("array", ARRAYS)
@pytest.mark.parametrize("name", NAMES)
def test_value_and_dtype_are_numpys(name, array, axis, keepdims):
    x = ARRAYS[array]
    function = getattr(reductions, name)
    try:
        expected = getattr(np, name)(x, axis=axis, keepdims=keepdims)
    except (TypeError, ValueError):
        with pytest.raises((TypeError, ValueError)):
            function(x, axis=axis, keepdims=keepdims)
        return
    (interpreted,) = interpret(static(lambda x: function(x, axis=axis, keepdims=keepdims), x), [x])
    for result in (function(x, axis=axis, keepdims=keepdims), interpreted):
        tolerance = 1e-6 if np.asarray(expected).dtype == np.float32 else 1e-14
        np.testing.assert_allclose(result, expected, rtol=tolerance)
        assert np.asarray(result).dtype == np.asarray(expected).dtype
        assert np.shape(result) == np.shape(expected)


@pytest.mark.parametrize("name", ["sum", "prod", "max", "min", "mean", "any", "all"])
def test_where_and_initial(name):
    x = ARRAYS["floats"]
    mask = RNG.integers(0, 2, x.shape).astype(bool)
    mask[:, 0] = True
    options = [{"where": mask}] if name in ("mean", "any", "all") else [{"initial": 2.0}, {"where": mask, "initial": 0.5}]
    for more in options:
        expected = getattr(np, name)(x, axis=1, **more)
        np.testing.assert_allclose(getattr(reductions, name)(x, axis=1, **more), expected, rtol=1e-14)


@pytest.mark.parametrize("ddof", [0, 1, 4, 5])
def test_variance_with_degrees_of_freedom(ddof):
    x = ARRAYS["floats"]
    with pytest.warns(RuntimeWarning) if ddof >= 4 else np.errstate():
        expected = np.var(x, axis=1, ddof=ddof)
    np.testing.assert_allclose(reductions.var(x, axis=1, ddof=ddof), expected)


def test_extremes_of_nothing():
    x = np.zeros((3, 0))
    for name in ("max", "min", "argmax", "argmin"):
        function = getattr(reductions, name)
        with pytest.raises(ValueError, match=r"zero-size|no elements|empty"):
            function(x, axis=1)
        with pytest.raises(ShapeError, match="no elements"):
            static(functools.partial(function, axis=1), x)
    assert reductions.max(x, axis=0).shape == (0,)
    np.testing.assert_array_equal(reductions.max(x, axis=1, initial=2.0), [2, 2, 2])
    np.testing.assert_array_equal(reductions.sum(x, axis=1), [0, 0, 0])
    np.testing.assert_array_equal(reductions.prod(x, axis=1), [1, 1, 1])


def test_out_is_refused():
    with pytest.raises(TraceError, match="assign the result"):
        reductions.sum(np.ones(3), out=np.zeros(()))


@pytest.mark.parametrize(
    ("function", "x", "expected"),
    [
        (reductions.max, [1.0, 3.0, 3.0], [0, 0.5, 0.5]),
        (reductions.min, [1.0, 1.0, 1.0, 4.0], [1 / 3, 1 / 3, 1 / 3, 0]),
        (reductions.max, [1.0, np.nan, 3.0], [0, 1, 0]),
        (reductions.max, [-np.inf, -np.inf], [0.5, 0.5]),
        (reductions.std, [2.0, 2.0], [0, 0]),
    ],
)
def test_gradient_at_ties(function, x, expected):
    (g,) = gradients(function, np.array(x))
    np.testing.assert_allclose(g, expected)


@pytest.mark.parametrize("zeros", [0, 1, 2])
def test_gradient_of_a_product_with_zeros(zeros):
    x = np.array([[2.0, -3.0, 0.5, 4.0], [1.0, 2.0, 3.0, -1.0]])
    x[0, :zeros] = 0.0
    (g,) = gradients(lambda x: reductions.sum(reductions.prod(x, axis=1)), x)
    expected = np.array([[np.prod(np.delete(row, k)) for k in range(4)] for row in x])
    np.testing.assert_allclose(g, expected)


@pytest.mark.parametrize("name", ["mean", "var", "std", "prod", "sum", "max", "ptp"])
@pytest.mark.parametrize("axis", [None, 0, (0, 2)])
def test_gradient_is_that_of_finite_differences(name, axis):
    x = ARRAYS["floats"]
    weights = RNG.uniform(0.5, 1.5, np.shape(getattr(np, name)(x, axis=axis)))

    def loss(x):
        return reductions.sum(getattr(reductions, name)(x, axis=axis) * weights)

    (g,) = gradients(loss, x)
    direction = RNG.uniform(-1, 1, x.shape)
    expected = central_difference(loss, [x], 0, direction, 1e-4)
    np.testing.assert_allclose(np.sum(g * direction), expected, rtol=1e-8, atol=1e-9)


def test_average():
    x = ARRAYS["floats"]
    for axis, shape in ((None, x.shape), (1, (4,)), (-1, (2,)), (0, x.shape)):
        w = RNG.uniform(0.5, 1, shape)
        np.testing.assert_allclose(reductions.average(x, axis, w), np.average(x, axis, w))
    with pytest.raises(ShapeError, match="weights of shape"):
        reductions.average(x, None, np.ones(3))


def test_running_index_is_a_node_and_no_constant():
    graph = static(lambda x: reductions.argmax(x, axis=0), np.zeros((100, 2)))
    held = [np.size(node.params["value"].value) for node in graph if "value" in node.params]
    assert max(held) == 1, list(itertools.chain(held))
