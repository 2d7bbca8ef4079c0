"""grad_compile and jit as a person uses them: what they take, what they return, when they compile."""

import copy
import dataclasses
import functools
import inspect
import pickle
import re
import threading
from typing import NamedTuple

import networkx as nx
import numpy as np
import pytest
from numba.core import event

import tracegrad as tg
from tests.support import central_difference


@pytest.fixture
def compiled_by_numba():
    """A function that counts Numba's compilations while it runs something."""

    def count(action):
        with event.install_recorder("numba:compile") as recorder:
            action()
        return len([e for _, e in recorder.buffer if e.is_start])

    return count


def loss(w, x):
    return np.sum(np.tanh(x @ w) ** 2)


W, X = np.linspace(-1.0, 1.0, 3), np.linspace(0.0, 2.0, 12).reshape(4, 3)


@pytest.fixture(scope="module")
def f():
    return tg.grad_compile(loss)


def gradient(w=W, x=X):
    t = np.tanh(x @ w)
    return x.T @ (2 * t * (1 - t * t))


# -- what can be compiled ---------------------------------------------------------------------------------------------


def test_value_and_gradient(f):
    assert f(W, X) == pytest.approx(loss(W, X))
    np.testing.assert_allclose(f.grad(W, X), gradient())
    value, both = f.value_and_grad(W, X)
    assert value == pytest.approx(loss(W, X))
    np.testing.assert_allclose(both, gradient())


def square_sum(x):
    return np.sum(x * x)


class Model:
    def __init__(self, scale):
        self.scale = scale

    def __call__(self, x):
        return np.sum(self.scale * x)

    def energy(self, x):
        return np.sum(self.scale * x * x)

    @tg.grad_compile
    def decorated(self, x):
        return np.sum(self.scale * x * x)


@dataclasses.dataclass
class Line:
    slope: np.ndarray
    offset: float

    def error(self, x):
        return np.sum((self.slope * x + self.offset) ** 2)


def test_lambdas():
    np.testing.assert_allclose(tg.grad_compile(lambda x: np.sum(x * x)).grad(W), 2 * W)


def test_closures_are_read_again():
    scale = 2.0

    def scaled(x):
        return np.sum(scale * x)

    compiled = tg.grad_compile(scaled)
    assert compiled.grad(W).tolist() == [2.0] * 3
    scale = 3.0
    assert compiled.grad(W).tolist() == [3.0] * 3


def test_captured_arrays_are_read_at_each_call():
    weights = np.ones(3)
    compiled = tg.grad_compile(lambda x: np.sum(weights * x))
    assert compiled.grad(W).tolist() == [1.0] * 3
    weights[:] = 4.0
    assert compiled.grad(W).tolist() == [4.0] * 3
    assert compiled.stats.traces == 1


def test_objects_with_call():
    assert tg.grad_compile(Model(3.0)).grad(W).tolist() == [3.0] * 3


def test_bound_methods():
    np.testing.assert_allclose(tg.grad_compile(Model(3.0).energy).grad(W), 6 * W)


def test_decorated_methods_belong_to_their_instance():
    first, second = Model(1.0), Model(2.0)
    np.testing.assert_allclose(first.decorated.grad(W), 2 * W)
    np.testing.assert_allclose(second.decorated.grad(W), 4 * W)
    assert first.decorated(W) == pytest.approx(np.sum(W * W))


def test_methods_of_a_dataclass_that_holds_arrays():
    line = Line(np.array([1.0, 2.0, 3.0]), 0.5)
    compiled = tg.grad_compile(line.error)
    np.testing.assert_allclose(compiled.grad(W), 2 * line.slope * (line.slope * W + 0.5))
    line.offset = -1.0
    np.testing.assert_allclose(compiled.grad(W), 2 * line.slope * (line.slope * W - 1.0))


def test_functions_without_a_file():
    namespace = {"np": np}
    exec("def typed_in(x):\n    return np.sum(np.sin(x))", namespace)
    np.testing.assert_allclose(tg.grad_compile(namespace["typed_in"]).grad(W), np.cos(W))


def test_partial_functions():
    np.testing.assert_allclose(tg.grad_compile(functools.partial(loss, x=X)).grad(W), gradient())


def test_the_signature_is_kept(f):
    def documented(w: np.ndarray, *, rate: float = 0.5) -> float:
        """Explains itself."""
        return np.sum(w) * rate

    compiled = tg.grad_compile(documented)
    assert compiled.__name__ == "documented"
    assert compiled.__doc__ == "Explains itself."
    assert compiled.__wrapped__ is compiled.py_func is documented
    assert inspect.signature(compiled) == inspect.signature(documented)
    assert compiled.__module__ == __name__


