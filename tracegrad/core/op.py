"""The Op record: one declaration says everything the rest of the library knows about an operation."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from tracegrad.core.aval import Aval, Shape
from tracegrad.core.bind import bind
from tracegrad.core.expr import Index, Read
from tracegrad.errors import DtypeError, ShapeError


class Kind(enum.Enum):
    """What the schedule may know of an op."""

    INPUT = "input"
    """An argument of the program."""
    CONSTANT = "constant"
    """A value known when the graph was built."""
    IOTA = "iota"
    """The running index 0, 1, 2, …"""
    MAP = "map"
    """One element out for one element of each operand, all of one shape."""
    VIEW = "view"
    """Moves elements; its lowering is an index map."""
    REDUCE = "reduce"
    """Combines the elements of the axes it drops."""
    INDEX = "index"
    """Positions that are known at run time only."""
    CONTRACT = "contract"
    """Sums of products; its lowering is a kernel template."""
    LINE = "line"
    """Walks along an axis, an element after the other: scans, orders, searches."""
    CUSTOM = "custom"
    """A value with a derivative of its own; gone once derivatives have been taken."""
    MATRIX = "matrix"
    """Linear algebra of one matrix of a stack after the other, and transforms of one line after the other."""
    OPAQUE = "opaque"
    """No native code: the program is split there."""


@dataclass(frozen=True, slots=True)
class Pointwise:
    """The partial derivative of an elementwise op as a plain factor: ``factor(out, *inputs, **params)``.

    The driver multiplies the cotangent by it, in the one NaN-safe way; a factor of exactly 1 or -1 costs nothing.
    """

    factor: Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Rule:
    """A whole vector-Jacobian product: ``pull(g, out, *inputs, **params)`` is the cotangent of the input."""

    pull: Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Linear(Rule):
    """The transpose of an op that is linear in this operand: its tangent goes through the op itself.

    A product is linear in each of its factors while the others are held. With ``together`` it is linear in all such
    operands at once, as concatenation is: their tangents take the places of all of them, zeros for those that have none.
    """

    together: bool = False


class _Flat:
    """The derivative is zero wherever it exists, or the input carries no derivative (indices, conditions)."""

    def __repr__(self) -> str:
        return "FLAT"


class _Missing:
    """No derivative rule has been written."""

    def __repr__(self) -> str:
        return "MISSING"


FLAT = _Flat()
MISSING = _Missing()
Partial = Pointwise | Rule | _Flat | _Missing


@dataclass(frozen=True, slots=True)
class Variadic:
    """The partials of an op with any number of operands: ``make(k)`` is the one of operand ``k``."""

    make: Callable[[int], Partial]


@dataclass(frozen=True, slots=True)
class Stacked:
    """How an op maps over a leading axis that all of its operands have: it is applied to them as they are.

    An operand that lacks the axis is repeated along it. ``shift(size, **params)`` are the parameters that mean the same for
    results with a further leading axis; without it they stay.
    """

    shift: Callable[..., Mapping[str, Any]] | None = None


@dataclass(frozen=True, slots=True)
class Mapped:
    """How an op maps over a leading axis that some operands have: ``rule(size, mapped, *operands, **params)``.

    ``mapped`` says of each operand whether it has the axis, of ``size`` elements; the result has it. Like rules of
    derivatives it is an ordinary expression: arrays give numbers, traced values more graph.
    """

    rule: Callable[..., Any]


Batch = Stacked | Mapped


def next_axis(size: int, /, *, axis: int, **params: Any) -> dict[str, Any]:
    """Parameters of which ``axis`` counts from the first axis, behind a new leading one."""
    return {"axis": axis + 1, **params}


def next_axes(size: int, /, *, axes: tuple[int, ...], **params: Any) -> dict[str, Any]:
    """Parameters of which ``axes`` count from the first axis, behind a new leading one."""
    return {"axes": tuple([k + 1 for k in axes]), **params}


@dataclass(frozen=True, slots=True)
class Values:
    """How to draw one operand of a sample: its shape, interval and kind (``float``, ``complex``, ``int`` or ``bool``).

    ``distinct`` keeps values at least ``1e-2`` of the interval apart, for ops with kinks at ties.
    """

    shape: Shape
    low: float = -2.0
    high: float = 2.0
    kind: str = "float"
    distinct: bool = False

    def draw(self, rng: np.random.Generator, dtype: Any) -> np.ndarray[Any, Any]:
        """An array of these values; ``dtype`` applies to float operands, and to the parts of complex ones."""
        if self.kind == "bool":
            return rng.integers(0, 2, self.shape).astype(bool)
        if self.kind == "int":
            return rng.integers(int(self.low), int(self.high), self.shape)
        if self.kind == "complex":
            parts = rng.uniform(self.low, self.high, (*self.shape, 2)).astype(dtype)
            return parts.view(np.result_type(dtype, np.complex64))[..., 0]
        size = int(np.prod(self.shape))
        unit = (rng.permutation(size) + 0.5) / max(size, 1) if self.distinct else rng.random(size)
        return (self.low + (self.high - self.low) * unit).reshape(self.shape).astype(dtype)


@dataclass(frozen=True, slots=True)
class Sample:
    """One case of an op's test matrix: operands and parameters, or the error they must give.

    ``smooth`` is False where finite differences mean nothing (steps, integer results).
    """

    operands: tuple[Values, ...]
    params: Mapping[str, Any] = field(default_factory=dict)
    error: type[Exception] | None = None
    match: str = ""
    smooth: bool = True


@dataclass(frozen=True, eq=False, slots=True)
class Op:
    """One operation. Calling it applies it: to arrays, Tensors or traced values.

    Every field is required; a declaration that lacks one fails at import.

    Parameters
    ----------
    name: the field's standard term.
    kind: all that the schedule may look at.
    infer: ``infer(*avals, **params) -> Aval``, the one shape and dtype rule; raises without a line.
    promote: ``promote(*dtypes) -> dtypes``, the operand dtypes NumPy would compute in; Python's ``int``, ``float`` and
        ``complex`` stand for weak operands.
    eager: the NumPy implementation.
    partials: one derivative per input.
    batch: how it maps over a leading axis.
    lower: MAP: ``lower(*Scalar, **params) -> Scalar``; VIEW: ``lower(index, *avals, **params) -> tuple[Read, ...]``;
        REDUCE: a ``Reducer``; otherwise the name of a template in codegen.
    numpy: the NumPy and SciPy functions that mean this op called with its operands alone.
    torch: PyTorch's name of it, and the name of its grad_fn.
    doc: one sentence and the formula.
    samples: its test matrix.
    """

    name: str
    kind: Kind
    infer: Callable[..., Aval]
    promote: Callable[..., tuple[np.dtype[Any], ...]]
    eager: Callable[..., Any]
    partials: tuple[Partial, ...] | Variadic
    batch: Batch
    lower: Any
    numpy: tuple[Callable[..., Any], ...]
    torch: tuple[str, str]
    doc: str
    samples: tuple[Sample, ...]

    __call__ = bind
    """Apply the op to arrays, Tensors or traced values."""

    def partial(self, position: int) -> Partial:
        """The derivative rule of operand ``position``."""
        if isinstance(self.partials, Variadic):
            return self.partials.make(position)
        return self.partials[position] if position < len(self.partials) else FLAT

    def reads(self, index: tuple[Index, ...], avals: tuple[Aval, ...], params: Mapping[str, Any]) -> tuple[Read, ...]:
        """Where a VIEW finds the element at an index: what ``lower`` says, which is remembered, as equal views are many."""
        return _reads(self, index, avals, tuple(params.items()))

    def __repr__(self) -> str:
        return f"<op {self.name}>"


@lru_cache(maxsize=4096)
def _reads(op: Op, index: tuple[Index, ...], avals: tuple[Aval, ...], params: tuple[tuple[str, Any], ...]) -> tuple[Read, ...]:
    return tuple(op.lower(index, *avals, **dict(params)))


@dataclass(frozen=True, slots=True)
class Reducer:
    """How a REDUCE combines elements: ``combine`` and ``identity`` are names of codegen's vocabulary.

    ``identity`` is a number, or ``"lowest"`` or ``"highest"`` of the dtype.
    """

    combine: str
    identity: float | str


# --------------------------------------------------------------------------------------------------------------------
# families: they spell the structure that many ops share


def keep(*dtypes: Any) -> tuple[np.dtype[Any], ...]:
    """Promotion of ops that take any operand as it is."""
    return tuple(np.dtype(d) if not isinstance(d, np.dtype) else d for d in dtypes)


def common(*dtypes: Any) -> tuple[np.dtype[Any], ...]:
    """Promotion of ops whose operands share one dtype."""
    strong = [d for d in dtypes if isinstance(d, np.dtype)]
    weak = [{bool: False, int: 0, float: 0.0, complex: 0j}[d] for d in dtypes if not isinstance(d, np.dtype)]
    return (np.result_type(*strong, *weak),) * len(dtypes)


def by_ufunc(ufunc: np.ufunc) -> Callable[..., tuple[np.dtype[Any], ...]]:
    """Promotion as a ufunc's own loops do it, weak Python numbers included."""

    @lru_cache(maxsize=256, typed=True)  # np.dtype(float) equals float, which is a weak number here
    def promote(*dtypes: Any) -> tuple[np.dtype[Any], ...]:
        # resolve_dtypes wants at least one strong dtype; Python numbers alone are float64, int64 or bool
        if not any(isinstance(d, np.dtype) for d in dtypes):
            dtypes = tuple(np.dtype(np.int64) if d is int else np.dtype(d) for d in dtypes)
        try:
            resolved = ufunc.resolve_dtypes((*(bool_of(d) for d in dtypes), None))
        except TypeError:
            raise _undefined(ufunc, dtypes) from None
        return tuple(resolved[: len(dtypes)])

    def bool_of(dtype: Any) -> Any:
        return np.dtype(bool) if dtype is bool else dtype

    return promote


