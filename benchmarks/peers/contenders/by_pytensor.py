"""PyTensor: one compiled function of the parameters in its default mode, data shared, nothing checked or copied."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt

from benchmarks.peers.program import Contender, Program, leaves, like


def build(program: Program, params: Any, data: tuple[Any, ...]) -> Contender:
    values = leaves(params)
    inputs = [pt.tensor(f"p{k}", dtype=str(leaf.dtype), shape=leaf.shape) for k, leaf in enumerate(values)]
    fixed = [pytensor.shared(a, shape=a.shape, borrow=True) for a in data]
    symbols = like(params, inputs)
    if program.in_pytensor is not None:
        value = program.in_pytensor(pytensor, symbols, *fixed)
    else:
        value = program.loss(pt, pt, symbols, *(fixed if program.along is None else fixed[1:]))
    gradients = pytensor.grad(value, inputs)
    if program.along is not None:
        value = pt.sum(gradients[0] * fixed[0])
        gradients = pytensor.grad(value, inputs)
    function = pytensor.function(
        [pytensor.In(variable, borrow=True) for variable in inputs],
        [pytensor.Out(variable, borrow=True) for variable in (value, *gradients)],
    )
    function.trust_input = True
    return Contender(lambda: function(*values), lambda result: (np.array(result[0]), [np.array(g) for g in result[1:]]))
