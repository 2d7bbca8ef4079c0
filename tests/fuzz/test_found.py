"""Programs that the fuzzer found to be wrong once, each with what was wrong."""

import numpy as np
import pytest

import tracegrad as tg
from tests.fuzz import oracles
from tests.fuzz.programs import Argument, Program

VECTOR, MATRIX, WHOLE, TRUTHS = "np.linspace(-1.0, 1.5, 4)", "np.arange(6.0).reshape(2, 3)", "np.arange(3)", "np.eye(2) > 0"

FOUND = {
    # the dtype of a truth, of no axes
    "logical_or.reduce of a scalar": (("1.5",), ("v1 = np.logical_or.reduce(a0, axis=None)",)),
    "logical_and.reduce of an integer": (("3",), ("v1 = np.logical_and.reduce(a0, axis=None)",)),
    "add.reduce of a truth": (("np.float64(2.0)",), ("v1 = np.add.reduce(a0 > 1, axis=None)",)),
    # never without axes
    "ascontiguousarray of a scalar": (("1.5",), ("v1 = np.ascontiguousarray(a0)",)),
    "asfortranarray of a scalar": ((VECTOR,), ("v1 = np.asfortranarray(a0[0])",)),
    "logsumexp of a scalar": (("1.5",), ("v1 = special.logsumexp(a0, axis=None, keepdims=True)",)),
    # the array itself where it is in order already
    "ascontiguousarray of rows": ((MATRIX,), ("v1 = a0 * 1", "v2 = np.ascontiguousarray(v1[1:])", "v2[0] = 9")),
    "ascontiguousarray of columns": ((MATRIX,), ("v1 = a0 * 1", "v2 = np.ascontiguousarray(v1[:, 1:])", "v2[0] = 9")),
    "ascontiguousarray of a column": (
        (MATRIX,),
        ("v1 = a0[:, :1] * 1", "v2 = np.ascontiguousarray(v1.T)", "v2[0] = 9"),
    ),
    "asfortranarray of a transpose": ((MATRIX,), ("v1 = a0 * 1", "v2 = np.asfortranarray(v1.T)", "v2[0] = 9")),
    "asfortranarray, which copies": ((MATRIX,), ("v1 = a0 * 1", "v2 = np.asfortranarray(v1)", "v2[0] = 9")),
    "what asfortranarray copied": ((MATRIX,), ("v1 = np.asfortranarray(a0 * 1)", "v2 = v1.reshape(-1)", "v2[0] = 9")),
    # views of the parts
    "np.real is a view": ((MATRIX,), ("v1 = a0 * 1j", "v2 = np.real(v1)", "v2[0] = 9")),
    "np.imag is a view": ((MATRIX,), ("v1 = a0 * 1j", "v2 = np.imag(v1)", "v2[0] = 9")),
    "np.real of reals": ((MATRIX,), ("v1 = a0 * 1", "v2 = np.real(v1)", "v2[0] = 9")),
    # an array without axes
    "piecewise of a scalar": (("np.float64(0.5)",), ("v1 = np.piecewise(a0, [a0 > 0], [2.0])", "v2 = v1[None]", "v2[0] = 9")),
    "tensordot": ((VECTOR,), ("v1 = np.tensordot(a0, a0, 1)", "v2 = v1[None]", "v2[0] = 9")),
    # integers stay integers
    "max from a number on": ((WHOLE,), ("v1 = np.max(a0, initial=0.5)",)),
    "min of truths from a number on": ((TRUTHS,), ("v1 = np.min(a0, axis=0, initial=0.5)",)),
    "subtract.at of integers": ((WHOLE, "0.75"), ("v1 = a0 * 2", "np.subtract.at(v1, [0, 1, 1], a1)")),
    "add.at of integers": ((WHOLE, VECTOR), ("v1 = a0 * 2", "np.add.at(v1, [0, 1, 1, 2], a1)")),
}


@pytest.mark.parametrize("name", FOUND)
def test_found(name):
    arguments, statements = FOUND[name]
    made = [
        line.split(" = ")[0]
        for line in statements
        if line.startswith("v") and " = " in line and "[" not in line.split(" = ")[0]
    ]
    program = Program(0, tuple(Argument(f"a{k}", text) for k, text in enumerate(arguments)), statements, tuple(made))
    assert oracles.outcome(program, oracles.interpreted) == ("fine", "")


def test_a_compiled_constant_is_complex_still():
    slope = tg.grad(lambda z: np.real(z) * 3.0)
    found = tg.jit(slope)(0.3 + 0.2j)
    assert (found, type(found)) == (3.0 + 0.0j, np.complex128)
