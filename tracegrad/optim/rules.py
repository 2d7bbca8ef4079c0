"""The pure rules: a formula of :mod:`tracegrad.optim.formulas` mapped over a pytree, with its options bound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from tracegrad.core.aval import shape_of
from tracegrad.core.tree import TreeDef, flatten
from tracegrad.errors import DtypeError, ShapeError, TreeError
from tracegrad.optim.formula import Formula, Slot, dtype_of, precise
from tracegrad.optim.formulas import ADADELTA, ADAGRAD, ADAM, ADAMAX, NADAM, RADAM, RMSPROP, SGD

Rate = float | Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Optimizer:
    """A rule that improves parameters.

    Parameters
    ----------
    init: ``init(params) -> state``.
    update: ``update(grads, state, params, **numbers) -> (params, state)``; nothing is written to. Parameters keep their
        dtypes. Numbers given here, e.g. ``lr=0.1``, stand for those of the rule. Raises TreeError and ShapeError for
        gradients that are not those of the parameters, DtypeError (as does ``init``) for parameters that are no floats.

    Groups of parameters with options of their own are several rules, each with its state.

    >>> rule = sgd(0.5)
    >>> params = [np.array([1.0, 2.0])]
    >>> rule.update([np.array([2.0, 2.0])], rule.init(params), params)[0]
    [array([0., 1.])]
    """

    init: Callable[[Any], Any]
    update: Callable[..., tuple[Any, Any]]


# -- states: the steps taken, then the formula's slots in their order ------------------------------------------------


class SgdState(NamedTuple):
    """Steps taken, and the running sum of gradients in the parameters' structure, None without momentum.

    >>> print(sgd(0.1).init(np.zeros(2)))
    SgdState(step=np.int64(0), velocity=None)
    """

    step: Any
    velocity: Any


class AdamState(NamedTuple):
    """Steps taken, the running means of the gradients and of their squares, and with ``amsgrad`` the largest such mean.

    >>> print(adam().init(np.zeros(2)))
    AdamState(step=np.int64(0), first=array([0., 0.]), second=array([0., 0.]), largest=None)
    """

    step: Any
    first: Any
    second: Any
    largest: Any = None


class AdamaxState(NamedTuple):
    """Steps taken, the running mean of the gradients, and their decaying maximum."""

    step: Any
    first: Any
    largest: Any


class NadamState(NamedTuple):
    """Steps taken, per parameter the product of its momenta, and the running means of gradients and squares."""

    step: Any
    product: Any
    first: Any
    second: Any


class RadamState(NamedTuple):
    """Steps taken, and the running means of the gradients and of their squares."""

    step: Any
    first: Any
    second: Any


class RmspropState(NamedTuple):
    """Steps taken, the running mean of squares, and with their options the velocity and the running mean of gradients."""

    step: Any
    squares: Any
    velocity: Any
    centre: Any


class AdagradState(NamedTuple):
    """Steps taken, and the sum of the gradients' squares."""

    step: Any
    total: Any


class AdadeltaState(NamedTuple):
    """Steps taken, and the running means of the squares of gradients and of moves."""

    step: Any
    squares: Any
    moved: Any


# -- the rules --------------------------------------------------------------------------------------------------------


def sgd(
    lr: Rate = 1e-3,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    dampening: float = 0.0,
    maximize: bool = False,
) -> Optimizer:
    """Gradient descent by PyTorch's formulas: ``v ← momentum·v + (1 - dampening)·g``, ``p ← p - lr·v``.

    Parameters
    ----------
    lr: the step size, or a function of the number of steps taken before.
    momentum: how much of the last step's direction is kept.
    nesterov: whether to step along ``g + momentum·v`` instead of ``v``.
    weight_decay: this multiple of each parameter is added to its gradient.
    dampening: how much of the gradient ``v`` leaves out, from the second step on.
    maximize: whether to climb instead.

    Raises ValueError for negative numbers, and for ``nesterov`` without momentum or with dampening.

    >>> rule = sgd(0.1, momentum=0.9)
    >>> p = np.array(1.0)
    >>> p, state = rule.update(np.array(1.0), rule.init(p), p)
    >>> p, state = rule.update(np.array(1.0), state, p)
    >>> print(round(float(p), 4))
    0.71
    """
    options = {"lr": lr, "momentum": momentum, "dampening": dampening, "nesterov": nesterov}
    return _rule(SGD, SgdState, options | {"weight_decay": weight_decay, "maximize": maximize})


