"""Convolutions in ``scipy.signal``'s and NumPy's signatures, of vectors and matrices, and what is made of them.

All are one sliding sum of products, the convolution of images with one image, one channel and one kernel.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tracegrad.core.aval import Shape, normalise_axis, shape_of
from tracegrad.errors import ShapeError, TraceError
from tracegrad.ops.assembly import pad
from tracegrad.ops.conv import slid
from tracegrad.ops.maps import cast
from tracegrad.ops.pointwise import as_float
from tracegrad.ops.reductions import as_operand, mean
from tracegrad.ops.reductions import sum as sum_of
from tracegrad.ops.views import flip

__all__ = [
    "convolve",
    "convolve2d",
    "correlate",
    "correlate2d",
    "detrend",
    "fftconvolve",
    "oaconvolve",
]

_BOUNDARIES = {"fill": "constant", "wrap": "wrap", "symm": "symmetric"}


def _pair(name: str, in1: Any, in2: Any) -> tuple[Any, Any]:
    """Both arrays, of one dtype and of one or two axes."""
    first, second = as_operand(in1), as_operand(in2)
    if "c" in (first.dtype.kind, second.dtype.kind):
        raise TraceError(f"{name} of complex numbers is not traced", fix="combine the real and imaginary parts")
    rank = len(shape_of(first))
    if rank != len(shape_of(second)):
        raise ShapeError(f"{name} of {rank} and {len(shape_of(second))} axes", fix="give arrays of equally many axes")
    if rank not in (1, 2):
        raise TraceError(f"{name} of {rank} axes is not traced", fix="convolve vectors or matrices, one after the other")
    if 0 in (*shape_of(first), *shape_of(second)):
        raise ShapeError(f"{name} of no elements", fix="give arrays with one element or more")
    dtype = np.result_type(first.dtype, second.dtype)
    return tuple(x if x.dtype == dtype else cast(x, dtype=dtype) for x in (first, second))


def _reversed(x: Any) -> Any:
    return flip(x, tuple(range(len(shape_of(x)))))


def _margins(mode: str, window: Shape) -> tuple[Shape, Shape]:
    """Elements before and after along each axis, so that the result is what the mode keeps of the full one."""
    if mode == "full":
        return tuple(m - 1 for m in window), tuple(m - 1 for m in window)
    if mode == "same":
        return tuple(m // 2 for m in window), tuple((m - 1) // 2 for m in window)
    if mode == "valid":
        return (0,) * len(window), (0,) * len(window)
    raise ShapeError(f"mode={mode!r} is no mode", fix='use mode="full", "same" or "valid"')


def _swaps(name: str, mode: str, first: Shape, second: Shape) -> bool:
    """Whether the second array takes the first one's place, as only it can hold the other."""
    if mode != "valid" or all(n >= m for n, m in zip(first, second, strict=True)):
        return False
    if not all(n <= m for n, m in zip(first, second, strict=True)):
        raise ShapeError(
            f"a valid {name} of shapes {first} and {second}, of which neither covers the other",
            fix="one array must be the larger along all axes",
        )
    return True


def _checked_method(method: str) -> None:
    if method not in ("auto", "direct", "fft"):
        raise TraceError(f"method={method!r} is no method", fix='leave it out, or give "auto", "direct" or "fft"')


def convolve(in1: Any, in2: Any, mode: str = "full", method: str = "auto") -> Any:
    """``scipy.signal.convolve`` of vectors or matrices; always by direct sums, whatever the method.

    >>> convolve(np.array([1.0, 2.0, 3.0]), np.array([1.0, 10.0]))
    array([ 1., 12., 23., 30.])
    """
    _checked_method(method)
    x, kernel = _pair("convolve", in1, in2)
    if _swaps("convolution", mode, shape_of(x), shape_of(kernel)):
        x, kernel = kernel, x
    return slid(x, _reversed(kernel), *_margins(mode, shape_of(kernel)))


def correlate(in1: Any, in2: Any, mode: str = "full", method: str = "auto") -> Any:
    """``scipy.signal.correlate`` of vectors or matrices; always by direct sums.

    >>> correlate(np.array([1.0, 2.0, 3.0]), np.array([1.0, 10.0]))
    array([10., 21., 32.,  3.])
    """
    _checked_method(method)
    x, kernel = _pair("correlate", in1, in2)
    if _swaps("correlation", mode, shape_of(x), shape_of(kernel)):
        return _reversed(slid(kernel, x, *_margins(mode, shape_of(x))))
    return slid(x, kernel, *_margins(mode, shape_of(kernel)))


