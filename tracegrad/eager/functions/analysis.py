"""Differences, integrals by the trapezoidal rule, covariance, distances: functions of several others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracegrad.core.aval import shape_of
from tracegrad.core.source import user_frame
from tracegrad.eager.composite import recorded_as
from tracegrad.eager.functions import complexes
from tracegrad.eager.functions.arguments import DimensionError, labelled, one_dim, several_dims, tensor_like, values_of
from tracegrad.eager.functions.cutting import diagonal, narrow
from tracegrad.eager.functions.joining import cat, stack
from tracegrad.eager.functions.pointwise import clamp
from tracegrad.eager.functions.reductions import mean, vector_norm_of
from tracegrad.eager.functions.reductions import sum as sum_of
from tracegrad.eager.functions.scans import cumsum
from tracegrad.eager.functions.shapes import flip, reshape, squeeze, unsqueeze
from tracegrad.errors import ShapeError
from tracegrad.ops.complexes import conj, imag, is_complex, real
from tracegrad.ops.maps import add, divide, multiply, sqrt, subtract
from tracegrad.ops.views import expand_dims, permute

__all__ = [
    "cdist",
    "corrcoef",
    "cov",
    "cumulative_trapezoid",
    "diff",
    "gradient",
    "trapezoid",
    "trapz",
    "unravel_index",
    "vander",
]

# -- differences and integrals ----------------------------------------------------------------------------------------


def diff(input: Any, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """The differences of neighbours along a dim, taken ``n`` times.

    >>> from tracegrad.eager import tensor
    >>> diff(tensor([1.0, 4.0, 9.0]))
    tensor([3., 5.])
    """
    if not shape_of(input):
        raise ShapeError("diff expects input to be at least one-dimensional", fix="give a vector", where=user_frame())
    place = one_dim(dim, len(shape_of(input)))
    parts = [x for x in (prepend, input, append) if x is not None]
    x = cat(parts, place) if len(parts) > 1 else input
    for _ in range(min(n, shape_of(x)[place])):
        size = shape_of(x)[place]
        x = subtract(narrow(x, place, 1, size - 1), narrow(x, place, 0, size - 1))
    return x


def _steps(x: Any, ndim: int, place: int) -> Any:
    """The widths between coordinates, shaped to multiply what stands along a dim."""
    if len(shape_of(x)) == 1:
        widths = diff(x)
        return reshape(widths, tuple(-1 if k == place else 1 for k in range(ndim)))
    return diff(x, dim=place)


def _areas(name: str, y: Any, x: Any, dx: Any, dim: int) -> tuple[Any, int]:
    """Twice the areas between neighbours."""
    if not shape_of(y) or (x is not None and not shape_of(x)):
        raise DimensionError(
            f"{name}: Dimension specified as {dim} but tensor has no dimensions",
            fix="give points along a dim",
            where=user_frame(),
        )
    place = one_dim(dim, len(shape_of(y)))
    size = shape_of(y)[place]
    if size == 0:
        raise ShapeError(f"{name}: the dim has no elements", fix="give points to integrate", where=user_frame())
    both = add(narrow(y, place, 0, size - 1), narrow(y, place, 1, size - 1))
    if x is None:
        return multiply(both, dx), place
    if shape_of(x)[-1 if len(shape_of(x)) == 1 else place] != size:
        raise ShapeError(
            f"{name}: there must be one `x` value for each sample point: {tuple(shape_of(x))} and {tuple(shape_of(y))}",
            fix="give as many coordinates as values",
            where=user_frame(),
        )
    return multiply(both, _steps(x, len(shape_of(y)), place)), place


def trapezoid(y: Any, x: Any = None, *, dx: Any = 1, dim: int = -1) -> Any:
    """The integral of values along a dim by the trapezoidal rule, over steps ``dx`` or between coordinates ``x``.

    >>> from tracegrad.eager import tensor
    >>> trapezoid(tensor([1.0, 2.0, 3.0]))
    tensor(4.)
    """
    areas, place = _areas("trapezoid", y, x, dx, dim)
    return labelled("MulBackward1" if x is None else "DivBackward1", divide(sum_of(areas, place), 2.0))


def trapz(y: Any, x: Any = None, *, dx: Any = 1, dim: int = -1) -> Any:
    """The integral by the trapezoidal rule, as ``trapezoid``.

    >>> from tracegrad.eager import tensor
    >>> trapz(tensor([1.0, 2.0, 3.0]))
    tensor(4.)
    """
    return trapezoid(y, x, dx=dx, dim=dim)


def cumulative_trapezoid(y: Any, x: Any = None, *, dx: Any = 1, dim: int = -1) -> Any:
    """The integral up to each point but the first by the trapezoidal rule.

    >>> from tracegrad.eager import tensor
    >>> cumulative_trapezoid(tensor([1.0, 2.0, 3.0]))
    tensor([1.5000, 4.0000])
    """
    areas, place = _areas("cumulative_trapezoid", y, x, dx, dim)
    return cumsum(divide(areas, 2.0), place)


def gradient(
    input: Any,
    *,
    spacing: Any = 1,
    dim: int | Sequence[int] | None = None,
    edge_order: int = 1,
) -> tuple[Any, ...]:
    """Slopes along dims from neighbours on both sides, at the ends from the one neighbour.

    >>> from tracegrad.eager import tensor
    >>> gradient(tensor([1.0, 4.0, 9.0]))
    (tensor([3., 4., 5.]),)
    """
    if edge_order != 1:
        raise ShapeError(f"torch.gradient with edge_order={edge_order} is not there", fix="edge_order=1", where=user_frame())
    places = several_dims(dim, len(shape_of(input)))
    given = list(spacing) if isinstance(spacing, (list, tuple)) else [spacing] * len(places)
    if len(given) != len(places):
        raise ShapeError(
            f"torch.gradient expected spacing to be unspecified, a scalar, or a list of length {len(places)}, but "
            "got a list of "
            f"length {len(given)}",
            fix="give one spacing per dim",
            where=user_frame(),
        )
    return tuple(_slopes(input, place, step) for place, step in zip(places, given, strict=True))


def _slopes(x: Any, place: int, step: Any) -> Any:
    size = shape_of(x)[place]
    if size < 2:
        raise ShapeError(
            "torch.gradient expected each dimension size to be at least edge_order+1",
            fix="give two points or more",
            where=user_frame(),
        )
    if getattr(step, "bind_rank", 0) and shape_of(step):
        # the values at unequal distances, weighted as NumPy weights them
        widths = reshape(diff(step), tuple(-1 if k == place else 1 for k in range(len(shape_of(x)))))
        left, right = narrow(widths, place, 0, size - 2), narrow(widths, place, 1, size - 2)
        slopes = divide(diff(x, dim=place), widths)
        before, after = narrow(slopes, place, 0, size - 2), narrow(slopes, place, 1, size - 2)
        inside = divide(add(multiply(before, right), multiply(after, left)), add(left, right))
    else:
        slopes = divide(diff(x, dim=place), step)
        inside = divide(subtract(narrow(x, place, 2, size - 2), narrow(x, place, 0, size - 2)), multiply(2.0, step))
    return cat([narrow(slopes, place, 0, 1), inside, narrow(slopes, place, size - 2, 1)], place)


# -- statistics -------------------------------------------------------------------------------------------------------


def cov(input: Any, *, correction: int = 1, fweights: Any = None, aweights: Any = None) -> Any:
    """The covariance of variables, one per row, over observations, one per column.

    >>> from tracegrad.eager import tensor
    >>> cov(tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]))
    tensor([[ 1., -1.],
            [-1.,  1.]])
    """
    if len(shape_of(input)) > 2:
        raise ShapeError(
            f"cov(): expected input to have two or fewer dimensions but got an input with {len(shape_of(input))} dimensions",
            fix="one row per variable",
            where=user_frame(),
        )
    x = input if len(shape_of(input)) == 2 else reshape(input, (1, -1))
    count = shape_of(x)[1]
    weights = fweights if aweights is None else aweights if fweights is None else multiply(fweights, aweights)
    if weights is None:
        total: Any = float(count)
        away = subtract(x, mean(x, 1, True))
        product = away
        freedom = total - correction
    else:
        total = sum_of(weights)
        away = subtract(x, divide(sum_of(multiply(x, weights), 1, True), total))
        product = multiply(away, weights)
        lost = 1.0 if aweights is None else divide(sum_of(multiply(weights, aweights)), total)
        freedom = subtract(total, multiply(lost, correction)) if correction else total
    if not getattr(freedom, "bind_rank", 0):
        freedom = max(freedom, 0.0)
    turned = permute(conj(away) if is_complex(away) else away, axes=(1, 0))
    return squeeze(divide(product @ turned, freedom))


def corrcoef(input: Any) -> Any:
    """The correlation of variables, one per row, over observations, one per column.

    >>> from tracegrad.eager import tensor
    >>> corrcoef(tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]))
    tensor([[ 1., -1.],
            [-1.,  1.]])
    """
    found = cov(input)
    if not shape_of(found):
        return divide(found, found)
    whole = is_complex(found)
    spread = sqrt(real(diagonal(found)) if whole else diagonal(found))
    shares = divide(divide(found, unsqueeze(spread, 1)), unsqueeze(spread, 0))
    if whole:
        return complexes.complex(clamp(real(shares), -1, 1), clamp(imag(shares), -1, 1))
    return clamp(shares, -1, 1)


# -- distances, powers, positions -------------------------------------------------------------------------------------


@recorded_as("CdistBackward0")
def _distances(x: Any, y: Any, p: float) -> Any:
    away = subtract(expand_dims(x, len(shape_of(x)) - 1), expand_dims(y, len(shape_of(y)) - 2))
    return vector_norm_of(away, p, (len(shape_of(away)) - 1,), False)


def cdist(x1: Any, x2: Any, p: float = 2.0, compute_mode: str | None = None) -> Any:
    """The p-norms of the differences of each row of one matrix and each row of another, or of stacks of them.

    >>> from tracegrad.eager import tensor
    >>> cdist(tensor([[0.0, 0.0]]), tensor([[3.0, 4.0], [1.0, 0.0]]))
    tensor([[5., 1.]])
    """
    for k, x in ((1, x1), (2, x2)):
        if len(shape_of(x)) < 2:
            raise ShapeError(
                f"cdist only supports at least 2D tensors, X{k} got: {len(shape_of(x))}D",
                fix="one point per row",
                where=user_frame(),
            )
    if shape_of(x1)[-1] != shape_of(x2)[-1]:
        raise ShapeError(
            f"X1 and X2 must have the same number of columns. X1: {shape_of(x1)[-1]} X2: {shape_of(x2)[-1]}",
            fix="give points of one dimension",
            where=user_frame(),
        )
    return _distances(x1, x2, float(p))


def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """The powers of a vector's elements as columns, the highest first.

    >>> from tracegrad.eager import tensor
    >>> vander(tensor([2.0, 3.0]), 3)
    tensor([[4., 2., 1.],
            [9., 3., 1.]])
    """
    if len(shape_of(x)) != 1:
        raise ShapeError("x must be a one-dimensional tensor.", fix="x.flatten()", where=user_frame())
    count = shape_of(x)[0] if N is None else N
    if count < 0:
        raise ShapeError("N must be non-negative.", fix="ask for 0 columns or more", where=user_frame())
    ones = tensor_like(np.ones(shape_of(x), x.dtype), x)
    columns = [ones]
    for _ in range(count - 1):
        columns.append(multiply(columns[-1], x))
    powers = stack(columns[:count], 1) if count else tensor_like(np.ones((*shape_of(x), 0), x.dtype), x)
    return powers if increasing else flip(powers, (1,))


def unravel_index(indices: Any, shape: Any) -> tuple[Any, ...]:
    """Positions counted row by row as one vector of positions per dim.

    >>> from tracegrad.eager import tensor
    >>> unravel_index(tensor([5]), (2, 3))
    (tensor([1]), tensor([2]))
    """
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    places = values_of(indices, "unravel_index")
    if places.size and (places.min() < 0 or places.max() >= math.prod(sizes)):
        raise ShapeError(f"an index is out of bounds for the shape {sizes}", fix="count from 0", where=user_frame())
    return tuple(tensor_like(found, indices) for found in np.unravel_index(places, sizes))
