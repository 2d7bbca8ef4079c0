"""JAX: ``jit(value_and_grad)`` in double precision, inputs resident on the device."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jax.scipy import special

from benchmarks.peers.program import Contender, Program, leaves, read_numpy

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_platforms", "cpu")


def _loss(program: Program) -> Any:
    in_jax = program.in_jax
    if in_jax is None:
        return program.bound(jax.numpy, _Special)
    return lambda params, *data: in_jax(jax, params, *data)


class _Special:
    """scipy.special's names, of which JAX has logsumexp there, too."""

    erf = staticmethod(special.erf)
    logsumexp = staticmethod(special.logsumexp)


def build(program: Program, params: Any, data: tuple[Any, ...]) -> Contender:
    loss = _loss(program)
    resident, fixed = jax.device_put(params), jax.device_put(data)

    def slope(w: Any, v: Any, *data: Any) -> Any:
        gradient, product = jax.jvp(lambda w: jax.grad(loss)(w, *data), (w,), (v,))
        return gradient @ v, product

    compiled = jax.jit(jax.value_and_grad(loss) if program.along is None else slope)
    return Contender(lambda: jax.block_until_ready(compiled(resident, *fixed)), _read)


def _read(result: Any) -> tuple[Any, list[Any]]:
    value, gradient = result
    return read_numpy((value, [np.asarray(leaf) for leaf in leaves(gradient)]))
