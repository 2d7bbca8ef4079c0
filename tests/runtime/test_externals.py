"""C functions of SciPy's: found by their symbols, checked by their signatures, called by compiled code, njit and Python."""

import importlib

import pytest

from tracegrad.errors import CompileError
from tracegrad.runtime import externals, lapack
from tracegrad.runtime.machine import Code

# out = L with L Lᵀ = the symmetric x, in place, and LAPACK's word on it
FACTOR = """
from tracegrad.runtime.abi import entry, float64, int32, kernel, launch, place, stack_table, update, uint8, write
from tracegrad.runtime.lapack import dpotrf

@kernel
def k0_HASH_(first, last, table):
    x = update(table, 2, float64)
    letters = write(table, 3, uint8)
    whole = update(table, 4, int32)
    letters[0] = 76
    whole[0] = table[5]
    dpotrf(letters, whole, x, whole, whole_end(whole))

@entry("float64[:, ::1]", "uint8[::1]", "int32[::1]", "int64[::1]")
def run_HASH_(x, letters, whole, plan):
    table = stack_table(plan, 6)
    place(table, 2, x)
    place(table, 3, letters)
    place(table, 4, whole)
    launch(k0_HASH_, table, 0, 1)
""".replace("whole_end(whole)", "buffer_offset(whole, 1)").replace("abi import", "abi import buffer_offset,")
ARGUMENTS = ("float64[:, ::1]", "uint8[::1]", "int32[::1]", "int64[::1]")

SCRIPT = f"""
import sys
from tracegrad.runtime.load import load_program
program = load_program({FACTOR!r}, {ARGUMENTS!r}, FOLDER)
x, whole = np.array([[4.0, 2.0], [2.0, 5.0]]), np.zeros(2, np.int32)
program.entry(x, np.zeros(4, np.uint8), whole, np.array([1, 0, 0, 0, 0, 2]))
print(program.from_cache, [float(v) for v in x.ravel()], int(whole[1]))
"""


def test_a_kernel_calls_lapack_also_from_the_cache_and_as_python(run_python):
    assert run_python(SCRIPT) == "False [2.0, 1.0, 2.0, 2.0] 0\n"
    assert run_python(SCRIPT) == "True [2.0, 1.0, 2.0, 2.0] 0\n"
    assert run_python(SCRIPT, NUMBA_DISABLE_JIT="1") == "False [2.0, 1.0, 2.0, 2.0] 0\n"


USER = f"""
import importlib.util, os, sys
folder = FOLDER.parent / "user"
folder.mkdir(exist_ok=True)
path = folder / "user_code.py"
path.write_text('''
import numba
@numba.njit(cache=True)
def factor(x, letters, whole, plan):
    run(x, letters, whole, plan)
''')
spec = importlib.util.spec_from_file_location("user_code", path)
user = importlib.util.module_from_spec(spec)
sys.modules["user_code"] = user
if os.environ["LOADED"]:
    from tracegrad.runtime.load import load_program
    user.run = load_program({FACTOR!r}, {ARGUMENTS!r}, FOLDER).dispatcher()
spec.loader.exec_module(user)
x, whole = np.array([[4.0, 2.0], [2.0, 5.0]]), np.zeros(2, np.int32)
user.factor(x, np.zeros(4, np.uint8), whole, np.array([1, 0, 0, 0, 0, 2]))
print(sum(user.factor.stats.cache_hits.values()), [float(v) for v in x.ravel()])
"""


def test_a_users_cached_function_finds_lapack_in_a_new_process(run_python):
    assert run_python(USER, LOADED="yes") == "0 [2.0, 1.0, 2.0, 2.0]\n"
    assert run_python(USER, LOADED="") == "1 [2.0, 1.0, 2.0, 2.0]\n"


@pytest.mark.parametrize("symbol", lapack.SYMBOLS.values())
def test_this_scipy_has_the_functions_that_kernels_call(symbol):
    # where this fails, SciPy's capsules have moved or take something else: see tracegrad/runtime/externals.py
    assert externals.address(symbol)


def test_a_function_that_takes_something_else_is_refused():
    symbol = "scipy.linalg.cython_blas.dscal:void(int*,float*,double*,int*)"
    with pytest.raises(CompileError, match=r"dscal is void\(int\*,double\*,double\*,int\*\)"):
        externals.address(symbol)


@pytest.mark.parametrize("module", ["scipy.linalg.cython_blas", "scipy.linalg.gone"])
def test_a_function_that_is_gone_is_named(module):
    with pytest.raises(CompileError, match=f"{module}.dgone"):
        externals.address(f"{module}.dgone:void()")


@pytest.mark.parametrize("symbol", ["dpotrf", "numpy.core.f:void()", "scipy.f"])
def test_what_is_no_symbol_is_refused(symbol):
    with pytest.raises(ValueError, match="is not the symbol"):
        externals.parsed(symbol)


def test_special_functions_have_signatures_too():
    special = importlib.import_module("scipy.special.cython_special")
    name = next(name for name in special.__pyx_capi__ if name.endswith("gammaln"))
    assert "double" in externals.signature(special.__name__, name)


def test_names_of_functions_are_kept_beside_the_code():
    code = Code((b"\nobject", b"", b"1\n2"), frozenset({"a.b.1.2"}), frozenset({"scipy.linalg.cython_blas.f:void(int*,int*)"}))
    assert Code.unpacked(code.packed()) == code
