"""Functions that run when a backward has passed through a module: they see the cotangents of its results and inputs."""

from __future__ import annotations

import warnings
from typing import Any

from tracegrad.eager.autograd.function import Function
from tracegrad.eager.modes import recording
from tracegrad.eager.nn.modules.hooks import ModuleHooks
from tracegrad.eager.tensor import Tensor

__all__ = ["Passage"]


class BackwardHookFunction(Function):
    """Tensors as they are, whose cotangents a passage sees on their way back."""

    @staticmethod
    def forward(ctx: Any, seen: Any, *tensors: Tensor) -> Any:
        """The tensors; ``seen`` gets their cotangents and gives those that go on."""
        ctx.seen = seen
        # a result that was not used has no cotangent, which is not one of zeros
        ctx.set_materialize_grads(False)
        return tuple(x.detach() for x in tensors)

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> Any:
        """What ``seen`` makes of the cotangents."""
        return (None, *ctx.seen(cotangents))


class Passage:
    """One call of a module with backward hooks: it marks where a backward enters and leaves.

    Parameters
    ----------
    module: the module, which hooks get as their first argument.
    hooks: called as ``hook(module, grad_input, grad_output)`` where the backward leaves.
    pre_hooks: called as ``hook(module, grad_output)`` where it enters.
    """

    def __init__(self, module: Any, hooks: ModuleHooks, pre_hooks: ModuleHooks) -> None:
        self._module = module
        self._hooks = [hook for hook, _ in hooks]
        self._pre_hooks = [hook for hook, _ in pre_hooks]
        self._inputs: tuple[list[int], int] = ([], 0)
        self._outputs: tuple[list[int], int] = ([], 0)
        self._entered: tuple[Any, ...] | None = None

    def start(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Mark the arguments of ``forward``."""
        marked, places = _marked(args, self._leave)
        self._inputs = (places, len(args))
        return marked

    def end(self, result: Any) -> Any:
        """Mark the result of ``forward``."""
        if not isinstance(result, (Tensor, tuple)):
            warnings.warn(
                "For backward hooks to be called, module output should be a Tensor or a tuple of Tensors but received "
                f"{type(result)}",
                stacklevel=4,
            )
        results = result if isinstance(result, tuple) else (result,)
        marked, places = _marked(results, self._enter)
        self._outputs = (places, len(results))
        if not isinstance(result, tuple):
            return marked[0]
        # a named tuple stays one
        return marked if type(result) is tuple else type(result)(*marked)

    def _enter(self, cotangents: tuple[Any, ...]) -> tuple[Any, ...]:
        places, count = self._outputs
        entered = _spread(cotangents, places, count)
        for hook in self._pre_hooks:
            changed = hook(self._module, entered)
            if changed is not None:
                entered = _checked(changed, count, "Backward pre hook returned an invalid number of grad_output")
        if self._inputs[0]:
            self._entered = entered
        else:
            self._without_inputs(entered)
        return tuple(entered[k] for k in places)

    def _without_inputs(self, entered: tuple[Any, ...]) -> None:
        """Call the hooks at once, as the backward will not leave through an input."""
        warnings.warn(
            "Full backward hook is firing when gradients are computed with respect to module outputs since no inputs "
            "require gradients.",
            stacklevel=2,
        )
        nothing = (None,) * self._inputs[1]
        for hook in self._hooks:
            changed = hook(self._module, nothing, entered)
            if changed is not None and any(g is not None for g in changed):
                raise RuntimeError(
                    "Backward hook for Modules where no input requires gradient should always return None or None for all "
                    "gradients."
                )

    def _leave(self, cotangents: tuple[Any, ...]) -> tuple[Any, ...]:
        if self._entered is None:
            return cotangents  # a backward that did not come through the result
        places, count = self._inputs
        leaving = _spread(cotangents, places, count)
        for hook in self._hooks:
            changed = hook(self._module, leaving, self._entered)
            if changed is not None:
                leaving = _checked(changed, count, "Backward hook returned an invalid number of grad_input")
        self._entered = None
        return tuple(leaving[k] for k in places)


def _marked(values: tuple[Any, ...], seen: Any) -> tuple[tuple[Any, ...], list[int]]:
    """The values, those that carry gradients behind one node, and where these stand."""
    places = [k for k, x in enumerate(values) if isinstance(x, Tensor) and x.requires_grad]
    if not places or not recording.get():
        return values, []
    through = BackwardHookFunction.apply(seen, *(values[k] for k in places))
    marked = list(values)
    for k, x in zip(places, through, strict=True):
        marked[k] = x
    return tuple(marked), places


def _spread(cotangents: tuple[Any, ...], places: list[int], count: int) -> tuple[Any, ...]:
    """The cotangents at their places, None elsewhere."""
    found: list[Any] = [None] * count
    for k, g in zip(places, cotangents, strict=True):
        found[k] = g
    return tuple(found)


def _checked(changed: Any, count: int, text: str) -> tuple[Any, ...]:
    found = changed if isinstance(changed, tuple) else (changed,)
    if len(found) != count:
        raise RuntimeError(f"{text}, got {len(found)}, but expected {count}")
    return found
