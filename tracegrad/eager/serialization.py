"""Saving and loading nested structures of tensors in the safetensors format, which holds numbers and no code.

Tensors are stored under their dotted paths, as other readers of the format expect of a state dict. What the format has
no place for, the nesting, the types of keys, plain numbers and strings, is a JSON text in the file's metadata.
"""

from __future__ import annotations

import json
import math
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from tracegrad.core.source import user_frame
from tracegrad.eager.creation import made
from tracegrad.eager.device import check_device, device
from tracegrad.eager.dtypes import as_dtype
from tracegrad.eager.size import Size
from tracegrad.eager.tensor import Tensor
from tracegrad.errors import DtypeError, FileFormatError, TreeError

__all__ = ["load", "save"]

Array = np.ndarray[Any, Any]

_KEY = "tracegrad"
_VERSION = 1


def save(obj: Any, f: Any) -> None:
    """Write a nested structure of tensors, arrays, numbers and strings to a file, in the safetensors format.

    Parameters
    ----------
    obj: a state dict, or dicts, lists and tuples of tensors, NumPy arrays, numbers, strings, dtypes and None.
    f: a path, or a file open for writing bytes.

    Only values are kept: a tensor comes back without ``requires_grad`` and history, as those of state dicts have none,
    and two tensors that share memory come back as two. Raises TreeError naming the path of what cannot be stored.

    >>> import io
    >>> file = io.BytesIO()
    >>> save({"weight": Tensor([1.0, 2.0]), "epoch": 3}, file)
    >>> load(io.BytesIO(file.getvalue()))
    {'weight': tensor([1., 2.]), 'epoch': 3}
    """
    contents = _Contents()
    tree = contents.encoded(obj, "obj", ())
    metadata = {_KEY: json.dumps({"version": _VERSION, "tree": tree}, allow_nan=False, separators=(",", ":"))}
    if isinstance(f, (str, os.PathLike)):
        folder = Path(f).parent
        if not folder.is_dir():
            raise FileNotFoundError(f"save: the folder {str(folder)!r} does not exist")
        safetensors.numpy.save_file(contents.arrays, f, metadata)
    else:
        f.write(safetensors.numpy.save(contents.arrays, metadata))


def load(f: Any, map_location: Any = None, *, weights_only: bool = True) -> Any:
    """Read what :func:`save` wrote, or any other safetensors file as a dict of tensors; runs no code of the file.

    Parameters
    ----------
    f: a path, or a file open for reading bytes.
    map_location: where tensors are to be: the CPU, also as a function or dict, as programs give them for GPUs.
    weights_only: accepted for PyTorch's sake; nothing but tensors and plain values is ever loaded.

    Raises FileFormatError for files of another format, such as those of ``torch.save``, and for damaged ones.
    """
    if isinstance(map_location, dict):
        for place in map_location.values():
            check_device(place)
    elif not callable(map_location):
        check_device(map_location)
    if isinstance(f, (str, os.PathLike)):
        with open(f, "rb") as file, _explained(str(f), lambda: _first_bytes(f)):
            arrays = safetensors.numpy.load_file(f)
            header = file.read(int.from_bytes(file.read(8), "little"))
    else:
        data = f.read()
        with _explained(str(getattr(f, "name", "it")), lambda: data[:256]):
            arrays = safetensors.numpy.load(data)
            header = data[8 : 8 + int.from_bytes(data[:8], "little")]
    metadata = json.loads(header).get("__metadata__") or {}
    if _KEY not in metadata:
        return {name: made(_owned(array, name)) for name, array in arrays.items()}
    try:
        described = json.loads(metadata[_KEY])
        if described["version"] != _VERSION:
            raise FileFormatError(
                f"the file has version {described['version']} of its description, this is {_VERSION}",
                fix="load it with the version of tracegrad that wrote it, or a later one",
                where=user_frame(),
            )
        return _decoded(described["tree"], arrays)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError) as error:
        if isinstance(error, (DtypeError, FileFormatError)):
            raise
        raise FileFormatError(
            f"the file's description of its contents is damaged: {error!r}",
            fix="load the tensors alone with safetensors.numpy.load_file",
            where=user_frame(),
        ) from None


