"""The functions of tracegrad.compat.numpy: their gradients are those of HIPS autograd and of differences."""

import warnings

import numpy as onp  # noqa: ICN001 - np is the namespace that is tested
import pytest

import tracegrad.compat.numpy as np
from tests.compat.cases import CASES
from tests.support import central_difference
from tracegrad.compat import grad, make_jvp, value_and_grad
from tracegrad.compat.calls import is_box

RNG = onp.random.default_rng(5)

OF_SYMMETRIC = ("linalg.cholesky",)
"""NumPy reads one triangle of its matrix; the gradient is that of both as one, as in autograd."""


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_right(name):
    f, x = CASES[name]
    value, gradient = value_and_grad(lambda v: f(np, v))(x)
    onp.testing.assert_allclose(value, f(np, x), rtol=1e-12)  # plain arrays give the same
    assert gradient.shape == x.shape
    direction = onp.random.default_rng(1).normal(size=x.shape)
    if name in OF_SYMMETRIC:
        direction = direction + direction.T
    want = central_difference(lambda v: f(np, v), [x], 0, direction, step=1e-4)
    onp.testing.assert_allclose(onp.sum(gradient * direction), want, rtol=1e-6, atol=1e-8)
    onp.testing.assert_allclose(make_jvp(lambda v: f(np, v))(x)(direction)[1], want, rtol=1e-6, atol=1e-8)


MORE_THAN_AUTOGRAD = """
    cbrt ptp median average unwrap cumprod nansum nanmean nanvar positive float_power fmax fmin sort sort_axis flip diag
    einsum dstack lists_of_boxes numpys_own_functions float_scalars methods remainder round fix trunc rint partition
    fft.ihfft fft.hfft fft_ortho fft_forward fft_backward
"""
"""What autograd refuses, or gives a wrong shape."""


@pytest.mark.parametrize("name", [name for name in CASES if name not in MORE_THAN_AUTOGRAD.split()])
def test_gradients_are_autograds(name):
    autograd = pytest.importorskip("autograd")
    theirs = pytest.importorskip("autograd.numpy")
    f, x = CASES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        want = autograd.grad(lambda v: f(theirs, v))(x)
    got = grad(lambda v: f(np, v))(x)
    if name in OF_SYMMETRIC:
        got, want = got + got.T, want + want.T
    onp.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-11)


def test_names_are_numpys():
    for name in ("any", "all", "sum", "max", "isinstance"):
        getattr(np, name, None)  # what was asked for once does not stand in for Python's own
    x = onp.array([1.0, 2.0])
    assert np.pi == onp.pi
    assert np.float32 is onp.float32
    assert np.sum(x) == 3.0
    assert np.add.reduce(x) == 3.0
    assert onp.array_equal(np.add.outer(x, x), onp.add.outer(x, x))
    assert grad(lambda v: np.add.reduce(v) * np.multiply.reduce(v))(x).tolist() == [8.0, 5.0]
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        np.nothing
    first = np.random.default_rng(0).normal(size=2)
    assert onp.array_equal(first, onp.random.default_rng(0).normal(size=2))
    assert np.random.randn(2).shape == (2,)


def test_what_is_compared_or_counted_is_plain():
    found = []

    def f(x):
        found.extend([x > 0, np.argmax(x), np.argsort(x), np.shape(x), np.ndim(x), len(x), np.isfinite(x), np.nonzero(x > 0)])
        found.extend([np.zeros_like(x), np.floor(x) == 1, np.allclose(x, x), np.any(x > 0), x == x, np.result_type(x)])
        return np.sum(x)

    grad(f)(onp.array([1.0, -2.0]))
    assert not any(is_box(value) for value in found)


def test_vectorize_and_apply_along_axis():
    x = onp.array([[1.0, -2.0], [3.0, 4.0]])
    f = np.vectorize(lambda v: v**2 if v > 0 else -v)
    onp.testing.assert_allclose(grad(lambda v: np.sum(f(v)))(x), [[2.0, -1.0], [6.0, 8.0]])
    onp.testing.assert_allclose(f(x), [[1.0, 2.0], [9.0, 16.0]])
    onp.testing.assert_allclose(
        grad(lambda v: np.sum(np.apply_along_axis(np.sum, 0, v) ** 2))(x), 2 * x.sum(0) * onp.ones((2, 2))
    )


def test_arguments_may_be_named_as_numpy_names_them():
    x = RNG.normal(size=(2, 3))
    for f in (
        lambda v: np.swapaxes(v, axis1=0, axis2=1),
        lambda v: np.tile(v, reps=(2, 1)),
        lambda v: np.sum(a=v, axis=0),
        lambda v: np.reshape(v, shape=(3, 2)),
        lambda v: np.concatenate((v, v), axis=1),
        lambda v: np.clip(v, a_min=-0.5, a_max=0.5),
        lambda v: np.where(x > 0, x=v, y=-v),
        lambda v: np.append([[v[0, 0], 1.0]], [[v[1, 1], 2.0]], axis=0),
        lambda v: np.r_[v, x, v],
        lambda v: np.cross(v, x, axisa=1, axisc=0),
        lambda v: np.expand_dims(v, axis=(0, 2)),
        lambda v: np.linalg.norm(x=v, axis=1),
        lambda v: np.einsum("ij->ji", v, optimize=True),
        lambda v: np.pad(v, pad_width=((1, 0), (0, 2)), mode="constant"),
        lambda v: np.sum(v, axis=0, out=None, keepdims=True),
        lambda v: v.sum(axis=1, keepdims=True) * v.std(axis=0, ddof=1) + v.max(axis=-1).mean(),
    ):
        weights = RNG.normal(size=onp.shape(f(x)))
        got = grad(lambda v, f=f, w=weights: np.sum(f(v) * w))(x)
        direction = RNG.normal(size=x.shape)
        want = central_difference(lambda v, f=f, w=weights: onp.sum(f(v) * w), [x], 0, direction, step=1e-4)
        onp.testing.assert_allclose(onp.sum(got * direction), want, rtol=1e-6, atol=1e-9)


def test_integers_are_made_of_boxes():
    x = onp.array([2.7, 0.2])
    value, gradient = value_and_grad(lambda v: np.sum(v[np.int64(v)] * onp.arange(3)[np.asarray(v, int)]))(onp.append(x, 1.5))
    assert value == 1.5 * 2 + 2.7 * 0 + 0.2 * 1
    onp.testing.assert_allclose(gradient, [0.0, 1.0, 2.0])


def test_where_gives_pythons_numbers_for_pythons():
    assert np.where(True, 1, 2) == 1
    assert type(np.where(True, 1, 2)) is int
    assert np.where(True, [1, 2], [3, 4]) == [1, 2]
    assert type(np.where(True, x=onp.ones(2), y=0.0)) is onp.ndarray
    with pytest.raises(ValueError, match="both or neither"):
        np.where(True, 1)
