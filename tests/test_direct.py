"""Direct callers give what the general path gives, hand on what is not theirs, and keep nothing."""

from __future__ import annotations

import gc
import sys
import threading
import weakref

import numpy as np
import pytest

import tracegrad as tg
from tests.support import same
from tracegrad.core.tree import flatten

X = np.linspace(-1.0, 1.0, 7)
BUILT_IN = type(len)


def loss(p, x=1.0):
    leaves = list(p.values()) if isinstance(p, dict) else list(p) if isinstance(p, (list, tuple)) else [p]
    return sum(np.sum(leaf * leaf * x) for leaf in leaves if leaf is not None)


def direct(function, *args):
    """The function after as many calls as it takes until a native one stands in front."""
    for _ in range(3):
        function(*args)
    assert type(function.__call__) is BUILT_IN
    return function


def refused(function):
    """Let the general path note that it was asked."""
    asked = []
    general = function._called
    function.__dict__["_called"] = lambda *args, **kwargs: asked.append(1) or general(*args, **kwargs)
    return asked


@pytest.mark.parametrize(
    "p",
    [
        X,
        X.astype(np.float32),
        {"a": X, "b": 2.0},
        {"b": 2.0, "a": X},
        [X, 2.0],
        (X, np.float64(0.25), None),
        [[X], (), {"a": (X.reshape(7, 1),)}],
        np.zeros((3, 0)),
    ],
    ids=lambda p: flatten(p)[1].__repr__(),
)
def test_results_are_those_of_the_general_path(p):
    both = tg.grad_compile(loss if not isinstance(p, list) or p[0] is X else lambda p: np.sum(p[2]["a"][0]) * p[0][0][1])
    expected = both.value_and_grad(p)
    same(direct(both.value_and_grad, p)(p), expected)
    same(direct(both.grad, p)(p), expected[1])
    same(direct(both, p)(p), expected[0])


def test_results_are_new_every_time():
    both = direct(tg.grad_compile(loss).value_and_grad, X)
    first, second = both(X), both(2.0 * X)
    assert not np.may_share_memory(first[1], second[1])
    np.testing.assert_array_equal(second[1], 2.0 * first[1])
    assert second[0] == pytest.approx(4.0 * first[0])


@pytest.mark.parametrize(
    "other",
    [
        X[:5],
        X.astype(np.float32),
        X.astype(">f8"),
        np.repeat(X, 2)[::2],
        np.frombuffer(b"\0" + X.tobytes(), np.uint8)[1:].view(np.float64),
        X.reshape(1, 7),
        X.view(type("Mine", (np.ndarray,), {})),
        [X],
        {"a": X},
        2.0,
        np.float32(2.0),
    ],
    ids=["shape", "dtype", "order", "strided", "unaligned", "axes", "subclass", "list", "dict", "float", "scalar"],
)
def test_other_calls_are_handed_on(other):
    both = tg.grad_compile(loss)
    expected = tg.grad_compile(loss).value_and_grad(other)
    asked = refused(both.value_and_grad)
    direct(both.value_and_grad, X)
    before = len(asked)
    same(both.value_and_grad(other), expected)
    assert len(asked) == before + 1
    both.value_and_grad(X)
    assert len(asked) == before + 1


def test_keywords_numbers_of_arguments_and_wrong_arguments_are_handed_on():
    both = direct(tg.grad_compile(loss).value_and_grad, X)
    same(both(p=X), both(X))
    same(both(X, x=2.0), both(X, 2.0))
    with pytest.raises(TypeError):
        both()
    with pytest.raises(TypeError):
        both("text")


def test_the_latest_signatures_stand_in_front():
    both = tg.grad_compile(loss).value_and_grad
    asked = refused(both)
    for n in (3, 4, 5):
        direct(both, np.ones(n))
    before = len(asked)
    for n in (3, 4, 5):
        assert both(np.ones(n))[0] == n
    assert len(asked) == before


def test_what_was_read_is_read_again():
    space = {"np": np, "helper": lambda x: x}
    exec("def f(x):\n    return np.sum(helper(x)) * factor()", space)
    scale = 2.0

    def factor():
        return scale

    space["factor"] = factor
    both = direct(tg.grad_compile(space["f"]), X + 2.0)
    assert both(X + 2.0) == pytest.approx(28.0)
    scale = 3.0
    assert both(X + 2.0) == pytest.approx(42.0)
    space["helper"] = lambda x: 2.0 * x
    assert direct(both, X + 2.0)(X + 2.0) == pytest.approx(84.0)
    space["helper"].__code__ = (lambda x: 4.0 * x).__code__
    assert both(X + 2.0) == pytest.approx(168.0)


def test_static_values_are_looked_at():
    def power(x, square):
        return np.sum(x * x) if square else np.sum(x)

    both = tg.grad_compile(power, static_argnames="square").value_and_grad
    for _ in range(3):
        assert both(X, True)[0] == np.sum(X * X)
        assert both(X, False)[0] == np.sum(X)


def test_nothing_is_kept():
    both = tg.grad_compile(loss).value_and_grad
    p = {"a": X.copy(), "b": np.ones((2, 3))}
    direct(both, p)
    watched = [p["a"], p["b"], p["a"].dtype, both, p]
    gc.collect()
    for _ in range(100):  # fills Python's lists of free tuples, which were just emptied
        both(p)
    counts = [sys.getrefcount(o) for o in watched]
    blocks = sys.getallocatedblocks()
    for _ in range(1000):
        both(p)
    assert [sys.getrefcount(o) for o in watched] == counts
    assert abs(sys.getallocatedblocks() - blocks) < 100
    value, gradient = both(p)
    made = [sys.getrefcount(value), sys.getrefcount(gradient)]  # outside of assert, which refers to them, too
    assert made == [2, 2]


def test_handing_on_keeps_nothing():
    both = direct(tg.grad_compile(loss).value_and_grad, {"a": X, "b": X})
    other = {"a": X, "b": X[:3]}
    for _ in range(5):
        both(other)
    direct(both, {"a": X, "b": X})
    counts = [sys.getrefcount(o) for o in (X, other, X.dtype)]
    for _ in range(1000):
        both(other)
    assert [sys.getrefcount(o) for o in (X, other, X.dtype)] == counts


def test_compiled_functions_go_when_nobody_holds_them():
    both = tg.grad_compile(lambda x: np.sum(x * x))
    direct(both.value_and_grad, X)
    gone = weakref.ref(both.value_and_grad)
    del both
    gc.collect()
    assert gone() is None


def test_threads_take_scratch_memory_of_their_own():
    def rows(x):
        scores = x @ x.T
        return np.sum(np.exp(scores - np.max(scores, axis=1, keepdims=True)))

    x = np.random.default_rng(0).normal(size=(30, 5))
    both = direct(tg.grad_compile(rows, threads=1).value_and_grad, x)
    expected = {k: both(k * x) for k in range(1, 5)}
    wrong = []

    def work(k):
        for _ in range(200):
            value, gradient = both(k * x)
            if value != expected[k][0] or not np.array_equal(gradient, expected[k][1]):
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_methods_and_wrapped_signatures_are_those_of_functions():
    class Line:
        @tg.jit
        def at(self, x):
            return 2.0 * x

    line = Line()
    np.testing.assert_array_equal(direct(line.at, X)(X), 2.0 * X)
    assert callable(tg.jit(loss))
