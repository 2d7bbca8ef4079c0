"""The discrete Fourier transform along one axis, its halves for reals, and NumPy's transforms on top of them.

The matrix of a transform is symmetric, and rules multiply cotangents by plain derivatives without conjugation: so the
vector-Jacobian product of the transform is the transform itself. Reals have a transform of which half says all; that and its
inverse are each other's transpose, up to weights: an element of the half stands for its mirror image, too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracegrad.core.aval import Aval, normalise_axis, shape_of
from tracegrad.core.op import Kind, Linear, Op, Sample, Stacked, Values, next_axis
from tracegrad.errors import DtypeError, ShapeError
from tracegrad.ops.assembly import pad, roll
from tracegrad.ops.complexes import PARTS, WHOLES, conj, is_complex
from tracegrad.ops.indexing import getitem
from tracegrad.ops.maps import divide, multiply
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
    partials=(Linear(lambda g, out, x, *, axis, inverse: dft(g, axis=axis, inverse=inverse)),),
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


def _half_infer(x: Aval, *, axis: int) -> Aval:
    if x.dtype.kind != "f":
        raise DtypeError(f"the transform is taken of real numbers, not of {x}", fix="x.astype(np.float64)")
    if not x.shape[axis]:
        raise ShapeError(f"the transform along axis {axis} of shape {x.shape} has no elements", fix="give it a length n=")
    return Aval((*x.shape[:axis], x.shape[axis] // 2 + 1, *x.shape[axis + 1 :]), WHOLES[x.dtype])


def _mirrored(n: int, dtype: Any, twice: float, once: float) -> Any:
    """A weight for each element of the half transform of ``n`` reals: those that are their own mirror image have ``once``."""
    weights = np.full(n // 2 + 1, twice, dtype)
    weights[0] = once
    if n % 2 == 0:
        weights[-1] = once
    return weights


def _along(values: Any, axis: int, ndim: int) -> Any:
    return values.reshape((-1,) + (1,) * (ndim - 1 - axis))


def half_pull(g: Any, out: Any, x: Any, *, axis: int) -> Any:
    """The cotangent of reals for one of half of their transform."""
    shape = shape_of(x)
    n = shape[axis]
    weights = _along(_mirrored(n, x.dtype, 0.5 * n, 1.0 * n), axis, len(shape))
    return from_half(multiply(conj(g), weights), axis=axis, size=n)


half_dft: Op = Op(
    name="half_dft",
    kind=Kind.OPAQUE,
    infer=_half_infer,
    promote=lambda x: (np.result_type(x if isinstance(x, np.dtype) else 1.0, np.float32),),
    eager=lambda x, *, axis: np.fft.rfft(x, axis=axis),
    partials=(Linear(half_pull),),
    batch=Stacked(next_axis),
    lower=None,
    numpy=(),
    torch=("", ""),
    doc="The first n // 2 + 1 elements of the transform of reals; the others are their conjugates.",
    samples=tuple(
        Sample((Values(shape),), {"axis": axis}, smooth=False) for shape, axis in (((5,), 0), ((3, 4), 1), ((2, 3, 4), 1))
    ),
)


def _from_half_infer(x: Aval, *, axis: int, size: int) -> Aval:
    if x.dtype.kind != "c":
        raise DtypeError(f"the transform is taken of complex numbers, not of {x}", fix="x.astype(np.complex128)")
    if x.shape[axis] != size // 2 + 1 or size < 1:
        raise ShapeError(f"axis {axis} of shape {x.shape} is no half transform of {size} reals", fix="give it a length n=")
    return Aval((*x.shape[:axis], size, *x.shape[axis + 1 :]), PARTS[x.dtype])


def from_half_pull(g: Any, out: Any, x: Any, *, axis: int, size: int) -> Any:
    """The cotangent of half of a transform for one of the reals."""
    weights = _along(_mirrored(size, g.dtype, 2.0 / size, 1.0 / size), axis, len(shape_of(g)))
    return multiply(conj(half_dft(g, axis=axis)), weights)


from_half: Op = Op(
    name="dft_of_half",
    kind=Kind.OPAQUE,
    infer=_from_half_infer,
    promote=_promote,
    eager=lambda x, *, axis, size: np.fft.irfft(x, size, axis=axis),
    partials=(Linear(from_half_pull),),
    batch=Stacked(next_axis),
    lower=None,
    numpy=(),
    torch=("", ""),
    doc="The reals of which this is the half transform; what is imaginary in elements that are their own mirror image is left.",
    samples=tuple(
        Sample((Values(shape, kind="complex"),), {"axis": axis, "size": size}, smooth=False)
        for shape, axis, size in (((3,), 0, 5), ((3, 3), 1, 4), ((2, 3, 4), 1, 5))
    ),
)


def _inexact(x: Any) -> Any:
    """As NumPy takes it: truths and integers of all sizes as float64."""
    x = as_operand(x)
    return x.astype(np.float64) if x.dtype.kind in "biu" else x


def _complex(x: Any) -> Any:
    x = _inexact(x)
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
    a = _inexact(a)
    place = normalise_axis(axis, len(shape_of(a)))
    a = _sized(a, n, place)
    return _scaled(half_dft(a, axis=place), _factor(norm, shape_of(a)[place], False))


def irfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """``np.fft.irfft``: the reals whose half transform it is."""
    a = _complex(a)
    place = normalise_axis(axis, len(shape_of(a)))
    size = 2 * (shape_of(a)[place] - 1) if n is None else n
    if size < 1:
        raise ShapeError(f"a transform of {size} elements", fix="n is at least 1")
    return _scaled(from_half(_sized(a, size // 2 + 1, place), axis=place, size=size), _factor(norm, size, True))


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


def fftfreq(n: int, d: Any = 1.0, device: Any = None) -> Any:
    """``np.fft.fftfreq``."""
    return divide(np.fft.fftfreq(n), d)


def rfftfreq(n: int, d: Any = 1.0, device: Any = None) -> Any:
    """``np.fft.rfftfreq``."""
    return divide(np.fft.rfftfreq(n), d)


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
