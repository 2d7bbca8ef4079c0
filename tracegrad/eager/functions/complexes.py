"""Complex tensors: their parts, made from parts, and as pairs of reals."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracegrad.core.aval import broadcast_shapes, shape_of
from tracegrad.core.source import user_frame
from tracegrad.eager.composite import recorded_as
from tracegrad.eager.functions.arguments import floating, labelled, tensor_like
from tracegrad.errors import DtypeError, ShapeError
from tracegrad.ops import complexes, maps, phases
from tracegrad.ops.complexes import WHOLES, is_complex
from tracegrad.ops.views import broadcast_to, permute

__all__ = [
    "adjoint",
    "angle",
    "complex",
    "conj",
    "conj_physical",
    "imag",
    "is_conj",
    "is_neg",
    "isreal",
    "polar",
    "real",
    "resolve_conj",
    "resolve_neg",
    "sgn",
    "view_as_complex",
    "view_as_real",
]

_SCALAR_TYPES = {"float32": "Float", "float64": "Double", "complex64": "ComplexFloat", "complex128": "ComplexDouble"} | {
    "bool": "Bool",
    "uint8": "Byte",
    "int8": "Char",
    "int16": "Short",
    "int32": "Int",
    "int64": "Long",
}


def _scalar_type(x: Any) -> str:
    name: str = x.dtype.name
    return _SCALAR_TYPES.get(name, name)


# -- parts ------------------------------------------------------------------------------------------------------------


def real(input: Any) -> Any:
    """The real part of a complex tensor, on its storage; a real tensor itself.

    >>> from tracegrad.eager import tensor
    >>> real(tensor([1 + 2j, 3.0]))
    tensor([1., 3.])
    """
    return labelled("SelectBackward0", complexes.real(input)) if is_complex(input) else input


def imag(input: Any) -> Any:
    """The imaginary part of a complex tensor, on its storage; DtypeError for a real tensor.

    >>> from tracegrad.eager import tensor
    >>> imag(tensor([1 + 2j, 3.0]))
    tensor([2., 0.])
    """
    if not is_complex(input):
        raise DtypeError(
            "imag is not implemented for tensors with non-complex dtypes.", fix="torch.zeros_like(x)", where=user_frame()
        )
    return labelled("SelectBackward0", complexes.imag(input))


def conj(input: Any) -> Any:
    """The complex conjugate, in storage of its own; a real tensor itself.

    >>> from tracegrad.eager import tensor
    >>> conj(tensor([1 + 2j]))
    tensor([1.-2.j])
    """
    return complexes.conj(input) if is_complex(input) else input


def conj_physical(input: Any) -> Any:
    """The complex conjugate, as ``conj``.

    >>> from tracegrad.eager import tensor
    >>> conj_physical(tensor([1 + 2j]))
    tensor([1.-2.j])
    """
    return labelled("ConjPhysicalBackward0", complexes.conj(input)) if is_complex(input) else input


def resolve_conj(input: Any) -> Any:
    """The tensor itself: conjugates are always computed.

    >>> from tracegrad.eager import tensor
    >>> resolve_conj(tensor([1 + 2j]).conj())
    tensor([1.-2.j])
    """
    return input


def resolve_neg(input: Any) -> Any:
    """The tensor itself: negatives are always computed.

    >>> from tracegrad.eager import tensor
    >>> resolve_neg(tensor([1.0]))
    tensor([1.])
    """
    return input


def is_conj(input: Any) -> bool:
    """Whether a conjugation is still to be computed: never.

    >>> from tracegrad.eager import tensor
    >>> is_conj(tensor([1 + 2j]).conj())
    False
    """
    return False


def is_neg(input: Any) -> bool:
    """Whether a negation is still to be computed: never.

    >>> from tracegrad.eager import tensor
    >>> is_neg(tensor([1 + 2j]).conj().imag)
    False
    """
    return False


def adjoint(input: Any) -> Any:
    """The conjugate with the last two dims swapped.

    >>> from tracegrad.eager import tensor
    >>> adjoint(tensor([[1j, 2.0]]))
    tensor([[0.-1.j],
            [2.-0.j]])
    """
    ndim = len(shape_of(input))
    if ndim < 2:
        raise ShapeError(
            f"tensor.adjoint() is only supported on matrices or batches of matrices. Got {ndim}-D tensor.",
            fix="x.conj()",
            where=user_frame(),
        )
    return conj(labelled("TransposeBackward0", permute(input, axes=(*range(ndim - 2), ndim - 1, ndim - 2))))


# -- size and direction -----------------------------------------------------------------------------------------------


def angle(input: Any) -> Any:
    """The angle of each element with the positive reals: 0 or π for real ones.

    >>> from tracegrad.eager import tensor
    >>> angle(tensor([1j, -1.0]))
    tensor([1.5708, 3.1416])
    """
    return phases.angle(input) if is_complex(input) else phases.real_angle(floating(input))


def sgn(input: Any) -> Any:
    """-1, 0 or 1 by the sign; complex elements over their size.

    >>> from tracegrad.eager import tensor
    >>> sgn(tensor([-3.0, 0.0])), sgn(tensor([3 + 4j]))
    (tensor([-1.,  0.]), tensor([0.6000+0.8000j]))
    """
    return phases.direction(input) if is_complex(input) else labelled("SgnBackward0", maps.sign(input))


def isreal(input: Any) -> Any:
    """Whether each element has no imaginary part.

    >>> from tracegrad.eager import tensor
    >>> isreal(tensor([1j, 1.0]))
    tensor([False,  True])
    """
    if is_complex(input):
        return complexes.imag(input) == 0
    return tensor_like(np.ones(shape_of(input), bool), input)


# -- from parts -------------------------------------------------------------------------------------------------------


def _check_parts(name: str, x: Any, y: Any) -> None:
    for k, (part, given) in enumerate(zip(("real", "imag") if name == "complex" else ("abs", "angle"), (x, y), strict=True)):
        if not getattr(given, "bind_rank", 0):
            raise TypeError(f"{name}(): argument '{part}' (position {k + 1}) must be Tensor, not {type(given).__name__}")
    if x.dtype not in WHOLES or y.dtype not in WHOLES:
        raise DtypeError(
            f"Expected both inputs to be Half, Float or Double tensors but got {_scalar_type(x)} and {_scalar_type(y)}",
            fix="cast them to floats first: x.float()",
            where=user_frame(),
        )
    if x.dtype != y.dtype:
        raise DtypeError(
            f"Expected object of scalar type {_scalar_type(x)} but got scalar type {_scalar_type(y)} for second argument",
            fix="cast one of them: y.to(x.dtype)",
            where=user_frame(),
        )


def _joined(x: Any, y: Any) -> Any:
    shape = broadcast_shapes(shape_of(x), shape_of(y))
    return complexes.join(broadcast_to(x, shape), broadcast_to(y, shape))


@recorded_as("ComplexBackward0")
def _complex_of(x: Any, y: Any) -> Any:
    return _joined(x, y)


@recorded_as("PolarBackward0")
def _polar_of(size: Any, turn: Any) -> Any:
    return _joined(maps.multiply(size, maps.cos(turn)), maps.multiply(size, maps.sin(turn)))


def complex(real: Any, imag: Any) -> Any:
    """The complex tensor of two real parts of one float dtype.

    >>> from tracegrad.eager import tensor
    >>> complex(tensor([1.0, 2.0]), tensor([3.0, 4.0]))
    tensor([1.+3.j, 2.+4.j])
    """
    _check_parts("complex", real, imag)
    return _complex_of(real, imag)


def polar(abs: Any, angle: Any) -> Any:
    """The complex tensor of sizes and angles of one float dtype.

    >>> from tracegrad.eager import tensor
    >>> polar(tensor([2.0]), tensor([0.0]))
    tensor([2.+0.j])
    """
    _check_parts("polar", abs, angle)
    return _polar_of(abs, angle)


# -- as pairs of reals ------------------------------------------------------------------------------------------------


def view_as_real(input: Any) -> Any:
    """A complex tensor as a real one with a last dim of size 2 for the parts, on its storage.

    >>> from tracegrad.eager import tensor
    >>> view_as_real(tensor([1 + 2j, 3.0]))
    tensor([[1., 2.],
            [3., 0.]])
    """
    if not is_complex(input):
        raise DtypeError(
            "view_as_real is only supported for complex tensors",
            fix="torch.stack((x, torch.zeros_like(x)), -1)",
            where=user_frame(),
        )
    return complexes.as_pairs(input)


def view_as_complex(input: Any) -> Any:
    """A real tensor whose last dim, of size 2, holds the parts, as a complex one on its storage.

    >>> from tracegrad.eager import tensor
    >>> view_as_complex(tensor([[1.0, 2.0], [3.0, 0.0]]))
    tensor([1.+2.j, 3.+0.j])
    """
    if input.dtype not in WHOLES:
        raise DtypeError(
            "view_as_complex is only supported for half, float and double tensors, but got a tensor of scalar type: "
            f"{_scalar_type(input)}",
            fix="cast it first: x.float()",
            where=user_frame(),
        )
    shape = shape_of(input)
    if not shape:
        raise ShapeError("Input tensor must have one or more dimensions", fix="torch.stack((x, y), -1)", where=user_frame())
    if shape[-1] != 2:
        raise ShapeError(
            f"Tensor must have a last dimension of size 2, this one has shape {tuple(shape)}",
            fix="torch.stack((x, y), -1)",
            where=user_frame(),
        )
    if getattr(input, "bind_rank", 0) == 1 and input.stride(-1) != 1:
        raise ShapeError("Tensor must have a last dimension with stride 1", fix="x.contiguous()", where=user_frame())
    return complexes.from_pairs(input)