def fftconvolve(in1: Any, in2: Any, mode: str = "full", axes: Any = None) -> Any:
    """``scipy.signal.fftconvolve``, by direct sums: the same numbers, more exactly."""
    if axes is not None:
        raise TraceError("fftconvolve along some axes is not traced", fix="convolve vectors or matrices along all of theirs")
    return convolve(as_float(as_operand(in1)), as_float(as_operand(in2)), mode)


def oaconvolve(in1: Any, in2: Any, mode: str = "full", axes: Any = None) -> Any:
    """``scipy.signal.oaconvolve``, by direct sums."""
    return fftconvolve(in1, in2, mode, axes)


def convolve2d(in1: Any, in2: Any, mode: str = "full", boundary: str = "fill", fillvalue: Any = 0) -> Any:
    """``scipy.signal.convolve2d``."""
    x, kernel = _matrices("convolve2d", in1, in2)
    if _swaps("convolution", mode, shape_of(x), shape_of(kernel)):
        x, kernel = kernel, x
    return _bounded(x, _reversed(kernel), _margins(mode, shape_of(kernel)), boundary, fillvalue)


def correlate2d(in1: Any, in2: Any, mode: str = "full", boundary: str = "fill", fillvalue: Any = 0) -> Any:
    """``scipy.signal.correlate2d``."""
    x, kernel = _matrices("correlate2d", in1, in2)
    if _swaps("correlation", mode, shape_of(x), shape_of(kernel)):
        return _reversed(_bounded(kernel, x, _margins(mode, shape_of(x)), boundary, fillvalue))
    before, after = _margins(mode, shape_of(kernel))
    if mode == "same":  # SciPy takes the other middle of an even kernel here
        before, after = after, before
    return _bounded(x, kernel, (before, after), boundary, fillvalue)


def _matrices(name: str, in1: Any, in2: Any) -> tuple[Any, Any]:
    x, kernel = _pair(name, in1, in2)
    if len(shape_of(x)) != 2:
        raise ShapeError(f"{name} of vectors", fix="give matrices, or use scipy.signal.convolve")
    return x, kernel


def _bounded(x: Any, kernel: Any, margins: tuple[Shape, Shape], boundary: str, fillvalue: Any) -> Any:
    if boundary not in _BOUNDARIES:
        raise ShapeError(f"boundary={boundary!r} is no boundary", fix='use "fill", "wrap" or "symm"')
    zeros = boundary == "fill" and isinstance(fillvalue, (int, float)) and fillvalue == 0
    if zeros or margins == ((0, 0), (0, 0)):
        return slid(x, kernel, *margins)
    widths = list(zip(*margins, strict=True))
    more = {"constant_values": fillvalue} if boundary == "fill" else {}
    return slid(pad(x, widths, mode=_BOUNDARIES[boundary], **more), kernel, (0, 0), (0, 0))


def detrend(data: Any, axis: int = -1, type: str = "linear", bp: Any = 0, overwrite_data: bool = False) -> Any:  # noqa: A002
    """``scipy.signal.detrend`` without break points: less its mean, or its best line.

    >>> detrend(np.array([0.0, 1.0, 2.0, 9.0]), type="constant")
    array([-3., -2., -1.,  6.])
    """
    x = as_float(as_operand(data))
    place = normalise_axis(axis, len(shape_of(x)))
    level = x - mean(x, place, keepdims=True)
    if type in ("constant", "c"):
        return level
    if type not in ("linear", "l"):
        raise ShapeError(f"type={type!r} is no trend", fix='use type="linear" or "constant"')
    if not np.array_equal(np.unique(bp), [0]):
        raise TraceError("detrend with break points is not traced", fix="cut the data there and detrend the pieces")
    size = shape_of(x)[place]
    away = np.arange(size, dtype=x.dtype) - np.asarray((size - 1) / 2, x.dtype)
    away = away.reshape(tuple(size if k == place else 1 for k in range(len(shape_of(x)))))
    slope = sum_of(level * away, place, keepdims=True) / max(float(np.sum(away * away)), 1e-300)
    return level - slope * away
