"""``convolve`` of arrays of any number of axes, by the signature of ``autograd.scipy.signal``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracegrad.compat.absent import refusing
from tracegrad.compat.calls import gathered
from tracegrad.core.source import user_frame
from tracegrad.errors import ShapeError
from tracegrad.ops import assembly, einsum, indexing, views

__all__ = ["convolve"]

__getattr__ = refusing(__name__)

Axes = Sequence[Sequence[int]]


def convolve(A: Any, B: Any, axes: Axes | None = None, dot_axes: Axes = ((), ()), mode: str = "full") -> Any:
    """The convolution of two arrays along pairs of axes, summed over other pairs.

    Parameters
    ----------
    A, B: the arrays.
    axes: for each of them its axes that are convolved, in pairs; all of them unless given.
    dot_axes: for each of them its axes of equal sizes whose products are summed.
    mode: ``"full"``, ``"valid"``, or ``"same"``, which has the size of ``A``.

    Returns an array of the other axes of ``A``, those of ``B``, and the convolved ones, in this order. Raises ShapeError for
    sizes that do not go together.

    >>> convolve(np.array([1.0, 2.0, 3.0]), np.array([1.0, 10.0]))
    array([ 1., 12., 23., 30.])
    """
    A, B = gathered(A), gathered(B)
    if mode not in ("full", "valid", "same"):
        raise ShapeError(f"mode={mode!r} is no mode of convolve", fix='use "full", "valid" or "same"', where=user_frame())
    if axes is None:
        axes = (range(A.ndim), range(A.ndim))
    conv = [tuple(k % x.ndim for k in ks) for x, ks in zip((A, B), axes, strict=True)]
    dots = [tuple(k % x.ndim for k in ks) for x, ks in zip((A, B), dot_axes, strict=True)]
    sizes = [(A.shape[i], B.shape[j]) for i, j in zip(*conv, strict=True)]
    if mode == "valid" and any(m < n for m, n in sizes):
        if any(m > n for m, n in sizes):
            raise ShapeError(
                f"a valid convolution of sizes {sizes}, of which neither covers the other",
                fix="one array must be the larger along all convolved axes",
                where=user_frame(),
            )
        swapped = convolve(B, A, conv[::-1], dots[::-1], mode)
        first, second = B.ndim - len(conv[1]) - len(dots[1]), A.ndim - len(conv[0]) - len(dots[0])
        order = [*range(first, first + second), *range(first), *range(first + second, swapped.ndim)]
        return views.transpose(swapped, order)
    return _slid(A, B, conv, dots, mode)


def _slid(A: Any, B: Any, conv: Sequence[Sequence[int]], dots: Sequence[Sequence[int]], mode: str) -> Any:
    """Sums of products of ``B`` backwards with the windows of ``A`` that it lies over."""
    padding = [(0, 0)] * A.ndim
    for i, j in zip(*conv, strict=True):
        extra = B.shape[j] - 1
        padding[i] = {"full": (extra, extra), "valid": (0, 0), "same": (extra - extra // 2, extra // 2)}[mode]
    windows = assembly.pad(A, padding) if any(p != (0, 0) for p in padding) else A
    # each convolved axis becomes two, the place of the window and the place within it; the last go first, as axes shift
    labels = list(range(A.ndim))
    other = list(range(100, 100 + B.ndim))
    for i, j in sorted(zip(*conv, strict=True), reverse=True):
        size = B.shape[j]
        places = np.arange(windows.shape[i] - size + 1)[:, None] + np.arange(size)[::-1]
        windows = indexing.getitem(windows, (*(slice(None),) * i, places))
        labels[i : i + 1] = [200 + i, other[j]]
    for i, j in zip(*dots, strict=True):
        labels = [other[j] if label == i else label for label in labels]
    outer_a = [k for k in range(A.ndim) if k not in conv[0] and k not in dots[0]]
    outer_b = [other[k] for k in range(B.ndim) if k not in conv[1] and k not in dots[1]]
    out = [*outer_a, *outer_b, *(200 + i for i in conv[0])]
    letters = {label: chr(97 + k) for k, label in enumerate(dict.fromkeys([*labels, *other]))}
    parts = ["".join(letters[label] for label in row) for row in (labels, other, out)]
    return einsum.einsum(f"{parts[0]},{parts[1]}->{parts[2]}", windows, B)
