"""The eager Tensor: an array that computes at once and remembers what it came from, with PyTorch's semantics."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from tracegrad.core.aval import VALUES, one_int, supported
from tracegrad.core.op import Kind, Op
from tracegrad.core.source import user_frame
from tracegrad.eager.conversions import Conversions
from tracegrad.eager.device import check_device
from tracegrad.eager.display import describe
from tracegrad.eager.dtypes import default_complex, default_dtype
from tracegrad.eager.engine import Walk
from tracegrad.eager.hooks import Hooks, RemovableHandle
from tracegrad.eager.modes import inferring, recording
from tracegrad.eager.nodes import AccumulateGrad, Node, Version
from tracegrad.eager.promote import OPERANDS, coerce
from tracegrad.eager.protocols import apply_function, apply_ufunc
from tracegrad.eager.quiet import quiet
from tracegrad.eager.record import explain, record, record_alone
from tracegrad.eager.residuals import Plan, find_map_plan, find_plan_of_one, plan
from tracegrad.eager.size import Size, size_of
from tracegrad.eager.views import follow, note_view
from tracegrad.errors import DtypeError, ShapeError, TapeError
from tracegrad.ops import comparisons, maps
from tracegrad.ops.aliasing import WRITES
from tracegrad.ops.maps import cast

Array = np.ndarray[Any, Any]


_VIEW = Kind.VIEW
_FLOAT32, _FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


def pair(op: Op, refuse: Callable[[int, Any], Exception] | None = None) -> Callable[[Any, Any], Any]:
    """An elementwise op of two operands for tensors, short where they are of one float dtype, or a tensor and a number.

    What ``bind_op`` does for any op is written out here for the most frequent case: half of the time of a small op goes
    into finding out what its operands are. ``refuse`` makes the error for operands of which none is a tensor, or one neither
    a tensor nor a number, from the operand's index and itself.
    """
    compute = op.eager
    plans: dict[tuple[bool, bool], Plan] = {}
    unusual = op if refuse is None else _refusing(op, refuse)

    def function(input: Any, other: Any) -> Any:
        if not isinstance(input, Tensor) or input.bind_rank != 1 or input._view is not None:
            return unusual(input, other)
        array = input._array
        dtype = array.dtype
        if not (dtype is _FLOAT32 or dtype is _FLOAT64):
            return unusual(input, other)
        b = None
        if isinstance(other, Tensor):
            second = other._array
            if second.dtype is not dtype or other.bind_rank != 1 or other._view is not None:
                return op(input, other)
            b = other._source
            if b is None and (state := other._state) is not None and state.requires_grad:
                b = state
        elif type(other) is float or type(other) is int:
            second = quiet.run(np.array, other, dtype)
        else:
            return unusual(input, other)
        try:
            out = quiet.run(compute, array, second)
        except (TypeError, ValueError):
            return op(input, other)  # which explains what is wrong
        result = _new(Tensor)
        result._array = out if type(out) is np.ndarray else np.asarray(out)
        result._source = None
        a = input._source
        if a is None and (state := input._state) is not None and state.requires_grad:
            a = state
        if (a is not None or b is not None) and recording.get():
            needs = a is not None, b is not None
            found = plans.get(needs)
            if found is None:
                found = plans[needs] = find_map_plan(op, needs)
            if found.active and result._array.dtype.kind == "f":
                result._source = node = record(op, _NO_PARAMS, found, (input, other), (array, second), (a, b), None, result)
                if input._slot or (b is not None and other._slot):
                    node.slots = (input._slot, other._slot if b is not None else 0)
        elif inferring.get():
            result._inference = True
        return result

    return function


def _refusing(op: Op, refuse: Callable[[int, Any], Exception]) -> Callable[[Any, Any], Any]:
    """An op of two operands that refuses what is neither a tensor nor a number, and numbers without a tensor."""

    def function(input: Any, other: Any) -> Any:
        if type(input) is Tensor and type(other) is Tensor:
            return op(input, other)
        tensors = [bool(getattr(x, "bind_rank", 0)) for x in (input, other)]
        for k, x in enumerate((input, other)):
            if not (tensors[k] or (any(tensors) and isinstance(x, OPERANDS))):
                raise refuse(k, x)
        return op(input, other)

    return function


def single(op: Op, refuse: Callable[[int, Any], Exception] | None = None) -> Callable[[Any], Any]:
    """An elementwise op of one operand for tensors, short where it is of floats and no view; see ``pair``."""
    compute = op.eager
    known: Plan | None = None

    def function(input: Any) -> Any:
        nonlocal known
        if not isinstance(input, Tensor) or input.bind_rank != 1 or input._view is not None:
            if refuse is not None and not getattr(input, "bind_rank", 0):
                raise refuse(0, input)
            return op(input)
        array = input._array
        dtype = array.dtype
        if not (dtype is _FLOAT32 or dtype is _FLOAT64):
            return op(input)
        try:
            out = quiet.run(compute, array)
        except TypeError:
            return op(input)  # which explains what is wrong
        result = _new(Tensor)
        result._array = out if type(out) is np.ndarray else np.asarray(out)
        result._source = None
        source = input._source
        if source is None and (state := input._state) is not None and state.requires_grad:
            source = state
        if source is not None and recording.get():
            found = known
            if found is None:
                found = known = find_map_plan(op, (True,))
            if found.active and result._array.dtype.kind == "f":
                result._source = node = record(op, _NO_PARAMS, found, (input,), (array,), (source,), None, result)
                if input._slot:
                    node.slots = (input._slot,)
        elif inferring.get():
            result._inference = True
        return result

    return function


_NO_PARAMS: dict[str, Any] = {}


class Tensor(Conversions):
    """An array on the dynamic graph; :func:`tensor` makes one.

    ``Tensor(2, 3)`` has whatever its memory holds, ``Tensor([1, 2])`` the default dtype; the dtype of a tensor is kept.

    >>> Tensor([1, 2]), Tensor(2, 3).shape
    (tensor([1., 2.]), torch.Size([2, 3]))
    >>> x = tensor([1.0, 2.0], requires_grad=True)
    >>> y = (x * x).sum()
    >>> y.backward()
    >>> x.grad
    tensor([2., 4.])
    """

    bind_rank = 1

    def __init__(self, *data: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> None:
        if device is not None:
            check_device(device)
        if not data or type(data[0]) is Size or (one_int(data[0]) is not None and not isinstance(data[0], Tensor)):
            size = size_of("Tensor", data or (0,))
            self._array: Array = np.empty(size, default_dtype.get() if dtype is None else np.dtype(dtype))
        elif len(data) > 1:
            raise TypeError(f"Tensor() takes sizes, or one sequence of numbers; got {len(data)} arguments")
        else:
            if dtype is None and not isinstance(data[0], Tensor):
                dtype = default_dtype.get()
            self._array = _new_array(data[0], dtype)
        self._source: Node | None = None
        if inferring.get():
            self._inference = True
        if requires_grad:
            self.requires_grad_()

    @classmethod
    def _wrap(cls, array: Any, source: Node | None = None, counter: Version | None = None, slot: int = 0) -> Tensor:
        """A tensor around an array as it is, without a copy."""
        self = _new(Tensor)
        self._array = array if type(array) is np.ndarray else np.asarray(array)
        self._source = source
        if counter is not None:
            self._counter = counter
        if slot:
            self._slot = slot
        return self

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """PyTorch's methods, which ``surface.with_methods`` gives to the class."""

    # -- computing ----------------------------------------------------------------------------------------------------

    def bind_op(self, op: Op, operands: Sequence[Any], params: dict[str, Any]) -> Tensor:
        """Compute an op on tensors, arrays and numbers, and record it if a gradient can flow through it."""
        if len(operands) == 1 and self._array.dtype.kind == "f":
            return self._bind_one(op, params)
        arrays, sources, slots, plain = _taken_apart(operands, self._array.dtype)
        kept = arrays if plain else coerce(op, arrays)
        try:
            out = quiet.run(op.eager, *kept, **params) if params else quiet.run(op.eager, *kept)
        except (ValueError, TypeError, IndexError):
            explain(op, kept, params)
            raise
        result = _new(Tensor)
        result._array = out if type(out) is np.ndarray else np.asarray(out)
        result._source = None
        if op in WRITES or op.kind is _VIEW:
            note_view(result, op, params, operands[0])
        if slots is not None and recording.get():
            if result._array.dtype.kind in "fc":
                found = plan(op, tuple([s is not None for s in sources]), kept, params)
                if found.active:
                    result._source = record(op, params, found, operands, kept, sources, slots, result)
        elif result._counter is None and inferring.get():  # a view is what its base is
            result._inference = True
        return result

    def _bind_one(self, op: Op, params: dict[str, Any]) -> Tensor:
        """``bind_op`` of one operand of floats, which needs no promotion."""
        array = self._array
        try:
            out = quiet.run(op.eager, array, **params)
        except (ValueError, TypeError, IndexError):
            explain(op, [array], params)
            raise
        result = _new(Tensor)
        result._array = out if type(out) is np.ndarray else np.asarray(out)
        result._source = None
        if op in WRITES or op.kind is _VIEW:
            note_view(result, op, params, self)
        source = self._source if self._view is None else self._gradient_edge()
        if source is None and (state := self._state) is not None and state.requires_grad:
            source = state
        if source is not None and recording.get():
            if result._array.dtype.kind in "fc":
                found = find_plan_of_one(op, array.shape, array.dtype.char, *params, *params.values())
                if found.active:
                    result._source = record_alone(op, params, found, self, source, result)
        elif result._counter is None and inferring.get():  # a view is what its base is
            result._inference = True
        return result

    # as in PyTorch, 2 * x is x * 2
    __add__ = __radd__ = pair(maps.add)
    __sub__ = pair(maps.subtract)
    __mul__ = __rmul__ = pair(maps.multiply)
    __truediv__ = pair(maps.divide)
    __neg__ = single(maps.negative)

    def __eq__(self, other: object) -> Any:
        return comparisons.equal(self, other) if isinstance(other, _COMPARABLE) else NotImplemented

    def __ne__(self, other: object) -> Any:
        return comparisons.not_equal(self, other) if isinstance(other, _COMPARABLE) else NotImplemented

    # -- what it is ---------------------------------------------------------------------------------------------------

    @property
    def shape(self) -> Size:
        """Sizes of the axes."""
        return tuple.__new__(Size, self._array.shape)

    @property
    def plain_shape(self) -> tuple[int, ...]:
        """The sizes as a plain tuple, for rules and functions, in a third of the time."""
        shape: tuple[int, ...] = self._array.shape
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
        return self.grad_fn is None

    @property
    def grad_fn(self) -> Node | None:
        """The node of the record it came from, None for a leaf."""
        if self._view is not None:
            follow(self)
        source = self._source
        return None if isinstance(source, AccumulateGrad) else source

    @property
    def output_nr(self) -> int:
        """Which result of its ``grad_fn`` it is."""
        return self._slot

    @property
    def _version(self) -> int:
        """How often its storage was written to, as PyTorch counts it."""
        return 0 if self._counter is None else self._counter.count

    @property
    def retains_grad(self) -> bool:
        """Whether backward keeps the gradient of this computed tensor."""
        return self._source is not None and self._state is not None and self._state.retains

    def is_inference(self) -> bool:
        """Whether it was made in ``inference_mode``."""
        return self._inference

    @property
    def grad(self) -> Tensor | None:
        """The gradient that backward has accumulated; None before."""
        state = self._state
        if self._source is not None and not (state is not None and state.retains):
            warnings.warn(
                "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its .grad attribute won't be "
                "populated during autograd.backward(). If you indeed want the .grad field to be populated for a non-leaf "
                "Tensor, use .retain_grad() on the non-leaf Tensor.",
                UserWarning,
                stacklevel=2,
            )
        return None if state is None else state.grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, Tensor):
                raise DtypeError(
                    f"assigned grad expected to be a Tensor or None but got {type(value).__name__}",
                    fix="x.grad = tensor(...)",
                    where=user_frame(),
                )
            if value is self:
                raise TapeError("can't assign Variable as its own grad", fix="x.grad = x.detach().clone()", where=user_frame())
            for what, given, own in (("size", list(value.shape), list(self.shape)), ("dtype", value.dtype, self.dtype)):
                if given != own:
                    raise TapeError(
                        f"attempting to assign a gradient with {what} '{given}' to a tensor with {what} '{own}'",
                        fix=f"ensure that the gradient and the tensor have the same {what}",
                        where=user_frame(),
                    )
        self._own_state().grad = value

    @grad.deleter
    def grad(self) -> None:
        self._own_state().grad = None

    @property
    def data(self) -> Tensor:
        """The same storage without history; writes through it are not noticed by backward."""
        return Tensor._wrap(self._array)

    @data.setter
    def data(self, value: Any) -> None:
        if not isinstance(value, Tensor):
            raise DtypeError(
                f"Variable data has to be a tensor, but got {type(value).__name__}",
                fix="x.data = tensor(...)",
                where=user_frame(),
            )
        array = value._array
        if array.dtype != self._array.dtype and (self._source is not None or array.dtype.kind not in "fc"):
            raise DtypeError(
                f"x.data = y with x of dtype {self.dtype} and y of dtype {array.dtype}", fix="cast y to the dtype of x"
            )
        self._array = array
        if self._state is not None:
            self._state.hold(array)

    # -- gradients ----------------------------------------------------------------------------------------------------

    def retain_grad(self) -> None:
        """Keep the gradient of this computed tensor in ``.grad`` at the next backward."""
        if not self.requires_grad:
            raise TapeError(
                "can't retain_grad on Tensor that has requires_grad=False",
                fix="make it with requires_grad=True",
                where=user_frame(),
            )
        if self._source is not None:
            self._own_state().retains = True
            self._keep_gradient()

    def register_hook(self, hook: Callable[[Tensor], Any]) -> RemovableHandle:
        """Call ``hook(grad)`` when the gradient of this tensor is computed; a Tensor it returns replaces it.

        Returns a handle whose ``remove()`` takes the hook off; TapeError for a tensor that requires no grad.
        """
        source = self._gradient_edge()
        if source is None:
            raise TapeError(
                "cannot register a hook on a tensor that doesn't require gradient",
                fix="make it with requires_grad=True",
                where=user_frame(),
            )
        if source.pre_hooks is None:
            source.pre_hooks = Hooks()
        return source.pre_hooks.add(hook, self._slot)

    def register_post_accumulate_grad_hook(self, hook: Callable[[Tensor], Any]) -> RemovableHandle:
        """Call ``hook(x)`` after backward has added to ``.grad`` of this leaf; returns a handle to take it off."""
        if self._source is not None or not self.requires_grad:
            raise TapeError(
                "post accumulate grad hooks cannot be registered on non-leaf tensors",
                fix="register it on a leaf that requires grad, or use register_hook",
                where=user_frame(),
            )
        state = self._own_state()
        if state.accumulated_hooks is None:
            state.accumulated_hooks = Hooks()
        return state.accumulated_hooks.add(hook)

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
        result: Tensor = maps.copy(self)
        return result

    def copy(self) -> Tensor:
        """The same as ``clone``: a Tensor can be written to, so its copy must not share storage."""
        return self.clone()

    def detach(self) -> Tensor:
        """The same storage without history.

        >>> tensor([1.0], requires_grad=True).detach()
        tensor([1.])
        """
        result = Tensor._wrap(self._array, None, self._own_counter())
        result._inference = self._inference
        return result

    def detach_(self) -> Self:
        """Take this tensor out of the graph: it becomes a leaf that requires no grad."""
        if self._view is not None:
            raise TapeError("Can't detach views in-place", fix="use x.detach(), which gives another tensor", where=user_frame())
        self._source, self._slot, self._state = None, 0, None
        return self

    # -- what Python and NumPy ask for --------------------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return apply_ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        return apply_function(function, args, kwargs)

    def __iter__(self) -> Iterator[Any]:
        if self._array.ndim == 0:
            raise TypeError("iteration over a 0-d tensor")
        return map(self.__getitem__, range(len(self._array)))

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        node = self.grad_fn
        return describe(self._array, node.name() if node else "", self.requires_grad)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        known = memo.get(id(self))
        if known is not None:
            same: Self = known
            return same
        if self._source is not None:
            raise TapeError(
                "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the moment",
                fix="copy x.detach() instead",
                where=user_frame(),
            )
        copied = _new(type(self))
        memo[id(self)] = copied
        # attributes that users have set come along, the record does not
        for name, value in self.__dict__.items():
            if name not in _RECORD:
                setattr(copied, name, deepcopy(value, memo))
        copied._array = self._array.copy()
        copied._source = None
        if self.requires_grad:
            copied._own_state().requires_grad = True
        if self._state is not None and self._state.grad is not None:
            copied._own_state().grad = deepcopy(self._state.grad, memo)
        return copied

    def __reduce_ex__(self, protocol: Any) -> Any:
        if self._source is not None:
            raise TapeError(
                "only leaves of the graph can be pickled, as the graph is not", fix="pickle x.detach()", where=user_frame()
            )
        return _restored, (type(self), self._array, self.requires_grad)

    def __format__(self, spec: str) -> str:
        if self._array.ndim == 0 and (spec or type(self) is Tensor):
            return format(self.item(), spec)
        return object.__format__(self, spec)


