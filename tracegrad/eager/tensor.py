"""The eager Tensor: an array that computes at once and remembers what it came from, with PyTorch's semantics."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracegrad.core.aval import Aval, Shape, supported
from tracegrad.core.op import Kind, Op
from tracegrad.core.source import user_frame
from tracegrad.eager.display import describe
from tracegrad.eager.inplace import InPlace
from tracegrad.eager.leaf import LeafState
from tracegrad.eager.modes import recording
from tracegrad.eager.promote import DEFAULT_DTYPE, coerce
from tracegrad.eager.protocols import apply_function, apply_ufunc
from tracegrad.eager.record import explain, record, share_version
from tracegrad.eager.tape import AccumulateGrad, Node, TapeNode, Version, run_backward
from tracegrad.errors import DtypeError, ShapeError, TapeError
from tracegrad.ops.maps import cast

Array = np.ndarray[Any, Any]


class Tensor(InPlace):
    """An array on the dynamic graph; :func:`tensor` makes one.

    >>> x = tensor([1.0, 2.0], requires_grad=True)
    >>> y = (x * x).sum()
    >>> y.backward()
    >>> x.grad
    tensor([2., 4.])
    """

    bind_rank = 1
    __slots__ = ()

    def __init__(self, data: Any = (), *, dtype: Any = None, requires_grad: bool = False) -> None:
        self._array: Array = _new_array(data, dtype)
        self._source: Node | None = None
        self._version: Version | None = None
        self._state: LeafState | None = None
        if requires_grad:
            self.requires_grad_()

    @classmethod
    def _wrap(cls, array: Any, source: Node | None = None, version: Version | None = None) -> Tensor:
        """A tensor around an array as it is, without a copy."""
        self = Tensor.__new__(Tensor)
        self._array = array if type(array) is np.ndarray else np.asarray(array)
        self._source = source
        self._version = version
        self._state = None
        return self

    # -- computing ----------------------------------------------------------------------------------------------------

    def bind_op(self, op: Op, operands: Sequence[Any], params: dict[str, Any]) -> Tensor:
        """Compute an op on tensors, arrays and numbers, and record it if a gradient can flow through it."""
        arrays: list[Any] = []
        sources: list[Node | None] = []
        dtype = self._array.dtype
        plain = dtype.kind == "f"
        recorded = False
        for x in operands:
            if isinstance(x, Tensor):
                array = x._array
                source = x._source
                if source is None and x._state is not None:
                    source = x._accumulator()
                recorded = recorded or source is not None
                plain = plain and array.dtype == dtype
            else:
                array, source, plain = x, None, False
            arrays.append(array)
            sources.append(source)
        kept = arrays if plain else coerce(op, arrays)
        try:
            with np.errstate(all="ignore"):
                out = op.eager(*kept, **params)
        except (ValueError, TypeError, IndexError):
            explain(op, kept, params)
            raise
        result = Tensor._wrap(out)
        if op.kind is Kind.VIEW:
            share_version(result, operands)
        if recorded and result._array.dtype.kind == "f" and recording.get():
            result._source = record(op, params, operands, kept, sources, result)
        return result

    def _accumulator(self) -> AccumulateGrad | None:
        """The end of the paths to this leaf, if it requires grad."""
        state = self._state
        if state is None or not state.requires_grad:
            return None
        node = state.accumulator() if state.accumulator is not None else None
        if node is None:
            node = AccumulateGrad(self)
            state.accumulator = weakref.ref(node)
        return node

    # -- what it is ---------------------------------------------------------------------------------------------------

    @property
    def shape(self) -> Shape:
        """Sizes of the axes."""
        shape: Shape = self._array.shape
        return shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type."""
        dtype: np.dtype[Any] = self._array.dtype
        return dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self._array.ndim

    @property
    def is_leaf(self) -> bool:
        """Whether it was made by the user, or has no history."""
        return self._source is None

    @property
    def grad_fn(self) -> TapeNode | None:
        """The recorded op it came from, None for a leaf."""
        return self._source if isinstance(self._source, TapeNode) else None

    @property
    def grad(self) -> Tensor | None:
        """The gradient that backward has accumulated; None before."""
        state = self._state
        if self._source is not None and not (state is not None and state.retains):
            warnings.warn(
                "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. It won't be "
                "populated during backward(). Call .retain_grad() on it first if you want its gradient.",
                UserWarning,
                stacklevel=2,
            )
        return None if state is None else state.grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, Tensor):
                raise DtypeError(f"assigned grad is a {type(value).__name__}, not a Tensor", fix="x.grad = tensor(...)")
            if value.shape != self.shape or value.dtype != self.dtype:
                raise ShapeError(
                    f"assigned grad has {Aval(value.shape, value.dtype)}, the tensor {Aval(self.shape, self.dtype)}",
                    fix="give the gradient the tensor's shape and dtype",
                    where=user_frame(),
                )
        self._own_state().grad = value

    def retain_grad(self) -> None:
        """Keep the gradient of this computed tensor in ``.grad`` at the next backward."""
        if self._source is None:
            if not self.requires_grad:
                raise TapeError(
                    "can't retain_grad on Tensor that has requires_grad=False",
                    fix="make it with requires_grad=True",
                    where=user_frame(),
                )
            return
        self._own_state().retains = True
        if isinstance(self._source, TapeNode):
            self._source.retained = weakref.ref(self)

    def accumulate(self, g: Tensor) -> None:
        """Add a cotangent to ``.grad``: in place, unless the cotangent has a history of its own."""
        state = self._own_state()
        if state.grad is None:
            state.grad = g if g._source is not None else Tensor._wrap(np.array(g._array))
        elif g._source is not None or state.grad._source is not None:
            state.grad = state.grad + g
        else:
            np.add(state.grad._array, g._array, out=state.grad._array)
            state.grad._written("backward")

    # -- backward -----------------------------------------------------------------------------------------------------

    def backward(
        self,
        gradient: Any = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: Tensor | Sequence[Tensor] | None = None,
    ) -> None:
        """Add the gradient of this tensor to ``.grad`` of the leaves it was computed from.

        Parameters
        ----------
        gradient: the cotangent to start from; needed unless the tensor has one element.
        retain_graph: keep what the graph has saved, for another backward; by default what ``create_graph`` is.
        create_graph: record the backward itself, for derivatives of the gradients.
        inputs: accumulate into these tensors only.

        Raises TapeError for a tensor without history, a missing start, a graph that was freed, or values written to
        since; ShapeError for a start of another shape.

        >>> x = tensor([1.0, 2.0], requires_grad=True)
        >>> (3 * x).backward(tensor([1.0, 10.0]))
        >>> x.grad
        tensor([ 3., 30.])
        """
        backward([self], None if gradient is None else [gradient], retain_graph, create_graph, inputs)

    def clone(self) -> Tensor:
        """A copy with storage of its own, through which gradients flow.

        >>> x = tensor([1.0], requires_grad=True)
        >>> x.clone().sum().backward()
        >>> x.grad
        tensor([1.])
        """
        result: Tensor = cast(self, dtype=self.dtype)
        return result

    def copy(self) -> Tensor:
        """The same as ``clone``: a Tensor can be written to, so its copy must not share storage."""
        return self.clone()

    def detach(self) -> Tensor:
        """The same storage without history.

        >>> tensor([1.0], requires_grad=True).detach()
        tensor([1.])
        """
        return Tensor._wrap(self._array, None, self._own_version())

    # -- leaving the graph --------------------------------------------------------------------------------------------

    def numpy(self) -> Array:
        """The array itself, not a copy; TapeError while the tensor requires grad.

        >>> tensor([1.0, 2.0]).numpy()
        array([1., 2.], dtype=float32)
        """
        if self.requires_grad:
            raise TapeError(
                "can't call numpy() on Tensor that requires grad",
                fix="x.detach().numpy()",
                where=user_frame(),
            )
        return self._array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        array = self.numpy()
        if copy:
            return np.array(array, dtype)
        return array if dtype is None else array.astype(dtype, copy=False)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return apply_ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        return apply_function(function, args, kwargs)

    def item(self) -> Any:
        """The one element as a Python number; TapeError for more elements or none.

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

        >>> tensor([[1.0], [2.0]]).tolist()
        [[1.0], [2.0]]
        """
        return self._array.tolist()

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __bool__(self) -> bool:
        if self._array.size != 1:
            raise TapeError(
                f"Boolean value of Tensor with {self._array.size} elements is ambiguous",
                fix="reduce it to one element: (x > 0).all() or (x > 0).any()",
                where=user_frame(),
            )
        return bool(self._array.item())

    def __index__(self) -> int:
        if self._array.size != 1 or self._array.dtype.kind not in "iub":
            raise DtypeError(
                "only integer tensors of a single element can be converted to an index",
                fix="int(x.item()) for a float of one element",
                where=user_frame(),
            )
        return int(self._array.item())

    def __len__(self) -> int:
        if self._array.ndim == 0:
            raise DtypeError("len() of a 0-d tensor", fix="use x.item() for its value", where=user_frame())
        return int(self._array.shape[0])

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return describe(self._array, self._source.name() if self._source else "", self.requires_grad)

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if self._array.ndim == 0 and spec else format(repr(self), spec)


