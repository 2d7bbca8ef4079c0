"""Methods that write to their tensor: those with a function of the same name, and ``fill_``, ``zero_`` and ``copy_``."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from tracegrad.core.aval import shape_of
from tracegrad.core.source import user_frame
from tracegrad.eager.composite import recorded_as
from tracegrad.eager.functions.arguments import as_dtype, fitting
from tracegrad.eager.functions.repeating import expand
from tracegrad.errors import ShapeError
from tracegrad.ops.maps import select

__all__ = ["copy_", "fill_", "fill_diagonal_", "in_place", "zero_"]


def in_place(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The method ``name`` that writes the function's result over its tensor and returns the tensor.

    >>> from tracegrad.eager import tensor
    >>> from tracegrad.ops.maps import exp
    >>> in_place("exp_", exp)(tensor([0.0]))
    tensor([1.])
    """

    def method(input: Any, /, *args: Any, **kwargs: Any) -> Any:
        operands = [x for x in (*args, *kwargs.values()) if getattr(x, "requires_grad", False)]
        return input._become(function(input, *args, **kwargs), operands[0] if operands else None, name)

    method.__name__ = name
    method.__qualname__ = f"Tensor.{name}"
    method.__doc__ = f"``{name[:-1]}``, written over the tensor; TapeError where its values or history must not change."
    return method


def _replaced(x: Any, value: Any) -> Any:
    # no element of the tensor is left, and so its gradient is 0
    return select(np.zeros(shape_of(x), bool), x, value)


_zeroed = recorded_as("ZeroBackward0")(_replaced)
_filled_with_number = recorded_as("FillBackward0")(_replaced)
_filled_with_tensor = recorded_as("FillBackward1")(_replaced)
_copied = recorded_as("CopyBackwards")(_replaced)


def zero_(input: Any) -> Any:
    """Every element 0, written over the tensor.

    >>> from tracegrad.eager import tensor
    >>> zero_(tensor([1.0, 2.0]))
    tensor([0., 0.])
    """
    return input._become(as_dtype(_zeroed(input, 0), input.dtype), None, "zero_")


def fill_(input: Any, value: Any) -> Any:
    """Every element one value, written over the tensor.

    >>> from tracegrad.eager import tensor
    >>> fill_(tensor([1.0, 2.0]), 7)
    tensor([7., 7.])
    """
    if shape_of(value):
        raise ShapeError(
            f"fill_ only supports 0-dimension value tensor but got tensor with {len(shape_of(value))} dimensions.",
            fix="x.copy_(values)",
            where=user_frame(),
        )
    tensor = getattr(value, "bind_rank", 0)
    value = as_dtype(value, input.dtype) if tensor else np.asarray(fitting(value, input.dtype)).astype(input.dtype).item()
    result = (_filled_with_tensor if tensor else _filled_with_number)(input, value)
    return input._become(as_dtype(result, input.dtype), value, "fill_")


def copy_(input: Any, src: Any, non_blocking: bool = False) -> Any:
    """The elements of another tensor, broadcast and cast, written over the tensor.

    >>> from tracegrad.eager import tensor
    >>> copy_(tensor([1.0, 2.0]), tensor([5]))
    tensor([5., 5.])
    """
    if isinstance(src, (int, float, complex)):
        return fill_(input, src)
    return input._become(_copied(input, as_dtype(expand(src, shape_of(input)), input.dtype)), src, "copy_")


@recorded_as("FillDiagonalBackward0")
def _with_diagonal(x: Any, value: float) -> Any:
    places = np.indices(shape_of(x), sparse=True)
    same = np.ones(shape_of(x), bool)
    for first, second in itertools.pairwise(places):
        same = same & (first == second)
    return select(same, value, x)


def fill_diagonal_(input: Any, fill_value: float, wrap: bool = False) -> Any:
    """One value on the main diagonal, written over the tensor.

    >>> from tracegrad.eager import tensor
    >>> fill_diagonal_(tensor([[1.0, 2.0], [3.0, 4.0]]), 0)
    tensor([[0., 2.],
            [3., 0.]])
    """
    shape = shape_of(input)
    if len(shape) < 2 or (len(shape) > 2 and len(set(shape)) != 1):
        raise ShapeError(
            f"fill_diagonal_: dimensions must larger than 1, and beyond 2 all of one size; the shape is {tuple(shape)}",
            fix="give a matrix",
            where=user_frame(),
        )
    if wrap:
        raise ShapeError("fill_diagonal_ with wrap=True is not there", fix="write to slices of the tensor", where=user_frame())
    return input._become(as_dtype(_with_diagonal(input, fill_value), input.dtype), None, "fill_diagonal_")