def _taken_apart(operands: Sequence[Any], dtype: np.dtype[Any]) -> tuple[list[Any], list[Node | None], list[int] | None, bool]:
    """What operands hold and where they come from.

    Returns arrays or numbers; nodes; slots, None if no gradient flows; and whether all are arrays of one float dtype.
    """
    arrays: list[Any] = []
    sources: list[Node | None] = []
    slots = [0] * len(operands)
    plain = dtype.kind == "f"
    recorded = False
    for k, x in enumerate(operands):
        if not isinstance(x, Tensor):
            arrays.append(x)
            sources.append(None)
            plain = False
            continue
        array = x._array
        if x._view is not None:
            follow(x)
        source = x._source
        if source is None:
            state = x._state
            if state is not None and state.requires_grad:
                source = state
                recorded = True
        else:
            recorded = True
            slots[k] = x._slot
        if array.dtype is not dtype:
            plain = plain and array.dtype == dtype
        arrays.append(array)
        sources.append(source)
    return arrays, sources, slots if recorded else None, plain


_new = Tensor.__new__
_COMPARABLE = (Tensor, np.ndarray, np.generic, int, float, complex)
_RECORD = frozenset(("_array", "_source", "_slot", "_state", "_counter", "_view", "_inference"))


def _restored(kind: type[Tensor], array: Array, requires_grad: bool) -> Tensor:
    """The leaf that was pickled."""
    self = _new(kind)
    self._array, self._source = array, None
    if requires_grad:
        self._own_state().requires_grad = True
    return self


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
    if dtype is None and array.dtype.kind in "fc" and not isinstance(first, (np.ndarray, np.generic)):
        array = array.astype(default_dtype.get() if array.dtype.kind == "f" else default_complex())
    supported(array.dtype, VALUES)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _values(data: Any) -> Any:
    """Nested sequences of tensors as nested lists of arrays."""
    if isinstance(data, (list, tuple)):
        return [_values(x) for x in data]
    return data._array if isinstance(data, Tensor) else data


