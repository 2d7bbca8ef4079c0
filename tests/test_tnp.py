"""tracegrad.numpy: exactly the traced names of NumPy."""

import numpy as np
import pytest

import tracegrad as tg
import tracegrad.numpy as tnp
from tests.surface.test_numpy import SCRIPT
from tracegrad.errors import MissingAttributeError
from tracegrad.numpy import sin

X = np.array([0.5, -1.0, 2.0])


@pytest.mark.parametrize("space", ["numpy", "numpy_linalg", "numpy_fft"])
def test_it_has_the_names_that_are_traced(space):
    module = {"numpy": tnp, "numpy_linalg": tnp.linalg, "numpy_fft": tnp.fft}[space]
    theirs = {"numpy": np, "numpy_linalg": np.linalg, "numpy_fft": np.fft}[space]
    prefix = {"numpy": "np.", "numpy_linalg": "np.linalg.", "numpy_fft": "np.fft."}[space]
    for name in SCRIPT.listed(space):
        short = name.removeprefix(prefix)
        if "." in short or not hasattr(theirs, short):
            continue
        assert hasattr(module, short) == SCRIPT.is_traced(name), name
        assert (short in dir(module)) == hasattr(module, short)
        if hasattr(module, short):
            assert getattr(module, short) is getattr(theirs, short)
    assert set(module.__all__) == set(dir(module))


def test_on_arrays_traced_values_and_tensors():
    def f(x):
        out = tnp.zeros_like(x)
        out[1:] = sin(x[1:]) * tnp.linalg.norm(x)
        return tnp.concatenate([out, tnp.array([x[0], tnp.pi])])

    np.testing.assert_array_equal(f(X), np.concatenate([[0.0], np.sin(X[1:]) * np.linalg.norm(X), [X[0], np.pi]]))
    np.testing.assert_allclose(tg.jit(f, compile="never")(X), f(X), rtol=1e-15)
    tensor = tg.tensor(X, requires_grad=True)
    tnp.sum(tnp.sin(tensor)).backward()
    np.testing.assert_allclose(tensor.grad.numpy(), np.cos(X))


def test_other_names_are_refused_with_what_to_write():
    with pytest.raises(MissingAttributeError, match=r"np\.vectorize is not traced") as caught:
        tnp.vectorize
    assert "whole arrays" in str(caught.value)
    with pytest.raises(AttributeError, match=r"NumPy has no np\.linalg\.inverse"):
        tnp.linalg.inverse
    with pytest.raises(MissingAttributeError, match=r"np\.busday_count is not traced"):
        tg.jit(lambda x: tnp.busday_count(x))(X)
