"""Traces kept on disk: a process that finds one neither traces, differentiates nor compiles.

A file ``t_<16 hex digits>.json`` stands for one function and one kind of call: the hash is that of the function's code, of
the arguments' types and shapes, and of the versions of Python, NumPy, SciPy and this package. It holds a few variants, each
with a description of all that the trace has read (:mod:`tracegrad.trace.describe`) and what the stages made of it: the
source of the kernels, the table's words, the shapes of the results. A variant counts where everything read is found
unchanged in the running process; editing a helper, or rebinding a global, makes another variant.

Everything but the kernels' source is data that cannot run. The source is run as that of a program file is, so the two are
trusted alike: the folder belongs to the user alone.
"""

from __future__ import annotations

import base64
import dataclasses
import functools
import hashlib
import json
import os
import sys
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType, MethodType
from typing import Any, Final

import numpy as np
import scipy

from tracegrad.calls import Call, Family, Marked
from tracegrad.config import config
from tracegrad.core.aval import Aval
from tracegrad.core.tree import TreeDef, is_declared
from tracegrad.errors import Frame
from tracegrad.pipeline import Compilation
from tracegrad.runtime.executable import Executable
from tracegrad.runtime.load import LoadedProgram, cache_folder, load_program
from tracegrad.trace.describe import Describer, Description, Indescribable, describe_class, describe_code, describe_number
from tracegrad.trace.draws import DRAWING, Draw, is_generator
from tracegrad.trace.prints import Print, Shown
from tracegrad.trace.recall import Recalled, recall, tell
from tracegrad.trace.tracer import Traced

FORMAT: Final = 2
VARIANTS: Final = 8
"""Variants of one file; the oldest gives way."""
LIMIT: Final = 4 << 20
"""Characters of a variant; what is larger, a program with large constants say, is traced again."""

_CONTAINERS: Final[dict[str, type]] = {c.__name__: c for c in (dict, list, tuple, OrderedDict, defaultdict, type(None))}
_DAMAGED = (LookupError, TypeError, ValueError, AttributeError, Indescribable)


@dataclass(frozen=True, slots=True)
class Record:
    """A kept trace, ready to be called: like what ``trace`` and the pipeline's stages give together."""

    recalled: Recalled
    loaded: LoadedProgram
    executable: Executable
    output_tree: TreeDef
    draws: tuple[Draw, ...]
    prints: tuple[Print, ...]
    inputs: tuple[int, ...]
    static_ints: tuple[int, ...]
    kernels: int


# -- names ---------------------------------------------------------------------------------------------------------------


@functools.cache
def _versions() -> Description:
    """What traces depend on besides the user's code: versions, and size and time of this package's files."""
    package = Path(__file__).parent
    files = []
    for folder, _, names in os.walk(package):
        for name in names:
            if name.endswith(".py"):
                status = os.stat(os.path.join(folder, name))  # a Path for each costs 4 ms more
                files.append((folder[len(str(package)) :], name, status.st_size, status.st_mtime_ns))
    ours = hashlib.sha256(repr(sorted(files)).encode()).hexdigest()
    return [FORMAT, sys.version, np.__version__, scipy.__version__, ours]


def name_of(family: Family, want: str, call: Call) -> str:
    """The name of the file for a function and a kind of call.

    Raises Indescribable for arguments that no other process could recognise.
    """
    describe = Describer(())
    settings = dataclasses.asdict(config.snapshot())
    for name in ("cache_dir", "cache_limit_bytes", "threads", "verify", "keep_traces"):
        del settings[name]
    key = [
        _versions(),
        want,
        repr(family.options),
        repr(settings),
        family.parameters,
        _function(family.function),
        _tell_tree(call.tree, lambda cls: describe_class(cls, describe, twinned=False)),
        [_leaf(leaf, describe) for leaf in call.leaves],
    ]
    return f"t_{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]}"


def _function(function: Any) -> str:
    """What a function's files go under; all else of it is a read of its trace."""
    while True:
        if isinstance(function, (MethodType, functools.partial)):
            function = function.__func__ if isinstance(function, MethodType) else function.func
        elif hasattr(function, "__tracegrad_transform__"):
            function = function.__tracegrad_transform__()["function"]
        elif hasattr(function, "__tracegrad_compiled__"):
            function = function.py_func
        else:
            break
    if isinstance(function, FunctionType):
        return describe_code(function.__code__)
    return type(function).__qualname__