def test_derivatives_are_compiled_functions(f):
    assert isinstance(f.grad, tg.Compiled)
    assert isinstance(f.value_and_grad, tg.Compiled)
    assert f.grad.py_func is loss
    assert f.grad is f.grad
    assert "k0" in f.grad.source(W, X)


# -- arguments --------------------------------------------------------------------------------------------------------


def test_argnums():
    def product(a, b, c):
        return np.sum(a * b * b * c)

    a, b, c = W, W + 2, W - 3
    np.testing.assert_allclose(tg.grad_compile(argnums=1)(product).grad(a, b, c), 2 * a * b * c)
    np.testing.assert_allclose(tg.grad_compile(argnums=-1)(product).grad(a, b, c), a * b * b)
    result = tg.grad_compile(argnums=(2, 0))(product).grad(a, b, c)
    assert isinstance(result, tuple)
    np.testing.assert_allclose(result[0], a * b * b)
    np.testing.assert_allclose(result[1], b * b * c)
    one = tg.grad_compile(argnums=(0,))(product).grad(a, b, c)
    assert isinstance(one, tuple)
    assert len(one) == 1


def test_keyword_arguments():
    compiled = tg.grad_compile(argnums=1)(loss)
    direction = (1 - np.tanh(X @ W) ** 2) * 2 * np.tanh(X @ W)
    np.testing.assert_allclose(compiled.grad(W, x=X), np.outer(direction, W))
    np.testing.assert_allclose(compiled.grad(x=X, w=W), np.outer(direction, W))


def test_keyword_only_and_default_arguments():
    def power(x, *, scale=2.0):
        return np.sum(scale * x)

    compiled = tg.grad_compile(power)
    assert compiled.grad(W).tolist() == [2.0] * 3
    assert compiled.grad(W, scale=5.0).tolist() == [5.0] * 3


def test_static_argnames():
    def branch(x, kind, order):
        return np.sum(np.sin(x)) if kind == "sin" else np.sum(x**order)

    compiled = tg.grad_compile(static_argnames=("kind", "order"))(branch)
    np.testing.assert_allclose(compiled.grad(W, "sin", 3), np.cos(W))
    np.testing.assert_allclose(compiled.grad(W, "power", 3), 3 * W**2)
    np.testing.assert_allclose(compiled.grad(W, kind="power", order=2), 2 * W)
    np.testing.assert_allclose(tg.grad_compile(static_argnames="order")(branch).grad(W, "power", 2), 2 * W)


def test_floats_never_recompile(compiled_by_numba):
    compiled = tg.grad_compile(lambda x, rate: np.sum(rate * x * x))
    np.testing.assert_allclose(compiled.grad(W, 0.5), W)

    def more():
        for rate in (0.0, -0.0, 2.5, np.inf):
            np.testing.assert_array_equal(compiled.grad(W, rate), 2 * rate * W)

    with np.errstate(invalid="ignore"):
        assert compiled_by_numba(more) == 0
    assert compiled.stats.traces == 1


def test_ints_are_traced_until_they_are_structure():
    by_value = tg.jit(lambda x, n: x * n)
    assert by_value(W, 2).tolist() == (2 * W).tolist()
    assert by_value(W, 3).tolist() == (3 * W).tolist()
    assert by_value.stats.traces == 1
    structural = tg.jit(lambda x, axis: np.sum(x, axis=axis))
    np.testing.assert_allclose(structural(X, 0), X.sum(0))
    np.testing.assert_allclose(structural(X, 1), X.sum(1))
    np.testing.assert_allclose(structural(X, 0), X.sum(0))
    assert structural.stats.traces == 2
    repeated = tg.jit(lambda x, n: functools.reduce(lambda a, _: a * x, range(n), x))
    np.testing.assert_allclose(repeated(W, 2), W**3)
    np.testing.assert_allclose(repeated(W, 3), W**4)


def test_booleans_are_static():
    compiled = tg.jit(lambda x, flag: x if flag else -x)
    assert compiled(W, True).tolist() == W.tolist()
    assert compiled(W, False).tolist() == (-W).tolist()


