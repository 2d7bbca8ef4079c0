"""Devices, dtypes, sizes and questions about them under PyTorch's names; texts recorded from PyTorch 2.13."""

import copy
import pickle
import threading

import numpy as np
import pytest

from tracegrad.eager import dtypes, inquiry
from tracegrad.eager.creation import empty_like, ones, zeros, zeros_like
from tracegrad.eager.device import (
    backends,
    channels_last,
    check_device,
    contiguous_format,
    cuda,
    device,
    get_default_device,
    preserve_format,
    set_default_device,
)
from tracegrad.eager.dtypes import as_dtype, finfo, iinfo, missing_dtype
from tracegrad.eager.size import Size, size_of
from tracegrad.eager.tensor import Tensor, tensor
from tracegrad.errors import DeviceError, DtypeError, ShapeError


@pytest.fixture(autouse=True)
def fresh_default():
    yield
    dtypes.set_default_dtype(dtypes.float32)


# -- devices ----------------------------------------------------------------------------------------------------------


def test_the_cpu():
    cpu = device("cpu")
    assert (cpu.type, cpu.index, repr(cpu), str(cpu)) == ("cpu", None, "device(type='cpu')", "cpu")
    numbered = device("cpu:0")
    assert (numbered.index, repr(numbered), str(numbered)) == (0, "device(type='cpu', index=0)", "cpu:0")
    assert device("cpu", 0) == numbered == device(type="cpu", index=0) != cpu
    assert device(cpu) == cpu
    assert cpu != "cpu"
    assert len({cpu, device("cpu"), numbered}) == 2
    assert pickle.loads(pickle.dumps(numbered)) == numbered == copy.deepcopy(numbered)
    assert check_device(None) == check_device("cpu") == check_device(cpu) == get_default_device() == cpu
    set_default_device("cpu")
    with cpu as same:
        assert same is cpu
    with pytest.raises(AttributeError, match="not writable"):
        cpu.index = 1


@pytest.mark.parametrize("asked", ["cuda", "cuda:1", "mps", "gpu", "cpu:", "cpu:x", "CPU"])
def test_other_devices_learn_what_this_is(asked):
    with pytest.raises(DeviceError) as caught:
        device(asked)
    text = str(caught.value)
    assert f"device {asked} is not here: tracegrad computes on the CPU" in text
    assert "leave device out" in text
    assert isinstance(caught.value, RuntimeError)


def test_a_device_that_is_no_text():
    with pytest.raises(DeviceError, match="0, the number of an accelerator"):
        check_device(0)
    with pytest.raises(DtypeError, match="argument 'type' must be str, not float"):
        device(1.5)


def test_creation_refuses_a_gpu_with_the_users_line():
    with pytest.raises(DeviceError) as caught:
        zeros(2, device="cuda")
    assert 'zeros(2, device="cuda")' in str(caught.value)


def test_what_programs_ask_about_gpus():
    assert cuda.is_available() is False
    assert cuda.device_count() == 0
    assert cuda.is_initialized() is False
    cuda.manual_seed(0)
    cuda.manual_seed_all(0)
    cuda.empty_cache()
    for ask in (cuda.synchronize, cuda.current_device):
        with pytest.raises(DeviceError, match="tracegrad computes on the CPU"):
            ask()
    assert not backends.mps.is_available()
    assert not backends.mps.is_built()
    assert not backends.cudnn.is_available()
    backends.cudnn.deterministic = False
    backends.cudnn.benchmark = True
    backends.cudnn.enabled = True
    assert (backends.cudnn.deterministic, backends.cudnn.benchmark, backends.cudnn.enabled) == (True, False, False)
    with pytest.raises(AttributeError):
        backends.cudnn.determinstic = True


def test_memory_formats():
    x = tensor(np.ones((3, 2))).T
    assert zeros_like(x, memory_format=preserve_format).numpy().strides == x.numpy().strides == zeros_like(x).numpy().strides
    assert zeros_like(x, memory_format=contiguous_format).numpy().flags.c_contiguous
    assert repr(preserve_format) == "torch.preserve_format"
    with pytest.raises(DeviceError, match=r"memory_format=torch.channels_last is not here"):
        empty_like(x, memory_format=channels_last)


