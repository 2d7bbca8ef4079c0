"""compile="background": answers from the interpreter, kernels when they are there, and what goes wrong on the way."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import tracegrad as tg
from tracegrad import background
from tracegrad.core.op import elementwise
from tracegrad.errors import BackgroundWarning, CompileError, DifferentiationError


def loss(w, x):
    return np.sum(np.tanh(x @ w) ** 2)


ARGUMENTS = (np.linspace(-0.5, 0.5, 3), np.arange(12.0).reshape(4, 3) / 7)


@pytest.fixture(autouse=True)
def _traced_anew():
    before = tg.config.keep_traces
    tg.config.keep_traces = False
    yield
    tg.config.keep_traces = before


@contextlib.contextmanager
def held(monkeypatch):
    """Background compilations that go no further until the block ends."""
    gate = threading.Event()
    kernels_made = background.kernels_made

    def waiting(compilation):
        gate.wait(60)
        yield from kernels_made(compilation)

    with monkeypatch.context() as patched:
        patched.setattr(background, "kernels_made", waiting)
        try:
            yield
        finally:
            gate.set()


def _until(condition):
    limit = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < limit, "the kernels did not arrive"
        time.sleep(0.01)


def test_the_interpreter_answers_until_the_kernels_are_there(monkeypatch):
    compiled = tg.grad_compile(loss, compile="background")
    with held(monkeypatch):
        first = compiled.value_and_grad(*ARGUMENTS)
        assert compiled.stats.kernels == 0
        assert set(compiled.stats.seconds) == {"trace", "differentiate", "rewrite"}
    expected = tg.grad_compile(loss, compile="never").value_and_grad(*ARGUMENTS)
    assert first[0] == expected[0]
    np.testing.assert_array_equal(first[1], expected[1])
    _until(lambda: compiled.stats.kernels)
    later = compiled.value_and_grad(*ARGUMENTS)
    native = tg.grad_compile(loss).value_and_grad(*ARGUMENTS)
    assert later[0] == native[0]
    np.testing.assert_array_equal(later[1], native[1])
    assert compiled.stats.traces == 1
    assert "one native call" in str(compiled.explain(*ARGUMENTS))


def test_explain_and_source_wait_for_the_kernels():
    compiled = tg.jit(lambda x: x * 2 + np.sin(x), compile="background")
    assert "def run_" in compiled.source(ARGUMENTS[0])
    assert "compile (" in compiled.explain(ARGUMENTS[0])


def test_tensors_get_kernels_too(monkeypatch):
    compiled = tg.grad_compile(loss, compile="background")
    x = tg.tensor(ARGUMENTS[1])
    expected = tg.grad_compile(loss, compile="never").grad(*ARGUMENTS)
    with held(monkeypatch):
        w = tg.tensor(ARGUMENTS[0], requires_grad=True)
        compiled(w, x).backward()
        np.testing.assert_allclose(w.grad.numpy(), expected, rtol=1e-12)
    _until(lambda: compiled.stats.kernels)
    w = tg.tensor(ARGUMENTS[0], requires_grad=True)
    compiled(w, x).backward()
    np.testing.assert_allclose(w.grad.numpy(), expected, rtol=1e-12)


def test_errors_of_the_users_code_come_at_the_call():
    compiled = tg.grad_compile(lambda x: np.tanh(x), compile="background")
    with pytest.raises(DifferentiationError, match="needs a scalar loss"):
        compiled.grad(np.ones(3))

    def broken(x):
        raise ValueError("the user's own")

    with pytest.raises(ValueError, match="the user's own"):
        tg.jit(broken, compile="background")(1.0)


def test_an_op_without_native_code_is_refused_at_once():
    absent = elementwise("absent", np.sinh, (lambda out, x: x,), None, doc="", samples=(), torch=("", ""))
    compiled = tg.jit(lambda x: absent(x), compile="background")
    with pytest.raises(CompileError, match="no native code"):
        compiled(np.eye(2))


def test_a_compilation_that_fails_is_told_once_and_the_interpreter_goes_on(monkeypatch):
    gate = threading.Event()

    def failing(compilation):
        gate.wait(60)
        raise CompileError("LLVM has had enough")
        yield compilation

    monkeypatch.setattr(background, "kernels_made", failing)
    compiled = tg.jit(lambda x: x * 3.0, compile="background")
    x = np.arange(3.0)
    np.testing.assert_array_equal(compiled(x), x * 3)
    gate.set()
    with pytest.raises(CompileError, match="has had enough"):
        compiled.explain(x)
    np.testing.assert_array_equal(compiled(x), x * 3)  # who has seen the error is not warned

    gate.clear()
    other = tg.jit(lambda x: x * 4.0, compile="background")
    assert other(2.0) == 8.0
    gate.set()
    _until(lambda: not any(t.name.startswith("compiles") for t in threading.enumerate()))
    with pytest.warns(BackgroundWarning, match=r"LLVM has had enough\n.*on the interpreter"):
        assert other(2.0) == 8.0
    assert other(2.0) == 8.0


def test_many_threads_share_one_compilation():
    compiled = tg.grad_compile(loss, compile="background")
    expected = tg.grad_compile(loss, compile="never").grad(*ARGUMENTS)
    agreed = []

    def work():
        agreed.extend(np.allclose(compiled.grad(*ARGUMENTS), expected, rtol=1e-12) for _ in range(50))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    compiled.explain(*ARGUMENTS)
    compiled.grad(*ARGUMENTS)
    assert agreed == [True] * 200
    assert compiled.stats.traces == 1
    assert compiled.stats.compiles + compiled.stats.cache_hits <= 2  # grad, and value_and_grad for explain


def test_a_process_that_ends_while_compiling_ends_cleanly(tmp_path):
    text = (
        "import numpy as np, tracegrad as tg\n"
        "f = tg.grad_compile(lambda x: np.sum(np.tanh(x) * 1.234), compile='background')\n"
        "print(f.grad(np.ones(3)).shape)\n"
    )
    environment = {**os.environ, "TRACEGRAD_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", text], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "(3,)", "")


def test_the_modes_are_named_where_one_is_misspelt():
    with pytest.raises(tg.errors.TracegradError, match='"now", "background" or "never"'):
        tg.jit(np.sin, compile="later")
