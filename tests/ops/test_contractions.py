import numpy as np
import pytest

from tracegrad.autodiff.reverse import differentiate
from tracegrad.core.aval import aval_of
from tracegrad.core.graph import Graph
from tracegrad.core.interpret import interpret
from tracegrad.core.verify import verify
from tracegrad.errors import ShapeError
from tracegrad.ops import sources
from tracegrad.ops.broadcasting import reduce_sum
from tracegrad.ops.contractions import dot, inner, matmul, matmul_batched, outer, tensordot, vdot
from tracegrad.symbolic import Recorder, Sym

RNG = np.random.default_rng(0)


def traced(function, *arrays):
    """The graph of Σ function(…)²/2 and the ids of its inputs."""
    graph = Graph()
    recorder = Recorder(graph, lambda: None)
    leaves = [Sym(recorder, graph.emit(sources.input, (), {"position": k, "aval": aval_of(a)})) for k, a in enumerate(arrays)]
    out = function(*leaves)
    loss = reduce_sum(out * out, axes=tuple(range(len(out.shape)))) * 0.5
    return graph.freeze([loss.id, out.id]), [leaf.id for leaf in leaves]


def check_gradient(function, *arrays):
    """Value against NumPy's own, gradient against central differences."""
    graph, leaves = traced(function, *arrays)
    joint = verify(differentiate(graph, leaves), "differentiate")
    _, out, *gradients = interpret(joint, arrays)
    np.testing.assert_allclose(out, function(*arrays), rtol=1e-12)
    step = 1e-6
    for k, gradient in enumerate(gradients):
        assert np.shape(gradient) == arrays[k].shape
        for place in np.ndindex(arrays[k].shape):
            ends = []
            for sign in (1, -1):
                moved = [np.array(a) for a in arrays]
                moved[k][place] += sign * step
                ends.append(0.5 * np.sum(function(*moved) ** 2))
            np.testing.assert_allclose(gradient[place], (ends[0] - ends[1]) / (2 * step), rtol=1e-5, atol=1e-7)


RANKS = [
    ((3,), (3,)),
    ((3,), (3, 2)),
    ((2, 3), (3,)),
    ((2, 3), (3, 2)),
    ((3,), (2, 3, 2)),
    ((2, 2, 3), (3,)),
    ((2, 2, 3), (3, 2)),
    ((2, 3), (2, 3, 2)),
    ((2, 2, 3), (2, 3, 2)),
    ((2, 1, 2, 3), (3, 3, 1)),
    ((1, 2, 3), (2, 3, 2)),
]


@pytest.mark.parametrize(("x_shape", "y_shape"), RANKS)
def test_matmul_pairs_ranks_as_numpy(x_shape, y_shape):
    x, y = RNG.normal(size=x_shape), RNG.normal(size=y_shape)
    result = matmul(x, y)
    assert np.shape(result) == np.shape(np.matmul(x, y))
    np.testing.assert_allclose(result, np.matmul(x, y), rtol=1e-13)
    check_gradient(matmul, x, y)


@pytest.mark.parametrize("dtypes", [("int64", "int64"), ("float32", "float64"), ("int32", "float32"), ("bool", "bool")])
def test_dtypes_promote_as_numpys(dtypes):
    x, y = np.ones((2, 3), dtypes[0]), np.ones((3, 2), dtypes[1])
    assert matmul(x, y).dtype == np.matmul(x, y).dtype
    np.testing.assert_array_equal(matmul(x, y), np.matmul(x, y))


def test_a_sum_over_nothing_is_zero():
    np.testing.assert_array_equal(matmul(np.ones((2, 0)), np.ones((0, 3))), np.zeros((2, 3)))
    assert matmul(np.ones(0), np.ones(0)) == 0


@pytest.mark.parametrize(
    ("x_shape", "y_shape"), [((), (3,)), ((3,), (3,)), ((2, 3), (3, 2)), ((2, 3), (4, 3, 2)), ((2, 2, 3), (3,))]
)
def test_dot_is_numpys(x_shape, y_shape):
    x, y = RNG.normal(size=x_shape), RNG.normal(size=y_shape)
    np.testing.assert_allclose(dot(x, y), np.dot(x, y), rtol=1e-13)
    check_gradient(dot, x, y)


@pytest.mark.parametrize(("x_shape", "y_shape"), [((3,), ()), ((3,), (3,)), ((2, 3), (4, 3)), ((2, 3), (2, 2, 3))])
def test_inner_is_numpys(x_shape, y_shape):
    x, y = RNG.normal(size=x_shape), RNG.normal(size=y_shape)
    np.testing.assert_allclose(inner(x, y), np.inner(x, y), rtol=1e-13)


def test_outer_and_vdot_flatten():
    x, y = RNG.normal(size=(2, 2)), RNG.normal(size=(4, 1))
    np.testing.assert_allclose(outer(x, y), np.outer(x, y))
    np.testing.assert_allclose(vdot(x, y), np.vdot(x, y), rtol=1e-13)
    check_gradient(outer, x, y)
    check_gradient(vdot, x, y)


@pytest.mark.parametrize(
    ("x_shape", "y_shape", "axes"),
    [
        ((2, 3), (3, 2), 1),
        ((2, 3), (2, 3), ((0, 1), (0, 1))),
        ((2, 3, 4), (4, 3, 2), ((1, 2), (1, 0))),
        ((2, 3), (3, 2), (-1, 0)),
        ((2,), (3,), 0),
    ],
)
def test_tensordot_is_numpys(x_shape, y_shape, axes):
    x, y = RNG.normal(size=x_shape), RNG.normal(size=y_shape)
    np.testing.assert_allclose(tensordot(x, y, axes), np.tensordot(x, y, axes), rtol=1e-12)


def test_a_stack_times_a_matrix_is_one_product():
    graph, _ = traced(matmul, np.ones((5, 2, 3)), np.ones((3, 4)))
    [product] = [n for n in graph if n.op is matmul_batched]
    assert product.aval.shape == (10, 4)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (
            lambda: matmul(np.ones((3, 4)), np.ones((5, 6))),
            r"\(3, 4\) and \(5, 6\): axis 1 of the first has 4 .* axis 0",
        ),
        (lambda: matmul(np.ones(3), np.ones(4)), "axis 0 of the first has 3 .* axis 0 of the second has 4"),
        (lambda: matmul(np.ones((2, 3, 4)), np.ones((3, 4, 5))), r"batch axes \(2,\) and \(3,\) do not broadcast"),
        (lambda: matmul(np.ones(()), np.ones(3)), r"x \* y"),
        (lambda: dot(np.ones((2, 3)), np.ones((2, 2, 2))), "dot of shapes"),
        (lambda: inner(np.ones((2, 3)), np.ones((3, 2))), "axis 1 of the second has 2"),
        (lambda: vdot(np.ones(3), np.ones(4)), "vdot"),
        (lambda: tensordot(np.ones((2, 3)), np.ones((2, 3)), 1), "tensordot of shapes"),
        (lambda: tensordot(np.ones((2, 3)), np.ones((2, 3)), ((0, 0), (0, 1))), "each once"),
        (lambda: tensordot(np.ones(3), np.ones(3), 2), "no more axes"),
    ],
)
def test_errors_name_shapes_and_axes(call, match):
    with pytest.raises(ShapeError, match=match):
        call()
