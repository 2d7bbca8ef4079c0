"""Kernels of two versions: where the quick one leaves a result open, the exact one gives what the interpreter gives."""

import numpy as np
import pytest

import tracegrad as tg
from tests.support import planned

DRAW = np.random.default_rng(0)
BAD = (np.nan, np.inf, -np.inf)


def where_log(x):
    """Zero cotangents meet partials that are not finite wherever x <= 0."""
    kept = np.where(x > 0.0, np.log(x) * np.sqrt(x) * np.exp(-x), 0.0)
    return np.sum(kept * kept * x)


def by_rows(x):
    total = np.sum(np.exp(x) * x, axis=1)
    kept = np.where(np.isfinite(total), total, 0.0)
    return np.sum(np.tanh(kept) * kept) + np.sum(np.where(np.isfinite(x), np.sin(x) * x * np.exp(x), 0.0))


def by_columns(x):
    total = np.sum(np.where(x > 0.0, np.log(x) * x, 0.0) ** 3, axis=0)
    return np.sum(np.tanh(total) * total)


def scaled(x):
    gain = np.where(x[0] > 0.0, np.log(x[0]) ** 3, 0.0)
    safe = np.where(x > 0.0, np.sqrt(x) * np.log(x), x)
    return np.sum(safe * gain * np.exp(-x * x))


def scalars(x):
    state, total = x[0], 0.0
    for k in range(1, len(x)):
        state = np.where(x[k] > 0.0, state * np.log(x[k]) + np.sqrt(x[k]), state * 0.5)
        total = total + np.sin(state) * state
    return total


def compared(x):
    """The gradient's gradient compares what is in doubt."""
    slope = tg.grad_compile(where_log).grad(x)
    return np.sum(np.where(slope > 0.5, slope * slope, -slope))


PROGRAMS = [where_log, by_rows, by_columns, scaled, scalars, compared]


def argument(function, size):
    shape = (7,) if function is scalars else (size,) if function in (where_log, compared) else (size // 20, 20)
    return DRAW.uniform(0.2, 1.5, shape)


@pytest.mark.parametrize("function", PROGRAMS)
@pytest.mark.parametrize("size", [60, 10_000])
def test_zeros_absorb_in_compiled_programs_as_in_the_interpreter(function, size):
    fast, exact = tg.grad_compile(function), tg.grad_compile(function, compile="never")
    x = argument(function, size)
    for bad in (None, -1.0, 0.0, *BAD):
        spoilt = x.copy()
        if bad is not None:
            spoilt.flat[size // 3 % x.size] = bad
            spoilt.flat[0] = bad if function in (scaled, scalars) else spoilt.flat[0]
        value, gradient = fast.value_and_grad(spoilt)
        with np.errstate(all="ignore"):
            expected, expected_gradient = exact.value_and_grad(spoilt)
        np.testing.assert_allclose(value, expected, rtol=1e-12)
        np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("function", [where_log, by_rows, scalars, compared])
def test_these_programs_have_kernels_of_two_versions(function):
    x = argument(function, 60)
    assert "confirm(" in tg.grad_compile(function).source(x)


def test_the_version_is_chosen_by_chunks_whatever_the_threads():
    x = DRAW.uniform(0.2, 1.5, 300_000)
    x[[5, 70_000, 290_000]] = -1.0
    one, two = (tg.grad_compile(where_log, threads=n).value_and_grad(x) for n in (1, 2))
    assert one[0].tobytes() == two[0].tobytes()
    assert one[1].tobytes() == two[1].tobytes()
    assert np.isfinite(one[1]).all()


def test_values_without_doubt_are_not_watched():
    def plain(x):
        return np.sum(np.exp(x) + x)

    generated = planned(plain, np.ones(5), wrt=(0,)).generated
    assert "watch" not in generated.source


def test_loops_that_only_watch_go_with_what_they_watch():
    def scaled(x, gain):
        return np.sum(x * gain) + np.sum(np.exp(x))

    x, gain = DRAW.uniform(size=(40, 5)), DRAW.uniform(size=5)
    fast, exact = (tg.grad_compile(scaled, argnums=1, compile=mode).grad(x, gain) for mode in ("now", "never"))
    np.testing.assert_allclose(fast, exact, rtol=1e-12)
