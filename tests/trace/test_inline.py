"""Inlining: a graph traced and differentiated on its own becomes part of another trace."""

import numpy as np
import pytest

from tracegrad.autodiff.reverse import differentiate
from tracegrad.core.aval import aval_of
from tracegrad.core.graph import Graph
from tracegrad.core.interpret import interpret
from tracegrad.core.verify import verify
from tracegrad.errors import ShapeError
from tracegrad.ops.sources import input as input_op
from tracegrad.symbolic import Recorder, Sym
from tracegrad.trace.inline import inline, prune

X = np.array([0.5, -1.0, 2.0])


def gradient_graph(tool):
    graph = tool.trace(lambda x: np.sum(x * np.tanh(x)), X).graph
    return differentiate(graph, [graph.inputs[0].id])


def test_a_gradient_inside_a_trace(tool):
    inner = gradient_graph(tool)
    outer = Graph()
    recorder = Recorder(outer, lambda: None)
    x = Sym(recorder, outer.emit(input_op, (), {"position": 0, "aval": aval_of(X)}))
    value, gradient = inline(inner, recorder, [x * 2])
    outer.freeze([(value * gradient).id])
    verify(outer, "inline")
    (result,) = interpret(outer, [X])
    y = 2 * X
    np.testing.assert_allclose(result, np.sum(y * np.tanh(y)) * (np.tanh(y) + y * (1 - np.tanh(y) ** 2)))


def test_arguments_of_another_shape_are_refused(tool):
    recorder = Recorder(Graph(), lambda: None)
    with pytest.raises(ShapeError, match=r"float64\[4\], but float64\[3\] was traced"):
        inline(gradient_graph(tool), recorder, [np.zeros(4)])


def test_equal_nodes_are_shared(tool):
    inner = gradient_graph(tool)
    outer = Graph()
    recorder = Recorder(outer, lambda: None)
    first = inline(inner, recorder, [X])
    size = len(outer)
    assert [s.id for s in inline(inner, recorder, [X])] == [s.id for s in first]
    assert len(outer) == size


def test_prune_keeps_the_leading_inputs():
    graph = Graph()
    inputs = [graph.emit(input_op, (), {"position": k, "aval": aval_of(X)}) for k in range(4)]
    pruned, later = prune(graph, [inputs[3]], 2)
    assert later == [3]
    assert [node.params["position"] for node in pruned.inputs] == [0, 1, 2]
    assert pruned.outputs == (pruned.inputs[2].id,)
