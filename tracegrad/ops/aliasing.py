"""Memory that several arrays share: how views look at it, and how a write goes back through them.

A chain of view ops leads from a storage to what an array sees. Writing through the chain emits, from its end to its
start, the value of each operand with the written part replaced.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tracegrad.core.aval import Shape
from tracegrad.core.graph import Graph
from tracegrad.core.op import Kind, Op
from tracegrad.ops.broadcasting import broadcast, reshape_to
from tracegrad.ops.complexes import as_pairs, from_pairs, imag, join, real
from tracegrad.ops.indexing import gather, put
from tracegrad.ops.views import permute, reverse, strided_slice, update

Emit = Callable[[Op, tuple[Any, ...], Mapping[str, Any]], Any]


@dataclass(frozen=True, slots=True)
class Copied:
    """What stands for a view and is a copy: the function that made it, and what it was copied from, at which version."""

    function: str
    storage: Storage
    version: int

    @property
    def stale(self) -> bool:
        """Whether what it was copied from has been written to since."""
        return self.storage.version != self.version


@dataclass(slots=True)
class Storage:
    """The memory that some Syms share: its present value, how often it was written, and why it must not be written.

    ``outside`` says that it is an array from outside the trace: a write to it is an escape. ``rows`` says whether its elements
    lie row by row; None where that is to be seen from the node ``first`` that it began with. ``copied`` says what it copies
    where NumPy gives a view of it.
    """

    id: int
    version: int = 0
    guard: str = ""
    outside: bool = False
    rows: bool | None = None
    first: int = -1
    copied: Copied | None = None

    def __post_init__(self) -> None:
        self.first = self.id

    def by_rows(self, graph: Graph) -> bool:
        """Whether the elements surely lie row by row."""
        if self.rows is None:
            self.rows = by_rows(graph, self.first)
        return self.rows


@dataclass(frozen=True, slots=True)
class Step:
    """One view op on the way from a storage to what a Sym sees; ``shape`` is that of the operand.

    ``at`` is the node of the traced position that a step along one axis looks at, which the axis stays for, with size 1.
    """

    op: Op
    params: Mapping[str, Any]
    shape: Shape
    at: int | None = None

    def read(self, emit: Emit, base: Any) -> Any:
        """What the view shows of a value of its operand."""
        return emit(self.op, (base,) if self.at is None else (base, self.at), self.params)

    def write(self, emit: Emit, base: Any, value: Any) -> Any:
        """What a value of the operand becomes where the view has a new one."""
        if self.at is not None:
            return emit(put, (base, self.at, value), self.params)
        return WRITES[self.op](emit, self, base, value)


def _into_slice(emit: Emit, step: Step, base: Any, value: Any) -> Any:
    if step.params["sizes"] == step.shape:
        return value
    params = {"starts": step.params["starts"], "steps": step.params["steps"]}
    return emit(update, (base, value), params)


def _into_reversed(emit: Emit, step: Step, base: Any, value: Any) -> Any:
    return emit(reverse, (value,), step.params)


def _into_permuted(emit: Emit, step: Step, base: Any, value: Any) -> Any:
    axes = step.params["axes"]
    return emit(permute, (value,), {"axes": tuple(axes.index(k) for k in range(len(axes)))})


def _into_reshaped(emit: Emit, step: Step, base: Any, value: Any) -> Any:
    return emit(reshape_to, (value,), {"shape": step.shape})


def _into_broadcast(emit: Emit, step: Step, base: Any, value: Any) -> Any:
    raise AssertionError("a write through broadcast_to was not refused")


def _into_real(emit: Emit, step: Step, base: Any, value: Any) -> Any:
    return emit(join, (value, emit(imag, (base,), {})), {})


def _into_imag(emit: Emit, step: Step, base: Any, value: Any) -> Any:
    return emit(join, (emit(real, (base,), {}), value), {})


def _into_pairs(emit: Emit, step: Step, base: Any, value: Any) -> Any:
    return emit(from_pairs, (value,), {})


def _into_paired(emit: Emit, step: Step, base: Any, value: Any) -> Any:
    return emit(as_pairs, (value,), {})


WRITES: dict[Op, Callable[[Emit, Step, Any, Any], Any]] = {
    strided_slice: _into_slice,
    reverse: _into_reversed,
    permute: _into_permuted,
    reshape_to: _into_reshaped,
    broadcast: _into_broadcast,
    real: _into_real,
    imag: _into_imag,
    as_pairs: _into_pairs,
    from_pairs: _into_paired,
}
"""View ops, and how a new value of a view becomes a new value of what it looks at."""


def _row_major(shape: Shape) -> Shape:
    return tuple(math.prod(shape[k + 1 :]) for k in range(len(shape)))


def strides_of(path: Sequence[Step]) -> Shape | None:
    """Strides, in elements, of a view of a row-major array; None if its last reshape cannot be one and copies.

    Once a view shows the parts of complex numbers, the elements are those parts.
    """
    strides = _row_major(path[0].shape)
    for step in path:
        params, shape = step.params, step.shape
        if step.op is strided_slice:
            strides = tuple(map(operator.mul, strides, params["steps"]))
        elif step.op is reverse:
            strides = tuple(-s if k in params["axes"] else s for k, s in enumerate(strides))
        elif step.op is permute:
            strides = tuple(strides[a] for a in params["axes"])
        elif step.op in (real, imag):
            strides = tuple(2 * s for s in strides)
        elif step.op is as_pairs:
            strides = (*(2 * s for s in strides), 1)
        elif step.op is from_pairs:
            strides = tuple(s // 2 for s in strides[:-1])
        elif step.op is gather:
            continue
        elif step.op is broadcast:
            target = params["shape"]
            lead = len(target) - len(shape)
            strides = (0,) * lead + tuple(
                0 if n == 1 != target[lead + k] else s for k, (n, s) in enumerate(zip(shape, strides, strict=True))
            )
        else:
            reshaped = _reshaped(shape, strides, params["shape"])
            if reshaped is None:
                return None
            strides = reshaped
    return strides


def in_order(shape: Shape, path: Sequence[Step], columns: bool = False) -> bool:
    """Whether the elements of a view of a row-major array lie row by row in memory, or column by column."""
    strides = strides_of(path) if path else _row_major(shape)
    if strides is None or math.prod(shape) == 0:
        return True
    wanted = _row_major(shape[::-1])[::-1] if columns else _row_major(shape)
    return all(n == 1 or s == w for n, s, w in zip(shape, strides, wanted, strict=True))


def merges(path: Sequence[Step]) -> bool:
    """Whether a view joins axes, which NumPy does without copying only if they follow each other in memory."""
    return any(s.op is reshape_to and _reshaped(s.shape, (1,) * len(s.shape), s.params["shape"]) is None for s in path)


def by_rows(graph: Graph, node: int) -> bool:
    """Whether NumPy's array in the place of a node lies row by row, arguments lying so.

    NumPy lays what it computes out as the operands are: maps, sums and copies of a transpose lie column by column. The ways
    of all functions are not told apart here: with a transpose or an index by arrays among what a value is computed from, other
    than in a product, there is doubt.
    """
    stack, seen = [node], {node}
    while stack:
        made = graph[stack.pop()]
        if sum(n != 1 for n in made.aval.shape) < 2 or made.op.kind is Kind.CONTRACT:
            continue
        axes = [a for a in made.params.get("axes", ()) if made.aval.shape and graph[made.inputs[0]].aval.shape[a] != 1]
        if made.op.kind is Kind.INDEX or (made.op is permute and axes != sorted(axes)):
            return False
        fresh = [i for i in made.inputs if i not in seen]
        seen.update(fresh)
        stack.extend(fresh)
    return True


def _reshaped(shape: Shape, strides: Shape, target: Shape) -> Shape | None:
    """Strides of the array reshaped in place, None where its elements would have to move."""
    if math.prod(shape) == 0:
        return _row_major(target)
    axes = [(n, s) for n, s in zip(shape, strides, strict=True) if n != 1]
    result: list[int] = []
    position = 0
    for count in target:
        if count == 1:
            result.append(0)
            continue
        # the axes from here on must hold ``count`` as their leading part, each continuing the one before it
        size, stride = axes[position]
        while size % count:
            position += 1
            inner, inner_stride = axes[position]
            if stride != inner * inner_stride:
                return None
            size, stride = size * inner, inner_stride
        rest = size // count
        result.append(stride * rest)
        if rest == 1:
            position += 1
        else:
            axes[position] = (rest, stride)
    return tuple(result)
