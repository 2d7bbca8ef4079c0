"""Which line of the user's code is running now.

Twins of user functions keep the file name and line numbers of the original, so nothing here knows about twins.
"""

from __future__ import annotations

import inspect
import linecache
import os
import sys
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import FrameType, FunctionType
from typing import Any, TypeVar

from tracegrad.errors import Frame, TraceError, TracegradError

C = TypeVar("C")

__all__ = ["called", "called_as", "check_plain", "is_user_file", "raised_at", "user_frame"]

_PACKAGE = str(Path(__file__).parents[1]) + os.sep
_PROGRAMS = _PACKAGE + "demo" + os.sep  # written as a user would write them, so their lines are shown like a user's
_STANDARD = tuple({sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib")})
_INSTALLED = tuple({sysconfig.get_path(name) + os.sep for name in ("purelib", "platlib", "scripts")})
_INSTALLED_FOLDERS = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")


@lru_cache(maxsize=4096)
def _distance(file: str) -> int:
    """Say how far a file is from the user: 0 their own, 1 an installed package, 2 never theirs."""
    if file.startswith(_PROGRAMS):
        return 0
    if file.startswith((_PACKAGE, "<frozen ", "<__array_function__")):
        return 2
    if file.startswith(_INSTALLED) or any(folder in file for folder in _INSTALLED_FOLDERS):
        # Installed code may be the user's own library, but NumPy's helpers are only in between.
        return 2 if any(f"{folder}numpy{os.sep}" in file for folder in _INSTALLED_FOLDERS) else 1
    return 2 if file.startswith(_STANDARD) else 0


def is_user_file(file: str) -> bool:
    """Say whether code of this file is the user's own: no part of tracegrad, the standard library or a package.

    Parameters
    ----------
    file
        The file name of a code object; cells of notebooks and ``<stdin>`` are the user's.

    Examples
    --------
    >>> is_user_file("/home/me/fit.py"), is_user_file(linecache.__file__)
    (True, False)
    """
    return _distance(file) == 0


def called_as(prefix: str) -> Callable[[type[C]], type[C]]:
    """Let the methods of a class be named as a person calls them, in what Python says of wrong arguments.

    >>> @called_as("x")
    ... class Array:
    ...     def dot(self, other): ...
    >>> Array.dot.__qualname__
    'x.dot'
    """

    def named(cls: type[C]) -> type[C]:
        for name, member in vars(cls).items():
            if isinstance(member, FunctionType) and not name.startswith("_"):
                member.__qualname__ = f"{prefix}.{name}"
        return cls

    return named


def user_frame() -> Frame | None:
    """Find the innermost running line that is the user's.

    That is the innermost line outside tracegrad, the standard library and installed packages; if there is none, as
    when an installed library calls tracegrad, the innermost line of an installed package other than NumPy.

    Returns
    -------
    Frame or None
        The line, or None when no line on the stack can be the user's.

    Examples
    --------
    >>> def loss():
    ...     return user_frame()
    >>> frame = loss()
    >>> frame.function, frame.line, frame.text
    ('loss', 2, 'return user_frame()')
    """
    frame: FrameType | None = sys._getframe(1)
    installed: FrameType | None = None
    while frame is not None:
        distance = _distance(frame.f_code.co_filename)
        if distance == 0:
            break
        if distance == 1 and installed is None:
            installed = frame
        frame = frame.f_back
    found = installed if frame is None else frame
    if found is None:
        return None
    return _describe(found, found.f_lineno)


def raised_at(error: BaseException) -> Frame | None:
    """Find the innermost of the user's lines that an error went through on its way to the one who caught it.

    Parameters
    ----------
    error
        A caught exception.

    Examples
    --------
    >>> try:
    ...     1 / 0
    ... except ZeroDivisionError as error:
    ...     print(raised_at(error).line)
    2
    """
    found: Frame | None = None
    step = error.__traceback__
    while step is not None:
        if is_user_file(step.tb_frame.f_code.co_filename):
            found = _describe(step.tb_frame, step.tb_lineno)
        step = step.tb_next
    return found


def _describe(frame: FrameType, line: int) -> Frame:
    code = frame.f_code
    text = linecache.getline(code.co_filename, line, frame.f_globals).strip()
    return Frame(code.co_filename, line, code.co_qualname, text)


def called(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Call a function of the user's; TraceError where it does not take these arguments, from the line of the call."""
    try:
        return function(*args, **kwargs)
    except TypeError as error:
        trace = error.__traceback__
        if trace is None or trace.tb_next is not None or isinstance(error, TracegradError):
            raise
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError):
            raise error from None
        try:
            signature.bind(*args, **kwargs)
        except TypeError:
            name = getattr(function, "__name__", type(function).__name__)
            raise TraceError(str(error), fix=f"its arguments are {name}{signature}", where=user_frame()) from None
        raise


def check_plain(function: Any) -> None:
    """Raise TraceError for generators and coroutines, which return no values."""
    code = inspect.unwrap(function)
    kind = "generator" if inspect.isgeneratorfunction(code) else "async" if inspect.iscoroutinefunction(code) else None
    if kind is not None or inspect.isasyncgenfunction(code):
        name = getattr(function, "__name__", type(function).__name__)
        raise TraceError(
            f"{name} is {'a generator' if kind == 'generator' else 'an async'} function, whose calls return no result",
            fix="write a plain function that returns its result: a list of what it would yield, for example",
            where=user_frame(),
        )
