"""Derivatives taken while a trace runs: the function runs on the trace's own values, and what is derived joins its graph.

An argument that is differentiated is wrapped into ``variable`` nodes, which are the value itself but other nodes: what the
function also reaches from outside, by a closure, is a constant to this derivative and a variable to those further out. The
walks through the graph start at these nodes. When a trace ends its graph is written anew without them.

A ``Transform`` is a function made of others. A twin rebuilds it around the twins of these, so that a transform means the same
inside and outside of a trace.
"""

from __future__ import annotations

import contextlib
import functools
import inspect as signatures
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tracegrad.autodiff.argnums import Argnums, arguments_of, gathered, name_of, parameter_name, parameters_of, place_of
from tracegrad.autodiff.forward import push_forward_nodes
from tracegrad.autodiff.reverse import pull_back_nodes
from tracegrad.core.aval import Aval, aval_of
from tracegrad.core.source import called, user_frame
from tracegrad.core.tree import TreeDef, flatten
from tracegrad.errors import DifferentiationError, DtypeError, ShapeError, TraceError, TreeError
from tracegrad.ops.maps import variable
from tracegrad.symbolic import Recorder, Sym, current_recorder

NUMBERS = (Sym, np.ndarray, np.generic, bool, int, float, complex)


class Transform:
    """A function made of others by a transform; calls are part of the trace that is running.

    Parameters
    ----------
    parts: the functions it is made of; ``parts["function"]`` is the one it stands for.
    rule: ``rule(recorder, parts, args, kwargs)`` does what a call does.
    name: what errors call it.
    """

    def __init__(self, parts: Mapping[str, Callable[..., Any]], rule: Callable[..., Any], name: str) -> None:
        self._parts = dict(parts)
        self._rule = rule
        self._name = name
        self.__name__ = f"{name}({name_of(parts['function'])})"
        self.__qualname__ = self.__name__
        self.__doc__ = getattr(parts["function"], "__doc__", None)
        with contextlib.suppress(TypeError, ValueError):  # a built-in function may have none
            self.__signature__ = signatures.signature(parts["function"])

    def __tracegrad_transform__(self) -> Mapping[str, Callable[..., Any]]:
        """The functions it is made of."""
        return self._parts

    def around(self, parts: Mapping[str, Callable[..., Any]]) -> Transform:
        """The same transform of other functions, of twins."""
        return Transform(parts, self._rule, self._name)

    def told(self) -> tuple[Any, ...]:
        """What tells it from other transforms of the same functions, for traces that are kept."""
        return self._name, self._rule

    def __getattr__(self, name: str) -> Any:
        if name != "_parts" and name in self._parts:
            return self._parts[name]
        raise AttributeError(name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Do in the running trace what the transform does."""
        recorder = current_recorder.get()
        if recorder is None:
            raise TraceError(
                f"{self.__name__} was made inside of a trace and is called outside of it",
                fix="make it outside of the traced function",
                where=user_frame(),
            )
        return self._rule(recorder, self._parts, args, kwargs)


# -- what a function is differentiated with respect to ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Leaves:
    """The leaves of a pytree in a trace: its structure, their nodes, and how a person writes each."""

    structure: TreeDef
    ids: tuple[int, ...]
    avals: tuple[Aval, ...]
    paths: tuple[str, ...]

    def unflatten(self, recorder: Recorder, ids: Sequence[int]) -> Any:
        """Other nodes in this structure."""
        return self.structure.unflatten([Sym(recorder, i) for i in ids])


def leaves_of(recorder: Recorder, tree: Any, root: str) -> Leaves:
    """The leaves of a pytree of arrays and numbers; TraceError for anything else in it."""
    values, structure = flatten(tree, root=root)
    paths = structure.paths(root)
    ids = []
    for value, path in zip(values, paths, strict=True):
        if not isinstance(value, NUMBERS):
            raise TraceError(
                f"{path} is of type {type(value).__name__}, not an array",
                fix="use arrays and numbers, in any nesting of dicts, lists, tuples and dataclasses",
                where=user_frame(),
            )
        ids.append(recorder.operand(value).id)
    return Leaves(structure, tuple(ids), tuple(recorder.graph[i].aval for i in ids), paths)


def as_variables(recorder: Recorder, tree: Any, root: str) -> tuple[Any, Leaves]:
    """An argument whose leaves are variables of a derivative; DifferentiationError for integers and what is no array."""
    values, structure = flatten(tree, root=root)
    paths = structure.paths(root)
    made = [_as_variable(recorder, value, path) for value, path in zip(values, paths, strict=True)]
    ids = tuple(sym.id for sym in made)
    return structure.unflatten(made), Leaves(structure, ids, tuple(recorder.graph[i].aval for i in ids), paths)


def _as_variable(recorder: Recorder, value: Any, path: str) -> Sym:
    if isinstance(value, Sym) and value.recorder is not recorder:
        raise TraceError(f"{path} belongs to another trace", fix="pass it in as an argument", where=user_frame())
    operand = recorder.operand(value) if isinstance(value, NUMBERS) else None
    if operand is None or not operand.aval.differentiable:
        raise no_derivative(path, getattr(value, "dtype", type(value).__name__))
    made: Sym = variable(operand, number=len(recorder.graph))
    made.storage.guard = f"{path} is an argument, and arguments are never written to"
    made.boxed = operand.boxed or isinstance(value, np.ndarray)
    return made


def check_real(where: Any, name: str, aval: Aval) -> None:
    """Refuse a gradient of a complex result, of which there are two: of its real and of its imaginary part."""
    if aval.dtype.kind == "c":
        raise DifferentiationError(
            f"{name} returns a complex value ({aval.dtype}); the gradient needs a real scalar",
            fix="take np.abs(z), z.real or z.imag of it; of a holomorphic function take tg.grad(f, holomorphic=True)",
            where=where or user_frame(),
        )


def check_holomorphic(name: str, inputs: Sequence[Aval], outputs: Sequence[Aval]) -> None:
    """Refuse ``holomorphic=True`` for what is not from complex to complex numbers."""
    for what, avals in (("an argument", inputs), ("a result", outputs)):
        real = next((aval for aval in avals if aval.dtype.kind != "c"), None)
        if real is not None:
            raise DifferentiationError(
                f"holomorphic=True, but {name} has {what} that is {real}, which is not complex",
                fix="leave holomorphic= out for real numbers, or make them complex: x.astype(np.complex128)",
                where=user_frame(),
            )


def no_derivative(path: str, kind: Any) -> DifferentiationError:
    """The error for an argument that no derivative is taken with respect to."""
    if kind == "Generator":
        return DifferentiationError(
            f"{path} is a Generator, which numbers are drawn from and which there is no gradient with respect to",
            fix="choose other argnums: they name what is differentiated",
            where=user_frame(),
        )
    return DifferentiationError(
        f"{path} is {kind}: there is no gradient with respect to integers, booleans or static values",
        fix=f"pass {path} as float64, for example with np.asarray({path}, float), or choose other argnums",
        where=user_frame(),
    )


def with_variables(
    recorder: Recorder, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], argnums: Argnums
) -> tuple[Any, list[Leaves]]:
    """The result of a function of variables, and the variables of each argument that ``argnums`` names, in order."""
    given: dict[int | str, Any] = dict(enumerate(args))
    given.update(kwargs)
    parameters = tuple(parameters_of(function))
    found = []
    for argument in arguments_of(argnums):
        place = place_of(argument, function, len(args), given, parameters)
        root = parameter_name(function, place) if isinstance(place, int) else place
        given[place], leaves = as_variables(recorder, given[place], root)
        found.append(leaves)
    named = {name: value for name, value in given.items() if isinstance(name, str)}
    return called(function, [given[k] for k in range(len(args))], named), found


def without_aux(result: Any, function: Any, has_aux: bool) -> tuple[Any, Any]:
    """The result that is differentiated and what comes along; None as the latter without ``has_aux``."""
    if not has_aux:
        return result, None
    if not (isinstance(result, tuple) and len(result) == 2):
        known = f"a {type(result).__name__}" if not isinstance(result, NUMBERS) else "one value"
        what = f"a tuple of {len(result)}" if isinstance(result, tuple) else known
        raise DifferentiationError(
            f"has_aux=True, but {name_of(function)} returns {what}",
            fix="return (value, aux): first what is differentiated, then what comes along",
            where=user_frame(),
        )
    return result


def scalar_of(recorder: Recorder, result: Any, function: Any, holomorphic: bool = False) -> Sym:
    """The one scalar that a gradient is taken of, or DifferentiationError."""
    name = name_of(function)
    values, structure = flatten(result, root=f"the result of {name}")
    if len(values) != 1 or structure != flatten(0.0)[1]:
        hint = "; with has_aux=True it may return (value, aux)" if isinstance(result, tuple) and len(result) == 2 else ""
        what = "None" if result is None else f"{len(values)} values in a {type(result).__name__}"
        raise DifferentiationError(
            f"{name} returns {what}; the gradient needs one scalar", fix=f"return the scalar alone{hint}", where=user_frame()
        )
    loss = Sym(recorder, leaves_of(recorder, result, f"the result of {name}").ids[0])
    if loss.shape != ():
        raise DifferentiationError(
            f"{name} returns an array of shape {loss.shape}; the gradient needs a scalar",
            fix="reduce it, for example with np.sum(...), or take tg.jacobian or tg.elementwise_grad",
            where=recorder.graph[loss.id].where or user_frame(),
        )
    if not loss.aval.differentiable:
        raise DifferentiationError(
            f"{name} returns a value of dtype {loss.dtype}, which has no gradient",
            fix="compute it in floating point",
            where=user_frame(),
        )
    if not holomorphic:
        check_real(recorder.graph[loss.id].where, name, loss.aval)
    return loss


# -- walks through the running trace ---------------------------------------------------------------------------------------


def pulled_back(recorder: Recorder, variables: Sequence[Leaves], cotangents: Sequence[tuple[int, int]]) -> list[Any]:
    """The cotangents of variables for those of other nodes, in the variables' structures."""
    wrt = [i for leaves in variables for i in leaves.ids]
    ids = iter(pull_back_nodes(recorder.graph, wrt, cotangents))
    return [leaves.unflatten(recorder, [next(ids) for _ in leaves.ids]) for leaves in variables]


def pushed_forward(recorder: Recorder, tangents: Mapping[int, int], outputs: Leaves) -> Any:
    """The tangents of a result, in its structure, for those of variables."""
    return outputs.unflatten(recorder, push_forward_nodes(recorder.graph, tangents, outputs.ids))


def fitting(value: Any, leaves: Leaves, what: str, of: str) -> list[Any]:
    """The leaves of a tangent or cotangent for those of a primal value, checked.

    Parameters
    ----------
    value: the tangent.
    leaves: what it belongs to.
    what, of: what errors call the two.

    Raises TreeError, ShapeError or DtypeError where structure, shapes or dtypes differ. Python numbers take any dtype;
    values for integers do not matter.
    """
    values, structure = flatten(value, root=what)
    if structure != leaves.structure:
        raise TreeError(
            f"{what} has the structure {structure!r}, but {of} has {leaves.structure!r}",
            fix=f"give it one value for each leaf of {of}",
            where=user_frame(),
        )
    return [
        _fitting(x, aval, path, mine)
        for x, aval, path, mine in zip(values, leaves.avals, leaves.paths, structure.paths(what), strict=True)
    ]


def _fitting(value: Any, aval: Aval, path: str, mine: str) -> Any:
    if not isinstance(value, NUMBERS):
        raise TreeError(f"{mine} is of type {type(value).__name__}, not an array", fix="give an array", where=user_frame())
    known = value.aval if isinstance(value, Sym) else aval_of(value)
    if known.shape != aval.shape:
        raise ShapeError(
            f"{mine} has shape {known.shape}, but {path} has {aval.shape}",
            fix=f"give it the shape of {path}",
            where=user_frame(),
        )
    if not aval.differentiable:
        return np.zeros(aval.shape, aval.dtype)
    weak = value.weak if isinstance(value, Sym) else type(value) in (bool, int, float, complex)
    weak = weak and (known.dtype.kind != "c" or aval.dtype.kind == "c")
    if known.dtype != aval.dtype and not weak:
        raise DtypeError(
            f"{mine} is {known.dtype}, but {path} is {aval.dtype}",
            fix=f"cast it with .astype(np.{aval.dtype})",
            where=user_frame(),
        )
    return value.astype(aval.dtype) if isinstance(value, Sym) else np.asarray(value, aval.dtype)


# -- gradients --------------------------------------------------------------------------------------------------------------


def gradient_rule(
    recorder: Recorder,
    parts: Mapping[str, Callable[..., Any]],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    argnums: Argnums,
    has_aux: bool,
    keep_value: bool,
    holomorphic: bool = False,
) -> Any:
    """What calls of ``grad`` and ``value_and_grad`` do."""
    function = parts["function"]
    result, variables = with_variables(recorder, function, args, kwargs, argnums)
    value, aux = without_aux(result, function, has_aux)
    loss = scalar_of(recorder, value, function, holomorphic)
    if holomorphic:
        check_holomorphic(name_of(function), [a for leaves in variables for a in leaves.avals], [loss.aval])
    one = recorder.operand(np.ones((), loss.dtype))
    gradient = gathered(argnums, pulled_back(recorder, variables, [(loss.id, one.id)]))
    if keep_value:
        return ((loss, aux), gradient) if has_aux else (loss, gradient)
    return (gradient, aux) if has_aux else gradient


def gradient_transform(
    function: Callable[..., Any], argnums: Argnums, has_aux: bool, keep_value: bool, holomorphic: bool = False
) -> Transform:
    """The gradient of a function, with or without its value."""
    known: dict[str, Any] = {"argnums": argnums, "has_aux": has_aux, "keep_value": keep_value, "holomorphic": holomorphic}
    rule = functools.partial(gradient_rule, **known)
    return Transform({"function": function}, rule, "value_and_grad" if keep_value else "grad")
