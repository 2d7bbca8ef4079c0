"""Both trainings side by side, batch by batch, from the same initial weights."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tracegrad.demo.digits import Digits
from tracegrad.demo.model import ADAM, Params, Step, scores

Array = np.ndarray[Any, Any]


@dataclass(slots=True)
class Course:
    """What one mode has done so far: its weights, and loss and seconds of every step."""

    params: Params
    state: Any
    losses: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)

    def take(self, step: Step, images: Array, labels: Array) -> None:
        """Take one step and note its loss and time."""
        began = time.perf_counter()
        value, self.params, self.state = step(self.params, self.state, images, labels)
        self.seconds.append(time.perf_counter() - began)
        self.losses.append(float(value))

    def mean_loss(self, steps: int) -> float:
        """The mean loss of the newest steps."""
        return float(np.mean(self.losses[-steps:]))

    def median_step(self) -> float:
        """The median time of a step, without the first, which may compile."""
        return float(np.median(self.seconds[1:]))


@dataclass(slots=True)
class Differences:
    """The largest differences between the modes over all steps.

    ``trainings`` compares the losses of the two trainings, each from its own state; ``step`` and ``gradient`` compare
    loss and gradient of single steps taken from the same state.
    """

    trainings: float = 0.0
    step: float = 0.0
    gradient: float = 0.0


@dataclass(frozen=True, slots=True)
class Training:
    """Two trainings on the same batches."""

    digits: Digits
    eager: Course
    static: Course
    differences: Differences

    @classmethod
    def begin(cls, digits: Digits, params: Params) -> Training:
        """Both modes at the same initial weights."""
        return cls(digits, Course(params, ADAM.init(params)), Course(params, ADAM.init(params)), Differences())

    def epoch(self, eager: Step, static: Step, rng: np.random.Generator) -> Iterator[None]:
        """Train both for one epoch; yields after every batch."""
        for images, labels in self.digits.batches(rng):
            params, state = self.eager.params, self.eager.state
            self.eager.take(eager, images, labels)
            self.static.take(static, images, labels)
            value, _, again = static(params, state, images, labels)
            self._compare(float(value), again)
            yield
        for course in (self.eager, self.static):
            course.accuracies.append(accuracy(course.params, self.digits))

    def _compare(self, value: float, again: Any) -> None:
        """Note how far apart the modes are; ``value`` and ``again`` are the static step from the eager mode's state."""
        found = self.differences
        found.trainings = max(found.trainings, abs(self.eager.losses[-1] - self.static.losses[-1]))
        found.step = max(found.step, abs(self.eager.losses[-1] - value))
        for name, mean in self.eager.state.first.items():
            # the running mean took up a tenth of the gradient
            found.gradient = max(found.gradient, 10.0 * float(np.max(np.abs(mean - again.first[name]))))


def accuracy(params: Params, digits: Digits, model: Callable[[Params, Any], Any] = scores) -> float:
    """The share of test images whose highest score is that of their class."""
    best = np.argmax(model(params, digits.test_images), axis=1)
    return float(np.mean(best == digits.test_labels))
