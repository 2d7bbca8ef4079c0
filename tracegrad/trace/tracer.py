"""Tracing: one run of the user's code with symbolic arrays makes a graph.

``trace`` runs the twin of a function on traced leaves. It starts over when an int that it traced turns out to be
structure (a shape, an axis, a range), or when a captured array does (a mask): that value then becomes part of what
the trace is valid for.

What a caller keeps of a ``Traced``:

- ``graph``: frozen; its inputs are the traced leaves in order (``inputs`` says which leaf each is), then one per
  ``captured``.
- ``static_ints``: the leaves whose values became structure. They belong into the key, beside the values of ``Static``
  leaves.
- ``captured``: arrays from globals, closures and containers; ``read()`` gives the one to pass at each call.
- ``guard``: the check of what else the trace has seen (``reads``); if ``guard.fresh()`` is false the function has to be
  traced again.
"""

from __future__ import annotations

import inspect
import linecache
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tracegrad.core.aval import Aval
from tracegrad.core.graph import Graph
from tracegrad.core.source import raised_at, user_frame
from tracegrad.core.tree import TWIN_OF, TreeDef, flatten
from tracegrad.errors import Frame, TraceError, TracegradError
from tracegrad.ops.selection import Selection
from tracegrad.ops.sources import DRAWS, LANES
from tracegrad.ops.sources import input as input_op
from tracegrad.protocols import Protocols
from tracegrad.symbolic import Recorder, Restart, Sym, current_recorder
from tracegrad.trace.again import first_difference, refuse_counter
from tracegrad.trace.creation import Creation
from tracegrad.trace.draws import Draw, TracedGenerator
from tracegrad.trace.inline import prune
from tracegrad.trace.places import Place
from tracegrad.trace.prints import Print
from tracegrad.trace.reads import Capture, Guard, Read, Reads
from tracegrad.trace.seen import seen_type
from tracegrad.trace.twins import Echo, Twins


@dataclass(frozen=True, slots=True)
class Argument:
    """One traced leaf of a call's arguments.

    ``path`` is how a person writes it (``params['conv1'].w``); ``weak`` says that it is a Python number, and
    ``value`` is given for ints and bools, which may turn out to be structure.
    """

    path: str
    aval: Aval
    weak: bool = False
    value: int | np.integer[Any] | np.bool_ | None = None
    boxed: bool = False
    """Whether it is an array although it has no axes; other values of shape () are scalars."""


@dataclass(frozen=True, slots=True)
class Static:
    """A leaf that is not traced: a bool, a string, a callable."""

    value: Any


@dataclass(frozen=True, slots=True)
class Source:
    """A leaf that numbers are drawn from: a ``Generator``. ``path`` is as for an Argument."""

    path: str


@dataclass(frozen=True, slots=True)
class Traced:
    """What a trace found."""

    graph: Graph
    output_tree: TreeDef
    inputs: tuple[int, ...]
    """For each traced input of the graph the position of its leaf; of random numbers, behind all leaves."""
    static_ints: tuple[int, ...]
    """Positions of leaves whose int values are part of the key."""
    captured: tuple[Capture, ...]
    reads: tuple[Read, ...]
    guard: Guard
    """``guard.fresh()`` is the check of all ``reads``, quick enough for every call."""
    general: Graph | None = None
    """The same values as those of ``graph``, with what counts the elements of a short axis marked; None where nothing is."""
    by_shape: tuple[Capture, ...] = ()
    """All arrays from outside of which only shape and dtype count; the graph has only those it needs as ``captured``."""
    draws: tuple[Draw, ...] = ()
    """What is drawn at each call from generators among the leaves, and stands behind them."""
    once: bool = False
    """Whether it holds for the first call only, which has changed what the function sees: a cache that it filled, say."""
    prints: tuple[Print, ...] = ()
    """What is printed at each call; its values are outputs of the graph behind those of the function."""

    @property
    def hidden(self) -> int:
        """How many outputs of the graph are printed, and no results of the function."""
        return len(self.graph.outputs) - self.output_tree.size


