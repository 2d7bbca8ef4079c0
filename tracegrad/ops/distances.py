"""Distances between rows, in the signatures of ``scipy.spatial.distance``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tracegrad.core.aval import shape_of
from tracegrad.errors import ShapeError, TraceError
from tracegrad.ops.indexing import getitem
from tracegrad.ops.linalg import vector_norm
from tracegrad.ops.maps import absolute
from tracegrad.ops.reductions import as_operand, mean
from tracegrad.ops.reductions import max as max_of
from tracegrad.ops.reductions import sum as sum_of
from tracegrad.ops.views import expand_dims

__all__ = ["cdist", "pdist", "squareform"]


def _cosine(a: Any, b: Any) -> Any:
    return 1.0 - sum_of(a * b, axis=-1) / (vector_norm(a, axis=-1) * vector_norm(b, axis=-1))


def _centred(a: Any) -> Any:
    return a - mean(a, axis=-1, keepdims=True)


METRICS: Mapping[str, Callable[..., Any]] = {
    "euclidean": lambda a, b: vector_norm(a - b, axis=-1),
    "sqeuclidean": lambda a, b: sum_of((a - b) * (a - b), axis=-1),
    "cityblock": lambda a, b: sum_of(absolute(a - b), axis=-1),
    "chebyshev": lambda a, b: max_of(absolute(a - b), axis=-1),
    "minkowski": lambda a, b, p=2.0: vector_norm(a - b, axis=-1, ord=p),
    "cosine": _cosine,
    "correlation": lambda a, b: _cosine(_centred(a), _centred(b)),
}
"""Distances of rows, along the last axis of arrays that broadcast, by SciPy's names for them."""


def _metric(name: str, metric: Any) -> Callable[..., Any]:
    found = METRICS.get(metric) if isinstance(metric, str) else None
    if found is None:
        raise TraceError(
            f"scipy.spatial.distance.{name} with metric={metric!r} is not traced",
            fix=f"these are: {', '.join(METRICS)}; or write it by x[:, None] - y[None]",
        )
    return found


def _rows(name: str, x: Any) -> Any:
    x = as_operand(x)
    x = x if x.dtype == np.float64 else x.astype(np.float64)  # SciPy computes in it whatever it is given
    if len(shape_of(x)) != 2:
        raise ShapeError(f"scipy.spatial.distance.{name} of an array of shape {shape_of(x)}", fix="give a matrix of rows")
    return x


def cdist(XA: Any, XB: Any, metric: Any = "euclidean", **kwargs: Any) -> Any:
    """``scipy.spatial.distance.cdist``: from each row of the one to each of the other.

    >>> cdist(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0], [0.0, 1.0]]))
    array([[5., 1.]])
    """
    a, b = _rows("cdist", XA), _rows("cdist", XB)
    if shape_of(a)[1] != shape_of(b)[1]:
        raise ShapeError(
            f"scipy.spatial.distance.cdist of rows of {shape_of(a)[1]} and of {shape_of(b)[1]} elements",
            fix="give matrices with as many columns",
        )
    return _metric("cdist", metric)(expand_dims(a, 1), expand_dims(b, 0), **kwargs)


def pdist(X: Any, metric: Any = "euclidean", **kwargs: Any) -> Any:
    """``scipy.spatial.distance.pdist``: between the rows of a matrix, each pair once.

    >>> pdist(np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]]), "cityblock")
    array([7., 1., 6.])
    """
    x = _rows("pdist", X)
    first, second = np.triu_indices(shape_of(x)[0], 1)
    return _metric("pdist", metric)(getitem(x, first), getitem(x, second), **kwargs)


def squareform(X: Any, force: str = "no", checks: bool = True) -> Any:
    """``scipy.spatial.distance.squareform``: the symmetric matrix of a vector of pairs, or the vector of a matrix.

    A matrix is not checked for symmetry: its upper half is read.

    >>> squareform(np.array([1.0, 2.0, 3.0]))
    array([[0., 1., 2.],
           [1., 0., 3.],
           [2., 3., 0.]])
    """
    x = as_operand(X)
    shape = shape_of(x)
    if len(shape) == 2 and shape[0] == shape[1] and force != "tomatrix":
        return getitem(x, np.triu_indices(shape[0], 1))
    count = math.ceil(math.sqrt(2 * shape[0])) if len(shape) == 1 else 0
    if len(shape) != 1 or count * (count - 1) != 2 * shape[0] or force == "tovector":
        raise ShapeError(f"squareform of an array of shape {shape}", fix="give n(n-1)/2 distances, or a square matrix")
    if not shape[0]:
        return np.zeros((1, 1), x.dtype)
    places = np.zeros((count, count), np.int64)
    places[np.triu_indices(count, 1)] = np.arange(shape[0])
    return getitem(x, places + places.T) * (1 - np.eye(count, dtype=x.dtype))
