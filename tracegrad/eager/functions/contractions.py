"""Sums of products over several operands with PyTorch's signatures."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from tracegrad.core.aval import Shape, shape_of
from tracegrad.core.source import user_frame
from tracegrad.errors import ShapeError
from tracegrad.ops import einsum as summation
from tracegrad.ops.broadcasting import reshape_to
from tracegrad.ops.contractions import matmul
from tracegrad.ops.maps import add

__all__ = ["bilinear", "einsum", "multi_dot"]


def einsum(*args: Any) -> Any:
    """The sum of products over named axes: an equation and its operands, or operands each with the list of its axes.

    Parameters
    ----------
    args: ``"ij,jk->ik", x, y`` (the operands may stand in one list), or ``x, [0, 1], y, [1, 2], [0, 2]``.

    Raises ShapeError for an equation that does not fit the operands.

    >>> from tracegrad.eager import tensor
    >>> einsum("ij,j->i", tensor([[1.0, 2.0], [3.0, 4.0]]), tensor([1.0, 1.0]))
    tensor([3., 7.])
    """
    if len(args) == 2 and isinstance(args[0], str) and isinstance(args[1], (list, tuple)):
        args = (args[0], *args[1])
    return summation.einsum(*args)


def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Any:
    """``input1ᵀ · weight[k] · input2 + bias[k]`` for every output ``k``, over the last dim of both inputs.

    >>> from tracegrad.eager import tensor
    >>> bilinear(tensor([1.0, 2.0]), tensor([3.0, 4.0]), tensor([[[1.0, 0.0], [0.0, 1.0]]]))
    tensor([11.])
    """
    first, second, kernel = shape_of(input1), shape_of(input2), shape_of(weight)
    problem = ""
    if len(first) != len(second):
        problem = f"input dimensions do not match: got {len(first)} and {len(second)}"
    elif first[:-1] != second[:-1]:
        problem = f"input batch dimensions do not match: got {list(first[:-1])} and {list(second[:-1])}"
    elif len(kernel) != 3 or first[-1] != kernel[1]:
        problem = f"input1 size does not match weight size: got {first[-1]} but expected {kernel[1:2]} of weight {list(kernel)}"
    elif second[-1] != kernel[2]:
        problem = f"input2 size does not match weight size: got {second[-1]} but expected {kernel[2]}"
    if problem:
        raise ShapeError(f"bilinear(): {problem}", fix="weight is (out, in1, in2)", where=user_frame())
    out = summation.einsum("...i,kij,...j->...k", input1, weight, input2)
    return out if bias is None else add(out, bias)


# -- chains of products -----------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def _best_splits(sizes: Shape) -> dict[tuple[int, int], int]:
    """Where to split the product of matrices ``i`` to ``j`` so that the fewest numbers are multiplied.

    Matrix ``k`` is of ``sizes[k]`` by ``sizes[k + 1]``.
    """
    count = len(sizes) - 1
    cost = {(k, k): 0 for k in range(count)}
    split: dict[tuple[int, int], int] = {}
    for length in range(1, count):
        for i in range(count - length):
            j = i + length
            costs = {k: cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1] for k in range(i, j)}
            split[i, j] = min(costs, key=costs.__getitem__)
            cost[i, j] = costs[split[i, j]]
    return split


def multi_dot(tensors: Sequence[Any]) -> Any:
    """The product of several matrices in the order of fewest multiplications; the first and the last may be vectors.

    >>> from tracegrad.eager import tensor
    >>> multi_dot([tensor([1.0, 2.0]), tensor([[1.0, 0.0], [0.0, 1.0]]), tensor([3.0, 4.0])])
    tensor(11.)
    """
    parts = list(tensors)
    if len(parts) < 2:
        raise ShapeError(f"multi_dot(): expected at least 2 tensors but got {len(parts)}", fix="give two", where=user_frame())
    shapes = [shape_of(p) for p in parts]
    for k, shape in enumerate(shapes):
        if len(shape) != 2 and not (len(shape) == 1 and k in (0, len(parts) - 1)):
            raise ShapeError(
                f"multi_dot(): tensor {k} must be {'1D or ' if k in (0, len(parts) - 1) else ''}2D but got {len(shape)}D",
                fix="use matmul for stacks of matrices",
                where=user_frame(),
            )
    result = (*(shapes[0][:1] if len(shapes[0]) == 2 else ()), *(shapes[-1][1:] if len(shapes[-1]) == 2 else ()))
    if len(shapes[0]) == 1:
        parts[0] = reshape_to(parts[0], shape=(1, *shapes[0]))
    if len(shapes[-1]) == 1:
        parts[-1] = reshape_to(parts[-1], shape=(*shapes[-1], 1))
    for k in range(len(parts) - 1):
        if shape_of(parts[k])[1] != shape_of(parts[k + 1])[0]:
            raise ShapeError(
                f"multi_dot(): tensors {k} and {k + 1} with shapes {list(shapes[k])} and {list(shapes[k + 1])} cannot be "
                "multiplied",
                fix="the columns of each must be the rows of the next",
                where=user_frame(),
            )
    splits = _best_splits((shape_of(parts[0])[0], *(shape_of(p)[1] for p in parts)))

    def product(i: int, j: int) -> Any:
        return parts[i] if i == j else matmul(product(i, splits[i, j]), product(splits[i, j] + 1, j))

    return reshape_to(product(0, len(parts) - 1), shape=result)
