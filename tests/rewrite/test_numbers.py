"""Steps on vectors of a few numbers are steps on numbers, with the same values."""

import numpy as np
import pytest

import tracegrad as tg

WEIGHTS = np.array([[1.0, -2.0, 0.5], [0.25, 3.0, -1.0]])


def pendulum(state, steps=6):
    """Verlet's steps of a damped pendulum."""
    path = []
    for _ in range(steps):
        angle, speed = state[0], state[1]
        state = state + 0.1 * np.array([speed, -np.sin(angle) - 0.2 * speed])
        path.append(state)
    return path


def turned(x):
    """Flips, transposes, stacked rows, slices with steps, sums over either axis, captured numbers and comparisons."""
    total = 0.0
    for k in range(5):
        rows = np.stack([np.array([x[0], x[1] * k, 2.0]), np.array([x[2], x[0] * x[1], x[1]])]) * WEIGHTS
        x = np.array([rows[0, ::-1][0], rows.T[1, 1], np.sum(rows[:, ::2], axis=0)[1]]) / 3
        x = np.where(x > 0, x, 0.5 * x)
        total = total + np.sum(rows**2) + np.sum(rows, axis=1)[0]
    return total, rows, x[::-1]


def kernels(f, *arguments):
    return sum("  kernel " in line for line in f.explain(*arguments).splitlines())


def test_a_chain_of_steps_is_a_few_kernels():
    state = np.array([1.0, 0.3])
    f = tg.jit(lambda s: pendulum(s, 30)[-1])
    assert kernels(f, state) <= 2
    np.testing.assert_allclose(f(state), pendulum(state, 30)[-1], rtol=1e-13)
    for got, expected in zip(tg.jit(pendulum)(state), pendulum(state), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-14)


def test_its_gradient_is_right():
    state = np.array([1.0, 0.3])
    f = tg.grad_compile(lambda s: np.sum(pendulum(s, 10)[-1] ** 2))
    assert kernels(f.value_and_grad, state) <= 3
    exact = tg.grad_compile(lambda s: np.sum(pendulum(s, 10)[-1] ** 2), compile="never").grad(state)
    np.testing.assert_allclose(f.grad(state), exact, rtol=1e-12)
    plain = [np.sum(pendulum(state + h, 10)[-1] ** 2) for h in 1e-6 * np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])]
    np.testing.assert_allclose(exact, [(plain[0] - plain[1]) / 2e-6, (plain[2] - plain[3]) / 2e-6], rtol=1e-8)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_views_and_sums_keep_their_values(dtype):
    x = np.array([0.7, -1.2, 0.4], dtype)
    f = tg.jit(turned)
    assert "whole graphs: numbers" in f.explain(x)
    for got, expected in zip(f(x), turned(x), strict=True):
        assert got.shape == expected.shape
        np.testing.assert_allclose(got, expected, rtol=20 * np.finfo(dtype).eps)


def test_longer_vectors_and_single_steps_stay_as_they_are():
    assert "whole graphs: numbers" not in tg.jit(lambda s: pendulum(s, 2)[-1]).explain(np.array([1.0, 0.3]))

    def chain(x):
        for _ in range(6):
            x = x * np.sum(np.array([x[0], x[1]]))
        return x

    assert "whole graphs: numbers" not in tg.jit(chain).explain(np.linspace(0.1, 0.9, 9))
    assert "whole graphs: numbers" in tg.jit(chain).explain(np.linspace(0.1, 0.8, 8))
