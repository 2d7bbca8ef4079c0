"""Making tensors, their text, their way to Python and NumPy, promotion."""

import numpy as np
import pytest

from tracegrad.eager import LongTensor, Tensor, tensor
from tracegrad.errors import DtypeError, TapeError

REPRS = [
    (np.float32(25), "tensor(25.)"),
    ([4.0, 5, 6], "tensor([4., 5., 6.])"),
    ([1.5, -2], "tensor([ 1.5000, -2.0000])"),
    ([1e-5, 1.0], "tensor([1.0000e-05, 1.0000e+00])"),
    ([1.0, 2000.0], "tensor([1.0000e+00, 2.0000e+03])"),
    ([1.0, float("inf"), float("nan")], "tensor([1., inf, nan])"),
    ([0.5, float("-inf")], "tensor([0.5000,   -inf])"),
    ([True, False], "tensor([ True, False])"),
    (3, "tensor(3)"),
    ([10, -2], "tensor([10, -2])"),
    (np.array([1.5, 2.0]), "tensor([1.5000, 2.0000], dtype=torch.float64)"),
    (np.arange(4, dtype=np.int32).reshape(2, 2), "tensor([[0, 1],\n        [2, 3]], dtype=torch.int32)"),
    (np.zeros((0, 3), np.float32), "tensor([], size=(0, 3))"),
    ([], "tensor([])"),
    (np.arange(2000), "tensor([   0,    1,    2,  ..., 1997, 1998, 1999])"),
    (
        np.arange(24).reshape(2, 3, 4),
        (
            "tensor([[[ 0,  1,  2,  3],\n         [ 4,  5,  6,  7],\n         [ 8,  9, 10, 11]],\n\n"
            "        [[12, 13, 14, 15],\n         [16, 17, 18, 19],\n         [20, 21, 22, 23]]])"
        ),
    ),
    (
        np.arange(20) + 0.5,
        (
            "tensor([ 0.5000,  1.5000,  2.5000,  3.5000,  4.5000,  5.5000,  6.5000,  7.5000,\n"
            "         8.5000,  9.5000, 10.5000, 11.5000, 12.5000, 13.5000, 14.5000, 15.5000,\n"
            "        16.5000, 17.5000, 18.5000, 19.5000], dtype=torch.float64)"
        ),
    ),
]


@pytest.mark.parametrize(("data", "text"), REPRS)
def test_repr_as_pytorch_prints_it(data, text):
    assert repr(tensor(data)) == text


@pytest.mark.parametrize("data", [data for data, _ in REPRS])
def test_repr_against_pytorch_itself(data):
    torch = pytest.importorskip("torch")
    assert repr(tensor(data)) == repr(torch.tensor(data))


def test_repr_of_the_graph():
    x = tensor(5.0, requires_grad=True)
    assert repr(x) == "tensor(5., requires_grad=True)"
    assert repr(x**2) == "tensor(25., grad_fn=<PowBackward0>)"
    assert repr(tensor([[1.0, 2]], requires_grad=True).sum(0)) == "tensor([1., 2.], grad_fn=<SumBackward1>)"
    assert repr(tensor([1.0], requires_grad=True).sum()) == "tensor(1., grad_fn=<SumBackward0>)"
    assert f"{tensor(1.25):.1f}" == "1.2"


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1.0, "float32"),
        ([1, 2.5], "float32"),
        ([1, 2], "int64"),
        ([True], "bool"),
        (np.ones(2), "float64"),
        ([np.ones(2), np.ones(2)], "float64"),
        (np.ones(2, np.int32), "int32"),
        (np.ones(2, ">f4"), "float32"),
    ],
)
def test_dtypes(data, dtype):
    assert tensor(data).dtype == np.dtype(dtype)


def test_data_are_copied():
    a = np.ones(3)
    t = tensor(a)
    a[0] = 7
    assert t.tolist() == [1.0, 1.0, 1.0]
    u = tensor(t)
    u[0] = 5.0
    assert t[0].item() == 1.0
    c = t.copy()
    c += 1
    assert t.tolist() == [1.0, 1.0, 1.0]


def test_ways_out():
    t = tensor([[1.0, 2.0]])
    t.numpy()[0, 0] = 9.0
    assert t.tolist() == [[9.0, 2.0]]
    assert np.asarray(t) is t._array
    assert (float(tensor(2.5)), int(tensor(2.5)), bool(tensor([0.0]))) == (2.5, 2, False)
    assert [10, 20][tensor(1)] == 20
    assert len(t) == 1
    assert [row.tolist() for row in t] == [[9.0, 2.0]]
    assert (t.shape, t.ndim, t.size(), t.numel()) == ((1, 2), 2, (1, 2), 2)
    x = tensor([1.0, 2.0], requires_grad=True)
    for leave in (Tensor.numpy, np.asarray):
        with pytest.raises(TapeError, match=r"Can't call numpy\(\)(?s:.*)x.detach\(\).numpy\(\)"):
            leave(x)
    with pytest.raises(TapeError, match="2 elements"):
        x.item()
    with pytest.raises(TapeError, match="ambiguous"):
        bool(x > 0)
    with pytest.raises(DtypeError, match="index"):
        [1][tensor(1.0)]


