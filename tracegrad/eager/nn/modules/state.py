"""State dicts: the tensors of a module by name, out and in again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from tracegrad.eager.modes import no_grad
from tracegrad.eager.nn.modules.hooks import ModuleHooks, RemovableHandle
from tracegrad.eager.nn.modules.registry import Registry
from tracegrad.eager.nn.parameter import Parameter
from tracegrad.eager.tensor import Tensor, tensor

__all__ = ["IncompatibleKeys", "Stateful"]

_EXTRA = "_extra_state"


class IncompatibleKeys(NamedTuple):
    """What ``load_state_dict`` did not find, and what it had no place for."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"_IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


class StateDict(OrderedDict[str, Any]):
    """The tensors of a module by dotted name; ``_metadata`` has the version of each module's layout."""

    _metadata: OrderedDict[str, dict[str, Any]]

    def __repr__(self) -> str:
        return "OrderedDict" + super().__repr__().removeprefix(type(self).__name__)  # as PyTorch prints it


@dataclass
class _Loading:
    """What is known while a state dict is loaded."""

    state: dict[str, Any]
    metadata: Mapping[str, Any]
    strict: bool
    assign: bool
    incompatible: IncompatibleKeys = field(default_factory=lambda: IncompatibleKeys([], []))
    errors: list[str] = field(default_factory=list)


