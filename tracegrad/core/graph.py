"""The static graph: one append-only, hash-consed store of nodes, which is a networkx DiGraph to whoever asks for it.

The compiler walks ids, which are in order already; networkx is imported where its algorithms or its DiGraph are wanted, as that
takes a quarter of the time of importing tracegrad, and filling one took a tenth of the time of the passes.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tracegrad.core.aval import Aval
from tracegrad.core.counted import counted
from tracegrad.core.draw import Box, svg
from tracegrad.core.op import Kind, Op
from tracegrad.errors import Frame

if TYPE_CHECKING:
    from networkx import DiGraph


@dataclass(frozen=True, slots=True, eq=False)
class Constant:
    """An array or scalar held by a graph, compared by its bits (so -0.0 is not 0.0 and NaN equals itself).

    ``seen`` is what a scalar would be if an axis that it counts were longer (``core.counted``); None for other values.
    """

    value: np.ndarray[Any, Any]
    seen: np.ndarray[Any, Any] | None = None

    @property
    def number(self) -> Any:
        """The value as NumPy's functions return it; a scalar that counts is a ``Counted``."""
        return self.value[()] if self.seen is None else counted(self.value[()], self.seen[()])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Constant) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[Any, ...]:
        seen = None if self.seen is None else self.seen.tobytes()
        return self.value.shape, self.value.dtype.str, self.value.tobytes(), seen

    def __repr__(self) -> str:
        if self.value.ndim == 0:
            return repr(self.value[()].item())
        return f"array{list(self.value.shape)}"


@dataclass(frozen=True, slots=True)
class Node:
    """One value of a graph.

    ``inputs`` lists the operands in order (``x * x`` names one id twice); ``where`` is the user's line that made it.
    """

    id: int
    op: Op
    inputs: tuple[int, ...]
    params: Mapping[str, Any]
    aval: Aval
    where: Frame | None

    @property
    def outside(self) -> Aval:
        """What callers of a program have in the place of this value: pairs of reals may be complex numbers there."""
        whole = self.params.get("whole")
        return self.aval if whole is None else Aval(self.aval.shape[:-1], whole)

    def __repr__(self) -> str:
        operands = ", ".join([f"%{i}" for i in self.inputs] + [f"{k}={v!r}" for k, v in self.params.items() if k != "aval"])
        return f"%{self.id}: {self.aval} = {self.op.name}({operands})"


def _key(op: Op, inputs: tuple[int, ...], params: Mapping[str, Any]) -> tuple[Any, ...]:
    """What equal nodes have in common."""
    return (op.name, inputs, tuple(sorted(params.items()))) if params else (op.name, inputs)