def test_integers_cannot_require_grad():
    with pytest.raises(TapeError, match="floating point and complex dtype can require gradients, this one is int64"):
        tensor([1, 2], requires_grad=True)
    x = tensor([1.0], requires_grad=True)
    assert not (x > 0).requires_grad
    with pytest.raises(TapeError, match="of leaf variables"):
        (x * 2).requires_grad_(False)
    assert not x.requires_grad_(False).requires_grad


DIMENSIONED = {d: np.ones(2, d) for d in ("bool", "uint8", "int32", "int64", "float32", "float64")}
OTHERS = {
    **DIMENSIONED,
    **{f"0-d {d}": np.ones((), d) for d in DIMENSIONED},
    "True": True,
    "2": 2,
    "2.5": 2.5,
}
EXPECTED = {
    ("int64", "float32"): "float32",
    ("int64", "2.5"): "float32",
    ("int64", "0-d float64"): "float64",
    ("int32", "0-d int64"): "int32",
    ("float32", "0-d float64"): "float32",
    ("float32", "float64"): "float64",
    ("bool", "2"): "int64",
    ("uint8", "int32"): "int32",
    ("int32", "2"): "int32",
    ("bool", "0-d uint8"): "uint8",
}


def operand(make, x):
    return make(x) if isinstance(x, np.ndarray) else x


@pytest.mark.parametrize(("first", "second"), EXPECTED)
def test_promotion(first, second):
    x, y = tensor(DIMENSIONED[first]), operand(tensor, OTHERS[second])
    assert (x + y).dtype == np.dtype(EXPECTED[first, second])
    assert (y + x).dtype == np.dtype(EXPECTED[first, second])
    assert (x > y).dtype == np.dtype(bool)


@pytest.mark.parametrize("second", OTHERS)
@pytest.mark.parametrize("first", DIMENSIONED)
def test_promotion_against_pytorch_itself(first, second):
    torch = pytest.importorskip("torch")
    x, y = DIMENSIONED[first], OTHERS[second]
    for apply in (lambda a, b: a * b, lambda a, b: a / b, lambda a, b: b < a):
        ours, theirs = apply(tensor(x), operand(tensor, y)), apply(torch.tensor(x), operand(torch.tensor, y))
        assert ours.dtype == theirs.numpy().dtype
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_integers_become_floats_where_functions_need_them():
    assert np.exp(tensor([0, 1])).dtype == np.float32
    assert (tensor([1, 2]) / tensor([2, 2])).tolist() == [0.5, 1.0]
    assert (tensor([1, 2]) / 2).dtype == np.float32


def test_numpy_functions_give_tensors():
    x = tensor([1.0, 2.0, 3.0], requires_grad=True)
    results = [
        np.tanh(x),
        np.sum(x, axis=0),
        np.where(x > 1, x, 0.0),
        np.ones(3, np.float32) * x,
        np.float32(2) * x,
        np.concatenate([x, x]),
        np.add.reduce(x),
    ]
    assert all(isinstance(r, Tensor) and r.requires_grad and r.dtype == np.float32 for r in results)
    assert np.shape(x) == (3,)
    with pytest.raises(DtypeError, match=r"np.packbits has no op(?s:.*)detach"):
        np.packbits(x)
    with pytest.raises(DtypeError, match="out="):
        np.add(x, 1.0, out=np.zeros(3))


def test_indexing_by_tensors():
    x = tensor([1.0, 2.0, 3.0], requires_grad=True)
    assert x[tensor([2, 0])].tolist() == [3.0, 1.0]
    assert x[x > 1].tolist() == [2.0, 3.0]
    assert x[-1].item() == 3.0
    x[tensor(1)].backward()
    assert x.grad.tolist() == [0.0, 1.0, 0.0]


def test_unsupported_dtypes():
    with pytest.raises(DtypeError, match="float16"):
        tensor(np.ones(2, np.float16))
    with pytest.raises(DtypeError, match="not supported"):
        tensor("text")


def test_the_class_called_as_a_constructor_takes_sizes_or_data_as_pytorch_does():
    assert tuple(Tensor(2, 3).shape) == tuple(Tensor(tensor([[0.0] * 3] * 2).size()).shape) == (2, 3)
    assert tuple(Tensor(5).shape) == (5,)
    assert tuple(Tensor().shape) == (0,)
    for data in ([1, 2], [True, False], np.array([1.0, 2.0]), (1, 2), [tensor(1), tensor(2.0)]):
        assert Tensor(data).dtype == np.float32
    assert Tensor(tensor([1, 2])).dtype == np.int64
    with pytest.raises(TypeError, match="takes sizes, or one sequence of numbers"):
        Tensor([1.0], [2.0])
    with pytest.raises(TypeError, match="takes sizes or one sequence of numbers"):
        LongTensor([1], [2])


def test_numbers_in_texts():
    number = tensor(3.14159, requires_grad=True)
    assert f"{number:.2f} {tensor(3)} {tensor(3):3d}" == "3.14 3   3"
    assert f"{tensor([1, 2])}" == "tensor([1, 2])"
    with pytest.raises(TypeError, match="unsupported format string"):
        f"{tensor([1, 2]):.2f}"
