"""Arrays of one row run the program of all others, whatever counts their rows."""

import numpy as np
import pytest
import scipy.special
from numba.core import event

import tracegrad as tg
from tracegrad.core.counted import Counted, counted
from tracegrad.core.extent import Extent
from tracegrad.core.interpret import interpret
from tracegrad.ops.unit_axes import plain_sizes
from tracegrad.pipeline import STAGES, compile_graph

LONG = (37, 60)


def vector(n):
    return np.random.default_rng(n).normal(size=n)


def matrix(n, width=4):
    return np.random.default_rng(n).normal(size=(n, width))


def standardised(x):
    return np.sum(((x - x.mean(axis=0)) / (x.std(axis=0) + 0.125)) ** 3)


def network(weights, bias, last, points, targets):
    return np.mean((np.tanh(points @ weights + bias) @ last - targets) ** 2)


def covariance(x):
    x = x - x.mean(axis=0)
    return np.sum((x.T @ x / len(x)) ** 2)


def rosenbrock(x):
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def with_ones(w, x):
    return np.mean((np.hstack([np.ones((len(x), 1)), x]) @ w) ** 2)


def softmax_rows(x):
    return np.mean(np.log(np.sum(np.exp(x - np.max(x, axis=1, keepdims=True)), axis=1)))


# Of vectors and matrices; below, the lengths from which on there is one program where that is not 1.
FUNCTIONS = {
    "mean": (lambda x: np.mean(x**2), vector),
    "sum / len": (lambda x: np.sum(np.sin(x)) / len(x), vector),
    "sum / shape": (lambda x: np.sum(np.sin(x)) / x.shape[0], vector),
    "sum / size": (lambda x: (x**2).sum() / x.size, vector),
    "sum / sqrt(n)": (lambda x: np.sum(x * x) / np.sqrt(len(x)), vector),
    "average": (lambda x: np.average(np.exp(x)), vector),
    "std": (lambda x: x.std(), vector),
    "var": (lambda x: np.var(x), vector),
    "standardised": (standardised, vector),
    "standardised columns": (standardised, matrix),
    "of float32": (lambda x: np.mean(x**2), lambda n: vector(n).astype(np.float32)),
    "x @ x": (lambda x: x @ x, vector),
    "dot": (lambda x: np.dot(x, np.tanh(x)), vector),
    "norm": (lambda x: np.linalg.norm(x), vector),
    "norms of rows": (lambda x: np.sum(np.linalg.norm(x, axis=1)), matrix),
    "softmax": (lambda x: np.sum(scipy.special.softmax(x) ** 2), vector),
    "logsumexp": (scipy.special.logsumexp, vector),
    "softmax of rows": (softmax_rows, matrix),
    "largest": (lambda x: np.max(x * x), vector),
    "product": (lambda x: np.prod(x), vector),
    "outer": (lambda x: np.sum(np.outer(x, x) ** 2), vector),
    "pairs": (lambda x: np.sum(np.exp(-((x[:, None] - x[None, :]) ** 2))), vector),
    "first element": (lambda x: np.sum(x[0] * x), vector),
    "last element": (lambda x: np.sum(x[-1] * x), vector),
    "turned round": (lambda x: np.sum(x[::-1] * np.sin(x)), vector),
    "padded": (lambda x: np.sum(np.pad(x, 1) ** 2 * 1.5), vector),
    "columns less means": (lambda x: np.sum((x - x.mean(axis=0, keepdims=True)) ** 3), matrix),
    "means of rows": (lambda x: np.sum(x.mean(axis=1) ** 2), matrix),
    "x.T @ x": (lambda x: np.sum((x.T @ x) ** 2), matrix),
    "x @ x.T": (lambda x: np.sum((x @ x.T) ** 2), matrix),
    "covariance": (covariance, matrix),
    "logistic": (lambda w, x: np.mean(np.logaddexp(0.0, x @ w)), lambda n: (vector(4), matrix(n))),
    "row times matrix": (lambda w, x: np.sum(np.tanh(x @ w)), lambda n: (matrix(4, 3), matrix(n))),
    "matrices": (lambda w, x: np.sum(np.tanh(x @ w)), lambda n: (matrix(4, 3), matrix(5 * n).reshape(n, 5, 4))),
    "regression": (lambda w, b, x, y: np.mean((x @ w + b - y) ** 2), lambda n: (vector(4), 0.3, matrix(n), vector(n))),
    "network": (network, lambda n: (matrix(4, 3), vector(3), vector(3), matrix(n), vector(n))),
    "of one feature": (lambda w, x: np.mean(np.tanh(x @ w)), lambda n: (matrix(1, 3), matrix(n, 1))),
    "column of ones": (with_ones, lambda n: (vector(5), matrix(n))),
    "fit": (lambda p, x, y: np.mean((p[0] * np.exp(-p[1] * x) - y) ** 2), lambda n: (vector(2), vector(n), vector(n))),
    "likelihood": (lambda m, s, x: np.sum(((x - m) / s) ** 2) / 2 + len(x) * np.log(s), lambda n: (0.1, 1.3, vector(n))),
    "joined": (lambda x, y: np.mean(np.concatenate([x, np.exp(y)]) ** 2), lambda n: (vector(n), vector(n))),
    "square": (lambda x, a: x @ a @ x, lambda n: (vector(n), matrix(n, n))),
    "einsum": (lambda w, x: np.mean(np.einsum("ni,i->n", x, w) ** 2), lambda n: (vector(4), matrix(n))),
}
FROM_TWO = {"neighbours": (rosenbrock, vector), "differences": (lambda x: np.sum(np.diff(x) ** 2), vector)}


