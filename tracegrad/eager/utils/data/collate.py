"""How items become batches."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

import numpy as np

from tracegrad.eager.creation import as_tensor
from tracegrad.eager.dtypes import float64
from tracegrad.eager.functions.joining import stack
from tracegrad.eager.tensor import Tensor, tensor

__all__ = ["default_collate", "default_convert"]

_KINDS = "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found "


def default_collate(batch: Sequence[Any]) -> Any:
    """One batch of a list of items: numbers and arrays become tensors, stacked along a new first axis.

    Parameters
    ----------
    batch: items of one structure: tensors, arrays, numbers, strings, and dicts, tuples, named tuples and lists of them.

    Returns that structure of tensors (a tuple becomes a list), strings as they are. Raises TypeError for other items,
    RuntimeError for sequences of different lengths.

    >>> default_collate([{"x": 1.5, "y": 1}, {"x": 2.5, "y": 2}])
    {'x': tensor([1.5000, 2.5000], dtype=torch.float64), 'y': tensor([1, 2])}
    """
    first = batch[0]
    if isinstance(first, Tensor):
        return stack(list(batch), 0)
    if isinstance(first, np.ndarray):
        if first.dtype.kind not in "biufc":
            raise TypeError(f"{_KINDS}{first.dtype}")
        return stack([as_tensor(array) for array in batch], 0)
    if isinstance(first, float) and not isinstance(first, np.generic):
        return tensor(list(batch), dtype=float64)
    if isinstance(first, (np.bool_, np.number)):
        return as_tensor(np.asarray(batch))
    if isinstance(first, int):
        return tensor(list(batch))
    if isinstance(first, (str, bytes)):
        return batch
    return _structure(first, batch)


def _structure(first: Any, batch: Sequence[Any]) -> Any:
    """The batch of containers: one of batches."""
    if isinstance(first, Mapping):
        columns = {key: default_collate([item[key] for item in batch]) for key in first}
        return _like(first, MutableMapping, columns)
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return type(first)(*(default_collate(column) for column in zip(*batch, strict=False)))
    if not isinstance(first, Sequence):
        raise TypeError(f"{_KINDS}{type(first)}")
    if any(len(item) != len(first) for item in batch):
        raise RuntimeError("each element in list of batch should be of equal size")
    found = [default_collate(column) for column in zip(*batch, strict=True)]
    return found if isinstance(first, tuple) else _like(first, MutableSequence, found)


def default_convert(data: Any) -> Any:
    """An item as a loader without batches gives it: arrays and NumPy's numbers become tensors, in dicts and lists too.

    >>> default_convert({"x": np.array([1.0]), "name": "a"})
    {'x': tensor([1.], dtype=torch.float64), 'name': 'a'}
    """
    if isinstance(data, (Tensor, str, bytes)):
        return data
    if isinstance(data, (np.ndarray, np.generic)):
        return as_tensor(data) if data.dtype.kind in "biufc" else data
    if isinstance(data, Mapping):
        return _like(data, MutableMapping, {key: default_convert(value) for key, value in data.items()})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*(default_convert(value) for value in data))
    if isinstance(data, tuple):
        return [default_convert(value) for value in data]
    if isinstance(data, Sequence):
        return _like(data, MutableSequence, [default_convert(value) for value in data])
    return data


def _like(container: Any, mutable: Any, content: Any) -> Any:
    """The content in a container of the same class, if it can be made; a subclass may hold more than its items."""
    make: Callable[[Any], Any] = type(container)
    try:
        if not isinstance(container, mutable):
            return make(content)
        twin: Any = copy.copy(container)
        if isinstance(content, dict):
            twin.update(content)
        else:
            for k, value in enumerate(content):
                twin[k] = value
    except TypeError:
        return content
    return twin
