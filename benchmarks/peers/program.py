"""What a program is: arguments, the loss as each library's users would write it, the work it takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

Draw = np.random.Generator

FUNCTION = 20.0
"""Flops that an exp, log, tanh, sin or erf counts for; +, −, ×, ÷ and √ count for one."""


@dataclass(frozen=True, slots=True)
class Program:
    """One row of the table.

    Parameters
    ----------
    name: what ``--only`` takes.
    title: what the table shows.
    arguments: draws the parameters (an array, a tuple or a dict of arrays) and then the data.
    tiny: the same at a size for tests.
    loss: a NumPy-like namespace, a scipy.special-like one, parameters and data to a scalar.
    in_torch: the torch module, parameters and data to a scalar; None where ``loss(torch, torch.special, …)`` is that.
    flops: parameters and data to the floating-point operations of value and gradient in their best known form.
    by_hand: the function's name in ``benchmarks.hand``.
    in_jax, in_pytensor: the library, parameters and data to a scalar, where its users would not write the NumPy form.
    along: for a Hessian-vector product, in plain NumPy the slope along the first datum: its value. The result is then
        the slope and its gradient, and ``loss`` takes the data after the first.
    dtype: of the parameters and data that are floats.
    """

    name: str
    title: str
    arguments: Callable[[Draw], tuple[Any, ...]]
    tiny: Callable[[Draw], tuple[Any, ...]]
    loss: Callable[..., Any]
    flops: Callable[..., float]
    by_hand: str
    in_torch: Callable[..., Any] | None = None
    in_jax: Callable[..., Any] | None = None
    in_pytensor: Callable[..., Any] | None = None
    along: Callable[..., Any] | None = None
    dtype: str = "float64"

    def drawn(self, small: bool) -> tuple[Any, tuple[Any, ...]]:
        """Parameters and data; the same in every process."""
        params, *data = (self.tiny if small else self.arguments)(np.random.default_rng(20240229))
        dtype = np.dtype(self.dtype)
        cast = lambda a: a.astype(dtype) if a.dtype.kind == "f" else a  # noqa: E731
        return like(params, [cast(leaf) for leaf in leaves(params)]), tuple(cast(a) for a in data)

    def plain(self, params: Any, *data: Any) -> Any:
        """The value in plain NumPy."""
        return self.along(params, *data) if self.along is not None else self.loss(np, special, params, *data)

    def bound(self, *libraries: Any) -> Callable[..., Any]:
        """The loss in NumPy's form as a function of parameters and data."""
        loss = self.loss

        def bound(params: Any, *data: Any) -> Any:
            return loss(*libraries, params, *data)

        return bound

    def traffic(self, params: Any, data: Sequence[Any]) -> int:
        """Bytes that have to move: parameters and data read once, the gradient written once."""
        return 2 * sum(leaf.nbytes for leaf in leaves(params)) + sum(a.nbytes for a in data)


@dataclass(frozen=True, slots=True)
class Contender:
    """A program in one library: ``run`` is timed, ``read`` makes NumPy of what it gave: (value, gradient leaves)."""

    run: Callable[[], Any]
    read: Callable[[Any], tuple[Any, list[Any]]]


def leaves(tree: Any) -> list[Any]:
    """The arrays of parameters, those of a dict by name."""
    if isinstance(tree, dict):
        return [tree[name] for name in sorted(tree)]
    return list(tree) if isinstance(tree, (tuple, list)) else [tree]


def like(tree: Any, new: Sequence[Any]) -> Any:
    """New leaves in the structure of a tree."""
    if isinstance(tree, dict):
        return dict(zip(sorted(tree), new, strict=True))
    return tuple(new) if isinstance(tree, (tuple, list)) else new[0]


def read_numpy(result: Any) -> tuple[Any, list[Any]]:
    """The result of a contender that gives NumPy arrays."""
    value, gradient = result
    return np.asarray(value), [np.asarray(leaf) for leaf in leaves(gradient)]
