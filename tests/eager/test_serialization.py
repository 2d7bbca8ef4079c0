"""Saving and loading: what goes in comes out, other readers see the tensors, and nothing in a file is ever run."""

import io
import json
import pickle
from collections import OrderedDict, defaultdict, namedtuple

import numpy as np
import pytest
import safetensors.numpy

from tracegrad.eager import dtypes
from tracegrad.eager.creation import ones, zeros
from tracegrad.eager.device import device
from tracegrad.eager.ranges import arange
from tracegrad.eager.serialization import load, save
from tracegrad.eager.size import Size
from tracegrad.eager.tensor import Tensor, tensor
from tracegrad.errors import DeviceError, DtypeError, FileFormatError, TreeError


def through_file(x):
    file = io.BytesIO()
    save(x, file)
    file.seek(0)
    return load(file)


def same(a, b):
    """Whether two structures are equal, types and dtypes included."""
    if type(a) is not type(b):
        return False
    if isinstance(a, Tensor):
        return same(a.detach().numpy(), b.detach().numpy())
    if isinstance(a, (np.ndarray, np.generic)):
        return a.dtype == b.dtype and a.shape == b.shape and np.asarray(a).tobytes() == np.asarray(b).tobytes()
    if isinstance(a, dict):
        pairs = zip(a.items(), b.items(), strict=True)
        return len(a) == len(b) and all(same(k, m) and same(v, w) for (k, v), (m, w) in pairs)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return repr(a) == repr(b)  # NaN is NaN, and 0.0 is not -0.0


def test_same_tells_apart():
    assert not same({1: ones(1)}, {"1": ones(1)})
    assert not same(ones(1), ones(1, dtype=float))
    assert not same([1], (1,))
    assert not same(1, True)
    assert not same(0.0, -0.0)


STATES = {
    "state dict": OrderedDict([("0.weight", ones(2, 3)), ("0.bias", zeros(3)), ("1.running", arange(3))]),
    "adam": {
        "state": {
            0: {"step": Tensor(3.0), "exp_avg": ones(2, 2), "exp_avg_sq": zeros(2, 2)},
            1: {"step": Tensor(3.0), "exp_avg": ones(2), "exp_avg_sq": zeros(2)},
        },
        "param_groups": [
            {
                "lr": 0.001,
                "betas": (0.9, 0.999),
                "eps": 1e-08,
                "weight_decay": 0,
                "amsgrad": False,
                "foreach": None,
                "params": [0, 1],
            }
        ],
    },
    "checkpoint": {"epoch": 3, "model": {"w": ones(1)}, "loss": 0.1, "note": "first – über", "best": float("inf")},
    "one tensor": arange(4.0),
    "list": [ones(1), (zeros(2), [], {}, ())],
    "keys": {1: 1, "1": 2, 2.5: 3, None: 4, False: 5, (1, "a"): 6, "": 7, "a.b": ones(1), "a": {"b": zeros(1)}},
    "names": {"__metadata__": ones(1), "tensor": zeros(1), "a": {"__metadata__": arange(2)}},
    "numbers": [0, -0.0, 2**70, float("nan"), float("-inf"), 1 + 2j, complex(0, float("nan")), True, None, 1e-310, 0.1 + 0.2],
    "arrays": [np.arange(3, dtype=np.int8), np.float32(2.5), np.int64(7), np.bool_(True), np.array(1.5)],
    "others": [Size([2, 3]), dtypes.float32, device("cpu"), device("cpu:0"), dtypes.complex128],
    "nothing": {},
}


@pytest.mark.parametrize("name", STATES)
def test_structures(name):
    assert same(through_file(STATES[name]), STATES[name])


@pytest.mark.parametrize(
    "dtype",
    [
        "bool",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "float32",
        "float64",
        "complex64",
        "complex128",
    ],
)
@pytest.mark.parametrize("shape", [(), (3,), (0,), (2, 3), (0, 2), (2, 0, 3)])
def test_dtypes_and_shapes(dtype, shape):
    values = np.random.default_rng(0).normal(size=(*shape, 2)) * 3
    array = (
        (values[..., 0] + 1j * values[..., 1]).astype(dtype)
        if dtype.startswith("complex")
        else abs(values[..., 0]).astype(dtype)
    )
    x = Tensor._wrap(np.asarray(array, dtype))
    assert same(through_file({"x": x}), {"x": x})
    assert same(through_file(array), array)


