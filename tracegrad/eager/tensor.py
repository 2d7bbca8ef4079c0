"""The eager Tensor: an array that computes at once and remembers what it came from, with PyTorch's semantics."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np

from tracegrad.core.aval import Aval, Shape, broadcast_shapes, supported
from tracegrad.core.op import Kind, Op
from tracegrad.core.source import user_frame
from tracegrad.eager.display import describe
from tracegrad.eager.modes import recording
from tracegrad.eager.promote import DEFAULT_DTYPE, coerce
from tracegrad.eager.protocols import apply_function, apply_ufunc
from tracegrad.eager.residuals import plan
from tracegrad.eager.tape import AccumulateGrad, Node, TapeNode, Version, run_backward
from tracegrad.errors import DtypeError, ShapeError, TapeError
from tracegrad.ops.indexing import setitem
from tracegrad.ops.maps import cast
from tracegrad.ops.methods import ArrayMethods

Array = np.ndarray[Any, Any]


class _LeafState:
    """What only leaves and retaining tensors have: the wish for a gradient, the gradient, the end of their paths."""

    __slots__ = ("accumulator", "grad", "requires_grad", "retains")

    def __init__(self) -> None:
        self.requires_grad = False
        self.grad: Tensor | None = None
        self.retains = False
        # weak, because the node holds the tensor and a graph holds the node
        self.accumulator: weakref.ref[AccumulateGrad] | None = None


class Tensor(ArrayMethods):
    """An array on the dynamic graph; :func:`tensor` makes one.

    >>> x = tensor([1.0, 2.0], requires_grad=True)
    >>> y = (x * x).sum()
    >>> y.backward()
    >>> x.grad
    tensor([2., 4.])
    """

    bind_rank = 1
    __slots__ = ("__weakref__", "_array", "_source", "_state", "_version")

    def __init__(self, data: Any = (), *, dtype: Any = None, requires_grad: bool = False) -> None:
        self._array: Array = _new_array(data, dtype)
        self._source: Node | None = None
        self._version: Version | None = None
        self._state: _LeafState | None = None
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
            _explain(op, kept, params)
            raise
        result = Tensor._wrap(out)
        if op.kind is Kind.VIEW:
            _share_version(result, operands)
        if recorded and result._array.dtype.kind == "f" and recording.get():
            result._source = _record(op, params, operands, kept, sources, result)
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

    def _own_version(self) -> Version:
        if self._version is None:
            self._version = Version()
        return self._version

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
    def requires_grad(self) -> bool:
        """Whether operations on it are recorded."""
        return self._source is not None or (self._state is not None and self._state.requires_grad)

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Start or stop recording what is computed from this leaf; returns the tensor.

        Raises TapeError for integer and boolean tensors, and for stopping at a tensor that was computed.
        """
        if requires_grad and self._array.dtype.kind != "f":
            raise TapeError(
                f"only Tensors of floating point dtype can require gradients, this one is {self.dtype}",
                fix="make it floating: tensor(data, dtype=np.float32, requires_grad=True)",
                where=user_frame(),
            )
        if self._source is not None:
            if not requires_grad:
                raise TapeError(
                    "you can only change requires_grad flags of leaf variables",
                    fix="use x.detach() for a tensor without history",
                    where=user_frame(),
                )
            return self
        if requires_grad or self._state is not None:
            self._own_state().requires_grad = requires_grad
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether it was made by the user, or has no history."""
        return self._source is None

    @property
    def grad_fn(self) -> TapeNode | None:
        """The recorded op it came from, None for a leaf."""
        return self._source if isinstance(self._source, TapeNode) else None

    def _own_state(self) -> _LeafState:
        if self._state is None:
            self._state = _LeafState()
        return self._state

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
        """
        backward([self], None if gradient is None else [gradient], retain_graph, create_graph, inputs)

    def clone(self) -> Tensor:
        """A copy with storage of its own, through which gradients flow."""
        result: Tensor = cast(self, dtype=self.dtype)
        return result

    def copy(self) -> Tensor:
        """The same as ``clone``: a Tensor can be written to, so its copy must not share storage."""
        return self.clone()

    def detach(self) -> Tensor:
        """The same storage without history."""
        return Tensor._wrap(self._array, None, self._own_version())

    # -- leaving the graph --------------------------------------------------------------------------------------------

    def numpy(self) -> Array:
        """The array itself, not a copy; refused while the tensor requires grad."""
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
        """The one element as a Python number."""
        if self._array.size != 1:
            raise TapeError(
                f"a Tensor with {self._array.size} elements cannot be converted to Scalar",
                fix="reduce it first, or use x.tolist()",
                where=user_frame(),
            )
        return self._array.item()

    def tolist(self) -> Any:
        """Nested lists of Python numbers."""
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

    # -- in place -----------------------------------------------------------------------------------------------------

    def _written(self, writer: str) -> None:
        version = self._own_version()
        version.count += 1
        version.writer = writer

    def _check_writable(self, value: Any) -> None:
        """Raise TapeError where a write would break a record."""
        if not recording.get():
            return
        if self._source is None and self.requires_grad:
            raise TapeError(
                "a leaf Tensor that requires grad is being used in an in-place operation",
                fix="write x = x + y, or update it inside with no_grad():",
                where=user_frame(),
            )
        history = self._source is not None or (isinstance(value, Tensor) and value.requires_grad)
        if history and self._version is not None and self._version.viewed:
            raise TapeError(
                "an in-place operation on a Tensor of which views exist, with a gradient to record",
                fix="write x = x + y instead of x += y, or work on a copy",
                where=user_frame(),
            )

    def _check_stored(self, writer: str) -> None:
        """Raise TapeError where the elements have no memory of their own."""
        if not self._array.flags.writeable:
            raise TapeError(
                f"{writer}: this tensor repeats its elements without storing them",
                fix="write to a copy: x = x.clone()",
                where=user_frame(),
            )

    def _become(self, result: Tensor, other: Any, writer: str) -> Tensor:
        """Take the values and the history of ``result``, which was computed from this tensor."""
        self._check_writable(other)
        if result.shape != self.shape:
            raise ShapeError(
                f"{writer}: the result has shape {result.shape}, the tensor written to has shape {self.shape}",
                fix="write x = x + y: in-place operations keep the shape",
                where=user_frame(),
            )
        if result.dtype.kind != self.dtype.kind and not np.can_cast(result.dtype, self.dtype, "same_kind"):
            raise DtypeError(
                f"{writer}: result type {result.dtype} can't be cast to the desired output type {self.dtype}",
                fix="write x = x + y: in-place operations keep the dtype",
                where=user_frame(),
            )
        self._check_stored(writer)
        np.copyto(self._array, result._array, casting="same_kind")
        self._written(writer)
        if recording.get():
            self._source = result._source
            if self._state is not None and self._state.retains and isinstance(self._source, TapeNode):
                self._source.retained = weakref.ref(self)
        return self

    def __setitem__(self, key: Any, value: Any) -> None:
        """Assign elements; with a gradient to record, the history goes on through a functional update."""
        self._check_writable(value)
        recorded = recording.get() and (self.requires_grad or (isinstance(value, Tensor) and value.requires_grad))
        if recorded:
            self._become(setitem(self, key, value), value, "x[...] = y")
            return
        self._check_stored("x[...] = y")
        try:
            self._array[_plain(key)] = _plain(value)
        except (ValueError, IndexError) as error:
            raise ShapeError(
                f"x[...] = y with x of shape {self.shape} and y of shape {np.shape(_plain(value))}: {error}",
                fix="give y the shape of x[...], or one that broadcasts to it",
                where=user_frame(),
            ) from None
        self._written("x[...] = y")

    def __iadd__(self, other: Any) -> Tensor:
        return self._become(self + other, other, "+=")

    def __isub__(self, other: Any) -> Tensor:
        return self._become(self - other, other, "-=")

    def __imul__(self, other: Any) -> Tensor:
        return self._become(self * other, other, "*=")

    def __itruediv__(self, other: Any) -> Tensor:
        return self._become(self / other, other, "/=")

    def __ipow__(self, other: Any) -> Tensor:
        return self._become(self**other, other, "**=")


