"""Callers: the path of repeated calls, written out for one signature and one program.

Taking arguments apart, looking the key up, and rebuilding the result in general code costs several times what a small
program runs. A caller does the same for one key only, as straight Python text: it tests that the arguments have the types,
dtypes and shapes of its key and that nothing the trace read was rebound, allocates the outputs, and calls the entry. Where
anything differs it returns ``MISS``, before anything has been done, and the general path decides. The text holds no value of
the signature, so one text serves all shapes.

The value and gradient of Rosenbrock of 10 take 1.2 µs this way in place of 5.6, those of a dict of eight arrays 4.4 in
place of 32 (``python -m benchmarks.call_overhead``). Signatures of plain arrays, floats and containers have a direct caller in
front, without any Python (:mod:`tracegrad.direct`), which leaves to these what it does not know: keywords, ``out=``, arrays
that have to be copied first, other containers.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np

from tracegrad.calls import Call, Marked
from tracegrad.config import config
from tracegrad.core.tree import TreeDef, container, flatten
from tracegrad.runtime.arena import aligned
from tracegrad.runtime.executable import Executable, behaved
from tracegrad.trace.draws import Draw, drawn, is_generator
from tracegrad.trace.prints import Prints
from tracegrad.trace.reads import Capture, Guard

Caller = Callable[[tuple[Any, ...], Mapping[str, Any]], Any]


class Miss:
    """What a caller returns for a call that is not its own."""

    def __repr__(self) -> str:
        return "MISS"


MISS: Final = Miss()


@dataclass(frozen=True, slots=True)
class Signature:
    """What a caller is for.

    Parameters
    ----------
    call: one call of it, without tensors.
    inputs, static_ints, captured, guard: of its trace.
    executable: the native program.
    result: the structure of the result.
    draws: what it draws from generators among the leaves.
    prints: what it prints; None for nothing.
    out: what ``out=`` was given; None for calls without it.
    """

    call: Call
    inputs: tuple[int, ...]
    static_ints: tuple[int, ...]
    captured: tuple[Capture, ...]
    guard: Guard
    executable: Executable
    result: TreeDef
    draws: tuple[Draw, ...] = ()
    prints: Prints | None = None
    out: Any = None


def overlapping(outs: Sequence[Any], read: Sequence[Any]) -> bool:
    """Whether an array shares memory with another one that is written to, or with one that is read."""
    return any(np.may_share_memory(array, other) for k, array in enumerate(outs) for other in (*outs[:k], *read))


def make_caller(signature: Signature) -> Caller | None:
    """A function of ``(args, kwargs)`` that gives the result of a call of this signature, and ``MISS`` for any other call.

    Parameters
    ----------
    signature: the call and its program.

    None where a leaf is of a kind that only the general path can tell apart, as for subclasses of ndarray, for programs that
    look at positions at run time, and for ``out=`` of those that print.
    """
    if signature.executable.places or (signature.out is not None and signature.prints is not None):
        return None
    try:
        return _Writer(signature).written()
    except _NotPlainError:
        return None


class _NotPlainError(Exception):
    """There is no caller for a signature."""


class _Writer:
    """Writes the text of a caller, and collects the values it refers to by name."""

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        self.lines: list[str] = []
        self.values: dict[str, Any] = {"MISS": MISS, "ndarray": np.ndarray, "empty": np.empty}
        self._names: dict[tuple[str, int], str] = {}
        self._variables = 0
        self._taken: list[str] = []
        self._outs: list[str] = []
        self._late: list[str] = []

    def written(self) -> Caller:
        """The caller."""
        self._take_apart()
        self._check_reads()
        self._run()
        text = "\n".join(
            [
                f"def make({', '.join(self.values)}):",
                "    def caller(args, kwargs):",
                *(f"        {line}" for line in self.lines),
                "    return caller",
            ]
        )
        made: Caller = _factory(text)(*self.values.values())
        return made

    # -- pieces ----------------------------------------------------------------------------------------------------

    def named(self, value: Any, kind: str) -> str:
        """A name for a value that the text must not hold."""
        known = self._names.get((kind, id(value)))
        if known is None:
            known = self._names[kind, id(value)] = f"{kind}{len(self._names)}"
            self.values[known] = value
        return known

    def variable(self) -> str:
        """A fresh local variable."""
        self._variables += 1
        return f"v{self._variables}"

    def miss_if(self, condition: str) -> None:
        """Give the call back where the condition holds."""
        self.lines += [f"if {condition}:", "    return MISS"]

    # -- arguments -------------------------------------------------------------------------------------------------

    def _take_apart(self) -> None:
        """Bring every leaf into a variable, and test that it is of its kind."""
        root: Any = self.signature.call.tree.spec
        _, _, (positional, named) = root
        self._open(positional, "args", known=True)
        if self.signature.out is not None:
            self.miss_if(f"len(kwargs) != {len(named[2]) + 1}")
            [*parts, out] = self._entries("kwargs", (*named[1], "out"))
            for part, child in zip(parts, named[2], strict=True):
                self._open(child, part)
            if flatten(self.signature.out)[1] != self.signature.result:
                raise _NotPlainError  # None in places, say
            self.lines.append(f"out = {out}")
            self._open(self.signature.result.spec, "out", out=True)
        elif named[2]:
            self._open(named, "kwargs", known=True)
        else:
            self.miss_if("kwargs")

    def _entries(self, variable: str, keys: Sequence[str]) -> list[str]:
        """Variables for the entries of a dict."""
        parts = [self.variable() for _ in keys]
        if parts:
            self.lines += ["try:"]
            self.lines += [f"    {part} = {variable}[{key!r}]" for part, key in zip(parts, keys, strict=True)]
            self.lines += ["except KeyError:", "    return MISS"]
        return parts

    def _open(self, spec: Any, variable: str, *, known: bool = False, out: bool = False) -> None:
        if spec is ...:
            taken, check = (self._outs, self._check_out) if out else (self._taken, self._check_leaf)
            check(len(taken), variable)
            taken.append(variable)
            return
        cls, aux, children = spec
        if cls is type(None):
            self.miss_if(f"{variable} is not None")
            return
        other = "" if known else f"type({variable}) is not {self.named(cls, 'class')} or "
        if cls in (tuple, list):
            parts = [self.variable() for _ in children]
            self.miss_if(f"{other}len({variable}) != {len(parts)}")
            if parts:
                self.lines.append(f"{', '.join(parts)}, = {variable}")
        elif cls is dict and all(type(key) is str for key in aux):
            self.miss_if(f"{other}len({variable}) != {len(children)}")
            parts = self._entries(variable, aux)
        else:
            parts, opened = [self.variable() for _ in children], self.variable()
            self.miss_if(other.removesuffix(" or "))
            self.lines.append(f"{opened}, aux = {self.named(container(cls).open, 'open')}({variable})")
            self.lines.append(f"{opened} = tuple({opened})")
            self.miss_if(f"aux != {self.named(aux, 'aux')} or len({opened}) != {len(parts)}")
            if parts:
                self.lines.append(f"{', '.join(parts)}, = {opened}")
        for part, child in zip(parts, children, strict=True):
            self._open(child, part, out=out)

    def _check_out(self, place: int, variable: str) -> None:
        aval = self.signature.executable.made[place]
        dtype, shape = self.named(aval.dtype, "dtype"), self.named(aval.shape, "shape")
        self.miss_if(
            f"type({variable}) is not ndarray or ({variable}.dtype is not {dtype} and {variable}.dtype != {dtype}) "
            f"or {variable}.shape != {shape} or not {variable}.flags.carray"
        )

    def _check_leaf(self, place: int, variable: str) -> None:
        leaf = self.signature.call.leaves[place]
        kind = type(leaf)
        if kind is np.ndarray:
            # one dtype is one object as long as it was not unpickled
            dtype, shape = self.named(leaf.dtype, "dtype"), self.named(leaf.shape, "shape")
            self.miss_if(
                f"type({variable}) is not ndarray or "
                f"({variable}.dtype is not {dtype} and {variable}.dtype != {dtype}) or {variable}.shape != {shape}"
            )
        elif is_generator(leaf):
            self.miss_if(f"type({variable}) is not {self.named(kind, 'class')}")
        elif kind is Marked or place in self.signature.static_ints or place not in self.signature.inputs:
            value = leaf.value if kind is Marked else leaf
            if type(value) in (int, bool, str):
                same = f"type({variable}) is {type(value).__name__} and {variable} == {self.named(value, 'value')}"
                self.miss_if(f"not ({same})")
            else:
                self.miss_if(f"{variable} is not {self.named(value, 'value')}")
        elif kind in (float, int, complex):
            self.miss_if(f"type({variable}) is not {kind.__name__}")
        elif issubclass(kind, np.generic):
            self.miss_if(f"type({variable}) is not {self.named(kind, 'class')}")
        else:
            raise _NotPlainError

    def _check_reads(self) -> None:
        guard = self.signature.guard
        if guard.slow:
            self.values["fresh"] = guard.fresh
            self.miss_if("not fresh()")
            return
        for space, key, value, _ in guard.names:
            self.miss_if(f"{self.named(space, 'space')}.get({key!r}) is not {self.named(value, 'value')}")
        if guard.attributes:
            tests = [f"{self.named(o, 'owner')}.{key} is not {self.named(v, 'value')}" for o, key, v, _ in guard.attributes]
            self.lines += ["try:", f"    if {' or '.join(tests)}:", "        return MISS"]
            self.lines += ["except (AttributeError, ValueError):", "    return MISS"]  # deleted; an emptied cell

    # -- the run ---------------------------------------------------------------------------------------------------

    def _operands(self) -> list[str]:
        """What the entry takes, as it takes it fastest."""
        executable, leaves = self.signature.executable, self.signature.call.leaves
        known = [*zip(self._taken, leaves, strict=True), *self._drawn()]
        sources = [known[k] for k in self.signature.inputs]
        for capture in self.signature.captured:
            variable = self.variable()
            self.lines.append(f"{variable} = {self.named(capture.read, 'read')}()")
            sources.append((variable, capture.read()))
        fresh = {variable for variable, _ in known[len(leaves) :]}
        self._keep_apart([v for v, value in sources if isinstance(value, np.ndarray) and v not in fresh])
        operands = []
        for pick, aval in zip(executable.picks, executable.avals, strict=True):
            variable, value = sources[pick]
            if aval.shape:
                if not isinstance(value, np.ndarray) or value.dtype != aval.dtype:
                    raise _NotPlainError
                # what was drawn cannot be drawn again, so that the entry must take the first that it is given
                if (executable.irregular or self._late) and variable not in fresh:
                    self.values["behaved"] = behaved
                    self.lines += [f"flags = {variable}.flags", "if not (flags.c_contiguous and flags.aligned):"]
                    self.lines.append(f"    {variable} = behaved({variable})")
            elif aval.dtype.kind == "c":
                self.values["array"] = np.array
                variable = f"array([{variable}], {self.named(aval.dtype, 'dtype')})"
            elif type(value) not in (float, int, bool):
                if isinstance(value, np.ndarray) and value.dtype != aval.dtype:
                    raise _NotPlainError
                variable = f"{variable}.item()"
            operands.append(variable)
        return operands

    def _drawn(self) -> list[tuple[str, Any]]:
        """Variables for what is drawn, with examples; the lines that draw come last, where no other caller can be asked."""
        leaves, draws = self.signature.call.leaves, self.signature.draws
        if any(draw.needs is not None for draw in draws):
            raise _NotPlainError
        made = [(self.variable(), value) for value in drawn(draws, leaves, copies=True)[len(leaves) :]] if draws else []
        for (variable, _), draw in zip(made, draws, strict=True):
            self._late.append(f"{variable} = {self.named(draw, 'draw')}({self._taken[draw.leaf]})")
        return made

    def _keep_apart(self, read: Sequence[str]) -> None:
        """Test that outs share no memory, unless these very arrays were tested by the call before."""
        if not self._outs:
            return
        arrays = [*self._outs, *read]
        dead: Callable[[], None] = lambda: None  # noqa: E731 - stands for a reference to an array that is gone
        self.values |= {"overlapping": overlapping, "ref": weakref.ref, "tested": [(dead,) * len(arrays)]}
        same = " and ".join(f"known[{k}]() is {variable}" for k, variable in enumerate(arrays))
        self.lines += [
            "known = tested[0]",
            f"if not ({same}):",
            f"    if overlapping([{', '.join(self._outs)}], [{', '.join(read)}]):",
            "        return MISS",  # the general path says what is wrong
            f"    tested[0] = ({', '.join(f'ref({variable})' for variable in arrays)},)",
        ]

    def _buffers(self) -> list[str]:
        """The outputs that the entry writes to."""
        executable = self.signature.executable
        if self._outs:
            if any(again for _, _, again in executable.results):
                raise _NotPlainError
            given = {
                k: variable if is_array else f"{variable}.reshape(1)"
                for (k, is_array, _), variable in zip(executable.results, self._outs, strict=True)
            }
            return [given[k] for k in range(len(executable.outputs))]
        made: list[str] = []
        for shape, dtype in executable.outputs:
            made.append(f"out{len(made)}")
            self.lines.append(f"{made[-1]} = empty({self.named(shape, 'shape')}, {self.named(dtype, 'dtype')})")
        return made

    def _run(self) -> None:
        executable = self.signature.executable
        operands = self._operands()
        made = self._buffers()
        self.values |= {"entry": executable.entry, "plan": executable.words(), "arena": executable.nothing}
        if executable.threaded:
            # how many threads there may be stands in the plan: another setting is another plan
            self.values |= {"scoped": config.scoped.get, "config": config, "settings": config.process}
            self.miss_if("scoped() or config.process is not settings")
        if executable.arena_bytes:
            free, keep = executable.pool.free, executable.pool.keep
            self.values |= {"free": free, "keep": keep, "aligned": aligned, "nbytes": executable.arena_bytes}
            self.lines += ["try:", "    arena = free.pop()", "except IndexError:", "    arena = aligned(nbytes)"]
            del self.values["arena"]
        constants = [self.named(value, "constant") for value in executable.constants]
        self.lines += self._late
        self.lines += [
            "try:",
            f"    entry({', '.join([*operands, *constants, *made, 'arena', 'plan'])})",
            "except TypeError:",  # a strided array, which the general path copies
            "    return MISS",
        ]
        if executable.arena_bytes:
            self.lines += ["if len(free) < keep:", "    free.append(arena)"]
        prints = self.signature.prints
        if self._outs:
            self.lines.append("return out")
            return
        values = [
            (f"{made[k]}.copy()" if again else made[k]) if is_array else f"{made[k]}[0]"
            for k, is_array, again in executable.results
        ]
        if prints is not None:
            self.lines.append(f"{self.named(prints.show, 'show')}(({''.join(f'{v}, ' for v in prints.among(values))}))")
            values = prints.without(values)
        self.lines.append(f"return {self._closed(self.signature.result.spec, iter(values))}")

    def _closed(self, spec: Any, values: Iterator[str]) -> str:
        """The expression of a result of this structure."""
        if spec is ...:
            return next(values)
        cls, aux, children = spec
        parts = tuple([self._closed(child, values) for child in children])
        if cls is tuple:
            return f"({', '.join(parts)}{',' * (len(parts) == 1)})"
        if cls is list:
            return f"[{', '.join(parts)}]"
        if cls is type(None):
            return "None"
        if cls is dict and all(type(key) is str for key in aux):
            return "{" + ", ".join(f"{key!r}: {part}" for key, part in container(dict).close(aux, parts).items()) + "}"
        closing = self.named(container(cls).close, "close")
        return f"{closing}({self.named(aux, 'aux')}, ({', '.join(parts)}{',' * (len(parts) == 1)}))"


@lru_cache(maxsize=512)
def _factory(text: str) -> Callable[..., Caller]:
    """The function that a caller's text defines."""
    namespace: dict[str, Any] = {}
    exec(compile(text, "<tracegrad caller>", "exec"), namespace)
    factory: Callable[..., Caller] = namespace["make"]
    return factory