def trace(
    function: Callable[..., Any],
    arguments_tree: TreeDef,
    leaves: Sequence[Leaf],
    *,
    name: str = "",
    most: int | None = None,
    silent: bool = False,
) -> Traced:
    """Run a function once with traced arguments.

    Parameters
    ----------
    function: the user's function; it is never changed, its twin runs.
    arguments_tree: the structure of ``(args, kwargs)``.
    leaves: one entry per leaf of that structure.
    name: what errors call the function.
    most: how many nodes the graph may have; TraceError where there are more.
    silent: whether the function has been traced before, so that what it prints and changes outside is not to be seen again.

    Raises TraceError (EscapeError, ConditionError) with the user's line where the code cannot become a static graph,
    and whatever the user's code raises by itself.
    """
    name = name or getattr(function, "__name__", type(function).__name__)
    static: frozenset[int] = frozenset()
    frozen: frozenset[str] = frozenset()
    echo = Echo(silent=silent)
    while True:
        attempt = _Attempt(leaves, static, frozen, echo, most)
        echo.again()
        try:
            result = attempt.run(function, arguments_tree)
            if not attempt.recorder.wanted:
                found = attempt.finish(result, name, function)
                if silent or not attempt.twins.changed:
                    return found
                break
        finally:
            if silent or attempt.recorder.wanted:
                attempt.twins.undo()
        wanted = attempt.recorder.wanted
        static |= {attempt.inputs[p] for p in wanted if p < len(attempt.inputs)}
        frozen |= {attempt.reads.captured[p - len(attempt.inputs)].name for p in wanted if p >= len(attempt.inputs)}
    second = _Attempt(leaves, static, frozen, Echo(silent=True), most)
    return _looked_at_again(found, attempt, second, function, arguments_tree, name)


def _looked_at_again(
    found: Traced, first: _Attempt, second: _Attempt, function: Callable[..., Any], tree: TreeDef, name: str
) -> Traced:
    """A trace that has changed what is outside, where the next call would be traced the same; else one for this call only.

    Raises TraceError where each call would be traced in another way.
    """
    try:
        result = second.run(function, tree)
        again = None if second.recorder.wanted else second.finish(result, name, function)
    except Exception:  # noqa: BLE001 - the next call traces the function again, and then it is raised
        again = None
    finally:
        second.twins.undo()
    where = None if again is None else first_difference(found.graph, again.graph)
    if again is not None and where is None and (again.output_tree, again.prints) == (found.output_tree, found.prints):
        return found
    if again is not None and second.twins.changed:
        first.twins.revert()
        raise refuse_counter(name, second.twins.changed, where or first.twins.defined)
    once = Read("what was there before the first call", Place.root("changed", lambda: None), lambda _: False)
    reads = (*found.reads, once)
    return replace(found, reads=reads, guard=Guard(reads), once=True)


Leaf = Argument | Static | Source


