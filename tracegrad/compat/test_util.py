"""``check_grads``: derivatives of both modes and any order against differences, by autograd's signature."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

from tracegrad.compat.operators import make_jvp, unary_to_nary
from tracegrad.compat.spaces import vspace
from tracegrad.compat.tape import make_vjp

TOL = 1e-6
RTOL = 1e-6
EPS = 1e-6

Function = Callable[..., Any]


def scalar_close(a: Any, b: Any) -> bool:
    """Whether two numbers differ by less than 1e-6, or by less than that times their sum.

    >>> scalar_close(1.0, 1.0 + 1e-9)
    True
    """
    return bool(abs(a - b) < TOL or abs(a - b) / abs(a + b) < RTOL)


def make_numerical_jvp(f: Function, x: Any) -> Function:
    """The derivative of ``f`` at ``x`` in a direction, by a central difference of step 1e-6."""
    own, space = vspace(x), vspace(f(x))

    def jvp(v: Any) -> Any:
        ahead = f(own.add(x, own.scalar_mul(v, EPS / 2)))
        behind = f(own.add(x, own.scalar_mul(v, -EPS / 2)))
        return space.scalar_mul(space.add(ahead, space.scalar_mul(behind, -1.0)), 1.0 / EPS)

    return jvp


def check_vjp(f: Function, x: Any) -> None:
    """Raise AssertionError where the pullback of ``f`` at ``x`` is not the transpose of its differences."""
    vjp, y = make_vjp(f, x)
    own, space = vspace(x), vspace(y)
    v, w = own.randn(), space.randn()
    pulled = own.covector(vjp(space.covector(w)))
    assert vspace(pulled) == own, f"the cotangent {vspace(pulled)} of an argument {own}"
    exact = own.inner_prod(v, pulled)
    numeric = space.inner_prod(w, make_numerical_jvp(f, x)(v))
    assert scalar_close(numeric, exact), (
        f"Derivative (VJP) check of {getattr(f, '__name__', f)} failed with arg {x}:\nanalytic: {exact}\nnumeric:  {numeric}"
    )


def check_jvp(f: Function, x: Any) -> None:
    """Raise AssertionError where the tangents of ``f`` at ``x`` are not its differences."""
    v = vspace(x).randn()
    check_equivalent(make_jvp(f)(x)(v)[1], make_numerical_jvp(f, x)(v))


def check_equivalent(x: Any, y: Any) -> None:
    """Raise AssertionError where two values differ in shape, dtype or, along a random direction, in value."""
    space = vspace(x)
    assert space == vspace(y), f"VSpace mismatch:\nx: {space}\ny: {vspace(y)}"
    v = space.randn()
    assert scalar_close(space.inner_prod(x, v), space.inner_prod(y, v)), f"Value mismatch:\nx: {x}\ny: {y}"


@unary_to_nary
def check_grads(f: Function, x: Any, modes: Sequence[str] = ("fwd", "rev"), order: int = 2) -> None:
    """``check_grads(f, argnum, modes=("fwd", "rev"), order=2)(*args)`` raises AssertionError at a wrong derivative.

    >>> check_grads(lambda x: x**3)(2.0)
    """
    assert all(mode in ("fwd", "rev") for mode in modes), f"modes are 'fwd' and 'rev', not {modes}"
    if "fwd" in modes:
        check_jvp(f, x)
        if order > 1:
            pushed = _named(lambda x, v: make_jvp(f)(x)(v)[1], "jvp", f)
            check_grads(pushed, (0, 1), modes, order=order - 1)(x, vspace(x).randn())
    if "rev" in modes:
        check_vjp(f, x)
        if order > 1:
            pulled = _named(lambda x, v: make_vjp(f, x)[0](v), "vjp", f)
            check_grads(pulled, (0, 1), modes, order=order - 1)(x, vspace(f(x)).randn())


def _named(function: Function, mark: str, like: Function) -> Function:
    function.__name__ = f"{mark}_{getattr(like, '__name__', like)}"
    return function


def combo_check(fun: Function, *args: Any, **kwargs: Any) -> Function:
    """``check_grads(fun, *args, **kwargs)`` for all combinations of the arguments and named arguments then given.

    >>> combo_check(lambda x, y: x * y, (0, 1))([1.0, 2.0], [3.0])
    """
    check = check_grads(fun, *args, **kwargs)

    def combinations(*args: Any, **kwargs: Any) -> None:
        pairs = [[(name, value) for value in values] for name, values in kwargs.items()]
        for positional in product(*args):
            for named in product(*pairs):
                check(*positional, **dict(named))

    return combinations
