"""The schedule: kernels in an order that can run, and how memory is shared between them."""

from dataclasses import replace

import numpy as np
import pytest

from tests.support import static
from tracegrad.autodiff.reverse import differentiate
from tracegrad.functional import cross_entropy
from tracegrad.ops.maps import sqrt, tanh
from tracegrad.rewrite.engine import rewrite
from tracegrad.schedule.cost import node_flops
from tracegrad.schedule.plan import schedule, verify_program
from tracegrad.schedule.program import Level


def gradient_program(function, *arrays):
    graph = static(function, *arrays)
    return schedule(rewrite(differentiate(graph, [graph.inputs[0].id])))


def two_layers(w, x):
    return ((x @ w) @ w).sum()


def test_programs_can_run_in_their_order():
    program = gradient_program(two_layers, np.ones((4, 4)), np.ones((3, 4)))
    assert verify_program(program) is program
    assert len(program.kernels) > 2


@pytest.mark.parametrize(("depth", "most"), [(40, 2000), (110, 300)])
def test_long_chains_of_maps_are_cut_and_shorter_ones_are_one_kernel(depth, most):
    def loss(x):
        for _ in range(depth):
            x = sqrt(tanh(x) * x + 1.0)
        return x.sum()

    program = gradient_program(loss, np.ones(5))
    sizes = [len(kernel.nodes) for kernel in program.kernels]
    assert max(sizes) <= most
    assert len(sizes) == max(1, -(-sum(sizes) // most))  # time to compile is linear in the pieces, and each is full


def test_a_kernel_that_runs_too_early_is_found():
    program = gradient_program(two_layers, np.ones((4, 4)), np.ones((3, 4)))
    with pytest.raises(AssertionError, match="before it is stored"):
        verify_program(replace(program, kernels=program.kernels[::-1]))
    with pytest.raises(AssertionError, match="result is not computed"):
        verify_program(replace(program, kernels=program.kernels[:-1]))


def test_softmax_cross_entropy_is_one_kernel_of_three_passes():
    program = gradient_program(lambda x, y: cross_entropy(x, y), np.ones((8, 5)), np.zeros(8, np.int64))
    (kernel,) = program.kernels
    assert kernel.part.axes == (1,)
    assert len(kernel.part.loops) == 3
    assert Level.TOTAL in kernel.part.levels.values()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_column_sums_and_row_sums_share_loops(order):
    program = schedule(rewrite(static(lambda x: [x.sum(axis=k) for k in order], np.ones((3, 4)))))
    (kernel,) = program.kernels
    assert kernel.part.axes == (1,)
    assert sorted(level.value for level in kernel.part.levels.values()) == ["column", "row"]


def test_a_map_of_column_sums_is_not_in_the_loop_that_makes_them():
    program = schedule(rewrite(static(lambda x: [x / x.sum(axis=0), x.sum(axis=1)], np.ones((3, 4)))))
    assert verify_program(program) is program
    assert len(program.kernels) == 2


@pytest.mark.parametrize(
    ("left", "right", "products"),
    [((6, 5), (5, 4), 6 * 5 * 4), ((3, 6, 5), (3, 5, 4), 3 * 6 * 5 * 4), ((2, 3, 6, 5), (2, 3, 5, 4), 6 * 6 * 5 * 4)],
)
def test_the_operations_of_products_are_counted_in_stacks_too(left, right, products):
    graph = rewrite(static(lambda a, b: a @ b, np.ones(left), np.ones(right)))
    node = next(node for node in graph if node.op.name == "matmul")
    assert node_flops(graph, node) == pytest.approx(2 * products)
