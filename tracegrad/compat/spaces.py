"""The vector space that a value lives in: zeros, ones, a basis, sums and products of values with its structure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tracegrad.compat.calls import is_box
from tracegrad.core.source import user_frame
from tracegrad.core.tree import flatten
from tracegrad.errors import DifferentiationError
from tracegrad.ops import complexes, reductions


class VSpace:
    """The space of a value: arrays of certain shapes and dtypes in certain containers.

    ``size`` counts real dimensions, of which a complex number has two. Values may be boxes, and results are then.

    >>> space = vspace({"w": np.ones((2, 3)), "b": 0.5})
    >>> space.size, space.zeros()["b"]
    (7, np.float64(0.0))
    """

    def __init__(self, value: Any) -> None:
        leaves, self.structure = flatten(value)
        self.avals = tuple([_aval(leaf, value) for leaf in leaves])

    @property
    def size(self) -> int:
        """Number of real dimensions."""
        return sum(int(np.prod(shape)) * (2 if dtype.kind == "c" else 1) for shape, dtype in self.avals)

    @property
    def shape(self) -> Any:
        """The shape of an array; the spaces of a container's parts in the same container."""
        if self.structure.spec is ...:
            return self.avals[0][0]
        parts = [VSpace(np.zeros(shape, dtype)) for shape, dtype in self.avals]
        return self.structure.unflatten(parts)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of an array."""
        (aval,) = self.avals
        return aval[1]

    @property
    def ndim(self) -> int:
        """The number of axes of an array."""
        (aval,) = self.avals
        return len(aval[0])

    @property
    def iscomplex(self) -> bool:
        """Whether it holds complex numbers."""
        return any(dtype.kind == "c" for _, dtype in self.avals)

    def _made(self, make: Callable[[Any, np.dtype[Any]], Any]) -> Any:
        return self.structure.unflatten([make(shape, dtype)[()] for shape, dtype in self.avals])

    def zeros(self) -> Any:
        """The zero."""
        return self._made(np.zeros)

    def ones(self) -> Any:
        """Ones; 1 + 1j where complex."""
        return self._made(lambda shape, dtype: np.full(shape, 1 + 1j if dtype.kind == "c" else 1, dtype))

    def randn(self) -> Any:
        """Standard normal numbers, from NumPy's global generator."""

        def draw(shape: Any, dtype: np.dtype[Any]) -> Any:
            normal = np.random.standard_normal  # the generator that users of autograd seed
            numbers: Any = normal(shape)
            return np.asarray(numbers + 1j * normal(shape) if dtype.kind == "c" else numbers, dtype)

        return self._made(draw)

    def standard_basis(self) -> Iterator[Any]:
        """The unit vectors; of complex numbers 1 and 1j in turn."""
        for k, (shape, dtype) in enumerate(self.avals):
            for place in np.ndindex(*shape):
                for unit in (1, 1j) if dtype.kind == "c" else (1,):
                    parts: list[Any] = [np.zeros(s, d) for s, d in self.avals]
                    parts[k][place] = unit
                    yield self.structure.unflatten([part[()] for part in parts])

    def _joined(self, function: Callable[..., Any], *values: Any) -> Any:
        columns = [flatten(value)[0] for value in values]
        return self.structure.unflatten([function(*row) for row in zip(*columns, strict=True)])

    def add(self, x: Any, y: Any) -> Any:
        """The sum."""
        return self._joined(lambda a, b: a + b, x, y)

    mut_add = add

    def scalar_mul(self, x: Any, a: Any) -> Any:
        """The multiple."""
        return self._joined(lambda part: part * a, x)

    def inner_prod(self, x: Any, y: Any) -> Any:
        """The real inner product."""
        return sum(flatten(self._joined(_inner, x, y))[0])

    def covector(self, x: Any) -> Any:
        """The conjugate, which turns a vector into a cotangent and back."""
        return self._joined(lambda part: complexes.conj(part) if np.iscomplexobj(part) else part, x)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VSpace) and self.structure == other.structure and self.avals == other.avals

    def __hash__(self) -> int:
        return hash((self.structure, self.avals))

    def __repr__(self) -> str:
        names = [f"{dtype}{list(shape)}" for shape, dtype in self.avals]
        return f"VSpace({self.structure.unflatten(names)})"


def _inner(a: Any, b: Any) -> Any:
    if is_box(a) or is_box(b):
        product = (complexes.conj(a) if np.iscomplexobj(a) else a) * b
        total = reductions.sum(product)
        return total.real if np.iscomplexobj(total) else total
    return np.vdot(a, b).real


def _aval(leaf: Any, value: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    if is_box(leaf) or isinstance(leaf, (np.ndarray, np.floating, np.complexfloating)):
        return leaf.shape, leaf.dtype
    if isinstance(leaf, (float, complex)):
        return (), np.dtype(type(leaf))
    raise DifferentiationError(
        f"Can't find vector space for value {leaf!r} of type {type(leaf)}",
        fix="floating and complex numbers and arrays have one, and lists, tuples and dicts of them",
        where=user_frame(),
    )


def vspace(value: Any) -> VSpace:
    """The vector space of a value; DifferentiationError for what has none.

    >>> vspace(np.zeros(3))
    VSpace(float64[3])
    """
    return VSpace(value)
