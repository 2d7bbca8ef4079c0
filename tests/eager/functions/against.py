"""A function of tensors on PyTorch and on ours: values, shapes, dtypes, names on the tape, first and second derivatives."""

from types import SimpleNamespace

import numpy as np
import pytest

import tracegrad.eager as ours
from tracegrad.eager.functions import contractions, counting, ordering, placing, scans, scatter

MODULES = (contractions, counting, ordering, placing, scans, scatter)
FUNCTIONS = SimpleNamespace(**{name: getattr(module, name) for module in MODULES for name in module.__all__})
FUNCTIONS.float32, FUNCTIONS.int64 = np.float32, np.int64
# sums in another order
TOLERANCE = {np.float32: 2e-6, np.float64: 1e-13}


def flat(result):
    return list(result) if isinstance(result, (tuple, list)) else [result]


def name_of(tensor):
    """What PyTorch calls the step a tensor came from."""
    return None if tensor.grad_fn is None else tensor.grad_fn.name()


def total_of(library, parts, seed):
    """A weighted sum of the results that carry a gradient."""
    total = None
    for k, part in enumerate(parts):
        if part.requires_grad:
            weights = np.random.default_rng(seed + k).uniform(0.5, 1.5, tuple(part.shape))
            weighted = (part * library.tensor(np.asarray(weights, dtype_of(part)))).sum()
            total = weighted if total is None else total + weighted
    return total


def dtype_of(tensor):
    return np.dtype(str(tensor.dtype).split(".")[-1])


def seen(library, functions, make, function, arrays, order):
    """All that a user sees: per result the value, then the gradients of a weighted sum, then the gradients of theirs."""
    operands = [make(x, x.dtype.kind == "f") for x in arrays]
    results = flat(function(functions, *operands))
    leaves = [x for x in operands if x.requires_grad]
    derivatives = []
    parts = results
    for step in range(order):
        total = total_of(library, parts, 10 * step)
        if total is None or not leaves:
            break
        found = library.autograd.grad(total, leaves, create_graph=True, allow_unused=True)
        # no gradient and one of zeros are the same to a user
        derivatives.append(
            [
                np.zeros(tuple(x.shape), dtype_of(x)) if g is None else g.detach().numpy()
                for x, g in zip(leaves, found, strict=True)
            ]
        )
        parts = [part for part in found if part is not None]
    return results, derivatives


def compare(function, *arrays, order=2, names=True):
    """Compare ``function(library, *operands)``; float operands require grad."""
    torch = pytest.importorskip("torch")
    for dtype in (np.float64, np.float32):
        operands = [x.astype(dtype) if x.dtype.kind == "f" else x for x in map(np.asarray, arrays)]
        theirs, their_derivatives = seen(torch, torch, lambda x, g: torch.tensor(x, requires_grad=g), function, operands, order)
        found, our_derivatives = seen(ours, FUNCTIONS, lambda x, g: ours.tensor(x, requires_grad=g), function, operands, order)
        assert len(found) == len(theirs)
        assert len(our_derivatives) >= len(their_derivatives)
        for a, b in zip(found, theirs, strict=True):
            assert tuple(a.shape) == tuple(b.shape)
            assert dtype_of(a) == dtype_of(b)
            limit = TOLERANCE.get(dtype_of(a).type, 0)
            np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=limit, atol=limit)
            assert a.requires_grad == b.requires_grad
            if names:
                assert name_of(a) == name_of(b)
        for extra in our_derivatives[len(their_derivatives) :]:
            assert not any(part.any() for part in extra)
        for mine, expected in zip(our_derivatives, their_derivatives, strict=False):
            for a, b in zip(mine, expected, strict=True):
                assert (a.shape, a.dtype) == (b.shape, b.dtype)
                np.testing.assert_allclose(a, b, rtol=5 * TOLERANCE[dtype], atol=5 * TOLERANCE[dtype])


def error_of(function, *arrays):
    """The error that ours raises."""
    with pytest.raises(Exception) as caught:  # noqa: PT011
        function(FUNCTIONS, *(ours.tensor(x) for x in arrays))
    return caught.value
