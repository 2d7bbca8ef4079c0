"""tg.debug.nans on the tape: tensors, boxes of compat, and compiled functions called on them."""

import numpy as np
import pytest

import tracegrad as tg
import tracegrad.compat as autograd
import tracegrad.compat.numpy as anp
import tracegrad.eager as torch
from tracegrad.errors import NonFiniteError

X = [4.0, -1.0]


def refused(call, *words):
    with pytest.raises(NonFiniteError) as caught, tg.debug.nans(), np.errstate(all="ignore"):
        call()
    text = str(caught.value)
    assert caught.value.where is not None, text
    assert "# here" in caught.value.where.text, text
    for word in words:
        assert word in text
    return text


def test_a_value():
    x = tg.tensor(X, requires_grad=True)

    def f():
        y = torch.log(x * 1.0)  # here
        return (y * y).sum()

    refused(f, "log is nan at index (1,), of -1.0")
    refused(lambda: x / tg.tensor([1.0, 0.0]), "divide is -inf at index (1,), of -1.0 and 0.0")  # here
    assert torch.log(x).isnan().any()  # and nothing is checked behind it


def test_a_cotangent():
    x = tg.tensor([4.0, 0.0], requires_grad=True)

    def f():
        y = torch.sqrt(x)  # here
        y.sum().backward()

    refused(f, "SqrtBackward0, in a cotangent, is inf at index (1,)")
    f()
    assert np.isinf(x.grad.numpy()[1])


def test_boxes():
    def f(x):
        return anp.sum(anp.log(x) * 2)  # here

    refused(lambda: autograd.grad(f)(np.array(X)), "log is nan at index (1,), of -1.0")

    def g(x):
        return anp.sum(anp.sqrt(x))  # here

    refused(lambda: autograd.grad(g)(np.array([4.0, 0.0])), "in a cotangent, is inf")


def test_compiled_functions_on_tensors():
    f = tg.jit(lambda x: np.sum(np.sqrt(x) * x))  # here
    x = tg.tensor(X, requires_grad=True)
    refused(lambda: f(x), "sqrt is nan at index (1,), of -1.0")
    assert np.isnan(f(x).item())


def test_infinities_that_were_there_are_no_error():
    x = tg.tensor([np.inf, 1.0])
    with tg.debug.nans():
        assert np.isinf((x * 2).numpy()[0])
        assert float(torch.sin(tg.tensor(1.0))) > 0
