"""Every op on every one of its samples: eager, static, interpreted, and differentiated once and twice."""

import numpy as np
import pytest

from tests.support import all_ops, central_difference, static
from tracegrad.autodiff.reverse import differentiate
from tracegrad.core.aval import aval_of
from tracegrad.core.interpret import interpret
from tracegrad.core.op import Kind
from tracegrad.core.verify import verify
from tracegrad.ops.broadcasting import sum_to
from tracegrad.ops.maps import multiply
from tracegrad.ops.pullback import carries_gradient, pull_back
from tracegrad.ops.reductions import sum as sum_of

CASES = [pytest.param(op, sample, id=f"{name}-{k}") for name, op in all_ops().items() for k, sample in enumerate(op.samples)]
VALID = [case for case in CASES if case.values[1].error is None]
ERRORS = [case for case in CASES if case.values[1].error is not None]
SMOOTH = [case for case in VALID if case.values[1].smooth]

# with a formula of fourth order: 1e-14 times the fifth derivative of truncation, 1e-12 of rounding
STEP = 3e-4


def draw(sample, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    return [values.draw(rng, dtype) for values in sample.operands]


def applied(op, sample):
    return lambda *operands: op(*operands, **sample.params)


def differentiable(op, operands):
    return [k for k, x in enumerate(operands) if x.dtype.kind == "f" and carries_gradient(op, k)]


def weighted(op, sample, weights):
    """A scalar function of the operands whose cotangent is not one number everywhere."""
    return lambda *operands: sum_of(multiply(op(*operands, **sample.params), weights))


def gradient_graph(op, sample, operands, positions):
    """The joint graph of the weighted sum of the op's result and its gradients."""
    shape = np.shape(applied(op, sample)(*operands))
    weights = np.random.default_rng(1).uniform(0.5, 1.5, shape).astype(operands[positions[0]].dtype)
    graph = static(weighted(op, sample, weights), *operands)
    return verify(differentiate(graph, [graph.inputs[k].id for k in positions]), "differentiate"), weights


@pytest.fixture(autouse=True)
def _quiet():
    with np.errstate(all="ignore"):
        yield


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("op", "sample"), VALID)
def test_eager_is_numpy(op, sample, dtype):
    operands = draw(sample, dtype)
    result = applied(op, sample)(*operands)
    for reference in op.numpy:
        expected = reference(*operands)
        np.testing.assert_array_equal(result, expected)
        assert np.asarray(result).dtype == expected.dtype


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("op", "sample"), VALID)
def test_static_is_eager(op, sample, dtype):
    operands = draw(sample, dtype)
    expected = np.asarray(applied(op, sample)(*operands))
    graph = static(applied(op, sample), *operands)
    (node,) = graph.outputs
    assert graph[node].aval == aval_of(expected)
    (result,) = interpret(graph, operands)
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize(("op", "sample"), VALID)
def test_infer_is_what_eager_gives(op, sample):
    operands = draw(sample)
    graph = static(applied(op, sample), *operands)
    node = graph[graph.outputs[0]]
    values = dict(zip(node.inputs, interpret(_with_outputs(graph, node.inputs), operands), strict=True))
    actual = np.asarray(op.eager(*(values[i] for i in node.inputs), **node.params))
    assert (actual.shape, actual.dtype) == (node.aval.shape, node.aval.dtype)


def _with_outputs(graph, outputs):
    return type(graph)(graph).freeze(outputs)


@pytest.mark.parametrize(("op", "sample"), VALID)
def test_strided_operands_give_the_same(op, sample):
    operands = draw(sample)
    strided = [spread_out(x) for x in operands]
    assert any(not s.flags.c_contiguous for s in strided) or all(x.size < 2 for x in operands)
    expected = applied(op, sample)(*operands)
    (interpreted,) = interpret(static(applied(op, sample), *operands), strided)
    # NumPy sums in the order of memory
    tolerance = 1e-14 if op.kind in (Kind.REDUCE, Kind.CONTRACT) else 0
    for result in (applied(op, sample)(*strided), interpreted):
        np.testing.assert_allclose(result, expected, rtol=tolerance, atol=tolerance)


def spread_out(x):
    """The same values with gaps between them and the axes stored in reverse."""
    if x.ndim == 0:
        return x
    wide = np.empty(tuple(2 * n for n in x.shape), x.dtype, order="F")
    view = wide[tuple(slice(None, None, 2) for _ in x.shape)]
    view[...] = x
    return view


