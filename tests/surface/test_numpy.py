"""The names of NumPy and SciPy: which are traced, that they mean the same, that their gradients are right, and the docs."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import tracegrad as tg
from tests.support import central_difference
from tracegrad.core.interpret import interpret
from tracegrad.core.tree import flatten

ROOT = Path(__file__).parents[2]


def docs_script():
    spec = importlib.util.spec_from_file_location("numpy_names", ROOT / "docs" / "numpy_names.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SCRIPT = docs_script()
CALLS = SCRIPT.CALLS
EXPRESSIONS = [expression for expressions in CALLS.values() for expression in expressions]
LISTED = [name for space in SCRIPT.TITLES for name in SCRIPT.listed(space)]
NOT_YET = (ROOT / "tests" / "surface" / "not_yet.txt").read_text(encoding="utf-8").split()
"""The listed names that are not traced yet, in one place: names leave it, and none comes in."""


def leaves(value):
    return [np.asarray(leaf) for leaf in flatten(value)[0]]


def floats(values):
    return [value for value in values if value.dtype.kind in "fc"]


def of_parts(dtype, value):
    """A float dtype, or for complex values the complex one with such parts."""
    return np.result_type(dtype, np.complex64) if value.dtype.kind == "c" else dtype


def weights_of(outputs, draw):
    """Random cotangents: they pair with complex values by the real part of the product."""
    drawn = [draw.uniform(0.5, 1.5, out.shape) + (1j * draw.normal() if out.dtype.kind == "c" else 0.0) for out in outputs]
    return [np.where(np.isnan(out), 0.0, weight) for weight, out in zip(drawn, outputs, strict=True)]


def test_every_name_is_listed_once():
    assert len(LISTED) == len(set(LISTED))
    assert set(CALLS) <= set(LISTED)


def test_what_is_not_traced_yet_is_known():
    missing = [name for name in LISTED if not SCRIPT.is_traced(name)]
    assert [name for name in missing if SCRIPT.function_of(name) is not None and name not in NOT_YET] == []
    assert [name for name in NOT_YET if name not in missing] == [], "these are there now: take them out of not_yet.txt"


def test_every_traced_name_has_a_call():
    assert [name for name in LISTED if SCRIPT.is_traced(name) and name not in CALLS] == []


def test_the_docs_say_what_is_there():
    text = SCRIPT.PAGE.read_text(encoding="utf-8")
    assert SCRIPT.page(text) == text, "run python docs/numpy_names.py"


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_values_and_dtypes_are_those_of_numpy(expression, dtype):
    function, arguments = SCRIPT.SURFACE_CALLS.made(expression)
    values = [v.astype(of_parts(dtype, v)) if v.dtype.kind in "fc" else v for v in arguments.values()]
    wanted, tree = flatten(function(*values))
    results, found = flatten(tg.jit(function, compile="never")(*values))
    assert str(found) == str(tree)
    for result, want in zip(results, wanted, strict=True):
        assert type(result) is (np.bool if type(want) is bool else type(want))
        assert np.asarray(result).dtype == np.asarray(want).dtype
        scale = np.finfo(dtype).eps * 50
        np.testing.assert_allclose(result, want, rtol=scale, atol=scale)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_gradients_are_those_of_finite_differences(expression):
    function, arguments = SCRIPT.SURFACE_CALLS.made(expression)
    values = list(arguments.values())
    outputs = floats(leaves(function(*values)))
    draw = np.random.default_rng(0)
    weights = weights_of(outputs, draw)

    def total(*moved):
        found = floats(leaves(function(*moved)))
        return sum(np.nansum(np.real(weight * out)) for weight, out in zip(weights, found, strict=True))

    joint = SCRIPT.joint_graph(expression)
    found = interpret(joint, [*values, *weights])[len(leaves(function(*values))) :]
    at = [k for k, value in enumerate(values) if value.dtype.kind in "fc"]
    for k, gradient in zip(at, found, strict=True):
        direction = draw.normal(size=values[k].shape)
        if values[k].dtype.kind == "c":
            direction = direction + 1j * draw.normal(size=values[k].shape)
        if list(arguments)[k] == "s":  # which stays symmetric
            direction = direction + direction.T
        want = central_difference(total, values, k, direction)
        np.testing.assert_allclose(np.nansum(np.real(gradient * direction)), want, rtol=2e-7, atol=2e-8)


NATIVE = [e for name, expressions in CALLS.items() for e in expressions if SCRIPT.is_traced(name)]


@pytest.mark.nightly
@pytest.mark.parametrize("expression", NATIVE)
def test_native_code_agrees_with_the_interpreter(expression):
    joint = SCRIPT.joint_graph(expression)
    if SCRIPT.in_want(joint):
        pytest.skip("no native code")
    function, arguments = SCRIPT.SURFACE_CALLS.made(expression)
    values = list(arguments.values())
    for result, want in zip(leaves(tg.jit(function)(*values)), leaves(function(*values)), strict=True):
        # functions of matrices err by their largest elements
        size = np.max(np.abs(want), initial=1.0) if np.all(np.isfinite(want)) else 1.0
        np.testing.assert_allclose(result, want, rtol=1e-13, atol=1e-14 * size)
    outputs = leaves(function(*values))
    draw = np.random.default_rng(0)
    weights = weights_of(floats(outputs), draw)
    if not weights or not any(value.dtype.kind in "fc" for value in values):
        return

    def total(*moved):
        found = [np.asarray(leaf) for leaf in flatten(function(*moved))[0]]
        return sum(np.nansum(np.real(w * f)) for w, f in zip(weights, [f for f in found if f.dtype.kind in "fc"], strict=True))

    at = tuple(k for k, value in enumerate(values) if value.dtype.kind in "fc")
    _, found = tg.grad_compile(total, argnums=at).value_and_grad(*values)
    expected = interpret(joint, [*values, *weights])[len(outputs) :]
    for gradient, want in zip(found, expected, strict=True):
        np.testing.assert_allclose(gradient, want, rtol=1e-12, atol=1e-13)
