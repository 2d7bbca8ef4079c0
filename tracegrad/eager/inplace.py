"""Writing to a Tensor: the storage changes, its version is counted, and the history goes on if a gradient needs it."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from tracegrad.core.source import user_frame
from tracegrad.eager.modes import inferring, recording
from tracegrad.eager.nodes import AccumulateGrad, Node, Version
from tracegrad.eager.views import View, follow, rewrite_base
from tracegrad.errors import DtypeError, ShapeError, TapeError
from tracegrad.ops.indexing import setitem
from tracegrad.ops.methods import ArrayMethods

if TYPE_CHECKING:
    from tracegrad.eager.tensor import Tensor


class InPlace(ArrayMethods):
    """A storage with a history, and what writes to it; Tensor is its only kind."""

    bind_rank: int
    # what few tensors have is an attribute of the class until it is set, as a tensor is made by every op that runs
    _array: np.ndarray[Any, Any]
    _source: Node | None
    _slot: int = 0
    _state: AccumulateGrad | None = None
    _counter: Version | None = None
    _view: View | None = None
    _inference: bool = False

    @property
    def requires_grad(self) -> bool:
        """Whether operations on it are recorded."""
        if self._view is not None:
            follow(self)  # type: ignore[arg-type]
        return self._source is not None or (self._state is not None and self._state.requires_grad)

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Start or stop recording what is computed from this leaf; returns the tensor.

        Raises TapeError for integer and boolean tensors, and for stopping at a tensor that was computed.
        """
        if requires_grad and self._array.dtype.kind not in "fc":
            raise TapeError(
                f"only Tensors of floating point and complex dtype can require gradients, this one is {self.dtype}",
                fix="make it floating: tensor(data, dtype=float32, requires_grad=True)",
                where=user_frame(),
            )
        if requires_grad and self._inference and not inferring.get():
            raise TapeError(
                "Setting requires_grad=True on inference tensor outside InferenceMode is not allowed.",
                fix="make a clone outside inference_mode() and set it there",
                where=user_frame(),
            )
        if self._source is not None:
            if not requires_grad:
                raise TapeError(
                    "you can only change requires_grad flags of leaf variables.",
                    fix="use x.detach() for a tensor without history",
                    where=user_frame(),
                )
            return self
        if requires_grad or self._state is not None:
            self._own_state().requires_grad = requires_grad
        return self

    def _own_state(self) -> AccumulateGrad:
        if self._state is None:
            self._state = AccumulateGrad(self)  # type: ignore[arg-type]
        return self._state

    def _own_counter(self) -> Version:
        if self._counter is None:
            self._counter = Version()
        return self._counter

    def _written(self, writer: str) -> None:
        """Count a write to the storage."""
        version = self._own_counter()
        version.count += 1
        version.writer = writer

    def _check_writable(self, value: Any) -> None:
        """Raise TapeError where a write would break a record."""
        if self._inference and not inferring.get():
            raise TapeError(
                "Inplace update to inference tensor outside InferenceMode is not allowed.",
                fix="make a clone before you write to it: x = x.clone()",
                where=user_frame(),
            )
        if not recording.get():
            return
        if self._source is None and self.requires_grad:
            raise TapeError(
                "a leaf Variable that requires grad is being used in an in-place operation.",
                fix="write x = x + y, or update it inside with no_grad():",
                where=user_frame(),
            )
        view = self._view
        if view is None:
            return
        base = view.base
        if base._source is None and base.requires_grad:
            raise TapeError(
                "a view of a leaf Variable that requires grad is being used in an in-place operation.",
                fix="write to a copy, x.clone(), or update the leaf inside with no_grad():",
                where=user_frame(),
            )
        if view.piece and (base.requires_grad or getattr(value, "requires_grad", False)):
            raise TapeError(
                f"{view.piece} is a view and is being modified inplace. This view is the output of a function that returns "
                "multiple views. Such functions do not allow the output views to be modified inplace.",
                fix="replace the inplace operation by an out-of-place one, or write to a slice of the whole tensor",
                where=user_frame(),
            )
        if not view.recorded and (base.requires_grad or getattr(value, "requires_grad", False)):
            raise TapeError(
                "A view was created in no_grad mode and is being modified inplace with grad mode enabled.",
                fix="make the view where the gradient is recorded, or write inside with no_grad():",
                where=user_frame(),
            )

    def _check_stored(self, writer: str) -> None:
        """Raise TapeError where the elements have no memory of their own."""
        if not self._array.flags.writeable:
            raise TapeError(
                f"{writer}: unsupported operation: more than one element of the written-to tensor refers to a single "
                "memory location. Please clone() the tensor before performing the operation.",
                fix="write to a copy: x = x.clone()",
                where=user_frame(),
            )

    def _become(self, result: InPlace, other: Any, writer: str) -> Self:
        """Take the values and the history of ``result``, which was computed from this tensor and ``other``."""
        self._check_writable(other)
        if result._array.shape != self._array.shape:
            raise ShapeError(
                f"{writer}: output with shape {list(self.shape)} doesn't match the broadcast shape {list(result.shape)}",
                fix="write x = x + y: in-place operations keep the shape",
                where=user_frame(),
            )
        if result.dtype != self.dtype and not _castable(result.dtype, self.dtype):
            raise DtypeError(
                f"{writer}: result type {result.dtype} can't be cast to the desired output type {self.dtype}",
                fix="write x = x + y: in-place operations keep the dtype",
                where=user_frame(),
            )
        self._check_stored(writer)
        if result._source is not None:
            result._source.copy_kept(self._array)
        np.copyto(self._array, result._array, casting="unsafe")
        self._written(writer)
        if recording.get():
            self._take_history(result if result.dtype == self.dtype else result.astype(self.dtype))
        return self

    def _take_history(self, result: InPlace) -> None:
        """Let the record go on from a result whose values were written here."""
        if self._view is not None:
            if result.requires_grad or self._view.base.requires_grad:
                rewrite_base(self, result)  # type: ignore[arg-type]
        elif result._source is not None or self._source is not None:
            self._continue_from(result)
            self._own_counter().rebased += 1

    def _continue_from(self, result: InPlace) -> None:
        """Take the place of a result in the record; a gradient that is kept is now the one that arrives there."""
        before, slot = self._source, self._slot
        self._source, self._slot = result._source, result._slot
        if self._state is None or not self._state.retains:
            return
        if before is not None and before.retained is not None:
            before.retained.pop(slot, None)
        if self._source is not None:
            self._keep_gradient()

    def _keep_gradient(self) -> None:
        """Have the node that this tensor came from store the cotangent in ``.grad``."""
        source = self._source
        assert source is not None
        if source.retained is None:
            source.retained = {}
        source.retained[self._slot] = weakref.ref(self)  # type: ignore[arg-type]

    def detached_handle(self) -> Tensor:
        """Another handle on the storage with the same history, which is no view and never rebased."""
        same: Tensor = self._wrap(self._array, self._gradient_edge(), None, self._slot)  # type: ignore[attr-defined]
        return same

    def _gradient_edge(self) -> Node | None:
        """The node that cotangents of this tensor go to, None if it requires no grad."""
        if self._view is not None:
            follow(self)  # type: ignore[arg-type]
        if self._source is not None:
            return self._source
        state = self._state
        return state if state is not None and state.requires_grad else None

    def __setitem__(self, key: Any, value: Any) -> None:
        """Assign elements; with a gradient to record, the history goes on through a functional update."""
        self._check_writable(value)
        recorded = recording.get() and (self.requires_grad or getattr(value, "requires_grad", False))
        self._check_stored("x[...] = y")
        if recorded:
            result = setitem(self, key, value)
            # an array that replaces all elements comes back as it is: nothing of this tensor's history is left
            fresh = result if isinstance(result, InPlace) else type(self)._wrap(np.asarray(result))  # type: ignore[attr-defined]
            self._become(fresh, value, "x[...] = y")
            return
        try:
            self._array[_plain(key)] = _plain(value)
        except (ValueError, IndexError, TypeError) as error:
            if isinstance(value, (str, complex)):
                raise DtypeError(
                    f"can't assign the {type(value).__name__} {value!r} to a tensor of {self._array.dtype}",
                    fix="give a number that the dtype holds, or a tensor of them",
                    where=user_frame(),
                ) from None
            if isinstance(error, TypeError):
                raise
            raise ShapeError(
                f"x[...] = y with x of shape {self._array.shape} and y of shape {np.shape(_plain(value))}: {error}",
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

    def __ifloordiv__(self, other: Any) -> Self:
        return self._become(self // other, other, "//=")

    def __imod__(self, other: Any) -> Self:
        return self._become(self % other, other, "%=")

    def __ipow__(self, other: Any) -> Self:
        return self._become(self**other, other, "**=")

    def __iand__(self, other: Any) -> Self:
        return self._become(self & other, other, "&=")

    def __ior__(self, other: Any) -> Self:
        return self._become(self | other, other, "|=")

    def __ixor__(self, other: Any) -> Self:
        return self._become(self ^ other, other, "^=")


def _castable(source: np.dtype[Any], target: np.dtype[Any]) -> bool:
    """Whether PyTorch lets a result be written into a tensor: not into a lower category of dtypes."""
    order = {"b": 0, "u": 1, "i": 1, "f": 2, "c": 3}
    return order[source.kind] <= order[target.kind]


def _plain(value: Any) -> Any:
    """An index or a value with arrays in the place of tensors."""
    if isinstance(value, InPlace):
        return value._array
    if isinstance(value, list) and any(isinstance(v, InPlace) for v in value):
        return [_plain(v) for v in value]
    return tuple(_plain(v) for v in value) if isinstance(value, tuple) else value
