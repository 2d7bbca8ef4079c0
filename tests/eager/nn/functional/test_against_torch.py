"""The functions against PyTorch itself: element by element, in both float dtypes, to the second derivative."""

import inspect

import numpy as np
import pytest

from tests.eager.nn.functional.cases import CASES, ROUNDED, run
from tracegrad import eager
from tracegrad.eager.nn import functional

torch = pytest.importorskip("torch")

TOLERANCE = {np.float32: {"rtol": 2e-5, "atol": 2e-6}, np.float64: {"rtol": 1e-10, "atol": 1e-11}}


def both(name, dtype):
    theirs = run(name, torch.nn.functional, torch.tensor, torch.autograd.grad, dtype)
    return theirs, run(name, functional, eager.tensor, eager.autograd.grad, dtype)


def same(ours, theirs, **tolerance):
    assert str(theirs.dtype) == f"torch.{np.dtype(ours.dtype).name}"
    assert tuple(ours.shape) == tuple(theirs.shape)
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), **tolerance)


@pytest.mark.filterwarnings("ignore:reduction:UserWarning")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CASES)
def test_value_and_gradients(name, dtype):
    theirs, ours = both(name, dtype)
    tolerance = {"rtol": 1e-7} if name in ROUNDED and dtype == np.float64 else TOLERANCE[dtype]
    same(ours[0], theirs[0], **tolerance)
    assert ours[2] == theirs[2]
    for a, b in zip(ours[1], theirs[1], strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            same(a, b, **tolerance)


def second(result, grad):
    """The gradients of a function of the gradients, zeros where nothing depends on it."""
    _, first, _, wrt = result
    parts = [g.sin().sum() for g in first if g is not None and g.requires_grad]
    if not parts:
        return [np.zeros(tuple(t.shape)) for t in wrt]
    found = grad(sum(parts), wrt, allow_unused=True)
    return [np.zeros(tuple(t.shape)) if g is None else (g + 0.0).detach().numpy() for g, t in zip(found, wrt, strict=True)]


# Of the gradients of these PyTorch has no derivative.
FIRST_ONLY = ("multi_margin_loss", "multilabel_margin_loss", "pdist", "attention grouped", "hardsigmoid")


@pytest.mark.filterwarnings("ignore:reduction:UserWarning")
@pytest.mark.parametrize("name", [n for n in CASES if not n.endswith((" sum", " none")) and not n.startswith(FIRST_ONLY)])
def test_second_derivative(name):
    theirs, ours = both(name, np.float64)
    for a, b in zip(second(ours, eager.autograd.grad), second(theirs, torch.autograd.grad), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6 if name in ROUNDED else 1e-8, atol=1e-10)


# PyTorch chooses between two functions of one signature.
DISPATCHED = {"max_pool1d", "max_pool2d", "max_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d"}


@pytest.mark.parametrize("name", functional.__all__)
def test_signature_is_pytorchs(name):
    theirs = getattr(torch.nn.functional, f"{name}_with_indices" if name in DISPATCHED else name)
    ours = [(p.name, p.default) for p in inspect.signature(getattr(functional, name)).parameters.values()]
    try:
        expected = [(p.name, p.default) for p in inspect.signature(theirs).parameters.values()]
    except ValueError:
        first = " ".join(theirs.__doc__.strip().split(" -> ")[0].split())
        texts = first[first.index("(") + 1 : first.index(")") if ")" in first else None].rstrip(":").split(", ")
        assert [n for n, _ in ours] == [t.split("=")[0].strip() for t in texts]
        return
    assert ours == expected
