"""Tensors without values: what stands for a Tensor while a function of Tensors is traced into a graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, NoReturn, Protocol, Self

import numpy as np

from tracegrad.core.op import Kind, Op
from tracegrad.core.source import user_frame
from tracegrad.eager.inplace import InPlace
from tracegrad.eager.inplace import _castable as castable
from tracegrad.eager.modes import recording
from tracegrad.eager.promote import coerce
from tracegrad.eager.record import explain
from tracegrad.eager.tensor import Tensor
from tracegrad.errors import ConditionError, DtypeError, EscapeError, ShapeError, TraceError
from tracegrad.ops.maps import copy as copy_of
from tracegrad.ops.maps import stop_gradient
from tracegrad.ops.selection import Selection
from tracegrad.symbolic import Recorder, Sym


class Tracing(Protocol):
    """What a trace of tensors does with those that come into being while it runs."""

    def drawn(self, draw: Callable[[np.random.Generator], Any], generator: Any) -> Tensor:
        """A random tensor: an input of the program that each call draws anew."""

    def made(self, array: np.ndarray[Any, Any]) -> Tensor:
        """A new tensor that may be written to: a constant to begin with."""


tracing: ContextVar[Tracing | None] = ContextVar("tracing", default=None)
"""The trace that runs in this context."""

_EAGERLY = "; code that decides by values runs eagerly, outside of tg.compile"


class TracedTensor(Tensor):
    """A Tensor's methods and PyTorch's promotion on a traced value; it outranks tensors and traced values alike.

    Tensors that meet it are constants of the graph, or what the recorder has adopted them as.
    """

    bind_rank = 3
    _array: Any

    def __init__(self, value: Sym) -> None:
        self._array = value
        self._source = None

    def bind_op(self, op: Op, operands: Sequence[Any], params: dict[str, Any]) -> Tensor:
        """Append an op, its operands promoted as PyTorch promotes them."""
        # arrays from outside are looked up before they are cast
        values = [operand(self._array.recorder, x) for x in operands]
        kept = coerce(op, values)
        try:
            result = TracedTensor(self._array.bind_op(op, kept, params))
        except ShapeError:
            if op.kind is Kind.MAP:
                explain(op, kept, params)
            raise
        if not recording.get() and op is not stop_gradient and op.kind is not Kind.VIEW and result.dtype.kind in "fc":
            return stop_gradient(result)  # type: ignore[no-any-return]
        return result

    @property
    def requires_grad(self) -> bool:
        """Never: a graph is differentiated as a whole."""
        return False

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Refused while tracing."""
        raise EscapeError(
            "requires_grad of a tensor that is traced",
            fix="the compiled function is differentiated as a whole: leave it out, or use x.detach()",
            where=user_frame(),
        )

    def backward(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused while tracing."""
        self.refuse_tape("x.backward()", "call it on the result of tg.compile(f)(x); tg.compile_step has a backward of its own")

    def retain_grad(self) -> NoReturn:
        """Refused while tracing."""
        self.refuse_tape("x.retain_grad()", "return the tensor as a result, and call it on that")

    def register_hook(self, hook: Any) -> NoReturn:
        """Refused while tracing."""
        self.refuse_tape("x.register_hook(...)", "return the tensor as a result, and register the hook on that")

    def refuse_tape(self, what: str, fix: str) -> NoReturn:
        """Raise TraceError for what needs a tape."""
        recorder: Recorder = self._array.recorder
        recorder.escape(
            TraceError(
                f"{what} inside of what is compiled: it is differentiated as a whole, and {self!r} has no gradient there",
                fix=fix,
                where=user_frame(),
            )
        )

    def __getitem__(self, key: Any) -> Any:
        found = self._array[_traced(self._array.recorder, key)]
        if isinstance(found, Selection):
            found.refuse("the shape of the tensor")
        return TracedTensor(found)

    def __setitem__(self, key: Any, value: Any) -> None:
        recorder = self._array.recorder
        self._array[_traced(recorder, key)] = _stored(recorder, value)

    def _become(self, result: InPlace, other: Any, writer: str) -> Self:
        """Write a result over this value; views of it see that, as of arrays in a traced function."""
        if tuple(result.shape) != tuple(self.shape):
            raise ShapeError(
                f"{writer}: output with shape {list(self.shape)} doesn't match the broadcast shape {list(result.shape)}",
                fix="write x = x + y: in-place operations keep the shape",
                where=user_frame(),
            )
        if not castable(result.dtype, self.dtype):
            raise DtypeError(
                f"{writer}: result type {result.dtype} can't be cast to the desired output type {self.dtype}",
                fix="write x = x + y: in-place operations keep the dtype",
                where=user_frame(),
            )
        if self._array.shape or self._array.boxed:
            self._array.assign(operand(self._array.recorder, result))
        else:
            self._array = operand(self._array.recorder, result)
        return self

    def _check_writable(self, value: Any) -> None:
        """Whether it may be written to is the traced value's affair."""

    def clone(self) -> Tensor:
        """A copy of its own."""
        result: Tensor = copy_of(self)
        return result

    def detach(self) -> Tensor:
        """The value, taken for a constant by derivatives."""
        result: Tensor = stop_gradient(self)
        return result

    @property
    def data(self) -> Tensor:
        """The value, taken for a constant by derivatives."""
        return self.detach()

    @data.setter
    def data(self, value: Any) -> None:
        self._array = _stored(self._array.recorder, value)

    # -- ways out of the trace, which the traced value refuses with the line ------------------------------------------

    def _known(self, what: str, fix: str, error: type[TraceError] = EscapeError) -> np.ndarray[Any, Any]:
        """The value, if it depends on no input; else the escape is noted and raised."""
        recorder = self._array.recorder
        if recorder.closed:
            self._array.__array__()  # raises
        value = recorder.concrete(self._array.id)
        if value is None:
            recorder.escape(error(f"{what} {self!r}, which is not known while tracing", fix=fix))
        return np.asarray(value)

    def numpy(self, *, force: bool = False) -> np.ndarray[Any, Any]:
        """Refused while tracing, unless the value is known."""
        return self._known("a NumPy array needs the value of", f"use tensor operations in its place{_EAGERLY}")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return np.array(self.numpy(), dtype=dtype)

    def item(self) -> Any:
        """Refused while tracing, unless the value is known."""
        return self._known("x.item() needs the value of", f"leave .item() out: the tensor works in its place{_EAGERLY}").item()

    def tolist(self) -> Any:
        """Refused while tracing, unless the value is known."""
        return self._known("x.tolist() needs the values of", f"use tensor operations in its place{_EAGERLY}").tolist()

    def __float__(self) -> float:
        return float(self._known("float(x) needs the value of", f"leave float() out, or write x.float(){_EAGERLY}"))

    def __int__(self) -> int:
        return int(self._known("int(x) needs the value of", f"leave int() out, or write x.long(){_EAGERLY}"))

    def __bool__(self) -> bool:
        fix = f"torch.where(condition, a, b) selects elementwise{_EAGERLY}"
        return bool(self._known("a condition needs the value of", fix, ConditionError))

    def __index__(self) -> int:
        fix = f"a shape, an axis, a slice bound or a range must be a Python int: take it from x.shape{_EAGERLY}"
        return int(self._known("an integer used as structure needs the value of", fix))

    def __repr__(self) -> str:
        return repr(self._array)


def values_known(x: Any) -> np.ndarray[Any, Any] | None:
    """The values of a tensor or a number; None for a tensor that is traced and depends on an input."""
    if isinstance(x, TracedTensor):
        sym = x._array
        value = sym.recorder.constant_value(sym.id)
        return None if value is None else np.asarray(value)
    return x._array if isinstance(x, Tensor) else np.asarray(x)


def operand(recorder: Recorder, value: Any) -> Any:
    """The traced value of a tensor or an array: its own, the input it was adopted as, or a constant."""
    if isinstance(value, TracedTensor):
        return value._array
    if isinstance(value, InPlace):
        adopt: Callable[[Any], Sym | None] | None = recorder.adopt
        known = None if adopt is None else adopt(value)
        return recorder.operand(value._array) if known is None else known
    return recorder.operand(value) if isinstance(value, np.ndarray) else value


def _traced(recorder: Recorder, key: Any) -> Any:
    """A key with traced values in the places of traced tensors; other tensors are arrays, whose values are known."""
    if isinstance(key, InPlace):
        return key._array
    if isinstance(key, (tuple, list)):
        return type(key)(_traced(recorder, v) for v in key)
    return key


def _stored(recorder: Recorder, value: Any) -> Any:
    """A value to write."""
    return np.asarray(value) if isinstance(value, (tuple, list)) else operand(recorder, value)
