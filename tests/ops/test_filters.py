"""Filters with feedback: SciPy's numbers and states, derivatives in everything, short signals, vmap, and what is refused."""

import numpy as np
import pytest
import scipy.signal

import tracegrad as tg
from tracegrad.errors import ShapeError, TraceError
from tracegrad.ops import filters
from tracegrad.testing import check_grads

RNG = np.random.default_rng(7)
X = RNG.normal(size=(3, 40))
FILTERS = {
    "order 2": scipy.signal.butter(2, 0.3),
    "order 5": scipy.signal.butter(5, 0.3),
    "order 12": (RNG.normal(size=3), np.concatenate([[2.0], RNG.normal(size=12) / 10])),
    "more before": (RNG.normal(size=6), np.array([1.5, 0.3])),
    "no feedback": (RNG.normal(size=4), np.array([2.0])),
    "a gain": (np.array([3.0]), np.array([2.0])),
}


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("size", [1, 3, 40])
def test_values_and_states_are_those_of_scipy(name, size):
    b, a = FILTERS[name]
    x = X[:, :size]
    zi = RNG.normal(size=(3, max(len(a), len(b)) - 1))
    np.testing.assert_allclose(filters.lfilter(b, a, x), scipy.signal.lfilter(b, a, x), rtol=1e-11, atol=1e-12)
    for found, want in zip(filters.lfilter(b, a, x, zi=zi), scipy.signal.lfilter(b, a, x, zi=zi), strict=True):
        np.testing.assert_allclose(found, want, rtol=1e-11, atol=1e-12)
    wanted = scipy.signal.lfilter(b, a, x.T, axis=0, zi=zi[:1].T)
    for found, want in zip(filters.lfilter(b, a, x.T, axis=0, zi=zi[:1].T), wanted, strict=True):
        np.testing.assert_allclose(found, want, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", FILTERS)
def test_steady_states_and_both_directions(name):
    b, a = FILTERS[name]
    if name != "a gain":  # which has no state, and no function of SciPy takes it
        np.testing.assert_allclose(filters.lfilter_zi(b, a), scipy.signal.lfilter_zi(b, a), rtol=1e-9, atol=1e-12)
    for options in ({}, {"padtype": "even", "padlen": 5}, {"padtype": "constant"}, {"padtype": None}):
        if max(len(a), len(b)) * 3 < 40 and name != "a gain":
            wanted = scipy.signal.filtfilt(b, a, X, **options)
            np.testing.assert_allclose(filters.filtfilt(b, a, X, **options), wanted, rtol=1e-9, atol=1e-11)


def test_sections():
    sos = scipy.signal.butter(5, 0.3, output="sos")
    zi = RNG.normal(size=(3, 2, 4))
    np.testing.assert_allclose(filters.sosfilt(sos, X), scipy.signal.sosfilt(sos, X), rtol=1e-11, atol=1e-13)
    wanted = scipy.signal.sosfilt(sos, X[:, :4], 0, zi)
    for found, want in zip(filters.sosfilt(sos, X[:, :4], 0, zi), wanted, strict=True):
        np.testing.assert_allclose(found, want, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(filters.sosfilt_zi(sos), scipy.signal.sosfilt_zi(sos), rtol=1e-11)
    np.testing.assert_allclose(filters.sosfiltfilt(sos, X), scipy.signal.sosfiltfilt(sos, X), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("name", "axis"), [("order 2", 0), ("order 12", 1), ("more before", 1)])
def test_derivatives_natively(name, axis):
    b, a = FILTERS[name]

    def loss(b, a, x, zi):
        out, after = scipy.signal.lfilter(b, a, x, axis, zi)
        return np.sum(np.sin(out)) + np.sum(after**2)

    x = X if axis else X.T
    shape = [1, 1]
    shape[axis] = max(len(a), len(b)) - 1
    arguments = [np.array(b), np.array(a), x, RNG.normal(size=shape)]
    value, gradients = tg.grad_compile(loss, argnums=(0, 1, 2, 3)).value_and_grad(*arguments)
    np.testing.assert_allclose(value, loss(*arguments), rtol=1e-12)
    for k, gradient in enumerate(gradients):
        step = 1e-6 * RNG.normal(size=arguments[k].shape)
        moved = [[x + sign * step if j == k else x for j, x in enumerate(arguments)] for sign in (1, -1)]
        np.testing.assert_allclose(np.sum(gradient * step), (loss(*moved[0]) - loss(*moved[1])) / 2, rtol=2e-6)


def test_an_autoregression_is_fitted():
    truth = np.array([1.0, -1.5, 0.9, -0.2])
    noise = RNG.normal(size=400)
    x = scipy.signal.lfilter([1.0], truth, noise)

    @tg.grad_compile
    def loss(c):
        return np.mean((scipy.signal.lfilter(np.array([1.0]), np.concatenate([np.ones(1), c]), noise) - x) ** 2)

    assert abs(loss(truth[1:])) < 1e-20
    np.testing.assert_allclose(loss.grad(truth[1:]), 0.0, atol=1e-9)
    hessian = tg.hessian(loss)(truth[1:])
    assert np.all(np.linalg.eigvalsh(hessian) > 0)
    check_grads(loss, (truth[1:] * 0.9,), order=2)


def test_coefficients_may_be_mapped():
    b, a = FILTERS["order 2"]
    many = a * np.linspace(0.9, 1.1, 4)[:, None]
    expected = np.stack([scipy.signal.lfilter(b, each, X) for each in many])
    mapped = tg.vmap(lambda a, x: scipy.signal.lfilter(b, a, x), in_axes=(0, None))
    np.testing.assert_allclose(tg.jit(mapped)(many, X), expected, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(
        tg.jit(tg.vmap(lambda x: scipy.signal.lfilter(b, a, x)))(X), expected[0] * 0 + filters.lfilter(b, a, X)
    )
    across = filters.feedback(a[1:] / a[0], X.T, axis=0)
    np.testing.assert_allclose(tg.jit(lambda c, x: filters.feedback(c, x, axis=0))(a[1:] / a[0], X.T), across, rtol=1e-13)


def test_precision_and_complex_signals():
    b, a = (np.float32(each) for each in FILTERS["order 2"])
    found = tg.jit(scipy.signal.lfilter)(b, a, np.float32(X))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, scipy.signal.lfilter(b, a, np.float32(X)), rtol=1e-4, atol=1e-6)
    z = X + 1j * X[::-1]
    b, a = FILTERS["order 5"]
    np.testing.assert_allclose(
        tg.jit(lambda z: scipy.signal.lfilter(b, a, z))(z), scipy.signal.lfilter(b, a, z), rtol=1e-10, atol=1e-13
    )


def test_what_is_refused():
    b, a = FILTERS["order 2"]
    with pytest.raises(ShapeError, match=r"zi of shape \(2,\)"):
        tg.jit(scipy.signal.lfilter)(b, a, X, -1, np.ones(2))
    with pytest.raises(ShapeError, match="vectors of coefficients, a has shape"):
        tg.jit(scipy.signal.lfilter)(b, np.ones((2, 2)), X)
    with pytest.raises(ShapeError, match="no coefficients in b"):
        tg.jit(scipy.signal.lfilter)(b[:0], a, X)
    with pytest.raises(ShapeError, match="not more than padlen=9"):
        tg.jit(scipy.signal.filtfilt)(b, a, X[:, :9])
    with pytest.raises(TraceError, match="method='gust'"):
        tg.jit(lambda x: scipy.signal.filtfilt(b, a, x, method="gust"))(X)
    with pytest.raises(ShapeError, match=r"sos of shape \(3,\)"):
        tg.jit(scipy.signal.sosfilt)(b, X)
    with pytest.raises(TraceError, match="traced sections"):
        tg.jit(scipy.signal.sosfiltfilt)(np.ones((1, 6)), X)
