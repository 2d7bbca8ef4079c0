"""Logistic regression and its Hessian-vector product, Gaussian mixture, Student-t fit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from benchmarks.peers.program import FUNCTION, Draw, Program

# -- logistic regression ----------------------------------------------------------------------------------------------


def logistic(np: Any, sp: Any, w: Any, x: Any, y: Any) -> Any:
    score = x @ w
    losses = np.maximum(score, 0.0) - y * score + np.log1p(np.exp(-np.abs(score)))
    return np.mean(losses) + 0.005 * np.sum(w * w)


def logistic_in_torch(torch: Any, w: Any, x: Any, y: Any) -> Any:
    return torch.nn.functional.binary_cross_entropy_with_logits(x @ w, y) + 0.005 * torch.sum(w * w)


def labelled(draw: Draw, samples: int, features: int) -> tuple[Any, ...]:
    x = draw.normal(size=(samples, features))
    w = draw.normal(size=features)
    y = (x @ w + draw.normal(size=samples) > 0).astype(np.float64)
    return 0.5 * w, x, y


def directed(draw: Draw, samples: int, features: int) -> tuple[Any, ...]:
    w, x, y = labelled(draw, samples, features)
    return w, draw.normal(size=features), x, y


def slope(w: Any, v: Any, x: Any, y: Any) -> Any:
    """The derivative of the logistic loss along v."""
    sigmoid = 1.0 / (1.0 + np.exp(-(x @ w)))
    return np.mean((sigmoid - y) * (x @ v)) + 0.01 * np.sum(w * v)


def _logistic(samples: int, features: int, title: str) -> Program:
    return Program(
        f"logistic-{samples}x{features}",
        f"logistic regression, {title}",
        lambda draw: labelled(draw, samples, features),
        lambda draw: labelled(draw, 30, 4),
        logistic,
        lambda w, x, y: 4.0 * x.size + (2 * FUNCTION + 8.0) * y.size,
        "logistic",
        in_torch=logistic_in_torch,
    )


# -- Gaussian mixture -------------------------------------------------------------------------------------------------


def mixture(np: Any, sp: Any, p: Any, x: Any) -> Any:
    d = x.shape[1]
    away = x[:, None, :] - p["means"]
    factors = np.tril(p["low"], -1) + np.exp(p["logs"])[:, :, None] * np.eye(d)
    white = np.einsum("krc,nkc->nkr", factors, away)
    weights = p["weights"] - sp.logsumexp(p["weights"]) + np.sum(p["logs"], axis=1)
    score = weights - 0.5 * np.sum(white**2, axis=-1) - 0.5 * d * math.log(2.0 * math.pi)
    return np.sum(sp.logsumexp(score, axis=1))


def mixture_in_torch(torch: Any, p: Any, x: Any) -> Any:
    d = x.shape[1]
    away = x[:, None, :] - p["means"]
    factors = torch.tril(p["low"], -1) + torch.diag_embed(torch.exp(p["logs"]))
    white = torch.einsum("krc,nkc->nkr", factors, away)
    weights = torch.log_softmax(p["weights"], 0) + torch.sum(p["logs"], 1)
    score = weights - 0.5 * torch.sum(white**2, -1) - 0.5 * d * math.log(2.0 * math.pi)
    return torch.sum(torch.logsumexp(score, 1))


def clusters(draw: Draw, n: int = 10_000, d: int = 10, components: int = 25) -> tuple[Any, ...]:
    params = {
        "weights": draw.normal(size=components),
        "means": draw.normal(size=(components, d)),
        "logs": 0.2 * draw.normal(size=(components, d)),
        "low": 0.3 * np.tril(draw.normal(size=(components, d, d)), -1),
    }
    return params, 1.5 * draw.normal(size=(n, d))


def mixture_flops(p: Any, x: Any) -> float:
    # per point and component: two triangular products of d(d+1)/2 entries, three with the sums over points
    n, d = x.shape
    return float(n * len(p["weights"]) * (2 * d * (d + 1) + 5 * d + FUNCTION + 6) + n * FUNCTION)


# -- Student-t curve fit ----------------------------------------------------------------------------------------------


def student_t(np: Any, sp: Any, p: Any, t: Any, y: Any) -> Any:
    rest = (p[0] * np.exp(-p[1] * t) * np.cos(p[2] * t) + p[3] - y) * np.exp(-p[4])
    return np.sum(2.5 * np.log1p(rest**2 / 4.0) + p[4])


def outliers(draw: Draw, n: int = 100) -> tuple[Any, ...]:
    t = np.linspace(0.0, 4.0, n)
    y = 2.0 * np.exp(-0.5 * t) * np.cos(3.0 * t) + 0.4 + 0.1 * draw.standard_t(2.0, n)
    return np.array([1.7, 0.6, 2.9, 0.3, -1.5]), t, y


PROGRAMS = (
    _logistic(1000, 20, "1000×20"),
    _logistic(100_000, 50, "10⁵×50"),
    Program(
        "hvp",
        "Hessian-vector product, logistic 1000×20",
        lambda draw: directed(draw, 1000, 20),
        lambda draw: directed(draw, 30, 4),
        logistic,
        lambda w, v, x, y: 6.0 * x.size + (FUNCTION + 9.0) * y.size,
        "hvp",
        in_torch=logistic_in_torch,
        along=slope,
    ),
    Program(
        "mixture",
        "Gaussian mixture, 10⁴ points, d=10, K=25",
        clusters,
        lambda draw: clusters(draw, 150, 3, 4),
        mixture,
        mixture_flops,
        "mixture",
        in_torch=mixture_in_torch,
    ),
    Program(
        "student-t",
        "Student-t curve fit, 100 points",
        outliers,
        lambda draw: outliers(draw, 11),
        student_t,
        lambda p, t, y: (4 * FUNCTION + 25.0) * t.size,
        "student_t",
    ),
)
