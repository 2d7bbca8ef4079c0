"""Writing to a Tensor: the storage changes, its version is counted, and the history goes on if a gradient needs it."""

from __future__ import annotations

import weakref
from typing import Any, Self

import numpy as np

from tracegrad.core.source import user_frame
from tracegrad.eager.leaf import LeafState
from tracegrad.eager.modes import recording
from tracegrad.eager.tape import Node, TapeNode, Version
from tracegrad.errors import DtypeError, ShapeError, TapeError
from tracegrad.ops.indexing import setitem
from tracegrad.ops.methods import ArrayMethods


class InPlace(ArrayMethods):
    """A storage with a history, and what writes to it; Tensor is its only kind."""

    __slots__ = ("__weakref__", "_array", "_source", "_state", "_version")
    _array: np.ndarray[Any, Any]
    _source: Node | None
    _state: LeafState | None
    _version: Version | None

    @property
    def requires_grad(self) -> bool:
        """Whether operations on it are recorded."""
        return self._source is not None or (self._state is not None and self._state.requires_grad)

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Start or stop recording what is computed from this leaf; returns the tensor.

        Raises TapeError for integer and boolean tensors, and for stopping at a tensor that was computed.
        """
        if requires_grad and self._array.dtype.kind != "f":
            raise TapeError(
                f"only Tensors of floating point dtype can require gradients, this one is {self.dtype}",
                fix="make it floating: tensor(data, dtype=np.float32, requires_grad=True)",
                where=user_frame(),
            )
        if self._source is not None:
            if not requires_grad:
                raise TapeError(
                    "you can only change requires_grad flags of leaf variables",
                    fix="use x.detach() for a tensor without history",
                    where=user_frame(),
                )
            return self
        if requires_grad or self._state is not None:
            self._own_state().requires_grad = requires_grad
        return self

    def _own_state(self) -> LeafState:
        if self._state is None:
            self._state = LeafState()
        return self._state

    def _own_version(self) -> Version:
        if self._version is None:
            self._version = Version()
        return self._version

    def _written(self, writer: str) -> None:
        version = self._own_version()
        version.count += 1
        version.writer = writer

    def _check_writable(self, value: Any) -> None:
        """Raise TapeError where a write would break a record."""
        if not recording.get():
            return
        if self._source is None and self.requires_grad:
            raise TapeError(
                "a leaf Tensor that requires grad is being used in an in-place operation",
                fix="write x = x + y, or update it inside with no_grad():",
                where=user_frame(),
            )
        history = self._source is not None or getattr(value, "requires_grad", False)
        if history and self._version is not None and self._version.viewed:
            raise TapeError(
                "an in-place operation on a Tensor of which views exist, with a gradient to record",
                fix="write x = x + y instead of x += y, or work on a copy",
                where=user_frame(),
            )

    def _check_stored(self, writer: str) -> None:
        """Raise TapeError where the elements have no memory of their own."""
        if not self._array.flags.writeable:
            raise TapeError(
                f"{writer}: this tensor repeats its elements without storing them",
                fix="write to a copy: x = x.clone()",
                where=user_frame(),
            )

    def _become(self, result: InPlace, other: Any, writer: str) -> Self:
        """Take the values and the history of ``result``, which was computed from this tensor."""
        self._check_writable(other)
        if result.shape != self.shape:
            raise ShapeError(
                f"{writer}: the result has shape {result.shape}, the tensor written to has shape {self.shape}",
                fix="write x = x + y: in-place operations keep the shape",
                where=user_frame(),
            )
        if result.dtype.kind != self.dtype.kind and not np.can_cast(result.dtype, self.dtype, "same_kind"):
            raise DtypeError(
                f"{writer}: result type {result.dtype} can't be cast to the desired output type {self.dtype}",
                fix="write x = x + y: in-place operations keep the dtype",
                where=user_frame(),
            )
        self._check_stored(writer)
        np.copyto(self._array, result._array, casting="same_kind")
        self._written(writer)
        if recording.get():
            self._source = result._source
            if self._state is not None and self._state.retains and isinstance(self._source, TapeNode):
                self._source.retained = weakref.ref(self)
        return self

    def __setitem__(self, key: Any, value: Any) -> None:
        """Assign elements; with a gradient to record, the history goes on through a functional update."""
        self._check_writable(value)
        recorded = recording.get() and (self.requires_grad or getattr(value, "requires_grad", False))
        if recorded:
            result = setitem(self, key, value)
            tensor: Any = type(self)
            # an array that replaces all elements comes back as it is: nothing of this tensor's history is left
            self._become(result if isinstance(result, InPlace) else tensor(result), value, "x[...] = y")
            return
        self._check_stored("x[...] = y")
        try:
            self._array[_plain(key)] = _plain(value)
        except (ValueError, IndexError) as error:
            raise ShapeError(
                f"x[...] = y with x of shape {self.shape} and y of shape {np.shape(_plain(value))}: {error}",
                fix="give y the shape of x[...], or one that broadcasts to it",
                where=user_frame(),
            ) from None
        self._written("x[...] = y")

    def __iadd__(self, other: Any) -> Self:
        return self._become(self + other, other, "+=")

    def __isub__(self, other: Any) -> Self:
        return self._become(self - other, other, "-=")

    def __imul__(self, other: Any) -> Self:
        return self._become(self * other, other, "*=")

    def __itruediv__(self, other: Any) -> Self:
        return self._become(self / other, other, "/=")

    def __ipow__(self, other: Any) -> Self:
        return self._become(self**other, other, "**=")


def _plain(value: Any) -> Any:
    """An index or a value with arrays in the place of tensors."""
    if isinstance(value, InPlace):
        return value._array
    return tuple(_plain(v) for v in value) if isinstance(value, tuple) else value
