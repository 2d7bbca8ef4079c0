"""Kernels of linear algebra give what the interpreter gives: stacks, both dtypes, no matrices, gradients, refusals."""

import numpy as np
import pytest
import scipy.linalg

import tracegrad as tg
from tracegrad.testing import check_grads

RNG = np.random.default_rng(0)
SHAPES = ((3, 3), (5, 4, 4), (0, 3, 3), (1, 1), (2, 0, 0), (2, 3, 20, 20))


def regular(shape, dtype=np.float64):
    return (RNG.standard_normal(shape) + 4 * np.eye(shape[-2], shape[-1])).astype(dtype)


def definite(shape, dtype=np.float64):
    a = RNG.standard_normal(shape)
    return (a @ np.swapaxes(a, -1, -2) + shape[-1] * np.eye(shape[-1])).astype(dtype)


def same(function, *arrays):
    """Assert that the compiled function gives what the interpreter gives."""
    wanted, found = tg.jit(function, compile="never")(*arrays), tg.jit(function)(*arrays)
    for a, b in zip(*(r if isinstance(r, tuple) else (r,) for r in (wanted, found)), strict=True):
        assert np.asarray(a).dtype == np.asarray(b).dtype
        digits = 1e-11 if np.asarray(a).dtype == np.float64 else 1e-4
        np.testing.assert_allclose(b, a, rtol=digits, atol=digits)


@pytest.mark.parametrize(("shape", "dtype"), [*((shape, np.float64) for shape in SHAPES), (SHAPES[1], np.float32)])
def test_factors_solutions_and_determinants(shape, dtype):
    a, b = regular(shape, dtype), RNG.standard_normal((*shape[:-1], 2)).astype(dtype)
    same(np.linalg.inv, a)
    same(np.linalg.solve, a, b)
    same(np.linalg.det, a)
    same(lambda x: tuple(np.linalg.slogdet(x)), a)
    same(np.linalg.cholesky, definite(shape, dtype))
    if len(shape) == 2:
        for lower in (False, True):
            same(lambda a, b, lower=lower: scipy.linalg.solve_triangular(a, b, lower=lower), a, b)
            same(lambda a, b: scipy.linalg.solve_triangular(a, b, trans=1, unit_diagonal=True), a / 9, b)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [*((shape, np.float64) for shape in (*SHAPES, (4, 2), (2, 2, 5), (3, 0), (30, 4))), ((2, 2, 5), np.float32)],
)
def test_decompositions(shape, dtype):
    x = regular(shape, dtype)

    def svd(x):
        u, s, vh = np.linalg.svd(x, full_matrices=False)
        return s, (u * s[..., None, :]) @ vh

    def qr(x):
        q, r = np.linalg.qr(x)
        return q, r, q @ r

    same(svd, x)
    same(qr, x)
    if shape[-1] == shape[-2]:
        same(lambda x: (np.linalg.eigh(x)[0], np.linalg.eigvalsh(x, "U")), definite(shape, dtype))
        vectors = tg.jit(lambda x: np.linalg.eigh(x)[1])(definite(shape, dtype))
        unit = np.swapaxes(vectors, -1, -2) @ vectors
        np.testing.assert_allclose(unit, np.broadcast_to(np.eye(shape[-1]), unit.shape), atol=1e-5)


LOSSES = {
    "inv": lambda a, b: np.sum(np.linalg.inv(a) * b),
    "solve": lambda a, b: np.sum(np.linalg.solve(a, b) ** 2),
    "slogdet": lambda a, b: np.sum(np.linalg.slogdet(a)[1] ** 2),
    "cholesky": lambda a, b: np.sum(np.linalg.cholesky(a @ np.swapaxes(a, -1, -2)) * b),
    "eigh": lambda a, b: np.sum(np.linalg.eigh(a + np.swapaxes(a, -1, -2))[1] ** 4 * b),
    "eigvalsh": lambda a, b: np.sum(np.linalg.eigvalsh(a)[..., None] ** 3 * b),
    "svd": lambda a, b: np.sum(np.linalg.svd(a, full_matrices=False)[0] ** 2 * b),
    "qr": lambda a, b: np.sum(np.linalg.qr(a)[1] * b),
}


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_and_second_gradients_are_native(name):
    a, b = regular((2, 3, 3)), RNG.standard_normal((2, 3, 3))
    a += np.diag([0.0, 1.0, 3.0])
    for second in (False, True):
        found = []
        for mode in ("now", "never"):
            loss = tg.grad_compile(compile=mode)(LOSSES[name])
            if second:
                first = loss
                loss = tg.grad_compile(compile=mode)(lambda a, b, first=first: np.sum(first.grad(a, b) * b))
            found.append(loss.grad(a, b))
        np.testing.assert_allclose(found[0], found[1], rtol=1e-8, atol=1e-9)


def turned(x):
    return np.swapaxes(x, -1, -2)


def beyond(x):
    """What does not depend on the choice of the vectors that complete a basis."""
    k = min(x.shape[-2:])
    u, s, vh = np.linalg.svd(x)
    q, r = np.linalg.qr(x, mode="complete")
    rest, last, new = u[..., k:], vh[..., k:, :], q[..., k:]
    return rest @ turned(rest), turned(last) @ last, s, new @ turned(new), r


