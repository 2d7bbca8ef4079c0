"""Fusion: which nodes share a kernel.

Nodes are visited from the outputs back, and each joins the group of the nodes that read it where that is legal, else a
group over the same domain that reads the same values, else a group of its own. Visiting backwards puts a value that only
the backward pass reads into the backward kernel, instead of storing it in the forward one.

A group may hold a node only if

- its iteration domain fits: full-level, row-level (the reduced axes dropped), a column (the other axes dropped) or a total;
- every reader within the group reads it at the very element being computed;
- no value inside the loops needs a total of the same loops;
- no path leaves the group and comes back (groups are convex);
- all its nodes belong to one phase of the program, where there are phases: what is computed again to save memory must not
  be computed early.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tracegrad.core.aval import Shape
from tracegrad.core.expr import axes_of
from tracegrad.core.graph import Graph, Node
from tracegrad.core.op import Kind
from tracegrad.schedule.cost import RECOMPUTE_LIMIT, RECOMPUTE_NS, SCALAR_LIMIT, node_ns
from tracegrad.schedule.dissolve import dissolved_maps
from tracegrad.schedule.domain import (
    Place,
    Vector,
    in_order,
    is_affine,
    offset_in,
    own_index,
    places,
    single_place,
    squeeze,
    squeezed_axes,
)
from tracegrad.schedule.program import Level, Unfused

COMPUTED = (Kind.MAP, Kind.REDUCE)
TEMPLATES = (Kind.CONTRACT, Kind.INDEX, Kind.LINE, Kind.MATRIX, Kind.OPAQUE)
LEAVES = (Kind.INPUT, Kind.CONSTANT, Kind.IOTA, *TEMPLATES)
"""Kinds that are in a buffer, or need none, whatever is fused."""
SHORT_STRIDE = 4
"""Strides up to this one are those of coordinates; they stand in the text of kernels."""
WHOLE_LIMIT = 900
"""Nodes of a graph that may be one group.

