"""The discrete Fourier transform along one axis, and NumPy's transforms on top of it.

The matrix of a transform is symmetric, and rules multiply cotangents by plain derivatives without conjugation: so the
vector-Jacobian product of the transform is the transform itself. Programs hold no complex numbers yet: there is no native code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracegrad.core.aval import Aval, normalise_axis, shape_of
from tracegrad.core.op import FLAT, Kind, Op, Rule, Sample, Stacked, Values, next_axis
from tracegrad.errors import DtypeError, ShapeError
from tracegrad.ops.assembly import pad, roll
from tracegrad.ops.complexes import conj, is_complex, real
from tracegrad.ops.indexing import getitem
from tracegrad.ops.maps import multiply
from tracegrad.ops.reductions import as_operand


def _infer(x: Aval, *, axis: int, inverse: bool) -> Aval:
    if x.dtype.kind != "c":
        raise DtypeError(f"the transform is taken of complex numbers, not of {x}", fix="x.astype(np.complex128)")
    if not x.shape[axis]:
        raise ShapeError(f"the transform along axis {axis} of shape {x.shape} has no elements", fix="give it a length n=")
    return x


def _eager(x: Any, *, axis: int, inverse: bool) -> Any:
    return (np.fft.ifft if inverse else np.fft.fft)(x, axis=axis)


def _promote(x: Any) -> tuple[np.dtype[Any], ...]:
    return (np.result_type(x if isinstance(x, np.dtype) else 1.0, np.complex64),)


dft: Op = Op(
    name="dft",
    kind=Kind.OPAQUE,
    infer=_infer,
    promote=_promote,
    eager=_eager,
    partials=(Rule(lambda g, out, x, *, axis, inverse: dft(g, axis=axis, inverse=inverse)), FLAT),
    batch=Stacked(next_axis),
    lower=None,
    numpy=(),
    torch=("", ""),
    doc="Σ_j x_j exp(∓2πi jk/n) along an axis; the inverse is divided by n.",
    samples=tuple(
        Sample((Values(shape, kind="complex"),), {"axis": axis, "inverse": inverse}, smooth=False)
        for shape, axis, inverse in (((5,), 0, False), ((3, 4), 1, True), ((2, 3, 4), 1, False))
    ),
)


def _complex(x: Any) -> Any:
    x = as_operand(x)
    return x if is_complex(x) else x.astype(np.result_type(x.dtype, np.complex64))


def _sized(x: Any, n: int | None, axis: int) -> Any:
    """The first ``n`` elements along an axis, zeros behind them where there are fewer."""
    shape = shape_of(x)
    if n is None or n == shape[axis]:
        return x
    if n < 1:
        raise ShapeError(f"a transform of {n} elements", fix="n is at least 1")
    if n < shape[axis]:
        return getitem(x, (*(slice(None),) * axis, slice(n)))
    return pad(x, [(0, n - size) if k == axis else (0, 0) for k, size in enumerate(shape)])


def _factor(norm: str | None, n: int, inverse: bool) -> float:
    """What the result of ``dft`` is multiplied by."""
    if norm not in (None, "backward", "ortho", "forward"):
        raise ShapeError(f"norm={norm!r} is no norm of transforms", fix='use "backward", "ortho" or "forward"')
    if norm == "ortho":
        return math.sqrt(n) if inverse else 1 / math.sqrt(n)
    if norm == "forward":
        return float(n) if inverse else 1 / n
    return 1.0


def _scaled(x: Any, factor: float) -> Any:
    return x if factor == 1.0 else multiply(x, factor)


def _transform(a: Any, n: int | None, axis: int, norm: str | None, inverse: bool) -> Any:
    a = _complex(a)
    place = normalise_axis(axis, len(shape_of(a)))
    a = _sized(a, n, place)
    return _scaled(dft(a, axis=place, inverse=inverse), _factor(norm, shape_of(a)[place], inverse))


def fft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """``np.fft.fft``."""
    return _transform(a, n, axis, norm, False)


def ifft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """``np.fft.ifft``."""
    return _transform(a, n, axis, norm, True)


def rfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """``np.fft.rfft``: the first half of the transform of reals, which says the other."""
    if is_complex(as_operand(a)):
        raise DtypeError("np.fft.rfft of complex numbers", fix="np.fft.fft, or np.fft.rfft(np.real(a))")
    whole = fft(a, n, axis, norm)
    place = normalise_axis(axis, len(shape_of(whole)))
    return getitem(whole, (*(slice(None),) * place, slice(shape_of(whole)[place] // 2 + 1)))


def irfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """``np.fft.irfft``: the reals whose half transform it is.

    Each element stands for itself and its mirror image, whose imaginary parts cancel: it counts twice, but those that are
    their own image, the first and at an even ``n`` the last, once.
    """
    a = _complex(a)
    place = normalise_axis(axis, len(shape_of(a)))
    size = 2 * (shape_of(a)[place] - 1) if n is None else n
    half = _sized(a, size // 2 + 1, place)
    weights = np.full(size // 2 + 1, 2.0, real(half).dtype)
    weights[0] = 1.0
    if size % 2 == 0:
        weights[-1] = 1.0
    half = multiply(half, weights.reshape((-1,) + (1,) * (len(shape_of(a)) - 1 - place)))
    return real(ifft(_sized(half, size, place), None, place, norm))


def hfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """``np.fft.hfft``: the transform, which is real, of a sequence whose other half is the conjugate of this."""
    swapped = {"ortho": "ortho", "forward": "backward"}.get(norm or "backward", "forward")
    return irfft(conj(_complex(a)), n, axis, swapped)


def ihfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """``np.fft.ihfft``: the inverse of ``hfft``."""
    swapped = {"ortho": "ortho", "forward": "backward"}.get(norm or "backward", "forward")
    return conj(rfft(a, n, axis, swapped))


Sizes = Sequence[int] | None


def _axes_of(a: Any, s: Sizes, axes: Sizes) -> list[tuple[int, int | None]]:
    """The axes of a transform along several, each with its size."""
    ndim = len(shape_of(a))
    if axes is None:
        axes = tuple(range(ndim)) if s is None else tuple(range(ndim - len(s), ndim))
    sizes = [None] * len(axes) if s is None else [None if n in (None, -1) else n for n in s]
    if len(sizes) != len(axes):
        raise ShapeError(f"s={s} and axes={axes} have different lengths", fix="give one size for each axis")
    return [(normalise_axis(axis, ndim), n) for axis, n in zip(axes, sizes, strict=True)]


def fftn(a: Any, s: Sizes = None, axes: Sizes = None, norm: str | None = None) -> Any:
    """``np.fft.fftn``."""
    for axis, n in reversed(_axes_of(a, s, axes)):
        a = fft(a, n, axis, norm)
    return a


def ifftn(a: Any, s: Sizes = None, axes: Sizes = None, norm: str | None = None) -> Any:
    """``np.fft.ifftn``."""
    for axis, n in reversed(_axes_of(a, s, axes)):
        a = ifft(a, n, axis, norm)
    return a


def rfftn(a: Any, s: Sizes = None, axes: Sizes = None, norm: str | None = None) -> Any:
    """``np.fft.rfftn``: half of the transform along the last of the axes."""
    *others, (axis, n) = _axes_of(a, s, axes)
    a = rfft(a, n, axis, norm)
    for axis, n in reversed(others):
        a = fft(a, n, axis, norm)
    return a


def irfftn(a: Any, s: Sizes = None, axes: Sizes = None, norm: str | None = None) -> Any:
    """``np.fft.irfftn``."""
    *others, (last, size) = _axes_of(a, s, axes)
    for axis, n in others:
        a = ifft(a, n, axis, norm)
    return irfft(a, size, last, norm)


def fft2(a: Any, s: Sizes = None, axes: Sizes = (-2, -1), norm: str | None = None) -> Any:
    """``np.fft.fft2``."""
    return fftn(a, s, axes, norm)


def ifft2(a: Any, s: Sizes = None, axes: Sizes = (-2, -1), norm: str | None = None) -> Any:
    """``np.fft.ifft2``."""
    return ifftn(a, s, axes, norm)


def rfft2(a: Any, s: Sizes = None, axes: Sizes = (-2, -1), norm: str | None = None) -> Any:
    """``np.fft.rfft2``."""
    return rfftn(a, s, axes, norm)


def irfft2(a: Any, s: Sizes = None, axes: Sizes = (-2, -1), norm: str | None = None) -> Any:
    """``np.fft.irfft2``."""
    return irfftn(a, s, axes, norm)


def fftshift(x: Any, axes: int | Sequence[int] | None = None) -> Any:
    """``np.fft.fftshift``: the zero frequency in the middle."""
    shape = shape_of(x)
    chosen = tuple(range(len(shape))) if axes is None else (axes,) if isinstance(axes, int) else tuple(axes)
    return roll(x, [shape[k] // 2 for k in chosen], chosen)


def ifftshift(x: Any, axes: int | Sequence[int] | None = None) -> Any:
    """``np.fft.ifftshift``: the inverse of ``fftshift``."""
    shape = shape_of(x)
    chosen = tuple(range(len(shape))) if axes is None else (axes,) if isinstance(axes, int) else tuple(axes)
    return roll(x, [-(shape[k] // 2) for k in chosen], chosen)
