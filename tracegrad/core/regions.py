"""Regions of a graph: maps that belong together since they run over the same elements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from tracegrad.core.graph import Graph, Node
from tracegrad.core.op import Kind

__all__ = ["computed_within", "connected_maps"]


def connected_maps(graph: Graph, node: int, readers: Mapping[int, Sequence[Node]]) -> set[int]:
    """The maps of one shape that a map is connected with, as what they read or as what reads them."""
    shape = graph[node].aval.shape
    seen: set[int] = set()
    stack = [node]
    while stack:
        n = stack.pop()
        if n not in seen and graph[n].op.kind is Kind.MAP and graph[n].aval.shape == shape:
            seen.add(n)
            stack += [*graph[n].inputs, *(reader.id for reader in readers[n])]
    return seen


def computed_within(graph: Graph, node: int, region: AbstractSet[int]) -> set[int]:
    """The nodes of a region that a node of it is computed from, through nodes of the region only; it is one of them."""
    seen: set[int] = set()
    stack = [node]
    while stack:
        n = stack.pop()
        if n in region and n not in seen:
            seen.add(n)
            stack.extend(graph[n].inputs)
    return seen
