"""Composites that rearrange arrays, against NumPy's functions of the same names."""

import functools

import numpy as np
import pytest

from tests.support import gradients, static
from tracegrad.core.interpret import interpret
from tracegrad.errors import ShapeError, TraceError
from tracegrad.ops import assembly
from tracegrad.ops.views import reshape

X = np.random.default_rng(0).normal(size=(3, 4, 2))
M = np.random.default_rng(1).normal(size=(3, 5))
V = np.arange(1.0, 5.0)

CASES = [
    ("moveaxis", (X, 0, -1)),
    ("moveaxis", (X, (0, 1), (2, 0))),
    ("swapaxes", (X, 0, -1)),
    ("ravel", (X,)),
    ("atleast_1d", (np.array(2.0),)),
    ("atleast_2d", (V,)),
    ("atleast_3d", (np.array(2.0),)),
    ("atleast_3d", (V,)),
    ("atleast_3d", (M,)),
    ("hstack", ([V, V],)),
    ("hstack", ([M, M],)),
    ("vstack", ([V, V],)),
    ("column_stack", ([V, V],)),
    ("append", (M, M, 1)),
    ("append", (M, V)),
    ("split", (X, 2, 1)),
    ("split", (X, [1, 3], 1)),
    ("array_split", (M, 2, 1)),
    ("tile", (M, 2)),
    ("tile", (M, (2, 1, 3))),
    ("tile", (X, (2, 2))),
    ("repeat", (M, 2)),
    ("repeat", (M, 3, 0)),
    ("repeat", (M, np.array([0, 2, 1]), 0)),
    ("roll", (X, 2)),
    ("roll", (X, -5, 1)),
    ("roll", (X, (1, 2), (0, 1))),
    ("pad", (M, 2)),
    ("pad", (M, ((0, 1), (2, 0)))),
    ("pad", (M, ((1, 1),), "edge")),
    ("pad", (M, 2, "reflect")),
    ("pad", (M, 1, "symmetric")),
    ("pad", (M, (1, 0), "wrap")),
    ("diagonal", (X,)),
    ("diagonal", (M, 2)),
    ("diagonal", (M, -1)),
    ("diagonal", (X, 1, 2, 1)),
    ("diag", (V,)),
    ("diag", (V, 2)),
    ("diag", (V, -1)),
    ("diag", (M, 1)),
    ("trace", (X,)),
    ("tril", (M,)),
    ("tril", (X, 1)),
    ("triu", (M, -1)),
    ("around", (X, 1)),
    ("around", (X,)),
    ("around", (X * 1000, -2)),
    ("around", (np.array([14, 26, -35]), -1)),
    ("around", (np.array([14, 26]), 2)),
    ("diff", (X,)),
    ("diff", (X, 2, 1)),
    ("meshgrid", (V, V[:2], V[:3])),
]


@pytest.mark.parametrize(("name", "arguments"), [pytest.param(*c, id=f"{c[0]}-{k}") for k, c in enumerate(CASES)])
def test_numpys_function_of_the_same_name(name, arguments):
    expected = getattr(np, name)(*arguments)
    function = getattr(assembly, name)
    arrays = arguments[0] if isinstance(arguments[0], list) else arguments if name == "meshgrid" else arguments[:1]
    rest = () if name == "meshgrid" else arguments[1:]
    call = (lambda *a: function(list(a), *rest)) if isinstance(arguments[0], list) else (lambda *a: function(*a, *rest))
    interpreted = interpret(static(call, *arrays), arrays)
    plain = function(*arguments)
    if not isinstance(expected, (list, tuple)):
        expected, plain = [expected], [plain]
    for result in (plain, interpreted):
        assert len(result) == len(expected)
        for a, b in zip(result, expected, strict=True):
            np.testing.assert_array_equal(a, b)


def test_pad_with_a_value():
    expected = np.pad(M, 1, constant_values=7)
    (result,) = interpret(static(lambda x: assembly.pad(x, 1, constant_values=7), M), [M])
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (functools.partial(assembly.pad, M, -1), ShapeError, "not negative"),
        (functools.partial(assembly.pad, M, 1, "median"), TraceError, "no mode"),
        (functools.partial(assembly.split, M, 2, 1), ShapeError, "does not split into 2"),
        (functools.partial(assembly.moveaxis, M, (0, 0), (0, 1)), ShapeError, "moveaxis"),
        (functools.partial(assembly.tril, V), ShapeError, "two axes"),
        (functools.partial(assembly.diag, X), ShapeError, "diagonal"),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()


@pytest.mark.parametrize("shape", [(4, 6), (8, 3), (-1, 2), -1])
def test_reshape_in_column_order(shape):
    x = np.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(reshape(x, shape, order="F"), np.reshape(x, shape, order="F"))
    (value,) = interpret(static(lambda a: a.reshape(shape, order="F"), x), [x])
    np.testing.assert_array_equal(value, np.reshape(x, shape, order="F"))


@pytest.mark.parametrize(("order", "axis"), [(None, None), (None, 1), (2, 0), (1, 1), (np.inf, 0), (-np.inf, 1), ("fro", None)])
def test_norm(order, axis):
    np.testing.assert_allclose(assembly.norm(M, order, axis), np.linalg.norm(M, order, axis), rtol=1e-14)


def test_norm_has_a_gradient_at_0_and_names_what_it_lacks():
    from_zero = gradients(lambda x: assembly.norm(x), np.zeros(3))
    np.testing.assert_array_equal(from_zero[0], np.zeros(3))
    with pytest.raises(ShapeError, match="ord=2 of matrices"):
        assembly.norm(M, 2)
