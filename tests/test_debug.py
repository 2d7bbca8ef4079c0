"""``tg.debug``: where a value stops being finite."""

import numpy as np
import pytest

import tracegrad as tg
from tracegrad.errors import NonFiniteError


def logarithms(x):
    y = x - 1.0
    return np.sum(np.log(y))  # here


def roots(x):
    y = np.sqrt(x * x)  # here
    return np.sum(y)


@pytest.mark.parametrize("mode", ["now", "never"])
def test_the_first_value_that_is_not_finite(mode):
    compiled = tg.grad_compile(logarithms, compile=mode)
    x = np.array([2.0, 3.0, 1.0])
    for _ in range(3):
        assert compiled(x) == -np.inf  # callers of repeated calls are in front
    with tg.debug.nans(), pytest.raises(NonFiniteError, match=r"log is -inf at index \(2,\), of 0.0") as caught:
        compiled(x)
    assert caught.value.where.text.endswith("# here")
    assert compiled(x) == -np.inf


def test_a_cotangent():
    compiled = tg.grad_compile(roots)
    x = np.array([1.0, 0.0])
    compiled.value_and_grad(x)
    with tg.debug.nans():
        assert compiled(x) == 1.0
        with pytest.raises(NonFiniteError, match="in a cotangent") as caught:
            compiled.value_and_grad(x)
    assert caught.value.where.text.endswith("# here")


def test_an_argument_and_what_is_finite():
    compiled = tg.jit(lambda x: np.maximum(x, -np.inf) * 2.0)
    with tg.debug.nans():
        np.testing.assert_array_equal(compiled(np.array([1.0, 2.0])), [2.0, 4.0])
        with pytest.raises(FloatingPointError, match=r"the argument x is nan at index \(1,\)"):
            compiled(np.array([1.0, np.nan]))


def test_a_transform_of_a_plain_function():
    with tg.debug.nans(), pytest.raises(NonFiniteError, match="divide is inf"):  # the value is no part of it
        tg.grad(logarithms)(np.array([1.0]))
