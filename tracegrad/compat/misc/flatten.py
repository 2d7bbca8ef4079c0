"""Nested containers as one vector, for optimisers that know only vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tracegrad.compat.calls import gathered, holds_box, is_box
from tracegrad.core.tree import TreeDef
from tracegrad.core.tree import flatten as leaves_of
from tracegrad.errors import ShapeError
from tracegrad.ops import views


def flatten(value: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Any nesting of tuples, lists and dicts with arrays and numbers inside as a vector, and the way back.

    Dicts go by sorted keys. ``unflatten(vector)`` gives the containers with arrays of the shapes and dtypes they had; both
    ways can be differentiated.

    >>> vector, unflatten = flatten({"w": np.eye(2), "b": 3.0})
    >>> vector
    array([3., 1., 0., 0., 1.])
    >>> unflatten(vector * 2)["b"]
    np.float64(6.0)
    """
    leaves, structure = leaves_of(value)
    parts = [leaf if is_box(leaf) else np.asarray(leaf) for leaf in leaves]
    avals = [(part.shape, part.dtype) for part in parts]
    flat = [views.reshape(part, -1) for part in parts]
    vector = views.concatenate(flat) if holds_box(flat) else np.concatenate(flat) if flat else np.zeros(0)
    return vector, lambda new: _unflatten(gathered(new), avals, structure)


def _unflatten(vector: Any, avals: list[tuple[tuple[int, ...], np.dtype[Any]]], structure: TreeDef) -> Any:
    sizes = [int(np.prod(shape)) for shape, _ in avals]
    if vector.shape != (sum(sizes),):
        raise ShapeError(
            f"a vector of shape {vector.shape} for a structure of {sum(sizes)} numbers", fix="give what flatten gave, changed"
        )
    leaves: list[Any] = []
    at = 0
    for size, (shape, dtype) in zip(sizes, avals, strict=True):
        part = views.reshape(vector[at : at + size], shape)
        if dtype != part.dtype and not (dtype.kind == "f" and part.dtype.kind == "c"):
            part = part.astype(dtype)
        leaves.append(part if is_box(part) or shape else part[()])
        at += size
    return structure.unflatten(leaves)


def flatten_func(func: Callable[..., Any], example: Any) -> tuple[Callable[..., Any], Callable[[Any], Any], Any]:
    """A function of containers, with containers for its results, as one of vectors.

    Returns the function of a vector, ``unflatten`` of its argument, and the vector of the example.

    >>> double, unflatten, start = flatten_func(lambda p: {"a": 2 * p["a"]}, {"a": 1.5})
    >>> double(start)
    array([3.])
    """
    start, unflatten = flatten(example)
    return lambda vector, *args: flatten(func(unflatten(vector), *args))[0], unflatten, start
