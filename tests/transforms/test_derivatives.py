"""grad, vjp, jvp and their kin against closed forms: of each other, compiled, inside of traces, on pytrees."""

import dataclasses
import functools
import itertools

import numpy as np
import pytest

import tracegrad as tg
from tracegrad.errors import DifferentiationError, DtypeError, ShapeError, TraceError, TracegradError, TreeError

X = np.array([0.3, -1.2, 2.0])
SCALE = np.array([1.0, 2.0, 3.0])


def never(f):
    return tg.jit(f, compile="never")


def smooth(x):
    return np.sum(np.sin(x) * np.exp(0.5 * x))


def derivative(x, order):
    """Of sin(x)·exp(x/2), as the imaginary part of (1/2 + i)^k exp((1/2 + i) x)."""
    return ((0.5 + 1j) ** order * np.exp((0.5 + 1j) * x)).imag


def test_gradients_to_the_fourth_order():
    f = lambda x: np.sin(x) * np.exp(0.5 * x)
    for order in range(5):
        np.testing.assert_allclose(f(0.7), derivative(0.7, order), rtol=1e-12)
        f = tg.grad(f)


@pytest.mark.parametrize("chain", list(itertools.product("fr", repeat=3)))
def test_every_nesting_of_the_two_modes_gives_the_third_derivative(chain):
    def differentiated(f, mode):
        if mode == "r":
            return lambda x: tg.vjp(f, x)[1](1.0)[0]
        return lambda x: tg.jvp(f, (x,), (1.0,))[1]

    f = lambda x: np.sin(x) * np.exp(0.5 * x)
    for mode in chain:
        f = differentiated(f, mode)
    np.testing.assert_allclose(f(0.7), derivative(0.7, 3), rtol=1e-12)
    np.testing.assert_allclose(never(f)(0.7), derivative(0.7, 3), rtol=1e-12)


def test_compiled_functions_inside_and_outside():
    inner = tg.jit(lambda x: np.sum(np.sin(x) * np.exp(0.5 * x)))
    expected = derivative(X, 1)
    np.testing.assert_allclose(tg.grad(inner)(X), expected, rtol=1e-12)
    np.testing.assert_allclose(tg.jit(tg.grad(smooth))(X), expected, rtol=1e-12)
    np.testing.assert_allclose(tg.jit(lambda x: tg.grad(inner)(x))(X), expected, rtol=1e-12)
    assert tg.grad(inner).source(X)  # a compiled callable, with all that belongs to it
    assert isinstance(tg.grad(smooth), tg.Compiled)


def test_derivatives_of_grad_compile():
    f = tg.grad_compile(lambda x: np.sum(x**4), compile="never")
    np.testing.assert_allclose(tg.grad(f)(X), 4 * X**3)
    np.testing.assert_allclose(tg.jacfwd(f.grad)(X), np.diag(12 * X**2), atol=1e-12)
    gradient, both = f.grad, f.value_and_grad
    # by a name of its own, too, a gradient is one
    np.testing.assert_allclose(never(lambda x: gradient(x))(X), 4 * X**3)
    value, same = never(lambda x: both(x))(X)
    np.testing.assert_allclose(value, np.sum(X**4))
    np.testing.assert_allclose(same, 4 * X**3)
    np.testing.assert_allclose(tg.grad(lambda x: np.sum(gradient(x)))(X), 12 * X**2)
    np.testing.assert_allclose(tg.grad(lambda x: both(x)[0])(X), 4 * X**3)


def test_only_the_inner_argument_is_differentiated():
    def outer(x, y):
        # y is reached by the closure as well
        return tg.grad(lambda w: np.sum(w * w * x * y))(y)

    np.testing.assert_allclose(never(outer)(X, SCALE), 2 * SCALE * X * SCALE)
    # and afterwards both ways count
    whole = tg.grad(lambda y: np.sum(outer(X, y)))(SCALE)
    np.testing.assert_allclose(whole, 4 * SCALE * X)


def test_a_constant_within_a_trace():
    f = never(lambda x: tg.grad(lambda w: w**2 * x)(3.0) + tg.jvp(np.sin, (0.0,), (x,))[1])
    assert f(2.0) == 14.0


