"""Gravity of n bodies, the heat equation, Lotka–Volterra by Runge and Kutta."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from benchmarks.peers.program import Draw, Program

# -- n bodies ---------------------------------------------------------------------------------------------------------

SOFT = 1e-2


def nbody(np: Any, sp: Any, x: Any, masses: Any) -> Any:
    away = x[:, None, :] - x[None, :, :]
    distance = np.sqrt(np.sum(away**2, axis=-1) + SOFT)
    pairs = np.sum(masses[:, None] * masses[None, :] / distance)
    return -0.5 * (pairs - np.sum(masses**2) / math.sqrt(SOFT))


def bodies(draw: Draw, n: int = 500) -> tuple[Any, ...]:
    return draw.normal(size=(n, 3)), draw.uniform(0.5, 1.5, n)


# -- heat -------------------------------------------------------------------------------------------------------------

HEAT_STEPS, RATE = 100, 0.2


def diffused(np: Any, u: Any) -> Any:
    """One explicit step; outside it is 0."""
    w = np.pad(u, 1, mode="constant")
    return u + RATE * (w[2:, 1:-1] + w[:-2, 1:-1] + w[1:-1, 2:] + w[1:-1, :-2] - 4.0 * u)


def heat(np: Any, sp: Any, u: Any, target: Any) -> Any:
    for _ in range(HEAT_STEPS):
        u = diffused(np, u)
    return np.mean((u - target) ** 2)


def heat_in_torch(torch: Any, u: Any, target: Any) -> Any:
    for _ in range(HEAT_STEPS):
        w = torch.nn.functional.pad(u, (1, 1, 1, 1))
        u = u + RATE * (w[2:, 1:-1] + w[:-2, 1:-1] + w[1:-1, 2:] + w[1:-1, :-2] - 4.0 * u)
    return torch.mean((u - target) ** 2)


def heat_in_jax(jax: Any, u: Any, target: Any) -> Any:
    u, _ = jax.lax.scan(lambda u, _: (diffused(jax.numpy, u), None), u, length=HEAT_STEPS)
    return jax.numpy.mean((u - target) ** 2)


def heat_in_pytensor(pytensor: Any, u: Any, target: Any) -> Any:
    pt = pytensor.tensor
    states = pytensor.scan(lambda u: diffused(pt, u), outputs_info=[u], n_steps=HEAT_STEPS, return_updates=False)
    return pt.mean((states[-1] - target) ** 2)


def field(draw: Draw, n: int = 256) -> tuple[Any, ...]:
    return draw.normal(size=(n, n)), 0.1 * draw.normal(size=(n, n))


# -- Lotka–Volterra ---------------------------------------------------------------------------------------------------

ODE_STEPS, TIME_STEP = 20, 0.1


def lotka_volterra(np: Any, sp: Any, p: Any, observed: Any) -> Any:
    def slope(s: Any) -> Any:
        return np.stack([s[0] * (p[0] - p[1] * s[1]), s[1] * (p[2] * s[0] - p[3])])

    h, state, total = TIME_STEP, p[4:], 0.0
    for k in range(ODE_STEPS):
        k1 = slope(state)
        k2 = slope(state + 0.5 * h * k1)
        k3 = slope(state + 0.5 * h * k2)
        k4 = slope(state + h * k3)
        state = state + h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
        total = total + np.sum((state - observed[k]) ** 2)
    return total


def hunted(draw: Draw) -> tuple[Any, ...]:
    return np.array([1.1, 0.4, 0.1, 0.4, 10.0, 5.0]), draw.uniform(2.0, 12.0, (ODE_STEPS, 2))


PROGRAMS = (
    Program(
        "nbody",
        "n-body potential and forces, 500",
        bodies,
        lambda draw: bodies(draw, 6),
        nbody,
        lambda x, masses: 19.0 * len(x) ** 2,
        "nbody",
    ),
    Program(
        "heat",
        "heat equation 256×256, 100 steps",
        field,
        lambda draw: field(draw, 9),
        heat,
        lambda u, target: 2.0 * HEAT_STEPS * 7.0 * u.size,
        "heat",
        in_torch=heat_in_torch,
        in_jax=heat_in_jax,
        in_pytensor=heat_in_pytensor,
    ),
    Program(
        "lotka-volterra",
        "20 RK4 steps of Lotka–Volterra",
        hunted,
        hunted,
        lotka_volterra,
        lambda p, observed: 200.0 * len(observed),
        "lotka_volterra",
    ),
)
