"""Kernels that run block by block over one axis."""

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings

import tracegrad as tg
from tests.programs import check, programs
from tests.support import planned
from tracegrad.core.interpret import interpret
from tracegrad.schedule import chain

RNG = np.random.default_rng(3)


@pytest.fixture
def short_blocks(monkeypatch):
    """Blocks of about 20 rows, so that small arrays have several."""
    monkeypatch.setattr(chain, "BLOCK_BYTES", 1)
    monkeypatch.setattr(chain, "LEAST_ROWS", 20)
    monkeypatch.setattr(chain, "ROW_BYTES", 1 << 20)


def logistic(w, x, y):
    score = x @ w
    return np.mean(np.log1p(np.exp(score)) - y * score)


def network(w, x, y):
    hidden = np.tanh(x @ w)
    return np.sum((hidden @ w.T - x) ** 2) + np.sum(hidden[:, 0] * y)


def mixture(w, x, y):
    away = x[:, None, :] - w
    score = np.einsum("nkc,kcd->nkd", away, np.sin(w[:, :, None] * w[:, None, :]))
    whole = np.sum(score**2, axis=-1)
    top = np.max(whole, axis=1, keepdims=True)
    return np.sum(np.log(np.sum(np.exp(whole - top), axis=1)) + top[:, 0] * y)


def two_phases(w, x, y):
    score = x @ w
    score = (score - np.mean(score)) / np.std(score)
    return np.sum(np.tanh(score * y) ** 2) + np.max(score)


def rows_out(w, x, y):
    return np.sum(np.tanh(x @ w) * y * np.sum(x * x, axis=1)), np.exp(x @ w)


def turned(w, x, y):
    return np.sum(np.tanh(w @ x.T) * y)


PROGRAMS = {
    "logistic": (logistic, (5,)),
    "network": (network, (5, 5)),
    "mixture": (mixture, (3, 5)),
    "two phases": (two_phases, (5,)),
    "turned": (turned, (5,)),
}


def arguments(n, shape, dtype=np.float64):
    w, x, y = RNG.normal(size=shape), RNG.normal(size=(n, 5)), RNG.normal(size=n)
    return w.astype(dtype), x.astype(dtype), y.astype(dtype)


def chains(function, *arrays, wrt=(0,)):
    return [k.chain for k in planned(function, *arrays, wrt=wrt).program.kernels if k.chain is not None]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", PROGRAMS)
def test_blocks_give_the_numbers_of_the_interpreter(short_blocks, name, dtype):
    function, shape = PROGRAMS[name]
    compiled, expected = (tg.grad_compile(function, argnums=(0, 1), compile=c) for c in ("now", "never"))
    tolerance = {np.float64: 1e-12, np.float32: 2e-4}[dtype]
    for n in (1, 2, 41, 130):
        values = arguments(n, shape, dtype)
        assert n < 41 or max(c.blocks for c in chains(function, *values, wrt=(0, 1))) > 1
        for a, b in zip(flat(compiled.value_and_grad(*values)), flat(expected.value_and_grad(*values)), strict=True):
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * np.max(np.abs(b), initial=1.0))


def flat(tree):
    return [leaf for branch in tree for leaf in flat(branch)] if isinstance(tree, (tuple, list)) else [tree]


def test_rows_may_be_results(short_blocks):
    w, x, y = arguments(90, (5,))
    for a, b in zip(tg.jit(rows_out)(w, x, y), tg.jit(rows_out, compile="never")(w, x, y), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13)


@pytest.mark.parametrize("name", PROGRAMS)
def test_results_do_not_depend_on_threads(name):
    function, shape = PROGRAMS[name]
    values = arguments(100_000 if name != "mixture" else 20_000, shape)
    assert any(c.blocks > 20 for c in chains(function, *values))
    compiled = tg.grad_compile(function, argnums=(0, 1))
    before = tg.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            tg.set_num_threads(threads)
            found.append(flat(compiled.value_and_grad(*values)))
    finally:
        tg.set_num_threads(before)
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


