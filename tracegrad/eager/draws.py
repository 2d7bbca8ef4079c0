"""Draws into a tensor that exists: what Tensor's ``uniform_``, ``normal_`` and the like do.

A draw replaces the values and with them the history: no gradient flows to what the tensor held before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from tracegrad.core.source import user_frame
from tracegrad.eager.distributions import (
    DistributionError,
    integer_array,
    normal_array,
    only_floats,
    uniform_array,
)
from tracegrad.eager.generators import Generator
from tracegrad.eager.random import bernoulli_as, drawn
from tracegrad.eager.scalars import count_of, number
from tracegrad.eager.tensor import Tensor

__all__ = [
    "bernoulli_",
    "cauchy_",
    "exponential_",
    "geometric_",
    "log_normal_",
    "normal_",
    "random_",
    "uniform_",
]

T = TypeVar("T", bound=Tensor)


Draw = Callable[[np.random.Generator, Any, Any], Any]


def _store(self: T, draw: Draw, generator: Generator | None, writer: str) -> T:
    """Write what is drawn for a shape and a dtype into a tensor, as any other write in place."""
    shape, d = tuple(self.shape), self.dtype
    return self._become(drawn(lambda rng: draw(rng, shape, d), generator), None, writer)


def uniform_(self: T, a: float = 0.0, b: float = 1.0, *, generator: Generator | None = None) -> T:
    """Draw evenly from [a, b); DistributionError if a > b, DtypeError for integer tensors.

    >>> bool((uniform_(Tensor([0.0, 0.0]), 2, 3) >= 2).all())
    True
    """
    low, high = number("uniform_", "from", a), number("uniform_", "to", b)
    return _store(self, lambda rng, shape, d: uniform_array(rng, shape, d, low, high), generator, "uniform_")


def normal_(self: T, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None) -> T:
    """Draw from a normal distribution; DistributionError for a negative deviation.

    >>> normal_(Tensor([0.0, 0.0]), 2.0, 0.0)
    tensor([2., 2.])
    """
    middle, spread = number("normal_", "mean", mean), number("normal_", "std", std)
    return _store(self, lambda rng, shape, d: normal_array(rng, shape, d, middle, spread), generator, "normal_")


def bernoulli_(self: T, p: Any = 0.5, *, generator: Generator | None = None) -> T:
    """Draw ones with probability ``p``, a number or a tensor of probabilities.

    >>> bernoulli_(Tensor([5, 5]).long(), 1.0)
    tensor([1, 1])
    """
    return self._become(bernoulli_as(self, p, generator), None, "bernoulli_")


def exponential_(self: T, lambd: float = 1.0, *, generator: Generator | None = None) -> T:
    """Draw waiting times of rate ``lambd``; DistributionError unless that is positive.

    >>> bool((exponential_(Tensor([0.0, 0.0])) > 0).all())
    True
    """
    rate = _positive("exponential_", "lambda", lambd)
    only_floats("exponential_", self.dtype)

    def draw(rng: np.random.Generator, shape: Any, d: np.dtype[Any]) -> Any:
        # never 0, which has density but no logarithm
        return (np.maximum(rng.standard_exponential(shape, d.type), np.finfo(d).tiny) / rate).astype(d)

    return _store(self, draw, generator, "exponential_")


def log_normal_(self: T, mean: float = 1.0, std: float = 2.0, *, generator: Generator | None = None) -> T:
    """Draw numbers whose logarithms are normally distributed.

    >>> bool((log_normal_(Tensor([0.0, 0.0])) > 0).all())
    True
    """
    middle, spread = number("log_normal_", "mean", mean), _positive("log_normal_", "std", std)
    only_floats("log_normal_", self.dtype)
    return _store(self, lambda rng, shape, d: np.exp(normal_array(rng, shape, d, middle, spread)), generator, "log_normal_")


def cauchy_(self: T, median: float = 0.0, sigma: float = 1.0, *, generator: Generator | None = None) -> T:
    """Draw from a Cauchy distribution.

    >>> cauchy_(Tensor([0.0, 0.0])).shape == (2,)
    True
    """
    middle, scale = number("cauchy_", "median", median), _positive("cauchy_", "sigma", sigma)
    only_floats("cauchy_", self.dtype)

    def draw(rng: np.random.Generator, shape: Any, d: np.dtype[Any]) -> Any:
        return np.asarray(middle + scale * rng.standard_cauchy(shape)).astype(d)

    return _store(self, draw, generator, "cauchy_")


def geometric_(self: T, p: float, *, generator: Generator | None = None) -> T:
    """Draw numbers of trials up to the first success, of probability ``p``.

    >>> bool((geometric_(Tensor([0.0, 0.0]), 0.5) >= 1).all())
    True
    """
    chance = number("geometric_", "p", p)
    if not 0 < chance < 1:
        raise DistributionError(
            f"geometric_ expects p to be in (0, 1), but got p={chance:g}", fix="give a probability", where=user_frame()
        )
    return _store(self, lambda rng, shape, d: np.asarray(rng.geometric(chance, shape)).astype(d), generator, "geometric_")


def random_(self: T, low: Any = None, high: Any = None, *, generator: Generator | None = None) -> T:
    """Draw integers: ``random_(high)``, ``random_(low, high)``, or all that the dtype holds exactly.

    >>> random_(Tensor([0, 0]).long(), 5, 6)
    tensor([5, 5])
    """
    if low is not None and high is None:
        first, last = 0, count_of("random_", "to", low)
    else:
        first = 0 if low is None else int(number("random_", "from", low))
        last = _end(self.dtype) if high is None else int(number("random_", "to", high))
    return _store(self, lambda rng, shape, d: integer_array(rng, shape, d, first, last), generator, "random_")


def _end(dtype: np.dtype[Any]) -> int:
    """One more than the largest integer up to which a dtype holds all."""
    if dtype.kind in "iu":
        return int(np.iinfo(dtype).max) + (dtype.kind == "u" or dtype.itemsize < 8)
    return 2 if dtype.kind == "b" else 2 ** (np.finfo(dtype).nmant + 1) + 1


def _positive(function: str, name: str, value: Any) -> float:
    found = number(function, name, value)
    if not found > 0:
        raise DistributionError(
            f"{function} expects {name} > 0.0, but found {name}={found:g}", fix=f"give a positive {name}", where=user_frame()
        )
    return float(found)
