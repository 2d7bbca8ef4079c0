"""Hand-written: gravity of n bodies, the heat equation, Lotka–Volterra by Runge and Kutta."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from benchmarks.hand.common import parallel, serial
from tracegrad.codegen.mathlib import accumulate, sqrt

SOFT = 1e-2  # what is added to squared distances


@serial
def _pull(i: int, x: Any, y: Any, z: Any, masses: Any, out: Any) -> Any:
    """The potential of body i and its gradient, from all bodies."""
    px, py, pz = x[i], y[i], z[i]
    total, gx, gy, gz = 0.0, 0.0, 0.0, 0.0
    for j in range(len(x)):
        dx, dy, dz = px - x[j], py - y[j], pz - z[j]
        square = dx * dx + dy * dy + dz * dz + SOFT
        near = masses[j] / sqrt(square)
        total = accumulate(total, near)
        near /= square
        gx = accumulate(gx, near * dx)
        gy = accumulate(gy, near * dy)
        gz = accumulate(gz, near * dz)
    mass = masses[i]
    out[0], out[1], out[2] = mass * gx, mass * gy, mass * gz
    return mass * (total - mass / np.sqrt(SOFT))


@parallel
def nbody(p: Any, masses: Any) -> Any:
    """All pairs twice: cheaper than the scattered sums of every pair once."""
    n = len(masses)
    turned = np.ascontiguousarray(p.T)
    x, y, z = turned[0], turned[1], turned[2]
    gradient = np.empty_like(p)
    energies = np.empty(n)
    for i in prange(n):
        energies[i] = _pull(i, x, y, z, masses, gradient[i])
    return -0.5 * energies.sum(), gradient


@serial
def _diffuse(u: Any, rate: float, out: Any) -> None:
    """One step for all rows but the first and the last of a bordered array."""
    width = u.shape[1] - 2
    for i in range(1, len(u) - 1):
        above, here, below, left, right = u[i - 1, 1:-1], u[i, 1:-1], u[i + 1, 1:-1], u[i, :-2], u[i, 2:]
        row = out[i, 1:-1]
        for j in range(width):
            row[j] = here[j] + rate * (above[j] + below[j] + left[j] + right[j] - 4.0 * here[j])


@parallel
def _spread(a: Any, b: Any, rate: float, steps: int, parts: int) -> None:
    """An even number of steps from a to a over b."""
    rows = a.shape[0] - 2
    for _ in range(steps // 2):
        for p in prange(parts):
            part = slice(p * rows // parts, (p + 1) * rows // parts + 2)
            _diffuse(a[part], rate, b[part])
        for p in prange(parts):
            part = slice(p * rows // parts, (p + 1) * rows // parts + 2)
            _diffuse(b[part], rate, a[part])


@serial
def _bordered(u: Any) -> Any:
    out = np.zeros((u.shape[0] + 2, u.shape[1] + 2))
    out[1:-1, 1:-1] = u
    return out


@serial
def _miss(a: Any, target: Any) -> Any:
    """The mean squared difference, which a's cotangent replaces."""
    total, factor = 0.0, 2.0 / target.size
    for i in range(len(target)):
        row, right = a[i + 1, 1:-1], target[i]
        for j in range(len(right)):
            away = row[j] - right[j]
            total = accumulate(total, away * away)
            row[j] = factor * away
    return total / target.size


STEPS, RATE = 100, 0.2


def heat(u: Any, target: Any) -> Any:
    """The step is its own transpose, so the gradient is the same steps once more; nothing is kept."""
    a = _bordered(u)
    b = np.zeros_like(a)
    _spread(a, b, RATE, STEPS, 2)
    value = _miss(a, target)
    _spread(a, b, RATE, STEPS, 2)
    return value, np.ascontiguousarray(a[1:-1, 1:-1])


@serial
def _slope(p: Any, x: float, y: float) -> Any:
    return x * (p[0] - p[1] * y), y * (p[2] * x - p[3])


@serial
def _slope_back(p: Any, x: float, y: float, gx: float, gy: float, g: Any) -> Any:
    """The cotangent of (x, y) under that of the slope; the parameters' is added to g."""
    g[0] += gx * x
    g[1] -= gx * x * y
    g[2] += gy * x * y
    g[3] -= gy * y
    return gx * (p[0] - p[1] * y) + gy * p[2] * y, gy * (p[2] * x - p[3]) - gx * p[1] * x


@serial
def lotka_volterra(p: Any, observed: Any) -> Any:
    """p is the four rates and the two initial numbers; the states of each step are kept for the way back."""
    h, steps = 0.1, len(observed)
    kept = np.empty((steps, 8))
    x, y = p[4], p[5]
    total = 0.0
    away = np.empty((steps, 2))
    for s in range(steps):
        ax, ay = _slope(p, x, y)
        x2, y2 = x + 0.5 * h * ax, y + 0.5 * h * ay
        bx, by = _slope(p, x2, y2)
        x3, y3 = x + 0.5 * h * bx, y + 0.5 * h * by
        cx, cy = _slope(p, x3, y3)
        x4, y4 = x + h * cx, y + h * cy
        dx, dy = _slope(p, x4, y4)
        row = kept[s]
        row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7] = x, y, x2, y2, x3, y3, x4, y4
        x += h / 6.0 * (ax + 2.0 * bx + 2.0 * cx + dx)
        y += h / 6.0 * (ay + 2.0 * by + 2.0 * cy + dy)
        away[s, 0], away[s, 1] = x - observed[s, 0], y - observed[s, 1]
        total += away[s, 0] * away[s, 0] + away[s, 1] * away[s, 1]
    g = np.zeros(6)
    gx, gy = 0.0, 0.0
    for s in range(steps - 1, -1, -1):
        gx += 2.0 * away[s, 0]
        gy += 2.0 * away[s, 1]
        row = kept[s]
        dx, dy = _slope_back(p, row[6], row[7], h / 6.0 * gx, h / 6.0 * gy, g)
        cx, cy = _slope_back(p, row[4], row[5], h / 3.0 * gx + h * dx, h / 3.0 * gy + h * dy, g)
        bx, by = _slope_back(p, row[2], row[3], h / 3.0 * gx + 0.5 * h * cx, h / 3.0 * gy + 0.5 * h * cy, g)
        ax, ay = _slope_back(p, row[0], row[1], h / 6.0 * gx + 0.5 * h * bx, h / 6.0 * gy + 0.5 * h * by, g)
        gx += ax + bx + cx + dx
        gy += ay + by + cy + dy
    g[4], g[5] = gx, gy
    return total, g
