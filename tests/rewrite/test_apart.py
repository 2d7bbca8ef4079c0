"""Short last axes are taken apart where they keep long loops from being vectors, and nowhere else."""

import numpy as np
import pytest

import tracegrad as tg
from tests.support import static
from tracegrad.autodiff.reverse import differentiate
from tracegrad.core.interpret import interpret
from tracegrad.rewrite.engine import rewrite
from tracegrad.rewrite.rules.apart import take_apart
from tracegrad.schedule.plan import schedule


def potential(x, masses):
    away = x[:, None, :] - x[None, :, :]
    distance = ((away**2).sum(axis=-1) + 0.1) ** 0.5
    return (masses[:, None] * masses[None, :] / distance).sum()


def bodies(n, d):
    draw = np.random.default_rng(0)
    return draw.normal(size=(n, d)), draw.uniform(0.5, 1.5, n)


@pytest.mark.parametrize("d", [2, 3, 4])
def test_pairs_of_points_are_one_kernel_over_pairs(d):
    x, masses = bodies(7, d)
    graph = static(potential, x, masses)
    joint = differentiate(graph, [graph.inputs[0].id])
    apart = rewrite(joint)
    assert not any(node.aval.ndim == 3 and node.inputs and node.op.kind.name == "MAP" for node in apart)
    copies, pairs = [k for k in schedule(apart).kernels if k.part is not None and apart[max(k.nodes)].aval.shape != (7, d)][:2]
    assert (copies.part.shape, len(copies.nodes)) == ((7,), d)
    assert pairs.part.shape == (7, 7)
    assert sum(k.part.shape == (7, 7) for k in schedule(apart).kernels) == 1
    for got, expected in zip(interpret(apart, [x, masses]), interpret(joint, [x, masses]), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-13, atol=1e-13)


def test_compiled_pairs_of_points_are_numpys():
    x, masses = bodies(70, 3)
    value, gradient = tg.grad_compile(potential).value_and_grad(x, masses)
    np.testing.assert_allclose(value, potential(x, masses), rtol=1e-13)
    away = x[:, None, :] - x[None, :, :]
    pull = masses[:, None] * masses[None, :] / (np.sum(away**2, axis=-1) + 0.1) ** 1.5
    np.testing.assert_allclose(gradient, -2.0 * np.sum(pull[:, :, None] * away, axis=1), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("axes", [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)])
def test_sums_over_any_axes(axes):
    x, y = np.random.default_rng(0).normal(size=(2, 5, 6, 3))
    graph = rewrite(static(lambda a, b: [(a * (b * b + 1)).sum(axis=2), (b * b + a).sum(axis=axes)], x, y))
    first, second = interpret(graph, [x, y])
    np.testing.assert_allclose(first, np.sum(x * (y * y + 1), axis=2), rtol=1e-13)
    np.testing.assert_allclose(second, np.sum(y * y + x, axis=axes), rtol=1e-13)
    assert not any(node.aval.ndim == 3 and node.op.kind.name == "MAP" for node in graph)


def test_what_is_stored_whole_stays_whole():
    x, y = np.ones((2, 5, 6, 3))
    both = rewrite(static(lambda a, b: [a * (b * b + 1), (a * (b * b + 1)).sum(axis=2)], x, y))
    assert take_apart(both) is None
    assert any(node.aval.shape == (5, 6, 3) and node.op.name == "multiply" for node in both)
    assert take_apart(rewrite(static(lambda a, b: (a * b).sum(axis=0), x, y))) is None
    assert take_apart(rewrite(static(lambda a, b: (a * b).sum(axis=1), *np.ones((2, 6, 3))))) is None
