"""Loops over many arrays must come out as packed instructions."""

import platform
import re

import numpy as np
import pytest

import tracegrad as tg
from tracegrad.runtime.load import inspect_asm, inspect_llvm

X86 = platform.machine() in ("x86_64", "AMD64")


@pytest.fixture
def pointwise(imports):
    def program(loads, stores, dtype):
        total = loads + stores
        names = [f"x{i}" for i in range(loads)] + [f"y{i}" for i in range(stores)]
        lines = [imports, "@kernel", "def k0_HASH_(first, last, table):"]
        lines += [f"    x{i} = read(table, {2 + i}, {dtype})" for i in range(loads)]
        lines += [f"    y{i} = write(table, {2 + loads + i}, {dtype})" for i in range(stores)]
        lines += [
            f"    n = table[{2 + total}]",
            "    for c in range(first, last):",
            "        for i in range(c * 4096, min((c + 1) * 4096, n)):",
        ]
        for i in range(stores):
            terms = [f"x{(i + k) % loads}[i]" for k in range(3)]
            lines.append(f"            y{i}[i] = {terms[0]} * {terms[1]} - {terms[2]}")
        arguments = ", ".join([f'"{dtype}[::1]"'] * total + ['"int64[::1]"'])
        lines += [f"@entry({arguments})", f"def run_HASH_({', '.join(names)}, plan):"]
        lines += [f"    table = stack_table(plan, {3 + total})"]
        lines += [f"    place(table, {2 + i}, {name})" for i, name in enumerate(names)]
        lines += ["    launch(k0_HASH_, table, 0)"]
        return "\n".join(lines)

    return program


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("loads", "stores"), [(2, 1), (8, 4), (16, 16)])
def test_loops_over_3_12_and_32_arrays_are_packed(pointwise, loads, stores, dtype):
    source = pointwise(loads, stores, dtype)
    packed = re.findall(r"= fsub (?:contract )?<\d+ x (?:double|float)>", inspect_llvm(source))
    assert len(packed) >= stores  # every statement of the loop, each perhaps unrolled
    if X86 and dtype == "float64":
        assembly = inspect_asm(source)
        assert len(re.findall(r"\bv?(?:fmsub\w*|sub)pd\b", assembly)) >= stores
        assert "gather" not in assembly


@pytest.mark.skipif(not X86 or platform.system() != "Linux", reason="elsewhere code has 64-bit addresses in its instructions")
def test_code_reaches_only_itself_by_distance(imports):
    """What lies outside may be further away than 2 GB; the loader would cut the distance and say nothing."""
    lines = [imports, "from tracegrad.codegen.mathlib import exp, remainder", "@kernel", "def k0_HASH_(first, last, table):"]
    lines += ["    x, y = read(table, 2, float64), write(table, 3, float64)", "    n = table[4]"]
    lines += ["    for i in range(n):", "        y[i] = 0.0"]
    lines += ["    for i in range(n):", "        y[n + i] = remainder(exp(x[i]), x[n + i])"]
    lines += ['@entry("float64[::1]", "float64[::1]", "int64[::1]")', "def run_HASH_(x, y, plan):"]
    lines += ["    table = stack_table(plan, 5)", "    place(table, 2, x)", "    place(table, 3, y)"]
    lines += ["    launch(k0_HASH_, table, 0)"]
    assembly = inspect_asm("\n".join(lines))
    assert all(f"{name}@GOTPCREL(%rip)" in assembly for name in ("memset", "fmod", "tracegrad_gate"))
    called = set(re.findall(r"\b(?:call|jmp)q?\s+(\S+)", assembly))
    defined = set(re.findall(r"^(\S+):", assembly, re.MULTILINE))
    assert all(name in defined for name in called if not name.startswith("*"))
    assert not re.search(r"movabsq\s+\$\.LC", assembly)


@pytest.mark.parametrize(("formula", "least"), [("exp(x[i])", 1), ("exp(tanh(x[i]))", 4)])
def test_loops_of_polynomials_take_four_vectors_at_once(imports, formula, least):
    lines = [imports, "from tracegrad.codegen.mathlib import exp, tanh", "@kernel", "def k0_HASH_(first, last, table):"]
    lines += ["    x, y = read(table, 2, float64), write(table, 3, float64)"]
    lines += ["    for i in range(table[4]):", f"        y[i] = {formula}"]
    lines += ['@entry("float64[::1]", "float64[::1]", "int64[::1]")', "def run_HASH_(x, y, plan):"]
    lines += ["    table = stack_table(plan, 5)", "    place(table, 2, x)", "    place(table, 3, y)"]
    lines += ["    launch(k0_HASH_, table, 0)"]
    code = inspect_llvm("\n".join(lines))
    blocks = re.split(r"\n(?=[\w.]+:)", code)
    body = next(block for block in blocks if block.startswith("vector.body"))
    assert len(re.findall(r"store <\d+ x double>", body)) >= least


def smoothed(x):
    w = np.pad(x, 1)
    return w[2:, 1:-1] + w[:-2, 1:-1] + w[1:-1, 2:] + w[1:-1, :-2] - 4.0 * x


def test_a_stencil_has_one_loop_for_rows_at_the_edge_and_others():
    x = np.random.default_rng(0).normal(size=(9, 30))
    source = tg.jit(smoothed).source(x)
    assert source.count("kept(") == 2
    assert inspect_llvm(source).count("\nvector.body") == 1  # three more with a loop for each outcome of two conditions


@pytest.mark.parametrize("shape", [(1, 7), (2, 2), (7, 1), (6, 40), (0, 5), (3, 0)])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_what_rows_at_the_edge_read_in_vain_shows_nowhere(shape, dtype):
    x = np.random.default_rng(0).normal(size=shape).astype(dtype)
    x[0:1, ::2], x[0:1, 1::2] = np.inf, np.nan
    np.testing.assert_array_equal(np.isnan(tg.jit(smoothed)(x)), np.isnan(smoothed(x)))
    x[0:1] = 1.0
    np.testing.assert_allclose(tg.jit(smoothed)(x), smoothed(x), rtol=1e-5 if dtype == "float32" else 1e-12, atol=1e-5)
