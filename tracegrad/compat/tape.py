"""Traces and their backward: ``make_vjp`` for any nesting of lists, tuples and dicts of arrays.

There is one tape, the eager one, however many traces are open: each trace begins at roots of its own, and a backward walks
from its results to those roots alone. While another trace is open its walk is recorded, cotangents being boxes, so that a
derivative inside a function is differentiated like everything else in it. Values that lead to no open trace are given back
without their record.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from typing import Any

import numpy as np

from tracegrad.compat.boxes import ArrayBox
from tracegrad.core.aval import VALUES
from tracegrad.core.source import is_user_file, user_frame
from tracegrad.core.tree import TreeDef, flatten
from tracegrad.eager.engine import Walk
from tracegrad.eager.nodes import Node
from tracegrad.errors import DifferentiationError, DtypeError, EscapeError, ShapeError, TreeError

_depth: ContextVar[int] = ContextVar("compat traces", default=0)
"""How many traces are open."""


class Root(Node):
    """Where a trace begins; the cotangent goes on to what an outer trace put in."""

    def __init__(self, array: np.ndarray[Any, Any], outer: ArrayBox | None) -> None:
        self.shape = array.shape
        self.dtype = array.dtype
        self.open = True
        if outer is not None and outer._source is not None:
            self.sources = (outer._source,)
            self.slots = (outer._slot,)

    def pull(self, g: Any, wanted: Sequence[int], create: Any, keep: bool) -> list[Any]:
        """The cotangent itself."""
        return [g]

    def name(self) -> str:
        """What pictures of the record call it."""
        return "Root"


class _Backward(Walk):
    """The engine's walk with cotangents in NumPy's convention: what rules compute with is what users see."""

    def _shown(self, g: Any) -> Any:
        return g

    def _taken(self, g: Any) -> Any:
        return g


def make_vjp(fun: Callable[[Any], Any], x: Any) -> tuple[Callable[[Any], Any], Any]:
    """The pullback of a function of one argument, and its value.

    Parameters
    ----------
    fun: a function of arrays in any nesting of lists, tuples and dicts, with results likewise.
    x: its argument; floating or complex arrays and numbers.

    Returns ``vjp, value``: ``vjp(g)`` is the cotangent of ``x`` for the cotangent ``g`` of the value.
    """
    leaves, structure = flatten(x, root="the argument")
    roots: list[Root] = []
    boxes: list[ArrayBox] = []
    for leaf, path in zip(leaves, _paths(structure, len(leaves)), strict=True):
        root, box = _begin(leaf, path)
        roots.append(root)
        boxes.append(box)
    token = _depth.set(_depth.get() + 1)
    try:
        value = fun(structure.unflatten(boxes))
    except ValueError as error:
        if isinstance(error.__cause__, EscapeError):
            raise error.__cause__ from None  # NumPy puts "setting an array element with a sequence" over it
        raise
    finally:
        _depth.reset(token)
        for root in roots:
            root.open = False
    outs, out_structure = flatten(value, root="the result")
    if not any(type(out) is ArrayBox for out in outs):
        _warn_of_constant()

    def vjp(g: Any) -> Any:
        return structure.unflatten(_pull(outs, out_structure, roots, g))

    return vjp, out_structure.unflatten(released(outs))


def _warn_of_constant() -> None:
    """Warn at the user's line: the derivative of what does not depend on the argument is zero."""
    level, frame = 1, sys._getframe(0)
    while frame.f_back is not None and not is_user_file(frame.f_code.co_filename):
        level, frame = level + 1, frame.f_back
    warnings.warn("Output seems independent of input.", stacklevel=level)


def _paths(structure: TreeDef, count: int) -> Iterable[str]:
    return ("the argument",) if structure.spec is ... else structure.paths("the argument")


def _begin(leaf: Any, path: str) -> tuple[Root, ArrayBox]:
    """A root and the box that stands for a leaf in a trace."""
    outer = leaf if type(leaf) is ArrayBox else None
    array = outer._array if outer is not None else leaf if type(leaf) is np.ndarray else None
    weak = outer._weak if outer is not None else type(leaf) in (float, complex)
    if array is None:
        if not isinstance(leaf, (float, complex, np.ndarray, np.generic)) or isinstance(leaf, (np.str_, np.bytes_)):
            raise _not_differentiable(leaf, path)
        array = np.asarray(leaf)
    if array.dtype.kind not in "fc":
        raise _not_differentiable(leaf, path)
    if array.dtype not in VALUES:
        raise DtypeError(
            f"{path} has the dtype {array.dtype}, in which nothing is differentiated",
            fix="cast it first: x.astype(np.float64)",
            where=user_frame(),
        )
    root = Root(array, outer)
    box = ArrayBox._wrap(array, root)
    box._weak = weak
    return root, box


