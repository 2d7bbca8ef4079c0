"""Data sets: what has items by number, or gives them one after the other."""

from __future__ import annotations

import math
import warnings
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any, Generic, TypeVar

from tracegrad.core.source import user_frame
from tracegrad.eager.generators import Generator, source
from tracegrad.eager.tensor import Tensor
from tracegrad.errors import ShapeError

__all__ = [
    "ChainDataset",
    "ConcatDataset",
    "Dataset",
    "IterableDataset",
    "StackDataset",
    "Subset",
    "TensorDataset",
    "random_split",
]

T = TypeVar("T", covariant=True)


class Dataset(Generic[T]):
    """The base of data sets; a subclass writes ``__getitem__`` and mostly ``__len__``.

    >>> class Squares(Dataset):
    ...     def __len__(self):
    ...         return 3
    ...
    ...     def __getitem__(self, index):
    ...         return index**2
    >>> both = Squares() + Squares()
    >>> [both[k] for k in range(len(both))]
    [0, 1, 4, 0, 1, 4]
    """

    def __getitem__(self, index: Any) -> T:
        raise NotImplementedError("Subclasses of Dataset should implement __getitem__.")

    def __add__(self, other: Dataset[Any]) -> Dataset[Any]:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[T]):
    """The base of data sets that are only iterated over; a subclass writes ``__iter__``."""

    def __iter__(self) -> Iterator[T]:
        raise NotImplementedError("Subclasses of IterableDataset should implement __iter__.")

    def __add__(self, other: Dataset[Any]) -> Dataset[Any]:
        return ChainDataset([self, other])


class TensorDataset(Dataset[tuple[Tensor, ...]]):
    """The rows of tensors, side by side.

    Parameters
    ----------
    tensors: of one size along their first axes; ShapeError names the first that differs.

    >>> TensorDataset(Tensor([1.0, 2.0]), Tensor([[1], [2]]).long())[1]
    (tensor(2.), tensor([2]))
    """

    tensors: tuple[Tensor, ...]

    def __init__(self, *tensors: Tensor) -> None:
        for number, tensor in enumerate(tensors):
            if tensor.shape[0] != tensors[0].shape[0]:
                raise ShapeError(
                    f"Size mismatch between tensors: number 0 has shape {tuple(tensors[0].shape)}, number {number} has "
                    f"shape {tuple(tensor.shape)}",
                    fix="give tensors with as many rows as each other",
                    where=user_frame(),
                )
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(tensor[index] for tensor in self.tensors)

    def __len__(self) -> int:
        return len(self.tensors[0])


class StackDataset(Dataset[Any]):
    """The items of data sets, side by side: tuples of positional ones, dicts of named ones.

    Raises ValueError for both kinds at once, for none, and for different lengths.

    >>> StackDataset(x=[1, 2], y="ab")[1]
    {'x': 2, 'y': 'b'}
    """

    datasets: tuple[Any, ...] | dict[str, Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if args and kwargs:
            raise ValueError("Supported either tuple- (via args) or dict- (via kwargs) like input/output, not both")
        if not args and not kwargs:
            raise ValueError("At least one dataset should be passed")
        lengths = {len(dataset) for dataset in args or kwargs.values()}
        if len(lengths) > 1:
            raise ValueError(f"Size mismatch between datasets: their lengths are {sorted(lengths)}")
        self.datasets = args or kwargs

    def __getitem__(self, index: Any) -> Any:
        if isinstance(self.datasets, dict):
            return {key: dataset[index] for key, dataset in self.datasets.items()}
        return tuple(dataset[index] for dataset in self.datasets)

    def __len__(self) -> int:
        first: Sequence[Any] = next(iter(self.datasets.values() if isinstance(self.datasets, dict) else self.datasets))
        return len(first)


class ConcatDataset(Dataset[T]):
    """Data sets one after the other; ValueError for none of them.

    >>> ConcatDataset(["ab", "cd"])[2]
    'c'
    """

    datasets: list[Any]
    cumulative_sizes: list[int]

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError("datasets should not be an empty iterable")
        if any(isinstance(d, IterableDataset) for d in self.datasets):
            raise TypeError("ConcatDataset does not support IterableDataset: use ChainDataset")
        self.cumulative_sizes = list(accumulate(len(d) for d in self.datasets))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: Any) -> T:
        if index < 0:
            if -index > len(self):
                raise ValueError("absolute value of index should not exceed dataset length")
            index += len(self)
        which = bisect_right(self.cumulative_sizes, index)
        item: T = self.datasets[which][index - (self.cumulative_sizes[which - 1] if which else 0)]
        return item


class ChainDataset(IterableDataset[T]):
    """Iterable data sets one after the other; TypeError when another kind's turn comes."""

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = datasets

    def __iter__(self) -> Iterator[T]:
        for dataset in self._checked():
            yield from dataset

    def __len__(self) -> int:
        return sum(len(dataset) for dataset in self._checked())

    def _checked(self) -> Iterator[Any]:
        for dataset in self.datasets:
            if not isinstance(dataset, IterableDataset):
                raise TypeError(f"ChainDataset only supports IterableDataset, not {type(dataset).__name__}")
            yield dataset


class Subset(Dataset[T]):
    """Some items of a data set.

    Parameters
    ----------
    dataset: the whole.
    indices: which of its items, in order.

    >>> Subset("abcd", [3, 1])[0]
    'd'
    """

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = indices

    def __getitem__(self, index: Any) -> T:
        item: T = self.dataset[[self.indices[k] for k in index] if isinstance(index, list) else self.indices[index]]
        return item

    def __len__(self) -> int:
        return len(self.indices)


def random_split(dataset: Any, lengths: Sequence[float], generator: Generator | None = None) -> list[Subset[Any]]:
    """Subsets that share the items of a data set out at random.

    Parameters
    ----------
    dataset: what has a length and items.
    lengths: how many items each subset gets, or which fractions; what fractions leave goes round.
    generator: where the randomness comes from.

    Raises ValueError for lengths that do not add up, and for fractions outside [0, 1].

    >>> parts = random_split(range(10), [0.7, 0.3])
    >>> [len(part) for part in parts], sorted(k for part in parts for k in part.indices)
    ([7, 3], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    """
    size = len(dataset)
    counts = _counts(size, lengths) if math.isclose(sum(lengths), 1) and sum(lengths) <= 1 else [int(n) for n in lengths]
    if sum(counts) != size:
        raise ValueError(
            f"Sum of input lengths does not equal the length of the input dataset! It is {sum(counts)}, not {size}"
        )
    order = source(generator).permutation(size).tolist()
    return [Subset(dataset, order[end - count : end]) for end, count in zip(accumulate(counts), counts, strict=True)]


def _counts(size: int, fractions: Sequence[float]) -> list[int]:
    for index, fraction in enumerate(fractions):
        if not 0 <= fraction <= 1:
            raise ValueError(f"Fraction at index {index} is not between 0 and 1")
    counts = [math.floor(size * fraction) for fraction in fractions]
    for k in range(size - sum(counts)):
        counts[k % len(counts)] += 1
    for index, count in enumerate(counts):
        if count == 0:
            warnings.warn(f"Length of split at index {index} is 0. This might result in an empty dataset.", stacklevel=3)
    return counts
