"""Operators and methods on traced values: what NumPy's arrays do under the same spelling."""

import operator

import numpy as np
import pytest

from tests.support import static
from tracegrad.core.interpret import interpret
from tracegrad.errors import DtypeError

X = np.random.default_rng(0).normal(size=(3, 4))
Y = np.random.default_rng(1).normal(size=(3, 4))
N = np.array([[5, -3, 2, 7]])
B = X > 0

BINARY = ["add", "sub", "mul", "truediv", "floordiv", "mod", "eq", "ne", "lt", "le", "gt", "ge"]


def check(function, *arrays):
    with np.errstate(all="ignore"):
        expected = function(*arrays)
        (result,) = interpret(static(function, *arrays), arrays)
    np.testing.assert_allclose(result, expected, rtol=1e-14)
    assert np.asarray(result).dtype == np.asarray(expected).dtype
    assert np.shape(result) == np.shape(expected)


@pytest.mark.parametrize("name", BINARY)
def test_binary_operators_and_reflected_ones(name):
    act = getattr(operator, name)
    check(act, X, Y)
    check(act, X, X)
    check(act, N, X)
    check(lambda x: act(x, 2), X)
    check(lambda x: act(2.5, x), X)
    check(lambda x: act(3, x), N)


def test_powers():
    check(lambda x, y: abs(x) ** y, X, Y)
    check(lambda x: x**2, X)
    check(lambda x: 2**x, X)
    check(lambda x: x**2, N)
    check(lambda x: divmod(x, 2)[1] + divmod(7, x)[0], N)


@pytest.mark.parametrize("name", ["and_", "or_", "xor"])
def test_bits(name):
    act = getattr(operator, name)
    check(act, N, N + 1)
    check(act, B, ~B)
    check(lambda b: act(True, b), B)
    check(lambda i: act(6, i), N)
    with pytest.raises(DtypeError, match="not defined for float64"):
        static(lambda x: act(x, x), X)


def test_unary():
    for act in (operator.neg, operator.pos, operator.abs):
        check(act, X)
        check(act, N)
    check(operator.invert, B)
    check(operator.invert, N)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x.sum(),
        lambda x: x.sum(0),
        lambda x: x.sum(axis=1, keepdims=True),
        lambda x: x.mean(-1),
        lambda x: x.max(axis=0),
        lambda x: x.min(),
        lambda x: x.prod(1),
        lambda x: x.argmax(),
        lambda x: x.argmin(axis=1),
        lambda x: x.std(axis=0, ddof=1),
        lambda x: x.var(),
        lambda x: (x > 0).any(axis=0),
        lambda x: (x > 0).all(),
        lambda x: x.reshape(4, 3),
        lambda x: x.reshape((2, -1)),
        lambda x: x.reshape(-1),
        lambda x: x.transpose(),
        lambda x: x.transpose(1, 0),
        lambda x: x.transpose((1, 0)),
        lambda x: x.T,
        lambda x: x.ravel(),
        lambda x: x.flatten(),
        lambda x: x[None].squeeze(),
        lambda x: x[None].squeeze(axis=0),
        lambda x: x.swapaxes(0, 1),
        lambda x: x.astype(np.float32),
        lambda x: x.astype("int64"),
        lambda x: x.clip(-0.5, 0.5),
        lambda x: x.clip(min=0),
        lambda x: x.copy(),
        lambda x: x.round(),
        lambda x: x.round(2),
        lambda x: x.repeat(2, axis=0),
        lambda x: x.take([1, 0], axis=1),
        lambda x: x[0].dot(x[1]),
        lambda x: x @ x.T,
        lambda x: x.dot(x.T),
        lambda x: x + x.ndim + x.size + len(x),
        lambda x: sum(row[0] for row in x),
    ],
)
def test_methods(call):
    check(call, X)


def test_pytorchs_spellings():
    graph = static(lambda x: [x.sum(dim=0), x.mean(dim=1, keepdim=True), x.argmax(dim=1)], X)
    got = interpret(graph, [X])
    for result, expected in zip(got, [X.sum(0), X.mean(1, keepdims=True), X.argmax(1)], strict=True):
        np.testing.assert_allclose(result, expected)


def test_as_a_sequence():
    def body(x):
        with pytest.raises(TypeError, match="0-d"):
            iter(x[0, 0])
        with pytest.raises(TypeError, match="0-d"):
            len(x[0, 0])
        assert len({x: 1, x + 1: 2}) == 2
        return list(x)

    np.testing.assert_array_equal(interpret(static(body, X), [X]), X)
