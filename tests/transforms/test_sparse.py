"""Sparse Jacobians and Hessians: their structures and values against the dense ones, and how many columns they take."""

import numpy as np
import pytest

import tracegrad as tg
from tracegrad.errors import DifferentiationError, TraceError

X = np.random.default_rng(0).uniform(0.5, 1.5, 12)
ORDER = np.random.default_rng(1).permutation(12)


def tridiagonal(x):
    y = np.sin(x)
    return np.concatenate([y[:1] - x[1:2], x[:-2] * y[2:] + x[1:-1] ** 2, y[-1:] * x[-2:-1]])


def rosenbrock(x):
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def padded(x):
    return np.pad(x, 1)[2:] * 2 + np.roll(x, 1) ** 2


def assigned(x):
    out = np.zeros(6)
    out[::2] = x[:3] ** 2
    out[1] += x[0] * x[4]
    return out


KERNELS = np.arange(1.0, 25).reshape(4, 1, 3, 2)
FUNCTIONS = [
    (tridiagonal, 3),
    (np.sin, 1),
    (lambda x: np.sum(x**2), 1),
    (lambda x: x[0] * x, 2),
    (lambda x: np.sum(x.reshape(3, 4) ** 2, 1), 1),
    (lambda x: np.sum(x.reshape(3, 4).T ** 2, 0), 1),
    (lambda x: x.reshape(4, 3) @ np.arange(1.0, 7).reshape(3, 2), 2),
    (lambda x: x[ORDER] * x, 3),
    (padded, 2),
    (assigned, 2),
    (lambda x: np.where(x > 1, x, 2 * x), 1),
    (lambda x: np.convolve(x, np.array([1.0, 2.0, 3.0])), 3),
    (lambda x: tg.functional.conv2d(x.reshape(1, 2, 3, 2), KERNELS, padding=1, stride=(2, 1), groups=2), 12),
]


@pytest.mark.parametrize(("f", "colours"), FUNCTIONS)
def test_values_and_structure_are_those_of_the_dense_one(f, colours):
    jacobian = tg.sparse_jacobian(f)
    found, dense = jacobian(X), tg.jacfwd(f)(X).reshape(-1, X.size)
    assert found.format == "csr"
    np.testing.assert_allclose(found.toarray(), dense, rtol=1e-14)
    assert found.nnz == np.count_nonzero(dense)
    assert jacobian.colours(X) <= colours


@pytest.mark.parametrize(("f", "colours"), FUNCTIONS)
def test_so_are_those_of_later_calls_of_compiled_functions(f, colours):
    jacobian = tg.sparse_jacobian(tg.jit(f))
    for x in (X, X, 2 * X):
        found = jacobian(x)
        np.testing.assert_allclose(found.toarray(), tg.jacfwd(f)(x).reshape(-1, X.size), rtol=1e-13)
        found.data[:] = found.indices[:] = 0  # it belongs to the caller


@pytest.mark.parametrize(
    ("f", "at_once"),
    [
        (tridiagonal, True),
        (np.sin, True),
        (padded, True),
        (assigned, True),
        (tg.grad(rosenbrock), True),
        (lambda x: x[0] * x, False),
        (lambda x: np.sum(x**2), False),
        (lambda x: x.reshape(3, 4)[1:, 1:] * x.reshape(3, 4)[:-1, :-1] + x.reshape(3, 4)[1:, :-1] ** 3, True),
    ],
)
def test_rows_that_are_much_alike_are_computed_element_by_element(f, at_once):
    jacobian = tg.sparse_jacobian(tg.jit(f))
    dense = tg.jacfwd(f)(X).reshape(-1, X.size)
    for _ in range(2):
        np.testing.assert_allclose(jacobian(X).toarray(), dense, rtol=1e-13)
    [(made, _)] = jacobian._ahead.values()
    assert (made.__name__ == "holding") is at_once


def test_elements_of_infinite_and_undefined_values_are_those_of_the_dense_one():
    x = X.copy()
    x[[0, 4, 11]] = np.inf, np.nan, -np.inf
    jacobian = tg.sparse_jacobian(tg.jit(tridiagonal))
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(jacobian(x).toarray(), tg.jacfwd(tridiagonal)(x))


