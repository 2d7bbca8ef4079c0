"""The network, its loss and one training step, in both modes: everything of the demo that is about tracegrad."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import tracegrad as tg
from tracegrad.functional import conv2d, cross_entropy, linear, max_pool2d, relu

CLASSES = 10
SIDE = 8
BATCH = 64

Params = dict[str, Any]
Step = Callable[[Params, Any, Any, Any], tuple[Any, Params, Any]]
"""``step(params, state, images, labels) -> (loss, params, state)``; nothing is written to."""


def initial(dtype: Any, seed: int) -> Params:
    """Random weights and zero biases: ``{"conv1.weight": array, …}``."""
    rng = np.random.default_rng(seed)

    def weight(*shape: int) -> Any:
        return (rng.standard_normal(shape) * np.sqrt(2.0 / np.prod(shape[1:]))).astype(dtype)

    return {
        "conv1.weight": weight(16, 1, 3, 3),
        "conv1.bias": np.zeros(16, dtype),
        "conv2.weight": weight(32, 16, 3, 3),
        "conv2.bias": np.zeros(32, dtype),
        "dense.weight": weight(CLASSES, 32 * (SIDE // 2) ** 2),
        "dense.bias": np.zeros(CLASSES, dtype),
    }


def scores(params: Params, images: Any) -> Any:
    """One unnormalised score per class for images (n, 1, 8, 8): arrays, Tensors and traced values alike."""
    x = relu(conv2d(images, params["conv1.weight"], params["conv1.bias"], padding=1))
    x = max_pool2d(x, 2)
    x = relu(conv2d(x, params["conv2.weight"], params["conv2.bias"], padding=1))
    return linear(x.reshape(len(images), -1), params["dense.weight"], params["dense.bias"])


def loss(params: Params, images: Any, labels: Any) -> Any:
    """The mean softmax cross-entropy."""
    return cross_entropy(scores(params, images), labels)


def rate(step: Any) -> Any:
    """The learning rate after a number of steps: high at first, so that few epochs do, then lower, to settle."""
    return 0.005 / (1.0 + step / 60.0)


ADAM = tg.optim.adam(rate)


def eager_step(params: Params, state: Any, images: Any, labels: Any) -> tuple[Any, Params, Any]:
    """A step by the dynamic graph: Tensors record what is done to them, and ``backward`` walks back over the record."""
    weights = {name: tg.tensor(value, requires_grad=True) for name, value in params.items()}
    value = loss(weights, tg.tensor(images), tg.tensor(labels))
    value.backward()
    grads = {name: weight.grad.numpy() for name, weight in weights.items() if weight.grad is not None}
    params, state = ADAM.update(grads, state, params)  # arrays, not Tensors, so nothing is recorded here
    return value.item(), params, state


@dataclass(frozen=True, slots=True)
class Static:
    """The static mode: the differentiated loss, and the step that has been traced around it."""

    loss: tg.GradCompiled[[Params, Any, Any], Any]
    step: tg.Compiled[[Params, Any, Any, Any], Any]


def static(mode: str = "now") -> Static:
    """A step by the static graph: loss, gradient and Adam's update traced into one program, one native call per step.

    Parameters
    ----------
    mode: ``"now"``, or ``"never"`` to run on the interpreter.
    """
    compiled = tg.grad_compile(compile=mode)(loss)

    @tg.jit(compile=mode)
    def step(params: Params, state: Any, images: Any, labels: Any) -> tuple[Any, Params, Any]:
        value, grads = compiled.value_and_grad(params, images, labels)
        params, state = ADAM.update(grads, state, params)
        return value, params, state

    return Static(compiled, step)


def example(dtype: Any) -> tuple[Any, Any]:
    """A batch of the right shapes and dtypes, for pictures of the graph and for a warm start."""
    return np.zeros((BATCH, 1, SIDE, SIDE), dtype), np.zeros(BATCH, np.int64)
