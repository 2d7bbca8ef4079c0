"""Data sets, samplers, batches and loaders: PyTorch's results, and its errors."""

import pickle
from collections import Counter, OrderedDict, UserDict, namedtuple

import numpy as np
import pytest

from tracegrad.eager import optim
from tracegrad.eager.generators import Generator, manual_seed
from tracegrad.eager.tensor import tensor
from tracegrad.eager.utils import data
from tracegrad.errors import ShapeError

Pair = namedtuple("Pair", ["x", "y"])


def rows(n=10):
    return data.TensorDataset(tensor(np.arange(3.0 * n).reshape(n, 3)), tensor(np.arange(n)))


def plain(value):
    """Tensors of either library as their class's name, dtype and numbers."""
    if hasattr(value, "detach"):
        return ("tensor", str(value.detach().numpy().dtype), value.detach().numpy().tolist())
    if isinstance(value, dict | UserDict):
        return (type(value).__name__, {key: plain(v) for key, v in value.items()})
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return (type(value).__name__, [plain(v) for v in value])
    return (type(value).__name__, [plain(v) for v in value]) if isinstance(value, list | tuple) else value


class Numbers(data.Dataset):
    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        return np.float32(index), {"square": index**2, "name": str(index)}


class Stream(data.IterableDataset):
    def __init__(self, n):
        self.n = n

    def __iter__(self):
        return iter(range(self.n))

    def __len__(self):
        return self.n


# -- collating --------------------------------------------------------------------------------------------------------


class Bag(list):
    """A list that knows more."""


BATCHES = {
    "tensors": lambda t: [t([1.0, 2.0]), t([3.0, 4.0])],
    "0-d tensors": lambda t: [t(1), t(2)],
    "arrays": lambda t: [np.ones((2, 1), np.int16), np.zeros((2, 1), np.int16)],
    "doubles": lambda t: [np.ones(2), np.zeros(2)],
    "floats": lambda t: [1.5, 2],
    "ints": lambda t: [1, 2],
    "bools": lambda t: [True, False],
    "int first": lambda t: [1, 2.5],
    "float32": lambda t: [np.float32(1), np.float32(2)],
    "float64": lambda t: [np.float64(1), np.float64(2)],
    "int32": lambda t: [np.int32(1), np.int32(2)],
    "bool_": lambda t: [np.bool_(True), np.bool_(False)],
    "strings": lambda t: ["a", "bc"],
    "bytes": lambda t: [b"a", b"bc"],
    "tuples": lambda t: [(1, 2.0, t(3.0)), (4, 5.0, t(6.0))],
    "lists": lambda t: [[1, "a"], [2, "b"]],
    "named tuples": lambda t: [Pair(1, 2.0), Pair(3, 4.0)],
    "dicts": lambda t: [{"x": 1, "y": [2.0, t(3)]}, {"y": [4.0, t(5)], "x": 6}],
    "ordered dicts": lambda t: [OrderedDict(x=1), OrderedDict(x=2)],
    "user dicts": lambda t: [UserDict(x=1), UserDict(x=2)],
    "bags": lambda t: [Bag([1, 2]), Bag([3, 4])],
    "ranges": lambda t: [range(2), range(1, 3)],
    "nested": lambda t: [((1, [2.0]), {"k": np.ones(1)}), ((3, [4.0]), {"k": np.zeros(1)})],
}


@pytest.mark.parametrize("name", BATCHES)
def test_collate_as_pytorch_does(name):
    torch = pytest.importorskip("torch")
    mine = data.default_collate(BATCHES[name](tensor))
    theirs = torch.utils.data.default_collate(BATCHES[name](torch.tensor))
    assert plain(mine) == plain(theirs)


@pytest.mark.parametrize("name", BATCHES)
def test_convert_as_pytorch_does(name):
    torch = pytest.importorskip("torch")
    mine = data.default_convert(BATCHES[name](tensor))
    theirs = torch.utils.data.default_convert(BATCHES[name](torch.tensor))
    assert plain(mine) == plain(theirs)


def test_collate_by_hand():
    found = data.default_collate([(1, {"x": 0.5}), (2, {"x": 1.5})])
    assert plain(found) == ("list", [("tensor", "int64", [1, 2]), ("dict", {"x": ("tensor", "float64", [0.5, 1.5])})])


