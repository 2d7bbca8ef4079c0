"""``odeint``: ordinary differential equations, differentiated by their adjoint, an equation that is solved backwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.integrate as _integrate

from tracegrad.compat.absent import refusing
from tracegrad.compat.calls import gathered, holds_box
from tracegrad.compat.extend import defvjp_argnums, primitive
from tracegrad.compat.misc.flatten import flatten
from tracegrad.compat.tape import make_vjp
from tracegrad.core.source import user_frame
from tracegrad.errors import DifferentiationError
from tracegrad.ops import views

__all__ = ["odeint"]

__getattr__ = refusing(__name__)

Function = Callable[..., Any]

_solve = primitive(lambda func, y0, t, args, **kwargs: _integrate.odeint(func, y0, t, tuple(args), **kwargs))


def odeint(func: Function, y0: Any, t: Any, args: Any = (), **kwargs: Any) -> Any:
    """``scipy.integrate.odeint``, with derivatives with respect to ``y0``, ``t`` and ``args``.

    Parameters
    ----------
    func: ``func(y, t, *args)`` is the derivative of ``y``, written with tracegrad.compat.numpy.
    y0: the state at ``t[0]``, a vector.
    t: the times, of which the result has a row each.
    args: further arguments of ``func``, arrays or containers of them; only these are differentiated, not what it closes over.
    kwargs: those of SciPy's function, ``rtol`` and ``atol`` among them; they hold backwards as well.

    >>> from tracegrad.compat import grad
    >>> decay = lambda rate: odeint(lambda y, t, k: -k * y, np.array([1.0]), np.array([0.0, 1.0]), (rate,))[-1, 0]
    >>> print(grad(decay)(2.0).round(4))
    -0.1353
    """
    if not holds_box((y0, t, args)):
        return _integrate.odeint(func, y0, t, tuple(args), **kwargs)
    if kwargs.get("full_output") or kwargs.get("tfirst") or kwargs.get("Dfun"):
        raise DifferentiationError(
            "odeint is not differentiated with full_output=, tfirst= or Dfun=",
            fix="leave them out: func(y, t, *args), and the values alone",
            where=user_frame(),
        )
    return _solve(func, gathered(y0), gathered(t), tuple(args), **kwargs)


def _vjp_of_all(ans: Any, func: Function, y0: Any, t: Any, args: Any, kwargs: dict[str, Any]) -> Function:
    """The cotangents of ``y0``, ``t`` and ``args``: state, adjoint and sums run backwards from each time to the one before.

    The adjoint a of the state follows da/dt = -a ∂f/∂y, the cotangents of t and of the arguments gather -a ∂f/∂t and
    -a ∂f/∂args, and at each time of the result its own cotangent comes to a.
    """
    count, size = ans.shape
    flat, unflatten = flatten(args)

    def flat_func(y: Any, time: Any, flat_args: Any) -> Any:
        return gathered(func(y, time, *unflatten(flat_args)))

    def backwards(state: Any, time: Any, flat_args: Any) -> Any:
        y, adjoint = state[:size], state[size : 2 * size]
        pull, slope = make_vjp(lambda all_of: flat_func(*all_of), (y, time, flat_args))
        to_y, to_time, to_args = pull(-adjoint)
        return _joined(slope, to_y, to_time, to_args)

    def vjp(g: Any) -> tuple[Any, Any, Any]:
        g = gathered(g)
        adjoint, to_start = g[-1], 0.0
        to_args: Any = np.zeros(flat.size)
        to_times: list[Any] = []
        for k in range(count - 1, 0, -1):
            moved = (flat_func(ans[k], t[k], flat) * g[k]).sum()
            to_times.append(moved)
            start = _joined(ans[k], adjoint, to_start - moved, to_args)
            span = views.stack([gathered(t[k]), gathered(t[k - 1])]) if holds_box(t) else np.array([t[k], t[k - 1]])
            end = odeint(backwards, start, span, (flat,), **kwargs)[1]
            adjoint, to_start, to_args = end[size : 2 * size] + g[k - 1], end[2 * size], end[2 * size + 1 :]
        to_times.append(gathered(to_start))
        return adjoint, views.stack([gathered(x) for x in to_times[::-1]]), unflatten(to_args)

    return vjp


def _joined(*parts: Any) -> Any:
    rows = [views.reshape(gathered(part), -1) for part in parts]
    return views.concatenate(rows) if holds_box(rows) else np.concatenate(rows)


def _maker(argnums: Sequence[int], ans: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Function:
    func, y0, t, more = args
    of_all = _vjp_of_all(ans, func, y0, t, more, kwargs)

    def vjp(g: Any) -> list[Any]:
        found = (None, *of_all(g))
        return [found[k] for k in argnums]

    return vjp


defvjp_argnums(_solve, _maker)
