"""Sums of products with a product of matrices, on the side where the other product is known anyway."""

import numpy as np
import pytest

import tracegrad as tg

DRAW = np.random.default_rng(0)
X, W, V = DRAW.normal(size=(30, 4)), DRAW.normal(size=4), DRAW.normal(size=4)
DEEP, ALONG = DRAW.normal(size=(4, 3)), DRAW.normal(size=(4, 3))


def loss(w, x):
    return np.sum(np.tanh(x @ w) ** 2) + 0.5 * np.sum(w * w)


def bare(w, x):
    return np.sum(np.exp(x @ w))


def left(w, x):
    return np.sum(np.tanh(w @ x.T) ** 2)


def products(compiled, *arguments):
    return sum(node.op.name == "matmul" for node in compiled.value_and_grad.graph(*arguments))


def slope_of(function):
    graded = tg.grad_compile(function)

    def slope(w, v, x):
        return np.sum(graded.grad(w, x) * v)

    return slope


@pytest.mark.parametrize(("function", "w", "v"), [(loss, W, V), (bare, W, V), (loss, DEEP, ALONG), (left, DEEP.T, ALONG.T)])
def test_hessian_vector_products_walk_three_times_over_the_data(function, w, v):
    slope = slope_of(function)
    fast, exact = tg.grad_compile(slope), tg.grad_compile(slope, compile="never")
    value, gradient = fast.value_and_grad(w, v, X)
    step = 1e-6
    grad = tg.grad_compile(function, compile="never").grad
    np.testing.assert_allclose(value, np.sum(grad(w, X) * v), rtol=1e-12)
    np.testing.assert_allclose(gradient, (grad(w + step * v, X) - grad(w - step * v, X)) / (2 * step), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(gradient, exact.value_and_grad(w, v, X)[1], rtol=1e-12)
    assert products(fast, w, v, X) == 3


def test_a_gradient_that_is_a_result_too_stays():
    graded = tg.grad_compile(loss)

    def both(w, v, x):
        gradient = graded.grad(w, x)
        return np.sum(gradient * v), gradient, x @ v

    found, expected = (tg.jit(both, compile=mode)(W, V, X) for mode in ("now", "never"))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_a_slope_without_the_other_product_stays():
    graded = tg.grad_compile(loss)
    slope = tg.jit(lambda w, v, x: np.sum(graded.grad(w, x) * v))
    assert sum(node.op.name == "matmul" for node in slope.graph(W, V, X)) == 2
