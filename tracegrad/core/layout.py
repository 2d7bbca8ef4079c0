"""Layered placement of boxes and arrows, without any program beside Python.

Rows come from longest paths, the order inside a row from barycentres, positions from least squares with minimum
distances. An arrow over several rows runs through a place of its own in each; all such arrows of one box share one
trunk.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

__all__ = ["MARGIN", "Arrow", "Layout", "Place", "Point", "layout"]

Arrow = tuple[int, int]
Point = tuple[float, float]

MARGIN = 20.0
_GAP_X, _GAP_Y = 18.0, 38.0
_TRUNK = 10.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a box is: its centre and its size."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything is: a place for each box id, a polyline for each arrow in the order given, and the size."""

    places: Mapping[int, Place]
    routes: tuple[tuple[Point, ...], ...]
    width: float
    height: float


# --- rows ------------------------------------------------------------------------------------------------------------


def _ranks(ids: Sequence[int], arrows: Iterable[Arrow]) -> dict[int, int]:
    """Give each box its row: right below all that it reads.

    What reads nothing, or only such boxes, stands right above its first reader instead: a weight near its use.
    """
    readers: dict[int, list[int]] = defaultdict(list)
    waiting = dict.fromkeys(ids, 0)
    for source, target in arrows:
        if source not in waiting or target not in waiting:
            raise ValueError(f"the arrow {source} -> {target} joins a box that is not there")
        readers[source].append(target)
        waiting[target] += 1
    roots = [box for box in ids if not waiting[box]]
    root_set = set(roots)
    inner = {target for source, target in arrows if source not in root_set}
    rank = dict.fromkeys(roots, 0)
    ready = list(roots)
    for box in ready:  # grows as it goes
        for reader in readers[box]:
            rank[reader] = max(rank.get(reader, 0), rank[box] + 1)
            waiting[reader] -= 1
            if not waiting[reader]:
                ready.append(reader)
    if len(ready) < len(waiting):
        raise ValueError("the arrows form a cycle")
    for box in reversed(ready):
        if box not in inner and readers[box]:
            rank[box] = min(rank[reader] for reader in readers[box]) - 1
    return rank


@dataclass(slots=True)
class _Rows:
    """The graph with trunks: negative ids are the places where an arrow passes a row."""

    rows: list[list[int]]
    above: dict[int, list[int]]
    below: dict[int, list[int]]
    routes: dict[Arrow, list[int]]


def _rows(ids: Sequence[int], arrows: Sequence[Arrow]) -> _Rows:
    rank = _ranks(ids, arrows)
    rows: list[list[int]] = [[] for _ in range(max(rank.values(), default=-1) + 1)]
    for box in ids:
        rows[rank[box]].append(box)
    graph = _Rows(rows, defaultdict(list), defaultdict(list), {})
    trunks: dict[int, list[int]] = {}
    passes = 0
    for source, target in sorted(set(arrows), key=lambda arrow: rank[arrow[1]]):
        trunk = trunks.setdefault(source, [source])
        while len(trunk) < rank[target] - rank[source]:
            passes += 1
            rows[rank[source] + len(trunk)].append(~passes)
            graph.below[trunk[-1]].append(~passes)
            graph.above[~passes].append(trunk[-1])
            trunk.append(~passes)
        route = trunk[: rank[target] - rank[source]]
        graph.below[route[-1]].append(target)
        graph.above[target].append(route[-1])
        graph.routes[source, target] = [*route, target]
    return graph


# --- order inside rows -----------------------------------------------------------------------------------------------


def _crossings(graph: _Rows) -> int:
    total = 0
    for row, lower in pairwise(graph.rows):
        place = {box: i for i, box in enumerate(lower)}
        seen: list[int] = []
        for box in row:
            ends = sorted(place[reader] for reader in graph.below[box])
            total += sum(len(seen) - bisect_right(seen, end) for end in ends)
            for end in ends:
                insort(seen, end)
    return total


def _uncross(graph: _Rows, sweeps: int) -> None:
    """Sort each row by where its neighbours are, downward and upward in turn, and keep the best order met."""
    best, fewest = [list(row) for row in graph.rows], _crossings(graph)
    for sweep in range(sweeps):
        down = sweep % 2 == 0
        neighbours = graph.above if down else graph.below
        order = graph.rows if down else graph.rows[::-1]
        for fixed, row in pairwise(order):
            place = {box: i / len(fixed) for i, box in enumerate(fixed)}
            key = {box: _mean([place[n] for n in neighbours[box]], default=i / len(row)) for i, box in enumerate(row)}
            row.sort(key=key.__getitem__)
        crossings = _crossings(graph)
        if crossings < fewest:
            best, fewest = [list(row) for row in graph.rows], crossings
        if fewest == 0:
            break
    graph.rows[:] = best


def _mean(values: Sequence[float], *, default: float) -> float:
    return sum(values) / len(values) if values else default


# --- positions -------------------------------------------------------------------------------------------------------


