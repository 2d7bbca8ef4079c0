"""Functions with derivatives of their own."""

import numpy as onp  # noqa: ICN001 - np is the namespace that is tested
import pytest

import tracegrad.compat.numpy as np
from tracegrad.compat import grad, hessian, jacobian, make_jvp, make_vjp
from tracegrad.compat.extend import (
    def_linear,
    defjvp,
    defjvp_argnum,
    defjvp_argnums,
    defvjp,
    defvjp_argnum,
    defvjp_argnums,
    getval,
    notrace_primitive,
    primitive,
)
from tracegrad.compat.misc import fixed_point, flatten
from tracegrad.compat.misc.flatten import flatten_func
from tracegrad.compat.misc.optimizers import adam, rmsprop, sgd
from tracegrad.compat.test_util import check_grads
from tracegrad.errors import DifferentiationError, ShapeError, TreeError

X = onp.array([0.3, -1.2, 2.0])


def logsumexp(x):
    """autograd's own example of a primitive."""
    top = onp.max(x)
    return top + onp.log(onp.sum(onp.exp(x - top)))


@pytest.fixture(autouse=True)
def _seed():
    onp.random.seed(0)  # noqa: NPY002 - check_grads draws from it, as in autograd


def test_a_primitive_with_its_vjp():
    f = primitive(logsumexp)
    defvjp(f, lambda ans, x: lambda g: np.full(x.shape, g) * np.exp(x - np.full(x.shape, ans)))
    y = onp.exp(X - logsumexp(X))
    onp.testing.assert_allclose(grad(f)(X), y)
    onp.testing.assert_allclose(hessian(f)(X), onp.diag(y) - onp.outer(y, y))
    check_grads(lambda x: np.sum(f(x) * x))(X)
    assert f(X) == logsumexp(X)
    assert f.__name__ == "logsumexp"


def test_what_a_primitive_gets_is_plain():
    seen = []
    f = primitive(lambda x: seen.append(type(x)) or x * 2)
    defvjp(f, lambda ans, x: lambda g: 2 * g)
    grad(lambda x: np.sum(f(x)))(X)
    grad(lambda x: f(x))(1.0)
    assert seen == [onp.ndarray, onp.float64]


def test_rules_by_argument():
    f = primitive(lambda x, y, scale=1.0: x * y * scale)
    defvjp(f, lambda ans, x, y, scale=1.0: lambda g: g * y * scale, argnums=(0,))
    assert grad(f)(2.0, 3.0, scale=10.0) == 30.0
    with pytest.raises(DifferentiationError, match="wrt argnum 1 not defined"):
        grad(f, 1)(2.0, 3.0)
    defvjp(f, None, lambda ans, x, y, scale=1.0: lambda g: g * x * scale)
    assert grad(f, (0, 1))(2.0, 3.0) == (0.0, 2.0)
    defvjp_argnum(f, lambda argnum, ans, args, kwargs: lambda g: g * args[1 - argnum])
    assert grad(f, (0, 1))(2.0, 3.0) == (3.0, 2.0)
    defvjp_argnums(f, lambda argnums, ans, args, kwargs: lambda g: [g * args[1 - k] * 5 for k in argnums])
    assert grad(f, (0, 1))(2.0, 3.0) == (15.0, 10.0)


@pytest.mark.parametrize("form", ["function", "argnum", "argnums"])
def test_tangent_rules_alone_serve_both_modes(form):
    f = primitive(lambda x, y: onp.sin(x) * y)
    rules = (lambda g, ans, x, y: g * np.cos(x) * y, lambda g, ans, x, y: g * np.sin(x))
    if form == "function":
        defjvp(f, *rules)
    elif form == "argnum":
        defjvp_argnum(f, lambda argnum, g, ans, args, kwargs: rules[argnum](g, ans, *args))
    else:
        defjvp_argnums(
            f, lambda nums, gs, ans, args, kwargs: sum(rules[k](g, ans, *args) for k, g in zip(nums, gs, strict=True))
        )
    check_grads(f, (0, 1))(X, X[::-1] * 2)


