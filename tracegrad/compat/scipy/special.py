"""``scipy.special``, with boxes; Bessel functions of any order have a derivative with respect to their argument."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import scipy.special as _special

from tracegrad.compat.boxes import getval
from tracegrad.compat.calls import holds_box
from tracegrad.compat.extend import defvjp, primitive
from tracegrad.compat.wrap import getter, wrapped
from tracegrad.core.aval import shape_of
from tracegrad.ops import maps
from tracegrad.ops.broadcasting import sum_to
from tracegrad.ops.complexes import is_complex

__all__ = list(_special.__all__)

__getattr__: Any = getter(__name__, _special, globals())

Function = Callable[..., Any]


def __dir__() -> list[str]:
    return list(__all__)


def of_arguments(function: Function, slopes: Mapping[int, Function]) -> Any:
    """A primitive from a function of SciPy that has derivatives with respect to some arguments alone.

    ``slopes[k](ans, *args)`` is that with respect to argument ``k``; operands broadcast.
    """
    made = primitive(function)

    def maker(argnum: int, slope: Function) -> Function:
        def vjp_of(ans: Any, *args: Any) -> Function:
            factor = slope(ans, *args)
            return lambda g: sum_to(maps.multiply(g, factor), shape_of(args[argnum]))

        return vjp_of

    defvjp(made, *(maker(k, slope) for k, slope in slopes.items()), argnums=tuple(slopes))
    return made


_betaln = wrapped(_special.betaln)


def _beta_slope(ans: Any, a: Any, b: Any, x: Any) -> Any:
    return maps.exp((a - 1.0) * maps.log(x) + (b - 1.0) * maps.log1p(-x) - _betaln(a, b))


def _neighbours(scale: float, sign: float) -> Function:
    """The slope of a Bessel function of order n: a multiple of those of the orders n - 1 and n + 1."""
    return lambda ans, n, x, function: scale * function(n - 1, x) + sign * scale * function(n + 1, x)


def _bessel(function: Function, slope: Function) -> Any:
    made: Any = of_arguments(function, {1: lambda ans, n, x: slope(ans, n, x, made)})
    return made


jn = jv = _bessel(_special.jv, _neighbours(0.5, -1.0))
yn = yv = _bessel(_special.yv, _neighbours(0.5, -1.0))
iv = _bessel(_special.iv, _neighbours(0.5, 1.0))
kv = _bessel(_special.kv, _neighbours(-0.5, 1.0))
ive = _bessel(_special.ive, lambda ans, n, x, f: 0.5 * (f(n - 1, x) + f(n + 1, x)) - ans * (1.0 - 2.0 * (getval(x) < 0)))
betainc = of_arguments(_special.betainc, {2: _beta_slope})
"""``betainc`` with its derivative with respect to ``x``; the shape parameters have none, as in autograd."""


def gammasgn(x: Any) -> Any:
    """``scipy.special.gammasgn``: a step, through which no derivative flows."""
    return _special.gammasgn(getval(x))


def erfc(x: Any) -> Any:
    """``scipy.special.erfc``, of complex boxes too."""
    return 1.0 - maps.erf(x) if holds_box(x) and is_complex(x) else _erfc(x)


_erfc = wrapped(_special.erfc)
