"""What a trace has read is checked by identity wherever finding the very same object settles it."""

from __future__ import annotations

import numpy as np

import tracegrad as tg
from tracegrad.trace.reads import Guard


def guards(monkeypatch):
    """All guards made from here on."""
    made = []
    original = Guard.__init__

    def noting(self, reads):
        original(self, reads)
        made.append(self)

    monkeypatch.setattr(Guard, "__init__", noting)
    return made


def scaled(factor, x):
    return factor * np.sum(x * x)


def test_libraries_helpers_and_compiled_functions_in_closures_cost_a_look_each(monkeypatch):
    made = guards(monkeypatch)
    libraries, helper, inner = (np, (np.linalg, len)), scaled, tg.grad_compile(scaled)

    @tg.grad_compile
    def outer(x):
        return libraries[0].sum(helper(2.0, x)) + inner(3.0, x)

    assert outer.grad(np.array([1.0, 2.0])).tolist() == [10.0, 20.0]
    assert made
    assert [read.name for guard in made for read in guard.slow] == []

    helper = tg.jit(lambda factor, x: np.sum(x))
    assert outer.grad(np.array([1.0, 2.0])).tolist() == [7.0, 13.0]
    inner = tg.grad_compile(lambda factor, x: np.sum(x))
    assert outer.grad(np.array([1.0, 2.0])).tolist() == [2.0, 2.0]


def test_what_a_tuple_holds_is_looked_into_where_it_can_change(monkeypatch):
    made = guards(monkeypatch)
    options = (np, {"factor": 2.0})

    @tg.grad_compile
    def f(x):
        return options[0].sum(x) * options[1]["factor"]

    assert f.grad(np.ones(2)).tolist() == [2.0, 2.0]
    assert any(guard.slow for guard in made)
    options[1]["factor"] = 5.0
    assert f.grad(np.ones(2)).tolist() == [5.0, 5.0]


def test_another_python_function_in_a_compiled_one_is_seen():
    inner = tg.grad_compile(scaled)

    @tg.grad_compile
    def outer(x):
        return inner(3.0, x)

    assert outer.grad(np.ones(1)).tolist() == [6.0]
    scaled_code = scaled.__code__
    try:
        scaled.__code__ = (lambda factor, x: np.sum(x)).__code__
        assert outer.grad(np.ones(1)).tolist() == [1.0]
    finally:
        scaled.__code__ = scaled_code