def made(function, arguments):
    """Value and gradient as far as the text of their kernels."""
    family = tg.grad_compile(function, argnums=tuple(range(len(arguments))))._family
    call = family.call(arguments, {})
    traced = family.trace(call, call.key)
    wrt = tuple(node.id for node in traced.graph.inputs)
    done = compile_graph(traced.graph, wrt, native=False, general=traced.general)
    for name, stage in STAGES[:-1]:
        if name in ("schedule", "generate", "plan memory"):
            done = stage(done)
    return done


def given(of, n):
    found = of(n)
    return found if isinstance(found, tuple) else (found,)


@pytest.mark.parametrize("name", [*FUNCTIONS, *FROM_TWO])
def test_one_text_serves_all_lengths(name):
    function, of = {**FUNCTIONS, **FROM_TWO}[name]
    first, *others = (made(function, given(of, n)) for n in (*LONG, 2 if name in FROM_TWO else 1))
    for other in others:
        assert other.generated.source == first.generated.source


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("name", [*FUNCTIONS, *FROM_TWO])
def test_what_counts_keeps_its_value(name, n):
    function, of = {**FUNCTIONS, **FROM_TWO}[name]
    arguments = given(of, n)
    done = made(function, arguments)
    plain = tg.grad_compile(function, argnums=tuple(range(len(arguments))), compile="never")
    value, gradients = plain.value_and_grad(*arguments)
    tolerance = 1e-5 if arguments[0].__class__ is np.ndarray and arguments[0].dtype == np.float32 else 1e-11
    assert value == pytest.approx(function(*arguments), rel=tolerance, abs=1e-13)
    for graph in (done.graph, plain_sizes(done.general)):
        for got, wanted in zip(interpret(graph, arguments), (value, *gradients), strict=True):
            assert np.shape(got) == np.shape(wanted)
            np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=1e-12)


@pytest.mark.parametrize("name", ["std", "covariance", "network", "square", "x @ x.T", "neighbours"])
def test_kernels_are_right_for_few_rows(name):
    function, of = {**FUNCTIONS, **FROM_TWO}[name]
    count = len(given(of, 2))
    f, plain = (tg.grad_compile(function, argnums=tuple(range(count)), compile=mode) for mode in ("now", "never"))
    for n in (37, 2, 1, 3, 0) if name == "neighbours" else (37, 1, 2):
        arguments = given(of, n)
        with event.install_recorder("numba:compile") as recorder:
            value, gradients = f.value_and_grad(*arguments)
        if n == 1 and name != "neighbours":
            assert not recorder.buffer
        wanted, slopes = plain.value_and_grad(*arguments)
        assert value == pytest.approx(wanted, rel=1e-11, abs=1e-13)
        for got, slope in zip(gradients, slopes, strict=True):
            np.testing.assert_allclose(got, slope, rtol=1e-9, atol=1e-12)


def test_code_that_looks_at_the_length_is_followed():
    f = tg.grad_compile(lambda x: np.sum(x * x) if len(x) == 1 else np.sum(x) * len(x), compile="never")
    assert f.grad(np.array([3.0])) == [6.0]
    np.testing.assert_array_equal(f.grad(np.ones(3)), [3.0, 3.0, 3.0])


def test_a_loop_over_an_axis_is_not_followed_to_its_end():
    steps = []

    def function(x):
        total = 0.0
        for k in range(len(x)):
            steps.append(k)
            for i in range(len(x)):
                total = total + np.sin(x[k]) * x[i]
        return total

    f = tg.grad_compile(function)
    x = np.array([0.5])
    np.testing.assert_allclose(f.grad(x), [np.sin(0.5) + 0.5 * np.cos(0.5)], rtol=1e-13)
    assert len(steps) < 10


def test_a_function_that_fills_a_cache_is_traced_as_it_is():
    known = {}

    def function(x):
        if "factor" not in known:
            known["factor"] = 2.0
            return np.sum(x) / len(x)
        return np.sum(x) / len(x) * known["factor"]

    f = tg.jit(function)
    assert [f(np.ones(1)) for _ in range(3)] == [1.0, 2.0, 2.0]


def test_counted_numbers_keep_both_values():
    n = counted(np.float64(1.0), np.float64(7.0))
    assert isinstance(n, np.float64)
    for made_of, seen in ((2.0 / n, 2.0 / 7.0), (n * 3 - 1, 20.0), (np.sqrt(n), np.sqrt(7.0)), (-n, -7.0), (n**2, 49.0)):
        assert isinstance(made_of, Counted)
        assert made_of.seen == seen
    assert n == 1.0
    assert np.asarray(n).dtype == np.float64
    assert counted(np.float64(2.0), np.float64(2.0)) == 2.0
    assert not isinstance(counted(np.float64(2.0), np.float64(2.0)), Counted)
    assert Extent.of(1, 37) != 1
