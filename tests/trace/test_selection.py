"""What a traced mask selects: maps, reductions and stores through the same mask, as NumPy does them, with their gradients."""

import numpy as np
import pytest

import tracegrad as tg
from tracegrad.errors import TraceError

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal(9), RNG.standard_normal((9, 3))
W = np.array([1.0, 2.0, 3.0])


def stored(x, y):
    out = np.zeros_like(x)
    positive = x > 0
    out[positive] = np.sqrt(x[positive])
    out[~positive] = -np.sqrt(-x[~positive])
    return np.sum(out**3)


def updated(x, y):
    z = x * 1.0
    z[z > 0] *= 2
    z[y[:, 0] > 0] += x[y[:, 0] > 0] ** 2
    return np.sum(z**2)


def selected_before_the_mask_changed(x, y):
    mask = x > 0
    kept = x[mask]
    mask[:] = True
    return np.sum(kept) + np.sum(x[mask] ** 2)


PROGRAMS = {
    "a map": lambda x, y: np.sum(np.log(np.clip(x[x > 0], 0.1, 0.9))),
    "means": lambda x, y: np.mean(x[x > 0] ** 2) + x[x < 0].sum(),
    "extremes": lambda x, y: np.max(x[x > 0]) - np.min(x[x <= 0]),
    "spread": lambda x, y: np.std(x[x > 0]) + np.var(x[x > 0], ddof=1),
    "rows": lambda x, y: np.sum(y[x > 0] * W) + np.mean(y[x > 0]),
    "sums of rows": lambda x, y: np.sum(y[x > 0], axis=0) @ W,
    "rows' sums": lambda x, y: np.sum(np.sum(y[x > 0] ** 2, axis=1) ** 1.5),
    "a mask of two axes": lambda x, y: np.sum(np.exp(y[y > 0])) + np.prod(y[y > 0.5]),
    "products and counts": lambda x, y: np.dot(x[x > 0], x[x > 0]) + x[x > 0].size + np.count_nonzero(x[x > 0] > 0.5),
    "questions": lambda x, y: np.sum(x) * np.any(x[x > 0] > 0.2) * np.all(x[x > 0] > 0),
    "stores": stored,
    "updates": updated,
    "a mask that changes": selected_before_the_mask_changed,
}


@pytest.mark.parametrize("mode", ["now", "never"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_values_and_gradients(name, mode):
    program = PROGRAMS[name]
    value, gradients = tg.grad_compile(program, argnums=(0, 1), compile=mode).value_and_grad(X, Y)
    np.testing.assert_allclose(value, program(X, Y), rtol=1e-12)
    u, v = RNG.standard_normal(X.shape), RNG.standard_normal(Y.shape)
    slope = (program(X + 1e-6 * u, Y + 1e-6 * v) - program(X - 1e-6 * u, Y - 1e-6 * v)) / 2e-6
    np.testing.assert_allclose(np.sum(gradients[0] * u) + np.sum(gradients[1] * v), slope, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:invalid value")
def test_nothing_selected():
    none = lambda x: x[x > 10]
    assert tg.jit(lambda x: np.sum(none(x)), compile="never")(X) == 0
    assert np.isnan(tg.jit(lambda x: np.mean(none(x)), compile="never")(X))
    assert tg.jit(lambda x: np.max(none(x)), compile="never")(X) == -np.inf


@pytest.mark.parametrize(
    "program",
    [
        lambda x: x[x > 0],
        lambda x: len(x[x > 0]),
        lambda x: x[x > 0].shape,
        lambda x: x[x > 0][0],
        lambda x: [v for v in x[x > 0]],  # noqa: C416
        lambda x: float(x[x > 0]),
        lambda x: np.sort(x[x > 0]),
        lambda x: np.median(x[x > 0]),
        lambda x: np.linalg.norm(x[x > 0]),
        lambda x: np.add.reduce(x[x > 0]),
        lambda x: np.concatenate([x[x > 0], x]),
        lambda x: np.array([x[x > 0], x]),
        lambda x: x[x > 0] + x,
        lambda x: x[x > 0] + x[x < 0],
        lambda x: x[x > 0].reshape(-1),
        lambda x: x[x > 0].cumsum(),
        lambda x: x @ x[x > 0],
        lambda x: np.where(x > 0, x[x > 0], 0.0),
    ],
)
def test_what_needs_the_number_or_the_order_is_refused(program):
    with pytest.raises(TraceError, match=r"(?s)how many elements a traced mask selects.*test_selection.py.*Instead"):
        tg.jit(program, compile="never")(X)


def test_a_mask_of_another_shape():
    with pytest.raises(IndexError, match="boolean index did not match"):
        tg.jit(lambda x, y: np.sum(x[y[:5, 0] > 0]), compile="never")(X, Y)
