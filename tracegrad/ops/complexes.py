"""Complex numbers taken apart and put together.

Rules multiply cotangents by plain derivatives, without conjugation; the eager tape conjugates where gradients enter and
leave it. The cotangent of a complex z = x + iy is ∂L/∂x − i·∂L/∂y: a real function f of z turns the cotangent g into
g·(∂f/∂x − i·∂f/∂y). Programs hold no complex numbers yet, so that these ops have no native code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tracegrad.core.aval import Aval, shape_of
from tracegrad.core.op import Kind, Linear, Op, Sample, Stacked, Values, common, keep
from tracegrad.errors import DtypeError, ShapeError
from tracegrad.ops.sources import zeros_shape

PARTS: dict[np.dtype[Any], np.dtype[Any]] = {
    np.dtype(np.complex64): np.dtype(np.float32),
    np.dtype(np.complex128): np.dtype(np.float64),
}
"""The dtype of both parts of complex numbers."""

WHOLES: dict[np.dtype[Any], np.dtype[Any]] = {part: whole for whole, part in PARTS.items()}
"""The dtype of complex numbers by that of their parts."""


def is_complex(x: Any) -> bool:
    """Whether a value has a complex dtype."""
    return bool(x.dtype.kind == "c")


def _part(x: Aval) -> np.dtype[Any]:
    if x.dtype not in PARTS:
        raise DtypeError(f"the parts of complex numbers are asked of {x}", fix="cast it first: x.astype(np.complex64)")
    return PARTS[x.dtype]


def _whole(x: Aval) -> np.dtype[Any]:
    if x.dtype not in WHOLES:
        raise DtypeError(f"complex numbers have parts of float32 or float64, not {x.dtype}", fix="cast them first")
    return WHOLES[x.dtype]


def _declare(
    name: str,
    infer: Callable[..., Aval],
    eager: Callable[..., Any],
    pulls: tuple[Callable[..., Any], ...],
    torch: str,
    doc: str,
    samples: tuple[Sample, ...],
) -> Op:
    partials = tuple(Linear(pull, together=len(pulls) > 1) for pull in pulls)
    promote = keep if len(pulls) == 1 else common
    return Op(name, Kind.OPAQUE, infer, promote, eager, partials, Stacked(), None, (), ("", torch), doc, samples)


SAMPLES = tuple(Sample((Values(shape, kind="complex"),), smooth=False) for shape in ((3, 4), (), (0, 3)))

conj: Op = _declare(
    "conjugate",
    lambda x: x,
    np.conjugate,
    (lambda g, out, x: conj(g),),
    "ConjBackward0",
    "x - iy of x + iy.",
    SAMPLES,
)


def _nothing(g: Any) -> Any:
    return zeros_shape(shape_of(g), g.dtype)


real: Op = _declare(
    "real",
    lambda x: Aval(x.shape, _part(x)),
    lambda x: x.real,
    (lambda g, out, x: join(g, _nothing(g)),),
    "RealBackward0",
    "The real part of complex numbers, on their memory.",
    SAMPLES,
)
imag: Op = _declare(
    "imag",
    lambda x: Aval(x.shape, _part(x)),
    lambda x: x.imag,
    (lambda g, out, x: join(_nothing(g), -g),),
    "ImagBackward0",
    "The imaginary part of complex numbers, on their memory.",
    SAMPLES,
)


def _join_infer(x: Aval, y: Aval) -> Aval:
    if x.shape != y.shape:
        raise ShapeError(f"parts of shapes {x.shape} and {y.shape}", fix="broadcast them to one shape first")
    return Aval(x.shape, _whole(x))


def _join_eager(x: Any, y: Any) -> Any:
    out = np.empty(np.shape(x), WHOLES[x.dtype])
    out.real, out.imag = x, y
    return out[()]


join: Op = _declare(
    "from_parts",
    _join_infer,
    _join_eager,
    (lambda g, out, x, y: real(g), lambda g, out, x, y: -imag(g)),
    "ComplexBackward0",
    "x + iy of two reals x and y.",
    tuple(Sample((Values(shape), Values(shape)), smooth=False) for shape in ((3, 4), (), (0, 3))),
)

as_pairs: Op = _declare(
    "view_as_real",
    lambda x: Aval((*x.shape, 2), _part(x)),
    lambda x: np.asarray(x)[..., None].view(PARTS[x.dtype]),
    (lambda g, out, x: conj(from_pairs(g)),),
    "ViewAsRealBackward0",
    "Complex numbers as pairs of reals along a last axis, on the same memory.",
    SAMPLES,
)


def _from_pairs_infer(x: Aval) -> Aval:
    if x.shape[-1:] != (2,):
        raise ShapeError(f"pairs of reals lie along a last axis of size 2, the shape is {x.shape}", fix="stack((x, y), -1)")
    return Aval(x.shape[:-1], _whole(x))


def _from_pairs_eager(x: Any) -> Any:
    pairs = x if x.strides[-1] == x.itemsize else np.ascontiguousarray(x)
    return pairs.view(WHOLES[x.dtype])[..., 0]


from_pairs: Op = _declare(
    "view_as_complex",
    _from_pairs_infer,
    _from_pairs_eager,
    (lambda g, out, x: as_pairs(conj(g)),),
    "ViewAsComplexBackward0",
    "Pairs of reals along the last axis as complex numbers, on the same memory where the pairs lie together.",
    (
        Sample((Values((3, 4, 2)),), smooth=False),
        Sample((Values((2,)),), smooth=False),
        Sample((Values((3,)),), error=ShapeError, match="last axis of size 2"),
    ),
)