class Graph:
    """A directed acyclic graph of nodes whose ids are a topological order.

    ``emit`` is the only mutator and merges equal nodes, so equality of values is equality of ids. ``freeze`` sets the
    outputs and closes it.

    Parameters
    ----------
    base: a graph whose nodes this one starts with, ids kept.

    ``nx`` is the networkx DiGraph of ids whose attribute ``node`` is the Node; iterating gives the nodes, an id in brackets
    one of them, ``print`` all with the user's lines.

    >>> import tracegrad as tg
    >>> graph = tg.jit(lambda x: x * x + x, compile="never").graph(2.0)
    >>> [node.op.name for node in graph]
    ['input', 'multiply', 'add']
    >>> graph[1]
    %1: float64[] = multiply(%0, %0)
    >>> sorted(graph.nx.edges), graph.outputs
    ([(0, 1), (0, 2), (1, 2)], (2,))
    """

    def __init__(self, base: Graph | None = None) -> None:
        self._nodes: list[Node] = [] if base is None else list(base._nodes)
        self._known: dict[Any, int] = {} if base is None else dict(base._known)
        self.outputs: tuple[int, ...] = ()
        self.primal_outputs = 0
        """How many of the outputs are values; those behind them are cotangents."""
        self._frozen = False
        self._shown: frozenset[int] | None = None
        self._outside: frozenset[int] = frozenset()
        """Nodes that are shown without their operands."""
        self._nx: DiGraph[int] | None = None
        self._needed: frozenset[int] | None = None
        """What the outputs are computed from, once it was asked for."""
        self._readers: dict[int, list[Node]] | None = None

    @property
    def nx(self) -> DiGraph[int]:
        """The nodes and edges as a networkx DiGraph: ids, each with its Node as the attribute ``node``."""
        if self._nx is None:
            self._nx = importlib.import_module("networkx").DiGraph()
        if len(self._nx) < len(self):
            for node in self:
                self._nx.add_node(node.id, node=node)
                if node.id not in self._outside:
                    self._nx.add_edges_from((i, node.id) for i in node.inputs)
        return self._nx

    def emit(
        self,
        op: Op,
        inputs: tuple[int, ...],
        params: Mapping[str, Any] | None = None,
        where: Frame | None = None,
        aval: Aval | None = None,
        like: Node | None = None,
    ) -> int:
        """The id of the node that applies ``op``: an equal one that exists already, or a new one.

        Parameters
        ----------
        op, inputs, params: what to apply to which nodes; the operands' dtypes are equal, and for a MAP their shapes.
        where: the user's line, kept with a new node.
        aval: what ``op.infer`` says, where it is known: to infer it took a fifth of the time of rewriting.
        like: a node with these op, params and line, which serves where it has this id, these operands and this aval, too.

        Raises what ``op.infer`` raises, and RuntimeError on a frozen graph.
        """
        params = params or {}
        key = _key(op, inputs, params)
        known = self._known.get(key)
        if known is not None:
            return known
        if self._frozen:
            raise RuntimeError("a frozen graph was changed: build a new one with Graph(base)")
        nodes = self._nodes
        new = len(nodes)
        if aval is None:
            aval = op.infer(*[nodes[i].aval for i in inputs], **params)
        if like is None or like.id != new or like.inputs != inputs or like.aval is not aval:
            like = Node(new, op, inputs, params, aval, where)
        nodes.append(like)
        self._known[key] = new
        return new

    def known(self, op: Op, inputs: tuple[int, ...], params: Mapping[str, Any]) -> int | None:
        """The id of the node that applies ``op`` to these operands, None where there is none."""
        return self._known.get(_key(op, inputs, params))

    def again(self, source: Graph, node: Node, inputs: tuple[int, ...]) -> int:
        """The id of the application of another graph's node to these operands, with the line it has there.

        Parameters
        ----------
        source: the graph of the node.
        node: what is applied.
        inputs: the operands in this graph, one for each of the node's. Where they are what they are there, so is the result,
            and nothing is inferred; a node that gets the same id is not made twice.

        Raises what ``emit`` raises.
        """
        nodes, before = self._nodes, source._nodes
        aval: Aval | None = node.aval
        for i, k in zip(inputs, node.inputs, strict=True):
            if nodes[i].aval is not before[k].aval:
                aval = None
        return self.emit(node.op, inputs, node.params, node.where, aval, node)

    def with_nodes(self, nodes: Sequence[Node]) -> Graph:
        """A frozen graph of other nodes with the same ids, operands and outputs."""
        result = Graph()
        result._nodes = list(nodes)
        result._known = {_key(n.op, n.inputs, n.params): n.id for n in nodes}
        return result.freeze(self.outputs, self.primal_outputs)

    def freeze(self, outputs: Sequence[int], primal_outputs: int | None = None) -> Graph:
        """Set the outputs and close the graph; returns it.

        Parameters
        ----------
        outputs: ids of the results, in order.
        primal_outputs: how many of them are values; the others are cotangents. All by default.
        """
        self.outputs = tuple(outputs)
        self.primal_outputs = len(self.outputs) if primal_outputs is None else primal_outputs
        self._frozen = True
        return self

    @property
    def nodes(self) -> Sequence[Node]:
        """All nodes, each at its id; it grows with the graph. Quicker than brackets, for loops over many."""
        return self._nodes

    def __getitem__(self, node: int) -> Node:
        return self._nodes[node]

    def __iter__(self) -> Iterator[Node]:
        if self._shown is not None:
            return (n for n in self._nodes if n.id in self._shown)
        return iter(self._nodes)

    def __len__(self) -> int:
        return len(self._nodes if self._shown is None else self._shown)

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The input nodes by position."""
        found = [n for n in self if n.op.kind is Kind.INPUT]
        return tuple(sorted(found, key=lambda n: n.params["position"]))

    def ancestors(self, ids: Iterable[int]) -> set[int]:
        """The given nodes and everything they are computed from."""
        ids = tuple(ids)
        if self._frozen and ids == self.outputs:
            if self._needed is None:
                self._needed = frozenset(self._above(ids))
            return set(self._needed)
        return self._above(ids)

    def _above(self, ids: Iterable[int]) -> set[int]:
        seen = set(ids)
        stack = list(seen)
        nodes = self._nodes
        while stack:
            for i in nodes[stack.pop()].inputs:
                if i not in seen:
                    seen.add(i)
                    stack.append(i)
        return seen

    def live(self) -> Iterator[Node]:
        """The inputs and what the outputs need, in order."""
        needed = self.ancestors(self.outputs)
        return (n for n in self._nodes if n.id in needed or n.op.kind is Kind.INPUT)

    def readers(self) -> dict[int, list[Node]]:
        """For each live node the live nodes that read it, in order; not to be changed."""
        if self._readers is not None:
            return self._readers
        result: dict[int, list[Node]] = {}
        for node in self.live():
            result[node.id] = []
            inputs = node.inputs
            for i in inputs if len(inputs) < 2 else dict.fromkeys(inputs):
                result[i].append(node)
        if self._frozen:
            self._readers = result
        return result

    @property
    def forward(self) -> Graph:
        """The values alone, without what only cotangents need."""
        return self._half(self.outputs[: self.primal_outputs], frozenset())

    @property
    def backward(self) -> Graph:
        """What only the cotangents need; values of the forward half appear without their operands."""
        values = frozenset(self.ancestors(self.outputs[: self.primal_outputs]))
        return self._half(self.outputs[self.primal_outputs :], values)

    def _half(self, outputs: tuple[int, ...], outside: frozenset[int]) -> Graph:
        """A view on some outputs: the same nodes with the same ids, in a DiGraph without the rest."""
        wanted: set[int] = set()
        stack = list(outputs)
        while stack:
            i = stack.pop()
            if i not in wanted:
                wanted.add(i)
                stack.extend(() if i in outside else self._nodes[i].inputs)
        half = Graph()
        half._nodes = self._nodes
        half._shown, half._outside = frozenset(wanted), outside
        return half.freeze(outputs)

    def svg(self, path: str | os.PathLike[str] | None = None, title: str = "") -> str:
        """The drawing of the graph as SVG text, also written to ``path`` where it is given.

        Nodes that only cotangents need are marked as the backward half.

        Parameters
        ----------
        path: the file to write; OSError where it cannot be written.
        title: stands above the drawing.

        >>> import tracegrad as tg
        >>> tg.jit(lambda x: x * x, compile="never").graph(2.0).svg()[:4]
        '<svg'
        """
        text = svg(*self._drawing(), title=title)
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text

    def _drawing(self) -> tuple[list[Box], list[tuple[int, int]]]:
        shown = [n for n in self if n.id in self.ancestors(self.outputs) or n.op.kind is Kind.INPUT]
        values = self.ancestors(self.outputs[: self.primal_outputs])
        boxes = []
        for n in shown:
            role = n.op.kind.value
            if n.id in self.outputs:
                role = "output"
            elif n.id not in values and self.primal_outputs < len(self.outputs) and n.op.kind is not Kind.INPUT:
                role = "backward"
            what = repr(n.params["value"]) if n.op.kind is Kind.CONSTANT else n.params.get("name") or n.op.name
            boxes.append(Box(n.id, f"{what}\n{n.aval}", role, f"{n!r}" + (f"\n{n.where}" if n.where else "")))
        kept = {n.id for n in shown}
        edges = [(i, n.id) for n in self if n.id not in self._outside for i in dict.fromkeys(n.inputs)]
        return boxes, [(a, b) for a, b in edges if a in kept and b in kept]

    def _repr_svg_(self) -> str:
        return self.svg()

    def __str__(self) -> str:
        lines = []
        for node in self:
            place = f"   # {node.where.file}:{node.where.line}" if node.where else ""
            lines.append(f"{node!r}{place}")
        values = ", ".join(f"%{i}" for i in self.outputs[: self.primal_outputs])
        cotangents = ", ".join(f"%{i}" for i in self.outputs[self.primal_outputs :])
        lines.append(f"return {values}" + (f"; cotangents {cotangents}" if cotangents else ""))
        return "\n".join(lines)
