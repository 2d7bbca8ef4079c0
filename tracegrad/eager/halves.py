"""A traced function as two halves of straight Python code: what runs forward, and what runs backward later.

The function is traced into a static graph, the rules of its ops give the joint graph, and that is cut where the backward
half reads of the forward one. Each half becomes the text of a function that calls the ops one after the other; the same
text runs on arrays, where a name stands for what computes its op, and on tensors, where it stands for the op itself.
"""

from __future__ import annotations

import cmath
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tracegrad.autodiff.reverse import active_nodes, pull_back_graph
from tracegrad.core.aval import Aval, broadcast_shapes
from tracegrad.core.graph import Graph, Node
from tracegrad.core.interpret import evaluate
from tracegrad.core.op import Kind, Op
from tracegrad.ops.aliasing import WRITES
from tracegrad.ops.broadcasting import broadcast, reshape_to
from tracegrad.ops.maps import cast, scale, stop_gradient
from tracegrad.ops.sources import input as input_op
from tracegrad.symbolic import Recorder, Sym


@dataclass(frozen=True, slots=True)
class Step:
    """One node of the graph as it is run; numbers are ids of nodes."""

    op: Op
    operands: tuple[int, ...]
    params: Mapping[str, Any]
    result: int


@dataclass(frozen=True, slots=True)
class Part:
    """Steps that lead from some values to others, and the constants that they read."""

    name: str
    given: tuple[int, ...]
    steps: tuple[Step, ...]
    found: tuple[int, ...]
    constants: Mapping[int, Any]

    def text(self) -> str:
        """Python that runs the steps and returns a tuple; a value is let go after the last step that reads it."""
        known = {i: f"x{i}" for i in self.given} | {i: f"c{i}" for i in self.constants}
        known |= {step.result: f"{_word(step.op)}_{step.result}" for step in self.steps}
        last = {i: step.result for step in self.steps for i in step.operands}
        lines = [f"def {self.name}({', '.join(known[i] for i in self.given)}):"]
        for step in self.steps:
            given = [known[i] for i in step.operands]
            given += [f"{key}={_word(step.op)}_{step.result}_{key}" for key in step.params]
            lines.append(f"    {known[step.result]} = run_{_word(step.op)}({', '.join(given)})")
            gone = {i for i in step.operands if last[i] == step.result and i not in self.found and i not in self.constants}
            lines += [f"    del {known[i]}" for i in sorted(gone)]
        lines.append(f"    return ({''.join(known[i] + ', ' for i in self.found)})")
        return "\n".join(lines) + "\n"

    def function(self, run: Callable[[Op], Callable[..., Any]], hold: Callable[[Any], Any]) -> Callable[..., tuple[Any, ...]]:
        """The compiled text; ``run(op)`` computes an op, ``hold(array)`` is what stands for a constant."""
        names: dict[str, Any] = {f"c{i}": hold(value) for i, value in self.constants.items()}
        for step in self.steps:
            names[f"run_{_word(step.op)}"] = run(step.op)
            names |= {f"{_word(step.op)}_{step.result}_{key}": value for key, value in step.params.items()}
        exec(compile(self.text(), f"<{self.name} half>", "exec"), names)
        # not left among its own globals, which would be a circle
        function: Callable[..., tuple[Any, ...]] = names.pop(self.name)
        return function


def _word(op: Op) -> str:
    return op.name if op.name.isidentifier() else f"op{id(op):x}"


def _computing(op: Op) -> Callable[..., Any]:
    return op.eager


def _hoping(op: Op) -> Callable[..., Any]:
    """What computes an op on arrays where products with cotangents are finite."""
    return np.multiply if op is scale else op.eager


def _as_op(op: Op) -> Callable[..., Any]:
    return op