def test_special_values_keep_their_bits():
    x = tensor(np.array([np.nan, -np.nan, np.inf, -0.0, 5e-324]))
    assert same(through_file(x), x)


def test_layouts():
    base = np.arange(12.0).reshape(3, 4)
    for array in (base.T, base[::-1], base[:, ::2], np.asfortranarray(base), np.broadcast_to(base[0], (2, 4))):
        found = through_file(Tensor._wrap(array))
        assert found.tolist() == array.tolist()
        found += 1.0
        assert found.tolist() == (array + 1).tolist()
    swapped = through_file(base.astype(">f8"))
    assert swapped.dtype.isnative
    assert swapped.tolist() == base.tolist()


def test_only_values_are_kept():
    w = ones(2, requires_grad=True)
    found = through_file({"leaf": w, "computed": w * 2, "tied": [w, w]})
    assert not found["leaf"].requires_grad
    assert found["computed"].is_leaf
    assert found["computed"].tolist() == [2.0, 2.0]
    a, b = found["tied"]
    a += 1.0
    assert (a.tolist(), b.tolist()) == ([2.0, 2.0], [1.0, 1.0])


def test_paths(tmp_path):
    x = {"w": ones(2)}
    for path in (tmp_path / "model.safetensors", str(tmp_path / "other")):
        save(x, path)
        assert same(load(path), x)
        found = load(path)
        found["w"] += 1.0
        save({"w": zeros(2)}, path)
        assert found["w"].tolist() == [2.0, 2.0]
        assert load(path)["w"].tolist() == [0.0, 0.0]
        with open(path, "rb") as file:
            assert load(file)["w"].tolist() == [0.0, 0.0]
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "missing")
    with pytest.raises(FileNotFoundError, match=r"the folder .* does not exist"):
        save(x, tmp_path / "no" / "folder")


def test_other_readers_see_the_tensors_under_their_paths(tmp_path):
    path = tmp_path / "model.safetensors"
    save(OrderedDict([("0.weight", ones(2)), ("0.bias", zeros(1))]), path)
    assert {name: a.tolist() for name, a in safetensors.numpy.load_file(path).items()} == {"0.weight": [1, 1], "0.bias": [0]}
    save({"state": {0: {"m": ones(1)}}, "groups": [zeros(1)]}, path)
    assert set(safetensors.numpy.load_file(path)) == {"state.0.m", "groups.0"}


def test_files_of_other_writers():
    arrays = {"b": np.arange(3), "a": np.ones((2, 2), np.float32)}
    found = load(io.BytesIO(safetensors.numpy.save(arrays, {"format": "pt"})))
    assert {name: x.tolist() for name, x in found.items()} == {"b": [0, 1, 2], "a": [[1, 1], [1, 1]]}
    assert all(type(x) is Tensor for x in found.values())
    found["a"] += 1.0
    with pytest.raises(DtypeError, match="tensor 'h': tensors have no dtype float16") as caught:
        load(io.BytesIO(safetensors.numpy.save({"h": np.ones(1, np.float16)})))
    assert "astype(np.float32)" in str(caught.value)


def test_map_location():
    data = io.BytesIO()
    save(ones(1), data)
    for place in (None, "cpu", device("cpu"), {"cuda:0": "cpu"}, lambda storage, location: storage):
        assert load(io.BytesIO(data.getvalue()), map_location=place, weights_only=True).tolist() == [1.0]
    for place in ("cuda", {"cuda:0": "cuda:1"}):
        with pytest.raises(DeviceError, match="tracegrad computes on the CPU"):
            load(io.BytesIO(data.getvalue()), place)


# -- what cannot be saved ---------------------------------------------------------------------------------------------

Pair = namedtuple("Pair", "a b")
cycle = []
cycle.append([cycle])


