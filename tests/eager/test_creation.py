"""Constructors; values and dtypes were recorded from PyTorch 2.13, and are compared with it where it is installed."""

import numpy as np
import pytest

from tracegrad.eager import creation, dtypes, ranges
from tracegrad.eager.creation import (
    as_tensor,
    asarray,
    empty,
    empty_like,
    from_numpy,
    full,
    full_like,
    new_empty,
    new_full,
    new_ones,
    new_tensor,
    new_zeros,
    ones,
    ones_like,
    scalar_tensor,
    zeros,
    zeros_like,
)
from tracegrad.eager.modes import inference_mode
from tracegrad.eager.ranges import arange, eye, linspace, logspace, tril_indices, triu_indices
from tracegrad.eager.tensor import Tensor, tensor
from tracegrad.errors import DeviceError, DtypeError, ShapeError, TapeError


@pytest.fixture(autouse=True)
def fresh_default():
    yield
    dtypes.set_default_dtype(dtypes.float32)


def check(x, values, dtype="float32"):
    assert type(x) is Tensor
    assert x.dtype == np.dtype(dtype)
    assert x.tolist() == values
    assert x.is_leaf


# -- constants --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [zeros, ones, empty])
def test_sizes_as_integers_or_as_one_tuple(make):
    for x in (make(2, 3), make((2, 3)), make([2, 3]), make(size=(2, 3)), make(tensor(2), np.int64(3)), make((tensor(2), 3))):
        assert x.shape == (2, 3)
        assert x.dtype == np.float32
    assert make(()).shape == ()
    assert make(0, 2).shape == (0, 2)
    assert make(size=3).shape == (3,)
    assert make(2, dtype=np.int16).dtype == np.int16
    assert make(2, requires_grad=True).requires_grad
    dtypes.set_default_dtype(np.float64)
    assert make(1).dtype == np.float64


def test_values():
    check(zeros(2), [0.0, 0.0])
    check(ones(2, dtype=bool), [True, True], bool)
    check(scalar_tensor(3), 3.0)
    check(scalar_tensor(3, dtype=int), 3, "int64")


@pytest.mark.parametrize(
    ("value", "dtype"), [(1, "int64"), (True, "bool"), (1.5, "float32"), (1j, "complex64"), (np.float64(2), "float32")]
)
def test_full_takes_its_dtype_from_the_value(value, dtype):
    check(full((2,), value), [value, value], dtype)
    check(full((2,), value, dtype=np.complex64), [value, value], "complex64")
    check(full((), tensor(3)), 3, "int64")
    dtypes.set_default_dtype(np.float64)
    assert full((1,), 0.5).dtype == np.float64
    assert full((1,), 1j).dtype == np.complex128


# (value, dtype, what PyTorch makes of it; None for an error)
HELD = [
    (2.7, "int64", 2),
    (-2.7, "int8", -2),
    (-1, "uint8", 255),
    (-255, "uint8", 1),
    (-256, "uint8", None),
    (256, "uint8", None),
    (-1.0, "uint8", None),
    (127.5, "uint8", 127),
    (128, "int8", None),
    (-128, "int8", -128),
    (-129, "int8", None),
    (float("nan"), "int32", None),
    (1e40, "float32", None),
    (float("inf"), "float32", float("inf")),
    (1e40, "complex64", None),
    (1j, "float32", None),
    (2 + 0j, "float32", 2.0),
    (2 + 0j, "int64", 2),
    (2.7, "bool", True),
    (0.0, "bool", False),
]


@pytest.mark.parametrize(("value", "dtype", "expected"), HELD)
def test_numbers_that_a_dtype_holds(value, dtype, expected):
    if expected is None:
        with pytest.raises(DtypeError, match=f"value cannot be converted to type {dtype} without overflow"):
            full((1,), value, dtype=dtype)
    else:
        check(full((1,), value, dtype=dtype), [expected], dtype)


def test_like():
    x = tensor(np.array([[1, 2, 3]], np.int16))
    check(zeros_like(x), [[0, 0, 0]], "int16")
    check(ones_like(x), [[1, 1, 1]], "int16")
    check(full_like(x, 3.5), [[3, 3, 3]], "int16")
    check(full_like(x, 3.5, dtype=np.float64), [[3.5, 3.5, 3.5]], "float64")
    check(zeros_like(x, dtype=bool), [[False] * 3], bool)
    assert empty_like(x).shape == (1, 3)
    assert not ones_like(ones(2, requires_grad=True)).requires_grad
    assert ones_like(ones(2), requires_grad=True).requires_grad
    # a view that repeats its elements has no layout to keep
    repeated = from_numpy(np.broadcast_to(np.float32(1), (3, 2)))
    zeros_like(repeated)[0, 0] = 5.0
    assert repeated.tolist() == [[1, 1]] * 3


