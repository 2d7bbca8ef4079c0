"""The walk over the record from its roots to its leaves, each node once, after all that lead to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tracegrad.eager.anomaly import check_cotangents, detecting
from tracegrad.eager.modes import enable_grad, no_grad
from tracegrad.eager.nodes import AccumulateGrad, Node
from tracegrad.errors import DtypeError, ShapeError, TapeError, TracegradError
from tracegrad.ops.maps import add

if TYPE_CHECKING:
    from tracegrad.eager.tensor import Tensor

Edge = tuple[Node, int]
"""A node and the number of one of its results: where a cotangent goes."""


def count_arrivals(roots: Sequence[Node]) -> dict[Node, int]:
    """Every node that the roots lead to, with the number of edges that arrive at it."""
    arriving: dict[Node, int] = dict.fromkeys(roots, 0)
    stack = list(arriving)
    while stack:
        for source in stack.pop().sources:
            if source is not None:
                known = arriving.get(source)
                if known is None:
                    stack.append(source)
                    arriving[source] = 1
                else:
                    arriving[source] = known + 1
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


class Walk:
    """One backward: what has arrived where so far.

    Parameters
    ----------
    make: the class of tensors.
    create: whether the walk is itself recorded; cotangents are then tensors, else arrays.
    keep: whether nodes keep their values for another backward.
    accumulate: whether leaves take what arrives at them.
    """

    def __init__(self, make: type[Tensor], *, create: bool, keep: bool, accumulate: bool = False) -> None:
        self.make = make
        self.accumulate = accumulate
        self.create = make if create else None
        self.keep = keep
        self.held: dict[Node, Any] = {}
        self.captured: dict[Edge, Tensor] = {}

    def run(self, roots: Sequence[Edge], cotangents: Sequence[Tensor], targets: Sequence[Edge] | None) -> None:
        """Walk from the roots, whose cotangents are given, to the leaves.

        With ``targets`` only what leads there is walked, and their cotangents are captured.
        """
        arriving = count_arrivals([node for node, _ in roots])
        useful = None if targets is None else leading_to(arriving, [node for node, _ in targets])
        wanted: dict[Node, list[int]] = {}
        for node, slot in targets or ():
            wanted.setdefault(node, []).append(slot)
        for (node, slot), cotangent in zip(roots, cotangents, strict=True):
            self._arrive(node, slot, cotangent if self.create else cotangent._array)
        anomaly = detecting()
        ready = [node for node, count in arriving.items() if count == 0]
        held = self.held
        with enable_grad() if self.create else no_grad(), np.errstate(all="ignore"):
            while ready:
                node = ready.pop()
                g = held.pop(node, None)
                if g is not None and (useful is None or node in useful):
                    if node.pre_hooks:
                        g = self._tensors_hooked(node, g)
                    if node.retained:
                        self._retain(node, g)
                    if node in wanted:
                        self._capture(node, wanted[node], g)
                    if isinstance(node, AccumulateGrad):
                        if self.accumulate and node.requires_grad and (targets is None or node in wanted):
                            self._accumulate(node, g)
                    else:
                        self._pull(node, g, useful, anomaly)
                for source in node.sources:
                    if source is not None:
                        left = arriving[source] - 1
                        arriving[source] = left
                        if left == 0:
                            ready.append(source)

    def _pull(self, node: Node, g: Any, useful: set[Node] | None, anomaly: bool) -> None:
        """Send the cotangents of a node's operands to where they came from."""
        positions = node.takes()
        if useful is not None:
            positions = [k for k in positions if node.sources[k] in useful]
            if not positions:
                return
        if node.pre_hooks:
            g = self._pre_hooked(node, g)
            if g is None:
                return
        try:
            parts = node.pull(g, positions, self.create, self.keep)
        except TracegradError as error:
            raise error.at(node.where) if node.where is not None and error.where is None else error from None
        if node.post_hooks:
            parts = self._post_hooked(node, positions, parts, g)
        if anomaly:
            check_cotangents(node, parts)
        held, sources, slots = self.held, node.sources, node.slots
        for k, part in zip(positions, parts, strict=True):
            if part is None:
                continue
            source = sources[k]
            assert source is not None
            if source.outputs == 1:
                known = held.get(source)
                held[source] = part if known is None else add(known, part)
            else:
                self._arrive(source, slots[k], part)

    def _arrive(self, node: Node, slot: int, g: Any) -> None:
        """Add a cotangent to those of a result."""
        if node.outputs == 1:
            known = self.held.get(node)
            self.held[node] = g if known is None else add(known, g)
            return
        row = self.held.setdefault(node, [None] * node.outputs)
        row[slot] = g if row[slot] is None else add(row[slot], g)

    # -- what tensors see of it: hooks, kept and captured gradients, always as tensors in PyTorch's convention ---------

    def _shown(self, g: Any) -> Any:
        """A cotangent as users see it."""
        if g is None:
            return None
        return conjugated(g if self.create else self.make._wrap(g))

    def _taken(self, g: Any) -> Any:
        """A cotangent as rules see it."""
        if g is None:
            return None
        g = conjugated(g)
        return g if self.create else g._array

    def _capture(self, node: Node, slots: Sequence[int], g: Any) -> None:
        for slot in slots:
            part = g if node.outputs == 1 else g[slot]
            if part is not None:
                self.captured[node, slot] = self._shown(part)

    def _retain(self, node: Node, g: Any) -> None:
        for slot, reference in (node.retained or {}).items():
            tensor, part = reference(), g if node.outputs == 1 else g[slot]
            if tensor is not None and part is not None:
                tensor.accumulate(self._shown(part))

    def _accumulate(self, node: AccumulateGrad, g: Any) -> None:
        if node.pre_hooks:
            g = self._pre_hooked(node, g)
            if g is None:
                return
        variable = node.variable
        variable.accumulate(self._shown(g))
        for hook, _ in node.accumulated_hooks or ():
            hook(variable)
        for hook, _ in node.post_hooks or ():
            _replaced((), hook((), (self._shown(g),)), hook)

    def _tensors_hooked(self, node: Node, g: Any) -> Any:
        """What the hooks of tensors make of the cotangents of a node's results; those come before all others."""
        row = [self._shown(part) for part in (g if node.outputs > 1 else [g])]
        for hook, slot in node.pre_hooks or ():
            if slot is not None and row[slot] is not None:
                row[slot] = _like(hook(row[slot]), row[slot], hook)
        taken = [self._taken(part) for part in row]
        return taken if node.outputs > 1 else taken[0]

    def _pre_hooked(self, node: Node, g: Any) -> Any:
        """What the node's own hooks make of them; None if nothing is left."""
        row = [self._shown(part) for part in (g if node.outputs > 1 else [g])]
        for hook, slot in node.pre_hooks or ():
            if slot is None:
                row = _replaced(tuple(row), hook(tuple(row)), hook)
        taken = [self._taken(part) for part in row]
        if all(part is None for part in taken):
            return None
        return taken if node.outputs > 1 else taken[0]

    def _post_hooked(self, node: Node, positions: Sequence[int], parts: Sequence[Any], g: Any) -> list[Any]:
        computed = dict(zip(positions, parts, strict=True))
        shown = node.shown()
        inputs = [self._shown(computed.get(k)) for k in shown]
        outputs = tuple(self._shown(part) for part in (g if node.outputs > 1 else [g]))
        for hook, _ in node.post_hooks or ():
            inputs = _replaced(tuple(inputs), hook(tuple(inputs), outputs), hook)
        computed.update((k, self._taken(part)) for k, part in zip(shown, inputs, strict=True))
        return [computed[k] for k in positions]