def test_globals_are_read_again(monkeypatch):
    g = tg.grad(scaled)
    assert g(1.0) == 3.0
    monkeypatch.setitem(globals(), "FACTOR", 5.0)
    assert g(1.0) == 5.0


FACTOR = 3.0


def scaled(x):
    return FACTOR * x


def test_argnums():
    f = lambda x, y, z: x * y**2 * z**3
    assert tg.grad(f, 1)(2.0, 3.0, 1.0) == 12.0
    assert tg.grad(f, -1)(2.0, 3.0, 1.0) == 54.0
    assert tg.grad(f, (2, 0))(2.0, 3.0, 1.0) == (54.0, 9.0)
    assert tg.value_and_grad(f, [0])(2.0, 3.0, 1.0) == (18.0, (9.0,))
    assert tg.grad(f, 1)(2.0, z=1.0, y=3.0) == 12.0


def test_argnames():
    f = lambda x, y=5.0, *, z: x * y**2 * z**3
    assert tg.grad(f, argnames="y")(2.0, 3.0, z=1.0) == 12.0
    assert tg.grad(f, argnames="y")(2.0, y=3.0, z=1.0) == 12.0
    assert tg.grad(f, argnames=("z",))(2.0, 3.0, z=1.0) == {"z": 54.0}
    assert tg.value_and_grad(f, argnames=["z", "x"])(2.0, 3.0, z=1.0) == (18.0, {"x": 9.0, "z": 54.0})
    assert tg.grad(f, 0, argnames="z")(2.0, 3.0, z=1.0) == (9.0, 54.0)
    assert tg.grad(f, (0, 1), argnames=["z"])(2.0, 3.0, z=1.0) == ((9.0, 12.0), {"z": 54.0})
    assert tg.elementwise_grad(f, argnames="z")(2.0, 3.0, z=1.0) == 54.0
    assert never(tg.grad(f, argnames=("y", "z")))(2.0, y=3.0, z=1.0) == {"y": 12.0, "z": 54.0}
    both = tg.grad_compile(f, argnums=0, argnames=("y", "z"), compile="never")
    assert both.grad(2.0, 3.0, z=1.0) == (9.0, {"y": 12.0, "z": 54.0})
    assert never(lambda v: both.grad(v, 3.0, z=1.0))(2.0) == (9.0, {"y": 12.0, "z": 54.0})
    assert tg.grad_compile(f, argnames="y", compile="never").value_and_grad(2.0, 3.0, z=1.0) == (18.0, 12.0)
    assert tg.grad(lambda **parts: parts["a"] * parts["b"], argnames="b")(a=2.0, b=3.0) == 2.0


def test_argnames_of_jacobians():
    f = lambda a, *, b: {"c": a * b}
    expected = {"c": {"a": np.diag(SCALE), "b": np.diag(X)}}
    for transform in (tg.jacfwd, tg.jacrev, tg.jacobian):
        for made in (transform(f, argnames=("b", "a")), never(transform(f, argnames=("b", "a")))):
            found = made(X, b=SCALE)
            assert found["c"].keys() == {"a", "b"}
            for name, table in expected["c"].items():
                np.testing.assert_array_equal(found["c"][name], table)
    second = tg.hessian(lambda a, b: a**2 * b, argnames=("a", "b"))(3.0, b=5.0)
    assert second == {"a": {"a": 10.0, "b": 6.0}, "b": {"a": 6.0, "b": 0.0}}
    sparse = tg.sparse_jacobian(lambda a, b: a * b**2, argnames="b")(X, b=SCALE)
    np.testing.assert_allclose(sparse.toarray(), np.diag(2 * X * SCALE))
    with pytest.raises(DifferentiationError, match="2 arguments to differentiate with respect to"):
        tg.sparse_jacobian(lambda a, b: a * b, argnames=("a", "b"))


@dataclasses.dataclass
class Line:
    slope: float
    offset: np.ndarray


