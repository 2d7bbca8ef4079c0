"""What a kernel of linear algebra is written as: its lines for one matrix of a stack, and the memory they want."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

BLOCK = 64
"""Columns that LAPACK takes at once, at most; more working memory than it uses does no harm."""
SIDE = "whole[0] = n\nwhole[1] = max(n, 1)"
"""The size and the leading dimension of square matrices."""


@dataclass(frozen=True, slots=True)
class Text:
    """A kernel's text and what it needs.

    Parameters
    ----------
    letters: the arguments of LAPACK that are letters; in the text they are ``letter0``, ``letter1``, …
    before: lines before the loop over matrices.
    each: lines for matrix ``unit``; ``lapack_f`` is f of the dtype, ``epsilon`` its precision; ``refused(info)`` tells
        the call.
    words: the functions it calls.
    sizes: numbers of the text by their names.
    integers, numbers: elements of working memory.
    work: operations for one matrix.
    strict: whether a matrix that LAPACK refuses is an error.
    maths: functions of numbers that it calls.
    axes: how many of its first operand's axes are one matrix: 3 for pairs.
    pairs: whether LAPACK's functions are those of complex numbers.
    """

    letters: str
    before: str
    each: str
    words: tuple[str, ...]
    sizes: Mapping[str, int]
    integers: int
    numbers: int
    work: float
    strict: bool = False
    maths: str = ""
    axes: int = 2
    pairs: bool = False
