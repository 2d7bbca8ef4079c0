"""Jacobians, Hessians and their products with vectors, for functions of tensors.

Forward-mode products come from two backwards: the cotangent of a cotangent is a tangent (J. Townsend, "A new trick for
calculating Jacobian vector products", 2017).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracegrad.core.source import user_frame
from tracegrad.eager.autograd.gradients import grad
from tracegrad.eager.modes import enable_grad
from tracegrad.eager.tensor import Tensor
from tracegrad.errors import DtypeError, ShapeError, TapeError
from tracegrad.ops.views import reshape, stack

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]

Tensors = Tensor | tuple[Tensor, ...]


_UNUSED = "The output of the user-provided function is independent of input {}. This is not allowed in strict mode."
_UNUSED_BY_JACOBIAN = (
    "The jacobian of the user-provided function is independent of input {}. This is not allowed in strict mode."
)
_CONSTANT_OUTPUT = (
    "Output {} of the user-provided function does not require gradients. The outputs must be computed in a differentiable "
    "manner from the input when running in strict mode."
)
_CONSTANT_JACOBIAN = (
    "While computing the hessian, found that the jacobian of the user-provided function with respect to input {} is "
    "independent of the input. This is not allowed in strict mode. You should ensure that your function is twice "
    "differentiable and that the jacobian depends on the inputs (this would be violated by a linear function for example)."
)
_CONSTANT_RESULT = (
    "The jacobian of the user-provided function is independent of input {}. This is not allowed in strict mode when "
    "create_graph=True."
)


def _inputs(value: Any, function: str) -> tuple[Tensor, ...]:
    return _tuple(value, f"The inputs given to {function}")


def _outputs(value: Any, function: str, strict: bool = False) -> tuple[Tensor, ...]:
    found = _tuple(value, f"The outputs of the user-provided function given to {function}")
    if strict:
        _require(found, _CONSTANT_OUTPUT)
    return found


def _tuple(value: Any, what: str) -> tuple[Tensor, ...]:
    found = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    for k, x in enumerate(found):
        if not isinstance(x, Tensor):
            which = f"value at index {k}" if isinstance(value, (tuple, list)) else "given value"
            raise DtypeError(
                f"{what} must be either a Tensor or a tuple of Tensors but the {which} has type {type(x).__name__}",
                fix="use tensors, and a function without arguments for the rest: lambda x: f(x, number)",
                where=user_frame(),
            )
    return found


def _require(tensors: Sequence[Tensor], text: str) -> None:
    """Strict mode: all of them have to depend on the inputs."""
    for k, x in enumerate(tensors):
        if not x.requires_grad:
            raise _not_strict(text, k)


def _not_strict(text: str, k: int) -> TapeError:
    return TapeError(text.format(k), fix="leave strict out to get zeros", where=user_frame())


def _like(value: Any, found: Sequence[Tensor]) -> Any:
    """Several results as the user's value has them: alone or in a tuple."""
    return tuple(found) if isinstance(value, (tuple, list)) else found[0]


def _fresh(inputs: Sequence[Tensor], create_graph: bool) -> tuple[Tensor, ...]:
    """The inputs as tensors to differentiate with respect to: views that keep their history, or leaves of their own."""
    if create_graph:
        return tuple(x.view_as(x) if x.requires_grad else x.detach().requires_grad_() for x in inputs)
    return tuple(x.detach().requires_grad_() for x in inputs)


def _zeros(like: Tensor) -> Tensor:
    return Tensor._wrap(np.zeros(like.shape, like.dtype))


def _grads(outputs: Sequence[Tensor], inputs: Sequence[Tensor], starts: Any, create: bool, unused: str = "") -> list[Tensor]:
    """Gradients of outputs that may not depend on all inputs, or on none: zeros for those, or the error ``unused``."""
    pairs = [(y, v) for y, v in zip(outputs, starts, strict=True) if y.requires_grad]
    found: Sequence[Tensor | None] = [None] * len(inputs)
    if pairs:
        found = grad(
            [y for y, _ in pairs], inputs, [v for _, v in pairs], retain_graph=True, create_graph=create, allow_unused=True
        )
    for k, g in enumerate(found):
        if g is None and unused:
            raise _not_strict(unused, k)
    return [_zeros(x) if g is None else g for x, g in zip(inputs, found, strict=True)]


def _vector(v: Any, like: Sequence[Tensor], value: Any, whose: str) -> tuple[Tensor, ...]:
    """The vector of a product, one tensor per tensor of ``like``; 1 where that is one element and none was given."""
    several = isinstance(value, (tuple, list))
    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            raise TapeError(
                f"The vector v can only be None if {whose} a single Tensor with a single element.",
                fix=f"give v with the shapes {[list(x.shape) for x in like]}",
                where=user_frame(),
            )
        return (Tensor._wrap(np.ones(like[0].shape, like[0].dtype)),)
    found = _tuple(v, "The vector v")
    if len(found) != len(like):
        raise ShapeError(
            f"v is a tuple of invalid length: should be {len(like)} but got {len(found)}."
            if several
            else "The given v should contain a single Tensor.",
            fix=f"give v with the shapes {[list(x.shape) for x in like]}",
            where=user_frame(),
        )
    for k, (given, wanted) in enumerate(zip(found, like, strict=True)):
        if given.shape != wanted.shape:
            raise ShapeError(
                f"{f'Entry {k} in ' if several else ''}v has invalid size: should be {wanted.shape} but got {given.shape}.",
                fix=f"give v with the shapes {[list(x.shape) for x in like]}",
                where=user_frame(),
            )
    return found