def test_gradients_flow_through_a_collated_batch():
    a, b = tensor([1.0], requires_grad=True), tensor([2.0], requires_grad=True)
    batch = data.default_collate([a, b])
    assert batch.grad_fn.name() == "StackBackward0"
    (batch * batch).sum().backward()
    assert b.grad.tolist() == [4.0]


@pytest.mark.parametrize(
    ("batch", "error", "match"),
    [
        ([None], TypeError, "must contain tensors, numpy arrays, numbers, dicts or lists; found <class 'NoneType'>"),
        ([np.array(["a"])], TypeError, "found <U1"),
        ([[1], [1, 2]], RuntimeError, "each element in list of batch should be of equal size"),
        ([tensor([1.0]), tensor([1.0, 2.0])], ShapeError, "stack"),
    ],
)
def test_what_cannot_be_collated(batch, error, match):
    with pytest.raises(error, match=match):
        data.default_collate(batch)


# -- data sets --------------------------------------------------------------------------------------------------------


def test_data_sets():
    both = Numbers(3) + Numbers(2)
    assert isinstance(both, data.ConcatDataset)
    assert len(both) == 5
    assert [both[k][0] for k in (0, 2, 3, -1, -5)] == [0, 2, 0, 1, 0]
    with pytest.raises(ValueError, match="absolute value of index should not exceed"):
        both[-6]
    with pytest.raises(ValueError, match="should not be an empty iterable"):
        data.ConcatDataset([])
    with pytest.raises(TypeError, match="does not support IterableDataset"):
        data.ConcatDataset([Stream(2)])
    chained = Stream(2) + Stream(3)
    assert list(chained) == [0, 1, 0, 1, 2]
    assert len(chained) == 5
    with pytest.raises(TypeError, match="only supports IterableDataset, not Numbers"):
        list(data.ChainDataset([Numbers(2)]))
    stacked = data.StackDataset(Numbers(2), [5, 6])
    assert stacked[1][1] == 6
    assert len(stacked) == len(data.StackDataset(a=[1, 2])) == 2
    with pytest.raises(ValueError, match="not both"):
        data.StackDataset([1], x=[1])
    with pytest.raises(ValueError, match="At least one dataset"):
        data.StackDataset()
    with pytest.raises(ValueError, match=r"Size mismatch between datasets: their lengths are \[1, 2\]"):
        data.StackDataset([1], [1, 2])
    with pytest.raises(NotImplementedError, match="should implement __getitem__"):
        data.Dataset()[0]
    with pytest.raises(NotImplementedError, match="should implement __iter__"):
        iter(data.IterableDataset())


def test_tensor_datasets():
    (x, y) = rows()[2]
    assert (x.tolist(), y.tolist()) == ([6.0, 7.0, 8.0], 2)
    assert rows()[1:3][1].tolist() == [1, 2]
    with pytest.raises(
        ShapeError, match=r"Size mismatch between tensors: number 0 has shape \(2,\), number 1 has shape \(3,\)"
    ):
        data.TensorDataset(tensor([1.0, 2.0]), tensor([1.0, 2.0, 3.0]))
    part = data.Subset(rows(), [7, 3])
    assert part[1][1].item() == 3
    assert part[[1, 0]][1].tolist() == [3, 7]
    assert len(part) == 2


def test_random_splits():
    parts = data.random_split(rows(), [3, 7], generator=Generator().manual_seed(0))
    again = data.random_split(rows(), [3, 7], generator=Generator().manual_seed(0))
    assert [len(part) for part in parts] == [3, 7]
    assert parts[0].indices == again[0].indices
    assert sorted(parts[0].indices + parts[1].indices) == list(range(10))
    assert [len(part) for part in data.random_split(range(10), [0.35, 0.35, 0.3])] == [4, 3, 3]
    with pytest.raises(ValueError, match="does not equal the length of the input dataset! It is 9, not 10"):
        data.random_split(rows(), [4, 5])
    with pytest.raises(ValueError, match="Fraction at index 0 is not between 0 and 1"):
        data.random_split(rows(), [1.5, -0.5])
    with pytest.warns(UserWarning, match="Length of split at index 1 is 0"):
        data.random_split(range(1), [0.5, 0.5])


