"""Hand-written: logistic regression and its Hessian-vector product, Gaussian mixture, Student-t fit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from benchmarks.hand.common import parallel, serial
from tracegrad.codegen.mathlib import absolute, accumulate, accumulate_maximum, cos, exp, log, log1p, sin, where

ROWS = 256  # rows whose scores are computed before they are used again, from the cache


@serial
def _scores(x: Any, w: Any, out: Any) -> None:
    for i in range(len(x)):
        row = x[i]
        score = 0.0
        for j in range(len(row)):
            score = accumulate(score, row[j] * w[j])
        out[i] = score


@serial
def _pull_back(x: Any, g: Any, out: Any) -> None:
    """out += g @ x, four rows at a time so that out is loaded and stored less often."""
    n = len(x)
    whole = n - n % 4
    for i in range(0, whole, 4):
        a, b, c, d = x[i], x[i + 1], x[i + 2], x[i + 3]
        ga, gb, gc, gd = g[i], g[i + 1], g[i + 2], g[i + 3]
        for j in range(len(out)):
            out[j] += ga * a[j] + gb * b[j] + gc * c[j] + gd * d[j]
    for i in range(whole, n):
        a = x[i]
        for j in range(len(out)):
            out[j] += g[i] * a[j]


@serial
def _logistic_block(w: Any, x: Any, y: Any, gradient: Any) -> Any:
    score = np.empty(len(y))
    _scores(x, w, score)
    total = 0.0
    for i in range(len(y)):
        s = score[i]
        small = exp(-absolute(s))
        total = accumulate(total, where(s > 0.0, s, 0.0) - y[i] * s + log1p(small))
        score[i] = where(s >= 0.0, 1.0, small) / (1.0 + small) - y[i]
    _pull_back(x, score, gradient)
    return total


@serial
def _logistic_serial(w: Any, x: Any, y: Any) -> Any:
    n = len(y)
    gradient = np.zeros_like(w)
    total = 0.0
    for start in range(0, n, ROWS):
        rows = slice(start, min(start + ROWS, n))
        total += _logistic_block(w, x[rows], y[rows], gradient)
    gradient /= n
    gradient += 0.01 * w
    return total / n + 0.005 * (w * w).sum(), gradient


@parallel
def _logistic_blocks(w: Any, x: Any, y: Any, totals: Any, gradients: Any) -> None:
    for b in prange(len(totals)):
        rows = slice(b * ROWS, min(b * ROWS + ROWS, len(y)))
        totals[b] = _logistic_block(w, x[rows], y[rows], gradients[b])


@serial
def _logistic_parallel(w: Any, x: Any, y: Any) -> Any:
    n = len(y)
    blocks = (n + ROWS - 1) // ROWS
    totals = np.empty(blocks)
    gradients = np.zeros((blocks, len(w)))
    _logistic_blocks(w, x, y, totals, gradients)
    gradient = np.zeros_like(w)
    for b in range(blocks):
        gradient += gradients[b]
    gradient /= n
    gradient += 0.01 * w
    return totals.sum() / n + 0.005 * (w * w).sum(), gradient


def logistic(w: Any, x: Any, y: Any) -> Any:
    """The data once from memory: a block's scores, their cotangents and the gradient's share of it."""
    return _logistic_serial(w, x, y) if x.size <= 65536 else _logistic_parallel(w, x, y)


@serial
def hvp(w: Any, v: Any, x: Any, y: Any) -> Any:
    """The slope along v and the Hessian's product with it; forward over reverse, as the formula says."""
    n = len(y)
    out = np.zeros_like(w)
    score, along = np.empty(ROWS), np.empty(ROWS)
    total = 0.0
    for start in range(0, n, ROWS):
        stop = min(start + ROWS, n)
        part, labels = x[start:stop], y[start:stop]
        _scores(part, w, score)
        _scores(part, v, along)
        for i in range(len(labels)):
            small = exp(-absolute(score[i]))
            sigmoid = where(score[i] >= 0.0, 1.0, small) / (1.0 + small)
            total = accumulate(total, (sigmoid - labels[i]) * along[i])
            along[i] *= sigmoid * (1.0 - sigmoid)
        _pull_back(part, along, out)
    out /= n
    out += 0.01 * v
    return total / n + 0.01 * (w * v).sum(), out


@serial
def student_t(p: Any, t: Any, y: Any) -> Any:
    """p[0] exp(-p[1] t) cos(p[2] t) + p[3] with scale exp(p[4]) and 4 degrees of freedom; one pass."""
    n = len(t)
    inverse = exp(-2.0 * p[4])
    total, g0, g1, g2, g3, g4 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(n):
        fall = exp(-p[1] * t[i])
        angle = p[2] * t[i]
        wave = fall * cos(angle)
        rest = p[0] * wave + p[3] - y[i]
        square = rest * rest * inverse * 0.25
        total = accumulate(total, 2.5 * log1p(square))
        back = 1.25 * rest * inverse / (1.0 + square)
        g0 = accumulate(g0, back * wave)
        g1 = accumulate(g1, back * wave * t[i])
        g2 = accumulate(g2, back * fall * sin(angle) * t[i])
        g3 = accumulate(g3, back)
        g4 = accumulate(g4, back * rest)
    gradient = np.empty(5)
    gradient[0], gradient[1], gradient[2], gradient[3] = g0, -p[0] * g1, -p[0] * g2, g3
    gradient[4] = n - g4
    return total + n * p[4], gradient


