"""Functions with a derivative of their own: in both modes, compiled, on the tape, of second order."""

import numpy as np
import pytest

import tracegrad as tg
from tracegrad.errors import DifferentiationError, ShapeError, TracegradError

X = np.array([0.3, -1.2, 2.0])


def never(f):
    return tg.jit(f, compile="never")


@tg.custom_vjp
def tripled(x):
    """sin(x), whose derivative is said to be 3·cos(x)."""
    return np.sin(x)


tripled.defvjp(lambda x: (np.sin(x), {"slope": np.cos(x)}), lambda kept, g: (3.0 * g * kept["slope"],))


@tg.custom_jvp
def quadrupled(x, y):
    """x·y, whose derivative is said to be four times of what it is in x, and that in y as it is."""
    return x * y


@quadrupled.defjvp
def _(primals, tangents):
    (x, y), (a, b) = primals, tangents
    return x * y, 4.0 * a * y + x * b


def test_the_value_is_the_functions():
    np.testing.assert_array_equal(tripled(X), np.sin(X))
    np.testing.assert_array_equal(never(tripled)(X), np.sin(X))
    np.testing.assert_allclose(tg.jit(lambda x: tripled(x) + 1)(X), np.sin(X) + 1, rtol=1e-14)
    assert [node.op.name for node in never(tripled).graph(X)] == ["input", "sin"]