def _undefined(ufunc: np.ufunc, dtypes: tuple[Any, ...]) -> DtypeError:
    """The error for operands that a ufunc has no loop for."""
    names = " and ".join(str(d) for d in dtypes)
    return DtypeError(f"{ufunc.__name__} is not defined for {names}", fix="cast first, for example with x.astype(np.float64)")


def elementwise(
    name: str,
    ufunc: np.ufunc,
    partials: tuple[Partial | Callable[..., Any], ...],
    lower: Callable[..., Any],
    *,
    doc: str,
    samples: tuple[Sample, ...],
    torch: tuple[str, str],
    numpy: tuple[Callable[..., Any], ...] | None = None,
    eager: Callable[..., Any] | None = None,
    promote: Callable[..., tuple[np.dtype[Any], ...]] | None = None,
    result: Callable[..., np.dtype[Any]] | None = None,
) -> Op:
    """An op on elements; plain functions among ``partials`` are factors (``Pointwise``).

    ``ufunc`` gives the promotion, the result dtype, the implementation and the NumPy function unless they are given.
    """

    @lru_cache(maxsize=64)
    def resolved(*dtypes: np.dtype[Any]) -> np.dtype[Any]:
        try:
            found: np.dtype[Any] = ufunc.resolve_dtypes((*dtypes, None))[-1]
        except TypeError:
            raise _undefined(ufunc, dtypes) from None
        return found

    def infer(*avals: Aval, **params: Any) -> Aval:
        if result is not None:
            return Aval(avals[-1].shape, result(*(a.dtype for a in avals), **params))
        dtype = resolved(*[a.dtype for a in avals])
        # mostly the operand's own: a graph of equal steps then has one aval, and who compares two looks at one object
        return avals[0] if dtype is avals[0].dtype else Aval(avals[0].shape, dtype)

    return Op(
        name=name,
        kind=Kind.MAP,
        infer=infer,
        promote=promote or by_ufunc(ufunc),
        eager=eager or ufunc,
        partials=tuple(p if isinstance(p, Partial) else Pointwise(p) for p in partials),
        batch=Stacked(),
        lower=lower,
        numpy=(ufunc,) if numpy is None else numpy,
        torch=torch,
        doc=doc,
        samples=samples,
    )


