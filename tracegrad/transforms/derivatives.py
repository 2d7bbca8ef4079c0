"""grad, value_and_grad, elementwise_grad; vjp, jvp and linearize: first derivatives, which may be taken of each other."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tracegrad.autodiff.argnums import Argnums, checked_argnums, gathered, name_of, parameter_name
from tracegrad.autodiff.inside import (
    Leaves,
    Transform,
    check_real,
    fitting,
    gradient_transform,
    leaves_of,
    pulled_back,
    pushed_forward,
    with_variables,
    without_aux,
)
from tracegrad.calls import Family
from tracegrad.compiled import Compiled
from tracegrad.core.source import check_plain, user_frame
from tracegrad.core.tree import flatten
from tracegrad.errors import DifferentiationError, TracegradError
from tracegrad.ops.maps import stop_gradient as stop
from tracegrad.symbolic import Recorder, current_recorder
from tracegrad.trace.draws import is_generator
from tracegrad.transforms.maps import LinearMap, as_one_node, is_taped, linearised, map_inside, options_of
from tracegrad.wants import VALUE

Function = Callable[..., Any]


def checked_function(function: Any, transform: str) -> Function:
    """The function that a transform is given, or TracegradError."""
    if not callable(function):
        raise TracegradError(
            f"tg.{transform} was given {type(function).__name__!r}, which is no function",
            fix=f"pass the function itself: tg.{transform}(f)",
            where=user_frame(),
        )
    made: Function = function
    check_plain(made)
    return made


def callable_of(transform: Transform, function: Function) -> Any:
    """A transform as what a person calls: compiled as its function is, or a part of the trace that is running."""
    if current_recorder.get() is not None:
        return transform
    return Compiled(Family(transform, options_of(function)), VALUE)


# -- gradients ---------------------------------------------------------------------------------------------------------


def grad(
    fun: Function,
    argnums: int | Sequence[int] | None = None,
    has_aux: bool = False,
    *,
    argnames: str | Sequence[str] | None = None,
    holomorphic: bool = False,
) -> Any:
    """The gradient of a function with a scalar result.

    Parameters
    ----------
    fun: a function of pytrees of arrays and numbers; a compiled one gives a compiled gradient, any other one that runs on
        the interpreter (``tg.jit`` around it compiles).
    argnums: position of the argument to differentiate with respect to, or several; the first where none is named.
    has_aux: whether ``fun`` returns ``(value, aux)``; the result is then ``(gradient, aux)``.
    argnames: name of the argument, or several, however the call passes them.
    holomorphic: whether ``fun`` is a holomorphic function from complex to complex numbers, of which the result is f′(z).

    The gradient of a real result with respect to a complex z = x + iy is ∂f/∂x − i·∂f/∂y, as JAX and HIPS autograd have it
    (PyTorch has its conjugate): f falls fastest along ``-np.conj(gradient)``.

    Returns a function of the same arguments, whose result has the structure, shapes and dtypes of the argument that is
    named; for several it is a tuple with one part for each of ``argnums``, or a dict with one for each of ``argnames``, and
    the pair of what belongs to ``argnums`` and to ``argnames`` where both are given. Its calls raise DifferentiationError for
    a result that is no float scalar and for integer arguments, TraceError where the code cannot become a static graph.

    >>> import tracegrad as tg
    >>> cube = lambda x: x**3
    >>> tg.grad(cube)(2.0), tg.grad(tg.grad(cube))(2.0), tg.grad(tg.grad(tg.grad(cube)))(2.0)
    (np.float64(12.0), np.float64(12.0), np.float64(6.0))
    >>> area = lambda width, height: width * height
    >>> tg.grad(area, argnames="height")(2.0, height=3.0), tg.grad(area, argnames=("width", "height"))(2.0, 3.0)
    (np.float64(2.0), {'height': np.float64(2.0), 'width': np.float64(3.0)})
    >>> tg.grad(lambda z: z.real**2 * z.imag)(2 + 3j), tg.grad(lambda z: z**2, holomorphic=True)(3 + 4j)
    (np.complex128(12-4j), np.complex128(6+8j))
    """
    return _gradient(fun, argnums, argnames, has_aux, keep_value=False, holomorphic=holomorphic)


def value_and_grad(
    fun: Function,
    argnums: int | Sequence[int] | None = None,
    has_aux: bool = False,
    *,
    argnames: str | Sequence[str] | None = None,
    holomorphic: bool = False,
) -> Any:
    """Value and gradient of a function with a scalar result, from one program.

    Takes what ``grad`` takes. Returns a function of the same arguments that gives ``(value, gradient)``, or
    ``((value, aux), gradient)`` with ``has_aux``, and raises what that of ``grad`` raises.

    >>> import numpy as np
    >>> import tracegrad as tg
    >>> tg.value_and_grad(lambda x: np.sum(x**2))(np.array([1.0, 2.0]))
    (np.float64(5.0), array([2., 4.]))
    """
    return _gradient(fun, argnums, argnames, has_aux, keep_value=True, holomorphic=holomorphic)


def _gradient(fun: Function, argnums: Any, argnames: Any, has_aux: bool, keep_value: bool, holomorphic: bool) -> Any:
    checked_function(fun, "value_and_grad" if keep_value else "grad")
    numbers = checked_argnums(argnums, argnames, fun)
    return callable_of(gradient_transform(fun, numbers, has_aux, keep_value, holomorphic), fun)


def elementwise_grad(
    fun: Function, argnums: int | Sequence[int] | None = None, *, argnames: str | Sequence[str] | None = None
) -> Any:
    """The derivatives of a function whose every result depends on its own element of the argument alone.

    It is the gradient of the sum of the results, whatever their shape. Takes ``fun``, ``argnums`` and ``argnames`` as ``grad``
    does.

    >>> import numpy as np
    >>> import tracegrad as tg
    >>> tg.elementwise_grad(np.sin)(np.array([0.0, np.pi]))
    array([ 1., -1.])
    """
    checked_function(fun, "elementwise_grad")
    rule = functools.partial(_elementwise_rule, argnums=checked_argnums(argnums, argnames, fun))
    return callable_of(Transform({"function": fun}, rule, "elementwise_grad"), fun)


def _elementwise_rule(
    recorder: Recorder, parts: Mapping[str, Function], args: Sequence[Any], kwargs: Mapping[str, Any], *, argnums: Argnums
) -> Any:
    function = parts["function"]
    result, variables = with_variables(recorder, function, args, kwargs, argnums)
    outputs = leaves_of(recorder, result, f"the result of {name_of(function)}")
    check_outputs(outputs, function)
    for k, aval in zip(outputs.ids, outputs.avals, strict=True):
        check_real(recorder.graph[k].where, name_of(function), aval)
    ones = [recorder.operand(np.broadcast_to(np.ones((), aval.dtype), aval.shape)).id for aval in outputs.avals]
    return gathered(argnums, pulled_back(recorder, variables, list(zip(outputs.ids, ones, strict=True))))


def check_outputs(outputs: Leaves, function: Function) -> None:
    """Raise DifferentiationError where a result has no values, or some that carry no derivative."""
    if not outputs.ids:
        raise DifferentiationError(
            f"{name_of(function)} returns no values to differentiate", fix="return the result", where=user_frame()
        )
    for path, aval in zip(outputs.paths, outputs.avals, strict=True):
        if not aval.differentiable:
            raise DifferentiationError(
                f"{path} is {aval.dtype}, which has no derivative",
                fix="compute it in floating point, or return it as aux with has_aux=True",
                where=user_frame(),
            )


# -- tangents and cotangents --------------------------------------------------------------------------------------------


def vjp(fun: Function, *primals: Any, has_aux: bool = False) -> Any:
    """The value of a function, and the function that pulls a cotangent of it back.

    Parameters
    ----------
    fun: a function of pytrees of arrays and numbers.
    primals: its arguments; all of them but Generators are differentiated.
    has_aux: whether ``fun`` returns ``(value, aux)``.

    Returns ``(value, pullback)``, or ``(value, pullback, aux)``. ``pullback`` takes a cotangent, of the value's structure,
    shapes and dtypes, and gives a tuple with one cotangent for each of ``primals``, None for a Generator. It may be called
    any number of times. It raises TreeError, ShapeError or DtypeError for a cotangent that does not fit.

    >>> import numpy as np
    >>> import tracegrad as tg
    >>> value, pullback = tg.vjp(lambda x, y: x * y, np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    >>> value, pullback(np.ones(2))
    (array([3., 8.]), (array([3., 4.]), array([1., 2.])))
    """
    if _taped(checked_function(fun, "vjp"), primals):
        found = as_one_node(fun, "vjp", functools.partial(_value_rule, has_aux=has_aux))(*primals)
        pull = as_one_node(fun, "pullback", functools.partial(_pullback_rule, has_aux=has_aux))
        return _with_derivative(found, has_aux, lambda *cotangents: pull(primals, _one_cotangent(fun, cotangents)))
    result, variables, outputs, aux, derivative = _at(fun, primals, has_aux, forward=False)
    of = f"the result of {name_of(fun)}"

    def pullback(*cotangents: Any) -> Any:
        cotangent = _one_cotangent(fun, cotangents)
        values = iter(derivative(fitting(cotangent, outputs, "the cotangent", of)))
        parts = iter([leaves.structure.unflatten([next(values) for _ in leaves.ids]) for leaves in variables])
        return tuple([None if is_generator(primal) else next(parts) for primal in primals])

    return (result, pullback, aux) if has_aux else (result, pullback)


def linearize(fun: Function, *primals: Any, has_aux: bool = False) -> Any:
    """The value of a function, and its derivative there as a function of tangents.

    Takes what ``vjp`` takes. Returns ``(value, push)``, or ``(value, push, aux)``. ``push`` takes one tangent for each of
    ``primals``, of its structure, shapes and dtypes, and gives the tangent of the value; what depends on the primals alone
    is computed once.

    >>> import numpy as np
    >>> import tracegrad as tg
    >>> value, push = tg.linearize(np.sin, 0.0)
    >>> value, push(2.0)
    (np.float64(0.0), np.float64(2.0))
    """
    if _taped(checked_function(fun, "linearize"), primals):
        found = as_one_node(fun, "vjp", functools.partial(_value_rule, has_aux=has_aux))(*primals)
        pushed = as_one_node(fun, "jvp", functools.partial(_push_rule, has_aux=has_aux))
        return _with_derivative(found, has_aux, lambda *tangents: pushed(primals, tangents)[1])
    result, variables, outputs, aux, derivative = _at(fun, primals, has_aux, forward=True)

    def push(*tangents: Any) -> Any:
        return outputs.structure.unflatten(derivative(_fitting_all(fun, primals, tangents, variables)))

    return (result, push, aux) if has_aux else (result, push)


def jvp(fun: Function, primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False) -> Any:
    """The value of a function, and the tangent of the value for tangents of its arguments.

    Parameters
    ----------
    fun: a function of pytrees of arrays and numbers.
    primals: a tuple or list of its arguments.
    tangents: one for each of them, of the same structure, shapes and dtypes.
    has_aux: whether ``fun`` returns ``(value, aux)``.

    Returns ``(value, tangent)``, or ``(value, tangent, aux)``; the tangent of an integer result is 0. Raises TreeError,
    ShapeError or DtypeError for tangents that do not fit, DifferentiationError for integer arguments.

    >>> import numpy as np
    >>> import tracegrad as tg
    >>> tg.jvp(lambda x, y: x * y, (2.0, 3.0), (1.0, 10.0))
    (np.float64(6.0), np.float64(23.0))
    """
    checked_function(fun, "jvp")
    for name, given in (("primals", primals), ("tangents", tangents)):
        if not isinstance(given, (tuple, list)):
            raise TracegradError(
                f"{name} of tg.jvp is of type {type(given).__name__}, not a tuple of arguments",
                fix=f"write tg.jvp(f, (x,), (v,)), with {name} in a tuple even if there is one",
                where=user_frame(),
            )
    recorder = current_recorder.get()
    if recorder is None and is_taped((primals, tangents)):
        return as_one_node(fun, "jvp", functools.partial(_push_rule, has_aux=has_aux))(primals, tangents)
    if recorder is None:
        result, variables, outputs, aux, derivative = _at(fun, primals, has_aux, forward=True)
        tangent = outputs.structure.unflatten(derivative(_fitting_all(fun, primals, tangents, variables)))
    else:
        result, inside, outputs, aux = _inside(recorder, fun, primals, has_aux)
        values = [recorder.operand(t).id for t in _fitting_all(fun, primals, tangents, inside)]
        wrt = [i for leaves in inside for i in leaves.ids]
        tangent = pushed_forward(recorder, dict(zip(wrt, values, strict=True)), outputs)
    return (result, tangent, aux) if has_aux else (result, tangent)


def _one_cotangent(fun: Function, cotangents: Sequence[Any]) -> Any:
    if len(cotangents) != 1:
        raise DifferentiationError(
            f"the pullback of {name_of(fun)} was given {len(cotangents)} cotangents, and takes one",
            fix="give one value with the structure of the result: several results are one tuple",
            where=user_frame(),
        )
    return cotangents[0]


def _taped(fun: Function, primals: Sequence[Any]) -> bool:
    _check_primals(fun, primals)
    return current_recorder.get() is None and is_taped(primals)


def _with_derivative(found: Any, has_aux: bool, derivative: Function) -> Any:
    return (found[0], derivative, found[1]) if has_aux else (found, derivative)


def _value_rule(recorder: Recorder, parts: Mapping[str, Function], args: Any, kwargs: Any, *, has_aux: bool) -> Any:
    value, aux = without_aux(parts["function"](*args), parts["function"], has_aux)
    return (value, aux) if has_aux else value


def _pullback_rule(recorder: Recorder, parts: Mapping[str, Function], args: Any, kwargs: Any, *, has_aux: bool) -> Any:
    primals, cotangent = args
    return vjp(parts["function"], *primals, has_aux=has_aux)[1](cotangent)


def _push_rule(recorder: Recorder, parts: Mapping[str, Function], args: Any, kwargs: Any, *, has_aux: bool) -> Any:
    primals, tangents = args
    return jvp(parts["function"], primals, tangents, has_aux=has_aux)


def _fitting_all(fun: Function, primals: Sequence[Any], tangents: Sequence[Any], variables: Sequence[Leaves]) -> list[Any]:
    if len(tangents) != len(primals):
        raise DifferentiationError(
            f"{len(tangents)} tangents for {len(primals)} arguments of {name_of(fun)}",
            fix="give one tangent for each argument",
            where=user_frame(),
        )
    parts = []
    for k, leaves in zip(differentiated(primals), variables, strict=True):
        parts += fitting(tangents[k], leaves, f"the tangent of {parameter_name(fun, k)}", parameter_name(fun, k))
    return parts


def differentiated(primals: Sequence[Any]) -> tuple[int, ...]:
    """Positions of the arguments that a derivative is taken with respect to: all but generators, which are drawn from."""
    return tuple([k for k, primal in enumerate(primals) if not is_generator(primal)])


def _at(
    fun: Function, primals: Sequence[Any], has_aux: bool, forward: bool
) -> tuple[Any, Sequence[Leaves], Leaves, Any, LinearMap]:
    """A function at primals: its result, the leaves of these and of it, what comes along, and its derivative."""
    recorder = current_recorder.get()
    if recorder is not None:
        result, variables, outputs, aux = _inside(recorder, fun, primals, has_aux)
        return result, variables, outputs, aux, map_inside(recorder, variables, outputs, forward)
    _check_primals(fun, primals)
    point = linearised(fun, differentiated(primals), has_aux).at(primals, {}, forward)
    return point.result, point.variables, point.outputs, point.aux, point.derivative


def _inside(recorder: Recorder, fun: Function, primals: Sequence[Any], has_aux: bool) -> tuple[Any, list[Leaves], Leaves, Any]:
    _check_primals(fun, primals)
    found, variables = with_variables(recorder, fun, primals, {}, differentiated(primals))
    value, aux = without_aux(found, fun, has_aux)
    outputs = leaves_of(recorder, value, f"the result of {name_of(fun)}")
    return outputs.unflatten(recorder, outputs.ids), variables, outputs, aux


def _check_primals(fun: Function, primals: Sequence[Any]) -> None:
    if not differentiated(primals):
        raise DifferentiationError(
            f"{name_of(fun)} was given no arguments to differentiate with respect to",
            fix="pass its arguments behind it",
            where=user_frame(),
        )


def stop_gradient(x: Any) -> Any:
    """The value itself, which derivatives take for a constant.

    Parameters
    ----------
    x: a pytree of arrays and numbers.

    >>> import tracegrad as tg
    >>> tg.grad(lambda x: x * tg.stop_gradient(x))(3.0)
    np.float64(3.0)
    """
    leaves, structure = flatten(x)
    return structure.unflatten([stop(leaf) if hasattr(leaf, "dtype") else leaf for leaf in leaves])
