"""Functions with a derivative of their own: what stands in a graph for a result of one."""

from __future__ import annotations

from dataclasses import dataclass

from tracegrad.core.aval import Aval
from tracegrad.core.graph import Graph
from tracegrad.core.op import MISSING, Kind, Op, Stacked, Variadic, keep


@dataclass(frozen=True, slots=True, eq=False)
class Derivative:
    """The derivative that a person has written for one call of a function.

    ``body`` takes ``residuals`` values of the trace first; then, if it goes ``forward``, the tangents of the arguments, and
    gives those of the results; else the cotangents of the results, and gives those of the arguments. It is None where the
    rule has called the function itself too often. ``name`` is what errors call the function. Where ``refused``, there is no
    derivative with respect to the arguments, and asking for one raises.
    """

    body: Graph | None
    forward: bool
    arguments: int
    results: int
    residuals: int
    name: str
    refused: bool = False


def _infer(value: Aval, *rest: Aval, derivative: Derivative, result: int) -> Aval:
    return value


with_derivative: Op = Op(
    name="with_derivative",
    kind=Kind.CUSTOM,
    infer=_infer,
    promote=keep,
    eager=lambda value, *rest, derivative, result: value,
    # only the walks of both modes know the rules, which are those of all results together; they also look at what the
    # value itself depends on, as that must not be differentiated by any other way; the rules are mapped with the node
    partials=Variadic(lambda k: MISSING),
    batch=Stacked(),
    lower=None,
    numpy=(),
    torch=("", ""),
    doc="The first operand: result number ``result`` of a function of the next ones whose derivative is given.",
    samples=(),
)
