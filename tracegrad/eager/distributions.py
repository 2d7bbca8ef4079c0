"""Arrays of random numbers under PyTorch's rules for parameters, for new tensors and for draws in place."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracegrad.core.source import user_frame
from tracegrad.errors import DtypeError, TracegradError

Array = np.ndarray[Any, Any]


class DistributionError(TracegradError, ValueError, RuntimeError):
    """Parameters that no distribution has: PyTorch's RuntimeError."""


def uniform_array(rng: np.random.Generator, shape: Any, dtype: np.dtype[Any], low: float = 0.0, high: float = 1.0) -> Array:
    """Numbers from [low, high), complex ones with such parts."""
    if dtype.kind == "c":
        part = np.zeros((), dtype).real.dtype
        pair = uniform_array(rng, shape, part, low, high), uniform_array(rng, shape, part, low, high)
        return np.asarray((pair[0] + 1j * pair[1]).astype(dtype))
    only_floats("check_uniform_bounds", dtype)
    if not low <= high:
        raise DistributionError(
            f"uniform_ expects to return a [from, to) range, but found from={low:g} > to={high:g}",
            fix="give the smaller bound first",
            where=user_frame(),
        )
    drawn = rng.random(shape, dtype.type)
    if (low, high) != (0.0, 1.0):
        drawn = drawn * dtype.type(high - low) + dtype.type(low)
        if high > low:
            # rounding must not reach the upper bound
            drawn = np.minimum(drawn, np.nextafter(dtype.type(high), dtype.type(low)))
    return np.asarray(drawn)


def normal_array(rng: np.random.Generator, shape: Any, dtype: np.dtype[Any], mean: Any = 0.0, std: Any = 1.0) -> Array:
    """Normally distributed numbers, complex ones with both parts of half the variance."""
    if not np.all(np.asarray(std) >= 0):
        elements = "all elements of std >= 0.0" if np.ndim(std) else f"std >= 0.0, but found std {std:g}"
        raise DistributionError(f"normal expects {elements}", fix="give a standard deviation of 0 or more", where=user_frame())
    if dtype.kind == "c":
        part = np.zeros((), dtype).real.dtype
        pair = [rng.standard_normal(shape, part.type) * np.sqrt(part.type(0.5)) for _ in range(2)]
        return np.asarray(((pair[0] + 1j * pair[1]) * std + mean).astype(dtype))
    only_floats("normal_kernel_cpu", dtype)
    return np.asarray((rng.standard_normal(shape, dtype.type) * std + mean).astype(dtype))


def integer_array(rng: np.random.Generator, shape: Any, dtype: np.dtype[Any], low: int, high: int) -> Array:
    """Integers from [low, high), as elements of any dtype but complex."""
    if low >= high:
        raise DistributionError(
            f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}",
            fix="randint(low, high, size) draws from low to high - 1",
            where=user_frame(),
        )
    if dtype.kind in "biu":
        most = 1 if dtype.kind == "b" else int(np.iinfo(dtype).max)
        least = 0 if dtype.kind == "b" else int(np.iinfo(dtype).min)
        for name, bound in (("from", low), ("to - 1", high - 1)):
            if not least <= bound <= most:
                raise DistributionError(
                    f"{name} is out of bounds for {dtype}: {bound}",
                    fix=f"choose bounds from {least} to {most}, or a wider dtype",
                    where=user_frame(),
                )
    elif dtype.kind == "c":
        raise DtypeError(f"random integers are no elements of {dtype}", fix="choose a real dtype", where=user_frame())
    wide: Any = np.uint64 if high > 2**63 else np.int64
    return np.asarray(rng.integers(low, high, shape, wide)).astype(dtype)


def only_floats(function: str, dtype: np.dtype[Any]) -> None:
    """Raise DtypeError for dtypes that hold no fractions."""
    if dtype.kind != "f":
        raise DtypeError(
            f'"{function}" not implemented for {dtype}: the numbers drawn are floats',
            fix="choose a float dtype, or draw integers: randint(low, high, size)",
            where=user_frame(),
        )


def bernoulli_array(rng: np.random.Generator, shape: Any, dtype: np.dtype[Any], p: Any) -> Array:
    """Zeros and ones."""
    chance = np.asarray(p)
    if not np.all((chance >= 0) & (chance <= 1)):
        shown = f"p={p:g}" if chance.ndim == 0 else f"{chance.min():g} to {chance.max():g}"
        raise DistributionError(
            f"Expected p_in >= 0 && p_in <= 1 to be true, but got false: bernoulli expects p to be in [0, 1], not {shown}",
            fix="give probabilities, such as sigmoid(x)",
            where=user_frame(),
        )
    return np.asarray((rng.random(shape) < chance).astype(dtype))


def with_replacement(rows: Array, count: int, rng: np.random.Generator) -> Array:
    """Indices at which the running sums of weights pass points that are drawn evenly."""
    drawn = np.empty((len(rows), count), np.int64)
    for row, sums, points in zip(drawn, np.cumsum(rows, 1), rng.random(drawn.shape), strict=True):
        # a point never falls on an index of weight 0, also where rounding takes it to the end
        row[:] = np.minimum(np.searchsorted(sums, points * sums[-1], side="right"), np.searchsorted(sums, sums[-1]))
    return drawn


def without_replacement(rows: Array, count: int, rng: np.random.Generator) -> Array:
    """The indices of the first arrivals, where each arrives at a rate of its weight."""
    with np.errstate(divide="ignore"):
        arrivals = np.where(rows > 0, rng.standard_exponential(rows.shape) / rows, np.inf)
    return np.argsort(arrivals, axis=1, kind="stable")[:, :count].astype(np.int64)