def adam(
    lr: Rate = 1e-3,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    amsgrad: bool = False,
    maximize: bool = False,
) -> Optimizer:
    """Adam by PyTorch's formulas.

    ``m ← b1·m + (1 - b1)·g``, ``v ← b2·v + (1 - b2)·g²``, ``p ← p - lr / (1 - b1ᵗ) · m / (√v / √(1 - b2ᵗ) + eps)``.

    Parameters
    ----------
    lr: the step size, or a function of the number of steps taken before.
    b1, b2: how much of the running means of gradients and of their squares is kept.
    eps: keeps the divisor from 0.
    weight_decay: this multiple of each parameter is added to its gradient.
    amsgrad: whether to divide by the largest ``v`` so far.
    maximize: whether to climb instead.

    Raises ValueError for negative numbers and for ``b1`` or ``b2`` outside [0, 1).

    >>> rule = adam(0.1)
    >>> p, state = rule.update(np.array(3.0), rule.init(np.array(1.0)), np.array(1.0))
    >>> print(round(float(p), 4))
    0.9
    """
    options = {"lr": lr, "betas": (b1, b2), "eps": eps, "weight_decay": weight_decay}
    return _rule(ADAM, AdamState, options | {"amsgrad": amsgrad, "maximize": maximize})


def adamw(
    lr: Rate = 1e-3,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
    amsgrad: bool = False,
    maximize: bool = False,
) -> Optimizer:
    """Adam whose weight decay does not pass through the means: first ``p ← p - lr·weight_decay·p``.

    Parameters and errors are those of :func:`adam`.

    >>> rule = adamw(0.1, weight_decay=0.5)
    >>> p, state = rule.update(np.array(0.0), rule.init(np.array(1.0)), np.array(1.0))
    >>> print(round(float(p), 4))
    0.95
    """
    options = {"lr": lr, "betas": (b1, b2), "eps": eps, "weight_decay": weight_decay}
    return _rule(ADAM, AdamState, options | {"amsgrad": amsgrad, "maximize": maximize, "decoupled_weight_decay": True})


