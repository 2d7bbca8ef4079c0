"""Functions whose backward users write themselves."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tracegrad.core.aval import Aval
from tracegrad.core.source import user_frame
from tracegrad.eager.anomaly import detecting
from tracegrad.eager.engine import conjugated
from tracegrad.eager.modes import no_grad, recording
from tracegrad.eager.nodes import AccumulateGrad, Node, Version, freed, unchanged
from tracegrad.eager.tensor import Tensor
from tracegrad.eager.traced import TracedTensor
from tracegrad.errors import DtypeError, ShapeError, TapeError, TraceError
from tracegrad.ops.broadcasting import sum_to
from tracegrad.ops.maps import cast

__all__ = ["Function", "FunctionCtx", "once_differentiable"]


@dataclass(frozen=True, slots=True)
class _Saved:
    """A tensor that a context keeps: its storage and where it came from, but not itself, as it may hold the context."""

    array: Any
    source: Node | None
    slot: int
    counter: Version
    count: int
    output: int | None
    """Which result of the function it is; those have no source of their own."""


class FunctionCtx:
    """What a Function's forward and backward share; attributes of any name may be set on it.

    ``needs_input_grad`` says per argument of ``forward`` whether its gradient is needed.
    """

    needs_input_grad: tuple[bool, ...] = ()

    def __init__(self) -> None:
        self._to_save: tuple[Tensor | None, ...] = ()
        self._saved: tuple[_Saved | None, ...] | None = ()
        self._without_gradient: tuple[Tensor, ...] = ()
        self._written: tuple[Tensor, ...] = ()
        self._materialize = True
        self._known_node: weakref.ref[FunctionNode] | None = None

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors for ``backward``, where they are ``ctx.saved_tensors``."""
        for k, x in enumerate(tensors):
            if x is not None and not isinstance(x, Tensor):
                raise DtypeError(
                    f"save_for_backward can only save variables, but argument {k} is of type {type(x).__name__}",
                    fix="set anything else as an attribute: ctx.size = size",
                    where=user_frame(),
                )
        self._to_save = tensors

    def mark_non_differentiable(self, *outputs: Tensor) -> None:
        """Say which results carry no gradient."""
        self._without_gradient = outputs

    def mark_dirty(self, *inputs: Tensor) -> None:
        """Say which arguments ``forward`` has written to; it has to return them."""
        self._written = inputs

    def set_materialize_grads(self, value: bool) -> None:
        """Whether ``backward`` gets zeros (True, as at first) or None for results without a cotangent."""
        self._materialize = value

    @property
    def _node(self) -> FunctionNode | None:
        """The node that holds this context, which does not hold it."""
        return None if self._known_node is None else self._known_node()

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """The tensors that ``save_for_backward`` was given; TapeError once they were freed or if they were written to."""
        if self._saved is None:
            assert self._node is not None
            raise freed(self._node)
        return tuple(None if entry is None else self._unpacked(k, entry) for k, entry in enumerate(self._saved))

    def _unpacked(self, position: int, entry: _Saved) -> Tensor:
        node = self._node
        source = entry.source
        if node is not None:
            unchanged(node, entry.array, entry.counter, entry.count, f"saved tensor {position}")
            source = node if entry.output is not None else source
        if isinstance(source, AccumulateGrad):
            return source.variable
        return Tensor._wrap(entry.array, source, entry.counter, entry.slot if entry.output is None else entry.output)

    def _pack(self, outputs: Sequence[Any]) -> None:
        """Turn the tensors to keep into what holds no tensor."""
        place = {id(x): k for k, x in enumerate(outputs)}
        saved: list[_Saved | None] = []
        for x in self._to_save:
            if x is None:
                saved.append(None)
                continue
            counter = x._own_counter()
            output = place.get(id(x))
            source = x._gradient_edge() if output is None else None
            saved.append(_Saved(x._array, source, x._slot, counter, counter.count, output))
        self._saved = tuple(saved)
        self._to_save = ()