# -- dtypes -----------------------------------------------------------------------------------------------------------


def test_short_names():
    assert dtypes.float == dtypes.float32 == np.float32
    assert dtypes.double == dtypes.float64 == np.float64
    assert (dtypes.short, dtypes.int, dtypes.long) == (dtypes.int16, dtypes.int32, dtypes.int64)
    assert (dtypes.cfloat, dtypes.cdouble, dtypes.bool) == (dtypes.complex64, dtypes.complex128, np.dtype(bool))
    assert isinstance(dtypes.float32, dtypes.dtype)


def test_python_types_as_dtypes():
    # as in PyTorch: Python's float is its double
    assert zeros(1, dtype=float).dtype == dtypes.float64
    assert zeros(1, dtype=int).dtype == dtypes.int64
    assert zeros(1, dtype=bool).dtype == dtypes.bool
    assert as_dtype(">f4") == dtypes.float32
    assert as_dtype(">f4").isnative


def test_absent_dtypes():
    for name in ("half", "float16", "bfloat16"):
        assert missing_dtype(name) == (
            f"tensors have no dtype {name}: tracegrad computes on the CPU, which has no arithmetic of 16-bit floats"
        )
    assert "quantised" in missing_dtype("qint8")
    assert "there are bool, int8 to int64" in missing_dtype("uint4")
    with pytest.raises(DtypeError, match="tensors have no dtype float16"):
        zeros(2, dtype=np.float16)
    with pytest.raises(DtypeError, match="'no such' is not a dtype"):
        zeros(2, dtype="no such")
    with pytest.raises(DtypeError, match="None is not a dtype"):
        as_dtype(None)
    with pytest.raises(DtypeError, match="tensors have no dtype object"):
        zeros(2, dtype=object)


def test_default_dtype():
    assert dtypes.get_default_dtype() == dtypes.float32
    dtypes.set_default_dtype(np.float64)
    assert zeros(1).dtype == dtypes.get_default_dtype() == dtypes.float64
    assert dtypes.default_complex() == dtypes.complex128
    found = []
    thread = threading.Thread(target=lambda: found.append(dtypes.get_default_dtype()))
    thread.start()
    thread.join()
    assert found == [dtypes.float32]


@pytest.mark.parametrize("wrong", [np.int64, bool, np.complex64])
def test_default_dtype_is_floating(wrong):
    with pytest.raises(DtypeError, match="only floating-point types are supported as the default type") as caught:
        dtypes.set_default_dtype(wrong)
    assert isinstance(caught.value, TypeError)


def test_limits():
    assert repr(finfo()) == (
        "finfo(resolution=1e-06, min=-3.40282e+38, max=3.40282e+38, eps=1.19209e-07, "
        "smallest_normal=1.17549e-38, tiny=1.17549e-38, dtype=float32)"
    )
    assert repr(finfo(dtypes.float64)) == (
        "finfo(resolution=1e-15, min=-1.79769e+308, max=1.79769e+308, eps=2.22045e-16, "
        "smallest_normal=2.22507e-308, tiny=2.22507e-308, dtype=float64)"
    )
    single = finfo(dtypes.complex64)
    assert (single.bits, single.eps, single.tiny, single.resolution, single.dtype) == (
        32,
        1.1920928955078125e-07,
        1.1754943508222875e-38,
        1e-06,
        "float32",
    )
    assert type(single.eps) is float
    dtypes.set_default_dtype(dtypes.float64)
    assert finfo().bits == 64
    assert repr(iinfo(dtypes.uint8)) == "iinfo(min=0, max=255, dtype=uint8)"
    assert repr(iinfo(dtypes.int64)) == "iinfo(min=-9.22337e+18, max=9.22337e+18, dtype=int64)"
    assert (iinfo(dtypes.int8).bits, iinfo(dtypes.int8).min, iinfo(dtypes.int8).max) == (8, -128, 127)


def test_limits_of_other_dtypes():
    with pytest.raises(DtypeError, match=r"torch.finfo\(\) requires a floating point input type. Use torch.iinfo"):
        finfo(dtypes.int32)
    with pytest.raises(DtypeError, match=r"torch.iinfo\(\) requires an integer input type. Use torch.finfo"):
        iinfo(dtypes.float32)
    with pytest.raises(DtypeError, match=r"torch.bool is not supported by torch.iinfo"):
        iinfo(dtypes.bool)


