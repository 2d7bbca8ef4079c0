"""Programs of the kind that autograd's tutorial and examples show, written once for both libraries.

Each takes the modules it uses from ``lib``, so that the same lines run on tracegrad.compat and, where it is installed, on
autograd; gradients are compared with its own, and with differences.
"""

import importlib
import warnings
from types import SimpleNamespace

import numpy as onp  # noqa: ICN001 - np is the namespace that is tested
import pytest
from scipy.optimize import minimize

from tests.support import central_difference
from tracegrad.compat import grad, hessian, make_jvp, value_and_grad
from tracegrad.compat.misc.flatten import flatten

RNG = onp.random.default_rng(7)


def library(name):
    for module in ("numpy", "scipy.stats", "scipy.special", "scipy.signal", "scipy.integrate", "misc", "extend"):
        importlib.import_module(f"{name}.{module}")
    package = importlib.import_module(name)
    return SimpleNamespace(
        np=package.numpy, scipy=package.scipy, misc=package.misc, extend=package.extend, grad=package.grad, tuple=package.tuple
    )


PROGRAMS = {}


def program(*args):
    """A function of ``lib`` and of arguments, of which the first is differentiated; its result is a number."""

    def register(f):
        PROGRAMS[f.__name__] = (f, args)
        return f

    return register


DATA = RNG.normal(size=(30, 3))
LABELS = (DATA @ [1.0, -2.0, 0.5] > 0).astype(float)


@program(RNG.normal(size=3))
def logistic_regression(lib, weights):
    np = lib.np
    chance = 0.5 * (np.tanh(np.dot(DATA, weights)) + 1)
    likely = chance * LABELS + (1 - chance) * (1 - LABELS)
    return -np.sum(np.log(likely)) + 0.1 * np.dot(weights, weights)


@program([(RNG.normal(size=(3, 5)) * 0.5, RNG.normal(size=5)), (RNG.normal(size=(5, 2)), RNG.normal(size=2))])
def neural_network(lib, params):
    np = lib.np
    x = DATA
    for w, b in params:
        outputs = np.dot(x, w) + b
        x = np.tanh(outputs)
    log_chances = outputs - lib.scipy.special.logsumexp(outputs, axis=1, keepdims=True)
    flat, _ = lib.misc.flatten(params)
    return 0.01 * np.dot(flat, flat) - np.sum(log_chances * np.stack([LABELS, 1 - LABELS], axis=1))


@program({"init": RNG.normal(size=4), "change": RNG.normal(size=(8, 4)) * 0.4, "predict": RNG.normal(size=(5, 3))})
def recurrent_network(lib, params):
    np = lib.np
    hidden = np.tanh(params["init"])
    total = 0.0
    for row in DATA[:6, :]:
        joined = np.concatenate((row, np.array([1.0]), hidden))
        hidden = np.tanh(np.dot(joined, params["change"]))
        outputs = np.dot(np.hstack((hidden, np.ones(1))), params["predict"])
        total = total + outputs[1] - lib.scipy.special.logsumexp(outputs)
    return total


def cell(np, params, x, h, c):
    joined = np.concatenate([x, h, np.ones(1)])
    gate = lambda name: 0.5 * (np.tanh(np.dot(params[name], joined)) + 1.0)
    c = np.tanh(np.dot(params["change"], joined)) * gate("ingate") + c * gate("forget")
    return gate("outgate") * np.tanh(c), c


@program({name: RNG.normal(size=(2, 6)) for name in ("change", "ingate", "forget", "outgate")})
def long_short_term_memory(lib, params):
    np = lib.np
    h, c = np.zeros(2), np.zeros(2)
    for row in DATA[:5]:
        h, c = cell(np, params, row, h, c)
    return np.sum(h * c)


@program(onp.array([0.3, 0.1, -0.2, 0.5]))
def gaussian_process(lib, params):
    np = lib.np
    mean, noise, scale, length = params[0], np.exp(params[1]) + 0.001, np.exp(params[2]), np.exp(params[3])
    x, y = DATA[:8, :1], DATA[:8, 1]
    difference = np.expand_dims(x / length, 1) - np.expand_dims(x / length, 0)
    cov = scale * np.exp(-0.5 * np.sum(difference**2, axis=2)) + noise * np.eye(8)
    return lib.scipy.stats.multivariate_normal.logpdf(y, mean * np.ones(8), cov)


