"""Anomaly mode: nodes note the user's line, and a NaN in a backward names it."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from tracegrad.core.finite import check_cotangent, watching
from tracegrad.errors import TapeError

if TYPE_CHECKING:
    from tracegrad.eager.nodes import Node

_mode: ContextVar[tuple[bool, bool]] = ContextVar("anomaly", default=(False, True))
"""Whether anomalies are detected, and whether NaN is one."""


def detecting() -> bool:
    """Whether anomaly mode is on."""
    return _mode.get()[0]


def is_anomaly_enabled() -> bool:
    """Whether anomaly mode is on.

    >>> is_anomaly_enabled()
    False
    """
    return detecting()


def is_anomaly_check_nan_enabled() -> bool:
    """Whether NaN in a backward is an anomaly, while anomaly mode is on.

    >>> is_anomaly_check_nan_enabled()
    True
    """
    return _mode.get()[1]


class set_detect_anomaly:  # noqa: N801 - PyTorch's name
    """Turn anomaly mode on or off at once; as a context manager it is undone at the end.

    In this mode every recorded op notes the user's line, and a backward that computes NaN raises TapeError with the line
    of the forward op. It slows everything down.

    >>> with set_detect_anomaly(True):
    ...     is_anomaly_enabled()
    True
    """

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        self._before = _mode.get()
        _mode.set((bool(mode), check_nan))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        _mode.set(self._before)


class detect_anomaly(set_detect_anomaly):  # noqa: N801 - PyTorch's name
    """Anomaly mode for the length of a ``with`` block.

    >>> with detect_anomaly():
    ...     is_anomaly_enabled()
    True
    """

    def __init__(self, check_nan: bool = True) -> None:
        super().__init__(True, check_nan)


def check_cotangents(node: Node, parts: Sequence[Any]) -> None:
    """Raise TapeError if a node computed NaN."""
    if not _mode.get()[1]:
        return
    for k, part in enumerate(parts):
        if part is None:
            continue
        values = getattr(part, "_array", part)
        if watching.get():
            check_cotangent(node.name(), values, node.where)
        if values.dtype.kind in "fc" and np.isnan(values).any():
            raise TapeError(
                f"Function '{node.name()}' returned nan values in its {k}th output.",
                fix="look at the forward operation on this line: its derivative does not exist at these values",
                where=node.where,
            )