def _settle(wanted: Sequence[float], weights: Sequence[float], widths: Sequence[float]) -> list[float]:
    """Move centres as little as possible (least squares) so that neighbours in a row keep their distance.

    With the distances taken off, that is a monotone regression: runs in the wrong order are pooled at their mean.
    """
    offsets = [0.0]
    for left, right in pairwise(widths):
        offsets.append(offsets[-1] + (left + right) / 2 + _GAP_X)
    pools: list[tuple[float, float, int]] = []  # mean, weight, how many
    for want, weight, offset in zip(wanted, weights, offsets, strict=False):
        mean, total, size = want - offset, weight, 1
        while pools and pools[-1][0] > mean:
            other, other_total, other_size = pools.pop()
            mean = (mean * total + other * other_total) / (total + other_total)
            total, size = total + other_total, size + other_size
        pools.append((mean, total, size))
    settled = [mean for mean, _, size in pools for _ in range(size)]
    return [x + offset for x, offset in zip(settled, offsets, strict=True)]


def _pull(box: int, neighbours: Sequence[int], x: Mapping[int, float]) -> float:
    """Say where a box's neighbours want it; the parts of a trunk want each other most, so that it runs straight."""
    weights = [8.0 if box < 0 and n < 0 else 1.0 for n in neighbours]
    if not weights:
        return x[box]
    return sum(w * x[n] for w, n in zip(weights, neighbours, strict=True)) / sum(weights)


def _columns(graph: _Rows, width: Mapping[int, float]) -> dict[int, float]:
    x: dict[int, float] = {}
    for row in graph.rows:
        widths = [width[box] for box in row]
        x.update(zip(row, _settle([0.0] * len(row), [1.0] * len(row), widths), strict=True))
    for sweep in range(30):
        rows = graph.rows if sweep % 2 == 0 else graph.rows[::-1]
        for row in rows:
            weights = [4.0 if box < 0 else 1.0 for box in row]
            wanted = [_pull(box, (*graph.above[box], *graph.below[box]), x) for box in row]
            x.update(zip(row, _settle(wanted, weights, [width[box] for box in row]), strict=True))
    return x


def layout(sizes: Mapping[int, tuple[float, float]], arrows: Sequence[Arrow]) -> Layout:
    """Place boxes in rows so that arrows point downward, boxes do not overlap, and few arrows cross.

    Parameters
    ----------
    sizes
        Width and height of each box by its id; ids are not negative.
    arrows
        Pairs of ids; a pair may occur more than once.

    Raises
    ------
    ValueError
        When an id is negative, an arrow joins an unknown box, or the arrows form a cycle.

    Examples
    --------
    >>> found = layout({0: (30, 20), 1: (50, 20)}, [(0, 1)])
    >>> found.places[0].y < found.places[1].y
    True
    """
    ids = list(sizes)
    if min(ids, default=0) < 0:
        raise ValueError("box ids must not be negative")
    graph = _rows(ids, arrows)
    _uncross(graph, sweeps=12 if len(graph.above) < 5000 else 2)

    width = defaultdict(lambda: _TRUNK, {box: size[0] for box, size in sizes.items()})
    x = _columns(graph, width)
    shift = MARGIN - min((x[box] - width[box] / 2 for box in x), default=0.0)
    places: dict[int, Place] = {}
    span: dict[int, tuple[float, float]] = {}  # top and bottom of what stands in a row
    top = MARGIN
    for row in graph.rows:
        height = max(sizes[box][1] if box >= 0 else 0.0 for box in row)
        for box in row:
            if box >= 0:
                places[box] = Place(x[box] + shift, top + height / 2, *sizes[box])
                span[box] = (top + (height - sizes[box][1]) / 2, top + (height + sizes[box][1]) / 2)
            else:
                span[box] = (top, top + height)
        top += height + _GAP_Y

    ports = _ports(arrows, graph, x, sizes)
    routes: list[tuple[Point, ...]] = []
    for arrow, port in zip(arrows, ports, strict=True):
        first, *passed, last = graph.routes[arrow]
        points = [(x[first] + shift, span[first][1])]
        for box in passed:
            points += [(x[box] + shift, span[box][0]), (x[box] + shift, span[box][1])]
        routes.append((*points, (x[last] + shift + port, span[last][0])))
    right = max((x[box] + shift + width[box] / 2 for box in x), default=MARGIN)
    return Layout(places, tuple(routes), right + MARGIN, max(top - _GAP_Y, MARGIN) + MARGIN)


def _ports(
    arrows: Sequence[Arrow], graph: _Rows, x: Mapping[int, float], sizes: Mapping[int, tuple[float, float]]
) -> list[float]:
    """Spread the arrows into one box along its upper edge, from left to right as they come."""
    into: dict[int, list[int]] = defaultdict(list)
    for number, (_, target) in enumerate(arrows):
        into[target].append(number)
    ports = [0.0] * len(arrows)
    for target, numbers in into.items():
        numbers.sort(key=lambda number: x[graph.routes[arrows[number]][-2]])
        step = min(14.0, 0.7 * sizes[target][0] / len(numbers))
        for place, number in enumerate(numbers):
            ports[number] = (place - (len(numbers) - 1) / 2) * step
    return ports
