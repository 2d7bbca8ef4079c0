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
    "outer of numbers": (("np.float32(0.5)", "3"), ("v1 = np.outer(a0, a1)", "v2 = np.outer(2, 3.0) * a0")),
    "vdot with a number": (("-1.25", "0.75"), ("v1 = np.vdot(a0, a1)", "v2 = np.vdot(2.0, a1)")),
    "isclose of truths": ((TRUTHS,), ("v1 = np.isclose(a0, a0[::-1])", "v2 = np.isclose(a0, 1.0, atol=2.0)")),
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


def test_complex_zeros_are_compared_with_traced_values_compiled():
    def equal(x):
        zeros = np.zeros((3, 1), dtype=complex)
        return zeros == x, zeros != x, x * 1j == zeros, np.where(zeros == 1, x * 1j, zeros)

    x = np.array([0.0, 2.0])
    for found, expected in zip(tg.jit(equal)(x), equal(x), strict=True):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


def test_meshgrid_of_numbers_and_empty_sums():
    for values in ((3, 1.5), (np.zeros(0), np.ones(2))):
        function = lambda a, b: np.meshgrid(sum(a) if np.ndim(a) else a, b)
        for found, expected in zip(tg.jit(function, compile="never")(*values), function(*values), strict=True):
            np.testing.assert_array_equal(found, expected)


TRACED = {
    "a row": "v2 = v1[a1]",
    "a row counted from the end": "v2 = v1[a1 - 5]",
    "a row of a found position": "v2 = v1[np.argmax(a0[:, 0])]",
    "a column": "v2 = v1[:, a1]",
    "a part of a row": "v2 = v1[a1, 1:]",
    "a row with an axis": "v2 = v1[None, a1]",
    "a row of every second": "v2 = v1[::2][a1]",
    "an element with an Ellipsis": "v2 = v1[a1, a1, ...]",
    "a transpose's row": "v2 = v1.T[a1, ::-1]",
    "a row as a column": "v2 = v1[a1].reshape(-1, 1)",
}


@pytest.mark.parametrize("name", TRACED)
@pytest.mark.parametrize("store", ["v2 += 1", "v2[...] = v1[0, 0] * 2", "v1[...] = 4 * a0", "v1[a1] = a0[2]"])
def test_what_a_traced_integer_looks_at_is_a_view(name, store):
    arguments = Argument("a0", "np.arange(12.0).reshape(4, 3)"), Argument("a1", "np.int64(1)")
    program = Program(0, arguments, ("v1 = a0 * 1", TRACED[name], store), ("v1", "v2"))
    case = oracles.Case.of(program)
    oracles.interpreted(case)
    oracles.forward_agrees(oracles.Slopes.of(case))
    oracles.differences_agree(oracles.Slopes.of(case))


def test_elimination_with_pivots_compiled():
    def solved(a, b):
        t = np.concatenate([a, b[:, None]], axis=1)
        for k in range(3):
            pivot = k + np.argmax(np.abs(t[k:, k]))
            row, other = t[k], t[pivot]
            kept = row.copy()
            row[:] = other
            other[:] = kept
            row /= row[k]
            for i in range(3):
                if i != k:
                    t[i] -= t[i, k] * row
        return t[:, -1]

    a, b = np.array([[0.0, 2.0, 1.0], [3.0, 1.0, -1.0], [1.0, 1.0, 4.0]]), np.array([1.0, 2.0, 3.0])
    for mode in ("never", "now"):
        np.testing.assert_allclose(tg.jit(solved, compile=mode)(a, b), np.linalg.solve(a, b), rtol=1e-12)


# -- views and copies, which the layout of an array decides ---------------------------------------------------------------

LAID_OUT = {
    "of zeros by columns": (("v1 = np.zeros((2, 3), order='F')", "v2 = v1.reshape(-1)"), True),
    "of ones like a transpose, by rows": (("v1 = np.ones_like(a0.T, order='C')", "v2 = v1.ravel()"), True),
    "of a copy by rows": (("v1 = a0.T.copy()", "v2 = v1.reshape(-1)"), True),
    "of an array by columns": (("v1 = np.array(a0, order='F')", "v2 = v1.T.reshape(-1)"), True),
    "of a product": (("v1 = a0.T @ a0", "v2 = v1.ravel()"), True),
    "of a sum of columns and rows": (("v1 = a0[:, :1] + a0[0]", "v2 = v1.ravel()"), True),
    "of axes apart": (("v1 = np.sin(a0.T)", "v2 = v1[:, None]"), True),
    "of a map of a transpose": (("v1 = np.sin(a0.T)", "v2 = v1.ravel()"), False),
    "of what is like a transpose": (("v1 = np.zeros_like(a0.T)", "v2 = v1.ravel()"), False),
    "of chosen columns": (("v1 = a0[:, [0, 1]]", "v2 = v1.reshape(-1)"), False),
    "of a copy as it is": (("v1 = np.copy(a0.T)", "v2 = np.ravel(v1)"), False),
}


@pytest.mark.parametrize("name", LAID_OUT)
@pytest.mark.parametrize("store", ["v2[:1] = 9", "v1[0, 0] = 9"])
def test_reshapes_are_views_as_numpys_or_refused(name, store):
    statements, known = LAID_OUT[name]
    program = Program(0, (Argument("a0", "np.arange(6.0).reshape(2, 3)"),), (*statements, store), ("v1", "v2"))
    word, text = oracles.outcome(program, oracles.interpreted)
    assert word == ("fine" if known else "refused"), text
    assert known or "view of it or a copy" in text
    unwritten = Program(0, program.arguments, statements, ("v1", "v2"))
    assert oracles.outcome(unwritten, oracles.interpreted) == ("fine", "")
