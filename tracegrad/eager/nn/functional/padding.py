"""Padding with PyTorch's signature: widths from the last dim on, pairs of before and after."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracegrad.core.aval import Shape, shape_of
from tracegrad.core.source import user_frame
from tracegrad.eager.composite import recorded_as
from tracegrad.errors import ShapeError
from tracegrad.ops import assembly
from tracegrad.ops.indexing import getitem

__all__ = ["pad"]

Widths = tuple[tuple[int, int], ...]


@recorded_as("ConstantPadNdBackward0")
def _constant(x: Any, widths: Widths, value: float) -> Any:
    if any(n < 0 for side in widths for n in side):
        # negative widths cut
        key = tuple(slice(max(-b, 0), n - max(-a, 0)) for n, (b, a) in zip(shape_of(x), widths, strict=True))
        x, widths = getitem(x, key), tuple((max(b, 0), max(a, 0)) for b, a in widths)
    return assembly.pad(x, widths, constant_values=value)


def _positions(size: int, before: int, after: int, mode: str) -> Any:
    """Which elements of an axis stand where once it is padded or, by negative widths, cut."""
    own = np.arange(size)[max(-before, 0) : size - max(-after, 0)]
    return np.pad(own, (max(before, 0), max(after, 0)), mode=mode)  # type: ignore[call-overload]


def _by_position(x: Any, widths: Widths, mode: str) -> Any:
    for axis, (before, after) in enumerate(widths):
        if before or after:
            x = getitem(x, (*(slice(None),) * axis, _positions(shape_of(x)[axis], before, after, mode)))
    return x


_NODES: dict[tuple[str, int], Callable[..., Any]] = {
    **{("reflect", k): recorded_as(f"ReflectionPad{k}DBackward0")(_by_position) for k in (1, 2, 3)},
    **{("edge", k): recorded_as(f"ReplicationPad{k}DBackward0")(_by_position) for k in (1, 2, 3)},
    **{("wrap", k): recorded_as("CopySlices")(_by_position) for k in (1, 2, 3)},
}
_MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def _check(mode: str, shape: Shape, widths: Widths, count: int) -> None:
    """Raise ShapeError where a mode that repeats elements has not enough of them, or too few axes are left."""
    if count > 3 or len(shape) not in (count + 1, count + 2):
        raise NotImplementedError(
            "Only 2D, 3D, 4D, 5D padding with non-constant padding are supported for now: "
            f"got an input of shape {list(shape)} and widths for its last {count} dims"
        )
    for axis, (n, side) in enumerate(zip(shape, widths, strict=True)):
        most = {"reflect": n - 1, "circular": n}.get(mode)
        if most is not None and max(side) > most:
            raise ShapeError(
                f"Padding size should be {'less than' if mode == 'reflect' else 'at most'} the corresponding input "
                f"dimension, but got: padding {side} at dimension {axis} of input {list(shape)}",
                fix='pad less, or with mode="constant" or "replicate"',
                where=user_frame(),
            )


def pad(input: Any, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Any:
    """The input with elements added around it.

    Parameters
    ----------
    input: a tensor.
    pad: pairs of widths before and after, for the last dim first; negative ones cut.
    mode: ``"constant"``, ``"reflect"``, ``"replicate"`` or ``"circular"``; the last three take as many pairs as there
        are spatial dims.
    value: the constant, 0 where it is None.

    Raises ShapeError for an odd number of widths, too many, or wider than the mode has elements for.

    >>> from tracegrad.eager import tensor
    >>> pad(tensor([1.0, 2.0]), (1, 2))
    tensor([0., 1., 2., 0., 0.])
    """
    shape = shape_of(input)
    given = tuple(int(n) for n in pad)
    if len(given) % 2 or len(given) > 2 * len(shape):
        raise ShapeError(
            f"Padding length must be divisible by 2 and at most twice the number of dimensions of the input. "
            f"Got: {len(given)} widths for an input of shape {list(shape)}",
            fix="give a pair of widths for each dim to pad, the last dim first",
            where=user_frame(),
        )
    pairs = tuple(reversed(list(zip(given[::2], given[1::2], strict=True))))
    widths: Widths = ((0, 0),) * (len(shape) - len(pairs)) + pairs
    if any(n + b + a < 0 for n, (b, a) in zip(shape, widths, strict=True)):
        raise ShapeError(
            f"The input size {list(shape)}, plus negative padding {given}, resulted in a negative output size",
            fix="cut less",
            where=user_frame(),
        )
    if mode == "constant":
        return _constant(input, widths, 0 if value is None else value)
    if mode not in _MODES:
        raise NotImplementedError(f"Unrecognised padding mode {mode}: use constant, reflect, replicate or circular")
    if value is not None:
        raise ValueError(f'Padding mode "{mode}" doesn\'t take in value argument')
    _check(mode, shape, widths, len(pairs))
    return _NODES[_MODES[mode], len(pairs)](input, widths, _MODES[mode])
