"""Making tensors: PyTorch's constructors, with its default dtypes."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracegrad.core.aval import one_int
from tracegrad.core.source import user_frame
from tracegrad.eager.device import check_device, check_memory_format, memory_format
from tracegrad.eager.dtypes import as_dtype, default_dtype
from tracegrad.eager.modes import inferring
from tracegrad.eager.scalars import dtype_of, held, number
from tracegrad.eager.size import size_of
from tracegrad.eager.tensor import Tensor, tensor
from tracegrad.eager.traced import tracing
from tracegrad.errors import DtypeError, ShapeError
from tracegrad.ops.maps import cast

__all__ = [
    "as_tensor",
    "asarray",
    "empty",
    "empty_like",
    "from_numpy",
    "full",
    "full_like",
    "new_empty",
    "new_full",
    "new_ones",
    "new_tensor",
    "new_zeros",
    "ones",
    "ones_like",
    "scalar_tensor",
    "zeros",
    "zeros_like",
]

Array = np.ndarray[Any, Any]


def made(array: Any, requires_grad: bool = False) -> Tensor:
    """A new leaf around an array, without a copy; TapeError if one of integers is to require grad."""
    result = Tensor._wrap(array)
    if inferring.get():
        result._inference = True
    if requires_grad:
        result.requires_grad_()
    return result


def _writable(result: Tensor) -> Tensor:
    """The tensor itself; while a program is traced, a traced one, so that traced values can be written into it."""
    trace = tracing.get()
    return result if trace is None or result.requires_grad else trace.made(result._array)


def chosen_dtype(dtype: Any, otherwise: np.dtype[Any] | None = None) -> np.dtype[Any]:
    """The dtype that was asked for, else the given one, else the default one."""
    if dtype is not None:
        return as_dtype(dtype)
    return default_dtype.get() if otherwise is None else otherwise


def zeros(*shape: Any, size: Any = None, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of zeros; the sizes are integers or one tuple.

    >>> zeros(2, 3)
    tensor([[0., 0., 0.],
            [0., 0., 0.]])
    """
    check_device(device)
    return _writable(made(np.zeros(size_of("zeros", shape, size), chosen_dtype(dtype)), requires_grad))


