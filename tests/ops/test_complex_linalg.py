"""Linear algebra of complex matrices: NumPy's results, derivatives by the parts, in both modes and twice, and native code."""

import numpy as np
import pytest
import scipy.linalg as sl

import tracegrad as tg
from tests.support import central_difference
from tracegrad.core.tree import flatten
from tracegrad.errors import TraceError
from tracegrad.ops.matrices import LinAlgError
from tracegrad.testing import check_grads

DRAW = np.random.default_rng(3)


def normal(*shape):
    return DRAW.normal(size=shape) + 1j * DRAW.normal(size=shape)


def adjoint(a):
    return np.swapaxes(a, -1, -2).conj()


def hermitian(a):
    return (a + adjoint(a)) / 2


def definite(a):
    return a @ adjoint(a) + np.eye(a.shape[-1])


def size(z):
    """A real number of all elements, each of which counts differently."""
    return np.sum(np.abs(z + 0.5) ** 2 * np.linspace(1, 2, z.size).reshape(z.shape))


A, B, K = normal(4, 4) + 3 * np.eye(4), normal(4, 2), normal(4, 4)
STACK, TALL, WIDE, REAL = normal(2, 3, 3) + 2 * np.eye(3), normal(4, 2), normal(2, 4), DRAW.normal(size=(4, 4))
M = normal(3, 3)


def eigh(a):
    values, vectors = np.linalg.eigh(hermitian(a))
    return np.sum(np.abs(adjoint(vectors) @ M @ vectors) ** 2 * values[..., None])


def of_upper_triangle(a):
    values, vectors = np.linalg.eigh(hermitian(a), "U")
    return np.sum(np.abs(adjoint(vectors) @ M @ vectors) ** 2 * values[..., None])


def svd(a):
    u, s, vh = np.linalg.svd(a, full_matrices=False)
    return size((u * s[..., None, :] ** 2) @ vh) + np.sum(s**3)


def full_svd(a):
    u, s, vh = np.linalg.svd(a)
    k = s.shape[-1]
    return size(u[:, k:] @ adjoint(u[:, k:])) + size(adjoint(vh[k:]) @ vh[k:]) + np.sum(s**3)


def qr(a):
    q, r = np.linalg.qr(a)
    return size(q) + size(r)


def complete_qr(a):
    q, r = np.linalg.qr(a, mode="complete")
    return size(q[:, 2:] @ adjoint(q[:, 2:])) + size(r)


def slogdet(a):
    sign, logarithm = np.linalg.slogdet(a)
    return np.sum((sign * (1 + 0.5j)).real + logarithm**2)


def lstsq(a, b):
    x, residuals, _, values = np.linalg.lstsq(a, b)
    return size(x) + np.sum(residuals) + np.sum(values**2)


def norms(a):
    return sum(np.sum(np.linalg.norm(a, order, axis=(-2, -1)) ** 2) for order in (2, -2, "nuc", "fro", 1, -np.inf))


def conditions(a):
    return np.sum(np.linalg.cond(a)) + np.sum(np.linalg.cond(a, 1)) + np.sum(np.linalg.cond(a, "fro"))


def eig(a):
    values, vectors = np.linalg.eig(a)
    return size(values) + size(vectors)


def lu(a):
    p, lower, upper = sl.lu(a)
    return size(p @ lower @ upper) + size(lower) + size(upper)


def lu_solve(a, b):
    factors = sl.lu_factor(a)
    return sum(size(sl.lu_solve(factors, b, trans=k)) for k in (0, 1, 2))


def triangular(a, b):
    return sum(size(sl.solve_triangular(a, b, trans=k, lower=lower)) for k in (0, 1, 2) for lower in (False, True))


def cho_solve(a, b):
    return sum(size(sl.cho_solve(sl.cho_factor(hermitian(a), lower=lower), b)) for lower in (False, True))


def schur(a):
    form, rotation = sl.schur(a)
    return size(abs(form)) + size(abs(K @ rotation))


def polar(a):
    return sum(size(each) for side in ("right", "left") for each in sl.polar(a, side=side))


def equations(a, q):
    return (
        size(sl.solve_sylvester(a, q[:3, :3] + 9, q[:, :3]))
        + size(sl.solve_continuous_lyapunov(a, q))
        + size(sl.solve_discrete_lyapunov(a / 9, q))
    )


def patterns(c, b):
    band = np.stack([c, c + 9])
    return size(sl.solve_toeplitz(c + np.array([9, 0, 0, 0]), b)) + size(sl.toeplitz(c)) + size(sl.solveh_banded(band, b))


