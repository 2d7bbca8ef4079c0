"""The language of kernels: each construct does what Python does, and what is not in the language is refused with its line."""

from __future__ import annotations

import numpy as np
import pytest

from tracegrad.errors import CompileError
from tracegrad.runtime import abi
from tracegrad.runtime.load import ProgramRegistry

PROGRAM = """
from math import inf
from tracegrad.codegen.mathlib import absolute, accumulate, divide, maximum, where
from tracegrad.runtime.abi import (
    boolean, entry, float32, float64, int8, int32, int64, kernel, launch, place, pointer, read, scalar, stack_table, uint8,
    uint64, update, write,
)


@kernel
def helper(first, last, table):
    out = write(table, 2, float64)
    for c in range(first, last):
        out[7] = c


@kernel
def k0_HASH_(first, last, table):
    out = update(table, 2, float64)
    x = read(table, 3, {dtype})
    n = table[4]
    {body}


@entry("float64[::1]", "{dtype}[::1]", "int64[::1]")
def run_HASH_(out, x, plan):
    table = stack_table(plan, 5)
    place(table, 2, out)
    place(table, 3, x)
    launch(k0_HASH_, table, 0)
"""
BODIES = {
    "a loop over a range": "for i in range(n):\n        out[i] = x[i] + x[i]",
    "a loop with a step": "for i in range(1, n, 3):\n        out[i] = i",
    "a loop that does not run": "for i in range(n, 1):\n        out[i] = i\n    for i in range(3, n, 100):\n        out[i] = 5",
    "a while loop": "k = n\n    while k > 2:\n        out[k - 1] = k\n        k = k - 2",
    "continue": "for i in range(n):\n        if i % 3 == 1:\n            continue\n        out[i] = i",
    "continue in nests": (
        "for i in range(n):\n        for j in range(n):\n            if j > i:\n                continue\n"
        "            out[i] += 1\n        if i % 2:\n            continue\n        out[i] = -1"
    ),
    "branches": (
        "for i in range(n):\n        if x[i] < 0:\n            out[i] = 1\n        elif x[i] == 2:\n            out[i] = 2\n"
        "        else:\n            out[i] = 3"
    ),
    "a pair": "a, b = 1, 2\n    a, b = b, a\n    out[0] = a\n    out[1] = b",
    "augmented": "a = 1\n    a += n\n    a *= 3\n    out[0] = a",
    "either": "for i in range(n):\n        out[i] = x[i] if x[i] > 0 else 7",
    "either, and nothing is loaded": "out[0] = x[n - 1] if n > 0 else 3",
    "not, and, or": "for i in range(n):\n        out[i] = int64(not x[i] > 0) + 2 * int64(i > 1 and i < 4 or x[i] == 3)",
    "min and max": "for i in range(n):\n        out[i] = min(i, 3) + 10 * max(i, n - 2)",
    "division": "for i in range(n):\n        out[i] = (i - 3) // 2 + 100 * ((i - 3) % 2)",
    "division by zero": "out[0] = n // (n - n) + n % (n - n)",
    "bits": "for i in range(n):\n        out[i] = (i & 5) + 16 * (i | 2) + 256 * (i ^ 3)",
    "negative numbers": "out[0] = -3\n    out[1] = -n\n    out[2] = -x[0]\n    out[3] = ~n",
    "infinity": "out[0] = inf\n    out[1] = -inf\n    out[2] = where(x[0] > -inf, 1.0, 2.0)",
    "functions": "for i in range(n):\n        out[i] = accumulate(absolute(x[i]), maximum(x[i], x[i]))",
    "casts": (
        "out[0] = int64(3.7)\n    out[1] = int8(300)\n    out[2] = uint8(-1)\n    out[3] = float32(0.1)\n"
        "    out[4] = boolean(5)"
    ),
    "another kernel": "helper(3, 6, table)",
    "a variable of two types": "a = 1\n    out[0] = a\n    a = 2.5\n    out[1] = a",
    "words of the table": "table[4] = table[4] + 3\n    out[0] = table[4]",
}  # fmt: skip
# Floats are compared with Python's float64; what differs for integers of eight bits wraps around on both sides.
DTYPES = ["float64", "int64", "int32"]


def ran(body, dtype, folder, python):
    text = PROGRAM.format(body=body, dtype=dtype)
    out, x = np.zeros(8), np.array([-1, 0, 2, 3, 5], np.dtype(dtype))
    plan = np.array([1, 0, 0, 0, len(x)])
    if python:
        names = {}
        exec(compile(text, "program", "exec"), names)
        with np.errstate(all="ignore"):
            names["run_HASH_"](out, x, plan)
    else:
        ProgramRegistry().load(text, ("float64[::1]", f"{dtype}[::1]", "int64[::1]"), folder).entry(out, x, plan)
    return out


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [name for name in BODIES if name not in ("division by zero", "casts")])
def test_the_language_means_what_python_means(name, dtype, tmp_path):
    expected = ran(BODIES[name], dtype, tmp_path, python=True)
    np.testing.assert_array_equal(ran(BODIES[name], dtype, tmp_path, python=False), expected)


def test_integer_division_by_zero_is_zero_as_in_numpy(tmp_path):
    assert ran(BODIES["division by zero"], "int64", tmp_path, python=False)[0] == 0


def test_casts_are_numpys(tmp_path):
    found = ran(BODIES["casts"], "float64", tmp_path, python=False)
    assert found[:5].tolist() == [3.0, 44.0, 255.0, float(np.float32(0.1)), 1.0]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return n", "Return is not in the language"),
        ("out[0] = 'text'", "'text' is not a number"),
        ("out[0] = missing", "missing has no value here"),
        ("out[0] = print(1)", "print is not in the vocabulary"),
        ("for i in x:\n        out[i] = 1", "loops run over range"),
        ("x[0] = 1", "declared with read"),
        ("out[0.5] = 1", "a position is an integer"),
        ("out[0] = x[0] ** 2", "Pow of"),
        ("out[0] = divide(1.0, b=2.0)", "no keywords"),
        ("out[0] = divide(1.0)", "takes 2 numbers"),
        ("out[0] = 1 < n < 3", "comparisons are of two"),
        ("out = [1]", "List is not in the language"),
        ("n", "this does nothing"),
        ("y = read(table, n, float64)", "written as a number"),
        ("y = 0\n    for i in range(n):\n        y = y + 0.5", "y has values of two types"),
        ("if n > 2:\n        y = 1\n    else:\n        y = 2.0", "y has values of two types"),
    ],
)
def test_what_is_not_in_the_language_is_refused_with_its_line(body, message, tmp_path):
    with pytest.raises(CompileError, match=r"line 2\d") as caught:
        ran(body, "int64", tmp_path, python=False)
    assert message in str(caught.value)


def test_a_name_that_the_vocabulary_lacks_is_refused(tmp_path):
    with pytest.raises(CompileError, match="has no nonsense"):
        text = "from tracegrad.codegen.mathlib import nonsense\n" + PROGRAM.format(body="out[0] = 1", dtype="int64")
        ProgramRegistry().load(text, ("float64[::1]", "int64[::1]", "int64[::1]"), tmp_path)


def test_every_word_of_the_abi_has_a_native_meaning():
    from tracegrad.runtime.words import resolve

    for name in abi.__all__:
        assert resolve(abi.__name__, name) is not None