The gradient of 100 maps compiles in 1.2 s as one kernel, runs in 22 ms and keeps nothing; cut at 300 nodes it took 1.4 s,
23 ms and 80 arrays. At 1,000 nodes, in both versions of gradients, one kernel compiles in 7.6 s where pieces of 300 nodes take
4.6 and those of 500 7.9, at 2,000 in 19 s where pieces take 10.8.
"""
GROUP_LIMIT = 300
"""Nodes of one group of a larger graph: the time to compile grows faster than the kernel beyond it."""
NEAREST = 128
"""Other groups over the same domain that a node may join: looking at all of them takes a time quadratic in the graph."""


@dataclass(eq=False)
class Group:
    """Nodes that will share a kernel; ``template`` is set for a contraction or indexing node, which stands alone."""

    number: int
    shape: Shape
    axes: tuple[int, ...] = ()
    levels: dict[int, Level] = field(default_factory=dict)
    template: int | None = None
    phase: int = 0
    touched: int = 0
    """Bit set of the nodes it computes or reads."""
    after: int = 0
    """Bit set of the groups that must run after it."""
    preceded: bool = False
    """Whether a group must run before it."""
    above: int = 0
    """Bit set of the nodes it computes and of all that they are made of."""
    before: int = 0
    """Bit set of the groups that must run before it, known when all groups are formed."""


class Fusion:
    """The state of one scheduling run; ``groups`` is its result."""

    def __init__(self, graph: Graph, results: tuple[int, ...], phases: tuple[int, ...] = ()) -> None:
        self.graph = graph
        self.phases = phases
        self.needed = graph.ancestors(results)
        self.limit = GROUP_LIMIT if len(self.needed) > WHOLE_LIMIT else WHOLE_LIMIT
        self.floating = floating_maps(graph) | dissolved_maps(graph)
        self.rows_above = reductions_above(graph)
        self.groups: list[Group] = []
        self.group_of: dict[int, Group] = {}
        self.readers: dict[int, list[tuple[Group, int, Place]]] = defaultdict(list)
        self.unfused: list[Unfused] = []
        self.copied = copied_views(graph) & self.needed
        self.direct_outputs = set(results) | self.copied
        self.above = self._ancestor_bits()
        self.behind = self._behind_templates()
        self.edges: list[tuple[Group, Group]] = []
        self._read_at: dict[tuple[int, Shape, tuple[int, ...]], list[Place]] = {}
        self._expanded: dict[tuple[int, Vector, frozenset[int]], tuple[Place, ...]] = {}
        self.computed_over: dict[Shape, int] = defaultdict(int)
        """Bit sets of the computed nodes by domain."""
        for node in graph:
            if node.op.kind in COMPUTED:
                self.computed_over[self._domain(node)] |= 1 << node.id

    def _ancestor_bits(self) -> list[int]:
        bits: list[int] = []
        for node in self.graph:
            own = 0 if node.aval.ndim == 0 and node.op.kind is Kind.CONSTANT else 1 << node.id
            for i in node.inputs:
                own |= bits[i]
            bits.append(own)
        return bits

    def _behind_templates(self) -> list[int]:
        """For each node, bit sets of what a template among its ancestors is made of."""
        behind: list[int] = []
        for node in self.graph:
            found = 0
            for i in node.inputs:
                found |= self.above[i] if self.graph[i].op.kind in TEMPLATES else behind[i]
            behind.append(found)
        return behind

    def run(self) -> list[Group]:
        """Form all groups, scalar ones absorbed, in an order in which they can run."""
        for node in reversed(list(self.graph)):
            if node.id not in self.needed:
                continue
            is_output = node.id in self.direct_outputs
            if node.op.kind in TEMPLATES:
                self._template(node)
            elif node.id in self.floating:
                if is_output:
                    self._place(node)
            elif node.op.kind in COMPUTED or is_output:
                self._place(node)
        self._find_before()
        self._absorb_scalars()
        return self._ordered()

    # -- reading ---------------------------------------------------------------------------------------------------

    def reads_of(self, node: Node, level: Level, group: Group) -> Sequence[Place]:
        """Everything a node reads, through views and recomputed maps, at the element it computes."""
        dropped = group.axes if level is Level.ROW or node.op.kind is Kind.REDUCE else ()
        known = self._read_at.get((node.id, group.shape, dropped))
        if known is None:  # each is asked for when its group is found, and again when the group's loops are
            known = self._read_at[node.id, group.shape, dropped] = self._reads(node, group.shape, dropped)
        return known

    def _reads(self, node: Node, domain: Shape, dropped: Shape) -> list[Place]:
        if node.op.kind is Kind.REDUCE:
            operand = self.graph[node.inputs[0]].aval.shape
            dropped = () if squeeze(operand) == domain else dropped
            return list(self._expand(node.inputs[0], own_index(operand, domain, dropped)))
        own = own_index(node.aval.shape, domain, dropped)
        if node.op.kind is Kind.MAP:
            return [p for i in node.inputs for p in self._expand(i, own)]
        return list(self._expand(node.id, own, self.copied - {node.id})) if node.op.kind is Kind.VIEW else []

    def _expand(self, node: int, index: Vector, held: frozenset[int] | None = None) -> tuple[Place, ...]:
        held = self.copied if held is None else held
        known = self._expanded.get((node, index, held))
        if known is not None:  # without it, recomputed maps that read each other twice double the work at every step
            return known
        found: list[Place] = []
        for place in places(self.graph, node, index, held=held):
            base = self.graph[place.node]
            if place.node in self.floating:
                for i in base.inputs:
                    found.extend(Place(p.node, p.index, p.guards + place.guards) for p in self._expand(i, place.index))
            elif base.op.kind is not Kind.IOTA and (base.op.kind is not Kind.CONSTANT or base.aval.ndim):
                found.append(place)
        result = self._expanded[(node, index, held)] = tuple(dict.fromkeys(found))
        return result

    # -- placing ---------------------------------------------------------------------------------------------------

    def _template(self, node: Node) -> None:
        group = self._new(squeeze(node.aval.shape), node)
        group.template = node.id
        self._enter(node, group)
        for i in node.inputs:
            base = single_place(self.graph, i)
            if node.op.kind is not Kind.CONTRACT or not is_affine(base) or self.graph[base.node].aval.ndim == 0:
                i = in_order(self.graph, i) if node.op.kind in (Kind.INDEX, Kind.LINE, Kind.MATRIX) else i
                base = Place(i, axes_of(self.graph[i].aval.shape), ())
            held = (*COMPUTED, *TEMPLATES, Kind.INPUT, Kind.CONSTANT)
            if base.node in self.floating or self.graph[base.node].op.kind not in held:
                # no buffer holds it: it is computed into one of its own
                self.direct_outputs.add(base.node)
            self._read(group, node.id, base)

    def _place(self, node: Node) -> None:
        readers = self.readers[node.id]
        reasons: dict[Group, str] = {}
        for group in self._candidates(node, readers):
            level = self._fit(node, group)
            reads: list[Place] = []
            reason = level if isinstance(level, str) else self._illegal(node, level, group, readers, reads)
            if reason is None and isinstance(level, Level):
                self._join(node, level, group, reads)
                break
            reasons[group] = str(reason)
        else:
            group = self._new(self._domain(node), node)
            level = self._fit(node, group)
            assert isinstance(level, Level)
            self._join(node, level, group)
        for reader_group, reader, _ in readers:
            if reader_group is not self.group_of[node.id]:
                why = reasons.get(reader_group, "its other readers run in an earlier kernel")
                self.unfused.append(Unfused(node.id, reader, why))

    def _domain(self, node: Node) -> Shape:
        return squeeze(self.graph[node.inputs[0]].aval.shape if node.op.kind is Kind.REDUCE else node.aval.shape)

    def _dropped(self, node: Node, level: Level, group: Group) -> tuple[int, ...]:
        """The group's reduced axes once the node has joined it."""
        if level is not Level.ROW:
            return group.axes
        if node.op.kind is Kind.REDUCE:
            return squeezed_axes(self.graph[node.inputs[0]].aval.shape, node.params["axes"])
        if group.axes:
            return group.axes
        return self._row_axes(node, group)

    def _candidates(self, node: Node, readers: list[tuple[Group, int, Place]]) -> Iterator[Group]:
        """The groups of its readers, then others that read what it reads; most nodes join one of the former."""
        near = list(dict.fromkeys(g for g, _, _ in reversed(readers)))
        yield from near
        domain = self._domain(node)
        mine = self.above[node.id] & ~(1 << node.id)
        shared = mine & self.computed_over[domain]
        behind = self.behind[node.id]
        later = 0  # groups that run after a reader: in none of them could it be computed in time
        for group in near:
            later |= group.after
        for group in self.groups[: -1 - NEAREST : -1]:
            if later >> group.number & 1:
                continue
            # the shapes first: the sets of nodes are as long as the graph
            if group.template is not None or (domain != group.shape and domain != _kept(group)) or group in near:
                continue
            if not (domain == group.shape == () or mine & group.touched or shared & group.above):
                continue
            if behind & group.touched and behind & group.touched & self.computed_over[group.shape]:
                continue  # what the group reads could then not be computed in it: a template would need it earlier
            yield group

    def _fit(self, node: Node, group: Group) -> Level | str:
        """The level at which a node's domain fits a group's, or why it does not; may not be legal yet."""
        if group.template is not None:
            return f"{self.graph[group.template].op.name} is a kernel of its own"
        if group.phase != self._phase(node):
            return "it is computed again later, or belongs to another part of the program, to save memory"
        if len(group.levels) >= self.limit:
            return f"the kernel already holds {self.limit} nodes"
        shape = squeeze(node.aval.shape)
        kept = _kept(group)
        if node.op.kind is Kind.REDUCE:
            operand = self.graph[node.inputs[0]].aval.shape
            axes = squeezed_axes(operand, node.params["axes"])
            domain = squeeze(operand)
            if not axes:
                return Level.FULL if domain == group.shape else f"it iterates over {domain}, the kernel over {group.shape}"
            if len(axes) == len(domain):
                if domain == group.shape or (group.axes and domain == kept):
                    return Level.TOTAL
            elif domain == group.shape and (group.axes in ((), axes) or self._turns(group, axes)):
                return Level.ROW
            elif domain == group.shape and _crosses(group.shape, group.axes, axes):
                return Level.COLUMN
            elif domain == group.shape:
                return f"it reduces axes {axes}, the kernel axes {group.axes}"
            return f"it reduces over {domain}, the kernel iterates over {group.shape}"
        if shape == group.shape:
            for domain, axes in sorted(self.rows_above[node.id]):
                fits = axes == group.axes or not group.axes or self._turns(group, axes)
                if domain == shape and 0 < len(axes) < len(domain) and not fits:
                    return f"it is made of reductions over axes {axes}, the kernel reduces axes {group.axes}"
            return Level.FULL
        if group.axes and shape == kept:
            return Level.ROW
        if not group.axes and self._row_axes(node, group):
            return Level.ROW
        return f"it iterates over {shape}, the kernel over {group.shape}"

    def _turns(self, group: Group, axes: tuple[int, ...]) -> bool:
        """Whether a group that only sums columns may reduce these axes, the rows', instead: its sums are columns then."""
        if not _crosses(group.shape, axes, group.axes):
            return False
        for n, level in group.levels.items():
            whole = self.graph[n].op.kind is Kind.REDUCE and self._domain(self.graph[n]) == group.shape
            if level is not Level.FULL and not whole:
                return False
            if level is Level.ROW and any(reader is group for reader, _, _ in self.readers[n]):
                return False
        return True

    def _row_axes(self, node: Node, group: Group) -> tuple[int, ...]:
        """The axes that a group without reductions would drop for this node, a map of reductions over the group's domain."""
        shape = squeeze(node.aval.shape)
        for domain, axes in sorted(self.rows_above[node.id]):
            kept = tuple(n for k, n in enumerate(domain) if k not in axes)
            if domain == group.shape and 0 < len(axes) < len(domain) and shape == kept:
                return axes
        return ()

    def _illegal(
        self, node: Node, level: Level, group: Group, readers: list[tuple[Group, int, Place]], reads: list[Place]
    ) -> str | None:
        """Why a node may not join a group at a level, None where it may; ``reads`` gets what it would read there."""
        axes = self._dropped(node, level, group)
        own = own_index(node.aval.shape, group.shape, axes if level is Level.ROW else ())
        for reader_group, reader, place in readers:
            if reader_group is not group:
                if reader_group.after >> group.number & 1:
                    return f"a kernel between them needs it first (kernel of %{reader})"
            elif level in (Level.TOTAL, Level.COLUMN):
                return "it is a total that must be complete before the loop that reads it"
            elif place.guards or place.index != own:
                return "it is read at other elements than the one being computed"
        if level not in (Level.TOTAL, Level.COLUMN):
            reads += self.reads_of(node, level, Group(-1, group.shape, axes))
            for place in reads:
                other = self.group_of.get(place.node)
                if other is group and group.levels[place.node] in (Level.TOTAL, Level.COLUMN):
                    return "it needs a total of the kernel's own loop"
        return None

    def _join(self, node: Node, level: Level, group: Group, reads: list[Place] | None = None) -> None:
        axes = self._dropped(node, level, group)
        if group.axes and axes != group.axes:
            group.levels = {n: Level.COLUMN if lv is Level.ROW else lv for n, lv in group.levels.items()}
        group.axes = axes
        group.levels[node.id] = level
        self._enter(node, group)
        for place in reads or self.reads_of(node, level, group):
            self._read(group, node.id, place)

    def _enter(self, node: Node, group: Group) -> None:
        self.group_of[node.id] = group
        group.touched |= 1 << node.id
        group.above |= self.above[node.id]
        for reader_group, _, _ in self.readers[node.id]:
            if reader_group is not group:
                self._order(group, reader_group)

    def _read(self, group: Group, reader: int, place: Place) -> None:
        self.readers[place.node].append((group, reader, place))
        group.touched |= 1 << place.node

    def _phase(self, node: Node) -> int:
        return bisect_right(self.phases, node.id)

    def _new(self, shape: Shape, node: Node) -> Group:
        group = Group(len(self.groups), shape, phase=self._phase(node))
        self.groups.append(group)
        return group

    def _order(self, first: Group, second: Group) -> None:
        self.edges.append((first, second))
        gained = second.after | 1 << second.number
        if first.after | gained == first.after:
            return
        first.after |= gained
        second.preceded = True
        for group in self.groups if first.preceded else ():
            if group.after >> first.number & 1:
                group.after |= gained

    # -- after growing ---------------------------------------------------------------------------------------------

    def _find_before(self) -> None:
        """Turn the sets of later groups into sets of earlier ones."""
        direct: dict[int, set[int]] = defaultdict(set)
        for first, second in self.edges:
            direct[second.number].add(first.number)
        # what runs before a group has more groups after it
        for group in sorted(self.groups, key=lambda g: -g.after.bit_count()):
            for first_number in direct[group.number]:
                group.before |= self.groups[first_number].before | 1 << first_number

    def _absorb_scalars(self) -> None:
        """Let 0-d maps of totals be computed where the totals are combined."""
        for scalars in [g for g in self.groups if g.shape == () and g.template is None]:
            sources = {
                self.group_of[p.node].number
                for n in scalars.levels
                for p in self.reads_of(self.graph[n], Level.FULL, scalars)
                if p.node in self.group_of
            } - {scalars.number}
            for host in (self.groups[k] for k in sorted(sources, reverse=True)):
                if host.template is None and host.shape != () and self._can_absorb(host, scalars):
                    self._absorb(host, scalars)
                    break

    def _can_absorb(self, host: Group, scalars: Group) -> bool:
        if host.phase != scalars.phase:
            return False
        for n in scalars.levels:
            for place in self.reads_of(self.graph[n], Level.FULL, scalars):
                # single elements of what the loops compute would have to be read back from a buffer
                if host.levels.get(place.node, Level.TOTAL) is not Level.TOTAL:
                    return False
        between = [g for g in self.groups if g.before >> host.number & 1 and scalars.before >> g.number & 1]
        return not between and not host.before >> scalars.number & 1

    def _absorb(self, host: Group, scalars: Group) -> None:
        for n in scalars.levels:
            host.levels[n] = Level.FINISH
            self.group_of[n] = host
        host.touched |= scalars.touched
        host.above |= scalars.above
        scalars.levels = {}
        gained = scalars.before & ~(1 << host.number)
        for group in self.groups:
            if group.before >> scalars.number & 1:
                group.before |= 1 << host.number
            if group is host or group.before >> host.number & 1:
                group.before |= gained & ~(1 << group.number)

    def _ordered(self) -> list[Group]:
        live = [g for g in self.groups if g.levels or g.template is not None]
        done = 0
        mask = sum(1 << g.number for g in live)
        result: list[Group] = []
        pending = sorted(live, key=lambda g: max(g.levels, default=g.template or 0))
        while pending:
            ready = next(g for g in pending if g.before & mask & ~done == 0)
            pending.remove(ready)
            done |= 1 << ready.number
            result.append(ready)
        return result


