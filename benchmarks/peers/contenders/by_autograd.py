"""HIPS autograd: ``value_and_grad`` on NumPy arrays."""

from __future__ import annotations

from typing import Any

import autograd
import autograd.numpy as np
from autograd.scipy import special

from benchmarks.peers.program import Contender, Program, read_numpy


def build(program: Program, params: Any, data: tuple[Any, ...]) -> Contender:
    loss = program.bound(np, special)
    if program.along is None:
        both = autograd.value_and_grad(loss)
    else:
        gradient = autograd.grad(loss)
        both = autograd.value_and_grad(lambda w, v, *data: np.sum(gradient(w, *data) * v))
    return Contender(lambda: both(params, *data), read_numpy)
