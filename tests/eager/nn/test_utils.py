"""Clipping, parameters as vectors, padded sequences."""

import math

import numpy as np
import pytest

import tracegrad.eager as tg
from tracegrad.eager import nn
from tracegrad.eager.nn import utils


def with_gradients(*gradients, dtype=None):
    found = []
    for g in gradients:
        p = nn.Parameter(tg.zeros(len(g), dtype=dtype or tg.float32))
        p.grad = tg.tensor(g, dtype=dtype or tg.float32)
        found.append(p)
    return found


def test_clip_grad_norm_():
    ps = [*with_gradients([3.0, 0.0], [4.0], dtype=tg.float64), nn.Parameter(tg.zeros(2))]
    kept = ps[0].grad
    assert utils.clip_grad_norm_(ps, 1.0).item() == 5.0
    assert ps[0].grad is kept
    # PyTorch's values: it divides by norm + 1e-6
    np.testing.assert_allclose(kept.numpy(), [0.59999988, 0.0], atol=1e-8)
    np.testing.assert_allclose(ps[1].grad.numpy(), [0.79999984], atol=1e-8)
    assert utils.clip_grad_norm_(iter(ps), 10.0).item() == pytest.approx(1.0, abs=1e-6)
    np.testing.assert_allclose(kept.numpy(), [0.59999988, 0.0], atol=1e-8)


@pytest.mark.parametrize("p", [1, 1.5, 2, math.inf, 0])
def test_norms_are_pytorchs(p):
    torch = pytest.importorskip("torch")
    numbers = [[3.0, -1.0, 0.5], [4.0, 0.0]]
    ours = with_gradients(*numbers)
    theirs = [torch.nn.Parameter(torch.zeros(len(g))) for g in numbers]
    for t, g in zip(theirs, numbers, strict=True):
        t.grad = torch.tensor(g)
    expected = torch.nn.utils.clip_grad_norm_(theirs, 2.0, norm_type=p)
    found = utils.clip_grad_norm_(ours, 2.0, norm_type=p)
    assert found.dtype == tg.float32
    assert found.shape == ()
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-6)
    for t, x in zip(theirs, ours, strict=True):
        np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), rtol=1e-6)


def test_norms_that_are_not_finite():
    (p,) = with_gradients([math.inf])
    with pytest.raises(RuntimeError, match=r"The total norm of order 2.0 for gradients from `parameters` is non-finite"):
        utils.clip_grad_norm_(p, 1.0, error_if_nonfinite=True)
    assert math.isinf(utils.clip_grad_norm_(p, 1.0))
    assert math.isnan(p.grad.item())


def test_nothing_to_clip():
    with pytest.warns(UserWarning, match="`parameters` is an empty generator"):
        assert utils.clip_grad_norm_(iter([]), 1.0).item() == 0.0
    assert utils.clip_grad_norm_(nn.Linear(2, 2).parameters(), 1.0).item() == 0.0


def test_clip_grad_value_():
    ps = with_gradients([3.0, -5.0], [0.5])
    utils.clip_grad_value_(ps, 2)
    assert [p.grad.tolist() for p in ps] == [[2.0, -2.0], [0.5]]


def test_vectors():
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1, bias=False))
    vec = utils.parameters_to_vector(net.parameters())
    assert vec.shape == (12,)
    (vec * vec).sum().backward()
    np.testing.assert_allclose(net[1].weight.grad.numpy(), 2 * net[1].weight.detach().numpy())
    utils.vector_to_parameters(tg.arange(12.0), net.parameters())
    assert net[0].weight.tolist() == [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
    assert net[1].weight.tolist() == [[9.0, 10.0, 11.0]]
    assert all(p.is_leaf and p.requires_grad for p in net.parameters())
    with pytest.raises(TypeError, match=r"expected torch\.Tensor, but got: list"):
        utils.vector_to_parameters([1.0], net.parameters())


def test_pad_sequence():
    a, b = tg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True), tg.tensor([[5.0, 6.0]])
    out = utils.rnn.pad_sequence([a, b])
    assert out.tolist() == [[[1.0, 2.0], [5.0, 6.0]], [[3.0, 4.0], [0.0, 0.0]]]
    (out * out).sum().backward()
    assert a.grad.tolist() == [[2.0, 4.0], [6.0, 8.0]]
    words = [tg.tensor([1]), tg.tensor([2, 3])]
    left = utils.rnn.pad_sequence(words, batch_first=True, padding_value=-1, padding_side="left")
    assert left.tolist() == [[-1, 1], [2, 3]]
    assert left.dtype == tg.int64


@pytest.mark.parametrize(
    ("act", "text"),
    [
        (lambda: utils.rnn.pad_sequence(3), "pad_sequence: Expected iterable for input sequences, but got arg of type"),
        (lambda: utils.rnn.pad_sequence([]), "received an empty list of sequences"),
        (
            lambda: utils.rnn.pad_sequence([tg.ones(1)], padding_side="up"),
            "padding_side should be either 'left' or 'right', but got up",
        ),
    ],
)
def test_pad_sequence_errors(act, text):
    with pytest.raises(RuntimeError) as error:
        act()
    assert str(error.value).startswith(text)