class Function:
    """A function with a backward of its own: a subclass defines both as static methods, and ``apply`` runs it.

    ``forward(ctx, *args)`` computes with tensors that are not recorded, ``backward(ctx, *grads)`` gets the cotangent of each
    result and returns one per argument, None for those without. With ``setup_context(ctx, inputs, output)`` forward takes
    no context. A recorded backward (``create_graph=True``) is differentiated through the ops in it.

    >>> from tracegrad.eager.tensor import tensor
    >>> class Square(Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x
    ...     @staticmethod
    ...     def backward(ctx, g):
    ...         (x,) = ctx.saved_tensors
    ...         return g * 2 * x
    >>> x = tensor(3.0, requires_grad=True)
    >>> y = Square.apply(x)
    >>> y
    tensor(9., grad_fn=<SquareBackward>)
    >>> y.backward()
    >>> x.grad
    tensor(6.)
    """

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the result; a subclass has to define it."""
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Save what backward needs, where ``forward`` takes no context."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Compute the cotangents of the arguments; a subclass has to define it."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom autograd.Function to use it with backward "
            "mode AD."
        )

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Run forward and record one node for it; returns what forward returns."""
        if any(isinstance(x, TracedTensor) for x in args):
            raise TraceError(
                f"{cls.__name__}.apply inside of what is compiled: its backward is Python code, which a program cannot run",
                fix="write it with tensor operations, or compile the parts before and behind it",
                where=user_frame(),
            )
        ctx = FunctionCtx()
        edges = [x._gradient_edge() if isinstance(x, Tensor) else None for x in args]
        slots = [x._slot if isinstance(x, Tensor) else 0 for x in args]
        ctx.needs_input_grad = tuple(edge is not None for edge in edges)
        recorded = recording.get() and any(ctx.needs_input_grad)
        with no_grad():
            if cls.setup_context is not Function.setup_context:
                output = cls.forward(*args)
                cls.setup_context(ctx, args, output)
            else:
                output = cls.forward(ctx, *args)
        results = list(output) if isinstance(output, (tuple, list)) else [output]
        ctx._pack(results)
        given = {id(x) for x in args if isinstance(x, Tensor)}
        dirty = {id(x) for x in ctx._written}
        flat = {id(x) for x in ctx._without_gradient}
        for x in ctx._written:
            x._written(cls.__name__)
        if not recorded:
            return output
        if any(x.is_leaf and x.requires_grad for x in ctx._written):
            raise TapeError(
                "a leaf Variable that requires grad has been used in an in-place operation.",
                fix=f"give {cls.__name__}.apply a copy, x.clone(), or call it inside with no_grad():",
                where=user_frame(),
            )
        node = FunctionNode(cls, ctx, args, edges, slots, results)
        ctx._known_node = weakref.ref(node)
        for k, x in enumerate(results):
            if not isinstance(x, Tensor):
                continue
            if id(x) in given and id(x) not in dirty:
                # an argument that comes back as it is becomes a tensor of its own on the same storage
                x = results[k] = Tensor._wrap(x._array, None, x._own_counter())
            if id(x) in flat or x._array.dtype.kind not in "fc":
                continue
            if id(x) in dirty:
                x._take_history(Tensor._wrap(x._array, node, None, k))
            else:
                x._source, x._slot = node, k
        if not isinstance(output, (tuple, list)):
            return results[0]
        return tuple(results) if isinstance(output, tuple) else results


