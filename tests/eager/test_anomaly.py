"""Anomaly mode: a NaN in a backward is refused, with the line of the forward pass that it comes from."""

import inspect
import threading

import pytest

from tests.eager.transcripts import program
from tracegrad.eager import autograd, is_anomaly_enabled, nn, tensor
from tracegrad.errors import TapeError


@program(
    """
    RuntimeError: Function 'DivBackward0' returned nan values in its 1th output.
    RuntimeError: Function 'DivBackward0' returned nan values in its 1th output.
    True True
    RuntimeError: Function 'DivBackward0' returned nan values in its 1th output.
    True False
    False
    """
)
def test_refusals(torch, show):
    x = torch.tensor([0.0, 1.0], requires_grad=True)

    def worse():
        (x / x).sum().backward()

    def fine():
        (x * 2).sum().backward()

    anomaly = torch.autograd.detect_anomaly
    with anomaly():
        fine()
        show.refused(RuntimeError, "Function 'DivBackward0' returned nan values in its 1th output.", worse)
        with anomaly(check_nan=False):
            worse()
        with torch.autograd.set_detect_anomaly(False):
            worse()
        show.refused(RuntimeError, "Function 'DivBackward0' returned nan values in its 1th output.", worse)
    worse()
    with pytest.raises(ZeroDivisionError), anomaly():
        raise ZeroDivisionError
    worse()
    torch.autograd.set_detect_anomaly(True)
    show(torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled())
    show.refused(RuntimeError, "Function 'DivBackward0' returned nan values in its 1th output.", worse)
    torch.autograd.set_detect_anomaly(True, check_nan=False)
    show(torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled())
    torch.autograd.set_detect_anomaly(False)
    show(torch.is_anomaly_enabled())


@program(
    """
    RuntimeError: Function 'MulBackward0' returned nan values in its 0th output.
    RuntimeError: Function 'MulBackward0' returned nan values in its 1th output.
    RuntimeError: Function 'ExpBackward0' returned nan values in its 0th output.
    (tensor([2., 2.]))
    RuntimeError: Function 'BadBackward' returned nan values in its 0th output.
    RuntimeError: Function 'MulBackward0' returned nan values in its 0th output.
    """
)
def test_which_gradient_it_is(torch, show):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    w = torch.tensor([float("nan"), 1.0], requires_grad=True)
    with torch.autograd.set_detect_anomaly(True):
        show.refused(RuntimeError, "Function 'MulBackward0' returned nan values in its 0th output.", (x * w).sum().backward)
        show.refused(RuntimeError, "Function 'MulBackward0' returned nan values in its 1th output.", (w * x).sum().backward)
        show.refused(RuntimeError, "Function 'ExpBackward0' returned nan values in its 0th output.", w.exp().sum().backward)
        (x * w.detach().nan_to_num(0.0)).sum().backward()
        show(torch.autograd.grad((x * 2).sum(), x))

        class Bad(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x * 1

            @staticmethod
            def backward(ctx, g):
                return g * float("nan")

        show.refused(RuntimeError, "Function 'BadBackward' returned nan values in its 0th output.", Bad.apply(x).sum().backward)
        y = x * 3
        y.register_hook(lambda g: g * float("nan"))
        show.refused(RuntimeError, "Function 'MulBackward0' returned nan values in its 0th output.", y.sum().backward)


def named_line(function):
    """The line of the function marked ``# here``."""
    lines, first = inspect.getsourcelines(function)
    (place,) = [first + k for k, line in enumerate(lines) if "# here" in line]
    return place


@pytest.mark.parametrize("kind", ["an op", "a composite", "a Function", "a module"])
def test_the_forward_line_is_named(kind):
    class Root(autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * 1

        @staticmethod
        def backward(ctx, g):
            return g * ctx.saved_tensors[0] * float("inf")

    def loss(x):
        h = x * 2
        if kind == "an op":
            y = (h - h).sqrt() * 0 + h.log()  # here
        return y.sum()

    def composite(x):
        y = (x * float("nan")).log_softmax(0)  # here
        return y.sum()

    def function(x):
        y = Root.apply(x)  # here
        return y.sum()

    layer = nn.Softplus()

    def module(x):
        return layer(x * float("nan")).sum()  # here

    run = {"an op": loss, "a composite": composite, "a Function": function, "a module": module}[kind]
    x = tensor([0.0, 1.0], requires_grad=True)
    if kind == "an op":
        x = tensor([-1.0, 1.0], requires_grad=True)

        def run(x):
            y = x.log().sqrt()  # here
            return y.sum()

    with autograd.detect_anomaly(), pytest.raises(TapeError, match="returned nan values in its 0th output") as caught:
        run(x).backward()
    assert caught.value.where.file == __file__
    assert caught.value.where.line == named_line(run)
    assert "# here" in str(caught.value)


def test_without_the_mode_nothing_is_noted():
    x = tensor([1.0], requires_grad=True)
    y = x * 2
    assert y.grad_fn.where is None
    with autograd.set_detect_anomaly(True):
        assert (x * 2).grad_fn.where.line == inspect.currentframe().f_lineno
        y.sum().backward()
    assert x.grad.tolist() == [2.0]


def test_a_thread_has_its_own_mode():
    seen = []
    with autograd.detect_anomaly():
        thread = threading.Thread(target=lambda: seen.append(is_anomaly_enabled()))
        thread.start()
        thread.join()
        seen.append(is_anomaly_enabled())
    assert seen == [False, True]
