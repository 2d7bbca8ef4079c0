"""Eigenvalues and eigenvectors of any square matrices, real or complex: a raw op and the functions of NumPy and SciPy.

The values are complex, whatever the matrices are: whether a real matrix has complex eigenvalues is known at run time only, so
that NumPy's choice of a real dtype where all of them are real cannot be made while tracing. ``.real`` takes them.

A vector has length 1, and LAPACK turns it so that its largest element is real. The derivative is that of these very vectors
(Giles 2008, Boeddeker 2017, with what length and phase take away), where eigenvalues differ.
"""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

import numpy as np

from tracegrad.core.aval import Aval, shape_of
from tracegrad.core.op import Op, Rule, Sample, Values
from tracegrad.errors import TraceError
from tracegrad.ops.comparisons import equal
from tracegrad.ops.complexes import WHOLES, conj, imag, is_complex, join, real
from tracegrad.ops.contractions import matmul
from tracegrad.ops.decompositions import diagonal_matrix, gaps, inverse_gaps
from tracegrad.ops.indexing import getitem
from tracegrad.ops.maps import absolute, scale, select
from tracegrad.ops.matrices import (
    Array,
    LinAlgError,
    adjoint,
    batch_element,
    inexact,
    inv,
    opaque,
    real_part,
    refused,
    rows,
    square,
    turned_by_parts,
)
from tracegrad.ops.pointwise import as_float
from tracegrad.ops.reductions import argmax, as_operand
from tracegrad.ops.reductions import sum as sum_of
from tracegrad.ops.views import expand_dims


def no_eigenvectors(where: str = "", info: int = 0) -> LinAlgError:
    """What matrices with numbers that are not finite give."""
    return LinAlgError(
        f"linalg.eig: {where}the algorithm failed to converge, or the matrix has numbers that are not finite.",
        fix="look for NaN or infinity in the matrix",
    )


def _eig_eager(x: Array) -> Array:
    if not np.isfinite(x).all():
        raise no_eigenvectors(batch_element(x, lambda m: not np.isfinite(m).all()))
    try:
        # LAPACK leaves the sign open, and NumPy's differs from SciPy's in float32: native code calls SciPy's
        values, vectors = importlib.import_module("scipy.linalg").eig(x) if x.size else np.linalg.eig(x)
    except np.linalg.LinAlgError:
        raise no_eigenvectors() from None
    return np.concatenate([values[..., None, :], vectors], axis=-2).astype(np.result_type(x.dtype, np.complex64))


def _eig_infer(x: Aval) -> Aval:
    shape = square("linalg.eig")(x).shape
    return Aval((*shape[:-2], shape[-1] + 1, shape[-1]), WHOLES.get(x.dtype, x.dtype))


@turned_by_parts
def _eig_rule(g: Any, out: Any, x: Any) -> Any:
    values, vectors = getitem(out, (Ellipsis, 0, slice(None))), rows(out, 1, None)
    along = rows(g, 1, None)
    n = shape_of(values)[-1]
    turned = adjoint(vectors)
    # dV = V (F∘M) without what would change lengths, and phases as they keep the largest elements real, M = V⁻¹ dA V
    inner = sum_of(conj(vectors) * along, -2)
    largest = argmax(select(equal(imag(vectors), 0.0), absolute(real(vectors)), -1.0), -2)
    chosen = equal(expand_dims(np.arange(n), -1), expand_dims(largest, -2))
    size = sum_of(select(chosen, real(vectors), 0.0), -2)
    phase = expand_dims(imag(inner) / size, -2)
    phases = select(chosen, phase, 0.0)
    along = along - vectors * expand_dims(real(inner), -2) - join(phases * 0.0, phases)
    middle = scale(matmul(turned, along), conj(inverse_gaps(gaps(values))))
    middle = middle + diagonal_matrix(getitem(g, (Ellipsis, 0, slice(None))))
    found = matmul(inv(turned, strict=False), matmul(middle, turned))
    return found if is_complex(x) else real_part(found)


eig_packed: Op = opaque(
    "eig",
    _eig_infer,
    _eig_eager,
    (Rule(_eig_rule),),
    ("", "LinalgEigBackward0"),
    "Eigenvalues as row 0, eigenvectors as the columns below, complex for real matrices, too.",
    (
        *(Sample((Values(shape, kind=kind),), smooth=False) for shape in ((3, 3), (2, 3, 3)) for kind in ("float", "complex")),
        Sample((Values((0, 2, 2)),), smooth=False),
        refused((2, 3), "2 by 3"),
    ),
    inexact,
)


class EigResult(NamedTuple):
    """Eigenvalues in no order, and the eigenvectors as columns."""

    eigenvalues: Any
    eigenvectors: Any


def eig(a: Any) -> EigResult:
    """``np.linalg.eig``, with complex results for real matrices, too.

    >>> eig(np.array([[0.0, -1.0], [1.0, 0.0]])).eigenvalues
    array([0.+1.j, 0.-1.j])
    """
    packed = eig_packed(as_float(as_operand(a)))
    return EigResult(getitem(packed, (Ellipsis, 0, slice(None))), rows(packed, 1, None))


def eigvals(a: Any) -> Any:
    """``np.linalg.eigvals``, with a complex result for real matrices, too.

    >>> eigvals(np.diag([1.0, 2.0]))
    array([1.+0.j, 2.+0.j])
    """
    return eig(a).eigenvalues


def scipy_eig(
    a: Any,
    b: Any = None,
    left: bool = False,
    right: bool = True,
    overwrite_a: bool = False,
    overwrite_b: bool = False,
    check_finite: bool = True,
    homogeneous_eigvals: bool = False,
) -> Any:
    """``scipy.linalg.eig`` of one matrix, without left vectors; the vectors of real matrices are complex, too."""
    if b is not None or homogeneous_eigvals:
        raise TraceError("eig of two matrices is not traced", fix="take that of scipy.linalg.solve(b, a)")
    if left:
        raise TraceError(
            "eig with left=True is not traced",
            fix="np.linalg.inv(v).conj().T has left vectors as columns, of other lengths",
        )
    found = eig(a)
    return tuple(found) if right else found.eigenvalues


def scipy_eigvals(
    a: Any, b: Any = None, overwrite_a: bool = False, check_finite: bool = True, homogeneous_eigvals: bool = False
) -> Any:
    """``scipy.linalg.eigvals`` of one matrix."""
    return scipy_eig(a, b, right=False, homogeneous_eigvals=homogeneous_eigvals)
