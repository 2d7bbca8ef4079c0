"""Sums over parts of an array, and the gradients beside them, in one loop over the whole."""

import numpy as np
import pytest

import tracegrad as tg

DRAW = np.random.default_rng(0)


def rosenbrock(x):
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def roughness(x):
    return np.sum((x[2:] - 2.0 * x[1:-1] + x[:-2]) ** 2)


def total_variation(x):
    return np.sum(np.sqrt((x[1:] - x[:-1]) ** 2 + 1e-3)) + np.sum(np.sqrt((x[:, 1:] - x[:, :-1]) ** 2 + 1e-3))


def two_sums(x):
    steps = x[1:] - x[:-1]
    return np.sum(steps**2) * np.sum(np.sqrt(1.0 + steps**2)) + np.sum(x)


def logarithms(x):
    return np.sum(np.log(x[1:] / x[:-1]) ** 2)


def costly(x):
    return np.sum(np.exp(np.sin(x[1:]) * np.cos(x[:-1])))


def kept(x):
    return np.sum((x[1:] - x[:-1]) ** 2 * x[:-1] ** 3)


@pytest.mark.parametrize("function", [rosenbrock, roughness, total_variation, two_sums, logarithms, costly, kept])
@pytest.mark.parametrize("n", [3, 4, 5, 9, 70, 5000])
def test_values_and_gradients_are_those_of_the_interpreter(function, n):
    x = DRAW.uniform(0.5, 2.0, (n, 7) if function is total_variation else n)
    fast, exact = (tg.grad_compile(function, compile=mode).value_and_grad(x) for mode in ("now", "never"))
    np.testing.assert_allclose(fast[0], exact[0], rtol=1e-12)
    np.testing.assert_allclose(fast[1], exact[1], rtol=1e-11, atol=1e-11 * np.abs(exact[1]).max())


@pytest.mark.parametrize("function", [rosenbrock, roughness, kept])
def test_they_are_one_kernel(function):
    assert "kernel 1" not in tg.grad_compile(function).explain(np.linspace(1.0, 2.0, 50))


@pytest.mark.parametrize("function", [costly, logarithms])
def test_costly_maps_are_not_computed_at_every_distance(function):
    explained = tg.grad_compile(function).explain(np.linspace(1.0, 2.0, 50))
    assert "kernel 1" in explained
    assert "embedded-sums" not in explained


def test_one_program_serves_all_sizes():
    both = tg.grad_compile(rosenbrock)
    sources = {both.source(np.ones(n)) for n in (3, 4, 10, 1000, 20_000)}
    assert len(sources) == 1


def test_what_is_a_result_too_keeps_its_loop():
    def steps(x):
        away = x[1:] - x[:-1]
        return np.sum(away**2), away**2

    fast, exact = (tg.jit(steps, compile=mode)(np.arange(5.0)) for mode in ("now", "never"))
    np.testing.assert_array_equal(fast[1], exact[1])
    assert fast[0] == exact[0]


def test_nothing_beyond_the_ends_is_read():
    x = np.ones(6)
    x[[0, -1]] = np.nan, np.inf
    fast, exact = (tg.grad_compile(roughness, compile=mode).value_and_grad(x)[1] for mode in ("now", "never"))
    np.testing.assert_array_equal(fast, exact)
