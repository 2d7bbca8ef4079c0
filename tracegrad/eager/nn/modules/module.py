"""Module: a function with parameters."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Self

from tracegrad.eager.nn.modules.backward_hooks import Passage
from tracegrad.eager.nn.modules.conversion import Convertible
from tracegrad.eager.nn.modules.hooks import CallStyle, ModuleHooks, RemovableHandle
from tracegrad.eager.nn.modules.state import Stateful

__all__ = ["Module"]

_HOOKS = (
    "_forward_pre_hooks",
    "_forward_hooks",
    "_backward_pre_hooks",
    "_backward_hooks",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)


def _no_forward(self: Any, *args: Any) -> Any:
    raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')


class Module(Stateful, Convertible):
    """A function with parameters: a subclass assigns parameters and submodules in ``__init__`` and defines ``forward``.

    >>> from tracegrad.eager.nn.parameter import Parameter
    >>> from tracegrad.eager.tensor import Tensor
    >>> class Scale(Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.factor = Parameter(Tensor([2.0]))
    ...     def forward(self, x):
    ...         return self.factor * x
    >>> [name for name, _ in Scale().named_parameters()]
    ['factor']
    >>> Scale()(Tensor([3.0])).tolist()
    [6.0]
    """

    training: bool
    _forward_pre_hooks: ModuleHooks
    _forward_hooks: ModuleHooks
    _backward_pre_hooks: ModuleHooks
    _backward_hooks: ModuleHooks

    forward: Callable[..., Any] = _no_forward

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        name = type(self).__name__
        if kwargs:
            raise TypeError(f"{name}.__init__() got an unexpected keyword argument '{next(iter(kwargs))}'")
        if args:
            raise TypeError(f"{name}.__init__() takes 1 positional argument but {len(args) + 1} were given")
        self._start()
        for hooks in _HOOKS:
            object.__setattr__(self, hooks, ModuleHooks())
        self.training = True

    # -- calling ------------------------------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run ``forward``, and the hooks around it."""
        if not (self._forward_pre_hooks or self._forward_hooks or self._backward_hooks or self._backward_pre_hooks):
            return self.forward(*args, **kwargs)
        return self._call_with_hooks(args, kwargs)

    def _call_with_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        waiting = list(self._forward_hooks)
        result = None
        try:
            args, kwargs = self._run_pre_hooks(args, kwargs)
            passage = None
            if self._backward_hooks or self._backward_pre_hooks:
                passage = Passage(self, self._backward_hooks, self._backward_pre_hooks)
                args = passage.start(args)
            result = self.forward(*args, **kwargs)
            while waiting:
                # taken off first: a hook that raised has been called
                hook, style = waiting.pop(0)
                changed = _call_hook(hook, style, self, args, kwargs, result)
                result = result if changed is None else changed
            if passage is not None:
                result = passage.end(result)
        except Exception:
            for hook, style in waiting:
                if style.always_call:
                    try:
                        changed = _call_hook(hook, style, self, args, kwargs, result)
                    except Exception as error:  # noqa: BLE001 - the first error is the one to see
                        warnings.warn(
                            "module forward hook with ``always_call=True`` raised an exception that was silenced as "
                            f"another error was raised in forward: {error}",
                            stacklevel=3,
                        )
                        continue
                    result = result if changed is None else changed
            raise
        return result

    def _run_pre_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        for hook, style in self._forward_pre_hooks:
            if style.with_kwargs:
                changed = hook(self, args, kwargs)
                if changed is None:
                    continue
                if not isinstance(changed, tuple) or len(changed) != 2:
                    raise RuntimeError(
                        f"forward pre-hook must return None or a tuple of (new_args, new_kwargs), but got {changed}."
                    )
                args, kwargs = changed
            else:
                changed = hook(self, args)
                if changed is not None:
                    args = changed if isinstance(changed, tuple) else (changed,)
        return args, kwargs

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call a hook before ``forward``; what it returns replaces the arguments.

        Parameters
        ----------
        hook: called as ``hook(module, args)``, or ``hook(module, args, kwargs)`` with ``with_kwargs``; returns None, the
            new arguments, or with ``with_kwargs`` a pair of both.
        prepend: run it before the hooks that are there.
        with_kwargs: whether it takes the keyword arguments.
        """
        return self._forward_pre_hooks.add(hook, CallStyle(with_kwargs), prepend)

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> RemovableHandle:
        """Call a hook after ``forward``; what it returns replaces the result.

        Parameters
        ----------
        hook: called as ``hook(module, args, output)``, or ``hook(module, args, kwargs, output)`` with ``with_kwargs``.
        prepend: run it before the hooks that are there.
        with_kwargs: whether it takes the keyword arguments.
        always_call: call it also where ``forward`` raised.
        """
        return self._forward_hooks.add(hook, CallStyle(with_kwargs, always_call), prepend)

    def register_full_backward_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call ``hook(module, grad_output)`` where a backward enters; what it returns replaces the cotangents."""
        return self._backward_pre_hooks.add(hook, prepend=prepend)

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call a hook where a backward leaves the module.

        Parameters
        ----------
        hook: called as ``hook(module, grad_input, grad_output)`` with tuples of cotangents, None for those of values
            that carry none; what it returns replaces ``grad_input``.
        prepend: run it before the hooks that are there.
        """
        return self._backward_hooks.add(hook, prepend=prepend)

    # -- modes --------------------------------------------------------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Set training mode, or with ``mode=False`` evaluation, here and in all submodules; returns the module."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")  # noqa: TRY004 - PyTorch's kind of error
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self) -> Self:
        """Set evaluation mode, the same as ``train(False)``."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Start or stop training the parameters; returns the module."""
        for p in self.parameters():
            p.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of the parameters, or with ``set_to_none=False`` set them to zero."""
        for p in self.parameters():
            if set_to_none:
                p.grad = None
            elif p.grad is not None:
                if p.grad.requires_grad:
                    p.grad = p.grad.detach()
                p.grad[...] = 0

    def apply(self, fn: Callable[[Any], Any]) -> Self:
        """Call a function with every submodule and at last with this module; returns the module."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    # -- text ---------------------------------------------------------------------------------------------------------

    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """The settings of this module as its printed form gives them; empty unless a subclass defines it."""
        return ""

    def _child_texts(self) -> list[tuple[str, str]]:
        """The submodules with the names they are printed under."""
        return [(name, repr(module)) for name, module in self._modules.items()]

    def __repr__(self) -> str:
        settings = self.extra_repr()
        children = [f"({name}): " + indented(text) for name, text in self._child_texts()]
        own = settings.split("\n") if settings else []
        if len(own) <= 1 and not children:
            return f"{self._get_name()}({settings})"
        return f"{self._get_name()}(\n  " + "\n  ".join([*own, *children]) + "\n)"


def _call_hook(
    hook: Callable[..., Any], style: CallStyle, module: Module, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any
) -> Any:
    return hook(module, args, kwargs, result) if style.with_kwargs else hook(module, args, result)


def indented(text: str) -> str:
    """A text whose lines after the first are indented by two."""
    return text.replace("\n", "\n  ")