def _kept(group: Group) -> Shape:
    """The shape of a group's domain without the axes that it reduces."""
    return tuple([n for k, n in enumerate(group.shape) if k not in group.axes]) if group.axes else group.shape


def _crosses(shape: Shape, axes: tuple[int, ...], others: tuple[int, ...]) -> bool:
    """Whether rows run along the last axis, and ``others`` are all the axes that rows do not reduce."""
    return bool(axes) and len(shape) - 1 in axes and sorted((*axes, *others)) == list(range(len(shape)))


def floating_maps(graph: Graph) -> frozenset[int]:
    """Maps that kernels recompute instead of reading them from a buffer.

    These are 0-d maps of few other 0-d values, and cheap maps of values that are in a buffer anyway.
    """
    below: dict[int, frozenset[int]] = {}
    for node in graph:
        if node.op.kind is not Kind.MAP:
            continue
        closure = {node.id}
        cheap = node.aval.ndim == 0 or node_ns(node) <= RECOMPUTE_NS / 4
        for i in node.inputs:
            while graph[i].op.kind is Kind.VIEW and len(graph[i].inputs) == 1 and i not in below:
                source = graph[i].inputs[0]
                if node.aval.ndim == 0 and graph[source].aval.ndim:
                    break
                i = source
            known = below.get(i)
            closure |= known or frozenset()
            cheap = cheap and (node.aval.ndim == 0 or known is not None or graph[i].op.kind in LEAVES)
        if cheap and len(closure) <= (SCALAR_LIMIT if node.aval.ndim == 0 else RECOMPUTE_LIMIT):
            below[node.id] = frozenset(closure)
    return frozenset(below)