def _new_array(data: Any, dtype: Any = None) -> Array:
    """A fresh array of the data: Python floats get the default dtype, arrays keep theirs."""
    if isinstance(data, Tensor):
        data = data._array
    first = data
    while isinstance(first, (list, tuple)) and first:
        first = first[0]
    if isinstance(data, (list, tuple)) and isinstance(first, Tensor):
        data = _values(data)
        first = np.asarray(0)
    array = np.array(data, None if dtype is None else np.dtype(dtype))
    if dtype is None and array.dtype.kind == "f" and not isinstance(first, (np.ndarray, np.generic)):
        array = array.astype(DEFAULT_DTYPE)
    supported(array.dtype)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _values(data: Any) -> Any:
    """Nested sequences of tensors as nested lists of arrays."""
    if isinstance(data, (list, tuple)):
        return [_values(x) for x in data]
    return data._array if isinstance(data, Tensor) else data


def tensor(data: Any, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """A new tensor with a copy of the data.

    Parameters
    ----------
    data: a number, nested sequences of numbers or tensors, an array or a tensor.
    dtype: of the tensor; chosen by the data where it is None.
    requires_grad: whether operations on it are recorded, and backward adds to its ``.grad``.

    Python floats become float32 as in PyTorch, integers int64; NumPy arrays keep their dtype. Raises TapeError for an
    integer tensor that is to require grad, DtypeError for data of unsupported dtypes.

    >>> tensor([1, 2.5])
    tensor([1.0000, 2.5000])
    >>> tensor([True, False])
    tensor([ True, False])
    """
    return Tensor(data, dtype=dtype, requires_grad=requires_grad)


def starts(outputs: Sequence[Tensor], cotangents: Sequence[Any] | None) -> list[Tensor]:
    """The cotangents to start from, one per output: those given, or 1 for outputs of one element."""
    given: Sequence[Any] = [None] * len(outputs) if cotangents is None else cotangents
    if len(given) != len(outputs):
        raise ShapeError(f"got {len(outputs)} outputs and {len(given)} gradients", fix="give one gradient per output")
    found = []
    for output, g in zip(outputs, given, strict=True):
        if not output.requires_grad:
            raise TapeError(
                "this tensor does not require grad and does not have a grad_fn",
                fix="compute it from a tensor made with requires_grad=True, outside no_grad()",
            )
        if g is None:
            if output._array.size != 1:
                raise TapeError(
                    f"grad can be implicitly created only for scalar outputs, this one has shape {output.shape}",
                    fix="reduce it first, y.sum().backward(), or give the cotangent: y.backward(gradient=...)",
                )
            g = Tensor._wrap(np.ones(output.shape, output.dtype))
        elif not isinstance(g, Tensor):
            g = Tensor(g, dtype=output.dtype)
        if g.shape != output.shape:
            raise ShapeError(
                f"mismatch in shape: the gradient has shape {g.shape} and the output has shape {output.shape}",
                fix="give the gradient the shape of the output",
            )
        found.append(g if g.dtype == output.dtype else Tensor(g, dtype=output.dtype))
    return found


def source_of(x: Tensor) -> Node | None:
    """The node that cotangents of a tensor go to, None if it requires no grad."""
    return x._source if x._source is not None else x._accumulator()


def backward(
    tensors: Sequence[Tensor],
    grad_tensors: Sequence[Any] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensor | Sequence[Tensor] | None = None,
) -> None:
    """Add the gradients of tensors to ``.grad`` of the leaves, or of ``inputs`` alone; see ``Tensor.backward``."""
    wrt = None if inputs is None else [inputs] if isinstance(inputs, Tensor) else list(inputs)

    def run() -> None:
        roots = [(source_of(x), g) for x, g in zip(tensors, starts(tensors, grad_tensors), strict=True)]
        nodes = [node for node, _ in roots if node is not None]
        targets = None if wrt is None else [n for n in map(source_of, wrt) if n is not None]
        if wrt is not None and (not wrt or targets is None or len(targets) < len(wrt)):
            raise TapeError("an input of backward does not require grad", fix="list tensors made with requires_grad=True")
        keep = create_graph if retain_graph is None else retain_graph
        found = run_backward(nodes, [g for _, g in roots], keep=keep, create=create_graph, make=Tensor, targets=targets)
        if wrt is not None:
            for x in wrt:
                g = found.get(source_of(x))  # type: ignore[arg-type]
                if g is not None:
                    x.accumulate(g)
            return
        for node, g in found.items():
            if isinstance(node, AccumulateGrad):
                node.variable.accumulate(g)

    located(run)


def located(action: Callable[[], Any]) -> Any:
    """Run and let errors leave with the user's line."""
    try:
        return action()
    except (TapeError, ShapeError) as error:
        raise error.at(user_frame()) from None
