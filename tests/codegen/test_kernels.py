"""Every op on every one of its samples, compiled: values and gradients equal the interpreter's.

All samples of an op are one program, so that the matrix costs two compiles per op. Ops without native code are refused;
where only the derivative needs one, the values are compiled.
"""

import numpy as np
import pytest

from tests.support import all_ops
from tracegrad.autodiff.reverse import differentiate
from tracegrad.core.aval import aval_of
from tracegrad.core.graph import Graph
from tracegrad.core.interpret import interpret
from tracegrad.decorators import jit
from tracegrad.errors import CompileError
from tracegrad.ops.maps import multiply
from tracegrad.ops.planes import FORMULAS
from tracegrad.ops.pullback import carries_gradient
from tracegrad.ops.reductions import sum as sum_of
from tracegrad.ops.sources import input as input_op
from tracegrad.pipeline import compile_graph, interpreted
from tracegrad.symbolic import Recorder, Sym

OPS = {name: op for name, op in all_ops().items() if any(s.error is None for s in op.samples)}
NATIVE = [name for name, op in OPS.items() if op.lower is not None]
OPAQUE = [name for name, op in OPS.items() if op.lower is None and op not in FORMULAS]
IN_PLANES = [name for name, op in OPS.items() if op.lower is None and op in FORMULAS]
# a few operations apart at most, each within 2 ulp of NumPy
TOLERANCE = {np.dtype(np.float64): 1e-13, np.dtype(np.float32): 3e-6}


def program_of(op, dtype):
    """A graph of all samples: their results, and a weighted sum of them as output 0; with arguments and float inputs."""
    graph = Graph()
    recorder = Recorder(graph, lambda: None)
    rng = np.random.default_rng(0)
    arguments, wrt, outputs, loss = [], [], [], None
    for sample in (s for s in op.samples if s.error is None):
        operands = []
        for position, values in enumerate(sample.operands):
            array = np.asarray(values.draw(rng, dtype))
            node = graph.emit(input_op, (), {"position": len(arguments), "aval": aval_of(array)})
            if array.dtype.kind == "f" and carries_gradient(op, position):
                wrt.append(node)
            arguments.append(array)
            operands.append(Sym(recorder, node))
        result = op(*operands, **sample.params)
        outputs.append(result)
        if result.dtype == dtype:
            part = sum_of(multiply(result, rng.uniform(0.5, 1.5, result.shape).astype(dtype)))
            loss = part if loss is None else loss + part
    if loss is None:
        return graph.freeze([o.id for o in outputs]), None, arguments
    return graph.freeze([loss.id, *(o.id for o in outputs)]), tuple(wrt) or None, arguments


@pytest.mark.parametrize("name", OPAQUE)
def test_without_native_code_is_refused(name):
    graph, _, _ = program_of(OPS[name], np.dtype(np.float64))
    with pytest.raises(CompileError, match=f'^{name} has no native code[^"]*compile="never"'):
        compile_graph(graph)


@pytest.mark.parametrize("name", IN_PLANES)
def test_compiled_in_planes(name):
    graph, _, arguments = program_of(OPS[name], np.dtype(np.float64))
    for result, want in zip(compile_graph(graph).run(arguments), interpret(graph, arguments), strict=True):
        np.testing.assert_allclose(result, want, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", NATIVE)
def test_compiled_is_interpreted(name, dtype):
    graph, wrt, arguments = program_of(OPS[name], np.dtype(dtype))
    joint = graph if wrt is None else differentiate(graph, wrt)
    if interpreted(joint):
        joint, wrt = graph, None
    compilation = compile_graph(graph, wrt)
    with np.errstate(all="ignore"):
        expected = interpret(joint, arguments)
    results = compilation.run(arguments)
    for result, value in zip(results, expected, strict=True):
        assert np.shape(result) == np.shape(value)
        assert np.asarray(result).dtype == np.asarray(value).dtype
        if np.asarray(value).dtype.kind == "f":
            scale = np.max(np.abs(value), initial=1.0)
            np.testing.assert_allclose(result, value, rtol=TOLERANCE[value.dtype], atol=TOLERANCE[value.dtype] * scale)
        else:
            np.testing.assert_array_equal(result, value)


def test_remainder_of_numbers_stands_beside_that_of_positions():
    x, y = np.linspace(1, 2, 36).reshape(3, 3, 4), np.linspace(0.5, 0.9, 12).reshape(3, 1, 4)
    np.testing.assert_array_equal(jit(np.remainder)(x, y), np.remainder(x, y))
