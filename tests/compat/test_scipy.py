"""tracegrad.compat.scipy: derivatives are those of HIPS autograd and of differences."""

import numpy as onp  # noqa: ICN001 - np is the namespace that is tested
import pytest
import scipy.integrate as real_integrate
import scipy.signal as real_signal
import scipy.stats as real_stats

import tracegrad.compat.numpy as np
from tests.support import central_difference
from tracegrad.compat import grad
from tracegrad.compat.scipy import integrate, linalg, signal, special, stats
from tracegrad.compat.test_util import check_grads
from tracegrad.errors import DifferentiationError, ShapeError

RNG = onp.random.default_rng(0)
X = RNG.uniform(0.2, 0.8, 4)
A = RNG.uniform(1.5, 3, 4)
M = RNG.normal(size=3)
POINTS = RNG.normal(size=(5, 3))
COV = onp.cov(RNG.normal(size=(3, 9))) + onp.eye(3)
COUNTS = onp.arange(4)

# Functions, arguments, and the positions of those that are differentiated.
DENSITIES = [
    ("beta.logpdf", (X, A, A + 1), (0, 1, 2)),
    ("beta.pdf", (X, A, A + 1), (0, 1, 2)),
    ("beta.cdf", (X, A, A + 1), (0,)),
    ("chi2.logpdf", (X, 3.0), (0,)),
    ("chi2.pdf", (X, 3.0), (0,)),
    ("chi2.cdf", (X, 3.0), (0,)),
    ("gamma.logpdf", (X, A), (0, 1)),
    ("gamma.pdf", (X, 2.0), (0, 1)),
    ("gamma.cdf", (X, A), (0,)),
    ("poisson.logpmf", (COUNTS, A), (1,)),
    ("poisson.pmf", (COUNTS, A), (1,)),
    ("poisson.cdf", (COUNTS, A), (1,)),
    ("t.logpdf", (X, A, X * 0.5, A * 2), (0, 1, 2, 3)),
    ("t.pdf", (X, A, X * 0.5, A * 2), (0, 1, 2)),
    ("t.cdf", (X, 3.0, 0.5, 2.0), (0, 2)),
    ("t.logcdf", (X, 3.0, 0.5, 1.0), (0, 2)),
    *((f"norm.{kind}", (X, 0.1, A), (0, 1, 2)) for kind in ("pdf", "cdf", "sf", "logpdf", "logcdf", "logsf")),
    ("multivariate_normal.logpdf", (POINTS, M, COV), (0, 1, 2)),
    ("multivariate_normal.pdf", (POINTS[0], M, COV), (0, 1, 2)),
    ("multivariate_normal.entropy", (M, COV), (1,)),
    ("dirichlet.logpdf", (onp.array([0.2, 0.3, 0.5]), onp.array([2.0, 3.0, 1.5])), (1,)),
    ("dirichlet.pdf", (onp.array([0.2, 0.3, 0.5]), onp.array([2.0, 3.0, 1.5])), (1,)),
]
FUNCTIONS = [
    *(
        (name, (X,), (0,))
        for name in ("gamma", "gammaln", "psi", "digamma", "erf", "erfc", "erfinv", "erfcinv", "logit", "expit")
    ),
    *((name, (X,), (0,)) for name in ("j0", "j1", "y0", "y1", "i0", "i1", "rgamma", "logsumexp")),
    *((name, (2, X), (1,)) for name in ("jn", "yn", "iv", "ive", "polygamma")),
    ("beta", (X, A), (0, 1)),
    ("betaln", (X, A), (0, 1)),
    ("betainc", (A, A + 1, X), (2,)),
    ("gammainc", (A, X), (1,)),
    ("gammaincc", (A, X), (1,)),
    ("multigammaln", (A + 3, 2), (0,)),
]
ALL = [("stats", *row) for row in DENSITIES] + [("special", *row) for row in FUNCTIONS]
MODULES = {"stats": stats, "special": special}


def of(module, name):
    for part in name.split("."):
        module = getattr(module, part)
    return module


def squares(function, xp):
    return lambda *args: xp.sum(function(*args) ** 2)


