"""The structure of derivatives of every op on every one of its samples, against their dense Jacobians."""

import numpy as np
import pytest

from tests.ops.test_matrix import SMOOTH, applied, differentiable, draw
from tests.support import static
from tracegrad.autodiff.batch import batch
from tracegrad.autodiff.linear import linear_map
from tracegrad.autodiff.pattern import coloured, structure_of
from tracegrad.core.interpret import interpret
from tracegrad.core.op import Kind
from tracegrad.trace.inline import prune


@pytest.fixture(autouse=True)
def _quiet():
    with np.errstate(all="ignore"):
        yield


# reverse mode is of the same ops
@pytest.mark.parametrize("forward", [True, pytest.param(False, marks=pytest.mark.nightly)], ids=["forward", "reverse"])
@pytest.mark.parametrize(("op", "sample"), SMOOTH)
def test_what_is_not_in_the_structure_is_zero(op, sample, forward):
    operands = draw(sample)
    for position in differentiable(op, operands):
        graph = static(applied(op, sample), *operands)
        if not graph[graph.outputs[0]].aval.differentiable:
            continue
        joint, part, residuals = linear_map(graph, [graph.inputs[position].id], graph.outputs, forward)
        values = interpret(prune(joint.freeze(()), residuals, len(operands))[0], operands)
        (end,) = part.inputs[len(residuals) :]
        structure = structure_of(part, [end.id], {})
        whole = batch(part, [len(residuals)], end.aval.size)
        units = np.eye(end.aval.size).reshape(-1, *end.aval.shape) if end.aval.size else np.zeros((0, *end.aval.shape))
        (columns,) = interpret(whole, [*values, units])
        dense = np.asarray(columns).reshape(end.aval.size, structure.shape[0]).T != 0
        assert not np.any(dense & (structure.toarray() == 0))
        if op.kind in (Kind.VIEW, Kind.REDUCE) and op.name in ("slice", "transpose", "concatenate", "sum", "embed", "windows"):
            np.testing.assert_array_equal(structure.toarray() != 0, dense)


def test_columns_of_one_colour_share_no_row():
    scipy_sparse = pytest.importorskip("scipy.sparse")
    structure = scipy_sparse.random_array((40, 60), density=0.05, format="csr", rng=np.random.default_rng(0))
    structure.data[:] = 1
    colours, count = coloured(structure)
    assert count == colours.max() + 1 >= structure.sum(1).max()
    for colour in range(count):
        assert structure[:, colours == colour].sum(1).max() <= 1
