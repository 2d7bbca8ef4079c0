"""The rewriter: re-emission of a graph through rules.

One walk emits the nodes that the outputs need, in order, through the hash-consing constructor, and tries the rules at
each emission; what a rule answers is emitted the same way. So simplification, merging of equal nodes and removal of
dead ones are one walk. Walks repeat until one fires no rule; the result of that walk is the graph returned, so
rewriting it again changes nothing. In between, what no local rule sees is done to whole graphs: values with short last
axes are taken apart, those only read transposed are turned, and one element added to each row is a comparison. Before
the first walk, steps on vectors of a few numbers become steps on numbers, and sums of multiples multiples of sums.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tracegrad.core.aval import Aval
from tracegrad.core.graph import Graph, Node
from tracegrad.core.op import Kind, Op
from tracegrad.errors import Frame
from tracegrad.ops.broadcasting import broadcast
from tracegrad.rewrite.pattern import Rule, Stage
from tracegrad.rewrite.rules import STAGES
from tracegrad.rewrite.rules.adjoint import meet_products
from tracegrad.rewrite.rules.apart import take_apart
from tracegrad.rewrite.rules.chosen import compare_columns
from tracegrad.rewrite.rules.embedded import embed_sums
from tracegrad.rewrite.rules.factors import PRODUCTS
from tracegrad.rewrite.rules.numbers import into_numbers
from tracegrad.rewrite.rules.shifted import apply_last
from tracegrad.rewrite.rules.turned import turn
from tracegrad.symbolic import Recorder, Sym

WALKS = 50
"""More walks than graphs need: rules that undo each other, and views that sink very far, are stopped here."""
DEEPEST = 32
"""Rules whose answers are rewritten inside each other in one walk; what lies deeper waits for the next.

A view sinks through a whole chain of maps, and a long one would exhaust Python's stack.
"""


@dataclass(frozen=True, slots=True)
class Fired:
    """One application of a rule: its name and stage, the user's line, and the expressions before and after."""

    stage: str
    rule: str
    where: Frame | None
    before: str
    after: str

    def __str__(self) -> str:
        place = f"   # {self.where.file}:{self.where.line}" if self.where else ""
        return f"{self.stage}: {self.rule}: {self.before} → {self.after}{place}"


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A rewritten graph and the rules that fired, in order."""

    graph: Graph
    log: tuple[Fired, ...]


def rewrite(graph: Graph) -> Graph:
    """The simplified graph: same inputs, same outputs in the same order, a fixpoint of all rules.

    Nodes that a rule makes carry the user's line of the node they replace.
    """
    return rewriting(graph).graph


def rewriting(graph: Graph, stages: Sequence[Stage] = STAGES) -> Rewritten:
    """The simplified graph together with the log of the rules that fired."""
    if any(node.aval.dtype.kind == "c" for node in graph):
        return Rewritten(_without_rules(graph), ())
    index = RuleIndex(stages)
    log: list[Fired] = []
    for name, change in (("numbers", into_numbers), ("constants-last", apply_last)):
        following = change(graph)
        if following is not None:
            log.append(Fired("whole graphs", name, None, f"{len(graph)} nodes", f"{len(following)} nodes"))
            graph = following
    number = 0
    settled = False
    while number < WALKS:
        # a value that is computed in two spellings has its true number of users only after the first walk
        walk = Walk(graph, index, counted=number > 0, settled=settled)
        graph = walk.run()
        settled = not walk.postponed
        if number > 0 and not walk.log:
            changed = _changed(graph)
            if changed is None:
                return Rewritten(graph, tuple(log))
            log.append(Fired("whole graphs", changed[0], None, f"{len(graph)} nodes", f"{len(changed[1])} nodes"))
            graph, settled = changed[1], False
        log.extend(walk.log)
        number += not walk.postponed
    # every walk's answer is right, so a graph on which rules still fire is merely not the smallest
    return Rewritten(graph, tuple(log))


def _without_rules(graph: Graph) -> Graph:
    """What the outputs need of a graph with complex numbers: the rules speak of real ones, and |z|² is not z·z.

    Its planes are rewritten when it has been taken apart.
    """
    walk = Walk(graph, RuleIndex(()), counted=False)
    return walk.run()


def _changed(graph: Graph) -> tuple[str, Graph] | None:
    """What is done to whole graphs on which no rule fires: its name and the new graph, None where nothing applies."""
    for name, change in (
        ("short-last-axes", take_apart),
        ("turned", turn),
        ("chosen-columns", compare_columns),
        ("numbers", into_numbers),
        ("embedded-sums", embed_sums),
        ("known-products", meet_products),
    ):
        following = change(graph)
        if following is not None:
            return name, following
    return None


class RuleIndex:
    """Rules by the op at the root of their pattern and the ops of its operands, in the order of the stages."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self._rules = [(stage.name, rule) for stage in stages for rule in stage.rules]
        self._of: dict[tuple[Op, ...], tuple[tuple[tuple[str, Rule], ...], ...]] = {}

    def of(self, op: Op, operands: list[Op], counting: bool = False) -> tuple[tuple[str, Rule], ...]:
        """The rules that may apply to this op of nodes of those ops: all, or those that ask for numbers of users."""
        key = (op, *operands)
        rules = self._of.get(key)
        if rules is None:
            covering = tuple([(s, r) for s, r in self._rules if r.covers(op, tuple(operands))])
            rules = self._of[key] = (covering, tuple([(s, r) for s, r in covering if r.counts]))
        return rules[counting]