def test_linear_primitives():
    matrix = onp.arange(6.0).reshape(2, 3)
    f = primitive(lambda x: matrix @ x)
    defjvp(f, "same")
    onp.testing.assert_allclose(jacobian(f)(X), matrix)
    check_grads(f)(X)
    g = primitive(lambda a, x: a @ x)
    def_linear(g)
    check_grads(g, (0, 1))(matrix, X)
    onp.testing.assert_allclose(make_jvp(f)(X)(onp.ones(3))[1], matrix.sum(1))


def test_primitives_of_containers():
    f = primitive(lambda p: {"sum": p["a"] + p["b"][0], "product": p["a"] * p["b"][0]})
    defvjp(
        f,
        lambda ans, p: (
            lambda g: {
                "a": g["sum"] + g["product"] * p["b"][0],
                "b": [g["sum"] + g["product"] * p["a"]],
            }
        ),
    )
    loss = lambda p: np.sum(f(p)["sum"] ** 2) + np.sum(np.sin(f(p)["product"]))
    check_grads(loss)({"a": X, "b": [X[::-1].copy()]})
    only = grad(lambda x: np.sum(f({"a": x, "b": [X]})["product"]))(X)
    onp.testing.assert_allclose(only, X)


def test_mistakes_in_rules_are_named():
    bare = primitive(lambda x: x * 2)
    with pytest.raises(DifferentiationError, match="not defined"):
        grad(bare)(1.0)
    defvjp(bare, lambda ans, x: lambda g: onp.ones(2))
    with pytest.raises(ShapeError, match="gives shape \\(2,\\) for argument 0, which has shape \\(3,\\)"):
        make_vjp(bare)(X)[0](onp.ones(3))
    defvjp(bare, lambda ans, x: lambda g: (g, g))
    with pytest.raises(TreeError, match="in the same containers"):
        make_vjp(bare)(X)[0](onp.ones(3))
    with pytest.raises(DifferentiationError, match="is no primitive"):
        defvjp(np.sin, lambda ans, x: lambda g: g)
    with pytest.raises(DifferentiationError, match="is no function"):
        defvjp(bare, 3)
    with pytest.raises(DifferentiationError, match="by position"):
        grad(lambda x: bare(x=x))(1.0)


def test_notrace_and_getval():
    steps = notrace_primitive(lambda x: onp.floor(x))
    onp.testing.assert_allclose(grad(lambda x: np.sum(steps(x) * x))(X), onp.floor(X))
    assert grad(lambda x: getval(x) * x)(3.0) == 3.0


def test_fixed_point():
    newton = lambda a: lambda x: 0.5 * (x + a / x)
    root = lambda a: fixed_point(newton, a, 1.0, lambda x, y: abs(x - y), 1e-12)
    onp.testing.assert_allclose(grad(root)(4.0), 0.25)
    onp.testing.assert_allclose(grad(grad(root))(4.0), -1 / 32)


def test_flatten():
    value = {"b": (onp.eye(2), [1.0]), "a": 2.0, "c": ()}
    vector, unflatten = flatten(value)
    onp.testing.assert_array_equal(vector, [2, 1, 0, 0, 1, 1])
    again = unflatten(vector)
    assert again["a"] == 2.0
    assert again["c"] == ()
    onp.testing.assert_array_equal(again["b"][0], onp.eye(2))
    check_grads(lambda p: flatten(p)[0] ** 2)({"b": (onp.eye(2), [1.0]), "a": 2.0})
    check_grads(lambda v: unflatten(v)["b"][0] * unflatten(v)["a"])(vector)
    f, back, start = flatten_func(lambda p: {"a": p["a"] * 3}, {"a": X})
    onp.testing.assert_allclose(back(f(start))["a"], 3 * X)
    assert flatten(())[0].shape == (0,)
    with pytest.raises(ShapeError, match="structure of 6"):
        unflatten(onp.ones(3))


@pytest.mark.parametrize(("optimise", "settings"), [(sgd, {}), (rmsprop, {"step_size": 0.05}), (adam, {"step_size": 0.1})])
def test_optimisers(optimise, settings):
    target = {"w": X, "b": 1.5}
    loss = lambda p, i: np.sum((p["w"] - target["w"]) ** 2) + (p["b"] - target["b"]) ** 2
    steps = []
    found = optimise(
        grad(loss), {"w": onp.zeros(3), "b": 0.0}, callback=lambda x, i, g: steps.append(i), num_iters=400, **settings
    )
    onp.testing.assert_allclose(found["w"], X, atol=2e-2)
    assert steps == list(range(400))
