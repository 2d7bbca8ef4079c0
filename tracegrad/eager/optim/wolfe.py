"""The line search of LBFGS: a step along a direction that satisfies the strong Wolfe conditions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Trial", "strong_wolfe"]

_DECREASE, _CURVATURE = 1e-4, 0.9


@dataclass(frozen=True, slots=True)
class Trial:
    """A point on the line: the step to it, the loss there, its gradient, and the slope along the line."""

    t: Any
    loss: float
    gradient: np.ndarray[Any, Any]
    slope: Any


@np.errstate(all="ignore")
def _cubic_minimum(a: Trial, b: Trial, bounds: tuple[Any, Any] | None = None) -> Any:
    """Where the cubic through two trials has its minimum, between the bounds; their middle if it has none."""
    low, high = bounds if bounds is not None else (a.t, b.t) if a.t <= b.t else (b.t, a.t)
    rise = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = rise**2 - a.slope * b.slope
    if not square >= 0:
        return (low + high) / 2.0
    root = np.sqrt(square)
    left, right = (a, b) if a.t <= b.t else (b, a)
    least = right.t - (right.t - left.t) * ((right.slope + root - rise) / (right.slope - left.slope + 2 * root))
    return min(max(least, low), high)


def strong_wolfe(
    evaluate: Callable[[Any], Trial], start: Trial, t: Any, reach: Any, tolerance: float, most: int
) -> tuple[Trial, int]:
    """The trial that the search ends with, and how many it took.

    Parameters
    ----------
    evaluate: computes the trial at a step.
    start: the trial at step 0.
    t: the first step to try.
    reach: the largest component of the direction.
    tolerance: a bracket that moves no parameter by as much is not made smaller.
    most: how many steps of the search are made.
    """
    bracket, done, count = _bracket(evaluate, start, t, most)
    iterations = count - 1
    low, high = (0, 1) if bracket[0].loss <= bracket[-1].loss else (1, 0)
    stuck = False
    while not done and iterations < most:
        if abs(bracket[1].t - bracket[0].t) * reach < tolerance:
            break
        t, stuck = _inside(_cubic_minimum(bracket[0], bracket[1]), bracket, stuck)
        new = evaluate(t)
        count += 1
        iterations += 1
        if new.loss > start.loss + _DECREASE * t * start.slope or new.loss >= bracket[low].loss:
            bracket[high] = new
            low, high = (0, 1) if bracket[0].loss <= bracket[1].loss else (1, 0)
            continue
        if abs(new.slope) <= -_CURVATURE * start.slope:
            done = True
        elif new.slope * (bracket[high].t - bracket[low].t) >= 0:
            bracket[high] = bracket[low]
        bracket[low] = new
    return bracket[low], count


def _bracket(evaluate: Callable[[Any], Trial], start: Trial, t: Any, most: int) -> tuple[list[Trial], bool, int]:
    """Two trials with a good one between them, or one that is good already; and how many were made."""
    before, new = start, evaluate(t)
    for count in range(1, most + 1):
        if new.loss > start.loss + _DECREASE * t * start.slope or (count > 2 and new.loss >= before.loss):
            return [before, new], False, count
        if abs(new.slope) <= -_CURVATURE * start.slope:
            return [new], True, count
        if new.slope >= 0:
            return [before, new], False, count
        farther = (t + 0.01 * (t - before.t), t * 10)
        t = _cubic_minimum(before, new, farther)
        before, new = new, evaluate(t)
    return [start, new], False, most + 1


def _inside(t: Any, bracket: list[Trial], stuck: bool) -> tuple[Any, bool]:
    """A step away from the ends of the bracket, if it was near one twice; and whether it is near one now."""
    low, high = sorted((bracket[0].t, bracket[1].t))
    margin = 0.1 * (high - low)
    if not min(high - t, t - low) < margin:
        return t, False
    if not (stuck or t >= high or t <= low):
        return t, True
    return (high - margin if abs(t - high) < abs(t - low) else low + margin), False
