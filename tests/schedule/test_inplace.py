"""Arrays behind one another are written by the kernels that compute their parts."""

from dataclasses import replace

import numpy as np
import pytest

import tracegrad as tg
from tests.support import planned
from tracegrad.schedule.inplace import place_parts
from tracegrad.schedule.plan import schedule, verify_program

X = np.random.default_rng(0).uniform(0.5, 1.5, 200)
Y = X.reshape(20, 10)
WIDE = np.random.default_rng(1).uniform(0.5, 1.5, (6, 40))


def diffusion(x):
    inner = x[1:-1] + 0.1 * (x[2:] - 2.0 * x[1:-1] + x[:-2]) * (1.0 + x[1:-1] ** 2)
    return np.concatenate([x[:1], inner, x[-1:]])


def by_rows(x):
    return np.concatenate([np.exp(np.sin(x[:, :30])) * x[:, 10:], x[:, :2]], axis=1)


def stacked(x):
    return np.stack([np.exp(np.sin(x)) * np.cos(x), np.tanh(x) / np.sin(x)])


def doubled(x):
    y = np.exp(np.sin(x)) * np.cos(x)
    return np.concatenate([y, x, y])


def framed(x):
    edge = np.zeros(3)
    return np.concatenate([edge, np.exp(np.sin(x)) * np.cos(x), edge])


def nested(x):
    y = np.exp(np.sin(x)) * np.cos(x)
    return np.vstack([np.hstack([y, np.tanh(x) ** 3 * y[::-1]]), np.hstack([x, y * 2.0])])


def of_row_sums(x):
    return np.concatenate([np.sum(np.exp(x), axis=1), np.max(x, axis=1) * 2.0, x[0]])


def twice(x):
    y, z = np.exp(np.sin(x)) * np.cos(x), np.tanh(x) * np.sin(x) ** 2
    return np.concatenate([x[:2], y]), np.concatenate([x[:2], z, x[:2]])


def multiplied(x):
    both = np.concatenate([np.exp(np.sin(x)) * np.cos(x), x[:4]], axis=0)
    return both @ np.ones(both.shape[1]), both


def turned(x):
    return np.concatenate([np.exp(np.sin(x.T)) * np.cos(x.T), x.T], axis=0)


def short_rows(x):
    y = np.exp(np.sin(x)) * np.cos(x)
    return np.concatenate([y, y * x], axis=1)


def columns(x):
    return np.stack([np.cos(x) * x, x, np.exp(np.sin(x)) * np.cos(x)], axis=1)


def in_order(x):
    y = np.concatenate([x[:1], np.exp(np.sin(x[1:-1])) * np.cos(x[1:-1]), x[-1:]])
    return np.concatenate([x[:2], y[1:-1].reshape(2, -1).reshape(-1), x[:2]])


def pairs(x):
    return np.stack([x[1:], 2.0 * x[:-1]], axis=1).reshape(-1)


def integers(x):
    k = np.arange(len(x))
    return np.concatenate([k * k % 7, k[:3]]), np.concatenate([x > 1.0, x[:3] < x[1:4]])


def read_elsewhere(x):
    y = np.exp(np.sin(x)) * np.cos(x)
    return np.concatenate([x[:2], y]), np.cumsum(y)


PROGRAMS = [
    (diffusion, X),
    (by_rows, WIDE),
    (stacked, X),
    (stacked, WIDE),
    (doubled, X),
    (framed, X),
    (nested, X),
    (of_row_sums, WIDE),
    (twice, X),
    (multiplied, WIDE),
    (turned, WIDE),
    (short_rows, Y),
    (columns, X),
    (columns, X.astype(np.float32)),
    (lambda x: np.column_stack([np.cumsum(x), np.exp(np.sin(x)) * x]), X),
    (in_order, X),
    (pairs, X),
    (integers, X),
    (read_elsewhere, X),
    (diffusion, X.astype(np.float32)),
    (by_rows, WIDE.repeat(50, axis=0)),
]


def programs(function, x):
    before = schedule(planned(function, x).general)
    return before, place_parts(before)


@pytest.mark.parametrize(("function", "x"), PROGRAMS, ids=lambda value: getattr(value, "__name__", ""))
def test_values_are_those_of_the_interpreter(function, x):
    fast, exact = (tg.jit(function, compile=mode)(x) for mode in ("now", "never"))
    for a, b in zip(*(each if isinstance(each, tuple) else (each,) for each in (fast, exact)), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-6 if x.dtype == np.float32 else 1e-13)


@pytest.mark.parametrize("function", [diffusion, doubled, framed, nested])
def test_so_are_derivatives(function):
    def loss(x):
        return np.sum(function(x) ** 2)

    fast, exact = (tg.grad_compile(loss, compile=mode).grad(X) for mode in ("now", "never"))
    np.testing.assert_allclose(fast, exact, rtol=1e-12)


@pytest.mark.parametrize(
    ("function", "x", "kernels"),
    [
        (diffusion, X, 2),
        (by_rows, WIDE, 2),
        (stacked, X, 1),
        (doubled, X, 1),
        (framed, X, 2),
        (of_row_sums, WIDE, 3),
        (columns, X, 1),
        (in_order, X, 2),
        (pairs, X, 1),
    ],
)
def test_no_kernel_assembles_the_array(function, x, kernels):
    _, after = programs(function, x)
    [host] = {place.host for where in after.placed.values() for place in where}
    assert host in after.results
    assert len(after.kernels) == kernels
    assert not any(host in kernel.nodes for kernel in after.kernels)
    source = tg.jit(function).source(x)
    assert not any(word in source for word in ("where", "quotient", "leftover"))
    verify_program(after)


def test_columns_beside_one_another_are_stored_as_whole_vectors():
    source = tg.jit(columns).source(X)
    for place in ("out0[at0]", "out0[at0 + 1]", "out0[at0 + 2]"):
        assert f"{place} = " in source
    assert "i * 3" in source


def test_what_lies_in_the_array_takes_no_memory():
    fast = tg.jit(diffusion)
    assert fast.explain(X).count("byte 0") == 0
    assert "out0[at1] = " in fast.source(X)


def test_what_is_common_to_two_arrays_is_copied_once():
    _, after = programs(twice, X)
    assert len({place.host for where in after.placed.values() for place in where}) == 2
    [start] = [n for n, where in after.placed.items() if len(where) == 3]
    assert sum(start in kernel.nodes for kernel in after.kernels) == 1


@pytest.mark.parametrize(("function", "x"), [(short_rows, Y), (read_elsewhere, X), (lambda x: np.concatenate([x, x[:2]]), X)])
def test_arrays_are_put_together_as_before_where_that_would_not_pay(function, x):
    before, after = programs(function, x)
    assert after is before


def test_a_result_is_there_when_all_of_its_parts_are():
    _, after = programs(diffusion, X)
    with pytest.raises(AssertionError, match="result is not computed"):
        verify_program(replace(after, kernels=after.kernels[:-1]))


def test_one_program_serves_all_sizes():
    fast = tg.jit(diffusion)
    assert len({fast.source(np.ones(n)) for n in (4, 10, 1000, 20_000)}) == 1


def test_threads_write_their_own_parts():
    x = np.random.default_rng(2).standard_normal(400_000)
    fast, exact = (tg.jit(diffusion, **options)(x) for options in ({"threads": 2}, {"compile": "never"}))
    np.testing.assert_allclose(fast, exact, rtol=1e-13, atol=1e-15)
