"""What tensors look like; the texts were recorded from PyTorch 2.13."""

import threading

import numpy as np
import pytest

from tracegrad.eager import dtypes
from tracegrad.eager.display import describe, get_printoptions, printoptions, set_printoptions
from tracegrad.errors import DtypeError


@pytest.fixture(autouse=True)
def fresh_options():
    yield
    set_printoptions(profile="default")
    dtypes.set_default_dtype(dtypes.float32)


PRINTED = [
    (np.float32(2.5), "tensor(2.5000)"),
    (np.float32(3), "tensor(3.)"),
    (np.array(-1), "tensor(-1)"),
    (np.array(True), "tensor(True)"),
    (np.array(0.1), "tensor(0.1000, dtype=torch.float64)"),
    (np.array(1 + 2j, np.complex64), "tensor(1.+2.j)"),
    (np.zeros(0, np.float32), "tensor([])"),
    (np.zeros((0, 3), np.float32), "tensor([], size=(0, 3))"),
    (np.zeros((2, 0), np.int64), "tensor([], size=(2, 0), dtype=torch.int64)"),
    (np.zeros(0, bool), "tensor([], dtype=torch.bool)"),
    (np.zeros(0), "tensor([], dtype=torch.float64)"),
    (np.array([1.0, 2.0, 3.0], np.float32), "tensor([1., 2., 3.])"),
    (np.array([0.5, 2.0, -3.0], np.float32), "tensor([ 0.5000,  2.0000, -3.0000])"),
    (np.array([1e-5, 1.0], np.float32), "tensor([1.0000e-05, 1.0000e+00])"),
    (np.array([1.0, 1001.5], np.float32), "tensor([1.0000e+00, 1.0015e+03])"),
    (np.array([1e9, 2.0], np.float32), "tensor([1.0000e+09, 2.0000e+00])"),
    (np.array([123456.0, 654321.0], np.float32), "tensor([123456., 654321.])"),
    (np.array([np.nan, 1.0, np.inf], np.float32), "tensor([nan, 1., inf])"),
    (np.array([np.nan, -np.inf, 0.5]), "tensor([   nan,   -inf, 0.5000], dtype=torch.float64)"),
    (np.array([np.nan, np.inf], np.float32), "tensor([nan, inf])"),
    (np.array([-0.0, 0.0], np.float32), "tensor([-0., 0.])"),
    (np.array([1e20, -1e-20, np.nan]), "tensor([ 1.0000e+20, -1.0000e-20,         nan], dtype=torch.float64)"),
    (np.array([0.0, 1e-7], np.float32), "tensor([0.0000e+00, 1.0000e-07])"),
    (np.arange(-2, 10), "tensor([-2, -1,  0,  1,  2,  3,  4,  5,  6,  7,  8,  9])"),
    (
        np.array([[1, -20], [300, 4]], np.int32),
        """\
tensor([[  1, -20],
        [300,   4]], dtype=torch.int32)""",
    ),
    (np.array([7, 255], np.uint8), "tensor([  7, 255], dtype=torch.uint8)"),
    (np.array([-3, 4], np.int8), "tensor([-3,  4], dtype=torch.int8)"),
    (np.array([1], np.int16), "tensor([1], dtype=torch.int16)"),
    (np.array([True, False]), "tensor([ True, False])"),
    (
        np.array([[True, True], [False, True]]),
        """\
tensor([[ True,  True],
        [False,  True]])""",
    ),
    (np.array([1 + 2j, -0.5 - 3j], np.complex64), "tensor([ 1.0000+2.j, -0.5000-3.j])"),
    (np.array([1 + 2j, -1 - 3j]), "tensor([ 1.+2.j, -1.-3.j], dtype=torch.complex128)"),
    (np.array([[1e-6 + 1j, 2 + 1e5j]], np.complex64), "tensor([[1.0000e-06+1.0000e+00j, 2.0000e+00+1.0000e+05j]])"),
    (np.array([complex(np.nan, -0.0), complex(0, np.inf)], np.complex64), "tensor([nan-0.j, 0.+infj])"),
    (
        np.arange(24.0, dtype=np.float32).reshape(2, 3, 4),
        """\
tensor([[[ 0.,  1.,  2.,  3.],
         [ 4.,  5.,  6.,  7.],
         [ 8.,  9., 10., 11.]],

        [[12., 13., 14., 15.],
         [16., 17., 18., 19.],
         [20., 21., 22., 23.]]])""",
    ),
    (
        np.arange(16, dtype=np.float32).reshape(2, 2, 2, 2) / 8,
        """\
tensor([[[[0.0000, 0.1250],
          [0.2500, 0.3750]],

         [[0.5000, 0.6250],
          [0.7500, 0.8750]]],


        [[[1.0000, 1.1250],
          [1.2500, 1.3750]],

         [[1.5000, 1.6250],
          [1.7500, 1.8750]]]])""",
    ),
    (np.arange(6).reshape(1, 1, 6), "tensor([[[0, 1, 2, 3, 4, 5]]])"),
    (
        np.linspace(-1, 1, 23, dtype=np.float32),
        """\
tensor([-1.0000, -0.9091, -0.8182, -0.7273, -0.6364, -0.5455, -0.4545, -0.3636,
        -0.2727, -0.1818, -0.0909,  0.0000,  0.0909,  0.1818,  0.2727,  0.3636,
         0.4545,  0.5455,  0.6364,  0.7273,  0.8182,  0.9091,  1.0000])""",
    ),
    (
        np.arange(30),
        """\
tensor([ 0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14, 15, 16, 17,
        18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29])""",
    ),
    (
        np.arange(40.0).reshape(2, 20) * 1000.5,
        """\
tensor([[    0.0000,  1000.5000,  2001.0000,  3001.5000,  4002.0000,  5002.5000,
          6003.0000,  7003.5000,  8004.0000,  9004.5000, 10005.0000, 11005.5000,
         12006.0000, 13006.5000, 14007.0000, 15007.5000, 16008.0000, 17008.5000,
         18009.0000, 19009.5000],
        [20010.0000, 21010.5000, 22011.0000, 23011.5000, 24012.0000, 25012.5000,
         26013.0000, 27013.5000, 28014.0000, 29014.5000, 30015.0000, 31015.5000,
         32016.0000, 33016.5000, 34017.0000, 35017.5000, 36018.0000, 37018.5000,
         38019.0000, 39019.5000]], dtype=torch.float64)""",
    ),
    (np.arange(1001), "tensor([   0,    1,    2,  ...,  998,  999, 1000])"),
    (np.arange(1001, dtype=np.float32) / 7, "tensor([  0.0000,   0.1429,   0.2857,  ..., 142.5714, 142.7143, 142.8571])"),
    (
        np.arange(2000.0, dtype=np.float32).reshape(2, 1000),
        """\
tensor([[0.0000e+00, 1.0000e+00, 2.0000e+00,  ..., 9.9700e+02, 9.9800e+02,
         9.9900e+02],
        [1.0000e+03, 1.0010e+03, 1.0020e+03,  ..., 1.9970e+03, 1.9980e+03,
         1.9990e+03]])""",
    ),
    (
        np.arange(10000).reshape(100, 100),
        """\
tensor([[   0,    1,    2,  ...,   97,   98,   99],
        [ 100,  101,  102,  ...,  197,  198,  199],
        [ 200,  201,  202,  ...,  297,  298,  299],
        ...,
        [9700, 9701, 9702,  ..., 9797, 9798, 9799],
        [9800, 9801, 9802,  ..., 9897, 9898, 9899],
        [9900, 9901, 9902,  ..., 9997, 9998, 9999]])""",
    ),
    (
        np.arange(1200).reshape(4, 300) % 2 == 0,
        """\
tensor([[ True, False,  True,  ..., False,  True, False],
        [ True, False,  True,  ..., False,  True, False],
        [ True, False,  True,  ..., False,  True, False],
        [ True, False,  True,  ..., False,  True, False]])""",
    ),
    (
        np.arange(1100, dtype=np.float32).reshape(10, 11, 10),
        """\
tensor([[[0.0000e+00, 1.0000e+00, 2.0000e+00,  ..., 7.0000e+00,
          8.0000e+00, 9.0000e+00],
         [1.0000e+01, 1.1000e+01, 1.2000e+01,  ..., 1.7000e+01,
          1.8000e+01, 1.9000e+01],
         [2.0000e+01, 2.1000e+01, 2.2000e+01,  ..., 2.7000e+01,
          2.8000e+01, 2.9000e+01],
         ...,
         [8.0000e+01, 8.1000e+01, 8.2000e+01,  ..., 8.7000e+01,
          8.8000e+01, 8.9000e+01],
         [9.0000e+01, 9.1000e+01, 9.2000e+01,  ..., 9.7000e+01,
          9.8000e+01, 9.9000e+01],
         [1.0000e+02, 1.0100e+02, 1.0200e+02,  ..., 1.0700e+02,
          1.0800e+02, 1.0900e+02]],

        [[1.1000e+02, 1.1100e+02, 1.1200e+02,  ..., 1.1700e+02,
          1.1800e+02, 1.1900e+02],
         [1.2000e+02, 1.2100e+02, 1.2200e+02,  ..., 1.2700e+02,
          1.2800e+02, 1.2900e+02],
         [1.3000e+02, 1.3100e+02, 1.3200e+02,  ..., 1.3700e+02,
          1.3800e+02, 1.3900e+02],
         ...,
         [1.9000e+02, 1.9100e+02, 1.9200e+02,  ..., 1.9700e+02,
          1.9800e+02, 1.9900e+02],
         [2.0000e+02, 2.0100e+02, 2.0200e+02,  ..., 2.0700e+02,
          2.0800e+02, 2.0900e+02],
         [2.1000e+02, 2.1100e+02, 2.1200e+02,  ..., 2.1700e+02,
          2.1800e+02, 2.1900e+02]],

        [[2.2000e+02, 2.2100e+02, 2.2200e+02,  ..., 2.2700e+02,
          2.2800e+02, 2.2900e+02],
         [2.3000e+02, 2.3100e+02, 2.3200e+02,  ..., 2.3700e+02,
          2.3800e+02, 2.3900e+02],
         [2.4000e+02, 2.4100e+02, 2.4200e+02,  ..., 2.4700e+02,
          2.4800e+02, 2.4900e+02],
         ...,
         [3.0000e+02, 3.0100e+02, 3.0200e+02,  ..., 3.0700e+02,
          3.0800e+02, 3.0900e+02],
         [3.1000e+02, 3.1100e+02, 3.1200e+02,  ..., 3.1700e+02,
          3.1800e+02, 3.1900e+02],
         [3.2000e+02, 3.2100e+02, 3.2200e+02,  ..., 3.2700e+02,
          3.2800e+02, 3.2900e+02]],

        ...,

        [[7.7000e+02, 7.7100e+02, 7.7200e+02,  ..., 7.7700e+02,
          7.7800e+02, 7.7900e+02],
         [7.8000e+02, 7.8100e+02, 7.8200e+02,  ..., 7.8700e+02,
          7.8800e+02, 7.8900e+02],
         [7.9000e+02, 7.9100e+02, 7.9200e+02,  ..., 7.9700e+02,
          7.9800e+02, 7.9900e+02],
         ...,
         [8.5000e+02, 8.5100e+02, 8.5200e+02,  ..., 8.5700e+02,
          8.5800e+02, 8.5900e+02],
         [8.6000e+02, 8.6100e+02, 8.6200e+02,  ..., 8.6700e+02,
          8.6800e+02, 8.6900e+02],
         [8.7000e+02, 8.7100e+02, 8.7200e+02,  ..., 8.7700e+02,
          8.7800e+02, 8.7900e+02]],

        [[8.8000e+02, 8.8100e+02, 8.8200e+02,  ..., 8.8700e+02,
          8.8800e+02, 8.8900e+02],
         [8.9000e+02, 8.9100e+02, 8.9200e+02,  ..., 8.9700e+02,
          8.9800e+02, 8.9900e+02],
         [9.0000e+02, 9.0100e+02, 9.0200e+02,  ..., 9.0700e+02,
          9.0800e+02, 9.0900e+02],
         ...,
         [9.6000e+02, 9.6100e+02, 9.6200e+02,  ..., 9.6700e+02,
          9.6800e+02, 9.6900e+02],
         [9.7000e+02, 9.7100e+02, 9.7200e+02,  ..., 9.7700e+02,
          9.7800e+02, 9.7900e+02],
         [9.8000e+02, 9.8100e+02, 9.8200e+02,  ..., 9.8700e+02,
          9.8800e+02, 9.8900e+02]],

        [[9.9000e+02, 9.9100e+02, 9.9200e+02,  ..., 9.9700e+02,
          9.9800e+02, 9.9900e+02],
         [1.0000e+03, 1.0010e+03, 1.0020e+03,  ..., 1.0070e+03,
          1.0080e+03, 1.0090e+03],
         [1.0100e+03, 1.0110e+03, 1.0120e+03,  ..., 1.0170e+03,
          1.0180e+03, 1.0190e+03],
         ...,
         [1.0700e+03, 1.0710e+03, 1.0720e+03,  ..., 1.0770e+03,
          1.0780e+03, 1.0790e+03],
         [1.0800e+03, 1.0810e+03, 1.0820e+03,  ..., 1.0870e+03,
          1.0880e+03, 1.0890e+03],
         [1.0900e+03, 1.0910e+03, 1.0920e+03,  ..., 1.0970e+03,
          1.0980e+03, 1.0990e+03]]])""",
    ),
    (
        np.arange(2002).reshape(1001, 2),
        """\
tensor([[   0,    1],
        [   2,    3],
        [   4,    5],
        ...,
        [1996, 1997],
        [1998, 1999],
        [2000, 2001]])""",
    ),
    (
        np.eye(3, dtype=np.float32),
        """\
tensor([[1., 0., 0.],
        [0., 1., 0.],
        [0., 0., 1.]])""",
    ),
    (
        np.array([[1e10, 1.0], [2.5, 1e-3]], np.float32),
        """\
tensor([[1.0000e+10, 1.0000e+00],
        [2.5000e+00, 1.0000e-03]])""",
    ),
    (
        np.arange(1500) * (1 - 2j),
        """\
tensor([0.0000e+00+0.0000e+00j, 1.0000e+00-2.0000e+00j, 2.0000e+00-4.0000e+00j,
         ..., 1.4970e+03-2.9940e+03j, 1.4980e+03-2.9960e+03j,
        1.4990e+03-2.9980e+03j], dtype=torch.complex128)""",
    ),
]


