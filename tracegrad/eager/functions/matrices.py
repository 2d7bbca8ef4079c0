"""Products of vectors and matrices, with PyTorch's checks of their shapes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracegrad.core.aval import Shape, broadcast_shapes, one_int, shape_of
from tracegrad.core.source import user_frame
from tracegrad.eager.composite import recorded_as
from tracegrad.eager.functions.arguments import Dims, labelled, one_dim, several_dims
from tracegrad.eager.promote import OperandError
from tracegrad.errors import DtypeError, ShapeError
from tracegrad.ops.broadcasting import broadcast, reduce_sum, reshape_to
from tracegrad.ops.complexes import conj, is_complex
from tracegrad.ops.contractions import matmul_batched
from tracegrad.ops.indexing import take
from tracegrad.ops.maps import add, multiply, subtract
from tracegrad.ops.views import permute

__all__ = [
    "addbmm",
    "addmm",
    "addmv",
    "addr",
    "baddbmm",
    "bmm",
    "chain_matmul",
    "cross",
    "dot",
    "ger",
    "inner",
    "kron",
    "matmul",
    "mm",
    "mv",
    "outer",
    "tensordot",
    "vdot",
]

# -- checks -----------------------------------------------------------------------------------------------------------


def _text(shape: Shape) -> str:
    return "x".join(str(n) for n in shape)


def _need(name: str, argument: str, x: Any, ndim: int) -> None:
    """ShapeError unless an argument has so many dims."""
    if len(shape_of(x)) != ndim:
        kind = {1: "a vector", 2: "a matrix", 3: "a 3D tensor"}[ndim]
        raise ShapeError(
            f"{name}: {argument} must be {kind}, got {len(shape_of(x))}D of shape {tuple(shape_of(x))}",
            fix="torch.matmul multiplies tensors of any dims",
            where=user_frame(),
        )


def _same_dtype(name: str, x: Any, y: Any) -> None:
    if getattr(x, "bind_rank", 0) and getattr(y, "bind_rank", 0) and x.dtype != y.dtype:
        raise DtypeError(
            f"{name}: expected both tensors to have the same dtype, but got {x.dtype} and {y.dtype}",
            fix=f"cast one of them: y.to(torch.{x.dtype})",
            where=user_frame(),
        )


def _inner(x: Any, y: Any) -> None:
    """ShapeError unless two matrices multiply."""
    a, b = shape_of(x), shape_of(y)
    if a[-1] != b[-2]:
        raise ShapeError(
            f"mat1 and mat2 shapes cannot be multiplied ({_text(a)} and {_text(b)})",
            fix="the last dim of the first must be as long as the first dim of the second; x.T transposes",
            where=user_frame(),
        )


# -- two matrices or vectors ------------------------------------------------------------------------------------------


def _mm(x: Any, y: Any) -> Any:
    return labelled("MmBackward0", matmul_batched(x, y))


@recorded_as("MvBackward0")
def _mv(x: Any, y: Any) -> Any:
    return reshape_to(matmul_batched(x, reshape_to(y, shape=(*shape_of(y), 1))), shape=shape_of(x)[:1])


def _dot_of(x: Any, y: Any) -> Any:
    return reduce_sum(multiply(x, y), axes=(0,))


_dot = recorded_as("DotBackward0")(_dot_of)


@recorded_as("VdotBackward0")
def _vdot(x: Any, y: Any) -> Any:
    return _dot_of(conj(x) if is_complex(x) else x, y)


def mm(input: Any, mat2: Any) -> Any:
    """The product of two matrices.

    >>> from tracegrad.eager import tensor
    >>> mm(tensor([[1.0, 2.0]]), tensor([[3.0], [4.0]]))
    tensor([[11.]])
    """
    _need("mm", "self", input, 2)
    _need("mm", "mat2", mat2, 2)
    _inner(input, mat2)
    _same_dtype("mm", input, mat2)
    return _mm(input, mat2)


def bmm(input: Any, mat2: Any) -> Any:
    """The products of two stacks of matrices, one by one.

    >>> from tracegrad.eager import tensor
    >>> bmm(tensor([[[1.0, 2.0]]]), tensor([[[3.0], [4.0]]]))
    tensor([[[11.]]])
    """
    _need("bmm", "batch1", input, 3)
    _need("bmm", "batch2", mat2, 3)
    a, b = shape_of(input), shape_of(mat2)
    if a[0] != b[0] or a[2] != b[1]:
        raise ShapeError(
            f"Expected size for first two dimensions of batch2 tensor to be: [{a[0]}, {a[2]}] but got: [{b[0]}, {b[1]}].",
            fix="torch.matmul broadcasts the dims in front",
            where=user_frame(),
        )
    _same_dtype("bmm", input, mat2)
    return matmul_batched(input, mat2)


def mv(input: Any, vec: Any) -> Any:
    """The product of a matrix and a vector.

    >>> from tracegrad.eager import tensor
    >>> mv(tensor([[1.0, 2.0]]), tensor([3.0, 4.0]))
    tensor([11.])
    """
    _need("mv", "input", input, 2)
    _need("mv", "vec", vec, 1)
    if shape_of(input)[1] != shape_of(vec)[0]:
        raise ShapeError(
            f"size mismatch, got input ({_text(shape_of(input))}), vec ({_text(shape_of(vec))})",
            fix="the vector must be as long as the matrix is wide",
            where=user_frame(),
        )
    _same_dtype("mv", input, vec)
    return _mv(input, vec)


def _vectors(x: Any, y: Any) -> None:
    if len(shape_of(x)) != 1 or len(shape_of(y)) != 1:
        raise ShapeError(
            f"1D tensors expected, but got {len(shape_of(x))}D and {len(shape_of(y))}D tensors",
            fix="torch.matmul multiplies tensors of any dims",
            where=user_frame(),
        )
    if shape_of(x) != shape_of(y):
        raise ShapeError(
            f"inconsistent tensor size, expected tensor [{shape_of(x)[0]}] and src [{shape_of(y)[0]}] to have the "
            "same number of "
            f"elements, but got {shape_of(x)[0]} and {shape_of(y)[0]} elements respectively",
            fix="give vectors of one length",
            where=user_frame(),
        )
    _same_dtype("dot", x, y)


def dot(input: Any, tensor: Any) -> Any:
    """The product of two vectors: the sum of the products of their elements.

    >>> from tracegrad.eager import tensor
    >>> dot(tensor([1.0, 2.0]), tensor([3.0, 4.0]))
    tensor(11.)
    """
    _vectors(input, tensor)
    return _dot(input, tensor)


def vdot(input: Any, other: Any) -> Any:
    """The product of two vectors, the first conjugated if it is complex.

    >>> from tracegrad.eager import tensor
    >>> vdot(tensor([1.0, 2.0]), tensor([3.0, 4.0]))
    tensor(11.)
    """
    _vectors(input, other)
    return _vdot(input, other)


@recorded_as("SqueezeBackward4")
def _row_times(x: Any, y: Any) -> Any:
    return reshape_to(matmul_batched(reshape_to(x, shape=(1, *shape_of(x))), y), shape=shape_of(y)[1:])


@recorded_as("UnsafeViewBackward0")
def _flat_mm(x: Any, y: Any) -> Any:
    """A stack of matrices times one matrix or vector: one big product instead of many small ones."""
    rows = reshape_to(x, shape=(math.prod(shape_of(x)[:-1]), shape_of(x)[-1]))
    columns = reshape_to(y, shape=(*shape_of(y), 1)) if len(shape_of(y)) == 1 else y
    return reshape_to(matmul_batched(rows, columns), shape=(*shape_of(x)[:-1], *shape_of(y)[1:]))


@recorded_as("UnsafeViewBackward0")
def _batched(x: Any, y: Any, batch: Shape) -> Any:
    left = broadcast(x, shape=(*batch, *shape_of(x)[-2:]))
    return matmul_batched(left, broadcast(y, shape=(*batch, *shape_of(y)[-2:])))


def matmul(input: Any, other: Any) -> Any:
    """The product of vectors, matrices and stacks of matrices; stacks broadcast.

    >>> from tracegrad.eager import tensor
    >>> matmul(tensor([[1.0, 2.0], [3.0, 4.0]]), tensor([1.0, 1.0]))
    tensor([3., 7.])
    """
    a, b = tuple(shape_of(input)), tuple(shape_of(other))
    if not a or not b:
        for x, kinds in ((other, ("Tensor", type(other).__name__)), (input, (type(input).__name__, "Tensor"))):
            if not hasattr(x, "dtype"):
                raise OperandError(
                    "unsupported operand type(s) for @: '{}' and '{}'".format(*kinds),
                    fix="x * y multiplies by a number",
                    where=user_frame(),
                )
        raise ShapeError(
            f"both arguments to matmul need to be at least 1D, but they are {len(a)}D and {len(b)}D",
            fix="x * y multiplies by a number",
            where=user_frame(),
        )
    _same_dtype("matmul", input, other)
    if len(a) == 1 and len(b) == 1:
        return dot(input, other)
    if len(a) == 2 and len(b) == 1:
        return mv(input, other)
    x = reshape_to(input, shape=(1, *a)) if len(a) == 1 else input
    y = reshape_to(other, shape=(*b, 1)) if len(b) == 1 else other
    _inner(x, y)
    if len(a) == 2 and len(b) == 2:
        return _mm(input, other)
    if len(a) == 1 and len(b) == 2:
        return _row_times(input, other)
    if len(b) <= 2:
        return _flat_mm(input, other)
    try:
        batch = broadcast_shapes(shape_of(x)[:-2], shape_of(y)[:-2])
    except ShapeError as error:
        raise ShapeError(f"matmul of shapes {a} and {b}: {error.message}", fix=error.fix, where=user_frame()) from None
    out = _batched(x, y, tuple(batch))
    return reshape_to(out, shape=(*shape_of(out)[:-2], shape_of(out)[-1])) if len(a) == 1 else out


def inner(input: Any, other: Any) -> Any:
    """The sum of products over the last dims.

    >>> from tracegrad.eager import tensor
    >>> inner(tensor([1.0, 2.0]), tensor([3.0, 4.0]))
    tensor(11.)
    """
    a, b = shape_of(input), shape_of(other)
    if not a or not b:
        return multiply(input, other)
    if a[-1] != b[-1]:
        raise ShapeError(
            f"inner() the last dimension must match on both input tensors but got shapes {list(a)} and {list(b)}",
            fix="give both last dims one size",
            where=user_frame(),
        )
    return tensordot(input, other, ([-1], [-1]))


def outer(input: Any, vec2: Any) -> Any:
    """Every element of a vector times every element of another.

    >>> from tracegrad.eager import tensor
    >>> outer(tensor([1.0, 2.0]), tensor([3.0, 4.0]))
    tensor([[3., 4.],
            [6., 8.]])
    """
    for k, x in enumerate((input, vec2)):
        if len(shape_of(x)) != 1:
            raise ShapeError(
                f"outer: Expected 1-D argument {('self', 'vec2')[k]}, but got {len(shape_of(x))}-D",
                fix="x.flatten()",
                where=user_frame(),
            )
    return multiply(reshape_to(input, shape=(shape_of(input)[0], 1)), vec2)


def ger(input: Any, vec2: Any) -> Any:
    """Every element of a vector times every element of another, as ``outer``.

    >>> from tracegrad.eager import tensor
    >>> ger(tensor([1.0]), tensor([3.0, 4.0]))
    tensor([[3., 4.]])
    """
    return outer(input, vec2)


# -- a product and a sum ----------------------------------------------------------------------------------------------


def _mix(base: Any, product: Any, beta: float, alpha: float) -> Any:
    product = product if alpha == 1 else multiply(product, alpha)
    if beta == 0:
        # the base does not count, not even its NaN
        return product
    return add(base if beta == 1 else multiply(base, beta), product)


@recorded_as("AddmmBackward0")
def _addmm(base: Any, x: Any, y: Any, beta: float, alpha: float) -> Any:
    return _mix(base, matmul_batched(x, y), beta, alpha)


@recorded_as("BaddbmmBackward0")
def _baddbmm(base: Any, x: Any, y: Any, beta: float, alpha: float) -> Any:
    return _mix(base, matmul_batched(x, y), beta, alpha)


@recorded_as("AddbmmBackward0")
def _addbmm(base: Any, x: Any, y: Any, beta: float, alpha: float) -> Any:
    return _mix(base, reduce_sum(matmul_batched(x, y), axes=(0,)), beta, alpha)


@recorded_as("AddmvBackward0")
def _addmv(base: Any, x: Any, y: Any, beta: float, alpha: float) -> Any:
    column = matmul_batched(x, reshape_to(y, shape=(*shape_of(y), 1)))
    return _mix(base, reshape_to(column, shape=shape_of(x)[:1]), beta, alpha)


@recorded_as("AddrBackward0")
def _addr(base: Any, x: Any, y: Any, beta: float, alpha: float) -> Any:
    return _mix(base, multiply(reshape_to(x, shape=(*shape_of(x), 1)), y), beta, alpha)


def _expandable(base: Any, shape: Shape) -> None:
    own = shape_of(base)
    lead = len(shape) - len(own)
    if lead < 0 or any(n not in (1, shape[lead + k]) for k, n in enumerate(own)):
        raise ShapeError(
            f"The expanded size of the tensor must match the existing size: input has shape {list(own)}, the "
            f"product {list(shape)}",
            fix="give an input that broadcasts to the product",
            where=user_frame(),
        )


def addmm(input: Any, mat1: Any, mat2: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """``beta · input + alpha · (mat1 @ mat2)``.

    >>> from tracegrad.eager import tensor
    >>> addmm(tensor([[1.0]]), tensor([[1.0, 2.0]]), tensor([[3.0], [4.0]]))
    tensor([[12.]])
    """
    _need("addmm", "mat1", mat1, 2)
    _need("addmm", "mat2", mat2, 2)
    _inner(mat1, mat2)
    _expandable(input, (shape_of(mat1)[0], shape_of(mat2)[1]))
    return _addmm(input, mat1, mat2, beta, alpha)


def _stacks(name: str, x: Any, y: Any) -> None:
    _need(name, "batch1", x, 3)
    _need(name, "batch2", y, 3)
    a, b = shape_of(x), shape_of(y)
    if a[0] != b[0] or a[2] != b[1]:
        raise ShapeError(
            f"{name}: Expected size for first two dimensions of batch2 tensor to be: [{a[0]}, {a[2]}] but got: "
            f"[{b[0]}, {b[1]}].",
            fix="give equally many matrices that multiply",
            where=user_frame(),
        )


def baddbmm(input: Any, batch1: Any, batch2: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """``beta · input + alpha · (batch1 @ batch2)`` of stacks of matrices.

    >>> from tracegrad.eager import tensor
    >>> baddbmm(tensor([[[1.0]]]), tensor([[[1.0, 2.0]]]), tensor([[[3.0], [4.0]]]))
    tensor([[[12.]]])
    """
    _stacks("baddbmm", batch1, batch2)
    _expandable(input, (*shape_of(batch1)[:2], shape_of(batch2)[2]))
    return _baddbmm(input, batch1, batch2, beta, alpha)


def addbmm(input: Any, batch1: Any, batch2: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """``beta · input + alpha · Σ (batch1 @ batch2)``, summed over the stack.

    >>> from tracegrad.eager import tensor
    >>> addbmm(tensor([[1.0]]), tensor([[[1.0, 2.0]]]), tensor([[[3.0], [4.0]]]))
    tensor([[12.]])
    """
    _stacks("addbmm", batch1, batch2)
    _expandable(input, (shape_of(batch1)[1], shape_of(batch2)[2]))
    return _addbmm(input, batch1, batch2, beta, alpha)


def addmv(input: Any, mat: Any, vec: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """``beta · input + alpha · (mat @ vec)``.

    >>> from tracegrad.eager import tensor
    >>> addmv(tensor([1.0]), tensor([[1.0, 2.0]]), tensor([3.0, 4.0]))
    tensor([12.])
    """
    _need("addmv", "mat", mat, 2)
    _need("addmv", "vec", vec, 1)
    if shape_of(mat)[1] != shape_of(vec)[0]:
        raise ShapeError(
            f"size mismatch, got input ({_text(shape_of(input))}), mat ({_text(shape_of(mat))}), vec ({_text(shape_of(vec))})",
            fix="the vector must be as long as the matrix is wide",
            where=user_frame(),
        )
    _expandable(input, shape_of(mat)[:1])
    return _addmv(input, mat, vec, beta, alpha)


def addr(input: Any, vec1: Any, vec2: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """``beta · input + alpha · outer(vec1, vec2)``.

    >>> from tracegrad.eager import tensor
    >>> addr(tensor([[1.0]]), tensor([2.0]), tensor([3.0]))
    tensor([[7.]])
    """
    _need("addr", "vec1", vec1, 1)
    _need("addr", "vec2", vec2, 1)
    _expandable(input, (*shape_of(vec1), *shape_of(vec2)))
    return _addr(input, vec1, vec2, beta, alpha)


# -- products over several dims ---------------------------------------------------------------------------------------


@recorded_as("UnsafeViewBackward0")
def _kron_of(x: Any, y: Any) -> Any:
    ndim = max(len(shape_of(x)), len(shape_of(y)))
    a = (1,) * (ndim - len(shape_of(x))) + tuple(shape_of(x))
    b = (1,) * (ndim - len(shape_of(y))) + tuple(shape_of(y))
    left = reshape_to(x, shape=tuple(n for size in a for n in (size, 1)))
    right = reshape_to(y, shape=tuple(n for size in b for n in (1, size)))
    return reshape_to(multiply(left, right), shape=tuple(n * m for n, m in zip(a, b, strict=True)))


def kron(input: Any, other: Any) -> Any:
    """The Kronecker product: every element of the first times the whole second.

    >>> from tracegrad.eager import tensor
    >>> kron(tensor([1.0, 2.0]), tensor([1.0, 1.0]))
    tensor([1., 1., 2., 2.])
    """
    return _kron_of(input, other)


@recorded_as("LinalgCrossBackward0")
def _cross_of(x: Any, y: Any, place: int) -> Any:
    following, preceding = np.array([1, 2, 0]), np.array([2, 0, 1])
    first = multiply(take(x, following, place), take(y, preceding, place))
    return subtract(first, multiply(take(x, preceding, place), take(y, following, place)))


def cross(input: Any, other: Any, dim: int | None = None) -> Any:
    """The cross product of vectors of three elements along a dim, by default the first of that size.

    >>> from tracegrad.eager import tensor
    >>> cross(tensor([1.0, 0.0, 0.0]), tensor([0.0, 1.0, 0.0]))
    tensor([0., 0., 1.])
    """
    if len(shape_of(input)) != len(shape_of(other)):
        raise ShapeError(
            f"linalg.cross: inputs must have the same number of dimensions, got {tuple(shape_of(input))} and "
            f"{tuple(shape_of(other))}",
            fix="x.unsqueeze adds dims",
            where=user_frame(),
        )
    shape = broadcast_shapes(shape_of(input), shape_of(other))
    if dim is None and 3 not in shape:
        raise ShapeError(f"no dimension of size 3 in input: the shapes give {tuple(shape)}", fix="give vectors of 3 elements")
    place = shape.index(3) if dim is None else one_dim(dim, len(shape))
    if shape_of(input)[place] != 3 or shape_of(other)[place] != 3:
        raise ShapeError(
            f"linalg.cross: inputs dimension {place} must have length 3. Got {shape_of(input)[place]} and "
            f"{shape_of(other)[place]}",
            fix="give vectors of 3 elements",
            where=user_frame(),
        )
    return _cross_of(input, other, place)


@recorded_as("ViewBackward0")
def _tensordot_of(x: Any, y: Any, x_axes: Shape, y_axes: Shape) -> Any:
    x_free = tuple(k for k in range(len(shape_of(x))) if k not in x_axes)
    y_free = tuple(k for k in range(len(shape_of(y))) if k not in y_axes)
    x_sizes, y_sizes = tuple(shape_of(x)[k] for k in x_free), tuple(shape_of(y)[k] for k in y_free)
    summed = math.prod(shape_of(x)[k] for k in x_axes)
    left = reshape_to(permute(x, axes=(*x_free, *x_axes)), shape=(math.prod(x_sizes), summed))
    right = reshape_to(permute(y, axes=(*y_axes, *y_free)), shape=(summed, math.prod(y_sizes)))
    return reshape_to(matmul_batched(left, right), shape=x_sizes + y_sizes)


def tensordot(a: Any, b: Any, dims: int | Sequence[Dims] = 2) -> Any:
    """The sum of products over pairs of dims, or over the last ``dims`` of ``a`` and the first of ``b``.

    >>> from tracegrad.eager import tensor
    >>> tensordot(tensor([[1.0, 2.0]]), tensor([[3.0], [4.0]]), dims=1)
    tensor([[11.]])
    """
    count = one_int(dims)
    x_ndim, y_ndim = len(shape_of(a)), len(shape_of(b))
    if count is not None:
        if not 0 <= count <= min(x_ndim, y_ndim):
            raise ShapeError(
                f"tensordot expects dims >= 0 and no more than either tensor has, but got dims={count}", fix="sum over fewer"
            )
        first, second = tuple(range(x_ndim - count, x_ndim)), tuple(range(count))
    else:
        pair = tuple(dims)  # type: ignore[arg-type]
        first, second = (several_dims(d, n) if d != [] else () for d, n in zip(pair, (x_ndim, y_ndim), strict=True))
    if len(first) != len(second):
        raise ShapeError(
            "both dimension lists should have same length", fix="name equally many dims of each", where=user_frame()
        )
    for k, m in zip(first, second, strict=True):
        if shape_of(a)[k] != shape_of(b)[m]:
            raise ShapeError(
                f"contracted dimensions need to match, but first has size {shape_of(a)[k]} in dim {k} and second has size "
                f"{shape_of(b)[m]} in dim {m}: the shapes are {tuple(shape_of(a))} and {tuple(shape_of(b))}",
                fix="pair dims of one size",
                where=user_frame(),
            )
    return _tensordot_of(a, b, first, second)


def chain_matmul(*matrices: Any) -> Any:
    """The product of matrices, multiplied in the order that takes the fewest operations.

    >>> from tracegrad.eager import tensor
    >>> chain_matmul(tensor([[1.0, 2.0]]), tensor([[3.0], [4.0]]), tensor([[2.0]]))
    tensor([[22.]])
    """
    parts = tuple(matrices[0]) if len(matrices) == 1 and isinstance(matrices[0], (list, tuple)) else matrices
    for k, x in enumerate(parts):
        _need("chain_matmul", f"matrix {k}", x, 2)
    sizes = [shape_of(x)[0] for x in parts] + [shape_of(parts[-1])[1]]
    return _chained(parts, _cheapest(sizes), 0, len(parts) - 1)


def _cheapest(sizes: list[int]) -> dict[tuple[int, int], int]:
    """Where to cut each run of matrices so that multiplying it costs least."""
    count = len(sizes) - 1
    cost = {(k, k): 0 for k in range(count)}
    cuts = {}
    for length in range(1, count):
        for a in range(count - length):
            b = a + length
            prices = {k: cost[a, k] + cost[k + 1, b] + sizes[a] * sizes[k + 1] * sizes[b + 1] for k in range(a, b)}
            cuts[a, b] = min(prices, key=lambda k: prices[k])
            cost[a, b] = prices[cuts[a, b]]
    return cuts


def _chained(parts: Sequence[Any], cuts: dict[tuple[int, int], int], first: int, last: int) -> Any:
    if first == last:
        return parts[first]
    cut = cuts[first, last]
    return mm(_chained(parts, cuts, first, cut), _chained(parts, cuts, cut + 1, last))