@pytest.mark.parametrize(("module", "name", "args", "argnums"), ALL, ids=[f"{row[0]}.{row[1]}" for row in ALL])
def test_derivatives_are_those_of_differences(module, name, args, argnums):
    f = squares(of(MODULES[module], name), np)
    args = [onp.asarray(a, float) if k in argnums else a for k, a in enumerate(args)]
    for k in argnums:
        direction = RNG.normal(size=onp.shape(args[k]))
        if onp.ndim(direction) == 2:
            direction = direction + direction.swapaxes(0, 1) if direction.shape[0] == direction.shape[1] else direction
        want = central_difference(f, args, k, direction, step=1e-4)
        onp.testing.assert_allclose(onp.sum(grad(f, k)(*args) * direction), want, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("module", "name", "args", "argnums"), ALL, ids=[f"{row[0]}.{row[1]}" for row in ALL])
def test_derivatives_are_autograds(module, name, args, argnums):
    autograd = pytest.importorskip("autograd")
    theirs = pytest.importorskip(f"autograd.scipy.{module}")
    xp = pytest.importorskip("autograd.numpy")
    for k in argnums:
        want = autograd.grad(squares(of(theirs, name), xp), k)(*args)
        got = grad(squares(of(MODULES[module], name), np), k)(*args)
        if onp.shape(got) == COV.shape and args[k] is COV:
            got, want = got + got.T, want + want.T
        onp.testing.assert_allclose(got, want, rtol=1e-8)


def test_second_derivatives():
    onp.random.seed(0)  # noqa: NPY002 - check_grads draws from it, as in autograd
    check_grads(lambda x: np.sum(special.jn(3, x) * special.iv(1, x) + special.ive(2, x)))(X)
    check_grads(lambda x: special.betainc(2.0, 3.0, x))(X)
    check_grads(lambda x, m, s: stats.norm.logpdf(x, m, s), (0, 1, 2))(X, X * 0.3, A)
    check_grads(lambda x, df: stats.t.logpdf(x, df), (0, 1))(X, A)


def test_error_functions_of_complex_numbers():
    onp.random.seed(0)  # noqa: NPY002 - check_grads draws from it, as in autograd
    z = X + 1j * A
    check_grads(special.erf)(z)
    check_grads(special.erfc)(z)


def test_plain_values_give_scipys():
    assert stats.norm.logpdf(0.3) == real_stats.norm.logpdf(0.3)
    assert stats.laplace.logpdf(0.3) == real_stats.laplace.logpdf(0.3)
    assert stats.norm.rvs(size=3, random_state=0).shape == (3,)
    onp.testing.assert_allclose(grad(stats.laplace.logpdf)(0.3), -1.0)
    with pytest.raises(DifferentiationError, match="no derivative here"):
        grad(stats.norm.ppf)(0.3)
    with pytest.raises(DifferentiationError, match="frozen"):
        grad(lambda m: stats.laplace(m).logpdf(0.0))(0.3)
    with pytest.raises(AttributeError):
        stats.no_such_distribution


def test_signal_convolve_is_numpys_and_autograds():
    a, b = RNG.normal(size=7), RNG.normal(size=3)
    for mode in ("full", "valid", "same"):
        onp.testing.assert_allclose(signal.convolve(a, b, mode=mode), onp.convolve(a, b, mode))
        if mode != "same":
            onp.testing.assert_allclose(signal.convolve(b, a, mode=mode), onp.convolve(b, a, mode))
        check_grads(lambda x, y, mode=mode: signal.convolve(x, y, mode=mode), (0, 1), order=1)(a, b)
    with pytest.raises(ShapeError, match="no mode"):
        signal.convolve(a, b, mode="half")
    with pytest.raises(ShapeError, match="neither covers"):
        signal.convolve(onp.ones((3, 4)), onp.ones((4, 3)), mode="valid")


IMAGES = RNG.normal(size=(2, 3, 6, 5))
FILTERS = RNG.normal(size=(3, 4, 3, 2))


@pytest.mark.parametrize("mode", ["full", "valid"])
def test_signal_convolve_of_images(mode):
    """As in autograd's example of a convolutional network: images by channels with filters by channels."""
    axes, dot_axes = ([2, 3], [2, 3]), ([1], [0])
    f = lambda x, w: signal.convolve(x, w, axes=axes, dot_axes=dot_axes, mode=mode)
    got = f(IMAGES, FILTERS)
    want = sum(
        onp.stack([[real_signal.convolve2d(x[c], FILTERS[c, k], mode) for k in range(4)] for x in IMAGES]) for c in range(3)
    )
    onp.testing.assert_allclose(got, want, atol=1e-12)
    onp.random.seed(0)  # noqa: NPY002 - check_grads draws from it, as in autograd
    check_grads(f, (0, 1), order=1)(IMAGES, FILTERS)
    autograd = pytest.importorskip("autograd")
    theirs = pytest.importorskip("autograd.scipy.signal")
    xp = pytest.importorskip("autograd.numpy")
    g = lambda x, w: xp.sum(theirs.convolve(x, w, axes=axes, dot_axes=dot_axes, mode=mode) ** 2)
    for k in (0, 1):
        onp.testing.assert_allclose(
            grad(lambda x, w: np.sum(f(x, w) ** 2), k)(IMAGES, FILTERS), autograd.grad(g, k)(IMAGES, FILTERS), rtol=1e-9
        )


