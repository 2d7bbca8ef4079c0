"""The transforms: derivatives of functions of any arguments, by name and signature those of HIPS autograd.

They agree with it on complex numbers too: the gradient of a real function of z = x + iy is ∂f/∂x − i ∂f/∂y, which is the
derivative where f is the real part of a holomorphic function.
"""

from __future__ import annotations

import inspect
import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np

from tracegrad.compat.calls import apply_function, gathered
from tracegrad.compat.extend import defvjp_argnum, primitive
from tracegrad.compat.spaces import VSpace, vspace
from tracegrad.compat.tape import make_vjp as _make_vjp
from tracegrad.core.source import user_frame
from tracegrad.errors import DifferentiationError
from tracegrad.ops import complexes, reductions, views

__all__ = [
    "checkpoint",
    "deriv",
    "elementwise_grad",
    "grad",
    "grad_and_aux",
    "grad_named",
    "hessian",
    "hessian_tensor_product",
    "hessian_vector_product",
    "holomorphic_grad",
    "jacobian",
    "make_ggnvp",
    "make_hvp",
    "make_jvp",
    "make_jvp_reversemode",
    "make_vjp",
    "multigrad",
    "multigrad_dict",
    "tensor_jacobian_product",
    "unary_to_nary",
    "value_and_grad",
    "value_and_multigrad",
    "vector_jacobian_product",
]

Function = Callable[..., Any]
Argnum = int | tuple[int, ...] | list[int]


def unary_to_nary(unary_operator: Function) -> Function:
    """An operator on functions of many arguments from one on functions of one.

    The result takes ``argnum``, a position or several, which are one argument then, a tuple.

    >>> twice = unary_to_nary(lambda fun, x: 2 * fun(x))
    >>> twice(lambda x, y: x - y, 1)(5.0, 3.0)
    4.0
    """

    @wraps(unary_operator)
    def nary_operator(fun: Function, argnum: Argnum = 0, *op_args: Any, **op_kwargs: Any) -> Function:
        _check_argnum(argnum)
        several = not isinstance(argnum, int)
        places: Sequence[int] = argnum if several else (argnum,)  # type: ignore[assignment]

        def nary_f(*args: Any, **kwargs: Any) -> Any:
            if any(not -len(args) <= k < len(args) for k in places):
                raise DifferentiationError(
                    f"the derivative is taken with respect to argument {argnum}, but {len(args)} are given by position",
                    fix=f"give argument {argnum} by its position, or name it with grad_named",
                    where=user_frame(),
                )

            def unary_f(x: Any) -> Any:
                changed = list(args)
                for k, value in zip(places, x if several else (x,), strict=True):
                    changed[k] = value
                return fun(*changed, **kwargs)

            _copy_name(unary_f, fun)
            x = tuple([args[k] for k in places]) if several else args[places[0]]
            return unary_operator(unary_f, x, *op_args, **op_kwargs)

        nary_f.__name__ = f"{_name_of(unary_operator)}_of_{_name_of(fun)}_wrt_argnum_{argnum}"
        nary_f.__doc__ = (
            f"{_name_of(unary_operator)} of function {_name_of(fun)} with respect to argument number {argnum}. Takes the "
            f"same arguments as {_name_of(fun)} but returns the {_name_of(unary_operator)}."
        )
        return nary_f

    return nary_operator


def _check_argnum(argnum: Any) -> None:
    if isinstance(argnum, bool) or not isinstance(argnum, (int, tuple, list)):
        raise DifferentiationError(
            f"argnum={argnum!r} is no position of an argument",
            fix="give an int, or a tuple of ints; a name goes to grad_named",
            where=user_frame(),
        )


def _name_of(fun: Any) -> str:
    return getattr(fun, "__name__", "[unknown name]")


def _copy_name(function: Any, like: Any) -> None:
    function.__name__ = _name_of(like)


def _scalar(space: VSpace, ans: Any, who: str, others: str) -> None:
    if space.size != 1:
        raise DifferentiationError(
            f"{who} only applies to real scalar-output functions. Try {others}. The output is {space!r}",
            fix="reduce it to one number, for example np.sum(...), inside the function",
            where=user_frame(),
        )


