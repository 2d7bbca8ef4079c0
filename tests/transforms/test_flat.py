"""tg.ravel: pytrees as vectors, on arrays, in traces, on tensors, for SciPy's solvers."""

import numpy as np
import pytest
from scipy.optimize import minimize

import tracegrad as tg
from tracegrad.errors import ShapeError, TreeError

TREE = {"w": np.arange(6.0).reshape(2, 3), "b": [np.float32(1.5), np.array([7, 8])], "none": None, "scale": 2.5}


def test_there_and_back():
    flat, unravel = tg.ravel(TREE)
    np.testing.assert_array_equal(flat, [1.5, 7, 8, 2.5, 0, 1, 2, 3, 4, 5])
    assert flat.dtype == np.float64
    back = unravel(flat)
    assert list(back) == list(TREE)
    assert back["none"] is None
    assert back["b"][0].dtype == np.float32
    assert back["b"][1].dtype == np.int64
    np.testing.assert_array_equal(back["w"], TREE["w"])
    back["w"][0] = 9.0  # memory of its own
    assert flat[4] == 0.0
    assert tg.ravel({})[0].shape == (0,)
    assert tg.ravel({"a": np.ones(2, np.float32)})[0].dtype == np.float32
    assert tg.ravel(3.0)[1](np.array([4.0])) == 4.0


def test_in_traces_and_on_tensors():
    params = {"a": np.array([1.0, 2.0]), "b": 3.0}
    flat, unravel = tg.ravel(params)
    f = lambda p: np.sum(p["a"] ** 2) * p["b"]
    gradient = tg.grad(lambda v: f(unravel(v)))(flat)
    np.testing.assert_array_equal(gradient, tg.ravel(tg.grad(f)(params))[0])
    H = tg.hessian(lambda v: f(unravel(v)))(flat)
    np.testing.assert_array_equal(H, [[6.0, 0, 2], [0, 6, 4], [2, 4, 0]])
    whole = tg.jit(lambda p: tg.ravel(p)[1](2 * tg.ravel(p)[0]), compile="never")(params)
    assert whole["b"] == 6.0
    np.testing.assert_array_equal(tg.vmap(lambda v: f(unravel(v)))(np.stack([flat, 2 * flat])), [15.0, 120.0])
    tensor = tg.tensor(flat, requires_grad=True)
    (unravel(tensor)["a"] ** 2).sum().backward()
    np.testing.assert_array_equal(tensor.grad.numpy(), [2.0, 4.0, 0.0])


def test_minimising_over_a_dict():
    t = np.linspace(0, 1, 30)
    y = 2.0 * np.exp(-3.0 * t) + 0.5

    @tg.grad_compile(compile="never")
    def loss(v):
        p = unravel(v)
        return np.mean((p["size"] * np.exp(-p["rates"][0] * t) + p["rates"][1] - y) ** 2)

    start, unravel = tg.ravel({"size": 1.0, "rates": np.array([1.0, 0.0])})
    for objective in (loss.value_and_grad, tg.value_and_grad(loss)):
        found = unravel(minimize(objective, start, jac=True, tol=1e-12).x)
        np.testing.assert_allclose(found["rates"], [3.0, 0.5], atol=1e-5)
        np.testing.assert_allclose(found["size"], 2.0, atol=1e-5)


def test_bad_calls():
    with pytest.raises(TreeError, match=r"tree\['name'\] is of type str"):
        tg.ravel({"name": "x"})
    _, unravel = tg.ravel([1.0, 2.0])
    with pytest.raises(ShapeError, match=r"shape \(3,\), and the pytree has 2"):
        unravel(np.ones(3))
