"""Programs as scientists write them, each of which was refused or wrong once: values and gradients, and what errors teach."""

import itertools

import numpy as np
import pytest
from numpy.polynomial import chebyshev
from scipy import integrate, interpolate, ndimage, optimize, stats
from scipy.spatial.distance import cdist, pdist, squareform

import tracegrad as tg
from tests.support import central_difference
from tracegrad import compat
from tracegrad.compat import extend
from tracegrad.errors import ConditionError, DifferentiationError, EscapeError, TraceError

RNG = np.random.default_rng(4)


class RBF:
    def __call__(self, theta, a, b):
        return theta[0] ** 2 * np.exp(-0.5 * ((a[:, None] - b) / theta[1]) ** 2)


class GaussianProcess:
    def __init__(self, kernel, x, y, jitter=1e-2):
        self.kernel, self.x, self.y, self.jitter = kernel, x, y, jitter

    def nll(self, theta):
        k = self.kernel(theta, self.x, self.x)
        k[np.diag_indices_from(k)] += self.jitter
        return 0.5 * self.y.dot(np.linalg.solve(k, self.y)) + 0.5 * np.linalg.slogdet(k)[1]


def image_to_columns(x, w):
    h, width = x.shape
    rows, columns = x.strides
    shape, strides = (h - 2, width - 2, 3, 3), (rows, columns, rows, columns)
    windows = np.lib.stride_tricks.as_strided(x, shape=shape, strides=strides)
    return np.sum(np.tanh(np.tensordot(windows, w, axes=((2, 3), (0, 1)))))


TABLEAU = [[], [1 / 5], [3 / 40, 9 / 40], [44 / 45, -56 / 15, 32 / 9]]


def runge_kutta(theta, y0, h=0.1):
    def slope(y):
        return np.array([theta[0] * y[0] - theta[1] * y[0] * y[1], theta[2] * y[0] * y[1] - y[1]])

    k = np.zeros((4, 2))
    for stage, row in enumerate(TABLEAU):
        k[stage] = slope(y0 + h * (np.dot(row, k[:stage]) if stage else 0))
    return np.sum((y0 + h * ([35 / 384, 0, 500 / 1113, 125 / 192] @ k)) ** 2)


def neighbour_embedding(y, p):
    q = 1.0 / (1.0 + cdist(y, y, "sqeuclidean"))
    np.fill_diagonal(q, 0.0)
    q /= q.sum()
    return np.sum(p * np.log(p / np.maximum(q, 1e-12)))


def stress(y, wanted):
    return np.sum((squareform(pdist(y)) - wanted) ** 2)


def repulsion(y):
    return np.sum(np.exp(-cdist(y, y)))  # with distances of 0 on the diagonal


def soft_minimum(values, gamma):
    scaled = np.array(values) / -gamma
    top = max(scaled)
    return -gamma * (top + np.log(np.exp(scaled - top).sum()))


def time_warping(x, y, gamma=0.5):
    n, m = len(x), len(y)
    cost = np.abs(np.subtract.outer(x, y))
    table = np.zeros((n + 1, m + 1)) + 1e10
    table[0, 0] = 0
    for i, j in itertools.product(range(n), range(m)):
        table[i + 1, j + 1] = cost[i, j] + soft_minimum((table[i, j + 1], table[i + 1, j], table[i, j]), gamma)
    return table[-1, -1]


@np.vectorize
def lennard_jones(r, eps, sigma):
    return 4 * eps * ((sigma / r) ** 12 - (sigma / r) ** 6)


def pair_energy(r, eps):
    return np.sum(lennard_jones(r, eps, 1.0))


def registration(shift, moving, fixed):
    rows, columns = np.mgrid[0:6, 0:6]
    warped = ndimage.map_coordinates(moving, [rows + shift[0], columns + shift[1]], order=1, mode="nearest")
    return np.mean((ndimage.gaussian_filter(warped, 0.8) - fixed) ** 2)


def chebyshev_fit(c, x, y):
    return np.sum((chebyshev.chebval(x, c) - y) ** 2) + np.sum(np.diff(chebyshev.chebvander(x, 3) @ c[:4]) ** 2)


def knapsack(values, n):
    best = [0.0] * n
    for k in range(n):
        best[k] = max(values[k], (best[k - 1] if k else 0.0) + 0.5 * values[k])
    return sum(best)


def moving_average(x):
    return np.fromiter((np.mean(x[k : k + 3]) ** 2 for k in range(len(x) - 2)), dtype=float).sum()


def weighted_average(x):
    return np.outer([0.25, 0.5, 0.25], x).sum() + x[:3] @ [1, 2, 3] + np.sum(np.where([True, False] * 3, x, [0.0] * 6) ** 2)


def hinge(w, x, y):
    return sum(max(0, 1 - t * (a @ w)) for a, t in zip(x, y, strict=True)) + 0.1 * w @ w


def enumerated_prior(theta):
    return sum(stats.norm.logpdf(value, i - j) for (i, j), value in np.ndenumerate(theta))


def rows(n, m):
    return RNG.standard_normal((n, m))


