"""The names that generated program files import.

A program file holds kernels, each a serial function over a range of chunks, and one entry that launches them::

    @kernel
    def k0(first, last, table):
        x = read(table, 2, float64)      # word 0 and 1 of its table: number of chunks, whether they run over threads
        out = write(table, 3, float64)
        ...

    @entry("float64[::1]", "float64[::1]", "int64[::1]")
    def run(x, out, plan):
        table = stack_table(plan, 8)
        place(table, 2, x)
        place(table, 3, out)
        launch(k0, table, 0)

Compiled, the words mean what :mod:`tracegrad.runtime.words` says. Here is what they mean where the file runs as Python, under
``NUMBA_DISABLE_JIT=1``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import bool_ as boolean
from numpy import float32, float64, int8, int16, int32, int64, uint8, uint16, uint32, uint64

from tracegrad.runtime.twins import (
    all_bits,
    buffer_offset,
    confirm,
    kept,
    launch,
    leftover,
    place,
    place_scalar,
    pointer,
    quotient,
    read,
    scalar,
    shift,
    stack_table,
    table_at,
    update,
    write,
)

__all__ = [
    "all_bits",
    "boolean",
    "buffer_offset",
    "confirm",
    "entry",
    "float32",
    "float64",
    "int8",
    "int16",
    "int32",
    "int64",
    "kept",
    "kernel",
    "launch",
    "leftover",
    "place",
    "place_scalar",
    "pointer",
    "quotient",
    "read",
    "scalar",
    "shift",
    "stack_table",
    "table_at",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "update",
    "write",
]


def kernel(function: Callable[..., None]) -> Callable[..., None]:
    """Mark a kernel, a function ``(first, last, table)``."""
    return function


def entry(*arguments: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Mark the entry of a program.

    Parameters
    ----------
    arguments
        The type of each argument, as :func:`tracegrad.runtime.boundary.parse_arguments` reads it.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def run(*values: Any) -> None:
            function(*map(_as_declared, values, arguments))

        return run

    return decorate


def _as_declared(value: Any, declared: str) -> Any:
    """Return an argument as a compiled entry takes it: Python numbers have the declared type, arrays are refused as there."""
    dtype = declared.partition("[")[0]
    wanted = np.dtype("bool" if dtype == "boolean" else dtype)
    if "[" in declared:
        if not isinstance(value, np.ndarray) or value.dtype != wanted or not value.flags.c_contiguous:
            raise TypeError(f"the entry takes a contiguous {declared}")
        return value
    return wanted.type(value)