def test_new():
    x = ones(2, dtype=np.int32)
    check(new_zeros(x, 3), [0, 0, 0], "int32")
    check(new_zeros(x, (1, 2), dtype=float), [[0.0, 0.0]], "float64")
    check(new_ones(x, size=(2,)), [1, 1], "int32")
    check(new_full(x, (2,), 3.5), [3, 3], "int32")
    assert new_empty(x, 2, 3).shape == (2, 3)
    check(new_tensor(ones(1), [1, 2]), [1.0, 2.0])
    assert new_tensor(ones(1), [1, 2], requires_grad=True).requires_grad


def test_made_in_inference_mode():
    with inference_mode():
        x = zeros(2)
    assert x.is_inference()
    assert not zeros(2).is_inference()


# -- from data --------------------------------------------------------------------------------------------------------


def test_from_numpy_shares_memory():
    a = np.zeros((2, 3))
    x = from_numpy(a)
    assert x.dtype == np.float64
    a[0, 1] = 5
    x[1, 2] = 7.0
    assert a.tolist() == x.tolist() == [[0, 5, 0], [0, 0, 7]]
    assert x.numpy() is a
    turned = from_numpy(a[::-1])
    turned[0, 0] = 9.0
    assert a[1, 0] == 9
    assert from_numpy(np.array(3)).shape == ()


def test_a_tensor_of_a_read_only_array_refuses_writes():
    a = np.zeros(2)
    a.flags.writeable = False
    x = from_numpy(a)
    with pytest.raises(TapeError, match="unsupported operation"):
        x += 1


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ([1], r"expected np.ndarray \(got list\)"),
        (np.float64(3), r"expected np.ndarray \(got numpy.float64\)"),
        (np.array(["a"]), r"can't convert np.ndarray of type numpy.str_"),
        (np.array([None]), r"can't convert np.ndarray of type numpy.object_"),
        (np.array([1, 2], ">i4"), "given numpy array has byte order different from the native byte order"),
        (np.ones(2, np.float16), "tensors have no dtype float16"),
        (np.ones(2, np.longdouble), "tensors have no dtype"),
    ],
)
def test_from_numpy_refuses(data, text):
    with pytest.raises(DtypeError, match=text):
        from_numpy(data)


def test_as_tensor():
    x = ones(2)
    assert as_tensor(x) is x
    a = np.zeros(2)
    assert as_tensor(a).numpy() is a
    check(as_tensor(a, np.float32), [0.0, 0.0])
    check(as_tensor([1.0, 2]), [1.0, 2.0])
    check(as_tensor(3), 3, "int64")
    check(as_tensor(np.float64(3)), 3.0, "float64")
    check(as_tensor(np.array([1, 2], ">i4")), [1, 2], "int32")
    w = ones(2, requires_grad=True)
    as_tensor(w, np.float64).sum().backward()
    assert w.grad.tolist() == [1, 1]
    assert w.grad.dtype == np.float32


def test_asarray():
    a = np.zeros(2, np.float32)
    assert asarray(a).numpy() is a
    assert asarray(a, copy=False).numpy() is a
    assert asarray(a, copy=True).numpy() is not a
    assert not np.may_share_memory(asarray(a, copy=True).numpy(), a)
    x = tensor([1.0])
    assert asarray(x) is x
    assert not np.may_share_memory(asarray(x, copy=True).numpy(), x.numpy())
    check(asarray([1, 2], dtype=float), [1.0, 2.0], "float64")
    w = asarray(a, requires_grad=True)
    assert w.requires_grad
    assert w.is_leaf
    assert not asarray(w).requires_grad
    assert asarray(x, requires_grad=True) is not x
    assert not x.requires_grad
    with pytest.raises(ShapeError, match="can't alias arbitrary sequence into a tensor"):
        asarray([1], copy=False)
    with pytest.raises(ShapeError, match="can't alias ndarray into a tensor"):
        asarray(a, dtype=np.float64, copy=False)


# -- rows and matrices ------------------------------------------------------------------------------------------------