@pytest.mark.parametrize(("array", "text"), PRINTED)
def test_numbers(array, text):
    assert describe(np.asarray(array)) == text


NOTED = [
    (np.array([1.0, 2.0], np.float32), "", "tensor([1., 2.], requires_grad=True)"),
    (np.array(25.0, np.float32), "PowBackward0", "tensor(25., grad_fn=<PowBackward0>)"),
    (
        np.linspace(0, 1, 11, dtype=np.float32),
        "LongNameOfABackward",
        """\
tensor([0.0000, 0.1000, 0.2000, 0.3000, 0.4000, 0.5000, 0.6000, 0.7000, 0.8000,
        0.9000, 1.0000], grad_fn=<LongNameOfABackward>)""",
    ),
    (
        np.linspace(0, 1, 9),
        "CloneBackward0",
        """\
tensor([0.0000, 0.1250, 0.2500, 0.3750, 0.5000, 0.6250, 0.7500, 0.8750, 1.0000],
       dtype=torch.float64, grad_fn=<CloneBackward0>)""",
    ),
    (np.zeros((0, 2)), "", "tensor([], size=(0, 2), dtype=torch.float64, requires_grad=True)"),
]


@pytest.mark.parametrize(("array", "grad_fn", "text"), NOTED)
def test_grad_fn_and_requires_grad(array, grad_fn, text):
    assert describe(array, grad_fn, True) == text


