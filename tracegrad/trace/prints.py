"""What a traced function prints: values that a program gives beside its results, and the text around them.

``tg.debug.print`` notes its values in the trace. They become further outputs of the graph, behind those of the function, so
that nothing removes them, and each call of the program prints them in the order of the function.
"""

from __future__ import annotations

import string
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tracegrad.core.aval import Aval
from tracegrad.core.op import Kind
from tracegrad.core.source import user_frame
from tracegrad.core.tree import TreeDef, flatten
from tracegrad.errors import TraceError
from tracegrad.ops.sources import LANES, lane
from tracegrad.symbolic import Recorder, Sym


@dataclass(frozen=True, slots=True)
class Shown:
    """Stands for a traced value among what is printed: its number, and whether it is a number of Python.

    ``axes`` says for each ``vmap`` around, outermost first, whether the value has an axis for its elements.
    """

    number: int
    axes: tuple[bool, ...]
    weak: bool


@dataclass(frozen=True, slots=True)
class Print:
    """One print: the format, what is put into it, and the sizes of the maps around it, for each element of which it prints."""

    text: str
    tree: TreeDef
    leaves: tuple[Any, ...]
    sizes: tuple[int, ...] = ()

    @property
    def count(self) -> int:
        """How many traced values it has."""
        return sum(isinstance(leaf, Shown) for leaf in self.leaves)

    def __call__(self, values: Sequence[Any]) -> None:
        """Print the values."""
        for index in np.ndindex(*self.sizes):
            args, kwargs = self.tree.unflatten(
                [_element(values[leaf.number], leaf, index) if isinstance(leaf, Shown) else leaf for leaf in self.leaves]
            )
            write(text_of(self.text, args, kwargs))


def _element(value: Any, leaf: Shown, index: tuple[int, ...]) -> Any:
    found = np.asarray(getattr(value, "_array", value))  # that of a tensor
    found = found[tuple([i for i, mapped in zip(index, leaf.axes, strict=True) if mapped])]
    return found.item() if leaf.weak else found[()]


@dataclass(frozen=True, slots=True)
class Prints:
    """The prints of a program, whose values stand among its results from number ``start`` on."""

    start: int
    prints: tuple[Print, ...]

    @property
    def count(self) -> int:
        """How many values they have."""
        return sum(one.count for one in self.prints)

    def without(self, results: Sequence[Any]) -> list[Any]:
        """The results of the function among those of the program."""
        return [*results[: self.start], *results[self.start + self.count :]]

    def among(self, results: Sequence[Any]) -> Sequence[Any]:
        """The values that are printed."""
        return results[self.start : self.start + self.count]

    def show(self, values: Sequence[Any]) -> None:
        """Print them."""
        first = 0
        for one in self.prints:
            one(values[first : first + one.count])
            first += one.count

    def take(self, results: Sequence[Any]) -> list[Any]:
        """Print, and give the results of the function."""
        self.show(self.among(results))
        return self.without(results)


@dataclass(slots=True)
class Noted:
    """A print while its function is traced: ``leaves`` has None for traced values, whose nodes are ``ids``."""

    text: str
    tree: TreeDef
    leaves: list[Any]
    ids: list[int]
    weak: list[bool]
    axes: list[tuple[bool, ...]] = field(default_factory=list)
    sizes: tuple[int, ...] = ()

    def mapped(self, stacked: Mapping[int, int], size: int) -> None:
        """Print for each element of a map, with the nodes that have its axis in front; once if all share the values."""
        if not any(i in stacked for i in self.ids):
            return
        self.axes = [(i in stacked, *axes) for i, axes in zip(self.ids, self.axes, strict=True)]
        self.ids = [stacked.get(i, i) for i in self.ids]
        self.sizes = (size, *self.sizes)

    def finished(self) -> Print:
        """What a program keeps of it."""
        marks = iter([Shown(k, *parts) for k, parts in enumerate(zip(self.axes, self.weak, strict=True))])
        leaves = [next(marks) if leaf is _TRACED else leaf for leaf in self.leaves]
        return Print(self.text, self.tree, tuple(leaves), self.sizes)


