"""Sparse matrices of SciPy in traced functions: from outside, as arguments, as results, and their derivatives."""

import numpy as np
import pytest
import scipy.sparse as sp

import tracegrad as tg
from tracegrad.errors import DifferentiationError, ShapeError, TraceError

DENSE = np.array([[1.0, 0.0, 2.0, 0.0], [0.0, 0.0, 0.0, 0.0], [0.0, -3.0, 0.5, 4.0]])
X = np.array([0.5, 1.5, -2.0, 0.25])
FORMATS = ("csr", "csc", "coo", "dia", "bsr")
MATRICES = [
    pytest.param(kind(DENSE).asformat(form), id=f"{form}-{kind.__name__[4:]}")
    for form in FORMATS
    for kind in (sp.csr_array, sp.csr_matrix)
]
never = lambda f: tg.jit(f, compile="never")


@pytest.mark.parametrize("matrix", MATRICES)
def test_products(matrix):
    def products(x):
        both = np.stack([x, x**2], axis=1)
        return {
            "vector": matrix @ x,
            "matrix": matrix @ both,
            "from the left": x[:3] @ matrix,
            "rows": both.T[:, :3] @ matrix,
            "transposed": matrix.T @ x[1:],
            "dot": matrix.dot(x),
            "scaled": (2 * matrix / x[0]) @ x - -matrix @ x,
            "by element": matrix.multiply(x) @ x,
            "whole": matrix.toarray() * x,
            "sum": matrix.sum(),
        }

    found, expected = tg.jit(products)(X), products(X)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-14, err_msg=name)
        assert found[name].dtype == value.dtype
        # it is linear in x by the stored elements alone
    for transform in (tg.jacfwd, tg.jacrev):
        np.testing.assert_array_equal(transform(lambda x: matrix @ x)(X), DENSE)
        np.testing.assert_array_equal(transform(lambda x: x @ matrix)(X[:3]), DENSE.T)
    np.testing.assert_allclose(tg.hessian(lambda x: np.sum((matrix @ x) ** 2))(X), 2 * DENSE.T @ DENSE)


def test_a_matrix_and_an_array_of_scipy_multiply_each_in_their_way():
    array, matrix = sp.csr_array(DENSE), sp.csr_matrix(DENSE)
    np.testing.assert_allclose(never(lambda x: matrix * x)(X), DENSE @ X)
    np.testing.assert_allclose(never(lambda x: (array * x).toarray())(X), DENSE * X)
    np.testing.assert_allclose(never(lambda x: x[:3] * matrix)(X), X[:3] @ DENSE)


def test_dtypes_are_those_of_scipy():
    for dtype, other in ((np.float32, np.float32), (np.float32, np.float64), (np.int64, np.float32), (np.int32, np.int64)):
        matrix, x = sp.csr_array(DENSE.astype(dtype)), X.astype(other)
        found, expected = tg.jit(lambda x, m=matrix: m @ x)(x), matrix @ x
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("form", FORMATS)
def test_elements_are_read_again_and_places_too(form):
    matrix = sp.csr_array(DENSE).asformat(form)
    f = tg.jit(lambda x: matrix @ x, compile="never")
    f(X), f(X)
    matrix.data *= 2
    np.testing.assert_allclose(f(X), 2 * DENSE @ X)
    if form == "coo":
        matrix.col[0] = 3
        np.testing.assert_allclose(f(X), matrix @ X)
    if form == "csr":
        matrix.indices[0] = 3
        np.testing.assert_allclose(f(X), matrix @ X)
        matrix.indices[0] = 7
        for g in (f, tg.jit(lambda x: matrix @ x)):
            with pytest.raises(IndexError, match="out of bounds"):
                g(X)


def test_as_argument_and_as_result():
    matrix = sp.csr_array(DENSE)
    compiled = tg.jit(lambda a, x: (a @ x, a.T, 2 * a))
    for given in (matrix, sp.csc_array(DENSE), sp.csr_matrix(DENSE)):
        product, turned, twice = compiled(given, X)
        np.testing.assert_allclose(product, DENSE @ X)
        assert type(turned) is type(given.T)
        np.testing.assert_array_equal(turned.toarray(), DENSE.T)
        assert type(twice) is type(given)
        np.testing.assert_array_equal(twice.toarray(), 2 * DENSE)
    gradient = tg.grad(lambda a, x: np.sum((a @ x) ** 2), argnums=1)(matrix, X)
    np.testing.assert_allclose(gradient, 2 * DENSE.T @ (DENSE @ X))
    elements = tg.grad(lambda scale: np.sum((matrix.multiply(scale) @ X) ** 2))(X)
    np.testing.assert_allclose(elements, 2 * X * (DENSE.T @ (DENSE * X @ X)))
    with pytest.raises(DifferentiationError, match=r"a\.indices"):
        tg.grad(lambda a, x: np.sum(a @ x))(matrix, X)
    with pytest.raises(TraceError, match="not hashable") as caught:
        compiled(matrix.tocoo(), X)
    assert "coo_array.tocsr()" in str(caught.value)


def test_mapped():
    matrix, many = sp.csr_array(DENSE), np.arange(8.0).reshape(2, 4)
    for f in (tg.vmap(lambda x: matrix @ x), tg.jit(tg.vmap(lambda x: matrix @ x))):
        np.testing.assert_allclose(f(many), many @ DENSE.T)
    each = tg.vmap(tg.grad(lambda x, s: np.sum(np.sin((s * matrix) @ x))), in_axes=(0, 0))(many, np.array([1.0, 2.0]))
    for x, s, found in zip(many, (1.0, 2.0), each, strict=True):
        np.testing.assert_allclose(found, s * DENSE.T @ np.cos(s * DENSE @ x))


def test_sparse_jacobian_of_a_product():
    matrix = sp.random_array((40, 30), density=0.1, rng=np.random.default_rng(0), format="csr")
    J = tg.sparse_jacobian(lambda x: np.sin(matrix @ x))
    x = np.linspace(0, 1, 30)
    found = J(x)
    np.testing.assert_allclose(found.toarray(), np.cos(matrix @ x)[:, None] * matrix.toarray(), rtol=1e-12)
    assert found.nnz == matrix.nnz


def test_what_is_known_of_it_is_known_inside():
    matrix = sp.csr_array(DENSE)

    def f(x):
        assert isinstance(matrix, sp.csr_array)
        assert sp.issparse(matrix)
        assert (matrix.shape, matrix.ndim, matrix.nnz, matrix.format, matrix.dtype) == ((3, 4), 2, 5, "csr", np.float64)
        return matrix @ x, matrix.sum(axis=0), matrix.sum(axis=1), matrix.diagonal(), matrix.diagonal(1), abs(matrix) @ x

    for found, expected in zip(never(f)(X), f(X), strict=True):
        np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize(
    ("f", "error", "text"),
    [
        (lambda x: LISTS @ x, TraceError, "needs the value"),
        (lambda x: MATRIX + x, TraceError, "add of a csr_array is not traced"),
        (lambda x: MATRIX[0] @ x, TraceError, "an element or a part of a csr_array"),
        (lambda x: MATRIX @ MATRIX.T @ x, TraceError, "not traced"),
        (lambda x: MATRIX.power(2) @ x, TraceError, "the attribute power"),
        (lambda x: MATRIX @ x[:3], ShapeError, r"\(3,"),
    ],
)
def test_what_is_refused(f, error, text):
    with pytest.raises(error, match=text) as caught:
        tg.jit(f)(X)
    assert "Instead" in str(caught.value)


MATRIX = sp.csr_array(DENSE)
LISTS = MATRIX.tolil()
