"""``tg.debug``: where a value stops being finite, and what a traced function prints."""

import numpy as np
import pytest

import tracegrad as tg
from tracegrad import compat
from tracegrad.errors import NonFiniteError


def logarithms(x):
    y = x - 1.0
    return np.sum(np.log(y))  # here


def roots(x):
    y = np.sqrt(x * x)  # here
    return np.sum(y)


@pytest.mark.parametrize("mode", ["now", "never"])
def test_the_first_value_that_is_not_finite(mode):
    compiled = tg.grad_compile(logarithms, compile=mode)
    x = np.array([2.0, 3.0, 1.0])
    for _ in range(3):
        assert compiled(x) == -np.inf  # callers of repeated calls are in front
    with tg.debug.nans(), pytest.raises(NonFiniteError, match=r"log is -inf at index \(2,\), of 0.0") as caught:
        compiled(x)
    assert caught.value.where.text.endswith("# here")
    assert compiled(x) == -np.inf


def test_a_cotangent():
    compiled = tg.grad_compile(roots)
    x = np.array([1.0, 0.0])
    compiled.value_and_grad(x)
    with tg.debug.nans():
        assert compiled(x) == 1.0
        with pytest.raises(NonFiniteError, match="in a cotangent") as caught:
            compiled.value_and_grad(x)
    assert caught.value.where.text.endswith("# here")


def test_an_argument_and_what_is_finite():
    compiled = tg.jit(lambda x: np.maximum(x, -np.inf) * 2.0)
    with tg.debug.nans():
        np.testing.assert_array_equal(compiled(np.array([1.0, 2.0])), [2.0, 4.0])
        with pytest.raises(FloatingPointError, match=r"the argument x is nan at index \(1,\)"):
            compiled(np.array([1.0, np.nan]))


def test_a_transform_of_a_plain_function():
    with tg.debug.nans(), pytest.raises(NonFiniteError, match="divide is inf"):  # the value is no part of it
        tg.grad(logarithms)(np.array([1.0]))


# -- tg.debug.print -----------------------------------------------------------------------------------------------------

POINT = np.array([1.0, 2.0])
LINES = "first [1. 2.] of 1.50\nhello\n{'y': array([2., 4.])} 3\n"


def told(x):
    tg.debug.print("first {} of {half:.2f}", x, half=x[0] + 0.5)
    y = x * 2
    tg.debug.print("hello")
    tg.debug.print("{} {}", {"y": y}, 3)
    return np.sum(y**2)


@pytest.mark.parametrize("mode", ["never", "now", "background"])
def test_prints_at_every_call_in_order(mode, capsys):
    compiled = tg.grad_compile(told, compile=mode)
    for call in (compiled, compiled.grad, compiled.value_and_grad):
        for _ in range(4):  # traced, by the general path, by a caller
            call(POINT)
            assert capsys.readouterr().out == LINES
    assert compiled(POINT) == 20.0
    np.testing.assert_array_equal(compiled.grad(POINT), [8.0, 16.0])
    value, slope = compiled.value_and_grad(POINT)
    assert (value, *slope) == (20.0, 8.0, 16.0)


def test_what_is_printed_costs_no_second_program():
    compiled = tg.jit(told)
    compiled(POINT)
    assert (compiled.stats.traces, compiled.stats.compiles + compiled.stats.cache_hits) == (1, 1)
    assert len(compiled.graph(POINT).outputs) == 4


@pytest.mark.parametrize(
    "call",
    [
        lambda x: tg.grad(told)(x),
        lambda x: tg.hessian(told)(x),
        lambda x: tg.jvp(told, (x,), (x,)),
        lambda x: tg.vjp(told, x)[1](1.0),
        lambda x: tg.jit(tg.grad(tg.jit(told)), compile="never")(x),
        lambda x: tg.jit(lambda x: tg.jit(told)(x) + 1.0, compile="never")(x),
        lambda x: tg.jit(told, compile="never")(x, out=np.empty(())),
        told,
        lambda x: compat.grad(told)(x),
        lambda x: compat.grad(compat.grad(lambda s: told(s * x)))(1.0),
    ],
)
def test_derivatives_print_the_values_once(call, capsys):
    call(POINT)
    assert capsys.readouterr().out == LINES


def test_out_and_prints(capsys):
    compiled, out = tg.jit(told), np.empty(())
    for _ in range(3):
        assert compiled(POINT, out=out) is out
        assert out == 20.0
        assert capsys.readouterr().out == LINES


