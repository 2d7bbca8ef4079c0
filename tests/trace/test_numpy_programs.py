"""Short programs as NumPy's users write them: keyword arguments, methods of arrays, mixed dtypes, arrays without elements."""

import numpy as np
import pytest

import tracegrad as tg
from tests.support import central_difference
from tracegrad.errors import ShapeError, TraceError

RNG = np.random.default_rng(0)
X, P, V = RNG.standard_normal((3, 4)), RNG.uniform(0.2, 2, (3, 4)), RNG.standard_normal(6)
M, T = RNG.standard_normal((4, 4)), RNG.standard_normal((2, 3, 4))
J, N, B = RNG.integers(-5, 6, (3, 4)), np.array([3, 1, 2, 0]), X > 0


def after(write):
    """A program that writes into a copy of its argument."""

    def run(x):
        y = x.copy()
        write(y)
        return y

    return run


def written_flat(y):
    y.flat[2:4] = 7.0


def clipped(y):
    np.clip(y, -1, 0.5, out=y)


def part_added(y):
    np.add(y, 1, out=y, where=y > 0)


PROGRAMS = {
    "x.argsort": (lambda x: x[x[:, 1].argsort()], X),
    "x.argsort().argsort()": (lambda v: v.argsort().argsort(), V),
    "x.argpartition": (lambda x: np.sort(x.argpartition(1, axis=0)[:2], axis=0), X),
    "x.cumsum": (lambda x: x.cumsum(axis=1) * x.cumprod(0), X),
    "x.cumsum of small integers": (lambda i: i.astype(np.int8).cumsum(), J),
    "x.diagonal and x.trace": (lambda m: m.diagonal(1) * m.trace(), M),
    "x.take with a mode": (lambda x: x.take([0, 50, -7], mode="wrap") + x.take([0, 50, 3], mode="clip"), X),
    "x.choose": (lambda n: n.choose([[0, 1, 2, 3], [10, 11, 12, 13], 20, 30]), N),
    "x.compress": (lambda x: x.compress([True, False, True], axis=0), X),
    "x.nonzero": (lambda x: np.sum(x[x.nonzero()] ** 2), X),
    "x.searchsorted": (lambda v: np.sort(v).searchsorted([0.0, 1.0], side="right"), V),
    "x.flatten in columns": (lambda x: x.flatten("F"), X),
    "x.flat": (lambda x: x.flat[3] + x.flat[::5] + sum(x.T.flat), X),
    "x.flat written": (after(written_flat), X),
    "x.nbytes": (lambda x: x * x.nbytes / x.itemsize, X),
    "x.fill": (after(lambda y: y[1:].fill(2.0)), X),
    "x.put": (after(lambda y: y.put([0, 5], [1.0, 2.0])), X),
    "x.sort in place": (after(lambda y: y.sort(axis=0)), X),
    "x.sort of a view": (after(lambda y: y[:, 1].sort()), X),
    "x.partition in place": (after(lambda y: y[0].partition(1)), np.sort(X)),
    "clip into itself": (after(clipped), X),
    "out and where": (after(part_added), X),
    "var where": (lambda x: np.var(x, axis=0, where=x < 1) + x.std(axis=0, where=x < 1, ddof=0), X),
    "var about a mean": (lambda x: np.var(x, axis=0, mean=x.mean(axis=0, keepdims=True), ddof=1), X),
    "average with its weights": (lambda x: np.average(x, axis=1, weights=[1.0, 2, 3, 4], returned=True), X),
    "quantiles of Hazen": (lambda x: np.quantile(x, [0.0, 0.4, 1.0], axis=1, method="hazen"), X),
    "quantiles without bias": (lambda x: np.percentile(x, 40, method="median_unbiased", keepdims=True), X),
    "quantiles of few": (lambda x: np.quantile(x[:, :2], [0.01, 0.99], axis=1, method="weibull"), X),
    "weighted covariance": (lambda x: np.cov(x, aweights=[1.0, 2, 1, 1], fweights=[1, 2, 1, 3]), X),
    "counted covariance": (lambda x: np.cov(x, fweights=[1, 2, 1, 1], ddof=0), X),
    "periodic interpolation": (lambda v: np.interp(v, [0.0, 1.0, 2.5], v[:3], period=3.0), V),
    "constants of integration": (lambda v: np.polyint(v, 2, k=[3.0, v[0]]), V),
    "pad by pairs": (lambda x: np.pad(x, ((1, 0), (0, 2)), constant_values=((1, 2), (3, 4))), X),
    "pad by ramps": (lambda x: np.pad(x, 2, "linear_ramp", end_values=(1, 2)), X),
    "pad by means": (lambda x: np.pad(x, ((1, 1), (2, 0)), "mean", stat_length=2), X),
    "pad by extremes": (lambda x: np.pad(x, 1, "maximum") + np.pad(x, 1, "minimum") + np.pad(x, 1, "median"), X),
    "append a list": (lambda x: np.append(x, [[1, 2, 3, 4]], axis=0), X),
    "concatenate into a dtype": (lambda i: np.concatenate([i, i], axis=-1, dtype=np.float32), J),
    "isin": (lambda i: np.isin(i, [1, 3]) | np.isin(i, [0], invert=True), J),
    "sets": (lambda n: np.sum(np.setdiff1d(n, [1])) + np.sum(np.intersect1d(n, [1, 3])) + np.union1d(n, [9]).size, N),
    "fill a diagonal": (after(lambda y: np.fill_diagonal(y, [1.0, 2.0])), M),
    "fill a wrapped diagonal": (after(lambda y: np.fill_diagonal(y, 5.0, wrap=True)), RNG.standard_normal((7, 3))),
    "unravel an index": (lambda x: x[np.unravel_index(x.argmax(), x.shape)], X),
    "unravel in columns": (lambda i: np.unravel_index(i % 12, (3, 4), order="F"), J),
    "sliding windows": (lambda x: np.lib.stride_tricks.sliding_window_view(x, (2, 3)).mean(axis=(-1, -2)), X),
    "shifts": (lambda i: (i << 2) >> np.abs(i), J),
    "known values": (lambda v: np.sum(np.trim_zeros(np.array([0, 0, 1, 2, 0])) * v[0]), V),
    "casting": (lambda x: np.add(x, 1, casting="same_kind"), X),
    "linspace of arrays": (lambda v: np.linspace(v[:2], v[2:4], 5, axis=1, retstep=True), V),
    "linspace of integers": (lambda v: np.linspace(v[0], v[0] + 9, 4, dtype=int), V),
    "nothing sorted": (lambda x: np.sort(x[:0], axis=0) + x[:0].sum(), X),
    "reduce over all": (lambda x: np.add.reduce(x, axis=None) + np.maximum.reduce(x, axis=(0, 1)), X),
    "blocks": (lambda m: np.add.reduceat(np.add.reduceat(m, np.arange(0, 4, 2), axis=0), [0, 3], axis=1), M),
    "lexsort": (lambda x: x[np.lexsort((x[:, 1], x[:, 0] > 0))], X),
    "einsum path": (lambda m: np.einsum("ij,jk", m, m, optimize=np.einsum_path("ij,jk", m, m)[0]), M),
    "fit": (lambda v: np.polyfit(np.arange(6.0), v, 2, cov="unscaled"), V),
    "digits of rows": (lambda x: np.apply_along_axis(lambda row: row[::-1] / row.sum(), 1, x), P),
    "lists as operands": (lambda v: np.dot([1.0, 2, 3], v[:3]) + v[:3] @ [1.0, 0, 2] + np.sum(v * [1, 2, 3, 4, 5, 6]), V),
    "lists in products": (lambda m: np.tensordot([[1.0, 2, 0, 1]], m, 1) @ [1, 2, 3, 4] + np.outer([1, 2], m[0])[1], M),
    "lists of choices": (lambda v: np.where([True, False] * 3, v, [0.0] * 6) + np.clip(v, [-1] * 6, [1] * 6), V),
    "a grid of a list": (lambda v: np.meshgrid(v, [1.0, 2.0])[0] * np.meshgrid([3.0, 4.0, 5.0], v[:2])[1].sum(), V),
    "largest and smallest": (lambda v: v * max(v[0], v[1], 0.0) - min(v) + max([0.0, *v]) + max(a * a for a in v), V),
    "a ufunc folds a list": (lambda v: np.multiply.reduce([v[0], v[1], 2.0]) + np.add.outer([1.0, 2.0], v), V),
    "from an iterator": (lambda v: np.fromiter((a * a for a in v), float) + np.fromiter(iter(v), float, 6), V),
    "one element at a time": (lambda v: np.vectorize(lambda a, k: a**k if k else 1.0)(v, [0, 1, 2, 3, 2, 1]), V),
    "with another kept whole": (lambda v: np.vectorize(lambda a, w: w @ w * a, excluded=[1])(v[:2], v), V),
    "enumerated": (lambda m: sum(a * (i + 2 * j) for (i, j), a in np.ndenumerate(m)), M),
    "corners": (lambda m: m[np.triu_indices_from(m, 1)] * m[np.tril_indices_from(m, -1)] + m[np.diag_indices_from(m)].sum(), M),
    "windows by strides": (lambda m: np.lib.stride_tricks.as_strided(m, (3, 2, 2), (m.strides[0], *m.strides)) ** 2, M),
    "series": (lambda v: np.polynomial.chebyshev.chebval(0.3, v) + np.polynomial.legendre.legval(v, [1.0, 2, 3]), V),
    "terms of series": (lambda v: np.polynomial.hermite_e.hermevander(v, 3) @ v[:4], V),
    "a series with a domain": (lambda v: np.polynomial.Laguerre([1.0, 2, 3], domain=[0, 2])(v), V),
    "ix_ written": (after(lambda y: y.__setitem__(np.ix_([0, 2], [1, 3]), 0.0)), M),
}