def _leaf(leaf: Any, describe: Describer) -> Description:
    kind = type(leaf)
    if kind is np.ndarray:
        return ["array", leaf.dtype.str, leaf.shape]
    if kind in (float, int, complex):
        return kind.__name__
    if is_generator(leaf):
        return "generator"
    if isinstance(leaf, np.generic) and kind is leaf.dtype.type:
        return ["scalar", leaf.dtype.str]
    value = leaf.value if kind is Marked else leaf
    if callable(value):
        return "callable"  # its trace has read it
    if kind is Marked or isinstance(value, (bool, str, bytes, type(None), np.dtype, slice, range)):
        return ["static", describe(value)]
    raise Indescribable(f"an argument of type {kind.__name__}")


# -- structures ----------------------------------------------------------------------------------------------------------


def _tell_tree(tree: TreeDef, tell_class: Callable[[type], Description]) -> Description:
    def told(spec: Any) -> Description:
        if spec == ...:
            return 0
        cls, aux, children = spec
        if cls in _CONTAINERS.values():
            name: Description = cls.__name__
        elif is_declared(cls):
            raise Indescribable(f"the class {cls.__qualname__}, which is registered with functions")
        else:
            name = [tell_class(cls)]
        keys = getattr(aux, "inserted", None)
        return [name, _tell_aux(aux), *([_tell_aux(keys)] if keys is not None else []), [told(child) for child in children]]

    found: Any = tree.spec
    return told(found)


def _tell_aux(aux: Any) -> Description:
    return ["tuple", [_tell_aux(part) for part in aux]] if isinstance(aux, tuple) else describe_number(aux)


def _read_tree(told: Description, class_of: Callable[[Description], type]) -> TreeDef:
    """The structure that was told, put together as ``flatten`` would; dicts by their keys as they were inserted."""
    size = 0

    def build(told: Description) -> Any:
        nonlocal size
        if told == 0:
            size += 1
            return ...
        name, aux, *_, children = told
        cls = _CONTAINERS[name] if isinstance(name, str) else class_of(name[0])
        inserted = told[2] if len(told) == 4 else None
        return cls, _read_aux(aux, inserted), tuple([build(child) for child in children])

    spec = build(told)
    return TreeDef(spec, size)


def _read_aux(aux: Description, inserted: Description | None = None) -> Any:
    if aux[0] == "tuple":
        parts = tuple([_read_aux(part) for part in aux[1]])
        return parts if inserted is None else TreeDef.keys(parts, _read_aux(inserted))
    if aux[0] == "float":
        return float.fromhex(aux[1])
    if aux[0] not in {"str", "int", "bool", "NoneType"}:
        raise LookupError(aux[0])
    return aux[1]


def _classes(specs: Any) -> Iterator[type]:
    """The classes of structures, other than the built-in containers, in the order in which they are met."""
    for spec in specs:
        if spec is not ...:
            if spec[0] not in _CONTAINERS.values():
                yield spec[0]
            yield from _classes(spec[2])


def _known_classes(call: Call, reads: Iterable[Any]) -> list[type]:
    """The classes that the arguments are made of, then those that the function has read."""
    return [*_classes([call.tree.spec]), *(value for value in reads if isinstance(value, type))]


# -- data ----------------------------------------------------------------------------------------------------------------


def encode(value: Any, frame: Callable[[Frame], Description] = dataclasses.astuple) -> Description:
    """A value of plain data as what JSON can hold; Indescribable for any other.

    >>> decode(encode((1, 2.5, None, {"a": np.dtype("float32")}, np.arange(3))))
    (1, 2.5, None, {'a': dtype('float32')}, array([0, 1, 2]))
    """
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) in (tuple, list):
        return {type(value).__name__: [encode(part, frame) for part in value]}
    if type(value) is dict:
        return {"dict": [[encode(key, frame), encode(part, frame)] for key, part in value.items()]}
    if isinstance(value, np.dtype) and not value.hasobject and value.names is None:
        return {"dtype": value.str}
    if type(value) is np.ndarray and not value.dtype.hasobject and value.dtype.names is None:
        data = base64.b64encode(value.tobytes()).decode()
        return {"array": [value.dtype.str, list(value.shape), data, value.flags.writeable]}
    if type(value) is float:
        return {"float": value.hex()}
    if isinstance(value, Aval):
        return {"aval": [list(value.shape), value.dtype.str]}
    if isinstance(value, Frame):
        return {"frame": frame(value)}
    raise Indescribable(f"a {type(value).__name__} in a program")


