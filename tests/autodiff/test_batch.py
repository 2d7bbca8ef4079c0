"""Every op on every one of its samples, mapped over a leading axis of each combination of its operands, against a loop."""

from itertools import product

import numpy as np
import pytest

from tests.ops.test_matrix import SMOOTH, VALID, applied, differentiable, draw, gradient_graph
from tests.support import static
from tracegrad.autodiff.batch import batch
from tracegrad.autodiff.reverse import differentiate
from tracegrad.core.interpret import interpret
from tracegrad.core.op import Kind, Mapped
from tracegrad.core.verify import verify
from tracegrad.ops.maps import multiply
from tracegrad.ops.reductions import sum as sum_of
from tracegrad.pipeline import compile_graph
from tracegrad.trace.inline import inline

SIZE = 3
FIRST = list({case.values[0]: case for case in reversed(VALID)}.values())
"""One sample of each op."""
# the gradient of an op that is applied as it is comes from the op's own rules, which have tests of their own
OWN = [
    case if isinstance(case.values[0].batch, Mapped) else pytest.param(*case.values, id=case.id, marks=pytest.mark.nightly)
    for case in SMOOTH
]
EXACT = (Kind.MAP, Kind.VIEW, Kind.INDEX, Kind.LINE)


@pytest.fixture(autouse=True)
def _quiet():
    with np.errstate(all="ignore"):
        yield


def combinations(sample):
    """Every choice of operands that have the axis, as flags."""
    return [flags for flags in product((True, False), repeat=len(sample.operands)) if any(flags)]


def each(sample, dtype=np.float64):
    """The operands of each element."""
    return [draw(sample, dtype, seed) for seed in range(SIZE)]


def stacked(elements, flags):
    """Arrays with the axis in front where a flag says so; the first element's operand for all elsewhere."""
    return [np.stack([x[k] for x in elements]) if flag else elements[0][k] for k, flag in enumerate(flags)]


def chosen(elements, flags):
    """For each element the operands that it has once those without the axis are shared."""
    return [[x[k] if flag else elements[0][k] for k, flag in enumerate(flags)] for x in elements]


def batched(op, sample, operands, flags, size=SIZE):
    graph = static(applied(op, sample), *operands)
    return verify(batch(graph, [k for k, flag in enumerate(flags) if flag], size), "differentiate")


def close(op, actual, expected):
    assert (actual.shape, actual.dtype) == (expected.shape, expected.dtype)
    if op.kind in EXACT:
        np.testing.assert_array_equal(actual, expected)
        return
    eps = 0 if actual.dtype.kind in "biu" else 400 * np.finfo(actual.dtype).eps
    scale = np.max(np.abs(expected), initial=0, where=np.isfinite(expected)) if eps else 0
    np.testing.assert_allclose(actual, expected, rtol=eps, atol=eps * scale)


# the rules do not look at dtypes, which the ops' own tests cover
@pytest.mark.parametrize("dtype", [pytest.param(np.float32, marks=pytest.mark.nightly), np.float64])
@pytest.mark.parametrize(("op", "sample"), VALID)
def test_mapped_op_is_a_loop(op, sample, dtype):
    elements = each(sample, dtype)
    for flags in combinations(sample):
        expected = np.stack([np.asarray(applied(op, sample)(*x)) for x in chosen(elements, flags)])
        (actual,) = interpret(batched(op, sample, elements[0], flags), stacked(elements, flags))
        close(op, np.asarray(actual), expected)


@pytest.mark.parametrize(("op", "sample"), FIRST)
def test_rules_take_arrays_of_no_elements_too(op, sample):
    operands = draw(sample)
    for flags in combinations(sample):
        empty = [np.zeros((0, *x.shape), x.dtype) if flag else x for x, flag in zip(operands, flags, strict=True)]
        (actual,) = interpret(batched(op, sample, operands, flags, 0), empty)
        expected = np.asarray(applied(op, sample)(*operands))
        assert (actual.shape, actual.dtype) == ((0, *expected.shape), expected.dtype)


@pytest.mark.parametrize(("op", "sample"), OWN)
def test_gradient_of_a_mapped_op_is_that_of_a_loop(op, sample):
    elements = each(sample)
    positions = differentiable(op, elements[0])
    if not positions:
        return
    for flags in combinations(sample):
        graph = batched(op, sample, elements[0], flags)
        given = stacked(elements, flags)
        single, weights = gradient_graph(op, sample, elements[0], positions)

        def total(*operands, graph=graph, weights=weights):
            (out,) = inline(graph, operands[0].recorder, operands)
            return sum_of(multiply(out, np.broadcast_to(weights, out.shape)))

        whole = static(total, *given)
        whole = verify(differentiate(whole, [whole.inputs[k].id for k in positions]), "differentiate")
        _, *actual = interpret(whole, given)
        loop = [interpret(single, x)[1:] for x in chosen(elements, flags)]
        for place, k in enumerate(positions):
            parts = np.stack([gradient[place] for gradient in loop])
            expected = parts if flags[k] else parts.sum(0)
            bound = 1e-12 * (1 + np.max(np.abs(parts), initial=0))
            np.testing.assert_allclose(actual[place], expected, rtol=1e-12, atol=bound)


# compiles up to seven programs for each sample: 8 minutes
@pytest.mark.nightly
@pytest.mark.parametrize(("op", "sample"), [case for case in VALID if case.values[0].lower is not None])
def test_mapped_op_compiles(op, sample):
    elements = each(sample)
    for flags in combinations(sample):
        graph = batched(op, sample, elements[0], flags)
        run = compile_graph(graph, native=True, threads=1).run
        given = stacked(elements, flags)
        (expected,), (actual,) = interpret(graph, given), run(given)
        rtol = 0 if op.kind in (Kind.VIEW, Kind.INDEX) else 4e-15
        np.testing.assert_allclose(actual, expected, rtol=rtol, atol=rtol * (1 + np.max(np.abs(expected), initial=0)))
