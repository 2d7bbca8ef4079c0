"""Kernels become machine code once, in their entry."""

from __future__ import annotations

import numpy as np

from tracegrad.runtime import load, native

SOURCE = """from tracegrad.runtime.abi import entry, float64, kernel, launch, place, read, stack_table, write


@kernel
def k0_HASH_(first, last, table):
    x = read(table, 2, float64)
    out = write(table, 3, float64)
    for c in range(first, last):
        out[c] = x[c] * 3.0


@entry("float64[::1]", "float64[::1]", "uint8[::1]", "int64[::1]")
def run_HASH_(a0, out0, arena, plan):
    table = stack_table(plan, 4)
    place(table, 2, a0)
    place(table, 3, out0)
    launch(k0_HASH_, table, 0)
"""


def test_numba_links_libraries_as_this_package_expects():
    assert native.links_unfinished(), "Numba's CPUCodeLibrary has changed: see tracegrad.runtime.native"


def _run(tmp_path):
    program = load.ProgramRegistry().load(SOURCE, ("float64[::1]", "float64[::1]", "uint8[::1]", "int64[::1]"), tmp_path)
    out = np.zeros(5)
    program.entry(np.arange(5.0), out, np.zeros(1, np.uint8), np.array([5, 0, 0, 0]))
    np.testing.assert_array_equal(out, 3 * np.arange(5.0))
    return next(value for name, value in program.entry.py_func.__globals__.items() if name.startswith("k0_"))


def test_a_kernel_has_no_machine_code_of_its_own(tmp_path):
    kernel = _run(tmp_path)
    assert not kernel.overloads
    assert not kernel.kernel_code.library._finalized


def test_where_numba_has_changed_kernels_are_optimised_twice(tmp_path, monkeypatch):
    monkeypatch.setattr(native, "links_unfinished", lambda: False)
    assert len(_run(tmp_path).overloads) == 1
