"""Steps are on the tape, with a gradient of zeros, as in PyTorch."""

import numpy as np
import pytest

import tracegrad.eager as torch

STEPS = {
    "floor": (lambda t, x: t.floor(x), "FloorBackward0"),
    "ceil": (lambda t, x: t.ceil(x), "CeilBackward0"),
    "round": (lambda t, x: t.round(x), "RoundBackward0"),
    "round decimals": (lambda t, x: t.round(x, decimals=1), "RoundBackward1"),
    "trunc": (lambda t, x: t.trunc(x), "TruncBackward0"),
    "fix": (lambda t, x: x.fix(), "TruncBackward0"),
    "sign": (lambda t, x: t.sign(x), "SignBackward0"),
    "sgn": (lambda t, x: t.sgn(x), "SgnBackward0"),
    "copysign": (lambda t, x: t.copysign(t.ones(3), x), "CopysignBackward0"),
    "div floor": (lambda t, x: t.div(x, 2.0, rounding_mode="floor"), "DivBackward2"),
    "div trunc": (lambda t, x: t.div(x, 2.0, rounding_mode="trunc"), "DivBackward2"),
    "in place": (lambda t, x: (x * 1).floor_(), "FloorBackward0"),
}


def seen(library, function):
    x = library.tensor([0.5, -1.5, 2.3], requires_grad=True)
    y = function(library, x)
    (gradient,) = library.autograd.grad(y.sum(), x, create_graph=True)
    y.sum().backward()
    return y.detach().numpy(), y.grad_fn.name(), (gradient.detach() + 0.0).numpy(), (x.grad + 0.0).detach().numpy()


@pytest.mark.parametrize("name", STEPS)
def test_steps_have_a_gradient_of_zeros(name):
    function, label = STEPS[name]
    values, found, gradient, accumulated = seen(torch, function)
    assert found == label
    assert gradient.tolist() == accumulated.tolist() == [0.0, 0.0, 0.0]
    live = pytest.importorskip("torch")
    expected = seen(live, function)
    assert expected[1] == label
    np.testing.assert_array_equal(values, expected[0])


def test_the_second_derivative_of_a_size_is_zero():
    x = torch.tensor([0.5, -1.5], requires_grad=True)
    (first,) = torch.autograd.grad(x.abs().sum(), x, create_graph=True)
    assert first.requires_grad
    (second,) = torch.autograd.grad(first.sum(), x)
    assert second.tolist() == [0.0, 0.0]


def test_integers_and_steps_that_are_no_derivative_stay_off_the_tape():
    x = torch.tensor([0.5, -1.5], requires_grad=True)
    assert (x > 0).grad_fn is None
    assert x.argmax().grad_fn is None
    assert x.detach().floor().grad_fn is None
    with torch.no_grad():
        assert x.floor().grad_fn is None
