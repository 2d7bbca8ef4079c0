"""What extensions import from ``autograd.core``: rules, vector spaces and the transforms of functions of one argument."""

from collections.abc import Callable
from typing import Any

from tracegrad.compat import operators
from tracegrad.compat.absent import refusing
from tracegrad.compat.extend import (
    VSpace,
    def_linear,
    defjvp,
    defjvp_argnum,
    defjvp_argnums,
    defvjp,
    defvjp_argnum,
    defvjp_argnums,
    primitive,
    vspace,
)
from tracegrad.compat.tape import make_vjp

__getattr__ = refusing(__name__)
__all__ = [
    "VSpace",
    "def_linear",
    "defjvp",
    "defjvp_argnum",
    "defjvp_argnums",
    "defvjp",
    "defvjp_argnum",
    "defvjp_argnums",
    "make_jvp",
    "make_vjp",
    "primitive",
    "vspace",
]


def make_jvp(fun: Callable[[Any], Any], x: Any) -> Callable[[Any], Any]:
    """``jvp`` of a function of one argument: ``jvp(v)`` is its value at ``x`` and its derivative in direction ``v``.

    >>> jvp = make_jvp(lambda x: x * x, 3.0)
    >>> jvp(1.0)
    (np.float64(9.0), np.float64(6.0))
    """
    return operators.make_jvp(fun)(x)  # type: ignore[no-any-return]
