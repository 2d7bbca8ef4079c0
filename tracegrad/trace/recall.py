"""The reads of a trace as plain data, and the reads again in another process that finds everything as it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import numpy as np

from tracegrad.core.aval import aval_of
from tracegrad.trace.changes import dict_of
from tracegrad.trace.describe import Describer, Description, Indescribable, describe_number
from tracegrad.trace.places import Place, Step, walk
from tracegrad.trace.reads import (
    NUMBERS,
    Capture,
    Read,
    Same,
    SameContents,
    held,
    same_content,
    same_number,
    same_object,
    settled_read,
)
from tracegrad.trace.states import is_plain_object, same_state
from tracegrad.trace.tracer import Traced
from tracegrad.trace.twins import CONTAINERS

_UNTOLD = (LookupError, AttributeError, NameError, ValueError, TypeError, Indescribable)


@dataclass(frozen=True, slots=True)
class Recalled:
    """What a trace of an earlier process has read, found unchanged: all reads, and the arrays to pass at each call."""

    reads: tuple[Read, ...]
    captured: tuple[Capture, ...]


def tell(traced: Traced, function: Any) -> Description:
    """The reads of a trace as data that JSON can hold.

    Raises Indescribable where there is no certain way to recognise one of them in another process.
    """
    describe = Describer(id(held(capture.read())) for capture in traced.by_shape)
    return {
        "arrays": [[capture.name, _told_steps(capture.read, function)] for capture in traced.by_shape],
        "captured": [traced.by_shape.index(capture) for capture in traced.captured],
        "reads": [[read.name, _told_steps(read.fetch, function), describe(read.fetch())] for read in traced.reads],
    }


def recall(told: Description, function: Any, leaves: Sequence[Any]) -> Recalled | None:
    """The reads in this process, None where one of them has changed.

    Parameters
    ----------
    told: what ``tell`` gave.
    function: the function that is called.
    leaves: the arguments of the call taken apart, static ones as they are.
    """
    known: dict[tuple[Step, ...], Place] = {}

    def root(step: Step) -> Place:
        kind, key = step
        if kind == "function":
            return Place.root(kind, lambda: function)
        if kind == "argument":
            value = leaves[key]
            return Place.root(kind, lambda: value, key)
        raise LookupError(kind)

    try:
        places = [(name, walk(_steps(steps), root, known)) for name, steps in told["arrays"]]
        arrays = [place() for _, place in places]
        if not all(type(array) is np.ndarray for array in arrays):
            return None
        by_shape = {id(array) for array in arrays}
        describe = Describer(by_shape)
        reads = []
        for name, steps, description in told["reads"]:
            place = walk(_steps(steps), root, known)
            value = place()
            if describe(value) != description:
                return None
            reads.append(_read(name, place, value, by_shape))
        captured = [Capture(places[k][0], aval_of(arrays[k]), places[k][1]) for k in told["captured"]]
    except _UNTOLD:
        return None
    return Recalled(tuple(reads), tuple(captured))


def _told_steps(place: Place, function: Any) -> Description:
    steps = place.steps()
    if steps[0][0] not in {"function", "argument"} or (steps[0][0] == "function" and place.origin()() is not function):
        raise Indescribable(f"what was found by {steps[0][0]} elsewhere")
    return [[kind, describe_number(key)] for kind, key in steps]


def _steps(told: Description) -> tuple[Step, ...]:
    return tuple((kind, _key(key)) for kind, key in told)


def _key(told: Description) -> Any:
    """A key that was described: a string, an int, a bool, None or a float."""
    if told[0] == "float":
        return float.fromhex(told[1])
    if told[0] not in {"str", "int", "bool", "NoneType"}:
        raise LookupError(told[0])
    return told[1]


def _read(name: str, place: Place, value: Any, by_shape: set[int]) -> Read:
    same = _check(value, by_shape, set())
    return settled_read(name, place, same, value)


def _check(value: Any, by_shape: set[int], met: set[int]) -> Same:
    """The check that tracing would have made of a value."""
    if isinstance(value, NUMBERS) and not hasattr(type(value), "__members__"):
        return same_number(value)
    if id(value) in met:
        return same_object(value)
    met.add(id(value))
    if isinstance(value, np.ndarray):
        if id(value) not in by_shape:
            return same_content(value)
        shape, dtype = value.shape, value.dtype
        return lambda v: isinstance(v, np.ndarray) and v.shape == shape and v.dtype == dtype
    if type(value) in CONTAINERS or (isinstance(value, tuple) and hasattr(value, "_fields")):
        cls = type(value)
        return SameContents(
            dict_of, {k: _check(part, by_shape, met) for k, part in dict_of(value).items()}, lambda v: type(v) is cls
        )
    if is_plain_object(value):
        checks = {k: _check(part, by_shape, met) for k, part in vars(value).items()}
        return SameContents(vars, checks, same_object(value))
    return same_object(value) if isinstance(value, FunctionType) else same_state(value)
