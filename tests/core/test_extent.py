"""Extents keep two sizes apart: the one that is compared and the one that is there."""

import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tracegrad as tg
from tests.support import all_ops, static
from tracegrad.autodiff.reverse import differentiate
from tracegrad.codegen.render import generate
from tracegrad.core.aval import broadcast_shapes
from tracegrad.core.extent import Extent
from tracegrad.core.graph import Graph
from tracegrad.core.interpret import interpret
from tracegrad.core.op import Kind
from tracegrad.errors import ShapeError, TracegradError
from tracegrad.ops import reductions, views
from tracegrad.ops.unit_axes import many_of_one, plain_sizes
from tracegrad.rewrite.engine import rewrite
from tracegrad.schedule.plan import schedule, verify_program

ONE = Extent.of(1, 2)


@given(st.lists(st.tuples(st.sampled_from("+-*/%r"), st.integers(1, 9)), max_size=6))
def test_both_sizes_go_through_arithmetic(steps):
    act = {
        "+": lambda a, b: a + b,
        "-": lambda a, b: a - b,
        "*": lambda a, b: b * a,
        "/": lambda a, b: a // b,
        "%": lambda a, b: a % b,
        "r": lambda a, b: b - a,
    }
    both, one, two = ONE, 1, 2
    for name, number in steps:
        both, one, two = (act[name](n, number) for n in (both, one, two))
    assert int(both) == one
    assert getattr(both, "seen", one) == two


def test_what_is_compared_and_what_is_used():
    assert ONE != 1
    assert ONE != 2
    assert ONE > 1
    assert max(1, ONE) is ONE
    assert (ONE,) not in {(1,): 0, (2,): 0}
    assert math.prod((ONE, 20)) == ONE * 20
    assert np.empty((ONE, 3)).shape == (1, 3)
    assert np.array([ONE * 20]).tolist() == [20]
    assert list(range(ONE)) == [0]
    assert f"{ONE}" == "1"
    assert 2.5 * ONE == 2.5
    assert [Extent.of(0, 20)] == [20 // (ONE - 1)]
    assert pickle.loads(pickle.dumps(ONE)) == ONE
    assert broadcast_shapes((ONE, 1), (20,)) == (ONE, 20)


def extents(function, *arguments):
    """For each output axis of the traced graph whether it has become one of many."""
    graph, _ = many_of_one(tg.jit(function, compile="never").graph(*arguments))
    return [[isinstance(n, Extent) for n in graph[i].aval.shape] for i in graph.outputs]


@pytest.mark.parametrize(
    ("function", "shapes", "expected"),
    [
        (np.tanh, [(1,)], [[True]]),
        (lambda x: x + 2.0, [(1, 20)], [[True, False]]),
        (lambda x: np.tanh(x.T), [(1, 5)], [[False, True]]),
        (lambda x: np.exp(x - np.max(x, axis=1, keepdims=True)), [(1, 20)], [[True, False]]),
        (lambda x, y: (x * y, 2.0 * y), [(20, 3), (1, 3)], [[False, False], [False, False]]),
        (lambda x, y: (2.0 * x, 2.0 * np.tanh(y) + np.arange(4.0)), [(1,), (1,)], [[True], [False]]),
        (lambda x, y: x @ y, [(1, 20), (20,)], [[True]]),
        (lambda x, y: x @ y, [(1, 20), (20, 4)], [[False, False]]),
        (lambda x, y: x[:, None] + y, [(3,), (1,)], [[False, False]]),
        (lambda x: np.reshape(np.tanh(x), (1, 20)), [(1, 4, 5)], [[True, False]]),
        (lambda x: np.reshape(np.tanh(x), (20,)), [(1, 4, 5)], [[False]]),
        (lambda x: np.concatenate([x, x * 2.0]), [(1,)], [[False]]),
    ],
)
def test_which_axes_are_data(function, shapes, expected):
    assert extents(function, *(np.ones(s) for s in shapes)) == expected


def test_plain_sizes_come_back():
    graph = tg.grad_compile(lambda x: np.sum(np.tanh(x) ** 2), compile="never").graph(np.ones((1, 3)))
    general, new = many_of_one(graph)
    assert general is not graph
    assert set(new) == {n.id for n in graph}
    again = plain_sizes(general)
    assert [n.aval for n in again] == [int_shape(n.aval) for n in general]
    assert not any(isinstance(n, Extent) for node in again for n in node.aval.shape)
    base = Graph(again)
    assert base.emit(again[1].op, again[1].inputs, again[1].params) == 1


@pytest.mark.parametrize(
    ("function", "shape"),
    [
        (lambda x: np.sum(np.tanh(x.T) * 2.0), (1, 1)),
        (lambda x: np.sum(np.tanh(x.T) * 2.0), (1, 1, 1)),
        (lambda x: np.sum(x @ x * 0.5), (1, 1)),
        (lambda x: np.tanh(x) @ (x * x), (1,)),
        (lambda x: np.sum((x @ x[0]) ** 2), (1, 1)),
    ],
)
def test_one_element_in_every_place(function, shape):
    x = np.full(shape, 0.3)
    value, gradient = tg.grad_compile(function, compile="never").value_and_grad(x)
    assert value == pytest.approx(function(x), rel=1e-14)
    step = 1e-6
    assert gradient.sum() == pytest.approx((function(x + step) - function(x - step)) / (2 * step), rel=1e-8)


OPS = {name: op for name, op in all_ops().items() if op.kind in (Kind.MAP, Kind.VIEW, Kind.REDUCE, Kind.CONTRACT)}


@pytest.mark.parametrize("name", OPS)
def test_every_op_on_a_batch_of_one(name):
    """Value and gradient are the same, and have kernels, with axes of one element and with those axes as axes of many."""
    op, rng = OPS[name], np.random.default_rng(0)
    for sample in op.samples:
        operands = [values.draw(rng, "float64") for values in sample.operands]
        arrays = [x[:1] if x.ndim else x for x in operands if x.dtype.kind != "c"]
        if sample.error or len(arrays) < len(operands):
            continue
        try:
            graph = static(lambda *xs, sample=sample: reductions.sum(op(*xs, **sample.params) * 1.5), *arrays)
        except (TracegradError, IndexError):
            continue  # the parameters are those of the longer operands
        general, new = many_of_one(graph)
        if general is graph:
            continue
        wrt = [node.id for node in graph.inputs if node.aval.differentiable]
        joint = graph, general
        if sample.smooth and wrt:
            joint = differentiate(graph, wrt), differentiate(general, [new[i] for i in wrt])
        short, long = (rewrite(g) for g in joint)
        for a, b in zip(interpret(short, arrays), interpret(plain_sizes(long), arrays), strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-9, atol=1e-12)
        if all(node.op.lower is not None or not node.inputs for node in long):
            generate(verify_program(schedule(long)))


def test_a_rule_that_loses_what_a_size_is_seen_as(monkeypatch):
    monkeypatch.setattr(views, "whole_size", int)
    compiled = tg.grad_compile(lambda x: np.sum(np.tanh(x.T) * 2.0), compile="never")
    with tg.config.override(verify=True), pytest.raises(ShapeError):
        compiled.grad(np.ones((1, 1)))
    with tg.config.override(verify=False):
        assert compiled.grad(np.zeros((1, 1))).tolist() == [[2.0]]


def int_shape(aval):
    return type(aval)(tuple(int(n) for n in aval.shape), aval.dtype)