def tensor(data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A new tensor with a copy of the data.

    Parameters
    ----------
    data: a number, nested sequences of numbers or tensors, an array or a tensor.
    dtype: of the tensor; chosen by the data where it is None.
    device: the CPU, if anything.
    requires_grad: whether operations on it are recorded, and backward adds to its ``.grad``.

    Python floats become float32 as in PyTorch, integers int64; NumPy arrays keep their dtype. Raises TapeError for an
    integer tensor that is to require grad, DtypeError for data of unsupported dtypes.

    >>> tensor([1, 2.5])
    tensor([1.0000, 2.5000])
    >>> tensor([True, False])
    tensor([ True, False])
    """
    if device is not None:
        check_device(device)
    result = Tensor._wrap(_new_array(data, dtype))
    if inferring.get():
        result._inference = True
    if requires_grad:
        result.requires_grad_()
    return result


def starts(outputs: Sequence[Tensor], cotangents: Sequence[Any] | None) -> list[Tensor]:
    """The cotangents to start from, one per output: those given, or 1 for outputs of one element."""
    given: Sequence[Any] = [None] * len(outputs) if cotangents is None else cotangents
    if len(given) != len(outputs):
        raise ShapeError(f"got {len(outputs)} tensors and {len(given)} gradients", fix="give one gradient per output")
    found = []
    for k, (output, g) in enumerate(zip(outputs, given, strict=True)):
        if not output.requires_grad:
            raise TapeError(
                f"element {k} of tensors does not require grad and does not have a grad_fn",
                fix="compute it from a tensor made with requires_grad=True, outside no_grad()",
            )
        if g is None:
            if output._array.size != 1:
                raise TapeError(
                    f"grad can be implicitly created only for scalar outputs, this one has shape {output._array.shape}",
                    fix="reduce it first, y.sum().backward(), or give the cotangent: y.backward(gradient=...)",
                )
            if output.dtype.kind == "c":
                raise TapeError(
                    f"grad can be implicitly created only for real scalar outputs but got {output.dtype}",
                    fix="take y.abs() or y.real first, or give the cotangent: y.backward(gradient=...)",
                )
            g = Tensor._wrap(np.ones(output.shape, output.dtype))
        elif isinstance(g, np.ndarray):
            g = Tensor._wrap(_new_array(g, output.dtype))
        elif not isinstance(g, Tensor):
            raise DtypeError(
                f"gradients can be either Tensors or None, but got {type(g).__name__}",
                fix="give a tensor in the shape of the output",
            )
        if g.shape != output.shape:
            raise ShapeError(
                f"Mismatch in shape: grad_output[{k}] has a shape of {list(g.shape)} and output[{k}] has a shape of "
                f"{list(output.shape)}",
                fix="give the gradient the shape of the output",
            )
        if g.dtype != output.dtype:
            if (output.dtype.kind == "c") != (g.dtype.kind == "c"):
                raise DtypeError(
                    "For complex Tensors, both grad_output and output are required to have the same dtype. Mismatch in dtype: "
                    f"grad_output[{k}] has a dtype of {g.dtype} and output[{k}] has a dtype of {output.dtype}.",
                    fix=f"cast it: gradient.to(torch.{output.dtype})",
                )
            g = cast(g, dtype=output.dtype)
        found.append(g.conj() if g.dtype.kind == "c" else g)
    return found


def edge(x: Tensor) -> tuple[Node, int] | None:
    """Where cotangents of a tensor go, None if it requires no grad."""
    source = x._gradient_edge()
    return None if source is None else (source, x._slot)


def backward(
    tensors: Tensor | Sequence[Tensor],
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensor | Sequence[Tensor] | None = None,
) -> None:
    """Add the gradients of tensors to ``.grad`` of the leaves, or of ``inputs`` alone; see ``Tensor.backward``."""
    roots = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    if grad_tensors is not None and not isinstance(grad_tensors, (list, tuple)):
        grad_tensors = [grad_tensors]
    wrt = None if inputs is None else [inputs] if isinstance(inputs, Tensor) else list(inputs)
    if create_graph:
        warnings.warn(
            "Using backward() with create_graph=True will create a reference cycle between the parameter and its gradient "
            "which can cause a memory leak. We recommend using autograd.grad when creating the graph to avoid this. If you "
            "have to use this function, make sure to reset the .grad fields of your parameters to None after use to break "
            "the cycle and avoid the leak.",
            UserWarning,
            stacklevel=3,
        )
    try:
        cotangents = starts(roots, grad_tensors)
        targets = None if wrt is None else [edge(x) for x in wrt]
        if targets is not None and not targets:
            raise TapeError("`inputs` argument to `backward()` cannot be empty.", fix="leave it out for all leaves")
        if targets is not None and None in targets:
            raise TapeError("one of the inputs of backward does not require grad", fix="list tensors that require grad")
        keep = create_graph if retain_graph is None else retain_graph
        walk = Walk(Tensor, create=create_graph, keep=keep, accumulate=True)
        walk.run([e for e in map(edge, roots) if e], cotangents, None if targets is None else [t for t in targets if t])
    except (TapeError, ShapeError, DtypeError) as error:
        raise error.at(user_frame()) from None
    for x in dict.fromkeys(wrt or ()):
        # leaves have accumulated in the walk, and so have those that retain their gradient
        g = None if x._source is None or x.retains_grad else walk.captured.get(edge(x))  # type: ignore[arg-type]
        if g is not None:
            x.accumulate(g)
