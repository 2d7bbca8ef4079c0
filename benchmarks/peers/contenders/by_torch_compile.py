"""PyTorch with ``torch.compile``: the loss compiled, its backward with it, sizes fixed."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from benchmarks.peers.contenders.by_torch import loss_of, with_loss
from benchmarks.peers.program import Contender, Program


def build(program: Program, params: Any, data: tuple[Any, ...]) -> Contender:
    loss = loss_of(program)
    if program.along is None:
        return with_loss(program, torch.compile(loss, dynamic=False), params, data)
    # compiled backwards have no backward of their own; functional transforms compile as a whole
    w, (v, *fixed) = torch.tensor(params), [torch.tensor(a) for a in data]

    def slope(w: Any, v: Any, *data: Any) -> Any:
        gradient, product = torch.func.jvp(lambda w: torch.func.grad(loss)(w, *data), (w,), (v,))
        return gradient @ v, product

    compiled = torch.compile(slope, dynamic=False)
    return Contender(lambda: compiled(w, v, *fixed), _read)


def _read(result: Any) -> tuple[Any, list[Any]]:
    value, product = result
    return np.array(value.numpy()), [np.array(product.numpy())]