def copied_views(graph: Graph) -> frozenset[int]:
    """Views with a short stride that are stretched over another axis: a copy of the few elements is loaded as vectors.

    Pairs of 500 points take 700 µs where each row of pairs picks one coordinate in three, 400 with the coordinates apart.
    """
    copied: set[int] = set()
    for node in graph:
        if node.op.kind is not Kind.VIEW or len(node.inputs) != 1 or graph[node.inputs[0]].op.kind is not Kind.VIEW:
            continue
        view = graph[node.inputs[0]]
        shape = view.aval.shape
        if not shape or shape[-1] == 1 or len(squeeze(node.aval.shape)) <= len(squeeze(shape)):
            continue
        base = single_place(graph, view.id)
        source = graph[base.node]
        if not is_affine(base) or source.op.kind is Kind.VIEW or not source.aval.ndim:
            continue
        if 2 <= offset_in(graph, base).coefficient(len(shape) - 1) <= SHORT_STRIDE:
            copied.add(view.id)
    return frozenset(copied)


def reductions_above(graph: Graph) -> list[frozenset[tuple[Shape, tuple[int, ...]]]]:
    """For each node the domains and axes of the reductions it is made of, through maps and views."""
    above: list[frozenset[tuple[Shape, tuple[int, ...]]]] = []
    for node in graph:
        own: frozenset[tuple[Shape, tuple[int, ...]]] = frozenset()
        if node.op.kind in (Kind.MAP, Kind.VIEW, Kind.REDUCE):
            for i in node.inputs:
                if above[i] is not own:  # mostly all are: to unite equal sets took a fifth of the time of a schedule
                    own = own | above[i] if own else above[i]
        if node.op.kind is Kind.REDUCE:
            operand = graph[node.inputs[0]].aval.shape
            own |= {(squeeze(operand), squeezed_axes(operand, node.params["axes"]))}
        above.append(own)
    return above
