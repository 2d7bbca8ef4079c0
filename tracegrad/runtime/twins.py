"""What the names of a generated program mean in plain Python.

The functions here are the ones generated files import (through :mod:`tracegrad.runtime.abi`). Their bodies are never
compiled: :mod:`tracegrad.runtime.words` has native code for each of them. Under ``NUMBA_DISABLE_JIT=1`` the bodies run
instead, so the same file can be stepped through.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "PointerTwin",
    "TableTwin",
    "all_bits",
    "buffer_offset",
    "kept",
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
    "update",
    "write",
]


@dataclass(frozen=True, slots=True)
class TableTwin:
    """A table of 64-bit words, seen from word ``start`` on."""

    words: NDArray[np.int64]
    start: int = 0

    def __getitem__(self, slot: int) -> int:
        return int(self.words[self.start + slot])

    def __setitem__(self, slot: int, word: int) -> None:
        self.words[self.start + slot] = word

    def from_word(self, offset: int) -> TableTwin:
        """Return the sub-table that starts ``offset`` words further on."""
        return TableTwin(self.words, self.start + offset)


@dataclass(frozen=True, slots=True)
class PointerTwin:
    """A typed raw pointer: no bounds, no wraparound of negative indices.

    Parameters
    ----------
    address
        Where element 0 stands.
    dtype
        The NumPy dtype of an element.
    loadable, storable
        Which accesses the kernel has declared; any other raises TypeError, as its compilation would.
    """

    address: int
    dtype: np.dtype[Any]
    loadable: bool = True
    storable: bool = True
    _bytes: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_bytes", ctypes.c_uint8 * self.dtype.itemsize)

    def _element(self, index: int) -> NDArray[Any]:
        raw = self._bytes.from_address(self.address + int(index) * self.dtype.itemsize)
        return np.frombuffer(raw, self.dtype)

    def __getitem__(self, index: int) -> Any:
        if not self.loadable:
            raise TypeError("this buffer was declared with write(); use update() to load from it as well")
        return self._element(index)[0]

    def __setitem__(self, index: int, value: Any) -> None:
        if not self.storable:
            raise TypeError("this buffer was declared with read(); use write() or update() to store to it")
        self._element(index)[0] = value


def read(table: TableTwin, slot: int, dtype: Any) -> PointerTwin:
    """Return the buffer at a slot, which the kernel only loads from."""
    return PointerTwin(table[slot], np.dtype(dtype), storable=False)


def write(table: TableTwin, slot: int, dtype: Any) -> PointerTwin:
    """Return the buffer at a slot, which the kernel only stores to; no other buffer may overlap it."""
    return PointerTwin(table[slot], np.dtype(dtype), loadable=False)


def update(table: TableTwin, slot: int, dtype: Any) -> PointerTwin:
    """Return the buffer at a slot, which the kernel loads from and stores to; no other buffer may overlap it."""
    return PointerTwin(table[slot], np.dtype(dtype))


def pointer(table: TableTwin, slot: int, dtype: Any) -> PointerTwin:
    """Return a plain C pointer, about which the compiler assumes nothing: for hand-written templates."""
    return PointerTwin(table[slot], np.dtype(dtype))


def buffer_offset(buffer: Any, elements: int) -> Any:
    """Return the same buffer, or table, with element 0 moved by a number of elements."""
    if isinstance(buffer, TableTwin):
        return buffer.from_word(int(elements))
    moved = buffer.address + int(elements) * buffer.dtype.itemsize
    return PointerTwin(moved, buffer.dtype, buffer.loadable, buffer.storable)


def table_at(address: int, size: int) -> TableTwin:
    """Return the table of so many words that stands at an address."""
    words: Any = (ctypes.c_int64 * size).from_address(address)
    return TableTwin(np.frombuffer(words, np.int64))


def quotient(index: int, extent: int) -> int:
    """Return ``index // extent`` for an extent above 0; compiled, it has none of the branches of Python's division."""
    return index // extent


def leftover(index: int, extent: int) -> int:
    """Return ``index % extent`` for an extent above 0; compiled, it has none of the branches of Python's division."""
    return index % extent


def all_bits(flag: Any) -> int:
    """Return the mask that keeps all bits where a condition holds, and none where it does not."""
    return -1 if flag else 0


def kept(value: Any, mask: int) -> Any:
    """Return a number where a mask of ``all_bits`` keeps it, and 0 where it does not."""
    return value if mask else type(value)(0)


def scalar(table: TableTwin, slot: int, dtype: Any) -> Any:
    """Return the bits of a word as a scalar; a narrow type takes the low bits."""
    kind = np.dtype(dtype)
    word = np.array([table[slot]], np.int64)
    if kind == np.bool_:
        return np.bool_(word[0] & 1)
    unsigned = word.view(np.uint64).astype(f"u{kind.itemsize}")
    return unsigned.view(kind)[0]


def stack_table(plan: NDArray[np.int64], size: int) -> TableTwin:
    """Return a private copy of the first ``size`` words of a plan, which lives as long as the call.

    The plan must be that long: native code does not check it.
    """
    if len(plan) < size:
        raise IndexError(f"the plan has {len(plan)} words, the program needs {size}")
    return TableTwin(np.array(plan[:size], np.int64))


def place(table: TableTwin, slot: int, array: NDArray[Any]) -> None:
    """Put the address of an array's first element into a word."""
    table[slot] = array.ctypes.data


def place_scalar(table: TableTwin, slot: int, value: Any) -> None:
    """Put the bits of a scalar into a word."""
    bits = np.asarray(value)
    table[slot] = int(bits.view(f"u{bits.dtype.itemsize}").astype(np.uint64).view(np.int64)[()])


def shift(table: TableTwin, slot: int, arena: NDArray[np.uint8]) -> None:
    """Add the address of the arena to a word, which held an offset in bytes."""
    table[slot] += arena.ctypes.data


def launch(kernel: Callable[..., None], table: TableTwin, offset: int, chunks: int | None = None) -> None:
    """Run all chunks of a kernel, whose sub-table starts at word ``offset``.

    Parameters
    ----------
    kernel
        The kernel function.
    table
        The program's table.
    offset
        Where the kernel's words start. Word 0 is the number of chunks. Word 1 says where they run: 0 in this thread,
        1 over all threads, k > 1 over at most k threads.
    chunks
        A fixed number of chunks to run in this thread, in place of words 0 and 1.
    """
    own = table.from_word(offset)
    count = own[0] if chunks is None else chunks
    if count > 0:
        kernel(0, count, own)


def confirm(chunk: int, seen: Any) -> None:
    """Do a chunk again by the exact version of this kernel if ``seen`` is NaN; in Python there is only that one."""
