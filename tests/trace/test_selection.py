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


def placed(x, y):
    out = np.zeros((3, 9))
    i, j = np.nonzero(y > 0)
    out[j, i] = np.sqrt(y[i, j])
    out[2 - j, i] += 1.0
    return np.sum(out**3)


def counted(x, y):
    out = np.zeros(4)
    i = np.flatnonzero(x > 0)
    np.add.at(out, i % 4, x[i] ** 2)
    np.subtract.at(out, i % 3, 1.0)
    np.maximum.at(out, i % 2, x[i])
    return np.sum(out**2)


def rows(x, y):
    out = y * 1.0
    r = np.flatnonzero(y[:, 0] > 0)
    out[r] = -1.0
    out[r, 1] *= y[r, 2]
    return np.sum(out**2) + np.sum(np.take(x, r))


def runs(x, y):
    """The lengths and sums of runs of one sign."""
    edges = np.flatnonzero(np.diff(np.sign(x)) != 0)
    lengths = np.diff(edges)
    return np.sum(lengths**2) + np.sum(x[edges] * x[edges + 1])


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
    "positions": lambda x, y: np.sum(x[np.nonzero(x > 0)]) + np.sum(y[np.where(y > 0)] ** 2) + np.flatnonzero(x > 0).size,
    "positions of rows": lambda x, y: np.sum(y[np.flatnonzero(x > 0)] ** 2),
    "pairs": lambda x, y: np.sum(np.argwhere(y > 0) ** 2) + y[tuple(np.argwhere(y > 0)[1])],
    "ranks": lambda x, y: x[np.flatnonzero(x < 0)[0]] * x[x > 0][-1] + np.sum(x[x > 0][[0, 1]] ** 2),
    "stretches": lambda x, y: np.sum(x[x > 0][1:] ** 2) + np.sum(x[x > 0][::2]) + np.sum(x[x > 0][-2:]) * np.sum(x[x > 0][:-1]),
    "columns": lambda x, y: np.sum(y[x > 0][:, 1] ** 2) + np.sum(y[x > 0][:, :2]),
    "a mask of a mask": lambda x, y: np.sum(x[x > 0][x[x > 0] < 1] ** 2),
    "stores at positions": placed,
    "sums at positions": counted,
    "stores of rows": rows,
    "runs": runs,
    "orders": lambda x, y: np.sum(np.sort(x[x > 0])[:2] ** 2) + np.median(x[x > 0]) * np.quantile(x[x < 0], 0.3),
    "percentiles": lambda x, y: np.sum(np.percentile(x[x > 0], [10, 50, 75], method="lower")) + np.median(y[y > 0]),
    "places": lambda x, y: x[x > 0][np.argmax(x[x > 0])] + x[x > 0].argmin() + np.ptp(x[x > 0]),
    "running": lambda x, y: np.sum(np.cumsum(x[x > 0]) ** 2) + np.cumprod(x[x > 0])[-1] + np.sum(np.diff(x[x > 0]) ** 2),
    "folds": lambda x, y: np.add.reduce(x[x > 0]) + np.maximum.reduce(x[x > 0]) + np.linalg.norm(x[x > 0]),
    "averages": lambda x, y: np.average(x[x > 0], weights=y[:, 0][x > 0] ** 2),
    "histograms": lambda x, y: np.sum(np.histogram(x[x > 0], 3, weights=y[:, 1][x > 0])[0] ** 2),
    "bins": lambda x, y: np.sum(np.bincount((x[x > 0] * 3).astype(int), x[x > 0], minlength=9) ** 2),
    "unique": lambda x, y: np.unique(x)[-1] * np.unique(x)[0] + np.sum(np.unique(y) ** 2) + np.unique(x > 0).size,
    "compressed": lambda x, y: np.sum(np.compress(x > 0, y, axis=0) ** 2) + np.sum(np.extract(y > 0, y)),
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
        lambda x: x[x > 0][::-1],
        lambda x: x[x > 0][None],
        lambda x: np.sort(x)[np.newaxis, np.flatnonzero(x > 0)],
        lambda x: [v for v in x[x > 0]],  # noqa: C416
        lambda x: float(x[x > 0]),
        lambda x: np.argsort(x[x > 0]),
        lambda x: np.linalg.norm(x[x > 0], 1),
        lambda x: np.add.accumulate(x[x > 0]),
        lambda x: np.unique(x),
        lambda x: np.nonzero(x > 0),
        lambda x: x[np.flatnonzero(x > 0)] + x[np.flatnonzero(x < 0)],
        lambda x: len(np.flatnonzero(x > 0)),
        lambda x: np.concatenate([x[x > 0], x]),
        lambda x: np.array([x[x > 0], x]),
        lambda x: x[x > 0] + x,
        lambda x: x[x > 0] + x[x < 0],
        lambda x: x[x > 0].reshape(-1),
        lambda x: x[x > 0].cumsum().copy().tolist(),
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


@pytest.mark.parametrize("mode", ["now", "never"])
def test_unique_elements_with_their_places_and_counts(mode):
    x = np.array([[2.0, 1.0, 2.0], [np.nan, 0.0, np.nan]])

    def all_of(x):
        values, index, inverse, counts = np.unique(x, True, True, True)
        twos = np.sum(np.unique(x, equal_nan=False) == 2)
        return np.nansum(values * counts), np.sum(index), inverse, np.sum(counts**2), values.size, twos

    for result, want in zip(tg.jit(all_of, compile=mode)(x), all_of(x), strict=True):
        np.testing.assert_array_equal(result, want)


@pytest.mark.parametrize("mode", ["now", "never"])
def test_a_position_that_there_is_not(mode):
    for program in (
        lambda x: x[np.flatnonzero(x > 10)[0]],
        lambda x: x[x > 0][-8],
        lambda x: np.sum(x[np.flatnonzero(x > 0) + 5]),
    ):
        with pytest.raises(IndexError, match=r"(?s)out of bounds.*test_selection.py"):
            tg.jit(program, compile=mode)(X)


def test_positions_that_are_known():
    mask = np.array([True, False, True])
    assert tg.jit(lambda x: x[np.nonzero(mask)] * 2, compile="never")(X[:3]).tolist() == [X[0] * 2, X[2] * 2]
    assert tg.jit(lambda x: x[np.flatnonzero(np.arange(3) > 0)] * 2, compile="never")(X[:3]).tolist() == [X[1] * 2, X[2] * 2]
