"""PyTorch eager: ``backward`` to resident tensors, gradients set to None before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks.peers.program import Contender, Program, leaves, like


def build(program: Program, params: Any, data: tuple[Any, ...]) -> Contender:
    return with_loss(program, loss_of(program), params, data)


def loss_of(program: Program) -> Callable[..., Any]:
    """The loss in PyTorch's form."""
    in_torch = program.in_torch
    if in_torch is None:
        return program.bound(torch, torch.special)
    return lambda params, *data: in_torch(torch, params, *data)


def with_loss(program: Program, loss: Callable[..., Any], params: Any, data: tuple[Any, ...]) -> Contender:
    """The contender of a loss, plain or compiled."""
    tracked = [torch.tensor(leaf, requires_grad=True) for leaf in leaves(params)]
    resident, fixed = like(params, tracked), [torch.tensor(a) for a in data]

    def run() -> Any:
        for leaf in tracked:
            leaf.grad = None
        value = loss(resident, *fixed)
        value.backward()
        return value

    def slope() -> Any:
        (w,), (v, *rest) = tracked, fixed
        (gradient,) = torch.autograd.grad(loss(w, *rest), w, create_graph=True)
        value = gradient @ v
        (w.grad,) = torch.autograd.grad(value, w)
        return value

    def read(value: Any) -> Any:
        return np.array(value.detach().numpy()), [np.array(leaf.grad.numpy()) for leaf in tracked]

    return Contender(run if program.along is None else slope, read)
