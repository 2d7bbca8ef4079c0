"""The record of the dynamic graph: a node per recorded op, and what it keeps for its backward.

A node holds the nodes its operands came from, never a Tensor; a Tensor holds its node. Nothing points in a circle, and a
graph is freed as soon as the last Tensor that leads to it is gone. What few nodes have (hooks, kept gradients, the line
of anomaly mode) are class attributes until they are set, as a node is made for every op that runs.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tracegrad.core.aval import Aval, Shape
from tracegrad.core.op import FLAT, Kind, Op, Pointwise
from tracegrad.eager.hooks import Hooks, RemovableHandle
from tracegrad.eager.residuals import Outline
from tracegrad.errors import Frame, TapeError
from tracegrad.ops.broadcasting import sum_to
from tracegrad.ops.maps import cast
from tracegrad.ops.pullback import absorbing_product, pull_back

if TYPE_CHECKING:
    from tracegrad.eager.residuals import Plan
    from tracegrad.eager.tensor import Tensor

Array = np.ndarray[Any, Any]

FIRST = tuple((0,) * n for n in range(9))
"""The slots of operands that are the only results of their nodes, by the number of operands."""


_OF_NUMBERS = {"PowBackward0": (0,), "PowBackward2": (1,)}
"""Nodes of ops of a tensor and a number where PyTorch shows no edge for the number, and the edges they show."""


class Version:
    """How often a storage was written to; tensors that share storage share it.

    ``count`` counts the writes and ``writer`` names the last; ``rebased`` counts those that gave the storage a new
    history, after which views of it have to look up theirs.
    """

    count = 0
    rebased = 0
    writer = ""


def unchanged(node: Node, array: Array, version: Version | None, count: int, what: str) -> Array:
    """The kept array, or TapeError if its storage was written to since."""
    if version is not None and version.count != count:
        raise TapeError(
            "one of the variables needed for gradient computation has been modified by an inplace operation: "
            f"{what} of {node.name()}, of shape {array.shape}, is at version {version.count}, expected version {count}; "
            f"it was last written by {version.writer}",
            fix="write x = x + y instead of x += y for values that a gradient still needs, or change a copy",
        )
    return array


class Node:
    """A step of the record: a Tensor's ``grad_fn``.

    ``sources`` and ``slots`` say per operand to which node its cotangent goes, and as which of that node's results;
    ``outputs`` is the number of results.
    """

    outputs: int = 1
    sources: tuple[Node | None, ...] = ()
    slots: tuple[int, ...] = ()
    shape: Shape
    """Of the result; a node of several results has ``slot_aval`` alone."""
    dtype: np.dtype[Any]
    pre_hooks: Hooks | None = None
    """Called with the cotangents of the results before the node is walked; those of a Tensor with one slot alone."""
    post_hooks: Hooks | None = None
    """Called with the cotangents of operands and results after the node was walked."""
    retained: dict[int, weakref.ref[Tensor]] | None = None
    """Tensors that keep the cotangent of the slot in ``.grad``."""
    where: Frame | None = None
    """The user's line, noted in anomaly mode."""

    def pull(self, g: Any, wanted: Sequence[int], create: type[Tensor] | None, keep: bool) -> list[Any]:
        """The cotangents of the wanted operands, summed to their shapes; None for a zero.

        Parameters
        ----------
        g: the cotangent of the result; with several results a list, None for those that got none.
        wanted: positions of operands with a source.
        create: the class of tensors if the walk is recorded and cotangents are tensors; None if they are arrays.
        keep: leave what was kept for another backward.
        """
        raise NotImplementedError

    def takes(self) -> Sequence[int]:
        """Positions of the operands that get a cotangent."""
        return [k for k, source in enumerate(self.sources) if source is not None]

    def slot_aval(self, slot: int) -> Aval:
        """Shape and dtype of a result."""
        return Aval(self.shape, self.dtype)

    def copy_kept(self, array: Array) -> None:
        """Keep a copy where this array, which is about to be written to, was kept: the write is this op's own."""

    def forget(self) -> None:
        """Drop what was kept; the node is not walked for it again."""

    @property
    def next_functions(self) -> tuple[tuple[Node | None, int], ...]:
        """The nodes of the operands, each with the number of its result that was used."""
        return tuple((self.sources[k], self.slots[k]) for k in self.shown())

    def shown(self) -> Sequence[int]:
        """Positions of the operands that ``next_functions`` lists, and hooks see the gradients of."""
        return range(len(self.sources))

    @property
    def metadata(self) -> dict[Any, Any]:
        """A dictionary for users to keep things in."""
        kept: dict[Any, Any] = self.__dict__.setdefault("_metadata", {})
        return kept

    def name(self) -> str:
        """PyTorch's name of this kind of node."""
        raise NotImplementedError

    def register_hook(self, hook: Callable[[tuple[Any, ...], tuple[Any, ...]], Any]) -> RemovableHandle:
        """Call ``hook(grad_inputs, grad_outputs)`` after this node was walked; a tuple it returns replaces grad_inputs."""
        if self.post_hooks is None:
            self.post_hooks = Hooks()
        return self.post_hooks.add(hook)

    def register_prehook(self, hook: Callable[[tuple[Any, ...]], Any]) -> RemovableHandle:
        """Call ``hook(grad_outputs)`` before this node is walked; a tuple it returns replaces them."""
        if self.pre_hooks is None:
            self.pre_hooks = Hooks()
        return self.pre_hooks.add(hook)

    def __repr__(self) -> str:
        return f"<{self.name()} object at {id(self):#x}>"


