"""What all optimisers share: groups of parameters, their options, the state per parameter."""

from __future__ import annotations

import functools
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import Any

import numpy as np

from tracegrad.eager.hooks import Hooks, RemovableHandle
from tracegrad.eager.modes import enable_grad
from tracegrad.eager.tensor import Tensor

__all__ = ["Optimizer", "required"]

Group = dict[str, Any]


class _Required:
    """The default of an option that each group has to give."""

    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()
"""As the default of an option: each group of parameters has to give it."""


class Optimizer:
    """The base of optimisers; a subclass writes ``step``.

    Parameters
    ----------
    params: tensors, ``(name, tensor)`` pairs, or dicts with ``"params"`` and options that differ from the defaults.
    defaults: the options of groups that do not give them.

    Raises TypeError for a single tensor and for what is no tensor; ValueError for no parameters, parameters in two groups
    and tensors that were computed.

    >>> class Descent(Optimizer):
    ...     def step(self, closure=None):
    ...         for group in self.param_groups:
    ...             for p in group["params"]:
    ...                 p.data = p.data - group["lr"] * p.grad
    >>> w = Tensor([1.0, 2.0], requires_grad=True)
    >>> w.grad = Tensor([1.0, 1.0])
    >>> Descent([w], {"lr": 0.5}).step()
    >>> w
    tensor([0.5000, 1.5000], requires_grad=True)
    """

    defaults: dict[str, Any]
    param_groups: list[Group]
    state: defaultdict[Any, Any]
    _stepped: bool | None = None
    """Whether a step was taken since a scheduler began to watch; None while none does."""

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self._pre_hooks, self._post_hooks = Hooks(), Hooks()
        if isinstance(params, Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, but got "
                f"{type(params).__name__}: write [tensor]"
            )
        self.state = defaultdict(dict)
        self.param_groups = []
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        step = vars(cls).get("step")
        if step is not None:
            cls.step = _noted(step)  # type: ignore[method-assign]

    def __getstate__(self) -> dict[str, Any]:
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if "_pre_hooks" not in self.__dict__:
            self._pre_hooks, self._post_hooks = Hooks(), Hooks()

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for number, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {number}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join([*lines, ")"])

    # -- steps --------------------------------------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Improve the parameters once by their gradients; returns what the closure returned.

        Parameters
        ----------
        closure: computes the loss anew, with its gradients.
        """
        raise NotImplementedError(f"{type(self).__name__} has no step: write step(self, closure=None)")

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters.

        Parameters
        ----------
        set_to_none: make them None; otherwise fill them with zeros. A parameter whose gradient is None is left as it is
            by ``step``.

        >>> w = Tensor([1.0], requires_grad=True)
        >>> w.grad = Tensor([3.0])
        >>> SGD = Optimizer([w], {})
        >>> SGD.zero_grad()
        >>> w.grad is None
        True
        """
        for p in self._params():
            g = p.grad
            if g is None:
                continue
            if set_to_none:
                p.grad = None
                continue
            if g.requires_grad:
                g = p.grad = g.detach()
            g._array[...] = 0
            g._written("zero_grad")

    def register_step_pre_hook(self, hook: Callable[[Any, Any, Any], Any]) -> RemovableHandle:
        """Call ``hook(optimizer, args, kwargs)`` before each step; a pair it returns replaces the arguments."""
        return self._pre_hooks.add(hook)

    def register_step_post_hook(self, hook: Callable[[Any, Any, Any], Any]) -> RemovableHandle:
        """Call ``hook(optimizer, args, kwargs)`` after each step."""
        return self._post_hooks.add(hook)

    def _params(self) -> Iterable[Tensor]:
        return chain.from_iterable(group["params"] for group in self.param_groups)

    # -- groups -------------------------------------------------------------------------------------------------------

    def add_param_group(self, param_group: Group) -> None:
        """Add parameters with options of their own.

        Parameters
        ----------
        param_group: ``"params"`` and the options that differ from the defaults.

        Raises TypeError and ValueError as the constructor does.

        >>> a, b = Tensor([1.0], requires_grad=True), Tensor([2.0], requires_grad=True)
        >>> optimizer = Optimizer([a], {"lr": 0.1})
        >>> optimizer.add_param_group({"params": b, "lr": 0.01})
        >>> [group["lr"] for group in optimizer.param_groups]
        [0.1, 0.01]
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        names, tensors = _named(param_group["params"])
        param_group["params"] = tensors
        if names:
            param_group["param_names"] = names
        for p in tensors:
            if not isinstance(p, Tensor):
                raise TypeError(f"optimizer can only optimize Tensors, but one of the params is {type(p).__name__}")
            if not (p.is_leaf or p.retains_grad):
                raise ValueError("can't optimize a non-leaf Tensor: pass the tensors it was computed from")
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ValueError(f"parameter group didn't specify a value of required optimization parameter {name}")
            param_group.setdefault(name, default)
        if len({id(p) for p in tensors}) < len(tensors):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters: each would take several steps at once",
                UserWarning,
                stacklevel=3,
            )
        if any(("param_names" in group) != ("param_names" in param_group) for group in self.param_groups):
            raise ValueError(
                "all optimizer param groups should be with/without names. cannot add param group "
                f"{'with' if names else 'without'} names to the optimizer"
            )
        known = {id(p) for p in self._params()}
        if any(id(p) in known for p in tensors):
            raise ValueError("some parameters appear in more than one parameter group")
        self.param_groups.append(param_group)

    # -- saving -------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """The state in PyTorch's layout: ``{"state": {number: {...}}, "param_groups": [{..., "params": [numbers]}]}``.

        Parameters are numbered in the order of the groups; the tensors are the optimiser's own, not copies.
        """
        numbers: dict[int, int] = {}
        for p in self._params():
            numbers.setdefault(id(p), len(numbers))
        groups = [{**group, "params": [numbers[id(p)] for p in group["params"]]} for group in self.param_groups]
        for group in groups:
            group["params"] = group.pop("params")  # last, as PyTorch has it
        state = {numbers[id(key)] if isinstance(key, Tensor) else key: value for key, value in self.state.items()}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over a state and the options from ``state_dict``; tensors are copied, in the parameters' dtypes.

        Raises ValueError where the groups or their numbers of parameters differ.
        """
        saved = state_dict["param_groups"]
        if len(saved) != len(self.param_groups):
            raise ValueError(
                "loaded state dict has a different number of parameter groups: "
                f"{len(saved)}, this optimizer has {len(self.param_groups)}"
            )
        for number, (group, other) in enumerate(zip(self.param_groups, saved, strict=True)):
            if len(group["params"]) != len(other["params"]):
                raise ValueError(
                    "loaded state dict contains a parameter group that doesn't match the size of optimizer's group: "
                    f"group {number} has {len(other['params'])} parameters, this optimizer's has {len(group['params'])}"
                )
        numbers = chain.from_iterable(group["params"] for group in saved)
        params = dict(zip(numbers, self._params(), strict=True))
        state: defaultdict[Any, Any] = defaultdict(dict)
        for number, value in state_dict["state"].items():
            p = params.get(number)
            state[number if p is None else p] = value if p is None else _copied(value, p)
        groups = [
            {**_copied(other, None), "params": group["params"]} for group, other in zip(self.param_groups, saved, strict=True)
        ]
        for group, old in zip(groups, self.param_groups, strict=True):
            if "param_names" in old:
                group.setdefault("param_names", old["param_names"])
        self.__setstate__({"state": state, "param_groups": groups})


