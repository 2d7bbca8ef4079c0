"""Which function runs where NumPy's or SciPy's is called with boxes: ours, or theirs on the values alone.

``namespaces`` says which function of ours means which of theirs; here stands only what values that are known allow
beyond it.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np

from tracegrad.core.op import Op
from tracegrad.core.source import user_frame
from tracegrad.errors import DifferentiationError, EscapeError, RuleError, TracegradError
from tracegrad.functional import folds
from tracegrad.namespaces import meaning_of, name_of, takes_sequence
from tracegrad.ops import assembly, complexes, fourier, linalg, maps, phases, pointwise, views

Function = Callable[..., Any]


def is_box(x: Any) -> bool:
    """Whether a value is being differentiated: its class says so, which stands above this module."""
    return getattr(type(x), "boxes_value", False)


def holds_box(x: Any) -> bool:
    """Whether a value is a box, or a list, tuple or dict that holds one."""
    if isinstance(x, (list, tuple)):
        return any(holds_box(item) for item in x)
    if isinstance(x, dict):
        return any(holds_box(item) for item in x.values())
    return is_box(x)


def unboxed(x: Any) -> Any:
    """A value, or list, tuple, dict or slice of values, without records."""
    if is_box(x):
        return x._value
    if type(x) in (list, tuple):
        return type(x)(unboxed(item) for item in x)
    if type(x) is dict:
        return {key: unboxed(item) for key, item in x.items()}
    return x


def gathered(x: Any, dtype: Any = None) -> Any:
    """Nested lists with boxes in them as one array; other values as arrays."""
    if isinstance(x, (list, tuple)):
        if not holds_box(x):
            return np.asarray(x, dtype)
        parts = [gathered(item) for item in x]
        shapes = {part.shape for part in parts}
        if len(shapes) > 1:
            raise DifferentiationError(
                f"np.array of a ragged list, whose parts have the shapes {', '.join(map(str, sorted(shapes)))}",
                fix="give all parts one shape, or use np.concatenate",
                where=user_frame(),
            )
        x = views.stack(parts)
    elif not is_box(x):
        return np.asarray(x, dtype)
    return x if dtype is None or np.dtype(dtype) == x.dtype else x.astype(dtype)


_POSITIONS = (
    "all any allclose argmax argmin argpartition argsort argwhere array2string array_equal array_equiv array_repr array_str "
    "bincount can_cast common_type count_nonzero digitize einsum_path empty_like flatnonzero gcd histogram histogram2d "
    "histogram_bin_edges isclose iscomplex iscomplexobj isin isreal isrealobj lcm lexsort may_share_memory min_scalar_type "
    "nanargmax nanargmin ndim nextafter nonzero ones_like packbits result_type searchsorted shape shares_memory size spacing "
    "unravel_index zeros_like"
)
_FLAT = frozenset(getattr(np, name) for name in _POSITIONS.split())
"""Their results are positions, counts, truth values or texts, or arrays made new: no derivative flows through them."""


def _meaning(function: Any) -> Function:
    """What runs in place of a function; DifferentiationError where there is nothing."""
    ours = meaning_of(function)
    if ours is None:
        name = name_of(function)
        raise RuleError(
            f"{name} has no derivative here",
            fix="call the one of tracegrad.compat's numpy or scipy, compose it of functions that have a derivative, or give it "
            "one: f = primitive(...); defvjp(f, ...)",
            where=user_frame(),
        )
    return ours


def call_ours(ours: Function, theirs: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Call ours; what it raises has the user's line, and arguments it does not take are refused by name."""
    try:
        return ours(*args, **kwargs)
    except TracegradError as error:
        raise error.at(user_frame()) from None
    except TypeError:
        if isinstance(ours, Op) and kwargs:
            why = ", ".join(f"{k}=" for k in kwargs)
        else:
            try:
                inspect.signature(ours).bind(*args, **kwargs)
            except TypeError as refused:
                why = str(refused)
                positional = _by_position(theirs, args, kwargs)
                if positional is not None:
                    return call_ours(ours, theirs, positional, {})
            else:
                raise
        raise RuleError(
            f"{name_of(theirs)} has no derivative with these arguments: {why}",
            fix="call it with fewer, or compose it of other functions",
            where=user_frame(),
        ) from None