class AccumulateGrad(Node):
    """The end of a path: it adds the cotangent to ``.grad`` of its ``variable``.

    It is also all that a leaf has beyond other tensors: the wish for a gradient and the gradient. The leaf holds it and is
    known to it weakly, so that neither keeps the other's memory in a circle.
    """

    requires_grad = False
    retains = False
    grad: Tensor | None = None
    accumulated_hooks: Hooks | None = None

    def __init__(self, variable: Tensor) -> None:
        self.hold(variable._array)
        self.make = type(variable)
        self._variable = weakref.ref(variable)

    def hold(self, array: Array) -> None:
        """Take the variable's storage."""
        self.array = array
        self.shape = array.shape
        self.dtype = array.dtype

    @property
    def variable(self) -> Tensor:
        """The leaf; a new handle on its storage if nobody holds the old one."""
        known = self._variable()
        if known is None:
            known = self.make._wrap(self.array)
            known._state = self
            self._variable = weakref.ref(known)
        return known

    def name(self) -> str:
        """The name PyTorch gives it."""
        return "AccumulateGrad"


class OpNode(Node):
    """One recorded op.

    Parameters
    ----------
    op, params: what was applied.
    sources, slots: where the operands' cotangents go.
    plan: what of the operands and the result is kept.
    saved: the kept arrays, each with its version and the count at which it is right, then the kept avals; None once freed.
    shape, dtype: those of the result.
    """

    label = ""

    def __init__(
        self,
        op: Op,
        params: Mapping[str, Any],
        sources: tuple[Node | None, ...],
        slots: tuple[int, ...],
        plan: Plan,
        saved: Sequence[Any],
        shape: Shape,
        dtype: np.dtype[Any],
    ) -> None:
        self.op = op
        self.params = params
        self.sources = sources
        self.slots = slots
        self.plan = plan
        self.saved: Sequence[Any] | None = saved
        self.shape = shape
        self.dtype = dtype

    def takes(self) -> Sequence[int]:
        """Positions of the operands that get a cotangent."""
        return self.plan.active

    def name(self) -> str:
        """PyTorch's name of this kind of node."""
        if self.label:
            return self.label
        name = self.op.torch[1] or f"{self.op.name.title().replace('_', '')}Backward0"
        # PyTorch numbers the overloads: a reduction of everything is number 0, one along axes number 1
        if self.op.kind is Kind.REDUCE and not self.shape and name.endswith("Backward1"):
            return name[:-1] + "0"
        return name

    def shown(self) -> Sequence[int]:
        """Positions of the operands that can have a gradient."""
        of_number: tuple[int, ...] | None = _OF_NUMBERS.get(self.name())
        if of_number is not None:
            return of_number
        return [k for k in range(len(self.sources)) if k in self.plan.active or self.op.partial(k) is not FLAT]

    def copy_kept(self, array: Array) -> None:
        """Keep a copy where this array, which is about to be written to, was kept: the write is this op's own."""
        if self.saved:
            self.saved = [
                (array.copy(), None, 0) if isinstance(entry, tuple) and entry[0] is array else entry for entry in self.saved
            ]

    def forget(self) -> None:
        """Give up the kept values; a node that kept none can be walked again."""
        if self.plan.values or self.plan.out:
            self.saved = None

    def residuals(self) -> tuple[list[Any], Any]:
        """The operands and the result as the rules want them: arrays, avals, or None where nothing is needed.

        Raises TapeError if they were freed or have been written to since.
        """
        saved = self.saved
        if saved is None:
            raise freed(self)
        plan = self.plan
        inputs: list[Any] = [None] * len(self.sources)
        at = 0
        for k in plan.values:
            array, version, count = saved[at]
            if version is not None and version.count != count:
                unchanged(self, array, version, count, f"operand {k}")
            inputs[k] = array
            at += 1
        if plan.out:
            array, version, count = saved[at]
            out: Any = unchanged(self, array, version, count, "the result")
            at += 1
        else:
            out = Outline(self.shape, self.dtype) if plan.out_shape else None
        for k in plan.shapes:
            inputs[k] = saved[at]
            at += 1
        return inputs, out

    def pull(self, g: Any, wanted: Sequence[int], create: type[Tensor] | None, keep: bool) -> list[Any]:
        """The cotangents of the wanted operands by the op's own rules."""
        inputs, out = self.residuals()
        sources, op = self.sources, self.op
        if create is not None:
            out = self._as_tensors(inputs, out, create)
        elif not keep and (self.plan.values or self.plan.out):
            self.saved = None
        parts: list[Any] = []
        for k in wanted:
            partial = op.partial(k)
            if partial is FLAT:
                source = sources[k]
                assert source is not None
                like = source.slot_aval(self.slots[k])
                zeros = np.zeros(like.shape, like.dtype)
                parts.append(zeros if create is None else create._wrap(zeros))
                continue
            if create is None and type(partial) is Pointwise:
                part = absorbing_product(g, partial.factor(out, *inputs, **self.params))
            else:
                part = pull_back(op, k, g, out, inputs, self.params)
            source = sources[k]
            assert source is not None
            if source.outputs == 1:
                shape, dtype = source.shape, source.dtype
            else:
                aval = source.slot_aval(self.slots[k])
                shape, dtype = aval.shape, aval.dtype
            if part.shape != shape:
                part = sum_to(part, shape)
            if part.dtype is not dtype and part.dtype != dtype:
                part = cast(part, dtype=dtype)
            parts.append(part)
        if create is not None and not keep:
            self.forget()
        return parts

    def _as_tensors(self, inputs: list[Any], out: Any, make: type[Tensor]) -> Any:
        """Put tensors that continue the record of the forward pass in the places of the kept arrays."""
        entries = self.saved or ()
        for at, k in enumerate(self.plan.values):
            inputs[k] = make._wrap(inputs[k], self.sources[k], entries[at][1], self.slots[k])
        return make._wrap(out, self, entries[len(self.plan.values)][1]) if self.plan.out else out


def freed(node: Node) -> TapeError:
    """The error of a second backward through a node."""
    return TapeError(
        "Trying to backward through the graph a second time (or directly access saved tensors after they have already "
        f"been freed): the values that {node.name()} kept were freed by the first backward. Specify retain_graph=True if you "
        "need to backward through the graph a second time",
        fix="y.backward(retain_graph=True) at the first backward, or compute the result again",
    )
