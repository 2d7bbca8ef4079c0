"""The linear map with PyTorch's signature; ``bilinear`` stands with the contractions."""

from __future__ import annotations

import math
from typing import Any

from tracegrad.core.aval import shape_of
from tracegrad.core.source import user_frame
from tracegrad.eager.composite import recorded_as
from tracegrad.eager.functions.contractions import bilinear
from tracegrad.eager.functions.shapes import reshape, t, unsqueeze
from tracegrad.errors import DtypeError, ShapeError
from tracegrad.ops.contractions import matmul
from tracegrad.ops.maps import add

__all__ = ["bilinear", "linear"]


@recorded_as("MmBackward0")
def _product(x: Any, w: Any) -> Any:
    return matmul(x, w)


@recorded_as("AddmmBackward0")
def _affine(bias: Any, x: Any, w: Any) -> Any:
    return add(bias, matmul(x, w))


@recorded_as("UnsafeViewBackward0")
def _rows_back(x: Any, shape: tuple[int, ...]) -> Any:
    return reshape(x, shape)


@recorded_as("SqueezeBackward4")
def _squeezed_row(x: Any) -> Any:
    return reshape(x, shape_of(x)[1:])


def same_dtype(name: str, **operands: Any) -> None:
    """Raise DtypeError unless all given operands share one dtype, as contractions in PyTorch ask for."""
    given = {key: x.dtype for key, x in operands.items() if x is not None}
    if len(set(given.values())) > 1:
        listed = ", ".join(f"{key} is {dtype}" for key, dtype in given.items())
        raise DtypeError(
            f"{name}: expected all operands to have the same dtype, but {listed}",
            fix="cast one of them: x.to(torch.float32), or module.double()",
            where=user_frame(),
        )


def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """``input @ weight.T + bias`` for floats (…, inputs) and a weight (outputs, inputs), or (inputs,) for one output.

    Raises ShapeError where the inputs do not fit, DtypeError for operands of different dtypes.

    >>> from tracegrad.eager import tensor
    >>> linear(tensor([1.0, 2.0]), tensor([[1.0, 1.0], [0.0, 1.0]]), tensor([0.5, 0.0]))
    tensor([3.5000, 2.0000])
    """
    shape, own = shape_of(input), shape_of(weight)
    same_dtype("linear", input=input, weight=weight, bias=bias)
    if not shape or len(own) not in (1, 2) or shape[-1] != own[-1]:
        rows = shape[:1] if len(shape) < 2 else (math.prod(shape[:-1]), shape[-1])
        raise ShapeError(
            f"mat1 and mat2 shapes cannot be multiplied ({'x'.join(map(str, rows))} and {'x'.join(map(str, own[::-1]))}): "
            f"linear of an input of shape {list(shape)} and a weight of shape {list(own)}",
            fix="the weight has shape (outputs, inputs), and the input's last dim has the size of inputs",
            where=user_frame(),
        )
    if bias is not None and shape_of(bias) not in (own[:-1], (1,), ()):
        raise ShapeError(
            f"linear: a bias of shape {list(shape_of(bias))} for a weight of shape {list(own)}",
            fix=f"give a bias of shape {list(own[:-1])}",
            where=user_frame(),
        )
    if len(own) == 1:
        out = matmul(input, weight)
        return out if bias is None else add(out, bias)
    if len(shape) == 1 and bias is None:
        return _squeezed_row(_product(unsqueeze(input, 0), t(weight)))
    rows_of = input if len(shape) == 2 else reshape(input, (math.prod(shape[:-1]), shape[-1]))
    out = _product(rows_of, t(weight)) if bias is None else _affine(bias, rows_of, t(weight))
    if len(shape) == 2:
        return out
    final = (*shape[:-1], own[0])
    return _rows_back(out, final) if bias is None else reshape(out, final)
