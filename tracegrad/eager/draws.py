"""Draws into a tensor that exists: what Tensor's ``uniform_``, ``normal_`` and the like do.

A draw replaces the values and with them the history: no gradient flows to what the tensor held before.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

from tracegrad.core.source import user_frame
from tracegrad.eager.distributions import (
    DistributionError,
    bernoulli_array,
    integer_array,
    normal_array,
    only_floats,
    uniform_array,
)
from tracegrad.eager.generators import Generator, source
from tracegrad.eager.random import values_of
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


def _store(self: T, drawn: Any, writer: str) -> T:
    """Write drawn numbers into a tensor, as any other write in place."""
    return self._become(Tensor._wrap(drawn), None, writer)


def uniform_(self: T, a: float = 0.0, b: float = 1.0, *, generator: Generator | None = None) -> T:
    """Draw evenly from [a, b); DistributionError if a > b, DtypeError for integer tensors.

    >>> bool((uniform_(Tensor([0.0, 0.0]), 2, 3) >= 2).all())
    True
    """
    low, high = number("uniform_", "from", a), number("uniform_", "to", b)
    return _store(self, uniform_array(source(generator), self.shape, self.dtype, low, high), "uniform_")


def normal_(self: T, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None) -> T:
    """Draw from a normal distribution; DistributionError for a negative deviation.

    >>> normal_(Tensor([0.0, 0.0]), 2.0, 0.0)
    tensor([2., 2.])
    """
    middle, spread = number("normal_", "mean", mean), number("normal_", "std", std)
    return _store(self, normal_array(source(generator), self.shape, self.dtype, middle, spread), "normal_")


def bernoulli_(self: T, p: Any = 0.5, *, generator: Generator | None = None) -> T:
    """Draw ones with probability ``p``, a number or a tensor of probabilities.

    >>> bernoulli_(Tensor([5, 5]), 1.0)
    tensor([1, 1])
    """
    return _store(self, bernoulli_array(source(generator), self.shape, self.dtype, values_of(p)), "bernoulli_")


def exponential_(self: T, lambd: float = 1.0, *, generator: Generator | None = None) -> T:
    """Draw waiting times of rate ``lambd``; DistributionError unless that is positive.

    >>> bool((exponential_(Tensor([0.0, 0.0])) > 0).all())
    True
    """
    rate = _positive("exponential_", "lambda", lambd)
    only_floats("exponential_", self.dtype)
    rng = source(generator)
    # never 0, which has density but no logarithm
    drawn = np.maximum(rng.standard_exponential(self.shape, self.dtype.type), np.finfo(self.dtype).tiny) / rate
    return _store(self, drawn.astype(self.dtype), "exponential_")


def log_normal_(self: T, mean: float = 1.0, std: float = 2.0, *, generator: Generator | None = None) -> T:
    """Draw numbers whose logarithms are normally distributed.

    >>> bool((log_normal_(Tensor([0.0, 0.0])) > 0).all())
    True
    """
    spread = _positive("log_normal_", "std", std)
    only_floats("log_normal_", self.dtype)
    drawn = np.exp(normal_array(source(generator), self.shape, self.dtype, number("log_normal_", "mean", mean), spread))
    return _store(self, drawn, "log_normal_")


def cauchy_(self: T, median: float = 0.0, sigma: float = 1.0, *, generator: Generator | None = None) -> T:
    """Draw from a Cauchy distribution.

    >>> cauchy_(Tensor([0.0, 0.0])).shape == (2,)
    True
    """
    scale = _positive("cauchy_", "sigma", sigma)
    only_floats("cauchy_", self.dtype)
    drawn = number("cauchy_", "median", median) + scale * source(generator).standard_cauchy(self.shape)
    return _store(self, np.asarray(drawn).astype(self.dtype), "cauchy_")


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
    return _store(self, np.asarray(source(generator).geometric(chance, self.shape)).astype(self.dtype), "geometric_")


def random_(self: T, low: Any = None, high: Any = None, *, generator: Generator | None = None) -> T:
    """Draw integers: ``random_(high)``, ``random_(low, high)``, or all that the dtype holds exactly.

    >>> random_(Tensor([0, 0]), 5, 6)
    tensor([5, 5])
    """
    if low is not None and high is None:
        first, last = 0, count_of("random_", "to", low)
    else:
        first = 0 if low is None else int(number("random_", "from", low))
        last = _end(self.dtype) if high is None else int(number("random_", "to", high))
    return _store(self, integer_array(source(generator), self.shape, self.dtype, first, last), "random_")


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
