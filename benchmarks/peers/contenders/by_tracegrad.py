"""tracegrad: ``grad_compile``, NumPy in and out."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special

import tracegrad as tg
from benchmarks.peers.program import Contender, Program, read_numpy


def build(program: Program, params: Any, data: tuple[Any, ...]) -> Contender:
    value_and_grad = compiled(program).value_and_grad
    return Contender(lambda: value_and_grad(params, *data), read_numpy)


def compiled(program: Program, **options: Any) -> Any:
    """The program's loss, or the slope of which a Hessian-vector product is the gradient, under ``grad_compile``."""
    loss = tg.grad_compile(program.bound(np, special), **options)
    if program.along is None:
        return loss

    def slope(w: Any, v: Any, *data: Any) -> Any:
        return np.sum(loss.grad(w, *data) * v)

    return tg.grad_compile(slope, **options)
