"""Gradients checked against central differences.

The numbers are those of PyTorch: a perturbation of 1e-6 and tolerances of 1e-5 absolute and 1e-3 relative, which float64
meets and float32 does not.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracegrad.core.source import user_frame
from tracegrad.eager.autograd.gradients import grad
from tracegrad.eager.generators import default_generator
from tracegrad.eager.modes import enable_grad, no_grad
from tracegrad.eager.tensor import Tensor
from tracegrad.errors import GradcheckError

__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]

Array = np.ndarray[Any, Any]


def gradcheck(
    func: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    **ignored: Any,
) -> bool:
    """Check a function's gradients against central differences, element by element.

    Parameters
    ----------
    func: takes the inputs and returns a tensor or a tuple of tensors.
    inputs: tensors, of which those that require grad are checked, and anything else; float64 for the tolerances given.
    eps: the step of the differences.
    atol, rtol: |analytical - numerical| <= atol + rtol · |numerical|.
    raise_exception: raise GradcheckError for a wrong gradient instead of returning False.
    nondet_tol: how much two backwards of the same values may differ.

    Raises ValueError where no input requires grad, and warns of inputs of less than double precision.

    >>> from tracegrad.eager import tensor, float64
    >>> gradcheck(lambda x: x.sin(), (tensor([0.5, 1.0], dtype=float64, requires_grad=True),))
    True
    """
    given: list[Any] = list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]
    places = [k for k, x in enumerate(given) if isinstance(x, Tensor) and x.requires_grad]
    _check_inputs(given, places)
    try:
        with enable_grad():
            outputs = _outputs(func(*given))
        for j, y in enumerate(outputs):
            if y.dtype.kind not in "fc":
                continue
            analytical = _analytical(y, [given[k] for k in places])
            again = _analytical(y, [given[k] for k in places])
            for k, a, b in zip(places, analytical, again, strict=True):
                if np.abs(a - b).max(initial=0.0) > nondet_tol:
                    raise GradcheckError(
                        "Backward is not reentrant, i.e., running backward with same input and grad_output multiple times "
                        f"gives different values, for output {j} with respect to input {k}",
                        fix="let the backward depend on nothing else, or allow the difference by nondet_tol",
                        where=user_frame(),
                    )
                numerical = _numerical(func, given, k, j, eps)
                if not np.allclose(a, numerical, rtol, atol, equal_nan=False):
                    raise GradcheckError(
                        f"Jacobian mismatch for output {j} with respect to input {k},\n"
                        f"numerical:{Tensor._wrap(numerical.T)}\nanalytical:{Tensor._wrap(a.T)}\n",
                        fix=_advice(given[k]),
                        where=user_frame(),
                    )
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def _check_inputs(given: Sequence[Any], places: Sequence[int]) -> None:
    if not places:
        raise ValueError(
            "gradcheck expects at least one input tensor to require gradient, but none of them have requires_grad=True."
        )
    for k in places:
        if given[k].dtype not in (np.float64, np.complex128):
            warnings.warn(
                f"Input #{k} requires gradient and is not a double precision floating point or complex. This check will likely "
                "fail if all the inputs are not of double precision floating point or complex. ",
                UserWarning,
                stacklevel=3,
            )


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    **ignored: Any,
) -> bool:
    """Check the gradients of a function's gradients, with respect to its inputs and to the cotangents.

    Parameters as of ``gradcheck``; ``grad_outputs`` are the cotangents, drawn at random where they are not given.

    >>> from tracegrad.eager import tensor, float64
    >>> gradgradcheck(lambda x: x.sin(), (tensor([0.5, 1.0], dtype=float64, requires_grad=True),))
    True
    """
    given: list[Any] = list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]
    places = [k for k, x in enumerate(given) if isinstance(x, Tensor) and x.requires_grad]
    with enable_grad():
        outputs = [y for y in _outputs(func(*given)) if y.dtype.kind in "fc"]
    if grad_outputs is None:
        draw = default_generator().numpy
        starts = [Tensor._wrap(draw.normal(size=y.shape).astype(y.dtype)).requires_grad_() for y in outputs]
    else:
        starts = [g.detach().requires_grad_() for g in _outputs(grad_outputs)]

    def gradient(*args: Any) -> tuple[Tensor, ...]:
        values, cotangents = args[: len(given)], args[len(given) :]
        with enable_grad():
            results = [y for y in _outputs(func(*values)) if y.dtype.kind in "fc"]
            pairs = [(y, g) for y, g in zip(results, cotangents, strict=True) if y.requires_grad]
            found = grad(
                [y for y, _ in pairs],
                [values[k] for k in places],
                [g for _, g in pairs],
                create_graph=True,
                allow_unused=True,
            )
        return tuple(g for g in found if g is not None and g.requires_grad)

    return gradcheck(
        gradient,
        (*given, *starts),
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
        nondet_tol=nondet_tol,
    )


def _outputs(value: Any) -> list[Tensor]:
    return [y for y in (value if isinstance(value, (tuple, list)) else [value]) if isinstance(y, Tensor)]


def _real(array: Array) -> Array:
    """The numbers as a vector of reals: the parts of a complex number side by side."""
    flat = np.ascontiguousarray(array).reshape(-1)
    return flat.view(flat.real.dtype) if flat.dtype.kind == "c" else flat


def _analytical(y: Tensor, inputs: Sequence[Tensor]) -> list[Array]:
    """Per input the Jacobian of an output over the reals, (elements of y, elements of x), one backward per row."""
    rows: list[list[Array]] = [[] for _ in inputs]
    units = np.eye(_real(y.detach()._array).size)
    for unit in units:
        g = unit.astype(y.dtype if y.dtype.kind == "f" else y._array.real.dtype)
        start = Tensor._wrap(g.view(y.dtype).reshape(y.shape) if y.dtype.kind == "c" else g.reshape(y.shape))
        found: Sequence[Tensor | None] = [None] * len(inputs)
        if y.requires_grad:
            found = grad(y, inputs, start, retain_graph=True, allow_unused=True)
        for row, x, part in zip(rows, inputs, found, strict=True):
            row.append(_real(np.zeros(x.shape, x.dtype) if part is None else part.detach()._array))
    return [
        np.array(row, np.float64).reshape(len(units), _real(x.detach()._array).size)
        for row, x in zip(rows, inputs, strict=True)
    ]


def _numerical(func: Callable[..., Any], given: Sequence[Any], k: int, j: int, eps: float) -> Array:
    """The Jacobian of output j with respect to input k over the reals, by central differences."""
    columns = []
    x = given[k]
    flat = _real(x.detach()._array.copy())

    def at(values: Array) -> Array:
        moved = list(given)
        array = values.view(x.dtype) if x.dtype.kind == "c" else values
        moved[k] = Tensor._wrap(array.reshape(x.shape)).requires_grad_()
        y = _outputs(func(*moved))[j]
        return _real(y.detach()._array).astype(np.float64)

    with no_grad():
        size = at(flat.copy()).size
        for i in range(flat.size):
            ahead, behind = flat.copy(), flat.copy()
            ahead[i] += eps
            behind[i] -= eps
            columns.append((at(ahead) - at(behind)) / (2 * eps))
    return np.array(columns, np.float64).reshape(flat.size, size).T


def _advice(x: Tensor) -> str:
    if x.dtype.itemsize < 8:
        return "check in float64: differences of float32 have no digits left for these tolerances"
    return "look at the backward of this function, or at a kink near these inputs"
