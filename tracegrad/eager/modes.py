"""Whether operations are recorded: per thread and asynchronous task; a context manager, decorator or plain call."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextvars import ContextVar
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

recording: ContextVar[bool] = ContextVar("recording", default=True)
"""The mode itself; a new thread starts with recording on, an asynchronous task with the mode of its creator."""

inferring: ContextVar[bool] = ContextVar("inferring", default=False)
"""Whether new tensors are inference tensors, which no record may keep; recording is off then."""


def is_grad_enabled() -> bool:
    """Whether operations on tensors that require grad are recorded now.

    >>> is_grad_enabled()
    True
    """
    return recording.get()


class _Mode:
    """A mode for the length of a ``with`` block or of each call of a decorated function."""

    def __init__(self, mode: bool) -> None:
        self._mode = mode
        # a stack, because one object may be entered again inside its own block
        self._outer: list[bool] = []

    def __enter__(self) -> Self:
        self._outer.append(recording.get())
        recording.set(self._mode)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        recording.set(self._outer.pop())

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        return _decorated(function, self._mode)


def _decorated(function: Callable[P, R], mode: bool) -> Callable[P, R]:
    return _within(function, lambda: _Mode(mode))


def _within(function: Callable[P, R], mode: Callable[[], Any]) -> Callable[P, R]:
    """The function with each call, or each step of a generator, inside a mode of its own."""
    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def steps(*args: P.args, **kwargs: P.kwargs) -> Any:
            with mode():
                generator = function(*args, **kwargs)
            step, given = generator.send, None
            while True:
                try:
                    with mode():
                        item = step(given)
                except StopIteration as end:
                    return end.value
                # what the caller does to this generator happens to the function's own, within the mode
                try:
                    step, given = generator.send, (yield item)
                except GeneratorExit:
                    with mode():
                        generator.close()
                    raise
                except BaseException as error:  # noqa: BLE001 - whatever was thrown in
                    step, given = generator.throw, error

        return steps

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with mode():
            return function(*args, **kwargs)

    return run


class no_grad(_Mode):  # noqa: N801 - PyTorch's name
    """Record nothing: ``with no_grad():``, ``@no_grad()`` or ``@no_grad``.

    >>> with no_grad():
    ...     is_grad_enabled()
    False
    """

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        """The mode, or the function decorated with it."""
        return super().__new__(cls) if function is None else _decorated(function, False)

    def __init__(self) -> None:
        super().__init__(False)


class enable_grad(_Mode):  # noqa: N801 - PyTorch's name
    """Record again inside ``no_grad``: ``with enable_grad():``, ``@enable_grad()`` or ``@enable_grad``.

    >>> with no_grad(), enable_grad():
    ...     is_grad_enabled()
    True
    """

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        """The mode, or the function decorated with it."""
        return super().__new__(cls) if function is None else _decorated(function, True)

    def __init__(self) -> None:
        super().__init__(True)


class set_grad_enabled(_Mode):  # noqa: N801 - PyTorch's name
    """Set the mode at once; as a context manager or decorator it is undone at the end.

    >>> with set_grad_enabled(False):
    ...     is_grad_enabled()
    False
    """

    def __init__(self, mode: bool) -> None:
        super().__init__(bool(mode))
        # the call itself sets the mode; entering the block only remembers what to go back to
        self._before = recording.get()
        recording.set(self._mode)

    def __enter__(self) -> Self:
        super().__enter__()
        if len(self._outer) == 1:
            self._outer[0] = self._before
        return self

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorate; the mode set by the call itself is undone."""
        recording.set(self._before)
        return _decorated(function, self._mode)


class inference_mode:  # noqa: N801 - PyTorch's name
    """Record nothing, and make tensors that no later record may keep; also a decorator.

    >>> with inference_mode():
    ...     is_inference_mode_enabled(), is_grad_enabled()
    (True, False)
    """

    def __new__(cls, mode: Any = True) -> Any:
        """The mode, or the function decorated with it."""
        return _within(mode, inference_mode) if callable(mode) else super().__new__(cls)

    def __init__(self, mode: bool = True) -> None:
        self._mode = bool(mode)
        self._outer: list[tuple[bool, bool]] = []

    def __enter__(self) -> Self:
        self._outer.append((recording.get(), inferring.get()))
        inferring.set(self._mode)
        recording.set(not self._mode)
        return self

    def __exit__(self, *error: object) -> None:
        before, inferring_before = self._outer.pop()
        recording.set(before)
        inferring.set(inferring_before)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorate."""
        mode = self._mode
        return _within(function, lambda: inference_mode(mode))


def is_inference_mode_enabled() -> bool:
    """Whether new tensors are inference tensors now.

    >>> is_inference_mode_enabled()
    False
    """
    return inferring.get()
