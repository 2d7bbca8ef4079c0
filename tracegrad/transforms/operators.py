"""Jacobians and Hessians as linear operators of SciPy, which are multiplied with and never stored."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracegrad.autodiff.argnums import name_of
from tracegrad.autodiff.inside import Leaves
from tracegrad.core.source import user_frame
from tracegrad.errors import DifferentiationError, TraceError
from tracegrad.symbolic import current_recorder
from tracegrad.transforms.derivatives import checked_function, grad
from tracegrad.transforms.maps import LinearMap, linearised, made_once

Function = Callable[..., Any]


def jacobian_operator(fun: Function, x: Any) -> Any:
    """The Jacobian of a function at a point as a ``scipy.sparse.linalg.LinearOperator``.

    Parameters
    ----------
    fun: a function of a pytree of float arrays whose result is one, too.
    x: the point.

    Returns an operator of shape ``(size of the result, size of x)``: products take one run of forward mode, those of its
    transpose one of reverse mode, and what depends on ``x`` alone is computed once for each mode. Vectors hold the elements
    of all leaves in order. Raises DifferentiationError for integers, TraceError where the code cannot become a static graph.

    >>> import numpy as np
    >>> import tracegrad as tg
    >>> J = tg.jacobian_operator(lambda x: x[1:] - x[:-1] ** 2, np.arange(4.0))
    >>> J.shape, J @ np.ones(4), J.T @ np.ones(3)
    ((3, 4), array([ 1., -1., -3.]), array([ 0., -1., -3.,  1.]))
    """
    derivatives = linearised(_outside(fun, "jacobian_operator"), 0, has_aux=False)
    forward, reverse = (derivatives.at((x,), {}, forward=mode) for mode in (True, False))
    (inputs,), outputs = forward.variables, forward.outputs
    return _operator(
        name_of(fun),
        _on_vectors(forward.derivative, inputs, outputs),
        _on_vectors(reverse.derivative, outputs, inputs),
        outputs,
        inputs,
    )


def hessian_operator(fun: Function, x: Any) -> Any:
    """The Hessian of a function with a scalar result at a point as a ``scipy.sparse.linalg.LinearOperator``.

    Takes what ``jacobian_operator`` does. Products take one run of forward over reverse mode; the operator is symmetric.

    >>> import numpy as np
    >>> import tracegrad as tg
    >>> H = tg.hessian_operator(lambda x: np.sum(x**3), np.array([1.0, 2.0]))
    >>> H @ np.array([1.0, 1.0])
    array([ 6., 12.])
    """
    gradient = made_once(_outside(fun, "hessian_operator"), (grad, 0), lambda: grad(fun))
    point = linearised(gradient, 0, has_aux=False).at((x,), {}, forward=True)
    (inputs,) = point.variables
    product = _on_vectors(point.derivative, inputs, point.outputs)
    return _operator(name_of(fun), product, product, inputs, inputs)


def _outside(fun: Function, transform: str) -> Function:
    if current_recorder.get() is not None:
        raise TraceError(
            f"tg.{transform} was called inside of a traced function, and its operators are of SciPy, which are not traced",
            fix="make it outside, or take products with tg.jvp, tg.vjp and tg.hvp",
            where=user_frame(),
        )
    return checked_function(fun, transform)


def _operator(name: str, product: Function, transposed: Function, rows: Leaves, columns: Leaves) -> Any:
    for leaves in (rows, columns):
        for path, aval in zip(leaves.paths, leaves.avals, strict=True):
            if not aval.differentiable:
                raise DifferentiationError(
                    f"{path} is {aval.dtype}, which has no derivative",
                    fix=f"leave it out of the result of {name}",
                    where=user_frame(),
                )
    dtype = np.result_type(*(aval.dtype for aval in (*rows.avals, *columns.avals)))
    shape = tuple(sum(aval.size for aval in leaves.avals) for leaves in (rows, columns))
    operator = importlib.import_module("scipy.sparse.linalg").LinearOperator
    return operator(shape, matvec=product, rmatvec=transposed, dtype=dtype)


def _on_vectors(derivative: LinearMap, inputs: Leaves, outputs: Leaves) -> Callable[[Any], Any]:
    """A linear map on vectors that hold the elements of all leaves."""

    def product(vector: Any) -> Any:
        leaves = derivative(_cut(np.asarray(vector).ravel(), inputs))
        dtype = np.result_type(*(aval.dtype for aval in outputs.avals))
        return np.concatenate([np.zeros(0, dtype), *(np.ravel(leaf) for leaf in leaves)])

    return product


def _cut(vector: Any, leaves: Leaves) -> Sequence[Any]:
    ends = np.cumsum([aval.size for aval in leaves.avals])[:-1]
    parts = np.split(vector, ends)
    return [part.reshape(aval.shape).astype(aval.dtype) for part, aval in zip(parts, leaves.avals, strict=True)]