# -- samplers ---------------------------------------------------------------------------------------------------------


def test_samplers():
    assert list(data.SequentialSampler("abc")) == [0, 1, 2]
    shuffled = list(data.RandomSampler(range(100)))
    assert sorted(shuffled) == list(range(100)) != shuffled
    assert len(data.RandomSampler(range(10), num_samples=25)) == 25
    assert set(Counter(data.RandomSampler(range(10), num_samples=25)).values()) == {2, 3}
    assert set(data.RandomSampler(range(3), replacement=True, num_samples=200)) == {0, 1, 2}
    assert sorted(data.SubsetRandomSampler([3, 1, 4])) == [1, 3, 4]
    assert len(data.SubsetRandomSampler([3, 1, 4])) == 3
    counts = Counter(data.WeightedRandomSampler([1, 0, 3], 4000, generator=Generator().manual_seed(1)))
    assert 900 < counts[0] < 1100
    assert counts[1] == 0
    assert sorted(data.WeightedRandomSampler(tensor([1.0, 2.0]), 2, replacement=False)) == [0, 1]
    assert list(data.BatchSampler(range(5), 2, True)) == [[0, 1], [2, 3]]
    assert list(data.BatchSampler(range(5), 2, False)) == [[0, 1], [2, 3], [4]]
    assert len(data.BatchSampler(range(5), 2, True)) == 2
    assert len(data.BatchSampler(range(5), 2, False)) == 3
    with pytest.raises(NotImplementedError, match="should implement __iter__"):
        iter(data.Sampler())


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: data.RandomSampler([]), ValueError, "num_samples should be a positive integer value, but got num_samples=0"),
        (lambda: data.RandomSampler([1], replacement=1), TypeError, "replacement should be a boolean value"),
        (lambda: data.WeightedRandomSampler([1.0], 1.5), ValueError, "but got num_samples=1.5"),
        (lambda: data.WeightedRandomSampler([[1.0]], 1), ValueError, r"1d sequence but given weights have shape \(1, 1\)"),
        (lambda: data.WeightedRandomSampler([1.0], 1, 0), ValueError, "replacement should be a boolean"),
        (lambda: data.BatchSampler([1], 0, False), ValueError, "batch_size should be a positive integer .* batch_size=0"),
        (lambda: data.BatchSampler([1], 1, 1), ValueError, "drop_last should be a boolean value, but got drop_last=1"),
    ],
)
def test_samplers_refuse(make, error, match):
    with pytest.raises(error, match=match):
        make()


# -- loaders ----------------------------------------------------------------------------------------------------------


def test_rows_at_once_are_rows_stacked():
    class Same(data.TensorDataset):
        """Any class of one's own goes the long way."""

    short = list(data.DataLoader(rows(), batch_size=4))
    long = list(data.DataLoader(Same(*rows().tensors), batch_size=4))
    assert plain(short) == plain(long)
    part = data.Subset(data.Subset(rows(), [8, 1, 5, 2]), [3, 0, 1])
    assert plain(list(data.DataLoader(part, 2))) == plain(
        list(data.DataLoader(data.Subset(data.Subset(Same(*rows().tensors), [8, 1, 5, 2]), [3, 0, 1]), 2))
    )
    batch = next(iter(data.DataLoader(rows(), batch_size=4)))
    batch[0][...] = -1.0  # a batch is no view of the data
    assert rows()[0][0].tolist() == [0.0, 1.0, 2.0]
    assert isinstance(batch, list)


def test_rows_that_require_grad_are_stacked():
    x = tensor([1.0, 2.0, 3.0], requires_grad=True)
    (batch,) = next(iter(data.DataLoader(data.TensorDataset(x), batch_size=2)))
    assert batch.grad_fn.name() == "StackBackward0"
    batch.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0, 0.0]


