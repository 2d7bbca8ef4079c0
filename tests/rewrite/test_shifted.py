"""Multiples that are set into zeros and added up: the factor is applied to the sum, once."""

import numpy as np
import pytest

import tracegrad as tg

RATE = 0.2


def step(u):
    w = np.pad(u, 1)
    return u + RATE * (w[2:, 1:-1] + w[:-2, 1:-1] + w[1:-1, 2:] + w[1:-1, :-2] - 4.0 * u)


def loss(u, target):
    return np.sum((step(step(step(u))) - target) ** 2)


def rough(x, rate):
    """Copies at other places, with other factors, read once more and squared."""
    a, b = 0.5 * (x[1:] - x[:-1]), -3.0 * (x[2:] - x[:-2])
    return np.sum(a**2) + np.sum(b**3) + np.sum((rate * x[3:] + 0.5 * x[:-3]) ** 2) + np.sum(2.0 * x[::2] * x[::2])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_gradient_of_a_stencil_multiplies_after_it_adds(dtype):
    rng = np.random.default_rng(0)
    u, target = rng.normal(size=(9, 8)).astype(dtype), rng.normal(size=(9, 8)).astype(dtype)
    f = tg.grad_compile(loss)
    assert "whole graphs: constants-last" in f.value_and_grad.explain(u, target)
    value, gradient = f.value_and_grad(u, target)
    np.testing.assert_allclose(value, loss(u, target), rtol=50 * np.finfo(dtype).eps)
    expected = 2 * (step(step(step(u))) - target)
    for _ in range(3):
        expected = step(expected)  # a step is its own transpose
    np.testing.assert_allclose(gradient, expected, rtol=1e-5 if dtype == "float32" else 1e-13, atol=1e-6)


def test_each_step_of_the_gradient_stores_one_array():
    u = np.ones((40, 50))
    text = tg.grad_compile(loss).value_and_grad.explain(u, u)
    steps = [
        block for block in text.partition("schedule (")[2].split("  kernel ")[1:] if "over (40, 50)" in block.split("\n")[0]
    ]
    assert len(steps) == 6
    assert [block.count("(stored)") for block in steps[-3:]] == [1, 1, 1]


def test_other_copies_keep_their_values():
    x = np.random.default_rng(0).normal(size=12)
    got = tg.grad_compile(rough).grad(x, 0.7)
    for k in range(len(x)):
        ahead, behind = x.copy(), x.copy()
        ahead[k] += 1e-6
        behind[k] -= 1e-6
        assert got[k] == pytest.approx((rough(ahead, 0.7) - rough(behind, 0.7)) / 2e-6, rel=1e-6, abs=1e-6)
    exact = tg.grad_compile(rough, compile="never").grad(x, 0.7)
    np.testing.assert_allclose(got, exact, rtol=1e-13)


def test_an_infinite_factor_leaves_the_zeros_around_a_copy_alone():
    x = np.ones(5)
    got = tg.jit(lambda x: np.pad(x * np.inf, 1) + np.pad(x * np.inf, 1))(x)
    np.testing.assert_array_equal(got, np.pad(x * np.inf, 1) * 1.0)


def heat(u, target):
    for _ in range(6):
        w = np.pad(u, 1)
        u = u + 0.2 * (w[2:, 1:-1] + w[:-2, 1:-1] + w[1:-1, 2:] + w[1:-1, :-2] - 4.0 * u)
    return np.mean((u - target) ** 2)


def test_all_steps_back_through_a_stencil_are_one_kernel():
    u, target = np.random.default_rng(0).normal(size=(2, 9, 8))
    f = tg.grad_compile(heat).value_and_grad
    value, gradient = f(u, target)
    assert f.source(u, target).count("@kernel") == 4  # steps on, steps back, the last one with the loss, and its total
    np.testing.assert_allclose(value, heat(u, target), rtol=1e-13)
    along = np.random.default_rng(1).normal(size=u.shape)
    slope = (heat(u + 1e-6 * along, target) - heat(u - 1e-6 * along, target)) / 2e-6
    np.testing.assert_allclose(np.sum(gradient * along), slope, rtol=1e-7)


def factors(f, x):
    graph = tg.jit(f, compile="never").graph(x)
    return [graph[i].params["value"].number for node in graph for i in node.inputs if graph[i].op.name == "constant"]


def test_a_product_that_a_sum_reads_is_what_further_factors_are_applied_to():
    x = np.linspace(0.5, 1.5, 5)
    assert sorted(factors(lambda x: (x * 2.0 + np.exp(x), x * 2.0 * 3.0), x)) == [2.0, 3.0]
    assert sorted(factors(lambda x: (np.cos(x), x * 2.0 * 3.0), x)) == [6.0]
    assert factors(lambda x: x * 2.0 + np.exp(x * 2.0 * 0.5), x) == [2.0]
