"""Tangents of every op on every one of its samples: the pairing with cotangents, differences, and second derivatives."""

import numpy as np
import pytest

import tracegrad as tg
from tests.ops.test_matrix import SMOOTH, VALID, applied, differentiable, draw, gradient_graph, weighted
from tests.support import central_difference, static
from tracegrad.autodiff.forward import push_forward
from tracegrad.autodiff.reverse import differentiate, pull_back_graph
from tracegrad.core.graph import Graph
from tracegrad.core.interpret import interpret
from tracegrad.core.op import MISSING, Kind, Linear, Op, Rule, Stacked, keep
from tracegrad.core.verify import verify
from tracegrad.errors import DifferentiationError
from tracegrad.ops.maps import add as add_op
from tracegrad.ops.maps import exp, multiply, scale, select, sqrt
from tracegrad.ops.pullback import carries_gradient

STEP = 3e-4


@pytest.fixture(autouse=True)
def _quiet():
    with np.errstate(all="ignore"):
        yield


def like(x, rng):
    """Numbers in [-1, 1] of the shape and dtype of an array."""
    values = rng.uniform(-1, 1, x.shape)
    if x.dtype.kind == "c":
        values = values + 1j * rng.uniform(-1, 1, x.shape)
    return np.asarray(values).astype(x.dtype)


# at an end of its interval the slope of this one is infinite, and products with it are NaN
PAIRED = [case for case in VALID if case.id != "entr-3"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("op", "sample"), PAIRED)
def test_tangents_pair_with_cotangents(op, sample, dtype):
    operands = draw(sample, dtype)
    positions = [k for k, x in enumerate(operands) if x.dtype.kind in "fc" and carries_gradient(op, k)]
    out = np.asarray(applied(op, sample)(*operands))
    if not positions or out.dtype.kind not in "fc":
        return
    graph = static(applied(op, sample), *operands)
    wrt = [graph.inputs[k].id for k in positions]
    rng = np.random.default_rng(5)
    directions, cotangent = [like(operands[k], rng) for k in positions], like(out, rng)
    value, tangent = interpret(verify(push_forward(graph, wrt), "differentiate"), [*operands, *directions])
    _, *pulled = interpret(pull_back_graph(graph, wrt, [0]), [*operands, cotangent])
    np.testing.assert_array_equal(value, out)
    assert (tangent.shape, tangent.dtype) == (out.shape, out.dtype)
    forward = np.sum(cotangent * tangent).real
    reverse = sum(np.sum(a * b).real for a, b in zip(pulled, directions, strict=True))
    assert abs(forward - reverse) <= (1e-12 if dtype == np.float64 else 3e-5) * (1 + np.sum(np.abs(cotangent * tangent)))


# follows from the pairing above and the differences that test_matrix.py takes
@pytest.mark.nightly
@pytest.mark.parametrize(("op", "sample"), SMOOTH)
def test_tangent_is_that_of_finite_differences(op, sample):
    operands = draw(sample)
    for position in differentiable(op, operands):
        graph = static(applied(op, sample), *operands)
        joint = push_forward(graph, [graph.inputs[position].id])
        direction = np.random.default_rng(6).uniform(-1, 1, operands[position].shape)
        _, tangent = interpret(joint, [*operands, direction])
        expected = central_difference(applied(op, sample), operands, position, direction, STEP)
        np.testing.assert_allclose(tangent, expected, rtol=2e-9, atol=2e-9 * (1 + np.max(np.abs(expected), initial=0)))


@pytest.mark.parametrize(("op", "sample"), SMOOTH)
def test_both_mixed_second_derivatives_agree_with_differences(op, sample):
    operands = draw(sample)
    positions = differentiable(op, operands)
    first, weights = gradient_graph(op, sample, operands, positions)
    wrt = [first.inputs[k].id for k in positions]
    rng = np.random.default_rng(7)
    directions = [rng.uniform(-1, 1, operands[k].shape) for k in positions]
    over_reverse = verify(push_forward(first, wrt), "differentiate")
    _, *rest = interpret(over_reverse, [*operands, *directions])
    products = rest[len(positions) + 1 :]

    loss = static(weighted(op, sample, weights), *operands)
    forward = push_forward(loss, [loss.inputs[k].id for k in positions])
    over_forward = verify(differentiate(forward, [forward.inputs[k].id for k in positions], output=1), "differentiate")
    _, _, *turned = interpret(over_forward, [*operands, *directions])

    for position, product, other in zip(positions, products, turned, strict=True):
        np.testing.assert_allclose(product, other, rtol=1e-9, atol=1e-9 * (1 + np.max(np.abs(product), initial=0)))
        along = rng.uniform(-1, 1, operands[position].shape)

        def slope(*values):
            gradients = interpret(first, values)[1:]
            return sum(np.sum(g * d) for g, d in zip(gradients, directions, strict=True))

        expected = central_difference(slope, operands, position, along, STEP)
        assert abs(np.sum(product * along) - expected) <= 2e-8 * (1 + np.sum(np.abs(product * along)))


