import ctypes
import os

import pytest

from tracegrad.runtime.threads import Gate, GateMode, load_tbb, tbb_candidates

# Eight threads at once, and a child forked after a parallel call, on whatever pool the process has.
STRESS = """
import os, threading
from tracegrad.runtime.load import load_program, start_threads
from tracegrad.runtime.threads import GATE
entry = load_program(CHAIN, ARGUMENTS, FOLDER).entry
assert (GATE.layer, GATE.mode.name) == (None, "SERIAL")  # loading starts no threads
start_threads()
x = np.random.default_rng(0).standard_normal(200_000)
expected = call_chain(entry, x, parallel=0)[0]
wrong = []
def work():
    for _ in range(20):
        if call_chain(entry, x)[0] != expected: wrong.append(1)
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert not wrong
print(GATE.layer, GATE.mode.name, flush=True)
if hasattr(os, "fork"):
    child = os.fork()
    if child == 0:
        load_program(CHAIN + "# compiled in the child", ARGUMENTS, FOLDER)
        os._exit(0 if call_chain(entry, x)[0] == expected else 9)
    assert os.waitpid(child, 0)[1] == 0
    assert call_chain(entry, x)[0] == expected
"""


def reported(output):
    """Return the words of the first line: at the fork Numba's tbb pool may print a line about threads it did not join."""
    return output.splitlines()[0].split()


@pytest.mark.parametrize("layer", ["tbb", "omp", "workqueue"])
def test_threads_and_forks_on_every_pool(run_python, layer):
    if layer == "tbb" and load_tbb() is None:
        pytest.skip("tbb has no wheels here")
    mode = "EXCLUSIVE" if layer == "workqueue" else "OPEN"
    assert reported(run_python(STRESS, NUMBA_THREADING_LAYER=layer)) == [layer, mode]


def test_tbb_is_used_where_it_is_installed(run_python):
    if load_tbb() is None:
        pytest.skip("tbb has no wheels here")
    assert reported(run_python(STRESS)) == ["tbb", "OPEN"]


QUICK = """
import sys
from tracegrad.runtime.load import load_program, start_threads
from tracegrad.runtime.threads import GATE
entry = load_program(CHAIN, ARGUMENTS, FOLDER).entry
start_threads()
print(GATE.layer, "numba" in sys.modules, flush=True)
x = np.random.default_rng(0).standard_normal(200_000)
expected = call_chain(entry, x, parallel=0)[0]
assert call_chain(entry, x)[0] == expected
import numba
@numba.njit(parallel=True)
def total(x):
    s = 0
    for i in numba.prange(len(x)):
        s += i
    return s
assert total(x) == len(x) * (len(x) - 1) // 2  # Numba finds the pool started, and goes on with it
assert call_chain(entry, x)[0] == expected
assert numba.threading_layer() == "tbb"
"""


def test_the_tbb_pool_starts_without_numba_which_then_shares_it(run_python):
    if load_tbb() is None:
        pytest.skip("tbb has no wheels here")
    assert reported(run_python(QUICK)) == ["tbb", "False"]


def test_numbas_settings_leave_the_choice_of_the_pool_to_numba(run_python):
    assert reported(run_python(QUICK.partition("import numba\n")[0], NUMBA_NUM_THREADS="1"))[1] == "True"


def test_private_interfaces_that_moved_cost_the_threads_only(run_python):
    script = """
import warnings
from numba.np.ufunc import parallel
del parallel._launch_threads
from tracegrad.runtime.load import load_program, start_threads
program = load_program(CHAIN, ARGUMENTS, FOLDER)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    start_threads()
value, out = call_chain(program.entry, np.arange(10_000.0))
assert value == 1.5 * np.arange(10_000.0).sum()
print([str(warning.message) for warning in caught])
"""
    assert "kernels run on one thread, because the thread pool did not start" in run_python(script)


def test_a_pool_that_does_not_start_costs_the_threads_only(run_python):
    script = """
import warnings
from numba.np.ufunc import parallel
def broken(): raise ValueError("no pool today")
parallel._launch_threads = broken
from tracegrad.runtime.load import load_program, start_threads
program = load_program(CHAIN, ARGUMENTS, FOLDER)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    start_threads()
value, out = call_chain(program.entry, np.arange(10_000.0))
assert value == 1.5 * np.arange(10_000.0).sum()
print([str(warning.message) for warning in caught])
"""
    assert "kernels run on one thread, because the thread pool did not start: no pool today" in run_python(script)


def test_a_gate_opens_by_the_pool_behind_it():
    gate = Gate()
    assert (gate.mode, gate.layer) == (GateMode.SERIAL, None)
    gate.open("workqueue", 0, 0)
    assert gate.mode == GateMode.EXCLUSIVE
    assert ctypes.c_int64.from_address(gate.address).value == GateMode.EXCLUSIVE
    ctypes.c_int64.from_address(gate.address).value = GateMode.TAKEN
    gate.open("workqueue", 0, 0)  # a second program is loaded while one runs
    assert gate.mode == GateMode.TAKEN


@pytest.mark.parametrize("layer", ["omp", "workqueue"])
def test_a_forked_child_of_a_pool_that_does_not_survive_stays_serial(layer):
    gate = Gate()
    gate.open(layer, 0, 0)
    gate.close_after_fork()
    gate.open(layer, 0, 0)
    assert gate.mode == GateMode.SERIAL


def test_a_fork_before_the_pool_started_or_with_tbb_changes_nothing():
    gate = Gate()
    gate.close_after_fork()
    gate.open("tbb", 0, 0)
    gate.close_after_fork()
    assert gate.mode == GateMode.OPEN


def test_candidates_are_files_of_this_installation():
    assert all(os.path.isabs(path) for path in tbb_candidates())
