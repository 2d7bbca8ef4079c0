"""Text that prints itself at a prompt."""

from __future__ import annotations


class Text(str):
    r"""A string whose repr is its text, so that a report reads well in a REPL and in notebooks.

    >>> Text("two\nlines")
    two
    lines
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)
