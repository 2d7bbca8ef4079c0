"""Optimisers against steps by hand and against PyTorch, on arrays and in a static graph, keeping dtypes."""

import numpy as np
import pytest

import tracegrad as tg
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
    "dampening": optim.sgd(0.1, momentum=0.9, dampening=0.3, maximize=True),
    "amsgrad": optim.adam(0.05, amsgrad=True, maximize=True),
    "adamw": optim.adamw(0.05, weight_decay=0.2),
    "adamax": optim.adamax(0.05, weight_decay=0.2),
    "nadam": optim.nadam(0.05, weight_decay=0.2, decoupled_weight_decay=True),
    "radam": optim.radam(0.05, b2=0.8, weight_decay=0.2, decoupled_weight_decay=True),
    "rmsprop": optim.rmsprop(0.05),
    "rmsprop centred": optim.rmsprop(0.05, momentum=0.5, centered=True, weight_decay=0.1),
    "adagrad": optim.adagrad(0.5, lr_decay=0.1, initial_accumulator_value=0.2),
    "adadelta": optim.adadelta(1.0, eps=0.01),
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
    slots = {leaf.dtype for leaf in flatten(state._replace(product=None)[1:] if name == "nadam" else state[1:])[0]}
    assert slots <= {np.dtype(dtype)}
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


MINIMISERS = [
    optim.sgd(0.1, momentum=0.5),
    optim.sgd(0.1, momentum=0.5, dampening=0.2),
    optim.adam(0.1),
    optim.adamw(0.1, weight_decay=0.0),
    optim.adam(0.1, amsgrad=True),
    optim.adamax(0.1),
    optim.nadam(0.03),
    optim.radam(0.3),
    optim.rmsprop(lambda step: 0.2 * 0.98**step),
    optim.adagrad(1.0),
]


@pytest.mark.parametrize("rule", MINIMISERS)
def test_it_finds_the_minimum(rule):
    params, _ = run(rule, PARAMS, 400)
    tree_map(lambda p: np.testing.assert_allclose(p, 1 / 3, atol=1e-3), params)


@pytest.mark.parametrize("name", [name for name in RULES if "schedule" not in name])
def test_pytorch_agrees(name):
    torch = pytest.importorskip("torch")
    p = torch.tensor(PARAMS["w"], requires_grad=True)
    theirs = {
        "sgd": lambda: torch.optim.SGD([p], 0.1),
        "momentum": lambda: torch.optim.SGD([p], 0.1, momentum=0.9),
        "nesterov": lambda: torch.optim.SGD([p], 0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
        "adam": lambda: torch.optim.Adam([p], 0.05),
        "adam with decay": lambda: torch.optim.Adam([p], 0.05, (0.8, 0.95), 1e-6, 0.1),
        "dampening": lambda: torch.optim.SGD([p], 0.1, 0.9, 0.3, maximize=True),
        "amsgrad": lambda: torch.optim.Adam([p], 0.05, amsgrad=True, maximize=True),
        "adamw": lambda: torch.optim.AdamW([p], 0.05, weight_decay=0.2),
        "adamax": lambda: torch.optim.Adamax([p], 0.05, weight_decay=0.2),
        "nadam": lambda: torch.optim.NAdam([p], 0.05, weight_decay=0.2, decoupled_weight_decay=True),
        "radam": lambda: torch.optim.RAdam([p], 0.05, (0.9, 0.8), weight_decay=0.2, decoupled_weight_decay=True),
        "rmsprop": lambda: torch.optim.RMSprop([p], 0.05),
        "rmsprop centred": lambda: torch.optim.RMSprop([p], 0.05, momentum=0.5, centered=True, weight_decay=0.1),
        "adagrad": lambda: torch.optim.Adagrad([p], 0.5, lr_decay=0.1, initial_accumulator_value=0.2),
        "adadelta": lambda: torch.optim.Adadelta([p], 1.0, eps=0.01),
    }[name]()
    for _ in range(20):
        p.grad = 3.0 * p.detach() - 1.0
        theirs.step()
    # PyTorch keeps NAdam's product of momenta in the default dtype, here float32
    tolerance = 1e-6 if name == "nadam" else 1e-12
    np.testing.assert_allclose(run(RULES[name], PARAMS["w"], 20)[0], p.detach().numpy(), rtol=tolerance)


def test_both_sides_of_the_first_steps_of_traced_rules():
    """What depends on the step is chosen at run time: the same graph serves the first step and later ones."""
    for name in ("dampening", "radam"):
        rule, p = RULES[name], PARAMS["w"]
        state = rule.init(p)
        leaves, structure = flatten((p, state))

        def step(*leaves, structure=structure, rule=rule):
            params, state = structure.unflatten(leaves)
            return rule.update(bowl(params), state, params)

        graph = static(step, *leaves)
        for _ in range(8):
            expected = flatten(rule.update(bowl(p), state, p))[0]
            found = interpret(graph, flatten((p, state))[0])
            for a, b in zip(found, expected, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-14)
            p, state = structure.unflatten(expected)


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


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: optim.sgd(-1), "Invalid learning rate: -1"),
        (lambda: optim.sgd(0.1, momentum=-1), "Invalid momentum value: -1"),
        (lambda: optim.sgd(0.1, momentum=0.5, dampening=0.5, nesterov=True), "Nesterov momentum requires"),
        (lambda: optim.adam(b1=1.0), "Invalid beta parameter at index 0: 1.0"),
        (lambda: optim.adamw(b2=-0.1), "Invalid beta parameter at index 1: -0.1"),
        (lambda: optim.adam(eps=-1.0), "Invalid epsilon value: -1.0"),
        (lambda: optim.adam(weight_decay=-1.0), "Invalid weight_decay value: -1.0"),
        (lambda: optim.rmsprop(alpha=-1.0), "Invalid alpha value: -1.0"),
        (lambda: optim.adagrad(lr_decay=-1.0), "Invalid lr_decay value: -1.0"),
        (lambda: optim.adadelta(rho=2.0), "Invalid rho value: 2.0"),
    ],
)
def test_options_out_of_range(make, match):
    with pytest.raises(ValueError, match=match):
        make()


