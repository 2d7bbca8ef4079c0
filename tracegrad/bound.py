"""The program of one signature: what a call hands to it, and what it makes of its results."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tracegrad.background import Pending
from tracegrad.core.finite import watching
from tracegrad.core.interpret import interpret
from tracegrad.core.source import user_frame
from tracegrad.core.tree import TreeDef
from tracegrad.errors import TracegradError
from tracegrad.outs import checked_outs, stored
from tracegrad.pipeline import Compilation, Run
from tracegrad.runtime.executable import Executable
from tracegrad.taped import TapedProgram
from tracegrad.trace.draws import Draw, drawn
from tracegrad.trace.prints import Prints
from tracegrad.trace.reads import Capture, Guard
from tracegrad.trace.tracer import Traced

_NO_TENSORS: Mapping[int, Any] = types.MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Whole:
    """What is there of a program that was traced in this process."""

    traced: Traced
    compilation: Compilation
    taped: TapedProgram
    """The same program for tensors."""
    surrounded: bool
    """Whether it reads tensors from outside the function."""
    pending: Pending | None = None
    """Its kernels, where they are being compiled and the interpreter runs meanwhile."""

    def finished(self) -> Compilation:
        """What the compiler has made, kernels included; waits for those under way, and raises what went wrong."""
        return self.compilation if self.pending is None else self.pending.wait()


@dataclass(frozen=True, eq=False, slots=True)
class Bound:
    """A program for one key: how to call it and the structure of its result."""

    guard: Guard
    inputs: tuple[int, ...]
    captured: tuple[Capture, ...]
    draws: tuple[Draw, ...]
    prints: Prints | None
    static_ints: tuple[int, ...]
    result: TreeDef
    executable: Executable | None
    """None for the interpreter."""
    run: Run
    plain: bool
    """Whether the program takes the leaves as they are."""
    whole: Whole | None
    """None for a program whose trace was kept by an earlier process."""

    def fresh(self) -> bool:
        """Whether everything the trace read from outside is still there."""
        return self.guard.fresh()

    def __call__(self, leaves: Sequence[Any], tensors: Mapping[int, Any] = _NO_TENSORS) -> Any:
        """The result of a call, of tensors where some of the leaves are."""
        whole = self.whole
        if whole is not None and (tensors or whole.surrounded):
            leaves = drawn(self.draws, leaves)
            arguments = [tensors.get(k, leaves[k]) for k in self.inputs]
            return self._result(whole.taped(arguments + [capture.read() for capture in self.captured]))
        if watching.get() and whole is not None and whole.compilation.joint is not None:
            return self._result(interpret(whole.compilation.joint, self.arguments(leaves)))
        return self._result(self.run(self.arguments(leaves)))

    def _result(self, found: Sequence[Any]) -> Any:
        """The result of a call, given those of the program, after what there is to print."""
        return self.result.unflatten(found if self.prints is None else self.prints.take(found))

    def _without_prints(self, found: Sequence[Any]) -> Sequence[Any]:
        return found if self.prints is None else self.prints.without(found)

    def _into(self, outs: Sequence[Any]) -> Sequence[Any]:
        """Arrays for the results of the program, given those for the results of the function."""
        if self.prints is None:
            return outs
        start = self.prints.start
        return [*outs[:start], *[None] * self.prints.count, *outs[start:]]

    @property
    def surrounded(self) -> bool:
        """Whether the program reads tensors from outside the function."""
        return self.whole is not None and self.whole.surrounded

    def arguments(self, leaves: Sequence[Any]) -> Sequence[Any]:
        """What the program takes."""
        if self.plain:
            return leaves
        leaves = drawn(self.draws, leaves)
        return [leaves[k] for k in self.inputs] + [capture.read() for capture in self.captured]

    def into(self, leaves: Sequence[Any], out: Any) -> Any:
        """The result of a call, written to arrays of the caller's."""
        if self.surrounded:
            raise TracegradError(
                "out= takes arrays, and this function reads tensors from outside, so that its results are tensors",
                fix="leave out= out, or hand the tensors' arrays to the function",
                where=user_frame(),
            )
        arguments = self.arguments(leaves)
        if self.executable is not None:
            outs = checked_outs(out, self.result, self._without_prints(self.executable.made), arguments)
            made = self._result(self.run(arguments, self._into(outs)))
            whole = all(array is not None for array in outs)
            return out if whole else made
        assert self.whole is not None
        graph = self.whole.compilation.graph
        assert graph is not None
        outs = checked_outs(out, self.result, self._without_prints([graph[i].aval for i in graph.outputs]), arguments)
        made = self._result(stored(self.run(arguments), self._into(outs)))
        return out if all(array is not None for array in outs) else made