@pytest.mark.parametrize(
    ("x", "text"),
    [
        ({"a": [1, {"f": print}]}, r"cannot save obj\['a'\]\[1\]\['f'\], of type builtins.builtin_function_or_method"),
        ({"s": {1, 2}}, r"cannot save obj\['s'\], of type builtins.set"),
        (defaultdict(int), "cannot save obj, of type collections.defaultdict"),
        (Pair(1, 2), r"cannot save obj, of type .*Pair"),
        ({"n": np.array(["x"])}, r"cannot save obj\['n'\], an array of dtype <U1"),
        ([np.float16(1)], r"cannot save obj\[0\], an array of dtype float16"),
        ({ones(1): 1}, "is a Tensor"),
        ({frozenset(): 1}, "of type builtins.frozenset"),
        (cycle, r"obj\[0\]\[0\] contains itself"),
    ],
)
def test_refused_objects_are_named(x, text, tmp_path):
    with pytest.raises(TreeError, match=text) as caught:
        save(x, tmp_path / "x")
    assert caught.value.fix
    assert not (tmp_path / "x").exists()


def test_one_object_twice_is_no_cycle():
    shared = [1]
    assert through_file([shared, shared]) == [[1], [1]]


# -- what cannot be loaded --------------------------------------------------------------------------------------------


class Bomb:
    def __reduce__(self):
        return pytest.fail, ("a file was run",)


def test_pickles_are_refused_and_not_run(tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(pickle.dumps({"w": Bomb()}))
    for source in (path, io.BytesIO(path.read_bytes())):
        for weights_only in (True, False):
            with pytest.raises(FileFormatError) as caught:
                load(source, weights_only=weights_only)
            text = str(caught.value)
            assert "is not a safetensors file: it is a pickle, as torch.save writes, and unpickling runs code" in text
            assert "from safetensors.torch import save_file" in text
            if isinstance(source, io.BytesIO):
                source.seek(0)


def zipped(name):
    """The head of an archive, up to the name of its first member."""
    return b"PK\x03\x04" + b"\0" * 26 + name + b"\0" * 64


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (zipped(b"archive/data.pkl"), "it is a zip archive with a pickle in it, as torch.save writes"),
        (zipped(b"arr_0.npy"), "it is an archive of NumPy arrays"),
        (b"\x93NUMPY\x01\x00" + b"\0" * 64, "it is a NumPy array"),
        (b"", "it is empty"),
        (b"these are words and no numbers", "is not a safetensors file: .*[hH]eader"),
        (safetensors.numpy.save({"w": np.ones(9)})[:-8], "is not a safetensors file"),
    ],
)
def test_files_of_other_formats(data, text, tmp_path):
    with pytest.raises(FileFormatError, match=text):
        load(io.BytesIO(data))
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(FileFormatError, match=text) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert caught.value.fix


@pytest.mark.parametrize(
    "description",
    [
        "nonsense",
        "[]",
        '{"version": 1}',
        '{"version": 1, "tree": {"eval": "1"}}',
        '{"version": 1, "tree": {"tensor": "missing"}}',
        '{"version": 1, "tree": {"tensor": "w", "dtype": "object"}}',
        '{"version": 1, "tree": {"dict": [[{"dict": []}, 1]]}}',
        '{"version": 1, "tree": {"list": [], "tuple": []}}',
        '{"version": 1, "tree": {"dict": [1]}}',
        '{"version": 1, "tree": {"float": "x"}}',
        "[" * 100000,
    ],
)
def test_damaged_descriptions(description):
    data = safetensors.numpy.save({"w": np.ones(1)}, {"tracegrad": description})
    with pytest.raises((FileFormatError, DtypeError), match=r"damaged|no dtype"):
        load(io.BytesIO(data))


def test_descriptions_of_later_versions():
    data = safetensors.numpy.save({}, {"tracegrad": json.dumps({"version": 2, "tree": []})})
    with pytest.raises(FileFormatError, match="the file has version 2 of its description, this is 1"):
        load(io.BytesIO(data))


def test_files_of_pytorch(tmp_path):
    torch = pytest.importorskip("torch")
    theirs = pytest.importorskip("safetensors.torch")
    path = tmp_path / "model"
    save(OrderedDict([("weight", arange(6.0).reshape(2, 3)), ("bias", zeros(2, dtype=bool))]), path)
    layer = theirs.load_file(path)
    assert layer["weight"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert layer["bias"].dtype == torch.bool
    theirs.save_file({"w": torch.arange(3)}, path)
    assert load(path)["w"].tolist() == [0, 1, 2]
    for zipfile in (True, False):
        torch.save({"w": torch.ones(2)}, path, _use_new_zipfile_serialization=zipfile)
        with pytest.raises(FileFormatError, match=r"as torch.save writes, and unpickling runs code"):
            load(path)
