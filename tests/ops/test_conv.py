import itertools

import numpy as np
import pytest

from tracegrad.autodiff.reverse import differentiate
from tracegrad.core.aval import aval_of
from tracegrad.core.graph import Graph
from tracegrad.core.interpret import interpret
from tracegrad.errors import ShapeError
from tracegrad.ops import sources
from tracegrad.ops.broadcasting import reduce_sum
from tracegrad.ops.conv import conv2d, convolve, convolve_input_gradient, convolve_weight_gradient
from tracegrad.symbolic import Recorder, Sym

RNG = np.random.default_rng(0)
GRID = [
    {"strides": s, "padding": p, "dilations": d, "groups": g}
    for s, p, d, g in itertools.product(((1, 1), (2, 3)), (((0, 0), (0, 0)), ((2, 0), (1, 3))), ((1, 1), (2, 1)), (1, 2))
]


def by_definition(x, w, strides, padding, dilations, groups):
    """The trilinear form's definition, one product at a time."""
    (top, bottom), (left, right) = padding
    reach = [(k - 1) * d + 1 for k, d in zip(w.shape[2:], dilations, strict=True)]
    height = (x.shape[2] + top + bottom - reach[0]) // strides[0] + 1
    width = (x.shape[3] + left + right - reach[1]) // strides[1] + 1
    out = np.zeros((len(x), len(w), height, width))
    per_group = len(w) // groups
    for n, o, i, j, c, p, q in itertools.product(*map(range, (*out.shape, *w.shape[1:]))):
        y, z = i * strides[0] + p * dilations[0] - top, j * strides[1] + q * dilations[1] - left
        if 0 <= y < x.shape[2] and 0 <= z < x.shape[3]:
            out[n, o, i, j] += x[n, o // per_group * w.shape[1] + c, y, z] * w[o, c, p, q]
    return out


@pytest.mark.parametrize("params", GRID)
def test_the_three_ops_are_one_form(params):
    x, w = RNG.normal(size=(2, 4, 6, 5)), RNG.normal(size=(4, 4 // params["groups"], 3, 2))
    out = by_definition(x, w, **params)
    np.testing.assert_allclose(convolve(x, w, **params), out, atol=1e-13)
    g = RNG.normal(size=out.shape)
    x_bar = convolve_input_gradient(g, w, sizes=(6, 5), **params)
    w_bar = convolve_weight_gradient(x, g, window=(3, 2), **params)
    assert x_bar.shape == x.shape
    assert w_bar.shape == w.shape
    dx, dw = RNG.normal(size=x.shape), RNG.normal(size=w.shape)
    np.testing.assert_allclose(np.vdot(x_bar, dx), np.vdot(g, by_definition(dx, w, **params)), atol=1e-11)
    np.testing.assert_allclose(np.vdot(w_bar, dw), np.vdot(g, by_definition(x, dw, **params)), atol=1e-11)


@pytest.mark.parametrize("stride", [1, 2, (2, 1)])
@pytest.mark.parametrize("padding", [0, 1, (2, 1), "valid"])
@pytest.mark.parametrize(("dilation", "groups"), [(1, 1), (2, 1), ((1, 2), 2)])
def test_arguments_mean_what_they_mean_in_pytorch(stride, padding, dilation, groups):
    torch = pytest.importorskip("torch")
    x, w, b = RNG.normal(size=(2, 4, 7, 6)), RNG.normal(size=(6, 4 // groups, 3, 2)), RNG.normal(size=6)
    expected = torch.nn.functional.conv2d(*map(torch.tensor, (x, w, b)), stride, padding, dilation, groups)
    ours = conv2d(x, w, b, stride, padding, dilation, groups)
    np.testing.assert_allclose(ours, expected.numpy(), atol=1e-12)


@pytest.mark.parametrize("kernel", [(3, 3), (2, 4), (1, 5)])
def test_padding_same_keeps_the_size(kernel):
    torch = pytest.importorskip("torch")
    x, w = RNG.normal(size=(1, 2, 7, 6)), RNG.normal(size=(2, 2, *kernel))
    ours = conv2d(x, w, padding="same", dilation=2)
    assert ours.shape == x.shape
    expected = torch.nn.functional.conv2d(torch.tensor(x), torch.tensor(w), padding="same", dilation=2)
    np.testing.assert_allclose(ours, expected.numpy(), atol=1e-12)


def test_first_and_second_derivatives_are_pytorchs():
    torch = pytest.importorskip("torch")
    x, w, g = RNG.normal(size=(2, 2, 6, 5)), RNG.normal(size=(4, 1, 3, 2)), RNG.normal(size=(2, 4, 3, 4))
    graph = Graph()
    recorder = Recorder(graph, lambda: None)
    leaves = [Sym(recorder, graph.emit(sources.input, (), {"position": k, "aval": aval_of(a)})) for k, a in enumerate((x, w))]
    out = conv2d(*leaves, stride=(2, 1), padding=((1, 0), (0, 0)), groups=2)
    total = reduce_sum(out * out * g, axes=(0, 1, 2, 3))
    first = differentiate(graph.freeze([total.id]), [leaf.id for leaf in leaves])
    # Σ x̄² + Σ w̄², differentiated again
    again = Graph(first)
    recorder = Recorder(again, lambda: None)
    bars = [Sym(recorder, i) for i in first.outputs[1:]]
    squares = [reduce_sum(b * b, axes=(0, 1, 2, 3)) for b in bars]
    second = differentiate(again.freeze([(squares[0] + squares[1]).id]), [leaf.id for leaf in leaves])

    tx, tw = torch.tensor(x, requires_grad=True), torch.tensor(w, requires_grad=True)
    padded = torch.nn.functional.pad(tx, (0, 0, 1, 0))
    loss = (torch.nn.functional.conv2d(padded, tw, stride=(2, 1), groups=2) ** 2 * torch.tensor(g)).sum()
    expected = torch.autograd.grad(loss, (tx, tw), create_graph=True)
    expected_second = torch.autograd.grad(sum((e * e).sum() for e in expected), (tx, tw))
    for ours, theirs in zip(interpret(first, [x, w])[1:], expected, strict=True):
        np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-10, atol=1e-10)
    for ours, theirs in zip(interpret(second, [x, w])[1:], expected_second, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-10, atol=1e-9)


def test_one_image_and_whole_numbers():
    x, w = np.arange(16).reshape(1, 4, 4), np.ones((2, 1, 2, 2), int)
    out = conv2d(x, w)
    assert out.shape == (2, 3, 3)
    assert out.dtype == x.dtype
    assert out[0, 0, 0] == 0 + 1 + 4 + 5
    assert conv2d(np.ones((1, 1, 3, 3), np.float32), np.ones((1, 1, 3, 3), np.float32)).dtype == np.float32


IMAGE, KERNEL = np.ones((1, 3, 5, 5)), np.ones((4, 3, 3, 3))


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"x": np.ones((1, 4, 5, 5))}, "has 4 channels.*groups=1 takes 3"),
        ({"groups": 2}, "has 3 channels.*groups=2 takes 6"),
        ({"groups": 3}, "4 output channels, not a multiple of groups=3"),
        ({"x": np.ones((1, 3, 2, 5))}, "reaches over 3 elements, but the padded input has 2"),
        ({"dilation": 3}, "reaches over 7"),
        ({"x": np.ones((3, 3))}, "x has shape"),
        ({"w": np.ones((3, 3, 3))}, "w has shape"),
        ({"bias": np.ones(3)}, "bias of shape"),
        ({"stride": 0}, "stride=0"),
        ({"padding": "full"}, "padding='full'"),
        ({"padding": "same", "stride": 2}, "same"),
        ({"padding": -1}, "padding=-1"),
        ({"padding": (1, 2, 3)}, "pair of ints"),
    ],
)
def test_errors_say_what_does_not_fit(arguments, match):
    with pytest.raises(ShapeError, match=match):
        conv2d(**{"x": IMAGE, "w": KERNEL, **arguments})
