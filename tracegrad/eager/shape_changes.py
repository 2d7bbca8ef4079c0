"""Methods that give their tensor another shape: it shows the same storage afterwards, nothing is copied."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from tracegrad.core.source import user_frame
from tracegrad.eager.functions import shapes
from tracegrad.eager.modes import enable_grad, set_grad_enabled
from tracegrad.eager.nodes import OpNode
from tracegrad.errors import TapeError

if TYPE_CHECKING:
    from tracegrad.eager.inplace import InPlace

__all__ = ["SHAPE_CHANGES"]

_LABELS: Mapping[str, str] = {
    "SqueezeBackward0": "SqueezeBackward3",
    "SqueezeBackward1": "SqueezeBackward4",
    "SqueezeBackward2": "SqueezeBackward5",
    "TBackward0": "TBackward1",
    "TransposeBackward0": "TransposeBackward1",
    "UnsqueezeBackward0": "UnsqueezeBackward1",
}
"""PyTorch's numbers of the overloads that write to their tensor."""


def _take_view(x: InPlace, shown: InPlace) -> None:
    """Show what ``shown``, a view of the tensor, shows, with its history."""
    x._array = shown._array
    if x._view is not None:
        x._view = shown._view  # the same base by a longer path
    if shown._source is not None and x._source is not None:
        x._source, x._slot = shown._source, shown._slot
        if isinstance(x._source, OpNode):
            x._source.label = _LABELS.get(x._source.name(), x._source.label)
    if x._state is not None:
        if x._state.retains and x._source is not None:
            x._keep_gradient()
        elif x._source is None:
            x._state.hold(x._array)


def _changing(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The method ``name`` that gives its tensor the shape of the function's result."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        self._check_writable(None)
        if self._view is None and self._counter is not None and self.grad_fn is not None:
            # views of it lead from its old shape, and cannot be told from here
            raise TapeError(
                f"{name}: the tensor, whose values a gradient may need, shares its storage or has been modified by an "
                "inplace operation",
                fix=f"x = x.{name[:-1]}(...)",
                where=user_frame(),
            )
        # a history is followed even where none is begun, as gradients of the old shape would not fit the tensor
        with enable_grad() if self.grad_fn is not None else set_grad_enabled(False):
            shown = function(self, *args, **kwargs)
        if shown is not self:
            _take_view(self, shown)
        self._written(name)
        return self

    method.__name__ = name
    method.__qualname__ = f"Tensor.{name}"
    method.__doc__ = f"``{name[:-1]}`` of the tensor itself; TapeError for leaves that require grad."
    return method


SHAPE_CHANGES: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        f"{function.__name__}_": _changing(f"{function.__name__}_", function)
        for function in (
            shapes.squeeze,
            shapes.swapaxes,
            shapes.swapdims,
            shapes.t,
            shapes.transpose,
            shapes.unsqueeze,
        )
    }
)
"""The methods by name."""