_RETURNED = "the user-provided function returns"
_TAKEN = "the input to the user-provided function is"


def vjp(
    func: Callable[..., Any], inputs: Tensors, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """The product of a vector with the Jacobian of a function.

    Parameters
    ----------
    func: takes the tensors of ``inputs`` and returns a tensor or a tuple of tensors.
    inputs: a tensor or a tuple of tensors.
    v: in the shape of the result; may be left out for a result of one element.
    create_graph: record the computation.
    strict: raise TapeError for a result that depends on no input, instead of giving zeros.

    Returns the function's result and the product, in the structure of ``inputs``. Raises ShapeError for a ``v`` of other
    shapes.

    >>> from tracegrad.eager import tensor
    >>> vjp(lambda x: x * x, tensor([1.0, 2.0]), tensor([1.0, 10.0]))
    (tensor([1., 4.]), tensor([ 2., 40.]))
    """
    with enable_grad():
        given = _fresh(_inputs(inputs, "vjp"), create_graph)
        result = func(*given)
        outputs = _outputs(result, "vjp", strict)
        start = _vector(v, outputs, result, _RETURNED)
        found = _grads(outputs, given, start, create_graph, _UNUSED if strict else "")
        if strict and create_graph:
            _require(found, _CONSTANT_RESULT)
    return _released(result, create_graph), _like(inputs, found)


def jvp(
    func: Callable[..., Any], inputs: Tensors, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """The product of the Jacobian of a function with a vector, from two backwards.

    Parameters and errors as of ``vjp``; ``v`` has the shapes of ``inputs``. Returns the function's result and the product, in
    its structure.

    >>> from tracegrad.eager import tensor
    >>> jvp(lambda x: x * x, tensor([1.0, 2.0]), tensor([1.0, 10.0]))
    (tensor([1., 4.]), tensor([ 2., 40.]))
    """
    with enable_grad():
        given = _fresh(_inputs(inputs, "jvp"), create_graph)
        tangent = _vector(v, given, inputs, _TAKEN)
        result = func(*given)
        outputs = _outputs(result, "jvp", strict)
        # the cotangents are variables: what the backward computes is linear in them, and its transpose is wanted
        dummies = tuple(_zeros(y).requires_grad_() for y in outputs)
        pulled = _grads(outputs, given, dummies, True, _UNUSED if strict else "")
        found = _grads(pulled, dummies, tangent, create_graph)
        if strict and create_graph:
            _require(found, _CONSTANT_RESULT)
    return _released(result, create_graph), _like(result, found)


def jacobian(
    func: Callable[..., Any],
    inputs: Tensors,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """The Jacobian of a function, one backward per element of its result.

    Parameters
    ----------
    func, inputs, create_graph, strict: as of ``vjp``.
    vectorize, strategy: accepted; the numbers do not depend on them. ``"forward-mode"`` computes column by column.

    Returns a tensor of shape (*result, *input); with several results or inputs nested tuples of them.

    >>> from tracegrad.eager import tensor
    >>> jacobian(lambda x: x * x, tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    if strategy not in ("reverse-mode", "forward-mode"):
        raise ValueError(f'Expected strategy to be either "forward-mode" or "reverse-mode", got {strategy!r}')
    if strategy == "forward-mode" and create_graph:
        raise NotImplementedError(
            'torch.autograd.functional.jacobian: `create_graph=True` and `strategy="forward-mode"` are not supported together '
            '(yet). Please either set `create_graph=False` or `strategy="reverse-mode"`.'
        )
    if strict and vectorize:
        raise TapeError(
            "torch.autograd.functional.jacobian: `strict=True` and `vectorized=True` are not supported together.",
            fix="set strict=False or vectorize=False",
            where=user_frame(),
        )
    with enable_grad():
        given = _fresh(_inputs(inputs, "jacobian"), create_graph)
        result = func(*given)
        outputs = _outputs(result, "jacobian", strict)
        rows = (_columns if strategy == "forward-mode" else _rows)(outputs, given, create_graph, strict)
    blocks = [_like(inputs, row) for row in rows]
    return tuple(blocks) if isinstance(result, (tuple, list)) else blocks[0]


def _rows(outputs: Sequence[Tensor], given: Sequence[Tensor], create_graph: bool, strict: bool) -> list[list[Tensor]]:
    """Per output and input the block of the Jacobian, row by row."""
    found = []
    for j, y in enumerate(outputs):
        unused = f"Output {j} of the user-provided function is independent of input {{}}. This is not allowed in strict mode."
        rows = [_grads([y], given, [unit], create_graph, unused if strict else "") for unit in _units(y)]
        if strict and create_graph:
            for row in rows:
                _require(row, _CONSTANT_RESULT)
        found.append([_stacked([row[k] for row in rows], (*y.shape, *x.shape), x) for k, x in enumerate(given)])
    return found


def _columns(outputs: Sequence[Tensor], given: Sequence[Tensor], create_graph: bool, strict: bool) -> list[list[Tensor]]:
    """The same, column by column."""
    dummies = tuple(_zeros(y).requires_grad_() for y in outputs)
    pulled = _grads(outputs, given, dummies, True, _UNUSED if strict else "")
    found: list[list[Tensor]] = [[] for _ in outputs]
    for x, g in zip(given, pulled, strict=True):
        columns = [_grads([g], dummies, [unit], create_graph) for unit in _units(x)]
        for k, y in enumerate(outputs):
            turned = _stacked([column[k] for column in columns], (x.numel(), y.numel()), y)
            found[k].append(reshape(turned.T, (*y.shape, *x.shape)))
    return found


def _units(like: Tensor) -> list[Tensor]:
    """The unit vectors of a tensor's space, in its shape."""
    eye = np.eye(like.numel(), dtype=like.dtype)
    return [Tensor._wrap(row.reshape(like.shape)) for row in eye]


def _stacked(rows: Sequence[Tensor], shape: tuple[int, ...], like: Tensor) -> Tensor:
    found: Tensor = reshape(stack(rows), shape) if rows else Tensor._wrap(np.zeros(shape, like.dtype))
    return found


def hessian(
    func: Callable[..., Any],
    inputs: Tensors,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """The Hessian of a function with one element as its result: the Jacobian of its gradient.

    Parameters as of ``jacobian``. Returns a tensor of shape (*input, *input), with several inputs nested tuples of them;
    raises TapeError for a result of more elements.

    >>> from tracegrad.eager import tensor
    >>> hessian(lambda x: (x * x * x).sum(), tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    several = isinstance(inputs, (tuple, list))
    _inputs(inputs, "hessian")

    def gradient(*given: Tensor) -> Any:
        # leaves that stay their own: a block of zeros where the gradient does not depend on them
        _, found = _gradient(func, given, "hessian", strict)
        return tuple(found) if several else found[0]

    return jacobian(gradient, inputs, create_graph, strict, vectorize, outer_jacobian_strategy)


def _gradient(func: Callable[..., Any], given: Sequence[Tensor], function: str, strict: bool) -> tuple[Tensor, list[Tensor]]:
    """The result of a function, which has to be one element, and its recorded gradient."""
    result = func(*given)
    outputs = _outputs(result, function, strict)
    if isinstance(result, (tuple, list)):
        raise TapeError(f"The function given to {function} should return a single Tensor", fix="return one", where=user_frame())
    (y,) = outputs
    if y.numel() != 1:
        raise TapeError(
            f"The Tensor returned by the function given to {function} should contain a single element, not {y.numel()}",
            fix="reduce it: y.sum()",
            where=user_frame(),
        )
    found = _grads([y], given, [Tensor._wrap(np.ones(y.shape, y.dtype))], True, _UNUSED if strict else "")
    if strict:
        _require(found, _CONSTANT_JACOBIAN)
    return y, found


def hvp(
    func: Callable[..., Any], inputs: Tensors, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """The product of the Hessian of a function, whose result has one element, with a vector.

    Parameters and errors as of ``jvp`` and ``hessian``. Returns the function's result and the product, in the structure of
    ``inputs``.

    >>> from tracegrad.eager import tensor
    >>> hvp(lambda x: (x * x * x).sum(), tensor([1.0, 2.0]), tensor([1.0, 10.0]))
    (tensor(9.), tensor([  6., 120.]))
    """
    return _hessian_product(func, inputs, v, create_graph, strict, "hvp")


def vhp(
    func: Callable[..., Any], inputs: Tensors, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """The product of a vector with the Hessian, which is symmetric: the same as ``hvp``.

    >>> from tracegrad.eager import tensor
    >>> vhp(lambda x: (x * x).sum(), tensor([1.0, 2.0]), tensor([1.0, 0.0]))[1]
    tensor([2., 0.])
    """
    return _hessian_product(func, inputs, v, create_graph, strict, "vhp")


def _hessian_product(
    func: Callable[..., Any], inputs: Tensors, v: Any, create_graph: bool, strict: bool, function: str
) -> tuple[Any, Any]:
    with enable_grad():
        given = _fresh(_inputs(inputs, function), create_graph)
        vector = _vector(v, given, inputs, _TAKEN)
        y, gradient = _gradient(func, given, function, strict)
        found = _grads(gradient, given, vector, create_graph, _UNUSED_BY_JACOBIAN if strict else "")
    return _released(y, create_graph), _like(inputs, found)


def _released(result: Any, create_graph: bool) -> Any:
    """The function's result, without history unless it was asked for."""
    if create_graph:
        return result
    return tuple(y.detach() for y in result) if isinstance(result, (tuple, list)) else result.detach()
