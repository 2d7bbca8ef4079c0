"""LU, Schur forms, Sylvester's equation, roots and logarithms of matrices: native code, second derivatives, errors."""

import numpy as np
import pytest
import scipy.linalg as sl

import tracegrad as tg
from tracegrad.errors import PositionError, TraceError
from tracegrad.testing import check_grads

RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.standard_normal(shape)


def definite(*shape):
    a = normal(*shape)
    return a @ np.swapaxes(a, -1, -2) + np.eye(shape[-1])


def projection(basis):
    return lambda a: basis(a) @ basis(a).T


TURNING = sl.expm(normal(5, 5) / 3)  # has pairs of complex eigenvalues
FUNCTIONS = {
    "lu": (lambda a: sl.lu(a)[1:], (normal(3, 3),)),
    "lu of tall ones": (sl.lu, (normal(2, 4, 2),)),
    "lu of wide ones": (lambda a: sl.lu(a, permute_l=True), (normal(2, 4),)),
    "lu_solve": (lambda a, b: sl.lu_solve(sl.lu_factor(a), b), (normal(3, 3), normal(3, 2))),
    "lu_solve, transposed": (lambda a, b: sl.lu_solve(sl.lu_factor(a), b, trans=1), (normal(3, 3), normal(3))),
    "sylvester": (sl.solve_sylvester, (normal(4, 4) + 3 * np.eye(4), normal(2, 2) + 3 * np.eye(2), normal(4, 2))),
    "sqrtm": (sl.sqrtm, (TURNING,)),
    "sqrtm of a stack": (sl.sqrtm, (definite(2, 3, 3),)),
    "logm": (sl.logm, (TURNING[:3, :3] + np.eye(3),)),
    "logm of a stack": (sl.logm, (definite(2, 2, 2),)),
    "schur": (lambda a: sl.schur(a)[0], (np.array([[1.0, 0.3, -0.2], [0.1, 5.0, 0.4], [0.05, -0.1, 9.0]]),)),
    "schur with a block": (lambda a: sl.schur(a)[0], (np.array([[1.0, -3.0, 0.3], [2.0, 1.0, 0.1], [0.1, 0.2, 3.0]]),)),
    "null_space": (projection(sl.null_space), (normal(2, 4),)),
    "orth": (projection(sl.orth), (normal(4, 2),)),
    "lstsq": (lambda a, b: sl.lstsq(a, b)[:2], (normal(4, 2), normal(4))),
}


@pytest.mark.parametrize("order", [1, pytest.param(2, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_derivatives(name, order):
    function, operands = FUNCTIONS[name]
    check_grads(tg.jit(function, compile="never"), operands, order=order, modes=("fwd", "rev"))


@pytest.mark.parametrize("dtype", [np.float64, pytest.param(np.float32, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_native_code(name, dtype):
    function, operands = FUNCTIONS[name]
    digits = 1e-10 if dtype == np.float64 else 2e-3
    given = tuple(x.astype(dtype) for x in operands)

    def loss(*given):
        found = function(*given)
        return sum(np.sum(np.cos(f + 0.3)) for f in (found if isinstance(found, tuple) else (found,)))

    at = tuple(range(len(given)))
    value, gradients = tg.grad_compile(loss, argnums=at).value_and_grad(*given)
    wanted, expected = tg.grad_compile(loss, argnums=at, compile="never").value_and_grad(*given)
    np.testing.assert_allclose(value, wanted, rtol=digits)
    for found, want in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(found, want, rtol=digits, atol=digits * np.abs(want).max())


def test_hard_logarithms_and_roots():
    for a in (np.diag([1e-8, 1.0, 1e8]), np.array([[1.0, 1e4], [0.0, 1.0]]), sl.expm(np.array([[0.0, -3.0], [3.0, 0.0]]))):
        np.testing.assert_allclose(tg.jit(sl.logm)(a), sl.logm(a), rtol=1e-12, atol=1e-12)
        root = tg.jit(sl.sqrtm)(a)
        np.testing.assert_allclose(root @ root, a, rtol=1e-12, atol=1e-12)


def test_powers_by_a_traced_exponent():
    a = definite(3, 3)
    slope = tg.grad(lambda t: np.sum(sl.fractional_matrix_power(a, t)))(0.3)
    np.testing.assert_allclose(slope, np.sum(sl.logm(a) @ sl.fractional_matrix_power(a, 0.3)), rtol=1e-12)


@pytest.mark.parametrize("mode", ["now", "never"])
def test_what_has_no_real_result(mode):
    cases = (
        (sl.sqrtm, np.stack([np.eye(2), -np.eye(2)]), r"\(Batch element 1\): the matrix has a negative eigenvalue"),
        (sl.logm, np.diag([1.0, 0.0]), "its logarithm is not real"),
        (sl.sqrtm, np.array([[np.nan]]), "its root is not real"),
        (lambda a: sl.solve_sylvester(a, -a, np.eye(2)), np.diag([1.0, 2.0]), "common eigenvalue"),
        (lambda a: sl.schur(a)[0], np.array([[1.0, np.inf], [0.0, 1.0]]), "failed to converge"),
    )
    for function, a, match in cases:
        with pytest.raises(np.linalg.LinAlgError, match=match):
            tg.jit(function, compile=mode)(a)
    for function, a in ((sl.orth, np.ones((3, 2))), (sl.null_space, np.ones((2, 3)))):
        with pytest.raises(PositionError, match="not full rank"):
            tg.jit(function, compile=mode)(a)
    np.testing.assert_array_equal(tg.jit(sl.sqrtm, compile=mode)(np.diag([4.0, 0.0])), np.diag([2.0, 0.0]))


def test_what_is_not_traced_says_what_to_write():
    with pytest.raises(TraceError, match=r"bandwidth of a traced matrix[\s\S]*static_argnames"):
        tg.jit(lambda a: a * sl.bandwidth(a)[0])(np.eye(2))
    with pytest.raises(TraceError, match=r"funm of[\s\S]*np.linalg.eigh"):
        tg.jit(lambda a: sl.funm(a, lambda w: w**3))(np.eye(2))


@pytest.mark.parametrize("mode", ["now", "never"])
def test_singular_triangles(mode):
    with pytest.raises(np.linalg.LinAlgError, match="on the diagonal of the triangle"):
        tg.jit(lambda a: sl.solve_triangular(a, np.ones(2)), compile=mode)(np.array([[1.0, 1.0], [0.0, 0.0]]))
    found = tg.jit(lambda a: sl.solve_triangular(a, np.ones(2), unit_diagonal=True), compile=mode)(np.zeros((2, 2)))
    np.testing.assert_array_equal(found, np.ones(2))
