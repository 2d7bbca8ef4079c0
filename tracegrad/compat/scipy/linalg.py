"""``scipy.linalg``, with boxes; ``sqrtm``, ``solve_sylvester`` and ``solve_banded`` among them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.linalg as _linalg

from tracegrad.compat.calls import gathered
from tracegrad.compat.extend import defvjp, defvjp_argnums, primitive
from tracegrad.compat.wrap import getter
from tracegrad.ops import indexing, maps, reductions, views

__all__ = list(_linalg.__all__)

__getattr__: Any = getter(__name__, _linalg, globals())

Function = Callable[..., Any]


def __dir__() -> list[str]:
    return list(__all__)


def _sylvester_vjp(argnums: Sequence[int], ans: Any, args: Sequence[Any], kwargs: Any) -> Function:
    a, b, _ = args

    def vjp(g: Any) -> list[Any]:
        y = solve_sylvester(views.transpose(a), views.transpose(b), g)
        turned = views.transpose(ans)
        makers: dict[int, Function] = {0: lambda: -(y @ turned), 1: lambda: -(turned @ y), 2: lambda: y}
        return [makers[k]() for k in argnums]

    return vjp


solve_sylvester = primitive(_linalg.solve_sylvester)
"""``scipy.linalg.solve_sylvester``: X with A X + X B = Q."""
defvjp_argnums(solve_sylvester, _sylvester_vjp)

sqrtm = primitive(_linalg.sqrtm)
"""``scipy.linalg.sqrtm``: X with X X = A, so that X dX + dX X = dA."""
defvjp(sqrtm, lambda ans, A: lambda g: solve_sylvester(views.transpose(ans), views.transpose(ans), g))


def _diagonals(lower: int, upper: int, size: int) -> tuple[Any, Any, Any]:
    """Of each place of a banded matrix: its row in the matrix, its column, and whether it is in the matrix at all."""
    rows = np.arange(-upper, lower + 1)[:, None] + np.arange(size)
    inside = (rows >= 0) & (rows < size)
    return np.where(inside, rows, 0), np.broadcast_to(np.arange(size), rows.shape), inside


def _turned(lower: int, upper: int, ab: Any) -> Any:
    """The transpose of a banded matrix as one."""
    rows, columns, inside = _diagonals(upper, lower, ab.shape[1])
    lines = np.where(inside, upper + columns - rows, 0)
    return maps.multiply(indexing.getitem(ab, (lines, rows)), 1.0 * inside)


def _banded_vjp(argnum: int) -> Function:
    def maker(ans: Any, l_and_u: tuple[int, int], ab: Any, b: Any) -> Function:
        lower, upper = l_and_u

        def vjp(g: Any) -> Any:
            y = solve_banded((upper, lower), _turned(lower, upper, gathered(ab)), g)
            if argnum == 2:
                return y
            rows, columns, inside = _diagonals(lower, upper, ab.shape[1])
            product = maps.multiply(indexing.getitem(y, rows), indexing.getitem(gathered(ans), columns))
            product = reductions.sum(product, -1) if ans.ndim > 1 else product
            return maps.multiply(product, -1.0 * inside)

        return vjp

    return maker


solve_banded = primitive(_linalg.solve_banded)
"""``scipy.linalg.solve_banded((l, u), ab, b)``."""
defvjp(solve_banded, _banded_vjp(1), _banded_vjp(2), argnums=(1, 2))