def test_arange():
    check(arange(3), [0, 1, 2], "int64")
    check(arange(3.0), [0.0, 1.0, 2.0])
    check(arange(1, 5, 2), [1, 3], "int64")
    check(arange(1, 2, 0.5), [1.0, 1.5])
    check(arange(5, 1, -1), [5, 4, 3, 2], "int64")
    check(arange(start=1, end=3), [1, 2], "int64")
    check(arange(end=3), [0, 1, 2], "int64")
    check(arange(2, 2), [], "int64")
    check(arange(True), [0], "int64")
    check(arange(tensor(2.0)), [0.0, 1.0])
    check(arange(np.float64(2)), [0.0, 1.0])
    check(arange(np.int32(2)), [0, 1], "int64")
    check(arange(3, dtype=float), [0.0, 1.0, 2.0], "float64")
    # bounds are cut to integers before they are counted from
    check(arange(0.5, 5.5, 1.5, dtype=int), [0, 1, 2, 3, 4], "int64")
    check(arange(1.7, 9.9, 2.9, dtype=np.int32), [1, 3, 5], "int32")
    check(arange(-2.5, 2.5, dtype=int), [-2, -1, 0, 1], "int64")
    check(arange(2**62, 2**62 + 2), [2**62, 2**62 + 1], "int64")
    dtypes.set_default_dtype(np.float64)
    check(arange(2.0), [0.0, 1.0], "float64")


def test_arange_rounds_as_pytorch():
    # recorded: torch.arange(0, 2, 0.1)
    expected = [
        0.0, 0.10000000149011612, 0.20000000298023224, 0.30000001192092896, 0.4000000059604645, 0.5, 0.6000000238418579,
        0.699999988079071, 0.800000011920929, 0.9000000357627869, 1.0, 1.100000023841858, 1.2000000476837158,
        1.2999999523162842, 1.399999976158142, 1.5, 1.600000023841858, 1.7000000476837158, 1.7999999523162842,
        1.899999976158142,
    ]  # fmt: skip
    check(arange(0, 2, 0.1), expected)


def test_linspace():
    check(linspace(0, 1, 5), [0.0, 0.25, 0.5, 0.75, 1.0])
    check(linspace(0, 10, 4, dtype=int), [0, 3, 6, 10], "int64")
    check(linspace(-5, 3.7, 6, dtype=np.int32), [-5, -3, -1, 0, 1, 3], "int32")
    check(linspace(3, 1, 1), [3.0])
    check(linspace(3, 1, 0), [])
    check(linspace(tensor(0.0), tensor(1.0), 2), [0.0, 1.0])
    check(linspace(0, 1j, 3), [0, 0.5j, 1j], "complex64")
    assert linspace(0, 1, 11, dtype=float).tolist()[3] == 0.30000000000000004
    assert all(np.isnan(linspace(0, float("inf"), 3).tolist()))


def test_logspace():
    check(logspace(0, 2, 3), [1.0, 10.0, 100.0])
    check(logspace(0, 2, 3, base=2), [1.0, 2.0, 4.0])
    check(logspace(0, 3, 4, 2, dtype=int), [1, 2, 4, 8], "int64")
    check(logspace(0, 4, 6, base=3, dtype=int), [1, 2, 5, 13, 33, 81], "int64")
    check(logspace(0, 1, 0), [])


def test_matrices_and_indices():
    check(eye(2), [[1.0, 0.0], [0.0, 1.0]])
    check(eye(2, 3, dtype=bool), [[True, False, False], [False, True, False]], bool)
    check(eye(0), [])
    check(tril_indices(3, 3), [[0, 1, 1, 2, 2, 2], [0, 0, 1, 0, 1, 2]], "int64")
    check(triu_indices(2, 3, 1), [[0, 0, 1], [1, 2, 2]], "int64")
    check(tril_indices(2, 3, -1, dtype=np.int32), [[1], [0]], "int32")


