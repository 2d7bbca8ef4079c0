"""out=: results written to the caller's arrays, which are looked at first."""

from __future__ import annotations

import numpy as np
import pytest

import tracegrad as tg
from tracegrad.errors import DtypeError, ShapeError, TracegradError, TreeError

X = np.arange(4.0)


@pytest.fixture(params=["now", "never"], scope="module")
def loss(request):
    def loss(p):
        return np.sum(p["a"] * p["b"])

    return tg.grad_compile(compile=request.param)(loss)


def arrays():
    return np.empty(()), {"a": np.empty(4), "b": np.empty(())}


def test_results_are_written_to_the_callers_arrays(loss):
    for _ in range(3):
        value, gradient = arrays()
        result = loss.value_and_grad({"a": X, "b": 2.0}, out=(value, gradient))
        assert result[0] is value
        assert result[1]["a"] is gradient["a"]
        assert result[1]["b"] is gradient["b"]
        assert value[()] == 12.0
        np.testing.assert_array_equal(gradient["a"], np.full(4, 2.0))
        assert gradient["b"][()] == 6.0


def test_repeated_calls_look_at_new_arrays():
    double = tg.jit(lambda x, y: (2 * x, 3 * y))
    one, other = np.empty(4), np.empty(4)
    for _ in range(3):
        out = one, other
        assert double(X, X, out=out) is out
        np.testing.assert_array_equal(other, 3 * X)
    again = np.empty(4)
    assert double(X, X, out=(again, other))[0] is again
    np.testing.assert_array_equal(again, 2 * X)
    fixed = np.empty(4)
    fixed.flags.writeable = False
    y = X.copy()
    for bad in ((one, one), (one, y), (one, np.empty(4, np.float32)), (one, np.empty(5)), (one, fixed), [one, other]):
        with pytest.raises(TracegradError):
            double(X, y, out=bad)
    np.testing.assert_array_equal(y, X)
    assert double(X, X)[0] is not one


def test_none_stands_for_new_arrays(loss):
    _, gradient = arrays()
    value, result = loss.value_and_grad({"a": X, "b": 2.0}, out=(None, {"a": gradient["a"], "b": None}))
    assert type(value) is np.float64
    assert result["a"] is gradient["a"]
    assert result["b"] == 6.0
    np.testing.assert_array_equal(gradient["a"], np.full(4, 2.0))
    assert loss.value_and_grad({"a": X, "b": 2.0}, out=(None, None))[0] == 12.0


def test_a_result_that_is_there_twice():
    twice = tg.jit(lambda x: (2 * x, 2 * x))
    one, other = np.empty(4), np.empty(4)
    for out in ((one, other), (None, other), (one, None)):
        results = twice(X, out=out)
        for k, array in enumerate(out):
            assert array is None or results[k] is array
            np.testing.assert_array_equal(results[k], 2 * X)


@pytest.mark.parametrize(
    ("a", "error", "text"),
    [
        (np.empty(5), ShapeError, r"out\[1\]\['a'\] has shape \(5,\), the result there has \(4,\)"),
        (np.empty(4, np.float32), DtypeError, r"out\[1\]\['a'\] has dtype float32, the result there has float64"),
        (np.empty(8)[::2], TracegradError, r"out\[1\]\['a'\] is not contiguous"),
        (np.broadcast_to(0.0, 4), TracegradError, r"out\[1\]\['a'\] is read-only"),
        ([0.0] * 4, TracegradError, r"out\[1\]\['a'\] is of type list, which is no array"),
        (X, TracegradError, r"out\[1\]\['a'\] shares memory with an array that the function reads"),
    ],
    ids=["shape", "dtype", "strided", "read-only", "list", "input"],
)
def test_other_arrays_are_refused(loss, a, error, text):
    with pytest.raises(error, match=text):
        loss.value_and_grad({"a": X, "b": 2.0}, out=(None, {"a": a, "b": None}))


def test_memory_that_is_shared_between_results():
    pair = tg.jit(lambda x: (x + 1, x + 2), compile="never")
    memory = np.empty(5)
    with pytest.raises(TracegradError, match=r"out\[1\] shares memory with out\[0\]"):
        pair(X, out=(memory[:4], memory[1:]))


@pytest.mark.parametrize("out", [[None, None], (None,), (None, {"a": None}), (None, {"a": None, "c": None})])
def test_another_structure_is_refused(loss, out):
    with pytest.raises(TreeError, match="out"):
        loss.value_and_grad({"a": X, "b": 2.0}, out=out)


def test_captured_arrays_are_read_too():
    weights = np.ones(4)
    scaled = tg.jit(lambda x: x * weights, compile="never")
    with pytest.raises(TracegradError, match="shares memory with an array that the function reads"):
        scaled(X, out=weights)


def test_tensors_have_no_out():
    double = tg.jit(lambda x: 2 * x, compile="never")
    with pytest.raises(TracegradError, match="given tensors"):
        double(tg.tensor(X), out=np.empty(4))


def test_a_parameter_named_out_is_the_functions_own():
    add = tg.jit(lambda x, out: x + out, compile="never")
    np.testing.assert_array_equal(add(X, out=X), 2 * X)


def test_threads_do_not_change_results():
    def chain(x):
        return np.sum(np.tanh(1.5 * x + 0.3) ** 2 * np.exp(-x * x))

    x = np.linspace(-2.0, 2.0, 100_000)
    compiled = tg.grad_compile(chain).value_and_grad
    value, gradient = compiled(x)
    results = [tg.grad_compile(threads=1)(chain).value_and_grad(x)]
    for threads in (1, 2, None, 3):
        tg.set_num_threads(threads)
        results += [compiled(x), compiled(x)]
    with tg.config.override(threads=1):
        assert tg.get_num_threads() == 1
        results.append(compiled(x))
    for one, other in results:
        assert one.tobytes() == value.tobytes()
        assert other.tobytes() == gradient.tobytes()


def test_bounds_of_threads_hold_together():
    def chain(x):
        return np.sum(np.exp(-x * x) * np.tanh(x))

    x = np.linspace(-2.0, 2.0, 200_000)
    compiled = tg.jit(threads=3)(chain)
    compiled(x)
    executable = next(iter(compiled._programs.values())).executable
    assert executable.threaded

    def limits():
        return set(executable.words()[list(executable.threaded)])

    assert limits() == {3}
    with tg.config.override(threads=2):
        assert limits() == {2}
    with tg.config.override(threads=1):
        assert limits() == {0}  # the caller's thread alone
    with tg.config.override(threads=4):
        assert limits() == {3}


@pytest.mark.parametrize("threads", [0, -1, 1.5, True, "2"])
def test_numbers_of_threads_that_are_none(threads):
    with pytest.raises(TracegradError, match="is no number of threads"):
        tg.jit(threads=threads)(lambda x: x)
    with pytest.raises((TypeError, ValueError), match=r"config\.threads"):
        tg.set_num_threads(threads)
