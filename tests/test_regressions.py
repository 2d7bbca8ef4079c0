"""Programs that once went wrong, each as small as it could be made."""

import numpy as np
import pytest
import scipy.special

import tracegrad as tg
from tracegrad.errors import TraceError

X = np.array([1.0, 2.0, 3.0])


class Scaled:
    """An object that can be called."""

    def __init__(self):
        self.factor = 2.0

    def __call__(self, x):
        return np.sum(self.factor * x)


def test_attributes_of_a_compiled_object_are_read_again():
    scaled = Scaled()
    compiled = tg.grad_compile(compile="never")(scaled)
    assert compiled(X) == 12.0
    scaled.factor = 5.0
    assert compiled(X) == 30.0


def test_a_refusal_that_the_function_catches_is_still_reported():
    def tolerant(x):
        try:
            return np.linalg.norm(x)
        except TypeError:
            return np.sum(x)

    with pytest.raises(TraceError, match=r"np\.linalg\.norm is not traced"):
        tg.jit(compile="never")(tolerant)(X)


def test_refusals_name_what_exists_and_means_the_same():
    for function, name, fix in (
        (lambda x: np.arcsinh(x), "np.arcsinh", "np.sqrt(x * x + 1)"),
        (lambda x: np.linalg.solve(x, x), "np.linalg.solve", "outside"),
        (lambda x: scipy.special.gammaln(x), "scipy.special.gammaln", "outside"),
        (lambda x: scipy.special.logsumexp(x), "scipy.special.logsumexp", "tg.functional.logsumexp"),
        (lambda x: np.where(x > 1), "np.where", "keeps the shape"),
    ):
        with pytest.raises(TraceError) as caught:
            tg.jit(compile="never")(function)(X)
        assert name in caught.value.message
        assert fix in caught.value.fix
        assert "eagerly" not in caught.value.fix  # tensors do not have these functions either