def test_a_band_matrix_takes_as_many_columns_as_it_has_diagonals():
    assert tg.sparse_jacobian(tridiagonal).colours(np.ones(10_000)) == 3
    hessian = tg.sparse_hessian(rosenbrock)
    np.testing.assert_allclose(hessian(X).toarray(), tg.hessian(rosenbrock)(X), rtol=1e-13)
    assert hessian(X).nnz == 3 * X.size - 2
    assert hessian.colours(np.ones(10_000)) == 3


def test_compiled_functions_and_other_points_and_sizes():
    jacobian = tg.sparse_jacobian(tg.jit(tridiagonal))
    for x in (X, X + 1, X[:5], X.astype(np.float32)):
        dense = tg.jacrev(tridiagonal)(x)
        assert jacobian(x).dtype == x.dtype
        np.testing.assert_allclose(jacobian(x).toarray(), dense, rtol=1e-14 if x.dtype == np.float64 else 1e-5)
    first = jacobian(X)
    first.data[:] = 0
    first.indices[:] = 0  # belongs to the caller
    np.testing.assert_allclose(jacobian(X).toarray(), tg.jacrev(tridiagonal)(X), rtol=1e-14)


@pytest.mark.parametrize("jit", [lambda f: f, tg.jit])
def test_later_calls_see_what_the_function_reads_and_other_arguments(jit):
    scale, shift, power = np.arange(12.0), [1], 2

    def f(x, y, k=1.0):
        return k * scale * x**power + y[shift[0]] * np.roll(x, shift[0])

    jacobian = tg.sparse_jacobian(jit(f))
    y = np.arange(1.0, 4.0)
    for change in (lambda: None, lambda: None, lambda: np.multiply(scale, 2, out=scale), lambda: shift.append(shift.pop() + 1)):
        change()
        np.testing.assert_allclose(jacobian(X, y).toarray(), tg.jacfwd(f)(X, y), rtol=1e-14)
    power = 3
    np.testing.assert_allclose(jacobian(X, y).toarray(), tg.jacfwd(f)(X, y), rtol=1e-14)
    np.testing.assert_allclose(jacobian(X[::-1], y).toarray(), tg.jacfwd(f)(X[::-1], y), rtol=1e-14)
    np.testing.assert_allclose(jacobian(X, y, k=2.0).toarray(), tg.jacfwd(f)(X, y, 2.0), rtol=1e-14)
    np.testing.assert_allclose(jacobian(X, y, 3.0).toarray(), tg.jacfwd(f)(X, y, 3.0), rtol=1e-14)


def test_structure_follows_indices():
    def f(x, i):
        return x[i] * x

    jacobian = tg.sparse_jacobian(f)
    for i in (ORDER, np.arange(12), np.zeros(12, int)):
        np.testing.assert_allclose(jacobian(X, i).toarray(), tg.jacfwd(f)(X, i), rtol=1e-14)
        assert jacobian(X, i).nnz == np.count_nonzero(tg.jacfwd(f)(X, i))
    # positions that depend on the argument itself
    np.testing.assert_allclose(tg.sparse_jacobian(np.sort)(X).toarray(), tg.jacfwd(np.sort)(X))


def test_trees_are_vectors_of_all_leaves():
    def f(p, scale):
        return {"u": scale * p["a"] ** 2, "v": p["a"][:2] * p["b"]}

    p = {"a": X[:3], "b": X[3:5]}
    expected = np.zeros((5, 5))
    expected[:3, :3] = np.diag(4 * p["a"])
    expected[3:, :2], expected[3:, 3:] = np.diag(p["b"]), np.diag(p["a"][:2])
    jacobian = tg.sparse_jacobian(f)
    np.testing.assert_allclose(jacobian(p, 2.0).toarray(), expected)
    assert tg.sparse_jacobian(f, argnums=1)(p, 2.0).shape == (5, 1)


def test_nothing():
    assert tg.sparse_jacobian(np.sin)(np.zeros(0)).shape == (0, 0)
    assert tg.sparse_jacobian(lambda x: np.zeros(3) + 1.0)(X).nnz == 0


def test_errors():
    with pytest.raises(TraceError, match="sparse_jacobian was called inside of a traced function"):
        tg.jit(lambda x: tg.sparse_jacobian(np.sin)(x), compile="never")(X)
    with pytest.raises(DifferentiationError, match="int64"):
        tg.sparse_jacobian(np.sin)(np.arange(3))
    with pytest.raises(DifferentiationError, match="has no derivative"):
        tg.sparse_jacobian(lambda x: np.argsort(x))(X)
