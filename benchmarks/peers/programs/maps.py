"""Rosenbrock, an elementwise chain, Black–Scholes."""

from __future__ import annotations

import math
from typing import Any

from benchmarks.peers.program import FUNCTION, Draw, Program


def rosenbrock(np: Any, sp: Any, x: Any) -> Any:
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def chain(np: Any, sp: Any, x: Any) -> Any:
    return np.sum(np.tanh(1.5 * x + 0.3) ** 2 * np.exp(-x * x))


def black_scholes(np: Any, sp: Any, p: Any) -> Any:
    spot, strike, time, rate, volatility = p
    spread = volatility * np.sqrt(time)
    d1 = (np.log(spot / strike) + (rate + 0.5 * volatility**2) * time) / spread
    d2 = d1 - spread
    below1, below2 = (0.5 + 0.5 * sp.erf(d / math.sqrt(2.0)) for d in (d1, d2))
    return np.sum(spot * below1 - strike * np.exp(-rate * time) * below2)


def options(draw: Draw, n: int = 1_000_000) -> tuple[Any, ...]:
    bounds = ((80.0, 120.0), (80.0, 120.0), (0.25, 2.0), (0.0, 0.05), (0.1, 0.5))
    return (tuple(draw.uniform(low, high, n) for low, high in bounds),)


def _rosenbrock(n: int, title: str) -> Program:
    return Program(
        f"rosenbrock-{n}",
        f"Rosenbrock, {title}",
        lambda draw: (draw.normal(size=n),),
        lambda draw: (draw.normal(size=7),),
        rosenbrock,
        lambda x: 16.0 * x.size,
        "rosenbrock",
    )


def _chain(n: int, title: str, dtype: str) -> Program:
    return Program(
        f"chain-{n}-{dtype}",
        f"elementwise chain, {title}, {dtype}",
        lambda draw: (draw.normal(size=n),),
        lambda draw: (draw.normal(size=21),),
        chain,
        lambda x: (2 * FUNCTION + 14.0) * x.size,
        "chain",
        dtype=dtype,
    )


PROGRAMS = (
    _rosenbrock(10, "10"),
    _rosenbrock(10_000, "10⁴"),
    _chain(1000, "10³", "float64"),
    _chain(1000, "10³", "float32"),
    _chain(1_000_000, "10⁶", "float64"),
    _chain(1_000_000, "10⁶", "float32"),
    Program(
        "black-scholes",
        "Black–Scholes, 10⁶ options, 5 greeks",
        options,
        lambda draw: options(draw, 9),
        black_scholes,
        lambda p: (5 * FUNCTION + 34.0) * p[0].size,
        "black_scholes",
    ),
)
