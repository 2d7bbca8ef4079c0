"""What NumPy does with one element after the other, of traced arrays: each is a part of the graph."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from tracegrad.core.aval import broadcast_shapes
from tracegrad.core.source import user_frame
from tracegrad.errors import ShapeError, TraceError
from tracegrad.namespaces import NUMPY_FUNCTIONS
from tracegrad.ops.series import CLASSES
from tracegrad.ops.views import broadcast_to, reshape, stack
from tracegrad.protocols import is_traced
from tracegrad.symbolic import Sym

MOST_ELEMENTS = 64
"""Elements that a function is traced for one by one, as by ``np.apply_along_axis``."""


class Vectorised:
    """``np.vectorize`` inside a trace: the function is traced for each element, up to ``MOST_ELEMENTS`` of them.

    Parameters
    ----------
    creation: what makes arrays in this trace.
    pyfunc: a function of numbers, as the trace sees it.
    otypes, excluded: as of ``np.vectorize``; ``signature`` is refused where values are traced.
    """

    def __init__(
        self,
        creation: Any,
        pyfunc: Any = None,
        otypes: Any = None,
        doc: str | None = None,
        excluded: Any = None,
        cache: bool = False,
        signature: str | None = None,
    ) -> None:
        self.creation = creation
        self.pyfunc = pyfunc
        self.otypes = otypes
        self.excluded = set(excluded or ())
        self.signature = signature

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function with one element of each argument after the other."""
        if self.pyfunc is None or self.pyfunc is np._NoValue:  # @np.vectorize(otypes=[float])
            return Vectorised(self.creation, args[0], self.otypes, excluded=self.excluded, signature=self.signature)
        if not is_traced(args) and not is_traced(kwargs):
            plain = np.vectorize(self.pyfunc, self.otypes, excluded=self.excluded, signature=self.signature)
            return self.creation.made(plain(*args, **kwargs))
        if self.signature is not None:
            raise TraceError(
                f"np.vectorize with signature={self.signature!r} is not traced",
                fix="map the function: tg.vmap(f)(x), or write it for whole arrays",
                where=user_frame(),
            )
        at = [k for k in range(len(args)) if k not in self.excluded]
        names = [name for name in kwargs if name not in self.excluded]
        arrays = [self._array(value) for value in (*(args[k] for k in at), *(kwargs[name] for name in names))]
        shape = broadcast_shapes(*(a.shape for a in arrays))
        count = math.prod(shape)
        if not 1 <= count <= MOST_ELEMENTS:
            raise TraceError(
                f"np.vectorize over {count} elements would trace its function for each",
                fix="call the function with the arrays themselves if its operations are by element, or map it: tg.vmap(f)(x)",
                where=user_frame(),
            )
        lines = [reshape(broadcast_to(a, shape), (count,)) for a in arrays]
        found = []
        # as NumPy, which calls it with the first element once more to learn the dtype of its results
        for k in range(count) if self.otypes is not None else (0, *range(count)):
            given = dict(enumerate(args))
            given |= {place: line[k] for place, line in zip(at, lines, strict=False)}
            named = dict(kwargs) | {name: line[k] for name, line in zip(names, lines[len(at) :], strict=True)}
            found.append(self.pyfunc(*given.values(), **named))
        found = found[-count:]
        if isinstance(found[0], tuple):
            return tuple(self._joined([each[k] for each in found], k, shape) for k in range(len(found[0])))
        return self._joined(found, 0, shape)

    def _array(self, value: Any) -> Sym:
        made = self.creation.asarray(value)
        return made if isinstance(made, Sym) else self.creation.recorder.operand(made)

    def _joined(self, found: list[Any], number: int, shape: tuple[int, ...]) -> Any:
        """An array of results, in the dtype of the first one as NumPy has it."""
        parts = [self._array(each) for each in found]
        if any(part.shape for part in parts):
            wrong = next(part for part in parts if part.shape)
            raise ShapeError(
                f"np.vectorize of a function whose result has shape {wrong.shape}",
                fix="give a function of numbers to numbers, or map it: tg.vmap(f)(x)",
                where=user_frame(),
            )
        dtype = parts[0].dtype if self.otypes is None else np.dtype(self.otypes[number])
        return reshape(stack([part.astype(dtype) for part in parts]), shape).strong()


class Series:
    """A class of series of NumPy's inside a trace, as ``np.polynomial.Chebyshev``, or a series.

    Parameters
    ----------
    creation: what makes arrays in this trace.
    cls: NumPy's class.
    series: the series that was made, None for the class.
    """

    def __init__(self, creation: Any, cls: Any, series: Any = None) -> None:
        self._creation = creation
        self._cls = cls
        self._series = series

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Make a series, or its value at traced places."""
        if self._series is None:
            return self._made(*args, **kwargs)
        if not is_traced(args) and not is_traced(kwargs):
            return self._creation.made(self._series(*args, **kwargs))
        (x,) = (*args, *kwargs.values())
        offset, scale = self._series.mapparms()
        x = self._array(x)
        return NUMPY_FUNCTIONS[CLASSES[self._cls]](
            x if (offset, scale) == (0.0, 1.0) else offset + scale * x, self._series.coef
        )

    def _made(self, *args: Any, **kwargs: Any) -> Any:
        if is_traced(args) or is_traced(kwargs):
            function = CLASSES[self._cls]
            raise TraceError(
                f"np.polynomial.{self._cls.__name__} with a traced coefficient or domain is not traced",
                fix=f"np.polynomial.{function.__module__.split('.')[-1]}.{function.__name__}(x, c), which takes them",
                where=user_frame(),
            )
        return Series(self._creation, self._cls, self._cls(*args, **kwargs))

    def _array(self, value: Any) -> Any:
        made = self._creation.asarray(value)
        return made if isinstance(made, Sym) else self._creation.recorder.operand(made)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._cls if self._series is None else self._series, name)
        if not callable(value):
            return self._creation.made(value)
        return lambda *args, **kwargs: self._shown(value(*args, **kwargs))

    def _shown(self, value: Any) -> Any:
        return Series(self._creation, type(value), value) if type(value) in CLASSES else self._creation.made(value)


def enumerated(arr: Any) -> Iterator[tuple[tuple[int, ...], Any]]:
    """``np.ndenumerate``: positions and elements.

    >>> [(place, float(x)) for place, x in enumerated(np.array([[1.0, 2.0]]))]
    [((0, 0), 1.0), ((0, 1), 2.0)]
    """
    value = arr if isinstance(arr, Sym) else np.asarray(arr)
    return ((place, value[place]) for place in itertools.product(*map(range, value.shape)))
