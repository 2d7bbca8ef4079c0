"""A sparse matrix inside a trace: what stands for an array of ``scipy.sparse``, whose products are ops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from tracegrad.core.aval import Shape, shape_of
from tracegrad.core.op import Op
from tracegrad.core.source import user_frame
from tracegrad.core.tree import Container, add_family
from tracegrad.errors import MissingAttributeError, ShapeError, TraceError
from tracegrad.ops import contractions, indexing, maps, sparse, views
from tracegrad.ops.comparisons import equal
from tracegrad.ops.operators import Operators
from tracegrad.ops.sorting import searchsorted
from tracegrad.ops.sources import TRACED, running_index

_FIX = "write A @ x, x @ A, A.T @ x, a * A or A.multiply(x), or A.toarray() for an ordinary matrix"


class StoredMatrix(Operators):
    """A sparse matrix of traced elements; where they stand is known by row, or of the transpose.

    Parameters
    ----------
    original: the class of SciPy's that it stands for.
    shape: rows and columns.
    data, places, ends: stored elements, their columns, and where each row of them ends.
    turned: whether they are of the transpose.
    """

    __slots__ = ("data", "ends", "original", "places", "shape", "turned")
    bind_rank = TRACED + 2

    def __init__(self, original: type, shape: Shape, data: Any, places: Any, ends: Any, turned: bool) -> None:
        self.original = original
        self.shape = shape
        self.data = data
        self.places = places
        self.ends = ends
        self.turned = turned

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        """SciPy's class: the user's code may ask for it."""
        return self.original

    def __repr__(self) -> str:
        return f"<traced {self.original.__name__} of shape {self.shape}>"

    # -- what is known of it --------------------------------------------------------------------------------------------

    ndim = 2

    @property
    def plain_shape(self) -> Shape:
        """The shape."""
        return self.shape

    @property
    def dtype(self) -> Any:
        """The element type."""
        return self.data.dtype

    @property
    def format(self) -> str:
        """SciPy's name of how it is stored."""
        return self.original.__name__.partition("_")[0]

    @property
    def nnz(self) -> int:
        """How many elements are stored."""
        return int(shape_of(self.data)[0])

    size = nnz

    @property
    def _matrix(self) -> bool:
        return self.original.__name__.endswith("_matrix")

    def getnnz(self) -> int:
        """How many elements are stored."""
        return self.nnz

    def get_shape(self) -> Shape:
        """The shape."""
        return self.shape

    def refuse(self, what: str) -> NoReturn:
        """Raise TraceError for what sparse matrices do not do in a trace."""
        error = TraceError(f"{what} of a {self.original.__name__} is not traced", fix=_FIX)
        self.data.recorder.escape(error.at(user_frame()))
        raise error

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__") or not hasattr(self.original, name):
            raise MissingAttributeError(f"{self.original.__name__} has no attribute {name!r}", fix=_FIX, where=user_frame())
        self.refuse(f"the attribute {name}")

    def __getitem__(self, key: Any) -> Any:
        self.refuse("an element or a part")

    def __setitem__(self, key: Any, value: Any) -> None:
        self.refuse("an assignment to elements")

    def __bool__(self) -> bool:  # noqa: PLE0304 - it raises
        self.refuse("the truth")

    def __len__(self) -> int:
        raise TypeError("sparse array length is ambiguous; use getnnz()")

    def __iter__(self) -> NoReturn:
        self.refuse("a loop over the rows")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        self.refuse("the array that code outside the trace would get")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return self.data.recorder.protocols.ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self, function: Any, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self.data.recorder.protocols.function(function, args, kwargs)

    # -- the same in other clothes --------------------------------------------------------------------------------------

    def _with(self, data: Any) -> StoredMatrix:
        return StoredMatrix(self.original, self.shape, data, self.places, self.ends, self.turned)

    @property
    def T(self) -> StoredMatrix:  # noqa: N802 - NumPy's name
        """The transpose."""
        return StoredMatrix(self.original, self.shape[::-1], self.data, self.places, self.ends, not self.turned)

    def transpose(self, axes: Any = None, copy: bool = False) -> StoredMatrix:
        """The transpose."""
        return self.T

    def copy(self) -> StoredMatrix:
        """Itself, as nothing is written to it."""
        return self

    def tocsr(self, copy: bool = False) -> StoredMatrix:
        """Itself: how it is stored does not matter to products."""
        return self

    tocsc = tocoo = tobsr = todia = asformat = tocsr

    def astype(self, dtype: Any, casting: str = "unsafe", copy: bool = True) -> StoredMatrix:
        """With elements of another type."""
        return self._with(self.data.astype(dtype))

    def __abs__(self) -> StoredMatrix:
        return self._with(maps.absolute(self.data))

    def __neg__(self) -> StoredMatrix:
        return self._with(maps.negative(self.data))

    # -- products -------------------------------------------------------------------------------------------------------

    def dot(self, other: Any) -> Any:
        """``A @ x``, or with a number ``A * x``."""
        return self.multiply(other) if not shape_of(other) else self @ other

    def __mul__(self, other: Any) -> Any:
        return self.dot(other) if self._matrix else self.multiply(other)

    def __rmul__(self, other: Any) -> Any:
        return other @ self if self._matrix and shape_of(other) else self.multiply(other)

    def __truediv__(self, other: Any) -> Any:
        return self._with(maps.divide(self.data, other)) if not shape_of(other) else self.multiply(maps.divide(1.0, other))

    def multiply(self, other: Any) -> StoredMatrix:
        """Elements times those of another array, or a number."""
        if hasattr(other, "tocsr"):
            self.refuse("the product by element with another sparse array")
        if not shape_of(other):
            return self._with(maps.multiply(self.data, other))
        rows, columns = self._positions()
        whole = views.broadcast_to(other, self.shape)
        flat = views.reshape(whole, (self.shape[0] * self.shape[1],))
        return self._with(maps.multiply(self.data, indexing.take(flat, rows * self.shape[1] + columns)))

    def _positions(self) -> tuple[Any, Any]:
        """Row and column of each stored element."""
        number = running_index(self.nnz, self.data)
        lines = searchsorted(self.ends.astype(np.int64), number, side="right") - 1
        places = self.places.astype(np.int64)
        return (places, lines) if self.turned else (lines, places)

    def _times(self, x: Any, turned: bool) -> Any:
        """The product with a matrix, or with ``turned`` that of the transpose."""
        rows, columns = self.shape[::-1] if turned else self.shape
        if shape_of(x)[0] != columns:
            raise ShapeError(
                f"a sparse matrix of shape {(rows, columns)} times an array of shape {shape_of(x)}",
                fix=f"give it {columns} rows",
                where=user_frame(),
            )
        if self.turned != turned:
            return sparse.spread(x, self.data, self.places, self.ends, size=rows)
        return sparse.dot(x, self.data, self.places, self.ends)

    def bind_op(self, op: Op, operands: Sequence[Any], params: dict[str, Any]) -> Any:
        """Products with dense arrays; everything else is refused."""
        others = [x for x in operands if x is not self]
        if len(others) != 1 or hasattr(others[0], "tocsr"):
            return self.refuse(op.name)
        (other,) = others
        if op is contractions.matmul_batched and len(shape_of(other)) == 2:
            if operands[0] is self:
                return self._times(other, turned=False)
            return views.transpose(self._times(views.transpose(other, (1, 0)), turned=True), (1, 0))
        if op is not maps.multiply:
            return self.refuse(op.name)
        return self.__mul__(other) if operands[0] is self else self.__rmul__(other)

    # -- as an ordinary array -------------------------------------------------------------------------------------------

    def toarray(self, order: Any = None, out: None = None) -> Any:
        """The matrix with its zeros."""
        size = self.shape[1]
        index = running_index(size, self.data)
        unit = equal(views.reshape(index, (size, 1)), views.reshape(index, (1, size)))
        return self @ unit.astype(self.dtype)

    def todense(self, order: Any = None, out: None = None) -> Any:
        """The matrix with its zeros."""
        if self._matrix:
            self.refuse("todense(), an np.matrix,")
        return self.toarray()

    def sum(self, axis: Any = None, dtype: Any = None, out: None = None) -> Any:
        """The sum of the elements, or those of rows or columns."""
        if axis is None:
            return self.data.sum()
        if self._matrix:
            self.refuse("a sum along an axis, an np.matrix,")
        line = self.T if axis in (0, -2) else self
        return line @ np.ones(line.shape[1], self.dtype)

    def diagonal(self, k: int = 0) -> Any:
        """The elements on a diagonal."""
        rows, columns = self._positions()
        on = self._with(maps.select(equal(columns - rows, k), self.data, np.zeros((), self.dtype)))
        length = max(min(self.shape[0] + min(k, 0), self.shape[1] - max(k, 0)), 0)
        first = max(-k, 0)
        return (on @ np.ones(self.shape[1], self.dtype))[first : first + length]


