"""Programs that once went wrong, each as small as it could be made."""

import functools

import numpy as np
import pytest
import scipy.special

import tracegrad as tg
from tracegrad.errors import TraceError, TracegradError
from tracegrad.namespaces import NUMPY_FUNCTIONS, SPELLINGS

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
            return np.spacing(x)
        except TypeError:
            return np.sum(x)

    with pytest.raises(TraceError, match=r"np\.spacing is not traced"):
        tg.jit(compile="never")(tolerant)(X)


def test_refusals_name_what_exists_and_means_the_same():
    for function, name, fix in (
        (lambda x: np.spacing(x), "np.spacing", "outside"),
        (lambda x: np.busday_count(x, x), "np.busday_count", "outside"),
    ):
        with pytest.raises(TraceError) as caught:
            tg.jit(compile="never")(function)(X)
        assert name in caught.value.message
        assert fix in caught.value.fix
        assert "eagerly" not in caught.value.fix  # tensors do not have these functions either


STRUCTURE = {
    "axis": lambda x, k: np.sum(x, axis=k),
    "roll": lambda x, k: np.roll(x, k, axis=k),
    "tile": lambda x, k: np.tile(x, k),
    "repeat": lambda x, k: np.repeat(x, k, axis=k),
    "tensordot": lambda x, k: np.tensordot(x, x.T, axes=k),
    "moveaxis": lambda x, k: np.moveaxis(x, k, 0),
    "split": lambda x, k: np.split(x, k + 1, axis=k)[0],
    "array_split": lambda x, k: np.array_split(x, k + 1, axis=k)[0],
    "slice": lambda x, k: x[:, k:],
    "condition": lambda x, k: x if k > 0 else -x,
    "range": lambda x, k: x * sum(range(k + 2)),
}


@pytest.mark.parametrize("name", STRUCTURE)
def test_integer_arguments_are_structure_wherever_numpy_takes_an_int(name):
    x = np.arange(12.0).reshape(3, 4)
    compiled = tg.jit(compile="never")(STRUCTURE[name])
    for number in (1, np.int64(1), 0, np.int32(0)):
        np.testing.assert_array_equal(compiled(x, number), STRUCTURE[name](x, number))


def test_integer_arguments_of_convolution_and_pooling():
    x, w = np.random.default_rng(0).random((1, 2, 6, 6)), np.ones((2, 2, 2, 2))
    functional = tg.functional

    def layers(x, k):
        y = functional.conv2d(x, w, stride=k, padding=k, dilation=k)
        return functional.max_pool2d(y, k, k) + functional.avg_pool2d(y, (k, k), k)

    for number in (1, np.int64(1)):
        np.testing.assert_allclose(tg.jit(compile="never")(layers)(x, number), layers(x, 1))


def test_numpy_numbers_keep_their_promotion_and_their_values():
    compiled = tg.jit(compile="never")(lambda x, k: x * k)
    x = np.ones(2, np.float32)
    for number in (np.int64(2), np.int64(3), np.bool_(True)):
        result = compiled(x, number)
        assert result.dtype == (x * number).dtype
        np.testing.assert_array_equal(result, x * number)
    switch = tg.jit(compile="never")(lambda x, flag: x if flag else -x)
    assert switch(X, np.True_)[0] == 1.0
    assert switch(X, np.False_)[0] == -1.0


def test_attributes_that_are_not_traced_are_named_with_the_line():
    for function, message in (
        (lambda x: x.byteswap(), "x.byteswap of an array is not traced"),
        (lambda x: x.nonsense, "arrays have no attribute 'nonsense'"),
    ):
        with pytest.raises(AttributeError) as caught:
            tg.jit(compile="never")(function)(X)
        assert message in str(caught.value)
        assert __file__ in str(caught.value)
    assert tg.jit(compile="never")(lambda x: x if hasattr(x, "nonsense") else -x)(X)[0] == -1.0


def test_decorators_refuse_what_they_cannot_mean():
    def scaled(x, n):
        return np.sum(x) * n

    for make, message in (
        (lambda: tg.jit(3), "type int is no function"),
        (lambda: tg.grad_compile(argnums="x")(scaled), "argnums='x' names no arguments"),
        (lambda: tg.grad_compile(argnums=())(scaled), "names no arguments"),
        (lambda: tg.grad_compile(argnums=1.5)(scaled), "names no arguments"),
        (lambda: tg.register_pytree(Scaled, 1, 2), "takes two functions"),
        (lambda: tg.jit(static_argnames="m")(scaled), "'m', which is no argument of scaled"),
        (lambda: tg.grad_compile(static_argnames="x", compile="never")(scaled).grad(1.0, 2), "x is in static_argnames"),
    ):
        with pytest.raises(TracegradError, match=message):
            make()
    assert tg.jit(static_argnames="m", compile="never")(lambda x, **options: x * options["m"])(2.0, m=3) == 6.0


def test_no_other_spelling_is_offered_for_what_is_traced():
    for name in SPELLINGS:
        function = functools.reduce(getattr, name.split("."), scipy if name.startswith("special.") else np)
        assert function not in NUMPY_FUNCTIONS or name == "where"


def test_a_gradient_inside_a_trace_reads_its_outside_values_again():
    data, factor = np.array([1.0, 2.0, 3.0]), 2.0

    @tg.grad_compile(compile="never")
    def inner(x):
        return np.sum(data * x**2) * factor

    outer = tg.jit(compile="never")(lambda x: inner.grad(x) + 0.0)
    np.testing.assert_array_equal(outer(np.ones(3)), 4 * data)
    data[0] = 10.0  # changed in place
    np.testing.assert_array_equal(outer(np.ones(3)), 4 * data)
    data = np.full(3, 7.0)  # another array
    np.testing.assert_array_equal(outer(np.ones(3)), 4 * data)
    factor = 3.0
    np.testing.assert_array_equal(outer(np.ones(3)), 6 * data)
