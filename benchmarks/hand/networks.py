"""Hand-written: a dense network on BLAS products, and a network of eight small arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.hand.common import serial
from benchmarks.hand.rows import _softmax_row
from tracegrad.codegen.mathlib import accumulate, tanh, where


@serial
def _mlp(w1: Any, b1: Any, w2: Any, b2: Any, x: Any, labels: Any) -> Any:
    n = len(labels)
    hidden = np.dot(x, w1)
    for i in range(n):
        row = hidden[i]
        for j in range(len(row)):
            h = row[j] + b1[j]
            row[j] = where(h > 0.0, h, 0.0)
    scores = np.dot(hidden, w2) + b2
    back = np.empty_like(scores)
    total = 0.0
    for i in range(n):
        total += _softmax_row(scores[i], labels[i], 1.0 / n, back[i])
    back_hidden = np.dot(back, w2.T)
    d_b1, d_b2 = np.zeros_like(b1), np.zeros_like(b2)
    for i in range(n):
        row, kept, out = back_hidden[i], hidden[i], back[i]
        for j in range(len(row)):
            row[j] = where(kept[j] > 0.0, row[j], 0.0)
            d_b1[j] += row[j]
        for j in range(len(out)):
            d_b2[j] += out[j]
    return total / n, np.dot(x.T, back_hidden), d_b1, np.dot(hidden.T, back), d_b2


def mlp(p: dict[str, Any], x: Any, labels: Any) -> Any:
    """The products are BLAS's, on both cores; what lies between them is one loop each."""
    value, w1, b1, w2, b2 = _mlp(p["w1"], p["b1"], p["w2"], p["b2"], x, labels)
    return value, {"w1": w1, "b1": b1, "w2": w2, "b2": b2}


@serial
def _dense(x: Any, w: Any, b: Any, out: Any) -> None:
    for i in range(len(x)):
        row = out[i]
        row[:] = b
        for k in range(len(w)):
            factor, weights = x[i, k], w[k]
            for j in range(len(row)):
                row[j] += factor * weights[j]
        for j in range(len(row)):
            row[j] = tanh(row[j])


@serial
def _dense_back(x: Any, h: Any, w: Any, back: Any, d_w: Any, d_b: Any, down: Any) -> None:
    """Overwrites ``back``, the cotangent of h; ``down`` becomes the cotangent of x."""
    d_w[:] = 0.0
    d_b[:] = 0.0
    for i in range(len(x)):
        row, state = back[i], h[i]
        for j in range(len(row)):
            row[j] *= 1.0 - state[j] * state[j]
            d_b[j] += row[j]
        for k in range(len(w)):
            weights, slope, factor = w[k], d_w[k], x[i, k]
            total = 0.0
            for j in range(len(row)):
                slope[j] += factor * row[j]
                total = accumulate(total, weights[j] * row[j])
            down[i, k] = total


@serial
def _layers(w0: Any, b0: Any, w1: Any, b1: Any, w2: Any, b2: Any, w3: Any, b3: Any, x: Any, y: Any) -> Any:
    h0, h1, h2, h3 = np.empty_like(x), np.empty_like(x), np.empty_like(x), np.empty_like(x)
    _dense(x, w0, b0, h0)
    _dense(h0, w1, b1, h1)
    _dense(h1, w2, b2, h2)
    _dense(h2, w3, b3, h3)
    back, down = np.empty_like(x), np.empty_like(x)
    factor = 2.0 / x.size
    total = 0.0
    for i in range(len(x)):
        for j in range(x.shape[1]):
            away = h3[i, j] - y[i, j]
            total = accumulate(total, away * away)
            back[i, j] = factor * away
    d_w0, d_w1, d_w2, d_w3 = np.empty_like(w0), np.empty_like(w0), np.empty_like(w0), np.empty_like(w0)
    d_b0, d_b1, d_b2, d_b3 = np.empty_like(b0), np.empty_like(b0), np.empty_like(b0), np.empty_like(b0)
    _dense_back(h2, h3, w3, back, d_w3, d_b3, down)
    _dense_back(h1, h2, w2, down, d_w2, d_b2, back)
    _dense_back(h0, h1, w1, back, d_w1, d_b1, down)
    _dense_back(x, h0, w0, down, d_w0, d_b0, back)
    return total / x.size, d_w0, d_b0, d_w1, d_b1, d_w2, d_b2, d_w3, d_b3


NAMES = ("w0", "b0", "w1", "b1", "w2", "b2", "w3", "b3")


def layers(p: dict[str, Any], x: Any, y: Any) -> Any:
    """Four layers of one width; their products are too small for BLAS."""
    value, *gradients = _layers(*[p[name] for name in NAMES], x, y)
    return value, dict(zip(NAMES, gradients, strict=True))
