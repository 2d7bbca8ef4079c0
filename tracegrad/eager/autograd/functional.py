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
from tracegrad.errors import ShapeError, TapeError
from tracegrad.ops.views import reshape, stack

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]

Tensors = Tensor | tuple[Tensor, ...]


def _tuple(value: Any, what: str) -> tuple[Tensor, ...]:
    found = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    for k, x in enumerate(found):
        if not isinstance(x, Tensor):
            raise TapeError(
                f"The {what} given to the function must be either a Tensor or a tuple of Tensors but the value at index {k} "
                f"has type {type(x).__name__}",
                where=user_frame(),
            )
    return found


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


def _grads(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor], starts: Any, create: bool, strict: bool = False
) -> list[Tensor]:
    """Gradients of outputs that may not depend on all inputs, or on none; zeros for those."""
    pairs = [(y, v) for y, v in zip(outputs, starts, strict=True) if y.requires_grad]
    if not pairs:
        _independent(strict)
        return [_zeros(x) for x in inputs]
    found = grad(
        [y for y, _ in pairs], inputs, [v for _, v in pairs], retain_graph=True, create_graph=create, allow_unused=True
    )
    if any(g is None for g in found):
        _independent(strict)
    return [_zeros(x) if g is None else g for x, g in zip(inputs, found, strict=True)]


def _independent(strict: bool) -> None:
    if strict:
        raise TapeError(
            "The output of the user-provided function is independent of an input. This is not allowed in strict mode.",
            fix="leave strict out to get zeros",
            where=user_frame(),
        )


def _vector(v: Any, like: Sequence[Tensor], value: Any, what: str) -> tuple[Tensor, ...]:
    """The vector of a product, one tensor per tensor of ``like``; 1 where that is one element and none was given."""
    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            raise TapeError(
                f"The vector v can only be None if the user-provided function {what} a single Tensor with a single element.",
                fix="give v in the shape of the result",
                where=user_frame(),
            )
        return (Tensor._wrap(np.ones(like[0].shape, like[0].dtype)),)
    found = _tuple(v, "v")
    if len(found) != len(like) or any(a.shape != b.shape for a, b in zip(found, like, strict=True)):
        raise ShapeError(
            f"v has invalid size: should be {[list(x.shape) for x in like]} but got {[list(x.shape) for x in found]}",
            where=user_frame(),
        )
    return found


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
        given = _fresh(_tuple(inputs, "inputs"), create_graph)
        result = func(*given)
        outputs = _tuple(result, "outputs")
        start = _vector(v, outputs, result, "returns")
        found = _grads(outputs, given, start, create_graph, strict)
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
        given = _fresh(_tuple(inputs, "inputs"), create_graph)
        tangent = _vector(v, given, inputs, "takes")
        result = func(*given)
        outputs = _tuple(result, "outputs")
        # the cotangents are variables: what the backward computes is linear in them, and its transpose is wanted
        dummies = tuple(_zeros(y).requires_grad_() for y in outputs)
        pulled = _grads(outputs, given, dummies, True, strict)
        found = _grads(pulled, dummies, tangent, create_graph)
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
        raise ValueError(f'Expected strategy to be either "reverse-mode" or "forward-mode", got {strategy!r}')
    if strategy == "forward-mode" and create_graph:
        raise NotImplementedError('jacobian with create_graph=True: use strategy="reverse-mode"')
    with enable_grad():
        given = _fresh(_tuple(inputs, "inputs"), create_graph)
        result = func(*given)
        outputs = _tuple(result, "outputs")
        rows = (_columns if strategy == "forward-mode" else _rows)(outputs, given, create_graph, strict)
    blocks = [_like(inputs, row) for row in rows]
    return tuple(blocks) if isinstance(result, (tuple, list)) else blocks[0]


def _rows(outputs: Sequence[Tensor], given: Sequence[Tensor], create_graph: bool, strict: bool) -> list[list[Tensor]]:
    """Per output and input the block of the Jacobian, row by row."""
    found = []
    for y in outputs:
        rows = [_grads([y], given, [unit], create_graph, strict) for unit in _units(y)]
        found.append([_stacked([row[k] for row in rows], (*y.shape, *x.shape), x) for k, x in enumerate(given)])
    return found


def _columns(outputs: Sequence[Tensor], given: Sequence[Tensor], create_graph: bool, strict: bool) -> list[list[Tensor]]:
    """The same, column by column."""
    dummies = tuple(_zeros(y).requires_grad_() for y in outputs)
    pulled = _grads(outputs, given, dummies, True, strict)
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

    def gradient(*given: Tensor) -> Any:
        y = _scalar(func(*given))
        # leaves that stay their own: a block of zeros where the gradient does not depend on them
        found = _grads([y], given, [Tensor._wrap(np.ones(y.shape, y.dtype))], True, strict)
        return tuple(found) if several else found[0]

    return jacobian(gradient, inputs, create_graph, strict, vectorize, outer_jacobian_strategy)


def _scalar(result: Any) -> Tensor:
    (y,) = _tuple(result, "outputs")[:1]
    if isinstance(result, (tuple, list)) or y.numel() != 1:
        raise TapeError(
            "The Tensor returned by the function given to hessian should contain a single element",
            fix="reduce it: y.sum()",
            where=user_frame(),
        )
    return y


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
    with enable_grad():
        given = _fresh(_tuple(inputs, "inputs"), create_graph)
        vector = _vector(v, given, inputs, "takes")
        y = _scalar(func(*given))
        gradient = _grads([y], given, [Tensor._wrap(np.ones(y.shape, y.dtype))], True, strict)
        found = _grads(gradient, given, vector, create_graph)
    return _released(y, create_graph), _like(inputs, found)


def vhp(
    func: Callable[..., Any], inputs: Tensors, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """The product of a vector with the Hessian, which is symmetric: the same as ``hvp``.

    >>> from tracegrad.eager import tensor
    >>> vhp(lambda x: (x * x).sum(), tensor([1.0, 2.0]), tensor([1.0, 0.0]))[1]
    tensor([2., 0.])
    """
    return hvp(func, inputs, v, create_graph, strict)


def _released(result: Any, create_graph: bool) -> Any:
    """The function's result, without history unless it was asked for."""
    if create_graph:
        return result
    return tuple(y.detach() for y in result) if isinstance(result, (tuple, list)) else result.detach()
