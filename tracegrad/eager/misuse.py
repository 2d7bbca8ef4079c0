"""What a function says of an argument that should be a tensor and is none, and of tensors whose sizes do not fit.

The functions take their tensors for tensors: a list among them fails somewhere inside, at the first attribute it lacks. Only
then are the arguments looked at, so that calls that succeed pay for a ``try`` alone.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tracegrad.core.aval import Shape
from tracegrad.core.source import user_frame
from tracegrad.eager.promote import OPERANDS, OperandError
from tracegrad.errors import DtypeError, ShapeError, TracegradError

__all__ = ["explained", "explains_itself", "must_be_tensor", "refusal", "sizes_differ", "takes_other_tensors"]

_OF_TENSORS = """
    input A B L a b anchor batch1 batch2 boundaries condition index indices input1 input2 key mask mat mat1 mat2 negative
    positive query sorted_sequence target tensor tensor1 tensor2 vec vec1 vec2 x x1 x2 y
"""
_TENSORS = frozenset(_OF_TENSORS.split())
"""Names of arguments that are tensors and nothing else."""

_OF_BOTH = "end exponent max min other repeats src source value values weight"
_TENSORS_OR_NUMBERS = frozenset(_OF_BOTH.split())
"""Names of arguments that are tensors or numbers."""

_LISTS_OF_TENSORS = frozenset(("tensors", "matrices"))
"""Names of arguments that are several tensors."""

_UNREADABLE = ("invalid literal for int()", "could not convert string to float")
"""What Python says of texts that are no numbers."""

_FIX = "torch.tensor(data) makes a tensor of numbers and nested lists of them"
_MARK = "explains_arguments"
_NOTHING = object()

Function = Callable[..., Any]

# -- arguments --------------------------------------------------------------------------------------------------------


def must_be_tensor(function: str, argument: str, position: int, given: Any, wanted: str = "Tensor") -> DtypeError:
    """The error of an argument of the wrong kind, in PyTorch's words; positions count from 1.

    >>> must_be_tensor("sum", "input", 1, [1.0]).message
    "sum(): argument 'input' (position 1) must be Tensor, not list"
    """
    return DtypeError(
        f"{function}(): argument '{argument}' (position {position}) must be {wanted}, not {type(given).__name__}",
        fix=_FIX if "Tensor" in wanted else f"give {wanted}",
        where=user_frame(),
    )


def refusal(name: str) -> Callable[[int, Any], DtypeError]:
    """What makes the error of an operand of an elementwise function of one or two, from its index and itself.

    >>> refusal("add")(1, "a").message
    "add(): argument 'other' (position 2) must be Tensor, not str"
    """
    return lambda k, given: must_be_tensor(name, ("input", "other")[k], k + 1, given)


def explains_itself(function: Function) -> Function:
    """Mark a function that refuses what is no tensor by itself: where it takes 2 µs, the call around it would be 5 % of them.

    >>> function = explains_itself(lambda input: input)
    >>> explained(function) is function
    True
    """
    setattr(function, _MARK, True)
    return function


def explained(function: Function, *, method: bool = False, name: str = "") -> Function:
    """The function itself, with an error that names the argument where one that should be a tensor is none.

    What the arguments do not explain stays as it was raised. As a method it counts the arguments after its tensor, as PyTorch.
    The errors call it ``name``; one that explains itself already is returned as it is.

    >>> from tracegrad.errors import DtypeError
    >>> try:
    ...     explained(lambda input: input.ndim, name="dim")([1.0])
    ... except DtypeError as error:
    ...     error.message
    "dim(): argument 'input' (position 1) must be Tensor, not list"
    """
    if getattr(function, _MARK, False):
        return function

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except (AttributeError, TypeError, ValueError, IndexError) as error:
            found = _explanation(function, name or function.__name__, 0 if method else 1, args, kwargs, error)
            if found is None:
                raise
        raise found

    return explains_itself(call)


def takes_other_tensors(function: Function) -> bool:
    """Whether a function has arguments beside its first that are to be tensors.

    >>> takes_other_tensors(lambda input, index: None), takes_other_tensors(lambda input, dim: None)
    (True, False)
    """
    names = list(inspect.signature(function).parameters)[1:]
    return any(name in _TENSORS or name in _TENSORS_OR_NUMBERS or name in _LISTS_OF_TENSORS for name in names)


def _is_tensor(x: Any) -> bool:
    return bool(getattr(x, "bind_rank", 0))


def _given(function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[tuple[str, Any, bool]]:
    """The names of the arguments of a call, what was given, and whether the argument may be left out."""
    signature = inspect.signature(function)
    try:
        bound = signature.bind(*args, **kwargs).arguments
    except TypeError:  # too many or too few of them, which Python itself says
        return
    for name, value in bound.items():
        yield name, value, signature.parameters[name].default is None


def _explanation(
    function: Function, title: str, first: int, args: tuple[Any, ...], kwargs: dict[str, Any], error: Exception
) -> DtypeError | None:
    """What the arguments of a call say about its error, None if nothing."""
    lacking = error.obj if isinstance(error, AttributeError) else _NOTHING
    # an error raised on purpose may well be right about a call with numbers, but not about one with lists or texts
    told = isinstance(error, TracegradError) and type(error) is not OperandError
    unreadable = isinstance(error, ValueError) and str(error).startswith(_UNREADABLE)
    for position, (name, value, optional) in enumerate(_given(function, args, kwargs), first):
        if _is_tensor(value) or (value is None and optional) or (told and isinstance(value, OPERANDS)):
            continue
        if name in _LISTS_OF_TENSORS:
            found = _of_several(title, name, position, value)
            if found is not None:
                return found
        elif value is lacking or _unfit(name, value):
            return must_be_tensor(title, name, position, value)
        elif unreadable and isinstance(value, str):
            return must_be_tensor(title, name, position, value, "a number")
    return None


def _unfit(name: str, value: Any) -> bool:
    """Whether an argument of this name cannot be what was given."""
    if name in _TENSORS:
        return not isinstance(value, np.ndarray)
    return name in _TENSORS_OR_NUMBERS and not isinstance(value, OPERANDS)


def _of_several(title: str, name: str, position: int, value: Any) -> DtypeError | None:
    """The error of what should be a list of tensors, None if it is one."""
    if not isinstance(value, (list, tuple)):
        return must_be_tensor(title, name, position, value, "tuple of Tensors")
    for k, x in enumerate(value):
        if not (_is_tensor(x) or isinstance(x, np.ndarray)):
            return DtypeError(
                f"{title}(): expected Tensor as element {k} in argument {position - 1}, but got {type(x).__name__}",
                fix=_FIX,
                where=user_frame(),
            )
    return None


# -- sizes ------------------------------------------------------------------------------------------------------------


def sizes_differ(shapes: Sequence[Shape]) -> ShapeError:
    """The error of shapes that do not broadcast, in PyTorch's words, followed by the shapes.

    >>> sizes_differ([(3,), (4,)]).message.partition(": ")[0]
    'The size of tensor a (3) must match the size of tensor b (4) at non-singleton dimension 0'
    """
    message = f"shapes {' and '.join(str(tuple(shape)) for shape in shapes)} do not broadcast"
    ndim = max(map(len, shapes))
    for dim in reversed(range(ndim)):
        aligned = (shape[dim - ndim + len(shape)] for shape in shapes if dim - ndim + len(shape) >= 0)
        sizes = list(dict.fromkeys(n for n in aligned if n != 1))
        if len(sizes) > 1:
            message = (
                f"The size of tensor a ({sizes[0]}) must match the size of tensor b ({sizes[1]}) at non-singleton dimension "
                f"{dim}: {message}"
            )
            break
    return ShapeError(
        message,
        fix="align them from the last axis: each pair of sizes must be equal or one of them 1 (x[:, None] adds an axis)",
        where=user_frame(),
    )