@unary_to_nary
def make_vjp(fun: Function, x: Any) -> Any:
    """``make_vjp(fun, argnum=0)(*args)`` gives ``vjp, value``: the pullback of cotangents at these arguments.

    >>> vjp, value = make_vjp(lambda x: x * x)(np.array([1.0, 2.0]))
    >>> vjp(np.array([1.0, 10.0])), value
    (array([ 2., 40.]), array([1., 4.]))
    """
    return _make_vjp(fun, x)


@unary_to_nary
def make_jvp(fun: Function, x: Any) -> Any:
    """``make_jvp(fun, argnum=0)(*args)`` gives ``jvp``: ``jvp(v)`` is the value and its derivative in direction ``v``.

    The pullback is linear in its cotangent, and its transpose is the derivative; the function itself runs once.

    >>> make_jvp(lambda x: x * x)(np.array([1.0, 2.0]))(np.array([1.0, 0.0]))
    (array([1., 4.]), array([2., 0.]))
    """
    vjp, ans = _make_vjp(fun, x)
    push, _ = _quietly(vjp, vspace(ans).zeros())
    return lambda v: (ans, push(v))


@unary_to_nary
def make_jvp_reversemode(fun: Function, x: Any) -> Any:
    """``make_jvp`` without the value: ``make_jvp_reversemode(fun)(x)(v)`` is the derivative in direction ``v``."""
    vjp, ans = _make_vjp(fun, x)
    return _quietly(vjp, vspace(ans).zeros())[0]


