"""What tests of several rooms share: graphs without the tracer, gradients, finite differences, every declared op."""

import importlib
import pkgutil

import numpy as np

import tracegrad as tg
import tracegrad.ops
from tracegrad.autodiff.reverse import differentiate
from tracegrad.core.aval import aval_of
from tracegrad.core.graph import Graph
from tracegrad.core.interpret import interpret
from tracegrad.core.op import Op
from tracegrad.core.tree import flatten
from tracegrad.core.verify import verify
from tracegrad.ops.sources import input as input_op
from tracegrad.pipeline import STAGES, Compilation
from tracegrad.symbolic import Recorder, Sym


def static(function, *arrays):
    """The frozen, verified graph of a function on inputs of these arrays' shapes and dtypes; outputs in tree order."""
    graph = Graph()
    recorder = Recorder(graph, lambda: None)
    syms = []
    for position, array in enumerate(arrays):
        node = recorder.emit(input_op, (), {"position": position, "aval": aval_of(array)})
        syms.append(Sym(recorder, node))
    outputs, _ = flatten(function(*syms))
    return verify(graph.freeze([recorder.operand(output).id for output in outputs]), "trace")


def planned(function, *arrays, wrt=None, **settings):
    """A function through all stages but the last: up to its memory plan, uncompiled.

    ``wrt`` are positions of the arguments to differentiate with respect to.
    """
    forward = tg.jit(function, compile="never")._looked_up(arrays, {}).forward
    ids = None if wrt is None else tuple(forward.inputs[k].id for k in wrt)
    compilation = Compilation(forward, ids, **settings)
    for _, stage in STAGES[:-1]:
        compilation = stage(compilation)
    return compilation


def all_ops():
    """Every op declared in tracegrad.ops, by name."""
    found = {}
    for info in pkgutil.walk_packages(tracegrad.ops.__path__, "tracegrad.ops."):
        for value in vars(importlib.import_module(info.name)).values():
            if isinstance(value, Op):
                assert found.setdefault(value.name, value) is value, f"two ops are called {value.name}"
    return dict(sorted(found.items()))


def same(a, b):
    """Assert that two results have one structure, and leaves of equal classes, dtypes and values."""
    one, other = flatten(a), flatten(b)
    assert one[1] == other[1]
    for x, y in zip(one[0], other[0], strict=True):
        assert type(x) is type(y)
        assert np.asarray(x).dtype == np.asarray(y).dtype
        np.testing.assert_array_equal(x, y)


def central_difference(function, arrays, position, direction, step=1e-6):
    """The derivative of ``function(*arrays)`` along a direction in one operand, to the fourth order of the step."""
    arrays = list(arrays)

    def at(distance):
        moved = [*arrays[:position], arrays[position] + distance * direction, *arrays[position + 1 :]]
        return np.asarray(function(*moved), np.float64)

    near, far = at(step) - at(-step), at(2 * step) - at(-2 * step)
    return (8 * near - far) / (12 * step)


def gradients(function, *arrays):
    """The gradients of a scalar function with respect to each of its float arguments, by the interpreter."""
    graph = static(function, *arrays)
    wrt = [node.id for node in graph.inputs if node.aval.differentiable]
    joint = verify(differentiate(graph, wrt), "differentiate")
    return interpret(joint, arrays)[1:]
