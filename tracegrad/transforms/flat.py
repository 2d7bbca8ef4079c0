"""A pytree as one vector and back: for solvers that know vectors only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracegrad.core.aval import shape_of
from tracegrad.core.source import user_frame
from tracegrad.core.tree import TreeDef, flatten
from tracegrad.errors import ShapeError, TreeError
from tracegrad.ops.maps import cast
from tracegrad.ops.views import concatenate, reshape, strided_slice

Leaf = tuple[tuple[int, ...], np.dtype[Any]]


class Unravel:
    """The way back from a vector to a pytree; made by ``ravel``."""

    def __init__(self, structure: TreeDef, leaves: Sequence[Leaf], dtype: np.dtype[Any]) -> None:
        self.structure = structure
        self.leaves = tuple(leaves)
        self.dtype = dtype
        self.size = sum(math.prod(shape) for shape, _ in leaves)

    def __repr__(self) -> str:
        return f"<unravel: a vector of {self.size} to {self.structure!r}>"

    def __call__(self, flat: Any) -> Any:
        """The pytree whose elements a vector holds."""
        flat = flat if hasattr(flat, "bind_rank") else np.asarray(flat)
        if shape_of(flat) != (self.size,):
            raise ShapeError(
                f"unravel was given an array of shape {shape_of(flat)}, and the pytree has {self.size} elements",
                fix=f"give it a vector of {self.size} elements",
                where=user_frame(),
            )
        parts, start = [], 0
        for shape, dtype in self.leaves:
            size = math.prod(shape)
            part = reshape(strided_slice(flat, starts=(start,), sizes=(size,), steps=(1,)), shape)
            part = part if part.dtype == dtype else cast(part, dtype=dtype)
            parts.append(part.copy()[()] if isinstance(part, np.ndarray) else part)
            start += size
        return self.structure.unflatten(parts)


def ravel(tree: Any) -> tuple[Any, Unravel]:
    """A pytree of arrays and numbers as one vector, and the function that undoes it.

    Parameters
    ----------
    tree: any nesting of dicts, lists, tuples, dataclasses … of arrays and numbers, traced ones and tensors too.

    Returns ``(flat, unravel)``: the elements of all leaves in order, in the dtype that holds all of theirs, and a function
    that gives such a vector the structure, shapes and dtypes of ``tree``. Both can be differentiated. Raises TreeError for
    leaves that are no numbers; ``unravel`` raises ShapeError for a vector of another size.

    >>> import numpy as np
    >>> import tracegrad as tg
    >>> flat, unravel = tg.ravel({"slope": 2.0, "offsets": np.array([3.0, 4.0])})
    >>> flat, unravel(flat + 1)
    (array([3., 4., 2.]), {'slope': np.float64(3.0), 'offsets': array([4., 5.])})

    A solver of SciPy's then works on parameters in a dict:

    >>> from scipy.optimize import minimize
    >>> t = np.linspace(0.0, 1.0, 20)
    >>> misfit = lambda p: np.mean((p["rate"] * t + p["start"] - (3 * t + 1)) ** 2)
    >>> start, unravel = tg.ravel({"rate": 0.0, "start": 0.0})
    >>> found = minimize(tg.value_and_grad(lambda v: misfit(unravel(v))), start, jac=True)
    >>> {name: value.round(3) for name, value in unravel(found.x).items()}
    {'rate': np.float64(3.0), 'start': np.float64(1.0)}
    """
    leaves, structure = flatten(tree)
    values = []
    for leaf, path in zip(leaves, structure.paths("tree"), strict=True):
        value = leaf if hasattr(leaf, "bind_rank") else np.asarray(leaf)
        if value.dtype.kind not in "biufc":
            raise TreeError(
                f"{path} is of type {type(leaf).__name__}, not an array of numbers",
                fix="keep what is no number beside the pytree",
                where=user_frame(),
            )
        values.append(value)
    dtype = np.result_type(*(value.dtype for value in values)) if values else np.dtype(np.float64)
    shapes = [(tuple(shape_of(value)), np.dtype(value.dtype)) for value in values]
    parts = [reshape(v if v.dtype == dtype else cast(v, dtype=dtype), (-1,)) for v in values]
    flat = concatenate(parts) if parts else np.zeros(0)
    return flat, Unravel(structure, shapes, dtype)