# -- writing ----------------------------------------------------------------------------------------------------------


class _Contents:
    """The arrays met so far, by the names they are stored under."""

    def __init__(self) -> None:
        self.arrays: dict[str, Array] = {}
        self._open: set[int] = set()

    def encoded(self, x: Any, path: str, names: tuple[str, ...]) -> Any:
        """A structure as JSON, its arrays put aside."""
        if isinstance(x, (Tensor, np.ndarray, np.generic)):
            return self._array(x, path, names)
        kind = type(x)
        if x is None or kind in (bool, int, str):
            return x
        if kind is float:
            return x if math.isfinite(x) else {"float": str(x)}
        if kind is complex:
            return {"complex": [self.encoded(part, path, names) for part in (x.real, x.imag)]}
        if isinstance(x, np.dtype):
            return {"dtype": x.name}
        if kind is device:
            return {"device": str(x)}
        if id(x) in self._open:
            raise TreeError(f"{path} contains itself", fix="save it without the cycle", where=user_frame())
        self._open.add(id(x))
        try:
            return self._nested(x, kind, path, names)
        finally:
            self._open.discard(id(x))

    def _nested(self, x: Any, kind: type, path: str, names: tuple[str, ...]) -> Any:
        if isinstance(x, OrderedDict):
            kind = OrderedDict  # as state dicts of modules, whose class adds nothing that loading needs
        if kind in (dict, OrderedDict):
            pairs = []
            for key, value in x.items():
                inner = f"{path}[{key!r}]"
                pairs.append([self._encoded_key(key, inner), self.encoded(value, inner, (*names, str(key)))])
            return {kind.__name__: pairs}
        if kind in (list, tuple, Size):
            items = [self.encoded(value, f"{path}[{k}]", (*names, str(k))) for k, value in enumerate(x)]
            return items if kind is list else {kind.__name__: items}
        raise TreeError(
            f"cannot save {path}, of type {kind.__module__}.{kind.__qualname__}: "
            "a file without code holds tensors, arrays, numbers, strings, dicts, lists and tuples",
            fix="save its state instead, such as model.state_dict(), or turn it into a dict or a list",
            where=user_frame(),
        )

    def _encoded_key(self, key: Any, path: str) -> Any:
        if isinstance(key, (Tensor, np.ndarray)):
            raise TreeError(
                f"the key of {path} is a {type(key).__name__}",
                fix="use strings, numbers or tuples of them as keys",
                where=user_frame(),
            )
        if isinstance(key, np.generic):
            key = key.item()
        return self.encoded(key, f"the key of {path}", ())

    def _array(self, x: Any, path: str, names: tuple[str, ...]) -> Any:
        array = x.detach().numpy() if isinstance(x, Tensor) else np.asarray(x)
        if array.dtype.kind not in "biufc" or array.dtype.newbyteorder("=").name not in _STORED:
            raise TreeError(
                f"cannot save {path}, an array of dtype {array.dtype}",
                fix=f"cast it to one of {', '.join(_STORED)}",
                where=user_frame(),
            )
        array = np.asarray(array, array.dtype.newbyteorder("="), order="C")
        name = self._free_name(".".join(names) or "tensor")
        node = {"tensor" if isinstance(x, Tensor) else "array" if isinstance(x, np.ndarray) else "scalar": name}
        if array.dtype.kind == "c":
            # the format has one complex dtype, and older readers none
            node["dtype"] = array.dtype.name
            array = array.reshape(*array.shape, 1).view(array.real.dtype)
        self.arrays[name] = array
        return node

    def _free_name(self, name: str) -> str:
        taken, k = name, 1
        while taken in self.arrays or taken == "__metadata__":
            k += 1
            taken = f"{name}#{k}"
        return taken