class _Attempt:
    """One run; ``static`` names the leaves and ``frozen`` the captured arrays whose values are structure."""

    def __init__(
        self,
        leaves: Sequence[Leaf],
        static: frozenset[int],
        frozen: frozenset[str],
        echo: Echo,
        most: int | None = None,
    ) -> None:
        self.leaves = leaves
        self.static = static
        self.inputs = tuple(k for k, leaf in enumerate(leaves) if isinstance(leaf, Argument) and k not in static)
        self.graph = Graph()
        self.reads = Reads(frozen)
        self.recorder = Recorder(
            self.graph,
            user_frame,
            adopt=self._adopt,
            flexible=self._flexible,
            inherit=lambda reads, captured: self.reads.inherit(reads, captured, self.twins.seen_from_here),
            most=most,
        )
        self.recorder.seen_type = seen_type
        creation = Creation(self.recorder)
        self.recorder.protocols = Protocols(self.recorder, creation.functions)
        self.twins = Twins(self.recorder, self.reads, creation, echo)
        self._captures: dict[int, Sym] = {}
        self._creation = creation
        self.draws: list[Draw] = []
        self.arguments = [self._leaf(k, leaf) for k, leaf in enumerate(leaves)]

    def _leaf(self, position: int, leaf: Leaf) -> Any:
        if isinstance(leaf, Source):
            return TracedGenerator(self.recorder, position, leaf.path, self.draws, self._creation.asarray, self._source)
        if isinstance(leaf, Static):
            return self.twins.stand_in_for_argument(leaf.value, position)
        if position in self.static:
            return leaf.value
        number = self.inputs.index(position)
        node = self.graph.emit(input_op, (), {"position": number, "aval": leaf.aval, "name": leaf.path})
        sym = Sym(self.recorder, node, weak=leaf.weak, boxed=leaf.boxed)
        sym.storage.guard = f"{leaf.path} is an argument, and arguments are never written to"
        return sym

    def _source(self, position: int) -> int | Place | None:
        """Where the value of an input is at a call: its leaf, what is drawn standing behind all leaves, or a captured array."""
        if position < len(self.inputs):
            return self.inputs[position]
        if DRAWS <= position < LANES:
            return len(self.leaves) + position - DRAWS
        number = position - len(self.inputs)
        return self.reads.captured[number].read if number < len(self.reads.captured) else None

    def _flexible(self, position: int) -> bool:
        if position >= len(self.inputs):
            return position < len(self.inputs) + len(self.reads.captured)  # these can always be read as a value
        leaf = self.leaves[self.inputs[position]]
        return isinstance(leaf, Argument) and leaf.value is not None

    def _adopt(self, array: np.ndarray[Any, Any]) -> Sym | None:
        """The input that stands for an array from outside; None for arrays that were not read by a name."""
        number = self.reads.number(array)
        if number is None:
            return None
        if number not in self._captures:
            position = len(self.inputs) + number
            capture = self.reads.captured[number]
            params = {"position": position, "aval": capture.aval, "name": capture.name}
            self._captures[number] = Sym(self.recorder, self.graph.emit(input_op, (), params))
        return self._captures[number]

    def run(self, function: Callable[..., Any], tree: TreeDef) -> Any:
        """The function's result; None when the trace has to start over."""
        outer = current_recorder.set(self.recorder)
        try:
            args, kwargs = tree.of_classes(self.twins.class_of_argument).unflatten(self.arguments)
            self.twins.defined = _definition(function)
            return self.twins.call(function, args, kwargs)
        except Restart:
            return None
        except TracegradError as error:
            if self.recorder.wanted:
                return None
            first = self.recorder.escapes[0] if self.recorder.escapes else error
            raise first.at(raised_at(error)) from None
        except Exception:
            if self.recorder.wanted:
                return None
            if self.recorder.escapes:
                raise self.recorder.escapes[0] from None
            raise
        finally:
            current_recorder.reset(outer)

    def finish(self, result: Any, name: str, function: Callable[..., Any]) -> Traced:
        """Close the graph over the results."""
        if self.recorder.escapes:
            raise self.recorder.escapes[0] from None
        root = f"the result of {name}"
        values, tree = flatten(result, root=root)
        try:
            outputs = [self._output(value, path) for value, path in zip(values, tree.paths(root), strict=True)]
        except TracegradError as error:
            raise error.at(_definition(function) or user_frame()) from None
        reads = self.twins.finish()
        self.recorder.closed = True
        first = len(self.inputs)
        tree = tree.of_classes(lambda cls: vars(cls).get(TWIN_OF, cls))
        printed = [i for one in self.recorder.prints for i in one.ids]
        graph, used = prune(self.graph, [*outputs, *printed], first)
        captured = tuple(self.reads.captured[position - first] for position in used)
        return Traced(
            graph,
            tree,
            (*self.inputs, *range(len(self.leaves), len(self.leaves) + len(self.draws))),
            tuple(sorted(self.static)),
            captured,
            reads,
            Guard(reads),
            by_shape=tuple(self.reads.captured),
            draws=tuple(self.draws),
            prints=tuple([one.finished() for one in self.recorder.prints]),
        )

    def _output(self, value: Any, path: str) -> int:
        if isinstance(value, (Sym, np.ndarray, np.generic, bool, int, float, complex)):
            if isinstance(value, Sym) and value.recorder is not self.recorder:
                raise TraceError(f"{path} belongs to another trace", fix="pass it in as an argument")
            return self.recorder.operand(value).id
        if isinstance(value, Selection):
            value.refuse(f"the shape of {path}")
        raise TraceError(
            f"{path} is {_article(type(value).__name__)}, not an array",
            fix="return arrays and numbers, in any nesting of dicts, lists, tuples and dataclasses",
        )


def _definition(function: Any) -> Frame | None:
    """Where a function begins, for errors about the whole of it."""
    code = getattr(inspect.unwrap(getattr(function, "__func__", function)), "__code__", None)
    if code is None:
        return None
    text = linecache.getline(code.co_filename, code.co_firstlineno).strip()
    return Frame(code.co_filename, code.co_firstlineno, code.co_qualname, text)


def _article(word: str) -> str:
    return f"{'an' if word[:1].lower() in 'aeiou' else 'a'} {word}"


__all__ = ["Argument", "Capture", "Draw", "Frame", "Leaf", "Read", "Source", "Static", "Traced", "trace"]
