"""Tensors as PyTorch prints them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from tracegrad.core.source import user_frame
from tracegrad.eager import dtypes
from tracegrad.errors import DtypeError

__all__ = ["describe", "get_printoptions", "printoptions", "set_printoptions"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class PrintOptions:
    """How tensors are printed; the fields are the arguments of :func:`set_printoptions`."""

    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


_PROFILES = {
    "default": PrintOptions(),
    "short": PrintOptions(precision=2, edgeitems=2),
    "full": PrintOptions(threshold=math.inf),
}

_options: ContextVar[PrintOptions] = ContextVar("print_options", default=_PROFILES["default"])


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Choose how tensors are printed, in this thread or asynchronous task.

    Parameters
    ----------
    precision: digits after the point.
    threshold: number of elements above which only the edges are printed.
    edgeitems: how many elements of each axis make an edge.
    linewidth: columns.
    profile: "default", "short" or "full", which the other arguments then change.
    sci_mode: scientific notation always or never; chosen by the numbers where it is None, also if it was set before.

    >>> set_printoptions(precision=2)
    >>> print(describe(np.array([0.5])))
    tensor([0.50], dtype=torch.float64)
    >>> set_printoptions(profile="default")
    """
    base = _options.get()
    if profile is not None:
        if profile not in _PROFILES:
            raise DtypeError(
                f"set_printoptions() has no profile {profile!r}",
                fix="profile='default', 'short' or 'full'",
                where=user_frame(),
            )
        base = _PROFILES[profile]
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    _options.set(replace(base, **changes, sci_mode=sci_mode))


def get_printoptions() -> dict[str, Any]:
    """The options in force, as arguments for :func:`set_printoptions`.

    >>> get_printoptions()["precision"]
    4
    """
    return asdict(_options.get())


@contextmanager
def printoptions(**options: Any) -> Iterator[None]:
    """Print with these options inside a ``with`` block; the arguments are those of :func:`set_printoptions`.

    >>> with printoptions(precision=1):
    ...     print(describe(np.array([0.5])))
    tensor([0.5], dtype=torch.float64)
    """
    before = _options.get()
    set_printoptions(**options)
    try:
        yield
    finally:
        _options.set(before)


def describe(array: Array, grad_fn: str = "", requires_grad: bool = False, kind: str = "tensor") -> str:
    """The text of a tensor: its numbers, then dtype, ``grad_fn`` or ``requires_grad`` where they say something.

    Parameters
    ----------
    array: the numbers.
    grad_fn: name of the node it came from, "" for a leaf.
    requires_grad: whether the leaf requires grad.
    kind: the word before the bracket.

    >>> describe(np.array([0.5, 2], np.float32), requires_grad=True)
    'tensor([0.5000, 2.0000], requires_grad=True)'
    """
    options = _options.get()
    notes = []
    default = dtypes.default_dtype.get()
    if array.size == 0:
        # nothing shows whether an empty tensor holds integers, so only the default dtype is left out
        silent = array.dtype == default
        if array.ndim != 1:
            notes.append(f"size={tuple(array.shape)}")
    else:
        silent = array.dtype in (default, dtypes.default_complex(), dtypes.int64, dtypes.bool)
        if not options.edgeitems:
            notes.append(f"size={tuple(array.shape)}")
    if not silent:
        notes.append(f"dtype=torch.{array.dtype.name}")
    if grad_fn:
        notes.append(f"grad_fn=<{grad_fn}>")
    elif requires_grad:
        notes.append("requires_grad=True")
    prefix = kind + "("
    return _with_notes(prefix + _numbers(array, len(prefix), options), notes, len(prefix), options.linewidth)


def _with_notes(text: str, notes: list[str], indent: int, linewidth: int) -> str:
    """A note that does not fit behind the last line of numbers gets a line of its own."""
    parts = [text]
    last = len(text) - text.rfind("\n") + 1
    for note in notes:
        if last + len(note) + 2 > linewidth:
            parts.append(",\n" + " " * indent + note)
            last = indent + len(note)
        else:
            parts.append(", " + note)
            last += len(note) + 2
    return "".join(parts) + ")"