def _not_differentiable(leaf: Any, path: str) -> DifferentiationError:
    kind = type(leaf).__name__
    dtype = getattr(leaf, "dtype", None)
    return DifferentiationError(
        f"Can't differentiate w.r.t. type {type(leaf)}: {path} is {leaf!r}"
        + (f", of dtype {dtype}" if dtype is not None else ""),
        fix="give floats: x.astype(float)"
        if dtype is not None
        else "give a float: 2.0 for 2"
        if kind == "int"
        else "give it as an argument of its own, with respect to which no derivative is taken",
        where=user_frame(),
    )


def _pull(outs: Sequence[Any], structure: TreeDef, roots: Sequence[Root], g: Any) -> list[Any]:
    """The cotangents of the roots for the cotangent of the results."""
    given, given_structure = flatten(g, root="the cotangent")
    if given_structure != structure:
        raise TreeError(
            f"the cotangent has the structure {given_structure!r}, the result {structure!r}",
            fix="give one array per array of the result, in the same containers",
        )
    create = _depth.get() > 0 or any(type(v) is ArrayBox for v in given)
    starts, cotangents = [], []
    for out, v in zip(outs, given, strict=True):
        if type(out) is ArrayBox and out._source is not None:
            starts.append((out._source, out._slot))
            cotangents.append(_fitting(v, out))
    walk = _Backward(ArrayBox, create=create, keep=True)  # type: ignore[arg-type]
    if starts:
        wrapped: Any = cotangents if create else [ArrayBox._wrap(v) for v in cotangents]
        walk.run(starts, wrapped, [(root, 0) for root in roots])
    found = [walk.captured.get((root, 0)) for root in roots]
    parts: list[Any] = [np.zeros(r.shape, r.dtype) if part is None else part for r, part in zip(roots, found, strict=True)]
    return released(parts, given)


def _fitting(v: Any, out: ArrayBox) -> Any:
    """A given cotangent in the shape and dtype of the result it is that of."""
    if type(v) is not ArrayBox:
        v = np.asarray(v)
    if v.shape != out.shape:
        raise ShapeError(
            f"a cotangent of shape {v.shape} is given for a result of shape {out.shape}",
            fix=f"give one of shape {out.shape}",
            where=user_frame(),
        )
    if v.dtype.kind == "c" and out.dtype.kind == "f":
        raise DtypeError(
            f"a complex cotangent is given for a result of dtype {out.dtype}", fix="give its real part", where=user_frame()
        )
    return v if v.dtype == out.dtype else v.astype(out.dtype)


def released(values: Sequence[Any], shared: Sequence[Any] = ()) -> list[Any]:
    """Values as they are given out: boxes where an open trace leads to them, else arrays of their own and scalars.

    ``shared`` lists what they must not share memory with.
    """
    inside = _depth.get() > 0
    known: dict[Node, bool] = {}
    seen = {id(v) for v in shared}
    results: list[Any] = []
    for v in values:
        if type(v) is ArrayBox:
            if inside and v._source is not None and _leads_to_open(v._source, known):
                results.append(v)
                continue
            v = v._array
        if isinstance(v, np.ndarray):
            if not v.ndim:
                v = v[()]
            elif v.base is not None or not v.flags.writeable or id(v) in seen:
                v = v.copy()
            seen.add(id(v))
        results.append(v)
    return results


def _leads_to_open(node: Node, known: dict[Node, bool]) -> bool:
    """Whether a node comes from a root whose trace is open; ``known`` takes what is found out on the way."""
    stack = [node]
    path: set[Node] = set()
    while stack:
        n = stack.pop()
        if n in path:
            continue
        if known.get(n) or (isinstance(n, Root) and n.open):
            known[node] = True
            return True
        if n in known:
            continue
        path.add(n)
        stack.extend(s for s in n.sources if s is not None)
    known.update(dict.fromkeys(path, False))
    return False