def _quietly(fun: Function, x: Any) -> tuple[Function, Any]:
    """``make_vjp`` of a pullback, which may be zero whatever the cotangent is."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Output seems independent of input", UserWarning)
        return _make_vjp(fun, x)


@unary_to_nary
def grad(fun: Function, x: Any) -> Any:
    """``grad(fun, argnum=0)`` is the function that gives the gradient of ``fun``, which gives one real number.

    It takes the arguments of ``fun``; the gradient has the structure of argument ``argnum``, which is a position or a tuple
    of positions, and may be an array, a number, or any nesting of lists, tuples and dicts of them.

    Raises DifferentiationError, a TypeError, for integers and for results that are not one real number.

    >>> grad(lambda x: x**3)(2.0)
    np.float64(12.0)
    >>> grad(lambda p: p["a"] * p["b"] ** 2)({"a": 2.0, "b": 3.0})
    {'a': np.float64(9.0), 'b': np.float64(12.0)}
    """
    vjp, ans = _make_vjp(fun, x)
    space = vspace(ans)
    _scalar(space, ans, "Grad", "jacobian, elementwise_grad or holomorphic_grad")
    return vjp(space.ones())


@unary_to_nary
def value_and_grad(fun: Function, x: Any) -> Any:
    """``value_and_grad(fun, argnum=0)`` gives value and gradient, as scipy.optimize wants them with ``jac=True``.

    >>> value_and_grad(lambda x: x**3)(2.0)
    (np.float64(8.0), np.float64(12.0))
    """
    vjp, ans = _make_vjp(fun, x)
    space = vspace(ans)
    _scalar(space, ans, "value_and_grad", "jacobian, elementwise_grad or holomorphic_grad")
    return ans, vjp(space.ones())


@unary_to_nary
def elementwise_grad(fun: Function, x: Any) -> Any:
    """``elementwise_grad(fun, argnum=0)`` gives the sums of the Jacobian's columns: its diagonal if it is diagonal.

    >>> elementwise_grad(lambda x: x**3)(np.array([1.0, 2.0]))
    array([ 3., 12.])
    """
    vjp, ans = _make_vjp(fun, x)
    space = vspace(ans)
    if space.iscomplex:
        raise DifferentiationError(
            "Elementwise_grad only applies to real-output functions.",
            fix="take the real part inside the function, or use holomorphic_grad",
            where=user_frame(),
        )
    return vjp(space.ones())


@unary_to_nary
def deriv(fun: Function, x: Any) -> Any:
    """``deriv(fun, argnum=0)`` gives the derivative in the direction of ones: that of a function of one number.

    >>> deriv(lambda t: t**2)(3.0)
    np.float64(6.0)
    """
    return make_jvp(fun)(x)(vspace(x).ones())[1]


@unary_to_nary
def jacobian(fun: Function, x: Any) -> Any:
    """``jacobian(fun, argnum=0)`` gives the Jacobian, of the shape of the result followed by that of the argument.

    Raises DifferentiationError where the argument or the result is no array, or the result is complex.

    >>> jacobian(lambda x: x[0] * x)(np.array([2.0, 3.0]))
    array([[4., 0.],
           [3., 2.]])
    """
    vjp, ans = _make_vjp(fun, x)
    space, own = vspace(ans), vspace(x)
    if space.structure.spec is not ... or own.structure.spec is not ... or space.iscomplex:
        raise DifferentiationError(
            f"jacobian applies to real arrays as functions of an array, not to {space!r} as a function of {own!r}",
            fix="flatten containers (misc.flatten), take np.real and np.imag of complex results apart",
            where=user_frame(),
        )
    if not space.size:
        return np.zeros((*space.shape, *own.shape), own.dtype)
    rows = [vjp(unit) for unit in space.standard_basis()]
    return views.reshape(views.stack([gathered(row) for row in rows]), (*space.shape, *own.shape))


@unary_to_nary
def holomorphic_grad(fun: Function, x: Any) -> Any:
    """``holomorphic_grad(fun, argnum=0)`` gives the complex derivative of a holomorphic function.

    >>> holomorphic_grad(lambda z: z * z)(1 + 2j)
    np.complex128(2+4j)
    """
    if not vspace(x).iscomplex:
        warnings.warn("Input to holomorphic_grad is not complex", stacklevel=2)

    def real_part(z: Any) -> Any:
        out = fun(z)
        return complexes.real(out) if np.iscomplexobj(out) else out

    return grad(real_part)(x)


def grad_named(fun: Function, argname: str) -> Function:
    """``grad`` with respect to the argument of this name.

    >>> grad_named(lambda x, scale: scale * x, "scale")(3.0, 2.0)
    np.float64(3.0)
    """
    names = list(inspect.signature(fun).parameters)
    if argname not in names:
        raise DifferentiationError(
            f"{_name_of(fun)} has no argument {argname!r}, only {', '.join(names)}", fix="name one of them", where=user_frame()
        )
    return grad(fun, names.index(argname))  # type: ignore[no-any-return]


@unary_to_nary
def hessian(fun: Function, x: Any) -> Any:
    """``hessian(fun, argnum=0)`` gives the second derivatives, the Jacobian of the Jacobian.

    >>> hessian(lambda x: x[0] ** 2 * x[1])(np.array([1.0, 2.0]))
    array([[4., 2.],
           [2., 0.]])
    """
    return jacobian(jacobian(fun))(x)


@unary_to_nary
def make_hvp(fun: Function, x: Any) -> Any:
    """``make_hvp(fun, argnum=0)(*args)`` gives ``hvp, gradient``: products of the Hessian here with any vectors.

    >>> hvp, gradient = make_hvp(lambda x: x[0] ** 2 * x[1])(np.array([1.0, 2.0]))
    >>> hvp(np.array([1.0, 0.0])), gradient
    (array([4., 2.]), array([4., 1.]))
    """
    return _make_vjp(grad(fun), x)


def hessian_tensor_product(fun: Function, argnum: int = 0) -> Function:
    """The function of ``(*args, tensor, **kwargs)`` that gives the Hessian times the tensor.

    >>> hessian_tensor_product(lambda x: x[0] ** 2 * x[1])(np.array([1.0, 2.0]), np.array([1.0, 0.0]))
    array([4., 2.])
    """
    fun_grad = grad(fun, argnum)

    def vector_dot_grad(*args: Any, **kwargs: Any) -> Any:
        args, vector = args[:-1], args[-1]
        return apply(np.tensordot, fun_grad(*args, **kwargs), vector, np.ndim(vector))

    return grad(vector_dot_grad, argnum)  # type: ignore[no-any-return]


hessian_vector_product = hessian_tensor_product


def tensor_jacobian_product(fun: Function, argnum: int = 0) -> Function:
    """The function of ``(*args, tensor, **kwargs)`` that gives the tensor times the Jacobian.

    >>> tensor_jacobian_product(lambda x: x**2)(np.array([1.0, 2.0]), np.array([1.0, 1.0]))
    array([2., 4.])
    """

    def vector_dot_fun(*args: Any, **kwargs: Any) -> Any:
        args, vector = args[:-1], args[-1]
        return apply(np.tensordot, vector, fun(*args, **kwargs), np.ndim(vector))

    return jacobian(vector_dot_fun, argnum)  # type: ignore[no-any-return]


vector_jacobian_product = tensor_jacobian_product


def apply(function: Function, *args: Any) -> Any:
    """A function of NumPy on values of which some may be boxes."""
    return apply_function(function, args, {})


def _half_square(x: Any) -> Any:
    return 0.5 * reductions.sum(x * x, -1)


def make_ggnvp(f: Function, g: Function = _half_square, f_argnum: int = 0) -> Function:
    """Products with the generalised Gauss-Newton matrix of ``g(f(x))``: J^T H J with the Hessian H of ``g`` at ``f(x)``.

    ``make_ggnvp(f, g)(*args)`` gives the function of a vector; ``g`` is half the sum of squares unless it is given.

    >>> make_ggnvp(lambda x: x * x)(np.array([1.0, 2.0]))(np.array([1.0, 1.0]))
    array([ 4., 16.])
    """

    def make(fun: Function, x: Any) -> Any:
        f_vjp, f_x = _make_vjp(fun, x)
        g_hvp, grad_g = _make_vjp(grad(g), f_x)
        f_jvp, _ = _quietly(f_vjp, vspace(grad_g).zeros())
        return lambda v: f_vjp(g_hvp(f_jvp(v)))

    return unary_to_nary(make)(f, f_argnum)  # type: ignore[no-any-return]


@unary_to_nary
def grad_and_aux(fun: Function, x: Any) -> Any:
    """The gradient of the first of two results, and the second as it is.

    >>> grad_and_aux(lambda x: (x**2, x + 1))(3.0)
    (np.float64(6.0), np.float64(4.0))
    """
    vjp, (ans, aux) = _make_vjp(lambda x: tuple(fun(x)), x)
    return vjp((vspace(ans).ones(), vspace(aux).zeros())), aux


def multigrad(fun: Function, argnums: Sequence[int] = (0,)) -> Function:
    """The gradients with respect to several arguments, as a tuple.

    >>> multigrad(lambda x, y: x * y, [0, 1])(2.0, 3.0)
    (np.float64(3.0), np.float64(2.0))
    """
    return grad(fun, tuple(argnums))  # type: ignore[no-any-return]


def value_and_multigrad(fun: Function, argnums: Sequence[int] = (0,)) -> Function:
    """The value, and the gradients with respect to several arguments as a tuple."""
    return value_and_grad(fun, tuple(argnums))  # type: ignore[no-any-return]


def multigrad_dict(fun: Function) -> Function:
    """The gradients with respect to all arguments, as an ordered dict by their names.

    >>> gradients = multigrad_dict(lambda x, y=2.0: x * y)(3.0)
    >>> list(gradients), gradients["y"]
    (['x', 'y'], np.float64(3.0))
    """
    signature = inspect.signature(fun)

    @wraps(fun)
    def gradients(*args: Any, **kwargs: Any) -> OrderedDict[str, Any]:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()

        def of_all(arguments: dict[str, Any]) -> Any:
            call = inspect.BoundArguments(signature, OrderedDict(arguments))
            return fun(*call.args, **call.kwargs)

        found = grad(of_all)(dict(bound.arguments))
        return OrderedDict((name, found[name]) for name in bound.arguments)

    return gradients


def checkpoint(fun: Function) -> Function:
    """The function with nothing kept of what it computes: a backward computes it again.

    >>> grad(checkpoint(lambda x: x**3))(2.0)
    np.float64(12.0)
    """

    def again(argnum: int, ans: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        def vjp(g: Any) -> Any:
            return make_vjp(fun, argnum)(*args, **kwargs)[0](g)

        return vjp

    wrapped: Function = primitive(fun)
    defvjp_argnum(wrapped, again)
    return wrapped