@pytest.mark.parametrize("options", [{}, {"batch_size": 3}, {"batch_size": 4, "drop_last": True}, {"batch_size": None}])
@pytest.mark.parametrize("kind", ["rows", "numbers", "stream"])
def test_loaders_as_pytorch_has_them(kind, options):
    torch = pytest.importorskip("torch")
    theirs_rows = torch.utils.data.TensorDataset(*[torch.tensor(t.numpy()) for t in rows().tensors])

    class TheirStream(torch.utils.data.IterableDataset):
        __iter__, __len__ = Stream.__iter__, Stream.__len__
        n = 10

    mine = {"rows": rows(), "numbers": Numbers(10), "stream": Stream(10)}[kind]
    theirs = {"rows": theirs_rows, "numbers": Numbers(10), "stream": TheirStream()}[kind]
    a, b = data.DataLoader(mine, **options), torch.utils.data.DataLoader(theirs, **options)
    assert len(a) == len(b)
    assert plain(list(a)) == plain(list(b))
    assert plain(list(a)) == plain(list(b))  # again


def test_shuffling():
    manual_seed(0)
    loader = data.DataLoader(rows(), batch_size=3, shuffle=True)
    first, second = ([y.tolist() for _, y in loader] for _ in range(2))
    assert first != second
    assert sorted(k for batch in first for k in batch) == list(range(10))
    manual_seed(0)
    assert [y.tolist() for _, y in loader] == first
    seeded = [[y.tolist() for _, y in data.DataLoader(rows(), 3, True, generator=Generator().manual_seed(5))] for _ in range(2)]
    assert seeded[0] == seeded[1]


def test_orders_of_ones_own():
    loader = data.DataLoader(rows(), batch_size=2, sampler=[4, 2, 9])
    assert [y.tolist() for _, y in loader] == [[4, 2], [9]]
    assert len(loader) == 2
    loader = data.DataLoader(rows(), batch_sampler=[[1, 2, 3], [tensor(7)]], collate_fn=None)
    assert [y.tolist() for _, y in loader] == [[1, 2, 3], [7]]
    assert loader.batch_size is None
    loader = data.DataLoader(Numbers(4), 2, collate_fn=lambda items: [number for number, _ in items])
    assert list(loader) == [[0, 1], [2, 3]]


def test_items_fetched_together():
    class Together(Numbers):
        def __getitems__(self, indices):
            return [10 * k for k in indices]

    assert [b.tolist() for b in data.DataLoader(Together(3), 2)] == [[0, 10], [20]]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"num_workers": 2}, "num_workers=2: batches are made in the calling process, .* use num_workers=0"),
        ({"num_workers": -1}, "num_workers option should be non-negative"),
        ({"shuffle": True, "sampler": [1]}, "sampler option is mutually exclusive with shuffle"),
        ({"batch_size": 2, "batch_sampler": [[1]]}, "batch_sampler option is mutually exclusive with batch_size"),
        ({"shuffle": True, "batch_sampler": [[1]]}, "batch_sampler option is mutually exclusive"),
        ({"batch_size": None, "drop_last": True}, "mutually exclusive with drop_last"),
        ({"batch_size": 0}, "batch_size should be a positive integer value, but got batch_size=0"),
        ({"dataset": Stream(1), "shuffle": True}, "IterableDataset: expected unspecified shuffle option, but got shuffle=True"),
        ({"dataset": Stream(1), "sampler": [1]}, "expected unspecified sampler option"),
        ({"dataset": Stream(1), "batch_sampler": [[1]]}, "expected unspecified batch_sampler option"),
    ],
)
def test_loaders_refuse(options, match):
    with pytest.raises(ValueError, match=match):
        data.DataLoader(**({"dataset": rows()} | options))


def test_a_loader_can_be_pickled():
    twin = pickle.loads(pickle.dumps(data.DataLoader(Numbers(4), 2)))
    assert plain(list(twin)) == plain(list(data.DataLoader(Numbers(4), 2)))


def test_a_training_loop():
    manual_seed(0)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, 3)).astype(np.float32)
    y = x @ np.array([1.0, -2.0, 0.5], np.float32)
    w = tensor(np.zeros(3, np.float32), requires_grad=True)
    optimizer = optim.Adam([w], lr=0.1)
    scheduler = optim.lr_scheduler.StepLR(optimizer, 20)
    for _ in range(30):
        for inputs, targets in data.DataLoader(data.TensorDataset(tensor(x), tensor(y)), batch_size=16, shuffle=True):
            optimizer.zero_grad()
            loss = ((inputs @ w - targets) ** 2).mean()
            loss.backward()
            optimizer.step()
        scheduler.step()
    np.testing.assert_allclose(w.detach().numpy(), [1.0, -2.0, 0.5], atol=1e-2)
