"""Scratch memory for the intermediate arrays of a program."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

__all__ = ["ALIGNMENT", "ArenaPool", "aligned"]

ALIGNMENT = 64
"""Bytes; a cache line and the widest vector register."""


def aligned(nbytes: int) -> NDArray[np.uint8]:
    """Return a new block of uninitialised bytes whose address is a multiple of 64."""
    nbytes = max(nbytes, 1)  # an empty array has no address worth aligning
    raw = np.empty(nbytes + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + nbytes]


class ArenaPool:
    """A few blocks of scratch memory that calls borrow and give back.

    Calls that run at the same time, in threads or nested, each hold a block of their own. No lock is taken: the free
    blocks are a list, whose ``pop`` and ``append`` are atomic.

    Parameters
    ----------
    keep
        How many free blocks to keep for later calls; more are left to the garbage collector. ``free`` lists them.

    Examples
    --------
    >>> pool = ArenaPool()
    >>> block = pool.borrow(100)
    >>> block.nbytes >= 100, block.ctypes.data % ALIGNMENT
    (True, 0)
    >>> pool.give_back(block)
    >>> pool.borrow(100) is block
    True
    """

    __slots__ = ("free", "keep")

    def __init__(self, keep: int = 4) -> None:
        self.free: list[NDArray[np.uint8]] = []
        self.keep = keep

    def borrow(self, nbytes: int) -> NDArray[np.uint8]:
        """Return a block of at least ``nbytes`` uninitialised bytes, aligned to 64.

        Parameters
        ----------
        nbytes
            The least size. A free block that is smaller is dropped, so the pool settles on the largest size asked for.
        """
        try:
            block = self.free.pop()
        except IndexError:
            return aligned(nbytes)
        return block if block.size >= nbytes else aligned(nbytes)

    def give_back(self, block: NDArray[np.uint8]) -> None:
        """Return a borrowed block, once; the caller must not touch it afterwards."""
        if len(self.free) < self.keep:
            self.free.append(block)

    @contextmanager
    def lent(self, nbytes: int) -> Iterator[NDArray[np.uint8]]:
        """Borrow a block for a ``with`` statement.

        Parameters
        ----------
        nbytes
            The least size.
        """
        block = self.borrow(nbytes)
        try:
            yield block
        finally:
            self.give_back(block)