@pytest.mark.nightly
@pytest.mark.parametrize(("op", "sample"), SMOOTH)
def test_third_derivatives_are_those_of_differences(op, sample):
    operands = draw(sample)
    positions = differentiable(op, operands)
    rng = np.random.default_rng(9)
    directions = [rng.uniform(-1, 1, operands[k].shape) for k in positions]
    weights = rng.uniform(0.5, 1.5, np.shape(applied(op, sample)(*operands)))
    graph = static(weighted(op, sample, weights), *operands)
    for _ in range(2):  # forward over forward, and then reverse mode over both
        pushed = push_forward(graph, [graph.inputs[k].id for k in positions])
        graph = Graph(pushed).freeze(pushed.outputs[1:])
    third = differentiate(graph, [graph.inputs[k].id for k in positions])
    _, *gradients = interpret(third, [*operands, *directions, *directions])

    def second(*values):
        return interpret(graph, [*values, *directions, *directions])[0]

    for position, gradient in zip(positions, gradients, strict=True):
        along = rng.uniform(-1, 1, operands[position].shape)
        expected = central_difference(second, operands, position, along, STEP)
        size = 1 + np.sum(np.abs(gradient * along)) + np.abs(second(*operands))
        assert abs(np.sum(gradient * along) - expected) <= 2e-7 * size


def test_an_integer_has_no_tangent_and_what_is_not_reached_has_zeros():
    x = np.array([1.0, 2.0])
    graph = static(lambda a, b: (a.astype(np.int64), b, a * 2.0), x, x)
    joint = push_forward(graph, [graph.inputs[0].id])
    *_, whole, other, twice = interpret(joint, [x, x, np.ones(2)])
    assert (whole.dtype, whole.tolist()) == (np.int64, [0, 0])
    assert other.tolist() == [0.0, 0.0]
    assert twice.tolist() == [2.0, 2.0]


def test_the_branch_not_taken_does_not_reach_the_tangent():
    x = np.array([0.0, 4.0])
    graph = static(lambda a: select(a > 0, sqrt(a), 0.0), x)
    *_, tangent = interpret(push_forward(graph, [graph.inputs[0].id]), [x, np.ones(2)])
    assert tangent.tolist() == [0.0, 0.25]


def test_what_is_linear_together_is_one_node():
    x = np.ones(3)
    graph = static(lambda a, b, c: tg.jit(lambda *p: np.concatenate(p))(a, b, c), x, x, x)
    joint = push_forward(graph, [node.id for node in graph.inputs])
    assert [node.op.name for node in joint].count("concatenate") == 2


def test_a_rule_is_traced_once_for_equal_operands():
    calls = []

    def pull(g, out, x):
        calls.append(x)
        return multiply(g, exp(x))

    op = _op("once", Rule(pull))
    graph = static(lambda x: op(op(op(x))), np.ones(3))
    push_forward(graph, [graph.inputs[0].id])
    assert len(calls) == 1


def test_rules_that_cannot_be_pushed_say_so():
    for partial, text in ((MISSING, "no derivative rule"), (Rule(lambda g, out, x: multiply(g, g)), "not linear in the cot")):
        graph = static(_op("odd", partial), np.ones(3))
        with pytest.raises(DifferentiationError, match=text):
            push_forward(graph, [graph.inputs[0].id])


def _op(name, partial):
    return Op(name, Kind.OPAQUE, lambda x: x, keep, np.exp, (partial,), Stacked(), None, (), ("", ""), "", ())


def test_declarations_of_linearity_are_true():
    rng = np.random.default_rng(8)
    seen = set()
    for case in VALID:
        op, sample = case.values
        operands = draw(sample)
        held = [k for k in range(len(operands)) if isinstance(op.partial(k), Linear)]
        numbers = [np.asarray(applied(op, sample)(*operands)), *(operands[k] for k in held)]
        if not held or any(x.dtype.kind not in "fc" for x in numbers):
            continue
        together = [k for k in held if op.partial(k).together]
        for group in [together] * bool(together) + [[k] for k in held if k not in together]:
            other = [like(x, rng) if k in group else x for k, x in enumerate(operands)]
            total = [2 * x + y if k in group else x for k, (x, y) in enumerate(zip(operands, other, strict=True))]
            a, b, c = (applied(op, sample)(*each) for each in (operands, other, total))
            np.testing.assert_allclose(c, 2 * a + b, rtol=1e-11, atol=1e-11)
            seen.add(op)
    assert {scale, select} <= seen
    assert add_op not in seen