@pytest.mark.parametrize("name", ["momentum", "adamw", "nadam", "rmsprop centred", "adagrad"])
def test_numbers_at_run_time(name):
    """A rate given to ``update`` stands for the rule's own, on arrays and in one trace for all values."""
    rule, p = RULES[name], PARAMS["w"]
    other = {
        "momentum": optim.sgd(0.3, momentum=0.9),
        "adamw": optim.adamw(0.3, weight_decay=0.2),
        "nadam": optim.nadam(0.3, weight_decay=0.2, decoupled_weight_decay=True),
        "rmsprop centred": optim.rmsprop(0.3, momentum=0.5, centered=True, weight_decay=0.1),
        "adagrad": optim.adagrad(0.3, lr_decay=0.1, initial_accumulator_value=0.2),
    }[name]
    state = rule.update(bowl(p), rule.init(p), p)[1]
    wanted = other.update(bowl(p), state, p)[0]
    np.testing.assert_array_equal(rule.update(bowl(p), state, p, lr=0.3)[0], wanted)

    @tg.jit(compile="never")
    def step(p, state, rate):
        return rule.update(bowl(p), state, p, lr=rate)

    np.testing.assert_allclose(step(p, state, 0.3)[0], wanted, rtol=1e-14)
    step(p, state, 0.2)
    assert step.stats.traces == 1
    narrow = tree_map(lambda x: x.astype(np.float32) if x.dtype == np.float64 and x.ndim else x, (p, state))
    assert step(*narrow, np.float64(0.3))[0].dtype == np.float32


def test_numbers_that_a_rule_has_not():
    rule = optim.sgd(0.1)
    p = np.ones(2)
    with pytest.raises(TypeError, match="SGD's update takes the numbers lr, momentum, dampening, weight_decay, not 'rate'"):
        rule.update(p, rule.init(p), p, rate=1.0)
    with pytest.raises(TypeError, match="not 'maximize'"):
        rule.update(p, rule.init(p), p, maximize=True)


def test_a_compiled_step():
    rules = [RULES[name] for name in ("dampening", "nadam", "radam", "rmsprop centred")]

    @tg.jit
    def steps(p, states):
        return [rule.update(bowl(p), state, p) for rule, state in zip(rules, states, strict=True)]

    p = PARAMS["w"]
    states = [rule.update(bowl(p), rule.init(p), p)[1] for rule in rules]
    for found, rule, state in zip(steps(p, states), rules, states, strict=True):
        for a, b in zip(flatten(found)[0], flatten(rule.update(bowl(p), state, p))[0], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-13)
