"""What functions with PyTorch's signatures share: dims, sizes, values of tensors, and named results."""

from __future__ import annotations

import math
from collections import namedtuple
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from tracegrad.core.aval import Shape, one_int, shape_of
from tracegrad.core.graph import Constant
from tracegrad.core.source import user_frame
from tracegrad.errors import DtypeError, ShapeError, TraceError
from tracegrad.ops.maps import cast, multiply, stop_gradient
from tracegrad.ops.sources import TRACED, literal
from tracegrad.ops.sources import constant as constant_op

Dims = int | Sequence[int] | None


class DimensionError(ShapeError, IndexError):
    """A dim that the tensor does not have: PyTorch's IndexError."""


def one_dim(dim: Any, ndim: int) -> int:
    """A non-negative dim; 0-d tensors have one, as in PyTorch."""
    size = max(ndim, 1)
    number = one_int(dim)
    if number is None:
        raise TypeError(f"a dim is an int, not {type(dim).__name__}")
    if not -size <= number < size:
        raise DimensionError(
            f"Dimension out of range (expected to be in range of [{-size}, {size - 1}], but got {number})",
            fix=f"the tensor has {ndim} dims; count them from 0, or from the end with -1",
            where=user_frame(),
        )
    return number % size


def several_dims(dim: Dims, ndim: int) -> tuple[int, ...]:
    """Non-negative dims in the order given; None and () stand for all of them."""
    if dim is None:
        return tuple(range(ndim))
    if type(dim) is int and 0 <= dim < ndim:
        return (dim,)
    number = one_int(dim)
    given = (number,) if number is not None else tuple(dim)  # type: ignore[arg-type]
    if not given:
        return tuple(range(ndim))
    found = tuple(one_dim(d, ndim) for d in given)
    for d in found:
        if found.count(d) > 1:
            raise ShapeError(
                f"dim {d} appears multiple times in the list of dims", fix="name each dim once", where=user_frame()
            )
    return found if ndim else ()


def sorted_dims(dim: Dims, ndim: int) -> tuple[int, ...]:
    """Non-negative dims in ascending order; None and () stand for all of them."""
    found = several_dims(dim, ndim)
    return found if len(found) < 2 or dim is None else tuple(sorted(found))


def sizes_of(values: tuple[Any, ...]) -> Shape:
    """Sizes or dims that stand alone or in one sequence."""
    if len(values) == 1 and type(values[0]) is tuple:
        values = values[0]
    elif len(values) == 1 and one_int(values[0]) is None:
        values = tuple(values[0])
    for n in values:
        if type(n) is not int:
            return tuple([_one_size(n) for n in values])
    return values


def _one_size(value: Any) -> int:
    """A size as an int; DtypeError for texts and fractions, which ``int`` would read."""
    number = one_int(value)
    if number is None:
        raise DtypeError(
            f"sizes and dims must be tuple of ints, but found element of type {type(value).__name__}",
            fix="give ints: x.reshape(2, 3)",
            where=user_frame(),
        )
    return number


def counts_of(values: tuple[Any, ...]) -> Shape:
    """How often to repeat along each dim, as ``sizes_of``; ShapeError for a negative count."""
    counts = sizes_of(values)
    if min(counts, default=0) < 0:
        raise ShapeError(
            f"Trying to create tensor with negative dimension: repeats are {list(counts)}",
            fix="counts are 0 or more",
            where=user_frame(),
        )
    return counts


def filled_sizes(x: Any, sizes: Shape) -> Shape:
    """Sizes with the one that is -1 worked out; ShapeError where they do not hold the tensor's elements."""
    return _filled(shape_of(x), sizes)