CHOSEN = [
    (np.array([np.pi, -10.0], np.float32), {"precision": 2}, "tensor([  3.14, -10.00])"),
    (np.array([np.pi, -10.0], np.float32), {"sci_mode": True}, "tensor([ 3.1416e+00, -1.0000e+01])"),
    (np.array([1e-9, 1e5]), {"sci_mode": False}, "tensor([     0.0000, 100000.0000], dtype=torch.float64)"),
    (np.arange(12), {"threshold": 5}, "tensor([ 0,  1,  2,  ...,  9, 10, 11])"),
    (
        np.arange(12.0, dtype=np.float32).reshape(3, 4),
        {"threshold": 5, "edgeitems": 1},
        """\
tensor([[ 0.,  ...,  3.],
        ...,
        [ 8.,  ..., 11.]])""",
    ),
    (
        np.arange(12),
        {"linewidth": 20},
        """\
tensor([ 0,  1,  2,
         3,  4,  5,
         6,  7,  8,
         9, 10, 11])""",
    ),
    (np.arange(1200) / 7, {"profile": "short"}, "tensor([0.00e+00, 1.43e-01,  ..., 1.71e+02, 1.71e+02], dtype=torch.float64)"),
    (np.arange(9).reshape(3, 3), {"threshold": 4, "edgeitems": 0}, "tensor([...], size=(3, 3))"),
    (np.arange(5), {"threshold": 4, "edgeitems": 0}, "tensor([...], size=(5,))"),
    (np.array([1, 1e10]), {"profile": "full", "precision": 8}, "tensor([1.00000000e+00, 1.00000000e+10], dtype=torch.float64)"),
]


