"""What tests of functions with derivatives need: derivatives against differences, to any order and in both modes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tracegrad.autodiff.inside import Transform
from tracegrad.core.source import user_frame
from tracegrad.core.tree import flatten
from tracegrad.errors import GradcheckError, TracegradError
from tracegrad.transforms import jvp, vjp
from tracegrad.transforms.derivatives import callable_of

Function = Callable[..., Any]
Tree = tuple[list[Any], Any]
STEPS = {np.dtype(np.float64): 3e-4, np.dtype(np.float32): 3e-2}
"""Steps of a difference formula of fourth order, near the best for values and derivatives of about 1."""
TOLERANCES = {np.dtype(np.float64): 1e-7, np.dtype(np.float32): 1e-2}


def check_grads(
    f: Function,
    args: Sequence[Any],
    order: int = 2,
    modes: Sequence[str] = ("fwd", "rev"),
    atol: float | None = None,
    rtol: float | None = None,
    eps: float | None = None,
) -> None:
    """Compare a function's derivatives with central differences, along random directions in each leaf of its arguments.

    Parameters
    ----------
    f: a function of pytrees of float or complex arrays whose result is one, too; smooth near ``args``. Derivatives by complex
        arguments are those by their real and imaginary parts, so ``f`` need not be holomorphic.
    args: a tuple or list of its arguments.
    order: up to which order; derivatives of derivatives are checked in every nesting of the modes.
    modes: ``"fwd"`` for ``jvp``, ``"rev"`` for ``vjp``, or both.
    atol, rtol: how far they may differ, in relation to the largest element of a leaf; 1e-7 for float64, 1e-2 for float32.
    eps: the step of the differences; 3e-4 and 3e-2.

    Raises GradcheckError that names the mode, the order and the leaf of the largest difference.

    >>> import numpy as np
    >>> from tracegrad.testing import check_grads
    >>> check_grads(lambda x, y: np.sum(np.sin(x) * y), (np.ones(3), 2.0), order=2)
    """
    if not isinstance(args, (tuple, list)) or not args:
        raise TracegradError("check_grads takes the arguments in a tuple", fix="write check_grads(f, (x,))", where=user_frame())
    unknown = [mode for mode in modes if mode not in ("fwd", "rev")] if not isinstance(modes, str) else [modes]
    if unknown or order < 1:
        raise TracegradError(
            f"modes={modes!r} and order={order} name no derivatives",
            fix='give modes=("fwd", "rev"), or a tuple with one of them, and an order of at least 1',
            where=user_frame(),
        )
    name = getattr(f, "__name__", type(f).__name__)
    _check(f, list(args), order, tuple(modes), (atol, rtol, eps), name, np.random.default_rng(0))


def _check(
    f: Function,
    args: list[Any],
    order: int,
    modes: tuple[str, ...],
    given: tuple[float | None, float | None, float | None],
    name: str,
    rng: np.random.Generator,
) -> None:
    leaves, structure = flatten(args, root="args")
    values, result = flatten(f(*args), root=f"the result of {name}")
    dtype = np.result_type(*(np.asarray(leaf).dtype for leaf in (*leaves, *values)))
    dtype = np.finfo(dtype).dtype if dtype.kind in "fc" else dtype
    dtype = dtype if dtype in STEPS else np.dtype(np.float64)
    step = STEPS[dtype] if given[2] is None else given[2]
    atol, rtol = (TOLERANCES[dtype] if t is None else t for t in given[:2])
    cotangents = [_random(value, rng) for value in values]
    for k, path in enumerate(structure.paths("args")):
        direction = [_random(x, rng) if j == k else np.zeros_like(x) for j, x in enumerate(leaves)]
        expected = _difference(f, leaves, structure, direction, step)
        if "fwd" in modes:
            _, tangent = jvp(f, tuple(args), tuple(structure.unflatten(direction)))
            for place, mine, theirs in zip(result.paths("the result"), flatten(tangent)[0], expected, strict=True):
                _compare(mine, theirs, atol, rtol, f"jvp of {name} along {path}, in {place}")
        if "rev" in modes:
            pulled = vjp(f, *args)[1](result.unflatten(cotangents))
            mine = np.sum(flatten(list(pulled))[0][k] * direction[k]).real
            theirs = sum(np.sum(c * e).real for c, e in zip(cotangents, expected, strict=True))
            _compare(mine, theirs, atol, rtol, f"vjp of {name} in {path}")
    if order > 1:
        along = tuple(structure.unflatten([_random(x, rng) for x in leaves]))
        if "fwd" in modes:
            pushed = _twinned(f, functools.partial(_push_rule, along=along), "jvp")
            _check(pushed, args, order - 1, modes, given, f"the jvp of {name}", rng)
        if "rev" in modes:
            turned = result.unflatten(cotangents)
            pulled_back = _twinned(f, functools.partial(_pull_rule, cotangent=turned), "vjp")
            _check(pulled_back, args, order - 1, modes, given, f"the vjp of {name}", rng)


def _twinned(f: Function, rule: functools.partial[Any], name: str) -> Function:
    """A derivative of a function as a function; a transform, so that tracing it traces ``f`` as the user's own code."""
    made: Function = callable_of(Transform({"function": f}, rule, name), f)
    return made


def _push_rule(recorder: Any, parts: Mapping[str, Function], args: tuple[Any, ...], kwargs: Any, *, along: Any) -> Any:
    return jvp(parts["function"], args, along)[1]


def _pull_rule(recorder: Any, parts: Mapping[str, Function], args: tuple[Any, ...], kwargs: Any, *, cotangent: Any) -> Any:
    return vjp(parts["function"], *args)[1](cotangent)


def _random(value: Any, rng: np.random.Generator) -> Any:
    array = np.asarray(value)
    found = rng.uniform(-1, 1, array.shape)
    if array.dtype.kind == "c":
        found = found + 1j * rng.uniform(-1, 1, array.shape)
    return np.asarray(found, array.dtype)[()]


def _difference(f: Function, leaves: list[Any], structure: Any, direction: list[Any], step: float) -> list[Any]:
    """The derivative along a direction, to the fourth order of the step."""

    def at(distance: float) -> list[Any]:
        moved = [np.asarray(x + distance * d, np.asarray(x).dtype)[()] for x, d in zip(leaves, direction, strict=True)]
        return [np.asarray(y, np.result_type(y, np.float64)) for y in flatten(f(*structure.unflatten(moved)))[0]]

    ends = [at(distance) for distance in (step, -step, 2 * step, -2 * step)]
    return [(8 * (a - b) - (c - d)) / (12 * step) for a, b, c, d in zip(*ends, strict=True)]


def _compare(mine: Any, theirs: Any, atol: float, rtol: float, what: str) -> None:
    mine, theirs = np.asarray(mine, np.result_type(mine, np.float64)), np.asarray(theirs)
    if mine.size == 0:
        return
    gap = np.abs(mine - theirs)
    if not np.all(gap <= atol + rtol * np.max(np.abs(theirs))):
        place = np.unravel_index(int(np.argmax(np.nan_to_num(gap, nan=np.inf))), gap.shape)
        at = f" at {tuple(int(k) for k in place)}" if place else ""
        raise GradcheckError(
            f"{what}{at}: {mine[place]:.12g}, but differences say {theirs[place]:.12g}",
            fix="look for a kink near the arguments, or for a wrong rule of tg.custom_vjp or tg.custom_jvp; eps= sets the step",
            where=user_frame(),
        )