def test_prints_of_tensors(capsys):
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    tg.debug.print("{}", x)
    assert capsys.readouterr().out == "tensor([1., 2.], requires_grad=True)\n"
    loss = tg.jit(told, compile="never")(x)
    assert capsys.readouterr().out == LINES.replace("4.])", "4.], dtype=float32)")
    loss.backward()
    assert capsys.readouterr().out == ""
    np.testing.assert_array_equal(x.grad.numpy(), [8.0, 16.0])
    with pytest.raises(tg.errors.TraceError, match="programs of tensors do not run"):
        tg.compile(lambda x: tg.debug.print("{}", x) or x)(x)


@pytest.mark.parametrize("mode", ["never", "now"])
def test_maps_print_a_line_for_each_element(mode, capsys):
    def inner(a, b):
        tg.debug.print("{} {}", a, b)
        return a * b

    def outer(x, y):
        tg.debug.print("once {}", x.shape)
        return tg.vmap(tg.vmap(inner, (None, 0)), (0, None))(x, y)

    found = tg.jit(outer, compile=mode)(POINT, np.arange(3.0))
    np.testing.assert_array_equal(found, np.outer(POINT, np.arange(3.0)))
    assert capsys.readouterr().out == "once (2,)\n1.0 0.0\n1.0 1.0\n1.0 2.0\n2.0 0.0\n2.0 1.0\n2.0 2.0\n"
    tg.vmap(lambda x, y: tg.debug.print("shared {}", y), (0, None))(POINT, 5.0)
    assert capsys.readouterr().out == "shared 5.0\n"


def test_prints_see_what_was_written_so_far(capsys):
    def function(x):
        y = np.zeros(2)
        tg.debug.print("{}", y)
        y[0] = x[1]
        tg.debug.print("{}", y)
        y[1] = x[0]
        return y

    tg.jit(function)(POINT)
    assert capsys.readouterr().out == "[0. 0.]\n[2. 0.]\n"


def test_rules_for_derivatives_print_nothing(capsys):
    doubled = tg.custom_vjp(lambda x: tg.debug.print("x {}", x) or 2 * x)

    def forward(x):
        tg.debug.print("x {}", x)
        return 2 * x, None

    doubled.defvjp(forward, lambda _, g: (2 * g,))
    assert tg.grad(doubled)(3.0) == 2.0
    assert capsys.readouterr().out == "x 3.0\n"

    def backward(_, g):
        tg.debug.print("g {}", g)
        return (2 * g,)

    doubled.defvjp(forward, backward)
    with pytest.raises(tg.errors.TraceError, match="of a cotangent or a tangent"):
        tg.grad(doubled)(3.0)


WRONG = {
    "too few": (lambda x: tg.debug.print("{} {}", x), "out of range"),
    "too many": (lambda x: tg.debug.print("no value", x), "value 0 is not in the format"),
    "by name": (lambda x: tg.debug.print("{y}", x=x), "'y'"),
    "spec": (lambda x: tg.debug.print("{:.3f}", x), "unsupported format string"),
    "no format": (lambda x: tg.debug.print(x), "begins with an array"),
}


@pytest.mark.parametrize("run", [lambda f: f(POINT), lambda f: tg.jit(f, compile="never")(POINT)], ids=["plain", "traced"])
@pytest.mark.parametrize("name", WRONG)
def test_formats_that_do_not_fit(name, run):
    function, text = WRONG[name]
    with pytest.raises(tg.errors.TracegradError, match=text) as caught:
        run(function)
    assert caught.value.where.file == __file__
    assert "tg.debug.print(" in caught.value.fix


# -- print, and what else is seen of tracing ----------------------------------------------------------------------------

LOG = []
CALLS = 0


def loud(x, n):
    global CALLS
    print("rows", len(x))
    print(x)
    LOG.append(len(x))
    CALLS += 1
    return np.sum(x) / len(x) + np.sum(np.zeros(n))


def test_tracing_is_seen_once(capsys):
    LOG.clear()
    before = CALLS
    compiled = tg.jit(loud)
    for rows in (2, 1, 5):
        x = np.ones((rows, 3))
        compiled(x, 4)
        compiled(x, 4)
        out = capsys.readouterr().out
        assert out == f"rows {rows}\n<traced float64[{rows},3]; tg.debug.print shows its value at every call>\n"
    assert LOG == [2, 1, 5]
    assert CALLS - before == 3
    assert compiled.stats.traces == 3
