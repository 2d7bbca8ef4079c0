"""Elementwise ops where derivatives are delicate: kinks, zeros, infinities; and what dtypes they give."""

import numpy as np
import pytest

from tests.support import gradients, static
from tracegrad.core.interpret import interpret
from tracegrad.errors import DtypeError
from tracegrad.ops import maps
from tracegrad.ops.comparisons import logical_and
from tracegrad.ops.reductions import sum as sum_of


@pytest.fixture(autouse=True)
def _quiet():
    with np.errstate(all="ignore"):
        yield


def gradient(function, *arrays):
    """The gradients of the sum of a function of arrays."""
    return gradients(lambda *a: sum_of(function(*a)), *arrays)


@pytest.mark.parametrize(
    ("exponent", "expected"), [(0.0, 0.0), (1.0, 1.0), (2.0, 0.0), (3.0, 0.0), (0.5, np.inf), (-1.0, -np.inf)]
)
def test_slope_of_a_power_at_zero(exponent, expected):
    (g,) = gradient(lambda x: x**exponent, np.zeros(2))
    np.testing.assert_array_equal(g, [expected] * 2)


def test_power_of_negative_bases_with_integer_exponents():
    x = np.array([-2.0, -0.5])
    for n in (-2, -1, 0, 1, 2, 3):
        (g,) = gradient(lambda x, n=n: x**n, x)
        np.testing.assert_allclose(g, n * x ** float(n - 1))


def test_power_with_respect_to_the_exponent_at_base_zero():
    _, g = gradient(maps.power, np.array([0.0, 0.0, 2.0]), np.array([0.0, 2.0, 3.0]))
    np.testing.assert_allclose(g, [0.0, 0.0, 8 * np.log(2)])


def test_second_derivative_of_a_square_at_zero():
    def slope(x):
        return maps._power_base(x**2, x, 2)

    (g,) = gradient(slope, np.zeros(3))
    np.testing.assert_array_equal(g, [2.0] * 3)


@pytest.mark.parametrize("function", [maps.maximum, maps.minimum])
def test_ties_share_the_cotangent(function):
    x, y = np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0])
    gx, gy = gradient(function, x, y)
    assert gx[0] == gy[0] == 0.5
    np.testing.assert_array_equal(gx + gy, np.ones(3))
    np.testing.assert_array_equal(gx[1:], [0, 1] if function is maps.maximum else [1, 0])


def test_absolute_is_flat_at_zero():
    (g,) = gradient(maps.absolute, np.array([-2.0, -0.0, 0.0, 3.0]))
    np.testing.assert_array_equal(g, [-1, 0, 0, 1])


def test_clip_passes_the_gradient_on_its_bounds():
    x = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    (g,) = gradient(lambda x: maps.clip(x, -1, 1), x)
    np.testing.assert_array_equal(g, [0, 1, 1, 1, 0])
    gx, low, high = gradient(maps.clip, x, np.array(-1.0), np.array(1.0))
    np.testing.assert_array_equal(gx, g)
    assert (low, high) == (1, 1)


@pytest.mark.parametrize("bounds", [(-1, 1), (None, 0.5), (0, None), (2, -2), (np.nan, 1.0), (np.array([0.0, np.nan, 1.0]), 3)])
def test_clip_is_numpys(bounds):
    for x in (np.array([-3.0, np.nan, 2.5]), np.array([-3.0, 0.2, 2.5], np.float32), np.array([-3, 0, 5])):
        expected = np.clip(x, *bounds)
        for result in (maps.clip(x, *bounds), interpret(static(lambda x: maps.clip(x, *bounds), x), [x])[0]):
            np.testing.assert_array_equal(result, expected)
            assert result.dtype == expected.dtype


def test_the_branch_not_taken_cannot_spoil_a_gradient():
    (g,) = gradient(lambda x: maps.select(x > 0, maps.log(x), 0.0), np.array([0.0, -1.0, 2.0]))
    np.testing.assert_array_equal(g, [0, 0, 0.5])
    (g,) = gradient(lambda x: maps.select(x > 0, maps.sqrt(x), 0.0), np.array([0.0, 4.0]))
    np.testing.assert_array_equal(g, [0, 0.25])


def test_stop_gradient_stops_it():
    (g,) = gradient(lambda x: x * maps.stop_gradient(x), np.array([2.0, 3.0]))
    np.testing.assert_array_equal(g, [2, 3])


def test_sigmoid_neither_overflows_nor_loses_its_dtype():
    x = np.array([-1000.0, 0.0, 1000.0], np.float32)
    np.testing.assert_array_equal(maps.sigmoid(x), np.array([0, 0.5, 1], np.float32))
    assert maps.sigmoid(x).dtype == np.float32


def test_logaddexp_of_infinities():
    x, y = np.array([-np.inf, -np.inf, 1.0]), np.array([-np.inf, 2.0, 1.0])
    np.testing.assert_allclose(maps.logaddexp(x, y), np.logaddexp(x, y))
    gx, gy = gradient(maps.logaddexp, x, y)
    np.testing.assert_allclose(gx[1:], [0, 0.5])
    np.testing.assert_allclose(gy[1:], [1, 0.5])


DTYPES = ["bool", "int8", "int32", "int64", "uint8", "uint32", "float32", "float64"]


@pytest.mark.parametrize("other", [*DTYPES, 2, 2.0, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "name", ["add", "multiply", "true_divide", "floor_divide", "maximum", "power", "less", "arctan2", "remainder"]
)
def test_promotion_is_numpys(name, dtype, other):
    op = {"true_divide": maps.divide, "less": np.less}.get(name) or getattr(maps, name)
    x = np.array([1, 1], dtype)
    y = np.array([1, 1], other) if isinstance(other, str) else other
    if op is np.less:
        op = lambda x, y: x < y
    expected = getattr(np, name)(x, y)
    if expected.dtype == np.float16:
        with pytest.raises(DtypeError, match="float16"):
            static(op, x, y) if isinstance(other, str) else static(lambda x: op(x, y), x)
        return
    graph = static(op, x, y) if isinstance(other, str) else static(lambda x: op(x, y), x)
    (result,) = interpret(graph, [x, y][: len(graph.inputs)])
    np.testing.assert_array_equal(result, expected)
    assert result.dtype == expected.dtype


@pytest.mark.parametrize(("function", "dtype"), [(maps.negative, bool), (maps.sign, bool), (maps.subtract, bool)])
def test_an_undefined_dtype_is_named(function, dtype):
    x = np.ones(2, dtype)
    with pytest.raises(DtypeError, match=r"(?s)not defined for bool.*astype"):
        static(lambda x: function(x) if function is not maps.subtract else function(x, x), x)


def test_logic_is_on_truth_values():
    x, y = np.array([0.0, 2.0, np.nan]), np.array([1, 1, 1])
    (result,) = interpret(static(logical_and, x, y), [x, y])
    np.testing.assert_array_equal(result, np.logical_and(x, y))


def test_reciprocal_of_integers_is_refused():
    with pytest.raises(DtypeError, match=r"1\.0 / x"):
        maps.reciprocal(np.array([2]))
    np.testing.assert_array_equal(maps.reciprocal(np.array([2.0])), [0.5])
