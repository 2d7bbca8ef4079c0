"""What a compiled program takes from Python, and what it refuses."""

from __future__ import annotations

import gc
import sys
import weakref

import numpy as np
import pytest

from tracegrad.runtime import boundary
from tracegrad.runtime.load import ProgramRegistry

SCALARS = """
@kernel
def k0_HASH_(first, last, table):
    out = write(table, 2, float64)
    out[0] = scalar(table, 3, float64)
    out[1] = scalar(table, 4, int64)
    out[2] = scalar(table, 5, boolean)
    out[3] = scalar(table, 6, float32)
    out[4] = scalar(table, 7, uint64)

@entry("float64[::1]", "float64", "int64", "boolean", "float32", "uint64", "int64[::1]")
def run_HASH_(out, a, b, c, d, e, plan):
    table = stack_table(plan, 8)
    place(table, 2, out)
    place_scalar(table, 3, a)
    place_scalar(table, 4, b)
    place_scalar(table, 5, c)
    place_scalar(table, 6, d)
    place_scalar(table, 7, e)
    launch(k0_HASH_, table, 0, 1)
"""


@pytest.fixture(scope="module")
def scalars(tmp_path_factory):
    from tests.runtime.conftest import IMPORTS

    arguments = ("float64[::1]", "float64", "int64", "boolean", "float32", "uint64", "int64[::1]")
    entry = ProgramRegistry().load(IMPORTS + SCALARS, arguments, tmp_path_factory.mktemp("cache")).entry

    def call(*values):
        out = np.zeros(5)
        entry(out, *values, np.zeros(8, np.int64))
        return out.tolist()

    return call


def test_scalars_of_every_kind(scalars):
    assert scalars(1.5, -7, True, 0.25, 2**64 - 1) == [1.5, -7.0, 1.0, 0.25, float(2**64 - 1)]
    assert scalars(-1.0, -1, False, -1.0, 0) == [-1.0, -1.0, 0.0, -1.0, 0.0]  # -1 is also the C API's sign of an error
    assert scalars(3, np.int8(4), np.True_, np.float32(0.5), np.uint64(9)) == [3.0, 4.0, 1.0, 0.5, 9.0]


@pytest.mark.parametrize("values", [("text", 1, True, 1.0, 1), (1.0, 1.5, True, 1.0, 1), (1.0, 1, True, None, 1)])
def test_what_is_no_such_number_is_a_type_error(scalars, values):
    with pytest.raises(TypeError):
        scalars(*values)


def test_an_error_of_a_conversion_comes_through(scalars):
    class Broken:
        def __float__(self):
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        scalars(Broken(), 1, True, 1.0, 1)


def test_the_number_of_arguments_is_checked(chain, registry, tmp_path):
    entry = registry.load(chain.source, chain.arguments, tmp_path / "cache").entry
    with pytest.raises(TypeError, match="takes 6 arguments"):
        entry(1.0)
    with pytest.raises(TypeError):
        entry(x=1.0)


@pytest.mark.parametrize(
    "x",
    [
        [1.0, 2.0],
        1.0,
        None,
        np.ones((2, 2)),
        np.ones(3, np.float32),
        np.ones(3).astype(">f8"),
        np.ones(6)[::2],
        np.ones(4, "u1").view("u1")[:0].reshape(0),
        np.frombuffer(b"\0" * 25, np.uint8)[1:].view(np.float64),
    ],
    ids=["list", "float", "None", "two axes", "float32", "byte order", "strided", "bytes", "unaligned"],
)
def test_other_arrays_are_refused_and_named(chain, registry, tmp_path, x):
    entry = registry.load(chain.source, chain.arguments, tmp_path / "cache").entry
    with pytest.raises(TypeError, match=r"argument 0 must be an aligned array float64\[::1\]"):
        entry(x, 1.5, np.empty(1), np.empty(3), np.empty(8, np.uint8), np.zeros(8, np.int64))


def test_arrays_of_subclasses_and_both_names_of_a_dtype_are_taken(chain, registry, tmp_path):
    class Mine(np.ndarray):
        pass

    entry = registry.load(chain.source, chain.arguments, tmp_path / "cache").entry
    plan = np.zeros(8, np.longlong)  # int64 by another number where long has 64 bits
    x = np.arange(3.0).view(Mine)
    entry(x, 1.5, np.empty(1), np.empty(3), np.empty(8, np.uint8), plan)
    plan[[0, 5]] = 1, 3
    value, out = np.empty(1), np.empty(3)
    entry(x, 2.0, value, out, np.empty(8, np.uint8), plan)
    assert out.tolist() == [0.0, 2.0, 4.0]


def test_calls_leave_no_references_behind(chain, registry, tmp_path):
    entry = registry.load(chain.source, chain.arguments, tmp_path / "cache").entry
    x = np.arange(10.0)
    chain.call(entry, x)
    before = sys.getrefcount(x), sys.getrefcount(None)
    for _ in range(1000):
        chain.call(entry, x)
    assert sys.getrefcount(x) == before[0]
    assert abs(sys.getrefcount(None) - before[1]) < 100


def test_the_code_lives_as_long_as_the_function(chain, registry, tmp_path):
    entry = registry.load(chain.source, chain.arguments, tmp_path / "cache").entry
    code = weakref.ref(entry.__self__)
    registry._programs.clear()
    gc.collect()
    assert chain.call(entry, np.arange(10.0))[0] == 67.5
    del entry
    gc.collect()
    assert code() is None


def test_arrays_are_laid_out_as_the_boundary_reads_them():
    x = np.ones((2, 3))
    at = id(x)
    import ctypes

    assert ctypes.c_void_p.from_address(at + boundary.DATA).value == x.ctypes.data
    assert ctypes.c_int.from_address(at + boundary.DIMENSIONS).value == 2
    assert ctypes.c_void_p.from_address(at + boundary.DESCR).value == id(x.dtype)
    assert ctypes.c_int.from_address(at + boundary.FLAGS).value == x.flags.num
    for dtype in (np.dtype("f8"), np.dtype(">f8"), np.dtype(bool)):
        assert ctypes.c_char.from_address(id(dtype) + boundary.BYTEORDER).value.decode() == dtype.byteorder
        assert ctypes.c_int.from_address(id(dtype) + boundary.TYPE_NUMBER).value == dtype.num
