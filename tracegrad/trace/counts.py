"""Traces whose counts are marked.

A function that is given arrays of one, two or three rows may count them: ``np.sum(x) / len(x)`` holds the number 1.0, 2.0 or
3.0, and is rewritten by it into a program of its own. So such a function is traced once more with longer axes, which shows
what counts (``ops.counts``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tracegrad.core.aval import Aval
from tracegrad.core.graph import Graph
from tracegrad.core.tree import TreeDef
from tracegrad.ops.counts import Different, marked
from tracegrad.trace.tracer import Argument, Leaf, Traced, trace

LONGER = 37
"""The length that short axes are given: a prime, which users rarely write, and above what kernels unroll (16)."""
SHORT = (1, 2, 3)
"""Lengths whose counts meet the numbers of rules: those of factors, and of squares and cubes and their slopes."""
SPARE = 32
"""Nodes that the longer graph may have more than the shorter: a loop over an axis is not followed to its end."""
MOST_LEFT_OUT = 6
"""Leaves up to which each is left out in turn."""


def counted_graph(function: Callable[..., Any], tree: TreeDef, leaves: Sequence[Leaf], traced: Traced) -> Graph | None:
    """The graph of a trace with its counts marked, None where there are none or they cannot be told.

    Parameters
    ----------
    function, tree, leaves: what was traced.
    traced: the trace.
    """
    for size in SHORT:
        rows = [k for k in traced.inputs if k < len(leaves) and _is_short(leaves[k], size)]
        for chosen, square in _choices(rows, size):
            longer = [_lengthened(leaf, square) if k in chosen else leaf for k, leaf in enumerate(leaves)]
            try:
                other = trace(function, tree, longer, most=2 * len(traced.graph) + SPARE, silent=True)
            except Exception:  # noqa: BLE001 - the user's code may do anything at sizes it was not called with
                continue
            try:
                return marked(traced.graph, other.graph, size)
            except Different:
                continue
    return None


def _is_short(leaf: Leaf, size: int) -> bool:
    return isinstance(leaf, Argument) and leaf.aval.shape[:1] == (size,)


def _lengthened(leaf: Leaf, square: bool) -> Leaf:
    """A leaf with a longer first axis; a square of one element stays one."""
    assert isinstance(leaf, Argument)
    shape = leaf.aval.shape
    longer = (LONGER,) * len(shape) if square and set(shape) == {1} else (LONGER, *shape[1:])
    return dataclasses.replace(leaf, aval=Aval(longer, leaf.aval.dtype))


def _choices(rows: Sequence[int], size: int) -> Iterator[tuple[frozenset[int], bool]]:
    """Which leaves are tried together, and whether as squares: all, then, of axes of one element, all but one."""
    if rows:
        yield frozenset(rows), False
        if size == 1:
            if 1 < len(rows) <= MOST_LEFT_OUT:
                yield from ((frozenset(rows) - {k}, False) for k in rows)
            yield frozenset(rows), True