def _noted(step: Callable[..., Any]) -> Callable[..., Any]:
    """A step with its hooks, which schedulers can see."""

    @functools.wraps(step)
    def run(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        for hook, _ in self._pre_hooks:
            given = hook(self, args, kwargs)
            if given is not None:
                if not (isinstance(given, tuple) and len(given) == 2):
                    raise RuntimeError(
                        f"{step.__qualname__}: a step pre hook must return None or a tuple of (new_args, new_kwargs), "
                        f"but got {given}"
                    )
                args, kwargs = given
        if self._stepped is not None:
            self._stepped = True
        result = step(self, *args, **kwargs)
        for hook, _ in self._post_hooks:
            hook(self, args, kwargs)
        return result

    return run


def evaluated(closure: Callable[[], Any] | None) -> Any:
    """What a closure returns, recorded whatever the mode is; None without one."""
    if closure is None:
        return None
    with enable_grad():
        return closure()


def _named(params: Any) -> tuple[list[str], list[Any]]:
    """The names, if they have any, and the tensors of what a group was given."""
    if isinstance(params, Tensor):
        return [], [params]
    if isinstance(params, (set, frozenset)):
        raise TypeError(
            "optimizer parameters need to be organized in ordered collections, but the ordering of tensors in sets will "
            "change between runs. Please use a list instead."
        )
    entries = list(params)
    names = [entry[0] for entry in entries if isinstance(entry, tuple)]
    if names and len(names) < len(entries):
        raise ValueError("all optimizer params should be with/without names. Some param names are missing")
    return names, [entry[1] if isinstance(entry, tuple) else entry for entry in entries]


def _copied(value: Any, p: Tensor | None, key: Any = None) -> Any:
    """A deep copy of saved state; tensors take the dtype of their parameter, but not the count of steps."""
    if isinstance(value, Tensor):
        dtype = value.dtype if p is None or key == "step" or p.dtype.kind not in "fc" else p.dtype
        return Tensor._wrap(np.array(value._array, dtype))
    if isinstance(value, dict):
        return {k: _copied(v, p, k) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_copied(v, p) for v in value)
    return value
