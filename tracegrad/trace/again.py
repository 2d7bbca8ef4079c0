"""Whether a function's result depends on what the function itself changes: a counter, a list that grows, a flag.

A trace that has changed something outside is made once more, from what it has left. Where both graphs are the same, the
change does not matter to the result, as with a list of calls, and happens once for each trace. Where they differ, the first
graph holds for the first call only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from tracegrad.core.graph import Graph, Node
from tracegrad.errors import Frame, TraceError


def first_difference(first: Graph, second: Graph) -> Frame | None:
    """The user's line where two graphs part, None where they hold the same; a graph that ends early parts at its end.

    >>> import tracegrad as tg
    >>> def graph(factor):
    ...     return tg.jit(lambda x: x * factor, compile="never").graph(2.0)
    >>> first_difference(graph(2.0), graph(2.0)) is None, first_difference(graph(2.0), graph(3.0)).line > 0
    (True, True)
    """
    for mine, theirs in zip(first, second, strict=False):
        if not _alike(mine, theirs):
            return _line(first, mine)
    if len(first) != len(second):
        longer = first if len(first) > len(second) else second
        return _line(longer, longer[min(len(first), len(second))])
    if first.outputs != second.outputs:
        return _line(first, first[first.outputs[0]]) if first.outputs else Frame("", 0, "")
    return None


def _line(graph: Graph, node: Node) -> Frame:
    """The line of a node; a constant has that of the first node that takes it, if it has none of its own."""
    takers: Iterator[Node] = (other for other in graph if node.id in other.inputs)
    return node.where or next((taker.where for taker in takers if taker.where is not None), Frame("", 0, ""))


def _alike(mine: Node, theirs: Node) -> bool:
    same = mine.op is theirs.op and mine.inputs == theirs.inputs and mine.aval == theirs.aval
    same = same and mine.params.keys() == theirs.params.keys()
    return same and all(_equal(value, theirs.params[key]) for key, value in mine.params.items())


def _equal(mine: Any, theirs: Any) -> bool:
    """Whether two parameters mean the same; what is only known by its identity, a function say, is taken for the same."""
    if isinstance(mine, Graph) and isinstance(theirs, Graph):
        return first_difference(mine, theirs) is None
    if type(mine) is not type(theirs):
        return False
    if isinstance(mine, tuple):
        return len(mine) == len(theirs) and all(map(_equal, mine, theirs))
    if _has_identity_only(mine):
        if dataclasses.is_dataclass(mine) and not isinstance(mine, type):
            return all(_equal(getattr(mine, f.name), getattr(theirs, f.name)) for f in dataclasses.fields(mine))
        return True
    return bool(mine == theirs)


def _has_identity_only(value: Any) -> bool:
    equals: Any = type(value).__eq__
    return equals is object.__eq__


def refuse_counter(name: str, places: Sequence[str], where: Frame | None) -> TraceError:
    """The error of a function whose result depends on what each of its calls changes."""
    *most, last = dict.fromkeys(place.rpartition("<locals>.")[2] for place in places)
    listed = f"{', '.join(most)} and {last}" if most else last
    return TraceError(
        f"the result of {name} depends here on {listed}, which each call of {name} changes: "
        "traced once, it would stay what it was at the first call",
        fix="pass it in as an argument, and change it outside: n += 1; f(x, n)",
        where=where if where is None or where.line else None,
    )