@dataclass(frozen=True, eq=False)
class Halves:
    """A traced function of tensors, cut into halves.

    ``forward`` takes the operands and returns the outputs, then the values kept beside them. ``backward`` takes the kept
    operands, the kept outputs and the other kept values, then the cotangents, and returns the gradients. Where backward is
    itself recorded, ``again`` computes the other kept values from the kept operands and outputs first.
    """

    avals: tuple[Aval, ...]
    """Of the outputs."""
    single: bool
    """Whether the function returns one tensor and not a tuple."""
    carriers: tuple[int, ...]
    """Positions of the outputs that carry a gradient."""
    floating: tuple[int, ...]
    """Positions of the operands of floats, which can have a gradient."""
    active: tuple[int, ...]
    """Positions of the operands that get a cotangent."""
    kept_inputs: tuple[int, ...]
    """Positions."""
    kept_outputs: tuple[int, ...]
    """Positions."""
    borrowed: tuple[int, ...]
    """Positions of the outputs that share memory with an operand, a constant or a kept value."""
    parts: tuple[Part, Part, Part]
    """Forward, backward, again."""
    forward: Callable[..., tuple[Any, ...]]

    def backward(self, *values: Any) -> tuple[Any, ...]:
        """The backward half on arrays.

        A zero cotangent stays zero even where its factor is NaN or infinite. The products are first computed as if there
        were no such factor: as cotangents are only ever multiplied, added, moved and dropped, a NaN of a product reaches a
        gradient unless it is dropped, and then the half is run again with care.
        """
        found = self._hopeful(*values)
        for part in found:
            flat = part.ravel()
            if not cmath.isfinite(flat.dot(flat)):  # in a third of the time of looking at each element
                return self._careful(*values)
        return found

    @cached_property
    def _hopeful(self) -> Callable[..., tuple[Any, ...]]:
        return self.parts[1].function(_hoping, np.asarray)

    @cached_property
    def _careful(self) -> Callable[..., tuple[Any, ...]]:
        return self.parts[1].function(_computing, np.asarray)

    def recorded(self, hold: Callable[[Any], Any]) -> tuple[Callable[..., tuple[Any, ...]], Callable[..., tuple[Any, ...]]]:
        """The backward half and ``again`` on tensors; ``hold`` makes one of an array."""
        known = self._on_tensors.get(hold)
        if known is None:
            known = self._on_tensors[hold] = self.parts[1].function(_as_op, hold), self.parts[2].function(_as_op, hold)
        return known

    @cached_property
    def _on_tensors(self) -> dict[Any, tuple[Callable[..., tuple[Any, ...]], Callable[..., tuple[Any, ...]]]]:
        return {}


def halve(graph: Graph, needs: Sequence[bool], single: bool) -> Halves | None:
    """Cut a frozen graph whose inputs come first; None if no gradient flows through it.

    ``needs`` says per input whether it wants a gradient.
    """
    inputs, outputs = [node.id for node in graph.inputs], graph.outputs
    wrt = [node for node, need in zip(inputs, needs, strict=True) if need and graph[node].aval.dtype.kind in "fc"]
    reached = active_nodes(graph, wrt)
    carriers = [k for k, node in enumerate(outputs) if node in reached]
    leading = graph.ancestors([outputs[k] for k in carriers])
    wrt = [node for node in wrt if node in leading]
    if not wrt or not carriers:
        return None
    joint = pull_back_graph(graph, wrt, carriers)
    places = {node.params["position"]: node.id for node in joint if node.op is input_op}
    return _split(graph, joint, inputs, [places[len(inputs) + k] for k in range(len(carriers))], carriers, wrt, single)


def trace(function: Callable[..., Any], avals: Sequence[Aval]) -> tuple[Graph, bool]:
    """The frozen graph of a function of traced values, and whether it returns one and not a tuple."""
    graph = Graph()
    recorder = Recorder(graph, lambda: None)
    given = [Sym(recorder, recorder.emit(input_op, (), {"position": k, "aval": aval})) for k, aval in enumerate(avals)]
    result = function(*given)
    single = not isinstance(result, (tuple, list))
    graph.freeze(tuple(recorder.operand(x).id for x in ([result] if single else result)))
    return graph, single