def _by_position(theirs: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any] | None:
    """Arguments that are named as NumPy names them, by their positions; None where some of them have none."""
    if not kwargs:
        return None
    try:
        names = [p.name for p in inspect.signature(theirs).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    except ValueError:
        return None
    more = names[len(args) : len(args) + len(kwargs)]
    return [*args, *(kwargs[name] for name in more)] if set(more) == set(kwargs) else None


def apply_method(function: Any, box: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A method of an array that is a function of NumPy as well."""
    return apply_function(function, (box, *args), kwargs)


def apply_function(function: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """A function of NumPy or SciPy with a box among its arguments."""
    ours, flat, start = _resolved(function)
    if flat or (function is np.where and len(args) + len(kwargs) == 1):
        return function(*unboxed(tuple(args)), **unboxed(kwargs))
    if function in _OWN:
        return call_ours(ours, function, args, kwargs)
    if kwargs:
        kwargs = _named(function, kwargs)
        if not args:
            first = next(iter(kwargs))
            args = (kwargs.pop(first),)
    if any(type(x) is list or type(x) is tuple for x in args):
        args = [gathered(x) if k >= start and isinstance(x, (list, tuple)) and holds_box(x) else x for k, x in enumerate(args)]
    return call_ours(ours, function, args, kwargs)


@lru_cache(maxsize=4096)
def _resolved(function: Any) -> tuple[Function, bool, int]:
    """What runs in place of a function, whether that is itself on plain values, and its first argument that is no sequence."""
    if function in _FLAT:
        return function, True, 0
    return _OWN.get(function) or _meaning(function), False, 1 if takes_sequence(function) else 0


def _named(function: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Named arguments without ``out=None``, which is NumPy's default; the first operand stands first."""
    if kwargs.get("out") is not None:
        raise _no_out(function)
    kwargs = {k: v for k, v in kwargs.items() if k != "out"}
    operand = next((k for k, v in kwargs.items() if holds_box(v)), None)
    if operand is not None:
        kwargs = {operand: kwargs.pop(operand), **kwargs}
    return kwargs


def _no_out(function: Any) -> EscapeError:
    return EscapeError(
        f"{name_of(function)} with out=, or x += y of an array that was made outside, cannot be differentiated",
        fix="use the result: x = x + y",
        where=user_frame(),
    )


def apply_ufunc(ufunc: np.ufunc, method: str, inputs: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """A ufunc, or its ``reduce``, ``accumulate`` or ``outer``, with a box among its operands."""
    if any(out is not None for out in kwargs.get("out") or ()):
        raise _no_out(ufunc)
    kwargs = {k: v for k, v in kwargs.items() if v is not None and k != "out"}
    inputs = [gathered(x) if isinstance(x, (list, tuple)) else x for x in inputs]
    if method == "__call__":
        dtype = kwargs.pop("dtype", None)
        if dtype is not None:
            inputs = [gathered(x, dtype) for x in inputs]
        if ufunc in _FLAT:
            return ufunc(*unboxed(inputs), **kwargs)
        return call_ours(_meaning(ufunc), ufunc, inputs, {k: v for k, v in kwargs.items() if k not in _HINTS})
    if folds.folds(ufunc, method):
        return call_ours(partial(folds.METHODS[method], ufunc, _meaning(ufunc)), ufunc, inputs, kwargs)
    if method == "outer" and not kwargs:
        first, second = inputs
        return call_ours(_meaning(ufunc), ufunc, (views.reshape(first, (*first.shape, *(1,) * np.ndim(second))), second), {})
    raise RuleError(
        f"{name_of(ufunc)}.{method} has no derivative here", fix="use np.sum, np.prod, np.max and kin", where=user_frame()
    )


_HINTS = frozenset({"order", "casting", "subok"})


def _full_like(a: Any, fill_value: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None) -> Any:
    like = a.dtype if dtype is None else np.dtype(dtype)
    return views.broadcast_to(gathered(fill_value, like), np.shape(unboxed(a)) if shape is None else shape)


def _linspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, retstep: bool = False, dtype: Any = None) -> Any:
    start, stop = gathered(start), gathered(stop)
    places = np.arange(num, dtype=np.float64).reshape((-1,) + (1,) * max(start.ndim, stop.ndim))
    step = (stop - start) / max(num - 1 if endpoint else num, 1)
    result = gathered(places * step + start, dtype)
    return (result, step) if retstep else result


def _angle(z: Any, deg: bool = False) -> Any:
    angle = phases.angle(z) if complexes.is_complex(z) else pointwise.angle(z)
    return maps.multiply(angle, 180 / math.pi) if deg else angle


def _real_if_close(a: Any, tol: float = 100) -> Any:
    close = complexes.is_complex(a) and not np.iscomplexobj(np.real_if_close(unboxed(a), tol))
    return complexes.real(a) if close else a


def _cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Any:
    if axis is not None:
        axisa = axisb = axisc = axis
    product = linalg.cross(np.moveaxis(a, axisa, -1), np.moveaxis(b, axisb, -1))
    return np.moveaxis(product, -1, axisc)


def _mirrored(a: Any, uplo: str) -> Any:
    """The symmetric matrices of one triangle, which is all that NumPy reads: the derivative is that of this triangle."""
    if uplo.upper() == "U":
        a = linalg.matrix_transpose(a)
    lower = assembly.tril(a)
    return lower + linalg.matrix_transpose(assembly.tril(a, -1))


_TRANSFORMS = "fft ifft rfft irfft hfft ihfft fftn ifftn rfftn irfftn fft2 ifft2 rfft2 irfft2 fftshift ifftshift"
_OWN: Mapping[Any, Function] = {
    **{getattr(np.fft, name): getattr(fourier, name) for name in _TRANSFORMS.split()},
    np.cross: _cross,
    np.linalg.eigh: lambda a, UPLO="L": linalg.eigh(_mirrored(a, UPLO), UPLO),
    np.linalg.eigvalsh: lambda a, UPLO="L": linalg.eigvalsh(_mirrored(a, UPLO), UPLO),
    np.angle: _angle,
    np.real_if_close: _real_if_close,
    np.full_like: _full_like,
    np.linspace: _linspace,
    np.array2string: lambda a, *args, **kwargs: np.array2string(unboxed(a), *args, **kwargs),
    np.apply_along_axis: lambda func1d, axis, arr, *args, **kwargs: _along(func1d, axis, arr, args, kwargs),
}
"""Functions of arrays that are known: what they do with boxes."""


def _along(function: Function, axis: int, arr: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``np.apply_along_axis``: the function's results of each line, in the line's place."""
    last = np.moveaxis(arr, axis, -1)
    lines = views.reshape(last, (-1, last.shape[-1]))
    results = [gathered(function(line, *args, **kwargs)) for line in lines]
    shape = (*last.shape[:-1], *results[0].shape)
    whole = views.reshape(views.stack(results), shape)
    place = axis % arr.ndim
    own = results[0].ndim
    if not own:
        return whole
    lead = len(shape) - own
    return np.moveaxis(whole, tuple(range(lead, lead + own)), tuple(range(place, place + own)))
