"""The loader: a data set, an order and a way to make batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from operator import index
from typing import Any

import numpy as np

from tracegrad.eager.generators import Generator
from tracegrad.eager.tensor import Tensor
from tracegrad.eager.utils.data.collate import default_collate, default_convert
from tracegrad.eager.utils.data.dataset import IterableDataset, Subset, TensorDataset
from tracegrad.eager.utils.data.sampler import BatchSampler, RandomSampler, SequentialSampler

__all__ = ["DataLoader"]


class DataLoader:
    """Batches of a data set; each iteration begins anew, shuffled anew if it is shuffled.

    Parameters
    ----------
    dataset: what has items by number and a length, or an :class:`IterableDataset`.
    batch_size: items per batch; None gives the items themselves.
    shuffle: whether they come in random order.
    sampler, batch_sampler: another order, of numbers or of lists of numbers.
    collate_fn: makes a batch of a list of items; :func:`default_collate` by default.
    drop_last: whether a last batch that is smaller is left out.
    generator: where the randomness comes from.
    num_workers: only 0, batches are made in the calling process.
    pin_memory, timeout, worker_init_fn, multiprocessing_context, prefetch_factor, persistent_workers, pin_memory_device,
        in_order: taken as in PyTorch and without effect.

    Raises ValueError for options that exclude each other.

    >>> from tracegrad.eager.utils.data import TensorDataset
    >>> loader = DataLoader(TensorDataset(Tensor([1.0, 2.0, 3.0]), Tensor([1, 2, 3]).long()), batch_size=2)
    >>> for x, y in loader:
    ...     print(x, y)
    tensor([1., 2.]) tensor([1, 2])
    tensor([3.]) tensor([3])
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[list[Any]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        if num_workers < 0:
            raise ValueError("num_workers option should be non-negative; use num_workers=0 to disable multiprocessing.")
        if num_workers:
            raise ValueError(
                f"num_workers={num_workers}: batches are made in the calling process, without workers; use num_workers=0"
            )
        self._iterable = isinstance(dataset, IterableDataset)
        if self._iterable:
            _no_order(shuffle, sampler, batch_sampler)
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError("batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last")
            batch_size, drop_last = None, False
        elif batch_size is None and drop_last:
            raise ValueError("batch_size=None option disables auto-batching and is mutually exclusive with drop_last")
        if sampler is None and not self._iterable:
            sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
        if batch_size is not None and not self._iterable and batch_sampler is None:
            batch_sampler = BatchSampler(sampler or (), batch_size, drop_last)
        self.dataset = dataset
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self.generator = generator
        self.num_workers = num_workers
        self.pin_memory = pin_memory
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.collate_fn = collate_fn or (default_convert if not self._batched else default_collate)

    @property
    def _batched(self) -> bool:
        return self.batch_size is not None or self.batch_sampler is not None

    def __iter__(self) -> Iterator[Any]:
        if self._iterable:
            return self._stream()
        if self.batch_sampler is None:
            return (self.collate_fn(self.dataset[k]) for k in self.sampler or ())
        fetch = _fetcher(self.dataset, self.collate_fn)
        return (fetch(numbers) for numbers in self.batch_sampler)

    def _stream(self) -> Iterator[Any]:
        items = iter(self.dataset)
        if self.batch_size is None:
            yield from map(self.collate_fn, items)
            return
        while batch := list(islice(items, self.batch_size)):
            if len(batch) < self.batch_size and self.drop_last:
                return
            yield self.collate_fn(batch)

    def __len__(self) -> int:
        """How many batches; TypeError where the data set or the sampler does not know."""
        if not self._iterable:
            return len(self.batch_sampler if self._batched else self.sampler)  # type: ignore[arg-type]
        items = len(self.dataset)
        if self.batch_size is None:
            return items
        return items // self.batch_size if self.drop_last else -(-items // self.batch_size)


def _no_order(shuffle: Any, sampler: Any, batch_sampler: Any) -> None:
    """ValueError for an order of what has none."""
    for name, value, given in [
        ("shuffle", shuffle, shuffle not in (None, False)),
        ("sampler", sampler, sampler is not None),
        ("batch_sampler", batch_sampler, batch_sampler is not None),
    ]:
        if given:
            raise ValueError(f"DataLoader with IterableDataset: expected unspecified {name} option, but got {name}={value}")


def _fetcher(dataset: Any, collate: Callable[[list[Any]], Any]) -> Callable[[list[Any]], Any]:
    """What makes the batch of some numbers of items."""
    rows = _rows(dataset) if collate is default_collate else None
    many = getattr(dataset, "__getitems__", None)

    def fetch(numbers: list[Any]) -> Any:
        if rows is not None:
            return rows(np.fromiter(map(index, numbers), np.intp))
        return collate(many(numbers) if callable(many) else [dataset[k] for k in numbers])

    return fetch


def _rows(dataset: Any) -> Callable[[Any], list[Tensor]] | None:
    """What takes the rows of a TensorDataset at once, which gives what stacking them would; None for other data sets."""
    if type(dataset) is Subset:
        inner = _rows(dataset.dataset)
        if inner is None:
            return None
        indices = np.fromiter(map(index, dataset.indices), np.intp)
        return lambda numbers: inner(indices[numbers])
    if type(dataset) is not TensorDataset or any(t.requires_grad for t in dataset.tensors):
        return None
    return lambda numbers: [Tensor._wrap(t._array[numbers]) for t in dataset.tensors]