def is_sparse(value: Any) -> bool:
    """Whether a value is a sparse array of SciPy's of two axes."""
    return type(value).__module__.startswith("scipy.sparse") and hasattr(value, "tocsr") and value.ndim == 2


def _of_coo(value: Any) -> tuple[Any, Any, Any]:
    return np.arange(len(value.data)), value.row, value.col


def _of_dia(value: Any) -> tuple[Any, Any, Any]:
    columns = np.broadcast_to(np.arange(value.data.shape[1]), value.data.shape)
    rows = columns - np.asarray(value.offsets)[:, None]
    kept = np.flatnonzero((rows >= 0) & (rows < value.shape[0]) & (columns < value.shape[1]))
    return kept, rows.reshape(-1)[kept], columns.reshape(-1)[kept]


def _of_bsr(value: Any) -> tuple[Any, Any, Any]:
    count, height, width = value.data.shape
    blocks, numbers = sparse.entries(value.indices, value.indptr, count)
    rows = blocks[:, None, None] * height + np.arange(height)[:, None] + np.zeros(width, int)
    columns = value.indices[numbers].astype(np.int64)[:, None, None] * width + np.arange(width) + np.zeros((height, 1), int)
    kept = numbers[:, None, None] * height * width + np.arange(height * width).reshape(height, width)
    return kept.reshape(-1), rows.reshape(-1), columns.reshape(-1)


