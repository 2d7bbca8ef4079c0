"""NumPy's functions on Tensors: ``np.tanh(t)`` and ``np.sum(t, axis=0)`` go to the ops and give Tensors."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracegrad.errors import DtypeError
from tracegrad.functional import folds
from tracegrad.namespaces import NUMPY_FUNCTIONS, call_function, name_of


def apply_ufunc(ufunc: np.ufunc, method: str, inputs: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """What ``__array_ufunc__`` gives; DtypeError names what has no op."""
    given = {k: v for k, v in kwargs.items() if v is not None}
    if "out" in given:
        raise DtypeError(f"{name_of(ufunc)} with out= cannot record", fix="x += y, or assign the result: x[...] = y")
    if folds.folds(ufunc, method) and ufunc in NUMPY_FUNCTIONS:
        whole = {"axis": None} if kwargs.get("axis", 0) is None else {}
        fold = functools.partial(folds.METHODS[method], ufunc, NUMPY_FUNCTIONS[ufunc])
        return call_function(fold, ufunc, tuple(inputs), given | whole)
    if method != "__call__" or ufunc not in NUMPY_FUNCTIONS:
        raise _refusal(name_of(ufunc) + ("" if method == "__call__" else f".{method}"))
    return call_function(NUMPY_FUNCTIONS[ufunc], ufunc, tuple(inputs), given)


def apply_function(function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """What ``__array_function__`` gives; DtypeError names what has no op."""
    if function not in NUMPY_FUNCTIONS:
        raise _refusal(name_of(function))
    return call_function(NUMPY_FUNCTIONS[function], function, tuple(args), kwargs)


def _refusal(name: str) -> DtypeError:
    return DtypeError(f"{name} has no op for Tensors", fix=f"for the numbers alone: {name}(x.detach().numpy())")
