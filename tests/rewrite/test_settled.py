"""Walks over what a walk has made: rules are tried where something may have changed, and the results are those of all rules."""

import numpy as np
import pytest

import tracegrad as tg
from tracegrad import pipeline
from tracegrad.rewrite import engine


def _stencil(u):
    for _ in range(6):
        u = u + 0.1 * (np.roll(u, 1) + np.roll(u, -1) - 2.0 * u)
    return np.sum(u**2)


def _shared(x):
    y = np.exp(x) * 2.0
    return np.sum(y[1:] * 3.0) + np.sum(y.T) + np.sum(np.log(y) / 2.0)


def _products(x):
    return np.sum(np.tanh(np.outer(x, x) @ x) * (x - 0.0)) / len(x)


@pytest.mark.parametrize("function", [_stencil, _shared, _products])
def test_the_result_is_that_of_walks_that_try_all_rules(function, monkeypatch):
    walk = engine.Walk.__init__
    fired = []

    def both(graph):
        quick = engine.rewriting(graph)
        with monkeypatch.context() as patch:
            patch.setattr(engine.Walk, "__init__", lambda self, *a, settled=False, **named: walk(self, *a, **named))
            full = engine.rewriting(graph)
        assert str(quick.graph) == str(full.graph)
        assert quick.log == full.log
        fired.append(len(quick.log))
        return quick

    monkeypatch.setattr(pipeline, "rewriting", both)
    tg.grad_compile(function, compile="never").value_and_grad(np.linspace(0.5, 1.5, 12))
    assert fired[0] > 2
