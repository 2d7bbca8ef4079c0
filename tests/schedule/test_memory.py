"""The arena: blocks that live together lie apart, and hardly anything is lost between them."""

import subprocess
import sys
import tracemalloc
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

import tracegrad as tg
from tests.programs import programs
from tests.support import planned
from tracegrad.schedule.memory import ALIGN, Lifetime, live_bytes, plan_memory

BLOCKS = st.lists(st.tuples(st.integers(0, 100_000), st.integers(0, 19), st.integers(0, 12)), max_size=30)


def check(lifetimes):
    """Blocks alive together do not overlap, and the arena is within a tenth of the largest live set."""
    placement = plan_memory(lifetimes)
    assert placement.live_bytes == max(live_bytes(lifetimes), default=0)
    assert placement.nbytes <= 1.1 * placement.live_bytes
    for k, a in enumerate(lifetimes):
        assert placement.offsets[a.key] % ALIGN == 0
        assert placement.offsets[a.key] + a.nbytes <= placement.nbytes
        for b in lifetimes[:k]:
            if a.meets(b) and a.nbytes and b.nbytes:
                low, high = sorted((a, b), key=lambda block: placement.offsets[block.key])
                assert placement.offsets[low.key] + low.nbytes <= placement.offsets[high.key]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(BLOCKS)
def test_random_blocks(blocks):
    check([Lifetime(k, size, first, first + more) for k, (size, first, more) in enumerate(blocks)])


@pytest.mark.nightly
@settings(max_examples=5000, deadline=None, derandomize=True)
@given(BLOCKS)
def test_many_random_blocks(blocks):
    check([Lifetime(k, size, first, first + more) for k, (size, first, more) in enumerate(blocks)])


def test_live_bytes_are_counted_per_launch():
    blocks = [Lifetime("a", 64, 0, 1), Lifetime("b", 1, 1, 2), Lifetime("c", 0, 2, 2)]
    assert live_bytes(blocks) == [64, 128, 128]
    assert live_bytes([]) == []


def test_a_placement_that_largest_first_leaves_loose():
    # largest first takes 21 units here, the largest live set is 14
    sizes = [(6, 3, 3), (3, 2, 4), (7, 0, 0), (7, 0, 2), (4, 2, 4)]
    blocks = [Lifetime(k, size * 6400, first, last) for k, (size, first, last) in enumerate(sizes)]
    assert plan_memory(blocks).nbytes == 14 * 6400


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(programs(longest=12))
def test_random_programs(program):
    arrays = program.arrays()
    compilation = planned(program.loss, *arrays, wrt=range(len(arrays)))
    check([block for block in compilation.plan.blocks if block.key != "status"])
    assert compilation.plan.arena_bytes <= 1.1 * compilation.plan.placement.live_bytes


# -- a long chain -----------------------------------------------------------------------------------------------------

CHAIN = """
import numpy as np
import tracegrad as tg

MAPS = [np.sin, np.tanh, lambda x: np.exp(-x * x), lambda x: np.sqrt(x * x + 1.0), lambda x: 0.5 * x - 0.25]


def chain(x):
    for k in range(100):
        x = MAPS[k % 5](x)
    return x
"""
MEASURED = """
import re
from pathlib import Path

compiled = tg.jit(chain)
compiled(np.ones(8))  # compiling takes memory of its own
x = np.ones(10_000_000)


def status(what):
    return 1024 * int(re.search(what + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])


Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
before = status("VmRSS")
compiled(x)
print(status("VmHWM") - before)
"""


def chain_namespace():
    namespace = {}
    exec(CHAIN, namespace)
    return namespace


def test_a_chain_of_100_maps_needs_no_arena():
    chain = chain_namespace()["chain"]
    x = np.broadcast_to(1.0, 10_000_000)
    assert planned(chain, x).plan.arena_bytes == 0


def test_the_gradient_of_a_chain_of_100_maps_needs_none_but_its_chunks_sums():
    chain = chain_namespace()["chain"]
    x = np.broadcast_to(1.0, 10_000_000)
    plan = planned(lambda x: np.sum(chain(x)), x, wrt=(0,)).plan
    assert plan.arena_bytes == 8 * -(-x.size // 4096) // 64 * 64 + 64
    assert len(plan.blocks) == 1


def test_a_call_allocates_its_result_and_the_arena_alone():
    compiled = tg.jit(chain_namespace()["chain"])
    x = np.ones(1_000_000)
    plan = compiled.memory_plan(x)
    assert (plan.argument_bytes, plan.result_bytes, plan.arena_bytes) == (8_000_000, 8_000_000, 0)
    for _ in range(2):
        compiled(x)  # starts the thread pool, then writes the caller out: 0.3 MB, once
    tracemalloc.start()
    try:
        compiled(x)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 8_000_000 <= peak <= 8_000_000 + 100_000


@pytest.mark.nightly
def test_a_gradient_of_100_maps_allocates_its_results_alone():
    chain = chain_namespace()["chain"]
    compiled = tg.grad_compile(lambda x: np.sum(chain(x))).value_and_grad
    x = np.ones(100_000)
    for _ in range(2):
        compiled(x)
    tracemalloc.start()
    try:
        compiled(x)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert x.nbytes <= peak <= x.nbytes + 10_000


@pytest.mark.nightly
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the high-water mark can be set back on Linux alone")
def test_the_process_grows_by_the_result_alone():
    result = subprocess.run([sys.executable, "-c", CHAIN + MEASURED], capture_output=True, text=True, check=True)
    assert 80_000_000 * 0.99 <= int(result.stdout) <= 80_000_000 + 2_000_000


# -- what a person sees -----------------------------------------------------------------------------------------------


def layers(ws, x):
    for w in ws:
        x = np.tanh(x @ w)
    return np.sum(x * x)


def test_memory_plan_shows_every_block(monkeypatch):
    monkeypatch.setattr("tracegrad.schedule.chain.SHARED_BYTES", -1)
    compiled = tg.grad_compile(layers)
    ws, x = [np.ones((4, 4))] * 3, np.ones((5, 4))
    plan = compiled.memory_plan(ws, x)
    assert plan.argument_bytes == 3 * 128 + 160
    assert plan.result_bytes == 3 * 128 + 8
    assert plan.arena_bytes >= plan.live_bytes == max(plan.live)
    assert plan.peak_bytes == plan.argument_bytes + plan.result_bytes + plan.constant_bytes + plan.arena_bytes
    text = str(plan)
    assert text.startswith("memory of layers:")
    assert all(block.what in text for block in plan.blocks)
    assert "tanh float64[5,4]" in text
    assert "x = np.tanh(x @ w)" in text
    console = Console(file=StringIO(), width=200)
    console.print(plan)
    assert console.file.getvalue().rstrip() == text
    assert compiled.value_and_grad.memory_plan(ws, x) == plan


def test_the_interpreter_plans_nothing():
    with pytest.raises(tg.errors.TracegradError, match="plans no memory"):
        tg.jit(np.sin, compile="never").memory_plan(np.ones(3))