_STORED = (
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
)


# -- reading ----------------------------------------------------------------------------------------------------------


def _owned(array: Array, name: str) -> Array:
    """An array to write to, of a dtype that tensors have."""
    try:
        as_dtype(array.dtype)
    except DtypeError as error:
        raise DtypeError(
            f"tensor {name!r}: {error.message}",
            fix="convert the file first: safetensors.numpy.load_file, astype(np.float32), save_file",
            where=user_frame(),
        ) from None
    return array if array.flags.writeable else array.copy()


def _decoded(node: Any, arrays: dict[str, Array]) -> Any:
    """The structure that a JSON text describes."""
    if isinstance(node, list):
        return [_decoded(x, arrays) for x in node]
    if not isinstance(node, dict):
        return node
    for kind in ("tensor", "array", "scalar"):
        if kind in node:
            array = _owned(arrays[node[kind]], node[kind])
            if "dtype" in node:
                array = array.view(as_dtype(node["dtype"]))[..., 0]
            return made(array) if kind == "tensor" else array if kind == "array" else array[()]
    ((kind, content),) = node.items()
    return _BUILT[kind](content, arrays)


def _mapping(kind: type[dict[Any, Any]]) -> Callable[[Any, dict[str, Array]], Any]:
    return lambda pairs, arrays: kind((_decoded(key, arrays), _decoded(value, arrays)) for key, value in pairs)


_BUILT: dict[str, Callable[[Any, dict[str, Array]], Any]] = {
    "dict": _mapping(dict),
    "OrderedDict": _mapping(OrderedDict),
    "tuple": lambda items, arrays: tuple(_decoded(x, arrays) for x in items),
    "Size": lambda items, _: Size(items),
    "float": lambda text, _: float(text),
    "complex": lambda parts, arrays: complex(*(_decoded(x, arrays) for x in parts)),
    "dtype": lambda name, _: as_dtype(name),
    "device": lambda name, _: device(name),
}
"""What each kind of node of the description means; nothing else is ever built."""


def _first_bytes(path: Any) -> bytes:
    with open(path, "rb") as file:
        return file.read(256)


@contextmanager
def _explained(name: str, first: Callable[[], bytes]) -> Iterator[None]:
    """Turn the format library's errors into what the file is instead, and how to convert it."""
    try:
        yield
    except (KeyError, TypeError) as error:  # NumPy has no such dtype
        raise DtypeError(
            f"{name} holds tensors of a dtype that is not here: {error}",
            fix="convert them to float32 where the file was written",
            where=user_frame(),
        ) from None
    except SafetensorError as error:
        found, fix = _recognised(first(), error)
        raise FileFormatError(f"{name} is not a safetensors file: {found}", fix=fix, where=user_frame()) from None


_CONVERT = (
    "convert it once, where PyTorch is installed, and load the result:\n"
    "from safetensors.torch import save_file\n"
    "save_file(torch.load('model.pt', weights_only=True), 'model.safetensors')"
)


def _recognised(first: bytes, error: Exception) -> tuple[str, str]:
    """What a file is by its first bytes, and what to do."""
    if first[:2] == b"PK" and b".npy" in first:
        return "it is an archive of NumPy arrays", "np.load(path), then torch.from_numpy of each array"
    if first[:2] == b"PK":
        return "it is a zip archive with a pickle in it, as torch.save writes, and unpickling runs code", _CONVERT
    if first[:1] == b"\x80":
        return "it is a pickle, as torch.save writes, and unpickling runs code", _CONVERT
    if first[:6] == b"\x93NUMPY":
        return "it is a NumPy array", "torch.from_numpy(np.load(path))"
    if not first:
        return "it is empty", "save again; the file was not written to the end, or has been read already (file.seek(0))"
    return f"{error}", "write it again with save(obj, path)"
