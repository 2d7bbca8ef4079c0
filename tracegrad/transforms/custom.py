"""custom_vjp and custom_jvp: functions whose derivative a person has written.

Where such a function is called in a trace its rule is traced along with it, on stand-ins for tangents or cotangents, into a
graph of its own that the results carry until derivatives have been taken. Either kind of rule serves both modes, as long
as it is linear.
"""

from __future__ import annotations

import contextvars
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tracegrad.autodiff.argnums import name_of, parameter_name
from tracegrad.autodiff.inside import Leaves, Transform, as_variables, fitting, leaves_of
from tracegrad.autodiff.linear import cut_out
from tracegrad.calls import Family, Options, on_tape
from tracegrad.compiled import Compiled
from tracegrad.core.graph import Graph
from tracegrad.core.source import user_frame
from tracegrad.core.tree import flatten
from tracegrad.errors import DifferentiationError, TracegradError
from tracegrad.ops.custom import Derivative, with_derivative
from tracegrad.ops.sources import input as input_op
from tracegrad.ops.sources import zeros_shape
from tracegrad.symbolic import Recorder, Sym, current_recorder
from tracegrad.transforms.derivatives import checked_function
from tracegrad.wants import VALUE

Function = Callable[..., Any]
FAR = 1 << 40
"""Positions from here on are of stand-ins, which are gone when their trace ends."""
DEEPEST = 4
"""How often a rule may call the function it is given for, within itself: one more is the highest order of derivatives."""

_running: contextvars.ContextVar[tuple[object, ...]] = contextvars.ContextVar("rules that are being traced", default=())


