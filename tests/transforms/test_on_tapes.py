"""Compiled functions and transforms called on tensors, and on boxes of compat: one node each, and differentiated through."""

import functools

import numpy as np
import pytest

import tracegrad as tg
import tracegrad.compat as autograd
import tracegrad.compat.numpy as anp
from tracegrad.errors import TraceError
from tracegrad.transforms.maps import as_one_node

X = np.array([0.5, 1.5, -2.0])
cube = lambda w: w**3
square_sum = lambda w: np.sum(w**2) * w[0]
TRANSFORMED = {
    "jit": (tg.jit(cube, compile="never"), lambda x: np.diag(3 * x**2)),
    "native jit": (tg.jit(cube), lambda x: np.diag(3 * x**2)),
    "grad": (tg.grad(lambda w: np.sum(cube(w))), lambda x: np.diag(6 * x)),
    "grad of compiled": (tg.grad_compile(lambda w: np.sum(cube(w)), compile="never").grad, lambda x: np.diag(6 * x)),
    "vmap": (tg.vmap(cube), lambda x: np.diag(3 * x**2)),
    "jacfwd": (lambda x: np.sum(tg.jacfwd(cube)(x), axis=0), lambda x: np.diag(6 * x)),
    "jacrev": (lambda x: np.sum(tg.jacrev(cube)(x), axis=0), lambda x: np.diag(6 * x)),
    "hessian": (lambda x: np.sum(tg.hessian(lambda w: np.sum(cube(w)))(x), axis=0), lambda x: 6 * np.eye(3)),
    "jvp": (lambda x: tg.jvp(cube, (x,), (np.ones(3),))[1], lambda x: np.diag(6 * x)),
    "vjp": (lambda x: tg.vjp(cube, x)[1](np.ones(3))[0], lambda x: np.diag(6 * x)),
    "linearize": (lambda x: tg.linearize(cube, x)[1](np.ones(3)), lambda x: np.diag(6 * x)),
    "hvp": (lambda x: tg.hvp(lambda w: np.sum(cube(w)), (x,), (np.ones(3),)), lambda x: 6 * np.eye(3)),
    "elementwise_grad": (tg.elementwise_grad(cube), lambda x: np.diag(6 * x)),
}


@pytest.mark.parametrize("name", TRANSFORMED)
def test_through_a_transform(name):
    function, expected = TRANSFORMED[name]
    np.testing.assert_allclose(autograd.jacobian(function)(X), expected(X), atol=1e-12)
    tensor = tg.tensor(X, requires_grad=True)
    weights = np.array([1.0, 10.0, 100.0])
    out = function(tensor)
    assert isinstance(out, tg.Tensor)
    (out * tg.tensor(weights)).sum().backward()
    np.testing.assert_allclose(tensor.grad.numpy(), weights @ expected(X), atol=1e-12)


def test_higher_derivatives_of_boxes():
    compiled = tg.grad_compile(square_sum, compile="never")
    H = tg.hessian(square_sum)(X)
    np.testing.assert_allclose(autograd.hessian(compiled)(X), H)
    np.testing.assert_allclose(autograd.jacobian(compiled.grad)(X), H)
    np.testing.assert_allclose(autograd.jacobian(autograd.grad(lambda x: compiled.value_and_grad(x)[0]))(X), H)
    value, gradient = autograd.value_and_grad(compiled)(X)
    np.testing.assert_allclose(value, square_sum(X))
    np.testing.assert_allclose(gradient, tg.grad(square_sum)(X))
    np.testing.assert_allclose(autograd.make_jvp(compiled)(X)(np.ones(3))[1], np.sum(gradient))


def test_keywords_statics_structures_and_what_carries_no_derivative():
    @tg.jit(static_argnames=("power", "mode"), compile="never")
    def f(x, power=2, *, mode="sum", scale=1.0):
        return {"value": np.sum(x**power) * scale if mode == "sum" else x[0], "largest": np.argmax(x), "x": x}

    def loss(x):
        found = f(x, 3, scale=2.0)
        assert type(found["largest"]) is np.int64  # as concrete as without a box
        assert found["largest"] == 1
        return found["value"] + anp.sum(found["x"]) + f(x, mode="first")["value"]

    np.testing.assert_allclose(autograd.grad(loss)(X), 6 * X**2 + 1 + np.array([1.0, 0, 0]))
    outside = lambda x: anp.sum(tg.jit(lambda w: w * x, compile="never")(X) * tg.jit(lambda w: w * x, compile="never")(x))
    np.testing.assert_allclose(autograd.grad(outside)(X), 3 * X**3)
    plain = tg.jit(lambda x: 2 * x, compile="never")
    np.testing.assert_array_equal(autograd.grad(lambda x: anp.sum(x * plain(X)))(X), 2 * X)
    weak = lambda s: tg.jit(lambda s, x: np.sum(s * x), compile="never")(s, X)
    np.testing.assert_allclose(autograd.grad(weak)(2.0), np.sum(X))


def test_has_aux_on_tensors_and_boxes():
    aux = lambda w: (np.sum(w**2), {"twice": 2 * w})
    tensor = tg.tensor(X, requires_grad=True)
    value, pullback, extra = tg.vjp(aux, tensor, has_aux=True)
    np.testing.assert_allclose(pullback(1.0)[0].detach().numpy(), 2 * X)
    np.testing.assert_allclose(extra["twice"].detach().numpy(), 2 * X)
    np.testing.assert_allclose(value.item(), np.sum(X**2))
    total = lambda x: anp.sum(tg.jvp(aux, (x,), (X,), has_aux=True)[1]) + anp.sum(tg.grad(aux, has_aux=True)(x)[1]["twice"])
    np.testing.assert_allclose(autograd.grad(total)(X), 2 * X + 2)


def test_a_rule_of_its_own_on_boxes():
    @tg.custom_vjp
    def clipped(x):
        return x

    clipped.defvjp(lambda x: (x, None), lambda _, g: (np.clip(g, -1.0, 1.0),))
    np.testing.assert_array_equal(autograd.grad(lambda x: anp.sum(10 * clipped(x)))(X), np.ones(3))


def test_what_gives_objects_of_scipy_takes_arrays():
    with pytest.raises(TraceError, match="takes arrays"):
        tg.sparse_jacobian(cube)(tg.tensor(X))


def test_rules_of_one_name_get_programs_of_their_own():
    def scaled(recorder, parts, args, kwargs, *, by):
        return parts["function"](*args) * by

    kept = tg.jit(cube, compile="never")
    nodes = [as_one_node(kept, "scaled", functools.partial(scaled, by=by)) for by in (2.0, 3.0, 2.0)]
    assert nodes[0] is nodes[2]
    for node, by in zip(nodes, (2.0, 3.0, 2.0), strict=True):
        np.testing.assert_allclose(node(tg.tensor(X)).numpy(), by * X**3)
    with pytest.raises(ValueError, match="closure"):
        as_one_node(kept, "scaled", functools.partial(lambda *given: by, 1))