def linear(
    name: str,
    kind: Kind,
    *,
    infer: Callable[..., Aval],
    eager: Callable[..., Any],
    transpose: Callable[..., Any],
    batch: Batch,
    lower: Any,
    doc: str,
    samples: tuple[Sample, ...],
    torch: tuple[str, str],
    numpy: tuple[Callable[..., Any], ...] = (),
) -> Op:
    """An op linear in its first operand: ``transpose(g, out, *inputs, **params)`` is its vector-Jacobian product.

    Further operands (positions, say) carry no derivative.
    """
    return Op(name, kind, infer, keep, eager, (Linear(transpose), FLAT), batch, lower, numpy, torch, doc, samples)


def bilinear(
    name: str,
    *,
    infer: Callable[..., Aval],
    eager: Callable[..., Any],
    transposes: tuple[Callable[..., Any], Callable[..., Any]],
    batch: Batch,
    lower: str,
    doc: str,
    samples: tuple[Sample, ...],
    torch: tuple[str, str],
    numpy: tuple[Callable[..., Any], ...] = (),
) -> Op:
    """A contraction of two operands, linear in each: one transpose per operand gives every derivative."""
    rules = tuple(Linear(t) for t in transposes)
    return Op(name, Kind.CONTRACT, infer, common, eager, rules, batch, lower, numpy, torch, doc, samples)


def reduction(
    name: str,
    ufunc: np.ufunc,
    pull: Callable[..., Any] | None,
    reducer: Reducer,
    *,
    doc: str,
    samples: tuple[Sample, ...],
    torch: tuple[str, str],
    promote: Callable[..., tuple[np.dtype[Any], ...]] = keep,
    empty: bool = True,
    additive: bool = False,
) -> Op:
    """A reduction over ``axes`` (sorted, non-negative), which it drops.

    ``pull`` is its vector-Jacobian product, None if it has no derivative; ``empty`` says whether a reduction of no
    elements has a value; ``additive`` that it is linear.
    """

    def infer(x: Aval, *, axes: tuple[int, ...]) -> Aval:
        if not empty and any(x.shape[k] == 0 for k in axes):
            raise ShapeError(
                f"{name} of no elements: the shape is {x.shape} and it is taken over axes {axes}",
                fix="reduce an axis that has elements, or give a start value with initial=",
            )
        return Aval(tuple(n for k, n in enumerate(x.shape) if k not in axes), x.dtype)

    def eager(x: Any, *, axes: tuple[int, ...]) -> Any:
        return ufunc.reduce(x, axis=axes, dtype=x.dtype if ufunc in (np.add, np.multiply) else None)

    partial: Partial = FLAT if pull is None else Linear(pull) if additive else Rule(pull)
    return Op(name, Kind.REDUCE, infer, promote, eager, (partial,), Stacked(next_axes), reducer, (), torch, doc, samples)
