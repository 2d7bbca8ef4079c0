"""The decorators: jit, and grad_compile for functions with their gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar, overload

from tracegrad.autodiff.argnums import Selected, checked_argnums
from tracegrad.calls import Family, Options, checked_budget
from tracegrad.compiled import Compiled, GradCompiled
from tracegrad.core.source import check_plain, user_frame
from tracegrad.errors import TracegradError
from tracegrad.wants import VALUE

P = ParamSpec("P")
R = TypeVar("R")


def _options(
    argnums: Any,
    static_argnames: str | Sequence[str],
    mode: str,
    memory_budget: Any = None,
    threads: Any = None,
    argnames: Any = None,
) -> Options:
    if mode not in ("now", "background", "never"):
        raise TracegradError(
            f"compile={mode!r} is not a mode", fix='use compile="now", "background" or "never"', where=user_frame()
        )
    numbers = checked_argnums(argnums, argnames)
    names = (static_argnames,) if isinstance(static_argnames, str) else tuple(static_argnames)
    if threads is not None and (not isinstance(threads, int) or isinstance(threads, bool) or threads < 1):
        raise TracegradError(
            f"threads={threads!r} is no number of threads", fix="give an int of at least 1, or None for all", where=user_frame()
        )
    return Options(numbers, names, mode, checked_budget(memory_budget), threads)


def _family(function: Callable[..., Any], options: Options) -> Family:
    """What a decorator makes of a function; TracegradError where it is none, or lacks an argument that is named."""
    if not callable(function):
        raise TracegradError(
            f"an object of type {type(function).__name__} is no function", fix="pass a function", where=user_frame()
        )
    check_plain(function)
    if hasattr(function, "named_modules") and hasattr(function, "named_parameters"):
        raise TracegradError(
            f"{type(function).__name__} is a module, whose code is written for tensors",
            fix="compile it with tg.compile(module)",
            where=user_frame(),
        )
    family = Family(function, options)
    if isinstance(options.argnums, Selected):
        checked_argnums(None, options.argnums.names, function)
    unknown = [name for name in options.static_argnames if not family.takes(name)]
    if unknown:
        raise TracegradError(
            f"static_argnames names {unknown[0]!r}, which is no argument of {family.name}",
            fix=f"name one of {', '.join(family.parameters)}",
            where=user_frame(),
        )
    return family


@overload
def grad_compile(function: Callable[P, R], /) -> GradCompiled[P, R]: ...
@overload
def grad_compile(
    *,
    argnums: int | Sequence[int] | None = None,
    argnames: str | Sequence[str] | None = None,
    static_argnames: str | Sequence[str] = (),
    compile: str = "now",
    memory_budget: int | float | None = None,
    threads: int | None = None,
) -> Callable[[Callable[P, R]], GradCompiled[P, R]]: ...


def grad_compile(
    function: Callable[P, R] | None = None,
    /,
    *,
    argnums: int | Sequence[int] | None = None,
    argnames: str | Sequence[str] | None = None,
    static_argnames: str | Sequence[str] = (),
    compile: str = "now",  # noqa: A002 - the word users know; the builtin is not used here
    memory_budget: int | float | None = None,
    threads: int | None = None,
) -> GradCompiled[P, R] | Callable[[Callable[P, R]], GradCompiled[P, R]]:
    """Compile a function of NumPy arrays together with its gradient.

    Parameters
    ----------
    function: a function that returns a scalar loss; its arguments may be pytrees of arrays and numbers.
    argnums, argnames: position or name of the argument to differentiate with respect to, or several; the first where neither
        is given. Gradients are structured as by ``tg.grad``.
    static_argnames: arguments that are part of the key rather than traced.
    compile: ``"now"``; ``"background"`` to answer from the interpreter until a thread has compiled the kernels, whose results
        may differ by a few units in the last place; or ``"never"`` to run the graph on the interpreter.
    memory_budget: for the values that are kept between kernels, in bytes as an int, or as a float the fraction of what
        keeping everything takes. What does not fit is computed again where it is needed. A fraction is met as nearly as
        that can; 0.0 takes as little memory as possible. A budget in bytes that cannot be met raises CompileError.
    threads: how many threads its kernels may use at most; None for as many as ``tg.set_num_threads`` allows. Inside of
        another compiled function that one's bound holds.

    Returns the compiled function, with ``.grad``, ``.value_and_grad``, ``.graph``, ``.source``, ``.explain``, ``.memory_plan``,
    ``.stats`` and ``.py_func``. Calls raise TraceError where the code cannot become a static graph, and DifferentiationError
    where there is no gradient.

    >>> import numpy as np
    >>> import tracegrad as tg
    >>> @tg.grad_compile
    ... def loss(w, x):
    ...     return np.sum(np.tanh(x @ w) ** 2)
    >>> value, gradient = loss.value_and_grad(np.zeros(3), np.ones((2, 3)))
    >>> gradient
    array([0., 0., 0.])
    """
    options = _options(argnums, static_argnames, compile, memory_budget, threads, argnames)
    if function is None:
        return lambda f: GradCompiled(_family(f, options), VALUE)
    return GradCompiled(_family(function, options), VALUE)


@overload
def jit(function: Callable[P, R], /) -> Compiled[P, R]: ...
@overload
def jit(
    *, static_argnames: str | Sequence[str] = (), compile: str = "now", threads: int | None = None
) -> Callable[[Callable[P, R]], Compiled[P, R]]: ...


def jit(
    function: Callable[P, R] | None = None,
    /,
    *,
    static_argnames: str | Sequence[str] = (),
    compile: str = "now",  # noqa: A002 - the word users know; the builtin is not used here
    threads: int | None = None,
) -> Compiled[P, R] | Callable[[Callable[P, R]], Compiled[P, R]]:
    """Compile a function of NumPy arrays, without derivatives.

    Parameters
    ----------
    function: a function of pytrees of arrays and numbers; its result may be any pytree of arrays.
    static_argnames: arguments that are part of the key rather than traced.
    compile: ``"now"``; ``"background"`` to answer from the interpreter until a thread has compiled the kernels, whose results
        may differ by a few units in the last place; or ``"never"`` to run the graph on the interpreter.
    threads: how many threads its kernels may use at most; None for as many as ``tg.set_num_threads`` allows. Inside of
        another compiled function that one's bound holds.

    Returns the compiled function, which gives fresh arrays, and NumPy scalars for 0-d results. Calls raise TraceError where
    the code cannot become a static graph.

    >>> import numpy as np
    >>> import tracegrad as tg
    >>> tg.jit(lambda x: {"twice": 2 * x, "sum": np.sum(x)})(np.arange(3.0))
    {'twice': array([0., 2., 4.]), 'sum': np.float64(3.0)}
    """
    options = _options(0, static_argnames, compile, threads=threads)
    if function is None:
        return lambda f: Compiled(_family(f, options), VALUE)
    return Compiled(_family(function, options), VALUE)
