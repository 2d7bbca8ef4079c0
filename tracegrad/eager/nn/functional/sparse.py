"""Rows of a table by their numbers, and numbers as vectors of 0 and 1."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracegrad import functional
from tracegrad.core.aval import shape_of
from tracegrad.core.source import user_frame
from tracegrad.eager.composite import recorded_as
from tracegrad.eager.functions.arguments import values_of
from tracegrad.eager.functions.reductions import norm
from tracegrad.eager.modes import no_grad
from tracegrad.eager.nn.functional.common import concrete
from tracegrad.errors import DtypeError, ShapeError
from tracegrad.ops.indexing import gather
from tracegrad.ops.maps import cast, divide, multiply, select, stop_gradient, subtract
from tracegrad.ops.reductions import sum as sum_of
from tracegrad.ops.views import expand_dims, reshape

__all__ = ["embedding", "one_hot"]


def _check_indices(indices: Any, rows: int) -> None:
    if indices.dtype.kind not in "iu":
        raise DtypeError(
            f"Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; "
            f"but got {indices.dtype} instead (while checking arguments for embedding)",
            fix="cast it: x.long()",
            where=user_frame(),
        )
    values = concrete(indices)
    if values is not None and values.size and (values.min() < 0 or values.max() >= rows):
        wrong = values[(values < 0) | (values >= rows)][0]
        raise IndexError(f"index out of range in self: index {wrong} of an embedding with {rows} rows")


@recorded_as("EmbeddingBackward0")
def _embedding(weight: Any, indices: Any, padding_idx: int | None, by_frequency: bool) -> Any:
    flat = reshape(indices, (-1,))
    flat = flat if flat.dtype == np.int64 else cast(flat, dtype=np.dtype(np.int64))
    rows = gather(weight, flat, axis=0)
    if by_frequency:
        same = expand_dims(flat, 0) == expand_dims(flat, 1)
        share = 1.0 / expand_dims(sum_of(cast(same, dtype=weight.dtype), 1), 1)
        plain = stop_gradient(rows)
        rows = plain + multiply(subtract(rows, plain), share)
    if padding_idx is not None:
        rows = select(expand_dims(flat == padding_idx, 1), stop_gradient(rows), rows)
    return reshape(rows, (*shape_of(indices), shape_of(weight)[1]))


def _shorten(weight: Any, indices: Any, max_norm: float, norm_type: float) -> None:
    """Scale down, in place, the rows that are used and longer than ``max_norm``."""
    used = np.unique(values_of(indices, "embedding with max_norm"))
    if not used.size:
        return
    with no_grad():
        rows = weight[used]
        length = norm(rows, norm_type, 1, keepdim=True)
        weight[used] = select(length > max_norm, multiply(rows, divide(max_norm, length + 1e-7)), rows)


def embedding(
    input: Any,
    weight: Any,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Any:
    """The rows of ``weight`` (rows, columns) whose numbers the input holds: (*input's shape, columns).

    Parameters
    ----------
    input: integers of any shape.
    weight: the table.
    padding_idx: a row that gets no gradient, or None.
    max_norm: rows that are used are scaled down, in place, to at most this norm; None for as they are.
    norm_type: of ``max_norm``.
    scale_grad_by_freq: whether a row's gradient is divided by how often its number occurs.
    sparse: must be False, as gradients are dense.

    Raises IndexError for numbers that are no rows, DtypeError for floats.

    >>> from tracegrad.eager import tensor
    >>> embedding(tensor([1, 0]), tensor([[0.5, 1.0], [2.0, 3.0]]))
    tensor([[2.0000, 3.0000],
            [0.5000, 1.0000]])
    """
    if len(shape_of(weight)) != 2:
        raise ShapeError(
            f"'weight' must be 2-D, but got an embedding of shape {list(shape_of(weight))}",
            fix="give a weight (rows, columns)",
            where=user_frame(),
        )
    rows = shape_of(weight)[0]
    if padding_idx is not None:
        if not -rows <= padding_idx < rows:
            raise ValueError(f"Padding_idx must be within num_embeddings: got {padding_idx} of {rows} rows")
        padding_idx %= rows
    if sparse:
        raise NotImplementedError("embedding with sparse=True: gradients are dense here; leave it out")
    _check_indices(input, rows)
    if max_norm is not None:
        _shorten(weight, input, max_norm, norm_type)
    return _embedding(weight, input, padding_idx, bool(scale_grad_by_freq))


def one_hot(tensor: Any, num_classes: int = -1) -> Any:
    """Class numbers as vectors along a new last dim: int64, 1 at the number and 0 elsewhere.

    ``num_classes`` -1 stands for the greatest number and one more. Raises DtypeError for other dtypes, ValueError for
    numbers that are no classes.

    >>> from tracegrad.eager import tensor
    >>> one_hot(tensor([0, 2]))
    tensor([[1, 0, 0],
            [0, 0, 1]])
    """
    if tensor.dtype != np.int64:
        raise DtypeError(
            f"one_hot is only applicable to index tensor of type LongTensor, not {tensor.dtype}",
            fix="cast it: x.long()",
            where=user_frame(),
        )
    values = concrete(tensor) if num_classes != -1 else values_of(tensor, "one_hot without num_classes")
    if num_classes == -1:
        if values is None or not values.size:
            raise ValueError("Can not infer total number of classes from empty tensor.")
        num_classes = int(values.max()) + 1
    if num_classes < 1:
        raise ValueError(f"num_classes should be positive, got {num_classes}")
    if values is not None and values.size and values.min() < 0:
        raise ValueError(f"Class values must be non-negative, got {values.min()}")
    if values is not None and values.size and values.max() >= num_classes:
        raise ValueError(f"Class values must be smaller than num_classes: got {values.max()} of {num_classes} classes")
    return functional.one_hot(tensor, num_classes, np.int64)