POINTS = 128  # points of the mixture that are worked on together; an argument, as loops of known length would be unrolled


@serial
def _likely(logit: Any, means: Any, factors: Any, points: Any, white: Any, likely: Any, top: Any) -> None:
    """The whitened points of a component, its log-likelihoods, and the greatest so far."""
    width = points.shape[1]
    likely[:] = logit
    for r in range(len(points)):
        y = white[r]
        y[:] = 0.0
        for c in range(r + 1):
            factor, mean, coordinate = factors[r, c], means[c], points[c]
            for i in range(width):
                y[i] += factor * (coordinate[i] - mean)
        for i in range(width):
            likely[i] -= 0.5 * y[i] * y[i]
    for i in range(width):
        top[i] = accumulate_maximum(top[i], likely[i])


@serial
def _pull_component(
    means: Any, factors: Any, points: Any, white: Any, share: Any, away: Any, d_means: Any, d_factors: Any
) -> None:
    """What the points' shares in a component add to the gradients of its mean and factor."""
    d, width = points.shape
    for c in range(d):
        mean = means[c]
        for i in range(width):
            away[c, i] = points[c, i] - mean
    for r in range(d):
        y = white[r]
        whole = 0.0
        for i in range(width):
            y[i] *= share[i]
            whole = accumulate(whole, y[i])
        for c in range(r + 1):
            d_means[c] += factors[r, c] * whole
            moment = 0.0
            column = away[c]
            for i in range(width):
                moment = accumulate(moment, y[i] * column[i])
            d_factors[r, c] -= moment


@serial
def _mixture_block(
    logits: Any, means: Any, factors: Any, x: Any, width: int, d_logits: Any, d_means: Any, d_factors: Any
) -> Any:
    """The log-likelihood of at most ``width`` points, and what it adds to the gradients of the components."""
    components, d = means.shape
    n = len(x)
    points, away = np.empty((d, width)), np.empty((d, width))
    white, score = np.empty((components, d, width)), np.empty((components, width))
    top, whole = np.full(width, -np.inf), np.zeros(width)
    for j in range(d):
        for i in range(width):
            points[j, i] = x[i, j] if i < n else 0.0
    for k in range(components):
        _likely(logits[k], means[k], factors[k], points, white[k], score[k], top)
    for k in range(components):
        share = score[k]
        for i in range(width):
            share[i] = exp(share[i] - top[i])
            whole[i] += share[i]
    total = 0.0
    for i in range(n):
        total = accumulate(total, log(whole[i]) + top[i])
    for i in range(width):
        whole[i] = 1.0 / whole[i] if i < n else 0.0
    for k in range(components):
        share = score[k]
        sum_of_shares = 0.0
        for i in range(width):
            share[i] *= whole[i]
            sum_of_shares = accumulate(sum_of_shares, share[i])
        d_logits[k] += sum_of_shares
        _pull_component(means[k], factors[k], points, white[k], share, away, d_means[k], d_factors[k])
    return total


@parallel
def _mixture_parts(
    logits: Any, means: Any, factors: Any, x: Any, width: int, totals: Any, d_logits: Any, d_means: Any, d_factors: Any
) -> None:
    n, parts = len(x), len(totals)
    for p in prange(parts):
        stop = (p + 1) * n // parts
        for first in range(p * n // parts, stop, width):
            block = x[first : min(first + width, stop)]
            totals[p] += _mixture_block(logits, means, factors, block, width, d_logits[p], d_means[p], d_factors[p])


@serial
def _mixture(weights: Any, means: Any, logs: Any, low: Any, x: Any, parts: int) -> Any:
    components, d = means.shape
    n = len(x)
    factors = np.zeros((components, d, d))
    logits = np.empty(components)
    greatest, whole = weights.max(), 0.0
    for k in range(components):
        whole += exp(weights[k] - greatest)
    whole = log(whole) + greatest
    for k in range(components):
        logits[k] = weights[k] - whole + logs[k].sum() - 0.5 * d * 1.8378770664093453
        for r in range(d):
            factors[k, r, r] = exp(logs[k, r])
            for c in range(r):
                factors[k, r, c] = low[k, r, c]
    totals = np.zeros(parts)
    d_logits, d_means = np.zeros((parts, components)), np.zeros((parts, components, d))
    d_factors = np.zeros((parts, components, d, d))
    _mixture_parts(logits, means, factors, x, POINTS, totals, d_logits, d_means, d_factors)
    for p in range(1, parts):
        d_logits[0] += d_logits[p]
        d_means[0] += d_means[p]
        d_factors[0] += d_factors[p]
    g_logits, g_means, g_factors = d_logits[0], d_means[0].copy(), d_factors[0].copy()
    g_weights, g_logs = np.empty(components), np.empty((components, d))
    for k in range(components):
        g_weights[k] = g_logits[k] - n * exp(weights[k] - whole)
        for r in range(d):
            g_logs[k, r] = g_logits[k] + g_factors[k, r, r] * factors[k, r, r]
            g_factors[k, r, r] = 0.0
    return totals.sum(), g_weights, g_means, g_logs, g_factors


def mixture(p: dict[str, Any], x: Any) -> Any:
    """Blocks of points with their coordinates apart, so that each loop is over points."""
    value, weights, means, logs, low = _mixture(p["weights"], p["means"], p["logs"], p["low"], x, 16)
    return value, {"weights": weights, "means": means, "logs": logs, "low": low}