def ones(*shape: Any, size: Any = None, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of ones; the sizes are integers or one tuple.

    >>> ones((3,), dtype=np.int64)
    tensor([1, 1, 1])
    """
    check_device(device)
    return _writable(made(np.ones(size_of("ones", shape, size), chosen_dtype(dtype)), requires_grad))


def empty(
    *shape: Any,
    size: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: memory_format | None = None,
) -> Tensor:
    """A tensor of whatever its memory holds; the sizes are integers or one tuple.

    >>> empty(2, 3).shape == (2, 3)
    True
    """
    check_device(device)
    check_memory_format(memory_format)
    return _writable(made(np.empty(size_of("empty", shape, size), chosen_dtype(dtype)), requires_grad))


def full(size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of one number, whose type chooses the dtype.

    Raises DtypeError for a fill value that is no number, or that the dtype cannot hold.

    >>> full((2,), 3), full((2,), 0.5), full((1,), True)
    (tensor([3, 3]), tensor([0.5000, 0.5000]), tensor([True]))
    """
    check_device(device)
    if one_int(size) is not None:
        raise DtypeError(
            f"full(): argument 'size' (position 1) must be tuple of ints, not {type(size).__name__}",
            fix=f"full(({one_int(size)},), …)",
            where=user_frame(),
        )
    value = number("full", "fill_value", fill_value)
    d = as_dtype(dtype) if dtype is not None else dtype_of(value)
    return _writable(made(np.full(size_of("full", (size,)), held(value, d), d), requires_grad))


def scalar_tensor(s: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A 0-d tensor of the default dtype.

    >>> scalar_tensor(3)
    tensor(3.)
    """
    check_device(device)
    d = chosen_dtype(dtype)
    return made(np.full((), held(number("scalar_tensor", "s", s), d), d), requires_grad)


# -- like another tensor ----------------------------------------------------------------------------------------------


def like(
    function: str, x: Any, dtype: Any, device: Any, kept: memory_format | None, requires_grad: bool, array: Any = None
) -> Tensor:
    """A tensor of the shape, dtype and layout of another, of zeros or of what ``array`` is."""
    check_device(device)
    if not isinstance(x, Tensor):
        raise DtypeError(
            f"{function}(): argument 'input' (position 1) must be Tensor, not {type(x).__name__}",
            fix=f"{function}(tensor(x))",
            where=user_frame(),
        )
    layout = "K" if check_memory_format(kept) else "C"
    source: Any = x._array
    if not isinstance(source, np.ndarray):  # a traced value has no layout
        source = np.broadcast_to(np.empty((), x.dtype), x.shape)
        layout = "C"
    # zero-strided arrays of repeated elements have no layout to keep either
    result = np.empty_like(source, chosen_dtype(dtype, x.dtype), order=layout, subok=False)  # type: ignore[call-overload]
    result[...] = 0 if array is None else array
    return made(result, requires_grad)


def zeros_like(
    input: Tensor,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: memory_format | None = None,
) -> Tensor:
    """Zeros of the shape and dtype of another tensor.

    >>> zeros_like(ones(2))
    tensor([0., 0.])
    """
    return _writable(like("zeros_like", input, dtype, device, memory_format, requires_grad))


def ones_like(
    input: Tensor,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: memory_format | None = None,
) -> Tensor:
    """Ones of the shape and dtype of another tensor.

    >>> ones_like(zeros(2), dtype=np.int64)
    tensor([1, 1])
    """
    return _writable(like("ones_like", input, dtype, device, memory_format, requires_grad, 1))


def full_like(
    input: Tensor,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: memory_format | None = None,
) -> Tensor:
    """One number in the shape and dtype of another tensor, whatever the number's type.

    >>> full_like(zeros(2), 3)
    tensor([3., 3.])
    """
    value = number("full_like", "fill_value", fill_value)
    d = chosen_dtype(dtype, getattr(input, "dtype", None))
    return _writable(like("full_like", input, dtype, device, memory_format, requires_grad, held(value, d)))


def empty_like(
    input: Tensor,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: memory_format | None = None,
) -> Tensor:
    """A tensor of the shape and dtype of another, to be written to.

    >>> empty_like(zeros(2, 3)).shape == (2, 3)
    True
    """
    return _writable(like("empty_like", input, dtype, device, memory_format, requires_grad))


def new_zeros(
    self: Tensor, *shape: Any, size: Any = None, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Zeros of the tensor's dtype, of any shape.

    >>> new_zeros(ones(2, dtype=np.int64), 3)
    tensor([0, 0, 0])
    """
    return zeros(*shape, size=size, dtype=chosen_dtype(dtype, self.dtype), device=device, requires_grad=requires_grad)


def new_ones(
    self: Tensor, *shape: Any, size: Any = None, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Ones of the tensor's dtype, of any shape.

    >>> new_ones(zeros(2, dtype=np.int64), 3)
    tensor([1, 1, 1])
    """
    return ones(*shape, size=size, dtype=chosen_dtype(dtype, self.dtype), device=device, requires_grad=requires_grad)


def new_empty(
    self: Tensor, *shape: Any, size: Any = None, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A tensor of this one's dtype, of any shape, to be written to.

    >>> new_empty(zeros(2, dtype=np.int64), 3).dtype
    dtype('int64')
    """
    return empty(*shape, size=size, dtype=chosen_dtype(dtype, self.dtype), device=device, requires_grad=requires_grad)


def new_full(
    self: Tensor, size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """One number in the tensor's dtype, of any shape.

    >>> new_full(zeros(2), (3,), 1)
    tensor([1., 1., 1.])
    """
    return full(size, fill_value, dtype=chosen_dtype(dtype, self.dtype), device=device, requires_grad=requires_grad)


def new_tensor(self: Tensor, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A copy of the data in the tensor's dtype.

    >>> new_tensor(zeros(2), [1, 2])
    tensor([1., 2.])
    """
    check_device(device)
    return tensor(data, dtype=chosen_dtype(dtype, self.dtype), requires_grad=requires_grad)


# -- from data --------------------------------------------------------------------------------------------------------


def from_numpy(ndarray: Any) -> Tensor:
    """A tensor on the memory of an array: writes to one are seen in the other.

    Raises DtypeError for what is no array, and for arrays whose elements tensors cannot hold. Arrays that are
    read-only give tensors that refuse writes.

    >>> a = np.zeros(2)
    >>> x = from_numpy(a)
    >>> a[0] = 1
    >>> x
    tensor([1., 0.], dtype=torch.float64)
    """
    if not isinstance(ndarray, np.ndarray):
        kind = type(ndarray)
        name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
        raise DtypeError(f"expected np.ndarray (got {name})", fix="tensor(data) copies other data", where=user_frame())
    if not ndarray.dtype.isnative:
        raise DtypeError(
            "given numpy array has byte order different from the native byte order",
            fix="tensor(array) makes a copy in native order",
            where=user_frame(),
        )
    if ndarray.dtype.kind not in "biufc":
        raise DtypeError(
            f"can't convert np.ndarray of type numpy.{ndarray.dtype.type.__name__}",
            fix="cast it to numbers first: array.astype(np.float32)",
            where=user_frame(),
        )
    as_dtype(ndarray.dtype)
    return made(ndarray)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """The tensor itself, a tensor on the memory of an array, or a copy of other data.

    A tensor of another dtype is cast, and gradients flow through that.

    >>> x = ones(2)
    >>> as_tensor(x) is x, as_tensor([1, 2])
    (True, tensor([1, 2]))
    """
    check_device(device)
    d = None if dtype is None else as_dtype(dtype)
    if isinstance(data, Tensor):
        if d is None or d == data.dtype:
            return data
        result: Tensor = cast(data, dtype=d)
        return result
    if isinstance(data, np.ndarray) and data.dtype.kind in "biufc" and data.dtype.isnative:
        return from_numpy(data if d is None else data.astype(d, copy=False))
    return tensor(data, dtype=d)


def asarray(
    obj: Any, *, dtype: Any = None, device: Any = None, copy: bool | None = None, requires_grad: bool = False
) -> Tensor:
    """A tensor of an object's data, on its memory where possible, as the array API standard has it.

    Parameters
    ----------
    obj: a tensor, an array, a number or nested sequences.
    dtype: of the tensor, by default the data's.
    device: the CPU.
    copy: True for memory of its own, False to raise where memory cannot be shared.
    requires_grad: whether it requires grad.

    Raises ShapeError if a copy is forbidden but needed.

    >>> asarray([1.0, 2.0])
    tensor([1., 2.])
    """
    if isinstance(obj, Tensor) and requires_grad and not obj.requires_grad:
        obj = obj.detach()
    if copy:
        result = as_tensor(obj, dtype, device)
        result = result.clone() if result is obj or isinstance(obj, np.ndarray) else result
    else:
        result = as_tensor(obj, dtype, device)
        shares = result is obj or (isinstance(obj, np.ndarray) and np.may_share_memory(result._array, obj))
        if copy is False and not shares:
            raise ShapeError(
                f"can't alias {'arbitrary sequence' if isinstance(obj, (list, tuple)) else type(obj).__name__} into a tensor",
                fix="leave copy=False out",
                where=user_frame(),
            )
    if not requires_grad:
        return result.detach() if result.requires_grad else result
    return result if result.requires_grad else result.requires_grad_()
