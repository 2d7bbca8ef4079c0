"""A function on PyTorch and on ours: values, shapes, dtypes, names on the tape, first and second derivatives."""

import functools
import json
from pathlib import Path

import numpy as np
import pytest

import tracegrad.eager as ours
from tests.eager.functions.against import dtype_of, name_of, seen


def _leaf(library, differentiated, array, floating):
    return library.tensor(array, requires_grad=differentiated and floating)


def compare(function, *arrays, order=2, names=True, tolerance=1e-10):
    """Compare ``function(library, *operands)``; float operands require grad if ``order`` is not 0."""
    torch = pytest.importorskip("torch")
    sides = []
    for library in (torch, ours):
        make = functools.partial(_leaf, library, order > 0)
        sides.append(seen(library, library, make, function, [np.asarray(x) for x in arrays], order))
    (theirs, their_derivatives), (found, our_derivatives) = sides
    assert len(found) == len(theirs)
    for a, b in zip(found, theirs, strict=True):
        assert (tuple(a.shape), dtype_of(a)) == (tuple(b.shape), dtype_of(b))
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=tolerance, atol=tolerance)
        if names:
            assert name_of(a) == name_of(b)
    while len(our_derivatives) < len(their_derivatives):  # what is constant has no graph here, there it has zeros
        our_derivatives.append([np.zeros_like(part) for part in their_derivatives[len(our_derivatives)]])
    while len(their_derivatives) < len(our_derivatives):  # or the other way round
        their_derivatives.append([np.zeros_like(part) for part in our_derivatives[len(their_derivatives)]])
    for mine, expected in zip(our_derivatives, their_derivatives, strict=True):
        for a, b in zip(mine, expected, strict=True):
            assert (a.shape, a.dtype) == (b.shape, b.dtype)
            size = max(1.0, np.max(np.abs(b[np.isfinite(b)]), initial=0.0))
            np.testing.assert_allclose(a, b, rtol=10 * tolerance, atol=10 * tolerance * size)


def recorded(name):
    """PyTorch's results that were written down: per case values and gradients."""
    return json.loads((Path(__file__).parent / f"recorded_{name}.json").read_text(encoding="utf-8"))


def check_recorded(function, operand, expected, tolerance=1e-10):
    """A value and the gradient of the sum of its weighted squares are PyTorch's."""
    x = ours.tensor(np.array(operand), requires_grad=True)
    y = function(ours, x)
    weights = ours.arange(1.0, y.numel() + 1, dtype=ours.float64).reshape(y.shape)
    (weights * y * y).sum().backward()
    np.testing.assert_allclose(y.detach().numpy().ravel(), expected["value"], rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(x.grad.numpy().ravel(), expected["gradient"], rtol=10 * tolerance, atol=10 * tolerance)