@lru_cache(maxsize=4096)
def _filled(shape: Shape, sizes: Shape) -> Shape:
    total = math.prod(shape)
    known = math.prod(n for n in sizes if n != -1)
    if sizes.count(-1) > 1:
        raise ShapeError("only one dimension can be inferred", fix="give one size as -1", where=user_frame())
    if -1 in sizes and known and total % known == 0:
        return tuple(total // known if n == -1 else n for n in sizes)
    if -1 in sizes or known != total or any(n < -1 for n in sizes):
        raise ShapeError(
            f"shape '{list(sizes)}' is invalid for input of size {total}: the input has shape {shape}",
            fix="the sizes must multiply to the number of elements; one of them may be -1",
            where=user_frame(),
        )
    return sizes


def values_of(x: Any, name: str) -> np.ndarray[Any, Any]:
    """The numbers themselves, for functions whose result has a shape that depends on them."""
    rank = getattr(x, "bind_rank", 0)
    if rank >= TRACED:
        # a tensor made while tracing is known where it depends on no argument
        sym = getattr(x, "_array", x) if rank > TRACED else x
        known = sym.recorder.constant_value(sym.id)
        if known is not None:
            return np.asarray(known)
        raise TraceError(
            f"{name} needs values, and they are not known while tracing",
            fix="keep the shape: torch.where(mask, x, 0), or leave this part to the eager mode",
            where=user_frame(),
        )
    return np.asarray(x.detach().numpy() if rank else x)


def labelled(name: str, result: Any) -> Any:
    """The result of one op, or of a chain of views, with the name of its node on the tape; results of a trace as they are."""
    node = getattr(result, "grad_fn", None)
    if node is not None:
        node.label = name
    return result


def tensor_like(array: Any, like: Any) -> Any:
    """An array as a tensor without history, or as a constant of the graph of a traced ``like``."""
    rank = getattr(like, "bind_rank", 0)
    if not rank:
        return array
    # the one op without operands that holds any value; a tensor's own may be written to, a graph's must not
    value = literal(array) if rank >= TRACED else Constant(np.array(array))
    return like.bind_op(constant_op, (), {"value": value})


def constant(x: Any) -> Any:
    """The tensor without history, a traced value taken for a constant by derivatives."""
    return x.detach() if getattr(x, "bind_rank", 0) == 1 else stop_gradient(x)


def floating(x: Any) -> Any:
    """The tensor itself, or in the default float dtype if it is of integers or bools; complex tensors stay."""
    return x if x.dtype.kind in "fc" else multiply(x, 1.0)


def require_floating(x: Any, message: str) -> None:
    """Raise DtypeError with the message unless the tensor is of floats or complex numbers."""
    if x.dtype.kind not in "fc":
        raise DtypeError(f"{message} Got: {x.dtype}", fix="x.to(torch.float32)", where=user_frame())


def as_dtype(x: Any, dtype: Any) -> Any:
    """The tensor in a dtype, None for its own."""
    return x if dtype is None or x.dtype == np.dtype(dtype) else cast(x, dtype=np.dtype(dtype))


def named_result(function: str, *fields: str) -> Any:
    """The class of a function's named results, printed as PyTorch prints them.

    >>> named_result("max", "values", "indices")(1, 0)
    torch.return_types.max(
    values=1,
    indices=0)
    """

    def show(self: Any) -> str:
        listed = ",\n".join(f"{field}={value!r}" for field, value in zip(fields, self, strict=True))
        return f"torch.return_types.{function}(\n{listed})"

    base = namedtuple(function, fields)  # type: ignore[misc]
    return type(function, (base,), {"__repr__": show, "__slots__": (), "__module__": __name__})


def fitting(number: Any, dtype: np.dtype[Any]) -> Any:
    """The number itself; DtypeError for a text, and where elements of the dtype would lose its imaginary part."""
    if isinstance(number, str):
        raise DtypeError(f"the value must be a number, not str: {number!r}", fix="give a number", where=user_frame())
    if dtype.kind != "c" and isinstance(number, complex) and number.imag:
        raise DtypeError(
            f"value cannot be converted to type {dtype} without overflow: {number}",
            fix="make the tensor complex first: x.to(torch.complex64)",
            where=user_frame(),
        )
    return number
