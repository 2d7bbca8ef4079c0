"""What is asked of a compiled function: its value, its gradient or both, and with respect to which leaves."""

from __future__ import annotations

from typing import Any

from tracegrad.autodiff.argnums import arguments_of, gathered_structure, place_of
from tracegrad.autodiff.inside import check_real, no_derivative
from tracegrad.calls import Call, Family, Marked
from tracegrad.core.source import user_frame
from tracegrad.core.tree import TreeDef, flatten, tuple_of
from tracegrad.errors import DifferentiationError
from tracegrad.trace.tracer import Traced

VALUE, GRADIENT, BOTH = "value", "gradient", "value and gradient"
_LEAF = flatten(0.0)[1]


def results_of(family: Family, want: str, call: Call, traced: Traced) -> tuple[tuple[int, ...] | None, TreeDef]:
    """The input nodes to differentiate, and the structure of the result that a run's outputs are the leaves of."""
    if want == VALUE:
        return None, traced.output_tree
    _check_loss(family.name, traced)
    wrt: list[int] = []
    nodes = {leaf: node.id for leaf, node in zip(traced.inputs, traced.graph.inputs, strict=False)}
    for start, leaves, structure, root in wanted(family, call):
        for k, path in enumerate(structure.paths(root)):
            wrt.append(differentiable(traced, nodes, start + k, path, leaves[k]))
    return tuple(wrt), differentiated(family, want, call)


def wanted(family: Family, call: Call) -> list[tuple[int, list[Any], TreeDef, str]]:
    """Of each argument that ``argnums`` names: its first leaf's number, its leaves, its structure, its name."""
    spans = _spans(family, call)
    made = []
    for argument in arguments_of(family.options.argnums):
        place = place_of(argument, family.function, len(call.args), spans, family.parameters)
        made.append((*spans[place], family.root(place)))
    return made


def differentiated(family: Family, want: str, call: Call) -> TreeDef:
    """The structure of the gradient, or of the value and the gradient."""
    structures = [structure for _, _, structure, _ in wanted(family, call)]
    gradient = gathered_structure(family.options.argnums, structures)
    return gradient if want == GRADIENT else tuple_of([_LEAF, gradient])


def _spans(family: Family, call: Call) -> dict[int | str, tuple[int, list[Any], TreeDef]]:
    spans: dict[int | str, tuple[int, list[Any], TreeDef]] = {}
    start = 0
    for position, leaves, structure in family.arguments(call):
        spans[position] = (start, leaves, structure)
        start += len(leaves)
    return spans


def _check_loss(name: str, traced: Traced) -> None:
    outputs = [traced.graph[i].aval for i in traced.graph.outputs[: traced.output_tree.size]]
    if not outputs:
        raise DifferentiationError(
            f"{name} returns None; the gradient needs one scalar loss", fix="return the loss", where=user_frame()
        )
    if len(outputs) != 1:
        raise DifferentiationError(
            f"{name} returns {len(outputs)} values; the gradient needs one scalar loss",
            fix="return the loss alone",
            where=user_frame(),
        )
    if outputs[0].shape != ():
        where = traced.graph[traced.graph.outputs[0]].where
        raise DifferentiationError(
            f"{name} returns an array of shape {outputs[0].shape}; the gradient needs a scalar loss",
            fix="reduce it, for example with np.sum(...) or np.mean(...)",
            where=where or user_frame(),
        )
    if not outputs[0].differentiable:
        raise DifferentiationError(
            f"{name} returns a value of dtype {outputs[0].dtype}, which has no gradient",
            fix="compute the loss in floating point",
            where=user_frame(),
        )
    check_real(traced.graph[traced.graph.outputs[0]].where, name, outputs[0])


def differentiable(traced: Traced, nodes: dict[int, int], position: int, path: str, leaf: Any) -> int:
    """The input node of a leaf, given those of all; DifferentiationError where it has no derivative."""
    node = nodes.get(position)
    if node is not None and traced.graph[node].aval.differentiable:
        return node
    if isinstance(leaf, Marked):
        raise DifferentiationError(
            f"{path} is in static_argnames, and there is no gradient with respect to static arguments",
            fix="take it out of static_argnames, or choose other argnums",
            where=user_frame(),
        )
    raise no_derivative(path, getattr(leaf, "dtype", type(leaf).__name__))
