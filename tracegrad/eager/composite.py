"""Functions composed of several ops that stand on the tape as one node, under PyTorch's name for it.

PyTorch's ``mean`` or ``layer_norm`` is one ``grad_fn``; here it is composed of ops and has no derivative rule of its own.
When such a function meets a tensor that requires grad it is traced, once per shapes, dtypes and other arguments, into a
small static graph; the rules of its ops give the backward half. The node keeps what the backward half reads of the
forward one, and both run in NumPy without a record in between.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Callable, Container, Hashable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

import numpy as np

from tracegrad.autodiff.reverse import active_nodes, pull_back_graph
from tracegrad.core.aval import Aval, broadcast_shapes
from tracegrad.core.graph import Graph
from tracegrad.core.graph import Node as GraphNode
from tracegrad.core.interpret import evaluate
from tracegrad.core.op import Kind, Op
from tracegrad.core.source import user_frame
from tracegrad.eager.anomaly import detecting
from tracegrad.eager.dtypes import default_dtype
from tracegrad.eager.inplace import InPlace
from tracegrad.eager.modes import recording
from tracegrad.eager.nodes import Array, Node, Version, freed, unchanged
from tracegrad.eager.quiet import quiet
from tracegrad.eager.tensor import Tensor
from tracegrad.eager.traced import TracedTensor
from tracegrad.ops.broadcasting import broadcast
from tracegrad.ops.maps import scale, stop_gradient
from tracegrad.ops.pullback import absorbing_product
from tracegrad.ops.sources import input as input_op
from tracegrad.symbolic import Recorder, Sym

P = ParamSpec("P")
R = TypeVar("R")

CAPACITY = 2048
"""How many traced composites are kept; the least recently used goes first."""


@dataclass(frozen=True, slots=True)
class _Operand:
    """Stands for a tensor in the arguments of a composite."""

    position: int


@dataclass(frozen=True, slots=True)
class _Step:
    """One node of the graph as it is run: where its operands stand, and where its result goes."""

    op: Op
    compute: Callable[..., Any]
    operands: tuple[int, ...]
    params: Mapping[str, Any]
    result: int


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """A traced composite. Numbers are ids of nodes of the joint graph.

    ``forward`` computes ``outputs``; ``residuals`` are what ``backward`` reads of the forward half: of them
    ``kept_inputs`` and ``kept_outputs`` are operands and results, ``kept_values`` others. For a recorded backward the others
    are computed again by ``again``, from the operands that ``sources_again`` lists.
    """

    inputs: tuple[int, ...]
    constants: dict[int, Any]
    forward: tuple[_Step, ...]
    outputs: tuple[int, ...]
    avals: tuple[Aval, ...]
    cotangents: Mapping[int, int]
    """Per position of an output that carries a gradient the node of its cotangent."""
    backward: tuple[_Step, ...]
    floating: tuple[int, ...]
    """Positions of the operands of floats, which can have a gradient."""
    active: tuple[int, ...]
    """Positions of the operands that get a cotangent."""
    gradients: tuple[int, ...]
    kept_inputs: tuple[int, ...]
    """Positions."""
    kept_outputs: tuple[int, ...]
    """Positions."""
    kept_values: tuple[int, ...]
    again: tuple[_Step, ...]
    views: frozenset[int]
    """Outputs that may be views of an operand, or be it."""
    single: bool
    """Whether the function returns one tensor and not a tuple."""


def _run(steps: Sequence[_Step], values: dict[int, Any]) -> None:
    """Run steps on arrays."""
    for step in steps:
        operands = step.operands
        if len(operands) == 1:
            values[step.result] = step.compute(values[operands[0]], **step.params)
        elif len(operands) == 2:
            values[step.result] = step.compute(values[operands[0]], values[operands[1]], **step.params)
        else:
            values[step.result] = step.compute(*[values[i] for i in operands], **step.params)


def _bind(steps: Sequence[_Step], values: dict[int, Any]) -> None:
    """Run steps on tensors, which record them."""
    for step in steps:
        values[step.result] = step.op(*[values[i] for i in step.operands], **step.params)


# -- from a function to its plan ---------------------------------------------------------------------------------------


def _make_plan(
    function: Callable[..., Any], skeleton: tuple[Any, Any], avals: Sequence[Aval], needs: Sequence[bool]
) -> _Plan | None:
    """Trace a composite; None if no gradient flows through it."""
    graph = Graph()
    recorder = Recorder(graph, lambda: None)
    inputs = [recorder.emit(input_op, (), {"position": k, "aval": aval}) for k, aval in enumerate(avals)]
    tensors = [TracedTensor(Sym(recorder, node)) for node in inputs]
    args, kwargs = (_filled(part, tensors) for part in skeleton)
    result = function(*args, **kwargs)
    single = isinstance(result, InPlace)
    outputs = tuple(recorder.operand(x._array).id for x in ([result] if single else result))
    graph.freeze(outputs)
    wrt = [node for node, need, aval in zip(inputs, needs, avals, strict=True) if need and aval.dtype.kind in "fc"]
    reached = active_nodes(graph, wrt)
    carriers = [k for k, node in enumerate(outputs) if node in reached]
    wrt = [node for node in wrt if node in graph.ancestors([outputs[k] for k in carriers])]
    if not wrt or not carriers:
        return None
    joint = pull_back_graph(graph, wrt, carriers)
    cotangents = {
        k: node.id
        for k in carriers
        for node in joint
        if node.op is input_op and node.params["position"] == len(avals) + carriers.index(k)
    }
    return _split(graph, joint, inputs, outputs, cotangents, [inputs.index(node) for node in wrt], single)


def _split(
    graph: Graph,
    joint: Graph,
    inputs: Sequence[int],
    outputs: tuple[int, ...],
    cotangents: Mapping[int, int],
    active: Sequence[int],
    single: bool,
) -> _Plan:
    """Take the joint graph apart into what runs forward, what runs backward, and what goes from one to the other."""
    gradients = joint.outputs[len(outputs) :]
    operands = {node.id: _operands(joint, node) for node in joint}
    given = set(inputs) | set(cotangents.values())
    varying = set(given)
    for node in joint:
        if any(i in varying for i in node.inputs):
            varying.add(node.id)

    def behind(ids: Iterable[int], stop: Container[int] = ()) -> set[int]:
        """The nodes that lead to some and are computed anew, up to where to stop."""
        found: set[int] = set()
        stack = list(ids)
        while stack:
            i = stack.pop()
            if i in varying and i not in found and i not in stop:
                found.add(i)
                stack.extend(operands[i])
        return found

    forward_ids = behind(outputs, given)
    backward_ids = behind(gradients, forward_ids | given)
    read = {i for b in backward_ids for i in operands[b]} | set(gradients)
    residuals = {i for i in read if i in varying and i not in backward_ids and i not in cotangents.values()}
    constants: dict[int, Any] = {}
    for i in (read | {k for f in forward_ids for k in operands[f]} | set(outputs)) - varying:
        evaluate(joint, i, constants)
    wanted = {i for i in constants if i in read or i in outputs or any(i in operands[f] for f in forward_ids)}
    kept_outputs = tuple(k for k, node in enumerate(outputs) if node in residuals and node not in inputs)
    held = {outputs[k] for k in kept_outputs}
    kept_values = tuple(sorted(i for i in residuals if i not in inputs and i not in held))
    again = behind(kept_values, held)
    kept_inputs = tuple(k for k, node in enumerate(inputs) if node in residuals or node in again)

    def steps(ids: Iterable[int]) -> tuple[_Step, ...]:
        return tuple(
            _Step(joint[i].op, _computing(joint[i].op), operands[i], joint[i].params, i)
            for i in sorted(ids)
            if joint[i].op.kind is not Kind.INPUT
        )

    return _Plan(
        inputs=tuple(inputs),
        constants={i: np.asarray(constants[i]) for i in wanted},
        forward=steps(forward_ids),
        outputs=outputs,
        avals=tuple(joint[i].aval for i in outputs),
        cotangents=cotangents,
        backward=steps(backward_ids),
        floating=tuple(k for k, i in enumerate(inputs) if joint[i].aval.dtype.kind in "fc"),
        active=tuple(active),
        gradients=gradients,
        kept_inputs=kept_inputs,
        kept_outputs=kept_outputs,
        kept_values=kept_values,
        again=steps(again),
        views=frozenset(i for i in outputs if joint[i].op.kind in (Kind.INPUT, Kind.VIEW) or joint[i].op is stop_gradient),
        single=single,
    )


def _computing(op: Op) -> Callable[..., Any]:
    """What computes an op on arrays; products with cotangents by the walk's shorter way."""
    return absorbing_product if op is scale else op.eager


