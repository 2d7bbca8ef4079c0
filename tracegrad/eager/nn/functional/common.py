"""What the functions share: arguments of one or several numbers, values behind tensors, PyTorch's old spellings."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracegrad.core.aval import one_int
from tracegrad.core.source import user_frame
from tracegrad.eager.functions.reductions import mean
from tracegrad.eager.functions.reductions import sum as sum_of
from tracegrad.errors import ShapeError
from tracegrad.ops.maps import copy
from tracegrad.ops.sources import TRACED


def concrete(x: Any) -> np.ndarray[Any, Any] | None:
    """The values of a tensor for a check, None while they are traced and not known."""
    rank = getattr(x, "bind_rank", 0)
    if rank >= TRACED:
        return None
    return np.asarray(x.detach().numpy() if rank else x)


def sizes_of(name: str, value: int | Sequence[int], count: int, least: int = 0) -> tuple[int, ...]:
    """An int for all axes, or one per axis, as a tuple; ShapeError names the argument."""
    number = one_int(value)
    given = [number] * count if number is not None else [one_int(v) for v in value]  # type: ignore[union-attr]
    given = given * count if len(given) == 1 else given
    found = tuple(n for n in given if n is not None and n >= least)
    if len(found) != count or len(given) != count:
        raise refused(f"{name}={value!r}", f"give an int, or {count} ints, none below {least}")
    return found


def refused(message: str, fix: str) -> ShapeError:
    """The error of shapes that do not fit, with the user's line."""
    return ShapeError(message, fix=fix, where=user_frame())


def finished(function: Callable[..., Any], input: Any, inplace: bool, *args: Any) -> Any:
    """The result of an activation; with ``inplace`` it is written to the input, which is returned."""
    if not inplace:
        return function(input, *args)
    # computed from a copy, as what a derivative needs must outlast the write
    input[...] = function(copy(input), *args)
    return input


def reduction_named(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """The reduction, or what PyTorch's older arguments say it is, with a warning; ValueError for another word."""
    if size_average is not None or reduce is not None:
        everything = reduce is None or reduce
        reduction = "none" if not everything else "mean" if size_average is None or size_average else "sum"
        warnings.warn(
            f"size_average and reduce args will be deprecated, please use reduction='{reduction}' instead.",
            UserWarning,
            stacklevel=4,
        )
    return reduction


def check_reduction(reduction: str, *more: str) -> str:
    """The reduction itself; ValueError for a word that is none."""
    known = ("mean", "sum", "none", *more)
    if reduction not in known:
        raise ValueError(f"{reduction} is not a valid value for reduction: use one of {', '.join(known)}")
    return reduction


def reduced(loss: Any, reduction: str) -> Any:
    """The mean or sum of all losses as one node each, or the losses themselves."""
    if reduction == "none":
        return loss
    return mean(loss) if check_reduction(reduction) == "mean" else sum_of(loss)