def adamax(
    lr: Rate = 2e-3,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    maximize: bool = False,
) -> Optimizer:
    """Adam by the maximum norm: ``u ← max(b2·u, |g| + eps)``, ``p ← p - lr / (1 - b1ᵗ) · m / u``.

    Parameters and errors are those of :func:`adam`.

    >>> rule = adamax(0.1)
    >>> p, state = rule.update(np.array(3.0), rule.init(np.array(1.0)), np.array(1.0))
    >>> print(round(float(p), 4))
    0.9
    """
    options = {"lr": lr, "betas": (b1, b2), "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
    return _rule(ADAMAX, AdamaxState, options)


def nadam(
    lr: Rate = 2e-3,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum_decay: float = 4e-3,
    decoupled_weight_decay: bool = False,
    maximize: bool = False,
) -> Optimizer:
    """Adam with Nesterov's momentum, by PyTorch's formulas.

    Parameters
    ----------
    lr, b1, b2, eps, weight_decay, maximize: as for :func:`adam`.
    momentum_decay: how the momentum grows, ``b1·(1 - 0.96^(t·momentum_decay) / 2)`` at step ``t``.
    decoupled_weight_decay: whether weight decay is that of :func:`adamw`.

    >>> rule = nadam(0.1)
    >>> p, state = rule.update(np.array(3.0), rule.init(np.array(1.0)), np.array(1.0))
    >>> print(round(float(p), 4))
    0.8944
    """
    options = {"lr": lr, "betas": (b1, b2), "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
    decoupled = {"momentum_decay": momentum_decay, "decoupled_weight_decay": decoupled_weight_decay}
    return _rule(NADAM, NadamState, options | decoupled)


def radam(
    lr: Rate = 1e-3,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled_weight_decay: bool = False,
    maximize: bool = False,
) -> Optimizer:
    """Adam whose rate is rectified while the running mean of squares is not yet steady, by PyTorch's formulas.

    Parameters
    ----------
    lr, b1, b2, eps, weight_decay, maximize: as for :func:`adam`.
    decoupled_weight_decay: whether weight decay is that of :func:`adamw`.

    >>> rule = radam(0.1)
    >>> p, state = rule.update(np.array(3.0), rule.init(np.array(1.0)), np.array(1.0))
    >>> print(round(float(p), 4))
    0.7
    """
    options = {"lr": lr, "betas": (b1, b2), "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
    return _rule(RADAM, RadamState, options | {"decoupled_weight_decay": decoupled_weight_decay})


def rmsprop(
    lr: Rate = 1e-2,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    centered: bool = False,
    maximize: bool = False,
) -> Optimizer:
    """Gradients by their running root mean square: ``v ← alpha·v + (1 - alpha)·g²``, ``p ← p - lr·g / (√v + eps)``.

    Parameters
    ----------
    lr, eps, weight_decay, maximize: as for :func:`adam`.
    alpha: how much of the running mean of squares is kept.
    momentum: how much of the last step's direction is kept.
    centered: whether ``v`` is less the square of the running mean gradient.

    Raises ValueError for negative numbers.

    >>> rule = rmsprop(0.1, alpha=0.75)
    >>> p, state = rule.update(np.array(3.0), rule.init(np.array(1.0)), np.array(1.0))
    >>> print(round(float(p), 4))
    0.8
    """
    options = {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay, "momentum": momentum}
    return _rule(RMSPROP, RmspropState, options | {"centered": centered, "maximize": maximize})


def adagrad(
    lr: Rate = 1e-2,
    lr_decay: float = 0.0,
    weight_decay: float = 0.0,
    initial_accumulator_value: float = 0.0,
    eps: float = 1e-10,
    maximize: bool = False,
) -> Optimizer:
    """Gradients by the root of their squares' sum: ``s ← s + g²``, ``p ← p - lr / (1 + (t - 1)·lr_decay)·g / (√s + eps)``.

    Parameters
    ----------
    lr, weight_decay, eps, maximize: as for :func:`adam`.
    lr_decay: how the step size falls.
    initial_accumulator_value: what ``s`` starts from.

    Raises ValueError for negative numbers.

    >>> rule = adagrad(0.1)
    >>> p, state = rule.update(np.array(3.0), rule.init(np.array(1.0)), np.array(1.0))
    >>> print(round(float(p), 4))
    0.9
    """
    options = {"lr": lr, "lr_decay": lr_decay, "weight_decay": weight_decay, "eps": eps, "maximize": maximize}
    return _rule(ADAGRAD, AdagradState, options | {"initial_accumulator_value": initial_accumulator_value})


def adadelta(
    lr: Rate = 1.0, rho: float = 0.9, eps: float = 1e-6, weight_decay: float = 0.0, maximize: bool = False
) -> Optimizer:
    """Steps in the parameters' own units: ``p ← p - lr·√(u + eps) / √(v + eps)·g`` with running means of squares.

    Parameters
    ----------
    lr, weight_decay, eps, maximize: as for :func:`adam`.
    rho: how much of the running means of squares, ``v`` of gradients and ``u`` of moves, is kept.

    Raises ValueError for negative numbers and for ``rho`` outside [0, 1].

    >>> rule = adadelta(eps=0.01)
    >>> p, state = rule.update(np.array(3.0), rule.init(np.array(1.0)), np.array(1.0))
    >>> print(round(float(p), 4))
    0.6855
    """
    options = {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
    return _rule(ADADELTA, AdadeltaState, options)


# -- mapping a formula over a tree ------------------------------------------------------------------------------------


def _rule(formula: Formula, state_class: Callable[..., Any], options: dict[str, Any]) -> Optimizer:
    """The rule of a formula with these options; its state is the steps taken and a tree per slot, None where unused."""
    formula.check(options)

    def init(params: Any) -> Any:
        leaves, structure = _floats(params)
        return state_class(_no_steps(), *[_filled(slot, leaves, structure, options) for slot in formula.slots])

    def update(grads: Any, state: Any, params: Any, **numbers: Any) -> tuple[Any, Any]:
        leaves, structure, others = _paired(params, grads)
        now = _with_numbers(formula, options, numbers)
        if callable(now["lr"]):
            now["lr"] = now["lr"](state.step)
        count = state.step + 1
        shared = formula.numbers(now, precise(count))
        columns = [[None] * len(leaves) if tree is None else flatten(tree)[0] for tree in state[1:]]
        moved, rows = [], []
        for p, g, *slots in zip(leaves, others, *columns, strict=True):
            q, row = formula.step(p, g, tuple(slots), shared, now)
            moved.append(q)
            rows.append(row)
        trees = [None if tree is None else structure.unflatten([r[k] for r in rows]) for k, tree in enumerate(state[1:])]
        return structure.unflatten(moved), state_class(count, *trees)

    return Optimizer(init, update)


def _no_steps() -> Any:
    # a NumPy scalar, as the count is after a compiled step: a 0-d array would be another key, and so another trace
    return np.int64(0)


def _filled(slot: Slot, leaves: list[Any], structure: TreeDef, options: dict[str, Any]) -> Any:
    if not slot.used(options):
        return None
    start = slot.start(options)
    if slot.scalar:
        return structure.unflatten([np.float64(start)] * len(leaves))
    return structure.unflatten([np.full(shape_of(p), start, dtype_of(p))[()] for p in leaves])


def _with_numbers(formula: Formula, options: dict[str, Any], numbers: dict[str, Any]) -> dict[str, Any]:
    """The options of one step; TypeError for a number that the formula has not."""
    for name in numbers:
        if name not in options or isinstance(options[name], bool):
            known = ", ".join(key for key, value in options.items() if not isinstance(value, bool))
            raise TypeError(f"{formula.name}'s update takes the numbers {known}, not {name!r}")
    return options | numbers


def _floats(params: Any) -> tuple[list[Any], TreeDef]:
    """The leaves and the structure of parameters; DtypeError names a leaf that is no float."""
    leaves, structure = flatten(params, root="params")
    for leaf, path in zip(leaves, structure.paths("params"), strict=True):
        if dtype_of(leaf).kind != "f":
            raise DtypeError(f"{path} has dtype {dtype_of(leaf)} and cannot be optimised", fix="make it a float array")
    return leaves, structure


def _paired(params: Any, grads: Any) -> tuple[list[Any], TreeDef, list[Any]]:
    """Parameters, structure, gradients; TreeError and ShapeError where these are not those of the parameters."""
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
    return leaves, structure, others