def test_pytrees():
    params = {"line": Line(2.0, np.ones(3)), "rest": [np.arange(2.0), None]}

    def loss(p, x):
        return np.sum((p["line"].slope * x + p["line"].offset) ** 2) + np.sum(p["rest"][0] ** 3)

    gradient = tg.grad(loss)(params, X)
    residual = 2 * X + 1
    assert isinstance(gradient["line"], Line)
    np.testing.assert_allclose(gradient["line"].slope, 2 * np.sum(residual * X))
    np.testing.assert_allclose(gradient["line"].offset, 2 * residual)
    np.testing.assert_allclose(gradient["rest"][0], [0.0, 3.0])
    assert gradient["rest"][1] is None
    value, tangent = tg.jvp(lambda p: loss(p, X), (params,), (gradient,))
    np.testing.assert_allclose(value, loss(params, X))
    squares = sum(np.sum(np.square(g)) for g in (gradient["line"].slope, gradient["line"].offset, gradient["rest"][0]))
    np.testing.assert_allclose(tangent, squares)


def test_aux_comes_along():
    f = lambda x: (np.sum(x**2), {"twice": 2 * x, "count": 3})
    gradient, aux = tg.grad(f, has_aux=True)(X)
    np.testing.assert_allclose(gradient, 2 * X)
    np.testing.assert_allclose(aux["twice"], 2 * X)
    (value, aux), gradient = never(tg.value_and_grad(f, has_aux=True))(X)
    assert value == np.sum(X**2)
    assert aux["count"] == 3
    _, pullback, aux = tg.vjp(f, X, has_aux=True)
    np.testing.assert_allclose(pullback(1.0)[0], 2 * X)
    np.testing.assert_allclose(aux["twice"], 2 * X)
    _, tangent, _ = tg.jvp(f, (X,), (np.ones(3),), has_aux=True)
    np.testing.assert_allclose(tangent, np.sum(2 * X))
    _, push, _ = tg.linearize(f, X, has_aux=True)
    np.testing.assert_allclose(push(np.ones(3)), np.sum(2 * X))


@pytest.mark.parametrize("wrap", [lambda f: f, never, tg.jit])
def test_vjp_and_linearize_are_called_again_and_again(wrap):
    f = wrap(lambda a, b: {"product": a * b, "sum": np.sum(a)})
    value, pullback = tg.vjp(f, X, SCALE)
    np.testing.assert_allclose(value["product"], X * SCALE)
    for factor in (1.0, 2.0):
        a, b = pullback({"product": factor * np.ones(3), "sum": 1.0})
        np.testing.assert_allclose(a, factor * SCALE + 1)
        np.testing.assert_allclose(b, factor * X)
    _, push = tg.linearize(f, X, SCALE)
    for factor in (1.0, 2.0):
        tangent = push(factor * np.ones(3), np.zeros(3))
        np.testing.assert_allclose(tangent["product"], factor * SCALE)
        np.testing.assert_allclose(tangent["sum"], 3 * factor)


def test_a_compiled_function_is_traced_once():
    f = tg.jit(lambda x: np.sum(x**3), compile="never")
    for x in (X, 2 * X):
        np.testing.assert_allclose(tg.vjp(f, x)[1](1.0)[0], 3 * x**2)
        np.testing.assert_allclose(tg.jvp(f, (x,), (x,))[1], np.sum(3 * x**3))
        np.testing.assert_allclose(tg.hvp(f, (x,), (x,)), 6 * x**2)
        np.testing.assert_allclose(tg.hessian_operator(f, x) @ x, 6 * x**2)
    first = f.derived[(0,), False]
    (gradient,) = (made for made in f.derived.values() if isinstance(made, tg.Compiled))
    assert first.compiled.stats.traces == 1
    assert [made.compiled.stats.traces for made in gradient.derived.values()] == [1, 1]  # by argnums (0,) and 0


def test_a_pullback_made_outside_is_used_inside():
    _, pullback = tg.vjp(lambda x: x**2, X)
    np.testing.assert_allclose(never(lambda g: pullback(g)[0] + 1)(SCALE), 2 * X * SCALE + 1)
    np.testing.assert_allclose(tg.grad(lambda g: np.sum(pullback(g)[0]))(SCALE), 2 * X)