def _numbers(array: Array, indent: int, options: PrintOptions) -> str:
    """The nested brackets."""
    if array.size == 0:
        return "[]"
    summarise = array.size > options.threshold
    shown = _shown(array, options.edgeitems) if summarise else array
    number: Callable[[Any], str]
    if array.dtype.kind == "c":
        real, imaginary = _Format(shown.real, options), _Format(shown.imag, options)
        width = real.width + imaginary.width + 1
        number = _Complex(real, imaginary)
    else:
        number = plain = _Format(shown, options)
        width = plain.width
    if array.ndim == 0:
        return number(array.item())
    return _Layout(number, width, summarise, options).block(array, indent)


def _shown(array: Array, edge: int) -> Array:
    """The elements that a large array is judged by: those at the edges of each axis."""
    if not edge and array.ndim > 1:
        return array[:0]
    for axis, size in enumerate(array.shape):
        if edge and size > 2 * edge:
            array = np.concatenate([array.take(range(edge), axis), array.take(range(size - edge, size), axis)], axis)
    return array


class _Format:
    """One format for all numbers of a tensor: integral, fixed or scientific, of one width."""

    def __init__(self, shown: Array, options: PrintOptions) -> None:
        self.precision = options.precision
        self.floating = shown.dtype.kind == "f"
        self.integral = True
        self.scientific = False
        self.width = 1
        if not self.floating:
            self.width = max((len(str(x)) for x in shown.reshape(-1).tolist()), default=1)
            return
        # as in PyTorch, zeros, infinities and NaN have no say in the format
        finite = shown[np.isfinite(shown) & (shown != 0)].astype(np.float64)
        if finite.size == 0:
            return
        low, high = float(np.abs(finite).min()), float(np.abs(finite).max())
        self.integral = bool(np.all(finite == np.ceil(finite)))
        chosen = options.sci_mode
        self.scientific = (high / low > 1000.0 or high > 1e8 or low < 1e-4) if chosen is None else chosen
        self.width = max(1, *(len(self._text(x)) for x in finite.tolist()))

    def _text(self, x: Any) -> str:
        if not self.floating:
            return str(x)
        if self.scientific:
            return f"{x:.{self.precision}e}"
        if self.integral:
            return f"{x:.0f}." if math.isfinite(x) else str(x)
        return f"{x:.{self.precision}f}"

    def __call__(self, x: Any) -> str:
        return self._text(x).rjust(self.width)


class _Complex:
    """Complex numbers, whose two parts have a format each."""

    def __init__(self, real: _Format, imaginary: _Format) -> None:
        self.real = real
        self.imaginary = imaginary

    def __call__(self, x: complex) -> str:
        imaginary = self.imaginary(x.imag).lstrip() + "j"
        return self.real(x.real) + ("" if imaginary[0] == "-" else "+") + imaginary


@dataclass(frozen=True)
class _Layout:
    """Where brackets, commas and line breaks go."""

    number: Callable[[Any], str]
    width: int
    summarise: bool
    options: PrintOptions

    def block(self, array: Array, indent: int) -> str:
        """An array with axes; rows are wrapped at the line's end."""
        if array.ndim == 1:
            return self._row(array, indent)
        edge = self.options.edgeitems
        cut = self.summarise and array.shape[0] > 2 * edge
        rows = [*array[:edge], *array[array.shape[0] - edge :]] if cut else list(array)
        blocks = [self.block(row, indent + 1) for row in rows]
        if cut:
            blocks.insert(edge, "...")
        return "[" + ("," + "\n" * (array.ndim - 1) + " " * (indent + 1)).join(blocks) + "]"

    def _row(self, array: Array, indent: int) -> str:
        edge, size = self.options.edgeitems, array.shape[0]
        if self.summarise and not edge:
            texts = ["..."]
        elif self.summarise and size > 2 * edge:
            texts = [self.number(x) for x in array[:edge].tolist()]
            texts += [" ...", *(self.number(x) for x in array[size - edge :].tolist())]
        else:
            texts = [self.number(x) for x in array.tolist()]
        per_line = max(1, math.floor((self.options.linewidth - indent) / (self.width + 2)))
        lines = [", ".join(texts[k : k + per_line]) for k in range(0, len(texts), per_line)]
        return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"
