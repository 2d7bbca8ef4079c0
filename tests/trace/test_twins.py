"""Twins: what a traced function sees in place of modules, helpers and values, and what a trace remembers of them."""

import functools
import importlib.util
import math
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.special
from numpy import sin, zeros

from tracegrad.errors import EscapeError, TraceError

W = np.arange(3.0)
RATE = 0.5
TABLE = {"w": np.array([1.0, 2.0, 3.0]), "k": [4.0, {"deep": np.float32(2)}]}
MASK = np.array([True, False, True])
COUNT = 0
LOG = []
STATE = {"w": np.zeros(3), "n": 1}
RNG = np.random.default_rng(0)
CONFIG = SimpleNamespace(rate=0.1, bias=np.ones(3))
X = np.array([0.5, -1.0, 2.0])


def fresh(traced):
    result = traced.guard.fresh()
    assert result == all(read.fresh() for read in traced.reads)
    return result


def test_functions_imported_from_numpy(tool):
    def f(x):
        out = zeros(3)
        out[1] = sin(x[0])
        return out

    tool.check(f, X)


def test_math_and_scipy(tool):
    def f(x, s):
        return math.exp(s) * x + math.pi, math.sqrt(x[2]), math.log(s, 2), scipy.special.expit(x), math.floor(2.5)

    traced = tool.trace(f, X, 0.7)
    for result, want in zip(tool.run(traced, X, 0.7), f(X, 0.7), strict=True):
        np.testing.assert_allclose(result, want, rtol=1e-14)


def test_math_of_a_python_number_stays_weak(tool):
    tool.check(lambda x, s: math.exp(s) * x, X.astype(np.float32), 0.7)


def test_numpy_functions_of_python_numbers_are_strong(tool):
    tool.check(lambda x, s: np.exp(s) * x, X.astype(np.float32), 0.7)
    tool.check(lambda x, s: (s * 2) * x, X.astype(np.float32), 0.7)


def test_arrays_of_traced_scalars(tool):
    def f(x, s):
        return (
            np.array([s, x[0]]),
            np.array([[s, 1], [x[1], 2.0]]),
            np.array([x, x]),
            np.asarray([s, s], dtype=np.float32),
            np.r_[s, x, 1.0],
            np.c_[x, x * 2],
            np.full(3, s),
            np.full((2, 2), 7),
            np.linspace(0.0, s, 4),
            np.stack([x, W]),
            np.sum([s, s * 2]),
        )

    tool.check(f, X, 0.7)


def test_creation(tool):
    def f(x):
        return (
            np.zeros(2), np.ones((2, 1), np.float32), np.arange(3), np.arange(1.0, 2.0, 0.25), np.eye(2), np.empty(0),
            np.zeros_like(x), np.ones_like(x, dtype=np.int64), np.full_like(x, 2), np.linspace(0, 1, 3),
            np.array([1, 2]), np.array(3.0), np.concatenate([[1.0], [2.0]]), np.tri(2),
        )  # fmt: skip

    tool.check(f, X)


@pytest.fixture
def other_module(tmp_path):
    path = tmp_path / "other_module_of_a_user.py"
    path.write_text(
        "import numpy as np\nSCALE = 2.0\nBIAS = np.ones(3)\n"
        "def inner(x):\n    out = np.zeros(3)\n    for i in range(3):\n        out[i] = x[i] * SCALE\n    return out\n"
        "def outer(x):\n    return inner(x) + BIAS\n"
        "class Layer:\n    gain = 2.0\n    def __init__(self, w):\n        self.w = w\n"
        "    def __call__(self, x):\n        out = np.zeros(3)\n        out[0] = x[0]\n"
        "        return out * self.w * self.gain\n"
    )
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_helpers_in_another_module(tool, other_module):
    outer = other_module.outer
    traced = tool.check(lambda x: outer(x) + other_module.inner(x), X)
    assert fresh(traced)
    other_module.BIAS = np.array([5.0, 6.0, 7.0])
    assert fresh(traced), "an array is read again at each call"
    np.testing.assert_allclose(tool.run(traced, X), outer(X) + other_module.inner(X))
    other_module.SCALE = 3.0
    assert not fresh(traced)


def test_objects_of_the_users_classes(tool, other_module):
    layer = other_module.Layer(np.array([1.0, 2.0, 3.0]))
    traced = tool.check(lambda x: layer(x), X)
    layer.w = layer.w * 2
    assert fresh(traced)
    np.testing.assert_allclose(tool.run(traced, X), layer(X))
    layer.w = 5.0
    assert not fresh(traced)
    traced = tool.check(layer, X)
    traced = tool.check(layer.__call__, X)
    other_module.Layer.gain = 9.0
    assert not fresh(traced)


