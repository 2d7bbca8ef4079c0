"""What is measured: losses in plain NumPy, their gradients written by hand, and the same losses in PyTorch.

A workload's ``loss`` is the one source for the static graph, the dynamic graph and plain NumPy. ``by_hand`` is what a
careful person writes without automatic differentiation: shared subexpressions, matrix products instead of loops, work
in place. It is the yardstick, so it is not to be made slower. ``in_torch`` gets the ``torch`` module, so nothing here
imports it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

import tracegrad as tg

Array = np.ndarray[Any, Any]
Draw = np.random.Generator


@dataclass(frozen=True, slots=True)
class Workload:
    """One row of the table.

    Parameters
    ----------
    name: what ``--only`` takes.
    title: what the table shows.
    arguments: draws the parameters, which are differentiated and may be a pytree, and then the data.
    tiny: the same at a size for tests.
    loss: parameters and data to a scalar.
    by_hand: parameters and data to the value and the gradient, in NumPy.
    in_torch: the torch module, parameters and data as tensors to a scalar tensor.
    """

    name: str
    title: str
    arguments: Callable[[Draw], tuple[Any, ...]]
    tiny: Callable[[Draw], tuple[Any, ...]]
    loss: Callable[..., Any]
    by_hand: Callable[..., tuple[Any, Any]]
    in_torch: Callable[..., Any]


# -- a scalar ---------------------------------------------------------------------------------------------------------


def scalar_loss(x: Any) -> Any:
    return np.sin(x) * np.exp(-x * x) + np.log1p(x * x)


def scalar_by_hand(x: Any) -> tuple[Any, Any]:
    # math is several times faster than NumPy on a single number
    square = x * x
    sine, damping = math.sin(x), math.exp(-square)
    value = sine * damping + math.log1p(square)
    return value, (math.cos(x) - 2.0 * x * sine) * damping + 2.0 * x / (1.0 + square)


def scalar_in_torch(torch: Any, x: Any) -> Any:
    return torch.sin(x) * torch.exp(-x * x) + torch.log1p(x * x)


def scalar_arguments(draw: Draw) -> tuple[Any, ...]:
    return (np.float64(draw.uniform(0.5, 1.0)),)


# -- Rosenbrock -------------------------------------------------------------------------------------------------------


def rosenbrock_loss(x: Any) -> Any:
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def rosenbrock_by_hand(x: Array) -> tuple[Any, Any]:
    low = x[:-1]
    rest, valley = 1.0 - low, x[1:] - low * low
    gradient = np.empty_like(x)
    gradient[-1] = 0.0
    np.multiply(low, valley, out=gradient[:-1])
    gradient[:-1] *= -400.0
    gradient[:-1] -= 2.0 * rest
    gradient[1:] += 200.0 * valley
    return 100.0 * (valley @ valley) + rest @ rest, gradient


def rosenbrock_in_torch(torch: Any, x: Any) -> Any:
    return torch.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def rosenbrock_arguments(draw: Draw) -> tuple[Any, ...]:
    return (draw.normal(size=10),)


# -- logistic regression ----------------------------------------------------------------------------------------------


def logistic_loss(w: Any, x: Any, y: Any) -> Any:
    score = x @ w
    losses = np.maximum(score, 0.0) - y * score + np.log1p(np.exp(-np.abs(score)))
    return np.mean(losses) + 0.005 * np.sum(w * w)


def logistic_by_hand(w: Array, x: Array, y: Array) -> tuple[Any, Any]:
    score = x @ w
    small = np.exp(-np.abs(score))  # shared by the softplus and the sigmoid
    value = (np.maximum(score, 0.0).sum() - y @ score + np.log1p(small).sum()) / len(y) + 0.005 * (w @ w)
    sigmoid = np.where(score >= 0.0, 1.0, small) / (1.0 + small)
    return value, (sigmoid - y) @ x / len(y) + 0.01 * w


def logistic_in_torch(torch: Any, w: Any, x: Any, y: Any) -> Any:
    score = x @ w
    losses = torch.nn.functional.binary_cross_entropy_with_logits(score, y)
    return losses + 0.005 * torch.sum(w * w)


def logistic_arguments(draw: Draw, samples: int = 1000, features: int = 20) -> tuple[Any, ...]:
    x = draw.normal(size=(samples, features))
    w = draw.normal(size=features)
    y = (x @ w + draw.normal(size=samples) > 0).astype(np.float64)
    return 0.5 * w, x, y


# -- an elementwise chain ---------------------------------------------------------------------------------------------


def chain_loss(x: Any) -> Any:
    return np.sum(np.tanh(1.5 * x + 0.3) ** 2 * np.exp(-x * x))


def chain_by_hand(x: Array) -> tuple[Any, Any]:
    # one pass per function, all in place: three arrays are made, as few as it takes
    t = np.multiply(x, 1.5)
    t += 0.3
    np.tanh(t, out=t)
    damped = np.multiply(x, x)
    np.negative(damped, out=damped)
    np.exp(damped, out=damped)
    damped *= t
    value = t @ damped
    inner = x + 1.5 * t  # 1.5 (1 - t²) - x t = 1.5 - t (1.5 t + x)
    inner *= t
    np.subtract(1.5, inner, out=inner)
    inner *= damped
    inner *= 2.0
    return value, inner


def chain_in_torch(torch: Any, x: Any) -> Any:
    return torch.sum(torch.tanh(1.5 * x + 0.3) ** 2 * torch.exp(-x * x))


def chain_arguments(draw: Draw, size: int = 1_000_000) -> tuple[Any, ...]:
    return (draw.normal(size=size),)


# -- a dense network --------------------------------------------------------------------------------------------------


def mlp_loss(p: Any, x: Any, labels: Any) -> Any:
    hidden = np.maximum(x @ p["w1"] + p["b1"], 0.0)
    return tg.functional.cross_entropy(hidden @ p["w2"] + p["b2"], labels)


def mlp_by_hand(p: dict[str, Array], x: Array, labels: Array) -> tuple[Any, Any]:
    hidden = x @ p["w1"]
    hidden += p["b1"]
    np.maximum(hidden, 0.0, out=hidden)
    scores = hidden @ p["w2"]
    scores += p["b2"]
    value, back = _cross_entropy_by_hand(scores, labels)
    back_hidden = back @ p["w2"].T
    back_hidden *= hidden > 0.0
    gradient = {
        "w1": x.T @ back_hidden,
        "b1": back_hidden.sum(axis=0),
        "w2": hidden.T @ back,
        "b2": back.sum(axis=0),
    }
    return value, gradient


def _cross_entropy_by_hand(scores: Array, labels: Array) -> tuple[Any, Array]:
    """The mean cross-entropy and its cotangent of the scores, which are overwritten."""
    rows = np.arange(len(labels))
    scores -= scores.max(axis=1, keepdims=True)
    picked = scores[rows, labels]
    np.exp(scores, out=scores)
    totals = scores.sum(axis=1)
    value = (np.log(totals) - picked).sum() / len(labels)
    scores /= totals[:, None]
    scores[rows, labels] -= 1.0
    scores /= len(labels)
    return value, scores


def mlp_in_torch(torch: Any, p: Any, x: Any, labels: Any) -> Any:
    hidden = torch.relu(x @ p["w1"] + p["b1"])
    return torch.nn.functional.cross_entropy(hidden @ p["w2"] + p["b2"], labels)


def mlp_arguments(draw: Draw, batch: int = 64, inputs: int = 784, width: int = 256) -> tuple[Any, ...]:
    params = {
        "w1": draw.normal(size=(inputs, width)) / math.sqrt(inputs),
        "b1": 0.1 * draw.normal(size=width),
        "w2": draw.normal(size=(width, 10)) / math.sqrt(width),
        "b2": 0.1 * draw.normal(size=10),
    }
    return params, draw.normal(size=(batch, inputs)), draw.integers(10, size=batch)


# -- a convolutional network on digits --------------------------------------------------------------------------------


def cnn_loss(p: Any, x: Any, labels: Any) -> Any:
    h = tg.functional.conv2d(x, p["k1"], padding=1) + p["b1"][:, None, None]
    h = tg.functional.max_pool2d(np.maximum(h, 0.0), 2)
    h = np.maximum(tg.functional.conv2d(h, p["k2"], padding=1) + p["b2"][:, None, None], 0.0)
    return tg.functional.cross_entropy(h.reshape(len(labels), -1) @ p["w"] + p["b"], labels)


def _patches(x: Array) -> Array:
    """The 3×3 neighbourhoods of every pixel, one a row: (batch · rows · columns, channels · 9)."""
    n, channels, rows, columns = x.shape
    padded = np.zeros((n, channels, rows + 2, columns + 2), x.dtype)
    padded[:, :, 1:-1, 1:-1] = x
    windows = sliding_window_view(padded, (3, 3), axis=(2, 3))
    return windows.transpose(0, 2, 3, 1, 4, 5).reshape(n * rows * columns, channels * 9)


def cnn_by_hand(p: dict[str, Array], x: Array, labels: Array) -> tuple[Any, Any]:
    # convolutions as products with the matrix of patches; channels stay last in between, so the products need no copy
    n, _, rows, columns = x.shape
    c1, c2 = len(p["k1"]), len(p["k2"])
    half = (n, rows // 2, columns // 2)
    patches1 = _patches(x)
    h1 = patches1 @ p["k1"].reshape(c1, -1).T
    h1 += p["b1"]
    np.maximum(h1, 0.0, out=h1)
    blocks = h1.reshape(n, rows // 2, 2, columns // 2, 2, c1)
    pooled = blocks.max(axis=(2, 4), keepdims=True)
    patches2 = _patches(pooled.reshape(*half, c1).transpose(0, 3, 1, 2))
    h2 = patches2 @ p["k2"].reshape(c2, -1).T
    h2 += p["b2"]
    np.maximum(h2, 0.0, out=h2)
    flat = np.ascontiguousarray(h2.reshape(*half, c2).transpose(0, 3, 1, 2)).reshape(n, -1)
    scores = flat @ p["w"]
    scores += p["b"]
    value, back = _cross_entropy_by_hand(scores, labels)
    back_flat = back @ p["w"].T
    back2 = back_flat.reshape(n, c2, *half[1:])
    back2 *= flat.reshape(back2.shape) > 0.0
    back2_rows = np.ascontiguousarray(back2.transpose(0, 2, 3, 1)).reshape(-1, c2)
    turned = p["k2"][:, :, ::-1, ::-1].transpose(1, 0, 2, 3).reshape(c1, -1)
    back_pooled = (_patches(back2) @ turned.T).reshape(pooled.shape)
    # ties happen at 0 only, where the second factor stops them
    back1 = (back_pooled * ((blocks == pooled) & (blocks > 0.0))).reshape(-1, c1)
    gradient = {
        "k1": (back1.T @ patches1).reshape(p["k1"].shape),
        "b1": back1.sum(axis=0),
        "k2": (back2_rows.T @ patches2).reshape(p["k2"].shape),
        "b2": back2_rows.sum(axis=0),
        "w": flat.T @ back,
        "b": back.sum(axis=0),
    }
    return value, gradient


def cnn_in_torch(torch: Any, p: Any, x: Any, labels: Any) -> Any:
    conv2d, pool = torch.nn.functional.conv2d, torch.nn.functional.max_pool2d
    h = pool(torch.relu(conv2d(x, p["k1"], p["b1"], padding=1)), 2)
    h = torch.relu(conv2d(h, p["k2"], p["b2"], padding=1))
    return torch.nn.functional.cross_entropy(h.reshape(len(labels), -1) @ p["w"] + p["b"], labels)


def cnn_arguments(draw: Draw, batch: int = 64, c1: int = 16, c2: int = 32) -> tuple[Any, ...]:
    params = {
        "k1": draw.normal(size=(c1, 1, 3, 3)) / 3.0,
        "b1": 0.1 * draw.normal(size=c1),
        "k2": draw.normal(size=(c2, c1, 3, 3)) / math.sqrt(9 * c1),
        "b2": 0.1 * draw.normal(size=c2),
        "w": draw.normal(size=(c2 * 16, 10)) / math.sqrt(c2 * 16),
        "b": 0.1 * draw.normal(size=10),
    }
    return params, draw.normal(size=(batch, 1, 8, 8)), draw.integers(10, size=batch)


# -- rows: layer norm and softmax -------------------------------------------------------------------------------------


def rows_loss(p: Any, target: Any) -> Any:
    away = p["x"] - np.mean(p["x"], axis=-1, keepdims=True)
    spread = np.sqrt(np.mean(away * away, axis=-1, keepdims=True) + 1e-5)
    score = away / spread * p["gain"] + p["bias"]
    raised = np.exp(score - np.max(score, axis=-1, keepdims=True))
    return np.sum(raised / np.sum(raised, axis=-1, keepdims=True) * target)


def rows_by_hand(p: dict[str, Array], target: Array) -> tuple[Any, Any]:
    x, gain = p["x"], p["gain"]
    width = x.shape[1]
    unit = x - x.mean(axis=1, keepdims=True)
    scale = 1.0 / np.sqrt(np.einsum("ij,ij->i", unit, unit)[:, None] / width + 1e-5)
    unit *= scale
    share = unit * gain
    share += p["bias"]
    share -= share.max(axis=1, keepdims=True)
    np.exp(share, out=share)
    share /= share.sum(axis=1, keepdims=True)
    expected = np.einsum("ij,ij->i", share, target)[:, None]
    back = target - expected
    back *= share
    gradient_gain = np.einsum("ij,ij->j", back, unit)
    gradient_bias = back.sum(axis=0)
    back *= gain
    along = np.einsum("ij,ij->i", back, unit)[:, None] / width
    back -= back.mean(axis=1, keepdims=True)
    unit *= along
    back -= unit
    back *= scale
    return expected.sum(), {"x": back, "gain": gradient_gain, "bias": gradient_bias}


def rows_in_torch(torch: Any, p: Any, target: Any) -> Any:
    normed = torch.nn.functional.layer_norm(p["x"], p["gain"].shape, p["gain"], p["bias"])
    return torch.sum(torch.softmax(normed, -1) * target)


def rows_arguments(draw: Draw, rows: int = 256, width: int = 512) -> tuple[Any, ...]:
    params = {
        "x": draw.normal(size=(rows, width)),
        "gain": 1.0 + 0.1 * draw.normal(size=width),
        "bias": 0.1 * draw.normal(size=width),
    }
    return params, draw.normal(size=(rows, width))


# -- a recurrence -----------------------------------------------------------------------------------------------------


def recurrence_loss(p: Any, h: Any, xs: Any) -> Any:
    for x in xs:
        h = np.tanh(p["w"] @ h + p["b"] + x)
    return np.sum(h * h)


def recurrence_by_hand(p: dict[str, Array], h: Array, xs: Array) -> tuple[Any, Any]:
    w = p["w"]
    states = np.empty((len(xs) + 1, len(h)), h.dtype)
    states[0] = h
    moved = xs + p["b"]
    for k in range(len(xs)):
        np.tanh(w @ states[k] + moved[k], out=states[k + 1])
    slopes = 1.0 - states[1:] * states[1:]
    backs = np.empty_like(slopes)
    back = 2.0 * states[-1]
    for k in range(len(xs) - 1, -1, -1):
        np.multiply(back, slopes[k], out=backs[k])
        back = backs[k] @ w
    # the sum of the steps' outer products is one matrix product
    return states[-1] @ states[-1], {"w": backs.T @ states[:-1], "b": backs.sum(axis=0)}


def recurrence_in_torch(torch: Any, p: Any, h: Any, xs: Any) -> Any:
    for x in xs:
        h = torch.tanh(p["w"] @ h + p["b"] + x)
    return torch.sum(h * h)


def recurrence_arguments(draw: Draw, steps: int = 50, width: int = 32) -> tuple[Any, ...]:
    params = {"w": draw.normal(size=(width, width)) / math.sqrt(width), "b": 0.1 * draw.normal(size=width)}
    return params, draw.normal(size=width), 0.5 * draw.normal(size=(steps, width))


# -- many small parameters --------------------------------------------------------------------------------------------


def layers_loss(p: Any, x: Any, y: Any) -> Any:
    h = x
    for k in range(len(p) // 2):
        h = np.tanh(h @ p[f"w{k}"] + p[f"b{k}"])
    return np.mean((h - y) ** 2)


def layers_by_hand(p: dict[str, Array], x: Array, y: Array) -> tuple[Any, Any]:
    depth = len(p) // 2
    states = [x]
    for k in range(depth):
        h = states[-1] @ p[f"w{k}"]
        h += p[f"b{k}"]
        states.append(np.tanh(h, out=h))
    away = states[-1] - y
    value = np.vdot(away, away) / away.size
    back = away * (2.0 / away.size)
    gradient = {}
    for k in range(depth - 1, -1, -1):
        back *= 1.0 - states[k + 1] * states[k + 1]
        gradient[f"w{k}"] = states[k].T @ back
        gradient[f"b{k}"] = back.sum(axis=0)
        if k:
            back = back @ p[f"w{k}"].T
    return value, gradient


def layers_in_torch(torch: Any, p: Any, x: Any, y: Any) -> Any:
    h = x
    for k in range(len(p) // 2):
        h = torch.tanh(h @ p[f"w{k}"] + p[f"b{k}"])
    return torch.mean((h - y) ** 2)


def layers_arguments(draw: Draw, batch: int = 16, width: int = 8) -> tuple[Any, ...]:
    params = {}
    for k in range(4):
        params[f"w{k}"] = draw.normal(size=(width, width)) / math.sqrt(width)
        params[f"b{k}"] = 0.1 * draw.normal(size=width)
    return params, draw.normal(size=(batch, width)), draw.normal(size=(batch, width))


WORKLOADS = (
    Workload(
        "scalar",
        "scalar function",
        scalar_arguments,
        scalar_arguments,
        scalar_loss,
        scalar_by_hand,
        scalar_in_torch,
    ),
    Workload(
        "rosenbrock",
        "Rosenbrock, 10 variables",
        rosenbrock_arguments,
        rosenbrock_arguments,
        rosenbrock_loss,
        rosenbrock_by_hand,
        rosenbrock_in_torch,
    ),
    Workload(
        "logistic",
        "logistic regression, 1000×20",
        logistic_arguments,
        lambda draw: logistic_arguments(draw, 30, 4),
        logistic_loss,
        logistic_by_hand,
        logistic_in_torch,
    ),
    Workload(
        "chain",
        "elementwise chain, 10⁶",
        chain_arguments,
        lambda draw: chain_arguments(draw, 1000),
        chain_loss,
        chain_by_hand,
        chain_in_torch,
    ),
    Workload(
        "mlp",
        "MLP 784-256-10, batch 64",
        mlp_arguments,
        lambda draw: mlp_arguments(draw, 4, 12, 8),
        mlp_loss,
        mlp_by_hand,
        mlp_in_torch,
    ),
    Workload(
        "cnn",
        "CNN on 8×8 digits, batch 64",
        cnn_arguments,
        lambda draw: cnn_arguments(draw, 3, 2, 3),
        cnn_loss,
        cnn_by_hand,
        cnn_in_torch,
    ),
    Workload(
        "rows",
        "layer norm + softmax, 256×512",
        rows_arguments,
        lambda draw: rows_arguments(draw, 4, 8),
        rows_loss,
        rows_by_hand,
        rows_in_torch,
    ),
    Workload(
        "recurrence",
        "recurrence, 50 steps of 32",
        recurrence_arguments,
        lambda draw: recurrence_arguments(draw, 4, 5),
        recurrence_loss,
        recurrence_by_hand,
        recurrence_in_torch,
    ),
    Workload(
        "layers",
        "dict of 8 small parameters",
        layers_arguments,
        lambda draw: layers_arguments(draw, 3, 4),
        layers_loss,
        layers_by_hand,
        layers_in_torch,
    ),
)