@program([onp.zeros(3), RNG.normal(size=(3, 2)), RNG.normal(size=(3, 2, 2)) * 0.3 + onp.eye(2)])
def mixture_of_gaussians(lib, params):
    np = lib.np
    proportions, means, factors = params
    log_proportions = proportions - lib.scipy.special.logsumexp(proportions)
    rows = []
    for log_p, mean, factor in zip(log_proportions, means, factors):  # noqa: B905 - boxes have a length
        rows.append(log_p + lib.scipy.stats.multivariate_normal.logpdf(DATA[:, :2], mean, np.dot(factor.T, factor)))
    return np.sum(lib.scipy.special.logsumexp(np.vstack(rows), axis=0))


@program(RNG.normal(size=8))
def black_box_variational_inference(lib, params):
    np, norm = lib.np, lib.scipy.stats.norm
    mean, log_std = params[:4], params[4:]
    samples = RNG_DRAWS * np.exp(log_std) + mean
    log_density = norm.logpdf(samples[:, 0], 0, 1.35) + np.sum(norm.logpdf(samples[:, 1:], 0, np.exp(samples[:, :1])), axis=1)
    return 0.5 * 4 * (1.0 + np.log(2 * np.pi)) + np.sum(log_std) + np.mean(log_density)


RNG_DRAWS = RNG.normal(size=(20, 4))


@program(RNG.normal(size=(5, 5)))
def fluid(lib, smoke):
    """Smoke carried by a velocity field for some steps, with interpolation between cells."""
    np = lib.np
    rows, columns = onp.meshgrid(onp.arange(5), onp.arange(5), indexing="ij")
    for _ in range(3):
        x, y = (rows - 0.4 * np.sin(smoke)).ravel(), (columns + 0.3 * np.cos(smoke)).ravel()
        left, top = np.floor(x).astype(int), np.floor(y).astype(int)
        to_right, to_bottom = x - left, y - top
        left, right, top, bottom = left % 5, (left + 1) % 5, top % 5, (top + 1) % 5
        flat = (1 - to_right) * ((1 - to_bottom) * smoke[left, top] + to_bottom * smoke[left, bottom]) + to_right * (
            (1 - to_bottom) * smoke[right, top] + to_bottom * smoke[right, bottom]
        )
        smoke = np.reshape(flat, (5, 5))
        smoke = smoke - 0.1 * (np.roll(smoke, 1, axis=0) + np.roll(smoke, -1, axis=1))
    return np.mean((smoke - onp.eye(5)) ** 2)


@program(RNG.normal(size=(2, 1, 3, 3)))
def convolutional_layer(lib, filters):
    np = lib.np
    images = RNG_DRAWS.reshape(2, 1, 8, 5)
    out = lib.scipy.signal.convolve(images, filters, axes=([2, 3], [2, 3]), dot_axes=([1], [1]), mode="valid")
    pooled = np.max(np.reshape(out, (2, 2, 3, 2, 3, 1)), axis=(3, 5))
    return np.sum(np.tanh(pooled) ** 2)


@program(onp.array([1.2, 0.4]))
def ordinary_differential_equation(lib, rates):
    np = lib.np
    prey = lambda y, t, a, b: np.array([a * y[0] - b * y[0] * y[1], b * y[0] * y[1] - y[1]])
    times = onp.linspace(0.0, 2.0, 5)
    args = lib.tuple((rates[0], rates[1]))
    path = lib.scipy.integrate.odeint(prey, onp.array([1.0, 0.5]), times, args, rtol=1e-10, atol=1e-10)
    return np.sum((path - 1.0) ** 2)