class FunctionNode(Node):
    """The node of a Function that was applied: a Tensor's ``grad_fn``, on which the attributes of its context are found."""

    def __init__(
        self,
        function: type[Function],
        ctx: FunctionCtx,
        args: Sequence[Any],
        edges: Sequence[Node | None],
        slots: Sequence[int],
        results: Sequence[Any],
    ) -> None:
        self.function = function
        self.ctx = ctx
        self.sources = tuple(edges)
        self.slots = tuple(slots)
        self.tensors = tuple(k for k, x in enumerate(args) if isinstance(x, Tensor))
        self.outputs = len(results)
        self.avals = tuple(Aval(x._array.shape, x._array.dtype) if isinstance(x, Tensor) else None for x in results)
        aval = self.avals[0]
        if self.outputs == 1 and aval is not None:
            self.shape, self.dtype = aval.shape, aval.dtype
        if detecting():
            self.where = user_frame()

    def name(self) -> str:
        """The name PyTorch gives it."""
        return f"{self.function.__name__}Backward"

    def __getattr__(self, name: str) -> Any:
        # called for names that the node itself lacks; its own start with its context
        if name == "ctx" or name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self.ctx, name)

    def shown(self) -> Sequence[int]:
        """Positions of the tensors among the arguments."""
        return self.tensors

    def slot_aval(self, slot: int) -> Aval:
        """Shape and dtype of a result."""
        aval = self.avals[slot]
        assert aval is not None
        return aval

    def forget(self) -> None:
        """Give up the saved tensors."""
        if self.ctx._saved:
            self.ctx._saved = None

    def pull(self, g: Any, wanted: Sequence[int], create: type[Tensor] | None, keep: bool) -> list[Any]:
        """Run the user's backward."""
        row: list[Any] = [g] if self.outputs == 1 else list(g)
        for k, part in enumerate(row):
            aval = self.avals[k]
            if part is not None:
                row[k] = conjugated(part if create else Tensor._wrap(part))
            elif self.ctx._materialize and aval is not None:
                row[k] = Tensor._wrap(np.zeros(aval.shape, aval.dtype))
        found = self.function.backward(self.ctx, *row)
        parts = list(found) if isinstance(found, (tuple, list)) else [found]
        expected = len(self.sources)
        if len(parts) > expected and all(p is None for p in parts[expected:]):
            parts = parts[:expected]
        if len(parts) != expected:
            raise TapeError(
                f"function {self.name()} returned an incorrect number of gradients (expected {expected}, got {len(parts)})",
                fix="return one per argument of forward, None for those that have none",
            )
        for k, part in enumerate(parts):
            if part is not None and k not in self.tensors:
                raise TapeError(
                    f"function {self.name()} returned a gradient different than None at position {k + 1}, but the "
                    "corresponding forward input was not a Variable",
                    fix="return None for arguments that are no tensors",
                )
        if not keep:
            self.forget()
        return [self._checked(parts[k], k, create) for k in wanted]

    def _checked(self, part: Any, k: int, create: type[Tensor] | None) -> Any:
        """A cotangent that the user's backward returned, in the shape, dtype and convention of its operand."""
        if part is None:
            return None
        if not isinstance(part, Tensor):
            raise TapeError(
                f"function {self.name()} returned at position {k + 1}: expected Variable or None (got {type(part).__name__})",
                fix="return a Tensor, or None",
            )
        source = self.sources[k]
        assert source is not None
        aval = source.slot_aval(self.slots[k])
        if part.shape != aval.shape:
            try:
                np.broadcast_to(np.empty(aval.shape), part.shape)
            except ValueError:
                raise ShapeError(
                    f"Function {self.name()} returned an invalid gradient at index {k} - got {list(part.shape)} but expected "
                    f"shape compatible with {list(aval.shape)}",
                    fix="return the gradient in the shape of the argument",
                ) from None
            part = sum_to(part, aval.shape)
        if part.dtype != aval.dtype:
            part = cast(part, dtype=aval.dtype)
        part = conjugated(part)
        return part if create else part._array


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a backward that must not be differentiated itself: its gradients raise TapeError when they are."""

    @functools.wraps(backward)
    def run(ctx: Any, *grads: Any) -> Any:
        with no_grad():
            found = backward(ctx, *grads)
        if not recording.get() or not any(g is not None and g.requires_grad for g in grads):
            return found
        parts = found if isinstance(found, tuple) else (found,)
        barred = tuple(None if p is None else _Barrier.apply(p.detach(), *grads) for p in parts)
        return barred if isinstance(found, tuple) else barred[0]

    return run


class _Barrier(Function):
    """The identity on its first argument; its backward refuses."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *grads: Any) -> Tensor:
        return x

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        raise TapeError(
            "trying to differentiate twice a function that was marked with @once_differentiable",
            fix="write its backward with differentiable operations and leave the mark out",
        )
