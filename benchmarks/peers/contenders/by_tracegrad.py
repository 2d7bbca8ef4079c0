"""tracegrad: ``grad_compile``, NumPy in and out."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special

import tracegrad as tg
from benchmarks.peers.program import Contender, Program, read_numpy


def build(program: Program, params: Any, data: tuple[Any, ...]) -> Contender:
    loss = tg.grad_compile(program.bound(np, special))
    if program.along is not None:
        loss = _slope(loss)
    value_and_grad = loss.value_and_grad
    return Contender(lambda: value_and_grad(params, *data), read_numpy)


def _slope(loss: Any) -> Any:
    def slope(w: Any, v: Any, *data: Any) -> Any:
        return np.sum(loss.grad(w, *data) * v)

    return tg.grad_compile(slope)