IMAGE = ndimage.gaussian_filter(rows(6, 6), 1.0)
PROBABILITIES = np.abs(rows(5, 5)) + 0.1
GP = GaussianProcess(RBF(), np.linspace(0, 2, 6), np.sin(np.linspace(0, 4, 6)))
PROGRAMS = {
    "a Gaussian process with jitter on its diagonal": (GP.nll, (np.array([1.0, 0.7]),)),
    "a convolution by strides": (image_to_columns, (rows(6, 6), rows(3, 3))),
    "a tableau of lists": (runge_kutta, (np.array([1.1, 0.4, 0.3]), np.array([1.0, 0.5]))),
    "neighbours embedded": (neighbour_embedding, (rows(5, 2), PROBABILITIES / PROBABILITIES.sum())),
    "multidimensional scaling": (stress, (rows(5, 2), squareform(np.arange(1.0, 11.0)))),
    "distances of zero": (repulsion, (rows(4, 2),)),
    "time warping with Python's max": (time_warping, (RNG.standard_normal(3), RNG.standard_normal(4))),
    "a vectorised potential": (pair_energy, (np.linspace(1.0, 2.0, 5), 0.8)),
    "registration of images": (registration, (np.array([0.3, -0.4]), IMAGE, np.roll(IMAGE, 1, 0))),
    "a fit of Chebyshev's series": (chebyshev_fit, (RNG.standard_normal(5), np.linspace(-1, 1, 7), RNG.standard_normal(7))),
    "a table of a length that is an argument": (knapsack, (np.array([0.5, 2.0, 1.5, 0.3]), 4)),
    "an array from a generator": (moving_average, (RNG.standard_normal(6),)),
    "lists in the place of arrays": (weighted_average, (RNG.standard_normal(6),)),
    "hinges": (hinge, (RNG.standard_normal(2), rows(5, 2), np.array([1.0, -1.0, 1.0, 1.0, -1.0]))),
    "elements by their places": (enumerated_prior, (rows(2, 3),)),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_values_and_gradients(name):
    function, arguments = PROGRAMS[name]
    value, gradient = tg.grad_compile(compile="never")(function).value_and_grad(*arguments)
    np.testing.assert_allclose(value, function(*arguments), rtol=1e-12)
    direction = RNG.standard_normal(np.shape(arguments[0]))
    want = central_difference(function, arguments, 0, direction)
    np.testing.assert_allclose(np.sum(gradient * direction), want, rtol=1e-6, atol=1e-8)


@pytest.mark.nightly
@pytest.mark.parametrize("name", PROGRAMS)
def test_native_code(name):
    function, arguments = PROGRAMS[name]
    value, gradient = tg.grad_compile(function).value_and_grad(*arguments)
    want, expected = tg.grad_compile(compile="never")(function).value_and_grad(*arguments)
    np.testing.assert_allclose(value, want, rtol=1e-12)
    np.testing.assert_allclose(gradient, expected, rtol=1e-10, atol=1e-12)


class Autoregression:
    def __init__(self, order):
        self.order, self.coefficients = order, None

    def loss(self, theta, y):
        self.coefficients = np.tanh(theta)  # kept
        return np.sum((y[self.order :] - self.coefficients[0] * y[: -self.order]) ** 2)


def topics(weights, counts):
    return sum(np.sum(row[at] * weights[:, at].sum(0)) for row in counts for at in [np.nonzero(row)[0]])


def test_what_cannot_be_traced_says_what_to_write():
    with pytest.raises(EscapeError, match=r"(?s)left in the attribute Autoregression\.coefficients.*# kept.*name of its own"):
        tg.grad(Autoregression(1).loss)(np.ones(1), np.arange(5.0))
    with pytest.raises(TraceError, match=r"not the first; w\.T\[at\]"):
        tg.grad(topics)(rows(2, 4), np.eye(4))
    with pytest.raises(ConditionError, match=r"in scipy\.optimize\.brentq: .*\n.*\n.*tracegrad\.compat\.extend"):
        tg.grad(lambda x: optimize.brentq(lambda t: t**3 - x - 1, 0, 5))(1.0)
    with pytest.raises(EscapeError, match=r"scipy\.interpolate\.CubicSpline needs the value"):
        tg.grad(lambda y: interpolate.CubicSpline(np.arange(3.0), y)(0.5))(np.ones(3))
    with pytest.raises(TraceError, match=r"scipy\.integrate\.odeint is not traced.*\n.*\n.*a fixed number of steps"):
        tg.grad(lambda k: integrate.odeint(lambda y, t: -k * y, k, [0.0, 1.0])[-1, 0])(1.0)
    with pytest.raises(DifferentiationError, match="pass a as float64"):
        tg.jacobian(lambda x, a: a * x, argnums=1)(np.ones(2), 1)
    with pytest.raises(TraceError, match=r"map_coordinates with order=3.*\n.*\n.*order=1"):
        tg.grad(lambda p: ndimage.map_coordinates(IMAGE, [p, p]).sum())(np.ones(2))
    with pytest.raises(TraceError, match=r"(?s)metric='jaccard'.*sqeuclidean"):
        tg.grad(lambda y: cdist(y, y, "jaccard").sum())(rows(3, 2))
    with pytest.raises(TraceError, match=r"(?s)np\.polynomial\.Polynomial.*np\.polynomial\.polynomial\.polyval\(x, c\)"):
        tg.grad(lambda c: np.polynomial.Polynomial(c)(2.0))(np.ones(3))


def test_a_solver_with_a_derivative_of_its_own_on_the_dynamic_graph():
    @extend.primitive
    def root(a):
        return optimize.brentq(lambda t: t**3 - a - 1, 0, 5)

    extend.defvjp(root, lambda ans, a: lambda g: g / (3 * ans**2))
    np.testing.assert_allclose(compat.grad(lambda a: root(a) ** 2)(1.0), 2 / 3 * 2 ** (-1 / 3), rtol=1e-10)
