"""Softmax cross-entropy, layer norm with GELU, a dense network, a dict of small parameters."""

from __future__ import annotations

import math
from typing import Any

from benchmarks.peers.program import FUNCTION, Draw, Program

# -- rows -------------------------------------------------------------------------------------------------------------


def cross_entropy(np: Any, sp: Any, scores: Any, labels: Any) -> Any:
    n = labels.shape[0]
    return np.mean(sp.logsumexp(scores, axis=1) - scores[np.arange(n), labels])


def cross_entropy_in_torch(torch: Any, scores: Any, labels: Any) -> Any:
    return torch.nn.functional.cross_entropy(scores, labels)


def scored(draw: Draw, rows: int = 256, classes: int = 1000) -> tuple[Any, ...]:
    return 2.0 * draw.normal(size=(rows, classes)), draw.integers(classes, size=rows)


def norm_gelu(np: Any, sp: Any, p: Any, weight: Any) -> Any:
    away = p["x"] - np.mean(p["x"], axis=-1, keepdims=True)
    unit = away / np.sqrt(np.mean(away**2, axis=-1, keepdims=True) + 1e-5)
    z = unit * p["gain"] + p["bias"]
    return np.sum(weight * z * (0.5 + 0.5 * sp.erf(z / math.sqrt(2.0))))


def norm_gelu_in_torch(torch: Any, p: Any, weight: Any) -> Any:
    f = torch.nn.functional
    return torch.sum(weight * f.gelu(f.layer_norm(p["x"], p["gain"].shape, p["gain"], p["bias"])))


def normed(draw: Draw, rows: int = 512, width: int = 768) -> tuple[Any, ...]:
    params = {
        "x": draw.normal(size=(rows, width)),
        "gain": 1.0 + 0.1 * draw.normal(size=width),
        "bias": 0.1 * draw.normal(size=width),
    }
    return params, draw.normal(size=(rows, width))


# -- networks ---------------------------------------------------------------------------------------------------------


def mlp(np: Any, sp: Any, p: Any, x: Any, labels: Any) -> Any:
    hidden = np.maximum(x @ p["w1"] + p["b1"], 0.0)
    return cross_entropy(np, sp, hidden @ p["w2"] + p["b2"], labels)


def mlp_in_torch(torch: Any, p: Any, x: Any, labels: Any) -> Any:
    hidden = torch.relu(x @ p["w1"] + p["b1"])
    return torch.nn.functional.cross_entropy(hidden @ p["w2"] + p["b2"], labels)


def digits(draw: Draw, batch: int = 64, inputs: int = 784, width: int = 256) -> tuple[Any, ...]:
    params = {
        "w1": draw.normal(size=(inputs, width)) / math.sqrt(inputs),
        "b1": 0.1 * draw.normal(size=width),
        "w2": draw.normal(size=(width, 10)) / math.sqrt(width),
        "b2": 0.1 * draw.normal(size=10),
    }
    return params, draw.normal(size=(batch, inputs)), draw.integers(10, size=batch)


def mlp_flops(p: Any, x: Any, labels: Any) -> float:
    # the input's cotangent is not asked for, so the first layer has two products and the second three
    n = len(labels)
    return float(n * (4 * p["w1"].size + 6 * p["w2"].size + 6 * p["b1"].size + (FUNCTION + 8) * p["b2"].size))


def layers(np: Any, sp: Any, p: Any, x: Any, y: Any) -> Any:
    h = x
    for k in range(len(p) // 2):
        h = np.tanh(h @ p[f"w{k}"] + p[f"b{k}"])
    return np.mean((h - y) ** 2)


def small(draw: Draw, batch: int = 16, width: int = 8) -> tuple[Any, ...]:
    params = {}
    for k in range(4):
        params[f"w{k}"] = draw.normal(size=(width, width)) / math.sqrt(width)
        params[f"b{k}"] = 0.1 * draw.normal(size=width)
    return params, draw.normal(size=(batch, width)), draw.normal(size=(batch, width))


def layers_flops(p: Any, x: Any, y: Any) -> float:
    products = 6 * len(x) * sum(a.size for name, a in p.items() if name[0] == "w") - 2 * len(x) * p["w0"].size
    return float(products + len(p) // 2 * (FUNCTION + 6) * x.size + 4 * x.size)


PROGRAMS = (
    Program(
        "cross-entropy",
        "softmax cross-entropy, 256×1000",
        scored,
        lambda draw: scored(draw, 5, 7),
        cross_entropy,
        lambda scores, labels: (FUNCTION + 6.0) * scores.size,
        "cross_entropy",
        in_torch=cross_entropy_in_torch,
    ),
    Program(
        "norm-gelu",
        "layer norm + GELU, 512×768",
        normed,
        lambda draw: normed(draw, 5, 7),
        norm_gelu,
        lambda p, weight: (2 * FUNCTION + 33.0) * weight.size,
        "norm_gelu",
        in_torch=norm_gelu_in_torch,
    ),
    Program(
        "mlp",
        "MLP 784-256-10, batch 64",
        digits,
        lambda draw: digits(draw, 4, 12, 8),
        mlp,
        mlp_flops,
        "mlp",
        in_torch=mlp_in_torch,
    ),
    Program(
        "dict-of-8",
        "dict of 8 small arrays",
        small,
        lambda draw: small(draw, 3, 4),
        layers,
        layers_flops,
        "layers",
    ),
)