@pytest.mark.parametrize(("array", "options", "text"), CHOSEN)
def test_options(array, options, text):
    with printoptions(**options):
        assert describe(array) == text
    assert get_printoptions() == {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80, "sci_mode": None}


def test_the_default_dtype_is_not_written():
    x = np.array([0.5])
    assert describe(x) == "tensor([0.5000], dtype=torch.float64)"
    dtypes.set_default_dtype(dtypes.float64)
    assert describe(x) == "tensor([0.5000])"
    assert describe(x.astype(np.float32)) == "tensor([0.5000], dtype=torch.float32)"
    assert describe(x.astype(complex)) == "tensor([0.5000+0.j])"
    assert describe(x.astype(np.complex64)) == "tensor([0.5000+0.j], dtype=torch.complex64)"


def test_all_elements_on_demand():
    set_printoptions(profile="full")
    assert [int(n) for n in describe(np.arange(1001))[8:-2].split(",")] == list(range(1001))


def test_sci_mode_does_not_stay():
    # as in PyTorch: every call sets it, to None where it is not named
    set_printoptions(sci_mode=True)
    set_printoptions(precision=3)
    assert describe(np.array([1.5], np.float32)) == "tensor([1.500])"


def test_options_belong_to_a_thread():
    set_printoptions(precision=1)
    found = []
    thread = threading.Thread(target=lambda: found.append(describe(np.array([0.5], np.float32))))
    thread.start()
    thread.join()
    assert found == ["tensor([0.5000])"]
    assert describe(np.array([0.5], np.float32)) == "tensor([0.5])"