LAYOUTS = {
    "fortran": np.asfortranarray,
    "strided": lambda x: np.repeat(np.repeat(x, 2, axis=0), 3, axis=1)[::2, ::3],
    "reversed": lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
    "broadcast": lambda x: np.broadcast_to(x[:1], x.shape),
    "swapped": lambda x: x.astype(">f8"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(f, layout):
    x = LAYOUTS[layout](X)
    np.testing.assert_allclose(f.grad(W, x), gradient(x=np.array(x)))


def test_read_only_arrays(f):
    x = X.copy()
    x.flags.writeable = False
    np.testing.assert_allclose(f.grad(W, x), gradient())


def test_zero_size(f):
    value, result = f.value_and_grad(np.zeros(0), np.zeros((4, 0)))
    assert value == 0.0
    assert result.shape == (0,)
    value, result = f.value_and_grad(W, np.zeros((0, 3)))
    assert value == 0.0
    assert result.tolist() == [0.0] * 3


@pytest.mark.parametrize("x", [0.5, np.float64(0.5), np.array(0.5)])
def test_zero_dimensions(x):
    value, result = tg.grad_compile(lambda x: np.sin(x) * x).value_and_grad(x)
    for number in (value, result):
        assert type(number) is np.float64
    assert result == pytest.approx(np.sin(0.5) + 0.5 * np.cos(0.5))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_stays(f, dtype):
    value, result = f.value_and_grad(W.astype(dtype), X.astype(dtype))
    assert value.dtype == result.dtype == dtype
    scalar = tg.grad_compile(lambda x: 2.0 * np.sin(x)).grad(dtype(0.5))
    assert type(scalar) is dtype


def test_gradients_have_the_dtype_of_their_argument():
    compiled = tg.grad_compile(argnums=(0, 1))(lambda a, b: np.sum(a * b))
    first, second = compiled.grad(W.astype(np.float32), W)
    assert (first.dtype, second.dtype) == (np.float32, np.float64)


# -- pytrees ----------------------------------------------------------------------------------------------------------


class Layer(NamedTuple):
    w: np.ndarray
    b: np.ndarray


def test_pytrees_come_back_in_their_structure():
    params = {
        "layer": Layer(W.reshape(3, 1), np.array(0.5)),
        "list": [W, (W[:2],)],
        "line": Line(W, 0.25),
    }

    def total(p, x):
        hidden = np.tanh(x @ p["layer"].w + p["layer"].b)
        return np.sum(hidden) + np.sum(p["list"][0] ** 2) + np.sum(p["list"][1][0]) + np.sum(p["line"].slope) * p["line"].offset

    value, result = tg.grad_compile(total).value_and_grad(params, X)
    assert value == pytest.approx(total(params, X))
    assert list(result) == list(params)
    assert isinstance(result["layer"], Layer)
    assert result["layer"].w.shape == (3, 1)
    assert type(result["layer"].b) is np.float64
    np.testing.assert_allclose(result["list"][0], 2 * W)
    assert isinstance(result["list"], list)
    assert isinstance(result["list"][1], tuple)
    assert result["list"][1][0].tolist() == [1.0, 1.0]
    assert isinstance(result["line"], Line)
    assert result["line"].slope.tolist() == [0.25] * 3
    assert result["line"].offset == pytest.approx(W.sum())


def test_results_of_any_structure():
    result = tg.jit(lambda x: {"a": [x + 1, (np.sum(x),)], "n": 3, "none": None, "layer": Layer(x, x)})(W)
    assert result["a"][0].tolist() == (W + 1).tolist()
    assert type(result["a"][1][0]) is np.float64
    assert result["n"] == 3
    assert result["none"] is None
    assert isinstance(result["layer"], Layer)


def test_registered_classes():
    class Pair:
        def __init__(self, left, right):
            self.left, self.right = left, right

    tg.register_pytree(Pair, lambda p: ((p.left, p.right), None), lambda _, children: Pair(*children))
    result = tg.grad_compile(lambda p: np.sum(p.left * p.right)).grad(Pair(W, 2 * W))
    assert isinstance(result, Pair)
    np.testing.assert_allclose(result.left, 2 * W)


# -- results are the caller's own -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "function",
    [lambda x: x, lambda x: x[1:], lambda x: x.T, lambda x: (x, x), lambda x: [x[0], x], lambda x: np.reshape(x, -1)],
    ids=["identity", "slice", "transpose", "twice", "row", "reshape"],
)
def test_results_never_alias(function):
    x = X.copy()
    compiled = tg.jit(function)
    results = compiled(x) if isinstance(compiled(x), (tuple, list)) else [compiled(x)]
    expected = function(x) if isinstance(function(x), (tuple, list)) else [function(x)]
    for result, wanted in zip(results, expected, strict=True):
        np.testing.assert_array_equal(result, wanted)
        assert not np.shares_memory(result, x)
        assert result.flags.writeable
    for k, result in enumerate(results):
        assert not any(np.shares_memory(result, other) for other in results[k + 1 :])


def test_constant_results_are_fresh():
    compiled = tg.jit(lambda x: (np.arange(3.0), x))
    first, _ = compiled(W)
    first[:] = 9.0
    assert compiled(W)[0].tolist() == [0.0, 1.0, 2.0]


def test_captured_arrays_as_results_are_copies():
    table = np.arange(3.0)
    result = tg.jit(lambda x: (table, x))(W)[0]
    assert not np.shares_memory(result, table)


def test_a_function_without_dependence_has_zero_gradient():
    assert tg.grad_compile(lambda x: 3.0).grad(W).tolist() == [0.0] * 3
    assert tg.grad_compile(lambda x: np.sum(tg.functional.stop_gradient(x))).grad(W).tolist() == [0.0] * 3


# -- when it compiles -------------------------------------------------------------------------------------------------


def test_concurrent_first_calls_compile_once(compiled_by_numba):
    def only_here(x):
        return np.sum(np.cos(x) * np.sin(3.0 * x) + 0.125 * x)

    compiled = tg.grad_compile(only_here)
    results, barrier = [], threading.Barrier(8)

    def work():
        barrier.wait()
        results.append(compiled.grad(W))

    def start():
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert compiled_by_numba(start) > 0
    assert compiled.stats.traces == 1
    assert compiled.stats.compiles == 1
    assert all(r.tolist() == results[0].tolist() for r in results)
    assert len(results) == 8


def test_an_interrupt_leaves_it_usable(monkeypatch):
    def only_here(x):
        return np.sum(np.tanh(x) * np.cos(5.0 * x) - 0.375 * x)

    compiled = tg.grad_compile(only_here)

    def interrupted(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("tracegrad.runtime.load._compile", interrupted)
        with pytest.raises(KeyboardInterrupt):
            compiled.grad(W)
    expected = central_difference(only_here, [W], 0, np.array([1.0, 0.0, 0.0]))
    assert compiled.grad(W)[0] == pytest.approx(expected)
    assert compiled.stats.compiles == 1


def test_another_batch_size_compiles_nothing(f, compiled_by_numba):
    f.value_and_grad(W, X)

    def more():
        for rows in (5, 33, 100, 1000, 20_000):
            x = np.linspace(-1, 1, rows * 3).reshape(rows, 3)
            np.testing.assert_allclose(f.value_and_grad(W, x)[1], gradient(x=x), atol=1e-9)

    assert compiled_by_numba(more) == 0


def test_stats():
    compiled = tg.grad_compile(square_sum)
    compiled(W)
    compiled(W)
    compiled.grad(W)
    compiled.grad(W[:2])
    stats = compiled.stats
    assert stats.traces == 2
    assert stats.compiles + stats.cache_hits == 3
    assert stats.kernels == 1
    assert {"trace", "differentiate", "rewrite", "schedule", "generate", "plan memory", "compile"} <= set(stats.seconds)


# -- looking inside ---------------------------------------------------------------------------------------------------


def test_graphs(f, tmp_path):
    graph = f.graph(W, X)
    assert isinstance(graph.nx, nx.DiGraph)
    assert nx.is_directed_acyclic_graph(graph.nx)
    assert "tanh" in str(graph.forward)
    assert len(graph.forward) < len(graph)
    assert len(graph.backward) > 0
    text = graph.svg(tmp_path / "graph.svg")
    assert (tmp_path / "graph.svg").read_text() == text
    assert text.startswith("<svg")
    assert "test_compiled.py" in str(graph)


def test_source_shows_the_users_lines(f):
    source = f.source(W, X)
    assert "return np.sum(np.tanh(x @ w) ** 2)" in source
    assert "test_compiled.py" in source
    assert "@kernel" in source
    compile(source, "shown", "exec")


def test_explain_names_every_stage(f):
    text = f.explain(W, X)
    for stage in ("trace", "differentiate", "rewrite", "schedule", "generate", "plan memory", "compile"):
        assert f"\n{stage} (" in text
    assert "not fused" in text
    assert "kernel of its own" in text


def two_layers(a, b, x):
    return np.sum(np.tanh(np.tanh(x @ a) @ b) ** 2)


def test_explain_estimates_the_work_of_each_kernel_and_measures_it():
    compiled = tg.grad_compile(two_layers)
    arguments = np.ones((4, 4)), np.ones((4, 4)), np.ones((8, 4))
    text = compiled.explain(*arguments)
    assert "measured" not in text
    assert "kernel 0: a chain over 8 rows, in 1 block\n" in text
    first = text[text.index("kernel 0.0: matmul") :].splitlines()[1].strip()
    assert first == "estimated: reads 384 B, writes 256 B, 256 flops"  # 8×4 and 4×4 to 8×4, with 2·8·4·4 operations
    profiled = compiled.explain(*arguments, profile=True)
    launches = int(re.search(r"(\d+) launches", text)[1])
    shares = [int(share) for share in re.findall(r"measured [0-9.]+ µs, (\d+)% of the call", profiled)]
    assert len(shares) > launches  # those of the chain's kernels, and of the chain
    shares = [shares[0], *shares[1 + len(re.findall(r"kernel 0[.][0-9]+: measured", profiled)) :]]
    assert len(shares) == launches
    assert 100 - len(shares) <= sum(shares) <= 100 + len(shares)


def test_profile_leaves_results_as_they_are_and_needs_kernels():
    compiled = tg.grad_compile(two_layers)
    arguments = np.ones((4, 4)), np.ones((4, 4)), np.ones((8, 4))
    before = compiled.value_and_grad(*arguments)
    compiled.explain(*arguments, profile=True)
    after = compiled.value_and_grad(*arguments)
    assert before[0] == after[0]
    np.testing.assert_array_equal(before[1], after[1])
    with pytest.raises(tg.errors.TracegradError, match="no kernels to measure"):
        tg.jit(np.sin, compile="never").explain(np.ones(3), profile=True)


# -- one in another ---------------------------------------------------------------------------------------------------


def test_compiled_functions_inside_compiled_functions():
    inner = tg.jit(lambda x: np.tanh(x) * 2.0)
    outer = tg.grad_compile(lambda x: np.sum(inner(x) + inner(2.0 * x)))
    expected = 2 * (1 - np.tanh(W) ** 2) + 4 * (1 - np.tanh(2 * W) ** 2)
    np.testing.assert_allclose(outer.grad(W), expected)


def test_gradients_of_gradients():
    inner = tg.grad_compile(lambda x: np.sum(np.sin(x) * x))
    outer = tg.grad_compile(lambda x: np.sum(inner.grad(x) ** 2))
    first, second = np.sin(W) + W * np.cos(W), 2 * np.cos(W) - W * np.sin(W)
    np.testing.assert_allclose(outer.grad(W), 2 * first * second)


def test_a_training_step_in_one_program():
    targets = np.tanh(X @ np.array([0.3, -0.2, 0.9]))

    def error(p, x, y):
        return np.mean((np.tanh(x @ p["w"] + p["b"]) - y) ** 2)

    compiled, rule = tg.grad_compile(error), tg.optim.adam(0.05)

    @tg.jit
    def step(p, state, x, y):
        value, grads = compiled.value_and_grad(p, x, y)
        p, state = rule.update(grads, state, p)
        return p, state, value

    p = {"w": np.zeros(3), "b": np.zeros(())}
    state = rule.init(p)
    w, b = np.zeros(3), 0.0
    m, v = np.zeros(4), np.zeros(4)
    for t in range(1, 31):
        p, state, value = step(p, state, X, targets)
        h = np.tanh(X @ w + b)
        assert value == pytest.approx(np.mean((h - targets) ** 2), rel=1e-9)
        local = 2 * (h - targets) * (1 - h * h) / len(X)
        g = np.append(X.T @ local, local.sum())
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        moved = 0.05 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        w, b = w - moved[:3], b - moved[3]
    np.testing.assert_allclose(p["w"], w, rtol=1e-9)
    assert p["b"] == pytest.approx(b, rel=1e-9)
    assert step.stats.traces <= 2
    assert value < 0.1


@tg.grad_compile
def pickled_by_name(x):
    return np.sum(x**2)


def test_compiled_functions_are_copied_and_pickled_as_functions_are():
    assert copy.deepcopy({"loss": pickled_by_name})["loss"] is pickled_by_name
    assert pickled_by_name.__reduce__() == "pickled_by_name"
    rebuild, arguments = pickled_by_name.grad.__reduce__()
    assert rebuild(*arguments) is pickled_by_name.grad
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(tg.jit(lambda x: x))


def test_static_tuples_are_told_apart_by_their_elements():
    @tg.jit(static_argnames="factors", compile="never")
    def scaled(x, factors):
        return x * np.copysign(1.0, factors[0]) if isinstance(factors[0], float) else x * (2 if factors[0] is True else 3)

    x = np.ones(2)
    results = [scaled(x, factors)[0] for factors in [(0.0,), (-0.0,), (1,), (True,), (0.0,)]]
    assert results == [1.0, -1.0, 3.0, 2.0, 1.0]