def conjugated(g: Any) -> Any:
    """The cotangent in the other convention: PyTorch's gradient is the conjugate of what the rules compute with."""
    if g.dtype.kind != "c":
        return g
    result = g.conj()
    if result._source is None:
        # a cotangent without an imaginary part is +0j for PyTorch, not -0j
        parts = result._array.imag
        parts += 0.0
    return result


def _like(new: Any, old: Any, hook: Any) -> Any:
    """What a hook returned in place of a gradient; None keeps it."""
    if new is None:
        return old
    if not hasattr(new, "_array"):
        raise DtypeError(
            f"expected Variable, but hook returned '{type(new).__name__}'",
            fix=f"return a Tensor from {_named(hook)}, or None to keep the gradient",
        )
    if new.dtype != old.dtype:
        raise DtypeError(
            f"hook '{_named(hook)}' has changed the type of value (was {old.type()} got {new.type()})",
            fix=f"return the gradient in its own dtype: g.to(torch.{old.dtype})",
        )
    if new.shape != old.shape:
        raise ShapeError(
            f"hook '{_named(hook)}' has changed the size of value: from {tuple(old.shape)} to {tuple(new.shape)}",
            fix="return the gradient in its own shape",
        )
    return new


def _replaced(old: tuple[Any, ...], new: Any, hook: Any) -> list[Any]:
    """What a hook of a node returned in place of its gradients; None keeps them all, as an entry it takes one away."""
    if new is None:
        return list(old)
    if not isinstance(new, tuple):
        raise DtypeError(
            f"expected tuple, but hook returned '{type(new).__name__}'",
            fix=f"return a tuple from {_named(hook)}, or None to keep the gradients",
        )
    if len(new) != len(old):
        raise TapeError(
            f"hook '{_named(hook)}' has returned an incorrect number of values (got {len(new)}, but expected {len(old)})",
            fix="return one per entry, None where there was none",
        )
    if any(o is None and n is not None for n, o in zip(new, old, strict=True)):
        raise TapeError(
            f"can't replace a None gradient with a non-None value, as hook '{_named(hook)}' does",
            fix="return None where there was none",
        )
    return [None if n is None else _like(n, o, hook) for n, o in zip(new, old, strict=True)]


def _named(hook: Any) -> str:
    return getattr(hook, "__name__", type(hook).__name__)
