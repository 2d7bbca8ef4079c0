"""What a Tensor says about its storage, and how it becomes one of another dtype, an array or a number."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from tracegrad.core.source import user_frame
from tracegrad.eager import dtypes
from tracegrad.eager.device import check_device, device
from tracegrad.eager.inplace import InPlace
from tracegrad.errors import DtypeError, ShapeError, TapeError
from tracegrad.ops.maps import cast

if TYPE_CHECKING:
    from tracegrad.eager.tensor import Tensor


class UntypedStorage:
    """The memory of a tensor, which views and detached tensors share.

    >>> from tracegrad.eager.tensor import tensor
    >>> x = tensor([1.0, 2.0])
    >>> x.untyped_storage().data_ptr() == x.detach().untyped_storage().data_ptr(), x.untyped_storage().nbytes()
    (True, 8)
    """

    __slots__ = ("_owner",)

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        while isinstance(array.base, np.ndarray):
            array = array.base
        self._owner = array

    def data_ptr(self) -> int:
        """The address of the first byte."""
        return int(self._owner.__array_interface__["data"][0])

    def nbytes(self) -> int:
        """Bytes of the whole storage."""
        return int(self._owner.nbytes)

    def __len__(self) -> int:
        return self.nbytes()


class Conversions(InPlace):
    """The part of Tensor's methods that is about storage, dtypes and leaving the graph."""

    # -- where and how the elements lie -------------------------------------------------------------------------------

    @property
    def device(self) -> device:
        """The CPU."""
        return check_device(None)

    @property
    def is_cuda(self) -> builtins.bool:
        """Never."""
        return False

    @property
    def itemsize(self) -> builtins.int:
        """Bytes of an element."""
        return builtins.int(self._array.dtype.itemsize)

    @property
    def nbytes(self) -> builtins.int:
        """Bytes of the elements."""
        return builtins.int(self._array.nbytes)

    def element_size(self) -> builtins.int:
        """Bytes of an element."""
        return self.itemsize

    def data_ptr(self) -> builtins.int:
        """The address of the first element."""
        return builtins.int(self._array.__array_interface__["data"][0])

    def untyped_storage(self) -> UntypedStorage:
        """The storage, which tells by its address who shares it."""
        return UntypedStorage(self._array)

    def storage_offset(self) -> builtins.int:
        """How many elements lie in the storage before the first."""
        return (self.data_ptr() - self.untyped_storage().data_ptr()) // self.itemsize

    def stride(self, dim: builtins.int | None = None) -> Any:
        """Elements from one to the next along each dim, or along one."""
        strides = tuple(s // self.itemsize for s in self._array.strides)
        return strides if dim is None else strides[dim]

    def is_contiguous(self, memory_format: Any = None) -> builtins.bool:
        """Whether the elements lie in row-major order without gaps."""
        return builtins.bool(self._array.flags.c_contiguous)

    def is_floating_point(self) -> builtins.bool:
        """Whether the dtype is one of real floats."""
        return self.dtype.kind == "f"

    def is_complex(self) -> builtins.bool:
        """Whether the dtype is complex."""
        return self.dtype.kind == "c"

    def is_signed(self) -> builtins.bool:
        """Whether the dtype holds negative numbers."""
        return self.dtype.kind in "ifc"

    # -- other dtypes -------------------------------------------------------------------------------------------------

    def to(self, *args: Any, dtype: Any = None, device: Any = None, copy: builtins.bool = False, **ignored: Any) -> Any:
        """The tensor in another dtype: ``x.to(dtype)``, ``x.to(other)``, ``x.to("cpu", dtype)``; itself if it fits already.

        Raises DeviceError for a device that is not the CPU, DtypeError for an unknown dtype.

        >>> from tracegrad.eager.tensor import tensor
        >>> tensor([1, 2]).to(dtypes.float64)
        tensor([1., 2.], dtype=torch.float64)
        """
        for value in args:
            if isinstance(value, InPlace):
                dtype = value.dtype
            elif isinstance(value, builtins.bool) or value is None:
                continue
            elif isinstance(value, (np.dtype, builtins.type)):
                dtype = value
            else:
                check_device(value)
        check_device(device)
        wanted = self.dtype if dtype is None else dtypes.as_dtype(dtype)
        if wanted != self.dtype:
            return cast(self, dtype=wanted)
        return self.clone() if copy else self  # type: ignore[attr-defined]

    def type(self, dtype: Any = None) -> Any:
        """The tensor in another dtype; without one, the name of its type as PyTorch has it."""
        if dtype is None:
            return f"torch.{_TYPE_NAMES[self.dtype.name]}"
        if isinstance(dtype, str):
            names = {f"torch.{v}": k for k, v in _TYPE_NAMES.items()}
            if dtype not in names:
                raise DtypeError(f"invalid type: '{dtype}'", fix="x.to(torch.float32)", where=user_frame())
            dtype = names[dtype]
        return self.to(np.dtype(dtype))

    def type_as(self, other: Tensor) -> Any:
        """The tensor in the dtype of another."""
        return self.to(other.dtype)

    def astype(self, dtype: Any, copy: builtins.bool = True) -> Any:
        """``ndarray.astype``."""
        return self.to(np.dtype(dtype))

    def double(self) -> Any:
        """The tensor in float64."""
        return self.to(dtypes.float64)

    def float(self) -> Any:
        """The tensor in float32."""
        return self.to(dtypes.float32)

    def long(self) -> Any:
        """The tensor in int64."""
        return self.to(dtypes.int64)

    def int(self) -> Any:
        """The tensor in int32."""
        return self.to(dtypes.int32)

    def short(self) -> Any:
        """The tensor in int16."""
        return self.to(dtypes.int16)

    def bool(self) -> Any:
        """The tensor in bool."""
        return self.to(dtypes.bool)

    def cdouble(self) -> Any:
        """The tensor in complex128."""
        return self.to(dtypes.complex128)

    def cfloat(self) -> Any:
        """The tensor in complex64."""
        return self.to(dtypes.complex64)

    def cpu(self) -> Self:
        """The tensor itself."""
        return self

    def cuda(self, *args: Any, **kwargs: Any) -> Self:
        """Refused with DeviceError: the CPU is the one device there is."""
        check_device("cuda")
        return self

    # -- leaving the graph --------------------------------------------------------------------------------------------

    def numpy(self, *, force: builtins.bool = False) -> np.ndarray[Any, Any]:
        """The array itself, not a copy; TapeError while the tensor requires grad, unless with ``force``.

        >>> from tracegrad.eager.tensor import tensor
        >>> tensor([1.0, 2.0]).numpy()
        array([1., 2.], dtype=float32)
        """
        if self.requires_grad and not force:
            raise TapeError(
                "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.",
                fix="x.detach().numpy()",
                where=user_frame(),
            )
        return self._array

    def __array__(self, dtype: Any = None, copy: builtins.bool | None = None) -> np.ndarray[Any, Any]:
        array = self.numpy()
        if copy:
            return np.array(array, dtype)
        return array if dtype is None else array.astype(dtype, copy=False)

    def item(self) -> Any:
        """The one element as a Python number; TapeError for more elements or none.

        >>> from tracegrad.eager.tensor import tensor
        >>> tensor([2.5]).item()
        2.5
        """
        if self._array.size != 1:
            raise TapeError(
                f"a Tensor with {self._array.size} elements cannot be converted to Scalar",
                fix="reduce it first, or use x.tolist()",
                where=user_frame(),
            )
        return self._array.item()

    def tolist(self) -> Any:
        """Nested lists of Python numbers, a number for a 0-d tensor.

        >>> from tracegrad.eager.tensor import tensor
        >>> tensor([[1.0], [2.0]]).tolist()
        [[1.0], [2.0]]
        """
        return self._array.tolist()

    def _number(self) -> Any:
        if self._array.size != 1:
            raise ShapeError(
                f"only one element tensors can be converted to Python scalars, this one has shape {self._array.shape}",
                fix="reduce it first, or use x.tolist()",
                where=user_frame(),
            )
        return self._array.item()

    def _real_number(self, kind: str) -> Any:
        value = self._number()
        if isinstance(value, builtins.complex):
            if value.imag:
                raise DtypeError(
                    f"value cannot be converted to type {kind} without overflow: {value}",
                    fix="take x.real or x.abs() first",
                    where=user_frame(),
                )
            return value.real
        return value

    def __float__(self) -> builtins.float:
        return builtins.float(self._real_number("double"))

    def __int__(self) -> builtins.int:
        return builtins.int(self._real_number("int64_t"))

    def __complex__(self) -> builtins.complex:
        return builtins.complex(self._number())

    def __bool__(self) -> builtins.bool:
        if self._array.size != 1:
            count = "more than one value" if self._array.size else "no values"
            raise TapeError(
                f"Boolean value of Tensor with {count} is ambiguous: its shape is {self._array.shape}",
                fix="reduce it to one element: (x > 0).all() or (x > 0).any()",
                where=user_frame(),
            )
        return builtins.bool(self._array.item())

    def __index__(self) -> builtins.int:
        if self._array.size != 1 or self._array.dtype.kind not in "iub":
            raise DtypeError(
                "only integer tensors of a single element can be converted to an index",
                fix="int(x.item()) for a float of one element",
                where=user_frame(),
            )
        return builtins.int(self._array.item())

    def __len__(self) -> builtins.int:
        if self._array.ndim == 0:
            raise DtypeError("len() of a 0-d tensor", fix="use x.item() for its value", where=user_frame())
        return builtins.int(self._array.shape[0])


_TYPE_NAMES = {
    "float32": "FloatTensor",
    "float64": "DoubleTensor",
    "int64": "LongTensor",
    "int32": "IntTensor",
    "int16": "ShortTensor",
    "int8": "CharTensor",
    "uint8": "ByteTensor",
    "bool": "BoolTensor",
    "complex64": "ComplexFloatTensor",
    "complex128": "ComplexDoubleTensor",
}