def _record(
    op: Op, params: dict[str, Any], operands: Sequence[Any], kept: list[Any], sources: list[Node | None], result: Tensor
) -> TapeNode | None:
    """The node of an op that was computed, None where no gradient flows through it."""
    found = plan(op, tuple(s is not None for s in sources), kept, params)
    if not found.active:
        return None
    if len(found.active) < len(sources):
        sources = [s if k in found.active else None for k, s in enumerate(sources)]
    saved: list[Any] = []
    for k in found.values:
        x = operands[k]
        if isinstance(x, Tensor) and x._array is kept[k]:
            version = x._version
            if version is None:
                version = x._version = Version()
            saved.append((kept[k], version, version.count))
        else:
            saved.append((kept[k], None, 0))
    array = result._array
    if found.out:
        version = result._own_version()
        saved.append((array, version, version.count))
    saved.extend(Aval(kept[k].shape, kept[k].dtype) for k in found.shapes)
    return TapeNode(op, params, tuple(sources), found, tuple(saved), array.shape, array.dtype)


def _share_version(result: Tensor, operands: Sequence[Any]) -> None:
    """Let a view count writes together with what it shows."""
    for x in operands:
        if isinstance(x, Tensor) and np.may_share_memory(result._array, x._array):
            result._version = x._own_version()
            result._version.viewed = True


def _plain(value: Any) -> Any:
    """An index or a value with arrays in the place of tensors."""
    if isinstance(value, Tensor):
        return value._array
    return tuple(_plain(v) for v in value) if isinstance(value, tuple) else value


def _explain(op: Op, arrays: Sequence[Array], params: Mapping[str, Any]) -> None:
    """Raise the op's own error for operands that NumPy refused, if its shape rule knows one."""
    avals = [Aval(x.shape, x.dtype) for x in arrays]
    if op.kind is Kind.MAP:
        shape = broadcast_shapes(*(a.shape for a in avals))
        avals = [Aval(shape, a.dtype) for a in avals]
    op.infer(*avals, **params)


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
            raise TapeError(
                "an input of backward does not require grad", fix="list tensors made with requires_grad=True"
            )
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
