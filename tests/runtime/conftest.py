"""Hand-written programs of the shape the code generator writes."""

import contextlib
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from tracegrad.runtime.load import ProgramRegistry

IMPORTS = """\
from tracegrad.runtime.abi import (
    all_bits, boolean, buffer_offset, entry, float32, float64, int8, int16, int32, int64, kept, kernel, launch, place,
    place_scalar, leftover, pointer, quotient, read, scalar, shift, stack_table, uint8, uint16, uint32, uint64, update, write,
)
"""

# value = sum(x * c0), gradient-like map out = x * c0, partial sums in the arena, combined in chunk order.
CHAIN = (
    IMPORTS
    + """
@kernel
def k0_HASH_(first, last, table):
    x = read(table, 2, float64)
    out = write(table, 3, float64)
    partial = write(table, 4, float64)
    n = table[5]
    c0 = scalar(table, 6, float64)
    for c in range(first, last):
        acc = float64(0.0)
        for i in range(c * 1024, min((c + 1) * 1024, n)):
            t = x[i] * c0
            out[i] = t
            acc = acc + t
        partial[c] = acc

@kernel
def k0_finish_HASH_(first, last, table):
    partial = read(table, 4, float64)
    value = write(table, 7, float64)
    acc = float64(0.0)
    for c in range(table[0]):
        acc = acc + partial[c]
    value[0] = acc

@entry("float64[::1]", "float64", "float64[::1]", "float64[::1]", "uint8[::1]", "int64[::1]")
def run_HASH_(x, c0, value, out, arena, plan):
    table = stack_table(plan, 8)
    place(table, 2, x)
    place(table, 3, out)
    place(table, 7, value)
    place_scalar(table, 6, c0)
    shift(table, 4, arena)
    launch(k0_HASH_, table, 0)
    launch(k0_finish_HASH_, table, 0, 1)
"""
)
CHAIN_ARGUMENTS = ("float64[::1]", "float64", "float64[::1]", "float64[::1]", "uint8[::1]", "int64[::1]")


def call_chain(entry, x, c0=1.5, parallel=1):
    """Return (value, out) of the chain program."""
    chunks = -(-len(x) // 1024)
    value, out, arena = np.empty(1), np.empty(len(x)), np.empty(8 * chunks, np.uint8)
    entry(x, c0, value, out, arena, np.array([chunks, parallel, 0, 0, 0, len(x), 0, 0]))
    return value[0], out


@pytest.fixture
def chain(request):
    """The chain program, salted with the test's name so that tests do not share compiled code."""
    return SimpleNamespace(source=f"# {request.node.name}\n{CHAIN}", arguments=CHAIN_ARGUMENTS, call=call_chain)


@pytest.fixture
def imports():
    return IMPORTS


@pytest.fixture
def registry():
    """A registry of its own, as a new process has."""
    return ProgramRegistry()


@pytest.fixture
def run_python(tmp_path):
    """Run a script in a new process, with ``CHAIN``, ``ARGUMENTS``, ``FOLDER`` and ``call_chain`` at hand."""

    def run(script, *, wait=True, **environment):
        import inspect
        import os

        prelude = (
            "import numpy as np\nfrom pathlib import Path\n"
            f"CHAIN = {CHAIN!r}\nARGUMENTS = {CHAIN_ARGUMENTS!r}\nFOLDER = Path({str(tmp_path / 'cache')!r})\n"
        )
        text = prelude + inspect.getsource(call_chain) + script
        # -c leaves no file behind; the current folder is on the path.
        process = subprocess.Popen(
            [sys.executable, "-c", text],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        if not wait:
            return process
        with contextlib.closing(process.stdout), contextlib.closing(process.stderr):
            out, err = process.communicate(timeout=120)
        assert process.returncode == 0, f"exit status {process.returncode}\n{err}"
        return out

    return run