class Counting:
    """A class with the features that a twin has to keep."""

    scale = np.array(2.0)

    def __init__(self):
        self.w = np.ones(3)
        self.calls = 0
        self.parts = []

    @property
    def two(self):
        return np.zeros(3) + 2

    @staticmethod
    def first(x):
        out = np.zeros(2)
        out[0] = x[0]
        return out

    @classmethod
    def scaled(cls, x):
        return x * cls.scale

    def forward(self, x):
        return x * self.w * self.scale


class Nested(Counting):
    def forward(self, x):
        self.calls += 1
        out = np.zeros(3)
        out[:] = super().forward(x)
        for part in self.parts:
            out += part.forward(x)
        return out * self.two, self.first(x), self.scaled(x)


def test_methods_properties_and_super(tool):
    nested = Nested()
    nested.parts = [Counting(), Counting()]
    traced = tool.trace(nested.forward, X)
    assert nested.calls == 1
    assert fresh(traced)
    for result, want in zip(tool.run(traced, X), nested.forward(X), strict=True):
        np.testing.assert_allclose(result, want)
    assert not fresh(traced), "someone else has changed an attribute that the trace has read"


def test_the_function_is_left_as_it_was(tool):
    def f(x):
        return np.sum(x * W)

    before = f.__globals__, f.__closure__, f.__code__
    tool.trace(f, X)
    assert (f.__globals__, f.__closure__, f.__code__) == before
    assert isinstance(f(X), np.float64)


def test_closures(tool):
    scale, bias = 2.0, np.ones(3)

    def helper(x):
        return x * scale + bias

    def f(x):
        return helper(x) + bias

    traced = tool.check(f, X)
    bias += 1
    np.testing.assert_allclose(tool.run(traced, X), f(X))
    bias = np.zeros(3)
    assert fresh(traced)
    np.testing.assert_allclose(tool.run(traced, X), f(X))
    scale = 3.0
    assert not fresh(traced)


def test_a_helper_that_is_redefined_is_stale(tool):
    space = {}
    exec("def helper(x):\n    return x\ndef f(x):\n    return helper(x)\n", space)
    traced = tool.check(space["f"], X)
    assert fresh(traced)
    exec("def helper(x):\n    return x * 2\n", space)
    assert not fresh(traced)


def test_globals_are_checked(tool, monkeypatch):
    traced = tool.check(lambda x: x * RATE + TABLE["w"] * TABLE["k"][0] + W[1] * CONFIG.bias * CONFIG.rate, X)
    assert fresh(traced)
    for change in (
        lambda: monkeypatch.setitem(globals(), "RATE", 0.25),
        lambda: monkeypatch.setitem(globals(), "RATE", np.float64(0.5)),
        lambda: monkeypatch.setitem(TABLE, "k", [5.0, TABLE["k"][1]]),
        lambda: monkeypatch.setitem(TABLE["k"][1], "deep", 5.0),
        lambda: monkeypatch.setitem(TABLE, "new", 5.0),
        lambda: monkeypatch.setattr(CONFIG, "rate", 1),
        lambda: monkeypatch.delitem(globals(), "RATE"),
    ):
        change()
        assert not fresh(traced)
        monkeypatch.undo()
        assert fresh(traced)


def test_the_sign_of_zero_and_the_type_of_a_number_count(tool, monkeypatch):
    monkeypatch.setitem(globals(), "RATE", 0.0)
    traced = tool.trace(lambda x: x * RATE, X)
    for value in (-0.0, 0, False, math.nan):
        monkeypatch.setitem(globals(), "RATE", value)
        assert not fresh(traced)
    monkeypatch.setitem(globals(), "RATE", 0.0)
    assert fresh(traced)


def test_captured_arrays_are_read_at_each_call(tool, monkeypatch):
    def f(x):
        return x * W + (TABLE["w"] * 2)[0] + CONFIG.bias

    traced = tool.check(f, X)
    assert len(traced.captured) == 3
    W[0] += 10
    monkeypatch.setitem(TABLE, "w", np.array([7.0, 8.0, 9.0]))
    monkeypatch.setattr(CONFIG, "bias", np.array([1.0, 0.0, 1.0]))
    assert fresh(traced)
    np.testing.assert_allclose(tool.run(traced, X), f(X))
    W[0] -= 10
    monkeypatch.setitem(globals(), "W", np.ones(4))
    assert not fresh(traced)


