"""Optimisers against steps by hand and against PyTorch, on arrays and in a static graph, keeping dtypes."""

import numpy as np
import pytest

from tests.support import static
from tracegrad import optim
from tracegrad.core.interpret import interpret
from tracegrad.core.tree import flatten, tree_map
from tracegrad.errors import DtypeError, ShapeError, TreeError

RULES = {
    "sgd": optim.sgd(0.1),
    "momentum": optim.sgd(0.1, momentum=0.9),
    "nesterov": optim.sgd(0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "schedule": optim.sgd(lambda step: 0.1 / (1.0 + step)),
    "adam": optim.adam(0.05),
    "adam with decay": optim.adam(0.05, 0.8, 0.95, 1e-6, 0.1),
    "adam with schedule": optim.adam(lambda step: 0.05 * 0.9**step),
}
PARAMS = {"w": np.array([[1.0, -2.0], [0.5, 3.0]]), "b": [np.array(0.25), np.array([1.0, 2.0])]}


def bowl(params):
    """The gradients of half the squares, weighted."""
    return tree_map(lambda p: 3.0 * p - 1.0, params)


def run(rule, params, steps=5):
    state = rule.init(params)
    for _ in range(steps):
        params, state = rule.update(bowl(params), state, params)
    return params, state


def test_sgd_by_hand():
    p, g = np.array([1.0, 2.0]), np.array([0.5, -1.0])
    rule = optim.sgd(0.1, momentum=0.9, weight_decay=0.2)
    one, state = rule.update(g, rule.init(p), p)
    v1 = g + 0.2 * p
    np.testing.assert_allclose(one, p - 0.1 * v1)
    two, state = rule.update(g, state, one)
    v2 = 0.9 * v1 + g + 0.2 * one
    np.testing.assert_allclose(two, one - 0.1 * v2)
    assert state.step == 2


def test_nesterov_by_hand():
    p, g = np.array([1.0]), np.array([0.5])
    rule = optim.sgd(0.1, momentum=0.9, nesterov=True)
    one, _ = rule.update(g, rule.init(p), p)
    np.testing.assert_allclose(one, p - 0.1 * (g + 0.9 * g))


def test_adam_by_hand():
    p, g = np.array([1.0, 2.0]), np.array([0.5, -1.0])
    rule = optim.adam(0.1, 0.9, 0.99, 1e-8)
    state = rule.init(p)
    m = v = 0.0
    for t in range(1, 5):
        m, v = 0.9 * m + 0.1 * g * t, 0.99 * v + 0.01 * (g * t) ** 2
        expected = p - 0.1 / (1 - 0.9**t) * m / (np.sqrt(v) / np.sqrt(1 - 0.99**t) + 1e-8)
        p, state = rule.update(g * t, state, p)
        np.testing.assert_allclose(p, expected, rtol=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", RULES)
def test_parameters_and_state_keep_their_dtypes(name, dtype):
    params, state = run(RULES[name], tree_map(lambda p: p.astype(dtype), PARAMS))
    assert {leaf.dtype for leaf in flatten(params)[0]} == {np.dtype(dtype)}
    assert {leaf.dtype for leaf in flatten(state[1:])[0]} <= {np.dtype(dtype)}
    assert state.step.dtype == np.int64
    assert np.shape(state.step) == ()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", RULES)
def test_a_step_traces_into_one_graph(name, dtype):
    rule = RULES[name]
    params, state = run(rule, tree_map(lambda p: p.astype(dtype), PARAMS), 2)
    leaves, structure = flatten((params, state))
    expected = flatten(rule.update(bowl(params), state, params))[0]

    def step(*leaves):
        params, state = structure.unflatten(leaves)
        return rule.update(bowl(params), state, params)

    graph = static(step, *leaves)
    for got, wanted, old in zip(interpret(graph, leaves), expected, leaves, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-6 if dtype is np.float32 else 1e-14)
        assert got.dtype == wanted.dtype == old.dtype


@pytest.mark.parametrize("name", RULES)
def test_nothing_is_written_to(name):
    params = tree_map(np.copy, PARAMS)
    state = RULES[name].init(params)
    before = tree_map(np.copy, (params, state))
    RULES[name].update(bowl(params), state, params)
    tree_map(np.testing.assert_array_equal, (params, state), before)


@pytest.mark.parametrize("rule", [optim.sgd(0.1, momentum=0.5), optim.adam(0.1)])
def test_it_finds_the_minimum(rule):
    params, _ = run(rule, PARAMS, 400)
    tree_map(lambda p: np.testing.assert_allclose(p, 1 / 3, atol=1e-3), params)


@pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov", "adam", "adam with decay"])
def test_pytorch_agrees(name):
    torch = pytest.importorskip("torch")
    p = torch.tensor(PARAMS["w"], requires_grad=True)
    theirs = {
        "sgd": lambda: torch.optim.SGD([p], 0.1),
        "momentum": lambda: torch.optim.SGD([p], 0.1, momentum=0.9),
        "nesterov": lambda: torch.optim.SGD([p], 0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
        "adam": lambda: torch.optim.Adam([p], 0.05),
        "adam with decay": lambda: torch.optim.Adam([p], 0.05, (0.8, 0.95), 1e-6, 0.1),
    }[name]()
    for _ in range(5):
        p.grad = 3.0 * p.detach() - 1.0
        theirs.step()
    np.testing.assert_allclose(run(RULES[name], PARAMS["w"])[0], p.detach().numpy(), rtol=1e-12)


def test_errors_name_the_leaf():
    rule = optim.adam()
    with pytest.raises(DtypeError, match=r"params\['n'\] has dtype int64"):
        rule.init({"n": np.array([1])})
    params = {"w": np.ones(3)}
    with pytest.raises(ShapeError, match=r"params\['w'\] has shape \(3,\), its gradient \(2, 3\)"):
        rule.update({"w": np.ones((2, 3))}, rule.init(params), params)
    with pytest.raises(TreeError, match=r"gradients .*'v'.*parameters .*'w'"):
        rule.update({"v": np.ones(3)}, rule.init(params), params)
    with pytest.raises(ValueError, match="momentum"):
        optim.sgd(0.1, nesterov=True)
