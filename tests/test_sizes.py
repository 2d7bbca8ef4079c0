"""One compile serves all sizes and all numbers, by Numba's own count of its compilations."""

import numpy as np
import pytest
from numba.core import event

import tracegrad as tg

SIZES = (3, 1, 2, 7, 8, 16, 17, 33, 100, 1000, 1023, 1024, 1025, 4097, 10**4, 10**5, 10**6)


def compiles(action):
    with event.install_recorder("numba:compile") as recorder:
        action()
    return sum(e.is_start for _, e in recorder.buffer)


def expected(x):
    t, e = np.tanh(1.5 * x + 0.3), np.exp(-x * x)
    return np.sum(t**2 * e), 3.0 * t * (1 - t * t) * e - 2 * x * t**2 * e


def test_one_compile_serves_all_sizes(tmp_path):
    f = tg.grad_compile(lambda x: np.sum(np.tanh(1.5 * x + 0.3) ** 2 * np.exp(-x * x)))
    counts = []
    with tg.config.override(cache_dir=tmp_path / "cache"):
        for n in SIZES:
            x = np.linspace(-2.0, 2.0, n)
            counts.append(compiles(lambda x=x: f.value_and_grad(x)))
            value, gradient = f.value_and_grad(x)
            np.testing.assert_allclose(value, expected(x)[0], rtol=1e-12)
            np.testing.assert_allclose(gradient, expected(x)[1], rtol=1e-11, atol=1e-13)
    assert counts[1:] == [0] * (len(SIZES) - 1)
    assert f.stats.compiles + f.stats.cache_hits == len(SIZES)
    assert f.stats.compiles <= 1


def logistic(weights, points):
    return np.sum(np.logaddexp(0.0, points @ weights))


def softmax(weights, points):
    logits = points @ weights
    logits = logits - np.max(logits, axis=1, keepdims=True)
    return np.sum(np.log(np.sum(np.exp(logits), axis=1, keepdims=True)) - logits)


def largest(weights, points):
    return np.sum(np.exp(points - np.max(points, axis=0)) * weights)


@pytest.mark.parametrize(
    ("function", "shape"),
    [(logistic, (6,)), (largest, (6,)), (softmax, (6, 3))],
)
def test_a_batch_of_one_is_a_batch(function, shape):
    """It runs the program of the others, a row times a matrix too."""
    rng = np.random.default_rng(1)
    f, reference = (tg.grad_compile(function, argnums=(0, 1), compile=mode) for mode in ("now", "never"))
    counts = []
    for n in (2, 1, 3):
        arguments = rng.normal(size=shape), rng.normal(size=(n, 6))
        counts.append(compiles(lambda arguments=arguments: f.value_and_grad(*arguments)))
        value, gradients = f.value_and_grad(*arguments)
        assert value == pytest.approx(function(*arguments), rel=1e-12)
        for gradient, expected in zip(gradients, reference.value_and_grad(*arguments)[1], strict=True):
            assert gradient.shape == expected.shape
            np.testing.assert_allclose(gradient, expected, rtol=1e-10, atol=1e-13)
    assert counts[1:] == [0, 0]


def test_one_compile_serves_products_of_vectors_of_all_lengths():
    f = tg.grad_compile(lambda w, x: np.dot(w, np.tanh(x)) ** 2, argnums=(0, 1))
    counts = []
    for n in (3, 1, 2):
        w, x = np.linspace(0.5, 1.0, n), np.linspace(-1.0, 1.0, n)
        counts.append(compiles(lambda w=w, x=x: f.value_and_grad(w, x)))
        value, (for_w, _) = f.value_and_grad(w, x)
        assert value == pytest.approx(np.dot(w, np.tanh(x)) ** 2, rel=1e-13)
        np.testing.assert_allclose(for_w, 2.0 * np.dot(w, np.tanh(x)) * np.tanh(x), rtol=1e-13)
    assert counts[1:] == [0, 0]


def test_one_compile_and_one_trace_serve_all_numbers():
    f = tg.grad_compile(lambda x, a: np.sum(a * x * x) + a, argnums=1)
    numbers = np.random.default_rng(0).normal(size=10_000).tolist()
    f.grad(np.ones(5), 0.0)
    gradients = []
    assert compiles(lambda: gradients.extend(f.grad(np.ones(5), a) for a in numbers)) == 0
    assert f.stats.traces == 1
    assert set(gradients) == {6.0}
