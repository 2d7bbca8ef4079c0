"""Which arguments a derivative is taken with respect to: by position, by name, or by both."""

from __future__ import annotations

import inspect as signatures
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tracegrad.core.source import user_frame
from tracegrad.core.tree import TreeDef, flatten, tuple_of
from tracegrad.errors import DifferentiationError


class Selected(NamedTuple):
    """Arguments of which some are named; ``numbers`` is None where all are, several ``names`` are sorted."""

    numbers: int | tuple[int, ...] | None
    names: str | tuple[str, ...]


Argnums = int | tuple[int, ...] | Selected


def name_of(function: Any) -> str:
    """What errors call a function."""
    return str(getattr(function, "__name__", type(function).__name__))


def parameters_of(function: Any) -> Mapping[str, signatures.Parameter]:
    """The parameters of a function by their names; none where it has no signature."""
    try:
        return signatures.signature(function).parameters
    except (TypeError, ValueError):  # a built-in function may have none
        return {}


def parameter_name(function: Any, position: int) -> str:
    """What a person calls an argument."""
    parameters = parameters_of(function)
    for place, (name, parameter) in enumerate(parameters.items()):
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.KEYWORD_ONLY, parameter.VAR_KEYWORD):
            return f"{name}[{position - place}]" if parameter.kind is parameter.VAR_POSITIONAL else f"argument {position}"
        if place == position:
            return name
    return f"argument {position}"


def checked_argnums(argnums: Any, argnames: Any = None, function: Any = None) -> Argnums:
    """What a transform was given as ``argnums`` and ``argnames``, the first argument where both are None.

    Raises DifferentiationError for anything but positions and names, and for names that ``function`` has no argument of.
    """
    if isinstance(argnums, Selected):
        return argnums
    if argnames is None:
        return 0 if argnums is None else _positions(argnums)
    several = (argnames,) if isinstance(argnames, str) else tuple(argnames) if isinstance(argnames, Sequence) else ()
    if not several or not all(isinstance(name, str) for name in several) or len(set(several)) < len(several):
        raise DifferentiationError(
            f"argnames={argnames!r} names no arguments",
            fix='give names of parameters, each once: argnames="x" or argnames=("x", "y")',
            where=user_frame(),
        )
    parameters = parameters_of(function)
    if parameters and not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        known = [name for name, p in parameters.items() if p.kind is not p.VAR_POSITIONAL]
        for name in several:
            if name not in known:
                raise DifferentiationError(
                    f"argnames names {name!r}, which is no argument of {name_of(function)}",
                    fix=f"name one of {', '.join(known)}" if known else f"give argnums, as {name_of(function)} has no names",
                    where=user_frame(),
                )
    return Selected(
        None if argnums is None else _positions(argnums), argnames if isinstance(argnames, str) else _sorted(several)
    )


def _sorted(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(names))  # as the leaves of a dict are


def _positions(argnums: Any) -> int | tuple[int, ...]:
    if isinstance(argnums, (int, np.integer)) and not isinstance(argnums, bool):
        return int(argnums)
    several = tuple(argnums) if isinstance(argnums, Sequence) and not isinstance(argnums, str) else ()
    if several and all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) for n in several):
        return tuple(int(n) for n in several)
    named = isinstance(argnums, str) or (several and all(isinstance(n, str) for n in several))
    raise DifferentiationError(
        f"argnums={argnums!r} names no arguments",
        fix=f"names go to argnames: argnames={argnums!r}"
        if named
        else "give positions, counted from 0: argnums=0 or argnums=(0, 1)",
        where=user_frame(),
    )


def arguments_of(argnums: Argnums) -> tuple[int | str, ...]:
    """Positions and names, one after the other."""
    if isinstance(argnums, int):
        return (argnums,)
    if not isinstance(argnums, Selected):
        return argnums
    by_name = (argnums.names,) if isinstance(argnums.names, str) else argnums.names
    return by_name if argnums.numbers is None else (*arguments_of(argnums.numbers), *by_name)


def gathered(argnums: Argnums, parts: Sequence[Any]) -> Any:
    """What belongs to each argument in the structure of a result.

    One part for a position or a name, a tuple for several positions, a dict for several names; where both are given, a pair
    of what belongs to positions and what belongs to names.
    """
    if isinstance(argnums, int):
        return parts[0]
    if not isinstance(argnums, Selected):
        return tuple(parts)
    count = 0 if argnums.numbers is None else len(arguments_of(argnums.numbers))
    named = parts[count] if isinstance(argnums.names, str) else dict(zip(argnums.names, parts[count:], strict=True))
    return named if argnums.numbers is None else (gathered(argnums.numbers, parts[:count]), named)


def gathered_structure(argnums: Argnums, structures: Sequence[TreeDef]) -> TreeDef:
    """The structure that ``gathered`` gives parts of these structures."""
    if isinstance(argnums, int):
        return structures[0]
    if not isinstance(argnums, Selected):
        return tuple_of(structures)
    count = 0 if argnums.numbers is None else len(arguments_of(argnums.numbers))
    named = structures[count]
    if not isinstance(argnums.names, str):
        _, outer = flatten(dict.fromkeys(argnums.names, 0.0))
        assert outer.spec is not ...
        parts = structures[count:]
        named = TreeDef((*outer.spec[:2], tuple([s.spec for s in parts])), sum(s.size for s in parts))
    return named if argnums.numbers is None else tuple_of([gathered_structure(argnums.numbers, structures[:count]), named])


def place_of(argument: int | str, function: Any, count: int, given: Mapping[Any, Any], parameters: Sequence[str]) -> int | str:
    """Where the argument stands in a call: its position, or the keyword it was passed by.

    Parameters
    ----------
    argument: a position, negative ones counted from the last, or a name.
    function: what is called; ``parameters`` are the names of its parameters.
    count: how many positional arguments the call has.
    given: the call's arguments by position and keyword.

    Raises DifferentiationError where the call has no such argument.
    """
    if isinstance(argument, str):
        place: int | str = argument
        if place not in given and argument in parameters:
            place = parameters.index(argument)
        if place in given:
            return place
        raise DifferentiationError(
            f"argnames={argument!r} of {name_of(function)} names no argument of this call, which leaves it out",
            fix=f"pass it: {argument}=...",
            where=user_frame(),
        )
    place = argument if argument >= 0 else argument + count
    if place not in given and 0 <= place < len(parameters):
        place = parameters[place]
    if place in given:
        return place
    raise DifferentiationError(
        f"argnums={argument} of {name_of(function)} names no argument of this call, which has {count} positional ones",
        fix="count positional arguments from 0, and pass the argument explicitly",
        where=user_frame(),
    )