@pytest.mark.parametrize("wrap", [lambda f: f, never, tg.jit])
def test_a_vjp_serves_both_modes(wrap):
    f = wrap(lambda x: np.sum(tripled(2 * x)))
    np.testing.assert_allclose(tg.grad(f)(X), 6 * np.cos(2 * X), rtol=1e-12)
    np.testing.assert_allclose(tg.jvp(f, (X,), (X,))[1], np.sum(6 * np.cos(2 * X) * X), rtol=1e-12)
    # the rule is differentiated in turn
    np.testing.assert_allclose(tg.hessian(f)(X), np.diag(-12 * np.sin(2 * X)), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(tg.jacfwd(tg.jacfwd(f))(X), np.diag(-12 * np.sin(2 * X)), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("wrap", [lambda f: f, never, tg.jit])
def test_a_jvp_serves_both_modes(wrap):
    f = wrap(lambda x, y: np.sum(quadrupled(x, y)))
    for gradient in (tg.grad(f, (0, 1))(X, X + 1), tg.vjp(f, X, X + 1)[1](1.0)):
        np.testing.assert_allclose(gradient[0], 4 * (X + 1))
        np.testing.assert_allclose(gradient[1], X)
    np.testing.assert_allclose(tg.jvp(f, (X, X + 1), (X, np.zeros(3)))[1], np.sum(4 * X * (X + 1)))
    np.testing.assert_allclose(tg.jacfwd(tg.grad(f), 1)(X, X), 4 * np.eye(3))


def test_grad_compile_and_a_function_inlined():
    compiled = tg.grad_compile(lambda x: np.sum(tripled(x)))
    np.testing.assert_allclose(compiled.grad(X), 3 * np.cos(X), rtol=1e-12)
    np.testing.assert_allclose(tg.grad_compile(lambda x: compiled(x) * 2.0).grad(X), 6 * np.cos(X), rtol=1e-12)
    np.testing.assert_allclose(tg.grad_compile(lambda x: np.sum(compiled.grad(x))).grad(X), -3 * np.sin(X), rtol=1e-12)


def test_on_the_tape():
    x = tg.tensor(X, requires_grad=True)
    tripled(x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 3 * np.cos(X), rtol=1e-12)


def test_trees_several_results_and_integers():
    @tg.custom_vjp
    def f(p, n):
        return {"power": p["x"] ** n, "sum": np.sum(p["x"]), "count": n}

    def bwd(kept, g):
        # every cotangent is there at once, those of results that are not used are zero
        return {"x": 10.0 * g["power"] + 100.0 * g["sum"] + kept}, None

    f.defvjp(lambda p, n: (f(p, n), np.zeros(3)), bwd)
    p = {"x": X}
    whole = tg.grad(lambda p: np.sum(f(p, 2)["power"]) + 2 * f(p, 2)["sum"])(p)
    np.testing.assert_allclose(whole["x"], np.full(3, 210.0))
    np.testing.assert_allclose(tg.grad(lambda p: f(p, 2)["sum"])(p)["x"], np.full(3, 100.0))
    np.testing.assert_allclose(tg.jvp(lambda p: f(p, 2)["sum"], (p,), (p,))[1], 100 * np.sum(X))


def test_a_rule_that_is_not_linear_serves_its_own_mode():
    @tg.custom_vjp
    def f(x):
        return 1.0 * x

    f.defvjp(lambda x: (x, None), lambda kept, g: (g / np.sqrt(np.sum(g**2)),))
    np.testing.assert_allclose(tg.grad(lambda x: np.sum(4 * f(x)))(X), np.full(3, 3**-0.5))
    with pytest.raises(DifferentiationError, match="given for f is not linear"):
        tg.jvp(f, (X,), (X,))


def test_arguments_that_are_no_arrays():
    @tg.custom_vjp
    def f(x):
        return x

    def g(mode, x):
        return x * 2.0 if mode == "twice" else x

    g = tg.custom_vjp(g, nondiff_argnums=(0,))
    g.defvjp(lambda mode, x: (x, None), lambda mode, kept, c: (c * len(mode),))
    assert tg.grad(lambda x: g("twice", x))(1.0) == 5.0
    assert tg.value_and_grad(lambda x: g("once", x))(1.0) == (1.0, 4.0)
    h = tg.custom_jvp(lambda n, x: x**n, nondiff_argnums=(0,))
    h.defjvp(lambda n, primals, tangents: (primals[0] ** n, tangents[0] * n))
    assert tg.grad(lambda x: h(3, x))(2.0) == 3.0


def test_defjvps():
    f = tg.custom_jvp(lambda x, y: x * y)
    f.defjvps(lambda t, out, x, y: 7.0 * t, None)
    assert tg.grad(f, (0, 1))(2.0, 3.0) == (7.0, 0.0)


def test_values_from_outside():
    def outer(w, x):
        f = tg.custom_vjp(lambda x: w * x)
        f.defvjp(lambda x: (w * x, None), lambda kept, g: (5.0 * g,))
        return f(x)

    assert tg.grad(outer, 1)(2.0, 3.0) == 5.0
    with pytest.raises(DifferentiationError, match=r"reads a value that is differentiated(.|\n)*as an argument") as caught:
        tg.grad(outer, 0)(2.0, 3.0)
    assert caught.value.where.file == __file__
    with pytest.raises(DifferentiationError, match="reads a value"):
        tg.jvp(outer, (2.0, 3.0), (1.0, 0.0))


def test_a_rule_may_call_its_function():
    @tg.custom_vjp
    def doubled(x):
        return np.exp(x)

    def fwd(x):
        y = doubled(x)
        return y, y

    doubled.defvjp(fwd, lambda y, g: (2.0 * g * y,))
    f = doubled
    for order in range(5):
        # the rule's own call has the rule, too
        np.testing.assert_allclose(never(f)(0.5), 2**order * np.exp(0.5), rtol=1e-12)
        f = tg.grad(f)
    with pytest.raises(DifferentiationError, match="of this high an order") as caught:
        tg.grad(f)(0.5)
    assert caught.value.where.file == __file__


def test_a_rule_with_conditions_on_what_is_known():
    f = tg.custom_vjp(lambda x: x)
    f.defvjp(lambda x: (x, None), lambda kept, g: (np.where(g > 0, g, 0.0),))
    np.testing.assert_allclose(tg.grad(lambda x: np.sum(f(x) * np.array([1.0, -1.0, 2.0])))(X), [1.0, 0.0, 2.0])


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: tg.custom_vjp(lambda x: x), DifferentiationError, "custom_vjp without a derivative"),
        (lambda: tg.custom_jvp(lambda x: x), DifferentiationError, "custom_jvp without a derivative"),
        (lambda: with_vjp(lambda x: x, lambda kept, g: (g,)), DifferentiationError, "fwd of .* returns no pair"),
        (lambda: with_vjp(lambda x: (x, x), lambda kept, g: g), DifferentiationError, "bwd of .* returns no tuple"),
        (lambda: with_vjp(lambda x: (x, x), lambda kept, g: (g, g)), DifferentiationError, "2 cotangents for 1 arg"),
        (lambda: with_vjp(lambda x: (x, x), lambda kept, g: (np.sum(g),)), ShapeError, r"cotangent of x has shape \(\)"),
        (lambda: with_jvp(lambda p, t: t[0]), DifferentiationError, "jvp of .* returns no pair"),
        (lambda: with_jvp(lambda p, t: (p[0], t[0][:2])), ShapeError, r"the tangent has shape \(2,\)"),
    ],
)
def test_errors(make, error, match):
    with pytest.raises(error, match=match) as caught:
        tg.grad(lambda x: np.sum(make()(x)))(X)
    assert caught.value.where.file == __file__


def with_vjp(fwd, bwd):
    f = tg.custom_vjp(lambda x: x)
    f.defvjp(fwd, bwd)
    return f


def with_jvp(rule):
    f = tg.custom_jvp(lambda x: x)
    f.defjvp(rule)
    return f


def test_arguments_by_name():
    with pytest.raises(TracegradError, match="by position"):
        tg.grad(lambda x: tripled(x=x))(1.0)
