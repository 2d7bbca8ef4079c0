"""The steps of a direct call: what the one native function does for which words.

A direct caller is that function (:mod:`tracegrad.runtime.calling`) with an array of words: a head, and then four words for
each step, the step's number and up to three operands. It works on registers that hold objects, the words that the entry of a
program takes, and cells for scalar results. Until ``RUN`` every step may find that the call is of another kind, which then
goes to the fallback with the arguments as they came.
"""

from __future__ import annotations

import enum
from typing import Final

__all__ = ["HEAD_WORDS", "MOST_WORDS", "Do"]

HEAD_WORDS: Final = 2
"""The head: the address of the fallback, and the number of arguments, which are the first registers."""
MOST_WORDS: Final = 96
"""Registers, words of the entry, objects that are held, and cells that there are, each."""


class Do(enum.IntEnum):
    """The steps, with their operands a, b, c. ``r`` are registers, ``w`` the entry's words, other names are addresses."""

    TUPLE = 0
    """r[a] must be a tuple of b items, which come to r[c] and on."""
    LIST = 1
    """r[a] must be a list of b items, which come to r[c] and on."""
    DICT = 2
    """r[a] must be a dict of b entries."""
    KEY = 3
    """r[c] becomes the entry b of the dict r[a]."""
    ARRAY = 4
    """r[a] must be an array as the words at c say: dtype, flags, number of axes, sizes; w[b] becomes its place."""
    FLOAT = 5
    """r[a] must be of the class c, a float; w[b] becomes its bits."""
    SAME = 6
    """r[a] must be the object b."""
    NAME = 7
    """The entry b of the dict a must be the object c."""
    CELL = 8
    """The closure cell a must hold the object b."""
    CODE = 9
    """The function a must have the code b."""
    ATTRIBUTE = 10
    """The attribute b of the object a must be the object c."""
    BLOCK = 11
    """w[a] becomes the place of an array taken from the end of the list b."""
    NEW = 12
    """r[a] becomes a new array as the words at c say, and w[b] its place."""
    PLACE = 13
    """w[a] becomes the place of cell b."""
    WORD = 14
    """w[a] becomes b."""
    RUN = 15
    """Call the function at a with the entry's words, without the GIL."""
    GIVE = 16
    """The array that was taken goes back to the list a, if that has fewer than b."""
    SCALAR = 17
    """r[a] becomes the NumPy scalar of dtype c in cell b."""
    PACK = 18
    """r[a] becomes a tuple of the b objects from r[c] on."""
    PACK_LIST = 19
    """r[a] becomes a list of the b objects from r[c] on."""
    PACK_DICT = 20
    """r[a] becomes an empty dict."""
    PUT = 21
    """The entry b of the dict r[a] becomes r[c]."""
    COPY = 22
    """r[a] becomes r[b]."""
    CALL = 23
    """r[a] becomes what the function b returns without arguments."""
    CONSTANT = 24
    """r[a] becomes the object b."""
    RETURN = 25
    """The result is r[a]."""