@program(onp.array([0.5, -0.3]))
def gradient_within(lib, x):
    """A leapfrog step of Hamiltonian Monte Carlo, whose own force is a gradient."""
    np = lib.np
    energy = lambda q: np.sum(q**4) / 4 + q[0] * q[1]
    force = lib.grad(energy)
    q, p = x, np.array([0.3, 0.7])
    for _ in range(3):
        p = p - 0.05 * force(q)
        q = q + 0.1 * p
        p = p - 0.05 * force(q)
    return energy(q) + 0.5 * np.sum(p**2)


@program(onp.array([0.1, 0.9]))
def learning_to_learn(lib, settings):
    """The loss after some steps of gradient descent, differentiated by step size and momentum."""
    np = lib.np
    loss = lambda w: np.sum((w - 1.0) ** 2) + 0.1 * np.sum(w**4)
    w, velocity = np.zeros(2), np.zeros(2)
    for _ in range(4):
        velocity = settings[1] * velocity - lib.grad(loss)(w)
        w = w + settings[0] * velocity
    return loss(w)


@program(0.7)
def taylor_series_of_sine(lib, x):
    """The tutorial's sum that ends when its terms are small."""
    np = lib.np
    total = term = x
    k = 0
    while np.abs(term) > 1e-14:
        term = -term * x * x / ((2 * k + 3) * (2 * k + 2))
        total = total + term
        k += 1
    return total


@program(RNG.normal(size=(3, 3)))
def own_primitive(lib, x):
    np = lib.np
    softplus = lib.extend.primitive(lambda v: onp.log1p(onp.exp(v)))
    lib.extend.defvjp(softplus, lambda ans, v: lambda g: g / (1 + np.exp(-v)))
    return np.sum(softplus(x) * x)


COMPAT = library("tracegrad.compat")


@pytest.mark.parametrize("name", PROGRAMS)
def test_gradients_are_those_of_differences(name):
    f, (x,) = PROGRAMS[name]
    start, unflatten = flatten(x)
    value, gradient = value_and_grad(lambda v: f(COMPAT, v))(x)
    direction = onp.random.default_rng(3).normal(size=start.shape)
    want = central_difference(lambda v: f(COMPAT, unflatten(v)), [start], 0, direction, step=1e-4)
    onp.testing.assert_allclose(flatten(gradient)[0] @ direction, want, rtol=1e-5, atol=1e-8)
    onp.testing.assert_allclose(value, f(COMPAT, x), rtol=1e-12)


@pytest.mark.parametrize("name", PROGRAMS)
def test_gradients_are_autograds(name):
    autograd = pytest.importorskip("autograd")
    theirs = library("autograd")
    f, (x,) = PROGRAMS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        want = autograd.grad(lambda v: f(theirs, v))(x)
    got = grad(lambda v: f(COMPAT, v))(x)
    onp.testing.assert_allclose(flatten(got)[0], flatten(want)[0], rtol=1e-6, atol=1e-9)


def test_taylor_series_has_all_derivatives():
    sine = lambda x: taylor_series_of_sine(COMPAT, x)
    want = [onp.sin(0.7), onp.cos(0.7), -onp.sin(0.7), -onp.cos(0.7)]
    for value in want:
        onp.testing.assert_allclose(sine(0.7), value, atol=1e-9)
        sine = grad(sine)


def test_rosenbrock_by_scipy():
    """The example of a second order method: gradients and Hessian products go to scipy.optimize."""
    f = lambda x: 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2
    start = onp.array([-1.2, 1.0])
    for method, more in (("BFGS", {}), ("Newton-CG", {"hess": hessian(f)}), ("trust-ncg", {"hess": hessian(f)})):
        found = minimize(value_and_grad(f), start, jac=True, method=method, **more)
        onp.testing.assert_allclose(found.x, [1.0, 1.0], atol=1e-4)


def test_jacobian_vector_products_of_a_network():
    params = PROGRAMS["neural_network"][1][0]
    f = lambda p: neural_network(COMPAT, p)
    direction = [(onp.ones_like(w), -onp.ones_like(b)) for w, b in params]
    _, tangent = make_jvp(f)(params)(direction)
    gradient = grad(f)(params)
    want = sum(onp.sum(g) * s for row in gradient for g, s in zip(row, (1.0, -1.0), strict=True))
    onp.testing.assert_allclose(tangent, want)
