"""The fixed point of an iteration, differentiated by the implicit function theorem: its backward is a fixed point as well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tracegrad.compat.extend import defvjp, primitive, vspace
from tracegrad.compat.tape import make_vjp

Function = Callable[..., Any]


def _iterate(f: Function, a: Any, x0: Any, distance: Function, tol: float) -> Any:
    step = f(a)
    x, previous = step(x0), x0
    while distance(x, previous) > tol:
        x, previous = step(x), x
    return x


fixed_point = primitive(_iterate)
fixed_point.__name__ = "fixed_point"
fixed_point.__doc__ = """The fixed point of ``f(a)``, iterated from ``x0`` until ``distance(x, previous) <= tol``.

    The derivative is that with respect to ``a``, an array or containers of arrays.

    >>> from tracegrad.compat import grad
    >>> newton = lambda a: lambda x: 0.5 * (x + a / x)
    >>> print(grad(lambda a: fixed_point(newton, a, 1.0, lambda x, y: abs(x - y), 1e-9))(4.0).round(6))
    0.25
    """


def _vjp(ans: Any, f: Function, a: Any, x0: Any, distance: Function, tol: float) -> Function:
    def backward_step(values: tuple[Any, Any, Any]) -> Function:
        inner, x, given = values
        pull, _ = make_vjp(f(inner), x)
        space = vspace(x)
        return lambda u: space.add(pull(u), given)

    pull_a, _ = make_vjp(lambda both: f(both[0])(both[1]), (a, ans))

    def vjp(g: Any) -> Any:
        summed = fixed_point(backward_step, (a, ans, g), vspace(x0).zeros(), distance, tol)
        return pull_a(summed)[0]

    return vjp


defvjp(fixed_point, None, _vjp, None, argnums=(0, 1, 2))
