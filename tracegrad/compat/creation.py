"""NumPy's functions that make arrays, with boxes for what they are made of, and others that NumPy's protocols do not reach.

They stand apart from ``tracegrad.compat.numpy``, whose ``any`` and ``sum`` are NumPy's and not Python's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tracegrad.compat.calls import gathered, holds_box, unboxed
from tracegrad.core.source import user_frame
from tracegrad.errors import DifferentiationError
from tracegrad.ops import assembly, choosing, views


def array(object: Any, dtype: Any = None, *, copy: Any = True, ndmin: int = 0, **kwargs: Any) -> Any:  # noqa: A002
    """``np.array``, of boxes in nested lists too.

    >>> array([1, 2.5])
    array([1. , 2.5])
    """
    if not holds_box(object):
        return np.array(object, dtype, copy=copy, ndmin=ndmin, **kwargs)
    result = gathered(object, dtype)
    return result if result.ndim >= ndmin else views.reshape(result, (1,) * (ndmin - result.ndim) + result.shape)


def _as_array(function: Callable[..., Any]) -> Callable[..., Any]:
    def make(a: Any, dtype: Any = None, **kwargs: Any) -> Any:
        return gathered(a, dtype) if holds_box(a) else function(a, dtype, **kwargs)

    make.__name__ = function.__name__
    make.__doc__ = f"``np.{function.__name__}``, of boxes in nested lists too."
    return make


asarray = _as_array(np.asarray)
asanyarray = _as_array(np.asanyarray)
ascontiguousarray = _as_array(np.ascontiguousarray)
asfortranarray = _as_array(np.asfortranarray)
asarray_chkfinite = _as_array(np.asarray_chkfinite)


def array_from_args(array_args: Any, array_kwargs: Any, *args: Any) -> Any:
    """``array(args)``, by autograd's name."""
    return array(args, *array_args, **array_kwargs)


def concatenate_args(axis: int, *args: Any) -> Any:
    """``concatenate(args, axis)``, by autograd's name."""
    return views.concatenate(args, axis) if holds_box(args) else np.concatenate(args, axis)


def make_diagonal(D: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """Matrices with the last axis of ``D`` on their diagonals, by autograd's name and conditions on axes.

    >>> make_diagonal(np.array([1.0, 2.0]), axis1=-1, axis2=-2)
    array([[1., 0.],
           [0., 2.]])
    """
    if (offset, axis1, axis2) != (0, -1, -2):
        raise NotImplementedError("make_diagonal is there for offset=0, axis1=-1, axis2=-2; np.diag makes other diagonals")
    return D[..., None] * np.eye(D.shape[-1])


def row_stack(tup: Any) -> Any:
    """``np.vstack`` by its old name."""
    return assembly.vstack(tup) if holds_box(tup) else np.vstack(tup)


def full(shape: Any, fill_value: Any, dtype: Any = None, **kwargs: Any) -> Any:
    """``np.full``, of a box too."""
    if not holds_box(fill_value):
        return np.full(shape, fill_value, dtype, **kwargs)
    return views.broadcast_to(gathered(fill_value, dtype), (shape,) if isinstance(shape, int) else tuple(shape))


def full_like(a: Any, fill_value: Any, dtype: Any = None, **kwargs: Any) -> Any:
    """``np.full_like``, of boxes too."""
    like = unboxed(a)
    if not holds_box(fill_value):
        return np.full_like(like, fill_value, dtype, **kwargs)
    return full(np.shape(like), fill_value, np.result_type(like) if dtype is None else dtype)


def where(condition: Any, *args: Any, **kwargs: Any) -> Any:
    """``np.where``; Python numbers and lists in all places give Python's, as in autograd."""
    chosen = [*args, *(kwargs.pop(name) for name in ("x", "y")[len(args) :] if name in kwargs)]
    if kwargs or len(chosen) not in (0, 2):
        raise ValueError("either both or neither of x and y should be given")
    if holds_box(chosen):
        return np.where(unboxed(condition), *(gathered(v) if isinstance(v, (list, tuple)) else v for v in chosen))
    result: Any = np.where(unboxed(condition), *chosen)
    return result if not chosen or holds_box(condition) or any(map(_is_numpys, (condition, *chosen))) else result.tolist()


def _is_numpys(x: Any) -> bool:
    """Whether a value is NumPy's, or a list that holds one."""
    if isinstance(x, (list, tuple)):
        return any(map(_is_numpys, x))
    return isinstance(x, (np.ndarray, np.generic))


def select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    """``np.select``, of boxes too."""
    if not holds_box((choicelist, default)):
        return np.select(unboxed(condlist), choicelist, default)
    return choosing.select(unboxed(condlist), choicelist, default)


def isscalar(element: Any) -> bool:
    """``np.isscalar`` of the value."""
    return np.isscalar(unboxed(element))


def vectorize(pyfunc: Callable[..., Any], *args: Any, **kwargs: Any) -> Callable[..., Any]:
    """``np.vectorize``; with boxes the function is called element by element, and its results put together."""
    plain = np.vectorize(pyfunc, *args, **kwargs)

    def function(*operands: Any, **named: Any) -> Any:
        if not holds_box(operands) and not holds_box(named):
            return plain(*operands, **named)
        boxes = [gathered(x) for x in operands]
        shape = np.broadcast_shapes(*(x.shape for x in boxes))
        flat = [views.reshape(views.broadcast_to(x, shape), -1) for x in boxes]
        size = int(np.prod(shape))
        results = [pyfunc(*(x[k] for x in flat), **named) for k in range(size)]
        return views.reshape(gathered(results), shape)

    function.__name__ = getattr(pyfunc, "__name__", "vectorized")
    return function


class _Stacked:
    """``np.r_`` and ``np.c_``, of boxes too."""

    def __init__(self, columns: bool) -> None:
        self._columns = columns

    def __getitem__(self, key: Any) -> Any:
        real = np.c_ if self._columns else np.r_
        entries = key if isinstance(key, tuple) else (key,)
        if not holds_box(entries):
            return real[key]
        if any(isinstance(e, str) for e in entries):
            raise DifferentiationError(
                "np.r_ and np.c_ with a string have no derivative", fix="np.concatenate, np.stack", where=user_frame()
            )
        parts = [np.r_[e] if isinstance(e, slice) else gathered(e) for e in entries]
        if self._columns:
            parts = [views.reshape(p, (-1, 1)) if p.ndim < 2 else p for p in parts]
            return views.concatenate(parts, -1)
        return views.concatenate([views.reshape(p, (1,)) if not p.ndim else p for p in parts])


r_ = _Stacked(columns=False)
c_ = _Stacked(columns=True)
