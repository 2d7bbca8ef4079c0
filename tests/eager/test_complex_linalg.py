"""Linear algebra of complex tensors: PyTorch's values and gradients, which are the conjugates of those of traced functions."""

import numpy as np
import pytest

import tracegrad as tg
import tracegrad.eager as ours

DRAW = np.random.default_rng(0)
SQUARE = DRAW.normal(size=(3, 3)) + 1j * DRAW.normal(size=(3, 3)) + 3 * np.eye(3)
TALL = DRAW.normal(size=(4, 2)) + 1j * DRAW.normal(size=(4, 2))


def cubes(*parts):
    return sum((part.abs() ** 3).sum() for part in parts)


CASES = {
    "cholesky": (lambda t, x: cubes(t.linalg.cholesky(x @ x.mH)), SQUARE),
    "cholesky upper": (lambda t, x: cubes(t.linalg.cholesky(x @ x.mH, upper=True)), SQUARE),
    "cholesky_solve": (lambda t, x: cubes(t.cholesky_solve(x, t.linalg.cholesky(x @ x.mH))), SQUARE),
    "cholesky_inverse": (lambda t, x: cubes(t.cholesky_inverse(t.linalg.cholesky(x @ x.mH, upper=True), True)), SQUARE),
    "eigh": (lambda t, x: cubes(*t.linalg.eigh(x + x.mH)), SQUARE),
    "svd": (lambda t, x: cubes(*t.linalg.svd(x, full_matrices=False)), TALL),
    "older svd": (lambda t, x: cubes(*t.svd(x)), TALL),
    "svdvals": (lambda t, x: cubes(t.linalg.svdvals(x)), TALL),
    "qr": (lambda t, x: cubes(*t.linalg.qr(x)), TALL),
    "pinv": (lambda t, x: cubes(t.linalg.pinv(x)), TALL),
    "lstsq": (lambda t, x: cubes(t.linalg.lstsq(x, x + 1).solution), TALL),
    "det": (lambda t, x: cubes(t.linalg.det(x)), SQUARE),
    "cond": (lambda t, x: t.linalg.cond(x), SQUARE),
    "norms": (lambda t, x: t.linalg.matrix_norm(x, "nuc") + t.linalg.matrix_norm(x, 2), TALL),
    "matrix_rank": (lambda t, x: t.linalg.matrix_rank(x) * cubes(x), TALL),
}


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_are_those_of_pytorch(name):
    torch = pytest.importorskip("torch")
    function, array = CASES[name]
    theirs, mine = torch.tensor(array, requires_grad=True), ours.tensor(array, requires_grad=True)
    want, found = function(torch, theirs), function(ours, mine)
    want.backward()
    found.backward()
    np.testing.assert_allclose(found.item(), want.item(), rtol=1e-12)
    np.testing.assert_allclose(mine.grad.numpy(), theirs.grad.numpy(), rtol=1e-9, atol=1e-10)


def test_gradients_are_conjugates_of_those_of_traced_functions():
    x = ours.tensor(TALL, requires_grad=True)
    cubes(*ours.linalg.svd(x, full_matrices=False)).backward()
    gradient = tg.grad(lambda a: sum(np.sum(np.abs(part) ** 3) for part in np.linalg.svd(a, full_matrices=False)))(TALL)
    np.testing.assert_allclose(x.grad.numpy(), np.conj(gradient), rtol=1e-12)
