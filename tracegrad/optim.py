"""Optimisers as pairs of pure functions on pytrees, so that a whole training step traces into one program.

>>> rule = sgd(0.5)
>>> params = {"w": np.array([1.0, 2.0])}
>>> params, state = rule.update({"w": np.array([2.0, 2.0])}, rule.init(params), params)
>>> params["w"]
array([0., 1.])
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from tracegrad.core.aval import shape_of
from tracegrad.core.tree import flatten, tree_map
from tracegrad.errors import DtypeError, ShapeError, TreeError
from tracegrad.ops.maps import add, cast, divide, multiply, power, sqrt, subtract

__all__ = ["AdamState", "Optimizer", "SgdState", "adam", "sgd"]

Rate = float | Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Optimizer:
    """A rule that improves parameters.

    Parameters
    ----------
    init: ``init(params) -> state``.
    update: ``update(grads, state, params) -> (params, state)``; nothing is written to. Parameters keep their dtypes.
        Raises TreeError and ShapeError for gradients that are not those of the parameters, DtypeError (as does ``init``)
        for parameters that are no floats.

    >>> rule = sgd(0.5)
    >>> params = [np.array([1.0, 2.0])]
    >>> rule.update([np.array([2.0, 2.0])], rule.init(params), params)[0]
    [array([0., 1.])]
    """

    init: Callable[[Any], Any]
    update: Callable[[Any, Any, Any], tuple[Any, Any]]


class SgdState(NamedTuple):
    """Steps taken, and the running sum of gradients in the parameters' structure, None without momentum.

    >>> print(sgd(0.1).init(np.zeros(2)))
    SgdState(step=np.int64(0), velocity=None)
    """

    step: Any
    velocity: Any


class AdamState(NamedTuple):
    """Steps taken, and the running means of the gradients and of their squares, in the parameters' structure.

    >>> print(adam().init(np.zeros(2)))
    AdamState(step=np.int64(0), first=array([0., 0.]), second=array([0., 0.]))
    """

    step: Any
    first: Any
    second: Any


def sgd(lr: Rate, momentum: float = 0.0, nesterov: bool = False, weight_decay: float = 0.0) -> Optimizer:
    """Gradient descent by PyTorch's formulas: ``v ← momentum·v + g``, ``p ← p - lr·v``.

    Parameters
    ----------
    lr: the step size, or a function of the number of steps taken before.
    momentum: how much of the last step's direction is kept.
    nesterov: whether to step along ``g + momentum·v`` instead of ``v``.
    weight_decay: this multiple of each parameter is added to its gradient.

    >>> rule = sgd(0.1, momentum=0.9)
    >>> p = np.array(1.0)
    >>> p, state = rule.update(np.array(1.0), rule.init(p), p)
    >>> p, state = rule.update(np.array(1.0), state, p)
    >>> print(round(float(p), 4))
    0.71
    """
    if nesterov and not momentum:
        raise ValueError("sgd: nesterov needs a momentum above 0")

    def init(params: Any) -> SgdState:
        return SgdState(_no_steps(), _zeros(params) if momentum else None)

    def update(grads: Any, state: SgdState, params: Any) -> tuple[Any, SgdState]:
        rate = _rate(lr, state.step)
        grads = _decayed(grads, params, weight_decay)
        velocity, direction = None, grads
        if momentum:
            velocity = tree_map(lambda v, g: add(v * momentum, g), state.velocity, grads)
            direction = tree_map(lambda g, v: add(g, v * momentum), grads, velocity) if nesterov else velocity
        moved = tree_map(lambda p, d: subtract(p, multiply(d, _like(rate, p))), params, direction)
        return moved, SgdState(state.step + 1, velocity)

    return Optimizer(init, update)


def adam(lr: Rate = 1e-3, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8, weight_decay: float = 0.0) -> Optimizer:
    """Adam by PyTorch's formulas.

    ``m ← b1·m + (1 - b1)·g``, ``v ← b2·v + (1 - b2)·g²``, ``p ← p - lr / (1 - b1ᵗ) · m / (√v / √(1 - b2ᵗ) + eps)``.

    Parameters
    ----------
    lr: the step size, or a function of the number of steps taken before.
    b1, b2: how much of the running means of gradients and of their squares is kept.
    eps: keeps the divisor from 0.
    weight_decay: this multiple of each parameter is added to its gradient.

    >>> rule = adam(0.1)
    >>> p, state = rule.update(np.array(3.0), rule.init(np.array(1.0)), np.array(1.0))
    >>> print(round(float(p), 4))
    0.9
    """

    def init(params: Any) -> AdamState:
        return AdamState(_no_steps(), _zeros(params), _zeros(params))

    def update(grads: Any, state: AdamState, params: Any) -> tuple[Any, AdamState]:
        step = state.step + 1
        grads = _decayed(grads, params, weight_decay)
        first = tree_map(lambda m, g: add(m * b1, g * (1.0 - b1)), state.first, grads)
        second = tree_map(lambda v, g: add(v * b2, g * g * (1.0 - b2)), state.second, grads)
        # scalars in float64, cast to each parameter's dtype where they meet it
        count = cast(step, dtype=np.dtype(np.float64))
        rate = divide(_rate(lr, state.step), 1.0 - power(b1, count))
        root = sqrt(1.0 - power(b2, count))

        def move(p: Any, m: Any, v: Any) -> Any:
            size = divide(sqrt(v), _like(root, p)) + eps
            return subtract(p, divide(multiply(m, _like(rate, p)), size))

        return tree_map(move, params, first, second), AdamState(step, first, second)

    return Optimizer(init, update)


def _no_steps() -> Any:
    # a NumPy scalar, as the count is after a compiled step: a 0-d array would be another key, and so another trace
    return np.int64(0)


def _zeros(params: Any) -> Any:
    """Zeros in the shapes and dtypes of the parameters; DtypeError names a leaf that is no float."""
    leaves, structure = flatten(params, root="params")
    for leaf, path in zip(leaves, structure.paths("params"), strict=True):
        if _dtype(leaf).kind != "f":
            raise DtypeError(f"{path} has dtype {_dtype(leaf)} and cannot be optimised", fix="make it a float array")
    return tree_map(lambda p: np.zeros(shape_of(p), _dtype(p))[()], params)


def _dtype(leaf: Any) -> np.dtype[Any]:
    dtype: np.dtype[Any] = leaf.dtype if hasattr(leaf, "dtype") else np.asarray(leaf).dtype
    return dtype


def _like(number: Any, parameter: Any) -> Any:
    """A number in the dtype of a parameter, so that float64 scalars do not widen it."""
    return cast(number, dtype=_dtype(parameter)) if hasattr(number, "dtype") else number


def _rate(lr: Rate, step: Any) -> Any:
    return lr(step) if callable(lr) else lr


def _decayed(grads: Any, params: Any, weight_decay: float) -> Any:
    """The gradients with weight decay; TreeError and ShapeError where they are not those of the parameters."""
    leaves, structure = flatten(params, root="params")
    others, other_structure = flatten(grads, root="grads")
    if structure != other_structure:
        raise TreeError(
            f"the gradients have the structure {other_structure!r}, the parameters {structure!r}",
            fix="pass the gradients of these parameters, in the same structure",
        )
    for p, g, path in zip(leaves, others, structure.paths("params"), strict=True):
        if shape_of(p) != shape_of(g):
            raise ShapeError(
                f"{path} has shape {shape_of(p)}, its gradient {shape_of(g)}",
                fix="pass the gradient of this parameter, in its shape",
            )
    if not weight_decay:
        return tree_map(lambda p, g: g, params, grads)
    return tree_map(lambda p, g: add(g, p * weight_decay), params, grads)