def test_integers_among_the_results():
    value, tangent = tg.jvp(lambda x: (x * 2, np.argmax(x)), (X,), (np.ones(3),))
    assert value[1] == 2
    np.testing.assert_allclose(tangent[0], np.full(3, 2.0))
    assert tangent[1] == 0
    _, pullback = tg.vjp(lambda x: (x * 2, np.argmax(x)), X)
    np.testing.assert_allclose(pullback((np.ones(3), 0))[0], np.full(3, 2.0))


def test_float32_stays():
    x = X.astype(np.float32)
    assert tg.grad(smooth)(x).dtype == np.float32
    assert tg.jvp(np.sin, (x,), (x,))[1].dtype == np.float32
    assert tg.vjp(np.sin, x)[1](np.ones(3, np.float32))[0].dtype == np.float32


def test_elementwise_grad():
    np.testing.assert_allclose(tg.elementwise_grad(np.tanh)(X), 1 - np.tanh(X) ** 2)
    np.testing.assert_allclose(tg.elementwise_grad(tg.elementwise_grad(np.sin))(X), -np.sin(X))


def test_stop_gradient():
    f = lambda x: np.sum(x * tg.stop_gradient({"x": x})["x"])
    np.testing.assert_allclose(tg.grad(f)(X), X)
    assert tg.jvp(f, (X,), (np.ones(3),))[1] == np.sum(X)
    assert tg.stop_gradient([X, 1.0, "a"])[1:] == [1.0, "a"]


def test_methods_and_partials():
    class Model:
        def __init__(self):
            self.w = SCALE

        def loss(self, x):
            return np.sum(self.w * x**2)

        @functools.partial(tg.grad, argnums=1)
        def slope(self, x):
            return np.sum(self.w * x**2)

    np.testing.assert_allclose(Model().slope(X), 2 * SCALE * X)
    np.testing.assert_allclose(never(lambda x: Model().slope(x))(X), 2 * SCALE * X)
    np.testing.assert_allclose(tg.grad(Model().loss)(X), 2 * SCALE * X)
    np.testing.assert_allclose(never(lambda x: tg.grad(Model().loss)(x))(X), 2 * SCALE * X)


def test_writes_within_the_differentiated_function():
    def f(x):
        out = np.zeros(3)
        out[0] = x[1] * x[2]
        out[1:] += x[:2] ** 2
        return np.sum(out)

    np.testing.assert_allclose(tg.grad(f)(X), [2 * X[0], X[2] + 2 * X[1], X[1]])
    tangent = tg.jvp(f, (X,), (np.ones(3),))[1]
    np.testing.assert_allclose(tangent, np.sum([2 * X[0], X[2] + 2 * X[1], X[1]]))
    with pytest.raises(TraceError, match="never written to"):
        tg.grad(lambda x: x.__setitem__(0, 1.0))(X)


def test_the_graph_has_no_trace_of_the_variables():
    names = [node.op.name for node in never(tg.grad(smooth)).graph(X)]
    assert "variable_of_derivative" not in names


