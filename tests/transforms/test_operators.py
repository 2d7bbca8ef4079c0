"""Linear operators in SciPy's solvers, and the public check of derivatives."""

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse.linalg

import tracegrad as tg
from tracegrad.errors import DifferentiationError, GradcheckError, TraceError, TracegradError
from tracegrad.testing import check_grads

X = np.array([0.3, -1.2, 2.0])


def chain(p):
    return {"a": p["x"] ** 2 * p["s"], "b": np.sum(p["x"])}


@pytest.mark.parametrize("wrap", [lambda f: f, tg.jit])
def test_a_jacobian_operator_is_the_matrix(wrap):
    p = {"x": X, "s": 2.0}
    operator = tg.jacobian_operator(wrap(chain), p)
    # leaves in the order of their keys: s, then x
    matrix = np.block([[X[:, None] ** 2, np.diag(4 * X)], [np.zeros((1, 1)), np.ones((1, 3))]])
    assert operator.shape == matrix.shape
    assert operator.dtype == np.float64
    np.testing.assert_allclose(operator @ np.eye(4), matrix)
    np.testing.assert_allclose(operator.T @ np.eye(4), matrix.T)


def test_newtons_steps_by_krylov_solvers():
    target = np.linspace(0.5, 1.5, 6)

    def residual(x):
        return x + 0.1 * np.tanh(x) ** 3 + 0.1 * np.roll(x, 1) - target

    x = np.zeros(6)
    for _ in range(8):
        step, failed = scipy.sparse.linalg.gmres(tg.jacobian_operator(residual, x), residual(x), rtol=1e-12)
        assert failed == 0
        x = x - step
    np.testing.assert_allclose(residual(x), 0, atol=1e-12)

    def energy(x):
        return np.sum(np.cosh(x)) + 0.5 * np.sum((x[1:] - x[:-1]) ** 2) - np.sum(target * x)

    for _ in range(8):
        step, failed = scipy.sparse.linalg.cg(tg.hessian_operator(energy, x), tg.grad(energy)(x), rtol=1e-12)
        assert failed == 0
        x = x - step
    np.testing.assert_allclose(tg.grad(energy)(x), 0, atol=1e-12)


def test_float32_and_empty():
    operator = tg.jacobian_operator(np.sin, X.astype(np.float32))
    assert operator.dtype == np.float32
    assert (operator @ np.ones(3, np.float32)).dtype == np.float32
    assert tg.jacobian_operator(lambda x: x, np.zeros(0)).shape == (0, 0)


def test_operators_refuse():
    with pytest.raises(TraceError, match="not traced"):
        tg.jit(lambda x: tg.jacobian_operator(np.sin, x) @ x)(X)
    with pytest.raises(DifferentiationError, match="is int64"):
        tg.jacobian_operator(lambda x: np.argsort(x), X)
    with pytest.raises(DifferentiationError, match="x is int64"):
        tg.jacobian_operator(lambda x: x * 1.0, np.arange(3))


@pytest.mark.parametrize("wrap", [lambda f: f, lambda f: tg.jit(f, compile="never")])
def test_right_derivatives_pass(wrap):
    f = wrap(lambda p, y: {"value": np.sin(p["x"]) * y, "sum": np.sum(np.exp(p["x"] * y))})
    check_grads(f, ({"x": X}, 0.7), order=3)
    check_grads(f, ({"x": X.astype(np.float32)}, np.float32(0.7)), order=1)
    check_grads(lambda x: x * x, (np.zeros((0, 2)),), order=2)


def test_wrong_derivatives_are_named():
    wrong = tg.custom_jvp(lambda x, y: x * y)
    wrong.defjvps(lambda t, out, x, y: t * y, lambda t, out, x, y: 2.0 * t * x)
    with pytest.raises(GradcheckError, match=r"jvp of <lambda> along args\[1\], in the result at \(\d,\)") as caught:
        check_grads(lambda x, y: wrong(x, y), (X, X), order=1)
    assert caught.value.where.file == __file__
    with pytest.raises(GradcheckError, match=r"vjp of <lambda> in args\[1\]"):
        check_grads(lambda x, y: wrong(x, y), (X, X), order=1, modes=("rev",))

    # right in the first order, as the factor that is held is the right one there
    second = tg.custom_jvp(lambda x: x**3)
    second.defjvp(lambda p, t: (p[0] ** 3, t[0] * 3 * p[0] * tg.stop_gradient(p[0])))
    check_grads(lambda x: second(x), (X,), order=1)
    with pytest.raises(GradcheckError, match=r"of the [jv][vj]p of <lambda>"):
        check_grads(lambda x: second(x), (X,), order=2)


@pytest.mark.parametrize("more", [{"modes": "fwd"}, {"modes": ("both",)}, {"order": 0}])
def test_misuse(more):
    with pytest.raises(TracegradError, match="name no derivatives"):
        check_grads(np.sin, (X,), **more)
    with pytest.raises(TracegradError, match="in a tuple"):
        check_grads(np.sin, X)


def test_checks_of_functions_of_scipy_to_the_second_order():
    matrix = np.array([[4.0, 1.0], [1.0, 3.0]])

    def solved(a, b):
        return scipy.linalg.cho_solve(scipy.linalg.cho_factor(a @ a.T + np.eye(2)), b)

    def assembled(x):
        out = np.zeros(2)
        out[0], out[1] = x[0] * x[1], np.sin(x[0])
        return out

    check_grads(solved, (matrix, np.array([1.0, 2.0])), order=2)
    check_grads(assembled, (np.array([0.5, 1.5]),), order=3)