CASES = {
    "cholesky": (lambda a: size(np.linalg.cholesky(definite(a))), STACK),
    "cholesky of a triangle": (lambda a: size(np.linalg.cholesky(hermitian(a))), definite(A)),
    "eigh": (eigh, STACK),
    "eigh of the upper triangle": (of_upper_triangle, STACK),
    "eigvalsh": (lambda a: np.sum(np.linalg.eigvalsh(hermitian(a)) ** 3), A),
    "svd": (svd, STACK),
    "svd of a tall matrix": (svd, TALL),
    "svd of a wide matrix": (svd, WIDE),
    "full svd of a tall matrix": (full_svd, TALL),
    "full svd of a wide matrix": (full_svd, WIDE),
    "qr": (qr, STACK),
    "qr of a tall matrix": (qr, TALL),
    "qr of a wide matrix": (qr, WIDE),
    "complete qr": (complete_qr, TALL),
    "det": (lambda a: size(np.linalg.det(a)), STACK),
    "slogdet": (slogdet, STACK),
    "inv": (lambda a: size(np.linalg.inv(a)), STACK),
    "solve": (lambda a, b: size(np.linalg.solve(a, b)), A, B),
    "pinv": (lambda a: size(np.linalg.pinv(a)), TALL),
    "pinv of a Hermitian matrix": (lambda a: size(np.linalg.pinv(hermitian(a), hermitian=True)), A),
    "lstsq": (lstsq, TALL, B),
    "matrix_power": (lambda a: size(np.linalg.matrix_power(a, 3)) + size(np.linalg.matrix_power(a, -2)), A),
    "norms": (norms, STACK),
    "cond": (conditions, A),
    "vecdot": (lambda a, b: size(np.linalg.vecdot(a, b)), A, B[:, 0]),
    "cumprod": (lambda a: size(np.cumprod(a, axis=1)), A),
    "eig": (eig, A),
    "eig of real matrices": (eig, DRAW.normal(size=(2, 3, 3))),
    "eigvals": (lambda a: size(np.linalg.eigvals(a)), STACK),
    "scipy eig": (lambda a: size(sl.eig(a)[1]) + size(sl.eigvals(a)), A),
    "expm": (lambda a: size(sl.expm(a / 3)), STACK),
    "sqrtm": (lambda a: size(sl.sqrtm(a)), A),
    "logm": (lambda a: size(sl.logm(a)), A),
    "cosm": (lambda a: size(sl.cosm(a / 5)) + size(sl.sinhm(a / 5)), A),
    "expm_frechet": (lambda a, e: size(sl.expm_frechet(a / 3, e)[1]), A, K),
    "lu": (lu, A),
    "lu of a tall matrix": (lu, TALL),
    "lu of a wide matrix": (lu, WIDE),
    "lu_solve": (lu_solve, A, B),
    "solve_triangular": (triangular, A, B),
    "cho_solve": (cho_solve, definite(A), B),
    "schur": (schur, A),
    "polar": (polar, A),
    "equations": (equations, A, K),
    "patterns": (patterns, normal(4), normal(4)),
}
COMPILED = ("cholesky", "slogdet", "eig of real matrices", "cumprod")
TWICE = ("eigh", "det", "eig")


def some(names):
    return [name if name in names else pytest.param(name, marks=pytest.mark.nightly) for name in CASES]


def leaves(value):
    return [np.asarray(leaf) for leaf in flatten(value)[0]]


def drawn(like, draw):
    parts = draw.normal(size=(2, *np.shape(like)))
    return parts[0] + 1j * parts[1] if np.iscomplexobj(like) else parts[0]


@pytest.mark.parametrize("name", CASES)
def test_derivatives_are_those_by_the_parts_in_both_modes(name):
    function, *arguments = CASES[name]
    compiled = tg.grad_compile(function, argnums=tuple(range(len(arguments))), compile="never")
    value, gradients = compiled.value_and_grad(*arguments)
    np.testing.assert_allclose(value, function(*arguments), rtol=1e-11)
    draw = np.random.default_rng(0)
    directions = [drawn(a, draw) for a in arguments]
    paired = 0.0
    for k, gradient in enumerate(gradients):
        assert gradient.dtype == arguments[k].dtype
        mine = np.sum(gradient * directions[k]).real
        want = central_difference(lambda *a: np.real(function(*a)), arguments, k, directions[k], 1e-4)
        assert abs(mine - want) <= 1e-7 * (1 + abs(want))
        paired += mine
    _, tangent = tg.jvp(tg.jit(function, compile="never"), tuple(arguments), tuple(directions))
    np.testing.assert_allclose(tangent, paired, rtol=1e-9)


@pytest.mark.parametrize("name", some(TWICE))
def test_second_derivatives(name):
    function, *arguments = CASES[name]
    total = abs(function(*arguments))
    check_grads(tg.jit(lambda *a: function(*a) / total, compile="never"), tuple(arguments), order=2)


@pytest.mark.parametrize("name", some(COMPILED))
def test_native_code_has_the_same_values_and_gradients(name):
    function, *arguments = CASES[name]
    argnums = tuple(range(len(arguments)))
    value, gradients = tg.grad_compile(function, argnums=argnums).value_and_grad(*arguments)
    want, wanted = tg.grad_compile(function, argnums=argnums, compile="never").value_and_grad(*arguments)
    np.testing.assert_allclose(value, want, rtol=1e-11)
    for mine, other in zip(gradients, wanted, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-8, atol=1e-9 * np.max(np.abs(other)))


