"""tracegrad.compat.scipy: derivatives are those of HIPS autograd and of differences."""

import numpy as onp  # noqa: ICN001 - np is the namespace that is tested
import pytest
import scipy.stats as real_stats

import tracegrad.compat.numpy as np
from tests.support import central_difference
from tracegrad.compat import grad
from tracegrad.compat.scipy import special, stats
from tracegrad.compat.test_util import check_grads
from tracegrad.errors import DifferentiationError

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
