"""Tensors without values: what stands for a Tensor while a function of Tensors is traced into a graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn, Self

import numpy as np

from tracegrad.core.op import Op
from tracegrad.core.source import user_frame
from tracegrad.eager.inplace import InPlace
from tracegrad.eager.promote import coerce
from tracegrad.eager.tensor import Tensor
from tracegrad.errors import EscapeError
from tracegrad.ops.maps import copy as copy_of
from tracegrad.ops.maps import stop_gradient
from tracegrad.symbolic import Sym


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
        values = [x._array if isinstance(x, InPlace) else x for x in operands]
        recorder = self._array.recorder
        # arrays from outside are looked up before they are cast
        values = [recorder.operand(v) if isinstance(v, np.ndarray) else v for v in values]
        return TracedTensor(self._array.bind_op(op, coerce(op, values), params))

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

    def __getitem__(self, key: Any) -> Any:
        return TracedTensor(self._array[_traced(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        self._array[_traced(key)] = _traced(value)

    def _become(self, result: InPlace, other: Any, writer: str) -> Self:
        """Write a result over this value; views of it see that, as of arrays in a traced function."""
        if self._array.shape or self._array.boxed:
            self._array.assign(result._array)
        else:
            self._array = result._array
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
        self._array = _traced(value)

    # -- ways out of the trace, which the traced value refuses with the line ------------------------------------------

    def numpy(self, *, force: bool = False) -> NoReturn:
        """Refused while tracing."""
        self._array.__array__()
        raise AssertionError("a traced value became an array")

    def item(self) -> Any:
        """Refused while tracing, unless the value is known."""
        return self._array.item()

    def tolist(self) -> Any:
        """Refused while tracing, unless the value is known."""
        return np.asarray(self._array).tolist()

    def __float__(self) -> float:
        return float(self._array)

    def __int__(self) -> int:
        return int(self._array)

    def __bool__(self) -> bool:
        return bool(self._array)

    def __index__(self) -> int:
        return int(self._array.__index__())

    def __repr__(self) -> str:
        return repr(self._array)


def _traced(value: Any) -> Any:
    """A key or a value with what tensors hold in their places."""
    if isinstance(value, InPlace):
        return value._array
    if isinstance(value, (tuple, list)):
        return type(value)(_traced(v) for v in value)
    return value
