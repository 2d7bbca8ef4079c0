"""vmap: a function of one element as a function of all elements along an axis, without a loop over them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tracegrad.autodiff.argnums import name_of, parameter_name
from tracegrad.autodiff.batch import batch_nodes
from tracegrad.autodiff.inside import NUMBERS, Transform, leaves_of
from tracegrad.core.aval import Aval
from tracegrad.core.source import user_frame
from tracegrad.core.tree import TreeDef, flatten
from tracegrad.errors import ShapeError, TracegradError, TreeError
from tracegrad.ops.assembly import moveaxis
from tracegrad.ops.sources import LANES, lane
from tracegrad.ops.views import broadcast_to
from tracegrad.symbolic import Recorder, Sym
from tracegrad.trace.prints import mapped_prints
from tracegrad.transforms.derivatives import callable_of, checked_function


def vmap(fun: Callable[..., Any], in_axes: Any = 0, out_axes: Any = 0, *, axis_size: int | None = None) -> Any:
    """A function of single elements as one of arrays of them: what a loop would give, stacked, in one pass.

    Parameters
    ----------
    fun: a function of pytrees of arrays and numbers. It sees each argument without the axis that is mapped over.
    in_axes: the axis of every argument to map over (negative ones count from the last), None for what all elements share,
        or a tuple with one entry for each argument; an entry may be a pytree of such that is the upper part of the
        argument's. Keyword arguments are mapped over axis 0.
    out_axes: where the axis stands in the results: an int, None for a result that is the same for all elements, or a pytree
        of such that is the upper part of the result's.
    axis_size: the number of elements; needed only where no argument is mapped.

    Returns a function of arguments with one more axis each. Its calls raise ShapeError where the mapped axes do not exist or
    differ in size, TreeError where ``in_axes`` or ``out_axes`` do not fit, and TraceError where the code cannot become a
    static graph: all elements take the same path through it.

    >>> import numpy as np
    >>> import tracegrad as tg
    >>> points, centre = np.array([[0.0, 1.0], [3.0, 4.0]]), np.zeros(2)
    >>> distance = lambda a, b: np.sqrt(np.sum((a - b) ** 2))
    >>> tg.vmap(distance, in_axes=(0, None))(points, centre)
    array([1., 5.])
    >>> tg.vmap(tg.grad(distance), in_axes=(0, None), out_axes=1)(points, centre)
    array([[0. , 0.6],
           [1. , 0.8]])
    """
    checked_function(fun, "vmap")
    if isinstance(in_axes, list):
        in_axes = tuple(in_axes)
    if not (in_axes is None or _is_int(in_axes) or isinstance(in_axes, tuple)):
        raise TreeError(
            f"in_axes={in_axes!r} of tg.vmap is of type {type(in_axes).__name__}",
            fix="give an int, None, or a tuple with an entry for each argument",
            where=user_frame(),
        )
    for name, axes in (("in_axes", in_axes), ("out_axes", out_axes)):
        for axis in flatten(axes, root=name)[0]:
            if not _is_int(axis):
                raise TreeError(
                    f"{name} of tg.vmap has {axis!r} for an axis",
                    fix="give an int, or None for what is not mapped",
                    where=user_frame(),
                )
    if axis_size is not None and (not _is_int(axis_size) or axis_size < 0):
        raise ShapeError(
            f"axis_size={axis_size!r} of tg.vmap is no number of elements",
            fix="leave it out where an argument is mapped, else give an int",
            where=user_frame(),
        )
    rule = functools.partial(_rule, in_axes=in_axes, out_axes=out_axes, axis_size=axis_size)
    return callable_of(Transform({"function": fun}, rule, "vmap"), fun)


def _is_int(axis: Any) -> bool:
    return isinstance(axis, (int, np.integer)) and not isinstance(axis, bool)


def _rule(
    recorder: Recorder,
    parts: Mapping[str, Callable[..., Any]],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    in_axes: Any,
    out_axes: Any,
    axis_size: int | None,
) -> Any:
    """What a call does: trace the function on one element of each argument, and batch what that made."""
    function = parts["function"]
    if isinstance(in_axes, tuple) and len(in_axes) != len(args):
        raise TreeError(
            f"in_axes={in_axes!r} has {len(in_axes)} entries for {len(args)} positional arguments of {name_of(function)}",
            fix="give one entry for each positional argument, None for those that all elements share",
            where=user_frame(),
        )
    inside = _Elements(recorder, function, axis_size)
    each = in_axes if isinstance(in_axes, tuple) else (in_axes,) * len(args)
    taken = [
        inside.of(x, a, parameter_name(function, k), f"in_axes[{k}]") for k, (x, a) in enumerate(zip(args, each, strict=True))
    ]
    named = {name: inside.of(x, 0, name, "in_axes") for name, x in kwargs.items()}
    size = inside.size()
    begun = len(recorder.prints)
    recorder.levels.append((inside.size, inside.lanes))  # random numbers are other ones for each element
    try:
        result = function(*taken, **named)
    finally:
        recorder.levels.pop()
    found = leaves_of(recorder, result, f"the result of {name_of(function)}")
    axes = _spread(*_opened(out_axes), found.structure, "out_axes", f"the result of {name_of(function)}")
    stacked = batch_nodes(recorder.graph, inside.lanes, size, found.ids)
    mapped_prints(recorder, begun, lambda ids: batch_nodes(recorder.graph, inside.lanes, size, ids), size)
    results = []
    for node, axis, path in zip(found.ids, axes, found.paths, strict=True):
        if axis is not None:
            results.append(_placed(recorder, node, stacked.get(node), size, axis, path))
        elif node in stacked:
            raise ShapeError(
                f"out_axes is None for {path}, which is different for each element",
                fix="give the position of its new axis: out_axes=0",
                where=recorder.graph[node].where or user_frame(),
            )
        else:
            results.append(Sym(recorder, node))
    return found.structure.unflatten(results)


def _placed(recorder: Recorder, node: int, stacked: int | None, size: int, axis: int, path: str) -> Sym:
    """A result with the mapped axis at its place, repeated along it where all elements share it."""
    shape = recorder.graph[node].aval.shape
    if not -len(shape) - 1 <= axis <= len(shape):
        raise ShapeError(
            f"out_axes={axis} for {path}, which has shape {shape} for one element",
            fix=f"its new axis can stand at {-len(shape) - 1} to {len(shape)}",
            where=recorder.graph[node].where or user_frame(),
        )
    whole = broadcast_to(Sym(recorder, node), (size, *shape)) if stacked is None else Sym(recorder, stacked)
    moved: Sym = moveaxis(whole, 0, axis)
    return moved.strong()


class _Elements:
    """The arguments of a mapped function: what stands for one element of each, and which axes these are from."""

    def __init__(self, recorder: Recorder, function: Any, axis_size: int | None) -> None:
        self.recorder = recorder
        self.function = function
        self.axis_size = axis_size
        self.lanes: dict[int, int] = {}
        """By the node for one element, that of all with their axis in front."""
        self._sizes: dict[str, int] = {}

    def of(self, argument: Any, axes: Any, root: str, what: str) -> Any:
        """An argument as the function sees it."""
        values, structure = flatten(argument, root=root)
        spread = _spread(*_opened(axes), structure, what, root)
        return structure.unflatten(
            [
                value if axis is None else self._element(value, axis, path)
                for value, axis, path in zip(values, spread, structure.paths(root), strict=True)
            ]
        )

    def _element(self, value: Any, axis: int, path: str) -> Sym:
        if not isinstance(value, NUMBERS):
            raise TreeError(
                f"{path} is of type {type(value).__name__}, which has no axis to map over",
                fix=f"give in_axes an entry of None for {path}",
                where=user_frame(),
            )
        if isinstance(value, Sym) and value.recorder is not self.recorder:
            raise TracegradError(f"{path} belongs to another trace", fix="pass it in as an argument", where=user_frame())
        whole = self.recorder.operand(value)
        ndim = len(whole.shape)
        if not -ndim <= axis < ndim:
            raise ShapeError(
                f"in_axes maps {path} over axis {axis}, but its shape is {whole.shape}",
                fix=f"give in_axes an entry of None for {path}, which all elements then share"
                if not ndim
                else f"its axes are {-ndim} to {ndim - 1}; None in in_axes leaves an argument unmapped",
                where=user_frame(),
            )
        self._sizes[f"{path} has {whole.shape[axis]} along axis {axis}"] = whole.shape[axis]
        front = moveaxis(whole, axis, 0).strong()
        graph = self.recorder.graph
        aval = Aval(front.shape[1:], front.dtype)
        element = Sym(self.recorder, self.recorder.emit(lane, (), {"position": LANES + len(graph), "aval": aval}))
        element.storage.guard = f"{path} is an argument, and arguments are never written to"
        self.lanes[element.id] = front.id
        return element

    def size(self) -> int:
        """The number of elements, which all arguments agree on."""
        name = name_of(self.function)
        found = set(self._sizes.values())
        if len(found) > 1:
            raise ShapeError(
                f"vmap of {name} over axes of different sizes: {', '.join(self._sizes)}",
                fix="map over axes of one size, and give None in in_axes for what all elements share",
                where=user_frame(),
            )
        if self.axis_size is not None and found - {self.axis_size}:
            raise ShapeError(
                f"vmap of {name} with axis_size={self.axis_size}, but {', '.join(self._sizes)}",
                fix="leave axis_size out where an argument is mapped",
                where=user_frame(),
            )
        if self.axis_size is None and not found:
            raise ShapeError(
                f"vmap of {name} maps over no argument",
                fix="give an axis in in_axes for at least one argument, or the number of elements as axis_size",
                where=user_frame(),
            )
        return found.pop() if found else int(self.axis_size or 0)


def _opened(axes: Any) -> tuple[TreeDef, Iterator[Any]]:
    values, structure = flatten(axes)
    return structure, iter([int(a) for a in values])


def _spread(axes: TreeDef, values: Iterator[Any], tree: TreeDef, what: str, of: str) -> list[int | None]:
    """The axis of each leaf of a tree, from a tree of axes that is the upper part of it."""
    if axes.spec is ...:
        return [next(values)] * tree.size
    kind, aux, children = axes.spec
    if kind is type(None):
        return [None] * tree.size
    if tree.spec is ... or tree.spec[:2] != (kind, aux) or len(tree.spec[2]) != len(children):
        raise TreeError(
            f"{what} has the structure {axes!r} where {of} has {tree!r}",
            fix=f"give {what} the structure of {of}, or one axis for all of it",
            where=user_frame(),
        )
    return [axis for k in range(len(children)) for axis in _spread(axes.part(k), values, tree.part(k), what, of)]