_TRACED = object()


def note(recorder: Recorder, text: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Note a print in a trace.

    Raises TraceError where the values do not fit the format, and for cotangents and tangents in a rule for a derivative.
    """
    leaves, tree = flatten((args, kwargs), root="the values of tg.debug.print")
    syms = [leaf for leaf in leaves if isinstance(leaf, Sym)]
    for sym in syms:
        if sym.recorder is not recorder:
            raise TraceError("tg.debug.print of a value of another trace", fix="pass it in as an argument", where=user_frame())
    examples = [_example(leaf.aval, leaf.weak) if isinstance(leaf, Sym) else leaf for leaf in leaves]
    checked_text(text, *tree.unflatten(examples))
    ids = [sym.id for sym in syms]
    if recorder.rule:
        graph = recorder.graph
        roots = [graph[i] for i in graph.ancestors(ids)]
        if any(n.op.kind is Kind.INPUT and n.op is not lane and n.params["position"] >= LANES for n in roots):
            raise TraceError(
                f"tg.debug.print of a cotangent or a tangent, in the rule for the derivative of {recorder.rule}",
                fix="print in the function itself, or take the derivative with tg.vjp or tg.jvp and print that",
                where=user_frame(),
            )
        return  # the function itself has printed it
    marks = [_TRACED if isinstance(leaf, Sym) else leaf for leaf in leaves]
    recorder.prints.append(Noted(text, tree, marks, ids, [s.weak for s in syms], [()] * len(ids)))


def _example(aval: Aval, weak: bool) -> Any:
    value = np.zeros(aval.shape, aval.dtype)[()]
    return value.item() if weak else value


class _Formatter(string.Formatter):
    """Python's formatting, where each value has to be used."""

    def check_unused_args(self, used_args: Any, args: Any, kwargs: Any) -> None:
        """Raise ValueError for values that are not shown."""
        unused = [str(k) for k in range(len(args)) if k not in used_args] + [k for k in kwargs if k not in used_args]
        if unused:
            raise ValueError(f"value {unused[0]} is not in the format")


def text_of(text: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """What is printed of values; what ``str.format`` raises, and ValueError for a value that is not shown."""
    return _Formatter().vformat(text, args, kwargs)


def checked_text(text: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """What is printed of values; TraceError where they do not fit the format."""
    try:
        return text_of(text, args, kwargs)
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        raise TraceError(
            f"tg.debug.print({text!r}, ...) of {len(args)} values and {len(kwargs)} by name: {error}",
            fix='give one value for each {} and {name}, tg.debug.print("x is {}, y is {y}", x, y=y); arrays take no spec',
            where=user_frame(),
        ) from None


def write(line: str) -> None:
    """Print a line where ``sys.stdout`` goes now."""
    sys.stdout.write(f"{line}\n")


def mapped_prints(recorder: Recorder, begun: int, stacked: Callable[[Sequence[int]], Mapping[int, int]], size: int) -> None:
    """Map the prints of a trace from number ``begun`` on over an axis; ``stacked`` gives the nodes that have it in front."""
    noted = recorder.prints[begun:]
    ids = [i for one in noted for i in one.ids]
    if ids:
        found = stacked(ids)
        for one in noted:
            one.mapped(found, size)


def note_again(recorder: Recorder, prints: Prints, ids: Sequence[int]) -> None:
    """Note the prints of a trace that becomes part of another one, where their values have these nodes."""
    first = 0
    for one in prints.prints:
        marks = [leaf for leaf in one.leaves if isinstance(leaf, Shown)]
        leaves = [_TRACED if isinstance(leaf, Shown) else leaf for leaf in one.leaves]
        part = list(ids[first : first + one.count])
        first += one.count
        noted = Noted(one.text, one.tree, leaves, part, [m.weak for m in marks], [m.axes for m in marks], one.sizes)
        recorder.prints.append(noted)
