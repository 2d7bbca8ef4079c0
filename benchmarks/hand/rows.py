"""Hand-written: softmax cross-entropy, layer norm with GELU."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from benchmarks.hand.common import parallel, serial
from tracegrad.codegen.mathlib import accumulate, accumulate_maximum, erf, exp, log


@serial
def _softmax_row(scores: Any, label: Any, share: Any, out: Any) -> Any:
    """The loss of a row; its cotangent is written to ``out``."""
    greatest = scores[0]
    for j in range(len(scores)):
        greatest = accumulate_maximum(greatest, scores[j])
    total = 0.0
    for j in range(len(scores)):
        out[j] = exp(scores[j] - greatest)
        total = accumulate(total, out[j])
    factor = share / total
    for j in range(len(scores)):
        out[j] *= factor
    out[label] -= share
    return log(total) + greatest - scores[label]


@parallel
def cross_entropy(scores: Any, labels: Any) -> Any:
    """Each row three times, from the nearest cache."""
    n = len(labels)
    gradient = np.empty_like(scores)
    losses = np.empty(n)
    for i in prange(n):
        losses[i] = _softmax_row(scores[i], labels[i], 1.0 / n, gradient[i])
    return losses.sum() / n, gradient


@serial
def _norm_gelu_row(x: Any, gain: Any, bias: Any, weight: Any, unit: Any, back: Any, d_gain: Any, d_bias: Any) -> Any:
    width = len(x)
    mean = 0.0
    for j in range(width):
        mean = accumulate(mean, x[j])
    mean /= width
    spread = 0.0
    for j in range(width):
        unit[j] = x[j] - mean
        spread = accumulate(spread, unit[j] * unit[j])
    scale = 1.0 / np.sqrt(spread / width + 1e-5)
    value, even, along = 0.0, 0.0, 0.0
    for j in range(width):
        u = unit[j] * scale
        z = u * gain[j] + bias[j]
        below = 0.5 + 0.5 * erf(z * 0.7071067811865476)
        value = accumulate(value, weight[j] * z * below)
        slope = weight[j] * (below + z * 0.3989422804014327 * exp(-0.5 * z * z))
        d_gain[j] += slope * u
        d_bias[j] += slope
        slope *= gain[j]
        unit[j] = u
        back[j] = slope
        even = accumulate(even, slope)
        along = accumulate(along, slope * u)
    even, along = even / width, along / width
    for j in range(width):
        back[j] = scale * (back[j] - even - unit[j] * along)
    return value


@parallel
def _norm_gelu_parts(x: Any, gain: Any, bias: Any, weight: Any, back: Any, values: Any, d_gain: Any, d_bias: Any) -> None:
    rows, parts = len(x), len(values)
    for c in prange(parts):
        unit = np.empty(x.shape[1])
        for i in range(c * rows // parts, (c + 1) * rows // parts):
            values[c] += _norm_gelu_row(x[i], gain, bias, weight[i], unit, back[i], d_gain[c], d_bias[c])


@serial
def _norm_gelu(x: Any, gain: Any, bias: Any, weight: Any, parts: int) -> Any:
    width = x.shape[1]
    back = np.empty_like(x)
    values = np.zeros(parts)
    d_gain, d_bias = np.zeros((parts, width)), np.zeros((parts, width))
    _norm_gelu_parts(x, gain, bias, weight, back, values, d_gain, d_bias)
    return values.sum(), back, d_gain.sum(axis=0), d_bias.sum(axis=0)


def norm_gelu(p: dict[str, Any], weight: Any) -> Any:
    """Row by row; the sums over rows are kept per part and added at the end."""
    value, x, gain, bias = _norm_gelu(p["x"], p["gain"], p["bias"], weight, 8)
    return value, {"x": x, "gain": gain, "bias": bias}