@settings(max_examples=10, deadline=None, derandomize=True, phases=(Phase.generate,), suppress_health_check=list(HealthCheck))
@given(programs(sides=(3, 40, 61), longest=6, kinds=("contract", "map", "pair", "reduce")))
def test_random_programs_in_blocks(short_blocks, program):
    check(program, "native")


def test_what_is_read_again_stays_in_the_cache():
    [found] = chains(logistic, *arguments(100_000, (5,)))
    assert [k.template is not None for k in found.kernels] == [True, False, True]
    assert not found.outside
    plan = planned(logistic, *arguments(100_000, (5,)), wrt=(0,)).plan
    assert plan.arena_bytes < 64 * 2 * chain.BLOCK_BYTES


def test_a_mean_ends_a_chain():
    phases = chains(two_phases, *arguments(1000, (5,)))
    made = [set().union(*(k.nodes for k in c.kernels)) for c in phases]
    assert len(phases) >= 1
    for k, chain_made in enumerate(made):
        assert all(not chain_made & other for other in made[k + 1 :])


@pytest.mark.parametrize(
    "function",
    [
        lambda w, x, y: np.sum(np.tanh((x @ w)[::-1]) * (x @ w)),
        lambda w, x, y: np.sum(np.tanh((x @ w)[1:] - (x @ w)[:-1])),
        lambda w, x, y: np.sum(np.tanh((x @ w)[:, None] - (x @ w)[None, :])),
        lambda w, x, y: np.sum(np.tanh(x @ w) * np.arange(len(x))),
    ],
)
def test_axes_of_which_more_is_needed_are_not_cut(short_blocks, function):
    values = arguments(60, (5,))
    assert all(c.rows != 60 or c.blocks == 1 for c in chains(function, *values))
    compiled, expected = (tg.grad_compile(function, compile=c).value_and_grad(*values) for c in ("now", "never"))
    np.testing.assert_allclose(compiled[0], expected[0], rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(compiled[1], expected[1], rtol=1e-12, atol=1e-13)


def test_large_weights_are_not_read_for_each_block():
    w, x, y = RNG.normal(size=(300, 300)), RNG.normal(size=(64, 300)), RNG.normal(size=64)
    assert not chains(network, w, x, y)


def test_all_sizes_have_one_text():
    texts = {planned(logistic, *arguments(n, (5,)), wrt=(0,)).generated.source for n in (2, 50, 5000, 70_001)}
    assert len(texts) == 1


def test_the_same_nodes_in_blocks_mean_the_same():
    values = arguments(60, (3, 5))
    compilation = planned(mixture, *values, wrt=(0, 1))
    [found] = chains(mixture, *values, wrt=(0, 1))
    part = chain.with_rows(compilation.graph, found.along, 20)
    w, x, y = values
    whole = interpret(compilation.graph, [w, x, y])
    pieces = [interpret(part, [w, x[k : k + 20], y[k : k + 20]]) for k in range(0, 60, 20)]
    np.testing.assert_allclose(whole[0], sum(p[0] for p in pieces), rtol=1e-12)
    np.testing.assert_allclose(whole[1], sum(p[1] for p in pieces), rtol=1e-11)
    np.testing.assert_allclose(whole[2], np.concatenate([p[2] for p in pieces]), rtol=1e-12)


def test_equal_kernels_of_a_chain_are_written_once():
    def layers(ws, x):
        for w in ws:
            x = np.tanh(x @ w)
        return np.sum(x * x)

    shallow, deep = (
        planned(layers, [np.eye(4)] * count, np.ones((50, 4)), wrt=range(count)).generated.source for count in (3, 9)
    )
    assert deep.count("@kernel") == shallow.count("@kernel")


def test_nodes_that_hold_arrays_may_have_the_axis():
    x = np.random.default_rng(0).normal(size=(60, 5))  # others bring slopes near 0, whose digits cancel
    function = lambda x: np.sum(np.tanh(np.gradient(x, 0.5, axis=1, edge_order=2)) ** 2)
    compiled, expected = (tg.grad_compile(function, compile=c).value_and_grad(x) for c in ("now", "never"))
    np.testing.assert_allclose(compiled[0], expected[0], rtol=1e-12)
    np.testing.assert_allclose(compiled[1], expected[1], rtol=1e-12)