# -- questions --------------------------------------------------------------------------------------------------------


def test_questions():
    assert inquiry.is_tensor(ones(2))
    assert not inquiry.is_tensor(np.ones(2))
    assert inquiry.is_floating_point(ones(2))
    assert not inquiry.is_floating_point(ones(2, dtype=int))
    assert inquiry.is_complex(Tensor._wrap(np.ones(2, complex)))
    assert not inquiry.is_complex(ones(2))
    assert inquiry.is_nonzero(ones(1))
    assert not inquiry.is_nonzero(zeros(()))
    with pytest.raises(DtypeError, match=r"is_floating_point\(\): argument 'input' \(position 1\) must be Tensor, not float"):
        inquiry.is_floating_point(3.0)


CATEGORIES = [["bool"], ["uint8", "int8", "int64"], ["float32", "float64"], ["complex64", "complex128"]]


def test_can_cast():
    ranked = [(name, rank) for rank, names in enumerate(CATEGORIES) for name in names]
    for a, low in ranked:
        for b, high in ranked:
            assert inquiry.can_cast(getattr(dtypes, a), getattr(dtypes, b)) is (low <= high)


@pytest.mark.parametrize(
    ("a", "b", "result"),
    [
        ("uint8", "int8", "int16"),
        ("int64", "float32", "float32"),
        ("bool", "uint8", "uint8"),
        ("float32", "float64", "float64"),
        ("int32", "int64", "int64"),
        ("complex64", "complex128", "complex128"),
    ],
)
def test_promote_types(a, b, result):
    assert inquiry.promote_types(a, b) == inquiry.promote_types(b, a) == getattr(dtypes, result)


def test_result_type():
    assert inquiry.result_type(ones(2, dtype=int), 1.0) == dtypes.float32
    assert inquiry.result_type(1, 2.0) == dtypes.float32
    assert inquiry.result_type(ones(2), ones((), dtype=float)) == dtypes.float32
    assert inquiry.result_type(ones(2, requires_grad=True), ones(2, dtype=float)) == dtypes.float64


# -- sizes ------------------------------------------------------------------------------------------------------------


def test_size_is_a_tuple():
    s = Size([2, np.int64(3)])
    assert repr(s) == "torch.Size([2, 3])"
    assert s == (2, 3)
    assert s != [2, 3]
    assert hash(s) == hash((2, 3))
    assert s.numel() == 6
    assert Size(()).numel() == 1
    assert [type(n) for n in s] == [int, int]
    assert Size([tensor(3)]) == (3,)
    assert isinstance(pickle.loads(pickle.dumps(s)), Size)
    a, b = s
    assert (a, b) == (2, 3)


def test_what_is_made_of_sizes():
    s = Size((2, 3))
    for made, text in [
        (s[1:], "torch.Size([3])"),
        (s[::-1], "torch.Size([3, 2])"),
        (s + (1,), "torch.Size([2, 3, 1])"),
        ((1,) + s, "torch.Size([1, 2, 3])"),
        (s * 2, "torch.Size([2, 3, 2, 3])"),
        (2 * s, "torch.Size([2, 3, 2, 3])"),
    ]:
        assert repr(made) == text
    assert type(s[1]) is int
    with pytest.raises(TypeError):
        s + [1]


def test_sizes_that_are_none():
    with pytest.raises(DtypeError, match=r"torch.Size\(\) takes an iterable of 'int' \(item 1 is 'float'\)"):
        Size([1, 2.5])
    for shape, text in [
        ((2.0,), "found element of type float at pos 0"),
        ((2, True), "found element of type bool at pos 1"),
        (((2, 3), 4), "one tuple of sizes, or integers, not both"),
        ((), 'missing 1 required positional arguments: "size"'),
    ]:
        with pytest.raises(DtypeError, match="zeros") as caught:
            size_of("zeros", shape)
        assert text in str(caught.value)
    with pytest.raises(ShapeError, match=r"Trying to create tensor with negative dimension -3: \[2, -3\]"):
        size_of("zeros", (2, -3))