class Stateful(Registry):
    """The part of Module that gives and takes state dicts."""

    _version: int = 1
    _state_dict_hooks: ModuleHooks
    _state_dict_pre_hooks: ModuleHooks
    _load_state_dict_pre_hooks: ModuleHooks
    _load_state_dict_post_hooks: ModuleHooks

    # -- out ----------------------------------------------------------------------------------------------------------

    def state_dict(self, *, destination: Any = None, prefix: str = "", keep_vars: bool = False) -> Any:
        """The parameters and persistent buffers by dotted name, sharing storage with the module.

        Parameters
        ----------
        destination: a dict to put them into; a new OrderedDict if None.
        prefix: stands before every name.
        keep_vars: give the parameters themselves instead of detached tensors.
        """
        if destination is None:
            destination = StateDict()
            destination._metadata = OrderedDict()
        local: dict[str, Any] = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = local
        for hook, _ in self._state_dict_pre_hooks:
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        for hook, _ in self._state_dict_hooks:
            hook(self, destination, prefix, local)
        return destination

    def _persistent(self) -> dict[str, Tensor]:
        """The module's own tensors that are part of its state."""
        kept = {name: x for name, x in self._buffers.items() if name not in self._non_persistent_buffers_set}
        return {name: x for name, x in {**self._parameters, **kept}.items() if x is not None}

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        for name, x in self._persistent().items():
            destination[prefix + name] = x if keep_vars else x.detach()
        if type(self).get_extra_state is not Stateful.get_extra_state:
            destination[prefix + _EXTRA] = self.get_extra_state()

    def get_extra_state(self) -> Any:
        """What else belongs into the state dict; a module that defines this also defines ``set_extra_state``."""
        raise RuntimeError(
            "Reached a code path in Module.get_extra_state() that should never be called: define it in the module"
        )

    def set_extra_state(self, state: Any) -> None:
        """Take back what ``get_extra_state`` gave."""
        raise RuntimeError(
            "Reached a code path in Module.set_extra_state() that should never be called: define it in the module"
        )

    # -- in -----------------------------------------------------------------------------------------------------------

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> IncompatibleKeys:
        """Copy values into the parameters and persistent buffers.

        Parameters
        ----------
        state_dict: tensors, or NumPy arrays, by dotted name.
        strict: whether the names have to be exactly those of ``state_dict()``.
        assign: put the given tensors in the place of the module's own instead of copying their values.

        Returns the names that were missing and those that were not expected. Raises RuntimeError with all that does
        not fit: names, if ``strict``, and shapes; TypeError for something that is no mapping.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        metadata = getattr(state_dict, "_metadata", {})
        loading = _Loading(dict(state_dict), metadata, strict, assign)
        self._load("", loading.state, loading)
        errors = list(loading.errors)
        if strict:
            for kind, keys in (("Unexpected", loading.incompatible[1]), ("Missing", loading.incompatible[0])):
                if keys:
                    errors.insert(0, f"{kind} key(s) in state_dict: {', '.join(map(_quoted, keys))}. ")
        if errors:
            raise RuntimeError(f"Error(s) in loading state_dict for {type(self).__name__}:\n\t" + "\n\t".join(errors))
        return loading.incompatible

    def _load(self, prefix: str, state: dict[str, Any], loading: _Loading) -> None:
        local = dict(loading.metadata.get(prefix[:-1], {}))
        if loading.assign:
            local["assign_to_params_buffers"] = True
        missing, unexpected = loading.incompatible
        # the names are collected whether or not they are errors
        self._load_from_state_dict(state, prefix, local, True, missing, unexpected, loading.errors)
        for name, module in self._modules.items():
            if module is not None:
                below = f"{prefix}{name}."
                module._load(below, {key: x for key, x in state.items() if key.startswith(below)}, loading)
        for hook, _ in self._load_state_dict_post_hooks:
            if hook(self, loading.incompatible) is not None:
                raise RuntimeError(
                    "Hooks registered with ``register_load_state_dict_post_hook`` are not expected to return new values; "
                    "change incompatible_keys in place"
                )

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Load this module's own tensors; a module with an old layout to understand overrides this, as in PyTorch."""
        for hook, _ in self._load_state_dict_pre_hooks:
            hook(self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)
        own = self._persistent()
        for name, x in own.items():
            key = prefix + name
            if key in state_dict:
                problem = self._load_one(key, name, x, state_dict[key], "assign_to_params_buffers" in local_metadata)
                if problem:
                    error_msgs.append(problem)
            elif strict:
                missing_keys.append(key)
        extra = prefix + _EXTRA
        takes_extra = type(self).set_extra_state is not Stateful.set_extra_state
        if takes_extra and extra in state_dict:
            self.set_extra_state(state_dict[extra])
        elif strict and takes_extra:
            missing_keys.append(extra)
        if strict:
            known = {*own, _EXTRA} if takes_extra else own
            for key in state_dict:
                first, dot, _ = key.removeprefix(prefix).partition(".")
                if key.startswith(prefix) and first not in (self._modules if dot else known):
                    unexpected_keys.append(key)

    def _load_one(self, key: str, name: str, x: Tensor, given: Any, assign: bool) -> str:
        """Load one tensor; what does not fit is the result."""
        if isinstance(given, np.ndarray):
            given = tensor(given)
        if not isinstance(given, Tensor):
            return (
                f'While copying the parameter named "{key}", expected torch.Tensor or Tensor-like object from checkpoint '
                f"but received {type(given)}"
            )
        if tuple(given.shape) != tuple(x.shape):
            return (
                f"size mismatch for {key}: copying a param with shape {_size(given)} from checkpoint, "
                f"the shape in current model is {_size(x)}."
            )
        if not assign:
            with no_grad():
                x[...] = given
            return ""
        if isinstance(x, Parameter):
            wanted = x.requires_grad
            given = given.requires_grad_(wanted) if isinstance(given, Parameter) else Parameter(given, wanted)
        setattr(self, name, given)
        return ""

    # -- hooks --------------------------------------------------------------------------------------------------------

    def register_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, prefix, keep_vars)`` before each ``state_dict``."""
        return self._state_dict_pre_hooks.add(hook)

    def register_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, state_dict, prefix, local_metadata)`` after each ``state_dict``; it may change the dict."""
        return self._state_dict_hooks.add(hook)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call a hook before this module's own tensors are loaded.

        It gets ``(module, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)`` and
        may change the dict and the lists.
        """
        return self._load_state_dict_pre_hooks.add(hook)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, incompatible_keys)`` after loading; it may change the lists of keys in place."""
        return self._load_state_dict_post_hooks.add(hook)


def _quoted(key: str) -> str:
    return f'"{key}"'


def _size(x: Tensor) -> str:
    return f"torch.Size({list(x.shape)})"