ROW_BY_ROW = {"csr": False, "csc": True}
"""Formats that are stored row by row, and whether the rows are those of the transpose."""
BY_POSITION: dict[str, tuple[Callable[[Any], tuple[Any, Any, Any]], tuple[str, ...]]] = {
    "coo": (_of_coo, ("row", "col")),
    "dia": (_of_dia, ("offsets",)),
    "bsr": (_of_bsr, ("indices", "indptr")),
}
"""Formats that are brought into order while tracing: where their elements stand, and the attributes that say so."""


def in_rows(value: Any) -> tuple[Any, Any, Any]:
    """Of a matrix in such a format: which elements of its flat data stand row after row, their columns, and the rows' ends."""
    kept, rows, columns = BY_POSITION[value.format][0](value)
    order = np.lexsort((columns, rows))
    ends = np.searchsorted(rows[order], np.arange(value.shape[0] + 1))
    return kept[order], columns[order].astype(np.int64), ends.astype(np.int64)


def _steps(aux: Any) -> tuple[str, ...]:
    return ".data", ".indices", ".indptr"


def _closed(aux: Any, children: tuple[Any, ...]) -> Any:
    """A matrix of SciPy's from arrays, one of a trace from anything else."""
    original, shape, turned = aux
    if not all(isinstance(child, np.ndarray) for child in children):
        data, places, ends = children
        return StoredMatrix(original, shape, data, places, ends, turned)
    if turned == ROW_BY_ROW[original.__name__[:3]]:
        return original(children, shape=shape)
    return original(children, shape=shape[::-1]).T


def _container(cls: type) -> Container | None:
    """How matrices that are stored row by row are taken apart; other formats are not."""
    if cls is StoredMatrix:
        return Container(lambda m: ((m.data, m.places, m.ends), (m.original, m.shape, m.turned)), _closed, _steps)
    turned = ROW_BY_ROW.get(cls.__name__[:3])
    if turned is None or not cls.__module__.startswith("scipy.sparse") or cls.__name__[3:] not in ("_array", "_matrix"):
        return None
    return Container(lambda m: ((m.data, m.indices, m.indptr), (cls, m.shape, turned)), _closed, _steps)


add_family(_container)
