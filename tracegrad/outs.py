"""``out=``: arrays of the caller's that results are written to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracegrad.core.aval import Aval
from tracegrad.core.source import user_frame
from tracegrad.core.tree import TreeDef, container
from tracegrad.errors import DtypeError, ShapeError, TracegradError, TreeError

Out = NDArray[Any] | None


def checked_outs(out: Any, result: TreeDef, avals: Sequence[Aval], arguments: Iterable[Any]) -> list[Out]:
    """The array for each leaf of a result, None where it is to be a new one.

    Parameters
    ----------
    out: what the caller gave; it has the result's structure, and None anywhere in it stands for new arrays.
    result: the structure of the result.
    avals: shapes and dtypes of its leaves.
    arguments: what the program reads; no result may share memory with an array among it.

    Raises TreeError for another structure, ShapeError and DtypeError for other arrays, and TracegradError for memory that
    cannot be written to, is not contiguous, or is shared.
    """
    outs = list(_matched(result.spec, out, "out"))
    paths = _paths(result)
    for array, path, aval in zip(outs, paths, avals, strict=True):
        if array is not None:
            _check(array, path, aval)
    read = [value for value in arguments if isinstance(value, np.ndarray)]
    for k, array in enumerate(outs):
        if array is None:
            continue
        if any(np.may_share_memory(array, other) for other in read):
            raise TracegradError(
                f"{paths[k]} shares memory with an array that the function reads, whose values would be lost midway",
                fix="give memory of its own, and copy the result afterwards",
                where=user_frame(),
            )
        for j in range(k):
            other = outs[j]
            if other is not None and np.may_share_memory(array, other):
                raise TracegradError(
                    f"{paths[k]} shares memory with {paths[j]}", fix="give each result memory of its own", where=user_frame()
                )
    return outs


@lru_cache(maxsize=256)
def _paths(result: TreeDef) -> tuple[str, ...]:
    return result.paths("out")


def _matched(spec: Any, out: Any, path: str) -> Iterator[Any]:
    """What stands in the place of each leaf."""
    if spec is ...:
        yield out
        return
    cls, aux, children = spec
    if out is None:
        for child in children:
            yield from _matched(child, None, path)
        return
    if type(out) is not cls:
        raise TreeError(
            f"{path} is of type {type(out).__name__}, the result there is of type {cls.__name__}",
            fix="give out= the structure of the result, with None where a new array is wanted",
            where=user_frame(),
        )
    kind = container(cls)
    parts, own = kind.open(out)
    given = list(parts)
    if own != aux or len(given) != len(children):
        raise TreeError(
            f"{path} has other parts than the result there, which has {len(children)}",
            fix="give out= the structure of the result, with None where a new array is wanted",
            where=user_frame(),
        )
    for child, part, step in zip(children, given, kind.steps(aux), strict=False):
        yield from _matched(child, part, path + step)


def _check(array: Any, path: str, aval: Aval) -> None:
    error: type[TracegradError] = TracegradError
    if not isinstance(array, np.ndarray):
        text = f"is of type {type(array).__name__}, which is no array"
    elif array.shape != aval.shape:
        error, text = ShapeError, f"has shape {array.shape}, the result there has {aval.shape}"
    elif array.dtype != aval.dtype:
        error, text = DtypeError, f"has dtype {array.dtype}, the result there has {aval.dtype}"
    elif not array.flags.writeable:
        text = "is read-only"
    elif not (array.flags.c_contiguous and array.flags.aligned):
        text = "is not contiguous in C order and aligned"
    else:
        return
    raise error(f"{path} {text}", fix=f"make it with np.empty({aval.shape}, np.{aval.dtype})", where=user_frame())


def stored(values: Sequence[Any], outs: Sequence[Out]) -> list[Any]:
    """Results copied to the caller's arrays, where there are any."""
    results: list[Any] = []
    for value, array in zip(values, outs, strict=True):
        if array is not None:
            array[...] = value
        results.append(value if array is None else array)
    return results
