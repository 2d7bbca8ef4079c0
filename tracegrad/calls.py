"""A call taken apart: what its arguments are to the tracer, and the key under which its program is kept."""

from __future__ import annotations

import inspect as signatures
import struct
import threading
import time
from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tracegrad.autodiff.argnums import Argnums
from tracegrad.core.aval import VALUES, Aval, means_otherwise, supported
from tracegrad.core.source import user_frame
from tracegrad.core.tree import TreeDef, flatten
from tracegrad.eager import Tensor
from tracegrad.errors import DtypeError, TraceError, TracegradError
from tracegrad.pipeline import Compilation
from tracegrad.symbolic import Recorder, Sym
from tracegrad.trace.counts import counted_graph
from tracegrad.trace.draws import is_generator
from tracegrad.trace.tracer import Argument, Leaf, Source, Static, Traced, trace


@dataclass(slots=True)
class Stats:
    """What a compiled function has done so far; ``seconds`` sums the time of each stage.

    ``compiles`` counts programs that were compiled, ``cache_hits`` those that were loaded from the cache folder or were
    already loaded, ``recalls`` those that needed no trace either, as an earlier process has kept it; ``kernels`` is the
    number of different kernels of the newest program.
    """

    traces: int = 0
    compiles: int = 0
    cache_hits: int = 0
    kernels: int = 0
    recalls: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    def count(self, compilation: Compilation, before: Collection[str] = ()) -> None:
        """Add a compilation, or what is new in one of which a part was added before."""
        for stage, seconds in compilation.seconds.items():
            if stage not in before:
                self.spent(stage, seconds)
        if compilation.loaded is not None and compilation.generated is not None:
            self.kernels = compilation.generated.kernels
            if compilation.loaded.from_cache:
                self.cache_hits += 1
            else:
                self.compiles += 1

    def spent(self, stage: str, seconds: float) -> None:
        """Add to the time of a stage."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds


def checked_budget(given: Any) -> int | float | None:
    """A memory budget as the compiler takes it; an int is bytes, a float a fraction.

    Raises TracegradError for anything else.
    """
    if given is None:
        return None
    if isinstance(given, (int, np.integer)) and not isinstance(given, bool) and given >= 0:
        return int(given)
    if isinstance(given, (float, np.floating)) and 0 <= given <= 1:
        return float(given)
    raise TracegradError(
        f"memory_budget={given!r} is neither a number of bytes nor a fraction",
        fix="give bytes as an int, or a float from 0.0 (as little as possible) to 1.0 (nothing is computed again)",
        where=user_frame(),
    )


@dataclass(frozen=True, slots=True)
class Options:
    """What ``grad_compile`` and ``jit`` were told; ``mode`` says when kernels are compiled: now, background or never."""

    argnums: Argnums
    static_argnames: tuple[str, ...]
    mode: str
    memory_budget: int | float | None = None
    threads: int | None = None

    @property
    def native(self) -> bool:
        """Whether kernels are made at all."""
        return self.mode != "never"

    @property
    def background(self) -> bool:
        """Whether calls are answered by the interpreter until kernels are there."""
        return self.mode == "background"


class Marked:
    """An argument named in ``static_argnames``; no dataclass, as those are pytrees and this is a leaf."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


def on_tape(value: Any) -> bool:
    """Whether a value is a tensor, or a box of ``compat``: something with a record of how it came to be."""
    return isinstance(value, Tensor) or getattr(type(value), "boxes_value", False)


class Call:
    """A call's arguments taken apart: leaves, structure and key; what tensors hold stands in their places.

    ``tensors`` has the tensors, and boxes of ``compat``, by position; ``recorder`` is that of traced values, None without any.
    """

    __slots__ = ("args", "key", "kwargs", "leaves", "recorder", "tensors", "tree")

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.args = args
        self.kwargs = kwargs
        self.leaves, self.tree = flatten((args, kwargs), root="arguments")
        self.recorder: Recorder | None = None
        self.tensors: dict[int, Any] = {}
        for k, leaf in enumerate(self.leaves):
            if on_tape(leaf):
                self.tensors[k] = leaf
                self.leaves[k] = leaf._array
        self.key: Any = (self.tree, tuple([self._signature(leaf) for leaf in self.leaves]))

    def _signature(self, leaf: Any) -> Hashable:
        kind = type(leaf)
        if kind is np.ndarray:
            return leaf.dtype, leaf.shape
        if kind is float:
            return float
        if kind is int:
            return int
        if kind is complex:
            return complex
        if isinstance(leaf, Sym):
            self.recorder = leaf.recorder
            return leaf.dtype, leaf.shape, leaf.weak, leaf.boxed and not leaf.shape
        if isinstance(leaf, (np.ndarray, np.generic)):
            return kind, leaf.dtype, leaf.shape
        if is_generator(leaf):
            self.recorder = getattr(leaf, "recorder", self.recorder)
            return np.random.Generator
        value = leaf.value if kind is Marked else leaf
        return _static_key(value)


