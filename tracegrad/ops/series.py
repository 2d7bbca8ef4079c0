"""Series of polynomials, and matrices of their terms, in ``np.polynomial``'s signatures.

Each family has a recurrence of three terms, p[k+1] = (a·x + b)·p[k] + c·p[k-1], from p[0] = 1 and p[1] = a·x + b at k = 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.polynomial import chebyshev, hermite, hermite_e, laguerre, legendre, polynomial

from tracegrad.core.aval import shape_of
from tracegrad.errors import ShapeError
from tracegrad.ops.indexing import getitem
from tracegrad.ops.pointwise import as_float
from tracegrad.ops.reductions import as_operand
from tracegrad.ops.views import reshape, stack

Steps = Callable[[int], tuple[float, float, float]]

STEPS: Mapping[str, Steps] = {
    "poly": lambda k: (1.0, 0.0, 0.0),
    "cheb": lambda k: (2.0 if k else 1.0, 0.0, -1.0),
    "leg": lambda k: ((2 * k + 1) / (k + 1), 0.0, -k / (k + 1)),
    "herm": lambda k: (2.0, 0.0, -2.0 * k),
    "herme": lambda k: (1.0, 0.0, -1.0 * k),
    "lag": lambda k: (-1 / (k + 1), (2 * k + 1) / (k + 1), -k / (k + 1)),
}
"""a, b and c of the recurrence of each family, by the name that NumPy's functions of it begin with."""


def _terms(steps: Steps, x: Any, degree: int) -> list[Any]:
    """The polynomials of degrees 0 to ``degree`` at x; the first is the number 1."""
    terms: list[Any] = [1.0]
    for k in range(degree):
        a, b, c = steps(k)
        line = x if a == 1.0 else x * a
        line = line + b if b else line
        following = line * terms[-1] if k else line
        terms.append(following + terms[-2] * c if k and c else following)
    return terms


def _value(steps: Steps) -> Callable[..., Any]:
    def value(x: Any, c: Any, tensor: bool = True) -> Any:
        x, c = as_float(as_operand(x)), as_float(as_operand(c))
        if not shape_of(c):
            c = reshape(c, (1,))
        if tensor:
            c = reshape(c, (*shape_of(c), *(1,) * len(shape_of(x))))
        terms = _terms(steps, x, shape_of(c)[0] - 1)
        total = getitem(c, 0) + x * 0.0
        for k, term in enumerate(terms[1:], 1):
            total = total + getitem(c, k) * term
        return total

    return value


def _vandermonde(steps: Steps) -> Callable[..., Any]:
    def vander(x: Any, deg: Any) -> Any:
        degree = deg.__index__()
        if degree < 0:
            raise ShapeError("a matrix of polynomials of negative degree", fix="give deg >= 0")
        x = as_float(as_operand(x))
        x = x if shape_of(x) else reshape(x, (1,))
        terms = _terms(steps, x, degree)
        return stack([x * 0.0 + 1.0, *terms[1:]], axis=-1)

    return vander


_MODULES = {
    "poly": polynomial,
    "cheb": chebyshev,
    "leg": legendre,
    "herm": hermite,
    "herme": hermite_e,
    "lag": laguerre,
}
FUNCTIONS: Mapping[Any, Callable[..., Any]] = {
    **{getattr(_MODULES[name], f"{name}val"): _value(steps) for name, steps in STEPS.items()},
    **{getattr(_MODULES[name], f"{name}vander"): _vandermonde(steps) for name, steps in STEPS.items()},
}
"""What NumPy's functions of series mean."""

CLASSES: Mapping[type, Callable[..., Any]] = {
    np.polynomial.Polynomial: polynomial.polyval,
    np.polynomial.Chebyshev: chebyshev.chebval,
    np.polynomial.Legendre: legendre.legval,
    np.polynomial.Hermite: hermite.hermval,
    np.polynomial.HermiteE: hermite_e.hermeval,
    np.polynomial.Laguerre: laguerre.lagval,
}
"""NumPy's classes of series, and the function that each calls with its coefficients."""
