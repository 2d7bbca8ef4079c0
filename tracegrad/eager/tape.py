"""The record of the dynamic graph: one node per recorded op, and the engine that walks it backward.

A node holds the nodes its operands came from; only the node of a leaf holds a Tensor, which does not hold it. Nothing
points in a circle, and a graph is freed as soon as the last Tensor that leads to it is gone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tracegrad.core.aval import Aval, Shape
from tracegrad.core.op import Kind, Op
from tracegrad.eager.modes import enable_grad, no_grad
from tracegrad.eager.residuals import Plan
from tracegrad.errors import TapeError
from tracegrad.ops.broadcasting import sum_to
from tracegrad.ops.maps import add, cast
from tracegrad.ops.pullback import pull_back

if TYPE_CHECKING:
    import weakref

    from tracegrad.eager.tensor import Tensor

Array = np.ndarray[Any, Any]


class Version:
    """How often a storage was written to; tensors that share storage share it.

    ``viewed`` is set once an op gave out a view of the storage, ``writer`` names what wrote last.
    """

    __slots__ = ("count", "viewed", "writer")

    def __init__(self) -> None:
        self.count = 0
        self.viewed = False
        self.writer = ""


class AccumulateGrad:
    """The end of a path: it adds the cotangent to ``.grad`` of its ``variable``."""

    __slots__ = ("__weakref__", "variable")
    sources: tuple[Node | None, ...] = ()

    def __init__(self, variable: Tensor) -> None:
        self.variable = variable

    @property
    def shape(self) -> Shape:
        """The shape of the variable."""
        return self.variable.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the variable."""
        return self.variable.dtype

    @property
    def next_functions(self) -> tuple[tuple[Node | None, int], ...]:
        """Nothing comes before a leaf."""
        return ()

    def name(self) -> str:
        """The name PyTorch gives it."""
        return "AccumulateGrad"

    def __repr__(self) -> str:
        return "<AccumulateGrad>"


class TapeNode:
    """One recorded op: a Tensor's ``grad_fn``.

    Parameters
    ----------
    op, params: what was applied.
    sources: per operand the node its cotangent goes to, None where no gradient flows.
    plan: what of the operands and the result is kept.
    saved: the kept arrays, each with its version and the count at which it is right, then the kept avals.
    shape, dtype: those of the result.
    """

    __slots__ = ("__weakref__", "dtype", "op", "params", "plan", "retained", "saved", "shape", "sources")

    def __init__(
        self,
        op: Op,
        params: Mapping[str, Any],
        sources: tuple[Node | None, ...],
        plan: Plan,
        saved: tuple[Any, ...] | None,
        shape: Shape,
        dtype: np.dtype[Any],
    ) -> None:
        self.op = op
        self.params = params
        self.sources = sources
        self.plan = plan
        self.saved = saved
        self.shape = shape
        self.dtype = dtype
        self.retained: weakref.ref[Any] | None = None

    @property
    def next_functions(self) -> tuple[tuple[Node | None, int], ...]:
        """The nodes of the operands, each with the number of its result that was used."""
        return tuple((source, 0) for source in self.sources)

    def name(self) -> str:
        """PyTorch's name of this kind of node."""
        name = self.op.torch[1] or f"{self.op.name.title().replace('_', '')}Backward0"
        # PyTorch numbers the overloads: a reduction of everything is number 0, one along axes number 1
        if self.op.kind is Kind.REDUCE and not self.shape and name.endswith("Backward1"):
            return name[:-1] + "0"
        return name

    def __repr__(self) -> str:
        return f"<{self.name()}>"

    def release(self) -> None:
        """Give up the kept values; a node that kept none can be walked again."""
        if self.plan.values or self.plan.out:
            self.saved = None

    def residuals(self) -> tuple[list[Any], Any]:
        """The operands and the result as the rules want them: arrays, avals, or None where nothing is needed.

        Raises TapeError if they were freed or have been written to since.
        """
        if self.saved is None:
            raise TapeError(
                f"Trying to backward through the graph a second time: the values that {self!r} kept were freed by the "
                "first backward",
                fix="call the first one with retain_graph=True, or compute the result again",
            )
        inputs: list[Any] = [None] * len(self.sources)
        entries = iter(self.saved)
        for k in self.plan.values:
            inputs[k] = self._unchanged(next(entries), f"operand {k}")
        out = self._unchanged(next(entries), "the result") if self.plan.out else Aval(self.shape, self.dtype)
        for k in self.plan.shapes:
            inputs[k] = next(entries)
        return inputs, out

    def _unchanged(self, entry: tuple[Array, Version | None, int], what: str) -> Array:
        array, version, count = entry
        if version is not None and version.count != count:
            raise TapeError(
                "one of the variables needed for gradient computation has been modified by an inplace operation: "
                f"{what} of {self!r}, of shape {array.shape}, is at version {version.count}, expected version {count}; "
                f"it was last written by {version.writer}",
                fix="write x = x + y instead of x += y for values that a gradient still needs, or change a copy",
            )
        return array


