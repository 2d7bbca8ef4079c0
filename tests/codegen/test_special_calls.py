"""SciPy's C functions in native code: all are found, they give SciPy's numbers, in every way a program is loaded."""

import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.special
from scipy.special import cython_special

import tracegrad as tg
from tracegrad.codegen import mathlib_special
from tracegrad.core import capsules
from tracegrad.errors import CompileError
from tracegrad.ops import special
from tracegrad.runtime import load

WORDS = sorted(name for name in vars(mathlib_special) if name.startswith(capsules.WORD_PREFIX))
NAMES = [(name, signature) for signature, names in capsules.SIGNATURES.items() for name in names.split()]


@pytest.mark.parametrize(("name", "signature"), NAMES)
def test_scipy_offers_the_function(name, signature):
    function = capsules.found(capsules.WORD_PREFIX + name)
    keys = [key for key in cython_special.__pyx_capi__ if re.fullmatch(rf"(__pyx_fuse_[\d_]*)?{name}", key)]
    assert function is not None, f"scipy.special.cython_special has no {name} of {signature}, only {keys}"
    assert capsules.address(function.symbol) != 0
    assert function.is_loop == (name.startswith("_") or "D" in signature)


def test_a_ufunc_begins_as_numpy_says():
    for ufunc in (np.add, np.modf, scipy.special.gammaln, scipy.special.airy):
        head = capsules._head(ufunc)
        assert (head.nin, head.nout, head.nargs) == (ufunc.nin, ufunc.nout, ufunc.nargs)


def test_what_is_missing_is_said():
    with pytest.raises(CompileError, match="cython_special has no nothing"):
        capsules.address("scipy.special.cython_special.nothing")
    with pytest.raises(CompileError, match="no loop gammaln of ddd"):
        capsules.address("scipy.special.gammaln.ddd")


def program_of_words(dtype):
    """A program that calls every word on elements of one array, each with operands 0.3, 0.4, … in order."""
    lines, results = [], []
    for k, word in enumerate(WORDS):
        operands = vars(mathlib_special)[word].helper.function.letters
        given = [f"int64({j + 2})" if letter == "l" else f"x[{j}]" for j, letter in enumerate(operands)]
        lines.append(f"    y[{k}] = {word}({', '.join(given)})")
        results.append((word, operands))
    text = "\n".join(lines)
    source = (
        f"from tracegrad.codegen.mathlib_special import {', '.join(WORDS)}\n"
        f"from tracegrad.runtime.abi import entry, {dtype}, int64, kernel, launch, place, read, stack_table, write\n\n\n"
        f"@kernel\ndef k0_HASH_(first, last, table):\n    x = read(table, 1, {dtype})\n    y = write(table, 2, {dtype})\n"
        f"{text}\n\n\n"
        f'@entry("{dtype}[::1]", "{dtype}[::1]", "int64[::1]")\ndef run_HASH_(a, b, plan):\n    table = stack_table(plan, 3)\n'
        "    place(table, 1, a)\n    place(table, 2, b)\n    launch(k0_HASH_, table, 0, 1)\n"
    )
    return source, (f"{dtype}[::1]", f"{dtype}[::1]", "int64[::1]")


def expected(word, operands, x):
    function = vars(mathlib_special)[word].helper
    ufunc = capsules.ufunc_of(function.function.name)
    x = x.astype(np.float64) if function.function.is_loop else x  # whose loops of float32 are not called
    with np.errstate(all="ignore"):
        given = [np.int64(j + 2) if letter == "l" else x[j] for j, letter in enumerate(operands)]
        if function.function.is_complex:  # whose first operand is that of two numbers
            value = ufunc(given[0] + 1j * given[1], *given[2:])
            return (value.real, value.imag)[function.result]
        value = ufunc(*given)
    return value[function.result] if function.function.results > 1 else value


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_all_words_give_the_numbers_of_scipy(dtype, tmp_path):
    source, arguments = program_of_words(dtype)
    x = np.array([0.3, 0.4, 0.55, 0.7], dtype)
    wanted = [np.dtype(dtype).type(expected(word, vars(mathlib_special)[word].helper.function.letters, x)) for word in WORDS]
    for _ in range(2):  # compiled, and from the cache folder by a registry that knows nothing
        found = np.empty(len(WORDS), dtype)
        program = load.ProgramRegistry().load(source, arguments, tmp_path)
        program.entry(x, found, np.array([1, 0, 0], np.int64))
        np.testing.assert_array_equal(found, wanted)
    assert program.from_cache


def test_a_program_in_njit_code(tmp_path):
    source, arguments = program_of_words("float64")
    program = load.ProgramRegistry().load(source, arguments, tmp_path)
    x, found, wanted = np.array([0.3, 0.4, 0.55, 0.7]), np.empty(len(WORDS)), np.empty(len(WORDS))
    plan = np.array([1, 0, 0], np.int64)
    program.entry(x, wanted, plan)
    program.dispatcher()(x, found, plan)
    np.testing.assert_array_equal(found, wanted)


def test_twins_give_the_numbers_of_scipy():
    x = np.array([0.3, 0.4, 0.55, 0.7], np.float32)
    for word in WORDS:
        operands = vars(mathlib_special)[word].helper.function.letters
        value = vars(mathlib_special)[word](*(j + 2 if letter == "l" else x[j] for j, letter in enumerate(operands)))
        assert value.dtype == np.float32
        np.testing.assert_array_equal(value, np.float32(expected(word, operands, x)))


def test_results_do_not_depend_on_the_threads():
    compiled = tg.grad_compile(lambda x: np.sum(scipy.special.gammaln(x) * scipy.special.zeta(2.5, x)))
    x = np.linspace(0.5, 9.0, 30_000)
    alone = compiled.value_and_grad(x)
    np.testing.assert_allclose(alone[0], np.sum(scipy.special.gammaln(x) * scipy.special.zeta(2.5, x)), rtol=1e-14)
    with ThreadPoolExecutor(4) as pool:
        for value, gradient in pool.map(lambda _: compiled.value_and_grad(x), range(4)):
            assert value == alone[0]
            np.testing.assert_array_equal(gradient, alone[1])


def test_an_op_whose_function_is_missing_has_no_native_code(monkeypatch):
    monkeypatch.setattr(capsules, "found", lambda word: None)
    op = special.scipy_map("absent", scipy.special.gammaln, (lambda out, x: special.digamma(x),), doc="", samples=())
    x = np.array([[0.3, 2.5]])
    with pytest.raises(CompileError, match=r"^absent has no native code"):
        tg.jit(lambda x: op(x))(x)
    loss = tg.grad_compile(lambda x: np.sum(op(x)), compile="never")
    np.testing.assert_array_equal(loss.grad(x), scipy.special.psi(x))
    assert "absent" in loss.explain(x)


def test_edges_are_those_of_scipy():
    x = np.array([0.0, -0.0, -1.0, -2.5, 1e-300, 1e300, np.inf, -np.inf, np.nan])
    names = ["gammaln", "psi", "i0e", "j0", "y0", "k0", "exp1", "expi", "erfinv", "ndtri", "gamma", "rgamma"]
    for name in names:
        function = getattr(scipy.special, name)
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(tg.jit(function)(x), function(x))
