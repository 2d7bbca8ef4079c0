"""Whether results are right, before any time is shown: comparison with each other and with central differences."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.timing import Timing

Result = tuple[Any, list[Any]]
"""A value and the gradient's leaves."""

TOLERANCE = {"float64": 1e-9, "float32": 2e-4}
# Central differences carry the rounding of the loss over the step, so they are a coarse check: of a sign, of a factor.
DIFFERENCE_TOLERANCE = 1e-4
# The longer step rounds less, the shorter one crosses fewer kinks of relu and max; a true gradient fits one of them.
STEPS = (1e-6, 1e-8)


@dataclass(slots=True)
class Outcome:
    """What became of a contender: an error of its result, and a time only if that is within the tolerance."""

    error: float | None = None
    agrees: bool = False
    failure: str | None = None
    microseconds: Timing | None = None


def disagreement(result: Result, reference: Result, dtype: Any) -> float:
    """The greatest relative error over the value and the gradient leaves; infinite where a shape or dtype is wrong.

    The error of a leaf is its greatest absolute difference over its greatest absolute value.
    """
    (value, gradient), (right_value, right_gradient) = result, reference
    if len(gradient) != len(right_gradient):
        return float("inf")
    worst = relative(value, right_value)
    for leaf, right in zip(gradient, right_gradient, strict=True):
        if np.shape(leaf) != np.shape(right) or np.asarray(leaf).dtype != dtype:
            return float("inf")
        worst = max(worst, relative(leaf, right))
    return worst


def relative(got: Any, right: Any) -> float:
    """The greatest difference over the greatest value; infinite where a shape is wrong or a number is not finite."""
    got, right = np.asarray(got, np.float64), np.asarray(right, np.float64)
    if got.shape != right.shape or not np.all(np.isfinite(got)):
        return float("inf")
    scale = float(np.max(np.abs(right), initial=0.0))
    return float(np.max(np.abs(got - right), initial=0.0)) / (scale or 1.0)


def fits_differences(loss: Callable[[list[Any]], Any], leaves: Sequence[Any], result: Result, draw: Any) -> bool:
    """Whether a value and gradient fit the loss of the leaves: central differences along a random direction of each."""
    value, gradient = result
    leaves = list(leaves)
    if len(gradient) != len(leaves) or relative(value, loss(leaves)) > DIFFERENCE_TOLERANCE:
        return False
    for k, slope in enumerate(gradient):
        if np.shape(slope) != np.shape(leaves[k]):
            return False
        direction = draw.normal(size=np.shape(slope))
        scale = np.linalg.norm(slope) + 1e-4 * abs(float(value))
        misses = (abs(_difference(loss, leaves, k, step * direction) / step - np.sum(slope * direction)) for step in STEPS)
        if not any(miss <= DIFFERENCE_TOLERANCE * scale for miss in misses):
            return False
    return True


def _difference(loss: Callable[[list[Any]], Any], leaves: list[Any], k: int, step: Any) -> float:
    """Half of what the loss gains from a step back to a step ahead in leaf k."""
    ahead, behind = (loss([*leaves[:k], leaves[k] + way * step, *leaves[k + 1 :]]) for way in (1.0, -1.0))
    return float(ahead - behind) / 2.0


def most_followed(results: Iterable[Result], dtype: Any) -> list[Result]:
    """The results, those that most others agree with first."""
    entered = list(results)
    tolerance = TOLERANCE[str(np.dtype(dtype))]

    def followers(reference: Result) -> int:
        return sum(disagreement(r, reference, dtype) <= tolerance for r in entered)

    return sorted(entered, key=followers, reverse=True)
