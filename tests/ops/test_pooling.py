import numpy as np
import pytest

from tracegrad.autodiff.reverse import differentiate
from tracegrad.core.aval import aval_of
from tracegrad.core.graph import Graph
from tracegrad.core.interpret import interpret
from tracegrad.core.op import Kind
from tracegrad.errors import ShapeError
from tracegrad.ops import sources
from tracegrad.ops.broadcasting import reduce_sum
from tracegrad.ops.pooling import avg_pool2d, max_pool2d
from tracegrad.symbolic import Recorder, Sym

CASES = [
    ((2, 3, 8, 8), 2, None, 0, 1),
    ((2, 3, 7, 9), 2, None, 0, 1),
    ((1, 2, 7, 8), 3, 2, 1, 1),
    ((1, 2, 9, 8), (3, 2), (2, 1), (1, 1), 1),
    ((1, 1, 9, 9), 3, 1, 1, 2),
    ((2, 1, 6, 6), 2, 2, 1, 1),
]


def gradient(function, x):
    """Gradient of sum(function(x)²/2) by the rules, run by the interpreter."""
    graph = Graph()
    recorder = Recorder(graph, lambda: None)
    leaf = Sym(recorder, graph.emit(sources.input, (), {"position": 0, "aval": aval_of(x)}))
    out = function(leaf)
    loss = reduce_sum(out * out, axes=tuple(range(len(out.shape)))) * 0.5
    graph.freeze([loss.id])
    return interpret(differentiate(graph, [leaf.id]), [x])[1]


@pytest.mark.parametrize(("shape", "window", "stride", "padding", "dilation"), CASES)
def test_max_pool_is_pytorchs(shape, window, stride, padding, dilation):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).permutation(float(1) * np.arange(np.prod(shape))).reshape(shape) - 20
    t = torch.tensor(x, requires_grad=True)
    expected = torch.nn.functional.max_pool2d(t, window, stride, padding, dilation)
    (expected * expected).sum().mul(0.5).backward()
    np.testing.assert_array_equal(max_pool2d(x, window, stride, padding, dilation), expected.detach().numpy())
    np.testing.assert_allclose(gradient(lambda v: max_pool2d(v, window, stride, padding, dilation), x), t.grad.numpy())


@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize(("shape", "window", "stride", "padding", "dilation"), CASES)
def test_average_pool_is_pytorchs(shape, window, stride, padding, dilation, counted):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).normal(size=shape)
    t = torch.tensor(x, requires_grad=True)
    expected = torch.nn.functional.avg_pool2d(t, window, stride, padding, count_include_pad=counted)
    (expected * expected).sum().mul(0.5).backward()
    ours = avg_pool2d(x, window, stride, padding, count_include_pad=counted)
    np.testing.assert_allclose(ours, expected.detach().numpy(), rtol=1e-13, atol=1e-14)
    pulled = gradient(lambda v: avg_pool2d(v, window, stride, padding, count_include_pad=counted), x)
    np.testing.assert_allclose(pulled, t.grad.numpy(), rtol=1e-12, atol=1e-14)


def test_max_pool_against_loops():
    x = np.random.default_rng(1).normal(size=(2, 7, 6))
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    expected = np.array(
        [[[padded[n, 2 * i : 2 * i + 3, j : j + 3].max() for j in range(6)] for i in range(4)] for n in range(2)]
    )
    np.testing.assert_array_equal(max_pool2d(x, 3, (2, 1), 1), expected)


def test_ties_share_the_cotangent():
    np.testing.assert_array_equal(gradient(lambda v: max_pool2d(v, 2), np.ones((2, 2))), np.full((2, 2), 0.25))


def test_windows_that_tile_are_a_reshape():
    graph = Graph()
    recorder = Recorder(graph, lambda: None)
    x = np.ones((1, 1, 4, 4))
    leaf = Sym(recorder, graph.emit(sources.input, (), {"position": 0, "aval": aval_of(x)}))
    max_pool2d(leaf, 2)
    assert [n.op.name for n in graph if n.op.kind is Kind.VIEW] == ["reshape"]


def test_dtype_stays():
    for dtype in (np.float32, np.float64):
        x = np.ones((1, 1, 4, 4), dtype)
        assert max_pool2d(x, 2, padding=1).dtype == dtype
        assert avg_pool2d(x, 2, padding=1).dtype == dtype
        assert avg_pool2d(x, 2, padding=1, count_include_pad=False).dtype == dtype
    assert max_pool2d(np.full((3, 3), -7), 2, padding=1).max() == -7


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((np.ones((1, 1, 2, 2)), 3), "does not fit"),
        ((np.ones(3), 2), "no height and width"),
        ((np.ones((4, 4)), 2, 2, 2), "more than half"),
        ((np.ones((4, 4)), 0), "window=0"),
        ((np.ones((4, 4)), (1, 2, 3)), "pair of ints"),
    ],
)
def test_errors_name_what_does_not_fit(arguments, match):
    with pytest.raises(ShapeError, match=match):
        max_pool2d(*arguments)


@pytest.mark.parametrize(("shape", "window", "stride", "padding"), [((1, 2, 7, 8), 3, 2, 1), ((1, 1, 5, 6), 2, None, 0)])
def test_ceil_mode_is_pytorchs(shape, window, stride, padding):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).normal(size=shape)
    t = torch.tensor(x, requires_grad=True)
    for ours, theirs, options in (
        (max_pool2d, torch.nn.functional.max_pool2d, {}),
        (avg_pool2d, torch.nn.functional.avg_pool2d, {"count_include_pad": True}),
        (avg_pool2d, torch.nn.functional.avg_pool2d, {"count_include_pad": False}),
    ):
        expected = theirs(t, window, stride, padding, ceil_mode=True, **options)
        t.grad = None
        (expected * expected).sum().mul(0.5).backward()
        np.testing.assert_allclose(
            ours(x, window, stride, padding, ceil_mode=True, **options), expected.detach().numpy(), rtol=1e-13, atol=1e-14
        )
        pulled = gradient(lambda v, ours=ours, o=options: ours(v, window, stride, padding, ceil_mode=True, **o), x)
        np.testing.assert_allclose(pulled, t.grad.numpy(), rtol=1e-12, atol=1e-14)


def test_ties_may_go_to_the_first():
    x = np.array([[2.0, 1.0, 2.0, 2.0], [2.0, 0.0, 1.0, 2.0]])
    g = gradient(lambda v: max_pool2d(v, 2, ties="first"), x)
    np.testing.assert_array_equal(g, [[2, 0, 2, 0], [0, 0, 0, 0]])
    g = gradient(lambda v: max_pool2d(v, 2, 1, ties="first"), x)
    np.testing.assert_array_equal(g, [[2, 0, 4, 0], [0, 0, 0, 0]])
    x[0, 1] = np.nan
    np.testing.assert_array_equal(gradient(lambda v: max_pool2d(v, 2, ties="first"), x)[0, 2:], [2, 0])