def parts(value):
    return list(value) if isinstance(value, (tuple, list)) else [value]


@pytest.mark.parametrize("name", PROGRAMS)
def test_values_and_gradients(name):
    function, x = PROGRAMS[name]
    wanted = [np.asarray(w) for w in parts(function(x))]
    found = [np.asarray(f) for f in parts(tg.jit(function, compile="never")(x))]
    assert [f.dtype for f in found] == [w.dtype for w in wanted]
    for result, want in zip(found, wanted, strict=True):
        np.testing.assert_allclose(result, want, rtol=1e-13, atol=1e-14)
    if x.dtype.kind != "f" or all(w.dtype.kind != "f" for w in wanted):
        return
    weights = [RNG.uniform(0.5, 1.5, w.shape) * (w.dtype.kind == "f") for w in wanted]

    def total(x):
        return sum(np.sum(w * part) for w, part in zip(weights, parts(function(x)), strict=True))

    direction = RNG.standard_normal(x.shape)
    want = central_difference(total, [x], 0, direction)
    np.testing.assert_allclose(np.sum(tg.grad(total)(x) * direction), want, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(tg.jvp(total, (x,), (direction,))[1], want, rtol=1e-6, atol=1e-8)


@pytest.mark.nightly
@pytest.mark.parametrize("name", PROGRAMS)
def test_native_code(name):
    function, x = PROGRAMS[name]
    for result, want in zip(parts(tg.jit(function)(x)), parts(function(x)), strict=True):
        np.testing.assert_allclose(result, want, rtol=1e-12, atol=1e-14)


def test_vectorize_of_many_elements_names_what_to_write():
    made = np.vectorize(lambda a: a + 1)
    for program in (lambda x: made(np.tile(x, 30)), lambda x: np.vectorize(lambda a: a + 1, signature="()->()")(x)):
        with pytest.raises(TraceError, match=r"(?s)np.vectorize.*test_numpy_programs.py.*tg.vmap"):
            tg.jit(program, compile="never")(X)


def test_what_a_vectorised_function_and_a_series_hold_is_read_again():
    factor = {"of": 2.0}
    scaled = np.vectorize(lambda a: a * factor["of"])
    line = np.polynomial.Polynomial([0.0, 1.0])
    program = tg.jit(lambda v: scaled(v) + line(v), compile="never")
    np.testing.assert_array_equal(program(V), scaled(V) + line(V))
    factor["of"] = 3.0
    np.testing.assert_array_equal(program(V), 3 * V + V)
    line.coef[1] = 5.0
    np.testing.assert_array_equal(program(V), 3 * V + 5 * V)


def test_whole_numbers_repeat_lists():
    def program(v, n):
        found = [0.0] * n
        for k in range(n):
            found[k] = v[k] * 2
        return np.sum(found) + len(n * [1] + [2])

    for n in (3, np.int64(4)):
        assert tg.jit(program, compile="never")(V, n) == program(V, n)


def test_views_by_strides_are_checked_and_not_written_to():
    strided = np.lib.stride_tricks.as_strided
    with pytest.raises(ShapeError, match=r"leads out of an array of shape \(6,\)"):
        tg.jit(lambda v: strided(v, (5, 3), (8, 8)), compile="never")(V)

    def written(v):
        windows = strided(v, (5, 2), (8, 8))
        windows[0] = 0.0
        return windows

    with pytest.raises(TraceError, match="is a copy in a trace, and is not written to"):
        tg.jit(written, compile="never")(V)