def everything(a, s, w):
    """Results as they are: their dtypes, signs and phases are NumPy's."""
    return {
        "cholesky": np.linalg.cholesky(s @ adjoint(s)),
        "upper": np.linalg.cholesky(s @ adjoint(s), upper=True),
        "eigh": tuple(np.linalg.eigh(s + adjoint(s))),
        "eigvalsh": np.linalg.eigvalsh(s + adjoint(s), "U"),
        "svd": tuple(np.linalg.svd(w)),
        "svdvals": np.linalg.svdvals(w),
        "qr": tuple(np.linalg.qr(w)),
        "complete": tuple(np.linalg.qr(adjoint(w), mode="complete")),
        "det": np.linalg.det(s),
        "slogdet": tuple(np.linalg.slogdet(s)),
        "pinv": np.linalg.pinv(w),
        "lstsq": tuple(np.linalg.lstsq(adjoint(w), a)),
        "rank": np.linalg.matrix_rank(s),
        "norms": [np.linalg.norm(w, order) for order in (2, "nuc", None)],
        "zeros": np.linalg.norm(w[0], 0),
        "eig": tuple(np.linalg.eig(s)),
    }


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
@pytest.mark.parametrize("compile_", ["never", pytest.param("always", marks=pytest.mark.nightly)])
def test_results_are_those_of_numpy(dtype, compile_):
    arguments = [x.astype(dtype) for x in (A, STACK, WIDE)]
    found = flatten(tg.jit(everything, **({"compile": "never"} if compile_ == "never" else {}))(*arguments))
    wanted = flatten(everything(*arguments))
    assert found[1] == wanted[1]
    for path, mine, want in zip(wanted[1].paths("f"), found[0], wanted[0], strict=True):
        assert np.asarray(mine).dtype == np.asarray(want).dtype, path
        np.testing.assert_allclose(mine, want, rtol=2e3 * np.finfo(dtype).eps, atol=2e3 * np.finfo(dtype).eps, err_msg=path)


def test_eigenvalues_of_real_matrices_are_complex_in_a_trace():
    symmetric = REAL + REAL.T
    assert np.linalg.eigvals(symmetric).dtype == np.float64
    values, vectors = tg.jit(lambda a: tuple(np.linalg.eig(a)), compile="never")(symmetric)
    assert values.dtype == vectors.dtype == np.complex128
    np.testing.assert_allclose(values, np.linalg.eigvals(symmetric), atol=1e-12)
    gradient = tg.grad(lambda a: np.sum(np.linalg.eigvals(a).real ** 3))(symmetric)
    np.testing.assert_allclose(gradient, 3 * (symmetric @ symmetric).T, rtol=1e-9, atol=1e-9)


def test_the_derivative_of_a_determinant_at_a_singular_matrix():
    singular = np.outer(B[:3, 0], M[0])
    singular[0] += M[1]
    found = tg.grad(np.linalg.det, holomorphic=True)(singular)
    for i, j in np.ndindex(3, 3):
        minor = np.delete(np.delete(singular, i, 0), j, 1)
        np.testing.assert_allclose(found[i, j], (-1) ** (i + j) * np.linalg.det(minor), rtol=1e-9, atol=1e-12)


def test_roots_of_complex_matrices_exist_where_real_ones_do_not():
    negative = np.diag([-4.0, 9.0])
    with pytest.raises(LinAlgError, match="negative eigenvalue"):
        tg.jit(sl.sqrtm, compile="never")(negative)
    np.testing.assert_allclose(tg.jit(sl.sqrtm, compile="never")(negative + 0j), np.diag([2j, 3.0]), atol=1e-14)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda a: sl.eig(a, left=True), "left=True is not traced"),
        (lambda a: sl.eig(a, a), "of two matrices"),
        (lambda a: sl.schur(a.real, output="complex"), "in its real form"),
    ],
)
def test_what_is_not_traced_says_what_to_write(call, says):
    with pytest.raises(TraceError, match=says) as caught:
        tg.jit(call, compile="never")(A)
    assert caught.value.fix


def test_numbers_that_are_not_finite_are_refused():
    bad = STACK.copy()
    bad[1, 0, 0] = np.nan
    for function in (lambda a: np.linalg.eig(a)[0], lambda a: np.linalg.svd(a)[0]):
        for compiled in (tg.jit(function), tg.jit(function, compile="never")):
            with pytest.raises(LinAlgError, match="finite"):
                compiled(bad)


@pytest.mark.parametrize("name", ["cholesky", "eigh", "svd", "qr", "det", "slogdet", "pinv", "expm"])
def test_gradients_are_those_of_jax(name):
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    function, *arguments = CASES[name]
    names = {**globals(), "np": jax.numpy, "sl": jax.scipy.linalg}
    for key in ("adjoint", "hermitian", "definite", "size", "eigh", "svd", "qr", "slogdet"):
        names[key] = type(function)(globals()[key].__code__, names)
    theirs = type(function)(function.__code__, names)
    want = jax.grad(theirs)(*arguments)
    np.testing.assert_allclose(tg.grad(tg.jit(function, compile="never"))(*arguments), np.asarray(want), rtol=1e-9, atol=1e-9)