def test_printoptions_end_with_an_error():
    with pytest.raises(ZeroDivisionError), printoptions(precision=1):
        1 / 0
    assert get_printoptions()["precision"] == 4


def test_an_unknown_profile_is_refused():
    with pytest.raises(DtypeError, match="no profile 'long'"):
        set_printoptions(profile="long")


def test_another_word_before_the_bracket():
    assert describe(np.arange(30), kind="Parameter").splitlines()[1].startswith(" " * len("Parameter([") + "1")


def drawn(rng):
    """A random array of a random dtype, shape and magnitude."""
    shape = tuple(rng.integers(1, 7, rng.integers(0, 4)))
    name = rng.choice(["float32", "float64", "int64", "int32", "bool", "uint8", "complex64"])
    x = rng.standard_normal(shape) * 10.0 ** rng.integers(-6, 10)
    if rng.random() < 0.4:
        x = np.round(x)
    if name in {"uint8", "bool", "int32"}:
        x = np.abs(x) % 200
    if name == "complex64":
        x = x + 1j * rng.standard_normal(shape)
    x = np.asarray(x).astype(name)
    if x.dtype.kind == "f" and rng.random() < 0.3:
        x = np.where(rng.random(shape) < 0.2, np.array(rng.choice([np.nan, np.inf, -np.inf, 0.0]), x.dtype), x)
    return np.asarray(x)


def test_random_arrays_against_pytorch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(3)
    for _ in range(300):
        x = drawn(rng)
        assert describe(x) == repr(torch.tensor(x)), x