class WithDerivative(Transform):
    """A function with a derivative of its own; made by ``custom_vjp`` and ``custom_jvp``."""

    _kind = ""

    def __init__(self, parts: Mapping[str, Function], nondiff_argnums: tuple[int, ...], identity: object | None = None) -> None:
        super().__init__(parts, self._inside, self._kind)
        self._fixed = nondiff_argnums
        self._identity = object() if identity is None else identity
        self.__name__ = self.__qualname__ = name_of(parts["function"])

    def around(self, parts: Mapping[str, Function]) -> WithDerivative:
        """The same of twins."""
        return type(self)(parts, self._fixed, self._identity)

    def told(self) -> tuple[Any, ...]:
        """What tells it from others of the same functions."""
        return self._kind, self._fixed

    def __repr__(self) -> str:
        return f"<{self._kind} of {self.__name__}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The function's result, which knows the derivative in a trace and on the tape."""
        if current_recorder.get() is not None:
            return super().__call__(*args, **kwargs)
        leaves, _ = flatten((args, kwargs))
        if any(isinstance(leaf, Sym) or on_tape(leaf) for leaf in leaves):
            return self._compiled(*args, **kwargs)
        return self._parts["function"](*args, **kwargs)

    @functools.cached_property
    def _compiled(self) -> Compiled[..., Any]:
        names = tuple(parameter_name(self._parts["function"], k) for k in self._fixed)
        return Compiled(Family(self, Options(0, names, "never")), VALUE)

    def _check_defined(self) -> None:
        raise NotImplementedError

    def _inside(self, recorder: Recorder, parts: Mapping[str, Function], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        self._check_defined()
        if kwargs:
            raise TracegradError(
                f"{self.__name__} has a derivative of its own, and takes its arguments by position",
                fix=f"leave out the names {', '.join(kwargs)}",
                where=user_frame(),
            )
        count = len(args)
        fixed = {k + count if k < 0 else k for k in self._fixed}
        if any(not 0 <= k < count for k in fixed):
            raise TracegradError(
                f"nondiff_argnums={self._fixed} of {self.__name__} names no argument of this call, which has {count}",
                fix="count positional arguments from 0",
                where=user_frame(),
            )
        given, variables = list(args), []
        for k in range(count):
            if k not in fixed:
                given[k], leaves = _variables_of(recorder, given[k], parameter_name(parts["function"], k))
                variables.append(leaves)
        result = parts["function"](*given)
        outputs = leaves_of(recorder, result, f"the result of {self.__name__}")
        arguments = [i for leaves in variables for i, aval in zip(leaves.ids, leaves.avals, strict=True) if aval.differentiable]
        body: Graph | None = None
        residuals: tuple[int, ...] = ()
        running = _running.get()
        if running.count(self._identity) < DEEPEST:
            known = [given[k] for k in sorted(fixed)]
            free = [value for k, value in enumerate(given) if k not in fixed]
            outer, within = _running.set((*running, self._identity)), recorder.rule
            recorder.rule = self.__name__
            try:
                starts, ends = self._rule_traced(recorder, known, free, variables, outputs)
            finally:
                _running.reset(outer)
                recorder.rule = within
            body, residuals = cut_out(recorder.graph, starts, ends)
        results = [k for k, aval in enumerate(outputs.avals) if aval.differentiable]
        forward = self._kind == "custom_jvp"
        derivative = Derivative(body, forward, len(arguments), len(results), len(residuals), self.__name__)
        ids = list(outputs.ids)
        for number, k in enumerate(results):
            params = {"derivative": derivative, "result": number}
            ids[k] = recorder.emit(with_derivative, (outputs.ids[k], *arguments, *residuals), params)
        return outputs.unflatten(recorder, ids)

    def _rule_traced(
        self, recorder: Recorder, known: list[Any], free: list[Any], variables: Sequence[Leaves], outputs: Leaves
    ) -> tuple[list[int], list[int]]:
        """The rule on stand-ins: the ids of these, and of what comes of them."""
        raise NotImplementedError


def _variables_of(recorder: Recorder, tree: Any, root: str) -> tuple[Any, Leaves]:
    """An argument whose float leaves are variables of a derivative; integers stay what they are."""
    leaves = leaves_of(recorder, tree, root)
    syms = [
        as_variables(recorder, Sym(recorder, i), path)[0] if aval.differentiable else Sym(recorder, i)
        for i, aval, path in zip(leaves.ids, leaves.avals, leaves.paths, strict=True)
    ]
    made = Leaves(leaves.structure, tuple(sym.id for sym in syms), leaves.avals, leaves.paths)
    return made.structure.unflatten(syms), made


def _stand_ins(recorder: Recorder, leaves: Leaves) -> tuple[Any, list[int]]:
    """Values in a structure that are not known yet, zeros for integers; the ids of the former."""
    values, ids = [], []
    for aval in leaves.avals:
        if aval.differentiable:
            node = recorder.emit(input_op, (), {"position": FAR + len(recorder.graph), "aval": aval})
            ids.append(node)
            values.append(Sym(recorder, node))
        else:
            values.append(recorder.operand(zeros_shape(aval.shape, aval.dtype)))
    return leaves.structure.unflatten(values), ids


def _fitted_ids(recorder: Recorder, value: Any, leaves: Leaves, what: str, of: str) -> list[int]:
    found = fitting(value, leaves, what, of)
    return [recorder.operand(x).id for x, aval in zip(found, leaves.avals, strict=True) if aval.differentiable]


class CustomVjp(WithDerivative):
    """A function with a vjp of its own: ``defvjp(fwd, bwd)`` gives it."""

    _kind = "custom_vjp"

    def defvjp(self, fwd: Function, bwd: Function) -> None:
        """Give the derivative.

        Parameters
        ----------
        fwd: ``fwd(*args) -> (result, residuals)``, the function's result and whatever ``bwd`` needs.
        bwd: ``bwd(residuals, cotangent) -> cotangents``, a tuple with one for each argument, None for zeros. Arguments named
            in ``nondiff_argnums`` come first, and have no cotangent.
        """
        self._parts |= {"fwd": checked_function(fwd, "custom_vjp"), "bwd": checked_function(bwd, "custom_vjp")}

    def _check_defined(self) -> None:
        if "bwd" not in self._parts:
            raise DifferentiationError(
                f"{self.__name__} is a tg.custom_vjp without a derivative",
                fix=f"give it one: {self.__name__}.defvjp(fwd, bwd)",
                where=user_frame(),
            )

    def _rule_traced(
        self, recorder: Recorder, known: list[Any], free: list[Any], variables: Sequence[Leaves], outputs: Leaves
    ) -> tuple[list[int], list[int]]:
        pair = self._parts["fwd"](*self._in_order(known, free))
        if not (isinstance(pair, tuple) and len(pair) == 2):
            raise DifferentiationError(
                f"the fwd of {self.__name__} returns no pair",
                fix="return (result, residuals): the function's result, and what bwd needs",
                where=user_frame(),
            )
        cotangent, starts = _stand_ins(recorder, outputs)
        pulled = self._parts["bwd"](*known, pair[1], cotangent)
        if not isinstance(pulled, (tuple, list)) or len(pulled) != len(variables):
            what = f"{len(pulled)} cotangents" if isinstance(pulled, (tuple, list)) else "no tuple"
            raise DifferentiationError(
                f"the bwd of {self.__name__} returns {what} for {len(variables)} arguments",
                fix="return a tuple with one cotangent for each argument, None where it is zero",
                where=user_frame(),
            )
        ends = []
        for part, leaves in zip(pulled, variables, strict=True):
            value = part
            if part is None:
                value = leaves.structure.unflatten([np.zeros(a.shape, a.dtype) for a in leaves.avals])
            name = leaves.paths[0] if leaves.paths else "an argument"
            ends += _fitted_ids(recorder, value, leaves, f"the cotangent of {name}", name)
        return starts, ends

    def _in_order(self, known: Sequence[Any], free: Sequence[Any]) -> list[Any]:
        count = len(known) + len(free)
        fixed = {k + count if k < 0 else k for k in self._fixed}
        one, other = iter(known), iter(free)
        return [next(one) if k in fixed else next(other) for k in range(count)]


class CustomJvp(WithDerivative):
    """A function with a jvp of its own: ``defjvp(rule)`` gives it."""

    _kind = "custom_jvp"

    def defjvp(self, jvp: Function) -> None:
        """Give the derivative.

        Parameters
        ----------
        jvp: ``jvp(primals, tangents) -> (result, tangent)`` of tuples with one entry for each argument; linear in the
            tangents. Arguments named in ``nondiff_argnums`` come first, and have no tangent.
        """
        self._parts |= {"jvp": checked_function(jvp, "custom_jvp")}

    def defjvps(self, *jvps: Function | None) -> None:
        """Give the derivative as one function per argument, None where it is zero.

        Each is called as ``jvp(tangent, result, *args)`` and gives what the argument's tangent adds to that of the result.
        """

        def jvp(*arguments: Any) -> Any:
            *known, primals, tangents = arguments
            result = self._parts["function"](*known, *primals)
            parts = [each(t, result, *known, *primals) for each, t in zip(jvps, tangents, strict=True) if each is not None]
            total = functools.reduce(lambda a, b: a + b, parts) if parts else 0.0 * result
            return result, total

        self._parts |= {"jvp": jvp}

    def _check_defined(self) -> None:
        if "jvp" not in self._parts:
            raise DifferentiationError(
                f"{self.__name__} is a tg.custom_jvp without a derivative",
                fix=f"give it one: {self.__name__}.defjvp(rule)",
                where=user_frame(),
            )

    def _rule_traced(
        self, recorder: Recorder, known: list[Any], free: list[Any], variables: Sequence[Leaves], outputs: Leaves
    ) -> tuple[list[int], list[int]]:
        made = [_stand_ins(recorder, leaves) for leaves in variables]
        pair = self._parts["jvp"](*known, tuple(free), tuple(tangent for tangent, _ in made))
        if not (isinstance(pair, tuple) and len(pair) == 2):
            raise DifferentiationError(
                f"the jvp of {self.__name__} returns no pair",
                fix="return (result, tangent)",
                where=user_frame(),
            )
        of = f"the result of {self.__name__}"
        return [i for _, ids in made for i in ids], _fitted_ids(recorder, pair[1], outputs, "the tangent", of)


def _positions(nondiff_argnums: Any) -> tuple[int, ...]:
    several = (nondiff_argnums,) if isinstance(nondiff_argnums, int) else tuple(nondiff_argnums)
    if any(not isinstance(k, (int, np.integer)) or isinstance(k, bool) for k in several):
        raise TracegradError(
            f"nondiff_argnums={nondiff_argnums!r} names no arguments",
            fix="give positions, counted from 0: nondiff_argnums=(1,)",
            where=user_frame(),
        )
    return tuple(int(k) for k in several)


def custom_vjp(fun: Function, nondiff_argnums: Sequence[int] = ()) -> CustomVjp:
    """A function whose vector-Jacobian product is given by ``defvjp``.

    Parameters
    ----------
    fun: a function of pytrees of arrays and numbers, called by position.
    nondiff_argnums: positions of arguments that are handed to the rule as they are.

    Returns the function, with the method ``defvjp(fwd, bwd)``. Forward mode takes the transpose of ``bwd``, which has to be
    linear in the cotangent for that. Its calls in a trace raise DifferentiationError as long as no rule is given, and
    derivatives do so where it reads a value that is differentiated from outside.

    >>> import numpy as np
    >>> import tracegrad as tg
    >>> @tg.custom_vjp
    ... def clipped(x):
    ...     return x
    >>> clipped.defvjp(lambda x: (x, None), lambda _, g: (np.clip(g, -1.0, 1.0),))
    >>> tg.grad(lambda x: np.sum(10 * clipped(x)))(np.ones(2))
    array([1., 1.])
    """
    return CustomVjp({"function": checked_function(fun, "custom_vjp")}, _positions(nondiff_argnums))


def custom_jvp(fun: Function, nondiff_argnums: Sequence[int] = ()) -> CustomJvp:
    """A function whose Jacobian-vector product is given by ``defjvp``.

    Parameters
    ----------
    fun: a function of pytrees of arrays and numbers, called by position.
    nondiff_argnums: positions of arguments that are handed to the rule as they are.

    Returns the function, with the methods ``defjvp(rule)`` and ``defjvps(*rules)``; as a decorator of the rule the former
    serves as well. Reverse mode takes the transpose of the rule. Raises what functions of ``custom_vjp`` raise.

    >>> import numpy as np
    >>> import tracegrad as tg
    >>> @tg.custom_jvp
    ... def softplus(x):
    ...     return np.logaddexp(x, 0.0)
    >>> softplus.defjvps(lambda t, result, x: t / (1.0 + np.exp(-x)))
    >>> tg.grad(softplus)(0.0), tg.grad(tg.grad(softplus))(0.0)
    (np.float64(0.5), np.float64(0.25))
    """
    return CustomJvp({"function": checked_function(fun, "custom_jvp")}, _positions(nondiff_argnums))
