"""Special functions of complex numbers: Faddeeva's function and Lambert's, with native code by SciPy's C loops.

Each is there twice: as the op of complex numbers that a trace records and differentiates, and as the two real ops of its
planes, which stand in programs in its place and call the loop for one element.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special

from tracegrad.core.aval import Aval, broadcast_shapes, shape_of
from tracegrad.core.expr import Scalar, call
from tracegrad.core.op import FLAT, MISSING, Kind, Op, Partial, Pointwise, Sample, Stacked, Values, keep
from tracegrad.errors import DtypeError, TraceError
from tracegrad.ops.comparisons import logical_and
from tracegrad.ops.complexes import SAMPLES, imag, join
from tracegrad.ops.maps import absolute, cast, exp, select
from tracegrad.ops.reductions import as_operand
from tracegrad.ops.special import scipy_map
from tracegrad.ops.views import broadcast_to

__all__ = ["FUNCTIONS", "lambertw", "lambertw_planes", "lambertw_raw", "wofz", "wofz_planes", "wofz_raw"]

_DOUBLE = np.dtype(np.complex128)
_LONG = np.dtype("long")
_TOLERANCES: tuple[dict[str, Any], ...] = ({"tol": 1e-8}, {"tol": 1e-10})


def _op(
    name: str, eager: Callable[..., Any], slope: Callable[..., Any], doc: str, samples: tuple[Sample, ...], whole: int
) -> Op:
    """An op of complex numbers, and of ``whole`` operands more that are integers."""

    def infer(z: Aval, *_: Aval, **__: Any) -> Aval:
        return z

    partials: tuple[Partial, ...] = (Pointwise(slope), *(FLAT,) * whole)
    return Op(name, Kind.OPAQUE, infer, keep, eager, partials, Stacked(), None, (), ("", ""), doc, samples)


def _planes(of: Op, word: str, samples: tuple[Sample, ...], whole: int) -> tuple[Op, Op]:
    """The parts of an op of complex numbers as ops of their parts, behind its integers.

    Nothing is differentiated that holds planes.
    """

    def one_of(part: int) -> Op:
        def eager(*operands: Any, **params: Any) -> Any:
            w = of.eager(join.eager(*operands[whole:]), *operands[:whole], **params)
            return (np.real(w), np.imag(w))[part]

        def lower(*operands: Any, **params: Any) -> Scalar:
            return call(f"special_{word}_{part}", *operands[whole:], *operands[:whole], *params.values())

        return scipy_map(
            f"{of.name}_{('real', 'imaginary')[part]}",
            scipy.special.beta,
            (*(FLAT,) * whole, MISSING, MISSING),
            eager=eager,
            promote=keep,
            result=lambda *dtypes, **_: dtypes[-1],
            numpy=(),
            lower=lower,
            word=f"{word}_{part}",
            doc=f"The {('real', 'imaginary')[part]} part of {of.name} of x + iy.",
            samples=samples,
        )

    return one_of(0), one_of(1)


_SQUARE = Values((3, 4))
_BRANCH = Values((3, 4), -2, 2, kind="int")

# -- Faddeeva's function ----------------------------------------------------------------------------------------------

_FAR = 30.0
"""From this size on the derivative is a series: of the difference that is nearer exact |z|² parts in 2^53 are noise."""


def _wofz_slope(out: Any, z: Any) -> Any:
    """2i/√π - 2zw; far out -i/√π Σ (2n + 1)!!/2ⁿ·z^-(2n + 2), and in the lower half 2·exp(-z²) is in w, too."""
    far = absolute(z) > _FAR
    near, away = select(far, 0.0, z), select(far, z, 1.0)
    square = 1.0 / (away * away)
    total: Any = 1.0
    for n in range(8, 0, -1):
        total = 1.0 + (n + 0.5) * square * total
    below = logical_and(far, imag(z) < 0)
    grown = select(below, -4.0 * away * exp(-(select(below, away, 1.0) ** 2)), 0.0)
    return select(far, -1j / math.sqrt(math.pi) * square * total + grown, 2j / math.sqrt(math.pi) - 2.0 * near * out)


wofz_raw: Op = _op(
    "wofz",
    scipy.special.wofz,
    _wofz_slope,
    "exp(-z²)·erfc(-iz) of complex numbers.",
    SAMPLES,
    0,
)
wofz_planes = _planes(wofz_raw, "wofz", (Sample((_SQUARE, _SQUARE), smooth=False),), 0)


def wofz(z: Any) -> Any:
    """``scipy.special.wofz``: Faddeeva's function exp(-z²)·erfc(-iz), complex also of real numbers.

    >>> wofz(1j).real.round(4)
    np.float64(0.4276)
    """
    return wofz_raw(_complex(z))


# -- Lambert's function -----------------------------------------------------------------------------------------------


def _lambertw_eager(z: Any, k: Any, *, tol: float) -> Any:
    return scipy.special._ufuncs._lambertw(z, np.asarray(k).astype(_LONG), z.real.dtype.type(tol))


def _lambertw_slope(out: Any, z: Any, k: Any, *, tol: float) -> Any:
    """w / (z (1 + w)); around 0 on the principal branch, where that is 0 / 0 in the end, exp(-w) / (1 + w)."""
    near = logical_and(absolute(z) < 1.0, k == 0)
    far = out / select(near, 1.0, z)
    return select(near, exp(-select(near, out, 1.0)), far) / (1.0 + out)


lambertw_raw: Op = _op(
    "lambertw",
    _lambertw_eager,
    _lambertw_slope,
    "The w of which w·exp(w) is the operand, on a branch and to a tolerance.",
    tuple(
        Sample((Values(shape, kind="complex"), Values(shape, -2, 2, kind="int")), params, smooth=False)
        for shape, params in zip(((3, 4), (), (0, 3)), (*_TOLERANCES, _TOLERANCES[0]), strict=True)
    ),
    1,
)
lambertw_planes = _planes(
    lambertw_raw, "_lambertw", tuple(Sample((_BRANCH, _SQUARE, _SQUARE), params, smooth=False) for params in _TOLERANCES), 1
)


def lambertw(z: Any, k: Any = 0, tol: float = 1e-8) -> Any:
    """``scipy.special.lambertw``: the w with w·exp(w) = z on a branch, complex also of real numbers, in double precision.

    Parameters
    ----------
    z: real or complex numbers.
    k: the branch, an integer or an array of them.
    tol: a number: where SciPy's iteration ends.

    Raises
    ------
    DtypeError
        For branches that are not integers.
    TraceError
        For a tolerance that is a traced value.

    >>> lambertw(np.e).real.round(4)
    np.float64(1.0)
    """
    if not isinstance(tol, (int, float, np.number)):
        raise TraceError(
            "lambertw with a traced value as tol", fix="give it as a number, or name its argument in static_argnames"
        )
    z, k = _complex(z), as_operand(k)
    if k.dtype.kind not in "iub":
        raise DtypeError(f"lambertw with branches of {k.dtype}", fix="give k as integers: k.astype(int)")
    if z.dtype != _DOUBLE and getattr(tol, "dtype", None) != np.float32:
        z = cast(z, dtype=_DOUBLE)  # as SciPy does for a tolerance in double precision
    shape = broadcast_shapes(shape_of(z), shape_of(k))
    k = k if k.dtype == np.int64 else cast(k, dtype=np.dtype(np.int64))
    return lambertw_raw(broadcast_to(z, shape), broadcast_to(k, shape), tol=float(tol))


def _complex(z: Any) -> Any:
    """As SciPy takes them: real numbers in double precision."""
    z = as_operand(z)
    return z if z.dtype.kind == "c" else cast(z, dtype=_DOUBLE)


FUNCTIONS: dict[Any, Callable[..., Any]] = {scipy.special.lambertw: lambertw, scipy.special.wofz: wofz}
"""By SciPy's functions."""
