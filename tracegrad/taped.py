"""Compiled programs on the tape: a program called on Tensors is one node whose backward is a compiled program too.

With one scalar result that carries a gradient, value and gradient are one program, run by the forward call; the backward
scales the gradient. Otherwise the backward runs a second program from operands and cotangents, which computes again what it
needs of the forward half. A recorded backward puts that program on the tape in turn, so there are derivatives of every order.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tracegrad.autodiff.reverse import active_nodes, differentiate, pull_back_graph
from tracegrad.background import Pending
from tracegrad.calls import on_tape
from tracegrad.core.aval import Aval
from tracegrad.core.finite import watching
from tracegrad.core.graph import Graph
from tracegrad.core.interpret import interpret
from tracegrad.core.source import user_frame
from tracegrad.eager import Tensor
from tracegrad.eager.anomaly import detecting
from tracegrad.eager.modes import inferring, recording
from tracegrad.eager.nodes import Node, Version, freed, unchanged
from tracegrad.ops.pullback import absorbing_product
from tracegrad.pipeline import Compilation, compile_graph
from tracegrad.trace.inline import prune

Saved = tuple[Any, Version | None, int]


@dataclass(frozen=True, slots=True)
class Pullback:
    """The backward of a program for some of its inputs.

    ``active`` are the inputs that get a cotangent, ``carriers`` the outputs that bring one; ``program`` computes the
    cotangents from what ``reads`` lists: positions of inputs, and behind them the carriers.
    """

    active: tuple[int, ...]
    carriers: tuple[int, ...]
    program: TapedProgram
    reads: tuple[int, ...]
    joint: TapedProgram | None
    """Outputs and cotangents in one program, where there is one carrier and it is a scalar."""


class TapedProgram:
    """A graph as a program of Tensors, compiled when it is first called.

    Parameters
    ----------
    graph: frozen; its inputs are the arguments of a call.
    native: False for the interpreter.
    threads: how many threads a kernel may use at most.
    count: told of each compilation.
    compilation: of the graph, where there is one already.
    memory_budget: of this program and of those of its cotangents.
    background: whether the interpreter answers until kernels are there.
    """

    def __init__(
        self,
        graph: Graph,
        *,
        native: bool,
        count: Callable[[Compilation], None],
        compilation: Compilation | None = None,
        memory_budget: int | float | None = None,
        background: bool = False,
        threads: int | None = None,
    ) -> None:
        self.graph = graph
        self.memory_budget = memory_budget
        self.native = native
        self.background = background
        self.threads = threads
        self.count = count
        self.avals = tuple([graph[i].aval for i in graph.outputs])
        self._compilation: Compilation | None = compilation
        self._pending: Pending | None = None
        self._pullbacks: dict[tuple[int, ...], Pullback | None] = {}
        self._lock = threading.RLock()

    @property
    def compilation(self) -> Compilation:
        """What the compiler has made of the graph."""
        if self._compilation is None:
            with self._lock:
                if self._compilation is None:
                    native = self.native and not self.background
                    made = compile_graph(self.graph, native=native, memory_budget=self.memory_budget, threads=self.threads)
                    self.count(made)
                    self._compilation = made
                    if self.background:
                        self._pending = Pending(made, "a backward pass", self.use)
        return self._compilation

    def use(self, ready: Compilation) -> None:
        """Run what the compiler has made meanwhile from now on."""
        self._compilation = ready

    def run(self, arrays: Sequence[Any]) -> list[Any]:
        """The outputs for arrays and numbers, without a record."""
        if watching.get():
            return interpret(self.graph, arrays)
        found = self._compilation or self.compilation
        if self._pending is not None:
            self._pending.report()
        assert found.run is not None
        return found.run(arrays)

    def __call__(self, arguments: Sequence[Any]) -> list[Any]:
        """The outputs as fresh tensors, recorded as one node where a gradient can flow.

        Parameters
        ----------
        arguments: a tensor, an array or a number for each input of the graph. Boxes of ``compat`` may stand for tensors; what
            has no record is then a plain array.
        """
        taped = [on_tape(x) for x in arguments]
        arrays = [x._array if known else x for x, known in zip(arguments, taped, strict=True)]
        kind = next((type(x) for x, known in zip(arguments, taped, strict=True) if known and not isinstance(x, Tensor)), Tensor)
        boxed = kind is not Tensor
        pullback = None
        edges: list[Node | None] = []
        if boxed or recording.get():
            edges = [x._gradient_edge() if known else None for x, known in zip(arguments, taped, strict=True)]
            wrt = tuple([k for k, edge in enumerate(edges) if edge is not None])
            pullback = self._pullback(wrt) if wrt else None
        if pullback is None:
            found = self.run(arrays)
            if boxed:
                return found
            results = [Tensor._wrap(x) for x in found]
            if inferring.get():
                for x in results:
                    x._inference = True
            return results
        gradients = None
        if pullback.joint is not None:
            values = pullback.joint.run(arrays)
            gradients = values[len(self.avals) :]
            values = values[: len(self.avals)]
        else:
            values = self.run(arrays)
        node = CompiledNode(self, pullback, arguments, edges, gradients)
        carriers = pullback.carriers
        if boxed:
            return [kind._wrap(x, node, None, k) if k in carriers else x for k, x in enumerate(values)]
        return [Tensor._wrap(x, node if k in carriers else None, None, k) for k, x in enumerate(values)]

    def called(self, arguments: Sequence[Any]) -> Compilation:
        """The program that a call with these arguments runs; the call itself is not made."""
        wrt: tuple[int, ...] = ()
        if recording.get():
            edged = [on_tape(x) and x._gradient_edge() is not None for x in arguments]
            wrt = tuple([k for k, edge in enumerate(edged) if edge])
        pullback = self._pullback(wrt) if wrt else None
        return self.compilation if pullback is None or pullback.joint is None else pullback.joint.compilation

    def _pullback(self, wrt: tuple[int, ...]) -> Pullback | None:
        """How cotangents go to these inputs; None where none arrive."""
        if wrt not in self._pullbacks:
            with self._lock:
                self._pullbacks[wrt] = self._differentiated(wrt)
        return self._pullbacks[wrt]

    def _differentiated(self, wrt: tuple[int, ...]) -> Pullback | None:
        graph = self.graph
        inputs = graph.inputs
        differentiable = [inputs[k].id for k in wrt if inputs[k].aval.differentiable]
        reached = active_nodes(graph, differentiable)
        carriers = tuple([k for k, i in enumerate(graph.outputs) if i in reached])
        before = graph.ancestors([graph.outputs[k] for k in carriers])
        active = tuple([k for k in wrt if inputs[k].id in before and inputs[k].aval.differentiable])
        if not active:
            return None
        nodes = [inputs[k].id for k in active]
        joint = pull_back_graph(graph, nodes, carriers)
        cotangents, reads = prune(joint, joint.outputs[len(graph.outputs) :], 0)
        together = None
        if len(carriers) == 1 and self.avals[carriers[0]].shape == ():
            together = self._of(differentiate(graph, nodes, carriers[0]))
        return Pullback(active, carriers, self._of(cotangents), tuple(reads), together)

    def _of(self, graph: Graph) -> TapedProgram:
        return TapedProgram(
            graph,
            native=self.native,
            count=self.count,
            memory_budget=self.memory_budget,
            background=self.background,
            threads=self.threads,
        )


class CompiledNode(Node):
    """A compiled program that was called: its Tensors' ``grad_fn``."""

    def __init__(
        self,
        program: TapedProgram,
        pullback: Pullback,
        arguments: Sequence[Any],
        edges: Sequence[Node | None],
        gradients: Sequence[Any] | None,
    ) -> None:
        self.program = program
        self.pullback = pullback
        self.outputs = len(program.avals)
        self.sources = tuple([edge if k in pullback.active else None for k, edge in enumerate(edges)])
        self.slots = tuple([x._slot if on_tape(x) else 0 for x in arguments])
        if self.outputs == 1:
            self.shape, self.dtype = program.avals[0].shape, program.avals[0].dtype
        self.gradients = gradients
        self.saved: dict[int, Saved] | None = {}
        for k in pullback.reads:
            if k < len(arguments):
                x = arguments[k]
                if on_tape(x):
                    counter = x._own_counter()
                    self.saved[k] = x._array, counter, counter.count
                else:
                    self.saved[k] = x, None, 0
        if detecting():
            self.where = user_frame()

    def name(self) -> str:
        """What this kind of node is called."""
        return "CompiledFunctionBackward"

    def takes(self) -> Sequence[int]:
        """Positions of the operands that get a cotangent."""
        return self.pullback.active

    def slot_aval(self, slot: int) -> Aval:
        """Shape and dtype of a result."""
        return self.program.avals[slot]

    def copy_kept(self, array: np.ndarray[Any, Any]) -> None:
        """Keep a copy where this array, which is about to be written to, was kept: the write is the program's own."""
        for k, entry in (self.saved or {}).items():
            if entry[0] is array:
                assert self.saved is not None
                self.saved[k] = array.copy(), None, 0

    def forget(self) -> None:
        """Give up the operands."""
        self.saved = self.gradients = None

    def pull(self, g: Any, wanted: Sequence[int], create: type[Tensor] | None, keep: bool) -> list[Any]:
        """Run the backward program, or scale the gradient that came with the value."""
        saved = self.saved
        if saved is None:
            raise freed(self)
        active = self.pullback.active
        found: Sequence[Any]
        if create is None and self.gradients is not None:
            part = g if self.outputs == 1 else g[self.pullback.carriers[0]]
            found = [np.asarray(absorbing_product(part, x), np.asarray(x).dtype) for x in self.gradients]
        else:
            given = self._given(g, saved, create)
            program = self.pullback.program
            found = program(given) if create is not None else [np.asarray(x) for x in program.run(given)]
        if not keep:
            self.forget()
        return [found[active.index(k)] for k in wanted]

    def _given(self, g: Any, saved: dict[int, Saved], create: type[Tensor] | None) -> list[Any]:
        """The arguments of the backward program: operands, which must be as they were, and cotangents."""
        row = [g] if self.outputs == 1 else g
        count = len(self.sources)
        given: list[Any] = []
        for k in self.pullback.reads:
            if k < count:
                array, version, number = saved[k]
                unchanged(self, array, version, number, f"operand {k}")
                source = self.sources[k]
                given.append(array if create is None or source is None else create._wrap(array, source, version, self.slots[k]))
                continue
            slot = self.pullback.carriers[k - count]
            part = row[slot]
            given.append(np.zeros(self.program.avals[slot].shape, self.program.avals[slot].dtype) if part is None else part)
        return given