def _split(
    graph: Graph,
    joint: Graph,
    inputs: Sequence[int],
    cotangents: Sequence[int],
    carriers: Sequence[int],
    wrt: Sequence[int],
    single: bool,
) -> Halves:
    """Take the joint graph apart into what runs forward, what runs backward, and what goes from one to the other."""
    outputs = graph.outputs
    gradients = joint.outputs[len(outputs) :]
    same = _without_reshapes(joint)
    operands = {node.id: tuple([same.get(i, i) for i in _operands(joint, node)]) for node in joint}
    operands |= {node.id: (_origin(joint, node.id),) for node in joint if node.op is reshape_to}
    gradients = tuple([same.get(i, i) for i in gradients])
    given = set(inputs) | set(cotangents)
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

    forward = behind(outputs, given)
    backward = behind(gradients, forward | given)
    residuals = {i for b in backward for i in operands[b]} | set(gradients)
    residuals = {i for i in residuals if i in varying and i not in backward and i not in cotangents}
    kept_outputs = tuple(k for k, node in enumerate(outputs) if node in residuals and node not in inputs)
    held = tuple(outputs[k] for k in kept_outputs)
    others = tuple(sorted(i for i in residuals if i not in inputs and i not in held))
    again = behind(others, held) - set(inputs)
    needed = residuals | {k for i in again for k in operands[i]}
    kept_inputs = tuple(k for k, node in enumerate(inputs) if node in needed)
    kept = (*[inputs[k] for k in kept_inputs], *held)

    def part(name: str, start: Sequence[int], ids: set[int], end: Sequence[int]) -> Part:
        steps = tuple([Step(joint[i].op, operands[i], joint[i].params, i) for i in sorted(ids)])
        fixed = ({i for step in steps for i in step.operands} | set(end)) - varying
        constants: dict[int, Any] = {}
        for i in sorted(fixed):
            evaluate(joint, i, constants)
        return Part(name, tuple(start), steps, tuple(end), {i: np.asarray(constants[i]) for i in sorted(fixed)})

    parts = (
        part("forward", inputs, forward, (*outputs, *others)),
        part("backward", (*kept, *others, *cotangents), backward, gradients),
        part("again", kept, again, others),
    )
    return Halves(
        avals=tuple(joint[i].aval for i in outputs),
        single=single,
        carriers=tuple(carriers),
        floating=tuple(k for k, i in enumerate(inputs) if joint[i].aval.dtype.kind in "fc"),
        active=tuple(inputs.index(node) for node in wrt),
        kept_inputs=kept_inputs,
        kept_outputs=kept_outputs,
        borrowed=_borrowed(joint, outputs, varying, {*inputs, *others, *outputs}),
        parts=parts,
        forward=parts[0].function(_computing, np.asarray),
    )


def _borrowed(joint: Graph, outputs: Sequence[int], varying: Container[int], kept: Container[int]) -> tuple[int, ...]:
    """Positions of the outputs that may share memory with what is kept, an operand, a constant or another output."""
    found, shown = [], set[int]()
    for k, output in enumerate(outputs):
        node, alone = output, True
        while _is_alias(joint[node]):
            alone &= joint[node].op is not broadcast
            node = joint[node].inputs[0]
            alone &= node not in kept
        alone &= node in varying and joint[node].op.kind is not Kind.INPUT and node not in shown
        shown.add(node)
        if not alone:
            found.append(k)
    return tuple(found)


def _is_alias(node: Node) -> bool:
    return node.op.kind is Kind.VIEW or node.op in (stop_gradient, cast) or node.op in WRITES


def _origin(joint: Graph, node: int) -> int:
    """What a chain of reshapes begins with."""
    while joint[node].op is reshape_to:
        node = joint[node].inputs[0]
    return node


def _without_reshapes(joint: Graph) -> dict[int, int]:
    """What stands for each reshape that leads back to the shape its chain began with."""
    chains = {node.id: _origin(joint, node.id) for node in joint if node.op is reshape_to}
    return {i: origin for i, origin in chains.items() if joint[i].aval.shape == joint[origin].aval.shape}


def _operands(joint: Graph, node: Node) -> tuple[int, ...]:
    """The operands of a node; elementwise ops broadcast by themselves in NumPy, in a fifth of the time."""
    if node.op.kind is not Kind.MAP:
        return node.inputs
    plain = tuple(joint[i].inputs[0] if joint[i].op is broadcast else i for i in node.inputs)
    return plain if broadcast_shapes(*(joint[i].aval.shape for i in plain)) == node.aval.shape else node.inputs