def decode(told: Description, frame: Callable[[Description], Frame | None] = lambda f: Frame(*f)) -> Any:
    """The value that ``encode`` was given; LookupError, TypeError or ValueError for what it did not give."""
    if not isinstance(told, dict):
        return told
    [(kind, data)] = told.items()
    if kind in ("tuple", "list"):
        parts = [decode(part, frame) for part in data]
        return tuple(parts) if kind == "tuple" else parts
    if kind == "dict":
        return {decode(key, frame): decode(part, frame) for key, part in data}
    if kind == "dtype":
        return np.dtype(data)
    if kind == "array":
        array = np.frombuffer(base64.b64decode(data[2]), data[0]).reshape(data[1]).copy()
        array.flags.writeable = data[3]
        return array
    if kind == "float":
        return float.fromhex(data)
    if kind == "aval":
        return Aval(tuple(data[0]), np.dtype(data[1]))
    if kind == "frame":
        return frame(data)
    raise LookupError(kind)


class Lines:
    """Lines of the user's functions by function and distance from its first line, as files and lines move.

    Parameters
    ----------
    codes: the code of the functions that were read, in order.
    """

    def __init__(self, codes: Sequence[CodeType]) -> None:
        self.codes = codes

    def tell(self, frame: Frame) -> Description:
        """A line as data."""
        before = [k for k, c in enumerate(self.codes) if c.co_filename == frame.file and c.co_firstlineno <= frame.line]
        if not before:
            raise Indescribable(f"the line {frame}")
        nearest = max(before, key=lambda k: self.codes[k].co_firstlineno)
        return [nearest, frame.line - self.codes[nearest].co_firstlineno, frame.function, frame.text]

    def find(self, told: Description) -> Frame:
        """The line where it stands now."""
        code = self.codes[told[0]]
        return Frame(code.co_filename, code.co_firstlineno + told[1], told[2], told[3])


def tell_executable(executable: Executable, lines: Lines) -> Description:
    """All of an executable but the native entry and the pool of arenas."""
    names = [field.name for field in dataclasses.fields(executable) if field.init and field.name != "entry"]
    return {name: encode(getattr(executable, name), lines.tell) for name in names}


def read_executable(told: Description, entry: Callable[..., None], lines: Lines) -> Executable:
    """The executable that was told, on its entry; TypeError where it was told by another version."""
    return Executable(entry=entry, **{name: decode(value, lines.find) for name, value in told.items()})


# -- keeping and finding -------------------------------------------------------------------------------------------------


def _usable(family: Family, call: Call) -> bool:
    return config.keep_traces and family.options.native and not call.tensors and call.recorder is None


def keep(family: Family, want: str, call: Call, traced: Traced, compilation: Compilation) -> None:
    """Write what was traced and compiled, unless no other process could recognise it, or there is no folder."""
    if not _usable(family, call) or compilation.executable is None or compilation.loaded is None:
        return
    folder = cache_folder(config.cache_dir)
    if folder is None or compilation.loaded.path is None:
        return
    try:
        name = name_of(family, want, call)
        variant = _variant(family, call, traced, compilation)
        size = len(json.dumps(variant))
    except _DAMAGED:
        return
    if size > LIMIT or not traced.guard.fresh():  # changed meanwhile by another thread: not what was traced
        return
    if config.verify:
        found = _restore(variant, family, call)
        assert found is not None, "a trace was not found again in the process that made it"
    with folder.building(name, patience=1.0):
        known = _variants(folder.trace(name))
        variants = [one for one in known if any(one.get(part) != variant[part] for part in ("reads", "static"))]
        try:
            folder.put_trace(name, json.dumps([*variants[1 - VARIANTS :], variant]))
        except OSError:
            return  # a full disk: the next process traces again


