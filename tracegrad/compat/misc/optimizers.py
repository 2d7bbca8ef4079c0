"""Stochastic gradient descent, RMSprop and Adam of parameters in any containers, by autograd's signatures.

``grad(x, i)`` gives the gradient at step ``i``; ``callback(x, i, g)`` is called before each step. The update rules are those
of ``tracegrad.compat``'s model; ``tg.optim`` has more of them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from tracegrad.compat.misc.flatten import flatten
from tracegrad.compat.numpy import sqrt

__all__ = ["adam", "rmsprop", "sgd", "unflatten_optimizer"]


def unflatten_optimizer(optimize: Callable[..., Any]) -> Callable[..., Any]:
    """An optimiser of parameters in any containers from one of a vector: ``optimize(grad, x0, callback, ...)``."""

    @wraps(optimize)
    def of_containers(
        grad: Callable[..., Any], x0: Any, callback: Callable[..., Any] | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        start, unflatten = flatten(x0)

        def flat_grad(x: Any, i: int) -> Any:
            return flatten(grad(unflatten(x), i))[0]

        def flat_callback(x: Any, i: int, g: Any) -> None:
            if callback is not None:
                callback(unflatten(x), i, unflatten(g))

        return unflatten(optimize(flat_grad, start, flat_callback, *args, **kwargs))

    return of_containers


Vector = Callable[[Any, int], Any]


@unflatten_optimizer
def sgd(
    grad: Vector, x: Any, callback: Callable[..., Any], num_iters: int = 200, step_size: float = 0.1, mass: float = 0.9
) -> Any:
    """Stochastic gradient descent with momentum.

    >>> sgd(lambda x, i: 2 * (x - 3.0), np.array([0.0]), num_iters=400).round(3)
    array([3.])
    """
    velocity: Any = np.zeros(len(x))
    for i in range(num_iters):
        g = grad(x, i)
        callback(x, i, g)
        velocity = mass * velocity - (1.0 - mass) * g
        x = x + step_size * velocity
    return x


@unflatten_optimizer
def rmsprop(
    grad: Vector,
    x: Any,
    callback: Callable[..., Any],
    num_iters: int = 100,
    step_size: float = 0.1,
    gamma: float = 0.9,
    eps: float = 1e-8,
) -> Any:
    """Steps divided by the root of the mean square of recent gradients."""
    mean_square: Any = np.ones(len(x))
    for i in range(num_iters):
        g = grad(x, i)
        callback(x, i, g)
        mean_square = gamma * mean_square + (1 - gamma) * g**2
        x = x - step_size * g / (sqrt(mean_square) + eps)
    return x


@unflatten_optimizer
def adam(
    grad: Vector,
    x: Any,
    callback: Callable[..., Any],
    num_iters: int = 100,
    step_size: float = 0.001,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
) -> Any:
    """Adam (arXiv:1412.6980): means of gradient and square, each divided by the weight it has gathered.

    >>> adam(lambda p, i: {"a": 2 * (p["a"] - 3.0)}, {"a": 0.0}, num_iters=500, step_size=0.1)["a"].round(3)
    np.float64(3.0)
    """
    mean: Any = np.zeros(len(x))
    square: Any = np.zeros(len(x))
    for i in range(num_iters):
        g = grad(x, i)
        callback(x, i, g)
        mean = b1 * mean + (1 - b1) * g
        square = b2 * square + (1 - b2) * g**2
        x = x - step_size * (mean / (1 - b1 ** (i + 1))) / (sqrt(square / (1 - b2 ** (i + 1))) + eps)
    return x
