"""The written-out path of repeated calls: it must give what the general path gives, and give up wherever that differs."""

from __future__ import annotations

import pickle
from collections import OrderedDict, namedtuple
from dataclasses import dataclass

import numpy as np
import pytest

import tracegrad as tg
from tests.support import same
from tracegrad.callers import MISS

X = np.linspace(-1.0, 1.0, 7)
Line = namedtuple("Line", "slope offset")


@dataclass
class Model:
    w: np.ndarray
    b: float


def loss(p, x=1.0):
    leaves = list(p.values()) if isinstance(p, dict) else [p.w, p.b] if isinstance(p, Model) else list(p)
    return sum(np.sum(leaf * leaf * x) for leaf in leaves)


def called(function, *args, **kwargs):
    """The results of the first three calls, of which the last is the caller's."""
    results = [function(*args, **kwargs) for _ in range(3)]
    caller = function._callers[0]
    assert caller(args, kwargs) is not MISS
    return results


@pytest.mark.parametrize(
    "p",
    [
        {"a": X, "b": 2.0},
        {"b": 2.0, "a": X},
        OrderedDict(a=X, b=2.0),
        [X, 2.0],
        (X, np.float64(0.25)),
        Line(X, 2.0),
        Model(X, 2.0),
        {1: X, 2: 0.5},
        (X, np.array(0.5)),
    ],
    ids=["dict", "unsorted", "ordered", "list", "tuple", "named tuple", "dataclass", "int keys", "0-d"],
)
def test_a_caller_gives_what_the_general_path_gives(p):
    both = tg.grad_compile(loss).value_and_grad
    first, second, third = called(both, p)
    same(first, second)
    same(first, third)


def test_arguments_by_name():
    both = tg.grad_compile(loss).value_and_grad
    first, _, third = called(both, (X, 2.0), x=3.0)
    same(first, third)


def test_results_are_fresh_arrays():
    double = tg.jit(lambda x: (x + x, x + x))
    results = called(double, X)
    arrays = [array for pair in results for array in pair]
    assert not any(np.shares_memory(a, b) for k, a in enumerate(arrays) for b in [X, *arrays[:k]])


def test_other_arguments_are_not_a_callers():
    both = tg.grad_compile(loss).value_and_grad
    called(both, {"a": X, "b": 2.0})
    caller = both._callers[0]
    others = [
        ({"a": X[:3], "b": 2.0},),
        ({"a": X.astype(np.float32), "b": 2.0},),
        ({"a": X.astype(">f8"), "b": 2.0},),
        ({"a": X, "b": 2},),
        ({"a": X, "c": 2.0},),
        ({"a": X},),
        (OrderedDict(a=X, b=2.0),),
        ([X, 2.0],),
        ({"a": X, "b": 2.0}, 1.0),
        (tg.tensor(X),),
        (),
    ]
    assert [caller(args, {}) for args in others] == [MISS] * len(others)
    assert caller(({"a": X, "b": 2.0},), {"x": 1.0}) is MISS


def test_many_signatures_in_turn():
    total = tg.grad_compile(lambda x: np.sum(x * x))
    for _ in range(3):
        for n in range(1, 13):
            x = np.arange(float(n))
            np.testing.assert_array_equal(total.grad(x), 2 * x)
            assert total(x) == np.sum(x * x)
    assert total.stats.traces == 12


def test_an_array_that_was_unpickled_is_one_of_its_dtype():
    twice = tg.jit(lambda x: 2 * x)
    called(twice, X)
    again = pickle.loads(pickle.dumps(X))
    np.testing.assert_array_equal(twice._callers[0]((again,), {}), 2 * X)


def test_arrays_that_are_not_contiguous():
    twice = tg.jit(lambda x, y: 2 * x + y)
    called(twice, X, X)
    raw = np.zeros(8 * X.size + 1, np.uint8)
    unaligned = raw[1:].view(np.float64)
    unaligned[:] = X
    read_only = X.copy()
    read_only.flags.writeable = False
    for odd in (np.repeat(X, 2)[::2], X[::-1], unaligned, read_only, X.astype(">f8")):
        for _ in range(3):
            np.testing.assert_array_equal(twice(odd, X), 2 * odd + X)
            np.testing.assert_array_equal(twice(X, odd), 2 * X + odd)


def test_structural_and_static_arguments():
    @tg.jit(static_argnames="mode")
    def part(x, n, mode):
        return np.sum(x[:n]) if mode == ("sum",) else np.prod(x[:n])

    for _ in range(3):
        for n in (2, 3, np.int64(4), True):
            assert part(X, n, ("sum",)) == np.sum(X[:n])
            assert part(X, n, ("prod",)) == np.prod(X[:n])


def test_static_zeros_of_either_sign():
    @tg.jit(static_argnames="zero")
    def divided(x, zero):
        return x * (-1.0 if np.signbit(zero) else 1.0)

    for _ in range(3):
        for zero in (0.0, -0.0, 0, False):
            np.testing.assert_array_equal(divided(X, zero), X * (-1.0 if np.signbit(zero) else 1.0))


SCALE = 2.0


def test_what_was_rebound_is_seen(monkeypatch):
    factor = 3.0
    weights = np.arange(7.0)
    X = np.arange(7.0)

    def scaled(x):
        return x * SCALE * factor + weights

    compiled = tg.jit(scaled)
    for _ in range(3):
        np.testing.assert_array_equal(compiled(X), X * 2.0 * 3.0 + weights)
    factor = 5.0
    np.testing.assert_array_equal(compiled(X), X * 2.0 * 5.0 + weights)
    monkeypatch.setitem(globals(), "SCALE", 4.0)
    for _ in range(3):
        np.testing.assert_array_equal(compiled(X), X * 4.0 * 5.0 + weights)
    weights[:] = 1.0
    np.testing.assert_array_equal(compiled(X), X * 4.0 * 5.0 + 1.0)
    weights = np.zeros(7)
    for _ in range(3):
        np.testing.assert_array_equal(compiled(X), X * 4.0 * 5.0)


def test_a_cell_that_was_emptied():
    factor = 3.0

    def scaled(x):
        return x * factor  # noqa: F821 - it is deleted below

    compiled = tg.jit(scaled)
    called(compiled, X)
    del factor
    with pytest.raises(NameError):
        compiled(X)


def test_a_function_whose_code_was_changed():
    def double(x):
        return x * 2.0

    compiled = tg.jit(double)
    called(compiled, X)
    double.__code__ = (lambda x: x * 5.0).__code__
    for _ in range(3):
        np.testing.assert_array_equal(compiled(X), X * 5.0)