def _operands(joint: Graph, node: GraphNode) -> tuple[int, ...]:
    """The operands of a node; elementwise ops broadcast by themselves in NumPy, in a fifth of the time."""
    if node.op.kind is not Kind.MAP:
        return node.inputs
    plain = tuple(joint[i].inputs[0] if joint[i].op is broadcast else i for i in node.inputs)
    return plain if broadcast_shapes(*(joint[i].aval.shape for i in plain)) == node.aval.shape else node.inputs


# -- arguments taken apart ---------------------------------------------------------------------------------------------


def _emptied(value: Any, tensors: list[Any]) -> Hashable:
    """A hashable stand-in for an argument, with tensors taken out of it; TypeError for what has none."""
    kind = type(value)
    if value is None or kind is str:
        return value  # type: ignore[no-any-return]
    if kind is int or kind is bool:
        return kind, value
    if isinstance(value, InPlace):
        tensors.append(value)
        array = value._array
        # the hash of a dtype takes longer than that of its letter
        return InPlace, array.shape, array.dtype.char
    if isinstance(value, (tuple, list)):
        return kind, tuple([_emptied(v, tensors) for v in value])
    if isinstance(value, float):
        return float, value.hex()
    hash(value)
    return kind, value


def _arguments(value: Any, taken: list[int]) -> Any:
    """An argument with markers in the places of its tensors, numbered as ``_emptied`` numbers them."""
    if isinstance(value, InPlace):
        taken.append(1)
        return _Operand(len(taken) - 1)
    if isinstance(value, (tuple, list)):
        parts = [_arguments(v, taken) for v in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return value


def _filled(value: Any, tensors: Sequence[Any]) -> Any:
    """An argument with tensors in the places of their markers."""
    if isinstance(value, _Operand):
        return tensors[value.position]
    if isinstance(value, (tuple, list)):
        parts = [_filled(v, tensors) for v in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    if isinstance(value, dict):
        return {k: _filled(v, tensors) for k, v in value.items()}
    return value


_plans: ContextVar[OrderedDict[Hashable, _Plan | None] | None] = ContextVar("composites", default=None)


def recorded_as(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Record all that a function does as one node of this name.

    The function may do with its tensors what can be traced: apply ops, and ask for shapes and dtypes. It returns a tensor or
    a tuple of tensors. Tensors may also stand in lists and tuples among its arguments; other arguments are part of what it
    is traced for, and where they have no hash the function runs op by op.

    >>> from tracegrad.eager.tensor import tensor
    >>> @recorded_as("CubeBackward0")
    ... def cube(x):
    ...     return x * x * x
    >>> cube(tensor(2.0, requires_grad=True))
    tensor(8., grad_fn=<CubeBackward0>)
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            if not recording.get():
                return function(*args, **kwargs)
            tensors: list[Any] = []
            try:
                key: tuple[Hashable, ...] = (function, tuple([_emptied(a, tensors) for a in args]))
                if kwargs:
                    key = (*key, *[(k, _emptied(kwargs[k], tensors)) for k in kwargs])
            except TypeError:
                return function(*args, **kwargs)
            edges = [_edge(x) for x in tensors]
            needs = tuple([edge is not None for edge in edges])
            if True not in needs or _TRACED in edges:
                return function(*args, **kwargs)
            full = (key, needs, default_dtype.get().char)
            plans = _plans.get()
            if plans is None:
                plans = OrderedDict()
                _plans.set(plans)
            plan = plans.get(full, _UNKNOWN)
            if plan is _UNKNOWN:
                taken: list[int] = []
                skeleton = [_arguments(a, taken) for a in args], {k: _arguments(v, taken) for k, v in kwargs.items()}
                plan = _make_plan(function, skeleton, [Aval(x._array.shape, x._array.dtype) for x in tensors], needs)
                plans[full] = plan
                if len(plans) > CAPACITY:
                    plans.popitem(last=False)
            if plan is None:
                return function(*args, **kwargs)
            return _apply(name, plan, tensors, edges)  # type: ignore[no-any-return]

        return run

    return decorate


_TRACED: Any = object()
_UNKNOWN: Any = object()


def _edge(x: Tensor) -> Node | None:
    """The node that cotangents of a tensor go to; for a traced one a mark."""
    if x._view is not None:
        return x._gradient_edge()
    source = x._source
    if source is None:
        state = x._state
        if state is not None and state.requires_grad:
            return state
        return _TRACED if x.bind_rank != 1 else None
    return source


# -- running -----------------------------------------------------------------------------------------------------------


def _apply(name: str, plan: _Plan, tensors: Sequence[Tensor], edges: Sequence[Node | None]) -> Any:
    """Compute a composite and record its node."""
    values: dict[int, Any] = plan.constants.copy()
    for i, x in zip(plan.inputs, tensors, strict=True):
        values[i] = x._array
    quiet.run(_run, plan.forward, values)
    arrays = []
    for i in plan.outputs:
        out = np.asarray(values[i])
        # an operand that comes back as it is, or a view of it, would share storage unnoticed
        arrays.append(out.copy() if i in plan.views or not out.flags.writeable else out)
    saved: list[tuple[Array, Version | None, int]] = []
    for k in plan.kept_inputs:
        counter = tensors[k]._own_counter()
        saved.append((tensors[k]._array, counter, counter.count))
    node = CompositeNode(name, plan, tensors, edges)
    results = [Tensor._wrap(array, node if k in plan.cotangents else None, None, k) for k, array in enumerate(arrays)]
    for k in plan.kept_outputs:
        counter = results[k]._own_counter()
        saved.append((results[k]._array, counter, counter.count))
    for i in plan.kept_values:
        saved.append((values[i], None, 0))  # noqa: PERF401 - most often there are few
    node.saved = saved
    return results[0] if plan.single else tuple(results)


class CompositeNode(Node):
    """One applied composite: a Tensor's ``grad_fn``."""

    def __init__(self, name: str, plan: _Plan, tensors: Sequence[Tensor], edges: Sequence[Node | None]) -> None:
        self.label = name
        self.plan = plan
        self.outputs = len(plan.outputs)
        self.sources = tuple([edge if k in plan.active else None for k, edge in enumerate(edges)])
        self.slots = tuple([x._slot for x in tensors])
        if self.outputs == 1:
            self.shape, self.dtype = plan.avals[0].shape, plan.avals[0].dtype
        self.saved: Sequence[tuple[Array, Version | None, int]] | None = None
        if detecting():
            self.where = user_frame()

    def name(self) -> str:
        """PyTorch's name of this kind of node."""
        return self.label

    def takes(self) -> Sequence[int]:
        """Positions of the operands that get a cotangent."""
        return self.plan.active

    @property
    def next_functions(self) -> tuple[tuple[Node | None, int], ...]:
        """The nodes of the operands that can have a gradient, each with the number of its result that was used."""
        return tuple([(self.sources[k], self.slots[k]) for k in self.plan.floating])

    def slot_aval(self, slot: int) -> Aval:
        """Shape and dtype of a result."""
        return self.plan.avals[slot]

    def copy_kept(self, array: Array) -> None:
        """Keep a copy where this array, which is about to be written to, was kept: the write is this op's own."""
        if self.saved:
            self.saved = [(array.copy(), None, 0) if entry[0] is array else entry for entry in self.saved]

    def forget(self) -> None:
        """Give up the kept values; a node that kept none can be walked again."""
        if self.saved:
            self.saved = None

    def pull(self, g: Any, wanted: Sequence[int], create: type[Tensor] | None, keep: bool) -> list[Any]:
        """Run the backward half."""
        plan, saved = self.plan, self.saved
        if saved is None:
            raise freed(self)
        row = [g] if self.outputs == 1 else g
        values: dict[int, Any] = dict(plan.constants)
        entries = iter(saved)
        for k in plan.kept_inputs:
            entry = next(entries)
            array = unchanged(self, *entry, f"operand {k}")
            values[plan.inputs[k]] = array if create is None else create._wrap(array, self.sources[k], entry[1], self.slots[k])
        for k in plan.kept_outputs:
            entry = next(entries)
            array = unchanged(self, *entry, f"result {k}")
            values[plan.outputs[k]] = array if create is None else create._wrap(array, self, entry[1], k)
        for k, node in plan.cotangents.items():
            part = row[k]
            if part is None:
                zeros = np.zeros(plan.avals[k].shape, plan.avals[k].dtype)
                part = zeros if create is None else create._wrap(zeros)
            values[node] = part
        if create is None:
            for i in plan.kept_values:
                values[i] = next(entries)[0]
            _run(plan.backward, values)
        else:
            values.update({i: create._wrap(value) for i, value in plan.constants.items()})
            _bind(plan.again, values)
            _bind(plan.backward, values)
        if not keep:
            self.forget()
        gradients = dict(zip(plan.active, plan.gradients, strict=True))
        found = [values[gradients[k]] for k in wanted]
        return found if create is not None else [np.asarray(part) for part in found]