FUNCTIONS = {
    "pinv": (np.linalg.pinv, ((2, 4, 4), (4, 2), (2, 2, 5), (0, 3, 2), (2, 3, 0))),
    "pinv of symmetric": (lambda x: np.linalg.pinv(x, hermitian=True), ((3, 3),)),
    "lstsq": (lambda x: np.linalg.lstsq(x, np.arange(5.0), rcond=None)[0], ((5, 3),)),
    "det": (np.linalg.det, ((2, 4, 4), (2, 0, 0), (1, 1))),
    "bases": (beyond, ((2, 5), (2, 5, 2), (2, 3, 0), (0, 2))),
    "exponential": (scipy.linalg.expm, ((2, 4, 4), (2, 0, 0))),
    "exponential of much": (lambda x: scipy.linalg.expm(x * 20.0) * 1e-60, ((3, 3),)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_matrices_and_their_gradients(name):
    function, shapes = FUNCTIONS[name]
    for shape in shapes:
        x = RNG.standard_normal(shape)
        same(function, x)

        def loss(x):
            found = function(x)
            return sum(np.sum(np.cos(f + 0.3)) for f in (found if isinstance(found, tuple) else (found,)))

        gradients = [tg.grad_compile(compile=mode)(loss).grad(x) for mode in ("never", "now")]
        np.testing.assert_allclose(gradients[1], gradients[0], rtol=1e-9, atol=1e-9)


def test_what_is_not_finite():
    odd = np.array([[1.0, np.nan], [0.0, 1.0]])
    assert np.isnan(tg.jit(scipy.linalg.expm)(odd)).all()
    with pytest.raises(np.linalg.LinAlgError, match="non-finite"):
        tg.jit(np.linalg.pinv)(odd)


def test_cofactors_of_singular_matrices():
    bad = np.array([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 0.0, 2.0]])
    np.testing.assert_allclose(tg.grad_compile(np.linalg.det).grad(bad), np.diag([0.0, 2.0, 0.0]), atol=1e-15)


def test_completed_bases_move_with_the_space_they_span():
    check_grads(beyond, (RNG.standard_normal((4, 2)),), order=1)
    check_grads(beyond, (RNG.standard_normal((2, 4)),), order=1)


def test_refused_matrices_raise_what_the_interpreter_raises():
    good, bad = np.eye(3), np.diag([1.0, 0.0, -1.0])
    odd = np.array([[1.0, np.nan], [0.0, 1.0]])
    cases = (
        (np.linalg.inv, np.stack([good, bad])),
        (np.linalg.inv, bad),
        (lambda x: np.linalg.solve(x, np.ones(3)), bad),
        (np.linalg.cholesky, np.stack([good, good, bad])),
        (np.linalg.cholesky, np.diag([1.0, -1.0])),
        (lambda x: np.linalg.svd(x)[1], odd),
    )
    for function, x in cases:
        texts = []
        for mode in ("now", "never"):
            with pytest.raises(np.linalg.LinAlgError) as caught:
                tg.jit(function, compile=mode)(x)
            texts.append(str(caught.value))
        assert texts[0] == texts[1]
        compiled = tg.jit(function)
        with pytest.raises(np.linalg.LinAlgError):
            compiled(x)
        compiled(np.stack([good] * len(x)) if x.ndim == 3 else np.eye(len(x)))  # the next call knows nothing of it


def test_singular_matrices_have_determinants():
    singular = np.stack([np.zeros((3, 3)), np.ones((3, 3)), np.eye(3)])
    found = tg.jit(lambda x: tuple(np.linalg.slogdet(x)))(singular)
    np.testing.assert_array_equal(found[0], [0, 0, 1])
    np.testing.assert_array_equal(found[1], [-np.inf, -np.inf, 0])
    np.testing.assert_array_equal(tg.jit(np.linalg.det)(singular), [0, 0, 1])


def test_many_matrices_over_threads_are_those_over_one():
    x = definite((4000, 6, 6))
    function = tg.jit(lambda x: np.linalg.inv(x) @ np.linalg.cholesky(x))
    with tg.config.override(threads=1):
        alone = function(x)
    for _ in range(5):
        np.testing.assert_array_equal(function(x), alone)


def test_a_view_that_is_stored_later_is_read_where_it_lies_before():
    x = regular((2, 3, 3))

    def f(x):
        q, r = np.linalg.qr(x)
        early = r @ np.swapaxes(x, -1, -2)
        return np.linalg.solve(r, np.linalg.inv(early) @ q)  # r, a part of an array, is stored for solve

    same(f, x)


def test_a_cheap_value_that_is_stored_with_its_transpose_is_computed_twice():
    a = regular((3, 3))
    lower = np.tri(3) > 0

    def loss(a):
        return np.sum(np.linalg.solve(np.where(lower, a, 0.0), a))

    found, wanted = (tg.grad_compile(compile=mode)(loss).grad(a) for mode in ("now", "never"))
    np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-12)