def test_only_arrays_that_matter_are_inputs(tool):
    traced = tool.check(lambda x: x * TABLE["k"][0], X)
    assert traced.captured == ()


def test_a_captured_array_used_as_structure_is_a_value(tool):
    traced = tool.check(lambda x: x[MASK] if W[1] > 0 else x, X)
    assert traced.captured == ()
    MASK[1] = True
    assert not fresh(traced)
    MASK[1] = False
    assert fresh(traced)


def test_defaults_and_partials(tool):
    def f(x, w=W, *, s=2.0):
        return x * w * s

    tool.check(f, X)
    tool.check(functools.partial(f, s=3.0), X)
    tool.check(functools.partial(f, w=W * 2), X)


def test_wrapped_functions(tool):
    def doubled(function):
        @functools.wraps(function)
        def wrapper(*args):
            out = np.zeros(3)
            out[:] = function(*args)
            return out * 2

        return wrapper

    @doubled
    def f(x):
        out = np.zeros(3)
        out[0] = x[0]
        return out

    @functools.lru_cache
    def cached(n):
        return np.full(3, float(n))

    tool.check(f, X)
    tool.check(lambda x: cached(3) * x, X)


def test_recursion_and_generators(tool):
    def power(x, n):
        return 1.0 if n == 0 else x * power(x, n - 1)

    def f(x):
        return sum(v * v for v in x) + sum(power(v, 3) for v in [x[0], x[1]])

    tool.check(f, X)


def test_changes_are_written_back_once(tool):
    def f(x):
        global COUNT
        COUNT += 1
        return x

    traced = tool.trace(f, X)
    assert COUNT == 1
    assert fresh(traced)

    total = 0

    def g(x):
        nonlocal total
        total += 1
        LOG.append(total)
        STATE["w"] = STATE["n"] * 2
        return x * STATE["w"]

    traced = tool.trace(g, X)
    assert total == 1
    assert LOG == [1]
    assert STATE["w"] == 2
    assert fresh(traced)
    LOG.clear()
    assert not fresh(traced)


def test_traced_values_left_outside(tool):
    def to_global(x):
        global COUNT
        COUNT = x * 2
        return x

    def to_list(x):
        LOG.append(x)
        return x

    for f in (to_global, to_list):
        with pytest.raises(EscapeError, match="was left in") as caught:
            tool.trace(f, X)
        assert "return it from the function" in caught.value.fix
    assert LOG == []


def test_random_numbers_are_refused(tool):
    for f in (
        lambda x: x + np.random.normal(size=3),  # noqa: NPY002
        lambda x: x + RNG.normal(size=3),
        lambda x: x + np.random.default_rng(0).normal(),
    ):
        with pytest.raises(TraceError, match="draws while tracing") as caught:
            tool.trace(f, X)
        assert caught.value.where.file == __file__


def test_ints_become_structure_where_they_are(tool):
    def f(x, n, m, k):
        return np.zeros(n) + k, x * m, x.reshape(k, -1)

    traced = tool.check(f, X, 4, 5, 3)
    assert traced.static_ints == (1, 3)
    assert traced.inputs == (0, 2)
    assert tool.check(lambda x, n: [x[0] * i for i in range(n)], X, 2).static_ints == (1,)
    assert tool.check(lambda x, n: x if n > 1 else -x, X, 2).static_ints == (1,)
    assert tool.check(lambda x, n: x * {2: 3.0}[n], X, 2).static_ints == (1,)
    assert tool.check(lambda x, n: x[n] * n, X, 2).static_ints == ()


def test_a_restart_is_not_swallowed(tool):
    def f(x, n):
        try:
            return np.zeros(n) + x[0]
        except Exception:  # noqa: BLE001 - what users write
            return x

    assert tool.check(f, X, 2).static_ints == (1,)


def test_isinstance_of_array(tool):
    tool.check(lambda x: np.sum(x) if isinstance(x, np.ndarray) else x, X)


class Compiled:
    """What a compiled function looks like from inside a trace."""

    __tracegrad_compiled__ = True

    def __init__(self, py_func):
        self.py_func = py_func

    def seen_inside(self, twin):
        return twin

    def __call__(self, *args):
        raise AssertionError("the twin of py_func runs in its place")


def test_compiled_functions_inline(tool):
    inner = Compiled(lambda x: x * W)
    traced = tool.trace(lambda x: inner(x) + 1, X)
    np.testing.assert_allclose(tool.run(traced, X), X * W + 1)
