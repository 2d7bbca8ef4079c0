"""Recompute or store: less memory for the same numbers."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import tracegrad as tg
from tests.programs import programs
from tests.schedule.test_memory import chain_namespace
from tests.support import planned
from tracegrad.core.interpret import interpret
from tracegrad.core.verify import verify
from tracegrad.errors import CompileError, TracegradError
from tracegrad.schedule import chain, fuse
from tracegrad.schedule.plan import verify_program
from tracegrad.schedule.recompute import choices, cut_program

RNG = np.random.default_rng(0)
W, X = RNG.normal(size=(16, 16)) / 3, RNG.normal(size=(200, 16))


@pytest.fixture(autouse=True)
def no_chains(monkeypatch):
    """Chains keep so little that there would be nothing left to compute again."""
    monkeypatch.setattr(chain, "SHARED_BYTES", -1)


def deep(w, x):
    for _ in range(12):
        x = np.tanh(x @ w)
        x = x - x.mean(axis=1, keepdims=True)
    return np.sum(x * x)


def arena(function, *arrays, budget, wrt=(0,)):
    return planned(function, *arrays, wrt=wrt, memory_budget=budget).plan.arena_bytes


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(programs(longest=12))
def test_graphs_that_compute_again_mean_the_same(program):
    arrays = program.arrays()
    before = planned(program.loss, *arrays, wrt=range(len(arrays)))
    after = planned(program.loss, *arrays, wrt=range(len(arrays)), memory_budget=0.0)
    verify(after.graph, "recompute")
    verify_program(after.program)
    assert after.plan.arena_bytes <= before.plan.arena_bytes
    for node in before.graph.inputs[len(arrays) :]:  # arrays that the program captured
        arrays.append(np.linspace(0.0, 0.9, node.aval.size).reshape(node.aval.shape).astype(node.aval.dtype))
    with np.errstate(all="ignore"):
        for a, b in zip(interpret(before.graph, arrays), interpret(after.graph, arrays), strict=True):
            np.testing.assert_array_equal(a, b)


def test_the_gradient_of_a_chain_of_kernels(monkeypatch):
    monkeypatch.setattr(fuse, "WHOLE_LIMIT", 300)
    maps = chain_namespace()["chain"]
    x = np.broadcast_to(1.0, 1_000_000)
    kept = arena(lambda x: np.sum(maps(x)), x, budget=None)
    least = arena(lambda x: np.sum(maps(x)), x, budget=0.0)
    assert kept > 50 * x.nbytes
    assert least < 5 * x.nbytes


def test_a_fraction_of_what_keeping_everything_takes():
    kept = arena(deep, W, X, budget=None)
    assert arena(deep, W, X, budget=1.0) == kept
    assert 0.7 * kept < arena(deep, W, X, budget=0.9) <= 0.9 * kept
    assert arena(deep, W, X, budget=0.75) <= 0.75 * kept
    assert arena(deep, W, X, budget=0.0) <= arena(deep, W, X, budget=0.75)


def test_bytes_are_kept_or_refused():
    kept = arena(deep, W, X, budget=None)
    assert arena(deep, W, X, budget=kept) == kept
    assert arena(deep, W, X, budget=int(0.75 * kept)) <= 0.75 * kept
    least = arena(deep, W, X, budget=0.0)
    with pytest.raises(CompileError, match=f"at least {least} bytes"):
        arena(deep, W, X, budget=least - 1)


def test_the_compiled_numbers_are_the_same():
    expected = tg.grad_compile(deep, compile="never").value_and_grad(W, X)
    compiled = tg.grad_compile(deep, memory_budget=0.0)
    value, gradient = compiled.value_and_grad(W, X)
    np.testing.assert_allclose(value, expected[0], rtol=1e-13)
    np.testing.assert_allclose(gradient, expected[1], rtol=1e-11, atol=1e-11 * np.abs(expected[1]).max())
    plan = compiled.memory_plan(W, X)
    assert plan.recomputed > 10
    assert f"{plan.recomputed} values are computed again" in str(plan)
    assert f"{plan.recomputed} values are computed again" in compiled.explain(W, X)
    assert plan.arena_bytes < tg.grad_compile(deep).memory_plan(W, X).arena_bytes


def test_what_is_compared_with_its_largest_is_not_computed_again():
    def scaled(w, x):
        for _ in range(4):
            x = np.tanh(x @ w) * 1.7 + 0.3 * x
            x = x / np.max(x, axis=1, keepdims=True)
        return np.sum(x)

    program = planned(scaled, W, X, wrt=(0,)).program
    cut = cut_program(program)
    assert len(cut.compared) >= 8
    found = choices(cut)
    assert found
    assert all(not choice.again & cut.compared for choice in found)


@pytest.mark.parametrize("budget", [-1, 1.5, -0.1, True, "half", float("nan")])
def test_budgets_that_are_none(budget):
    with pytest.raises(TracegradError, match="neither a number of bytes nor a fraction"):
        tg.grad_compile(deep, memory_budget=budget)
