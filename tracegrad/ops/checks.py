"""Positions that are checked at run time: each op reads them from a running index, so they come back as they are.

A kernel cannot raise, but it notes what it could not read (``ops.indexing``), and the caller gets the error that NumPy's
function would raise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tracegrad.core.aval import shape_of
from tracegrad.core.op import FLAT, Kind, Mapped, Op, Sample, Values, keep
from tracegrad.errors import PositionError, TracegradError
from tracegrad.ops.indexing import gather_each
from tracegrad.ops.maps import cast
from tracegrad.ops.matrices import LinAlgError
from tracegrad.ops.sources import running_index
from tracegrad.ops.views import reshape


def _check(
    name: str, message: str, fix: str, error: type[TracegradError] = PositionError
) -> tuple[Op, Callable[[str, int], TracegradError]]:
    """An op that reads at positions, and the error where it cannot."""

    def refusal(element: str, info: int) -> TracegradError:
        return error(message, fix=fix)

    def eager(counted: Any, positions: Any, *, axis: int) -> Any:
        if positions.size and (positions.min() < 0 or positions.max() >= counted.size):
            raise refusal("", 0)
        return counted[positions]

    def each(size: int, mapped: tuple[bool, ...], counted: Any, positions: Any, *, axis: int) -> Any:
        if mapped[0]:  # a running index of each element's own: only tests have that
            return gather_each(size, mapped, counted, positions, axis=axis)
        return reshape(made(counted, reshape(positions, -1), axis=axis), shape_of(positions))

    made = Op(
        name=name,
        kind=Kind.INDEX,
        infer=lambda counted, positions, *, axis: positions,
        promote=keep,
        eager=eager,
        partials=(FLAT, FLAT),
        batch=Mapped(each),
        lower="indexed_read",
        numpy=(),
        torch=("", ""),
        doc="Positions read from a running index: the same again, or an error.",
        samples=(
            Sample((Values((5,), 0, 5, kind="int"), Values((3,), 0, 5, kind="int")), {"axis": 0}, smooth=False),
            Sample(
                (Values((2,), 0, 2, kind="int"), Values((3,), 2, 5, kind="int")),
                {"axis": 0},
                error=error,
                match=message,
            ),
        ),
    )
    return made, refusal


choice_number, _no_choice = _check(
    "choose",
    "invalid entry in choice array",
    'give positions from 0 to the number of choices less one, or use mode="wrap" or "clip"',
)
bin_number, _no_bin = _check(
    "bincount",
    "a number to count is negative, or not less than minlength",
    "give numbers from 0 on, and a minlength above the greatest: the length of the result is not known otherwise",
)
rank_number, _no_rank = _check(
    "full_rank",
    "the matrix has not full rank, so how many vectors there are depends on its values",
    "work with all vectors and the singular values: np.linalg.svd(a, full_matrices=True)",
)
diagonal_zeros, _no_triangle = _check(
    "no_zeros",
    "singular matrix: a number on the diagonal of the triangle is 0",
    "add a small multiple of the identity, or use np.linalg.lstsq",
    LinAlgError,
)

REFUSALS: Mapping[str, Callable[[str, int], TracegradError]] = {
    choice_number.name: _no_choice,
    bin_number.name: _no_bin,
    rank_number.name: _no_rank,
    diagonal_zeros.name: _no_triangle,
}
"""The errors of native code that finds a position out of range."""


def checked(op: Op, positions: Any, size: int) -> Any:
    """Integers of any shape as they are, in 64 bits; what ``op`` refuses where one is not in 0, …, ``size - 1``.

    >>> checked(choice_number, np.array([[1, 0]]), 2)
    array([[1, 0]])
    """
    positions = positions if positions.dtype == np.int64 else cast(positions, dtype=np.dtype(np.int64))
    shape = shape_of(positions)
    flat = reshape(positions, (math.prod(shape),))
    return reshape(op(running_index(size, flat), flat, axis=0), shape)