def _static_key(value: Any) -> Hashable:
    """A key under which -0.0 is not 0.0 and True is not 1."""
    if isinstance(value, float):
        return float, struct.pack("d", value)
    if type(value) is tuple:
        return tuple, tuple(_static_key(part) for part in value)
    try:
        hash(value)
    except TypeError:
        raise TraceError(
            f"a static argument of type {type(value).__name__} cannot be part of the key, as it is not hashable",
            fix=f"pass {type(value).__name__}.tocsr()"
            if hasattr(value, "tocsr")
            else "pass a tuple instead of a list, or register the class with tg.register_pytree",
            where=user_frame(),
        ) from None
    return type(value), value


class Family:
    """What the value, the gradient and their joint program of one function share: traces, statistics, a lock."""

    def __init__(self, function: Callable[..., Any], options: Options) -> None:
        self.function = function
        self.options = options
        self.stats = Stats()
        self.lock = threading.RLock()
        self.traces: dict[Any, Traced] = {}
        self.name = getattr(function, "__name__", type(function).__name__)
        self.parameters = _parameters(function)
        self.own_out = self.takes("out")

    def call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        """The arguments taken apart, static ones marked."""
        names = self.options.static_argnames
        if names:
            args = tuple(
                Marked(a) if k < len(self.parameters) and self.parameters[k] in names else a for k, a in enumerate(args)
            )
            kwargs = {k: Marked(v) if k in names else v for k, v in kwargs.items()}
        return Call(args, kwargs)

    def takes(self, name: str) -> bool:
        """Whether the function may be given an argument of this name, as far as its signature says."""
        try:
            parameters = signatures.signature(self.function).parameters
        except (TypeError, ValueError):
            return True
        return name in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())

    def root(self, position: int | str) -> str:
        """What a person calls an argument."""
        if isinstance(position, str):
            return position
        return self.parameters[position] if position < len(self.parameters) else f"argument {position}"

    def arguments(self, call: Call) -> list[tuple[int | str, list[Any], TreeDef]]:
        """Position or name, leaves and structure of each argument, in the order of the call's leaves."""
        parts: list[tuple[int | str, list[Any], TreeDef]] = []
        for k, value in enumerate(call.args):
            parts.append((k, *flatten(value, root=self.root(k))))
        parts.extend((name, *flatten(call.kwargs[name], root=name)) for name in sorted(call.kwargs))
        return parts

    def trace(self, call: Call, key: Any) -> Traced:
        """The trace for a key, made anew where something it read has changed."""
        known = self.traces.get(key)
        if known is not None and known.guard.fresh():
            return known
        entries: list[Leaf] = []
        for position, leaves, tree in self.arguments(call):
            for leaf, path in zip(leaves, tree.paths(self.root(position)), strict=True):
                entries.append(_entry(leaf, path))
        began = time.perf_counter()
        traced = trace(self.function, call.tree, entries, name=self.name)
        if self.options.native and call.recorder is None and not call.tensors:
            general = counted_graph(self.function, call.tree, entries, traced)
            if traced.once or traced.guard.fresh():
                traced = replace(traced, general=general)
            else:  # the function changes what it reads: what it read last counts
                traced = trace(self.function, call.tree, entries, name=self.name)
        self.stats.spent("trace", time.perf_counter() - began)
        self.stats.traces += 1
        self.traces[key] = traced
        return traced


def _parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    try:
        return tuple(signatures.signature(function).parameters)
    except (TypeError, ValueError):
        return ()


def _entry(leaf: Any, path: str) -> Leaf:
    """How a leaf enters the trace."""
    if on_tape(leaf):
        leaf = leaf._array
    if isinstance(leaf, Marked):
        return Static(leaf.value)
    if isinstance(leaf, Sym):
        return Argument(path, leaf.aval, leaf.weak, boxed=leaf.boxed)
    if means_otherwise(type(leaf)):
        raise DtypeError(
            f"{path} is a {type(leaf).__name__}, whose operations are not those of an array",
            fix="pass np.asarray of it, and a mask as an array of its own",
            where=user_frame(),
        )
    if isinstance(leaf, (np.ndarray, np.generic)):
        try:
            # a NumPy int or bool may be structure like one of Python; an array with one never is
            value = leaf if isinstance(leaf, (np.integer, np.bool_)) else None
            aval = Aval(leaf.shape, supported(leaf.dtype, VALUES))
            return Argument(path, aval, value=value, boxed=isinstance(leaf, np.ndarray))
        except DtypeError as error:
            raise DtypeError(f"{path}: {error.message}", fix=error.fix, where=user_frame()) from None
    if type(leaf) in (float, complex):
        return Argument(path, Aval((), np.dtype(type(leaf))), weak=True)
    if type(leaf) is int:
        return Argument(path, Aval((), np.dtype(np.int64)), weak=True, value=leaf)
    if is_generator(leaf):
        return Source(path)
    return Static(leaf)
