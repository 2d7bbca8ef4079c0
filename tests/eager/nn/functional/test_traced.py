"""Every case as a static graph: tensors without values go through the same functions and give the same numbers."""

import numpy as np
import pytest

from tests.eager.nn.functional.cases import CASES
from tracegrad import eager
from tracegrad.core.aval import aval_of
from tracegrad.core.graph import Graph
from tracegrad.core.interpret import interpret
from tracegrad.core.verify import verify
from tracegrad.eager.nn import functional
from tracegrad.eager.traced import TracedTensor
from tracegrad.ops.sources import input as input_op
from tracegrad.symbolic import Recorder, Sym


def traced(call, arrays):
    """The graph of a function of tensors."""
    graph = Graph()
    recorder = Recorder(graph, lambda: None)
    tensors = [
        TracedTensor(Sym(recorder, recorder.emit(input_op, (), {"position": k, "aval": aval_of(a)})))
        for k, a in enumerate(arrays)
    ]
    out = call(functional, *tensors)
    return verify(graph.freeze([recorder.operand(out._array).id]), "trace")


@pytest.mark.filterwarnings("ignore:reduction:UserWarning")
@pytest.mark.parametrize("name", CASES)
def test_a_traced_case_is_the_eager_one(name):
    call, operands = CASES[name]
    arrays = [a.astype(np.float32) if a.dtype.kind == "f" else a for a in operands]
    with np.errstate(all="ignore"):
        (found,) = interpret(traced(call, arrays), arrays)
    expected = call(functional, *(eager.tensor(a) for a in arrays)).numpy()
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_running_statistics_move_inside_a_trace():
    def call(F, x, mean, variance):
        mean, variance = mean * 1.0, variance * 1.0  # arguments themselves are never written to
        out = F.batch_norm(x, mean, variance, training=True)
        return out.sum() + mean.sum() * 10 + variance.sum() * 100

    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=(5, 3)), rng.normal(size=3), rng.random(3)]
    (found,) = interpret(traced(call, arrays), arrays)
    np.testing.assert_allclose(found, call(functional, *map(eager.tensor, arrays)).item(), rtol=1e-14)


def test_what_values_decide_is_refused():
    labels = np.array([0, 1])
    with pytest.raises(TypeError, match="one_hot without num_classes needs values"):
        traced(lambda F, y: F.one_hot(y), [labels])
    assert interpret(traced(lambda F, y: F.one_hot(y, 3), [labels]), [labels])[0].tolist() == [[1, 0, 0], [0, 1, 0]]
    # a label out of range cannot raise where it is not known yet
    scores = np.zeros((2, 3))
    graph = traced(lambda F, x, y: F.cross_entropy(x, y), [scores, labels])
    assert np.isnan(interpret(graph, [scores, labels + 2])[0])
