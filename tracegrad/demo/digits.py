"""scikit-learn's handwritten digits: 1,797 real images of 8×8 pixels, and a fixed split of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

from tracegrad.demo.model import BATCH

TRAIN = 1437
Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Digits:
    """Images (n, 1, 8, 8) with values in 0 … 1 and their class numbers, for training and for testing."""

    images: Array
    labels: Array
    test_images: Array
    test_labels: Array

    @property
    def batches_per_epoch(self) -> int:
        """Whole batches in the training set."""
        return len(self.images) // BATCH

    def batches(self, rng: np.random.Generator) -> Iterator[tuple[Array, Array]]:
        """One epoch in a new order; what fills no batch waits for another epoch, so that all have one shape."""
        order = rng.permutation(len(self.images))
        for k in range(self.batches_per_epoch):
            chosen = order[k * BATCH : (k + 1) * BATCH]
            yield self.images[chosen], self.labels[chosen]


def load(dtype: Any) -> Digits:
    """The digits, split once and for all: the seed of a demo changes weights and order, never the test set."""
    found = load_digits()
    order = np.random.default_rng(0).permutation(len(found.target))
    images = (found.images[order, None] / 16.0).astype(dtype)
    labels = found.target[order].astype(np.int64)
    return Digits(images[:TRAIN], labels[:TRAIN], images[TRAIN:], labels[TRAIN:])
