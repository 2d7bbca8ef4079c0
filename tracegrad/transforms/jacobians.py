"""Whole Jacobians and Hessians, all columns or all rows at once, and products of a Hessian with vectors.

The derivative is a linear map, and this map is mapped over the vectors of the standard basis: a graph does not grow with
their number.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tracegrad.autodiff.argnums import Argnums, checked_argnums, gathered, name_of
from tracegrad.autodiff.inside import Leaves, Transform, check_holomorphic, leaves_of, with_variables, without_aux
from tracegrad.core.aval import Aval
from tracegrad.core.source import user_frame
from tracegrad.errors import DifferentiationError
from tracegrad.ops.assembly import moveaxis
from tracegrad.ops.maps import cast
from tracegrad.ops.sources import iota
from tracegrad.ops.views import reshape
from tracegrad.symbolic import Recorder, Sym, current_recorder
from tracegrad.transforms.derivatives import check_outputs, checked_function, differentiated, grad, jvp
from tracegrad.transforms.maps import Linearised, LinearMap, as_one_node, is_taped, linearised, made_once, map_inside

Function = Callable[..., Any]
FORWARD, REVERSE, EITHER = "jacfwd", "jacrev", "jacobian"
_HOLOMORPHIC = "pass holomorphic=True for a holomorphic function; of another one differentiate z.real and z.imag as reals"
_OTHERWISE = {
    (FORWARD, True, False): "take tg.jacrev, for a real result of complex arguments",
    (REVERSE, False, True): "take tg.jacfwd, for a complex result of real arguments",
}
LARGEST = 1 << 24
"""How many elements a value of a derivative may have in one pass over basis vectors: 128 MiB of float64."""


def _jacobian_rule(
    recorder: Recorder, parts: Mapping[str, Function], args: tuple[Any, ...], kwargs: dict[str, Any], *, told: tuple[Any, ...]
) -> Any:
    """What a Jacobian of tensors does, in the trace of a function of its own."""
    return Jacobian(parts["function"], *told)(*args, **kwargs)


class Jacobian(Transform):
    """A function's Jacobian, as a function: outside of a trace it runs on arrays, within one it is part of it."""

    def __init__(self, function: Function, direction: str, argnums: Argnums, has_aux: bool, holomorphic: bool = False) -> None:
        super().__init__({"function": function}, self._inside, direction)
        self._direction = direction
        self._argnums = argnums
        self._has_aux = has_aux
        self._holomorphic = holomorphic
        self._linearised: Linearised | None = None

    def around(self, parts: Mapping[str, Function]) -> Jacobian:
        """The Jacobian of another function, of a twin."""
        return Jacobian(parts["function"], self._direction, self._argnums, self._has_aux, self._holomorphic)

    def told(self) -> tuple[Any, ...]:
        """What tells it from other Jacobians of the same function."""
        return self._direction, self._argnums, self._has_aux, self._holomorphic

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The Jacobian for these arguments."""
        if current_recorder.get() is not None:
            return super().__call__(*args, **kwargs)
        if is_taped((args, kwargs)):
            function = self._parts["function"]
            return as_one_node(function, self._direction, functools.partial(_jacobian_rule, told=self.told()))(*args, **kwargs)
        if self._linearised is None:
            self._linearised = linearised(self._parts["function"], self._argnums, self._has_aux)
        forward = self._is_forward(*self._linearised.avals(args, kwargs))
        point = self._linearised.at(args, kwargs, forward)
        jacobian = self._assembled(point.derivative, point.variables, point.outputs, forward)
        return (jacobian, point.aux) if self._has_aux else jacobian

    def _inside(self, recorder: Recorder, parts: Mapping[str, Function], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        function = parts["function"]
        result, variables = with_variables(recorder, function, args, kwargs, self._argnums)
        value, aux = without_aux(result, function, self._has_aux)
        outputs = leaves_of(recorder, value, f"the result of {name_of(function)}")
        forward = self._is_forward([a for leaves in variables for a in leaves.avals], outputs.avals)
        jacobian = self._assembled(map_inside(recorder, variables, outputs, forward), variables, outputs, forward)
        return (jacobian, aux) if self._has_aux else jacobian

    def _is_forward(self, inputs: Sequence[Aval], outputs: Sequence[Aval]) -> bool:
        """The mode; a complex number is one direction for the derivative of a holomorphic function alone."""
        name = name_of(self._parts["function"])
        turns: list[bool] = [any(aval.dtype.kind == "c" for aval in avals) for avals in (inputs, outputs)]
        if self._holomorphic:
            check_holomorphic(name, inputs, outputs)
        elif all(turns) or turns == [self._direction == FORWARD, self._direction == REVERSE] != [False, False]:
            what = "results" if self._direction == REVERSE or not turns[0] else "arguments"
            raise DifferentiationError(
                f"the Jacobian of {name} by {self._direction} has complex {what}, which vary in two directions",
                fix=_OTHERWISE.get((self._direction, turns[0], turns[1]), _HOLOMORPHIC),
                where=user_frame(),
            )
        elif self._direction == EITHER and any(turns):
            return turns[1]
        count = [sum(aval.size for aval in avals) for avals in (inputs, outputs)]
        return count[0] <= count[1] if self._direction == EITHER else self._direction == FORWARD

    def _assembled(self, derivative: LinearMap, variables: Sequence[Leaves], outputs: Leaves, forward: bool) -> Any:
        """Trees of trees: for each leaf of the result the structure of the argument, whose axes come last."""
        check_outputs(outputs, self._parts["function"])
        inner = [aval for leaves in variables for aval in leaves.avals]
        rows = over_basis(derivative, inner if forward else outputs.avals)
        table: list[list[Any]] = []
        for i, of in enumerate(outputs.avals):
            line = []
            for j, aval in enumerate(inner):
                found = moveaxis(rows[j][i], 0, -1) if forward else rows[i][j]
                line.append(reshape(found, (*of.shape, *aval.shape))[()])
            table.append(line)
        parts = []
        for line in table:
            leaves_of_line = iter(line)
            parts.append(
                gathered(self._argnums, [v.structure.unflatten([next(leaves_of_line) for _ in v.ids]) for v in variables])
            )
        return outputs.structure.unflatten(parts)


def over_basis(derivative: LinearMap, avals: Sequence[Aval]) -> list[list[Any]]:
    """A linear map of each vector of the standard basis.

    Parameters
    ----------
    derivative: the map.
    avals: the leaves of its argument.

    Returns for each leaf of the argument, and each leaf of the result, an array whose first axis counts the elements of the
    former.
    """
    zeros = [np.zeros(aval.shape, aval.dtype) for aval in avals]
    recorder = current_recorder.get()
    # one pass holds every value of the map for each vector; outside of a trace it may be taken in several
    widest = max(derivative.largest, 1)
    table = []
    for k, aval in enumerate(avals):
        passes = 1 if recorder is not None else max(-(-aval.size // max(LARGEST // widest, 1)), 1)
        count = -(-aval.size // passes)
        parts = []
        for number in range(passes):
            units = _units(recorder, number * count, count, aval)
            parts.append(derivative.of_all([*zeros[:k], units, *zeros[k + 1 :]], (k,), count))
        if passes == 1:
            table.append(parts[0])
        else:  # behind the last vector there may be some of zeros
            table.append([np.concatenate(leaf)[: aval.size] for leaf in zip(*parts, strict=True)])
    return table


def _units(recorder: Recorder | None, first: int, count: int, aval: Aval) -> Any:
    """Vectors of the standard basis, from number ``first`` on, in the shape and dtype of a leaf."""
    if recorder is None:
        return np.eye(count, aval.size, first, aval.dtype).reshape(count, *aval.shape)
    # in a graph they are computed, and not held
    index = Sym(recorder, recorder.emit(iota, (), {"size": aval.size}))
    same = cast(reshape(index, (aval.size, 1)) == reshape(index, (1, aval.size)), dtype=aval.dtype)
    return reshape(same, (aval.size, *aval.shape))


def _jacobian(fun: Function, direction: str, argnums: Any, argnames: Any, has_aux: bool, holomorphic: bool) -> Jacobian:
    checked_function(fun, direction)
    return Jacobian(fun, direction, checked_argnums(argnums, argnames, fun), has_aux, holomorphic)


def jacfwd(
    fun: Function,
    argnums: int | Sequence[int] | None = None,
    has_aux: bool = False,
    *,
    argnames: str | Sequence[str] | None = None,
    holomorphic: bool = False,
) -> Any:
    """The Jacobian of a function, all columns at once by forward mode: for few arguments and many results.

    Parameters
    ----------
    fun: a function of pytrees of float arrays whose result is one, too.
    argnums: position of the argument to differentiate with respect to, or several; the first where none is named.
    has_aux: whether ``fun`` returns ``(value, aux)``; the result is then ``(jacobian, aux)``.
    argnames: name of the argument, or several.
    holomorphic: whether ``fun`` is a holomorphic function from complex to complex numbers, whose derivatives are wanted.

    Complex results of real arguments have derivatives in forward mode, real results of complex arguments in reverse mode (as
    ``grad`` has them); complex results of complex arguments with ``holomorphic``.

    Returns a function of the same arguments. Its result has the structure of that of ``fun``, with the structure of the
    argument in place of each leaf (for several a tuple or a dict of these, as by ``grad``); there, axes of the result come
    first, then those of the argument. Calls raise DifferentiationError for integers in either, and
    for complex numbers that have no derivative in this mode.

    >>> import numpy as np
    >>> import tracegrad as tg
    >>> tg.jacfwd(lambda x: x**2)(np.array([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])
    """
    return _jacobian(fun, FORWARD, argnums, argnames, has_aux, holomorphic)


def jacrev(
    fun: Function,
    argnums: int | Sequence[int] | None = None,
    has_aux: bool = False,
    *,
    argnames: str | Sequence[str] | None = None,
    holomorphic: bool = False,
) -> Any:
    """The Jacobian of a function, all rows at once by reverse mode: for many arguments and few results.

    Takes and returns what ``jacfwd`` does.

    >>> import numpy as np
    >>> import tracegrad as tg
    >>> tg.jacrev(lambda p: {"area": p["a"] * p["b"]})({"a": 2.0, "b": 3.0})
    {'area': {'a': np.float64(3.0), 'b': np.float64(2.0)}}
    """
    return _jacobian(fun, REVERSE, argnums, argnames, has_aux, holomorphic)


def jacobian(
    fun: Function,
    argnums: int | Sequence[int] | None = None,
    has_aux: bool = False,
    *,
    argnames: str | Sequence[str] | None = None,
    holomorphic: bool = False,
) -> Any:
    """The Jacobian of a function, by forward mode where it has no more columns than rows, else by reverse mode.

    Where there are complex numbers, the mode is the one that they have.

    Takes and returns what ``jacfwd`` does.

    >>> import numpy as np
    >>> import tracegrad as tg
    >>> tg.jacobian(lambda x: np.stack([x[0] * x[1], x[1]]))(np.array([2.0, 3.0]))
    array([[3., 2.],
           [0., 1.]])
    """
    return _jacobian(fun, EITHER, argnums, argnames, has_aux, holomorphic)


def hessian(
    fun: Function,
    argnums: int | Sequence[int] | None = None,
    has_aux: bool = False,
    *,
    argnames: str | Sequence[str] | None = None,
) -> Any:
    """The second derivatives of a function with a scalar result, by forward over reverse mode.

    Takes what ``jacfwd`` does; the result has the structure of the argument twice, one within the other.

    >>> import numpy as np
    >>> import tracegrad as tg
    >>> tg.hessian(lambda x: x[0] ** 2 * x[1])(np.array([3.0, 5.0]))
    array([[10.,  6.],
           [ 6.,  0.]])
    """
    checked_function(fun, "hessian")
    selected: Any = checked_argnums(argnums, argnames, fun)
    return jacfwd(jacrev(fun, selected, has_aux), selected, has_aux)


def hvp(fun: Function, primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    """The product of a function's Hessian with a vector, without the Hessian: forward over reverse mode.

    Parameters
    ----------
    fun: a function with a scalar result.
    primals: a tuple or list of its arguments.
    tangents: one for each of them, of the same structure, shapes and dtypes.

    Returns the product, in the structure of the argument where there is one, in a tuple where there are several.

    >>> import numpy as np
    >>> import tracegrad as tg
    >>> tg.hvp(lambda x: np.sum(x**3), (np.array([1.0, 2.0]),), (np.array([1.0, 1.0]),))
    array([ 6., 12.])
    """
    checked_function(fun, "hvp")
    numbers = differentiated(primals)
    argnums = numbers[0] if len(numbers) == 1 else numbers or 0
    gradient = grad(fun, argnums) if current_recorder.get() else made_once(fun, (grad, argnums), lambda: grad(fun, argnums))
    return jvp(gradient, primals, tangents)[1]