def _variant(family: Family, call: Call, traced: Traced, compilation: Compilation) -> dict[str, Any]:
    assert compilation.executable is not None
    assert compilation.generated is not None
    values = [read.fetch() for read in traced.reads]
    classes = _known_classes(call, values)
    lines = Lines([value for value in values if isinstance(value, CodeType)])

    def tell_class(cls: type) -> Description:
        if cls.__module__.startswith("tracegrad."):
            return [cls.__module__, cls.__qualname__]
        if cls not in classes:
            raise Indescribable(f"the class {cls.__qualname__} in a result")
        return classes.index(cls)

    return {
        "reads": tell(traced, family.function),
        "static": [[k, describe_number(call.leaves[k])] for k in traced.static_ints],
        "inputs": list(traced.inputs),
        "draws": [_tell_draw(draw) for draw in traced.draws],
        "tree": _tell_tree(traced.output_tree, tell_class),
        "prints": [_tell_print(one, tell_class) for one in traced.prints],
        "source": compilation.generated.source,
        "arguments": list(compilation.generated.entry_arguments),
        "kernels": compilation.generated.kernels,
        "row": compilation.generated.row,
        "executable": tell_executable(compilation.executable, lines),
    }


def find(family: Family, want: str, call: Call) -> Record | None:
    """The trace that an earlier process has kept for this call, None where there is none that still holds."""
    if not _usable(family, call):
        return None
    folder = cache_folder(config.cache_dir)
    if folder is None:
        return None
    try:
        text = folder.trace(name_of(family, want, call))
    except Indescribable:
        return None
    for variant in reversed(_variants(text)):
        found = _restore(variant, family, call)
        if found is not None:
            return found
    return None


def _variants(text: str | None) -> list[dict[str, Any]]:
    try:
        variants = json.loads(text or "[]")
    except ValueError:
        return []
    return variants if isinstance(variants, list) and all(isinstance(v, dict) for v in variants) else []


def _restore(variant: dict[str, Any], family: Family, call: Call) -> Record | None:
    try:
        if any(describe_number(call.leaves[k]) != told for k, told in variant["static"]):
            return None
        recalled = recall(variant["reads"], family.function, [_value(leaf) for leaf in call.leaves])
        if recalled is None:
            return None
        values = [read.fetch() for read in recalled.reads]
        classes = _known_classes(call, values)

        def class_of(told: Description) -> type:
            found: Any = classes[told] if isinstance(told, int) else sys.modules.get(told[0])
            for part in [] if isinstance(told, int) else told[1].split("."):
                found = getattr(found, part)
            if not isinstance(found, type) or is_declared(found):
                raise LookupError(told)
            return found

        tree = _read_tree(variant["tree"], class_of)
        prints = tuple([_read_print(told, class_of) for told in variant["prints"]])
        lines = Lines([value for value in values if isinstance(value, CodeType)])
        executable = read_executable(variant["executable"], _unloaded, lines)
        source, arguments = variant["source"], tuple(variant["arguments"])
        inputs = tuple(variant["inputs"])
        draws = tuple([Draw(*decode(told)) for told in variant["draws"]])
        if not all(_draws(draw, call) for draw in draws):
            return None
        static, kernels, row = tuple(k for k, _ in variant["static"]), variant["kernels"], variant["row"]
    except _DAMAGED:
        return None
    loaded = load_program(source, arguments, config.cache_dir, config.cache_limit_bytes, row)
    executable = dataclasses.replace(executable, entry=loaded.entry)
    return Record(recalled, loaded, executable, tree, draws, prints, inputs, static, kernels)


def _tell_print(one: Print, tell_class: Callable[[type], Description]) -> Description:
    leaves = [(leaf.number, leaf.axes, leaf.weak) if isinstance(leaf, Shown) else (leaf,) for leaf in one.leaves]
    return [one.text, _tell_tree(one.tree, tell_class), encode(leaves), list(one.sizes)]


def _read_print(told: Description, class_of: Callable[[Description], type]) -> Print:
    text, tree, leaves, sizes = told
    found = [Shown(*leaf) if len(leaf) == 3 else leaf[0] for leaf in decode(leaves)]
    return Print(text, _read_tree(tree, class_of), tuple(found), tuple(sizes))


def _tell_draw(draw: Draw) -> Description:
    if draw.needs is not None:
        raise Indescribable("a draw of values that are computed")
    return encode((draw.leaf, draw.method, draw.args, dict(draw.keywords)))


def _draws(draw: Draw, call: Call) -> bool:
    """Whether a draw is a method of a generator: a file must not name anything else."""
    return draw.method in DRAWING and is_generator(call.leaves[draw.leaf])


def _value(leaf: Any) -> Any:
    return leaf.value if type(leaf) is Marked else leaf


def _unloaded(*_: Any) -> None:
    """Stands for the entry until the program is loaded."""