def test_a_branch_not_taken():
    f = lambda x: np.where(x > 0, np.sqrt(x), 0.0)
    x = np.array([0.0, 4.0])
    np.testing.assert_array_equal(tg.jvp(f, (x,), (np.ones(2),))[1], [0.0, 0.25])
    np.testing.assert_array_equal(tg.elementwise_grad(f)(x), [0.0, 0.25])


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: tg.grad(lambda x: x * 2)(X), DifferentiationError, r"array of shape \(3,\).*needs a scalar"),
        (lambda: tg.grad(lambda x: (x, x))(1.0), DifferentiationError, "2 values in a tuple(.|\n)*has_aux"),
        (lambda: tg.grad(lambda x: None)(1.0), DifferentiationError, "returns None"),
        (lambda: tg.grad(lambda x: x > 0)(1.0), DifferentiationError, "dtype bool"),
        (lambda: tg.grad(lambda x: x * 2)(3), DifferentiationError, "x is int64(.|\n)*np.asarray"),
        (lambda: tg.grad(lambda p: p["n"] * 2.0)({"n": True}), DifferentiationError, r"p\['n'\] is bool"),
        (lambda: tg.grad(lambda x: x, argnums=1)(3.0), DifferentiationError, "argnums=1 of <lambda> names no argument"),
        (lambda: tg.grad(lambda x: x, argnums="x"), DifferentiationError, "names go to argnames: argnames='x'"),
        (lambda: tg.grad(lambda x: x, argnames="y"), DifferentiationError, "'y', which is no argument of <lambda>"),
        (lambda: tg.grad_compile(lambda x: x, argnames="y"), DifferentiationError, "'y', which is no argument of <lambda>"),
        (lambda: tg.grad(lambda x: x, argnames=0), DifferentiationError, "argnames=0 names no arguments"),
        (lambda: tg.grad(lambda x: x, argnames=("x", "x")), DifferentiationError, "each once"),
        (lambda: tg.grad(lambda x, y=2.0: x, argnames="y")(3.0), DifferentiationError, "pass it: y="),
        (lambda: tg.grad(lambda x: x, argnums="x"), DifferentiationError, "argnums='x'"),
        (lambda: tg.grad(lambda x: x, argnums=()), DifferentiationError, "names no arguments"),
        (lambda: tg.grad(lambda x: x, has_aux=True)(3.0), DifferentiationError, "returns one value(.|\n)*return .value, aux"),
        (lambda: tg.vjp(lambda x: x, 3.0, has_aux=True), DifferentiationError, "returns no pair"),
        (lambda: tg.grad(3.0), TracegradError, "no function"),
        (lambda: tg.vjp(np.sin), DifferentiationError, "no arguments"),
        (lambda: tg.vjp(np.sin, X)[1](np.ones(2)), ShapeError, r"the cotangent has shape \(2,\)"),
        (lambda: tg.vjp(np.sin, X)[1](np.ones(3, np.float32)), DtypeError, "the cotangent is float32"),
        (lambda: tg.vjp(lambda x: (x, x), X)[1](X), TreeError, "the cotangent has the structure"),
        (lambda: tg.jvp(np.sin, X, X), TracegradError, "primals of tg.jvp is of type ndarray"),
        (lambda: tg.jvp(lambda x: x, (X,), (X, X)), DifferentiationError, "2 tangents for 1 arguments"),
        (lambda: tg.jvp(lambda x: x, (X,), ([1.0],)), TreeError, "the tangent of x has the structure"),
        (lambda: tg.jvp(lambda x: x, (X,), ("a",)), TreeError, "the tangent of x is of type str"),
        (lambda: tg.linearize(np.sin, X)[1](np.ones(4)), ShapeError, "the tangent of .* has shape"),
        (lambda: never(lambda x: tg.grad(lambda w: w * x)(2))(1.0), DifferentiationError, "w is int"),
    ],
)
def test_errors_say_what_to_write(call, error, match):
    with pytest.raises(error, match=match) as caught:
        call()
    assert caught.value.where is not None
    assert caught.value.where.file == __file__
    assert caught.value.fix


def test_a_derivative_that_left_its_trace():
    kept = []
    never(lambda x: [kept.append(tg.vjp(np.sin, x)[1]), x][1])(1.0)
    with pytest.raises(TraceError, match="after the trace had ended"):
        kept[0](1.0)


def test_against_jax():
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy

    def made(m):
        def f(p, x):
            h = m.tanh(x @ p["w"] + p["b"])
            return m.sum(m.log1p(m.exp(h)) * x[:, :1]), {"h": h}

        return f

    rng = np.random.default_rng(0)
    p, x = {"w": rng.normal(size=(3, 2)), "b": rng.normal(size=2)}, rng.normal(size=(4, 3))
    for ours, theirs in [
        (tg.value_and_grad(made(np), (0, 1), has_aux=True)(p, x), jax.value_and_grad(made(jnp), (0, 1), has_aux=True)(p, x)),
        (
            tg.jvp(tg.grad(lambda p: made(np)(p, x)[0]), (p,), (p,)),
            jax.jvp(jax.grad(lambda p: made(jnp)(p, x)[0]), (p,), (p,)),
        ),
        (tg.vjp(made(np), p, x, has_aux=True)[1](1.0), jax.vjp(made(jnp), p, x, has_aux=True)[1](1.0)),
    ]:
        mine, structure = jax.tree_util.tree_flatten(ours)
        others, other_structure = jax.tree_util.tree_flatten(theirs)
        assert structure == other_structure
        for a, b in zip(mine, others, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
