"""What a formula of optimisation is: pure arithmetic on one parameter, which both modes run.

A pure rule (:mod:`tracegrad.optim.rules`) maps it over a pytree and may be traced; an eager optimiser runs it on the
arrays of its parameters, piece by piece. So a formula uses operators and ops alone, no shapes, and each element of its
results depends on the same element of its arrays. Its options are called as PyTorch calls them; a number among them may
be traced, a flag is a bool.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tracegrad.ops.maps import cast, select, sqrt

__all__ = ["Formula", "Slot"]

Options = Mapping[str, Any]
Numbers = tuple[Any, ...]
Slots = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Slot:
    """An array that is remembered per parameter, of its shape and dtype.

    Parameters
    ----------
    name: the field of the rule's state that holds it.
    used: whether options want it.
    start: the value it is filled with.
    scalar: whether it is one number instead.
    """

    name: str
    used: Callable[[Options], bool] = lambda options: True
    start: Callable[[Options], float] = lambda options: 0.0
    scalar: bool = False


@dataclass(frozen=True, slots=True)
class Formula:
    """One step of an optimiser on one parameter.

    Parameters
    ----------
    name: of the optimiser.
    slots: what is remembered.
    numbers: ``numbers(options, count)`` gives the numbers that all parameters share, at the step that ``count`` counts
        from 1.
    step: ``step(p, g, slots, numbers, options)`` gives the new parameter and the new slots; an unused slot is None.
    check: raises ValueError for options out of range.
    """

    name: str
    slots: tuple[Slot, ...]
    numbers: Callable[[Options, Any], Numbers]
    step: Callable[[Any, Any, Slots, Numbers, Options], tuple[Any, Slots]]
    check: Callable[[Options], None]


# -- arithmetic that is exact in both modes ---------------------------------------------------------------------------


def known(x: Any) -> bool:
    """Whether a number is known while the formula runs, and not traced."""
    return isinstance(x, (bool, int, float, np.generic))


def absent(x: Any) -> bool:
    """Whether a number is known to be 0, so that its term falls away."""
    return known(x) and x == 0


def like(x: Any, parameter: Any) -> Any:
    """A number in the dtype of a parameter, so that float64 scalars do not widen it."""
    return cast(x, dtype=dtype_of(parameter)) if hasattr(x, "dtype") else x


def dtype_of(leaf: Any) -> np.dtype[Any]:
    """The dtype of an array, a Tensor, a traced value or a number."""
    dtype: np.dtype[Any] = leaf.dtype if hasattr(leaf, "dtype") else np.asarray(leaf).dtype
    return dtype


def precise(x: Any) -> Any:
    """A number in double precision."""
    return float(x) if known(x) or type(x) is np.ndarray else cast(x, dtype=np.dtype(np.float64))


def root(x: Any) -> Any:
    """The square root of a number."""
    return math.sqrt(x) if known(x) else sqrt(x)


def choose(condition: Any, x: Any, y: Any) -> Any:
    """One of two numbers; both are computed where the condition is traced."""
    return (x if condition else y) if known(condition) else select(condition, x, y)


def downhill(p: Any, g: Any, options: Options, decay: bool = True) -> Any:
    """The gradient of what is minimised: negated for ``maximize``, with weight decay."""
    if options["maximize"]:
        g = -g
    weight = options["weight_decay"]
    return g if not decay or absent(weight) else g + p * like(weight, p)


def mean(old: Any, new: Any, kept: Any) -> Any:
    """The running mean of which a part is kept."""
    return old * like(kept, old) + new * like(1.0 - kept, old)


def mean_square(old: Any, new: Any, kept: Any) -> Any:
    """The running mean of squares of which a part is kept."""
    return old * like(kept, old) + new * new * like(1.0 - kept, old)


# -- checks -----------------------------------------------------------------------------------------------------------


def at_least_0(options: Options, **names: str) -> None:
    """Raise ValueError for an option below 0; the values are what PyTorch's texts call the options."""
    for key, name in names.items():
        x = options[key]
        if known(x) and not x >= 0.0:
            raise ValueError(f"Invalid {name}: {x}")


def below_1(betas: tuple[Any, Any]) -> None:
    """Raise ValueError for a beta outside [0, 1)."""
    for k, beta in enumerate(betas):
        if known(beta) and not 0.0 <= beta < 1.0:
            raise ValueError(f"Invalid beta parameter at index {k}: {beta}")
