"""Sparse matrices from outside a trace: elements are read again at each call, and where they stand is checked or read too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tracegrad.ops import indexing
from tracegrad.ops.stored import BY_POSITION, ROW_BY_ROW, StoredMatrix, in_rows
from tracegrad.ops.views import reshape
from tracegrad.trace.places import Place
from tracegrad.trace.reads import Same, SameContents, same_object

Show = Callable[[Any, str, Place], tuple[Any, Same]]


def show_stored(value: Any, name: str, place: Place, show: Show) -> tuple[Any, Same] | None:
    """A sparse matrix as a trace sees it, and the check that it still is what was read; None for other formats."""
    if value.format not in ROW_BY_ROW and value.format not in BY_POSITION:
        return None
    rows = value.format in ROW_BY_ROW
    parts = ("data", "indices", "indptr") if rows else ("data",)
    shown: dict[str, Any] = {}
    checks: dict[str, Same] = {}
    for key in parts:
        shown[key], checks[key] = show(getattr(value, key), f"{name}.{key}", place.attribute(key))
    if rows:
        turned = ROW_BY_ROW[value.format]
        made = StoredMatrix(type(value), value.shape, shown["data"], shown["indices"], shown["indptr"], turned)
    else:
        kept, columns, ends = in_rows(value)
        for key in BY_POSITION[value.format][1]:
            checks[key] = _same_positions(getattr(value, key))
        flat = reshape(shown["data"], (value.data.size,))
        made = StoredMatrix(type(value), value.shape, indexing.take(flat, kept), columns, ends, turned=False)
    shape, keys = value.shape, tuple(checks)
    same = same_object(value)
    return made, SameContents(lambda v: {key: getattr(v, key) for key in keys}, checks, lambda v: same(v) and v.shape == shape)


def _same_positions(array: Any) -> Same:
    kept = np.array(array)
    return lambda v: np.array_equal(v, kept)