REFUSED = [
    (lambda: zeros(-1), ShapeError, "Trying to create tensor with negative dimension -1"),
    (lambda: zeros(2.5), DtypeError, r"zeros\(\): argument 'size' must be tuple of ints, but found element of type float"),
    (lambda: zeros(2, dtype=int, requires_grad=True), TapeError, "only Tensors of floating point and complex dtype"),
    (lambda: full(2, 1), DtypeError, r"full\(\): argument 'size' \(position 1\) must be tuple of ints, not int"),
    (lambda: full((2,), "a"), DtypeError, r"full\(\): argument 'fill_value' must be Number, not str"),
    (lambda: full((2,), ones(2)), DtypeError, r"full\(\): argument 'fill_value' must be Number, not Tensor"),
    (lambda: full((2,), None), DtypeError, r"full\(\): argument 'fill_value' must be Number, not NoneType"),
    (lambda: zeros_like([1]), DtypeError, r"zeros_like\(\): argument 'input' \(position 1\) must be Tensor, not list"),
    (lambda: arange(5, 1), ShapeError, "upper bound and lower bound inconsistent with step sign"),
    (lambda: arange(1, 5, 0), ShapeError, "step must be nonzero"),
    (lambda: arange(0.5, 3.5, 0.5, dtype=int), ShapeError, "step must be nonzero"),
    (lambda: arange(float("inf")), ShapeError, "unsupported range: 0 -> inf"),
    (lambda: arange("a"), DtypeError, r"arange\(\): argument 'end' must be Number, not str"),
    (lambda: arange(3j), DtypeError, r"arange\(\) has no complex numbers"),
    (lambda: arange(3, dtype=bool), DtypeError, '"arange_cpu" not implemented for bool'),
    (lambda: linspace(3, 1, -1), ShapeError, "number of steps must be non-negative"),
    (lambda: linspace(3, 1, 2.5), DtypeError, r"linspace\(\): argument 'steps' must be int, not float"),
    (lambda: linspace(3, 1, 2, dtype=bool), DtypeError, '"linspace_cpu" not implemented for bool'),
    (lambda: eye(-1), ShapeError, "n must be greater or equal to 0, got -1"),
    (lambda: eye(2, -1), ShapeError, "m must be greater or equal to 0, got -1"),
    (lambda: eye(2.5), DtypeError, r"eye\(\): argument 'n' must be int, not float"),
    (lambda: tril_indices(-1, 3), ShapeError, "row must be greater or equal to 0, got -1"),
    (lambda: ones(1, device="cuda"), DeviceError, "tracegrad computes on the CPU"),
]


@pytest.mark.parametrize(("call", "error", "text"), REFUSED)
def test_refused(call, error, text):
    with pytest.raises(error, match=text) as caught:
        call()
    assert caught.value.fix
    assert "test_creation.py" in str(caught.value)


@pytest.mark.parametrize("name", sorted(n for m in (creation, ranges) for n in m.__all__ if n not in {"from_numpy"}))
def test_every_constructor_checks_the_device(name):
    make = getattr(creation, name, None) or getattr(ranges, name)
    arguments = {
        "arange": (3,), "as_tensor": (1,), "asarray": (1,), "eye": (2,), "full": ((2,), 1), "full_like": (ones(1), 1),
        "linspace": (0, 1, 2), "logspace": (0, 1, 2), "new_full": (ones(1), (2,), 1), "new_tensor": (ones(1), 1),
        "scalar_tensor": (1,), "tril_indices": (2, 2), "triu_indices": (2, 2),
    }.get(name, (ones(1),) if name.endswith("like") else (ones(1), 2) if name.startswith("new") else (2,))  # fmt: skip
    assert make(*arguments, device="cpu").is_leaf
    with pytest.raises(DeviceError):
        make(*arguments, device="cuda")


# -- against PyTorch --------------------------------------------------------------------------------------------------


def test_rows_against_pytorch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    for _ in range(200):
        name = str(rng.choice(["float32", "float64"]))
        first, last = rng.normal(size=2) * 10 ** rng.uniform(-2, 3)
        steps = int(rng.integers(0, 100))
        theirs = torch.linspace(first, last, steps, dtype=getattr(torch, name)).numpy()
        np.testing.assert_allclose(linspace(first, last, steps, dtype=name).numpy(), theirs, rtol=np.finfo(name).eps, atol=0)
        stride = (last - first) / max(steps, 1)
        theirs = torch.arange(first, last, stride, dtype=getattr(torch, name)).numpy()
        ours = arange(first, last, stride, dtype=name).numpy()
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=np.finfo(name).eps * abs(theirs).max())
        low, high = sorted(rng.normal(size=2))
        theirs = torch.logspace(low, high, steps, dtype=getattr(torch, name)).numpy()
        np.testing.assert_allclose(logspace(low, high, steps, dtype=name).numpy(), theirs, rtol=16 * np.finfo(name).eps)


def test_integer_ranges_against_pytorch():
    torch = pytest.importorskip("torch")

    def values(module, *arguments):
        try:
            return module.arange(*arguments).tolist()
        except (RuntimeError, ValueError):
            return "refused"

    for first in range(-4, 5, 2):
        for last in range(-4, 5):
            for stride in (-3, -1, 0, 1, 2, 0.75):
                assert values(ranges, first, last, stride) == values(torch, first, last, stride), (first, last, stride)
