"""The errors a person can meet, each with the line it is about and what to write instead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

__all__ = [
    "BackgroundWarning",
    "CacheWarning",
    "CompileError",
    "ConditionError",
    "DeviceError",
    "DifferentiationError",
    "DtypeError",
    "EscapeError",
    "FileFormatError",
    "Frame",
    "GradcheckError",
    "MissingAttributeError",
    "NonFiniteError",
    "PositionError",
    "RuleError",
    "ShapeError",
    "TapeError",
    "TraceError",
    "TracegradError",
    "TreeError",
]


@dataclass(frozen=True, slots=True)
class Frame:
    """A line of the user's code.

    Parameters
    ----------
    file, line, function
        Where the line stands.
    text
        The line itself without its indentation, "" where no source is at hand.

    Examples
    --------
    >>> print(Frame("fit.py", 12, "loss", "y = x @ w"))
    fit.py:12 in loss: y = x @ w
    """

    file: str
    line: int
    function: str
    text: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line} in {self.function}"
        return f"{place}: {self.text}" if self.text else place


class TracegradError(Exception):
    """Base of every error that tracegrad raises on purpose.

    Parameters
    ----------
    message
        What is wrong, in the user's terms.
    fix
        What to write instead; a full sentence or a piece of code.
    where
        The user's line, if the raiser knows it; who knows it later adds it with :meth:`at`.

    Examples
    --------
    >>> print(ShapeError("shapes (3,) and (4,) do not broadcast", fix="reshape one of them"))
    shapes (3,) and (4,) do not broadcast
      Instead: reshape one of them
    """

    def __init__(self, message: str, *, fix: str = "", where: Frame | None = None) -> None:
        super().__init__(message)
        self.fix = fix
        self.where = where

    @property
    def message(self) -> str:
        """What is wrong, without place and remedy."""
        return str(self.args[0])

    def at(self, where: Frame | None) -> Self:
        """Add the user's line and return this same error.

        The first line given stays: the innermost catcher knows best.

        Examples
        --------
        >>> print(ShapeError("bad").at(Frame("fit.py", 12, "loss")).at(Frame("main.py", 1, "main")))
        bad
          at fit.py:12 in loss
        """
        if self.where is None:
            self.where = where
        return self

    def about(self, function: str) -> Self:
        """Name the function that was called, unless the message does, and return this same error.

        Examples
        --------
        >>> print(ShapeError("axis 5 is out of range").about("np.sum"))
        np.sum: axis 5 is out of range
        """
        if function.rsplit(".", 1)[-1] not in self.message:
            self.args = (f"{function}: {self.message}", *self.args[1:])
        return self

    def __str__(self) -> str:
        lines = [self.message]
        if self.where is not None:
            lines.append(f"  at {self.where}")
        if self.fix:
            first, *rest = self.fix.splitlines()
            lines.append(f"  Instead: {first}")
            lines.extend(f"    {line}" for line in rest)
        return "\n".join(lines)


class ShapeError(TracegradError, ValueError, RuntimeError):
    """Array shapes that do not fit each other or the operation; a ValueError as in NumPy, a RuntimeError as in PyTorch."""


class DtypeError(TracegradError, TypeError, RuntimeError):
    """An element type the operation has no meaning for; a TypeError as in NumPy, a RuntimeError as in PyTorch."""


class DeviceError(TracegradError, RuntimeError):
    """A device other than the CPU."""


class FileFormatError(TracegradError, ValueError):
    """A file that is not what is read, or damaged."""


class TraceError(TracegradError, TypeError):
    """Code that cannot become a static graph."""


class EscapeError(TraceError):
    """A traced value that left the trace: ``float(x)``, foreign code, a store into an array from outside."""


class ConditionError(TraceError):
    """A traced value used as a condition: its truth is not known while tracing."""


class MissingAttributeError(TraceError, AttributeError):
    """An attribute of arrays that traced values do not have."""


class PositionError(TracegradError, ValueError, IndexError):
    """A position, known at run time only, outside of what it chooses from; a ValueError as NumPy's functions raise it."""


class DifferentiationError(TracegradError, TypeError):
    """A derivative that does not exist: an integer leaf, a loss that is no scalar, an op without a rule."""


class RuleError(DifferentiationError, NotImplementedError):
    """A function that nobody has written a derivative for."""


class TapeError(TracegradError, RuntimeError):
    """A use of an eager tensor that its record forbids: a graph already freed, a value changed, a backward without a start."""


class NonFiniteError(TracegradError, FloatingPointError):
    """The first value that is not finite, found inside ``tg.debug.nans()``."""


class GradcheckError(TracegradError, RuntimeError):
    """A gradient that differs from what differences say."""


class TreeError(TracegradError, TypeError):
    """A nested structure of arrays that is not a pytree, or not the expected one."""


class CompileError(TracegradError, RuntimeError):
    """A program without native code: it needs an op that has none, or what was generated for it did not compile."""


class BackgroundWarning(UserWarning):
    """Kernels did not compile in the background; results are right, but calls go on without them, on the interpreter."""


class CacheWarning(UserWarning):
    """The kernel cache cannot be used; results are right, but kernels are compiled again in each process."""
