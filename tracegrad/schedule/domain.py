"""Where values are found: index maps of views composed down to the node that holds or computes the element."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from tracegrad.core.aval import Shape
from tracegrad.core.expr import Guard, Index, axes_of, axis, flatten_index
from tracegrad.core.graph import Graph
from tracegrad.core.op import Kind

Vector = tuple[Index, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """A node that is not a view, read at an index under guards."""

    node: int
    index: Vector
    guards: tuple[Guard, ...]


def places(
    graph: Graph, node: int, index: Vector, guards: tuple[Guard, ...] = (), held: frozenset[int] = frozenset()
) -> Iterator[Place]:
    """All places from which the element of ``node`` at ``index`` can come, through any views but those ``held`` in buffers."""
    n = graph[node]
    if n.op.kind is not Kind.VIEW or node in held:
        yield Place(node, index, guards)
        return
    for read in n.op.reads(index, tuple([graph[i].aval for i in n.inputs]), n.params):
        if not any(g.never for g in read.guards):
            yield from places(graph, n.inputs[read.operand], read.index, guards + read.guards, held)


def single_place(graph: Graph, node: int) -> Place:
    """The base of a chain of one-operand views, at the running index of ``node``'s own axes; stops at other views."""
    index: Vector = axes_of(graph[node].aval.shape)
    guards: tuple[Guard, ...] = ()
    while graph[node].op.kind is Kind.VIEW:
        n = graph[node]
        reads = n.op.reads(index, tuple([graph[i].aval for i in n.inputs]), n.params)
        if len(n.inputs) != 1 or len(reads) != 1 or reads[0].guards:
            break
        node, index = n.inputs[0], reads[0].index
    return Place(node, index, guards)


def in_order(graph: Graph, node: int) -> int:
    """The node whose elements a chain of reshapes lists in the order they have; the node itself where it is none."""
    place = single_place(graph, node)
    shape, source = graph[node].aval.shape, graph[place.node].aval
    if source.ndim == 0 or source.size != graph[node].aval.size or place.guards:
        return node
    return place.node if offset_in(graph, place) == flatten_index(axes_of(shape), shape) else node


def squeeze(shape: Shape) -> Shape:
    """The extents that are not 1: an iteration domain."""
    return tuple(n for n in shape if n != 1)


def squeezed_axes(shape: Shape, axes: tuple[int, ...]) -> tuple[int, ...]:
    """Positions that axes of a shape have in its domain; axes of size 1 have none."""
    place = {k: p for p, k in enumerate(k for k, n in enumerate(shape) if n != 1)}
    return tuple(place[k] for k in axes if k in place)


@lru_cache(maxsize=4096)
def own_index(shape: Shape, domain: Shape, dropped: tuple[int, ...] = ()) -> Vector:
    """The running index of a value of ``shape`` over a domain, without the dropped axes."""
    running = iter(axis(k, n) for k, n in enumerate(domain) if k not in dropped)
    return tuple(Index() if n == 1 else next(running) for n in shape)


def is_affine(place: Place) -> bool:
    """Whether a strided access without conditions reaches the place."""
    return not place.guards and all(i.is_affine for i in place.index)


@dataclass(frozen=True, slots=True)
class Axes:
    """The axes over which a part's loops run, after neighbours that every access walks alike were merged.

    ``members[a]`` are the domain axes that loop axis ``a`` stands for, ``extents[a]`` its size. Axes of size 1 vanish. The
    first ``kept`` of them are chunked, the others are reduced.
    """

    members: tuple[tuple[int, ...], ...]
    extents: Shape
    kept: int

    def convert(self, index: Index) -> Index:
        """An index expression over domain axes as one over loop axes."""
        if index.is_affine:
            result = Index((), index.constant)
            for a, (group, extent) in enumerate(zip(self.members, self.extents, strict=True)):
                c = index.coefficient(group[-1])
                if c:
                    result = result + axis(a, extent) * c
            return result
        # the axes of a non-affine expression were never merged
        alone = {group[0]: axis(a, n) for a, (group, n) in enumerate(zip(self.members, self.extents, strict=True))}
        return index.substitute(tuple(alone.get(k, Index()) for k in range(max(index.axes(), default=-1) + 1)))


def merge_axes(shape: Shape, reduced: tuple[int, ...], offsets: Iterable[Index], fixed: frozenset[int]) -> Axes:
    """Merge neighbouring axes that every access walks as one.

    Parameters
    ----------
    shape: the domain.
    reduced: its reduced axes; they merge among themselves only.
    offsets: the flat offsets of all accesses.
    fixed: axes whose own index is needed (guards, running indices, non-affine offsets).
    """
    walked = set(offsets)
    members: list[tuple[int, ...]] = []
    extents: list[int] = []
    for group in ([k for k in range(len(shape)) if k not in reduced], list(reduced)):
        start = len(members)
        for k in (a for a in group if shape[a] != 1):
            previous = members[-1][-1] if len(members) > start else None
            if previous is not None and not {previous, k} & fixed and _walks_as_one(previous, k, shape[k], walked):
                members[-1] = (*members[-1], k)
                extents[-1] *= shape[k]
            else:
                members.append((k,))
                extents.append(shape[k])
    return Axes(tuple(members), tuple(extents), sum(m[0] not in reduced for m in members))


def _walks_as_one(a: int, b: int, extent: int, offsets: set[Index]) -> bool:
    return all(o.coefficient(a) == o.coefficient(b) * extent for o in offsets)


def offset_in(graph: Graph, place: Place) -> Index:
    """The flat offset of a place in the contiguous buffer of its node."""
    return flatten_index(place.index, graph[place.node].aval.shape)