class Walk(Recorder):
    """One walk over a graph: a recorder whose every emission is rewritten.

    Where the graph is ``settled``, a walk has made it: no rule fits a node whose operands are still as they were, but for rules
    that ask how many users a value has, which is only known afterwards.
    """

    def __init__(self, source: Graph, index: RuleIndex, counted: bool, settled: bool = False) -> None:
        super().__init__(Graph(), lambda: self._where)
        self.log: list[Fired] = []
        self.postponed = False
        self._depth = 0
        self._source = source
        self._index = index
        self._counted = counted
        self._settled = settled
        self._where: Frame | None = None
        self._uses: dict[int, int] = {}
        self._whole: set[int] = set()
        self._uniform: dict[int, Any] = {}

    def run(self) -> Graph:
        """Emit what the outputs need, and every input; returns the new graph."""
        source = self._source
        needed = source.ancestors(source.outputs)
        uses = dict.fromkeys(needed, 0)
        whole: set[int] = set()
        for i in needed:
            node = source[i]
            if node.op.kind is Kind.MAP and node.op not in PRODUCTS:
                whole.update(node.inputs)
            for k in node.inputs:
                uses[k] += 1
        for i in source.outputs:
            uses[i] += 1
        new: dict[int, int] = {}
        moved: set[int] = set()  # what is not as it was
        for node in source.live():
            self._where = node.where
            ids = tuple([new[i] for i in node.inputs])
            same = self._settled and moved.isdisjoint(ids)
            fired = len(self.log)
            result = self.emit(node.op, ids, node.params, node.aval, node, counting=same)
            if not same or len(self.log) > fired:
                moved.add(result)
            new[node.id] = result
            self._uses[result] = self._uses.get(result, 0) + uses.get(node.id, 0)
            if node.id in whole:
                self._whole.add(result)
        return self.graph.freeze([new[i] for i in source.outputs], source.primal_outputs)

    def emit(
        self,
        op: Op,
        ids: tuple[int, ...],
        params: Mapping[str, Any],
        aval: Aval | None = None,
        like: Node | None = None,
        counting: bool = False,
    ) -> int:
        """The id of a node that means the same as this application, whose aval is inferred where it is not known.

        ``like`` is the node of the graph that is rewritten. Where it is ``counting``, only rules that count users may fit.
        """
        seen = self.graph
        if like is None and (known := seen.known(op, ids, params)) is not None:
            return known  # what rules make of a step they have made of the one before
        nodes = seen.nodes
        for stage, rule in self._index.of(op, [nodes[i].op for i in ids], counting):
            found = rule.match(self, op, ids, params)
            if found is not None and rule.holds(self, found):
                if self._depth == DEEPEST:
                    self.postponed = True
                    break
                expected = op.infer(*[seen[i].aval for i in ids], **params) if aval is None else aval
                return self._fire(stage, rule, found, expected, (op, ids, params))
        return seen.emit(op, ids, params, self._where, aval, like)

    def _fire(
        self,
        stage: str,
        rule: Rule,
        found: dict[str, Any],
        expected: Aval,
        fitting: tuple[Op, tuple[int, ...], Mapping[str, Any]],
    ) -> int:
        place = len(self.log)
        self._depth += 1
        answer = rule.replace(self, found)
        self._depth -= 1
        result = answer.id if isinstance(answer, Sym) else self._filled(answer, expected)
        if self.graph[result].aval != expected:
            raise AssertionError(f"rule {rule.name} made {self.graph[result]!r} of a {expected}")
        before = self._text(*fitting, 1)
        self.log.insert(place, Fired(stage, rule.name, self._where, before, self._describe(result, 1)))
        return result

    def _filled(self, value: Any, aval: Aval) -> int:
        """A constant of one value throughout."""
        scalar = self.constant(value, aval.dtype)
        return self.emit(broadcast, (scalar,), {"shape": aval.shape}) if aval.shape else scalar

    # -- what patterns ask --------------------------------------------------------------------------------------------

    def uniform(self, node: int) -> Any:
        """The one value of a constant, stretched or not; None for other nodes."""
        if node in self._uniform:
            return self._uniform[node]
        seen = self.graph[node]
        value: Any = None
        if seen.op is broadcast:
            value = self.uniform(seen.inputs[0])
        elif seen.op.kind is Kind.CONSTANT and seen.aval.ndim == 0:
            value = seen.params["value"].number
        self._uniform[node] = value
        return value

    def known(self, node: int) -> bool:
        """Whether a node is a constant, stretched or not."""
        seen = self.graph[node]
        while seen.op is broadcast:
            seen = self.graph[seen.inputs[0]]
        return seen.op.kind is Kind.CONSTANT

    def used_once(self, node: int) -> bool:
        """Whether exactly one node of the graph that is rewritten reads this value.

        Nodes that rules made in this walk have no count yet; the next walk knows them.
        """
        return self._counted and self._uses.get(node, 0) == 1

    def used_whole(self, node: int) -> bool:
        """Whether a map of the graph that is rewritten reads this value that is no product, so that it is computed anyway."""
        return node in self._whole

    # -- the log ------------------------------------------------------------------------------------------------------

    def _describe(self, node: int, depth: int) -> str:
        seen = self.graph[node]
        value = self.uniform(node)
        if value is not None:
            return repr(np.asarray(value).item())
        if depth == 0 or not seen.inputs:
            return f"%{node}" if seen.inputs else f"{seen.op.name}{list(seen.aval.shape)}"
        return self._text(seen.op, seen.inputs, seen.params, depth)

    def _text(self, op: Op, ids: tuple[int, ...], params: Mapping[str, Any], depth: int) -> str:
        inside = [self._describe(i, depth - 1) for i in ids] + [f"{k}={v!r}" for k, v in params.items()]
        return f"{op.name}({', '.join(inside)})"
