"""Tensors as PyTorch prints them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

PRECISION = 4
THRESHOLD = 1000
EDGE = 3
LINE = 80
_SILENT = {"float32", "int64", "bool"}


def describe(array: Array, grad_fn: str = "", requires_grad: bool = False) -> str:
    """The text of a tensor: its numbers, then dtype, ``grad_fn`` or ``requires_grad`` where they say something.

    >>> describe(np.array([0.5, 2], np.float32), requires_grad=True)
    'tensor([0.5000, 2.0000], requires_grad=True)'
    """
    notes = []
    if array.size == 0 and array.ndim != 1:
        notes.append(f"size={tuple(array.shape)}")
    if array.dtype.name not in _SILENT:
        notes.append(f"dtype=torch.{array.dtype.name}")
    if grad_fn:
        notes.append(f"grad_fn=<{grad_fn}>")
    elif requires_grad:
        notes.append("requires_grad=True")
    prefix = "tensor("
    text = "[]" if array.size == 0 else _block(array, _Numbers(_shown(array)), len(prefix), array.size > THRESHOLD)
    # a note that does not fit behind the last line of numbers gets a line of its own
    last = len(text) - text.rfind("\n") if "\n" in text else len(text) + len(prefix) + 1
    parts = [prefix + text]
    for note in notes:
        if last + len(note) + 2 > LINE:
            parts.append(",\n" + " " * len(prefix) + note)
            last = len(prefix) + len(note)
        else:
            parts.append(", " + note)
            last += len(note) + 2
    return "".join(parts) + ")"


def _shown(array: Array) -> Array:
    """The elements that are printed: all, or the edges of a large array."""
    if array.size <= THRESHOLD:
        return array.reshape(-1)
    for axis, size in enumerate(array.shape):
        if size > 2 * EDGE:
            array = np.concatenate([array.take(range(EDGE), axis), array.take(range(size - EDGE, size), axis)], axis)
    return array.reshape(-1)


class _Numbers:
    """One format for all numbers of a tensor: integral, fixed or scientific, of one width."""

    def __init__(self, shown: Array) -> None:
        self.floating = shown.dtype.kind == "f"
        self.integral = True
        self.scientific = False
        if not self.floating:
            self.width = max(len(str(x)) for x in shown.tolist())
            return
        self.width = 1
        # as in PyTorch, zeros, infinities and NaN have no say in the format
        finite = shown[np.isfinite(shown) & (shown != 0)].astype(np.float64)
        if finite.size == 0:
            return
        low, high = float(np.abs(finite).min()), float(np.abs(finite).max())
        self.integral = bool(np.all(finite == np.ceil(finite)))
        self.scientific = high / low > 1000.0 or high > 1e8 or (not self.integral and low < 1e-4)
        self.width = max(len(self._text(x)) for x in finite.tolist())

    def _text(self, x: Any) -> str:
        if not self.floating:
            return str(x)
        if not math.isfinite(x):
            return str(x)
        if self.scientific:
            return f"{x:.{PRECISION}e}"
        return f"{x:.0f}." if self.integral else f"{x:.{PRECISION}f}"

    def __call__(self, x: Any) -> str:
        return self._text(x).rjust(self.width)


def _block(array: Array, numbers: _Numbers, indent: int, summarise: bool) -> str:
    """Nested brackets, rows wrapped at the line's end."""
    if array.ndim == 0:
        return numbers(array.item()) if array.dtype.kind == "f" else str(array.item())
    size = array.shape[0]
    cut = summarise and size > 2 * EDGE
    if array.ndim == 1:
        values = array.tolist()
        texts = [numbers(x) for x in (values[:EDGE] + values[-EDGE:] if cut else values)]
        if cut:
            texts.insert(EDGE, " ...")
        per_line = max(1, (LINE - indent) // (numbers.width + 2))
        lines = [", ".join(texts[k : k + per_line]) for k in range(0, len(texts), per_line)]
        return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"
    rows = [array[k] for k in range(size)] if not cut else [*array[:EDGE], *array[-EDGE:]]
    blocks = [_block(row, numbers, indent + 1, summarise) for row in rows]
    if cut:
        blocks.insert(EDGE, "...")
    return "[" + ("," + "\n" * (array.ndim - 1) + " " * (indent + 1)).join(blocks) + "]"
