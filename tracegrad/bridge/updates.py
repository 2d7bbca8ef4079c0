"""One graph for a whole step of training: the forward graph, its gradient, and the optimiser's formula behind them."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tracegrad.autodiff.reverse import active_nodes, differentiate
from tracegrad.bridge.tracing import TensorTrace
from tracegrad.core.aval import Aval
from tracegrad.core.graph import Graph
from tracegrad.eager import Tensor
from tracegrad.eager.dtypes import default_dtype
from tracegrad.ops.maps import add, cast, divide, minimum, multiply, sqrt
from tracegrad.ops.pullback import carries_gradient
from tracegrad.ops.reductions import sum as sum_of
from tracegrad.ops.sources import input as input_op
from tracegrad.optim.formula import Formula
from tracegrad.symbolic import Recorder, Sym

_SCALAR = np.dtype(np.float64)


@dataclass(frozen=True, slots=True)
class Number:
    """Stands for a number that is passed at each call."""

    position: int


@dataclass(frozen=True, slots=True)
class Trained:
    """A parameter that a step improves: its group, and which input of the forward graph it is."""

    group: int
    parameter: Tensor
    position: int


@dataclass(frozen=True, slots=True)
class Forward:
    """What tracing found: the graph of the loss, and the parameters that it reaches.

    ``wishing`` is how many of the optimiser's parameters wished for a gradient then.
    """

    trace: TensorTrace
    trained: tuple[Trained, ...]
    wishing: int


@dataclass(frozen=True, slots=True)
class Rule:
    """The formula of one group at one count of steps, with markers for its numbers."""

    used: tuple[str | None, ...]
    numbers: tuple[Any, ...]
    options: tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """How the parameters are improved now: per parameter the number of its rule; hashable, numbers taken out of it."""

    rules: tuple[Rule, ...]
    of: tuple[int, ...]
    clip: Number | None = None
    """The largest norm of all gradients together."""


def reached(graph: Graph, wrt: Sequence[int]) -> set[int]:
    """The nodes that get a cotangent from output 0, among those that depend on ``wrt``."""
    active = active_nodes(graph, wrt)
    found: set[int] = set()
    stack = [graph.outputs[0]] if graph.outputs[0] in active else []
    while stack:
        node = stack.pop()
        if node not in found:
            found.add(node)
            stack.extend(i for k, i in enumerate(graph[node].inputs) if i in active and carries_gradient(graph[node].op, k))
    return found


def joined(forward: Forward, plan: Plan, formula: Formula) -> Graph:
    """The graph of the whole step.

    Inputs are those of the forward graph, the slots of each parameter, and the numbers; outputs are the loss, what the
    forward pass has written, the parameters, and their slots.
    """
    base = forward.trace.graph
    wrt = [base.inputs[t.position].id for t in forward.trained]
    joint = differentiate(base, wrt)
    gradients = joint.outputs[len(base.outputs) :]
    graph = Graph(joint)
    recorder = Recorder(graph, lambda: None)
    position = len(base.inputs)

    def new(aval: Aval) -> Sym:
        nonlocal position
        node = recorder.emit(input_op, (), {"position": position, "aval": aval})
        position += 1
        return Sym(recorder, node)

    slots = []
    for node, number in zip(wrt, plan.of, strict=True):
        keys = plan.rules[number].used
        scalar = Aval((), default_dtype.get())
        slots.append(
            tuple(
                None if key is None else new(scalar if slot.scalar else graph[node].aval)
                for slot, key in zip(formula.slots, keys, strict=True)
            )
        )
    numbers: dict[int, Sym] = {}

    def filled(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(filled(v) for v in value)
        return numbers[value.position] if isinstance(value, Number) else value

    for marker in sorted(_markers(plan), key=lambda m: m.position):
        numbers[marker.position] = new(Aval((), _SCALAR))
    if plan.clip is not None:
        gradients = _clipped(recorder, gradients, numbers[plan.clip.position])
    parameters: list[int] = []
    remembered: list[int] = []
    for node, g, old, number in zip(wrt, gradients, slots, plan.of, strict=True):
        rule = plan.rules[number]
        options = {key: filled(value) for key, value in rule.options}
        p = Sym(recorder, node)
        moved, kept = formula.step(p, Sym(recorder, g), old, tuple(filled(x) for x in rule.numbers), options)
        parameters.append(_of_dtype(moved, p))
        remembered.extend(_of_dtype(x, y) for x, y in zip(kept, old, strict=True) if y is not None)
    return graph.freeze((*base.outputs, *parameters, *remembered), primal_outputs=len(base.outputs))


def _clipped(recorder: Recorder, gradients: Sequence[int], largest: Sym) -> tuple[int, ...]:
    """Gradients scaled down to a norm, as ``nn.utils.clip_grad_norm_`` does it."""
    found = [Sym(recorder, g) for g in gradients]
    total = sqrt(functools.reduce(add, [sum_of(multiply(g, g)) for g in found]))
    share = minimum(divide(cast(largest, dtype=total.dtype), add(total, 1e-6)), 1.0)
    return tuple([_of_dtype(multiply(g, share), g) for g in found])


def _of_dtype(value: Any, like: Sym) -> int:
    node: int = (value if value.dtype == like.dtype else cast(value, dtype=like.dtype)).id
    return node


def _markers(value: Any) -> Iterator[Number]:
    if isinstance(value, Number):
        yield value
    elif isinstance(value, tuple):
        for part in value:
            yield from _markers(part)
    elif isinstance(value, Plan):
        yield from _markers((value.clip, *[(rule.numbers, rule.options) for rule in value.rules]))


def marked(value: Any, numbers: list[float], always: bool = False) -> Any:
    """A value with markers in the places of its numbers; a 0 stays, as its term falls away, unless ``always`` is given."""
    if isinstance(value, tuple):
        return tuple([marked(v, numbers, always) for v in value])
    if isinstance(value, (float, int, np.floating)) and not isinstance(value, bool) and (always or value != 0):
        numbers.append(float(value))
        return Number(len(numbers) - 1)
    return value