@pytest.mark.parametrize(("op", "sample"), ERRORS)
def test_bad_input_gives_the_declared_error(op, sample):
    operands = draw(sample)
    with pytest.raises(sample.error, match=sample.match):
        interpret(static(applied(op, sample), *operands), operands)


@pytest.mark.parametrize(("op", "sample"), SMOOTH)
def test_gradient_is_that_of_finite_differences(op, sample):
    operands = draw(sample)
    positions = differentiable(op, operands)
    assert positions, "a smooth sample has an operand to differentiate"
    graph, weights = gradient_graph(op, sample, operands, positions)
    _, *gradients = interpret(graph, operands)
    loss = weighted(op, sample, weights)
    for position, gradient in zip(positions, gradients, strict=True):
        assert (gradient.shape, gradient.dtype) == (operands[position].shape, operands[position].dtype)
        for seed in (2, 3):
            direction = np.random.default_rng(seed).uniform(-1, 1, operands[position].shape)
            expected = central_difference(loss, operands, position, direction, STEP)
            # relative to the terms, which may cancel in the sum
            size = 1 + np.sum(np.abs(gradient * direction))
            assert abs(np.sum(gradient * direction) - expected) <= 2e-9 * size


@pytest.mark.parametrize(("op", "sample"), SMOOTH)
def test_gradient_in_float32_is_that_in_float64(op, sample):
    single = draw(sample, np.float32)
    positions = differentiable(op, single)
    graph, _ = gradient_graph(op, sample, single, positions)
    double = [x.astype(np.float64) if x.dtype == np.float32 else x for x in single]
    exact, _ = gradient_graph(op, sample, double, positions)
    for got, expected in zip(interpret(graph, single)[1:], interpret(exact, double)[1:], strict=True):
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, expected, rtol=3e-5, atol=3e-5)


@pytest.mark.parametrize(("op", "sample"), SMOOTH)
def test_rules_on_arrays_give_what_the_graph_gives(op, sample):
    operands = draw(sample)
    positions = differentiable(op, operands)
    graph, weights = gradient_graph(op, sample, operands, positions)
    _, *gradients = interpret(graph, operands)
    out = applied(op, sample)(*operands)
    for position, gradient in zip(positions, gradients, strict=True):
        pulled = pull_back(op, position, weights, out, operands, sample.params)
        if op.kind is Kind.MAP:
            pulled = sum_to(np.broadcast_to(pulled, np.shape(out)), operands[position].shape)
        np.testing.assert_allclose(pulled, gradient, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(("op", "sample"), SMOOTH)
def test_second_derivative_is_that_of_finite_differences(op, sample):
    operands = draw(sample)
    positions = differentiable(op, operands)
    graph, _ = gradient_graph(op, sample, operands, positions)
    rng = np.random.default_rng(4)
    directions = [rng.uniform(-1, 1, operands[k].shape) for k in positions]

    # the gradients' product with a direction, as a function of the operands
    def along(*values):
        gradients = interpret(graph, values)[1:]
        return sum(np.sum(g * d) for g, d in zip(gradients, directions, strict=True))

    twice = verify(second_graph(graph, directions, positions), "differentiate")
    _, *products = interpret(twice, operands)
    for position, product in zip(positions, products, strict=True):
        direction = rng.uniform(-1, 1, operands[position].shape)
        expected = central_difference(along, operands, position, direction, STEP)
        size = 1 + np.sum(np.abs(product * direction))
        assert abs(np.sum(product * direction) - expected) <= 2e-8 * size


def second_graph(graph, directions, positions):
    """Reverse over reverse: the gradient of the gradients' product with directions."""

    def product(*operands):
        total = 0.0
        recorder = operands[0].recorder
        copied = replay(graph, recorder, operands)
        for node, direction in zip(graph.outputs[1:], directions, strict=True):
            total = total + sum_of(multiply(copied[node], direction))
        return total

    inputs = [np.zeros(node.aval.shape, node.aval.dtype) for node in graph.inputs]
    outer = static(product, *inputs)
    return differentiate(outer, [outer.inputs[k].id for k in positions])


def replay(graph, recorder, operands):
    """The nodes of a graph emitted again into another one, as traced values by id."""
    made = {}
    for node in graph:
        if node.op.kind is Kind.INPUT:
            made[node.id] = operands[node.params["position"]]
        else:
            ids = tuple(made[i].id for i in node.inputs)
            made[node.id] = type(operands[0])(recorder, recorder.emit(node.op, ids, dict(node.params)))
    return made


def test_the_matrix_holds_every_op():
    without = {name for name, op in all_ops().items() if not op.samples}
    assert without == {"input", "constant", "iota", "lane", "with_derivative"}
