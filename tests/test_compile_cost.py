"""What compiling costs: texts and counts that must not grow with the graph, and the results of the forms that keep it so."""

from __future__ import annotations

import numpy as np
import pytest

import tracegrad as tg
from tracegrad.runtime import machine


def _layers(depth, width=5):
    def loss(weight, x):
        for _ in range(depth):
            x = np.tanh(x.T @ weight) * 0.5 + x  # turned, since layers over the same rows are one launch
        return np.sum(x**2)

    rng = np.random.default_rng(3)
    return loss, (rng.normal(size=(width, width)) * 0.3, rng.normal(size=(width, width)))


def _entry_lines(compiled, arguments):
    text = str(compiled.source(*arguments))
    return [line for line in text[text.index("def run_") :].splitlines() if line.strip()]


def test_many_launches_are_a_loop_and_give_the_results_of_the_interpreter():
    loss, arguments = _layers(12)
    compiled = tg.grad_compile(loss, argnums=(0, 1))
    value, gradients = compiled.value_and_grad(*arguments)
    expected, right = tg.grad_compile(loss, argnums=(0, 1), compile="never").value_and_grad(*arguments)
    assert value == pytest.approx(expected, rel=1e-12)
    for gradient, reference in zip(gradients, right, strict=True):
        np.testing.assert_allclose(gradient, reference, rtol=1e-10, atol=1e-12)
    lines = _entry_lines(compiled, arguments)
    assert any("range(" in line for line in lines)
    assert len(lines) < 40


def test_scalars_reach_the_kernels_of_a_looped_entry():
    turn = np.tril(np.ones((7, 7)))

    def loss(x, a, n, s):
        for k in range(30):
            x = (turn @ x) * a + s if k % 2 else x[::-1] * s + n
        return np.sum(x)

    arguments = (np.linspace(-1.0, 1.0, 7), np.float32(0.5), 3, 0.25)
    value, gradient = tg.grad_compile(loss).value_and_grad(*arguments)
    expected, right = tg.grad_compile(loss, compile="never").value_and_grad(*arguments)
    assert value == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(gradient, right, rtol=1e-12)


def test_a_looped_entry_has_few_lines_more_for_many_more_launches():
    counts = []
    for depth in (12, 48):
        loss, arguments = _layers(depth)
        counts.append(len(_entry_lines(tg.grad_compile(loss), arguments)))
    assert counts[1] - counts[0] <= 8


def test_scalars_that_read_each_other_twice_are_expanded_once():
    def loss(x):
        s = x[0]
        for _ in range(22):
            s = s + s * x[1]
        return s * x[2]

    x = np.array([0.3, 0.1, 2.0])
    value, gradient = tg.grad_compile(loss).value_and_grad(x)
    assert value == pytest.approx(0.3 * 1.1**22 * 2.0, rel=1e-13)
    np.testing.assert_allclose(gradient, value / x * [1.0, 22 * 0.1 / 1.1, 1.0], rtol=1e-13)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_one_text_serves_products_that_need_different_parts_of_the_routine(dtype):
    compiled = tg.grad_compile(lambda w, x: np.sum(np.tanh(x @ w) ** 2), argnums=(0, 1))
    rng = np.random.default_rng(4)
    programs = set()
    for columns in (3, 11, 20, 33, 70, 5):
        w, x = rng.normal(size=(9, columns)).astype(dtype), rng.normal(size=(30, 9)).astype(dtype)
        value, gradients = compiled.value_and_grad(w, x)
        slope = 2 * np.tanh(x @ w) * (1 - np.tanh(x @ w) ** 2)
        tolerance = 1e-11 if dtype == "float64" else 2e-4
        assert value == pytest.approx(np.sum(np.tanh(x @ w) ** 2), rel=tolerance)
        np.testing.assert_allclose(gradients[0], x.T @ slope, rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(gradients[1], slope @ w.T, rtol=tolerance, atol=tolerance)
        programs.add(str(compiled.source(w, x)))
    assert len(programs) <= 2


def test_a_program_is_linked_to_the_parts_of_routines_that_its_rows_need():
    name = "tracegrad.codegen.microkernels.gemm.float64.ennennennnnnnnennn"
    functions = [[part.rsplit(".", 2)[0].rpartition(".")[2] for part in parts] for parts in machine.with_parts([name], 8)]
    assert functions == [["gemm", "pack"], ["tile_of_two", "wide"]]
    for anything in (0, 1 << 62):
        needed, absent = machine.with_parts([name], anything)
        assert len(needed) == 4
        assert not absent