def test_signal_convolve_of_a_small_with_a_large_array():
    a, b = RNG.normal(size=(2, 3)), RNG.normal(size=(4, 7))
    got = signal.convolve(a, b, axes=([1], [1]), mode="valid")
    want = onp.array([[onp.convolve(row, other, "valid") for other in b] for row in a])
    onp.testing.assert_allclose(got, want)


def test_matrix_equations():
    onp.random.seed(0)  # noqa: NPY002 - check_grads draws from it, as in autograd
    a, b, q = RNG.normal(size=(3, 3)) + 3 * onp.eye(3), RNG.normal(size=(2, 2)) + 3 * onp.eye(2), RNG.normal(size=(3, 2))
    check_grads(linalg.solve_sylvester, (0, 1, 2))(a, b, q)
    check_grads(linalg.sqrtm)(COV)
    check_grads(linalg.expm)(a * 0.3)
    check_grads(linalg.solve_triangular, (0, 1), order=1)(a, q)
    check_grads(lambda x: linalg.cholesky(x @ x.T + onp.eye(3), lower=True))(a)


@pytest.mark.parametrize("columns", [(), (3,)])
def test_banded_systems(columns):
    onp.random.seed(0)  # noqa: NPY002 - check_grads draws from it, as in autograd
    ab = RNG.normal(size=(4, 6)) + 4 * (onp.arange(4) == 2)[:, None]
    b = RNG.normal(size=(6, *columns))
    f = lambda ab, b: linalg.solve_banded((1, 2), ab, b)
    check_grads(f, (0, 1))(ab, b)
    dense = onp.array([[ab[2 + i - j, j] if -2 <= i - j <= 1 else 0.0 for j in range(6)] for i in range(6)])
    onp.testing.assert_allclose(f(ab, b), onp.linalg.solve(dense, b))


def pendulum(y, t, length, drag):
    return np.array([y[1], -np.sin(y[0]) / length - drag["k"] * y[1] + 0.1 * t])


def test_odeint():
    tight = {"rtol": 1e-11, "atol": 1e-11}
    y0, t, args = onp.array([0.4, 0.0]), onp.linspace(0.0, 1.5, 4), (1.3, {"k": 0.2})
    onp.testing.assert_array_equal(integrate.odeint(pendulum, y0, t, args), real_integrate.odeint(pendulum, y0, t, args))
    f = lambda y0, t, args: np.sum(integrate.odeint(pendulum, y0, t, args, **tight) ** 2)
    to_y, to_t, to_args = grad(f, (0, 1, 2))(y0, t, args)
    for k in range(2):
        want = central_difference(lambda y: f(y, t, args), [y0], 0, onp.eye(2)[k], step=1e-3)
        onp.testing.assert_allclose(to_y[k], want, rtol=1e-6)
    for k in range(4):
        want = central_difference(lambda s: f(y0, s, args), [t], 0, onp.eye(4)[k], step=1e-3)
        onp.testing.assert_allclose(to_t[k], want, rtol=1e-6, atol=1e-8)
    want = central_difference(lambda length: f(y0, t, (length, args[1])), [args[0]], 0, 1.0, step=1e-3)
    onp.testing.assert_allclose(to_args[0], want, rtol=1e-6)
    want = central_difference(lambda k: f(y0, t, (args[0], {"k": k})), [0.2], 0, 1.0, step=1e-3)
    onp.testing.assert_allclose(to_args[1]["k"], want, rtol=1e-6)
    with pytest.raises(DifferentiationError, match="tfirst"):
        grad(lambda y: integrate.odeint(pendulum, y, t, args, tfirst=True)[0, 0])(y0)


def test_odeint_twice():
    decay = lambda k: integrate.odeint(lambda y, t, k: -k * y, [1.0], [0.0, 0.5, 1.0], (k,), rtol=1e-10, atol=1e-10)[-1, 0]
    onp.testing.assert_allclose(grad(grad(decay))(2.0), onp.exp(-2.0), rtol=1e-6)