Node = TapeNode | AccumulateGrad


def order(roots: Sequence[Node]) -> dict[Node, int]:
    """Every node that the roots lead to, with the number of edges that arrive at it."""
    arriving: dict[Node, int] = dict.fromkeys(roots, 0)
    stack = list(arriving)
    while stack:
        for source in stack.pop().sources:
            if source is not None:
                known = arriving.get(source)
                if known is None:
                    stack.append(source)
                arriving[source] = (known or 0) + 1
    return arriving


def leading_to(arriving: Mapping[Node, int], targets: Sequence[Node]) -> set[Node]:
    """The nodes among ``arriving`` from which a target can be reached, targets included."""
    waiting = dict(arriving)
    forward = [node for node, count in waiting.items() if count == 0]
    for node in forward:  # grows while it is walked: the usual topological order
        for source in node.sources:
            if source is not None:
                waiting[source] -= 1
                if waiting[source] == 0:
                    forward.append(source)
    useful = set(targets)
    for node in reversed(forward):
        if any(source in useful for source in node.sources):
            useful.add(node)
    return useful


def run_backward(
    roots: Sequence[Node],
    cotangents: Sequence[Tensor],
    *,
    keep: bool,
    create: bool,
    make: type[Tensor],
    targets: Sequence[Node] | None = None,
) -> dict[Node, Tensor]:
    """Walk the record from the roots to its leaves, each node once, after all that lead to it.

    Parameters
    ----------
    roots: the nodes of the outputs; one may occur twice.
    cotangents: one per root, of its shape and dtype.
    keep: leave the kept values for another backward.
    create: record the backward itself.
    make: the class of tensors.
    targets: stop there, and walk nothing that does not lead there; None means every leaf.

    Returns the cotangents of the targets that were reached, or of the leaves.
    """
    arriving = order(roots)
    useful = None if targets is None else leading_to(arriving, targets)
    ends = frozenset(targets or ())
    held: dict[Node, Any] = {}
    for root, cotangent in zip(roots, cotangents, strict=True):
        g = cotangent if create else cotangent._array
        held[root] = add(held[root], g) if root in held else g
    result: dict[Node, Tensor] = {}
    ready = [node for node, count in arriving.items() if count == 0]
    with enable_grad() if create else no_grad(), np.errstate(all="ignore"):
        while ready:
            node = ready.pop()
            g = held.pop(node, None)
            wanted = g is not None and (useful is None or node in useful)
            if wanted and (isinstance(node, AccumulateGrad) or node in ends):
                result[node] = g if create else make._wrap(g)
            if wanted and isinstance(node, TapeNode) and node.retained is not None:
                _retain(node.retained(), g if create else make._wrap(g))
            parts = _pull(node, g, useful, keep, make if create else None) if wanted else {}
            for k, source in enumerate(node.sources):
                if source is None:
                    continue
                if k in parts:
                    known = held.get(source)
                    held[source] = parts[k] if known is None else add(known, parts[k])
                arriving[source] -= 1
                if arriving[source] == 0:
                    ready.append(source)
    return result


def _retain(tensor: Tensor | None, g: Tensor) -> None:
    if tensor is not None:
        tensor.accumulate(g)


def _pull(node: Node, g: Any, useful: set[Node] | None, keep: bool, make: type[Tensor] | None) -> dict[int, Any]:
    """The cotangents of a node's operands, summed to their shapes, by position."""
    if isinstance(node, AccumulateGrad):
        return {}
    wanted = [k for k in node.plan.active if useful is None or node.sources[k] in useful]
    if not wanted:
        return {}
    inputs, out = node.residuals()
    if make is not None:
        # the rules run on tensors that continue the record of the forward pass
        entries = node.saved or ()
        for at, k in enumerate(node.plan.values):
            inputs[k] = make._wrap(inputs[k], node.sources[k], entries[at][1])
        if node.plan.out:
            out = make._wrap(out, node, entries[len(node.plan.values)][1])
    parts = {}
    for k in wanted:
        part = pull_back(node.op, k, g, out, inputs, node.params)
        source = node.sources[k]
        assert source is not None
        part = sum_to(part, source.shape)
        parts[k] = part if part.dtype == source.dtype else cast(part, dtype=source.dtype)
    if not keep:
        node.release()
    return parts
